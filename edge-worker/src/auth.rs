//! Who may publish: a list of hashes of tokens, each for one dataset or for all.
//!
//! The list is the Worker's secret `PUBLISH_TOKEN_HASHES`: `{dataset or *}={hex}` by commas, with
//! hex = BLAKE3 of the token. A token lets its bearer upload and ask for a pointer to be moved;
//! it cannot forge a release, since the edge checks signatures and growth before it moves one.
//!
//! What an attacker could try: timing. Tokens are compared by their hashes, every entry of the
//! list is compared whatever came before, and a comparison reads all bytes.

use core::hint::black_box;

use packice_core::hash;
use packice_core::types::{Name, WireName, is_name};

use crate::limits::{MAX_AUTHORIZATION_LEN, MAX_TOKENS};
use crate::problem::{Problem, ProblemCode};

const CHALLENGE: &str = "Bearer realm=\"packice\"";

/// The tokens that may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    entries: Vec<Entry>,
    malformed: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The dataset, or all of them.
    dataset: Option<Name>,
    hash: WireName,
}

impl Tokens {
    /// Reads the list. An entry that cannot be read lets nobody in and is counted, so that
    /// `/readyz` can say so.
    pub fn parse(list: &str) -> Self {
        let mut tokens = Self::default();
        for entry in list.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            match Entry::parse(entry) {
                Some(entry) if tokens.entries.len() < MAX_TOKENS => tokens.entries.push(entry),
                Some(_) | None => tokens.malformed += 1,
            }
        }
        tokens
    }

    /// How many tokens are known.
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

    /// Checks an `authorization` header against a dataset.
    pub fn authorize(&self, header: Option<&str>, dataset: &Name) -> Result<(), Problem> {
        let token = header.and_then(bearer).ok_or_else(|| {
            unauthorized("send `authorization: Bearer <token>` with a token of this dataset")
        })?;
        if self.is_empty() {
            let detail = "this edge has no publish tokens: set the secret PUBLISH_TOKEN_HASHES";
            return Err(Problem::new(ProblemCode::Forbidden, detail));
        }
        let hash = hash::wire_name(token.as_bytes());
        let (mut known, mut allowed) = (false, false);
        for entry in &self.entries {
            let same = is_same(&entry.hash, &hash);
            let covers = entry.dataset.as_ref().is_none_or(|own| own == dataset);
            known |= same;
            allowed |= same & covers;
        }
        match (known, allowed) {
            (_, true) => Ok(()),
            (true, false) => Err(Problem::new(
                ProblemCode::Forbidden,
                format!("the token is for another dataset than `{dataset}`"),
            )),
            (false, false) => Err(unauthorized("the token is not known to this edge")),
        }
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
        Some(Self { dataset, hash: WireName::from_hex(hex.trim())? })
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(ProblemCode::Unauthorized, detail).with_header("www-authenticate", CHALLENGE)
}

fn bearer(header: &str) -> Option<&str> {
    if header.len() > MAX_AUTHORIZATION_LEN {
        return None;
    }
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Compares in a time that does not depend on where the first difference is.
fn is_same(a: &WireName, b: &WireName) -> bool {
    let difference = a.0.iter().zip(&b.0).fold(0, |sum, (x, y)| black_box(sum | (x ^ y)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dataset: &str, token: &str) -> String {
        format!("{dataset}={}", hash::wire_name(token.as_bytes()))
    }

    fn status(tokens: &Tokens, header: Option<&str>, dataset: &str) -> u16 {
        let dataset = Name::new(dataset).expect("a name");
        match tokens.authorize(header, &dataset) {
            Ok(()) => 200,
            Err(problem) => problem.code.status(),
        }
    }

    #[test]
    fn a_token_opens_its_own_dataset_only() {
        let list = format!("{}, {}", entry("alpha", "s3cret"), entry("beta", "other"));
        let tokens = Tokens::parse(&list);
        assert_eq!((tokens.len(), tokens.malformed()), (2, 0));
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "alpha"), 200);
        assert_eq!(status(&tokens, Some("bearer  s3cret "), "alpha"), 200);
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "beta"), 403);
        assert_eq!(status(&tokens, Some("Bearer other"), "beta"), 200);
    }

    #[test]
    fn a_star_opens_every_dataset() {
        let tokens = Tokens::parse(&entry("*", "s3cret"));
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "alpha"), 200);
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "beta"), 200);
    }

    #[test]
    fn one_token_may_stand_for_several_datasets() {
        let list = format!("{},{}", entry("alpha", "s3cret"), entry("beta", "s3cret"));
        let tokens = Tokens::parse(&list);
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "beta"), 200);
        assert_eq!(status(&tokens, Some("Bearer s3cret"), "gamma"), 403);
    }

    #[test]
    fn no_token_a_strange_scheme_or_an_unknown_token_is_unauthorized() {
        let tokens = Tokens::parse(&entry("alpha", "s3cret"));
        let long = format!("Bearer {}", "x".repeat(MAX_AUTHORIZATION_LEN));
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Basic s3cret"),
            Some("s3cret"),
            Some("Bearer s3cre"),
            Some("Bearer S3CRET"),
            Some("Bearer *"),
            Some(long.as_str()),
        ] {
            assert_eq!(status(&tokens, header, "alpha"), 401, "{header:?}");
        }
    }

    #[test]
    fn a_hash_is_not_a_token() {
        let hash = hash::wire_name(b"s3cret").to_hex();
        let tokens = Tokens::parse(&format!("*={hash}"));
        assert_eq!(status(&tokens, Some(&format!("Bearer {hash}")), "alpha"), 401);
    }

    #[test]
    fn without_tokens_nobody_publishes() {
        for list in ["", " , ", "*=abc", "alpha", "Alpha=00", "*=*"] {
            let tokens = Tokens::parse(list);
            assert!(tokens.is_empty(), "{list}");
            assert_eq!(status(&tokens, Some("Bearer s3cret"), "alpha"), 403, "{list}");
            assert_eq!(status(&tokens, None, "alpha"), 401, "{list}");
        }
        assert_eq!(Tokens::parse("*=abc, alpha").malformed(), 2);
    }
}
