//! `packice publish`: with the keys that are here, or the parts before and after signing.

use std::path::Path;
use std::time::Instant;

use packice_core::format::head::Head;
use packice_core::types::Name;
use serde_json::{Value, json};

use super::args::{Cli, PublishArgs};
use crate::config::Config;
use crate::edge::publish_key;
use crate::failure::Result;
use crate::publish::desk::Finished;
use crate::publish::{Options, Outcome, Prepared, finish, prepare, publish};
use crate::text::{show_count, show_size, show_span, show_time};
use crate::ui::Ui;
use crate::witness::ask::Said;

pub(super) fn run(cli: &Cli, args: &PublishArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    if let Some(path) = &args.finish {
        return run_finish(&config, args, path, ui);
    }
    let options = Options {
        version: args.version,
        edge_url: config.edge(args.edge.as_deref())?,
        publish_key: args.publish_key.clone(),
        new_log: args.new_log,
        stage: args.stage.as_deref().map(Name::new).transpose()?,
        passphrase: args.passphrase.source(),
    };
    release(config, &options, args.prepare.as_deref(), ui)
}

/// Publishes a build, or writes the request to be signed.
pub(super) fn release(
    mut config: Config,
    options: &Options,
    to_sign: Option<&Path>,
    ui: Ui,
) -> Result<()> {
    // A channel that others stage on shares the log.
    config.other_channels.extend(options.stage.clone());
    let begun = Instant::now();
    let outcome = match to_sign {
        None => publish(&config, options, ui)?,
        Some(path) => match prepare(&config, options, ui)? {
            Prepared::Stands(outcome) => outcome,
            Prepared::Ready { request, outcome, .. } => {
                request.write(path)?;
                return show_prepared(&config, &outcome, path, ui);
            }
        },
    };
    let elapsed = begun.elapsed();
    let (uploaded, rehearsed) = (outcome.uploaded, outcome.rehearsed);
    let text = match outcome.moved {
        false => format!("{} stands at version {} already", outcome.channel, outcome.version),
        true => format!(
            "uploaded {} of {} objects ({})\nrestored and compared {} records and went {} delta \
             paths before signing\n{} now stands at version {} (log of {} releases, bootstrap of \
             {}) after {}{}",
            show_count(uploaded.sent),
            show_count(uploaded.objects),
            show_size(uploaded.sent_bytes),
            show_count(rehearsed.records),
            rehearsed.paths,
            outcome.channel,
            outcome.version,
            outcome.log_size,
            show_size(outcome.bootstrap_bytes),
            show_span(elapsed),
            remarks(&outcome.witnesses, &outcome.behind),
        ),
    };
    let mut json = outcome_json(&config, &outcome);
    json["elapsed_ms"] = json!(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    ui.result(&text, &json);
    Ok(())
}

fn outcome_json(config: &Config, outcome: &Outcome) -> Value {
    let (uploaded, rehearsed) = (outcome.uploaded, outcome.rehearsed);
    json!({
        "dataset": config.dataset.as_str(),
        "channel": outcome.channel.as_str(),
        "version": outcome.version,
        "moved": outcome.moved,
        "log_size": outcome.log_size,
        "objects": uploaded.objects,
        "objects_sent": uploaded.sent,
        "bytes_sent": uploaded.sent_bytes,
        "records_compared": rehearsed.records,
        "delta_paths": rehearsed.paths,
        "rehearsal_bytes": rehearsed.bytes_fetched,
        "rehearsal_requests": rehearsed.requests,
        "rehearsal_bundles_reused": rehearsed.bundles_reused,
        "bootstrap_bytes": outcome.bootstrap_bytes,
        "bootstrap_objects": outcome.inlined,
        "witnesses": witnesses_json(&outcome.witnesses),
        "behind": behind_json(&outcome.behind),
    })
}

fn show_prepared(config: &Config, outcome: &Outcome, path: &Path, ui: Ui) -> Result<()> {
    let text = format!(
        "uploaded {} of {} objects ({})\nrestored and compared {} records; nothing is signed\n\
         wrote {file}\n\nNext:\n  1. Each signer: packice sign {file} --key KEY\n  \
         2. Then: packice publish --finish {file}",
        show_count(outcome.uploaded.sent),
        show_count(outcome.uploaded.objects),
        show_size(outcome.uploaded.sent_bytes),
        show_count(outcome.rehearsed.records),
        file = path.display(),
    );
    let mut json = outcome_json(config, outcome);
    json["prepared"] = json!(path.display().to_string());
    ui.result(&text, &json);
    Ok(())
}

fn run_finish(config: &Config, args: &PublishArgs, path: &Path, ui: Ui) -> Result<()> {
    let key = publish_key(config, args.publish_key.as_deref(), &args.passphrase.source())?;
    let (request, finished) = finish(config, path, args.edge.as_deref(), key, ui)?;
    let head = Head::parse(&request.new.head)?;
    show_finished(config, &head, &finished, ui);
    Ok(())
}

/// What a release that became visible is told as.
pub(super) fn show_finished(config: &Config, head: &Head, finished: &Finished, ui: Ui) {
    let mut text = String::new();
    for channel in &finished.moved {
        text.push_str(&match head.channel(channel.as_str()) {
            Some(state) => format!("{channel} now stands at version {}\n", state.version),
            None => format!("{channel} is withdrawn\n"),
        });
    }
    text.push_str(&format!("the log has {} releases", finished.log_size));
    text.push_str(&remarks(&finished.witnesses, &finished.behind));
    let moved = finished.moved.iter().map(|channel| {
        let version = head.channel(channel.as_str()).map(|state| state.version.0);
        json!({ "channel": channel.as_str(), "version": version })
    });
    let json = json!({
        "dataset": config.dataset.as_str(),
        "moved": moved.collect::<Vec<_>>(),
        "log_size": finished.log_size,
        "bootstrap_bytes": finished.bootstrap_bytes,
        "witnesses": witnesses_json(&finished.witnesses),
        "behind": behind_json(&finished.behind),
    });
    ui.result(&text, &json);
}

fn remarks(witnesses: &[Said], behind: &[(Name, String)]) -> String {
    let mut text = String::new();
    for said in witnesses {
        text.push_str(&match &said.outcome {
            Ok(time_s) => format!("\ncosigned by {} at {}", said.name, show_time(*time_s)),
            Err(why) => format!("\nNOT cosigned by {}: {why}", said.name),
        });
    }
    for (channel, why) in behind {
        text.push_str(&format!("\nchannel {channel} did not follow: {why}"));
    }
    text
}

fn witnesses_json(witnesses: &[Said]) -> Value {
    let one = |said: &Said| match &said.outcome {
        Ok(time_s) => json!({ "name": said.name, "time": time_s }),
        Err(why) => json!({ "name": said.name, "error": why }),
    };
    witnesses.iter().map(one).collect()
}

fn behind_json(behind: &[(Name, String)]) -> Value {
    behind.iter().map(|(name, why)| json!({ "channel": name.as_str(), "error": why })).collect()
}
