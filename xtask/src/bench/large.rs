//! `cargo xtask bench large`: the synthetic set on the whole way, and the memory that each part
//! takes at most: build, publish with its self-check, a native sync, a sync in Chromium. Roots must
//! be equal everywhere, and samples of the records are compared with the generator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::peak::{self, Ran};
use crate::build::bindgen::Effort;
use crate::build::{edge, npm};
use crate::shop::Shop;
use crate::step::{Server, Step};
use crate::syn::{self, Syn};
use crate::{data, demo, text, toolchain};

/// What the parts may take, in MiB: the bars of the figures.
const BUILD_MIB_MAX: f64 = 512.0;
const WASM_MIB_MAX: f64 = 32.0;
/// Records whose values are compared in Chromium, in equal steps over all; and as many keys
/// that are not there.
const SAMPLES: u64 = 200;
/// Of those, how many the native client is asked for, each in a process of its own.
const NATIVE_SAMPLES: usize = 5;

/// Measure the memory that a set of millions of records takes on its whole way.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records of 100 bytes.
    #[arg(long, default_value_t = 10_000_000,
          value_parser = clap::value_parser!(u64).range(1000..))]
    records: u64,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

impl Args {
    /// What `test` runs: a tenth of the whole.
    pub(crate) fn bounded(no_install: bool) -> Self {
        Self { records: 1_000_000, no_install }
    }
}

/// A run under way.
struct Run<'a> {
    shop: &'a Shop,
    packice: PathBuf,
    dir: PathBuf,
    key: String,
    detail: Value,
}

/// A key in hexadecimal and the value it must have, in base64.
type Sample = (String, Option<String>);

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let started = Instant::now();
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let package = npm::build(shop, Effort::Ship)?;
    edge::build(shop, Effort::Ship)?;
    let packice = demo::build_publisher(shop)?;
    let dir = shop.target.join("bench-large");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let key = demo::random_key()?;
    let server = demo::start_edge(shop, 0, &dir.join("edge"), &key)?;
    let url = server.url()?.to_owned();
    let from = data::write_syn(shop, args.records, 1, &url)?;
    let mut run = Run { shop, packice, dir, key, detail: json!({ "records": args.records }) };

    let (root, build_bytes) = run.build(&from)?;
    run.publish()?;
    let set = Syn::new(args.records, 1);
    let samples = samples(&set);
    run.native(&root, &samples)?;
    let wasm_bytes = run.chromium(&url, &root, &samples, args.records, &package, &chromium)?;
    run.edge_peaks(&server);
    drop(server);

    let (build_mib, wasm_mib) = (mib(build_bytes), mib(wasm_bytes));
    let figures =
        [("w1.build_rss_mib", json!(build_mib), "MiB"), ("w1.wasm_mib", json!(wasm_mib), "MiB")];
    run.detail["seconds"] = json!(started.elapsed().as_secs());
    shop.write_bench("large", &figures, run.detail.clone())?;
    println!("{:#}", run.detail);
    println!("build {build_mib} MiB of {BUILD_MIB_MAX}, wasm {wasm_mib} MiB of {WASM_MIB_MAX}");
    // The files are as large as the set; whoever wants to look at them runs the verbs alone.
    std::fs::remove_dir_all(&run.dir)?;
    ensure!(build_mib <= BUILD_MIB_MAX, "the build took more memory than it may");
    ensure!(wasm_mib <= WASM_MIB_MAX, "the client in Chromium took more memory than it may");
    Ok(())
}

impl Run<'_> {
    fn packice(&self, args: &[&str]) -> Command {
        let mut command = self.shop.command(&self.packice);
        command.args(args).current_dir(&self.dir).env("PACKICE_PUBLISH_KEY", &self.key);
        command
    }

    /// Runs a verb of `packice` to its end and notes what it took.
    fn verb(&mut self, name: &str, args: &[&str]) -> Result<(Value, Ran)> {
        let step = Step::start(format!("packice {}", args.join(" ")));
        let ran = peak::run(&mut self.packice(args))?;
        let report: Value = serde_json::from_str(&ran.stdout)
            .with_context(|| format!("`packice {name}` printed no JSON"))?;
        step.done(format!("at most {} MiB", mib(ran.peak_bytes)));
        self.detail[name] = json!({
            "seconds": ran.took.as_secs(),
            "peak_mib": mib(ran.peak_bytes),
        });
        Ok((report, ran))
    }

    /// Builds from the lines of a folder; the root, and the memory taken.
    fn build(&mut self, from: &Path) -> Result<(String, u64)> {
        peak::run(&mut self.packice(&["init", "--dataset", "syn", "--non-interactive", "--json"]))?;
        let lines = from.join("accounts.jsonl");
        let config = std::fs::read_to_string(from.join("packice.toml"))?;
        let lines = lines.to_string_lossy();
        let config = config.replace("accounts.jsonl", &lines);
        std::fs::write(self.dir.join("packice.toml"), config)?;
        let (report, ran) = self.verb("build", &["build", "--json"])?;
        ensure!(ran.peak_bytes > 0, "this platform does not tell a child's memory");
        let collection = &report["build"]["collections"][0];
        let root = collection["root"].as_str().context("the build names no root")?.to_owned();
        for field in ["records", "plain_bytes", "wire_bytes", "bundles"] {
            self.detail[field] = collection[field].clone();
        }
        Ok((root, ran.peak_bytes))
    }

    /// Publishes; `packice` restores the candidate from the edge and compares every record.
    fn publish(&mut self) -> Result<()> {
        let (report, _) = self.verb("publish", &["publish", "--json"])?;
        ensure!(report["moved"] == json!(true), "the pointer did not move: {report}");
        ensure!(
            report["records_compared"] == self.detail["records"],
            "the self-check did not compare every record: {report}"
        );
        Ok(())
    }

    /// Syncs with the native client, and reads some samples.
    fn native(&mut self, root: &str, samples: &[Sample]) -> Result<()> {
        let (report, _) = self.verb("sync", &["sync", "--json"])?;
        let synced = &report["collections"][0];
        ensure!(synced["root"] == json!(root), "the native client has another root: {report}");
        ensure!(synced["complete"] == json!(true), "the native sync is not complete: {report}");
        let step = Step::start("packice get: samples against the generator");
        let every = samples.len() / NATIVE_SAMPLES;
        for (key, value) in samples.iter().step_by(every) {
            let mut get = self.packice(&["get", "accounts", key, "--hex"]);
            let output = get.output()?;
            match value {
                Some(value) => {
                    let said = output.stdout.strip_suffix(b"\n").unwrap_or_default();
                    ensure!(text::base64(said) == *value, "the native client reads {key} wrong");
                }
                // Proven absent.
                None => ensure!(output.status.code() == Some(7), "{key} is not proven absent"),
            }
        }
        step.done("");
        std::fs::remove_dir_all(self.dir.join(".packice/store"))?;
        Ok(())
    }

    /// Syncs in Chromium, reads the samples during and after it, and every record once; the
    /// bytes of the wasm memory at the end.
    fn chromium(
        &mut self,
        url: &str,
        root: &str,
        samples: &[Sample],
        records: u64,
        package: &Path,
        chromium: &Path,
    ) -> Result<u64> {
        let step = Step::start("Chromium: sync, samples, a scan of every record");
        let trust = text::base64(&std::fs::read(self.dir.join("trust/1.bin"))?);
        let config = json!({
            "npm": package, "url": url, "trust": trust, "dataset": "syn",
            "collection": "accounts", "samples": samples, "profile": self.dir.join("profile"),
        });
        let file = self.dir.join("chromium.json");
        std::fs::write(&file, config.to_string())?;
        let mut node = self.shop.node();
        node.arg(self.shop.path("tests/bench/large.mjs")).arg(&file);
        let ran = peak::run(node.env("PACKICE_CHROMIUM", chromium))?;
        let report: Value =
            serde_json::from_str(&ran.stdout).context("the browser run printed no report")?;
        step.done(report.to_string());
        let failures = report["wrong"].as_array().context("the report has no list of failures")?;
        if let Some(first) = failures.first() {
            bail!("{} reads in Chromium were wrong, the first: {first}", failures.len());
        }
        ensure!(report["root"] == json!(root), "Chromium has another root: {report}");
        ensure!(report["scanned"] == json!(records), "Chromium read other records: {report}");
        ensure!(report["read_during"] != json!(0), "no read ran during the sync: {report}");
        self.detail["chromium"] = report.clone();
        report["wasm_memory_bytes"].as_u64().context("the report has no memory")
    }

    fn edge_peaks(&mut self, server: &Server) {
        let peaks = peak::peaks_under(server.id());
        let peaks: Vec<_> =
            peaks.iter().map(|(name, bytes)| json!({ "name": name, "mib": mib(*bytes) })).collect();
        self.detail["edge_processes"] = json!(peaks);
    }
}

/// Records in equal steps, each followed by a key that is not there.
fn samples(set: &Syn) -> Vec<Sample> {
    let hex = |id| blake3::Hash::from_bytes(syn::key(id)).to_hex().to_string();
    let every = set.len() / SAMPLES;
    let at = |at: u64| {
        let (id, nobody) = (at * every, set.ids().end + at);
        let value = set.value(id).map(|value| text::base64(&value));
        [(hex(id), value), (hex(nobody), None)]
    };
    (0..SAMPLES).flat_map(at).collect()
}

/// MiB, to a tenth.
#[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
fn mib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0
}
