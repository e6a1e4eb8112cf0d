//! Records in key order, wherever they come from: sorted input, an earlier version, or an earlier
//! version with operations over it.

use std::cmp::Ordering;

use crate::failure::Result;
use crate::sort::{Records, Sorted, SourceRecord};

/// Records in key order, read one after the other.
pub trait Stream {
    /// Goes to the next record; false after the last.
    fn advance(&mut self) -> Result<bool>;

    /// The record's key.
    fn key(&self) -> &[u8];

    /// The record's value.
    fn value(&self) -> &[u8];
}

/// Records that can be read any number of times.
pub trait Content: Sync {
    /// Reads them from the first on.
    fn stream(&self) -> Result<Box<dyn Stream + '_>>;

    /// About how many there are, for progress.
    fn count_hint(&self) -> u64;
}

struct SortedStream<'a> {
    records: Records<'a>,
    at: SourceRecord,
}

impl Stream for SortedStream<'_> {
    fn advance(&mut self) -> Result<bool> {
        let Some(record) = self.records.advance()? else { return Ok(false) };
        self.at = record;
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        &self.at.key
    }

    fn value(&self) -> &[u8] {
        &self.at.value
    }
}

impl Content for Sorted {
    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        Ok(Box::new(SortedStream { records: self.read()?, at: SourceRecord::default() }))
    }

    fn count_hint(&self) -> u64 {
        self.len()
    }
}

/// No records at all.
pub struct Nothing;

impl Stream for Nothing {
    fn advance(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        &[]
    }

    fn value(&self) -> &[u8] {
        &[]
    }
}

/// How a key's record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Both sides have it, with one value.
    Same,
    /// Both sides have it, with two values.
    Update,
    /// The old side alone has it.
    Delete,
    /// The new side alone has it.
    Insert,
}

/// Two streams side by side, key by key.
pub struct Differ<'a> {
    old: Box<dyn Stream + 'a>,
    new: Box<dyn Stream + 'a>,
    has_old: bool,
    has_new: bool,
    last: Option<Step>,
}

impl<'a> Differ<'a> {
    /// Compares from the first key on.
    pub fn new(mut old: Box<dyn Stream + 'a>, mut new: Box<dyn Stream + 'a>) -> Result<Self> {
        let (has_old, has_new) = (old.advance()?, new.advance()?);
        Ok(Self { old, new, has_old, has_new, last: None })
    }

    /// The next key of either side, in order.
    pub fn advance(&mut self) -> Result<Option<Step>> {
        if matches!(self.last, Some(Step::Same | Step::Update | Step::Delete)) {
            self.has_old = self.old.advance()?;
        }
        if matches!(self.last, Some(Step::Same | Step::Update | Step::Insert)) {
            self.has_new = self.new.advance()?;
        }
        self.last = match (self.has_old, self.has_new) {
            (false, false) => None,
            (true, false) => Some(Step::Delete),
            (false, true) => Some(Step::Insert),
            (true, true) => Some(match self.old.key().cmp(self.new.key()) {
                Ordering::Less => Step::Delete,
                Ordering::Greater => Step::Insert,
                Ordering::Equal if self.old.value() == self.new.value() => Step::Same,
                Ordering::Equal => Step::Update,
            }),
        };
        Ok(self.last)
    }

    /// The old side's record; not of an insertion.
    pub fn old(&self) -> (&[u8], &[u8]) {
        (self.old.key(), self.old.value())
    }

    /// The new side's record; not of a deletion.
    pub fn new_record(&self) -> (&[u8], &[u8]) {
        (self.new.key(), self.new.value())
    }
}
