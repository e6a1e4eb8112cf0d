//! What of a collection is subscribed: all of it, or key ranges.
//!
//! A partial replica holds the bundles that its ranges meet, and what of an overlay lies over them;
//! it comes by the base's road, since a delta is predicted from all records. What is held is
//! checked up to the signed root as ever. Outside of the ranges reads are lazy, where the
//! collection allows that, or say that nothing is known.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::map::Map;

use super::Engine;
use super::frames::{Lack, Which};
use super::snapshot::Shelf;

/// A range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key, inclusive.
    pub start: Vec<u8>,
    /// The end, exclusive; `None` is past the last key.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Whether it has a key in common with a range from `start` to before `end`.
    fn meets(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        let begins = end.is_none_or(|end| self.start.as_slice() < end);
        begins && self.end.as_ref().is_none_or(|own| own.as_slice() > start)
    }
}

/// The ranges of a collection that are subscribed; `None` is all of it.
pub(super) type Scope = Option<Rc<Vec<KeyRange>>>;

/// Whether a scope has a key in common with a range.
pub(super) fn meets(scope: &Scope, start: &[u8], end: Option<&[u8]>) -> bool {
    scope.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.meets(start, end)))
}

impl Shelf {
    /// The same, of which so much is subscribed.
    #[must_use]
    pub(super) fn within(mut self, scope: Scope) -> Self {
        self.partial |= scope.is_some();
        self.scope = scope;
        self
    }

    /// Whether a page of the base's layout is needed. Under layers all are: frames are found by the
    /// whole list of them.
    pub(super) fn needs_page(&self, page: u32) -> bool {
        if !self.view.layers().is_empty() {
            return true;
        }
        let Some(ranges) = &self.scope else { return true };
        let place = |key: &[u8]| self.index().page_for(key).unwrap_or(0);
        ranges.iter().any(|range| {
            let last = range.end.as_ref().map_or(u32::MAX, |end| place(end));
            (place(&range.start)..=last).contains(&page)
        })
    }

    /// How many bundles are needed, and how many of them come before one of a number.
    pub(super) fn count_needed(&self, before: u64) -> (u64, u64) {
        let total = self.index().bundle_count();
        if self.scope.is_none() {
            return (total, before.min(total));
        }
        let needed = self.needed();
        let counts = (0..total).filter(|ordinal| self.needs_bundle(*ordinal, &needed));
        counts.fold((0, 0), |(all, done), ordinal| (all + 1, done + u64::from(ordinal < before)))
    }

    /// What is needed: the ranges, and under layers as much more as the frames that they meet
    /// reach beyond them, since a frame is put together as a whole.
    pub(super) fn needed(&self) -> Scope {
        let ranges = self.scope.as_ref()?;
        let Some(frames) = self.view.frames().filter(|_| !self.view.layers().is_empty()) else {
            return self.scope.clone();
        };
        let widened = ranges.iter().map(|range| {
            let before = |key: &[u8]| frames.partition_point(|f| f.separator.as_slice() <= key);
            let first = before(&range.start).saturating_sub(1);
            let start = frames.get(first).map(|frame| frame.separator.clone());
            let end = range.end.as_ref().and_then(|end| {
                let after = frames.partition_point(|frame| frame.separator < *end);
                frames.get(after.max(first + 1)).map(|frame| frame.separator.clone())
            });
            KeyRange { start: start.unwrap_or_default(), end }
        });
        Some(Rc::new(widened.collect()))
    }

    /// Whether a bundle is needed, whose page is held.
    pub(super) fn needs_bundle(&self, ordinal: u64, needed: &Scope) -> bool {
        if needed.is_none() {
            return true;
        }
        let index = self.index();
        let Some(bundle) = index.bundle(ordinal) else { return false };
        let mut frames = index.frames_of(&bundle).map(|(_, frame)| frame);
        let Some(first) = frames.next() else { return false };
        let upper = frames.last().map_or(first.upper, |last| last.upper);
        meets(needed, &first.child.separator, upper)
    }
}

impl Engine {
    /// What is subscribed from now on; a collection that is not named is as a whole. What is no
    /// longer subscribed is collected, what is lacking comes with the next sync.
    pub(super) fn subscribe(&mut self, scope: Map<String, Vec<KeyRange>>) {
        self.scope = scope.into_entries().map(|(name, ranges)| (name, Rc::new(ranges))).collect();
        let (scope, mut news) = (&self.scope, false);
        for snapshot in [&mut self.committed, &mut self.target].into_iter().flatten() {
            let collections = &snapshot.manifest.collections;
            for (collection, shelf) in collections.iter().zip(&mut snapshot.shelves) {
                shelf.scope = scope.get(collection.name.as_str()).cloned();
                news |= shelf.scope.is_some() && !shelf.partial;
                shelf.partial |= shelf.scope.is_some();
            }
        }
        self.collect = true;
        if news {
            // Before any row goes.
            self.save_state(false);
        }
    }

    /// Whether the version that serves reads may lack rows that nobody looked for.
    pub(super) fn holds_parts(&self) -> bool {
        let held = self.committed.as_ref();
        held.is_some_and(|held| held.shelves.iter().any(|shelf| shelf.partial))
    }

    /// Whether the version that serves reads lacks rows that are subscribed; `None` while that is
    /// being found out. Whoever holds collections as a whole committed them as a whole.
    pub(super) fn lacks_rows(&mut self) -> Option<bool> {
        if !self.holds_parts() {
            return Some(false);
        }
        match self.name_rows(Which::Serving) {
            Ok(()) => {}
            Err(Lack::Waits) => return None,
            Err(Lack::Unknown(_) | Lack::Failed(_)) => return Some(true),
        }
        let (rows, all) = self.snapshot(Which::Serving)?.known_rows();
        let lacks = !all || rows.iter().any(|key| !self.store.has(key));
        if let Some(held) = self.committed.as_mut().filter(|_| !lacks) {
            for shelf in &mut held.shelves {
                shelf.partial = shelf.scope.is_some();
            }
        }
        Some(lacks)
    }
}
