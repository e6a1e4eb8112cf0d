//! The state record: the one row that opening reads (docs/spec/state.md).
//!
//! It holds the version that serves reads, the version that a sync is bringing and those that are
//! kept, each with everything needed to verify it again: the trust state that led to it, its
//! manifest, and what delivers its collections. The store is not trusted: [`StateRecord::parse`]
//! gives bytes, and `snapshot` verifies them from the embedded trust root on.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::format::manifest::Base;
use crate::limits::{
    MAX_COLLECTIONS, MAX_DIRECTORY_LEN, MAX_HELD_LAYERS, MAX_KEPT_VERSIONS, MAX_LAYER_LEN,
    MAX_MANIFEST_LEN, MAX_STATE_LEN, MAX_TRUST_STATE_LEN,
};
use crate::types::ObjectRef;

const MAGIC: &[u8; 4] = b"PKE3";

/// What the store's state row holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateRecord {
    /// The version that serves reads.
    pub committed: Option<VersionRecord>,
    /// The version that a sync or lazy reads are bringing.
    pub pinned: Option<VersionRecord>,
    /// Versions that served reads before and are kept, the newest first.
    pub kept: Vec<VersionRecord>,
}

/// A version, and what it is verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRecord {
    /// The trust state that accepted it.
    pub trust: Vec<u8>,
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// What delivers its collections, in the manifest's order.
    pub shelves: Vec<ShelfRecord>,
    /// The numbers of those that were subscribed in part, ascending: rows may be lacking.
    pub partial: Vec<usize>,
}

/// What delivers a collection. There are a few of them, read once: their size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShelfRecord {
    /// The base that the manifest names, and its overlay.
    Published {
        /// The base's layout directory.
        directory: Vec<u8>,
    },
    /// An older base, and the layers that the client made of deltas.
    Own {
        /// The base.
        base: Base,
        /// Its layout directory.
        directory: Vec<u8>,
        /// The directories of the layers, lowest first.
        layers: Vec<ObjectRef>,
    },
    /// What the committed version has, once the manifest's delta from there is applied.
    Delta,
}

impl StateRecord {
    /// Parses a state record; nothing of it is verified by that.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "state record", MAX_STATE_LEN)?;
        let committed = VersionRecord::read_flagged(&mut r)?;
        let pinned = VersionRecord::read_flagged(&mut r)?;
        let count = r.count("kept versions", MAX_KEPT_VERSIONS)?;
        let kept = (0..count).map(|_| VersionRecord::read(&mut r)).collect::<Result<_, _>>()?;
        r.finish("state record")?;
        Ok(Self { committed, pinned, kept })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        for version in [&self.committed, &self.pinned] {
            w.byte(version.is_some().into());
            if let Some(version) = version {
                version.write(&mut w);
            }
        }
        w.count(self.kept.len());
        for version in &self.kept {
            version.write(&mut w);
        }
        w.finish()
    }
}

impl VersionRecord {
    fn read_flagged(r: &mut Reader<'_>) -> Result<Option<Self>, Error> {
        match r.flag("version flag")? {
            true => Self::read(r).map(Some),
            false => Ok(None),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let trust = r.bytes("trust state", MAX_TRUST_STATE_LEN)?.to_vec();
        let manifest = r.bytes("manifest", MAX_MANIFEST_LEN)?.to_vec();
        let count = r.count("shelves", MAX_COLLECTIONS)?;
        let shelves = (0..count).map(|_| ShelfRecord::read(r)).collect::<Result<_, _>>()?;
        let mut partial = Vec::new();
        for _ in 0..r.count("partial shelves", count)? {
            let at = r.count("partial shelf", count.saturating_sub(1))?;
            if partial.last().is_some_and(|last| *last >= at) {
                return Err(FormatError::NotCanonical { field: "partial shelves" }.into());
            }
            partial.push(at);
        }
        Ok(Self { trust, manifest, shelves, partial })
    }

    fn write(&self, w: &mut Writer) {
        w.bytes(&self.trust);
        w.bytes(&self.manifest);
        w.count(self.shelves.len());
        for shelf in &self.shelves {
            shelf.write(w);
        }
        w.count(self.partial.len());
        for at in &self.partial {
            w.count(*at);
        }
    }
}

impl ShelfRecord {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.byte("shelf kind")? {
            0 => Ok(Self::Published { directory: read_directory(r)? }),
            1 => {
                let base = Base::read_whole(r)?;
                let directory = read_directory(r)?;
                let count = r.count("layers", MAX_HELD_LAYERS)?;
                let layers = (0..count).map(|_| r.object("layer", MAX_LAYER_LEN));
                Ok(Self::Own { base, directory, layers: layers.collect::<Result<_, _>>()? })
            }
            2 => Ok(Self::Delta),
            other => Err(FormatError::Invalid { field: "shelf kind", value: other.into() }.into()),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Published { directory } => {
                w.byte(0);
                w.bytes(directory);
            }
            Self::Own { base, directory, layers } => {
                w.byte(1);
                base.write_whole(w);
                w.bytes(directory);
                w.count(layers.len());
                for layer in layers {
                    w.object(layer);
                }
            }
            Self::Delta => w.byte(2),
        }
    }
}

fn read_directory(r: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    Ok(r.bytes("layout directory", MAX_DIRECTORY_LEN)?.to_vec())
}
