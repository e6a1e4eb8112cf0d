//! Cutting anew only what changed: the frames of a tree's next version from those of this one.
//!
//! Frames that nothing changes in are kept by their entry alone, and never read. From the first
//! changed record on everything is cut, until a frame ends where one ended before: from there on
//! all is as it was. So an edit costs about one frame.

use alloc::vec::Vec;

use crate::error::Error;
use crate::format::manifest::Params;
use crate::format::node::Child;

use super::cutter::FrameCutter;
use super::upper::{BuiltTree, UpperBuilder};

/// Goes through a tree's frames in key order and gives those of its next version.
#[derive(Debug)]
pub struct Recut {
    params: Params,
    cutter: FrameCutter,
    frames: Vec<Child>,
    /// Whether the last frame was kept, so that its last key is not known.
    kept: bool,
}

impl Recut {
    /// Begins before the first frame.
    pub fn new(params: Params) -> Result<Self, Error> {
        Ok(Self { params, cutter: FrameCutter::new(params)?, frames: Vec::new(), kept: false })
    }

    /// Comes to the next old frame, in which nothing changes; whether it is kept as it is. If not,
    /// its records are to be given.
    pub fn keep(&mut self, frame: &Child) -> bool {
        self.open(frame);
        let keeps = self.cutter.is_between_frames() && self.cutter.keeps(&frame.separator);
        if keeps {
            self.frames.push(frame.clone());
            self.kept = true;
        }
        keeps
    }

    /// Whether [`Self::keep`] would keep a frame.
    pub fn can_keep(&self, frame: Option<&Child>) -> bool {
        let keeps = |frame: &Child| self.kept || self.cutter.keeps(&frame.separator);
        self.cutter.is_between_frames() && frame.is_none_or(keeps)
    }

    /// Comes to the next old frame, whose records will be given as they are from now on.
    pub fn open(&mut self, frame: &Child) {
        if core::mem::take(&mut self.kept) {
            self.cutter.resume(&frame.separator);
        }
    }

    /// A record of the new version.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if let Some(frame) = self.cutter.push(key, value)? {
            self.frames.push(frame.child);
        }
        Ok(())
    }

    /// The frames of the new version, and the tree above them.
    pub fn finish(mut self) -> Result<(Vec<Child>, BuiltTree), Error> {
        self.frames.extend(self.cutter.finish().map(|frame| frame.child));
        let tree = UpperBuilder::tree(self.params, &self.frames)?;
        Ok((self.frames, tree))
    }
}
