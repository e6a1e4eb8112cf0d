//! Fresh, stale, expired: what the witnesses' times, the local clock and the trust root's policy
//! make of it, and that neither a frozen network nor a wrong clock makes more.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use std::collections::BTreeMap;

use packice_core::engine::io::{Answer, FetchFailure, StoreKey};
use packice_core::engine::{Command, Event, Input};
use packice_core::format::trust_root::Staleness;
use packice_core::trust::freshness::{Freshness, Level};
use packice_core::types::{Millis, Version};
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Shell, Source};
use proptest::prelude::*;

const DAY_S: u64 = 86_400;
/// When the first release was cosigned.
const T0_S: u64 = 1_790_000_000;
const POLICY: Staleness = Staleness { stale_ms: 3 * DAY_S * 1000, expired_ms: 30 * DAY_S * 1000 };

fn specs() -> Vec<Spec> {
    vec![Spec::numbered("config", 0, 10, 2), Spec::numbered("tokens", 1, 300, 3)]
}

fn watched() -> Publication {
    let mut publication = Publication::watched(POLICY, vec![T0_S; 3]);
    publication.publish(&specs());
    publication
}

fn open(publication: &Publication, store: BTreeMap<StoreKey, Vec<u8>>, clock_s: u64) -> Shell {
    let source = Source::honest(publication);
    let mut shell = Shell::on_store(publication, vec![source], store);
    shell.now = Millis(clock_s * 1000);
    shell
}

fn synced(publication: &Publication, clock_s: u64) -> Shell {
    let mut shell = open(publication, BTreeMap::new(), clock_s);
    shell.sync().expect("a sync that ends well");
    shell
}

fn level(shell: &mut Shell) -> Level {
    shell.status().freshness.level
}

fn levels_told(shell: &Shell) -> Vec<Level> {
    let told = |event: &Event| match event {
        Event::Freshness(Freshness { level, .. }) => Some(*level),
        _ => None,
    };
    shell.events.iter().filter_map(told).collect()
}

fn read(shell: &mut Shell) -> &'static str {
    match shell.get("tokens", b"key/00000007") {
        Ok(Answer::Present { .. }) => "present",
        Ok(_) => "another answer",
        Err(failure) => failure.code(),
    }
}

#[test]
fn data_ages_by_the_cosignatures_time_and_each_new_level_is_told() {
    let publication = watched();
    let mut shell = synced(&publication, T0_S + 60);
    for (days, expected) in [(0, Level::Fresh), (3, Level::Stale), (30, Level::Expired)] {
        shell.now = Millis((T0_S + 3600 + days * DAY_S) * 1000);
        let freshness = shell.status().freshness;
        assert_eq!(freshness.level, expected);
        assert_eq!(freshness.at, Some(Millis(T0_S * 1000)));
        assert_eq!(freshness.age_ms.map(|age| age / 3_600_000), Some(1 + 24 * days));
        assert_eq!(read(&mut shell), "present", "last good data stays readable");
    }
    assert_eq!(levels_told(&shell), [Level::Fresh, Level::Stale, Level::Expired]);
}

#[test]
fn without_witnesses_nobody_tells_the_time() {
    let publication = Publication::of(&specs());
    let mut shell = synced(&publication, T0_S);
    assert_eq!(shell.status().freshness, Freshness::default());
    shell.engine.refuse_expired(true);
    assert_eq!(read(&mut shell), "present");
    assert!(levels_told(&shell).is_empty());
}

#[test]
fn a_client_may_refuse_expired_data_until_a_sync_brings_newer_cosignatures() {
    let mut publication = watched();
    let mut shell = synced(&publication, T0_S + 60);
    shell.engine.refuse_expired(true);
    assert_eq!(read(&mut shell), "present");
    shell.now = Millis((T0_S + 31 * DAY_S) * 1000);
    assert_eq!(read(&mut shell), "trust/expired");
    let proof = shell.prove("tokens", b"key/00000007").map_err(|failure| failure.code());
    assert_eq!(proof, Err("trust/expired"));
    shell.sync().expect("a frozen network is no error");
    assert_eq!(read(&mut shell), "trust/expired");
    publication.cosign_again(vec![T0_S + 31 * DAY_S; 3]);
    shell.sources[0] = Source::honest(&publication);
    shell.sync().expect("a sync that ends well");
    assert_eq!(read(&mut shell), "present");
}

#[test]
fn a_quiet_sets_new_cosignatures_cost_one_request_and_outlive_a_restart() {
    let mut publication = watched();
    publication.heads = true;
    let mut shell = synced(&publication, T0_S + 60);
    publication.cosign_again(vec![T0_S + 10 * DAY_S; 3]);
    shell.sources[0] = Source::honest(&publication);
    shell.now = Millis((T0_S + 10 * DAY_S + 60) * 1000);
    assert_eq!(level(&mut shell), Level::Stale);
    shell.requests.clear();
    assert!(!shell.sync().expect("a sync that ends well").changed);
    let paths: Vec<&str> = shell.requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["head/stable"]);
    assert_eq!(level(&mut shell), Level::Fresh);
    let mut reopened = open(&publication, shell.close(), T0_S + 10 * DAY_S + 120);
    assert_eq!(level(&mut reopened), Level::Fresh);
    assert!(reopened.requests.len() <= 1, "opening needs no source");
}

#[test]
fn older_cosignatures_never_take_the_place_of_newer_ones() {
    let old = watched();
    let mut new = old.clone();
    new.cosign_again(vec![T0_S + 10 * DAY_S; 3]);
    let mut shell = synced(&new, T0_S + 10 * DAY_S);
    shell.sources[0] = Source::honest(&old);
    shell.sync().expect("older cosignatures are no error");
    assert_eq!(shell.status().freshness.at, Some(Millis((T0_S + 10 * DAY_S) * 1000)));
    let mut reopened = open(&old, shell.close(), T0_S + 10 * DAY_S);
    reopened.sync().expect("older cosignatures are no error");
    assert_eq!(reopened.status().freshness.at, Some(Millis((T0_S + 10 * DAY_S) * 1000)));
}

#[test]
fn a_clock_set_back_counts_as_standing_at_the_cosignatures() {
    let publication = watched();
    let mut shell = synced(&publication, 1000);
    assert_eq!(shell.status().freshness.age_ms, Some(0));
    // What serves is the first release; the second one is known, and its bundles are withheld.
    let mut newer = publication.clone();
    newer.cosign_s = vec![T0_S + 40 * DAY_S; 3];
    let mut changed = specs();
    changed[1] = Spec::numbered("tokens", 1, 300, 4);
    newer.publish(&changed);
    shell.sources[0] = Source::with_rule(
        &newer,
        Box::new(|path, body| match path.starts_with("bundle/") {
            true => Err(FetchFailure::Network),
            false => Ok(body),
        }),
    );
    shell.sync().expect_err("no bundle is to be had");
    let status = shell.status();
    assert_eq!(status.version, Some(Version(1)));
    assert_eq!(status.freshness.level, Level::Expired, "by the newer release's cosignatures alone");
    // The floor is in the store: a restart does not forget it.
    let mut reopened = open(&publication, shell.close(), 1000);
    assert_eq!(level(&mut reopened), Level::Expired);
    reopened.engine.refuse_expired(true);
    assert_eq!(read(&mut reopened), "trust/expired");
}

#[test]
fn a_clock_that_ran_ahead_does_no_harm_once_it_is_set_right() {
    let publication = watched();
    let century = T0_S + 36_500 * DAY_S;
    let mut shell = synced(&publication, century);
    assert_eq!(level(&mut shell), Level::Expired);
    assert_eq!(read(&mut shell), "present");
    // While it runs: the engine's own time does not go back, the clock does.
    let now = shell.now;
    shell.engine.set_clock(Millis((T0_S + 60) * 1000), now);
    assert_eq!(level(&mut shell), Level::Fresh);
    // And at the next start.
    let mut reopened = open(&publication, shell.close(), T0_S + 120);
    reopened.engine.refuse_expired(true);
    assert_eq!(level(&mut reopened), Level::Fresh);
    assert_eq!(read(&mut reopened), "present");
}

#[test]
fn one_witness_with_a_wrong_clock_moves_nothing() {
    let century = T0_S + 36_500 * DAY_S;
    for times in [vec![T0_S, T0_S, century], vec![century, T0_S, T0_S], vec![T0_S, 1, T0_S]] {
        let mut publication = Publication::watched(POLICY, times);
        publication.publish(&specs());
        let mut shell = synced(&publication, T0_S + 60);
        assert_eq!(shell.status().freshness.at, Some(Millis(T0_S * 1000)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever is served in whatever order, and whatever the clock says: the time that a client
    /// stands on never goes back, and its age is never less than what it has seen tells.
    #[test]
    fn the_time_a_client_stands_on_never_goes_back(
        lives in prop::collection::vec((0..6u64, 0..80u64, any::<bool>()), 1..10),
    ) {
        let publications: Vec<Publication> = (0..6).map(|at| {
            let mut publication = watched();
            publication.cosign_again(vec![T0_S + at * 10 * DAY_S; 3]);
            publication
        }).collect();
        let (mut store, mut seen_s) = (BTreeMap::new(), 0);
        for (served, clock, restart) in lives {
            let clock_s = T0_S - 10 * DAY_S + clock * DAY_S;
            let publication = &publications[usize::try_from(served).expect("small")];
            let mut shell = open(publication, store, clock_s);
            shell.sync().expect("a sync that ends well");
            seen_s = seen_s.max(T0_S + served * 10 * DAY_S);
            let freshness = shell.status().freshness;
            prop_assert_eq!(freshness.at, Some(Millis(seen_s * 1000)));
            let age_s = freshness.age_ms.expect("an age") / 1000;
            prop_assert!(age_s >= clock_s.saturating_sub(seen_s));
            store = if restart { BTreeMap::new() } else { shell.close() };
            if restart { seen_s = 0; }
        }
    }
}

#[test]
fn new_cosignatures_of_the_newest_take_nobody_forward_who_went_back() {
    let mut publication = watched();
    let mut shell = synced(&publication, T0_S + 60);
    shell.feed(Input::Command(Command::Keep(1)));
    let mut next = specs();
    next[0].records.insert(b"later".to_vec(), b"record".to_vec());
    publication.publish(&next);
    shell.sources[0] = Source::honest(&publication);
    assert_eq!(shell.sync().expect("version 2").version, Version(2));
    shell.feed(Input::Command(Command::RollBack(Version(1))));
    shell.settle();
    publication.cosign_again(vec![T0_S + 10 * DAY_S; 3]);
    shell.sources[0] = Source::honest(&publication);
    shell.now = Millis((T0_S + 10 * DAY_S + 60) * 1000);
    for _ in 0..2 {
        let report = shell.sync().expect("nothing newer");
        assert_eq!((report.version, report.changed), (Version(1), false));
        assert_eq!(shell.status().version, Some(Version(1)));
    }
    let mut shell = open(&publication, shell.close(), T0_S + 10 * DAY_S + 120);
    assert_eq!(shell.sync().expect("nothing newer").version, Version(1));
}
