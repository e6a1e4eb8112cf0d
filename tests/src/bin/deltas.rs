//! `deltas DIR FROM:TO…`: the deltas between versions of a set, packed, unpacked again and
//! compared, and what they weigh.
//!
//! `DIR/VERSION.jsonl` has one `{"k": …, "v": …}` a line, both strings. One JSON object a pair goes
//! to stdout.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use packice_core::delta::{OldRecords, Op, PieceRecords, Unpacker, diff, pack, split};
use serde_json::{Value, json};

/// New bytes of one segment.
const SEGMENT_TARGET: u64 = 1 << 20;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: deltas DIR FROM:TO…")?;
    for pair in args {
        let (from, to) = pair.split_once(':').ok_or("a pair is FROM:TO")?;
        let read = |version: &str| read(&Path::new(&dir).join(format!("{version}.jsonl")));
        let mut said = measure(&read(from)?, &read(to)?)?;
        said["from"] = from.into();
        said["to"] = to.into();
        println!("{said}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Records, Box<dyn Error>> {
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
    records.sort();
    if records.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(format!("{}: a key comes twice", path.display()).into());
    }
    Ok(records)
}

fn measure(old: &Records, new: &Records) -> Result<Value, Box<dyn Error>> {
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
        segments += 1;
        let started = Instant::now();
        let mut unpacker = Unpacker::open(&packed)?;
        while let Some(op) = unpacker.advance(&range)? {
            apply(old, piece.first_rank, &mut at, op, &mut made)?;
        }
        unpack_ms += started.elapsed().as_secs_f64() * 1000.0;
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
