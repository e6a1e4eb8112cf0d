//! Cuts the operations between two versions into pieces of a delta while the records stream by.
//!
//! What a piece is packed against is kept with it: the old records that its operations touch and
//! their neighbours, and all old records of its range while these are few. So memory is bounded
//! by one piece, whatever the size of the versions. The pieces are those of
//! [`packice_core::delta::split`].

use std::collections::{BTreeMap, VecDeque};

use packice_core::delta::{OldRecords, Op};
use packice_core::limits::{MAX_SEGMENT_OPERATIONS, MAX_SEGMENT_REFERENCE_LEN};

use super::content::{Differ, Step};
use crate::failure::Result;

/// New bytes of one segment: one operation more may pass it.
pub const SEGMENT_TARGET: u64 = 1 << 20;
/// Old records on each side of an insertion that are kept: more than a segment may learn from.
const REACH: usize = 40;

type Record = (Vec<u8>, Vec<u8>);

/// The operations on a key range, and the old records that they are packed against.
#[derive(Debug, Default)]
pub struct Piece {
    /// The first key of the range; empty for the first piece.
    pub start: Vec<u8>,
    /// The operations, their ranks counted from the range's first record.
    pub ops: Vec<Op>,
    /// Bytes of new keys and values.
    pub plain_len: u64,
    /// The old records.
    pub old: OldWindow,
}

/// The old records of a piece: all of them, or those that matter.
#[derive(Debug)]
pub struct OldWindow {
    count: u64,
    all: Option<Vec<Record>>,
    all_len: usize,
    kept: BTreeMap<u64, Record>,
    recent: VecDeque<Record>,
    /// So many of the next records are neighbours of an insertion.
    keep_next: usize,
}

impl Default for OldWindow {
    fn default() -> Self {
        Self {
            count: 0,
            all: Some(Vec::new()),
            all_len: 0,
            kept: BTreeMap::new(),
            recent: VecDeque::new(),
            keep_next: 0,
        }
    }
}

impl OldRecords for OldWindow {
    fn count(&self) -> u64 {
        self.count
    }

    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])> {
        let (key, value) = match &self.all {
            Some(all) => all.get(usize::try_from(rank).ok()?)?,
            None => self.kept.get(&rank)?,
        };
        Some((key, value))
    }
}

impl OldWindow {
    /// Takes the next old record in; `touched` ones stay.
    fn push(&mut self, key: &[u8], value: &[u8], touched: bool) {
        if let Some(all) = &mut self.all {
            self.all_len += key.len() + value.len() + 2;
            match self.all_len <= MAX_SEGMENT_REFERENCE_LEN {
                true => all.push((key.to_vec(), value.to_vec())),
                false => self.all = None,
            }
        }
        if touched || self.keep_next > 0 {
            self.kept.insert(self.count, (key.to_vec(), value.to_vec()));
        }
        self.keep_next = self.keep_next.saturating_sub(1);
        let mut slot = match self.recent.len() < REACH {
            true => Record::default(),
            false => self.recent.pop_front().unwrap_or_default(),
        };
        slot.0.clear();
        slot.0.extend_from_slice(key);
        slot.1.clear();
        slot.1.extend_from_slice(value);
        self.recent.push_back(slot);
        self.count += 1;
    }

    /// Keeps the neighbours of an insertion before the next old record.
    fn keep_around(&mut self) {
        let first = self.count - self.recent.len() as u64;
        for (rank, record) in (first..).zip(&self.recent) {
            self.kept.entry(rank).or_insert_with(|| record.clone());
        }
        self.keep_next = REACH;
    }
}

/// What an operation of a [`Differ`] is, with its values.
fn operation(differ: &Differ<'_>, step: Step, rank: u64) -> Option<Op> {
    match step {
        Step::Same => None,
        Step::Update => Some(Op::Update { rank, value: differ.new_record().1.to_vec() }),
        Step::Delete => Some(Op::Delete { rank }),
        Step::Insert => {
            let (key, value) = differ.new_record();
            Some(Op::Insert { rank, key: key.to_vec(), value: value.to_vec() })
        }
    }
}

/// Hands each piece on, in key order; the sink says whether it wants more.
pub fn cut(mut differ: Differ<'_>, sink: &mut dyn FnMut(Piece) -> Result<bool>) -> Result<()> {
    let mut open = Piece::default();
    while let Some(step) = differ.advance()? {
        if let Some(op) = operation(&differ, step, open.old.count) {
            let full = open.plain_len + op.plain_len() > SEGMENT_TARGET
                || open.ops.len() >= MAX_SEGMENT_OPERATIONS;
            let op = match full && !open.ops.is_empty() {
                false => op,
                true => {
                    let key = match step {
                        Step::Insert => differ.new_record().0,
                        Step::Same | Step::Update | Step::Delete => differ.old().0,
                    };
                    let next = Piece { start: key.to_vec(), ..Piece::default() };
                    if !sink(std::mem::replace(&mut open, next))? {
                        return Ok(());
                    }
                    at_start(op)
                }
            };
            open.plain_len += op.plain_len();
            open.ops.push(op);
        }
        match step {
            Step::Insert => open.old.keep_around(),
            Step::Same | Step::Update | Step::Delete => {
                let (key, value) = differ.old();
                open.old.push(key, value, step != Step::Same);
            }
        }
    }
    if !open.ops.is_empty() {
        sink(open)?;
    }
    Ok(())
}

/// The same operation as the first of a range.
fn at_start(op: Op) -> Op {
    match op {
        Op::Update { value, .. } => Op::Update { rank: 0, value },
        Op::Delete { .. } => Op::Delete { rank: 0 },
        Op::Insert { key, value, .. } => Op::Insert { rank: 0, key, value },
    }
}

#[cfg(test)]
mod tests {
    use packice_core::delta::{PieceRecords, diff, pack, split};

    use super::super::content::Stream;
    use super::*;

    struct List(Vec<Record>, usize);

    impl Stream for List {
        fn advance(&mut self) -> Result<bool> {
            self.1 += 1;
            Ok(self.1 <= self.0.len())
        }

        fn key(&self) -> &[u8] {
            &self.0[self.1 - 1].0
        }

        fn value(&self) -> &[u8] {
            &self.0[self.1 - 1].1
        }
    }

    fn record(i: u64, version: u64) -> Record {
        let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version.wrapping_mul(977);
        let len = usize::try_from(mixed % 300).unwrap_or(0);
        (format!("key-{i:08}").into_bytes(), format!("{mixed:x}").repeat(len / 16 + 1).into_bytes())
    }

    /// Streamed pieces pack to the same bytes as those of all records in memory.
    #[test]
    fn streamed_pieces_are_those_of_core() {
        for (count, changed) in [(300u64, 3u64), (12_000, 97)] {
            let old: Vec<Record> = (0..count).map(|i| record(2 * i, 0)).collect();
            let mut new = Vec::new();
            for (i, old) in (0..count).zip(&old) {
                match i % changed {
                    0 => new.push(record(2 * i, 1)),
                    1 => {}
                    2 => new.extend([old.clone(), record(2 * i + 1, 1)]),
                    _ => new.push(old.clone()),
                }
            }
            let ops = diff(old.as_slice(), new.as_slice());
            let expected: Vec<_> = split(old.as_slice(), ops, SEGMENT_TARGET)
                .into_iter()
                .map(|piece| {
                    let range = PieceRecords {
                        old: old.as_slice(),
                        first_rank: piece.first_rank,
                        count: piece.old_records,
                    };
                    (piece.start, pack(&range, &piece.ops).expect("packed"))
                })
                .collect();
            let mut streamed = Vec::new();
            let differ = Differ::new(Box::new(List(old, 0)), Box::new(List(new, 0)));
            cut(differ.expect("streams"), &mut |piece| {
                let packed = pack(&piece.old, &piece.ops).expect("packed");
                streamed.push((piece.start, packed));
                Ok(true)
            })
            .expect("cut");
            assert_eq!(streamed.len(), expected.len());
            assert!(streamed == expected, "{count} records, one of {changed} changed");
        }
    }
}
