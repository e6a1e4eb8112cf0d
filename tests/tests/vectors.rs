//! The frozen vectors: made again they are the same bytes, and each is read and written again as
//! it stands. The same in wasm: tests/e2e/parity.test.mjs.

use std::collections::{BTreeMap, BTreeSet};

use packice::build::compress::FrameEncoder;
use packice_core::frame::Decoder;
use packice_core::hash;
use packice_core::types::WireName;
use packice_tests::encoder;
use packice_tests::parsers::{Frozen, Kind, Parsers, folder, frozen, unhex};
use packice_tests::vectors::{self, Encoder, Recorded};

#[test]
fn made_again_the_vectors_are_the_same_bytes() {
    for (name, text) in encoder::files() {
        let held = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
        let same = held == text;
        assert!(same, "{name} differs: see tests/src/vectors/mod.rs before making it anew");
    }
}

#[test]
fn what_the_encoder_made_is_enough_to_make_them_without_it() {
    let made = frozen("encoder").into_iter().map(|(key, vector)| (key, vector.bytes)).collect();
    let recorded = vectors::lines(&vectors::generate(&mut Recorded { made }));
    let real = vectors::lines(&vectors::generate(&mut encoder::Pinned::default()));
    assert!(recorded == real);
}

#[test]
fn every_vector_is_read_and_written_again_as_it_stands() {
    let mut parsers = Parsers::new();
    for kind in Kind::ALL {
        let seeds = kind.seeds();
        assert!(!seeds.is_empty(), "{kind:?}");
        for seed in seeds {
            let written = parsers.parse(kind, &seed);
            let written = written.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
            assert!(written.is_none_or(|written| written == seed), "{kind:?}");
        }
    }
}

#[test]
fn identities_and_wire_names_are_blake3_of_the_bytes() {
    let formats = ["leaf", "node", "frame", "bundle", "dictionary", "manifest"];
    for format in formats.into_iter().chain(["layout-page", "layout-directory"]) {
        for (name, vector) in frozen(format) {
            let digest = hash::wire_name(&vector.bytes).to_hex();
            let said = vector.fields.get("identity").or(vector.fields.get("wire_name"));
            assert_eq!(said, Some(&digest), "{format} {name}");
        }
    }
}

#[test]
fn frames_decode_to_their_plain_bytes_and_the_c_library_writes_them_again() {
    let dictionary = &frozen("dictionary")["trained"];
    let plain_dictionary = unhex(&dictionary.fields["plain"]);
    let mut decoder = Decoder::new();
    let name = hash::wire_name(&dictionary.bytes);
    let plain_len = dictionary.fields["plain_len"].parse().expect("a length");
    decoder.install_dictionary(name, &dictionary.bytes, plain_len).expect("a dictionary");
    let mut encoder = encoder::Pinned::default();
    assert_eq!(encoder.compress(&plain_dictionary, None), dictionary.bytes);
    for (title, Frozen { bytes, fields }) in frozen("frame") {
        let plain = unhex(&fields["plain"]);
        let with = fields.get("dictionary").map(|name| WireName::from_hex(name).expect("a name"));
        let decoded = decoder.decode(&bytes, plain.len() as u64, with.as_ref());
        assert_eq!(decoded.as_deref(), Ok(plain.as_slice()), "{title}");
        let dictionary = with.map(|_| plain_dictionary.as_slice());
        assert_eq!(encoder.compress(&plain, dictionary), bytes, "{title}");
    }
}

#[test]
fn bundles_are_their_frames_one_after_the_other() {
    let encoded: BTreeSet<Vec<u8>> =
        frozen("encoder").into_values().map(|vector| vector.bytes).collect();
    for (title, Frozen { bytes, fields }) in frozen("bundle") {
        let mut rest = bytes.as_slice();
        for len in fields["frame_lens"].split(' ') {
            let len: usize = len.parse().expect("a length");
            let (frame, after) = rest.split_at(len);
            assert!(encoded.contains(frame), "{title}");
            rest = after;
        }
        assert!(rest.is_empty(), "{title}");
    }
}

#[test]
fn no_file_is_left_over() {
    let made: BTreeMap<String, String> = encoder::files().into_iter().collect();
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        // The edge's own, made by its tests.
        assert!(made.contains_key(&name) || name == "edge-log.json", "{name} is made by nothing");
    }
}

#[test]
fn the_publisher_compresses_as_the_vectors_were_made() {
    let mut plain = Vec::new();
    for i in 0..2000u32 {
        plain.extend_from_slice(format!("{{\"id\":{i},\"twice\":{}}}", 2 * i).as_bytes());
    }
    let dictionary: Vec<u8> = plain.iter().copied().take(3000).collect();
    for dictionary in [None, Some(dictionary.as_slice())] {
        let mut publisher = FrameEncoder::new(dictionary).expect("an encoder");
        let wire = publisher.encode(&plain).expect("a frame");
        assert_eq!(encoder::Pinned::default().compress(&plain, dictionary), wire);
    }
}
