//! What an edge keeps, and what may go (docs/spec/retention.md).
//!
//! In scope: what a manifest needs (`needs`), what nothing needs any more (`mark`), and the rules
//! that stand between that and a removal, beside publishers at work (`keeper`). Out of scope: who
//! lists, stores and removes.
//!
//! The argument, in short. A manifest is removed only when its version is out of every promise,
//! by the edge's own clock; anything else only when no manifest that is there needs it, and when
//! nobody claimed it for longer than an upload takes. Whoever uploads claims what is there already
//! before relying on it, and a move of a pointer claims its manifest: a claim takes back what a
//! collection running at the same time said.
//!
//! What an attacker could try here: nothing without a publisher's key. A publisher whose key was
//! stolen can have removed what no signed head names, and not sooner than the promise says.

pub mod keeper;
pub mod mark;
pub mod needs;
