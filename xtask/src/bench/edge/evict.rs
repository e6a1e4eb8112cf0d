//! `e1.evict_vs_optimum`: the regional store's rule on the day's trace, against the offline
//! optimum, least recently used and S3-FIFO, with the version-aware part on and off.

use anyhow::{Context, Result};
use packice_core::types::Name;
use packice_edge::shelf::{Policy, Shelf};
use serde_json::{Value, json};

use super::rules::{self, Ask};
use super::trace::{Day, Event, REGIONS, day};
use super::{Outcome, SEED, ratio};
use crate::step::Step;

/// The bar: so many times the misses of the optimum, at each of [`BUDGETS`].
const BAR: f64 = 1.35;
/// Budgets of a region, in hundredths of a version: the bar's, at least one version.
const BUDGETS: [u64; 4] = [100, 125, 150, 200];
/// Smaller ones, for information: a region that cannot hold one version.
const SMALL_BUDGETS: [u64; 3] = [25, 50, 75];
/// How many of the newest releases are kept whole.
const NEWEST: u64 = 1;

/// Measures.
pub(super) fn measure() -> Result<Outcome> {
    let step = Step::start("eviction on the day's trace");
    let day = day(SEED, 1);
    let (mut rows, mut worst): (Vec<Value>, f64) = (Vec::new(), 0.0);
    println!("budget  optimum   own  no versions   lru  s3-fifo  (misses / optimum's)");
    for percent in SMALL_BUDGETS.into_iter().chain(BUDGETS) {
        let row = row(&day, percent)?;
        let of = |rule: &str| row[rule].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:5.2}   {:7} {:5.3}        {:5.3} {:5.3}    {:5.3}",
            row["versions"].as_f64().unwrap_or(f64::NAN),
            row["optimum_misses"],
            of("own"),
            of("own_without_versions"),
            of("lru"),
            of("s3_fifo"),
        );
        if BUDGETS.contains(&percent) {
            worst = worst.max(of("own"));
        }
        rows.push(row);
    }
    step.done("");
    let worst = (worst * 1000.0).ceil() / 1000.0;
    let figures = vec![("e1.evict_vs_optimum", json!(worst), "ratio", worst <= BAR)];
    Ok(Outcome { figures, detail: json!({ "evict": rows }) })
}

fn row(day: &Day, percent: u64) -> Result<Value> {
    let budget = day.version_bytes * percent / 100;
    let sum = |rule: fn(&[Ask], u64) -> usize| -> usize {
        (0..REGIONS).map(|region| rule(&asks(day, region), budget)).sum()
    };
    let optimum = sum(rules::belady);
    let own = own(day, budget, NEWEST)?;
    let blind = self::own(day, budget, 0)?;
    Ok(json!({
        "versions": ratio(percent, 100),
        "budget_bytes": budget,
        "optimum_misses": optimum,
        "own": ratio(own as u64, optimum as u64),
        "own_without_versions": ratio(blind as u64, optimum as u64),
        "lru": ratio(sum(rules::lru) as u64, optimum as u64),
        "s3_fifo": ratio(sum(rules::s3_fifo) as u64, optimum as u64),
    }))
}

fn asks(day: &Day, wanted: usize) -> Vec<Ask> {
    let of = |event: &Event| match *event {
        Event::Ask { region, thing, .. } if region == wanted => {
            Some(Ask { thing, size: day.things[thing].size })
        }
        Event::Ask { .. } | Event::Release { .. } => None,
    };
    day.events.iter().filter_map(of).collect()
}

/// Misses of the edge's own shelf, one for each region.
fn own(day: &Day, budget: u64, newest: u64) -> Result<usize> {
    let dataset = Name::new("bench").context("no name")?;
    let mut shelves: Vec<Shelf> = (0..REGIONS as u64)
        .map(|region| Shelf::new(Policy { budget, newest }, SEED + region))
        .collect();
    let mut misses = 0;
    for event in &day.events {
        match *event {
            Event::Release { release } => {
                for shelf in &mut shelves {
                    let groups = &day.needs[release].groups;
                    for (group, members) in groups {
                        if !shelf.knows(&dataset, *group) {
                            members.iter().for_each(|thing| {
                                shelf.join(&day.things[*thing].key, *group);
                            });
                        }
                    }
                    let numbers: Vec<u64> = groups.iter().map(|(group, _)| *group).collect();
                    shelf.release(&dataset, &numbers);
                }
            }
            Event::Ask { at_ms, region, thing } => {
                let (shelf, thing) = (&mut shelves[region], &day.things[thing]);
                shelf.used_again(&thing.key, 1, at_ms);
                if !shelf.holds(&thing.key) {
                    misses += 1;
                    shelf.take(&thing.key, thing.size, at_ms);
                }
            }
        }
    }
    Ok(misses)
}
