//! A sync from nothing, a reload, a newer version: what is fetched, stored and read.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use packice_core::engine::io::{Answer, Phase, StoreKey};
use packice_core::hash;
use packice_core::types::{ObjectKind, Version};
use packice_tests::publication::{Publication, Spec, numbered_record};
use packice_tests::shell::{Shell, Source};

fn specs() -> Vec<Spec> {
    let mut headers = Spec::numbered("headers", 1, 3000, 1);
    headers.dictionary = true;
    vec![Spec::numbered("config", 0, 10, 2), headers, Spec::numbered("tokens", 2, 2000, 3)]
}

fn check_all_records(shell: &mut Shell, specs: &[Spec]) {
    for spec in specs {
        let read: Vec<_> = shell.range(spec.name);
        let expected: Vec<_> = spec.records.clone().into_iter().collect();
        assert_eq!(read, expected, "collection {}", spec.name);
    }
}

#[test]
fn a_cold_client_ends_with_every_record_and_stores_only_what_it_verified() {
    let specs = specs();
    let publication = Publication::of(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    let report = shell.sync().expect("a sync that ends well");
    assert_eq!(report.version, Version(1));
    assert!(report.changed);
    let order =
        [Phase::Trust, Phase::Bootstrap, Phase::Collections, Phase::Commit, Phase::Complete];
    assert_eq!(shell.phases(), order);
    check_all_records(&mut shell, &specs);
    for (key, row) in &shell.store {
        if let Some(name) = key.name() {
            assert_eq!(hash::wire_name(row), name);
        }
    }
    assert!(shell.faults().is_empty());
}

#[test]
fn objects_are_fetched_once_and_in_the_order_of_priority() {
    let publication = Publication::of(&specs());
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("a sync that ends well");
    let mut paths: Vec<&str> = shell.requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths[0], "bootstrap/stable");
    let total = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), total, "nothing is fetched twice");
}

#[test]
fn a_synced_client_opens_without_a_request() {
    let specs = specs();
    let publication = Publication::of(&specs);
    let mut first = Shell::new(&publication, vec![Source::honest(&publication)]);
    first.sync().expect("a sync that ends well");
    let mut second = Shell::on_store(&publication, vec![], first.close());
    check_all_records(&mut second, &specs);
    assert!(second.requests.is_empty());
    let status = second.status();
    assert!(status.stored && status.collections.iter().all(|c| c.complete));
}

#[test]
fn a_sync_that_finds_nothing_new_asks_for_the_checkpoint_alone() {
    let publication = Publication::of(&specs());
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("a sync that ends well");
    shell.requests.clear();
    let report = shell.sync().expect("a sync that ends well");
    assert!(!report.changed);
    let paths: Vec<&str> = shell.requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths, ["checkpoint"]);
}

#[test]
fn a_closed_tab_resumes_without_fetching_a_stored_bundle_again() {
    let specs = specs();
    let publication = Publication::of(&specs);
    let mut whole = Shell::new(&publication, vec![Source::honest(&publication)]);
    whole.sync().expect("a sync that ends well");
    for steps in (1..400).step_by(13) {
        let mut first = Shell::new(&publication, vec![Source::honest(&publication)]);
        first.feed(packice_core::engine::Input::Command(packice_core::engine::Command::Sync));
        for _ in 0..steps {
            first.step();
        }
        let stored = first.close();
        let bundles: Vec<_> = stored
            .keys()
            .filter_map(|key| match key {
                StoreKey::Object(ObjectKind::Bundle, name) => Some(format!("bundle/{name}")),
                _ => None,
            })
            .collect();
        let mut second = Shell::on_store(&publication, vec![Source::honest(&publication)], stored);
        let report = second.sync().expect("a sync that resumes");
        assert_eq!(report.version, Version(1));
        let again = second.requests.iter().filter(|r| bundles.contains(&r.path)).count();
        assert_eq!(again, 0, "after {steps} steps");
        if report.changed {
            assert_eq!(report.bundles_reused, bundles.len() as u64, "after {steps} steps");
        }
        // What was measured of the sources differs.
        let held = |shell: &Shell| {
            let rows = shell.store.iter().filter(|(key, _)| **key != StoreKey::Sources);
            rows.map(|(key, row)| (*key, row.clone())).collect::<Vec<_>>()
        };
        assert!(held(&second) == held(&whole), "after {steps} steps");
        check_all_records(&mut second, &specs);
    }
}

#[test]
fn a_newer_version_takes_over_in_one_transaction_and_reuses_what_did_not_change() {
    let mut specs = specs();
    let mut publication = Publication::of(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("version 1");
    let bundles_before = shell.requests.iter().filter(|r| r.path.starts_with("bundle/")).count();
    let (key, _) = numbered_record(1500, 1);
    specs[1].records.insert(key.clone(), b"changed".to_vec());
    publication.publish(&specs);
    let mut shell =
        Shell::on_store(&publication, vec![Source::honest(&publication)], shell.close());
    let old = shell.get("headers", &key).expect("an answer");
    assert!(matches!(old, Answer::Present { version: Version(1), .. }));
    let report = shell.sync().expect("version 2");
    assert_eq!((report.version, report.changed), (Version(2), true));
    assert!(report.bundles_reused > 0);
    let bundles = shell.requests.iter().filter(|r| r.path.starts_with("bundle/")).count();
    assert!(bundles <= bundles_before);
    assert_eq!(
        shell.get("headers", &key).expect("an answer"),
        Answer::Present { value: b"changed".to_vec(), version: Version(2) }
    );
    check_all_records(&mut shell, &specs);
    let fresh = {
        let mut fresh = Shell::new(&publication, vec![Source::honest(&publication)]);
        fresh.sync().expect("version 2 from nothing");
        fresh.close()
    };
    assert_eq!(shell.store.keys().collect::<Vec<_>>(), fresh.keys().collect::<Vec<_>>());
}

#[test]
fn the_log_is_followed_over_many_releases() {
    let mut specs = vec![Spec::numbered("tokens", 1, 50, 3)];
    let mut publication = Publication::of(&specs);
    let mut store = Shell::new(&publication, vec![]).close();
    let mut release = 1;
    for next in [2, 3, 7, 8, 20, 300] {
        while release < next {
            release += 1;
            specs[0].records.insert(b"n".to_vec(), release.to_string().into_bytes());
            publication.publish(&specs);
        }
        let mut shell = Shell::on_store(&publication, vec![Source::honest(&publication)], store);
        let report = shell.sync().expect("a log that only grew");
        assert_eq!(report.version, Version(next));
        store = shell.close();
    }
}

#[test]
fn a_dataset_without_inlined_objects_syncs_all_the_same() {
    let specs = specs();
    let mut publication = Publication::default();
    publication.inline = false;
    publication.publish(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.sync().expect("a sync that ends well");
    check_all_records(&mut shell, &specs);
}

#[test]
fn an_empty_collection_is_known_to_be_empty() {
    let specs = vec![Spec::numbered("tokens", 1, 0, 3)];
    let publication = Publication::of(&specs);
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    let absent = Answer::Absent { version: Version(1) };
    assert_eq!(shell.get("tokens", b"any").expect("an answer"), absent);
    shell.sync().expect("a sync that ends well");
    assert_eq!(shell.get("tokens", b"any").expect("an answer"), absent);
    check_all_records(&mut shell, &specs);
}

#[test]
fn what_was_measured_of_a_source_is_known_at_the_next_start() {
    let publication = Publication::of(&specs());
    let sources = || vec![Source::honest(&publication)];
    let mut first = Shell::new(&publication, sources());
    first.sync().expect("a first sync");
    let known = first.status().sources.remove(0);
    assert!(known.latency_ms.is_some());
    let mut store = first.close();
    let mut second = Shell::on_store(&publication, sources(), store.clone());
    let again = second.status().sources.remove(0);
    assert_eq!((again.requests, again.latency_ms), (0, known.latency_ms));
    // Nothing depends on the row.
    store.insert(StoreKey::Sources, b"PKQ1 of another release".to_vec());
    let mut third = Shell::on_store(&publication, sources(), store);
    assert_eq!(third.status().sources.remove(0).latency_ms, None);
    assert!(!third.sync().expect("nothing newer").changed);
}
