//! What operations come to: over each other, and over the records of a version.

use serde_json::{Map, Value};

use super::operation::Action;
use crate::build::content::Stream;
use crate::failure::{Failure, Result};
use crate::mapping::check_lengths;
use crate::sort::{SourceRecord, Unsifted};

/// The records of a version with sorted operations over them.
pub struct Folded<'a> {
    below: Box<dyn Stream + 'a>,
    has_below: bool,
    above: Unsifted<'a>,
    next: Option<SourceRecord>,
    what: &'a str,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Folded<'a> {
    /// Reads from the first record on; `what` is how errors name the operations.
    pub fn new(
        mut below: Box<dyn Stream + 'a>,
        mut above: Unsifted<'a>,
        what: &'a str,
    ) -> Result<Self> {
        let (has_below, next) = (below.advance()?, above.advance()?);
        Ok(Self { below, has_below, above, next, what, key: Vec::new(), value: Vec::new() })
    }

    /// All operations on the next key, over the record that it has.
    fn fold(&mut self, first: SourceRecord) -> Result<Option<Vec<u8>>> {
        self.key = first.key.clone();
        let mut held = None;
        if self.has_below && self.below.key() == self.key.as_slice() {
            held = Some(self.below.value().to_vec());
            self.has_below = self.below.advance()?;
        }
        let mut at = first;
        loop {
            let line = at.line;
            held = over(held, Action::decode(&at.value)?)
                .and_then(|held| {
                    check_lengths(&self.key, held.as_deref().unwrap_or_default())?;
                    Ok(held)
                })
                .map_err(|failure| failure.within(format!("{} line {line}", self.what)))?;
            self.next = self.above.advance()?;
            match self.next.take() {
                Some(next) if next.key == self.key => at = next,
                next => {
                    self.next = next;
                    return Ok(held);
                }
            }
        }
    }
}

impl Stream for Folded<'_> {
    fn advance(&mut self) -> Result<bool> {
        loop {
            match self.next.take() {
                Some(next) if !self.has_below || next.key.as_slice() <= self.below.key() => {
                    if let Some(value) = self.fold(next)? {
                        self.value = value;
                        return Ok(true);
                    }
                }
                next => {
                    self.next = next;
                    if !self.has_below {
                        return Ok(false);
                    }
                    self.key.clear();
                    self.key.extend_from_slice(self.below.key());
                    self.value.clear();
                    self.value.extend_from_slice(self.below.value());
                    self.has_below = self.below.advance()?;
                    return Ok(true);
                }
            }
        }
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn value(&self) -> &[u8] {
        &self.value
    }
}

/// A record's value after an action; `None` where there is no record.
fn over(held: Option<Vec<u8>>, action: Action) -> Result<Option<Vec<u8>>> {
    match action {
        Action::Put(value) => Ok(Some(value)),
        Action::Delete => Ok(None),
        Action::Patch(patch) => {
            let Some(held) = held else {
                return Err(Failure::input("there is no record to patch")
                    .next("put the whole record first"));
            };
            let value: Value = serde_json::from_slice(&held).map_err(|_| {
                Failure::input("the record's value is not JSON, so no field of it can change")
                    .next("put the whole value")
            })?;
            Ok(Some(patched(value, patch).to_string().into_bytes()))
        }
    }
}

/// A JSON merge patch (RFC 7396). Fields keep their places, new ones come last.
pub fn patched(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut fields = match target {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    for (name, value) in patch {
        if value.is_null() {
            // Not `remove`, which would move the last field into the gap.
            fields.shift_remove(&name);
            continue;
        }
        let held = fields.get_mut(&name).map(Value::take);
        let value = patched(held.unwrap_or_default(), value);
        fields.insert(name, value);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn patches_are_those_of_the_rfc() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), Value::Null, Value::Null),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            assert_eq!(patched(target, patch), expected);
        }
    }

    #[test]
    fn fields_keep_their_places() {
        let target = serde_json::from_str(r#"{"z":1,"y":1.50,"x":3}"#).expect("JSON");
        let patch = serde_json::from_str(r#"{"a":4,"y":2.0,"z":null}"#).expect("JSON");
        assert_eq!(patched(target, patch).to_string(), r#"{"y":2.0,"x":3,"a":4}"#);
    }
}
