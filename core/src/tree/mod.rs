//! The content-defined search tree: building it, laying it out on the wire, finding and checking
//! its parts, proofs and differences (docs/spec/tree.md, docs/spec/layout.md).
//!
//! Where blocks end depends on the records alone, so one set of records and parameters has one
//! root, whatever the order of edits that led to it (a prolly tree).

pub mod blocks;
pub mod build;
pub mod cut;
pub mod cutter;
pub mod diff;
pub mod index;
pub mod layer;
pub mod layout;
pub mod patch;
pub mod proof;
pub mod recut;
pub mod upper;
pub mod verify;
pub mod view;
