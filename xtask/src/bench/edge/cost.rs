//! e7: what `packice cost` says of a set of about 30 MB, whose cold sync it counts at an edge.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Outcome;
use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::{data, demo};

/// Records of the synthetic set: about 30 MB on the wire.
const RECORDS: u64 = 340_000;
/// Most that a terabyte, and a million cold syncs, may cost in US dollars.
const TB_USD_MAX: f64 = 0.35;
const MILLION_USD_MAX: f64 = 12.0;

/// Publishes the set and has its cold sync counted.
pub(super) fn measure(shop: &mut Shop) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let packice = demo::build_publisher(shop)?;
    let dir = shop.target.join("bench-cost");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let key = demo::random_key()?;
    let server = demo::start_edge(shop, 0, &dir.join("edge"), &key)?;
    let from = data::write_syn(shop, RECORDS, 1, server.url()?)?;
    let step = Step::start("packice init, build, publish, cost");
    let run = |args: &[&str]| {
        let mut command = shop.command(&packice);
        step::capture(command.args(args).current_dir(&dir).env("PACKICE_PUBLISH_KEY", &key))
    };
    run(&["init", "--dataset", "syn", "--non-interactive", "--json"])?;
    for name in ["packice.toml", "accounts.jsonl"] {
        std::fs::copy(from.join(name), dir.join(name)).with_context(|| format!("no {name}"))?;
    }
    run(&["build", "--json"])?;
    run(&["publish", "--json"])?;
    let bill: Value = serde_json::from_str(&run(&["cost", "--json"])?)?;
    step.done(format!(
        "a cold sync: {} requests, {} bytes",
        bill["sync"]["requests"], bill["sync"]["bytes"]
    ));
    drop(server);
    std::fs::remove_dir_all(&dir)?;
    let usd = |name: &str| {
        let usd = bill[name]["usd"].as_f64().unwrap_or(f64::MAX);
        (usd * 1000.0).round() / 1000.0
    };
    let (tb, million) = (usd("terabytes"), usd("clients"));
    let figures = vec![
        ("e7.usd_per_tb", json!(tb), "USD", tb <= TB_USD_MAX),
        ("e7.usd_per_million", json!(million), "USD", million <= MILLION_USD_MAX),
    ];
    Ok(Outcome { figures, detail: json!({ "cost": bill }) })
}
