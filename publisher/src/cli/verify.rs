//! `packice verify`: every record, read back and built into its tree again.

use std::time::Instant;

use packice_core::engine::io::{Status, StoreKey};
use serde_json::json;

use super::args::{Cli, VerifyArgs};
use super::paths;
use super::session::Session;
use crate::client::audit::{Expected, audit};
use crate::client::host::Host;
use crate::client::watch::Watch;
use crate::failure::{Failure, Result};
use crate::text::{show_count, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &VerifyArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    if let Some(from) = args.from {
        return paths::run(cli, &session, from, ui);
    }
    let begun = Instant::now();
    let from_clean = args.clean;
    let profile = match from_clean {
        true => Some(tempfile::tempdir().map_err(crate::failure::on_temporary)?),
        false => None,
    };
    let mut host = match &profile {
        Some(profile) => {
            session.need_sources()?;
            let mut host = session.host_on(profile.path(), &session.sources)?;
            let mut watch = Watch::new(ui, "sync");
            let report = host.sync(&mut |event| watch.hear(event));
            watch.finish();
            report?;
            host
        }
        None if args.repair => {
            session.need_sources()?;
            session.host()?
        }
        // Without a source nothing can come from elsewhere.
        None => session.host_on(&session.store, &[])?,
    };
    let status = host.status()?;
    let (version, records) = verify_all(&mut host, &status, ui)?;
    let elapsed = begun.elapsed();
    let what = match from_clean {
        true => session.sources.join(", "),
        false => session.store.display().to_string(),
    };
    let text = format!(
        "version {version} holds: {} records in {} collections up to the signed roots, {}",
        show_count(records),
        status.collections.len(),
        show_span(elapsed),
    );
    let json = json!({
        "dataset": session.trust.root.dataset.as_str(),
        "version": version,
        "records": records,
        "collections": status.collections.len(),
        "verified": what,
        "damaged_rows": host.damaged().len(),
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    ui.result(&text, &json);
    Ok(())
}

/// Reads every record back; the version, and how many records.
pub(super) fn verify_all(host: &mut Host, status: &Status, ui: Ui) -> Result<(u64, u64)> {
    let Some(version) = status.version else {
        return Err(Failure::absent("the store holds no version").next("run `packice sync`"));
    };
    if !status.stored {
        let message = format!("the store does not hold all of version {version} yet");
        return Err(Failure::absent(message).next("run `packice sync`"));
    }
    let total = status.collections.iter().map(|collection| collection.records).sum();
    let bar = ui.count_bar("verify", total);
    let mut records = 0;
    for collection in &status.collections {
        let expected = Expected {
            name: &collection.name,
            params: collection.params,
            root: collection.root,
            records: collection.records,
        };
        audit(host, &expected, &|read| bar.set_position(records + read))
            .map_err(|failure| blame_the_store(host, failure))?;
        records += collection.records;
    }
    bar.finish_and_clear();
    Ok((version.0, records))
}

/// A read that fails for a damaged row is the store's fault, not that of a missing source.
fn blame_the_store(host: &Host, failure: Failure) -> Failure {
    let Some(key) = host.damaged().first() else { return failure };
    let row = match key {
        StoreKey::State | StoreKey::Audit | StoreKey::Sources => key.text(),
        StoreKey::Object(kind, name) => format!("{}/{name}", kind.as_str()),
        StoreKey::Frame(name) => format!("frame/{name}"),
    };
    let message = format!("the store's {row} does not have the hash it is named by");
    Failure::verification(message)
        .next("run `packice verify --repair`: it fetches what is damaged or missing")
}
