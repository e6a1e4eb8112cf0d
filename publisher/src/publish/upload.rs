//! Uploads what the edge lacks, several objects at a time.
//!
//! An object's name is its content, so an upload that broke off goes on where it was: what is
//! there is not sent again.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::ProgressBar;
use packice_core::types::{ObjectKind, ObjectRef};

use crate::edge::{Condition, Edge};
use crate::failure::{Failure, Result};
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
pub fn upload(
    edge: &Edge,
    build: &Build,
    list: &[WireObject],
    bar: &ProgressBar,
) -> Result<Uploaded> {
    let next = AtomicUsize::new(0);
    let sent = Mutex::new(Uploaded { objects: list.len() as u64, ..Uploaded::default() });
    let failed: Mutex<Option<Failure>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(list.len()) {
            scope.spawn(|| {
                while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match upload_one(edge, build, item) {
                        Ok(was_sent) => {
                            bar.inc(item.object.len);
                            if was_sent {
                                let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                                sent.sent += 1;
                                sent.sent_bytes += item.object.len;
                            }
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

fn upload_one(edge: &Edge, build: &Build, item: &WireObject) -> Result<bool> {
    let path = Edge::object_path(item.kind, &item.object.name);
    if edge.exists(&path)? {
        return Ok(false);
    }
    let bytes = build.objects.read(item.kind, &item.object.name)?;
    edge.put(&path, &bytes, &Condition::Always)?;
    Ok(true)
}
