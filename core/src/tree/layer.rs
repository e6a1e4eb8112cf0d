//! Layers over a tree: writing them, merging them, and reading records through them.
//!
//! A frame of a newer version is put together from the records of the tree below and the entries
//! over them, and cut into leaves by the tree's own rule. It is checked as any decoded frame is
//! (`tree::verify`), so a layer that lies ends there.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::codec::at_most;
use crate::error::Error;
use crate::format::layer::{Change, LayerPage, LayerPageWriter};
use crate::format::leaf::LeafWriter;
use crate::format::manifest::Params;
use crate::limits::MAX_FRAME_PLAIN_LEN;

use super::cut;
use super::verify::VerifiedFrame;

/// A finished page: its first key, and its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPage {
    /// The first key.
    pub start: Vec<u8>,
    /// The entries, not compressed.
    pub plain: Vec<u8>,
}

/// Cuts entries in ascending key order into pages. Pages end by the key's hash, so those that
/// another version does not touch stay as they are.
#[derive(Debug)]
pub struct LayerWriter {
    target: u32,
    page: LayerPageWriter,
    operations: u64,
}

impl LayerWriter {
    /// Begins a layer whose pages have about so many plain bytes.
    pub fn new(target: u32) -> Self {
        Self { target, page: LayerPageWriter::default(), operations: 0 }
    }

    /// Adds an entry; gives the page that it ends.
    pub fn push(&mut self, key: &[u8], change: &Change) -> Option<BuiltPage> {
        let item = self.page.push(key, change);
        self.operations += 1;
        let ends = cut::ends_layer_page(key, self.target, self.page.len() as u64, item as u64);
        ends.then(|| self.end_page())
    }

    /// Entries so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The last page, where one is open.
    pub fn finish(mut self) -> Option<BuiltPage> {
        (!self.page.is_empty()).then(|| self.end_page())
    }

    fn end_page(&mut self) -> BuiltPage {
        let (start, plain) = core::mem::take(&mut self.page).finish();
        BuiltPage { start, plain }
    }
}

/// What two layers do to one key, the second over the first; `None` where they undo each other.
pub fn merge(below: Change, above: Change) -> Option<Change> {
    match (below, above) {
        (Change::Insert(_), Change::Delete) => None,
        (Change::Insert(_), Change::Update(value) | Change::Insert(value)) => {
            Some(Change::Insert(value))
        }
        (Change::Update(_) | Change::Delete, Change::Delete) => Some(Change::Delete),
        (Change::Update(_) | Change::Delete, Change::Update(value) | Change::Insert(value)) => {
            Some(Change::Update(value))
        }
    }
}

/// Entries of one or more layers in key order: what they come to, the newest on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    list: Vec<(Vec<u8>, Change)>,
}

impl Entries {
    /// Lays entries in key order over those that are here.
    pub fn lay(&mut self, above: Vec<(Vec<u8>, Change)>) {
        if self.list.is_empty() {
            self.list = above;
            return;
        }
        let below = core::mem::take(&mut self.list);
        let mut list = Vec::with_capacity(below.len() + above.len());
        let (mut below, mut above) = (below.into_iter().peekable(), above.into_iter().peekable());
        loop {
            let order = match (below.peek(), above.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((below, _)), Some((above, _))) => below.cmp(above),
            };
            match order {
                Ordering::Less => list.extend(below.next()),
                Ordering::Greater => list.extend(above.next()),
                Ordering::Equal => {
                    if let (Some((key, under)), Some((_, over))) = (below.next(), above.next()) {
                        list.extend(merge(under, over).map(|change| (key, change)));
                    }
                }
            }
        }
        self.list = list;
    }

    /// Lays the entries of a page over those that are here, from `start` to before `end`.
    pub fn lay_page(&mut self, page: &LayerPage, start: &[u8], end: Option<&[u8]>) {
        let mut above = Vec::new();
        page.visit_from(start, &mut |key, change| {
            let within = end.is_none_or(|end| key < end);
            if within {
                above.push((key.to_vec(), change));
            }
            within
        });
        self.lay(above);
    }

    /// The entries.
    pub fn list(&self) -> &[(Vec<u8>, Change)] {
        &self.list
    }

    /// The entries, to be kept.
    pub fn into_list(self) -> Vec<(Vec<u8>, Change)> {
        self.list
    }
}

/// Is shown keys with their values, until it fails.
pub type Visit<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'a;

/// Shows the records of some frames, in key order, from `start` to before `end`, with entries over
/// them.
pub fn visit_through<E>(
    frames: &[alloc::rc::Rc<VerifiedFrame>],
    entries: &[(Vec<u8>, Change)],
    start: &[u8],
    end: Option<&[u8]>,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let within = |key: &[u8]| end.is_none_or(|end| key < end);
    let mut rest = entries.iter().filter(|(key, _)| key.as_slice() >= start).peekable();
    let mut result = Ok(());
    for frame in frames {
        frame.visit_from(start, &mut |key, value| {
            if !within(key) {
                return false;
            }
            result = (|| {
                while let Some((new, change)) = rest.next_if(|(new, _)| new.as_slice() < key) {
                    change.value().map_or(Ok(()), |value| visit(new, value))?;
                }
                match rest.next_if(|(new, _)| new.as_slice() == key) {
                    Some((_, change)) => change.value().map_or(Ok(()), |value| visit(key, value)),
                    None => visit(key, value),
                }
            })();
            result.is_ok()
        });
        core::mem::replace(&mut result, Ok(()))?;
    }
    for (new, change) in rest.take_while(|(key, _)| within(key)) {
        change.value().map_or(Ok(()), |value| visit(new, value))?;
    }
    Ok(())
}

/// The plain bytes of the frame of a key range: the records of the frames below it, with entries
/// over them, cut into leaves. Whether they are what the signed root says is for `tree::verify`.
pub fn compose(
    params: &Params,
    frames: &[alloc::rc::Rc<VerifiedFrame>],
    entries: &[(Vec<u8>, Change)],
    start: &[u8],
    end: Option<&[u8]>,
) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let mut leaf = LeafWriter::default();
    visit_through(frames, entries, start, end, &mut |key, value| -> Result<(), Error> {
        let item = leaf.record_len(key, value);
        leaf.push(key, value);
        if cut::ends_leaf(key, params.leaf_target, leaf.len(), item) {
            plain.extend_from_slice(&core::mem::take(&mut leaf).finish());
            at_most("frame plain length", plain.len() as u64, MAX_FRAME_PLAIN_LEN as u64)?;
        }
        Ok(())
    })?;
    if !leaf.is_empty() {
        plain.extend_from_slice(&leaf.finish());
    }
    Ok(plain)
}
