//! The sources' records: who may be asked, who is quick, who failed, who lied.
//!
//! Asked is who is expected to be done first: measured latency, and what is under way there at its
//! measured rate. A lie (bytes that are not what was signed) costs a source its place for a while
//! that doubles; a failure (no answer, a broken connection, an overloaded server) only a pause. An
//! attacker who runs a source can waste one object's bytes, and then waits for the ban to end.

use alloc::string::String;
use alloc::vec::Vec;

use crate::planted::{self, Bug};
use crate::types::Millis;

use super::gauge::Gauge;

const BAN_MS: u64 = 30_000;
const BAN_MS_MAX: u64 = 3_600_000;
const PAUSE_MS: u64 = 200;
const PAUSE_MS_MAX: u64 = 10_000;
/// A failure counts less by one for each so many milliseconds since, at most so many failures do.
const FORGIVE_MS: u64 = 10_000;
const FAILURES_MAX: u32 = 12;
/// Requests at once to one source; beyond 8 a browser gains nothing.
const PLACES: usize = 6;
/// Places beyond that for what somebody waits for.
const EXTRA_PLACES: usize = 2;
/// Bulk transfers to a source whose rate is not known yet, where there are others.
const PLACES_UNKNOWN: usize = 2;
/// What a source is taken to give, in bytes a second, where none has given anything yet.
const RATE: u64 = 1_000_000;
/// A difference that is no reason to leave the order in which the sources were named.
const STEP_MS: u64 = 50;
/// What is smaller goes to the nearest, whatever is under way there, and says nothing of a rate.
pub(crate) const BULK_BYTES: u64 = 64 << 10;

/// A source, numbered by the order in which it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A source's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What may be asked of it.
    pub state: SourceState,
    /// Body bytes it gave.
    pub bytes: u64,
    /// Requests it got.
    pub requests: u64,
    /// Its faults.
    pub faults: u64,
    /// The code of the last one.
    pub last_fault: Option<&'static str>,
    /// What it gives while it gives anything, once that is known.
    pub bytes_per_second: Option<u64>,
    /// From a request to its first bytes, as short as it lately was.
    pub latency_ms: Option<u64>,
}

/// What may be asked of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Nothing was asked yet.
    Unused,
    /// It serves.
    Ok,
    /// It failed and is left alone for a while.
    BackingOff,
    /// It lied.
    Banned,
    /// The caller removed it.
    Removed,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The bytes are not what was signed.
    Lie,
    /// It could not answer; it may later.
    Failure {
        /// The pause it asked for.
        retry_after_ms: Option<u64>,
    },
    /// It does not have the object, or is behind; it may well have others.
    Missing,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    removed: bool,
    banned_until: Millis,
    paused_until: Millis,
    lies: u32,
    failures_in_a_row: u32,
    failed_at: Millis,
    /// How often it had nothing newer since the last news.
    quiet: u32,
    gauge: Gauge,
    bytes: u64,
    requests: u64,
    faults: u64,
    last_fault: Option<&'static str>,
}

/// Who can be asked for an object now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Ask(SourceId),
    /// One whose places are all taken.
    Wait,
    /// Nobody before that time.
    Later(Millis),
    /// Nobody: there is no source, or each one is banned or removed.
    Nobody,
}

/// A transfer under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Who gives it.
    pub source: SourceId,
    /// Bytes that are still to come, at most.
    pub left: u64,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for it.
    Read,
    /// A part of a sync.
    Sync,
    /// What is newest.
    News,
}

/// A question of whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who failed this object, and is asked for it only where there is nobody else.
    pub avoid: &'a [SourceId],
    /// Who is not asked in any case.
    pub never: Option<SourceId>,
    /// The one who is asked, where nobody else is to be.
    pub only: Option<SourceId>,
    /// The object's length in bytes, at most.
    pub len: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// What is under way, of everybody.
    pub flights: &'a [Flight],
}

/// All sources, and a generator for jitter.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<Source>,
    jitter: SplitMix64,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, seeded, good enough for jitter.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between half of a span and the whole of it.
    fn half_to_whole(&mut self, span: u64) -> u64 {
        let half = span / 2;
        half + self.next() % (span - half + 1)
    }
}

impl Sources {
    /// No source yet.
    pub fn new(seed: u64) -> Self {
        Self { sources: Vec::new(), jitter: SplitMix64(seed) }
    }

    /// Adds a source under the next number.
    pub fn add(&mut self, name: String) -> SourceId {
        let id = number(self.sources.len());
        self.sources.push(Source {
            name,
            removed: false,
            banned_until: Millis(0),
            paused_until: Millis(0),
            lies: 0,
            failures_in_a_row: 0,
            failed_at: Millis(0),
            quiet: 0,
            gauge: Gauge::default(),
            bytes: 0,
            requests: 0,
            faults: 0,
            last_fault: None,
        });
        id
    }

    /// Asks a source no more.
    pub fn remove(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.removed = true;
        }
    }

    /// How many sources were added.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// A source's name.
    pub fn name(&self, id: SourceId) -> &str {
        self.sources.get(id.0 as usize).map_or("?", |source| source.name.as_str())
    }

    /// Who is to be asked: who did not fail the object, has the fewest failures, and is expected to
    /// be done first; the order of adding where that makes no difference. News are asked in turn of
    /// those who had none, so that one who stands still hides nothing.
    pub fn choose(&self, ask: &Ask<'_>, now: Millis) -> Choice {
        let asked = |id| ask.never != Some(id) && ask.only.is_none_or(|only| only == id);
        let usable = |source: &Source| !source.removed && source.banned_until <= now;
        let all = || self.numbered().filter(|(id, source)| asked(*id) && usable(source));
        let free = || all().filter(|(_, source)| source.paused_until <= now);
        let later = all().map(|(_, source)| source.paused_until).filter(|time| *time > now).min();
        let guess = Guess {
            rate: free().filter_map(|(_, source)| source.gauge.rate(now)).max().unwrap_or(RATE),
            latency_ms: free().filter_map(|(_, s)| s.gauge.latency_ms()).min().unwrap_or(0),
        };
        let best = free()
            .map(|(id, source)| {
                let avoided = ask.avoid.contains(&id);
                let quiet = if ask.purpose == Purpose::News { source.quiet } else { 0 };
                let ms = source.expected_ms(id, ask, &guess, now);
                (avoided, source.failing(ask.purpose, now), quiet, ms / STEP_MS, id)
            })
            .min();
        match (best, later) {
            // Somebody who did not fail this object yet is worth a short wait.
            (Some((true, ..)), Some(time)) => Choice::Later(time),
            (Some((_, failing, _, _, id)), _) => {
                let alone = free().nth(1).is_none();
                let taken = ask.flights.iter().filter(|flight| flight.source == id).count();
                match taken < self.places(id, ask.purpose, alone, failing, now) {
                    true => Choice::Ask(id),
                    false => Choice::Wait,
                }
            }
            (None, Some(time)) => Choice::Later(time),
            (None, None) => Choice::Nobody,
        }
    }

    fn places(
        &self,
        id: SourceId,
        purpose: Purpose,
        alone: bool,
        failing: u32,
        now: Millis,
    ) -> usize {
        let rate = self.get(id).and_then(|source| source.gauge.rate(now));
        match purpose {
            Purpose::Read => PLACES + EXTRA_PLACES,
            Purpose::News => PLACES,
            Purpose::Sync if alone => PLACES,
            Purpose::Sync if failing > 0 => 1,
            Purpose::Sync if rate.is_none() => PLACES_UNKNOWN,
            Purpose::Sync => PLACES,
        }
    }

    /// How many may be asked now.
    pub fn usable(&self, never: Option<SourceId>, now: Millis) -> usize {
        let usable = |source: &Source| {
            !source.removed && source.banned_until <= now && source.paused_until <= now
        };
        self.numbered().filter(|(id, source)| never != Some(*id) && usable(source)).count()
    }

    /// How long so many bytes will take at a source, among what is under way there: each transfer
    /// gets its share. `None` as long as its rate is not known.
    pub fn expected_ms(
        &self,
        id: SourceId,
        len: u64,
        flights: &[Flight],
        now: Millis,
    ) -> Option<u64> {
        let source = self.get(id)?;
        let guess = Guess { rate: source.gauge.rate(now)?, latency_ms: 0 };
        let ask = Ask { avoid: &[], never: None, only: None, len, purpose: Purpose::Sync, flights };
        Some(source.expected_ms(id, &ask, &guess, now))
    }

    /// The source had nothing newer.
    pub fn had_no_news(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.quiet += 1;
        }
    }

    /// Something newer is there: who stood still may have it now.
    pub fn news_came(&mut self) {
        for source in &mut self.sources {
            source.quiet = 0;
        }
    }

    /// A span that is not everybody's: between half of it and the whole, by the seed.
    pub fn spread(&mut self, span_ms: u64) -> u64 {
        self.jitter.half_to_whole(span_ms)
    }

    /// A request went out.
    pub fn asked(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.requests += 1;
        }
    }

    /// Bytes came in.
    pub fn received(&mut self, id: SourceId, bytes: u64) {
        if let Some(source) = self.source(id) {
            source.bytes += bytes;
        }
    }

    /// What a source's speed is measured with.
    pub fn gauge(&mut self, id: SourceId) -> Option<&mut Gauge> {
        self.source(id).map(|source| &mut source.gauge)
    }

    /// A request ended well.
    pub fn succeeded(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.failures_in_a_row = 0;
        }
    }

    /// A request ended with a fault.
    pub fn faulted(&mut self, id: SourceId, code: &'static str, severity: Severity, now: Millis) {
        let jitter = &mut self.jitter;
        let Some(source) = self.sources.get_mut(id.0 as usize) else { return };
        source.faults += 1;
        source.last_fault = Some(code);
        let failure = matches!(severity, Severity::Failure { .. });
        let lie = failure && planted::is(Bug::FailureIsALie);
        let severity = if lie { Severity::Lie } else { severity };
        match severity {
            Severity::Failure { .. } if planted::is(Bug::RetryAtOnce) => {}
            Severity::Lie => {
                let span = (BAN_MS << source.lies.min(16)).min(BAN_MS_MAX);
                source.lies += 1;
                source.banned_until = now.plus(span);
            }
            Severity::Failure { retry_after_ms } => {
                let span = (PAUSE_MS << source.failures_in_a_row.min(16)).min(PAUSE_MS_MAX);
                source.failures_in_a_row += 1;
                source.failed_at = now;
                let pause = jitter.half_to_whole(span).max(retry_after_ms.unwrap_or(0));
                source.paused_until = source.paused_until.max(now.plus(pause));
            }
            Severity::Missing => {}
        }
    }

    /// What each source stands at.
    pub fn status(&self, now: Millis) -> Vec<SourceStatus> {
        let state = |source: &Source| {
            if source.removed {
                SourceState::Removed
            } else if source.banned_until > now {
                SourceState::Banned
            } else if source.paused_until > now {
                SourceState::BackingOff
            } else if source.requests == 0 {
                SourceState::Unused
            } else {
                SourceState::Ok
            }
        };
        self.sources
            .iter()
            .map(|source| SourceStatus {
                name: source.name.clone(),
                state: state(source),
                bytes: source.bytes,
                requests: source.requests,
                faults: source.faults,
                last_fault: source.last_fault,
                bytes_per_second: source.gauge.rate(now),
                latency_ms: source.gauge.latency_ms(),
            })
            .collect()
    }

    fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    fn source(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(id.0 as usize)
    }

    fn numbered(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().enumerate().map(|(index, source)| (number(index), source))
    }
}

/// What a source that is not measured yet is taken for.
struct Guess {
    rate: u64,
    latency_ms: u64,
}

impl Source {
    fn expected_ms(&self, id: SourceId, ask: &Ask<'_>, guess: &Guess, now: Millis) -> u64 {
        let latency_ms = self.gauge.latency_ms().unwrap_or(guess.latency_ms);
        if ask.len < BULK_BYTES {
            return latency_ms;
        }
        let beside = ask.flights.iter().filter(|flight| flight.source == id);
        let bytes = ask.len + beside.map(|flight| flight.left.min(ask.len)).sum::<u64>();
        let rate = self.gauge.rate(now).unwrap_or(guess.rate).max(1);
        latency_ms + bytes.saturating_mul(1000) / rate
    }

    /// Failures in a row; they are forgiven but for what somebody waits for.
    fn failing(&self, purpose: Purpose, now: Millis) -> u32 {
        match purpose {
            Purpose::Read => self.failures_in_a_row,
            Purpose::Sync | Purpose::News => {
                let forgiven = now.since(self.failed_at) / FORGIVE_MS;
                let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
                self.failures_in_a_row.min(FAILURES_MAX).saturating_sub(forgiven)
            }
        }
    }
}

fn number(index: usize) -> SourceId {
    SourceId(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Ask<'_> = Ask {
        avoid: &[],
        never: None,
        only: None,
        len: 1000,
        purpose: Purpose::Read,
        flights: &[],
    };
    const SYNC: Ask<'_> = Ask { len: 1 << 20, purpose: Purpose::Sync, ..READ };
    const NEWS: Ask<'_> = Ask { purpose: Purpose::News, ..READ };
    const FAILURE: Severity = Severity::Failure { retry_after_ms: None };
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
        sources.succeeded(A);
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
        sources.faulted(A, "peer/hash-mismatch", Severity::Lie, Millis(0));
        assert_eq!(sources.choose(&READ, Millis(BAN_MS - 1)), Choice::Nobody);
        assert_eq!(sources.choose(&READ, Millis(BAN_MS)), Choice::Ask(A));
        sources.faulted(A, "peer/hash-mismatch", Severity::Lie, Millis(BAN_MS));
        assert_eq!(sources.choose(&READ, Millis(3 * BAN_MS - 1)), Choice::Nobody);
        assert_eq!(sources.choose(&READ, Millis(3 * BAN_MS)), Choice::Ask(A));
    }

    #[test]
    fn retry_after_is_honoured() {
        let mut sources = two();
        sources.remove(B);
        let failure = Severity::Failure { retry_after_ms: Some(5000) };
        sources.faulted(A, "peer/http-status", failure, Millis(0));
        assert_eq!(sources.choose(&READ, Millis(0)), Choice::Later(Millis(5000)));
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
        sources.faulted(B, "peer/hash-mismatch", Severity::Lie, Millis(0));
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
        assert_eq!(fits(&measured((2_000_000, 50), (2_000_000, 50))), (PLACES, PLACES));
        // A tenth of the rate: it would be done long after all that the other one has.
        assert_eq!(fits(&measured((200_000, 50), (2_000_000, 50))), (0, PLACES));
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
}
