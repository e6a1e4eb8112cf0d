//! e5: an edge under load, for as long as is asked: tests/bench/edge/load.mjs.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Outcome;
use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Step};

/// Loads the shipped worker on workerd.
pub(super) fn measure(shop: &mut Shop, minutes: f64) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let step = Step::start(format!("load for {minutes} minutes"));
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/edge/load.mjs"));
    node.args(["--seconds", &(minutes * 60.0).to_string()]);
    let said = step::capture(&mut node)?;
    let report: Value = serde_json::from_str(&said).context("load.mjs printed no JSON")?;
    let figure = |name: &str| report[name].as_f64().unwrap_or_default();
    step.done(format!(
        "{:.0} requests a second, p99 {:.0} ms, memory {:.0} to {:.0} MiB",
        figure("rate"),
        figure("p99_ms"),
        figure("memory_warm") / 1_048_576.0,
        figure("memory_highest") / 1_048_576.0,
    ));
    let errors = report["errors"].clone();
    let holds = errors == json!(0);
    let figures = vec![("e5.errors", errors, "count", holds)];
    Ok(Outcome { figures, detail: json!({ "load": report }) })
}
