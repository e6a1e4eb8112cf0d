//! A directory of files, shipped as they are.
//!
//! The key is the path under the directory, with `/` between names, and the value is the file's
//! bytes. A file longer than one value is cut: the key of each part is the path, a zero byte and
//! the part's offset in 16 hexadecimal digits. A path holds no zero byte, so the range from the
//! path to the path with a byte 1 holds the whole file, in order, whether it was cut or not; and
//! reading the path alone never gives the first part for the whole. What is neither file nor
//! directory is refused: following a symbolic link could ship what was never meant to be.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use packice_core::limits::MAX_VALUE_LEN;
use walkdir::{DirEntry, WalkDir};

use super::{Intake, Source};
use crate::failure::{Failure, Result, on_file};
use crate::mapping::check_lengths;

pub(super) fn read(dir: &Path, mut intake: Intake<'_>) -> Result<Source> {
    let mut digest = blake3::Hasher::new();
    let mut bytes = 0;
    let mut files = 0u64;
    std::fs::read_dir(dir).map_err(on_file("read", dir))?;
    for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| failure_of(&error, dir))?;
        let kind = entry.file_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            let what = if kind.is_symlink() { "a symbolic link" } else { "no ordinary file" };
            let message = format!("{} is {what}", entry.path().display());
            return Err(Failure::input(message).next("put a file in its place, or move it away"));
        }
        files += 1;
        let path = key_of(dir, &entry)?;
        let read = FileReader { path: &path, source: entry.path(), number: files };
        let (len, content) = read.read(&mut intake, bytes)?;
        for part in [&(path.len() as u64).to_le_bytes()[..], path.as_bytes(), &len.to_le_bytes()] {
            digest.update(part);
        }
        digest.update(content.as_bytes());
        bytes += len;
    }
    intake.finish(digest.finalize(), bytes)
}

/// The path under the directory, as a key.
fn key_of(dir: &Path, entry: &DirEntry) -> Result<String> {
    let outside = |_| Failure::internal(format!("{} is elsewhere", entry.path().display()));
    let path = entry.path().strip_prefix(dir).map_err(outside)?;
    let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
    let names = names.ok_or_else(|| {
        let message = format!("the name of {} is not UTF-8", entry.path().display());
        Failure::input(message).next("rename it")
    })?;
    Ok(names.join("/"))
}

/// One file.
struct FileReader<'a> {
    path: &'a str,
    source: &'a Path,
    number: u64,
}

impl FileReader<'_> {
    /// Hands the file on, whole or in parts, and gives its length and hash.
    fn read(&self, intake: &mut Intake<'_>, before: u64) -> Result<(u64, blake3::Hash)> {
        let mut file = File::open(self.source).map_err(on_file("read", self.source))?;
        let metadata = file.metadata().map_err(on_file("read", self.source))?;
        let is_cut = metadata.len() > MAX_VALUE_LEN as u64;
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0u64;
        let mut part = Vec::new();
        loop {
            part.clear();
            let most = MAX_VALUE_LEN as u64;
            file.by_ref()
                .take(most)
                .read_to_end(&mut part)
                .map_err(on_file("read", self.source))?;
            if offset > 0 && (part.is_empty() || !is_cut) {
                break;
            }
            let key = match is_cut {
                true => format!("{}\0{offset:016x}", self.path),
                false => self.path.to_owned(),
            };
            let place = |failure: Failure| failure.within(self.source.display());
            check_lengths(key.as_bytes(), &part).map_err(place)?;
            intake.sorter.push(key.as_bytes(), &part, self.number)?;
            hasher.update(&part);
            offset += part.len() as u64;
            (intake.progress)(before + offset);
            if part.is_empty() {
                break;
            }
        }
        if offset != metadata.len() {
            let message = format!("{} changed while it was read", self.source.display());
            return Err(Failure::input(message).next("run the command again"));
        }
        Ok((offset, hasher.finalize()))
    }
}

fn failure_of(error: &walkdir::Error, dir: &Path) -> Failure {
    let path = error.path().unwrap_or(dir);
    let what = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Failure::input(format!("cannot read {}: {what}", path.display()))
        .next("change its permissions, or move it away")
}
