//! Who is believed, and why: trust roots, checkpoints, the release log and its proofs.
//!
//! In scope: pure checks over bytes and what a client keeps of them. Out of scope: fetching,
//! storing, clocks. Specification: docs/spec/trust-root.md, checkpoint.md, head-state.md, log.md,
//! trust-state.md and proof.md.
//!
//! | module | what |
//! | --- | --- |
//! | [`signature`] | Ed25519, strict |
//! | [`log`] | RFC 6962: roots, inclusion and consistency |
//! | [`tiles`] | C2SP tlog-tiles: paths, entries, consistency from tiles |
//! | [`note`] | a checkpoint's signatures against a trust root |
//! | [`root`] | a chain of trust roots |
//! | [`accept`] | what a client keeps, and whether it takes a newer checkpoint |
//! | [`manifest`] | a manifest against the head state that names it |
//! | [`proof`] | a record's whole way up to the trust root, in one piece |
//! | [`freshness`] | how old a checkpoint is |
//! | [`append`] | whether the edge lets a pointer move |
//! | [`sign`] | the other side: signing and growing the log |
//! | [`release`] | whether an unsigned release may be signed |
//! | [`prove`] | consistency proofs and frontiers out of tiles |
//! | [`witness`] | what a witness is asked, and whether it cosigns |
//!
//! # What an attacker could try here
//!
//! Everything that is served: an old checkpoint, another log, an older entry's proof, one key
//! twice, a trust root of its own. Each has its error, and no check changes any state before the
//! last one has passed.

pub mod accept;
pub mod append;
pub mod freshness;
pub mod log;
pub mod manifest;
pub mod note;
pub mod proof;
pub mod prove;
pub mod release;
pub mod root;
pub mod sign;
pub mod signature;
pub mod tiles;
pub mod witness;

#[cfg(test)]
mod tests;
