//! A publisher that lies: it signs what it likes, so each hash below agrees with the one above it,
//! and one thing is not as it must be. Each rule of a tree is broken alone.

use packice_core::error::{Error, FormatError, TrustError};
use packice_core::format::leaf::LeafWriter;
use packice_core::format::manifest::{
    Base, Collection, Delta, Manifest, Overlay, Params, Provenance, Segment, TreeInfo,
};
use packice_core::format::node::{Child, Node};
use packice_core::format::note::parse_signatures;
use packice_core::format::seed::{PRELUDE_LEN, SeedIndex};
use packice_core::hash;
use packice_core::limits::{MAX_NUMBER, MAX_ORIGIN_LEN};
use packice_core::tree::proof::{self, Proof};
use packice_core::types::{Identity, Name, ObjectRef, Version, WireName};

const BAD: Error = Error::Trust(TrustError::BadProof);

/// A leaf of some keys, and the entry for it.
fn leaf(separator: &str, keys: &[&str]) -> (Child, Vec<u8>) {
    let mut writer = LeafWriter::default();
    for key in keys {
        writer.push(key.as_bytes(), b"value");
    }
    let records = writer.records();
    let bytes = writer.finish();
    let child = Child {
        separator: separator.as_bytes().to_vec(),
        identity: hash::identity(&bytes),
        plain_len: bytes.len() as u64,
        records,
    };
    (child, bytes)
}

/// An entry for something that the proof does not open.
fn closed(separator: &str) -> Child {
    let identity = Identity([9; 32]);
    Child { separator: separator.as_bytes().to_vec(), identity, plain_len: 100, records: 3 }
}

fn node(level: u8, children: Vec<Child>) -> Node {
    Node { level, children }
}

/// What a publisher signs over a root node.
fn tree_of(root: &Node) -> TreeInfo {
    TreeInfo {
        root: root.identity(),
        level: root.level,
        records: root.records(),
        plain_len: root.plain_len(),
    }
}

fn verify(nodes: Vec<Node>, leaf: &[u8], key: &str) -> Result<Option<Vec<u8>>, Error> {
    let tree = tree_of(&nodes[0]);
    let proof = Proof { nodes, leaf: Some(leaf.to_vec()) };
    proof::verify(&tree, key.as_bytes(), &proof.encode())
}

#[test]
fn a_leaf_that_is_not_what_its_entry_says_proves_nothing() {
    let (child, bytes) = leaf("", &["m", "n"]);
    let with = |change: &dyn Fn(&mut Child), next: &str, key| {
        let mut child = child.clone();
        change(&mut child);
        verify(vec![node(1, vec![closed(""), child, closed(next)])], &bytes, key)
    };
    let at = |separator: &str| {
        let separator = separator.as_bytes().to_vec();
        move |child: &mut Child| child.separator.clone_from(&separator)
    };
    assert_eq!(with(&at("m"), "o", "m"), Ok(Some(b"value".to_vec())), "the honest one");
    assert_eq!(with(&at("m"), "o", "mm"), Ok(None), "absence, too");
    assert_eq!(with(&at("mm"), "o", "n"), Err(BAD), "it begins below its separator");
    assert_eq!(with(&at("m"), "n", "m"), Err(BAD), "it reaches the next separator");
    let broken = |more: &dyn Fn(&mut Child)| {
        let change = |child: &mut Child| {
            child.separator = b"m".to_vec();
            more(child);
        };
        with(&change, "o", "m")
    };
    assert_eq!(broken(&|child| child.records += 1), Err(BAD), "more records");
    assert_eq!(broken(&|child| child.plain_len += 1), Err(BAD), "more bytes");
    assert_eq!(broken(&|child| child.identity.0[7] ^= 1), Err(BAD), "another content");
}

#[test]
fn a_node_that_is_not_what_its_entry_says_proves_nothing() {
    let (child, bytes) = leaf("", &["m", "n"]);
    let below = |change: &dyn Fn(&mut Node), entry: &dyn Fn(&mut Child), next: &str| {
        let mut lower = node(1, vec![child.clone(), closed("o")]);
        change(&mut lower);
        let mut child = lower.as_child();
        entry(&mut child);
        verify(vec![node(2, vec![child, closed(next)]), lower], &bytes, "m")
    };
    let same = |_: &mut Child| {};
    assert_eq!(below(&|_| {}, &same, "p"), Ok(Some(b"value".to_vec())), "the honest one");
    assert_eq!(below(&|_| {}, &same, "o"), Err(BAD), "its last entry is the next one's");
    assert_eq!(below(&|_| {}, &|child| child.records += 1, "p"), Err(BAD), "more records");
    assert_eq!(below(&|_| {}, &|child| child.plain_len += 1, "p"), Err(BAD), "more bytes");
    assert_eq!(below(&|_| {}, &|child| child.identity.0[0] ^= 1, "p"), Err(BAD), "another node");
    assert_eq!(below(&|lower| lower.level = 2, &same, "p"), Err(BAD), "another level");
    let later = |lower: &mut Node| lower.children[0].separator = b"l".to_vec();
    let sooner = |child: &mut Child| child.separator.clear();
    assert_eq!(below(&later, &sooner, "p"), Err(BAD), "it begins after its separator");
}

#[test]
fn an_entry_for_nothing_is_refused() {
    let node = |records, plain_len| {
        let child = Child { records, plain_len, ..closed("") };
        Node::parse(&Node { level: 1, children: vec![child] }.encode())
    };
    assert!(node(1, 1).is_ok() && node(MAX_NUMBER, MAX_NUMBER).is_ok());
    for (records, plain_len) in [(0, 1), (1, 0), (0, 0), (MAX_NUMBER + 1, 1), (1, MAX_NUMBER + 1)] {
        assert!(node(records, plain_len).is_err(), "{records} records of {plain_len} bytes");
    }
}

fn object(byte: u8) -> ObjectRef {
    ObjectRef { name: WireName([byte; 32]), len: 100 }
}

/// A manifest that has everything, all of it at the edge of what is allowed where there is one.
fn manifest() -> Manifest {
    let tree = TreeInfo { root: Identity([1; 32]), level: 1, records: 5, plain_len: 50 };
    let older = TreeInfo { root: Identity([2; 32]), ..tree };
    let base = Base {
        version: Version(2),
        tree: older,
        directory: object(3),
        wire_len: MAX_NUMBER,
        bundles: MAX_NUMBER,
        frames: MAX_NUMBER,
        dictionary: None,
    };
    let segment = |start: &[u8]| Segment { start: start.to_vec(), object: object(4), plain_len: 9 };
    let delta = Delta {
        from_version: Version(1),
        from_root: Identity([5; 32]),
        operations: 2,
        segments: vec![segment(b""), segment(b"k")],
    };
    let collection = Collection {
        name: Name::new("things").expect("a name"),
        priority: 0,
        lazy: true,
        params: Params { leaf_target: 1024, frame_target: 4096, node_target: 1024 },
        tree,
        base,
        overlay: Some(Overlay { directory: object(6), wire_len: 200, operations: 2 }),
        deltas: vec![delta],
    };
    Manifest {
        dataset: Name::new("set").expect("a name"),
        version: Version(3),
        parent: Some(WireName([7; 32])),
        provenance: Provenance { source_digest: [8; 32], tool: "test".into() },
        collections: vec![collection],
    }
}

#[test]
fn a_manifest_with_one_thing_out_of_bounds_is_refused() {
    assert_eq!(Manifest::parse(&manifest().encode()), Ok(manifest()), "the honest one");
    type Spoil = fn(&mut Collection);
    let rules: [(&str, Spoil); 20] = [
        ("a small leaf target", |c| c.params.leaf_target = 1023),
        ("a large leaf target", |c| c.params.leaf_target = 65_537),
        ("a small frame target", |c| c.params.frame_target = 1),
        ("a large node target", |c| c.params.node_target = 1 << 24),
        ("level 0", |c| c.tree.level = 0),
        ("level 13", |c| c.tree.level = 13),
        ("records without bytes", |c| c.tree.plain_len = 0),
        ("bytes without records", |c| c.tree.records = 0),
        ("an empty tree that is high", |c| {
            c.tree = TreeInfo { level: 2, records: 0, plain_len: 0, ..c.tree };
        }),
        ("too many records", |c| c.tree.records = MAX_NUMBER + 1),
        ("too many bytes", |c| c.tree.plain_len = MAX_NUMBER + 1),
        ("too many bytes of a base", |c| c.base.wire_len = MAX_NUMBER + 1),
        ("too many bundles", |c| c.base.bundles = MAX_NUMBER + 1),
        ("too many frames", |c| c.base.frames = MAX_NUMBER + 1),
        ("too many operations of an overlay", |c| {
            c.overlay.as_mut().expect("one").operations = MAX_NUMBER + 1;
        }),
        ("too many operations", |c| c.deltas[0].operations = MAX_NUMBER + 1),
        ("too many bytes of a segment", |c| c.deltas[0].segments[1].plain_len = MAX_NUMBER + 1),
        ("segments out of order", |c| c.deltas[0].segments.swap(0, 1)),
        ("the same segment twice", |c| c.deltas[0].segments[1].start.clear()),
        ("a delta from a version to come", |c| c.deltas[0].from_version = Version(3)),
    ];
    for (what, spoil) in rules {
        let mut spoiled = manifest();
        spoil(&mut spoiled.collections[0]);
        assert!(Manifest::parse(&spoiled.encode()).is_err(), "{what} went through");
    }
}

#[test]
fn a_signature_line_has_a_name_of_a_bounded_length() {
    let line = |name: &str| format!("\u{2014} {name} AAAAAQE=\n");
    let names = |text: &str| parse_signatures(text).map(|all| all[0].name.len());
    assert_eq!(names(&line(&"n".repeat(MAX_ORIGIN_LEN))), Ok(MAX_ORIGIN_LEN));
    let bad = Err(FormatError::Text { field: "checkpoint signature" }.into());
    for name in [&"n".repeat(MAX_ORIGIN_LEN + 1), "", "a+b", "a\tb"] {
        assert_eq!(names(&line(name)), bad, "{name}");
    }
    assert_eq!(names("\u{2014} n AAAAAQ==\n"), bad, "a key id and no signature");
    assert_eq!(names("\u{2014} n AAAA\n"), bad, "less than a key id");
}

#[test]
fn a_seed_without_objects_has_a_length() {
    let index = SeedIndex::of(Vec::new()).expect("an index within bounds");
    assert_eq!(index.file_len(), (PRELUDE_LEN + index.encode().len()) as u64);
}
