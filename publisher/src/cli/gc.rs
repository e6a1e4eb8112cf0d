//! `packice gc`: remove from the edge what nothing needs any more.

use serde_json::json;

use super::args::{Cli, GcArgs};
use crate::config::Config;
use crate::edge::publish_key;
use crate::failure::Result;
use crate::keep::collect::{Collected, collect};
use crate::publish::desk::Desk;
use crate::text::{show_count, show_size};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &GcArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let edge_url = config.edge(args.edge.as_deref())?;
    let key = publish_key(&config, args.publish_key.as_deref(), &args.passphrase.source())?;
    let desk = Desk::open(&config, &edge_url, Some(key), ui)?;
    let collected = collect(&desk, args.dry_run)?;
    let Collected { objects, bytes, unneeded, unneeded_bytes, condemned, removed, removed_bytes } =
        collected;
    let (found, gone) = match args.dry_run {
        true => ("would be noted for the first time", "would be removed"),
        false => ("noted for the first time", "removed"),
    };
    let text = format!(
        "{} objects at the edge ({})\n{} of them nothing needs ({}): {} {found}\n{} {gone} ({})",
        show_count(objects),
        show_size(bytes),
        show_count(unneeded),
        show_size(unneeded_bytes),
        show_count(condemned),
        show_count(removed),
        show_size(removed_bytes),
    );
    let json = json!({
        "dataset": config.dataset.as_str(),
        "dry_run": args.dry_run,
        "objects": objects,
        "bytes": bytes,
        "unneeded": unneeded,
        "unneeded_bytes": unneeded_bytes,
        "condemned": condemned,
        "removed": removed,
        "removed_bytes": removed_bytes,
    });
    ui.result(&text, &json);
    Ok(())
}
