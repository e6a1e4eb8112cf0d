//! Pacing: whom to ask and for how much at once, and when to leave a source that is slow.
//!
//! One hard budget holds for all bytes that are in flight, unchecked or not yet durable: a slow
//! store slows the network. Several sources serve one sync, each as much as it is measured to
//! give. A transfer that another source would long have done is taken from a slow one; what was
//! verified of it is kept, and the rest asked for by range. So nothing is ever fetched twice but
//! the frame that was on its way.

use alloc::string::String;
use alloc::vec::Vec;

use crate::plan::queue::{Class, Ticket};
use crate::plan::record::{self, Memory};
use crate::plan::sources::{Ask, BULK_BYTES, Choice, Flight, Purpose, Severity, SourceId, Sources};
use crate::types::Millis;

use super::io::{BundleState, Event, Output, RequestId};
use super::net::{Fetch, Job, Net, Reach, What};
use super::seed::{Seed, Serves};
use super::{Engine, Pending};

/// Fetches at once from all sources, and places beyond that for what somebody waits for.
const MAX_FETCHES: usize = 12;
const EXTRA_FOR_READS: usize = 2;
/// Bytes in flight and not yet durable, in all; a bundle waits while they are over it.
const BYTE_BUDGET: u64 = 28 << 20;
/// Those of them that are in the engine's memory: in flight, or waiting for a transaction.
const MEMORY_BUDGET: u64 = 12 << 20;
/// A fetch that takes longer than this, and a millisecond more for each so many bytes, is given
/// up: 16 KB/s is the slowest line that is worth waiting for.
const FETCH_MS: u64 = 30_000;
const FETCH_BYTES_PER_MS: u64 = 16;
/// What an answer of a source of which nothing is known is taken to need, beside its bytes on the
/// slowest line.
const LATENCY_MS: u64 = 1000;
/// How long a job waits for the seed's index, at most, before it looks again.
const SEED_WAIT_MS: u64 = 1000;
/// How often transfers are looked at, where there are several sources.
const LOOK_MS: u64 = 250;
/// A transfer is taken from a source when another one would need less than half of the time that
/// it will still take, and so much less; a job is taken so often at most.
const GAIN_MS: u64 = 1000;
/// A transfer of which nothing came for so long is left in any case.
const STILL_MS: u64 = 4000;
const MOVES_MAX: u32 = 3;
/// What an object that moves is taken to have: its bound says nothing of its length.
const NEWS_BYTES: u64 = 16 << 10;

fn purpose(class: Class, job: &Job) -> Purpose {
    match (&job.what, class) {
        (_, Class::Read) => Purpose::Read,
        (What::Checkpoint | What::Bootstrap, _) => Purpose::News,
        _ => Purpose::Sync,
    }
}

impl Job {
    /// How long what it fetches will likely be, of at most so many bytes.
    fn likely_bytes(&self, max_bytes: u64) -> u64 {
        match self.what {
            What::Checkpoint | What::Bootstrap => max_bytes.min(NEWS_BYTES),
            What::SeedHead { .. } | What::Tile(_) | What::Blob(_) | What::Bundle(_) => max_bytes,
        }
    }
}

/// Who is to be asked for a job: the seed for what it lists, then the network by its record.
fn choose(
    sources: &Sources,
    seed: Option<&Seed>,
    ticket: Ticket,
    job: &Job,
    flights: &[Flight],
    channel: &str,
    now: Millis,
) -> Choice {
    let from_seed =
        seed.filter(|seed| job.reach != Reach::Network && !job.avoid.contains(&seed.id));
    let serves = from_seed.map_or(Serves::No, |seed| seed.serves(job, channel));
    match (serves, from_seed, job.reach) {
        (Serves::Yes, Some(seed), _) => Choice::Ask(seed.id),
        // What the seed alone may give waits for its index; it wakes by itself.
        (Serves::NotYet, _, Reach::Seed) => Choice::Later(now.plus(SEED_WAIT_MS)),
        (Serves::Yes | Serves::No, _, Reach::Seed) => Choice::Nobody,
        (_, _, Reach::All | Reach::Network) => {
            let ask = Ask {
                avoid: &job.avoid,
                never: seed.map(|seed| seed.id),
                only: job.prefer.filter(|source| !job.avoid.contains(source)),
                len: job.likely_bytes(job.max_bytes()),
                kind: job.kind(),
                purpose: purpose(ticket.class(), job),
                flights,
            };
            match (sources.choose(&ask, now), ask.only) {
                (Choice::Later(_) | Choice::Nobody, Some(_)) => {
                    sources.choose(&Ask { only: None, ..ask }, now)
                }
                (choice, _) => choice,
            }
        }
    }
}

impl Net {
    fn flights(&self) -> Vec<Flight> {
        let flights = self.fetches.values().filter(|fetch| !fetch.ended);
        flights.map(|fetch| Flight { source: fetch.source, left: fetch.left() }).collect()
    }

    /// What can be asked for now could be so after what has ended.
    fn mark_depths(&mut self) {
        let depth = self.chain + 1;
        for job in self.queue.iter_mut().filter(|job| job.depth == 0) {
            job.depth = depth;
        }
    }

    /// What is under way of all others.
    pub(super) fn flights_but(&self, source: SourceId) -> Vec<Flight> {
        self.flights().into_iter().filter(|flight| flight.source != source).collect()
    }
}

impl Fetch {
    fn is_bulk(&self) -> bool {
        self.job.likely_bytes(self.max_bytes) >= BULK_BYTES
    }

    /// What is likely still to come.
    pub(super) fn left(&self) -> u64 {
        self.job.likely_bytes(self.max_bytes).saturating_sub(self.received)
    }

    /// Bytes of it came.
    pub(super) fn flowed(&mut self, sources: &mut Sources, bytes: u64, now: Millis) {
        let (first, bulk) = (self.received == 0, self.is_bulk());
        self.received += bytes;
        sources.received(self.source, bytes);
        if let Some(gauge) = sources.gauge(self.source) {
            if first {
                gauge.answered(now.since(self.since));
            }
            if bulk && first {
                gauge.began(now);
            }
            if bulk {
                gauge.came(bytes, now);
            }
        }
        self.since = now;
    }

    /// It gives nothing more.
    pub(super) fn stopped(&self, sources: &mut Sources) {
        if self.received > 0
            && !self.ended
            && self.is_bulk()
            && let Some(gauge) = sources.gauge(self.source)
        {
            gauge.ended();
        }
    }
}

impl Engine {
    /// Starts every fetch that has a place, a source and room in the budget.
    pub(super) fn start_fetches(&mut self, now: Millis) {
        self.net.wake = None;
        self.net.mark_depths();
        self.leave_the_slow(now);
        loop {
            let flying = self.net.fetches.len();
            let left = self.room();
            let (sources, seed) = (&self.sources, self.seed.as_ref());
            let (channel, flights) = (self.channel.as_str(), self.net.flights());
            let mut wake: Option<Millis> = self.net.wake;
            let more = self.may_sync_more();
            let taken = self.net.queue.take_first(|ticket, job| {
                let reads = ticket.class() == Class::Read;
                let places = if reads { MAX_FETCHES + EXTRA_FOR_READS } else { MAX_FETCHES };
                let fits = flying == 0 || job.max_bytes() <= left;
                let room = !job.is_sync() || (more && fits);
                if flying >= places || !room {
                    return None;
                }
                match choose(sources, seed, ticket, job, &flights, channel, now) {
                    Choice::Ask(source) => Some(Some(source)),
                    Choice::Nobody => Some(None),
                    Choice::Wait => None,
                    Choice::Later(time) => {
                        wake = Some(wake.map_or(time, |earliest: Millis| earliest.min(time)));
                        None
                    }
                }
            });
            self.net.wake = wake;
            match taken {
                None => break,
                Some((_, job, None)) => self.job_failed(job, now),
                Some((ticket, job, Some(source))) => {
                    self.start_fetch(ticket, job, source, now);
                }
            }
        }
        if !self.net.fetches.is_empty() && self.are_several(now) {
            self.race_the_last(now);
            let look = now.plus(LOOK_MS);
            self.net.wake = Some(self.net.wake.map_or(look, |wake| wake.min(look)));
        }
    }

    /// The bytes that the budget leaves.
    fn room(&self) -> u64 {
        let here = self.net.bytes_in_flight() + self.store.waiting_bytes() as u64;
        let left = BYTE_BUDGET.saturating_sub(self.store.given_bytes() as u64);
        left.min(MEMORY_BUDGET).saturating_sub(here)
    }

    /// Whether there are a place and room for so many bytes more.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.net.fetches.len() < MAX_FETCHES && bytes <= self.room()
    }

    pub(super) fn start_fetch(
        &mut self,
        ticket: Ticket,
        job: Job,
        source: SourceId,
        now: Millis,
    ) -> RequestId {
        let request = self.request(Pending::Fetch);
        let target = job.target(self.channel.as_str());
        let max_bytes = job.max_bytes();
        self.sources.asked(source);
        let seed = self.seed.as_ref().filter(|seed| seed.id == source);
        let asked = seed.map(|seed| seed.target(&target, max_bytes));
        self.requests_made += u64::from(asked.is_none());
        if let What::Bundle(bundle) = &job.what {
            let event = bundle.event(BundleState::Fetching);
            self.event(event);
        }
        self.outputs.push_back(Output::Fetch {
            request,
            source,
            target: asked.unwrap_or_else(|| target.clone()),
            max_bytes,
            deadline: now.plus(FETCH_MS + max_bytes / FETCH_BYTES_PER_MS),
        });
        let (body, asked, since) = (Vec::new(), now, now);
        let fetch = Fetch {
            ticket,
            job,
            source,
            body,
            ended: false,
            received: 0,
            max_bytes,
            target,
            asked,
            since,
            twin: None,
        };
        self.net.fetches.insert(request, fetch);
        request
    }

    /// What was measured of the sources is written with the next transaction.
    pub(super) fn note_sources(&mut self, now: Millis) {
        let sources = self.sources.records(self.seed.as_ref().map(|seed| seed.id), now);
        let memory = Memory { searched: self.searched, sources };
        self.store.put_sources(record::encode(&memory));
    }

    fn are_several(&self, now: Millis) -> bool {
        self.sources.usable(self.seed.as_ref().map(|seed| seed.id), now) > 1
    }

    /// Takes each transfer from its source that another one would long have done, queue and all.
    fn leave_the_slow(&mut self, now: Millis) {
        if !self.are_several(now) {
            return;
        }
        let requests: Vec<RequestId> = self.net.fetches.keys().copied().collect();
        for request in requests {
            if self.is_slow(request, now) {
                self.leave(request, now);
            }
        }
    }

    fn is_slow(&self, request: RequestId, now: Millis) -> bool {
        let Some(fetch) = self.net.fetches.get(&request) else { return false };
        let raced = fetch.twin.is_some();
        if raced || fetch.ended || fetch.job.moves >= MOVES_MAX || self.is_seed(fetch.source) {
            return false;
        }
        let others = self.net.flights_but(fetch.source);
        let still = now.since(fetch.since);
        let stay = self.stay_ms(request, now).unwrap_or(0);
        if stay < GAIN_MS {
            return false;
        }
        let mut avoid = fetch.job.avoid.clone();
        avoid.push(fetch.source);
        let len = fetch.job.likely_bytes(fetch.job.max_bytes());
        let ask = Ask {
            avoid: &avoid,
            never: self.seed.as_ref().map(|seed| seed.id),
            only: None,
            len,
            kind: fetch.job.kind(),
            purpose: purpose(fetch.ticket.class(), &fetch.job),
            flights: &others,
        };
        let Choice::Ask(other) = self.sources.choose(&ask, now) else { return false };
        if avoid.contains(&other) || still >= STILL_MS {
            return !avoid.contains(&other);
        }
        // What waits for a place is done first; each source gives its share.
        let queue: u64 = match fetch.job.is_sync() {
            true => self.net.queue.iter().map(Job::max_bytes).sum(),
            false => 0,
        };
        let slowly = |len: u64| LATENCY_MS + len / FETCH_BYTES_PER_MS;
        let expected = |len, flights| self.sources.expected_ms(other, len, flights, now);
        let go = expected(len, &others).unwrap_or_else(|| slowly(len))
            + expected(queue, &[]).unwrap_or_else(|| slowly(queue));
        stay > 2 * go + GAIN_MS
    }

    /// How long a transfer will still take where it is.
    pub(super) fn stay_ms(&self, request: RequestId, now: Millis) -> Option<u64> {
        let fetch = self.net.fetches.get(&request)?;
        let own = Flight { source: fetch.source, left: fetch.left() };
        let mut beside = self.net.flights();
        if let Some(at) = beside.iter().position(|flight| *flight == own) {
            beside.swap_remove(at);
        }
        let stay = self.sources.expected_ms(fetch.source, own.left, &beside, now);
        // Who gave nothing for a while will hardly give more in the next while.
        Some(stay.unwrap_or(0).max(now.since(fetch.since)))
    }

    fn leave(&mut self, request: RequestId, now: Millis) {
        let Some(Fetch { source, received, .. }) = self.net.fetches.get(&request) else { return };
        let (source, silent) = (*source, *received == 0);
        if let Some(gauge) = self.sources.gauge(source) {
            gauge.came(0, now);
        }
        let Some(Fetch { ticket, mut job, target, .. }) = self.take_fetch(request) else { return };
        // Who is merely slower than others is not to blame.
        let code = if silent { "peer/timeout" } else { "peer/slow" };
        if silent {
            self.sources.faulted(source, code, (Severity::Failure, job.kind()), now);
        }
        let name = String::from(self.sources.name(source));
        let detail = String::from("another source would have been done");
        self.event(Event::Fault { source: name, code, object: target.path, detail });
        if let What::Bundle(bundle) = &mut job.what {
            bundle.bytes.truncate(bundle.verified_len);
        }
        job.moves += 1;
        if !job.avoid.contains(&source) {
            job.avoid.push(source);
        }
        self.net.queue.put_back(ticket, job);
    }
}
