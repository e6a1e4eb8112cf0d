//! `cargo xtask data`: the real data sets of the demo and the tests, as JSON lines and a
//! packice.toml each, under `target/data/{set}`. They come from npm, at the versions that
//! package-lock.json pins.
//!
//! Every value of the source ends up in exactly one record, and no value repeats its key.
//!
//! With `--syn` it is the synthetic set instead (`syn`), of any size, in
//! `target/data/syn{records}`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::shop::Shop;
use crate::step::Step;
use crate::syn::{self, Syn};
use crate::text;
use crate::toolchain;

/// Write the demo's data sets, or the synthetic one, as JSON lines under target/data.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The edge that each packice.toml names.
    #[arg(long, default_value = crate::demo::LOCAL_EDGE)]
    edge: String,
    /// Write the synthetic set of so many records instead: 100 bytes each.
    #[arg(long, value_name = "RECORDS")]
    syn: Option<u64>,
    /// The version of the synthetic set: one record in a thousand changes with each.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "syn",
          value_parser = clap::value_parser!(u64).range(1..))]
    version: u64,
}

/// One collection of a set, as packice.toml describes it.
struct Collection {
    name: &'static str,
    priority: u8,
    key: &'static str,
    value: &'static str,
    text: bool,
    lines: Vec<Value>,
}

/// One data set: its name, the npm package it comes from, and what is made of it.
struct Set {
    name: &'static str,
    make: fn(&Shop) -> Result<Vec<Collection>>,
}

/// The sets, smallest first.
const SETS: &[Set] = &[
    Set { name: "eth-phishing", make: phishing },
    Set { name: "solana-tokens", make: solana },
    Set { name: "browser-compat", make: compat },
];

/// The names of the sets, smallest first.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|set| set.name)
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    if let Some(records) = args.syn {
        return write_syn(shop, records, args.version, &args.edge).map(drop);
    }
    toolchain::ensure_node(shop)?;
    write_all(shop, &args.edge).map(drop)
}

/// Writes a version of the synthetic set that began with so many records, and returns its folder.
/// Lines that a run before wrote are kept: they are always the same.
pub(crate) fn write_syn(shop: &Shop, records: u64, version: u64, edge: &str) -> Result<PathBuf> {
    let name = match version {
        1 => format!("syn{records}"),
        _ => format!("syn{records}-v{version}"),
    };
    let step = Step::start(format!("synthetic set {name}"));
    let dir = shop.target.join("data").join(name);
    std::fs::create_dir_all(&dir)?;
    let config = format!(
        "dataset = \"syn\"\nchannel = \"stable\"\n\n[edge]\nurl = \"{edge}\"\n\n\
         [keys]\nrelease = \"keys/release.key\"\nroot = \"keys/root.key\"\n\n\
         [[collection]]\nname = \"accounts\"\npriority = 1\nlazy = true\n\
         input = \"accounts.jsonl\"\nkey = \"{{k|hex}}\"\nvalue = \"v|base64\"\n"
    );
    std::fs::write(dir.join("packice.toml"), config)?;
    let set = Syn::new(records, version);
    let (path, stamp) = (dir.join("accounts.jsonl"), dir.join("accounts.recipe"));
    let recipe = syn::RECIPE.to_string();
    if path.exists() && std::fs::read_to_string(&stamp).is_ok_and(|text| text == recipe) {
        step.done("written before");
        return Ok(dir);
    }
    let mut file = BufWriter::with_capacity(1 << 18, File::create(&path)?);
    for id in set.ids() {
        if let Some(value) = set.value(id) {
            let key = blake3::Hash::from_bytes(syn::key(id)).to_hex();
            writeln!(file, "{{\"k\":\"{key}\",\"v\":\"{}\"}}", text::base64(&value))?;
        }
    }
    file.flush()?;
    std::fs::write(stamp, recipe)?;
    step.done(format!("{} records", set.len()));
    Ok(dir)
}

/// Writes every set for an edge and returns the folder they are in.
pub(crate) fn write_all(shop: &Shop, edge: &str) -> Result<PathBuf> {
    let root = shop.target.join("data");
    for set in SETS {
        let step = Step::start(format!("data set {}", set.name));
        let dir = root.join(set.name);
        std::fs::create_dir_all(&dir)?;
        let collections = (set.make)(shop)?;
        let mut config = format!(
            "dataset = \"{}\"\nchannel = \"stable\"\n\n[edge]\nurl = \"{edge}\"\n\n\
             [keys]\nrelease = \"keys/release.key\"\nroot = \"keys/root.key\"\n",
            set.name
        );
        let mut counts = Vec::new();
        for collection in &collections {
            write_lines(&dir, collection)?;
            config.push_str(&section(collection));
            counts.push(format!("{} {}", collection.lines.len(), collection.name));
        }
        std::fs::write(dir.join("packice.toml"), config)?;
        step.done(counts.join(", "));
    }
    Ok(root)
}

fn write_lines(dir: &Path, collection: &Collection) -> Result<()> {
    let mut file = BufWriter::new(File::create(dir.join(format!("{}.jsonl", collection.name)))?);
    for line in &collection.lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// The `[[collection]]` of packice.toml. What is not the bootstrap may be read lazily.
fn section(collection: &Collection) -> String {
    let Collection { name, priority, key, value, text, .. } = collection;
    let lazy = *priority > 0;
    let dictionary = if *priority > 0 { "auto" } else { "none" };
    let text = if *text { "value_text = true\n" } else { "" };
    format!(
        "\n[[collection]]\nname = \"{name}\"\npriority = {priority}\nlazy = {lazy}\n\
         input = \"{name}.jsonl\"\nkey = \"{key}\"\nvalue = \"{value}\"\n{text}\
         dictionary = \"{dictionary}\"\n"
    )
}

/// `{"k": key, "v": value}`.
fn pair(key: impl Into<String>, value: Value) -> Value {
    json!({ "k": key.into(), "v": value })
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().with_context(|| format!("{what} is not an object"))
}

fn read(shop: &Shop, file: &str) -> Result<Value> {
    let path = shop.module(file);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
}

/// eth-phishing-detect: `{list}/{domain}` with an empty value, and the scalar settings.
fn phishing(shop: &Shop) -> Result<Vec<Collection>> {
    let source = read(shop, "data-phish/src/config.json")?;
    let (mut settings, mut domains) = (Vec::new(), Vec::new());
    for (name, value) in object(&source, "the phishing configuration")? {
        match value {
            Value::Array(list) => {
                domains.extend(list.iter().map(|domain| json!({"l": name, "d": domain, "v": ""})));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => settings.push(pair(name, value.clone())),
        }
    }
    Ok(vec![bootstrap("config", settings), bulk("domains", 1, "{l}/{d}", domains).text()])
}

/// @solana/spl-token-registry: `{chainId}/{address}`, the rest of the token's entry as its value.
fn solana(shop: &Shop) -> Result<Vec<Collection>> {
    let source = read(shop, "data-solana/dist/main/tokens/solana.tokenlist.json")?;
    let (mut info, mut tokens) = (Vec::new(), Vec::new());
    for (name, value) in object(&source, "the token list")? {
        match (name.as_str(), value) {
            ("tokens", Value::Array(list)) => tokens.clone_from(list),
            (name, value) => info.push(pair(name, value.clone())),
        }
    }
    ensure!(!tokens.is_empty(), "the token list has no tokens");
    let tokens = Collection { value: "*", ..bulk("tokens", 1, "{chainId}/{address}", tokens) };
    Ok(vec![bootstrap("info", info), tokens])
}

/// @mdn/browser-compat-data: the dotted path of each `__compat`, each browser's releases, and
/// what identifies the edition.
fn compat(shop: &Shop) -> Result<Vec<Collection>> {
    let source = read(shop, "data-bcd/data.json")?;
    let (mut meta, mut browsers, mut features) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in object(&source, "the compatibility data")? {
        match name.as_str() {
            "__meta" => {
                for (name, value) in object(value, "__meta")? {
                    meta.push(pair(name, value.clone()));
                }
            }
            "browsers" => {
                let mut names = Map::new();
                for (id, browser) in object(value, "browsers")? {
                    names.insert(id.clone(), browser["name"].clone());
                    releases(id, browser, &mut browsers)?;
                }
                meta.push(pair("browsers", names.into()));
            }
            _ => walk(name, value, &mut features)?,
        }
    }
    Ok(vec![
        bootstrap("meta", meta),
        bulk("browsers", 1, "{k}", browsers),
        bulk("compat", 2, "{k}", features),
    ])
}

/// `{browser}` without its releases, and `{browser}/{version}` for each release.
fn releases(id: &str, browser: &Value, lines: &mut Vec<Value>) -> Result<()> {
    let mut rest = object(browser, id)?.clone();
    let releases = rest.shift_remove("releases").context("a browser has no releases")?;
    lines.push(pair(id, rest.into()));
    for (version, release) in object(&releases, "releases")? {
        lines.push(pair(format!("{id}/{version}"), release.clone()));
    }
    Ok(())
}

fn walk(path: &str, value: &Value, lines: &mut Vec<Value>) -> Result<()> {
    for (name, below) in object(value, path)? {
        if name == "__compat" {
            lines.push(pair(path, below.clone()));
        } else {
            walk(&format!("{path}.{name}"), below, lines)?;
        }
    }
    Ok(())
}

fn bootstrap(name: &'static str, lines: Vec<Value>) -> Collection {
    Collection { name, priority: 0, key: "{k}", value: "v", text: false, lines }
}

fn bulk(name: &'static str, priority: u8, key: &'static str, lines: Vec<Value>) -> Collection {
    Collection { name, priority, key, value: "v", text: false, lines }
}

impl Collection {
    /// Values are stored as text, not as JSON.
    fn text(self) -> Self {
        Self { text: true, ..self }
    }
}
