//! Building trees: against the slow oracle, whatever the history, and only as large as bounded.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use common::{Built, Records, Rng, SMALL, build, oracle, records};
use packice_core::format::leaf;
use packice_core::format::manifest::Params;
use packice_core::format::node::Node;
use packice_core::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};
use packice_core::tree::build::TreeBuilder;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn assert_same_as_oracle(records: &Records, params: Params) -> Built {
    let built = build(records, params);
    let (info, levels) = oracle::tree(records, params);
    assert_eq!(built.tree.info, info);
    let frames: Vec<Node> = built.frames.iter().map(|frame| frame.node.clone()).collect();
    if !records.is_empty() {
        assert_eq!(frames, levels[0]);
    }
    assert_eq!(built.tree.levels, levels[1..]);
    for frame in &built.frames {
        assert_eq!(frame.child, frame.node.as_child());
        assert_eq!(frame.plain.len() as u64, frame.node.plain_len());
        assert_eq!(leaf::split_leaves(&frame.plain).unwrap().len(), frame.node.children.len());
    }
    let level_2: Vec<usize> = levels
        .get(1)
        .map_or_else(Vec::new, |nodes| nodes.iter().map(|node| node.children.len()).collect());
    let mut counted = Vec::new();
    let mut open = 0;
    for frame in &built.frames {
        open += 1;
        if frame.ends_node {
            counted.push(std::mem::take(&mut open));
        }
    }
    if open > 0 && levels.len() > 1 {
        counted.push(open);
    }
    assert_eq!(counted, level_2);
    built
}

#[test]
fn an_empty_collection_is_a_node_without_children() {
    let built = assert_same_as_oracle(&Records::new(), SMALL);
    assert!(built.frames.is_empty());
    assert_eq!((built.tree.info.level, built.tree.info.records), (1, 0));
}

#[test]
fn the_streamed_tree_is_the_oracles_tree() {
    for count in [1, 2, 30, 400, 3000] {
        let built = assert_same_as_oracle(&records(count, count), SMALL);
        if count == 3000 {
            assert!(built.tree.info.level >= 3, "too flat to test much");
        }
    }
}

#[test]
fn the_default_targets_give_the_oracles_tree() {
    let built = assert_same_as_oracle(&records(12_000, 5), Params::default());
    assert!(built.frames.len() > 2);
}

#[test]
fn block_sizes_lie_around_their_targets() {
    let built = build(&records(20_000, 9), SMALL);
    let mut leaves = Vec::new();
    for frame in &built.frames {
        leaves.extend(frame.node.children.iter().map(|leaf| leaf.plain_len as usize));
    }
    let mean = leaves.iter().sum::<usize>() / leaves.len();
    let longest = leaves.iter().max().unwrap();
    assert!((800..=1100).contains(&mean), "leaves of {mean} bytes");
    assert!(*longest <= 4 * 1024 + 200, "a leaf of {longest} bytes");
    let frames: Vec<usize> = built.frames.iter().map(|frame| frame.plain.len()).collect();
    let mean = frames.iter().sum::<usize>() / frames.len();
    assert!((3300..=4600).contains(&mean), "frames of {mean} bytes");
}

#[test]
fn records_of_the_greatest_size_fit() {
    let mut records = Records::new();
    for n in 0..3u8 {
        records.insert(vec![n; MAX_KEY_LEN], vec![n; MAX_VALUE_LEN]);
    }
    records.insert(Vec::new(), Vec::new());
    assert_same_as_oracle(&records, SMALL);
}

#[test]
fn long_keys_in_small_leaves_cannot_outgrow_a_node() {
    // Long separators and many leaves under one frame: its node ends the frame first.
    let target = Params { leaf_target: 1024, frame_target: 1 << 20, node_target: 1024 };
    let mut builder = TreeBuilder::new(target).unwrap();
    let mut longest = 0;
    for n in 0..3000u32 {
        let mut key = vec![b'k'; 600];
        key.extend(n.to_be_bytes());
        if let Some(frame) = builder.push(&key, &[0; 700]).unwrap() {
            longest = longest.max(frame.node.encode().len());
        }
    }
    let (last, _) = builder.finish().unwrap();
    longest = longest.max(last.map_or(0, |frame| frame.node.encode().len()));
    assert!(longest <= packice_core::limits::MAX_NODE_LEN);
}

#[test]
fn the_trees_of_fixed_records_are_frozen() {
    // A change here renames every published snapshot: it needs a new version of the format.
    let root = |params| build(&records(12_000, 5), params).tree.info.root.to_hex();
    assert_eq!(root(SMALL), "f7b03c1d68badf363c05d9ff1713b94724c0c0164aff6139bc080e173e547687");
    assert_eq!(
        root(Params::default()),
        "48049e549b768be5b7da0f5ef15983b23a0b5880ef99453444c41da1717f6ce8"
    );
}

#[test]
fn misuse_of_the_builder_is_named() {
    let mut builder = TreeBuilder::new(SMALL).unwrap();
    builder.push(b"b", b"").unwrap();
    assert_eq!(builder.push(b"b", b"").unwrap_err().code(), "misuse/key-order");
    assert_eq!(builder.push(b"a", b"").unwrap_err().code(), "misuse/key-order");
    let long = vec![b'c'; MAX_KEY_LEN + 1];
    assert_eq!(builder.push(&long, b"").unwrap_err().code(), "misuse/key-too-long");
    let long = vec![b'c'; MAX_VALUE_LEN + 1];
    assert_eq!(builder.push(b"c", &long).unwrap_err().code(), "misuse/value-too-long");
    let params = Params { leaf_target: 1, ..SMALL };
    assert_eq!(TreeBuilder::new(params).unwrap_err().code(), "misuse/parameters");
}

/// The identities of all leaves and nodes.
fn blocks(built: &Built) -> BTreeSet<[u8; 32]> {
    let mut blocks = BTreeSet::new();
    for frame in &built.frames {
        blocks.insert(frame.child.identity.0);
        blocks.extend(frame.node.children.iter().map(|leaf| leaf.identity.0));
    }
    for node in built.tree.levels.iter().flatten() {
        blocks.insert(node.identity().0);
    }
    blocks
}

#[test]
fn an_insertion_changes_few_blocks() {
    let mut set = records(5000, 11);
    let mut rng = Rng(3);
    let mut changed = 0;
    let mut before = blocks(&build(&set, SMALL));
    for _ in 0..40 {
        let key = format!("chain-{}/{:08x}", rng.below(7), rng.below(100_000)).into_bytes();
        set.insert(key, b"inserted".to_vec());
        let after = blocks(&build(&set, SMALL));
        changed += after.difference(&before).count();
        before = after;
    }
    // A leaf and its path to the root, and now and then the neighbours where an end moved.
    assert!(changed < 40 * 14, "{changed} blocks for 40 insertions");
}

fn small_records() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let key = prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', b'b', 255]), 0..9);
    let value = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::vec((key, value), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_records_give_the_oracles_tree(list in small_records()) {
        assert_same_as_oracle(&list.into_iter().collect(), SMALL);
    }

    #[test]
    fn the_history_of_a_set_does_not_matter(list in small_records(), gone in small_records()) {
        // One set inserted at once; the same set after other records came and went.
        let want: Records = list.iter().cloned().collect();
        let mut set: Records = gone.iter().cloned().collect();
        for (key, value) in list.iter().rev() {
            set.entry(key.clone()).or_insert_with(|| value.clone());
        }
        set.retain(|key, _| want.contains_key(key));
        set.extend(want.clone());
        prop_assert_eq!(build(&set, SMALL).tree, build(&want, SMALL).tree);
    }
}
