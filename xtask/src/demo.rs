//! `cargo xtask demo`: the whole way of the data, on this machine. Builds everything, starts the
//! edge on workerd, publishes three real data sets through its PUT API, and serves the page; with
//! `--headless` drives Chromium through it, compares every record with its source, publishes a
//! change and goes back from it, and prints one JSON summary.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::build::bindgen::Effort;
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::{self, Server, Step};
use crate::{data, text, toolchain};

/// What a cold `get()` may cost: requests that wait for one another, and bytes with headers.
const COLD_REQUESTS_MAX: u64 = 2;
const COLD_BYTES_MAX: u64 = 64 * 1024;

/// Publish three real data sets to a local edge and show them in a browser.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Drive Chromium through the page, compare every record, print one JSON summary, and exit.
    #[arg(long)]
    headless: bool,
    /// The edge's port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    edge_port: u16,
    /// The page's port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

impl Args {
    /// What `test` runs.
    pub(crate) fn headless(no_install: bool) -> Self {
        Self { headless: true, edge_port: 0, port: 0, no_install }
    }
}

/// One published set, as the page needs it.
struct Published {
    name: &'static str,
    trust: String,
    report: Value,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let started = Instant::now();
    let Built { package, packice, chromium } = build_all(shop, args)?;

    let folder = shop.target.join("demo");
    let store = folder.join("store");
    if store.exists() {
        std::fs::remove_dir_all(&store)?;
    }
    std::fs::create_dir_all(&folder)?;
    let key = random_key()?;
    let server = start_edge(shop, args.edge_port, &store, &key)?;
    let url = server.url()?.to_owned();
    let projects = data::write_all(shop, &url)?;
    let mut sets = Vec::new();
    for name in data::names() {
        sets.push(publish(shop, &packice, &projects.join(name), name, &key)?);
    }

    let config = folder.join("config.json");
    let listed: Vec<_> =
        sets.iter().map(|set| json!({"name": set.name, "url": url, "trust": set.trust})).collect();
    let settings = json!({
        "www": shop.path("www"), "npm": package, "shots": folder, "port": args.port, "sets": listed,
        "packice": packice, "projects": projects,
    });
    std::fs::write(&config, settings.to_string())?;
    let mut page = shop.node();
    page.arg(shop.path("tests/harness/demo.mjs")).arg(&config);
    page.env("PACKICE_PUBLISH_KEY", &key);
    let Some(chromium) = chromium else {
        eprint!("{}", step::table());
        return serve(&mut page, &url);
    };
    page.arg("--headless").env("PACKICE_CHROMIUM", chromium);
    let step = Step::start("Chromium: sync, screenshots, every record against its source");
    page.stderr(std::process::Stdio::inherit());
    let output = page.output()?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .context("the browser run printed no report (its errors stand above)")?;
    step.done("");
    drop(server);
    finish(shop, &sets, report, started)
}

/// What the demo is made of.
struct Built {
    package: PathBuf,
    packice: PathBuf,
    chromium: Option<PathBuf>,
}

/// Installs and builds everything. The publisher is the longest build and needs nothing else, so it
/// goes on beside what waits for the network and what keeps one core busy.
fn build_all(shop: &mut Shop, args: &Args) -> Result<Built> {
    let beside = shop.clone();
    std::thread::scope(|scope| {
        let publisher = scope.spawn(move || build_publisher(&beside));
        toolchain::ensure_node(shop)?;
        let chromium = match args.headless {
            true => Some(toolchain::ensure_chromium(shop, !args.no_install)?),
            false => None,
        };
        let package = npm::build(shop, Effort::Ship)?;
        edge::build(shop, Effort::Ship)?;
        let packice = publisher.join().map_err(|_| anyhow!("the publisher's build panicked"))??;
        Ok(Built { package, packice, chromium })
    })
}

/// Serves the page until Ctrl-C.
fn serve(page: &mut std::process::Command, edge: &str) -> Result<()> {
    let mut server = Server::start(page)?;
    println!("the page: {}", server.url()?);
    println!("the edge: {edge}");
    println!("Ctrl-C ends both.");
    server.wait().map(drop)
}

/// Where an edge on this machine listens.
pub(crate) const LOCAL_EDGE: &str = "http://127.0.0.1:8787";

/// The publisher, optimised: it compresses.
pub(crate) fn build_publisher(shop: &Shop) -> Result<PathBuf> {
    let step = Step::start("cargo build packice (release)");
    let mut cargo = shop.cargo();
    step::run(cargo.args(["build", "--quiet", "--release", "--package", "packice"]))?;
    let name = format!("packice{}", std::env::consts::EXE_SUFFIX);
    step.done("");
    Ok(shop.target.join("release").join(name))
}

/// The edge on workerd, for the one publisher that has a key.
pub(crate) fn start_edge(shop: &Shop, port: u16, store: &Path, key: &str) -> Result<Server> {
    let step = Step::start("edge on workerd");
    let mut node = shop.node();
    node.arg(shop.path("tests/harness/edge.mjs")).arg("--persist").arg(store);
    node.args(["--port", &port.to_string()]).env("PACKICE_PUBLISH_KEY", key);
    let server = Server::start(&mut node)?;
    step.done(server.url()?);
    Ok(server)
}

/// A publish key for this run.
pub(crate) fn random_key() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("this machine has no /dev/urandom")?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

/// `packice init`, `build` and `publish` in a fresh project.
fn publish(
    shop: &Shop,
    packice: &Path,
    project: &Path,
    name: &'static str,
    key: &str,
) -> Result<Published> {
    let step = Step::start(format!("packice init, build, publish: {name}"));
    let config = std::fs::read(project.join("packice.toml"))?;
    for stale in ["packice.toml", ".packice", "keys", "trust"] {
        let path = project.join(stale);
        if path.is_dir() {
            std::fs::remove_dir_all(&path)?;
        } else if path.exists() {
            std::fs::remove_file(&path)?;
        }
    }
    let run = |args: &[&str]| {
        let mut command = shop.command(packice);
        step::capture(command.args(args).current_dir(project).env("PACKICE_PUBLISH_KEY", key))
    };
    run(&["init", "--dataset", name, "--non-interactive"])?;
    // The keys and the trust root are init's; what to publish is ours.
    std::fs::write(project.join("packice.toml"), config)?;
    run(&["build", "--json"])?;
    let said = run(&["publish", "--json"])?;
    let report = serde_json::from_str(&said).context("`packice publish --json` printed no JSON")?;
    let trust = std::fs::read(project.join("trust/1.bin"))
        .context("`packice init` wrote no trust root (trust/1.bin)")?;
    step.done("");
    Ok(Published { name, trust: text::base64(&trust), report })
}

/// What took how long, in seconds.
fn steps() -> Value {
    let row = |step: step::Taken| json!({"step": step.name, "seconds": step.took.as_secs_f64()});
    step::taken().into_iter().map(row).collect()
}

/// Judges the browser's report, writes the figures, prints the summary.
fn finish(shop: &Shop, sets: &[Published], mut report: Value, started: Instant) -> Result<()> {
    let mut failures: Vec<String> = report["failures"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|failure| failure.as_str().unwrap_or_default().to_owned())
        .collect();
    let figure = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let seen = report["sets"].as_array().cloned().unwrap_or_default();
    let sum = |field: &str| {
        let all = seen.iter().map(|set| set[field].as_u64());
        all.sum::<Option<u64>>().unwrap_or(u64::MAX)
    };
    let (records, mismatches) = (sum("records"), sum("mismatches"));
    if seen.len() != sets.len() {
        failures.push(format!("{} of {} sets were synced", seen.len(), sets.len()));
    }
    for set in &seen {
        if set["mismatches"] != json!(0) || set["records"] == json!(0) {
            failures.push(format!("{}: {} mismatches", set["set"], set["mismatches"]));
        }
        if set["page_errors"].as_array().is_none_or(|errors| !errors.is_empty()) {
            failures.push(format!("{}: the page logged {}", set["set"], set["page_errors"]));
        }
    }
    let cold = &report["cold_get"];
    let (requests, bytes) =
        (figure(&cold["dependent_requests"]), figure(&cold["bytes_with_headers"]));
    if cold["right"] != json!(true) {
        failures.push("the cold get() did not bring the record".to_owned());
    }
    if requests > COLD_REQUESTS_MAX || bytes > COLD_BYTES_MAX {
        failures.push(format!("the cold get() took {requests} dependent requests, {bytes} bytes"));
    }
    let change = &report["change"];
    if change["right"] != json!(true) || change["bytes_fetched_back"] != json!(0) {
        failures.push(format!("a change did not show as it should: {change}"));
    }
    let figures = [
        ("a1.mismatches", json!(mismatches), "records"),
        ("a1.records", json!(records), "records"),
        ("a5.requests", json!(requests), "dependent requests"),
        ("a5.bytes", json!(bytes), "bytes, headers included"),
    ];
    report["publish"] = sets.iter().map(|set| (set.name.to_owned(), set.report.clone())).collect();
    report["records"] = json!(records);
    report["mismatches"] = json!(mismatches);
    report["ok"] = json!(failures.is_empty());
    report["failures"] = json!(failures);
    report["seconds"] = json!(started.elapsed().as_secs());
    report["steps"] = steps();
    eprint!("{}", step::table());
    shop.write_bench("demo", &figures, report.clone())?;
    println!("{report}");
    ensure!(!seen.is_empty(), "no data set was synced");
    if !failures.is_empty() {
        bail!("the demo failed: {}", failures.join("; "));
    }
    Ok(())
}
