//! Segments: the operations on one key range, as they travel (docs/spec/delta.md).

use alloc::vec::Vec;

use super::coder::{Decoder, Encoder};
use super::ops::{OldRecords, Op};
use super::pass::{LEARN_LEN, MAX_NEIGHBOURS, Pass, Place, Reference, ranks, record};
use super::text::Text;
use crate::codec::{Reader, Writer, at_most};
use crate::error::{Error, FormatError, Misuse};
use crate::limits::{
    MAX_KEY_LEN, MAX_NUMBER, MAX_OBJECT_LEN, MAX_SEGMENT_OPERATIONS, MAX_SEGMENT_PLAIN_LEN,
    MAX_SEGMENT_REFERENCE_LEN, MAX_VALUE_LEN,
};

const MAGIC: &[u8; 4] = b"PKC1";

/// The reference byte's bit for the whole range.
const WHOLE: u8 = 0x80;
/// Counters of the model, as a power of two: 40 KiB to 2.5 MiB.
const TABLE_BITS: core::ops::RangeInclusive<u8> = 14..=20;

/// What an encoder tries: the smallest wins.
const REFERENCES: [Reference; 4] = [
    Reference { neighbours: 0, whole: false },
    Reference { neighbours: 8, whole: false },
    Reference { neighbours: 8, whole: true },
    Reference { neighbours: 24, whole: false },
];

/// How the operations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    /// As they are.
    Plain = 0,
    /// Predicted and arithmetically coded.
    Mixed = 1,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    codec: Codec,
    pub(super) old_records: u64,
    pub(super) operations: usize,
    pub(super) plain_len: u64,
    pub(super) reference: Reference,
    table_bits: u8,
}

/// Packs operations on a range of old records, at least one. The same input gives the same bytes
/// on every machine.
pub fn pack(old: &(impl OldRecords + ?Sized), ops: &[Op]) -> Result<Vec<u8>, Error> {
    let plain_len = ops.iter().map(Op::plain_len).sum();
    at_most("segment plain length", plain_len, MAX_SEGMENT_PLAIN_LEN as u64)?;
    at_most("segment operations", ops.len() as u64, MAX_SEGMENT_OPERATIONS as u64)?;
    let mut at = 0;
    for op in ops {
        let fits = match op {
            Op::Insert { rank, .. } => *rank <= old.count(),
            Op::Update { rank, .. } | Op::Delete { rank } => *rank < old.count(),
        };
        if op.rank() < at || !fits {
            return Err(Misuse::Parameters { field: "the ranks of operations" }.into());
        }
        at = Place::of(op).next();
    }
    let old_len = reference_len(old);
    let mut header = Header {
        codec: Codec::Plain,
        old_records: old.count(),
        operations: ops.len(),
        plain_len,
        reference: REFERENCES[0],
        table_bits: *TABLE_BITS.start(),
    };
    let mut best = pack_plain(&header, ops);
    header.codec = Codec::Mixed;
    for reference in REFERENCES {
        if reference.whole && old_len.is_none() {
            continue;
        }
        let learnt = if reference.neighbours > 0 { LEARN_LEN as u64 } else { 0 };
        let whole = if reference.whole { old_len.unwrap_or(0) } else { 0 };
        header.reference = reference;
        header.table_bits = table_bits(plain_len + learnt + whole);
        let packed = pack_mixed(&header, old, ops)?;
        if packed.len() < best.len() {
            best = packed;
        }
    }
    Ok(best)
}

/// A table that such a text fills to a few percent.
fn table_bits(symbols: u64) -> u8 {
    let bits = u8::try_from(64 - symbols.leading_zeros()).unwrap_or(64);
    (bits + 5).clamp(*TABLE_BITS.start(), *TABLE_BITS.end())
}

/// The bytes of all old records, where they may be a reference as a whole.
fn reference_len(old: &(impl OldRecords + ?Sized)) -> Option<u64> {
    let mut sum = 0;
    for rank in 0..old.count() {
        let (key, value) = old.record(rank)?;
        sum += (key.len() + value.len()) as u64 + 2;
        if sum > MAX_SEGMENT_REFERENCE_LEN as u64 {
            return None;
        }
    }
    Some(sum)
}

fn pack_plain(header: &Header, ops: &[Op]) -> Vec<u8> {
    let mut w = header.write();
    let mut at = 0;
    for op in ops {
        let place = Place::of(op);
        w.number((place.rank - at) << 2 | place.action as u64);
        match op {
            Op::Update { value, .. } => w.bytes(value),
            Op::Delete { .. } => {}
            Op::Insert { key, value, .. } => {
                w.bytes(key);
                w.bytes(value);
            }
        }
        at = place.next();
    }
    w.finish()
}

fn pack_mixed(
    header: &Header,
    old: &(impl OldRecords + ?Sized),
    ops: &[Op],
) -> Result<Vec<u8>, Error> {
    let encoder = Encoder::new(header.write().finish());
    let mut pass = Pass::new(header, Text::new(encoder, header.table_bits.into()));
    let places: Vec<Place> = ops.iter().map(Place::of).collect();
    pass.places(Some(&places))?;
    while !pass.learn(old)? {}
    for op in ops {
        pass.operation(old, Some(op))?;
    }
    Ok(pass.text.model.coder.finish())
}

impl Header {
    fn write(&self) -> Writer {
        let mut w = Writer::with_magic(MAGIC);
        w.byte(self.codec as u8);
        w.number(self.old_records);
        w.count(self.operations);
        w.number(self.plain_len);
        if self.codec == Codec::Mixed {
            w.byte(self.reference.neighbours | if self.reference.whole { WHOLE } else { 0 });
            w.byte(self.table_bits);
        }
        w
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let codec = match r.byte("segment codec")? {
            0 => Codec::Plain,
            1 => Codec::Mixed,
            other => return Err(invalid("segment codec", other.into())),
        };
        let old_records = r.number("old records", MAX_NUMBER)?;
        let operations = r.count("segment operations", MAX_SEGMENT_OPERATIONS)?;
        let plain_len = r.number("segment plain length", MAX_SEGMENT_PLAIN_LEN as u64)?;
        let mut header = Self {
            codec,
            old_records,
            operations,
            plain_len,
            reference: REFERENCES[0],
            table_bits: *TABLE_BITS.start(),
        };
        if codec == Codec::Mixed {
            let reference = r.byte("segment reference")?;
            let neighbours = reference & !WHOLE;
            at_most("segment neighbours", neighbours.into(), MAX_NEIGHBOURS.into())?;
            header.reference = Reference { neighbours, whole: reference & WHOLE != 0 };
            header.table_bits = r.byte("segment table")?;
            if !TABLE_BITS.contains(&header.table_bits) {
                return Err(invalid("segment table", header.table_bits.into()));
            }
        }
        Ok(header)
    }
}

/// Unpacks a segment, one operation at a time.
#[derive(Debug)]
pub struct Unpacker {
    header: Header,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Plain { ops: alloc::vec::IntoIter<Op>, last: Option<(u64, Vec<u8>)> },
    Mixed(alloc::boxed::Box<Pass<Decoder>>),
}

impl Unpacker {
    /// Reads the header and the places; of a segment that is not predicted, everything.
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = Reader::with_magic(bytes, MAGIC, "segment", MAX_OBJECT_LEN)?;
        let header = Header::read(&mut rest)?;
        let source = match header.codec {
            Codec::Plain => {
                Source::Plain { ops: read_plain(rest, &header)?.into_iter(), last: None }
            }
            Codec::Mixed => {
                let text = Text::new(Decoder::new(rest.rest().to_vec()), header.table_bits.into());
                let mut pass = Pass::new(&header, text);
                pass.places(None)?;
                Source::Mixed(pass.into())
            }
        };
        Ok(Self { header, source })
    }

    /// How many records the range had: what [`OldRecords::count`] must say.
    pub fn old_records(&self) -> u64 {
        self.header.old_records
    }

    /// How many operations there are.
    pub fn operations(&self) -> usize {
        self.header.operations
    }

    /// Bytes of new keys and values.
    pub fn plain_len(&self) -> u64 {
        self.header.plain_len
    }

    /// The ranks of all old records that [`Self::advance`] may ask for, and of those that are
    /// deleted, ascending. Call it before.
    pub fn ranks(&self) -> Vec<u64> {
        let (places, reference) = match &self.source {
            Source::Plain { ops, .. } => {
                (ops.as_slice().iter().map(Place::of).collect(), self.header.reference)
            }
            Source::Mixed(pass) => (pass.places.clone(), pass.reference),
        };
        ranks(&places, reference, self.header.old_records).into_iter().collect()
    }

    /// Shows the model some of the old records that the segment refers to, in a bounded step (4 KiB
    /// at the pace of an operation's text); whether that was the last of them. [`Self::advance`]
    /// does at once what is left.
    pub fn learn(&mut self, old: &(impl OldRecords + ?Sized)) -> Result<bool, Error> {
        self.check_count(old)?;
        match &mut self.source {
            Source::Plain { .. } => Ok(true),
            Source::Mixed(pass) => pass.learn(old),
        }
    }

    fn check_count(&self, old: &(impl OldRecords + ?Sized)) -> Result<(), Error> {
        if old.count() == self.header.old_records {
            return Ok(());
        }
        Err(invalid("old records", old.count()))
    }

    /// The next operation; `None` after the last.
    ///
    /// # Errors
    ///
    /// A fault of the format, for bytes that no publisher packed against these old records.
    pub fn advance(&mut self, old: &(impl OldRecords + ?Sized)) -> Result<Option<Op>, Error> {
        while !self.learn(old)? {}
        let pass = match &mut self.source {
            Source::Plain { ops, last } => {
                let op = ops.next();
                if let Some(op) = &op {
                    check_neighbours(op, old, last)?;
                }
                return Ok(op);
            }
            Source::Mixed(pass) => pass,
        };
        let op = pass.operation(old, None)?;
        let coder = &pass.text.model.coder;
        if coder.is_over() {
            return Err(FormatError::Truncated { field: "segment" }.into());
        }
        if op.is_none() {
            at_most("segment plain length", pass.plain_left, 0)?;
            if !coder.is_whole() {
                return Err(FormatError::Trailing { field: "segment" }.into());
            }
        }
        Ok(op)
    }
}

fn read_plain(mut rest: Reader<'_>, header: &Header) -> Result<Vec<Op>, Error> {
    let (mut ops, mut at, mut plain_left) = (Vec::new(), 0u64, header.plain_len);
    for _ in 0..header.operations {
        let place = rest.number("segment place", MAX_NUMBER)?;
        let rank = at + (place >> 2);
        let op = match place & 3 {
            0 => Op::Update { rank, value: rest.bytes("value", MAX_VALUE_LEN)?.to_vec() },
            1 => Op::Delete { rank },
            2 => {
                let key = rest.bytes("key", MAX_KEY_LEN)?.to_vec();
                let value = rest.bytes("value", MAX_VALUE_LEN)?.to_vec();
                Op::Insert { rank, key, value }
            }
            other => return Err(invalid("segment action", other)),
        };
        at = Place::of(&op).next();
        if at > header.old_records {
            return Err(invalid("segment rank", rank));
        }
        plain_left = plain_left
            .checked_sub(op.plain_len())
            .ok_or(invalid("segment plain length", header.plain_len))?;
        ops.push(op);
    }
    at_most("segment plain length", plain_left, 0)?;
    rest.finish("segment")?;
    Ok(ops)
}

/// An inserted key stands strictly between its neighbours.
fn check_neighbours(
    op: &Op,
    old: &(impl OldRecords + ?Sized),
    last: &mut Option<(u64, Vec<u8>)>,
) -> Result<(), Error> {
    let Op::Insert { rank, key, .. } = op else { return Ok(()) };
    let held = last.take().filter(|(at, _)| at == rank);
    let before = match (&held, rank.checked_sub(1)) {
        (Some((_, key)), _) => Some(key.as_slice()),
        (None, Some(before)) => Some(record(old, before)?.0),
        (None, None) => None,
    };
    let after = if *rank < old.count() { Some(record(old, *rank)?.0) } else { None };
    if before.is_some_and(|before| before >= key.as_slice())
        || after.is_some_and(|after| key.as_slice() >= after)
    {
        return Err(FormatError::Order { field: "inserted keys" }.into());
    }
    *last = Some((*rank, key.clone()));
    Ok(())
}

pub(super) fn invalid(field: &'static str, value: u64) -> Error {
    FormatError::Invalid { field, value }.into()
}
