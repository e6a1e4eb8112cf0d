//! `cargo xtask bench push`: clients that listen to one workerd, real engines over real WebSockets;
//! how long after a publisher began to move the pointer each had the push, and stood at the new
//! version, what it asked for, and that those whose lines died find the next one by asking. The
//! figures go to `target/bench/update.json`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::bindgen::Effort;
use crate::build::edge;
use crate::shop::Shop;
use crate::step::{self, Server, Step};
use crate::{demo, toolchain};

/// The bar of the figure.
const PUSH_MS_MAX: u64 = 1000;
const RECORDS: usize = 400;

/// Measure how soon listeners of one workerd stand at a new version.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many listen.
    #[arg(long, default_value_t = 1000)]
    clients: u32,
}

/// The followers, and what they print.
struct Followers {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Followers {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().context("the followers have no stdout")?;
        Ok(Self { child, lines: BufReader::new(lines) })
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the followers said {line:?}"))
    }

    fn tell(&mut self, order: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the followers have no stdin")?;
        writeln!(stdin, "{order}").context("the followers are gone")
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A project of one small collection, of which each release changes one record.
struct Project<'a> {
    shop: &'a Shop,
    packice: PathBuf,
    dir: PathBuf,
    key: String,
}

impl Project<'_> {
    fn run(&self, args: &[&str]) -> Result<Value> {
        let mut command = self.shop.command(&self.packice);
        command.args(args).current_dir(&self.dir).env("PACKICE_PUBLISH_KEY", &self.key);
        let said = step::capture(&mut command)?;
        serde_json::from_str(&said).with_context(|| format!("packice {} printed no JSON", args[0]))
    }

    /// Builds a version; its root.
    fn build(&self, version: usize) -> Result<String> {
        let mut lines = String::new();
        for record in 0..RECORDS {
            let text = if record == version { "changed" } else { "as it was" };
            lines.push_str(&format!("{{\"k\":\"key/{record:05}\",\"v\":\"{text} {record}\"}}\n"));
        }
        std::fs::write(self.dir.join("records.jsonl"), lines)?;
        let report = self.run(&["build", "--json"])?;
        let root = report["build"]["collections"][0]["root"].as_str();
        root.map(str::to_owned).context("the build names no root")
    }
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    toolchain::ensure_node(shop)?;
    edge::build(shop, Effort::Ship)?;
    let packice = demo::build_publisher(shop)?;
    let followers = build(shop)?;
    let dir = shop.target.join("bench-push");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let key = demo::random_key()?;
    let server = start_edge(shop, &dir.join("edge"), &key)?;
    let project = Project { shop, packice, dir, key };
    project.run(&[
        "init",
        "--dataset",
        "followed",
        "--priority",
        "0",
        "--key",
        "{k}",
        "--value",
        "v",
        "--value-text",
        "--edge",
        server.url()?,
        "--non-interactive",
        "--json",
    ])?;
    project.build(0)?;
    project.run(&["publish", "--json"])?;

    let step = Step::start(format!("{} clients begin to listen", args.clients));
    let trust = project.dir.join("trust/1.bin");
    let mut command = shop.command(&followers);
    command.args([server.url()?, "followed"]).arg(trust).arg(args.clients.to_string());
    let mut followers = Followers::start(&mut command)?;
    let proxy = followers.line()?["proxy"].as_str().context("no proxy")?.to_owned();
    let ready = followers.line()?;
    ensure!(ready["ready"] == json!(args.clients), "not all are greeted: {ready}");
    step.done(ready.to_string());

    let push = follow(&project, &mut followers, &proxy, "push", 2)?;
    let poll = follow(&project, &mut followers, &proxy, "poll", 3)?;
    report(shop, args, &push, &poll)
}

/// Publishes a version through the followers' proxy; what came of it.
fn follow(
    project: &Project<'_>,
    followers: &mut Followers,
    proxy: &str,
    how: &str,
    version: usize,
) -> Result<Value> {
    let step = Step::start(format!("version {version}, by {how}"));
    let root = project.build(version)?;
    followers.tell(&format!("{how} {version}"))?;
    let published = project.run(&["publish", "--json", "--edge", proxy])?;
    ensure!(published["version"] == json!(version), "another version: {published}");
    let came = followers.line()?;
    ensure!(came["same_roots"] == json!(true), "they stand at several roots: {came}");
    ensure!(came["roots"] == json!([root]), "they stand at another root than {root}: {came}");
    ensure!(came["reached"] == came["clients"], "not all came to the version: {came}");
    ensure!(came["faults"] == json!(0), "somebody was blamed: {came}");
    step.done(came.to_string());
    Ok(came)
}

fn report(shop: &Shop, args: &Args, push: &Value, poll: &Value) -> Result<()> {
    let p99_ms = push["told_p99_ms"].as_u64().context("the report has no time")?;
    let figures = [
        ("c6.push_p99_ms", json!(p99_ms), "ms"),
        ("c6.reached_p99_ms", push["p99_ms"].clone(), "ms"),
    ];
    let detail = json!({ "clients": args.clients, "push": push, "poll": poll });
    let detail = [("push".to_owned(), detail)].into_iter().collect();
    let out = shop.add_bench("update", &figures, &detail)?;
    println!("{}", out.display());
    ensure!(push["told"] == push["clients"], "not all were told: {push}");
    ensure!(push["requests"] == json!(0), "an update that was pushed cost requests: {push}");
    ensure!(poll["requests"].as_u64() > Some(0), "who heard nothing did not ask: {poll}");
    ensure!(p99_ms <= PUSH_MS_MAX, "a hundredth waited longer than {PUSH_MS_MAX} ms: {p99_ms}");
    Ok(())
}

fn build(shop: &Shop) -> Result<PathBuf> {
    let step = Step::start("cargo build packice-tests followers (release)");
    let mut cargo = shop.cargo();
    cargo.args(["build", "--locked", "--release", "-p", "packice-tests", "--bin", "followers"]);
    step::quiet(&mut cargo)?;
    step.done("");
    Ok(shop.target.join("release/followers"))
}

/// An edge whose listeners all come from one address.
fn start_edge(shop: &Shop, store: &Path, key: &str) -> Result<Server> {
    let step = Step::start("edge on workerd");
    let mut node = shop.node();
    node.arg(shop.path("tests/harness/edge.mjs")).arg("--persist").arg(store);
    node.args(["--binding", "LIVE_LIMITS=4/8000/8000"]).env("PACKICE_PUBLISH_KEY", key);
    let server = Server::start(&mut node)?;
    step.done(server.url()?);
    Ok(server)
}
