//! The publisher's side: signing, and growing the log by one entry.
//!
//! Pure: keys are seeds of 32 bytes that the caller holds, times are arguments. Nothing that a
//! client runs calls this module, so a client's build leaves it out.

use alloc::string::ToString;
use alloc::vec::Vec;

use ed25519_dalek::{Signer, SigningKey};

use super::accept::Seen;
use super::log::Frontier;
use super::note::cosigned_bytes;
use super::tiles::{
    TILE_WIDTH, TileKind, TileRef, encode_hashes, parse_entries, parse_hashes, push_entry,
    tail_tiles,
};
use crate::error::{Error, TrustError};
use crate::format::note::{COSIGNATURE, Checkpoint, ED25519, NoteSignature, key_id};
use crate::format::trust_root::{PublicKey, SignedTrustRoot, TrustRoot};
use crate::hash;
use crate::types::LogHash;

/// A secret key: the 32 bytes that Ed25519 keys are derived from.
pub type Seed = [u8; 32];

/// The public key of a seed.
pub fn public_key(seed: &Seed) -> PublicKey {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

/// The Ed25519 signature of a message.
pub fn sign(seed: &Seed, message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(seed).sign(message).to_bytes()
}

/// A trust root, signed by some root keys: its own, and those of the one before it.
pub fn sign_trust_root(root: &TrustRoot, seeds: &[Seed]) -> SignedTrustRoot {
    let mut signed = SignedTrustRoot { body: root.encode(), signatures: Vec::new() };
    for seed in seeds {
        add_root_signature(&mut signed, seed);
    }
    signed
}

/// Adds one signature, or replaces the one by the same key; they stay ascending by key.
pub fn add_root_signature(signed: &mut SignedTrustRoot, seed: &Seed) {
    let key = public_key(seed);
    let signature = sign(seed, &TrustRoot::signed_bytes(&signed.body));
    match signed.signatures.binary_search_by(|(other, _)| other.cmp(&key)) {
        Ok(at) => signed.signatures[at] = (key, signature),
        Err(at) => signed.signatures.insert(at, (key, signature)),
    }
}

/// A checkpoint of a log at some point, signed by release keys.
pub fn sign_checkpoint(origin: &str, at: Seen, seeds: &[Seed]) -> Checkpoint {
    let mut checkpoint = Checkpoint {
        origin: origin.to_string(),
        size: at.size,
        root: at.root,
        body: Checkpoint::body(origin, at.size, &at.root),
        signatures: Vec::new(),
    };
    for seed in seeds {
        add_release_signature(&mut checkpoint, seed);
    }
    checkpoint
}

/// Adds a release key's line; an older line by the same key goes.
pub fn add_release_signature(checkpoint: &mut Checkpoint, seed: &Seed) {
    let line = NoteSignature {
        name: checkpoint.origin.clone(),
        key_id: key_id(&checkpoint.origin, ED25519, &public_key(seed)),
        signature: sign(seed, checkpoint.body.as_bytes()).to_vec(),
    };
    add_line(checkpoint, line);
}

/// Adds a witness's line, made at a time in seconds since 1970; an older line by it goes.
pub fn add_cosignature(checkpoint: &mut Checkpoint, name: &str, seed: &Seed, time_s: u64) {
    let mut signature = time_s.to_be_bytes().to_vec();
    signature.extend_from_slice(&sign(seed, &cosigned_bytes(&checkpoint.body, time_s)));
    let key_id = key_id(name, COSIGNATURE, &public_key(seed));
    add_line(checkpoint, NoteSignature { name: name.to_string(), key_id, signature });
}

fn add_line(checkpoint: &mut Checkpoint, line: NoteSignature) {
    checkpoint.signatures.retain(|other| other.name != line.name || other.key_id != line.key_id);
    checkpoint.signatures.push(line);
}

/// A log with one entry more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The log's new end, for the checkpoint.
    pub at: Seen,
    /// The new entry's inclusion proof, for the bootstrap.
    pub inclusion: Vec<LogHash>,
    /// To append the next entry to.
    pub frontier: Frontier,
}

/// Appends an entry. The frontier of a published log is [`Frontier::before_last`] of its
/// bootstrap's inclusion proof, with the hash of that bootstrap's head state pushed.
pub fn grow(frontier: &Frontier, entry: &[u8]) -> Grown {
    let mut grown = frontier.clone();
    grown.push(hash::log_leaf(entry));
    let at = Seen { size: grown.size(), root: grown.root() };
    Grown { at, inclusion: frontier.next_proof(), frontier: grown }
}

/// The tiles of a log of `size` entries that the next append continues: those to fetch for
/// [`grow_tiles`].
pub fn open_tiles(size: u64) -> Vec<TileRef> {
    let continues =
        |tile: &TileRef| TileRef::new(tile.kind(), tile.index(), tile.width().checked_sub(1)?);
    tail_tiles(size.saturating_add(1)).iter().filter_map(continues).collect()
}

/// The tiles that appending an entry to a log of `size` entries writes.
pub fn grow_tiles(
    size: u64,
    open: &[(TileRef, Vec<u8>)],
    entry: &[u8],
) -> Result<Vec<(TileRef, Vec<u8>)>, Error> {
    let before = |tile: &TileRef| {
        open.iter().find(|(other, _)| {
            other.kind() == tile.kind()
                && other.index() == tile.index()
                && other.width() + 1 == tile.width()
        })
    };
    let mut grown: Vec<(TileRef, Vec<u8>)> = Vec::new();
    let mut next = hash::log_leaf(entry);
    for tile in tail_tiles(size.saturating_add(1)) {
        let (old, mut bytes) = match before(&tile) {
            Some((old, bytes)) => (Some(old), bytes.clone()),
            None if tile.width() == 1 => (None, Vec::new()),
            None => return Err(TrustError::BadTile.into()),
        };
        match tile.kind() {
            TileKind::Entries => {
                if let Some(old) = old {
                    parse_entries(old, &bytes)?;
                }
                push_entry(&mut bytes, entry)?;
            }
            TileKind::Hashes { .. } => {
                let mut hashes = match old {
                    Some(old) => parse_hashes(old, &bytes)?,
                    None => Vec::new(),
                };
                hashes.push(next);
                bytes = encode_hashes(&hashes);
                if tile.width() == TILE_WIDTH {
                    next = super::log::root_of(&hashes);
                }
            }
        }
        grown.push((tile, bytes));
    }
    Ok(grown)
}
