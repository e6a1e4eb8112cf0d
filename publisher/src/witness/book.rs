//! What a witness saw last of each log: one small file for each, replaced as a whole and durable
//! before the answer leaves.
//!
//! A file is the signed checkpoint itself, under the SHA-256 of its origin, so anyone can read
//! what the witness vouches for. A witness that lost its directory must not go on under its old
//! key: it could cosign a second history.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use packice_core::format::note::{Checkpoint, NoteSignature};
use packice_core::trust::accept::Seen;
use packice_core::trust::sign::add_cosignature;
use packice_core::trust::witness::{AddCheckpoint, Refusal, WatchedLog, decide};
use packice_core::types::hex;

use crate::failure::{Failure, Result, on_file};
use crate::keys::Key;

/// A witness: its name and key, the logs that it watches, and what it saw of them.
pub struct Book {
    name: String,
    key: Key,
    dir: PathBuf,
    logs: BTreeMap<String, Watched>,
    // Held as long as the witness runs: two on one directory could cosign a fork.
    _lock: File,
}

struct Watched {
    log: WatchedLog,
    seen: Mutex<Seen>,
}

/// Why a witness did not cosign.
#[derive(Debug)]
pub enum NotCosigned {
    /// It must not.
    Refused(Refusal),
    /// It could not keep what it saw.
    NotKept(Failure),
}

impl Book {
    /// Opens a directory, and reads what was seen.
    pub fn open(name: &str, key: Key, dir: &Path, logs: Vec<WatchedLog>) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(on_file("create", dir))?;
        let lock_path = dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(on_file("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another witness runs on {}", dir.display());
                return Err(Failure::conflict(message).next("two on one state could cosign a fork"));
            }
            Err(TryLockError::Error(error)) => return Err(on_file("lock", &lock_path)(error)),
        }
        let mut watched = BTreeMap::new();
        for log in logs {
            let seen = read_seen(&path_of(dir, &log.origin), &log.origin)?;
            let origin = log.origin.clone();
            if watched.insert(origin, Watched { log, seen: Mutex::new(seen) }).is_some() {
                return Err(Failure::usage("a log is named twice").next("one --log for an origin"));
            }
        }
        let (name, dir) = (name.to_owned(), dir.to_path_buf());
        Ok(Self { name, key, dir, logs: watched, _lock: lock })
    }

    /// Cosigns a checkpoint that goes on from what was seen; durable before it returns.
    pub fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        now_s: u64,
    ) -> Result<NoteSignature, NotCosigned> {
        let checkpoint = Checkpoint::parse(&request.note)
            .map_err(|error| NotCosigned::Refused(Refusal::BadRequest(error)))?;
        let Some(watched) = self.logs.get(&checkpoint.origin) else {
            return Err(NotCosigned::Refused(Refusal::UnknownLog));
        };
        let mut seen = lock(&watched.seen);
        let mut kept = decide(Some(&watched.log), *seen, request).map_err(NotCosigned::Refused)?;
        let at = Seen { size: kept.size, root: kept.root };
        if at != *seen {
            let path = path_of(&self.dir, &kept.origin);
            write_durably(&self.dir, &path, &request.note).map_err(NotCosigned::NotKept)?;
            *seen = at;
        }
        kept.signatures.clear();
        add_cosignature(&mut kept, &self.name, self.key.seed(), now_s);
        kept.signatures
            .pop()
            .ok_or_else(|| NotCosigned::NotKept(Failure::internal("the cosignature is missing")))
    }

    /// What was seen of each log.
    pub fn seen(&self) -> Vec<(&str, Seen)> {
        self.logs.iter().map(|(origin, log)| (origin.as_str(), *lock(&log.seen))).collect()
    }
}

/// A thread that panicked held no half-done change: the point is written after the file.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn path_of(dir: &Path, origin: &str) -> PathBuf {
    dir.join(format!("{}.checkpoint", hex(&packice_core::hash::sha256(origin.as_bytes()))))
}

fn read_seen(path: &Path, origin: &str) -> Result<Seen> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Seen::nothing()),
        Err(error) => return Err(on_file("read", path)(error)),
    };
    match Checkpoint::parse(&bytes) {
        Ok(checkpoint) if checkpoint.origin == origin => {
            Ok(Seen { size: checkpoint.size, root: checkpoint.root })
        }
        Ok(_) | Err(_) => {
            let message = format!("{} is damaged", path.display());
            Err(Failure::verification(message)
                .coded("witness/damaged-state")
                .next("restore it from a backup, or retire this witness's key"))
        }
    }
}

/// Replaces a file: when this returns, a power cut leaves the new bytes.
fn write_durably(dir: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix("new-")
        .tempfile_in(dir)
        .map_err(on_file("create a file in", dir))?;
    file.write_all(bytes).map_err(on_file("write", path))?;
    file.as_file().sync_all().map_err(on_file("write", path))?;
    file.persist(path).map_err(|error| on_file("replace", path)(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(on_file("sync", dir))
}
