//! Differences of trees: against two sorted maps, and no more blocks read than changed.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use common::{Built, Records, Rng, SMALL, Snapshot, build, records, snapshot};
use packice_core::error::Error;
use packice_core::format::leaf;
use packice_core::format::manifest::Params;
use packice_core::format::node::{Child, Node};
use packice_core::tree::blocks::IndexBlocks;
use packice_core::tree::diff::{Blocks, Change, Diff};
use packice_core::tree::index::Index;
use packice_core::types::Identity;
use proptest::prelude::*;

/// A tree's blocks in memory, counting what is read.
struct Store<'a> {
    nodes: BTreeMap<Identity, Node>,
    leaves: BTreeMap<Identity, Vec<u8>>,
    read: &'a Cell<usize>,
}

impl<'a> Store<'a> {
    fn new(built: &Built, read: &'a Cell<usize>) -> Self {
        let mut nodes = BTreeMap::new();
        let mut leaves = BTreeMap::new();
        for frame in &built.frames {
            nodes.insert(frame.child.identity, frame.node.clone());
            let spans = leaf::split_leaves(&frame.plain).unwrap();
            for (child, span) in frame.node.children.iter().zip(spans) {
                leaves.insert(child.identity, frame.plain[span.range].to_vec());
            }
        }
        for node in built.tree.levels.iter().flatten() {
            nodes.insert(node.identity(), node.clone());
        }
        Self { nodes, leaves, read }
    }
}

impl Blocks for Store<'_> {
    type Error = Error;

    fn node(&mut self, child: &Child, level: u8) -> Result<Node, Error> {
        self.read.set(self.read.get() + 1);
        let node = self.nodes[&child.identity].clone();
        assert_eq!(node.level, level);
        Ok(node)
    }

    fn leaf(&mut self, child: &Child) -> Result<Vec<u8>, Error> {
        self.read.set(self.read.get() + 1);
        Ok(self.leaves[&child.identity].clone())
    }
}

fn diff(old: &Built, new: &Built) -> (Vec<Change>, usize) {
    let read = Cell::new(0);
    let (a, b) = (Store::new(old, &read), Store::new(new, &read));
    let mut diff = Diff::new(&old.tree.info, a, &new.tree.info, b);
    let mut changes = Vec::new();
    while let Some(change) = diff.advance().unwrap() {
        changes.push(change);
    }
    (changes, read.get())
}

fn oracle(old: &Records, new: &Records) -> Vec<Change> {
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let mut changes = Vec::new();
    for key in keys {
        match (old.get(&key).cloned(), new.get(&key).cloned()) {
            (Some(old), Some(new)) if old != new => changes.push(Change::Updated { key, old, new }),
            (Some(_), Some(_)) | (None, None) => {}
            (Some(old), None) => changes.push(Change::Removed { key, old }),
            (None, Some(new)) => changes.push(Change::Added { key, new }),
        }
    }
    changes
}

fn edit(set: &Records, edits: usize, seed: u64) -> Records {
    let mut rng = Rng(seed);
    let mut new = set.clone();
    let keys: Vec<_> = set.keys().cloned().collect();
    for _ in 0..edits {
        let key = &keys[rng.below(keys.len() as u64) as usize];
        match rng.below(3) {
            0 => drop(new.remove(key)),
            1 => drop(new.insert(key.clone(), rng.bytes(20))),
            _ => drop(new.insert([key.as_slice(), b"x"].concat(), rng.bytes(30))),
        }
    }
    new
}

#[test]
fn equal_trees_are_not_read_at_all() {
    let built = build(&records(4000, 1), SMALL);
    assert_eq!(diff(&built, &built), (Vec::new(), 0));
}

#[test]
fn few_changes_read_few_blocks() {
    let old = records(20_000, 21);
    let built = build(&old, SMALL);
    let blocks = Store::new(&built, &Cell::new(0)).nodes.len() + 1700;
    for edits in [1, 5, 25] {
        let new = edit(&old, edits, edits as u64);
        let (changes, read) = diff(&built, &build(&new, SMALL));
        assert_eq!(changes, oracle(&old, &new));
        assert!(read <= 20 + edits * 14, "{read} of {blocks} blocks for {edits} edits");
    }
}

#[test]
fn heights_and_targets_may_differ() {
    let old = records(40, 2);
    let mut new = edit(&old, 9, 4);
    new.extend(records(3000, 30));
    let sets = [&old, &new, &Records::new()];
    let other = Params { leaf_target: 2048, frame_target: 9000, node_target: 1500 };
    for a in sets {
        for b in sets {
            assert_eq!(diff(&build(a, SMALL), &build(b, SMALL)).0, oracle(a, b));
            assert_eq!(diff(&build(a, SMALL), &build(b, other)).0, oracle(a, b));
        }
    }
}

#[test]
fn snapshots_are_compared_through_their_indexes() {
    let old = records(6000, 12);
    let new = edit(&old, 40, 3);
    let (a, b) = (snapshot(&old, SMALL), snapshot(&new, SMALL));
    let (from, to) = (a.index(), b.index());
    let loads = Cell::new(0);
    let load = |snapshot: &Snapshot, index: &Index, id| {
        loads.set(loads.get() + 1);
        Ok::<_, Error>(snapshot.load(index, id))
    };
    let mut diff = Diff::new(
        &a.base.tree,
        IndexBlocks::new(&from, |id| load(&a, &from, id)),
        &b.base.tree,
        IndexBlocks::new(&to, |id| load(&b, &to, id)),
    );
    let mut changes = Vec::new();
    while let Some(change) = diff.advance().unwrap() {
        changes.push(change);
    }
    assert_eq!(changes, oracle(&old, &new));
    let frames = from.frame_count() + to.frame_count();
    assert!(loads.get() < 120 && loads.get() < frames, "{} of {frames} frames", loads.get());

    let bare = Index::new(&a.base, a.directory()).unwrap();
    let mut diff = Diff::new(
        &a.base.tree,
        IndexBlocks::new(&bare, |id| load(&a, &bare, id)),
        &b.base.tree,
        IndexBlocks::new(&to, |id| load(&b, &to, id)),
    );
    assert_eq!(diff.advance().unwrap_err().code(), "misuse/unknown-page");
}

#[test]
fn a_store_that_lies_is_found_out() {
    struct Liar<'a>(Store<'a>);
    impl Blocks for Liar<'_> {
        type Error = Error;
        fn node(&mut self, child: &Child, level: u8) -> Result<Node, Error> {
            self.0.node(child, level)
        }
        fn leaf(&mut self, child: &Child) -> Result<Vec<u8>, Error> {
            let mut bytes = self.0.leaf(child)?;
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            Ok(bytes)
        }
    }
    let old = records(900, 2);
    let (a, b) = (build(&old, SMALL), build(&edit(&old, 3, 4), SMALL));
    let read = Cell::new(0);
    let liar = Liar(Store::new(&b, &read));
    let mut diff = Diff::new(&a.tree.info, Store::new(&a, &read), &b.tree.info, liar);
    let error = loop {
        match diff.advance() {
            Ok(change) => assert!(change.is_some(), "the lie went through"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "trust/layout-mismatch");
}

fn small_set() -> impl Strategy<Value = Records> {
    let key = prop::collection::vec(0u8..4, 0..6);
    let value = prop::sample::select(vec![vec![1; 10], vec![2; 200], vec![3; 50]]);
    prop::collection::btree_map(key, value, 0..90)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_difference_is_that_of_the_maps(old in small_set(), new in small_set()) {
        let (changes, _) = diff(&build(&old, SMALL), &build(&new, SMALL));
        prop_assert_eq!(changes, oracle(&old, &new));
    }
}
