//! What goes into the engine and what comes out: the whole contract with its shells.
//!
//! A shell performs outputs and feeds completions back; it decides nothing. Every output with a
//! [`RequestId`] gets exactly one completion:
//!
//! | output | completion |
//! | --- | --- |
//! | [`Output::Fetch`] | [`Input::Body`]s, then [`Input::BodyEnd`] or [`Input::FetchFailed`] |
//! | [`Output::CancelFetch`] | none of its own; the fetch still gets its one completion |
//! | [`Output::Listen`] | [`Input::Pushed`]s, then [`Input::LineEnded`] |
//! | [`Output::Load`] | [`Input::Loaded`] |
//! | [`Output::List`] | [`Input::Listed`] |
//! | [`Output::Store`] | [`Input::Stored`] |
//!
//! A read or a sync that the caller began ends with exactly one [`Output::Answer`] or
//! [`Output::SyncEnded`]; so does a sync that following began.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;
use crate::types::{Identity, Millis, ObjectKind, Version, WireName};

pub use super::changes::{Changes, KeyChange};
pub use super::report::{
    AuditStatus, BundleState, CollectionStatus, Event, Milestone, Mismatch, Phase, Progress, Road,
    Status, SyncReport, Timings, Why,
};
pub use super::scope::KeyRange;
pub use super::standing::{Cause, Condition};
pub use crate::plan::sources::{SourceId, SourceState, SourceStatus};

/// An output that will be completed by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A read that the caller numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// What a shell feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A place to fetch from; its name stands in events and errors. It gets the next
    /// [`SourceId`], from 0.
    AddSource {
        /// The source's name.
        name: String,
    },
    /// A file that came with the application (docs/spec/seed.md): the source that is asked first
    /// for what it holds. It gets the next [`SourceId`]. Every fetch of it has the path `seed` and
    /// a range of the file; past its end there are just fewer bytes.
    AddSeed {
        /// The source's name.
        name: String,
    },
    /// A source that shall not be asked any more.
    RemoveSource(SourceId),
    /// Something the caller wants.
    Command(Command),
    /// The next bytes of a body, in order.
    Body {
        /// The fetch.
        request: RequestId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A body's end.
    BodyEnd {
        /// The fetch.
        request: RequestId,
    },
    /// A fetch that gave no body, or not the whole one.
    FetchFailed {
        /// The fetch.
        request: RequestId,
        /// Why.
        failure: FetchFailure,
    },
    /// A message of a source that is listened to.
    Pushed {
        /// The line.
        request: RequestId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A line that could not be opened, or broke.
    LineEnded {
        /// The line.
        request: RequestId,
    },
    /// The rows asked for, in the order of the keys.
    Loaded {
        /// The load.
        request: RequestId,
        /// Each row, or `None` where it is missing or cannot be read.
        rows: Vec<Option<Vec<u8>>>,
    },
    /// The keys of all rows but the state's.
    Listed {
        /// The list.
        request: RequestId,
        /// The keys; empty also where the store cannot tell.
        keys: Vec<StoreKey>,
    },
    /// A transaction's end.
    Stored {
        /// The store.
        request: RequestId,
        /// Whether it is durable as a whole; on an error nothing of it is.
        result: Result<(), StoreFailure>,
    },
    /// Time passed.
    Tick,
    /// The shell has idle time, asked for by [`WaitReason::Upkeep`].
    Idle,
}

/// What a caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Bring the newest version; ends with [`Output::SyncEnded`]. Joins a sync that runs.
    Sync,
    /// When the sync that runs should be over: [`Event::Condition`] tells early where it will not
    /// be. Nothing where none runs.
    Until(Option<Millis>),
    /// Whether syncs take one transfer at a time, because somebody pays for bytes or waits for
    /// other things; said anew after each start.
    Yield(bool),
    /// End the sync that runs; what was stored stays.
    CancelSync,
    /// Read a key.
    Get {
        /// The read.
        read: ReadId,
        /// The collection.
        collection: String,
        /// The key.
        key: Vec<u8>,
        /// The version to read from; `None` for the one that serves.
        version: Option<Version>,
    },
    /// Read the next records of a range, at most one frame's.
    Range {
        /// The read.
        read: ReadId,
        /// The range.
        range: RangeQuery,
        /// The version to read from; `None` for the one that serves.
        version: Option<Version>,
    },
    /// Prove that a key is present or absent.
    Prove {
        /// The read.
        read: ReadId,
        /// The collection.
        collection: String,
        /// The key.
        key: Vec<u8>,
        /// The version to read from; `None` for the one that serves.
        version: Option<Version>,
    },
    /// Hold only these key ranges of these collections, and of all others everything; said anew
    /// after each start. What is lacking comes with the next sync.
    Subscribe(Vec<(String, Vec<KeyRange>)>),
    /// Keep a version that serves reads, or did, until as many [`Command::Unpin`] came.
    Pin(Version),
    /// Let go of a version that was pinned.
    Unpin(Version),
    /// Keep so many versions that served reads before, beside those that are pinned; none
    /// where it is never said.
    Keep(usize),
    /// Make a kept version serve reads again; ends with [`Output::RolledBack`]. A sync that runs
    /// ends. The next one goes on to what is newer than all that was seen.
    RollBack(Version),
    /// Forget a read; it is answered with `misuse/aborted`.
    CancelRead(ReadId),
    /// Emit a fresh [`Event::Status`].
    Status,
}

/// A range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeQuery {
    /// The collection.
    pub collection: String,
    /// The first key, inclusive.
    pub start: Vec<u8>,
    /// The end, exclusive; `None` is past the last key.
    pub end: Option<Vec<u8>>,
    /// At most so many records.
    pub limit: usize,
    /// The root that an earlier page of the same iteration was read from.
    pub at: Option<Identity>,
}

/// What a shell performs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// GET from a source.
    Fetch {
        /// To be completed.
        request: RequestId,
        /// From where.
        source: SourceId,
        /// What.
        target: Target,
        /// More bytes than this are the source's fault: stop and report
        /// [`FetchFailure::TooLong`].
        max_bytes: u64,
        /// When the shell gives up and reports [`FetchFailure::Timeout`].
        deadline: Millis,
    },
    /// Open a line to a source (docs/spec/live.md): a WebSocket of the same path.
    Listen {
        /// To be completed when the line ends.
        request: RequestId,
        /// To whom.
        source: SourceId,
        /// What about.
        target: Target,
        /// A longer message ends the line.
        max_bytes: u64,
    },
    /// Stop a fetch, or hang up; it completes with [`FetchFailure::Cancelled`], or with
    /// [`Input::LineEnded`], where it is not complete yet.
    CancelFetch {
        /// The fetch or the line.
        request: RequestId,
    },
    /// Read rows in one transaction, after every [`Output::Store`] that came before.
    Load {
        /// To be completed.
        request: RequestId,
        /// The rows.
        keys: Vec<StoreKey>,
    },
    /// List the keys of all rows but the state's.
    List {
        /// To be completed.
        request: RequestId,
    },
    /// Write rows in one transaction, after every other that came before. Two may be under way;
    /// each completes by its own request. The engine does not keep what it gives here.
    Store {
        /// To be completed.
        request: RequestId,
        /// What to write and to delete.
        batch: StoreBatch,
    },
    /// Something the caller may want to know.
    Event(Event),
    /// The end of a read.
    Answer {
        /// The read.
        read: ReadId,
        /// The answer, or why there is none.
        answer: Result<Answer, Failure>,
    },
    /// The end of every sync command that was given.
    SyncEnded {
        /// The version that serves reads now, or why there is none.
        result: Result<SyncReport, Failure>,
    },
    /// The end of a [`Command::RollBack`].
    RolledBack {
        /// The version that was asked for.
        version: Version,
        /// Whether it serves reads now, or why nothing changed.
        result: Result<(), Failure>,
    },
    /// Terminal: call `work` with a budget, then poll again.
    Work,
    /// Terminal: feed the next input, or a tick at `until`.
    Wait {
        /// When to tick; `None` waits for an input alone.
        until: Option<Millis>,
        /// What is waited for.
        why: WaitReason,
    },
}

/// What to GET: a path under `/v1/{dataset}/`, and the range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path, percent-encoding not needed.
    pub path: String,
    /// First byte and length, for a `Range` request; the answer must be a 206 of just that.
    pub range: Option<ByteRange>,
}

/// A run of bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// How many bytes; at least 1.
    pub len: u64,
}

/// The key of a row in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKey {
    /// The one record that opening reads: trust, the pinned and the committed version.
    State,
    /// A wire object, byte for byte.
    Object(ObjectKind, WireName),
    /// A single frame of a bundle that is not stored whole, byte for byte.
    Frame(WireName),
    /// How far the audit came; no more than a note, which nothing depends on.
    Audit,
    /// What is remembered of the sources; no more than a note, either.
    Sources,
}

impl StoreKey {
    /// The key as text: `state`, `audit`, `sources`, `frame/{name}` or `{kind}/{name}`.
    pub fn text(&self) -> String {
        match self {
            Self::State => String::from("state"),
            Self::Audit => String::from("audit"),
            Self::Sources => String::from("sources"),
            Self::Object(kind, name) => [kind.as_str(), "/", &name.to_hex()].concat(),
            Self::Frame(name) => ["frame/", &name.to_hex()].concat(),
        }
    }

    /// The wire name in the key; the state has none.
    pub fn name(&self) -> Option<WireName> {
        match self {
            Self::State | Self::Audit | Self::Sources => None,
            Self::Object(_, name) | Self::Frame(name) => Some(*name),
        }
    }

    /// The key of a text that [`Self::text`] gave.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "state" {
            return Some(Self::State);
        }
        if text == "audit" {
            return Some(Self::Audit);
        }
        if text == "sources" {
            return Some(Self::Sources);
        }
        let (kind, name) = text.split_once('/')?;
        let name = WireName::from_hex(name)?;
        match kind {
            "frame" => Some(Self::Frame(name)),
            kind => Some(Self::Object(ObjectKind::from_segment(kind)?, name)),
        }
    }
}

/// One transaction: all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreBatch {
    /// Rows to write, shared with the engine: they are held once, not twice.
    pub puts: Vec<(StoreKey, Rc<Vec<u8>>)>,
    /// Those of them that are, byte for byte, the whole body of a fetch, for a shell that still
    /// has it in a form that costs no copy.
    pub bodies: Vec<(StoreKey, RequestId)>,
    /// Rows to delete.
    pub deletes: Vec<StoreKey>,
    /// True for a commit: it must be on disk when it completes.
    pub durable: bool,
}

/// Why a fetch gave no whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchFailure {
    /// No answer: connection refused, reset, name not found, CORS.
    Network,
    /// The deadline passed.
    Timeout,
    /// An HTTP status other than 200, or 206 for a range.
    Status {
        /// The status.
        status: u16,
        /// Milliseconds of a `Retry-After`.
        retry_after_ms: Option<u64>,
    },
    /// More bytes than `max_bytes`.
    TooLong,
    /// A 200 or a `Content-Range` that is not what a range asked for.
    WrongRange,
    /// Cancelled by the engine, or by the shell going down.
    Cancelled,
}

/// Why a transaction did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// No space: the browser's quota, or a full disk.
    Quota,
    /// The store was deleted, closed or blocked by another version.
    Closed,
    /// Anything else that the store says.
    Io,
}

/// Why the engine waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// Nothing is asked of it.
    Idle,
    /// Nothing is asked of it, and idle time would be used, for merging layers or for the audit:
    /// [`Input::Idle`].
    Upkeep,
    /// For bodies.
    Network,
    /// For the store.
    Store,
    /// Until a source may be asked again.
    Backoff,
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key's value.
    Present {
        /// The value.
        value: Vec<u8>,
        /// The version that was read.
        version: Version,
    },
    /// Proven absent.
    Absent {
        /// The version that was read.
        version: Version,
    },
    /// Not held here, and not to be had now.
    Unknown(UnknownReason),
    /// Records of a range.
    Records {
        /// Keys and values in key order.
        records: Records,
        /// Where the next page starts; `None` at the end of the range.
        next: Option<Vec<u8>>,
        /// The root they were read from.
        root: Identity,
        /// The version that was read.
        version: Version,
    },
    /// A proof.
    Proof {
        /// The value, or `None` where absence is proven.
        value: Option<Vec<u8>>,
        /// The proof that leads to the collection's root (docs/spec/proof.md).
        proof: Vec<u8>,
        /// The same with all that leads on to the trust root: a full proof.
        full: Vec<u8>,
        /// The root it leads to.
        root: Identity,
        /// The version that was read.
        version: Version,
    },
}

/// Records in key order, keys and values one after the other: a page of thousands is two
/// allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Records {
    /// Makes room for so many records, and bytes of keys and values.
    pub(super) fn reserve(&mut self, bytes: usize, records: u64) {
        self.bytes.reserve(bytes);
        self.lengths.reserve(usize::try_from(records).unwrap_or(0) * 2);
    }

    /// Adds a record.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            self.bytes.extend_from_slice(part);
            // Keys and values have bounds far below this.
            self.lengths.push(u32::try_from(part.len()).unwrap_or(u32::MAX));
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lengths.len() / 2
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// All keys and values, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length of each: key, value, key, and so on.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lengths.chunks_exact(2).map(move |pair| {
            let mut part = |len: u32| {
                let (part, after) = rest.split_at(rest.len().min(len as usize));
                rest = after;
                part
            };
            (part(pair[0]), part(pair[1]))
        })
    }
}

/// Why a key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// No verified manifest could be had.
    NoSnapshot,
    /// The collection allows no lazy reads and is not synced that far.
    NotSynced,
    /// No source gave the bytes.
    Unreachable,
}

/// Why a read or a sync ended without its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A check failed, or the caller's own mistake.
    Error(Error),
    /// No source could serve; the last fault of each.
    Sources {
        /// The code of the last fault, such as `peer/hash-mismatch`.
        code: &'static str,
        /// Which source did what with which object.
        detail: String,
    },
    /// The store failed.
    Store(StoreFailure),
    /// The version changed between two pages of a range.
    VersionChanged,
    /// A version that is not held any more.
    VersionGone(Version),
}

impl Failure {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Error(error) => error.code(),
            Self::Sources { code, .. } => code,
            Self::Store(StoreFailure::Quota) => "store/quota",
            Self::Store(StoreFailure::Closed) => "store/closed",
            Self::Store(StoreFailure::Io) => "store/io",
            Self::VersionChanged => "read/version-changed",
            Self::VersionGone(_) => "read/version-gone",
        }
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Sources { detail, .. } => f.write_str(detail),
            Self::Store(StoreFailure::Quota) => f.write_str("the store has no space left"),
            Self::Store(StoreFailure::Closed) => f.write_str("the store was closed"),
            Self::Store(StoreFailure::Io) => f.write_str("the store cannot be written"),
            Self::VersionChanged => {
                f.write_str("a newer version took over during the iteration: start it again")
            }
            Self::VersionGone(version) => {
                write!(f, "version {version} is not held: pin a version that is to be read from")
            }
        }
    }
}
