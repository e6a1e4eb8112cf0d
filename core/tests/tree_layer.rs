//! Layers: what is cut anew and what is read through entries is what a full build gives.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{Built, Records, Rng, SMALL, build, records};
use packice_core::error::Error;
use packice_core::format::layer::{
    Change, LayerDirectory, LayerPage, LayerPageRef, PageBody, Patch,
};
use packice_core::format::node::Child;
use packice_core::tree::layer::{Entries, LayerWriter, compose, merge, visit_through};
use packice_core::tree::recut::Recut;
use packice_core::tree::upper::UpperBuilder;
use packice_core::tree::verify::{VerifiedFrame, verify_frame};
use proptest::prelude::*;

type Changes = Vec<(Vec<u8>, Change)>;

/// Changes at random: many in few places, or few everywhere; at the ends too.
fn edit(rng: &mut Rng, old: &Records, count: u64) -> Records {
    let mut new = old.clone();
    let keys: Vec<Vec<u8>> = old.keys().cloned().collect();
    for _ in 0..count {
        let at = usize::try_from(rng.below(keys.len().max(1) as u64)).unwrap();
        match (rng.below(8), keys.get(at)) {
            (0, _) => _ = new.insert(b"a".to_vec(), b"before all others".to_vec()),
            (1, _) => _ = new.insert(vec![b'z'; 3], rng.bytes(40)),
            (2..=3, Some(key)) => _ = new.remove(key),
            (4..=5, Some(key)) => {
                let mut key = key.clone();
                key.push(rng.below(256) as u8);
                let len = 1 + usize::try_from(rng.below(300)).unwrap();
                new.insert(key, rng.bytes(len));
            }
            (_, Some(key)) => _ = new.insert(key.clone(), rng.bytes(50)),
            (_, None) => _ = new.insert(rng.bytes(3), rng.bytes(3)),
        }
    }
    new
}

fn changes(old: &Records, new: &Records) -> Changes {
    let mut changes = BTreeMap::new();
    for (key, value) in new {
        match old.get(key) {
            None => _ = changes.insert(key.clone(), Change::Insert(value.clone())),
            Some(was) if was != value => {
                changes.insert(key.clone(), Change::Update(value.clone()));
            }
            Some(_) => {}
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), Change::Delete);
    }
    changes.into_iter().collect()
}

fn children(built: &Built) -> Vec<Child> {
    built.frames.iter().map(|frame| frame.child.clone()).collect()
}

fn upper(frames: &[Child], at: usize) -> Option<&[u8]> {
    frames.get(at + 1).map(|next| next.separator.as_slice())
}

fn verified(built: &Built, at: usize) -> Rc<VerifiedFrame> {
    let frames = children(built);
    let plain = built.frames[at].plain.clone();
    Rc::new(verify_frame(&frames[at], upper(&frames, at), plain).unwrap())
}

/// Cuts anew as a client does: frames without a change are kept unread where they can be.
fn recut(old: &Built, changes: &Changes) -> (Vec<Child>, usize) {
    let frames = children(old);
    let mut recut = Recut::new(SMALL).unwrap();
    let mut read = 0;
    let mut rest = changes.as_slice();
    for (at, frame) in frames.iter().enumerate() {
        let end = upper(&frames, at);
        let count = rest.partition_point(|(key, _)| end.is_none_or(|end| key.as_slice() < end));
        let (here, after) = rest.split_at(count);
        rest = after;
        if here.is_empty() && recut.keep(frame) {
            continue;
        }
        read += 1;
        recut.open(frame);
        let start = if at == 0 { &[][..] } else { frame.separator.as_slice() };
        visit_through(&[verified(old, at)], here, start, end, &mut |key, value| {
            recut.push(key, value)
        })
        .unwrap();
    }
    for (key, change) in rest {
        recut.push(key, change.value().unwrap()).unwrap();
    }
    let (frames, tree) = recut.finish().unwrap();
    assert_eq!(tree, UpperBuilder::tree(SMALL, &frames).unwrap());
    (frames, read)
}

/// All that has to hold for one step from old records to new ones.
fn check_step(old: &Records, new: &Records) {
    let (was, is) = (build(old, SMALL), build(new, SMALL));
    let changes = changes(old, new);
    let (frames, _) = recut(&was, &changes);
    assert_eq!(frames, children(&is));

    let patch = Patch::between(&children(&was), &frames);
    assert_eq!(patch.apply(children(&was)).unwrap(), frames);
    let directory = LayerDirectory {
        operations: changes.len() as u64,
        patch: patch.clone(),
        pages: Vec::new(),
    };
    assert_eq!(LayerDirectory::parse(&directory.encode()).unwrap(), directory);
    assert_eq!(UpperBuilder::tree(SMALL, &frames).unwrap().info, is.tree.info);

    let below = children(&was);
    for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| !below.contains(frame)) {
        let end = upper(&frames, at);
        let meets = |i: &usize| {
            let starts = end.is_none_or(|end| below[*i].separator.as_slice() < end);
            starts && upper(&below, *i).is_none_or(|upper| upper > frame.separator.as_slice())
        };
        let parts: Vec<_> = (0..below.len()).filter(meets).map(|i| verified(&was, i)).collect();
        let plain = compose(&SMALL, &parts, &changes, &frame.separator, end).unwrap();
        let composed = verify_frame(frame, end, plain).unwrap();
        assert_eq!(composed.plain(), is.frames[at].plain);
    }
}

#[test]
fn an_edit_costs_about_a_frame() {
    let old = records(6000, 3);
    let mut new = old.clone();
    let key = old.keys().nth(3000).unwrap();
    new.insert(key.clone(), b"another value".to_vec());
    let (frames, read) = recut(&build(&old, SMALL), &changes(&old, &new));
    assert!(frames.len() > 50 && read <= 4, "{read} of {} frames read", frames.len());
    assert_eq!(frames, children(&build(&new, SMALL)));
}

#[test]
fn the_ends_and_the_empty_tree_are_cut_as_any_other() {
    let some = records(400, 8);
    let first = some.keys().next().unwrap().clone();
    let last = some.keys().next_back().unwrap().clone();
    let without = |key: &Vec<u8>| {
        let mut records = some.clone();
        records.remove(key);
        records
    };
    for (old, new) in [
        (Records::new(), some.clone()),
        (some.clone(), Records::new()),
        (Records::new(), Records::new()),
        (some.clone(), some.clone()),
        (some.clone(), without(&first)),
        (without(&first), some.clone()),
        (some.clone(), without(&last)),
        (without(&last), some.clone()),
    ] {
        check_step(&old, &new);
    }
}

#[test]
fn a_patch_that_reaches_past_the_end_is_refused() {
    let frames = children(&build(&records(400, 8), SMALL));
    let patch = Patch::between(&frames, &[]);
    assert_eq!(patch.apply(frames[1..].to_vec()).unwrap_err().code(), "format/invalid");
    let twice = Patch::between(&[], &frames);
    assert_eq!(twice.apply(frames).unwrap_err().code(), "format/order");
}

fn apply(records: &Records, changes: &Changes) -> Records {
    let mut records = records.clone();
    for (key, change) in changes {
        match change.value() {
            Some(value) => _ = records.insert(key.clone(), value.to_vec()),
            None => _ = records.remove(key),
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cutting_anew_gives_what_a_build_gives(seed: u64, count in 0u64..900, edits in 0u64..40) {
        let mut rng = Rng(seed);
        let old = records(count, seed);
        check_step(&old, &edit(&mut rng, &old, edits));
    }

    #[test]
    fn layers_merge_to_what_they_do_one_after_the_other(seed: u64, count in 0u64..200) {
        let mut rng = Rng(seed);
        let first = records(count, seed);
        let second = edit(&mut rng, &first, 30);
        let third = edit(&mut rng, &second, 30);
        let mut entries = Entries::default();
        entries.lay(changes(&first, &second));
        entries.lay(changes(&second, &third));
        prop_assert_eq!(apply(&first, &entries.list().to_vec()), third.clone());
        // An update back to the first value stays an entry; all else is the plain difference.
        let direct = changes(&first, &third);
        for (key, change) in &direct {
            prop_assert!(entries.list().contains(&(key.clone(), change.clone())));
        }
    }

    #[test]
    fn pages_hold_what_was_pushed(seed: u64, count in 0u64..600) {
        let mut rng = Rng(seed);
        let old = records(count, seed);
        let changes = changes(&old, &edit(&mut rng, &old, 200));
        let mut writer = LayerWriter::new(1024);
        let mut pages = Vec::new();
        for (key, change) in &changes {
            pages.extend(writer.push(key, change));
        }
        prop_assert_eq!(writer.operations(), changes.len() as u64);
        pages.extend(writer.finish());
        let refs: Vec<LayerPageRef> = pages.iter().map(|page| LayerPageRef {
            start: page.start.clone(),
            object: common::reference(&PageBody::Raw(&page.plain).encode()),
            plain_len: page.plain.len() as u64,
        }).collect();
        let directory = LayerDirectory { pages: refs, ..LayerDirectory::default() };
        prop_assert_eq!(&LayerDirectory::parse(&directory.encode()).unwrap(), &directory);
        let start = changes.get(changes.len() / 3).map_or_else(Vec::new, |(key, _)| key.clone());
        let end = changes.get(changes.len() / 2).map(|(key, _)| key.clone());
        let mut entries = Entries::default();
        for at in directory.pages_of(&start, end.as_deref()) {
            let page = LayerPage::parse(pages[at].plain.clone()).unwrap();
            entries.lay_page(&page, &start, end.as_deref());
        }
        let within = |key: &Vec<u8>| *key >= start && end.as_ref().is_none_or(|end| key < end);
        let expected: Changes =
            changes.iter().filter(|(key, _)| within(key)).cloned().collect();
        prop_assert_eq!(entries.list(), expected);
    }
}

#[test]
fn merging_keeps_what_the_tree_below_has() {
    let (one, two) = (b"1".to_vec(), b"2".to_vec());
    let (update, insert) = (Change::Update, Change::Insert);
    for (below, above, both) in [
        (insert(one.clone()), Change::Delete, None),
        (insert(one.clone()), update(two.clone()), Some(insert(two.clone()))),
        (update(one.clone()), Change::Delete, Some(Change::Delete)),
        (update(one), update(two.clone()), Some(update(two.clone()))),
        (Change::Delete, insert(two.clone()), Some(update(two))),
    ] {
        assert_eq!(merge(below, above), both);
    }
}

#[test]
fn a_page_is_canonical_or_refused() {
    let page = |plain: &[u8]| LayerPage::parse(plain.to_vec()).map_err(|error: Error| error.code());
    assert!(page(&[0, 1, b'a', 0, 1, 1, b'b', 2, 1, b'v']).is_ok());
    // A key that shares more than there is, one that comes twice, one out of order, one that
    // shares less than it could.
    assert_eq!(page(&[1, 1, b'a', 0]).unwrap_err(), "format/invalid");
    assert_eq!(page(&[0, 1, b'a', 0, 1, 0, 0]).unwrap_err(), "format/order");
    assert_eq!(page(&[0, 1, b'b', 0, 0, 1, b'a', 0]).unwrap_err(), "format/order");
    assert_eq!(page(&[0, 1, b'a', 0, 0, 2, b'a', b'b', 0]).unwrap_err(), "format/not-canonical");
    assert_eq!(page(&[0, 1, b'a', 3]).unwrap_err(), "format/invalid");
    assert_eq!(page(&[0, 1, b'a', 1, 9]).unwrap_err(), "format/truncated");
}
