//! Reads a collection's JSON lines into a sorter, hashing the bytes as they stand in the file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::config::Collection;
use crate::failure::{Failure, Result, on_file};
use crate::mapping::Row;
use crate::sort::{Sorted, Sorter};

/// Longest line that is read; a record of the greatest value, escaped, is well below it.
const MAX_LINE_LEN: u64 = 16 << 20;

/// What was read of a collection.
#[derive(Debug)]
pub struct Source {
    /// The records in key order.
    pub sorted: Sorted,
    /// BLAKE3 of the file.
    pub digest: [u8; 32],
    /// Bytes of the file.
    pub bytes: u64,
}

/// Reads and sorts a collection's input; `progress` hears the bytes read so far.
pub fn read_source(
    collection: &Collection,
    spill_dir: &Path,
    memory: usize,
    progress: &dyn Fn(u64),
) -> Result<Source> {
    let path = &collection.input;
    let file = File::open(path).map_err(on_file("read", path)).map_err(|failure| {
        failure.next(format!("check 'input' of collection '{}'", collection.name))
    })?;
    let mut input = BufReader::with_capacity(1 << 18, file);
    let mut sorter = Sorter::new(spill_dir, memory)?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0u64;
    let mut text = Vec::new();
    for line in 1u64.. {
        text.clear();
        let read = input.by_ref().take(MAX_LINE_LEN + 1).read_until(b'\n', &mut text);
        let len = read.map_err(on_file("read", path))? as u64;
        if len == 0 {
            break;
        }
        let at_line = |failure: Failure| failure.within(format!("{} line {line}", path.display()));
        if len > MAX_LINE_LEN {
            return Err(at_line(Failure::input("the line is longer than 16 MiB")));
        }
        hasher.update(&text);
        bytes += len;
        let content = strip(&text, line);
        if content.is_empty() {
            continue;
        }
        let row = Row::from_json(content).map_err(at_line)?;
        let (key, value) = collection.mapping.record(row).map_err(at_line)?;
        sorter.push(&key, &value, line)?;
        progress(bytes);
    }
    progress(bytes);
    Ok(Source { sorted: sorter.finish()?, digest: *hasher.finalize().as_bytes(), bytes })
}

/// A line without white space around it, and the first without a byte order mark.
fn strip(text: &[u8], line: u64) -> &[u8] {
    let text = match line {
        1 => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        _ => text,
    };
    text.trim_ascii()
}
