//! One operation, as a line of JSON says it.
//!
//! `{"op": "put", "key": …, "value": …}`, `{"op": "put", "record": {…}}`,
//! `{"op": "delete", "key": …}`, `{"op": "patch", "key": …, "value": {…}}`; `collection` may be
//! left out where there is one. What cannot be read as it was meant is refused, never guessed.

use packice_core::types::Name;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Collection, Config};
use crate::failure::{Failure, Result};
use crate::input::Format;
use crate::mapping::{Row, check_lengths};
use crate::text::{from_base64, from_hex};

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The collection.
    pub collection: Name,
    /// The key.
    pub key: Vec<u8>,
    /// What happens to its record.
    pub action: Action,
}

/// What happens to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It has this value from now on.
    Put(Vec<u8>),
    /// It is gone.
    Delete,
    /// Fields of its JSON value change (RFC 7396).
    Patch(Value),
}

impl Action {
    /// As a sorter's value: a byte for the kind, and the value.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Put(value) => [&b"P"[..], value].concat(),
            Self::Delete => b"D".to_vec(),
            Self::Patch(value) => [&b"M"[..], value.to_string().as_bytes()].concat(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Failure::internal("a spilled operation is damaged");
        let (kind, value) = bytes.split_first().ok_or_else(damaged)?;
        match kind {
            b'P' => Ok(Self::Put(value.to_vec())),
            b'D' => Ok(Self::Delete),
            b'M' => serde_json::from_slice(value).map(Self::Patch).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    op: String,
    collection: Option<String>,
    key: Option<String>,
    key_hex: Option<String>,
    record: Option<Value>,
    value: Option<Value>,
    value_text: Option<String>,
    value_hex: Option<String>,
    value_base64: Option<String>,
}

/// Reads operations on the collections of a configuration.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
}

impl Reader<'_> {
    pub(super) fn read(&self, line: &[u8]) -> Result<Operation> {
        let raw: RawOperation = serde_json::from_slice(line).map_err(|error| {
            Failure::input(format!("not an operation: {error}"))
                .next("write {\"op\": \"put\", \"key\": …, \"value\": …}, or delete or patch")
        })?;
        let collection = self.collection(raw.collection.as_deref())?;
        let name = collection.name.clone();
        if raw.op == "put"
            && let Some(record) = &raw.record
        {
            if raw.key.is_some() || raw.key_hex.is_some() || raw.has_value() {
                return Err(Failure::input(
                    "'record' has both key and value: leave the others out",
                ));
            }
            let (key, value) = mapped(collection, record)?;
            return Ok(Operation { collection: name, key, action: Action::Put(value) });
        }
        let key = raw.key()?;
        let action = match raw.op.as_str() {
            "put" => Action::Put(raw.bytes()?),
            "delete" if raw.has_value() => {
                return Err(Failure::input("'delete' has no value"));
            }
            "delete" => Action::Delete,
            "patch" => match raw.value {
                Some(value @ Value::Object(_)) => Action::Patch(value),
                Some(_) | None => {
                    return Err(Failure::input("'patch' needs an object as its 'value'"));
                }
            },
            other => {
                return Err(
                    Failure::input(format!("'op' is '{other}'")).next("write put, delete or patch")
                );
            }
        };
        let len = match &action {
            Action::Put(value) => value.as_slice(),
            Action::Delete | Action::Patch(_) => &[],
        };
        check_lengths(&key, len)?;
        Ok(Operation { collection: name, key, action })
    }

    fn collection(&self, given: Option<&str>) -> Result<&Collection> {
        let all = &self.config.collections;
        match given {
            None if all.len() == 1 => Ok(&all[0]),
            None => Err(Failure::input("'collection' is missing, and there are several")),
            Some(name) => {
                let found = all.iter().find(|collection| collection.name.as_str() == name);
                found.ok_or_else(|| Failure::input(format!("there is no collection '{name}'")))
            }
        }
    }
}

/// A whole record, by the mapping of the collection's input.
fn mapped(collection: &Collection, record: &Value) -> Result<(Vec<u8>, Vec<u8>)> {
    let mapping = match &collection.input.format {
        Format::JsonLines(mapping) | Format::Csv(_, mapping) | Format::Sqlite(_, mapping) => {
            mapping
        }
        Format::Directory => {
            return Err(Failure::input("a directory's records have no fields")
                .next("give 'key' and 'value_base64'"));
        }
    };
    mapping.record(Row::from_json(record.to_string().as_bytes())?)
}

impl RawOperation {
    fn has_value(&self) -> bool {
        self.value.is_some()
            || self.value_text.is_some()
            || self.value_hex.is_some()
            || self.value_base64.is_some()
    }

    fn key(&self) -> Result<Vec<u8>> {
        match (&self.key, &self.key_hex) {
            (Some(text), None) => Ok(text.as_bytes().to_vec()),
            (None, Some(text)) => from_hex(text)
                .ok_or_else(|| Failure::input(format!("'key_hex' is '{text}': not hexadecimal"))),
            _ => Err(Failure::input("needs one of 'key' and 'key_hex'")),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let given = (&self.value, &self.value_text, &self.value_hex, self.value_base64.as_deref());
        match given {
            (Some(value), None, None, None) => Ok(value.to_string().into_bytes()),
            (None, Some(text), None, None) => Ok(text.as_bytes().to_vec()),
            (None, None, Some(text), None) => {
                from_hex(text).ok_or_else(|| Failure::input("'value_hex' is not hexadecimal"))
            }
            (None, None, None, Some(text)) => {
                from_base64(text).ok_or_else(|| Failure::input("'value_base64' is not base64"))
            }
            _ => Err(Failure::input(
                "'put' needs one of 'record', 'value', 'value_text', 'value_hex', 'value_base64'",
            )),
        }
    }
}
