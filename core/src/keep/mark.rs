//! The mark of a collection: what of the objects that are there something needs.
//!
//! Every manifest that is there is a root, so that all that a version needs outlives its manifest.
//! Manifests themselves are needed as long as they are current, among the newest of their channel,
//! or named by a pointer; the others are condemned, each with the longest promise that was signed
//! while it was current.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::head::Head;
use crate::types::{Name, ObjectKind, WireName};

use super::needs::{leads_on, leads_to};

/// An object's kind and name: its place at the edge.
pub type Key = (ObjectKind, WireName);

/// An object that nothing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unneeded {
    /// The object.
    pub key: Key,
    /// Its length.
    pub len: u64,
    /// How long it stays after it was condemned, by the publisher's promise.
    pub keep_ms: u64,
}

/// What the log says about manifests.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Each manifest with the longest time that was promised while it was current.
    promises: BTreeMap<WireName, u64>,
    /// Each channel's manifests, the newest last.
    channels: BTreeMap<Name, Vec<WireName>>,
    /// What the newest head says.
    current: BTreeSet<WireName>,
    keep_versions: u64,
    keep_ms: u64,
}

impl Releases {
    /// Takes the log's next head state in, from the first on.
    pub fn add(&mut self, head: &Head) {
        self.current = head.channels.iter().map(|channel| channel.manifest.name).collect();
        (self.keep_versions, self.keep_ms) = (head.policy.keep_versions, head.policy.keep_ms);
        for channel in &head.channels {
            let name = channel.manifest.name;
            let promise = self.promises.entry(name).or_default();
            *promise = (*promise).max(head.policy.keep_ms);
            let versions = self.channels.entry(channel.name.clone()).or_default();
            versions.retain(|other| *other != name);
            versions.push(name);
        }
    }

    /// Takes in what a pointer stands at, which may be behind the log.
    pub fn pointed(&mut self, head: &Head, channel: &Name) {
        let stands = head.channel(channel.as_str());
        self.current.extend(stands.map(|channel| channel.manifest.name));
    }

    /// Whether a manifest's version is one that stays.
    fn stays(&self, name: &WireName) -> bool {
        let newest = usize::try_from(self.keep_versions.max(1)).unwrap_or(usize::MAX);
        self.current.contains(name)
            || self.channels.values().any(|all| all.iter().rev().take(newest).any(|o| o == name))
    }

    /// What a manifest was promised; one that was never released has what is promised now.
    fn promise(&self, name: &WireName) -> u64 {
        self.promises.get(name).copied().unwrap_or(self.keep_ms)
    }
}

/// A mark under way: read what [`Self::next_read`] asks for, until it asks for nothing.
#[derive(Clone, Debug)]
pub struct Mark {
    releases: Releases,
    there: BTreeMap<Key, u64>,
    needed: BTreeSet<Key>,
    queue: VecDeque<Key>,
}

/// What a mark came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// What something needs.
    pub needed: Vec<Key>,
    /// What nothing needs.
    pub unneeded: Vec<Unneeded>,
}

impl Mark {
    /// Begins with everything that is there, each with its length.
    pub fn new(releases: Releases, there: BTreeMap<Key, u64>) -> Self {
        let queue = there.keys().filter(|(kind, _)| *kind == ObjectKind::Manifest).copied();
        let queue = queue.collect();
        let mut mark = Self { releases, there, needed: BTreeSet::new(), queue };
        for key in &mark.queue {
            if mark.releases.stays(&key.1) {
                mark.needed.insert(*key);
            }
        }
        mark
    }

    /// The next object to be read.
    pub fn next_read(&mut self) -> Option<Key> {
        self.queue.pop_front()
    }

    /// Takes the bytes of an object that was asked for. An object that is not there although
    /// something needs it ends the mark: what it leads to is not known, and must not go.
    pub fn read(&mut self, key: Key, bytes: &[u8]) -> Result<(), Error> {
        if crate::hash::wire_name(bytes) != key.1 {
            return Err(TrustError::WrongName.into());
        }
        for needed in leads_to(key.0, bytes)? {
            let next = (needed.kind, needed.object.name);
            if !self.needed.insert(next) || !leads_on(needed.kind) {
                continue;
            }
            self.queue.push_back(next);
        }
        Ok(())
    }

    /// What was found, once nothing is left to be read.
    pub fn finish(self) -> Marked {
        let Self { releases, there, needed, .. } = self;
        let unneeded = |(key, len): (Key, u64)| Unneeded {
            key,
            len,
            keep_ms: match key.0 {
                ObjectKind::Manifest => releases.promise(&key.1),
                ObjectKind::Layout
                | ObjectKind::Dictionary
                | ObjectKind::Bundle
                | ObjectKind::Delta
                | ObjectKind::Layer
                | ObjectKind::LayerPage => 0,
            },
        };
        let (kept, gone): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|(key, _)| needed.contains(key));
        Marked {
            needed: kept.into_iter().map(|(key, _)| key).collect(),
            unneeded: gone.into_iter().map(unneeded).collect(),
        }
    }
}
