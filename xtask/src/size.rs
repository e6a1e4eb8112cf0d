//! `cargo xtask size`: what the npm package costs a page, by part, as brotli at its best.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::build::bindgen::Effort;
use crate::build::npm;
use crate::shop::Shop;
use crate::stamp::files_under;
use crate::step;

/// What wasm and JavaScript together may weigh, in KB of 1000 bytes. The way from a publisher to a
/// read fits 150; docs/ARCHITECTURE.md says what came after it, and for how much.
const BUDGET_KB: f64 = 222.0;

/// Measure the npm package: wasm and JavaScript as brotli, by part.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The verb.
pub(crate) fn main(shop: &mut Shop, _: &Args) -> Result<()> {
    let package = npm::build(shop, Effort::Ship)?;
    let counts = |path: &PathBuf| path.extension().is_some_and(|s| s == "wasm" || s == "js");
    let files: Vec<_> = files_under(&package)?.into_iter().filter(counts).collect();
    let mut node = shop.node();
    node.arg(shop.path("tests/harness/brotli.mjs")).args(&files);
    let said: Value = serde_json::from_str(&step::capture(&mut node)?)?;

    let (mut parts, mut raw_sum, mut brotli_sum) = (Vec::new(), 0, 0);
    println!("{:<32} {:>10} {:>10}", "part", "bytes", "brotli");
    for file in &files {
        let size = &said[file.to_string_lossy().as_ref()];
        let bytes = |what: &str| size[what].as_u64().context("a size is missing");
        let (raw, brotli) = (bytes("raw")?, bytes("brotli")?);
        let name = file.strip_prefix(&package)?.to_string_lossy().into_owned();
        println!("{name:<32} {raw:>10} {brotli:>10}");
        parts.push(json!({"part": name, "bytes": raw, "brotli": brotli}));
        raw_sum += raw;
        brotli_sum += brotli;
    }
    println!("{:<32} {raw_sum:>10} {brotli_sum:>10}", "all");
    // Sizes are far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
    let kb = (brotli_sum as f64 / 10.0).round() / 100.0;
    println!("wasm + JS: {kb} KB brotli of {BUDGET_KB} KB (1 KB = 1000 bytes)");
    let detail = json!({"kb_is_bytes": 1000, "budget_kb": BUDGET_KB, "parts": parts});
    shop.write_bench("size", &[("a6.brotli_kb", kb.into(), "KB")], detail)?;
    if kb > BUDGET_KB {
        bail!("the package is over its budget: {kb} KB brotli, {BUDGET_KB} KB allowed");
    }
    Ok(())
}
