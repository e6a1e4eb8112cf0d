//! What the native tests stand on: a publication made by the real builder, sources that serve it
//! or lie, a store in memory, and the drain loop between them and the real engine.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

pub mod publication;
pub mod shell;
