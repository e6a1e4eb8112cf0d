//! `cargo xtask bench trust`: what trust costs. The bytes and round trips to the head of a client
//! that was away for so many releases; trust's share of the npm package; the processor time of a
//! cold client's verification in Chromium, as a ratio to its bare signatures; and how many of the
//! attacks of tests/attacks pass with every client.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::build::bindgen::{self, Effort, Glue};
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::{demo, toolchain};

/// The bars of the figures.
const BYTES_MAX: u64 = 64 * 1024;
const ROUND_TRIPS_MAX: u64 = 3;
const BROTLI_KB_MAX: f64 = 45.0;
const CPU_RATIO_MAX: f64 = 2.0;
const CPU_MS_MAX: f64 = 20.0;
const ATTACKS_MIN: u64 = 45;
/// The clients that every attack runs against, and what runs each.
const CLIENTS: [&str; 3] = ["core", "native", "browser"];

/// Measure what trust costs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the attacks out: `cargo xtask test` runs them, too.
    #[arg(long)]
    no_attacks: bool,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let away = away(shop)?;
    let size = size(shop)?;
    let cpu = cpu(shop, &chromium)?;
    let mut figures = away_figures(&away)?;
    let added = size["brotli_added"].as_u64().context("no size")?;
    #[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
    let kb = round(added as f64 / 1000.0, 100.0);
    figures.push(("b5.brotli_kb", json!(kb), "KB", kb <= BROTLI_KB_MAX));
    let ratio = round(cpu["ratio"].as_f64().context("no ratio")?, 1000.0);
    figures.push(("b5.cpu_ratio", json!(ratio), "ratio", ratio <= CPU_RATIO_MAX));
    let ms = round(cpu["cold_ms"].as_f64().context("no time")?, 100.0);
    figures.push(("b5.cpu_ms", json!(ms), "ms", ms <= CPU_MS_MAX));
    let mut detail = json!({ "away": away, "size": size, "cpu": cpu });
    if !args.no_attacks {
        let attacks = attacks(shop, &chromium)?;
        let passed = attacks["everywhere"].as_u64().context("no count")?;
        let all = attacks["rows"].as_u64().context("no count")?;
        figures.push(("b1.attacks", json!(passed), "rows", passed == all && all >= ATTACKS_MIN));
        detail["attacks"] = attacks;
    }
    report(shop, &figures, detail)
}

/// A figure's id, value and unit, and whether it holds its bar.
type Figure = (&'static str, Value, &'static str, bool);

fn report(shop: &Shop, figures: &[Figure], detail: Value) -> Result<()> {
    let written: Vec<_> =
        figures.iter().map(|(id, value, unit, _)| (*id, value.clone(), *unit)).collect();
    let file = shop.write_bench("trust", &written, detail)?;
    for (id, value, unit, holds) in figures {
        let (value, word) = (value.to_string(), if *holds { "ok" } else { "OVER ITS BAR" });
        println!("{id:<16} {value:>10} {unit:<6} {word}");
    }
    eprintln!("written to {}", file.display());
    match figures.iter().filter(|(.., holds)| !holds).count() {
        0 => Ok(()),
        over => bail!("{over} of the figures do not hold their bars"),
    }
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// The client that was away, for some numbers of releases.
fn away(shop: &Shop) -> Result<Value> {
    let step = Step::start("a client away for 1 to 1,000,000 releases");
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "packice-tests"]);
    cargo.args(["--bin", "trust_bench", "--", "1", "100", "10000", "1000000"]);
    let rows: Value = serde_json::from_str(&step::capture(&mut cargo)?)?;
    step.done("");
    println!("{:>10} {:>8} {:>12} {:>6}", "releases", "bytes", "round trips", "tiles");
    for row in rows.as_array().context("no rows")? {
        let [releases, bytes, trips, tiles] =
            ["releases", "bytes", "round_trips", "tiles"].map(|field| row[field].to_string());
        println!("{releases:>10} {bytes:>8} {trips:>12} {tiles:>6}");
    }
    Ok(rows)
}

fn away_figures(away: &Value) -> Result<Vec<Figure>> {
    let row = away.as_array().and_then(|rows| rows.iter().find(|row| row["releases"] == 10_000));
    let row = row.context("10,000 releases were not measured")?;
    let field = |name: &str| row[name].as_u64().context("a number is missing");
    let (bytes, trips) = (field("bytes")?, field("round_trips")?);
    Ok(vec![
        ("b4.bytes", json!(bytes), "bytes", bytes <= BYTES_MAX),
        ("b4.round_trips", json!(trips), "trips", trips <= ROUND_TRIPS_MAX),
    ])
}

/// The package's module once more with its functions' names, cut as tests/bench/trust/size.mjs
/// says.
fn size(shop: &Shop) -> Result<Value> {
    let wasm = bindgen::cargo_build(shop, "packice-client", Effort::Ship)?;
    let dir = shop.target.join("bench-trust");
    let named = bindgen::bind_named(shop, &wasm, &dir, "packice_client_named")?;
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/trust/size.mjs")).arg(named);
    Ok(serde_json::from_str(&step::capture(&mut node)?)?)
}

/// Everything that a cold client verifies, and the bare signatures in it.
fn cpu(shop: &Shop, chromium: &Path) -> Result<Value> {
    let wasm = bindgen::cargo_build(shop, "packice-tests-wasm", Effort::Ship)?;
    let dir = shop.target.join("bench-trust");
    bindgen::bind(shop, &wasm, &dir, "packice_trust_bench", Glue::Web, Effort::Ship)?;
    let step = Step::start("a cold client's verification in Chromium");
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/trust/cpu.mjs")).arg(&dir);
    node.env("PACKICE_CHROMIUM", chromium);
    let measured = serde_json::from_str(&step::capture(&mut node)?)?;
    step.done("");
    Ok(measured)
}

/// Runs tests/attacks with each client, and counts the rows that pass with every one that they
/// are for.
fn attacks(shop: &mut Shop, chromium: &Path) -> Result<Value> {
    // One fixture is against the edge itself.
    edge::build(shop, Effort::Ship)?;
    let folder = shop.target.join("attacks");
    for client in CLIENTS {
        // What an earlier run left must not count for this one.
        let _ = std::fs::remove_file(folder.join(format!("{client}.json")));
    }
    let mut cargo = shop.cargo();
    cargo.args(["test", "--quiet", "--package", "packice-tests"]);
    cargo.args(["--test", "attacks", "--test", "attacks_cli"]);
    let (native, _) = step::tee(&mut cargo)?;
    let objects = folder.join("objects");
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--package", "packice-tests", "--bin", "attacks", "--"]);
    step::run(cargo.arg(&objects))?;
    let package = npm::build(shop, Effort::Ship)?;
    let packice = demo::build_publisher(shop)?;
    let mut node = shop.node();
    node.args(["--test", "--test-timeout=600000"]).arg(shop.path("tests/e2e/attacks.test.mjs"));
    node.env("PACKICE_CHROMIUM", chromium).env("PACKICE_NPM", package);
    node.env("PACKICE_BIN", packice).env("PACKICE_ATTACKS", &objects);
    let (browser, _) = step::tee(&mut node)?;
    let mut counted = count_attacks(&shop.path("tests/attacks"), &folder)?;
    counted["runs_passed"] = json!({ "native": native, "browser": browser });
    Ok(counted)
}

/// Rows by fixture folder: passed with every client, where it runs at all.
fn count_attacks(fixtures: &Path, results: &Path) -> Result<Value> {
    let read = |file: &Path| -> Result<Value> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} is missing", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    };
    let mut clients: BTreeMap<&str, Value> = BTreeMap::new();
    for client in CLIENTS {
        clients.insert(client, read(&results.join(format!("{client}.json")))?["rows"].clone());
    }
    let (mut rows, mut everywhere, mut failed, mut partly) = (0, 0, Vec::new(), Vec::new());
    for entry in std::fs::read_dir(fixtures).context("tests/attacks is missing")? {
        let fixture = entry?.path();
        if !fixture.is_dir() {
            continue;
        }
        let name = fixture.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let attack = read(&fixture.join("attack.json"))?;
        rows += 1;
        let mut holds = true;
        for (client, found) in &clients {
            let exempt = !attack["not_for"][client].is_null();
            match found.get(&name) {
                Some(row) => holds &= row["passed"] == true,
                None if exempt => partly.push(format!("{name}: not for {client}")),
                None => holds = false,
            }
        }
        if holds { everywhere += 1 } else { failed.push(name) }
    }
    ensure!(rows > 0, "tests/attacks has no fixture");
    Ok(json!({ "rows": rows, "everywhere": everywhere, "failed": failed, "partly": partly }))
}
