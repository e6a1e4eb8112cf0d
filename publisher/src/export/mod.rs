//! A verified copy of a dataset as a folder that any static host can serve: the paths of
//! docs/spec/http.md under `v1/{dataset}/`.
//!
//! The release is verified as a client verifies it, from the embedded trust root and from what the
//! folder holds; every object is checked against the name and length that the release signs, and
//! the log's tiles against its checkpoint. Objects that are in the folder, in the local store or in
//! a local build are not fetched. The pointer is written after everything that it leads to, so a
//! copy that broke off serves the release before, and the next run goes on.

mod folder;
mod log;
mod origin;

use std::collections::BTreeSet;
use std::path::PathBuf;

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::manifest::Manifest;
use packice_core::limits::MAX_BOOTSTRAP_LEN;
use packice_core::trust::accept::{Offer, TrustState};
use packice_core::types::{Name, ObjectKind, ObjectRef};

use crate::edge::Edge;
use crate::failure::{Failure, Kind, Result};
use crate::publish::head::fetch_tiles;
use crate::reach::{WireObject, objects_of};
use crate::ui::Ui;
pub use folder::Release;
use folder::{Folder, Record};
use origin::Origin;

/// How to export.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder.
    pub dir: PathBuf,
    /// The dataset.
    pub dataset: Name,
    /// The channel.
    pub channel: Name,
    /// The signed trust root that is trusted.
    pub trust: Vec<u8>,
    /// Base URLs to copy from.
    pub sources: Vec<String>,
    /// Directories that may hold objects, `{kind}/{name}`.
    pub local: Vec<PathBuf>,
    /// How many releases of the channel stay; all where left out.
    pub keep: Option<usize>,
}

/// What an export did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The version that the folder serves.
    pub version: u64,
    /// Whether the pointer moved, or stood there already.
    pub moved: bool,
    /// The log's size.
    pub log_size: u64,
    /// Objects of the release.
    pub objects: u64,
    /// Objects that the folder lacked.
    pub added: u64,
    /// Their bytes.
    pub added_bytes: u64,
    /// Those of them that were fetched, and not found on this machine.
    pub fetched: u64,
    /// Files of older releases that were removed.
    pub removed: u64,
    /// What sources did wrong.
    pub faults: Vec<String>,
}

/// Copies the newest release of a channel.
pub fn export(options: &Options, ui: Ui) -> Result<Outcome> {
    let folder = Folder::open(&options.dir, &options.dataset)?;
    let mut record = folder.record()?;
    let origin = Origin::new(&options.sources, &options.dataset, &options.local, &folder);
    let (trust, pointer) = choose(options, &folder, &origin)?;
    let missing = || Failure::internal("a verified head without this channel");
    let head = trust.head().ok_or_else(missing)?;
    let channel = head.channel(options.channel.as_str()).ok_or_else(missing)?.clone();
    let mut outcome =
        Outcome { version: channel.version.0, log_size: trust.seen().size, ..Outcome::default() };
    let list = copy_objects(&origin, &channel.manifest, ui, &mut outcome)?;
    for signed in trust.chain() {
        let version = crate::trust_store::parse(signed)?.root.version;
        folder.write(&format!("trust-root/{version}"), signed)?;
    }
    log::copy(&folder, &origin, trust.seen())?;
    let release = Release {
        channel: options.channel.to_string(),
        version: channel.version.0,
        manifest: channel.manifest.name.to_hex(),
        log_size: trust.seen().size,
    };
    record.add(release);
    folder.save(&record)?;
    folder.write_hints()?;
    // From here on the folder serves the release.
    let bootstrap = Bootstrap::parse(&pointer)?;
    outcome.moved = folder.write(&format!("bootstrap/{}", options.channel), &pointer)?;
    let lean = bootstrap.lean(options.channel.as_str());
    folder.write(&format!("head/{}", options.channel), &lean.encode())?;
    if options.channel.as_str() == "stable" || !folder.exists("checkpoint") {
        folder.write("checkpoint", &lean.checkpoint)?;
    }
    if let Some(keep) = options.keep {
        outcome.removed = prune(&folder, &mut record, &options.channel, keep, &list)?;
    }
    outcome.faults = origin.faults();
    Ok(outcome)
}

/// The newest release that holds among those of the folder and of all sources, and its pointer.
fn choose(
    options: &Options,
    folder: &Folder,
    origin: &Origin<'_>,
) -> Result<(TrustState, Vec<u8>)> {
    let path = format!("bootstrap/{}", options.channel);
    let mut trust = TrustState::embedded(&options.trust, &options.dataset)?;
    let mut chosen = None;
    if let Some(bytes) = folder.read(&path)? {
        let held = Bootstrap::parse(&bytes).and_then(|bootstrap| {
            match trust.offer(&bootstrap, &options.channel)? {
                Offer::Accepted(accepted) => Ok(Some(accepted.state)),
                Offer::Unchanged | Offer::NeedsConsistency { .. } => Ok(None),
            }
        });
        let held = held.map_err(|error| {
            Failure::from(error)
                .within(format!("the release in {}", options.dir.display()))
                .next("export into another folder, or remove this one")
        })?;
        if let Some(state) = held {
            (trust, chosen) = (state, Some(bytes));
        }
    }
    let mut first_failure = None;
    let mut served = false;
    for edge in origin.edges() {
        match offered(edge, &trust, &path, &options.channel) {
            Ok(None) => served = true,
            Ok(Some((state, bytes))) => {
                (trust, chosen, served) = (state, Some(bytes), true);
            }
            Err(failure) => {
                origin.note(edge, &failure);
                first_failure.get_or_insert(failure);
            }
        }
    }
    match (chosen, first_failure) {
        (Some(bytes), _) if served => Ok((trust, bytes)),
        (_, Some(failure)) => Err(failure),
        (_, None) => Err(Failure::usage("no source").next("pass --source URL")),
    }
}

/// What a source offers beyond what is known; `None` for nothing new.
fn offered(
    edge: &Edge,
    trust: &TrustState,
    path: &str,
    channel: &Name,
) -> Result<Option<(TrustState, Vec<u8>)>> {
    let Some(fetched) = edge.get(path, MAX_BOOTSTRAP_LEN)? else {
        let message = format!("{} does not exist", edge.url(path));
        return Err(Failure::absent(message)
            .next("check --source and --channel: the URL is what stands before /v1/"));
    };
    let refused = |error| {
        origin::html_or(&fetched.bytes, Failure::from(error))
            .within(format!("{} does not hold", edge.url(path)))
    };
    let bootstrap = Bootstrap::parse(&fetched.bytes).map_err(refused)?;
    let state = match trust.offer(&bootstrap, channel).map_err(refused)? {
        Offer::Unchanged => return Ok(None),
        Offer::Accepted(accepted) => accepted.state,
        Offer::NeedsConsistency { tiles, pending } => {
            let tiles = fetch_tiles(edge, &tiles)?;
            pending.finish(&tiles).map_err(refused)?.state
        }
    };
    Ok(Some((state, fetched.bytes.clone())))
}

/// Copies everything that a manifest leads to, the manifest last, and lists it.
fn copy_objects(
    origin: &Origin<'_>,
    manifest: &ObjectRef,
    ui: Ui,
    outcome: &mut Outcome,
) -> Result<Vec<WireObject>> {
    let mut own = origin.bytes(ObjectKind::Manifest, manifest)?;
    let parsed = Manifest::parse(&own.bytes)?;
    let mut list = objects_of(&parsed, &mut |item| origin.copy(item, outcome))?;
    let bar = ui.bytes_bar("export", list.iter().map(|item| item.object.len).sum());
    let copied = origin.copy_all(&list, &bar, outcome);
    bar.finish_and_clear();
    copied?;
    own.keep(outcome)?;
    list.push(WireObject { kind: ObjectKind::Manifest, object: *manifest });
    outcome.objects = list.len() as u64;
    Ok(list)
}

/// Removes what only dropped releases lead to; gives how many files went.
fn prune(
    folder: &Folder,
    record: &mut Record,
    channel: &Name,
    keep: usize,
    newest: &[WireObject],
) -> Result<u64> {
    record.keep(channel.as_str(), keep);
    let mut wanted: BTreeSet<String> =
        newest.iter().map(|item| Edge::object_path(item.kind, &item.object.name)).collect();
    for release in &record.releases {
        match reach(folder, release) {
            Ok(paths) => wanted.extend(paths),
            // A release that the folder does not hold whole cannot be served anyway.
            Err(failure) if failure.kind == Kind::Absent => {}
            Err(failure) => return Err(failure),
        }
    }
    let sizes: BTreeSet<u64> = record.releases.iter().map(|release| release.log_size).collect();
    wanted.extend(sizes.iter().flat_map(|size| log::tiles_of(*size)).map(|tile| log::path(&tile)));
    folder.save(record)?;
    folder.remove_others(&wanted)
}

/// The paths of all objects of a release in the folder.
fn reach(folder: &Folder, release: &Release) -> Result<Vec<String>> {
    let read = |path: &str| {
        let absent = || Failure::absent(format!("{path} is not in the folder"));
        folder.read(path)?.ok_or_else(absent)
    };
    let path_of = |item: &WireObject| Edge::object_path(item.kind, &item.object.name);
    let mut paths = vec![format!("manifest/{}", release.manifest)];
    let manifest = Manifest::parse(&read(&paths[0])?)?;
    let list = objects_of(&manifest, &mut |item| read(&path_of(item)))?;
    paths.extend(list.iter().map(path_of));
    Ok(paths)
}
