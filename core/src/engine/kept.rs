//! Versions beside the one that serves reads: kept for readers that pinned one and for going back,
//! and collected, row by row, when nobody needs them.
//!
//! A version that is kept shares its rows with the others; what no version needs any more is
//! deleted in small transactions of its own, which begin after the commit is durable. A crash
//! between them leaves rows that the next collection finds.

use alloc::vec::Vec;

use crate::limits::MAX_KEPT_VERSIONS;
use crate::map::Set;
use crate::planted::{self, Bug};
use crate::types::{Millis, Version};

use super::Engine;
use super::frames::{Lack, Part, Which, quietly};
use super::io::{Failure, Output, StoreKey};
use super::snapshot::Snapshot;
use super::store::StatePut;

/// Rows that one transaction deletes.
const ROWS_A_STEP: usize = 256;

/// Whether a version may be kept beside a newer one: not where a new trust root came between. What
/// was released under the one before may be what the new one ended.
pub(super) fn may_stay(kept: &Snapshot, serving: &Snapshot) -> bool {
    let other = kept.manifest.version != serving.manifest.version;
    other && kept.trust.root().version >= serving.trust.root().version
}

impl Engine {
    /// Readers of a version begin: it stays until as many ended.
    pub(super) fn pin(&mut self, version: Version) {
        let pins = self.pins.get(&version).copied().unwrap_or(0);
        self.pins.insert(version, pins + 1);
    }

    /// A reader of a version ended.
    pub(super) fn unpin(&mut self, version: Version) {
        match self.pins.get(&version).copied() {
            Some(pins) if pins > 1 => _ = self.pins.insert(version, pins - 1),
            Some(_) | None => {
                self.pins.remove(&version);
                self.trim_kept();
            }
        }
    }

    /// How many versions are kept from now on, beside those that are pinned.
    pub(super) fn keep_versions(&mut self, versions: usize) {
        self.keep = versions.min(MAX_KEPT_VERSIONS);
        if !self.opening {
            self.trim_kept();
        }
    }

    /// A version no longer serves reads.
    pub(super) fn retire(&mut self, version: Snapshot) {
        self.kept.insert(0, version);
        if let Some(serving) = &self.committed {
            self.kept.retain(|kept| may_stay(kept, serving));
        }
        self.cut_kept();
    }

    /// Lets go of what is neither pinned nor among the newest; whether anything went.
    fn cut_kept(&mut self) -> bool {
        let before = self.kept.len();
        let (pins, keep, mut at) = (&self.pins, self.keep, 0);
        self.kept.retain(|kept| {
            at += 1;
            at <= keep || pins.contains_key(&kept.manifest.version)
        });
        self.kept.truncate(MAX_KEPT_VERSIONS);
        self.collect |= self.kept.len() != before;
        self.kept.len() != before
    }

    fn trim_kept(&mut self) {
        if self.cut_kept() {
            self.save_state(false);
        }
    }

    /// Makes a version serve reads again that did before, in one transaction.
    pub(super) fn roll_back(&mut self, version: Version, now: Millis) {
        let at = self.kept.iter().position(|kept| kept.manifest.version == version);
        let Some(at) = at else {
            let result = Err(Failure::VersionGone(version));
            return self.outputs.push_back(Output::RolledBack { version, result });
        };
        let aborted = crate::error::Misuse::Aborted.into();
        self.end_sync(Err(Failure::Error(aborted)), now);
        self.target = None;
        self.drop_ahead();
        self.unadopted = None;
        self.apply = None;
        let back = self.kept.remove(at);
        let from = self.committed.replace(back);
        if let Some(from) = from {
            self.unknown_changes(&from);
            // Newest first, so that what was left is found again.
            self.kept.insert(0, from);
        }
        self.rolling_back = Some(version);
        let state = self.state_record(false);
        self.store.put_state(StatePut { bytes: state.encode(), commit: false, durable: true });
        self.wake_all_reads();
    }

    /// A transaction with the state ended: says so to whoever went back.
    pub(super) fn rolled_back(&mut self, result: Result<(), Failure>) {
        if let Some(version) = self.rolling_back.take() {
            self.outputs.push_back(Output::RolledBack { version, result });
            let changes = core::mem::take(&mut self.changes);
            self.tell_changes(changes);
        }
    }

    /// Deletes some of the rows that no version needs.
    pub(super) fn step_collect(&mut self) {
        if !self.collect || self.sync.is_some() || !self.store.is_listed() {
            return;
        }
        if self.store.is_writing() || self.store.is_waiting() {
            return;
        }
        let Some(needed) = self.needed_rows() else { return };
        let unneeded: Vec<StoreKey> = self
            .store
            .inventory()
            .filter(|key| !needed.contains(key) || planted::is(Bug::NeededCollected))
            .take(ROWS_A_STEP)
            .copied()
            .collect();
        self.collect = !unneeded.is_empty();
        if self.collect {
            self.store.delete(unneeded);
        }
    }

    /// The rows of all versions at hand; `None` while their names are on their way.
    fn needed_rows(&mut self) -> Option<Set<StoreKey>> {
        let versions: Vec<Which> = core::iter::once(Which::Serving)
            .chain(self.kept.iter().map(|kept| Which::Kept(kept.manifest.version)))
            .collect();
        let mut needed = Set::new();
        for which in versions {
            match self.name_rows(which) {
                Ok(()) => needed.extend(self.snapshot(which)?.rows()?),
                Err(Lack::Waits) => return None,
                Err(Lack::Unknown(_) | Lack::Failed(_)) => {
                    // A version whose rows cannot even be named is lost.
                    self.collect = which != Which::Serving;
                    self.kept.retain(|kept| Which::Kept(kept.manifest.version) != which);
                    self.save_state(false);
                    return None;
                }
            }
        }
        Some(needed)
    }

    pub(super) fn name_rows(&mut self, which: Which) -> Result<(), Lack> {
        let shelves = self.snapshot(which).map_or(0, |version| version.shelves.len());
        for at in 0..shelves {
            let part = Part { which, at };
            self.bring(part, quietly())?;
            let index = self.shelf(part)?.index();
            let pages: Vec<u32> =
                (0..index.page_count()).filter(|page| !index.has_page(*page)).collect();
            let shelf = self.shelf(part)?;
            let pages: Vec<u32> =
                pages.into_iter().filter(|page| shelf.needs_page(*page)).collect();
            for page in pages {
                self.page(part, page, quietly())?;
            }
        }
        Ok(())
    }
}
