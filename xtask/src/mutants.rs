//! `cargo xtask mutants`: changes the core in small ways, one at a time, and sees whether a test
//! fails. In scope: tree, trust, formats and engine; a sample of it, which is the same for the same
//! number. Core's own tests come first, because they take seconds; what they do not notice is tried
//! again under all native tests. Out of scope: what the mutations are (that is cargo-mutants).

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::step::{self, Step};

/// The modules of core that are mutated.
const MODULES: [&str; 4] = ["tree", "trust", "format", "engine"];
/// The bar of the figure.
const UNCAUGHT_PCT_MAX: f64 = 10.0;

/// Change the core in small ways and count the changes that no native test notices; figures go to
/// target/bench/sim.json, the list to target/mutants. Needs cargo-mutants.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Try one in so many of all mutants (about 3,400); 1 is all of them, which takes days
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    one_in: u32,
    /// Which of the samples of that size, from 0
    #[arg(long, default_value_t = 0)]
    sample: u32,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    ensure!(args.sample < args.one_in, "--sample is a number below --one-in");
    let mut version = shop.cargo();
    step::quiet(version.args(["mutants", "--version"]))
        .context("cargo-mutants is missing: cargo install cargo-mutants --locked")?;
    let folder = shop.target.join("mutants");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let step = Step::start(format!("cargo mutants, one in {}, by core's own tests", args.one_in));
    let shard = format!("{}/{}", args.sample, args.one_in);
    let chosen = ["--timeout", "150", "--sharding", "round-robin", "--shard", &shard];
    let chosen = chosen.map(String::from);
    let near = round(shop, &folder.join("near"), &chosen, &["packice-core"])?;
    step.done(format!("{} caught, {} not", near.caught, near.missed.len()));
    ensure!(near.caught + near.missed.len() > 0, "no mutant was tried");
    let mut far = Round::default();
    if !near.missed.is_empty() {
        let step = Step::start(format!("the {} others, by all native tests", near.missed.len()));
        // They take minutes, and a mutant that is slow and no more is not caught.
        let mut chosen = ["--baseline", "skip", "--timeout", "600"].map(String::from).to_vec();
        for mutant in &near.missed {
            chosen.extend(["--re".into(), format!("^{}$", escaped(mutant))]);
        }
        let packages = ["packice-core", "packice-tests"];
        far = round(shop, &folder.join("far"), &chosen, &packages)?;
        step.done(format!("{} caught, {} not", far.caught, far.missed.len()));
        let tried = far.caught + far.missed.len();
        ensure!(tried == near.missed.len(), "{tried} were tried again");
    }
    let (caught, missed) = (near.caught + far.caught, far.missed.len());
    let lived = far.missed;

    #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
    let pct = missed as f64 * 100.0 / (caught + missed) as f64;
    for mutant in &lived {
        println!("not caught: {mutant}");
    }
    println!("{missed} of {} mutants are not caught: {pct:.1} %", caught + missed);
    let mut detail = serde_json::Map::new();
    detail.insert(
        "mutants".into(),
        json!({"caught": caught, "missed": missed, "unviable": near.unviable,
            "one_in": args.one_in, "sample": args.sample, "lived": lived, "commit": shop.commit()}),
    );
    shop.add_bench("sim", &[("d1.uncaught_pct", json!(pct), "%")], &detail)?;
    ensure!(pct <= UNCAUGHT_PCT_MAX, "more than {UNCAUGHT_PCT_MAX} % are not caught");
    Ok(())
}

/// What a run of cargo-mutants came to.
#[derive(Default)]
struct Round {
    caught: usize,
    unviable: u64,
    missed: Vec<String>,
}

/// Tries the chosen mutants of the modules under the tests of some packages.
fn round(shop: &Shop, out: &Path, chosen: &[String], packages: &[&str]) -> Result<Round> {
    std::fs::create_dir_all(out)?;
    let mut cargo = shop.cargo();
    cargo.args(["mutants", "--package", "packice-core", "--no-shuffle", "--colors", "never"]);
    for module in MODULES {
        cargo.arg("--file").arg(format!("core/src/{module}/**"));
    }
    for package in packages {
        cargo.arg("--test-package").arg(package);
    }
    cargo.args(chosen).arg("--output").arg(out);
    // Mutants that live are what is counted, and no failure of the run.
    let (_, _) = step::tee(&mut cargo)?;
    let outcomes = out.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&outcomes)
        .with_context(|| format!("{}: the run did not end", outcomes.display()))?;
    let report: Value = serde_json::from_str(&text)?;
    let count = |field: &str| report[field].as_u64().with_context(|| format!("no {field}"));
    let missed = std::fs::read_to_string(out.join("mutants.out/missed.txt")).unwrap_or_default();
    let missed: Vec<String> = missed.lines().map(String::from).collect();
    ensure!(count("missed")? == missed.len() as u64, "missed.txt does not list what was missed");
    let caught = usize::try_from(count("caught")? + count("timeout")?)?;
    Ok(Round { caught, unviable: count("unviable")?, missed })
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}
