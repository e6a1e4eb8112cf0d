//! A small publisher: keys from single bytes, a log that grows, and what each release uploads.
//! The same releases are frozen in tests/vectors/edge-log.json for the tests that drive workerd.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::manifest::{
    Base, Collection, Dictionary, Manifest, Params, Provenance, TreeInfo,
};
use packice_core::format::trust_root::{Role, Staleness, TrustRoot, WitnessPolicy};
use packice_core::hash;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::sign::{
    Seed, grow, grow_tiles, open_tiles, public_key, sign_checkpoint, sign_trust_root,
};
use packice_core::trust::tiles::TileRef;
use packice_core::types::{Identity, Name, ObjectKind, ObjectRef, Version};

pub(crate) const ORIGIN: &str = "packice.example/alpha";
pub(crate) const ROOT: u8 = 1;
pub(crate) const NEXT_ROOT: u8 = 2;
pub(crate) const RELEASE: u8 = 11;
pub(crate) const NEXT_RELEASE: u8 = 12;
pub(crate) const STRANGER: u8 = 99;

pub(crate) fn seed(byte: u8) -> Seed {
    [byte; 32]
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn role(byte: u8) -> Role {
    Role { threshold: 1, keys: vec![public_key(&seed(byte))] }
}

/// A trust root of `alpha`, signed by the keys of some bytes.
pub(crate) fn trust_root(version: u64, root: u8, release: u8, signers: &[u8]) -> Vec<u8> {
    let body = TrustRoot {
        dataset: name("alpha"),
        origin: ORIGIN.into(),
        version,
        root: role(root),
        release: role(release),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    };
    let signers: Vec<Seed> = signers.iter().map(|byte| seed(*byte)).collect();
    sign_trust_root(&body, &signers).encode()
}

/// What a release uploads.
#[derive(Clone)]
pub(crate) struct Release {
    pub bootstrap: Vec<u8>,
    pub tiles: Vec<(TileRef, Vec<u8>)>,
    /// The manifest is the last one.
    pub objects: Vec<(ObjectKind, Vec<u8>)>,
}

/// A log at some size.
#[derive(Clone)]
pub(crate) struct Log {
    pub frontier: Frontier,
    pub tiles: Vec<(TileRef, Vec<u8>)>,
    pub trust_chain: Vec<Vec<u8>>,
    pub trust_root_version: u64,
    pub signer: u8,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            frontier: Frontier::new(),
            tiles: Vec::new(),
            trust_chain: Vec::new(),
            trust_root_version: 1,
            signer: RELEASE,
        }
    }

    /// Appends a head state in which channels stand at versions, and makes the release.
    pub(crate) fn release(&mut self, channels: &[(&str, u64)]) -> Release {
        let channels = channels.iter().map(|(channel, version)| Channel {
            name: name(channel),
            version: Version(*version),
            manifest: reference(&manifest(*version)),
        });
        let head = Head {
            dataset: name("alpha"),
            trust_root_version: self.trust_root_version,
            channels: channels.collect(),
            policy: Policy::default(),
        };
        let entry = head.encode();
        let size = self.frontier.size();
        let open: Vec<_> = open_tiles(size).iter().map(|tile| self.tile(tile)).collect();
        let tiles = grow_tiles(size, &open, &entry).expect("tiles that grow");
        self.tiles.extend(tiles.clone());
        let grown = grow(&self.frontier, &entry);
        self.frontier = grown.frontier;
        let bootstrap = Bootstrap {
            checkpoint: self.checkpoint(grown.at),
            trust_chain: self.trust_chain.clone(),
            head: entry,
            inclusion: grown.inclusion,
            objects: Vec::new(),
        };
        let mut objects = Vec::new();
        for channel in &head.channels {
            objects.extend(objects_of(channel.version.0));
        }
        Release { bootstrap: bootstrap.encode(), tiles, objects }
    }

    fn checkpoint(&self, at: Seen) -> Vec<u8> {
        sign_checkpoint(ORIGIN, at, &[seed(self.signer)]).encode().into_bytes()
    }

    fn tile(&self, tile: &TileRef) -> (TileRef, Vec<u8>) {
        self.tiles.iter().rev().find(|(other, _)| other == tile).expect("a tile").clone()
    }
}

impl Release {
    /// The same release with an object inlined: other bytes, the same log.
    pub(crate) fn with_inlined(&self, object: &[u8]) -> Self {
        let mut bootstrap = Bootstrap::parse(&self.bootstrap).expect("a bootstrap");
        bootstrap.objects.push(object.to_vec());
        Self { bootstrap: bootstrap.encode(), ..self.clone() }
    }
}

/// Layout directory, dictionary and manifest of a version.
pub(crate) fn objects_of(version: u64) -> Vec<(ObjectKind, Vec<u8>)> {
    vec![
        (ObjectKind::Layout, directory(version)),
        (ObjectKind::Dictionary, dictionary()),
        (ObjectKind::Manifest, manifest(version)),
    ]
}

pub(crate) fn reference(bytes: &[u8]) -> ObjectRef {
    ObjectRef { name: hash::wire_name(bytes), len: bytes.len() as u64 }
}

fn directory(version: u64) -> Vec<u8> {
    format!("the layout directory of version {version}").into_bytes()
}

fn dictionary() -> Vec<u8> {
    b"a dictionary".to_vec()
}

fn manifest(version: u64) -> Vec<u8> {
    let tree = TreeInfo { root: Identity([7; 32]), level: 1, records: 0, plain_len: 0 };
    let base = Base {
        version: Version(version),
        tree,
        directory: reference(&directory(version)),
        wire_len: 0,
        bundles: 0,
        frames: 0,
        dictionary: Some(Dictionary { epoch: 1, object: reference(&dictionary()), plain_len: 64 }),
    };
    let collection = Collection {
        name: name("tokens"),
        priority: 1,
        lazy: false,
        params: Params::default(),
        tree,
        base,
        overlay: None,
        deltas: Vec::new(),
    };
    Manifest {
        dataset: name("alpha"),
        version: Version(version),
        parent: None,
        provenance: Provenance::default(),
        collections: vec![collection],
    }
    .encode()
}
