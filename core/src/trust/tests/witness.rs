use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::publisher::{ORIGIN, TestLog, role, seed};
use crate::error::{Error, TrustError};
use crate::format::note::Checkpoint;
use crate::format::trust_root::Witness;
use crate::trust::accept::Seen;
use crate::trust::prove::{consistency_proof, proof_tiles};
use crate::trust::sign::{add_cosignature, public_key};
use crate::trust::witness::*;

fn watched() -> WatchedLog {
    WatchedLog { origin: ORIGIN.into(), keys: role(1, &[11, 12]) }
}

fn seen(log: &TestLog) -> Seen {
    Seen { size: log.frontier.size(), root: log.frontier.root() }
}

fn request(old: u64, log: &TestLog) -> AddCheckpoint {
    let new = log.frontier.size();
    let tiles = log.tiles(&proof_tiles(old, new));
    let proof = consistency_proof(old, new, &tiles).expect("tiles that hold");
    AddCheckpoint { old, proof, note: log.bootstrap.checkpoint.clone() }
}

fn status(seen: Seen, request: &AddCheckpoint) -> u16 {
    match decide(Some(&watched()), seen, request) {
        Ok(_) => 200,
        Err(refusal) => refusal.status(),
    }
}

#[test]
fn the_specifications_example_reads_and_writes_back() {
    let body = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

";
    let signature = concat!(
        "\u{2014} example.com/behind-the-sofa ",
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5",
        "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n",
    );
    let body = [body, signature].concat();
    let request = AddCheckpoint::parse(body.as_bytes()).expect("the example");
    assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
    assert_eq!(Checkpoint::parse(&request.note).expect("a checkpoint").size, 20_852_163);
    assert_eq!(request.encode(), body.as_bytes());
}

#[test]
fn requests_that_do_not_read_are_refused() {
    for body in [
        "",
        "old 1",
        "old 1\n",
        "old 01\n\nx",
        "old +1\n\nx",
        "old 18446744073709551616\n\nx",
        "new 1\n\nx",
        "old  1\n\nx",
        "old 1\nabc\n\nx",
        "old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw\n\nx",
    ] {
        assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{body:?}");
    }
    let line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    let of = |lines: usize| ["old 1\n", &line.repeat(lines), "\nx"].concat();
    assert!(AddCheckpoint::parse(of(MAX_PROOF_LINES).as_bytes()).is_ok());
    assert!(AddCheckpoint::parse(of(MAX_PROOF_LINES + 1).as_bytes()).is_err());
}

#[test]
fn a_witness_follows_a_log_that_grows() {
    let mut at = Seen::nothing();
    for size in [1, 2, 3, 7, 8, 300, 301] {
        let log = TestLog::of(size);
        let kept = decide(Some(&watched()), at, &request(at.size, &log)).expect("it grew");
        at = Seen { size: kept.size, root: kept.root };
        assert_eq!(at, seen(&log));
        assert_eq!(status(at, &request(size, &log)), 200, "the same once more: a newer time");
    }
}

#[test]
fn a_witness_never_goes_back_and_never_cosigns_a_fork() {
    let log = TestLog::of(5);
    let at = seen(&log);
    let mut fork = TestLog::of(4);
    fork.push(&super::publisher::head(77));
    let mut longer_fork = fork.clone();
    longer_fork.push(&super::publisher::head(78));
    assert_eq!(status(at, &request(3, &TestLog::of(4))), 409, "an older checkpoint");
    assert_eq!(status(at, &request(4, &log)), 409, "another old size");
    assert_eq!(status(at, &request(5, &fork)), 409, "another root at the same size");
    assert_eq!(status(at, &request(5, &longer_fork)), 422, "a fork that grew");
    assert_eq!(status(at, &request(0, &longer_fork)), 409, "a fork from the start");
    let mut bad = request(5, &TestLog::of(9));
    bad.proof.reverse();
    assert_eq!(status(at, &bad), 422);
    let mut padded = request(5, &log);
    padded.proof.push(at.root);
    assert_eq!(status(at, &padded), 422, "a proof where none belongs");
    let mut first = request(0, &log);
    first.proof.push(at.root);
    assert_eq!(status(Seen::nothing(), &first), 422);
    assert_eq!(status(at, &AddCheckpoint { old: 6, ..request(5, &log) }), 400);
}

#[test]
fn a_witness_cosigns_what_the_logs_keys_signed_alone() {
    let mut log = TestLog::of(2);
    log.release = vec![13];
    log.sign();
    assert_eq!(status(Seen::nothing(), &request(0, &log)), 403);
    log.release = vec![13, 12];
    log.sign();
    assert_eq!(status(Seen::nothing(), &request(0, &log)), 200);
    let two = WatchedLog { keys: role(2, &[11, 12]), ..watched() };
    let refused = decide(Some(&two), Seen::nothing(), &request(0, &log)).expect_err("one of two");
    let error = TrustError::BelowThreshold { valid: 1, threshold: 2 };
    assert_eq!(refused, Refusal::NotSigned(Error::Trust(error)));
    let other = WatchedLog { origin: "another".to_string(), ..watched() };
    for log_of in [None, Some(&other)] {
        let refused = decide(log_of, Seen::nothing(), &request(0, &log)).expect_err("unknown");
        assert_eq!(refused.status(), 404);
    }
}

/// The lines that a witness of key 21 answers with.
fn answer(log: &TestLog, name: &str, byte: u8, time_s: u64) -> Vec<u8> {
    let mut checkpoint = Checkpoint::parse(&log.bootstrap.checkpoint).expect("a checkpoint");
    checkpoint.signatures.clear();
    add_cosignature(&mut checkpoint, name, &seed(byte), time_s);
    answer_text(&checkpoint.signatures).into_bytes()
}

#[test]
fn an_answer_counts_if_its_line_verifies_and_the_newest_stays() {
    let log = TestLog::of(3);
    let witness = Witness { name: "w1".to_string(), key: public_key(&seed(21)) };
    let mut checkpoint = Checkpoint::parse(&log.bootstrap.checkpoint).expect("a checkpoint");
    let mut take = |answer: Vec<u8>| take_answer(&mut checkpoint, &witness, &answer);
    assert_eq!(take(answer(&log, "w1", 21, 1000)), Ok(1000));
    assert_eq!(take(answer(&log, "w1", 21, 2000)), Ok(2000));
    assert_eq!(take(answer(&log, "w1", 21, 1500)), Ok(2000), "an older one changes nothing");
    let none = Err(TrustError::BelowQuorum { valid: 0, quorum: 1 }.into());
    assert_eq!(take(answer(&log, "w2", 21, 3000)), none, "another name");
    assert_eq!(take(answer(&log, "w1", 22, 3000)), none, "another key");
    let foreign = answer(&TestLog::of(4), "w1", 21, 3000);
    assert_eq!(take(foreign), Err(TrustError::BadSignature.into()), "another checkpoint");
    let both = [answer(&log, "w2", 22, 1), answer(&log, "w1", 21, 4000)].concat();
    assert_eq!(take(both), Ok(4000), "lines of unknown keys are ignored");
    for bytes in [&b""[..], b"\n", b"x", &[0xff, b'\n'], &[b'x'; MAX_ANSWER_LEN + 1]] {
        assert!(take(bytes.to_vec()).is_err());
    }
    assert_eq!(checkpoint.signatures.len(), 2, "one line of the log, one of the witness");
}

#[test]
fn every_request_that_reads_has_one_spelling() {
    let body = request(3, &TestLog::of(7)).encode();
    for flipped in super::flips(&body) {
        if let Ok(read) = AddCheckpoint::parse(&flipped) {
            assert_eq!(read.encode(), flipped);
            let _ = decide(Some(&watched()), seen(&TestLog::of(3)), &read);
        }
    }
}
