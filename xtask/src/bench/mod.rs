//! `cargo xtask bench NAME`: what Packice costs, measured; the figures go to
//! `target/bench/{NAME}.json`. How each is measured is in docs/benchmarks.md.

mod apply;
mod catchup;
mod edge;
mod frames;
mod history;
pub(crate) mod large;
mod network;
mod peak;
mod push;
mod rivals;
mod sets;
mod sync;
mod trust;
mod update;

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
    /// What an update costs a client in Chromium
    Apply(apply::Args),
    /// Catching up by 1 to 32 versions, and what all deltas weigh
    Catchup(catchup::Args),
    /// The edge as a network: tiers, eviction, floods, processor time
    Edge(edge::Args),
    /// The frame's size against the bytes of a full sync and the cost of a read
    Frames(frames::Args),
    /// Memory on the whole way of a set of millions of records
    Large(large::Args),
    /// A first sync in Chromium over slow lines, from bad sources, in little memory
    Network(network::Args),
    /// How soon a thousand listeners of one workerd stand at a new version
    Push(push::Args),
    /// A full sync in Chromium, against hand-written clients; its bytes; a warm open
    Sync(sync::Args),
    /// What trust costs: bytes and round trips to the head, its share of the package, its CPU
    Trust(trust::Args),
    /// Bytes of an update, beside outside tools
    Update(update::Args),
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    match &args.bench {
        Bench::Apply(args) => apply::main(shop, args),
        Bench::Catchup(args) => catchup::main(shop, args),
        Bench::Edge(args) => edge::main(shop, args),
        Bench::Frames(args) => frames::main(shop, args),
        Bench::Large(args) => large::main(shop, args),
        Bench::Network(args) => network::main(shop, args),
        Bench::Push(args) => push::main(shop, args),
        Bench::Sync(args) => sync::main(shop, args),
        Bench::Trust(args) => trust::main(shop, args),
        Bench::Update(args) => update::main(shop, args),
    }
}
