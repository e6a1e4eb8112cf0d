//! The synthetic set: one version's change and forty at once, in bytes an operation.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Found, exact, rounded};
use crate::bench::rivals;
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::syn::{self, Syn};

/// From the first version to these.
const TO: [u64; 2] = [2, 41];

pub(super) fn main(shop: &Shop, deltas: &Path, records: u64, found: &mut Found) -> Result<()> {
    let dir = shop.target.join("bench-update").join(format!("syn{records}"));
    std::fs::create_dir_all(&dir)?;
    write(&dir, records, 1)?;
    let mut rows = Vec::new();
    for to in TO {
        write(&dir, records, to)?;
        let step = Step::start(format!("synthetic set of {records}: 1 → {to}"));
        let mut command = shop.command(deltas);
        command.arg(&dir).arg(format!("1:{to}"));
        let mut row: Value = serde_json::from_str(&step::capture(&mut command)?)?;
        let file = |version: u64| dir.join(format!("{version}.records"));
        let patch = rivals::zstd(shop, &file(1), &file(to), &dir.join("out"))?;
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        let operations = number("inserts") + number("updates") + number("deletes");
        let each = rounded(exact(number("bytes")) / exact(operations));
        let patch_each = rounded(exact(patch) / exact(operations));
        row["patch_from_bytes"] = json!(patch);
        step.done(format!("{operations} operations, {each} and {patch_each} bytes each"));
        found.figure(format!("c1.syn_bytes_per_op.{}", to - 1), each, "bytes");
        found.figure(format!("c1.syn_patch_from_per_op.{}", to - 1), patch_each, "bytes");
        rows.push(row);
    }
    found.detail("synthetic", json!(rows));
    Ok(())
}

/// `VERSION.records`: the records in key order, each with the lengths of key and value before it.
fn write(dir: &Path, records: u64, version: u64) -> Result<()> {
    let set = Syn::new(records, version);
    let mut all: Vec<_> =
        set.ids().filter_map(|id| set.value(id).map(|value| (syn::key(id), value))).collect();
    all.sort();
    let mut file = BufWriter::new(File::create(dir.join(format!("{version}.records")))?);
    for (key, value) in all {
        file.write_all(&u32::try_from(key.len())?.to_le_bytes())?;
        file.write_all(&u32::try_from(value.len())?.to_le_bytes())?;
        file.write_all(&key)?;
        file.write_all(&value)?;
    }
    Ok(file.flush()?)
}
