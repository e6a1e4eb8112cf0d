//! The Durable Objects: a class in each file, and how the Worker asks it.

mod ledger;
pub(crate) mod pointer;
