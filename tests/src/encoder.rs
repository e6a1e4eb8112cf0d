//! The pinned zstd encoder for the vectors, with a recording of what it made.

use packice_core::types::hex;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, Strategy};

use crate::vectors::{Encoder, Format, Recorded, Vector, encoder_key};

/// The C library, at the publisher's parameters (publisher/src/build/compress.rs).
#[derive(Debug, Default)]
pub struct Pinned {
    /// What it made so far.
    pub recorded: Recorded,
}

impl Pinned {
    /// What was made, as a file of vectors.
    pub fn format(&self) -> Format {
        let vector = |(key, bytes): (&String, &Vec<u8>)| Vector {
            name: key.clone(),
            bytes: bytes.clone(),
            ..Vector::default()
        };
        Format {
            name: "encoder",
            spec: "docs/spec/frame-and-bundle.md",
            about: "What the pinned encoder made, by the hash of what it was given: no format, but \
                    what the other vectors are made from where there is no C library.",
            vectors: self.recorded.made.iter().map(vector).collect(),
        }
    }

    fn record(&mut self, key: String, bytes: Vec<u8>) -> Vec<u8> {
        self.recorded.made.insert(key, bytes.clone());
        bytes
    }
}

impl Encoder for Pinned {
    fn train(&mut self, samples: &[&[u8]], max_len: usize) -> Vec<u8> {
        let made = zstd::dict::from_samples(samples, max_len).expect("enough samples");
        self.record(encoder_key(samples, None), made)
    }

    fn compress(&mut self, plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8> {
        let made = encode(plain, dictionary);
        self.record(encoder_key(&[plain], dictionary), made)
    }
}

/// One frame, every parameter set.
fn encode(plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8> {
    let mut encoder =
        Compressor::with_dictionary(19, dictionary.unwrap_or_default()).expect("an encoder");
    let parameters = [
        CParameter::WindowLog(22),
        CParameter::ChainLog(23),
        CParameter::HashLog(22),
        CParameter::SearchLog(8),
        CParameter::MinMatch(3),
        CParameter::TargetLength(256),
        CParameter::Strategy(Strategy::ZSTD_btultra2),
        CParameter::EnableLongDistanceMatching(false),
        CParameter::ChecksumFlag(false),
        CParameter::ContentSizeFlag(true),
        CParameter::DictIdFlag(true),
        CParameter::NbWorkers(0),
    ];
    for parameter in parameters {
        encoder.set_parameter(parameter).expect("a parameter that the library knows");
    }
    encoder.compress(plain).expect("compressed bytes")
}

/// The files that hold the vectors, by name.
pub fn files() -> Vec<(String, String)> {
    let mut encoder = Pinned::default();
    let mut formats = crate::vectors::generate(&mut encoder);
    formats.push(encoder.format());
    formats.iter().map(|format| (format!("{}.json", format.name), json(format))).collect()
}

/// A format's vectors as JSON, one field a line.
fn json(format: &Format) -> String {
    let vectors: Vec<_> = format.vectors.iter().map(vector_json).collect();
    let file = serde_json::json!({
        "format": format.name,
        "spec": format.spec,
        "about": format.about,
        "vectors": vectors,
    });
    let mut text = serde_json::to_string_pretty(&file).expect("plain values");
    text.push('\n');
    text
}

fn vector_json(vector: &Vector) -> serde_json::Value {
    let mut map = serde_json::Map::new();
    map.insert("name".into(), vector.name.as_str().into());
    if !vector.about.is_empty() {
        map.insert("about".into(), vector.about.as_str().into());
    }
    for (name, value) in &vector.facts {
        map.insert((*name).into(), value.as_str().into());
    }
    if vector.lines.is_empty() || !vector.bytes.is_empty() {
        map.insert("bytes".into(), hex(&vector.bytes).into());
    }
    if !vector.lines.is_empty() {
        map.insert("lines".into(), vector.lines.clone().into());
    }
    map.into()
}
