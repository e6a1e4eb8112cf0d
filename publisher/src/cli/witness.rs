//! `packice witness`.

use std::io::Write;

use packice_core::format::trust_root::Role;
use packice_core::trust::root::verify_trust_root;
use packice_core::trust::witness::WatchedLog;
use packice_core::types::hex;
use serde_json::json;

use super::trust_args::{WitnessArgs, WitnessRunArgs, WitnessVerb};
use crate::failure::{Failure, Result};
use crate::keys::{Key, KeyRole, read_public};
use crate::trust_store;
use crate::ui::Ui;
use crate::witness::book::Book;
use crate::witness::serve::listen;

pub(super) fn run(args: &WitnessArgs, ui: Ui) -> Result<()> {
    match &args.verb {
        WitnessVerb::Run(args) => serve(args, ui),
    }
}

fn serve(args: &WitnessRunArgs, ui: Ui) -> Result<()> {
    let bad_name = args.name.is_empty()
        || args.name.len() > packice_core::limits::MAX_ORIGIN_LEN
        || args.name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if bad_name {
        let message = format!("'{}' cannot be a witness's name", args.name);
        return Err(Failure::usage(message).next("give one without white space and '+'"));
    }
    let mut logs = Vec::new();
    for log in &args.logs {
        logs.push(read_log(log)?);
    }
    for path in &args.trust_roots {
        let loaded = trust_store::read(path)?;
        verify_trust_root(&loaded.bytes, &loaded.root.dataset)?;
        logs.push(WatchedLog { origin: loaded.root.origin, keys: loaded.root.release });
    }
    if logs.is_empty() {
        return Err(Failure::usage("no log to watch").next("name one by --log or --trust-root"));
    }
    let key = Key::open(&args.key, KeyRole::Witness, &args.passphrase.source())?;
    let public = hex(&key.public());
    let book = Book::open(&args.name, key, &args.state, logs)?;
    let seen: Vec<_> = book
        .seen()
        .into_iter()
        .map(|(origin, seen)| json!({ "origin": origin, "size": seen.size }))
        .collect();
    let running = listen(book, &args.listen)?;
    let url = running.address().map(|address| format!("http://{address}"));
    let url = url.unwrap_or_default();
    let text = format!("{} listens on {url}\npublic {public}", args.name);
    // Whoever started it reads where it listens, and then goes on.
    match ui.json {
        true => {
            println!(
                "{}",
                json!({ "name": args.name, "url": url, "public": public, "logs": seen })
            );
        }
        false => println!("{text}"),
    }
    // A closed pipe is no reason not to serve.
    let _ = std::io::stdout().flush();
    running.run(&|line| ui.note(line))
}

/// `ORIGIN,KEY[,KEY…]`.
fn read_log(text: &str) -> Result<WatchedLog> {
    let mut parts = text.split(',');
    let origin = parts.next().unwrap_or_default().to_owned();
    let mut keys = parts.map(read_public).collect::<Result<Vec<_>>>()?;
    keys.sort_unstable();
    keys.dedup();
    if origin.is_empty() || keys.is_empty() {
        let message = format!("--log '{text}' names no origin or no key");
        return Err(Failure::usage(message).next("write ORIGIN,KEY with the release key's hex"));
    }
    Ok(WatchedLog { origin, keys: Role { threshold: 1, keys } })
}
