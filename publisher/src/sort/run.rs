//! Runs: sorted records in memory or in a spill file.
//!
//! A spill file is private to this process and deleted with its directory; its format is lengths
//! and bytes, and it is never read by another version.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::PathBuf;

use super::{SourceRecord, spill_error};
use crate::failure::{Failure, Result};

/// Records in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    key_len: u32,
    value_len: u32,
    line: u64,
}

impl Buffer {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], line: u64) -> Result<()> {
        let too_long = |_| Failure::input("a record is longer than 4 GiB");
        let entry = Entry {
            start: self.bytes.len(),
            key_len: u32::try_from(key.len()).map_err(too_long)?,
            value_len: u32::try_from(value.len()).map_err(too_long)?,
            line,
        };
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        let order = |entry: &Entry| (key_of(bytes, entry), entry.line);
        self.entries.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    }

    pub(super) fn write_to(&self, writer: &mut RunWriter) -> Result<()> {
        for entry in &self.entries {
            let key = key_of(&self.bytes, entry);
            writer.push(key, value_of(&self.bytes, entry), entry.line)?;
        }
        Ok(())
    }

    fn record(&self, at: usize) -> Option<SourceRecord> {
        let entry = self.entries.get(at)?;
        Some(SourceRecord {
            key: key_of(&self.bytes, entry).to_vec(),
            value: value_of(&self.bytes, entry).to_vec(),
            line: entry.line,
        })
    }
}

fn key_of<'a>(bytes: &'a [u8], entry: &Entry) -> &'a [u8] {
    &bytes[entry.start..entry.start + entry.key_len as usize]
}

fn value_of<'a>(bytes: &'a [u8], entry: &Entry) -> &'a [u8] {
    let start = entry.start + entry.key_len as usize;
    &bytes[start..start + entry.value_len as usize]
}

/// A run in a spill file.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
}

impl Run {
    pub(super) fn create(path: PathBuf) -> Result<RunWriter> {
        let file = File::create_new(&path).map_err(spill_error)?;
        Ok(RunWriter { path, out: BufWriter::with_capacity(1 << 18, file) })
    }

    pub(super) fn open(&self) -> Result<Source<'static>> {
        let file = File::open(&self.path).map_err(spill_error)?;
        Ok(Source::File(BufReader::with_capacity(1 << 17, file)))
    }

    pub(super) fn delete(self) {
        // A file that stays goes with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes a spill file.
pub(super) struct RunWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl RunWriter {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], line: u64) -> Result<()> {
        let mut header = [0u8; 24];
        header[..8].copy_from_slice(&(key.len() as u64).to_le_bytes());
        header[8..16].copy_from_slice(&(value.len() as u64).to_le_bytes());
        header[16..].copy_from_slice(&line.to_le_bytes());
        self.out.write_all(&header).map_err(spill_error)?;
        self.out.write_all(key).map_err(spill_error)?;
        self.out.write_all(value).map_err(spill_error)
    }

    pub(super) fn finish(mut self) -> Result<Run> {
        self.out.flush().map_err(spill_error)?;
        Ok(Run { path: self.path })
    }
}

/// Where a merge reads one run from.
pub(super) enum Source<'a> {
    File(BufReader<File>),
    Memory { buffer: &'a Buffer, at: usize },
}

impl<'a> Source<'a> {
    pub(super) fn memory(buffer: &'a Buffer) -> Self {
        Self::Memory { buffer, at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<SourceRecord>> {
        match self {
            Self::File(file) => read_record(file),
            Self::Memory { buffer, at } => {
                *at += 1;
                Ok(buffer.record(*at - 1))
            }
        }
    }
}

fn read_record(file: &mut BufReader<File>) -> Result<Option<SourceRecord>> {
    let mut header = [0u8; 24];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(spill_error(error)),
    }
    let word = |at: usize| {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let mut take = |len: u64| -> Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| Failure::internal("a spill file is damaged"))?;
        let mut bytes = vec![0u8; len];
        file.read_exact(&mut bytes).map_err(spill_error)?;
        Ok(bytes)
    };
    Ok(Some(SourceRecord { key: take(word(0))?, value: take(word(8))?, line: word(16) }))
}
