//! The engine's state in words, for callers that ask.

use alloc::string::String;

use crate::types::{Millis, ObjectKind};

use super::Engine;
use super::io::{CollectionStatus, Phase, Status, StoreKey};

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
