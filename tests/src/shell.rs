//! A shell in memory: it performs what the engine asks for, one completion at a time.

use std::collections::{BTreeMap, VecDeque};

use packice_core::engine::io::{
    Answer, ByteRange, Failure, FetchFailure, Phase, RangeQuery, ReadId, RequestId, SourceId,
    Status, StoreBatch, StoreFailure, StoreKey, SyncReport,
};
use packice_core::engine::{Command, EngineConfig, Event, Input, Output};
use packice_core::error::Error;
use packice_core::trace::{Ended, Trace, Traced, replay};
use packice_core::types::{Millis, Version};

use crate::attacks::rules::{Action, ENDLESS, Rule as AnswerRule, Served};
use crate::publication::{Publication, channel, dataset};

/// What a source does with a body before it serves it; `None` is no answer at all.
pub type Rule = Box<dyn Fn(&str, Vec<u8>) -> Result<Vec<u8>, FetchFailure>>;

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// A place to fetch from.
pub struct Source {
    /// Its name in events.
    pub name: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
    rule: Rule,
    is_seed: bool,
}

impl Source {
    /// Serves a publication as it is.
    pub fn honest(publication: &Publication) -> Self {
        Self::with_rule(publication, Box::new(|_, body| Ok(body)))
    }

    /// Serves a publication through a rule.
    pub fn with_rule(publication: &Publication, rule: Rule) -> Self {
        Self { name: None, files: publication.files.clone(), rule, is_seed: false }
    }

    /// A file that came with the application, read through a rule.
    pub fn seed(file: Vec<u8>) -> Self {
        let files = BTreeMap::from([("seed".to_owned(), file)]);
        Self { name: None, files, rule: Box::new(|_, body| Ok(body)), is_seed: true }
    }

    /// Serves files by the rules of a fixture.
    pub fn of(files: BTreeMap<String, Vec<u8>>, rules: Vec<AnswerRule>) -> Self {
        let all = files.clone();
        let rule: Rule = Box::new(move |path, body| {
            let Some(rule) = rules.iter().find(|rule| rule.strikes(path)) else { return Ok(body) };
            match rule.apply(&all, path, body) {
                Served::Body(body) => Ok(body),
                Served::Wire(action) => wire(action, rule),
            }
        });
        Self { name: None, files, rule, is_seed: false }
    }

    fn serve(&self, path: &str, range: Option<ByteRange>) -> Result<Vec<u8>, FetchFailure> {
        let missing = FetchFailure::Status { status: 404, retry_after_ms: None };
        let body = self.files.get(path).cloned().ok_or(missing)?;
        let body = match range {
            None => body,
            Some(range) => {
                let start = usize::try_from(range.start).expect("a small object");
                let len = usize::try_from(range.len).expect("a small object");
                if self.is_seed {
                    let start = start.min(body.len());
                    return Ok(body[start..body.len().min(start + len)].to_vec());
                }
                body.get(start..start + len).ok_or(FetchFailure::WrongRange)?.to_vec()
            }
        };
        (self.rule)(path, body)
    }
}

/// What a shell makes of an answer that only a connection can give.
fn wire(action: Action, rule: &AnswerRule) -> Result<Vec<u8>, FetchFailure> {
    match action {
        Action::Endless | Action::GzipBomb => Ok(vec![0; ENDLESS]),
        Action::Stall | Action::Drip => Err(FetchFailure::Timeout),
        Action::IgnoreRange => Err(FetchFailure::WrongRange),
        Action::Redirect => Err(FetchFailure::Status { status: 302, retry_after_ms: None }),
        Action::Status => {
            let status = rule.with.as_deref().unwrap_or("503").parse().expect("a status");
            Err(FetchFailure::Status { status, retry_after_ms: None })
        }
        _ => Err(FetchFailure::Network),
    }
}

/// A fetch that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From where.
    pub source: u32,
    /// What.
    pub path: String,
    /// Which part.
    pub range: Option<ByteRange>,
    /// Body bytes that were given.
    pub bytes: u64,
    /// How many answers had come when it was made: equal numbers are one round trip.
    pub round: u64,
}

/// The engine, its store and its sources.
pub struct Shell {
    /// The engine under test.
    pub engine: Traced,
    /// The rows.
    pub store: BTreeMap<StoreKey, Vec<u8>>,
    /// The sources by id.
    pub sources: Vec<Source>,
    /// All fetches so far.
    pub requests: Vec<Request>,
    /// All events so far.
    pub events: Vec<Event>,
    /// How a sync ended, newest last.
    pub syncs: Vec<Result<SyncReport, Failure>>,
    /// Ends of going back, in order.
    pub rolled_back: Vec<(Version, Result<(), Failure>)>,
    /// The most bytes of rows that were asked of the store and had not come, at any time.
    pub load_bytes_max: usize,
    /// The rows that were asked for so far.
    pub loaded: Vec<StoreKey>,
    /// Transactions so far.
    pub transactions: u64,
    /// What the next transactions fail with.
    pub store_fails: Option<StoreFailure>,
    /// Bytes of a body that one input carries.
    pub piece: usize,
    /// Whether inputs that wait come before work that waits: a browser's turns take either first.
    pub inputs_first: bool,
    /// The clock.
    pub now: Millis,
    /// No tick comes later than this.
    pub horizon: Millis,
    /// The lines that were opened and did not end, and to whom.
    pub lines: Vec<(RequestId, SourceId)>,
    /// When each line was opened.
    pub listened: Vec<Millis>,
    /// When each line ended.
    pub hung_up: Vec<Millis>,
    answers: BTreeMap<ReadId, Result<Answer, Failure>>,
    todo: VecDeque<Input>,
    completions: u64,
    next_read: u64,
}

impl Shell {
    /// A client on an empty store.
    pub fn new(publication: &Publication, sources: Vec<Source>) -> Self {
        Self::on_store(publication, sources, BTreeMap::new())
    }

    /// A client on a store that an earlier one left.
    pub fn on_store(
        publication: &Publication,
        sources: Vec<Source>,
        store: BTreeMap<StoreKey, Vec<u8>>,
    ) -> Self {
        Self::open(publication.trust.clone(), sources, store).expect("a trust root that holds")
    }

    /// A client under an embedded trust root, which may not hold.
    pub fn open(
        trust: Vec<u8>,
        sources: Vec<Source>,
        store: BTreeMap<StoreKey, Vec<u8>>,
    ) -> Result<Self, Error> {
        let config = EngineConfig { dataset: dataset(), channel: channel(), trust };
        let mut shell = Self {
            engine: Traced::new(config, 42, None)?,
            store,
            sources,
            requests: Vec::new(),
            events: Vec::new(),
            syncs: Vec::new(),
            rolled_back: Vec::new(),
            load_bytes_max: 0,
            loaded: Vec::new(),
            transactions: 0,
            store_fails: None,
            piece: 1000,
            inputs_first: false,
            now: Millis(1_000_000),
            horizon: Millis(u64::MAX),
            lines: Vec::new(),
            listened: Vec::new(),
            hung_up: Vec::new(),
            answers: BTreeMap::new(),
            todo: VecDeque::new(),
            completions: 0,
            next_read: 0,
        };
        for index in 0..shell.sources.len() {
            let name = shell.sources[index].name.clone();
            shell.feed(match shell.sources[index].is_seed {
                true => Input::AddSeed { name: name.unwrap_or_else(|| "seed".into()) },
                false => {
                    let name = name.unwrap_or_else(|| format!("source-{index}"));
                    Input::AddSource { name }
                }
            });
        }
        Ok(shell)
    }

    /// Records from here on; nothing has happened yet.
    pub fn record(&mut self, publication: &Publication) {
        self.record_up_to(publication, 64 << 20);
    }

    /// The same, of so many bytes at most.
    pub fn record_up_to(&mut self, publication: &Publication, max_len: usize) {
        let trust = publication.trust.clone();
        let config = EngineConfig { dataset: dataset(), channel: channel(), trust };
        let trace = Some(Trace::new(max_len));
        self.engine = Traced::new(config, 42, trace).expect("a trust root that holds");
    }

    /// Leads another engine through what was recorded.
    pub fn replayed(&self) -> Ended {
        let trace = self.engine.trace().expect("it records");
        replay(trace.bytes(), &mut |_, _| {}).expect("a trace that was recorded parses")
    }

    /// Queues an input behind the completions that wait.
    pub fn feed(&mut self, input: Input) {
        self.todo.push_back(input);
    }

    /// Takes the next waiting input and drains the engine; `false` where nothing waited.
    pub fn step(&mut self) -> bool {
        let Some(input) = self.todo.pop_front() else {
            return match self.drain() {
                Some(until) if until > self.horizon => !self.todo.is_empty(),
                Some(until) => {
                    self.now = self.now.max(until);
                    self.feed(Input::Tick);
                    true
                }
                None => !self.todo.is_empty(),
            };
        };
        self.now = self.now.plus(1);
        if matches!(input, Input::BodyEnd { .. } | Input::FetchFailed { .. }) {
            self.completions += 1;
        }
        self.engine.handle(input, self.now);
        self.drain();
        true
    }

    /// Steps until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..2_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// Performs outputs up to a wait; the time to tick at, where there is one.
    fn drain(&mut self) -> Option<Millis> {
        loop {
            match self.engine.poll_output() {
                Output::Work if self.inputs_first && !self.todo.is_empty() => return None,
                Output::Work => self.engine.work(64 << 10, self.now),
                Output::Wait { until, .. } => return until,
                output => self.perform(output),
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Fetch { request, source, target, max_bytes, .. } => {
                self.fetch(request, source, &target.path, target.range, max_bytes);
            }
            Output::Listen { request, source, .. } => {
                self.lines.push((request, source));
                self.listened.push(self.now);
            }
            Output::CancelFetch { request } if self.lines.iter().any(|l| l.0 == request) => {
                self.hang_up(request);
            }
            Output::CancelFetch { request } => {
                let of = |input: &Input| match input {
                    Input::Body { request, .. }
                    | Input::BodyEnd { request }
                    | Input::FetchFailed { request, .. } => Some(*request),
                    _ => None,
                };
                self.todo.retain(|input| of(input) != Some(request));
                self.feed(Input::FetchFailed { request, failure: FetchFailure::Cancelled });
            }
            Output::Load { request, keys } => {
                self.loaded.extend(&keys);
                let rows = keys.iter().map(|key| self.store.get(key).cloned()).collect();
                self.feed(Input::Loaded { request, rows });
                let rows_of = |input: &Input| match input {
                    Input::Loaded { rows, .. } => rows.iter().flatten().map(Vec::len).sum(),
                    _ => 0,
                };
                let open: usize = self.todo.iter().map(rows_of).sum();
                self.load_bytes_max = self.load_bytes_max.max(open);
            }
            Output::List { request } => {
                let keys = self.store.keys().copied().filter(|key| key.name().is_some());
                let keys = keys.collect();
                self.feed(Input::Listed { request, keys });
            }
            Output::Store { request, batch } => self.transact(request, batch),
            Output::Event(event) => self.events.push(event),
            Output::Answer { read, answer } => {
                let twice = self.answers.insert(read, answer);
                assert!(twice.is_none(), "a read was answered twice");
            }
            Output::SyncEnded { result } => self.syncs.push(result),
            Output::RolledBack { version, result } => self.rolled_back.push((version, result)),
            Output::Work | Output::Wait { .. } => {}
        }
    }

    fn transact(&mut self, request: RequestId, batch: StoreBatch) {
        self.transactions += 1;
        let result = match self.store_fails {
            Some(failure) => Err(failure),
            None => {
                self.store.extend(batch.puts.iter().map(|(key, row)| (*key, row.to_vec())));
                for key in &batch.deletes {
                    self.store.remove(key);
                }
                Ok(())
            }
        };
        self.feed(Input::Stored { request, result });
    }

    fn fetch(
        &mut self,
        request: RequestId,
        source: SourceId,
        path: &str,
        range: Option<ByteRange>,
        max_bytes: u64,
    ) {
        let served = self.sources[source.0 as usize].serve(path, range);
        let bytes = served.as_ref().map_or(0, |body| body.len() as u64);
        self.requests.push(Request {
            source: source.0,
            path: path.into(),
            range,
            bytes,
            round: self.completions,
        });
        match served {
            Err(failure) => self.feed(Input::FetchFailed { request, failure }),
            Ok(body) if body.len() as u64 > max_bytes => {
                self.feed(Input::FetchFailed { request, failure: FetchFailure::TooLong });
            }
            Ok(body) => {
                for piece in body.chunks(self.piece) {
                    self.feed(Input::Body { request, bytes: piece.to_vec() });
                }
                self.feed(Input::BodyEnd { request });
            }
        }
    }

    /// Ends a line.
    pub fn hang_up(&mut self, request: RequestId) {
        self.lines.retain(|line| line.0 != request);
        self.hung_up.push(self.now);
        self.feed(Input::LineEnded { request });
    }

    /// Says something on the line that is open.
    pub fn push(&mut self, bytes: Vec<u8>) {
        let (request, _) = *self.lines.first().expect("an open line");
        self.feed(Input::Pushed { request, bytes });
    }

    /// Lets time pass, with all that falls due.
    pub fn pass(&mut self, span_ms: u64) {
        self.horizon = self.now.plus(span_ms);
        self.settle();
        self.now = self.now.max(self.horizon);
    }

    /// Runs a sync to its end.
    pub fn sync(&mut self) -> Result<SyncReport, Failure> {
        self.feed(Input::Command(Command::Sync));
        self.settle();
        self.syncs.pop().expect("every sync ends")
    }

    fn read(&mut self, command: impl FnOnce(ReadId) -> Command) -> Result<Answer, Failure> {
        let read = self.begin(command);
        self.settle();
        self.answers.remove(&read).expect("every read is answered")
    }

    /// Begins a read.
    pub fn begin(&mut self, command: impl FnOnce(ReadId) -> Command) -> ReadId {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        self.feed(Input::Command(command(read)));
        read
    }

    /// The answer to a read that was begun, once there is one.
    pub fn answer(&mut self, read: ReadId) -> Option<Result<Answer, Failure>> {
        self.answers.remove(&read)
    }

    /// Reads a key.
    pub fn get(&mut self, collection: &str, key: &[u8]) -> Result<Answer, Failure> {
        let (collection, key) = (collection.to_owned(), key.to_vec());
        self.read(|read| Command::Get { read, collection, key, version: None })
    }

    /// Proves a key.
    pub fn prove(&mut self, collection: &str, key: &[u8]) -> Result<Answer, Failure> {
        let (collection, key) = (collection.to_owned(), key.to_vec());
        self.read(|read| Command::Prove { read, collection, key, version: None })
    }

    /// Reads one page of a range.
    pub fn page(&mut self, range: RangeQuery) -> Result<Answer, Failure> {
        self.read(|read| Command::Range { read, range, version: None })
    }

    /// Reads a whole collection, page by page.
    pub fn range(&mut self, collection: &str) -> Vec<Record> {
        self.try_range(collection).unwrap_or_else(|other| panic!("a range answered {other:?}"))
    }

    /// As [`Self::range`]; an answer that is no page comes back.
    pub fn try_range(&mut self, collection: &str) -> Result<Vec<Record>, Answer> {
        let mut all = Vec::new();
        let mut query = RangeQuery {
            collection: collection.into(),
            start: Vec::new(),
            end: None,
            limit: 100,
            at: None,
        };
        loop {
            match self.page(query.clone()).expect("a page") {
                Answer::Records { records, next, root, .. } => {
                    all.extend(records.iter().map(owned));
                    let Some(start) = next else { return Ok(all) };
                    query.start = start;
                    query.at = Some(root);
                }
                other => return Err(other),
            }
        }
    }

    /// How long after its end each line was opened again.
    pub fn pauses(&self) -> Vec<u64> {
        self.listened.iter().skip(1).zip(&self.hung_up).map(|(up, down)| up.since(*down)).collect()
    }

    /// The engine's state, without letting time pass.
    pub fn status_now(&mut self) -> Status {
        self.horizon = self.now;
        self.status()
    }

    /// The engine's state.
    pub fn status(&mut self) -> Status {
        self.feed(Input::Command(Command::Status));
        self.settle();
        let status = self.events.iter().rev().find_map(|event| match event {
            Event::Status(status) => Some(status.as_ref().clone()),
            _ => None,
        });
        status.expect("a status event")
    }

    /// The phases of all syncs so far.
    pub fn phases(&self) -> Vec<Phase> {
        let phase = |event: &Event| match event {
            Event::Phase { phase, .. } => Some(*phase),
            _ => None,
        };
        self.events.iter().filter_map(phase).collect()
    }

    /// Source and code of every fault so far.
    pub fn faults(&self) -> Vec<(String, &'static str)> {
        let fault = |event: &Event| match event {
            Event::Fault { source, code, .. } => Some((source.clone(), *code)),
            _ => None,
        };
        self.events.iter().filter_map(fault).collect()
    }

    /// Takes the store away, as a closed tab leaves it.
    pub fn close(self) -> BTreeMap<StoreKey, Vec<u8>> {
        self.store
    }
}

/// A record of a page as one that stays.
pub fn owned((key, value): (&[u8], &[u8])) -> Record {
    (key.to_vec(), value.to_vec())
}
