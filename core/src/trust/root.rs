//! The chain of trust roots (docs/spec/trust-root.md): from the one that a wallet embeds to the
//! newest.
//!
//! A trust root is believed when a threshold of its own root keys signed it and, unless it is the
//! embedded one, a threshold of the root keys before it. An attacker with fewer root keys than a
//! threshold can neither take over nor lock out; whoever has a threshold of them is the root.

use alloc::vec::Vec;

use super::accept::Seen;
use super::signature::verify;
use crate::codec::at_most;
use crate::error::{Error, TrustError};
use crate::format::trust_root::{PublicKey, Role, SignedTrustRoot, TrustRoot};
use crate::limits::{MAX_KEPT_TRUST_CHAIN, MAX_TRUST_CHAIN};
use crate::types::Name;

/// Checks a trust root that is believed for its own sake: the embedded one.
pub fn verify_trust_root(signed: &[u8], dataset: &Name) -> Result<TrustRoot, Error> {
    let (root, signed) = parse(signed)?;
    if root.dataset != *dataset {
        return Err(TrustError::WrongDataset.into());
    }
    let valid = valid_keys(&signed, &[&root.root])?;
    check_threshold(&root.root, &valid)?;
    Ok(root)
}

/// Walks from a trusted root along a chain of signed ones, ascending by version; those at or
/// below the version that is known already are skipped.
pub fn follow_chain(current: &TrustRoot, chain: &[Vec<u8>]) -> Result<TrustRoot, Error> {
    at_most("trust chain", chain.len() as u64, MAX_TRUST_CHAIN as u64)?;
    let mut newest = current.clone();
    for signed in chain {
        if let Some(next) = follow(&newest, signed)? {
            newest = next;
        }
    }
    Ok(newest)
}

/// One step; `None` where the trust root is not newer than the current one.
pub fn follow(current: &TrustRoot, signed: &[u8]) -> Result<Option<TrustRoot>, Error> {
    let (next, signed) = parse(signed)?;
    if next.version <= current.version {
        return Ok(None);
    }
    if next.dataset != current.dataset {
        return Err(TrustError::WrongDataset.into());
    }
    if next.version != current.version.saturating_add(1) {
        return Err(TrustError::BadTrustChain.into());
    }
    let valid = valid_keys(&signed, &[&current.root, &next.root])?;
    check_threshold(&current.root, &valid)?;
    check_threshold(&next.root, &valid)?;
    Ok(Some(next))
}

fn parse(signed: &[u8]) -> Result<(TrustRoot, SignedTrustRoot), Error> {
    let signed = SignedTrustRoot::parse(signed)?;
    Ok((TrustRoot::parse(&signed.body)?, signed))
}

/// The keys of some roles whose signatures hold. Keys of no role are ignored, a signature by a
/// key of a role must hold.
fn valid_keys(signed: &SignedTrustRoot, roles: &[&Role]) -> Result<Vec<PublicKey>, Error> {
    let message = TrustRoot::signed_bytes(&signed.body);
    let mut valid = Vec::new();
    for (key, signature) in &signed.signatures {
        if !roles.iter().any(|role| role.keys.contains(key)) {
            continue;
        }
        if !verify(key, &message, signature) {
            return Err(TrustError::BadSignature.into());
        }
        valid.push(*key);
    }
    Ok(valid)
}

/// Keys of a role are distinct by their format, so those counted here are.
fn check_threshold(role: &Role, valid: &[PublicKey]) -> Result<(), Error> {
    let count = role.keys.iter().filter(|key| valid.contains(key)).count();
    let valid = u32::try_from(count).unwrap_or(u32::MAX);
    if valid < role.threshold {
        return Err(TrustError::BelowThreshold { valid, threshold: role.threshold }.into());
    }
    Ok(())
}

/// Trust roots from the embedded one to the newest, each checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustChain {
    signed: Vec<Vec<u8>>,
    first: TrustRoot,
    later: Vec<TrustRoot>,
}

/// Where a newer trust root lets seen state go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    /// The trust root that says so.
    pub version: u64,
    /// The point that is surely honest.
    pub to: Seen,
}

impl TrustChain {
    /// Begins with the embedded trust root.
    pub fn embedded(signed: &[u8], dataset: &Name) -> Result<Self, Error> {
        let first = verify_trust_root(signed, dataset)?;
        Ok(Self { signed: [signed.to_vec()].into(), first, later: Vec::new() })
    }

    /// Goes on along a chain; how many of its trust roots were new.
    pub fn extend(&mut self, chain: &[Vec<u8>]) -> Result<usize, Error> {
        at_most("trust chain", chain.len() as u64, MAX_KEPT_TRUST_CHAIN as u64)?;
        let before = self.later.len();
        for signed in chain {
            if let Some(next) = follow(self.newest(), signed)? {
                at_most("kept trust roots", self.signed.len() as u64 + 1, KEPT_MAX)?;
                self.later.push(next);
                self.signed.push(signed.clone());
            }
        }
        Ok(self.later.len() - before)
    }

    /// The chain as it was before its newest trust root; `None` for the embedded one alone.
    pub(crate) fn without_newest(&self) -> Option<Self> {
        let mut older = self.clone();
        older.later.pop()?;
        older.signed.pop();
        Some(older)
    }

    /// The newest trust root.
    pub fn newest(&self) -> &TrustRoot {
        self.later.last().unwrap_or(&self.first)
    }

    /// The embedded trust root's version.
    pub(crate) fn first_version(&self) -> u64 {
        self.first.version
    }

    /// The signed trust roots, the embedded one first.
    pub fn signed(&self) -> &[Vec<u8>] {
        &self.signed
    }

    /// The newest floor that came with a trust root after a version. A floor is new where the
    /// trust root before it had another or none, so that one which is carried on clears nothing
    /// again; another origin is another log, and starts at its floor or at nothing.
    pub(crate) fn reset_since(&self, version: u64) -> Option<Reset> {
        let mut before: Option<&TrustRoot> = None;
        let mut reset = None;
        for root in core::iter::once(&self.first).chain(&self.later) {
            let other_log = before.is_some_and(|before| before.origin != root.origin);
            let other_floor = before.is_none_or(|before| before.floor != root.floor);
            if root.version > version && (other_log || (root.floor.is_some() && other_floor)) {
                reset = Some(Reset { version: root.version, to: Seen::floor(root) });
            }
            before = Some(root);
        }
        reset
    }
}

const KEPT_MAX: u64 = MAX_KEPT_TRUST_CHAIN as u64;
