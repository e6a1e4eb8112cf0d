//! How fast deltas are unpacked: the year pair of the largest set, natively and in wasm as it
//! ships.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Found, History};
use crate::build::bindgen::{self, Effort, Glue};
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::toolchain;

/// The set, which has the largest values.
const SET: &str = "bcd";

pub(super) fn main(
    shop: &mut Shop,
    deltas: &Path,
    histories: &[History],
    found: &mut Found,
) -> Result<()> {
    toolchain::ensure_node(shop)?;
    let history = histories.iter().find(|history| history.name == SET).context("no such set")?;
    let (from, to) = history.pairs().pop().context("no pair")?;
    let out = shop.target.join("bench-update/segments");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let wasm = bindgen::cargo_build(shop, "packice-tests-wasm", Effort::Ship)?;
    let modules = shop.target.join("bench-update/wasm");
    bindgen::bind(shop, &wasm, &modules, "packice_delta_bench", Glue::Web, Effort::Ship)?;
    let step = Step::start(format!("unpacking {SET} {from} → {to}"));
    let mut command = shop.command(deltas);
    command.arg("--keep").arg(&out).arg(&history.dir).arg(format!("{from}:{to}"));
    let native: Value = serde_json::from_str(&step::capture(&mut command)?)?;
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/update/unpack.mjs")).arg(&modules).arg(&out);
    let in_wasm: Value = serde_json::from_str(&step::capture(&mut node)?)?;
    step.done("");
    let number = |value: &Value| value.as_f64().context("a number is missing");
    let plain = number(&native["plain_bytes"])?;
    for (id, ms) in [("native", &native["unpack_ms"]), ("wasm", &in_wasm["ms"])] {
        let ms = number(ms)?;
        found.figure(format!("c1.unpack_ms.{id}"), json!(ms.round()), "ms");
        let rate = (plain / ms / 10.0).round() / 100.0;
        found.figure(format!("c1.unpack_mb_s.{id}"), json!(rate), "MB/s");
    }
    found.detail("unpack", json!({"native": native, "wasm": in_wasm}));
    Ok(())
}
