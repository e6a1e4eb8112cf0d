//! One record as an input gives it: named fields as a JSON object, and bytes, which JSON has not,
//! beside them.

use serde_json::{Map, Value};

use super::template::FieldPath;
use crate::failure::{Failure, Result};

/// A record before it is mapped.
#[derive(Clone, Debug, Default)]
pub struct Row {
    fields: Value,
    bytes: Vec<(String, Vec<u8>)>,
}

impl Row {
    /// The row of one line of JSON.
    pub fn from_json(line: &[u8]) -> Result<Self> {
        let fields: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::input(format!("not JSON: {error}")))?;
        if !fields.is_object() {
            return Err(Failure::input("not a JSON object").next("write one object on each line"));
        }
        Ok(Self { fields, bytes: Vec::new() })
    }

    /// A row of columns; those that are bytes stand apart.
    pub fn from_columns(fields: Map<String, Value>, bytes: Vec<(String, Vec<u8>)>) -> Self {
        Self { fields: Value::Object(fields), bytes }
    }

    /// A column that is bytes.
    pub(super) fn bytes(&self, path: &FieldPath) -> Option<&[u8]> {
        let [name] = path.0.as_slice() else { return None };
        self.bytes.iter().find(|(column, _)| column == name).map(|(_, bytes)| bytes.as_slice())
    }

    pub(super) fn find(&self, path: &FieldPath) -> Result<&Value> {
        let mut at = &self.fields;
        for name in &path.0 {
            at = at.get(name).ok_or_else(|| {
                Failure::input(format!("field '{path}' is missing"))
                    .next("give every record this field, or change 'key' or 'value'")
            })?;
        }
        Ok(at)
    }

    pub(super) fn remove(&mut self, path: &FieldPath) {
        let Some((last, parents)) = path.0.split_last() else { return };
        if parents.is_empty() {
            self.bytes.retain(|(column, _)| column != last);
        }
        let mut at = Some(&mut self.fields);
        for name in parents {
            at = at.and_then(|value| value.get_mut(name));
        }
        if let Some(object) = at.and_then(Value::as_object_mut) {
            // Not `remove`, which would move the last field into the gap.
            object.shift_remove(last);
        }
    }

    /// All fields as one JSON object.
    pub(super) fn into_json(self) -> Result<Vec<u8>> {
        match self.bytes.first() {
            Some((column, _)) => {
                let message = format!("field '{column}' is bytes, which JSON has not");
                Err(Failure::input(message)
                    .next("let 'value' name one field, or select hex() of this one"))
            }
            None => minified(&self.fields),
        }
    }
}

pub(super) fn minified(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Failure::internal(error.to_string()))
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
