//! Every delta path to a version, gone by the real client: it restores the version that a delta
//! starts from, out of what is held here, and then follows to the new one out of what the edge
//! serves. That the delta, and not the base, was the road is part of what must hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use packice_core::engine::Event;
use packice_core::engine::io::Road;
use packice_core::format::head::Channel;
use packice_core::format::manifest::Manifest;
use packice_core::types::{Name, ObjectRef, Version};

use super::ephemeral::EphemeralLog;
use crate::build::past::Past;
use crate::client::audit::{Expected, audit};
use crate::client::fetch::{DirSource, Source};
use crate::client::host::Host;
use crate::client::store::FileStore;
use crate::client::watch::Watch;
use crate::failure::{Failure, Result, on_file};
use crate::ui::Ui;

/// A version to go to, and who serves it.
pub struct Goal<'a> {
    /// The channel that stands at it.
    pub channel: &'a Channel,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Who serves its objects.
    pub source: Arc<dyn Source>,
    /// What its bootstrap carries along; nothing where all must come from the source.
    pub inlined: Vec<Vec<u8>>,
    /// A directory for the client's stores.
    pub temporary: &'a Path,
    /// Whether every record is read back at the end of each path.
    pub compare: bool,
}

/// A path that was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Where it began.
    pub from: Version,
    /// Bytes that were fetched on it.
    pub bytes: u64,
    /// Requests that were made.
    pub requests: u64,
    /// The longest chain of them, each possible only when the one before had ended.
    pub round_trips: u64,
    /// Records that were read back.
    pub records: u64,
}

/// The versions that deltas of a manifest start from.
pub fn starts(manifest: &Manifest) -> BTreeSet<Version> {
    let deltas = manifest.collections.iter().flat_map(|collection| &collection.deltas);
    deltas.map(|delta| delta.from_version).collect()
}

/// Who is behind was away for that long.
const AWAY_MS: u64 = 86_400_000;

/// Goes the path from an earlier version.
pub fn follow(goal: &Goal<'_>, from: &Past, ui: Ui) -> Result<Gone> {
    let version = from.manifest.version;
    let dir = tempfile::Builder::new()
        .prefix("path-")
        .tempdir_in(goal.temporary)
        .map_err(on_file("create a directory in", goal.temporary))?;
    go(goal, from, dir.path(), ui)
        .map_err(|failure| failure.within(format!("the path from version {version} does not hold")))
}

fn go(goal: &Goal<'_>, from: &Past, store: &Path, ui: Ui) -> Result<Gone> {
    let (dataset, name) = (&goal.manifest.dataset, &goal.channel.name);
    let mut log = EphemeralLog::new(dataset)?;
    let len = from.manifest.encode().len() as u64;
    let start = Channel {
        name: name.clone(),
        version: from.manifest.version,
        manifest: ObjectRef { name: from.name, len },
    };
    let first = log.release(&start, Vec::new())?.before(name, DirSource::new(from.objects.path()));
    let trust = log.trust.clone();
    {
        let mut host = open(dataset, name, &trust, store, Arc::new(first))?;
        host.sync(&mut |_| {})?;
    }
    let second = log.release(goal.channel, goal.inlined.clone())?;
    let second = second.before(name, goal.source.clone());
    let mut host = open(dataset, name, &trust, store, Arc::new(second))?;
    host.come_back_after(AWAY_MS);
    let mut watch = Watch::new(ui, "path");
    let mut by_base: Vec<String> = Vec::new();
    let report = host.sync(&mut |event| {
        if let Event::Road { collection, road: Road::Base, .. }
        | Event::DeltaRefused { collection, .. } = event
        {
            by_base.push(collection.clone());
        }
        watch.hear(event);
    });
    watch.finish();
    let report = report?;
    check_roads(goal, from, &by_base)?;
    if report.version != goal.manifest.version {
        let message = format!("it ends at version {}", report.version);
        return Err(Failure::verification(message));
    }
    let mut records = 0;
    if goal.compare {
        for collection in &goal.manifest.collections {
            let expected = Expected {
                name: collection.name.as_str(),
                params: collection.params,
                root: collection.tree.root,
                records: collection.tree.records,
            };
            audit(&mut host, &expected, &|_| {})?;
            records += collection.tree.records;
        }
    }
    Ok(Gone {
        from: from.manifest.version,
        bytes: report.bytes_fetched,
        requests: report.requests,
        round_trips: report.round_trips,
        records,
    })
}

/// Whether each collection that has a delta from there came by it.
fn check_roads(goal: &Goal<'_>, from: &Past, by_base: &[String]) -> Result<()> {
    for collection in &goal.manifest.collections {
        let name = collection.name.as_str();
        let Some(held) = from.manifest.collection(name) else { continue };
        let has_delta = collection.deltas.iter().any(|delta| delta.from_root == held.tree.root);
        if has_delta && by_base.iter().any(|other| other == name) {
            return Err(Failure::verification(format!(
                "collection '{name}' came by the base, not by the delta that is published"
            )));
        }
    }
    Ok(())
}

fn open(
    dataset: &Name,
    channel: &Name,
    trust: &[u8],
    store: &Path,
    source: Arc<dyn Source>,
) -> Result<Host> {
    let store = FileStore::open(store)?;
    Host::new(dataset.clone(), channel.clone(), trust.to_vec(), store, vec![source])
}
