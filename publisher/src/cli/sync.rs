//! `packice sync`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use packice_core::engine::io::KeyRange;
use packice_core::trace::MAX_TRACE_LEN;
use serde_json::json;

use super::args::{Cli, SyncArgs};
use super::session::{
    Session, collections_json, damaged_json, freshness_json, key_bytes, timings_json,
};
use crate::client::audit_failure;
use crate::client::seed::SeedFile;
use crate::client::watch::Watch;
use crate::failure::{Failure, Result, on_file};
use crate::text::{show_count, show_freshness, show_size, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &SyncArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    if args.seed.is_none() {
        session.need_sources()?;
    }
    let mut host = session.host()?;
    if let Some(path) = &args.seed {
        host.add_seed(Arc::new(SeedFile::open(path)?));
    }
    if let Some(seconds) = args.within {
        host.expect_within(Duration::from_secs(seconds));
    }
    if args.trace.is_some() {
        host.record(MAX_TRACE_LEN)?;
    }
    if !args.only.is_empty() {
        host.subscribe(subscribed(&args.only, args.hex)?);
    }
    let mut watch = Watch::new(ui, "sync");
    let report = host.sync(&mut |event| watch.hear(event));
    watch.finish();
    if let (Some(path), Some(trace)) = (&args.trace, host.trace()) {
        std::fs::write(path, trace).map_err(on_file("write", path))?;
    }
    if args.audit && report.is_ok() {
        let mut watch = Watch::new(ui, "audit");
        let audit = host.audit(&mut |event| watch.hear(event));
        watch.finish();
        if let Some(failure) = audit_failure(&audit?) {
            return Err(failure);
        }
    }
    let status = host.status()?;
    let (damaged, freshness) = (damaged_json(&host), freshness_json(&status.freshness));
    let report = report.map_err(|failure| {
        let faults = &watch.faults;
        let details = json!({ "faults": faults, "damaged": damaged, "freshness": freshness });
        failure.with_details(details)
    })?;
    let records: u64 = status.collections.iter().map(|collection| collection.records).sum();
    let dataset = &session.trust.root.dataset;
    let changed = if report.changed { "brought" } else { "already at" };
    let text = format!(
        "{dataset}: {changed} version {}, {} records, {} fetched in {} requests, {}\n\
         freshness: {}\nstored in {}",
        report.version,
        show_count(records),
        show_size(report.bytes_fetched),
        show_count(report.requests),
        show_span(Duration::from_millis(report.elapsed_ms)),
        show_freshness(&status.freshness),
        session.store.display(),
    );
    let json = json!({
        "dataset": dataset.as_str(),
        "version": report.version.0,
        "changed": report.changed,
        "audited": status.audit.audited,
        "records": records,
        "bytes_fetched": report.bytes_fetched,
        "requests": report.requests,
        "round_trips": report.round_trips,
        "bundles_reused": report.bundles_reused,
        "elapsed_ms": report.elapsed_ms,
        "freshness": freshness,
        "timings": timings_json(&status.timings),
        "collections": collections_json(&status),
        "faults": watch.faults,
        "conditions": watch.conditions,
        "damaged": damaged,
        "store": session.store.display().to_string(),
    });
    ui.result(&text, &json);
    Ok(())
}

/// What `--only` names: ranges by collection.
fn subscribed(only: &[String], is_hex: bool) -> Result<Vec<(String, Vec<KeyRange>)>> {
    let mut all: BTreeMap<String, Vec<KeyRange>> = BTreeMap::new();
    for text in only {
        let wrong = || Failure::usage(format!("'{text}' is not COLLECTION:START..END"));
        let (collection, range) = text.split_once(':').ok_or_else(wrong)?;
        let ranges = all.entry(collection.to_owned()).or_default();
        if range.is_empty() {
            continue;
        }
        let (start, end) = range.split_once("..").ok_or_else(wrong)?;
        let end = (!end.is_empty()).then(|| key_bytes(end, is_hex)).transpose()?;
        ranges.push(KeyRange { start: key_bytes(start, is_hex)?, end });
    }
    Ok(all.into_iter().collect())
}
