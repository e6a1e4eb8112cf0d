//! Segments: the operations on one key range, as they travel (docs/spec/delta.md).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::coder::{BitCoder, Decoder, Encoder};
use super::ops::{OldRecords, Op};
use super::text::{Kind, Text};
use crate::codec::{Reader, Writer, at_most};
use crate::error::{Error, FormatError, Misuse};
use crate::limits::{
    MAX_KEY_LEN, MAX_OBJECT_LEN, MAX_SEGMENT_OPERATIONS, MAX_SEGMENT_PLAIN_LEN,
    MAX_SEGMENT_REFERENCE_LEN, MAX_VALUE_LEN,
};

const MAGIC: &[u8; 4] = b"PKC1";

/// Most neighbours on each side of an insertion that the model learns from.
const MAX_NEIGHBOURS: u8 = 32;
/// How much of them it learns from, in bytes.
const LEARN_LEN: usize = 192 << 10;
/// The reference byte's bit for the whole range.
const WHOLE: u8 = 0x80;
/// Counters of the model, as a power of two: 64 KiB to 4 MiB.
const TABLE_BITS: core::ops::RangeInclusive<u8> = 14..=20;

/// What an encoder tries: the smallest wins.
const REFERENCES: [Reference; 4] = [
    Reference { neighbours: 0, whole: false },
    Reference { neighbours: 8, whole: false },
    Reference { neighbours: 8, whole: true },
    Reference { neighbours: 24, whole: false },
];

/// The old records that new text is predicted from, besides the one that it takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reference {
    /// So many records on each side of each insertion.
    neighbours: u8,
    /// All records of the range.
    whole: bool,
}

/// How the operations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    /// As they are.
    Plain = 0,
    /// Predicted and arithmetically coded.
    Mixed = 1,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    codec: Codec,
    old_records: u64,
    operations: usize,
    plain_len: u64,
    reference: Reference,
    table_bits: u8,
}

/// What an operation does, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    rank: u64,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Update = 0,
    Delete = 1,
    Insert = 2,
}

impl Place {
    fn of(op: &Op) -> Self {
        let action = match op {
            Op::Update { .. } => Action::Update,
            Op::Delete { .. } => Action::Delete,
            Op::Insert { .. } => Action::Insert,
        };
        Self { rank: op.rank(), action }
    }

    /// The lowest rank that the next operation may have.
    fn next(self) -> u64 {
        match self.action {
            Action::Insert => self.rank,
            Action::Update | Action::Delete => self.rank + 1,
        }
    }
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
    pass.learn(old)?;
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
        let old_records = r.number("old records", u64::MAX >> 8)?;
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

fn invalid(field: &'static str, value: u64) -> Error {
    FormatError::Invalid { field, value }.into()
}

/// The one path of encoder and decoder through a mixed segment.
#[derive(Debug)]
struct Pass<C> {
    text: Text<C>,
    old_records: u64,
    operations: usize,
    reference: Reference,
    plain_left: u64,
    places: Vec<Place>,
    done: usize,
    /// The last insertion, which the next one at the same rank stands after.
    inserted: Option<(u64, Vec<u8>, Vec<u8>)>,
}

impl<C: BitCoder> Pass<C> {
    fn new(header: &Header, text: Text<C>) -> Self {
        Self {
            text,
            old_records: header.old_records,
            operations: header.operations,
            reference: header.reference,
            plain_left: header.plain_len,
            places: Vec::new(),
            done: 0,
            inserted: None,
        }
    }

    /// Codes all places, or finds them.
    fn places(&mut self, given: Option<&[Place]>) -> Result<(), Error> {
        let (mut at, mut size, mut actions) = (0u64, 0u32, 0u32);
        for index in 0..self.operations {
            let (gap, action) = match given.and_then(|places| places.get(index)) {
                Some(place) => (place.rank - at, place.action as u64),
                None => (0, 0),
            };
            let gap = self.text.number(gap, 2, size.min(3) | actions << 8);
            let action = self.text.number(action, 3, actions | u32::from(gap == 0) << 4);
            let action = match action {
                0 => Action::Update,
                1 => Action::Delete,
                2 => Action::Insert,
                other => return Err(invalid("segment action", other)),
            };
            let rank = at.saturating_add(gap);
            let place = Place { rank, action };
            if rank > self.old_records || place.next() > self.old_records {
                return Err(invalid("segment rank", rank));
            }
            at = place.next();
            size = 64 - gap.leading_zeros();
            actions = (actions * 4 + action as u32) % 16;
            self.places.push(place);
        }
        Ok(())
    }

    /// Shows the model the reference.
    fn learn(&mut self, old: &(impl OldRecords + ?Sized)) -> Result<(), Error> {
        if self.reference.whole {
            let mut left = MAX_SEGMENT_REFERENCE_LEN;
            for rank in 0..self.old_records {
                let (key, value) = record(old, rank)?;
                let len = key.len() + value.len() + 2;
                left = left.checked_sub(len).ok_or(invalid("segment reference", rank))?;
                self.text.note(key);
                self.text.note(value);
            }
        }
        let mut left = LEARN_LEN;
        self.text.model.learning = true;
        for rank in neighbours(&self.places, self.reference, self.old_records) {
            let (key, value) = record(old, rank)?;
            match left.checked_sub(key.len() + value.len()) {
                Some(rest) => left = rest,
                None => break,
            }
            let (before, beside) = match rank.checked_sub(1) {
                Some(before) => record(old, before)?,
                None => (&[][..], &[][..]),
            };
            let after = if rank + 1 < self.old_records { record(old, rank + 1)?.0 } else { &[] };
            self.text.key(key, before, after, MAX_KEY_LEN);
            self.text.note_key(key);
            self.text.string(value, beside, Kind::Insert, MAX_VALUE_LEN);
        }
        self.text.model.learning = false;
        Ok(())
    }

    /// Codes the next operation, or finds it.
    fn operation(
        &mut self,
        old: &(impl OldRecords + ?Sized),
        given: Option<&Op>,
    ) -> Result<Option<Op>, Error> {
        let Some(Place { rank, action }) = self.places.get(self.done).copied() else {
            return Ok(None);
        };
        self.done += 1;
        let op = match action {
            Action::Delete => Op::Delete { rank },
            Action::Update => {
                let new: &[u8] = match given {
                    Some(Op::Update { value, .. }) => value,
                    Some(Op::Delete { .. } | Op::Insert { .. }) | None => &[],
                };
                let (key, was) = record(old, rank)?;
                self.text.note_key(key);
                let value = self.value(new, was, Kind::Update)?;
                Op::Update { rank, value }
            }
            Action::Insert => self.insertion(old, rank, given)?,
        };
        Ok(Some(op))
    }

    fn insertion(
        &mut self,
        old: &(impl OldRecords + ?Sized),
        rank: u64,
        given: Option<&Op>,
    ) -> Result<Op, Error> {
        let (new_key, new_value): (&[u8], &[u8]) = match given {
            Some(Op::Insert { key, value, .. }) => (key, value),
            Some(Op::Delete { .. } | Op::Update { .. }) | None => (&[], &[]),
        };
        let last = self.inserted.take().filter(|(at, ..)| *at == rank);
        let (before, beside) = match (&last, rank.checked_sub(1)) {
            (Some((_, key, value)), _) => (key.as_slice(), value.as_slice()),
            (None, Some(before)) => record(old, before)?,
            (None, None) => (&[][..], &[][..]),
        };
        let after = if rank < self.old_records { Some(record(old, rank)?.0) } else { None };
        let most = self.most(MAX_KEY_LEN);
        let key = self.text.key(new_key, before, after.unwrap_or(&[]), most);
        self.spend(key.len(), most)?;
        let first = last.is_none() && rank == 0;
        if (!first && key.as_slice() <= before)
            || after.is_some_and(|after| key.as_slice() >= after)
        {
            return Err(FormatError::Order { field: "inserted keys" }.into());
        }
        self.text.note_key(&key);
        let value = self.value(new_value, beside, Kind::Insert)?;
        self.inserted = Some((rank, key.clone(), value.clone()));
        Ok(Op::Insert { rank, key, value })
    }

    fn value(&mut self, new: &[u8], old: &[u8], kind: Kind) -> Result<Vec<u8>, Error> {
        let most = self.most(MAX_VALUE_LEN);
        let value = self.text.string(new, old, kind, most);
        self.spend(value.len(), most)?;
        Ok(value)
    }

    fn most(&self, bound: usize) -> usize {
        usize::try_from(self.plain_left).unwrap_or(bound).min(bound)
    }

    fn spend(&mut self, len: usize, most: usize) -> Result<(), Error> {
        at_most("segment plain length", len as u64, most as u64)?;
        self.plain_left -= len as u64;
        Ok(())
    }
}

/// The ranks that the reference and the operations look at, ascending.
fn ranks(places: &[Place], reference: Reference, old_records: u64) -> BTreeSet<u64> {
    if reference.whole {
        return (0..old_records).collect();
    }
    let learnt = neighbours(places, reference, old_records);
    // A neighbour is learnt beside those around it.
    let mut ranks: BTreeSet<u64> =
        learnt.iter().flat_map(|rank| rank.saturating_sub(1)..rank + 2).collect();
    for place in places {
        match place.action {
            // Of a deletion the key alone is of use, to whoever applies it.
            Action::Update | Action::Delete => ranks.extend([place.rank]),
            Action::Insert => ranks.extend(place.rank.saturating_sub(1)..place.rank + 1),
        }
    }
    ranks.retain(|rank| *rank < old_records);
    ranks
}

/// The ranks of the records around insertions, ascending.
fn neighbours(places: &[Place], reference: Reference, old_records: u64) -> BTreeSet<u64> {
    let reach = u64::from(reference.neighbours);
    let inserts = places.iter().filter(|place| place.action == Action::Insert);
    let around =
        |place: &Place| place.rank.saturating_sub(reach)..(place.rank + reach).min(old_records);
    inserts.flat_map(around).collect()
}

fn record(old: &(impl OldRecords + ?Sized), rank: u64) -> Result<(&[u8], &[u8]), Error> {
    old.record(rank).ok_or_else(|| invalid("old record", rank))
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
    Mixed { pass: alloc::boxed::Box<Pass<Decoder>>, learnt: bool },
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
                Source::Mixed { pass: pass.into(), learnt: false }
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
            Source::Mixed { pass, .. } => (pass.places.clone(), pass.reference),
        };
        ranks(&places, reference, self.header.old_records).into_iter().collect()
    }

    /// The next operation; `None` after the last.
    ///
    /// # Errors
    ///
    /// A fault of the format, for bytes that no publisher packed against these old records.
    pub fn advance(&mut self, old: &(impl OldRecords + ?Sized)) -> Result<Option<Op>, Error> {
        if old.count() != self.header.old_records {
            return Err(invalid("old records", old.count()));
        }
        let (pass, learnt) = match &mut self.source {
            Source::Plain { ops, last } => {
                let op = ops.next();
                if let Some(op) = &op {
                    check_neighbours(op, old, last)?;
                }
                return Ok(op);
            }
            Source::Mixed { pass, learnt } => (pass, learnt),
        };
        if !core::mem::replace(learnt, true) {
            pass.learn(old)?;
        }
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
        let place = rest.number("segment place", u64::MAX >> 8)?;
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
