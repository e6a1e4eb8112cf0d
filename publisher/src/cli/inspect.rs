//! `packice inspect`: what a build, an edge, a store or any file holds.

use std::path::Path;

use packice_core::format::bootstrap::Bootstrap;
use packice_core::limits::MAX_BOOTSTRAP_LEN;
use packice_core::types::Name;

use serde_json::json;

use super::args::{Cli, InspectArgs};
use super::session::Session;
use crate::client::belies;
use crate::config::Config;
use crate::describe::{Described, describe, describe_bootstrap};
use crate::edge::Edge;
use crate::failure::{Failure, Result, on_file};
use crate::project::{Build, Project};
use crate::text::{show_count, show_freshness};
use crate::trust_store;
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &InspectArgs, ui: Ui) -> Result<()> {
    if let Some(url) = &args.edge {
        return inspect_edge(cli, url, ui);
    }
    if args.local {
        return inspect_store(cli, args, ui);
    }
    let work_dir = match cli.config.exists() {
        true => Config::load(&cli.config)?.work_dir(),
        false => ".packice".into(),
    };
    let project = Project::new(work_dir);
    let build = match args.what.as_deref() {
        None => project.build(None)?,
        Some(what) if what.parse::<u64>().is_ok() || Path::new(what).is_dir() => {
            project.find_build(what)?
        }
        Some(what) => {
            let path = Path::new(what);
            let bytes = std::fs::read(path).map_err(on_file("read", path))?;
            let Described { text, json } =
                describe(&bytes).map_err(|failure| failure.within(path.display()))?;
            ui.result(&text, &json);
            return Ok(());
        }
    };
    show_build(&build, ui)
}

fn show_build(build: &Build, ui: Ui) -> Result<()> {
    let json = serde_json::to_value(&build.report)
        .map_err(|error| Failure::internal(error.to_string()))?;
    ui.result(&build.report.show(), &json);
    Ok(())
}

/// What the local store holds, as the engine verified it when it opened.
fn inspect_store(cli: &Cli, args: &InspectArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    let status = session.host_on(&session.store, &[])?.status()?;
    let dataset = &session.trust.root.dataset;
    let Some(version) = status.version else {
        let message = format!("the store {} holds no version", session.store.display());
        return Err(Failure::absent(message).next("run `packice sync`"));
    };
    let whole = match (status.stored, status.audit.audited) {
        (true, true) => "whole and audited",
        (true, false) => "whole",
        (false, _) => "in part",
    };
    let mut text = format!(
        "dataset     {dataset}\nversion     {version}, stored {whole}\nfreshness   {}\n",
        show_freshness(&status.freshness),
    );
    for collection in &status.collections {
        text.push_str(&format!(
            "collection  {}: {} records, {} of {} bundles and {} single frames stored\n",
            collection.name,
            show_count(collection.records),
            show_count(collection.bundles_stored),
            show_count(collection.bundles),
            show_count(collection.frames_stored),
        ));
    }
    for mismatch in &status.audit.mismatches {
        text.push_str(&format!("MISMATCH    {}\n", belies(mismatch)));
    }
    let json = json!({
        "dataset": dataset.as_str(),
        "version": version.0,
        "stored": status.stored,
        "audited": status.audit.audited,
        "mismatches": status.audit.mismatches.iter().map(belies).collect::<Vec<_>>(),
        "freshness": super::session::freshness_json(&status.freshness),
        "store": session.store.display().to_string(),
        "collections": super::session::collections_json(&status),
    });
    ui.result(&text, &json);
    Ok(())
}

/// What an edge serves, as it says; whether it holds is `verify`'s question.
fn inspect_edge(cli: &Cli, url: &str, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let url = crate::config::edge_url(url)?;
    let edge = Edge::new(&url, &config.dataset, None);
    let bytes = pointer(&edge, &config.channel)?;
    let bootstrap = Bootstrap::parse(&bytes)?;
    let chain = trust_store::read_chain(&config.trust_dir)?;
    let Described { text, json } = describe_bootstrap(&bootstrap, bytes.len(), Some(&chain))?;
    ui.result(&text, &json);
    Ok(())
}

fn pointer(edge: &Edge, channel: &Name) -> Result<Vec<u8>> {
    let path = format!("bootstrap/{channel}");
    match edge.get(&path, MAX_BOOTSTRAP_LEN)? {
        Some(fetched) => Ok(fetched.bytes),
        None => {
            let message = format!("{} does not exist", edge.url(&path));
            Err(Failure::absent(message).next("run `packice publish`"))
        }
    }
}
