use alloc::boxed::Box;
use alloc::vec::Vec;

use super::testing::{TestLog, head, name, signed, trust_root};
use super::*;
use crate::trust::testing;

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
            pending.finish(&log.tiles(&tiles)).map(Box::new)
        }
    }
}

#[test]
fn the_first_checkpoint_is_accepted_without_tiles() {
    for size in [1, 2, 3, 7, 8, 9, 255, 256, 257] {
        let log = TestLog::of(size);
        let Ok(Offer::Accepted(accepted)) = offer(&embedded(), &log) else {
            panic!("{size} entries are not accepted at once")
        };
        assert_eq!(accepted.head, head(size));
        assert_eq!(accepted.channel.version.0, size);
        assert_eq!(accepted.state.seen().size, size);
    }
}

#[test]
fn a_client_follows_from_any_size_to_any_later_one() {
    let logs: Vec<TestLog> = (1..=40).map(TestLog::of).collect();
    for (at, old) in logs.iter().enumerate() {
        let state = accept(&embedded(), old).expect("the first one").state;
        for new in &logs[at + 1..] {
            let accepted = accept(&state, new).expect("a log that grew");
            assert_eq!(accepted.state.seen().root, new.frontier.root());
        }
        for lagging in &logs[..at] {
            let error = offer(&state, lagging).expect_err("a smaller log");
            assert_eq!(error.code(), "trust/rollback");
        }
        assert_eq!(offer(&state, old), Ok(Offer::Unchanged));
    }
}

#[test]
fn a_restored_state_is_the_stored_one() {
    let log = TestLog::of(5);
    let state = accept(&embedded(), &log).expect("the first one").state;
    let root = signed(&trust_root(1), &[1]);
    let restored = TrustState::restore(&root, &name("tokens"), &state.encode());
    assert_eq!(restored, Ok(state));
    assert_eq!(testing::ORIGIN, log.root.origin);
}
