//! The k-way merge of runs, by key and then by line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::SourceRecord;
use super::run::{Buffer, Run, Source};
use crate::failure::Result;

/// A merge in progress: the next record of every source that has one.
pub(super) struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(SourceRecord, usize)>>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(runs: &[Run], tail: Option<&'a Buffer>) -> Result<Self> {
        let mut sources = Vec::new();
        for run in runs {
            sources.push(run.open()?);
        }
        sources.extend(tail.map(Source::memory));
        let mut merge = Self { sources, heads: BinaryHeap::new() };
        for at in 0..merge.sources.len() {
            merge.refill(at)?;
        }
        Ok(merge)
    }

    pub(super) fn next(&mut self) -> Result<Option<SourceRecord>> {
        let Some(Reverse((record, at))) = self.heads.pop() else { return Ok(None) };
        self.refill(at)?;
        Ok(Some(record))
    }

    fn refill(&mut self, at: usize) -> Result<()> {
        if let Some(record) = self.sources[at].next()? {
            self.heads.push(Reverse((record, at)));
        }
        Ok(())
    }
}
