//! Self-contained proofs that a record is, or is not, in a tree (docs/spec/proof.md).
//!
//! A proof is the nodes from the root down to level 1 and the leaf. Whoever knows the signed root
//! can check it alone. Absence is shown by the leaf in whose key range the key falls, and which
//! does not have it; or by the root of an empty collection.
//!
//! An attacker could leave out the leaf that holds the key, or send the neighbour's: every node
//! is followed by the key itself, so only one leaf fits.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer, at_most};
use crate::error::{Error, TrustError};
use crate::format::leaf;
use crate::format::manifest::TreeInfo;
use crate::format::node::{Child, Node};
use crate::hash;
use crate::limits::{MAX_KEY_LEN, MAX_LEAF_LEN, MAX_LEVEL, MAX_NODE_LEN, MAX_RECORD_PROOF_LEN};

use super::index::{check_node, root_child};
use super::verify::VerifiedFrame;

const MAGIC: &[u8; 4] = b"PKR1";
const BAD_PROOF: Error = Error::Trust(TrustError::BadProof);

/// A proof, parsed and not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The nodes from the root down to level 1.
    pub nodes: Vec<Node>,
    /// The leaf that the key belongs to; none in an empty collection.
    pub leaf: Option<Vec<u8>>,
}

impl Proof {
    /// Parses a whole proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "proof", MAX_RECORD_PROOF_LEN)?;
        let mut nodes = Vec::new();
        for _ in 0..r.count("proof nodes", MAX_LEVEL.into())? {
            nodes.push(Node::parse(r.bytes("proof node", MAX_NODE_LEN)?)?);
        }
        let leaf = match r.flag("proof leaf flag")? {
            true => Some(r.bytes("proof leaf", MAX_LEAF_LEN)?.to_vec()),
            false => None,
        };
        r.finish("proof")?;
        Ok(Self { nodes, leaf })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.count(self.nodes.len());
        for node in &self.nodes {
            w.bytes(&node.encode());
        }
        w.byte(self.leaf.is_some().into());
        if let Some(leaf) = &self.leaf {
            w.bytes(leaf);
        }
        w.finish()
    }
}

/// The proof for a key, from the nodes above the frame that it belongs to, and the frame.
pub fn prove(mut path: Vec<Node>, frame: &VerifiedFrame, key: &[u8]) -> Vec<u8> {
    path.push(frame.node().clone());
    Proof { nodes: path, leaf: frame.leaf_for(key).map(<[u8]>::to_vec) }.encode()
}

/// The proof that an empty collection has no record.
pub fn prove_empty() -> Vec<u8> {
    Proof { nodes: alloc::vec![Node { level: 1, children: Vec::new() }], leaf: None }.encode()
}

/// Checks a proof against the signed root: the key's value, or `None` where the tree is proven
/// not to have the key.
pub fn verify(tree: &TreeInfo, key: &[u8], proof: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    at_most("key", key.len() as u64, MAX_KEY_LEN as u64)?;
    let proof = Proof::parse(proof)?;
    let Some(leaf) = &proof.leaf else {
        return verify_empty(tree, &proof);
    };
    if proof.nodes.len() != usize::from(tree.level) {
        return Err(BAD_PROOF);
    }
    let mut child: Child = root_child(tree);
    let mut upper: Option<Vec<u8>> = None;
    for (node, level) in proof.nodes.iter().zip((1..=tree.level).rev()) {
        check_node(node, level, &child, upper.as_deref()).map_err(|_| BAD_PROOF)?;
        let at = node.child_for(key).ok_or(BAD_PROOF)?;
        if let Some(next) = node.children.get(at + 1) {
            upper = Some(next.separator.clone());
        }
        child = node.children.get(at).ok_or(BAD_PROOF)?.clone();
    }
    let spans = leaf::split_leaves(leaf)?;
    let [span] = spans.as_slice() else {
        return Err(BAD_PROOF);
    };
    let above = upper.is_some_and(|upper| span.last_key >= upper);
    let sums = span.records == child.records && leaf.len() as u64 == child.plain_len;
    if span.first_key < child.separator || above || !sums || hash::identity(leaf) != child.identity
    {
        return Err(BAD_PROOF);
    }
    Ok(leaf::find(leaf, key)?.map(<[u8]>::to_vec))
}

fn verify_empty(tree: &TreeInfo, proof: &Proof) -> Result<Option<Vec<u8>>, Error> {
    match proof.nodes.as_slice() {
        [node] if node.children.is_empty() && node.identity() == tree.root => Ok(None),
        _ => Err(BAD_PROOF),
    }
}
