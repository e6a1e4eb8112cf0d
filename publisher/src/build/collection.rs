//! One collection of a build: its tree, its base or overlay, its deltas.

use packice_core::format::manifest::{self, Base, Dictionary, Overlay, Params};
use packice_core::format::node::Child;
use packice_core::hash::wire_name;
use packice_core::tree::build::{BuiltFrame, BuiltTree, TreeBuilder};
use packice_core::types::{ObjectKind, ObjectRef, Version};

use super::compress::FrameEncoder;
use super::content::{Content, Differ};
use super::deltas::{self, Target};
use super::dictionary::{Decision, Sample, SampleFrame, Trial};
use super::objects::ObjectDir;
use super::overlay::{self, Ends};
use super::past::{PastCollection, read_dictionary};
use super::pool::{Pool, WrittenLayout};
use super::report::{CollectionReport, DeltaReport, DictionaryReport, OverlayReport};
use super::supply::{Supplied, Supply};
use super::{Options, before};
use crate::config::{Collection, Config, DictionaryChoice};
use crate::failure::{Failure, Result};
use crate::reach::base_objects;
use crate::ui::Ui;

/// A dictionary in use.
struct ActiveDictionary {
    plain: Vec<u8>,
    reference: Dictionary,
}

/// What stands for a version: a base, and an overlay where the base is an older one.
pub(crate) struct Made {
    /// The tree of the version.
    pub(crate) tree: manifest::TreeInfo,
    /// The base.
    pub(crate) base: Base,
    /// Its layout.
    pub(crate) layout: WrittenLayout,
    /// What was measured to choose its dictionary.
    pub(crate) trials: Vec<Trial>,
    /// The overlay on it.
    overlay: Option<Overlay>,
}

pub(super) fn build_collection(
    config: &Config,
    collection: &Collection,
    options: &Options,
    supply: &dyn Supply,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<(manifest::Collection, CollectionReport)> {
    let Supplied { content, digest, bytes } = supply.records(collection)?;
    let records = content.as_ref();
    if collection.events {
        let old = before(options, collection)
            .map(|(past, held)| PastCollection::open(&past.objects, held))
            .transpose()?;
        crate::events::check(old.as_ref().map(|old| old as &dyn Content), records)?;
    }
    let kept = keep_base(config, collection, options, records, objects, ui)?;
    let made = match kept {
        Some(made) => made,
        None => make_base(collection, options, records, objects, ui)?,
    };
    let overlay_len = made.overlay.map_or(0, |overlay| overlay.wire_len);
    let target = Target {
        name: collection.name.as_str(),
        root: made.tree.root,
        records,
        full_len: made.base.wire_len + overlay_len,
        policy: config.deltas,
        threads: options.threads,
    };
    let history = options.parent.as_ref().map_or(&[][..], |parent| &parent.history);
    let spinner = ui.spinner("deltas");
    let deltas = deltas::write(objects, history, &target);
    spinner.finish_and_clear();
    let built = manifest::Collection {
        name: collection.name.clone(),
        priority: collection.priority,
        lazy: collection.lazy,
        params: collection.params,
        tree: made.tree,
        base: made.base.clone(),
        overlay: made.overlay,
        deltas: deltas?,
    };
    let mut report = report_on(&built, &made);
    let trained = |trial: &Trial| trial.dictionary_bytes > 0;
    report.dictionary_untrained = collection.dictionary != DictionaryChoice::None
        && made.base.version.0 == options.version
        && report.dictionary.is_none()
        && !made.trials.iter().any(trained);
    report.source_bytes = bytes;
    report.source_digest = packice_core::types::hex(&digest);
    Ok((built, report))
}

/// The version on the base of its parent, where that may stay: its tree is cut and hashed, and
/// nothing is compressed but the overlay.
fn keep_base(
    config: &Config,
    collection: &Collection,
    options: &Options,
    records: &dyn Content,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<Option<Made>> {
    let Some((past, held)) = before(options, collection) else { return Ok(None) };
    let other_dictionary =
        collection.dictionary == DictionaryChoice::None && held.base.dictionary.is_some();
    if options.new_base || held.params != collection.params || other_dictionary {
        return Ok(None);
    }
    let mut frames: Vec<Child> = Vec::new();
    let tree = grow(&collection.params, records, ui, "tree", &mut |frame| {
        frames.push(frame.child);
        Ok(())
    })?;
    let parent = PastCollection::open(&past.objects, held)?;
    let most = config.deltas.overlay_most(held.base.wire_len);
    let overlay = match tree.info.root == held.base.tree.root {
        true => None,
        false => {
            let base = parent.base_children();
            let ends = Ends { base: &base, frames: &frames, before: parent.overlay() };
            let differ = Differ::new(parent.base_stream()?, records.stream()?)?;
            match overlay::write(objects, differ, &ends, most, options.threads)? {
                Some(overlay) => Some(overlay),
                None => return Ok(None),
            }
        }
    };
    let (mut pages, mut page_bytes) = (0, 0);
    for item in base_objects(&held.base, &mut |item| past.objects.take(item))? {
        objects.adopt(&past.objects, item.kind, &item.object.name)?;
        if item.kind == ObjectKind::Layout && item.object != held.base.directory {
            pages += 1;
            page_bytes += item.object.len;
        }
    }
    let layout = WrittenLayout {
        directory: held.base.directory,
        wire_len: held.base.wire_len,
        bundles: held.base.bundles,
        frames: held.base.frames,
        pages,
        page_bytes,
        longest_frame: parent.longest_frame(),
    };
    let (tree, base) = (tree.info, held.base.clone());
    Ok(Some(Made { tree, base, layout, trials: Vec::new(), overlay }))
}

/// Cuts, compresses and writes records as a base of their own.
pub(crate) fn make_base(
    collection: &Collection,
    options: &Options,
    records: &dyn Content,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<Made> {
    let (dictionary, trials) = choose_dictionary(collection, options, records, objects, ui)?;
    let plain = dictionary.as_ref().map(|dictionary| dictionary.plain.as_slice());
    let mut pool = Pool::new(objects, plain, options.threads);
    let tree = grow(&collection.params, records, ui, "build", &mut |frame| pool.frame(frame))?;
    let layout = pool.finish(&tree)?;
    let base = Base {
        version: Version(options.version),
        tree: tree.info,
        directory: layout.directory,
        wire_len: layout.wire_len,
        bundles: layout.bundles,
        frames: layout.frames,
        dictionary: dictionary.map(|dictionary| dictionary.reference),
    };
    Ok(Made { tree: tree.info, base, layout, trials, overlay: None })
}

fn report_on(built: &manifest::Collection, made: &Made) -> CollectionReport {
    let layout = &made.layout;
    CollectionReport {
        name: built.name.to_string(),
        priority: built.priority,
        lazy: built.lazy,
        records: built.tree.records,
        root: built.tree.root.to_hex(),
        level: built.tree.level,
        plain_bytes: built.tree.plain_len,
        base_version: built.base.version.0,
        wire_bytes: layout.wire_len,
        bundles: layout.bundles,
        frames: layout.frames,
        longest_frame: layout.longest_frame,
        pages: layout.pages,
        layout_bytes: layout.page_bytes + layout.directory.len,
        overlay: built.overlay.map(|overlay| OverlayReport {
            operations: overlay.operations,
            wire_bytes: overlay.wire_len,
        }),
        deltas: built
            .deltas
            .iter()
            .map(|delta| DeltaReport {
                from_version: delta.from_version.0,
                operations: delta.operations,
                segments: delta.segments.len() as u64,
                wire_bytes: delta.wire_len(),
            })
            .collect(),
        dictionary: built.base.dictionary.map(|dictionary| DictionaryReport {
            epoch: dictionary.epoch,
            name: dictionary.object.name.to_hex(),
            wire_bytes: dictionary.object.len,
            plain_bytes: dictionary.plain_len.into(),
        }),
        dictionary_untrained: false,
        dictionary_trials: made.trials.clone(),
        source_bytes: 0,
        source_digest: String::new(),
    }
}

/// Builds the tree over all records and hands each frame on.
fn grow(
    params: &Params,
    records: &dyn Content,
    ui: Ui,
    label: &str,
    sink: &mut dyn FnMut(BuiltFrame) -> Result<()>,
) -> Result<BuiltTree> {
    let bar = ui.count_bar(label, records.count_hint());
    let mut builder = TreeBuilder::new(*params)?;
    let mut reading = records.stream()?;
    while reading.advance()? {
        if let Some(frame) = builder.push(reading.key(), reading.value())? {
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
    records: &dyn Content,
    objects: &ObjectDir,
    ui: Ui,
) -> Result<(Option<ActiveDictionary>, Vec<Trial>)> {
    if collection.dictionary == DictionaryChoice::None {
        return Ok((None, Vec::new()));
    }
    if let Some((past, held)) = before(options, collection)
        && let Some(reference) = held.base.dictionary
        && let Some(plain) = read_dictionary(&past.objects, &held.base)?
    {
        objects.adopt(&past.objects, ObjectKind::Dictionary, &reference.object.name)?;
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
