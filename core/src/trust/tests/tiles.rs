use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{leaves, naive_root};
use crate::trust::log::{Frontier, prove_inclusion, root_of};
use crate::trust::tiles::*;
use crate::types::LogHash;

fn hashes(level: u8) -> TileKind {
    TileKind::Hashes { level }
}

fn tile(kind: TileKind, index: u64, width: u64) -> TileRef {
    TileRef::new(kind, index, width).expect("a tile")
}

#[test]
fn paths_are_those_of_the_specification() {
    for (kind, index, width, path) in [
        (hashes(0), 0, 256, "tile/0/000"),
        (hashes(3), 1_234_067, 256, "tile/3/x001/x234/067"),
        (hashes(0), 273, 112, "tile/0/273.p/112"),
        (hashes(2), 0, 1, "tile/2/000.p/1"),
        (TileKind::Entries, 1000, 255, "tile/entries/x001/000.p/255"),
        (TileKind::Entries, 10, 256, "tile/entries/010"),
    ] {
        assert_eq!(tile(kind, index, width).path(), path);
        assert_eq!(TileRef::parse(path), Some(tile(kind, index, width)));
    }
}

#[test]
fn no_other_spelling_of_a_path_parses() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile//000",
        "tile/0/+00",
        "tile/0/000.p/+1",
        "tile/data/000",
        "tile/0/x001",
        "tile/0/x001/00",
        "tile/0/000.P/1",
        "tile/0/\u{660}00",
        "tile/0/x18/x446/x744/x073/x709/x551/616",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(TileRef::parse(path), None, "{path}");
    }
}

#[test]
fn a_tile_covers_the_entries_up_to_its_last_hash() {
    for (path, covers) in [
        ("tile/0/000.p/1", 1),
        ("tile/0/000", 256),
        ("tile/entries/001.p/9", 265),
        ("tile/1/000.p/3", 768),
        ("tile/1/000", 65_536),
        ("tile/2/001.p/1", 257 << 16),
        ("tile/7/000.p/255", 255 << 56),
    ] {
        assert_eq!(TileRef::parse(path).expect(path).covers(), covers, "{path}");
    }
    assert_eq!(TileRef::new(hashes(7), 0, 256), None, "2^64 entries are one too many");
    assert_eq!(TileRef::new(hashes(0), u64::MAX, 1), None);
    assert_eq!(TileRef::new(hashes(0), 0, 0), None);
    assert_eq!(TileRef::new(hashes(0), 0, 257), None);
}

#[test]
fn the_tail_of_a_log_is_what_its_last_append_wrote() {
    let paths = |size| tail_tiles(size).iter().map(TileRef::path).collect::<Vec<_>>();
    assert!(paths(0).is_empty());
    assert_eq!(paths(1), ["tile/0/000.p/1", "tile/entries/000.p/1"]);
    assert_eq!(paths(255), ["tile/0/000.p/255", "tile/entries/000.p/255"]);
    assert_eq!(paths(256), ["tile/0/000", "tile/entries/000", "tile/1/000.p/1"]);
    assert_eq!(paths(257), ["tile/0/001.p/1", "tile/entries/001.p/1"]);
    let full = ["tile/0/255", "tile/entries/255", "tile/1/000", "tile/2/000.p/1"];
    assert_eq!(paths(65_536), full);
    assert_eq!(paths(70_000), ["tile/0/273.p/112", "tile/entries/273.p/112"]);
}

/// Every hash of every level that a log has.
struct Levels(Vec<Vec<LogHash>>);

impl Levels {
    fn of(leaves: Vec<LogHash>) -> Self {
        let mut levels = Vec::from([leaves]);
        while let Some(below) = levels.last().filter(|below| below.len() >= 256) {
            let above = below.as_chunks::<256>().0.iter().map(|tile| root_of(tile)).collect();
            levels.push(above);
        }
        Self(levels)
    }

    fn bytes(&self, tile: &TileRef) -> Vec<u8> {
        let TileKind::Hashes { level } = tile.kind() else { panic!("a hash tile") };
        let from = (tile.index() * 256) as usize;
        encode_hashes(&self.0[usize::from(level)][from..from + tile.width() as usize])
    }

    fn prove(&self, seen: u64, size: u64) -> Vec<(TileRef, Vec<u8>)> {
        consistency_tiles(seen, size).into_iter().map(|tile| (tile, self.bytes(&tile))).collect()
    }
}

fn frontier(leaves: &[LogHash]) -> Frontier {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier
}

#[test]
fn tiles_prove_each_earlier_root_of_a_small_log() {
    let leaves = leaves(600);
    let levels = Levels::of(leaves.clone());
    let roots: Vec<LogHash> = (0..=600).map(|size| root_of(&leaves[..size])).collect();
    assert_eq!(roots[600], naive_root(&leaves));
    for size in [1, 2, 3, 255, 256, 257, 258, 300, 513, 600] {
        let before = frontier(&leaves[..size - 1]);
        for seen in (0..size).filter(|seen| *seen < 20 || seen % 5 < 2) {
            let tiles = levels.prove(seen as u64, size as u64);
            assert!(tiles.len() <= 2, "{seen} to {size}");
            let root = earlier_root(&before, seen as u64, &tiles);
            assert_eq!(root, Ok(roots[seen]), "{seen} to {size}");
        }
    }
}

#[test]
fn tiles_prove_the_way_over_a_long_absence() {
    let leaves = leaves(66_000);
    let levels = Levels::of(leaves.clone());
    for size in [10_001, 65_537, 66_000usize] {
        let before = frontier(&leaves[..size - 1]);
        for seen in [1, 2, 255, 256, 257, 4_096, 9_999, 10_000, 8_192, 65_000, 65_535, 65_536] {
            if seen >= size {
                continue;
            }
            let tiles = levels.prove(seen as u64, size as u64);
            assert!(tiles.len() <= 2, "{seen} to {size}");
            let root = earlier_root(&before, seen as u64, &tiles);
            assert_eq!(root, Ok(root_of(&leaves[..seen])), "{seen} to {size}");
        }
    }
    assert!(consistency_tiles(9_999, 10_000).is_empty(), "the last entry's proof is enough");
    let far = consistency_tiles(1, 1 << 40);
    assert!(far.len() <= 5 && far.iter().map(TileRef::max_len).sum::<usize>() <= 64 << 10);
}

#[test]
fn spoiled_or_missing_tiles_prove_nothing() {
    let leaves = leaves(700);
    let levels = Levels::of(leaves.clone());
    let before = frontier(&leaves[..699]);
    let seen = 301;
    let good = levels.prove(seen, 700);
    assert_eq!(good.len(), 2);
    // The hashes that the proof uses lie around the seen end; any turned bit there shows.
    for (at, (tile, bytes)) in good.iter().enumerate() {
        let used: Vec<usize> = (0..bytes.len() / 32)
            .filter(|hash| {
                let mut tiles = good.clone();
                tiles[at].1[hash * 32] ^= 1;
                earlier_root(&before, seen, &tiles).is_err()
            })
            .collect();
        let all = usize::from(tile.kind() == hashes(0)) * 256;
        assert!(used.len() >= all.max(1), "{} hashes of {} count", used.len(), tile.path());
        for bit in 0..256 {
            let mut tiles = good.clone();
            tiles[at].1[used[0] * 32 + bit / 8] ^= 1 << (bit % 8);
            let error = earlier_root(&before, seen, &tiles).expect_err("a turned bit");
            assert_eq!(error.code(), "trust/bad-consistency-proof");
        }
        for len in [0, 31, bytes.len() - 1, bytes.len() - 32, bytes.len() + 32] {
            let mut tiles = good.clone();
            tiles[at].1.resize(len, 0);
            let error = earlier_root(&before, seen, &tiles).expect_err("another length");
            assert_eq!(error.code(), "trust/length-mismatch");
        }
        let mut tiles = good.clone();
        tiles.remove(at);
        let error = earlier_root(&before, seen, &tiles).expect_err("a tile is missing");
        assert_eq!(error.code(), "trust/bad-consistency-proof");
    }
    assert!(earlier_root(&before, 700, &good).is_err(), "past the log before its last entry");
}

#[test]
fn proofs_from_tiles_and_from_leaves_agree() {
    let leaves = leaves(520);
    for size in [2usize, 257, 519] {
        let proof = prove_inclusion(&leaves[..size], size - 1).expect("the last one");
        let before = Frontier::before_last(&proof, size as u64).expect("as many hashes");
        assert_eq!(before, frontier(&leaves[..size - 1]));
    }
}

#[test]
fn entries_tiles_hold_exactly_their_entries() {
    let mut bytes = Vec::new();
    let entries: [&[u8]; 3] = [b"abc", b"", &[7; 65_535]];
    for entry in entries {
        push_entry(&mut bytes, entry).expect("short enough");
    }
    let three = tile(TileKind::Entries, 0, 3);
    assert_eq!(parse_entries(&three, &bytes), Ok(entries.to_vec()));
    assert!(parse_entries(&tile(TileKind::Entries, 0, 2), &bytes).is_err());
    assert!(parse_entries(&tile(TileKind::Entries, 0, 4), &bytes).is_err());
    assert!(parse_entries(&tile(hashes(0), 0, 3), &bytes).is_err());
    assert!(parse_entries(&three, &bytes[..bytes.len() - 1]).is_err());
    assert!(push_entry(&mut bytes, &[0; 65_536]).is_err());
}

proptest! {
    #[test]
    fn every_tile_has_one_path(level in 0u8..8, index: u64, shift in 0u32..64, width in 1u64..257) {
        for kind in [hashes(level), TileKind::Entries] {
            if let Some(tile) = TileRef::new(kind, index >> shift, width) {
                prop_assert_eq!(TileRef::parse(&tile.path()), Some(tile));
            }
        }
    }

    #[test]
    fn texts_near_paths_parse_to_themselves_or_not_at_all(text in "tile/[0-9x/.pe]{0,24}") {
        if let Some(tile) = TileRef::parse(&text) {
            prop_assert_eq!(tile.path().to_string(), text);
        }
    }

    #[test]
    fn far_sizes_need_few_tiles_and_do_not_panic(
        seen: u64, size: u64, a in 0u32..64, b in 0u32..64,
    ) {
        let (seen, size) = (seen >> a, size >> b);
        let tiles = consistency_tiles(seen, size);
        prop_assert!(tiles.len() <= 8);
        prop_assert!(tiles.iter().all(|tile| tile.covers() <= size));
        prop_assert!(tail_tiles(size).iter().all(|tile| tile.covers() <= size));
    }
}
