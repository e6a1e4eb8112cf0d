//! Which wire objects a version leads to, read from wherever they are.

use packice_core::format::layer::LayerDirectory;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Collection, Manifest, Overlay};
use packice_core::types::{ObjectKind, ObjectRef};

use crate::failure::Result;

/// A wire object that something names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireObject {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name and length.
    pub object: ObjectRef,
}

/// Reads an object's checked bytes.
pub type Read<'a> = dyn FnMut(&WireObject) -> Result<Vec<u8>> + 'a;

/// All objects that a manifest leads to, each once, without itself.
pub fn objects_of(manifest: &Manifest, read: &mut Read<'_>) -> Result<Vec<WireObject>> {
    let mut list = Vec::new();
    for collection in &manifest.collections {
        list.extend(records_of(collection, read)?);
        let segments = collection.deltas.iter().flat_map(|delta| &delta.segments);
        list.extend(
            segments.map(|segment| WireObject { kind: ObjectKind::Delta, object: segment.object }),
        );
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// What a collection's records are read from: its base, and its overlay where it has one.
pub fn records_of(collection: &Collection, read: &mut Read<'_>) -> Result<Vec<WireObject>> {
    let mut list = base_objects(&collection.base, read)?;
    if let Some(overlay) = &collection.overlay {
        list.extend(overlay_objects(overlay, read)?);
    }
    Ok(list)
}

/// The objects of a base: its dictionary, layout and bundles.
pub fn base_objects(base: &Base, read: &mut Read<'_>) -> Result<Vec<WireObject>> {
    let mut list = Vec::new();
    if let Some(dictionary) = base.dictionary {
        list.push(WireObject { kind: ObjectKind::Dictionary, object: dictionary.object });
    }
    let directory = WireObject { kind: ObjectKind::Layout, object: base.directory };
    list.push(directory);
    for reference in Directory::parse(&read(&directory)?)?.pages {
        let page = WireObject { kind: ObjectKind::Layout, object: reference.object };
        list.push(page);
        for bundle in Page::parse(&read(&page)?)?.bundles {
            let object = ObjectRef { name: bundle.name, len: bundle.wire_len() };
            list.push(WireObject { kind: ObjectKind::Bundle, object });
        }
    }
    Ok(list)
}

/// The objects of an overlay: its directory and its pages.
pub fn overlay_objects(overlay: &Overlay, read: &mut Read<'_>) -> Result<Vec<WireObject>> {
    let directory = WireObject { kind: ObjectKind::Layer, object: overlay.directory };
    let pages = LayerDirectory::parse(&read(&directory)?)?.pages;
    let pages =
        pages.iter().map(|page| WireObject { kind: ObjectKind::LayerPage, object: page.object });
    Ok(std::iter::once(directory).chain(pages).collect())
}
