//! The tree above its frames: nodes of level 2 and higher, up to the root.
//!
//! A list of frames has one tree above it, so whoever knows all frames of a version knows its
//! root, whatever the way on which they came to it.

use alloc::vec::Vec;
use core::mem;

use crate::codec::at_most;
use crate::error::{Error, Misuse};
use crate::format::manifest::{Params, TreeInfo};
use crate::format::node::{Child, Node};
use crate::limits::MAX_LEVEL;

use super::cut;

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

/// Builds the upper nodes from frames in key order.
#[derive(Debug)]
pub struct UpperBuilder {
    params: Params,
    /// Level 2 first.
    levels: Vec<OpenLevel>,
    frames: u64,
    /// The frame that came last, for a tree that has no other.
    last_frame: Option<Child>,
    records: u64,
    plain_len: u64,
}

impl UpperBuilder {
    /// Begins a tree.
    pub fn new(params: Params) -> Self {
        let levels = Vec::new();
        Self { params, levels, frames: 0, last_frame: None, records: 0, plain_len: 0 }
    }

    /// The tree above a list of frames.
    pub fn tree<'a>(
        params: Params,
        frames: impl IntoIterator<Item = &'a Child>,
    ) -> Result<BuiltTree, Error> {
        let mut upper = Self::new(params);
        for frame in frames {
            upper.push(frame.clone())?;
        }
        upper.finish()
    }

    /// Adds a frame; whether the level-2 node ends after it.
    pub fn push(&mut self, frame: Child) -> Result<bool, Error> {
        self.frames += 1;
        self.records = self.records.saturating_add(frame.records);
        self.plain_len = self.plain_len.saturating_add(frame.plain_len);
        self.last_frame = Some(frame.clone());
        self.add_child(2, frame)
    }

    /// Adds a child to the open node of a level, and the nodes that it ends to those above.
    fn add_child(&mut self, level: u8, child: Child) -> Result<bool, Error> {
        let mut child = child;
        let mut ended = false;
        for above in level.. {
            at_most("tree level", above.into(), MAX_LEVEL.into())?;
            let slot = usize::from(above) - 2;
            if self.levels.len() <= slot {
                self.levels.resize_with(slot + 1, OpenLevel::default);
            }
            let Some(open) = self.levels.get_mut(slot) else {
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
    pub fn finish(mut self) -> Result<BuiltTree, Error> {
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
            let Some(open) = self.levels.get_mut(slot) else {
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
                self.levels.truncate(slot + 1);
                let levels = self.levels.into_iter().map(|level| level.nodes).collect();
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
