//! The one path of encoder and decoder through a mixed segment: places, then the reference, then
//! the text of each operation.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::coder::BitCoder;
use super::ops::{OldRecords, Op};
use super::segment::{Header, invalid};
use super::text::{Kind, Text};
use crate::codec::at_most;
use crate::error::{Error, FormatError};
use crate::limits::{MAX_KEY_LEN, MAX_SEGMENT_REFERENCE_LEN, MAX_VALUE_LEN};

/// Most neighbours on each side of an insertion that the model learns from.
pub(super) const MAX_NEIGHBOURS: u8 = 32;
/// How much of them it learns from, in bytes.
pub(super) const LEARN_LEN: usize = 192 << 10;
/// How much of that in one step.
pub const LEARN_STEP: usize = 4 << 10;

/// The old records that new text is predicted from, besides the one that it takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// So many records on each side of each insertion.
    pub(super) neighbours: u8,
    /// All records of the range.
    pub(super) whole: bool,
}

/// What an operation does, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rank: u64,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Update = 0,
    Delete = 1,
    Insert = 2,
}

impl Place {
    pub(super) fn of(op: &Op) -> Self {
        let action = match op {
            Op::Update { .. } => Action::Update,
            Op::Delete { .. } => Action::Delete,
            Op::Insert { .. } => Action::Insert,
        };
        Self { rank: op.rank(), action }
    }

    /// The lowest rank that the next operation may have.
    pub(super) fn next(self) -> u64 {
        match self.action {
            Action::Insert => self.rank,
            Action::Update | Action::Delete => self.rank + 1,
        }
    }
}

/// How far the model has come with the reference.
#[derive(Debug)]
enum Lesson {
    Begin,
    /// All records of the range are noted, from this rank on.
    Note {
        rank: u64,
        left: usize,
    },
    /// These ranks are learnt, as long as there are bytes left.
    Learn {
        ranks: alloc::vec::IntoIter<u64>,
        left: usize,
    },
    Done,
}

/// The one path of encoder and decoder through a mixed segment.
#[derive(Debug)]
pub(super) struct Pass<C> {
    pub(super) text: Text<C>,
    old_records: u64,
    operations: usize,
    pub(super) reference: Reference,
    pub(super) plain_left: u64,
    pub(super) places: Vec<Place>,
    lesson: Lesson,
    done: usize,
    /// The last insertion, which the next one at the same rank stands after.
    inserted: Option<(u64, Vec<u8>, Vec<u8>)>,
}

impl<C: BitCoder> Pass<C> {
    pub(super) fn new(header: &Header, text: Text<C>) -> Self {
        Self {
            text,
            old_records: header.old_records,
            operations: header.operations,
            reference: header.reference,
            plain_left: header.plain_len,
            places: Vec::new(),
            lesson: Lesson::Begin,
            done: 0,
            inserted: None,
        }
    }

    /// Codes all places, or finds them.
    pub(super) fn places(&mut self, given: Option<&[Place]>) -> Result<(), Error> {
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

    /// Shows the model some of the reference; whether that was the last of it.
    pub(super) fn learn(&mut self, old: &(impl OldRecords + ?Sized)) -> Result<bool, Error> {
        let mut step = LEARN_STEP;
        loop {
            let spent = match &mut self.lesson {
                Lesson::Begin => {
                    self.lesson = Lesson::Note { rank: 0, left: MAX_SEGMENT_REFERENCE_LEN };
                    0
                }
                Lesson::Note { rank, left } if self.reference.whole && *rank < self.old_records => {
                    let (key, value) = record(old, *rank)?;
                    let len = key.len() + value.len() + 2;
                    *left = left.checked_sub(len).ok_or(invalid("segment reference", *rank))?;
                    *rank += 1;
                    self.text.note(key);
                    self.text.note(value);
                    // Noting costs a fraction of learning.
                    len / 16
                }
                Lesson::Note { .. } => {
                    let ranks = neighbours(&self.places, self.reference, self.old_records);
                    let ranks: Vec<u64> = ranks.into_iter().collect();
                    self.lesson = Lesson::Learn { ranks: ranks.into_iter(), left: LEARN_LEN };
                    0
                }
                Lesson::Learn { ranks, left } => {
                    let next = match ranks.next() {
                        Some(rank) => Some((rank, record(old, rank)?)),
                        None => None,
                    };
                    let len = next.map_or(0, |(_, (key, value))| key.len() + value.len());
                    match (next, left.checked_sub(len)) {
                        (Some((rank, _)), Some(rest)) => {
                            *left = rest;
                            self.learn_record(old, rank)?;
                        }
                        (None, _) | (_, None) => self.lesson = Lesson::Done,
                    }
                    len
                }
                Lesson::Done => return Ok(true),
            };
            step = match step.checked_sub(spent) {
                Some(rest) => rest,
                None => return Ok(false),
            };
        }
    }

    /// Codes a record that is known, beside those around it.
    fn learn_record(&mut self, old: &(impl OldRecords + ?Sized), rank: u64) -> Result<(), Error> {
        let (key, value) = record(old, rank)?;
        let (before, beside) = match rank.checked_sub(1) {
            Some(before) => record(old, before)?,
            None => (&[][..], &[][..]),
        };
        let after = if rank + 1 < self.old_records { record(old, rank + 1)?.0 } else { &[] };
        self.text.model.learning = true;
        self.text.key(key, before, after, MAX_KEY_LEN);
        self.text.note_key(key);
        self.text.string(value, beside, Kind::Insert, MAX_VALUE_LEN);
        self.text.model.learning = false;
        Ok(())
    }

    /// Codes the next operation, or finds it.
    pub(super) fn operation(
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
pub(super) fn ranks(places: &[Place], reference: Reference, old_records: u64) -> BTreeSet<u64> {
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

pub(super) fn record(old: &(impl OldRecords + ?Sized), rank: u64) -> Result<(&[u8], &[u8]), Error> {
    old.record(rank).ok_or_else(|| invalid("old record", rank))
}
