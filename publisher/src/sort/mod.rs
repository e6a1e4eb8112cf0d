//! An external merge sort: any number of records in bounded memory.
//!
//! Records collect in a buffer; a full buffer is sorted and spilled as a run; the runs are merged
//! as they are read, as often as asked. The order is by key and then by position, so the result
//! does not depend on the order of the input. In scope: sorting, and finding duplicate keys. Out
//! of scope: where records come from (`reader`).

mod merge;
mod run;

use crate::failure::{Failure, Result, on_temporary};
use crate::scratch::Scratch;
use run::{Buffer, Run};

/// Memory for records before they spill.
pub const MEMORY_BYTES: usize = 64 << 20;
/// How many runs are merged at once; more are merged in steps, so that open files stay few.
const FAN_IN: usize = 64;

/// What the places of an input are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Lines of a file, from 1.
    Line,
    /// Rows of a query, from 1.
    Row,
    /// The row ids of a table, which may be negative.
    RowId,
    /// Files of a directory, from 1.
    File,
}

impl Unit {
    /// A place for people.
    pub fn show(self, place: u64) -> String {
        match self {
            Self::Line => format!("line {place}"),
            Self::Row => format!("row {place}"),
            Self::RowId => format!("rowid {}", place.cast_signed()),
            Self::File => format!("file {place}"),
        }
    }
}

/// A record and the place it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceRecord {
    /// The key.
    pub key: Vec<u8>,
    /// The place in its input: a line, a row, a file.
    pub line: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// Takes records in any order.
#[derive(Debug)]
pub struct Sorter {
    dir: Scratch,
    memory: usize,
    buffer: Buffer,
    /// Runs by how often their records were merged: each level has at most [`FAN_IN`].
    levels: Vec<Vec<Run>>,
    next_file: u64,
    records: u64,
    unit: Unit,
}

impl Sorter {
    /// A sorter that spills into a directory of its own under `parent`.
    pub fn new(parent: &std::path::Path, memory: usize, unit: Unit) -> Result<Self> {
        let dir = Scratch::new(parent, "sort-")?;
        Ok(Self {
            dir,
            memory,
            buffer: Buffer::default(),
            levels: Vec::new(),
            next_file: 0,
            records: 0,
            unit,
        })
    }

    /// Takes a record in.
    pub fn push(&mut self, key: &[u8], value: &[u8], line: u64) -> Result<()> {
        self.buffer.push(key, value, line)?;
        self.records += 1;
        if self.buffer.memory() >= self.memory { self.spill() } else { Ok(()) }
    }

    /// Ends the input.
    pub fn finish(mut self) -> Result<Sorted> {
        self.buffer.sort();
        let runs = self.levels.into_iter().flatten().collect();
        let Self { dir, buffer: tail, records, unit, .. } = self;
        Ok(Sorted { dir, runs, tail, records, unit })
    }

    fn spill(&mut self) -> Result<()> {
        self.buffer.sort();
        let mut writer = Run::create(self.next_path())?;
        self.buffer.write_to(&mut writer)?;
        let run = writer.finish()?;
        self.buffer.clear();
        self.add(run, 0)
    }

    fn add(&mut self, run: Run, level: usize) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        if self.levels[level].len() < FAN_IN {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.levels[level]);
        let mut writer = Run::create(self.next_path())?;
        let mut merge = merge::Merge::new(&runs, None)?;
        while let Some(record) = merge.next()? {
            writer.push(&record.key, &record.value, record.line)?;
        }
        let merged = writer.finish()?;
        for run in runs {
            run.delete();
        }
        self.add(merged, level + 1)
    }

    fn next_path(&mut self) -> std::path::PathBuf {
        self.next_file += 1;
        self.dir.path().join(format!("run-{}", self.next_file))
    }
}

/// Sorted records that can be read any number of times. The spill files live as long as it does.
#[derive(Debug)]
pub struct Sorted {
    #[expect(dead_code, reason = "its drop deletes the spill files")]
    dir: Scratch,
    runs: Vec<Run>,
    tail: Buffer,
    records: u64,
    unit: Unit,
}

impl Sorted {
    /// How many records.
    pub fn len(&self) -> u64 {
        self.records
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many runs went to disk.
    pub fn spilled_runs(&self) -> usize {
        self.runs.len()
    }

    /// Reads all records in key order, those of one key in the order of their places.
    pub fn read_all(&self) -> Result<Unsifted<'_>> {
        Ok(Unsifted(merge::Merge::new(&self.runs, Some(&self.tail))?))
    }

    /// Reads all records in key order; two records of one key are an error.
    pub fn read(&self) -> Result<Records<'_>> {
        let merge = merge::Merge::new(&self.runs, Some(&self.tail))?;
        Ok(Records { merge, last: None, unit: self.unit })
    }
}

/// The records of one reading, a key as often as it came.
pub struct Unsifted<'a>(merge::Merge<'a>);

impl Unsifted<'_> {
    /// The next record; `None` after the last.
    pub fn advance(&mut self) -> Result<Option<SourceRecord>> {
        self.0.next()
    }
}

/// The records of one reading, in key order.
pub struct Records<'a> {
    merge: merge::Merge<'a>,
    last: Option<(Vec<u8>, u64)>,
    unit: Unit,
}

impl Records<'_> {
    /// The next record; `None` after the last.
    pub fn advance(&mut self) -> Result<Option<SourceRecord>> {
        let Some(record) = self.merge.next()? else { return Ok(None) };
        match &mut self.last {
            Some((key, line)) if *key == record.key => {
                return Err(duplicate(key, self.unit, *line, record.line));
            }
            Some((key, line)) => {
                key.clone_from(&record.key);
                *line = record.line;
            }
            None => self.last = Some((record.key.clone(), record.line)),
        }
        Ok(Some(record))
    }
}

fn duplicate(key: &[u8], unit: Unit, first: u64, second: u64) -> Failure {
    let key = crate::text::show_bytes(key);
    let (first, second) = (unit.show(first), unit.show(second));
    Failure::input(format!("duplicate key '{key}': {first} and {second}"))
        .next("remove one of the two, or add a field to 'key' that tells them apart")
}

/// An I/O error on a spill file.
fn spill_error(error: std::io::Error) -> Failure {
    on_temporary(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(records: &[(String, String)], memory: usize) -> Sorted {
        let dir = std::env::temp_dir();
        let mut sorter = Sorter::new(&dir, memory, Unit::Line).expect("a sorter");
        for (line, (key, value)) in records.iter().enumerate() {
            sorter.push(key.as_bytes(), value.as_bytes(), line as u64 + 1).expect("pushed");
        }
        sorter.finish().expect("sorted")
    }

    fn all(sorted: &Sorted) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records = sorted.read().expect("readable");
        let mut out = Vec::new();
        while let Some(record) = records.advance().expect("no duplicate") {
            out.push((record.key, record.value));
        }
        out
    }

    fn shuffled(count: u64) -> Vec<(String, String)> {
        // 7919 is coprime to every count used here, so each key comes once.
        (0..count)
            .map(|i| (i * 7919) % count)
            .map(|i| (format!("key-{i:06}"), format!("value of {i}")))
            .collect()
    }

    #[test]
    fn spilled_runs_give_the_same_records_as_memory() {
        let records = shuffled(20_000);
        let in_memory = sorted(&records, usize::MAX);
        assert_eq!(in_memory.spilled_runs(), 0);
        // So small a buffer makes more runs than one merge takes.
        let spilled = sorted(&records, 4096);
        assert!(spilled.spilled_runs() > 1);
        let expected = all(&in_memory);
        assert_eq!(expected.len(), 20_000);
        assert!(expected.is_sorted());
        assert_eq!(all(&spilled), expected);
        assert_eq!(all(&spilled), expected, "a second reading");
    }

    #[test]
    fn duplicates_are_found_across_runs_with_both_lines() {
        for memory in [usize::MAX, 4096] {
            let mut records = shuffled(2_000);
            records.push(("key-000700".into(), "again".into()));
            let first = records.iter().position(|r| r.0 == "key-000700").expect("there") + 1;
            let sorted = sorted(&records, memory);
            let mut reading = sorted.read().expect("readable");
            let error = loop {
                match reading.advance() {
                    Ok(record) => assert!(record.is_some(), "the duplicate was not found"),
                    Err(error) => break error,
                }
            };
            let expected = format!("duplicate key 'key-000700': line {first} and line 2001");
            assert_eq!(error.message, expected);
        }
    }

    #[test]
    fn nothing_sorts_to_nothing() {
        let empty = sorted(&[], usize::MAX);
        assert!(empty.is_empty());
        assert!(all(&empty).is_empty());
    }
}
