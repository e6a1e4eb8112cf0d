//! Operations on sorted records, addressed by rank in the old order.

use alloc::vec::Vec;

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
