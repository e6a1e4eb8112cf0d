//! Builds an unsigned candidate: inputs → sorted records → tree → frames → bundles → layout →
//! manifest.
//!
//! Two passes over the sorted records where a dictionary is to be chosen (the first samples the
//! frames), else one. Memory is bounded by the sorter's buffer, the sample, a few frames for each
//! thread and one bundle. Nothing but the manifest depends on the order of the input.

pub mod blocks;
pub mod compress;
pub mod dictionary;
pub mod objects;
pub mod pool;
pub mod report;

use std::path::Path;

use packice_core::format::manifest::{self, Base, Dictionary, Manifest, Params, Provenance};
use packice_core::hash::wire_name;
use packice_core::tree::build::{BuiltFrame, BuiltTree, TreeBuilder};
use packice_core::types::{ObjectKind, ObjectRef, Version, WireName};

use crate::config::{Collection, Config, DictionaryChoice};
use crate::failure::{Failure, Result, on_file};
use crate::input::Source;
use crate::project::Project;
use crate::sort::Sorted;
use crate::ui::Ui;
use compress::FrameEncoder;
use dictionary::{Decision, Sample, SampleFrame, Trial};
use objects::{ObjectDir, write_whole};
use pool::{Pool, WrittenLayout};
use report::{CollectionReport, DictionaryReport, REPORT_FILE, Report};

/// How to build.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version.
    pub version: u64,
    /// The version that this one is made after.
    pub parent: Option<Parent>,
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
    /// Its manifest and where its dictionaries stand: they stay in use, so that frames that did
    /// not change keep their wire names.
    pub content: Option<(Manifest, ObjectDir)>,
}

/// A dictionary in use.
struct ActiveDictionary {
    plain: Vec<u8>,
    reference: Dictionary,
}

/// Builds a candidate and gives its report.
pub fn build(config: &Config, options: &Options, ui: Ui) -> Result<Report> {
    if config.collections.is_empty() {
        let advice = "add a [[collection]] to packice.toml";
        return Err(Failure::usage("there is no collection to build").next(advice));
    }
    config.check_directories()?;
    let project = Project::new(config.work_dir());
    let target = project.build_dir(options.version);
    let staging = project.builds_dir().join(format!(".building-{}", std::process::id()));
    remove_dir(&staging)?;
    let objects = ObjectDir::create(&staging)?;
    let built = build_into(config, options, &project, &objects, ui);
    let report = match built {
        Ok(report) => report,
        Err(failure) => {
            remove_dir(&staging)?;
            return Err(failure);
        }
    };
    remove_dir(&target)?;
    std::fs::rename(&staging, &target).map_err(on_file("create", &target))?;
    Ok(report)
}

fn remove_dir(dir: &Path) -> Result<()> {
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
    project: &Project,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<Report> {
    let mut sources = blake3::Hasher::new();
    let mut collections = Vec::new();
    let mut reports = Vec::new();
    for collection in &config.collections {
        let what = format!("collection '{}'", collection.name);
        let (built, report) = build_collection(collection, options, project, objects, ui)
            .map_err(|failure| failure.within(&what))?;
        // One name and one digest after the other; names have no zero byte.
        sources.update(collection.name.as_str().as_bytes());
        sources.update(&[0]);
        sources.update(report.source_digest.as_bytes());
        collections.push(built);
        reports.push(report);
    }
    let source_digest = *sources.finalize().as_bytes();
    let tool = format!("packice {} ({})", env!("CARGO_PKG_VERSION"), compress::ENCODER);
    let manifest = Manifest {
        dataset: config.dataset.clone(),
        version: Version(options.version),
        parent: options.parent.as_ref().map(|parent| parent.name),
        provenance: Provenance { source_digest, tool: tool.clone() },
        collections,
    };
    let bytes = manifest.encode();
    // What no client would take is not built.
    Manifest::parse(&bytes)
        .map_err(|error| Failure::internal(format!("the manifest does not read back: {error}")))?;
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

fn build_collection(
    collection: &Collection,
    options: &Options,
    project: &Project,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<(manifest::Collection, CollectionReport)> {
    let source = read(collection, options, &project.temporary_dir(), ui)?;
    let Made { built, layout, trials } = make(collection, options, &source.sorted, objects, ui)?;
    let report = report_on(&built, &layout, &source, trials);
    Ok((built, report))
}

/// A collection that is cut, compressed and written.
pub(crate) struct Made {
    /// What a manifest says of it.
    pub(crate) built: manifest::Collection,
    /// Its layout.
    pub(crate) layout: WrittenLayout,
    /// What was measured to choose its dictionary.
    pub(crate) trials: Vec<Trial>,
}

/// Cuts, compresses and writes sorted records.
pub(crate) fn make(
    collection: &Collection,
    options: &Options,
    records: &Sorted,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<Made> {
    let (dictionary, trials) = choose_dictionary(collection, options, records, objects, ui)?;
    let plain = dictionary.as_ref().map(|dictionary| dictionary.plain.as_slice());
    let mut pool = Pool::new(objects, plain, options.threads);
    let tree = grow(&collection.params, records, ui, "build", &mut |frame| pool.frame(frame))?;
    let layout = pool.finish(&tree)?;
    let reference = dictionary.map(|dictionary| dictionary.reference);
    let built = manifest::Collection {
        name: collection.name.clone(),
        priority: collection.priority,
        lazy: collection.lazy,
        params: collection.params,
        tree: tree.info,
        base: Base {
            version: Version(options.version),
            tree: tree.info,
            directory: layout.directory,
            wire_len: layout.wire_len,
            bundles: layout.bundles,
            frames: layout.frames,
            dictionary: reference,
        },
        overlay: None,
        deltas: Vec::new(),
    };
    Ok(Made { built, layout, trials })
}

fn report_on(
    built: &manifest::Collection,
    layout: &WrittenLayout,
    source: &Source,
    dictionary_trials: Vec<Trial>,
) -> CollectionReport {
    CollectionReport {
        name: built.name.to_string(),
        priority: built.priority,
        lazy: built.lazy,
        records: built.tree.records,
        root: built.tree.root.to_hex(),
        level: built.tree.level,
        plain_bytes: built.tree.plain_len,
        wire_bytes: layout.wire_len,
        bundles: layout.bundles,
        frames: layout.frames,
        longest_frame: layout.longest_frame,
        pages: layout.pages,
        layout_bytes: layout.page_bytes + layout.directory.len,
        dictionary: built.base.dictionary.map(|dictionary| DictionaryReport {
            epoch: dictionary.epoch,
            name: dictionary.object.name.to_hex(),
            wire_bytes: dictionary.object.len,
            plain_bytes: dictionary.plain_len.into(),
        }),
        dictionary_trials,
        source_bytes: source.bytes,
        source_digest: packice_core::types::hex(&source.digest),
    }
}

/// Reads and sorts a collection's records.
pub(crate) fn read(
    collection: &Collection,
    options: &Options,
    spill_dir: &Path,
    ui: Ui,
) -> Result<Source> {
    let bar = ui.bytes_bar("read", collection.input.size_hint());
    bar.set_message(collection.name.to_string());
    let progress = |bytes: u64| bar.set_position(bytes);
    let source = collection.input.read(&collection.name, spill_dir, options.memory, &progress);
    bar.finish_and_clear();
    source
}

/// Builds the tree over all records and hands each frame on.
fn grow(
    params: &Params,
    records: &Sorted,
    ui: Ui,
    label: &str,
    sink: &mut dyn FnMut(BuiltFrame) -> Result<()>,
) -> Result<BuiltTree> {
    let bar = ui.count_bar(label, records.len());
    let mut builder = TreeBuilder::new(*params)?;
    let mut reading = records.read()?;
    while let Some(record) = reading.advance()? {
        if let Some(frame) = builder.push(&record.key, &record.value)? {
            sink(frame)?;
            bar.set_position(builder.records());
        }
    }
    let (last, tree) = builder.finish()?;
    if let Some(frame) = last {
        sink(frame)?;
    }
    bar.finish_and_clear();
    Ok(tree)
}

/// The parent's dictionary where there is one, else the one that the configuration asks for.
fn choose_dictionary(
    collection: &Collection,
    options: &Options,
    records: &Sorted,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<(Option<ActiveDictionary>, Vec<Trial>)> {
    if collection.dictionary == DictionaryChoice::None {
        return Ok((None, Vec::new()));
    }
    let before = options.parent.as_ref().and_then(|parent| {
        let (manifest, objects) = parent.content.as_ref()?;
        let base = &manifest.collection(collection.name.as_str())?.base;
        base.dictionary.map(|dictionary| (objects, dictionary))
    });
    if let Some((before, reference)) = before {
        let wire = before.read(ObjectKind::Dictionary, &reference.object.name)?;
        objects.write(ObjectKind::Dictionary, &wire)?;
        let plain = zstd::bulk::decompress(&wire, reference.plain_len as usize)
            .map_err(|error| Failure::verification(format!("the parent's dictionary: {error}")))?;
        return Ok((Some(ActiveDictionary { plain, reference }), Vec::new()));
    }
    let mut sample = Sample::default();
    grow(&collection.params, records, ui, "sample", &mut |frame| {
        let lens = frame.node.children.iter().map(|leaf| usize::try_from(leaf.plain_len));
        let leaf_lens = lens
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Failure::internal("a leaf longer than memory"))?;
        sample.push(SampleFrame { plain: frame.plain, leaf_lens });
        Ok(())
    })?;
    let spinner = ui.spinner("dictionary");
    let Decision { dictionary, trials } = sample.decide(collection.dictionary, collection.lazy)?;
    spinner.finish_and_clear();
    let Some(plain) = dictionary else { return Ok((None, trials)) };
    let wire = FrameEncoder::new(None)?.encode(&plain)?;
    let object = ObjectRef { name: wire_name(&wire), len: wire.len() as u64 };
    objects.write(ObjectKind::Dictionary, &wire)?;
    let plain_len =
        u32::try_from(plain.len()).map_err(|_| Failure::internal("a long dictionary"))?;
    let reference = Dictionary { epoch: options.version, object, plain_len };
    Ok((Some(ActiveDictionary { plain, reference }), trials))
}
