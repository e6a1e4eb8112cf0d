//! `packice witness`: a small witness (docs/spec/witness.md), and the asking of witnesses.
//!
//! The decisions are the core's (`packice_core::trust::witness`). Here are the file that is durable
//! before an answer leaves ([`book`]), the HTTP around it ([`serve`]) and the other side
//! ([`ask`]).

pub mod ask;
pub mod book;
pub mod serve;
