//! Full proofs (docs/spec/proof.md): that a record is, or is not, in a release, for whoever knows
//! the trust root and nothing else.
//!
//! A full proof carries the whole way from the record up: the nodes above its leaf, the manifest
//! that binds their root, the head state that names the manifest, the proof that it is the log's
//! last entry, the signed checkpoint, and the trust roots that lead to its keys. It is checked by
//! the code that checks a client's own store, without network or store.
//!
//! An attacker could put together parts of different releases, leave out the newest trust root,
//! or prove a record of an old release: parts bind one another by hash and length; what is proven
//! is that some release under the verifier's trust root has the record, with the checkpoint's
//! time for the caller to judge.

use alloc::vec::Vec;

use super::accept::{Evidence, Seen, TrustState, check_size, read_roots, write_roots};
use super::freshness::Freshness;
use super::manifest::verify_manifest;
use crate::codec::{Reader, Writer};
use crate::error::{Error, TrustError};
use crate::limits::{MAX_FULL_PROOF_LEN, MAX_KEY_LEN, MAX_MANIFEST_LEN, MAX_RECORD_PROOF_LEN};
use crate::tree::proof;
use crate::types::{Identity, Millis, Name, Version};

const MAGIC: &[u8; 4] = b"PKX1";

/// A full proof, parsed and not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullProof {
    /// Signed trust roots that lead to the newest, by version; the first ones may be known.
    pub trust_chain: Vec<Vec<u8>>,
    /// What proves the head state.
    pub evidence: Evidence,
    /// The manifest that the head state names.
    pub manifest: Vec<u8>,
    /// The collection.
    pub collection: Name,
    /// The record's key.
    pub key: Vec<u8>,
    /// The proof that leads from the record to the collection's root (`PKR1`).
    pub record: Vec<u8>,
}

/// What a full proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The collection.
    pub collection: Name,
    /// The key.
    pub key: Vec<u8>,
    /// Its value; `None` where the collection is proven not to have the key.
    pub value: Option<Vec<u8>>,
    /// The collection's root.
    pub root: Identity,
    /// The release's version in the channel.
    pub version: Version,
    /// Trust root, checkpoint and head state that it stands on.
    pub trust: TrustState,
}

impl FullProof {
    /// Puts a proof together from the trust state that accepted a release, the release's manifest
    /// and a record proof; `None` where the state has accepted nothing.
    pub fn new(
        trust: &TrustState,
        manifest: &[u8],
        collection: &Name,
        key: &[u8],
        record: &[u8],
    ) -> Option<Self> {
        Some(Self {
            // A wallet embeds version 1 or a later one: the first is never needed.
            trust_chain: trust.chain_after_first(),
            evidence: trust.evidence()?,
            manifest: manifest.to_vec(),
            collection: collection.clone(),
            key: key.to_vec(),
            record: record.to_vec(),
        })
    }

    /// Parses a whole full proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "full proof", MAX_FULL_PROOF_LEN)?;
        let proof = Self {
            trust_chain: read_roots(&mut r)?,
            evidence: Evidence::read(&mut r)?,
            manifest: r.bytes("manifest", MAX_MANIFEST_LEN)?.to_vec(),
            collection: r.name("collection")?,
            key: r.bytes("key", MAX_KEY_LEN)?.to_vec(),
            record: r.bytes("record proof", MAX_RECORD_PROOF_LEN)?.to_vec(),
        };
        r.finish("full proof")?;
        Ok(proof)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        write_roots(&self.trust_chain, &mut w);
        self.evidence.write(&mut w);
        w.bytes(&self.manifest);
        w.bytes(self.collection.as_str().as_bytes());
        w.bytes(&self.key);
        w.bytes(&self.record);
        w.finish()
    }
}

/// Checks a full proof under the trust root that the caller embeds: what it proves of a channel.
pub fn verify_full(
    proof: &[u8],
    signed_root: &[u8],
    dataset: &Name,
    channel: &Name,
) -> Result<Statement, Error> {
    let FullProof { trust_chain, evidence, manifest, collection, key, record } =
        FullProof::parse(proof)?;
    let trust = TrustState::check(signed_root, dataset, &trust_chain, Some(&evidence))?;
    // A smaller log does not hold the floor; a larger one under its keys is taken to.
    check_size(trust.seen(), Seen::floor(trust.root()))?;
    let head = trust.head().ok_or(TrustError::BadProof)?;
    let channel = head.channel(channel.as_str()).ok_or(TrustError::NoSuchChannel)?;
    let manifest = verify_manifest(dataset, channel, &manifest)?;
    let tree = manifest.collection(collection.as_str()).ok_or(TrustError::BadProof)?.tree;
    let value = proof::verify(&tree, &key, &record)?;
    let (root, version) = (tree.root, manifest.version);
    Ok(Statement { collection, key, value, root, version, trust })
}

impl Statement {
    /// How old the checkpoint is that the proof stands on.
    pub fn freshness(&self, now: Millis) -> Freshness {
        self.trust.freshness(now)
    }
}
