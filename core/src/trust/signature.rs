//! Ed25519 signatures, verified strictly (docs/spec/trust-root.md, "Signatures").
//!
//! Source: RFC 8032, with the choices it leaves open decided for refusal: S below the group's
//! order, R and the key in their one canonical encoding, no key and no R of small order, the
//! equation without the cofactor. So of one signature there is one spelling, and every client
//! gives the same verdict.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::format::trust_root::PublicKey;

/// Length of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// Whether a signature holds, strictly.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <&[u8; SIGNATURE_LEN]>::try_from(signature) else {
        return false;
    };
    is_canonical(key)
        && VerifyingKey::from_bytes(key)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Whether the y coordinate is below 2^255 − 19. The sign bit of x = 0 needs no look: both points
/// with that x are of small order, which the strict verification refuses.
fn is_canonical(key: &PublicKey) -> bool {
    let [first, middle @ .., last] = key;
    *first < 0xed || last & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_y_coordinate_below_the_prime_is_canonical() {
        let key = |first, middle, last| {
            let mut key = [middle; 32];
            (key[0], key[31]) = (first, last);
            key
        };
        let below =
            [(0xec, 0xff, 0x7f), (0xec, 0xff, 0xff), (0xff, 0xff, 0x7e), (0xed, 0xfe, 0x7f)];
        assert!(below.into_iter().all(|(a, b, c)| is_canonical(&key(a, b, c))));
        let above = [(0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f), (0xff, 0xff, 0xff)];
        assert!(!above.into_iter().any(|(a, b, c)| is_canonical(&key(a, b, c))));
    }
}
