//! The release log's Merkle tree: roots and proofs over hashes of entries (docs/spec/log.md).
//!
//! Sources: RFC 6962 section 2.1 for the tree, RFC 9162 sections 2.1.3.2 and 2.1.4.2 for the
//! verification of proofs, transparency-dev's compact ranges for [`Frontier`].
//!
//! An attacker could send proofs of any length and content: a verification takes at most one hash
//! for each hash of the proof, and only the one right length passes.

use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::hash::{log_node, sha256};
use crate::types::LogHash;

/// The root of the log without entries: SHA-256 of nothing.
pub fn empty_root() -> LogHash {
    LogHash(sha256(&[]))
}

/// The roots of the largest full subtrees that a log of some size is made of, the largest first:
/// all that is needed to append, and to compute the log's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<LogHash>,
}

impl Frontier {
    /// The log without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of given nodes; `None` unless their number is the one for the size.
    pub fn from_nodes(size: u64, nodes: Vec<LogHash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// The frontier *before* the last entry of a log of `size` entries, read from that entry's
    /// inclusion proof: every subtree that the proof names lies to the left of the last entry.
    pub fn before_last(proof: &[LogHash], size: u64) -> Option<Self> {
        Self::from_nodes(size.checked_sub(1)?, proof.iter().rev().copied().collect())
    }

    /// How many entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The nodes, the largest subtree first.
    pub fn nodes(&self) -> &[LogHash] {
        &self.nodes
    }

    /// Takes the next entry's hash in.
    pub fn push(&mut self, leaf: LogHash) {
        let mut node = leaf;
        // One pair of equal subtrees joins for each trailing one of the size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = log_node(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The log's root.
    pub fn root(&self) -> LogHash {
        fold(&self.nodes).unwrap_or_else(empty_root)
    }

    /// The inclusion proof of the entry that will be pushed next, from the leaf up.
    pub fn next_proof(&self) -> Vec<LogHash> {
        self.nodes.iter().rev().copied().collect()
    }
}

/// The root over full subtrees of descending size; `None` without any.
pub(crate) fn fold(nodes: &[LogHash]) -> Option<LogHash> {
    let (last, rest) = nodes.split_last()?;
    Some(rest.iter().rfold(*last, |right, left| log_node(left, &right)))
}

/// The root of the log over some entries' hashes.
pub fn root_of(leaves: &[LogHash]) -> LogHash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// The root of the log *before* its last entry, from that entry's inclusion proof; `None` where
/// the proof is not of the right length. The proof must have been verified.
pub fn fold_last(proof: &[LogHash], size: u64) -> Option<LogHash> {
    Frontier::before_last(proof, size).map(|frontier| frontier.root())
}

/// Checks that an entry stands at an index of the log.
pub fn verify_inclusion(
    proof: &[LogHash],
    index: u64,
    size: u64,
    leaf: &LogHash,
    root: &LogHash,
) -> Result<(), Error> {
    let bad = Error::Trust(TrustError::BadInclusionProof);
    if index >= size {
        return Err(bad);
    }
    let mut position = Position { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        if position.last == 0 {
            return Err(bad);
        }
        hash = match position.is_right() {
            true => log_node(sibling, &hash),
            false => log_node(&hash, sibling),
        };
        position.climb();
    }
    if position.last == 0 && hash == *root { Ok(()) } else { Err(bad) }
}

/// Checks that the log at an old size is a prefix of the log at a new size.
pub fn verify_consistency(
    proof: &[LogHash],
    old_size: u64,
    old_root: &LogHash,
    new_size: u64,
    new_root: &LogHash,
) -> Result<(), Error> {
    let holds = if old_size == 0 {
        proof.is_empty() && *old_root == empty_root()
    } else if old_size == new_size {
        proof.is_empty() && old_root == new_root
    } else {
        old_size < new_size
            && fold_consistency(proof, old_size, old_root, new_size) == Some((*old_root, *new_root))
    };
    if holds { Ok(()) } else { Err(TrustError::BadConsistencyProof.into()) }
}

/// The old and the new root that a proof leads to; sizes ascend and the old one is not 0.
fn fold_consistency(
    proof: &[LogHash],
    old_size: u64,
    old_root: &LogHash,
    new_size: u64,
) -> Option<(LogHash, LogHash)> {
    let mut position = Position { node: old_size - 1, last: new_size - 1 };
    let full = position.node.trailing_ones();
    position.node >>= full;
    position.last >>= full;
    // A full old tree is its own first node, and the proof leaves it out.
    let (first, rest) = match old_size.is_power_of_two() {
        true => (old_root, proof),
        false => proof.split_first()?,
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if position.last == 0 {
            return None;
        }
        if position.is_right() {
            old = log_node(sibling, &old);
            new = log_node(sibling, &new);
        } else {
            new = log_node(&new, sibling);
        }
        position.climb();
    }
    (position.last == 0).then_some((old, new))
}

/// A node's index at some level, and the index of the last node there.
struct Position {
    node: u64,
    last: u64,
}

impl Position {
    /// Whether the sibling stands on the left: always at the ragged edge of the tree.
    fn is_right(&self) -> bool {
        self.node & 1 == 1 || self.node == self.last
    }

    /// Goes to the parent; at the ragged edge past all levels where the node has no sibling.
    fn climb(&mut self) {
        if self.is_right() {
            while self.node & 1 == 0 && self.node != 0 {
                self.node >>= 1;
                self.last >>= 1;
            }
        }
        self.node >>= 1;
        self.last >>= 1;
    }
}

/// The inclusion proof of an entry, from the leaf up; `None` past the end.
pub fn prove_inclusion(leaves: &[LogHash], index: usize) -> Option<Vec<LogHash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut at) = (leaves, index);
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        if at < left.len() {
            proof.push(root_of(right));
            part = left;
        } else {
            proof.push(root_of(left));
            at -= left.len();
            part = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The consistency proof from an old size to all entries; `None` past the end.
pub fn prove_consistency(leaves: &[LogHash], old_size: usize) -> Option<Vec<LogHash>> {
    if old_size > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    if old_size == 0 || old_size == leaves.len() {
        return Some(proof);
    }
    let (mut part, mut old, mut whole) = (leaves, old_size, true);
    while old < part.len() {
        let (left, right) = part.split_at(split(part.len()));
        if old <= left.len() {
            proof.push(root_of(right));
            part = left;
        } else {
            proof.push(root_of(left));
            old -= left.len();
            part = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(root_of(part));
    }
    proof.reverse();
    Some(proof)
}

/// The size of the left subtree: the largest power of two below `len`, which is at least 2.
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}
