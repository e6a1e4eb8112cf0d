//! One client of the crowd: a real engine that follows, and its store. Rows that the publisher made
//! are compared with the publisher's bytes and kept as a reference to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use packice_core::engine::io::{
    BundleState, ByteRange, FetchFailure, RequestId, Status, StoreBatch, StoreKey,
};
use packice_core::engine::{Command, Engine, EngineConfig, Event, Follow, Input, Output};
use packice_core::types::Millis;

use super::data::{Data, FIRST, Key};
use crate::publication::{channel, dataset};

/// How often a client whose sync failed, or found nothing newer, asks again, on average.
pub(super) const POLL_MS: u64 = 30_000;
const WORK_BYTES: usize = 1 << 20;

/// A request that the client makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) request: RequestId,
    /// Which of its sources.
    pub(super) source: u32,
    /// What.
    pub(super) key: Key,
    pub(super) range: Option<ByteRange>,
    pub(super) deadline_ms: u64,
}

#[derive(Clone, Debug)]
enum Row {
    /// What the publisher made, byte for byte.
    Published(Key),
    /// The client's own.
    Own(Rc<Vec<u8>>),
}

/// A client.
pub(super) struct Client<'a> {
    data: &'a Data,
    engine: Engine,
    store: BTreeMap<StoreKey, Row>,
    open: BTreeSet<RequestId>,
    /// When the engine wants to be ticked.
    pub(super) wake_ms: Option<u64>,
    /// Requests so far.
    pub(super) requests: u32,
    /// Syncs that failed.
    pub(super) failed: u32,
    /// Whether the first collection of the newest version is stored.
    pub(super) bootstrapped: bool,
    /// Whether the newest version serves reads, at the right roots.
    pub(super) complete: bool,
}

impl<'a> Client<'a> {
    /// A client on an empty store, or on that of the version before.
    pub(super) fn new(data: &'a Data, seed: u64, holds: bool) -> Self {
        let trust = data.trust.clone();
        let config = EngineConfig { dataset: dataset(), channel: channel(), trust };
        let mut engine = Engine::new(config, seed).expect("a trust root that holds");
        engine.follow(Follow { live: false, poll_ms: POLL_MS });
        let held = data.held.iter().filter(|_| holds);
        let row = |(key, bytes): (&StoreKey, &Vec<u8>)| {
            let row = match data.key(&key.text()) {
                Some(published) => Row::Published(published),
                None => Row::Own(Rc::new(bytes.clone())),
            };
            (*key, row)
        };
        Self {
            data,
            engine,
            store: held.map(row).collect(),
            open: BTreeSet::new(),
            wake_ms: None,
            requests: 0,
            failed: 0,
            bootstrapped: false,
            complete: false,
        }
    }

    /// What a fetch brought, or why it brought nothing. Late answers are dropped.
    pub(super) fn answered(
        &mut self,
        request: RequestId,
        body: Result<Vec<u8>, FetchFailure>,
        now_ms: u64,
        asks: &mut Vec<Ask>,
    ) -> Result<(), String> {
        if !self.open.remove(&request) {
            return Ok(());
        }
        let inputs = match body {
            Ok(bytes) => vec![Input::Body { request, bytes }, Input::BodyEnd { request }],
            Err(failure) => vec![Input::FetchFailed { request, failure }],
        };
        self.feed(inputs, now_ms, asks)
    }

    /// Feeds inputs and performs what the engine asks for; fetches are handed out.
    pub(super) fn feed(
        &mut self,
        inputs: Vec<Input>,
        now_ms: u64,
        asks: &mut Vec<Ask>,
    ) -> Result<(), String> {
        let mut todo = VecDeque::from(inputs);
        let now = Millis(now_ms);
        while let Some(input) = todo.pop_front() {
            self.engine.handle(input, now);
            loop {
                match self.engine.poll_output() {
                    Output::Work => self.engine.work(WORK_BYTES, now),
                    Output::Wait { until, .. } => {
                        self.wake_ms = until.map(|until| until.0);
                        break;
                    }
                    output => self.perform(output, &mut todo, asks)?,
                }
            }
        }
        Ok(())
    }

    fn perform(
        &mut self,
        output: Output,
        todo: &mut VecDeque<Input>,
        asks: &mut Vec<Ask>,
    ) -> Result<(), String> {
        match output {
            Output::Fetch { request, source, target, deadline, .. } => {
                let key = self.data.key(&target.path);
                let key = key.ok_or_else(|| format!("{} was never published", target.path))?;
                self.requests += 1;
                self.open.insert(request);
                let (source, deadline_ms) = (source.0, deadline.0);
                asks.push(Ask { request, source, key, range: target.range, deadline_ms });
            }
            Output::CancelFetch { request } => {
                if self.open.remove(&request) {
                    let failure = FetchFailure::Cancelled;
                    todo.push_back(Input::FetchFailed { request, failure });
                }
            }
            Output::Load { request, keys } => {
                let rows = keys.iter().map(|key| self.row(key)).collect();
                todo.push_back(Input::Loaded { request, rows });
            }
            Output::List { request } => {
                let keys = self.store.keys().copied().filter(|key| key.name().is_some());
                todo.push_back(Input::Listed { request, keys: keys.collect() });
            }
            Output::Store { request, batch } => {
                self.write(&batch)?;
                todo.push_back(Input::Stored { request, result: Ok(()) });
            }
            Output::Event(event) => self.event(event)?,
            Output::SyncEnded { result: Ok(report) } => {
                if report.version == self.data.newest {
                    todo.push_back(Input::Command(Command::Status));
                }
            }
            Output::SyncEnded { result: Err(_) } => self.failed += 1,
            Output::Listen { .. } | Output::Answer { .. } | Output::RolledBack { .. } => {
                return Err(format!("nobody asked for {output:?}"));
            }
            Output::Work | Output::Wait { .. } => {}
        }
        Ok(())
    }

    fn row(&self, key: &StoreKey) -> Option<Vec<u8>> {
        self.store.get(key).map(|row| match row {
            Row::Published(published) => self.data.body(*published).to_vec(),
            Row::Own(bytes) => bytes.to_vec(),
        })
    }

    fn write(&mut self, batch: &StoreBatch) -> Result<(), String> {
        for (key, bytes) in &batch.puts {
            let row = match self.data.key(&key.text()) {
                Some(published) if self.data.body(published) != bytes.as_slice() => {
                    return Err(format!("{} was stored with other bytes", key.text()));
                }
                Some(published) => Row::Published(published),
                None => Row::Own(Rc::clone(bytes)),
            };
            self.store.insert(*key, row);
        }
        for key in &batch.deletes {
            self.store.remove(key);
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Bundle { collection, index, total, state: BundleState::Stored } => {
                self.bootstrapped |= collection == FIRST && index + 1 == total;
            }
            Event::Status(status) => return self.check(&status),
            Event::DeltaRefused { code, .. } => return Err(format!("a delta is refused: {code}")),
            Event::LayoutMismatch(what) => return Err(format!("a mismatch: {what:?}")),
            Event::Damaged { key } => return Err(format!("a row is damaged: {key:?}")),
            _ => {}
        }
        Ok(())
    }

    /// The newest version is held whole, at the roots that the publisher signed.
    fn check(&mut self, status: &Status) -> Result<(), String> {
        let roots = status.collections.iter().map(|own| (own.name.clone(), own.root)).collect();
        let newest = status.version == Some(self.data.newest);
        if !newest || !status.stored || self.data.roots != roots {
            return Err(format!("a sync ended at {:?} with other roots", status.version));
        }
        self.complete = true;
        Ok(())
    }
}
