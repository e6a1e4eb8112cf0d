//! What the crowd comes for: a signed history of two versions, numbered by path, and the store of
//! a client that holds the first.

use std::collections::{BTreeMap, BTreeSet};

use packice_core::engine::io::StoreKey;
use packice_core::types::{Identity, ObjectKind, Version};

use crate::change::{History, follower, synced};
use crate::publication::{self, Spec};

/// One of the collections is needed first, and is inlined in the bootstrap as far as it fits.
pub(super) const FIRST: &str = "config";
const NAMES: [&str; 9] =
    [FIRST, "assets", "chains", "headers", "icons", "names", "prices", "tokens", "validators"];
const RECORDS: u64 = 150;
/// Names that do not exist, which stray requests ask for.
pub(super) const STRAYS: u32 = 8;

/// How a thing is answered by the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Checkpoint, head or bootstrap: kept for seconds, read from the origin.
    Pointer,
    /// A tile of the log: kept for good, read from the origin.
    Tile,
    /// An immutable object: kept for good, by way of the region's store.
    Object,
    /// A name that does not exist.
    Stray,
}

/// A thing that can be asked for: its number is its place among the paths.
pub(super) type Key = u32;

/// All that is served, and what a client must hold in the end.
#[derive(Debug)]
pub struct Data {
    /// The trust root that clients embed.
    pub(super) trust: Vec<u8>,
    /// The version that all must reach.
    pub(super) newest: Version,
    /// The signed root of each collection of that version.
    pub(super) roots: BTreeMap<String, Identity>,
    /// What a client of the version before has stored.
    pub(super) held: BTreeMap<StoreKey, Vec<u8>>,
    /// What the edge places in every region before the pointer moves (its `release::Arrival`).
    pub(super) placed: BTreeSet<Key>,
    objects: u64,
    keys: BTreeMap<String, Key>,
    things: Vec<(Kind, Vec<u8>)>,
}

impl Data {
    /// Publishes both versions; every collection of the second differs.
    pub fn build() -> Self {
        let spec = |(at, name): (usize, &&'static str)| {
            let priority = u8::from(at > 0);
            let count = if at == 0 { 12 } else { RECORDS };
            Spec::numbered(name, priority, count, at as u64)
        };
        let mut history = History::of(&NAMES.iter().enumerate().map(spec).collect::<Vec<_>>());
        history.plain = true;
        history.publication.heads = true;
        let held = synced(&history).close();
        let mut specs = history.newest().to_vec();
        for spec in &mut specs {
            let (key, _) = spec.records.pop_first().expect("a record");
            spec.records.insert(key, b"of the second version".to_vec());
        }
        history.publish_base(&specs);
        let manifest = history.publication.manifest.as_ref().expect("a version");
        let roots = manifest.collections.iter().map(|c| (c.name.to_string(), c.tree.root));
        let roots = roots.collect();
        let newest = manifest.version;
        let kind = |path: &str| match path.split_once('/') {
            None | Some(("bootstrap" | "head", _)) => Kind::Pointer,
            Some(("log", _)) => Kind::Tile,
            Some(_) => Kind::Object,
        };
        // What one client of each kind asks for where nothing goes wrong.
        let ways = [BTreeMap::new(), held.clone()].map(|store| {
            let mut shell = follower(&history, store);
            shell.sync().expect("a sync");
            shell.requests.into_iter().map(|request| request.path)
        });
        let asked: BTreeSet<String> =
            ways.into_iter().flatten().filter(|path| kind(path) == Kind::Object).collect();
        let directories: BTreeSet<String> = manifest
            .collections
            .iter()
            .map(|own| publication::path(ObjectKind::Layout, &own.base.directory.name))
            .collect();
        let deltas = manifest.collections.iter().flat_map(|own| &own.deltas);
        let deltas: BTreeSet<String> = deltas
            .flat_map(|delta| &delta.segments)
            .map(|segment| publication::path(ObjectKind::Delta, &segment.object.name))
            .collect();
        let first: BTreeSet<String> = directories.union(&deltas).cloned().collect();
        let objects = first.union(&asked).count() as u64;
        let (mut keys, mut things, mut placed) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        for (path, body) in history.publication.files {
            let key = Key::try_from(things.len()).expect("few things");
            placed.extend(first.contains(&path).then_some(key));
            things.push((kind(&path), body));
            keys.insert(path, key);
        }
        let trust = history.publication.trust;
        Self { trust, newest, roots, held, placed, objects, keys, things }
    }

    /// The number of a path.
    pub(super) fn key(&self, path: &str) -> Option<Key> {
        self.keys.get(path).copied()
    }

    /// How many things there are; the numbers from here on are those of strays.
    pub(super) fn len(&self) -> Key {
        Key::try_from(self.things.len()).expect("few things")
    }

    /// Objects of the newest version that clients ask for, or that are placed.
    pub(super) fn objects(&self) -> u64 {
        self.objects
    }

    /// What a number stands for.
    pub(super) fn kind(&self, key: Key) -> Kind {
        self.things.get(key as usize).map_or(Kind::Stray, |(kind, _)| *kind)
    }

    /// Its bytes.
    pub(super) fn body(&self, key: Key) -> &[u8] {
        self.things.get(key as usize).map_or(&[], |(_, body)| body)
    }
}
