//! `deltas DIR FROM:TO…`: the deltas between versions of a set, packed, unpacked again and
//! compared, and what they weigh. `deltas --keep OUT DIR FROM:TO` writes each segment besides, as
//! `OUT/N.segment`, and the old records of its range, as `OUT/N.records`.
//!
//! `DIR/VERSION.jsonl` has one `{"k": …, "v": …}` a line, both strings; or `DIR/VERSION.records`
//! has the lengths of key and value, four bytes each, and both. One JSON object a pair goes to
//! stdout.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use packice_core::delta::{OldRecords, Op, PieceRecords, Unpacker, diff, pack, split};
use serde_json::{Value, json};

/// New bytes of one segment.
const SEGMENT_TARGET: u64 = 1 << 20;

/// A segment is unpacked so often; the fastest counts.
const UNPACKED: usize = 3;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let keep = match args.first().map(String::as_str) {
        Some("--keep") => args.drain(..2).next_back().map(PathBuf::from),
        _ => None,
    };
    let (dir, pairs) = args.split_first().ok_or("usage: deltas [--keep OUT] DIR FROM:TO…")?;
    for pair in pairs {
        let (from, to) = pair.split_once(':').ok_or("a pair is FROM:TO")?;
        let read = |version: &str| read(Path::new(dir), version);
        let mut said = measure(&read(from)?, &read(to)?, keep.as_deref())?;
        said["from"] = from.into();
        said["to"] = to.into();
        println!("{said}");
    }
    Ok(())
}

fn read(dir: &Path, version: &str) -> Result<Records, Box<dyn Error>> {
    let (lines, binary) =
        (dir.join(format!("{version}.jsonl")), dir.join(format!("{version}.records")));
    let mut records =
        if binary.exists() { read_binary(&std::fs::read(&binary)?)? } else { read_lines(&lines)? };
    records.sort();
    if records.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(format!("{}: a key comes twice in {version}", dir.display()).into());
    }
    Ok(records)
}

fn read_lines(path: &Path) -> Result<Records, Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut records = Records::new();
    for (line, text) in BufReader::new(file).lines().enumerate() {
        let value: Value = serde_json::from_str(&text?)?;
        let field = |name: &str| {
            let text = value[name].as_str().map(|text| text.as_bytes().to_vec());
            text.ok_or_else(|| format!("{}:{}: no text '{name}'", path.display(), line + 1))
        };
        records.push((field("k")?, field("v")?));
    }
    Ok(records)
}

fn read_binary(mut rest: &[u8]) -> Result<Records, Box<dyn Error>> {
    let mut records = Records::new();
    while let Some((lens, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, e, f, g, h] = *lens;
        let key_len = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
        let value_len = usize::try_from(u32::from_le_bytes([e, f, g, h]))?;
        let (key, after) = after.split_at_checked(key_len).ok_or("a key is cut off")?;
        let (value, after) = after.split_at_checked(value_len).ok_or("a value is cut off")?;
        records.push((key.to_vec(), value.to_vec()));
        rest = after;
    }
    Ok(records)
}

fn keep_segment(
    out: &Path,
    number: usize,
    packed: &[u8],
    range: &impl OldRecords,
) -> Result<(), Box<dyn Error>> {
    let mut old = Vec::new();
    for rank in 0..range.count() {
        let (key, value) = range.record(rank).ok_or("a rank without a record")?;
        for len in [key.len(), value.len()] {
            old.extend_from_slice(&u32::try_from(len)?.to_le_bytes());
        }
        old.extend_from_slice(key);
        old.extend_from_slice(value);
    }
    std::fs::write(out.join(format!("{number}.segment")), packed)?;
    Ok(std::fs::write(out.join(format!("{number}.records")), old)?)
}

fn measure(old: &Records, new: &Records, keep: Option<&Path>) -> Result<Value, Box<dyn Error>> {
    let ops = diff(old.as_slice(), new.as_slice());
    let count = |what: fn(&Op) -> bool| ops.iter().filter(|op| what(op)).count();
    let (updates, inserts) =
        (count(|op| matches!(op, Op::Update { .. })), count(|op| matches!(op, Op::Insert { .. })));
    let deletes = count(|op| matches!(op, Op::Delete { .. }));
    let plain: u64 = ops.iter().map(Op::plain_len).sum();

    let (mut bytes, mut segments) = (0, 0);
    let (mut pack_ms, mut unpack_ms) = (0.0, 0.0);
    let mut made = Records::new();
    let mut at = 0;
    for piece in split(old.as_slice(), ops, SEGMENT_TARGET) {
        let range = PieceRecords {
            old: old.as_slice(),
            first_rank: piece.first_rank,
            count: piece.old_records,
        };
        let started = Instant::now();
        let packed = pack(&range, &piece.ops)?;
        pack_ms += started.elapsed().as_secs_f64() * 1000.0;
        bytes += packed.len();
        if let Some(out) = keep {
            keep_segment(out, segments, &packed, &range)?;
        }
        segments += 1;
        let mut fastest = f64::MAX;
        let mut ops = Vec::new();
        for _ in 0..UNPACKED {
            ops.clear();
            let started = Instant::now();
            let mut unpacker = Unpacker::open(&packed)?;
            while let Some(op) = unpacker.advance(&range)? {
                ops.push(op);
            }
            fastest = fastest.min(started.elapsed().as_secs_f64() * 1000.0);
        }
        unpack_ms += fastest;
        for op in ops {
            apply(old, piece.first_rank, &mut at, op, &mut made)?;
        }
    }
    made.extend_from_slice(&old[at..]);
    if made != *new {
        return Err("the delta does not lead to the new version".into());
    }
    Ok(json!({
        "inserts": inserts, "updates": updates, "deletes": deletes, "plain_bytes": plain,
        "bytes": bytes, "segments": segments, "pack_ms": pack_ms, "unpack_ms": unpack_ms,
    }))
}

/// Copies old records up to an operation, and does it.
fn apply(
    old: &Records,
    first: u64,
    at: &mut usize,
    op: Op,
    made: &mut Records,
) -> Result<(), Box<dyn Error>> {
    let rank = usize::try_from(first + op.rank())?;
    made.extend_from_slice(&old[*at..rank]);
    *at = rank;
    let key = old.as_slice().record(rank as u64).map(|(key, _)| key.to_vec());
    match op {
        Op::Insert { key, value, .. } => made.push((key, value)),
        Op::Update { value, .. } => {
            made.push((key.ok_or("an update has no record")?, value));
            *at += 1;
        }
        Op::Delete { .. } => *at += 1,
    }
    Ok(())
}
