//! Builds an unsigned candidate: records → tree → base or overlay → deltas → manifest.
//!
//! Records come sorted from the inputs, from an earlier version, or from an earlier version and
//! operations (`supply`). A version keeps the base of its parent and writes an overlay while that
//! stays small; else its frames are compressed into bundles of its own (`collection`). Memory is
//! bounded by the sorter's buffer, the sample, a few frames and one piece of a delta for each
//! thread, and one bundle. Nothing but the manifest depends on the order of the input.

pub mod blocks;
mod collection;
pub mod compress;
pub mod content;
pub mod deltas;
pub mod dictionary;
pub mod objects;
pub mod overlay;
pub mod past;
pub mod pieces;
pub mod pool;
pub mod report;
pub mod supply;

use std::collections::BTreeSet;
use std::path::Path;

use packice_core::format::manifest::{Manifest, Provenance};
use packice_core::types::{ObjectKind, Version, WireName};

use crate::config::{Collection, Config};
use crate::failure::{Failure, Result, on_file};
use crate::project::Project;
use crate::scratch::Scratch;
use crate::ui::Ui;
pub(crate) use collection::{Made, make_base};
use objects::{ObjectDir, write_whole};
use past::Past;
use report::{REPORT_FILE, Report};
use supply::Supply;

/// How to build.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version.
    pub version: u64,
    /// The version that this one is made after.
    pub parent: Option<Parent>,
    /// Cut a base of its own whatever the overlay would come to.
    pub new_base: bool,
    /// Memory for sorting.
    pub memory: usize,
    /// Threads that compress.
    pub threads: usize,
}

/// The version before.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Its manifest's wire name.
    pub name: WireName,
    /// The parent and those before it, the newest first, as far as their objects are at hand.
    /// Its dictionaries stay in use, so that frames that did not change keep their wire names.
    pub history: Vec<Past>,
}

/// What built a version: everything that its bytes depend on besides the records.
pub fn tool() -> String {
    format!("packice {} ({}, deltas PKC1)", env!("CARGO_PKG_VERSION"), compress::ENCODER)
}

/// Builds a candidate and gives its report.
pub fn build(config: &Config, options: &Options, supply: &dyn Supply, ui: Ui) -> Result<Report> {
    if config.collections.is_empty() {
        let advice = "add a [[collection]] to packice.toml";
        return Err(Failure::usage("there is no collection to build").next(advice));
    }
    config.check_directories()?;
    let project = Project::new(config.work_dir());
    let target = project.build_dir(options.version);
    let staging = Scratch::new(&project.builds_dir(), ".building-")?;
    let objects = ObjectDir::create(staging.path())?;
    let report = build_into(config, options, supply, &objects, ui)?;
    remove_dir(&target)?;
    staging.keep_as(&target)?;
    Ok(report)
}

pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(on_file("remove", dir)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn build_into(
    config: &Config,
    options: &Options,
    supply: &dyn Supply,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<Report> {
    let mut sources = blake3::Hasher::new();
    let mut collections = Vec::new();
    let mut reports = Vec::new();
    for collection in &config.collections {
        let what = format!("collection '{}'", collection.name);
        let (built, report) =
            collection::build_collection(config, collection, options, supply, objects, ui)
                .map_err(|failure| failure.within(&what))?;
        // One name and one digest after the other; names have no zero byte.
        sources.update(collection.name.as_str().as_bytes());
        sources.update(&[0]);
        sources.update(report.source_digest.as_bytes());
        collections.push(built);
        reports.push(report);
    }
    let source_digest = *sources.finalize().as_bytes();
    let tool = tool();
    let manifest = Manifest {
        dataset: config.dataset.clone(),
        version: Version(options.version),
        parent: options.parent.as_ref().map(|parent| parent.name),
        provenance: Provenance { source_digest, tool: tool.clone() },
        collections,
    };
    let bytes = manifest.encode();
    // What no client would take is not built.
    if Manifest::parse(&bytes)? != manifest {
        return Err(Failure::internal("the manifest does not read back"));
    }
    sweep_segments(objects, &manifest)?;
    let object = objects.write(ObjectKind::Manifest, &bytes)?;
    let report = Report {
        dataset: config.dataset.to_string(),
        version: options.version,
        manifest: object.name.to_hex(),
        manifest_bytes: object.len,
        parent: manifest.parent.map(|name| name.to_hex()),
        source_digest: packice_core::types::hex(&source_digest),
        tool,
        collections: reports,
    };
    let text =
        serde_json::to_vec_pretty(&report).map_err(|error| Failure::internal(error.to_string()))?;
    write_whole(&objects.path().join(REPORT_FILE), &text)?;
    Ok(report)
}

/// Removes the segments of deltas that were packed and then not taken.
fn sweep_segments(objects: &ObjectDir, manifest: &Manifest) -> Result<()> {
    let deltas = manifest.collections.iter().flat_map(|collection| &collection.deltas);
    let named: BTreeSet<WireName> =
        deltas.flat_map(|delta| &delta.segments).map(|segment| segment.object.name).collect();
    let there = objects.list(ObjectKind::Delta)?;
    let others = there.iter().filter(|name| !named.contains(name));
    others.into_iter().try_for_each(|name| objects.remove(ObjectKind::Delta, name))
}

/// A collection's place in the version before, where its objects are at hand.
fn before<'a>(
    options: &'a Options,
    collection: &Collection,
) -> Option<(&'a Past, &'a packice_core::format::manifest::Collection)> {
    let past = options.parent.as_ref()?.history.first()?;
    Some((past, past.manifest.collection(collection.name.as_str())?))
}
