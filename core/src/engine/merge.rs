//! Merging layers in idle time, so that a read looks through few and little is written for it.
//!
//! Layers are of tiers by their size, each four times the one before. When the four on top are of
//! one tier they become one: so a change is written once for each tier, and there are at most a
//! few layers of each. One step reads and writes the entries of one page's range. The old layers
//! serve reads until a transaction holds the new one and the state that names it.
//!
//! Source: the tiered merging of log-structured merge trees (O'Neil et al., 1996).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::error::Error;
use crate::format::layer::{LayerDirectory, LayerPageRef, Patch};
use crate::tree::layer::{Entries, LayerWriter};
use crate::types::{ObjectKind, ObjectRef, WireName};

use super::Engine;
use super::apply::PAGE_TARGET;
use super::frames::{Got, Lack, Part, Which, quietly};
use super::snapshot::Shelf;
use super::work::WorkItem;

/// Layers of one tier that are merged.
const FAN_IN: usize = 4;

/// A merge under way.
#[derive(Debug)]
pub(super) struct Merge {
    part: Part,
    version: WireName,
    layers: core::ops::Range<usize>,
    /// The names of those layers.
    names: Vec<WireName>,
    /// The first keys of the ranges that are merged one after the other.
    starts: Vec<Vec<u8>>,
    next: usize,
    writer: LayerWriter,
    pages: Vec<LayerPageRef>,
    scheduled: bool,
}

impl Merge {
    fn range(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let start = self.starts.get(self.next).cloned().unwrap_or_default();
        (start, self.starts.get(self.next + 1).cloned())
    }
}

/// Sizes of one tier: a number that grows by one when the bytes grow four times.
fn tier(bytes: u64) -> u32 {
    (64 - bytes.saturating_add(bytes / 2).leading_zeros()).div_ceil(2)
}

/// The layers of a shelf that are to become one.
fn due(shelf: &Shelf) -> Option<core::ops::Range<usize>> {
    let sizes: Vec<u64> = shelf
        .view
        .layers()
        .iter()
        .map(|layer| Some(layer.directory.as_ref()?.pages.iter().map(|p| p.plain_len).sum()))
        .collect::<Option<_>>()?;
    let top = tier(*sizes.last()?);
    let alike = sizes.iter().rev().take_while(|bytes| tier(**bytes) <= top).count();
    (alike >= FAN_IN).then(|| sizes.len() - alike..sizes.len())
}

impl Engine {
    fn next_merge(&self) -> Option<(Part, core::ops::Range<usize>)> {
        let committed = self.committed.as_ref()?;
        let shelves = committed.shelves.iter().enumerate();
        shelves
            .filter_map(|(at, shelf)| Some((Part { which: Which::Serving, at }, due(shelf)?)))
            .next()
    }

    /// Whether idle time would be used.
    pub(super) fn merge_is_due(&self) -> bool {
        let idle = self.sync.is_none() && self.reads.is_empty();
        idle && self.merge.is_none() && self.committed.is_some() && self.next_merge().is_some()
    }

    /// Begins with what is due; whether there is anything.
    pub(super) fn begin_merge(&mut self) -> bool {
        if !self.merge_is_due() {
            return false;
        }
        let Some((part, layers)) = self.next_merge() else { return false };
        let Some(committed) = &self.committed else { return false };
        let Some(shelf) = committed.shelves.get(part.at) else { return false };
        let merged = shelf.view.layers().get(layers.clone()).unwrap_or_default();
        let names = merged.iter().map(|layer| layer.object.name).collect();
        let pages = |layer: &crate::tree::view::LayerSlot| {
            layer.directory.as_ref().map_or(0, |directory| directory.pages.len())
        };
        // The layer of most pages gives the ranges: of each other one a few pages meet them.
        let largest = merged.iter().max_by_key(|layer| pages(layer));
        let mut starts: Vec<Vec<u8>> = largest
            .and_then(|layer| layer.directory.as_ref())
            .map(|directory| directory.pages.iter().map(|page| page.start.clone()).collect())
            .unwrap_or_default();
        match starts.first_mut() {
            Some(first) => first.clear(),
            None => starts.push(Vec::new()),
        }
        self.merge = Some(Box::new(Merge {
            part,
            version: committed.manifest_name,
            layers,
            names,
            starts,
            next: 0,
            writer: LayerWriter::new(PAGE_TARGET),
            pages: Vec::new(),
            scheduled: false,
        }));
        true
    }

    /// Goes on as far as the pages are here, while nobody waits for anything.
    pub(super) fn step_merge(&mut self) {
        let Some(merge) = &self.merge else { return };
        if merge.scheduled || !self.reads.is_empty() {
            return;
        }
        if self.sync.is_some() || !self.may_merge(merge) {
            return self.leave_merge();
        }
        match self.merge_pages(None) {
            Ok(()) => {
                if let Some(merge) = &mut self.merge {
                    merge.scheduled = true;
                    self.work.push(WorkItem::Merge);
                }
            }
            Err(Lack::Waits) => {}
            // A page is lost: reads and the next sync see to it.
            Err(Lack::Unknown(_) | Lack::Failed(_)) => self.merge = None,
        }
    }

    /// Whether the version that serves is the one whose layers are merged, with those very layers:
    /// somebody may have gone back to another one.
    fn may_merge(&self, merge: &Merge) -> bool {
        let Some(committed) = &self.committed else { return false };
        let layers = committed.shelves.get(merge.part.at).map(|shelf| shelf.view.layers());
        let layers = layers.and_then(|layers| layers.get(merge.layers.clone()));
        let named = |layers: &[crate::tree::view::LayerSlot]| {
            layers.iter().map(|layer| layer.object.name).eq(merge.names.iter().copied())
        };
        committed.manifest_name == merge.version && layers.is_some_and(named)
    }

    /// What was written so far is collected as any row that nobody names.
    fn leave_merge(&mut self) {
        self.merge = None;
        self.collect = true;
    }

    /// Brings the pages of the next range, and lays their entries over each other.
    fn merge_pages(&mut self, mut entries: Option<&mut Entries>) -> Got<()> {
        let Some(merge) = &self.merge else { return Err(Lack::Waits) };
        let (part, layers) = (merge.part, merge.layers.clone());
        let (start, end) = merge.range();
        let mut wanted: Vec<(ObjectRef, u64)> = Vec::new();
        for layer in self.shelf(part)?.view.layers().get(layers).unwrap_or_default() {
            let Some(directory) = &layer.directory else { continue };
            let pages = directory.pages.get(directory.pages_of(&start, end.as_deref()));
            let pages = pages.unwrap_or_default().iter();
            wanted.extend(pages.map(|page| (page.object, page.plain_len)));
        }
        let mut lack = Ok(());
        for (object, plain_len) in wanted {
            match (self.layer_page(part, object, plain_len, quietly()), &mut entries) {
                (Ok(page), Some(entries)) => entries.lay_page(&page, &start, end.as_deref()),
                (Ok(_), None) => {}
                (Err(Lack::Waits), _) if lack.is_err() => {}
                (Err(why), _) => lack = Err(why),
            }
        }
        lack
    }

    /// Merges one range; about what it cost, in bytes of hashing.
    #[inline(never)]
    pub(super) fn merge_on(&mut self) -> usize {
        if !self.merge.as_ref().is_some_and(|merge| self.may_merge(merge)) {
            self.leave_merge();
            return 1;
        }
        let mut entries = Entries::default();
        let here = self.merge_pages(Some(&mut entries));
        let Some(mut merge) = self.merge.take() else { return 1 };
        merge.scheduled = false;
        if here.is_err() {
            self.merge = Some(merge);
            return 1;
        }
        let mut cost = 1;
        let mut full = Vec::new();
        for (key, change) in entries.into_list() {
            cost += key.len() + change.value().map_or(0, <[u8]>::len);
            full.extend(merge.writer.push(&key, &change));
        }
        merge.next += 1;
        let over = merge.next >= merge.starts.len();
        let operations = merge.writer.operations();
        if over {
            let writer = core::mem::replace(&mut merge.writer, LayerWriter::new(PAGE_TARGET));
            full.extend(writer.finish());
        }
        for page in full {
            let page = self.keep_page(page);
            merge.pages.push(page);
        }
        if !over {
            self.merge = Some(merge);
        } else if self.finish_merge(*merge, operations).is_err() {
            self.collect = true;
        }
        cost.saturating_mul(4)
    }

    fn finish_merge(&mut self, merge: Merge, operations: u64) -> Result<(), Error> {
        let Some(committed) = &self.committed else { return Ok(()) };
        let Some(shelf) = committed.shelves.get(merge.part.at) else { return Ok(()) };
        let (below, above) = shelf.view.frames_around(merge.layers.clone())?;
        let patch = Patch::between(&below, &above);
        let directory = LayerDirectory { operations, patch, pages: merge.pages };
        let bytes = directory.encode();
        let object = self.keep_own(ObjectKind::Layer, bytes);
        if let Some(shelf) =
            self.committed.as_mut().and_then(|committed| committed.shelves.get_mut(merge.part.at))
        {
            *shelf = shelf.with_view(shelf.view.with_merged(merge.layers, object, directory));
        }
        self.save_state(false);
        self.collect = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_holds_sizes_within_four_times() {
        let firsts = [0, 1, 3, 11, 43, 171];
        for (number, first) in firsts.into_iter().enumerate() {
            assert_eq!(tier(first) as usize, number, "{first}");
            assert!(first == 0 || tier(first - 1) as usize == number - 1, "{first}");
        }
        assert_eq!(tier(u64::MAX), 32);
    }
}
