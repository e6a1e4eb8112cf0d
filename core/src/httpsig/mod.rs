//! Signed requests: one profile of HTTP Message Signatures (RFC 9421) with Content-Digest
//! (RFC 9530), as docs/spec/http.md has it under "Publishing".
//!
//! In scope: the base that is signed, the two fields that carry a signature, the digest of a
//! body, and what a signature must cover here. Out of scope: whose keys count, whether a nonce
//! was seen before, and time: those are arguments, or the caller's. Publisher and edge share
//! this code, and each answers to the other's through it alone.
//!
//! # What an attacker could try here
//!
//! To have a signature count for another request: method, authority, path, query, the body's
//! digest and each condition are covered, or the request is refused. To use it later: it says
//! when it was made, and its nonce is for the caller to remember as long as that time is near.
//! To have two readers disagree about the fields: of the structured fields' grammar only the one
//! serialisation that RFC 9651 gives is read, one signature in each field, and nothing else.

mod digest;
mod field;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

pub use digest::{BadDigest, check_digest, content_digest};
pub use field::{MAX_COMPONENTS, MAX_SIGNATURE_INPUT_LEN, Member};

use crate::format::trust_root::PublicKey;
use crate::trust::sign::{Seed, public_key};
use crate::trust::{sign, signature};
use crate::types::{WireName, hex};

/// What a signature of this profile is for: its `tag`.
pub const TAG: &str = "packice-publish";
/// The label of the one signature that a request carries.
pub const LABEL: &str = "packice";
/// The algorithm, as RFC 9421 registers it.
pub const ALGORITHM: &str = "ed25519";
/// How old a signature may be, in seconds.
pub const MAX_AGE_S: u64 = 300;
/// How far ahead of the edge's clock the publisher's may be, in seconds.
pub const MAX_AHEAD_S: u64 = 60;
/// Shortest and longest nonce, in characters.
pub const NONCE_LEN: core::ops::RangeInclusive<usize> = 16..=64;

/// The parts of a request that are signed, as its receiver sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Host, and port where it is not the scheme's own, in lower case.
    pub authority: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query without its `?`; empty where there is none.
    pub query: &'a str,
    /// `content-digest`
    pub content_digest: Option<&'a str>,
    /// `if-match`
    pub if_match: Option<&'a str>,
    /// `if-none-match`
    pub if_none_match: Option<&'a str>,
}

/// The fields that carry a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `signature-input`
    pub input: String,
    /// `signature`
    pub signature: String,
}

/// Who signed a request, and what the caller has to remember of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The public key.
    pub key: PublicKey,
    /// A text that this key may use once.
    pub nonce: String,
    /// When the signature was made, in seconds since 1970.
    pub created_s: u64,
}

impl Signer {
    /// From when on the signature is too old, and its nonce needs no memory.
    pub fn forgotten_s(&self) -> u64 {
        self.created_s.saturating_add(MAX_AGE_S).saturating_add(1)
    }
}

/// Why a request is not taken for signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// One of the two fields is not there.
    Missing,
    /// A field is not of this profile's form.
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// A part of the request that counts is not covered, or not known.
    NotCovered {
        /// Which one.
        component: String,
    },
    /// It was made too long ago, or is ahead of the clock.
    OutOfTime {
        /// When it says that it was made, in seconds since 1970.
        created_s: u64,
        /// The receiver's clock, in seconds since 1970.
        now_s: u64,
    },
    /// The signature is not this key's over this request.
    BadSignature,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "signature/missing",
            Self::Malformed { .. } => "signature/malformed",
            Self::NotCovered { .. } => "signature/not-covered",
            Self::OutOfTime { .. } => "signature/out-of-time",
            Self::BadSignature => "signature/bad",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => {
                f.write_str("sign the request: `signature-input` and `signature` are needed")
            }
            Self::Malformed { what } => write!(f, "the signature's {what} cannot be read"),
            Self::NotCovered { component } => {
                write!(f, "the signature must cover exactly what counts: see {component}")
            }
            Self::OutOfTime { created_s, now_s } => write!(
                f,
                "the signature is of {created_s} and it is {now_s} here: it counts for \
                 {MAX_AGE_S} s, so check the clock and sign again"
            ),
            Self::BadSignature => f.write_str("the signature does not fit key and request"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Signs a request, with a nonce that this key never used.
pub fn sign(request: &Request<'_>, seed: &Seed, created_s: u64, nonce: &str) -> Signed {
    let mut components = alloc::vec!["@method", "@authority", "@path", "@query"];
    for (name, value) in request.fields() {
        if value.is_some() {
            components.push(name);
        }
    }
    let member = Member {
        components: components.into_iter().map(ToString::to_string).collect(),
        created_s,
        nonce: nonce.to_string(),
        key_id: hex(&public_key(seed)),
        algorithm: ALGORITHM.to_string(),
        tag: TAG.to_string(),
    };
    let input = member.to_string();
    // Everything in the list stands in the request: the base exists.
    let base = base(request, &member, &input).unwrap_or_default();
    let signature = sign::sign(seed, base.as_bytes());
    Signed {
        input: format!("{LABEL}={input}"),
        signature: format!("{LABEL}={}", field::bytes(&signature)),
    }
}

/// Checks the signature of a request.
///
/// It holds for the key that it names: whether that one may do this is for the caller to say, as
/// is whether its nonce was seen before.
pub fn verify(
    request: &Request<'_>,
    input: Option<&str>,
    signature: Option<&str>,
    now_s: u64,
) -> Result<Signer, Refusal> {
    let (Some(input), Some(signature)) = (input, signature) else { return Err(Refusal::Missing) };
    let input = field::strip_label(input, LABEL, "label")?;
    let member = Member::parse(input)?;
    let signature = field::parse_bytes(field::strip_label(signature, LABEL, "label")?)?;
    if member.algorithm != ALGORITHM {
        return Err(Refusal::Malformed { what: "alg" });
    }
    if member.tag != TAG {
        return Err(Refusal::Malformed { what: "tag" });
    }
    if !NONCE_LEN.contains(&member.nonce.len()) {
        return Err(Refusal::Malformed { what: "nonce" });
    }
    let Some(WireName(key)) = WireName::from_hex(&member.key_id) else {
        return Err(Refusal::Malformed { what: "keyid" });
    };
    check_coverage(request, &member)?;
    let created_s = member.created_s;
    if created_s > now_s.saturating_add(MAX_AHEAD_S) || now_s > created_s.saturating_add(MAX_AGE_S)
    {
        return Err(Refusal::OutOfTime { created_s, now_s });
    }
    let base = base(request, &member, input)?;
    match signature::verify(&key, base.as_bytes(), &signature) {
        true => Ok(Signer { key, nonce: member.nonce, created_s }),
        false => Err(Refusal::BadSignature),
    }
}

/// Everything that counts is covered, once, and nothing that is not known.
fn check_coverage(request: &Request<'_>, member: &Member) -> Result<(), Refusal> {
    let not_covered = |name: &str| Refusal::NotCovered { component: name.to_string() };
    for (at, name) in member.components.iter().enumerate() {
        if member.components[..at].contains(name) || request.component(name).is_none() {
            return Err(not_covered(name));
        }
    }
    let derived = ["@method", "@authority", "@path", "@query"].into_iter();
    let fields = request.fields().into_iter().filter(|(_, value)| value.is_some());
    for name in derived.chain(fields.map(|(name, _)| name)) {
        if !member.components.iter().any(|covered| covered == name) {
            return Err(not_covered(name));
        }
    }
    Ok(())
}

/// The signature base (RFC 9421, section 2.5).
fn base(request: &Request<'_>, member: &Member, input: &str) -> Result<String, Refusal> {
    let mut base = String::new();
    for name in &member.components {
        let value = request.component(name);
        let value = value.ok_or_else(|| Refusal::NotCovered { component: name.clone() })?;
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {input}"));
    Ok(base)
}

impl<'a> Request<'a> {
    /// The fields that are covered where they are there.
    fn fields(&self) -> [(&'static str, Option<&'a str>); 3] {
        [
            ("content-digest", self.content_digest),
            ("if-match", self.if_match),
            ("if-none-match", self.if_none_match),
        ]
    }

    /// The value of a component, as the base has it.
    fn component(&self, name: &str) -> Option<String> {
        match name {
            "@method" => Some(self.method.to_string()),
            "@authority" => Some(self.authority.to_ascii_lowercase()),
            "@path" => Some(self.path.to_string()),
            "@query" => Some(format!("?{}", self.query)),
            _ => {
                let (_, value) = self.fields().into_iter().find(|(own, _)| *own == name)?;
                value.map(|value| value.trim().to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
