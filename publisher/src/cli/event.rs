//! `packice event`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::args::{Cli, EventArgs};
use crate::config::Config;
use crate::events::append;
use crate::failure::{Failure, Result, on_file};
use crate::input::Place;
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &EventArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let Some(collection) = config.collections.iter().find(|collection| collection.events) else {
        return Err(Failure::usage("no collection is an event log").next(
            "add to packice.toml: [[collection]] name = \"events\", events = true, \
             input = \"events.jsonl\"",
        ));
    };
    let Place::Path(input) = &collection.input.place else {
        return Err(Failure::usage("the event log reads standard input: append the event there"));
    };
    let text = match args.data.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(on_file("read", std::path::Path::new(path)))?
        }
        None => args.data.clone(),
    };
    let data: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("--data: not JSON: {error}")))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let sequence = append(input, &args.kind, since.as_secs(), &data)?;
    let text = format!("event {sequence} in {}\nnext: packice build", input.display());
    ui.result(&text, &json!({ "sequence": sequence, "kind": args.kind, "data": data }));
    Ok(())
}
