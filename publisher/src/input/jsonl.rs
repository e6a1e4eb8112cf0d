//! JSON lines: one object on each line. Empty lines, white space around a line and a byte order
//! mark in front of the first are passed over.

use std::io::{BufRead, BufReader, Read};

use super::stream::{BYTE_ORDER_MARK, Hashed};
use super::{Intake, MAX_RECORD_LEN, Place, Source};
use crate::failure::{Failure, Result};
use crate::mapping::Row;

pub(super) fn read(place: &Place, mut intake: Intake<'_>) -> Result<Source> {
    let mut input = BufReader::with_capacity(1 << 18, Hashed::open(place)?);
    let mut text = Vec::new();
    for line in 1u64.. {
        text.clear();
        let most = MAX_RECORD_LEN as u64;
        let len = input.by_ref().take(most + 1).read_until(b'\n', &mut text).map_err(|error| {
            Failure::input(format!("cannot read {place} after line {}: {error}", line - 1))
        })?;
        if len == 0 {
            break;
        }
        if len > MAX_RECORD_LEN {
            return Err(intake.at(line, Failure::input("the line is longer than 16 MiB")));
        }
        let content = strip(&text, line);
        if content.is_empty() {
            continue;
        }
        let row = Row::from_json(content).map_err(|failure| intake.at(line, failure))?;
        intake.row(row, line)?;
        (intake.progress)(input.get_ref().len());
    }
    let hashed = input.into_inner();
    intake.finish(hashed.digest(), hashed.len())
}

/// A line without white space around it, and the first without a byte order mark.
fn strip(text: &[u8], line: u64) -> &[u8] {
    let text = match line {
        1 => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
        _ => text,
    };
    text.trim_ascii()
}
