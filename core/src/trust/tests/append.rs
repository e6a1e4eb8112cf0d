use alloc::vec;
use alloc::vec::Vec;

use super::publisher::{TestLog, head, manifest, name, role, seed, signed, trust_root};
use crate::error::Error;
use crate::format::head::{Channel, Head};
use crate::format::note::Checkpoint;
use crate::format::trust_root::{Floor, TrustRoot, Witness, WitnessPolicy};
use crate::trust::append::*;
use crate::trust::sign::public_key;
use crate::trust::tiles::{TileKind, TileRef};
use crate::types::Version;

fn roots() -> Vec<Vec<u8>> {
    vec![signed(&trust_root(1), &[1])]
}

fn check(roots: &[Vec<u8>], old: Option<&TestLog>, new: &TestLog) -> Result<PointerMove, Error> {
    let bytes = new.bootstrap.encode();
    let tiles = new.tiles(&pointer_tiles(&bytes)?);
    check_with(roots, old, new, &tiles)
}

fn check_with(
    roots: &[Vec<u8>],
    old: Option<&TestLog>,
    new: &TestLog,
    tiles: &[(TileRef, Vec<u8>)],
) -> Result<PointerMove, Error> {
    check_pointer_move(&PointerRequest {
        dataset: &name("tokens"),
        channel: &name("stable"),
        trust_roots: roots,
        old: old.map(|log| log.bootstrap.encode()).as_deref(),
        own: None,
        new: &new.bootstrap.encode(),
        tiles,
    })
}

fn code<T: core::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_pointer_moves_by_one_entry_at_a_time() {
    let mut log = TestLog::new();
    let mut old: Option<TestLog> = None;
    for version in 1..=260 {
        log.push(&head(version));
        let moved = check(&roots(), old.as_ref(), &log).expect("the next entry");
        assert_eq!(moved.size, version);
        assert_eq!(moved.root, log.frontier.root());
        let channel = moved.channel.expect("a channel");
        assert_eq!((channel.version, channel.manifest), (Version(version), manifest(version)));
        assert_eq!(moved.checkpoint, log.bootstrap.checkpoint);
        old = Some(log.clone());
    }
}

#[test]
fn the_first_pointer_is_of_the_first_entry() {
    assert_eq!(code(check(&roots(), None, &TestLog::of(1))), "ok");
    assert_eq!(code(check(&roots(), None, &TestLog::of(2))), "trust/wrong-log-size");
}

#[test]
fn a_stolen_upload_credential_brings_no_old_head_back() {
    let logs: Vec<TestLog> = (1..=9).map(TestLog::of).collect();
    for old in &logs[..8] {
        assert_eq!(code(check(&roots(), Some(&logs[8]), old)), "trust/rollback");
    }
    assert_eq!(code(check(&roots(), Some(&logs[6]), &logs[8])), "trust/wrong-log-size");
}

#[test]
fn a_fork_is_refused_at_the_same_size_and_at_the_next() {
    let old = TestLog::of(5);
    let mut fork = TestLog::of(4);
    fork.push(&Head {
        policy: crate::format::head::Policy { keep_ms: 1, ..Default::default() },
        ..head(5)
    });
    assert_eq!(code(check(&roots(), Some(&old), &fork)), "trust/fork");
    fork.push(&head(6));
    assert_eq!(code(check(&roots(), Some(&old), &fork)), "trust/fork");
}

#[test]
fn a_pointer_may_move_to_the_same_log() {
    let log = TestLog::of(5);
    let mut other = log.clone();
    other.bootstrap.objects = vec![b"something inlined".to_vec()];
    assert_eq!(code(check(&roots(), Some(&log), &other)), "ok");
}

#[test]
fn unsigned_and_foreign_checkpoints_move_nothing() {
    let old = TestLog::of(5);
    let mut new = old.clone();
    new.release = vec![66];
    new.push(&head(6));
    assert_eq!(code(check(&roots(), Some(&old), &new)), "trust/below-threshold");
    let mut new = old.clone();
    new.root.origin = "packice.example/other".into();
    new.push(&head(6));
    assert_eq!(code(check(&roots(), Some(&old), &new)), "trust/wrong-origin");
    let mut new = old.clone();
    new.push(&Head { dataset: name("other"), ..head(6) });
    assert_eq!(code(check(&roots(), Some(&old), &new)), "trust/wrong-dataset");
    let mut new = old.clone();
    let beta = Channel { name: name("beta"), version: Version(6), manifest: manifest(6) };
    new.push(&Head { channels: vec![beta], ..head(6) });
    assert_eq!(code(check(&roots(), Some(&old), &new)), "trust/no-such-channel");
}

#[test]
fn versions_do_not_go_down_and_are_not_used_twice() {
    let old = TestLog::of(5);
    let mut lower = old.clone();
    lower.push(&head(4));
    assert_eq!(code(check(&roots(), Some(&old), &lower)), "trust/version-rollback");
    let mut again = old.clone();
    let mut head = head(5);
    head.channels[0].manifest = manifest(99);
    again.push(&head);
    assert_eq!(code(check(&roots(), Some(&old), &again)), "trust/version-reused");
}

#[test]
fn tiles_that_do_not_prove_the_log_are_refused() {
    for size in [1, 2, 7, 8, 255, 256, 257, 512] {
        let old = (size > 1).then(|| TestLog::of(size - 1));
        let new = TestLog::of(size);
        let tiles = new.tiles(&pointer_tiles(&new.bootstrap.encode()).expect("a bootstrap"));
        let check = |tiles: &[_]| check_with(&roots(), old.as_ref(), &new, tiles);
        assert_eq!(code(check(&tiles)), "ok");
        for at in 0..tiles.len() {
            for byte in (0..tiles[at].1.len()).step_by(3 + tiles[at].1.len() / 24) {
                let mut spoiled = tiles.clone();
                spoiled[at].1[byte] ^= 0x10;
                assert!(check(&spoiled).is_err(), "{size}: byte {byte} of {}", tiles[at].0.path());
            }
            let mut missing = tiles.clone();
            missing.remove(at);
            assert_eq!(code(check(&missing)), "trust/bad-tile");
            let mut short = tiles.clone();
            short[at].1.pop();
            assert!(check(&short).is_err());
        }
    }
}

#[test]
fn a_wide_log_has_its_upper_tiles_checked() {
    let new = TestLog::of(512);
    let tiles = pointer_tiles(&new.bootstrap.encode()).expect("a bootstrap");
    assert_eq!(tiles.len(), 3);
    assert_eq!(tiles[2].kind(), TileKind::Hashes { level: 1 });
}

fn second(floor: Option<Floor>) -> TrustRoot {
    TrustRoot { release: role(1, &[21]), floor, ..trust_root(2) }
}

#[test]
fn a_rotation_reaches_the_edge_before_the_pointer_and_is_carried_along() {
    let old = TestLog::of(5);
    let root = second(None);
    let roots = [signed(&trust_root(1), &[1]), signed(&root, &[1])];
    let mut new = old.clone();
    new.root = root;
    new.release = vec![21];
    new.trust_chain = vec![roots[1].clone()];
    new.push(&Head { trust_root_version: 2, ..head(6) });
    assert_eq!(code(check(&roots, Some(&old), &new)), "ok");
    assert_eq!(code(check(&roots[..1], Some(&old), &new)), "trust/bad-trust-chain");
    new.bootstrap.trust_chain = roots.to_vec();
    assert_eq!(code(check(&roots, Some(&old), &new)), "ok");
    for chain in [vec![], vec![roots[0].clone()], vec![roots[1].clone(), roots[0].clone()]] {
        new.bootstrap.trust_chain = chain;
        assert_eq!(code(check(&roots, Some(&old), &new)), "trust/bad-trust-chain");
    }
    let mut back = new.clone();
    back.push(&head(7));
    assert_eq!(code(check(&roots, Some(&new), &back)), "trust/outdated-trust-root");
}

#[test]
fn a_floor_lets_the_pointer_go_back_to_it_once() {
    let honest = TestLog::of(6);
    let mut stolen = honest.clone();
    for _ in 0..20 {
        stolen.push(&head(1_000_000));
    }
    let origin = honest.root.origin.clone();
    let floor = Floor { origin, size: 6, root: honest.frontier.root() };
    let root = second(Some(floor));
    let roots = [signed(&trust_root(1), &[1]), signed(&root, &[1])];
    let mut new = honest;
    new.root = root;
    new.release = vec![21];
    new.trust_chain = vec![roots[1].clone()];
    let mut early = new.clone();
    early.push(&head(7));
    assert_eq!(code(check(&roots, Some(&stolen), &early)), "trust/rollback");
    new.push(&Head { trust_root_version: 2, ..head(7) });
    assert_eq!(code(check(&roots, Some(&stolen), &new)), "ok");
    let mut on = new.clone();
    on.push(&Head { trust_root_version: 2, ..head(8) });
    assert_eq!(code(check(&roots, Some(&new), &on)), "ok");
    assert_eq!(code(check(&roots, Some(&on), &new)), "trust/rollback");
}

#[test]
fn trust_roots_are_stored_in_order_and_signed_by_old_and_new() {
    let first = signed(&trust_root(1), &[1]);
    let check = |old: Option<&[u8]>, new: &[u8]| check_trust_root(&name("tokens"), old, new);
    assert_eq!(check(None, &first), Ok(trust_root(1)));
    assert_eq!(code(check(None, &signed(&trust_root(2), &[1]))), "format/invalid");
    assert_eq!(code(check(None, &signed(&trust_root(1), &[9]))), "trust/below-threshold");
    assert_eq!(code(check(Some(&first), &signed(&trust_root(2), &[2]))), "ok");
    assert_eq!(code(check(Some(&first), &first)), "trust/bad-trust-chain");
    assert_eq!(code(check(Some(&first), &signed(&trust_root(3), &[1]))), "trust/bad-trust-chain");
    let takeover = TrustRoot { root: role(1, &[66]), ..trust_root(2) };
    assert_eq!(code(check(Some(&first), &signed(&takeover, &[66]))), "trust/below-threshold");
    assert_eq!(code(check(Some(&first), &signed(&takeover, &[1, 66]))), "ok");
    assert_eq!(trust_root_version(&first), Ok(1));
    let other = check_trust_root(&name("other"), None, &first);
    assert_eq!(code(other), "trust/wrong-dataset");
}

/// The channel's own pointer stands, too.
fn check_own(roots: &[Vec<u8>], own: &TestLog, new: &TestLog) -> Result<PointerMove, Error> {
    let bytes = new.bootstrap.encode();
    let own = own.bootstrap.encode();
    check_pointer_move(&PointerRequest {
        dataset: &name("tokens"),
        channel: &name("stable"),
        trust_roots: roots,
        old: Some(&own),
        own: Some(&own),
        new: &bytes,
        tiles: &new.tiles(&pointer_tiles(&bytes)?),
    })
}

fn watched_root(version: u64) -> TrustRoot {
    let witness = |name: &str, byte| Witness { name: name.into(), key: public_key(&seed(byte)) };
    let witnesses = vec![witness("w1", 21), witness("w2", 22), witness("w3", 23)];
    TrustRoot { witnesses: WitnessPolicy { quorum: 2, witnesses }, ..trust_root(version) }
}

#[test]
fn cosignatures_of_the_same_checkpoint_do_not_get_older() {
    let roots = vec![signed(&watched_root(1), &[1])];
    let cosigned = |times: [u64; 2]| {
        let mut log = TestLog::of(3);
        log.witnesses = vec![("w1".into(), 21, times[0]), ("w3".into(), 23, times[1])];
        log.sign();
        log
    };
    let stands = cosigned([1000, 2000]);
    for (times, expected) in [
        ([1000, 2000], "ok"),
        ([1001, 3000], "ok"),
        ([5000, 1000], "ok"),
        ([999, 9000], "trust/older-cosignatures"),
        ([2000, 500], "trust/older-cosignatures"),
    ] {
        assert_eq!(code(check_own(&roots, &stands, &cosigned(times))), expected, "{times:?}");
    }
    let mut one = stands.clone();
    one.witnesses.pop();
    one.sign();
    assert_eq!(code(check_own(&roots, &stands, &one)), "trust/below-quorum");
    // The next entry has times of its own.
    let mut next = cosigned([10, 10]);
    next.push(&head(4));
    assert_eq!(code(check_own(&roots, &stands, &next)), "ok");
}

#[test]
fn a_channel_ends_where_its_pointer_stands() {
    let log = TestLog::of(3);
    let mut ended = log.clone();
    let mut without = head(3);
    without.channels[0].name = name("beta");
    ended.push(&without);
    let moved = check_own(&roots(), &log, &ended).expect("it is withdrawn");
    assert_eq!(moved.channel, None);
    assert_eq!(code(check(&roots(), Some(&log), &ended)), "trust/no-such-channel");
}

#[test]
fn what_a_new_floor_makes_void_may_be_written_anew() {
    let log = TestLog::of(9);
    let newest = log.bootstrap.encode();
    let void = |roots: &[Vec<u8>]| void_from(&name("tokens"), roots, &newest);
    assert_eq!(void(&roots()), Ok(None));
    let plain = [roots(), vec![signed(&trust_root(2), &[1])]].concat();
    assert_eq!(void(&plain), Ok(None));
    let mut floored = trust_root(2);
    let four = TestLog::of(4);
    floored.floor =
        Some(Floor { origin: floored.origin.clone(), size: 4, root: four.frontier.root() });
    let floored = [roots(), vec![signed(&floored, &[1])]].concat();
    assert_eq!(void(&floored), Ok(Some(4)));
    let mut other = trust_root(2);
    other.origin = "packice.example/tokens-2".into();
    assert_eq!(void(&[roots(), vec![signed(&other, &[1])]].concat()), Ok(Some(0)));
}

#[test]
fn a_refreshed_bootstrap_differs_in_its_checkpoint_alone() {
    let roots = vec![signed(&watched_root(1), &[1])];
    let mut log = TestLog::of(3);
    log.witnesses = vec![("w1".into(), 21, 10), ("w2".into(), 22, 10)];
    log.bootstrap.objects = vec![b"inlined".to_vec()];
    log.sign();
    let mut newer = log.clone();
    newer.witnesses = vec![("w1".into(), 21, 70), ("w2".into(), 22, 80)];
    newer.sign();
    let checkpoint = Checkpoint::parse(&newer.bootstrap.checkpoint).expect("a checkpoint");
    let bytes = refreshed(&log.bootstrap.encode(), &checkpoint, &roots).expect("it fits");
    newer.bootstrap.trust_chain = roots.clone();
    assert_eq!(bytes, newer.bootstrap.encode());
    assert_eq!(code(check_own(&roots, &log, &newer)), "ok");
}
