//! The Durable Objects: a class in each file, and how the Worker asks it.

pub(crate) mod catalog;
pub(crate) mod keeper;
mod ledger;
pub(crate) mod live;
pub(crate) mod pointer;
pub(crate) mod region;

use worker::{SqlStorage, SqlStorageValue};

/// A row of a query.
type Row = Vec<SqlStorageValue>;

/// Runs a statement, and gives its rows.
fn query(
    sql: &SqlStorage,
    statement: &str,
    values: Vec<SqlStorageValue>,
) -> worker::Result<Vec<Row>> {
    sql.exec(statement, values)?.raw().collect()
}

/// A whole number of a row; 0 where there is none.
fn number(row: &Row, at: usize) -> u64 {
    match row.get(at) {
        Some(SqlStorageValue::Integer(value)) => u64::try_from(*value).unwrap_or(0),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        Some(SqlStorageValue::Float(value)) if (0.0..9e15).contains(value) => *value as u64,
        _ => 0,
    }
}

/// A text of a row; empty where there is none.
fn text(row: &Row, at: usize) -> String {
    match row.get(at) {
        Some(SqlStorageValue::String(value)) => value.clone(),
        _ => String::new(),
    }
}

/// A number for a statement; those here stay far below 2^53.
fn value(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
