//! Who may publish: signed requests, by keys that are each for one dataset or for all.
//!
//! The list is the Worker's variable `PUBLISH_KEYS`: `{dataset or *}={public key in hex}` by
//! commas. A dataset may have several, so a new key is listed before the old one goes. A key lets
//! its holder upload and ask for a pointer to be moved; it cannot forge a release, since the edge
//! checks signatures and growth before it moves one.
//!
//! In scope: whether a request is signed by a key that may do this. Out of scope: the form of a
//! signature (`packice_core::httpsig`), and whether its nonce was seen before (the dataset's
//! pointer object, which every region asks).
//!
//! What an attacker could try: everything that `httpsig` lists, and to have a key of one dataset
//! count for another: the dataset stands in the path, which is signed, and each key has its own.

use packice_core::format::trust_root::PublicKey;
use packice_core::httpsig::{self, BadDigest, Signer, check_digest};
use packice_core::types::{Name, WireName, is_name};

use crate::limits::MAX_PUBLISH_KEYS;
use crate::problem::{Problem, ProblemCode};

/// What a refusal asks for (RFC 9110 wants a challenge with every 401).
const CHALLENGE: &str = "Signature realm=\"packice\"";
/// The code of a body that is not what its signed digest says.
const REASON_BODY: &str = "signature/body";

/// The keys that may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishKeys {
    entries: Vec<Entry>,
    malformed: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The dataset, or all of them.
    dataset: Option<Name>,
    key: PublicKey,
}

impl PublishKeys {
    /// Reads the list. An entry that cannot be read lets nobody in and is counted, so that
    /// `/readyz` can say so.
    pub fn parse(list: &str) -> Self {
        let mut keys = Self::default();
        for entry in list.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            match Entry::parse(entry) {
                Some(entry) if keys.entries.len() < MAX_PUBLISH_KEYS => keys.entries.push(entry),
                Some(_) | None => keys.malformed += 1,
            }
        }
        keys
    }

    /// How many entries are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody may publish.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries of the list could not be read.
    pub fn malformed(&self) -> usize {
        self.malformed
    }

    fn check(&self, key: &PublicKey, dataset: &Name) -> Result<(), Problem> {
        if self.is_empty() {
            let detail = "this edge has no publish keys: set the variable PUBLISH_KEYS";
            return Err(Problem::new(ProblemCode::Forbidden, detail));
        }
        let mut own = self.entries.iter().filter(|entry| entry.key == *key).peekable();
        if own.peek().is_none() {
            return Err(unauthorized("the key is not known to this edge", "signature/unknown-key"));
        }
        if own.any(|entry| entry.dataset.as_ref().is_none_or(|covered| covered == dataset)) {
            return Ok(());
        }
        let detail = format!("the key is for another dataset than `{dataset}`");
        Err(Problem::new(ProblemCode::Forbidden, detail))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let (dataset, hex) = text.split_once('=')?;
        let dataset = match dataset.trim() {
            "*" => None,
            name if is_name(name) => Some(Name::new(name).ok()?),
            _ => return None,
        };
        Some(Self { dataset, key: WireName::from_hex(hex.trim())?.0 })
    }
}

/// The fields that carry a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `signature-input`
    pub signature_input: Option<String>,
    /// `signature`
    pub signature: Option<String>,
}

/// Who signed a request, if that key may act on the dataset. Whether it did so before is for its
/// pointer object to say.
pub fn authenticate(
    keys: &PublishKeys,
    dataset: &Name,
    request: &httpsig::Request<'_>,
    credentials: &Credentials,
    now_s: u64,
) -> Result<Signer, Problem> {
    let (input, signature) = (&credentials.signature_input, &credentials.signature);
    let signer = httpsig::verify(request, input.as_deref(), signature.as_deref(), now_s)
        .map_err(|refusal| unauthorized(&refusal.to_string(), refusal.code()))?;
    keys.check(&signer.key, dataset)?;
    Ok(signer)
}

/// An upload must say what its body is, so that the signature covers it.
pub fn check_covers_body(content_digest: Option<&str>) -> Result<&str, Problem> {
    content_digest.ok_or_else(|| {
        let detail = "send `content-digest` with the SHA-256 of the body, and sign it";
        unauthorized(detail, "signature/not-covered")
    })
}

/// Checks that a body is the one that was signed.
pub fn check_body(content_digest: &str, body: &[u8]) -> Result<(), Problem> {
    let (code, detail) = match check_digest(content_digest, body) {
        Ok(()) => return Ok(()),
        Err(BadDigest::Malformed) => {
            (ProblemCode::BadRequest, "`content-digest` is not `sha-256=:…:` alone")
        }
        Err(BadDigest::Different) => {
            return Err(unauthorized("the body is not the one that was signed", REASON_BODY));
        }
    };
    Err(Problem::new(code, detail).with_reason(REASON_BODY))
}

/// The refusal of a nonce that the key used before.
pub fn replayed() -> Problem {
    let detail = "this signature was used before: sign each request anew";
    unauthorized(detail, "signature/replayed")
}

fn unauthorized(detail: &str, reason: &'static str) -> Problem {
    Problem::new(ProblemCode::Unauthorized, detail)
        .with_reason(reason)
        .with_header("www-authenticate", CHALLENGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packice_core::httpsig::{Request, content_digest, sign};
    use packice_core::trust::sign::{Seed, public_key};
    use packice_core::types::hex;

    const NOW_S: u64 = 1_800_000_000;
    const ALICE: Seed = [1; 32];
    const BOB: Seed = [2; 32];

    fn entry(dataset: &str, seed: &Seed) -> String {
        format!("{dataset}={}", hex(&public_key(seed)))
    }

    /// The status that a request of a dataset gets, signed by a key.
    fn status(list: &str, seed: &Seed, dataset: &str) -> u16 {
        let keys = PublishKeys::parse(list);
        let dataset = Name::new(dataset).expect("a name");
        let path = format!("/v1/{dataset}/bundle/x");
        let request = Request { method: "PUT", authority: "e", path: &path, ..Request::default() };
        let signed = sign(&request, seed, NOW_S, "0123456789abcdef");
        let credentials =
            Credentials { signature_input: Some(signed.input), signature: Some(signed.signature) };
        match authenticate(&keys, &dataset, &request, &credentials, NOW_S) {
            Ok(signer) => {
                assert_eq!(signer.key, public_key(seed));
                200
            }
            Err(problem) => problem.code.status(),
        }
    }

    #[test]
    fn a_key_opens_its_own_dataset_only() {
        let list = format!("{}, {}", entry("alpha", &ALICE), entry("beta", &BOB));
        assert_eq!(PublishKeys::parse(&list).len(), 2);
        assert_eq!(status(&list, &ALICE, "alpha"), 200);
        assert_eq!(status(&list, &ALICE, "beta"), 403);
        assert_eq!(status(&list, &BOB, "alpha"), 403);
        assert_eq!(status(&list, &BOB, "beta"), 200);
        assert_eq!(status(&list, &[3; 32], "beta"), 401);
    }

    #[test]
    fn one_key_may_stand_for_several_datasets_or_all() {
        let list = format!("{},{}", entry("alpha", &ALICE), entry("beta", &ALICE));
        assert_eq!(status(&list, &ALICE, "beta"), 200);
        assert_eq!(status(&list, &ALICE, "gamma"), 403);
        assert_eq!(status(&entry("*", &ALICE), &ALICE, "gamma"), 200);
    }

    #[test]
    fn while_keys_change_both_count_and_then_the_new_one_alone() {
        let both = format!("{}\n{}", entry("alpha", &ALICE), entry("alpha", &BOB));
        assert_eq!(status(&both, &ALICE, "alpha"), 200);
        assert_eq!(status(&both, &BOB, "alpha"), 200);
        assert_eq!(status(&entry("alpha", &BOB), &ALICE, "alpha"), 401);
    }

    #[test]
    fn without_keys_nobody_publishes() {
        for list in ["", " , ", "*=abc", "alpha", "Alpha=00", "*=*"] {
            assert!(PublishKeys::parse(list).is_empty(), "{list}");
            assert_eq!(status(list, &ALICE, "alpha"), 403, "{list}");
        }
        assert_eq!(PublishKeys::parse("*=abc, alpha").malformed(), 2);
    }

    #[test]
    fn who_does_not_sign_is_challenged() {
        let keys = PublishKeys::parse(&entry("*", &ALICE));
        let dataset = Name::new("alpha").expect("a name");
        let none = Credentials::default();
        let refused = authenticate(&keys, &dataset, &Request::default(), &none, NOW_S);
        let problem = refused.expect_err("unsigned");
        assert_eq!(problem.code, ProblemCode::Unauthorized);
        assert_eq!(problem.reason.as_deref(), Some("signature/missing"));
        assert_eq!(problem.headers, [("www-authenticate", CHALLENGE.to_owned())]);
    }

    #[test]
    fn a_body_must_be_the_one_that_was_signed() {
        let digest = content_digest(b"body");
        assert_eq!(check_body(&digest, b"body"), Ok(()));
        let code = |digest: &str, body: &[u8]| check_body(digest, body).map_err(|p| p.code);
        assert_eq!(code(&digest, b"other"), Err(ProblemCode::Unauthorized));
        assert_eq!(code("md5=:AA==:", b"body"), Err(ProblemCode::BadRequest));
        assert!(check_covers_body(None).is_err());
    }
}
