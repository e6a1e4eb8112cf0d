use alloc::vec::Vec;

use super::publisher::{ORIGIN, TestLog, head, name, role, signed, trust_root};
use crate::error::{Error, TrustError};
use crate::format::bootstrap::Bootstrap;
use crate::format::head::Head;
use crate::format::note::Checkpoint;
use crate::format::trust_root::{Floor, TrustRoot};
use crate::trust::accept::{Evidence, Seen};
use crate::trust::release::*;
use crate::trust::root::TrustChain;
use crate::trust::sign::grow;

fn entry(log: &TestLog) -> Evidence {
    let Bootstrap { checkpoint, head, inclusion, .. } = log.bootstrap.clone();
    Evidence { checkpoint, head, inclusion }
}

/// The unsigned release of a head state on top of a log.
fn draft(log: &TestLog, head: &Head) -> Evidence {
    let head = head.encode();
    let grown = grow(&log.frontier, &head);
    let body = Checkpoint::body(ORIGIN, grown.at.size, &grown.at.root);
    let checkpoint = [body.as_str(), "\n"].concat().into_bytes();
    Evidence { checkpoint, head, inclusion: grown.inclusion }
}

fn chain(roots: &[(&TrustRoot, &[u8])]) -> TrustChain {
    let signed: Vec<Vec<u8>> = roots.iter().map(|(root, seeds)| signed(root, seeds)).collect();
    let mut chain = TrustChain::embedded(&signed[0], &name("tokens")).expect("a trust root");
    chain.extend(&signed[1..]).expect("a chain");
    chain
}

fn one() -> TrustChain {
    chain(&[(&trust_root(1), &[1])])
}

#[test]
fn a_release_that_goes_on_may_be_signed() {
    let log = TestLog::of(4);
    let step = check_release_draft(&one(), Some(&entry(&log)), &draft(&log, &head(5)));
    let step = step.expect("it grows by one");
    assert_eq!((step.from.size, step.to.size, step.reset), (4, 5, false));
    assert_eq!(step.before.map(|head| head.channels[0].version.0), Some(4));
    let first = check_release_draft(&one(), None, &draft(&TestLog::new(), &head(1)));
    assert_eq!(first.expect("the first").from, Seen::nothing());
}

#[test]
fn a_release_that_does_not_follow_is_refused() {
    let log = TestLog::of(4);
    let refused = |chain: &TrustChain, before: Option<&Evidence>, new: &Evidence| {
        check_release_draft(chain, before, new).expect_err("refused")
    };
    let before = entry(&log);
    let older = draft(&TestLog::of(3), &head(5));
    assert!(matches!(refused(&one(), Some(&before), &older), Error::Trust(TrustError::Fork)));
    let mut other = TestLog::of(3);
    other.push(&head(9));
    let fork = draft(&other, &head(10));
    assert_eq!(refused(&one(), Some(&before), &fork), TrustError::Fork.into());
    let skipped = draft(&TestLog::of(5), &head(6));
    let error = TrustError::WrongLogSize { offered: 6, stands: 4 };
    assert_eq!(refused(&one(), Some(&before), &skipped), error.into());
    let error = TrustError::VersionRollback { offered: 3, held: 4 };
    assert_eq!(refused(&one(), Some(&before), &draft(&log, &head(3))), error.into());
    let mut lied = draft(&log, &head(5));
    lied.head = head(6).encode();
    assert_eq!(refused(&one(), Some(&before), &lied), TrustError::BadInclusionProof.into());
    let error = TrustError::WrongLogSize { offered: 5, stands: 0 };
    assert_eq!(refused(&one(), None, &draft(&log, &head(5))), error.into());
    let mut unsigned = before.clone();
    unsigned.checkpoint = draft(&TestLog::of(3), &head(4)).checkpoint;
    assert!(check_release_draft(&one(), Some(&unsigned), &draft(&log, &head(5))).is_err());
}

#[test]
fn after_a_rotation_a_release_follows_one_of_the_old_keys() {
    let mut second = trust_root(2);
    second.release = role(1, &[14]);
    let chain = chain(&[(&trust_root(1), &[1]), (&second, &[1])]);
    let log = TestLog::of(4);
    let mut next = head(5);
    let outdated = check_release_draft(&chain, Some(&entry(&log)), &draft(&log, &next));
    let error = TrustError::OutdatedTrustRoot { needed: 1, known: 2 };
    assert_eq!(outdated.expect_err("under the old trust root"), error.into());
    next.trust_root_version = 2;
    check_release_draft(&chain, Some(&entry(&log)), &draft(&log, &next)).expect("it goes on");
    // What the old keys sign under the new trust root is not signed.
    let mut stolen = log.clone();
    stolen.push(&next);
    let on_top = check_release_draft(&chain, Some(&entry(&stolen)), &draft(&stolen, &next));
    assert!(matches!(on_top, Err(Error::Trust(TrustError::BelowThreshold { .. }))));
}

#[test]
fn a_new_floor_clears_what_a_thief_published() {
    let honest = TestLog::of(4);
    let mut stolen = honest.clone();
    stolen.push(&head(1_000_000));
    let mut second = trust_root(2);
    second.release = role(1, &[14]);
    second.floor = Some(Floor {
        origin: ORIGIN.into(),
        size: honest.frontier.size(),
        root: honest.frontier.root(),
    });
    let chain = chain(&[(&trust_root(1), &[1]), (&second, &[1])]);
    let mut next = head(5);
    next.trust_root_version = 2;
    let step = check_release_draft(&chain, Some(&entry(&stolen)), &draft(&honest, &next));
    let step = step.expect("from the floor on");
    assert_eq!((step.from.size, step.to.size, step.reset), (4, 5, true));
    assert!(check_release_draft(&chain, Some(&entry(&stolen)), &draft(&stolen, &next)).is_err());
}
