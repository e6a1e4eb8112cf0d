//! `packice prune`: builds that nothing needs any more.

use serde_json::json;

use super::args::{Cli, PruneArgs};
use crate::build::remove_dir;
use crate::config::Config;
use crate::failure::Result;
use crate::project::Project;
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &PruneArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let project = Project::new(config.work_dir());
    let keep = args.keep.unwrap_or(config.deltas.depth + 1);
    let published = project.state()?.channels;
    let versions = project.versions();
    let older = &versions[..versions.len().saturating_sub(keep)];
    // What a channel stands at is what the next build is made after.
    let stands = |version: &u64| published.values().any(|channel| channel.version == *version);
    let gone: Vec<u64> = older.iter().copied().filter(|version| !stands(version)).collect();
    if !args.dry_run {
        for version in &gone {
            remove_dir(&project.build_dir(*version))?;
        }
        // What was fetched is fetched again where a build needs it.
        remove_dir(&project.history_dir())?;
    }
    let kept: Vec<u64> =
        versions.iter().copied().filter(|version| !gone.contains(version)).collect();
    let show = |list: &[u64]| list.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let would = if args.dry_run { "would go" } else { "gone" };
    let text = match gone.is_empty() {
        true => "nothing to remove".to_owned(),
        false => format!("{would}: {}\nkept: {}", show(&gone), show(&kept)),
    };
    ui.result(&text, &json!({ "gone": gone, "kept": kept, "dry_run": args.dry_run }));
    Ok(())
}
