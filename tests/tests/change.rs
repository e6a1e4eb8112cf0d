//! Change: a client follows by deltas, reads through layers, keeps versions and goes back; against
//! plain maps, through crashes at any step.

use std::collections::BTreeMap;

use packice_core::engine::io::{
    Answer, Changes, Command, Event, Input, KeyChange, KeyRange, RangeQuery, Road, StoreKey,
    UnknownReason,
};
use packice_core::format::layer::{
    Change, LayerDirectory, LayerPageRef, LayerPageWriter, PageBody,
};
use packice_core::format::manifest::Overlay;
use packice_core::hash;
use packice_core::tree::proof;
use packice_core::types::{ObjectKind, Version};
use packice_tests::change::History;
use packice_tests::publication::{Records, Spec, numbered_record, path};
use packice_tests::shell::{Shell, Source};
use proptest::prelude::*;

fn specs() -> Vec<Spec> {
    vec![
        Spec::numbered("config", 0, 12, 1),
        Spec { dictionary: true, ..Spec::numbered("headers", 2, 1800, 2) },
        Spec::numbered("tokens", 1, 200, 3),
    ]
}

fn follower(history: &History, store: BTreeMap<StoreKey, Vec<u8>>) -> Shell {
    let source = Source::honest(&history.publication);
    Shell::on_store(&history.publication, vec![source], store)
}

fn synced(history: &History) -> Shell {
    let mut shell = follower(history, BTreeMap::new());
    shell.sync().expect("a sync");
    shell
}

/// The same client, when something new is served.
fn again(history: &History, shell: Shell) -> Shell {
    follower(history, shell.close())
}

fn check_all(shell: &mut Shell, specs: &[Spec]) {
    for spec in specs {
        let expected: Vec<_> = spec.records.clone().into_iter().collect();
        assert_eq!(shell.range(spec.name), expected, "collection {}", spec.name);
    }
}

fn roads(shell: &Shell) -> Vec<(String, Road)> {
    let road = |event: &Event| match event {
        Event::Road { collection, road } => Some((collection.clone(), *road)),
        _ => None,
    };
    shell.events.iter().filter_map(road).collect()
}

fn changed(shell: &Shell) -> Vec<Changes> {
    let changes = |event: &Event| match event {
        Event::Changed(changes) => Some(changes.clone()),
        _ => None,
    };
    shell.events.iter().filter_map(changes).collect()
}

fn key(i: u64) -> Vec<u8> {
    numbered_record(i, 0).0
}

/// An update, a deletion and an insertion in `headers`.
fn edited(specs: &[Spec], round: u64) -> Vec<Spec> {
    let mut specs = specs.to_vec();
    let records = &mut specs[1].records;
    records.insert(key(1500 + round), format!("changed in {round}").into_bytes());
    records.remove(&key(40 * round + 7));
    records.insert(format!("key/{:08}x", 2000 + round).into_bytes(), b"new".to_vec());
    specs
}

/// Gives idle time until none is used.
fn rest(shell: &mut Shell) {
    for _ in 0..400 {
        let before = shell.loaded.len() + usize::try_from(shell.transactions).unwrap();
        shell.feed(Input::Idle);
        shell.settle();
        if shell.loaded.len() + usize::try_from(shell.transactions).unwrap() == before {
            return;
        }
    }
    panic!("idle time is used without end");
}

#[test]
fn a_following_client_takes_the_delta_and_tells_what_changed() {
    let mut history = History::of(&specs());
    let shell = synced(&history);
    let new = edited(&specs(), 1);
    history.publish_change(&new);
    let mut shell = again(&history, shell);
    let report = shell.sync().expect("version 2");
    assert_eq!((report.version, report.changed), (Version(2), true));
    let keep = |name: &str| (name.to_owned(), Road::Keep);
    let delta = ("headers".to_owned(), Road::Delta(0));
    assert_eq!(roads(&shell), [keep("config"), delta, keep("tokens")]);
    let paths: Vec<&str> = shell.requests.iter().map(|r| r.path.as_str()).collect();
    assert!(!paths.iter().any(|path| path.starts_with("bundle") || path.starts_with("layer")));
    assert!(paths.iter().any(|path| path.starts_with("delta/")), "{paths:?}");
    let changes = changed(&shell);
    assert_eq!(changes.len(), 1);
    let Changes { collection, from, to, keys, complete, .. } = &changes[0];
    assert_eq!((collection.as_str(), *from, *to), ("headers", Version(1), Version(2)));
    assert!(*complete);
    let new_key = b"key/00002001x".to_vec();
    assert_eq!(
        *keys,
        [
            (key(47), KeyChange::Removed),
            (key(1501), KeyChange::Updated),
            (new_key, KeyChange::Added),
        ]
    );
    check_all(&mut shell, &new);
    assert_eq!(shell.status().deltas.operations, 3);
    // What was made here is as good after a restart, without any source.
    let mut shell = Shell::on_store(&history.publication, Vec::new(), shell.close());
    check_all(&mut shell, &new);
    assert!(shell.requests.is_empty());
}

#[test]
fn a_proof_through_layers_leads_to_the_signed_root() {
    let mut history = History::of(&specs());
    let shell = synced(&history);
    history.publish_change(&edited(&specs(), 1));
    let mut shell = again(&history, shell);
    shell.sync().expect("version 2");
    let manifest = history.publication.manifest.clone().expect("a manifest");
    let tree = manifest.collection("headers").expect("the collection").tree;
    for (key, value) in [
        (key(1501), Some(b"changed in 1".to_vec())),
        (key(47), None),
        (key(1700), Some(numbered_record(1700, 2).1)),
    ] {
        let answer = shell.prove("headers", &key).expect("a proof");
        let Answer::Proof { proof, root, value: told, .. } = answer else { panic!("{answer:?}") };
        assert_eq!((root, &told), (tree.root, &value));
        assert_eq!(proof::verify(&tree, &key, &proof).expect("a proof that holds"), value);
    }
}

#[test]
fn a_cold_client_takes_the_base_and_the_overlay() {
    let mut history = History::of(&specs());
    let mut new = specs();
    for round in 1..4 {
        new = edited(&new, round);
        history.publish_change(&new);
    }
    let mut shell = synced(&history);
    assert!(roads(&shell).iter().all(|(_, road)| *road == Road::Base));
    assert!(!shell.requests.iter().any(|request| request.path.starts_with("delta/")));
    check_all(&mut shell, &new);
    // It follows from there as any other.
    new = edited(&new, 4);
    history.publish_change(&new);
    let mut shell = again(&history, shell);
    shell.sync().expect("version 5");
    assert_eq!(roads(&shell)[1].1, Road::Delta(3));
    check_all(&mut shell, &new);
}

#[test]
fn a_lazy_read_looks_through_the_overlay_and_fetches_little() {
    let mut history = History::of(&specs());
    let new = edited(&specs(), 1);
    history.publish_change(&new);
    let mut shell = follower(&history, BTreeMap::new());
    let answer = shell.get("headers", &key(1501)).expect("an answer");
    assert_eq!(answer, Answer::Present { value: b"changed in 1".to_vec(), version: Version(2) });
    assert_eq!(
        shell.get("headers", &key(47)).expect("an answer"),
        Answer::Absent { version: Version(2) }
    );
    assert!(shell.requests.iter().all(|r| !r.path.starts_with("bundle") || r.range.is_some()));
}

#[test]
fn a_delta_that_does_not_lead_to_the_root_is_refused_and_the_base_taken() {
    for lie in 0..3 {
        let mut history = History::of(&specs());
        let shell = synced(&history);
        let (new, other) = (edited(&specs(), 1), edited(&specs(), 2));
        history.publish_change(&other);
        let wrong = history.publication.manifest.clone().expect("a manifest");
        history.publish_change(&new);
        let mut manifest = history.publication.manifest.clone().expect("a manifest");
        let of = |m: &packice_core::format::manifest::Manifest| m.collections[1].deltas.clone();
        let (mut right, wrong) = (of(&manifest), of(&wrong));
        match lie {
            // Another version's delta; segments that count other records; none at all.
            0 => right[0].segments = wrong[0].segments.clone(),
            1 => {
                history.segment_target = 10;
                let mut specs = specs();
                specs[1].records.remove(&key(0));
                let mut shorter = History::of(&specs);
                shorter.publish_change(&edited(&specs, 1));
                let shorter = shorter.publication;
                let deltas = of(shorter.manifest.as_ref().expect("a manifest"));
                right[0].segments = deltas[0].segments.clone();
                history.publication.files.extend(
                    shorter.files.into_iter().filter(|(path, _)| path.starts_with("delta/")),
                );
            }
            _ => right[0].segments.clear(),
        }
        manifest.collections[1].deltas = right;
        manifest.version = Version(4);
        history.publication.release(manifest, Vec::new());
        let mut shell = again(&history, shell);
        let report = shell.sync().expect("version 4 by its base");
        assert_eq!(report.version, Version(4));
        let refused = shell.events.iter().find_map(|event| match event {
            Event::DeltaRefused { collection, from, code, .. } => {
                Some((collection.as_str(), *from, *code))
            }
            _ => None,
        });
        let code = if lie == 1 { "delta/gap" } else { "delta/wrong-root" };
        let refused = refused.expect("a refusal");
        assert_eq!((refused.0, refused.1), ("headers", Version(1)));
        assert!(refused.2 == code || lie == 1, "{refused:?}");
        check_all(&mut shell, &new);
    }
}

#[test]
fn a_delta_that_no_source_has_is_no_reason_to_fail() {
    let mut history = History::of(&specs());
    let shell = synced(&history);
    let new = edited(&specs(), 1);
    history.publish_change(&new);
    history.publication.files.retain(|path, _| !path.starts_with("delta/"));
    let mut shell = again(&history, shell);
    assert_eq!(shell.sync().expect("version 2").version, Version(2));
    check_all(&mut shell, &new);
}

#[test]
fn a_lost_or_damaged_layer_comes_back_by_the_base() {
    for kind in [ObjectKind::Layer, ObjectKind::LayerPage] {
        for damage in [false, true] {
            let mut history = History::of(&specs());
            let mut shell = synced(&history);
            let mut new = specs();
            // One layer alone would be the published one, byte for byte.
            for round in 1..=2 {
                new = edited(&new, round);
                history.publish_change(&new);
                shell = again(&history, shell);
                shell.sync().expect("the next version");
            }
            let mut store = shell.close();
            let of = |key: &&StoreKey| matches!(key, StoreKey::Object(k, _) if *k == kind);
            let row = *store.keys().find(of).expect("a row of the layer");
            match damage {
                true => store.get_mut(&row).expect("the row")[9] ^= 1,
                false => _ = store.remove(&row),
            }
            let mut shell = follower(&history, store);
            let answer = shell.get("headers", &key(1501)).expect("an answer");
            assert_eq!(answer, Answer::Unknown(UnknownReason::NotSynced), "{kind:?}");
            shell.sync().expect("a sync that brings it back");
            check_all(&mut shell, &new);
        }
    }
}

/// A publisher who signs a root, and an overlay of right frames over pages of wrong entries.
#[test]
fn an_overlay_that_belies_the_root_is_found_by_the_audit_and_by_reads() {
    let mut history = History::of(&specs());
    let new = edited(&specs(), 1);
    history.publish_change(&new);
    let publication = &mut history.publication;
    let mut manifest = publication.manifest.clone().expect("a manifest");
    let overlay = manifest.collections[1].overlay.expect("an overlay");
    let directory = &publication.files[&path(ObjectKind::Layer, &overlay.directory.name)];
    let mut directory = LayerDirectory::parse(directory).expect("a directory");
    let mut lie = LayerPageWriter::default();
    lie.push(&key(1501), &Change::Update(b"a lie".to_vec()));
    let (start, plain) = lie.finish();
    let object = publication.put(ObjectKind::LayerPage, PageBody::Raw(&plain).encode());
    let plain_len = plain.len() as u64;
    directory.pages = vec![LayerPageRef { start, object, plain_len }];
    let object = publication.put(ObjectKind::Layer, directory.encode());
    manifest.collections[1].overlay = Some(Overlay { directory: object, ..overlay });
    manifest.version = Version(3);
    publication.release(manifest, Vec::new());
    let mut shell = synced(&history);
    let status = shell.status();
    assert!(status.stored && !status.audit.audited);
    rest(&mut shell);
    let status = shell.status().audit;
    assert!(!status.audited);
    assert!(status.mismatches.iter().all(|found| found.object.starts_with("layer-page/")));
    assert!(!status.mismatches.is_empty());
    assert_eq!(status.bundles_done, status.bundles_total);
    let mut shell = Shell::on_store(&history.publication, Vec::new(), shell.close());
    let answer = shell.get("headers", &key(1501));
    assert_eq!(answer.expect_err("no answer").code(), "trust/layout-mismatch");
}

#[test]
fn layers_are_merged_in_idle_time_and_stay_few() {
    let mut history = History::of(&specs());
    let mut shell = synced(&history);
    let mut new = specs();
    (history.star, history.plain) = (1, true);
    for round in 1..=21 {
        new = edited(&new, round);
        history.publish_change(&new);
        shell = again(&history, shell);
        shell.sync().expect("the next version");
        assert_eq!(roads(&shell)[1].1, Road::Delta(0));
        rest(&mut shell);
        let layers = shell.status().collections[1].layers;
        assert!(layers <= 8, "{layers} layers after {round} versions");
        if round % 5 == 0 {
            check_all(&mut shell, &new);
        }
    }
    // No row is left that nobody needs.
    let layers = |key: &&StoreKey| matches!(key, StoreKey::Object(ObjectKind::Layer, _));
    let held = shell.status().collections[1].layers;
    assert_eq!(shell.store.keys().filter(layers).count() as u64, held);
    assert!(shell.status().audit.audited);
    check_all(&mut shell, &new);
}

#[test]
fn a_pinned_version_stays_readable_while_newer_ones_serve() {
    let mut history = History::of(&specs());
    let mut shell = synced(&history);
    shell.feed(Input::Command(Command::Pin(Version(1))));
    shell.settle();
    let old = specs();
    let mut new = old.clone();
    for round in 1..=3 {
        new = edited(&new, round);
        if round == 2 {
            history.publish_base(&new)
        } else {
            history.publish_change(&new)
        }
        shell.sources = vec![Source::honest(&history.publication)];
        shell.sync().expect("the next version");
    }
    let read = |version| {
        let key = key(1501);
        move |read| Command::Get { read, collection: "headers".into(), key, version }
    };
    let pinned = shell.begin(read(Some(Version(1))));
    let gone = shell.begin(read(Some(Version(2))));
    let newest = shell.begin(read(None));
    shell.settle();
    let value = numbered_record(1501, 2).1;
    assert_eq!(
        shell.answer(pinned).expect("an answer"),
        Ok(Answer::Present { value, version: Version(1) })
    );
    let gone = shell.answer(gone).expect("an answer").expect_err("version 2 was not pinned");
    assert_eq!(gone.code(), "read/version-gone");
    let value = b"changed in 1".to_vec();
    assert_eq!(
        shell.answer(newest).expect("an answer"),
        Ok(Answer::Present { value, version: Version(4) })
    );
    shell.feed(Input::Command(Command::Unpin(Version(1))));
    shell.settle();
    assert!(shell.status().kept.is_empty());
    check_all(&mut shell, &new);
    let fresh = synced(&history);
    let bundles = |store: &BTreeMap<StoreKey, Vec<u8>>| {
        store.keys().filter(|key| matches!(key, StoreKey::Object(ObjectKind::Bundle, _))).count()
    };
    assert_eq!(bundles(&shell.store), bundles(&fresh.store));
}

#[test]
fn a_client_goes_back_to_a_kept_version_and_forward_again() {
    let mut history = History::of(&specs());
    let mut shell = synced(&history);
    shell.feed(Input::Command(Command::Keep(2)));
    let mut new = specs();
    for round in 1..=2 {
        new = edited(&new, round);
        history.publish_change(&new);
        shell.sources = vec![Source::honest(&history.publication)];
        shell.sync().expect("the next version");
    }
    assert_eq!(shell.status().kept, [Version(2), Version(1)]);
    shell.feed(Input::Command(Command::RollBack(Version(1))));
    shell.settle();
    assert_eq!(shell.rolled_back.pop(), Some((Version(1), Ok(()))));
    check_all(&mut shell, &specs());
    // It holds over a restart, and a sync stays: nothing is newer than what was seen.
    let mut shell = again(&history, shell);
    shell.feed(Input::Command(Command::Keep(2)));
    check_all(&mut shell, &specs());
    let report = shell.sync().expect("nothing newer");
    assert_eq!((report.version, report.changed), (Version(1), false));
    assert_eq!(shell.status().kept, [Version(3), Version(2)]);
    shell.feed(Input::Command(Command::RollBack(Version(3))));
    shell.feed(Input::Command(Command::RollBack(Version(9))));
    shell.settle();
    let mut ends = core::mem::take(&mut shell.rolled_back);
    ends.sort_by_key(|(version, _)| *version);
    let codes: Vec<_> =
        ends.iter().map(|(v, end)| (v.0, end.as_ref().err().map(|e| e.code()))).collect();
    assert_eq!(codes, [(3, None), (9, Some("read/version-gone"))]);
    check_all(&mut shell, &new);
    // From an old version the next one is reached too.
    shell.feed(Input::Command(Command::RollBack(Version(2))));
    shell.settle();
    new = edited(&new, 3);
    history.publish_change(&new);
    let mut shell = again(&history, shell);
    assert_eq!(shell.sync().expect("version 4").version, Version(4));
    check_all(&mut shell, &new);
}

#[test]
fn a_roll_back_of_the_publisher_is_a_small_delta() {
    let mut history = History::of(&specs());
    let shell = synced(&history);
    history.publish_change(&edited(&specs(), 1));
    let mut shell = again(&history, shell);
    shell.sync().expect("version 2");
    history.publish_change(&specs());
    let mut shell = again(&history, shell);
    let report = shell.sync().expect("version 3, of version 1's roots");
    assert_eq!(report.version, Version(3));
    assert!(matches!(roads(&shell)[1].1, Road::Delta(_) | Road::Base));
    check_all(&mut shell, &specs());
    let report = synced(&history).sync().expect("nothing newer");
    assert_eq!(report.version, Version(3));
}

#[test]
fn an_empty_collection_fills_and_empties_by_deltas() {
    let undicted = |mut specs: Vec<Spec>| {
        specs[1].dictionary = false;
        specs
    };
    let mut all = undicted(specs());
    all[1].records.clear();
    let mut history = History::of(&all);
    history.plain = true;
    let shell = synced(&history);
    let mut full = undicted(specs());
    full[1].records = full[1].records.clone().into_iter().take(300).collect();
    history.publish_change(&full);
    let mut shell = again(&history, shell);
    shell.sync().expect("version 2");
    check_all(&mut shell, &full);
    history.publish_change(&all);
    let mut shell = again(&history, shell);
    shell.sync().expect("version 3");
    check_all(&mut shell, &all);
}

fn subscribe(from: u64, to: u64) -> Input {
    let range = KeyRange { start: key(from), end: Some(key(to)) };
    Input::Command(Command::Subscribe(vec![("headers".into(), vec![range])]))
}

fn part(shell: &mut Shell, from: u64, to: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Answer> {
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

fn expected(specs: &[Spec], from: u64, to: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
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

/// At every step of an update the client is killed: it is on the old or on the new version, whole,
/// and the next run ends on the new one.
#[test]
fn a_crash_at_any_step_of_a_delta_leaves_the_old_version_or_the_new_one() {
    let mut history = History::of(&specs());
    history.segment_target = 20;
    let before = synced(&history).close();
    let new = edited(&specs(), 1);
    history.publish_change(&new);
    let sync = Input::Command(Command::Sync);
    let steps = {
        let mut shell = follower(&history, before.clone());
        shell.piece = 40;
        shell.feed(sync.clone());
        let mut steps = 0;
        while shell.step() {
            steps += 1;
        }
        steps
    };
    assert!(steps > 20, "{steps} steps");
    for stop in 0..steps {
        let mut shell = follower(&history, before.clone());
        shell.piece = 40;
        shell.feed(sync.clone());
        for _ in 0..stop {
            shell.step();
        }
        let store = shell.close();
        let mut offline = Shell::on_store(&history.publication, Vec::new(), store.clone());
        let version = offline.status().version.expect("a version");
        let expected = if version == Version(1) { specs() } else { new.clone() };
        check_all(&mut offline, &expected);
        let mut shell = follower(&history, store);
        assert_eq!(shell.sync().expect("version 2").version, Version(2), "after {stop} steps");
        check_all(&mut shell, &new);
    }
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
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_on_the_newest_version(
        acts in prop::collection::vec(act(), 1..24),
        seed in 0u64..1000,
        small_segments: bool,
    ) {
        let first = vec![Spec::numbered("config", 0, 5, seed), Spec::numbered("tokens", 1, 250, seed)];
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
