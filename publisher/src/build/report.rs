//! What a build says about itself, `build.json`: for `inspect` and for machines.
//!
//! Nothing here is trusted: the manifest is what counts. No times and no paths of the machine
//! stand here, so a second build writes the same file.

use serde::{Deserialize, Serialize};

use super::dictionary::Trial;
use crate::text::{show_count, show_size};

/// The file's name in a build's directory.
pub const REPORT_FILE: &str = "build.json";

/// A build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The dataset.
    pub dataset: String,
    /// The version.
    pub version: u64,
    /// The manifest's wire name.
    pub manifest: String,
    /// Its length.
    pub manifest_bytes: u64,
    /// The parent manifest's wire name.
    pub parent: Option<String>,
    /// BLAKE3 over the collections' sources.
    pub source_digest: String,
    /// What built it.
    pub tool: String,
    /// The collections, by name.
    pub collections: Vec<CollectionReport>,
}

/// A collection of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionReport {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u8,
    /// Whether it allows lazy reads.
    pub lazy: bool,
    /// Records.
    pub records: u64,
    /// The root's identity.
    pub root: String,
    /// The root's level.
    pub level: u8,
    /// Canonical bytes of all leaves.
    pub plain_bytes: u64,
    /// The version whose bundles stand for this one.
    pub base_version: u64,
    /// Bytes of all its bundles.
    pub wire_bytes: u64,
    /// Bundles.
    pub bundles: u64,
    /// Frames.
    pub frames: u64,
    /// The longest frame on the wire.
    pub longest_frame: u64,
    /// Layout pages.
    pub pages: u64,
    /// Bytes of the layout's directory and pages.
    pub layout_bytes: u64,
    /// What leads from the base to this version, where that is another one.
    pub overlay: Option<OverlayReport>,
    /// The deltas that lead to this version, by where they start.
    pub deltas: Vec<DeltaReport>,
    /// The dictionary.
    pub dictionary: Option<DictionaryReport>,
    /// Whether one was wanted and the records are too few to train it on.
    #[serde(default)]
    pub dictionary_untrained: bool,
    /// What was measured to choose it; empty where nothing had to be.
    pub dictionary_trials: Vec<Trial>,
    /// Bytes of the source.
    pub source_bytes: u64,
    /// BLAKE3 of the source.
    pub source_digest: String,
}

/// An overlay of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayReport {
    /// Records that differ from the base's.
    pub operations: u64,
    /// Bytes of its directory and pages.
    pub wire_bytes: u64,
}

/// A delta of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaReport {
    /// The version it starts from.
    pub from_version: u64,
    /// Records that differ.
    pub operations: u64,
    /// Its segments.
    pub segments: u64,
    /// Their bytes.
    pub wire_bytes: u64,
}

/// A dictionary of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DictionaryReport {
    /// The version it was trained for.
    pub epoch: u64,
    /// Its wire name.
    pub name: String,
    /// Its length on the wire.
    pub wire_bytes: u64,
    /// Its plain length.
    pub plain_bytes: u64,
}

impl Report {
    /// For people.
    pub fn show(&self) -> String {
        let mut text = format!(
            "dataset     {}\nversion     {}\nmanifest    {} ({})\nparent      {}\nsource      {}\n\
             tool        {}\n",
            self.dataset,
            self.version,
            self.manifest,
            show_size(self.manifest_bytes),
            self.parent.as_deref().unwrap_or("none"),
            self.source_digest,
            self.tool,
        );
        for collection in &self.collections {
            text.push('\n');
            text.push_str(&collection.show());
        }
        text
    }
}

impl CollectionReport {
    fn show(&self) -> String {
        let lazy = if self.lazy { ", lazy reads" } else { "" };
        let mut text = format!(
            "collection  {} (priority {}{lazy})\n  root      {} at level {}\n  records   {}\n  \
             plain     {}\n  wire      {} in {} bundles, {} frames (longest {})\n  layout    {} \
             in {} pages and a directory\n",
            self.name,
            self.priority,
            self.root,
            self.level,
            show_count(self.records),
            show_size(self.plain_bytes),
            show_size(self.wire_bytes),
            show_count(self.bundles),
            show_count(self.frames),
            show_size(self.longest_frame),
            show_size(self.layout_bytes),
            show_count(self.pages),
        );
        if let Some(OverlayReport { operations, wire_bytes }) = self.overlay {
            text.push_str(&format!(
                "  overlay   {} on the base of version {}: {} records\n",
                show_size(wire_bytes),
                self.base_version,
                show_count(operations),
            ));
        }
        for delta in &self.deltas {
            text.push_str(&format!(
                "  delta     {} from version {}: {} records\n",
                show_size(delta.wire_bytes),
                delta.from_version,
                show_count(delta.operations),
            ));
        }
        match &self.dictionary {
            None if self.dictionary_untrained => {
                text.push_str("  dictionary none: the records are too few to train one on\n");
            }
            None => text.push_str("  dictionary none\n"),
            Some(dictionary) => text.push_str(&format!(
                "  dictionary {} ({} on the wire), trained for version {}\n",
                show_size(dictionary.plain_bytes),
                show_size(dictionary.wire_bytes),
                dictionary.epoch,
            )),
        }
        if !self.dictionary_trials.is_empty() {
            text.push_str("  measured  dictionary   on the wire     full sync   cold lazy read\n");
        }
        for trial in &self.dictionary_trials {
            let plain = match trial.dictionary_bytes {
                0 => "none".to_owned(),
                bytes => show_size(bytes),
            };
            text.push_str(&format!(
                "            {plain:>10} {:>13} {:>13} {:>16}\n",
                show_size(trial.dictionary_wire_bytes),
                show_size(trial.full_sync_bytes),
                show_size(trial.lazy_read_bytes),
            ));
        }
        text
    }
}
