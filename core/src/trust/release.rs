//! Whether an unsigned release may be signed: what a signer's machine checks, which has no
//! network and trusts neither the machine that built nor the one that will publish.
//!
//! In scope: the log's growth from the release before, who signed that one, the rules between
//! head states. Out of scope: what the content is worth; a signer is shown its names. Whoever
//! prepares a release could leave out the newest one before it: a signer remembers what it signed
//! last, in its shell.

use super::accept::{Evidence, Ground, Proven, Seen, check_heads, check_size, ground};
use super::log::Frontier;
use super::root::TrustChain;
use crate::error::{Error, TrustError};
use crate::format::head::Head;
use crate::format::note::Checkpoint;
use crate::hash;

/// What a release does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The head state before, where there is one.
    pub before: Option<Head>,
    /// The point of the log that the release goes on from.
    pub from: Seen,
    /// The head state after.
    pub after: Head,
    /// The log's end after.
    pub to: Seen,
    /// Whether a new trust root's floor takes the place of what was published before, whose
    /// versions then bind no more.
    pub reset: bool,
}

/// Checks a release that is not signed yet: the signatures of `new.checkpoint` are not looked at,
/// all else is. `before` is what the pointer stands at; `None` for the first release of a log.
pub fn check_release_draft(
    chain: &TrustChain,
    before: Option<&Evidence>,
    new: &Evidence,
) -> Result<Step, Error> {
    let root = chain.newest();
    let checkpoint = Checkpoint::parse_unsigned(&new.checkpoint)?;
    if checkpoint.origin != root.origin {
        return Err(TrustError::WrongOrigin.into());
    }
    let after = Head::parse(&new.head)?;
    if after.dataset != root.dataset {
        return Err(TrustError::WrongDataset.into());
    }
    if after.trust_root_version != root.version {
        let (needed, known) = (after.trust_root_version, root.version);
        return Err(TrustError::OutdatedTrustRoot { needed, known }.into());
    }
    let before = before.map(|entry| check_published(chain, entry)).transpose()?;
    let held = before.as_ref().map(|proven| (&proven.head, proven.seen()));
    let Ground { seen: from, reset } = ground(chain, held, &after);
    let to = Seen { size: checkpoint.size, root: checkpoint.root };
    check_size(to, from)?;
    if to.size != from.size.saturating_add(1) {
        let (offered, stands) = (to.size, from.size);
        return Err(TrustError::WrongLogSize { offered, stands }.into());
    }
    let mut log =
        Frontier::before_last(&new.inclusion, to.size).ok_or(TrustError::BadInclusionProof)?;
    if log.root() != from.root {
        return Err(TrustError::Fork.into());
    }
    log.push(hash::log_leaf(&new.head));
    if log.root() != to.root {
        return Err(TrustError::BadInclusionProof.into());
    }
    let before = before.map(|proven| proven.head);
    if let Some(before) = before.as_ref().filter(|_| !reset) {
        check_heads(before, &after)?;
    }
    Ok(Step { before, from, after, to, reset })
}

/// The point of the log that a release has to go on from, and whether a new trust root's floor
/// takes the place of what was published before.
pub fn release_ground(
    chain: &TrustChain,
    before: Option<(&Head, Seen)>,
    after: &Head,
) -> (Seen, bool) {
    let Ground { seen, reset } = ground(chain, before, after);
    (seen, reset)
}

/// What stands was signed under one of the trust roots since the one that it names.
fn check_published(chain: &TrustChain, entry: &Evidence) -> Result<Proven, Error> {
    let oldest = Head::parse(&entry.head)?.trust_root_version;
    let mut under = chain.clone();
    loop {
        match Proven::check(&under, &entry.checkpoint, &entry.head, &entry.inclusion) {
            Ok(proven) => return Ok(proven),
            Err(error) => match under.without_newest() {
                Some(older) if older.newest().version >= oldest => under = older,
                Some(_) | None => return Err(error),
            },
        }
    }
}
