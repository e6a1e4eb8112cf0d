//! Cutting sorted records into leaves and frames, without the tree above.
//!
//! Memory is flat: one frame in the making. A cutter can begin at any frame of a tree: where a
//! leaf ends depends on its own records alone, where a frame ends on its own leaves, and of what
//! stands before only as much matters as the frame's separator tells.

use alloc::vec::Vec;
use core::mem;

use crate::error::{Error, Misuse};
use crate::format::leaf::LeafWriter;
use crate::format::manifest::Params;
use crate::format::node::{Child, Node, shortest_separator};
use crate::hash;
use crate::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};

use super::cut;

/// A finished frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutFrame {
    /// The level-1 node.
    pub node: Node,
    /// The node as its parent's child.
    pub child: Child,
    /// The canonical bytes of its leaves, one after the other.
    pub plain: Vec<u8>,
}

#[derive(Debug, Default)]
struct OpenFrame {
    children: Vec<Child>,
    entries_len: usize,
    plain: Vec<u8>,
}

/// Cuts records in ascending key order.
#[derive(Debug)]
pub struct FrameCutter {
    params: Params,
    leaf: LeafWriter,
    leaf_separator: Vec<u8>,
    /// The last key, or what stands for it; `None` before the first record of a tree.
    last_key: Option<Vec<u8>>,
    frame: OpenFrame,
}

impl FrameCutter {
    /// Begins with a tree's first record.
    pub fn new(params: Params) -> Result<Self, Error> {
        if !params.is_valid() {
            return Err(Misuse::Parameters { field: "a tree target" }.into());
        }
        Ok(Self {
            params,
            leaf: LeafWriter::default(),
            leaf_separator: Vec::new(),
            last_key: None,
            frame: OpenFrame::default(),
        })
    }

    /// Goes on at a frame of a tree, known by its separator, between two frames.
    ///
    /// The separator without its last byte is a prefix of the last key before it, and every key
    /// from the separator on differs from that key within the separator's length or at the same
    /// place as from the prefix: so both give the same separators.
    pub fn resume(&mut self, separator: &[u8]) {
        self.last_key = separator.split_last().map(|(_, shared)| shared.to_vec());
    }

    /// Whether the last record ended a frame, or there was none.
    pub fn is_between_frames(&self) -> bool {
        self.leaf.is_empty() && self.frame.children.is_empty()
    }

    /// Whether a frame of this separator would have it again after the records so far.
    pub fn keeps(&self, separator: &[u8]) -> bool {
        match &self.last_key {
            None => separator.is_empty(),
            Some(last) => !separator.is_empty() && shortest_separator(last, separator) == separator,
        }
    }

    /// Adds a record; its key comes after every key before it. Gives the frame that it ends.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<CutFrame>, Error> {
        if key.len() > MAX_KEY_LEN {
            return Err(Misuse::KeyTooLong.into());
        }
        if value.len() > MAX_VALUE_LEN {
            return Err(Misuse::ValueTooLong.into());
        }
        let last = match &mut self.last_key {
            Some(last) if key <= last.as_slice() => return Err(Misuse::KeyOrder.into()),
            Some(last) => {
                if self.leaf.is_empty() {
                    self.leaf_separator = shortest_separator(last, key).to_vec();
                }
                last
            }
            none => none.insert(Vec::new()),
        };
        last.clear();
        last.extend_from_slice(key);
        let item = self.leaf.record_len(key, value);
        self.leaf.push(key, value);
        if cut::ends_leaf(key, self.params.leaf_target, self.leaf.len(), item) {
            Ok(self.end_leaf())
        } else {
            Ok(None)
        }
    }

    /// Ends the tree; the last frame, where one is open.
    pub fn finish(&mut self) -> Option<CutFrame> {
        if !self.leaf.is_empty()
            && let Some(frame) = self.end_leaf()
        {
            return Some(frame);
        }
        (!self.frame.children.is_empty()).then(|| self.end_frame())
    }

    fn end_leaf(&mut self) -> Option<CutFrame> {
        let records = self.leaf.records();
        let bytes = mem::take(&mut self.leaf).finish();
        let child = Child {
            separator: mem::take(&mut self.leaf_separator),
            identity: hash::identity(&bytes),
            plain_len: bytes.len() as u64,
            records,
        };
        let frame = &mut self.frame;
        frame.plain.extend_from_slice(&bytes);
        frame.entries_len += child.encoded_len();
        let ends = cut::ends_frame(
            &child.separator,
            self.params.frame_target,
            frame.plain.len(),
            bytes.len(),
            frame.entries_len,
            frame.children.len() + 1,
        );
        frame.children.push(child);
        ends.then(|| self.end_frame())
    }

    fn end_frame(&mut self) -> CutFrame {
        let frame = mem::take(&mut self.frame);
        let node = Node { level: 1, children: frame.children };
        let child = node.as_child();
        CutFrame { node, child, plain: frame.plain }
    }
}
