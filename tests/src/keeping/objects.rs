//! The objects of made-up versions, in the real formats.

use packice_core::format::layer::{LayerDirectory, LayerPageRef};
use packice_core::format::layout::{Bundle, Directory, Frame, Page, PageRef};
use packice_core::format::manifest::{
    Base, Collection, Delta, Manifest, Overlay, Params, Provenance, Segment, TreeInfo,
};
use packice_core::hash;
use packice_core::keep::mark::Key;
use packice_core::types::{Identity, Name, ObjectKind, ObjectRef, Version, WireName};

fn named(kind: ObjectKind, body: Vec<u8>) -> (Key, Vec<u8>) {
    ((kind, hash::wire_name(&body)), body)
}

fn content(kind: ObjectKind, number: u64) -> (Key, Vec<u8>) {
    named(kind, format!("{kind:?} {number}").into_bytes())
}

fn object(entry: &(Key, Vec<u8>)) -> ObjectRef {
    ObjectRef { name: entry.0.1, len: entry.1.len() as u64 }
}

/// A version's manifest and objects, the manifest last, in the order of an upload.
pub(super) fn version(
    number: u64,
    contents: &[u64],
    delta: u64,
    overlay: Option<u64>,
) -> (WireName, Vec<(Key, Vec<u8>)>) {
    let mut contents = contents.to_vec();
    contents.sort_unstable();
    contents.dedup();
    let mut objects: Vec<_> =
        contents.iter().map(|number| content(ObjectKind::Bundle, *number)).collect();
    let bundle = |entry: &(Key, Vec<u8>)| {
        let wire_len = u32::try_from(entry.1.len()).expect("short");
        let frame = Frame { name: WireName([7; 32]), wire_len };
        Bundle { name: entry.0.1, frames: vec![frame] }
    };
    let page = Page { nodes: Vec::new(), bundles: objects.iter().map(bundle).collect() };
    let page = named(ObjectKind::Layout, page.encode());
    let pages =
        vec![PageRef { object: object(&page), nodes: 0, bundles: 0, frames: 0, wire_len: 0 }];
    let directory = Directory { nodes: Vec::new(), pages };
    let directory = named(ObjectKind::Layout, directory.encode());
    let segment = content(ObjectKind::Delta, delta);
    let root = |byte: u8| Identity([byte; 32]);
    let tree = TreeInfo { root: root(1), level: 1, records: 1, plain_len: 1 };
    let mut base_tree = tree;
    let overlay = overlay.map(|number| {
        let page = content(ObjectKind::LayerPage, number);
        let pages = vec![LayerPageRef { start: Vec::new(), object: object(&page), plain_len: 1 }];
        let layer = LayerDirectory { operations: 1, pages, ..LayerDirectory::default() };
        let layer = named(ObjectKind::Layer, layer.encode());
        let wire_len = object(&page).len + object(&layer).len;
        let overlay = Overlay { directory: object(&layer), wire_len, operations: 1 };
        objects.extend([page, layer]);
        base_tree.root = root(2);
        overlay
    });
    let own = number + 2;
    let base_version = if overlay.is_some() { own - 1 } else { own };
    let collection = Collection {
        name: Name::new("records").expect("a name"),
        priority: 1,
        lazy: false,
        params: Params::default(),
        tree,
        base: Base {
            version: Version(base_version),
            tree: base_tree,
            directory: object(&directory),
            wire_len: 1,
            bundles: 1,
            frames: 1,
            dictionary: None,
        },
        overlay,
        deltas: vec![Delta {
            from_version: Version(1),
            from_root: root(3),
            operations: 1,
            segments: vec![Segment { start: Vec::new(), object: object(&segment), plain_len: 1 }],
        }],
    };
    objects.extend([segment, page, directory]);
    objects.sort();
    objects.dedup();
    let manifest = Manifest {
        dataset: Name::new("kept").expect("a name"),
        version: Version(own),
        parent: None,
        provenance: Provenance { source_digest: [0; 32], tool: "test".into() },
        collections: vec![collection],
    };
    let manifest = named(ObjectKind::Manifest, manifest.encode());
    let name = manifest.0.1;
    objects.push(manifest);
    (name, objects)
}
