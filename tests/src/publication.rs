//! A small dataset, built, signed and logged as the publisher does it, kept by URL path.

use std::collections::BTreeMap;

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::manifest::{Base, Collection, Dictionary, Manifest, Params, Provenance};
use packice_core::format::note::Checkpoint;
use packice_core::format::seed::SeedIndex;
use packice_core::format::trust_root::{Role, Staleness, TrustRoot, Witness, WitnessPolicy};
use packice_core::hash;
use packice_core::tree::build::{BuiltFrame, TreeBuilder};
use packice_core::tree::layout::LayoutBuilder;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::sign;
use packice_core::types::{Name, ObjectKind, ObjectRef, Version, WireName};

/// Records by key.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a collection of a test dataset is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its priority.
    pub priority: u8,
    /// Whether it allows lazy reads.
    pub lazy: bool,
    /// Whether its frames use a dictionary.
    pub dictionary: bool,
    /// Its records.
    pub records: Records,
}

impl Spec {
    /// Records with values that compress a little, `seed` telling data sets apart.
    pub fn numbered(name: &'static str, priority: u8, count: u64, seed: u64) -> Self {
        let records = (0..count).map(|i| numbered_record(i, seed)).collect();
        Self { name, priority, lazy: true, dictionary: false, records }
    }
}

/// A record of [`Spec::numbered`].
pub fn numbered_record(i: u64, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let noise = hash::identity(&[i.to_le_bytes(), seed.to_le_bytes()].concat()).to_hex();
    let value = format!("{{\"name\":\"token {i}\",\"noise\":\"{noise}\"}}");
    (format!("key/{i:08}").into_bytes(), value.into_bytes())
}

/// What every edge of a test serves, by path under `/v1/{dataset}/`.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The signed trust root to embed.
    pub trust: Vec<u8>,
    /// The objects, tiles, checkpoint and bootstrap.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The newest manifest.
    pub manifest: Option<Manifest>,
    /// Whether bootstraps inline what fits.
    pub inline: bool,
    /// Whether what is published from now on has a head beside its bootstrap.
    pub heads: bool,
    /// When each witness cosigns, in seconds since 1970; none for a trust root without witnesses.
    pub cosign_s: Vec<u64>,
    release_seed: [u8; 32],
    frontier: Frontier,
    open_tiles: Vec<(packice_core::trust::tiles::TileRef, Vec<u8>)>,
}

/// The test dataset's name.
pub fn dataset() -> Name {
    Name::new("test-set").expect("a name")
}

/// The test channel's name.
pub fn channel() -> Name {
    Name::new("stable").expect("a name")
}

const ROOT_SEED: [u8; 32] = [1; 32];
const RELEASE_SEED: [u8; 32] = [2; 32];
const ORIGIN: &str = "packice.test/test-set";

/// The path of an object.
pub fn path(kind: ObjectKind, name: &WireName) -> String {
    format!("{}/{name}", kind.as_str())
}

/// A witness's name and seed.
fn witness(at: usize) -> (String, [u8; 32]) {
    let seed = 100 + u8::try_from(at).expect("few witnesses");
    (format!("witness.test/w{at}"), [seed; 32])
}

impl Default for Publication {
    fn default() -> Self {
        Self::signed_by(RELEASE_SEED)
    }
}

impl Publication {
    /// A publication without a version, of a release key of one's own.
    pub fn signed_by(release_seed: [u8; 32]) -> Self {
        Self::new(release_seed, Staleness::default(), Vec::new())
    }

    /// A publication that is watched by as many witnesses as there are times, a quorum of them
    /// more than half: when each cosigns, and after how long data is stale and expired.
    pub fn watched(staleness: Staleness, cosign_s: Vec<u64>) -> Self {
        Self::new(RELEASE_SEED, staleness, cosign_s)
    }

    fn new(release_seed: [u8; 32], staleness: Staleness, cosign_s: Vec<u64>) -> Self {
        let witness = |at| {
            let (name, seed) = witness(at);
            Witness { name, key: sign::public_key(&seed) }
        };
        let quorum = if cosign_s.is_empty() { 0 } else { cosign_s.len() / 2 + 1 };
        let witnesses = WitnessPolicy {
            quorum: u32::try_from(quorum).expect("few witnesses"),
            witnesses: (0..cosign_s.len()).map(witness).collect(),
        };
        let role = |seed| Role { threshold: 1, keys: vec![sign::public_key(&seed)] };
        let root = TrustRoot {
            dataset: dataset(),
            origin: ORIGIN.into(),
            version: 1,
            root: role(ROOT_SEED),
            release: role(release_seed),
            witnesses,
            staleness,
            floor: None,
        };
        Self {
            trust: sign::sign_trust_root(&root, &[ROOT_SEED]).encode(),
            files: BTreeMap::new(),
            manifest: None,
            inline: true,
            heads: false,
            cosign_s,
            release_seed,
            frontier: Frontier::new(),
            open_tiles: Vec::new(),
        }
    }

    /// A publication of one version.
    pub fn of(specs: &[Spec]) -> Self {
        let mut publication = Self::default();
        publication.publish(specs);
        publication
    }

    /// Adds a version.
    pub fn publish(&mut self, specs: &[Spec]) {
        let version = Version(self.manifest.as_ref().map_or(0, |m| m.version.0) + 1);
        let mut inline = Vec::new();
        let mut collections: Vec<Collection> =
            specs.iter().map(|spec| self.collection(spec, version, &mut inline)).collect();
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        let manifest = Manifest {
            dataset: dataset(),
            version,
            parent: None,
            provenance: Provenance { source_digest: [0; 32], tool: "test".into() },
            collections,
        };
        self.release(manifest, inline);
    }

    /// Signs a manifest and makes it the newest.
    pub fn release(&mut self, manifest: Manifest, mut inline: Vec<Vec<u8>>) {
        let bytes = manifest.encode();
        let object = self.put(ObjectKind::Manifest, bytes.clone());
        inline.insert(0, bytes);
        let head = Head {
            dataset: dataset(),
            trust_root_version: 1,
            channels: vec![Channel {
                name: channel(),
                version: manifest.version,
                manifest: object,
            }],
            policy: Policy::default(),
        };
        self.manifest = Some(manifest);
        self.append(&head.encode(), inline);
    }

    /// Appends an entry to the log and serves its checkpoint and bootstrap.
    pub fn append(&mut self, entry: &[u8], inline: Vec<Vec<u8>>) {
        let tiles = sign::grow_tiles(self.frontier.size(), &self.open_tiles, entry)
            .expect("tiles that continue the log");
        for (tile, bytes) in &tiles {
            self.files.insert(format!("log/{}", tile.path()), bytes.clone());
        }
        self.open_tiles = tiles;
        let grown = sign::grow(&self.frontier, entry);
        self.frontier = grown.frontier;
        let note = self.signed(grown.at);
        let mut left = 40_000usize;
        let fits = |object: &Vec<u8>| {
            let fits = object.len() + 8 <= left;
            left -= if fits { object.len() + 8 } else { 0 };
            fits
        };
        let objects = if self.inline { inline.into_iter().filter(fits).collect() } else { vec![] };
        let bootstrap = Bootstrap {
            checkpoint: note.clone().into_bytes(),
            trust_chain: Vec::new(),
            head: entry.to_vec(),
            inclusion: grown.inclusion,
            objects,
        };
        self.files.insert("checkpoint".into(), note.into_bytes());
        self.point(bootstrap);
    }

    /// Serves a bootstrap, and its head where there are any.
    fn point(&mut self, bootstrap: Bootstrap) {
        self.files.insert("bootstrap/stable".into(), bootstrap.encode());
        if self.heads {
            self.files.insert("head/stable".into(), bootstrap.lean("stable").encode());
        }
    }

    /// The checkpoint of a log at some point, signed and cosigned.
    pub fn signed(&self, at: Seen) -> String {
        self.cosigned(sign::sign_checkpoint(ORIGIN, at, &[self.release_seed]))
    }

    fn cosigned(&self, mut checkpoint: Checkpoint) -> String {
        for (at, time_s) in self.cosign_s.iter().enumerate() {
            let (name, seed) = witness(at);
            sign::add_cosignature(&mut checkpoint, &name, &seed, *time_s);
        }
        checkpoint.encode()
    }

    /// Has the witnesses cosign the newest checkpoint once more, at these times.
    pub fn cosign_again(&mut self, cosign_s: Vec<u64>) {
        self.cosign_s = cosign_s;
        let checkpoint = Checkpoint::parse(&self.files["checkpoint"]).expect("a checkpoint");
        let note = self.cosigned(checkpoint).into_bytes();
        let mut bootstrap = Bootstrap::parse(&self.files["bootstrap/stable"]).expect("a bootstrap");
        bootstrap.checkpoint.clone_from(&note);
        self.files.insert("checkpoint".into(), note);
        self.point(bootstrap);
    }

    /// Stores an object under its wire name.
    pub fn put(&mut self, kind: ObjectKind, bytes: Vec<u8>) -> ObjectRef {
        let object = ObjectRef { name: hash::wire_name(&bytes), len: bytes.len() as u64 };
        self.files.insert(path(kind, &object.name), bytes);
        object
    }

    /// All that is served, in one file.
    pub fn seed(&self) -> Vec<u8> {
        let lengths = self.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64));
        let index = SeedIndex::of(lengths).expect("an index within bounds").encode();
        let prelude = SeedIndex::prelude(index.len()).expect("an index within bounds");
        let parts = [&prelude, &index].into_iter().chain(self.files.values());
        parts.flatten().copied().collect()
    }

    /// The first path of a kind.
    pub fn first(&self, prefix: &str) -> String {
        let found = self.files.keys().find(|path| path.starts_with(prefix));
        found.cloned().unwrap_or_else(|| panic!("no object under {prefix}"))
    }

    /// Builds a collection and keeps its objects; those to inline are added.
    pub fn collection(
        &mut self,
        spec: &Spec,
        version: Version,
        inline: &mut Vec<Vec<u8>>,
    ) -> Collection {
        let params = Params { leaf_target: 1024, frame_target: 4096, node_target: 1024 };
        let mut builder = TreeBuilder::new(params).expect("parameters within bounds");
        let mut built: Vec<BuiltFrame> = Vec::new();
        for (key, value) in &spec.records {
            built.extend(builder.push(key, value).expect("a record within bounds"));
        }
        let (last, tree) = builder.finish().expect("a tree within bounds");
        built.extend(last);
        let plain = spec.dictionary.then(|| train(&built));
        let dictionary = plain.as_ref().map(|plain| {
            let object = self.put(ObjectKind::Dictionary, compress(plain, None));
            let plain_len = u32::try_from(plain.len()).expect("a short dictionary");
            Dictionary { epoch: 1, object, plain_len }
        });
        let mut layout = LayoutBuilder::new();
        let mut bundle = Vec::new();
        for frame in &built {
            let wire = compress(&frame.plain, plain.as_deref());
            bundle.extend_from_slice(&wire);
            let placed = layout.push(frame, &wire).expect("a frame within bounds");
            if placed.ends_bundle.is_some() {
                self.put(ObjectKind::Bundle, std::mem::take(&mut bundle));
            }
        }
        let layout = layout.finish(&tree).expect("a layout within bounds");
        if layout.last_bundle.is_some() {
            if spec.priority == 0 {
                inline.push(bundle.clone());
            }
            self.put(ObjectKind::Bundle, bundle);
        }
        for object in layout.pages.iter().chain([&layout.directory]) {
            self.put(ObjectKind::Layout, object.bytes.clone());
            inline.push(object.bytes.clone());
        }
        Collection {
            name: Name::new(spec.name).expect("a name"),
            priority: spec.priority,
            lazy: spec.lazy,
            params,
            tree: tree.info,
            base: Base {
                version,
                tree: tree.info,
                directory: layout.directory.object,
                wire_len: layout.wire_len,
                bundles: layout.bundles,
                frames: layout.frames,
                dictionary,
            },
            overlay: None,
            deltas: Vec::new(),
        }
    }
}

fn train(frames: &[BuiltFrame]) -> Vec<u8> {
    let samples: Vec<&[u8]> = frames.iter().map(|frame| frame.plain.as_slice()).collect();
    zstd::dict::from_samples(&samples, 4096).expect("enough samples for a dictionary")
}

fn compress(plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8> {
    let mut encoder = zstd::bulk::Compressor::with_dictionary(3, dictionary.unwrap_or_default())
        .expect("an encoder");
    encoder.compress(plain).expect("compressed bytes")
}
