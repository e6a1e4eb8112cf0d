//! What a sync has reached, what stands in its way, and what is done about it.
//!
//! Milestones are told in order and once for each version; each promises what is durable then. A
//! condition is told when it begins and when it ends, and changes what the engine does:
//!
//! | condition | when it holds | what it changes |
//! | --- | --- | --- |
//! | late | the rest will take longer than there is time | the sync yields to reads alone |
//! | store slow | half of the budget is in transactions | transactions are twice as large |
//! | behind | a newer version was told of while the one told of before waits | as late |
//!
//! A sync that yields (a hidden page, a metered line) has one transfer under way.

use alloc::string::String;
use alloc::vec::Vec;

use crate::map::Set;
use crate::types::{Millis, Version};

use super::Engine;
use super::io::{Event, Milestone, Phase};
use super::net::Fetch;
use super::snapshot::Shelf;

/// Transfers at once of a sync that yields.
const YIELDING_FETCHES: usize = 1;
/// A sync runs for so long before its rate says when it will end.
const RATE_KNOWN_MS: u64 = 1000;
/// The store is slow from so many bytes in its transactions on, until it has so few.
const SLOW_STORE_BYTES: usize = 14 << 20;
const WELL_STORE_BYTES: usize = 7 << 20;

/// Something that stands in a sync's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It will end later than it has time.
    Late,
    /// The store takes less than the network gives.
    StoreSlow,
    /// Versions are released faster than they are brought.
    Behind,
}

impl Condition {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::StoreSlow => "store-slow",
            Self::Behind => "behind",
        }
    }
}

const CONDITIONS: [Condition; 3] = [Condition::Late, Condition::StoreSlow, Condition::Behind];

/// Where it comes from, and so what would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The line: fewer collections, or another place.
    Network,
    /// The store: a faster disk, or fewer programs on it.
    Store,
    /// The sources, none of which answers now: another one.
    Sources,
    /// The publisher: fewer releases.
    Releases,
}

impl Cause {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Store => "store",
            Self::Sources => "sources",
            Self::Releases => "releases",
        }
    }
}

/// Which milestones of a version are told.
#[derive(Clone, Copy, Debug)]
struct Told {
    version: Version,
    /// How many of its collections, in their order.
    collections: usize,
    bootstrap: bool,
}

/// What is known of the sync under way, and how it is to be run.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Whether syncs yield to everything else.
    yields: bool,
    deadline: Option<Millis>,
    holds: [bool; CONDITIONS.len()],
    told: Option<Told>,
}

impl Standing {
    pub(super) fn is(&self, condition: Condition) -> bool {
        self.holds[condition as usize]
    }

    /// When to look again.
    pub(super) fn wake(&self) -> Option<Millis> {
        self.deadline.filter(|_| !self.is(Condition::Late))
    }

    /// Transfers of a sync at once, where it is to have few.
    pub(super) fn few(&self) -> Option<usize> {
        let hurries = self.is(Condition::Late) || self.is(Condition::Behind);
        (self.yields && !hurries).then_some(YIELDING_FETCHES)
    }
}

/// Whether a store is slow with so many bytes in its transactions, that was or was not before.
fn is_slow(given: usize, before: bool) -> bool {
    given >= SLOW_STORE_BYTES || (before && given > WELL_STORE_BYTES)
}

impl Engine {
    pub(super) fn yield_syncs(&mut self, yields: bool) {
        self.standing.yields = yields;
    }

    pub(super) fn sync_until(&mut self, deadline: Option<Millis>) {
        if self.sync.is_some() {
            self.standing.deadline = deadline;
        }
    }

    /// Whether a bundle may be asked for beside those that are on their way.
    pub(super) fn may_sync_more(&self) -> bool {
        let flying = || self.net.fetches.values().filter(|fetch: &&Fetch| fetch.job.is_sync());
        self.standing.few().is_none_or(|few| flying().count() < few)
    }

    /// Looks whether the sync has time, and at the store.
    pub(super) fn step_standing(&mut self, now: Millis) {
        let before = self.standing.is(Condition::StoreSlow);
        let slow = is_slow(self.store.given_bytes(), before);
        self.condition(Condition::StoreSlow, slow, None, now);
        self.store.large = slow;
        if self.standing.deadline.is_some_and(|deadline| now >= deadline) {
            self.condition(Condition::Late, true, None, now);
        }
    }

    /// How far the sync is became known.
    pub(super) fn look_ahead(&mut self, eta_ms: Option<u64>, now: Millis) {
        let (Some(sync), Some(deadline), Some(eta_ms)) =
            (&self.sync, self.standing.deadline, eta_ms)
        else {
            return;
        };
        if now.since(sync.started) >= RATE_KNOWN_MS && now.plus(eta_ms) > deadline {
            self.condition(Condition::Late, true, Some(eta_ms), now);
        }
    }

    /// A version was told of before the one told of before was looked at.
    pub(super) fn falls_behind(&mut self, now: Millis) {
        if self.sync.is_some() {
            self.condition(Condition::Behind, true, None, now);
        }
    }

    fn condition(&mut self, condition: Condition, holds: bool, eta_ms: Option<u64>, now: Millis) {
        let known = &mut self.standing.holds[condition as usize];
        if core::mem::replace(known, holds) == holds {
            return;
        }
        let never = self.seed.as_ref().map(|seed| seed.id);
        let cause = match condition {
            Condition::Behind => Cause::Releases,
            Condition::StoreSlow => Cause::Store,
            Condition::Late if self.standing.is(Condition::StoreSlow) => Cause::Store,
            Condition::Late if self.sources.usable(never, now) == 0 => Cause::Sources,
            Condition::Late => Cause::Network,
        };
        self.event(Event::Condition { condition, holds, cause, eta_ms });
    }

    /// A sync ended: what stood in its way is over, and so is its time.
    pub(super) fn standing_over(&mut self, now: Millis) {
        self.standing.deadline = None;
        for condition in CONDITIONS {
            self.condition(condition, false, None, now);
        }
    }

    /// Tells the milestones that the version under way has reached, or the one that serves reads
    /// and is complete.
    pub(super) fn tell_milestones(&mut self, complete: bool) {
        let snapshot = if complete { &self.committed } else { &self.target };
        let Some(snapshot) = snapshot else { return };
        let version = snapshot.manifest.version;
        let before = self.standing.told.filter(|told| told.version == version);
        let mut told = before.unwrap_or(Told { version, collections: 0, bootstrap: false });
        let order = snapshot.order();
        let brought = self.sync.as_ref().map_or(0, |sync| match sync.phase {
            Phase::Bootstrap | Phase::Collections | Phase::Commit => sync.cursor.0,
            Phase::Idle | Phase::Trust | Phase::Complete | Phase::Failed => 0,
        });
        let may_be_stored = if complete { order.len() } else { brought };
        let mut news = Vec::new();
        if before.is_none() {
            news.push(Milestone::Trusted);
        }
        loop {
            let next = order.get(told.collections).copied();
            let parts = next.and_then(|at| {
                Some((snapshot.manifest.collections.get(at)?, snapshot.shelves.get(at)?))
            });
            if !told.bootstrap && parts.is_none_or(|(collection, _)| collection.priority > 0) {
                told.bootstrap = true;
                news.push(Milestone::Bootstrap);
            }
            let more = told.collections < may_be_stored;
            let Some((collection, shelf)) = parts.filter(|_| more) else {
                break;
            };
            if !complete && (shelf.delta.is_some() || !self.is_stored(shelf)) {
                break;
            }
            news.push(Milestone::Collection(String::from(collection.name.as_str())));
            told.collections += 1;
        }
        self.standing.told = (!complete).then_some(told);
        if complete {
            news.push(Milestone::Complete);
        }
        for milestone in news {
            self.event(Event::Milestone { milestone, version });
        }
    }

    fn is_stored(&self, shelf: &Shelf) -> bool {
        let (mut rows, mut all) = (Set::new(), true);
        shelf.known_rows(&mut rows, &mut all);
        all && rows.iter().all(|row| self.store.has(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_store_stays_slow_until_it_is_half_done() {
        let given = [0, WELL_STORE_BYTES, SLOW_STORE_BYTES, WELL_STORE_BYTES + 1, WELL_STORE_BYTES];
        let mut slow = false;
        let seen = given.map(|bytes| {
            slow = is_slow(bytes, slow);
            slow
        });
        assert_eq!(seen, [false, false, true, true, false]);
    }
}
