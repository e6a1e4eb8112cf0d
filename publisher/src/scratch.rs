//! Directories that are gone after the command that made them, however it ended.
//!
//! A command that is killed leaves its directory behind. So each holds a file that its process
//! keeps locked, and the lock ends with the process: who makes the next directory removes those
//! that nobody holds any more.

use std::fs::{self, File};
use std::path::Path;

use tempfile::TempDir;

use crate::failure::{Result, on_file};

/// The file in a directory that its process keeps locked.
const HELD: &str = "in-use";

/// A directory of one command.
#[derive(Debug)]
pub(crate) struct Scratch {
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")]
    held: File,
    dir: TempDir,
}

impl Scratch {
    /// Makes a directory under `parent`, which is made where it is missing. What killed commands
    /// left there under the same prefix is removed.
    pub(crate) fn new(parent: &Path, prefix: &str) -> Result<Self> {
        fs::create_dir_all(parent).map_err(on_file("create", parent))?;
        sweep(parent, prefix);
        let failed = on_file("create a directory in", parent);
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(failed)?;
        // Under its name once it is locked: nobody sees it unlocked while this process lives.
        let (draft, path) = (dir.path().join("locking"), dir.path().join(HELD));
        let held = File::create(&draft).map_err(on_file("create", &draft))?;
        held.lock().map_err(on_file("lock", &draft))?;
        fs::rename(&draft, &path).map_err(on_file("create", &path))?;
        Ok(Self { held, dir })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the directory for good, under another name.
    pub(crate) fn keep_as(self, target: &Path) -> Result<()> {
        let path = self.path().join(HELD);
        fs::remove_file(&path).map_err(on_file("remove", &path))?;
        fs::rename(self.dir.keep(), target).map_err(on_file("create", target))
    }
}

/// Removes the directories that nobody holds. What cannot be removed is left for the next time:
/// it is in nobody's way.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        if !ours {
            continue;
        }
        let Ok(held) = File::open(entry.path().join(HELD)) else { continue };
        if held.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let living = Scratch::new(parent.path(), "sort-").expect("a directory");
        fs::write(living.path().join("run-1"), "records").expect("written");
        let left = parent.path().join("sort-left");
        let other = parent.path().join("other");
        for dir in [&left, &other] {
            fs::create_dir(dir).expect("made");
            fs::write(dir.join(HELD), "").expect("written");
            fs::write(dir.join("run-1"), "records").expect("written");
        }
        let next = Scratch::new(parent.path(), "sort-").expect("a directory");
        assert!(!left.exists());
        assert!(other.exists() && next.path().exists());
        assert!(living.path().join("run-1").exists());
        let path = next.path().to_path_buf();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_kept_holds_what_was_written_and_no_more() {
        let parent = tempfile::tempdir().expect("a directory");
        let target = parent.path().join("7");
        let scratch = Scratch::new(parent.path(), ".building-").expect("a directory");
        fs::write(scratch.path().join("manifest"), "bytes").expect("written");
        scratch.keep_as(&target).expect("kept");
        let names: Vec<_> =
            fs::read_dir(&target).expect("there").map(|e| e.expect("read").file_name()).collect();
        assert_eq!(names, ["manifest"]);
    }
}
