//! The folder: files by their paths, each written whole; which releases it holds; and what hosts
//! are told about headers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use packice_core::types::{Name, ObjectKind};
use serde::{Deserialize, Serialize};

use crate::build::objects::write_whole;
use crate::failure::{Failure, Result, on_file};

/// The file that says which releases a folder holds. Clients do not ask for it.
const RECORD_FILE: &str = "export.json";
/// The file of headers, as Cloudflare Pages and Netlify read it.
const HEADERS_FILE: &str = "_headers";

/// A release in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The channel.
    pub channel: String,
    /// The version.
    pub version: u64,
    /// The manifest's wire name.
    pub manifest: String,
    /// The log's size with it.
    pub log_size: u64,
}

/// The releases of a folder, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) dataset: String,
    pub(super) releases: Vec<Release>,
}

impl Record {
    /// Puts a release last, once.
    pub(super) fn add(&mut self, release: Release) {
        let same = |other: &Release| {
            (&other.channel, &other.manifest) == (&release.channel, &release.manifest)
        };
        self.releases.retain(|other| !same(other));
        self.releases.push(release);
    }

    /// Drops all releases of a channel but the last ones, of which one at least stays.
    pub(super) fn keep(&mut self, channel: &str, count: usize) {
        let of_channel = |release: &&Release| release.channel == channel;
        let total = self.releases.iter().filter(of_channel).count();
        let mut to_drop = total.saturating_sub(count.max(1));
        self.releases.retain(|release| {
            let drop = release.channel == channel && to_drop > 0;
            to_drop -= usize::from(drop);
            !drop
        });
    }
}

/// A dataset in an export's folder.
pub(super) struct Folder {
    root: PathBuf,
    dir: PathBuf,
    dataset: Name,
}

impl Folder {
    pub(super) fn open(root: &Path, dataset: &Name) -> Result<Self> {
        let dir = root.join("v1").join(dataset.as_str());
        let mut parents: Vec<String> =
            ObjectKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
        parents.extend(["bootstrap", "head", "trust-root", "log/tile"].map(str::to_owned));
        for parent in parents {
            let path = dir.join(parent);
            std::fs::create_dir_all(&path)
                .map_err(on_file("create", &path))
                .map_err(|failure| failure.next("name a folder that this user may write to"))?;
        }
        let folder = Self { root: root.to_path_buf(), dir, dataset: dataset.clone() };
        // What a killed export left half-written.
        folder
            .remove(&|path| path.rsplit('/').next().is_some_and(|name| name.contains(".tmp-")))?;
        Ok(folder)
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(on_file("read", &path)(error)),
        }
    }

    /// Writes a file whole, unless it says the same already; gives whether it did not.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        if self.read(path)?.is_some_and(|there| there == bytes) {
            return Ok(false);
        }
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(on_file("create", parent))?;
        }
        write_whole(&path, bytes)?;
        Ok(true)
    }

    pub(super) fn record(&self) -> Result<Record> {
        let Some(bytes) = self.read(RECORD_FILE)? else {
            return Ok(Record { dataset: self.dataset.to_string(), ..Record::default() });
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let path = self.path(RECORD_FILE);
            Failure::input(format!("{} is damaged: {error}", path.display()))
                .next("delete it: then nothing older than this release is known, or kept by --keep")
        })
    }

    pub(super) fn save(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Failure::internal(error.to_string()))?;
        self.write(RECORD_FILE, &text).map(|_| ())
    }

    /// Removes the objects and tiles that are not among these paths.
    pub(super) fn remove_others(&self, wanted: &BTreeSet<String>) -> Result<u64> {
        let mut kinds: Vec<&str> = ObjectKind::ALL.iter().map(|kind| kind.as_str()).collect();
        kinds.push("log");
        let named = |path: &str| path.split('/').next().is_some_and(|first| kinds.contains(&first));
        self.remove(&|path| named(path) && !wanted.contains(path))
    }

    fn remove(&self, unwanted: &dyn Fn(&str) -> bool) -> Result<u64> {
        let mut removed = 0;
        for entry in walkdir::WalkDir::new(&self.dir) {
            let entry = entry.map_err(|error| {
                Failure::internal(format!("cannot list {}: {error}", self.dir.display()))
            })?;
            let Ok(path) = entry.path().strip_prefix(&self.dir) else { continue };
            let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
            if entry.file_type().is_file() && unwanted(&names.join("/")) {
                std::fs::remove_file(entry.path()).map_err(on_file("remove", entry.path()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Writes the headers' file, where there is none.
    pub(super) fn write_hints(&self) -> Result<()> {
        let path = self.root.join(HEADERS_FILE);
        if path.exists() { Ok(()) } else { write_whole(&path, headers().as_bytes()) }
    }
}

/// Rules that do not overlap, since hosts differ in what they make of two.
fn headers() -> String {
    let rule = |path: &str, cache: &str| {
        format!(
            "/v1/:dataset/{path}\n  Access-Control-Allow-Origin: *\n  \
             Access-Control-Expose-Headers: ETag, Content-Range, Content-Length, Accept-Ranges\n  \
             Content-Type: application/octet-stream\n  Cache-Control: {cache}\n\n"
        )
    };
    let immutable = "public, max-age=31536000, immutable";
    let mut text = String::new();
    for kind in ObjectKind::ALL {
        text.push_str(&rule(&format!("{}/*", kind.as_str()), immutable));
    }
    text.push_str(&rule("trust-root/*", immutable));
    // A partial tile gives way to a fuller one.
    for path in ["bootstrap/*", "head/*", "checkpoint", "log/*"] {
        text.push_str(&rule(path, "public, max-age=5, stale-while-revalidate=30"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(channel: &str, version: u64) -> Release {
        let manifest = format!("{channel}{version}");
        Release { channel: channel.into(), version, manifest, log_size: version }
    }

    #[test]
    fn the_last_releases_of_a_channel_stay() {
        let mut record = Record::default();
        for release in [release("a", 1), release("b", 1), release("a", 2), release("a", 3)] {
            record.add(release);
        }
        record.add(release("a", 2));
        record.keep("a", 2);
        assert_eq!(record.releases, [release("b", 1), release("a", 3), release("a", 2)]);
        record.keep("a", 0);
        assert_eq!(record.releases, [release("b", 1), release("a", 2)]);
    }
}
