//! Releases that bring no new content: a channel takes over what another one has, goes back to
//! what it had, or ends. Each is a new entry of the log, rehearsed, signed and cosigned as any
//! other.

use packice_core::format::head::{Channel, Head};
use packice_core::format::manifest::Manifest;
use packice_core::limits::{MAX_MANIFEST_LEN, MAX_OBJECT_LEN};
use packice_core::types::{Name, ObjectKind, ObjectRef, Version, WireName};

use super::bootstrap::inlined_from;
use super::candidate::Rehearsed;
use super::desk::{Change, Desk};
use super::head::EdgeHead;
use super::rehearse_candidate;
use super::request::ReleaseRequest;
use crate::edge::{Condition, Edge};
use crate::failure::{Failure, Result};
use crate::release_log::walk_entries;

/// A change of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// One channel takes over the version that another stands at.
    Promote {
        /// From this one.
        from: Name,
        /// To this one.
        to: Name,
    },
    /// A channel goes back to the content of an older version, under a new one.
    GoBack {
        /// The channel.
        channel: Name,
        /// The version whose content comes back.
        to: Version,
    },
    /// A channel ends.
    Drop {
        /// The channel.
        channel: Name,
    },
}

/// A turn that waits for signatures.
pub struct Drafted {
    /// What is to be signed.
    pub request: ReleaseRequest,
    /// The channel that it is about.
    pub channel: Name,
    /// What it will stand at; none where it ends.
    pub version: Option<Version>,
    /// What the rehearsal read, where there was one.
    pub rehearsed: Rehearsed,
}

struct Content {
    manifest: Manifest,
    bytes: Vec<u8>,
}

/// Drafts a turn: checks it, rehearses what becomes current, and writes the request.
pub fn draft_turn(desk: &Desk<'_>, at: &EdgeHead, turn: &Turn) -> Result<Drafted> {
    let Some(head) = at.head() else {
        return Err(Failure::absent("the edge has no release yet").next("publish one first"));
    };
    let (_, reset) = desk.ground(at)?;
    if reset {
        let message = "the newest trust root has a floor, and nothing was released on it yet";
        return Err(Failure::conflict(message).next("publish a build first: it begins there anew"));
    }
    let (name, change) = match turn {
        Turn::Promote { from, to } => (to, Some(promote(desk, head, from, to)?)),
        Turn::GoBack { channel, to } => (channel, Some(go_back(desk, at, head, channel, *to)?)),
        Turn::Drop { channel } => (channel, drop_channel(head, channel).map(|()| None)?),
    };
    let mut channels: Vec<Channel> =
        head.channels.iter().filter(|channel| channel.name != *name).cloned().collect();
    let mut rehearsed = Rehearsed::default();
    desk.upload_trust_roots()?;
    if let Some((channel, content)) = &change {
        rehearsed = rehearse_candidate(desk, channel, &content.manifest)?;
        channels.push(channel.clone());
    }
    let read =
        |kind: ObjectKind, object: &WireName| fetch(&desk.edge, kind, object, MAX_OBJECT_LEN);
    let content = change.as_ref().map(|(_, content)| content);
    let objects = |room| match content {
        Some(content) => inlined_from(&content.manifest, &content.bytes, &read, room),
        None => Ok(Vec::new()),
    };
    let draft = Change { channel: name, head: desk.head_of(channels), objects: &objects };
    Ok(Drafted {
        request: desk.draft(at, &draft)?,
        channel: name.clone(),
        version: change.as_ref().map(|(channel, _)| channel.version),
        rehearsed,
    })
}

fn promote(desk: &Desk<'_>, head: &Head, from: &Name, to: &Name) -> Result<(Channel, Content)> {
    let source = channel(head, from)?;
    if let Some(target) = head.channel(to.as_str()) {
        if target.version == source.version && target.manifest == source.manifest {
            let message = format!("'{to}' stands at version {} already", target.version);
            return Err(Failure::conflict(message));
        }
        if target.version >= source.version {
            let message = format!(
                "'{to}' stands at version {}, '{from}' at {}: versions only go up",
                target.version, source.version
            );
            return Err(Failure::conflict(message)
                .next(format!("publish '{from}' again by `packice build --after-edge`")));
        }
    }
    let bytes = fetch(&desk.edge, ObjectKind::Manifest, &source.manifest.name, MAX_MANIFEST_LEN)?;
    let manifest = Manifest::parse(&bytes)?;
    let promoted = Channel { name: to.clone(), ..source.clone() };
    Ok((promoted, Content { manifest, bytes }))
}

/// The older version's manifest under a new number: its objects are all there.
fn go_back(
    desk: &Desk<'_>,
    at: &EdgeHead,
    head: &Head,
    name: &Name,
    to: Version,
) -> Result<(Channel, Content)> {
    let stands = channel(head, name)?;
    if to >= stands.version {
        let message = format!("'{name}' stands at version {}, not after {to}", stands.version);
        return Err(Failure::usage(message).next("name an older version: see `packice log show`"));
    }
    let mut found: Option<ObjectRef> = None;
    walk_entries(&desk.edge, at.trust.seen(), &mut |_, entry| {
        let entry = Head::parse(entry)?;
        if let Some(channel) = entry.channel(name.as_str()).filter(|held| held.version == to) {
            found = Some(channel.manifest);
        }
        Ok(())
    })?;
    let Some(object) = found else {
        let message = format!("'{name}' never stood at version {to}");
        return Err(Failure::absent(message).next("see `packice log show` for those it had"));
    };
    let bytes = fetch(&desk.edge, ObjectKind::Manifest, &object.name, MAX_MANIFEST_LEN)?;
    let mut manifest = Manifest::parse(&bytes)?;
    // Versions are counted for the dataset, so that a promotion never meets a number twice.
    let newest = head.channels.iter().map(|channel| channel.version.0).max().unwrap_or(0);
    manifest.version = Version(newest.saturating_add(1));
    for base in manifest.collections.iter_mut().map(|collection| &mut collection.base) {
        // A version that was its own base stays so.
        if base.version == to {
            base.version = manifest.version;
        }
    }
    manifest.parent = Some(stands.manifest.name);
    let bytes = manifest.encode();
    let object = ObjectRef { name: packice_core::hash::wire_name(&bytes), len: bytes.len() as u64 };
    let path = Edge::object_path(ObjectKind::Manifest, &object.name);
    // A collection may be about to remove what only the older version needs.
    crate::keep::claim_version(&desk.edge, &bytes)?;
    desk.edge.put(&path, &bytes, &Condition::Always)?;
    let channel = Channel { name: name.clone(), version: manifest.version, manifest: object };
    Ok((channel, Content { manifest, bytes }))
}

fn drop_channel(head: &Head, name: &Name) -> Result<()> {
    channel(head, name)?;
    if head.channels.len() == 1 {
        let message = format!("'{name}' is the dataset's only channel");
        return Err(
            Failure::usage(message).next("withdraw its content: `packice withdraw --to VERSION`")
        );
    }
    Ok(())
}

fn channel<'a>(head: &'a Head, name: &Name) -> Result<&'a Channel> {
    head.channel(name.as_str()).ok_or_else(|| {
        let names: Vec<&str> = head.channels.iter().map(|channel| channel.name.as_str()).collect();
        Failure::absent(format!("there is no channel '{name}'"))
            .next(format!("the dataset has: {}", names.join(", ")))
    })
}

fn fetch(edge: &Edge, kind: ObjectKind, name: &WireName, max: usize) -> Result<Vec<u8>> {
    let path = Edge::object_path(kind, name);
    let Some(fetched) = edge.get(&path, max)? else {
        let message = format!("the edge lacks {path}");
        return Err(Failure::absent(message).next("it was removed: choose another version"));
    };
    if packice_core::hash::wire_name(&fetched.bytes) != *name {
        let message = format!("{} does not have the hash it is named by", edge.url(&path));
        return Err(Failure::verification(message));
    }
    Ok(fetched.bytes)
}
