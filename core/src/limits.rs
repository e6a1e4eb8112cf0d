//! Every bound that a format or the engine checks before it allocates.
//!
//! In scope: the numbers, with the reason for each. Out of scope: the checks, which stand where
//! the bytes are read. An attacker who controls a length field can claim at most these.

/// Largest number without another bound: sums of a few cannot overflow.
pub const MAX_NUMBER: u64 = u64::MAX >> 8;
/// Longest key of a record, in bytes.
pub const MAX_KEY_LEN: usize = 1024;
/// Longest value of a record, in bytes. Larger things are opaque files, cut by offset.
pub const MAX_VALUE_LEN: usize = 1 << 20;
/// Longest name of a dataset, a channel or a collection, in bytes.
pub const MAX_NAME_LEN: usize = 63;
/// Longest name of a key in a signed note (log origin, signer), in bytes.
pub const MAX_ORIGIN_LEN: usize = 255;

/// Smallest and largest target size of a leaf that parameters may declare, in bytes.
pub const LEAF_TARGET: core::ops::RangeInclusive<u32> = 1024..=65_536;
/// Smallest and largest target of the plain bytes under a level-1 node, in bytes.
pub const FRAME_TARGET: core::ops::RangeInclusive<u32> = 4096..=1_048_576;
/// Smallest and largest target of the entry bytes of an upper node, in bytes.
pub const NODE_TARGET: core::ops::RangeInclusive<u32> = 1024..=65_536;
/// A block takes no further item once it has reached this many times its target.
pub const MAX_OVER_TARGET: u32 = 4;
/// Longest leaf: a block just under the cap of the largest target, then one record of the
/// greatest size, and the header.
pub const MAX_LEAF_LEN: usize = 4 * 65_536 + MAX_VALUE_LEN + MAX_KEY_LEN + 32;
/// Most records of a leaf: with no shared bytes, an empty key and an empty value one takes three.
pub const MAX_LEAF_RECORDS: usize = MAX_LEAF_LEN / 3;
/// A node takes no further child once its encoded children have reached so many bytes: the cap of
/// the largest node target, which also holds for a frame of many small leaves.
pub const MAX_NODE_ENTRIES_LEN: usize = 4 * 65_536;
/// Longest encoded node: entries just under the cap, then one child of the greatest size.
pub const MAX_NODE_LEN: usize = MAX_NODE_ENTRIES_LEN + MAX_KEY_LEN + 64;
/// Most children of a node.
pub const MAX_NODE_CHILDREN: usize = 8192;
/// Highest level of a node: a root at this level is deeper than 10 GB ever needs.
pub const MAX_LEVEL: u8 = 12;

/// Longest plain content of one frame: the cap over the largest target, or one leaf over it.
pub const MAX_FRAME_PLAIN_LEN: usize = 4 * 1_048_576 + MAX_LEAF_LEN;
/// Longest frame on the wire: zstd's bound on incompressible content of that length.
pub const MAX_FRAME_WIRE_LEN: usize = MAX_FRAME_PLAIN_LEN + MAX_FRAME_PLAIN_LEN / 128 + 512;
/// Target of a bundle on the wire, in bytes: the mean is a sixth below it, so that a full sync
/// takes at most one request for each MiB.
pub const BUNDLE_TARGET: u32 = 5 << 18;
/// A bundle takes no further frame once it has reached so many bytes: with the longest frame on
/// top it is still within [`MAX_OBJECT_LEN`].
pub const BUNDLE_CAP: usize = 2 << 20;
/// Longest object on the wire: what the edge accepts in one upload.
pub const MAX_OBJECT_LEN: usize = 8 << 20;
/// Most frames of one bundle.
pub const MAX_BUNDLE_FRAMES: usize = 4096;

/// Longest plain dictionary.
pub const MAX_DICTIONARY_LEN: usize = 112 * 1024;
/// Longest manifest.
pub const MAX_MANIFEST_LEN: usize = 1 << 20;
/// Most collections of a dataset.
pub const MAX_COLLECTIONS: usize = 64;
/// Most deltas that one collection's manifest lists.
pub const MAX_DELTAS: usize = 256;
/// Most segments of one delta.
pub const MAX_SEGMENTS: usize = 4096;
/// Longest text of the provenance fields.
pub const MAX_TEXT_LEN: usize = 256;
/// Longest layout directory.
pub const MAX_DIRECTORY_LEN: usize = 1 << 20;
/// Longest layout page.
pub const MAX_PAGE_LEN: usize = 1 << 20;
/// Most bundles of a layout page: each takes 66 bytes at least.
pub const MAX_PAGE_BUNDLES: usize = MAX_PAGE_LEN / 66;
/// Target of a layout page, in bytes.
pub const PAGE_TARGET: u32 = 32 * 1024;
/// Most pages of one layout.
pub const MAX_PAGES: usize = 8192;

/// Longest proof that a record is, or is not, in a tree: one node of each level and a leaf.
pub const MAX_RECORD_PROOF_LEN: usize = MAX_LEAF_LEN + 12 * (MAX_NODE_LEN + 8) + 64;

/// Longest head state (log entry): what C2SP's entry tiles can carry.
pub const MAX_HEAD_LEN: usize = 65_535;
/// Most channels of a dataset.
pub const MAX_CHANNELS: usize = 32;
/// Longest checkpoint (signed note).
pub const MAX_CHECKPOINT_LEN: usize = 16 * 1024;
/// Most signature lines of a checkpoint.
pub const MAX_NOTE_SIGNATURES: usize = 64;
/// Longest Merkle proof of the log, in hashes.
pub const MAX_PROOF_HASHES: usize = 64;
/// Longest trust root.
pub const MAX_TRUST_ROOT_LEN: usize = 16 * 1024;
/// Most keys of one role.
pub const MAX_ROLE_KEYS: usize = 32;
/// Most witnesses.
pub const MAX_WITNESSES: usize = 32;
/// Longest chain of trust roots that is walked at once.
pub const MAX_TRUST_CHAIN: usize = 32;
/// Most trust roots that a client keeps from its embedded one on: rotations that one build lasts.
pub const MAX_KEPT_TRUST_CHAIN: usize = 128;
/// Longest stored trust state: it holds a chain, a checkpoint, a head state and a proof.
pub const MAX_TRUST_STATE_LEN: usize =
    MAX_KEPT_TRUST_CHAIN * (MAX_TRUST_ROOT_LEN + 4) + MAX_CHECKPOINT_LEN + MAX_HEAD_LEN + 4096;
/// Longest full proof: what a trust state holds, a manifest, a key, and the proof of its record.
pub const MAX_FULL_PROOF_LEN: usize =
    MAX_TRUST_STATE_LEN + MAX_MANIFEST_LEN + MAX_NAME_LEN + MAX_KEY_LEN + MAX_RECORD_PROOF_LEN;
/// Longest bootstrap: the layout of a set of 200 MB, so that a cold read asks twice, and the data
/// of priority 0 beside it.
pub const MAX_BOOTSTRAP_LEN: usize = 128 * 1024;
/// Most objects inlined in a bootstrap.
pub const MAX_BOOTSTRAP_OBJECTS: usize = 256;
/// Longest push: a bootstrap, and a delta that is not worth a request.
pub const MAX_PUSH_LEN: usize = 256 * 1024;
/// Most objects of a push, beside those of its bootstrap.
pub const MAX_PUSH_OBJECTS: usize = 256;
/// Longest state record of a client's store.
pub const MAX_STATE_LEN: usize = (2 + MAX_KEPT_VERSIONS)
    * (MAX_TRUST_STATE_LEN + MAX_MANIFEST_LEN + MAX_COLLECTIONS * (MAX_DIRECTORY_LEN + 8192))
    + 1024;
/// Most versions that a client keeps beside the one that serves reads.
pub const MAX_KEPT_VERSIONS: usize = 16;
/// Most layers over a base that a client holds.
pub const MAX_HELD_LAYERS: usize = 64;
/// Longest index of a seed file.
pub const MAX_SEED_INDEX_LEN: usize = 8 << 20;
/// Most objects of a seed file: bundles of a tebibyte would not fill it.
pub const MAX_SEED_OBJECTS: usize = 65_536;
/// Longest path of an object in a seed file.
pub const MAX_SEED_PATH_LEN: usize = 128;
/// Most marks of an audit row: those of the version that serves reads, base and layers.
pub const MAX_AUDIT_MARKS: usize = 2 * MAX_COLLECTIONS;
/// Most places of one collection that an audit keeps, where the layout belies the root.
pub const MAX_AUDIT_PLACES: usize = 16;
/// Longest audit row of a client's store.
pub const MAX_AUDIT_LEN: usize =
    MAX_AUDIT_MARKS * (64 + MAX_AUDIT_PLACES * (MAX_SEED_PATH_LEN + 16)) + 64;
/// Most sources of a sources row.
pub const MAX_SOURCE_RECORDS: usize = 16;
/// Longest name of a source in it.
pub const MAX_SOURCE_NAME_LEN: usize = 2048;
/// Longest sources row of a client's store.
pub const MAX_SOURCES_LEN: usize = MAX_SOURCE_RECORDS * (MAX_SOURCE_NAME_LEN + 32) + 64;
/// Most operations of one delta segment.
pub const MAX_SEGMENT_OPERATIONS: usize = 1 << 16;
/// Most bytes of new keys and values of one delta segment: a target of 1 MiB, and one record.
pub const MAX_SEGMENT_PLAIN_LEN: usize = (1 << 20) + MAX_VALUE_LEN + MAX_KEY_LEN;
/// Most bytes of old records that a delta segment may take as its reference as a whole.
pub const MAX_SEGMENT_REFERENCE_LEN: usize = 1 << 20;

/// Longest layer directory: an object on the wire, of a hundred thousand changed frames.
pub const MAX_LAYER_LEN: usize = MAX_OBJECT_LEN;
/// Most runs of a layer's patch: each takes three bytes at least.
pub const MAX_PATCH_RUNS: usize = MAX_LAYER_LEN / 3;
/// Most new frames of a run: each takes 35 bytes at least.
pub const MAX_NEW_FRAMES: usize = MAX_LAYER_LEN / 35;
/// Most pages of one layer.
pub const MAX_LAYER_PAGES: usize = 1 << 16;
/// Longest plain layer page: the cap over the target, and one entry of the greatest size.
pub const MAX_LAYER_PAGE_PLAIN_LEN: usize =
    4 * LAYER_PAGE_TARGET as usize + MAX_VALUE_LEN + MAX_KEY_LEN + 16;
/// Largest target of a layer page, in plain bytes; a client's own pages are smaller.
pub const LAYER_PAGE_TARGET: u32 = 256 << 10;
