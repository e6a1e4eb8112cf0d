//! `cargo xtask bench sync`: a first sync in Chromium, against a hand-written client that checks
//! nothing and one that fetches plain content; a scan of every record; what a full sync fetches;
//! what a warm open costs. docs/benchmarks.md says what the clocks cover.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::sets::Sets;
use crate::build::bindgen::Effort;
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::Step;
use crate::toolchain;

/// Measure a full sync in Chromium, against hand-written clients; its bytes; a warm open.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; in each, every contender runs once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure this part alone, and write no figures.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Bytes and requests of a full sync.
    Sizes,
    /// A warm open and the first read.
    Warm,
    /// The contenders' times.
    Times,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Sizes => "sizes",
            Self::Warm => "warm",
            Self::Times => "times",
        }
    }
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds must be 1 or more");
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let package = npm::build(shop, Effort::Ship)?;
    edge::build(shop, Effort::Ship)?;
    let sets = Sets::new(shop)?;
    let npm_sets = sets.npm()?;
    let timed = [sets.compat_copies()?, sets.syn()?];
    let config = json!({
        "npm": package,
        "rounds": args.rounds,
        "only": args.only.map(Part::name),
        "sets": timed,
        // Small, and long enough for every hot path to be compiled.
        "warm": npm_sets.iter().find(|set| set["name"] == "solana-tokens"),
        "sizes": npm_sets,
    });
    let file = shop.target.join("bench-sets/sync.json");
    std::fs::write(&file, config.to_string())?;
    let step = Step::start("Chromium: contenders in turn, a fresh profile each");
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/sync/run.mjs")).arg(&file);
    node.env("PACKICE_CHROMIUM", chromium).stderr(std::process::Stdio::inherit());
    let output = node.output()?;
    ensure!(output.status.success(), "the measurement failed (its errors stand above)");
    let report: Value = serde_json::from_slice(&output.stdout).context("there is no report")?;
    step.done("");
    if args.only.is_some() {
        println!("{report:#}");
        return Ok(());
    }
    finish(shop, &npm_sets, &timed, report)
}

/// Computes the figures, prints the tables, writes the file.
fn finish(shop: &Shop, npm_sets: &[Value], timed: &[Value; 2], report: Value) -> Result<()> {
    let sizes = sizes(npm_sets, &report)?;
    let times: Vec<Times> =
        timed.iter().map(|set| Times::of(set, &report)).collect::<Result<_>>()?;
    let [bcd, random] = times.as_slice() else { anyhow::bail!("two sets are timed") };
    let warm = &report["warm"];
    ensure!(warm["state"] == "present", "the warm read did not find its key");
    let transactions = warm["transactions"].as_array().context("no transactions")?.len();
    let decoded = number(&warm["decodedBytes"])? / 1024.0;
    println!(
        "\nwarm open and first get of {}: {} requests, {transactions} transactions, {decoded:.0} \
         KiB decoded, {:.0} ms",
        random.name,
        warm["asked"],
        number(&warm["ms"])?,
    );
    let figures = [
        ("w2.bytes_ratio", json!(round(sizes.ratio)), "×"),
        ("w2.requests_over", json!(sizes.requests_over), "requests"),
        ("w3.vs_limit", json!(round(bcd.vs_limit().min(random.vs_limit()))), "×"),
        ("w3.vs_today.bcd", json!(round(bcd.vs_today())), "×"),
        ("w3.vs_today.random", json!(round(random.vs_today())), "×"),
        ("w3.scan.bcd", json!(round(bcd.scan())), "×"),
        ("w3.scan.random", json!(round(random.scan())), "×"),
        ("w4.requests", warm["asked"].clone(), "requests"),
        ("w4.transactions", json!(transactions), "transactions"),
        ("w4.decoded_kib", json!(decoded.ceil()), "KiB"),
    ];
    println!();
    for (id, value, unit) in &figures {
        println!("{id:<20} {value} {unit}");
    }
    let file = shop.write_bench("sync", &figures, report)?;
    println!("written to {}", file.display());
    Ok(())
}

/// What the full syncs fetched.
struct Sizes {
    ratio: f64,
    requests_over: i64,
}

fn sizes(npm_sets: &[Value], report: &Value) -> Result<Sizes> {
    let seen = report["sizes"].as_array().context("the report has no sizes")?;
    let (mut fetched, mut reference, mut requests_over) = (0.0, 0.0, i64::MIN);
    println!("\n{:<16} {:>12} {:>9} {:>12} {:>6}", "full sync", "bytes", "requests", "zstd", "×");
    for size in seen {
        let (bytes, requests) = (number(&size["bytes"])?, size["requests"].as_i64());
        let requests = requests.context("a sync has no requests")?;
        // Sizes are far below 2^52.
        #[expect(clippy::cast_possible_truncation, reason = "MiB of a bench fit")]
        let allowed = (bytes / f64::from(1 << 20)).ceil() as i64 + 8;
        requests_over = requests_over.max(requests - allowed);
        let whole = npm_sets.iter().find(|set| set["name"] == size["name"]);
        let name = size["name"].as_str().unwrap_or_default();
        match whole {
            Some(set) => {
                let one_file = number(&set["reference_bytes"])?;
                (fetched, reference) = (fetched + bytes, reference + one_file);
                let ratio = bytes / one_file;
                println!("{name:<16} {bytes:>12} {requests:>9} {one_file:>12} {ratio:>6.3}");
            }
            None => println!("{name:<16} {bytes:>12} {requests:>9}"),
        }
    }
    Ok(Sizes { ratio: fetched / reference, requests_over })
}

/// Medians of one set, in milliseconds.
struct Times {
    name: String,
    limit: f64,
    today: f64,
    today_scan: f64,
    packice: f64,
    packice_scan: f64,
}

impl Times {
    /// Takes a set's medians out of the report and prints them.
    fn of(set: &Value, report: &Value) -> Result<Self> {
        let name = set["name"].as_str().context("a set has no name")?.to_owned();
        let rounds = &report["times"][&name];
        let median = |contender: &str, parts: &[&str]| -> Result<f64> {
            let rounds = rounds[contender].as_array().context("no rounds")?;
            let sum = |round: &Value| parts.iter().map(|part| number(&round[*part])).sum();
            let mut all: Vec<f64> = rounds.iter().map(sum).collect::<Result<_>>()?;
            all.sort_by(f64::total_cmp);
            ensure!(!all.is_empty(), "no rounds");
            Ok((all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2.0)
        };
        let content = number(&set["content_bytes"])?;
        println!(
            "\n{name}: {} records, {:.1} MB plain, {:.1} MB on the wire",
            set["records"],
            content / 1e6,
            number(&set["wire_bytes"])? / 1e6
        );
        println!("{:<28} {:>8} {:>10}", "median", "ms", "MB/s plain");
        let show = |what: &str, ms: f64| {
            println!("{what:<28} {ms:>8.0} {:>10.0}", content / 1e3 / ms);
            ms
        };
        for contender in ["limit", "today", "packice"] {
            show(&format!("{contender}, with its opening"), median(contender, &["open", "sync"])?);
        }
        Ok(Self {
            limit: show("limit", median("limit", &["sync"])?),
            today: show("today", median("today", &["sync"])?),
            packice: show("packice", median("packice", &["sync"])?),
            today_scan: show("today, and its rows read", median("today", &["sync", "scan"])?),
            packice_scan: show("packice, and all records", median("packice", &["sync", "scan"])?),
            name,
        })
    }

    fn vs_limit(&self) -> f64 {
        self.limit / self.packice
    }

    fn vs_today(&self) -> f64 {
        self.today / self.packice
    }

    fn scan(&self) -> f64 {
        self.today_scan / self.packice_scan
    }
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().context("the report lacks a number")
}

/// Two digits are more than the machine deserves, three keep a bar's last digit honest.
fn round(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}
