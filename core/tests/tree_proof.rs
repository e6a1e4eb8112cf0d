//! Proofs of presence and absence, and proofs that must not be believed.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use common::{Records, SMALL, Snapshot, records, snapshot};
use packice_core::error::{Error, TrustError};
use packice_core::tree::index::{Index, Located};
use packice_core::tree::proof::{self, Proof};
use proptest::prelude::*;

const BAD: Error = Error::Trust(TrustError::BadProof);

fn prove(snapshot: &Snapshot, index: &Index, key: &[u8]) -> Vec<u8> {
    match index.locate(key) {
        None => proof::prove_empty(),
        Some(Located::Page(_)) => panic!("all pages are held"),
        Some(Located::Frame(id)) => {
            proof::prove(index.path(id).unwrap(), &snapshot.load(index, id), key)
        }
    }
}

#[test]
fn present_and_absent_keys_are_proven_at_every_height() {
    for count in [0, 1, 60, 900, 5000] {
        let set = records(count, count + 3);
        let snapshot = snapshot(&set, SMALL);
        let tree = snapshot.base.tree;
        let index = snapshot.index();
        for (key, value) in set.iter().step_by(53) {
            let bytes = prove(&snapshot, &index, key);
            assert_eq!(proof::verify(&tree, key, &bytes).unwrap().as_ref(), Some(value));
            assert_eq!(Proof::parse(&bytes).unwrap().encode(), bytes);
            let mut absent = key.clone();
            absent.pop();
            let bytes = prove(&snapshot, &index, &absent);
            assert_eq!(proof::verify(&tree, &absent, &bytes).unwrap(), None);
        }
        for absent in [b"".as_slice(), b"a", b"chain-3", &[255; 20]] {
            let bytes = prove(&snapshot, &index, absent);
            assert_eq!(proof::verify(&tree, absent, &bytes).unwrap(), None);
        }
    }
}

#[test]
fn a_proof_speaks_for_its_own_leaf_only() {
    let set = records(5000, 2);
    let snapshot = snapshot(&set, SMALL);
    let tree = snapshot.base.tree;
    let index = snapshot.index();
    let keys: Vec<_> = set.keys().collect();
    let (near, far) = (keys[100], keys[4000]);
    let bytes = prove(&snapshot, &index, near);
    assert_eq!(proof::verify(&tree, far, &bytes), Err(BAD));
    // The neighbour's leaf in place of the one that has the key: absence would be a lie.
    let mut forged = Proof::parse(&bytes).unwrap();
    let other = Proof::parse(&prove(&snapshot, &index, far)).unwrap();
    forged.leaf = other.leaf.clone();
    assert_eq!(proof::verify(&tree, near, &forged.encode()), Err(BAD));
    let mut forged = Proof::parse(&bytes).unwrap();
    forged.leaf = None;
    assert_eq!(proof::verify(&tree, near, &forged.encode()), Err(BAD));
    let mut forged = Proof::parse(&bytes).unwrap();
    forged.nodes.pop();
    assert_eq!(proof::verify(&tree, near, &forged.encode()), Err(BAD));
    assert_eq!(proof::verify(&tree, near, &proof::prove_empty()), Err(BAD));
    let mut root = tree;
    root.records += 1;
    assert_eq!(proof::verify(&root, near, &bytes), Err(BAD));
}

#[test]
fn a_changed_proof_is_refused() {
    let set = records(1500, 2);
    let snapshot = snapshot(&set, SMALL);
    let tree = snapshot.base.tree;
    let key = set.keys().nth(700).unwrap();
    let bytes = prove(&snapshot, &snapshot.index(), key);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(proof::verify(&tree, key, &flipped).is_err(), "a flip at {at} went through");
        assert!(proof::verify(&tree, key, &bytes[..at]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_proof_agrees_with_a_sorted_map(
        list in prop::collection::btree_map(
            prop::collection::vec(0u8..3, 0..5), prop::collection::vec(any::<u8>(), 0..400), 0..60),
        probe in prop::collection::vec(0u8..3, 0..5),
    ) {
        let set: Records = list;
        let snapshot = snapshot(&set, SMALL);
        let bytes = prove(&snapshot, &snapshot.index(), &probe);
        let proven = proof::verify(&snapshot.base.tree, &probe, &bytes).unwrap();
        prop_assert_eq!(proven.as_ref(), set.get(&probe));
    }
}
