//! The trust root (docs/spec/trust-root.md): who may sign what.
//!
//! Offline root keys sign it; it names the release keys that sign checkpoints, the witnesses, the
//! staleness levels and the floor below which fast-forwarded state is cleared. A wallet embeds
//! one. Whether the signatures hold is checked in `trust`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::limits::{MAX_NUMBER, MAX_ORIGIN_LEN, MAX_ROLE_KEYS, MAX_TRUST_ROOT_LEN, MAX_WITNESSES};
use crate::types::{LogHash, Name};

const MAGIC: &[u8; 4] = b"PKT1";
const SIGNED_MAGIC: &[u8; 4] = b"PKS1";
/// What stands before the body in the bytes that root keys sign.
pub const CONTEXT: &[u8] = b"packice trust root v1\n";

/// The public part of an Ed25519 key.
pub type PublicKey = [u8; 32];

/// Who may sign what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    /// The dataset.
    pub dataset: Name,
    /// The log's origin: the first line of its checkpoints, and the release keys' name in them.
    pub origin: String,
    /// The version, from 1.
    pub version: u64,
    /// The keys that sign trust roots.
    pub root: Role,
    /// The keys that sign checkpoints.
    pub release: Role,
    /// The witnesses, and how many must cosign.
    pub witnesses: WitnessPolicy,
    /// When data counts as stale and as expired.
    pub staleness: Staleness,
    /// Down to where seen state may be cleared by this version.
    pub floor: Option<Floor>,
}

/// Keys, and how many distinct ones must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// How many must sign; at least 1.
    pub threshold: u32,
    /// The keys, ascending by their bytes.
    pub keys: Vec<PublicKey>,
}

/// Who watches the log, and how many of them must have seen a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// How many must cosign: more than half of them; 0 where there are none.
    pub quorum: u32,
    /// The witnesses, by name.
    pub witnesses: Vec<Witness>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its name in cosignature lines.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
}

/// Ages by cosignature time; zero means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staleness {
    /// From this age on data is stale.
    pub stale_ms: u64,
    /// From this age on it is expired.
    pub expired_ms: u64,
}

/// A point of the log that is surely honest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The log's origin: the trust root's own.
    pub origin: String,
    /// The log's size there.
    pub size: u64,
    /// The log's root hash there.
    pub root: LogHash,
}

/// A trust root's bytes and the signatures over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTrustRoot {
    /// The trust root's canonical bytes.
    pub body: Vec<u8>,
    /// Signatures by distinct keys, ascending by key.
    pub signatures: Vec<(PublicKey, [u8; 64])>,
}

impl TrustRoot {
    /// Parses a whole trust root.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "trust root", MAX_TRUST_ROOT_LEN)?;
        let dataset = r.name("dataset")?;
        let origin = read_origin(&mut r)?;
        let version = r.number("trust root version", MAX_NUMBER)?;
        if version == 0 {
            return Err(FormatError::Invalid { field: "trust root version", value: 0 }.into());
        }
        let root = Role::read(&mut r)?;
        let release = Role::read(&mut r)?;
        let witnesses = WitnessPolicy::read(&mut r)?;
        let staleness = Staleness {
            stale_ms: r.number("stale after", MAX_NUMBER)?,
            expired_ms: r.number("expired after", MAX_NUMBER)?,
        };
        let floor = match r.flag("floor flag")? {
            false => None,
            true => Some(Floor {
                origin: read_origin(&mut r)?,
                size: r.number("floor size", MAX_NUMBER)?,
                root: r.log_hash("floor root")?,
            }),
        };
        if floor.as_ref().is_some_and(|floor| floor.origin != origin) {
            return Err(FormatError::Text { field: "floor origin" }.into());
        }
        r.finish("trust root")?;
        Ok(Self { dataset, origin, version, root, release, witnesses, staleness, floor })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.bytes(self.dataset.as_str().as_bytes());
        w.bytes(self.origin.as_bytes());
        w.number(self.version);
        self.root.write(&mut w);
        self.release.write(&mut w);
        w.number(self.witnesses.quorum.into());
        w.count(self.witnesses.witnesses.len());
        for witness in &self.witnesses.witnesses {
            w.bytes(witness.name.as_bytes());
            w.raw(&witness.key);
        }
        w.number(self.staleness.stale_ms);
        w.number(self.staleness.expired_ms);
        w.byte(self.floor.is_some().into());
        if let Some(floor) = &self.floor {
            w.bytes(floor.origin.as_bytes());
            w.number(floor.size);
            w.raw(&floor.root.0);
        }
        w.finish()
    }

    /// The bytes that root keys sign.
    pub fn signed_bytes(body: &[u8]) -> Vec<u8> {
        [CONTEXT, body].concat()
    }
}

fn read_origin(r: &mut Reader<'_>) -> Result<String, Error> {
    let origin = r.text("origin", MAX_ORIGIN_LEN)?;
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if origin.is_empty() || origin.chars().any(bad) {
        return Err(FormatError::Text { field: "origin" }.into());
    }
    Ok(origin.to_string())
}

fn read_small(r: &mut Reader<'_>, field: &'static str, max: usize) -> Result<u32, Error> {
    // The bounds given here are far below 2^32.
    r.count(field, max).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

impl Role {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let threshold = read_small(r, "threshold", MAX_ROLE_KEYS)?;
        let count = r.count("role keys", MAX_ROLE_KEYS)?;
        if threshold == 0 || threshold as usize > count {
            return Err(FormatError::Invalid { field: "threshold", value: threshold.into() }.into());
        }
        let mut keys: Vec<PublicKey> = Vec::with_capacity(count);
        for _ in 0..count {
            let key = r.hash("role key")?;
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(FormatError::Order { field: "role keys" }.into());
            }
            keys.push(key);
        }
        Ok(Self { threshold, keys })
    }

    fn write(&self, w: &mut Writer) {
        w.number(self.threshold.into());
        w.count(self.keys.len());
        for key in &self.keys {
            w.raw(key);
        }
    }
}

impl WitnessPolicy {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let quorum = read_small(r, "quorum", MAX_WITNESSES)?;
        let count = r.count("witnesses", MAX_WITNESSES)?;
        let more_than_half = quorum as usize * 2 > count;
        if quorum as usize > count || (count > 0 && !more_than_half) {
            return Err(FormatError::Invalid { field: "quorum", value: quorum.into() }.into());
        }
        let mut witnesses: Vec<Witness> = Vec::with_capacity(count);
        for _ in 0..count {
            let witness = Witness { name: read_origin(r)?, key: r.hash("witness key")? };
            if witnesses.last().is_some_and(|last| last.name >= witness.name) {
                return Err(FormatError::Order { field: "witnesses" }.into());
            }
            if witnesses.iter().any(|other| other.key == witness.key) {
                return Err(FormatError::Order { field: "witness keys" }.into());
            }
            witnesses.push(witness);
        }
        Ok(Self { quorum, witnesses })
    }
}

impl SignedTrustRoot {
    /// Parses a whole signed trust root.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r =
            Reader::with_magic(bytes, SIGNED_MAGIC, "signed trust root", MAX_TRUST_ROOT_LEN)?;
        let body = r.bytes("trust root", MAX_TRUST_ROOT_LEN)?.to_vec();
        let count = r.count("trust root signatures", 2 * MAX_ROLE_KEYS)?;
        let mut signatures: Vec<(PublicKey, [u8; 64])> = Vec::with_capacity(count);
        for _ in 0..count {
            let key = r.hash("signing key")?;
            let mut signature = [0u8; 64];
            signature.copy_from_slice(r.raw(64, "signature")?);
            if signatures.last().is_some_and(|last| last.0 >= key) {
                return Err(FormatError::Order { field: "signing keys" }.into());
            }
            signatures.push((key, signature));
        }
        r.finish("signed trust root")?;
        Ok(Self { body, signatures })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(SIGNED_MAGIC);
        w.bytes(&self.body);
        w.count(self.signatures.len());
        for (key, signature) in &self.signatures {
            w.raw(key);
            w.raw(signature);
        }
        w.finish()
    }
}
