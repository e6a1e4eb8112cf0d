//! `packice publish`.

use std::time::Instant;

use serde_json::json;

use super::args::{Cli, PublishArgs};
use crate::config::Config;
use crate::edge::load_token;
use crate::failure::Result;
use crate::publish::{Options, publish};
use crate::text::{show_count, show_size, show_span};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &PublishArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let options = Options {
        version: args.version,
        edge_url: config.edge(args.edge.as_deref())?,
        token: load_token(args.token_file.as_deref())?,
        new_log: args.new_log,
    };
    let begun = Instant::now();
    let outcome = publish(&config, &options, ui)?;
    let elapsed = begun.elapsed();
    let (uploaded, rehearsed) = (outcome.uploaded, outcome.rehearsed);
    let text = match outcome.moved {
        false => format!("{} stands at version {} already", outcome.channel, outcome.version),
        true => format!(
            "uploaded {} of {} objects ({})\nrestored and compared {} records before signing\n{} \
             now stands at version {} (log of {} releases, bootstrap of {}) after {}",
            show_count(uploaded.sent),
            show_count(uploaded.objects),
            show_size(uploaded.sent_bytes),
            show_count(rehearsed.records),
            outcome.channel,
            outcome.version,
            outcome.log_size,
            show_size(outcome.bootstrap_bytes),
            show_span(elapsed),
        ),
    };
    let json = json!({
        "dataset": config.dataset.as_str(),
        "channel": outcome.channel.as_str(),
        "version": outcome.version,
        "moved": outcome.moved,
        "log_size": outcome.log_size,
        "objects": uploaded.objects,
        "objects_sent": uploaded.sent,
        "bytes_sent": uploaded.sent_bytes,
        "records_compared": rehearsed.records,
        "rehearsal_bytes": rehearsed.bytes_fetched,
        "rehearsal_requests": rehearsed.requests,
        "bootstrap_bytes": outcome.bootstrap_bytes,
        "bootstrap_objects": outcome.inlined,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    ui.result(&text, &json);
    Ok(())
}
