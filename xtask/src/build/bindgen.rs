//! From a crate to a small wasm file with its JavaScript glue: cargo → wasm-bindgen (as a
//! library, so that nobody has to install its tool) → wasm-opt (from npm, run by Node).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::shop::Shop;
use crate::stamp::Stamp;
use crate::step::{self, Step};
use crate::toolchain;

/// The target of everything that runs in a browser or on the edge.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// What wasm-opt does for browsers. A function with one caller is not put into it where it is
/// large: one body of 58 KB keeps a browser's optimising compiler busy for 100 ms, at the first
/// sync.
const OPT_PASSES: &[&str] = &["-O3", "--one-caller-inline-max-function-size=20"];

/// And for the edge, where a byte counts for more: every instance that starts compiles the module.
/// Bodies that are put into each other compress worse.
const OPT_PASSES_EDGE: &[&str] = &[
    "-Oz",
    "--one-caller-inline-max-function-size=0",
    "--always-inline-max-function-size=0",
    // The abort handler that wasm-bindgen puts around imports is made of exceptions.
    "--enable-exception-handling",
];

/// The features that .cargo/config.toml turns on; wasm-opt must be told the same.
const OPT_FEATURES: &[&str] = &[
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// How much to optimise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Fat LTO and wasm-opt: what ships.
    Ship,
    /// The release profile alone: quick to rebuild while working on the code.
    Quick,
}

impl Effort {
    /// The cargo profile.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Ship => "wasm",
            Self::Quick => "release",
        }
    }
}

/// Which JavaScript module shape wasm-bindgen writes.
#[derive(Clone, Copy)]
pub(crate) enum Glue {
    /// An ES module that is given the wasm file's URL, for browsers.
    Web,
    /// An ES module that imports the compiled module, for workerd.
    Worker,
}

impl Glue {
    fn passes(self) -> &'static [&'static str] {
        match self {
            Self::Web => OPT_PASSES,
            Self::Worker => OPT_PASSES_EDGE,
        }
    }
}

/// Compiles a library crate to wasm and returns the file that cargo wrote.
pub(crate) fn cargo_build(shop: &Shop, package: &str, effort: Effort) -> Result<PathBuf> {
    toolchain::ensure_target(shop, WASM)?;
    let profile = effort.profile();
    let step = Step::start(format!("cargo build {package} ({WASM}, profile {profile})"));
    let mut cargo = shop.cargo();
    cargo.args(["build", "--quiet", "--lib", "--package", package]);
    cargo.args(["--target", WASM, "--profile", profile]);
    step::run(&mut cargo)?;
    let name = format!("{}.wasm", package.replace('-', "_"));
    let file = shop.target.join(WASM).join(profile).join(name);
    let size = std::fs::metadata(&file)
        .with_context(|| format!("cargo wrote no {}: is it a cdylib?", file.display()))?
        .len();
    step.done(format!("{} KB", size / 1000));
    Ok(file)
}

/// Runs wasm-bindgen and, for what ships, wasm-opt: `{dir}/{name}.js` and `{name}_bg.wasm`.
pub(crate) fn bind(
    shop: &Shop,
    wasm: &Path,
    dir: &Path,
    name: &str,
    glue: Glue,
    effort: Effort,
) -> Result<()> {
    let passes = glue.passes();
    let settings = format!("{name} {} {passes:?} {OPT_FEATURES:?}", effort.profile());
    let inputs = [wasm.to_path_buf(), shop.path("package-lock.json")];
    let stamp = Stamp::new(shop.target.join("stamps").join(name), &settings, &inputs)?;
    let outputs = [dir.join(format!("{name}.js")), dir.join(format!("{name}_bg.wasm"))];
    if stamp.fresh(&outputs) {
        return Ok(());
    }
    let step = Step::start(format!("wasm-bindgen {name}"));
    std::fs::create_dir_all(dir)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(name).typescript(false);
    match glue {
        Glue::Web => bindgen.web(true)?.omit_default_module_path(true),
        Glue::Worker => {
            bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true)
        }
    };
    if effort == Effort::Ship {
        bindgen.remove_name_section(true).remove_producers_section(true);
    }
    bindgen.generate(dir).context("wasm-bindgen failed: is its version the crate's?")?;
    step.done("");
    if effort == Effort::Ship {
        optimise(shop, &outputs[1], glue, &[])?;
    }
    stamp.write()
}

/// The wasm file as it ships to browsers, but with the names of its functions: to see what is in
/// it. Returns the file.
pub(crate) fn bind_named(shop: &Shop, wasm: &Path, dir: &Path, name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(name).typescript(false).web(true)?;
    bindgen.remove_producers_section(true).generate(dir).context("wasm-bindgen failed")?;
    let file = dir.join(format!("{name}_bg.wasm"));
    optimise(shop, &file, Glue::Web, &["--debuginfo"])?;
    Ok(file)
}

/// `wasm-opt` in place.
fn optimise(shop: &Shop, file: &Path, glue: Glue, more: &[&str]) -> Result<()> {
    let before = std::fs::metadata(file)?.len();
    let passes = glue.passes();
    let step = Step::start(format!("wasm-opt {}", passes.first().unwrap_or(&"")));
    let out = file.with_extension("opt");
    let mut node = shop.node();
    node.arg(shop.module("binaryen/bin/wasm-opt")).args(passes).args(OPT_FEATURES).args(more);
    node.arg(file).arg("-o").arg(&out);
    step::quiet(&mut node)?;
    std::fs::rename(&out, file)?;
    let after = std::fs::metadata(file)?.len();
    step.done(format!("{} KB → {} KB", before / 1000, after / 1000));
    Ok(())
}
