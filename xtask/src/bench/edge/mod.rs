//! `cargo xtask bench edge`: the edge as a network. One file for each group of figures; what a run
//! does not measure keeps its figure of the run before in `target/bench/edge.json`.

mod api;
mod cost;
mod cpu;
mod evict;
mod load;
mod network;
mod rules;
mod trace;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::shop::Shop;

/// What everything random here begins with.
const SEED: u64 = 42;

/// Measure the edge: tiers, eviction, floods, processor time, load, cost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure these groups alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// How many requests of the day's trace go through the network.
    #[arg(long, default_value_t = trace::REQUESTS)]
    requests: usize,
    /// For how many minutes the edge is loaded.
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// The rule of the regional store, against the optimum
    Evict,
    /// The day's trace through four regions
    Day,
    /// Misses that come at once, and names that do not exist
    Floods,
    /// Processor time, the first request, the module's size
    Cpu,
    /// Reads, uploads and removals at once, for a quarter of an hour
    Load,
    /// Requests made up from the OpenAPI document, thousands of them
    Api,
    /// What a terabyte and a million cold syncs cost
    Cost,
}

/// A figure's id, value and unit, and whether it holds its bar.
type Figure = (&'static str, Value, &'static str, bool);

/// What a group measured.
struct Outcome {
    figures: Vec<Figure>,
    detail: Value,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let wanted = |group: &Group| args.only.is_empty() || args.only.contains(group);
    let mut over = 0;
    for group in Group::value_variants().iter().filter(|group| wanted(group)) {
        let outcome = match group {
            Group::Evict => evict::measure()?,
            Group::Day => network::measure_day(shop, args.requests)?,
            Group::Floods => network::measure_floods(shop)?,
            Group::Cpu => cpu::measure(shop)?,
            Group::Load => load::measure(shop, args.minutes)?,
            Group::Api => api::measure(shop)?,
            Group::Cost => cost::measure(shop)?,
        };
        over += report(shop, outcome)?;
    }
    if over > 0 {
        bail!("{over} of the figures do not hold their bars");
    }
    Ok(())
}

/// Prints a group's figures and puts them into the file; how many do not hold their bars.
fn report(shop: &Shop, outcome: Outcome) -> Result<usize> {
    let file = shop.target.join("bench/edge.json");
    let mut before: Value = match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => json!({ "figures": [], "detail": {} }),
    };
    let mut detail = before["detail"].take();
    if let (Some(all), Value::Object(own)) = (detail.as_object_mut(), outcome.detail) {
        all.extend(own);
    }
    let own = |id: &Value| outcome.figures.iter().any(|(own, ..)| id == own);
    let kept: Vec<Value> = before["figures"].as_array().cloned().unwrap_or_default();
    let kept: Vec<_> = kept.into_iter().filter(|figure| !own(&figure["id"])).collect();
    let mut figures: Vec<(&str, Value, &str)> = kept
        .iter()
        .filter_map(|figure| {
            Some((figure["id"].as_str()?, figure["value"].clone(), figure["unit"].as_str()?))
        })
        .collect();
    for (id, value, unit, holds) in &outcome.figures {
        let (said, word) = (value.to_string(), if *holds { "ok" } else { "OVER ITS BAR" });
        println!("{id:<24} {said:>10} {unit:<8} {word}");
        figures.push((id, value.clone(), unit));
    }
    figures.sort_by_key(|(id, ..)| id.to_owned());
    shop.write_bench("edge", &figures, detail)?;
    Ok(outcome.figures.iter().filter(|(.., holds)| !holds).count())
}

/// A ratio with three digits.
#[expect(clippy::cast_precision_loss, reason = "counts are exact in an f64")]
fn ratio(value: u64, by: u64) -> f64 {
    (value as f64 / by as f64 * 1000.0).round() / 1000.0
}
