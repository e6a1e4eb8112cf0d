//! The table, the sums and the figures of all pairs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::json;

use super::{Found, GRACE_BYTES, Row, chart, exact, rounded};
use crate::shop::Shop;

/// The docs' page, and the marks that the table stands between.
const PAGE: &str = "docs/deltas.md";
const MARKS: (&str, &str) = ("<!-- pairs -->\n", "<!-- end of pairs -->");

/// The pairs as a table.
pub(super) fn table(rows: &[Row]) -> Result<String> {
    let mut table = String::from(
        "| set | pair | inserts/updates/deletes | delta | best tool | its bytes | ratio |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let (best, bytes) = (row.best()?, row.bytes());
        table += &format!(
            "| {} | {} → {} | {}/{}/{} | {bytes} | {} | {} | {:.3} |\n",
            row.set,
            row.field("from"),
            row.field("to"),
            row.delta["inserts"],
            row.delta["updates"],
            row.delta["deletes"],
            best.name,
            best.bytes,
            exact(bytes) / exact(best.bytes),
        );
    }
    Ok(table)
}

/// Delta bytes and the best tools' bytes, by set and in all.
pub(super) fn sums(rows: &[Row]) -> Result<BTreeMap<&str, (u64, u64)>> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        for set in [row.set.as_str(), "all"] {
            let sum = sums.entry(set).or_default();
            *sum = (sum.0 + row.bytes(), sum.1 + row.best()?.bytes);
        }
    }
    Ok(sums)
}

/// The figures of the pairs.
pub(super) fn pairs(rows: &[Row], found: &mut Found) -> Result<()> {
    print!("{}", table(rows)?);
    let mut worst = 0f64;
    let mut detail = Vec::new();
    for row in rows {
        worst = worst.max((exact(row.bytes()) - GRACE_BYTES) / exact(row.best()?.bytes));
        let tools: BTreeMap<_, _> = row.rivals.iter().map(|u| (&u.name, u.bytes)).collect();
        detail.push(json!({"set": row.set, "delta": row.delta, "tools": tools}));
    }
    found.figure("c1.worst_ratio", rounded(worst), "ratio");
    for (set, (bytes, best)) in sums(rows)? {
        println!("{set}: {bytes} of {best} bytes");
        let ratio = rounded(exact(bytes) / exact(best));
        found.figure(format!("c1.sum_ratio.{set}"), ratio, "ratio");
    }
    found.detail("pairs", json!(detail));
    Ok(())
}

/// The chart, and the table between its marks.
pub(super) fn write_docs(shop: &Shop, rows: &[Row]) -> Result<()> {
    std::fs::write(shop.path("docs/update-bytes.svg"), chart::svg(rows)?)?;
    let path = shop.path(PAGE);
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page.split_once(MARKS.0).context("the page has no mark for the table")?;
    let (_, after) = rest.split_once(MARKS.1).context("the page has no mark after the table")?;
    let mut sums_table =
        String::from("\n| set | deltas | best tools | ratio |\n| --- | --- | --- | --- |\n");
    for (set, (bytes, best)) in sums(rows)? {
        let ratio = exact(bytes) / exact(best);
        sums_table += &format!("| {set} | {bytes} | {best} | {ratio:.3} |\n");
    }
    let pairs = table(rows)?;
    let text = [before, MARKS.0, &pairs, &sums_table, MARKS.1, after].concat();
    Ok(std::fs::write(path, text)?)
}
