//! Jobs and fetches: who is asked for what, and what happens when a source lies, fails or stops.
//!
//! Bytes count only once they are verified. A lie is blamed on its source by name, costs the
//! source its place, and the job goes on with another; what was verified of a bundle before a
//! connection broke is kept, and the rest is asked for by range. An attacker who serves a body
//! without end is cut off at the signed length. Whom to ask, and when to leave one who is slow, is
//! in `pace`.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::layout;
use crate::format::seed::PRELUDE_LEN;
use crate::limits::{MAX_BOOTSTRAP_LEN, MAX_CHECKPOINT_LEN};
use crate::map::{Map, Set};
use crate::plan::queue::{Class, Queue, Ticket};
use crate::plan::sources::{Kind, Severity, SourceId};
use crate::planted::{self, Bug};
use crate::trust::tiles::TileRef;
use crate::types::{Millis, ObjectKind, ObjectRef, WireName};

use super::Engine;
use super::blob::{BlobSpec, object_path};
use super::io::{BundleState, ByteRange, Event, Failure, FetchFailure, Output, RequestId, Target};
use super::seed::SEED_PATH;
use super::work::WorkItem;

/// A read waits for a frame of a bundle under way when so many bytes or fewer are missing up to
/// its end; a request of its own would take about as long and fetch the frame twice.
const RIDE_BYTES: u64 = 128 << 10;
/// Tries of one job before it fails, for reads and for syncs.
const READ_TRIES: u32 = 3;
const SYNC_TRIES: u32 = 8;

/// Something to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) what: What,
    pub(super) reach: Reach,
    tries: u32,
    /// How often it was taken from a source that was slow.
    pub(super) moves: u32,
    /// Of a bootstrap: the channel's head is enough, for who holds a version.
    pub(super) lean: bool,
    /// How many fetches ended one after the other before it could be asked for, and itself; 0 as
    /// long as nobody looked.
    pub(super) depth: u64,
    /// Who is asked as long as it did not fail.
    pub(super) prefer: Option<SourceId>,
    pub(super) avoid: Vec<SourceId>,
    last_fault: Option<(&'static str, String)>,
}

/// Who may be asked for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everybody, the seed first.
    All,
    /// The network's sources alone.
    Network,
    /// The seed alone.
    Seed,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Checkpoint,
    Bootstrap,
    /// The seed's prelude, or its index of a known length.
    SeedHead {
        index_len: Option<u64>,
    },
    Tile(TileRef),
    Blob(BlobSpec),
    Bundle(BundleJob),
}

/// A bundle of a sync, and how much of it is verified already.
#[derive(Clone, Debug)]
pub(super) struct BundleJob {
    pub(super) collection: String,
    pub(super) index: u64,
    pub(super) total: u64,
    pub(super) object: ObjectRef,
    pub(super) frames: Rc<Vec<layout::Frame>>,
    /// What came: verified frames first, then what is still to be checked.
    pub(super) bytes: Vec<u8>,
    pub(super) verified_len: usize,
    pub(super) verified_frames: usize,
}

impl Job {
    pub(super) fn new(what: What) -> Self {
        let reach = match &what {
            What::Checkpoint | What::Bootstrap => Reach::Network,
            What::SeedHead { .. } | What::Tile(_) | What::Blob(_) | What::Bundle(_) => Reach::All,
        };
        Self::within(what, reach)
    }

    pub(super) fn within(what: What, reach: Reach) -> Self {
        Self {
            what,
            reach,
            tries: 0,
            moves: 0,
            lean: false,
            depth: 0,
            prefer: None,
            avoid: Vec::new(),
            last_fault: None,
        }
    }

    pub(super) fn is_blob(&self, name: &WireName) -> bool {
        self.blob() == Some(*name)
    }

    /// The blob that it fetches.
    pub(super) fn blob(&self) -> Option<WireName> {
        match &self.what {
            What::Blob(spec) => Some(spec.name()),
            What::Checkpoint
            | What::Bootstrap
            | What::SeedHead { .. }
            | What::Tile(_)
            | What::Bundle(_) => None,
        }
    }

    fn bundle(&self) -> Option<&BundleJob> {
        match &self.what {
            What::Bundle(job) => Some(job),
            What::Checkpoint
            | What::Bootstrap
            | What::SeedHead { .. }
            | What::Tile(_)
            | What::Blob(_) => None,
        }
    }

    pub(super) fn is_bundle(&self, name: &WireName) -> bool {
        self.bundle().is_some_and(|job| job.object.name == *name)
    }

    /// The bytes that have not come yet of the bundle that it fetches.
    pub(super) fn bundle_missing(&self) -> Option<u64> {
        self.bundle().map(|job| job.object.len.saturating_sub(job.bytes.len() as u64))
    }

    pub(super) fn kind(&self) -> Kind {
        match self.what {
            What::Checkpoint | What::Bootstrap => Kind::Pointer,
            What::SeedHead { .. } | What::Tile(_) | What::Blob(_) | What::Bundle(_) => Kind::Object,
        }
    }

    pub(super) fn is_sync(&self) -> bool {
        matches!(self.what, What::Bundle(_))
    }

    pub(super) fn target(&self, channel: &str) -> Target {
        match &self.what {
            What::Checkpoint => Target { path: String::from("checkpoint"), range: None },
            What::Bootstrap => {
                let object = if self.lean { "head/" } else { "bootstrap/" };
                Target { path: [object, channel].concat(), range: None }
            }
            What::SeedHead { index_len } => {
                let path = String::from(SEED_PATH);
                let prelude = PRELUDE_LEN as u64;
                let range = match *index_len {
                    None => ByteRange { start: 0, len: prelude },
                    Some(len) => ByteRange { start: prelude, len },
                };
                Target { path, range: Some(range) }
            }
            What::Tile(tile) => Target { path: ["log/", &tile.path()].concat(), range: None },
            What::Blob(spec) => spec.target(),
            What::Bundle(job) => {
                let start = job.verified_len as u64;
                let range = (start > 0).then(|| ByteRange { start, len: job.object.len - start });
                Target { path: object_path(ObjectKind::Bundle, &job.object.name), range }
            }
        }
    }

    /// The signed length, or the format's bound where the object is mutable.
    pub(super) fn max_bytes(&self) -> u64 {
        match &self.what {
            What::Checkpoint => MAX_CHECKPOINT_LEN as u64,
            What::Bootstrap => MAX_BOOTSTRAP_LEN as u64,
            What::SeedHead { index_len } => index_len.unwrap_or(PRELUDE_LEN as u64),
            What::Tile(tile) => tile.max_len() as u64,
            What::Blob(spec) => spec.len(),
            What::Bundle(job) => job.object.len - job.verified_len as u64,
        }
    }
}

/// Where a part of a bundle under way stands.
#[derive(Clone, Debug)]
pub(super) enum Arriving {
    /// It is here and verified.
    Verified(Vec<u8>),
    /// So little is missing up to its end that a request of its own would only cost bytes.
    Soon,
}

/// A fetch under way.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) ticket: Ticket,
    pub(super) job: Job,
    pub(super) source: SourceId,
    /// What came of anything but a bundle, which keeps its own bytes.
    pub(super) body: Vec<u8>,
    pub(super) ended: bool,
    pub(super) received: u64,
    pub(super) max_bytes: u64,
    pub(super) target: Target,
    /// When it was asked for.
    pub(super) asked: Millis,
    /// When bytes came last, or it was asked for.
    pub(super) since: Millis,
    /// Another one that brings the same.
    pub(super) twin: Option<RequestId>,
}

/// Queue and fetches.
#[derive(Clone, Debug, Default)]
pub(super) struct Net {
    pub(super) queue: Queue<Job>,
    pub(super) fetches: Map<RequestId, Fetch>,
    /// Fetches that were given up and whose completion is still to come.
    cancelled: Set<RequestId>,
    /// The longest chain of fetches since the sync began, each possible once the one before ended.
    pub(super) chain: u64,
    /// When a source that everybody waits for may be asked again.
    pub(super) wake: Option<Millis>,
}

impl Net {
    /// Bundles that wait or are on their way.
    pub(super) fn bundles(&self) -> Set<WireName> {
        let flying = self.fetches.values().map(|fetch| &fetch.job.what);
        flying
            .chain(self.queue.iter().map(|job| &job.what))
            .filter_map(|what| match what {
                What::Bundle(job) => Some(job.object.name),
                What::Checkpoint
                | What::Bootstrap
                | What::SeedHead { .. }
                | What::Tile(_)
                | What::Blob(_) => None,
            })
            .collect()
    }

    /// Where a part of a bundle that is being fetched, or is going to be, stands.
    pub(super) fn arriving(&self, bundle: &WireName, start: u64, end: u64) -> Option<Arriving> {
        let flying = self.fetches.values().map(|fetch| &fetch.job);
        let job = flying
            .chain(self.queue.iter())
            .find_map(|job| job.bundle().filter(|job| job.object.name == *bundle))?;
        if job.verified_len as u64 >= end {
            let part = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            return job.bytes.get(part).map(|bytes| Arriving::Verified(bytes.to_vec()));
        }
        let missing = end.saturating_sub(job.bytes.len() as u64);
        (missing <= RIDE_BYTES).then_some(Arriving::Soon)
    }

    pub(super) fn bytes_in_flight(&self) -> u64 {
        self.fetches.values().map(|fetch| fetch.max_bytes).sum()
    }
}

impl Engine {
    pub(super) fn body_came(&mut self, request: RequestId, bytes: Vec<u8>, now: Millis) {
        let Some(fetch) = self.net.fetches.get_mut(&request) else { return };
        if fetch.received == 0 {
            self.timings.answers.add(now.since(fetch.asked));
        }
        fetch.flowed(&mut self.sources, bytes.len() as u64, now);
        let from_seed = self.seed.as_ref().is_some_and(|seed| seed.id == fetch.source);
        self.bytes_fetched += if from_seed { 0 } else { bytes.len() as u64 };
        self.meter.add(bytes.len() as u64, now);
        if fetch.received > fetch.max_bytes {
            return self.fetch_faulted(request, Fault::lie("peer/too-long", TOO_LONG), now);
        }
        match &mut fetch.job.what {
            What::Bundle(job) => {
                let whole = usize::try_from(job.object.len).unwrap_or(0);
                if job.bytes.is_empty() && bytes.len() == whole {
                    job.bytes = bytes;
                } else {
                    // All of it at once: growing would take as much again.
                    job.bytes.reserve_exact(whole.saturating_sub(job.bytes.len()));
                    job.bytes.extend_from_slice(&bytes);
                }
            }
            What::Checkpoint
            | What::Bootstrap
            | What::SeedHead { .. }
            | What::Tile(_)
            | What::Blob(_) => {
                fetch.body.extend_from_slice(&bytes);
            }
        }
        if fetch.has_whole_frame() {
            self.work.push(WorkItem::Body(request));
        }
    }

    pub(super) fn body_ended(&mut self, request: RequestId) {
        if self.net.cancelled.remove(&request) {
            return;
        }
        if let Some(fetch) = self.net.fetches.get_mut(&request) {
            fetch.stopped(&mut self.sources);
            fetch.ended = true;
            self.work.push(WorkItem::Body(request));
        }
    }

    pub(super) fn fetch_failed(&mut self, request: RequestId, failure: &FetchFailure, now: Millis) {
        if self.net.cancelled.remove(&request) {
            return;
        }
        if let FetchFailure::Status { status: 403 | 404 | 410, .. } = failure
            && self.net.fetches.get(&request).is_some_and(|fetch| fetch.job.lean)
            && let Some(Fetch { ticket, mut job, .. }) = self.take_fetch(request)
        {
            // A host of files that knows no heads has the bootstrap; whether there is anything
            // new its checkpoint says.
            job.lean = false;
            if job.prefer.is_none() {
                job.what = What::Checkpoint;
            }
            return self.net.queue.put_back(ticket, job);
        }
        let away = |retry_after_ms| Severity::Away { retry_after_ms };
        let (code, severity, detail) = match failure {
            FetchFailure::Network => ("peer/network", away(None), "no answer"),
            FetchFailure::Timeout => ("peer/timeout", away(None), "no answer in time"),
            FetchFailure::Status { status: 404 | 410, .. } => {
                ("peer/not-found", Severity::Missing, "the source does not have it")
            }
            FetchFailure::Status { retry_after_ms, .. } => {
                let asked = retry_after_ms.is_some();
                let severity = if asked { away(*retry_after_ms) } else { Severity::Failure };
                ("peer/http-status", severity, "the source answered with an error")
            }
            FetchFailure::TooLong => ("peer/too-long", Severity::Lie, TOO_LONG),
            FetchFailure::WrongRange => {
                ("peer/wrong-range", Severity::Lie, "the answer is not the range asked for")
            }
            FetchFailure::Cancelled => {
                ("peer/cancelled", Severity::Failure, "the fetch was cut off")
            }
        };
        let detail = match failure {
            FetchFailure::Status { status, .. } => {
                [detail, ": HTTP ", &alloc::string::ToString::to_string(status)].concat()
            }
            FetchFailure::Network
            | FetchFailure::Timeout
            | FetchFailure::TooLong
            | FetchFailure::WrongRange
            | FetchFailure::Cancelled => String::from(detail),
        };
        self.fetch_faulted(request, Fault { code, severity, detail }, now);
    }

    /// Ends a fetch by its source's fault; the job goes on elsewhere, later, or fails.
    pub(super) fn fetch_faulted(&mut self, request: RequestId, mut fault: Fault, now: Millis) {
        let Some(fetch) = self.take_fetch(request) else { return };
        if self.is_seed(fetch.source) {
            // Its other objects may well hold, and asking for them costs nothing.
            fault.severity = Severity::Missing;
        }
        let blame = (fault.severity, fetch.job.kind());
        self.sources.faulted(fetch.source, fault.code, blame, now);
        let (fetch_source, source) = (fetch.source, String::from(self.sources.name(fetch.source)));
        let Fetch { ticket, mut job, target, twin, .. } = fetch;
        let said = [&source, ": ", &fault.detail, " (", &target.path, ")"].concat();
        self.event(Event::Fault {
            source,
            code: fault.code,
            object: target.path,
            detail: fault.detail,
        });
        if let Some(twin) = twin.and_then(|twin| self.net.fetches.get_mut(&twin)) {
            // The other one goes on alone.
            return twin.job.avoid.push(fetch_source);
        }
        if let What::Bundle(bundle) = &mut job.what
            && !planted::is(Bug::StalePrefix)
        {
            bundle.bytes.truncate(bundle.verified_len);
        }
        job.tries += 1;
        job.last_fault = Some((fault.code, said));
        if !job.avoid.contains(&fetch_source) {
            job.avoid.push(fetch_source);
        }
        let missing = fault.severity == Severity::Missing;
        let in_seed = usize::from(self.seed.is_some());
        let asked = job.avoid.iter().filter(|source| !self.is_seed(**source)).count();
        let nobody_left = missing && asked + in_seed >= self.sources.len();
        let tries = if ticket.class() == Class::Read { READ_TRIES } else { SYNC_TRIES };
        if planted::is(Bug::JobForgotten) {
            return;
        }
        let endless = planted::is(Bug::RetryAtOnce);
        if nobody_left || (job.tries >= tries && !endless) {
            self.job_failed(job, now);
        } else {
            self.net.queue.put_back(ticket, job);
        }
    }

    /// Ends a fetch whose bytes are verified.
    pub(super) fn fetch_done(&mut self, request: RequestId, now: Millis) -> Option<Fetch> {
        let fetch = self.net.fetches.remove(&request)?;
        self.sources.succeeded(fetch.source, fetch.job.kind(), now);
        self.timings.transfers.add(now.since(fetch.asked));
        if !self.is_seed(fetch.source) {
            self.net.chain = self.net.chain.max(fetch.job.depth);
        }
        self.end_race(&fetch);
        Some(fetch)
    }

    /// Takes a fetch out; one whose completion is still to come is cancelled.
    pub(super) fn take_fetch(&mut self, request: RequestId) -> Option<Fetch> {
        let mut fetch = self.net.fetches.remove(&request)?;
        fetch.stopped(&mut self.sources);
        if !fetch.ended && self.pending.contains_key(&request) {
            self.net.cancelled.insert(request);
            self.outputs.push_back(Output::CancelFetch { request });
        }
        match fetch.twin.and_then(|twin| self.net.fetches.get_mut(&twin)) {
            Some(twin) => twin.twin = None,
            None => fetch.twin = None,
        }
        if let What::Bundle(job) = &fetch.job.what
            && fetch.twin.is_none()
        {
            self.unseat_riders(&job.object.name);
        }
        Some(fetch)
    }

    /// Drops every job and fetch that matches, without blame.
    pub(super) fn drop_jobs(&mut self, matches: impl Fn(Class, &Job) -> bool) {
        let mut bundles = Vec::new();
        self.net.queue.remove_where(|ticket, job| {
            let dropped = matches(ticket.class(), job);
            bundles.extend(job.bundle().filter(|_| dropped).map(|job| job.object.name));
            dropped
        });
        for bundle in bundles {
            self.unseat_riders(&bundle);
        }
        let chosen: Vec<RequestId> = self
            .net
            .fetches
            .iter()
            .filter(|(_, fetch)| matches(fetch.ticket.class(), &fetch.job))
            .map(|(request, _)| *request)
            .collect();
        for request in chosen {
            self.take_fetch(request);
        }
    }

    pub(super) fn job_failed(&mut self, job: Job, now: Millis) {
        if job.reach == Reach::Seed {
            return self.seed_job_failed(job, now);
        }
        let (code, detail) = job.last_fault.unwrap_or_else(|| self.no_source(now));
        let failure = Failure::Sources { code, detail };
        match job.what {
            What::SeedHead { .. } => {}
            What::Blob(spec) => self.blob_failed(spec.name(), failure),
            // Somebody answered: there is nothing newer to be had.
            What::Checkpoint | What::Bootstrap if self.stands_still => self.head_done(),
            What::Checkpoint | What::Bootstrap | What::Tile(_) => self.head_failed(failure),
            What::Bundle(job) => {
                self.unseat_riders(&job.object.name);
                self.target_lost(failure, now);
            }
        }
    }

    /// What only the seed could give is not to be had.
    fn seed_job_failed(&mut self, job: Job, now: Millis) {
        if matches!(job.what, What::Bootstrap) && job.last_fault.is_none() {
            let object = job.target(self.channel.as_str()).path;
            self.seed_lacks(object, now);
        }
        match job.what {
            What::SeedHead { .. } => self.seed_broke(),
            What::Blob(spec) => self.blob_not_here(spec.name()),
            What::Checkpoint | What::Bootstrap | What::Tile(_) | What::Bundle(_) => {
                self.seed_head_over();
            }
        }
    }

    /// What to say where no source could even be asked: the last fault of one, if any.
    fn no_source(&self, now: Millis) -> (&'static str, String) {
        for source in self.sources.status(now) {
            if let Some(code) = source.last_fault {
                return (code, [&source.name, " misbehaved and is left alone"].concat());
            }
        }
        ("peer/no-source", String::from("there is no source to ask"))
    }
}

const TOO_LONG: &str = "more bytes than the signed length";

/// A source's fault.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) detail: String,
}

impl Fault {
    pub(super) fn lie(code: &'static str, detail: &str) -> Self {
        Self { code, severity: Severity::Lie, detail: String::from(detail) }
    }

    pub(super) fn truncated() -> Self {
        // The connection broke, whatever it was to bring.
        let severity = Severity::Away { retry_after_ms: None };
        let detail = String::from("the body ends before the signed length");
        Self { code: "peer/truncated", severity, detail }
    }

    /// What a source is to be blamed for, that served bytes with this error.
    pub(super) fn of(error: &Error) -> Self {
        // A source that is merely behind is no liar.
        let behind = matches!(error, Error::Trust(TrustError::Rollback { .. }));
        let severity = if behind { Severity::Missing } else { Severity::Lie };
        Self { code: error.code(), severity, detail: alloc::string::ToString::to_string(error) }
    }
}

impl Fetch {
    /// Whether the next frame of a bundle has arrived whole.
    pub(super) fn has_whole_frame(&self) -> bool {
        match &self.job.what {
            What::Bundle(job) => job.next_frame().is_some_and(|(_, bytes)| bytes.is_some()),
            What::Checkpoint
            | What::Bootstrap
            | What::SeedHead { .. }
            | What::Tile(_)
            | What::Blob(_) => false,
        }
    }
}

impl BundleJob {
    /// The next frame to verify, and its bytes where they have all come.
    pub(super) fn next_frame(&self) -> Option<(&layout::Frame, Option<&[u8]>)> {
        let frame = self.frames.get(self.verified_frames)?;
        let rest = self.bytes.get(self.verified_len..).unwrap_or_default();
        Some((frame, rest.get(..frame.wire_len as usize)))
    }

    pub(super) fn event(&self, state: BundleState) -> Event {
        Event::Bundle {
            collection: self.collection.clone(),
            index: self.index,
            total: self.total,
            state,
        }
    }
}
