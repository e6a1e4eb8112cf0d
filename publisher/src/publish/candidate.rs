//! The rehearsal: the real client restores the unsigned candidate from the edge, from a profile of
//! its own, before anything is signed. One that broke off goes on (`profile`).
//!
//! A trust root and a log that exist for this moment only stand in front of the edge; every
//! object comes from the edge by its name, nothing is inlined. Every record is read back and the
//! trees are built again from them.

use std::sync::Arc;

use packice_core::format::head::Channel;
use packice_core::format::manifest::Manifest;

use super::ephemeral::EphemeralLog;
use super::profile::Profile;
use crate::client::audit::{Expected, audit};
use crate::client::fetch::HttpSource;
use crate::client::host::Host;
use crate::client::watch::Watch;
use crate::failure::{Failure, Kind, Result};
use crate::ui::Ui;

/// What a rehearsal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Records that were read back.
    pub records: u64,
    /// Bytes that were fetched.
    pub bytes_fetched: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Bundles that a rehearsal before this one had restored already.
    pub bundles_reused: u64,
    /// Delta paths that were gone from versions that are held here.
    pub paths: u64,
}

/// Restores a candidate from the edge into a profile and compares every record. The profile stays
/// where the edge could not be reached, for the next try to go on with.
pub(super) fn rehearse(
    profile: Profile,
    edge_url: &str,
    channel: &Channel,
    manifest: &Manifest,
    ui: Ui,
) -> Result<Rehearsed> {
    match restore(&profile, edge_url, channel, manifest, ui) {
        Ok(rehearsed) => profile.remove().map(|()| rehearsed),
        Err(failure) => {
            if failure.kind == Kind::Verification {
                profile.remove()?;
            }
            Err(failure)
        }
    }
}

fn restore(
    profile: &Profile,
    edge_url: &str,
    channel: &Channel,
    manifest: &Manifest,
    ui: Ui,
) -> Result<Rehearsed> {
    let dataset = &manifest.dataset;
    let store = profile.store()?;
    let signed = profile.ephemeral(|| EphemeralLog::new(dataset)?.release(channel, Vec::new()))?;
    let trust = signed.trust.clone();
    let overlay = signed.before(&channel.name, HttpSource::new(edge_url, dataset));
    let name = channel.name.clone();
    let mut host = Host::new(dataset.clone(), name, trust, store, vec![Arc::new(overlay)])?;
    let mut watch = Watch::new(ui, "restore");
    let report = host.sync(&mut |event| watch.hear(event));
    watch.finish();
    let report = report?;
    if report.version != manifest.version {
        let message = format!("version {} was restored, not the candidate", report.version);
        return Err(Failure::verification(message));
    }
    let total = manifest.collections.iter().map(|collection| collection.tree.records).sum();
    let bar = ui.count_bar("compare", total);
    let mut records = 0;
    for collection in &manifest.collections {
        let expected = Expected {
            name: collection.name.as_str(),
            params: collection.params,
            root: collection.tree.root,
            records: collection.tree.records,
        };
        audit(&mut host, &expected, &|read| bar.set_position(records + read))?;
        records += collection.tree.records;
    }
    bar.finish_and_clear();
    Ok(Rehearsed {
        records,
        bytes_fetched: report.bytes_fetched,
        requests: report.requests,
        bundles_reused: report.bundles_reused,
        paths: 0,
    })
}
