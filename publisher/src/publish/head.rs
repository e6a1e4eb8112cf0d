//! What the edge stands at, verified as a client verifies it.
//!
//! The edge's log is the truth for what comes next; what this machine saw before is the witness
//! against an edge that shows an older log or another one.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use packice_core::error::{Error, TrustError};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head};
use packice_core::format::note::Checkpoint;
use packice_core::limits::MAX_BOOTSTRAP_LEN;
use packice_core::trust::accept::{Offer, Seen, TrustState};
use packice_core::trust::log::Frontier;
use packice_core::trust::tiles::TileRef;
use packice_core::types::Name;

use crate::config::Config;
use crate::edge::Edge;
use crate::failure::{Failure, Kind, Result};
use crate::project::State;
use crate::trust_store::LoadedTrustRoot;

/// The verified state of a dataset on an edge.
#[derive(Clone, Debug)]
pub struct EdgeHead {
    /// All that is believed of it.
    pub trust: TrustState,
    /// The pointers of all channels that are known, by name.
    pub pointers: BTreeMap<Name, Pointer>,
}

/// A channel's pointer as it stands.
#[derive(Clone, Debug)]
pub struct Pointer {
    /// Its entity tag.
    pub etag: String,
    /// The bootstrap.
    pub bytes: Vec<u8>,
}

impl EdgeHead {
    /// Reads and verifies what an edge stands at.
    pub fn read(
        edge: &Edge,
        config: &Config,
        chain: &[LoadedTrustRoot],
        state: &State,
        new_log: bool,
    ) -> Result<Self> {
        let (dataset, channel) = (&config.dataset, &config.channel);
        let trust = remembered(dataset, chain, state)?;
        let mut channels = vec![channel.clone(), Name::new("stable")?];
        channels.extend(config.other_channels.iter().cloned());
        channels.extend(state.channels.keys().filter_map(|name| Name::new(name).ok()));
        let pointers = read_pointers(edge, channels)?;
        let trust = match newest_bootstrap(&pointers)? {
            Some(bootstrap) => accept(edge, trust, &bootstrap)?,
            None if trust.head().is_none() || new_log => embedded(dataset, chain)?,
            None => {
                let size = trust.seen().size;
                let message = format!(
                    "the edge has no log of '{dataset}', and {size} releases were published from \
                     here"
                );
                return Err(Failure::conflict(message).next(
                    "check the edge's URL; --new-log begins again, and clients that saw the old \
                     log will refuse the new one",
                ));
            }
        };
        Ok(Self { trust, pointers })
    }

    /// The head state, where there is one.
    pub fn head(&self) -> Option<&Head> {
        self.trust.head()
    }

    /// What a channel stands at.
    pub fn channel(&self, name: &Name) -> Option<&Channel> {
        self.head()?.channel(name.as_str())
    }

    /// What the next entry is appended to.
    pub fn frontier(&self) -> Result<Frontier> {
        let Some((entry, inclusion)) = self.trust.entry() else { return Ok(Frontier::new()) };
        let mut frontier = Frontier::before_last(&inclusion, self.trust.seen().size)
            .ok_or(Error::Trust(TrustError::BadInclusionProof))?;
        frontier.push(packice_core::hash::log_leaf(entry));
        let at = Seen { size: frontier.size(), root: frontier.root() };
        match at == self.trust.seen() {
            true => Ok(frontier),
            false => Err(Error::Trust(TrustError::BadInclusionProof).into()),
        }
    }
}

/// What somebody sees who has nothing but a trust root.
pub enum Outside {
    /// A verified state.
    Verified(Box<TrustState>),
    /// No such pointer.
    Nothing,
}

/// Reads a channel's pointer from the outside, as a cold client does.
pub fn read_outside(edge: &Edge, root: &LoadedTrustRoot, channel: &Name) -> Result<Outside> {
    let trust = TrustState::embedded(&root.bytes, &root.root.dataset)?;
    let Some(pointer) = read_pointer(edge, channel)? else { return Ok(Outside::Nothing) };
    let bootstrap = Bootstrap::parse(&pointer.bytes)?;
    Ok(Outside::Verified(Box::new(accept(edge, trust, &bootstrap)?)))
}

fn embedded(dataset: &Name, chain: &[LoadedTrustRoot]) -> Result<TrustState> {
    let first = chain.first().ok_or_else(|| Failure::usage("no trust root"))?;
    Ok(TrustState::embedded(&first.bytes, dataset)?)
}

/// What this machine saw last; what does not hold any more counts for nothing.
fn remembered(dataset: &Name, chain: &[LoadedTrustRoot], state: &State) -> Result<TrustState> {
    let first = chain.first().ok_or_else(|| Failure::usage("no trust root"))?;
    let stored = state.trust.as_deref().and_then(|text| Base64::decode_vec(text).ok());
    match stored.map(|bytes| TrustState::restore(&first.bytes, dataset, &bytes)) {
        Some(Ok(trust)) => Ok(trust),
        Some(Err(_)) | None => embedded(dataset, chain),
    }
}

/// A trust state as [`State`] keeps it.
pub fn remember(trust: &TrustState) -> String {
    Base64::encode_string(&trust.encode())
}

/// Reads a channel's pointer.
pub fn read_pointer(edge: &Edge, channel: &Name) -> Result<Option<Pointer>> {
    let path = format!("bootstrap/{channel}");
    let Some(fetched) = edge.get(&path, MAX_BOOTSTRAP_LEN)? else { return Ok(None) };
    let etag = fetched.etag.ok_or_else(|| {
        Failure::network(format!("GET {}: the edge gives no ETag", edge.url(&path)))
            .next("check that no proxy between here and the edge drops it")
    })?;
    // A weak tag, made by compression on the way, names the same pointer.
    let etag = etag.strip_prefix("W/").map(str::to_owned).unwrap_or(etag);
    Ok(Some(Pointer { etag, bytes: fetched.bytes }))
}

/// The pointers of some channels, and of those that their head states name.
fn read_pointers(edge: &Edge, channels: Vec<Name>) -> Result<BTreeMap<Name, Pointer>> {
    let mut pointers = BTreeMap::new();
    let mut seen: Vec<Name> = Vec::new();
    let mut open = channels;
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name.clone());
        let Some(pointer) = read_pointer(edge, &name)? else { continue };
        let bootstrap = Bootstrap::parse(&pointer.bytes)?;
        open.extend(Head::parse(&bootstrap.head)?.channels.into_iter().map(|other| other.name));
        pointers.insert(name, pointer);
    }
    Ok(pointers)
}

/// The newest bootstrap: under the newest trust root, then the one of the longest log.
fn newest_bootstrap(pointers: &BTreeMap<Name, Pointer>) -> Result<Option<Bootstrap>> {
    let mut newest: Option<((u64, u64), Bootstrap)> = None;
    for pointer in pointers.values() {
        let bootstrap = Bootstrap::parse(&pointer.bytes)?;
        let size = Checkpoint::parse(&bootstrap.checkpoint)?.size;
        let mark = (Head::parse(&bootstrap.head)?.trust_root_version, size);
        if newest.as_ref().is_none_or(|(other, _)| mark > *other) {
            newest = Some((mark, bootstrap));
        }
    }
    Ok(newest.map(|(_, bootstrap)| bootstrap))
}

fn accept(edge: &Edge, trust: TrustState, bootstrap: &Bootstrap) -> Result<TrustState> {
    let refused = |error: Error| -> Failure {
        let failure = Failure::from(error.clone()).within("what the edge serves does not hold");
        match error {
            Error::Trust(TrustError::Rollback { .. } | TrustError::Fork) => failure.next(
                "the edge shows another log than this machine saw: find out why before you \
                 publish",
            ),
            Error::Trust(_) | Error::Format(_) | Error::Delta(_) | Error::Misuse(_) => {
                failure.next("check that trust/ belongs to this edge's dataset")
            }
        }
    };
    // The pointer of a withdrawn channel leads to a head state that does not name it.
    let of = Head::parse(&bootstrap.head)?.channels.into_iter().next();
    let of = of.ok_or_else(|| Failure::verification("the edge's head state names no channel"))?;
    match trust.offer(bootstrap, &of.name).map_err(refused)? {
        Offer::Unchanged => Ok(trust),
        Offer::Accepted(accepted) => Ok(accepted.state),
        Offer::NeedsConsistency { tiles, pending } => {
            let tiles = fetch_tiles(edge, &tiles)?;
            Ok(pending.finish(&tiles).map_err(refused)?.state)
        }
    }
}

/// The tiles of the log, as the edge has them.
pub fn fetch_tiles(edge: &Edge, tiles: &[TileRef]) -> Result<Vec<(TileRef, Vec<u8>)>> {
    let mut fetched = Vec::new();
    for tile in tiles {
        let path = format!("log/{}", tile.path());
        let Some(body) = edge.get(&path, tile.max_len())? else {
            let message = format!("the edge lacks {path}, which its log needs");
            return Err(Failure::new(Kind::Verification, message));
        };
        fetched.push((*tile, body.bytes));
    }
    Ok(fetched)
}
