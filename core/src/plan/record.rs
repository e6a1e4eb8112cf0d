//! What is remembered of the sources from one start to the next (docs/spec/state.md, "The sources
//! row"). Nothing depends on it: it says whom to ask first, and how soon again.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::limits::{MAX_SOURCE_NAME_LEN, MAX_SOURCE_RECORDS, MAX_SOURCES_LEN};

use crate::types::Millis;

use super::retry::Kind;

const MAGIC: &[u8; 4] = b"PKQ1";
/// No number of the row is larger.
const MAX: u64 = u32::MAX as u64;
/// But for a time: what a JavaScript number holds exactly.
const MAX_TIME: u64 = 1 << 53;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When it was last found out which version is the newest.
    pub searched: Option<Millis>,
    /// The sources.
    pub sources: Vec<SourceRecord>,
}

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
pub fn parse(row: &[u8]) -> Result<Memory, Error> {
    let mut r = Reader::with_magic(row, MAGIC, "sources", MAX_SOURCES_LEN)?;
    let searched = r.number("search", MAX_TIME)?.checked_sub(1).map(Millis);
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
    Ok(Memory { searched, sources: records })
}

/// The canonical bytes; sources beyond the format's bounds are left out.
pub fn encode(memory: &Memory) -> Vec<u8> {
    let Memory { searched, sources: records } = memory;
    let fits = |record: &&SourceRecord| record.name.len() <= MAX_SOURCE_NAME_LEN;
    let records: Vec<_> = records.iter().filter(fits).take(MAX_SOURCE_RECORDS).collect();
    let mut w = Writer::with_magic(MAGIC);
    w.number(searched.map_or(0, |at| at.0.min(MAX_TIME - 1) + 1));
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
        let searched = Some(Millis(1_764_000_000_000));
        let row = encode(&Memory { searched, sources: [long, record.clone()].into() });
        let kept = SourceRecord { bytes_per_second: Some(MAX - 1), ..record };
        let kept = Memory { searched, sources: [kept].into() };
        assert_eq!(parse(&row), Ok(kept.clone()));
        assert_eq!(encode(&kept), row);
        let sources = alloc::vec![SourceRecord::default(); MAX_SOURCE_RECORDS + 1];
        let many = encode(&Memory { searched: None, sources });
        assert_eq!(parse(&many).map(|memory| memory.sources.len()), Ok(MAX_SOURCE_RECORDS));
    }
}
