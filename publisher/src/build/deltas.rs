//! The deltas that lead to a version: one from its parent, and a star of direct ones from the
//! versions before that and from the base, within bounds that the configuration sets.
//!
//! Each is packed on its own while the records of both versions stream by, several at a time. Two
//! builds of the same versions give the same bytes: what is packed depends on the records alone.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use packice_core::delta::pack;
use packice_core::format::manifest::{Collection, Delta, Segment};
use packice_core::limits::MAX_SEGMENTS;
use packice_core::types::{Identity, ObjectKind, Version};

use super::content::{Content, Differ};
use super::objects::ObjectDir;
use super::past::{Past, PastCollection};
use super::pieces::cut;
use crate::config::DeltaPolicy;
use crate::failure::Result;

/// A version that a delta may start from.
struct Start<'a> {
    version: Version,
    collection: Cow<'a, Collection>,
    objects: &'a ObjectDir,
}

impl Start<'_> {
    fn root(&self) -> Identity {
        self.collection.tree.root
    }
}

/// What the deltas of a collection lead to, and what bounds them.
pub struct Target<'a> {
    /// The collection.
    pub name: &'a str,
    /// Its new root.
    pub root: Identity,
    /// Its new records.
    pub records: &'a dyn Content,
    /// Bytes on the wire of the base's bundles and of the overlay: a longer delta helps nobody.
    pub full_len: u64,
    /// How many, and how large.
    pub policy: DeltaPolicy,
    /// Deltas that are packed at a time.
    pub threads: usize,
}

/// Packs the deltas of a collection; `history` is the parent and the versions before it, the
/// newest first.
pub fn write(objects: &ObjectDir, history: &[Past], target: &Target<'_>) -> Result<Vec<Delta>> {
    let starts = starts(history, target);
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<(usize, Result<Option<Delta>>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..target.threads.clamp(1, starts.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(start) = starts.get(at) else { return };
                    let delta = pack_from(objects, start, target);
                    if delta.is_err() {
                        // The others end with what they are at.
                        next.store(starts.len(), Ordering::Relaxed);
                    }
                    made.lock().unwrap_or_else(PoisonError::into_inner).push((at, delta));
                }
            });
        }
    });
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_unstable_by_key(|(at, _)| *at);
    let mut deltas = Vec::new();
    for (_, delta) in made {
        deltas.extend(delta?);
    }
    let mut kept = within_budget(deltas, target);
    kept.sort_unstable_by_key(|delta| delta.from_version);
    Ok(kept)
}

/// The parent, the recent versions and the base's, nearest first, each root once and none that is
/// the new one.
fn starts<'a>(history: &'a [Past], target: &Target<'_>) -> Vec<Start<'a>> {
    let recent = history.iter().take(target.policy.depth).filter_map(|past| {
        let collection = past.manifest.collection(target.name)?;
        let (version, objects) = (past.manifest.version, &past.objects);
        Some(Start { version, collection: Cow::Borrowed(collection), objects })
    });
    let base = history.first().and_then(|past| {
        let collection = past.manifest.collection(target.name)?;
        let base = &collection.base;
        let alone = Collection { tree: base.tree, overlay: None, ..collection.clone() };
        let (version, objects) = (base.version, &past.objects);
        Some(Start { version, collection: Cow::Owned(alone), objects })
    });
    let mut starts: Vec<Start<'a>> = Vec::new();
    for start in recent.chain(base) {
        let known =
            |other: &Start<'_>| other.root() == start.root() || other.version == start.version;
        if start.root() != target.root && !starts.iter().any(known) {
            starts.push(start);
        }
    }
    starts
}

/// Packs one delta; `None` where it would be longer than it may be.
fn pack_from(objects: &ObjectDir, start: &Start<'_>, target: &Target<'_>) -> Result<Option<Delta>> {
    let past = PastCollection::open(start.objects, &start.collection)?;
    let differ = Differ::new(past.stream()?, target.records.stream()?)?;
    let mut delta = Delta {
        from_version: start.version,
        from_root: start.root(),
        operations: 0,
        segments: Vec::new(),
    };
    let (mut plain, mut wire, mut fits) = (0u64, 0u64, true);
    cut(differ, &mut |piece| {
        plain += piece.plain_len;
        fits = plain <= target.policy.most && delta.segments.len() < MAX_SEGMENTS;
        if !fits {
            return Ok(false);
        }
        let bytes = pack(&piece.old, &piece.ops)?;
        let object = objects.write(ObjectKind::Delta, &bytes)?;
        wire += object.len;
        delta.operations += piece.ops.len() as u64;
        let (start, plain_len) = (piece.start, piece.plain_len);
        delta.segments.push(Segment { start, object, plain_len });
        fits = wire < target.full_len;
        Ok(fits)
    })?;
    Ok(fits.then_some(delta))
}

/// The deltas that fit, nearest first; the first, the parent's, always does.
fn within_budget(deltas: Vec<Delta>, target: &Target<'_>) -> Vec<Delta> {
    let budget = target.policy.share_of(target.full_len);
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for delta in deltas {
        let after = bytes + delta.wire_len();
        if kept.is_empty() || after <= budget {
            bytes = after;
            kept.push(delta);
        }
    }
    kept
}
