//! CSV as RFC 4180 has it: cells between delimiters, in quotes where they hold a delimiter, a
//! quote (written twice) or a line break; lines end with LF or CRLF.
//!
//! The `csv` crate splits records and never refuses a quote: one that is not closed would take
//! the rest of the file into its cell. So [`Strict`] stands in front of it and looks at quotes
//! alone. Every cell is a text; columns that are named under `json` hold JSON, and an empty cell
//! of theirs leaves the field out.

use std::collections::VecDeque;
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::stream::{BYTE_ORDER_MARK, Hashed};
use super::{Intake, MAX_RECORD_LEN, Place, Source};
use crate::failure::{Failure, Result};
use crate::mapping::Row;

/// How a CSV file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// What stands between cells.
    pub delimiter: u8,
    /// The columns' names, where the file does not begin with them.
    pub columns: Option<Vec<String>>,
    /// The columns that hold JSON.
    pub json: Vec<String>,
}

/// A column as the header names it.
struct Column {
    name: String,
    json: bool,
}

pub(super) fn read(place: &Place, format: &CsvFormat, mut intake: Intake<'_>) -> Result<Source> {
    let strict = Strict::new(Hashed::open(place)?, format.delimiter);
    let mut reader = ReaderBuilder::new()
        .delimiter(format.delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(strict);
    let mut columns = match &format.columns {
        Some(names) => Some(named(names.clone(), format, &intake)?),
        None => None,
    };
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| failure_of(&error, place))? {
        let line = reader.get_mut().starts.pop_front().unwrap_or(0);
        match &columns {
            None => {
                let names = header(&record).and_then(|names| named(names, format, &intake));
                columns = Some(names.map_err(|failure| intake.at(line, failure))?);
            }
            Some(columns) => {
                let row = row(&record, columns).map_err(|failure| intake.at(line, failure))?;
                intake.row(row, line)?;
                (intake.progress)(reader.get_ref().input.len());
            }
        }
    }
    if columns.is_none() {
        let message = format!("{place} is empty: a CSV file begins with the names of its columns");
        return Err(
            Failure::input(message).next("name them with 'columns' where it has no records")
        );
    }
    let hashed = reader.into_inner().input;
    intake.finish(hashed.digest(), hashed.len())
}

fn header(record: &ByteRecord) -> Result<Vec<String>> {
    let text = |cell: &[u8]| {
        let text = std::str::from_utf8(cell);
        text.map(str::to_owned).map_err(|_| Failure::input("the header is not UTF-8"))
    };
    record.iter().map(text).collect()
}

fn named(names: Vec<String>, format: &CsvFormat, intake: &Intake<'_>) -> Result<Vec<Column>> {
    super::check_columns(&names, &format.json, intake.mapping)?;
    let column = |name: String| Column { json: format.json.contains(&name), name };
    Ok(names.into_iter().map(column).collect())
}

fn row(record: &ByteRecord, columns: &[Column]) -> Result<Row> {
    if record.len() != columns.len() {
        let message = format!("{} cells, and {} columns", record.len(), columns.len());
        return Err(Failure::input(message).next("give every line a cell for each column"));
    }
    let mut fields = Map::with_capacity(columns.len());
    for (column, cell) in columns.iter().zip(record) {
        let name = &column.name;
        let text = std::str::from_utf8(cell)
            .map_err(|_| Failure::input(format!("field '{name}' is not UTF-8")))?;
        match column.json {
            true => super::put_json(&mut fields, name, text)?,
            false => {
                fields.insert(name.clone(), Value::String(text.to_owned()));
            }
        }
    }
    Ok(Row::from_columns(fields, Vec::new()))
}

fn failure_of(error: &csv::Error, place: &Place) -> Failure {
    let csv::ErrorKind::Io(error) = error.kind() else {
        return Failure::input(format!("{place}: {error}"));
    };
    match error.get_ref() {
        // What `Strict` says.
        Some(said) => Failure::input(format!("{place} {said}"))
            .next("put quotes around the whole cell, and write a quote in it twice"),
        None => Failure::input(format!("cannot read {place}: {error}")),
    }
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start of a cell.
    Start,
    /// In a cell without quotes.
    Bare,
    /// Between quotes.
    Quoted,
    /// After a quote between quotes: the cell's end, or the first half of a quote.
    Closed,
}

/// Passes bytes on while the quotes among them are well-formed, and each record short.
struct Strict {
    input: Hashed,
    delimiter: u8,
    at: At,
    line: u64,
    /// The line in which the last quoted cell began.
    quote_line: u64,
    /// The lines in which the records began that the crate has not given yet; its own count goes
    /// wrong where lines are empty.
    starts: VecDeque<u64>,
    record_len: usize,
    first: bool,
}

impl Strict {
    fn new(input: Hashed, delimiter: u8) -> Self {
        let (line, quote_line, starts, record_len) = (1, 1, VecDeque::new(), 0);
        Self { input, delimiter, at: At::Start, line, quote_line, starts, record_len, first: true }
    }

    fn check(&mut self, byte: u8) -> Result<(), String> {
        if self.record_len == 0 && !matches!(byte, b'\n' | b'\r') {
            self.starts.push_back(self.line);
        }
        self.record_len += 1;
        let next = match (self.at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Closed, b'"') => At::Quoted,
            (At::Start, b'"') => {
                self.quote_line = self.line;
                At::Quoted
            }
            (At::Start | At::Bare | At::Closed, byte) if byte == self.delimiter => At::Start,
            (At::Start | At::Bare | At::Closed, b'\n' | b'\r') => {
                self.record_len = 0;
                At::Start
            }
            (At::Bare, b'"') => {
                return Err(format!(
                    "line {}: a quote in a cell that has none at its start",
                    self.line
                ));
            }
            (At::Closed, _) => {
                return Err(format!("line {}: a cell goes on after its closing quote", self.line));
            }
            (At::Start | At::Bare, _) => At::Bare,
        };
        self.at = next;
        self.line += u64::from(byte == b'\n');
        if self.record_len > MAX_RECORD_LEN {
            let from = self.quote_line;
            return Err(format!(
                "line {}: the record is longer than 16 MiB; the quote in line {from} may not be \
                 closed",
                self.line
            ));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        match self.at {
            At::Quoted => Err(format!("line {}: the quote is never closed", self.quote_line)),
            At::Start | At::Bare | At::Closed => Ok(()),
        }
    }
}

impl Read for Strict {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let refuse = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let len = self.input.read(buffer)?;
        if len == 0 {
            self.check_end().map_err(refuse)?;
        }
        let mut fresh = &buffer[..len];
        if std::mem::take(&mut self.first) {
            // The crate passes it over likewise.
            fresh = fresh.strip_prefix(BYTE_ORDER_MARK).unwrap_or(fresh);
        }
        for byte in fresh {
            self.check(*byte).map_err(refuse)?;
        }
        Ok(len)
    }
}
