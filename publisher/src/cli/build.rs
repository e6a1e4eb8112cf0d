//! `packice build`.

use std::time::{Duration, Instant};

use packice_core::types::WireName;
use serde_json::json;

use super::args::{BuildArgs, Cli};
use crate::build::report::Report;
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
    let edge = match args.after_edge {
        true => Some(config.edge(args.edge.as_deref())?),
        false => None,
    };
    let wanted = Wanted { version: args.version, edge: edge.as_deref() };
    let (version, parent) = place(&config, &wanted, ui)?;
    let options = Options { version, parent, new_base: args.new_base, memory, threads };
    let spill_dir = Project::new(config.work_dir()).temporary_dir();
    let begun = Instant::now();
    let report = build::build(&config, &options, &Inputs { memory, spill_dir, ui }, ui)?;
    show(&config, &report, begun.elapsed(), ui);
    Ok(())
}

/// What a build is told as.
pub(super) fn show(config: &Config, report: &Report, elapsed: Duration, ui: Ui) {
    let version = report.version;
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
        if let Some(overlay) = collection.overlay {
            text.push_str(&format!(
                "  on the base of version {}, {} over it\n",
                collection.base_version,
                show_size(overlay.wire_bytes),
            ));
        }
        if let Some(delta) = collection.deltas.last() {
            text.push_str(&format!(
                "  {} deltas; from version {}: {} records in {}\n",
                collection.deltas.len(),
                delta.from_version,
                show_count(delta.operations),
                show_size(delta.wire_bytes),
            ));
        }
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

/// Which version to build.
pub(super) struct Wanted<'a> {
    /// Its number; the next one where left out.
    pub(super) version: Option<u64>,
    /// The URL of the edge to ask, where one is to be asked.
    pub(super) edge: Option<&'a str>,
}

/// The version to build and the one before it.
pub(super) fn place(config: &Config, wanted: &Wanted<'_>, ui: Ui) -> Result<(u64, Option<Parent>)> {
    if let Some(url) = wanted.edge {
        let (newest, parent) = read_parent(config, url, ui)?;
        return Ok((newest + 1, parent));
    }
    let channels = Project::new(config.work_dir()).state()?.channels;
    let newest = channels.values().map(|channel| channel.version).max().unwrap_or(0);
    let version = wanted.version.unwrap_or(newest + 1);
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
