//! What the engine plans with: the priority queue, the sources, what they give and what is
//! remembered of them, the meter, histograms.
//!
//! Pure bookkeeping: no formats, no trust, no requests. Everything here is deterministic: the
//! same calls in the same order give the same answers.

pub mod gauge;
pub mod histogram;
pub mod meter;
pub mod queue;
pub mod record;
mod retry;
pub mod sources;
