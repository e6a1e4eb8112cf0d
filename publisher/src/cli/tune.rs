//! `packice tune`.

use serde_json::json;

use super::args::{Cli, TuneArgs};
use super::build::{sort_memory, threads};
use crate::build::objects::write_whole;
use crate::config::Config;
use crate::failure::{Failure, Result, on_file};
use crate::project::Project;
use crate::text::{parse_size, show_count, show_size};
use crate::tune::{Options, Row, Tuning, rewrite, tune};
use crate::ui::Ui;

pub(super) fn run(cli: &Cli, args: &TuneArgs, ui: Ui) -> Result<()> {
    let config = Config::load(&cli.config)?;
    config.check_directories()?;
    let options = Options {
        sample: sample(&args.sample)?,
        memory: sort_memory(&args.memory)?,
        threads: threads(args.threads),
    };
    let wanted = |name: &str| args.collection.as_deref().is_none_or(|only| only == name);
    let collections: Vec<_> =
        config.collections.iter().filter(|c| wanted(c.name.as_str())).collect();
    if collections.is_empty() {
        let name = args.collection.as_deref().unwrap_or_default();
        let message = format!("there is no collection '{name}' to tune");
        return Err(Failure::absent(message).next("see [[collection]] in packice.toml"));
    }
    let temporary = Project::new(config.work_dir()).temporary_dir();
    let mut tunings = Vec::new();
    for collection in collections {
        let tuning = tune(collection, &options, &temporary, ui)
            .map_err(|failure| failure.within(format!("collection '{}'", collection.name)))?;
        if !ui.json {
            ui.result(&show(&tuning), &json!(null));
        }
        tunings.push(tuning);
    }
    if args.write {
        let path = &cli.config;
        let text = std::fs::read_to_string(path).map_err(on_file("read", path))?;
        let text = rewrite(&text, &tunings).map_err(|failure| failure.within(path.display()))?;
        Config::parse(&text, &config.dir).map_err(|failure| failure.within(path.display()))?;
        write_whole(path, text.as_bytes())?;
    }
    let said = match args.write {
        true => format!("wrote {}", cli.config.display()),
        false => "changing a size renames everything: do it before the first release".to_owned(),
    };
    let suggestions = tunings.iter().map(|tuning| {
        let fields =
            tuning.fields().into_iter().map(|(field, text)| (field.to_owned(), json!(text)));
        json!({ "name": tuning.name, "fields": fields.collect::<serde_json::Map<_, _>>() })
    });
    let json = json!({
        "suggestions": suggestions.collect::<Vec<_>>(),
        "collections": tunings,
        "written": args.write,
    });
    ui.result(&said, &json);
    Ok(())
}

/// The value of `--sample`.
fn sample(text: &str) -> Result<Option<u64>> {
    if text == "all" {
        return Ok(None);
    }
    let bytes = parse_size(text).filter(|bytes| *bytes >= 1 << 20);
    bytes.map(Some).ok_or_else(|| {
        Failure::usage(format!("--sample: '{text}' is neither all nor a size of 1 MiB or more"))
    })
}

fn show(tuning: &Tuning) -> String {
    let part = match tuning.sampled_bytes == tuning.content_bytes {
        true => "all measured".to_owned(),
        false => format!("{} measured", show_size(tuning.sampled_bytes)),
    };
    let mut text = format!(
        "collection {}: {} records, {} ({part}); in one file {}\n   {:>8} {:>9} {:>10} {:>8} \
         {:>11} {:>11} {:>10} {:>10} {:>9}\n",
        tuning.name,
        show_count(tuning.records),
        show_size(tuning.content_bytes),
        show_size(tuning.reference_bytes),
        "leaf",
        "frame",
        "dictionary",
        "frames",
        "full sync",
        "of one file",
        "cold read",
        "proof",
        "decode",
    );
    for (at, row) in tuning.rows.iter().enumerate() {
        let mark = if at == tuning.suggested { "->" } else { "  " };
        text.push_str(&format!("{mark} {}\n", show_row(row)));
    }
    text.push_str(&format!("suggested:\n  [[collection]]\n  name = \"{}\"\n", tuning.name));
    for (field, value) in tuning.fields() {
        text.push_str(&format!("  {field} = \"{value}\"\n"));
    }
    text
}

fn show_row(row: &Row) -> String {
    let dictionary = match row.dictionary_bytes {
        0 => "none".to_owned(),
        bytes => show_size(bytes),
    };
    format!(
        "{:>8} {:>9} {:>10} {:>8} {:>11} {:>11.3} {:>10} {:>10} {:>6} µs",
        show_size(row.leaf_target.into()),
        show_size(row.frame_target.into()),
        dictionary,
        show_count(row.frames),
        show_size(row.full_sync_bytes),
        row.ratio,
        show_size(row.cold_read_bytes),
        show_size(row.proof_bytes),
        row.decode_us,
    )
}
