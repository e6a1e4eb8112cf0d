//! Decoding frames: what the C library writes is read, and nothing but that.

// Lengths and counts in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod common;

use common::{Rng, SMALL, build, records};
use packice_core::frame::{DICTIONARY_SLOTS, Decoder};
use packice_core::hash;
use packice_core::limits::MAX_DICTIONARY_LEN;
use packice_core::types::WireName;

/// What the publisher does: level 19, the content's size in the header.
fn compress(plain: &[u8], dictionary: &[u8]) -> Vec<u8> {
    zstd::bulk::Compressor::with_dictionary(19, dictionary).unwrap().compress(plain).unwrap()
}

fn plain_frames(count: u64) -> Vec<Vec<u8>> {
    build(&records(count, 5), SMALL).frames.into_iter().map(|frame| frame.plain).collect()
}

fn train(samples: &[Vec<u8>], len: usize) -> Vec<u8> {
    zstd::dict::from_samples(samples, len).unwrap()
}

struct Dictionary {
    plain: Vec<u8>,
    wire: Vec<u8>,
    name: WireName,
}

fn dictionary(samples: &[Vec<u8>], len: usize) -> Dictionary {
    let plain = train(samples, len);
    let wire = compress(&plain, &[]);
    let name = hash::wire_name(&wire);
    Dictionary { plain, wire, name }
}

fn install(decoder: &mut Decoder, dictionary: &Dictionary) {
    let len = u32::try_from(dictionary.plain.len()).unwrap();
    decoder.install_dictionary(dictionary.name, &dictionary.wire, len).unwrap();
}

#[test]
fn frames_of_the_c_library_decode_with_one_reused_decoder() {
    let mut decoder = Decoder::new();
    let mut rng = Rng(1);
    let mut cases = plain_frames(1500);
    cases.extend([vec![7], vec![0; 300_000], rng.bytes(200_000), rng.bytes(255)]);
    let mixed: Vec<u8> = cases.concat();
    cases.push(mixed);
    for plain in &cases {
        let wire = compress(plain, &[]);
        let decoded = decoder.decode(&wire, plain.len() as u64, None).unwrap();
        assert!(decoded == *plain);
    }
}

#[test]
fn frames_decode_with_trained_dictionaries() {
    let samples = plain_frames(3000);
    let first = dictionary(&samples, 16 << 10);
    let second = dictionary(&samples[..samples.len() / 2], 8 << 10);
    let mut decoder = Decoder::new();
    install(&mut decoder, &first);
    install(&mut decoder, &second);
    for plain in samples.iter().step_by(5) {
        for dictionary in [&first, &second] {
            let wire = compress(plain, &dictionary.plain);
            assert!(wire.len() < compress(plain, &[]).len());
            let len = plain.len() as u64;
            assert!(decoder.decode(&wire, len, Some(&dictionary.name)).unwrap() == *plain);
            assert!(decoder.decode(&wire, len, None).is_err());
        }
        let wire = compress(plain, &[]);
        assert!(decoder.decode(&wire, plain.len() as u64, None).unwrap() == *plain);
    }
}

#[test]
fn long_frames_decode_with_a_dictionary() {
    let samples = plain_frames(8000);
    let dictionary = dictionary(&samples, MAX_DICTIONARY_LEN);
    let plain = samples.concat();
    assert!(plain.len() > 512 << 10);
    let mut decoder = Decoder::new();
    install(&mut decoder, &dictionary);
    // Prepared once for many frames, as a publisher does: the library then caps the window.
    let prepared = zstd::dict::EncoderDictionary::copy(&dictionary.plain, 19);
    let mut compressor = zstd::bulk::Compressor::with_prepared_dictionary(&prepared).unwrap();
    let wire = compressor.compress(&plain).unwrap();
    let decoded = decoder.decode(&wire, plain.len() as u64, Some(&dictionary.name)).unwrap();
    assert!(decoded == plain);
}

#[test]
fn dictionaries_of_one_id_are_told_apart_by_name() {
    let samples = plain_frames(3000);
    let first = dictionary(&samples, 16 << 10);
    let mut plain = train(&samples[..samples.len() / 3], 8 << 10);
    plain[4..8].copy_from_slice(&first.plain[4..8]);
    let wire = compress(&plain, &[]);
    let second = Dictionary { name: hash::wire_name(&wire), plain, wire };
    let mut decoder = Decoder::new();
    install(&mut decoder, &first);
    install(&mut decoder, &second);
    let sample = &samples[3];
    for dictionary in [&first, &second] {
        let wire = compress(sample, &dictionary.plain);
        let len = sample.len() as u64;
        assert!(decoder.decode(&wire, len, Some(&dictionary.name)).unwrap() == *sample);
    }
}

#[test]
fn the_oldest_dictionary_makes_room() {
    let samples = plain_frames(3000);
    let all: Vec<_> =
        (0..=DICTIONARY_SLOTS).map(|n| dictionary(&samples[n * 4..], 4 << 10)).collect();
    let mut decoder = Decoder::new();
    for dictionary in &all {
        install(&mut decoder, dictionary);
        assert!(decoder.has_dictionary(&dictionary.name));
    }
    assert!(!decoder.has_dictionary(&all[0].name));
    let wire = compress(&samples[0], &all[0].plain);
    let error = decoder.decode(&wire, samples[0].len() as u64, Some(&all[0].name)).unwrap_err();
    assert_eq!(error.code(), "misuse/no-dictionary");
    for dictionary in &all[1..] {
        let wire = compress(&samples[0], &dictionary.plain);
        let len = samples[0].len() as u64;
        assert!(decoder.decode(&wire, len, Some(&dictionary.name)).unwrap() == samples[0]);
    }
}

#[test]
fn the_signed_length_is_exact() {
    let plain = plain_frames(200).concat();
    let wire = compress(&plain, &[]);
    let mut decoder = Decoder::new();
    for wrong in [0, 1, plain.len() - 1, plain.len() + 1, 2 * plain.len()] {
        let error = decoder.decode(&wire, wrong as u64, None).unwrap_err();
        assert_eq!(error.code(), "format/frame");
    }
    let error = decoder.decode(&wire, u64::MAX, None).unwrap_err();
    assert_eq!(error.code(), "format/too-large");
}

#[test]
fn only_one_frame_fills_the_input() {
    let plain = plain_frames(200).concat();
    let wire = compress(&plain, &[]);
    let mut decoder = Decoder::new();
    let mut decode = |wire: &[u8]| decoder.decode(wire, plain.len() as u64, None);
    let code = |result: Result<Vec<u8>, packice_core::error::Error>| result.unwrap_err().code();
    assert_eq!(code(decode(&[wire.as_slice(), b"x"].concat())), "format/trailing-bytes");
    assert_eq!(code(decode(&[wire.clone(), wire.clone()].concat())), "format/trailing-bytes");
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
    assert_eq!(code(decode(&[&skippable, wire.as_slice()].concat())), "format/frame");
    assert_eq!(code(decode(&[wire.as_slice(), &skippable].concat())), "format/trailing-bytes");
    assert_eq!(code(decode(b"")), "format/frame");
    assert!(decode(&wire).is_ok(), "the decoder must survive all that");
}

#[test]
fn an_expanding_frame_stops_at_its_signed_length() {
    let bomb = compress(&vec![0; 5 << 20], &[]);
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&bomb, 1000, None).unwrap_err().code(), "format/frame");
    // The same without the size in the header: the window alone is asked for.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).unwrap();
    encoder.include_contentsize(false).unwrap();
    std::io::Write::write_all(&mut encoder, &vec![0; 5 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert_eq!(decoder.decode(&bomb, 1000, None).unwrap_err().code(), "format/frame");
}

#[test]
fn damaged_frames_end_in_an_error_or_the_signed_length() {
    let samples = plain_frames(2500);
    let dictionary = dictionary(&samples, 8 << 10);
    let mut decoder = Decoder::new();
    install(&mut decoder, &dictionary);
    let mut rng = Rng(9);
    for plain in samples.iter().step_by(samples.len() / 6) {
        let len = plain.len() as u64;
        for (dict, name) in [(&[][..], None), (&dictionary.plain, Some(&dictionary.name))] {
            let wire = compress(plain, dict);
            for end in (0..wire.len()).step_by(7) {
                assert!(decoder.decode(&wire[..end], len, name).is_err());
            }
            for _ in 0..400 {
                let mut bad = wire.clone();
                for _ in 0..=rng.below(3) {
                    let at = rng.below(bad.len() as u64) as usize;
                    bad[at] ^= 1 << rng.below(8);
                }
                if let Ok(out) = decoder.decode(&bad, len, name) {
                    assert_eq!(out.len(), plain.len());
                }
            }
            assert!(decoder.decode(&wire, len, name).unwrap() == *plain);
        }
    }
    for len in 0..200 {
        let mut noise = vec![0x28, 0xb5, 0x2f, 0xfd];
        noise.extend(rng.bytes(len));
        if let Ok(out) = decoder.decode(&noise, 100, None) {
            assert_eq!(out.len(), 100);
        }
    }
}

#[test]
fn what_is_no_dictionary_is_not_installed() {
    let mut decoder = Decoder::new();
    let wire = compress(&[7; 4000], &[]);
    let name = hash::wire_name(&wire);
    let error = decoder.install_dictionary(name, &wire, 4000).unwrap_err();
    assert_eq!(error.code(), "format/frame");
    assert!(!decoder.has_dictionary(&name));
    let error = decoder.install_dictionary(name, &wire, 200_000).unwrap_err();
    assert_eq!(error.code(), "format/too-large");
}
