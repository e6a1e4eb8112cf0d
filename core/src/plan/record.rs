//! What is remembered of the sources from one start to the next (docs/spec/state.md, "The sources
//! row"). Nothing depends on it: it says whom to ask first, and how soon again.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::limits::{MAX_SOURCE_NAME_LEN, MAX_SOURCE_RECORDS, MAX_SOURCES_LEN};

use super::retry::Kind;

const MAGIC: &[u8; 4] = b"PKQ1";
/// No number of the row is larger.
const MAX: u64 = u32::MAX as u64;

/// What is remembered of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// From a request to its first bytes.
    pub latency_ms: Option<u64>,
    /// What it gave.
    pub bytes_per_second: Option<u64>,
    /// How long it took until it answered again, for each [`Kind`].
    pub windows_ms: [Option<u64>; Kind::ALL.len()],
}

/// Parses the row.
pub fn parse(row: &[u8]) -> Result<Vec<SourceRecord>, Error> {
    let mut r = Reader::with_magic(row, MAGIC, "sources", MAX_SOURCES_LEN)?;
    let mut records = Vec::new();
    for _ in 0..r.count("sources", MAX_SOURCE_RECORDS)? {
        let name = r.text("source", MAX_SOURCE_NAME_LEN)?.to_string();
        let mut number = |what| Ok::<_, Error>(r.number(what, MAX)?.checked_sub(1));
        records.push(SourceRecord {
            name,
            latency_ms: number("latency")?,
            bytes_per_second: number("rate")?,
            windows_ms: [number("pointer window")?, number("object window")?],
        });
    }
    r.finish("sources")?;
    Ok(records)
}

/// The canonical bytes; sources beyond the format's bounds are left out.
pub fn encode(records: &[SourceRecord]) -> Vec<u8> {
    let fits = |record: &&SourceRecord| record.name.len() <= MAX_SOURCE_NAME_LEN;
    let records: Vec<_> = records.iter().filter(fits).take(MAX_SOURCE_RECORDS).collect();
    let mut w = Writer::with_magic(MAGIC);
    w.count(records.len());
    for record in records {
        w.bytes(record.name.as_bytes());
        for number in [record.latency_ms, record.bytes_per_second].iter().chain(&record.windows_ms)
        {
            w.number(number.map_or(0, |number| number.min(MAX - 1) + 1));
        }
    }
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_within_bounds() {
        let record = SourceRecord {
            name: "https://edge.example/v1/names".into(),
            latency_ms: Some(0),
            bytes_per_second: Some(u64::MAX),
            windows_ms: [None, Some(1500)],
        };
        let long = SourceRecord { name: "x".repeat(MAX_SOURCE_NAME_LEN + 1), ..record.clone() };
        let row = encode(&[long, record.clone()]);
        let kept = SourceRecord { bytes_per_second: Some(MAX - 1), ..record };
        assert_eq!(parse(&row), Ok([kept.clone()].into()));
        assert_eq!(encode(&[kept]), row);
        let many = alloc::vec![SourceRecord::default(); MAX_SOURCE_RECORDS + 1];
        assert_eq!(parse(&encode(&many)).map(|records| records.len()), Ok(MAX_SOURCE_RECORDS));
    }
}
