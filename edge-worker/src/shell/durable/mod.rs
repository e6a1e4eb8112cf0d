//! The Durable Objects: a class in each file, and how the Worker asks it.

pub(crate) mod keeper;
mod ledger;
pub(crate) mod live;
pub(crate) mod pointer;
