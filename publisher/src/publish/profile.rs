//! The rehearsal's profile: the real client's store of one candidate on one edge, kept until the
//! candidate is restored, so that a rehearsal that broke off goes on where it was.
//!
//! Beside the store stand the signed bytes of the candidate's ephemeral trust root and log: the
//! store holds under them alone. Their keys are nowhere. A profile is of one edge, since what one
//! edge served says nothing about another, and it ends with an upload: what was sent since is
//! fetched. What stands here is verified when it is read, as in any client's store.

use std::path::{Path, PathBuf};

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::head::Channel;

use super::ephemeral::Ephemeral;
use crate::build::objects::write_whole;
use crate::client::store::FileStore;
use crate::failure::{Failure, Kind, Result, on_file};
use crate::project::Project;

/// A profile in a directory.
#[derive(Debug)]
pub(super) struct Profile {
    dir: PathBuf,
}

impl Profile {
    /// The profile of a candidate on an edge; those of other candidates are removed.
    pub(super) fn open(project: &Project, edge_url: &str, channel: &Channel) -> Result<Self> {
        let parent = project.rehearsals_dir();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&channel.manifest.name.0);
        hasher.update(channel.name.as_str().as_bytes());
        // Names have no zero byte.
        hasher.update(&[0]);
        hasher.update(edge_url.as_bytes());
        let dir = parent.join(hasher.finalize().to_hex().as_str());
        for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
            let other = entry.path();
            // One that another process holds is at work.
            if other != dir && FileStore::open(&store_in(&other)).is_ok() {
                remove(&other)?;
            }
        }
        std::fs::create_dir_all(&dir).map_err(on_file("create", &dir))?;
        Ok(Self { dir })
    }

    /// Forgets what was restored.
    pub(super) fn clear(&self) -> Result<()> {
        remove(&self.dir)?;
        std::fs::create_dir_all(&self.dir).map_err(on_file("create", &self.dir))
    }

    /// Removes the profile.
    pub(super) fn remove(self) -> Result<()> {
        remove(&self.dir)
    }

    /// The store, for this process alone.
    pub(super) fn store(&self) -> Result<FileStore> {
        FileStore::open(&store_in(&self.dir)).map_err(|failure| {
            if failure.kind != Kind::Conflict {
                return failure;
            }
            let message = "another publish of this candidate is at its self-check";
            Failure::conflict(message).next("wait for it")
        })
    }

    /// What the candidate is restored under: as it was kept, or else made now.
    pub(super) fn ephemeral(&self, make: impl FnOnce() -> Result<Ephemeral>) -> Result<Ephemeral> {
        let (trust, bootstrap) = (self.dir.join("trust.bin"), self.dir.join("bootstrap.bin"));
        if let Some(kept) = read_kept(&trust, &bootstrap) {
            return Ok(kept);
        }
        let made = make()?;
        write_whole(&trust, &made.trust)?;
        write_whole(&bootstrap, &made.bootstrap)?;
        Ok(made)
    }
}

/// What an earlier run kept; what is damaged counts as missing.
fn read_kept(trust: &Path, bootstrap: &Path) -> Option<Ephemeral> {
    let (trust, bootstrap) = (std::fs::read(trust).ok()?, std::fs::read(bootstrap).ok()?);
    let checkpoint = Bootstrap::parse(&bootstrap).ok()?.checkpoint;
    Some(Ephemeral { trust, checkpoint, bootstrap })
}

fn store_in(dir: &Path) -> PathBuf {
    dir.join("store")
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(on_file("remove", dir)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
