//! The agenda of the run, and the lanes in which requests queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::data::Key;
use super::edge::{Outcome, TripId};

/// A second, in microseconds, which all times of the model are in.
pub(super) const SECOND: u64 = 1_000_000;
/// A millisecond.
pub(super) const MS: u64 = 1_000;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A client opens.
    Open(u32),
    /// Its engine wanted to be ticked.
    Tick(u32),
    /// A request is at its data centre.
    Arrive(TripId),
    /// It looks at the data centre's cache.
    Look(TripId),
    /// A turn at an address is over by itself: data centre, isolate, key, number of the turn.
    TurnOver(usize, u8, Key, u64),
    /// A read is at the region's store.
    AtRegion(TripId),
    /// The store lacked it, and the region's shard is asked to fill it.
    AtShard(TripId),
    /// A region may ask the catalog for names.
    AskCatalog(usize),
    /// It answers, or not.
    CatalogSays(usize),
    /// A fill looks at the next neighbour, or at the origin after all of them.
    FillOn(usize, Key),
    /// It is over.
    Filled(usize, Key, Outcome),
    /// A fill is at the origin.
    FillAtOrigin(usize, Key),
    /// A data centre's own read is at the origin.
    AtOrigin(TripId),
    /// What came of it is back at the data centre.
    Back(TripId, Outcome),
    /// The answer leaves the data centre.
    Reply(TripId, Outcome),
    /// The client has all of it.
    Deliver(TripId, Outcome),
}

/// What is due, in the order of time, and of coming where times are equal.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// The time.
    pub(super) now: u64,
    order: u64,
    heap: BinaryHeap<Reverse<(u64, u64, Due)>>,
}

impl Agenda {
    /// Puts something on, so many microseconds from now.
    pub(super) fn after(&mut self, span: u64, due: Due) {
        self.at(self.now + span, due);
    }

    /// Puts something on for a time.
    pub(super) fn at(&mut self, at: u64, due: Due) {
        self.order += 1;
        self.heap.push(Reverse((at.max(self.now), self.order, due)));
    }

    /// Goes on to what is next.
    pub(super) fn step(&mut self) -> Option<Due> {
        let Reverse((at, _, due)) = self.heap.pop()?;
        self.now = at;
        Some(due)
    }
}

/// Something that serves one after the other.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Nanoseconds for each request, and for each byte.
    per_request: u64,
    per_byte: u64,
    /// When it is free, in nanoseconds.
    free: u64,
    /// The longest that it lets anybody wait, in microseconds.
    patience: u64,
}

impl Lane {
    /// A lane of so many requests and bytes a second.
    pub(super) fn new(requests: u64, bytes: u64, patience: u64) -> Self {
        let nano = 1_000_000_000;
        let (per_request, per_byte) = (nano / requests.max(1), nano / bytes.max(1));
        Self { per_request, per_byte, free: 0, patience }
    }

    /// When it is done with a request of so many bytes; `None` where it is over its rate.
    pub(super) fn take(&mut self, now: u64, bytes: usize) -> Option<u64> {
        let start = self.free.max(now * 1000);
        if start - now * 1000 > self.patience * 1000 {
            return None;
        }
        self.free = start + self.per_request + bytes as u64 * self.per_byte;
        Some(self.free.div_ceil(1000))
    }
}
