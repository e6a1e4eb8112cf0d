//! Following: who tells of a new version, and when to ask without being told.
//!
//! A source may be listened to (docs/spec/live.md). What it says is a hint that something is newer,
//! with bytes that are verified like any that were fetched: by the same trust, and by their names.
//! A source that lies there is blamed as for a body, and no more listened to; one that calls for
//! nothing, again and again, is hung up on. What it leaves unsaid is found by asking: at intervals
//! while nobody is heard, and, while somebody is, once the data is stale by the witnesses' time.
//!
//! Intervals and pauses are spread by the seed, so that the listeners of an edge that went down
//! neither come back nor ask at one moment.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;
use crate::format::bootstrap::Bootstrap;
use crate::format::note::Checkpoint;
use crate::format::push::Push;
use crate::limits::MAX_PUSH_LEN;
use crate::plan::sources::{Ask, Choice, Kind, Purpose, Severity, SourceId};
use crate::trust::accept::{Offer, Seen};
use crate::trust::freshness::Level;
use crate::types::Millis;

use super::Engine;
use super::head::HeadTask;
use super::io::{Event, Output, RequestId, Target};
use super::net::Fault;
use super::work::WorkItem;

/// The first pause after a line broke, which doubles up to the longest.
const PAUSE_MS: u64 = 1000;
const PAUSE_MS_MAX: u64 = 300_000;
/// A line that held for so long was a good one: the next pause is the first again.
const GOOD_LINE_MS: u64 = 60_000;
/// Calls for nothing, in a row, that a source is forgiven.
const FALSE_ALARMS: u32 = 3;

/// How a client keeps up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whether to listen to a source.
    pub live: bool,
    /// How often to ask while nobody is heard, on average, in milliseconds; at least 1000.
    pub poll_ms: u64,
}

/// Where following stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Following {
    wants: Option<Follow>,
    line: Line,
    /// Lines that broke early, in a row.
    broken: u32,
    /// Who was listened to last.
    last: Option<SourceId>,
    poll_at: Option<Millis>,
    /// The newest thing that was said and not looked at yet.
    said: Option<(SourceId, Vec<u8>)>,
    /// Who called, and where the log stood then.
    alarm: Option<(SourceId, Seen)>,
    false_alarms: u32,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Down { until: Millis },
    Up { request: RequestId, source: SourceId, since: Millis, heard: bool },
}

impl Default for Line {
    fn default() -> Self {
        Self::Down { until: Millis(0) }
    }
}

impl Following {
    /// When to look again.
    pub(super) fn wake(&self) -> Option<Millis> {
        let wants = self.wants?;
        let line = match self.line {
            Line::Down { until } if wants.live => Some(until),
            Line::Down { .. } | Line::Up { .. } => None,
        };
        self.poll_at.into_iter().chain(line).min()
    }

    fn is_heard(&self) -> bool {
        matches!(self.line, Line::Up { heard: true, .. })
    }
}

impl Engine {
    /// Keeps up by itself from now on, beginning with a sync. The syncs that this begins end as
    /// those of commands do.
    pub fn follow(&mut self, follow: Follow) {
        let poll_ms = follow.poll_ms.max(1000);
        self.following.wants = Some(Follow { poll_ms, ..follow });
        self.following.poll_at = Some(Millis(0));
    }

    /// Looks at what was said, at the interval and at the line.
    pub(super) fn step_follow(&mut self, now: Millis) {
        let Some(wants) = self.following.wants else { return };
        if self.is_quiet() {
            self.judge_alarm(now);
            if let Some((source, said)) = self.following.said.take() {
                self.work.push(WorkItem::Said(source, said));
            }
        }
        self.poll(wants, now);
        if wants.live {
            self.listen(now);
        }
    }

    /// Whether no sync and no search for the head runs.
    fn is_quiet(&self) -> bool {
        let searching = match self.head {
            HeadTask::Idle | HeadTask::Failed(_) => false,
            HeadTask::Asking | HeadTask::Proving { .. } | HeadTask::Adopting(_) => true,
        };
        self.sync.is_none() && !searching
    }

    fn poll(&mut self, wants: Follow, now: Millis) {
        if self.sync.is_some() {
            // The next interval begins when it ends.
            self.following.poll_at = None;
            return;
        }
        let due = self.following.poll_at.is_some_and(|at| at <= now);
        if due && !(self.following.is_heard() && self.freshness(now).level < Level::Stale) {
            self.following.poll_at = None;
            return self.start_sync(now);
        }
        if due || self.following.poll_at.is_none() {
            // Between two and four thirds of the interval.
            let span = self.sources.spread(wants.poll_ms.saturating_mul(4) / 3);
            self.following.poll_at = Some(now.plus(span));
        }
    }

    fn listen(&mut self, now: Millis) {
        let Line::Down { until } = self.following.line else { return };
        if now < until {
            return;
        }
        let avoid: Vec<SourceId> = self.following.last.into_iter().collect();
        let ask = Ask {
            avoid: &avoid,
            never: self.seed.as_ref().map(|seed| seed.id),
            only: None,
            len: MAX_PUSH_LEN as u64,
            kind: Kind::Pointer,
            purpose: Purpose::Read,
            flights: &[],
        };
        match self.sources.choose(&ask, now) {
            Choice::Ask(source) => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.sources.asked(source);
                self.following.last = Some(source);
                self.following.line = Line::Up { request, source, since: now, heard: false };
                let target = Target { path: self.live_path(), range: None };
                let max_bytes = MAX_PUSH_LEN as u64;
                self.outputs.push_back(Output::Listen { request, source, target, max_bytes });
            }
            Choice::Later(until) => self.following.line = Line::Down { until },
            Choice::Wait | Choice::Nobody => {
                self.following.line = Line::Down { until: now.plus(PAUSE_MS_MAX) };
            }
        }
    }

    fn live_path(&self) -> String {
        ["live/", self.channel.as_str()].concat()
    }

    /// A source said something on the line.
    pub(super) fn pushed(&mut self, request: RequestId, bytes: Vec<u8>, now: Millis) {
        let Line::Up { request: own, source, since, heard } = self.following.line else { return };
        if own != request {
            return;
        }
        self.bytes_fetched += bytes.len() as u64;
        self.sources.received(source, bytes.len() as u64);
        if bytes.len() > MAX_PUSH_LEN {
            let fault = Fault::lie("peer/too-long", "more bytes than a push may have");
            return self.lied(source, fault, now);
        }
        self.following.line = Line::Up { request, source, since, heard: true };
        if !heard {
            self.live_event(source, true);
        }
        if self.following.said.replace((source, bytes)).is_some() {
            self.falls_behind(now);
        }
    }

    /// A line ended, whoever ended it.
    pub(super) fn line_ended(&mut self, request: RequestId, now: Millis) {
        let Line::Up { request: own, .. } = self.following.line else { return };
        if own == request {
            self.line_down(now);
        }
    }

    fn line_down(&mut self, now: Millis) {
        let Line::Up { source, since, heard, .. } = self.following.line else { return };
        let good = heard && now.since(since) >= GOOD_LINE_MS;
        self.following.broken = if good { 0 } else { self.following.broken.saturating_add(1) };
        let doubled = PAUSE_MS << self.following.broken.saturating_sub(1).min(16);
        let pause = self.sources.spread(doubled.min(PAUSE_MS_MAX));
        self.following.line = Line::Down { until: now.plus(pause) };
        if heard {
            self.live_event(source, false);
        }
    }

    fn live_event(&mut self, source: SourceId, heard: bool) {
        let source = String::from(self.sources.name(source));
        self.event(Event::Live { source, heard });
    }

    /// Blames who said it, and hangs up.
    fn lied(&mut self, source: SourceId, fault: Fault, now: Millis) {
        let blame = (fault.severity, Kind::Pointer);
        self.sources.faulted(source, fault.code, blame, now);
        let Fault { code, detail, .. } = fault;
        let (name, object) = (String::from(self.sources.name(source)), self.live_path());
        self.event(Event::Fault { source: name, code, object, detail });
        match self.following.line {
            Line::Up { request, source: heard, .. } if heard == source => {
                self.outputs.push_back(Output::CancelFetch { request });
                self.line_down(now);
            }
            Line::Up { .. } | Line::Down { .. } => {}
        }
    }

    /// Looks at what a source said.
    #[inline(never)]
    pub(super) fn look_at(&mut self, source: SourceId, said: Vec<u8>, now: Millis) {
        if !self.is_quiet() {
            // Something began meanwhile: after that, where nothing newer was said.
            self.following.said.get_or_insert((source, said));
            return;
        }
        let looked = match Push::parse(&said) {
            Ok(Push::Checkpoint(note)) => self.told_of(source, &note, now),
            Ok(Push::Release { bootstrap, objects }) => {
                self.handed(source, &bootstrap, objects, now)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = looked {
            let fault = Fault::of(&error);
            // A source that is merely behind says nothing that matters.
            if fault.severity == Severity::Lie {
                self.lied(source, fault, now);
            }
        }
    }

    /// A checkpoint: of the log as it is known it may bring cosignatures; one that is further is
    /// a reason to ask.
    fn told_of(&mut self, source: SourceId, note: &[u8], now: Millis) -> Result<(), Error> {
        let checkpoint = Checkpoint::parse(note)?;
        let seen = self.trust.seen();
        if seen == (Seen { size: checkpoint.size, root: checkpoint.root }) {
            match self.trust.refresh(note, &self.channel) {
                Ok(Offer::Accepted(renewed)) if self.committed.is_some() => {
                    self.head = HeadTask::Adopting(renewed);
                    self.step_head();
                    return Ok(());
                }
                Ok(Offer::Accepted(_) | Offer::Unchanged | Offer::NeedsConsistency { .. }) => {
                    return Ok(());
                }
                // Signed under a newer trust root, or by nobody: the bootstrap tells which.
                Err(_) => {}
            }
        } else if checkpoint.size < seen.size {
            return Ok(());
        }
        self.following.alarm = Some((source, seen));
        if self.target.is_none() {
            self.head = HeadTask::Asking;
            self.ask_bootstrap(Some(source));
        }
        self.start_sync(now);
        Ok(())
    }

    /// A release, which is taken as if it had been fetched.
    fn handed(
        &mut self,
        source: SourceId,
        bootstrap: &[u8],
        objects: Vec<Vec<u8>>,
        now: Millis,
    ) -> Result<(), Error> {
        let mut bootstrap = Bootstrap::parse(bootstrap)?;
        let offer = match self.trust.offer(&bootstrap, &self.channel)? {
            Offer::Unchanged => return Ok(()),
            offer @ (Offer::Accepted(_) | Offer::NeedsConsistency { .. }) => offer,
        };
        self.following.false_alarms = 0;
        if self.target.is_some() {
            // What is pinned is finished first, and then the head is looked for again.
            self.start_sync(now);
            return Ok(());
        }
        bootstrap.objects.extend(objects);
        // The search has its answer before the sync would begin one.
        self.head = HeadTask::Asking;
        self.start_sync(now);
        self.take_offer(offer, bootstrap, source, false);
        Ok(())
    }

    /// What came of a call, now that its sync is over.
    fn judge_alarm(&mut self, now: Millis) {
        let Some((source, seen)) = self.following.alarm.take() else { return };
        if self.trust.seen() != seen {
            self.following.false_alarms = 0;
            return;
        }
        self.following.false_alarms += 1;
        if self.following.false_alarms >= FALSE_ALARMS {
            self.following.false_alarms = 0;
            let severity = Severity::Failure;
            let detail = String::from("it calls, and has nothing newer");
            self.lied(source, Fault { code: "peer/false-alarm", severity, detail }, now);
        }
    }
}
