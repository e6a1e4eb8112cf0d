//! A flash crowd: many real engines on one virtual clock, that come for a new version within a
//! minute, at a modelled edge of three tiers and twelve regions. One seed is one run.
//!
//! In scope: latency, bandwidth and queues of each tier and of each client's line, caches that are
//! cold, coalescing and refusals as the edge worker has them, statuses with Retry-After, outages.
//! Out of scope: see docs/simulator.md. The oracle is the publisher's roots and bytes.

use packice_core::engine::Input;
use packice_core::engine::io::FetchFailure;

use crate::sim::Draw;

mod agenda;
mod client;
mod data;
mod edge;
mod region;
pub mod report;

pub use data::Data;
pub use report::{Bars, Report};

use agenda::{Agenda, Due, MS, SECOND};
use client::{Ask, Client};
use edge::{CENTRES, Edge, HOP, ISOLATES, Outcome, Trip, TripId};
use region::{REGIONS, way};

/// Clients come within so long.
const WINDOW: u64 = 60 * SECOND;
/// The region that goes dark in its outage, with an eighth of the clients.
const DARK_REGION: usize = 1;
/// How many clients of a hundred are in each region.
const SHARES: [u64; REGIONS] = [18, 14, 13, 12, 10, 8, 7, 6, 5, 3, 2, 2];
/// How many of ten clients of a region are at each of its data centres.
const CENTRE_SHARES: [u64; CENTRES] = [5, 3, 2];
/// Clients behind one address.
const BEHIND_ADDRESS: u64 = 400;
/// One of so many clients holds the version before.
const HOLDS: u64 = 4;
/// One of so many clients comes with a stray request for a name that does not exist.
const STRAYS: u32 = 100;
/// The wall clock at the beginning, in milliseconds.
const START_MS: u64 = 1_000_000;
/// So long after the beginning everyone must be complete.
const END: u64 = 1_800 * SECOND;

/// What is down for half a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Nothing.
    Calm,
    /// The origin: every read of its store fails.
    Origin,
    /// A region: its data centres and its store do not answer.
    Region,
    /// The pointer: reads of checkpoint and bootstrap fail at the origin.
    Pointer,
    /// Nothing, but no region was told of the new version, and nothing of it was placed.
    Cold,
}

impl Outage {
    /// The scenarios that must hold the bars.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Origin, Self::Region, Self::Pointer];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Origin => "origin",
            Self::Region => "region",
            Self::Pointer => "pointer",
            Self::Cold => "cold",
        }
    }

    /// From when to when: the origin's begins while the caches are empty.
    fn window(self) -> std::ops::Range<u64> {
        match self {
            Self::Calm | Self::Cold => 0..0,
            Self::Origin => SECOND..31 * SECOND,
            Self::Region | Self::Pointer => 15 * SECOND..45 * SECOND,
        }
    }

    fn is_on(self, now: u64) -> bool {
        self.window().contains(&now)
    }
}

/// What a run is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What all is drawn from.
    pub seed: u64,
    /// How many clients come; the edge is as large as they need.
    pub clients: u32,
    /// What goes wrong.
    pub outage: Outage,
}

/// What the edge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    CentreHits,
    CentreMisses,
    Coalesced,
    RegionHits,
    NeighbourFills,
    Refused,
    CatalogQuestions,
    /// Reads of the origin's store, by what was read.
    ObjectReads,
    PointerReads,
    TileReads,
    /// Those of them that failed.
    FailedReads,
}

impl Count {
    const ALL: [(Self, &'static str); 11] = [
        (Self::CentreHits, "centre_hits"),
        (Self::CentreMisses, "centre_misses"),
        (Self::Coalesced, "coalesced"),
        (Self::RegionHits, "region_hits"),
        (Self::NeighbourFills, "neighbour_fills"),
        (Self::Refused, "refused"),
        (Self::CatalogQuestions, "catalog_questions"),
        (Self::ObjectReads, "origin_object_reads"),
        (Self::PointerReads, "origin_pointer_reads"),
        (Self::TileReads, "origin_tile_reads"),
        (Self::FailedReads, "origin_failed_reads"),
    ];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts([u64; Count::ALL.len()]);

impl Counts {
    fn add(&mut self, what: Count) {
        self.0[what as usize] += 1;
    }

    fn of(&self, what: Count) -> u64 {
        self.0[what as usize]
    }

    fn origin(&self) -> u64 {
        [Count::ObjectReads, Count::PointerReads, Count::TileReads].map(|c| self.of(c)).iter().sum()
    }
}

/// A client that came, beside its engine.
struct Line {
    centre: usize,
    isolate: u8,
    address: u32,
    /// To its data centre, one way.
    latency: u64,
    bytes_per_ms: u64,
    /// When its line is free.
    free: u64,
    came: u64,
    bootstrapped: bool,
    holds: bool,
    /// When it is to be ticked, in milliseconds.
    tick_ms: Option<u64>,
}

/// Who asked for what is under way.
#[derive(Clone, Copy)]
struct Asked {
    client: u32,
    ask: Option<Ask>,
    /// One way.
    latency: u64,
}

struct World<'a> {
    plan: Plan,
    data: &'a Data,
    agenda: Agenda,
    edge: Edge<'a>,
    clients: Vec<Option<Box<Client<'a>>>>,
    lines: Vec<Line>,
    asked: Vec<Asked>,
    draw: Draw,
    report: Report,
}

/// Runs a crowd; the error says who broke what, and when.
pub fn run(data: &Data, plan: Plan) -> Result<Report, String> {
    let begun = std::time::Instant::now();
    let mut world = World::new(data, plan);
    let ran = world.run();
    let second = world.agenda.now / SECOND;
    let name = plan.outage.name();
    ran.map_err(|what| format!("{name}, seed {}, second {second}: {what}", plan.seed))?;
    let mut report = world.report;
    report.finish(&world.edge.counts);
    report.took_s = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// Draws a place by shares that sum to a hundred, or to ten.
fn place(shares: &[u64], draw: &mut Draw) -> usize {
    let mut at = draw.below(shares.iter().sum());
    for (place, share) in shares.iter().enumerate() {
        if at < *share {
            return place;
        }
        at -= share;
    }
    0
}

impl<'a> World<'a> {
    fn new(data: &'a Data, plan: Plan) -> Self {
        let clients = u64::from(plan.clients);
        let mut world = Self {
            plan,
            data,
            agenda: Agenda::default(),
            edge: Edge::new(data, plan.outage, clients),
            clients: (0..plan.clients).map(|_| None).collect(),
            lines: Vec::new(),
            asked: Vec::new(),
            draw: Draw(plan.seed),
            report: Report::new(plan),
        };
        for client in 0..plan.clients {
            let line = world.line();
            world.agenda.at(line.came, Due::Open(client));
            world.lines.push(line);
        }
        world
    }

    fn line(&mut self) -> Line {
        let draw = &mut self.draw;
        // The product of two draws: one in twelve comes in the first second of sixty.
        let (one, other) = (draw.below(WINDOW), draw.below(WINDOW));
        let region = place(&SHARES, draw);
        let centre = region * CENTRES + place(&CENTRE_SHARES, draw);
        let share = SHARES[region] * CENTRE_SHARES[centre % CENTRES];
        let own = u64::from(self.plan.clients) * share / 1_000;
        let addresses = own.div_ceil(BEHIND_ADDRESS).max(1);
        Line {
            centre,
            isolate: u8::try_from(draw.below(ISOLATES.into())).expect("small"),
            address: u32::try_from(draw.below(addresses)).expect("small"),
            latency: 5 * MS + draw.below(70 * MS),
            bytes_per_ms: [100, 500, 1_000, 3_000, 12_000][place(&[1, 2, 3, 2, 2], draw)],
            free: 0,
            came: one * other / WINDOW,
            bootstrapped: false,
            holds: draw.below(HOLDS) == 0,
            tick_ms: None,
        }
    }

    fn now_ms(&self) -> u64 {
        START_MS + self.agenda.now / MS
    }

    fn run(&mut self) -> Result<(), String> {
        while self.report.completed() < u64::from(self.plan.clients) {
            let Some(due) = self.agenda.step() else { break };
            if self.agenda.now > END {
                break;
            }
            match due {
                Due::Open(client) => self.open(client)?,
                Due::Tick(client) => {
                    if self.lines[client as usize].tick_ms == Some(self.now_ms()) {
                        self.lines[client as usize].tick_ms = None;
                        self.with(client, |own, now_ms, asks| {
                            own.feed(vec![Input::Tick], now_ms, asks)
                        })?;
                    }
                }
                Due::Reply(id, outcome) => self.reply(id, outcome),
                Due::Deliver(id, outcome) => self.deliver(id, outcome)?,
                due => {
                    let before = self.edge.counts.origin();
                    self.edge.play(due, &mut self.agenda);
                    let reads = self.edge.counts.origin() - before;
                    self.report.origin_read(self.agenda.now, reads);
                }
            }
        }
        match u64::from(self.plan.clients) - self.report.completed() {
            0 => Ok(()),
            missing => Err(format!("{missing} clients do not complete")),
        }
    }

    fn open(&mut self, client: u32) -> Result<(), String> {
        let line = &self.lines[client as usize];
        let (seed, holds) = (self.plan.seed ^ Draw(client.into()).draw(), line.holds);
        if client.is_multiple_of(STRAYS) {
            let key = self.data.len() + client / STRAYS % data::STRAYS;
            self.send(client, line.latency, line.centre, (key, true), None);
        }
        self.clients[client as usize] = Some(Box::new(Client::new(self.data, seed, holds)));
        let source = |at: u32| Input::AddSource { name: format!("source-{at}") };
        self.with(client, |own, now_ms, asks| own.feed(vec![source(0), source(1)], now_ms, asks))
    }

    /// Lets a client do something, sends what it asks for, and sees how far it is.
    fn with(
        &mut self,
        client: u32,
        act: impl FnOnce(&mut Client, u64, &mut Vec<Ask>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (now_ms, at) = (self.now_ms(), client as usize);
        let Some(own) = &mut self.clients[at] else { return Ok(()) };
        let mut asks = Vec::new();
        act(own, now_ms, &mut asks).map_err(|what| format!("client {client}: {what}"))?;
        let line = &mut self.lines[at];
        let passed = self.agenda.now - line.came;
        if own.bootstrapped && !line.bootstrapped {
            line.bootstrapped = true;
            if !line.holds {
                self.report.bootstrapped(passed);
            }
        }
        if own.complete {
            self.report.complete(self.agenda.now, passed, own.requests, own.failed);
            self.clients[at] = None;
            return Ok(());
        }
        if line.tick_ms != own.wake_ms
            && let Some(wake_ms) = own.wake_ms
        {
            let wake_ms = wake_ms.max(now_ms + 1);
            line.tick_ms = Some(wake_ms);
            self.agenda.at((wake_ms - START_MS) * MS, Due::Tick(client));
        }
        for ask in asks {
            self.report.asked(self.agenda.now);
            let line = &self.lines[at];
            let home = line.centre / CENTRES;
            // The second source is the next region.
            let region = (home + ask.source as usize) % REGIONS;
            let centre = region * CENTRES + line.centre % CENTRES;
            let latency = line.latency + if region == home { 0 } else { way(home, region) + HOP };
            self.send(client, latency, centre, (ask.key, ask.range.is_none()), Some(ask));
        }
        Ok(())
    }

    fn send(
        &mut self,
        client: u32,
        latency: u64,
        centre: usize,
        (key, whole): (data::Key, bool),
        ask: Option<Ask>,
    ) {
        let line = &self.lines[client as usize];
        let (isolate, address) = (line.isolate, line.address);
        let (turn, waited, read_at) = (None, false, 0);
        let trip = Trip { centre, isolate, address, key, whole, turn, waited, read_at };
        let id = self.edge.begin(trip);
        let asked = Asked { client, ask, latency };
        match self.asked.get_mut(id as usize) {
            Some(place) => *place = asked,
            None => self.asked.push(asked),
        }
        self.agenda.after(latency, Due::Arrive(id));
    }

    /// The answer crosses the client's line, behind those that came before it.
    fn reply(&mut self, id: TripId, outcome: Outcome) {
        let Asked { client, ask, latency } = self.asked[id as usize];
        let line = &mut self.lines[client as usize];
        let len = match (outcome, ask.and_then(|ask| ask.range)) {
            (Outcome::Whole, Some(range)) => range.len,
            (Outcome::Whole, None) => self.data.body(self.edge.trip(id).key).len() as u64,
            (Outcome::Missing | Outcome::Limited | Outcome::Busy | Outcome::Dark, _) => 0,
        };
        let begins = line.free.max(self.agenda.now + latency);
        let ends = begins + len * MS / line.bytes_per_ms;
        line.free = ends;
        self.agenda.at(ends, Due::Deliver(id, outcome));
    }

    fn deliver(&mut self, id: TripId, outcome: Outcome) -> Result<(), String> {
        let Asked { client, ask, .. } = self.asked[id as usize];
        let key = self.edge.end(id).key;
        self.report.answered(self.agenda.now, client, outcome);
        let Some(ask) = ask else {
            return match outcome {
                Outcome::Whole => Err("a name that does not exist was served".into()),
                Outcome::Missing | Outcome::Limited | Outcome::Busy | Outcome::Dark => Ok(()),
            };
        };
        let late = self.now_ms() > ask.deadline_ms;
        let body = match outcome {
            _ if late => Err(FetchFailure::Timeout),
            Outcome::Dark => Err(FetchFailure::Network),
            Outcome::Whole => Ok(part(self.data.body(key), &ask)),
            Outcome::Missing | Outcome::Limited | Outcome::Busy => {
                let (status, retry_after_ms) = outcome.status().unwrap_or((503, None));
                Err(FetchFailure::Status { status, retry_after_ms })
            }
        };
        self.with(client, |own, now_ms, asks| own.answered(ask.request, body, now_ms, asks))
    }
}

/// What was asked for of an object.
fn part(body: &[u8], ask: &Ask) -> Vec<u8> {
    let Some(range) = ask.range else { return body.to_vec() };
    let at = |place: u64| usize::try_from(place).expect("small");
    body[at(range.start)..at(range.start + range.len)].to_vec()
}
