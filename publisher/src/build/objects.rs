//! A build's directory: wire objects under their names, written whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use packice_core::hash::wire_name;
use packice_core::types::{ObjectKind, ObjectRef, WireName};

use crate::failure::{Failure, Result, on_file};
use crate::reach::WireObject;

/// Wire objects in a directory, `{kind}/{name}`.
#[derive(Clone, Debug)]
pub struct ObjectDir {
    dir: PathBuf,
}

impl ObjectDir {
    /// Makes the directory where it is missing.
    pub fn create(dir: &Path) -> Result<Self> {
        for kind in ObjectKind::ALL {
            let path = dir.join(kind.as_str());
            fs::create_dir_all(&path).map_err(on_file("create", &path))?;
        }
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// A directory that is there.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Writes an object under its name.
    pub fn write(&self, kind: ObjectKind, bytes: &[u8]) -> Result<ObjectRef> {
        let object = ObjectRef { name: wire_name(bytes), len: bytes.len() as u64 };
        write_whole(&self.object_path(kind, &object.name), bytes)?;
        Ok(object)
    }

    /// Reads an object and checks it against its name.
    pub fn read(&self, kind: ObjectKind, name: &WireName) -> Result<Vec<u8>> {
        let path = self.object_path(kind, name);
        let bytes = fs::read(&path).map_err(on_file("read", &path))?;
        if wire_name(&bytes) != *name {
            let message = format!("{} does not have the hash it is named by", path.display());
            return Err(Failure::verification(message).next("run `packice build` again"));
        }
        Ok(bytes)
    }

    /// Takes an object over from another directory, without copying where the disk allows it.
    pub fn adopt(&self, from: &Self, kind: ObjectKind, name: &WireName) -> Result<()> {
        let (there, here) = (from.object_path(kind, name), self.object_path(kind, name));
        if here.exists() || fs::hard_link(&there, &here).is_ok() {
            return Ok(());
        }
        write_whole(&here, &from.read(kind, name)?)
    }

    /// Removes an object that nothing leads to.
    pub fn remove(&self, kind: ObjectKind, name: &WireName) -> Result<()> {
        let path = self.object_path(kind, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(on_file("remove", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads an object that something names.
    pub fn take(&self, item: &WireObject) -> Result<Vec<u8>> {
        self.read(item.kind, &item.object.name)
    }

    /// The objects of a kind.
    pub fn list(&self, kind: ObjectKind) -> Result<Vec<WireName>> {
        let dir = self.dir.join(kind.as_str());
        let entries = fs::read_dir(&dir).map_err(on_file("list", &dir))?;
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| WireName::from_hex(name.to_str()?)).collect())
    }

    /// Where an object stands.
    pub fn object_path(&self, kind: ObjectKind, name: &WireName) -> PathBuf {
        self.dir.join(kind.as_str()).join(name.to_hex())
    }
}

/// Tells the temporary names of one process apart.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Writes a file under a temporary name and renames it into place.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // Two threads may write one object: two deltas can be the same bytes.
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".tmp-{}-{turn}", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary).map_err(on_file("create", &temporary))?;
    file.write_all(bytes).map_err(on_file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(on_file("write", path))
}
