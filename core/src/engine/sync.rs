//! Bringing the pinned version home: every object of every collection in order, then one
//! transaction that makes it visible.
//!
//! At-least-once transfer, exactly-once visible commit: until the commit is durable the old
//! version serves every read, and after a crash the sync goes on from the rows that were stored.

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::plan::queue::Class;
use crate::types::{Millis, ObjectKind, ObjectRef, WireName};

use super::blob::{BlobSpec, Poll, Wish};
use super::head::HeadTask;
use super::io::{
    BundleState, Event, Failure, Output, Phase, Progress, StoreFailure, StoreKey, SyncReport,
};
use super::net::{BundleJob, Job, What};
use super::store::InFlight;
use super::{Engine, Pending};

/// Bundles queued or on their way at once: enough that no place stays empty.
const BUNDLES_AHEAD: usize = 12;

/// A sync under way.
#[derive(Clone, Debug)]
pub(super) struct Sync {
    pub(super) phase: Phase,
    started: Millis,
    bytes_before: u64,
    requests_before: u64,
    reused: u64,
    changed: bool,
    /// Where in the target the next bundle is looked for: place in the order, page, bundle.
    cursor: (usize, usize, usize),
    listing: bool,
}

impl Engine {
    pub(super) fn start_sync(&mut self, now: Millis) {
        if self.sync.is_some() {
            return;
        }
        self.sync = Some(Sync {
            phase: Phase::Trust,
            started: now,
            bytes_before: self.bytes_fetched,
            requests_before: self.requests_made,
            reused: 0,
            changed: false,
            cursor: (0, 0, 0),
            listing: false,
        });
        // A pinned version is finished first: whoever releases faster than a client can fetch
        // must not keep it from ever finishing.
        self.head_checked = false;
        if self.target.is_none() {
            self.start_head(Class::Trust);
        }
        self.phase_event(Phase::Trust);
    }

    /// Goes on with the sync as far as it can.
    pub(super) fn step_sync(&mut self, now: Millis) {
        while let Some(sync) = &self.sync {
            let went_on = match sync.phase {
                Phase::Trust => self.step_trust(now),
                Phase::Bootstrap | Phase::Collections => self.step_collections(now),
                Phase::Commit | Phase::Idle | Phase::Complete | Phase::Failed => false,
            };
            if !went_on {
                return;
            }
        }
    }

    fn step_trust(&mut self, now: Millis) -> bool {
        if self.target.is_none() {
            return match &self.head {
                HeadTask::Failed(failure) => {
                    let failure = failure.clone();
                    self.end_sync(Err(failure), now);
                    true
                }
                HeadTask::Idle if self.head_checked => {
                    self.end_sync(Ok(()), now);
                    true
                }
                HeadTask::Idle => {
                    self.start_head(Class::Trust);
                    false
                }
                HeadTask::Asking | HeadTask::Proving { .. } | HeadTask::Adopting(_) => false,
            };
        }
        if !self.store.is_listed() {
            let listing = self.sync.as_mut().is_some_and(|s| core::mem::replace(&mut s.listing, true));
            if !listing {
                let request = self.request(Pending::List);
                self.outputs.push_back(Output::List { request });
            }
            return false;
        }
        if let Some(sync) = &mut self.sync {
            sync.phase = Phase::Bootstrap;
            sync.cursor = (0, 0, 0);
            sync.changed = true;
        }
        self.phase_event(Phase::Bootstrap);
        true
    }

    /// Queues what is missing; whether the phase changed.
    fn step_collections(&mut self, now: Millis) -> bool {
        let outstanding = match self.queue_missing(now) {
            Ok(outstanding) => outstanding,
            Err(failure) => {
                self.end_sync(Err(failure), now);
                return true;
            }
        };
        self.update_phase();
        if outstanding || !self.store.is_settled() {
            return false;
        }
        if let Some(sync) = &mut self.sync {
            sync.phase = Phase::Commit;
        }
        self.phase_event(Phase::Commit);
        self.save_state(true);
        false
    }

    /// Whether anything of the target is still on its way.
    fn queue_missing(&mut self, now: Millis) -> Result<bool, Failure> {
        let Some(target) = &self.target else { return Ok(false) };
        let order = target.order();
        let mut flying = self.net.bundles();
        let mut pages_missing = false;
        let (mut place, mut page, mut bundle) = self.sync.as_ref().map_or((0, 0, 0), |s| s.cursor);
        while let Some(at) = order.get(place).copied() {
            pages_missing |= self.want_parts(at)?;
            match self.queue_page(at, page, &mut bundle, &mut flying, now) {
                PageEnd::Done => (page, bundle) = (page + 1, 0),
                PageEnd::Full => break,
                PageEnd::Unknown => {
                    pages_missing = true;
                    break;
                }
                PageEnd::NoSuchPage => (place, page, bundle) = (place + 1, 0, 0),
            }
        }
        if let Some(sync) = &mut self.sync {
            sync.cursor = (place, page, bundle);
        }
        Ok(pages_missing || !flying.is_empty() || place < order.len())
    }

    /// Asks for a collection's dictionary and pages; whether any of them is missing.
    fn want_parts(&mut self, at: usize) -> Result<bool, Failure> {
        let Some(target) = &self.target else { return Ok(false) };
        let (Some(collection), Some(shelf)) =
            (target.manifest.collections.get(at), target.shelves.get(at))
        else {
            return Ok(false);
        };
        let class = target.class(at);
        let dictionary = collection.base.dictionary.map(|d| d.object);
        let pages: Vec<(usize, ObjectRef)> = shelf
            .index
            .pages()
            .iter()
            .enumerate()
            .filter(|(page, _)| !shelf.index.has_page(*page))
            .map(|(page, page_ref)| (page, page_ref.object))
            .collect();
        let mut missing = false;
        if let Some(object) = dictionary {
            missing |= self.want_dictionary(object, class)?;
        }
        for (page, object) in pages {
            missing |= !self.want_page(at, page, object, class)?;
        }
        Ok(missing)
    }

    /// Brings a dictionary into the store; whether it is still on its way.
    fn want_dictionary(&mut self, object: ObjectRef, class: Class) -> Result<bool, Failure> {
        let kind = ObjectKind::Dictionary;
        let key = StoreKey::Object(kind, object.name);
        if self.store.has(&key) || self.store.unstored(&key).is_some() {
            return Ok(false);
        }
        let wish = Wish { class, network: true, reader: None };
        match self.want(&BlobSpec::Object { kind, object }, wish) {
            Poll::Ready(_) => {
                self.drop_blob(&object.name);
                Ok(false)
            }
            Poll::Pending | Poll::NotHere => Ok(true),
            Poll::Failed(failure) => Err(failure),
        }
    }

    /// Brings a page into the target's index; whether it is there.
    fn want_page(
        &mut self,
        at: usize,
        page: usize,
        object: ObjectRef,
        class: Class,
    ) -> Result<bool, Failure> {
        let wish = Wish { class, network: true, reader: None };
        match self.want(&BlobSpec::Object { kind: ObjectKind::Layout, object }, wish) {
            Poll::Pending | Poll::NotHere => Ok(false),
            Poll::Failed(failure) => Err(failure),
            Poll::Ready(bytes) => {
                if let Some(target) = &mut self.target {
                    target.add_page(at, page, &bytes).map_err(Failure::Error)?;
                }
                self.drop_blob(&object.name);
                Ok(true)
            }
        }
    }

    /// Queues the missing bundles of one page from `bundle` on.
    fn queue_page(
        &mut self,
        at: usize,
        page: usize,
        bundle: &mut usize,
        flying: &mut BTreeSet<WireName>,
        now: Millis,
    ) -> PageEnd {
        let Some(target) = &self.target else { return PageEnd::NoSuchPage };
        let (Some(collection), Some(shelf)) =
            (target.manifest.collections.get(at), target.shelves.get(at))
        else {
            return PageEnd::NoSuchPage;
        };
        if page >= shelf.index.pages().len() {
            return PageEnd::NoSuchPage;
        }
        let Some(first) = shelf.index.first_bundle(page) else { return PageEnd::Unknown };
        let Some(bundles) = shelf.index.page_bundles(page) else { return PageEnd::Unknown };
        let class = target.class(at);
        while let Some(next) = bundles.get(*bundle) {
            if flying.len() >= BUNDLES_AHEAD {
                return PageEnd::Full;
            }
            let object = ObjectRef { name: next.name, len: next.wire_len() };
            let key = StoreKey::Object(ObjectKind::Bundle, next.name);
            let job = BundleJob {
                collection: collection.name.to_string(),
                index: first + *bundle as u64,
                total: collection.base.bundles,
                object,
                frames: Rc::new(next.frames.clone()),
                verified: Vec::new(),
                verified_frames: 0,
            };
            *bundle += 1;
            if self.store.has(&key) {
                if let Some(sync) = &mut self.sync {
                    sync.reused += 1;
                }
                self.outputs.push_back(Output::Event(job.event(BundleState::Stored)));
            } else if self.store.unstored(&key).is_some() || flying.contains(&object.name) {
                // On its way to the store.
            } else if let Some(bytes) = inlined(&self.inline, &object) {
                self.store.put(key, bytes);
                self.stored_events.push((key, job.event(BundleState::Stored)));
            } else {
                flying.insert(object.name);
                self.net.queue.push(class, Job::new(What::Bundle(job)));
            }
        }
        let _ = now;
        PageEnd::Done
    }

    /// A bundle is verified: hand it to the store.
    pub(super) fn bundle_came(&mut self, job: BundleJob, now: Millis) {
        let key = StoreKey::Object(ObjectKind::Bundle, job.object.name);
        self.stored_events.push((key, job.event(BundleState::Stored)));
        self.store.put(key, Rc::new(job.verified));
        self.progressed(now);
    }

    /// A transaction ended.
    pub(super) fn store_ended(&mut self, result: Result<(), StoreFailure>, now: Millis) {
        let batch = self.store.ended(result.is_ok());
        match result {
            Ok(()) => self.batch_durable(&batch, now),
            Err(failure) => {
                self.store.give_up();
                self.stored_events.clear();
                if self.sync.is_some() {
                    self.end_sync(Err(Failure::Store(failure)), now);
                }
            }
        }
    }

    fn batch_durable(&mut self, batch: &InFlight, now: Millis) {
        let stored = core::mem::take(&mut self.stored_events);
        for (key, event) in stored {
            if batch.keys.contains(&key) {
                self.event(event);
            } else {
                self.stored_events.push((key, event));
            }
        }
        if batch.commit {
            self.committed = self.target.take();
            self.delete_unneeded();
            if self.head_checked {
                self.end_sync(Ok(()), now);
            } else if let Some(sync) = &mut self.sync {
                // What was pinned is home; now see whether something newer came meanwhile.
                sync.phase = Phase::Trust;
                self.start_head(Class::Trust);
            }
        }
        if self.sync.is_some() {
            self.progressed(now);
        }
    }

    /// Deletes the rows that the committed version does not need.
    fn delete_unneeded(&mut self) {
        let Some(committed) = &self.committed else { return };
        let mut needed = BTreeSet::new();
        for (collection, shelf) in committed.manifest.collections.iter().zip(&committed.shelves) {
            let object = |kind, name| StoreKey::Object(kind, name);
            needed.extend(
                collection.base.dictionary.map(|d| object(ObjectKind::Dictionary, d.object.name)),
            );
            for (page, page_ref) in shelf.index.pages().iter().enumerate() {
                needed.insert(object(ObjectKind::Layout, page_ref.object.name));
                let bundles = shelf.index.page_bundles(page).unwrap_or_default();
                needed.extend(bundles.iter().map(|b| object(ObjectKind::Bundle, b.name)));
            }
        }
        let old: Vec<StoreKey> =
            self.store.inventory().filter(|key| !needed.contains(key)).copied().collect();
        if !old.is_empty() {
            self.store.delete(old);
        }
    }

    /// Ends the sync for everyone who asked for it.
    pub(super) fn end_sync(&mut self, result: Result<(), Failure>, now: Millis) {
        let Some(sync) = self.sync.take() else { return };
        self.drop_jobs(|class, job| job.is_sync() || (class != Class::Read && job.is_any_blob()));
        if result.is_err() {
            self.blobs.retain(|_, blob| blob.has_readers());
        }
        let version = self.committed.as_ref().map(|snapshot| snapshot.manifest.version);
        let result = result.and_then(|()| {
            let no_snapshot = Failure::Error(crate::error::Misuse::NoSnapshot.into());
            Ok(SyncReport {
                version: version.ok_or(no_snapshot)?,
                changed: sync.changed,
                bytes_fetched: self.bytes_fetched - sync.bytes_before,
                requests: self.requests_made - sync.requests_before,
                bundles_reused: sync.reused,
                elapsed_ms: now.since(sync.started),
            })
        });
        self.inline.clear();
        let phase = if result.is_ok() { Phase::Complete } else { Phase::Failed };
        self.last_phase = phase;
        self.phase_event(phase);
        self.outputs.push_back(Output::SyncEnded { result });
    }

    /// Bootstrap until the first bundle of a later collection is asked for.
    fn update_phase(&mut self) {
        let (Some(sync), Some(target)) = (&self.sync, &self.target) else { return };
        let reached = target.order().get(sync.cursor.0).copied();
        let past = reached.is_none_or(|at| target.class(at) != Class::Bootstrap);
        if sync.phase == Phase::Bootstrap && past {
            if let Some(sync) = &mut self.sync {
                sync.phase = Phase::Collections;
            }
            self.phase_event(Phase::Collections);
        }
    }

    fn phase_event(&mut self, phase: Phase) {
        let newest = self.target.as_ref().or(self.committed.as_ref());
        let version = newest.map(|snapshot| snapshot.manifest.version);
        self.event(Event::Phase { phase, version });
    }

    pub(super) fn progressed(&mut self, now: Millis) {
        let progress = self.progress(now);
        self.event(Event::Progress(progress));
    }

    fn progress(&mut self, now: Millis) -> Progress {
        let Some(snapshot) = self.target.as_ref().or(self.committed.as_ref()) else {
            return Progress::default();
        };
        let (bytes_total, bundles_total) = snapshot.totals();
        let (mut bytes_done, mut bundles_done) = (0, 0);
        for (collection, shelf) in snapshot.manifest.collections.iter().zip(&snapshot.shelves) {
            if let Some(dictionary) = &collection.base.dictionary {
                let key = StoreKey::Object(ObjectKind::Dictionary, dictionary.object.name);
                let here = self.store.has(&key) || self.store.unstored(&key).is_some();
                bytes_done += if here { dictionary.object.len } else { 0 };
            }
            for page in 0..shelf.index.pages().len() {
                for bundle in shelf.index.page_bundles(page).unwrap_or_default() {
                    let key = StoreKey::Object(ObjectKind::Bundle, bundle.name);
                    let stored = self.store.has(&key);
                    bundles_done += u64::from(stored);
                    if stored || self.store.unstored(&key).is_some() {
                        bytes_done += bundle.wire_len();
                    }
                }
            }
        }
        for fetch in self.net.fetches.values() {
            if let What::Bundle(job) = &fetch.job.what {
                bytes_done += job.verified.len() as u64;
            }
        }
        let rate = self.meter.rate(now);
        let left = bytes_total.saturating_sub(bytes_done);
        let eta_ms = if rate == 0 { None } else { Some(left.saturating_mul(1000) / rate) };
        Progress { bytes_done, bytes_total, bundles_done, bundles_total, rate, eta_ms }
    }
}

enum PageEnd {
    /// All bundles of the page are stored or queued.
    Done,
    /// Enough is queued for now.
    Full,
    /// The page is not here yet.
    Unknown,
    NoSuchPage,
}

fn inlined(
    inline: &alloc::collections::BTreeMap<WireName, Rc<Vec<u8>>>,
    object: &ObjectRef,
) -> Option<Rc<Vec<u8>>> {
    inline.get(&object.name).filter(|bytes| bytes.len() as u64 == object.len).cloned()
}
