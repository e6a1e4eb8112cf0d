//! `cargo xtask sim`: runs of the simulator, and how many held; `cargo xtask sim crowd`: a flash
//! crowd at a modelled edge (docs/simulator.md for both).

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::step;

/// Run the engine in the simulator: one seed is one run; figures go to target/bench/sim.json.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// How many seeds, each the one after the last
    #[arg(long, default_value_t = 10_000)]
    runs: u64,
    /// The first seed; without --runs and with --explain, the only one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tell the story of the seed in words, and write no figures
    #[arg(long, conflicts_with = "runs")]
    explain: bool,
    /// Plant ten bugs, one after the other, and count those that are found, each within --runs
    #[arg(long, conflicts_with_all = ["seed", "explain"])]
    bugs: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// A flash crowd of clients at a modelled edge, calm and with outages; figures go to
    /// target/bench/crowd.json
    Crowd(Crowd),
}

#[derive(clap::Args)]
struct Crowd {
    /// How many clients come
    #[arg(long, default_value_t = 100_000)]
    clients: u32,
    /// What all is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Calm and this scenario alone (origin, region, pointer, cold), and write no figures
    #[arg(long)]
    scenario: Option<String>,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    if let Some(What::Crowd(crowd)) = &args.what {
        return self::crowd(shop, crowd);
    }
    if args.bugs {
        return bugs(shop, args.runs);
    }
    let runs = if args.explain { 1 } else { args.runs };
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--locked", "--release", "-p", "packice-tests"]);
    cargo.args(["--bin", "sim", "--", &runs.to_string(), &args.seed.to_string()]);
    if args.explain {
        return step::run(cargo.arg("--explain"));
    }
    let (_, said) = step::tee(&mut cargo)?;
    let line = said.lines().rev().find(|line| line.starts_with('{'));
    let report: Value = serde_json::from_str(line.context("the simulator did not end")?)?;
    let violations = report["violations"].as_u64().context("no count")?;
    let seconds = report["seconds"].as_f64().context("no time")?;
    #[expect(clippy::cast_precision_loss, reason = "a number of runs is exact in an f64")]
    let rate = (runs as f64 / seconds).round();
    println!("{runs} runs, {violations} with a broken invariant, {rate} runs a second");
    let figures = [("d1.runs", json!(runs), "runs"), ("d1.violations", json!(violations), "runs")];
    let mut detail = serde_json::Map::new();
    detail.insert("runs".into(), json!({"rate": rate, "report": report, "commit": shop.commit()}));
    shop.add_bench("sim", &figures, &detail)?;
    if violations > 0 {
        bail!("{violations} of {runs} runs broke an invariant");
    }
    Ok(())
}

/// Whether the simulator finds what is broken on purpose.
fn bugs(shop: &mut Shop, runs: u64) -> Result<()> {
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--locked", "--release", "-p", "packice-tests"]);
    cargo.args(["--features", "planted", "--bin", "sim_bugs", "--", &runs.to_string()]);
    let (ended, said) = step::tee(&mut cargo)?;
    let line = said.lines().rev().find(|line| line.starts_with('{'));
    let report: Value = serde_json::from_str(line.context("the simulator did not end")?)?;
    let (found, planted) = (report["found"].clone(), report["planted"].clone());
    println!("{found} of {planted} planted bugs found, each within {runs} runs");
    let mut detail = serde_json::Map::new();
    detail.insert("bugs".into(), json!({"report": report, "commit": shop.commit()}));
    shop.add_bench("sim", &[("d1.mutants_found", found, "bugs")], &detail)?;
    if !ended {
        bail!("a planted bug was not found, or a run without one broke an invariant");
    }
    Ok(())
}

fn crowd(shop: &Shop, args: &Crowd) -> Result<()> {
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--locked", "--release", "-p", "packice-tests"]);
    cargo.args(["--bin", "crowd", "--", &args.clients.to_string(), &args.seed.to_string()]);
    if let Some(scenario) = &args.scenario {
        return step::run(cargo.arg(scenario));
    }
    let (_, said) = step::tee(&mut cargo)?;
    let line = said.lines().rev().find(|line| line.starts_with('{'));
    let report: Value = serde_json::from_str(line.context("the simulator did not end")?)?;
    let calm = &report["scenarios"]["calm"];
    let figures = [
        ("d2.clients", report["clients"].clone(), "clients"),
        ("d2.origin_ratio", calm["origin_ratio"].clone(), "ratio"),
        ("d2.bootstrap_p99", calm["bootstrap_ms"]["p99"].clone(), "ms"),
        ("d2.complete_p99", calm["complete_ms"]["p99"].clone(), "ms"),
    ];
    let mut detail = serde_json::Map::new();
    detail.insert("crowd".into(), json!({"report": report, "commit": shop.commit()}));
    shop.add_bench("crowd", &figures, &detail)?;
    let broken = report["broken"].as_array().context("no bars")?;
    if !broken.is_empty() {
        bail!("{} bars are broken", broken.len());
    }
    Ok(())
}
