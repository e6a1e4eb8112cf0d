//! How one record of an input becomes a key and a value: a key template and a value rule.
//!
//! The same for every format, so that the same records give the same tree whatever they came
//! from. Errors here name the field; the input puts the file and the line in front.

mod row;
mod template;

pub use row::Row;

use crate::failure::{Failure, Result};
use row::minified;
use template::{Field, Part, parse_template};

/// A checked mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    key: Vec<Part>,
    value: ValueRule,
}

#[derive(Clone, Debug)]
enum ValueRule {
    /// The whole record less the fields that the key is made of: what the key says already is not
    /// stored twice.
    Rest,
    /// A field: as JSON, or its bytes where it has filters.
    Field(Field),
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
            path => {
                let field = Field::parse(path).map_err(|what| {
                    Failure::usage(format!("field 'value': {what}"))
                        .next("write \"*\", or a field such as \"a.b\" or \"data|hex\"")
                })?;
                ValueRule::Field(if text { field.into_text() } else { field })
            }
        };
        Ok(Self { key: parts, value })
    }

    /// The fields that the mapping speaks of, each by its names from the top down.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        let of_key = self.key.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            Part::Literal(_) => None,
        });
        let of_value = match &self.value {
            ValueRule::Field(field) => Some(field),
            ValueRule::Rest => None,
        };
        of_key.chain(of_value).map(|field| field.path.0.as_slice())
    }

    /// The key and the value of one record.
    pub fn record(&self, mut row: Row) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut key = Vec::new();
        for part in &self.key {
            match part {
                Part::Literal(text) => key.extend_from_slice(text.as_bytes()),
                Part::Field(field) => key.extend(field.key_part(&row)?),
            }
        }
        let value = match &self.value {
            ValueRule::Rest => {
                for part in &self.key {
                    if let Part::Field(field) = part {
                        row.remove(&field.path);
                    }
                }
                row.into_json()?
            }
            ValueRule::Field(field) if field.is_filtered() => field.value_bytes(&row)?,
            ValueRule::Field(field) => match row.bytes(&field.path) {
                Some(bytes) => bytes.to_vec(),
                None => minified(row.find(&field.path)?)?,
            },
        };
        check_lengths(&key, &value)?;
        Ok((key, value))
    }
}

/// Whether a key and a value are within their bounds.
pub(crate) fn check_lengths(key: &[u8], value: &[u8]) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(mapping: &Mapping, line: &str) -> Result<(Vec<u8>, Vec<u8>)> {
        mapping.record(Row::from_json(line.as_bytes())?)
    }

    fn record(mapping: &Mapping, line: &str) -> (String, String) {
        let (key, value) = bytes(mapping, line).expect("a record");
        (String::from_utf8(key).expect("text"), String::from_utf8(value).expect("text"))
    }

    fn refused(mapping: &Mapping, line: &str) -> String {
        bytes(mapping, line).expect_err("must be refused").to_string()
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
        for mapping in [Mapping::new("{k}", "v", true), Mapping::new("{k}", "v|text", false)] {
            let mapping = mapping.expect("good");
            assert_eq!(record(&mapping, r#"{"k":"a","v":"b\nc"}"#).1, "b\nc");
            assert!(
                refused(&mapping, r#"{"k":"a","v":7}"#).contains("'v' is a number, not a text")
            );
        }
    }

    #[test]
    fn filters_make_bytes_of_keys_and_values() {
        let mapping = Mapping::new("{k | hex}", "v|base64", false).expect("good");
        for (key, value) in [("0x00Ff", "AAEC"), ("00ff", "AAEC"), ("0X00FF", "AAEC==")] {
            let line = format!(r#"{{"k":"{key}","v":"{value}"}}"#);
            assert_eq!(bytes(&mapping, &line).expect("good"), (vec![0, 255], vec![0, 1, 2]));
        }
        assert_eq!(bytes(&mapping, r#"{"k":"00","v":"-_8"}"#).expect("good").1, [0xfb, 0xff]);
        assert!(refused(&mapping, r#"{"k":"0","v":""}"#).contains("'k': '0' is not hexadecimal"));
        assert!(refused(&mapping, r#"{"k":"00","v":"%"}"#).contains("'v': '%' is not base64"));
        let mapping = Mapping::new("{chain}/{address|lower}", "v|hex", true).expect("good");
        let (key, value) = record(&mapping, r#"{"chain":1,"address":"0xAbÄ","v":"6869"}"#);
        assert_eq!((key.as_str(), value.as_str()), ("1/0xabÄ", "hi"));
    }

    #[test]
    fn numbers_can_be_keys_in_their_order() {
        let mapping = Mapping::new("{n|u32}", "v|u64", false).expect("good");
        let (key, value) = bytes(&mapping, r#"{"n":258,"v":"1"}"#).expect("good");
        assert_eq!((key, value), (vec![0, 0, 1, 2], vec![0, 0, 0, 0, 0, 0, 0, 1]));
        for bad in [r#"{"n":-1,"v":0}"#, r#"{"n":1.5,"v":0}"#, r#"{"n":4294967296,"v":0}"#] {
            assert!(refused(&mapping, bad).contains("is not a whole number of 4 bytes"));
        }
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
        for bad in ["{a", "a}", "{}", "{a..b}", "plain", "{a|}", "{a|upper}", "{|hex}"] {
            let error = Mapping::new(bad, "*", false).expect_err("must be refused");
            assert!(error.message.contains("field 'key'"), "{error}");
        }
        for bad in ["", "a|", "a|gzip"] {
            let error = Mapping::new("{k}", bad, false).expect_err("must be refused");
            assert!(error.message.contains("field 'value'"), "{error}");
        }
    }
}
