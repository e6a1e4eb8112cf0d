//! The modelled edge: a request's way through a data centre's cache, a region's store and the
//! origin. Each step says which code of the edge worker it stands for.

use std::collections::{BTreeMap, BTreeSet};

use super::agenda::{Agenda, Due, Lane, MS, SECOND};
use super::data::{Data, Key, Kind};
use super::region::{REGIONS, Region, way};
use super::{Count, Counts, Outage};
use crate::sim::Draw;

/// Data centres of a region, and the isolates in each: turns are an isolate's.
pub(super) const CENTRES: usize = 3;
pub(super) const ISOLATES: u8 = 4;
/// From a data centre to its region's store, one way.
pub(super) const HOP: u64 = 5 * MS;
/// How long a tier that is down takes to say so.
pub(super) const DOWN: u64 = 200 * MS;
/// `resource::POINTER_MAX_AGE_S`, `turns::TURN_MS`, half of `turns::LOOK_MS`, `known::REFUSED_MS`,
/// `turns::FAILED_MS`.
const POINTER_AGE: u64 = 5 * SECOND;
const TURN: u64 = 2 * SECOND;
const LOOK: u64 = 4 * MS;
const REFUSED: u64 = SECOND;
const FAILED: u64 = SECOND;
/// The limit of `LIMIT_READS`: reads that no cache answered, by address.
const READS_MAX: u32 = 3_000;
const READS_WINDOW: u64 = 60 * SECOND;
/// `Retry-After` of a 429 (`rate::WAIT_S`) and of a 503 (`reply::RETRY_AFTER_S`).
const LIMITED_MS: u64 = 10_000;
const BUSY_MS: u64 = 1_000;
/// What a data centre serves in a second, for a crowd of 100,000.
const CENTRE_REQUESTS: u64 = 10_000;
const CENTRE_BYTES: u64 = 400_000_000;
/// What the origin serves in a second.
const ORIGIN_REQUESTS: u64 = 600;
const ORIGIN_BYTES: u64 = 200_000_000;

/// A request, by its place among those under way.
pub(super) type TripId = u32;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The bytes.
    Whole,
    /// 404
    Missing,
    /// 429
    Limited,
    /// 503
    Busy,
    /// No answer at all.
    Dark,
}

impl Outcome {
    /// Status and Retry-After of a refusal.
    pub(super) fn status(self) -> Option<(u16, Option<u64>)> {
        match self {
            Self::Missing => Some((404, None)),
            Self::Limited => Some((429, Some(LIMITED_MS))),
            Self::Busy => Some((503, Some(BUSY_MS))),
            Self::Whole | Self::Dark => None,
        }
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    /// Which data centre, and which of its isolates.
    pub(super) centre: usize,
    pub(super) isolate: u8,
    /// As whom the client counts.
    pub(super) address: u32,
    pub(super) key: Key,
    /// Whether the whole is asked for: parts neither wait for a turn nor are kept.
    pub(super) whole: bool,
    pub(super) turn: Option<u64>,
    pub(super) waited: bool,
    /// When the read behind the cache began.
    pub(super) read_at: u64,
}

struct Turn {
    number: u64,
    waiting: Vec<TripId>,
}

struct Centre {
    requests: Lane,
    bytes: Lane,
    /// What is kept, and until when.
    kept: BTreeMap<Key, u64>,
    turns: BTreeMap<(u8, Key), Turn>,
    refused: BTreeMap<(u8, Key), u64>,
    /// Until when a failure behind the cache answers all who ask.
    failed: BTreeMap<(u8, Key), u64>,
    /// Reads that no cache answered, by address: since when, and how many.
    counted: BTreeMap<u32, (u64, u32)>,
}

/// The edge.
pub(super) struct Edge<'a> {
    pub(super) data: &'a Data,
    pub(super) outage: Outage,
    pub(super) counts: Counts,
    pub(super) regions: Vec<Region>,
    pub(super) origin: Lane,
    centres: Vec<Centre>,
    trips: Vec<Trip>,
    free: Vec<TripId>,
    turn_number: u64,
}

impl<'a> Edge<'a> {
    /// An edge sized for so many clients. Of the data it has what is placed before the pointer
    /// moves: the first region from the origin, the others from their neighbours.
    pub(super) fn new(data: &'a Data, outage: Outage, clients: u64) -> Self {
        // What clients ask of a data centre grows with their number; what is asked behind the
        // caches does not.
        let sized = |of: u64| (of * clients / 100_000).max(of / 1_000);
        let centre = |_| Centre {
            requests: Lane::new(sized(CENTRE_REQUESTS), u64::MAX, SECOND),
            bytes: Lane::new(u64::MAX, sized(CENTRE_BYTES), SECOND),
            kept: BTreeMap::new(),
            turns: BTreeMap::new(),
            refused: BTreeMap::new(),
            failed: BTreeMap::new(),
            counted: BTreeMap::new(),
        };
        let cold = outage == Outage::Cold;
        let placed: BTreeSet<Key> = data.placed.iter().copied().filter(|_| !cold).collect();
        let mut counts = Counts::default();
        for _ in &placed {
            counts.add(Count::ObjectReads);
            (1..REGIONS).for_each(|_| counts.add(Count::NeighbourFills));
        }
        Self {
            data,
            outage,
            counts,
            regions: (0..REGIONS).map(|_| Region::new(placed.clone(), !cold)).collect(),
            origin: Lane::new(ORIGIN_REQUESTS, ORIGIN_BYTES, SECOND),
            centres: (0..REGIONS * CENTRES).map(centre).collect(),
            trips: Vec::new(),
            free: Vec::new(),
            turn_number: 0,
        }
    }

    /// A request sets out.
    pub(super) fn begin(&mut self, trip: Trip) -> TripId {
        if let Some(id) = self.free.pop() {
            self.trips[id as usize] = trip;
            return id;
        }
        self.trips.push(trip);
        TripId::try_from(self.trips.len() - 1).expect("fewer requests at once")
    }

    /// It is over.
    pub(super) fn end(&mut self, id: TripId) -> Trip {
        self.free.push(id);
        self.trip(id)
    }

    pub(super) fn trip(&self, id: TripId) -> Trip {
        self.trips[id as usize]
    }

    fn is_down(&self, what: Outage, now: u64) -> bool {
        self.outage == what && what.is_on(now)
    }

    /// Whether a region is dark, data centres and store.
    pub(super) fn is_dark(&self, region: usize, now: u64) -> bool {
        region == super::DARK_REGION && self.is_down(Outage::Region, now)
    }

    /// Whether the origin fails every read.
    pub(super) fn origin_is_down(&self, now: u64) -> bool {
        self.is_down(Outage::Origin, now)
    }

    /// A step of a request's way.
    pub(super) fn play(&mut self, due: Due, agenda: &mut Agenda) {
        match due {
            Due::Arrive(id) => self.arrive(id, agenda),
            Due::Look(id) => self.look(id, agenda),
            Due::TurnOver(centre, isolate, key, number) => {
                self.end_turn(centre, isolate, key, number, agenda);
            }
            Due::AtRegion(id) => self.at_region(id, agenda),
            Due::AtShard(id) => self.at_shard(id, agenda),
            Due::AskCatalog(region) => self.ask_catalog(region, agenda),
            Due::CatalogSays(region) => self.catalog_says(region, agenda),
            Due::FillOn(region, key) => self.fill_on(region, key, agenda),
            Due::FillAtOrigin(region, key) => self.fill_at_origin(region, key, agenda),
            Due::Filled(region, key, outcome) => self.filled(region, key, outcome, agenda),
            Due::AtOrigin(id) => self.at_origin(id, agenda),
            Due::Back(id, outcome) => self.back(id, outcome, agenda),
            Due::Open(_) | Due::Tick(_) | Due::Reply(..) | Due::Deliver(..) => {}
        }
    }

    fn arrive(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        if self.is_dark(trip.centre / CENTRES, agenda.now) {
            return agenda.after(0, Due::Reply(id, Outcome::Dark));
        }
        match self.centres[trip.centre].requests.take(agenda.now, 0) {
            Some(done) => agenda.at(done, Due::Look(id)),
            None => agenda.after(0, Due::Reply(id, Outcome::Busy)),
        }
    }

    /// `serve::read`: the cache, then a turn, then the cache once more, then what is behind it.
    fn look(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let centre = &mut self.centres[trip.centre];
        if centre.kept.get(&trip.key).is_some_and(|until| *until > agenda.now) {
            let how = if trip.waited { Count::Coalesced } else { Count::CentreHits };
            self.counts.add(how);
            return self.reply(id, Outcome::Whole, agenda);
        }
        let failed = centre.failed.get(&(trip.isolate, trip.key));
        if trip.whole && failed.is_some_and(|until| *until > agenda.now) {
            self.counts.add(Count::Coalesced);
            return self.reply(id, Outcome::Busy, agenda);
        }
        if trip.whole && !trip.waited {
            let own = &mut self.trips[id as usize];
            if let Some(turn) = centre.turns.get_mut(&(trip.isolate, trip.key)) {
                own.waited = true;
                turn.waiting.push(id);
                return;
            }
            self.turn_number += 1;
            own.turn = Some(self.turn_number);
            let turn = Turn { number: self.turn_number, waiting: Vec::new() };
            centre.turns.insert((trip.isolate, trip.key), turn);
            let over = Due::TurnOver(trip.centre, trip.isolate, trip.key, self.turn_number);
            agenda.after(TURN, over);
        }
        self.miss(id, agenda);
    }

    /// Nobody in the data centre has it: the address counts, and the tier below is asked.
    fn miss(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let counted = self.centres[trip.centre].counted.entry(trip.address).or_insert((0, 0));
        // Windows begin at other times for each address.
        let shift = Draw(u64::from(trip.address) << 8 | trip.centre as u64).below(READS_WINDOW);
        let window = (agenda.now + shift) / READS_WINDOW;
        if counted.0 != window {
            *counted = (window, 0);
        }
        counted.1 += 1;
        if counted.1 > READS_MAX {
            return self.back(id, Outcome::Limited, agenda);
        }
        self.counts.add(Count::CentreMisses);
        self.trips[id as usize].read_at = agenda.now;
        match self.data.kind(trip.key) {
            Kind::Object | Kind::Stray => agenda.after(HOP, Due::AtRegion(id)),
            // The shard says at once that the name may exist; the store behind is the origin's.
            Kind::Pointer | Kind::Tile => {
                let region = trip.centre / CENTRES;
                agenda.after(2 * HOP + way(region, 0), Due::AtOrigin(id));
            }
        }
    }

    /// Who waited for a turn looks again when it ends, or is over by itself.
    fn end_turn(&mut self, centre: usize, isolate: u8, key: Key, number: u64, agenda: &mut Agenda) {
        let turns = &mut self.centres[centre].turns;
        if turns.get(&(isolate, key)).is_some_and(|turn| turn.number == number)
            && let Some(turn) = turns.remove(&(isolate, key))
        {
            turn.waiting.iter().for_each(|id| agenda.after(LOOK, Due::Look(*id)));
        }
    }

    /// `Tiers::fetch`: the region's store, and its shard where the store lacks the object.
    fn at_region(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let at = trip.centre / CENTRES;
        let (dark, len) = (self.is_dark(at, agenda.now), self.data.body(trip.key).len());
        let region = &mut self.regions[at];
        let holds = region.kept.contains(&trip.key);
        let Some(done) = region.lane.take(agenda.now, if holds { len } else { 0 }) else {
            return agenda.after(HOP + way(at, 0), Due::AtOrigin(id));
        };
        if dark {
            return agenda.after(DOWN + way(at, 0), Due::AtOrigin(id));
        }
        if holds {
            self.counts.add(Count::RegionHits);
            return agenda.at(done + HOP, Due::Back(id, Outcome::Whole));
        }
        let refused = self.centres[trip.centre].refused.get(&(trip.isolate, trip.key));
        if refused.is_some_and(|until| *until > agenda.now) {
            self.counts.add(Count::Refused);
            return agenda.at(done + HOP, Due::Back(id, Outcome::Missing));
        }
        agenda.at(done + 2 * HOP, Due::AtShard(id));
    }

    /// `serve::fetch`: a read of the origin by the data centre itself.
    fn at_origin(&mut self, id: TripId, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let back = way(trip.centre / CENTRES, 0);
        let kind = self.data.kind(trip.key);
        self.counts.add(match kind {
            Kind::Pointer => Count::PointerReads,
            Kind::Tile => Count::TileReads,
            Kind::Object | Kind::Stray => Count::ObjectReads,
        });
        let pointer = kind == Kind::Pointer && self.is_down(Outage::Pointer, agenda.now);
        if pointer || self.origin_is_down(agenda.now) {
            self.counts.add(Count::FailedReads);
            return agenda.after(DOWN + back, Due::Back(id, Outcome::Busy));
        }
        let outcome = if kind == Kind::Stray { Outcome::Missing } else { Outcome::Whole };
        match self.origin.take(agenda.now, self.data.body(trip.key).len()) {
            Some(done) => agenda.at(done + back, Due::Back(id, outcome)),
            None => {
                self.counts.add(Count::FailedReads);
                agenda.after(back, Due::Back(id, Outcome::Busy));
            }
        }
    }

    /// An answer from behind the cache: it is kept, the turn ends, and it goes out.
    fn back(&mut self, id: TripId, outcome: Outcome, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let centre = &mut self.centres[trip.centre];
        match (outcome, self.data.kind(trip.key)) {
            (Outcome::Whole, Kind::Pointer) => {
                centre.kept.insert(trip.key, trip.read_at + POINTER_AGE);
            }
            (Outcome::Whole, Kind::Object | Kind::Tile | Kind::Stray) if trip.whole => {
                centre.kept.insert(trip.key, u64::MAX);
            }
            (Outcome::Missing, _) => {
                let until = centre.refused.entry((trip.isolate, trip.key)).or_insert(0);
                if *until <= agenda.now {
                    *until = agenda.now + REFUSED;
                }
            }
            (Outcome::Busy, _) if trip.turn.is_some() => {
                centre.failed.insert((trip.isolate, trip.key), agenda.now + FAILED);
            }
            (Outcome::Whole | Outcome::Limited | Outcome::Busy | Outcome::Dark, _) => {}
        }
        if let Some(number) = trip.turn {
            self.end_turn(trip.centre, trip.isolate, trip.key, number, agenda);
        }
        self.reply(id, outcome, agenda);
    }

    /// The bytes leave by the data centre's line.
    fn reply(&mut self, id: TripId, outcome: Outcome, agenda: &mut Agenda) {
        let trip = self.trip(id);
        let len = match outcome {
            Outcome::Whole => self.data.body(trip.key).len(),
            Outcome::Missing | Outcome::Limited | Outcome::Busy | Outcome::Dark => 0,
        };
        match self.centres[trip.centre].bytes.take(agenda.now, len) {
            Some(done) => agenda.at(done, Due::Reply(id, outcome)),
            None => agenda.after(0, Due::Reply(id, Outcome::Busy)),
        }
    }
}
