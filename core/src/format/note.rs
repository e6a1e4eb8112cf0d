//! Checkpoints as signed notes (docs/spec/checkpoint.md).
//!
//! Sources: C2SP signed-note, tlog-checkpoint and tlog-cosignature. In scope: the text, parsed
//! and written. Out of scope: whether a signature holds and who signed (`trust`). An attacker
//! could add signature lines: their count is bounded, and unknown keys are ignored by `trust`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};

use crate::error::{Error, FormatError};
use crate::hash;
use crate::limits::{MAX_CHECKPOINT_LEN, MAX_NOTE_SIGNATURES, MAX_ORIGIN_LEN};
use crate::types::LogHash;

/// The algorithm byte of a plain Ed25519 signature.
pub const ED25519: u8 = 0x01;
/// The algorithm byte of a timestamped Ed25519 cosignature.
pub const COSIGNATURE: u8 = 0x04;

/// A signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The first four bytes of the key's hash, big-endian as they stand.
    pub key_id: [u8; 4],
    /// The signature's bytes: 64 for Ed25519, 8 of time and 64 for a cosignature.
    pub signature: Vec<u8>,
}

/// A parsed checkpoint and its signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's origin.
    pub origin: String,
    /// The log's size in entries.
    pub size: u64,
    /// The log's root hash at that size.
    pub root: LogHash,
    /// The text that is signed, its last newline included.
    pub body: String,
    /// The signature lines.
    pub signatures: Vec<NoteSignature>,
}

impl Checkpoint {
    /// The text of a checkpoint before it is signed.
    pub fn body(origin: &str, size: u64, root: &LogHash) -> String {
        let mut body = String::from(origin);
        body.push('\n');
        body.push_str(&size.to_string());
        body.push('\n');
        body.push_str(&Base64::encode_string(&root.0));
        body.push('\n');
        body
    }

    /// Parses a whole signed note.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = note_text(bytes)?;
        let at = text.rfind("\n\n").ok_or(FormatError::Truncated { field: "checkpoint" })?;
        let (body, signature_lines) = (&text[..=at], &text[at + 2..]);
        let signatures = parse_signatures(signature_lines)?;
        Self::parse_body(body, signatures)
    }

    /// Parses a note that nobody has to have signed yet: it may end after the empty line.
    pub fn parse_unsigned(bytes: &[u8]) -> Result<Self, Error> {
        match note_text(bytes)?.strip_suffix("\n\n") {
            Some(body) => Self::parse_body(&[body, "\n"].concat(), Vec::new()),
            None => Self::parse(bytes),
        }
    }

    fn parse_body(body: &str, signatures: Vec<NoteSignature>) -> Result<Self, Error> {
        let mut lines = body.split('\n');
        let origin = lines.next().unwrap_or_default();
        if origin.is_empty() || origin.len() > MAX_ORIGIN_LEN {
            return Err(FormatError::Text { field: "checkpoint origin" }.into());
        }
        let size = parse_size(lines.next().unwrap_or_default())?;
        let root = decode_array(lines.next().unwrap_or_default(), "checkpoint root")?;
        // The body ends in a newline, so the last piece is empty; extension lines are not.
        if lines.next_back() != Some("") || lines.any(str::is_empty) {
            return Err(FormatError::Text { field: "checkpoint extension" }.into());
        }
        Ok(Self {
            origin: origin.to_string(),
            size,
            root: LogHash(root),
            body: body.to_string(),
            signatures,
        })
    }

    /// The signed note's text.
    pub fn encode(&self) -> String {
        let mut text = self.body.clone();
        text.push('\n');
        for line in &self.signatures {
            let mut blob = line.key_id.to_vec();
            blob.extend_from_slice(&line.signature);
            text.push_str("\u{2014} ");
            text.push_str(&line.name);
            text.push(' ');
            text.push_str(&Base64::encode_string(&blob));
            text.push('\n');
        }
        text
    }
}

/// The id of a key in a note: the first four bytes of SHA-256(name ‖ "\n" ‖ algorithm ‖ key).
pub fn key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut bytes = Vec::with_capacity(name.len() + 34);
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(b'\n');
    bytes.push(algorithm);
    bytes.extend_from_slice(key);
    let hash = hash::sha256(&bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

fn note_text(bytes: &[u8]) -> Result<&str, Error> {
    crate::codec::at_most("checkpoint", bytes.len() as u64, MAX_CHECKPOINT_LEN as u64)?;
    core::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(|c| c < ' ' && c != '\n'))
        .ok_or(FormatError::Text { field: "checkpoint" }.into())
}

fn parse_size(text: &str) -> Result<u64, Error> {
    let canonical = text == "0" || !text.starts_with('0');
    match text.parse::<u64>() {
        Ok(size) if canonical && text.bytes().all(|b| b.is_ascii_digit()) => Ok(size),
        _ => Err(FormatError::Text { field: "checkpoint size" }.into()),
    }
}

fn decode_array(text: &str, field: &'static str) -> Result<[u8; 32], Error> {
    let mut out = [0u8; 32];
    match Base64::decode(text, &mut out) {
        Ok(bytes) if bytes.len() == 32 => Ok(out),
        _ => Err(FormatError::Text { field }.into()),
    }
}

/// Parses signature lines, each ended by a newline: the end of a note, or a witness's answer.
pub fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, Error> {
    let lines = lines.strip_suffix('\n').ok_or(FormatError::Truncated { field: "signatures" })?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        crate::codec::at_most(
            "signature lines",
            signatures.len() as u64 + 1,
            MAX_NOTE_SIGNATURES as u64,
        )?;
        signatures.push(
            parse_signature(line).ok_or(FormatError::Text { field: "checkpoint signature" })?,
        );
    }
    Ok(signatures)
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bad_name = name.is_empty()
        || name.len() > MAX_ORIGIN_LEN
        || name.chars().any(|c| c.is_whitespace() || c == '+');
    let blob = Base64::decode_vec(blob).ok()?;
    let (id, signature) = blob.split_at_checked(4)?;
    if bad_name || signature.is_empty() {
        return None;
    }
    let mut key_id = [0u8; 4];
    key_id.copy_from_slice(id);
    Some(NoteSignature { name: name.to_string(), key_id, signature: signature.to_vec() })
}
