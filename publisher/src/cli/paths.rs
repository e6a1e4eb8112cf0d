//! `packice verify --from`: every delta path to the newest version, gone by the real client.

use std::sync::Arc;
use std::time::Instant;

use packice_core::engine::StateRecord;
use packice_core::engine::io::StoreKey;
use packice_core::format::head::Channel;
use packice_core::format::manifest::Manifest;
use packice_core::hash::wire_name;
use packice_core::types::{ObjectRef, Version};
use serde_json::json;

use super::args::Cli;
use super::session::Session;
use super::verify::verify_all;
use crate::client::fetch::HttpSource;
use crate::client::store::FileStore;
use crate::client::watch::Watch;
use crate::config::{Config, DeltaPolicy};
use crate::edge::Edge;
use crate::failure::{Failure, Result, on_file, on_temporary};
use crate::project::Project;
use crate::publish::parent::parent_of;
use crate::publish::paths::{Goal, follow, starts};
use crate::text::{show_count, show_size, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, session: &Session, from: u64, ui: Ui) -> Result<()> {
    session.need_sources()?;
    let config = Config::load(&cli.config)?;
    let begun = Instant::now();
    let (bytes, records) = newest(session, ui)?;
    let manifest = Manifest::parse(&bytes)?;
    let wanted: Vec<Version> =
        starts(&manifest).into_iter().filter(|version| version.0 >= from).collect();
    let source = &session.sources[0];
    let edge = Edge::new(source, &manifest.dataset, None);
    // As far back as the first path begins.
    let back = wanted.first().map_or(0, |first| manifest.version.0 - first.0);
    let depth = usize::try_from(back).unwrap_or(usize::MAX);
    let config = Config { deltas: DeltaPolicy { depth, ..config.deltas }, ..config };
    let history = match manifest.parent.filter(|_| !wanted.is_empty()) {
        Some(parent) => parent_of(&config, parent, Some((&edge, ui)))?.history,
        None => Vec::new(),
    };
    let temporary = Project::new(config.work_dir()).temporary_dir();
    std::fs::create_dir_all(&temporary).map_err(on_file("create", &temporary))?;
    let name = wire_name(&bytes);
    let channel = Channel {
        name: session.channel.clone(),
        version: manifest.version,
        manifest: ObjectRef { name, len: bytes.len() as u64 },
    };
    let goal = Goal {
        channel: &channel,
        manifest: &manifest,
        source: Arc::new(HttpSource::new(source, &manifest.dataset)),
        inlined: Vec::new(),
        temporary: &temporary,
        compare: true,
    };
    let (mut text, mut gone) = (String::new(), Vec::new());
    for version in &wanted {
        let past = history.iter().find(|past| past.manifest.version == *version);
        let past = past.ok_or_else(|| {
            Failure::absent(format!("version {version} is neither here nor on the edge"))
                .next("run this where its build is, or begin --from a later one")
        })?;
        let path = follow(&goal, past, ui)?;
        text.push_str(&format!(
            "from version {version}: {} in {} requests\n",
            show_size(path.bytes),
            path.requests
        ));
        gone.push(json!({
            "from": version.0,
            "bytes": path.bytes,
            "requests": path.requests,
            "round_trips": path.round_trips,
            "records_compared": path.records,
        }));
    }
    text.push_str(&format!(
        "version {} holds: {} records by its base, and {} delta paths, {}",
        manifest.version,
        show_count(records),
        gone.len(),
        show_span(begun.elapsed()),
    ));
    let json = json!({
        "dataset": manifest.dataset.as_str(),
        "channel": session.channel.as_str(),
        "version": manifest.version.0,
        "records": records,
        "paths": gone,
    });
    ui.result(&text, &json);
    Ok(())
}

/// The manifest of the newest version, which a clean client restored and read back.
fn newest(session: &Session, ui: Ui) -> Result<(Vec<u8>, u64)> {
    let profile = tempfile::tempdir().map_err(on_temporary)?;
    let mut host = session.host_on(profile.path(), &session.sources)?;
    let mut watch = Watch::new(ui, "sync");
    let report = host.sync(&mut |event| watch.hear(event));
    watch.finish();
    report?;
    let status = host.status()?;
    let (_, records) = verify_all(&mut host, &status, ui)?;
    // The store is held by one at a time.
    drop(host);
    let store = FileStore::open(profile.path())?;
    let state = store.load(&[StoreKey::State]).into_iter().next().flatten();
    let state = state.map(|state| StateRecord::parse(&state)).transpose()?;
    let missing = || Failure::internal("the store of a finished sync has no version");
    let record = state.and_then(|state| state.committed).ok_or_else(missing)?;
    Ok((record.manifest, records))
}
