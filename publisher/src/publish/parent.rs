//! The version that a build is made after and those before it: from the builds that are here, and
//! what these lack from an edge, for CI jobs that keep no state.

use std::collections::BTreeMap;
use std::sync::Arc;

use packice_core::format::manifest::Manifest;
use packice_core::hash::wire_name;
use packice_core::limits::{MAX_MANIFEST_LEN, MAX_OBJECT_LEN};
use packice_core::types::{ObjectKind, ObjectRef, WireName};

use super::head::{EdgeHead, remember};
use crate::build::Parent;
use crate::build::objects::ObjectDir;
use crate::build::past::Past;
use crate::config::Config;
use crate::edge::Edge;
use crate::failure::{Failure, Kind, Result};
use crate::project::{Build, Project, Published};
use crate::reach::{WireObject, records_of};
use crate::trust_store::read_chain;
use crate::ui::Ui;

/// The newest version of any channel on an edge, and the parent for the configured channel.
pub fn read_parent(config: &Config, edge_url: &str, ui: Ui) -> Result<(u64, Option<Parent>)> {
    let project = Project::new(config.work_dir());
    let mut state = project.state()?;
    let chain = read_chain(&config.trust_dir)?;
    let edge = Edge::new(edge_url, &config.dataset, None);
    let at = EdgeHead::read(&edge, config, &chain, &state, false)?;
    state.trust = Some(remember(&at.trust));
    let channels = at.head().map(|head| head.channels.as_slice()).unwrap_or_default();
    for channel in channels {
        let version = channel.version.0;
        let published = Published { version, manifest: channel.manifest.name.to_hex() };
        state.channels.insert(channel.name.to_string(), published);
    }
    project.save_state(&state)?;
    let newest = channels.iter().map(|channel| channel.version.0).max().unwrap_or(0);
    let Some(before) = at.channel(&config.channel) else { return Ok((newest, None)) };
    let parent = parent_of(config, before.manifest.name, Some((&edge, ui)))?;
    Ok((newest, Some(parent)))
}

/// A parent by its manifest's wire name, with those before it as far as deltas start from them.
pub fn parent_of(config: &Config, name: WireName, edge: Option<(&Edge, Ui)>) -> Result<Parent> {
    let project = Project::new(config.work_dir());
    let here = local(&project);
    let mut history: Vec<Past> = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next.filter(|_| history.len() < config.deltas.depth) {
        let found = match (here.get(&name), edge) {
            (Some(past), _) => Ok(past.clone()),
            (None, Some((edge, ui))) => fetch_past(&project, edge, &name, ui),
            (None, None) => break,
        };
        match found {
            Ok(past) => {
                next = past.manifest.parent;
                history.push(past);
            }
            // What retention removed is not waited for.
            Err(failure) if failure.kind == Kind::Absent && !history.is_empty() => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(Parent { name, history })
}

/// A version by its number, among those of a history and the builds that are here.
pub fn version_of(config: &Config, parent: &Parent, version: u64) -> Result<Past> {
    let of_history = parent.history.iter().find(|past| past.manifest.version.0 == version);
    if let Some(past) = of_history {
        return Ok(past.clone());
    }
    let build = Project::new(config.work_dir()).build(Some(version))?;
    Ok(past_of(build))
}

/// The builds that are here, by their manifests' names; what is damaged is left out.
fn local(project: &Project) -> BTreeMap<WireName, Past> {
    let builds = project.versions().into_iter().filter_map(|at| project.build(Some(at)).ok());
    builds.map(past_of).map(|past| (past.name, past)).collect()
}

fn past_of(build: Build) -> Past {
    let name = wire_name(&build.manifest_bytes);
    Past { name, manifest: Arc::new(build.manifest), objects: build.objects }
}

/// Brings what a version's records are read from; what is there already is not fetched.
fn fetch_past(project: &Project, edge: &Edge, name: &WireName, ui: Ui) -> Result<Past> {
    let objects = ObjectDir::create(&project.history_dir())?;
    let bytes = take(&objects, edge, ObjectKind::Manifest, name, MAX_MANIFEST_LEN)?;
    let manifest = Manifest::parse(&bytes)?;
    let mut list: Vec<WireObject> = Vec::new();
    for collection in &manifest.collections {
        list.extend(records_of(collection, &mut |item| take_item(&objects, edge, item))?);
    }
    list.sort_unstable();
    list.dedup();
    let bar = ui.bytes_bar("history", list.iter().map(|item| item.object.len).sum());
    for item in &list {
        take_item(&objects, edge, item)?;
        bar.inc(item.object.len);
    }
    bar.finish_and_clear();
    Ok(Past { name: *name, manifest: Arc::new(manifest), objects })
}

fn take_item(objects: &ObjectDir, edge: &Edge, item: &WireObject) -> Result<Vec<u8>> {
    let ObjectRef { name, len } = item.object;
    take(objects, edge, item.kind, &name, usize::try_from(len).unwrap_or(MAX_OBJECT_LEN))
}

fn take(
    objects: &ObjectDir,
    edge: &Edge,
    kind: ObjectKind,
    name: &WireName,
    max: usize,
) -> Result<Vec<u8>> {
    if objects.object_path(kind, name).exists() {
        return objects.read(kind, name);
    }
    let path = Edge::object_path(kind, name);
    let Some(fetched) = edge.get(&path, max)? else {
        return Err(Failure::absent(format!("the edge lacks {path}"))
            .next("it was removed: build where the earlier builds are, or with --new-base"));
    };
    if wire_name(&fetched.bytes) != *name {
        let message = format!("{} does not have the hash it is named by", edge.url(&path));
        return Err(Failure::verification(message));
    }
    objects.write(kind, &fetched.bytes)?;
    Ok(fetched.bytes)
}
