//! The release request (docs/spec/release-request.md): everything that a release becomes visible
//! by, in one file that goes from who builds to who signs to who publishes.
//!
//! It carries no trust: signers check it against their own trust root and what they signed last,
//! and the publisher, the edge and every client check it again.

use std::collections::BTreeMap;
use std::path::Path;

use packice_core::format::note::Checkpoint;
use packice_core::trust::accept::Evidence;
use packice_core::trust::root::TrustChain;
use packice_core::trust::tiles::TileRef;
use packice_core::types::{LogHash, Name};
use serde::{Deserialize, Serialize};

use super::bootstrap::{SignedPart, assemble};
use crate::build::objects::write_whole;
use crate::failure::{Failure, Result, on_file};
use crate::text::{from_base64, to_base64};
use crate::trust_store::carried;

const FORMAT: &str = "packice release request 1";
/// Three bootstraps' worth of objects in base64, tiles and proofs: far below this.
const MAX_LEN: u64 = 64 << 20;

/// A release that waits for signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// The dataset.
    pub dataset: Name,
    /// The edge that holds its objects.
    pub edge_url: String,
    /// All signed trust roots, from version 1 on.
    pub trust_chain: Vec<Vec<u8>>,
    /// What the newest pointer stood at.
    pub before: Option<Evidence>,
    /// What it is to stand at; the note with the signatures so far.
    pub new: Evidence,
    /// The tiles that the entry writes.
    pub tiles: Vec<(TileRef, Vec<u8>)>,
    /// The pointers that move, the one that the release is about first.
    pub pointers: Vec<PointerDraft>,
}

/// A pointer that is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerDraft {
    /// Its channel.
    pub channel: Name,
    /// The entity tag that it has now; none where it is new.
    pub etag: Option<String>,
    /// What its bootstrap carries along.
    pub objects: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    format: String,
    dataset: String,
    edge: String,
    trust_chain: Vec<String>,
    before: Option<RawEntry>,
    new: RawEntry,
    tiles: BTreeMap<String, String>,
    pointers: Vec<RawPointer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    checkpoint: String,
    head: String,
    inclusion: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPointer {
    channel: String,
    etag: Option<String>,
    objects: Vec<String>,
}

impl ReleaseRequest {
    /// The checkpoint with the signatures so far.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint::parse_unsigned(&self.new.checkpoint)?)
    }

    /// Its chain of trust roots, checked from the first on.
    pub fn chain(&self) -> Result<TrustChain> {
        let (first, later) =
            self.trust_chain.split_first().ok_or_else(|| damaged("it has no trust root"))?;
        let mut chain = TrustChain::embedded(first, &self.dataset)?;
        chain.extend(later)?;
        Ok(chain)
    }

    /// The bootstrap that a pointer moves to.
    pub fn bootstrap(&self, pointer: &PointerDraft) -> Result<Vec<u8>> {
        let signed = SignedPart {
            checkpoint: self.new.checkpoint.clone(),
            trust_chain: carried(&self.trust_chain),
            head: self.new.head.clone(),
            inclusion: self.new.inclusion.clone(),
        };
        assemble(signed, pointer.objects.clone())
    }

    /// Reads a request's file.
    pub fn read(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path).map_err(on_file("read", path))?.len();
        if length > MAX_LEN {
            return Err(damaged("it is too long").within(path.display()));
        }
        let bytes = std::fs::read(path).map_err(on_file("read", path))?;
        let raw: RawRequest = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(&error.to_string()).within(path.display()))?;
        Self::check(raw).map_err(|failure| failure.within(path.display()))
    }

    /// Writes a request's file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let entry = |entry: &Evidence| RawEntry {
            checkpoint: String::from_utf8_lossy(&entry.checkpoint).into_owned(),
            head: to_base64(&entry.head),
            inclusion: entry.inclusion.iter().map(|hash| to_base64(&hash.0)).collect(),
        };
        let raw = RawRequest {
            format: FORMAT.to_owned(),
            dataset: self.dataset.to_string(),
            edge: self.edge_url.clone(),
            trust_chain: self.trust_chain.iter().map(|root| to_base64(root)).collect(),
            before: self.before.as_ref().map(entry),
            new: entry(&self.new),
            tiles: self.tiles.iter().map(|(tile, bytes)| (tile.path(), to_base64(bytes))).collect(),
            pointers: self
                .pointers
                .iter()
                .map(|pointer| RawPointer {
                    channel: pointer.channel.to_string(),
                    etag: pointer.etag.clone(),
                    objects: pointer.objects.iter().map(|object| to_base64(object)).collect(),
                })
                .collect(),
        };
        let text = serde_json::to_vec_pretty(&raw)
            .map_err(|error| Failure::internal(error.to_string()))?;
        write_whole(path, &text)
    }

    fn check(raw: RawRequest) -> Result<Self> {
        if raw.format != FORMAT {
            return Err(damaged(&format!("its format is '{}'", raw.format)));
        }
        let bytes = |field: &str, text: &str| {
            from_base64(text).ok_or_else(|| damaged(&format!("'{field}' is not base64")))
        };
        let all = |field: &str, list: &[String]| {
            list.iter().map(|text| bytes(field, text)).collect::<Result<Vec<_>>>()
        };
        let entry = |raw: &RawEntry| -> Result<Evidence> {
            let hashes = all("inclusion", &raw.inclusion)?.into_iter().map(|hash| {
                let hash = <[u8; 32]>::try_from(hash).map(LogHash);
                hash.map_err(|_| damaged("'inclusion' holds something else than hashes"))
            });
            Ok(Evidence {
                checkpoint: raw.checkpoint.clone().into_bytes(),
                head: bytes("head", &raw.head)?,
                inclusion: hashes.collect::<Result<_>>()?,
            })
        };
        let tiles = raw.tiles.iter().map(|(path, text)| {
            let tile = TileRef::parse(path).ok_or_else(|| damaged("a tile's path"))?;
            Ok((tile, bytes("tiles", text)?))
        });
        let tiles = tiles.collect::<Result<Vec<_>>>()?;
        let pointers = raw.pointers.iter().map(|raw| {
            Ok(PointerDraft {
                channel: Name::new(&raw.channel)?,
                etag: raw.etag.clone(),
                objects: all("objects", &raw.objects)?,
            })
        });
        Ok(Self {
            dataset: Name::new(&raw.dataset)?,
            edge_url: crate::config::edge_url(&raw.edge)?,
            trust_chain: all("trust_chain", &raw.trust_chain)?,
            before: raw.before.as_ref().map(entry).transpose()?,
            new: entry(&raw.new)?,
            tiles,
            pointers: pointers.collect::<Result<_>>()?,
        })
    }
}

fn damaged(what: &str) -> Failure {
    Failure::input(format!("not a release request: {what}"))
        .coded("release/bad-request")
        .next("give the file that `packice publish --prepare FILE` wrote")
}
