//! Tree nodes (docs/spec/tree.md): separators, child identities, lengths and counts.
//!
//! A node does not know its children's bytes; that a child hashes to the identity given here, and
//! that its keys stand between two separators, is checked where the child is read (`tree`).
//! An attacker could send a node of great count or depth: both are bounded here.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer, number_len};
use crate::error::{Error, FormatError};
use crate::hash;
use crate::limits::{MAX_KEY_LEN, MAX_LEVEL, MAX_NODE_CHILDREN, MAX_NODE_LEN, MAX_NUMBER};
use crate::types::Identity;

const MAGIC: &[u8; 4] = b"PKN1";

/// One child of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The least bytes that every key of the child reaches and no key before it does; empty for
    /// the first child of the whole tree.
    pub separator: Vec<u8>,
    /// The child's identity.
    pub identity: Identity,
    /// Canonical bytes of all leaves under the child.
    pub plain_len: u64,
    /// Records of all leaves under the child.
    pub records: u64,
}

impl Child {
    /// The bytes that this child takes in a node.
    pub fn encoded_len(&self) -> usize {
        number_len(self.separator.len() as u64)
            + self.separator.len()
            + 32
            + number_len(self.plain_len)
            + number_len(self.records)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let child = Self {
            separator: r.bytes("separator", MAX_KEY_LEN)?.to_vec(),
            identity: r.identity("child identity")?,
            plain_len: r.number("child plain length", MAX_NUMBER)?,
            records: r.number("child records", MAX_NUMBER)?,
        };
        if child.records == 0 || child.plain_len == 0 {
            return Err(FormatError::Invalid { field: "child records", value: 0 }.into());
        }
        Ok(child)
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(&self.separator);
        w.raw(&self.identity.0);
        w.number(self.plain_len);
        w.number(self.records);
    }
}

/// An inner node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// 1 for a parent of leaves (a frame), higher above.
    pub level: u8,
    /// The children in key order. Only the root of an empty collection has none.
    pub children: Vec<Child>,
}

impl Node {
    /// Parses the canonical bytes of a whole node.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "tree node", MAX_NODE_LEN)?;
        let level = r.byte("node level")?;
        if level == 0 || level > MAX_LEVEL {
            return Err(FormatError::Invalid { field: "node level", value: level.into() }.into());
        }
        let count = r.count("node children", MAX_NODE_CHILDREN)?;
        if count == 0 && level != 1 {
            return Err(FormatError::Invalid { field: "node children", value: 0 }.into());
        }
        let mut children: Vec<Child> = Vec::with_capacity(count.min(r.rest().len() / 35 + 1));
        for _ in 0..count {
            let child = Child::read(&mut r)?;
            if children.last().is_some_and(|last| last.separator >= child.separator) {
                return Err(FormatError::Order { field: "separators" }.into());
            }
            children.push(child);
        }
        r.finish("tree node")?;
        Ok(Self { level, children })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.byte(self.level);
        w.count(self.children.len());
        for child in &self.children {
            child.write(&mut w);
        }
        w.finish()
    }

    /// The node's identity.
    pub fn identity(&self) -> Identity {
        hash::identity(&self.encode())
    }

    /// Canonical bytes of all leaves under the node.
    pub fn plain_len(&self) -> u64 {
        self.children.iter().fold(0, |sum, child| sum.saturating_add(child.plain_len))
    }

    /// Records of all leaves under the node.
    pub fn records(&self) -> u64 {
        self.children.iter().fold(0, |sum, child| sum.saturating_add(child.records))
    }

    /// The index of the child that a key belongs to; `None` in an empty node.
    ///
    /// A key before the first separator belongs to no other child of this node, so it goes to
    /// the first: the caller came here because the key belongs to this node.
    pub fn child_for(&self, key: &[u8]) -> Option<usize> {
        let after = self.children.partition_point(|child| child.separator.as_slice() <= key);
        if self.children.is_empty() { None } else { Some(after.saturating_sub(1)) }
    }

    /// The node as its parent's child.
    pub fn as_child(&self) -> Child {
        Child {
            separator: self.children.first().map(|c| c.separator.clone()).unwrap_or_default(),
            identity: self.identity(),
            plain_len: self.plain_len(),
            records: self.records(),
        }
    }
}

/// The shortest bytes greater than every key up to `before` and not greater than `after`.
///
/// Source: the separators of prefix B-trees (Bayer and Unterauer, 1977).
pub fn shortest_separator<'a>(before: &[u8], after: &'a [u8]) -> &'a [u8] {
    let shared = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    &after[..(shared + 1).min(after.len())]
}
