//! Signs and serves releases as the real publisher does, and whatever an attacker would: every
//! key is at hand, every byte can be changed before it is served.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::manifest::{Manifest, Provenance};
use packice_core::format::note::Checkpoint;
use packice_core::format::trust_root::{
    Floor, Role, SignedTrustRoot, Staleness, TrustRoot, Witness, WitnessPolicy,
};
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::sign::{self, Seed};
use packice_core::trust::tiles::TileRef;
use packice_core::types::{LogHash, ObjectKind, ObjectRef, Version};

use super::Files;
use crate::publication::{Publication, Spec, channel, dataset, numbered_record};

/// The log's name.
pub const ORIGIN: &str = "packice.test/test-set";
/// The root keys: two of three sign.
pub const ROOT_KEYS: [Seed; 3] = [[11; 32], [12; 32], [13; 32]];
/// The release keys: two of three sign.
pub const RELEASE_KEYS: [Seed; 3] = [[21; 32], [22; 32], [23; 32]];
/// The release keys after a rotation: two of three sign.
pub const NEXT_RELEASE_KEYS: [Seed; 3] = [[31; 32], [32; 32], [33; 32]];
/// The witnesses' keys.
pub const WITNESS_KEYS: [Seed; 3] = [[41; 32], [42; 32], [43; 32]];
/// The witnesses' names.
pub const WITNESSES: [&str; 3] = ["witness.test/a", "witness.test/b", "witness.test/c"];
/// Keys that nobody trusts.
pub const STRANGERS: [Seed; 3] = [[91; 32], [92; 32], [93; 32]];

/// A role of some keys.
pub fn role(threshold: u32, seeds: &[Seed]) -> Role {
    let mut keys: Vec<_> = seeds.iter().map(sign::public_key).collect();
    keys.sort_unstable();
    Role { threshold, keys }
}

/// The trust root that wallets embed.
pub fn first_root() -> TrustRoot {
    TrustRoot {
        dataset: dataset(),
        origin: ORIGIN.into(),
        version: 1,
        root: role(2, &ROOT_KEYS),
        release: role(2, &RELEASE_KEYS),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    }
}

/// The same with all three witnesses, two of which must cosign.
pub fn witnessed_root() -> TrustRoot {
    let witness = |(name, seed): (&&str, &Seed)| Witness {
        name: (*name).into(),
        key: sign::public_key(seed),
    };
    let witnesses = WITNESSES.iter().zip(&WITNESS_KEYS).map(witness).collect();
    TrustRoot { witnesses: WitnessPolicy { quorum: 2, witnesses }, ..first_root() }
}

/// What a release holds: three collections, small, of several frames, one with a dictionary. The
/// values that tests look up say which release they are of.
pub fn content(release: u64) -> Vec<Spec> {
    let text = |what: &str| format!("{what} of release {release}").into_bytes();
    let mut config = Spec::numbered("config", 0, 4, 1);
    config.records.insert(b"release".to_vec(), text("config"));
    let mut tokens = Spec::numbered("tokens", 1, 300, 2);
    tokens.dictionary = true;
    tokens.records.insert(numbered_record(5, 0).0, text("token"));
    let mut notes = Spec::numbered("notes", 2, 60, 3);
    notes.lazy = false;
    notes.records.insert(numbered_record(3, 0).0, text("note"));
    vec![config, notes, tokens]
}

/// A publisher, or whoever has its keys.
#[derive(Clone, Debug)]
pub struct Forge {
    /// The objects and what else is served, by path.
    pub publication: Publication,
    /// The newest trust root.
    pub root: TrustRoot,
    /// All signed trust roots.
    pub chain: Vec<Vec<u8>>,
    /// Who signs checkpoints.
    pub signers: Vec<Seed>,
    /// Who cosigns them, and when.
    pub cosigners: Vec<(&'static str, Seed, u64)>,
    /// The newest head state.
    pub head: Head,
    /// The newest entry of the log.
    pub entry: Vec<u8>,
    /// Its inclusion proof.
    pub inclusion: Vec<LogHash>,
    /// The log before the newest entry and after it.
    pub frontiers: (Frontier, Frontier),
    tiles: Vec<(TileRef, Vec<u8>)>,
}

impl Forge {
    /// A publisher with the usual trust root, before its first release.
    pub fn new() -> Self {
        Self::under(first_root())
    }

    /// A publisher under some trust root, which the usual root keys sign.
    pub fn under(root: TrustRoot) -> Self {
        let chain = vec![sign::sign_trust_root(&root, &ROOT_KEYS[..2]).encode()];
        let mut publication = Publication::default();
        publication.inline = false;
        Self {
            publication,
            root,
            chain,
            signers: RELEASE_KEYS[..2].to_vec(),
            cosigners: Vec::new(),
            head: Head {
                dataset: dataset(),
                trust_root_version: 1,
                channels: Vec::new(),
                policy: Policy::default(),
            },
            entry: Vec::new(),
            inclusion: Vec::new(),
            frontiers: (Frontier::new(), Frontier::new()),
            tiles: Vec::new(),
        }
    }

    /// The usual publisher after so many releases.
    pub fn at(releases: u64) -> Self {
        let mut forge = Self::new();
        for release in 1..=releases {
            forge.release(release);
        }
        forge
    }

    /// What is served now.
    pub fn files(&self) -> Files {
        self.publication.files.clone()
    }

    /// The embedded trust root.
    pub fn trust(&self) -> Vec<u8> {
        self.chain[0].clone()
    }

    /// The log's newest point.
    pub fn seen(&self) -> Seen {
        Seen { size: self.frontiers.1.size(), root: self.frontiers.1.root() }
    }

    /// Releases the content of a number as the version of that number.
    pub fn release(&mut self, number: u64) {
        let manifest = self.manifest(number, number);
        self.publish(&manifest);
    }

    /// Builds content, and gives its manifest as some version.
    pub fn manifest(&mut self, content_of: u64, version: u64) -> Manifest {
        self.manifest_of(&content(content_of), version)
    }

    /// The manifest of some collections.
    pub fn manifest_of(&mut self, specs: &[Spec], version: u64) -> Manifest {
        let version = Version(version);
        let mut inline = Vec::new();
        let mut collections: Vec<_> = specs
            .iter()
            .map(|spec| self.publication.collection(spec, version, &mut inline))
            .collect();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        Manifest {
            dataset: dataset(),
            version,
            parent: None,
            provenance: Provenance { source_digest: [0; 32], tool: "test".into() },
            collections,
        }
    }

    /// Releases a manifest in the stable channel.
    pub fn publish(&mut self, manifest: &Manifest) {
        let object = self.put(ObjectKind::Manifest, manifest.encode());
        self.point_at(manifest.version.0, object);
    }

    /// Releases whatever object as the manifest of a version.
    pub fn point_at(&mut self, version: u64, manifest: ObjectRef) {
        let stable = Channel { name: channel(), version: Version(version), manifest };
        self.head.channels.retain(|channel| channel.name != stable.name);
        self.head.channels.push(stable);
        self.head.channels.sort_by(|a, b| a.name.cmp(&b.name));
        self.append_head();
    }

    /// Appends the head state as it stands.
    pub fn append_head(&mut self) {
        let entry = self.head.encode();
        self.append(entry);
    }

    /// Appends whatever bytes, and signs.
    pub fn append(&mut self, entry: Vec<u8>) {
        let grown_tiles = sign::grow_tiles(self.frontiers.1.size(), &self.tiles, &entry)
            .expect("tiles that continue the log");
        for (tile, bytes) in &grown_tiles {
            self.serve(&format!("log/{}", tile.path()), bytes.clone());
        }
        self.tiles = grown_tiles;
        let grown = sign::grow(&self.frontiers.1, &entry);
        self.frontiers = (self.frontiers.1.clone(), grown.frontier);
        self.inclusion = grown.inclusion;
        self.entry = entry;
        self.sign();
    }

    /// The newest checkpoint, signed and cosigned.
    pub fn note(&self) -> Checkpoint {
        let mut note = sign::sign_checkpoint(&self.root.origin, self.seen(), &self.signers);
        for (name, seed, time_s) in &self.cosigners {
            sign::add_cosignature(&mut note, name, seed, *time_s);
        }
        note
    }

    /// The newest bootstrap.
    pub fn bootstrap(&self) -> Bootstrap {
        Bootstrap {
            checkpoint: self.note().encode().into_bytes(),
            trust_chain: self.chain[1..].to_vec(),
            head: self.entry.clone(),
            inclusion: self.inclusion.clone(),
            objects: Vec::new(),
        }
    }

    /// Serves the newest checkpoint and bootstrap.
    pub fn sign(&mut self) {
        let bootstrap = self.bootstrap();
        self.serve_bootstrap(&bootstrap);
    }

    /// Serves a bootstrap, and its checkpoint beside it.
    pub fn serve_bootstrap(&mut self, bootstrap: &Bootstrap) {
        self.serve("checkpoint", bootstrap.checkpoint.clone());
        self.serve("bootstrap/stable", bootstrap.encode());
    }

    /// Changes the checkpoint after it was signed.
    pub fn edit_note(&mut self, edit: impl FnOnce(&mut Checkpoint)) {
        let mut note = self.note();
        edit(&mut note);
        self.serve_note(note.encode().into_bytes());
    }

    /// Serves whatever bytes as the newest checkpoint.
    pub fn serve_note(&mut self, note: Vec<u8>) {
        let bootstrap = Bootstrap { checkpoint: note, ..self.bootstrap() };
        self.serve_bootstrap(&bootstrap);
    }

    /// Changes the bootstrap.
    pub fn edit_bootstrap(&mut self, edit: impl FnOnce(&mut Bootstrap)) {
        let mut bootstrap = self.bootstrap();
        edit(&mut bootstrap);
        self.serve_bootstrap(&bootstrap);
    }

    /// Serves bytes at a path.
    pub fn serve(&mut self, path: &str, bytes: Vec<u8>) {
        self.publication.files.insert(path.into(), bytes);
    }

    /// Serves an object under its name.
    pub fn put(&mut self, kind: ObjectKind, bytes: Vec<u8>) -> ObjectRef {
        self.publication.put(kind, bytes)
    }

    /// The next trust root: the usual rotation of the release keys, changed, signed by root keys.
    pub fn rotate(&mut self, change: impl FnOnce(&mut TrustRoot), root_signers: &[Seed]) {
        let mut root = self.root.clone();
        root.version += 1;
        root.release = role(2, &NEXT_RELEASE_KEYS);
        change(&mut root);
        let signed = sign::sign_trust_root(&root, root_signers);
        self.add_root(root, &signed);
    }

    /// Takes a signed trust root in, and signs with the release keys after the rotation from now
    /// on.
    pub fn add_root(&mut self, root: TrustRoot, signed: &SignedTrustRoot) {
        self.serve(&format!("trust-root/{}", root.version), signed.encode());
        self.chain.push(signed.encode());
        self.head.trust_root_version = root.version;
        self.signers = NEXT_RELEASE_KEYS[..2].to_vec();
        self.root = root;
    }

    /// A floor at the log's newest point.
    pub fn floor(&self) -> Floor {
        let Seen { size, root } = self.seen();
        Floor { origin: self.root.origin.clone(), size, root }
    }
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}
