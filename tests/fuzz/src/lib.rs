//! What the fuzz targets of the parsers share. Each target feeds one kind of bytes; `engine` reads
//! its bytes as the life of a client (`packice_tests::scenario`).
//!
//! Needs nightly and cargo-fuzz, and is no part of `cargo xtask test`, which damages the same seeds
//! at random (tests/tests/hostile.rs): `cargo xtask fuzz` runs all of them, `cargo xtask fuzz leaf`
//! one.
//! The corpora are the frozen vectors, written by `cargo run -p packice-tests --bin vectors`.

use std::cell::RefCell;

use packice_tests::parsers::{Kind, Parsers};

thread_local! {
    static PARSERS: RefCell<Parsers> = RefCell::new(Parsers::new());
}

/// Reads bytes of a kind; what is taken must be written again as it was read.
pub fn parse(kind: Kind, data: &[u8]) {
    let read = PARSERS.with_borrow_mut(|parsers| parsers.parse(kind, data));
    if let Ok(Some(written)) = read {
        assert_eq!(written, data, "{kind:?} has two encodings");
    }
}
