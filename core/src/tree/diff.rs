//! The difference of two trees, by identity: equal subtrees are skipped unread.
//!
//! Both trees are walked in key order, each as a stack of blocks still to come. Where the blocks
//! in front have one identity both are dropped; else the higher one is opened, down to records,
//! which are merged by key. So the blocks read are about those that changed and their paths,
//! also where the trees differ in height; trees of other targets compare correctly too, and are
//! then read whole.
//!
//! Blocks are checked against the identities their parents give, so a store that lies ends in
//! [`TrustError::LayoutMismatch`] and not in a wrong difference.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::error::{Error, TrustError};
use crate::format::leaf;
use crate::format::manifest::TreeInfo;
use crate::format::node::{Child, Node};
use crate::hash;

use super::index::root_child;

/// Where a tree's blocks are read from.
pub trait Blocks {
    /// What can go wrong beside this crate's own errors.
    type Error: From<Error>;

    /// The node that an entry stands for, of a level from 1 up.
    fn node(&mut self, child: &Child, level: u8) -> Result<Node, Self::Error>;

    /// The canonical bytes of the leaf that an entry stands for.
    fn leaf(&mut self, child: &Child) -> Result<Vec<u8>, Self::Error>;
}

/// A record that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// In the new tree only.
    Added {
        /// The key.
        key: Vec<u8>,
        /// The new value.
        new: Vec<u8>,
    },
    /// In the old tree only.
    Removed {
        /// The key.
        key: Vec<u8>,
        /// The old value.
        old: Vec<u8>,
    },
    /// In both, with another value.
    Updated {
        /// The key.
        key: Vec<u8>,
        /// The old value.
        old: Vec<u8>,
        /// The new value.
        new: Vec<u8>,
    },
}

impl Change {
    /// The key.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Added { key, .. } | Self::Removed { key, .. } | Self::Updated { key, .. } => key,
        }
    }
}

/// What comes next in a tree.
#[derive(Debug)]
enum Item {
    /// A leaf (level 0) or a node.
    Block(Child, u8),
    Record(Vec<u8>, Vec<u8>),
}

impl Item {
    /// Higher items are opened first; records are not opened.
    fn height(&self) -> u8 {
        match self {
            Self::Block(_, level) => level + 1,
            Self::Record(..) => 0,
        }
    }
}

#[derive(Debug)]
struct Walk<B> {
    blocks: B,
    next: VecDeque<Item>,
}

impl<B: Blocks> Walk<B> {
    fn new(tree: &TreeInfo, blocks: B) -> Self {
        let mut next = VecDeque::new();
        if tree.records > 0 {
            next.push_back(Item::Block(root_child(tree), tree.level));
        }
        Self { blocks, next }
    }

    fn height(&self) -> Option<u8> {
        self.next.front().map(Item::height)
    }

    /// Puts the children of the block in front in its place.
    fn open_front(&mut self) -> Result<(), B::Error> {
        let Some(front) = self.next.pop_front() else {
            return Ok(());
        };
        let (child, level) = match front {
            Item::Block(child, level) => (child, level),
            record @ Item::Record(..) => {
                self.next.push_front(record);
                return Ok(());
            }
        };
        if level == 0 {
            let bytes = self.blocks.leaf(&child)?;
            if hash::identity(&bytes) != child.identity {
                return Err(Error::from(TrustError::LayoutMismatch).into());
            }
            for record in leaf::records(&bytes)?.into_iter().rev() {
                self.next.push_front(Item::Record(record.key, record.value.to_vec()));
            }
        } else {
            let node = self.blocks.node(&child, level)?;
            if node.level != level || node.identity() != child.identity {
                return Err(Error::from(TrustError::LayoutMismatch).into());
            }
            for child in node.children.into_iter().rev() {
                self.next.push_front(Item::Block(child, level - 1));
            }
        }
        Ok(())
    }

    fn take_record(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        match self.next.pop_front() {
            Some(Item::Record(key, value)) => Some((key, value)),
            Some(block @ Item::Block(..)) => {
                self.next.push_front(block);
                None
            }
            None => None,
        }
    }
}

/// Walks the difference of two trees in key order.
#[derive(Debug)]
pub struct Diff<A, B> {
    old: Walk<A>,
    new: Walk<B>,
}

impl<A: Blocks, B: Blocks<Error = A::Error>> Diff<A, B> {
    /// The difference from one tree to another.
    pub fn new(old: &TreeInfo, old_blocks: A, new: &TreeInfo, new_blocks: B) -> Self {
        Self { old: Walk::new(old, old_blocks), new: Walk::new(new, new_blocks) }
    }

    /// The next record that differs; `None` after the last.
    pub fn advance(&mut self) -> Result<Option<Change>, A::Error> {
        loop {
            match (self.old.height(), self.new.height()) {
                (None, None) => return Ok(None),
                (Some(0), None) => return Ok(self.removed()),
                (None, Some(0)) => return Ok(self.added()),
                (Some(0), Some(0)) => {
                    if let Some(change) = self.merge() {
                        return Ok(Some(change));
                    }
                }
                (Some(_), None) => self.old.open_front()?,
                (None, Some(_)) => self.new.open_front()?,
                (Some(old), Some(new)) => self.step(old, new)?,
            }
        }
    }

    /// Drops two equal blocks in front, or opens the higher of two others, or both.
    fn step(&mut self, old: u8, new: u8) -> Result<(), A::Error> {
        if old == new && self.fronts_equal() {
            self.old.next.pop_front();
            self.new.next.pop_front();
            return Ok(());
        }
        if old >= new {
            self.old.open_front()?;
        }
        if new >= old {
            self.new.open_front()?;
        }
        Ok(())
    }

    fn fronts_equal(&self) -> bool {
        match (self.old.next.front(), self.new.next.front()) {
            (Some(Item::Block(old, _)), Some(Item::Block(new, _))) => old.identity == new.identity,
            (Some(_) | None, Some(_) | None) => false,
        }
    }

    /// Compares the records in front; `None` where they are equal.
    fn merge(&mut self) -> Option<Change> {
        let order = match (self.old.next.front(), self.new.next.front()) {
            (Some(Item::Record(old, _)), Some(Item::Record(new, _))) => old.cmp(new),
            (Some(_) | None, Some(_) | None) => return None,
        };
        match order {
            Ordering::Less => self.removed(),
            Ordering::Greater => self.added(),
            Ordering::Equal => {
                let (key, old) = self.old.take_record()?;
                let (_, new) = self.new.take_record()?;
                (old != new).then_some(Change::Updated { key, old, new })
            }
        }
    }

    fn removed(&mut self) -> Option<Change> {
        self.old.take_record().map(|(key, old)| Change::Removed { key, old })
    }

    fn added(&mut self) -> Option<Change> {
        self.new.take_record().map(|(key, new)| Change::Added { key, new })
    }
}
