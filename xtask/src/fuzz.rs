//! `cargo xtask fuzz`: libFuzzer on every parser, and on the engine's operation sequences
//! (tests/fuzz). In scope: building the targets, running them side by side, and counting. What is
//! new to them goes to target/fuzz/corpus; the committed corpora are read and stay as they are.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::step::{self, Step};

/// Memory and time that one input may take.
const RSS_MIB_MAX: u32 = 2048;
const INPUT_SECONDS_MAX: u32 = 10;

/// Fuzz the parsers and the engine; figures go to target/bench/fuzz.json. Needs the nightly
/// toolchain and cargo-fuzz.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets; see --list
    targets: Vec<String>,
    /// End each target after so many executions
    #[arg(long, default_value_t = 10_000_000)]
    runs: u64,
    /// End each target after so many seconds, whatever it has done
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Print the names of all targets
    #[arg(long)]
    list: bool,
}

/// What became of a target.
struct Ran {
    target: String,
    executions: u64,
    seconds: f64,
    /// The end of what it said, where it found something.
    found: Option<String>,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let folder = shop.path("tests/fuzz");
    let mut all: Vec<String> = std::fs::read_dir(folder.join("targets"))?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    all.sort();
    if args.list {
        println!("{}", all.join("\n"));
        return Ok(());
    }
    if let Some(unknown) = args.targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no target {unknown}: cargo xtask fuzz --list names them");
    }
    let targets = if args.targets.is_empty() { all } else { args.targets.clone() };
    let programs = build(shop, &folder)?;

    let (queue, done) =
        (Mutex::new(targets.into_iter().rev().collect::<Vec<_>>()), Mutex::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.pop());
            let Some(target) = next else { return Ok(()) };
            let ran = run(shop, args, &folder, &programs, target)?;
            let rate = ran.executions as f64 / ran.seconds.max(0.001);
            let word = if ran.found.is_some() { "FOUND SOMETHING" } else { "nothing found" };
            eprintln!(
                "{:<24} {:>12} executions, {rate:>9.0}/s: {word}",
                ran.target, ran.executions
            );
            let done: &Mutex<Vec<Ran>> = &done;
            done.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?.push(ran);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    report(shop, args, done.into_inner().context("a thread panicked")?)
}

/// Builds all targets; the folder of their programs.
fn build(shop: &Shop, folder: &Path) -> Result<PathBuf> {
    let step = Step::start("cargo fuzz build");
    let own = shop.target.join("fuzz/build");
    let mut cargo = shop.command("cargo");
    cargo.args(["+nightly", "fuzz", "build", "--fuzz-dir"]).arg(folder);
    step::quiet(cargo.arg("--target-dir").arg(&own)).context(
        "the targets need nightly and cargo-fuzz: rustup toolchain install nightly --profile \
         minimal; cargo install cargo-fuzz --locked",
    )?;
    step.done("");
    let triple = "x86_64-unknown-linux-gnu";
    let programs = own.join(triple).join("release");
    ensure!(programs.exists(), "no programs in {}", programs.display());
    Ok(programs)
}

fn run(shop: &Shop, args: &Args, folder: &Path, programs: &Path, target: String) -> Result<Ran> {
    let own = shop.target.join("fuzz/corpus").join(&target);
    let found = shop.target.join("fuzz/found").join(&target);
    for folder in [&own, &found] {
        std::fs::create_dir_all(folder)?;
    }
    let log = shop.target.join("fuzz").join(format!("{target}.log"));
    let mut program = shop.command(programs.join(&target));
    program.arg(&own).arg(folder.join("corpus").join(&target));
    program.arg(format!("-runs={}", args.runs)).arg(format!("-max_total_time={}", args.seconds));
    program
        .arg(format!("-rss_limit_mb={RSS_MIB_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    program.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/", found.display()));
    let file = std::fs::File::create(&log)?;
    program.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let begun = std::time::Instant::now();
    let status = program.status().with_context(|| format!("cannot start {target}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executions = count.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let tail = || said.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev();
    let found = (!status.success()).then(|| tail().collect::<Vec<_>>().join("\n"));
    Ok(Ran { target, executions, seconds, found })
}

fn report(shop: &Shop, args: &Args, mut all: Vec<Ran>) -> Result<()> {
    all.sort_by(|a, b| a.target.cmp(&b.target));
    let least = all.iter().map(|ran| ran.executions).min().unwrap_or(0);
    let sum: u64 = all.iter().map(|ran| ran.executions).sum();
    let seconds: f64 = all.iter().map(|ran| ran.seconds).sum();
    let broken: Vec<&Ran> = all.iter().filter(|ran| ran.found.is_some()).collect();
    for ran in &broken {
        let Ran { target, found, .. } = ran;
        println!("{target}: {}", found.as_deref().unwrap_or_default());
        println!(
            "the input is in target/fuzz/found/{target}; give it to the program alone to replay"
        );
    }
    println!("{} targets, {sum} executions, {least} at least, {seconds:.0} s in all", all.len());
    let list: Vec<Value> = all
        .iter()
        .map(|ran| {
            json!({"target": ran.target, "executions": ran.executions,
            "seconds": ran.seconds, "found": ran.found})
        })
        .collect();
    let figures = [
        ("d8.targets", json!(all.len()), "targets"),
        ("d8.executions_least", json!(least), "executions"),
        ("d8.seconds", json!(seconds), "s"),
        ("d8.found", json!(broken.len()), "targets"),
    ];
    let detail = json!({"targets": list, "runs": args.runs, "seconds": args.seconds,
        "commit": shop.commit()});
    shop.add_bench("fuzz", &figures, &[("fuzz".to_owned(), detail)].into_iter().collect())?;
    ensure!(broken.is_empty(), "{} targets found something", broken.len());
    Ok(())
}
