//! Building a tree from sorted records in one pass.
//!
//! Memory is flat: one frame in the making, and the upper nodes (one entry for each frame). The
//! same records and parameters give the same tree on any machine (docs/spec/tree.md).

use alloc::vec::Vec;

use crate::error::Error;
use crate::format::manifest::Params;
use crate::format::node::{Child, Node};

use super::cutter::{CutFrame, FrameCutter};
use super::upper::UpperBuilder;

pub use super::upper::BuiltTree;

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

/// Builds a tree from records in ascending key order.
#[derive(Debug)]
pub struct TreeBuilder {
    cutter: FrameCutter,
    upper: UpperBuilder,
    frames: u64,
    records: u64,
}

impl TreeBuilder {
    /// Starts an empty tree.
    pub fn new(params: Params) -> Result<Self, Error> {
        let cutter = FrameCutter::new(params)?;
        Ok(Self { cutter, upper: UpperBuilder::new(params), frames: 0, records: 0 })
    }

    /// Adds a record; its key comes after every key before it. Gives the frame that it ends.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<BuiltFrame>, Error> {
        let cut = self.cutter.push(key, value)?;
        self.records += 1;
        cut.map(|frame| self.add(frame)).transpose()
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the tree. Gives the last frame, where one is open, and the tree above the frames.
    pub fn finish(mut self) -> Result<(Option<BuiltFrame>, BuiltTree), Error> {
        let mut last = self.cutter.finish().map(|frame| self.add(frame)).transpose()?;
        if self.frames > 1
            && let Some(frame) = &mut last
        {
            frame.ends_node = true;
        }
        Ok((last, self.upper.finish()?))
    }

    fn add(&mut self, frame: CutFrame) -> Result<BuiltFrame, Error> {
        let CutFrame { node, child, plain } = frame;
        self.frames += 1;
        let ends_node = self.upper.push(child.clone())?;
        Ok(BuiltFrame { node, child, plain, ends_node })
    }
}
