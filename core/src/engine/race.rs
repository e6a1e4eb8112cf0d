//! The end of a sync: the last bundles are asked of two sources, and who is done first wins.
//!
//! A transfer that stops in the middle costs seconds until it is noticed. Where nothing is left to
//! be asked for, the places of other sources are idle, and one of them may as well bring what is
//! still on its way: the "endgame mode" of BitTorrent (Cohen, "Incentives Build Robustness in
//! BitTorrent", 2003). It is bounded: few bytes come twice, what is nearly done is not asked for
//! again, and a sync that yields, because somebody pays for bytes, races nothing. A copy starts
//! behind what is verified; whoever fails leaves the other one alone.

use alloc::vec::Vec;

use crate::plan::sources::{Ask, Choice, Purpose, SourceId};
use crate::types::Millis;

use super::Engine;
use super::io::RequestId;
use super::net::{Fetch, Job, What};

/// Bytes under way for the second time, at most.
const RACE_BYTES: u64 = 2 << 20;
/// What will take less time is nearly done.
const RACE_MS: u64 = 250;

impl Engine {
    /// Asks a second source for what the first takes long for, where nothing else is to be asked.
    pub(super) fn race_the_last(&mut self, now: Millis) {
        let more = self.net.queue.iter().any(Job::is_sync);
        if more || self.standing.few().is_some() || self.net.fetches.is_empty() {
            return;
        }
        let requests = self.net.fetches.iter().filter(|(_, fetch)| fetch.may_race());
        let requests: Vec<RequestId> = requests.map(|(request, _)| *request).collect();
        for request in requests {
            let Some(source) = self.rival(request, now) else { continue };
            let Some(fetch) = self.net.fetches.get(&request) else { continue };
            let (ticket, mut job) = (fetch.ticket, fetch.job.clone());
            if let What::Bundle(bundle) = &mut job.what {
                bundle.bytes.truncate(bundle.verified_len);
            }
            let copy = self.start_fetch(ticket, job, source, now);
            for (one, other) in [(request, copy), (copy, request)] {
                if let Some(fetch) = self.net.fetches.get_mut(&one) {
                    fetch.twin = Some(other);
                }
            }
        }
    }

    /// Who would be done with the rest of a transfer before its own source is.
    fn rival(&self, request: RequestId, now: Millis) -> Option<SourceId> {
        let fetch = self.net.fetches.get(&request)?;
        let twice = self.net.fetches.iter().filter(|(request, fetch)| fetch.is_copy(**request));
        let twice: u64 = twice.map(|(_, fetch)| fetch.left()).sum();
        if twice + fetch.left() > RACE_BYTES || !self.has_room_for(fetch.left()) {
            return None;
        }
        let stay = self.stay_ms(request, now)?;
        let others = self.net.flights_but(fetch.source);
        let mut avoid = fetch.job.avoid.clone();
        avoid.push(fetch.source);
        let ask = Ask {
            avoid: &avoid,
            never: self.seed.as_ref().map(|seed| seed.id),
            only: None,
            len: fetch.left(),
            kind: fetch.job.kind(),
            purpose: Purpose::Sync,
            flights: &others,
        };
        let Choice::Ask(other) = self.sources.choose(&ask, now) else { return None };
        let go = self.sources.expected_ms(other, fetch.left(), &others, now)?;
        (!avoid.contains(&other) && stay >= RACE_MS && go <= stay).then_some(other)
    }

    /// A transfer came to its end: nobody need bring the same.
    pub(super) fn end_race(&mut self, fetch: &Fetch) {
        if let Some(twin) = fetch.twin {
            self.take_fetch(twin);
        }
    }
}

impl Fetch {
    /// Whether it is the second of two that bring the same.
    pub(super) fn is_copy(&self, own: RequestId) -> bool {
        self.twin.is_some_and(|twin| twin < own)
    }

    fn may_race(&self) -> bool {
        self.job.is_sync() && !self.ended && self.twin.is_none()
    }
}
