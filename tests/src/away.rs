//! A client that was away for so many releases: what it fetches until it has verified its way to
//! the head, with the engine over a log of that many entries.
//!
//! The log is made by the core's own code, every head state of it distinct, under a trust root
//! that names three witnesses, all of which cosign. Bootstraps inline nothing here: what they
//! inline is data, and counts for reads.

use std::collections::BTreeMap;

use crate::publication::{Publication, Spec, channel, dataset};
use crate::shell::{Request, Shell, Source};
use packice_core::engine::io::StoreKey;
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::format::trust_root::Staleness;
use packice_core::hash;
use packice_core::trust::log::{Frontier, root_of};
use packice_core::trust::sign;
use packice_core::trust::tiles::{TileKind, TileRef, encode_hashes};
use packice_core::types::{LogHash, Millis, ObjectKind, ObjectRef, Version, WireName};
use serde_json::{Value, json};

/// Hashes of a full tile.
const WIDTH: usize = 256;
const T0_S: u64 = 1_790_000_000;
/// Sizes of the log when the client left: just begun, and on either side of full tiles.
const LEFT_AT: [u64; 5] = [1, 137, 256, 1000, 65_537];

/// The hashes of a log, by level of the tiles.
struct Log {
    levels: Vec<Vec<LogHash>>,
}

impl Log {
    fn new() -> Self {
        Self { levels: vec![Vec::new()] }
    }

    fn push(&mut self, entry: &[u8]) {
        let mut next = hash::log_leaf(entry);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(next);
            let count = self.levels[level].len();
            if !count.is_multiple_of(WIDTH) {
                return;
            }
            next = root_of(&self.levels[level][count - WIDTH..]);
        }
    }

    /// Every hash tile, as wide as it is now.
    fn tiles(&self) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
        (0u8..).zip(&self.levels).flat_map(|(level, hashes)| {
            hashes.chunks(WIDTH).enumerate().map(move |(index, chunk)| {
                let kind = TileKind::Hashes { level };
                let tile = TileRef::new(kind, index as u64, chunk.len() as u64);
                (format!("log/{}", tile.expect("a tile").path()), encode_hashes(chunk))
            })
        })
    }
}

/// The head state that stands at a place of the log; only those that are served name a manifest
/// that there is.
fn head(version: u64, manifest: Option<ObjectRef>) -> Vec<u8> {
    let mut unseen = [0; 32];
    unseen[..8].copy_from_slice(&version.to_be_bytes());
    let manifest = manifest.unwrap_or(ObjectRef { name: WireName(unseen), len: 500 });
    let channel = Channel { name: channel(), version: Version(version), manifest };
    Head {
        dataset: dataset(),
        trust_root_version: 1,
        channels: vec![channel],
        policy: Policy { keep_versions: 10, keep_ms: 604_800_000 },
    }
    .encode()
}

/// One edge, its log, and what it serves at the log's end.
struct Edge {
    publication: Publication,
    log: Log,
    frontier: Frontier,
}

impl Edge {
    fn new() -> Self {
        let staleness = Staleness { stale_ms: 259_200_000, expired_ms: 2_592_000_000 };
        let mut publication = Publication::watched(staleness, vec![T0_S; 3]);
        publication.inline = false;
        publication.publish(&[Spec::numbered("config", 0, 100, 1)]);
        Self { publication, log: Log::new(), frontier: Frontier::new() }
    }

    /// Grows the log to a size, and serves its last entry.
    fn release(&mut self, size: u64) {
        for version in self.frontier.size() + 1..size {
            let entry = head(version, None);
            self.log.push(&entry);
            self.frontier.push(hash::log_leaf(&entry));
        }
        let mut manifest = self.publication.manifest.clone().expect("a manifest");
        manifest.version = Version(size);
        let object = self.publication.put(ObjectKind::Manifest, manifest.encode());
        let entry = head(size, Some(object));
        let grown = sign::grow(&self.frontier, &entry);
        self.log.push(&entry);
        self.frontier = grown.frontier;
        self.publication.files.retain(|path, _| !path.starts_with("log/"));
        self.publication.files.extend(self.log.tiles());
        let note = self.publication.signed(grown.at).into_bytes();
        let bootstrap = Bootstrap {
            checkpoint: note.clone(),
            trust_chain: Vec::new(),
            head: entry,
            inclusion: grown.inclusion,
            objects: Vec::new(),
        };
        self.publication.files.insert("checkpoint".into(), note);
        self.publication.files.insert("bootstrap/stable".into(), bootstrap.encode());
    }

    /// Syncs a client; its store, the version it stands at, and its requests.
    fn sync(
        &self,
        store: BTreeMap<StoreKey, Vec<u8>>,
    ) -> (BTreeMap<StoreKey, Vec<u8>>, Vec<Request>) {
        let sources = vec![Source::honest(&self.publication)];
        let mut shell = Shell::on_store(&self.publication, sources, store);
        shell.now = Millis((T0_S + 60) * 1000);
        let report = shell.sync().expect("a sync that ends well");
        assert_eq!(report.version, Version(self.frontier.size()), "the client is at the head");
        assert!(shell.faults().is_empty());
        let requests = std::mem::take(&mut shell.requests);
        (shell.close(), requests)
    }
}

/// Whether a request is for what proves the head, and not for data.
fn is_trust(request: &Request) -> bool {
    let path = request.path.as_str();
    path == "checkpoint" || path.starts_with("bootstrap/") || path.starts_with("log/")
}

/// The worst of all logs to leave at: bytes, sequential round trips and tiles, and what each
/// request was for.
pub fn away(releases: u64) -> Value {
    let mut worst = (0, 0, 0);
    let mut rows = Vec::new();
    for left_at in LEFT_AT {
        let mut edge = Edge::new();
        edge.release(left_at);
        let (store, _) = edge.sync(BTreeMap::new());
        edge.release(left_at + releases);
        let (_, requests) = edge.sync(store);
        let trust: Vec<&Request> = requests.iter().filter(|request| is_trust(request)).collect();
        let bytes: u64 = trust.iter().map(|request| request.bytes).sum();
        let mut rounds: Vec<u64> = trust.iter().map(|request| request.round).collect();
        rounds.dedup();
        let tiles = trust.iter().filter(|request| request.path.starts_with("log/")).count();
        rows.push(json!({
            "left_at": left_at, "bytes": bytes, "round_trips": rounds.len(), "tiles": tiles,
            "requests": trust.iter().map(|r| json!([r.path, r.bytes])).collect::<Vec<_>>(),
        }));
        worst = (worst.0.max(bytes), worst.1.max(rounds.len()), worst.2.max(tiles));
    }
    json!({
        "releases": releases, "bytes": worst.0, "round_trips": worst.1, "tiles": worst.2,
        "from": rows,
    })
}
