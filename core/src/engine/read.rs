//! Reads: from the committed version, or from the pinned one while nothing is committed.
//!
//! A read names what it lacks (a page, the dictionary, a frame), is woken when that came, and
//! looks again. Every answer comes out of a frame that was decoded and checked up to the signed
//! root. What is not stored is fetched only where the collection allows lazy reads: asking tells
//! the edge which frame somebody wants.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Misuse};
use crate::format::manifest::Collection;
use crate::limits::MAX_KEY_LEN;
use crate::plan::queue::Class;
use crate::tree::index::{FrameId, Located};
use crate::tree::proof;
use crate::tree::verify::VerifiedFrame;
use crate::trust::proof::FullProof;
use crate::types::{Identity, ObjectKind, ObjectRef, Version, WireName};

use super::blob::{BlobSpec, Poll, Wish};
use super::head::HeadTask;
use super::io::{Answer, Failure, Output, RangeQuery, ReadId, Records, StoreKey, UnknownReason};
use super::snapshot::Snapshot;
use super::work::{DecodeJob, WorkItem};
use super::{Engine, Pending};

/// Bytes of records that one page of a range answers at most, one record over it.
const RANGE_BYTES: usize = 1 << 20;

const NO_SNAPSHOT: Failure = Failure::Error(Error::Misuse(Misuse::NoSnapshot));

/// A read under way.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Get { collection: String, key: Vec<u8> },
    Range(RangeQuery),
    Prove { collection: String, key: Vec<u8> },
}

impl Read {
    fn collection(&self) -> &str {
        match self {
            Self::Get { collection, .. } | Self::Prove { collection, .. } => collection,
            Self::Range(range) => &range.collection,
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Self::Get { key, .. } | Self::Prove { key, .. } => key,
            Self::Range(range) => &range.start,
        }
    }
}

/// How far a read came.
enum Step<T> {
    /// It goes on when it is woken.
    Waits,
    Done(T),
}

/// What a read needs to know of its collection.
struct Place {
    at: usize,
    lazy: bool,
    version: Version,
    root: Identity,
}

/// A frame found for a key, or what stands in its place.
enum Found {
    Frame(FrameId, Rc<VerifiedFrame>),
    /// The collection is empty.
    Empty,
    Unknown(UnknownReason),
}

impl Engine {
    pub(super) fn start_read(&mut self, id: ReadId, read: Read) {
        if read.key().len() > MAX_KEY_LEN {
            return self.answer(id, Err(Failure::Error(Misuse::KeyTooLong.into())));
        }
        if self.reads.is_empty() && self.sync.is_none() && matches!(self.head, HeadTask::Failed(_))
        {
            // Whoever asks again gets another try.
            self.head = HeadTask::Idle;
        }
        self.reads.insert(id, read);
        self.ready_reads.push_back(id);
    }

    pub(super) fn cancel_read(&mut self, id: ReadId) {
        if self.reads.remove(&id).is_some() {
            self.answer(id, Err(Failure::Error(Misuse::Aborted.into())));
        }
    }

    pub(super) fn wake_all_reads(&mut self) {
        self.ready_reads.extend(self.reads.keys().copied());
    }

    /// Goes on with every read that was woken.
    pub(super) fn step_reads(&mut self) {
        while let Some(id) = self.ready_reads.pop_front() {
            let Some(read) = self.reads.get(&id).cloned() else { continue };
            match self.step_read(id, &read) {
                Ok(Step::Waits) => {}
                Ok(Step::Done(answer)) => self.finish_read(id, Ok(answer)),
                Err(failure) => self.finish_read(id, Err(failure)),
            }
        }
    }

    fn finish_read(&mut self, id: ReadId, answer: Result<Answer, Failure>) {
        self.reads.remove(&id);
        self.answer(id, answer);
    }

    fn answer(&mut self, read: ReadId, answer: Result<Answer, Failure>) {
        self.outputs.push_back(Output::Answer { read, answer });
    }

    fn step_read(&mut self, id: ReadId, read: &Read) -> Result<Step<Answer>, Failure> {
        if self.serving().is_none() {
            return Ok(match &self.head {
                HeadTask::Failed(_) => Step::Done(Answer::Unknown(UnknownReason::NoSnapshot)),
                HeadTask::Idle
                | HeadTask::Asking
                | HeadTask::Proving { .. }
                | HeadTask::Adopting(_) => {
                    self.start_head(Class::Read);
                    Step::Waits
                }
            });
        }
        self.check_expired()?;
        let place = self.place(read.collection())?;
        if let Read::Range(range) = read
            && range.at.is_some_and(|root| root != place.root)
        {
            return Err(Failure::VersionChanged);
        }
        match self.find_frame(id, &place, read.key())? {
            Step::Waits => Ok(Step::Waits),
            Step::Done(Found::Unknown(reason)) => Ok(Step::Done(Answer::Unknown(reason))),
            Step::Done(Found::Empty) => self.answer_empty(read, &place).map(Step::Done),
            Step::Done(Found::Frame(frame_id, frame)) => {
                self.answer_from(read, &place, frame_id, &frame).map(Step::Done)
            }
        }
    }

    /// The version that serves reads.
    pub(super) fn serving(&self) -> Option<&Snapshot> {
        self.committed.as_ref().or(self.target.as_ref())
    }

    fn serving_mut(&mut self) -> Option<&mut Snapshot> {
        self.committed.as_mut().or(self.target.as_mut())
    }

    fn place(&self, name: &str) -> Result<Place, Failure> {
        let misuse = |misuse: Misuse| Failure::Error(misuse.into());
        let serving = self.serving().ok_or(misuse(Misuse::NoSnapshot))?;
        let (at, collection) = serving.collection(name).ok_or(misuse(Misuse::UnknownCollection))?;
        let (lazy, root) = (collection.lazy, collection.tree.root);
        Ok(Place { at, lazy, version: serving.manifest.version, root })
    }

    fn part(&self, at: usize) -> Option<(&Collection, &super::snapshot::Shelf)> {
        let serving = self.serving()?;
        Some((serving.manifest.collections.get(at)?, serving.shelves.get(at)?))
    }

    /// The decoded frame that a key belongs to.
    fn find_frame(
        &mut self,
        id: ReadId,
        place: &Place,
        key: &[u8],
    ) -> Result<Step<Found>, Failure> {
        loop {
            let Some((_, shelf)) = self.part(place.at) else {
                return Err(Failure::Error(Misuse::UnknownCollection.into()));
            };
            match shelf.index.locate(key) {
                None => return Ok(Step::Done(Found::Empty)),
                Some(Located::Frame(frame)) => return self.decoded(id, place, frame),
                Some(Located::Page(page)) => match self.read_page(id, place, page)? {
                    None => {}
                    Some(step) => return Ok(step),
                },
            }
        }
    }

    /// Brings a page into the index; `None` once it is there.
    fn read_page(
        &mut self,
        id: ReadId,
        place: &Place,
        page: u32,
    ) -> Result<Option<Step<Found>>, Failure> {
        let Some(object) = self.part(place.at).and_then(|(_, shelf)| shelf.index.page(page)) else {
            return Ok(Some(Step::Done(Found::Empty)));
        };
        let object = object.object;
        // The dictionary will be needed as well: both are asked for at once.
        self.read_dictionary(id, place)?;
        let spec = BlobSpec::Object { kind: ObjectKind::Layout, object };
        match ready(self.want(&spec, self.read_wish(id, place)))? {
            Ok(bytes) => {
                if let Some(serving) = self.serving_mut() {
                    let added = serving.add_page(place.at, page, &bytes);
                    if let Err(error) = added {
                        self.belied(place.at, ObjectKind::Layout, object.name, None);
                        return Err(Failure::Error(error));
                    }
                }
                self.drop_blob(&object.name);
                Ok(None)
            }
            Err(step) => Ok(Some(step)),
        }
    }

    fn read_wish(&self, id: ReadId, place: &Place) -> Wish {
        Wish { class: Class::Read, network: place.lazy, reader: Some(id) }
    }

    /// Brings the collection's dictionary into the decoder; `None` once it is there.
    fn read_dictionary(
        &mut self,
        id: ReadId,
        place: &Place,
    ) -> Result<Option<Step<Found>>, Failure> {
        let dictionary = self.part(place.at).and_then(|(c, _)| c.base.dictionary);
        let Some(dictionary) = dictionary else { return Ok(None) };
        let object: ObjectRef = dictionary.object;
        if self.decoder.has_dictionary(&object.name) {
            return Ok(None);
        }
        let spec = BlobSpec::Object { kind: ObjectKind::Dictionary, object };
        match ready(self.want(&spec, self.read_wish(id, place)))? {
            Ok(bytes) => {
                let installed =
                    self.decoder.install_dictionary(object.name, &bytes, dictionary.plain_len);
                if let Err(error) = installed {
                    self.belied(place.at, ObjectKind::Dictionary, object.name, None);
                    return Err(Failure::Error(error));
                }
                self.decoded_bytes += u64::from(dictionary.plain_len);
                self.drop_blob(&object.name);
                Ok(None)
            }
            Err(step) => Ok(Some(step)),
        }
    }

    fn decoded(
        &mut self,
        id: ReadId,
        place: &Place,
        frame_id: FrameId,
    ) -> Result<Step<Found>, Failure> {
        let Some((collection, shelf)) = self.part(place.at) else {
            return Err(Failure::Error(Misuse::UnknownCollection.into()));
        };
        let Some(info) = shelf.index.frame(frame_id) else {
            return Ok(Step::Done(Found::Empty));
        };
        let identity = info.child.identity;
        let spec = BlobSpec::Frame {
            frame: info.wire,
            bundle: ObjectRef { name: info.bundle.name, len: info.bundle.len },
            offset: info.offset,
        };
        let mut job = DecodeJob::of(collection, &info);
        job.at = place.at;
        job.number = frame_id.frame.saturating_sub(info.bundle.first_frame.frame).into();
        if let Some(frame) = self.frames.fetch(identity) {
            return Ok(Step::Done(Found::Frame(frame_id, frame)));
        }
        let wish = self.read_wish(id, place);
        let dictionary = self.read_dictionary(id, place)?;
        let bytes = match ready(self.want(&spec, wish))? {
            Ok(bytes) => bytes,
            Err(step) => return Ok(step),
        };
        if let Some(step) = dictionary {
            return Ok(step);
        }
        job.wire = bytes;
        let name = spec.name();
        self.decode_later(name, WorkItem::Decode(job));
        self.wait_for(&name, id);
        Ok(Step::Waits)
    }

    fn answer_from(
        &mut self,
        read: &Read,
        place: &Place,
        id: FrameId,
        frame: &VerifiedFrame,
    ) -> Result<Answer, Failure> {
        let version = place.version;
        match read {
            Read::Get { key, .. } => Ok(match frame.get(key) {
                Some(value) => Answer::Present { value: value.to_vec(), version },
                None => Answer::Absent { version },
            }),
            Read::Range(range) => {
                self.load_ahead(place, id);
                Ok(self.records(range, place, id, frame))
            }
            Read::Prove { key, .. } => {
                let (_, shelf) = self.part(place.at).ok_or(NO_SNAPSHOT)?;
                let proof = proof::prove(&shelf.index, id, frame, key).map_err(Failure::Error)?;
                self.proven(place, key, frame.get(key), proof)
            }
        }
    }

    /// The answer of an empty collection.
    fn answer_empty(&self, read: &Read, place: &Place) -> Result<Answer, Failure> {
        match read {
            Read::Get { .. } => Ok(Answer::Absent { version: place.version }),
            Read::Range(_) => Ok(answer_records(Records::default(), None, place)),
            Read::Prove { key, .. } => self.proven(place, key, None, proof::prove_empty()),
        }
    }

    /// A record proof, and what leads on from it to the trust root.
    fn proven(
        &self,
        place: &Place,
        key: &[u8],
        value: Option<&[u8]>,
        proof: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let serving = self.serving().ok_or(NO_SNAPSHOT)?;
        let (collection, _) = self.part(place.at).ok_or(NO_SNAPSHOT)?;
        let manifest = &serving.record.manifest;
        let full = FullProof::new(&serving.trust, manifest, &collection.name, key, &proof);
        Ok(Answer::Proof {
            value: value.map(<[u8]>::to_vec),
            full: full.ok_or(NO_SNAPSHOT)?.encode(),
            proof,
            root: place.root,
            version: place.version,
        })
    }

    /// Whoever reads a range goes on with the next bundle: its row is loaded while the frames of
    /// this one are decoded. What comes is checked when a frame of it is wanted.
    fn load_ahead(&mut self, place: &Place, id: FrameId) {
        let next = self.part(place.at).and_then(|(_, shelf)| {
            let here = shelf.index.frame(id)?.bundle.ordinal;
            shelf.index.bundle(here + 1).map(|bundle| bundle.name)
        });
        let Some(name) = next else { return };
        let key = StoreKey::Object(ObjectKind::Bundle, name);
        // One at a time: many ranges at once must not fill the memory.
        let here = self.bundles.holds(name) || self.ahead.is_some();
        if !here && self.store.may_have(&key) && self.store.unstored(&key).is_none() {
            self.ahead = Some(name);
            let request = self.request(Pending::Ahead(name));
            self.outputs.push_back(Output::Load { request, keys: alloc::vec![key] });
        }
    }

    /// A bundle came before it was wanted. One that is missing or damaged is found out when a
    /// frame of it is wanted.
    pub(super) fn loaded_ahead(&mut self, name: WireName, row: Option<Vec<u8>>) {
        self.ahead = None;
        if let Some(row) = row {
            let len = row.len();
            self.bundles.insert(name, Rc::new(row), len);
        }
    }

    /// A range's records out of one frame.
    fn records(
        &self,
        range: &RangeQuery,
        place: &Place,
        id: FrameId,
        frame: &VerifiedFrame,
    ) -> Answer {
        let mut records = Records::default();
        let within = |key: &[u8]| range.end.as_deref().is_none_or(|end| key < end);
        let (mut next, mut over) = (None, false);
        frame.visit_from(&range.start, &mut |key, value| {
            over = !within(key);
            if over {
                return false;
            }
            if records.len() >= range.limit || records.bytes().len() >= RANGE_BYTES {
                next = Some(key.to_vec());
                return false;
            }
            records.push(key, value);
            true
        });
        if next.is_none() && !over {
            let upper = self
                .part(place.at)
                .and_then(|(_, shelf)| shelf.index.frame(id)?.upper.map(<[u8]>::to_vec));
            next = upper.filter(|key| within(key));
        }
        answer_records(records, next, place)
    }
}

fn answer_records(records: Records, next: Option<Vec<u8>>, place: &Place) -> Answer {
    Answer::Records { records, next, root: place.root, version: place.version }
}

/// A blob's bytes, or what the read that lacks them does next.
fn ready(poll: Poll) -> Result<Result<Rc<Vec<u8>>, Step<Found>>, Failure> {
    Ok(match poll {
        Poll::Ready(bytes) => Ok(bytes),
        Poll::Pending => Err(Step::Waits),
        Poll::NotHere => Err(Step::Done(Found::Unknown(UnknownReason::NotSynced))),
        Poll::Failed(Failure::Sources { .. }) => {
            Err(Step::Done(Found::Unknown(UnknownReason::Unreachable)))
        }
        Poll::Failed(failure) => return Err(failure),
    })
}
