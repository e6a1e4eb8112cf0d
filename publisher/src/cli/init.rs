//! `packice init`: keys, the first trust root and packice.toml. It never overwrites.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use packice_core::types::{Name, hex};
use serde_json::json;

use super::args::{Cli, InitArgs};
use crate::config::{Config, edge_url};
use crate::failure::{Failure, Result, on_file};
use crate::input::Format;
use crate::keys::passphrase::Source;
use crate::keys::{Key, KeyRole, PUBLISH_KEY_ENV, RELEASE_KEY_ENV, ROOT_KEY_ENV};
use crate::trust_store;
use crate::ui::Ui;

/// Where a key came from.
struct NewKey {
    key: Key,
    from: &'static str,
}

pub(super) fn run(cli: &Cli, args: &InitArgs, ui: Ui) -> Result<()> {
    let path = &cli.config;
    if path.exists() {
        let message = format!("{} is there already; init never overwrites", path.display());
        return Err(Failure::usage(message).next("edit it, or name another with --config FILE"));
    }
    let ask = !args.non_interactive && !ui.json && std::io::stdin().is_terminal();
    let dataset = match &args.dataset {
        Some(name) => name.clone(),
        None if ask => prompt("Name of the data set (a-z, 0-9, '-')", None)?,
        None => return Err(Failure::usage("init needs a name").next("pass --dataset NAME")),
    };
    let dataset = Name::new(&dataset).map_err(|error| Failure::usage(error.to_string()))?;
    let local = "http://127.0.0.1:8787";
    let edge = match &args.edge {
        Some(url) => url.clone(),
        None if ask => prompt("URL of the edge", Some(local))?,
        None => local.to_owned(),
    };
    let edge = edge_url(&edge)?;
    let origin = args.origin.clone().unwrap_or_else(|| format!("packice/{dataset}"));
    let text = template(&dataset, &edge, args);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new(""),
    };
    // What init writes must be what the other verbs read.
    let config = Config::parse(&text, dir)?;
    let trust_path = trust_store::path_of(&config.trust_dir, 1);
    refuse_existing(&trust_path)?;

    let root = make_key(ROOT_KEY_ENV, &config.root_key, KeyRole::Root)?;
    let release_path = config.first_release_key();
    let release = make_key(RELEASE_KEY_ENV, &release_path, KeyRole::Release)?;
    let publish = make_key(PUBLISH_KEY_ENV, &config.publish_key, KeyRole::Publish)?;
    let entry = format!("{dataset}={}", hex(&publish.key.public()));
    let trust = trust_store::first_trust_root(&dataset, &origin, &root.key, &release.key);
    trust_store::parse(&trust)?;
    create_dir(&config.trust_dir)?;
    write_new(&trust_path, &trust)?;
    write_new(path, text.as_bytes())?;
    write_ignore(dir)?;

    let json = json!({
        "dataset": dataset.as_str(),
        "config": path.display().to_string(),
        "trust": trust_path.display().to_string(),
        "root_key": { "public": hex(&root.key.public()), "from": root.from },
        "release_key": {
            "public": hex(&release.key.public()), "from": release.from,
        },
        "publish_key": { "entry": entry, "from": publish.from },
    });
    let keys = [&root, &release, &publish];
    ui.result(&next_steps(path, &config, &trust_path, keys, &entry), &json);
    Ok(())
}

fn prompt(question: &str, usual: Option<&str>) -> Result<String> {
    let hint = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
    eprint!("{question}{hint}: ");
    let no_answer = |_| Failure::usage("no answer").next("pass the options on the command line");
    std::io::stderr().flush().map_err(no_answer)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(no_answer)?;
    match (line.trim(), usual) {
        ("", Some(usual)) => Ok(usual.to_owned()),
        (text, _) => Ok(text.to_owned()),
    }
}

/// The environment's key, or a new one in a new file: encrypted where the environment has a
/// passphrase, else a plain seed.
fn make_key(variable: &'static str, path: &Path, role: KeyRole) -> Result<NewKey> {
    if std::env::var_os(variable).is_some() {
        return Ok(NewKey { key: Key::load(variable, path)?, from: "environment" });
    }
    refuse_existing(path)?;
    if let Some(dir) = path.parent() {
        create_dir(dir)?;
    }
    let key = Key::random()?;
    let source = Source::default();
    match source.is_set() {
        true => key.write_file(path, role, Some(&source.choose(path)?))?,
        false => key.write_new(path)?,
    }
    Ok(NewKey { key, from: "new file" })
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.exists() {
        let message = format!("{} is there already; init never overwrites", path.display());
        return Err(Failure::usage(message).next("move it away, or write packice.toml by hand"));
    }
    Ok(())
}

fn create_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(on_file("create", dir))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = std::fs::File::create_new(path).map_err(on_file("create", path))?;
    file.write_all(bytes).map_err(on_file("write", path))
}

/// Keeps keys and builds out of git, where the directory has no rules of its own.
fn write_ignore(dir: &Path) -> Result<()> {
    let path = dir.join(".gitignore");
    if path.exists() { Ok(()) } else { write_new(&path, b"/.packice/\n/keys/\n") }
}

fn next_steps(
    path: &Path,
    config: &Config,
    trust: &Path,
    keys: [&NewKey; 3],
    entry: &str,
) -> String {
    let mut text = format!("wrote {}\nwrote {}\n", path.display(), trust.display());
    let release = config.first_release_key();
    for (key, file) in keys.iter().zip([&config.root_key, &release, &config.publish_key]) {
        if key.from == "new file" {
            text.push_str(&format!("wrote {} (only you can read it)\n", file.display()));
        }
    }
    let input = config.collections.first().map(|c| &c.input);
    let input = match input.map(|input| (&input.place, &input.format)) {
        Some((place, Format::JsonLines(_))) => {
            format!("Put one JSON object on each line of {place}")
        }
        Some((place, Format::Csv(..))) => format!("Write {place}, the columns' names first"),
        Some((place, Format::Sqlite(..))) => format!("Fill {place}"),
        Some((place, Format::Directory)) => format!("Put the files into {place}"),
        None => String::from("Add a [[collection]]"),
    };
    text.push_str(&format!(
        "\nNext:
  1. Move {root} to a safe place: only a new trust root needs it.
  2. {input}.
  3. packice build
  4. Let the edge know you. Its variable PUBLISH_KEYS lists, separated by commas:
     {entry}
  5. packice publish
  6. Embed {trust} in your wallet: it is all that its client trusts.",
        root = config.root_key.display(),
        trust = trust.display(),
    ));
    text
}

/// The lines of a collection that say where its records come from, with examples of the rest.
fn input_lines(args: &InitArgs) -> String {
    let input = match &args.input {
        Some(path) => path.display().to_string(),
        None => format!("{}.jsonl", args.collection),
    };
    let mut text = format!("input = {}\n", quote(&input));
    let path = Path::new(&input);
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    if input.ends_with('/') || path.is_dir() {
        text.push_str(
            "# Keys are the paths, values the bytes; longer files are cut in parts of 1 MiB.",
        );
        return text;
    }
    match (suffix, &args.table) {
        ("csv" | "tsv", _) => text.push_str(
            "# Columns that hold JSON: numbers, lists, objects; the others are texts.\n\
             # json = [\"decimals\"]\n\
             # delimiter = \";\"\n\
             # The columns' names, where the first line does not have them.\n\
             # columns = [\"key\", \"name\"]\n",
        ),
        ("sqlite" | "sqlite3" | "db", table) => text.push_str(&format!(
            "table = {}\n# Or: query = \"SELECT key, name FROM records\"\n\
             # Columns that hold JSON as text.\n# json = [\"tags\"]\n",
            quote(table.as_deref().unwrap_or(&args.collection)),
        )),
        (_, _) => {}
    }
    let value_text = if args.value_text { "value_text = true" } else { "# value_text = true" };
    text.push_str(&format!(
        r#"# Fields in braces, nested ones as {{a.b}}. Filters change them: {{address|lower}}; and
# {{id|hex}}, {{id|base64}}, {{n|u32}}, {{n|u64}} (the greatest byte first) make bytes. Each key
# comes once.
key = {key}
# "*" stores the record less the fields of the key; a field's name stores that field as JSON, and
# with a filter, such as "data|hex", its bytes.
value = {value}
# Store the text of that field as it is, not as JSON.
{value_text}"#,
        key = quote(&args.key),
        value = quote(&args.value),
    ));
    text
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn template(dataset: &Name, edge: &str, args: &InitArgs) -> String {
    format!(
        r#"# What this project publishes. `packice --help` explains the verbs.
dataset = "{dataset}"
channel = "stable"
# Channels that are published from elsewhere: all share one log.
# other_channels = ["beta"]

[edge]
url = {edge}

[keys]
# Ed25519 keys; PACKICE_ROOT_KEY, PACKICE_RELEASE_KEY and PACKICE_PUBLISH_KEY in the environment
# come first. The publish key signs uploads: the edge lets it in, no client trusts it.
release = "keys/release.key"
root = "keys/root.key"
publish = "keys/publish.key"

# What you promise to keep on the edge; this much where it is left out.
# [policy]
# keep_versions = 3       the newest so many versions of a channel
# keep_days = 7           each older one for so long after it was replaced

[[collection]]
name = {name}
# 0 is the bootstrap, the least that makes a client usable; lower comes first.
priority = {priority}
# Whether clients may fetch a single frame for a read before the collection is complete. It tells
# the edge which frame a user wants.
lazy = {lazy}
# Records in any order: x.jsonl (one object on each line), x.csv, x.tsv, x.sqlite, or a directory
# of files, dir/. "-" is standard input. Another name's format is told by
# format = "jsonl", "csv", "sqlite" or "directory".
{input}
# Sizes that cut the tree. Changing one renames everything. `packice tune` measures them.
# leaf_target = "16 KiB"
# frame_target = "256 KiB"
# node_target = "4 KiB"
# auto measures on your data; or "none", or a size up to "112 KiB".
# dictionary = "auto"
"#,
        edge = quote(edge),
        name = quote(&args.collection),
        priority = args.priority,
        lazy = args.lazy,
        input = input_lines(args),
    )
}
