//! Writes what the attacks of `tests/attacks/` serve into a folder, for the browser's tests:
//! `cargo run -p packice-tests --bin attacks -- OUT`. Every file is there once, under its BLAKE3;
//! `index.json` says which fixture serves it where. `--freeze` writes the digests anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use packice_core::hash::wire_name;
use packice_core::types::WireName;
use packice_tests::attacks::{self, Files, Objects};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let Some(out) = std::env::args_os().nth(1) else {
        eprintln!("usage: attacks OUT | attacks --freeze");
        std::process::exit(2);
    };
    let own = attacks::all();
    if out == "--freeze" {
        let digests: BTreeMap<&str, String> =
            own.iter().map(|(name, objects)| (*name, objects.digest())).collect();
        let text = serde_json::to_string_pretty(&digests)?;
        return std::fs::write(attacks::folder().join("digests.json"), text + "\n");
    }
    let out = PathBuf::from(out);
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let honest = attacks::honest();
    let usual: BTreeSet<WireName> = honest.sets.values().flat_map(attacks::names).collect();
    let mut index = serde_json::Map::new();
    index.insert("honest".into(), entry(&out, &honest, &usual)?);
    for fixture in attacks::fixtures() {
        let more = fixture.allowed.difference(&usual).copied().collect();
        let own = own.get(fixture.name.as_str()).cloned().unwrap_or_default();
        index.insert(fixture.name, entry(&out, &own, &more)?);
    }
    std::fs::write(out.join("index.json"), serde_json::to_string(&index)?)
}

/// What a fixture has of its own, and which names rows may have because of it.
fn entry(out: &Path, objects: &Objects, allowed: &BTreeSet<WireName>) -> std::io::Result<Value> {
    let Objects { sets, roots, rows } = objects;
    let mut named = BTreeMap::new();
    for (set, files) in sets {
        named.insert(set, write(out, files)?);
    }
    let allowed: Vec<String> = allowed.iter().map(WireName::to_hex).collect();
    let (roots, rows) = (write(out, roots)?, write(out, rows)?);
    Ok(json!({ "sets": named, "roots": roots, "rows": rows, "allowed": allowed }))
}

/// Writes files under their hashes; gives the hash of each.
fn write(out: &Path, files: &Files) -> std::io::Result<BTreeMap<String, String>> {
    let mut named = BTreeMap::new();
    for (path, bytes) in files {
        let hash = wire_name(bytes).to_hex();
        let file = out.join(&hash);
        if !file.exists() {
            std::fs::write(file, bytes)?;
        }
        named.insert(path.clone(), hash);
    }
    Ok(named)
}
