//! What the benchmarks compare Packice with, made from a build: the same records in one plain
//! form, as files that a browser decodes by `Content-Encoding: zstd`, and as one file at zstd's
//! best.
//!
//! The plain form is the records of all collections in key order, each as the LEB128 length of
//! its key, the key, the length of its value, the value.
//!
//! `bench_content BUILD parts DIR` writes `DIR/{n}.zst`, `bench_content BUILD reference` packs
//! all in one, `bench_content BUILD totals` only counts; each prints one JSON object.

use std::error::Error;
use std::fs;
use std::path::Path;

use packice_core::codec::Writer;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Collection, Manifest};
use packice_core::frame::Decoder;
use packice_core::tree::index::Index;
use packice_core::tree::verify::verify_frame;
use packice_core::types::WireName;
use serde_json::json;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Plain bytes of one file: eight of the values that are stored.
const PART_BYTES: usize = 8 << 20;

/// What `zstd -19` is, and what `--long=27` adds.
const LEVEL: i32 = 19;
const LONG_WINDOW_LOG: u32 = 27;

/// The largest window that browsers accept in a content coding (RFC 9659).
const WEB_WINDOW_LOG: u32 = 23;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Sees each record's key and value.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Outcome<()>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = match args.as_slice() {
        [build, "parts", dir] => parts(Path::new(build), Path::new(dir))?,
        [build, "reference"] => reference(Path::new(build))?,
        [build, "totals"] => walk(Path::new(build), &mut |_, _| Ok(()))?.json(),
        _ => return Err("usage: bench_content BUILD (parts DIR | reference | totals)".into()),
    };
    println!("{said}");
    Ok(())
}

/// Counts of what was walked.
#[derive(Default)]
struct Totals {
    records: u64,
    content_bytes: u64,
    wire_bytes: u64,
    /// The key in the middle.
    some_key: Vec<u8>,
    /// Hex of each collection's root.
    roots: Vec<String>,
}

impl Totals {
    fn json(&self) -> serde_json::Value {
        json!({
            "records": self.records,
            "content_bytes": self.content_bytes,
            "wire_bytes": self.wire_bytes,
            "some_key": self.some_key,
            "roots": self.roots,
        })
    }
}

/// Packs the records into files of about [`PART_BYTES`], cut between records.
fn parts(build: &Path, dir: &Path) -> Outcome<serde_json::Value> {
    fs::create_dir_all(dir)?;
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::WindowLog(WEB_WINDOW_LOG))?;
    let mut plain = Writer::default();
    let mut files = Vec::new();
    let mut finish = |plain: Writer| -> Outcome<()> {
        let plain = plain.finish();
        let wire = compressor.compress(&plain)?;
        let name = format!("{}.zst", files.len());
        fs::write(dir.join(&name), &wire)?;
        files.push(json!({"name": name, "plain": plain.len(), "wire": wire.len()}));
        Ok(())
    };
    let totals = walk(build, &mut |key, value| {
        plain.bytes(key);
        plain.bytes(value);
        if plain.len() >= PART_BYTES { finish(std::mem::take(&mut plain)) } else { Ok(()) }
    })?;
    if !plain.is_empty() {
        finish(plain)?;
    }
    let mut said = totals.json();
    said["parts"] = files.into();
    Ok(said)
}

/// Packs all records into one frame as `zstd -19 --long=27` does.
fn reference(build: &Path) -> Outcome<serde_json::Value> {
    let mut plain = Writer::default();
    let totals = walk(build, &mut |key, value| {
        plain.bytes(key);
        plain.bytes(value);
        Ok(())
    })?;
    let plain = plain.finish();
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
    compressor.set_parameter(CParameter::WindowLog(LONG_WINDOW_LOG))?;
    Ok(json!({
        "records": totals.records,
        "content_bytes": totals.content_bytes,
        "plain_bytes": plain.len(),
        "reference_bytes": compressor.compress(&plain)?.len(),
    }))
}

/// Every record of a build, verified up to the roots that its manifest names.
fn walk(build: &Path, each: Visit<'_>) -> Outcome<Totals> {
    let name =
        fs::read_dir(build.join("manifest"))?.next().ok_or("the build has no manifest")??;
    let manifest = Manifest::parse(&fs::read(name.path())?)?;
    let mut totals = Totals::default();
    let half = manifest.collections.iter().map(|c| c.base.tree.records).sum::<u64>() / 2;
    for collection in &manifest.collections {
        totals.wire_bytes += collection.base.wire_len;
        totals.roots.push(collection.base.tree.root.to_hex());
        walk_collection(build, collection, &mut |key, value| {
            if totals.records == half {
                totals.some_key = key.to_vec();
            }
            totals.records += 1;
            totals.content_bytes += (key.len() + value.len()) as u64;
            each(key, value)
        })?;
    }
    Ok(totals)
}

fn walk_collection(build: &Path, collection: &Collection, each: Visit<'_>) -> Outcome<()> {
    let read = |kind: &str, name: &WireName| fs::read(build.join(kind).join(name.to_hex()));
    let base = &collection.base;
    let mut decoder = Decoder::new();
    if let Some(dictionary) = &base.dictionary {
        let name = dictionary.object.name;
        decoder.install_dictionary(name, &read("dictionary", &name)?, dictionary.plain_len)?;
    }
    let directory = Directory::parse(&read("layout", &base.directory.name)?)?;
    let mut index = Index::new(base, directory)?;
    for page in 0..index.page_count() {
        let name = index.page(page).ok_or("a page is missing")?.object.name;
        index.add_page(page, Page::parse(&read("layout", &name)?)?)?;
    }
    let dictionary = base.dictionary.as_ref().map(|d| d.object.name);
    for bundle in (0..index.bundle_count()).filter_map(|ordinal| index.bundle(ordinal)) {
        let bytes = read("bundle", &bundle.name)?;
        for (_, frame) in index.frames_of(&bundle) {
            let start = usize::try_from(frame.offset)?;
            let wire = &bytes[start..start + frame.wire.wire_len as usize];
            let plain = decoder.decode(wire, frame.child.plain_len, dictionary.as_ref())?;
            for record in verify_frame(frame.child, frame.upper, plain)?.records() {
                each(&record.key, record.value)?;
            }
        }
    }
    Ok(())
}
