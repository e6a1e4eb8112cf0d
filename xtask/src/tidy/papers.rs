//! What people read and what the page uses, against what is really there: the README and the
//! other Markdown files, and the types of the JavaScript.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::metadata::Metadata;
use super::{Findings, sources};
use crate::docs;
use crate::shop::Shop;
use crate::step;

/// The README's table of folders names each crate of the workspace, and only folders that exist.
pub(super) fn readme_crates(shop: &Shop, metadata: &Metadata) -> Findings {
    let readme = std::fs::read_to_string(shop.path("README.md"))
        .context("README.md is missing; it lists the crates in a table, `folder/` first")?;
    let rows: BTreeSet<_> = readme.lines().filter_map(folder).collect();
    let mut findings = Vec::new();
    for package in metadata.members() {
        let folder = package.dir.strip_prefix(&shop.root)?.to_string_lossy();
        if !rows.contains(&*folder) {
            findings.push(format!("README.md has no table row for `{folder}/` ({})", package.name));
        }
    }
    for row in rows {
        if !shop.path(row).is_dir() {
            findings.push(format!("README.md lists `{row}/`, which does not exist"));
        }
    }
    Ok(findings)
}

/// The folder in the first cell of a table row: `` | `core/` | … `` or `` | [`core/`](core) | … ``.
fn folder(line: &str) -> Option<&str> {
    let cell = line.trim().strip_prefix('|')?.split('|').next()?.trim();
    let cell = cell.trim_start_matches('[');
    cell.strip_prefix('`')?.split('`').next()?.strip_suffix('/')
}

/// Relative links in Markdown lead to files that exist.
pub(super) fn links(shop: &Shop, _: &Metadata) -> Findings {
    let mut findings = Vec::new();
    for path in sources::tracked(shop)? {
        if Path::new(&path).extension().is_none_or(|suffix| suffix != "md") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(shop.path(&path)) else {
            continue; // removed, and not yet committed
        };
        let dir = Path::new(&path).parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split(['#', ' ']).next().unwrap_or_default();
            let elsewhere = file.contains("://") || file.starts_with("mailto:");
            if !file.is_empty() && !elsewhere && !shop.path(dir).join(file).exists() {
                findings.push(format!("{path}: the link to {file} leads nowhere"));
            }
        }
    }
    Ok(findings)
}

/// The TypeScript face and the page type-check.
pub(super) fn types(shop: &Shop, _: &Metadata) -> Findings {
    let mut findings = Vec::new();
    for project in ["wasm-client", "www"] {
        let mut tsc = shop.node();
        tsc.arg(shop.module("typescript/bin/tsc")).args(["--noEmit", "--project", project]);
        step::run(&mut tsc).unwrap_or_else(|error| findings.push(format!("{project}: {error:#}")));
    }
    Ok(findings)
}

/// docs/api.md is what the package's sources make of it.
pub(super) fn api_reference(shop: &Shop, _: &Metadata) -> Findings {
    let current = docs::is_current(shop)?;
    let finding = "docs/api.md is not what the sources say: run `cargo xtask docs`";
    Ok(if current { Vec::new() } else { vec![finding.into()] })
}

#[cfg(test)]
mod tests {
    use super::folder;

    #[test]
    fn finds_the_folder_of_a_row() {
        assert_eq!(folder("| `core/` | formats |"), Some("core"));
        assert_eq!(folder("| [`www/`](www) | page |"), Some("www"));
        assert_eq!(folder("| part | folder |"), None);
        assert_eq!(folder("see `core/`"), None);
    }
}
