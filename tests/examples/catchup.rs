//! `catchup PACKICE.TOML INPUT…`: builds version after version of one collection, each after the
//! one before, and measures what a client pays that is behind by 1, 2, … versions.
//!
//! Each INPUT takes the place of the configured one in turn. Beside the road that the manifest
//! gives a client stands the delta that leads there at once, made for each distance. Those within
//! the star are gone by the real client. One JSON object goes to stdout.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use packice::build::past::Past;
use packice::build::report::{CollectionReport, Report};
use packice::build::supply::Inputs;
use packice::build::{Options, Parent, build};
use packice::client::fetch::DirSource;
use packice::config::{Config, DeltaPolicy};
use packice::input::Place;
use packice::project::{Build, Project};
use packice::publish::bootstrap::inlined_objects;
use packice::publish::paths::{Goal, follow};
use packice::ui::Ui;
use packice_core::format::head::Channel;
use packice_core::hash::wire_name;
use packice_core::types::{Name, ObjectRef};
use serde_json::{Value, json};

/// How far behind a client is at most.
const MOST_BEHIND: u64 = 32;
/// Bytes for objects in a bootstrap: what a release of several channels leaves.
const BOOTSTRAP_ROOM: usize = 56 << 10;
const QUIET: Ui = Ui { json: false, quiet: true };

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: catchup PACKICE.TOML INPUT…")?;
    let mut config = Config::load(Path::new(&path))?;
    let project = Project::new(config.work_dir());
    let mut reports = Vec::new();
    let mut history: Vec<Past> = Vec::new();
    let inputs: Vec<String> = args.collect();
    for (version, input) in (1u64..).zip(&inputs) {
        config.collections[0].input.place = Place::Path(input.into());
        reports.push(make(&config, version, &history)?);
        history.insert(0, past(&project, version)?);
    }
    let newest = reports.last().map(|report| report.version).ok_or("no version")?;
    let squashed = squash(&config, newest, &history)?;
    println!("{}", measure(&project, &reports, &squashed, &history)?);
    Ok(())
}

fn make(config: &Config, version: u64, history: &[Past]) -> Result<Report> {
    let parent = history.first().map(|past| Parent { name: past.name, history: history.to_vec() });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = 64 << 20;
    let options = Options { version, parent, new_base: false, memory, threads };
    let spill_dir = Project::new(config.work_dir()).temporary_dir();
    Ok(build(config, &options, &Inputs { memory, spill_dir, ui: QUIET }, QUIET)?)
}

fn past(project: &Project, version: u64) -> Result<Past> {
    let Build { manifest, manifest_bytes, objects, .. } = project.build(Some(version))?;
    Ok(Past { name: wire_name(&manifest_bytes), manifest: Arc::new(manifest), objects })
}

/// The newest version again, with a delta from each that came before.
fn squash(config: &Config, newest: u64, history: &[Past]) -> Result<Report> {
    let deltas = DeltaPolicy { depth: 255, most: u64::MAX, star_percent: 1 << 20, base_percent: 0 };
    let config = Config { deltas, dir: config.dir.join("squash"), ..config.clone() };
    make(&config, newest, history.get(1..).unwrap_or_default())
}

fn delta_from(report: &Report, version: u64) -> Option<u64> {
    let mut deltas = report.collections[0].deltas.iter();
    deltas.find(|delta| delta.from_version == version).map(|delta| delta.wire_bytes)
}

fn measure(
    project: &Project,
    reports: &[Report],
    squashed: &Report,
    history: &[Past],
) -> Result<Value> {
    let newest = reports.last().ok_or("no version")?;
    let own: &CollectionReport = &newest.collections[0];
    let overlay = own.overlay.map_or(0, |overlay| overlay.wire_bytes);
    let build = project.build(Some(newest.version))?;
    let name = wire_name(&build.manifest_bytes);
    let len = build.manifest_bytes.len() as u64;
    let channel = Channel {
        name: Name::new("stable")?,
        version: build.manifest.version,
        manifest: ObjectRef { name, len },
    };
    let goal = Goal {
        channel: &channel,
        manifest: &build.manifest,
        source: Arc::new(DirSource::new(build.objects.path())),
        inlined: inlined_objects(&build, BOOTSTRAP_ROOM)?,
        temporary: &project.temporary_dir(),
        compare: false,
    };
    let mut paths = Vec::new();
    for behind in 1..=MOST_BEHIND.min(newest.version - 1) {
        let from = newest.version - behind;
        // Versions of the same root share a delta; one of the newest root needs none.
        let Some(once) = delta_from(squashed, from) else { continue };
        let same_base =
            reports[usize::try_from(from)? - 1].collections[0].base_version == own.base_version;
        let listed = delta_from(newest, from);
        let by_base = overlay + if same_base { 0 } else { own.wire_bytes };
        let mut path = json!({
            "behind": behind,
            "squashed_bytes": once,
            "bytes": listed.unwrap_or(by_base),
            "in_star": listed.is_some(),
        });
        if listed.is_some() {
            let start = &history[usize::try_from(behind)?];
            let gone = follow(&goal, start, QUIET)?;
            path["requests"] = json!(gone.requests);
            path["round_trips"] = json!(gone.round_trips);
            path["fetched_bytes"] = json!(gone.bytes);
        }
        paths.push(path);
    }
    let sum = |report: &Report| -> u64 {
        report.collections[0].deltas.iter().map(|delta| delta.wire_bytes).sum()
    };
    let steps = reports.iter().filter_map(|report| delta_from(report, report.version - 1));
    let bases = reports.iter().map(|report| report.collections[0].base_version);
    let mut bases: Vec<u64> = bases.collect();
    bases.dedup();
    Ok(json!({
        "versions": reports.len(),
        "bases": bases,
        "full_bytes": squashed.collections[0].wire_bytes,
        "plain_bytes": own.plain_bytes,
        "overlay_bytes": overlay,
        "star_bytes": sum(newest),
        "steps_bytes": steps.sum::<u64>(),
        "all_bytes": reports.iter().map(sum).sum::<u64>(),
        "paths": paths,
    }))
}
