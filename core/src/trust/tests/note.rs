use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::flips;
use super::publisher::{ORIGIN, role, seed, trust_root};
use crate::error::Error;
use crate::format::note::{COSIGNATURE, Checkpoint, ED25519, NoteSignature, key_id};
use crate::format::trust_root::{TrustRoot, Witness, WitnessPolicy};
use crate::trust::accept::Seen;
use crate::trust::note::{verify_checkpoint, verify_note};
use crate::trust::sign::{add_cosignature, public_key, sign, sign_checkpoint};

fn checkpoint(seeds: &[u8]) -> Checkpoint {
    let seeds: Vec<_> = seeds.iter().map(|byte| seed(*byte)).collect();
    sign_checkpoint(ORIGIN, Seen::nothing(), &seeds)
}

fn code(root: &TrustRoot, checkpoint: &Checkpoint) -> &'static str {
    match verify_checkpoint(root, checkpoint.encode().as_bytes()) {
        Ok(verified) => {
            assert_eq!(verified, *checkpoint);
            "ok"
        }
        Err(error) => error.code(),
    }
}

fn two_of_three() -> TrustRoot {
    TrustRoot { release: role(2, &[11, 12, 13]), ..trust_root(1) }
}

#[test]
fn a_threshold_of_distinct_release_keys_must_have_signed() {
    let root = two_of_three();
    assert_eq!(code(&root, &checkpoint(&[11, 12])), "ok");
    assert_eq!(code(&root, &checkpoint(&[13, 11, 12])), "ok");
    assert_eq!(code(&root, &checkpoint(&[12])), "trust/below-threshold");
    assert_eq!(code(&root, &checkpoint(&[12, 99, 98])), "trust/below-threshold");
    let mut repeated = checkpoint(&[12]);
    repeated.signatures = vec![repeated.signatures[0].clone(); 5];
    assert_eq!(code(&root, &repeated), "trust/below-threshold");
}

#[test]
fn a_checkpoint_without_signatures_does_not_parse() {
    let text = Checkpoint::body(ORIGIN, 0, &Seen::nothing().root);
    for note in [text.clone(), text.clone() + "\n", text + "\n\n"] {
        let error = verify_checkpoint(&trust_root(1), note.as_bytes()).expect_err("unsigned");
        assert!(error.code().starts_with("format/"), "{error}");
    }
}

#[test]
fn a_bad_line_of_a_release_key_condemns_the_note() {
    let root = two_of_three();
    let good = checkpoint(&[11, 12, 13]);
    for line in 0..3 {
        for at in [0, 31, 32, 63] {
            let mut spoiled = good.clone();
            spoiled.signatures[line].signature[at] ^= 1;
            assert_eq!(code(&root, &spoiled), "trust/bad-signature");
        }
        let mut short = good.clone();
        short.signatures[line].signature.pop();
        assert_eq!(code(&root, &short), "trust/bad-signature");
    }
}

#[test]
fn lines_of_unknown_keys_are_ignored_even_with_a_known_name_or_id() {
    let root = trust_root(1);
    let mut noted = checkpoint(&[11]);
    let line = noted.signatures[0].clone();
    let stranger =
        |name: &str, key_id| NoteSignature { name: name.into(), key_id, signature: vec![7; 64] };
    noted.signatures.insert(0, stranger("elsewhere.example", line.key_id));
    noted.signatures.insert(0, stranger(ORIGIN, [1, 2, 3, 4]));
    noted.signatures.push(stranger("post-quantum.example", [9; 4]));
    noted.signatures[3].signature = vec![1; 2420];
    assert_eq!(code(&root, &noted), "ok");
}

#[test]
fn another_logs_checkpoint_is_refused_though_the_keys_are_right() {
    let other = sign_checkpoint("packice.example/other", Seen::nothing(), &[seed(11)]);
    assert_eq!(code(&trust_root(1), &other), "trust/wrong-origin");
}

#[test]
fn no_turned_bit_of_a_note_makes_another_statement() {
    let root = trust_root(1);
    let good = checkpoint(&[11]);
    let bytes = good.encode().into_bytes();
    for flipped in flips(&bytes) {
        if let Ok(accepted) = verify_checkpoint(&root, &flipped) {
            panic!("{:?} is accepted as {accepted:?}", String::from_utf8_lossy(&flipped));
        }
    }
    for len in 0..bytes.len() {
        assert!(verify_checkpoint(&root, &bytes[..len]).is_err(), "{len} bytes");
    }
}

fn witness(name: &str, byte: u8) -> Witness {
    Witness { name: name.into(), key: public_key(&seed(byte)) }
}

fn witnessed() -> TrustRoot {
    let witnesses =
        vec![witness("w1.example", 31), witness("w2.example", 32), witness("w3.example", 33)];
    TrustRoot { witnesses: WitnessPolicy { quorum: 2, witnesses }, ..trust_root(1) }
}

fn cosigned(lines: &[(&str, u8, u64)]) -> Checkpoint {
    let mut checkpoint = checkpoint(&[11]);
    for (name, byte, time_s) in lines {
        add_cosignature(&mut checkpoint, name, &seed(*byte), *time_s);
    }
    checkpoint
}

fn cosigned_s(checkpoint: &Checkpoint) -> Result<u64, Error> {
    verify_note(&witnessed(), checkpoint.encode().as_bytes()).map(|verified| verified.cosigned_s)
}

#[test]
fn a_quorum_of_distinct_witnesses_must_have_cosigned() {
    let root = witnessed();
    let (one, two, three) =
        (("w1.example", 31, 100), ("w2.example", 32, 90), ("w3.example", 33, 9));
    assert_eq!(code(&root, &cosigned(&[one, two])), "ok");
    assert_eq!(code(&root, &cosigned(&[three, one])), "ok");
    assert_eq!(code(&root, &cosigned(&[])), "trust/below-quorum");
    assert_eq!(code(&root, &cosigned(&[two])), "trust/below-quorum");
    assert_eq!(code(&root, &cosigned(&[two, ("w9.example", 39, 5)])), "trust/below-quorum");
    let mut twice = cosigned(&[two]);
    twice.signatures.extend(cosigned(&[("w2.example", 32, 91)]).signatures.pop());
    assert_eq!(code(&root, &twice), "trust/below-quorum", "one witness at two times");
}

#[test]
fn the_quorums_time_is_the_one_that_all_of_it_had_reached() {
    let at = |times: [u64; 3]| {
        cosigned(&[
            ("w1.example", 31, times[0]),
            ("w2.example", 32, times[1]),
            ("w3.example", 33, times[2]),
        ])
    };
    assert_eq!(cosigned_s(&at([100, 90, 9])), Ok(90));
    assert_eq!(cosigned_s(&at([1, 2, 1 << 62])), Ok(2), "one witness's clock is ahead");
    assert_eq!(cosigned_s(&cosigned(&[("w3.example", 33, 7), ("w1.example", 31, 8)])), Ok(7));
}

#[test]
fn a_bad_cosignature_of_a_witness_condemns_the_note() {
    let good = cosigned(&[("w1.example", 31, 100), ("w2.example", 32, 90)]);
    assert_eq!(cosigned_s(&good), Ok(90));
    // The time, then the signature.
    for at in [0, 7, 8, 71] {
        let mut spoiled = good.clone();
        spoiled.signatures[2].signature[at] ^= 1;
        let error = cosigned_s(&spoiled).expect_err("spoiled");
        assert_eq!(error.code(), "trust/bad-signature");
    }
    let beyond = cosigned(&[("w1.example", 31, 1 << 63), ("w2.example", 32, 90)]);
    assert_eq!(cosigned_s(&beyond).expect_err("a time past 2^63").code(), "trust/bad-signature");
}

#[test]
fn a_plain_signature_is_no_cosignature() {
    let mut noted = cosigned(&[("w1.example", 31, 100)]);
    let key = public_key(&seed(32));
    noted.signatures.push(NoteSignature {
        name: "w2.example".into(),
        key_id: key_id("w2.example", ED25519, &key),
        signature: sign(&seed(32), noted.body.as_bytes()).to_vec(),
    });
    assert_eq!(code(&witnessed(), &noted), "trust/below-quorum");
    noted.signatures[2].key_id = key_id("w2.example", COSIGNATURE, &key);
    assert_eq!(code(&witnessed(), &noted), "trust/bad-signature");
}
