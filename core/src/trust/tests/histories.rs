//! Properties over whole histories: any signers, any witnesses, any order in which old and new,
//! honest and stolen are offered. Beside each stands an oracle in the words of the specification.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::publisher::{TestLog, head, name, role, seed, signed, trust_root};
use crate::error::Error;
use crate::format::head::Head;
use crate::format::trust_root::{Floor, Role, TrustRoot, Witness, WitnessPolicy};
use crate::trust::accept::{Accepted, Offer, Seen, TrustState};
use crate::trust::note::verify_note;
use crate::trust::root::{follow, verify_trust_root};
use crate::trust::sign::public_key;
use crate::types::Version;

fn accept(state: &TrustState, log: &TestLog) -> Result<Option<Accepted>, Error> {
    match state.offer(&log.bootstrap, &name("stable"))? {
        Offer::Unchanged => Ok(None),
        Offer::Accepted(accepted) => Ok(Some(*accepted)),
        Offer::NeedsConsistency { tiles, pending } => pending.finish(&log.tiles(&tiles)).map(Some),
    }
}

fn taken(state: &TrustState, log: &TestLog) -> TrustState {
    accept(state, log).expect("an honest offer").map_or_else(|| state.clone(), |a| a.state)
}

fn embedded(root: &TrustRoot) -> TrustState {
    TrustState::embedded(&signed(root, &[1, 2]), &name("tokens")).expect("a trust root")
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "ok")
}

/// The same publisher with other release keys, under the next trust root.
fn rotate(log: &mut TestLog, release: u8, floor: Option<Seen>) {
    let origin = log.root.origin.clone();
    let root = TrustRoot {
        version: log.root.version + 1,
        release: role(1, &[release]),
        floor: floor.map(|at| Floor { origin, size: at.size, root: at.root }),
        ..log.root.clone()
    };
    log.trust_chain.push(signed(&root, &[1, 2]));
    log.root = root;
    log.release = vec![release];
}

/// Appends a head state of a version, made under the newest trust root.
fn release(log: &mut TestLog, version: u64) {
    log.push(&Head { trust_root_version: log.root.version, ..head(version) });
}

fn seen(log: &TestLog) -> Seen {
    Seen { size: log.frontier.size(), root: log.frontier.root() }
}

fn is_at(log: &TestLog, at: Seen) -> bool {
    seen(log) == at
}

/// A role of some of the keys 40 to 47, at a threshold that it can reach.
fn some_role() -> impl Strategy<Value = (Vec<u8>, u32)> {
    prop::sample::subsequence((40..48u8).collect::<Vec<_>>(), 1..=5)
        .prop_flat_map(|keys| (Just(keys.clone()), 1..=u32::try_from(keys.len()).unwrap_or(1)))
}

/// Witnesses w0, w1, …: their keys are 60, 61, ….
fn policy(count: usize, quorum: u32) -> WitnessPolicy {
    let witness = |at: usize| Witness {
        name: format!("w{at:02}.example"),
        key: public_key(&seed(60 + at as u8)),
    };
    WitnessPolicy { quorum, witnesses: (0..count).map(witness).collect() }
}

fn cosigner(at: usize, time_s: u64) -> (alloc::string::String, u8, u64) {
    (format!("w{at:02}.example"), 60 + at as u8, time_s)
}

fn few(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few(96))]

    #[test]
    fn a_trust_root_follows_when_a_threshold_of_both_roles_signed_and_never_else(
        (old_keys, old_threshold) in some_role(),
        (new_keys, new_threshold) in some_role(),
        signers in prop::sample::subsequence((40..48u8).collect::<Vec<_>>(), 0..=8),
    ) {
        let with = |version, threshold, keys: &[u8]| TrustRoot {
            root: Role { threshold, ..role(1, keys) }, ..trust_root(version)
        };
        let old = with(1, old_threshold, &old_keys);
        let next = signed(&with(2, new_threshold, &new_keys), &signers);
        let reached = |keys: &[u8], threshold: u32| {
            keys.iter().filter(|key| signers.contains(key)).count() >= threshold as usize
        };
        let expected = reached(&old_keys, old_threshold) && reached(&new_keys, new_threshold);
        prop_assert_eq!(matches!(follow(&old, &next), Ok(Some(_))), expected);
        // By itself it stands or falls with its own role.
        let alone = verify_trust_root(&next, &name("tokens")).is_ok();
        prop_assert_eq!(alone, reached(&new_keys, new_threshold));
    }

    #[test]
    fn a_quorum_is_so_many_distinct_witnesses_and_its_time_is_what_all_of_it_reached(
        times in prop::collection::vec(prop::option::of(1_000..2_000u64), 1..8),
        extra in 0..4u32,
        repeats in prop::collection::vec((0..8usize, 1_000..2_000u64), 0..3),
    ) {
        let count = times.len();
        let quorum = (count as u32 / 2 + 1 + extra).min(count as u32);
        let mut log = TestLog::of(3);
        log.root = TrustRoot { witnesses: policy(count, quorum), ..trust_root(1) };
        let cosigned = times.iter().enumerate().filter_map(|(at, time)| Some((at, (*time)?)));
        // A witness that cosigned twice counts once, with its newest time.
        let known = |at: usize| times.get(at).is_some_and(Option::is_some);
        let again = repeats.into_iter().filter(|(at, _)| known(*at));
        let lines: Vec<(usize, u64)> = cosigned.chain(again).collect();
        log.sign();
        let mut checkpoint = crate::format::note::Checkpoint::parse(&log.bootstrap.checkpoint)
            .expect("a checkpoint");
        let mut newest = vec![None; count];
        for (at, time) in &lines {
            let mut one = checkpoint.clone();
            one.signatures.clear();
            let (title, byte, time_s) = cosigner(*at, *time);
            crate::trust::sign::add_cosignature(&mut one, &title, &seed(byte), time_s);
            checkpoint.signatures.extend(one.signatures);
            newest[*at] = newest[*at].max(Some(*time));
        }
        let mut reached: Vec<u64> = newest.into_iter().flatten().collect();
        reached.sort_unstable_by(|a, b| b.cmp(a));
        let verified = verify_note(&log.root, checkpoint.encode().as_bytes());
        match reached.get(quorum as usize - 1) {
            Some(time) => prop_assert_eq!(verified.expect("a quorum").cosigned_s, *time),
            None => prop_assert_eq!(code(verified), "trust/below-quorum"),
        }
    }

    #[test]
    fn no_policy_lets_two_quorums_be_disjoint(count in 1..=32usize, quorum in 0..=34u32) {
        let root = TrustRoot { witnesses: policy(count, quorum), ..trust_root(1) };
        let parsed = TrustRoot::parse(&root.encode());
        let sound = quorum as usize <= count && 2 * quorum as usize > count;
        prop_assert_eq!(parsed.is_ok(), sound);
    }

    /// Two faces of a log, each shown to one client. Honest witnesses cosign one of them at most,
    /// dishonest ones both: with fewer than 2q − n of those, one face stays below its quorum.
    #[test]
    fn two_faces_of_a_log_need_more_dishonest_witnesses_than_two_quorums_share(
        count in 1..6usize,
        extra in 0..3u32,
        choices in prop::collection::vec(any::<(bool, bool)>(), 6),
    ) {
        let quorum = (count as u32 / 2 + 1 + extra).min(count as u32);
        let root = TrustRoot { witnesses: policy(count, quorum), ..trust_root(1) };
        let dishonest = choices[..count].iter().filter(|(both, _)| *both).count();
        let face = |number: u64| {
            let mut log = TestLog::of(4);
            log.root = root.clone();
            let signs = |(at, (both, first)): (usize, &(bool, bool))| {
                (*both || *first == (number == 5)).then(|| cosigner(at, 1_000))
            };
            log.witnesses = choices[..count].iter().enumerate().filter_map(signs).collect();
            release(&mut log, number);
            log
        };
        let cold = embedded(&root);
        let shown = [face(5), face(6)].map(|log| accept(&cold, &log).is_ok());
        let both = shown == [true, true];
        prop_assert!(!both || dishonest >= 2 * quorum as usize - count);
        if dishonest == count {
            prop_assert!(both, "all of them lying can do it: the oracle is not idle");
        }
    }
}

proptest! {
    #![proptest_config(few(48))]

    /// Whatever is offered in whatever order, what is seen goes up, and so do versions.
    #[test]
    fn nothing_that_is_replayed_takes_a_client_back(
        offers in prop::collection::vec((0..3usize, 1..30u64), 1..25),
    ) {
        // Three faces: honest, forked after 8 entries, and one whose versions go down after 12.
        let mut faces: Vec<Vec<TestLog>> = Vec::new();
        for face in 0..3u64 {
            let mut log = TestLog::new();
            let mut states = Vec::new();
            for at in 1..30u64 {
                let mut next = head(match (face, at) {
                    (2, 13..) => at - 9,
                    _ => at,
                });
                if face == 1 && at > 8 {
                    next.policy.keep_versions = 7;
                }
                log.push(&next);
                states.push(log.clone());
            }
            faces.push(states);
        }
        let mut state = embedded(&trust_root(1));
        for (face, size) in offers {
            let log = &faces[face][size as usize - 1];
            let before = (state.seen(), state.head().map(|head| head.channels[0].version));
            if let Ok(Some(accepted)) = accept(&state, log) {
                state = accepted.state;
                prop_assert!(!accepted.reset);
            }
            let after = (state.seen(), state.head().map(|head| head.channels[0].version));
            prop_assert!(after.0.size >= before.0.size && after.1 >= before.1);
            prop_assert!(after.0.size > before.0.size || after.0 == before.0);
            // All that it ever believed is one log: the honest one or one of the forks.
            let one = faces.iter().any(|states| {
                let at = |seen: Seen| seen.size == 0
                    || states.get(seen.size as usize - 1).is_some_and(|log| is_at(log, seen));
                at(before.0) && at(after.0)
            });
            prop_assert!(one);
        }
    }

    #[test]
    fn a_rotation_with_a_floor_brings_any_fast_forwarded_client_back_to_the_honest_log(
        honest in 2..20u64,
        stolen in 1..60u64,
        height in 1..1_000_000u64,
        floor_back in 0..3u64,
        more in 1..12u64,
        hops in 0..3u8,
    ) {
        let mut log = TestLog::of(honest);
        let mut thief = log.clone();
        for at in 0..stolen {
            release(&mut thief, honest + height + at);
        }
        let state = taken(&embedded(&trust_root(1)), &thief);
        prop_assert_eq!(state.seen().size, honest + stolen);
        // The floor is an honest point, maybe some entries before the end of the honest log.
        let at = TestLog::of(honest.saturating_sub(floor_back).max(1));
        rotate(&mut log, 21, Some(seen(&at)));
        for hop in 0..hops {
            // Later trust roots carry the floor on: it must not clear again.
            let floor = log.root.floor.clone();
            rotate(&mut log, 22 + hop, floor.map(|f| Seen { size: f.size, root: f.root }));
        }
        for next in 1..=more {
            release(&mut log, honest + next);
        }
        let back = accept(&state, &log).expect("the honest log").expect("it is new");
        prop_assert!(back.reset);
        prop_assert_eq!(back.channel.version, Version(honest + more));
        prop_assert_eq!(back.state.seen(), seen(&log));
        // The thief's keys are out, and what it showed is not the log any more.
        release(&mut thief, honest + height + stolen);
        thief.bootstrap.trust_chain.clone_from(&log.trust_chain);
        prop_assert_eq!(code(accept(&back.state, &thief)), "trust/below-threshold");
        // From here on nothing goes back: the floor has cleared once.
        let mut shorter = TestLog::of(honest);
        shorter.root = log.root.clone();
        shorter.trust_chain.clone_from(&log.trust_chain);
        shorter.release.clone_from(&log.release);
        shorter.bootstrap.trust_chain.clone_from(&log.trust_chain);
        shorter.sign();
        prop_assert_eq!(code(accept(&back.state, &shorter)), "trust/rollback");
    }

    #[test]
    fn a_rotation_delivered_with_an_old_checkpoint_changes_nothing(
        size in 1..15u64, behind in 0..5u64, back in prop::bool::ANY,
    ) {
        let old = TestLog::of(size);
        let state = taken(&embedded(&trust_root(1)), &old);
        let mut new = old.clone();
        let floor = back.then(|| seen(&old));
        rotate(&mut new, 21, floor);
        release(&mut new, size + 1);
        // The new trust roots are real; the checkpoint is one that the old keys signed.
        let mut delayed = TestLog::of(size.saturating_sub(behind).max(1));
        delayed.bootstrap.trust_chain.clone_from(&new.trust_chain);
        prop_assert_eq!(code(accept(&state, &delayed)), "trust/below-threshold");
        // Nor does one that the new keys signed over a head state from before, below what was seen.
        let mut lagging = TestLog::of(size.saturating_sub(behind).max(1));
        lagging.root = new.root.clone();
        lagging.release = vec![21];
        lagging.trust_chain.clone_from(&new.trust_chain);
        lagging.bootstrap.trust_chain.clone_from(&new.trust_chain);
        lagging.sign();
        if lagging.frontier.size() < size {
            prop_assert_eq!(code(accept(&state, &lagging)), "trust/rollback");
        }
        prop_assert_eq!(taken(&state, &new).root().version, 2);
    }

    /// Witnesses that have not seen the newest checkpoint go on cosigning an older one, with new
    /// times: newer than all that the client has, and still no way back.
    #[test]
    fn a_quorum_that_lags_cannot_take_a_client_back(
        size in 2..20u64, lag in 1..10u64, count in 1..5usize, later in 0..100_000u64,
    ) {
        let root = TrustRoot { witnesses: policy(count, count as u32), ..trust_root(1) };
        let at = |size: u64, time_s| {
            let mut log = TestLog::of(size);
            log.root = root.clone();
            log.witnesses = (0..count).map(|at| cosigner(at, time_s)).collect();
            log.sign();
            log
        };
        let state = taken(&embedded(&root), &at(size, 10_000));
        let lagging = at(size.saturating_sub(lag).max(1), 10_000 + later);
        prop_assert_eq!(code(accept(&state, &lagging)), "trust/rollback");
        // The same log, cosigned later, is only younger.
        let again = taken(&state, &at(size, 10_001 + later));
        prop_assert_eq!(again.cosigned_s(), 10_001 + later);
        prop_assert_eq!(taken(&again, &at(size, 10_000)).cosigned_s(), 10_001 + later);
    }
}
