//! `cargo xtask`: the one front door to building, trying and checking Packice.
//!
//! Each verb is a module. In scope: the order of steps, what must be installed, and the reports.
//! Out of scope: anything a user of Packice runs (that is `packice`, the publisher). What an
//! attacker could try here: a changed npm package or crate; so both lock files are exact, npm's
//! install scripts never run, and `tidy` checks licences and dependencies.

mod bench;
mod build;
mod data;
mod demo;
mod docs;
mod fuzz;
mod mutants;
mod shop;
mod sim;
mod size;
mod stamp;
mod step;
mod syn;
mod test;
mod text;
mod tidy;
mod toolchain;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::build::{edge, npm};
use crate::shop::Shop;

/// Builds, demonstrates and checks Packice.
///
/// Needs Rust (rustup) and Node >= 20 with npm; everything else is fetched at pinned versions.
#[derive(Parser)]
#[command(name = "cargo xtask", version, propagate_version = false)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Publish three real data sets to a local edge and show them in a browser
    Demo(demo::Args),
    /// Run every check and test; .ci/run calls this
    Test(test::Args),
    /// Build the npm package of the browser client into target/npm
    Wasm(npm::Args),
    /// Build the edge worker into edge-worker/build
    EdgeBuild(edge::Args),
    /// Write the demo's data sets, or the synthetic one, as JSON lines under target/data
    Data(data::Args),
    /// Measure what Packice costs; figures go to target/bench
    Bench(bench::Args),
    /// Measure the npm package: wasm and JavaScript as brotli, by part
    Size(size::Args),
    /// Run the engine in the simulator, seed by seed
    Sim(sim::Args),
    /// Fuzz the parsers and the engine
    Fuzz(fuzz::Args),
    /// Change the core in small ways, and see whether a test notices
    Mutants(mutants::Args),
    /// Write docs/api.md from the npm package's sources
    Docs(docs::Args),
    /// Check structure, formatting, lints, docs, licences and dependencies
    Tidy(tidy::Args),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match Shop::find().and_then(|mut shop| dispatch(&mut shop, &cli.verb)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<step::Reported>() {
                eprintln!("xtask: {error:#}");
            }
            std::process::ExitCode::FAILURE
        }
    }
}

fn dispatch(shop: &mut Shop, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Wasm(args) => npm::main(shop, args),
        Verb::EdgeBuild(args) => edge::main(shop, args),
        Verb::Data(args) => data::main(shop, args),
        Verb::Demo(args) => demo::main(shop, args),
        Verb::Test(args) => test::main(shop, args),
        Verb::Bench(args) => bench::main(shop, args),
        Verb::Size(args) => size::main(shop, args),
        Verb::Sim(args) => sim::main(shop, args),
        Verb::Fuzz(args) => fuzz::main(shop, args),
        Verb::Mutants(args) => mutants::main(shop, args),
        Verb::Docs(args) => docs::main(shop, args),
        Verb::Tidy(args) => tidy::main(shop, args),
    }
}
