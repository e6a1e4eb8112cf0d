//! Changes as operations: put, delete and patch by key, over the version before.
//!
//! Operations are sorted by key and, of one key, in the order they came; what a later one
//! overrides falls away while the records of the version before stream by, so memory does not
//! grow with either. The outcome is the tree that a build of all records would give. In scope:
//! reading operations, what they come to, when a batch of a stream ends (`batch`), and the log of
//! what they did (`log`). Out of scope: the build itself, which is any other's.

pub mod batch;
pub mod fold;
pub mod log;
pub mod operation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use packice_core::types::Name;

use crate::build::content::{Content, Stream};
use crate::build::past::{Past, PastCollection};
use crate::build::supply::{Again, Supplied, Supply};
use crate::config::{Collection, Config};
use crate::failure::{Failure, Result};
use crate::sort::{Sorted, Sorter, Unit};
use fold::Folded;
use operation::{Operation, Reader};

/// Operations that wait, by collection.
pub struct Intake<'a> {
    config: &'a Config,
    spill_dir: PathBuf,
    memory: usize,
    what: String,
    sorters: BTreeMap<Name, Sorter>,
    hasher: blake3::Hasher,
    bytes: u64,
    operations: u64,
}

impl<'a> Intake<'a> {
    /// Takes operations in; `what` is how errors name the place they come from.
    pub fn new(config: &'a Config, spill_dir: &Path, memory: usize, what: &str) -> Self {
        Self {
            config,
            spill_dir: spill_dir.to_path_buf(),
            memory,
            what: what.to_owned(),
            sorters: BTreeMap::new(),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            operations: 0,
        }
    }

    /// Takes the operation of a line in.
    pub fn line(&mut self, text: &[u8], line: u64) -> Result<()> {
        self.hasher.update(text);
        self.hasher.update(b"\n");
        let reader = Reader { config: self.config };
        let at = |failure: Failure| failure.within(format!("{} line {line}", self.what));
        let Operation { collection, key, action } = reader.read(text).map_err(at)?;
        let value = action.encode();
        self.bytes += (key.len() + value.len()) as u64;
        self.operations += 1;
        if !self.sorters.contains_key(&collection) {
            let sorter = Sorter::new(&self.spill_dir, self.memory, Unit::Line)?;
            self.sorters.insert(collection.clone(), sorter);
        }
        match self.sorters.get_mut(&collection) {
            Some(sorter) => sorter.push(&key, &value, line),
            None => Err(Failure::internal("a sorter went missing")),
        }
    }

    /// Bytes of keys and values so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Ends the batch: what it makes of a version.
    pub fn over(self, past: &Past) -> Result<Changes> {
        let mut sorted = BTreeMap::new();
        for (name, sorter) in self.sorters {
            sorted.insert(name, Arc::new(sorter.finish()?));
        }
        let (bytes, operations) = (self.bytes, self.operations);
        let digest = *self.hasher.finalize().as_bytes();
        let (past, what) = (past.clone(), self.what);
        Ok(Changes { past, sorted, digest, bytes, operations, what })
    }
}

/// Operations over a version.
pub struct Changes {
    past: Past,
    sorted: BTreeMap<Name, Arc<Sorted>>,
    digest: [u8; 32],
    bytes: u64,
    /// How many came.
    pub operations: u64,
    what: String,
}

impl Supply for Changes {
    fn records(&self, collection: &Collection) -> Result<Supplied> {
        let name = collection.name.as_str();
        let Some(sorted) = self.sorted.get(&collection.name) else {
            return Again(self.past.clone()).records(collection);
        };
        let held = self.past.manifest.collection(name).ok_or_else(|| {
            let version = self.past.manifest.version;
            Failure::usage(format!("version {version} has no collection '{name}'"))
                .next("run `packice build` once: it begins the collection")
        })?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&held.tree.root.0);
        hasher.update(&self.digest);
        let content = Over {
            past: PastCollection::open(&self.past.objects, held)?,
            operations: sorted.clone(),
            what: self.what.clone(),
        };
        let digest = *hasher.finalize().as_bytes();
        Ok(Supplied { content: Box::new(content), digest, bytes: self.bytes })
    }
}

/// A version's records with operations over them.
struct Over {
    past: PastCollection,
    operations: Arc<Sorted>,
    what: String,
}

impl Content for Over {
    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        let (below, above) = (self.past.stream()?, self.operations.read_all()?);
        Ok(Box::new(Folded::new(below, above, &self.what)?))
    }

    fn count_hint(&self) -> u64 {
        self.past.count_hint()
    }
}
