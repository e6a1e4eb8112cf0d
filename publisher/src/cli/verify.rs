//! `packice verify`: every record, read back and built into its tree again.

use std::time::Instant;

use packice_core::engine::io::{Status, StoreKey};
use packice_core::format::manifest::Manifest;
use packice_core::types::{ObjectKind, WireName};
use serde_json::json;

use super::args::{Cli, VerifyArgs};
use super::session::Session;
use crate::client::audit::{Expected, audit};
use crate::client::host::Host;
use crate::client::watch::Watch;
use crate::failure::{Failure, Result};
use crate::text::{show_count, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &VerifyArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
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
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    ui.result(&text, &json);
    Ok(())
}

fn verify_all(host: &mut Host, status: &Status, ui: Ui) -> Result<(u64, u64)> {
    let Some(version) = status.version else {
        return Err(Failure::absent("the store holds no version").next("run `packice sync`"));
    };
    let manifest = find_manifest(host, status)?;
    let total = status.collections.iter().map(|collection| collection.records).sum();
    let bar = ui.count_bar("verify", total);
    let mut records = 0;
    for collection in &status.collections {
        let signed = manifest.collection(&collection.name).ok_or_else(|| {
            Failure::internal(format!("the manifest has no collection '{}'", collection.name))
        })?;
        let expected = Expected {
            name: &collection.name,
            params: signed.params,
            root: collection.root,
            records: collection.records,
        };
        audit(host, &expected, &|read| bar.set_position(records + read)).map_err(|failure| {
            let advice = "run `packice sync`: it fetches what is damaged or missing";
            if failure.next.is_some() { failure } else { failure.next(advice) }
        })?;
        records += collection.records;
    }
    bar.finish_and_clear();
    Ok((version.0, records))
}

/// The stored manifest of the version that serves reads: the engine checked it, its parameters
/// are needed to build the trees again.
fn find_manifest(host: &Host, status: &Status) -> Result<Manifest> {
    let names: Vec<WireName> = host
        .store()
        .list()
        .into_iter()
        .filter_map(|key| match key {
            StoreKey::Object(ObjectKind::Manifest, name) => Some(name),
            StoreKey::Object(
                ObjectKind::Layout
                | ObjectKind::Dictionary
                | ObjectKind::Bundle
                | ObjectKind::Delta,
                _,
            )
            | StoreKey::State
            | StoreKey::Frame(_) => None,
        })
        .collect();
    let keys: Vec<StoreKey> =
        names.iter().map(|name| StoreKey::Object(ObjectKind::Manifest, *name)).collect();
    let fits = |manifest: &Manifest| {
        Some(manifest.version) == status.version
            && status.collections.iter().all(|collection| {
                let signed = manifest.collection(&collection.name);
                signed.is_some_and(|signed| signed.tree.root == collection.root)
            })
    };
    host.store()
        .load(&keys)
        .into_iter()
        .flatten()
        .filter_map(|bytes| Manifest::parse(&bytes).ok())
        .find(fits)
        .ok_or_else(|| {
            Failure::verification("the store lacks the manifest of its version")
                .next("run `packice sync`")
        })
}
