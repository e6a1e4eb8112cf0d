use alloc::vec::Vec;

use super::flips;
use super::publisher::{name, role, signed, trust_root};
use crate::error::Error;
use crate::format::trust_root::{Floor, SignedTrustRoot, TrustRoot};
use crate::trust::root::{TrustChain, follow_chain, verify_trust_root};
use crate::types::LogHash;

fn code<T: core::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

fn verify(bytes: &[u8]) -> Result<TrustRoot, Error> {
    verify_trust_root(bytes, &name("tokens"))
}

fn with_root(version: u64, threshold: u32, seeds: &[u8]) -> TrustRoot {
    TrustRoot { root: role(threshold, seeds), ..trust_root(version) }
}

#[test]
fn an_embedded_trust_root_is_signed_by_a_threshold_of_its_own_root_keys() {
    let root = with_root(1, 2, &[1, 2, 3]);
    assert_eq!(verify(&signed(&root, &[1, 3])), Ok(root.clone()));
    assert_eq!(code(verify(&signed(&root, &[1, 2, 3, 99]))), "ok");
    assert_eq!(code(verify(&signed(&root, &[]))), "trust/below-threshold");
    assert_eq!(code(verify(&signed(&root, &[1]))), "trust/below-threshold");
    assert_eq!(code(verify(&signed(&root, &[1, 98, 99]))), "trust/below-threshold");
    assert_eq!(code(verify(&signed(&root, &[1, 11]))), "trust/below-threshold", "a release key");
    let other = verify_trust_root(&signed(&root, &[1, 2]), &name("other"));
    assert_eq!(code(other), "trust/wrong-dataset");
}

#[test]
fn one_key_cannot_sign_twice() {
    let root = with_root(1, 2, &[1, 2]);
    let mut twice = SignedTrustRoot::parse(&signed(&root, &[1])).expect("well formed");
    twice.signatures.push(twice.signatures[0]);
    assert_eq!(code(verify(&twice.encode())), "format/order");
}

#[test]
fn a_bad_signature_of_a_root_key_condemns_the_trust_root() {
    let root = with_root(1, 1, &[1, 2]);
    let good = SignedTrustRoot::parse(&signed(&root, &[1, 2])).expect("well formed");
    for line in 0..2 {
        let mut spoiled = good.clone();
        spoiled.signatures[line].1[40] ^= 1;
        assert_eq!(code(verify(&spoiled.encode())), "trust/bad-signature");
    }
}

#[test]
fn no_turned_bit_of_a_signed_trust_root_is_accepted() {
    let root = trust_root(1);
    for flipped in flips(&signed(&root, &[1])) {
        assert!(verify(&flipped).is_err());
    }
    let bytes = signed(&root, &[1]);
    for len in 0..bytes.len() {
        assert!(verify(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_chain_needs_a_threshold_of_the_old_and_of_the_new_root_keys() {
    let old = with_root(1, 2, &[1, 2, 3]);
    let new = with_root(2, 2, &[3, 4, 5]);
    let walk = |seeds: &[u8]| follow_chain(&old, &[signed(&new, seeds)]);
    assert_eq!(walk(&[1, 2, 4, 5]), Ok(new.clone()));
    assert_eq!(walk(&[1, 3, 4]), Ok(new.clone()), "one key may count for both");
    assert_eq!(code(walk(&[1, 2, 3])), "trust/below-threshold", "the new role has only one");
    assert_eq!(code(walk(&[3, 4, 5])), "trust/below-threshold", "the old role has only one");
    assert_eq!(code(walk(&[1, 2])), "trust/below-threshold");
    assert_eq!(code(walk(&[])), "trust/below-threshold");
}

#[test]
fn a_chain_goes_up_by_one_and_skips_what_is_known() {
    let roots: Vec<TrustRoot> = (1..=4).map(trust_root).collect();
    let chain: Vec<Vec<u8>> = roots.iter().map(|root| signed(root, &[1])).collect();
    assert_eq!(follow_chain(&roots[0], &chain), Ok(roots[3].clone()));
    assert_eq!(follow_chain(&roots[1], &chain), Ok(roots[3].clone()));
    assert_eq!(follow_chain(&roots[3], &chain[..2]), Ok(roots[3].clone()), "no way back");
    assert_eq!(follow_chain(&roots[0], &[]), Ok(roots[0].clone()));
    assert_eq!(code(follow_chain(&roots[0], &chain[2..])), "trust/bad-trust-chain");
    let repeated = [chain[1].clone(), chain[1].clone(), chain[2].clone()];
    assert_eq!(follow_chain(&roots[0], &repeated), Ok(roots[2].clone()));
    assert_eq!(code(follow_chain(&roots[0], &vec_of(&chain[0], 33))), "format/too-large");
}

fn vec_of(bytes: &[u8], count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| bytes.to_vec()).collect()
}

#[test]
fn another_datasets_trust_root_does_not_lead_on() {
    let other = TrustRoot { dataset: name("other"), ..trust_root(2) };
    let walked = follow_chain(&trust_root(1), &[signed(&other, &[1])]);
    assert_eq!(code(walked), "trust/wrong-dataset");
}

fn floored(version: u64, size: Option<u64>) -> TrustRoot {
    let root = trust_root(version);
    let origin = root.origin.clone();
    let floor = size.map(|size| Floor { origin, size, root: LogHash([1; 32]) });
    TrustRoot { floor, ..root }
}

fn chain(roots: &[TrustRoot]) -> TrustChain {
    let signed: Vec<Vec<u8>> = roots.iter().map(|root| signed(root, &[1])).collect();
    let mut chain = TrustChain::embedded(&signed[0], &name("tokens")).expect("a trust root");
    assert_eq!(chain.extend(&signed), Ok(roots.len() - 1));
    assert_eq!(chain.signed(), signed);
    chain
}

#[test]
fn only_a_new_floor_lets_seen_state_go_back() {
    let floors = [None, Some(50), Some(50), None, Some(80)];
    let roots: Vec<TrustRoot> =
        (1..).zip(floors).map(|(version, floor)| floored(version, floor)).collect();
    let chain = chain(&roots);
    let since = |version| chain.reset_since(version).map(|reset| (reset.version, reset.to.size));
    assert_eq!(since(1), Some((5, 80)));
    assert_eq!(since(4), Some((5, 80)));
    assert_eq!(since(5), None);
    let chain = self::chain(&roots[..4]);
    let since = |version| chain.reset_since(version).map(|reset| (reset.version, reset.to.size));
    assert_eq!(since(1), Some((2, 50)), "carried on and dropped, it clears nothing again");
    assert_eq!(since(2), None);
}

#[test]
fn another_origin_is_another_log() {
    let moved = TrustRoot { origin: "packice.example/moved".into(), ..trust_root(2) };
    let reset = chain(&[trust_root(1), moved]).reset_since(1).expect("a reset");
    assert_eq!((reset.version, reset.to.size), (2, 0));
}

#[test]
fn a_kept_chain_is_bounded() {
    let roots: Vec<TrustRoot> = (1..=129).map(trust_root).collect();
    let signed: Vec<Vec<u8>> = roots.iter().map(|root| signed(root, &[1])).collect();
    let mut chain = TrustChain::embedded(&signed[0], &name("tokens")).expect("a trust root");
    assert_eq!(chain.extend(&signed[1..128]), Ok(127));
    assert_eq!(code(chain.extend(&signed[128..])), "format/too-large");
}
