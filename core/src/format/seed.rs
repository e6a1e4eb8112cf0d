//! The seed (docs/spec/seed.md): a version of a dataset in one file, for a client's first run.
//!
//! Eight bytes say how long the index is, the index says which object lies where, and the objects
//! follow. A client reads it as it reads a source: by ranges, object after object, and nothing of
//! it is trusted. An attacker could let an entry lie about an object, or reach past the file's
//! end: what is there then does not have the name it is asked under.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Reader, Writer, at_most};
use crate::error::{Error, FormatError};
use crate::limits::{MAX_SEED_INDEX_LEN, MAX_SEED_OBJECTS, MAX_SEED_PATH_LEN};

const MAGIC: &[u8; 4] = b"PKF1";

/// Bytes before the index: the magic and the index's length.
pub const PRELUDE_LEN: usize = 8;

/// Longest object: any file system's.
const MAX_LEN: u64 = 1 << 48;

/// A run of bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first byte, counted from the file's begin.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

/// Which object lies where, by its path under `/v1/{dataset}/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedIndex {
    /// Ascending by path.
    entries: Vec<(String, Place)>,
}

/// How long the index is, by the file's first [`PRELUDE_LEN`] bytes.
pub fn index_len(prelude: &[u8]) -> Result<usize, Error> {
    let mut r = Reader::with_magic(prelude, MAGIC, "seed", PRELUDE_LEN)?;
    let mut len = [0; 4];
    len.copy_from_slice(r.raw(4, "index length")?);
    let len = u32::from_le_bytes(len);
    at_most("index length", len.into(), MAX_SEED_INDEX_LEN as u64)?;
    // A usize has 32 bits or more.
    Ok(len as usize)
}

impl SeedIndex {
    /// The index of objects in the order of their paths, each with its length.
    pub fn of(lengths: impl IntoIterator<Item = (String, u64)>) -> Result<Self, Error> {
        let mut index = Self::default();
        for (path, len) in lengths {
            index.entries.push((path, Place { offset: 0, len }));
        }
        // The offsets depend on the index's own length.
        Self::parse(&index.encode())
    }

    /// Parses an index, the prelude not among its bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        at_most("seed index", bytes.len() as u64, MAX_SEED_INDEX_LEN as u64)?;
        let mut r = Reader::new(bytes);
        let mut offset = (PRELUDE_LEN + bytes.len()) as u64;
        let mut entries: Vec<(String, Place)> = Vec::new();
        for _ in 0..r.count("seed objects", MAX_SEED_OBJECTS)? {
            let path = r.text("seed path", MAX_SEED_PATH_LEN)?;
            if entries.last().is_some_and(|(last, _)| last.as_str() >= path) {
                return Err(FormatError::Order { field: "seed paths" }.into());
            }
            let len = r.number("object length", MAX_LEN)?;
            if len == 0 {
                return Err(FormatError::Invalid { field: "object length", value: 0 }.into());
            }
            entries.push((String::from(path), Place { offset, len }));
            offset += len;
        }
        r.finish("seed index")?;
        Ok(Self { entries })
    }

    /// The index's canonical bytes, without the prelude.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.count(self.entries.len());
        for (path, place) in &self.entries {
            w.bytes(path.as_bytes());
            w.number(place.len);
        }
        w.finish()
    }

    /// The bytes before an index of so many bytes.
    pub fn prelude(index_len: usize) -> Result<Vec<u8>, Error> {
        at_most("index length", index_len as u64, MAX_SEED_INDEX_LEN as u64)?;
        let mut w = Writer::with_magic(MAGIC);
        w.raw(&u32::try_from(index_len).unwrap_or(u32::MAX).to_le_bytes());
        Ok(w.finish())
    }

    /// Where an object lies.
    pub fn place(&self, path: &str) -> Option<Place> {
        let at = self.entries.binary_search_by(|(held, _)| held.as_str().cmp(path)).ok()?;
        self.entries.get(at).map(|(_, place)| *place)
    }

    /// The paths in order, and where each object lies.
    pub fn entries(&self) -> &[(String, Place)] {
        &self.entries
    }

    /// The length of the whole file.
    pub fn file_len(&self) -> u64 {
        match self.entries.last() {
            Some((_, place)) => place.offset + place.len,
            None => (PRELUDE_LEN + self.encode().len()) as u64,
        }
    }
}
