//! The loop around core's engine: perform what it asks for, feed one input back, drain.
//!
//! Each fetch runs on a thread of its own (the engine bounds how many); the store is this
//! thread's. A fetch that the engine cancels is completed at once, and what its thread still
//! sends is dropped, so every request gets exactly one completion.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use packice_core::engine::io::{
    Answer, AuditStatus, FetchFailure, KeyRange, RangeQuery, ReadId, RequestId, SourceId, Status,
    StoreKey, SyncReport, Target, WaitReason,
};
use packice_core::engine::{Command, EngineConfig, Event, Input, Output, io};
use packice_core::trace::{Trace, Traced};
use packice_core::types::{Millis, Name, Version};

use super::fetch::Source;
use super::store::FileStore;
use crate::failure::{Failure, Kind, Result};

/// Plain bytes that one step of CPU work is about.
const WORK_BYTES: usize = 1 << 20;
/// Chunks of bodies that wait for the engine; more make the fetching threads wait.
const QUEUED_CHUNKS: usize = 64;

/// Hears what happens.
pub type Listener<'a> = dyn FnMut(&Event) + 'a;

/// An engine, its sources and its store.
pub struct Host {
    engine: Traced,
    start: (EngineConfig, u64),
    sources: Vec<Arc<dyn Source>>,
    store: FileStore,
    clock: Clock,
    inputs: VecDeque<Input>,
    to_host: SyncSender<Input>,
    from_fetches: Receiver<Input>,
    /// The fetches that have no completion yet, and how to stop each.
    fetches: BTreeMap<RequestId, Arc<AtomicBool>>,
    next_read: u64,
    answers: BTreeMap<ReadId, Result<Answer, io::Failure>>,
    sync_ended: Option<Result<SyncReport, io::Failure>>,
    rolled_back: Option<Result<(), io::Failure>>,
    status: Option<Status>,
    damaged: Vec<StoreKey>,
    why: WaitReason,
    /// How long a sync may take before it counts as late.
    expected: Option<Duration>,
}

/// A clock that does not go back, near the time since 1970.
struct Clock {
    base_ms: u64,
    started: Instant,
}

impl Clock {
    fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base_ms = u64::try_from(since.as_millis()).unwrap_or(0);
        Self { base_ms, started: Instant::now() }
    }

    fn now(&self) -> Millis {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Millis(self.base_ms).plus(elapsed)
    }
}

impl Host {
    /// Lets the clock run ahead by so many milliseconds: the client comes back later.
    pub fn come_back_after(&mut self, ms: u64) {
        self.clock.base_ms = self.clock.base_ms.saturating_add(ms);
    }

    /// An engine on a store, with its sources.
    pub fn new(
        dataset: Name,
        channel: Name,
        trust: Vec<u8>,
        store: FileStore,
        sources: Vec<Arc<dyn Source>>,
    ) -> Result<Self> {
        let mut seed = [0u8; 8];
        // Without randomness the retries are only less spread.
        let _ = getrandom::fill(&mut seed);
        let config = EngineConfig { dataset, channel, trust };
        let seed = u64::from_le_bytes(seed);
        let start = (config, seed);
        let engine = Traced::new(start.0.clone(), seed, None)
            .map_err(|error| Failure::from(error).within("the trust root"))?;
        let (to_host, from_fetches) = sync_channel(QUEUED_CHUNKS);
        let added = sources.iter().map(|source| Input::AddSource { name: source.name().into() });
        let inputs = added.collect();
        Ok(Self {
            engine,
            start,
            sources,
            store,
            clock: Clock::new(),
            inputs,
            to_host,
            from_fetches,
            fetches: BTreeMap::new(),
            next_read: 0,
            answers: BTreeMap::new(),
            sync_ended: None,
            rolled_back: None,
            status: None,
            damaged: Vec::new(),
            why: WaitReason::Store,
            expected: None,
        })
    }

    /// Records up to so many bytes of what happens from the beginning on; nothing has yet.
    pub fn record(&mut self, max_len: usize) -> Result<()> {
        let (config, seed) = self.start.clone();
        self.engine = Traced::new(config, seed, Some(Trace::new(max_len)))?;
        Ok(())
    }

    /// Adds a seed: the source that is asked first for what it holds.
    pub fn add_seed(&mut self, seed: Arc<dyn Source>) {
        self.inputs.push_back(Input::AddSeed { name: seed.name().into() });
        self.sources.push(seed);
    }

    /// How long a sync should take at most: the listener hears early where it will take longer.
    pub fn expect_within(&mut self, span: Duration) {
        self.expected = Some(span);
    }

    /// Holds these key ranges of these collections alone, and of all others everything.
    pub fn subscribe(&mut self, ranges: Vec<(String, Vec<KeyRange>)>) {
        self.inputs.push_back(Input::Command(Command::Subscribe(ranges)));
    }

    /// Brings the newest version.
    pub fn sync(&mut self, listener: &mut Listener<'_>) -> Result<SyncReport> {
        self.sync_ended = None;
        self.inputs.push_back(Input::Command(Command::Sync));
        if let Some(span) = self.expected {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let deadline = self.clock.now().plus(ms);
            self.inputs.push_back(Input::Command(Command::Until(Some(deadline))));
        }
        self.run(listener, |host| host.sync_ended.is_some())?;
        let ended = self
            .sync_ended
            .take()
            .unwrap_or(Err(io::Failure::Error(packice_core::error::Misuse::Aborted.into())));
        ended.map_err(|failure| failure_of(&failure))
    }

    /// Makes a kept version serve reads again.
    pub fn roll_back(&mut self, version: Version, listener: &mut Listener<'_>) -> Result<()> {
        self.rolled_back = None;
        self.inputs.push_back(Input::Command(Command::RollBack(version)));
        self.run(listener, |host| host.rolled_back.is_some())?;
        let aborted = io::Failure::Error(packice_core::error::Misuse::Aborted.into());
        let ended = self.rolled_back.take().unwrap_or(Err(aborted));
        ended.map_err(|failure| failure_of(&failure))
    }

    /// Decodes what was not audited yet and compares it with the signed roots: the same as the
    /// browser's client does in idle time.
    pub fn audit(&mut self, listener: &mut Listener<'_>) -> Result<AuditStatus> {
        let at_rest = |why| matches!(why, WaitReason::Idle | WaitReason::Upkeep);
        loop {
            self.inputs.push_back(Input::Idle);
            self.run(listener, |host| host.inputs.is_empty() && at_rest(host.why))?;
            if self.why == WaitReason::Idle {
                return Ok(self.status()?.audit);
            }
        }
    }

    /// Reads a key.
    pub fn get(&mut self, collection: &str, key: &[u8]) -> Result<Answer> {
        let (collection, key) = (collection.to_owned(), key.to_vec());
        self.read(|read| Command::Get { read, collection, key, version: None })
    }

    /// Proves that a key is present or absent.
    pub fn prove(&mut self, collection: &str, key: &[u8]) -> Result<Answer> {
        let (collection, key) = (collection.to_owned(), key.to_vec());
        self.read(|read| Command::Prove { read, collection, key, version: None })
    }

    /// Reads a page of a range.
    pub fn range(&mut self, range: RangeQuery) -> Result<Answer> {
        self.read(|read| Command::Range { read, range, version: None })
    }

    /// The state in full.
    pub fn status(&mut self) -> Result<Status> {
        self.status = None;
        self.inputs.push_back(Input::Command(Command::Status));
        self.run(&mut |_| {}, |host| host.status.is_some())?;
        self.status.take().ok_or_else(|| Failure::internal("the engine told no status"))
    }

    /// What was recorded so far, where that was wanted.
    pub fn trace(&self) -> Option<&[u8]> {
        self.engine.trace().map(Trace::bytes)
    }

    /// The rows of the store that were found damaged so far.
    pub fn damaged(&self) -> &[StoreKey] {
        &self.damaged
    }

    fn read(&mut self, command: impl FnOnce(ReadId) -> Command) -> Result<Answer> {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        self.inputs.push_back(Input::Command(command(read)));
        self.run(&mut |_| {}, |host| host.answers.contains_key(&read))?;
        let answer = self.answers.remove(&read);
        let answer = answer.unwrap_or(Ok(Answer::Unknown(io::UnknownReason::NoSnapshot)));
        answer.map_err(|failure| failure_of(&failure))
    }

    /// Feeds and drains until the condition holds.
    fn run(&mut self, listener: &mut Listener<'_>, done: impl Fn(&Self) -> bool) -> Result<()> {
        loop {
            let until = self.drain(listener);
            if done(self) {
                return Ok(());
            }
            let input = match self.inputs.pop_front() {
                Some(input) => input,
                None => self.wait(until)?,
            };
            if self.admit(&input) {
                let now = self.clock.now();
                self.engine.handle(input, now);
            }
        }
    }

    /// Performs outputs until the engine waits; gives the time until which.
    fn drain(&mut self, listener: &mut Listener<'_>) -> Option<Millis> {
        loop {
            match self.engine.poll_output() {
                Output::Wait { until, why } => {
                    self.why = why;
                    return until;
                }
                Output::Work => {
                    let now = self.clock.now();
                    self.engine.work(WORK_BYTES, now);
                }
                Output::Fetch { request, source, target, max_bytes, deadline } => {
                    self.fetch(request, source, target, max_bytes, deadline);
                }
                Output::CancelFetch { request } => self.cancel(request),
                // No verb of the command line stays to listen.
                Output::Listen { request, .. } => {
                    self.inputs.push_back(Input::LineEnded { request });
                }
                Output::Load { request, keys } => {
                    let rows = self.store.load(&keys);
                    self.inputs.push_back(Input::Loaded { request, rows });
                }
                Output::List { request } => {
                    let keys = self.store.list();
                    self.inputs.push_back(Input::Listed { request, keys });
                }
                Output::Store { request, batch } => {
                    let result = self.store.store(&batch);
                    self.inputs.push_back(Input::Stored { request, result });
                }
                Output::Event(event) => {
                    listener(&event);
                    self.note(event);
                }
                Output::Answer { read, answer } => {
                    self.answers.insert(read, answer);
                }
                Output::SyncEnded { result } => self.sync_ended = Some(result),
                Output::RolledBack { result, .. } => self.rolled_back = Some(result),
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Status(status) => self.status = Some(*status),
            Event::Damaged { key } => self.damaged.push(key),
            Event::Phase { .. }
            | Event::Milestone { .. }
            | Event::Condition { .. }
            | Event::Progress(_)
            | Event::Bundle { .. }
            | Event::Fault { .. }
            | Event::Freshness(_)
            | Event::Live { .. }
            | Event::LayoutMismatch(_)
            | Event::Road { .. }
            | Event::DeltaRefused { .. }
            | Event::Changed(_)
            | Event::Audit(_) => {}
        }
    }

    fn wait(&self, until: Option<Millis>) -> Result<Input> {
        let gone = || Failure::internal("the fetching threads are gone");
        let Some(until) = until else {
            if self.fetches.is_empty() {
                return Err(Failure::internal("the engine stopped before its answer"));
            }
            return self.from_fetches.recv().map_err(|_| gone());
        };
        let span = Duration::from_millis(until.since(self.clock.now()));
        match self.from_fetches.recv_timeout(span) {
            Ok(input) => Ok(input),
            Err(RecvTimeoutError::Timeout) => Ok(Input::Tick),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    /// Whether an input goes to the engine: what comes after a fetch's completion does not.
    fn admit(&mut self, input: &Input) -> bool {
        match input {
            Input::Body { request, .. } => self.fetches.contains_key(request),
            Input::BodyEnd { request } | Input::FetchFailed { request, .. } => {
                self.fetches.remove(request).is_some()
            }
            Input::AddSource { .. }
            | Input::AddSeed { .. }
            | Input::RemoveSource(_)
            | Input::Command(_)
            | Input::Loaded { .. }
            | Input::Listed { .. }
            | Input::Stored { .. }
            | Input::Idle
            | Input::Pushed { .. }
            | Input::LineEnded { .. }
            | Input::Tick => true,
        }
    }

    fn fetch(
        &mut self,
        request: RequestId,
        source: SourceId,
        target: Target,
        max_bytes: u64,
        deadline: Millis,
    ) {
        let stop = Arc::new(AtomicBool::new(false));
        self.fetches.insert(request, stop.clone());
        let source = usize::try_from(source.0).ok().and_then(|at| self.sources.get(at)).cloned();
        let Some(source) = source else {
            let failure = FetchFailure::Network;
            self.inputs.push_back(Input::FetchFailed { request, failure });
            return;
        };
        let timeout = Duration::from_millis(deadline.since(self.clock.now()).max(1));
        let to_host = self.to_host.clone();
        std::thread::spawn(move || {
            let mut sink = |bytes| {
                let wanted = !stop.load(Ordering::Relaxed);
                wanted && to_host.send(Input::Body { request, bytes }).is_ok()
            };
            let end = match source.fetch(&target, max_bytes, timeout, &mut sink) {
                Ok(()) => Input::BodyEnd { request },
                Err(failure) => Input::FetchFailed { request, failure },
            };
            // Nobody listens where the host went down.
            let _ = to_host.send(end);
        });
    }

    fn cancel(&mut self, request: RequestId) {
        if let Some(stop) = self.fetches.get(&request) {
            stop.store(true, Ordering::Relaxed);
            let failure = FetchFailure::Cancelled;
            self.inputs.push_back(Input::FetchFailed { request, failure });
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for stop in self.fetches.values() {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The engine's failure as the command's.
fn failure_of(failure: &io::Failure) -> Failure {
    let code = failure.code();
    let (kind, advice) = match failure {
        io::Failure::Error(error) => return Failure::from(error.clone()),
        io::Failure::Sources { code, .. } => match is_lie(code) {
            true => {
                (Kind::Verification, "use another --source: what this one serves does not hold")
            }
            false => (Kind::Network, "check that the source runs and that its URL is right"),
        },
        io::Failure::Store(_) => (Kind::Internal, "check the disk, or use another --store"),
        io::Failure::VersionChanged => (Kind::Conflict, "start the range again"),
        io::Failure::VersionGone(_) => {
            (Kind::Absent, "`packice inspect --local` lists what is held")
        }
    };
    Failure { code: Some(code), ..Failure::new(kind, failure.to_string()).next(advice) }
}

/// Whether a source's fault is what it serves, and not that it does not.
fn is_lie(code: &str) -> bool {
    let lies = ["peer/hash-mismatch", "peer/too-long", "peer/wrong-range"];
    code.starts_with("trust/") || code.starts_with("format/") || lies.contains(&code)
}
