//! Building a tree from sorted records in one pass.
//!
//! Memory is flat: one frame in the making, and the upper nodes (one entry for each frame). The
//! same records and parameters give the same tree on any machine (docs/spec/tree.md).

use alloc::vec::Vec;
use core::mem;

use crate::codec::at_most;
use crate::error::{Error, Misuse};
use crate::format::leaf::LeafWriter;
use crate::format::manifest::{Params, TreeInfo};
use crate::format::node::{Child, Node, shortest_separator};
use crate::hash;
use crate::limits::{MAX_KEY_LEN, MAX_LEVEL, MAX_VALUE_LEN};

use super::cut;

/// A finished frame: a level-1 node and the leaves under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFrame {
    /// The level-1 node.
    pub node: Node,
    /// The node as its parent's child: what the layout and the upper nodes need of it.
    pub child: Child,
    /// The canonical bytes of its leaves, one after the other: what a frame's wire bytes decode
    /// to.
    pub plain: Vec<u8>,
    /// Whether the level-2 node ends after this frame.
    pub ends_node: bool,
}

/// A finished tree above its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltTree {
    /// The root and the totals.
    pub info: TreeInfo,
    /// The nodes of level 2 and above, by level from 2 up, each level in key order; empty where
    /// the root is of level 1.
    pub levels: Vec<Vec<Node>>,
}

#[derive(Debug, Default)]
struct OpenFrame {
    children: Vec<Child>,
    entries_len: usize,
    plain: Vec<u8>,
}

#[derive(Debug, Default)]
struct OpenLevel {
    open: Vec<Child>,
    open_len: usize,
    nodes: Vec<Node>,
}

impl OpenLevel {
    fn end_node(&mut self, level: u8) -> Child {
        let node = Node { level, children: mem::take(&mut self.open) };
        self.open_len = 0;
        let child = node.as_child();
        self.nodes.push(node);
        child
    }
}

/// Builds a tree from records in ascending key order.
#[derive(Debug)]
pub struct TreeBuilder {
    params: Params,
    leaf: LeafWriter,
    leaf_separator: Vec<u8>,
    last_key: Vec<u8>,
    frame: OpenFrame,
    /// Level 2 first.
    upper: Vec<OpenLevel>,
    frames: u64,
    /// The frame that was built last, for a tree that has no other.
    last_frame: Option<Child>,
    records: u64,
    plain_len: u64,
}

impl TreeBuilder {
    /// Starts an empty tree.
    pub fn new(params: Params) -> Result<Self, Error> {
        if !params.is_valid() {
            return Err(Misuse::Parameters { field: "a tree target" }.into());
        }
        Ok(Self {
            params,
            leaf: LeafWriter::default(),
            leaf_separator: Vec::new(),
            last_key: Vec::new(),
            frame: OpenFrame::default(),
            upper: Vec::new(),
            frames: 0,
            last_frame: None,
            records: 0,
            plain_len: 0,
        })
    }

    /// Adds a record; its key comes after every key before it. Gives the frame that it ends.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<BuiltFrame>, Error> {
        if key.len() > MAX_KEY_LEN {
            return Err(Misuse::KeyTooLong.into());
        }
        if value.len() > MAX_VALUE_LEN {
            return Err(Misuse::ValueTooLong.into());
        }
        if self.records > 0 && key <= self.last_key.as_slice() {
            return Err(Misuse::KeyOrder.into());
        }
        if self.leaf.is_empty() && self.records > 0 {
            self.leaf_separator = shortest_separator(&self.last_key, key).to_vec();
        }
        let item = self.leaf.record_len(key, value);
        self.leaf.push(key, value);
        self.records += 1;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if cut::ends_leaf(key, self.params.leaf_target, self.leaf.len(), item) {
            self.end_leaf()
        } else {
            Ok(None)
        }
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the tree. Gives the last frame, where one is open, and the tree above the frames.
    pub fn finish(mut self) -> Result<(Option<BuiltFrame>, BuiltTree), Error> {
        let mut last = None;
        if !self.leaf.is_empty() {
            last = self.end_leaf()?;
        }
        if !self.frame.children.is_empty() {
            last = Some(self.end_frame()?);
        }
        if self.frames > 1
            && let Some(frame) = &mut last
        {
            frame.ends_node = true;
        }
        let tree = self.end_levels()?;
        Ok((last, tree))
    }

    fn end_leaf(&mut self) -> Result<Option<BuiltFrame>, Error> {
        let records = self.leaf.records();
        let bytes = mem::take(&mut self.leaf).finish();
        let child = Child {
            separator: mem::take(&mut self.leaf_separator),
            identity: hash::identity(&bytes),
            plain_len: bytes.len() as u64,
            records,
        };
        self.plain_len += child.plain_len;
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
        if ends { self.end_frame().map(Some) } else { Ok(None) }
    }

    fn end_frame(&mut self) -> Result<BuiltFrame, Error> {
        let frame = mem::take(&mut self.frame);
        let node = Node { level: 1, children: frame.children };
        let child = node.as_child();
        self.frames += 1;
        self.last_frame = Some(child.clone());
        let ends_node = self.add_child(2, child.clone())?;
        Ok(BuiltFrame { node, child, plain: frame.plain, ends_node })
    }

    /// Adds a child to the open node of a level, and the nodes that it ends to those above.
    fn add_child(&mut self, level: u8, child: Child) -> Result<bool, Error> {
        let mut child = child;
        let mut ended = false;
        for above in level.. {
            at_most("tree level", above.into(), MAX_LEVEL.into())?;
            let slot = usize::from(above) - 2;
            if self.upper.len() <= slot {
                self.upper.resize_with(slot + 1, OpenLevel::default);
            }
            let Some(open) = self.upper.get_mut(slot) else {
                break;
            };
            let item = child.encoded_len();
            open.open_len += item;
            let ends = cut::ends_node(
                above,
                &child.separator,
                self.params.node_target,
                open.open_len,
                item,
                open.open.len() + 1,
            );
            open.open.push(child);
            if !ends {
                break;
            }
            ended = true;
            child = open.end_node(above);
        }
        Ok(ended)
    }

    /// Ends the open nodes from level 2 up to the root: the lowest level of exactly one node.
    fn end_levels(mut self) -> Result<BuiltTree, Error> {
        if self.frames <= 1 {
            let empty = Node { level: 1, children: Vec::new() };
            let root = self.last_frame.map_or_else(|| empty.identity(), |child| child.identity);
            let info =
                TreeInfo { root, level: 1, records: self.records, plain_len: self.plain_len };
            return Ok(BuiltTree { info, levels: Vec::new() });
        }
        for level in 2.. {
            let slot = usize::from(level) - 2;
            at_most("tree level", level.into(), MAX_LEVEL.into())?;
            let Some(open) = self.upper.get_mut(slot) else {
                break;
            };
            let ended = match open.open.is_empty() {
                true => None,
                false => Some(open.end_node(level)),
            };
            if let [root] = open.nodes.as_slice() {
                let info = TreeInfo {
                    root: root.identity(),
                    level,
                    records: self.records,
                    plain_len: self.plain_len,
                };
                self.upper.truncate(slot + 1);
                let levels = self.upper.into_iter().map(|level| level.nodes).collect();
                return Ok(BuiltTree { info, levels });
            }
            if let Some(child) = ended {
                self.add_child(level + 1, child)?;
            }
        }
        // Unreachable: two frames have a level above them, and every level has a level above it
        // until one has a single node.
        Err(Misuse::Parameters { field: "a tree target" }.into())
    }
}
