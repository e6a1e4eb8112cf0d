//! The sources' records: who may be asked, who is quick, who failed, who lied.
//!
//! Asked is who is expected to be done first: measured latency, and what is under way there at its
//! measured rate. A lie (bytes that are not what was signed) costs a source its place for a while
//! that doubles; a failure (no answer, a broken connection, an overloaded server) only a pause
//! (`retry`). An attacker who runs a source can waste one object's bytes, and then waits for the
//! ban to end. What is measured is remembered from one start to the next (`record`).

use alloc::string::String;
use alloc::vec::Vec;

use crate::planted::{self, Bug};
use crate::types::Millis;

use super::gauge::Gauge;
use super::record::SourceRecord;
pub use super::retry::Kind;
use super::retry::{Retry, SplitMix64};

const BAN_MS: u64 = 30_000;
const BAN_MS_MAX: u64 = 3_600_000;
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
    /// It gave no answer, or asked to be left alone: nothing is asked of it for a while.
    Away {
        /// The pause it asked for.
        retry_after_ms: Option<u64>,
    },
    /// It failed an object; others of its kind may fail too.
    Failure,
    /// It does not have the object, or is behind; it may well have others.
    Missing,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    removed: bool,
    banned_until: Millis,
    lies: u32,
    retries: [Retry; Kind::ALL.len()],
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
    /// What kind of object it is.
    pub kind: Kind,
    /// What it is for.
    pub purpose: Purpose,
    /// What is under way, of everybody.
    pub flights: &'a [Flight],
}

/// All sources, and a generator for jitter.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<Source>,
    remembered: Vec<SourceRecord>,
    jitter: SplitMix64,
}

impl Sources {
    /// No source yet.
    pub fn new(seed: u64) -> Self {
        Self { sources: Vec::new(), remembered: Vec::new(), jitter: SplitMix64(seed) }
    }

    /// Adds a source under the next number.
    pub fn add(&mut self, name: String) -> SourceId {
        let id = number(self.sources.len());
        let mut source = Source {
            name,
            removed: false,
            banned_until: Millis(0),
            lies: 0,
            retries: Default::default(),
            quiet: 0,
            gauge: Gauge::default(),
            bytes: 0,
            requests: 0,
            faults: 0,
            last_fault: None,
        };
        source.recall(&self.remembered);
        self.sources.push(source);
        id
    }

    /// What was remembered of the sources, those that are to be added as well.
    pub fn remember(&mut self, records: Vec<SourceRecord>) {
        for source in &mut self.sources {
            source.recall(&records);
        }
        self.remembered = records;
    }

    /// What is to be remembered: of those that were asked what is known now, but for one, and of
    /// others what was.
    pub fn records(&self, but: Option<SourceId>, now: Millis) -> Vec<SourceRecord> {
        let asked = self.numbered().filter(|(id, source)| source.requests > 0 && Some(*id) != but);
        let mut records: Vec<_> = asked.map(|(_, source)| source.record(now)).collect();
        for record in &self.remembered {
            if records.iter().all(|known| known.name != record.name) {
                records.push(record.clone());
            }
        }
        records
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
        let paused_until = |source: &Source| source.retry(ask.kind).paused_until;
        let free = || all().filter(|(_, source)| paused_until(source) <= now);
        let later = all().map(|(_, source)| paused_until(source)).filter(|time| *time > now).min();
        let guess = Guess {
            rate: free().filter_map(|(_, source)| source.gauge.expected(now)).max().unwrap_or(RATE),
            latency_ms: free().filter_map(|(_, s)| s.gauge.latency_ms()).min().unwrap_or(0),
        };
        let best = free()
            .map(|(id, source)| {
                let avoided = ask.avoid.contains(&id);
                let quiet = if ask.purpose == Purpose::News { source.quiet } else { 0 };
                let ms = source.expected_ms(id, ask, &guess, now);
                (avoided, source.failing(ask, now), quiet, ms / STEP_MS, id)
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
        let rate = self.get(id).and_then(|source| source.gauge.expected(now));
        match purpose {
            Purpose::Read => PLACES + EXTRA_PLACES,
            Purpose::News => PLACES,
            Purpose::Sync if alone => PLACES,
            Purpose::Sync if failing > 0 => 1,
            Purpose::Sync if rate.is_none() => PLACES_UNKNOWN,
            Purpose::Sync => PLACES,
        }
    }

    /// How many may be asked for objects now.
    pub fn usable(&self, never: Option<SourceId>, now: Millis) -> usize {
        let usable = |source: &Source| {
            let free = source.retry(Kind::Object).paused_until <= now;
            !source.removed && source.banned_until <= now && free
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
        let ask = Ask {
            avoid: &[],
            never: None,
            only: None,
            len,
            kind: Kind::Object,
            purpose: Purpose::Sync,
            flights,
        };
        Some(source.expected_ms(id, &ask, &guess, now))
    }

    /// What the best of them usually gives, in bytes a second, once one is known.
    pub fn usual_rate(&self) -> Option<u64> {
        let kept = self.sources.iter().filter(|source| !source.removed);
        kept.filter_map(|source| source.gauge.usual()).max()
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

    /// A request for an object of a kind ended well.
    pub fn succeeded(&mut self, id: SourceId, kind: Kind, now: Millis) {
        if let Some(source) = self.source(id) {
            source.retries[kind as usize].succeeded(now);
        }
    }

    /// A request for an object of a kind ended with a fault.
    pub fn faulted(
        &mut self,
        id: SourceId,
        code: &'static str,
        (severity, kind): (Severity, Kind),
        now: Millis,
    ) {
        let jitter = &mut self.jitter;
        let Some(source) = self.sources.get_mut(id.0 as usize) else { return };
        source.faults += 1;
        source.last_fault = Some(code);
        let failure = matches!(severity, Severity::Failure | Severity::Away { .. });
        let lie = failure && planted::is(Bug::FailureIsALie);
        let severity = if lie { Severity::Lie } else { severity };
        match severity {
            Severity::Missing => {}
            Severity::Lie => {
                let span = (BAN_MS << source.lies.min(16)).min(BAN_MS_MAX);
                source.lies += 1;
                source.banned_until = now.plus(span);
            }
            Severity::Failure | Severity::Away { .. } if planted::is(Bug::RetryAtOnce) => {}
            Severity::Failure => {
                source.retries[kind as usize].failed(now, |span| jitter.half_to_whole(span));
            }
            Severity::Away { retry_after_ms } => {
                source.retries[kind as usize].failed(now, |span| jitter.half_to_whole(span));
                let own = source.retry(kind).paused_until;
                for retry in &mut source.retries {
                    retry.wait(own.since(now).max(retry_after_ms.unwrap_or(0)), now);
                }
            }
        }
    }

    /// What each source stands at.
    pub fn status(&self, now: Millis) -> Vec<SourceStatus> {
        let state = |source: &Source| {
            if source.removed {
                SourceState::Removed
            } else if source.banned_until > now {
                SourceState::Banned
            } else if source.retries.iter().any(|retry| retry.paused_until > now) {
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
        let rate = self.gauge.expected(now).unwrap_or(guess.rate).max(1);
        latency_ms + bytes.saturating_mul(1000) / rate
    }

    /// Failures in a row; they are forgiven but for what somebody waits for.
    fn failing(&self, ask: &Ask<'_>, now: Millis) -> u32 {
        let retry = self.retry(ask.kind);
        match ask.purpose {
            Purpose::Read => retry.in_a_row,
            Purpose::Sync | Purpose::News => retry.failing(now),
        }
    }

    fn retry(&self, kind: Kind) -> &Retry {
        &self.retries[kind as usize]
    }

    fn recall(&mut self, records: &[SourceRecord]) {
        let Some(record) = records.iter().find(|record| record.name == self.name) else { return };
        self.gauge.recall(record.bytes_per_second, record.latency_ms);
        for (retry, window_ms) in self.retries.iter_mut().zip(record.windows_ms) {
            retry.window_ms = retry.window_ms.or(window_ms);
        }
    }

    fn record(&self, now: Millis) -> SourceRecord {
        SourceRecord {
            name: self.name.clone(),
            latency_ms: self.gauge.latency_ms(),
            bytes_per_second: self.gauge.expected(now),
            windows_ms: Kind::ALL.map(|kind| self.retry(kind).window_ms),
        }
    }
}

fn number(index: usize) -> SourceId {
    SourceId(u32::try_from(index).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
