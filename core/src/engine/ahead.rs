//! Segments of deltas are asked for before their turn comes: one after the other, each would cost a
//! round trip. As soon as a head is believed but for the proof that the log only grew, the segments
//! that it leads to are on their way beside that proof's tiles: they are named by their hash, and a
//! head that turns out wrong costs their bytes alone.

use alloc::vec::Vec;

use crate::format::manifest::{Manifest, Segment};
use crate::plan::queue::Class;
use crate::types::{ObjectKind, ObjectRef};

use super::Engine;
use super::blob::{BlobSpec, Wish};
use super::io::Road;

/// Bytes of segments that are here or on their way before their turn, at most; and one segment.
const AHEAD_BYTES: u64 = 2 << 20;

/// The first segments of some deltas, each with its class, as far as there is room.
fn first<'a>(deltas: impl Iterator<Item = (Class, &'a [Segment])>) -> Vec<(Class, ObjectRef)> {
    let mut room = AHEAD_BYTES;
    let segments = deltas.flat_map(|(class, segments)| segments.iter().map(move |s| (class, s)));
    let fitting = segments.map_while(|(class, segment)| {
        let fits = room > 0;
        room = room.saturating_sub(segment.object.len);
        fits.then_some((class, segment.object))
    });
    fitting.collect()
}

impl Engine {
    /// Asks for the next segments of the version under way.
    pub(super) fn ask_ahead(&mut self) {
        let Some(target) = &self.target else { return };
        let begun = self.apply.as_ref().map(|apply| (apply.part.at, apply.next_segment()));
        let order = target.order();
        let deltas = order.iter().filter_map(|at| {
            let delta = target.shelves.get(*at)?.delta?;
            let delta = target.manifest.collections.get(*at)?.deltas.get(delta)?;
            let next = begun.filter(|(part, _)| part == at).map_or(0, |(_, next)| next);
            Some((target.class(*at), delta.segments.get(next..)?))
        });
        let wanted = first(deltas);
        self.ask_for_segments(wanted);
    }

    /// Asks for the first segments of a version that is likely the next one.
    pub(super) fn ask_early(&mut self, manifest: ObjectRef) {
        let bytes = self.inline.get(&manifest.name).filter(|_| self.sync.is_some());
        let Some(Ok(parsed)) = bytes.map(|bytes| Manifest::parse(bytes)) else { return };
        let deltas = parsed.collections.iter().filter_map(|collection| {
            let (Road::Delta(delta), _) = self.road(&manifest.name, collection) else {
                return None;
            };
            Some((Class::Bootstrap, collection.deltas.get(delta)?.segments.as_slice()))
        });
        let wanted = first(deltas);
        self.ask_for_segments(wanted);
    }

    fn ask_for_segments(&mut self, wanted: Vec<(Class, ObjectRef)>) {
        for (class, object) in wanted {
            // One that is here, on its way or failed is its turn's.
            if !self.blobs.contains_key(&object.name) {
                let wish = Wish { class, network: true, reader: None };
                self.want(&BlobSpec::Object { kind: ObjectKind::Delta, object }, wish);
                self.segments_ahead.insert(object.name);
            }
        }
    }

    /// Segments that were asked for before their turn will have none.
    pub(super) fn drop_ahead(&mut self) {
        let names = core::mem::take(&mut self.segments_ahead);
        self.blobs.retain(|name, blob| blob.has_readers() || !names.contains(name));
        self.drop_jobs(|_, job| job.blob().is_some_and(|name| names.contains(&name)));
    }
}
