//! What a client keeps of what it trusts, and whether it takes a newer checkpoint
//! (docs/spec/trust-state.md).
//!
//! Checks go from who speaks to what is said: trust roots, signatures, cosignatures, the head
//! state's place as the log's last entry, its dataset and trust root, growth of the log since the
//! checkpoint seen last, the channel. A new [`TrustState`] exists only after the last check, so a
//! state is never taken in part.
//!
//! An attacker who serves old, forked or foreign logs gets an error that names the lie; one who
//! can write the local store gets no further than one who serves, since [`TrustState::restore`]
//! checks all of it again.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::freshness::Freshness;
use super::log::{Frontier, empty_root};
use super::note::{Verified, verify_note};
use super::root::TrustChain;
use super::tiles::{TileRef, consistency_tiles, earlier_root};
use crate::codec::{Reader, Writer};
use crate::error::{Error, TrustError};
use crate::format::bootstrap::Bootstrap;
use crate::format::head::{Channel, Head};
use crate::format::trust_root::TrustRoot;
use crate::hash;
use crate::limits::{
    MAX_CHECKPOINT_LEN, MAX_HEAD_LEN, MAX_KEPT_TRUST_CHAIN, MAX_PROOF_HASHES, MAX_TRUST_ROOT_LEN,
    MAX_TRUST_STATE_LEN,
};
use crate::planted::{self, Bug};
use crate::types::{LogHash, Millis, Name};

const MAGIC: &[u8; 4] = b"PKA1";

/// A point of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many entries.
    pub size: u64,
    /// The log's root hash there.
    pub root: LogHash,
}

impl Seen {
    /// The point before the first entry: every log goes on from it.
    pub fn nothing() -> Self {
        Self { size: 0, root: empty_root() }
    }

    /// A trust root's floor, or nothing.
    pub fn floor(root: &TrustRoot) -> Self {
        match &root.floor {
            Some(floor) => Self { size: floor.size, root: floor.root },
            None => Self::nothing(),
        }
    }
}

/// A head state and all that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    note: Vec<u8>,
    pub(crate) verified: Verified,
    entry: Vec<u8>,
    pub(crate) head: Head,
    /// The log before its last entry, which is the head state.
    pub(crate) before: Frontier,
}

impl Proven {
    /// Checks signatures, the head state's place in the log, its dataset and its trust root.
    pub(crate) fn check(
        chain: &TrustChain,
        note: &[u8],
        entry: &[u8],
        inclusion: &[LogHash],
    ) -> Result<Self, Error> {
        let root = chain.newest();
        let verified = verify_note(root, note)?;
        let checkpoint = &verified.checkpoint;
        let before = Frontier::before_last(inclusion, checkpoint.size)
            .ok_or(TrustError::BadInclusionProof)?;
        let mut whole = before.clone();
        whole.push(hash::log_leaf(entry));
        if whole.root() != checkpoint.root {
            return Err(TrustError::BadInclusionProof.into());
        }
        let head = Head::parse(entry)?;
        if head.dataset != root.dataset {
            return Err(TrustError::WrongDataset.into());
        }
        if head.trust_root_version > root.version {
            let (needed, known) = (head.trust_root_version, root.version);
            return Err(TrustError::OutdatedTrustRoot { needed, known }.into());
        }
        Ok(Self { note: note.to_vec(), verified, entry: entry.to_vec(), head, before })
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen { size: self.verified.checkpoint.size, root: self.verified.checkpoint.root }
    }

    /// Checks the rules between one head state and a later one of the same log.
    pub(crate) fn check_after(&self, old: &Head) -> Result<(), Error> {
        check_heads(old, &self.head)
    }
}

/// What proves a head state to whoever knows the trust root, as stored states and full proofs
/// carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The checkpoint: a signed note.
    pub checkpoint: Vec<u8>,
    /// Its last entry: a head state.
    pub head: Vec<u8>,
    /// The proof that it is the last entry, from the leaf up.
    pub inclusion: Vec<LogHash>,
}

impl Evidence {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let checkpoint = r.bytes("checkpoint", MAX_CHECKPOINT_LEN)?.to_vec();
        let head = r.bytes("head state", MAX_HEAD_LEN)?.to_vec();
        let mut inclusion = Vec::new();
        for _ in 0..r.count("inclusion proof", MAX_PROOF_HASHES)? {
            inclusion.push(r.log_hash("inclusion proof")?);
        }
        Ok(Self { checkpoint, head, inclusion })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.bytes(&self.checkpoint);
        w.bytes(&self.head);
        w.count(self.inclusion.len());
        for hash in &self.inclusion {
            w.raw(&hash.0);
        }
    }
}

/// Reads signed trust roots.
pub(crate) fn read_roots(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let mut roots = Vec::new();
    for _ in 0..r.count("trust chain", MAX_KEPT_TRUST_CHAIN)? {
        roots.push(r.bytes("trust root", MAX_TRUST_ROOT_LEN)?.to_vec());
    }
    Ok(roots)
}

pub(crate) fn write_roots(roots: &[Vec<u8>], w: &mut Writer) {
    w.count(roots.len());
    for root in roots {
        w.bytes(root);
    }
}

/// Checks the rules between one head state and a later one of the same log.
pub fn check_heads(old: &Head, new: &Head) -> Result<(), Error> {
    for channel in &new.channels {
        let Some(held) = old.channel(channel.name.as_str()) else {
            continue;
        };
        if channel.version < held.version && !planted::is(Bug::OlderTaken) {
            let (offered, held) = (channel.version.0, held.version.0);
            return Err(TrustError::VersionRollback { offered, held }.into());
        }
        if channel.version == held.version && channel.manifest != held.manifest {
            return Err(TrustError::VersionReused { version: held.version.0 }.into());
        }
    }
    Ok(())
}

/// Where a new head state has to go on from.
pub(crate) struct Ground {
    /// The point that it must extend.
    pub seen: Seen,
    /// Whether a trust root's new floor took the place of what was seen.
    pub reset: bool,
}

/// What was seen last counts, unless a trust root newer than it brought a floor, and the new head
/// state was made under that trust root: then the floor counts.
pub(crate) fn ground(chain: &TrustChain, old: Option<(&Head, Seen)>, new: &Head) -> Ground {
    let Some((old, seen)) = old else {
        return Ground { seen: Seen::floor(chain.newest()), reset: false };
    };
    match chain.reset_since(old.trust_root_version) {
        Some(reset) if new.trust_root_version >= reset.version => {
            Ground { seen: reset.to, reset: true }
        }
        _ => Ground { seen, reset: false },
    }
}

/// What a client keeps of what it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustState {
    chain: TrustChain,
    accepted: Option<Proven>,
}

/// What became of an offered checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It says nothing new.
    Unchanged,
    /// It is accepted.
    Accepted(Box<Accepted>),
    /// It is accepted if these tiles prove that the log only grew since it was seen last. They
    /// are fetched in parallel: none depends on another.
    NeedsConsistency {
        /// The tiles.
        tiles: Vec<TileRef>,
        /// What goes on once they are there.
        pending: Box<Pending>,
    },
}

/// A checkpoint that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to keep from now on.
    pub state: TrustState,
    /// The head state.
    pub head: Head,
    /// The channel that was asked for.
    pub channel: Channel,
    /// Whether a new trust root's floor took the place of what was seen before: the channel may
    /// stand at a lower version than the one that is held.
    pub reset: bool,
}

/// A checkpoint that passed every check but the log's growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    accepted: Accepted,
    before: Frontier,
    seen: Seen,
    tiles: Vec<TileRef>,
}

impl Pending {
    /// The channel, as the head state has it that is not proven yet.
    pub fn channel(&self) -> &Channel {
        &self.accepted.channel
    }

    /// The tiles that are needed.
    pub fn tiles(&self) -> &[TileRef] {
        &self.tiles
    }

    /// Goes on with the tiles' bytes, in any order. On [`TrustError::BadConsistencyProof`] and
    /// [`TrustError::WrongLength`] the tiles are bad and may be asked of another source; on
    /// [`TrustError::Fork`] they are good, and the log is not the one seen before.
    pub fn finish(&self, tiles: &[(TileRef, Vec<u8>)]) -> Result<Accepted, Error> {
        if earlier_root(&self.before, self.seen.size, tiles)? != self.seen.root {
            return Err(TrustError::Fork.into());
        }
        Ok(self.accepted.clone())
    }
}

impl TrustState {
    /// Nothing but the embedded trust root.
    pub fn embedded(signed_root: &[u8], dataset: &Name) -> Result<Self, Error> {
        Ok(Self { chain: TrustChain::embedded(signed_root, dataset)?, accepted: None })
    }

    /// Reads a stored state, and checks all of it again under the embedded trust root. On an
    /// error begin with [`TrustState::embedded`]: a damaged store is worth what an empty one is.
    pub fn restore(signed_root: &[u8], dataset: &Name, stored: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(stored, MAGIC, "trust state", MAX_TRUST_STATE_LEN)?;
        let roots = read_roots(&mut r)?;
        let evidence = r.flag("accepted flag")?.then(|| Evidence::read(&mut r)).transpose()?;
        r.finish("trust state")?;
        Self::check(signed_root, dataset, &roots, evidence.as_ref())
    }

    /// Checks trust roots, and what proves a head state under the newest of them.
    pub(crate) fn check(
        signed_root: &[u8],
        dataset: &Name,
        roots: &[Vec<u8>],
        evidence: Option<&Evidence>,
    ) -> Result<Self, Error> {
        let mut chain = TrustChain::embedded(signed_root, dataset)?;
        chain.extend(roots)?;
        let check = |e: &Evidence| Proven::check(&chain, &e.checkpoint, &e.head, &e.inclusion);
        let accepted = evidence.map(check).transpose()?;
        Ok(Self { chain, accepted })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        write_roots(self.chain.signed(), &mut w);
        w.byte(self.accepted.is_some().into());
        if let Some(evidence) = self.evidence() {
            evidence.write(&mut w);
        }
        w.finish()
    }

    /// What proves the head state that was accepted last.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        self.accepted.as_ref().map(|accepted| Evidence {
            checkpoint: accepted.note.clone(),
            head: accepted.entry.clone(),
            inclusion: accepted.before.next_proof(),
        })
    }

    /// The newest trust root.
    pub fn root(&self) -> &TrustRoot {
        self.chain.newest()
    }

    /// The signed trust roots from the embedded one to the newest.
    pub fn chain(&self) -> &[Vec<u8>] {
        self.chain.signed()
    }

    /// The point of the log that was seen last.
    pub fn seen(&self) -> Seen {
        match &self.accepted {
            Some(accepted) => accepted.seen(),
            None => Seen::floor(self.root()),
        }
    }

    /// The head state that was accepted last.
    pub fn head(&self) -> Option<&Head> {
        self.accepted.as_ref().map(|accepted| &accepted.head)
    }

    /// The checkpoint that was accepted last, a signed note.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.accepted.as_ref().map(|accepted| accepted.note.as_slice())
    }

    /// When a quorum of witnesses had cosigned that checkpoint, in seconds since 1970; 0 where
    /// none is asked for.
    pub fn cosigned_s(&self) -> u64 {
        self.accepted.as_ref().map_or(0, |accepted| accepted.verified.cosigned_s)
    }

    /// The same time; `None` where no witness is asked for.
    pub fn cosigned_at(&self) -> Option<Millis> {
        let accepted = self.accepted.as_ref().filter(|_| self.root().witnesses.quorum > 0)?;
        Some(Millis(accepted.verified.cosigned_s.saturating_mul(1000)))
    }

    /// How old that checkpoint is.
    pub fn freshness(&self, now: Millis) -> Freshness {
        Freshness::of(self.root().staleness, self.cosigned_at(), None, now)
    }

    /// Checks a checkpoint alone. It can say that the log has new cosignatures and nothing else;
    /// whatever more it says is [`Offer::Unchanged`] here, and the bootstrap's to prove.
    pub fn refresh(&self, note: &[u8], channel: &Name) -> Result<Offer, Error> {
        let Some(held) = self.accepted.as_ref().filter(|held| held.note != note) else {
            return Ok(Offer::Unchanged);
        };
        let verified = verify_note(self.root(), note)?;
        let renewed = Proven { note: note.to_vec(), verified, ..held.clone() };
        if renewed.seen() != held.seen() || self.is_as_good(&renewed) {
            return Ok(Offer::Unchanged);
        }
        let head = renewed.head.clone();
        let channel = head.channel(channel.as_str()).cloned().ok_or(TrustError::NoSuchChannel)?;
        let state = Self { chain: self.chain.clone(), accepted: Some(renewed) };
        Ok(Offer::Accepted(Box::new(Accepted { state, head, channel, reset: false })))
    }

    /// The signed trust roots that lead on from version 1, which every wallet has.
    pub(crate) fn chain_after_first(&self) -> Vec<Vec<u8>> {
        self.chain.signed()[usize::from(self.chain.first_version() == 1)..].to_vec()
    }

    /// The bytes of the head state accepted last, and its inclusion proof from the leaf up.
    pub fn entry(&self) -> Option<(&[u8], Vec<LogHash>)> {
        let accepted = self.accepted.as_ref()?;
        Some((&accepted.entry, accepted.before.next_proof()))
    }

    /// Checks what a source offers.
    pub fn offer(&self, bootstrap: &Bootstrap, channel: &Name) -> Result<Offer, Error> {
        let mut chain = self.chain.clone();
        let new_roots = chain.extend(&bootstrap.trust_chain)?;
        if new_roots == 0 && self.checkpoint() == Some(&bootstrap.checkpoint) {
            return Ok(Offer::Unchanged);
        }
        let Bootstrap { checkpoint, head, inclusion, .. } = bootstrap;
        let proven = Proven::check(&chain, checkpoint, head, inclusion)?;
        let old = self.accepted.as_ref().map(|accepted| (&accepted.head, accepted.seen()));
        let Ground { seen, reset } = ground(&chain, old, &proven.head);
        let seen = if planted::is(Bug::OlderTaken) { proven.seen() } else { seen };
        check_size(proven.seen(), seen)?;
        let mut proven = proven;
        if self.is_as_good(&proven) {
            if new_roots == 0 {
                return Ok(Offer::Unchanged);
            }
            // Newer trust roots alone, with an older note of the same log: what is held stays
            // where it holds under them.
            if let Some(held) = self.evidence()
                && let Ok(held) =
                    Proven::check(&chain, &held.checkpoint, &held.head, &held.inclusion)
            {
                proven = held;
            }
        }
        if let Some((held, _)) = old.filter(|_| !reset) {
            proven.check_after(held)?;
        }
        let head = proven.head.clone();
        let channel = head.channel(channel.as_str()).cloned().ok_or(TrustError::NoSuchChannel)?;
        let before = proven.before.clone();
        let size = proven.seen().size;
        let state = Self { chain, accepted: Some(proven) };
        let accepted = Accepted { state, head, channel, reset };
        let tiles = consistency_tiles(seen.size, size);
        let pending = Pending { accepted, before, seen, tiles };
        if pending.tiles.is_empty() {
            // The last entry's proof shows the growth, or there was none.
            let accepted = match seen.size == size {
                true => pending.accepted,
                false => pending.finish(&[])?,
            };
            return Ok(Offer::Accepted(Box::new(accepted)));
        }
        Ok(Offer::NeedsConsistency { tiles: pending.tiles.clone(), pending: Box::new(pending) })
    }

    /// Whether the accepted checkpoint is of the same log at the same size, and cosigned no
    /// earlier.
    fn is_as_good(&self, offered: &Proven) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| {
            accepted.seen() == offered.seen()
                && accepted.verified.cosigned_s >= offered.verified.cosigned_s
        })
    }
}

/// A log does not shrink, and has one content at one size.
pub(crate) fn check_size(offered: Seen, seen: Seen) -> Result<(), Error> {
    if offered.size < seen.size {
        return Err(TrustError::Rollback { offered: offered.size, seen: seen.size }.into());
    }
    if offered.size == seen.size && offered.root != seen.root {
        return Err(TrustError::Fork.into());
    }
    Ok(())
}
