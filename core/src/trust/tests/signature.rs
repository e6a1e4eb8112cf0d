//! Ed25519: the vectors of RFC 8032 section 7.1, and what strictness refuses.

use super::{flips, unhex};
use crate::trust::sign;
use crate::trust::signature::verify;

/// Seed, public key, message, signature.
const RFC_8032: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c\
         f9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0\
         f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098\
         4dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];
/// The group's order, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
/// Encodings of the eight points of small order, the ones that are not canonical among them.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn key(text: &str) -> [u8; 32] {
    unhex(text).try_into().expect("32 bytes")
}

#[test]
fn the_vectors_of_rfc_8032_sign_and_verify() {
    for [seed, public, message, signature] in RFC_8032 {
        let (message, signature) = (unhex(message), unhex(signature));
        assert_eq!(sign::public_key(&key(seed)), key(public));
        assert_eq!(sign::sign(&key(seed), &message).to_vec(), signature);
        assert!(verify(&key(public), &message, &signature));
    }
}

#[test]
fn no_turned_bit_of_a_signature_key_or_message_verifies() {
    let [_, public, message, signature] = RFC_8032[2];
    let (public, message, signature) = (unhex(public), unhex(message), unhex(signature));
    let key = |bytes: &[u8]| bytes.try_into().expect("32 bytes");
    assert!(flips(&signature).all(|signature| !verify(&key(&public), &message, &signature)));
    assert!(flips(&message).all(|message| !verify(&key(&public), &message, &signature)));
    assert!(flips(&public).all(|public| !verify(&key(&public), &message, &signature)));
    for len in [0, 63, 65] {
        let mut other = signature.clone();
        other.resize(len, 0);
        assert!(!verify(&key(&public), &message, &other));
    }
}

#[test]
fn a_second_spelling_of_a_signature_is_refused() {
    for [_, public, message, signature] in RFC_8032 {
        let mut malleable = unhex(signature);
        let mut carry = 0u16;
        for (byte, order) in malleable[32..].iter_mut().zip(unhex(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S + L fits its 32 bytes");
        assert!(!verify(&key(public), &unhex(message), &malleable));
    }
}

#[test]
fn keys_and_points_of_small_order_are_refused() {
    for public in SMALL_ORDER {
        for point in SMALL_ORDER {
            // S = 0 satisfies the equation for many of these, whatever the message.
            let signature = [&unhex(point)[..], &[0; 32]].concat();
            assert!((0..16u8).all(|byte| !verify(&key(public), &[byte], &signature)));
        }
    }
    let [_, public, message, signature] = RFC_8032[1];
    for point in SMALL_ORDER {
        let signature = [&unhex(point)[..], &unhex(signature)[32..]].concat();
        assert!(!verify(&key(public), &unhex(message), &signature));
    }
}
