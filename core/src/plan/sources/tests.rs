//! Whom to ask, case by case.

use alloc::vec;

use super::super::retry::{FORGIVE_MS, PAUSE_MS};
use super::*;

const READ: Ask<'_> = Ask {
    avoid: &[],
    never: None,
    only: None,
    len: 1000,
    kind: Kind::Object,
    purpose: Purpose::Read,
    flights: &[],
};
const SYNC: Ask<'_> = Ask { len: 1 << 20, purpose: Purpose::Sync, ..READ };
const NEWS: Ask<'_> = Ask { kind: Kind::Pointer, purpose: Purpose::News, ..READ };
const FAILURE: (Severity, Kind) = (Severity::Failure, Kind::Object);
const LIE: (Severity, Kind) = (Severity::Lie, Kind::Object);
const A: SourceId = SourceId(0);
const B: SourceId = SourceId(1);

fn two() -> Sources {
    let mut sources = Sources::new(7);
    sources.add("a".into());
    sources.add("b".into());
    sources
}

/// Two sources that were seen to give so many bytes a second, after so many milliseconds.
fn measured(a: (u64, u64), b: (u64, u64)) -> Sources {
    let mut sources = two();
    for (id, (rate, latency)) in [(A, a), (B, b)] {
        let gauge = sources.gauge(id).expect("it was added");
        gauge.answered(latency);
        gauge.began(Millis(0));
        gauge.came(rate, Millis(1000));
        gauge.ended();
    }
    sources
}

#[test]
fn the_first_source_is_asked_until_it_fails() {
    let mut sources = two();
    let now = Millis(1000);
    assert_eq!(sources.choose(&READ, now), Choice::Ask(A));
    sources.faulted(A, "peer/network", FAILURE, now);
    assert_eq!(sources.choose(&READ, now), Choice::Ask(B));
    let later = now.plus(PAUSE_MS);
    assert_eq!(sources.choose(&READ, later), Choice::Ask(B));
    sources.succeeded(A, Kind::Object, later);
    assert_eq!(sources.choose(&READ, later), Choice::Ask(A));
}

#[test]
fn a_failure_is_forgiven_but_for_reads() {
    let mut sources = two();
    sources.faulted(A, "peer/network", FAILURE, Millis(0));
    let later = Millis(FORGIVE_MS);
    assert_eq!(sources.choose(&SYNC, later), Choice::Ask(A));
    assert_eq!(sources.choose(&READ, later), Choice::Ask(B));
}

#[test]
fn a_lie_bans_for_longer_each_time() {
    let mut sources = two();
    sources.remove(B);
    sources.faulted(A, "peer/hash-mismatch", LIE, Millis(0));
    assert_eq!(sources.choose(&READ, Millis(BAN_MS - 1)), Choice::Nobody);
    assert_eq!(sources.choose(&READ, Millis(BAN_MS)), Choice::Ask(A));
    sources.faulted(A, "peer/hash-mismatch", LIE, Millis(BAN_MS));
    assert_eq!(sources.choose(&READ, Millis(3 * BAN_MS - 1)), Choice::Nobody);
    assert_eq!(sources.choose(&READ, Millis(3 * BAN_MS)), Choice::Ask(A));
}

#[test]
fn retry_after_is_honoured() {
    let mut sources = two();
    sources.remove(B);
    let away = Severity::Away { retry_after_ms: Some(5000) };
    sources.faulted(A, "peer/http-status", (away, Kind::Pointer), Millis(0));
    for ask in [READ, NEWS] {
        assert_eq!(sources.choose(&ask, Millis(0)), Choice::Later(Millis(5000)));
    }
}

#[test]
fn who_fails_objects_may_still_be_asked_what_is_newest() {
    let mut sources = two();
    sources.faulted(A, "peer/http-status", FAILURE, Millis(0));
    assert_eq!(sources.choose(&NEWS, Millis(0)), Choice::Ask(A));
    assert_eq!(sources.choose(&READ, Millis(0)), Choice::Ask(B));
}

#[test]
fn what_was_measured_is_remembered_until_it_is_measured_anew() {
    let mut before = measured((1_000_000, 300), (20_000_000, 20));
    before.asked(B);
    let records = before.records(None, Millis(2000));
    assert_eq!(before.records(Some(B), Millis(2000)), []);
    assert_eq!(records.len(), 1);
    let mut sources = two();
    sources.remember(records.clone());
    sources.add("c".into());
    assert_eq!(sources.records(None, Millis(0)), records);
    let takes = |sources: &Sources, flying: usize| {
        let flights = vec![Flight { source: B, left: 1 << 20 }; flying];
        let ask = Ask { avoid: &[A, SourceId(2)], flights: &flights, ..SYNC };
        sources.choose(&ask, Millis(0)) == Choice::Ask(B)
    };
    assert!(takes(&sources, PLACES - 1));
    assert!(takes(&two(), PLACES_UNKNOWN - 1) && !takes(&two(), PLACES_UNKNOWN));
    let gauge = sources.gauge(B).expect("it was added");
    gauge.answered(500);
    assert_eq!(gauge.latency_ms(), Some(500));
    assert_eq!((gauge.rate(Millis(0)), gauge.expected(Millis(0))), (None, Some(20_000_000)));
}

#[test]
fn a_source_that_failed_an_object_is_asked_for_it_last() {
    let sources = two();
    let (one, both) = ([A], [A, B]);
    assert_eq!(sources.choose(&Ask { avoid: &one, ..READ }, Millis(0)), Choice::Ask(B));
    assert_eq!(sources.choose(&Ask { avoid: &both, ..READ }, Millis(0)), Choice::Ask(A));
}

#[test]
fn where_one_alone_may_be_asked_nobody_else_is() {
    let mut sources = two();
    assert_eq!(sources.choose(&Ask { only: Some(B), ..READ }, Millis(0)), Choice::Ask(B));
    sources.faulted(B, "peer/hash-mismatch", LIE, Millis(0));
    assert_eq!(sources.choose(&Ask { only: Some(B), ..READ }, Millis(0)), Choice::Nobody);
}

#[test]
fn a_read_goes_to_the_nearer_one() {
    let sources = measured((1_000_000, 300), (1_000_000, 20));
    assert_eq!(sources.choose(&READ, Millis(2000)), Choice::Ask(B));
    let alike = measured((1_000_000, 20), (1_000_000, 2));
    assert_eq!(alike.choose(&READ, Millis(2000)), Choice::Ask(A));
}

#[test]
fn bulk_goes_where_it_is_done_first() {
    let fits = |sources: &Sources| {
        let mut flights = Vec::new();
        while let Choice::Ask(source) =
            sources.choose(&Ask { flights: &flights, ..SYNC }, Millis(2000))
        {
            flights.push(Flight { source, left: SYNC.len });
        }
        let at = |id| flights.iter().filter(|flight| flight.source == id).count();
        (at(A), at(B))
    };
    assert_eq!(fits(&measured((20_000_000, 50), (20_000_000, 50))), (PLACES, PLACES));
    // A tenth of the rate: it would be done long after all that the other one has.
    assert_eq!(fits(&measured((2_000_000, 50), (20_000_000, 50))), (0, PLACES));
    assert_eq!(fits(&two()), (PLACES_UNKNOWN, PLACES_UNKNOWN));
}

#[test]
fn who_had_no_news_is_asked_after_the_others() {
    let mut sources = two();
    let mut asked = Vec::new();
    for _ in 0..4 {
        let Choice::Ask(id) = sources.choose(&NEWS, Millis(0)) else { panic!("two are free") };
        asked.push(id);
        sources.had_no_news(id);
    }
    assert_eq!(asked, [A, B, A, B]);
    sources.had_no_news(A);
    sources.news_came();
    assert_eq!(sources.choose(&NEWS, Millis(0)), Choice::Ask(A));
}
