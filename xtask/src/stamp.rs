//! Stamps: a step that cargo does not run is skipped when its inputs have the bytes they had the
//! last time, and its outputs are there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a step was made from, as one hash.
pub(crate) struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    /// Hashes the settings and every input file (folders: all files below).
    pub(crate) fn new(file: PathBuf, settings: &str, inputs: &[PathBuf]) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(settings.as_bytes());
        for input in inputs {
            for path in files_under(input)? {
                let bytes = std::fs::read(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                hasher.update(path.to_string_lossy().as_bytes());
                hasher.update(&bytes.len().to_le_bytes());
                hasher.update(&bytes);
            }
        }
        Ok(Self { file, hash: hasher.finalize().to_hex().to_string() })
    }

    /// True when the step ran with these inputs and its outputs still exist.
    pub(crate) fn fresh(&self, outputs: &[PathBuf]) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|old| old == self.hash)
            && outputs.iter().all(|path| path.exists())
    }

    /// Remembers that the step ran.
    pub(crate) fn write(&self) -> Result<()> {
        if let Some(dir) = self.file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&self.file, &self.hash)
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// All files below a path, sorted; the path itself when it is a file; none when it is missing.
pub(crate) fn files_under(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
