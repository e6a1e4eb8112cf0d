//! The core in wasm for the tests: makes the frozen vectors, builds trees, decodes frames. Driven
//! in Node and in Chromium by tests/e2e/parity.test.mjs, which compares with tests/vectors and
//! with what the publisher built natively.
//!
//! Out of scope: anything that ships. Nothing here is called with hostile bytes.

// Tests panic on purpose, and look for one variant among many.
#![allow(clippy::missing_panics_doc, clippy::wildcard_enum_match_arm)]

use packice_core::format::manifest::{Params, TreeInfo};
use packice_core::frame::Decoder;
use packice_core::hash;
use packice_core::tree::build::TreeBuilder;
use packice_core::types::WireName;
use wasm_bindgen::prelude::wasm_bindgen;

pub mod delta;
pub mod trust;
#[path = "../../src/vectors/mod.rs"]
pub mod vectors;

/// Every vector, as [`vectors::lines`] writes them. `encoder` is what the C library made, one
/// `key=hex` a line (tests/vectors/encoder.json).
#[wasm_bindgen]
pub fn regenerate_vectors(encoder: &str) -> Result<String, String> {
    let mut recorded = vectors::Recorded::default();
    for line in encoder.lines() {
        let (key, bytes) = line.split_once('=').ok_or("a line without =")?;
        recorded.made.insert(key.to_owned(), unhex(bytes)?);
    }
    Ok(vectors::lines(&vectors::generate(&mut recorded)))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let byte = |at| {
        let digits: Option<&str> = text.get(at..at + 2);
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or("no hexadecimal digits")
    };
    (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map_err(str::to_owned)
}

/// Decodes a frame, with a dictionary object where its bytes are not empty.
#[wasm_bindgen]
pub fn decode_check(
    wire: &[u8],
    plain_len: u32,
    dictionary: &[u8],
    dictionary_len: u32,
) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::new();
    let mut name: Option<WireName> = None;
    if !dictionary.is_empty() {
        let held = hash::wire_name(dictionary);
        let installed = decoder.install_dictionary(held, dictionary, dictionary_len);
        installed.map_err(|error| error.to_string())?;
        name = Some(held);
    }
    decoder.decode(wire, plain_len.into(), name.as_ref()).map_err(|error| error.to_string())
}

/// Builds a tree from records in key order and forgets all but its root.
#[wasm_bindgen]
#[derive(Debug)]
pub struct TreeRoot {
    builder: TreeBuilder,
    frames: u64,
}

/// A tree's root and totals.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Root {
    /// The root's identity.
    pub root: String,
    /// The root's level.
    pub level: u8,
    /// Records in all.
    pub records: u64,
    /// Canonical bytes of all leaves.
    pub plain_len: u64,
    /// How many frames.
    pub frames: u64,
}

#[wasm_bindgen]
impl TreeRoot {
    /// An empty tree.
    #[wasm_bindgen(constructor)]
    pub fn new(leaf_target: u32, frame_target: u32, node_target: u32) -> Result<TreeRoot, String> {
        let params = Params { leaf_target, frame_target, node_target };
        let builder = TreeBuilder::new(params).map_err(|error| error.to_string())?;
        Ok(Self { builder, frames: 0 })
    }

    /// Adds a record.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let ended = self.builder.push(key, value).map_err(|error| error.to_string())?;
        self.frames += u64::from(ended.is_some());
        Ok(())
    }

    /// Ends the tree.
    pub fn finish(self) -> Result<Root, String> {
        let (last, tree) = self.builder.finish().map_err(|error| error.to_string())?;
        let TreeInfo { root, level, records, plain_len } = tree.info;
        let frames = self.frames + u64::from(last.is_some());
        Ok(Root { root: root.to_hex(), level, records, plain_len, frames })
    }
}
