//! `packice diff`: the records that differ between two builds, by their trees.

use std::io::Write;

use packice_core::format::manifest::{Collection, TreeInfo};
use packice_core::tree::diff::{Change, Diff};
use serde_json::{Value, json};

use super::args::{Cli, DiffArgs};
use crate::build::blocks::BuildTree;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::project::{Build, Project};
use crate::text::{put_bytes, show_bytes, show_count};
use crate::ui::Ui;

/// How many records of a collection differ.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    added: u64,
    updated: u64,
    removed: u64,
}

pub(super) fn run(cli: &Cli, args: &DiffArgs, ui: Ui) -> Result<()> {
    let work_dir = match cli.config.exists() {
        true => Config::load(&cli.config)?.work_dir(),
        false => ".packice".into(),
    };
    let project = Project::new(work_dir);
    let (old, new) = (project.find_build(&args.a)?, project.find_build(&args.b)?);
    let names = names(&old, &new, args.collection.as_deref())?;
    let mut text = String::new();
    let mut collections = Vec::new();
    for name in names {
        let mut keys = Vec::new();
        let counts = compare(&old, &new, &name, &mut |change| {
            if args.keys && ui.json {
                keys.push(as_json(change));
            } else if args.keys {
                let sign = match change {
                    Change::Added { .. } => '+',
                    Change::Removed { .. } => '-',
                    Change::Updated { .. } => '~',
                };
                let mut out = std::io::stdout().lock();
                // A closed pipe ends the command with the counts below.
                let _ = writeln!(out, "{sign} {name}/{}", show_bytes(change.key()));
            }
        })?;
        text.push_str(&format!(
            "{name}: {} added, {} updated, {} removed\n",
            show_count(counts.added),
            show_count(counts.updated),
            show_count(counts.removed),
        ));
        let mut json = json!({
            "name": name,
            "added": counts.added,
            "updated": counts.updated,
            "removed": counts.removed,
        });
        if args.keys {
            json["keys"] = Value::Array(keys);
        }
        collections.push(json);
    }
    let json = json!({
        "a": old.manifest.version.0,
        "b": new.manifest.version.0,
        "collections": collections,
    });
    ui.result(&text, &json);
    Ok(())
}

/// The collections of both builds, or the one that is asked for.
fn names(old: &Build, new: &Build, only: Option<&str>) -> Result<Vec<String>> {
    let both = old.manifest.collections.iter().chain(&new.manifest.collections);
    let mut names: Vec<String> = both.map(|collection| collection.name.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    match only {
        None => Ok(names),
        Some(name) if names.iter().any(|other| other == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Failure::absent(format!("neither build has a collection '{name}'"))),
    }
}

fn as_json(change: &Change) -> Value {
    let what = match change {
        Change::Added { .. } => "added",
        Change::Removed { .. } => "removed",
        Change::Updated { .. } => "updated",
    };
    let mut json = json!({ "change": what });
    put_bytes(&mut json, "key", change.key());
    json
}

fn compare(old: &Build, new: &Build, name: &str, hear: &mut dyn FnMut(&Change)) -> Result<Counts> {
    let mut counts = Counts::default();
    let side = |build: &Build| -> Result<(TreeInfo, Option<BuildTree>)> {
        match build.manifest.collection(name) {
            Some(collection) => open(build, collection),
            None => Ok((nothing(), None)),
        }
    };
    let ((old_info, old_tree), (new_info, new_tree)) = (side(old)?, side(new)?);
    let mut diff = Diff::new(&old_info, MaybeTree(old_tree), &new_info, MaybeTree(new_tree));
    while let Some(change) = diff.advance()? {
        match &change {
            Change::Added { .. } => counts.added += 1,
            Change::Updated { .. } => counts.updated += 1,
            Change::Removed { .. } => counts.removed += 1,
        }
        hear(&change);
    }
    Ok(counts)
}

fn open(build: &Build, collection: &Collection) -> Result<(TreeInfo, Option<BuildTree>)> {
    Ok((collection.tree, Some(BuildTree::open_version(&build.objects, collection)?)))
}

/// The tree of a collection that a build does not have.
fn nothing() -> TreeInfo {
    use packice_core::format::node::Node;
    let root = Node { level: 1, children: Vec::new() }.identity();
    TreeInfo { root, level: 1, records: 0, plain_len: 0 }
}

/// A tree, or none: of none no block is ever asked for.
struct MaybeTree(Option<BuildTree>);

impl packice_core::tree::diff::Blocks for MaybeTree {
    type Error = Failure;

    fn node(
        &mut self,
        child: &packice_core::format::node::Child,
        level: u8,
    ) -> Result<packice_core::format::node::Node> {
        match &mut self.0 {
            Some(tree) => tree.node(child, level),
            None => Err(Failure::internal("an empty tree was opened")),
        }
    }

    fn leaf(&mut self, child: &packice_core::format::node::Child) -> Result<Vec<u8>> {
        match &mut self.0 {
            Some(tree) => tree.leaf(child),
            None => Err(Failure::internal("an empty tree was opened")),
        }
    }
}
