//! A verified version: its manifest, and an index of what delivers each collection.
//!
//! Whatever the bytes come from, a source or the local store, [`Snapshot::verify`] checks them
//! from the accepted head state down, so nothing here is believed because of where it was kept.

use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::head::Channel;
use crate::format::layout::{Directory, Page};
use crate::format::manifest::{Collection, Manifest};
use crate::map::Set;
use crate::plan::queue::Class;
use crate::tree::index::Index;
use crate::trust::accept::TrustState;
use crate::trust::manifest::{check_object, verify_manifest};
use crate::types::{Name, WireName};

use super::state::VersionRecord;

/// A version whose manifest and layout directories are verified.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) manifest_name: WireName,
    pub(super) manifest: Manifest,
    /// One for each collection of the manifest, in its order.
    pub(super) shelves: Vec<Shelf>,
    /// The trust state that accepted it.
    pub(super) trust: TrustState,
    /// What the state record keeps of it.
    pub(super) record: VersionRecord,
}

/// A collection's index.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub(super) index: Index,
}

impl Snapshot {
    /// Checks manifest and directories against the channel of an accepted head state.
    pub(super) fn verify(
        dataset: &Name,
        channel: &Channel,
        trust: TrustState,
        record: VersionRecord,
    ) -> Result<Self, Error> {
        let manifest = verify_manifest(dataset, channel, &record.manifest)?;
        if manifest.collections.len() != record.directories.len() {
            return Err(TrustError::WrongManifest.into());
        }
        let mut shelves = Vec::with_capacity(manifest.collections.len());
        for (collection, bytes) in manifest.collections.iter().zip(&record.directories) {
            check_object(&collection.base.directory, bytes)?;
            let index = Index::new(&collection.base, Directory::parse(bytes)?)?;
            shelves.push(Shelf { index });
        }
        Ok(Self { manifest_name: channel.manifest.name, manifest, shelves, trust, record })
    }

    /// A collection and its number.
    pub(super) fn collection(&self, name: &str) -> Option<(usize, &Collection)> {
        self.manifest.collections.iter().enumerate().find(|(_, c)| c.name.as_str() == name)
    }

    /// The collections' numbers in the order in which they are fetched.
    pub(super) fn order(&self) -> Vec<usize> {
        let collections = self.manifest.collections.iter().enumerate();
        let order: Set<(u8, usize)> = collections.map(|(at, c)| (c.priority, at)).collect();
        order.iter().map(|(_, at)| *at).collect()
    }

    /// The class that a collection's objects are fetched in.
    pub(super) fn class(&self, at: usize) -> Class {
        match self.manifest.collections.get(at).map_or(0, |c| c.priority) {
            0 => Class::Bootstrap,
            priority => Class::Collection(priority),
        }
    }

    /// Takes a page's verified bytes into the index.
    pub(super) fn add_page(&mut self, at: usize, page: u32, bytes: &[u8]) -> Result<(), Error> {
        match self.shelves.get_mut(at) {
            Some(shelf) => shelf.index.add_page(page, Page::parse(bytes)?),
            None => Ok(()),
        }
    }

    /// Bytes on the wire and number of all bundles, dictionaries counted with the bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.manifest.collections.iter().fold((0, 0), |(bytes, bundles), c| {
            let dictionary = c.base.dictionary.map_or(0, |d| d.object.len);
            (bytes + c.base.wire_len + dictionary, bundles + c.base.bundles)
        })
    }
}
