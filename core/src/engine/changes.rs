//! Which keys a new version changes, for whoever watches.

use alloc::string::String;
use alloc::vec::Vec;

use crate::format::layer::Change;
use crate::format::manifest::{Collection, Delta, Manifest};
use crate::types::Version;

use super::Engine;
use super::io::Event;
use super::snapshot::Snapshot;

/// Keys that are told; beyond that only that there are more.
const MAX_KEYS: usize = 10_000;
const MAX_BYTES: usize = 1 << 20;

/// What a new version does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It was not there before.
    Added,
    /// It has another value.
    Updated,
    /// It is gone.
    Removed,
}

/// What a new version does to a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The collection.
    pub collection: String,
    /// The version that served reads before.
    pub from: Version,
    /// The version that does now.
    pub to: Version,
    /// The keys, in order, as far as they are told.
    pub keys: Vec<(Vec<u8>, KeyChange)>,
    /// Whether these are all. If not, any key may have changed.
    pub complete: bool,
    bytes: usize,
    over: bool,
}

impl Changes {
    /// That anything may have changed.
    pub(super) fn unknown(collection: &str, from: Version, to: Version) -> Self {
        Self { collection: collection.into(), from, to, ..Self::default() }
    }

    pub(super) fn note(&mut self, key: &[u8], change: &Change) {
        self.bytes += key.len();
        self.over |= self.keys.len() >= MAX_KEYS || self.bytes > MAX_BYTES;
        if self.over {
            return self.keys.clear();
        }
        let change = match change {
            Change::Delete => KeyChange::Removed,
            Change::Update(_) => KeyChange::Updated,
            Change::Insert(_) => KeyChange::Added,
        };
        self.keys.push((key.to_vec(), change));
    }

    #[must_use]
    pub(super) fn between(self, from: Version, to: Version) -> Self {
        Self { from, to, ..self }
    }

    /// Says which step it was.
    pub(super) fn name(&mut self, manifest: &Manifest, at: usize, delta: &Delta) {
        let collection = manifest.collections.get(at);
        self.collection = collection.map(|c| c.name.as_str().into()).unwrap_or_default();
        (self.from, self.to) = (delta.from_version, manifest.version);
        self.complete = !self.over;
    }
}

impl Engine {
    /// Tells what a version changes, once it serves reads.
    pub(super) fn commit_changes(&mut self, before: Option<&Snapshot>, known: Vec<Changes>) {
        let Some(before) = before else { return };
        let Some(now) = &self.committed else { return };
        let (from, to) = (before.manifest.version, now.manifest.version);
        let mut all = Vec::new();
        for collection in &now.manifest.collections {
            let name = collection.name.as_str();
            let same = |(_, was): (usize, &Collection)| was.tree.root == collection.tree.root;
            if before.collection(name).is_some_and(same) {
                continue;
            }
            let known = known.iter().find(|changes| changes.collection == name).cloned();
            let known = known.map(|changes| changes.between(from, to));
            all.push(known.unwrap_or_else(|| Changes::unknown(name, from, to)));
        }
        self.tell_changes(all);
    }

    /// The same for a version that takes another one's place without a delta.
    pub(super) fn unknown_changes(&mut self, before: &Snapshot) {
        let Some(now) = &self.committed else { return };
        let (from, to) = (before.manifest.version, now.manifest.version);
        let names = now.manifest.collections.iter().map(|collection| collection.name.as_str());
        self.changes = names.map(|name| Changes::unknown(name, from, to)).collect();
    }

    pub(super) fn tell_changes(&mut self, changes: Vec<Changes>) {
        for change in changes {
            self.event(Event::Changed(change));
        }
    }
}
