//! The frozen vectors of every format (tests/vectors): made here from fixed inputs.
//!
//! In scope: making them, the same on any machine, natively and in wasm; so nothing here needs C
//! code, and what the zstd encoder makes comes in through [`Encoder`]. Out of scope: writing and
//! comparing files (`files`, tests/tests/vectors.rs, tests/e2e/parity.test.mjs). This module is
//! compiled into `packice-tests` and into `packice-tests-wasm`, from this one source.
//!
//! A change of any vector is a change of a format: it needs a new version of the format, not a
//! new vector. Two files are not formats and may change with the code: `encoder`, what the pinned
//! encoder made, and `engine-trace`, what the engine did in one recorded run.

mod change;
mod client;
mod data;
mod tree;
mod trust;

use std::collections::BTreeMap;

use packice_core::hash;
use packice_core::types::hex;

/// The vectors of one format: one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The file's name without its ending.
    pub name: &'static str,
    /// Where the format is specified.
    pub spec: &'static str,
    /// What the format is.
    pub about: &'static str,
    /// The vectors.
    pub vectors: Vec<Vector>,
}

/// One vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    /// Its name within the format.
    pub name: String,
    /// The inputs, in words.
    pub about: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What else must come out: identities, names, lengths.
    pub facts: Vec<(&'static str, String)>,
    /// Text instead of bytes.
    pub lines: Vec<String>,
}

impl Vector {
    fn new(name: &str, about: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), about: about.into(), bytes, ..Self::default() }
    }

    fn fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    /// With the identity of its bytes.
    fn identified(self) -> Self {
        let identity = hash::identity(&self.bytes);
        self.fact("identity", identity)
    }

    /// With the wire name of its bytes.
    fn named(self) -> Self {
        let name = hash::wire_name(&self.bytes);
        self.fact("wire_name", name)
    }
}

/// What makes bytes that only the C library can make.
pub trait Encoder {
    /// A dictionary of at most so many bytes, trained on samples.
    fn train(&mut self, samples: &[&[u8]], max_len: usize) -> Vec<u8>;

    /// One zstd frame.
    fn compress(&mut self, plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8>;
}

/// Names what an [`Encoder`] was given, whatever it makes of it.
pub fn encoder_key(inputs: &[&[u8]], dictionary: Option<&[u8]>) -> String {
    let mut digests: Vec<u8> = inputs.iter().flat_map(|input| hash::identity(input).0).collect();
    digests.extend(dictionary.iter().flat_map(|dictionary| hash::identity(dictionary).0));
    hash::identity(&digests).to_hex()
}

/// Gives what a real encoder made before, by [`encoder_key`].
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What was made.
    pub made: BTreeMap<String, Vec<u8>>,
}

impl Recorded {
    /// Looks a recording up.
    fn find(&self, key: &str) -> Vec<u8> {
        self.made.get(key).cloned().unwrap_or_else(|| panic!("nothing was recorded for {key}"))
    }
}

impl Encoder for Recorded {
    fn train(&mut self, samples: &[&[u8]], _: usize) -> Vec<u8> {
        self.find(&encoder_key(samples, None))
    }

    fn compress(&mut self, plain: &[u8], dictionary: Option<&[u8]>) -> Vec<u8> {
        self.find(&encoder_key(&[plain], dictionary))
    }
}

/// Every vector but the encoder's own.
pub fn generate(encoder: &mut impl Encoder) -> Vec<Format> {
    let world = data::World::new(encoder);
    let log = trust::Releases::new(&world);
    let mut formats = tree::formats(&world);
    formats.extend(change::formats());
    formats.extend(trust::formats(&world, &log));
    formats.extend(client::formats(&world, &log));
    formats
}

/// The records that the vector of a delta segment starts from.
pub fn old_records() -> Vec<(Vec<u8>, Vec<u8>)> {
    data::tokens(data::TOKEN_COUNT).into_iter().collect()
}

/// The vectors as lines: `format/name=hex`, then `format/name:fact=text` and
/// `format/name@line=text`.
pub fn lines(formats: &[Format]) -> String {
    let mut out = String::new();
    for format in formats {
        for vector in &format.vectors {
            let place = format!("{}/{}", format.name, vector.name);
            out.push_str(&format!("{place}={}\n", hex(&vector.bytes)));
            for (fact, value) in &vector.facts {
                out.push_str(&format!("{place}:{fact}={value}\n"));
            }
            for (at, line) in vector.lines.iter().enumerate() {
                out.push_str(&format!("{place}@{at}={line}\n"));
            }
        }
    }
    out
}
