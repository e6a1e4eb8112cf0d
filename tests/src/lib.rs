//! What the native tests stand on: a publication made by the real builder, sources that serve it
//! or lie, a store in memory, and the drain loop between them and the real engine; and the frozen
//! vectors of every format.

// Tests panic on purpose, and look for one variant among many.
#![allow(clippy::missing_panics_doc, clippy::wildcard_enum_match_arm)]

pub mod attacks;
pub mod away;
pub mod change;
pub mod crowd;
pub mod encoder;
pub mod follower;
pub mod keeping;
pub mod parsers;
pub mod publication;
pub mod scenario;
pub mod shell;
pub mod sim;
pub mod stories;
pub mod vectors;
