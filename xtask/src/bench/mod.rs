//! `cargo xtask bench NAME`: what Packice costs, measured; the figures go to
//! `target/bench/{NAME}.json`. How each is measured is in docs/benchmarks.md.

pub(crate) mod large;
mod peak;

use anyhow::Result;
use clap::Subcommand;

use crate::shop::Shop;

/// Measure what Packice costs.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Memory on the whole way of a set of millions of records
    Large(large::Args),
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Large(args) => large::main(shop, args),
    }
}
