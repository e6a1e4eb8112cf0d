//! `packice.toml`: what a project publishes, from where, under which keys.
//!
//! Unknown fields are refused, and every error names the file and the field.

use std::path::{Path, PathBuf};

use packice_core::format::head::Policy;
use packice_core::format::manifest::Params;
use packice_core::limits::MAX_DELTAS;
use packice_core::types::Name;
use serde::Deserialize;

use crate::failure::{Failure, Result, on_file};
use crate::input::{Format, Input, Place, Settings};
use crate::text::parse_size;

/// The file's usual name.
pub const FILE_NAME: &str = "packice.toml";

/// What is promised where the file does not say.
const KEEP_VERSIONS: u64 = 3;
const KEEP_DAYS: u64 = 7;
/// What the engine gives a fetch up below.
const SLOWEST_KIB_S: u64 = 16;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that relative paths start from.
    pub dir: PathBuf,
    /// The dataset.
    pub dataset: Name,
    /// The channel that `publish` moves.
    pub channel: Name,
    /// Further channels of the dataset: all share one log, which a release goes on with.
    pub other_channels: Vec<Name>,
    /// The edge's base URL.
    pub edge_url: Option<String>,
    /// Where to ask the witnesses; their names and keys stand in the trust root.
    pub witnesses: Vec<WitnessUrl>,
    /// The files of the release keys that are here.
    pub release_keys: Vec<PathBuf>,
    /// The file of the root key.
    pub root_key: PathBuf,
    /// The file of the key that signs uploads.
    pub publish_key: PathBuf,
    /// The directory of the signed trust roots, `1.bin` and so on.
    pub trust_dir: PathBuf,
    /// What the publisher promises to keep.
    pub policy: Policy,
    /// The slowest line that a whole download must get through on while it is kept, in KiB/s.
    pub slowest_kib_s: u64,
    /// How many deltas, how large, and when a base is cut.
    pub deltas: DeltaPolicy,
    /// The collections, by name.
    pub collections: Vec<Collection>,
}

/// A set below so many bytes on the wire may keep more deltas beside it: its releases often change
/// most of it, and what they cost in the store is little.
const SMALL_SET: u64 = 1_000_000;

/// What deltas and overlays may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaPolicy {
    /// Direct deltas lead from so many versions before, and from the base.
    pub depth: usize,
    /// New keys and values that one delta may carry, in bytes.
    pub most: u64,
    /// All deltas of a version may come to so many hundredths of the full set on the wire, three
    /// times as many where that is below 1 MB.
    pub star_percent: u64,
    /// An overlay may come to so many hundredths of its base on the wire.
    pub base_percent: u64,
}

impl Default for DeltaPolicy {
    fn default() -> Self {
        Self { depth: 8, most: 64 << 20, star_percent: 100, base_percent: 10 }
    }
}

impl DeltaPolicy {
    /// Bytes that all deltas of a version may come to.
    pub fn share_of(&self, full_len: u64) -> u64 {
        let times = if full_len < SMALL_SET { 3 } else { 1 };
        hundredths(full_len, self.star_percent.saturating_mul(times))
    }

    /// Bytes that an overlay may come to.
    pub fn overlay_most(&self, base_len: u64) -> u64 {
        hundredths(base_len, self.base_percent)
    }
}

fn hundredths(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Where a witness is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessUrl {
    /// Its name, as the trust root has it.
    pub name: String,
    /// What comes before `/add-checkpoint`.
    pub url: String,
}

/// A checked collection.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The collection.
    pub name: Name,
    /// 0 is the bootstrap.
    pub priority: u8,
    /// Whether single frames may be fetched for reads.
    pub lazy: bool,
    /// Where its records come from.
    pub input: Input,
    /// How the tree is cut.
    pub params: Params,
    /// Which dictionary.
    pub dictionary: DictionaryChoice,
    /// Whether it is a log of critical events: what was published of it never changes.
    pub events: bool,
}

/// Which dictionary the frames of a collection get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictionaryChoice {
    /// Measured on a sample of the frames.
    Auto,
    /// None.
    None,
    /// Of this many bytes.
    Bytes(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    dataset: String,
    channel: Option<String>,
    #[serde(default)]
    other_channels: Vec<String>,
    #[serde(default)]
    edge: RawEdge,
    #[serde(default)]
    keys: RawKeys,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    deltas: RawDeltas,
    trust_dir: Option<PathBuf>,
    #[serde(default)]
    witness: Vec<WitnessUrl>,
    #[serde(default)]
    collection: Vec<RawCollection>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEdge {
    url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    release: Option<OneOrMore>,
    root: Option<PathBuf>,
    publish: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(PathBuf),
    More(Vec<PathBuf>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    keep_versions: Option<u64>,
    keep_days: Option<u64>,
    slowest_kib_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeltas {
    depth: Option<usize>,
    most: Option<String>,
    star_percent: Option<u64>,
    base_percent: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollection {
    name: String,
    priority: Option<u8>,
    lazy: Option<bool>,
    input: String,
    format: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    value_text: bool,
    #[serde(default)]
    json: Vec<String>,
    columns: Option<Vec<String>>,
    delimiter: Option<String>,
    table: Option<String>,
    query: Option<String>,
    leaf_target: Option<String>,
    frame_target: Option<String>,
    node_target: Option<String>,
    dictionary: Option<String>,
    #[serde(default)]
    events: bool,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(on_file("read", path)).map_err(|f| {
            f.next("run `packice init` to make one, or name another with --config FILE")
        })?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
            _ => PathBuf::new(),
        };
        Self::parse(&text, &dir).map_err(|failure| failure.within(path.display()))
    }

    /// Checks a configuration's text.
    pub fn parse(text: &str, dir: &Path) -> Result<Self> {
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| Failure::usage(error.to_string().trim_end().to_owned()))?;
        let dataset = name("dataset", &raw.dataset)?;
        let channel = name("channel", raw.channel.as_deref().unwrap_or("stable"))?;
        let other_channels = raw
            .other_channels
            .iter()
            .map(|text| name("other_channels", text))
            .collect::<Result<_>>()?;
        let configured = raw.edge.url.map(|url| edge_url(&url)).transpose()?;
        let mut witnesses = raw.witness;
        for witness in &mut witnesses {
            let place = format!("witness '{}'", witness.name);
            witness.url = edge_url(&witness.url).map_err(|failure| failure.within(&place))?;
        }
        let release_keys = match raw.keys.release {
            None => vec![PathBuf::from("keys/release.key")],
            Some(OneOrMore::One(path)) => vec![path],
            Some(OneOrMore::More(paths)) => paths,
        };
        let mut collections = Vec::new();
        for (at, collection) in raw.collection.into_iter().enumerate() {
            let place = format!("collection {} ('{}')", at + 1, collection.name);
            let checked =
                Collection::check(collection, dir).map_err(|failure| failure.within(&place))?;
            if collections.iter().any(|other: &Collection| other.name == checked.name) {
                let message = format!("{place}: field 'name': another collection has this name");
                return Err(Failure::usage(message));
            }
            collections.push(checked);
        }
        if collections.iter().filter(|other| other.input.place == Place::Stdin).count() > 1 {
            let message = "field 'input': two collections read standard input";
            return Err(Failure::usage(message).next("give each of the others a file"));
        }
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        const DAY_MS: u64 = 86_400_000;
        let policy = Policy {
            keep_versions: raw.policy.keep_versions.unwrap_or(KEEP_VERSIONS),
            keep_ms: raw.policy.keep_days.unwrap_or(KEEP_DAYS).saturating_mul(DAY_MS),
        };
        let deltas = raw.deltas.check()?;
        let at = |path: Option<PathBuf>, usual: &str| dir.join(path.unwrap_or(usual.into()));
        Ok(Self {
            dir: dir.to_path_buf(),
            dataset,
            channel,
            other_channels,
            edge_url: configured,
            witnesses,
            release_keys: release_keys.into_iter().map(|path| dir.join(path)).collect(),
            root_key: at(raw.keys.root, "keys/root.key"),
            publish_key: at(raw.keys.publish, "keys/publish.key"),
            trust_dir: at(raw.trust_dir, "trust"),
            policy,
            slowest_kib_s: raw.policy.slowest_kib_s.unwrap_or(SLOWEST_KIB_S).max(1),
            deltas,
            collections,
        })
    }

    /// The directory of builds, state and temporary files.
    pub fn work_dir(&self) -> PathBuf {
        self.dir.join(".packice")
    }

    /// Whether no input directory would publish a key, or the builds themselves.
    pub fn check_directories(&self) -> Result<()> {
        for collection in &self.collections {
            let (Format::Directory, Place::Path(dir)) =
                (&collection.input.format, &collection.input.place)
            else {
                continue;
            };
            // What is missing is named when it is read.
            let Ok(inside) = dir.canonicalize() else { continue };
            let work_dir = self.work_dir();
            let others = [&self.root_key, &self.publish_key, &work_dir];
            let keys = self.release_keys.iter().chain(others);
            for private in keys {
                if private.canonicalize().is_ok_and(|path| path.starts_with(&inside)) {
                    let (name, dir) = (&collection.name, dir.display());
                    let message = format!("collection '{name}': {dir} holds {}", private.display());
                    return Err(Failure::usage(message)
                        .next("it would be published: give the files a directory of their own"));
                }
            }
        }
        Ok(())
    }

    /// The file that `init` makes the release key in.
    pub fn first_release_key(&self) -> PathBuf {
        let usual = || self.dir.join("keys/release.key");
        self.release_keys.first().cloned().unwrap_or_else(usual)
    }

    /// Whether a version of so many bytes on the wire is kept for as long as the slowest client
    /// takes to download it, after another took its place. A policy that promises no time is taken
    /// at its word.
    pub fn check_promise(&self, wire_len: u64) -> Result<()> {
        const DAY_S: u64 = 86_400;
        let needed_s = wire_len.div_ceil(self.slowest_kib_s * 1024);
        if self.policy.keep_ms == 0 || needed_s.saturating_mul(1000) <= self.policy.keep_ms {
            return Ok(());
        }
        let message = format!(
            "a version of {} takes {} at {} KiB/s, and is promised for less after it was replaced",
            crate::text::show_size(wire_len),
            crate::text::show_span_ms(needed_s.saturating_mul(1000)),
            self.slowest_kib_s,
        );
        Err(Failure::usage(message).coded("policy/short-promise").next(format!(
            "set keep_days = {} or more under [policy], or say by slowest_kib_s which line is the \
             slowest that you serve",
            needed_s.div_ceil(DAY_S)
        )))
    }

    /// The edge's URL, or what to do without one.
    pub fn edge(&self, given: Option<&str>) -> Result<String> {
        match given {
            Some(url) => edge_url(url),
            None => self.edge_url.clone().ok_or_else(|| {
                Failure::usage("no edge is configured")
                    .next("set `url` under [edge] in packice.toml, or pass --edge URL")
            }),
        }
    }
}

/// Checks a base URL and takes the trailing slash off.
pub fn edge_url(url: &str) -> Result<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !url.contains(['?', '#', ' ']) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(Failure::usage(format!("'{url}' is not an http(s) URL of an edge"))
            .next("give one such as https://edge.example.org")),
    }
}

fn name(field: &str, text: &str) -> Result<Name> {
    Name::new(text).map_err(|error| Failure::usage(format!("field '{field}': {error}")))
}

fn size(field: &str, text: Option<&str>, usual: u32) -> Result<u32> {
    let Some(text) = text else { return Ok(usual) };
    parse_size(text).and_then(|bytes| u32::try_from(bytes).ok()).ok_or_else(|| {
        let message = format!("field '{field}': '{text}' is not a size");
        Failure::usage(message).next("write sizes such as \"16 KiB\"")
    })
}

impl RawDeltas {
    fn check(self) -> Result<DeltaPolicy> {
        let usual = DeltaPolicy::default();
        let most = match self.most.as_deref() {
            None => usual.most,
            Some(text) => parse_size(text).ok_or_else(|| {
                Failure::usage(format!("field 'most': '{text}' is not a size"))
                    .next("write sizes such as \"64 MiB\"")
            })?,
        };
        let depth = self.depth.unwrap_or(usual.depth);
        if !(1..MAX_DELTAS).contains(&depth) {
            let message = format!("field 'depth': {depth} is not between 1 and {}", MAX_DELTAS - 1);
            return Err(Failure::usage(message));
        }
        Ok(DeltaPolicy {
            depth,
            most,
            star_percent: self.star_percent.unwrap_or(usual.star_percent),
            base_percent: self.base_percent.unwrap_or(usual.base_percent),
        })
    }
}

impl Collection {
    fn check(mut raw: RawCollection, dir: &Path) -> Result<Self> {
        if raw.events {
            raw.check_events()?;
        }
        let usual = Params::default();
        let params = Params {
            leaf_target: size("leaf_target", raw.leaf_target.as_deref(), usual.leaf_target)?,
            frame_target: size("frame_target", raw.frame_target.as_deref(), usual.frame_target)?,
            node_target: size("node_target", raw.node_target.as_deref(), usual.node_target)?,
        };
        check_params(&params)?;
        let dictionary = dictionary(raw.dictionary.as_deref(), raw.priority)?;
        let settings = Settings {
            input: raw.input,
            format: raw.format,
            key: raw.key,
            value: raw.value,
            value_text: raw.value_text,
            json: raw.json,
            columns: raw.columns,
            delimiter: raw.delimiter,
            table: raw.table,
            query: raw.query,
        };
        Ok(Self {
            name: name("name", &raw.name)?,
            priority: raw.priority.unwrap_or(1),
            lazy: raw.lazy.unwrap_or(false),
            input: settings.check(dir)?,
            params,
            dictionary,
            events: raw.events,
        })
    }
}

impl RawCollection {
    /// An event log's key and value are given; it comes with the bootstrap.
    fn check_events(&mut self) -> Result<()> {
        if self.key.is_some() || self.value.is_some() {
            let message = "field 'events': an event log's 'key' and 'value' are given";
            return Err(Failure::usage(message).next("leave 'key' and 'value' out"));
        }
        if self.priority.is_some_and(|priority| priority != 0) || self.lazy == Some(true) {
            let message = "field 'events': an event log has priority 0 and is never lazy";
            return Err(Failure::usage(message).next("leave 'priority' and 'lazy' out"));
        }
        self.priority = Some(0);
        self.key = Some(crate::events::KEY.to_owned());
        Ok(())
    }
}

fn check_params(params: &Params) -> Result<()> {
    use packice_core::limits::{FRAME_TARGET, LEAF_TARGET, NODE_TARGET};
    let bounds = [
        ("leaf_target", params.leaf_target, LEAF_TARGET),
        ("frame_target", params.frame_target, FRAME_TARGET),
        ("node_target", params.node_target, NODE_TARGET),
    ];
    for (field, value, range) in bounds {
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            let message = format!("field '{field}': {value} is not between {low} and {high} bytes");
            return Err(Failure::usage(message));
        }
    }
    if params.frame_target < params.leaf_target {
        let message = "field 'frame_target': a frame holds whole leaves, so it cannot be smaller \
                       than 'leaf_target'";
        return Err(Failure::usage(message));
    }
    Ok(())
}

fn dictionary(text: Option<&str>, priority: Option<u8>) -> Result<DictionaryChoice> {
    let choice = match text {
        None if priority == Some(0) => DictionaryChoice::None,
        None | Some("auto") => DictionaryChoice::Auto,
        Some("none") => DictionaryChoice::None,
        Some(text) => {
            let bytes = size("dictionary", Some(text), 0).map_err(|failure| {
                failure.next("write \"auto\", \"none\" or a size such as \"64 KiB\"")
            })?;
            let most = packice_core::limits::MAX_DICTIONARY_LEN;
            if bytes < 1024 || bytes as usize > most {
                let message =
                    format!("field 'dictionary': {bytes} is not between 1024 and {most} bytes");
                return Err(Failure::usage(message));
            }
            DictionaryChoice::Bytes(bytes)
        }
    };
    match (choice, priority) {
        (DictionaryChoice::None, _) => Ok(choice),
        // The bootstrap must decode from its own bytes, in one round trip.
        (DictionaryChoice::Auto, Some(0)) => Ok(DictionaryChoice::None),
        (DictionaryChoice::Bytes(_), Some(0)) => {
            Err(Failure::usage("field 'dictionary': a collection of priority 0 has none"))
        }
        (DictionaryChoice::Auto | DictionaryChoice::Bytes(_), _) => Ok(choice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        dataset = "solana-tokens"
        [edge]
        url = "http://127.0.0.1:8787/"
        [[collection]]
        name = "tokens"
        lazy = true
        input = "tokens.jsonl"
        key = "{chainId}/{address}"
    "#;

    fn refused(from: &str, to: &str) -> String {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "the replacement must change something");
        Config::parse(&text, Path::new("p")).expect_err("must be refused").to_string()
    }

    #[test]
    fn defaults_are_filled_in() {
        let config = Config::parse(GOOD, Path::new("p")).expect("good");
        assert_eq!(config.channel.as_str(), "stable");
        assert_eq!(config.edge_url.as_deref(), Some("http://127.0.0.1:8787"));
        assert_eq!(config.release_keys, [Path::new("p/keys/release.key")]);
        let tokens = &config.collections[0];
        assert_eq!(tokens.params, Params::default());
        assert_eq!(tokens.input.place, Place::Path("p/tokens.jsonl".into()));
        assert_eq!(tokens.dictionary, DictionaryChoice::Auto);
    }

    #[test]
    fn a_promise_lasts_as_long_as_the_slowest_download() {
        let at = |policy: &str| {
            let text = GOOD.replace("[edge]", &format!("[policy]\n{policy}\n[edge]"));
            Config::parse(&text, Path::new("p")).expect("good")
        };
        // A day at 16 KiB/s is 1.4 GB.
        let usual = at("");
        assert_eq!(usual.policy, Policy { keep_versions: 3, keep_ms: 7 * 86_400_000 });
        assert!(usual.check_promise(9 << 30).is_ok());
        let failure = at("keep_days = 1").check_promise(3 << 30).expect_err("too short");
        assert_eq!(failure.code, Some("policy/short-promise"));
        assert!(at("keep_days = 1\nslowest_kib_s = 64").check_promise(3 << 30).is_ok());
        assert!(at("keep_days = 0").check_promise(3 << 30).is_ok());
    }

    #[test]
    fn errors_name_the_field() {
        assert!(refused("lazy", "lasy").contains("lasy"));
        assert!(refused("solana-tokens", "Solana").contains("field 'dataset'"));
        let text = refused("lazy = true", "leaf_target = \"1 furlong\"");
        assert!(text.contains("collection 1 ('tokens'): field 'leaf_target'"), "{text}");
        let text = refused("lazy = true", "frame_target = \"4 GiB\"");
        assert!(text.contains("field 'frame_target'"), "{text}");
        let text = refused("lazy = true", "priority = 0\ndictionary = \"64 KiB\"");
        assert!(text.contains("priority 0"), "{text}");
        assert!(refused("{address}", "{address").contains("field 'key'"));
        assert!(refused("http://", "ftp://").contains("not an http(s) URL"));
    }
}
