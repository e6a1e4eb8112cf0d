//! What the engine tells: events, how far a sync and the audit are, the state in full.
//!
//! A part of [`super::io`], which has it under its own name.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::format::manifest::Params;
use crate::plan::histogram::Histogram;
use crate::plan::sources::SourceStatus;
use crate::trust::freshness::Freshness;
use crate::types::{Identity, Version};

use super::changes::Changes;
use super::io::StoreKey;
use super::standing::{Cause, Condition};

/// What a sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// The version that serves reads now.
    pub version: Version,
    /// Whether this sync brought it.
    pub changed: bool,
    /// Body bytes that arrived during the sync.
    pub bytes_fetched: u64,
    /// Requests that were made during the sync.
    pub requests: u64,
    /// The longest chain of them, each possible only when the one before had ended.
    pub round_trips: u64,
    /// Bundles that were stored before the sync began.
    pub bundles_reused: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Where a sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing runs.
    Idle,
    /// Checkpoint, trust root and proofs.
    Trust,
    /// Manifest, layouts and the priority-0 collections.
    Bootstrap,
    /// The other collections by priority.
    Collections,
    /// The transaction that makes the version visible.
    Commit,
    /// The newest version known is stored and serves reads.
    Complete,
    /// The sync ended with an error; what was stored stays.
    Failed,
}

/// Something the caller may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A sync's phase changed.
    Phase {
        /// The phase.
        phase: Phase,
        /// The version it is about, once known.
        version: Option<Version>,
    },
    /// A sync went on.
    Progress(Progress),
    /// A bundle's state changed.
    Bundle {
        /// The collection.
        collection: String,
        /// Which of its bundles, in key order.
        index: u64,
        /// How many it has.
        total: u64,
        /// The state.
        state: BundleState,
    },
    /// A version came so far, and will not fall behind it.
    Milestone {
        /// How far.
        milestone: Milestone,
        /// The version.
        version: Version,
    },
    /// Something stands in a sync's way, or does so no more.
    Condition {
        /// What.
        condition: Condition,
        /// Whether it does now.
        holds: bool,
        /// Where it comes from.
        cause: Cause,
        /// Milliseconds that the rest will take, where that tells it.
        eta_ms: Option<u64>,
    },
    /// A source misbehaved or failed.
    Fault {
        /// The source's name.
        source: String,
        /// A stable code, such as `peer/hash-mismatch` or `trust/bad-signature`.
        code: &'static str,
        /// The object's path under `/v1/{dataset}/`.
        object: String,
        /// For people.
        detail: String,
    },
    /// A row of the local store is damaged; it counts as missing.
    Damaged {
        /// The row.
        key: StoreKey,
    },
    /// Verified objects that do not lead to the signed root: the publisher's own fault.
    LayoutMismatch(Mismatch),
    /// By which road a collection of a new version comes.
    Road {
        /// The collection.
        collection: String,
        /// The road.
        road: Road,
        /// Why not another one.
        why: Why,
    },
    /// A delta does not lead where it says, so the collection comes by its base.
    DeltaRefused {
        /// The collection.
        collection: String,
        /// The version that it starts from.
        from: Version,
        /// That version's root.
        from_root: Identity,
        /// The root that it should lead to.
        to_root: Identity,
        /// A stable code, such as `delta/wrong-root`.
        code: &'static str,
    },
    /// Another version of a collection serves reads than before.
    Changed(Changes),
    /// The audit went on by a bundle.
    Audit(AuditStatus),
    /// What serves reads has another level of age than before. It is noticed with the next input
    /// or tick: no timer runs for it.
    Freshness(Freshness),
    /// A source is listened to that greeted, or is no more: then its versions are asked for.
    Live {
        /// The source's name.
        source: String,
        /// Whether it is heard.
        heard: bool,
    },
    /// The state in full, asked for by [`Command::Status`](super::io::Command::Status).
    Status(Box<Status>),
}

/// How far a version came: each is told once, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// Its manifest is proven to be the newest's; lazy reads are answered from it, where nothing
    /// older serves.
    Trusted,
    /// All collections of priority 0 are stored, verified.
    Bootstrap,
    /// This collection is stored, verified.
    Collection(String),
    /// All are, and it serves reads, which need no network any more.
    Complete,
}

/// How a collection of a new version comes home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Its content is what is held.
    Keep,
    /// By the manifest's delta of this number, from what is held.
    Delta(usize),
    /// By the base's bundles, as far as they are not held, and the overlay over them.
    Base,
}

/// Why a collection comes by its road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is held.
    Held,
    /// No other leads there.
    Only,
    /// What lies over the base that is held has become too much.
    Outgrown,
    /// It has fewer bytes.
    Bytes,
    /// It takes less time, by what sources gave and deltas took.
    Time,
}

impl Why {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Only => "only",
            Self::Outgrown => "outgrown",
            Self::Bytes => "bytes",
            Self::Time => "time",
        }
    }
}

/// A verified object that does not lead to the signed root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The collection.
    pub collection: String,
    /// The object's path under `/v1/{dataset}/`.
    pub object: String,
    /// Which of a bundle's frames.
    pub frame: Option<u64>,
}

/// How much of a stored version was audited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Whether all of it was, and delivers the signed roots.
    pub audited: bool,
    /// Bundles that were decoded and compared, and frames under layers that were put together.
    pub bundles_done: u64,
    /// Bundles in all, and frames of collections under layers.
    pub bundles_total: u64,
    /// What was found: the first places of each collection, by reads as well.
    pub mismatches: Vec<Mismatch>,
}

/// How much an engine has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Requests that wait for a place.
    pub queued: usize,
    /// Requests under way.
    pub fetching: usize,
    /// Bytes that these may still give.
    pub in_flight_bytes: u64,
    /// Bytes that are verified and wait for a transaction.
    pub waiting_bytes: u64,
    /// Bytes in transactions under way.
    pub writing_bytes: u64,
}

/// How far a sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes verified, those that were stored before among them.
    pub bytes_done: u64,
    /// Bytes of all bundles and dictionaries.
    pub bytes_total: u64,
    /// Bundles stored.
    pub bundles_done: u64,
    /// Bundles in all.
    pub bundles_total: u64,
    /// Bytes a second over the last seconds.
    pub rate: u64,
    /// Milliseconds left at that rate.
    pub eta_ms: Option<u64>,
}

/// A bundle's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleState {
    /// On its way.
    Fetching,
    /// Verified and stored.
    Stored,
}

/// The state in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where the sync stands.
    pub phase: Phase,
    /// The version that serves reads.
    pub version: Option<Version>,
    /// Whether that version is stored whole.
    pub stored: bool,
    /// Whether what is stored was compared with the signed roots.
    pub audit: AuditStatus,
    /// How old it is.
    pub freshness: Freshness,
    /// Its collections.
    pub collections: Vec<CollectionStatus>,
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// Body bytes since the engine was made.
    pub bytes_fetched: u64,
    /// Requests since the engine was made.
    pub requests: u64,
    /// Versions that are kept beside the one that serves reads, the newest first.
    pub kept: Vec<Version>,
    /// What deltas cost and brought since the engine was made.
    pub deltas: DeltaStatus,
    /// Plain bytes of the frames and dictionaries that reads had decoded since the engine was made.
    pub decoded_bytes: u64,
    /// How long things took since the engine was made.
    pub timings: Timings,
}

/// How long things took since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From a request to its first bytes.
    pub answers: Histogram,
    /// From a request to its last byte, verified.
    pub transfers: Histogram,
    /// From a transaction's begin to its end.
    pub transactions: Histogram,
    /// From a read to its answer.
    pub reads: Histogram,
}

/// What deltas cost and brought since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeltaStatus {
    /// Bytes of segments that were opened.
    pub bytes: u64,
    /// Operations that were applied.
    pub operations: u64,
    /// Bytes of layers that were written, merging included.
    pub bytes_written: u64,
    /// Plain bytes of frames that were put together from layers.
    pub composed_bytes: u64,
}

/// A collection's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionStatus {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u8,
    /// Whether it allows lazy reads.
    pub lazy: bool,
    /// How its tree is cut.
    pub params: Params,
    /// Records in all.
    pub records: u64,
    /// The signed root.
    pub root: Identity,
    /// Canonical bytes of its leaves.
    pub plain_bytes: u64,
    /// Bytes of its bundles on the wire.
    pub wire_bytes: u64,
    /// Layers over the base.
    pub layers: u64,
    /// Bytes of their entries, as far as they are known.
    pub layer_bytes: u64,
    /// How many bundles.
    pub bundles: u64,
    /// How many of them are stored.
    pub bundles_stored: u64,
    /// Single frames that lazy reads stored.
    pub frames_stored: u64,
    /// Whether all is stored.
    pub complete: bool,
}
