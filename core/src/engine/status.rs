//! The engine's state in words, for callers that ask.

use alloc::string::String;

use crate::types::{Millis, ObjectKind};

use super::Engine;
use super::io::{CollectionStatus, Event, Phase, Progress, Status, StoreKey};
use super::net::What;

/// Least time between two progress events.
const PROGRESS_MS: u64 = 100;

impl Engine {
    /// The state in full; walks the index of each collection.
    pub(super) fn status(&self, now: Millis) -> Status {
        let serving = self.serving();
        let stored = self.committed.is_some();
        let collections = serving.map_or_else(Default::default, |snapshot| {
            (0..snapshot.manifest.collections.len())
                .filter_map(|at| self.collection_status(at))
                .collect()
        });
        Status {
            phase: self.sync.as_ref().map_or(self.idle_phase(), |sync| sync.phase),
            version: serving.map(|snapshot| snapshot.manifest.version),
            stored,
            audit: self.audit_status(),
            freshness: self.freshness(now),
            collections,
            sources: self.sources.status(now),
            bytes_fetched: self.bytes_fetched,
            requests: self.requests_made,
            kept: self.kept.iter().map(|kept| kept.manifest.version).collect(),
            deltas: self.delta_status,
            decoded_bytes: self.decoded_bytes,
            timings: self.timings,
        }
    }

    /// Tells how far the sync is, at most ten times a second: counting walks the index.
    pub(super) fn progressed(&mut self, now: Millis) {
        if now.since(self.last_progress) < PROGRESS_MS {
            return;
        }
        self.last_progress = now;
        let progress = self.progress(now);
        self.look_ahead(progress.eta_ms, now);
        self.event(Event::Progress(progress));
    }

    pub(super) fn progress(&mut self, now: Millis) -> Progress {
        let Some(snapshot) = self.target.as_ref().or(self.committed.as_ref()) else {
            return Progress::default();
        };
        let (bytes_total, bundles_total) = snapshot.totals();
        let (mut bytes_done, mut bundles_done) = (0, 0);
        for shelf in &snapshot.shelves {
            if let Some(dictionary) = &shelf.base.dictionary {
                let key = StoreKey::Object(ObjectKind::Dictionary, dictionary.object.name);
                let here = self.store.has(&key) || self.store.is_coming(&key);
                bytes_done += if here { dictionary.object.len } else { 0 };
            }
            for bundle in (0..shelf.index().page_count()).flat_map(|p| shelf.index().bundles(p)) {
                let key = StoreKey::Object(ObjectKind::Bundle, bundle.name);
                let stored = self.store.has(&key);
                bundles_done += u64::from(stored);
                if stored || self.store.is_coming(&key) {
                    bytes_done += bundle.len;
                }
            }
        }
        for (request, fetch) in self.net.fetches.iter() {
            if let What::Bundle(job) = &fetch.job.what
                && !fetch.is_copy(*request)
            {
                bytes_done += job.verified_len as u64;
            }
        }
        let rate = self.meter.rate(now);
        let left = bytes_total.saturating_sub(bytes_done);
        let eta_ms = left.saturating_mul(1000).checked_div(rate);
        Progress { bytes_done, bytes_total, bundles_done, bundles_total, rate, eta_ms }
    }

    fn idle_phase(&self) -> Phase {
        match (self.last_phase, &self.committed) {
            (Phase::Idle, Some(_)) => Phase::Complete,
            (phase, _) => phase,
        }
    }

    fn collection_status(&self, at: usize) -> Option<CollectionStatus> {
        let serving = self.serving()?;
        let collection = serving.manifest.collections.get(at)?;
        let shelf = serving.shelves.get(at)?;
        let complete = self.committed.is_some();
        let (mut bundles_stored, mut frames_stored) = (0, 0);
        for page in 0..shelf.index().page_count() {
            for bundle in shelf.index().bundles(page) {
                let key = StoreKey::Object(ObjectKind::Bundle, bundle.name);
                bundles_stored += u64::from(self.store.has(&key));
                for (_, frame) in shelf.index().frames_of(&bundle) {
                    frames_stored += u64::from(self.store.has(&StoreKey::Frame(frame.wire.name)));
                }
            }
        }
        if complete {
            bundles_stored = shelf.base.bundles;
        }
        Some(CollectionStatus {
            name: String::from(collection.name.as_str()),
            priority: collection.priority,
            lazy: collection.lazy,
            params: collection.params,
            records: collection.tree.records,
            root: collection.tree.root,
            plain_bytes: collection.tree.plain_len,
            wire_bytes: shelf.base.wire_len,
            layers: shelf.view.layers().len() as u64,
            layer_bytes: shelf.overlay_len().unwrap_or(0),
            bundles: shelf.base.bundles,
            bundles_stored,
            frames_stored,
            complete: complete || bundles_stored == shelf.base.bundles,
        })
    }
}
