//! The prover's side of the log: consistency proofs as RFC 6962 writes them, and the frontier at
//! an earlier size, both out of hash tiles (docs/spec/log.md).
//!
//! Source: RFC 6962 section 2.1.2. Nothing that a client runs calls this module: a client checks
//! growth by tiles (`tiles`). An attacker could serve false tiles: the proof then leads to another
//! root, which whoever is shown it finds out.

use alloc::vec::Vec;

use super::log::{Frontier, fold};
use super::tiles::{Subtree, TileRef, subtree_hash};
use crate::error::{Error, TrustError};
use crate::types::LogHash;

/// The tiles that [`consistency_proof`] needs.
pub fn proof_tiles(old: u64, new: u64) -> Vec<TileRef> {
    let mut tiles = Vec::new();
    for (start, end) in proof_ranges(old, new) {
        add_tiles(&mut tiles, start, end, new);
    }
    tiles
}

/// The consistency proof from an old size to a new one: empty where one of them is 0 or both are
/// the same.
pub fn consistency_proof(
    old: u64,
    new: u64,
    tiles: &[(TileRef, Vec<u8>)],
) -> Result<Vec<LogHash>, Error> {
    proof_ranges(old, new).into_iter().map(|(start, end)| range_hash(start, end, tiles)).collect()
}

/// The tiles that [`frontier_at`] needs: those that were current when the log had that size.
pub fn frontier_tiles(size: u64) -> Vec<TileRef> {
    let mut tiles = Vec::new();
    add_tiles(&mut tiles, 0, size, size);
    tiles
}

/// The frontier of a log at some size. Compare its root with one that is signed.
pub fn frontier_at(size: u64, tiles: &[(TileRef, Vec<u8>)]) -> Result<Frontier, Error> {
    let nodes = cover(0, size).into_iter().map(|subtree| subtree_hash(tiles, subtree));
    let nodes = nodes.collect::<Result<_, _>>()?;
    Frontier::from_nodes(size, nodes).ok_or(TrustError::BadConsistencyProof.into())
}

/// What each hash of the proof stands for, in the proof's order.
fn proof_ranges(old: u64, new: u64) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if old == 0 || old >= new {
        return ranges;
    }
    let (mut start, mut end) = (0, new);
    let mut whole = true;
    while old < end {
        let len = end - start;
        // The largest power of two below the length, which is at least 2 here.
        let left = start + (1u64 << (u64::BITS - 1 - (len - 1).leading_zeros()));
        if old <= left {
            ranges.push((left, end));
            end = left;
        } else {
            ranges.push((start, left));
            start = left;
            whole = false;
        }
    }
    if !whole {
        ranges.push((start, end));
    }
    ranges.reverse();
    ranges
}

/// The full subtrees that a range of the log consists of, from the left.
fn cover(start: u64, end: u64) -> Vec<Subtree> {
    let mut subtrees = Vec::new();
    let mut at = start;
    while at < end {
        let height = (u64::BITS - 1 - (end - at).leading_zeros()).min(at.trailing_zeros());
        subtrees.push(Subtree { height, index: at >> height });
        at += 1 << height;
    }
    subtrees
}

fn range_hash(start: u64, end: u64, tiles: &[(TileRef, Vec<u8>)]) -> Result<LogHash, Error> {
    let hashes = cover(start, end).into_iter().map(|subtree| subtree_hash(tiles, subtree));
    let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
    fold(&hashes).ok_or(TrustError::BadConsistencyProof.into())
}

fn add_tiles(tiles: &mut Vec<TileRef>, start: u64, end: u64, size: u64) {
    for tile in cover(start, end).into_iter().filter_map(|subtree| subtree.tile(size)) {
        if !tiles.contains(&tile) {
            tiles.push(tile);
        }
    }
}
