//! `cargo xtask bench catchup`: what a client pays that is 1 to 32 versions behind, beside the
//! delta that leads there at once, and what all deltas weigh beside the full set; on the synthetic
//! set and on the histories of real ones. The figures stand with those of `bench update`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::history;
use crate::shop::Shop;
use crate::step::{self, Step};
use crate::{data, demo};

/// Sets whose full sync is below this may keep more deltas beside it.
const SMALL_SET: u64 = 1_000_000;

/// Measure catching up by several versions.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records of the synthetic set; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    syn: u64,
    /// Versions of the synthetic set, of which each changes one record in a thousand.
    #[arg(long, default_value_t = 40)]
    versions: u64,
    /// How many versions back the star reaches, as `depth` in packice.toml.
    #[arg(long, default_value_t = 32)]
    depth: u64,
    /// Only these sets.
    #[arg(long)]
    set: Vec<String>,
}

/// A set and its versions' files.
struct Set {
    name: String,
    collection: &'static str,
    inputs: Vec<PathBuf>,
}

/// The verb.
pub(crate) fn main(shop: &mut Shop, args: &Args) -> Result<()> {
    let step = Step::start("cargo build packice-tests catchup (release)");
    let mut cargo = shop.cargo();
    cargo.args(["build", "--locked", "--release", "-p", "packice-tests", "--example", "catchup"]);
    step::quiet(&mut cargo)?;
    step.done("");
    let program = shop.target.join("release/examples/catchup");
    let mut measured = Map::new();
    for set in sets(shop, args)? {
        if !args.set.is_empty() && !args.set.contains(&set.name) {
            continue;
        }
        let step = Step::start(format!("{}: {} versions", set.name, set.inputs.len()));
        let said = measure(shop, &program, &set, args.depth)?;
        step.done(format!("{} in all deltas of the newest", said["star_bytes"]));
        measured.insert(set.name, said);
    }
    report(shop, &measured)
}

fn sets(shop: &mut Shop, args: &Args) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for history in history::fetch(shop)? {
        let file = |version: &String| history.dir.join(format!("{version}.jsonl"));
        let inputs = history.versions.iter().map(file).collect();
        let collection = "key = \"{k}\"\nvalue = \"v|text\"\n";
        sets.push(Set { name: history.name, collection, inputs });
    }
    if args.syn > 0 {
        let mut inputs = Vec::new();
        for version in 1..=args.versions {
            let dir = data::write_syn(shop, args.syn, version, demo::LOCAL_EDGE)?;
            inputs.push(dir.join("accounts.jsonl"));
        }
        let collection = "key = \"{k|hex}\"\nvalue = \"v|base64\"\n";
        sets.push(Set { name: format!("syn{}", args.syn), collection, inputs });
    }
    Ok(sets)
}

fn measure(shop: &Shop, program: &Path, set: &Set, depth: u64) -> Result<Value> {
    let dir = shop.target.join("bench-catchup").join(&set.name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let config = format!(
        "dataset = \"catchup\"\n[deltas]\ndepth = {depth}\n[[collection]]\nname = \"records\"\n\
         input = \"records.jsonl\"\nformat = \"jsonl\"\n{}",
        set.collection
    );
    let path = dir.join("packice.toml");
    std::fs::write(&path, config)?;
    let mut command = shop.command(program);
    command.arg(&path).args(&set.inputs);
    let said = serde_json::from_str(&step::capture(&mut command)?)?;
    std::fs::remove_dir_all(&dir)?;
    Ok(said)
}

/// Sizes are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "a size in bytes is exact in an f64")]
fn ratio(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64 * 10_000.0).round() / 10_000.0
}

fn report(shop: &Shop, measured: &Map<String, Value>) -> Result<()> {
    let number = |value: &Value, name: &str| {
        value[name].as_u64().with_context(|| format!("no number '{name}'"))
    };
    let (mut inside, mut beyond, mut requests) = (0f64, 0f64, 0u64);
    let (mut large, mut small) = (0f64, 0f64);
    println!(
        "| set | versions | full | star | single steps | star and steps / full | worst ratio |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, set) in measured {
        let mut worst = 0f64;
        for path in set["paths"].as_array().context("no paths")? {
            let paid = ratio(number(path, "bytes")?, number(path, "squashed_bytes")?);
            worst = worst.max(paid);
            match path["in_star"] == json!(true) {
                true => {
                    inside = inside.max(paid);
                    requests = requests.max(number(path, "round_trips")?);
                }
                false => beyond = beyond.max(paid),
            }
        }
        let (full, star) = (number(set, "full_bytes")?, number(set, "star_bytes")?);
        let steps = number(set, "steps_bytes")?;
        let store = ratio(star + steps, full);
        match full < SMALL_SET {
            true => small = small.max(store),
            false => large = large.max(store),
        }
        let versions = &set["versions"];
        println!("| {name} | {versions} | {full} | {star} | {steps} | {store:.3} | {worst:.3} |");
    }
    let mut figures = vec![
        ("c2.catchup_ratio", json!(inside), "ratio"),
        ("c2.requests", json!(requests), "requests"),
    ];
    for (id, value) in [
        ("c2.catchup_ratio_beyond", beyond),
        ("c2.store_ratio", large),
        ("c2.store_ratio_small", small),
    ] {
        if value > 0.0 {
            figures.push((id, json!(value), "ratio"));
        }
    }
    for (id, value, unit) in &figures {
        println!("{id}: {value} {unit}");
    }
    let detail = Map::from_iter([("catchup".to_owned(), Value::Object(measured.clone()))]);
    println!("{}", shop.add_bench("update", &figures, &detail)?.display());
    Ok(())
}
