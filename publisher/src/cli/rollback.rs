//! `packice rollback`.

use std::time::Instant;

use super::args::{Cli, RollbackArgs};
use super::build::threads;
use super::publish::release;
use crate::build::supply::Again;
use crate::build::{self, Options};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::publish;
use crate::publish::parent::{read_parent, version_of};
use crate::sort::MEMORY_BYTES;
use crate::text::{show_size, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &RollbackArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let edge_url = config.edge(args.release.edge.as_deref())?;
    let (newest, parent) = read_parent(&config, &edge_url, ui)?;
    let Some(parent) = parent else {
        return Err(Failure::absent("the edge has no release yet").next("publish one first"));
    };
    let stands = parent.history.first().map_or(newest, |past| past.manifest.version.0);
    if args.to >= stands {
        let message =
            format!("'{}' stands at version {stands}, not after {}", config.channel, args.to);
        return Err(Failure::usage(message).next("name an older version: see `packice log show`"));
    }
    let again = Again(version_of(&config, &parent, args.to).map_err(|failure| {
        failure
            .next("build it again, or bring its manifest back by `packice withdraw --to VERSION`")
    })?);
    let options = Options {
        version: newest + 1,
        parent: Some(parent),
        new_base: false,
        memory: MEMORY_BYTES,
        threads: threads(args.threads),
    };
    let begun = Instant::now();
    let report = build::build(&config, &options, &again, ui)?;
    for collection in &report.collections {
        let delta = collection.deltas.last().map_or(0, |delta| delta.wire_bytes);
        ui.note(&format!(
            "{}: root {}, a delta of {}, {}",
            collection.name,
            collection.root,
            show_size(delta),
            show_span(begun.elapsed()),
        ));
    }
    let options = publish::Options {
        version: Some(report.version),
        edge_url,
        publish_key: args.release.publish_key.clone(),
        passphrase: args.release.passphrase.source(),
        ..publish::Options::default()
    };
    release(config, &options, args.release.prepare.as_deref(), ui)
}
