//! `packice export`.

use serde_json::json;

use super::args::{Cli, ExportArgs};
use super::session::Session;
use crate::config::Config;
use crate::export::{Options, export};
use crate::failure::{Failure, Result};
use crate::project::Project;
use crate::text::{show_count, show_size};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &ExportArgs, ui: Ui) -> Result<()> {
    if args.keep == Some(0) {
        return Err(Failure::usage("--keep: one release at least stays"));
    }
    let session = Session::new(cli, &args.client)?;
    session.need_sources()?;
    let dataset = session.trust.root.dataset.clone();
    let mut local = vec![session.store.clone()];
    if cli.config.exists() {
        let project = Project::new(Config::load(&cli.config)?.work_dir());
        local.extend(project.versions().into_iter().rev().map(|v| project.build_dir(v)));
    }
    let options = Options {
        dir: args.dir.clone(),
        dataset: dataset.clone(),
        channel: session.channel.clone(),
        trust: session.trust.bytes.clone(),
        sources: session.sources.clone(),
        local,
        keep: args.keep,
    };
    let outcome = export(&options, ui)?;
    for fault in &outcome.faults {
        ui.note(&format!("fault: {fault}"));
    }
    let at = if outcome.moved { "now serves" } else { "serves" };
    let text = format!(
        "added {} of {} objects ({}), {} of them fetched; removed {}\n{} {at} version {} of \
         {dataset} {}",
        show_count(outcome.added),
        show_count(outcome.objects),
        show_size(outcome.added_bytes),
        show_count(outcome.fetched),
        show_count(outcome.removed),
        args.dir.display(),
        outcome.version,
        session.channel,
    );
    let json = json!({
        "dataset": dataset.as_str(),
        "channel": session.channel.as_str(),
        "dir": args.dir.display().to_string(),
        "version": outcome.version,
        "moved": outcome.moved,
        "log_size": outcome.log_size,
        "objects": outcome.objects,
        "objects_added": outcome.added,
        "bytes_added": outcome.added_bytes,
        "objects_fetched": outcome.fetched,
        "files_removed": outcome.removed,
        "faults": outcome.faults,
    });
    ui.result(&text, &json);
    Ok(())
}
