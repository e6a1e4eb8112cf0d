//! The sync engine (being written).
pub mod io;
