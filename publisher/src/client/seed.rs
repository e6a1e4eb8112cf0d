//! Seed files (docs/spec/seed.md): read as the client's first source, and written from a store.
//!
//! What is written was verified when it came into the store; it is hashed again as it is copied,
//! and whoever calls this restores the file with the real client before handing it out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use packice_core::engine::io::{FetchFailure, StoreKey, Target};
use packice_core::engine::{ShelfRecord, StateRecord, VersionRecord};
use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Head;
use packice_core::format::layer::LayerDirectory;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::Manifest;
use packice_core::format::seed::SeedIndex;
use packice_core::hash::wire_name;
use packice_core::trust::accept::TrustState;
use packice_core::trust::log::Frontier;
use packice_core::trust::tiles::{TileRef, consistency_tiles, earlier_root};
use packice_core::types::{Name, ObjectKind, ObjectRef, Version};

use super::fetch::{Sink, Source};
use super::store::FileStore;
use crate::edge::Edge;
use crate::failure::{Failure, Result, on_file};

/// How much of the file is handed on at once.
const CHUNK_LEN: u64 = 64 * 1024;
/// Logs longer than this go without tiles in the seed: a client that holds an old version then
/// needs the network to see that the log only grew.
const MAX_TILED_LOG: u64 = 1 << 16;

/// A seed file as a source.
pub struct SeedFile {
    path: PathBuf,
}

impl SeedFile {
    /// A file, which must be there.
    pub fn open(path: &Path) -> Result<Self> {
        File::open(path).map_err(on_file("read", path))?;
        Ok(Self { path: path.to_path_buf() })
    }
}

impl Source for SeedFile {
    fn name(&self) -> &str {
        "seed"
    }

    fn fetch(
        &self,
        target: &Target,
        max_bytes: u64,
        _timeout: Duration,
        sink: &mut Sink<'_>,
    ) -> Result<(), FetchFailure> {
        let failed = |_| FetchFailure::Network;
        let mut file = File::open(&self.path).map_err(failed)?;
        let (start, len) = target.range.map_or((0, max_bytes), |range| (range.start, range.len));
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut left = len;
        while left > 0 {
            let mut chunk = Vec::new();
            let wanted = left.min(CHUNK_LEN);
            let got = (&mut file).take(wanted).read_to_end(&mut chunk).map_err(failed)?;
            if got == 0 {
                break;
            }
            left -= got as u64;
            if !sink(chunk) {
                return Err(FetchFailure::Cancelled);
            }
        }
        Ok(())
    }
}

/// What a seed holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version.
    pub version: Version,
    /// How many objects.
    pub objects: usize,
    /// The file's length.
    pub bytes: u64,
    /// Tiles of the log among the objects.
    pub tiles: usize,
}

/// Where an object's bytes come from.
enum Origin {
    Memory(Vec<u8>),
    Row(ObjectKind, ObjectRef),
}

/// The committed version of a store, as the files of a source.
struct Contents {
    version: Version,
    files: BTreeMap<String, Origin>,
    log: (Frontier, u64),
}

/// Writes the store's committed version to a file. `edge`: where the log's tiles come from.
pub fn write_seed(
    store: &FileStore,
    trust: &[u8],
    dataset: &Name,
    channel: &Name,
    edge: Option<&Edge>,
    path: &Path,
) -> Result<Written> {
    let mut contents = contents(store, trust, dataset, channel)?;
    let tiles = edge.map_or_else(BTreeMap::new, |edge| tiles(edge, &contents.log));
    let tile_count = tiles.len();
    contents.files.extend(tiles.into_iter().map(|(path, bytes)| (path, Origin::Memory(bytes))));
    let lengths = contents.files.iter().map(|(path, origin)| {
        let len = match origin {
            Origin::Memory(bytes) => bytes.len() as u64,
            Origin::Row(_, object) => object.len,
        };
        (path.clone(), len)
    });
    let index = SeedIndex::of(lengths)?;
    let encoded = index.encode();
    let mut out = BufWriter::new(File::create(path).map_err(on_file("create", path))?);
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(on_file("write", path));
    write(&SeedIndex::prelude(encoded.len())?)?;
    write(&encoded)?;
    for (name, origin) in &contents.files {
        match origin {
            Origin::Memory(bytes) => write(bytes)?,
            Origin::Row(kind, object) => write(&row(store, *kind, object, name)?)?,
        }
    }
    let file = out.into_inner().map_err(|error| on_file("write", path)(error.into_error()))?;
    file.sync_all().map_err(on_file("write", path))?;
    Ok(Written {
        version: contents.version,
        objects: index.entries().len(),
        bytes: index.file_len(),
        tiles: tile_count,
    })
}

/// A row of the store, which must be what its name says.
fn row(store: &FileStore, kind: ObjectKind, object: &ObjectRef, path: &str) -> Result<Vec<u8>> {
    let rows = store.load(&[StoreKey::Object(kind, object.name)]);
    match rows.into_iter().next().flatten() {
        Some(bytes) if bytes.len() as u64 == object.len && wire_name(&bytes) == object.name => {
            Ok(bytes)
        }
        Some(_) | None => {
            let message = format!("the store's {path} is missing or damaged");
            Err(Failure::verification(message).next("run `packice verify --repair`"))
        }
    }
}

fn contents(store: &FileStore, trust: &[u8], dataset: &Name, channel: &Name) -> Result<Contents> {
    let state = store.load(&[StoreKey::State]).into_iter().next().flatten();
    let committed = state.map(|state| StateRecord::parse(&state)).transpose()?;
    let Some(record) = committed.and_then(|state| state.committed) else {
        return Err(Failure::absent("the store holds no whole version").next("run `packice sync`"));
    };
    let VersionRecord { trust: kept, manifest: bytes, shelves, partial } = record;
    if !partial.is_empty() {
        let message = "the store holds key ranges of some collections, and not all of them";
        return Err(Failure::absent(message).next("run `packice sync` without --only"));
    }
    let state = TrustState::restore(trust, dataset, &kept)?;
    let nothing = || Failure::internal("the store's trust state has no head");
    let (Some(checkpoint), Some((entry, inclusion))) = (state.checkpoint(), state.entry()) else {
        return Err(nothing());
    };
    let size = state.seen().size;
    let before = Frontier::before_last(&inclusion, size).ok_or_else(nothing)?;
    let head = Head::parse(entry)?;
    let named = head.channel(channel.as_str()).ok_or_else(nothing)?;
    let manifest = Manifest::parse(&bytes)?;
    let bootstrap = Bootstrap {
        checkpoint: checkpoint.to_vec(),
        trust_chain: state.chain().to_vec(),
        head: entry.to_vec(),
        inclusion,
        objects: Vec::new(),
    };
    let mut files = BTreeMap::from([
        ("checkpoint".to_owned(), Origin::Memory(checkpoint.to_vec())),
        (format!("bootstrap/{channel}"), Origin::Memory(bootstrap.encode())),
        (path_of(ObjectKind::Manifest, &named.manifest), Origin::Memory(bytes)),
    ]);
    let mut add = |kind, object| files.insert(path_of(kind, &object), Origin::Row(kind, object));
    let mut tops = Vec::new();
    for (collection, shelf) in manifest.collections.iter().zip(shelves) {
        let bytes = match shelf {
            ShelfRecord::Published { directory } => directory,
            // What a client made of deltas has names that no publisher knows.
            ShelfRecord::Own { .. } | ShelfRecord::Delta => {
                let message = "the store holds what deltas made of an older base";
                return Err(Failure::absent(message).next("sync into an empty store"));
            }
        };
        if let Some(overlay) = &collection.overlay {
            let path = path_of(ObjectKind::Layer, &overlay.directory);
            add(ObjectKind::Layer, overlay.directory);
            let layer = row(store, ObjectKind::Layer, &overlay.directory, &path)?;
            for page in LayerDirectory::parse(&layer)?.pages {
                add(ObjectKind::LayerPage, page.object);
            }
        }
        if let Some(dictionary) = &collection.base.dictionary {
            add(ObjectKind::Dictionary, dictionary.object);
        }
        for page in Directory::parse(&bytes)?.pages {
            let path = path_of(ObjectKind::Layout, &page.object);
            add(ObjectKind::Layout, page.object);
            let page = Page::parse(&row(store, ObjectKind::Layout, &page.object, &path)?)?;
            for bundle in &page.bundles {
                let object = ObjectRef { name: bundle.name, len: bundle.wire_len() };
                add(ObjectKind::Bundle, object);
            }
        }
        let directory = collection.base.directory;
        tops.push((path_of(ObjectKind::Layout, &directory), Origin::Memory(bytes)));
    }
    files.extend(tops);
    Ok(Contents { version: manifest.version, files, log: (before, size) })
}

fn path_of(kind: ObjectKind, object: &ObjectRef) -> String {
    Edge::object_path(kind, &object.name)
}

/// The tiles that prove to a client of any older version that the log only grew. What the edge
/// does not give, or what does not hold, is left out: the network is asked for it then.
fn tiles(edge: &Edge, (before, size): &(Frontier, u64)) -> BTreeMap<String, Vec<u8>> {
    let mut held = BTreeMap::new();
    if *size > MAX_TILED_LOG {
        return held;
    }
    let mut done: BTreeSet<Vec<TileRef>> = BTreeSet::new();
    for seen in 1..*size {
        let wanted = consistency_tiles(seen, *size);
        if wanted.is_empty() || !done.insert(wanted.clone()) {
            continue;
        }
        let mut tiles = Vec::new();
        for tile in wanted {
            let path = format!("log/{}", tile.path());
            let bytes = match held.get(&path) {
                Some(bytes) => Some(Vec::clone(bytes)),
                None => edge.get(&path, tile.max_len()).ok().flatten().map(|got| got.bytes),
            };
            tiles.extend(bytes.map(|bytes| (tile, bytes)));
        }
        if earlier_root(before, seen, &tiles).is_ok() {
            let named = |(tile, bytes): (TileRef, Vec<u8>)| (format!("log/{}", tile.path()), bytes);
            held.extend(tiles.into_iter().map(named));
        }
    }
    held
}
