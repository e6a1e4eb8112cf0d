//! The sources' records: who may be asked, who failed, who lied.
//!
//! A lie (bytes that are not what was signed) costs a source its place for a while that doubles;
//! a failure (no answer, a broken connection, an overloaded server) only a pause. An attacker who
//! runs a source can waste one object's bytes, and then waits for the ban to end.

use alloc::string::String;
use alloc::vec::Vec;

use crate::types::Millis;

const BAN_MS: u64 = 30_000;
const BAN_MS_MAX: u64 = 3_600_000;
const PAUSE_MS: u64 = 200;
const PAUSE_MS_MAX: u64 = 10_000;

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
    in_flight: u32,
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
    /// Nobody before that time.
    Later(Millis),
    /// Nobody: there is no source, or each one is banned or removed.
    Nobody,
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
            in_flight: 0,
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

    /// Who is to be asked: fewest failures in a row first, then the order of adding; those in
    /// `avoid` only where there is nobody else, and `never` in no case.
    pub fn choose(&self, avoid: &[SourceId], never: Option<SourceId>, now: Millis) -> Choice {
        let mut best: Option<(bool, u32, SourceId)> = None;
        let mut later: Option<Millis> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let id = number(index);
            if never == Some(id) || source.removed || source.banned_until > now {
                continue;
            }
            if source.paused_until > now {
                later = Some(later.map_or(source.paused_until, |t| t.min(source.paused_until)));
                continue;
            }
            let rank = (avoid.contains(&id), source.failures_in_a_row, id);
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        match (best, later) {
            // Somebody who did not fail this object yet is worth a short wait.
            (Some((true, _, _)), Some(time)) => Choice::Later(time),
            (Some((_, _, id)), _) => Choice::Ask(id),
            (None, Some(time)) => Choice::Later(time),
            (None, None) => Choice::Nobody,
        }
    }

    /// A span that is not everybody's: between half of it and the whole, by the seed.
    pub fn spread(&mut self, span_ms: u64) -> u64 {
        self.jitter.half_to_whole(span_ms)
    }

    /// A request went out.
    pub fn asked(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.in_flight += 1;
            source.requests += 1;
        }
    }

    /// Bytes came in.
    pub fn received(&mut self, id: SourceId, bytes: u64) {
        if let Some(source) = self.source(id) {
            source.bytes += bytes;
        }
    }

    /// A request ended well.
    pub fn succeeded(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.in_flight = source.in_flight.saturating_sub(1);
            source.failures_in_a_row = 0;
        }
    }

    /// A request ended without anybody's fault.
    pub fn cancelled(&mut self, id: SourceId) {
        if let Some(source) = self.source(id) {
            source.in_flight = source.in_flight.saturating_sub(1);
        }
    }

    /// A request ended with a fault.
    pub fn faulted(&mut self, id: SourceId, code: &'static str, severity: Severity, now: Millis) {
        let jitter = &mut self.jitter;
        let Some(source) = self.sources.get_mut(id.0 as usize) else { return };
        source.in_flight = source.in_flight.saturating_sub(1);
        source.faults += 1;
        source.last_fault = Some(code);
        match severity {
            Severity::Lie => {
                let span = (BAN_MS << source.lies.min(16)).min(BAN_MS_MAX);
                source.lies += 1;
                source.banned_until = now.plus(span);
            }
            Severity::Failure { retry_after_ms } => {
                let span = (PAUSE_MS << source.failures_in_a_row.min(16)).min(PAUSE_MS_MAX);
                source.failures_in_a_row += 1;
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
            })
            .collect()
    }

    fn source(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(id.0 as usize)
    }
}

fn number(index: usize) -> SourceId {
    SourceId(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Sources {
        let mut sources = Sources::new(7);
        sources.add("a".into());
        sources.add("b".into());
        sources
    }

    #[test]
    fn the_first_source_is_asked_until_it_fails() {
        let mut sources = two();
        let now = Millis(1000);
        assert_eq!(sources.choose(&[], None, now), Choice::Ask(SourceId(0)));
        let failure = Severity::Failure { retry_after_ms: None };
        sources.faulted(SourceId(0), "peer/network", failure, now);
        assert_eq!(sources.choose(&[], None, now), Choice::Ask(SourceId(1)));
        let later = now.plus(PAUSE_MS);
        assert_eq!(sources.choose(&[], None, later), Choice::Ask(SourceId(1)));
        sources.succeeded(SourceId(0));
        assert_eq!(sources.choose(&[], None, later), Choice::Ask(SourceId(0)));
    }

    #[test]
    fn a_lie_bans_for_longer_each_time() {
        let mut sources = two();
        sources.remove(SourceId(1));
        sources.faulted(SourceId(0), "peer/hash-mismatch", Severity::Lie, Millis(0));
        assert_eq!(sources.choose(&[], None, Millis(BAN_MS - 1)), Choice::Nobody);
        assert_eq!(sources.choose(&[], None, Millis(BAN_MS)), Choice::Ask(SourceId(0)));
        sources.faulted(SourceId(0), "peer/hash-mismatch", Severity::Lie, Millis(BAN_MS));
        assert_eq!(sources.choose(&[], None, Millis(3 * BAN_MS - 1)), Choice::Nobody);
        assert_eq!(sources.choose(&[], None, Millis(3 * BAN_MS)), Choice::Ask(SourceId(0)));
    }

    #[test]
    fn retry_after_is_honoured() {
        let mut sources = two();
        sources.remove(SourceId(1));
        let failure = Severity::Failure { retry_after_ms: Some(5000) };
        sources.faulted(SourceId(0), "peer/http-status", failure, Millis(0));
        assert_eq!(sources.choose(&[], None, Millis(0)), Choice::Later(Millis(5000)));
    }

    #[test]
    fn a_source_that_failed_an_object_is_asked_for_it_last() {
        let sources = two();
        assert_eq!(sources.choose(&[SourceId(0)], None, Millis(0)), Choice::Ask(SourceId(1)));
        let both = [SourceId(0), SourceId(1)];
        assert_eq!(sources.choose(&both, None, Millis(0)), Choice::Ask(SourceId(0)));
    }
}
