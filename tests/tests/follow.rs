//! Following: what is said on a line reaches a client without a request and is believed no more
//! than what is fetched; and what is not said is found by asking.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use packice_core::engine::{Event, Follow};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::push::Push;
use packice_core::format::trust_root::Staleness;
use packice_core::limits::MAX_PUSH_LEN;
use packice_core::types::Version;
use packice_tests::publication::{Publication, Spec};
use packice_tests::shell::{Shell, Source};

const MINUTE: u64 = 60_000;
const POLL: u64 = 10 * MINUTE;
const LIVE: Follow = Follow { live: true, poll_ms: POLL };

fn specs(seed: u64) -> Vec<Spec> {
    vec![Spec::numbered("config", 0, 40, seed)]
}

/// A client of version 1 that has a line and was greeted on it.
fn following(publication: &Publication, sources: Vec<Source>) -> Shell {
    let mut shell = Shell::new(publication, sources);
    shell.engine.follow(LIVE);
    shell.pass(1000);
    assert_eq!(version(&mut shell), 1, "following begins with a sync");
    assert_eq!(shell.lines.len(), 1, "and opens a line");
    shell.push(greeting(publication));
    shell.pass(1000);
    assert_eq!(lives(&shell), [true]);
    shell
}

fn greeting(publication: &Publication) -> Vec<u8> {
    Push::Checkpoint(publication.files["checkpoint"].clone()).encode()
}

fn release(publication: &Publication) -> Vec<u8> {
    let bootstrap = publication.files["bootstrap/stable"].clone();
    Push::Release { bootstrap, objects: Vec::new() }.encode()
}

fn version(shell: &mut Shell) -> u64 {
    shell.pass(0);
    shell.status_now().version.map_or(0, |Version(version)| version)
}

fn lives(shell: &Shell) -> Vec<bool> {
    let live = |event: &Event| match event {
        Event::Live { heard, .. } => Some(*heard),
        _ => None,
    };
    shell.events.iter().filter_map(live).collect()
}

#[test]
fn a_release_that_is_pushed_costs_no_request() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let before = shell.requests.len();
    publication.publish(&specs(2));
    shell.push(release(&publication));
    shell.pass(1000);
    assert_eq!(version(&mut shell), 2);
    assert_eq!(shell.requests.len(), before, "{:?}", &shell.requests[before..]);
}

#[test]
fn objects_beside_the_bootstrap_are_found_by_their_names() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let before = shell.requests.len();
    publication.publish(&specs(2));
    let bytes = &publication.files["bootstrap/stable"];
    let mut bootstrap = Bootstrap::parse(bytes).expect("a bootstrap");
    let mut objects = std::mem::take(&mut bootstrap.objects);
    objects.push(b"nobody asked for this".to_vec());
    let push = Push::Release { bootstrap: bootstrap.encode(), objects };
    shell.push(push.encode());
    shell.pass(1000);
    assert_eq!(version(&mut shell), 2);
    assert_eq!(shell.requests.len(), before);
    assert_eq!(shell.faults(), []);
}

#[test]
fn an_object_that_was_changed_on_the_line_is_fetched_by_its_name() {
    let mut publication = Publication::of(&specs(1));
    publication.publish(&specs(2));
    let mut newer = publication.clone();
    newer.publish(&specs(3));
    let mut shell = following_at(&publication, &newer);
    let mut bootstrap = Bootstrap::parse(&newer.files["bootstrap/stable"]).expect("a bootstrap");
    for object in &mut bootstrap.objects {
        object[10] ^= 1;
    }
    let push = Push::Release { bootstrap: bootstrap.encode(), objects: Vec::new() };
    shell.push(push.encode());
    shell.pass(MINUTE);
    assert_eq!(version(&mut shell), 3, "the bytes came from elsewhere");
}

/// A client of one state, whose source has moved on to another.
fn following_at(held: &Publication, served: &Publication) -> Shell {
    let mut shell = Shell::new(held, vec![Source::honest(held)]);
    shell.sync().expect("a sync that ends well");
    shell.sources = vec![Source::honest(served)];
    shell.engine.follow(LIVE);
    // The first sync of following is at once: it must not find the newer state.
    shell.sources = vec![Source::honest(held)];
    shell.pass(1000);
    shell.sources = vec![Source::honest(served)];
    shell.push(greeting(held));
    shell.pass(1000);
    shell
}

#[test]
fn a_greeting_of_what_is_known_starts_nothing_and_a_newer_one_a_sync() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let (requests, syncs) = (shell.requests.len(), shell.syncs.len());
    shell.push(greeting(&publication));
    shell.pass(MINUTE);
    assert_eq!((shell.requests.len(), shell.syncs.len()), (requests, syncs));
    publication.publish(&specs(2));
    shell.sources = vec![Source::honest(&publication)];
    shell.push(greeting(&publication));
    shell.pass(MINUTE);
    assert_eq!(version(&mut shell), 2);
    assert_eq!(shell.requests[requests].path, "head/stable", "not the checkpoint again");
}

#[test]
fn a_release_that_others_signed_is_a_lie_and_ends_the_line() {
    let publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let mut other = Publication::signed_by([9; 32]);
    other.publish(&specs(1));
    other.publish(&specs(2));
    shell.push(release(&other));
    shell.pass(1);
    assert_eq!(shell.faults().len(), 1, "{:?}", shell.faults());
    assert_eq!(shell.faults()[0].0, "source-0");
    assert!(shell.faults()[0].1.starts_with("trust/"), "{:?}", shell.faults());
    assert!(shell.lines.is_empty(), "it is hung up on");
    assert_eq!(lives(&shell), [true, false]);
    assert_eq!(version(&mut shell), 1);
}

#[test]
fn noise_and_what_is_too_long_are_lies_too() {
    let publication = Publication::of(&specs(1));
    for (message, code) in [
        (b"hello".to_vec(), "format/unknown-format"),
        (vec![0; MAX_PUSH_LEN + 1], "peer/too-long"),
        ([b"PKL1".as_slice(), &[7]].concat(), "format/invalid"),
        ([b"PKL1".as_slice(), &[1, 0x80]].concat(), "format/truncated"),
    ] {
        let mut shell = following(&publication, vec![Source::honest(&publication)]);
        shell.push(message);
        shell.pass(1);
        assert_eq!(shell.faults(), [("source-0".to_owned(), code)]);
        assert!(shell.lines.is_empty());
    }
}

#[test]
fn an_older_release_is_passed_over_in_silence() {
    let old = Publication::of(&specs(1));
    let mut publication = old.clone();
    publication.publish(&specs(2));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.engine.follow(LIVE);
    shell.pass(1000);
    let syncs = shell.syncs.len();
    for message in [greeting(&old), release(&old), release(&publication)] {
        shell.push(message);
        shell.pass(1000);
    }
    assert_eq!(shell.faults(), []);
    assert_eq!(shell.syncs.len(), syncs);
    assert_eq!(version(&mut shell), 2);
}

#[test]
fn whoever_calls_for_nothing_is_hung_up_on() {
    let publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let mut ahead = publication.clone();
    ahead.publish(&specs(2));
    for call in 0..3 {
        assert_eq!(shell.lines.len(), 1, "call {call}");
        // The checkpoint is real; what it is about is nowhere to be had.
        shell.push(greeting(&ahead));
        shell.pass(1000);
    }
    shell.pass(1);
    let codes: Vec<_> = shell.faults().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["peer/false-alarm"]);
    assert_eq!(lives(&shell), [true, false]);
}

#[test]
fn nobody_is_asked_while_a_source_is_heard_and_the_data_is_fresh() {
    let publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let requests = shell.requests.len();
    shell.pass(20 * POLL);
    assert_eq!(shell.requests.len(), requests);
    let (line, _) = shell.lines[0];
    shell.hang_up(line);
    shell.pass(2 * POLL);
    assert!(shell.requests.len() > requests, "a line that nobody greets on is no line");
}

#[test]
fn what_goes_stale_unsaid_is_asked_for() {
    let staleness = Staleness { stale_ms: 30 * MINUTE, expired_ms: 300 * MINUTE };
    let mut publication = Publication::watched(staleness, vec![1000; 3]);
    publication.publish(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let requests = shell.requests.len();
    shell.pass(25 * MINUTE);
    assert_eq!(shell.requests.len(), requests);
    shell.pass(30 * MINUTE);
    assert!(shell.requests.len() > requests, "an edge that greets and then is silent");
}

#[test]
fn cosignatures_come_over_the_line() {
    let staleness = Staleness { stale_ms: 30 * MINUTE, expired_ms: 300 * MINUTE };
    let mut publication = Publication::watched(staleness, vec![1000; 3]);
    publication.publish(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    let requests = shell.requests.len();
    for minutes in [25, 50, 75, 100] {
        shell.pass(25 * MINUTE);
        publication.cosign_again(vec![1000 + minutes * 60; 3]);
        shell.push(greeting(&publication));
    }
    shell.pass(MINUTE);
    assert_eq!(shell.requests.len(), requests);
    assert_eq!(shell.faults(), []);
}

#[test]
fn without_a_line_a_version_is_found_at_the_interval() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = Shell::new(&publication, vec![Source::honest(&publication)]);
    shell.engine.follow(Follow { live: false, poll_ms: POLL });
    shell.pass(1000);
    assert!(shell.listened.is_empty());
    let first = shell.requests.len();
    shell.pass(POLL / 2);
    assert_eq!(shell.requests.len(), first);
    publication.publish(&specs(2));
    shell.sources = vec![Source::honest(&publication)];
    shell.pass(POLL);
    assert_eq!(version(&mut shell), 2);
    // Four thirds of the interval at most: in ten of them at least seven times, and not above 15.
    let before = shell.requests.len();
    shell.pass(10 * POLL);
    assert!((7..=15).contains(&(shell.requests.len() - before)));
}

#[test]
fn a_line_that_breaks_is_opened_again_after_pauses_that_grow() {
    let publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    for _ in 0..12 {
        if let Some((line, _)) = shell.lines.first().copied() {
            shell.hang_up(line);
        }
        shell.pass(10 * MINUTE);
    }
    let times: Vec<u64> = shell.listened.iter().map(|at| at.0).collect();
    assert!(times.len() >= 9, "{times:?}");
    // It broke at the end of each span: what follows is the pause.
    let pauses: Vec<u64> = shell.pauses();
    assert!(pauses[0] <= 1000, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 300_000), "{pauses:?}");
    assert!(pauses[9] >= 100_000, "{pauses:?}");
}

#[test]
fn what_is_said_during_a_sync_is_looked_at_after_it() {
    let mut publication = Publication::of(&specs(1));
    let mut shell = following(&publication, vec![Source::honest(&publication)]);
    publication.publish(&specs(2));
    let second = release(&publication);
    publication.publish(&specs(3));
    shell.push(second);
    // Both stand in the queue of inputs before the engine has looked at either.
    shell.push(release(&publication));
    shell.pass(1000);
    assert_eq!(version(&mut shell), 3);
}

#[test]
fn a_line_goes_to_another_source_once_one_broke() {
    let publication = Publication::of(&specs(1));
    let sources = vec![Source::honest(&publication), Source::honest(&publication)];
    let mut shell = following(&publication, sources);
    let (line, first) = shell.lines[0];
    shell.hang_up(line);
    shell.pass(MINUTE);
    assert_ne!(shell.lines[0].1, first);
}
