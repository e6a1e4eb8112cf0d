//! How one line of JSON becomes a record: a key template and a value.
//!
//! Errors here name the field; the reader puts the file and the line in front.

use serde_json::Value;

use crate::failure::{Failure, Result};

/// A checked mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    key: Vec<Part>,
    value: ValueRule,
    text: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Field(FieldPath),
}

#[derive(Clone, Debug)]
enum ValueRule {
    /// The whole line less the fields that the key is made of: what the key says already is not
    /// stored twice.
    Rest,
    Field(FieldPath),
}

/// A field by its names from the top down, `a.b`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldPath(Vec<String>);

impl FieldPath {
    fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        if names.iter().any(String::is_empty) { None } else { Some(Self(names)) }
    }

    fn find<'a>(&self, line: &'a Value) -> Result<&'a Value> {
        let mut at = line;
        for name in &self.0 {
            at = at.get(name).ok_or_else(|| {
                Failure::input(format!("field '{self}' is missing"))
                    .next("give every line this field, or change 'key' or 'value'")
            })?;
        }
        Ok(at)
    }

    fn remove(&self, line: &mut Value) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let mut at = Some(line);
        for name in parents {
            at = at.and_then(|value| value.get_mut(name));
        }
        if let Some(object) = at.and_then(Value::as_object_mut) {
            // Not `remove`, which would move the last field into the gap.
            object.shift_remove(last);
        }
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Mapping {
    /// Checks a key template and a value rule.
    pub fn new(key: &str, value: &str, text: bool) -> Result<Self> {
        let parts = parse_template(key)?;
        if !parts.iter().any(|part| matches!(part, Part::Field(_))) {
            let message = "field 'key': the template names no field, so all keys would be equal";
            return Err(Failure::usage(message).next("write one such as \"{chainId}/{address}\""));
        }
        let value = match value {
            "*" if text => {
                let message = "field 'value_text': needs a 'value' that names one text field";
                return Err(Failure::usage(message));
            }
            "*" => ValueRule::Rest,
            path => ValueRule::Field(FieldPath::parse(path).ok_or_else(|| {
                Failure::usage(format!("field 'value': '{path}' is not \"*\" or a field path"))
            })?),
        };
        Ok(Self { key: parts, value, text })
    }

    /// The key and the value of one line.
    pub fn record(&self, line: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut parsed: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::input(format!("not JSON: {error}")))?;
        if !parsed.is_object() {
            return Err(Failure::input("not a JSON object").next("write one object on each line"));
        }
        let key = self.key(&parsed)?;
        let value = match &self.value {
            ValueRule::Rest => {
                for part in &self.key {
                    if let Part::Field(path) = part {
                        path.remove(&mut parsed);
                    }
                }
                minified(&parsed)?
            }
            ValueRule::Field(path) => {
                let value = path.find(&parsed)?;
                match (self.text, value.as_str()) {
                    (false, _) => minified(value)?,
                    (true, Some(text)) => text.as_bytes().to_vec(),
                    (true, None) => {
                        let message = format!("field '{path}' is {}, not a text", kind(value));
                        return Err(Failure::input(message));
                    }
                }
            }
        };
        check_lengths(&key, &value)?;
        Ok((key, value))
    }

    fn key(&self, line: &Value) -> Result<Vec<u8>> {
        let mut key = String::new();
        for part in &self.key {
            match part {
                Part::Literal(text) => key.push_str(text),
                Part::Field(path) => match path.find(line)? {
                    Value::String(text) => key.push_str(text),
                    Value::Number(number) => key.push_str(&number.to_string()),
                    Value::Bool(flag) => key.push_str(if *flag { "true" } else { "false" }),
                    other @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                        let message = format!(
                            "field '{path}' is {} and cannot be part of a key",
                            kind(other)
                        );
                        return Err(Failure::input(message));
                    }
                },
            }
        }
        Ok(key.into_bytes())
    }
}

fn minified(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Failure::internal(error.to_string()))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn check_lengths(key: &[u8], value: &[u8]) -> Result<()> {
    use packice_core::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};
    if key.is_empty() {
        return Err(Failure::input("the key is empty"));
    }
    if key.len() > MAX_KEY_LEN {
        let message = format!("the key has {} bytes, the most is {MAX_KEY_LEN}", key.len());
        return Err(Failure::input(message));
    }
    if value.len() > MAX_VALUE_LEN {
        let message = format!("the value has {} bytes, the most is {MAX_VALUE_LEN}", value.len());
        return Err(Failure::input(message).next("cut it into records by offset"));
    }
    Ok(())
}

/// Text with fields in braces; a brace itself is written twice.
fn parse_template(template: &str) -> Result<Vec<Part>> {
    let bad = |what: &str| {
        Failure::usage(format!("field 'key': {what} in '{template}'")).next(
            "name fields as \"{chainId}/{address}\"; write a brace itself as \"{{\" or \"}}\"",
        )
    };
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if after.starts_with(brace) {
            literal.push_str(brace);
            rest = &after[1..];
            continue;
        }
        if brace == "}" {
            return Err(bad("a '}' closes nothing"));
        }
        let end = after.find('}').ok_or_else(|| bad("a '{' is not closed"))?;
        let path = FieldPath::parse(&after[..end]).ok_or_else(|| bad("a field has no name"))?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Field(path));
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(mapping: &Mapping, line: &str) -> (String, String) {
        let (key, value) = mapping.record(line.as_bytes()).expect("a record");
        (String::from_utf8(key).expect("text"), String::from_utf8(value).expect("text"))
    }

    fn refused(mapping: &Mapping, line: &str) -> String {
        mapping.record(line.as_bytes()).expect_err("must be refused").to_string()
    }

    #[test]
    fn key_fields_are_not_stored_again_and_the_others_keep_their_order() {
        let mapping = Mapping::new("{chainId}/{address}", "*", false).expect("good");
        let line = r#"{"chainId": 101, "address": "So1", "symbol": "SOL", "n": 1e+21, "x": 1.50}"#;
        let (key, value) = record(&mapping, line);
        assert_eq!(key, "101/So1");
        assert_eq!(value, r#"{"symbol":"SOL","n":1e+21,"x":1.50}"#);
    }

    #[test]
    fn nested_fields_and_braces_work() {
        let mapping = Mapping::new("{{{a.b}}}", "a", false).expect("good");
        let (key, value) = record(&mapping, r#"{"a": {"b": true, "c": "d"}}"#);
        assert_eq!(key, "{true}");
        assert_eq!(value, r#"{"b":true,"c":"d"}"#);
        let mapping = Mapping::new("{a.b}", "*", false).expect("good");
        assert_eq!(record(&mapping, r#"{"a": {"b": 7, "c": "d"}}"#).1, r#"{"a":{"c":"d"}}"#);
    }

    #[test]
    fn text_values_are_stored_as_they_are() {
        let mapping = Mapping::new("{k}", "v", true).expect("good");
        assert_eq!(record(&mapping, r#"{"k":"a","v":"b\nc"}"#).1, "b\nc");
        assert!(refused(&mapping, r#"{"k":"a","v":7}"#).contains("'v' is a number, not a text"));
    }

    #[test]
    fn refusals_name_the_field() {
        let mapping = Mapping::new("{k}", "v", false).expect("good");
        assert!(refused(&mapping, r#"{"v":1}"#).contains("field 'k' is missing"));
        assert!(refused(&mapping, r#"{"k":[],"v":1}"#).contains("'k' is an array"));
        assert!(refused(&mapping, r#"{"k":"","v":1}"#).contains("the key is empty"));
        assert!(refused(&mapping, "[]").contains("not a JSON object"));
        assert!(refused(&mapping, "{").contains("not JSON"));
        let long = format!(r#"{{"k":"{}","v":1}}"#, "x".repeat(1025));
        assert!(refused(&mapping, &long).contains("1025 bytes"));
    }

    #[test]
    fn templates_are_checked() {
        for bad in ["{a", "a}", "{}", "{a..b}", "plain"] {
            let error = Mapping::new(bad, "*", false).expect_err("must be refused");
            assert!(error.message.contains("field 'key'"), "{error}");
        }
    }
}
