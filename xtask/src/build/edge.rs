//! `cargo xtask edge-build`: the edge worker as the two files that wrangler and miniflare load,
//! `edge-worker/build/index.js` and `index_bg.wasm`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::bindgen::{self, Effort, Glue};
use super::edge_shim;
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::{stamp, toolchain};

/// Build the edge worker into edge-worker/build.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Skip fat LTO and wasm-opt: quicker to build, slower to start.
    #[arg(long)]
    dev: bool,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let effort = if args.dev { Effort::Quick } else { Effort::Ship };
    build(shop, effort).map(drop)
}

/// Builds, and returns the folder with the worker's files.
pub(crate) fn build(shop: &mut Shop, effort: Effort) -> Result<PathBuf> {
    toolchain::ensure_node(shop)?;
    let wasm = bindgen::cargo_build(shop, "packice-edge", effort)?;
    let _lock = shop.lock()?;
    let stage = shop.target.join("edge");
    bindgen::bind(shop, &wasm, &stage, "index", Glue::Worker, effort)?;

    let out = shop.path("edge-worker/build");
    let settings = format!("{} 1", edge_shim::shim(""));
    let inputs = [stage.join("index.js"), stage.join("index_bg.wasm"), stage.join("snippets")];
    let stamp = stamp::Stamp::new(shop.target.join("stamps/edge"), &settings, &inputs)?;
    let outputs = [out.join("index.js"), out.join("index_bg.wasm")];
    if stamp.fresh(&outputs) {
        return Ok(out);
    }
    let step = Step::start("esbuild the worker's entry module");
    let glue = std::fs::read_to_string(stage.join("index.js"))?;
    std::fs::write(stage.join("shim.js"), edge_shim::shim(&glue))?;
    std::fs::create_dir_all(&out)?;
    let mut esbuild = shop.node();
    esbuild.current_dir(&stage).arg(shop.module("esbuild/bin/esbuild"));
    esbuild.args(["--bundle", "--format=esm", "--minify", "--log-level=warning", "shim.js"]);
    esbuild.args(["--external:./index_bg.wasm", "--external:cloudflare:*"]);
    esbuild.arg(format!("--outfile={}", stage.join("entry.js").display()));
    step::run(&mut esbuild)?;
    let entry = std::fs::read_to_string(stage.join("entry.js"))?;
    // workerd and wrangler know `.wasm` by its import alone; the source-phase keyword is newer
    // than what their bundler reads.
    std::fs::write(out.join("index.js"), entry.replace("import source ", "import "))?;
    std::fs::copy(stage.join("index_bg.wasm"), out.join("index_bg.wasm"))
        .context("cannot copy the wasm file")?;
    stamp.write()?;
    step.done("edge-worker/build");
    Ok(out)
}
