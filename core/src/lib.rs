//! The core of Packice: formats, tree, trust and the sync engine, with no I/O of its own.
//!
//! Everything that a publisher, an edge or a client must agree on is decided here, and runs
//! unchanged in a browser, on the edge, in the native CLI and in a simulator. The core has no
//! clock, no randomness, no async and no logger: bytes, times and seeds are arguments, decisions
//! are results.
//!
//! # The drain contract of the engine
//!
//! A shell owns one [`engine::Engine`] and runs one loop:
//!
//! 1. feed one [`engine::Input`] with [`engine::Engine::handle`], with the time it arrived;
//! 2. take outputs with [`engine::Engine::poll_output`] and perform each, until a terminal one
//!    comes: [`engine::Output::Work`] (call [`engine::Engine::work`] with a budget, then poll
//!    again) or [`engine::Output::Wait`] (feed the next input, or a tick at `until`);
//! 3. every request id that an output carries gets exactly one completion as an input.
//!
//! # Map
//!
//! Arrows between modules point one way: `types`, `limits`, `map`, `error`, `planted` ← `hash`,
//! `codec` ← `format`, `frame` ← `tree`, `trust`, `keep` ← `httpsig`, `plan` ← `engine` ←
//! `trace`. `cargo xtask tidy` enforces them.
//!
//! # What an attacker could try here
//!
//! Every byte that reaches a parser may be hostile. Parsers check each count and length against
//! [`limits`] before they allocate, refuse non-canonical encodings, and refuse trailing bytes.
#![no_std]

extern crate alloc;

pub mod codec;
pub mod delta;
pub mod engine;
pub mod error;
pub mod format;
pub mod frame;
pub mod hash;
pub mod httpsig;
pub mod keep;
pub mod limits;
pub mod map;
pub mod plan;
pub mod planted;
pub mod trace;
pub mod tree;
pub mod trust;
pub mod types;
