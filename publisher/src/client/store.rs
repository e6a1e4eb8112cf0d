//! The light client's store: one file for each row, the state renamed into place.
//!
//! Objects are written under a temporary name and renamed, so that a row is whole or missing. A
//! transaction's objects come before its state: a crash in between leaves objects that nobody
//! asks for, named by their hash and checked again when they are loaded. What stands here is not
//! trusted when it is read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use packice_core::engine::io::{StoreBatch, StoreFailure, StoreKey};
use packice_core::types::{ObjectKind, WireName};

use crate::failure::{Failure, Result, on_file};

/// A store in a directory, held by this process alone.
pub struct FileStore {
    dir: PathBuf,
    #[expect(dead_code, reason = "holding it open holds the lock")]
    lock: File,
    next_temporary: u64,
    /// Files that were renamed into place since the last durable transaction.
    unsynced: Vec<PathBuf>,
}

impl FileStore {
    /// Opens or makes the store of a directory.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(on_file("create", dir))?;
        for kind in ObjectKind::ALL {
            let path = dir.join(kind.as_str());
            fs::create_dir_all(&path).map_err(on_file("create", &path))?;
        }
        let frames = dir.join("frame");
        fs::create_dir_all(&frames).map_err(on_file("create", &frames))?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(on_file("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process uses the store {}", dir.display());
                return Err(Failure::conflict(message).next("wait for it, or use another --store"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(on_file("lock", &path)(error)),
        }
        remove_temporaries(dir);
        Ok(Self { dir: dir.to_path_buf(), lock, next_temporary: 0, unsynced: Vec::new() })
    }

    /// The rows of the keys; one that is missing or cannot be read is `None`.
    pub fn load(&self, keys: &[StoreKey]) -> Vec<Option<Vec<u8>>> {
        keys.iter().map(|key| fs::read(self.path(key)).ok()).collect()
    }

    /// The keys of all rows but the state's; what cannot be listed is left out.
    pub fn list(&self) -> Vec<StoreKey> {
        let mut keys = Vec::new();
        for kind in ObjectKind::ALL {
            let names = names_in(&self.dir.join(kind.as_str()));
            keys.extend(names.into_iter().map(|name| StoreKey::Object(kind, name)));
        }
        keys.extend(names_in(&self.dir.join("frame")).into_iter().map(StoreKey::Frame));
        keys.sort_unstable();
        keys
    }

    /// Performs a transaction.
    pub fn store(&mut self, batch: &StoreBatch) -> Result<(), StoreFailure> {
        self.try_store(batch).map_err(|error| {
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            if full.contains(&error.kind()) {
                StoreFailure::Quota
            } else if error.kind() == io::ErrorKind::NotFound {
                StoreFailure::Closed
            } else {
                StoreFailure::Io
            }
        })
    }

    fn try_store(&mut self, batch: &StoreBatch) -> io::Result<()> {
        let is_state = |key: &StoreKey| *key == StoreKey::State;
        for (key, bytes) in batch.puts.iter().filter(|(key, _)| !is_state(key)) {
            self.put(key, bytes, false)?;
        }
        if batch.durable {
            self.sync()?;
        }
        for (key, bytes) in batch.puts.iter().filter(|(key, _)| is_state(key)) {
            self.put(key, bytes, true)?;
            sync_dir(&self.dir)?;
        }
        // Rows that the new state no longer names go last.
        for key in &batch.deletes {
            match fs::remove_file(self.path(key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &StoreKey, bytes: &[u8], durable: bool) -> io::Result<()> {
        self.next_temporary += 1;
        let temporary = self.dir.join(format!("tmp-{}", self.next_temporary));
        let path = self.path(key);
        let mut file = File::create(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| match durable {
            true => file.sync_all(),
            false => Ok(()),
        });
        if let Err(error) = written.and_then(|()| fs::rename(&temporary, &path)) {
            // A half-written file would only take space.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        if !durable {
            self.unsynced.push(path);
        }
        Ok(())
    }

    /// Brings to the disk what was written since the last durable transaction.
    fn sync(&mut self) -> io::Result<()> {
        for path in &self.unsynced {
            match File::open(path).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut dirs: Vec<&Path> = self.unsynced.iter().filter_map(|path| path.parent()).collect();
        dirs.sort_unstable();
        dirs.dedup();
        for dir in dirs {
            sync_dir(dir)?;
        }
        self.unsynced.clear();
        Ok(())
    }

    fn path(&self, key: &StoreKey) -> PathBuf {
        match key {
            StoreKey::State => self.dir.join("state"),
            StoreKey::Audit => self.dir.join("audit"),
            StoreKey::Sources => self.dir.join("sources"),
            StoreKey::Object(kind, name) => self.dir.join(kind.as_str()).join(name.to_hex()),
            StoreKey::Frame(name) => self.dir.join("frame").join(name.to_hex()),
        }
    }
}

/// Removes what a killed process left half-written; what stays only takes space.
fn remove_temporaries(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("tmp-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn names_in(dir: &Path) -> Vec<WireName> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| WireName::from_hex(entry.file_name().to_str()?)).collect()
}

/// Brings a directory's names to the disk.
#[cfg(unix)]
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened, and a rename is durable with its file.
#[cfg(not(unix))]
pub fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(byte: u8) -> StoreKey {
        StoreKey::Object(ObjectKind::Bundle, WireName([byte; 32]))
    }

    #[test]
    fn rows_come_back_after_reopening() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = FileStore::open(dir.path()).expect("open");
        let batch = StoreBatch {
            bodies: Vec::new(),
            puts: vec![
                (StoreKey::State, b"state".to_vec().into()),
                (object(1), b"one".to_vec().into()),
                (StoreKey::Frame(WireName([2; 32])), b"two".to_vec().into()),
            ],
            deletes: vec![object(9)],
            durable: true,
        };
        store.store(&batch).expect("stored");
        drop(store);
        let mut store = FileStore::open(dir.path()).expect("open again");
        let rows = store.load(&[StoreKey::State, object(1), object(3)]);
        assert_eq!(rows, [Some(b"state".to_vec()), Some(b"one".to_vec()), None]);
        assert_eq!(store.list(), [object(1), StoreKey::Frame(WireName([2; 32]))]);
        let batch = StoreBatch { deletes: vec![object(1)], ..StoreBatch::default() };
        store.store(&batch).expect("deleted");
        assert_eq!(store.list().len(), 1);
    }

    #[test]
    fn a_second_process_is_turned_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = FileStore::open(dir.path()).expect("open");
        let error = FileStore::open(dir.path()).err().expect("refused");
        assert_eq!(error.kind, crate::failure::Kind::Conflict);
    }
}
