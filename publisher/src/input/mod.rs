//! Where a collection's records come from: JSON lines, CSV, SQLite, or a directory of files.
//!
//! Every format streams into the same sorter by the same mapping, so that the same records give
//! the same tree whatever they came from, in memory that does not grow with them. In scope:
//! reading, and errors that name the file, the place in it and the field. Out of scope: sorting
//! and duplicates (`sort`), what a field becomes (`mapping`). An input is the publisher's own, but
//! may be broken in any way: whatever cannot be read as it was meant is refused, never guessed.

mod csv;
mod directory;
mod jsonl;
mod settings;
mod sqlite;
mod stream;

use std::path::{Path, PathBuf};

use packice_core::types::Name;
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};
use crate::mapping::{Mapping, Row};
use crate::sort::{Sorted, Sorter, Unit};

pub use csv::CsvFormat;
pub use settings::Settings;
pub use sqlite::Select;

/// Longest record that is read; one with a value of the greatest size, escaped, is well below it.
const MAX_RECORD_LEN: usize = 16 << 20;

/// A checked input.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it stands.
    pub place: Place,
    /// How it is read.
    pub format: Format,
}

/// Where an input stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The standard input, `-`.
    Stdin,
    /// A file or a directory.
    Path(PathBuf),
}

/// How an input is read.
#[derive(Clone, Debug)]
pub enum Format {
    /// One JSON object on each line.
    JsonLines(Mapping),
    /// Lines of cells.
    Csv(CsvFormat, Mapping),
    /// Rows of a database.
    Sqlite(Select, Mapping),
    /// Each file is a record, or several.
    Directory,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// What was read of a collection.
#[derive(Debug)]
pub struct Source {
    /// The records in key order.
    pub sorted: Sorted,
    /// BLAKE3 of what was read: the file's bytes, the rows of a database, or the names, lengths
    /// and contents of a directory's files.
    pub digest: [u8; 32],
    /// Bytes that were read.
    pub bytes: u64,
}

impl Input {
    /// About how many bytes there are to read; 0 where that is not known.
    pub fn size_hint(&self) -> u64 {
        match (&self.place, &self.format) {
            (Place::Stdin, _) | (_, Format::Directory) => 0,
            (Place::Path(path), _) => path.metadata().map_or(0, |metadata| metadata.len()),
        }
    }

    /// Reads and sorts all records; `progress` hears the bytes read so far.
    pub fn read(
        &self,
        collection: &Name,
        spill_dir: &Path,
        memory: usize,
        progress: &dyn Fn(u64),
    ) -> Result<Source> {
        let intake = |unit: Unit, mapping| -> Result<Intake<'_>> {
            let sorter = Sorter::new(spill_dir, memory, unit)?;
            Ok(Intake { sorter, unit, mapping, what: self.place.to_string(), progress })
        };
        let read = match &self.format {
            Format::JsonLines(mapping) => {
                jsonl::read(&self.place, intake(Unit::Line, Some(mapping))?)
            }
            Format::Csv(format, mapping) => {
                csv::read(&self.place, format, intake(Unit::Line, Some(mapping))?)
            }
            Format::Sqlite(select, mapping) => {
                let path = self.path()?;
                sqlite::read(path, select, &|unit| intake(unit, Some(mapping)))
            }
            Format::Directory => directory::read(self.path()?, intake(Unit::File, None)?),
        };
        read.map_err(|failure| match failure.next {
            Some(_) => failure,
            None => failure.next(format!("check 'input' of collection '{collection}'")),
        })
    }

    fn path(&self) -> Result<&Path> {
        match &self.place {
            Place::Path(path) => Ok(path),
            Place::Stdin => Err(Failure::internal("standard input cannot be read like that")),
        }
    }
}

/// Takes an input's records in, and names the place where one is wrong.
struct Intake<'a> {
    sorter: Sorter,
    unit: Unit,
    mapping: Option<&'a Mapping>,
    /// The file, as errors name it.
    what: String,
    progress: &'a dyn Fn(u64),
}

impl Intake<'_> {
    /// Takes a row in, from a place of the input.
    fn row(&mut self, row: Row, place: u64) -> Result<()> {
        let mapping = self.mapping.ok_or_else(|| Failure::internal("an input without mapping"))?;
        let (key, value) = mapping.record(row).map_err(|failure| self.at(place, failure))?;
        self.sorter.push(&key, &value, place)
    }

    /// Says in front of a failure where it stands.
    fn at(&self, place: u64, failure: Failure) -> Failure {
        failure.within(format!("{} {}", self.what, self.unit.show(place)))
    }

    /// Ends the input.
    fn finish(self, digest: blake3::Hash, bytes: u64) -> Result<Source> {
        (self.progress)(bytes);
        Ok(Source { sorted: self.sorter.finish()?, digest: *digest.as_bytes(), bytes })
    }
}

/// Puts a cell that holds JSON among a row's fields; an empty one leaves the field out.
fn put_json(fields: &mut Map<String, Value>, column: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let value = serde_json::from_str(text)
        .map_err(|error| Failure::input(format!("field '{column}' is not JSON: {error}")))?;
    fields.insert(column.to_owned(), value);
    Ok(())
}

/// Whether each column comes once, and those that the configuration speaks of are among them.
fn check_columns(names: &[String], json: &[String], mapping: Option<&Mapping>) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Err(Failure::input(format!("column '{name}' comes twice")));
        }
    }
    let used = mapping.into_iter().flat_map(Mapping::paths).map(|path| &path[0]);
    for column in used.chain(json) {
        if !names.contains(column) {
            let message = format!("column '{column}' is missing; there are {}", names.join(", "));
            let advice = "change 'key', 'value' or 'json', or what 'input' holds";
            return Err(Failure::input(message).next(advice));
        }
    }
    Ok(())
}
