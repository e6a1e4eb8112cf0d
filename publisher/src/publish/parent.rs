//! The version that a build is made after, taken from an edge: for CI jobs that keep no state.

use packice_core::format::manifest::Manifest;
use packice_core::limits::{MAX_MANIFEST_LEN, MAX_OBJECT_LEN};
use packice_core::types::{ObjectKind, ObjectRef};

use super::head::{EdgeHead, remember};
use crate::build::Parent;
use crate::build::objects::ObjectDir;
use crate::config::Config;
use crate::edge::Edge;
use crate::failure::{Failure, Result};
use crate::project::{Project, Published};
use crate::trust_store::read_chain;

/// The newest version of any channel on an edge, and the parent for the configured channel.
pub fn read_parent(config: &Config, edge_url: &str) -> Result<(u64, Option<Parent>)> {
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
    let dir = project.temporary_dir().join(format!("parent-{}", before.version));
    let objects = ObjectDir::create(&dir)?;
    let bytes = fetch(&edge, ObjectKind::Manifest, &before.manifest, MAX_MANIFEST_LEN)?;
    let manifest = Manifest::parse(&bytes)?;
    for collection in &manifest.collections {
        if let Some(dictionary) = collection.base.dictionary {
            let object = dictionary.object;
            let bytes = fetch(&edge, ObjectKind::Dictionary, &object, MAX_OBJECT_LEN)?;
            objects.write(ObjectKind::Dictionary, &bytes)?;
        }
    }
    let parent = Parent { name: before.manifest.name, content: Some((manifest, objects)) };
    Ok((newest, Some(parent)))
}

fn fetch(edge: &Edge, kind: ObjectKind, object: &ObjectRef, max: usize) -> Result<Vec<u8>> {
    let path = Edge::object_path(kind, &object.name);
    let Some(fetched) = edge.get(&path, max)? else {
        let message = format!("the edge lacks {path}, which its head names");
        return Err(Failure::verification(message));
    };
    if packice_core::hash::wire_name(&fetched.bytes) != object.name {
        let message = format!("{} does not have the hash it is named by", edge.url(&path));
        return Err(Failure::verification(message));
    }
    Ok(fetched.bytes)
}
