//! `cargo xtask bench update`: what an update weighs as a delta, beside what outside tools make of
//! the same two versions: of the files as they were published, and again of the sorted records.
//! The smallest of all counts. Beside them: what a client that follows fetches besides the delta
//! (`overhead`), how fast a delta is unpacked natively and in wasm (`speed`), and the synthetic set
//! (`synthetic`).

mod chart;
mod overhead;
mod report;
mod speed;
mod synthetic;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::history::{self, History};
use super::rivals::{self, Update};
use crate::shop::Shop;
use crate::step::{self, Step};

/// What a pair may weigh beyond the best tool's ratio: a small pair's fixed bytes.
const GRACE_BYTES: f64 = 128.0;

/// Measure deltas beside outside tools.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of successive versions instead of the four sets: VERSION.jsonl, one
    /// {"k": …, "v": …} a line, and VERSION.raw, the file as it was published.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Only these sets.
    #[arg(long)]
    set: Vec<String>,
    /// Records of the synthetic set; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    syn: u64,
    /// Leave out what a client fetches besides, and how fast it unpacks.
    #[arg(long)]
    only_bytes: bool,
    /// Take the tools' bytes from reports of earlier runs, for the pairs that are in them: they
    /// depend on nothing but the two files, and take most of the time.
    #[arg(long)]
    tools: Vec<PathBuf>,
    /// Write the chart and the table of the docs.
    #[arg(long)]
    write_docs: bool,
}

/// One pair, measured.
struct Row {
    set: String,
    delta: Value,
    rivals: Vec<Update>,
}

impl Row {
    fn bytes(&self) -> u64 {
        self.delta["bytes"].as_u64().unwrap_or(u64::MAX)
    }

    fn field(&self, name: &str) -> &str {
        self.delta[name].as_str().unwrap_or_default()
    }

    fn best(&self) -> Result<&Update> {
        self.rivals.iter().min_by_key(|update| update.bytes).context("no tool ran")
    }
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    rivals::check(shop)?;
    let mut histories = match &args.data {
        Some(dir) => vec![History::of_dir(dir)?],
        None => history::fetch(shop)?,
    };
    histories.retain(|history| args.set.is_empty() || args.set.contains(&history.name));
    ensure!(!histories.is_empty(), "no set has a name that --set gives");
    let mut known = Vec::new();
    for file in &args.tools {
        let text =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        known.push(serde_json::from_slice::<Value>(&text)?);
    }
    let deltas = build(shop)?;
    let mut rows = Vec::new();
    for history in &histories {
        let pairs = history.pairs();
        let step = Step::start(format!("{}: {} pairs", history.name, pairs.len()));
        for (from, to) in pairs {
            let held = known.iter().find_map(|report| tools_of(report, history, from, to));
            rows.push(measure(shop, &deltas, history, (from, to), held)?);
        }
        step.done("");
    }
    let mut found = Found::default();
    report::pairs(&rows, &mut found)?;
    let own = args.data.is_none() && args.set.is_empty();
    if own && args.syn > 0 {
        synthetic::main(shop, &deltas, args.syn, &mut found)?;
    }
    if own && !args.only_bytes {
        overhead::main(shop, &histories, &mut found)?;
        speed::main(shop, &deltas, &histories, &mut found)?;
    }
    let figures: Vec<_> =
        found.figures.iter().map(|(id, value, unit)| (id.as_str(), value.clone(), *unit)).collect();
    let out = shop.add_bench("update", &figures, &found.detail)?;
    std::fs::write(out.with_extension("md"), report::table(&rows)?)?;
    if args.write_docs {
        ensure!(own, "the docs are of all four sets");
        report::write_docs(shop, &rows)?;
    }
    println!("{}", out.display());
    Ok(())
}

/// What was measured: figures for machines, and everything that led to them.
#[derive(Default)]
struct Found {
    figures: Vec<(String, Value, &'static str)>,
    detail: Map<String, Value>,
}

impl Found {
    fn figure(&mut self, id: impl Into<String>, value: Value, unit: &'static str) {
        let id = id.into();
        println!("{id}: {value} {unit}");
        self.figures.push((id, value, unit));
    }

    fn detail(&mut self, name: &str, value: Value) {
        self.detail.insert(name.into(), value);
    }
}

/// Sizes are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
fn exact(bytes: u64) -> f64 {
    bytes as f64
}

fn rounded(value: f64) -> Value {
    json!((value * 10_000.0).round() / 10_000.0)
}

/// The packer as the publisher runs it: optimised.
fn build(shop: &Shop) -> Result<PathBuf> {
    let step = Step::start("cargo build packice-tests deltas (release)");
    let mut cargo = shop.cargo();
    cargo.args(["build", "--locked", "--release", "-p", "packice-tests", "--bin", "deltas"]);
    step::quiet(&mut cargo)?;
    step.done("");
    Ok(shop.target.join("release/deltas"))
}

/// The tools' bytes of a pair in an earlier report.
fn tools_of(report: &Value, history: &History, from: &str, to: &str) -> Option<Vec<Update>> {
    let pairs = report["detail"]["pairs"].as_array()?;
    let pair = pairs.iter().find(|pair| {
        let delta = &pair["delta"];
        pair["set"] == history.name.as_str() && delta["from"] == from && delta["to"] == to
    })?;
    let tools = pair["tools"].as_object()?;
    let update = |(name, bytes): (&String, &Value)| {
        Some(Update { name: name.clone(), bytes: bytes.as_u64()? })
    };
    tools.iter().map(update).collect()
}

fn measure(
    shop: &Shop,
    deltas: &Path,
    history: &History,
    (from, to): (&str, &str),
    held: Option<Vec<Update>>,
) -> Result<Row> {
    let mut command = shop.command(deltas);
    command.arg(&history.dir).arg(format!("{from}:{to}"));
    let delta: Value = serde_json::from_str(&step::capture(&mut command)?)?;
    let rivals = match held {
        Some(held) => held,
        None => run_tools(shop, history, from, to)?,
    };
    Ok(Row { set: history.name.clone(), delta, rivals })
}

fn run_tools(shop: &Shop, history: &History, from: &str, to: &str) -> Result<Vec<Update>> {
    let work = shop.target.join("bench-update");
    let mut rivals = Vec::new();
    for (end, kind) in [("raw", "published"), ("jsonl", "records")] {
        let file = |version: &str| history.dir.join(format!("{version}.{end}"));
        rivals.extend(rivals::all(shop, &file(from), &file(to), kind, &work)?);
    }
    Ok(rivals)
}
