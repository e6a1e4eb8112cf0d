//! Leaves, the record blocks of a tree (docs/spec/tree.md).
//!
//! Records stand in key order, each key as the length of what it shares with the key before it
//! and the rest. The canonical form shares as much as it can, so one list of records has one
//! encoding. The header counts the records, so a leaf says where it ends and a frame is its
//! leaves with nothing between them. An attacker could claim shared lengths beyond the key
//! before, or counts beyond the bytes: both are refused here.

use alloc::vec::Vec;
use core::ops::Range;

use crate::codec::{Reader, Writer, at_most, number_len};
use crate::error::{Error, FormatError};
use crate::limits::{MAX_KEY_LEN, MAX_LEAF_LEN, MAX_LEAF_RECORDS, MAX_VALUE_LEN};

const MAGIC: &[u8; 4] = b"PKL1";

/// One record of a leaf, its value borrowed from the leaf's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: &'a [u8],
}

/// Writes the records of one leaf.
#[derive(Clone, Debug, Default)]
pub struct LeafWriter {
    body: Writer,
    last_key: Vec<u8>,
    records: u64,
}

impl LeafWriter {
    /// The bytes that a record would add.
    pub fn record_len(&self, key: &[u8], value: &[u8]) -> usize {
        let rest = key.len() - self.shared(key);
        number_len((key.len() - rest) as u64)
            + number_len(rest as u64)
            + rest
            + number_len(value.len() as u64)
            + value.len()
    }

    /// Adds a record; the caller gives keys in ascending order.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let shared = self.shared(key);
        self.body.count(shared);
        self.body.bytes(&key[shared..]);
        self.body.bytes(value);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.records += 1;
    }

    /// Bytes of the records so far, without the leaf's header.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The last key added; empty before the first.
    pub fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// The leaf's canonical bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Writer::with_magic(MAGIC);
        out.number(self.records);
        out.raw(&self.body.finish());
        out.finish()
    }

    fn shared(&self, key: &[u8]) -> usize {
        if self.records == 0 {
            return 0;
        }
        self.last_key.iter().zip(key).take_while(|(a, b)| a == b).count()
    }
}

/// Reads the records of one leaf, one after the other, checking the canonical form.
#[derive(Clone, Debug)]
pub struct LeafReader<'a> {
    rest: Reader<'a>,
    key: Vec<u8>,
    started: bool,
    left: usize,
    whole: bool,
}

impl<'a> LeafReader<'a> {
    /// Reads the canonical bytes of a whole leaf.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        at_most("leaf", bytes.len() as u64, MAX_LEAF_LEN as u64)?;
        Ok(Self { whole: true, ..Self::prefix(bytes)? })
    }

    /// Reads the leaf at the front of some bytes.
    fn prefix(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = Reader::with_magic(bytes, MAGIC, "leaf", usize::MAX)?;
        let left = rest.count("leaf records", MAX_LEAF_RECORDS)?;
        if left == 0 {
            return Err(FormatError::Invalid { field: "leaf records", value: 0 }.into());
        }
        Ok(Self { rest, key: Vec::new(), started: false, left, whole: false })
    }

    /// The next record's value; its key is then [`Self::key`]. `None` after the last.
    pub fn advance(&mut self) -> Result<Option<&'a [u8]>, Error> {
        if self.left == 0 {
            if self.whole {
                self.rest.clone().finish("leaf")?;
            }
            return Ok(None);
        }
        let shared = self.rest.short_count("shared key length", MAX_KEY_LEN)?;
        let suffix = self.rest.short_bytes("key", MAX_KEY_LEN)?;
        if shared > self.key.len() {
            let value = shared as u64;
            return Err(FormatError::Invalid { field: "shared key length", value }.into());
        }
        at_most("key", (shared + suffix.len()) as u64, MAX_KEY_LEN as u64)?;
        if self.started {
            let next_old = self.key.get(shared).copied();
            match (suffix.first().copied(), next_old) {
                // Equal keys, or a key that is a prefix of the one before it.
                (None, _) => return Err(FormatError::Order { field: "keys" }.into()),
                (Some(new), Some(old)) if new < old => {
                    return Err(FormatError::Order { field: "keys" }.into());
                }
                (Some(new), Some(old)) if new == old => {
                    return Err(FormatError::NotCanonical { field: "shared key length" }.into());
                }
                (Some(_), _) => {}
            }
        }
        let value = self.rest.short_bytes("value", MAX_VALUE_LEN)?;
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        self.started = true;
        self.left -= 1;
        Ok(Some(value))
    }

    /// The key of the record that was read last.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// A leaf within the plain bytes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafSpan {
    /// Where its canonical bytes stand.
    pub range: Range<usize>,
    /// Its first key.
    pub first_key: Vec<u8>,
    /// Its last key.
    pub last_key: Vec<u8>,
    /// How many records it has.
    pub records: u64,
}

/// Splits the plain bytes of a frame into its leaves, checking the canonical form of each and
/// that keys ascend through all of them.
pub fn split_leaves(plain: &[u8]) -> Result<Vec<LeafSpan>, Error> {
    let mut leaves: Vec<LeafSpan> = Vec::new();
    let mut start = 0;
    while let Some(rest) = plain.get(start..).filter(|rest| !rest.is_empty()) {
        let mut reader = LeafReader::prefix(rest)?;
        let records = reader.left as u64;
        let mut first_key = Vec::new();
        let mut first = true;
        while reader.advance()?.is_some() {
            if first {
                first_key.extend_from_slice(reader.key());
                first = false;
            }
        }
        if leaves.last().is_some_and(|last| last.last_key >= first_key) {
            return Err(FormatError::Order { field: "keys" }.into());
        }
        let end = plain.len() - reader.rest.rest().len();
        at_most("leaf", (end - start) as u64, MAX_LEAF_LEN as u64)?;
        leaves.push(LeafSpan { range: start..end, first_key, last_key: reader.key, records });
        start = end;
    }
    Ok(leaves)
}

/// All records of a leaf.
pub fn records(bytes: &[u8]) -> Result<Vec<Record<'_>>, Error> {
    let mut reader = LeafReader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(value) = reader.advance()? {
        records.push(Record { key: reader.key().to_vec(), value });
    }
    Ok(records)
}

/// The value of a key in a leaf; `None` where the leaf has no such key.
pub fn find<'a>(bytes: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, Error> {
    let mut reader = LeafReader::new(bytes)?;
    while let Some(value) = reader.advance()? {
        match reader.key().cmp(key) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => return Ok(Some(value)),
            core::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}
