//! One recorded run of the engine: what it stores as its state, and everything it put out.
//!
//! A small shell with one honest source and a store in memory; the same inputs in the same order
//! must give the same outputs on every machine.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use packice_core::engine::io::{RangeQuery, ReadId, StoreBatch, StoreKey, Target, WaitReason};
use packice_core::engine::{Command, Engine, EngineConfig, Input, Output};
use packice_core::format::seed::SeedIndex;
use packice_core::hash;
use packice_core::plan::record::{self, Memory, SourceRecord};
use packice_core::types::{Millis, ObjectKind};

use super::data::{World, token};
use super::trust::{Releases, channel, dataset};
use super::{Format, Vector};

/// A trace line longer than this is cut, and its hash stands for the rest.
const LINE_MAX: usize = 300;
/// Bytes of a body that one input carries.
const PIECE: usize = 1000;

struct Run {
    engine: Engine,
    files: BTreeMap<String, Vec<u8>>,
    store: BTreeMap<StoreKey, Vec<u8>>,
    todo: VecDeque<Input>,
    trace: Vec<String>,
    states: Vec<Vec<u8>>,
    now: Millis,
}

impl Run {
    fn new(files: BTreeMap<String, Vec<u8>>, trust: &[u8]) -> Self {
        let config = EngineConfig { dataset: dataset(), channel: channel(), trust: trust.to_vec() };
        Self {
            engine: Engine::new(config, 7).expect("a trust root that holds"),
            files,
            store: BTreeMap::new(),
            todo: VecDeque::from([Input::AddSource { name: "edge".into() }]),
            trace: Vec::new(),
            states: Vec::new(),
            now: Millis(1_000_000),
        }
    }

    /// Feeds a command and all that follows from it.
    fn command(&mut self, command: Command) {
        self.trace.push(format!("> {command:?}"));
        self.feed(Input::Command(command));
    }

    /// Gives idle time until the audit is over.
    fn audit(&mut self) {
        self.trace.push("> Idle".into());
        while !self.is_audited() {
            self.feed(Input::Idle);
        }
    }

    fn is_audited(&mut self) -> bool {
        matches!(self.engine.poll_output(), Output::Wait { why: WaitReason::Idle, .. })
    }

    fn feed(&mut self, input: Input) {
        self.todo.push_back(input);
        self.drain();
        while let Some(input) = self.todo.pop_front() {
            self.now = self.now.plus(1);
            self.engine.handle(input, self.now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            let output = self.engine.poll_output();
            match &output {
                Output::Work => {
                    self.engine.work(16 << 10, self.now);
                    continue;
                }
                Output::Wait { .. } => return,
                output => self.trace.push(shown(output)),
            }
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let answer = match output {
            Output::Fetch { request, target, .. } => {
                let body = self.serve(&target);
                let piece = |bytes: &[u8]| Input::Body { request, bytes: bytes.to_vec() };
                self.todo.extend(body.chunks(PIECE).map(piece));
                Input::BodyEnd { request }
            }
            Output::Load { request, keys } => {
                let rows = keys.iter().map(|key| self.store.get(key).cloned()).collect();
                Input::Loaded { request, rows }
            }
            Output::List { request } => {
                let keys = self.store.keys().copied().filter(|key| key.name().is_some());
                Input::Listed { request, keys: keys.collect() }
            }
            Output::Store { request, batch } => {
                self.transact(batch);
                Input::Stored { request, result: Ok(()) }
            }
            Output::CancelFetch { .. } => panic!("an honest source is not cancelled"),
            Output::Listen { .. } => panic!("nothing is followed"),
            Output::Event(_)
            | Output::Answer { .. }
            | Output::SyncEnded { .. }
            | Output::RolledBack { .. }
            | Output::Work
            | Output::Wait { .. } => return,
        };
        self.todo.push_back(answer);
    }

    fn serve(&self, target: &Target) -> Vec<u8> {
        let body = self.files.get(&target.path);
        let body = body.unwrap_or_else(|| panic!("nothing is served as {}", target.path));
        let Some(range) = target.range else { return body.clone() };
        let start = usize::try_from(range.start).expect("a small object");
        let len = usize::try_from(range.len).expect("a small object");
        body[start..start + len].to_vec()
    }

    fn transact(&mut self, batch: StoreBatch) {
        for (key, row) in batch.puts {
            if key == StoreKey::State {
                self.states.push(row.to_vec());
            }
            self.store.insert(key, row.to_vec());
        }
        for key in batch.deletes {
            self.store.remove(&key);
        }
    }
}

/// An output as one line.
fn shown(output: &Output) -> String {
    let line = match output {
        Output::Store { request, batch } => {
            let put = |(key, row): &(StoreKey, Rc<Vec<u8>>)| {
                format!("{} = {} bytes {:?}", key.text(), row.len(), hash::wire_name(row))
            };
            let puts: Vec<String> = batch.puts.iter().map(put).collect();
            let deletes: Vec<String> = batch.deletes.iter().map(StoreKey::text).collect();
            let durable = batch.durable;
            format!("Store {request:?} durable {durable} puts {puts:?} deletes {deletes:?}")
        }
        output => format!("{output:?}"),
    };
    if line.len() <= LINE_MAX {
        return line;
    }
    let hash = hash::identity(line.as_bytes());
    let start: String = line.chars().take(LINE_MAX / 3).collect();
    format!("{start}… BLAKE3 of the whole line {hash}")
}

/// What the edge serves after the first release.
fn files(world: &World, log: &Releases) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut put = |kind: ObjectKind, bytes: &Vec<u8>| {
        files.insert(format!("{}/{}", kind.as_str(), hash::wire_name(bytes)), bytes.clone());
    };
    put(ObjectKind::Manifest, &log.manifests[0]);
    for built in world.all() {
        let pages = built.layout.pages.iter().map(|page| &page.bytes);
        for bytes in pages.chain([&built.layout.directory.bytes]) {
            put(ObjectKind::Layout, bytes);
        }
        for bytes in &built.bundles {
            put(ObjectKind::Bundle, bytes);
        }
        if let Some((_, wire)) = &built.dictionary {
            put(ObjectKind::Dictionary, wire);
        }
    }
    files.insert("bootstrap/stable".into(), log.first.encode());
    files.insert("checkpoint".into(), log.first.checkpoint.clone());
    files
}

/// The begin of a seed file of all that the edge serves.
fn seed(files: &BTreeMap<String, Vec<u8>>) -> Format {
    let lengths = files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64));
    let index = SeedIndex::of(lengths).expect("an index within bounds");
    let encoded = index.encode();
    let head = [SeedIndex::prelude(encoded.len()).expect("a short index"), encoded].concat();
    let place = index.place("checkpoint").expect("the checkpoint");
    let vector = Vector::new("first", "the first release's files: prelude and index", head);
    Format {
        name: "seed",
        spec: "docs/spec/seed.md",
        about: "The prelude and the index of a seed file; the objects follow.",
        vectors: vec![
            vector
                .fact("file_len", index.file_len())
                .fact("checkpoint_offset", place.offset)
                .fact("checkpoint_len", place.len),
        ],
    }
}

pub(super) fn formats(world: &World, log: &Releases) -> Vec<Format> {
    let files = files(world, log);
    let seed = seed(&files);
    let mut run = Run::new(files, &log.roots[0]);
    let get = |read, key: Vec<u8>| Command::Get {
        read: ReadId(read),
        collection: "tokens".into(),
        key,
        version: None,
    };
    run.command(get(1, token(1234).0));
    run.command(get(2, b"nothing".to_vec()));
    run.command(Command::Sync);
    let range = RangeQuery {
        collection: "tokens".into(),
        start: token(2000).0,
        end: None,
        limit: 3,
        at: None,
    };
    run.command(Command::Range { read: ReadId(3), range, version: None });
    run.command(Command::Prove {
        read: ReadId(4),
        collection: "config".into(),
        key: b"setting/3".to_vec(),
        version: None,
    });
    run.command(Command::Sync);
    run.command(Command::Status);
    run.audit();
    let audit = run.store.get(&StoreKey::Audit).cloned().unwrap_or_default();
    let sources = run.store.get(&StoreKey::Sources).cloned().unwrap_or_default();
    let mut states = run.states.iter();
    let pinned = states.next().cloned().unwrap_or_default();
    let committed = states.next_back().cloned().unwrap_or_default();
    let trace = Vector {
        lines: run.trace,
        ..Vector::new(
            "one-source",
            "two reads from nothing, a \
        sync, a range, a proof, a sync that finds nothing new, the status, the audit",
            Vec::new(),
        )
    };
    vec![
        seed,
        Format {
            name: "engine-state",
            spec: "docs/spec/state.md",
            about: "The state row of a client's store, as the engine wrote it in engine-trace.",
            vectors: vec![
                Vector::new("pinned", "the first one: version 1 is coming", pinned),
                Vector::new("committed", "the last one: version 1 serves", committed),
            ],
        },
        Format {
            name: "audit-row",
            spec: "docs/spec/state.md",
            about: "The audit row of a client's store, as the engine wrote it in engine-trace.",
            vectors: vec![Vector::new("audited", "all of version 1", audit)],
        },
        Format {
            name: "sources-row",
            spec: "docs/spec/state.md",
            about: "The sources row of a client's store: what is remembered of the sources.",
            vectors: vec![
                Vector::new("measured", "as the engine wrote it in engine-trace", sources),
                Vector::new("all-fields", "two sources, one of which nothing is known", {
                    let known = SourceRecord {
                        name: "https://edge.example".into(),
                        latency_ms: Some(35),
                        bytes_per_second: Some(2_500_000),
                        windows_ms: [Some(0), Some(1_500)],
                    };
                    let unknown = SourceRecord {
                        name: "https://mirror.example".into(),
                        ..SourceRecord::default()
                    };
                    let searched = Some(Millis(1_764_000_000_000));
                    record::encode(&Memory { searched, sources: vec![known, unknown] })
                }),
            ],
        },
        Format {
            name: "engine-trace",
            spec: "docs/ARCHITECTURE.md",
            about: "Every output of the engine in one recorded run: no format, it may change with \
                    the engine, but is the same natively and in wasm.",
            vectors: vec![trace],
        },
    ]
}
