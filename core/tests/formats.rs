//! Every binary format: what is written is read, and read again gives the same bytes; nothing
//! shorter, longer or random is taken, and nothing panics.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use common::{SMALL, build, records, snapshot};
use packice_core::error::Error;
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::layout::{Bundle, Directory, Frame, Page, PageRef};
use packice_core::format::leaf::{self, LeafReader, LeafWriter};
use packice_core::format::manifest::{
    Base, Collection, Delta, Dictionary, Manifest, Overlay, Params, Provenance, Segment, TreeInfo,
};
use packice_core::format::node::{Child, Node, shortest_separator};
use packice_core::hash;
use packice_core::limits;
use packice_core::tree::proof::Proof;
use packice_core::types::{Identity, LogHash, Name, ObjectRef, Version, WireName, hex};
use proptest::prelude::*;

type Encode = fn(&[u8]) -> Result<Vec<u8>, Error>;

/// Parses some bytes as a format and writes the result again.
const FORMATS: [(&str, &[u8; 4], Encode); 7] = [
    ("leaf", b"PKL1", |bytes| {
        let mut writer = LeafWriter::default();
        for record in leaf::records(bytes)? {
            writer.push(&record.key, record.value);
        }
        Ok(writer.finish())
    }),
    ("node", b"PKN1", |bytes| Ok(Node::parse(bytes)?.encode())),
    ("directory", b"PKD1", |bytes| Ok(Directory::parse(bytes)?.encode())),
    ("page", b"PKP1", |bytes| Ok(Page::parse(bytes)?.encode())),
    ("manifest", b"PKM1", |bytes| Ok(Manifest::parse(bytes)?.encode())),
    ("bootstrap", b"PKB1", |bytes| Ok(Bootstrap::parse(bytes)?.encode())),
    ("proof", b"PKR1", |bytes| Ok(Proof::parse(bytes)?.encode())),
];

fn format_of(name: &str) -> Encode {
    FORMATS.iter().find(|format| format.0 == name).unwrap().2
}

/// What holds for the canonical bytes of anything.
fn assert_canonical(name: &str, bytes: &[u8]) {
    let again = format_of(name);
    assert_eq!(again(bytes).unwrap(), bytes, "{name} is not written as it was read");
    for end in 0..bytes.len() {
        assert!(again(&bytes[..end]).is_err(), "{name} cut at {end} was taken");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(again(&longer).is_err(), "{name} with a byte more was taken");
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut other = bytes.to_vec();
            other[at] ^= flip;
            // What still parses must be canonical too: one value, one encoding.
            if let Ok(written) = again(&other) {
                assert_eq!(written, other, "{name} has two encodings, by the byte at {at}");
            }
        }
    }
}

fn hash32() -> impl Strategy<Value = [u8; 32]> {
    any::<u8>().prop_map(|byte| [byte; 32])
}

fn object(max: u64) -> impl Strategy<Value = ObjectRef> {
    (hash32(), 1..=max).prop_map(|(name, len)| ObjectRef { name: WireName(name), len })
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9][a-z0-9-]{0,20}".prop_map(|text| Name::new(&text).unwrap())
}

fn node(level: u8) -> impl Strategy<Value = Node> {
    let child = (hash32(), 1..1u64 << 40, 1..1u64 << 30);
    let key = prop::collection::vec(any::<u8>(), 0..12);
    prop::collection::btree_map(key, child, 1..8).prop_map(move |children| Node {
        level,
        children: children
            .into_iter()
            .map(|(separator, (identity, plain_len, records))| Child {
                separator,
                identity: Identity(identity),
                plain_len,
                records,
            })
            .collect(),
    })
}

fn page() -> impl Strategy<Value = Page> {
    let frame = (hash32(), 1..1_000_000u32)
        .prop_map(|(name, wire_len)| Frame { name: WireName(name), wire_len });
    let bundle = (hash32(), prop::collection::vec(frame, 1..6))
        .prop_map(|(name, frames)| Bundle { name: WireName(name), frames });
    (prop::collection::vec(node(2), 0..4), prop::collection::vec(bundle, 0..4))
        .prop_map(|(nodes, bundles)| Page { nodes, bundles })
}

fn directory() -> impl Strategy<Value = Directory> {
    let page = (object(1 << 20), any::<u32>(), any::<u32>(), any::<u32>(), 0..1u64 << 40);
    let page = page.prop_map(|(object, nodes, bundles, frames, wire_len)| PageRef {
        object,
        nodes,
        bundles,
        frames,
        wire_len,
    });
    (prop::collection::vec(node(3), 0..3), prop::collection::vec(page, 0..4))
        .prop_map(|(nodes, pages)| Directory { nodes, pages })
}

fn tree() -> impl Strategy<Value = TreeInfo> {
    (hash32(), 1..=limits::MAX_LEVEL, 1..1u64 << 40, 1..1u64 << 50).prop_map(
        |(root, level, records, plain_len)| TreeInfo {
            root: Identity(root),
            level,
            records,
            plain_len,
        },
    )
}

fn delta() -> impl Strategy<Value = Delta> {
    let key = prop::collection::vec(any::<u8>(), 0..6);
    let segment = (object(1 << 20), 0..1u64 << 30);
    (1..9u64, hash32(), 0..1u64 << 40, prop::collection::btree_map(key, segment, 0..4)).prop_map(
        |(from, root, operations, segments)| Delta {
            from_version: Version(from),
            from_root: Identity(root),
            operations,
            segments: segments
                .into_iter()
                .map(|(start, (object, plain_len))| Segment { start, object, plain_len })
                .collect(),
        },
    )
}

fn collection() -> impl Strategy<Value = Collection> {
    let dictionary = (0..99u64, object(1 << 17), 8..=limits::MAX_DICTIONARY_LEN as u32)
        .prop_map(|(epoch, object, plain_len)| Dictionary { epoch, object, plain_len });
    let base =
        (any::<bool>(), tree(), object(1 << 20), 0..1u64 << 40, prop::option::of(dictionary));
    let deltas = prop::collection::vec(delta(), 0..3);
    (name(), any::<u8>(), any::<bool>(), tree(), base, deltas).prop_map(
        |(
            name,
            priority,
            lazy,
            tree,
            (own, older, directory, wire_len, dictionary),
            mut deltas,
        )| {
            deltas.sort_by_key(|delta| delta.from_version);
            deltas.dedup_by_key(|delta| delta.from_version);
            let (version, base) = if own { (9, tree) } else { (4, older) };
            let base = Base {
                version: Version(version),
                tree: base,
                directory,
                wire_len,
                bundles: wire_len / 7,
                frames: wire_len / 3,
                dictionary,
            };
            let overlay = (base.tree != tree).then_some(Overlay {
                directory,
                wire_len: directory.len + 7,
                operations: 5,
            });
            let params = Params::default();
            Collection { name, priority, lazy, params, tree, base, overlay, deltas }
        },
    )
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let collections = prop::collection::vec(collection(), 0..3);
    (name(), prop::option::of(hash32()), hash32(), "[ -~é]{0,30}", collections).prop_map(
        |(dataset, parent, source_digest, tool, mut collections)| {
            collections.sort_by(|a, b| a.name.cmp(&b.name));
            collections.dedup_by(|a, b| a.name == b.name);
            Manifest {
                dataset,
                version: Version(9),
                parent: parent.map(WireName),
                provenance: Provenance { source_digest, tool },
                collections,
            }
        },
    )
}

fn bootstrap() -> impl Strategy<Value = Bootstrap> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let list = || prop::collection::vec(bytes(), 0..4);
    (bytes(), list(), bytes(), prop::collection::vec(hash32(), 0..5), list()).prop_map(
        |(checkpoint, trust_chain, head, inclusion, objects)| Bootstrap {
            checkpoint,
            trust_chain,
            head,
            inclusion: inclusion.into_iter().map(LogHash).collect(),
            objects,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn leaves_have_one_encoding(records in prop::collection::btree_map(
        prop::collection::vec(0u8..4, 0..6), prop::collection::vec(any::<u8>(), 0..9), 1..20)) {
        let mut writer = LeafWriter::default();
        for (key, value) in &records {
            let before = writer.len();
            let len = writer.record_len(key, value);
            writer.push(key, value);
            prop_assert_eq!(writer.len(), before + len);
        }
        assert_canonical("leaf", &writer.finish());
    }

    #[test]
    fn nodes_have_one_encoding(node in node(1)) {
        let bytes = node.encode();
        prop_assert_eq!(Node::parse(&bytes).unwrap(), node);
        assert_canonical("node", &bytes);
    }

    #[test]
    fn pages_have_one_encoding(page in page()) {
        let bytes = page.encode();
        prop_assert_eq!(Page::parse(&bytes).unwrap(), page);
        assert_canonical("page", &bytes);
    }

    #[test]
    fn directories_have_one_encoding(directory in directory()) {
        let bytes = directory.encode();
        prop_assert_eq!(Directory::parse(&bytes).unwrap(), directory);
        assert_canonical("directory", &bytes);
    }

    #[test]
    fn manifests_have_one_encoding(manifest in manifest()) {
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_canonical("manifest", &bytes);
    }

    #[test]
    fn bootstraps_have_one_encoding(bootstrap in bootstrap()) {
        let bytes = bootstrap.encode();
        prop_assert_eq!(Bootstrap::parse(&bytes).unwrap(), bootstrap);
        assert_canonical("bootstrap", &bytes);
    }

    #[test]
    fn separators_are_the_shortest(a in prop::collection::vec(0u8..3, 0..7),
                                   b in prop::collection::vec(0u8..3, 0..7)) {
        prop_assume!(a != b);
        let (before, after) = if a < b { (a, b) } else { (b, a) };
        let separator = shortest_separator(&before, &after);
        prop_assert!(separator > before.as_slice() && separator <= after.as_slice());
        // Anything shorter that begins `after` does not come after `before`.
        prop_assert!(separator[..separator.len() - 1] <= *before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_never_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        for (name, magic, parse) in FORMATS {
            let _ = parse(&noise);
            let bytes = [magic.as_slice(), &noise].concat();
            if let Ok(again) = parse(&bytes) {
                prop_assert_eq!(&again, &bytes, "{} has two encodings", name);
            }
            let _ = leaf::split_leaves(&bytes);
        }
    }
}

#[test]
fn real_pages_and_directories_have_one_encoding() {
    let snapshot = snapshot(&records(900, 3), SMALL);
    assert_canonical("directory", &snapshot.layout.directory.bytes);
    let page = &snapshot.layout.pages[0].bytes;
    assert_eq!(format_of("page")(page).unwrap(), *page);
}

#[test]
fn claims_beyond_the_bounds_are_refused_before_they_are_read() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (name, magic, parse) in FORMATS {
        let lead: &[u8] = if name == "node" { &[1] } else { &[] };
        let bytes = [magic.as_slice(), lead, &huge].concat();
        assert_eq!(parse(&bytes).unwrap_err().code(), "format/too-large", "{name}");
        assert_eq!(parse(b"XXXX").unwrap_err().code(), "format/unknown-format", "{name}");
        let other = [&magic[..3], b"2"].concat();
        assert_eq!(parse(&other).unwrap_err().code(), "format/unknown-format", "{name}");
    }
    let long = vec![0; limits::MAX_MANIFEST_LEN + 1];
    assert_eq!(Manifest::parse(&long).unwrap_err().code(), "format/too-large");
    let long = vec![0; limits::MAX_LEAF_LEN + 1];
    assert_eq!(LeafReader::new(&long).unwrap_err().code(), "format/too-large");
}

#[test]
fn a_leaf_in_another_form_is_refused() {
    let code = |body: &[u8]| leaf::records(&[b"PKL1", body].concat()).unwrap_err().code();
    // count, then for each record: shared, rest length, rest, value length, value
    assert_eq!(code(&[0]), "format/invalid");
    assert_eq!(code(&[1, 1, 1, b'a', 0]), "format/invalid");
    assert_eq!(code(&[2, 0, 1, b'b', 0, 0, 1, b'a', 0]), "format/order");
    assert_eq!(code(&[2, 0, 1, b'b', 0, 1, 0, 0]), "format/order");
    assert_eq!(code(&[2, 0, 2, b'b', b'a', 0, 0, 2, b'b', b'b', 0]), "format/not-canonical");
    assert_eq!(code(&[2, 0, 1, b'b', 0]), "format/truncated");
    assert_eq!(code(&[1, 0, 1, b'b', 0, 0]), "format/trailing-bytes");
    assert_eq!(code(&[0x81, 0, 0, 1, b'b', 0]), "format/not-canonical");
}

#[test]
fn a_frame_splits_into_its_leaves_and_nothing_else() {
    let built = build(&records(800, 3), SMALL);
    let frame = built.frames.iter().find(|frame| frame.node.children.len() > 2).unwrap();
    let spans = leaf::split_leaves(&frame.plain).unwrap();
    assert_eq!(spans.len(), frame.node.children.len());
    let mut at = 0;
    for (span, child) in spans.iter().zip(&frame.node.children) {
        assert_eq!((span.range.start, span.records), (at, child.records));
        at = span.range.end;
    }
    assert_eq!(at, frame.plain.len());
    for end in 1..frame.plain.len() {
        let cut = leaf::split_leaves(&frame.plain[..end]);
        assert_eq!(cut.is_ok(), spans.iter().any(|span| span.range.end == end));
    }
    let first = &frame.plain[spans[0].range.clone()];
    let twice = [first, first].concat();
    assert_eq!(leaf::split_leaves(&twice).unwrap_err().code(), "format/order");
    assert_eq!(leaf::split_leaves(&[]).unwrap(), Vec::new());
}

#[test]
fn the_examples_of_the_specification_hold() {
    let mut set = common::Records::new();
    for (key, value) in [("a", "1"), ("ab", ""), ("b", "22")] {
        set.insert(key.into(), value.into());
    }
    let built = build(&set, SMALL);
    let empty = build(&common::Records::new(), SMALL);
    let leaf = &built.frames[0].plain;
    let root = &built.frames[0].node;
    let empty_root = Node { level: 1, children: Vec::new() };
    assert_eq!(empty.tree.info.root, empty_root.identity());
    assert_eq!(built.tree.info.root, root.identity());
    let examples = [
        hex(&empty_root.encode()),
        empty_root.identity().to_hex(),
        hex(leaf),
        hash::identity(leaf).to_hex(),
        hex(&root.encode()),
        root.identity().to_hex(),
    ];
    let page = include_str!("../../docs/spec/tree.md");
    for example in examples {
        assert!(page.contains(&format!("`{example}`")), "docs/spec/tree.md lacks {example}");
    }
}
