//! A small publisher for the tests of this module: keys from single bytes, a growing log.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::format::bootstrap::Bootstrap;
use crate::format::head::{Channel, Head, Policy};
use crate::format::trust_root::{Role, Staleness, TrustRoot, WitnessPolicy};
use crate::hash;
use crate::trust::accept::Seen;
use crate::trust::log::Frontier;
use crate::trust::sign::{Seed, add_cosignature, grow, grow_tiles, open_tiles, public_key};
use crate::trust::sign::{sign_checkpoint, sign_trust_root};
use crate::trust::tiles::TileRef;
use crate::types::{Name, ObjectRef, Version};

pub(crate) const ORIGIN: &str = "packice.example/tokens";

pub(crate) fn seed(byte: u8) -> Seed {
    [byte; 32]
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn role(threshold: u32, seeds: &[u8]) -> Role {
    let mut keys: Vec<_> = seeds.iter().map(|byte| public_key(&seed(*byte))).collect();
    keys.sort_unstable();
    Role { threshold, keys }
}

/// Root keys 1 and 2 of which one signs, release keys 11 and 12 of which one signs.
pub(crate) fn trust_root(version: u64) -> TrustRoot {
    TrustRoot {
        dataset: name("tokens"),
        origin: ORIGIN.into(),
        version,
        root: role(1, &[1, 2]),
        release: role(1, &[11, 12]),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    }
}

pub(crate) fn signed(root: &TrustRoot, seeds: &[u8]) -> Vec<u8> {
    let seeds: Vec<Seed> = seeds.iter().map(|byte| seed(*byte)).collect();
    sign_trust_root(root, &seeds).encode()
}

pub(crate) fn head(version: u64) -> Head {
    let manifest = manifest(version);
    Head {
        dataset: name("tokens"),
        trust_root_version: 1,
        channels: vec![Channel { name: name("stable"), version: Version(version), manifest }],
        policy: Policy::default(),
    }
}

pub(crate) fn manifest(version: u64) -> ObjectRef {
    ObjectRef { name: hash::wire_name(&version.to_be_bytes()), len: 100 + version }
}

/// A log with every tile that it ever wrote.
#[derive(Clone)]
pub(crate) struct TestLog {
    pub root: TrustRoot,
    pub trust_chain: Vec<Vec<u8>>,
    pub release: Vec<u8>,
    pub witnesses: Vec<(String, u8, u64)>,
    pub frontier: Frontier,
    pub tiles: Vec<(TileRef, Vec<u8>)>,
    pub bootstrap: Bootstrap,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        Self {
            root: trust_root(1),
            trust_chain: Vec::new(),
            release: vec![11],
            witnesses: Vec::new(),
            frontier: Frontier::new(),
            tiles: Vec::new(),
            bootstrap: Bootstrap::default(),
        }
    }

    /// A log of so many entries, the versions 1 and up.
    pub(crate) fn of(size: u64) -> Self {
        let mut log = Self::new();
        for version in 1..=size {
            log.push(&head(version));
        }
        log
    }

    pub(crate) fn push(&mut self, head: &Head) {
        let entry = head.encode();
        let size = self.frontier.size();
        let open: Vec<_> = open_tiles(size).iter().map(|tile| self.tile(tile)).collect();
        self.tiles.extend(grow_tiles(size, &open, &entry).expect("tiles that grow"));
        let grown = grow(&self.frontier, &entry);
        self.frontier = grown.frontier;
        self.bootstrap = Bootstrap {
            checkpoint: Vec::new(),
            trust_chain: self.trust_chain.clone(),
            head: entry,
            inclusion: grown.inclusion,
            objects: Vec::new(),
        };
        self.sign();
    }

    /// Signs the log as it stands.
    pub(crate) fn sign(&mut self) {
        let at = Seen { size: self.frontier.size(), root: self.frontier.root() };
        let seeds: Vec<Seed> = self.release.iter().map(|byte| seed(*byte)).collect();
        let mut checkpoint = sign_checkpoint(&self.root.origin, at, &seeds);
        for (name, byte, time_s) in &self.witnesses {
            add_cosignature(&mut checkpoint, name, &seed(*byte), *time_s);
        }
        self.bootstrap.checkpoint = checkpoint.encode().into_bytes();
    }

    pub(crate) fn tile(&self, tile: &TileRef) -> (TileRef, Vec<u8>) {
        self.tiles.iter().rev().find(|(other, _)| other == tile).expect("a written tile").clone()
    }

    pub(crate) fn tiles(&self, tiles: &[TileRef]) -> Vec<(TileRef, Vec<u8>)> {
        tiles.iter().map(|tile| self.tile(tile)).collect()
    }
}
