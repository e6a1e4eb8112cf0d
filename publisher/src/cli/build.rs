//! `packice build`.

use std::time::Instant;

use packice_core::types::WireName;
use serde_json::json;

use super::args::{BuildArgs, Cli};
use crate::build::supply::Inputs;
use crate::build::{self, Options, Parent};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::project::Project;
use crate::publish::parent::{parent_of, read_parent};
use crate::text::{parse_size, show_count, show_size, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &BuildArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let memory = sort_memory(&args.memory)?;
    let threads = threads(args.threads);
    let (version, parent) = place(&config, args, ui)?;
    let options = Options { version, parent, new_base: args.new_base, memory, threads };
    let spill_dir = Project::new(config.work_dir()).temporary_dir();
    let begun = Instant::now();
    let report = build::build(&config, &options, &Inputs { memory, spill_dir, ui }, ui)?;
    let elapsed = begun.elapsed();
    let dir = Project::new(config.work_dir()).build_dir(version);
    let mut text = String::new();
    for collection in &report.collections {
        text.push_str(&format!(
            "{}: {} records, {} plain, {} on the wire in {} bundles\n",
            collection.name,
            show_count(collection.records),
            show_size(collection.plain_bytes),
            show_size(collection.wire_bytes),
            show_count(collection.bundles),
        ));
    }
    text.push_str(&format!(
        "version {version} of {} in {}: {}\nnext: packice inspect, packice publish",
        report.dataset,
        show_span(elapsed),
        dir.display(),
    ));
    let json = json!({
        "build": report,
        "dir": dir.display().to_string(),
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    ui.result(&text, &json);
    Ok(())
}

/// The value of `--memory`.
pub(super) fn sort_memory(text: &str) -> Result<usize> {
    parse_size(text)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes >= 1 << 20)
        .ok_or_else(|| Failure::usage(format!("--memory: '{text}' is not a size of 1 MiB or more")))
}

/// The value of `--threads`, or one for each core.
pub(super) fn threads(given: Option<usize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    given.unwrap_or(cores).clamp(1, 256)
}

/// The version to build and the one before it.
fn place(config: &Config, args: &BuildArgs, ui: Ui) -> Result<(u64, Option<Parent>)> {
    if args.after_edge {
        let (newest, parent) = read_parent(config, &config.edge(args.edge.as_deref())?, ui)?;
        return Ok((newest + 1, parent));
    }
    let project = Project::new(config.work_dir());
    let channels = project.state()?.channels;
    let newest = channels.values().map(|channel| channel.version).max().unwrap_or(0);
    let version = args.version.unwrap_or(newest + 1);
    if version == 0 {
        return Err(Failure::usage("versions are numbered from 1"));
    }
    if version <= newest {
        let message = format!("version {newest} was published; {version} does not come after it");
        return Err(Failure::conflict(message).next("leave --set-version out"));
    }
    let Some(before) = channels.get(config.channel.as_str()) else { return Ok((version, None)) };
    let name = WireName::from_hex(&before.manifest)
        .ok_or_else(|| Failure::internal("state.json names no manifest").next("delete it"))?;
    // A parent that was deleted here costs deltas and unchanged wire names, not correctness.
    Ok((version, Some(parent_of(config, name, None)?)))
}
