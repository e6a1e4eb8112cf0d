//! SQLite: the rows of a table or of a query, read in one statement, so as of one moment.
//!
//! Integers and reals are JSON numbers, texts are texts, NULL is null, and a BLOB is bytes, which
//! only a key or a value of its own can hold. Columns that are named under `json` hold JSON as
//! text; their NULL or empty text leaves the field out. The digest is over the rows as they were
//! read, since the file's pages say more than the rows, and less while a log stands beside it.

use std::path::Path;
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Statement};
use serde_json::{Map, Number, Value};

use super::{Intake, MAX_RECORD_LEN, Source};
use crate::failure::{Failure, Result, on_file};
use crate::mapping::Row;
use crate::sort::Unit;

/// How long to wait for somebody who writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which rows, and which of their columns are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// The rows.
    pub from: From,
    /// The columns that hold JSON.
    pub json: Vec<String>,
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// All of a table or a view.
    Table(String),
    /// Those of a SELECT.
    Query(String),
}

pub(super) fn read<'a>(
    path: &Path,
    select: &Select,
    intake: &dyn Fn(Unit) -> Result<Intake<'a>>,
) -> Result<Source> {
    // SQLite makes a missing file; this names it.
    std::fs::File::open(path).map_err(on_file("read", path))?;
    let refused = |error: rusqlite::Error| failure_of(&error, path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(refused)?;
    database.busy_timeout(PATIENCE).map_err(refused)?;
    let most = i32::try_from(MAX_RECORD_LEN).unwrap_or(i32::MAX);
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, most).map_err(refused)?;
    let (mut statement, unit) = prepare(&database, path, &select.from)?;
    if !statement.readonly() {
        let message = "field 'query': it changes the database";
        return Err(Failure::usage(message).next("write one SELECT"));
    }
    let intake = intake(unit)?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    // The row id stands in front, for errors.
    let names = if unit == Unit::RowId { &names[1..] } else { &names[..] };
    super::check_columns(names, &select.json, intake.mapping)
        .map_err(|failure| failure.within(path.display()))?;
    read_rows(path, &mut statement, names, select, intake)
}

fn prepare<'a>(
    database: &'a Connection,
    path: &Path,
    from: &From,
) -> Result<(Statement<'a>, Unit)> {
    let refused = |error: rusqlite::Error| failure_of(&error, path);
    let table = match from {
        From::Query(query) => {
            let statement = database.prepare(query).map_err(|error| {
                failure_of(&error, path).next("check 'query': one SELECT, without parameters")
            })?;
            return Ok((statement, Unit::Row));
        }
        From::Table(table) => table,
    };
    let mut known = database
        .prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name")
        .map_err(refused)?;
    let known: Vec<String> =
        known.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(refused)?;
    if !known.iter().any(|name| name.eq_ignore_ascii_case(table)) {
        let message =
            format!("{}: no table '{table}'; there are {}", path.display(), known.join(", "));
        return Err(Failure::usage(message).next("change 'table'"));
    }
    let quoted = table.replace('"', "\"\"");
    let with_id = format!("SELECT rowid, * FROM \"{quoted}\" ORDER BY rowid");
    // Views, and tables WITHOUT ROWID, have none.
    match database.prepare(&with_id) {
        Ok(statement) => Ok((statement, Unit::RowId)),
        Err(_) => {
            let plain = format!("SELECT * FROM \"{quoted}\"");
            Ok((database.prepare(&plain).map_err(refused)?, Unit::Row))
        }
    }
}

fn read_rows(
    path: &Path,
    statement: &mut Statement<'_>,
    names: &[String],
    select: &Select,
    mut intake: Intake<'_>,
) -> Result<Source> {
    let refused = |error: rusqlite::Error| failure_of(&error, path);
    let mut digest = RowDigest::new(names);
    let mut rows = statement.query([]).map_err(refused)?;
    let skipped = usize::from(intake.unit == Unit::RowId);
    for count in 1u64.. {
        let Some(found) = rows.next().map_err(refused)? else { break };
        let place = match (skipped, found.get_ref(0).map_err(refused)?) {
            (1, ValueRef::Integer(id)) => id.cast_unsigned(),
            (_, _) => count,
        };
        let (mut fields, mut bytes) = (Map::with_capacity(names.len()), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let cell = found.get_ref(at + skipped).map_err(refused)?;
            digest.cell(cell);
            let is_json = select.json.contains(name);
            put(&mut fields, &mut bytes, name, cell, is_json)
                .map_err(|failure| intake.at(place, failure))?;
        }
        intake.row(Row::from_columns(fields, bytes), place)?;
        (intake.progress)(digest.bytes);
    }
    let RowDigest { hasher, bytes } = digest;
    intake.finish(hasher.finalize(), bytes)
}

fn put(
    fields: &mut Map<String, Value>,
    bytes: &mut Vec<(String, Vec<u8>)>,
    name: &str,
    cell: ValueRef<'_>,
    is_json: bool,
) -> Result<()> {
    let value = match cell {
        ValueRef::Null if is_json => return Ok(()),
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number.into()),
        ValueRef::Real(number) => Value::Number(Number::from_f64(number).ok_or_else(|| {
            Failure::input(format!("field '{name}' is {number}, which JSON has not"))
        })?),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text)
                .map_err(|_| Failure::input(format!("field '{name}' is not UTF-8")))?;
            if is_json {
                return super::put_json(fields, name, text);
            }
            Value::String(text.to_owned())
        }
        ValueRef::Blob(_) if is_json => {
            return Err(Failure::input(format!("field '{name}' is a BLOB, not JSON as text")));
        }
        ValueRef::Blob(blob) => {
            bytes.push((name.to_owned(), blob.to_vec()));
            return Ok(());
        }
    };
    fields.insert(name.to_owned(), value);
    Ok(())
}

/// Hashes columns and cells, each with its type and length, so that no two sets of rows hash alike.
struct RowDigest {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl RowDigest {
    fn new(names: &[String]) -> Self {
        let mut digest = Self { hasher: blake3::Hasher::new(), bytes: 0 };
        digest.hasher.update(&(names.len() as u64).to_le_bytes());
        for name in names {
            digest.add(b't', name.as_bytes());
        }
        digest.bytes = 0;
        digest
    }

    fn cell(&mut self, cell: ValueRef<'_>) {
        match cell {
            ValueRef::Null => self.add(b'n', &[]),
            ValueRef::Integer(number) => self.add(b'i', &number.to_le_bytes()),
            ValueRef::Real(number) => self.add(b'r', &number.to_le_bytes()),
            ValueRef::Text(text) => self.add(b't', text),
            ValueRef::Blob(blob) => self.add(b'b', blob),
        }
    }

    fn add(&mut self, kind: u8, bytes: &[u8]) {
        self.hasher.update(&[kind]);
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

fn failure_of(error: &rusqlite::Error, path: &Path) -> Failure {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, NotADatabase, TooBig};
    let failure = Failure::input(format!("{}: {error}", path.display()));
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => {
            failure.next("somebody writes to it: run the command again when that is done")
        }
        Some(NotADatabase) => failure.next("set 'format' where the file is no SQLite database"),
        Some(TooBig) => failure.next("a row is longer than 16 MiB: leave the column out"),
        _ => failure,
    }
}
