//! What is served: objects of other kinds, names with paths in them, frames that grow without
//! end, layouts that deliver something else than what is signed.

use std::io::Write;

use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Collection, Manifest};
use packice_core::tree::build::{BuiltFrame, TreeBuilder};
use packice_core::tree::layout::LayoutBuilder;
use packice_core::trust::sign;
use packice_core::types::{Name, ObjectKind, ObjectRef, Version};
use zstd::zstd_safe::CParameter;

use super::forge::{Forge, ROOT_KEYS, content};
use super::{Files, Objects};
use crate::publication::{Spec, path};

type Row = (&'static str, Objects);

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    let mut rows = confusions();
    rows.extend(paths());
    rows.extend(frames());
    rows.extend(layouts());
    rows
}

/// Two honest releases, then a third one whose manifest was changed before it was signed.
pub(super) fn third(change: impl FnOnce(&mut Forge, &mut Manifest)) -> Objects {
    let mut forge = Forge::at(2);
    let mut manifest = forge.manifest(3, 3);
    change(&mut forge, &mut manifest);
    forge.publish(&manifest);
    Objects::evil(forge.files())
}

/// The same, and the honest release that follows in the same log.
fn third_and_healed(change: impl FnOnce(&mut Forge, &mut Manifest)) -> Objects {
    let mut forge = Forge::at(2);
    let mut manifest = forge.manifest(3, 3);
    change(&mut forge, &mut manifest);
    forge.publish(&manifest);
    let evil = Objects::evil(forge.files());
    forge.release(4);
    evil.set("healed", forge.files())
}

fn collection<'a>(manifest: &'a mut Manifest, name: &str) -> &'a mut Collection {
    let found = manifest.collections.iter_mut().find(|c| c.name.as_str() == name);
    found.expect("a collection of that name")
}

/// Serves the bytes of one object as another kind too.
fn also_as(forge: &mut Forge, object: &ObjectRef, from: ObjectKind, to: ObjectKind) {
    let bytes = forge.publication.files[&path(from, &object.name)].clone();
    forge.serve(&path(to, &object.name), bytes);
}

/// The directory of a collection, parsed.
pub(super) fn directory(files: &Files, collection: &Collection) -> Directory {
    let bytes = &files[&path(ObjectKind::Layout, &collection.base.directory.name)];
    Directory::parse(bytes).expect("a directory")
}

/// The first page of a collection, parsed.
pub(super) fn page(files: &Files, collection: &Collection) -> Page {
    let name = directory(files, collection).pages[0].object.name;
    Page::parse(&files[&path(ObjectKind::Layout, &name)]).expect("a page")
}

/// Puts another first page into a collection's layout.
pub(super) fn set_page(forge: &mut Forge, collection: &mut Collection, bytes: Vec<u8>) {
    let mut directory = directory(&forge.publication.files, collection);
    directory.pages[0].object = forge.put(ObjectKind::Layout, bytes);
    collection.base.directory = forge.put(ObjectKind::Layout, directory.encode());
}

fn confusions() -> Vec<Row> {
    let manifest_is_layout = {
        let mut forge = Forge::at(2);
        let manifest = forge.manifest(3, 3);
        let object = manifest.collections[0].base.directory;
        also_as(&mut forge, &object, ObjectKind::Layout, ObjectKind::Manifest);
        forge.point_at(3, object);
        Objects::evil(forge.files())
    };
    let layout_is_manifest = third(|forge, manifest| {
        let object = forge.put(ObjectKind::Manifest, manifest.encode());
        also_as(forge, &object, ObjectKind::Manifest, ObjectKind::Layout);
        collection(manifest, "tokens").base.directory = object;
    });
    let page_is_directory = third_and_healed(|forge, manifest| {
        let tokens = collection(manifest, "tokens");
        let bytes = directory(&forge.publication.files, tokens).encode();
        set_page(forge, tokens, bytes);
    });
    let dictionary_is_bundle = third_and_healed(|forge, manifest| {
        let name = page(&forge.publication.files, collection(manifest, "config")).bundles[0].name;
        let len = forge.publication.files[&path(ObjectKind::Bundle, &name)].len() as u64;
        let object = ObjectRef { name, len };
        also_as(forge, &object, ObjectKind::Bundle, ObjectKind::Dictionary);
        let tokens = collection(manifest, "tokens");
        tokens.base.dictionary.as_mut().expect("a dictionary").object = object;
    });
    let other_dictionary = third_and_healed(|forge, manifest| {
        let mut spec = Spec::numbered("tokens", 1, 300, 77);
        spec.dictionary = true;
        let other = forge.publication.collection(&spec, Version(3), &mut Vec::new());
        collection(manifest, "tokens").base.dictionary = other.base.dictionary;
    });
    let other_collection = third_and_healed(|_, manifest| {
        let notes = collection(manifest, "notes").base.clone();
        collection(manifest, "tokens").base = Base { version: Version(3), ..notes };
    });
    vec![
        ("manifest-that-is-a-layout", manifest_is_layout),
        ("layout-that-is-a-manifest", layout_is_manifest),
        ("page-that-is-a-directory", page_is_directory),
        ("dictionary-that-is-a-bundle", dictionary_is_bundle),
        ("dictionary-of-another-collection", other_dictionary),
        ("collection-served-as-another", other_collection),
        ("head-state-that-is-a-manifest", {
            let mut forge = Forge::at(2);
            let manifest = forge.manifest(3, 3);
            forge.append(manifest.encode());
            Objects::evil(forge.files())
        }),
        ("bootstrap-full-of-unwanted-objects", {
            let mut forge = Forge::at(3);
            let object = |n: u8| vec![n; 200];
            forge.edit_bootstrap(|bootstrap| bootstrap.objects = (0..=255).map(object).collect());
            Objects::evil(forge.files())
        }),
    ]
}

/// Bytes with one run in the place of another of the same length.
pub(super) fn replaced(mut bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old).expect("the old bytes");
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

fn paths() -> Vec<Row> {
    let in_manifest = {
        let mut forge = Forge::at(2);
        let manifest = forge.manifest(3, 3).encode();
        let bytes = replaced(manifest, b"\x06tokens", b"\x06../../");
        let object = forge.put(ObjectKind::Manifest, bytes);
        forge.point_at(3, object);
        Objects::evil(forge.files())
    };
    let in_head = {
        let mut forge = Forge::at(2);
        forge.release(3);
        let entry = replaced(forge.head.encode(), b"\x06stable", b"\x06../../");
        forge.append(entry);
        Objects::evil(forge.files())
    };
    let in_root = {
        let forge = Forge::at(1);
        let body = replaced(forge.root.encode(), b"\x08test-set", b"\x08../../..");
        let mut signed = sign::sign_trust_root(&forge.root, &[]);
        signed.body = body;
        for seed in &ROOT_KEYS {
            sign::add_root_signature(&mut signed, seed);
        }
        Objects::default().root("tricky", signed.encode())
    };
    vec![
        ("path-trick-in-a-collection-name", in_manifest),
        ("path-trick-in-a-channel-name", in_head),
        ("path-trick-in-a-dataset-name", in_root),
    ]
}

/// A zstd frame with just this window and without its content's size.
fn squeezed(plain: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
    for parameter in [CParameter::WindowLog(window_log), CParameter::ContentSizeFlag(false)] {
        encoder.set_parameter(parameter).expect("a parameter that the library knows");
    }
    encoder.write_all(plain).expect("compressed");
    encoder.finish().expect("compressed bytes")
}

/// The tokens of release 3 without a dictionary, each frame on the wire as `wire` says.
fn tokens_with(forge: &mut Forge, wire: impl Fn(usize, &BuiltFrame) -> Vec<u8>) -> Collection {
    let mut spec = content(3).pop().expect("the tokens");
    spec.dictionary = false;
    let honest = forge.publication.collection(&spec, Version(3), &mut Vec::new());
    let mut builder = TreeBuilder::new(honest.params).expect("parameters within bounds");
    let mut built: Vec<BuiltFrame> = Vec::new();
    for (key, value) in &spec.records {
        built.extend(builder.push(key, value).expect("a record within bounds"));
    }
    let (last, tree) = builder.finish().expect("a tree within bounds");
    built.extend(last);
    let mut layout = LayoutBuilder::new();
    let mut bundle = Vec::new();
    for (at, frame) in built.iter().enumerate() {
        let bytes = wire(at, frame);
        layout.push(frame, &bytes).expect("a frame within bounds");
        bundle.extend(bytes);
    }
    let layout = layout.finish(&tree).expect("a layout within bounds");
    forge.put(ObjectKind::Bundle, bundle);
    for object in layout.pages.iter().chain([&layout.directory]) {
        forge.put(ObjectKind::Layout, object.bytes.clone());
    }
    let base = Base {
        directory: layout.directory.object,
        wire_len: layout.wire_len,
        bundles: layout.bundles,
        frames: layout.frames,
        ..honest.base
    };
    Collection { base, ..honest }
}

/// A third release whose tokens are on the wire as `wire` says.
fn tokens(wire: impl Fn(usize, &BuiltFrame) -> Vec<u8>) -> Objects {
    third_and_healed(|forge, manifest| {
        let lying = tokens_with(forge, wire);
        *collection(manifest, "tokens") = lying;
    })
}

fn frames() -> Vec<Row> {
    vec![
        // Zeros without end, in a window as small as the signed length allows.
        (
            "frame-that-grows-without-end",
            tokens(|_, frame| {
                let mut plain = frame.plain.clone();
                plain.resize(16 << 20, 0);
                squeezed(&plain, 12)
            }),
        ),
        ("frame-with-a-great-window", tokens(|_, frame| squeezed(&frame.plain, 27))),
        (
            "frame-that-ends-early",
            tokens(|_, frame| {
                let mut wire = squeezed(&frame.plain, 12);
                wire.truncate(wire.len() / 2);
                wire
            }),
        ),
        (
            "frame-with-a-second-frame-behind",
            tokens(|_, frame| [squeezed(&frame.plain, 12), squeezed(b"hidden", 12)].concat()),
        ),
        // The right length, another content: a value is changed.
        (
            "frame-of-another-content",
            tokens(|_, frame| {
                let mut plain = frame.plain.clone();
                let at = plain.len() - 3;
                plain[at] = if plain[at] == b'x' { b'y' } else { b'x' };
                squeezed(&plain, 12)
            }),
        ),
    ]
}

fn layouts() -> Vec<Row> {
    let other_directory = third_and_healed(|forge, manifest| {
        let other = forge.manifest(2, 2);
        let tokens = collection(manifest, "tokens");
        let tree = tokens.tree;
        tokens.base = other
            .collections
            .iter()
            .find(|c| c.name.as_str() == "tokens")
            .expect("tokens")
            .base
            .clone();
        tokens.base.version = Version(3);
        tokens.base.tree = tree;
    });
    let other_page = third_and_healed(|forge, manifest| {
        let mut other = forge.manifest(2, 2);
        let page = page(&forge.publication.files, collection(&mut other, "tokens")).encode();
        set_page(forge, collection(manifest, "tokens"), page);
    });
    let frames_swapped = third_and_healed(|forge, manifest| {
        let tokens = collection(manifest, "tokens");
        let mut page = page(&forge.publication.files, tokens);
        let bundle = &mut page.bundles[0];
        let wire = forge.publication.files[&path(ObjectKind::Bundle, &bundle.name)].clone();
        let (first, second) = (bundle.frames[0].wire_len as usize, bundle.frames[1].wire_len);
        let both = first + second as usize;
        let swapped = [&wire[first..both], &wire[..first], &wire[both..]].concat();
        bundle.frames.swap(0, 1);
        bundle.name = forge.put(ObjectKind::Bundle, swapped).name;
        let bytes = page.encode();
        set_page(forge, tokens, bytes);
    });
    let missing_page = third(|forge, manifest| {
        let tokens = collection(manifest, "tokens");
        let mut directory = directory(&forge.publication.files, tokens);
        directory.pages.clear();
        tokens.base.directory = forge.put(ObjectKind::Layout, directory.encode());
    });
    vec![
        ("layout-of-another-release", other_directory),
        ("layout-with-a-page-of-another-release", other_page),
        ("layout-with-frames-in-another-order", frames_swapped),
        ("layout-without-its-pages", missing_page),
        (
            "manifest-with-a-collection-twice",
            third(|_, manifest| {
                let again = collection(manifest, "config").clone();
                manifest.collections.insert(0, again);
            }),
        ),
        (
            "manifest-with-a-renamed-collection",
            third(|_, manifest| {
                // The notes become the tokens: what is signed is what clients get.
                let notes = collection(manifest, "notes");
                notes.name = Name::new("zz-notes").expect("a name");
                manifest.collections.sort_by(|a, b| a.name.cmp(&b.name));
            }),
        ),
    ]
}
