//! Change: a client follows by deltas, reads through layers, keeps versions and goes back.

// Tests look for one variant among many.
#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use packice_core::engine::io::{
    Answer, Changes, Command, Event, Input, KeyChange, Road, StoreKey, UnknownReason,
};
use packice_core::format::layer::{
    Change, LayerDirectory, LayerPageRef, LayerPageWriter, PageBody,
};
use packice_core::format::manifest::Overlay;
use packice_core::tree::proof;
use packice_core::types::{ObjectKind, Version};
use packice_tests::change::{
    History, again, changed, check_all, edited, follower, key, rest, roads, specs, synced,
};
use packice_tests::publication::{Spec, numbered_record, path};
use packice_tests::shell::{Shell, Source};

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
fn going_back_in_the_middle_of_a_merge_leaves_it() {
    let mut history = History::of(&specs());
    let mut shell = synced(&history);
    (history.star, history.plain) = (1, true);
    let mut all = vec![specs()];
    for round in 1..=4 {
        all.push(edited(&all[all.len() - 1], round));
        history.publish_change(&all[all.len() - 1]);
        shell = again(&history, shell);
        shell.feed(Input::Command(Command::Keep(3)));
        shell.sync().expect("the next version");
    }
    let store = shell.close();
    let (mut before, mut merged) = (false, false);
    for steps in 0..60 {
        let mut shell = Shell::on_store(&history.publication, Vec::new(), store.clone());
        shell.inputs_first = true;
        shell.feed(Input::Command(Command::Keep(3)));
        let layers = shell.status().collections[1].layers;
        check_all(&mut shell, &all[4]);
        shell.feed(Input::Idle);
        for _ in 0..steps {
            shell.step();
        }
        shell.feed(Input::Command(Command::RollBack(Version(4))));
        shell.settle();
        assert_eq!(shell.rolled_back.pop(), Some((Version(4), Ok(()))), "after {steps} steps");
        check_all(&mut shell, &all[3]);
        shell.feed(Input::Command(Command::RollBack(Version(5))));
        shell.settle();
        check_all(&mut shell, &all[4]);
        // Both cases came: the merge was over, or was left.
        let now = shell.status().collections[1].layers;
        *(if now < layers { &mut merged } else { &mut before }) = true;
    }
    assert!(before && merged, "left: {before}, over: {merged}");
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
