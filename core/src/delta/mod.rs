//! Deltas: what changes between two versions of a key range (docs/spec/delta.md).
//!
//! In scope: packing operations on sorted records, and unpacking them again with the records as
//! they were. Out of scope: trust. A delta needs none: what it makes is hashed up to a root that
//! is signed, and the segment itself came under a signed wire name.
//!
//! An attacker who gets past the wire name (only the publisher can) could claim many operations,
//! long values, places out of range or keys out of order: counts and lengths are bounded before
//! anything is kept, every place is checked against the records that there are, and every key
//! against its neighbours.

mod coder;
mod model;
mod ops;
mod pass;
mod segment;
mod text;

pub use ops::{OldRecords, Op, Piece, PieceRecords, diff, split};
pub use pass::LEARN_STEP;
pub use segment::{Unpacker, pack};
