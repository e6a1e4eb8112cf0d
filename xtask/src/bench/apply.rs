//! `cargo xtask bench apply`: what an update costs a client in Chromium that holds the synthetic
//! set. The real publisher releases version after version of it through the real edge; the client
//! follows by deltas. Figures `c3.*` go to `target/bench/update.json`, beside those of `bench
//! update`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::bindgen::Effort;
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::syn::{self, Syn};
use crate::{data, demo, text, toolchain};

/// Measure what an update costs a client in Chromium.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records of the synthetic set.
    #[arg(long, default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1000..))]
    records: u64,
    /// Updates, one after the other, of 0.1 % each; the bars are for 32.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(2..))]
    updates: u64,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let package = npm::build(shop, Effort::Ship)?;
    edge::build(shop, Effort::Ship)?;
    let packice = demo::build_publisher(shop)?;
    let dir = shop.target.join("bench-apply");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let key = demo::random_key()?;
    let server = demo::start_edge(shop, 0, &dir.join("edge"), &key)?;
    let url = server.url()?.to_owned();
    first(shop, &packice, &dir, &key, &data::write_syn(shop, args.records, 1, &url)?)?;
    let updates = updates(&dir, args)?;

    let trust = text::base64(&std::fs::read(dir.join("trust/1.bin"))?);
    let config = json!({
        "npm": package, "url": url, "trust": trust, "dataset": "syn", "collection": "accounts",
        "profile": dir.join("profile"), "project": dir, "packice": packice, "updates": updates,
        "keys": sample_keys(args.records),
    });
    let file = dir.join("chromium.json");
    std::fs::write(&file, config.to_string())?;
    let step = Step::start(format!("Chromium: {} updates", args.updates));
    let mut node = shop.node();
    node.arg(shop.path("tests/bench/apply.mjs")).arg(&file).env("PACKICE_CHROMIUM", chromium);
    node.env("PACKICE_PUBLISH_KEY", &key).stderr(std::process::Stdio::inherit());
    let report: Value = serde_json::from_str(&step::capture(&mut node)?)
        .context("the browser run printed no report")?;
    step.done("");
    drop(server);
    finish(shop, args, report)?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The first version, built and published.
fn first(shop: &Shop, packice: &Path, dir: &Path, key: &str, from: &Path) -> Result<()> {
    let run = |args: &[&str]| {
        let step = Step::start(format!("packice {}", args.join(" ")));
        let mut command: Command = shop.command(packice);
        step::capture(command.args(args).current_dir(dir).env("PACKICE_PUBLISH_KEY", key))?;
        step.done("");
        Ok::<(), anyhow::Error>(())
    };
    run(&["init", "--dataset", "syn", "--non-interactive"])?;
    let lines = from.join("accounts.jsonl");
    let config = std::fs::read_to_string(from.join("packice.toml"))?;
    let config = config.replace("accounts.jsonl", &lines.to_string_lossy());
    std::fs::write(dir.join("packice.toml"), config)?;
    run(&["build", "--json"])?;
    run(&["publish", "--json"])
}

/// Writes each update as operations: where they are, how many, and the bytes of their keys and
/// values.
fn updates(dir: &Path, args: &Args) -> Result<Vec<Value>> {
    let step = Step::start("operations of each update");
    let mut before = Syn::new(args.records, 1);
    let mut updates = Vec::new();
    for version in 2..=args.updates + 1 {
        let now = Syn::new(args.records, version);
        let (mut lines, mut bytes, mut count) = (String::new(), 0, 0_u64);
        for id in now.changed_since(&before) {
            let key = syn::key(id);
            let hex = blake3::Hash::from_bytes(key).to_hex();
            bytes += key.len();
            count += 1;
            match now.value(id) {
                Some(value) => {
                    bytes += value.len();
                    let value = text::base64(&value);
                    let put = json!({"op": "put", "key_hex": hex.as_str(), "value_base64": value});
                    writeln!(lines, "{put}")?;
                }
                None => {
                    writeln!(lines, "{}", json!({"op": "delete", "key_hex": hex.as_str()}))?;
                }
            }
        }
        let file: PathBuf = dir.join(format!("operations-{version}.jsonl"));
        std::fs::write(&file, lines)?;
        updates.push(json!({ "file": file, "bytes": bytes, "operations": count }));
        before = now;
    }
    step.done(format!("{} updates", updates.len()));
    Ok(updates)
}

/// Keys in equal steps over the whole set, for reads beside an update.
fn sample_keys(records: u64) -> Vec<String> {
    let hex = |id| blake3::Hash::from_bytes(syn::key(id)).to_hex().to_string();
    (0..512).map(|at| hex(at * records / 512)).collect()
}

fn finish(shop: &Shop, args: &Args, report: Value) -> Result<()> {
    let number = |value: &Value| value.as_f64().context("the report lacks a figure");
    let round = |value: f64| json!((value * 1000.0).round() / 1000.0);
    let steps = report["updates"].as_array().context("the report has no updates")?;
    ensure!(steps.len() as u64 == args.updates, "some updates are missing: {report:#}");
    // The first one gives the figures of one update, the second one the memory.
    for step in &steps[..2] {
        ensure!(step["road"] == "delta", "an update came by another road: {step}");
    }
    let by_delta = steps.iter().filter(|step| step["road"] == "delta").count();
    println!("{by_delta} of {} updates by delta", steps.len());
    let first = &steps[0];
    let changed = number(&first["changed_bytes"])?;
    let sum = |field: &str| -> Result<f64> { steps.iter().map(|step| number(&step[field])).sum() };
    let all = sum("fetched_bytes")? + sum("written_bytes")? + sum("folded_bytes")?;
    let figures = [
        ("c3.write_ratio", round(number(&first["written_bytes"])? / changed), "ratio"),
        ("c3.heap_mib", round(number(&report["heap_bytes"])? / f64::from(1 << 20)), "MiB"),
        ("c3.get_p99_ms", round(number(&first["beside"]["p99_ms"])?), "ms"),
        ("c3.get_idle_p99_ms", round(number(&first["idle"]["p99_ms"])?), "ms"),
        ("c3.decoded_ratio", round(number(&first["decoded_bytes"])? / changed), "ratio"),
        ("c3.folded_ratio", round(all / sum("changed_bytes")?), "ratio"),
    ];
    for (id, value, unit) in &figures {
        println!("{id:<20} {value} {unit}");
    }
    let mut detail = serde_json::Map::new();
    let what = json!({"records": args.records, "updates": args.updates, "measured": report});
    detail.insert("apply".into(), what);
    let file = shop.add_bench("update", &figures, &detail)?;
    println!("{}", file.display());
    Ok(())
}
