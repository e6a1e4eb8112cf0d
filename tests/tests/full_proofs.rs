//! Full proofs: what they prove, to whom, and that no damage makes them prove anything else.

use packice_core::error::Error;
use packice_core::format::leaf;
use packice_core::limits::MAX_FULL_PROOF_LEN;
use packice_core::tree::proof::Proof;
use packice_core::trust::freshness::Level;
use packice_core::trust::proof::{FullProof, Statement, verify_full};
use packice_core::types::{Millis, Name, hex};
use packice_tests::parsers::{Frozen, frozen};
use proptest::prelude::*;

const DAY_MS: u64 = 86_400_000;
/// When the quorum had cosigned the vectors' release under trust root 2.
const COSIGNED_MS: u64 = 1_790_000_000_000;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn root(title: &str) -> Vec<u8> {
    frozen("trust-root")[title].bytes.clone()
}

fn verify(bytes: &[u8]) -> Result<Statement, Error> {
    verify_full(bytes, &root("first"), &name("vectors"), &name("stable"))
}

fn code(result: Result<Statement, Error>) -> &'static str {
    result.expect_err("a proof that does not hold").code()
}

#[test]
fn a_full_proof_holds_with_nothing_but_the_trust_root() {
    for (title, Frozen { bytes, fields }) in frozen("full-proof") {
        let proven = verify(&bytes).unwrap_or_else(|error| panic!("{title}: {error}"));
        assert_eq!(proven.collection.as_str(), fields["collection"], "{title}");
        assert_eq!(hex(&proven.key), fields["key"], "{title}");
        let value = proven.value.as_deref().map_or("absent".into(), hex);
        assert_eq!(value, fields["value"], "{title}");
        assert_eq!(proven.version.to_string(), fields["version"], "{title}");
        assert_eq!(proven.trust.cosigned_s().to_string(), fields["cosigned_s"], "{title}");
    }
}

#[test]
fn the_bound_is_the_one_that_others_are_told() {
    // docs/spec/proof.md, and MAX_PROOF of wasm-client/js/open.ts.
    assert_eq!(MAX_FULL_PROOF_LEN, 7_704_062);
    let long = verify(&vec![0; MAX_FULL_PROOF_LEN + 1]);
    assert_eq!(code(long), "format/too-large");
}

#[test]
fn a_wallet_that_embeds_a_later_trust_root_takes_the_same_proof() {
    let bytes = &frozen("full-proof")["rotated"].bytes;
    let later = verify_full(bytes, &root("rotated"), &name("vectors"), &name("stable"));
    let (later, first) = (later.expect("a proof"), verify(bytes).expect("a proof"));
    assert_eq!((later.value, later.version), (first.value, first.version));
}

#[test]
fn a_release_under_revoked_keys_proves_nothing_to_who_knows_better() {
    let bytes = &frozen("full-proof")["presence"].bytes;
    let later = verify_full(bytes, &root("rotated"), &name("vectors"), &name("stable"));
    assert_eq!(code(later), "trust/below-threshold");
}

#[test]
fn a_proof_is_of_one_dataset_and_of_one_channel() {
    let bytes = &frozen("full-proof")["presence"].bytes;
    let verify = |dataset: &str, channel: &str| {
        verify_full(bytes, &root("first"), &name(dataset), &name(channel))
    };
    assert_eq!(code(verify("other", "stable")), "trust/wrong-dataset");
    assert_eq!(code(verify("vectors", "beta")), "trust/no-such-channel");
    // In the rotated release both channels stand at one manifest.
    let bytes = &frozen("full-proof")["rotated"].bytes;
    let beta = verify_full(bytes, &root("first"), &name("vectors"), &name("beta"));
    assert!(beta.is_ok());
}

#[test]
fn a_proof_is_as_old_as_its_cosignatures() {
    let proven = verify(&frozen("full-proof")["rotated"].bytes).expect("a proof");
    let at = |now_ms| proven.freshness(Millis(now_ms));
    assert_eq!(at(COSIGNED_MS + DAY_MS).level, Level::Fresh);
    assert_eq!(at(COSIGNED_MS + DAY_MS).age_ms, Some(DAY_MS));
    assert_eq!(at(COSIGNED_MS + 3 * DAY_MS).level, Level::Stale);
    assert_eq!(at(COSIGNED_MS + 30 * DAY_MS).level, Level::Expired);
    assert_eq!(at(0).age_ms, Some(0), "a clock behind the witnesses counts as theirs");
    let unwitnessed = verify(&frozen("full-proof")["presence"].bytes).expect("a proof");
    assert_eq!(unwitnessed.freshness(Millis(0)).level, Level::Unknown);
}

#[test]
fn parts_of_different_releases_do_not_fit_together() {
    let parse = |title: &str| FullProof::parse(&frozen("full-proof")[title].bytes);
    let [first, second] = ["presence", "rotated"].map(|title| parse(title).expect("a proof"));
    let mixed = |change: &dyn Fn(&mut FullProof)| {
        let mut proof = first.clone();
        change(&mut proof);
        code(verify(&proof.encode()))
    };
    assert_eq!(mixed(&|p| p.manifest = second.manifest.clone()), "trust/length-mismatch");
    assert_eq!(mixed(&|p| p.evidence.head = second.evidence.head.clone()), {
        "trust/bad-inclusion-proof"
    });
    assert_eq!(mixed(&|p| p.evidence.checkpoint = second.evidence.checkpoint.clone()), {
        "trust/below-threshold"
    });
    assert_eq!(mixed(&|p| p.evidence = second.evidence.clone()), "trust/below-threshold");
    assert_eq!(mixed(&|p| p.record = second.record.clone()), "trust/bad-proof");
    assert_eq!(mixed(&|p| p.collection = name("config")), "trust/bad-proof");
    assert_eq!(mixed(&|p| p.collection = name("missing")), "trust/bad-proof");
    // The chain alone brings the newer trust root, under which the old keys are revoked.
    assert_eq!(mixed(&|p| p.trust_chain = second.trust_chain.clone()), "trust/below-threshold");
}

/// The records of the leaf that a proof carries.
fn leaf_of(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let record = FullProof::parse(bytes).expect("a proof").record;
    let leaf = Proof::parse(&record).expect("a record proof").leaf.expect("a leaf");
    let records = leaf::records(&leaf).expect("records");
    records.into_iter().map(|record| (record.key, record.value.to_vec())).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for (title, Frozen { bytes, .. }) in frozen("full-proof") {
        let honest = verify(&bytes).expect("a proof");
        let records = leaf_of(&bytes);
        let mut other_keys = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let Ok(proven) = verify(&damaged) else { continue };
            // A proof says which key it is of. With another one that belongs to the same leaf in
            // its place it proves, just as truly, what the leaf says of that one.
            assert_ne!(proven.key, honest.key, "{title}: byte {at} proves the same");
            let value = records.iter().find(|(key, _)| *key == proven.key).map(|(_, v)| v.clone());
            let (key, at_key) = (proven.key.clone(), proven.value.clone());
            assert_eq!(at_key, value, "{title}: byte {at}");
            assert_eq!(proven, Statement { key, value, ..honest.clone() }, "{title}: byte {at}");
            other_keys += 1;
        }
        assert!(other_keys <= honest.key.len(), "{title}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn damage_of_any_kind_never_proves_another_value(
        at in any::<prop::sample::Index>(),
        cut in 0..40usize,
        patch in prop::collection::vec(any::<u8>(), 0..40),
        title in prop::sample::select(vec!["presence", "absence", "rotated"]),
    ) {
        let bytes = frozen("full-proof")[title].bytes.clone();
        let honest = verify(&bytes).expect("a proof");
        let start = at.index(bytes.len());
        let end = (start + cut).min(bytes.len());
        let mut damaged = bytes.clone();
        damaged.splice(start..end, patch);
        if let Ok(proven) = verify(&damaged) && proven.key == honest.key {
            prop_assert_eq!(proven, honest);
        }
    }
}
