//! Sources that lie, fail or lag: each kind of object, each way to alter it.

use std::cell::Cell;
use std::rc::Rc;

use packice_core::engine::Event;
use packice_core::engine::io::{
    Answer, FetchFailure, SourceState, StoreFailure, StoreKey, UnknownReason,
};
use packice_core::types::Version;
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Rule, Shell, Source};

/// What a hostile source does to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    Flip,
    Truncate,
    Swap,
    Extend,
    Replace,
}

const ATTACKS: [Attack; 5] =
    [Attack::Flip, Attack::Truncate, Attack::Swap, Attack::Extend, Attack::Replace];
const KINDS: [&str; 6] =
    ["bootstrap/", "manifest/", "layout/", "dictionary/", "bundle/", "log/tile/"];

fn specs(seed: u64) -> Vec<Spec> {
    let mut headers = Spec::numbered("headers", 1, 1500, 10 * seed + 1);
    headers.dictionary = true;
    let config = Spec::numbered("config", 0, 10, 10 * seed);
    vec![config, headers, Spec::numbered("tokens", 2, 1000, 10 * seed + 2)]
}

/// Two releases, so that there is something of each kind to swap with; nothing inlined, so that
/// every kind is asked for.
fn publication() -> Publication {
    let mut publication = Publication::default();
    publication.inline = false;
    publication.publish(&specs(1));
    publication.publish(&specs(2));
    publication
}

fn attack(publication: &Publication, kind: &'static str, attack: Attack) -> Rule {
    let files = publication.files.clone();
    Box::new(move |path, mut body| {
        if !path.starts_with(kind) {
            return Ok(body);
        }
        match attack {
            Attack::Flip => {
                let at = body.len() / 2;
                body[at] ^= 1;
            }
            Attack::Truncate => body.truncate(body.len() - 1),
            Attack::Extend => body.push(0),
            Attack::Replace => body = b"<!doctype html><title>504</title>".to_vec(),
            Attack::Swap => {
                let other = files.iter().find(|(other, bytes)| {
                    other.starts_with(kind) && *other != path && **bytes != body
                });
                body = match other {
                    Some((_, bytes)) => bytes.clone(),
                    // There is one bootstrap: one that is signed by somebody else.
                    None => foreign().files[path].clone(),
                };
            }
        }
        Ok(body)
    })
}

/// A well-formed publication of the same names that another key signed.
fn foreign() -> Publication {
    let mut foreign = Publication::signed_by([9; 32]);
    foreign.publish(&specs(3));
    foreign
}

/// A store that holds version 1, so that the log's tiles are asked for as well.
fn store_of_version_one(
    publication: &Publication,
) -> std::collections::BTreeMap<packice_core::engine::io::StoreKey, Vec<u8>> {
    let mut old = Publication::default();
    old.publish(&specs(1));
    assert_eq!(old.trust, publication.trust);
    let mut shell = Shell::new(&old, vec![Source::honest(&old)]);
    shell.sync().expect("version 1");
    shell.close()
}

/// Releases until the newest is so far away that its proof needs tiles.
fn grown() -> Publication {
    let mut publication = publication();
    for _ in 0..4 {
        publication.publish(&specs(2));
    }
    publication
}

fn only_verified_rows(shell: &Shell) {
    for (key, row) in &shell.store {
        if let Some(name) = key.name() {
            assert_eq!(packice_core::hash::wire_name(row), name);
        }
    }
}

#[test]
fn with_an_honest_source_beside_it_a_liar_is_named_and_the_sync_completes() {
    let publication = grown();
    for kind in KINDS {
        for how in ATTACKS {
            let rule = attack(&publication, kind, how);
            let sources = vec![Source::with_rule(&publication, rule), Source::honest(&publication)];
            let store = store_of_version_one(&publication);
            let mut shell = Shell::on_store(&publication, sources, store);
            let report = shell.sync().unwrap_or_else(|error| panic!("{kind} {how:?}: {error:?}"));
            assert_eq!(report.version, Version(6), "{kind} {how:?}");
            let faults = shell.faults();
            assert!(!faults.is_empty(), "{kind} {how:?} goes unnoticed");
            assert!(
                faults.iter().all(|(source, _)| source == "source-0"),
                "{kind} {how:?} is blamed on {faults:?}"
            );
            only_verified_rows(&shell);
            for spec in specs(2) {
                let expected: Vec<_> = spec.records.into_iter().collect();
                assert_eq!(shell.range(spec.name), expected, "{kind} {how:?}");
            }
        }
    }
}

#[test]
fn alone_a_liar_ends_the_sync_with_its_fault_and_the_old_version_still_answers() {
    let publication = grown();
    for kind in KINDS {
        for how in ATTACKS {
            let rule = attack(&publication, kind, how);
            let store = store_of_version_one(&publication);
            let sources = vec![Source::with_rule(&publication, rule)];
            let mut shell = Shell::on_store(&publication, sources, store);
            let Err(failure) = shell.sync() else { panic!("{kind} {how:?}: {:?}", shell.faults()) };
            let faults = shell.faults();
            let (_, code) = faults.last().expect("a fault");
            assert_eq!(failure.code(), *code, "{kind} {how:?}");
            only_verified_rows(&shell);
            for spec in specs(1) {
                let expected: Vec<_> = spec.records.into_iter().collect();
                assert_eq!(shell.range(spec.name), expected, "{kind} {how:?}");
            }
        }
    }
}

#[test]
fn the_fault_names_what_was_done() {
    let publication = publication();
    let code = |kind, how| {
        let rule = attack(&publication, kind, how);
        let mut shell = Shell::new(&publication, vec![Source::with_rule(&publication, rule)]);
        match shell.sync() {
            Ok(report) => panic!("{kind} {how:?}: {report:?} {:?}", shell.faults()),
            Err(failure) => failure.code(),
        }
    };
    for kind in ["manifest/", "layout/", "dictionary/", "bundle/"] {
        assert_eq!(code(kind, Attack::Flip), "peer/hash-mismatch", "{kind}");
        assert_eq!(code(kind, Attack::Extend), "peer/too-long", "{kind}");
        assert_eq!(code(kind, Attack::Truncate), "peer/truncated", "{kind}");
    }
    assert_eq!(code("bootstrap/", Attack::Swap), "trust/below-threshold");
    assert_eq!(code("bootstrap/", Attack::Replace), "format/unknown-format");
    assert_eq!(code("bootstrap/", Attack::Extend), "format/trailing-bytes");
}

#[test]
fn a_source_that_is_behind_is_passed_over_without_a_ban() {
    let mut publication = Publication::of(&specs(1));
    let old = publication.clone();
    publication.publish(&specs(2));
    let mut first = Shell::new(&publication, vec![Source::honest(&publication)]);
    first.sync().expect("version 2");
    let mut newest = publication.clone();
    newest.publish(&specs(3));
    let sources = vec![Source::honest(&old), Source::honest(&newest)];
    let mut shell = Shell::on_store(&publication, sources, first.close());
    assert_eq!(shell.sync().expect("version 3").version, Version(3));
    assert!(shell.faults().contains(&("source-0".into(), "trust/rollback")));
    assert!(shell.status().sources.iter().all(|source| source.state != SourceState::Banned));
}

#[test]
fn a_fork_of_the_log_is_refused() {
    let mut ours = Publication::of(&specs(1));
    let mut other = ours.clone();
    ours.publish(&specs(2));
    other.publish(&specs(3));
    let mut first = Shell::new(&ours, vec![Source::honest(&ours)]);
    first.sync().expect("our version 2");
    let store = first.close();
    let mut shell = Shell::on_store(&ours, vec![Source::honest(&other)], store.clone());
    assert_eq!(shell.sync().expect_err("another version 2").code(), "trust/fork");
    for seed in 4..9 {
        other.publish(&specs(seed));
    }
    let mut shell = Shell::on_store(&ours, vec![Source::honest(&other)], store);
    assert_eq!(shell.sync().expect_err("a log of other roots").code(), "trust/fork");
}

#[test]
fn connections_that_break_mid_body_go_on_where_they_broke() {
    let publication = publication();
    let broken = Rc::new(Cell::new(0));
    let count = broken.clone();
    let rule: Rule = Box::new(move |path, mut body| {
        if path.starts_with("bundle/") && count.get() < 3 {
            count.set(count.get() + 1);
            body.truncate(body.len() * 2 / 3);
        }
        Ok(body)
    });
    let mut shell = Shell::new(&publication, vec![Source::with_rule(&publication, rule)]);
    shell.sync().expect("a sync over a bad line");
    let resumed = shell.requests.iter().filter(|request| {
        request.path.starts_with("bundle/") && request.range.is_some_and(|range| range.start > 0)
    });
    assert!(resumed.count() > 0, "what was verified is not asked for again");
}

#[test]
fn an_overloaded_source_is_left_alone_for_as_long_as_it_asks() {
    let publication = publication();
    let first = Rc::new(Cell::new(true));
    let rule: Rule = Box::new(move |_, body| match first.replace(false) {
        true => Err(FetchFailure::Status { status: 503, retry_after_ms: Some(9_000) }),
        false => Ok(body),
    });
    let mut shell = Shell::new(&publication, vec![Source::with_rule(&publication, rule)]);
    let before = shell.now;
    shell.sync().expect("a sync after the pause");
    assert!(shell.now.since(before) >= 9_000);
}

#[test]
fn without_any_answer_sync_and_reads_end_with_the_reason() {
    let publication = publication();
    let dead = || -> Rule { Box::new(|_, _| Err(FetchFailure::Network)) };
    let sources = || vec![Source::with_rule(&publication, dead())];
    let mut shell = Shell::new(&publication, sources());
    assert_eq!(shell.sync().expect_err("no network").code(), "peer/network");
    let mut shell = Shell::new(&publication, sources());
    let unknown = Answer::Unknown(UnknownReason::NoSnapshot);
    assert_eq!(shell.get("tokens", b"key/00000001").expect("an answer"), unknown);
    let mut shell = Shell::new(&publication, vec![]);
    assert_eq!(shell.sync().expect_err("no source").code(), "peer/no-source");
}

#[test]
fn a_full_disk_ends_the_sync_and_the_next_one_goes_on() {
    let publication = publication();
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.store_fails = Some(StoreFailure::Quota);
    assert_eq!(shell.sync().expect_err("a full disk").code(), "store/quota");
    shell.store_fails = None;
    shell.sync().expect("a sync with room");
    assert!(shell.status().stored);
}

#[test]
fn damaged_rows_count_as_missing_and_are_fetched_again() {
    let publication = publication();
    let mut first = Shell::new(&publication, vec![Source::honest(&publication)]);
    first.sync().expect("version 2");
    let store = first.close();
    for key in store.keys().copied().collect::<Vec<_>>() {
        for damage in 0..3 {
            let mut store = store.clone();
            match damage {
                0 => drop(store.remove(&key)),
                1 => store
                    .entry(key)
                    .and_modify(|row| row.truncate(row.len() / 2))
                    .or_default()
                    .clear(),
                _ => {
                    let row = store.get_mut(&key).expect("the row");
                    let at = row.len() / 2;
                    row[at] ^= 1;
                }
            }
            let mut shell =
                Shell::on_store(&publication, vec![Source::honest(&publication)], store);
            for spec in specs(2) {
                let expected: Vec<_> = spec.records.into_iter().collect();
                assert_eq!(shell.range(spec.name), expected, "{key:?} damage {damage}");
            }
            let reported = shell.events.iter().any(|e| matches!(e, Event::Damaged { .. }));
            // The sources' row is a note, and no more.
            let note = key == StoreKey::Sources;
            assert!(reported || damage == 0 || note, "{key:?} damage {damage}");
        }
    }
}

#[test]
fn a_read_after_the_network_came_back_tries_again() {
    let publication = publication();
    let down = Rc::new(Cell::new(true));
    let state = down.clone();
    let rule: Rule =
        Box::new(move |_, body| if state.get() { Err(FetchFailure::Network) } else { Ok(body) });
    let mut shell = Shell::new(&publication, vec![Source::with_rule(&publication, rule)]);
    let unknown = Answer::Unknown(UnknownReason::NoSnapshot);
    assert_eq!(shell.get("tokens", b"key/00000001").expect("an answer"), unknown);
    down.set(false);
    let answer = shell.get("tokens", b"key/00000001").expect("an answer");
    assert!(matches!(answer, Answer::Present { .. }), "{answer:?}");
}

#[test]
fn a_lost_row_of_a_collection_without_lazy_reads_comes_back_with_the_next_sync() {
    let mut spec = Spec::numbered("private", 1, 500, 3);
    spec.lazy = false;
    spec.dictionary = true;
    let expected: Vec<_> = spec.records.clone().into_iter().collect();
    let publication = Publication::of(&[spec]);
    let mut first = Shell::new(&publication, vec![Source::honest(&publication)]);
    first.sync().expect("version 1");
    let store = first.close();
    for key in store.keys().copied().filter(|key| key.name().is_some()) {
        for damaged in [false, true] {
            let mut store = store.clone();
            if damaged {
                store.get_mut(&key).expect("the row")[9] ^= 1;
            } else {
                store.remove(&key);
            }
            let mut shell =
                Shell::on_store(&publication, vec![Source::honest(&publication)], store.clone());
            let lost = shell.get("private", &expected[7].0).expect("an answer");
            assert_eq!(lost, Answer::Unknown(UnknownReason::NotSynced), "{key:?}");
            shell.sync().expect("a sync that brings it again");
            assert_eq!(shell.range("private"), expected, "{key:?}");
            assert!(!shell.sync().expect("a sync with nothing to do").changed, "{key:?}");
            let mut whole = Shell::on_store(&publication, vec![], shell.close());
            assert_eq!(whole.range("private"), expected, "{key:?}");
        }
    }
}
