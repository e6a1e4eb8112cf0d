//! A discrete-event simulator: the real engine on a virtual clock, between sources that fail and
//! lie over slow links and a store whose process dies between two writes. One seed is one run.
//!
//! In scope: latency, bandwidth, connections that break, stalls, partitions, statuses with
//! Retry-After, lies, sources that lag, a slow disk, crashes before and after a write, clock jumps,
//! versions published on the way. Out of scope: see docs/simulator.md. The oracle is each version's
//! plain map.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use packice_core::engine::io::{
    Answer, Condition, FetchFailure, Milestone, Output, RangeQuery, ReadId, RequestId, SourceState,
    StoreBatch, StoreKey,
};
use packice_core::engine::{Command, Engine, EngineConfig, Event, Input};
use packice_core::hash;
use packice_core::types::{Millis, ObjectKind};

use crate::publication::{channel, dataset, numbered_record};

pub mod plan;
mod set;

pub use plan::{Draw, Lie, Op, Scenario, SourcePlan};
use set::{Set, set};

/// Faults of links end here, in virtual milliseconds from the start; lies and lags go on.
pub const CALM_MS: u64 = 60_000;
/// So long after that the newest version must be held.
const PROGRESS_MS: u64 = 600_000;
/// Requests of a whole run, crashes included; seeds 1 to 20,000 make 46 at most.
pub const REQUESTS_MAX: u64 = 120;
const START: u64 = 1_000_000;
/// A body comes in pieces of a third, and of so many bytes at most.
const PIECE_LEN: usize = 16 << 10;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Inputs that engines handled.
    pub steps: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Answers that were compared with the oracle.
    pub answers: u64,
    /// Rows that were compared with their names.
    pub rows: u64,
    /// Virtual milliseconds until the first sync ended well.
    pub synced_ms: u64,
    /// A digest over all inputs and their times.
    pub digest: u64,
    /// The story, where it was asked for.
    pub story: Vec<String>,
}

enum Due {
    Op(Op),
    Input(Input),
    Write(RequestId, StoreBatch),
    Read(RequestId, Vec<StoreKey>),
    List(RequestId),
}

struct World<'a> {
    plan: &'a Scenario,
    set: &'static Set,
    engine: Engine,
    store: BTreeMap<StoreKey, Vec<u8>>,
    now: u64,
    /// How far the wall clock is ahead of the time that passed.
    skew: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Due>,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    open: BTreeSet<RequestId>,
    disk_free: u64,
    published: usize,
    /// Until when each source is cut off.
    cut: Vec<u64>,
    draw: Draw,
    crash: Option<(u64, bool)>,
    writes: u64,
    held: u64,
    reads: BTreeMap<ReadId, (usize, Vec<u8>)>,
    pages: Option<Answer>,
    syncs: Vec<Result<u64, String>>,
    banned: bool,
    /// The milestones that this engine told of.
    told: Vec<(Milestone, u64)>,
    /// The conditions that hold.
    holds: Vec<Condition>,
    explain: bool,
    ran: Ran,
}

/// Runs a scenario; the error says which invariant broke and when.
pub fn run(plan: &Scenario, explain: bool) -> Result<Ran, String> {
    let mut world = World::new(plan, explain);
    match world.until(START + CALM_MS).and_then(|()| world.recover()).and_then(|()| world.offline())
    {
        Ok(()) => Ok(world.ran),
        Err(what) => {
            let story = world.ran.story.join("\n");
            Err(format!("{what} (at {} ms)\n{story}", world.now - START))
        }
    }
}

fn engine(set: &Set, seed: u64) -> Engine {
    let trust = set.trust.clone();
    let config = EngineConfig { dataset: dataset(), channel: channel(), trust };
    Engine::new(config, seed).expect("a trust root that holds")
}

impl<'a> World<'a> {
    fn new(plan: &'a Scenario, explain: bool) -> Self {
        let set = set(plan.set);
        let mut world = Self {
            plan,
            set,
            engine: engine(set, plan.seed),
            store: BTreeMap::new(),
            now: START,
            skew: 0,
            order: 0,
            queue: BTreeMap::new(),
            due: BinaryHeap::new(),
            open: BTreeSet::new(),
            disk_free: 0,
            published: 0,
            cut: vec![0; plan.sources.len()],
            draw: Draw(plan.seed),
            crash: None,
            writes: 0,
            held: 0,
            reads: BTreeMap::new(),
            pages: None,
            syncs: Vec::new(),
            banned: false,
            told: Vec::new(),
            holds: Vec::new(),
            explain,
            ran: Ran::default(),
        };
        for (at, op) in &plan.ops {
            world.later(START + at, Due::Op(*op));
        }
        world.add_sources();
        world
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.explain {
            let line = format!("{:>7} ms  {}", self.now - START, what());
            self.ran.story.push(line);
        }
    }

    fn later(&mut self, at: u64, due: Due) {
        self.order += 1;
        let key = (at.max(self.now), self.order);
        self.queue.insert(key, due);
        self.due.push(Reverse(key));
    }

    fn add_sources(&mut self) {
        for index in 0..self.plan.sources.len() {
            self.later(self.now, Due::Input(Input::AddSource { name: format!("source-{index}") }));
        }
    }

    /// Plays what is due, and the engine's ticks, up to a time.
    fn until(&mut self, end: u64) -> Result<(), String> {
        loop {
            let tick = self.drain()?;
            let next = self.due.peek().map(|Reverse((at, _))| *at);
            let tick = tick.map(|at| at.saturating_sub(self.skew).max(self.now + 1));
            match (next, tick) {
                (Some(at), tick) if at <= end && tick.is_none_or(|tick| at <= tick) => {
                    let Reverse(key) = self.due.pop().expect("it was seen");
                    self.now = self.now.max(at);
                    if let Some(due) = self.queue.remove(&key) {
                        self.play(due)?;
                    }
                }
                (_, Some(tick)) if tick <= end => {
                    self.now = tick;
                    self.handle(Input::Tick);
                }
                _ => {
                    self.now = self.now.max(end);
                    return Ok(());
                }
            }
        }
    }

    fn play(&mut self, due: Due) -> Result<(), String> {
        match due {
            Due::Op(op) => self.operate(op),
            Due::Input(input) => {
                self.deliver(input);
                Ok(())
            }
            Due::Write(request, batch) => self.write(request, &batch),
            Due::Read(request, keys) => {
                let rows = keys.iter().map(|key| self.store.get(key).cloned()).collect();
                self.handle(Input::Loaded { request, rows });
                Ok(())
            }
            Due::List(request) => {
                let keys = self.store.keys().copied().filter(|key| key.name().is_some());
                let keys = keys.collect();
                self.handle(Input::Listed { request, keys });
                Ok(())
            }
        }
    }

    /// Feeds an input, unless it belongs to a fetch that has ended.
    fn deliver(&mut self, input: Input) {
        match &input {
            Input::Body { request, .. } if !self.open.contains(request) => return,
            Input::BodyEnd { request } | Input::FetchFailed { request, .. } => {
                if !self.open.remove(request) {
                    return;
                }
                self.tell(|| match &input {
                    Input::FetchFailed { failure, .. } => format!("{request:?} fails: {failure:?}"),
                    _ => format!("{request:?} ends"),
                });
            }
            _ => {}
        }
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        self.ran.steps += 1;
        let kind = match &input {
            Input::Body { request, bytes } => request.0 ^ ((bytes.len() as u64) << 20),
            Input::BodyEnd { request } => request.0 ^ (1 << 40),
            Input::FetchFailed { request, .. } => request.0 ^ (2 << 40),
            Input::Loaded { request, .. } => request.0 ^ (3 << 40),
            Input::Stored { request, .. } => request.0 ^ (4 << 40),
            _ => 5 << 40,
        };
        let mixed = self.ran.digest ^ kind ^ self.now.rotate_left(32);
        self.ran.digest = Draw(mixed).draw();
        self.engine.handle(input, Millis(self.now + self.skew));
    }

    fn operate(&mut self, op: Op) -> Result<(), String> {
        self.tell(|| format!("{op:?}"));
        match op {
            Op::Sync => self.handle(Input::Command(Command::Sync)),
            Op::Get(collection, draw) => self.get(collection, draw),
            Op::Publish => self.published = (self.published + 1).min(3),
            Op::Crash => return self.crash(),
            Op::CrashAtWrite { nth, before } => self.crash = Some((self.writes + nth, before)),
            Op::Jump(ms) => self.skew += ms,
            Op::Partition(source, ms) => {
                let source = source % self.cut.len().max(1);
                let Some(cut) = self.cut.get_mut(source) else { return Ok(()) };
                *cut = (*cut).max(self.now + ms);
            }
            Op::Idle => self.handle(Input::Idle),
            Op::Yield(yields) => self.handle(Input::Command(Command::Yield(yields))),
            Op::Within(ms) => {
                let deadline = Some(Millis(self.now + self.skew + ms));
                self.handle(Input::Command(Command::Until(deadline)));
            }
        }
        Ok(())
    }

    fn get(&mut self, collection: usize, draw: u64) {
        let at = collection % self.set.names.len();
        let key = numbered_record(draw, 0).0;
        self.order += 1;
        let read = ReadId(self.order);
        self.reads.insert(read, (at, key.clone()));
        let collection = self.set.names[at].into();
        self.handle(Input::Command(Command::Get { read, collection, key, version: None }));
    }

    /// The process dies; what was acknowledged, and what was written before, stays.
    fn crash(&mut self) -> Result<(), String> {
        self.tell(|| "the client dies, and another opens".into());
        self.queue.retain(|_, due| matches!(due, Due::Op(_)));
        self.open.clear();
        self.reads.clear();
        self.crash = None;
        self.disk_free = 0;
        // Another process may see an earlier clock.
        self.skew /= 2;
        self.check_store()?;
        if self.held > 0 {
            self.offline()?;
        }
        self.engine = engine(self.set, self.draw.draw());
        self.told.clear();
        self.holds.clear();
        self.add_sources();
        Ok(())
    }

    fn write(&mut self, request: RequestId, batch: &StoreBatch) -> Result<(), String> {
        self.writes += 1;
        let crash = self.crash.filter(|(nth, _)| *nth == self.writes);
        if crash.is_some_and(|(_, before)| before) {
            return self.crash();
        }
        for (key, row) in &batch.puts {
            self.check_row(key, row)?;
            self.store.insert(*key, row.to_vec());
        }
        for key in &batch.deletes {
            self.store.remove(key);
        }
        if crash.is_some() {
            return self.crash();
        }
        self.handle(Input::Stored { request, result: Ok(()) });
        Ok(())
    }

    fn disk(&mut self, due: Due) {
        self.disk_free = self.disk_free.max(self.now) + self.plan.disk_ms;
        self.later(self.disk_free, due);
    }

    /// Performs outputs up to a wait.
    fn drain(&mut self) -> Result<Option<u64>, String> {
        for _ in 0..100_000 {
            match self.engine.poll_output() {
                Output::Work => self.engine.work(64 << 10, Millis(self.now + self.skew)),
                Output::Wait { until, .. } => return Ok(until.map(|until| until.0)),
                Output::Fetch { request, source, target, max_bytes, deadline } => {
                    let range = target.range.map(|range| (range.start, range.len));
                    let deadline = deadline.0.saturating_sub(self.skew);
                    let source = source.0 as usize;
                    self.fetch(request, source, &target.path, range, max_bytes, deadline)?;
                }
                Output::Listen { request, .. } => {
                    self.later(self.now + 1, Due::Input(Input::LineEnded { request }));
                }
                Output::CancelFetch { request } => {
                    let failure = FetchFailure::Cancelled;
                    self.later(self.now, Due::Input(Input::FetchFailed { request, failure }));
                }
                Output::Load { request, keys } => self.disk(Due::Read(request, keys)),
                Output::List { request } => self.disk(Due::List(request)),
                Output::Store { request, batch } => self.disk(Due::Write(request, batch)),
                Output::Event(event) => self.event(&event)?,
                Output::Answer { read, answer } => self.answer(read, answer)?,
                Output::SyncEnded { result } => self.sync_ended(result)?,
                Output::RolledBack { .. } => return Err("nobody went back".into()),
            }
        }
        Err("the engine asks without end".into())
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        self.tell(|| format!("{event:?}"));
        match event {
            Event::Status(status) => {
                let first = status.sources.first();
                self.banned = first.is_some_and(|source| source.state == SourceState::Banned);
            }
            Event::Milestone { milestone, version } => {
                let news = (milestone.clone(), version.0);
                let past = self.told.iter().any(|told| told.1 > version.0 || *told == news);
                if past || version.0 > self.published as u64 + 1 {
                    return Err(format!("{milestone:?} of {version} after {:?}", self.told));
                }
                self.told.push(news);
            }
            Event::Condition { condition, holds, .. } => {
                if self.holds.contains(condition) == *holds {
                    return Err(format!("{condition:?} is told twice"));
                }
                self.holds.retain(|held| held != condition);
                self.holds.extend(holds.then_some(*condition));
            }
            _ => {}
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        request: RequestId,
        source: usize,
        path: &str,
        range: Option<(u64, u64)>,
        max_bytes: u64,
        deadline: u64,
    ) -> Result<(), String> {
        self.ran.requests += 1;
        if self.ran.requests > REQUESTS_MAX {
            return Err(format!("a storm: more than {REQUESTS_MAX} requests"));
        }
        self.tell(|| format!("{request:?} asks source-{source} for {path} {range:?}"));
        self.open.insert(request);
        let plan = &self.plan.sources[source];
        let calm = self.now >= START + CALM_MS;
        let release = self.published.saturating_sub(plan.lag);
        let cut = !calm && self.now < self.cut[source];
        let body = self.set.releases[release].files.get(path);
        let served = plan.serve(&mut self.draw, body, range, &self.set.releases[0], path, calm);
        let (latency_ms, rate) = (plan.latency_ms, plan.bytes_per_ms);
        let begun = self.now + latency_ms + self.draw.below(latency_ms + 1);
        let fail = |failure| Due::Input(Input::FetchFailed { request, failure });
        let (body, end) = match served {
            _ if cut => (Vec::new(), Err(FetchFailure::Network)),
            Err(failure) => (Vec::new(), Err(failure)),
            Ok((body, _)) if body.len() as u64 > max_bytes => {
                (Vec::new(), Err(FetchFailure::TooLong))
            }
            Ok((body, broken)) => (body, broken.map_or(Ok(()), Err)),
        };
        let mut at = begun;
        for piece in body.chunks(body.len().div_ceil(3).clamp(1, PIECE_LEN)) {
            at += piece.len() as u64 / rate;
            if at < deadline {
                let bytes = piece.to_vec();
                self.later(at, Due::Input(Input::Body { request, bytes }));
            }
        }
        if at >= deadline || end == Err(FetchFailure::Timeout) {
            self.later(deadline, fail(FetchFailure::Timeout));
        } else if let Err(failure) = end {
            self.later(at, fail(failure));
        } else {
            self.later(at, Due::Input(Input::BodyEnd { request }));
        }
        Ok(())
    }

    fn answer(
        &mut self,
        read: ReadId,
        answer: Result<Answer, packice_core::engine::io::Failure>,
    ) -> Result<(), String> {
        let answer = answer.map_err(|failure| format!("a read failed: {failure:?}"))?;
        let Some((at, key)) = self.reads.remove(&read) else {
            self.pages = Some(answer);
            return Ok(());
        };
        self.tell(|| format!("{read:?} is answered: {answer:?}"));
        let (value, version) = match answer {
            Answer::Present { value, version } => (Some(value), version),
            Answer::Absent { version } => (None, version),
            Answer::Unknown(_) => return Ok(()),
            other => return Err(format!("a read of a key was answered {other:?}")),
        };
        self.ran.answers += 1;
        let versions = self.published + 1;
        let place = usize::try_from(version.0).expect("small");
        if place == 0 || place > versions || version.0 < self.held {
            return Err(format!("{version} answers; {} was held of {versions}", self.held));
        }
        match self.set.versions[place - 1][at].records.get(&key) == value.as_ref() {
            true => Ok(()),
            false => Err(format!("a wrong answer from {version}: {value:?}")),
        }
    }

    fn sync_ended(
        &mut self,
        result: Result<packice_core::engine::io::SyncReport, packice_core::engine::io::Failure>,
    ) -> Result<(), String> {
        self.tell(|| format!("the sync ends: {result:?}"));
        let result = result.map(|report| report.version.0).map_err(|f| f.code().to_owned());
        if let Ok(version) = &result {
            if *version < self.held || *version > self.published as u64 + 1 {
                return Err(format!("a sync committed {version} after {}", self.held));
            }
            self.held = *version;
            if self.ran.synced_ms == 0 {
                self.ran.synced_ms = self.now - START;
            }
        }
        self.syncs.push(result);
        Ok(())
    }

    /// A row is what it is named after, and the publisher made it, or the client did (layers).
    fn check_row(&mut self, key: &StoreKey, row: &[u8]) -> Result<(), String> {
        self.ran.rows += 1;
        let files = &self.set.releases[3].files;
        let (name, known) = match key {
            StoreKey::State | StoreKey::Audit | StoreKey::Sources => return Ok(()),
            StoreKey::Frame(name) => (name, self.set.frames.contains(name)),
            StoreKey::Object(kind, name) => {
                let path = format!("{}/{name}", kind.as_str());
                let made = matches!(kind, ObjectKind::Layer | ObjectKind::LayerPage);
                (name, made || files.contains_key(&path))
            }
        };
        match known && hash::wire_name(row) == *name {
            true => Ok(()),
            false => Err(format!("{key:?} was stored and is nobody's")),
        }
    }

    fn check_store(&mut self) -> Result<(), String> {
        let store = std::mem::take(&mut self.store);
        let checked = store.iter().try_for_each(|(key, row)| self.check_row(key, row));
        self.store = store;
        checked
    }

    /// After the faults: the newest version comes within a bounded time, from the honest source.
    fn recover(&mut self) -> Result<(), String> {
        self.crash = None;
        let newest = self.published as u64 + 1;
        let end = START + CALM_MS + PROGRESS_MS;
        while self.held < newest {
            if self.now >= end {
                return Err(format!("no progress: {} of {newest}, {:?}", self.held, self.syncs));
            }
            self.handle(Input::Command(Command::Sync));
            self.until(self.now + 30_000)?;
        }
        for draw in [3, 47, 1501] {
            self.get(1, draw);
        }
        self.handle(Input::Command(Command::Status));
        self.until(self.now + 30_000)?;
        if !self.reads.is_empty() {
            return Err(format!("reads without an answer: {:?}", self.reads));
        }
        if self.banned {
            return Err("the honest source is banned".into());
        }
        self.check_store()
    }

    /// A client without a source finds what was committed, record for record.
    fn offline(&mut self) -> Result<(), String> {
        let engine = engine(self.set, 7);
        let live = std::mem::replace(&mut self.engine, engine);
        let (queue, due) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.due));
        let (now, disk_free) = (self.now, self.disk_free);
        for at in 0..self.set.names.len() {
            self.range(at)?;
        }
        (self.queue, self.due, self.engine) = (queue, due, live);
        // It is another process, whose time is its own.
        (self.now, self.disk_free) = (now, disk_free);
        Ok(())
    }

    fn range(&mut self, at: usize) -> Result<(), String> {
        let collection = self.set.names[at];
        let (mut start, mut root, mut all) = (Vec::new(), None, BTreeMap::new());
        loop {
            self.order += 1;
            let read = ReadId(self.order);
            let range = RangeQuery {
                collection: collection.into(),
                start,
                end: None,
                limit: 200,
                at: root,
            };
            self.handle(Input::Command(Command::Range { read, range, version: None }));
            self.until(self.now + 60_000)?;
            let (records, next, of, version) = match self.pages.take() {
                Some(Answer::Records { records, next, root, version }) => {
                    (records, next, root, version)
                }
                other => return Err(format!("a commit was lost: {collection} says {other:?}")),
            };
            let place = usize::try_from(version.0).expect("small");
            if version.0 < self.held || place > self.published + 1 {
                return Err(format!("{version} took the place of {}", self.held));
            }
            all.extend(records.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            match next {
                Some(next) => (start, root) = (next, Some(of)),
                None if all == self.set.versions[place - 1][at].records => {
                    self.ran.answers += 1;
                    return Ok(());
                }
                None => return Err(format!("{collection} of {version} has other records")),
            }
        }
    }
}
