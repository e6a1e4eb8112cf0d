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
    Answer, Condition, FetchFailure, Milestone, Output, ReadId, RequestId, SourceId, StoreBatch,
    StoreFailure, StoreKey,
};
use packice_core::engine::{Command, Engine, EngineConfig, Input};
use packice_core::format::push::Push;
use packice_core::types::{Millis, Version};

use crate::publication::{channel, dataset, numbered_record};

mod check;
pub mod plan;
mod set;
mod words;

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
    going_back: Option<Version>,
    /// The lines that are open, and to whom.
    lines: BTreeMap<RequestId, usize>,
    /// How many of the next transactions fail, and with what.
    failing: Option<(StoreFailure, u64)>,
    /// Whether rows were lost or damaged beneath the client: what it commits may come again then.
    spoiled: bool,
    explain: bool,
    /// What was last said to be waited for.
    waits: String,
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

/// The story of a scenario that is written by hand, up to a time. The invariants hold in it, but
/// the newest version need not come.
pub fn story(plan: &Scenario, end_ms: u64) -> Result<Vec<String>, String> {
    let mut world = World::new(plan, true);
    let ended = world.until(START + end_ms);
    let story = std::mem::take(&mut world.ran.story);
    ended.map_err(|what| format!("{what}\n{}", story.join("\n"))).map(|()| story)
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
            going_back: None,
            lines: BTreeMap::new(),
            failing: None,
            spoiled: false,
            explain,
            waits: String::new(),
            ran: Ran::default(),
        };
        for (at, op) in &plan.ops {
            world.later(START + at, Due::Op(op.clone()));
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
        for (index, source) in self.plan.sources.iter().enumerate() {
            let name = format!("source-{index}");
            let input = match source.seed {
                true => Input::AddSeed { name },
                false => Input::AddSource { name },
            };
            self.later(self.now, Due::Input(input));
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
                    Input::FetchFailed { failure, .. } => {
                        format!("#{} fails: {failure:?}", request.0)
                    }
                    _ => format!("#{} ends", request.0),
                });
            }
            Input::Pushed { request, .. } if !self.lines.contains_key(request) => return,
            Input::Pushed { request, bytes } => {
                self.tell(|| format!("#{} says {} bytes", request.0, bytes.len()));
            }
            Input::LineEnded { request } => {
                self.lines.remove(request);
                self.tell(|| format!("#{} ends", request.0));
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
        self.tell(|| words::tidy(&format!("{op:?}")));
        match op {
            Op::Sync => self.handle(Input::Command(Command::Sync)),
            Op::Get(collection, draw) => self.get(collection, draw),
            Op::Publish => {
                self.published = (self.published + 1).min(3);
                let lines: Vec<(RequestId, usize)> =
                    self.lines.iter().map(|(request, source)| (*request, *source)).collect();
                for (request, source) in lines {
                    let bootstrap = self.served(source, "bootstrap/stable").expect("it is there");
                    let bytes = Push::Release { bootstrap, objects: Vec::new() }.encode();
                    self.say(request, source, bytes);
                }
            }
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
            Op::Ask(command) => {
                match command {
                    Command::RollBack(version) => self.going_back = Some(version),
                    // What is told from here on is of other ranges.
                    Command::Subscribe(_) => self.told.clear(),
                    _ => {}
                }
                self.handle(Input::Command(command));
            }
            Op::Follow(follow) => {
                self.engine.follow(follow);
                self.handle(Input::Tick);
            }
            Op::StoreFails(failure, times) => self.failing = Some((failure, times)),
            Op::Lose(prefix) => {
                self.spoiled = true;
                self.store.retain(|key, _| !key.text().starts_with(prefix));
            }
            Op::Damage(prefix) => {
                self.spoiled = true;
                let rows = self.store.iter_mut().filter(|(key, _)| key.text().starts_with(prefix));
                for (_, row) in rows {
                    let middle = row.len() / 2;
                    row[middle] ^= 1;
                }
            }
            Op::Remove(source) => {
                let source = SourceId(u32::try_from(source).expect("few sources"));
                self.handle(Input::RemoveSource(source));
            }
            Op::HangUp => {
                for request in self.lines.keys().copied().collect::<Vec<_>>() {
                    self.later(self.now, Due::Input(Input::LineEnded { request }));
                }
            }
        }
        Ok(())
    }

    /// What a source has under a path now.
    fn served(&self, source: usize, path: &str) -> Option<Vec<u8>> {
        let release = self.published.saturating_sub(self.plan.sources[source].lag);
        let release = &self.set.releases[release];
        if path == "seed" { Some(release.seed()) } else { release.files.get(path).cloned() }
    }

    fn say(&mut self, request: RequestId, source: usize, bytes: Vec<u8>) {
        let at = self.now + self.plan.sources[source].latency_ms;
        self.later(at, Due::Input(Input::Pushed { request, bytes }));
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
        if !self.spoiled {
            self.check_store()?;
            if self.held > 0 {
                self.offline()?;
            }
        }
        self.engine = engine(self.set, self.draw.draw());
        self.told.clear();
        self.holds.clear();
        self.lines.clear();
        self.going_back = None;
        self.add_sources();
        Ok(())
    }

    fn write(&mut self, request: RequestId, batch: &StoreBatch) -> Result<(), String> {
        self.writes += 1;
        let crash = self.crash.filter(|(nth, _)| *nth == self.writes);
        if crash.is_some_and(|(_, before)| before) {
            return self.crash();
        }
        if let Some((failure, times)) = self.failing.take() {
            self.failing = (times > 1).then_some((failure, times - 1));
            self.handle(Input::Stored { request, result: Err(failure) });
            return Ok(());
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
            let output = self.engine.poll_output();
            self.tell_output(&output);
            match output {
                Output::Work => {
                    self.engine.work(64 << 10, Millis(self.now + self.skew));
                    self.now += self.plan.work_ms;
                }
                Output::Wait { until, .. } => return Ok(until.map(|until| until.0)),
                Output::Fetch { request, source, target, max_bytes, deadline } => {
                    let range = target.range.map(|range| (range.start, range.len));
                    let deadline = deadline.0.saturating_sub(self.skew);
                    let source = source.0 as usize;
                    self.fetch(request, source, &target.path, range, max_bytes, deadline)?;
                }
                Output::Listen { request, source, .. } => self.listen(request, source.0 as usize),
                Output::CancelFetch { request } => {
                    let input = match self.lines.contains_key(&request) {
                        true => Input::LineEnded { request },
                        false => {
                            let failure = FetchFailure::Cancelled;
                            Input::FetchFailed { request, failure }
                        }
                    };
                    self.later(self.now, Due::Input(input));
                }
                Output::Load { request, keys } => self.disk(Due::Read(request, keys)),
                Output::List { request } => self.disk(Due::List(request)),
                Output::Store { request, batch } => self.disk(Due::Write(request, batch)),
                Output::Event(event) => self.event(&event)?,
                Output::Answer { read, answer } => self.answer(read, answer)?,
                Output::SyncEnded { result } => self.sync_ended(result)?,
                Output::RolledBack { version, result } => self.rolled_back(version, &result)?,
            }
        }
        Err("the engine asks without end".into())
    }

    /// A line to a source that keeps none ends at once.
    fn listen(&mut self, request: RequestId, source: usize) {
        if !self.plan.sources[source].live {
            return self.later(self.now + 1, Due::Input(Input::LineEnded { request }));
        }
        self.lines.insert(request, source);
        let checkpoint = self.served(source, "checkpoint").expect("it is there");
        self.say(request, source, Push::Checkpoint(checkpoint).encode());
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
        self.open.insert(request);
        let plan = &self.plan.sources[source];
        let calm = self.now >= START + CALM_MS;
        let cut = !calm && self.now < self.cut[source];
        let body = self.served(source, path);
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
}
