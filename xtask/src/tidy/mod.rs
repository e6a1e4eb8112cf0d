//! `cargo xtask tidy`: the checks that keep the workspace what it says it is. Each check is one
//! function; all of them run, and each failure says what is wrong and where.

mod arrows;
mod builds;
mod deps;
mod licences;
mod metadata;
mod papers;
mod sources;
mod text;
mod walk;

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::shop::Shop;
use crate::step::Step;
use crate::toolchain;
use metadata::Metadata;

/// Check structure, formatting, lints, docs, licences and dependencies.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only the checks that read files and compile nothing (seconds).
    #[arg(long)]
    quick: bool,
    /// Only the checks with these names (see the list that `tidy` prints).
    #[arg(value_name = "CHECK")]
    only: Vec<String>,
}

/// What a check found: nothing, or lines for people.
type Findings = Result<Vec<String>>;

/// One check by name.
struct Check {
    name: &'static str,
    run: fn(&Shop, &Metadata) -> Findings,
    compiles: bool,
}

const CHECKS: &[Check] = &[
    Check { name: "crate-arrows", run: arrows::crates, compiles: false },
    Check { name: "module-arrows", run: arrows::modules, compiles: false },
    Check { name: "core-is-pure", run: deps::core_is_pure, compiles: false },
    Check { name: "unused-dependencies", run: deps::unused, compiles: false },
    Check { name: "pinned-versions", run: deps::pinned, compiles: false },
    Check { name: "licences", run: licences::check, compiles: false },
    Check { name: "source-size", run: sources::sizes, compiles: false },
    Check { name: "readme-crates", run: papers::readme_crates, compiles: false },
    Check { name: "markdown-links", run: papers::links, compiles: false },
    Check { name: "architecture-walk", run: walk::steps, compiles: false },
    Check { name: "types", run: papers::types, compiles: false },
    Check { name: "api-reference", run: papers::api_reference, compiles: false },
    Check { name: "fmt", run: builds::fmt, compiles: false },
    Check { name: "core-no-std", run: builds::no_std, compiles: true },
    Check { name: "clippy", run: builds::clippy, compiles: true },
    Check { name: "clippy-wasm", run: builds::clippy_wasm, compiles: true },
    Check { name: "doc-links", run: builds::docs, compiles: true },
];

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let known: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
    if let Some(name) = args.only.iter().find(|name| !known.contains(name.as_str())) {
        let all: Vec<_> = known.into_iter().collect();
        bail!("there is no check {name:?}; there are {}", all.join(", "));
    }
    toolchain::ensure_node(shop)?;
    let metadata = Metadata::read(shop)?;
    let mut failed = Vec::new();
    let mut passed = 0;
    for check in CHECKS {
        let chosen = args.only.is_empty() || args.only.iter().any(|name| name == check.name);
        if !chosen || (args.quick && check.compiles) {
            continue;
        }
        let step = Step::start(format!("tidy {}", check.name));
        let findings =
            (check.run)(shop, &metadata).unwrap_or_else(|error| vec![format!("{error:#}")]);
        for finding in &findings {
            eprintln!("  {}: {finding}", check.name);
        }
        if findings.is_empty() {
            passed += 1;
            step.done("ok");
        } else {
            failed.push(check.name);
            step.done(format!("{} findings", findings.len()));
        }
    }
    println!("tidy: {passed} checks passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("tidy: {} (run one alone: cargo xtask tidy NAME)", failed.join(", "));
    }
    Ok(())
}
