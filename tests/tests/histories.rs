//! Histories of changes: partial replicas, and whatever a client does on the way, against plain
//! maps.

// Tests look for one variant among many.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use packice_core::engine::io::{
    Answer, Command, Input, KeyRange, RangeQuery, StoreKey, UnknownReason,
};
use packice_core::hash;
use packice_core::tree::proof;
use packice_core::types::Version;
use packice_tests::change::{History, again, check_all, follower, key, rest, specs, synced};
use packice_tests::publication::{Records, Spec};
use packice_tests::shell::{Shell, Source};
use proptest::prelude::*;

fn subscribe(from: u64, to: u64) -> Input {
    let range = KeyRange { start: key(from), end: Some(key(to)) };
    Input::Command(Command::Subscribe(vec![("headers".into(), vec![range])]))
}

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn part(shell: &mut Shell, from: u64, to: u64) -> Result<List, Answer> {
    let (mut start, mut all) = (key(from), Vec::new());
    loop {
        let collection = "headers".into();
        let range = RangeQuery { collection, start, end: Some(key(to)), limit: 50, at: None };
        match shell.page(range).expect("a page") {
            Answer::Records { records, next, .. } => {
                all.extend(records.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
                let Some(next) = next else { return Ok(all) };
                start = next;
            }
            other => return Err(other),
        }
    }
}

fn expected(specs: &[Spec], from: u64, to: u64) -> List {
    specs[1].records.range(key(from)..key(to)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[test]
fn a_partial_replica_holds_its_ranges_and_follows_them() {
    let mut all = specs();
    all[1] = Spec { lazy: false, ..Spec::numbered("headers", 2, 9000, 2) };
    // Of several bundles: what does not compress.
    for (i, value) in (0u64..).zip(all[1].records.values_mut()) {
        *value =
            (0..14u64).flat_map(|part| hash::identity(&(i * 99 + part).to_le_bytes()).0).collect();
    }
    let mut history = History::of(&all);
    let mut shell = follower(&history, BTreeMap::new());
    shell.feed(subscribe(1000, 2000));
    shell.sync().expect("a sync of a part");
    assert_eq!(part(&mut shell, 1000, 2000), Ok(expected(&all, 1000, 2000)));
    let outside = part(&mut shell, 7000, 7100).expect_err("what is not held is not known");
    assert_eq!(outside, Answer::Unknown(UnknownReason::NotSynced));
    let whole: u64 = synced(&history).requests.iter().map(|request| request.bytes).sum();
    let fetched: u64 = shell.requests.iter().map(|request| request.bytes).sum();
    assert!(fetched * 2 < whole, "{fetched} of {whole} bytes");
    rest(&mut shell);
    assert!(shell.status().audit.audited, "{:?}", shell.status().audit);
    history.plain = true;
    // Changes all over: what concerns the part is fetched, and it stays right to the record.
    let mut new = all.clone();
    for round in 1..=6 {
        let records = &mut new[1].records;
        for i in (round..9000).step_by(400) {
            records.insert(key(i), format!("changed in {round}").into_bytes());
            records.remove(&key(i + 3));
            records.insert([key(i + 9), vec![b'x']].concat(), b"new".to_vec());
        }
        if round == 4 {
            history.publish_base(&new)
        } else {
            history.publish_change(&new)
        }
        shell = again(&history, shell);
        shell.feed(subscribe(1000, 2000));
        shell.sync().expect("the next version");
        assert_eq!(part(&mut shell, 1000, 2000), Ok(expected(&new, 1000, 2000)), "round {round}");
        rest(&mut shell);
        assert!(shell.status().audit.audited, "round {round}: {:?}", shell.status().audit);
        let answer = shell.prove("headers", &key(1500)).expect("a proof");
        let Answer::Proof { proof, .. } = answer else { panic!("{answer:?}") };
        let manifest = history.publication.manifest.as_ref().expect("a manifest");
        let tree = manifest.collection("headers").expect("the collection").tree;
        let value = new[1].records.get(&key(1500)).cloned();
        assert_eq!(proof::verify(&tree, &key(1500), &proof).expect("it holds"), value);
    }
    // More is subscribed: the next sync brings it; all of it: it is a replica as any other.
    shell.feed(subscribe(500, 4000));
    shell.sync().expect("what is lacking");
    assert_eq!(part(&mut shell, 500, 4000), Ok(expected(&new, 500, 4000)));
    shell.feed(Input::Command(Command::Subscribe(Vec::new())));
    shell.feed(subscribe(0, 99_999_999));
    shell.sync().expect("the rest");
    check_all(&mut shell, &new);
    // Less: what is left over goes.
    let before = shell.store.len();
    shell.feed(subscribe(1000, 1200));
    shell.settle();
    assert!(shell.store.len() < before);
    assert_eq!(part(&mut shell, 1000, 1200), Ok(expected(&new, 1000, 1200)));
}

/// What a history does next.
#[derive(Clone, Debug)]
enum Act {
    Change(Vec<(u16, u8)>),
    Base,
    Sync,
    Kill(u16),
    Rest,
    Pin,
    Unpin,
    RollBack(u8),
    LoseRow(u16),
    /// A part of the keys, or all of them.
    Subscribe(Option<(u8, u8)>),
}

fn act() -> impl Strategy<Value = Act> {
    let edits = prop::collection::vec((any::<u16>(), any::<u8>()), 0..25);
    prop_oneof![
        4 => edits.prop_map(Act::Change),
        1 => Just(Act::Base),
        5 => Just(Act::Sync),
        2 => any::<u16>().prop_map(Act::Kill),
        3 => Just(Act::Rest),
        1 => Just(Act::Pin),
        1 => Just(Act::Unpin),
        1 => any::<u8>().prop_map(Act::RollBack),
        1 => any::<u16>().prop_map(Act::LoseRow),
        1 => any::<Option<(u8, u8)>>().prop_map(Act::Subscribe),
    ]
}

fn edit(records: &mut Records, edits: &[(u16, u8)]) {
    for (at, what) in edits {
        let key = key(u64::from(*at) % 1200);
        match what % 4 {
            0 => _ = records.remove(&key),
            1 => _ = records.insert([key.as_slice(), &[*what]].concat(), vec![*what; 70]),
            _ => {
                _ = records.insert(
                    key,
                    format!("value {what}").repeat(1 + usize::from(*what) / 9).into_bytes(),
                )
            }
        }
    }
}

/// Whatever serves reads is, record for record, the version that it says it is.
fn check_version(shell: &mut Shell, history: &History) {
    let Some(version) = shell.status().version else { return };
    let at = usize::try_from(version.0).expect("a small number") - 1;
    let expected = history.versions[at].clone();
    for spec in &expected {
        match shell.try_range(spec.name) {
            Ok(records) => {
                let expected: Vec<_> = spec.records.clone().into_iter().collect();
                assert_eq!(records, expected, "{} of {version}", spec.name);
            }
            // Rows were taken out: nothing is known then, and nothing wrong is said.
            Err(Answer::Unknown(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_ends_on_the_newest_version(
        acts in prop::collection::vec(act(), 1..24),
        seed in 0u64..1000,
        small_segments: bool,
    ) {
        let first = [("config", 0, 5), ("tokens", 1, 250)];
        let first: Vec<Spec> = first
            .into_iter()
            .map(|(name, priority, count)| Spec::numbered(name, priority, count, seed))
            .collect();
        let mut history = History::of(&first);
        (history.star, history.plain) = (2, true);
        history.segment_target = if small_segments { 400 } else { 1 << 20 };
        let mut shell = synced(&history);
        shell.feed(Input::Command(Command::Keep(1)));
        shell.settle();
        let mut pinned: Option<Version> = None;
        for act in &acts {
            match act {
                Act::Change(edits) => {
                    let mut specs = history.newest().to_vec();
                    edit(&mut specs[1].records, edits);
                    history.publish_change(&specs);
                    shell.sources = vec![Source::honest(&history.publication)];
                }
                Act::Base => {
                    let specs = history.newest().to_vec();
                    history.publish_base(&specs);
                    shell.sources = vec![Source::honest(&history.publication)];
                }
                Act::Sync => {
                    let report = shell.sync().expect("a sync");
                    prop_assert!(report.version.0 >= 1);
                }
                Act::Kill(steps) => {
                    shell.feed(Input::Command(Command::Sync));
                    for _ in 0..(steps % 200) {
                        shell.step();
                    }
                    shell = again(&history, shell);
                    shell.feed(Input::Command(Command::Keep(1)));
                    shell.settle();
                    pinned = None;
                }
                Act::Rest => rest(&mut shell),
                Act::Pin => {
                    if let (None, Some(version)) = (pinned, shell.status().version) {
                        shell.feed(Input::Command(Command::Pin(version)));
                        shell.settle();
                        pinned = Some(version);
                    }
                }
                Act::Unpin => {
                    if let Some(version) = pinned.take() {
                        shell.feed(Input::Command(Command::Unpin(version)));
                        shell.settle();
                    }
                }
                Act::RollBack(at) => {
                    let kept = shell.status().kept;
                    if let Some(version) = kept.get(usize::from(*at) % kept.len().max(1)) {
                        shell.feed(Input::Command(Command::RollBack(*version)));
                        shell.settle();
                        prop_assert_eq!(shell.rolled_back.pop(), Some((*version, Ok(()))));
                    }
                }
                Act::Subscribe(part) => {
                    let range = |(from, more): &(u8, u8)| {
                        let from = u64::from(*from);
                        KeyRange { start: key(from), end: Some(key(from + u64::from(*more))) }
                    };
                    let part = part.as_ref().map(|part| ("tokens".into(), vec![range(part)]));
                    shell.feed(Input::Command(Command::Subscribe(part.into_iter().collect())));
                    shell.settle();
                }
                Act::LoseRow(at) => {
                    let mut store = shell.close();
                    let keys: Vec<StoreKey> =
                        store.keys().filter(|key| key.name().is_some()).copied().collect();
                    store.remove(&keys[usize::from(*at) % keys.len()]);
                    shell = follower(&history, store);
                    shell.feed(Input::Command(Command::Keep(1)));
                    shell.settle();
                    pinned = None;
                }
            }
            check_version(&mut shell, &history);
        }
        shell.feed(Input::Command(Command::Subscribe(Vec::new())));
        shell.settle();
        // A new release is what leads on from wherever it went back to.
        let mut specs = history.newest().to_vec();
        edit(&mut specs[1].records, &[(3, 2), (9, 0)]);
        history.publish_change(&specs);
        let mut shell = again(&history, shell);
        // A row that was found missing while reading comes back with the sync after.
        shell.sync().expect("the newest version");
        check_version(&mut shell, &history);
        let report = shell.sync().expect("the newest version");
        prop_assert_eq!(report.version.0, history.versions.len() as u64);
        check_all(&mut shell, history.newest());
    }
}
