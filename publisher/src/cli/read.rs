//! `packice get` and `packice range`.

use std::io::Write;
use std::ops::ControlFlow;

use packice_core::engine::io::{Answer, RangeQuery};
use packice_core::types::Version;
use serde_json::json;

use super::args::{Cli, GetArgs, RangeArgs};
use super::session::{Session, damaged_json, key_bytes};
use crate::client::audit::read_page;
use crate::client::unknown;
use crate::failure::{Failure, Result};
use crate::text::put_bytes;
use crate::ui::Ui;

pub(super) fn get(cli: &Cli, args: &GetArgs, ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    let key = key_bytes(&args.key, args.hex)?;
    let mut host = session.host()?;
    let answer = match &args.proof {
        Some(file) => super::proof::prove(&mut host, args, &key, file, ui),
        None => host.get(&args.collection, &key),
    };
    let damaged = damaged_json(&host);
    let shown = |state: &str, version: Version, value: Option<&[u8]>| {
        let mut json = json!({ "state": state, "version": version.0, "damaged": damaged });
        put_bytes(&mut json, "key", &key);
        if let Some(value) = value {
            put_bytes(&mut json, "value", value);
        }
        json
    };
    let with_damaged = |failure: Failure| failure.with_details(json!({ "damaged": damaged }));
    match answer.map_err(with_damaged)? {
        Answer::Present { value, version } if ui.json => {
            ui.result("", &shown("present", version, Some(&value)));
            Ok(())
        }
        Answer::Present { value, .. } => {
            let mut out = std::io::stdout().lock();
            on_stdout(out.write_all(&value).and_then(|()| out.write_all(b"\n"))).map(|_| ())
        }
        Answer::Absent { version } => {
            if ui.json {
                ui.result("", &shown("absent", version, None));
            }
            let key = &args.key;
            let message = format!("'{key}' is proven absent from version {version}");
            Err(Failure::absent(message))
        }
        Answer::Unknown(reason) => Err(with_damaged(unknown(reason))),
        Answer::Records { .. } | Answer::Proof { .. } => {
            Err(Failure::internal("the engine answers another question"))
        }
    }
}

pub(super) fn range(cli: &Cli, args: &RangeArgs, _ui: Ui) -> Result<()> {
    let session = Session::new(cli, &args.client)?;
    let bytes = |text: &Option<String>| -> Result<Option<Vec<u8>>> {
        text.as_ref().map(|text| key_bytes(text, args.hex)).transpose()
    };
    let (mut start, end) = match bytes(&args.prefix)? {
        Some(prefix) => {
            let end = after_prefix(&prefix);
            (prefix, end)
        }
        None => (bytes(&args.start)?.unwrap_or_default(), bytes(&args.end)?),
    };
    let mut host = session.host()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut at = None;
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        let collection = args.collection.clone();
        let query = RangeQuery { collection, start, end: end.clone(), limit, at };
        let page = read_page(&mut host, query)?;
        left = left.saturating_sub(page.records.len() as u64);
        for (key, value) in page.records.iter() {
            if on_stdout(write_record(&mut out, key, value, args.raw))?.is_break() {
                return Ok(());
            }
        }
        at = Some(page.root);
        match page.next {
            Some(next) => start = next,
            None => break,
        }
    }
    on_stdout(out.flush()).map(|_| ())
}

/// The first key after all that begin with a prefix; none where the prefix is all `ff`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

fn write_record(out: &mut impl Write, key: &[u8], value: &[u8], raw: bool) -> std::io::Result<()> {
    if raw {
        return out.write_all(value).and_then(|()| out.write_all(b"\n"));
    }
    let mut line = json!({});
    put_bytes(&mut line, "key", key);
    put_bytes(&mut line, "value", value);
    writeln!(out, "{line}")
}

/// A pipe that the reader closed, as by `| head`, ends the command without an error.
fn on_stdout(result: std::io::Result<()>) -> Result<ControlFlow<()>> {
    match result {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::internal(format!("the output cannot be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_of_no_more_bytes() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
