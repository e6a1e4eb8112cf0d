use alloc::vec;
use alloc::vec::Vec;

use super::publisher::{ORIGIN, TestLog, head, seed, trust_root};
use super::{leaves, naive_root};
use crate::format::trust_root::SignedTrustRoot;
use crate::hash;
use crate::trust::accept::Seen;
use crate::trust::log::{Frontier, prove_inclusion};
use crate::trust::sign::*;
use crate::trust::tiles::{TileKind, TileRef, parse_entries, parse_hashes};

#[test]
fn signatures_of_a_trust_root_stand_in_the_order_of_their_keys() {
    let signed = sign_trust_root(&trust_root(1), &[seed(4), seed(2), seed(4), seed(9), seed(1)]);
    assert_eq!(signed.signatures.len(), 4);
    assert!(signed.signatures.is_sorted());
    assert_eq!(SignedTrustRoot::parse(&signed.encode()), Ok(signed));
}

#[test]
fn a_key_has_one_line_in_a_note() {
    let mut checkpoint = sign_checkpoint(ORIGIN, Seen::nothing(), &[seed(11), seed(11)]);
    add_cosignature(&mut checkpoint, "w.example", &seed(31), 1);
    add_cosignature(&mut checkpoint, "w.example", &seed(31), 2);
    add_cosignature(&mut checkpoint, "w.example", &seed(32), 2);
    assert_eq!(checkpoint.signatures.len(), 3);
}

#[test]
fn the_published_bootstrap_is_enough_to_append_to() {
    let log = TestLog::of(21);
    let mut frontier = Frontier::before_last(&log.bootstrap.inclusion, 21).expect("a proof");
    frontier.push(hash::log_leaf(&log.bootstrap.head));
    assert_eq!(frontier, log.frontier);
    let leaves = leaves(60);
    let mut frontier = Frontier::new();
    for size in 1..=leaves.len() {
        let entry = (size as u64 - 1).to_be_bytes();
        let grown = grow(&frontier, &entry);
        assert_eq!(grown.at, Seen { size: size as u64, root: naive_root(&leaves[..size]) });
        assert_eq!(Some(grown.inclusion), prove_inclusion(&leaves[..size], size - 1));
        frontier = grown.frontier;
    }
}

#[test]
fn grown_tiles_hold_the_log() {
    let log = TestLog::of(520);
    let leaves: Vec<_> = (1..=520).map(|version| hash::log_leaf(&head(version).encode())).collect();
    let tile = |kind, index, width| log.tile(&TileRef::new(kind, index, width).expect("a tile"));
    for (index, width) in [(0, 1), (0, 255), (0, 256), (1, 256), (2, 8)] {
        let range = index as usize * 256..index as usize * 256 + width as usize;
        let (hashes, bytes) = tile(TileKind::Hashes { level: 0 }, index, width);
        assert_eq!(parse_hashes(&hashes, &bytes).expect("hashes"), leaves[range.clone()]);
        let (entries, bytes) = tile(TileKind::Entries, index, width);
        let parsed = parse_entries(&entries, &bytes).expect("entries");
        let parsed: Vec<_> = parsed.into_iter().map(hash::log_leaf).collect();
        assert_eq!(parsed, leaves[range]);
    }
    let (upper, bytes) = tile(TileKind::Hashes { level: 1 }, 0, 2);
    let expected = vec![naive_root(&leaves[..256]), naive_root(&leaves[256..512])];
    assert_eq!(parse_hashes(&upper, &bytes), Ok(expected));
}

#[test]
fn tiles_grow_only_out_of_the_ones_before() {
    let log = TestLog::of(5);
    let open = log.tiles(&open_tiles(5));
    assert_eq!(open.len(), 2);
    assert!(grow_tiles(5, &open, b"entry").is_ok());
    assert!(grow_tiles(5, &open[..1], b"entry").is_err());
    assert!(grow_tiles(6, &open, b"entry").is_err());
    let mut spoiled = open;
    spoiled[1].1.pop();
    assert!(grow_tiles(5, &spoiled, b"entry").is_err());
    assert!(open_tiles(0).is_empty());
    assert!(open_tiles(256).is_empty(), "both tiles begin anew");
    assert_eq!(open_tiles(511).len(), 3);
}
