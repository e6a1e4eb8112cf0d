//! Reading and writing the primitives that every binary format is made of.
//!
//! An unsigned number is LEB128 in its shortest form, at most ten bytes. A hash is its 32 bytes.
//! A string of bytes is its length and its bytes. A format begins with four magic bytes: `P`,
//! `K`, a letter for the kind and a digit for the format's version.
//!
//! An attacker could claim great lengths: the reader checks every length against the caller's
//! bound and against what is left before anything is copied.

use alloc::vec::Vec;

use crate::error::{Error, FormatError};
use crate::types::{Identity, LogHash, Name, ObjectRef, WireName};

/// Writes primitives to the end of a vector.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts a format with its magic bytes.
    pub fn with_magic(magic: &[u8; 4]) -> Self {
        Self { out: magic.to_vec() }
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        &self.out
    }

    /// How much was written.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.out.push(value);
    }

    /// An unsigned number.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push((value & 0x7f) as u8);
    }

    /// A length or count.
    pub fn count(&mut self, value: usize) {
        self.number(value as u64);
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A length and its bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A wire name and a length.
    pub fn object(&mut self, object: &ObjectRef) {
        self.raw(&object.name.0);
        self.number(object.len);
    }
}

/// The number of bytes that a number takes.
pub fn number_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads primitives from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Checks the length of the whole and the magic bytes.
    pub fn with_magic(
        bytes: &'a [u8],
        magic: &[u8; 4],
        format: &'static str,
        max: usize,
    ) -> Result<Self, Error> {
        at_most(format, bytes.len() as u64, max as u64)?;
        match bytes.strip_prefix(magic) {
            Some(rest) => Ok(Self { rest }),
            None => Err(FormatError::Magic { expected: format }.into()),
        }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading: nothing may be left.
    pub fn finish(self, format: &'static str) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::Trailing { field: format }.into())
        }
    }

    /// So many bytes as they are.
    pub fn raw(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(FormatError::Truncated { field }.into()),
        }
    }

    /// One byte.
    pub fn byte(&mut self, field: &'static str) -> Result<u8, Error> {
        Ok(self.raw(1, field)?[0])
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, Error> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(FormatError::Invalid { field, value: other.into() }.into()),
        }
    }

    /// An unsigned number up to a bound.
    pub fn number(&mut self, field: &'static str, max: u64) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte(field)?;
            let low = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && low > 1) {
                return Err(FormatError::NotCanonical { field }.into());
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(FormatError::NotCanonical { field }.into());
                }
                break;
            }
        }
        at_most(field, value, max)?;
        Ok(value)
    }

    /// A length or count up to a bound.
    pub fn count(&mut self, field: &'static str, max: usize) -> Result<usize, Error> {
        // The bound is a usize, so the value fits one.
        self.number(field, max as u64).map(|value| usize::try_from(value).unwrap_or(max))
    }

    /// [`Self::count`] in place of the caller: nearly every length of a record is one byte, which
    /// is looked at without a call.
    #[inline(always)]
    pub fn short_count(&mut self, field: &'static str, max: usize) -> Result<usize, Error> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 && usize::from(*byte) <= max => {
                self.rest = rest;
                Ok(usize::from(*byte))
            }
            Some(_) | None => self.count(field, max),
        }
    }

    /// [`Self::bytes`] by [`Self::short_count`].
    #[inline(always)]
    pub fn short_bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], Error> {
        let len = self.short_count(field, max)?;
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => self.raw(len, field),
        }
    }

    /// A length up to a bound, and its bytes.
    pub fn bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], Error> {
        let len = self.count(field, max)?;
        self.raw(len, field)
    }

    /// Text up to a bound.
    pub fn text(&mut self, field: &'static str, max: usize) -> Result<&'a str, Error> {
        let bytes = self.bytes(field, max)?;
        core::str::from_utf8(bytes).map_err(|_| FormatError::Text { field }.into())
    }

    /// A name.
    pub fn name(&mut self, field: &'static str) -> Result<Name, Error> {
        Name::new(self.text(field, crate::limits::MAX_NAME_LEN)?)
    }

    /// 32 bytes.
    pub fn hash(&mut self, field: &'static str) -> Result<[u8; 32], Error> {
        let mut hash = [0u8; 32];
        hash.copy_from_slice(self.raw(32, field)?);
        Ok(hash)
    }

    /// An identity.
    pub fn identity(&mut self, field: &'static str) -> Result<Identity, Error> {
        self.hash(field).map(Identity)
    }

    /// A wire name.
    pub fn wire_name(&mut self, field: &'static str) -> Result<WireName, Error> {
        self.hash(field).map(WireName)
    }

    /// A hash of the log.
    pub fn log_hash(&mut self, field: &'static str) -> Result<LogHash, Error> {
        self.hash(field).map(LogHash)
    }

    /// A wire name and a length up to a bound; nothing is empty on the wire.
    pub fn object(&mut self, field: &'static str, max: usize) -> Result<ObjectRef, Error> {
        let name = self.wire_name(field)?;
        let len = self.number(field, max as u64)?;
        if len == 0 {
            return Err(FormatError::Invalid { field, value: 0 }.into());
        }
        Ok(ObjectRef { name, len })
    }
}

/// A number against its bound.
pub fn at_most(field: &'static str, value: u64, max: u64) -> Result<(), Error> {
    if value <= max { Ok(()) } else { Err(FormatError::TooLarge { field, value, max }.into()) }
}
