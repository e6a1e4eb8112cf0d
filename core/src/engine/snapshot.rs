//! A verified version: its manifest, and the view of each collection.
//!
//! Whatever the bytes come from, a source or the local store, [`Snapshot::verify`] checks them
//! from the accepted head state down, so nothing here is believed because of where it was kept.
//! A base and layers that the client holds on its own account need no signature: nothing is found
//! in them that does not lead to the signed root (`tree::view`).

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::head::Channel;
use crate::format::layer::{LayerDirectory, LayerPageRef};
use crate::format::layout::{Directory, Page};
use crate::format::manifest::{Base, Collection, Manifest};
use crate::map::Set;
use crate::plan::queue::Class;
use crate::tree::index::Index;
use crate::tree::view::View;
use crate::trust::accept::TrustState;
use crate::trust::manifest::{check_object, verify_manifest};
use crate::types::{Name, ObjectKind, ObjectRef, WireName};

use super::io::StoreKey;
use super::scope::{Scope, meets};
use super::state::{ShelfRecord, VersionRecord};

/// A version whose manifest and layout directories are verified.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) manifest_name: WireName,
    pub(super) manifest: Manifest,
    /// One for each collection of the manifest, in its order.
    pub(super) shelves: Vec<Shelf>,
    /// The manifest's bytes.
    pub(super) manifest_bytes: Rc<Vec<u8>>,
    /// The trust state that accepted it.
    pub(super) trust: TrustState,
}

/// What delivers a collection.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub(super) base: Base,
    /// The bytes of the base's layout directory.
    directory: Rc<Vec<u8>>,
    pub(super) view: View,
    /// Whether base or layers are the client's own affair: sources need not have them.
    pub(super) own: bool,
    /// What of it is subscribed.
    pub(super) scope: Scope,
    /// Whether it was subscribed in part, so that rows may be lacking now.
    pub(super) partial: bool,
    /// Which of the manifest's deltas is still to be applied: the view is of the version before.
    pub(super) delta: Option<usize>,
}

impl Shelf {
    /// What a manifest says: its base, and the overlay over it.
    pub(super) fn published(collection: &Collection, directory: Vec<u8>) -> Result<Self, Error> {
        let layers = overlay_of(collection).into_iter().collect();
        Self::over(collection, collection.base.clone(), directory, layers)
    }

    fn over(
        collection: &Collection,
        base: Base,
        directory: Vec<u8>,
        layers: Vec<ObjectRef>,
    ) -> Result<Self, Error> {
        check_object(&base.directory, &directory)?;
        let index = Index::new(&base, Directory::parse(&directory)?)?;
        let view = View::new(collection.params, collection.tree, index, layers)?;
        let shelf = Self {
            base,
            directory: Rc::new(directory),
            view,
            own: false,
            scope: None,
            partial: false,
            delta: None,
        };
        Ok(shelf.kept_for(collection))
    }

    /// What a row of the state says the client holds, or waits to make.
    fn restore(
        collection: &Collection,
        record: ShelfRecord,
        held: Option<&Snapshot>,
    ) -> Result<Self, Error> {
        match record {
            ShelfRecord::Published { directory } => Self::published(collection, directory),
            ShelfRecord::Own { base, directory, layers } => {
                Self::over(collection, base, directory, layers)
            }
            ShelfRecord::Delta => {
                let (_, shelf, delta) = held
                    .and_then(|held| held.delta_to(collection))
                    .ok_or(TrustError::WrongManifest)?;
                Ok(shelf.before(delta))
            }
        }
    }

    /// The pages of a layer that are needed.
    pub(super) fn pages_needed<'a>(
        &'a self,
        layer: &'a LayerDirectory,
    ) -> impl Iterator<Item = &'a LayerPageRef> {
        let needed = self.needed();
        let ends = layer.pages.iter().skip(1).map(|next| Some(next.start.as_slice()));
        layer.pages.iter().zip(ends.chain([None])).enumerate().filter_map(
            move |(at, (page, end))| {
                // No page holds a key before the first of the first page.
                let start = if at == 0 { &[][..] } else { page.start.as_slice() };
                meets(&needed, start, end).then_some(page)
            },
        )
    }

    /// The same for a version of the same content, whatever base its manifest names.
    #[must_use]
    pub(super) fn kept_for(mut self, collection: &Collection) -> Self {
        let layers = self.view.layers().iter().map(|layer| layer.object);
        let published = self.base == collection.base && layers.eq(overlay_of(collection));
        self.own = !published;
        self
    }

    /// The same, with a delta still to be applied.
    #[must_use]
    pub(super) fn before(&self, delta: usize) -> Self {
        Self { own: true, delta: Some(delta), ..self.clone() }
    }

    /// The same, over which a layer came, or in which some were merged.
    #[must_use]
    pub(super) fn with_view(&self, view: View) -> Self {
        Self { view, own: true, delta: None, ..self.clone() }
    }

    /// The bytes of the base's layout directory.
    pub(super) fn directory(&self) -> &Rc<Vec<u8>> {
        &self.directory
    }

    pub(super) fn index(&self) -> &Index {
        self.view.base()
    }

    fn record(&self) -> ShelfRecord {
        let directory = self.directory.as_ref().clone();
        match (self.delta, self.own) {
            (Some(_), _) => ShelfRecord::Delta,
            (None, false) => ShelfRecord::Published { directory },
            (None, true) => ShelfRecord::Own {
                base: self.base.clone(),
                directory,
                layers: self.view.layers().iter().map(|layer| layer.object).collect(),
            },
        }
    }

    /// Adds the rows that are known to belong to it; `all` becomes false where there are more.
    pub(super) fn known_rows(&self, needed: &mut Set<StoreKey>, all: &mut bool) {
        let object = StoreKey::Object;
        let (index, scope) = (self.index(), self.needed());
        needed.extend(self.base.dictionary.map(|d| object(ObjectKind::Dictionary, d.object.name)));
        for page in 0..index.page_count() {
            let page_ref = index.page(page);
            if !self.needs_page(page) {
                continue;
            }
            needed.extend(page_ref.map(|p| object(ObjectKind::Layout, p.object.name)));
            *all &= index.has_page(page);
            let bundles = index.bundles(page).filter(|b| self.needs_bundle(b.ordinal, &scope));
            needed.extend(bundles.map(|b| object(ObjectKind::Bundle, b.name)));
        }
        for layer in self.view.layers() {
            needed.insert(object(ObjectKind::Layer, layer.object.name));
            *all &= layer.directory.is_some();
            let pages = layer.directory.iter().flat_map(|layer| self.pages_needed(layer));
            let pages = pages.map(|page| page.object.name);
            needed.extend(pages.map(|name| object(ObjectKind::LayerPage, name)));
        }
    }

    /// Bytes of the entries over the base; `None` while a layer's directory is not held.
    pub(super) fn overlay_len(&self) -> Option<u64> {
        self.view.layers().iter().try_fold(0u64, |sum, layer| {
            let pages = &layer.directory.as_ref()?.pages;
            Some(pages.iter().fold(sum, |sum, page| sum.saturating_add(page.plain_len)))
        })
    }
}

fn overlay_of(collection: &Collection) -> Option<ObjectRef> {
    collection.overlay.map(|overlay| overlay.directory)
}

impl Snapshot {
    /// Checks manifest and directories against the channel of an accepted head state. `held` is
    /// the version that deltas start from.
    pub(super) fn verify(
        dataset: &Name,
        channel: &Channel,
        trust: TrustState,
        record: VersionRecord,
        held: Option<&Self>,
    ) -> Result<Self, Error> {
        let manifest = verify_manifest(dataset, channel, &record.manifest)?;
        if manifest.collections.len() != record.shelves.len() {
            return Err(TrustError::WrongManifest.into());
        }
        let parts = manifest.collections.iter().zip(record.shelves).enumerate();
        let shelves = parts.map(|(at, (collection, shelf))| {
            let partial = record.partial.contains(&at);
            Ok(Shelf { partial, ..Shelf::restore(collection, shelf, held)? })
        });
        Ok(Self {
            manifest_name: channel.manifest.name,
            shelves: shelves.collect::<Result<_, Error>>()?,
            manifest,
            manifest_bytes: Rc::new(record.manifest),
            trust,
        })
    }

    /// What the state record keeps of it.
    pub(super) fn record(&self) -> VersionRecord {
        VersionRecord {
            trust: self.trust.encode(),
            manifest: self.manifest_bytes.as_ref().clone(),
            shelves: self.shelves.iter().map(Shelf::record).collect(),
            partial: (0..self.shelves.len()).filter(|at| self.shelves[*at].partial).collect(),
        }
    }

    /// A collection and its number.
    pub(super) fn collection(&self, name: &str) -> Option<(usize, &Collection)> {
        self.manifest.collections.iter().enumerate().find(|(_, c)| c.name.as_str() == name)
    }

    /// What is held of a collection of another version: its number here, its shelf.
    pub(super) fn held(&self, collection: &Collection) -> Option<(usize, &Shelf)> {
        let (at, held) = self.collection(collection.name.as_str())?;
        let shelf = self.shelves.get(at).filter(|shelf| shelf.delta.is_none())?;
        (held.params == collection.params).then_some((at, shelf))
    }

    /// The delta that leads from here to another version of a collection.
    pub(super) fn delta_to(&self, collection: &Collection) -> Option<(usize, &Shelf, usize)> {
        let (at, shelf) = self.held(collection)?;
        let root = self.manifest.collections.get(at)?.tree.root;
        let delta = collection.deltas.iter().position(|delta| delta.from_root == root)?;
        Some((at, shelf, delta))
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
            Some(shelf) => shelf.view.add_page(page, Page::parse(bytes)?),
            None => Ok(()),
        }
    }

    /// Takes the verified bytes of a layer's directory into the view.
    pub(super) fn add_layer(&mut self, at: usize, layer: usize, bytes: &[u8]) -> Result<(), Error> {
        match self.shelves.get_mut(at) {
            Some(shelf) => shelf.view.add_layer(layer, LayerDirectory::parse(bytes)?),
            None => Ok(()),
        }
    }

    /// Bytes on the wire and number of all bundles, dictionaries and overlays counted with the
    /// bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        let parts = self.shelves.iter().zip(&self.manifest.collections);
        parts.fold((0, 0), |(bytes, bundles), (shelf, collection)| {
            let base = &shelf.base;
            let dictionary = base.dictionary.map_or(0, |d| d.object.len);
            let delta = shelf.delta.and_then(|delta| collection.deltas.get(delta));
            let overlay = match (shelf.own, delta) {
                (_, Some(delta)) => delta.wire_len(),
                (false, None) => collection.overlay.map_or(0, |overlay| overlay.wire_len),
                (true, None) => 0,
            };
            (bytes + base.wire_len + dictionary + overlay, bundles + base.bundles)
        })
    }

    /// The rows of a version that is stored whole, beside the state's; `None` where pages or layer
    /// directories are not held that name them.
    pub(super) fn rows(&self) -> Option<Set<StoreKey>> {
        let (rows, all) = self.known_rows();
        all.then_some(rows)
    }

    /// The rows that are known to belong to it, and whether these are all.
    pub(super) fn known_rows(&self) -> (Set<StoreKey>, bool) {
        let (mut needed, mut all) = (Set::new(), true);
        for shelf in &self.shelves {
            shelf.known_rows(&mut needed, &mut all);
        }
        (needed, all)
    }
}
