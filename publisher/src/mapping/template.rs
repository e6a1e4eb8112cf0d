//! The mapping's language: field paths, filters, and templates of both.
//!
//! `{chain}/{address|lower}` is a template: text, and fields in braces. A field is a path of names
//! and any filters after it. Errors here are the configuration's: they quote what it says.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};
use serde_json::Value;

use super::row::{Row, kind};
use crate::failure::{Failure, Result};

/// A field by its names from the top down, `a.b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath(pub(super) Vec<String>);

impl FieldPath {
    fn parse(text: &str) -> Option<Self> {
        let names: Vec<String> = text.split('.').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) { None } else { Some(Self(names)) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// What happens to a field on its way into a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// The text as it is, not as JSON.
    Text,
    /// ASCII letters in lower case.
    Lower,
    /// Hexadecimal digits, after `0x` or not, as the bytes they stand for.
    Hex,
    /// Base64 of either alphabet, padded or not, as the bytes it stands for.
    Base64,
    /// A whole number as so many bytes, the greatest first: in the order of the numbers.
    BigEndian(usize),
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "lower" => Some(Self::Lower),
            "hex" => Some(Self::Hex),
            "base64" => Some(Self::Base64),
            "u32" => Some(Self::BigEndian(4)),
            "u64" => Some(Self::BigEndian(8)),
            _ => None,
        }
    }

    fn apply(self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Self::Text => Ok(bytes),
            Self::Lower => Ok(bytes.to_ascii_lowercase()),
            Self::Hex => from_hex(&bytes).ok_or_else(|| said(&bytes, "hexadecimal")),
            Self::Base64 => from_base64(&bytes).ok_or_else(|| said(&bytes, "base64")),
            Self::BigEndian(len) => big_endian(&bytes, len)
                .ok_or_else(|| said(&bytes, &format!("a whole number of {len} bytes"))),
        }
    }
}

/// What stands in a field, cut where it is long, and what it is not.
fn said(bytes: &[u8], expected: &str) -> String {
    let text = crate::text::show_bytes(bytes);
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("'{short}{dots}' is not {expected}")
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"0x").or(text.strip_prefix(b"0X")).unwrap_or(text);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches('=');
    Base64Unpadded::decode_vec(&text.replace('-', "+").replace('_', "/")).ok()
}

fn big_endian(text: &[u8], len: usize) -> Option<Vec<u8>> {
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let bytes = number.to_be_bytes();
    let (high, low) = bytes.split_at(bytes.len() - len);
    high.iter().all(|byte| *byte == 0).then(|| low.to_vec())
}

/// A field and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) path: FieldPath,
    filters: Vec<Filter>,
}

impl Field {
    /// Reads `path|filter|filter`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('|').map(str::trim);
        let path = parts.next().and_then(FieldPath::parse);
        let path = path.ok_or_else(|| format!("'{text}' names no field"))?;
        let filter = |name: &str| {
            Filter::parse(name).ok_or_else(|| {
                format!("'{name}' is no filter; there are text, lower, hex, base64, u32 and u64")
            })
        };
        Ok(Self { path, filters: parts.map(filter).collect::<Result<_, _>>()? })
    }

    /// Whether the field's bytes are wanted, and not its JSON.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Adds a filter in front that changes nothing but says that bytes are wanted.
    pub(super) fn into_text(mut self) -> Self {
        self.filters.insert(0, Filter::Text);
        self
    }

    /// The field as part of a key: numbers and booleans are written out.
    pub(super) fn key_part(&self, row: &Row) -> Result<Vec<u8>> {
        if let Some(bytes) = row.bytes(&self.path) {
            return self.filtered(bytes.to_vec());
        }
        match row.find(&self.path)? {
            Value::String(text) => self.filtered(text.as_bytes().to_vec()),
            Value::Number(number) => self.filtered(number.to_string().into_bytes()),
            Value::Bool(flag) => self.filtered(flag.to_string().into_bytes()),
            other @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                let kind = kind(other);
                let message =
                    format!("field '{}' is {kind} and cannot be part of a key", self.path);
                Err(Failure::input(message))
            }
        }
    }

    /// The field's bytes as a value.
    pub(super) fn value_bytes(&self, row: &Row) -> Result<Vec<u8>> {
        if let Some(bytes) = row.bytes(&self.path) {
            return self.filtered(bytes.to_vec());
        }
        let takes_numbers = matches!(self.filters[..], [Filter::BigEndian(_), ..]);
        match row.find(&self.path)? {
            Value::String(text) => self.filtered(text.as_bytes().to_vec()),
            Value::Number(number) if takes_numbers => {
                self.filtered(number.to_string().into_bytes())
            }
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => {
                let message = format!("field '{}' is {}, not a text", self.path, kind(other));
                Err(Failure::input(message))
            }
        }
    }

    fn filtered(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let steps = self.filters.iter().try_fold(bytes, |bytes, filter| filter.apply(bytes));
        steps.map_err(|what| Failure::input(format!("field '{}': {what}", self.path)))
    }
}

/// A piece of a key template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    Field(Field),
}

/// Reads text with fields in braces; a brace itself is written twice.
pub(super) fn parse_template(template: &str) -> Result<Vec<Part>> {
    let bad = |what: &str| {
        Failure::usage(format!("field 'key': {what} in '{template}'")).next(
            "name fields as \"{chainId}/{address|lower}\"; write a brace itself as \"{{\" or \
             \"}}\"",
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
        let field = Field::parse(&after[..end]).map_err(|what| bad(&what))?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Field(field));
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}
