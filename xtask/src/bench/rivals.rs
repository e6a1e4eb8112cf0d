//! What others make of the same update: the outside tools that a delta is measured against.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shop::Shop;
use crate::step;

/// The tools and the Debian packages that have them.
const TOOLS: &[&str] = &["zstd", "xdelta3", "bsdiff", "rsync", "casync"];

/// Chunk sizes for casync, in KiB.
const CHUNK_KIB: &[u32] = &[4, 16, 64];

/// One tool's update of one pair of files.
pub(crate) struct Update {
    /// The tool and what it was given.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// Names every tool that is missing, and how to get it.
pub(crate) fn check(shop: &Shop) -> Result<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|tool| shop.command("which").arg(tool).output().is_ok_and(|o| !o.status.success()))
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("missing: {0}. On Debian: apt-get install {0}", missing.join(" "))
}

/// All tools on one pair; `kind` says which form of the data it is.
pub(crate) fn all(
    shop: &Shop,
    old: &Path,
    new: &Path,
    kind: &str,
    work: &Path,
) -> Result<Vec<Update>> {
    std::fs::create_dir_all(work)?;
    let mut updates = Vec::new();
    let mut add = |tool: &str, bytes: u64| {
        updates.push(Update { name: format!("{tool} ({kind})"), bytes });
    };
    let out = work.join("out");
    add("zstd --patch-from", zstd(shop, old, new, &out)?);
    let mut xdelta = shop.command("xdelta3");
    xdelta.args(["-f", "-e", "-9", "-S", "lzma", "-B", "67108864", "-s"]).args([old, new, &out]);
    add("xdelta3", made(&mut xdelta, &out)?);
    let mut bsdiff = shop.command("bsdiff");
    bsdiff.args([old, new, &out]);
    add("bsdiff", made(&mut bsdiff, &out)?);
    add("rsync, literal bytes", rsync(shop, old, new, &out)?);
    for kib in CHUNK_KIB {
        add(&format!("casync {kib} KiB"), casync(shop, old, new, *kib, work)?);
    }
    Ok(updates)
}

/// Runs a tool that writes a file, and weighs it.
fn made(command: &mut Command, out: &PathBuf) -> Result<u64> {
    step::quiet(command)?;
    Ok(std::fs::metadata(out)?.len())
}

/// One zstd frame with the old file as its reference.
pub(crate) fn zstd(shop: &Shop, old: &Path, new: &Path, out: &PathBuf) -> Result<u64> {
    let mut zstd = shop.command("zstd");
    zstd.args(["-q", "-f", "-19", "--long=27", "--no-check"]);
    zstd.arg(format!("--patch-from={}", old.display())).arg(new).arg("-o").arg(out);
    made(&mut zstd, out)
}

/// The bytes that rsync would send as they are, at its own block size.
fn rsync(shop: &Shop, old: &Path, new: &Path, out: &PathBuf) -> Result<u64> {
    std::fs::copy(old, out)?;
    let mut rsync = shop.command("rsync");
    rsync.args(["--no-whole-file", "--ignore-times", "--stats"]).arg(new).arg(out);
    let said = step::capture(&mut rsync)?;
    let line = said.lines().find_map(|line| line.strip_prefix("Literal data: "));
    let digits: String = line
        .context("rsync --stats names no literal data")?
        .chars()
        .take_while(|c| *c != ' ')
        .filter(char::is_ascii_digit)
        .collect();
    Ok(digits.parse()?)
}

/// The chunks that a store of the old version lacks, compressed, and the new index.
fn casync(shop: &Shop, old: &Path, new: &Path, kib: u32, work: &Path) -> Result<u64> {
    let store = work.join("store.castr");
    if store.exists() {
        std::fs::remove_dir_all(&store)?;
    }
    let index = work.join("index.caibx");
    let make = |file: &Path| {
        let mut casync = shop.command("casync");
        casync.arg("make").arg(format!("--chunk-size={}", kib << 10));
        casync.arg(format!("--store={}", store.display())).arg(&index).arg(file);
        step::capture(&mut casync).map(drop)
    };
    make(old)?;
    let before = weight(&store)?;
    make(new)?;
    let after = weight(&store)?;
    ensure!(after >= before, "the store of casync shrank");
    Ok(after - before + std::fs::metadata(&index)?.len())
}

/// The bytes of all files under a folder.
fn weight(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            weight(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(sum)
}
