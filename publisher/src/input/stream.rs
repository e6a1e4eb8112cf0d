//! An input as a stream of bytes, which are hashed and counted as they are read.

use std::fs::File;
use std::io::{self, Read};

use super::Place;
use crate::failure::{Result, on_file};

/// Hashes and counts what is read through it.
pub(super) struct Hashed {
    inner: Box<dyn Read>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashed {
    pub(super) fn open(place: &Place) -> Result<Self> {
        let inner: Box<dyn Read> = match place {
            Place::Stdin => Box::new(io::stdin().lock()),
            Place::Path(path) => Box::new(File::open(path).map_err(on_file("read", path))?),
        };
        Ok(Self { inner, hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// The bytes read so far.
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// The hash of what was read so far.
    pub(super) fn digest(&self) -> blake3::Hash {
        self.hasher.finalize()
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..len]);
        self.bytes += len as u64;
        Ok(len)
    }
}

/// The mark that some programs write in front of UTF-8 text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
