//! `cargo xtask mutants`: changes the core in small ways, one at a time, and sees whether a test
//! fails. In scope: tree, trust, formats and engine; a sample of it, which is the same for the same
//! number. Core's own tests come first, because they take seconds; what they do not notice is tried
//! again under those of tests/ that notice most, and then under all of them. Out of scope: what the
//! mutations are (that is cargo-mutants).

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::shop::Shop;
use crate::step::{self, Step};

/// The modules of core that are mutated.
const MODULES: [&str; 4] = ["tree", "trust", "format", "engine"];
/// The files of tests/tests that notice most: all of them take a minute and more to build and run.
const SHARP: &[&str] =
    &["stories", "sim", "freshness", "follow", "vectors", "change", "audit", "liveness"];
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
    let files = MODULES.map(|module| format!("core/src/{module}/**"));
    let near = round(shop, &folder.join("near"), &files, &chosen, "packice-core", &[])?;
    let unviable = count(&near, Fate::Unviable);
    let missed = near.iter().filter(|(_, fate)| *fate == Fate::Missed);
    let mut lived: Vec<String> = missed.map(|(name, _)| name.clone()).collect();
    let tried = count(&near, Fate::Caught) + lived.len();
    step.done(format!("{} caught, {} not", tried - lived.len(), lived.len()));
    ensure!(tried > 0, "no mutant was tried");
    for (name, tests) in [("sharp", SHARP), ("far", &[])] {
        if lived.is_empty() {
            break;
        }
        let step = Step::start(format!("the {} others, {name} tests", lived.len()));
        // They take minutes, and a mutant that is slow and no more is not caught.
        let mut chosen = ["--baseline", "skip", "--timeout", "600"].map(String::from).to_vec();
        for mutant in &lived {
            chosen.extend(["--re".into(), format!("^{}$", escaped(mutant))]);
        }
        // Mutants that leave a field out come whatever is chosen, but for other files.
        let mut files: Vec<String> =
            lived.iter().filter_map(|m| Some(m.split_once(':')?.0.into())).collect();
        files.sort();
        files.dedup();
        let round = round(shop, &folder.join(name), &files, &chosen, "packice-tests", tests)?;
        let fate = |mutant: &String| round.iter().find(|(name, _)| name == mutant);
        for mutant in &lived {
            ensure!(fate(mutant).is_some(), "{mutant} was not tried again");
        }
        lived.retain(|mutant| fate(mutant).is_none_or(|(_, fate)| *fate != Fate::Caught));
        step.done(format!("{} are not caught", lived.len()));
    }
    let (caught, missed) = (tried - lived.len(), lived.len());

    #[expect(clippy::cast_precision_loss, reason = "thousands at most")]
    let pct = missed as f64 * 100.0 / (caught + missed) as f64;
    for mutant in &lived {
        println!("not caught: {mutant}");
    }
    println!("{missed} of {} mutants are not caught: {pct:.1} %", caught + missed);
    let mut detail = serde_json::Map::new();
    detail.insert(
        "mutants".into(),
        json!({"caught": caught, "missed": missed, "unviable": unviable,
            "one_in": args.one_in, "sample": args.sample, "lived": lived, "commit": shop.commit()}),
    );
    shop.add_bench("sim", &[("d1.uncaught_pct", json!(pct), "%")], &detail)?;
    ensure!(pct <= UNCAUGHT_PCT_MAX, "more than {UNCAUGHT_PCT_MAX} % are not caught");
    Ok(())
}

/// What became of each mutant of a run, by its name.
type Round = Vec<(String, Fate)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Caught,
    Missed,
    /// It does not compile.
    Unviable,
}

fn count(round: &Round, fate: Fate) -> usize {
    round.iter().filter(|(_, found)| *found == fate).count()
}

/// Tries the chosen mutants of some files under the tests of a package, or some of them.
fn round(
    shop: &Shop,
    out: &Path,
    files: &[String],
    chosen: &[String],
    package: &str,
    tests: &[&str],
) -> Result<Round> {
    std::fs::create_dir_all(out)?;
    let mut cargo = shop.cargo();
    cargo.args(["mutants", "--package", "packice-core", "--no-shuffle", "--colors", "never"]);
    for file in files {
        cargo.arg("--file").arg(file);
    }
    cargo.args(["--test-package", package]).args(chosen).arg("--output").arg(out);
    // Of the build, too, which what follows `--` is not.
    cargo.args(tests.iter().map(|test| format!("--cargo-arg=--test={test}")));
    // What is not mutated is built once for all rounds.
    cargo.env("CARGO_TARGET_DIR", shop.target.join("mutants-build"));
    // Mutants that live are what is counted, and no failure of the run.
    let (_, _) = step::tee(&mut cargo)?;
    let outcomes = out.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&outcomes)
        .with_context(|| format!("{}: the run did not end", outcomes.display()))?;
    let report: Value = serde_json::from_str(&text)?;
    let mut round = Vec::new();
    for outcome in report["outcomes"].as_array().context("no outcomes")? {
        let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
        let fate = match outcome["summary"].as_str() {
            Some("CaughtMutant" | "Timeout") => Fate::Caught,
            Some("MissedMutant") => Fate::Missed,
            Some("Unviable") => Fate::Unviable,
            other => bail!("{name}: {other:?}"),
        };
        round.push((name.to_owned(), fate));
    }
    Ok(round)
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
