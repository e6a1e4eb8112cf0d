//! What the edge accepts at most, before it reads, allocates or asks the store.
//!
//! In scope: the numbers that concern HTTP. Out of scope: the bounds of the formats, which stand
//! in `packice_core::limits` and are taken from there.

use packice_core::limits;

use crate::resource::Resource;

/// Longest path that is looked at: the longest real one is far below it, and so is what R2 takes
/// as a key (1,024 bytes).
pub const MAX_PATH_LEN: usize = 512;
/// No stored object is longer than this, in bytes.
pub const MAX_STORED_LEN: u64 = limits::MAX_OBJECT_LEN as u64;
/// Most entries of the list of publish keys.
pub const MAX_PUBLISH_KEYS: usize = 256;
/// Longest header that is looked at, in bytes; a list of entity tags may be that long.
pub const MAX_HEADER_LEN: usize = 8 * 1024;
/// Most entity tags of one `if-match` or `if-none-match` header.
pub const MAX_ENTITY_TAGS: usize = 64;

/// Longest body that a PUT of this resource may carry, in bytes.
pub fn max_body_len(resource: &Resource) -> u64 {
    let max = match resource {
        Resource::Object { .. } | Resource::Tile { .. } => return MAX_STORED_LEN,
        // Reads only: no PUT reaches these.
        Resource::Checkpoint { .. } | Resource::Head { .. } => 0,
        Resource::Bootstrap { .. } => limits::MAX_BOOTSTRAP_LEN,
        Resource::TrustRoot { .. } => limits::MAX_TRUST_ROOT_LEN,
    };
    max as u64
}
