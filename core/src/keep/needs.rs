//! What an object leads to: from a manifest to every object that its version needs.

use alloc::vec::Vec;

use crate::error::Error;
use crate::format::layer::LayerDirectory;
use crate::format::layout::{Directory, Page, is_directory};
use crate::format::manifest::Manifest;
use crate::types::{ObjectKind, ObjectRef};

/// An object of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name and length.
    pub object: ObjectRef,
}

/// Whether an object of this kind leads to others.
pub fn leads_on(kind: ObjectKind) -> bool {
    match kind {
        ObjectKind::Manifest | ObjectKind::Layout | ObjectKind::Layer => true,
        ObjectKind::Dictionary | ObjectKind::Bundle | ObjectKind::Delta | ObjectKind::LayerPage => {
            false
        }
    }
}

/// The objects that one leads to directly, from its bytes.
pub fn leads_to(kind: ObjectKind, bytes: &[u8]) -> Result<Vec<Needed>, Error> {
    let needed = |kind| move |object| Needed { kind, object };
    Ok(match kind {
        ObjectKind::Manifest => of_manifest(&Manifest::parse(bytes)?),
        ObjectKind::Layout if is_directory(bytes) => {
            let pages = Directory::parse(bytes)?.pages;
            pages.into_iter().map(|page| page.object).map(needed(ObjectKind::Layout)).collect()
        }
        ObjectKind::Layout => {
            let bundles = Page::parse(bytes)?.bundles;
            let object = |bundle: &crate::format::layout::Bundle| ObjectRef {
                name: bundle.name,
                len: bundle.wire_len(),
            };
            bundles.iter().map(object).map(needed(ObjectKind::Bundle)).collect()
        }
        ObjectKind::Layer => {
            let pages = LayerDirectory::parse(bytes)?.pages;
            pages.into_iter().map(|page| page.object).map(needed(ObjectKind::LayerPage)).collect()
        }
        ObjectKind::Dictionary | ObjectKind::Bundle | ObjectKind::Delta | ObjectKind::LayerPage => {
            Vec::new()
        }
    })
}

fn of_manifest(manifest: &Manifest) -> Vec<Needed> {
    let mut all = Vec::new();
    for collection in &manifest.collections {
        let mut add = |kind, object| all.push(Needed { kind, object });
        add(ObjectKind::Layout, collection.base.directory);
        if let Some(dictionary) = &collection.base.dictionary {
            add(ObjectKind::Dictionary, dictionary.object);
        }
        if let Some(overlay) = &collection.overlay {
            add(ObjectKind::Layer, overlay.directory);
        }
        for segment in collection.deltas.iter().flat_map(|delta| &delta.segments) {
            add(ObjectKind::Delta, segment.object);
        }
    }
    all
}
