//! Whether the edge lets a pointer move (docs/spec/log.md, "Appending").
//!
//! The edge holds no signing key, and lets nothing become current that clients would refuse. An
//! attacker with a stolen upload credential could try to bring an old head back, to fork the log,
//! to point to another dataset's head, or to leave tiles that prove nothing: each is refused
//! here, before the pointer moves.

use alloc::vec::Vec;

use super::accept::{Ground, Proven, Seen, check_size, ground};
use super::log::{Frontier, root_of};
use super::note::witness_time;
use super::root::{TrustChain, follow, verify_trust_root};
use super::tiles::{TILE_WIDTH, TileKind, TileRef, parse_entries, parse_hashes, tail_tiles};
use crate::codec::at_most;
use crate::error::{Error, FormatError, TrustError};
use crate::format::bootstrap::Bootstrap;
use crate::format::head::{Channel, Head};
use crate::format::note::Checkpoint;
use crate::format::trust_root::{SignedTrustRoot, TrustRoot};
use crate::hash;
use crate::limits::{MAX_BOOTSTRAP_LEN, MAX_TRUST_CHAIN};
use crate::types::{LogHash, Name};

/// What the edge knows when a pointer is to move.
#[derive(Clone, Debug)]
pub struct PointerRequest<'a> {
    /// The dataset.
    pub dataset: &'a Name,
    /// The channel.
    pub channel: &'a Name,
    /// The signed trust roots that the edge holds, from version 1 up.
    pub trust_roots: &'a [Vec<u8>],
    /// The pointer before: the channel's own bootstrap, or for a new channel of a log that has
    /// entries the bootstrap of the dataset's newest checkpoint.
    pub old: Option<&'a [u8]>,
    /// The channel's own bootstrap, where it has a pointer.
    pub own: Option<&'a [u8]>,
    /// The bootstrap that the pointer shall move to.
    pub new: &'a [u8],
    /// The tiles that [`pointer_tiles`] names, as they are stored.
    pub tiles: &'a [(TileRef, Vec<u8>)],
}

/// A pointer that may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerMove {
    /// The log's size.
    pub size: u64,
    /// The log's root.
    pub root: LogHash,
    /// What the channel stands at then; its manifest must be stored before the pointer moves.
    /// `None` where the channel is withdrawn: only a pointer that stands can say so.
    pub channel: Option<Channel>,
    /// The checkpoint: a signed note.
    pub checkpoint: Vec<u8>,
    /// The head state.
    pub head: Head,
}

/// The tiles that must be stored before a pointer moves to a bootstrap: those that its last
/// append wrote.
pub fn pointer_tiles(new_bootstrap: &[u8]) -> Result<Vec<TileRef>, Error> {
    let bootstrap = Bootstrap::parse(new_bootstrap)?;
    Ok(tail_tiles(Checkpoint::parse(&bootstrap.checkpoint)?.size))
}

/// Checks that a pointer may move: signatures, cosignatures, the head state as the log's last
/// entry, growth by one entry or by none, versions, and the tiles.
pub fn check_pointer_move(request: &PointerRequest<'_>) -> Result<PointerMove, Error> {
    let chain = held_chain(request)?;
    let bootstrap = Bootstrap::parse(request.new)?;
    check_bootstrap_chain(&chain, &bootstrap.trust_chain)?;
    let Bootstrap { checkpoint, head, inclusion, .. } = &bootstrap;
    let new = Proven::check(&chain, checkpoint, head, inclusion)?;
    check_growth(&chain, request.old, &new)?;
    check_tail(&new, head, request.tiles)?;
    let channel = new.head.channel(request.channel.as_str()).cloned();
    match request.own {
        Some(own) => check_cosignatures(&chain, own, &new)?,
        None if channel.is_none() => return Err(TrustError::NoSuchChannel.into()),
        None => {}
    }
    let Seen { size, root } = new.seen();
    Ok(PointerMove { size, root, channel, checkpoint: bootstrap.checkpoint, head: new.head })
}

/// Checks a trust root before it is stored: the first one by itself, a later one against the one
/// before it.
pub fn check_trust_root(
    dataset: &Name,
    old: Option<&[u8]>,
    new: &[u8],
) -> Result<TrustRoot, Error> {
    let Some(old) = old else {
        let root = verify_trust_root(new, dataset)?;
        return match root.version {
            1 => Ok(root),
            value => Err(FormatError::Invalid { field: "trust root version", value }.into()),
        };
    };
    let old = verify_trust_root(old, dataset)?;
    follow(&old, new)?.ok_or_else(|| TrustError::BadTrustChain.into())
}

fn held_chain(request: &PointerRequest<'_>) -> Result<TrustChain, Error> {
    let (first, later) = request.trust_roots.split_first().ok_or(TrustError::BadTrustChain)?;
    let mut chain = TrustChain::embedded(first, request.dataset)?;
    chain.extend(later)?;
    Ok(chain)
}

/// The chain that a bootstrap carries must be the end of the one that the edge holds, so that it
/// leads every client to the newest trust root; version 1 alone need not be carried.
fn check_bootstrap_chain(chain: &TrustChain, carried: &[Vec<u8>]) -> Result<(), Error> {
    let held = chain.signed();
    let complete = held.ends_with(carried) && (!carried.is_empty() || held.len() == 1);
    if complete { Ok(()) } else { Err(TrustError::BadTrustChain.into()) }
}

/// The log grew by one entry, or is the same: then only cosignatures and inlined objects differ,
/// or another channel's pointer follows.
fn check_growth(chain: &TrustChain, old: Option<&[u8]>, new: &Proven) -> Result<(), Error> {
    // What the pointer stands at was checked when it moved there, maybe under older keys.
    let old = match old {
        Some(bytes) => {
            let bootstrap = Bootstrap::parse(bytes)?;
            let Checkpoint { size, root, .. } = Checkpoint::parse(&bootstrap.checkpoint)?;
            Some((Head::parse(&bootstrap.head)?, Seen { size, root }))
        }
        None => None,
    };
    let held = old.as_ref().map(|(head, seen)| (head, *seen));
    let Ground { seen, reset } = ground(chain, held, &new.head);
    let offered = new.seen();
    check_size(offered, seen)?;
    if offered.size > seen.size.saturating_add(1) {
        let (offered, stands) = (offered.size, seen.size);
        return Err(TrustError::WrongLogSize { offered, stands }.into());
    }
    if offered.size > seen.size && new.before.root() != seen.root {
        return Err(TrustError::Fork.into());
    }
    match held {
        Some((head, _)) if !reset => {
            if new.head.trust_root_version < head.trust_root_version {
                let (needed, known) = (head.trust_root_version, new.head.trust_root_version);
                return Err(TrustError::OutdatedTrustRoot { needed, known }.into());
            }
            new.check_after(head)
        }
        _ => Ok(()),
    }
}

/// Where nothing but cosignatures changes, they do not get older: who holds an upload credential
/// could else make fresh data look stale.
fn check_cosignatures(chain: &TrustChain, own: &[u8], new: &Proven) -> Result<(), Error> {
    let own = Checkpoint::parse(&Bootstrap::parse(own)?.checkpoint)?;
    if own.body != new.verified.checkpoint.body {
        return Ok(());
    }
    // Cosignatures that no longer count, under a newer trust root, are worth nothing.
    let stands = witness_time(&chain.newest().witnesses, &own).unwrap_or(0);
    let offered = new.verified.cosigned_s;
    match offered < stands {
        true => Err(TrustError::OlderCosignatures { offered, stands }.into()),
        false => Ok(()),
    }
}

/// The size from which on a new trust root's floor makes what is stored void, where it does:
/// what stands there may be written anew. `newest` is the dataset's newest bootstrap.
pub fn void_from(
    dataset: &Name,
    trust_roots: &[Vec<u8>],
    newest: &[u8],
) -> Result<Option<u64>, Error> {
    let (first, later) = trust_roots.split_first().ok_or(TrustError::BadTrustChain)?;
    let mut chain = TrustChain::embedded(first, dataset)?;
    chain.extend(later)?;
    let head = Head::parse(&Bootstrap::parse(newest)?.head)?;
    Ok(chain.reset_since(head.trust_root_version).map(|reset| reset.to.size))
}

/// A bootstrap with a checkpoint that has newer cosignatures, and the trust roots that the edge
/// holds by now; all else stays. It is checked as any other before a pointer moves to it.
pub fn refreshed(
    bootstrap: &[u8],
    checkpoint: &Checkpoint,
    trust_roots: &[Vec<u8>],
) -> Result<Vec<u8>, Error> {
    let mut bootstrap = Bootstrap::parse(bootstrap)?;
    bootstrap.checkpoint = checkpoint.encode().into_bytes();
    bootstrap.trust_chain = trust_roots[trust_roots.len().saturating_sub(MAX_TRUST_CHAIN)..].into();
    let bytes = bootstrap.encode();
    at_most("bootstrap", bytes.len() as u64, MAX_BOOTSTRAP_LEN as u64)?;
    Ok(bytes)
}

/// The tiles at the log's end hold the head state last and, before it, what the inclusion proof
/// proves.
fn check_tail(new: &Proven, entry: &[u8], tiles: &[(TileRef, Vec<u8>)]) -> Result<(), Error> {
    let bad = Error::Trust(TrustError::BadTile);
    let mut below: Vec<LogHash> = Vec::new();
    for tile in tail_tiles(new.seen().size) {
        let (_, bytes) = tiles.iter().find(|(other, _)| *other == tile).ok_or(bad.clone())?;
        match tile.kind() {
            TileKind::Hashes { level } => {
                let last = match level {
                    0 => hash::log_leaf(entry),
                    _ => root_of(&below),
                };
                below = parse_hashes(&tile, bytes)?;
                check_hashes(&new.before, level, &below, last)?;
            }
            // The hash tile of level 0 came just before.
            TileKind::Entries => {
                let hashes = parse_entries(&tile, bytes)?.into_iter().map(hash::log_leaf);
                if !hashes.eq(below.iter().copied()) {
                    return Err(bad);
                }
            }
        }
    }
    Ok(())
}

/// A tile at the log's end: its last hash is the one expected, and those before it fold to the
/// proof's subtrees of just these heights.
fn check_hashes(
    before: &Frontier,
    level: u8,
    hashes: &[LogHash],
    last: LogHash,
) -> Result<(), Error> {
    let bad = Error::Trust(TrustError::BadTile);
    let (end, rest) = hashes.split_last().ok_or(bad.clone())?;
    let mut part = Frontier::new();
    for hash in rest {
        part.push(*hash);
    }
    // The frontier's nodes stand in the order of the size's bits, the highest first.
    let units = before.size() >> (8 * u32::from(level));
    let above = (units / TILE_WIDTH).count_ones() as usize;
    let count = (units % TILE_WIDTH).count_ones() as usize;
    let proven = before.nodes().get(above..above + count).ok_or(bad.clone())?;
    if *end == last && part.nodes() == proven { Ok(()) } else { Err(bad) }
}

/// Reads the version of a signed trust root without checking it: for naming it in a store.
pub fn trust_root_version(signed: &[u8]) -> Result<u64, Error> {
    TrustRoot::parse(&SignedTrustRoot::parse(signed)?.body).map(|root| root.version)
}
