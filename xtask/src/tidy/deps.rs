//! Dependencies: what core may not reach, what nobody uses, what must be pinned.

use std::collections::BTreeMap;

use super::Findings;
use super::metadata::{Metadata, Package};
use super::text::{self, Source};
use crate::shop::Shop;
use crate::stamp::files_under;

/// Crates that bring a clock, randomness, an executor or I/O: none may be linked into core.
/// (`libc` comes with the detection of CPU features on some platforms, and is not called.)
const BANNED_CRATES: &[&str] = &[
    "async-std",
    "chrono",
    "crossbeam",
    "env_logger",
    "fastrand",
    "fs-err",
    "futures",
    "futures-core",
    "futures-util",
    "getrandom",
    "gloo-timers",
    "instant",
    "js-sys",
    "log",
    "memmap2",
    "mio",
    "oorandom",
    "quanta",
    "rand",
    "rayon",
    "reqwest",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tracing",
    "ureq",
    "wasm-bindgen",
    "web-sys",
    "web-time",
];

/// Words that core's code does not say. That it has no `std` at all, its no_std builds prove.
const BANNED_WORDS: &[&str] = &[
    "std",
    "rand",
    "getrandom",
    "Instant",
    "SystemTime",
    "async",
    "await",
    "HashMap",
    "HashSet",
    "println",
    "eprintln",
    "dbg",
    "unsafe",
];

/// Core has no clock, no randomness, no I/O, no async, no hash iteration.
pub(super) fn core_is_pure(_: &Shop, metadata: &Metadata) -> Findings {
    let core = metadata.member("packice-core")?;
    let mut findings: Vec<_> = metadata
        .closure(core)
        .into_iter()
        .filter(|package| BANNED_CRATES.contains(&package.name.as_str()))
        .map(|package| format!("core is linked with {} {}", package.name, package.version))
        .collect();
    for Source { path, code } in text::shipped(&core.dir.join("src"))? {
        let path = path.display();
        for (at, line) in code.lines().enumerate() {
            // `no_std` and `cfg(feature = "std")` are one word, or a string.
            for word in BANNED_WORDS.iter().filter(|word| text::has_word(line, word)) {
                findings.push(format!("core/src/{path}:{}: `{word}`", at + 1));
            }
        }
    }
    Ok(findings)
}

/// Each dependency is named in the crate's sources, or kept on purpose in
/// `[package.metadata.tidy] keep`.
pub(super) fn unused(_: &Shop, metadata: &Metadata) -> Findings {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let code = sources(package)?;
        for dependency in &package.dependencies {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
            let used = text::has_word(&code, &name.replace('-', "_"));
            if !used && !package.keep.contains(name) {
                let kind =
                    dependency.kind.as_ref().map(|kind| format!("{kind}-")).unwrap_or_default();
                findings.push(format!("{}: {kind}dependency {name} is not used", package.name));
            }
        }
    }
    Ok(findings)
}

/// All code of a package, tests, benches and build script included.
fn sources(package: &Package) -> anyhow::Result<String> {
    let mut all = String::new();
    for part in ["src", "tests", "benches", "examples", "build.rs"] {
        for file in files_under(&package.dir.join(part))? {
            if file.extension().is_some_and(|suffix| suffix == "rs") {
                all.push_str(&text::code(&std::fs::read_to_string(&file)?));
            }
        }
    }
    Ok(all)
}

/// The crates that must have one version each in the whole build: wasm-bindgen and the library
/// that reads its output are one program in two halves.
pub(super) fn pinned(_: &Shop, metadata: &Metadata) -> Findings {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let mut findings = Vec::new();
    let bindgen = versions.get("wasm-bindgen").cloned().unwrap_or_default();
    let support = versions.get("wasm-bindgen-cli-support").cloned().unwrap_or_default();
    if bindgen != support || bindgen.len() != 1 {
        findings.push(format!(
            "wasm-bindgen is {bindgen:?} and wasm-bindgen-cli-support {support:?}: pin both to one"
        ));
    }
    for package in metadata.members() {
        for dependency in package.dependencies.iter().filter(|dep| dep.req == "*") {
            let ours = metadata.members().any(|member| member.name == dependency.name);
            if !ours {
                findings.push(format!("{}: {} has no version", package.name, dependency.name));
            }
        }
    }
    Ok(findings)
}
