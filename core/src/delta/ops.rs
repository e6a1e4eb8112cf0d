//! Operations on sorted records, addressed by rank in the old order.

use alloc::vec::Vec;

use crate::limits::MAX_SEGMENT_OPERATIONS;

/// One operation. Ranks count the records of the range as it was, from 0.
///
/// Operations stand in key order: by rank, and at one rank insertions before the operation on the
/// record of that rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The record of this rank has another value.
    Update {
        /// Which record.
        rank: u64,
        /// Its value from now on.
        value: Vec<u8>,
    },
    /// The record of this rank is gone.
    Delete {
        /// Which record.
        rank: u64,
    },
    /// A new record stands before the one of this rank.
    Insert {
        /// The rank of the next record, or how many there are.
        rank: u64,
        /// The new key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
}

impl Op {
    /// The rank it is addressed by.
    pub fn rank(&self) -> u64 {
        match self {
            Self::Update { rank, .. } | Self::Delete { rank } | Self::Insert { rank, .. } => *rank,
        }
    }

    /// The same operation, its rank counted from this one.
    fn counted_from(self, first: u64) -> Self {
        match self {
            Self::Update { rank, value } => Self::Update { rank: rank - first, value },
            Self::Delete { rank } => Self::Delete { rank: rank - first },
            Self::Insert { rank, key, value } => Self::Insert { rank: rank - first, key, value },
        }
    }

    /// Bytes of new keys and values.
    pub fn plain_len(&self) -> u64 {
        match self {
            Self::Update { value, .. } => value.len() as u64,
            Self::Delete { .. } => 0,
            Self::Insert { key, value, .. } => (key.len() + value.len()) as u64,
        }
    }
}

/// The records of a key range as they were.
pub trait OldRecords {
    /// How many there are.
    fn count(&self) -> u64;

    /// Key and value of a rank; `None` past the end, or where the record is not at hand.
    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])>;
}

impl OldRecords for [(Vec<u8>, Vec<u8>)] {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])> {
        let (key, value) = self.get(usize::try_from(rank).ok()?)?;
        Some((key, value))
    }
}

/// The operations from one sorted list of records to another.
pub fn diff(old: &(impl OldRecords + ?Sized), new: &(impl OldRecords + ?Sized)) -> Vec<Op> {
    let (mut at, mut ops) = (0, Vec::new());
    let mut next = 0;
    loop {
        let (was, is) = (old.record(at), new.record(next));
        let order = match (was, is) {
            (None, None) => return ops,
            (Some(_), None) => core::cmp::Ordering::Less,
            (None, Some(_)) => core::cmp::Ordering::Greater,
            (Some((was, _)), Some((is, _))) => was.cmp(is),
        };
        match (order, was, is) {
            (core::cmp::Ordering::Less, _, _) => {
                ops.push(Op::Delete { rank: at });
                at += 1;
            }
            (core::cmp::Ordering::Greater, _, Some((key, value))) => {
                ops.push(Op::Insert { rank: at, key: key.to_vec(), value: value.to_vec() });
                next += 1;
            }
            (core::cmp::Ordering::Equal, Some((_, was)), Some((_, is))) => {
                if was != is {
                    ops.push(Op::Update { rank: at, value: is.to_vec() });
                }
                at += 1;
                next += 1;
            }
            (core::cmp::Ordering::Greater | core::cmp::Ordering::Equal, _, _) => return ops,
        }
    }
}

/// The operations on a key range, and the old records that they count from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first key of the range; the range goes on to the next piece's first key, or to the end.
    pub start: Vec<u8>,
    /// The first old record of the range.
    pub first_rank: u64,
    /// How many old records the range has.
    pub old_records: u64,
    /// The operations, their ranks counted from the range's first record.
    pub ops: Vec<Op>,
}

/// Old records in part: those of one piece.
#[derive(Clone, Copy, Debug)]
pub struct PieceRecords<'a, O: ?Sized> {
    /// All of them.
    pub old: &'a O,
    /// The first of the piece.
    pub first_rank: u64,
    /// How many.
    pub count: u64,
}

impl<O: OldRecords + ?Sized> OldRecords for PieceRecords<'_, O> {
    fn count(&self) -> u64 {
        self.count
    }

    fn record(&self, rank: u64) -> Option<(&[u8], &[u8])> {
        if rank < self.count { self.old.record(self.first_rank + rank) } else { None }
    }
}

/// Cuts operations into pieces of at most `plain_target` new bytes (one operation more may pass
/// it) and as many operations as a segment holds. The first piece begins at the first key there
/// is, the last one ends with the last.
pub fn split(old: &(impl OldRecords + ?Sized), ops: Vec<Op>, plain_target: u64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open = Piece { start: Vec::new(), first_rank: 0, old_records: 0, ops: Vec::new() };
    let mut plain = 0;
    for op in ops {
        let full =
            plain + op.plain_len() > plain_target || open.ops.len() >= MAX_SEGMENT_OPERATIONS;
        if full && !open.ops.is_empty() {
            let rank = op.rank();
            let start = match &op {
                Op::Insert { key, .. } => key.clone(),
                Op::Update { .. } | Op::Delete { .. } => {
                    old.record(rank).map_or_else(Vec::new, |(key, _)| key.to_vec())
                }
            };
            open.old_records = rank - open.first_rank;
            pieces.push(open);
            open = Piece { start, first_rank: rank, old_records: 0, ops: Vec::new() };
            plain = 0;
        }
        plain += op.plain_len();
        open.ops.push(op.counted_from(open.first_rank));
    }
    open.old_records = old.count() - open.first_rank;
    if !open.ops.is_empty() {
        pieces.push(open);
    }
    pieces
}
