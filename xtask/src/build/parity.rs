//! The core in wasm as the tests drive it: `target/parity/packice_tests_wasm.js` and its wasm
//! file, for tests/e2e/parity.test.mjs.

use std::path::PathBuf;

use anyhow::Result;

use super::bindgen::{self, Effort, Glue};
use crate::shop::Shop;

/// Builds, and returns the folder with both files. Not optimised: it ships to nobody.
pub(crate) fn build(shop: &Shop) -> Result<PathBuf> {
    let wasm = bindgen::cargo_build(shop, "packice-tests-wasm", Effort::Quick)?;
    let _lock = shop.lock()?;
    let dir = shop.target.join("parity");
    bindgen::bind(shop, &wasm, &dir, "packice_tests_wasm", Glue::Web, Effort::Quick)?;
    Ok(dir)
}
