//! Where a build's records come from.

use std::path::PathBuf;

use super::content::Content;
use super::past::{Past, PastCollection};
use crate::config::Collection;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// The records of one collection.
pub struct Supplied {
    /// The records.
    pub content: Box<dyn Content>,
    /// BLAKE3 over what they were read from.
    pub digest: [u8; 32],
    /// Bytes that were read.
    pub bytes: u64,
}

/// Gives each collection its records.
pub trait Supply {
    /// The records of a collection.
    fn records(&self, collection: &Collection) -> Result<Supplied>;
}

/// The inputs of the configuration, read and sorted.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Memory for sorting.
    pub memory: usize,
    /// Where more than that goes.
    pub spill_dir: PathBuf,
    /// How to talk.
    pub ui: Ui,
}

impl Inputs {
    /// Reads and sorts a collection's input.
    pub fn read(&self, collection: &Collection) -> Result<crate::input::Source> {
        let bar = self.ui.bytes_bar("read", collection.input.size_hint());
        bar.set_message(collection.name.to_string());
        let progress = |bytes: u64| bar.set_position(bytes);
        let (dir, memory) = (self.spill_dir.as_path(), self.memory);
        let source = collection.input.read(&collection.name, dir, memory, &progress);
        bar.finish_and_clear();
        source
    }
}

impl Supply for Inputs {
    fn records(&self, collection: &Collection) -> Result<Supplied> {
        let source = self.read(collection)?;
        let content = Box::new(source.sorted);
        Ok(Supplied { content, digest: source.digest, bytes: source.bytes })
    }
}

/// The records of an earlier version: a roll back.
#[derive(Clone, Debug)]
pub struct Again(pub Past);

impl Supply for Again {
    fn records(&self, collection: &Collection) -> Result<Supplied> {
        let Self(past) = self;
        let name = collection.name.as_str();
        let Some(held) = past.manifest.collection(name) else {
            let version = past.manifest.version;
            return Err(Failure::usage(format!("version {version} has no collection '{name}'"))
                .next("take it out of packice.toml, or roll back to a version that has it"));
        };
        let content = Box::new(PastCollection::open(&past.objects, held)?);
        Ok(Supplied { content, digest: held.tree.root.0, bytes: held.tree.plain_len })
    }
}
