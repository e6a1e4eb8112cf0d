//! The size of sources: a file holds one idea, a line fits beside another.

use std::path::Path;

use anyhow::Result;

use super::Findings;
use super::metadata::Metadata;
use crate::shop::Shop;
use crate::step;

/// Lines in a file.
const MAX_LINES: usize = 600;
/// Characters in a line.
const MAX_COLUMNS: usize = 100;
/// What is counted as source.
const SUFFIXES: &[&str] = &["rs", "ts", "js", "mjs", "css"];

/// Files of at most 600 lines, lines of at most 100 characters.
pub(super) fn sizes(shop: &Shop, _: &Metadata) -> Findings {
    let mut findings = Vec::new();
    for path in tracked(shop)? {
        let suffix = Path::new(&path).extension().and_then(|s| s.to_str()).unwrap_or_default();
        if !SUFFIXES.contains(&suffix) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(shop.path(&path)) else {
            continue; // removed, and not yet committed
        };
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{path}: {lines} lines, more than {MAX_LINES}"));
        }
        for (at, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                findings.push(format!("{path}:{}: {columns} columns", at + 1));
            }
        }
    }
    Ok(findings)
}

/// The files that belong to the repository: known to git, or new and not ignored.
pub(super) fn tracked(shop: &Shop) -> Result<Vec<String>> {
    let mut git = shop.command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let said = step::capture(&mut git)?;
    Ok(said.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}
