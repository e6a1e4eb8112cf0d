//! The state record: the one row that opening reads (docs/spec/state.md).
//!
//! It holds the version that serves reads and the version that a sync is bringing, each with
//! everything needed to verify it again: the trust state that led to it, its manifest and its
//! layout directories. The store is not trusted: [`StateRecord::parse`] gives bytes, and
//! `snapshot` verifies them from the embedded trust root on.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::limits::{
    MAX_COLLECTIONS, MAX_DIRECTORY_LEN, MAX_MANIFEST_LEN, MAX_STATE_LEN, MAX_TRUST_STATE_LEN,
};

const MAGIC: &[u8; 4] = b"PKE1";

/// What the store's state row holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateRecord {
    /// The version that serves reads.
    pub committed: Option<VersionRecord>,
    /// The version that a sync or lazy reads are bringing.
    pub pinned: Option<VersionRecord>,
}

/// A version, and what it is verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRecord {
    /// The trust state that accepted it.
    pub trust: Vec<u8>,
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The layout directories of its collections, in the manifest's order.
    pub directories: Vec<Vec<u8>>,
}

impl StateRecord {
    /// Parses a state record; nothing of it is verified by that.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "state record", MAX_STATE_LEN)?;
        let committed = VersionRecord::read(&mut r)?;
        let pinned = VersionRecord::read(&mut r)?;
        r.finish("state record")?;
        Ok(Self { committed, pinned })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        VersionRecord::write(self.committed.as_ref(), &mut w);
        VersionRecord::write(self.pinned.as_ref(), &mut w);
        w.finish()
    }
}

impl VersionRecord {
    fn read(r: &mut Reader<'_>) -> Result<Option<Self>, Error> {
        if !r.flag("version flag")? {
            return Ok(None);
        }
        let trust = r.bytes("trust state", MAX_TRUST_STATE_LEN)?.to_vec();
        let manifest = r.bytes("manifest", MAX_MANIFEST_LEN)?.to_vec();
        let count = r.count("directories", MAX_COLLECTIONS)?;
        let mut directories = Vec::with_capacity(count);
        for _ in 0..count {
            directories.push(r.bytes("layout directory", MAX_DIRECTORY_LEN)?.to_vec());
        }
        Ok(Some(Self { trust, manifest, directories }))
    }

    fn write(record: Option<&Self>, w: &mut Writer) {
        w.byte(record.is_some().into());
        if let Some(record) = record {
            w.bytes(&record.trust);
            w.bytes(&record.manifest);
            w.count(record.directories.len());
            for directory in &record.directories {
                w.bytes(directory);
            }
        }
    }
}
