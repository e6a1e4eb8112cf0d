//! The bootstrap (docs/spec/bootstrap.md): what a cold client needs in one answer.
//!
//! It is an accelerator and carries no trust of its own: the checkpoint is signed, the head state
//! is proven by the log, and every inlined object is found by its own hash and exists on the edge
//! under its name as well. An attacker could fill it with objects that nobody asked for: they are
//! hashed, found unwanted and dropped.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::hash;
use crate::limits::{
    MAX_BOOTSTRAP_LEN, MAX_BOOTSTRAP_OBJECTS, MAX_CHECKPOINT_LEN, MAX_HEAD_LEN, MAX_PROOF_HASHES,
    MAX_TRUST_CHAIN, MAX_TRUST_ROOT_LEN,
};
use crate::types::{LogHash, ObjectRef};

use super::head::Head;
use super::manifest::Manifest;

const MAGIC: &[u8; 4] = b"PKB1";

/// What a cold client needs in one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// The newest checkpoint: a signed note.
    pub checkpoint: Vec<u8>,
    /// Signed trust roots that lead to the newest, by version; the first ones may be known.
    pub trust_chain: Vec<Vec<u8>>,
    /// The log's last entry: a head state.
    pub head: Vec<u8>,
    /// The proof that the head state is the last entry, from the leaf up.
    pub inclusion: Vec<LogHash>,
    /// Wire objects, each to be found by its hash.
    pub objects: Vec<Vec<u8>>,
}

impl Bootstrap {
    /// Parses a whole bootstrap.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "bootstrap", MAX_BOOTSTRAP_LEN)?;
        let checkpoint = r.bytes("checkpoint", MAX_CHECKPOINT_LEN)?.to_vec();
        let mut trust_chain = Vec::new();
        for _ in 0..r.count("trust chain", MAX_TRUST_CHAIN)? {
            trust_chain.push(r.bytes("trust root", MAX_TRUST_ROOT_LEN)?.to_vec());
        }
        let head = r.bytes("head state", MAX_HEAD_LEN)?.to_vec();
        let mut inclusion = Vec::new();
        for _ in 0..r.count("inclusion proof", MAX_PROOF_HASHES)? {
            inclusion.push(r.log_hash("inclusion proof")?);
        }
        let mut objects = Vec::new();
        for _ in 0..r.count("objects", MAX_BOOTSTRAP_OBJECTS)? {
            objects.push(r.bytes("object", MAX_BOOTSTRAP_LEN)?.to_vec());
        }
        r.finish("bootstrap")?;
        Ok(Self { checkpoint, trust_chain, head, inclusion, objects })
    }

    /// The head of a channel: the same without the objects that only a cold client wants. The
    /// manifest stays, and what leads to it from the version before.
    #[must_use]
    pub fn lean(mut self, channel: &str) -> Self {
        let named = Head::parse(&self.head).ok();
        let manifest = named.as_ref().and_then(|head| Some(head.channel(channel)?.manifest));
        // Only what has the length is hashed.
        let is = |bytes: &[u8], object: &ObjectRef| {
            bytes.len() as u64 == object.len && hash::wire_name(bytes) == object.name
        };
        let mut wanted: Vec<ObjectRef> = manifest.into_iter().collect();
        let bytes = self.objects.iter().find(|bytes| wanted.iter().any(|object| is(bytes, object)));
        if let Some(manifest) = bytes.and_then(|bytes| Manifest::parse(bytes).ok()) {
            let last = manifest.collections.iter().filter_map(|c| c.deltas.last());
            wanted.extend(last.flat_map(|delta| &delta.segments).map(|segment| segment.object));
        }
        self.objects.retain(|bytes| wanted.iter().any(|object| is(bytes, object)));
        self
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.bytes(&self.checkpoint);
        w.count(self.trust_chain.len());
        for root in &self.trust_chain {
            w.bytes(root);
        }
        w.bytes(&self.head);
        w.count(self.inclusion.len());
        for hash in &self.inclusion {
            w.raw(&hash.0);
        }
        w.count(self.objects.len());
        for object in &self.objects {
            w.bytes(object);
        }
        w.finish()
    }
}
