//! Witnesses (docs/spec/witness.md): what they are asked, whether they cosign, and what their
//! answers are worth.
//!
//! Source: C2SP tlog-witness. Pure: the shell keeps what was seen, durably and before it answers,
//! and asks one request at a time for each log. A log's owner who lies could try to have two
//! histories cosigned: a witness keeps the one point that it cosigned last and takes nothing that
//! does not go on from it. Anyone could send anything: without a release key's signature nothing
//! is looked at further.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};

use super::accept::Seen;
use super::log::verify_consistency;
use super::note::{check_release, verify_cosignature};
use crate::codec::at_most;
use crate::error::{Error, FormatError, TrustError};
use crate::format::note::{COSIGNATURE, Checkpoint, NoteSignature, key_id, parse_signatures};
use crate::format::trust_root::{Role, Witness};
use crate::limits::MAX_CHECKPOINT_LEN;
use crate::types::LogHash;

/// Most lines of a consistency proof.
pub const MAX_PROOF_LINES: usize = 63;
/// Longest request: a size, the proof and a checkpoint.
pub const MAX_REQUEST_LEN: usize = 32 + MAX_PROOF_LINES * 45 + MAX_CHECKPOINT_LEN;
/// Longest answer: some signature lines.
pub const MAX_ANSWER_LEN: usize = MAX_CHECKPOINT_LEN;

/// What a witness is asked: to cosign a checkpoint that goes on from what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the asker believes the witness saw last.
    pub old: u64,
    /// The consistency proof from there to the checkpoint.
    pub proof: Vec<LogHash>,
    /// The checkpoint: a signed note.
    pub note: Vec<u8>,
}

impl AddCheckpoint {
    /// Parses a request's body.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        at_most("request", bytes.len() as u64, MAX_REQUEST_LEN as u64)?;
        let text = |field| Error::Format(FormatError::Text { field });
        let at = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or(text("request"))?;
        let head = core::str::from_utf8(&bytes[..at]).map_err(|_| text("request"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(text("old size"))?;
        let mut proof = Vec::new();
        for line in lines {
            at_most("proof lines", proof.len() as u64 + 1, MAX_PROOF_LINES as u64)?;
            let mut hash = [0u8; 32];
            match Base64::decode(line, &mut hash) {
                Ok(decoded) if decoded.len() == 32 => proof.push(LogHash(hash)),
                _ => return Err(text("proof line")),
            }
        }
        Ok(Self { old, proof, note: bytes[at + 2..].to_vec() })
    }

    /// The request's body.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::from("old ");
        text.push_str(&self.old.to_string());
        text.push('\n');
        for hash in &self.proof {
            text.push_str(&Base64::encode_string(&hash.0));
            text.push('\n');
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.note);
        bytes
    }
}

/// Digits without a leading zero.
fn decimal(text: &str) -> Option<u64> {
    let size = text.parse::<u64>().ok()?;
    (size.to_string() == text).then_some(size)
}

/// A log that a witness watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedLog {
    /// Its origin.
    pub origin: String,
    /// The keys that sign its checkpoints, and how many must have.
    pub keys: Role,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not read, or its old size is above its checkpoint's.
    BadRequest(Error),
    /// It does not watch this log.
    UnknownLog,
    /// The log's keys did not sign.
    NotSigned(Error),
    /// It stands at another size than the asker believes, or at another root at this size.
    Conflict {
        /// Where it stands.
        size: u64,
    },
    /// The checkpoint does not go on from what it saw.
    BadProof(Error),
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotSigned(_) => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::BadProof(_) => 422,
        }
    }
}

/// Whether a witness cosigns: the checkpoint that it has to keep, durably, before it answers.
pub fn decide(
    log: Option<&WatchedLog>,
    seen: Seen,
    request: &AddCheckpoint,
) -> Result<Checkpoint, Refusal> {
    let checkpoint = Checkpoint::parse(&request.note).map_err(Refusal::BadRequest)?;
    let log = log.filter(|log| log.origin == checkpoint.origin).ok_or(Refusal::UnknownLog)?;
    check_release(&log.keys, &checkpoint).map_err(Refusal::NotSigned)?;
    let Checkpoint { size, root, .. } = &checkpoint;
    if request.old > *size {
        let error = FormatError::TooLarge { field: "old size", value: request.old, max: *size };
        return Err(Refusal::BadRequest(error.into()));
    }
    let forked = request.old == *size && *root != seen.root;
    if request.old != seen.size || forked {
        return Err(Refusal::Conflict { size: seen.size });
    }
    if seen.size == 0 && *size > 0 {
        // The first checkpoint that this witness sees is where its knowledge begins.
        return match request.proof.is_empty() {
            true => Ok(checkpoint),
            false => Err(Refusal::BadProof(TrustError::BadConsistencyProof.into())),
        };
    }
    verify_consistency(&request.proof, seen.size, &seen.root, *size, root)
        .map_err(Refusal::BadProof)?;
    Ok(checkpoint)
}

/// Reads a witness's answer, and takes its cosignature into the checkpoint in place of an older
/// one of the same witness: the time of the newest, in seconds since 1970. Lines of unknown keys
/// are ignored; an answer that holds no line of this witness, or a false one, is an error.
pub fn take_answer(
    checkpoint: &mut Checkpoint,
    witness: &Witness,
    answer: &[u8],
) -> Result<u64, Error> {
    at_most("witness answer", answer.len() as u64, MAX_ANSWER_LEN as u64)?;
    let text =
        core::str::from_utf8(answer).map_err(|_| FormatError::Text { field: "witness answer" })?;
    let id = key_id(&witness.name, COSIGNATURE, &witness.key);
    let own = |line: &NoteSignature| line.name == witness.name && line.key_id == id;
    let mut newest: Option<(u64, NoteSignature)> = None;
    for line in parse_signatures(text)?.into_iter().filter(own) {
        let time_s = verify_cosignature(&witness.key, &checkpoint.body, &line)
            .ok_or(TrustError::BadSignature)?;
        if newest.as_ref().is_none_or(|(other, _)| time_s > *other) {
            newest = Some((time_s, line));
        }
    }
    let (time_s, line) = newest.ok_or(TrustError::BelowQuorum { valid: 0, quorum: 1 })?;
    let held = checkpoint.signatures.iter().filter(|line| own(line));
    let held = held
        .filter_map(|line| verify_cosignature(&witness.key, &checkpoint.body, line))
        .max()
        .filter(|held| *held >= time_s);
    if let Some(held) = held {
        return Ok(held);
    }
    checkpoint.signatures.retain(|line| !own(line));
    checkpoint.signatures.push(line);
    Ok(time_s)
}

/// The text of some signature lines, as a witness answers.
pub fn answer_text(lines: &[NoteSignature]) -> String {
    let empty = Checkpoint {
        origin: String::new(),
        size: 0,
        root: LogHash([0; 32]),
        body: String::new(),
        signatures: lines.to_vec(),
    };
    // A note is its text, an empty line and the signatures.
    empty.encode().split_off(1)
}
