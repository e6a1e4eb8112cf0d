//! The two fields of a signature, in the one serialisation that RFC 9651 gives them.
//!
//! A member is `("a" "b");created=1;nonce="…";keyid="…";alg="…";tag="…"`: an inner list of
//! strings, then these parameters in any order, each once. What `sfv` would read otherwise than
//! this does is refused; a test compares the two.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};

use super::Refusal;

/// Longest `signature-input` that is looked at, in bytes.
pub const MAX_SIGNATURE_INPUT_LEN: usize = 1024;
/// Most components of one signature.
pub const MAX_COMPONENTS: usize = 16;
/// Longest string in a member, in bytes.
const MAX_STRING_LEN: usize = 128;
/// Longest integer of a structured field, in digits.
const MAX_DIGITS: usize = 15;
/// Longest byte sequence, in base64 characters: a signature has 88.
const MAX_BASE64_LEN: usize = 128;

/// What is signed: the covered components and the parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The names of the covered components, in order.
    pub components: Vec<String>,
    /// `created`: seconds since 1970.
    pub created_s: u64,
    /// `nonce`
    pub nonce: String,
    /// `keyid`
    pub key_id: String,
    /// `alg`
    pub algorithm: String,
    /// `tag`
    pub tag: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (at, name) in self.components.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}\"{name}\"")?;
        }
        let Self { created_s, nonce, key_id, algorithm, tag, .. } = self;
        write!(f, ");created={created_s};nonce=\"{nonce}\";keyid=\"{key_id}\"")?;
        write!(f, ";alg=\"{algorithm}\";tag=\"{tag}\"")
    }
}

impl Member {
    /// Reads a member.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_SIGNATURE_INPUT_LEN {
            return Err(Refusal::Malformed { what: "length" });
        }
        let mut rest = Rest(text);
        let components = rest.list()?;
        let (mut created_s, mut nonce, mut key_id, mut algorithm, mut tag) =
            (None, None, None, None, None);
        while !rest.0.is_empty() {
            rest.take(";", "parameters")?;
            let name = rest.name()?;
            rest.take("=", "parameters")?;
            let fresh = match name {
                "created" => created_s.replace(rest.integer()?).is_none(),
                "nonce" => nonce.replace(rest.string()?).is_none(),
                "keyid" => key_id.replace(rest.string()?).is_none(),
                "alg" => algorithm.replace(rest.string()?).is_none(),
                "tag" => tag.replace(rest.string()?).is_none(),
                _ => false,
            };
            if !fresh {
                return Err(Refusal::Malformed { what: "parameters" });
            }
        }
        let missing = |what| Refusal::Malformed { what };
        Ok(Self {
            components,
            created_s: created_s.ok_or(missing("created"))?,
            nonce: nonce.ok_or(missing("nonce"))?,
            key_id: key_id.ok_or(missing("keyid"))?,
            algorithm: algorithm.ok_or(missing("alg"))?,
            tag: tag.ok_or(missing("tag"))?,
        })
    }
}

/// Takes `{label}=` off a dictionary's one member.
pub(super) fn strip_label<'a>(
    text: &'a str,
    label: &str,
    what: &'static str,
) -> Result<&'a str, Refusal> {
    let rest = text.trim_matches(' ').strip_prefix(label).and_then(|rest| rest.strip_prefix('='));
    rest.ok_or(Refusal::Malformed { what })
}

/// A byte sequence, written.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!(":{}:", Base64::encode_string(bytes))
}

/// A byte sequence, read: base64 with its padding, as it is written.
pub(super) fn parse_bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    let malformed = Refusal::Malformed { what: "bytes" };
    let inner = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    match inner.filter(|inner| inner.len() <= MAX_BASE64_LEN).map(Base64::decode_vec) {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(_)) | None => Err(malformed),
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, prefix: &str, what: &'static str) -> Result<(), Refusal> {
        self.0 = self.0.strip_prefix(prefix).ok_or(Refusal::Malformed { what })?;
        Ok(())
    }

    /// As many characters as fit.
    fn span(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !fits(c)).unwrap_or(self.0.len());
        let (span, rest) = self.0.split_at(end);
        self.0 = rest;
        span
    }

    /// A parameter's name.
    fn name(&mut self) -> Result<&'a str, Refusal> {
        match self.span(|c| c.is_ascii_lowercase()) {
            "" => Err(Refusal::Malformed { what: "parameters" }),
            name => Ok(name),
        }
    }

    /// An inner list of strings.
    fn list(&mut self) -> Result<Vec<String>, Refusal> {
        self.take("(", "components")?;
        let mut items = Vec::new();
        while !self.0.starts_with(')') {
            if items.len() == MAX_COMPONENTS {
                return Err(Refusal::Malformed { what: "components" });
            }
            if !items.is_empty() {
                self.take(" ", "components")?;
            }
            items.push(self.string()?);
        }
        self.take(")", "components")?;
        Ok(items)
    }

    /// A string without escapes: none that stands here needs one.
    fn string(&mut self) -> Result<String, Refusal> {
        self.take("\"", "strings")?;
        let text = self.span(|c| matches!(c, ' '..='~') && c != '"' && c != '\\');
        self.take("\"", "strings")?;
        match text.len() <= MAX_STRING_LEN {
            true => Ok(text.to_string()),
            false => Err(Refusal::Malformed { what: "strings" }),
        }
    }

    /// A number from 0 on, as it is written.
    fn integer(&mut self) -> Result<u64, Refusal> {
        let digits = self.span(|c| c.is_ascii_digit());
        let canonical = digits.len() <= MAX_DIGITS && (digits == "0" || !digits.starts_with('0'));
        match digits.parse() {
            Ok(number) if canonical => Ok(number),
            Ok(_) | Err(_) => Err(Refusal::Malformed { what: "created" }),
        }
    }
}
