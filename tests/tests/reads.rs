//! Reads before, during and after a sync: what they answer and what they cost.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one case")]

use packice_core::engine::io::{Answer, Failure, RangeQuery, UnknownReason};
use packice_core::engine::{Command, Input};
use packice_core::error::{Error, Misuse};
use packice_core::tree::proof;
use packice_core::types::Version;
use packice_tests::publication::{Publication, Spec, numbered_record};
use packice_tests::shell::{Shell, Source, owned};

fn specs() -> Vec<Spec> {
    let mut headers = Spec::numbered("headers", 1, 3000, 1);
    headers.dictionary = true;
    let mut private = Spec::numbered("private", 2, 500, 3);
    private.lazy = false;
    vec![Spec::numbered("config", 0, 10, 2), headers, private]
}

fn shell(publication: &Publication) -> Shell {
    Shell::new(publication, vec![Source::honest(publication)])
}

#[test]
fn a_cold_read_takes_two_round_trips_and_fetches_one_frame() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let (key, value) = numbered_record(1234, 1);
    let answer = shell.get("headers", &key).expect("an answer");
    assert_eq!(answer, Answer::Present { value, version: Version(1) });
    let paths: Vec<&str> = shell.requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths.len(), 3, "bootstrap, then dictionary and frame at once: {paths:?}");
    let rounds: std::collections::BTreeSet<u64> = shell.requests.iter().map(|r| r.round).collect();
    assert_eq!(rounds.len(), 2);
    assert!(shell.requests[2].range.is_some() || shell.requests[1].range.is_some());
}

#[test]
fn a_lazily_read_frame_is_kept() {
    let publication = Publication::of(&specs());
    let mut first = shell(&publication);
    let (key, value) = numbered_record(1234, 1);
    first.get("headers", &key).expect("an answer");
    let mut second = Shell::on_store(&publication, vec![], first.close());
    let answer = second.get("headers", &key).expect("an answer");
    assert_eq!(answer, Answer::Present { value, version: Version(1) });
    let (other, _) = numbered_record(2900, 1);
    let unreachable = Answer::Unknown(UnknownReason::Unreachable);
    assert_eq!(second.get("headers", &other).expect("an answer"), unreachable);
}

#[test]
fn absence_is_an_answer_of_its_own() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    for key in [b"".as_slice(), b"key/0000123", b"key/00001234x", b"zzz"] {
        let answer = shell.get("headers", key).expect("an answer");
        assert_eq!(answer, Answer::Absent { version: Version(1) });
    }
}

#[test]
fn a_collection_that_is_not_lazy_is_not_known_before_the_sync() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let (key, value) = numbered_record(7, 3);
    let unknown = Answer::Unknown(UnknownReason::NotSynced);
    assert_eq!(shell.get("private", &key).expect("an answer"), unknown);
    assert!(shell.requests.iter().all(|r| !r.path.starts_with("bundle/")));
    shell.sync().expect("a sync that ends well");
    let present = Answer::Present { value, version: Version(1) };
    assert_eq!(shell.get("private", &key).expect("an answer"), present);
}

#[test]
fn a_read_jumps_the_queue_of_a_running_sync() {
    let mut publication = Publication::default();
    publication.publish(&[Spec::numbered("big", 1, 40_000, 1)]);
    let mut shell = shell(&publication);
    shell.feed(Input::Command(Command::Sync));
    while shell.requests.iter().filter(|r| r.path.starts_with("bundle/")).count() == 0 {
        shell.step();
    }
    let (key, value) = numbered_record(39_999, 1);
    let collection = String::from("big");
    let read = shell.begin(|read| Command::Get { read, collection, key, version: None });
    let answer = loop {
        shell.step();
        if let Some(answer) = shell.answer(read) {
            break answer;
        }
    };
    assert_eq!(answer.expect("an answer"), Answer::Present { value, version: Version(1) });
    assert!(shell.syncs.is_empty(), "the sync is still going on");
    shell.settle();
    assert!(shell.syncs[0].is_ok());
}

#[test]
fn ranges_respect_start_end_and_limit() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let query = |start: u64, end: u64, limit| RangeQuery {
        collection: "headers".into(),
        start: numbered_record(start, 1).0,
        end: Some(numbered_record(end, 1).0),
        limit,
        at: None,
    };
    let page = |answer: Result<Answer, Failure>| match answer.expect("a page") {
        Answer::Records { records, next, .. } => {
            (records.iter().map(owned).collect::<Vec<_>>(), next)
        }
        other => panic!("a range answered {other:?}"),
    };
    let (records, next) = page(shell.page(query(10, 13, 100)));
    assert_eq!(records, [10, 11, 12].map(|i| numbered_record(i, 1)));
    assert_eq!(next, None);
    let (records, next) = page(shell.page(query(10, 13, 2)));
    assert_eq!(records, [10, 11].map(|i| numbered_record(i, 1)));
    assert_eq!(next, Some(numbered_record(12, 1).0));
    let (records, next) = page(shell.page(query(13, 10, 2)));
    assert!(records.is_empty() && next.is_none());
}

#[test]
fn an_iteration_that_a_new_version_overtakes_says_so() {
    let mut specs = specs();
    let mut publication = Publication::of(&specs);
    let mut shell = shell(&publication);
    shell.sync().expect("version 1");
    let mut query = RangeQuery {
        collection: "headers".into(),
        start: Vec::new(),
        end: None,
        limit: 5,
        at: None,
    };
    let Answer::Records { next, root, .. } = shell.page(query.clone()).expect("a page") else {
        panic!("no page")
    };
    specs[1].records.insert(b"a".to_vec(), b"new".to_vec());
    publication.publish(&specs);
    shell.sources = vec![Source::honest(&publication)];
    shell.sync().expect("version 2");
    query.start = next.expect("more pages");
    query.at = Some(root);
    let failure = shell.page(query).expect_err("the version changed");
    assert_eq!(failure.code(), "read/version-changed");
}

#[test]
fn proofs_of_presence_and_absence_lead_to_the_signed_root() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let manifest = publication.manifest.clone().expect("a manifest");
    let tree = manifest.collection("headers").expect("the collection").tree;
    for (key, present) in [(numbered_record(77, 1).0, true), (b"key/0000007x".to_vec(), false)] {
        let Answer::Proof { value, proof, root, .. } =
            shell.prove("headers", &key).expect("a proof")
        else {
            panic!("no proof")
        };
        assert_eq!(root, tree.root);
        assert_eq!(value.is_some(), present);
        assert_eq!(proof::verify(&tree, &key, &proof), Ok(value));
    }
}

#[test]
fn misuse_is_told_apart() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let unknown = Failure::Error(Error::Misuse(Misuse::UnknownCollection));
    assert_eq!(shell.get("nothing", b"key"), Err(unknown));
    let long = Failure::Error(Error::Misuse(Misuse::KeyTooLong));
    assert_eq!(shell.get("headers", &[0; 2000]), Err(long));
}

#[test]
fn cancelled_reads_and_syncs_say_that_they_were_aborted() {
    let publication = Publication::of(&specs());
    let mut shell = shell(&publication);
    let (collection, key) = (String::from("headers"), numbered_record(1, 1).0);
    let read = shell.begin(|read| Command::Get { read, collection, key, version: None });
    shell.feed(Input::Command(Command::CancelRead(read)));
    shell.feed(Input::Command(Command::Sync));
    for _ in 0..20 {
        shell.step();
    }
    shell.feed(Input::Command(Command::CancelSync));
    shell.settle();
    let read = shell.answer(read).expect("an answer").expect_err("an abort");
    assert_eq!(read.code(), "misuse/aborted");
    assert_eq!(shell.syncs[0].as_ref().expect_err("an abort").code(), "misuse/aborted");
    shell.sync().expect("a sync after an aborted one");
}

#[test]
fn a_read_that_waits_for_what_a_sync_fetches_is_answered_when_the_sync_is_cancelled() {
    let publication = Publication::of(&specs());
    let (key, value) = numbered_record(1234, 1);
    for steps in 0..60 {
        let mut shell = shell(&publication);
        shell.feed(Input::Command(Command::Sync));
        for _ in 0..steps {
            shell.step();
        }
        let (collection, key) = (String::from("headers"), key.clone());
        let read = shell.begin(|read| Command::Get { read, collection, key, version: None });
        shell.feed(Input::Command(Command::CancelSync));
        shell.settle();
        let answer = shell.answer(read).expect("every read is answered").expect("an answer");
        let present = Answer::Present { value: value.clone(), version: Version(1) };
        assert_eq!(answer, present, "after {steps} steps");
    }
}

#[test]
fn a_read_of_a_bundle_that_is_arriving_waits_for_it_and_fetches_nothing_twice() {
    let publication = Publication::of(&specs());
    let mut met_on_its_way = 0;
    for steps in 0..60 {
        let mut shell = shell(&publication);
        shell.feed(Input::Command(Command::Sync));
        for _ in 0..steps {
            shell.step();
        }
        let under_way = shell.requests.iter().any(|r| r.path.starts_with("bundle/"));
        // Not lazy: without the bundle that is on its way the answer would be "not synced".
        let (key, value) = numbered_record(7, 3);
        let answer = shell.get("private", &key).expect("an answer");
        if under_way && answer != Answer::Unknown(UnknownReason::NotSynced) {
            assert_eq!(answer, Answer::Present { value, version: Version(1) });
        }
        let (key, value) = numbered_record(1234, 1);
        let answer = shell.get("headers", &key).expect("an answer");
        assert_eq!(answer, Answer::Present { value, version: Version(1) });
        if under_way {
            let ranges = shell.requests.iter().filter(|r| r.range.is_some()).count();
            assert_eq!(ranges, 0, "after {steps} steps");
            met_on_its_way += 1;
        }
    }
    assert!(met_on_its_way > 10, "{met_on_its_way} reads met a bundle on its way");
}

#[test]
fn many_reads_at_once_do_not_load_all_their_bundles_at_once() {
    // Incompressible, so that the bundles are about 1 MiB as they are in a large set.
    let noise = |i: u64| {
        let word =
            |at: u64| packice_core::hash::identity(&[i.to_le_bytes(), at.to_le_bytes()].concat()).0;
        (0..128u64).flat_map(word).collect::<Vec<u8>>()
    };
    let record = |i: u64| (format!("key/{i:08}").into_bytes(), noise(i));
    let mut large = Spec::numbered("large", 1, 0, 1);
    large.records = (0..2500).map(record).collect();
    let publication = Publication::of(&[large]);
    let mut first = shell(&publication);
    first.sync().expect("a sync");
    let mut shell = Shell::on_store(&publication, vec![], first.close());
    let keys: Vec<u64> = (0..2500).step_by(25).collect();
    let begin = |i: &u64| {
        let (collection, key) = (String::from("large"), record(*i).0);
        shell.begin(|read| Command::Get { read, collection, key, version: None })
    };
    let reads: Vec<_> = keys.iter().map(begin).collect();
    shell.settle();
    for (i, read) in keys.into_iter().zip(reads) {
        let present = Answer::Present { value: record(i).1, version: Version(1) };
        assert_eq!(shell.answer(read).expect("an answer").expect("a value"), present);
    }
    let bundles: usize = shell.store.values().map(Vec::len).sum();
    assert!(bundles > 9 << 20, "{bundles} bytes are too few for this test");
    let most = shell.load_bytes_max;
    assert!((1 << 20..5 << 20).contains(&most), "{most} bytes were asked of the store at once");
}
