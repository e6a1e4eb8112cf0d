//! Finding the newest version: checkpoint, bootstrap, proofs, manifest, layout directories.
//!
//! The head task runs when a sync begins, and when a read finds no version at all. It ends with a
//! pinned target, with the news that there is nothing newer, or with the last source's fault.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::format::bootstrap::Bootstrap;
use crate::format::note::Checkpoint;
use crate::hash;
use crate::limits::MAX_KEPT_VERSIONS;
use crate::map::Map;
use crate::plan::queue::Class;
use crate::plan::sources::{Kind, Severity, SourceId};
use crate::trust::accept::{Accepted, Offer, Pending as PendingProof, Seen};
use crate::trust::freshness::Level;
use crate::trust::manifest::verify_manifest;
use crate::trust::tiles::TileRef;
use crate::types::{Millis, ObjectKind, ObjectRef, WireName};

use super::Engine;
use super::blob::{BlobSpec, Poll, Wish};
use super::io::{Event, Failure};
use super::kept::may_stay;
use super::net::{Fault, Job, What};
use super::seed::is_behind;
use super::snapshot::Snapshot;
use super::state::StateRecord;
use super::store::StatePut;

/// Where the search for the newest version stands.
#[derive(Clone, Debug, Default)]
pub(super) enum HeadTask {
    #[default]
    Idle,
    /// A checkpoint or a bootstrap is asked for.
    Asking,
    /// A bootstrap is believed but for the proof that the log only grew.
    Proving {
        pending: Box<PendingProof>,
        tiles: Vec<(TileRef, Vec<u8>)>,
        missing: usize,
        /// Who served tiles beside the one who served the bootstrap.
        helpers: Vec<SourceId>,
    },
    /// A head state is accepted; its manifest and directories are fetched.
    Adopting(Box<Accepted>),
    Failed(Failure),
}

impl Engine {
    /// Begins the search, where none runs. Whoever holds a version asks for the checkpoint alone
    /// first: a few hundred bytes tell that nothing is new. Who was away asks for the head at once:
    /// there likely is, and it saves a round trip.
    pub(super) fn start_head(&mut self, class: Class) {
        match self.head {
            HeadTask::Idle | HeadTask::Failed(_) => {}
            HeadTask::Asking | HeadTask::Proving { .. } | HeadTask::Adopting(_) => return,
        }
        let holds = self.committed.is_some() || self.target.is_some();
        if !holds && self.ask_seed(class) {
            return;
        }
        self.head = HeadTask::Asking;
        self.stands_still = false;
        if core::mem::take(&mut self.away) && self.committed.is_some() {
            return self.ask_bootstrap(None);
        }
        let what = if holds { What::Checkpoint } else { What::Bootstrap };
        self.net.queue.push(class, Job::new(what));
    }

    /// A checkpoint of the log as it is known ends the search, with the cosignatures that it may
    /// add; any other one is only a reason to ask for the bootstrap, where it is verified.
    pub(super) fn checkpoint_came(&mut self, body: &[u8], source: SourceId) -> Result<(), Fault> {
        let note = Checkpoint::parse(body).map_err(|error| Fault::of(&error))?;
        if self.trust.seen() == (Seen { size: note.size, root: note.root }) {
            match self.trust.refresh(body, &self.channel) {
                Ok(Offer::Accepted(renewed)) => {
                    self.adopt(renewed);
                    return Ok(());
                }
                Ok(Offer::Unchanged | Offer::NeedsConsistency { .. }) => {
                    return self.nothing_newer(source);
                }
                // Signed under a newer trust root, or by nobody: the bootstrap tells which.
                Err(_) => {}
            }
        }
        self.ask_bootstrap(Some(source));
        Ok(())
    }

    /// Asks for what proves the newest version, first of who told of it; its head alone, where a
    /// version is held.
    pub(super) fn ask_bootstrap(&mut self, told_by: Option<SourceId>) {
        let mut job = Job::new(What::Bootstrap);
        job.lean = self.committed.is_some();
        job.prefer = told_by;
        self.net.queue.push(Class::Trust, job);
    }

    pub(super) fn bootstrap_came(
        &mut self,
        body: &[u8],
        source: SourceId,
        urgent: bool,
    ) -> Result<(), Fault> {
        let blame = |error: crate::error::Error| Fault::of(&error);
        let bootstrap = Bootstrap::parse(body).map_err(blame)?;
        let offer = match self.trust.offer(&bootstrap, &self.channel) {
            Err(error) if self.is_seed(source) && is_behind(&error) => Offer::Unchanged,
            offer => offer.map_err(blame)?,
        };
        match offer {
            Offer::Unchanged if self.is_seed(source) => self.seed_head_over(),
            Offer::Unchanged => {
                self.take_inline(bootstrap);
                return self.nothing_newer(source);
            }
            offer @ (Offer::Accepted(_) | Offer::NeedsConsistency { .. }) => {
                self.take_offer(offer, bootstrap, source, urgent);
            }
        }
        Ok(())
    }

    /// Goes on with what a bootstrap offers that is new.
    pub(super) fn take_offer(
        &mut self,
        offer: Offer,
        bootstrap: Bootstrap,
        source: SourceId,
        urgent: bool,
    ) {
        match offer {
            Offer::Unchanged => {}
            Offer::Accepted(accepted) => {
                self.take_inline(bootstrap);
                self.adopt(accepted);
            }
            Offer::NeedsConsistency { tiles, pending } => {
                self.take_inline(bootstrap);
                let class = if urgent { Class::Read } else { Class::Trust };
                for tile in &tiles {
                    // Who offers it is asked to prove it: then it is known who lied.
                    let mut job = Job::new(What::Tile(*tile));
                    job.prefer = Some(source);
                    self.net.queue.push(class, job);
                }
                self.ask_early(pending.channel().manifest);
                self.proof_source = Some(source);
                let (missing, helpers) = (tiles.len(), Vec::new());
                self.head = HeadTask::Proving { pending, missing, tiles: Vec::new(), helpers };
            }
        }
    }

    /// A source has nothing newer, which ends the search; the next one begins with another source.
    /// Where what is held is old by the witnesses' time the others are asked too: a mirror that
    /// stands still must not hide what they have.
    fn nothing_newer(&mut self, source: SourceId) -> Result<(), Fault> {
        if let Some(accepted) = self.unadopted.take()
            && accepted.state.seen() == self.trust.seen()
        {
            // What is known to be the newest is not held: an earlier search gave up on it.
            self.adopt(accepted);
            return Ok(());
        }
        self.sources.had_no_news(source);
        let alone = self.sources.len() <= 1 + usize::from(self.seed.is_some());
        if alone || self.freshness.level < Level::Stale {
            self.head_done();
            return Ok(());
        }
        self.stands_still = true;
        let detail = String::from("nothing newer than what is stale");
        Err(Fault { code: "peer/stale", severity: Severity::Missing, detail })
    }

    fn take_inline(&mut self, bootstrap: Bootstrap) {
        let named = |bytes: Vec<u8>| (hash::wire_name(&bytes), Rc::new(bytes));
        self.inline = bootstrap.objects.into_iter().map(named).collect::<Map<_, _>>();
    }

    /// Tiles prove themselves only together, against the root seen before and the signed one.
    pub(super) fn tile_came(
        &mut self,
        tile: TileRef,
        bytes: Vec<u8>,
        source: SourceId,
        now: Millis,
    ) {
        let HeadTask::Proving { pending, tiles, missing, helpers } = &mut self.head else { return };
        tiles.push((tile, bytes));
        if Some(source) != self.proof_source && !helpers.contains(&source) {
            helpers.push(source);
        }
        *missing = missing.saturating_sub(1);
        if *missing > 0 {
            return;
        }
        match pending.finish(tiles) {
            Ok(accepted) => self.adopt(Box::new(accepted)),
            Err(error) => {
                // Either the tiles or the checkpoint lie. Who served both is asked no more; of
                // several nobody is, or a liar's tile would cost an honest source its place.
                let fault = Fault::of(&error);
                let blamed = match helpers.is_empty() {
                    true => Severity::Lie,
                    false => Severity::Failure,
                };
                let helpers = core::mem::take(helpers);
                for liar in helpers.into_iter().chain(self.proof_source.take()) {
                    self.sources.faulted(liar, fault.code, (blamed, Kind::Pointer), now);
                    let event = Event::Fault {
                        source: String::from(self.sources.name(liar)),
                        code: fault.code,
                        object: ["log/", &tile.path()].concat(),
                        detail: fault.detail.clone(),
                    };
                    self.event(event);
                }
                self.head = HeadTask::Asking;
                self.head_in_seed = false;
                self.ask_bootstrap(None);
            }
        }
    }

    fn adopt(&mut self, accepted: Box<Accepted>) {
        self.adoption = None;
        self.head = HeadTask::Adopting(accepted);
        self.step_head();
    }

    /// Goes on with the adoption of a head state, as far as its objects are here.
    pub(super) fn step_head(&mut self) {
        let HeadTask::Adopting(accepted) = &self.head else { return };
        let accepted = accepted.clone();
        match self.try_adopt(&accepted) {
            Ok(true) => {
                self.trust = accepted.state;
                self.head_done();
            }
            Ok(false) => {}
            Err(failure) => self.head_failed(failure),
        }
    }

    /// Whether the version is pinned now; `false` where something is still on its way.
    fn try_adopt(&mut self, accepted: &Accepted) -> Result<bool, Failure> {
        let name = accepted.channel.manifest.name;
        let mut held = false;
        let serving = [&mut self.committed, &mut self.target].into_iter().flatten();
        // One that is kept was left for an older one: it is not news, either.
        for snapshot in serving.chain(&mut self.kept) {
            if snapshot.manifest_name == name && self.adoption.is_none() {
                // Nothing new but the checkpoint: what is held is proven by the newest one.
                snapshot.trust = accepted.state.clone();
                held = true;
            }
        }
        if held {
            self.save_state(false);
            return Ok(true);
        }
        let bytes = match self.adoption.clone() {
            Some(bytes) => bytes,
            None => match self.fetch_meta(ObjectKind::Manifest, accepted.channel.manifest)? {
                Some(bytes) => Rc::new(bytes),
                None => return Ok(false),
            },
        };
        let manifest =
            verify_manifest(&self.dataset, &accepted.channel, &bytes).map_err(Failure::Error)?;
        let Some(shelves) = self.shelves(&manifest, &name)? else { return Ok(false) };
        let trust = accepted.state.clone();
        let manifest_name = name;
        self.drop_blob(&name);
        self.adoption = None;
        self.unadopted = None;
        self.apply = None;
        self.changes.clear();
        self.target =
            Some(Snapshot { manifest_name, manifest, shelves, manifest_bytes: bytes, trust });
        self.target_renewed = true;
        self.sources.news_came();
        self.save_state(false);
        self.tell_milestones(false);
        Ok(true)
    }

    pub(super) fn fetch_meta(
        &mut self,
        kind: ObjectKind,
        object: ObjectRef,
    ) -> Result<Option<Vec<u8>>, Failure> {
        // A search that a read began gives up as early as the read.
        let class = if self.sync.is_some() { Class::Trust } else { Class::Read };
        let wish = Wish { class, network: true, reader: None };
        match self.want(&BlobSpec::Object { kind, object }, wish) {
            Poll::Ready(bytes) => Ok(Some(bytes.as_ref().clone())),
            Poll::Pending | Poll::NotHere => Ok(None),
            Poll::Failed(failure) => Err(failure),
        }
    }

    pub(super) fn is_directory(&self, name: &WireName) -> bool {
        self.directories.contains(name)
    }

    pub(super) fn head_done(&mut self) {
        self.head = HeadTask::Idle;
        // The seed says nothing of what is newest.
        self.head_checked = !core::mem::take(&mut self.head_in_seed);
        self.network_failure = None;
        self.wake_all_reads();
    }

    pub(super) fn head_failed(&mut self, failure: Failure) {
        self.adoption = None;
        if let HeadTask::Adopting(accepted) = &self.head
            && accepted.state.seen() == self.trust.seen()
        {
            // The trust has moved on to it: no source could offer it again.
            self.unadopted = Some(accepted.clone());
        }
        self.drop_ahead();
        self.drop_jobs(|_, job| {
            matches!(job.what, What::Checkpoint | What::Bootstrap | What::Tile(_))
        });
        if self.head_in_seed {
            return self.seed_head_over();
        }
        // `ask_seed` says no the second time.
        if self.ask_seed(Class::Trust) {
            self.network_failure = Some(failure);
            return;
        }
        self.head = HeadTask::Failed(failure);
        self.wake_all_reads();
    }

    /// Writes the state record.
    pub(super) fn save_state(&mut self, commit: bool) {
        let state = self.state_record(commit);
        self.store.put_state(StatePut { bytes: state.encode(), commit, durable: commit });
    }

    /// What is committed, pinned and kept; with a commit, as it will be then.
    pub(super) fn state_record(&self, commit: bool) -> StateRecord {
        let record = |snapshot: &Option<Snapshot>| snapshot.as_ref().map(Snapshot::record);
        let kept = self.kept.iter();
        if !commit {
            return StateRecord {
                committed: record(&self.committed),
                pinned: record(&self.target),
                kept: kept.map(Snapshot::record).collect(),
            };
        }
        let stays = |old: &&Snapshot| self.target.as_ref().is_some_and(|new| may_stay(old, new));
        let kept = self.committed.iter().chain(kept).filter(stays);
        let kept = kept
            .enumerate()
            .filter(|(at, kept)| *at < self.keep || self.pins.contains_key(&kept.manifest.version));
        let kept = kept.take(MAX_KEPT_VERSIONS).map(|(_, kept)| kept.record()).collect();
        StateRecord { committed: record(&self.target), pinned: None, kept }
    }
}
