//! The sync engine: a deterministic state machine without I/O.
//!
//! Same inputs, same order, always. The contract with the shells is in [`io`]; the drain loop is
//! described at the top of the crate. What happens where:
//!
//! | file | question |
//! | --- | --- |
//! | `head` | which version is the newest, and is it proven? |
//! | `sync` | what of it is missing, and when is it complete? |
//! | `read` | what does a key or a range say? |
//! | `blob` | where are verified bytes of that name? |
//! | `net` | what when a source lies or fails, and what is a transfer? |
//! | `pace` | who is asked, for how much at once, and when is one left that is slow? |
//! | `race` | when are two sources asked for the same? |
//! | `seed` | what does the file hold that came with the application? |
//! | `work` | hashing, decoding and signature checks in bounded steps |
//! | `follow` | who tells of a new version, and when to ask unasked? |
//! | `clock` | how old is what serves reads, and may it still? |
//! | `audit`, `composed` | do layout and overlay deliver the signed tree? |
//! | `roads` | does a collection come by a delta or by its base? |
//! | `scope` | what of a collection is subscribed? |
//! | `ahead` | which segments of deltas are asked for before their turn? |
//! | `apply`, `changes` | what does a delta make of what is held? |
//! | `frames` | what is a frame made of, under layers too? |
//! | `merge` | when do layers become one? |
//! | `kept` | which versions stay beside the newest, and which rows go? |
//! | `store` | what is durable, and when is a transaction due? |
//! | `standing` | what has a sync reached, what stands in its way, and what is done about it? |
//! | `state`, `snapshot` | what opening reads, and how it is verified again |

mod ahead;
mod apply;
mod audit;
mod blob;
mod cache;
mod changes;
mod clock;
mod composed;
mod follow;
mod frames;
mod head;
pub mod io;
mod kept;
mod merge;
mod net;
mod pace;
mod race;
mod read;
mod report;
mod roads;
mod scope;
mod seed;
mod snapshot;
mod standing;
mod state;
mod status;
mod store;
mod sync;
mod work;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::layer::LayerPage;
use crate::frame::Decoder;
use crate::map::{Map, Set};
use crate::plan::meter::Meter;
use crate::plan::record;
use crate::plan::sources::Sources;
use crate::tree::verify::VerifiedFrame;
use crate::trust::accept::{Accepted, TrustState};
use crate::trust::freshness::Freshness;
use crate::types::{Identity, Millis, Name, Version, WireName};

use self::apply::Apply;
use self::audit::Audit;
use self::blob::{Blob, Loads};
use self::cache::Cache;
use self::changes::Changes;
use self::clock::Clock;
use self::follow::Following;
use self::frames::Composing;
use self::head::HeadTask;
use self::merge::Merge;
use self::net::Net;
use self::read::{Read, What};
use self::report::{DeltaStatus, Timings};
use self::scope::KeyRange;
use self::seed::Seed;
use self::snapshot::Snapshot;
use self::standing::Standing;
use self::store::StoreDesk;
use self::sync::Sync;
use self::work::{WorkItem, WorkQueue};

pub use self::follow::Follow;
pub use self::io::{Command, Event, Input, Output};
use self::io::{Phase, ReadId, RequestId, StoreBatch, StoreKey, WaitReason};
pub use self::report::Pressure;
pub use self::state::{ShelfRecord, StateRecord, VersionRecord};

/// Plain bytes of decoded frames that are kept.
const FRAME_CACHE_BYTES: usize = 6 << 20;
/// Plain bytes of layer pages that are kept.
const LAYER_CACHE_BYTES: usize = 2 << 20;
/// Wire bytes of loaded bundles that are kept.
const BUNDLE_CACHE_BYTES: usize = 9 << 19;
/// What each of the two grows to while a delta is applied or layers are merged, which goes through
/// all frames in order.
const PASSING_CACHE_BYTES: usize = 1 << 20;

/// What an engine is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// The dataset.
    pub dataset: Name,
    /// The channel.
    pub channel: Name,
    /// The signed trust root that the wallet embeds.
    pub trust: Vec<u8>,
}

/// What the completion of a request belongs to.
#[derive(Clone, Debug)]
enum Pending {
    State,
    Blob {
        name: WireName,
        keys: Vec<StoreKey>,
        bytes: u64,
    },
    /// A bundle that a range will want next.
    Ahead(WireName),
    List,
    Store,
    Fetch,
    Audit,
}

/// The sync engine of one dataset.
#[derive(Debug)]
pub struct Engine {
    dataset: Name,
    channel: Name,
    embedded: Vec<u8>,
    trust: TrustState,
    opening: bool,
    parked: VecDeque<Command>,

    committed: Option<Snapshot>,
    target: Option<Snapshot>,
    /// Versions that served reads before, the newest first.
    kept: Vec<Snapshot>,
    keep: usize,
    pins: Map<Version, u32>,
    /// Whether rows are to be looked for that nobody needs.
    collect: bool,
    rolling_back: Option<Version>,
    /// A version whose deltas are not to be used, by its manifest.
    base_only: Option<WireName>,
    /// The manifest of what is adopted once more.
    adoption: Option<Rc<Vec<u8>>>,
    /// The ranges of the collections that are subscribed in part.
    scope: Map<String, Rc<Vec<KeyRange>>>,
    apply: Option<Box<Apply>>,
    /// Segments that were asked for before their turn.
    segments_ahead: Set<WireName>,
    merge: Option<Box<Merge>>,
    /// What the version under way changes, once it serves reads.
    changes: Vec<Changes>,
    delta_status: DeltaStatus,
    /// Bytes of deltas that are applied in a second, once one was.
    apply_rate: Option<u64>,
    head: HeadTask,
    /// When it was last found out which version is the newest.
    searched: Option<Millis>,
    /// Whether that was so long ago that there likely is a newer one.
    away: bool,
    /// Whether a head search ended since the sync began.
    head_checked: bool,
    /// Whether a head search brought a new target since a part of the old one was lost.
    target_renewed: bool,
    proof_source: Option<io::SourceId>,
    /// What was accepted, but whose version could not be had by another road.
    unadopted: Option<Box<Accepted>>,
    /// Whether a source said during the head search that what is held, stale, is the newest.
    stands_still: bool,
    /// Whether the head under way is the seed's.
    head_in_seed: bool,
    /// Why the network gave no head, while the seed is asked for one.
    network_failure: Option<io::Failure>,
    /// Names of the directories that are being adopted.
    directories: Set<WireName>,
    inline: Map<WireName, Rc<Vec<u8>>>,

    following: Following,
    clock: Clock,
    freshness: Freshness,
    refuse_expired: bool,

    sync: Option<Sync>,
    standing: Standing,
    last_phase: Phase,
    stored_events: Vec<(StoreKey, Event)>,
    last_progress: Millis,
    reads: Map<ReadId, Read>,
    ready_reads: VecDeque<ReadId>,

    blobs: Map<WireName, Blob>,
    loads: Loads,
    frames: Cache<Identity, VerifiedFrame>,
    composing: Map<Identity, Composing>,
    layer_pages: Cache<WireName, LayerPage>,
    bundles: Cache<WireName, Vec<u8>>,
    /// The bundle that is being loaded ahead.
    ahead: Option<WireName>,
    /// Bytes that came out of the decoder.
    decoded_bytes: u64,
    decoder: Decoder,
    store: StoreDesk,
    net: Net,
    sources: Sources,
    seed: Option<Seed>,
    meter: Meter,
    bytes_fetched: u64,
    requests_made: u64,
    timings: Timings,

    audit: Audit,
    work: WorkQueue,
    outputs: VecDeque<Output>,
    pending: Map<RequestId, Pending>,
    next_request: u64,
}

impl Engine {
    /// An engine whose first output loads the state record. The trust root is verified here; the
    /// seed spreads retries.
    pub fn new(config: EngineConfig, seed: u64) -> Result<Self, Error> {
        let EngineConfig { dataset, channel, trust: embedded } = config;
        let trust = TrustState::embedded(&embedded, &dataset)?;
        let mut engine = Self {
            dataset,
            channel,
            embedded,
            trust,
            opening: true,
            parked: VecDeque::new(),
            committed: None,
            target: None,
            kept: Vec::new(),
            keep: 0,
            pins: Map::new(),
            collect: false,
            rolling_back: None,
            base_only: None,
            adoption: None,
            scope: Map::new(),
            apply: None,
            segments_ahead: Set::new(),
            merge: None,
            changes: Vec::new(),
            delta_status: DeltaStatus::default(),
            apply_rate: None,
            head: HeadTask::Idle,
            searched: None,
            away: false,
            head_checked: false,
            target_renewed: false,
            proof_source: None,
            unadopted: None,
            stands_still: false,
            head_in_seed: false,
            network_failure: None,
            directories: Set::new(),
            inline: Map::new(),
            following: Following::default(),
            clock: Clock::default(),
            freshness: Freshness::default(),
            refuse_expired: false,
            sync: None,
            standing: Standing::default(),
            last_phase: Phase::Idle,
            stored_events: Vec::new(),
            last_progress: Millis(0),
            reads: Map::new(),
            ready_reads: VecDeque::new(),
            blobs: Map::new(),
            loads: Loads::default(),
            frames: Cache::new(FRAME_CACHE_BYTES),
            composing: Map::new(),
            layer_pages: Cache::new(LAYER_CACHE_BYTES),
            bundles: Cache::new(BUNDLE_CACHE_BYTES),
            ahead: None,
            decoded_bytes: 0,
            decoder: Decoder::new(),
            store: StoreDesk::default(),
            net: Net::default(),
            sources: Sources::new(seed),
            seed: None,
            meter: Meter::default(),
            bytes_fetched: 0,
            requests_made: 0,
            timings: Timings::default(),
            audit: Audit::default(),
            work: WorkQueue::default(),
            outputs: VecDeque::new(),
            pending: Map::new(),
            next_request: 0,
        };
        let request = engine.request(Pending::State);
        let keys = vec![StoreKey::State, StoreKey::Audit, StoreKey::Sources];
        engine.outputs.push_back(Output::Load { request, keys });
        Ok(engine)
    }

    /// Takes one input. A completion for a request that is not open is dropped.
    pub fn handle(&mut self, input: Input, now: Millis) {
        match input {
            Input::AddSource { name } => {
                self.sources.add(name);
            }
            Input::AddSeed { name } => {
                let id = self.sources.add(name);
                self.seed = Some(Seed::new(id));
            }
            Input::RemoveSource(source) => {
                self.sources.remove(source);
                self.seed = self.seed.take().filter(|seed| seed.id != source);
            }
            Input::Command(command) if self.opening => self.parked.push_back(command),
            Input::Command(command) => self.command(command, now),
            Input::Body { request, bytes } => {
                self.body_came(request, bytes, now);
                if self.net.fetches.contains_key(&request) {
                    // More of a body changes nothing but what there is to verify.
                    return;
                }
            }
            Input::BodyEnd { request } => {
                self.pending.remove(&request);
                self.body_ended(request);
                if self.net.fetches.contains_key(&request) {
                    return;
                }
            }
            Input::FetchFailed { request, failure } => {
                self.pending.remove(&request);
                self.fetch_failed(request, &failure, now);
            }
            Input::Loaded { request, rows } => match self.pending.remove(&request) {
                Some(Pending::State) => self.opened(rows, now),
                Some(Pending::Audit) => self.audit_loaded(rows),
                Some(Pending::Blob { name, keys, bytes }) => {
                    self.work.push_urgent(WorkItem::Loaded { name, keys, rows, bytes });
                }
                Some(Pending::Ahead(name)) => {
                    self.loaded_ahead(name, rows.into_iter().next().flatten());
                }
                Some(Pending::List | Pending::Store | Pending::Fetch) | None => {}
            },
            Input::Listed { request, keys } => {
                if self.pending.remove(&request).is_some() {
                    self.store.list(keys);
                }
            }
            Input::Stored { request, result } => {
                if self.pending.remove(&request).is_some() {
                    self.store_ended(request, result, now);
                }
            }
            Input::Pushed { request, bytes } => self.pushed(request, bytes, now),
            Input::LineEnded { request } => self.line_ended(request, now),
            Input::Idle => {
                if !self.begin_merge() {
                    self.audit_on();
                }
            }
            Input::Tick => {}
        }
        self.pump(now);
    }

    /// Does CPU work worth about so many bytes of hashing, at least one step.
    pub fn work(&mut self, budget_bytes: usize, now: Millis) {
        if self.do_work(budget_bytes, now) {
            self.pump(now);
        }
    }

    /// How much is on its way, for whoever watches it.
    pub fn pressure(&self) -> Pressure {
        Pressure {
            queued: self.net.queue.iter().count(),
            fetching: self.net.fetches.len(),
            in_flight_bytes: self.net.bytes_in_flight(),
            waiting_bytes: self.store.waiting_bytes() as u64,
            writing_bytes: self.store.given_bytes() as u64,
        }
    }

    /// The last transaction of a client that closes: what is verified and waits for one, so that
    /// the next client need not fetch it again. The engine is not used after it.
    pub fn last_rows(&mut self) -> StoreBatch {
        self.store.last_rows()
    }

    /// The next output; [`Output::Work`] and [`Output::Wait`] end the draining.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if !self.work.is_empty() || self.audit_is_ready() {
            return Output::Work;
        }
        let why = if !self.net.fetches.is_empty() {
            WaitReason::Network
        } else if !self.pending.is_empty() {
            WaitReason::Store
        } else if self.net.wake.is_some() {
            WaitReason::Backoff
        } else if self.audit_is_due() || self.merge_is_due() {
            WaitReason::Upkeep
        } else {
            WaitReason::Idle
        };
        let wakes = self.net.wake.into_iter().chain(self.following.wake());
        let wakes = wakes.chain(self.store.due).chain(self.standing.wake());
        let until = wakes.min();
        Output::Wait { until, why }
    }

    fn command(&mut self, command: Command, now: Millis) {
        match command {
            Command::Sync => self.start_sync(now),
            Command::Until(deadline) => self.sync_until(deadline),
            Command::Yield(yields) => self.yield_syncs(yields),
            Command::CancelSync => {
                let aborted = crate::error::Misuse::Aborted.into();
                self.end_sync(Err(io::Failure::Error(aborted)), now);
            }
            Command::Get { read, collection, key, version } => {
                self.start_read(
                    read,
                    Read { version, what: What::Get { collection, key }, since: now },
                );
            }
            Command::Range { read, range, version } => {
                self.start_read(read, Read { version, what: What::Range(range), since: now });
            }
            Command::Prove { read, collection, key, version } => {
                self.start_read(
                    read,
                    Read { version, what: What::Prove { collection, key }, since: now },
                );
            }
            Command::Subscribe(scope) => self.subscribe(scope.into_iter().collect()),
            Command::Pin(version) => self.pin(version),
            Command::Unpin(version) => self.unpin(version),
            Command::Keep(versions) => self.keep_versions(versions),
            Command::RollBack(version) => self.roll_back(version, now),
            Command::CancelRead(read) => self.cancel_read(read),
            Command::Status => {
                let status = self.status(now);
                self.event(Event::Status(Box::new(status)));
            }
        }
    }

    /// Carries everything on as far as it goes: adoption, reads, sync, transactions, fetches.
    fn pump(&mut self, now: Millis) {
        if self.opening {
            return;
        }
        self.step_head();
        self.step_follow(now);
        self.step_standing(now);
        self.step_audit();
        self.step_merge();
        // The sync first: a read then finds the bundles that are about to be fetched anyway.
        self.step_sync(now);
        self.look_at_clock(now);
        self.step_reads(now);
        self.start_loads();
        self.start_fetches(now);
        self.look_at_clock(now);
        // A job that fails for want of a source wakes who waited for it.
        self.step_reads(now);
        self.step_head();
        self.step_sync(now);
        while self.start_loads() {
            self.step_reads(now);
            self.start_fetches(now);
            self.step_reads(now);
        }
        // A sync that ended here makes room for what was said meanwhile.
        self.step_follow(now);
        self.step_collect();
        let next = RequestId(self.next_request);
        if let Some(batch) = self.store.next_batch(next, self.coming(), now) {
            let request = self.request(Pending::Store);
            self.outputs.push_back(Output::Store { request, batch });
        }
    }

    /// The state record came: verify what it holds from the embedded trust root on. A record
    /// that does not hold counts as missing: the client starts as on its first day.
    fn opened(&mut self, rows: Vec<Option<Vec<u8>>>, now: Millis) {
        let mut rows = rows.into_iter();
        let (state, audit) = (rows.next().flatten(), rows.next().flatten());
        if let Some(audit) = audit {
            self.audit.restore(&audit);
        }
        if let Some(row) = rows.next().flatten() {
            let memory = record::parse(&row).unwrap_or_default();
            self.sources.remember(memory.sources);
            self.searched = memory.searched;
        }
        match state {
            // Nothing was ever stored here.
            None => self.store.list(Vec::new()),
            Some(bytes) => {
                if self.restore(&bytes).is_err() {
                    self.committed = None;
                    self.target = None;
                    self.kept.clear();
                    self.event(Event::Damaged { key: StoreKey::State });
                }
            }
        }
        self.opening = false;
        while let Some(command) = self.parked.pop_front() {
            self.command(command, now);
        }
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let record = StateRecord::parse(bytes)?;
        let verify = |record: VersionRecord, held: Option<&Snapshot>| -> Result<Snapshot, Error> {
            let trust = TrustState::restore(&self.embedded, &self.dataset, &record.trust)?;
            let head = trust.head().ok_or(TrustError::NoSuchChannel)?;
            let channel = head.channel(self.channel.as_str()).cloned();
            let channel = channel.ok_or(TrustError::NoSuchChannel)?;
            Snapshot::verify(&self.dataset, &channel, trust, record, held)
        };
        let committed = record.committed.map(|record| verify(record, None)).transpose()?;
        let held = committed.as_ref();
        let pinned = record.pinned.map(|record| verify(record, held)).transpose()?;
        let kept = record.kept.into_iter().map(|record| verify(record, None));
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        let newest = |trust: &TrustState| (trust.seen().size, trust.cosigned_s());
        for Snapshot { trust, .. } in [&committed, &pinned].into_iter().flatten().chain(&kept) {
            if newest(trust) >= newest(&self.trust) {
                self.trust = trust.clone();
            }
        }
        self.committed = committed;
        self.target = pinned;
        self.kept = kept;
        Ok(())
    }

    fn cache_frame(&mut self, identity: Identity, frame: VerifiedFrame) {
        let (len, limit) = (frame.plain().len(), self.cache_limit(FRAME_CACHE_BYTES));
        self.frames.insert_within(limit, identity, Rc::new(frame), len);
    }

    fn cache_bundle(&mut self, name: WireName, row: Rc<Vec<u8>>) {
        let (len, limit) = (row.len(), self.cache_limit(BUNDLE_CACHE_BYTES));
        self.bundles.insert_within(limit, name, row, len);
    }

    fn cache_limit(&self, usual: usize) -> usize {
        let passing = self.apply.is_some() || self.merge.is_some();
        if passing { PASSING_CACHE_BYTES } else { usual }
    }

    fn request(&mut self, pending: Pending) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.pending.insert(request, pending);
        request
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
