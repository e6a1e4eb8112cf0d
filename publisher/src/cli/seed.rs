//! `packice seed`: the newest version in one file, for applications to bundle.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::{Cli, SeedArgs};
use super::session::{Session, collections_json};
use super::verify::verify_all;
use crate::client::host::Host;
use crate::client::seed::{SeedFile, Written, write_seed};
use crate::client::store::FileStore;
use crate::client::watch::Watch;
use crate::edge::Edge;
use crate::failure::{Failure, Result, on_file};
use crate::text::{show_count, show_size};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &SeedArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    let online = !args.offline;
    if online {
        session.need_sources()?;
    }
    let sources: &[String] = if online { &session.sources } else { &[] };
    let mut host = session.host_on(&session.store, sources)?;
    if online {
        let mut watch = Watch::new(ui, "sync");
        let report = host.sync(&mut |event| watch.hear(event));
        watch.finish();
        report?;
    }
    let status = host.status()?;
    let (_, records) = verify_all(&mut host, &status, ui)?;
    // The store is held by one at a time.
    drop(host);
    let parent = match args.file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".packice-seed-")
        .tempdir_in(parent)
        .map_err(on_file("create a directory in", parent))?;
    let draft = temporary.path().join("seed");
    let store = FileStore::open(&session.store)?;
    let dataset = &session.trust.root.dataset;
    let edge = sources.first().map(|url| Edge::new(url, dataset, None));
    let written =
        write_seed(&store, &session.trust.bytes, dataset, &session.channel, edge.as_ref(), &draft)?;
    drop(store);
    restore(&session, &draft, &temporary.path().join("store"), written, ui)?;
    std::fs::rename(&draft, &args.file).map_err(on_file("write", &args.file))?;
    let text = format!(
        "{}: version {} of {dataset}, {} records, {} objects, {}",
        args.file.display(),
        written.version,
        show_count(records),
        show_count(written.objects as u64),
        show_size(written.bytes),
    );
    let json = json!({
        "dataset": dataset.as_str(),
        "version": written.version.0,
        "records": records,
        "objects": written.objects,
        "tiles": written.tiles,
        "bytes": written.bytes,
        "file": args.file.display().to_string(),
        "collections": collections_json(&status),
    });
    ui.result(&text, &json);
    Ok(())
}

/// The real client restores the file, from a clean profile and without any other source.
fn restore(session: &Session, file: &Path, dir: &Path, written: Written, ui: Ui) -> Result<()> {
    let store = FileStore::open(dir)?;
    let (trust, channel) = (session.trust.bytes.clone(), session.channel.clone());
    let dataset = session.trust.root.dataset.clone();
    let mut host = Host::new(dataset, channel, trust, store, Vec::new())?;
    host.add_seed(Arc::new(SeedFile::open(file)?));
    let mut watch = Watch::new(ui, "restore");
    let report = host.sync(&mut |event| watch.hear(event));
    watch.finish();
    let report = report.map_err(|failure| failure.within("the seed does not restore"))?;
    if report.version != written.version || !host.status()?.stored {
        let message = format!("the seed restores version {}, not its own", report.version);
        return Err(Failure::internal(message));
    }
    Ok(())
}
