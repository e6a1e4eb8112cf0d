use alloc::vec::Vec;

use super::{leaves, naive_root};
use crate::trust::log::{prove_consistency, root_of, verify_consistency};
use crate::trust::prove::*;
use crate::trust::tiles::{TILE_WIDTH, TileKind, TileRef, encode_hashes};
use crate::types::LogHash;

/// A tile by its definition, over the entries' hashes.
fn tile(leaves: &[LogHash], tile: TileRef) -> (TileRef, Vec<u8>) {
    let TileKind::Hashes { level } = tile.kind() else { panic!("a hash tile") };
    let span = 1usize << (8 * u32::from(level));
    let start = (tile.index() * TILE_WIDTH) as usize * span;
    let hashes: Vec<LogHash> = (0..tile.width() as usize)
        .map(|at| root_of(&leaves[start + at * span..start + (at + 1) * span]))
        .collect();
    (tile, encode_hashes(&hashes))
}

fn tiles(leaves: &[LogHash], wanted: Vec<TileRef>) -> Vec<(TileRef, Vec<u8>)> {
    wanted.into_iter().map(|wanted| tile(leaves, wanted)).collect()
}

/// Sizes around powers of two and of tiles, and small ones.
fn sizes() -> Vec<u64> {
    let mut sizes: Vec<u64> = (0..20).collect();
    sizes.extend([31, 64, 100, 255, 256, 257, 300, 511, 512, 513, 700, 65_535, 65_536, 65_800]);
    sizes
}

#[test]
fn a_proof_out_of_tiles_is_the_one_of_the_rfc() {
    let all = leaves(65_800);
    for new in sizes() {
        let log = &all[..new as usize];
        let new_root = root_of(log);
        // Hashing a long log takes its time: a few pairs of those.
        let often = |old: &u64| *old <= new && (new < 1000 || [1, 256, 513, 65_535].contains(old));
        for old in sizes().into_iter().filter(often) {
            let got = consistency_proof(old, new, &tiles(log, proof_tiles(old, new)))
                .expect("tiles that hold");
            let expected = prove_consistency(log, old as usize).expect("an old size");
            assert_eq!(got, expected, "{old} to {new}");
            let old_root = root_of(&log[..old as usize]);
            verify_consistency(&got, old, &old_root, new, &new_root).expect("consistent");
        }
    }
}

#[test]
fn a_proof_needs_its_tiles() {
    let log = leaves(300);
    let wanted = proof_tiles(7, 300);
    assert!(wanted.len() >= 2);
    let held = tiles(&log, wanted);
    for missing in 0..held.len() {
        let mut held = held.clone();
        held.remove(missing);
        assert!(consistency_proof(7, 300, &held).is_err());
    }
}

#[test]
fn a_frontier_out_of_tiles_has_the_root_of_that_size() {
    let all = leaves(66_000);
    for size in sizes() {
        let log = &all[..size as usize];
        let frontier = frontier_at(size, &tiles(log, frontier_tiles(size))).expect("a frontier");
        assert_eq!((frontier.size(), frontier.root()), (size, root_of(log)));
        if size < 1000 {
            assert_eq!(frontier.root(), naive_root(log));
        }
    }
}
