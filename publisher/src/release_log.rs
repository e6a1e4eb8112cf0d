//! The release log from the outside: every entry and every tile against a signed checkpoint.

use packice_core::error::{Error, TrustError};
use packice_core::hash::log_leaf;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::{Frontier, root_of};
use packice_core::trust::tiles::{TILE_WIDTH, TileKind, TileRef, parse_entries, parse_hashes};
use packice_core::types::LogHash;

use crate::edge::Edge;
use crate::failure::{Failure, Result};
use crate::publish::head::fetch_tiles;

/// Reads every entry in order, and checks that together they have the root.
pub fn walk_entries(
    edge: &Edge,
    at: Seen,
    visit: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut log = Frontier::new();
    for index in 0..at.size.div_ceil(TILE_WIDTH) {
        let (tile, bytes) = fetch(edge, TileKind::Entries, index, at.size)?;
        for entry in parse_entries(&tile, &bytes)? {
            visit(log.size(), entry)?;
            log.push(log_leaf(entry));
        }
    }
    match log.root() == at.root {
        true => Ok(()),
        false => Err(Failure::from(Error::Trust(TrustError::BadTile))
            .within("the entries do not lead to the checkpoint's root")),
    }
}

/// Checks every hash tile of a log, level by level: each is what the level below it says, and the
/// lowest what the entries say. Gives how many tiles there are.
pub fn audit_hash_tiles(edge: &Edge, at: Seen, leaves: &[LogHash]) -> Result<u64> {
    let mut below: Vec<LogHash> = leaves.to_vec();
    let mut count = 0;
    let mut level = 0u8;
    while !below.is_empty() {
        let mut above = Vec::new();
        for (index, expected) in (0u64..).zip(below.chunks(256)) {
            let (tile, bytes) = fetch(edge, TileKind::Hashes { level }, index, at.size)?;
            if parse_hashes(&tile, &bytes)? != expected {
                let message = format!("log/{} does not hold the log's hashes", tile.path());
                return Err(Failure::verification(message).coded("trust/bad-tile"));
            }
            count += 1;
            if expected.len() == 256 {
                above.push(root_of(expected));
            }
        }
        below = above;
        level += 1;
    }
    Ok(count)
}

fn fetch(edge: &Edge, kind: TileKind, index: u64, size: u64) -> Result<(TileRef, Vec<u8>)> {
    let level = match kind {
        TileKind::Hashes { level } => u32::from(level),
        TileKind::Entries => 0,
    };
    let width = ((size >> (8 * level)) - index * TILE_WIDTH).min(TILE_WIDTH);
    let tile = TileRef::new(kind, index, width)
        .ok_or_else(|| Failure::internal("a tile of no log was asked for"))?;
    let mut fetched = fetch_tiles(edge, &[tile])?;
    fetched.pop().ok_or_else(|| Failure::internal("no tile was fetched"))
}
