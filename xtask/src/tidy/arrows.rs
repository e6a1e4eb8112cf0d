//! Which way dependencies may point, between crates and between the modules of core. The two
//! tables here are the one place where that is decided.

use std::collections::BTreeMap;

use super::Findings;
use super::metadata::Metadata;
use super::text::{self, Source};
use crate::shop::Shop;

/// The workspace's crates, and which others each may use.
const CRATES: &[(&str, Allowed)] = &[
    ("packice-core", Allowed::Only(&[])),
    ("packice", Allowed::Only(&["packice-core"])),
    ("packice-edge", Allowed::Only(&["packice-core"])),
    ("packice-client", Allowed::Only(&["packice-core"])),
    ("packice-tests", Allowed::All),
    ("packice-tests-wasm", Allowed::Only(&["packice-core"])),
    ("xtask", Allowed::All),
];

enum Allowed {
    All,
    Only(&'static [&'static str]),
}

/// The layers of core, lowest first: a module may use its own layer and those below.
const LAYERS: &[&[&str]] = &[
    &["types", "limits", "map", "error", "planted"],
    &["hash", "codec", "format"],
    &["tree", "trust", "frame", "delta", "keep"],
    &["plan", "httpsig"],
    &["engine"],
    &["trace"],
];

/// No edges between siblings: everyone uses core, only tests and xtask see all.
pub(super) fn crates(_: &Shop, metadata: &Metadata) -> Findings {
    let table: BTreeMap<_, _> = CRATES.iter().map(|(name, allowed)| (*name, allowed)).collect();
    let mut findings = Vec::new();
    for package in metadata.members() {
        let Some(allowed) = table.get(package.name.as_str()) else {
            findings.push(format!("{} is not in the table of crates", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = table.contains_key(dependency.name.as_str());
            let fine = match allowed {
                Allowed::All => true,
                Allowed::Only(names) => names.contains(&dependency.name.as_str()),
            };
            if ours && !fine {
                findings.push(format!("{} must not use {}", package.name, dependency.name));
            }
        }
    }
    Ok(findings)
}

/// Each module of core uses its own layer and those below.
pub(super) fn modules(_: &Shop, metadata: &Metadata) -> Findings {
    let src = metadata.member("packice-core")?.dir.join("src");
    let mut findings = Vec::new();
    for Source { path, code } in text::shipped(&src)? {
        let first = path.iter().next().map(|part| part.to_string_lossy()).unwrap_or_default();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let shown = format!("core/src/{}", path.display());
        match layer(module) {
            None => findings.push(format!("{shown}: module {module} is in no layer")),
            Some(own) => findings.extend(
                upward(own, &code)
                    .into_iter()
                    .map(|(line, used)| format!("{shown}:{line}: {module} must not use {used}")),
            ),
        }
    }
    Ok(findings)
}

/// The layer that a module of core is in.
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// The modules of higher layers that a file's code names, with their lines.
fn upward(own: usize, code: &str) -> Vec<(usize, &str)> {
    let above = |used: &str| layer(used).is_some_and(|layer| layer > own);
    let line = |at: usize| 1 + code[..at].matches('\n').count();
    let used = text::crate_paths(code).into_iter().filter(|(_, used)| above(used));
    used.map(|(at, used)| (line(at), used)).collect()
}

#[cfg(test)]
mod tests {
    use super::{layer, upward};

    #[test]
    fn a_module_may_look_down_and_not_up() {
        let code = "use crate::types::Name;\nuse crate::{tree, engine::Engine};\n";
        let own = |module| layer(module).expect("a module of the table");
        assert_eq!(upward(own("codec"), code), [(2, "tree"), (2, "engine")]);
        assert_eq!(upward(own("tree"), code), [(2, "engine")]);
        assert!(upward(own("engine"), code).is_empty());
    }
}
