//! The canonical operation log: for each version that operations made, what changed, as keys and
//! whole values, each with its sequence number.
//!
//! It is what came of the operations, not what came in: what was overridden or changed nothing
//! does not stand here, and a patch stands as the value that it led to. One file for each version
//! under `.packice/operations/`, one JSON object on each line, in key order; sequence numbers go
//! on from version to version.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::build::content::{Differ, Step};
use crate::failure::{Failure, Result, on_file};
use crate::text::put_bytes;

/// How many of each kind there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New keys.
    pub added: u64,
    /// Keys with another value.
    pub updated: u64,
    /// Keys that are gone.
    pub removed: u64,
}

/// The log of a version in the making.
pub struct LogWriter {
    path: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
    next: u64,
}

impl LogWriter {
    /// Begins the log of a version, after those of the versions before it.
    pub fn create(dir: &Path, version: u64) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(on_file("create", dir))?;
        let next = match last_before(dir, version) {
            Some(path) => last_sequence(&path)? + 1,
            None => 1,
        };
        let path = dir.join(format!("{version}.jsonl"));
        let temporary = dir.join(format!(".{version}.tmp-{}", std::process::id()));
        let file = File::create(&temporary).map_err(on_file("create", &temporary))?;
        Ok(Self { path, temporary, out: BufWriter::new(file), next })
    }

    /// Writes what differs in a collection.
    pub fn collection(&mut self, name: &str, mut differ: Differ<'_>) -> Result<Counts> {
        let mut counts = Counts::default();
        while let Some(step) = differ.advance()? {
            let mut line = json!({ "sequence": self.next, "collection": name });
            match step {
                Step::Same => continue,
                Step::Delete => {
                    counts.removed += 1;
                    line["op"] = json!("delete");
                    put_bytes(&mut line, "key", differ.old().0);
                }
                Step::Update | Step::Insert => {
                    let (key, value) = differ.new_record();
                    counts.added += u64::from(step == Step::Insert);
                    counts.updated += u64::from(step == Step::Update);
                    line["op"] = json!("put");
                    put_bytes(&mut line, "key", key);
                    put_value(&mut line, value);
                }
            }
            writeln!(self.out, "{line}").map_err(on_file("write", &self.temporary))?;
            self.next += 1;
        }
        Ok(counts)
    }

    /// Ends the log and gives it its name.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(on_file("write", &self.temporary))?;
        std::fs::rename(&self.temporary, &self.path).map_err(on_file("write", &self.path))
    }
}

/// A value as an operation takes it: JSON as it is where it is canonical, else as text or
/// hexadecimal.
fn put_value(line: &mut Value, value: &[u8]) {
    match serde_json::from_slice::<Value>(value) {
        Ok(parsed) if parsed.to_string().as_bytes() == value => line["value"] = parsed,
        Ok(_) | Err(_) => match std::str::from_utf8(value) {
            Ok(text) => line["value_text"] = json!(text),
            Err(_) => line["value_hex"] = json!(packice_core::types::hex(value)),
        },
    }
}

/// The newest log before a version.
fn last_before(dir: &Path, version: u64) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let numbers = entries.filter_map(|entry| {
        entry.file_name().to_str()?.strip_suffix(".jsonl")?.parse::<u64>().ok()
    });
    let last = numbers.filter(|number| *number < version).max()?;
    Some(dir.join(format!("{last}.jsonl")))
}

/// The sequence number of a log's last line, or of the log before where it has none.
fn last_sequence(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(on_file("read", path))?;
    let mut last = None;
    for line in BufReader::new(file).lines() {
        last = Some(line.map_err(on_file("read", path))?);
    }
    let Some(last) = last else { return Ok(0) };
    let parsed: Option<Value> = serde_json::from_str(&last).ok();
    parsed.and_then(|line| line["sequence"].as_u64()).ok_or_else(|| {
        Failure::input(format!("{} is damaged", path.display()))
            .next("restore it, or move it away: sequence numbers then begin anew")
    })
}
