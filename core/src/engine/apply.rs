//! Applying a delta, in bounded steps: unpack a segment against the records that are held, cut the
//! touched frames anew, and compare the tree above with the signed root.
//!
//! Until the last step nothing of it can be seen: what it writes are layer pages under their own
//! names, which nobody refers to before the commit. A delta that does not give the signed root
//! leaves nothing behind, and another road is taken. Applying it twice cannot happen: it starts
//! from one root and leads to another.
//!
//! Memory holds the list of frames twice, one segment's operations, the old records that they are
//! predicted from (both bounded by the format), and a page.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::delta::{LEARN_STEP, OldRecords, Op, Unpacker};
use crate::error::{DeltaError, Error};
use crate::format::layer::{Change, LayerDirectory, LayerPageRef, PageBody, Patch};
use crate::format::manifest::{Delta, Segment};
use crate::format::node::Child;
use crate::hash;
use crate::limits::MAX_LAYER_LEN;
use crate::tree::layer::{BuiltPage, LayerWriter, visit_through};
use crate::tree::recut::Recut;
use crate::tree::verify::VerifiedFrame;
use crate::types::{Millis, ObjectKind, ObjectRef};

use super::Engine;
use super::blob::{BlobSpec, Wish};
use super::changes::Changes;
use super::frames::{Got, Lack, Part, Which, found, quietly};
use super::io::{Event, Failure, StoreKey};
use super::work::WorkItem;

/// Plain bytes of a layer page that a client writes: a row of IndexedDB stays below its cliff.
pub(super) const PAGE_TARGET: u32 = 48 << 10;
/// A predicted byte costs about as much as hashing so many.
const UNPACK_COST: usize = 1 << 10;
/// Plain bytes that one step unpacks, one operation over it.
const UNPACK_BYTES: u64 = 1 << 10;
/// Frames that one step keeps unread.
const KEEP_FRAMES: usize = 4096;
/// Cutting a frame anew hashes its keys and its leaves.
const CUT_COST: usize = 6;

/// A delta under way.
#[derive(Debug)]
pub(super) struct Apply {
    pub(super) part: Part,
    delta: Delta,
    /// The frames of the version that it starts from.
    old: Rc<Vec<Child>>,
    /// The next segment.
    segment: usize,
    /// The rank of the first record of the segment at hand.
    first_rank: u64,
    stage: Stage,
    /// The next old frame to be cut anew or kept.
    next_frame: usize,
    recut: Recut,
    ops: VecDeque<(Vec<u8>, Change)>,
    writer: LayerWriter,
    pages: Vec<LayerPageRef>,
    changes: Changes,
    /// Whether a step of it stands in the work queue.
    scheduled: bool,
    /// When the last step began, and how long all took but for waiting for segments.
    stepped: Option<Millis>,
    spent_ms: u64,
}

#[derive(Debug)]
enum Stage {
    /// The next segment is to be fetched and opened.
    Fetch,
    /// The old records that it is predicted from are to be read.
    Gather {
        unpacker: Box<Unpacker>,
        ranks: VecDeque<u64>,
        old: OldPart,
    },
    /// Its operations are to be unpacked.
    Unpack {
        unpacker: Box<Unpacker>,
        old: OldPart,
    },
    /// The frames are to be cut anew as far as the operations are known.
    Cut,
    Finish,
}

/// The old records of a segment, those that are asked for.
#[derive(Debug)]
struct OldPart {
    count: u64,
    /// By rank.
    records: Vec<(u64, Vec<u8>, Vec<u8>)>,
}

impl OldRecords for OldPart {
    fn count(&self) -> u64 {
        self.count
    }

    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])> {
        let at = self.records.binary_search_by_key(&rank, |(rank, ..)| *rank).ok()?;
        let (_, key, value) = self.records.get(at)?;
        Some((key, value))
    }
}

impl OldPart {
    /// What an operation does, by key.
    fn change(&self, op: Op) -> Result<(Vec<u8>, Change), Error> {
        let key = |rank: u64| -> Result<Vec<u8>, Error> {
            let record = self.record(rank).ok_or(DeltaError::Gap)?;
            Ok(record.0.to_vec())
        };
        Ok(match op {
            Op::Update { rank, value } => (key(rank)?, Change::Update(value)),
            Op::Delete { rank } => (key(rank)?, Change::Delete),
            Op::Insert { key, value, .. } => (key, Change::Insert(value)),
        })
    }
}

/// What the next step needs that is not in memory yet.
enum Need {
    Nothing,
    Segment(Segment),
    /// An old frame, by its number.
    Frame(usize),
}

impl Apply {
    fn upper(&self, frame: usize) -> Option<&[u8]> {
        self.old.get(frame + 1).map(|next| next.separator.as_slice())
    }

    /// The frame that holds a rank, and the rank of its first record.
    fn frame_of(&self, rank: u64) -> Option<(usize, u64)> {
        let mut first = 0u64;
        for (number, frame) in self.old.iter().enumerate() {
            let end = first.saturating_add(frame.records);
            if rank < end {
                return Some((number, first));
            }
            first = end;
        }
        None
    }

    /// Whether all operations on a frame are unpacked.
    fn is_known(&self, frame: usize) -> bool {
        match self.delta.segments.get(self.segment) {
            None => true,
            Some(next) => self.upper(frame).is_some_and(|upper| upper <= next.start.as_slice()),
        }
    }

    /// How many of the operations at hand are on a frame.
    fn ops_on(&self, frame: usize) -> usize {
        let upper = self.upper(frame);
        let within = |key: &Vec<u8>| upper.is_none_or(|upper| key.as_slice() < upper);
        self.ops.iter().take_while(|(key, _)| within(key)).count()
    }

    /// The first segment that was not opened yet.
    pub(super) fn next_segment(&self) -> usize {
        self.segment + usize::from(!matches!(self.stage, Stage::Fetch))
    }

    fn need(&self) -> Need {
        match &self.stage {
            Stage::Fetch => match self.delta.segments.get(self.segment) {
                Some(segment) => Need::Segment(segment.clone()),
                None => Need::Nothing,
            },
            Stage::Gather { ranks, .. } => {
                let rank = ranks.front().map(|rank| self.first_rank + rank);
                let frame = rank.and_then(|rank| self.frame_of(rank));
                frame.map_or(Need::Nothing, |(frame, _)| Need::Frame(frame))
            }
            Stage::Unpack { .. } | Stage::Finish => Need::Nothing,
            Stage::Cut => {
                let frame = self.next_frame;
                let touched = self.ops_on(frame) > 0 || !self.recut.can_keep(self.old.get(frame));
                let here = frame < self.old.len() && self.is_known(frame);
                if here && touched { Need::Frame(frame) } else { Need::Nothing }
            }
        }
    }

    /// A segment came.
    fn open(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let unpacker = Box::new(Unpacker::open(bytes)?);
        let count = unpacker.old_records();
        let all = self.old.iter().fold(0u64, |sum, frame| sum.saturating_add(frame.records));
        if count > all.saturating_sub(self.first_rank) {
            return Err(DeltaError::Gap.into());
        }
        let ranks = unpacker.ranks().into();
        let old = OldPart { count, records: Vec::new() };
        self.stage = Stage::Gather { unpacker, ranks, old };
        Ok(bytes.len().saturating_mul(8))
    }

    /// Takes the records that are asked for out of a frame.
    fn gather(&mut self, frame: Option<Rc<VerifiedFrame>>) -> usize {
        let Stage::Gather { ranks, .. } = &self.stage else { return 1 };
        let at = ranks.front().and_then(|rank| self.frame_of(self.first_rank + rank));
        let first_rank = self.first_rank;
        let Stage::Gather { ranks, old, .. } = &mut self.stage else { return 1 };
        let (Some(frame), Some((_, mut rank))) = (frame, at) else {
            if let Stage::Gather { unpacker, old, .. } =
                core::mem::replace(&mut self.stage, Stage::Finish)
            {
                self.stage = Stage::Unpack { unpacker, old };
            }
            return 1;
        };
        frame.visit_from(&[], &mut |key, value| {
            let wanted = ranks.front().is_some_and(|next| first_rank + next == rank);
            if wanted {
                old.records.extend(ranks.pop_front().map(|at| (at, key.to_vec(), value.to_vec())));
            }
            rank += 1;
            !ranks.is_empty()
        });
        frame.plain().len()
    }

    /// Unpacks some operations.
    fn unpack(&mut self) -> Result<usize, Error> {
        let Stage::Unpack { unpacker, old } = &mut self.stage else { return Ok(1) };
        if !unpacker.learn(old)? {
            return Ok(LEARN_STEP.saturating_mul(UNPACK_COST));
        }
        let mut plain = 0u64;
        while plain < UNPACK_BYTES {
            match unpacker.advance(old)? {
                Some(op) => {
                    plain += op.plain_len() + 1;
                    self.ops.push_back(old.change(op)?);
                }
                None => {
                    self.first_rank += old.count;
                    self.segment += 1;
                    self.stage = Stage::Cut;
                    break;
                }
            }
        }
        Ok(usize::try_from(plain).unwrap_or(usize::MAX).saturating_mul(UNPACK_COST))
    }

    /// Cuts one frame anew, or keeps some. Pages of the layer that are full are given.
    fn cut(
        &mut self,
        frame: Option<&Rc<VerifiedFrame>>,
        full: &mut Vec<BuiltPage>,
    ) -> Result<usize, Error> {
        let mut kept = 0;
        while let Some(child) = self.old.get(self.next_frame).cloned() {
            if !self.is_known(self.next_frame) {
                self.stage = Stage::Fetch;
                return Ok(1);
            }
            let count = self.ops_on(self.next_frame);
            if count == 0 && self.recut.keep(&child) {
                (self.next_frame, kept) = (self.next_frame + 1, kept + 1);
                if kept == KEEP_FRAMES {
                    return Ok(kept);
                }
                continue;
            }
            let Some(frame) = frame.filter(|frame| frame.is_of(&child)) else {
                return Ok(1 + kept);
            };
            let ops: Vec<(Vec<u8>, Change)> = self.ops.drain(..count).collect();
            let upper = self.upper(self.next_frame).map(<[u8]>::to_vec);
            let (start, recut) = (child.separator.as_slice(), &mut self.recut);
            recut.open(&child);
            let frames = [frame.clone()];
            visit_through(&frames, &ops, start, upper.as_deref(), &mut |key, value| {
                recut.push(key, value)
            })?;
            self.write(&ops, full);
            self.next_frame += 1;
            return Ok(frame.plain().len().saturating_mul(CUT_COST));
        }
        if self.segment < self.delta.segments.len() {
            self.stage = Stage::Fetch;
            return Ok(1);
        }
        // In an empty collection nothing stands below.
        let ops: Vec<(Vec<u8>, Change)> = self.ops.drain(..).collect();
        for (key, change) in &ops {
            if let Some(value) = change.value() {
                self.recut.push(key, value)?;
            }
        }
        self.write(&ops, full);
        self.stage = Stage::Finish;
        Ok(1)
    }

    fn write(&mut self, ops: &[(Vec<u8>, Change)], full: &mut Vec<BuiltPage>) {
        for (key, change) in ops {
            full.extend(self.writer.push(key, change));
            self.changes.note(key, change);
        }
    }
}

/// What a step came to.
enum Stepped {
    /// So much was done.
    Cost(usize),
    /// All is done.
    Over,
}

impl Engine {
    /// Carries the deltas of the version under way on as far as its parts are here; whether any
    /// is still to be applied.
    pub(super) fn step_apply(&mut self) -> Result<bool, Failure> {
        let Some(target) = &self.target else { return Ok(false) };
        let next = target.order().into_iter().find_map(|at| {
            let delta = target.shelves.get(at)?.delta?;
            target.manifest.collections.get(at)?.deltas.get(delta).map(|delta| (at, delta.clone()))
        });
        let Some((at, delta)) = next else { return Ok(false) };
        if self.apply.is_none() {
            match self.begin_apply(Part { which: Which::Target, at }, delta) {
                Ok(apply) => self.apply = Some(Box::new(apply)),
                Err(lack) => return self.apply_lacks(lack),
            }
        }
        self.ask_ahead();
        if self.apply.as_ref().is_some_and(|apply| apply.scheduled) {
            return Ok(true);
        }
        if let Err(lack) = self.apply_input() {
            return self.apply_lacks(lack);
        }
        if let Some(apply) = &mut self.apply {
            apply.scheduled = true;
            self.work.push(WorkItem::Apply);
        }
        Ok(true)
    }

    /// What is on its way is waited for; what cannot be had takes the base's road instead.
    fn apply_lacks(&mut self, lack: Lack) -> Result<bool, Failure> {
        match lack {
            Lack::Waits => {}
            Lack::Unknown(_) | Lack::Failed(_) => self.take_base(),
        }
        Ok(true)
    }

    fn begin_apply(&mut self, part: Part, delta: Delta) -> Got<Apply> {
        self.bring(part, quietly())?;
        let view = &self.shelf(part)?.view;
        let old = view.frames().ok_or(Lack::Waits)?;
        let recut = Recut::new(*view.params())?;
        Ok(Apply {
            part,
            delta,
            old,
            segment: 0,
            first_rank: 0,
            stage: Stage::Fetch,
            next_frame: 0,
            recut,
            ops: VecDeque::new(),
            writer: LayerWriter::new(PAGE_TARGET),
            pages: Vec::new(),
            changes: Changes::default(),
            scheduled: false,
            stepped: None,
            spent_ms: 0,
        })
    }

    /// What the next step needs, asked for where it is not here.
    fn apply_input(&mut self) -> Got<Input> {
        let Some(apply) = &self.apply else { return Ok(Input::Nothing) };
        let (part, old) = (apply.part, apply.old.clone());
        match apply.need() {
            Need::Nothing => Ok(Input::Nothing),
            Need::Segment(segment) => {
                let class = self.target.as_ref().map_or(quietly().class, |t| t.class(part.at));
                let wish = Wish { class, network: true, reader: None };
                let spec = BlobSpec::Object { kind: ObjectKind::Delta, object: segment.object };
                found(self.want(&spec, wish)).map(|bytes| Input::Segment(segment.object, bytes))
            }
            Need::Frame(number) => {
                let spot = self.shelf(part)?.view.spot(&old, number);
                let Some(spot) = spot else { return Err(Lack::Waits) };
                self.frame(part, &spot, quietly()).map(Input::Frame)
            }
        }
    }

    /// One step, of which everything needed should be here.
    #[inline(never)]
    pub(super) fn apply_on(&mut self, now: Millis) -> usize {
        let input = self.apply_input();
        let Some(mut apply) = self.apply.take() else { return 1 };
        apply.scheduled = false;
        // What was dropped meanwhile is asked for again.
        let Ok(input) = input else {
            self.apply = Some(apply);
            return 1;
        };
        let before = apply.stepped.replace(now).filter(|_| !matches!(input, Input::Segment(..)));
        apply.spent_ms += before.map_or(0, |before| now.since(before));
        let stepped = self.apply_step(&mut apply, input);
        let part = apply.part;
        match stepped {
            Ok(Stepped::Cost(cost)) => {
                self.apply = Some(apply);
                cost
            }
            Ok(Stepped::Over) => {
                self.applied(apply.delta.wire_len(), apply.spent_ms);
                self.changes.push(apply.changes);
                1
            }
            Err(error) => {
                self.delta_belied(part, &apply.delta, &error);
                self.take_base();
                1
            }
        }
    }

    fn apply_step(&mut self, apply: &mut Apply, input: Input) -> Result<Stepped, Error> {
        let mut full = Vec::new();
        let frame = match &input {
            Input::Frame(frame) => Some(frame),
            Input::Nothing | Input::Segment(..) => None,
        };
        let cost = match (&apply.stage, &input) {
            (Stage::Fetch, Input::Segment(object, bytes)) => {
                self.drop_blob(&object.name);
                self.delta_status.bytes += bytes.len() as u64;
                apply.open(bytes)?
            }
            // Without any segment nothing changes but what is kept.
            (Stage::Fetch, Input::Nothing | Input::Frame(_)) => {
                apply.stage = Stage::Cut;
                1
            }
            (Stage::Gather { .. }, _) => apply.gather(frame.cloned()),
            (Stage::Unpack { .. }, _) => apply.unpack()?,
            (Stage::Cut, _) => apply.cut(frame, &mut full)?,
            (Stage::Finish, _) => {
                self.finish_apply(apply)?;
                return Ok(Stepped::Over);
            }
        };
        for page in full {
            let page = self.keep_page(page);
            apply.pages.push(page);
        }
        Ok(Stepped::Cost(cost))
    }

    /// Writes a page of the client's own.
    pub(super) fn keep_page(&mut self, page: BuiltPage) -> LayerPageRef {
        let plain_len = page.plain.len() as u64;
        let bytes = PageBody::Raw(&page.plain).encode();
        let object = self.keep_own(ObjectKind::LayerPage, bytes);
        LayerPageRef { start: page.start, object, plain_len }
    }

    pub(super) fn keep_own(&mut self, kind: ObjectKind, bytes: Vec<u8>) -> ObjectRef {
        let object = ObjectRef { name: hash::wire_name(&bytes), len: bytes.len() as u64 };
        self.delta_status.bytes_written += bytes.len() as u64;
        self.store.put(StoreKey::Object(kind, object.name), Rc::new(bytes));
        object
    }

    /// The last step: the tree above the frames must be the signed one.
    fn finish_apply(&mut self, apply: &mut Apply) -> Result<(), Error> {
        let params = *self.view_of(apply.part)?.params();
        let recut = core::mem::replace(&mut apply.recut, Recut::new(params)?);
        let (frames, tree) = recut.finish()?;
        let at = apply.part.at;
        let signed = self.target.as_ref().and_then(|t| t.manifest.collections.get(at));
        if signed.map(|collection| collection.tree) != Some(tree.info) {
            return Err(DeltaError::WrongRoot.into());
        }
        let counted = apply.old.iter().fold(0u64, |sum, frame| sum.saturating_add(frame.records));
        if !apply.delta.segments.is_empty() && apply.first_rank != counted {
            return Err(DeltaError::Gap.into());
        }
        let writer = core::mem::replace(&mut apply.writer, LayerWriter::new(PAGE_TARGET));
        let operations = writer.operations();
        if let Some(page) = writer.finish() {
            let page = self.keep_page(page);
            apply.pages.push(page);
        }
        let patch = Patch::between(apply.old.iter(), frames.iter());
        let pages = core::mem::take(&mut apply.pages);
        let directory = LayerDirectory { operations, patch, pages };
        let bytes = directory.encode();
        crate::codec::at_most("layer", bytes.len() as u64, MAX_LAYER_LEN as u64)?;
        let object = self.keep_own(ObjectKind::Layer, bytes);
        let view = self.view_of(apply.part)?.with_layer(tree.info, object, directory, frames);
        self.delta_status.operations += operations;
        if let Some(target) = &mut self.target {
            apply.changes.name(&target.manifest, at, &apply.delta);
            if let Some(shelf) = target.shelves.get_mut(at) {
                *shelf = shelf.with_view(view);
            }
        }
        Ok(())
    }

    fn view_of(&self, part: Part) -> Result<&crate::tree::view::View, Error> {
        let target = self.target.as_ref().and_then(|target| target.shelves.get(part.at));
        Ok(&target.ok_or(DeltaError::Gap)?.view)
    }

    /// A delta that was signed does not lead where it says: the publisher's own fault.
    fn delta_belied(&mut self, part: Part, delta: &Delta, error: &Error) {
        let Some(target) = &self.target else { return };
        let Some(collection) = target.manifest.collections.get(part.at) else { return };
        let event = Event::DeltaRefused {
            collection: String::from(collection.name.as_str()),
            from: delta.from_version,
            from_root: delta.from_root,
            to_root: collection.tree.root,
            code: error.code(),
        };
        self.event(event);
    }
}

/// What a step needs, at hand.
enum Input {
    Nothing,
    Segment(ObjectRef, Rc<Vec<u8>>),
    Frame(Rc<VerifiedFrame>),
}
