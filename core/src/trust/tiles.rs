//! The release log as static files (docs/spec/log.md): which tile holds what, and what tiles
//! prove.
//!
//! Source: C2SP tlog-tiles. A hash tile at level L and index N holds the hashes of up to 256
//! subtrees of 256^L entries each; an entries tile holds up to 256 entries.
//!
//! An attacker could spell one tile's path in several ways, to store it twice: only one spelling
//! parses. It could serve any bytes as a tile: they are believed as far as they lead to the root
//! of a signed checkpoint.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::log::{Frontier, empty_root, fold};
use crate::error::{Error, FormatError, TrustError};
use crate::hash::log_node;
use crate::limits::MAX_HEAD_LEN;
use crate::types::LogHash;

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree in one tile.
const TILE_HEIGHT: u32 = 8;
/// Highest level of a tile: 256^7 entries are under each of its hashes.
const MAX_LEVEL: u8 = 7;
/// Bytes of a hash.
const HASH_LEN: usize = 32;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of subtrees of 256^level entries.
    Hashes {
        /// 0 to 7.
        level: u8,
    },
    /// The entries themselves.
    Entries,
}

/// A tile's place: a [`TileRef`] exists only for places that a log of a `u64` size can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileRef {
    kind: TileKind,
    index: u64,
    width: u16,
}

impl TileRef {
    /// A tile of 1 to 256 hashes or entries; `None` past what a `u64` can count.
    pub fn new(kind: TileKind, index: u64, width: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        let small = u16::try_from(width).ok().filter(|_| (1..=TILE_WIDTH).contains(&width))?;
        let hashes = index.checked_mul(TILE_WIDTH)?.checked_add(width)?;
        let fits = level <= MAX_LEVEL && hashes <= u64::MAX >> (TILE_HEIGHT * u32::from(level));
        fits.then_some(Self { kind, index, width: small })
    }

    /// The tile with this index in a log of a size, as wide as it is there.
    fn at(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        let hashes = size >> (TILE_HEIGHT * u32::from(level));
        Self::new(kind, index, hashes.checked_sub(index * TILE_WIDTH)?.min(TILE_WIDTH))
    }

    /// What it holds.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Which of its level it is.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds, 1 to 256.
    pub fn width(&self) -> u64 {
        self.width.into()
    }

    /// How many entries the log has at least where this tile exists: from that size on it can
    /// change no more.
    pub fn covers(&self) -> u64 {
        let level = match self.kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        (self.index * TILE_WIDTH + self.width()) << (TILE_HEIGHT * u32::from(level))
    }

    /// The longest that the tile's bytes can be; for hashes, just their length.
    pub fn max_len(&self) -> usize {
        let each = match self.kind {
            TileKind::Hashes { .. } => HASH_LEN,
            TileKind::Entries => 2 + MAX_HEAD_LEN,
        };
        usize::from(self.width) * each
    }

    /// The path, such as `tile/0/x001/234/067.p/8`.
    pub fn path(&self) -> String {
        let mut path = String::from("tile/");
        match self.kind {
            TileKind::Hashes { level } => path.push_str(&level.to_string()),
            TileKind::Entries => path.push_str("entries"),
        }
        let digits = self.index.to_string();
        let groups = digits.len().div_ceil(3);
        let padded = ["", "00", "0"][digits.len() % 3].to_string() + &digits;
        for (at, group) in padded.as_bytes().chunks(3).enumerate() {
            path.push_str(if at + 1 < groups { "/x" } else { "/" });
            path.extend(group.iter().map(|digit| char::from(*digit)));
        }
        if u64::from(self.width) < TILE_WIDTH {
            path.push_str(".p/");
            path.push_str(&self.width.to_string());
        }
        path
    }

    /// Reads a path; `None` for anything but the one spelling that [`TileRef::path`] gives.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match level {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes { level: level.parse().ok()? },
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let mut number = 0u64;
        for group in index.split('/') {
            let digits: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            number = number.checked_mul(1000)?.checked_add(digits)?;
        }
        Self::new(kind, number, width).filter(|tile| tile.path() == path)
    }
}

/// The tiles that end at the last entry of a log: the ones that its last append wrote. The hash
/// tile and the entries tile come first, then a tile of each level whose tile below is full.
pub fn tail_tiles(size: u64) -> Vec<TileRef> {
    let mut tiles = Vec::new();
    let Some(last) = size.checked_sub(1) else {
        return tiles;
    };
    tiles.extend(TileRef::at(TileKind::Hashes { level: 0 }, last / TILE_WIDTH, size));
    tiles.extend(TileRef::at(TileKind::Entries, last / TILE_WIDTH, size));
    for level in 1..=MAX_LEVEL {
        let shift = TILE_HEIGHT * u32::from(level);
        if size.trailing_zeros() < shift {
            break;
        }
        let index = last >> shift >> TILE_HEIGHT;
        tiles.extend(TileRef::at(TileKind::Hashes { level }, index, size));
    }
    tiles
}

/// A full subtree: at which height, and which one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subtree {
    pub(super) height: u32,
    pub(super) index: u64,
}

impl Subtree {
    /// The tile that its hashes stand in, as wide as it is in a log of a size.
    pub(super) fn tile(self, size: u64) -> Option<TileRef> {
        let level = u8::try_from(self.height / TILE_HEIGHT).ok()?;
        let index = (self.index << (self.height % TILE_HEIGHT)) / TILE_WIDTH;
        TileRef::at(TileKind::Hashes { level }, index, size)
    }
}

/// The subtree of the log's frontier that an earlier end of the log lies strictly inside, and its
/// place in the frontier; `None` where that end lies between two of them.
fn straddled(frontier_size: u64, seen: u64) -> (usize, Option<Subtree>) {
    let mut start = 0u64;
    for (place, height) in
        (0..u64::BITS).rev().filter(|height| frontier_size >> height & 1 == 1).enumerate()
    {
        if start >= seen {
            return (place, None);
        }
        if seen - start < 1 << height {
            return (place, Some(Subtree { height, index: start >> height }));
        }
        start += 1 << height;
    }
    (frontier_size.count_ones() as usize, None)
}

/// The hash tiles that prove that a log of `seen` entries is a prefix of one of `size` entries,
/// beside the inclusion proof of the last entry: at most one for each level of tiles, none where
/// the proof alone shows it.
///
/// The proof of the last entry holds the full subtrees before it. The seen end lies between two of
/// them, or inside one; then the tiles hold what stands on either side of that end in it.
pub fn consistency_tiles(seen: u64, size: u64) -> Vec<TileRef> {
    let mut tiles = Vec::new();
    if seen == 0 || seen >= size {
        return tiles;
    }
    let (_, Some(subtree)) = straddled(size - 1, seen) else {
        return tiles;
    };
    let levels = seen.trailing_zeros() / TILE_HEIGHT..=(subtree.height - 1) / TILE_HEIGHT;
    for level in levels {
        let index = (seen - 1) >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        let kind = TileKind::Hashes { level: u8::try_from(level).unwrap_or(u8::MAX) };
        tiles.extend(TileRef::at(kind, index, size));
    }
    tiles
}

/// The root that the log had at an earlier size, from the full subtrees before its last entry and
/// the tiles that [`consistency_tiles`] names. The frontier must come from a verified proof; tiles
/// that do not lead to it are refused.
pub fn earlier_root(
    frontier: &Frontier,
    seen: u64,
    tiles: &[(TileRef, Vec<u8>)],
) -> Result<LogHash, Error> {
    let bad = Error::Trust(TrustError::BadConsistencyProof);
    if seen > frontier.size() {
        return Err(bad);
    }
    let (place, subtree) = straddled(frontier.size(), seen);
    let (whole, rest) = frontier.nodes().split_at_checked(place).ok_or(bad.clone())?;
    let Some(subtree) = subtree else {
        return Ok(fold(whole).unwrap_or_else(empty_root));
    };
    let (old, new) = fold_tiles(subtree, seen, tiles)?;
    if rest.first() != Some(&new) {
        return Err(bad);
    }
    Ok(whole.iter().rfold(old, |right, left| log_node(left, &right)))
}

/// The hash of the part of a subtree before an end inside it, and the hash of the whole subtree.
fn fold_tiles(
    subtree: Subtree,
    seen: u64,
    tiles: &[(TileRef, Vec<u8>)],
) -> Result<(LogHash, LogHash), Error> {
    let mut height = seen.trailing_zeros();
    let mut index = (seen - 1) >> height;
    let first = subtree_hash(tiles, Subtree { height, index })?;
    let (mut old, mut new) = (first, first);
    while height < subtree.height {
        let sibling = subtree_hash(tiles, Subtree { height, index: index ^ 1 })?;
        if index & 1 == 1 {
            old = log_node(&sibling, &old);
            new = log_node(&sibling, &new);
        } else {
            new = log_node(&new, &sibling);
        }
        height += 1;
        index >>= 1;
    }
    Ok((old, new))
}

/// The hash of a subtree, out of the tile that its hashes stand in.
pub(super) fn subtree_hash(
    tiles: &[(TileRef, Vec<u8>)],
    subtree: Subtree,
) -> Result<LogHash, Error> {
    let level = u8::try_from(subtree.height / TILE_HEIGHT).unwrap_or(u8::MAX);
    let inside = subtree.height % TILE_HEIGHT;
    let start = subtree.index << inside;
    let (tile, bytes) = tiles
        .iter()
        .find(|(tile, _)| {
            tile.kind == TileKind::Hashes { level } && tile.index == start / TILE_WIDTH
        })
        .ok_or(TrustError::BadConsistencyProof)?;
    let hashes = parse_hashes(tile, bytes)?;
    // Both are below 256: a tile's hashes are numbered so.
    let from = (start % TILE_WIDTH) as usize;
    let part = hashes.get(from..from + (1 << inside)).ok_or(TrustError::BadConsistencyProof)?;
    Ok(super::log::root_of(part))
}

/// The hashes of a hash tile.
pub fn parse_hashes(tile: &TileRef, bytes: &[u8]) -> Result<Vec<LogHash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<HASH_LEN>();
    let right_kind = matches!(tile.kind, TileKind::Hashes { .. });
    if !right_kind || hashes.len() != usize::from(tile.width) || !rest.is_empty() {
        return Err(TrustError::WrongLength.into());
    }
    Ok(hashes.iter().map(|hash| LogHash(*hash)).collect())
}

/// The bytes of a hash tile.
pub fn encode_hashes(hashes: &[LogHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The entries of an entries tile: each a big-endian length of two bytes and its bytes.
pub fn parse_entries<'a>(tile: &TileRef, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
    let truncated = FormatError::Truncated { field: "entries tile" };
    let mut entries = Vec::with_capacity(tile.width.into());
    let mut rest = bytes;
    for _ in 0..tile.width {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(truncated.clone())?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, after) = after.split_at_checked(len).ok_or(truncated.clone())?;
        entries.push(entry);
        rest = after;
    }
    if tile.kind != TileKind::Entries || !rest.is_empty() {
        return Err(FormatError::Trailing { field: "entries tile" }.into());
    }
    Ok(entries)
}

/// Writes the next entry to the end of an entries tile.
pub fn push_entry(tile: &mut Vec<u8>, entry: &[u8]) -> Result<(), Error> {
    let len = u16::try_from(entry.len()).map_err(|_| FormatError::TooLarge {
        field: "log entry",
        value: entry.len() as u64,
        max: u16::MAX.into(),
    })?;
    tile.extend_from_slice(&len.to_be_bytes());
    tile.extend_from_slice(entry);
    Ok(())
}
