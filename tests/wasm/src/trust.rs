//! What trust costs a cold client's processor: all that it verifies before it believes a release,
//! beside the bare signatures in it (`cargo xtask bench trust`).

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::manifest::{Base, Collection, Manifest, Params, Provenance, TreeInfo};
use packice_core::format::note::{COSIGNATURE, Checkpoint};
use packice_core::format::trust_root::{
    PublicKey, Role, SignedTrustRoot, Staleness, TrustRoot, Witness, WitnessPolicy,
};
use packice_core::hash;
use packice_core::trust::accept::{Offer, TrustState};
use packice_core::trust::log::Frontier;
use packice_core::trust::manifest::verify_manifest;
use packice_core::trust::sign::{self, Seed};
use packice_core::trust::signature::verify;
use packice_core::types::{Identity, Name, ObjectRef, Version, WireName};
use wasm_bindgen::prelude::wasm_bindgen;

const ORIGIN: &str = "packice.bench/trust";
const ROOTS: [Seed; 3] = [[1; 32], [2; 32], [3; 32]];
const RELEASES: [Seed; 3] = [[11; 32], [12; 32], [13; 32]];
const WITNESSES: [(&str, Seed); 3] =
    [("witness.bench/a", [21; 32]), ("witness.bench/b", [22; 32]), ("witness.bench/c", [23; 32])];
const TIME_S: u64 = 1_790_000_000;
/// Entries of the log: the last one's inclusion proof is as long as it gets below 16,384.
const LOG_SIZE: u64 = 8191 + 1;

/// Two trust roots of two root signatures each, a checkpoint of two release signatures and three
/// cosignatures, the last entry's inclusion proof, and a manifest of three collections.
#[wasm_bindgen]
#[derive(Debug)]
pub struct TrustBench {
    dataset: Name,
    channel: Name,
    root: Vec<u8>,
    bootstrap: Vec<u8>,
    manifest: Vec<u8>,
    signatures: Vec<(PublicKey, Vec<u8>, Vec<u8>)>,
}

#[wasm_bindgen]
impl TrustBench {
    /// Signs all of it.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default, reason = "a constructor for JavaScript")]
    pub fn new() -> Self {
        let (dataset, channel) = (name("bench"), name("stable"));
        let manifest = manifest(&dataset).encode();
        let roots = [1, 2].map(|version| trust_root(&dataset, version));
        let signed = roots.map(|root| sign::sign_trust_root(&root, &ROOTS[..2]));
        let object = ObjectRef { name: hash::wire_name(&manifest), len: manifest.len() as u64 };
        let head = Head {
            dataset: dataset.clone(),
            trust_root_version: 2,
            channels: vec![Channel {
                name: channel.clone(),
                version: Version(7),
                manifest: object,
            }],
            policy: Policy::default(),
        };
        let mut log = Frontier::new();
        for entry in 1..LOG_SIZE {
            log.push(hash::log_leaf(&entry.to_be_bytes()));
        }
        let grown = sign::grow(&log, &head.encode());
        let mut checkpoint = sign::sign_checkpoint(ORIGIN, grown.at, &RELEASES[..2]);
        for (name, seed) in &WITNESSES {
            sign::add_cosignature(&mut checkpoint, name, seed, TIME_S);
        }
        let mut signatures: Vec<_> = signed.iter().flat_map(root_signatures).collect();
        signatures.extend(note_signatures(&checkpoint));
        let bootstrap = Bootstrap {
            checkpoint: checkpoint.encode().into_bytes(),
            trust_chain: vec![signed[1].encode()],
            head: head.encode(),
            inclusion: grown.inclusion,
            objects: Vec::new(),
        };
        let (root, bootstrap) = (signed[0].encode(), bootstrap.encode());
        Self { dataset, channel, root, bootstrap, manifest, signatures }
    }

    /// How many signatures a cold client verifies.
    pub fn signatures(&self) -> usize {
        self.signatures.len()
    }

    /// Verifies as a cold client does, from the bytes on; the cosignatures' time.
    pub fn cold(&self) -> Result<f64, String> {
        let verified = || {
            let state = TrustState::embedded(&self.root, &self.dataset)?;
            let bootstrap = Bootstrap::parse(&self.bootstrap)?;
            let offer = state.offer(&bootstrap, &self.channel)?;
            let Offer::Accepted(accepted) = offer else { return Ok(None) };
            verify_manifest(&self.dataset, &accepted.channel, &self.manifest)?;
            Ok(Some(accepted.state.cosigned_s()))
        };
        let verified: Result<Option<u64>, packice_core::error::Error> = verified();
        match verified {
            Ok(Some(time)) => Ok(time as f64),
            Ok(None) => Err("it was not accepted at once".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Verifies the same signatures and nothing else; how many held.
    pub fn bare(&self) -> usize {
        self.signatures.iter().filter(|(key, text, line)| verify(key, text, line)).count()
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn role(seeds: &[Seed]) -> Role {
    let mut keys: Vec<PublicKey> = seeds.iter().map(sign::public_key).collect();
    keys.sort_unstable();
    Role { threshold: 2, keys }
}

fn trust_root(dataset: &Name, version: u64) -> TrustRoot {
    let witness =
        |(name, seed): &(&str, Seed)| Witness { name: (*name).into(), key: sign::public_key(seed) };
    TrustRoot {
        dataset: dataset.clone(),
        origin: ORIGIN.into(),
        version,
        root: role(&ROOTS),
        release: role(&RELEASES),
        witnesses: WitnessPolicy { quorum: 2, witnesses: WITNESSES.iter().map(witness).collect() },
        staleness: Staleness { stale_ms: 86_400_000, expired_ms: 864_000_000 },
        floor: None,
    }
}

fn manifest(dataset: &Name) -> Manifest {
    let tree = |at: u8| TreeInfo {
        root: Identity([at; 32]),
        level: 3,
        records: 20_000,
        plain_len: 20_000_000,
    };
    let collection = |(title, at): (&str, u8)| Collection {
        name: name(title),
        priority: at,
        lazy: true,
        params: Params::default(),
        tree: tree(at),
        base: Base {
            version: Version(7),
            tree: tree(at),
            directory: ObjectRef { name: WireName([at; 32]), len: 200 },
            wire_len: 2_000_000,
            bundles: 2,
            frames: 80,
            dictionary: None,
        },
        overlay: None,
        deltas: Vec::new(),
    };
    Manifest {
        dataset: dataset.clone(),
        version: Version(7),
        parent: Some(WireName([9; 32])),
        provenance: Provenance { source_digest: [8; 32], tool: "bench".into() },
        collections: [("alerts", 0), ("names", 1), ("tokens", 2)].map(collection).to_vec(),
    }
}

fn root_signatures(signed: &SignedTrustRoot) -> Vec<(PublicKey, Vec<u8>, Vec<u8>)> {
    let text = TrustRoot::signed_bytes(&signed.body);
    let line = |(key, line): &(PublicKey, [u8; 64])| (*key, text.clone(), line.to_vec());
    signed.signatures.iter().map(line).collect()
}

fn note_signatures(checkpoint: &Checkpoint) -> Vec<(PublicKey, Vec<u8>, Vec<u8>)> {
    let mut signatures = Vec::new();
    for line in &checkpoint.signatures {
        let witness = WITNESSES.iter().find(|(name, _)| *name == line.name);
        if let Some((name, seed)) = witness {
            let key = sign::public_key(seed);
            assert_eq!(line.key_id, packice_core::format::note::key_id(name, COSIGNATURE, &key));
            let text = format!("cosignature/v1\ntime {TIME_S}\n{}", checkpoint.body);
            signatures.push((key, text.into_bytes(), line.signature[8..].to_vec()));
        } else {
            let by = RELEASES.iter().map(sign::public_key);
            let body = checkpoint.body.as_bytes();
            let key = by.into_iter().find(|key| verify(key, body, &line.signature));
            signatures.push((key.expect("a release key"), body.to_vec(), line.signature.clone()));
        }
    }
    signatures
}
