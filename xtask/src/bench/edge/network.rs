//! `e1.origin_ratio`, `e2.upstream_reads`, `e2.unknown_origin_reads`: the day's trace, and floods,
//! through four regions on four workerd instances and one origin (tests/bench/edge/network.mjs).

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use packice_core::types::Name;
use packice_edge::release::Release;
use serde_json::{Value, json};

use super::trace::{Day, Event, body, day};
use super::{Outcome, SEED, ratio};
use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Step};

/// The bar: reads of the origin for each object that was asked for.
const ORIGIN_BAR: f64 = 1.02;
/// The bars of floods.
const UPSTREAM_BAR: u64 = 1;
const UNKNOWN_BAR: u64 = 10;
/// Sizes are divided by this, so that the trace's terabyte fits a machine.
const SCALE: u64 = 64;
/// A region's budget, in hundredths of a version.
const BUDGET_PERCENT: u64 = 125;
/// How many of the newest releases are kept whole.
const NEWEST: u64 = 1;

/// The day through the tiers; the first so many requests of it.
pub(super) fn measure_day(shop: &mut Shop, requests: usize) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let folder = write(shop, requests)?;
    let step = Step::start(format!("{requests} requests through four regions"));
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/edge/network.mjs")).arg(&folder);
    let said: Value = serde_json::from_str(&step::capture(&mut node)?)?;
    step.done("");
    let count = |what: &str| said[what].as_u64().with_context(|| format!("no `{what}`"));
    ensure!(count("failed")? == 0, "{} requests failed", said["failed"]);
    let origin = ratio(count("origin_reads")?, count("distinct")?);
    println!("{said}");
    let figures = vec![("e1.origin_ratio", json!(origin), "ratio", origin <= ORIGIN_BAR)];
    Ok(Outcome { figures, detail: json!({ "day": said }) })
}

/// Many who miss at once, and names that do not exist.
pub(super) fn measure_floods(shop: &mut Shop) -> Result<Outcome> {
    edge::build(shop, Effort::Ship)?;
    let step = Step::start("floods at one region");
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/edge/network.mjs")).args(["-", "flood"]);
    let said: Value = serde_json::from_str(&step::capture(&mut node)?)?;
    step.done("");
    ensure!(said["found"] == 0, "{} unknown names were found", said["found"]);
    let upstream = said["upstream"].as_u64().context("no count")?;
    let unknown = said["unknown"].as_u64().context("no count")?;
    println!("{said}");
    let figures = vec![
        ("e2.upstream_reads", json!(upstream), "reads", upstream == UPSTREAM_BAR),
        ("e2.unknown_origin_reads", json!(unknown), "reads", unknown <= UNKNOWN_BAR),
    ];
    Ok(Outcome { figures, detail: json!({ "floods": said }) })
}

/// Writes the trace and the objects' bytes to where the driver finds them.
fn write(shop: &Shop, requests: usize) -> Result<PathBuf> {
    let day = day(SEED, SCALE);
    let folder = shop.target.join("bench-edge");
    std::fs::create_dir_all(&folder)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join("bodies.bin"))?);
    for (number, thing) in day.things.iter().enumerate() {
        file.write_all(&body(number, thing.size))?;
    }
    file.flush()?;
    let mut left = requests;
    let events = day.events.iter().map_while(|event| match event {
        Event::Release { release } => Some(json!([-1, release])),
        Event::Ask { region, thing, .. } => {
            left = left.checked_sub(1)?;
            Some(json!([region, thing]))
        }
    });
    let trace = json!({
        "budget_bytes": day.version_bytes * BUDGET_PERCENT / 100,
        "versions": NEWEST,
        "things": day.things.iter().map(|thing| json!([thing.key, thing.size])).collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(),
        "needs": needs(&day)?,
    });
    std::fs::write(folder.join("trace.json"), trace.to_string())?;
    Ok(folder)
}

fn needs(day: &Day) -> Result<Vec<Value>> {
    let dataset = Name::new("bench").context("no name")?;
    let rows = day.needs.iter().map(|needs| {
        let keys = |things: &[usize]| -> Vec<String> {
            things.iter().map(|thing| day.things[*thing].key.clone()).collect()
        };
        let groups = needs.groups.iter().map(|(group, things)| (*group, keys(things))).collect();
        let release = Release { dataset: dataset.clone(), groups };
        json!({ "first": needs.first, "body": release.encode() })
    });
    Ok(rows.collect())
}
