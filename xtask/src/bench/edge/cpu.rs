//! `e3.*`: processor time of a request beside the smallest JavaScript worker's, the first request
//! of a fresh instance, and the size of the module (tests/bench/edge/cpu.mjs).

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Outcome;
use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Step};

/// The bars.
const HIT_RATIO_MAX: f64 = 1.15;
const COLD_RATIO_MAX: f64 = 3.0;
const GZIP_KB_MAX: f64 = 350.0;

/// Measures.
pub(super) fn measure(shop: &mut Shop) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let step = Step::start("processor time beside the smallest JavaScript worker");
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/edge/cpu.mjs"));
    let said: Value = serde_json::from_str(&step::capture(&mut node)?)?;
    step.done("");
    println!("{said}");
    let number = |value: &Value| value.as_f64().context("a number is missing");
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let hit = round(number(&said["hit"]["ratio"])?);
    let bare = round(number(&said["hit"]["bare_ratio"])?);
    let r2 = round(number(&said["r2"]["ratio"])?);
    let cold = round(number(&said["cold"]["ratio"])?);
    let kb = round(number(&said["size"]["gzip"])? / 1000.0);
    let figures = vec![
        ("e3.cpu_hit_ratio", json!(hit), "ratio", hit <= HIT_RATIO_MAX),
        ("e3.cpu_hit_bare_ratio", json!(bare), "ratio", true),
        ("e3.cpu_r2_ratio", json!(r2), "ratio", true),
        ("e3.cold_ratio", json!(cold), "ratio", cold <= COLD_RATIO_MAX),
        ("e3.wasm_gzip_kb", json!(kb), "KB", kb <= GZIP_KB_MAX),
    ];
    Ok(Outcome { figures, detail: json!({ "cpu": said }) })
}
