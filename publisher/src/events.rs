//! The event log of a dataset (docs/spec/events.md): a collection of critical events with sequence
//! numbers, which comes with the bootstrap and is replayed in order before anything else is used.
//!
//! In scope: appending, and that a build keeps what was published. Out of scope: what an event
//! makes a client do.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use packice_core::types::is_name;
use serde_json::{Value, json};

use crate::build::content::{Content, Differ, Nothing, Step, Stream};
use crate::failure::{Failure, Result, on_file};

/// The key of an event: its sequence number, so that they stand in their order.
pub const KEY: &str = "{sequence|u64}";

/// Appends an event to the input of an event log; gives its sequence number.
pub fn append(input: &Path, kind: &str, at_s: u64, data: &Value) -> Result<u64> {
    if !is_name(kind) {
        return Err(Failure::usage(format!("'{kind}' is no kind of event"))
            .next("write a name of a-z, 0-9 and '-', such as revocation"));
    }
    let sequence = last(input)? + 1;
    let line = json!({ "sequence": sequence, "kind": kind, "at": at_s, "data": data });
    let opened = OpenOptions::new().create(true).append(true).open(input);
    let mut file = opened.map_err(on_file("open", input))?;
    writeln!(file, "{line}").map_err(on_file("write", input))?;
    file.sync_all().map_err(on_file("write", input))?;
    Ok(sequence)
}

/// The sequence number of the last event of an input; 0 where there is none.
fn last(input: &Path) -> Result<u64> {
    let file = match std::fs::File::open(input) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(on_file("read", input)(error)),
    };
    let mut last = 0;
    for (number, line) in (1u64..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(on_file("read", input))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed: Option<Value> = serde_json::from_str(&line).ok();
        last = parsed.and_then(|event| event["sequence"].as_u64()).ok_or_else(|| {
            Failure::input(format!("{} line {number} is no event", input.display()))
                .next("each line has a 'sequence'; restore the file")
        })?;
    }
    Ok(last)
}

/// Whether events are numbered from 1 without a gap, and those of the version before are as they
/// were.
pub fn check(old: Option<&dyn Content>, new: &dyn Content) -> Result<()> {
    let mut events = new.stream()?;
    let mut expected = 1u64;
    while events.advance()? {
        if events.key() != expected.to_be_bytes() {
            return Err(Failure::input(format!("event {expected} is missing"))
                .next("number events from 1 without a gap; `packice event` does"));
        }
        expected += 1;
    }
    let old: Box<dyn Stream + '_> = match old {
        Some(old) => old.stream()?,
        None => Box::new(Nothing),
    };
    let mut differ = Differ::new(old, new.stream()?)?;
    while let Some(step) = differ.advance()? {
        if matches!(step, Step::Update | Step::Delete) {
            let key: [u8; 8] = differ.old().0.try_into().unwrap_or_default();
            let message =
                format!("event {} was published, and is another one now", u64::from_be_bytes(key));
            return Err(Failure::input(message)
                .coded("events/changed")
                .next("restore it, and append an event that says what holds from now on"));
        }
    }
    Ok(())
}
