//! The vectors of releases and trust: manifest, head state, log, checkpoint, trust roots,
//! bootstrap, trust state. Secret keys are seeds of one repeated byte.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::manifest::{Delta, Manifest, Overlay, Provenance, Segment};
use packice_core::format::note::Checkpoint;
use packice_core::format::push::Push;
use packice_core::format::trust_root::{Floor, Role, Staleness, TrustRoot, Witness, WitnessPolicy};
use packice_core::hash;
use packice_core::trust::accept::{Offer, TrustState};
use packice_core::trust::log::Frontier;
use packice_core::trust::proof::{FullProof, verify_full};
use packice_core::trust::sign::{self, Grown, Seed};
use packice_core::trust::tiles::{TileKind, TileRef};
use packice_core::types::{LogHash, Name, Version, hex};

use super::data::{Built, World, name, object, token};
use super::{Format, Vector, change};

const ORIGIN: &str = "packice.example/vectors";
const WITNESSES: [(&str, u8); 3] =
    [("witness.example/a", 21), ("witness.example/b", 22), ("witness.example/c", 23)];
/// When the witnesses cosigned.
const COSIGNED_S: u64 = 1_790_000_000;

fn seed(byte: u8) -> Seed {
    [byte; 32]
}

fn role(threshold: u32, seeds: &[u8]) -> Role {
    let mut keys: Vec<_> = seeds.iter().map(|byte| sign::public_key(&seed(*byte))).collect();
    keys.sort_unstable();
    Role { threshold, keys }
}

/// The dataset's name.
pub(super) fn dataset() -> Name {
    name("vectors")
}

/// The channel's name.
pub(super) fn channel() -> Name {
    name("stable")
}

/// Three releases under two trust roots.
pub(super) struct Releases {
    /// The manifests of versions 1 and 2.
    pub manifests: [Vec<u8>; 2],
    /// Trust roots 1 and 2, signed.
    pub roots: [Vec<u8>; 2],
    bodies: [TrustRoot; 2],
    heads: [Vec<u8>; 3],
    /// Checkpoints at sizes 1 to 3.
    pub checkpoints: [Checkpoint; 3],
    /// The bootstrap after the first release.
    pub first: Bootstrap,
    third: Bootstrap,
    tiles: Vec<(TileRef, Vec<u8>)>,
}

fn manifests(world: &World) -> [Manifest; 2] {
    let provenance = Provenance { source_digest: [7; 32], tool: "packice vectors".into() };
    let first = Manifest {
        dataset: dataset(),
        version: Version(1),
        parent: None,
        provenance: provenance.clone(),
        collections: world.all().map(|built| built.entry.clone()).to_vec(),
    };
    let mut second = first.clone();
    second.version = Version(2);
    second.parent = Some(object(&first.encode()).name);
    let step = change::step();
    for collection in second.collections.iter_mut().filter(|c| c.name.as_str() == "tokens") {
        collection.deltas = vec![Delta {
            from_version: Version(1),
            from_root: collection.tree.root,
            operations: step.operations,
            segments: vec![Segment {
                start: Vec::new(),
                object: object(&step.segment),
                plain_len: step.segment_plain_len,
            }],
        }];
        collection.overlay = Some(Overlay {
            directory: object(&step.directory),
            wire_len: (step.directory.len() + step.page.len()) as u64,
            operations: step.operations,
        });
        collection.tree = step.tree;
    }
    [first, second]
}

fn trust_roots(floor: Floor) -> [TrustRoot; 2] {
    let first = TrustRoot {
        dataset: dataset(),
        origin: ORIGIN.into(),
        version: 1,
        root: role(1, &[1]),
        release: role(1, &[11]),
        witnesses: WitnessPolicy::default(),
        staleness: Staleness::default(),
        floor: None,
    };
    let witness = |(name, byte): &(&str, u8)| Witness {
        name: (*name).into(),
        key: sign::public_key(&seed(*byte)),
    };
    let second = TrustRoot {
        version: 2,
        root: role(2, &[2, 3, 4]),
        release: role(1, &[12, 13]),
        witnesses: WitnessPolicy { quorum: 2, witnesses: WITNESSES.iter().map(witness).collect() },
        staleness: Staleness { stale_ms: 259_200_000, expired_ms: 2_592_000_000 },
        floor: Some(floor),
        ..first.clone()
    };
    [first, second]
}

impl Releases {
    pub(super) fn new(world: &World) -> Self {
        let manifests = manifests(world).map(|manifest| manifest.encode());
        let at = |title, version: usize| Channel {
            name: name(title),
            version: Version(version as u64),
            manifest: object(&manifests[version - 1]),
        };
        let head = |trust_root_version, channels, policy| {
            Head { dataset: dataset(), trust_root_version, channels, policy }.encode()
        };
        let kept = Policy { keep_versions: 10, keep_ms: 604_800_000 };
        let heads = [
            head(1, vec![at("stable", 1)], Policy::default()),
            head(1, vec![at("beta", 2), at("stable", 1)], Policy::default()),
            head(2, vec![at("beta", 2), at("stable", 2)], kept),
        ];
        let (grown, tiles) = grow(&heads);
        let floor = Floor { origin: ORIGIN.into(), size: grown[1].at.size, root: grown[1].at.root };
        let bodies = trust_roots(floor);
        let roots = [
            sign::sign_trust_root(&bodies[0], &[seed(1)]).encode(),
            sign::sign_trust_root(&bodies[1], &[seed(1), seed(2), seed(3)]).encode(),
        ];
        let checkpoints = [
            sign::sign_checkpoint(ORIGIN, grown[0].at, &[seed(11)]),
            sign::sign_checkpoint(ORIGIN, grown[1].at, &[seed(11)]),
            cosigned(sign::sign_checkpoint(ORIGIN, grown[2].at, &[seed(12)])),
        ];
        let bootstrap = |at: usize, trust_chain, objects| Bootstrap {
            checkpoint: checkpoints[at].encode().into_bytes(),
            trust_chain,
            head: heads[at].clone(),
            inclusion: grown[at].inclusion.clone(),
            objects,
        };
        let inlined = inlined(world, &manifests[0]);
        let first = bootstrap(0, Vec::new(), inlined);
        let third = bootstrap(2, roots.to_vec(), vec![manifests[1].clone()]);
        Self { manifests, roots, bodies, heads, checkpoints, first, third, tiles }
    }

    /// The trust state of a client that embeds trust root 1 and takes a bootstrap.
    fn accepted(&self, bootstrap: &Bootstrap) -> TrustState {
        let state = TrustState::embedded(&self.roots[0], &dataset()).expect("a trust root");
        match state.offer(bootstrap, &channel()).expect("an honest bootstrap") {
            Offer::Accepted(accepted) => accepted.state,
            other => panic!("the bootstrap is {other:?}"),
        }
    }
}

/// What a bootstrap of version 1 inlines: the manifest, directories, pages and the bootstrap data.
fn inlined(world: &World, manifest: &[u8]) -> Vec<Vec<u8>> {
    let mut objects = vec![manifest.to_vec()];
    for built in world.all() {
        objects.push(built.layout.directory.bytes.clone());
        objects.extend(built.layout.pages.iter().map(|page| page.bytes.clone()));
    }
    objects.extend(world.config.bundles.iter().cloned());
    objects
}

fn cosigned(mut checkpoint: Checkpoint) -> Checkpoint {
    for ((name, byte), later) in WITNESSES.iter().zip([0, 60]) {
        sign::add_cosignature(&mut checkpoint, name, &seed(*byte), COSIGNED_S + later);
    }
    checkpoint
}

/// Appends entries one by one: each state of the log, and its tiles at the end.
fn grow(entries: &[Vec<u8>]) -> (Vec<Grown>, Vec<(TileRef, Vec<u8>)>) {
    let mut frontier = Frontier::new();
    let mut tiles = Vec::new();
    let mut states = Vec::new();
    for entry in entries {
        tiles = sign::grow_tiles(frontier.size(), &tiles, entry).expect("tiles that grow");
        let grown = sign::grow(&frontier, entry);
        frontier = grown.frontier.clone();
        states.push(grown);
    }
    (states, tiles)
}

pub(super) fn formats(world: &World, log: &Releases) -> Vec<Format> {
    vec![
        manifest_vectors(log),
        head_vectors(log),
        log_vectors(log),
        checkpoint_vectors(log),
        trust_root_vectors(log),
        bootstrap_vectors(log),
        push_vectors(log),
        trust_state_vectors(log),
        full_proof_vectors(world, log),
    ]
}

fn manifest_vectors(log: &Releases) -> Format {
    let vector = |name: &str, about: &str, at: usize| {
        Vector::new(name, about, log.manifests[at].clone()).named()
    };
    Format {
        name: "manifest",
        spec: "docs/spec/manifest.md",
        about: "One version of a dataset.",
        vectors: vec![
            vector("first", "version 1: config, empty, and tokens with a dictionary", 0),
            vector(
                "older-base",
                "version 2 after version 1: its bases are of version 1; over that of tokens lies \
                 the frozen layer, and the frozen segment is the delta from version 1",
                1,
            ),
        ],
    }
}

fn head_vectors(log: &Releases) -> Format {
    let vector = |name: &str, about: &str, at: usize| {
        let bytes = &log.heads[at];
        Vector::new(name, about, bytes.clone()).fact("log_leaf", hash::log_leaf(bytes))
    };
    Format {
        name: "head",
        spec: "docs/spec/head-state.md",
        about: "The complete state of a dataset: an entry of the log.",
        vectors: vec![
            vector("one-channel", "stable at version 1, no promises", 0),
            vector("two-channels", "beta at version 2, stable at version 1", 1),
            vector(
                "policy",
                "both at version 2, under trust root 2, 10 versions or 7 days kept",
                2,
            ),
        ],
    }
}

fn log_vectors(log: &Releases) -> Format {
    let mut vectors: Vec<Vector> = Vec::new();
    for (tile, bytes) in &log.tiles {
        let name = match tile.kind() {
            TileKind::Hashes { .. } => "hashes",
            TileKind::Entries => "entries",
        };
        let about = "over the three vectors of head";
        vectors.push(Vector::new(name, about, bytes.clone()).fact("path", tile.path()));
    }
    let numbers: Vec<Vec<u8>> = (0u16..256).map(|i| i.to_be_bytes().to_vec()).collect();
    let (states, tiles) = grow(&numbers);
    let root = states.last().map(|state| state.at.root).unwrap_or_default();
    for (tile, bytes) in tiles.iter().filter(|(tile, _)| tile.kind() != TileKind::Entries) {
        let level = if tile.width() == 256 { "full-level-0" } else { "level-1" };
        let about = "over 256 entries, the numbers 0..255 as two bytes, big-endian";
        let vector = Vector::new(level, about, bytes.clone()).fact("path", tile.path());
        vectors.push(vector.fact("log_root", root));
    }
    vectors.push(
        Vector::new(
            "inclusion",
            "of the third vector of head in the log of three",
            flat(&log.third.inclusion),
        )
        .fact("log_root", log.checkpoints[2].root),
    );
    Format {
        name: "log",
        spec: "docs/spec/log.md",
        about: "Tiles of the release log (C2SP tlog-tiles) and an inclusion proof, \
                from the leaf up.",
        vectors,
    }
}

fn flat(hashes: &[LogHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn checkpoint_vectors(log: &Releases) -> Format {
    let vector = |name: &str, about: &str, at: usize| {
        let text = log.checkpoints[at].encode();
        let mut vector = Vector::new(name, about, text.clone().into_bytes());
        vector.lines = text.lines().map(str::to_owned).collect();
        vector.fact("size", log.checkpoints[at].size).fact("root", log.checkpoints[at].root)
    };
    Format {
        name: "checkpoint",
        spec: "docs/spec/checkpoint.md",
        about: "A C2SP signed note over the log. Ed25519 seeds are one byte, 32 times.",
        vectors: vec![
            vector("signed", "size 1, signed by the release key of seed 11", 0),
            vector(
                "cosigned",
                "size 3, signed by the release key of seed 12, cosigned by witness.example/a (seed \
                 21) at 1790000000 and witness.example/b (seed 22) 60 seconds later",
                2,
            ),
        ],
    }
}

fn trust_root_vectors(log: &Releases) -> Format {
    let vector = |name: &str, about: &str, at: usize| {
        let vector = Vector::new(name, about, log.roots[at].clone());
        vector.fact("body", hex(&log.bodies[at].encode()))
    };
    Format {
        name: "trust-root",
        spec: "docs/spec/trust-root.md",
        about: "Who may sign what, signed. Ed25519 seeds are one byte, 32 times.",
        vectors: vec![
            vector("first", "version 1: root key of seed 1, release key of seed 11", 0),
            vector(
                "rotated",
                "version 2: root keys of seeds 2, 3, 4, threshold 2; release keys of seeds 12 and \
                 13, threshold 1; witnesses a, b, c of seeds 21, 22, 23, quorum 2; stale after 3 \
                 days, expired after 30; floor at log size 2; signed by seeds 1, 2 and 3",
                1,
            ),
        ],
    }
}

fn push_vectors(log: &Releases) -> Format {
    let first = log.first.encode();
    let release = Push::Release { bootstrap: first, objects: vec![b"one".to_vec(), vec![2; 40]] };
    Format {
        name: "push",
        spec: "docs/spec/live.md",
        about: "What an edge says to whoever listens.",
        vectors: vec![
            Vector::new(
                "checkpoint",
                "the checkpoint of version 1",
                Push::Checkpoint(log.first.checkpoint.clone()).encode(),
            ),
            Vector::new(
                "release",
                "the bootstrap of version 1 and two objects that nobody asked for",
                release.encode(),
            ),
        ],
    }
}

fn bootstrap_vectors(log: &Releases) -> Format {
    Format {
        name: "bootstrap",
        spec: "docs/spec/bootstrap.md",
        about: "What a cold client needs in one answer.",
        vectors: vec![
            Vector::new(
                "first",
                "version 1: manifest, directories and pages of all collections, the bundle of \
                 config",
                log.first.encode(),
            ),
            Vector::new(
                "rotated",
                "version 2, with trust roots 1 and 2 and the manifest",
                log.third.encode(),
            ),
        ],
    }
}

fn trust_state_vectors(log: &Releases) -> Format {
    let embedded = TrustState::embedded(&log.roots[0], &dataset()).expect("a trust root");
    let vector = |name: &str, about: &str, state: &TrustState| {
        let vector = Vector::new(name, about, state.encode());
        vector.fact("size", state.seen().size).fact("cosigned_s", state.cosigned_s())
    };
    Format {
        name: "trust-state",
        spec: "docs/spec/trust-state.md",
        about: "What a client that embeds trust root 1 keeps of what it trusts.",
        vectors: vec![
            vector("embedded", "before any checkpoint", &embedded),
            vector("accepted", "after the bootstrap first", &log.accepted(&log.first)),
            vector("rotated", "after the bootstrap rotated alone", &log.accepted(&log.third)),
        ],
    }
}

fn full_proof_vectors(world: &World, log: &Releases) -> Format {
    let vector = |name, about, release: (&Bootstrap, usize), built: &Built, key: &[u8]| {
        let (bootstrap, version) = release;
        let state = log.accepted(bootstrap);
        let manifest = &log.manifests[version - 1];
        let collection = &built.entry.name;
        let proof = FullProof::new(&state, manifest, collection, key, &built.prove(key));
        let bytes = proof.expect("an accepted release").encode();
        let proven = verify_full(&bytes, &log.roots[0], &dataset(), &channel());
        let proven = proven.expect("a proof that holds");
        let value = proven.value.map_or_else(|| "absent".to_owned(), |value| hex(&value));
        Vector::new(name, about, bytes)
            .fact("collection", collection.as_str())
            .fact("key", hex(key))
            .fact("value", value)
            .fact("version", version)
            .fact("cosigned_s", proven.trust.cosigned_s())
    };
    let (first, rotated) = ((&log.first, 1), (&log.third, 2));
    let present = token(1234).0;
    let absent = [&present[..], b"x"].concat();
    Format {
        name: "full-proof",
        spec: "docs/spec/proof.md",
        about: "The whole way from a record to the trust root, for whoever has trust root 1.",
        vectors: vec![
            vector("presence", "of token/001234 in version 1", first, &world.tokens, &present),
            vector("absence", "of token/001234x in version 1", first, &world.tokens, &absent),
            vector(
                "rotated",
                "of setting/7 in version 2, under trust root 2, cosigned",
                rotated,
                &world.config,
                b"setting/7",
            ),
        ],
    }
}
