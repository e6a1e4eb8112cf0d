//! Bringing the pinned version home: every object of every collection in order, then one
//! transaction that makes it visible.
//!
//! At-least-once transfer, exactly-once visible commit: until the commit is durable the old
//! version serves every read, and after a crash the sync goes on from the rows that were stored.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::map::{Map, Set};
use crate::plan::queue::Class;
use crate::planted::{self, Bug};
use crate::types::{Millis, ObjectKind, ObjectRef, WireName};

use super::blob::{BlobSpec, Poll, Wish};
use super::head::HeadTask;
use super::io::{
    BundleState, Event, Failure, Output, Phase, RequestId, StoreFailure, StoreKey, SyncReport,
};
use super::net::{BundleJob, Job, What};
use super::store::Given;
use super::{Engine, Pending};

/// Bundles queued or on their way at once: enough that no place stays empty.
const BUNDLES_AHEAD: usize = 24;

/// A sync under way.
#[derive(Clone, Debug)]
pub(super) struct Sync {
    pub(super) phase: Phase,
    pub(super) started: Millis,
    bytes_before: u64,
    requests_before: u64,
    reused: u64,
    pub(super) changed: bool,
    /// Where in the target the next bundle is looked for: place in the order, bundle.
    pub(super) cursor: (usize, u64),
    listing: bool,
    /// Whether what was found lacking was brought again.
    repaired: bool,
    /// Why the pinned version cannot be had: over unless a newer one is found.
    lost: Option<Failure>,
}

impl Engine {
    pub(super) fn start_sync(&mut self, now: Millis) {
        if self.sync.is_some() {
            return;
        }
        self.audit.give_way();
        self.sync = Some(Sync {
            phase: Phase::Trust,
            started: now,
            bytes_before: self.bytes_fetched,
            requests_before: self.requests_made,
            reused: 0,
            changed: false,
            cursor: (0, 0),
            listing: false,
            repaired: false,
            lost: None,
        });
        // A pinned version is finished first: whoever releases faster than a client can fetch
        // must not keep it from ever finishing.
        self.head_checked = false;
        self.net.chain = 0;
        self.away = self.was_away(now);
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

    /// A part of the version cannot be had from any source, or is not what was signed. A version
    /// that was pinned some time ago may be gone by now, or replaced by one that holds: then the
    /// newest one takes its place.
    pub(super) fn target_lost(&mut self, failure: Failure, now: Millis) {
        let checked = self.head_checked;
        match &mut self.sync {
            Some(sync) if !checked && sync.lost.is_none() => {
                sync.lost = Some(failure);
                sync.phase = Phase::Trust;
                self.drop_jobs(|_, job| job.is_sync());
                self.target_renewed = false;
                self.start_head(Class::Trust);
            }
            Some(_) | None => self.end_sync(Err(failure), now),
        }
    }

    /// Whether the search after [`Self::target_lost`] is over and found a version to go on with.
    fn step_lost(&mut self, lost: Failure, now: Millis) -> bool {
        match &self.head {
            HeadTask::Asking | HeadTask::Proving { .. } | HeadTask::Adopting(_) => false,
            HeadTask::Idle if self.target_renewed => {
                if let Some(sync) = &mut self.sync {
                    sync.lost = None;
                }
                true
            }
            HeadTask::Idle | HeadTask::Failed(_) => {
                self.end_sync(Err(lost), now);
                true
            }
        }
    }

    fn step_trust(&mut self, now: Millis) -> bool {
        if let Some(lost) = self.sync.as_ref().and_then(|sync| sync.lost.clone()) {
            return self.step_lost(lost, now);
        }
        if self.target.is_none() && self.adoption.is_some() {
            // What was accepted before waits for nobody, or for a directory.
            self.step_head();
            return !matches!(self.head, HeadTask::Adopting(_));
        }
        if self.target.is_none() {
            return match &self.head {
                HeadTask::Failed(failure) => {
                    let failure = failure.clone();
                    let ended = if self.is_seeded(&failure) { Ok(()) } else { Err(failure) };
                    self.end_sync(ended, now);
                    true
                }
                HeadTask::Idle if self.head_checked => {
                    if self.holds_parts() && self.list_store() {
                        return false;
                    }
                    let Some(lacks) = self.lacks_rows() else { return false };
                    if self.repair(lacks) {
                        self.head_checked = false;
                    } else {
                        self.end_sync(Ok(()), now);
                    }
                    true
                }
                HeadTask::Idle => {
                    self.start_head(Class::Trust);
                    false
                }
                HeadTask::Asking | HeadTask::Proving { .. } | HeadTask::Adopting(_) => false,
            };
        }
        if self.is_reading_seed(Class::Trust) {
            return false;
        }
        if self.list_store() {
            return false;
        }
        if let Some(sync) = &mut self.sync {
            sync.phase = Phase::Bootstrap;
            sync.cursor = (0, 0);
            sync.changed = true;
        }
        self.phase_event(Phase::Bootstrap);
        true
    }

    /// Asks for the keys of all rows, where they are not known; whether they are on their way.
    fn list_store(&mut self) -> bool {
        if self.store.is_listed() {
            return false;
        }
        let listing = self.sync.as_mut().is_some_and(|s| core::mem::replace(&mut s.listing, true));
        if !listing {
            let request = self.request(Pending::List);
            self.outputs.push_back(Output::List { request });
        }
        true
    }

    /// Queues what is missing; whether the phase changed.
    fn step_collections(&mut self, now: Millis) -> bool {
        let outstanding = match self.queue_missing().and_then(|missing| {
            // A delta is applied to what is held whole.
            Ok(missing || self.step_apply()?)
        }) {
            Ok(outstanding) => outstanding,
            Err(failure) => {
                self.target_lost(failure, now);
                return true;
            }
        };
        // The road may have been left for another one.
        let under_way = self.sync.as_ref().is_some_and(|sync| sync.phase != Phase::Trust);
        if !under_way {
            return true;
        }
        self.update_phase();
        // The last rows go with the commit, in a transaction after all others.
        let early = planted::is(Bug::CommitEarly);
        if (outstanding && !early) || self.store.is_writing() {
            return false;
        }
        if let Some(sync) = &mut self.sync {
            sync.phase = Phase::Commit;
        }
        self.phase_event(Phase::Commit);
        if self.head_checked {
            self.searched = Some(now);
        }
        self.note_sources(now);
        self.save_state(true);
        false
    }

    /// Whether anything of the target is still on its way.
    fn queue_missing(&mut self) -> Result<bool, Failure> {
        let Some(target) = &self.target else { return Ok(false) };
        let order = target.order();
        let mut flying = self.net.bundles();
        let (mut place, mut bundle) = self.sync.as_ref().map_or((0, 0), |sync| sync.cursor);
        let mut parts_missing = false;
        for at in order.iter().take(place) {
            parts_missing |= self.want_parts(*at)?;
        }
        while let Some(at) = order.get(place).copied() {
            parts_missing |= self.want_parts(at)?;
            match self.queue_bundles(at, &mut bundle, &mut flying) {
                BundlesEnd::Done => (place, bundle) = (place + 1, 0),
                BundlesEnd::Full | BundlesEnd::Unknown => break,
            }
        }
        if let Some(sync) = &mut self.sync {
            sync.cursor = (place, bundle);
        }
        Ok(parts_missing || !flying.is_empty() || place < order.len())
    }

    /// The bytes of bundles that are still to come, where there are any: without bound
    /// as long as not all of them are known and queued.
    pub(super) fn coming(&self) -> Option<u64> {
        let flying = self.net.fetches.values().map(|fetch| &fetch.job);
        let lens = flying.chain(self.net.queue.iter()).filter_map(Job::bundle_missing);
        let bytes = lens.fold(None, |sum: Option<u64>, len| Some(sum.unwrap_or(0) + len));
        let order = self.target.as_ref().map_or(0, |target| target.order().len());
        let bringing = |sync: &&Sync| matches!(sync.phase, Phase::Bootstrap | Phase::Collections);
        let queueing = self.sync.as_ref().filter(bringing);
        let more = queueing.is_some_and(|sync| sync.cursor.0 < order) || self.apply.is_some();
        if more { Some(u64::MAX) } else { bytes }
    }

    /// Asks for a collection's dictionary and pages; whether any of them is missing.
    fn want_parts(&mut self, at: usize) -> Result<bool, Failure> {
        let Some(target) = &self.target else { return Ok(false) };
        let Some(shelf) = target.shelves.get(at) else { return Ok(false) };
        let class = target.class(at);
        let dictionary = shelf.base.dictionary.map(|d| d.object);
        let index = shelf.index();
        let pages: Vec<(u32, ObjectRef)> = (0..index.page_count())
            .filter(|page| shelf.needs_page(*page))
            .filter_map(|page| Some((page, index.page(page)?.object)))
            // A read may have brought a page whose row the store then refused.
            .filter(|(page, object)| {
                !index.has_page(*page) || !self.is_kept(ObjectKind::Layout, object)
            })
            .collect();
        let mut missing = false;
        // The pages first: bundles wait for them.
        for (page, object) in pages {
            missing |= !self.want_page(at, page, object, class)?;
        }
        if let Some(object) = dictionary {
            missing |= self.want_dictionary(object, class)?;
        }
        missing |= self.want_layers(at, class)?;
        Ok(missing)
    }

    /// Whether an object is in the store, or on its way there.
    pub(super) fn is_kept(&self, kind: ObjectKind, object: &ObjectRef) -> bool {
        let key = StoreKey::Object(kind, object.name);
        self.store.has(&key) || self.store.is_coming(&key)
    }

    /// Brings a dictionary into the store; whether it is still on its way.
    fn want_dictionary(&mut self, object: ObjectRef, class: Class) -> Result<bool, Failure> {
        let kind = ObjectKind::Dictionary;
        if self.is_kept(kind, &object) {
            return Ok(false);
        }
        let wish = Wish { class, network: true, reader: None };
        match self.want(&BlobSpec::Object { kind, object }, wish) {
            Poll::Ready(bytes) => {
                self.store.put(StoreKey::Object(kind, object.name), bytes);
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
        page: u32,
        object: ObjectRef,
        class: Class,
    ) -> Result<bool, Failure> {
        let wish = Wish { class, network: true, reader: None };
        match self.want(&BlobSpec::Object { kind: ObjectKind::Layout, object }, wish) {
            Poll::Pending | Poll::NotHere => Ok(false),
            Poll::Failed(failure) => Err(failure),
            Poll::Ready(bytes) => {
                self.drop_blob(&object.name);
                if let Some(target) = &mut self.target {
                    let added = target.add_page(at, page, &bytes);
                    if let Err(error) = added {
                        let (object, kind) = (object.name, ObjectKind::Layout);
                        self.target_belied(at, kind, object);
                        return Err(Failure::Error(error));
                    }
                }
                self.store.put(StoreKey::Object(ObjectKind::Layout, object.name), bytes);
                Ok(true)
            }
        }
    }

    /// Queues the missing bundles of a collection from number `next` on.
    fn queue_bundles(
        &mut self,
        at: usize,
        next: &mut u64,
        flying: &mut Set<WireName>,
    ) -> BundlesEnd {
        let Some(target) = &self.target else { return BundlesEnd::Done };
        let (Some(collection), Some(shelf)) =
            (target.manifest.collections.get(at), target.shelves.get(at))
        else {
            return BundlesEnd::Done;
        };
        let class = target.class(at);
        let index = shelf.index();
        if shelf.scope.is_some() && !shelf.view.missing().is_empty() {
            return BundlesEnd::Unknown;
        }
        let needed = shelf.needed();
        while *next < index.bundle_count() {
            if flying.len() >= BUNDLES_AHEAD {
                return BundlesEnd::Full;
            }
            let page = index.page_of_bundle(*next).unwrap_or(0);
            if !shelf.needs_page(page) {
                *next = index.bundle_range(page).end;
                continue;
            }
            let Some(bundle) = index.bundle(*next) else { return BundlesEnd::Unknown };
            if !shelf.needs_bundle(*next, &needed) {
                *next += 1;
                continue;
            }
            let object = ObjectRef { name: bundle.name, len: bundle.len };
            let key = StoreKey::Object(ObjectKind::Bundle, bundle.name);
            let job = BundleJob {
                collection: collection.name.to_string(),
                index: bundle.ordinal,
                total: shelf.base.bundles,
                object,
                frames: Rc::new(index.frames_of(&bundle).map(|(_, f)| f.wire).collect()),
                bytes: Vec::new(),
                verified_len: 0,
                verified_frames: 0,
            };
            *next += 1;
            if self.store.has(&key) {
                if let Some(sync) = &mut self.sync {
                    sync.reused += 1;
                }
                self.outputs.push_back(Output::Event(job.event(BundleState::Stored)));
            } else if self.store.is_coming(&key) || flying.contains(&object.name) {
                // On its way to the store.
            } else if let Some(bytes) = inlined(&self.inline, &object) {
                self.store.put(key, bytes);
                self.stored_events.push((key, job.event(BundleState::Stored)));
            } else {
                flying.insert(object.name);
                self.net.queue.push(class, Job::new(What::Bundle(job)));
            }
        }
        BundlesEnd::Done
    }

    /// A bundle is verified: hand it to the store. `body`: the fetch that brought all of it.
    pub(super) fn bundle_came(&mut self, job: BundleJob, body: Option<RequestId>, now: Millis) {
        let key = StoreKey::Object(ObjectKind::Bundle, job.object.name);
        self.stored_events.push((key, job.event(BundleState::Stored)));
        self.store.put_body(key, job.bytes, body);
        self.progressed(now);
    }

    /// A transaction ended.
    pub(super) fn store_ended(
        &mut self,
        request: RequestId,
        result: Result<(), StoreFailure>,
        now: Millis,
    ) {
        let batch = self.store.ended(request, result.is_ok());
        self.timings.transactions.add(now.since(batch.since));
        if batch.state {
            self.rolled_back(result.map_err(Failure::Store));
        }
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

    fn batch_durable(&mut self, batch: &Given, now: Millis) {
        let stored = core::mem::take(&mut self.stored_events);
        for (key, event) in stored {
            if batch.keys.contains(&key) {
                self.event(event);
            } else {
                self.stored_events.push((key, event));
            }
        }
        if batch.commit {
            let before = core::mem::replace(&mut self.committed, self.target.take());
            self.base_only = None;
            let changes = core::mem::take(&mut self.changes);
            self.commit_changes(before.as_ref(), changes);
            self.tell_milestones(true);
            if let Some(before) = before {
                self.retire(before);
            }
            self.collect = true;
            if self.head_checked {
                self.end_sync(Ok(()), now);
            } else if let Some(sync) = &mut self.sync {
                // What was pinned is home; now see whether something newer came meanwhile.
                sync.phase = Phase::Trust;
                // With a seed's version home, a network that is down is given up early.
                let class = if self.seed.is_some() { Class::Read } else { Class::Trust };
                self.start_head(class);
            }
        }
        if self.sync.is_some() {
            self.tell_milestones(false);
            self.progressed(now);
        }
    }

    /// Where reads found rows of the committed version missing, brings it home once more; whether
    /// there is anything to bring.
    fn repair(&mut self, lacks: bool) -> bool {
        let Some(committed) = &self.committed else { return false };
        let again = self.sync.as_ref().is_some_and(|sync| sync.repaired);
        let lost = !again && (lacks || self.has_lost(committed));
        if lost {
            let committed = committed.clone();
            if let Some(sync) = &mut self.sync {
                sync.repaired = true;
            }
            self.base_only = Some(committed.manifest_name);
            self.readopt(&committed);
        }
        lost
    }

    /// Ends the sync for everyone who asked for it.
    pub(super) fn end_sync(&mut self, result: Result<(), Failure>, now: Millis) {
        let Some(sync) = self.sync.take() else { return };
        self.standing_over(now);
        if result.is_ok() {
            self.note_search(now);
        }
        // A read may wait for what the sync asked for first.
        let read: Set<WireName> = self
            .blobs
            .iter()
            .filter(|(_, blob)| blob.has_readers())
            .map(|(name, _)| *name)
            .collect();
        self.drop_jobs(|class, job| match job.blob() {
            Some(name) => class != Class::Read && !read.contains(&name),
            None => job.is_sync(),
        });
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
                round_trips: self.net.chain,
                bundles_reused: sync.reused,
                elapsed_ms: now.since(sync.started),
            })
        });
        self.drop_ahead();
        self.inline.clear();
        let progress = self.progress(now);
        self.event(Event::Progress(progress));
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
}

enum BundlesEnd {
    /// All bundles of the collection are stored or queued.
    Done,
    /// Enough is queued for now.
    Full,
    /// The next one stands on a page that is not here yet.
    Unknown,
}

fn inlined(inline: &Map<WireName, Rc<Vec<u8>>>, object: &ObjectRef) -> Option<Rc<Vec<u8>>> {
    inline.get(&object.name).filter(|bytes| bytes.len() as u64 == object.len).cloned()
}
