//! RFC 6962 trees against the naive oracle and the vectors of the Certificate Transparency
//! project (the reference tree of eight leaves, its paths and its consistency proofs; Apache-2.0).

use alloc::vec::Vec;

use super::{flips, leaves, log_hash, naive_root, unhex};
use crate::hash;
use crate::trust::log::*;
use crate::types::LogHash;

const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
/// Index, size, proof.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];
/// Old size, new size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn reference() -> Vec<LogHash> {
    LEAVES.iter().map(|leaf| hash::log_leaf(&unhex(leaf))).collect()
}

fn hashes(texts: &[&str]) -> Vec<LogHash> {
    texts.iter().map(|text| log_hash(text)).collect()
}

#[test]
fn the_reference_tree_has_the_published_roots() {
    let leaves = reference();
    for (at, root) in ROOTS.iter().enumerate() {
        assert_eq!(root_of(&leaves[..=at]), log_hash(root), "{} leaves", at + 1);
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty_root(), log_hash(empty));
}

#[test]
fn the_published_inclusion_proofs_hold_and_are_the_ones_we_make() {
    let leaves = reference();
    for (index, size, proof) in PATHS {
        let proof = hashes(proof);
        let part = &leaves[..size as usize];
        let root = log_hash(ROOTS[size as usize - 1]);
        assert_eq!(verify_inclusion(&proof, index, size, &leaves[index as usize], &root), Ok(()));
        assert_eq!(prove_inclusion(part, index as usize), Some(proof));
    }
}

#[test]
fn the_published_consistency_proofs_hold_and_are_the_ones_we_make() {
    let leaves = reference();
    for (old, new, proof) in CONSISTENCY {
        let proof = hashes(proof);
        let roots = (log_hash(ROOTS[old as usize - 1]), log_hash(ROOTS[new as usize - 1]));
        assert_eq!(verify_consistency(&proof, old, &roots.0, new, &roots.1), Ok(()));
        assert_eq!(prove_consistency(&leaves[..new as usize], old as usize), Some(proof));
    }
}

#[test]
fn every_proof_of_every_small_tree_holds() {
    let leaves = leaves(70);
    for size in 1..=leaves.len() {
        let part = &leaves[..size];
        let root = naive_root(part);
        assert_eq!(root_of(part), root);
        for (index, leaf) in part.iter().enumerate() {
            let proof = prove_inclusion(part, index).expect("an index inside");
            let checked = verify_inclusion(&proof, index as u64, size as u64, leaf, &root);
            assert_eq!(checked, Ok(()), "{index} of {size}");
        }
        for old in 0..=size {
            let proof = prove_consistency(part, old).expect("an old size inside");
            let old_root = naive_root(&leaves[..old]);
            let checked = verify_consistency(&proof, old as u64, &old_root, size as u64, &root);
            assert_eq!(checked, Ok(()), "{old} to {size}");
        }
        assert_eq!(prove_inclusion(part, size), None);
        assert_eq!(prove_consistency(part, size + 1), None);
    }
}

/// The proof with one bit turned, with a hash more or less, with two swapped.
fn spoiled(proof: &[LogHash]) -> Vec<Vec<LogHash>> {
    let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
    let mut all: Vec<Vec<LogHash>> = flips(&bytes)
        .map(|bytes| bytes.as_chunks::<32>().0.iter().map(|hash| LogHash(*hash)).collect())
        .collect();
    for at in 0..proof.len() {
        let mut shorter = proof.to_vec();
        let removed = shorter.remove(at);
        all.push(shorter);
        let mut longer = proof.to_vec();
        longer.insert(at, removed);
        all.push(longer);
        let mut swapped = proof.to_vec();
        swapped.swap(at, 0);
        if swapped != proof {
            all.push(swapped);
        }
    }
    all.push([proof, &[LogHash::default()]].concat());
    all
}

#[test]
fn no_spoiled_inclusion_proof_holds() {
    let leaves = leaves(13);
    for size in [1, 2, 6, 7, 8, 13] {
        let part = &leaves[..size];
        let root = naive_root(part);
        for (index, leaf) in part.iter().enumerate() {
            let proof = prove_inclusion(part, index).expect("an index inside");
            for spoiled in spoiled(&proof) {
                let checked = verify_inclusion(&spoiled, index as u64, size as u64, leaf, &root);
                assert!(checked.is_err(), "{index} of {size}");
            }
            for other in (0..20).filter(|other| *other != index as u64) {
                assert!(verify_inclusion(&proof, other, size as u64, leaf, &root).is_err());
            }
            for flipped in flips(&leaf.0) {
                let flipped = LogHash(flipped.try_into().expect("32 bytes"));
                let checked = verify_inclusion(&proof, index as u64, size as u64, &flipped, &root);
                assert!(checked.is_err());
            }
        }
    }
}

#[test]
fn no_spoiled_consistency_proof_holds() {
    let leaves = leaves(13);
    for (old, new) in [(1, 2), (3, 7), (4, 7), (6, 8), (8, 13), (5, 13), (12, 13), (7, 7), (0, 5)] {
        let (old_root, new_root) = (naive_root(&leaves[..old]), naive_root(&leaves[..new]));
        let proof = prove_consistency(&leaves[..new], old).expect("an old size inside");
        let check = |proof: &[LogHash], old: usize, old_root: &LogHash, new: usize| {
            verify_consistency(proof, old as u64, old_root, new as u64, &new_root)
        };
        assert_eq!(check(&proof, old, &old_root, new), Ok(()));
        for spoiled in spoiled(&proof) {
            assert!(check(&spoiled, old, &old_root, new).is_err(), "{old} to {new}");
        }
        for flipped in flips(&old_root.0) {
            let flipped = LogHash(flipped.try_into().expect("32 bytes"));
            assert!(check(&proof, old, &flipped, new).is_err(), "{old} to {new}");
        }
        assert!(check(&proof, new + 1, &old_root, new).is_err());
        if old > 0 {
            assert!(check(&proof, 0, &old_root, new).is_err());
        }
    }
}

#[test]
fn extreme_sizes_are_refused_and_do_not_panic() {
    let (proof, hash) = ([LogHash::default(); 64], LogHash::default());
    for (small, great) in [(u64::MAX - 1, u64::MAX), (1, u64::MAX), (u64::MAX / 2 + 1, u64::MAX)] {
        assert!(verify_inclusion(&proof, small, great, &hash, &hash).is_err());
        assert!(verify_consistency(&proof, small, &hash, great, &hash).is_err());
    }
    assert!(verify_inclusion(&[], 0, 0, &hash, &hash).is_err());
    assert!(verify_consistency(&[], 5, &hash, 4, &hash).is_err());
    assert_eq!(fold_last(&[], 0), None);
    assert_eq!(fold_last(&proof, u64::MAX), None, "63 hashes are needed");
}

#[test]
fn the_last_entrys_proof_shows_the_log_before_it() {
    let leaves = leaves(70);
    for size in 1..=leaves.len() {
        let proof = prove_inclusion(&leaves[..size], size - 1).expect("the last one");
        let before = naive_root(&leaves[..size - 1]);
        assert_eq!(fold_last(&proof, size as u64), Some(before), "{size} entries");
        let mut frontier = Frontier::before_last(&proof, size as u64).expect("as many hashes");
        assert_eq!(frontier.next_proof(), proof);
        frontier.push(leaves[size - 1]);
        assert_eq!(frontier.root(), naive_root(&leaves[..size]));
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(fold_last(&[&proof[..], &proof[..1.min(proof.len())]].concat(), size as u64), {
            match proof.len() {
                0 => Some(before),
                _ => None,
            }
        });
    }
}
