//! What the engine plans with: the priority queue, the sources and what they give, the meter.
//!
//! Pure bookkeeping: no formats, no trust, no requests. Everything here is deterministic: the
//! same calls in the same order give the same answers.

pub mod gauge;
pub mod meter;
pub mod queue;
pub mod sources;
