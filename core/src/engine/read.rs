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
use crate::planted::{self, Bug};
use crate::tree::proof;
use crate::tree::verify::VerifiedFrame;
use crate::tree::view::Spot;
use crate::trust::proof::FullProof;
use crate::types::{Identity, Millis, ObjectKind, Version, WireName};

use super::blob::Wish;
use super::frames::{Got, Lack, Part, Which};
use super::head::HeadTask;
use super::io::{Answer, Failure, Output, RangeQuery, ReadId, Records, StoreKey, UnknownReason};
use super::snapshot::{Shelf, Snapshot};
use super::{Engine, Pending};

/// Bytes of records that one page of a range answers at most, one record over it.
const RANGE_BYTES: usize = 1 << 20;

const NO_SNAPSHOT: Failure = Failure::Error(Error::Misuse(Misuse::NoSnapshot));

/// A read under way.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The version to read from; the one that serves, where none is named.
    pub(super) version: Option<Version>,
    pub(super) what: What,
    /// When it came.
    pub(super) since: Millis,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Get { collection: String, key: Vec<u8> },
    Range(RangeQuery),
    Prove { collection: String, key: Vec<u8> },
}

impl Read {
    fn collection(&self) -> &str {
        match &self.what {
            What::Get { collection, .. } | What::Prove { collection, .. } => collection,
            What::Range(range) => &range.collection,
        }
    }

    fn key(&self) -> &[u8] {
        match &self.what {
            What::Get { key, .. } | What::Prove { key, .. } => key,
            What::Range(range) => &range.start,
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
    part: Part,
    lazy: bool,
    version: Version,
    root: Identity,
}

/// A frame found for a key, or what stands in its place.
enum Found {
    Frame(Spot, Rc<VerifiedFrame>),
    /// The collection is empty.
    Empty,
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
    pub(super) fn step_reads(&mut self, now: Millis) {
        while let Some(id) = self.ready_reads.pop_front() {
            let Some(read) = self.reads.get(&id).cloned() else { continue };
            match self.step_read(id, &read) {
                Ok(Step::Waits) => {}
                Ok(Step::Done(answer)) => self.finish_read(id, Ok(answer), now),
                Err(failure) => self.finish_read(id, Err(failure), now),
            }
        }
    }

    fn finish_read(&mut self, id: ReadId, answer: Result<Answer, Failure>, now: Millis) {
        if let Some(read) = self.reads.remove(&id) {
            self.timings.reads.add(now.since(read.since));
        }
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
        let place = self.place(read)?;
        if let What::Range(range) = &read.what
            && range.at.is_some_and(|root| root != place.root)
        {
            return Err(Failure::VersionChanged);
        }
        match self.find_frame(id, &place, read.key()) {
            Err(Lack::Unknown(_)) if planted::is(Bug::AbsentUnproven) => {
                self.answer_empty(read, &place).map(Step::Done)
            }
            Err(Lack::Waits) => Ok(Step::Waits),
            Err(Lack::Unknown(reason)) => Ok(Step::Done(Answer::Unknown(reason))),
            Err(Lack::Failed(failure)) => Err(failure),
            Ok(Found::Empty) => self.answer_empty(read, &place).map(Step::Done),
            Ok(Found::Frame(spot, frame)) => {
                self.answer_from(read, &place, &spot, &frame).map(Step::Done)
            }
        }
    }

    /// The version that serves reads.
    pub(super) fn serving(&self) -> Option<&Snapshot> {
        self.committed.as_ref().or(self.target.as_ref())
    }

    fn place(&self, read: &Read) -> Result<Place, Failure> {
        let misuse = |misuse: Misuse| Failure::Error(misuse.into());
        let which = match read.version {
            None => Which::Serving,
            Some(version) => self.which(version).ok_or(Failure::VersionGone(version))?,
        };
        let snapshot = self.snapshot(which).ok_or(misuse(Misuse::NoSnapshot))?;
        let found = snapshot.collection(read.collection());
        let (at, collection) = found.ok_or(misuse(Misuse::UnknownCollection))?;
        let (lazy, root) = (collection.lazy, collection.tree.root);
        let version = snapshot.manifest.version;
        Ok(Place { part: Part { which, at }, lazy, version, root })
    }

    /// Where a version is held that can be read from.
    pub(super) fn which(&self, version: Version) -> Option<Which> {
        let serves = self.serving().is_some_and(|serving| serving.manifest.version == version);
        let kept = self.kept.iter().any(|kept| kept.manifest.version == version);
        if serves { Some(Which::Serving) } else { kept.then_some(Which::Kept(version)) }
    }

    fn part(&self, part: Part) -> Option<(&Collection, &Shelf)> {
        let version = self.snapshot(part.which)?;
        Some((version.manifest.collections.get(part.at)?, version.shelves.get(part.at)?))
    }

    /// The decoded frame that a key belongs to.
    fn find_frame(&mut self, id: ReadId, place: &Place, key: &[u8]) -> Got<Found> {
        let wish = Wish { class: Class::Read, network: place.lazy, reader: Some(id) };
        match self.locate(place.part, key, wish)? {
            None => Ok(Found::Empty),
            Some(spot) => {
                let frame = self.frame(place.part, &spot, wish)?;
                Ok(Found::Frame(spot, frame))
            }
        }
    }

    fn answer_from(
        &mut self,
        read: &Read,
        place: &Place,
        spot: &Spot,
        frame: &VerifiedFrame,
    ) -> Result<Answer, Failure> {
        let version = place.version;
        match &read.what {
            What::Get { key, .. } => Ok(match frame.get(key) {
                Some(value) => Answer::Present { value: value.to_vec(), version },
                None => Answer::Absent { version },
            }),
            What::Range(range) => {
                self.load_ahead(place, spot);
                Ok(records_of(range, place, spot, frame))
            }
            What::Prove { key, .. } => {
                let (_, shelf) = self.part(place.part).ok_or(NO_SNAPSHOT)?;
                let path = shelf.view.path(spot).ok_or(NO_SNAPSHOT)?;
                let proof = proof::prove(path, frame, key);
                self.proven(place, key, frame.get(key), proof)
            }
        }
    }

    /// The answer of an empty collection.
    fn answer_empty(&self, read: &Read, place: &Place) -> Result<Answer, Failure> {
        match &read.what {
            What::Get { .. } => Ok(Answer::Absent { version: place.version }),
            What::Range(_) => Ok(answer_records(Records::default(), None, place)),
            What::Prove { key, .. } => self.proven(place, key, None, proof::prove_empty()),
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
        let serving = self.snapshot(place.part.which).ok_or(NO_SNAPSHOT)?;
        let (collection, _) = self.part(place.part).ok_or(NO_SNAPSHOT)?;
        let manifest = serving.manifest_bytes.as_slice();
        let full = FullProof::new(&serving.trust, manifest, &collection.name, key, &proof);
        Ok(Answer::Proof {
            value: value.map(<[u8]>::to_vec),
            full: full.ok_or(NO_SNAPSHOT)?.encode(),
            proof,
            root: place.root,
            version: place.version,
        })
    }

    /// Whoever reads a range goes on with the next bundles: the rows of two are loaded, one after
    /// the other, while the frames of this one are decoded. What comes is checked when a frame of
    /// it is wanted.
    fn load_ahead(&mut self, place: &Place, spot: &Spot) {
        // One at a time: many ranges at once must not fill the memory.
        if self.ahead.is_some() {
            return;
        }
        let next = self.part(place.part).and_then(|(_, shelf)| {
            let id = spot.base.or_else(|| shelf.view.below(spot).last().copied())?;
            let here = shelf.index().frame(id)?.bundle.ordinal;
            Some([here + 1, here + 2].map(|at| shelf.index().bundle(at).map(|bundle| bundle.name)))
        });
        let missing = next.into_iter().flatten().flatten().find_map(|name| {
            let key = StoreKey::Object(ObjectKind::Bundle, name);
            // Looking it up also keeps it: what was read already makes room first.
            let here = self.bundles.fetch(name).is_some() || self.store.waiting(&key).is_some();
            (!here && self.store.may_have(&key)).then_some((name, key))
        });
        if let Some((name, key)) = missing {
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
            self.cache_bundle(name, Rc::new(row));
        }
    }
}

/// A range's records out of one frame.
fn records_of(range: &RangeQuery, place: &Place, spot: &Spot, frame: &VerifiedFrame) -> Answer {
    let mut records = Records::default();
    if range.limit as u64 >= frame.node().records() {
        records.reserve(frame.plain().len().min(RANGE_BYTES), frame.node().records());
    }
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
        next = spot.upper.clone().filter(|key| within(key));
    }
    answer_records(records, next, place)
}

fn answer_records(records: Records, next: Option<Vec<u8>>, place: &Place) -> Answer {
    Answer::Records { records, next, root: place.root, version: place.version }
}
