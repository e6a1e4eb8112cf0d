//! A region: its store, and the shard that fills it, once for all who miss (the edge worker's
//! `durable::region` and `known`).

use std::collections::{BTreeMap, BTreeSet};

use super::Count;
use super::agenda::{Agenda, Due, Lane, MS, SECOND};
use super::data::{Key, Kind};
use super::edge::{DOWN, Edge, HOP, Outcome, TripId};

/// Regions, on a ring; the origin is beside the first.
pub(super) const REGIONS: usize = 12;
/// A read and a write of a store, without the way there.
const READ: u64 = 15 * MS;
const PUT: u64 = 30 * MS;
/// `known::ASK_EVERY_MS`
const ASK_EVERY: u64 = SECOND;
/// What a region's store serves in a second.
const REQUESTS: u64 = 2_000;
const BYTES: u64 = 200_000_000;

/// From region to region, one way.
pub(super) fn way(from: usize, to: usize) -> u64 {
    let apart = from.abs_diff(to);
    let apart = apart.min(REGIONS - apart) as u64;
    10 * MS + 15 * MS * apart
}

/// A fill under way, and who waits for it.
struct Flight {
    waiting: Vec<TripId>,
    /// Which neighbour is looked at, nearest first.
    next: usize,
}

/// A region.
pub(super) struct Region {
    pub(super) lane: Lane,
    pub(super) kept: BTreeSet<Key>,
    flights: BTreeMap<Key, Flight>,
    /// Whether the catalog named what was published.
    knows: bool,
    /// Fills that wait for the catalog, and those that its next answer settles.
    unsure: Vec<Key>,
    asked: Vec<Key>,
    asking: bool,
    ask_from: u64,
}

impl Region {
    /// A region that has so much, and knows what was published or not.
    pub(super) fn new(kept: BTreeSet<Key>, knows: bool) -> Self {
        Self {
            lane: Lane::new(REQUESTS, BYTES, SECOND),
            kept,
            flights: BTreeMap::new(),
            knows,
            unsure: Vec::new(),
            asked: Vec::new(),
            asking: false,
            ask_from: 0,
        }
    }
}

/// The other regions, nearest first.
fn neighbours(of: usize) -> impl Iterator<Item = usize> {
    let mut others: Vec<usize> = (0..REGIONS).filter(|other| *other != of).collect();
    others.sort_by_key(|other| way(of, *other));
    others.into_iter()
}

impl Edge<'_> {
    /// `fill`: whoever comes while an object is filled waits for that fill.
    pub(super) fn at_shard(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let at = trip.centre / super::edge::CENTRES;
        if self.is_dark(at, agenda.now) {
            return agenda.after(DOWN + way(at, 0), Due::AtOrigin(id));
        }
        let known = self.data.kind(trip.key) == Kind::Object;
        let region = &mut self.regions[at];
        if let Some(flight) = region.flights.get_mut(&trip.key) {
            flight.waiting.push(id);
            return self.counts.add(Count::Coalesced);
        }
        region.flights.insert(trip.key, Flight { waiting: vec![id], next: 0 });
        if region.kept.contains(&trip.key) {
            agenda.after(READ, Due::Filled(at, trip.key, Outcome::Whole));
        } else if region.knows && known {
            agenda.after(0, Due::FillOn(at, trip.key));
        } else {
            region.unsure.push(trip.key);
            if !region.asking {
                region.asking = true;
                agenda.at(region.ask_from, Due::AskCatalog(at));
            }
        }
    }

    /// `ask_once`: one question a second at most, shared by all who came before it.
    pub(super) fn ask_catalog(&mut self, at: usize, agenda: &mut Agenda) {
        self.counts.add(Count::CatalogQuestions);
        let region = &mut self.regions[at];
        region.asked = std::mem::take(&mut region.unsure);
        region.ask_from = agenda.now + ASK_EVERY;
        agenda.after(2 * way(at, 0), Due::CatalogSays(at));
    }

    pub(super) fn catalog_says(&mut self, at: usize, agenda: &mut Agenda) {
        self.regions[at].knows = true;
        for key in std::mem::take(&mut self.regions[at].asked) {
            match self.data.kind(key) {
                Kind::Object => agenda.after(0, Due::FillOn(at, key)),
                Kind::Pointer | Kind::Tile | Kind::Stray => {
                    agenda.after(0, Due::Filled(at, key, Outcome::Missing));
                }
            }
        }
        let region = &mut self.regions[at];
        region.asking = !region.unsure.is_empty();
        if region.asking {
            agenda.at(region.ask_from, Due::AskCatalog(at));
        }
    }

    /// `find`: the neighbours one after the other, then the origin.
    pub(super) fn fill_on(&mut self, at: usize, key: Key, agenda: &mut Agenda) {
        let Some(flight) = self.regions[at].flights.get_mut(&key) else { return };
        let next = flight.next;
        flight.next += 1;
        let Some(neighbour) = neighbours(at).nth(next) else {
            return agenda.after(way(at, 0), Due::FillAtOrigin(at, key));
        };
        let dark = self.is_dark(neighbour, agenda.now);
        let len = self.data.body(key).len();
        let other = &mut self.regions[neighbour];
        let holds = !dark && other.kept.contains(&key);
        let read = other.lane.take(agenda.now, if holds { len } else { 0 });
        match read {
            Some(done) if holds => {
                self.counts.add(Count::NeighbourFills);
                let back = done + 2 * way(at, neighbour) + READ + PUT;
                agenda.at(back, Due::Filled(at, key, Outcome::Whole));
            }
            Some(_) | None => {
                let says_no = if dark { DOWN } else { READ };
                agenda.after(2 * way(at, neighbour) + says_no, Due::FillOn(at, key));
            }
        }
    }

    pub(super) fn fill_at_origin(&mut self, at: usize, key: Key, agenda: &mut Agenda) {
        self.counts.add(Count::ObjectReads);
        let back = way(at, 0);
        let down = self.origin_is_down(agenda.now);
        let read = self.origin.take(agenda.now, self.data.body(key).len()).filter(|_| !down);
        match read {
            Some(done) => agenda.at(done + back + READ + PUT, Due::Filled(at, key, Outcome::Whole)),
            None => {
                self.counts.add(Count::FailedReads);
                let took = if down { DOWN } else { 0 };
                agenda.after(took + back, Due::Filled(at, key, Outcome::Busy));
            }
        }
    }

    /// Everyone who waited reads the region's store again, or the origin where the fill failed.
    pub(super) fn filled(&mut self, at: usize, key: Key, outcome: Outcome, agenda: &mut Agenda) {
        let region = &mut self.regions[at];
        let Some(flight) = region.flights.remove(&key) else { return };
        if outcome == Outcome::Whole {
            region.kept.insert(key);
        }
        for id in flight.waiting {
            match outcome {
                Outcome::Whole => agenda.after(2 * HOP, Due::AtRegion(id)),
                Outcome::Missing => agenda.after(HOP, Due::Back(id, Outcome::Missing)),
                Outcome::Limited | Outcome::Busy | Outcome::Dark => {
                    agenda.after(HOP + way(at, 0), Due::AtOrigin(id));
                }
            }
        }
    }
}
