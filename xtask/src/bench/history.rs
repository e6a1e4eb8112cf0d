//! Successive versions of four real data sets, from npm at the versions that
//! tests/bench/history/package-lock.json pins: each as the file that was published
//! (`VERSION.raw`), and as its records (`VERSION.jsonl`), sorted by key.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::shop::Shop;
use crate::step::{self, Step};

/// A set: its name, its file in each package, and how that becomes records.
struct Source {
    name: &'static str,
    file: &'static str,
    records: fn(&Map<String, Value>, &mut Records) -> Result<()>,
}

const SOURCES: &[Source] = &[
    Source { name: "phish", file: "src/config.json", records: phishing },
    Source { name: "uniswap", file: "build/uniswap-default.tokenlist.json", records: tokens },
    Source { name: "solana", file: "dist/main/tokens/solana.tokenlist.json", records: tokens },
    Source { name: "bcd", file: "data.json", records: compat },
];

/// A set's versions, oldest first, in a folder.
pub(crate) struct History {
    /// The set.
    pub(crate) name: String,
    /// `VERSION.raw` and `VERSION.jsonl` of each.
    pub(crate) dir: PathBuf,
    /// Oldest first.
    pub(crate) versions: Vec<String>,
}

impl History {
    /// Any folder of versions.
    pub(crate) fn of_dir(dir: &Path) -> Result<Self> {
        let mut versions = Vec::new();
        let entries = std::fs::read_dir(dir)
            .with_context(|| format!("cannot read the folder {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "jsonl")
                && let Some(stem) = path.file_stem()
            {
                ensure!(
                    path.with_extension("raw").is_file(),
                    "{} has no {}.raw beside it: the file as it was published",
                    path.display(),
                    stem.to_string_lossy()
                );
                versions.push(stem.to_string_lossy().into_owned());
            }
        }
        ensure!(versions.len() > 1, "{} has fewer than two versions", dir.display());
        versions.sort_by_key(|version| order(version));
        let name = dir.file_name().map_or_else(|| "data".into(), |n| n.to_string_lossy().into());
        Ok(Self { name, dir: dir.to_path_buf(), versions })
    }

    /// Every consecutive pair, and the oldest with the newest.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> =
            self.versions.windows(2).map(|two| (two[0].as_str(), two[1].as_str())).collect();
        if let ([first, _, .., last], true) = (self.versions.as_slice(), pairs.len() > 1) {
            pairs.push((first, last));
        }
        pairs
    }
}

/// Numbers in a version count as numbers: 1.9 comes before 1.10.
fn order(version: &str) -> Vec<(u64, String)> {
    let parts = version.split(['.', '-', '_']);
    parts.map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
}

/// Fetches the packages and writes every version's file and records under `target/history`.
pub(crate) fn fetch(shop: &Shop) -> Result<Vec<History>> {
    let root = shop.target.join("history");
    std::fs::create_dir_all(&root)?;
    let from = shop.path("tests/bench/history");
    let lock = std::fs::read(from.join("package-lock.json"))?;
    let stamp = root.join("done");
    let fresh = std::fs::read(&stamp).is_ok_and(|done| done == lock);
    if !fresh {
        let step = Step::start("npm ci of the histories");
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(from.join(file), root.join(file))?;
        }
        let mut npm = shop.command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
        step::quiet(npm.current_dir(&root)).context("npm ci failed: is the registry reachable?")?;
        step.done("");
    }
    let packages: Value = serde_json::from_slice(&std::fs::read(from.join("package.json"))?)?;
    let packages = object(&packages["dependencies"], "the dependencies")?;
    let mut histories = Vec::new();
    for source in SOURCES {
        let dir = root.join(source.name);
        std::fs::create_dir_all(&dir)?;
        for (alias, wanted) in packages {
            if alias.split('-').next() != Some(source.name) || fresh {
                continue;
            }
            let version = wanted.as_str().and_then(|text| text.rsplit('@').next());
            let version = version.context("a dependency names no version")?;
            write_version(source, &root.join("node_modules").join(alias), version, &dir)?;
        }
        histories.push(History { name: source.name.to_owned(), ..History::of_dir(&dir)? });
    }
    std::fs::write(stamp, lock)?;
    Ok(histories)
}

type Records = BTreeMap<String, String>;

fn write_version(source: &Source, package: &Path, version: &str, dir: &Path) -> Result<()> {
    let path = package.join(source.file);
    let raw = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let parsed: Value =
        serde_json::from_slice(&raw).with_context(|| format!("{} is not JSON", path.display()))?;
    let mut records = Records::new();
    (source.records)(object(&parsed, "the file")?, &mut records)?;
    let mut lines = Vec::new();
    for (key, value) in &records {
        writeln!(lines, "{}", json!({"k": key, "v": value}))?;
    }
    std::fs::write(dir.join(format!("{version}.raw")), raw)?;
    std::fs::write(dir.join(format!("{version}.jsonl")), lines)?;
    Ok(())
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{what} is not an object"))
}

/// `{list}/{domain}` with an empty value, and the scalar settings.
fn phishing(file: &Map<String, Value>, records: &mut Records) -> Result<()> {
    for (name, value) in file {
        let Some(list) = value.as_array() else {
            records.insert(format!("config/{name}"), value.to_string());
            continue;
        };
        for domain in list {
            let domain = domain.as_str().context("a domain is not text")?;
            records.insert(format!("{name}/{domain}"), String::new());
        }
    }
    Ok(())
}

/// `{chainId}/{address}`, the rest of the token's entry as its value.
fn tokens(file: &Map<String, Value>, records: &mut Records) -> Result<()> {
    for (name, value) in file {
        let (true, Some(list)) = (name == "tokens", value.as_array()) else {
            records.insert(format!("info/{name}"), value.to_string());
            continue;
        };
        for token in list {
            let mut rest = object(token, "a token")?.clone();
            let chain = rest.shift_remove("chainId").context("a token has no chainId")?;
            let Some(Value::String(address)) = rest.shift_remove("address") else {
                bail!("a token has no address");
            };
            records.insert(format!("{chain}/{address}"), Value::Object(rest).to_string());
        }
    }
    Ok(())
}

/// The path of each `__compat`, each browser and its releases, and what identifies the edition.
fn compat(file: &Map<String, Value>, records: &mut Records) -> Result<()> {
    for (name, value) in file {
        match name.as_str() {
            "__meta" => {
                for (name, value) in object(value, "__meta")? {
                    records.insert(format!("meta/{name}"), value.to_string());
                }
            }
            "browsers" => {
                for (id, browser) in object(value, "browsers")? {
                    let mut rest = object(browser, id)?.clone();
                    let releases = rest.shift_remove("releases").unwrap_or_default();
                    records.insert(format!("browsers/{id}"), Value::Object(rest).to_string());
                    for (version, release) in object(&releases, "releases")? {
                        records.insert(format!("browsers/{id}/{version}"), release.to_string());
                    }
                }
            }
            _ => walk(name, value, records)?,
        }
    }
    Ok(())
}

fn walk(path: &str, value: &Value, records: &mut Records) -> Result<()> {
    for (name, below) in object(value, path)? {
        if name == "__compat" {
            records.insert(path.to_owned(), below.to_string());
        } else if below.is_object() {
            walk(&format!("{path}.{name}"), below, records)?;
        }
    }
    Ok(())
}
