//! `packice trail`: who asked the edge to move the data set's pointers, and what came of it.

use packice_core::types::hex;
use serde_json::{Value, json};

use super::args::Cli;
use super::edge_args::TrailArgs;
use crate::config::Config;
use crate::edge::{Edge, publish_key};
use crate::failure::Result;
use crate::text::show_time;
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &TrailArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let key = publish_key(&config, args.publish_key.as_deref(), &args.passphrase.source())?;
    let own = hex(&key.public());
    let edge = Edge::new(&config.edge(args.edge.as_deref())?, &config.dataset, Some(key));
    let (mut rows, mut after) = (Vec::new(), args.after);
    loop {
        let page = edge.get_signed(&format!("trail?after={after}"))?;
        let next = page["next"].as_u64().unwrap_or(after);
        rows.extend(page["rows"].as_array().cloned().unwrap_or_default());
        if next <= after {
            break;
        }
        after = next;
    }
    let text: Vec<String> = rows.iter().map(|row| line(row, &own)).collect();
    let text = if text.is_empty() { "nothing moved".to_owned() } else { text.join("\n") };
    ui.result(&text, &json!({ "rows": rows, "next": after }));
    Ok(())
}

fn line(row: &Value, own: &str) -> String {
    let field = |name: &str| row[name].as_str().unwrap_or_default();
    let who = match field("who") {
        who if who == own => "this key".to_owned(),
        who => who.get(..12).unwrap_or(who).to_owned(),
    };
    let size = row["log_size"].as_u64().map_or_else(|| "?".to_owned(), |size| size.to_string());
    let time = show_time(row["at_ms"].as_u64().unwrap_or(0) / 1000);
    let line = format!(
        "{:>6}  {time}  {:<9} {} to release {size}, by {who}",
        row["seq"].as_u64().unwrap_or(0),
        field("outcome"),
        field("channel"),
    );
    match field("reason") {
        "" => line,
        reason => format!("{line} ({reason})"),
    }
}
