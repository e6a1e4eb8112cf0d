//! How old the version is that serves reads, by the witnesses' times and the local clock.

use crate::error::TrustError;
use crate::trust::freshness::{Freshness, Level};
use crate::types::Millis;

use super::Engine;
use super::io::{Event, Failure};

/// A set of which nobody heard for so long has likely changed.
const AWAY_MS: u64 = 3_600_000;

/// What the local clock says, beside the engine's own time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The engine's time when the clock was read, and what it said.
    read: Option<(Millis, Millis)>,
}

impl Clock {
    fn at(&self, now: Millis) -> Millis {
        self.read.map_or(now, |(when, said)| said.plus(now.since(when)))
    }
}

impl Engine {
    /// Tells what the local clock says. The engine's own time never goes back while it lives; a
    /// clock that is set right is believed at once. Without it the engine's time counts.
    pub fn set_clock(&mut self, clock: Millis, now: Millis) {
        self.clock.read = Some((now, clock));
    }

    /// Answers reads with `trust/expired` as long as what would serve them is expired.
    pub fn refuse_expired(&mut self, refuse: bool) {
        self.refuse_expired = refuse;
    }

    /// How old the version is that serves reads. Its time is the one that its own checkpoint was
    /// cosigned at; the newest checkpoint known may belong to a version that is still on its way,
    /// and its cosignatures are the time that it surely is.
    pub(super) fn freshness(&self, now: Millis) -> Freshness {
        let staleness = self.trust.root().staleness;
        let cosigned = self.serving().and_then(|serving| serving.trust.cosigned_at());
        Freshness::of(staleness, cosigned, self.trust.cosigned_at(), self.clock.at(now))
    }

    /// Whoever did not look for so long was away.
    pub(super) fn was_away(&self, now: Millis) -> bool {
        self.searched.is_some_and(|at| now.since(at) >= AWAY_MS)
    }

    /// It is known which version is the newest, where a search ended; that is remembered.
    pub(super) fn note_search(&mut self, now: Millis) {
        let noted = self.searched.is_some() && !self.was_away(now);
        if self.head_checked {
            self.searched = Some(now);
        }
        if !noted {
            self.note_sources(now);
        }
    }

    /// Notes how old things are by now, and tells of another level.
    pub(super) fn look_at_clock(&mut self, now: Millis) {
        let freshness = self.freshness(now);
        if freshness.level != self.freshness.level {
            self.event(Event::Freshness(freshness));
        }
        self.freshness = freshness;
    }

    /// Whether what serves reads may still serve them.
    pub(super) fn check_expired(&self) -> Result<(), Failure> {
        if self.refuse_expired && self.freshness.level == Level::Expired {
            return Err(Failure::Error(TrustError::Expired.into()));
        }
        Ok(())
    }
}
