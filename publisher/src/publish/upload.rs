//! Uploads what the edge lacks, several objects at a time.
//!
//! An object's name is its content, so an upload that broke off goes on where it was: what is
//! there is not sent again.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use indicatif::ProgressBar;
use packice_core::keep::mark::Key;
use packice_core::types::{ObjectKind, ObjectRef};

use crate::edge::{Condition, Edge};
use crate::failure::{Failure, Result};
use crate::keep::claim;
use crate::project::Build;
use crate::reach::WireObject;

/// Requests at a time.
const THREADS: usize = 8;

/// What an upload did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Objects of the build.
    pub objects: u64,
    /// Objects that the edge lacked.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}

/// The objects that a build's manifest leads to, the manifest last.
pub fn objects_of(build: &Build) -> Result<Vec<WireObject>> {
    let objects = &build.objects;
    let mut list = crate::reach::objects_of(&build.manifest, &mut |item| objects.take(item))?;
    let name = packice_core::hash::wire_name(&build.manifest_bytes);
    let object = ObjectRef { name, len: build.manifest_bytes.len() as u64 };
    list.push(WireObject { kind: ObjectKind::Manifest, object });
    Ok(list)
}

/// Uploads the objects that the edge lacks; the bar counts bytes, those that are there too.
///
/// Everything is claimed first, what is there as well, and the manifest goes last: a collection
/// that runs at the same time takes nothing away in between. An upload that takes longer than a
/// claim is good for claims all of it again.
pub fn upload(
    edge: &Edge,
    build: &Build,
    list: &[WireObject],
    bar: &ProgressBar,
) -> Result<Uploaded> {
    let mut done = Uploaded { objects: list.len() as u64, ..Uploaded::default() };
    let Some((manifest, objects)) = list.split_last() else { return Ok(done) };
    let keys: Vec<Key> = objects.iter().map(key).collect();
    let mut counted = false;
    loop {
        let claims = claim(edge, &keys)?;
        let (absent, there): (Vec<_>, Vec<_>) =
            objects.iter().copied().partition(|item| claims.absent.contains(&key(item)));
        if !counted {
            bar.inc(there.iter().map(|item| item.object.len).sum());
        }
        counted = true;
        let round = send(edge, build, &absent, claims.until, bar)?;
        done.sent += round.sent;
        done.sent_bytes += round.sent_bytes;
        if Instant::now() < claims.until {
            break;
        }
    }
    let absent = claim(edge, &[key(manifest)])?.absent;
    bar.inc(manifest.object.len);
    if !absent.is_empty() {
        upload_one(edge, build, manifest)?;
        done.sent += 1;
        done.sent_bytes += manifest.object.len;
    }
    Ok(done)
}

fn key(item: &WireObject) -> Key {
    (item.kind, item.object.name)
}

/// Sends objects, as many as go until a time.
fn send(
    edge: &Edge,
    build: &Build,
    list: &[WireObject],
    until: Instant,
    bar: &ProgressBar,
) -> Result<Uploaded> {
    let next = AtomicUsize::new(0);
    let sent = Mutex::new(Uploaded::default());
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(list.len()) {
            scope.spawn(|| {
                while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if Instant::now() >= until {
                        break;
                    }
                    match upload_one(edge, build, item) {
                        Ok(()) => {
                            bar.inc(item.object.len);
                            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                            sent.sent += 1;
                            sent.sent_bytes += item.object.len;
                        }
                        Err(failure) => {
                            // The others end with the object they are at.
                            next.store(list.len(), Ordering::Relaxed);
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.get_or_insert(failure);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(sent.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn upload_one(edge: &Edge, build: &Build, item: &WireObject) -> Result<()> {
    let path = Edge::object_path(item.kind, &item.object.name);
    let bytes = build.objects.read(item.kind, &item.object.name)?;
    edge.put(&path, &bytes, &Condition::Always).map(drop)
}
