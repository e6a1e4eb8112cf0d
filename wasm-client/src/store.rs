//! Where a client keeps what it has verified: IndexedDB in browsers, memory where there is none.
//!
//! In scope: the operations the engine asks for, the text of row keys, and the names of failures.
//! Out of scope: what a stored object means, and whether it is still what it was. The store is
//! treated as an untrusted mirror that happens to be near: the engine checks what comes out of it.

use packice_core::engine::io::{StoreBatch, StoreFailure, StoreKey};
use packice_core::types::{ObjectKind, WireName};

use crate::bodies::Bodies;
use crate::idb::Idb;
use crate::memory::Memory;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreError {
    /// Which failure it is.
    pub(crate) kind: StoreErrorKind,
    /// What the platform said, for people.
    pub(crate) detail: String,
}

impl StoreError {
    /// A failure of which there is no more to say.
    pub(crate) fn new(kind: StoreErrorKind) -> Self {
        Self { kind, detail: String::new() }
    }
}

/// The failures of a store that a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreErrorKind {
    /// The origin may not store as much as it tried to.
    Quota,
    /// A transaction was given up; nothing of it was stored.
    Aborted,
    /// Another client moved the state on since this one saw it; nothing was stored.
    Conflict,
    /// Another connection keeps the database from being opened or deleted.
    Blocked,
    /// The platform does not let this origin use IndexedDB.
    Unavailable,
    /// A newer release of this package has written the database.
    NewerFormat,
    /// A row is there and cannot be read.
    Unreadable,
}

impl StoreErrorKind {
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Quota => "store/quota",
            Self::Aborted => "store/aborted",
            Self::Conflict => "store/conflict",
            Self::Blocked => "store/blocked",
            Self::Unavailable => "store/unavailable",
            Self::NewerFormat => "store/newer-format",
            Self::Unreadable => "store/unreadable",
        }
    }

    /// What happened, and what a user can do about it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Quota => "the storage quota is used up: free space or ask for more",
            Self::Aborted => "the browser gave up a transaction, nothing of it was kept: retry",
            Self::Conflict => "another page moved the data set on: retry",
            Self::Blocked => "another page keeps the database busy: close it and open again",
            Self::Unavailable => "IndexedDB cannot be used here: open with store: \"memory\"",
            Self::NewerFormat => "a newer release wrote the database: update, or destroy() it",
            Self::Unreadable => "a stored row cannot be read: it will be fetched again",
        }
    }

    /// The failure in the engine's terms.
    pub(crate) fn for_engine(self) -> StoreFailure {
        match self {
            Self::Quota => StoreFailure::Quota,
            Self::Conflict | Self::Blocked | Self::Unavailable | Self::NewerFormat => {
                StoreFailure::Closed
            }
            Self::Aborted | Self::Unreadable => StoreFailure::Io,
        }
    }
}

/// A client's store. An enum, because there are two and neither is chosen by a caller's type.
#[derive(Debug)]
pub(crate) enum Store {
    /// On disk, by the browser.
    Idb(Idb),
    /// Gone with the client.
    Memory(Memory),
}

impl Store {
    /// The rows of some keys, read together; none for one that is missing or cannot be read.
    pub(crate) async fn load(&self, keys: &[StoreKey]) -> Vec<Option<Vec<u8>>> {
        match self {
            Self::Idb(idb) => idb.load(keys).await,
            Self::Memory(memory) => memory.load(keys),
        }
    }

    /// The keys of all rows but the state's, in order; none where the store cannot tell.
    pub(crate) async fn list(&self) -> Vec<StoreKey> {
        match self {
            Self::Idb(idb) => idb.list().await,
            Self::Memory(memory) => memory.list(),
        }
    }

    /// Writes and deletes rows, all or nothing. Where the batch writes the state, it must still be
    /// what this client knows as `state`: another client on the same store may have moved it.
    pub(crate) async fn write(
        &self,
        batch: StoreBatch,
        bodies: &Bodies,
        state: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Idb(idb) => idb.write(batch, bodies, state).await,
            Self::Memory(memory) => {
                memory.write(&batch);
                Ok(())
            }
        }
    }

    /// Ends the use of the store; what runs is finished by the platform.
    pub(crate) fn close(&self) {
        match self {
            Self::Idb(idb) => idb.close(),
            Self::Memory(_) => {}
        }
    }
}

/// Whether a batch writes or deletes the state.
pub(crate) fn touches_state(batch: &StoreBatch) -> bool {
    batch.puts.iter().map(|(key, _)| key).chain(&batch.deletes).any(|key| *key == StoreKey::State)
}

const FRAME: &str = "frame";
const STATE_KEY: &str = "state";
const AUDIT_KEY: &str = "audit";
const SOURCES_KEY: &str = "sources";

/// A row's key as text: its kind and the hash it must have.
pub(crate) fn key_text(key: &StoreKey) -> String {
    let (kind, name) = match key {
        StoreKey::State => return STATE_KEY.to_owned(),
        StoreKey::Audit => return AUDIT_KEY.to_owned(),
        StoreKey::Sources => return SOURCES_KEY.to_owned(),
        StoreKey::Object(kind, name) => (kind.as_str(), name),
        StoreKey::Frame(name) => (FRAME, name),
    };
    let mut text = String::with_capacity(kind.len() + 65);
    text.push_str(kind);
    text.push('/');
    text.push_str(&name.to_hex());
    text
}

/// The key that a text stands for; none for what this release did not write.
pub(crate) fn parse_key(text: &str) -> Option<StoreKey> {
    let (kind, name) = text.split_once('/')?;
    let name = WireName::from_hex(name)?;
    if kind == FRAME {
        return Some(StoreKey::Frame(name));
    }
    ObjectKind::from_segment(kind).map(|kind| StoreKey::Object(kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_but_the_states_comes_back_from_its_text() {
        let name = WireName([0xa5; 32]);
        let mut keys = vec![StoreKey::Frame(name)];
        keys.extend(ObjectKind::ALL.map(|kind| StoreKey::Object(kind, name)));
        for key in keys {
            assert_eq!(parse_key(&key_text(&key)), Some(key));
        }
        for foreign in ["state", "bundle", "bundle/", "bundle/zz", "toaster/00", ""] {
            assert_eq!(parse_key(foreign), None, "{foreign}");
        }
    }
}
