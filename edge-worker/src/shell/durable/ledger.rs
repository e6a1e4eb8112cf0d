//! The tables of a pointer object. Each function is one step: SQL that runs without an await in
//! between takes effect as a whole, and is durable before the object's next message leaves it.

use std::fmt::Display;

use packice_core::trust::tiles::TileRef;
use packice_core::types::Name;
use worker::{SqlStorage, SqlStorageValue, State, console_error};

use crate::log;
use crate::pointer::Swap;
use crate::problem::{Problem, ProblemCode};
use crate::quota::Quota;
use crate::scrub::MAX_REPORTS;
use crate::trail::{KEPT_ROWS, Outcome, PAGE_ROWS, Row};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS nonce (
    forgotten_s INTEGER NOT NULL, key TEXT NOT NULL, nonce TEXT NOT NULL,
    PRIMARY KEY (forgotten_s, key, nonce)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (
    key TEXT NOT NULL, day INTEGER NOT NULL, requests INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (key, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generation (id INTEGER PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS promise (
    id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, channel TEXT NOT NULL, expects TEXT,
    mark TEXT NOT NULL, who TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tile (
    path TEXT NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (path, part)
);
CREATE TABLE IF NOT EXISTS report (object TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL,
    channel TEXT NOT NULL, bootstrap TEXT NOT NULL, mark TEXT NOT NULL, outcome TEXT NOT NULL,
    reason TEXT NOT NULL
);";

/// Bytes of a tile in one row: rows hold two megabytes at most.
const PART_LEN: usize = 1 << 20;

/// A move that was checked and is to be shown.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    /// The dataset.
    pub(super) dataset: String,
    /// The channel.
    pub(super) channel: String,
    /// The tag of the pointer that it replaces, if any.
    pub(super) expects: Option<String>,
    /// Where it leads.
    pub(super) mark: String,
    /// Who asked for it.
    pub(super) who: String,
    /// The bootstrap.
    pub(super) body: Vec<u8>,
    /// The tiles that it was checked against.
    pub(super) tiles: Vec<(TileRef, Vec<u8>)>,
}

impl Promise {
    /// The dataset and the channel.
    pub(super) fn names(&self) -> Result<(Name, Name), Problem> {
        let name = |text: &str| Name::new(text).map_err(|error| failed("name", error));
        Ok((name(&self.dataset)?, name(&self.channel)?))
    }

    /// What it replaces.
    pub(super) fn swap(&self) -> Swap {
        match &self.expects {
            None => Swap::Create,
            Some(etag) => Swap::Replace { etag: etag.clone() },
        }
    }
}

/// The tables.
pub(super) struct Ledger {
    sql: SqlStorage,
}

type Values = Vec<SqlStorageValue>;

impl Ledger {
    /// The object's tables, made where they are not there.
    pub(super) fn open(state: &State) -> Result<Self, Problem> {
        let ledger = Self { sql: state.storage().sql() };
        ledger.rows_of(TABLES, Vec::new())?;
        Ok(ledger)
    }

    /// What a key sent on a day.
    pub(super) fn used(&self, key: &str, day: u64) -> Result<Quota, Problem> {
        let query = "SELECT requests, bytes FROM used WHERE key = ? AND day = ?";
        let rows = self.rows_of(query, vec![key.into(), number(day)])?;
        let row = rows.first().map_or(&[][..], Vec::as_slice);
        Ok(Quota { requests: integer(row, 0), bytes: integer(row, 1) })
    }

    /// Counts a request.
    pub(super) fn count(&self, key: &str, day: u64, bytes: u64) -> Result<(), Problem> {
        let query = "INSERT INTO used VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET \
                     requests = requests + 1, bytes = bytes + excluded.bytes";
        self.rows_of(query, vec![key.into(), number(day), number(bytes)])?;
        self.rows_of("DELETE FROM used WHERE day < ?", vec![number(day)]).map(drop)
    }

    /// Takes a nonce, if the key did not use it before. What is too old to count is forgotten.
    pub(super) fn take_nonce(
        &self,
        key: &str,
        nonce: &str,
        forgotten_s: u64,
        now_s: u64,
    ) -> Result<bool, Problem> {
        self.rows_of("DELETE FROM nonce WHERE forgotten_s < ?", vec![number(now_s)])?;
        let query = "INSERT INTO nonce VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1";
        let rows = self.rows_of(query, vec![number(forgotten_s), key.into(), nonce.into()])?;
        Ok(!rows.is_empty())
    }

    /// How many moves were promised so far.
    pub(super) fn generation(&self) -> Result<u64, Problem> {
        let rows = self.rows_of("SELECT number FROM generation", Vec::new())?;
        Ok(rows.first().map_or(0, |row| integer(row, 0)))
    }

    /// Promises a move, if none was promised since a generation, and none waits.
    pub(super) fn promise(&self, generation: u64, promise: &Promise) -> Result<bool, Problem> {
        if self.generation()? != generation || self.promised()?.is_some() {
            return Ok(false);
        }
        let query =
            "INSERT INTO generation VALUES (0, 1) ON CONFLICT DO UPDATE SET number = number + 1";
        self.rows_of(query, Vec::new())?;
        let values: Values = vec![
            promise.dataset.as_str().into(),
            promise.channel.as_str().into(),
            promise.expects.clone().into(),
            promise.mark.as_str().into(),
            promise.who.as_str().into(),
            promise.body.clone().into(),
        ];
        self.rows_of("INSERT INTO promise VALUES (0, ?, ?, ?, ?, ?, ?)", values)?;
        for (tile, bytes) in &promise.tiles {
            for (part, bytes) in (0u64..).zip(bytes.chunks(PART_LEN)) {
                let values = vec![tile.path().into(), number(part), bytes.to_vec().into()];
                self.rows_of("INSERT INTO tile VALUES (?, ?, ?)", values)?;
            }
        }
        Ok(true)
    }

    /// The move that is promised and not settled.
    pub(super) fn promised(&self) -> Result<Option<Promise>, Problem> {
        let query = "SELECT dataset, channel, expects, mark, who, body FROM promise";
        let Some(row) = self.rows_of(query, Vec::new())?.into_iter().next() else {
            return Ok(None);
        };
        let expects = match row.get(2) {
            Some(SqlStorageValue::String(etag)) => Some(etag.clone()),
            _ => None,
        };
        let mut tiles: Vec<(TileRef, Vec<u8>)> = Vec::new();
        for part in self.rows_of("SELECT path, body FROM tile ORDER BY path, part", Vec::new())? {
            let Some(tile) = TileRef::parse(&text(&part, 0)) else { continue };
            match tiles.last_mut().filter(|(last, _)| *last == tile) {
                Some((_, bytes)) => bytes.extend_from_slice(blob(&part, 1)),
                None => tiles.push((tile, blob(&part, 1).to_vec())),
            }
        }
        Ok(Some(Promise {
            dataset: text(&row, 0),
            channel: text(&row, 1),
            expects,
            mark: text(&row, 3),
            who: text(&row, 4),
            body: blob(&row, 5).to_vec(),
            tiles,
        }))
    }

    /// Ends a promise, and tells the trail; once, whoever else does so too.
    pub(super) fn settle(&self, promise: &Promise, outcome: Outcome) -> Result<(), Problem> {
        let query = "DELETE FROM promise WHERE mark = ? AND channel = ? RETURNING 1";
        let values = vec![promise.mark.as_str().into(), promise.channel.as_str().into()];
        if self.rows_of(query, values)?.is_empty() {
            return Ok(());
        }
        self.rows_of("DELETE FROM tile", Vec::new())?;
        self.record(&Row {
            at_ms: worker::Date::now().as_millis(),
            who: promise.who.clone(),
            channel: promise.channel.clone(),
            bootstrap: packice_core::hash::wire_name(&promise.body).to_hex(),
            mark: promise.mark.clone(),
            outcome: outcome.as_str().to_owned(),
            ..Row::default()
        })
    }

    /// Adds a row to the trail.
    pub(super) fn record(&self, row: &Row) -> Result<(), Problem> {
        let query = "INSERT INTO trail (at_ms, who, channel, bootstrap, mark, outcome, reason) \
                     VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq";
        let Row { at_ms, who, channel, bootstrap, mark, outcome, reason, .. } = row;
        let mut values: Values = vec![number(*at_ms)];
        let texts = [who, channel, bootstrap, mark, outcome, reason];
        values.extend(texts.map(|text| SqlStorageValue::from(text.as_str())));
        let rows = self.rows_of(query, values)?;
        let seq = rows.first().map_or(0, |row| integer(row, 0));
        let oldest = seq.saturating_sub(KEPT_ROWS);
        self.rows_of("DELETE FROM trail WHERE seq <= ?", vec![number(oldest)]).map(drop)
    }

    /// The rows of the trail after a number, as many as a page has.
    pub(super) fn rows(&self, after: u64) -> Result<Vec<Row>, Problem> {
        let query = "SELECT seq, at_ms, who, channel, bootstrap, mark, outcome, reason FROM trail \
                     WHERE seq > ? ORDER BY seq LIMIT ?";
        let rows = self.rows_of(query, vec![number(after), number(PAGE_ROWS)])?;
        let row = |row: Values| Row {
            seq: integer(&row, 0),
            at_ms: integer(&row, 1),
            who: text(&row, 2),
            channel: text(&row, 3),
            bootstrap: text(&row, 4),
            mark: text(&row, 5),
            outcome: text(&row, 6),
            reason: text(&row, 7),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Remembers an object that was reported, as long as few are.
    pub(super) fn report(&self, object: &str) -> Result<(), Problem> {
        let rows = self.rows_of("SELECT COUNT(*) FROM report", Vec::new())?;
        if rows.first().map_or(0, |row| integer(row, 0)) < MAX_REPORTS {
            self.rows_of("INSERT OR IGNORE INTO report VALUES (?)", vec![object.into()])?;
        }
        Ok(())
    }

    /// The objects that were reported, which are forgotten.
    pub(super) fn take_reports(&self) -> Result<Vec<String>, Problem> {
        let rows = self.rows_of("DELETE FROM report RETURNING object", Vec::new())?;
        Ok(rows.iter().map(|row| text(row, 0)).collect())
    }

    fn rows_of(&self, query: &str, values: Values) -> Result<Vec<Values>, Problem> {
        let cursor = self.sql.exec(query, values).map_err(|error| failed(query, error))?;
        cursor.raw().collect::<worker::Result<_>>().map_err(|error| failed(query, error))
    }
}

fn number(number: u64) -> SqlStorageValue {
    // Times, counts and sizes: far below what a JavaScript number holds.
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn integer(row: &[SqlStorageValue], at: usize) -> u64 {
    match row.get(at) {
        Some(SqlStorageValue::Integer(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

fn text(row: &[SqlStorageValue], at: usize) -> String {
    match row.get(at) {
        Some(SqlStorageValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn blob(row: &[SqlStorageValue], at: usize) -> &[u8] {
    match row.get(at) {
        Some(SqlStorageValue::Blob(bytes)) => bytes,
        _ => &[],
    }
}

fn failed(operation: &str, error: impl Display) -> Problem {
    console_error!("{}", log::line("pointer", operation, "", &error.to_string()));
    let detail = "the dataset's pointer object cannot use its storage: try again";
    Problem::new(ProblemCode::StoreUnavailable, detail)
}
