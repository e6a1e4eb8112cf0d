//! Work: hashing, decoding and signature checks, in bounded steps that the shell asks for.
//!
//! One step hashes one frame, decodes one frame or checks one small object; the shell says how
//! many bytes' worth it can spare. What a read waits for goes first.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::format::layout;
use crate::format::manifest::Base;
use crate::format::node::Child;
use crate::plan::queue::Class;
use crate::plan::sources::SourceId;
use crate::planted::{self, Bug};
use crate::tree::index::FrameInfo;
use crate::tree::verify::verify_frame;
use crate::types::{Millis, ObjectKind, WireName};

use super::Engine;
use super::blob::{Blob, frame_holds, is_layout_mismatch};
use super::frames::{ComposeJob, Part};
use super::io::{Failure, RequestId, StoreKey};
use super::net::{Fault, What};

/// Bytes of hashing that one signature check counts for.
const SIGNATURE_COST: usize = 256 << 10;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum WorkItem {
    /// Bytes of a body are to be verified.
    Body(RequestId),
    /// Rows of the store are to be verified.
    Loaded { name: WireName, keys: Vec<StoreKey>, rows: Vec<Option<Vec<u8>>>, bytes: u64 },
    /// What a source said on the line is to be looked at.
    Said(SourceId, Vec<u8>),
    /// A verified frame is to be decoded up to its signed identity.
    Decode(DecodeJob),
    /// A frame is to be put together from those below and the layers.
    Compose(Box<ComposeJob>, Part),
    /// A delta is to be carried on by a step.
    Apply,
    /// Layers are to be merged by a step.
    Merge,
}

/// A frame, and what it must decode to.
#[derive(Clone, Debug)]
pub(super) struct DecodeJob {
    pub(super) frame: layout::Frame,
    pub(super) wire: Rc<Vec<u8>>,
    pub(super) child: Child,
    pub(super) upper: Option<Vec<u8>>,
    pub(super) dictionary: Option<WireName>,
    pub(super) bundle: WireName,
    /// The collection's number, and the frame's in its bundle.
    pub(super) at: usize,
    pub(super) number: u64,
}

impl DecodeJob {
    /// The job of a frame, its bytes still to come.
    pub(super) fn of(base: &Base, info: &FrameInfo<'_>) -> Self {
        Self {
            frame: info.wire,
            wire: Rc::default(),
            child: info.child.clone(),
            upper: info.upper.map(<[u8]>::to_vec),
            dictionary: base.dictionary.map(|d| d.object.name),
            bundle: info.bundle.name,
            at: 0,
            number: 0,
        }
    }
}

/// Steps in the order in which they are done.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkQueue {
    urgent: VecDeque<WorkItem>,
    items: VecDeque<WorkItem>,
}

impl WorkQueue {
    pub(super) fn push(&mut self, item: WorkItem) {
        self.items.push_back(item);
    }

    /// What a read waits for is urgent.
    pub(super) fn push_as(&mut self, class: Class, item: WorkItem) {
        match class {
            Class::Read => self.push_urgent(item),
            Class::Trust | Class::Bootstrap | Class::Collection(_) => self.push(item),
        }
    }

    pub(super) fn push_urgent(&mut self, item: WorkItem) {
        self.urgent.push_back(item);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.items.is_empty()
    }

    fn pop(&mut self) -> Option<WorkItem> {
        self.urgent.pop_front().or_else(|| self.items.pop_front())
    }
}

impl Engine {
    /// Does steps worth about so many bytes of hashing, at least one. False where nothing came to
    /// its end: a bundle of which one more frame holds changes nothing yet.
    pub(super) fn do_work(&mut self, budget_bytes: usize, now: Millis) -> bool {
        let (mut spent, mut ended) = (0, false);
        while spent < budget_bytes.max(1) {
            let Some(item) = self.work.pop() else {
                if !self.audit_is_ready() {
                    break;
                }
                ended = true;
                spent += self.audit_frame();
                continue;
            };
            spent += match item {
                WorkItem::Body(request) => {
                    let cost = self.check_body(request, now);
                    ended |= !self.net.fetches.contains_key(&request);
                    cost
                }
                WorkItem::Loaded { name, keys, rows, bytes } => {
                    let cost = rows.iter().flatten().map(Vec::len).sum();
                    self.loads.ended(bytes);
                    self.check_loaded(name, &keys, rows);
                    ended = true;
                    cost
                }
                WorkItem::Said(source, said) => {
                    let cost = said.len() + SIGNATURE_COST;
                    self.look_at(source, said, now);
                    ended = true;
                    cost
                }
                WorkItem::Decode(job) => {
                    ended = true;
                    self.decode(job)
                }
                WorkItem::Compose(job, part) => {
                    ended = true;
                    self.compose(&job, part)
                }
                WorkItem::Apply => {
                    ended = true;
                    self.apply_on(now)
                }
                WorkItem::Merge => {
                    ended = true;
                    self.merge_on()
                }
            };
        }
        // A frame of a bundle under way may be what a read waits for.
        ended || !self.ready_reads.is_empty()
    }

    /// Verifies what came of a body: one frame of a bundle, or a whole small object.
    fn check_body(&mut self, request: RequestId, now: Millis) -> usize {
        let Some(fetch) = self.net.fetches.get_mut(&request) else { return 1 };
        if let What::Bundle(_) = &fetch.job.what {
            return self.check_bundle(request, now);
        }
        if !fetch.ended {
            return 1;
        }
        let body = core::mem::take(&mut fetch.body);
        let source = fetch.source;
        let what = fetch.job.what.clone();
        let fetch_class = fetch.ticket.class();
        let urgent = fetch_class == Class::Read;
        let cost = body.len();
        let result = match &what {
            What::Blob(spec) => match spec.verdict(&body) {
                Ok(()) => {
                    self.fetch_done(request, now);
                    self.blob_fetched(spec, body);
                    return cost;
                }
                Err(fault) => Err(fault),
            },
            What::Tile(tile) => {
                self.fetch_done(request, now);
                self.tile_came(*tile, body, source, now);
                return cost + SIGNATURE_COST;
            }
            What::SeedHead { index_len } => {
                let class = fetch_class;
                self.seed_head_came(*index_len, &body, class)
            }
            What::Checkpoint => self.checkpoint_came(&body, source),
            What::Bootstrap => self.bootstrap_came(&body, source, urgent),
            What::Bundle(_) => Ok(()),
        };
        match result {
            Ok(()) => {
                self.fetch_done(request, now);
            }
            Err(fault) => self.fetch_faulted(request, fault, now),
        }
        cost + SIGNATURE_COST
    }

    fn check_bundle(&mut self, request: RequestId, now: Millis) -> usize {
        let Some(fetch) = self.net.fetches.get_mut(&request) else { return 1 };
        let What::Bundle(job) = &mut fetch.job.what else { return 1 };
        let Some((frame, bytes)) = job.next_frame() else {
            return self.finish_bundle(request, now);
        };
        let Some(bytes) = bytes else {
            if fetch.ended {
                self.fetch_faulted(request, Fault::truncated(), now);
            }
            return 1;
        };
        let len = bytes.len();
        let name = frame.name;
        if !frame_holds(frame, bytes) && !planted::is(Bug::FrameUnhashed) {
            let fault = Fault::lie("peer/hash-mismatch", "the bytes are not those that are named");
            self.fetch_faulted(request, fault, now);
            return len;
        }
        let rides = self.blobs.get(&name).is_some_and(Blob::is_riding);
        let rider = rides.then(|| Rc::new(bytes.to_vec()));
        job.verified_len += len;
        job.verified_frames += 1;
        let complete = job.verified_frames == job.frames.len();
        let more = fetch.has_whole_frame() || fetch.ended;
        if let Some(bytes) = rider {
            self.blob_ready(name, bytes);
        }
        if complete {
            return len + self.finish_bundle(request, now);
        }
        if more {
            self.work.push(WorkItem::Body(request));
        }
        self.progressed(now);
        len
    }

    /// Every frame has its signed name, and so has the whole as far as reads care. The end of the
    /// body is awaited, so that one byte too many is still noticed.
    fn finish_bundle(&mut self, request: RequestId, now: Millis) -> usize {
        let ended = self.net.fetches.get(&request).is_some_and(|fetch| fetch.ended);
        if ended
            && let Some(fetch) = self.fetch_done(request, now)
            && let What::Bundle(job) = fetch.job.what
        {
            let body = fetch.target.range.is_none().then_some(request);
            self.bundle_came(job, body, now);
        }
        1
    }

    // What a step calls stays a function of its own, here and where it is defined: one body of all
    // of them takes a browser's optimising compiler longer than the first sync has.
    #[inline(never)]
    fn decode(&mut self, job: DecodeJob) -> usize {
        let name = job.frame.name;
        let plain_len = usize::try_from(job.child.plain_len).unwrap_or(usize::MAX);
        let frame = self
            .decoder
            .decode(&job.wire, job.child.plain_len, job.dictionary.as_ref())
            .and_then(|plain| verify_frame(&job.child, job.upper.as_deref(), plain));
        match frame {
            Ok(frame) => {
                self.decoded_bytes += frame.plain().len() as u64;
                self.cache_frame(job.child.identity, frame);
                self.drop_blob(&name);
            }
            Err(error) => {
                if is_layout_mismatch(&error) {
                    self.belied(job.at, ObjectKind::Bundle, job.bundle, Some(job.number));
                }
                self.blob_failed(name, Failure::Error(error));
            }
        }
        plain_len.saturating_mul(4)
    }
}
