//! The calls into an engine, written and read.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::engine::EngineConfig;
use crate::engine::io::{
    ByteRange, Command, FetchFailure, Input, KeyRange, RangeQuery, ReadId, RequestId, SourceId,
    StoreFailure, StoreKey,
};
use crate::error::{Error, FormatError};
use crate::types::{Identity, Millis, ObjectKind, Version, WireName};

/// No text, key or body of a trace is longer.
const MAX_BYTES: usize = 64 << 20;
/// No list of a trace has more parts.
const MAX_PARTS: usize = 1 << 20;

pub(super) fn write_config(w: &mut Writer, config: &EngineConfig) {
    w.bytes(config.dataset.as_str().as_bytes());
    w.bytes(config.channel.as_str().as_bytes());
    w.bytes(&config.trust);
}

pub(super) fn read_config(r: &mut Reader<'_>) -> Result<EngineConfig, Error> {
    Ok(EngineConfig {
        dataset: r.name("dataset")?,
        channel: r.name("channel")?,
        trust: r.bytes("trust root", MAX_BYTES)?.to_vec(),
    })
}

/// About how many bytes an input takes.
pub(super) fn about(input: &Input) -> usize {
    match input {
        Input::Body { bytes, .. } | Input::Pushed { bytes, .. } => bytes.len(),
        Input::Loaded { rows, .. } => rows.iter().map(|row| row.as_ref().map_or(1, Vec::len)).sum(),
        Input::Listed { keys, .. } => keys.len() * 33,
        Input::AddSource { .. }
        | Input::AddSeed { .. }
        | Input::RemoveSource(_)
        | Input::Command(_)
        | Input::BodyEnd { .. }
        | Input::FetchFailed { .. }
        | Input::LineEnded { .. }
        | Input::Stored { .. }
        | Input::Tick
        | Input::Idle => 0,
    }
}

pub(super) fn write_input(w: &mut Writer, input: &Input) {
    match input {
        Input::AddSource { name } => tagged(w, 0, name.as_bytes()),
        Input::AddSeed { name } => tagged(w, 1, name.as_bytes()),
        Input::RemoveSource(source) => numbered(w, 2, source.0.into()),
        Input::Command(command) => {
            w.byte(3);
            write_command(w, command);
        }
        Input::Body { request, bytes } => {
            numbered(w, 4, request.0);
            w.bytes(bytes);
        }
        Input::BodyEnd { request } => numbered(w, 5, request.0),
        Input::FetchFailed { request, failure } => {
            numbered(w, 6, request.0);
            match failure {
                FetchFailure::Network => w.byte(0),
                FetchFailure::Timeout => w.byte(1),
                FetchFailure::Status { status, retry_after_ms } => {
                    numbered(w, 2, (*status).into());
                    // One more, so that 0 is none.
                    w.number(retry_after_ms.map_or(0, |ms| ms.saturating_add(1)));
                }
                FetchFailure::TooLong => w.byte(3),
                FetchFailure::WrongRange => w.byte(4),
                FetchFailure::Cancelled => w.byte(5),
            }
        }
        Input::Pushed { request, bytes } => {
            numbered(w, 7, request.0);
            w.bytes(bytes);
        }
        Input::LineEnded { request } => numbered(w, 8, request.0),
        Input::Loaded { request, rows } => {
            numbered(w, 9, request.0);
            w.count(rows.len());
            for row in rows {
                optional(w, row.as_deref());
            }
        }
        Input::Listed { request, keys } => {
            numbered(w, 10, request.0);
            w.count(keys.len());
            for key in keys {
                write_key(w, key);
            }
        }
        Input::Stored { request, result } => {
            numbered(w, 11, request.0);
            w.byte(match result {
                Ok(()) => 0,
                Err(StoreFailure::Quota) => 1,
                Err(StoreFailure::Closed) => 2,
                Err(StoreFailure::Io) => 3,
            });
        }
        Input::Tick => w.byte(12),
        Input::Idle => w.byte(13),
    }
}

pub(super) fn read_input(r: &mut Reader<'_>) -> Result<Input, Error> {
    Ok(match r.byte("input")? {
        0 => Input::AddSource { name: text(r, "name")? },
        1 => Input::AddSeed { name: text(r, "name")? },
        2 => Input::RemoveSource(SourceId(small(r, "source")?)),
        3 => Input::Command(read_command(r)?),
        4 => Input::Body { request: request(r)?, bytes: bytes(r, "body")? },
        5 => Input::BodyEnd { request: request(r)? },
        6 => {
            let request = request(r)?;
            let failure = match r.byte("failure")? {
                0 => FetchFailure::Network,
                1 => FetchFailure::Timeout,
                2 => FetchFailure::Status {
                    status: u16::try_from(r.number("status", u16::MAX.into())?).unwrap_or(u16::MAX),
                    retry_after_ms: number(r, "retry after")?.checked_sub(1),
                },
                3 => FetchFailure::TooLong,
                4 => FetchFailure::WrongRange,
                5 => FetchFailure::Cancelled,
                other => return Err(unknown("failure", other)),
            };
            Input::FetchFailed { request, failure }
        }
        7 => Input::Pushed { request: request(r)?, bytes: bytes(r, "push")? },
        8 => Input::LineEnded { request: request(r)? },
        9 => {
            let request = request(r)?;
            let rows = list(r, "rows", |r| maybe(r, "row"))?;
            Input::Loaded { request, rows }
        }
        10 => Input::Listed { request: request(r)?, keys: list(r, "keys", read_key)? },
        11 => {
            let request = request(r)?;
            let result = match r.byte("result")? {
                0 => Ok(()),
                1 => Err(StoreFailure::Quota),
                2 => Err(StoreFailure::Closed),
                3 => Err(StoreFailure::Io),
                other => return Err(unknown("result", other)),
            };
            Input::Stored { request, result }
        }
        12 => Input::Tick,
        13 => Input::Idle,
        other => return Err(unknown("input", other)),
    })
}

fn write_command(w: &mut Writer, command: &Command) {
    match command {
        Command::Sync => w.byte(0),
        Command::Until(deadline) => {
            numbered(w, 1, deadline.map_or(0, |at| at.0.saturating_add(1)));
        }
        Command::Yield(yields) => numbered(w, 2, u64::from(*yields)),
        Command::CancelSync => w.byte(3),
        Command::Get { read, collection, key, version } => {
            write_read(w, 4, *read, collection, *version);
            w.bytes(key);
        }
        Command::Range { read, range, version } => {
            write_read(w, 5, *read, &range.collection, *version);
            w.bytes(&range.start);
            optional(w, range.end.as_deref());
            w.count(range.limit);
            optional(w, range.at.as_ref().map(|root| &root.0[..]));
        }
        Command::Prove { read, collection, key, version } => {
            write_read(w, 6, *read, collection, *version);
            w.bytes(key);
        }
        Command::Subscribe(scope) => {
            w.byte(7);
            w.count(scope.len());
            for (collection, ranges) in scope {
                w.bytes(collection.as_bytes());
                w.count(ranges.len());
                for range in ranges {
                    w.bytes(&range.start);
                    optional(w, range.end.as_deref());
                }
            }
        }
        Command::Pin(version) => numbered(w, 8, version.0),
        Command::Unpin(version) => numbered(w, 9, version.0),
        Command::Keep(versions) => numbered(w, 10, *versions as u64),
        Command::RollBack(version) => numbered(w, 11, version.0),
        Command::CancelRead(read) => numbered(w, 12, read.0),
        Command::Status => w.byte(13),
    }
}

fn read_command(r: &mut Reader<'_>) -> Result<Command, Error> {
    Ok(match r.byte("command")? {
        0 => Command::Sync,
        1 => Command::Until(number(r, "deadline")?.checked_sub(1).map(Millis)),
        2 => Command::Yield(r.flag("yield")?),
        3 => Command::CancelSync,
        kind @ (4 | 6) => {
            let (read, collection, version) = read_read(r)?;
            let key = bytes(r, "key")?;
            match kind {
                4 => Command::Get { read, collection, key, version },
                _ => Command::Prove { read, collection, key, version },
            }
        }
        5 => {
            let (read, collection, version) = read_read(r)?;
            let (start, end) = (bytes(r, "start")?, maybe(r, "end")?);
            let limit = r.count("limit", usize::MAX)?;
            let at = maybe(r, "root")?.and_then(|root| root.try_into().ok()).map(Identity);
            let range = RangeQuery { collection, start, end, limit, at };
            Command::Range { read, range, version }
        }
        7 => Command::Subscribe(list(r, "collections", |r| {
            let collection = text(r, "collection")?;
            let range = |r: &mut Reader<'_>| {
                Ok(KeyRange { start: bytes(r, "start")?, end: maybe(r, "end")? })
            };
            Ok((collection, list(r, "ranges", range)?))
        })?),
        8 => Command::Pin(Version(number(r, "version")?)),
        9 => Command::Unpin(Version(number(r, "version")?)),
        10 => Command::Keep(r.count("versions", usize::MAX)?),
        11 => Command::RollBack(Version(number(r, "version")?)),
        12 => Command::CancelRead(ReadId(number(r, "read")?)),
        13 => Command::Status,
        other => return Err(unknown("command", other)),
    })
}

fn write_read(w: &mut Writer, kind: u8, read: ReadId, collection: &str, version: Option<Version>) {
    numbered(w, kind, read.0);
    w.bytes(collection.as_bytes());
    w.number(version.map_or(0, |version| version.0.saturating_add(1)));
}

fn read_read(r: &mut Reader<'_>) -> Result<(ReadId, String, Option<Version>), Error> {
    let (read, collection) = (ReadId(number(r, "read")?), text(r, "collection")?);
    Ok((read, collection, number(r, "version")?.checked_sub(1).map(Version)))
}

pub(super) fn write_key(w: &mut Writer, key: &StoreKey) {
    let kind = match key {
        StoreKey::State => 0,
        StoreKey::Audit => 1,
        StoreKey::Frame(_) => 2,
        StoreKey::Sources => 3,
        StoreKey::Object(kind, _) => 4 + *kind as u8,
    };
    w.byte(kind);
    if let Some(name) = key.name() {
        w.raw(&name.0);
    }
}

fn read_key(r: &mut Reader<'_>) -> Result<StoreKey, Error> {
    let kind = r.byte("row")?;
    let mut name = || r.hash("name").map(WireName);
    Ok(match kind {
        0 => StoreKey::State,
        1 => StoreKey::Audit,
        2 => StoreKey::Frame(name()?),
        3 => StoreKey::Sources,
        other => {
            let kind = ObjectKind::ALL.into_iter().find(|kind| 4 + *kind as u8 == other);
            StoreKey::Object(kind.ok_or_else(|| unknown("row", other))?, name()?)
        }
    })
}

pub(super) fn write_range(w: &mut Writer, range: &ByteRange) {
    w.number(range.start);
    w.number(range.len);
}

fn tagged(w: &mut Writer, kind: u8, bytes: &[u8]) {
    w.byte(kind);
    w.bytes(bytes);
}

fn numbered(w: &mut Writer, kind: u8, number: u64) {
    w.byte(kind);
    w.number(number);
}

fn optional(w: &mut Writer, bytes: Option<&[u8]>) {
    w.byte(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        w.bytes(bytes);
    }
}

fn unknown(field: &'static str, value: u8) -> Error {
    FormatError::Invalid { field, value: value.into() }.into()
}

fn number(r: &mut Reader<'_>, field: &'static str) -> Result<u64, Error> {
    r.number(field, u64::MAX)
}

fn small(r: &mut Reader<'_>, field: &'static str) -> Result<u32, Error> {
    Ok(u32::try_from(r.number(field, u32::MAX.into())?).unwrap_or(u32::MAX))
}

fn request(r: &mut Reader<'_>) -> Result<RequestId, Error> {
    number(r, "request").map(RequestId)
}

fn bytes(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<u8>, Error> {
    Ok(r.bytes(field, MAX_BYTES)?.to_vec())
}

fn text(r: &mut Reader<'_>, field: &'static str) -> Result<String, Error> {
    Ok(String::from(r.text(field, MAX_BYTES)?))
}

fn maybe(r: &mut Reader<'_>, field: &'static str) -> Result<Option<Vec<u8>>, Error> {
    Ok(if r.flag(field)? { Some(bytes(r, field)?) } else { None })
}

/// A count and so many parts; each takes a byte at least, so a count of more than are left ends
/// early.
fn list<T>(
    r: &mut Reader<'_>,
    field: &'static str,
    mut part: impl FnMut(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let count = r.count(field, MAX_PARTS.min(r.rest().len()))?;
    (0..count).map(|_| part(r)).collect()
}
