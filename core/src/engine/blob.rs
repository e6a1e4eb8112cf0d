//! Getting verified bytes by name: from memory, from the store, from the network, in that order.
//!
//! A blob is a small object or one frame. Whoever wants it asks again after it was woken; what
//! comes from the store is checked against its name as if it came from a stranger.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::Error;
use crate::format::layout;
use crate::hash;
use crate::map::Set;
use crate::plan::queue::Class;
use crate::planted::{self, Bug};
use crate::trust::manifest::check_object;
use crate::types::{ObjectKind, ObjectRef, WireName};

use super::io::{ByteRange, Event, Failure, Output, ReadId, StoreKey, Target};
use super::net::{Arriving, Fault, Job, Reach, What};
use super::work::WorkItem;
use super::{Engine, Pending};

/// Bytes of rows that the store is asked for at once: many reads of many bundles must not fill
/// the memory with them.
const LOAD_BYTES: u64 = 4 << 20;

/// What is asked of the store, and what waits until that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    waiting: VecDeque<WireName>,
    bytes: u64,
}

impl Loads {
    /// Rows of so many bytes came.
    pub(super) fn ended(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }
}

/// What to get, and where it can be.
#[derive(Clone, Debug)]
pub(super) enum BlobSpec {
    /// A whole object.
    Object { kind: ObjectKind, object: ObjectRef },
    /// A frame, alone or as a part of its bundle.
    Frame { frame: layout::Frame, bundle: ObjectRef, offset: u64 },
}

impl BlobSpec {
    pub(super) fn name(&self) -> WireName {
        match self {
            Self::Object { object, .. } => object.name,
            Self::Frame { frame, .. } => frame.name,
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Object { object, .. } => object.len,
            Self::Frame { frame, .. } => frame.wire_len.into(),
        }
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Self::Object { kind, object } => {
                Target { path: object_path(*kind, &object.name), range: None }
            }
            Self::Frame { frame, bundle, offset } => Target {
                path: object_path(ObjectKind::Bundle, &bundle.name),
                range: Some(ByteRange { start: *offset, len: frame.wire_len.into() }),
            },
        }
    }

    /// The length of the longest row that can hold it.
    fn row_len(&self) -> u64 {
        match self {
            Self::Object { object, .. } => object.len,
            Self::Frame { bundle, .. } => bundle.len,
        }
    }

    /// The rows that can hold it.
    fn keys(&self) -> Vec<StoreKey> {
        match self {
            Self::Object { kind, object } => vec![StoreKey::Object(*kind, object.name)],
            Self::Frame { frame, bundle, .. } => {
                vec![StoreKey::Frame(frame.name), StoreKey::Object(ObjectKind::Bundle, bundle.name)]
            }
        }
    }

    fn check(&self, bytes: &[u8]) -> bool {
        check_object(&ObjectRef { name: self.name(), len: self.len() }, bytes).is_ok()
    }

    /// The blob's bytes in a row of one of [`Self::keys`].
    fn cut(&self, key: StoreKey, row: &[u8]) -> Option<Vec<u8>> {
        match (self, key) {
            (Self::Frame { frame, offset, .. }, StoreKey::Object(..)) => {
                let start = usize::try_from(*offset).ok()?;
                row.get(start..start.checked_add(frame.wire_len as usize)?).map(<[u8]>::to_vec)
            }
            (Self::Object { .. } | Self::Frame { .. }, _) => Some(row.to_vec()),
        }
    }
}

/// The path of an object under `/v1/{dataset}/`.
pub(super) fn object_path(kind: ObjectKind, name: &WireName) -> String {
    [kind.as_str(), "/", &name.to_hex()].concat()
}

/// A blob on its way.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) spec: BlobSpec,
    pub(super) state: BlobState,
    class: Class,
    /// Whether the network may be asked when the store does not have it.
    network: bool,
    readers: Set<ReadId>,
}

impl Blob {
    pub(super) fn is_riding(&self) -> bool {
        matches!(self.state, BlobState::Riding)
    }

    pub(super) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }
}

#[derive(Clone, Debug)]
pub(super) enum BlobState {
    Loading,
    /// Its bundle is arriving, and the frame is near.
    Riding,
    Fetching,
    Decoding,
    Ready(Rc<Vec<u8>>),
    Failed(Failure),
    NotHere,
}

/// What somebody who wants a blob gets.
#[derive(Clone, Debug)]
pub(super) enum Poll {
    /// Ask again when woken.
    Pending,
    Ready(Rc<Vec<u8>>),
    Failed(Failure),
    /// Not stored, and the network may not be asked.
    NotHere,
}

/// Who wants a blob, and what for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) class: Class,
    pub(super) network: bool,
    pub(super) reader: Option<ReadId>,
}

impl Engine {
    pub(super) fn want(&mut self, spec: &BlobSpec, wish: Wish) -> Poll {
        let name = spec.name();
        if let Some(blob) = self.blobs.get_mut(&name) {
            blob.readers.extend(wish.reader);
            blob.network |= wish.network;
            match &blob.state {
                BlobState::Ready(bytes) => return Poll::Ready(bytes.clone()),
                BlobState::Fetching if wish.class < blob.class => {
                    blob.class = wish.class;
                    self.net.queue.raise(wish.class, |job| job.is_blob(&name));
                    return Poll::Pending;
                }
                BlobState::Loading
                | BlobState::Riding
                | BlobState::Fetching
                | BlobState::Decoding => return Poll::Pending,
                BlobState::Failed(failure) => {
                    let failure = failure.clone();
                    self.blobs.remove(&name);
                    return Poll::Failed(failure);
                }
                BlobState::NotHere if !wish.network => {
                    self.blobs.remove(&name);
                    return Poll::NotHere;
                }
                BlobState::NotHere => {
                    self.blobs.remove(&name);
                }
            }
        }
        self.begin(spec, wish)
    }

    fn begin(&mut self, spec: &BlobSpec, wish: Wish) -> Poll {
        let name = spec.name();
        let mut blob = Blob {
            spec: spec.clone(),
            state: BlobState::Fetching,
            class: wish.class,
            network: wish.network,
            readers: wish.reader.into_iter().collect(),
        };
        if let Some((bytes, inlined)) = self.in_memory(spec) {
            let bytes = Rc::new(bytes);
            blob.state = BlobState::Ready(bytes.clone());
            if inlined {
                self.keep(spec, &bytes);
            }
            self.blobs.insert(name, blob);
            return Poll::Ready(bytes);
        }
        if !self.keys_to_load(spec).is_empty() {
            blob.state = BlobState::Loading;
            self.loads.waiting.push_back(name);
        } else {
            blob.state = self.ride_or_fetch(spec, wish.class, wish.network);
            match &blob.state {
                BlobState::NotHere => return Poll::NotHere,
                BlobState::Ready(bytes) => {
                    let bytes = bytes.clone();
                    self.blobs.insert(name, blob);
                    return Poll::Ready(bytes);
                }
                BlobState::Loading
                | BlobState::Riding
                | BlobState::Fetching
                | BlobState::Decoding
                | BlobState::Failed(_) => {}
            }
        }
        self.blobs.insert(name, blob);
        Poll::Pending
    }

    fn keys_to_load(&self, spec: &BlobSpec) -> Vec<StoreKey> {
        spec.keys().into_iter().filter(|key| self.store.may_have(key)).collect()
    }

    /// Asks the store for what waits, as far as there is room; whether any of it is here already.
    pub(super) fn start_loads(&mut self) -> bool {
        let (mut found_any, mut coming) = (false, Vec::new());
        while let Some(name) = self.loads.waiting.pop_front() {
            let waits = |blob: &&Blob| matches!(blob.state, BlobState::Loading);
            let Some(blob) = self.blobs.get(&name).filter(waits) else { continue };
            let spec = blob.spec.clone();
            let bytes = spec.row_len();
            // A load before this one may have brought the same bundle.
            if let Some((found, _)) = self.in_memory(&spec) {
                self.blob_ready(name, Rc::new(found));
                found_any = true;
                continue;
            }
            // Its bundle comes without being asked for again.
            if matches!(&spec, BlobSpec::Frame { bundle, .. } if self.ahead == Some(bundle.name)) {
                coming.push(name);
                continue;
            }
            if self.loads.bytes > 0 && self.loads.bytes + bytes > LOAD_BYTES {
                self.loads.waiting.push_front(name);
                break;
            }
            self.loads.bytes += bytes;
            let keys = self.keys_to_load(&spec);
            let request = self.request(Pending::Blob { name, keys: keys.clone(), bytes });
            self.outputs.push_back(Output::Load { request, keys });
        }
        self.loads.waiting.extend(coming);
        found_any
    }

    /// What is not stored: a frame at hand in a bundle that is arriving, or about to be fetched, is
    /// awaited; anything else is asked for where the network may be asked.
    fn ride_or_fetch(&mut self, spec: &BlobSpec, class: Class, network: bool) -> BlobState {
        if let BlobSpec::Frame { frame, bundle, offset } = spec {
            let end = offset + u64::from(frame.wire_len);
            match self.net.arriving(&bundle.name, *offset, end) {
                Some(Arriving::Verified(bytes)) => return BlobState::Ready(Rc::new(bytes)),
                Some(Arriving::Soon) => {
                    self.net.queue.raise(class, |job| job.is_bundle(&bundle.name));
                    return BlobState::Riding;
                }
                None => {}
            }
        }
        let what = What::Blob(spec.clone());
        let job = match (network, &self.seed) {
            (true, _) => Job::new(what),
            // What came with the application tells nobody what is read.
            (false, Some(_)) => Job::within(what, Reach::Seed),
            (false, None) => return BlobState::NotHere,
        };
        self.read_seed(class);
        self.net.queue.push(class, job);
        BlobState::Fetching
    }

    /// A bundle's fetch ended early: frames that waited for it are asked for by themselves.
    pub(super) fn unseat_riders(&mut self, bundle: &WireName) {
        let riding = |blob: &Blob| {
            let of = matches!(&blob.spec, BlobSpec::Frame { bundle: b, .. } if b.name == *bundle);
            of && matches!(blob.state, BlobState::Riding)
        };
        let riders: Vec<WireName> =
            self.blobs.iter().filter(|(_, blob)| riding(blob)).map(|(name, _)| *name).collect();
        for name in riders {
            self.blob_missing(name);
        }
    }

    /// The blob's bytes where they are in memory, and whether they came with the bootstrap.
    fn in_memory(&mut self, spec: &BlobSpec) -> Option<(Vec<u8>, bool)> {
        for key in spec.keys() {
            let Some(name) = key.name() else { continue };
            let (row, inlined) = match self.store.waiting(&key) {
                Some(row) => (Some(row), false),
                None => match self.bundles.fetch(name) {
                    Some(row) => (Some(row), false),
                    None => (self.inline.get(&name).cloned(), true),
                },
            };
            let found = row.and_then(|row| spec.cut(key, &row)).filter(|bytes| spec.check(bytes));
            if let Some(bytes) = found {
                return Some((bytes, inlined));
            }
        }
        None
    }

    /// Rows came from the store: check them, in `work`.
    #[inline(never)]
    pub(super) fn check_loaded(
        &mut self,
        name: WireName,
        keys: &[StoreKey],
        rows: Vec<Option<Vec<u8>>>,
    ) {
        let Some(blob) = self.blobs.get(&name) else { return };
        let spec = blob.spec.clone();
        let mut found = None;
        for (key, row) in keys.iter().zip(rows) {
            let Some(row) = row else {
                self.store.forget(key);
                continue;
            };
            let row = Rc::new(row);
            match spec.cut(*key, &row).filter(|bytes| spec.check(bytes)) {
                Some(bytes) => {
                    if let (BlobSpec::Frame { bundle, .. }, StoreKey::Object(..)) = (&spec, key) {
                        self.cache_bundle(bundle.name, row);
                    }
                    found = Some(bytes);
                    break;
                }
                None => {
                    self.store.forget(key);
                    self.event(Event::Damaged { key: *key });
                }
            }
        }
        match found {
            Some(bytes) => self.blob_ready(name, Rc::new(bytes)),
            None => self.blob_missing(name),
        }
    }

    fn blob_missing(&mut self, name: WireName) {
        let Some(blob) = self.blobs.get(&name) else { return };
        let (spec, class, network) = (blob.spec.clone(), blob.class, blob.network);
        match self.ride_or_fetch(&spec, class, network) {
            state @ (BlobState::Ready(_) | BlobState::NotHere) => self.settle(name, state),
            state @ (BlobState::Loading
            | BlobState::Riding
            | BlobState::Fetching
            | BlobState::Decoding
            | BlobState::Failed(_)) => {
                if let Some(blob) = self.blobs.get_mut(&name) {
                    blob.state = state;
                }
            }
        }
    }

    /// Verified bytes came from the network: keep them, and wake who wants them.
    pub(super) fn blob_fetched(&mut self, spec: &BlobSpec, bytes: Vec<u8>) {
        let bytes = Rc::new(bytes);
        self.keep(spec, &bytes);
        self.blob_ready(spec.name(), bytes);
    }

    pub(super) fn blob_ready(&mut self, name: WireName, bytes: Rc<Vec<u8>>) {
        self.settle(name, BlobState::Ready(bytes));
    }

    pub(super) fn blob_failed(&mut self, name: WireName, failure: Failure) {
        self.settle(name, BlobState::Failed(failure));
    }

    pub(super) fn blob_not_here(&mut self, name: WireName) {
        self.settle(name, BlobState::NotHere);
    }

    fn settle(&mut self, name: WireName, state: BlobState) {
        if let Some(blob) = self.blobs.get_mut(&name) {
            blob.state = state;
            self.ready_reads.extend(core::mem::take(&mut blob.readers));
        }
    }

    /// Whoever consumed a blob says so; its bytes are dropped.
    pub(super) fn drop_blob(&mut self, name: &WireName) {
        if let Some(blob) = self.blobs.remove(name) {
            self.ready_reads.extend(blob.readers);
        }
    }

    /// Moves a ready frame on to be decoded, in `work`.
    pub(super) fn decode_later(&mut self, name: WireName, item: WorkItem, class: Class) {
        if let Some(blob) = self.blobs.get_mut(&name) {
            blob.state = BlobState::Decoding;
            self.work.push_as(class, item);
        }
    }

    pub(super) fn wait_for(&mut self, name: &WireName, reader: ReadId) {
        if let Some(blob) = self.blobs.get_mut(name) {
            blob.readers.insert(reader);
        }
    }

    /// Queues verified bytes for the store. Manifests and directories live in the state record.
    fn keep(&mut self, spec: &BlobSpec, bytes: &Rc<Vec<u8>>) {
        let key = match spec {
            BlobSpec::Object { kind: ObjectKind::Manifest, .. } => return,
            BlobSpec::Object { object, .. } if self.is_directory(&object.name) => return,
            BlobSpec::Object { kind, object } => StoreKey::Object(*kind, object.name),
            BlobSpec::Frame { frame, .. } => StoreKey::Frame(frame.name),
        };
        self.store.put(key, bytes.clone());
    }
}

/// Checks one frame of a bundle as it comes in.
pub(super) fn frame_holds(frame: &layout::Frame, bytes: &[u8]) -> bool {
    hash::wire_name(bytes) == frame.name
}

/// A layout that does not lead to its root is the publisher's fault, and is told apart.
pub(super) fn is_layout_mismatch(error: &Error) -> bool {
    matches!(error, Error::Trust(crate::error::TrustError::LayoutMismatch) | Error::Format(_))
}

impl BlobSpec {
    /// Whether a body is the blob, or what its source is to be blamed for.
    pub(super) fn verdict(&self, body: &[u8]) -> Result<(), Fault> {
        if (body.len() as u64) < self.len() {
            Err(Fault::truncated())
        } else if self.check(body) || planted::is(Bug::ObjectUnhashed) {
            Ok(())
        } else {
            Err(Fault::lie("peer/hash-mismatch", "the bytes are not those that are named"))
        }
    }
}
