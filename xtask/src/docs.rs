//! `cargo xtask docs`: docs/api.md, the npm package's interface as its sources have it. It is
//! committed, so that people read it without building; `tidy` says when it is out of date.

use anyhow::{Context, Result};

use crate::shop::Shop;
use crate::step::{self, Step};
use crate::toolchain;

/// Where the page is.
const PAGE: &str = "docs/api.md";

/// Write docs/api.md from the npm package's sources.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The verb.
pub(crate) fn main(shop: &mut Shop, _: &Args) -> Result<()> {
    toolchain::ensure_node(shop)?;
    let step = Step::start(PAGE);
    let page = reference(shop)?;
    std::fs::write(shop.path(PAGE), &page).with_context(|| format!("cannot write {PAGE}"))?;
    step.done(format!("{} lines", page.lines().count()));
    Ok(())
}

/// Whether the page is what the sources make of it.
pub(crate) fn is_current(shop: &Shop) -> Result<bool> {
    let page = std::fs::read_to_string(shop.path(PAGE)).unwrap_or_default();
    Ok(page == reference(shop)?)
}

fn reference(shop: &Shop) -> Result<String> {
    let mut node = shop.node();
    step::capture(node.arg(shop.path("wasm-client/reference.mjs")))
}
