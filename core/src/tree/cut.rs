//! Where blocks end: one rule for leaves, frames, upper nodes, bundles and layout pages.
//!
//! After each item the block ends with a probability that grows with the third power of the
//! block's length, so that lengths are Weibull distributed with shape 4 around the target: few
//! small blocks, few large ones. The draw is a hash of the item's key, so that the same items
//! give the same ends, and an edit moves only the ends near it.
//!
//! Source: the chunker of Dolt's prolly trees (`weibullCheck` in
//! <https://github.com/dolthub/dolt/blob/main/go/store/prolly/tree/node_splitter.go>), here in
//! integers and with the hazard in place of the distribution.
//!
//! An attacker who chooses keys can grind draws that end every block early, or none: so blocks
//! are capped from above, and an upper node has at least two children wherever it can.

use crate::hash;
use crate::limits::{
    BUNDLE_CAP, BUNDLE_TARGET, MAX_BUNDLE_FRAMES, MAX_NODE_CHILDREN, MAX_NODE_ENTRIES_LEN,
    MAX_OVER_TARGET, PAGE_TARGET,
};

/// The level whose hash bits decide where the pages of a layer end.
pub const LAYER_LEVEL: u8 = 5;
/// The level whose hash bits decide where bundles end.
pub const BUNDLE_LEVEL: u8 = 6;
/// The level whose hash bits decide where layout pages end.
pub const PAGE_LEVEL: u8 = 7;

/// Whether a block ends after an item.
///
/// `item` is the item's length in bytes and `block` the block's, the item included and headers
/// not; `word` is the item's draw (see [`hash::boundary_word`]). The block ends where
/// `word / 2^32 < 4 · block³ · item / target⁴`, the Weibull hazard over the item's bytes, or where
/// it has reached four times the target.
pub fn ends_block(word: u32, target: u32, block: u64, item: u64) -> bool {
    if block >= u64::from(target) * u64::from(MAX_OVER_TARGET) {
        return true;
    }
    // Targets are below 2^21 and the block is below 2^23 here: 2^32 · 2^84 on the left, at most
    // 2^2 · 2^69 · 2^22 · 2^32 on the right.
    let target = u128::from(target);
    let block = u128::from(block);
    let left = u128::from(word) * target * target * target * target;
    let right = (4 * block * block * block * u128::from(item.min(1 << 22))) << 32;
    left < right
}

/// Whether a leaf ends after a record: `item` and `block` are encoded record bytes.
pub fn ends_leaf(key: &[u8], target: u32, block: usize, item: usize) -> bool {
    ends_block(hash::boundary_word(key, 0), target, block as u64, item as u64)
}

/// Whether a frame ends after a leaf.
///
/// `block` and `item` are canonical leaf bytes; `entries_len` and `children` are the frame's
/// level-1 node so far.
pub fn ends_frame(
    separator: &[u8],
    target: u32,
    block: usize,
    item: usize,
    entries_len: usize,
    children: usize,
) -> bool {
    entries_len >= MAX_NODE_ENTRIES_LEN
        || children >= MAX_NODE_CHILDREN
        || ends_block(hash::boundary_word(separator, 1), target, block as u64, item as u64)
}

/// Whether a node of level 2 or above ends after a child: `block` and `item` are encoded bytes.
pub fn ends_node(
    level: u8,
    separator: &[u8],
    target: u32,
    block: usize,
    item: usize,
    children: usize,
) -> bool {
    // Two children at least, so that every level has at most about half the nodes of the one
    // below and the tree ends, whatever the keys.
    children >= 2
        && (children >= MAX_NODE_CHILDREN
            || ends_block(hash::boundary_word(separator, level), target, block as u64, item as u64))
}

/// Whether a bundle ends after a frame: `block` and `item` are bytes on the wire.
///
/// A bundle also ends with its layout page; the caller knows that.
pub fn ends_bundle(separator: &[u8], block: u64, item: u64, frames: usize) -> bool {
    block >= BUNDLE_CAP as u64
        || frames >= MAX_BUNDLE_FRAMES
        || ends_block(hash::boundary_word(separator, BUNDLE_LEVEL), BUNDLE_TARGET, block, item)
}

/// Whether a layout page ends after a level-2 node: `block` and `item` are bytes of the page, the
/// rows of the node's frames and bundles among them.
pub fn ends_page(separator: &[u8], block: u64, item: u64) -> bool {
    ends_block(hash::boundary_word(separator, PAGE_LEVEL), PAGE_TARGET, block, item)
}

/// Whether a page of a layer ends after an entry: `block` and `item` are plain bytes of entries.
pub fn ends_layer_page(key: &[u8], target: u32, block: u64, item: u64) -> bool {
    ends_block(hash::boundary_word(key, LAYER_LEVEL), target, block, item)
}
