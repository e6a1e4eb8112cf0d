//! By which road a version's collections come home: kept as they are, by a delta, or by a base.
//!
//! The fewer signed bytes win, but where the other road takes much less time and few more bytes: by
//! what sources are measured to give, and how long deltas took to apply here. A road that turns out
//! not to lead there (a segment that nobody has, rows that the store lost, a delta that does not
//! give the signed root) is left for the base's: it needs nothing that is held.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::format::manifest::{Collection, Manifest};
use crate::limits::MAX_HELD_LAYERS;
use crate::plan::queue::Class;
use crate::trust::accept::Accepted;
use crate::types::{ObjectKind, ObjectRef, WireName};

use super::Engine;
use super::blob::{BlobSpec, Poll, Wish};
use super::frames::{Part, Which};
use super::head::HeadTask;
use super::io::{Event, Failure, Phase, Road, StoreKey, Why};
use super::snapshot::{Shelf, Snapshot};

/// Entries over a base of up to so many bytes are never too many.
const SMALL_OVERLAY: u64 = 1 << 20;
/// Above that they may have this part of the base's plain bytes, before another base is taken.
const OVERLAY_PART: u64 = 8;

/// The time of one delta from which on it says how quick applying is.
const APPLY_KNOWN_MS: u64 = 20;
/// More bytes are worth it for twice the speed, and so much less time.
const ROAD_GAIN_MS: u64 = 1000;
/// So many times the bytes at most: somebody serves them, and an overlay grows with each version.
const ROAD_BYTES_TIMES: u64 = 4;

/// What roads are compared by: bytes a second, as far as they are known.
struct Pace {
    network: Option<u64>,
    apply: Option<u64>,
}

impl Pace {
    /// Whether a delta is the better road than fetching the rest, and why; `saves`: whether bytes
    /// alone count, because somebody pays for them.
    fn compare(&self, delta: u64, rest: u64, saves: bool) -> (bool, Why) {
        let fewer = delta <= rest;
        let (Some(network), Some(apply), false) = (self.network, self.apply, saves) else {
            return (fewer, Why::Bytes);
        };
        let ms = |bytes: u64, rate: u64| bytes.saturating_mul(1000) / rate.max(1);
        let by_delta = ms(delta, network).saturating_add(ms(delta, apply));
        let by_rest = ms(rest, network);
        // A delta with more bytes is never quicker.
        let quicker = by_delta / 2 >= by_rest && by_delta >= by_rest.saturating_add(ROAD_GAIN_MS);
        let worth = rest <= delta.saturating_mul(ROAD_BYTES_TIMES);
        if fewer && quicker && worth { (false, Why::Time) } else { (fewer, Why::Bytes) }
    }
}

impl Engine {
    /// The road of a collection of a version that is about to be brought.
    pub(super) fn road(&self, manifest: &WireName, collection: &Collection) -> (Road, Why) {
        const ALONE: (Road, Why) = (Road::Base, Why::Only);
        let held = self.committed.as_ref().and_then(|held| Some((held, held.held(collection)?)));
        let Some((held, (at, shelf))) = held else { return ALONE };
        if self.base_only.as_ref() == Some(manifest) || self.has_lost(held) {
            return ALONE;
        }
        let same_base = shelf.base.directory == collection.base.directory;
        let same_root =
            held.manifest.collections.get(at).map(|c| c.tree.root) == Some(collection.tree.root);
        if !same_base && is_outgrown(shelf) {
            return (Road::Base, Why::Outgrown);
        }
        let subscribed = self.scope.contains_key(collection.name.as_str());
        if shelf.partial && !subscribed {
            return ALONE;
        }
        if same_root {
            return (Road::Keep, Why::Held);
        }
        if subscribed {
            return ALONE;
        }
        let Some((_, _, number)) = held.delta_to(collection) else { return ALONE };
        let Some(delta) = collection.deltas.get(number) else { return ALONE };
        if shelf.view.layers().len() + 1 >= MAX_HELD_LAYERS {
            return (Road::Base, Why::Outgrown);
        }
        let overlay = collection.overlay.map_or(0, |overlay| overlay.wire_len);
        let bundles = if same_base { 0 } else { collection.base.wire_len };
        let pace = Pace { network: self.sources.usual_rate(), apply: self.apply_rate };
        let saves = self.standing.few().is_some();
        match pace.compare(delta.wire_len(), overlay.saturating_add(bundles), saves) {
            (true, why) => (Road::Delta(number), why),
            (false, why) => (Road::Base, why),
        }
    }

    /// A delta of so many bytes was applied.
    pub(super) fn applied(&mut self, bytes: u64, ms: u64) {
        self.apply_rate = apply_rate(self.apply_rate, bytes, ms);
    }

    /// Whether a version lacks rows that were looked for.
    pub(super) fn has_lost(&self, snapshot: &Snapshot) -> bool {
        // What is not known yet is found out when it is read.
        self.store.has_lost(&snapshot.known_rows().0)
    }

    /// The shelves of a version; `None` while a layout directory is on its way.
    pub(super) fn shelves(
        &mut self,
        manifest: &Manifest,
        name: &WireName,
    ) -> Result<Option<Vec<Shelf>>, Failure> {
        let roads: Vec<(Road, Why)> =
            manifest.collections.iter().map(|collection| self.road(name, collection)).collect();
        let mut wanted = Vec::new();
        for (collection, (road, _)) in manifest.collections.iter().zip(&roads) {
            let object = collection.base.directory;
            if *road == Road::Base && self.held_directory(collection).is_none() {
                wanted.push(object);
            }
        }
        self.directories = wanted.iter().map(|object| object.name).collect();
        let mut waits = false;
        for object in &wanted {
            waits |= self.fetch_meta(ObjectKind::Layout, *object)?.is_none();
        }
        if waits {
            return Ok(None);
        }
        let mut shelves = Vec::new();
        for (collection, (road, why)) in manifest.collections.iter().zip(roads) {
            let held = self.committed.as_ref().and_then(|held| held.held(collection));
            let shelf = match (road, held) {
                (Road::Keep, Some((_, shelf))) => Ok(shelf.clone().kept_for(collection)),
                (Road::Delta(delta), Some((_, shelf))) => Ok(shelf.before(delta)),
                (Road::Base | Road::Keep | Road::Delta(_), _) => {
                    let directory = match self.held_directory(collection) {
                        Some(directory) => Some(directory),
                        None => self.fetch_meta(ObjectKind::Layout, collection.base.directory)?,
                    };
                    let Some(directory) = directory else { return Ok(None) };
                    Shelf::published(collection, directory)
                }
            };
            let shelf = shelf.map_err(|error| {
                self.directory_belied(manifest);
                Failure::Error(error)
            })?;
            let name = collection.name.as_str();
            self.event(Event::Road { collection: name.into(), road, why });
            shelves.push(shelf.within(self.scope.get(name).cloned()));
        }
        for object in wanted {
            self.drop_blob(&object.name);
        }
        self.directories.clear();
        Ok(Some(shelves))
    }

    /// The bytes of a base's layout directory, where that base is held.
    fn held_directory(&self, collection: &Collection) -> Option<Vec<u8>> {
        let (_, shelf) = self.committed.as_ref()?.held(collection)?;
        let same = shelf.base == collection.base;
        same.then(|| shelf.directory().as_ref().clone())
    }

    /// Brings the overlay of a base into the view and into the store; whether any of it is missing.
    pub(super) fn want_layers(&mut self, at: usize, class: Class) -> Result<bool, Failure> {
        let Some(shelf) = self.target.as_ref().and_then(|target| target.shelves.get(at)) else {
            return Ok(false);
        };
        let network = !shelf.own;
        let wish = Wish { class, network, reader: None };
        let layers: Vec<ObjectRef> = shelf.view.layers().iter().map(|layer| layer.object).collect();
        let mut missing = false;
        for (number, object) in layers.into_iter().enumerate() {
            let part = Part { which: Which::Target, at };
            let held = |engine: &Self| {
                let layer = engine.shelf(part).ok()?.view.layers().get(number)?;
                layer.directory.clone()
            };
            let kind = ObjectKind::Layer;
            if held(self).is_none() || !self.is_kept(kind, &object) {
                match self.want(&BlobSpec::Object { kind, object }, wish) {
                    Poll::Ready(bytes) => {
                        self.store.put(StoreKey::Object(kind, object.name), bytes.clone());
                        let target = self.target.as_mut();
                        let added = target.map_or(Ok(()), |t| t.add_layer(at, number, &bytes));
                        self.drop_blob(&object.name);
                        if let Err(error) = added {
                            self.layer_belied(part, kind, object.name);
                            return Err(Failure::Error(error));
                        }
                    }
                    Poll::Pending => missing = true,
                    Poll::NotHere => return Ok(self.leave_road()),
                    Poll::Failed(failure) => return Err(failure),
                }
            }
            let Some(directory) = held(self) else { continue };
            let needed: Vec<ObjectRef> = match self.shelf(part) {
                Ok(shelf) => shelf.pages_needed(&directory).map(|page| page.object).collect(),
                Err(_) => Vec::new(),
            };
            for object in needed {
                let kind = ObjectKind::LayerPage;
                if self.is_kept(kind, &object) {
                    continue;
                }
                match self.want(&BlobSpec::Object { kind, object }, wish) {
                    Poll::Ready(bytes) => {
                        self.store.put(StoreKey::Object(kind, object.name), bytes);
                        self.drop_blob(&object.name);
                    }
                    Poll::Pending => missing = true,
                    Poll::NotHere => return Ok(self.leave_road()),
                    Poll::Failed(failure) => return Err(failure),
                }
            }
        }
        Ok(missing)
    }

    /// Layers of the client's own are lost: the base's road needs none. Something is missing then.
    fn leave_road(&mut self) -> bool {
        self.take_base();
        true
    }

    /// The version under way is to come by its bases alone: it is adopted again.
    pub(super) fn take_base(&mut self) {
        let Some(target) = self.target.take() else { return };
        self.apply = None;
        self.drop_ahead();
        self.base_only = Some(target.manifest_name);
        self.readopt(&target);
        if let Some(sync) = &mut self.sync {
            sync.phase = Phase::Trust;
        }
    }

    /// Adopts once more what was accepted before.
    pub(super) fn readopt(&mut self, snapshot: &Snapshot) {
        let Some(head) = snapshot.trust.head().cloned() else { return };
        let Some(channel) = head.channel(self.channel.as_str()).cloned() else { return };
        let state = snapshot.trust.clone();
        let accepted = Accepted { state, head, channel, reset: false };
        self.adoption = Some(Rc::clone(&snapshot.manifest_bytes));
        self.head = HeadTask::Adopting(Box::new(accepted));
    }
}

/// Whether so much lies over a base that another one is better.
fn is_outgrown(shelf: &Shelf) -> bool {
    shelf.overlay_len().is_some_and(|len| is_too_much(len, shelf.base.tree.plain_len))
}

/// How quick applying is, in bytes a second, once a delta of so many bytes was applied.
fn apply_rate(known: Option<u64>, bytes: u64, ms: u64) -> Option<u64> {
    // What took a moment says little.
    if ms < APPLY_KNOWN_MS {
        return known;
    }
    let rate = bytes.saturating_mul(1000) / ms;
    Some(known.map_or(rate, |known| (known + rate) / 2).max(1))
}

/// Whether entries of so many bytes are too many over a base of so many plain bytes.
fn is_too_much(overlay: u64, base: u64) -> bool {
    overlay > SMALL_OVERLAY.max(base / OVERLAY_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_the_base_or_a_megabyte_is_not_too_much() {
        const MIB: u64 = 1 << 20;
        let cases = [(MIB, 0), (MIB + 1, 0), (MIB + 1, 8 * MIB + 8), (MIB + 2, 8 * MIB + 8)];
        assert_eq!(
            cases.map(|(overlay, base)| is_too_much(overlay, base)),
            [false, true, false, true]
        );
    }

    #[test]
    fn how_quick_applying_is_comes_from_deltas_that_took_their_time() {
        assert_eq!(apply_rate(None, 5000, 19), None);
        assert_eq!(apply_rate(Some(7), 5000, 19), Some(7));
        assert_eq!(apply_rate(None, 5000, 20), Some(250_000));
        assert_eq!(apply_rate(Some(150_000), 5000, 20), Some(200_000));
        assert_eq!(apply_rate(None, 1, 5000), Some(1), "never none at all");
    }

    #[test]
    fn fewer_bytes_win_but_for_much_less_time() {
        const MB: u64 = 1_000_000;
        let quick = |apply| Pace { network: Some(50 * MB), apply };
        let cases = [
            // Two seconds of applying against a quarter of one on the line.
            (quick(Some(5 * MB)), (10 * MB, 12 * MB), false, (false, Why::Time)),
            // As much, but somebody pays.
            (quick(Some(5 * MB)), (10 * MB, 12 * MB), true, (true, Why::Bytes)),
            (quick(Some(5 * MB)), (10 * MB, 40 * MB), false, (false, Why::Time)),
            // More than four times the bytes.
            (quick(Some(5 * MB)), (10 * MB, 40 * MB + 1), false, (true, Why::Bytes)),
            (quick(Some(50 * MB)), (10 * MB, 12 * MB), false, (true, Why::Bytes)),
            (quick(None), (10 * MB, 12 * MB), false, (true, Why::Bytes)),
            // A tenth of both is no matter of a second.
            (quick(Some(5 * MB)), (MB, MB + 1), false, (true, Why::Bytes)),
            (Pace { network: Some(MB), apply: Some(5 * MB) }, (10, 12), false, (true, Why::Bytes)),
            (quick(Some(5 * MB)), (12 * MB, 10 * MB), false, (false, Why::Bytes)),
        ];
        for (at, (pace, (delta, rest), saves, expected)) in cases.into_iter().enumerate() {
            assert_eq!(pace.compare(delta, rest, saves), expected, "case {at}");
        }
    }
}
