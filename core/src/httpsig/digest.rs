//! The digest of a body (RFC 9530): SHA-256, in the one form that is written here.

use alloc::format;
use alloc::string::String;

use sha2::{Digest, Sha256};

use super::field;

/// Before the digest.
const LABEL: &str = "sha-256";

/// A `content-digest` that cannot be read, or that another body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDigest {
    /// It is not `sha-256=:…:` alone.
    Malformed,
    /// The body's digest is another.
    Different,
}

/// The `content-digest` of a body.
pub fn content_digest(body: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    format!("{LABEL}={}", field::bytes(&digest))
}

/// Checks a body against its `content-digest`.
pub fn check_digest(header: &str, body: &[u8]) -> Result<(), BadDigest> {
    let claimed = field::strip_label(header.trim(), LABEL, "digest")
        .and_then(field::parse_bytes)
        .map_err(|_| BadDigest::Malformed)?;
    let digest: [u8; 32] = Sha256::digest(body).into();
    match claimed.len() {
        32 if claimed == digest => Ok(()),
        32 => Err(BadDigest::Different),
        _ => Err(BadDigest::Malformed),
    }
}
