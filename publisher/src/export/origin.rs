//! Where objects come from: the folder itself, other directories of this machine, then sources in
//! their order. Whatever does not have the name and length that are signed is passed over, and who
//! served it is named.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use packice_core::hash::wire_name;
use packice_core::types::{Name, ObjectKind, ObjectRef};

use super::Outcome;
use super::folder::Folder;
use crate::edge::Edge;
use crate::failure::{Failure, Result};
use crate::reach::WireObject;

/// Requests at a time.
const THREADS: usize = 8;

/// Where objects come from.
pub(super) struct Origin<'a> {
    edges: Vec<Edge>,
    local: &'a [PathBuf],
    folder: &'a Folder,
    faults: Mutex<Vec<String>>,
}

/// An object and whether the folder has it.
pub(super) struct Found<'a> {
    pub(super) bytes: Vec<u8>,
    folder: &'a Folder,
    path: String,
    is_there: bool,
    was_fetched: bool,
}

impl Found<'_> {
    /// Writes it to the folder where it is not there.
    pub(super) fn keep(&mut self, outcome: &mut Outcome) -> Result<()> {
        if self.is_there {
            return Ok(());
        }
        self.folder.write(&self.path, &self.bytes)?;
        self.is_there = true;
        outcome.added += 1;
        outcome.added_bytes += self.bytes.len() as u64;
        outcome.fetched += u64::from(self.was_fetched);
        Ok(())
    }
}

impl<'a> Origin<'a> {
    pub(super) fn new(
        sources: &[String],
        dataset: &Name,
        local: &'a [PathBuf],
        folder: &'a Folder,
    ) -> Self {
        let edges = sources.iter().map(|url| Edge::new(url, dataset, None)).collect();
        Self { edges, local, folder, faults: Mutex::default() }
    }

    pub(super) fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Keeps what a source did wrong.
    pub(super) fn note(&self, edge: &Edge, failure: &Failure) {
        let fault = format!("{}: {}", edge.url(""), failure.message);
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An object's checked bytes.
    pub(super) fn bytes(&self, kind: ObjectKind, object: &ObjectRef) -> Result<Found<'a>> {
        let path = Edge::object_path(kind, &object.name);
        let folder = self.folder;
        let found = |bytes, is_there, was_fetched| {
            Ok(Found { bytes, folder, path: path.clone(), is_there, was_fetched })
        };
        if let Some(bytes) = folder.read(&path)?.filter(|bytes| holds(bytes, object)) {
            return found(bytes, true, false);
        }
        let local = self.local.iter().filter_map(|dir| std::fs::read(dir.join(&path)).ok());
        if let Some(bytes) = local.into_iter().find(|bytes| holds(bytes, object)) {
            return found(bytes, false, false);
        }
        let bytes = self.fetch(&path, object)?;
        found(bytes, false, true)
    }

    /// What the first source gives that holds.
    fn fetch(&self, path: &str, object: &ObjectRef) -> Result<Vec<u8>> {
        let max = usize::try_from(object.len).unwrap_or(usize::MAX);
        let mut first_failure = None;
        for edge in &self.edges {
            let fetched =
                from_source(edge, path, max).and_then(|bytes| match holds(&bytes, object) {
                    true => Ok(bytes),
                    false => {
                        let failure = Failure::verification("not the bytes that are signed");
                        Err(html_or(&bytes, failure).within(edge.url(path)))
                    }
                });
            match fetched {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => {
                    self.note(edge, &failure);
                    first_failure.get_or_insert(failure);
                }
            }
        }
        let failure = first_failure.unwrap_or_else(|| Failure::usage("no source"));
        Err(match failure.next {
            Some(_) => failure,
            None => failure.next("pass another --source; what is exported already stays"),
        })
    }

    /// Copies an object, and gives its bytes.
    pub(super) fn copy(&self, item: &WireObject, outcome: &mut Outcome) -> Result<Vec<u8>> {
        let mut found = self.bytes(item.kind, &item.object)?;
        found.keep(outcome)?;
        Ok(found.bytes)
    }

    /// Copies objects, several at a time; the bar counts their bytes.
    pub(super) fn copy_all(
        &self,
        list: &[WireObject],
        bar: &ProgressBar,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Outcome> {
            let mut done = Outcome::default();
            while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(failure) = self.copy(item, &mut done) {
                    // The others end with the object they are at.
                    next.store(list.len(), Ordering::Relaxed);
                    return Err(failure);
                }
                bar.inc(item.object.len);
            }
            Ok(done)
        };
        let ended: Vec<Result<Outcome>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..THREADS.min(list.len())).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(Failure::internal("a thread panicked"));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        });
        for done in ended {
            let done = done?;
            outcome.added += done.added;
            outcome.added_bytes += done.added_bytes;
            outcome.fetched += done.fetched;
        }
        Ok(())
    }
}

fn holds(bytes: &[u8], object: &ObjectRef) -> bool {
    bytes.len() as u64 == object.len && wire_name(bytes) == object.name
}

/// A path's body, which must be there.
pub(super) fn from_source(edge: &Edge, path: &str, max: usize) -> Result<Vec<u8>> {
    match edge.get(path, max)? {
        Some(fetched) => Ok(fetched.bytes),
        None => {
            let message = format!("{} does not exist, and is signed", edge.url(path));
            Err(Failure::network(message))
        }
    }
}

/// A page for people where an object should be says more than its hash.
pub(super) fn html_or(bytes: &[u8], failure: Failure) -> Failure {
    let start = bytes.trim_ascii_start();
    let begins =
        |tag: &[u8]| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag);
    match begins(b"<!doctype html") || begins(b"<html") {
        false => failure,
        true => failure.within("an HTML page stands in its place").next(
            "the host answers with a page for people: check that the URL is what stands before \
             /v1/, and that missing files are a 404 there",
        ),
    }
}
