//! Whether a checkpoint is signed by whom a trust root names (docs/spec/checkpoint.md).
//!
//! Sources: C2SP signed-note, tlog-checkpoint and tlog-cosignature.
//!
//! An attacker could repeat one key's line to reach a threshold: distinct key bytes are counted.
//! It could add lines of unknown keys: they are ignored, and their number is bounded. A line that
//! names a known key and does not verify condemns the whole note.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::signature::verify;
use crate::error::{Error, TrustError};
use crate::format::note::{COSIGNATURE, Checkpoint, ED25519, NoteSignature, key_id};
use crate::format::trust_root::{Role, TrustRoot, WitnessPolicy};

/// A checkpoint that a threshold signed and a quorum cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// A time that a whole quorum of witnesses had reached when they cosigned, in seconds since
    /// 1970; 0 where the trust root asks for no witness.
    pub cosigned_s: u64,
}

/// Checks a signed note against a trust root.
pub fn verify_checkpoint(root: &TrustRoot, note: &[u8]) -> Result<Checkpoint, Error> {
    verify_note(root, note).map(|verified| verified.checkpoint)
}

/// Checks a signed note against a trust root, and reads its cosignatures' time.
pub fn verify_note(root: &TrustRoot, note: &[u8]) -> Result<Verified, Error> {
    let checkpoint = verify_release(root, note)?;
    let cosigned_s = witness_time(&root.witnesses, &checkpoint)?;
    Ok(Verified { checkpoint, cosigned_s })
}

/// Checks the release signatures alone: what holds before the witnesses are asked.
pub fn verify_release(root: &TrustRoot, note: &[u8]) -> Result<Checkpoint, Error> {
    let checkpoint = Checkpoint::parse(note)?;
    if checkpoint.origin != root.origin {
        return Err(TrustError::WrongOrigin.into());
    }
    check_release(&root.release, &checkpoint)?;
    Ok(checkpoint)
}

/// Distinct keys of a role reach its threshold, and no line of theirs is false.
pub(crate) fn check_release(role: &Role, checkpoint: &Checkpoint) -> Result<(), Error> {
    let ids: Vec<[u8; 4]> =
        role.keys.iter().map(|key| key_id(&checkpoint.origin, ED25519, key)).collect();
    let mut signed = vec![false; role.keys.len()];
    for line in &checkpoint.signatures {
        if line.name != checkpoint.origin || !ids.contains(&line.key_id) {
            continue;
        }
        // Two keys may share the four bytes of an id: one of them has to have signed.
        let mut holds = false;
        for ((key, id), signed) in role.keys.iter().zip(&ids).zip(&mut signed) {
            if *id == line.key_id && verify(key, checkpoint.body.as_bytes(), &line.signature) {
                *signed = true;
                holds = true;
            }
        }
        if !holds {
            return Err(TrustError::BadSignature.into());
        }
    }
    let valid = count(signed.iter().filter(|signed| **signed));
    if valid < role.threshold {
        return Err(TrustError::BelowThreshold { valid, threshold: role.threshold }.into());
    }
    Ok(())
}

/// The time that a quorum had reached: the quorum's last of the witnesses' newest times.
pub(crate) fn witness_time(policy: &WitnessPolicy, checkpoint: &Checkpoint) -> Result<u64, Error> {
    let mut times: Vec<u64> = Vec::new();
    for witness in &policy.witnesses {
        let id = key_id(&witness.name, COSIGNATURE, &witness.key);
        let mut newest = None;
        for line in &checkpoint.signatures {
            if line.name == witness.name && line.key_id == id {
                let time = verify_cosignature(&witness.key, &checkpoint.body, line)
                    .ok_or(TrustError::BadSignature)?;
                newest = newest.max(Some(time));
            }
        }
        times.extend(newest);
    }
    let valid = count(times.iter());
    if valid < policy.quorum {
        return Err(TrustError::BelowQuorum { valid, quorum: policy.quorum }.into());
    }
    // At most 32 times: counting beats the code of a sort in a client's build.
    let reached = |time: &&u64| count(times.iter().filter(|other| other >= time)) >= policy.quorum;
    Ok(times.iter().filter(reached).max().filter(|_| policy.quorum > 0).copied().unwrap_or(0))
}

/// The time of a cosignature that holds.
pub(crate) fn verify_cosignature(key: &[u8; 32], body: &str, line: &NoteSignature) -> Option<u64> {
    let (time, signature) = line.signature.split_first_chunk::<8>()?;
    // The source's bound: no time is past the greatest signed number.
    let time_s = u64::from_be_bytes(*time);
    let bounded = i64::try_from(time_s).is_ok();
    (bounded && verify(key, &cosigned_bytes(body, time_s), signature)).then_some(time_s)
}

/// What a witness signs: two lines of its own before the checkpoint's text.
pub(crate) fn cosigned_bytes(body: &str, time_s: u64) -> Vec<u8> {
    ["cosignature/v1\ntime ", &time_s.to_string(), "\n", body].concat().into_bytes()
}

/// At most 64 lines or keys, so the number fits.
fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
