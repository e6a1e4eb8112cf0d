//! The blocks of a laid-out tree, for [`super::diff`]: upper nodes from the index, level-1 nodes
//! and leaves from frames that the shell loads.
//!
//! A difference reads a frame's node and then its leaves before it goes on to the next frame, so
//! one frame is held at a time. What the shell loads was checked up to the signed root
//! (`tree::verify`); the difference compares identities once more.

use alloc::vec::Vec;

use crate::error::{Error, Misuse, TrustError};
use crate::format::node::{Child, Node};

use super::diff::Blocks;
use super::index::{FrameId, Index, Located};
use super::verify::VerifiedFrame;

/// The blocks of a tree whose pages are all held, its frames loaded one at a time.
#[derive(Debug)]
pub struct IndexBlocks<'a, F> {
    index: &'a Index,
    load: F,
    frame: Option<(FrameId, VerifiedFrame)>,
}

impl<'a, F> IndexBlocks<'a, F> {
    /// Reads through an index; `load` fetches, decodes and checks a frame.
    pub fn new(index: &'a Index, load: F) -> Self {
        Self { index, load, frame: None }
    }

    fn locate(&self, child: &Child) -> Result<FrameId, Error> {
        match self.index.locate(&child.separator) {
            Some(Located::Frame(id)) => Ok(id),
            Some(Located::Page(_)) | None => Err(Misuse::UnknownPage.into()),
        }
    }

    fn frame<E>(&mut self, child: &Child) -> Result<&VerifiedFrame, E>
    where
        F: FnMut(FrameId) -> Result<VerifiedFrame, E>,
        E: From<Error>,
    {
        let id = self.locate(child)?;
        let held = match self.frame.take() {
            Some((at, frame)) if at == id => frame,
            Some(_) | None => (self.load)(id)?,
        };
        Ok(&self.frame.insert((id, held)).1)
    }
}

impl<F, E> Blocks for IndexBlocks<'_, F>
where
    F: FnMut(FrameId) -> Result<VerifiedFrame, E>,
    E: From<Error>,
{
    type Error = E;

    fn node(&mut self, child: &Child, level: u8) -> Result<Node, E> {
        if level == 1 {
            return Ok(self.frame(child)?.node().clone());
        }
        let id = self.locate(child)?;
        let path = self.index.path(id).ok_or(Error::from(Misuse::UnknownPage))?;
        let node = path.into_iter().find(|node| node.level == level);
        Ok(node.ok_or(Error::from(TrustError::LayoutMismatch))?)
    }

    fn leaf(&mut self, child: &Child) -> Result<Vec<u8>, E> {
        let frame = self.frame(child)?;
        let leaf = frame.leaf_for(&child.separator).map(<[u8]>::to_vec);
        Ok(leaf.ok_or(Error::from(TrustError::LayoutMismatch))?)
    }
}
