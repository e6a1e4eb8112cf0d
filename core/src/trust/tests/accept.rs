use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::publisher::{TestLog, head, manifest, name, role, seed, signed, trust_root};
use super::{flips, publisher};
use crate::error::{Error, TrustError};
use crate::format::bootstrap::Bootstrap;
use crate::format::head::{Channel, Head};
use crate::format::trust_root::{Floor, TrustRoot, Witness, WitnessPolicy};
use crate::trust::accept::{Accepted, Offer, Seen, TrustState};
use crate::trust::sign::public_key;
use crate::types::{LogHash, Version};

fn embedded() -> TrustState {
    TrustState::embedded(&signed(&trust_root(1), &[1]), &name("tokens")).expect("a trust root")
}

fn offer(state: &TrustState, log: &TestLog) -> Result<Offer, Error> {
    state.offer(&log.bootstrap, &name("stable"))
}

/// Accepts what a log offers, with tiles where they are asked for.
fn accept(state: &TrustState, log: &TestLog) -> Result<Box<Accepted>, Error> {
    match offer(state, log)? {
        Offer::Unchanged => panic!("the offer says nothing new"),
        Offer::Accepted(accepted) => Ok(accepted),
        Offer::NeedsConsistency { tiles, pending } => {
            assert_eq!(tiles, pending.tiles());
            pending.finish(&log.tiles(&tiles)).map(Box::new)
        }
    }
}

fn followed(log: &TestLog) -> TrustState {
    accept(&embedded(), log).expect("a first checkpoint").state
}

fn code<T: core::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn the_first_checkpoint_is_accepted_without_tiles() {
    for size in [1, 2, 3, 7, 8, 9, 255, 256, 257] {
        let log = TestLog::of(size);
        let Ok(Offer::Accepted(accepted)) = offer(&embedded(), &log) else {
            panic!("{size} entries are not accepted at once")
        };
        assert_eq!(accepted.head, head(size));
        assert_eq!(accepted.channel.version, Version(size));
        assert_eq!(accepted.state.seen(), Seen { size, root: log.frontier.root() });
        assert_eq!(accepted.state.head(), Some(&head(size)));
        assert_eq!(accepted.state.checkpoint(), Some(&log.bootstrap.checkpoint[..]));
        assert!(!accepted.reset);
    }
}

#[test]
fn a_client_follows_from_any_size_to_any_later_one() {
    let logs: Vec<TestLog> = (1..=40).map(TestLog::of).collect();
    for (at, old) in logs.iter().enumerate() {
        let state = followed(old);
        for new in &logs[at + 1..] {
            let accepted = accept(&state, new).expect("a log that grew");
            assert_eq!(accepted.state.seen().root, new.frontier.root());
        }
        for lagging in &logs[..at] {
            assert_eq!(code(offer(&state, lagging)), "trust/rollback");
        }
        assert_eq!(offer(&state, old), Ok(Offer::Unchanged));
    }
}

#[test]
fn the_next_entry_needs_no_tiles() {
    for size in [1, 2, 7, 8, 255, 256] {
        let mut log = TestLog::of(size);
        let state = followed(&log);
        log.push(&head(size + 1));
        assert!(matches!(offer(&state, &log), Ok(Offer::Accepted(_))), "{size} to the next");
    }
}

/// Two logs that agree on their first entries and then differ.
fn forked(common: u64, size: u64) -> (TestLog, TestLog) {
    let mut other = TestLog::of(common);
    for version in common + 1..=size {
        let mut head = head(version);
        head.policy.keep_versions = 9;
        other.push(&head);
    }
    (TestLog::of(size), other)
}

#[test]
fn a_log_with_two_faces_is_found_out_at_any_distance() {
    let (mine, same_size) = forked(5, 9);
    let state = followed(&mine);
    assert_eq!(code(offer(&state, &same_size)), "trust/fork");
    for size in [10, 11, 16, 17, 40, 300] {
        let (_, other) = forked(5, size);
        assert_eq!(code(accept(&state, &other)), "trust/fork", "{size} entries");
        assert_eq!(code(accept(&state, &TestLog::of(size))), "ok");
    }
}

#[test]
fn bad_tiles_are_their_sources_fault_and_another_source_may_help() {
    let state = followed(&TestLog::of(5));
    let log = TestLog::of(300);
    let Ok(Offer::NeedsConsistency { tiles, pending }) = offer(&state, &log) else {
        panic!("295 entries more need tiles")
    };
    let good = log.tiles(&tiles);
    let mut spoiled = good.clone();
    spoiled[0].1[4 * 32] ^= 1;
    assert_eq!(code(pending.finish(&spoiled)), "trust/bad-consistency-proof");
    assert_eq!(code(pending.finish(&[])), "trust/bad-consistency-proof");
    let mut short = good.clone();
    short[0].1.pop();
    assert_eq!(code(pending.finish(&short)), "trust/length-mismatch");
    assert_eq!(code(pending.finish(&good)), "ok");
}

#[test]
fn an_older_entry_with_its_own_good_proof_is_not_current() {
    let log = TestLog::of(6);
    let leaves: Vec<LogHash> =
        (1..=6).map(|version| crate::hash::log_leaf(&head(version).encode())).collect();
    for index in 0..5 {
        let mut old = log.clone();
        old.bootstrap.head = head(index as u64 + 1).encode();
        old.bootstrap.inclusion =
            crate::trust::log::prove_inclusion(&leaves, index).expect("an index inside");
        assert_eq!(code(offer(&embedded(), &old)), "trust/bad-inclusion-proof");
    }
}

#[test]
fn no_turned_bit_of_the_proven_parts_is_accepted() {
    let log = TestLog::of(6);
    let spoil = |change: &dyn Fn(&mut Bootstrap)| {
        let mut log = log.clone();
        change(&mut log.bootstrap);
        assert!(offer(&embedded(), &log).is_err());
    };
    for flipped in flips(&log.bootstrap.head) {
        spoil(&|bootstrap| bootstrap.head.clone_from(&flipped));
    }
    for at in 0..log.bootstrap.inclusion.len() {
        for flipped in flips(&log.bootstrap.inclusion[at].0) {
            let hash = LogHash(flipped.try_into().expect("32 bytes"));
            spoil(&|bootstrap| bootstrap.inclusion[at] = hash);
        }
    }
    spoil(&|bootstrap| bootstrap.inclusion.truncate(1));
    spoil(&|bootstrap| bootstrap.inclusion.push(LogHash::default()));
    spoil(&|bootstrap| bootstrap.inclusion.reverse());
}

#[test]
fn a_checkpoint_of_the_empty_log_says_nothing() {
    let mut log = TestLog::new();
    log.sign();
    assert_eq!(code(offer(&embedded(), &log)), "trust/bad-inclusion-proof");
}

#[test]
fn the_head_state_must_be_of_this_dataset_and_of_a_known_trust_root() {
    let mut log = TestLog::of(2);
    log.push(&Head { dataset: name("other"), ..head(3) });
    assert_eq!(code(offer(&embedded(), &log)), "trust/wrong-dataset");
    let mut log = TestLog::of(2);
    log.push(&Head { trust_root_version: 2, ..head(3) });
    let needed = TrustError::OutdatedTrustRoot { needed: 2, known: 1 };
    assert_eq!(offer(&embedded(), &log), Err(Error::Trust(needed)));
}

#[test]
fn a_channel_that_the_head_state_does_not_name_is_not_there() {
    let log = TestLog::of(2);
    let offered = embedded().offer(&log.bootstrap, &name("beta"));
    assert_eq!(code(offered), "trust/no-such-channel");
}

#[test]
fn a_channels_version_never_goes_down_and_is_never_used_twice() {
    let log = TestLog::of(5);
    let state = followed(&log);
    let mut lower = log.clone();
    lower.push(&head(4));
    let rollback = TrustError::VersionRollback { offered: 4, held: 5 };
    assert_eq!(accept(&state, &lower), Err(Error::Trust(rollback)));
    let mut again = log.clone();
    let mut other = head(5);
    other.channels[0].manifest = manifest(77);
    again.push(&other);
    let reused = TrustError::VersionReused { version: 5 };
    assert_eq!(accept(&state, &again), Err(Error::Trust(reused)));
    // The same version may stand on, for another channel's or the policy's sake.
    let mut kept = log.clone();
    kept.push(&head(5));
    assert_eq!(code(accept(&state, &kept)), "ok");
    // A withdrawn channel is gone.
    let mut withdrawn = log;
    let beta = Channel { name: name("beta"), version: Version(6), manifest: manifest(6) };
    withdrawn.push(&Head { channels: vec![beta], ..head(6) });
    assert_eq!(code(accept(&state, &withdrawn)), "trust/no-such-channel");
}

fn rotated(version: u64, release: &[u8], floor: Option<Seen>) -> TrustRoot {
    let root = TrustRoot { release: role(1, release), ..trust_root(version) };
    let origin = root.origin.clone();
    let floor = floor.map(|at| Floor { origin, size: at.size, root: at.root });
    TrustRoot { floor, ..root }
}

fn rotate(log: &mut TestLog, root: TrustRoot, release: u8) {
    log.trust_chain.push(signed(&root, &[1]));
    log.root = root;
    log.release = vec![release];
}

#[test]
fn a_rotation_of_release_keys_is_followed_and_the_old_keys_are_out() {
    let old = TestLog::of(5);
    let state = followed(&old);
    let mut new = old.clone();
    rotate(&mut new, rotated(2, &[21], None), 21);
    new.push(&Head { trust_root_version: 2, ..head(6) });
    let accepted = accept(&state, &new).expect("rotated");
    assert_eq!(accepted.state.root().version, 2);
    assert_eq!(accepted.state.chain().len(), 2);
    // The old keys go on signing.
    let mut stolen = old.clone();
    stolen.push(&head(6));
    stolen.push(&head(7));
    assert_eq!(code(offer(&accepted.state, &stolen)), "trust/below-threshold");
    // The new trust root with the old checkpoint.
    let mut delayed = old;
    delayed.bootstrap.trust_chain = new.trust_chain.clone();
    assert_eq!(code(offer(&state, &delayed)), "trust/below-threshold");
    // Without the chain a client of the old trust root cannot follow.
    let mut cut = new;
    cut.bootstrap.trust_chain.clear();
    assert_eq!(code(offer(&state, &cut)), "trust/below-threshold");
}

#[test]
fn a_head_state_under_an_older_trust_root_goes_on_counting() {
    let mut log = TestLog::of(5);
    let state = followed(&log);
    rotate(&mut log, rotated(2, &[11, 12], None), 11);
    log.bootstrap.trust_chain = log.trust_chain.clone();
    let accepted = accept(&state, &log).expect("a newer trust root alone");
    assert_eq!(accepted.state.root().version, 2);
    assert_eq!(accepted.state.seen(), state.seen());
}

/// A client that stolen release keys took to 400 entries of version 1,000,000, and the log that
/// the publisher goes on with at 6, under a trust root with a floor there.
fn fast_forwarded() -> (TrustState, TestLog) {
    let honest = TestLog::of(6);
    let mut stolen = honest.clone();
    for _ in 0..394 {
        stolen.push(&head(1_000_000));
    }
    let state = followed(&stolen);
    let mut recovered = honest.clone();
    let at = Seen { size: 6, root: honest.frontier.root() };
    rotate(&mut recovered, rotated(2, &[21], Some(at)), 21);
    recovered.push(&Head { trust_root_version: 2, ..head(7) });
    recovered.push(&Head { trust_root_version: 2, ..head(8) });
    (state, recovered)
}

#[test]
fn a_new_floor_brings_a_fast_forwarded_client_back() {
    let (state, recovered) = fast_forwarded();
    let accepted = accept(&state, &recovered).expect("the floor clears what was seen");
    assert!(accepted.reset);
    assert_eq!(accepted.channel.version, Version(8));
    let mut on = recovered;
    on.push(&Head { trust_root_version: 2, ..head(9) });
    assert!(!accept(&accepted.state, &on).expect("the next").reset, "a floor clears once");
}

#[test]
fn a_floor_holds_the_log_that_it_names() {
    let (state, _) = fast_forwarded();
    let honest = TestLog::of(6);
    let at = Seen { size: 6, root: honest.frontier.root() };
    let (_, mut fork) = forked(3, 8);
    rotate(&mut fork, rotated(2, &[21], Some(at)), 21);
    fork.push(&Head { trust_root_version: 2, ..head(9) });
    assert_eq!(code(accept(&state, &fork)), "trust/fork");
    // Neither does it clear anything for a head state that was made before it.
    let mut older = honest;
    rotate(&mut older, rotated(2, &[21], Some(at)), 21);
    older.push(&head(7));
    assert_eq!(code(accept(&state, &older)), "trust/rollback");
}

#[test]
fn a_floor_binds_a_cold_client_too() {
    let (_, recovered) = fast_forwarded();
    let root = &recovered.trust_chain[0];
    let cold = TrustState::embedded(root, &name("tokens")).expect("a trust root");
    assert_eq!(cold.seen().size, 6);
    assert_eq!(code(accept(&cold, &recovered)), "ok");
    let (_, mut fork) = forked(3, 8);
    fork.root = recovered.root.clone();
    fork.release = vec![21];
    fork.push(&Head { trust_root_version: 2, ..head(9) });
    assert_eq!(code(accept(&cold, &fork)), "trust/fork");
}

fn watched() -> (TrustRoot, TestLog) {
    let key = public_key(&seed(31));
    let witnesses = vec![Witness { name: "w1.example".into(), key }];
    let root = TrustRoot { witnesses: WitnessPolicy { quorum: 1, witnesses }, ..trust_root(1) };
    let mut log = TestLog::new();
    log.root = root.clone();
    log.witnesses = vec![("w1.example".into(), 31, 1_000)];
    log.push(&head(1));
    (root, log)
}

#[test]
fn newer_cosignatures_of_the_same_log_are_taken_and_older_ones_are_not() {
    let (root, mut log) = watched();
    let cold = TrustState::embedded(&signed(&root, &[1]), &name("tokens")).expect("a trust root");
    let state = accept(&cold, &log).expect("the first one").state;
    assert_eq!(state.cosigned_s(), 1_000);
    log.witnesses[0].2 = 2_000;
    log.sign();
    let fresh = accept(&state, &log).expect("cosigned again").state;
    assert_eq!(fresh.cosigned_s(), 2_000);
    log.witnesses[0].2 = 1_500;
    log.sign();
    assert_eq!(offer(&fresh, &log), Ok(Offer::Unchanged));
    log.witnesses.clear();
    log.sign();
    assert_eq!(code(offer(&fresh, &log)), "trust/below-quorum");
}

#[test]
fn a_checkpoint_alone_can_add_cosignatures_and_nothing_else() {
    let (root, mut log) = watched();
    let cold = TrustState::embedded(&signed(&root, &[1]), &name("tokens")).expect("a trust root");
    let state = accept(&cold, &log).expect("the first one").state;
    let refresh = |state: &TrustState, log: &TestLog| {
        state.refresh(&log.bootstrap.checkpoint, &name("stable"))
    };
    assert_eq!(refresh(&state, &log), Ok(Offer::Unchanged), "the same note");
    assert_eq!(refresh(&cold, &log), Ok(Offer::Unchanged), "nothing was accepted yet");
    log.witnesses[0].2 = 2_000;
    log.sign();
    let Ok(Offer::Accepted(renewed)) = refresh(&state, &log) else { panic!("newer cosignatures") };
    assert_eq!((renewed.state.cosigned_s(), renewed.state.head()), (2_000, state.head()));
    assert_eq!(
        TrustState::restore(&signed(&root, &[1]), &name("tokens"), &renewed.state.encode()),
        Ok(renewed.state.clone())
    );
    log.witnesses[0].2 = 1_500;
    log.sign();
    assert_eq!(refresh(&renewed.state, &log), Ok(Offer::Unchanged), "older ones");
    log.witnesses[0].2 = 3_000;
    log.push(&head(2));
    assert_eq!(refresh(&state, &log), Ok(Offer::Unchanged), "another log size is the bootstrap's");
    log.witnesses.clear();
    log.sign();
    assert_eq!(code(refresh(&state, &log)), "trust/below-quorum");
}

#[test]
fn a_newer_trust_root_with_an_older_note_of_the_same_log_keeps_the_newer_note() {
    let (root, mut log) = watched();
    let cold = TrustState::embedded(&signed(&root, &[1]), &name("tokens")).expect("a trust root");
    log.witnesses[0].2 = 2_000;
    log.sign();
    let state = accept(&cold, &log).expect("the first one").state;
    log.witnesses[0].2 = 1_000;
    rotate(&mut log, TrustRoot { version: 2, ..root.clone() }, 11);
    log.sign();
    log.bootstrap.trust_chain = log.trust_chain.clone();
    let kept = accept(&state, &log).expect("a newer trust root").state;
    assert_eq!((kept.root().version, kept.cosigned_s()), (2, 2_000));
    // Where the held note does not hold under the newer trust root, the offered one counts.
    let key = public_key(&seed(32));
    let witnesses = vec![Witness { name: "w2.example".into(), key }];
    let other = WitnessPolicy { quorum: 1, witnesses };
    log.trust_chain.clear();
    rotate(&mut log, TrustRoot { version: 2, witnesses: other, ..root }, 11);
    log.witnesses = vec![("w2.example".into(), 32, 1_000)];
    log.sign();
    log.bootstrap.trust_chain = log.trust_chain.clone();
    let moved = accept(&state, &log).expect("other witnesses").state;
    assert_eq!((moved.root().version, moved.cosigned_s()), (2, 1_000));
}

fn restore(stored: &[u8]) -> Result<TrustState, Error> {
    TrustState::restore(&signed(&trust_root(1), &[1]), &name("tokens"), stored)
}

#[test]
fn a_restored_state_is_the_stored_one() {
    assert_eq!(restore(&embedded().encode()), Ok(embedded()));
    let (rolled, recovered) = fast_forwarded();
    let rotated = accept(&rolled, &recovered).expect("recovered").state;
    for state in [followed(&TestLog::of(1)), followed(&TestLog::of(5)), rolled, rotated] {
        let stored = state.encode();
        assert_eq!(restore(&stored), Ok(state));
    }
}

#[test]
fn no_turned_bit_of_a_stored_state_makes_another_state() {
    let state = followed(&TestLog::of(3));
    let stored = state.encode();
    for flipped in flips(&stored).enumerate().filter(|(bit, _)| bit % 7 == 0).map(|(_, f)| f) {
        // Bits of the embedded trust root's own copy may turn: it is known already.
        match restore(&flipped) {
            Ok(restored) => assert_eq!(restored, state),
            Err(_) => continue,
        }
    }
    for len in 0..stored.len() {
        assert!(restore(&stored[..len]).is_err(), "{len} bytes");
    }
    assert_eq!(code(restore(&[&stored[..], &[0]].concat())), "format/trailing-bytes");
}

#[test]
fn a_stored_state_under_forged_keys_is_refused() {
    let mut forged = TestLog::of(3);
    forged.root.release = role(1, &[66]);
    forged.release = vec![66];
    forged.sign();
    let own = TrustState::embedded(&signed(&forged.root, &[1]), &name("tokens"));
    let state = accept(&own.expect("a trust root"), &forged).expect("by its own rules").state;
    assert_eq!(code(restore(&state.encode())), "trust/below-threshold");
}

#[test]
fn a_newer_build_checks_the_stored_state_against_its_own_trust_root() {
    let log = TestLog::of(5);
    let stored = followed(&log).encode();
    let under =
        |root: &TrustRoot| TrustState::restore(&signed(root, &[1]), &name("tokens"), &stored);
    let kept = under(&rotated(3, &[11, 21], None)).expect("the release key still counts");
    assert_eq!(kept.seen().size, 5);
    assert_eq!(kept.root().version, 3);
    assert_eq!(code(under(&rotated(3, &[21], None))), "trust/below-threshold");
}

#[test]
fn an_older_build_still_reads_the_state_of_a_newer_one() {
    let mut log = TestLog::of(5);
    let state = followed(&log);
    rotate(&mut log, rotated(2, &[21], None), 21);
    log.push(&Head { trust_root_version: 2, ..head(6) });
    let stored = accept(&state, &log).expect("rotated").state.encode();
    let newer = TrustState::restore(&log.trust_chain[0], &name("tokens"), &stored);
    assert_eq!(newer.as_ref().map(|state| state.root().version), Ok(2));
    let again = newer.expect("restored").encode();
    assert_eq!(restore(&again).map(|state| state.root().version), Ok(2));
    assert_eq!(log.root.origin, publisher::ORIGIN);
}
