//! The attacks of `tests/attacks/`: each folder's `attack.json`, and the objects that it serves.
//!
//! The objects are made here, with keys that are no secret, always the same; their digests are
//! frozen in `tests/attacks/digests.json`. A client runs a fixture phase by phase on one store:
//! the core in `tests/tests/attacks.rs`, the CLI in `tests/tests/attacks_cli.rs`, the browser in
//! `tests/e2e/attacks.test.mjs`. What each must find is in [`check`].

pub mod check;
pub mod fields;
pub mod forge;
mod lengths;
mod objects;
mod rotation;
pub mod rules;
pub mod server;
mod signatures;
mod stored;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use packice_core::format::layout::Page;
use packice_core::hash;
use packice_core::types::WireName;
use serde::Deserialize;

use self::forge::Forge;
use self::rules::Rule;

/// What a source serves, by path under `/v1/{dataset}/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The folder of the fixtures.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks")
}

/// A fixture's `attack.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// What the attacker does, in one line.
    pub attack: String,
    /// Sets whose objects a client may come to hold, beside the honest releases.
    #[serde(default)]
    pub may_store: Vec<String>,
    /// What happens, one after the other, on one store.
    pub phases: Vec<Phase>,
    /// Clients that cannot be exposed, and why.
    #[serde(default)]
    pub not_for: BTreeMap<String, String>,
    /// What the edge is asked to take, and must refuse.
    #[serde(default)]
    pub edge: Vec<EdgeMove>,
}

/// A move of the edge's pointer that must be refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeMove {
    /// The sets that are published there before, in order, on an edge of its own.
    pub published: Vec<String>,
    /// The set whose bootstrap is put there with a stolen credential.
    pub put: String,
    /// The code of the refusal.
    pub code: String,
}

/// One client's life from opening to closing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is for.
    pub name: String,
    /// The embedded trust root; `root` when left out.
    #[serde(default)]
    pub trust: Option<String>,
    /// Begins on the store that the first phase left, not on that of the phase before.
    #[serde(default)]
    pub restart: bool,
    /// What is done to the store before.
    #[serde(default)]
    pub alter: Vec<Alter>,
    /// Who is asked, best first.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// The code that opening fails with.
    #[serde(default)]
    pub open: Option<String>,
    /// How a sync ends; none is begun when left out.
    #[serde(default)]
    pub sync: Option<Sync>,
    /// Exactly who is blamed for what, while the sync runs.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Who may be blamed besides, where it depends on whose answer comes first.
    #[serde(default)]
    pub may_fault: Vec<Fault>,
    /// The kinds of rows that must be reported as damaged.
    #[serde(default)]
    pub damaged: Vec<String>,
    /// The release that reads answer from, for each collection that is listed or for all.
    #[serde(default)]
    pub reads: Option<Reads>,
    /// The freshness that the client reports.
    #[serde(default)]
    pub freshness: Option<String>,
    /// Whether reads of expired data are refused.
    #[serde(default)]
    pub refuse_expired: bool,
    /// What is different in some clients.
    #[serde(default)]
    pub clients: BTreeMap<String, Differs>,
    /// Clients that have no such phase, and why.
    #[serde(default)]
    pub not_for: BTreeMap<String, String>,
}

/// What is different in one client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differs {
    /// How the sync ends there.
    #[serde(default)]
    pub sync: Option<Sync>,
    /// The faults there.
    #[serde(default)]
    pub faults: Option<Vec<Fault>>,
    /// Why.
    pub why: String,
}

/// What is done to rows of the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alter {
    /// All rows of a kind: `state`, `bundle`, `layout`, `dictionary` or `frame`.
    pub row: String,
    /// `flip`, `truncate`, `extend`, `remove`, `swap` (each row gets the next one's bytes) or
    /// `plant`.
    pub how: String,
    /// The row to plant, of the fixture's own.
    #[serde(default)]
    pub with: Option<String>,
}

/// A place to fetch from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, which faults give.
    pub name: String,
    /// The set of objects it serves: the fixture's own, or an honest release.
    pub serve: String,
    /// What it does to answers.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// How a sync ends.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, deny_unknown_fields)]
pub enum Sync {
    /// Well.
    Version {
        /// The version that serves reads.
        version: u64,
    },
    /// With an error.
    Code {
        /// Its code.
        code: String,
    },
}

/// Who is blamed for what.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The source's name.
    pub source: String,
    /// The code.
    pub code: String,
}

/// What reads answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Reads {
    /// The content of a release, in every collection.
    Release(u64),
    /// By collection: a release, `unknown`, or an error's code.
    Each(BTreeMap<String, Read>),
}

/// What a read answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Read {
    /// The content of a release.
    Release(u64),
    /// `unknown`, or an error's code.
    Other(String),
}

/// What a fixture serves and plants.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Sets of files by name.
    pub sets: BTreeMap<String, Files>,
    /// Trust roots to embed by name.
    pub roots: BTreeMap<String, Vec<u8>>,
    /// Rows to plant by name.
    pub rows: BTreeMap<String, Vec<u8>>,
}

impl Objects {
    /// One set named `evil`.
    pub fn evil(files: Files) -> Self {
        Self::default().set("evil", files)
    }

    /// With one set more.
    #[must_use]
    pub fn set(mut self, name: &str, files: Files) -> Self {
        self.sets.insert(name.into(), files);
        self
    }

    /// With one trust root more.
    #[must_use]
    pub fn root(mut self, name: &str, signed: Vec<u8>) -> Self {
        self.roots.insert(name.into(), signed);
        self
    }

    /// With one row more.
    #[must_use]
    pub fn row(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.rows.insert(name.into(), bytes);
        self
    }

    /// All of it by path, as it is written out and frozen.
    pub fn paths(&self) -> Files {
        let mut all = Files::new();
        for (set, files) in &self.sets {
            all.extend(files.iter().map(|(path, bytes)| (format!("{set}/{path}"), bytes.clone())));
        }
        let roots = self.roots.iter().map(|(name, bytes)| (format!("roots/{name}"), bytes.clone()));
        let rows = self.rows.iter().map(|(name, bytes)| (format!("rows/{name}"), bytes.clone()));
        all.extend(roots.chain(rows));
        all
    }

    /// A digest over all of it.
    pub fn digest(&self) -> String {
        let mut hasher = hash::WireHasher::default();
        for (path, bytes) in self.paths() {
            hasher.update(path.as_bytes());
            hasher.update(&[0]);
            hasher.update(&hash::wire_name(&bytes).0);
        }
        hasher.finish().to_hex()
    }
}

/// The releases that every fixture can serve, and the trust root that is usually embedded.
pub fn honest() -> Objects {
    let mut objects = Objects::default().root("root", Forge::new().trust());
    let mut forge = Forge::new();
    for release in 1..=6 {
        forge.release(release);
        objects = objects.set(&format!("v{release}"), forge.files());
    }
    objects
}

/// The objects of every fixture, by its folder's name; made once.
pub fn all() -> &'static BTreeMap<&'static str, Objects> {
    static ALL: OnceLock<BTreeMap<&'static str, Objects>> = OnceLock::new();
    ALL.get_or_init(make)
}

fn make() -> BTreeMap<&'static str, Objects> {
    let groups = [
        signatures::all(),
        objects::all(),
        lengths::all(),
        rotation::all(),
        time::all(),
        stored::all(),
    ];
    let mut all = BTreeMap::new();
    for (name, objects) in groups.into_iter().flatten() {
        let twice = all.insert(name, objects).is_some();
        assert!(!twice, "two fixtures are named {name}");
    }
    all
}

/// A fixture, ready to run.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Its folder's name.
    pub name: String,
    /// What happens.
    pub attack: Attack,
    /// The honest releases and what is its own.
    pub objects: Objects,
    /// The names that rows may have: of the honest releases' objects and frames, and of the sets
    /// that the fixture allows.
    pub allowed: BTreeSet<WireName>,
}

impl Fixture {
    /// The files of a set.
    pub fn set(&self, name: &str) -> &Files {
        let set = self.objects.sets.get(name);
        set.unwrap_or_else(|| panic!("{}: there is no set '{name}'", self.name))
    }

    /// The trust root that a phase embeds.
    pub fn trust(&self, phase: &Phase) -> &[u8] {
        let name = phase.trust.as_deref().unwrap_or("root");
        let root = self.objects.roots.get(name);
        root.unwrap_or_else(|| panic!("{}: there is no trust root '{name}'", self.name))
    }
}

/// The names of a set's objects, and of the frames in its bundles.
pub fn names(files: &Files) -> BTreeSet<WireName> {
    let mut names: BTreeSet<WireName> =
        files.values().map(|bytes| hash::wire_name(bytes)).collect();
    let pages = files.values().filter_map(|bytes| Page::parse(bytes).ok());
    for bundle in pages.flat_map(|page| page.bundles) {
        names.extend(bundle.frames.iter().map(|frame| frame.name));
    }
    names
}

/// The `attack.json` of each folder, by the folder's name.
pub fn attacks() -> BTreeMap<String, Attack> {
    let mut attacks = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).expect("tests/attacks").flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        let file = entry.path().join("attack.json");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let attack = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        attacks.insert(entry.file_name().to_string_lossy().into_owned(), attack);
    }
    attacks
}

/// All fixtures.
pub fn fixtures() -> Vec<Fixture> {
    let honest = honest();
    let honest_names: BTreeSet<WireName> = honest.sets.values().flat_map(names).collect();
    let own = all();
    let fixture = |(name, attack): (String, Attack)| {
        let own = own.get(name.as_str()).cloned().unwrap_or_default();
        let mut allowed = honest_names.clone();
        for set in &attack.may_store {
            let files = own.sets.get(set).unwrap_or_else(|| panic!("{name}: no set '{set}'"));
            allowed.extend(names(files));
        }
        let mut objects = honest.clone();
        objects.sets.extend(own.sets);
        objects.roots.extend(own.roots);
        objects.rows.extend(own.rows);
        Fixture { name, attack, objects, allowed }
    };
    attacks().into_iter().map(fixture).collect()
}
