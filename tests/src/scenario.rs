//! A client's life, step by step: what it is asked, when it is killed, how a source lies, and what
//! must hold all the time. Driven by properties (tests/tests/properties.rs) and by the fuzzer
//! (tests/fuzz).
//!
//! There are two sources: one honest, and one that draws a lie for each request. The oracle is a
//! map of maps: each version's records.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use packice_core::engine::io::{
    Answer, Failure, FetchFailure, RangeQuery, ReadId, SourceId, StoreFailure, StoreKey,
    UnknownReason,
};
use packice_core::engine::{Command, Event, Input};
use packice_core::format::layout::Page;
use packice_core::hash;
use packice_core::tree::proof;
use packice_core::types::{Version, WireName};

use crate::publication::{Publication, Spec, numbered_record};
use crate::shell::{Rule, Shell, Source};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Begin a sync.
    Sync,
    /// End it.
    CancelSync,
    /// Read a key.
    Get(u8, u16),
    /// Read a page of a range: collection, start, limit.
    Range(u8, u16, u8),
    /// Prove a key.
    Prove(u8, u16),
    /// Forget the newest read.
    CancelRead,
    /// Let so many inputs come.
    Steps(u8),
    /// Let all inputs come.
    Settle,
    /// Kill the client, and open another on what is stored.
    Reopen,
    /// Publish the next version.
    Publish,
    /// Let transactions fail, or hold again.
    FailStore(bool),
    /// Lose a row of the store.
    Evict(u16),
    /// Damage a row of the store.
    Damage(u16, u16),
}

/// What the whole run is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What the data sets, the lies and the sizes of pieces come from.
    pub seed: u64,
    /// Whether the lying source is asked first.
    pub liar_first: bool,
    /// The steps.
    pub ops: Vec<Op>,
}

/// How often versions are published at most.
const VERSIONS: u64 = 4;
const COLLECTIONS: [&str; 3] = ["config", "headers", "private"];

fn mix(seed: u64, at: u64) -> u64 {
    let digest = hash::identity(&[seed.to_le_bytes(), at.to_le_bytes()].concat()).0;
    u64::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

/// The records of a version: each version changes a few of the one before.
fn specs(seed: u64, version: u64) -> Vec<Spec> {
    let draw = mix(seed, 0);
    let counts = [draw % 14, 20 + (draw >> 8) % 400, (draw >> 24) % 150];
    let make = |(at, count): (usize, u64)| {
        let priority = u8::try_from(at).expect("few collections");
        let mut spec = Spec::numbered(COLLECTIONS[at], priority, count, seed ^ at as u64);
        spec.lazy = at != 2;
        spec.dictionary = at == 1 && count > 250;
        for change in 1..version {
            let draw = mix(seed, 16 * change + at as u64);
            let key = numbered_record(draw % (count + 5), 0).0;
            if draw & 0x100 == 0 {
                spec.records.insert(key, format!("changed in {change}").into_bytes());
            } else {
                spec.records.remove(&key);
            }
        }
        spec
    };
    counts.into_iter().enumerate().map(make).collect()
}

/// A source that lies about half of the time: a lie is drawn for each request.
fn liar(seed: u64, stale: Publication) -> Rule {
    let count = Cell::new(0);
    Box::new(move |path, mut body| {
        count.set(count.get() + 1);
        let draw = mix(seed, 1_000 + count.get());
        let at = usize::try_from((draw >> 8) % body.len().max(1) as u64).expect("a small body");
        match draw % 16 {
            0 => body.truncate(at),
            1 => body.extend_from_slice(b"more"),
            2 => body.clear(),
            3 if !body.is_empty() => body[at] ^= 1,
            4 => body = stale.files.get("checkpoint").cloned().unwrap_or_default(),
            5 => {
                let others = stale.files.iter().filter(|(other, _)| other.as_str() != path);
                body = others.map(|(_, body)| body.clone()).next().unwrap_or_default();
            }
            6 => body = stale.files.get(path).cloned().unwrap_or(body),
            7 => return Err(FetchFailure::Network),
            8 => return Err(FetchFailure::Timeout),
            9 => return Err(FetchFailure::Status { status: 404, retry_after_ms: None }),
            10 => {
                let retry_after_ms = Some(1 + draw % 50);
                return Err(FetchFailure::Status { status: 503, retry_after_ms });
            }
            11 => return Err(FetchFailure::WrongRange),
            _ => {}
        }
        Ok(body)
    })
}

/// The frames of every layout that was ever published.
pub(crate) fn frame_names(publication: &Publication) -> BTreeSet<WireName> {
    let layouts = publication.files.iter().filter(|(path, _)| path.starts_with("layout/"));
    let pages = layouts.filter_map(|(_, bytes)| Page::parse(bytes).ok());
    let bundles = pages.flat_map(|page| page.bundles);
    bundles.flat_map(|bundle| bundle.frames).map(|frame| frame.name).collect()
}

/// A read that was asked and not answered yet.
#[derive(Clone, Debug)]
enum Question {
    Get(usize, Vec<u8>),
    Range(RangeQuery),
    Prove(usize, Vec<u8>),
}

struct World {
    setup: Setup,
    publication: Publication,
    first: Publication,
    /// The records of each version, from version 1.
    versions: Vec<Vec<Spec>>,
    manifests: Vec<packice_core::format::manifest::Manifest>,
    /// The wire names of all frames of all versions.
    frames: BTreeSet<WireName>,
    shell: Shell,
    open: Vec<(ReadId, Question)>,
    /// The newest version that a sync said to hold.
    held: Version,
    /// Whether rows were lost or damaged.
    tampered: bool,
    damaged: BTreeMap<StoreKey, Vec<u8>>,
    cancelled: bool,
    failed_store: bool,
    syncs_seen: usize,
    trace: String,
}

/// Runs it, checks all along, and gives everything that was seen.
pub fn run(setup: &Setup) -> String {
    let mut world = World::new(setup.clone());
    for op in setup.ops.clone() {
        world.apply(op);
        world.check();
    }
    world.finish();
    world.trace
}

impl World {
    fn new(setup: Setup) -> Self {
        let versions = vec![specs(setup.seed, 1)];
        let publication = Publication::of(&versions[0]);
        let manifests = publication.manifest.iter().cloned().collect();
        let mut shell = Shell::new(&publication, Self::sources(&setup, &publication, &publication));
        Self::tune(&setup, &publication, &mut shell);
        let frames = frame_names(&publication);
        Self {
            first: publication.clone(),
            publication,
            versions,
            manifests,
            frames,
            shell,
            open: Vec::new(),
            held: Version(0),
            tampered: false,
            damaged: BTreeMap::new(),
            cancelled: false,
            failed_store: false,
            syncs_seen: 0,
            trace: String::new(),
            setup,
        }
    }

    /// How a shell goes about its work: in larger or smaller pieces, with inputs or work first, and
    /// recorded or not.
    fn tune(setup: &Setup, publication: &Publication, shell: &mut Shell) {
        let place = usize::try_from(setup.seed % 4).expect("below 4");
        shell.piece = [100, 700, 5_000, 100_000][place];
        shell.inputs_first = setup.seed / 4 % 2 == 1;
        if (setup.seed / 8).is_multiple_of(4) {
            shell.record(publication);
        }
    }

    fn sources(setup: &Setup, newest: &Publication, stale: &Publication) -> Vec<Source> {
        let lies = liar(setup.seed, stale.clone());
        let mut sources = vec![Source::honest(newest), Source::with_rule(newest, lies)];
        if setup.liar_first {
            sources.reverse();
        }
        sources
    }

    fn honest(&self) -> &'static str {
        if self.setup.liar_first { "source-1" } else { "source-0" }
    }

    fn key(collection: usize, draw: u16) -> Vec<u8> {
        match draw % 7 {
            6 => format!("no such key {collection} {draw}").into_bytes(),
            _ => numbered_record(u64::from(draw / 7) % 430, 0).0,
        }
    }

    fn ask(&mut self, question: Question) {
        let asked = question.clone();
        let read = self.shell.begin(|read| match question {
            Question::Get(at, key) => {
                Command::Get { read, collection: COLLECTIONS[at].into(), key, version: None }
            }
            Question::Prove(at, key) => {
                Command::Prove { read, collection: COLLECTIONS[at].into(), key, version: None }
            }
            Question::Range(range) => Command::Range { read, range, version: None },
        });
        self.open.push((read, asked));
    }

    fn apply(&mut self, op: Op) {
        writeln!(self.trace, "{op:?}").expect("a string");
        let at = |collection: u8| usize::from(collection) % COLLECTIONS.len();
        match op {
            Op::Sync => self.shell.feed(Input::Command(Command::Sync)),
            Op::CancelSync => {
                self.cancelled = true;
                self.shell.feed(Input::Command(Command::CancelSync));
            }
            Op::Get(c, draw) => self.ask(Question::Get(at(c), Self::key(at(c), draw))),
            Op::Prove(c, draw) => self.ask(Question::Prove(at(c), Self::key(at(c), draw))),
            Op::Range(c, draw, limit) => self.ask(Question::Range(RangeQuery {
                collection: COLLECTIONS[at(c)].into(),
                start: Self::key(at(c), draw),
                end: (draw & 0x100 != 0).then(|| b"key/0000012".to_vec()),
                limit: usize::from(limit) + 1,
                at: None,
            })),
            Op::CancelRead => {
                if let Some((read, _)) = self.open.last() {
                    self.shell.feed(Input::Command(Command::CancelRead(*read)));
                }
            }
            Op::Steps(steps) => {
                for _ in 0..steps {
                    self.shell.step();
                }
            }
            Op::Settle => self.shell.settle(),
            Op::Reopen => self.reopen(),
            Op::Publish => self.publish(),
            Op::FailStore(fails) => {
                self.failed_store |= fails;
                self.shell.store_fails = fails.then_some(StoreFailure::Quota);
            }
            Op::Evict(draw) => {
                if let Some(key) = self.row(draw) {
                    self.shell.store.remove(&key);
                    self.tampered = true;
                }
            }
            Op::Damage(draw, place) => self.damage(draw, place),
        }
    }

    fn row(&self, draw: u16) -> Option<StoreKey> {
        let count = self.shell.store.len().max(1);
        self.shell.store.keys().nth(usize::from(draw) % count).copied()
    }

    fn damage(&mut self, draw: u16, place: u16) {
        let Some(key) = self.row(draw) else { return };
        let row = self.shell.store.get_mut(&key).expect("the row");
        if !row.is_empty() {
            let at = usize::from(place) % row.len();
            row[at] ^= 1 << (place % 8);
            self.damaged.insert(key, row.clone());
            self.tampered = true;
        }
    }

    fn publish(&mut self) {
        let next = self.versions.len() as u64 + 1;
        if next > VERSIONS {
            return;
        }
        self.versions.push(specs(self.setup.seed, next));
        self.publication.publish(self.versions.last().expect("a version"));
        self.manifests.extend(self.publication.manifest.clone());
        self.frames = frame_names(&self.publication);
        self.shell.sources = Self::sources(&self.setup, &self.publication, &self.first);
    }

    /// The client goes down between two inputs; the store stays.
    fn reopen(&mut self) {
        self.record();
        self.replay();
        let store = self.shell.store.clone();
        self.read_offline();
        let sources = Self::sources(&self.setup, &self.publication, &self.first);
        self.shell = Shell::on_store(&self.publication, sources, store);
        Self::tune(&self.setup, &self.first, &mut self.shell);
        self.open.clear();
        self.syncs_seen = 0;
        self.cancelled = false;
        self.failed_store = false;
    }

    /// What a client without any source says from the same store: nothing wrong, and everything
    /// where a version is committed.
    fn read_offline(&mut self) {
        let store = self.shell.store.clone();
        let mut offline = Shell::on_store(&self.publication, Vec::new(), store);
        let status = offline.status();
        let whole = status.stored && !self.tampered;
        assert!(self.tampered || self.held == Version(0) || whole, "a commit was lost");
        if let Some(version) = status.version.filter(|_| whole) {
            assert!(version >= self.held, "{version} took the place of {}", self.held);
            for (at, name) in COLLECTIONS.iter().enumerate() {
                let expected = self.records(version, at).clone();
                assert_eq!(offline.range(name), expected.into_iter().collect::<Vec<_>>());
            }
        }
        for (at, name) in COLLECTIONS.iter().enumerate() {
            let key = Self::key(at, u16::try_from(self.setup.seed % 60_000).expect("small"));
            let answer = offline.get(name, &key);
            self.check_answer(&Question::Get(at, key), answer, true);
        }
    }

    fn records(&self, version: Version, at: usize) -> &crate::publication::Records {
        let place = usize::try_from(version.0).expect("a small version") - 1;
        &self.versions[place][at].records
    }

    /// What must hold after every step.
    fn check(&mut self) {
        for (read, question) in std::mem::take(&mut self.open) {
            match self.shell.answer(read) {
                None => self.open.push((read, question)),
                Some(answer) => {
                    writeln!(self.trace, "{read:?} {question:?} {answer:?}").expect("a string");
                    self.check_answer(&question, answer, false);
                }
            }
        }
        for result in &self.shell.syncs[self.syncs_seen..] {
            match result {
                Ok(report) => {
                    let newest = Version(self.versions.len() as u64);
                    // A client that lost its state begins as on its first day: it may be shown an
                    // older release then.
                    assert!(report.version >= self.held || self.tampered);
                    assert!(report.version <= newest);
                    self.held = report.version;
                }
                Err(failure) => {
                    let code = failure.code();
                    let expected = (self.cancelled && code == "misuse/aborted")
                        || (self.failed_store && code == "store/quota");
                    assert!(expected, "a sync with an honest source ended: {failure:?}");
                }
            }
        }
        self.syncs_seen = self.shell.syncs.len();
        self.check_store();
        let honest = self.honest();
        let blamed = self.shell.faults().into_iter().find(|(source, _)| source == honest);
        assert_eq!(blamed, None, "the honest source was blamed");
    }

    /// Nothing in the store but what the publisher named.
    fn check_store(&self) {
        for (key, row) in &self.shell.store {
            if self.damaged.get(key) == Some(row) {
                continue;
            }
            match key {
                StoreKey::State | StoreKey::Audit | StoreKey::Sources => {}
                StoreKey::Object(kind, name) => {
                    assert_eq!(hash::wire_name(row), *name, "{key:?}");
                    let path = format!("{}/{name}", kind.as_str());
                    assert!(self.publication.files.contains_key(&path), "{path} is nobody's");
                }
                StoreKey::Frame(name) => {
                    assert_eq!(hash::wire_name(row), *name, "{key:?}");
                    assert!(self.frames.contains(name), "{key:?} is nobody's");
                }
            }
        }
    }

    fn check_answer(&self, question: &Question, answer: Result<Answer, Failure>, offline: bool) {
        let (at, key) = match question {
            Question::Get(at, key) | Question::Prove(at, key) => (*at, key.clone()),
            Question::Range(range) => {
                let at = COLLECTIONS.iter().position(|name| *name == range.collection);
                (at.expect("a collection"), range.start.clone())
            }
        };
        match answer {
            Ok(Answer::Present { value, version }) => {
                assert_eq!(self.records(version, at).get(&key), Some(&value), "{question:?}");
            }
            Ok(Answer::Absent { version }) => {
                assert_eq!(self.records(version, at).get(&key), None, "{question:?}");
            }
            Ok(Answer::Unknown(reason)) => {
                let not_synced = reason == UnknownReason::NotSynced && at == 2;
                assert!(offline || not_synced, "{question:?} is unknown: {reason:?}");
            }
            Ok(Answer::Records { records, next, version, .. }) => {
                let records: Vec<_> = records.iter().map(crate::shell::owned).collect();
                self.check_page(question, at, &records, next, version);
            }
            Ok(Answer::Proof { value, proof, version, .. }) => {
                let place = usize::try_from(version.0).expect("a small version") - 1;
                let manifest = &self.manifests[place];
                let tree = manifest.collection(COLLECTIONS[at]).expect("a collection").tree;
                assert_eq!(proof::verify(&tree, &key, &proof), Ok(value.clone()));
                assert_eq!(self.records(version, at).get(&key), value.as_ref(), "{question:?}");
            }
            Err(failure) => {
                assert_eq!(failure.code(), "misuse/aborted", "{question:?}");
            }
        }
    }

    fn check_page(
        &self,
        question: &Question,
        at: usize,
        records: &[(Vec<u8>, Vec<u8>)],
        next: Option<Vec<u8>>,
        version: Version,
    ) {
        let Question::Range(range) = question else { panic!("{question:?} gave records") };
        assert!(records.len() <= range.limit);
        let end = next.or(range.end.clone()).unwrap_or_else(|| vec![0xff; 20]);
        let all = self.records(version, at);
        let expected: Vec<_> = match range.start < end {
            true => all.range(range.start.clone()..end).collect(),
            false => Vec::new(),
        };
        let given: Vec<_> = records.iter().map(|(key, value)| (key, value)).collect();
        assert_eq!(given, expected, "{question:?}");
    }

    /// Writes down what the client did.
    fn record(&mut self) {
        let shell = &self.shell;
        let store: Vec<_> =
            shell.store.iter().map(|(key, row)| (key, hash::wire_name(row))).collect();
        let (requests, events, syncs) = (&shell.requests, &shell.events, &shell.syncs);
        let transactions = shell.transactions;
        writeln!(self.trace, "{requests:?} {events:?} {syncs:?} {transactions} {store:?}")
            .expect("a string");
    }

    /// Whether every collection can be read; what is read must be right.
    fn is_complete(&mut self, version: Version) -> bool {
        let mut complete = true;
        for (at, name) in COLLECTIONS.iter().enumerate() {
            match self.shell.try_range(name) {
                Err(_) => complete = false,
                Ok(records) => {
                    let expected = self.records(version, at).clone();
                    assert_eq!(records, expected.into_iter().collect::<Vec<_>>(), "{name}");
                }
            }
        }
        complete
    }

    /// In the end, with a store that holds, a sync completes and everything is there.
    fn finish(&mut self) {
        self.shell.store_fails = None;
        self.shell.settle();
        self.check();
        assert!(self.open.is_empty(), "a read was not answered: {:?}", self.open);
        // Damage is found when a row is read; a client that opens anew reads the state.
        self.reopen();
        // The lying source can also hold a newer release back, which nobody can tell from none.
        let gone = u32::from(!self.setup.liar_first);
        self.shell.feed(Input::RemoveSource(SourceId(gone)));
        // A row that was lost behind the client's back is noticed when it is read, and comes back
        // with the sync after that.
        let newest = Version(self.versions.len() as u64);
        let rounds = if self.tampered { 4 } else { 1 };
        let complete = (0..rounds).any(|_| {
            let report = self.shell.sync().expect("a sync with an honest source");
            assert_eq!(report.version, newest);
            self.is_complete(newest)
        });
        assert!(complete, "{rounds} syncs did not bring everything");
        self.syncs_seen = self.shell.syncs.len();
        self.shell.settle();
        let complete = self.shell.events.iter().any(|event| matches!(event, Event::Phase { .. }));
        assert!(complete, "a sync says what it does");
        self.check();
        self.record();
        self.replay();
    }

    /// Another engine that is told the same decides the same.
    fn replay(&self) {
        if self.shell.engine.trace().is_some() {
            let ended = self.shell.replayed();
            assert!(ended.differs_after.is_none() && !ended.cut, "{ended:?}");
        }
    }
}

/// Reads a setup from any bytes, for the fuzzer.
pub fn setup_of(bytes: &[u8]) -> Setup {
    let mut bytes = bytes.iter().copied();
    let seed = u64::from(bytes.next().unwrap_or(0));
    let liar_first = bytes.next().unwrap_or(0) & 1 == 1;
    let mut ops = Vec::new();
    while let Some(code) = bytes.next() {
        let mut next = || bytes.next().unwrap_or(0);
        let mut wide = || u16::from_le_bytes([next(), next()]);
        ops.push(match code % 16 {
            0 | 1 => Op::Sync,
            2 => Op::CancelSync,
            3 => Op::Get(code / 16, wide()),
            4 => Op::Range(code / 16, wide(), code),
            5 => Op::Prove(code / 16, wide()),
            6 => Op::CancelRead,
            7..=9 => Op::Steps(next()),
            10 => Op::Settle,
            11 => Op::Reopen,
            12 => Op::Publish,
            13 => Op::FailStore(code & 16 == 0),
            14 => Op::Evict(wide()),
            _ => Op::Damage(wide(), wide()),
        });
        if ops.len() == 40 {
            break;
        }
    }
    Setup { seed, liar_first, ops }
}
