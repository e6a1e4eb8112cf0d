//! Both ways against implementations that are not ours: the crates `signed_note` and `tlog_tiles`
//! of Cloudflare's azul, and the examples of the C2SP specifications.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use base64ct::{Base64, Encoding};
use signed_note::{Note, StandardSigner, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::{Hash, HashReader, Tile, TileHashReader, TileReader};

use super::publisher::{ORIGIN, TestLog, seed, trust_root};
use super::{leaves, naive_root};
use crate::format::note::{Checkpoint, ED25519, key_id};
use crate::trust::accept::Seen;
use crate::trust::log::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
use crate::trust::note::verify_checkpoint;
use crate::trust::sign::{public_key, sign, sign_checkpoint};
use crate::trust::signature::verify;
use crate::trust::tiles::{TileKind, TileRef, tail_tiles};
use crate::types::LogHash;

/// A key as `signed_note` writes it: the id, and the algorithm before the key.
fn encoded_key(name: &str, key: &[u8; 32], public: &[u8; 32]) -> String {
    let id = u32::from_be_bytes(key_id(name, ED25519, public));
    let key = [&[ED25519], &key[..]].concat();
    format!("{name}+{id:08x}+{}", Base64::encode_string(&key))
}

fn verifier(byte: u8) -> StandardVerifier {
    let public = public_key(&seed(byte));
    StandardVerifier::new(&encoded_key(ORIGIN, &public, &public)).expect("a verifier key")
}

fn signer(byte: u8) -> StandardSigner {
    let key = encoded_key(ORIGIN, &seed(byte), &public_key(&seed(byte)));
    StandardSigner::new(&format!("PRIVATE+KEY+{key}")).expect("a signer key")
}

fn seen(size: u64) -> Seen {
    Seen { size, root: naive_root(&leaves(size as usize)) }
}

#[test]
fn signed_note_and_tlog_tiles_accept_our_checkpoint() {
    let at = seen(13);
    let ours = sign_checkpoint(ORIGIN, at, &[seed(11), seed(12)]).encode();
    let note = Note::from_bytes(ours.as_bytes()).expect("a note");
    let known = VerifierList::new(vec![
        Box::new(verifier(11)) as Box<dyn Verifier>,
        Box::new(verifier(12)),
        Box::new(verifier(13)),
    ]);
    let (verified, unverified) = note.verify(&known).expect("our signatures");
    assert_eq!((verified.len(), unverified.len()), (2, 0));
    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    assert_eq!((theirs.origin(), theirs.size()), (ORIGIN, 13));
    assert_eq!(theirs.hash().0, at.root.0);
}

#[test]
fn we_accept_the_checkpoint_of_signed_note_and_tlog_tiles() {
    let at = seen(13);
    let theirs = tlog_tiles::Checkpoint::new(ORIGIN, 13, Hash(at.root.0), "").expect("valid");
    let mut note = Note::new(&theirs.to_bytes(), &[]).expect("a text");
    note.add_sigs(&[&signer(12), &signer(77)]).expect("signed");
    let checkpoint = verify_checkpoint(&trust_root(1), &note.to_bytes()).expect("one of ours");
    assert_eq!((checkpoint.size, checkpoint.root), (at.size, at.root));
    assert_eq!(checkpoint.encode().into_bytes(), note.to_bytes());
}

#[test]
fn signed_notes_own_example_verifies_and_signs_alike() {
    // The example of golang.org/x/mod/sumdb/note, carried by `signed_note` (BSD-3-Clause).
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6R\
                yyBwJnAM=";
    let line = Base64::decode_vec(line).expect("base64");
    let decode = |text| -> [u8; 32] {
        let key = Base64::decode_vec(text).expect("base64");
        assert_eq!(key[0], ED25519);
        key[1..].try_into().expect("32 bytes")
    };
    let secret = decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz");
    let public = decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    assert_eq!(public_key(&secret), public);
    assert_eq!(key_id("PeterNeumann", ED25519, &public), line[..4]);
    assert_eq!(key_id("PeterNeumann", ED25519, &public), [0xc7, 0x4f, 0x20, 0xa3]);
    assert!(verify(&public, text.as_bytes(), &line[4..]));
    assert_eq!(sign(&secret, text.as_bytes()), line[4..]);
}

#[test]
fn the_example_of_the_cosignature_specification_parses_to_itself() {
    // From C2SP's tlog-cosignature (CC BY 4.0).
    let note = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7\
        u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        \u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9d\
        lrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let checkpoint = Checkpoint::parse(note.as_bytes()).expect("the example");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.encode(), note);
    let [log, witness] = &checkpoint.signatures[..] else { panic!("two lines") };
    assert_eq!((log.signature.len(), witness.signature.len()), (64, 72));
    let time = u64::from_be_bytes(witness.signature[..8].try_into().expect("8 bytes"));
    assert_eq!(time, 1_679_315_147);
    let cosigned = crate::trust::note::cosigned_bytes(&checkpoint.body, time);
    let expected = ["cosignature/v1\ntime 1679315147\n", &checkpoint.body].concat();
    assert_eq!(cosigned, expected.into_bytes());
}

/// The hashes that `tlog_tiles` stores for a log, by its own code.
struct Stored(RefCell<Vec<Hash>>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let stored = self.0.borrow();
        Ok(indexes.iter().map(|index| stored[*index as usize]).collect())
    }
}

fn stored(entries: u64) -> Stored {
    let stored = Stored(RefCell::default());
    for at in 0..entries {
        let new = tlog_tiles::stored_hashes(at, &at.to_be_bytes(), &stored).expect("in memory");
        stored.0.borrow_mut().extend(new);
    }
    stored
}

fn ours(proof: Vec<Hash>) -> Vec<LogHash> {
    proof.into_iter().map(|hash| LogHash(hash.0)).collect()
}

#[test]
fn proofs_are_the_same_both_ways() {
    let (stored, leaves) = (stored(40), leaves(40));
    for size in 1..=40u64 {
        let root = naive_root(&leaves[..size as usize]);
        assert_eq!(tlog_tiles::tree_hash(size, &stored).expect("in memory").0, root.0);
        for at in 0..size {
            let theirs = tlog_tiles::prove_record(size, at, &stored).expect("in memory");
            let leaf = leaves[at as usize];
            let checked = tlog_tiles::check_record(&theirs, size, Hash(root.0), at, Hash(leaf.0));
            assert!(checked.is_ok());
            let proof = ours(theirs);
            assert_eq!(verify_inclusion(&proof, at, size, &leaf, &root), Ok(()));
            assert_eq!(prove_inclusion(&leaves[..size as usize], at as usize), Some(proof));
        }
        for old in 1..=size {
            let theirs = tlog_tiles::prove_tree(size, old, &stored).expect("in memory");
            let old_root = naive_root(&leaves[..old as usize]);
            let checked =
                tlog_tiles::check_tree(&theirs, size, Hash(root.0), old, Hash(old_root.0));
            assert!(checked.is_ok());
            let proof = ours(theirs);
            assert_eq!(verify_consistency(&proof, old, &old_root, size, &root), Ok(()));
            assert_eq!(prove_consistency(&leaves[..size as usize], old as usize), Some(proof));
        }
    }
}

/// Our path of one of their tiles: theirs carries the tile's height.
fn our_tile(tile: &Tile) -> TileRef {
    let path = tile.path();
    TileRef::parse(&path.replacen("tile/8/", "tile/", 1)).expect("the same place")
}

#[test]
fn tiles_have_the_same_places_and_the_same_ones_are_written() {
    for (level, index, width) in [(0, 0, 1), (3, 1_234_067, 256), (1, 999, 255), (2, 1000, 7)] {
        let tile = our_tile(&Tile::new(8, level, index, width, false));
        let same = TileRef::new(TileKind::Hashes { level }, index, width.into());
        assert_eq!(Some(tile), same);
    }
    for size in (1..=600).chain([65_535, 65_536, 65_537, 70_000, 1 << 24, (1 << 24) + 256]) {
        let theirs: Vec<TileRef> =
            Tile::new_tiles(8, size - 1, size).iter().map(our_tile).collect();
        let ours: Vec<TileRef> =
            tail_tiles(size).into_iter().filter(|tile| tile.kind() != TileKind::Entries).collect();
        assert_eq!(ours, theirs, "{size} entries");
    }
}

/// Their client, reading the tiles that ours wrote.
struct OurTiles(TestLog);

impl TileReader for OurTiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| self.0.tile(&our_tile(tile)).1).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn an_independent_client_reads_our_tiles() {
    let log = TestLog::of(520);
    let root = Hash(log.frontier.root().0);
    let tiles = OurTiles(log.clone());
    let reader = TileHashReader::new(520, root, &tiles);
    assert_eq!(tlog_tiles::tree_hash(520, &reader).expect("verified tiles").0, root.0);
    let leaf = crate::hash::log_leaf(&super::publisher::head(300).encode());
    let proof = tlog_tiles::prove_record(520, 299, &reader).expect("verified tiles");
    assert!(tlog_tiles::check_record(&proof, 520, root, 299, Hash(leaf.0)).is_ok());
    let proof = ours(proof);
    assert_eq!(verify_inclusion(&proof, 299, 520, &leaf, &log.frontier.root()), Ok(()));
}
