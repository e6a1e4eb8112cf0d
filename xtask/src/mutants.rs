//! `cargo xtask mutants`: changes the core in small ways, one at a time, and sees whether a test
//! fails. In scope: tree, trust, formats and engine, under the native tests; a sample of it, which
//! is the same for the same number. Out of scope: what the mutations are (that is cargo-mutants).

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
    /// Try one in so many of all mutants (about 3,200); 1 is all of them, which takes days
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
    std::fs::create_dir_all(&folder)?;
    let step = Step::start(format!("cargo mutants, one in {}", args.one_in));
    let mut cargo = shop.cargo();
    cargo.args(["mutants", "--package", "packice-core", "--no-shuffle", "--colors", "never"]);
    for module in MODULES {
        cargo.arg("--file").arg(format!("core/src/{module}/**"));
    }
    for package in ["packice-core", "packice-tests"] {
        cargo.arg("--test-package").arg(package);
    }
    cargo.args(["--sharding", "round-robin", "--shard"]);
    cargo.arg(format!("{}/{}", args.sample, args.one_in)).arg("--output").arg(&folder);
    // Mutants that live are what is counted, and no failure of the run.
    let (_, _) = step::tee(&mut cargo)?;
    let outcomes = folder.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&outcomes)
        .with_context(|| format!("{}: the run did not end", outcomes.display()))?;
    let report: Value = serde_json::from_str(&text)?;
    let count = |field: &str| report[field].as_u64().with_context(|| format!("no {field}"));
    let (caught, missed) = (count("caught")? + count("timeout")?, count("missed")?);
    ensure!(caught + missed > 0, "no mutant was tried");
    step.done(format!("{caught} caught, {missed} not"));

    #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
    let pct = missed as f64 * 100.0 / (caught + missed) as f64;
    let lived = std::fs::read_to_string(folder.join("mutants.out/missed.txt")).unwrap_or_default();
    let lived: Vec<&str> = lived.lines().collect();
    for mutant in &lived {
        println!("not caught: {mutant}");
    }
    println!("{missed} of {} mutants are not caught: {pct:.1} %", caught + missed);
    let mut detail = serde_json::Map::new();
    detail.insert(
        "mutants".into(),
        json!({"caught": caught, "missed": missed, "unviable": report["unviable"],
            "one_in": args.one_in, "sample": args.sample, "lived": lived, "commit": shop.commit()}),
    );
    shop.add_bench("sim", &[("d1.uncaught_pct", json!(pct), "%")], &detail)?;
    ensure!(pct <= UNCAUGHT_PCT_MAX, "more than {UNCAUGHT_PCT_MAX} % are not caught");
    Ok(())
}
