//! `cargo xtask bench network`: what a first sync in Chromium takes over a shaped loopback: the
//! time next to what its bytes alone need, sources that are bad or many, the memory of page and
//! worker, and a service worker that is stopped again and again. docs/benchmarks.md says how each
//! figure is measured.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::sets::Sets;
use crate::build::bindgen::Effort;
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::toolchain;

/// Records of the synthetic sets: enough for every hot path to be compiled; 24 MB for 20 Mbit/s,
/// 81 MB for 300, 203 MB for a service worker that is to be stopped a few times.
const WARM_RECORDS: u64 = 20_000;
const MIDDLE_RECORDS: u64 = 300_000;
const FAST_RECORDS: u64 = 1_000_000;
const WORKER_RECORDS: u64 = 2_500_000;
/// A gigabyte.
const FULL_RECORDS: u64 = 10_000_000;

/// Measure a first sync in Chromium over slow lines, from bad sources, in little memory.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of what is timed; a figure is their median.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Measure this part alone; the other figures stay as they were.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Records of the set whose memory is measured; a million when left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..))]
    records: Option<u64>,
    /// Measure the memory with ten million records.
    #[arg(long, conflicts_with = "records")]
    full: bool,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// What can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Three lines, next to the time that the bytes alone need.
    Shaped,
    /// A bad source beside a good one, and three good ones.
    Sources,
    /// Memory of page and worker.
    Heap,
    /// A service worker that is stopped again and again.
    Worker,
}

/// What a figure must reach.
#[derive(Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bar) => value <= bar,
            Self::AtLeast(bar) => value >= bar,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bar) => write!(f, "≤ {bar}"),
            Self::AtLeast(bar) => write!(f, "≥ {bar}"),
        }
    }
}

/// Every figure: its unit and its bar.
const FIGURES: &[(&str, &str, Bar)] = &[
    ("d3.time_ratio.rtt50", "×", Bar::AtMost(1.10)),
    ("d3.time_ratio.rtt200", "×", Bar::AtMost(1.10)),
    ("d3.time_ratio.rtt5", "×", Bar::AtMost(1.10)),
    ("d3.requests", "requests", Bar::AtMost(2.0)),
    ("d4.bad_source_ratio", "×", Bar::AtMost(1.15)),
    ("d4.three_sources", "×", Bar::AtLeast(2.5)),
    ("d5.heap_mib", "MiB", Bar::AtMost(32.0)),
    ("d7.extra_ratio", "×", Bar::AtMost(0.10)),
];

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let package = npm::build(shop, Effort::Ship)?;
    edge::build(shop, Effort::Ship)?;
    let mut config = sets(shop, args)?;
    config["npm"] = json!(package);
    config["rounds"] = json!(args.rounds);
    let file = shop.target.join("bench-sets/network.json");
    std::fs::write(&file, config.to_string())?;
    let step = Step::start("Chromium: first syncs over shaped lines");
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/network/run.mjs")).arg(&file);
    node.env("PACKICE_CHROMIUM", chromium).stderr(Stdio::inherit());
    let report: Value = serde_json::from_str(&step::capture(&mut node)?)
        .context("the browser run printed no report")?;
    step.done("");
    finish(shop, report)
}

/// The sets that the wanted parts take, for the driver.
fn sets(shop: &Shop, args: &Args) -> Result<Value> {
    let sets = Sets::new(shop)?;
    let mut config = json!({});
    if args.wants(Part::Shaped) || args.wants(Part::Sources) {
        config["warm"] = sets.syn_of(WARM_RECORDS)?;
    }
    if args.wants(Part::Shaped) {
        config["shaped"] = json!({
            "rtt50": sets.syn_of(MIDDLE_RECORDS)?,
            "rtt200": sets.compat_copies()?,
            "rtt5": sets.syn_of(FAST_RECORDS)?,
        });
    }
    if args.wants(Part::Sources) {
        config["sources"] = sets.syn_of(MIDDLE_RECORDS)?;
    }
    if args.wants(Part::Heap) {
        let records = if args.full { FULL_RECORDS } else { args.records.unwrap_or(FAST_RECORDS) };
        config["heap"] = sets.syn_of(records)?;
    }
    if args.wants(Part::Worker) {
        config["worker"] = sets.syn_of(WORKER_RECORDS)?;
    }
    Ok(config)
}

/// Holds the figures against their bars, prints the table, adds to the file.
fn finish(shop: &Shop, report: Value) -> Result<()> {
    let measured = report["figures"].as_object().context("the report has no figures")?;
    let mut detail = report["detail"].as_object().context("the report has no detail")?.clone();
    let mut figures = Vec::new();
    let mut bars = bars_before(shop);
    println!("\n{:<22} {:>9} {:<9} {:>8}", "figure", "value", "", "bar");
    for (id, unit, bar) in FIGURES {
        let Some(value) = measured.get(*id) else { continue };
        let value = value.as_f64().with_context(|| format!("{id} is no number"))?;
        let value = (value * 1000.0).round() / 1000.0;
        let holds = bar.holds(value);
        let note = if holds { "" } else { "missed" };
        println!("{id:<22} {value:>9} {unit:<9} {:>8} {note}", bar.to_string());
        bars.insert((*id).to_owned(), json!({ "bar": bar.to_string(), "met": holds }));
        figures.push((*id, json!(value), *unit));
    }
    ensure!(figures.len() == measured.len(), "the report has figures that nobody knows: {report}");
    detail.insert("bars".into(), bars.into());
    let file = shop.add_bench("network", &figures, &detail)?;
    println!("written to {}", file.display());
    Ok(())
}

/// How the figures of the parts that did not run now stood against their bars.
fn bars_before(shop: &Shop) -> serde_json::Map<String, Value> {
    let text = std::fs::read(shop.target.join("bench/network.json")).unwrap_or_default();
    let held: Value = serde_json::from_slice(&text).unwrap_or_default();
    held["detail"]["bars"].as_object().cloned().unwrap_or_default()
}
