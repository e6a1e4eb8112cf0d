//! The hashes of Packice: BLAKE3 for identities and wire names, SHA-256 for the log.
//!
//! Sources: BLAKE3 (<https://github.com/BLAKE3-team/BLAKE3-specs>), RFC 6962 section 2.1 for the
//! log's prefixes.

use sha2::{Digest, Sha256};

use crate::types::{Identity, LogHash, WireName};

/// The identity of a leaf or node.
pub fn identity(canonical: &[u8]) -> Identity {
    Identity(*blake3::hash(canonical).as_bytes())
}

/// The wire name of an object.
pub fn wire_name(bytes: &[u8]) -> WireName {
    WireName(*blake3::hash(bytes).as_bytes())
}

/// A wire name over bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct WireHasher(blake3::Hasher);

impl WireHasher {
    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of all bytes so far.
    pub fn finish(&self) -> WireName {
        WireName(*self.0.finalize().as_bytes())
    }
}

/// The word of a key's hash that decides about boundaries at one level (0 for leaves).
///
/// Level `l` reads bytes `4·(l mod 8)` to `4·(l mod 8) + 4`, little-endian, of BLAKE3(key): each
/// level decides by bits of its own.
pub fn boundary_word(key: &[u8], level: u8) -> u32 {
    let hash = blake3::hash(key);
    let at = usize::from(level % 8) * 4;
    let mut word = [0u8; 4];
    word.copy_from_slice(&hash.as_bytes()[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The log's hash of an entry: SHA-256(0x00 ‖ entry).
pub fn log_leaf(entry: &[u8]) -> LogHash {
    let mut hasher = Sha256::new();
    hasher.update([0u8]);
    hasher.update(entry);
    LogHash(hasher.finalize().into())
}

/// The log's hash of two subtrees: SHA-256(0x01 ‖ left ‖ right).
pub fn log_node(left: &LogHash, right: &LogHash) -> LogHash {
    let mut hasher = Sha256::new();
    hasher.update([1u8]);
    hasher.update(left.0);
    hasher.update(right.0);
    LogHash(hasher.finalize().into())
}

/// Plain SHA-256: key ids of signed notes, and the root of the empty log.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
