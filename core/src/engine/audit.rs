//! The audit in idle time: does the layout deliver the tree that was signed?
//!
//! A layout is not a tree. A lying publisher can sign root A and frames that hold B; every byte
//! then has its signed name, and a sync is content. Each read finds out for itself; the audit
//! finds out for all of them. It loads bundle after bundle of a version that is stored whole,
//! decodes frame after frame and compares with what the signed root says, only while the shell
//! gives it idle time and nobody waits for anything.
//!
//! How far it came is kept by the layout directory's name, so that it goes on after a restart, and
//! what an update leaves as it was is not audited again. Whoever can write the local store can
//! make it say that all was audited; reads are verified whatever it says.

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, Misuse};
use crate::format::layout::Directory;
use crate::format::manifest::Manifest;
use crate::limits::{MAX_AUDIT_LEN, MAX_AUDIT_MARKS, MAX_AUDIT_PLACES, MAX_SEED_PATH_LEN};
use crate::map::Set;
use crate::plan::queue::Class;
use crate::tree::index::Index;
use crate::tree::verify::verify_frame;
use crate::types::{ObjectKind, ObjectRef, WireName};

use super::blob::{BlobSpec, Poll, Wish, frame_holds, object_path};
use super::composed::layers_name;
use super::io::{AuditStatus, Event, Mismatch, Output, StoreKey};
use super::work::DecodeJob;
use super::{Engine, Pending};

const MAGIC: &[u8; 4] = b"PKU1";

/// The position is written down after so many bundles, and at the end.
const BUNDLES_A_MARK: u64 = 16;

/// How far the audit of one layout came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    directory: WireName,
    bundles: u64,
    places: Vec<Place>,
}

/// Where a layout belies its root: an object, and the frame's number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    object: String,
    frame: Option<u64>,
}

/// What the audit is at.
#[derive(Clone, Debug, Default)]
pub(super) enum Task {
    #[default]
    Idle,
    /// Frames under layers are put together, so many more in this turn.
    Composed {
        at: usize,
        left: u32,
    },
    /// The bundle's page or dictionary is on its way out of the store.
    Wanting(Bundle),
    Loading(Bundle),
    /// The bundle is here: the frames from `next` on are to be decoded.
    Decoding {
        bundle: Bundle,
        row: Rc<Vec<u8>>,
        next: u64,
        offset: usize,
    },
}

/// A bundle of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    at: usize,
    ordinal: u64,
}

/// The audit's books.
#[derive(Clone, Debug, Default)]
pub(super) struct Audit {
    marks: Vec<Mark>,
    pub(super) task: Task,
    unsaved: u64,
    /// Whether idle time is for other things.
    off: bool,
    /// Collections whose page or dictionary the store does not give, until the next sync.
    stuck: Set<usize>,
}

impl Audit {
    /// From now on nothing is audited.
    pub(super) fn turn_off(&mut self) {
        self.off = true;
    }

    /// Takes in what the store kept; a row that does not read counts as none.
    pub(super) fn restore(&mut self, row: &[u8]) {
        self.marks = parse(row).unwrap_or_default();
    }

    /// Whether there is work that needs nobody's answer.
    pub(super) fn is_decoding(&self) -> bool {
        matches!(self.task, Task::Decoding { .. })
    }

    /// Lets go of what is in memory.
    pub(super) fn rest(&mut self) {
        self.task = Task::Idle;
    }

    /// A sync begins: what the store lacked may come back.
    pub(super) fn give_way(&mut self) {
        self.rest();
        self.stuck.clear();
    }

    /// How far the audit of what a name stands for came.
    pub(super) fn progress(&self, name: &WireName) -> u64 {
        self.mark(name).map_or(0, |mark| mark.bundles)
    }

    pub(super) fn advance(&mut self, name: WireName, progress: u64) {
        if let Some(mark) = self.mark_mut(name) {
            mark.bundles = progress.min(u64::from(u32::MAX));
        }
    }

    pub(super) fn is_stuck(&self, at: usize) -> bool {
        self.stuck.contains(&at)
    }

    pub(super) fn stick(&mut self, at: usize) {
        self.stuck.insert(at);
    }

    fn mark(&self, directory: &WireName) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.directory == *directory)
    }

    fn mark_mut(&mut self, directory: WireName) -> Option<&mut Mark> {
        if self.mark(&directory).is_none() {
            self.marks.push(Mark { directory, bundles: 0, places: Vec::new() });
        }
        self.marks.iter_mut().find(|mark| mark.directory == directory)
    }
}

fn parse(row: &[u8]) -> Result<Vec<Mark>, Error> {
    let mut r = Reader::with_magic(row, MAGIC, "audit", MAX_AUDIT_LEN)?;
    let mut marks = Vec::new();
    for _ in 0..r.count("audit marks", MAX_AUDIT_MARKS)? {
        let directory = r.wire_name("audited layout")?;
        let bundles = r.number("audited bundles", u64::from(u32::MAX))?;
        let mut places = Vec::new();
        for _ in 0..r.count("audit places", MAX_AUDIT_PLACES)? {
            let object = r.text("object", MAX_SEED_PATH_LEN)?.to_string();
            let frame = r.number("frame", u64::from(u32::MAX))?.checked_sub(1);
            places.push(Place { object, frame });
        }
        marks.push(Mark { directory, bundles, places });
    }
    r.finish("audit")?;
    Ok(marks)
}

fn encode(marks: &[&Mark]) -> Vec<u8> {
    let mut w = Writer::with_magic(MAGIC);
    w.count(marks.len());
    for mark in marks {
        w.raw(&mark.directory.0);
        w.number(mark.bundles);
        w.count(mark.places.len());
        for place in &mark.places {
            w.bytes(place.object.as_bytes());
            w.number(place.frame.map_or(0, |frame| frame + 1));
        }
    }
    w.finish()
}

impl Engine {
    /// Leaves the audit from now on: idle time goes to merging layers alone.
    pub fn leave_audit(&mut self) {
        self.audit.turn_off();
    }

    /// Whether idle time would be used.
    pub(super) fn audit_is_due(&self) -> bool {
        let idle = self.sync.is_none() && self.reads.is_empty() && !self.audit.off;
        let open = || self.next_unaudited().is_some() || self.next_composed().is_some();
        idle && matches!(self.audit.task, Task::Idle) && open()
    }

    /// Whether a frame can be decoded now without keeping anybody waiting.
    pub(super) fn audit_is_ready(&self) -> bool {
        self.audit.is_decoding() && self.sync.is_none() && self.reads.is_empty()
    }

    /// The first bundle of the committed version that was not audited and is not known as lost.
    fn next_unaudited(&self) -> Option<Bundle> {
        let committed = self.committed.as_ref()?;
        let all = committed.shelves.iter().enumerate();
        all.filter_map(|(at, shelf)| {
            let mark = self.audit.mark(&shelf.base.directory.name);
            let needed = shelf.needed();
            let mut ordinal = mark.map_or(0, |mark| mark.bundles);
            while needed.is_some() && ordinal < shelf.index().bundle_count() {
                let page = shelf.index().page_of_bundle(ordinal).unwrap_or(0);
                let held = shelf.index().has_page(page);
                if shelf.needs_page(page) && (!held || shelf.needs_bundle(ordinal, &needed)) {
                    break;
                }
                ordinal += 1;
            }
            let known = shelf.index().bundle(ordinal);
            let here = |name| self.store.may_have(&StoreKey::Object(ObjectKind::Bundle, name));
            let open = ordinal < shelf.index().bundle_count();
            let waits = known.is_some_and(|bundle| !here(bundle.name));
            (open && !waits && !self.audit.stuck.contains(&at)).then_some(Bundle { at, ordinal })
        })
        .next()
    }

    /// The shell has idle time: begins with the next bundle.
    pub(super) fn audit_on(&mut self) {
        if !self.audit_is_due() {
            return;
        }
        match self.next_unaudited() {
            Some(bundle) => {
                self.audit.task = Task::Wanting(bundle);
                self.step_audit();
            }
            None => _ = self.audit_composed(),
        }
    }

    /// Goes on towards the bundle's bytes, as far as the store gave what they need.
    pub(super) fn step_audit(&mut self) {
        self.step_composed();
        let Task::Wanting(bundle) = self.audit.task else { return };
        if self.sync.is_some() {
            return self.audit.rest();
        }
        match self.audit_wants(bundle) {
            None => {
                self.audit.rest();
                self.audit.stuck.insert(bundle.at);
            }
            Some(false) => {}
            Some(true) => {
                let name = self.shelf_bundle(bundle).map(|bundle| bundle.name);
                let Some(name) = name else { return self.audit.rest() };
                let request = self.request(Pending::Audit);
                let keys = vec![StoreKey::Object(ObjectKind::Bundle, name)];
                self.outputs.push_back(Output::Load { request, keys });
                self.audit.task = Task::Loading(bundle);
            }
        }
    }

    fn shelf_bundle(&self, bundle: Bundle) -> Option<crate::tree::index::BundleInfo> {
        self.committed.as_ref()?.shelves.get(bundle.at)?.index().bundle(bundle.ordinal)
    }

    /// Whether page and dictionary are here; `None` where the store does not give them.
    fn audit_wants(&mut self, bundle: Bundle) -> Option<bool> {
        let committed = self.committed.as_ref()?;
        let dictionary = committed.shelves.get(bundle.at)?.base.dictionary;
        let shelf = committed.shelves.get(bundle.at)?;
        let index = shelf.index();
        let page = index.page_of_bundle(bundle.ordinal)?;
        let page_object = index.page(page)?.object;
        let has_page = index.has_page(page);
        if !has_page {
            let Some(bytes) = self.audit_object(ObjectKind::Layout, page_object)? else {
                return Some(false);
            };
            self.drop_blob(&page_object.name);
            let added = self.committed.as_mut()?.add_page(bundle.at, page, &bytes);
            if added.is_err() {
                self.belied(bundle.at, ObjectKind::Layout, page_object.name, None);
                return None;
            }
        }
        let Some(dictionary) = dictionary else { return Some(true) };
        if self.decoder.has_dictionary(&dictionary.object.name) {
            return Some(true);
        }
        let object = dictionary.object;
        let Some(bytes) = self.audit_object(ObjectKind::Dictionary, object)? else {
            return Some(false);
        };
        self.drop_blob(&object.name);
        let installed = self.decoder.install_dictionary(object.name, &bytes, dictionary.plain_len);
        if installed.is_err() {
            self.belied(bundle.at, ObjectKind::Dictionary, object.name, None);
            return None;
        }
        Some(true)
    }

    /// An object of the store; `Some(None)` while it is on its way.
    fn audit_object(&mut self, kind: ObjectKind, object: ObjectRef) -> Option<Option<Rc<Vec<u8>>>> {
        let wish = Wish { class: Class::Collection(u8::MAX), network: false, reader: None };
        match self.want(&BlobSpec::Object { kind, object }, wish) {
            Poll::Ready(bytes) => Some(Some(bytes)),
            Poll::Pending => Some(None),
            Poll::NotHere | Poll::Failed(_) => None,
        }
    }

    /// The bundle came out of the store, or did not.
    pub(super) fn audit_loaded(&mut self, rows: Vec<Option<Vec<u8>>>) {
        let Task::Loading(bundle) = self.audit.task else { return };
        self.audit.rest();
        let Some(info) = self.shelf_bundle(bundle) else { return };
        let key = StoreKey::Object(ObjectKind::Bundle, info.name);
        match rows.into_iter().next().flatten() {
            None => self.store.forget(&key),
            Some(row) => {
                let row = Rc::new(row);
                self.audit.task = Task::Decoding { bundle, row, next: 0, offset: 0 };
            }
        }
    }

    /// Decodes one frame; about what it cost, in bytes of hashing.
    #[inline(never)]
    pub(super) fn audit_frame(&mut self) -> usize {
        let Task::Decoding { bundle, row, next, offset } = &self.audit.task else { return 1 };
        let (bundle, row, next, offset) = (*bundle, row.clone(), *next, *offset);
        let Some(info) = self.shelf_bundle(bundle) else {
            self.audit.rest();
            return 1;
        };
        let Some(job) = self.audit_job(bundle, next) else {
            self.bundle_audited(bundle);
            return 1;
        };
        let end = offset.saturating_add(job.frame.wire_len as usize);
        let bytes = row.get(offset..end).filter(|bytes| frame_holds(&job.frame, bytes));
        let Some(bytes) = bytes else {
            // The row is not what was stored: the next sync brings it again.
            let key = StoreKey::Object(ObjectKind::Bundle, info.name);
            self.store.forget(&key);
            self.event(Event::Damaged { key });
            self.audit.rest();
            return row.len();
        };
        let decoded = self
            .decoder
            .decode(bytes, job.child.plain_len, job.dictionary.as_ref())
            .and_then(|plain| verify_frame(&job.child, job.upper.as_deref(), plain));
        match decoded {
            Ok(_) => {}
            // A read of another collection took the dictionary's place.
            Err(Error::Misuse(Misuse::NoDictionary)) => {
                self.audit.rest();
                return 1;
            }
            Err(_) => self.belied(bundle.at, ObjectKind::Bundle, info.name, Some(next)),
        }
        self.audit.task = Task::Decoding { bundle, row, next: next + 1, offset: end };
        usize::try_from(job.child.plain_len).unwrap_or(usize::MAX).saturating_mul(4)
    }

    fn audit_job(&self, bundle: Bundle, frame: u64) -> Option<DecodeJob> {
        let committed = self.committed.as_ref()?;
        let shelf = committed.shelves.get(bundle.at)?;
        let index = shelf.index();
        let info = index.bundle(bundle.ordinal)?;
        let (_, info) = index.frames_of(&info).nth(usize::try_from(frame).ok()?)?;
        Some(DecodeJob::of(&shelf.base, &info))
    }

    fn bundle_audited(&mut self, bundle: Bundle) {
        self.audit.rest();
        let directory = self.committed.as_ref().and_then(|committed| {
            committed.shelves.get(bundle.at).map(|shelf| shelf.base.directory.name)
        });
        if let Some(mark) = directory.and_then(|directory| self.audit.mark_mut(directory)) {
            mark.bundles = bundle.ordinal + 1;
        }
        self.audit.unsaved += 1;
        let status = self.audit_status();
        let done = self.next_unaudited().is_none() && self.next_composed().is_none();
        if done || self.audit.unsaved >= BUNDLES_A_MARK {
            self.save_audit();
        }
        self.event(Event::Audit(status));
    }

    /// Writes down how far it is; what was audited of other versions is forgotten.
    pub(super) fn save_audit(&mut self) {
        self.audit.unsaved = 0;
        let Some(committed) = &self.committed else { return };
        let layers = committed.shelves.iter().filter_map(layers_name);
        let names = committed.shelves.iter().map(|shelf| shelf.base.directory.name).chain(layers);
        let mut marks: Vec<&Mark> = names.filter_map(|name| self.audit.mark(&name)).collect();
        // Two collections of the same content have one layout.
        marks.dedup();
        let names: Set<WireName> = marks.iter().map(|mark| mark.directory).collect();
        self.store.put_audit(encode(&marks));
        self.audit.marks.retain(|mark| names.contains(&mark.directory));
    }

    /// A verified object does not lead to the signed root: says so, and keeps the place.
    pub(super) fn belied(
        &mut self,
        at: usize,
        kind: ObjectKind,
        name: WireName,
        frame: Option<u64>,
    ) {
        let Some(serving) = self.serving() else { return };
        let Some(collection) = serving.manifest.collections.get(at) else { return };
        let collection_name = String::from(collection.name.as_str());
        let Some(shelf) = serving.shelves.get(at) else { return };
        let directory = shelf.base.directory.name;
        let place = Place { object: object_path(kind, &name), frame };
        let mismatch =
            Mismatch { collection: collection_name, object: place.object.clone(), frame };
        let Some(mark) = self.audit.mark_mut(directory) else { return };
        let new = !mark.places.contains(&place);
        if new && mark.places.len() < MAX_AUDIT_PLACES {
            mark.places.push(place);
        }
        if new {
            self.save_audit();
        }
        self.event(Event::LayoutMismatch(mismatch));
    }

    /// The same of a version that a sync is bringing: it will never be committed.
    pub(super) fn target_belied(&mut self, at: usize, kind: ObjectKind, name: WireName) {
        let Some(target) = &self.target else { return };
        let Some(collection) = target.manifest.collections.get(at) else { return };
        let collection = String::from(collection.name.as_str());
        let mismatch = Mismatch { collection, object: object_path(kind, &name), frame: None };
        self.event(Event::LayoutMismatch(mismatch));
    }

    /// A manifest was verified, and one of its layout directories does not lead to its root.
    pub(super) fn directory_belied(&mut self, manifest: &Manifest) {
        for collection in &manifest.collections {
            let object = collection.base.directory;
            let wish = Wish { class: Class::Trust, network: false, reader: None };
            let spec = BlobSpec::Object { kind: ObjectKind::Layout, object };
            let Poll::Ready(bytes) = self.want(&spec, wish) else { continue };
            let holds = |directory| Index::new(&collection.base, directory).is_ok();
            if !Directory::parse(&bytes).is_ok_and(holds) {
                let mismatch = Mismatch {
                    collection: String::from(collection.name.as_str()),
                    object: object_path(ObjectKind::Layout, &object.name),
                    frame: None,
                };
                self.event(Event::LayoutMismatch(mismatch));
            }
        }
    }

    /// How much of the committed version was audited, and what was found.
    pub(super) fn audit_status(&self) -> AuditStatus {
        let mut status = AuditStatus::default();
        let Some(serving) = self.serving() else { return status };
        for (collection, shelf) in serving.manifest.collections.iter().zip(&serving.shelves) {
            let mark = self.audit.mark(&shelf.base.directory.name);
            let (total, done) = shelf.count_needed(mark.map_or(0, |mark| mark.bundles));
            status.bundles_total += total;
            status.bundles_done += done;
            if let Some(name) = layers_name(shelf) {
                let frames = shelf.view.frames().map_or(1, |frames| frames.len() as u64);
                status.bundles_total += frames;
                status.bundles_done += self.audit.progress(&name).min(frames);
            }
            let Some(mark) = mark else { continue };
            status.mismatches.extend(mark.places.iter().map(|place| Mismatch {
                collection: String::from(collection.name.as_str()),
                object: place.object.clone(),
                frame: place.frame,
            }));
        }
        let all = status.bundles_done == status.bundles_total;
        status.audited = self.committed.is_some() && all && status.mismatches.is_empty();
        status
    }
}
