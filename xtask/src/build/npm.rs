//! `cargo xtask wasm`: the browser client as the npm package `packice`, in `target/npm/packice`
//! and as the tarball that `npm publish` would send, beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::bindgen::{self, Effort, Glue};
use crate::shop::Shop;
use crate::stamp::{self, Stamp};
use crate::step::{self, Step};
use crate::toolchain;

/// Build the npm package of the browser client into target/npm.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Skip fat LTO and wasm-opt: quicker to build, bigger and slower.
    #[arg(long)]
    dev: bool,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let effort = if args.dev { Effort::Quick } else { Effort::Ship };
    build(shop, effort).map(drop)
}

/// Builds, and returns the package's folder.
pub(crate) fn build(shop: &mut Shop, effort: Effort) -> Result<PathBuf> {
    toolchain::ensure_node(shop)?;
    let wasm = bindgen::cargo_build(shop, "packice-client", effort)?;
    let _lock = shop.lock()?;
    let glue = shop.target.join("npm/glue");
    bindgen::bind(shop, &wasm, &glue, "packice_client", Glue::Web, effort)?;

    let out = shop.target.join("npm/packice");
    let mut inputs = vec![glue.clone(), shop.path("package-lock.json")];
    inputs.extend(["js", "npm", "tsconfig.json"].map(|f| shop.path("wasm-client").join(f)));
    inputs.extend(notices(shop));
    let settings = format!("{} 1", env!("CARGO_PKG_VERSION"));
    let stamp = Stamp::new(shop.target.join("stamps/npm"), &settings, &inputs)?;
    if stamp.fresh(&[out.join("package.json"), out.join("packice_client_bg.wasm")]) {
        return Ok(out);
    }
    let step = Step::start("npm package: tsc, esbuild, npm pack");
    let stage = shop.target.join("npm/stage");
    for dir in [&stage, &out] {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir_all(dir)?;
    }
    let manifest = manifest(shop)?;
    compile(shop, &stage)?;
    copy_folder(&glue, &stage)?;
    let entries = entries(&manifest)?;
    bundle(shop, &entries, &stage, &out)?;
    copy_types(&manifest, shop, &stage, &out)?;
    std::fs::copy(glue.join("packice_client_bg.wasm"), out.join("packice_client_bg.wasm"))?;
    for file in notices(shop) {
        if let Some(name) = file.file_name().filter(|_| file.is_file()) {
            std::fs::copy(&file, out.join(name))?;
        }
    }
    std::fs::write(out.join("package.json"), format!("{manifest:#}\n"))?;
    check_exports(&manifest, &out)?;
    let tarball = pack(shop, &out)?;
    stamp.write()?;
    step.done(tarball);
    Ok(out)
}

/// README and licences that travel in the package; the package's own README wins.
fn notices(shop: &Shop) -> Vec<PathBuf> {
    ["LICENSE-MIT", "LICENSE-APACHE", "wasm-client/npm/README.md"].map(|f| shop.path(f)).to_vec()
}

/// The package.json that is published: the source's, with the workspace's version.
fn manifest(shop: &Shop) -> Result<Value> {
    let file = shop.path("wasm-client/npm/package.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let mut manifest: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    manifest["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(manifest)
}

/// The modules that package.json exports, without their suffix: `index`, `worker`, ….
fn entries(manifest: &Value) -> Result<Vec<String>> {
    let exports = manifest["exports"].as_object().context("package.json has no exports")?;
    let files = exports.values().filter_map(|value| value["default"].as_str());
    Ok(files.filter_map(|file| file.strip_suffix(".js")).map(str::to_owned).collect())
}

/// Type-checks the TypeScript and writes JavaScript and declarations into `stage`.
fn compile(shop: &Shop, stage: &Path) -> Result<()> {
    let mut tsc = shop.node();
    tsc.arg(shop.module("typescript/bin/tsc"));
    tsc.arg("--project").arg(shop.path("wasm-client/tsconfig.json"));
    tsc.args(["--noEmit", "false", "--declaration", "--outDir"]).arg(stage);
    step::run(&mut tsc).context("the TypeScript face does not compile")
}

/// Bundles one file per export; what they share is split off into chunks.
fn bundle(shop: &Shop, entries: &[String], stage: &Path, out: &Path) -> Result<()> {
    let mut esbuild = shop.node();
    esbuild.arg(shop.module("esbuild/bin/esbuild"));
    esbuild.args(entries.iter().map(|entry| stage.join(format!("{entry}.js"))));
    esbuild.args(["--bundle", "--splitting", "--format=esm", "--minify", "--target=es2022"]);
    esbuild.args(["--charset=utf8", "--legal-comments=none", "--log-level=warning"]);
    esbuild.arg("--chunk-names=chunk-[hash]").arg(format!("--outdir={}", out.display()));
    step::run(&mut esbuild)
}

/// Copies the declarations that package.json names, and those that they import.
fn copy_types(manifest: &Value, shop: &Shop, stage: &Path, out: &Path) -> Result<()> {
    let exports = manifest["exports"].as_object().context("package.json has no exports")?;
    let named = exports.values().filter_map(|value| value["types"].as_str());
    let mut open: Vec<String> = named.map(|file| file.trim_start_matches("./").into()).collect();
    while let Some(file) = open.pop() {
        if out.join(&file).exists() {
            continue;
        }
        // Declarations that were written by hand are not copied by the compiler.
        let hand = shop.path("wasm-client/js").join(&file);
        let from = Some(stage.join(&file)).filter(|path| path.exists()).unwrap_or(hand);
        let text = std::fs::read_to_string(&from)
            .with_context(|| format!("there is no declaration {file}"))?;
        std::fs::write(out.join(&file), &text)?;
        for quoted in text.split('"').skip(1).step_by(2) {
            if let Some(stem) = quoted.strip_prefix("./").and_then(|p| p.strip_suffix(".js")) {
                open.push(format!("{stem}.d.ts"));
            }
        }
    }
    Ok(())
}

/// Copies the files below a folder to the same places below another.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for file in stamp::files_under(from)? {
        let target = to.join(file.strip_prefix(from)?);
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::copy(&file, target)?;
    }
    Ok(())
}

/// Every file that package.json promises must be there: a missing one breaks users, not us.
fn check_exports(manifest: &Value, out: &Path) -> Result<()> {
    let mut open = vec![&manifest["exports"], &manifest["types"], &manifest["main"]];
    while let Some(value) = open.pop() {
        match value {
            Value::String(path) if !out.join(path).is_file() => {
                bail!("wasm-client/npm/package.json names {path}, which the build does not make")
            }
            Value::Object(map) => open.extend(map.values()),
            Value::Array(list) => open.extend(list),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(())
}

/// `npm pack`; returns the tarball's name and size.
fn pack(shop: &Shop, package: &Path) -> Result<String> {
    let mut npm = shop.command("npm");
    npm.args(["pack", "--json", "--ignore-scripts", "--loglevel=error", "--pack-destination"]);
    npm.arg(shop.target.join("npm")).current_dir(package);
    let said: Value = serde_json::from_str(&step::capture(&mut npm)?)?;
    // npm 11 prints a list, npm 12 a map by package name.
    let first = match &said {
        Value::Array(list) => list.first(),
        Value::Object(map) => map.values().next(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
    .context("npm pack named no tarball")?;
    let name = first["filename"].as_str().unwrap_or_default();
    let kb = first["size"].as_u64().unwrap_or_default() / 1000;
    Ok(format!("target/npm/{name}, {kb} KB"))
}
