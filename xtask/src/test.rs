//! `cargo xtask test`: every check there is, in order, with one summary at the end. Steps go on
//! after a failure, so that one run shows all that is wrong. Its last line is
//! `N passed, M failed`: the sum over the runners' own summaries; a step that is no test runner
//! adds nothing when it passes and one failure when it does not.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::build::bindgen::Effort;
use crate::build::{edge, npm, parity};
use crate::shop::Shop;
use crate::step::{self, Reported, Step};
use crate::{bench, data, demo, size, tidy, toolchain};

/// Run every check and test; `.ci/run` calls this.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these steps.
    #[arg(value_enum)]
    only: Vec<Name>,
    /// Of the end-to-end tests only the files whose names contain this.
    #[arg(long)]
    file: Option<String>,
    /// How often each of the kill tests kills Chromium, without a bound in time.
    #[arg(long)]
    kills: Option<u32>,
    /// Never install Chromium, even on Debian as root.
    #[arg(long)]
    no_install: bool,
}

/// The steps, in their order.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Structure, formatting, lints, docs, licences.
    Tidy,
    /// Unit and integration tests of the whole workspace, natively.
    Native,
    /// End to end in Node, workerd and Chromium: tests/e2e.
    E2e,
    /// What `wrangler deploy` would upload.
    Deploy,
    /// The weight of the npm package.
    Size,
    /// The demo, headless, with every record compared.
    Demo,
    /// A million records on the whole way, and the memory that takes.
    Large,
}

/// The cases that a runner counted.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

type Run = fn(&mut Shop, &Args) -> Result<Count>;

const STEPS: &[(Name, &str, Run)] = &[
    (Name::Tidy, "tidy", |shop, _| whole(tidy::main(shop, &tidy::Args::default()))),
    (Name::Native, "cargo test", native),
    (Name::E2e, "node --test tests/e2e", e2e),
    (Name::Deploy, "wrangler deploy --dry-run", deploy),
    (Name::Size, "size", |shop, _| whole(size::main(shop, &size::Args {}))),
    (Name::Demo, "demo --headless", |shop, args| {
        whole(demo::main(shop, &demo::Args::headless(args.no_install)))
    }),
    (Name::Large, "bench large, a million records", |shop, args| {
        whole(bench::large::main(shop, &bench::large::Args::bounded(args.no_install)))
    }),
];

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let (mut sum, mut lines, mut failed) = (Count::default(), Vec::new(), false);
    for (name, title, run) in STEPS {
        if !args.only.is_empty() && !args.only.contains(name) {
            continue;
        }
        eprintln!("\n=== {title}");
        let started = Instant::now();
        let outcome = run(shop, args);
        let seconds = started.elapsed().as_secs_f64();
        let word = match outcome {
            Ok(count) => {
                sum.passed += count.passed;
                sum.failed += count.failed;
                if count.failed > 0 { "FAILED" } else { "ok" }
            }
            Err(error) => {
                eprintln!("xtask: {title}: {error:#}");
                sum.failed += 1;
                "FAILED"
            }
        };
        failed |= word != "ok";
        let cases = outcome_cases(&sum, &lines);
        lines.push((format!("{word:<6} {title} ({seconds:.0} s{cases})"), sum));
    }
    println!();
    for (line, _) in &lines {
        println!("{line}");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    // The line above stays the last one.
    if failed { Err(Reported.into()) } else { Ok(()) }
}

/// What the last step added to the sum, for its summary line.
fn outcome_cases(sum: &Count, lines: &[(String, Count)]) -> String {
    let before = lines.last().map_or(Count::default(), |(_, sum)| *sum);
    let (passed, failed) = (sum.passed - before.passed, sum.failed - before.failed);
    if passed + failed == 0 { String::new() } else { format!(", {passed} passed, {failed} failed") }
}

/// A verb that counts no cases: it passes or fails as a whole.
fn whole(outcome: Result<()>) -> Result<Count> {
    outcome.map(|()| Count::default())
}

/// `cargo test` over the workspace.
fn native(shop: &mut Shop, _: &Args) -> Result<Count> {
    let mut cargo = shop.cargo();
    cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    let (ok, said) = step::tee(&mut cargo)?;
    let count = cargo_count(&said);
    ensure!(ok || count.failed > 0, "cargo test failed to build or to run");
    Ok(count)
}

/// Sums lines such as `test result: ok. 12 passed; 0 failed; 0 ignored; …`.
fn cargo_count(said: &str) -> Count {
    let mut sum = Count::default();
    for line in said.lines().filter(|line| line.starts_with("test result: ")) {
        let number = |what: &str| {
            let before = line.split(what).next()?;
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        sum.passed += number(" passed").unwrap_or(0);
        sum.failed += number(" failed").unwrap_or(0);
    }
    sum
}

/// The end-to-end tests, one file after the other: each drives workerd or Chromium itself.
fn e2e(shop: &mut Shop, args: &Args) -> Result<Count> {
    toolchain::ensure_node(shop)?;
    let chromium = toolchain::ensure_chromium(shop, !args.no_install)?;
    let package = npm::build(shop, Effort::Ship)?;
    edge::build(shop, Effort::Ship)?;
    let parity = parity::build(shop)?;
    let packice = demo::build_publisher(shop)?;
    let data = data::write_all(shop, demo::LOCAL_EDGE)?;
    let attacks = attack_objects(shop)?;

    let mut files: Vec<_> = std::fs::read_dir(shop.path("tests/e2e"))
        .context("tests/e2e is missing")?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .filter(|path| args.file.as_ref().is_none_or(|part| in_name(path, part)))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "tests/e2e has no such *.test.mjs");
    let mut node = shop.node();
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]);
    match args.kills {
        Some(kills) => node.env("PACKICE_KILLS", kills.to_string()),
        None => node.arg("--test-timeout=240000"),
    };
    node.args(&files);
    node.env("PACKICE_CHROMIUM", chromium).env("PACKICE_BIN", packice);
    node.env("PACKICE_NPM", package).env("PACKICE_DATA", data);
    if let Some(schemathesis) = toolchain::find_schemathesis(shop) {
        node.env("PACKICE_SCHEMATHESIS", schemathesis);
    }
    node.env("PACKICE_PARITY", parity).env("PACKICE_ATTACKS", attacks);
    let (ok, said) = step::tee(&mut node)?;
    let count = node_count(&said);
    ensure!(ok || count.failed > 0, "node --test failed to run");
    ensure!(count.passed + count.failed > 0, "node --test ran no test");
    Ok(count)
}

fn in_name(path: &std::path::Path, part: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))
}

/// What the fixtures of tests/attacks serve.
fn attack_objects(shop: &Shop) -> Result<std::path::PathBuf> {
    let folder = shop.target.join("attacks/objects");
    let mut cargo = shop.cargo();
    cargo.args(["run", "--quiet", "--locked", "-p", "packice-tests", "--bin", "attacks", "--"]);
    step::run(cargo.arg(&folder))?;
    Ok(folder)
}

/// Reads the summary of Node's `spec` reporter: `ℹ pass 7`, `ℹ fail 0`, `ℹ cancelled 0`.
fn node_count(said: &str) -> Count {
    let number = |what: &str| {
        let line = said.lines().rfind(|line| line.contains(&format!("ℹ {what} ")));
        line.and_then(|line| line.split_whitespace().next_back()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Count { passed: number("pass"), failed: number("fail") + number("cancelled") }
}

/// What would be deployed bundles without an account or a network, with its bindings.
fn deploy(shop: &mut Shop, _: &Args) -> Result<Count> {
    edge::build(shop, Effort::Ship)?;
    let step = Step::start("wrangler deploy --dry-run");
    let mut wrangler = shop.node();
    wrangler.arg(shop.module("wrangler/bin/wrangler.js"));
    wrangler.args(["deploy", "--dry-run", "--outdir"]).arg(shop.target.join("wrangler"));
    let said = step::capture(&mut wrangler)?;
    for line in said.lines().filter(|line| line.contains("env.") || line.contains("Upload")) {
        eprintln!("  {}", line.trim());
    }
    ensure!(said.contains("env.OBJECTS"), "wrangler.toml does not bind the bucket OBJECTS");
    step.done("");
    Ok(Count::default())
}

#[cfg(test)]
mod tests {
    use super::{cargo_count, node_count};

    #[test]
    fn sums_what_the_runners_say() {
        let cargo = "test a ... ok\ntest result: ok. 3 passed; 1 failed; 0 ignored; 0 measured\n\
                     test result: FAILED. 10 passed; 2 failed; 1 ignored";
        assert_eq!((cargo_count(cargo).passed, cargo_count(cargo).failed), (13, 3));
        let node = "✔ x\nℹ tests 9\nℹ suites 0\nℹ pass 7\nℹ fail 1\nℹ cancelled 1\nℹ skipped 0\n";
        assert_eq!((node_count(node).passed, node_count(node).failed), (7, 2));
    }
}
