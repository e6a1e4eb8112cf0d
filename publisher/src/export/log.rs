//! The log's tiles: all of them, checked against the signed checkpoint from the entries up.

use packice_core::hash::log_leaf;
use packice_core::trust::accept::Seen;
use packice_core::trust::log::Frontier;
use packice_core::trust::tiles::{TILE_WIDTH, TileKind, TileRef, parse_entries, parse_hashes};
use packice_core::types::LogHash;

use super::folder::Folder;
use super::origin::{self, Origin};
use crate::failure::{Failure, Result};

/// The tile's path under the dataset.
pub(super) fn path(tile: &TileRef) -> String {
    format!("log/{}", tile.path())
}

/// The tiles of a log of a size: of entries, then of hashes from level 0 up.
pub(super) fn tiles_of(size: u64) -> Vec<TileRef> {
    let mut tiles = Vec::new();
    let mut add = |kind: TileKind, count: u64| {
        for index in 0..count.div_ceil(TILE_WIDTH) {
            let width = (count - index * TILE_WIDTH).min(TILE_WIDTH);
            tiles.extend(TileRef::new(kind, index, width));
        }
    };
    add(TileKind::Entries, size);
    let mut hashes = size;
    for level in 0u8.. {
        if hashes == 0 {
            break;
        }
        add(TileKind::Hashes { level }, hashes);
        hashes /= TILE_WIDTH;
    }
    tiles
}

/// Copies the tiles of the log as it was seen. They hold together or not at all, so all of them
/// are from the folder and one source; nothing is written before all of them hold.
pub(super) fn copy(folder: &Folder, origin: &Origin<'_>, seen: Seen) -> Result<()> {
    let mut first_failure = None;
    for edge in origin.edges() {
        let with_folder = read(
            &|path, max| match folder.read(path)? {
                Some(bytes) => Ok(bytes),
                None => origin::from_source(edge, path, max),
            },
            seen,
        );
        let tiles =
            with_folder.or_else(|_| read(&|path, max| origin::from_source(edge, path, max), seen));
        match tiles {
            Ok(tiles) => {
                for (path, bytes) in tiles {
                    folder.write(&path, &bytes)?;
                }
                return Ok(());
            }
            Err(failure) => {
                origin.note(edge, &failure);
                first_failure.get_or_insert(failure);
            }
        }
    }
    Err(first_failure.unwrap_or_else(|| Failure::usage("no source")))
}

/// All tiles by path, checked from the entries up.
fn read(
    tile_at: &dyn Fn(&str, usize) -> Result<Vec<u8>>,
    seen: Seen,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut tiles = Vec::new();
    // The hashes of the level that is read, and what the one below says they must be.
    let (mut level, mut expected): (Vec<LogHash>, Vec<LogHash>) = Default::default();
    let mut kind = TileKind::Entries;
    for tile in tiles_of(seen.size) {
        if tile.kind() != kind {
            let below = std::mem::take(&mut level);
            expected = match kind {
                TileKind::Entries => check_root(below, seen)?,
                TileKind::Hashes { .. } => full_subtrees(&below),
            };
            kind = tile.kind();
        }
        let path = path(&tile);
        let bytes = tile_at(&path, tile.max_len())?;
        let hashes: Vec<LogHash> = match kind {
            TileKind::Entries => parse_entries(&tile, &bytes)?.into_iter().map(log_leaf).collect(),
            TileKind::Hashes { .. } => parse_hashes(&tile, &bytes)?,
        };
        level.extend(hashes);
        if matches!(kind, TileKind::Hashes { .. }) && !expected.starts_with(&level) {
            let message = format!("{path} belies the tiles below it");
            return Err(Failure::verification(message).next("use another --source"));
        }
        tiles.push((path, bytes));
    }
    Ok(tiles)
}

/// The entries' hashes, where they lead to the checkpoint's root.
fn check_root(leaves: Vec<LogHash>, seen: Seen) -> Result<Vec<LogHash>> {
    let mut frontier = Frontier::new();
    for leaf in &leaves {
        frontier.push(*leaf);
    }
    match frontier.root() == seen.root {
        true => Ok(leaves),
        false => {
            Err(Failure::verification("log/tile/entries: not those that the checkpoint signs")
                .next("use another --source"))
        }
    }
}

/// The roots of all full tiles of a level.
fn full_subtrees(level: &[LogHash]) -> Vec<LogHash> {
    let width = usize::try_from(TILE_WIDTH).unwrap_or(usize::MAX);
    let root_of = |tile: &[LogHash]| {
        let mut frontier = Frontier::new();
        for hash in tile {
            frontier.push(*hash);
        }
        frontier.root()
    };
    level.chunks_exact(width).map(root_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_its_entries_and_every_level() {
        let paths = |size| tiles_of(size).iter().map(path).collect::<Vec<_>>();
        assert_eq!(paths(0), Vec::<String>::new());
        assert_eq!(paths(3), ["log/tile/entries/000.p/3", "log/tile/0/000.p/3"]);
        assert_eq!(
            paths(257),
            [
                "log/tile/entries/000",
                "log/tile/entries/001.p/1",
                "log/tile/0/000",
                "log/tile/0/001.p/1",
                "log/tile/1/000.p/1",
            ]
        );
    }
}
