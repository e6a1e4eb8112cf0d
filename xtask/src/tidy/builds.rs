//! The checks that are cargo's own: formatting, lints, documentation, and that core stands alone.

use super::Findings;
use super::metadata::Metadata;
use crate::build::bindgen::WASM;
use crate::shop::Shop;
use crate::{step, toolchain};

/// A target without an operating system: what needs std does not build for it.
const BARE: &str = "thumbv7m-none-eabi";
/// The crates that ship as wasm.
const WASM_CRATES: [&str; 4] = ["--package", "packice-edge", "--package", "packice-client"];

/// `cargo fmt --check`.
pub(super) fn fmt(shop: &Shop, _: &Metadata) -> Findings {
    let (ok, said) = silent(shop.cargo().args(["fmt", "--all", "--", "--check", "-l"]))?;
    let files = said.lines().filter_map(|line| line.strip_prefix(shop.root.to_str()?));
    let mut findings: Vec<_> = files.map(|file| file.trim_start_matches('/').to_owned()).collect();
    if !ok && findings.is_empty() {
        findings.push(said);
    }
    findings.dedup();
    Ok(findings)
}

/// Core builds where there is no std.
pub(super) fn no_std(shop: &Shop, _: &Metadata) -> Findings {
    let mut findings = Vec::new();
    for target in [WASM, BARE] {
        toolchain::ensure_target(shop, target)?;
        let mut cargo = shop.cargo();
        cargo.args(["build", "--quiet", "--locked", "--lib", "--package", "packice-core"]);
        step::run(cargo.args(["--target", target]))
            .unwrap_or_else(|error| findings.push(format!("{target}: {error:#}")));
    }
    Ok(findings)
}

/// Clippy over everything that builds natively, tests included.
pub(super) fn clippy(shop: &Shop, _: &Metadata) -> Findings {
    let mut cargo = shop.cargo();
    cargo.args(["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--keep-going"]);
    finish(cargo.args(["--", "-D", "warnings"]))
}

/// Clippy over the two wasm crates as they ship.
pub(super) fn clippy_wasm(shop: &Shop, _: &Metadata) -> Findings {
    toolchain::ensure_target(shop, WASM)?;
    let mut cargo = shop.cargo();
    cargo
        .args(["clippy", "--quiet", "--locked", "--lib", "--keep-going", "--target", WASM])
        .args(WASM_CRATES);
    finish(cargo.args(["--", "-D", "warnings"]))
}

/// The documentation builds without a warning: its links lead somewhere.
pub(super) fn docs(shop: &Shop, _: &Metadata) -> Findings {
    let mut cargo = shop.cargo();
    cargo.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--keep-going"]);
    finish(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs a child whose own words on stderr are the findings.
fn finish(command: &mut std::process::Command) -> Findings {
    Ok(step::run(command).err().map(|error| format!("{error:#}")).into_iter().collect())
}

fn silent(command: &mut std::process::Command) -> anyhow::Result<(bool, String)> {
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}
