//! `cargo xtask bench update`: what an update weighs as a delta, beside what outside tools make of
//! the same two versions: of the files as they were published, and again of the sorted records.
//! The smallest of all counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

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
    let deltas = build(shop)?;
    let mut rows = Vec::new();
    for history in &histories {
        let pairs = history.pairs();
        let step = Step::start(format!("{}: {} pairs", history.name, pairs.len()));
        for (from, to) in pairs {
            rows.push(measure(shop, &deltas, history, from, to)?);
        }
        step.done("");
    }
    report(shop, &rows)
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

fn measure(shop: &Shop, deltas: &Path, history: &History, from: &str, to: &str) -> Result<Row> {
    let mut command = shop.command(deltas);
    command.arg(&history.dir).arg(format!("{from}:{to}"));
    let delta: Value = serde_json::from_str(&step::capture(&mut command)?)?;
    let work = shop.target.join("bench-update");
    let mut rivals = Vec::new();
    for (end, kind) in [("raw", "published"), ("jsonl", "records")] {
        let file = |version: &str| history.dir.join(format!("{version}.{end}"));
        rivals.extend(rivals::all(shop, &file(from), &file(to), kind, &work)?);
    }
    Ok(Row { set: history.name.clone(), delta, rivals })
}

/// Sizes are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
fn exact(bytes: u64) -> f64 {
    bytes as f64
}

fn report(shop: &Shop, rows: &[Row]) -> Result<()> {
    let mut table = String::from(
        "| set | pair | inserts/updates/deletes | delta | best tool | its bytes | ratio |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut worst = 0f64;
    let mut detail = Vec::new();
    for row in rows {
        let (best, bytes) = (row.best()?, row.bytes());
        let ratio = exact(bytes) / exact(best.bytes);
        worst = worst.max((exact(bytes) - GRACE_BYTES) / exact(best.bytes));
        for set in [row.set.as_str(), "all"] {
            let sum = sums.entry(set).or_default();
            *sum = (sum.0 + bytes, sum.1 + best.bytes);
        }
        let field = |name: &str| row.delta[name].as_str().unwrap_or_default().to_owned();
        table += &format!(
            "| {} | {} → {} | {}/{}/{} | {bytes} | {} | {} | {ratio:.3} |\n",
            row.set,
            field("from"),
            field("to"),
            row.delta["inserts"],
            row.delta["updates"],
            row.delta["deletes"],
            best.name,
            best.bytes,
        );
        let tools: BTreeMap<_, _> = row.rivals.iter().map(|u| (&u.name, u.bytes)).collect();
        detail.push(json!({"set": row.set, "delta": row.delta, "tools": tools}));
    }
    print!("{table}");
    let round = |ratio: f64| (ratio * 10_000.0).round() / 10_000.0;
    let mut figures = vec![("c1.worst_ratio".to_owned(), json!(round(worst)), "ratio")];
    for (set, (bytes, best)) in &sums {
        let ratio = round(exact(*bytes) / exact(*best));
        println!("{set}: {bytes} of {best} bytes, {ratio}");
        figures.push((format!("c1.sum_ratio.{set}"), json!(ratio), "ratio"));
    }
    println!("worst pair, after {GRACE_BYTES} bytes: {:.4}", worst);
    let figures: Vec<_> =
        figures.iter().map(|(id, value, unit)| (id.as_str(), value.clone(), *unit)).collect();
    let out = shop.write_bench("update", &figures, json!({"pairs": detail}))?;
    std::fs::write(out.with_extension("md"), table)?;
    println!("{}", out.display());
    Ok(())
}
