//! The dataset that the vectors are of: three collections, built as a publisher builds them.

use std::collections::BTreeMap;

use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Collection, Dictionary, Params};
use packice_core::hash;
use packice_core::tree::build::{BuiltFrame, BuiltTree, TreeBuilder};
use packice_core::tree::index::{Index, Located};
use packice_core::tree::layout::{BuiltLayout, LayoutBuilder};
use packice_core::tree::proof;
use packice_core::tree::verify::verify_frame;
use packice_core::types::{Name, ObjectRef, Version};

use super::Encoder;

/// Records by key.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small targets, so that few records make a tree of three levels.
pub(super) const PARAMS: Params =
    Params { leaf_target: 1024, frame_target: 4096, node_target: 1024 };

/// What [`token`]s are, in words.
pub(super) const TOKENS: &str = "token/NNNNNN (six digits) -> {\"symbol\":\"T<i mod 97>\",\
     \"decimals\":<i mod 19>,\"supply\":<7919 i>}";

/// The name of a text.
pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A record of the collection `tokens`.
pub(super) fn token(i: u64) -> (Vec<u8>, Vec<u8>) {
    let (symbol, decimals, supply) = (i % 97, i % 19, i * 7919);
    let value = format!("{{\"symbol\":\"T{symbol}\",\"decimals\":{decimals},\"supply\":{supply}}}");
    (format!("token/{i:06}").into_bytes(), value.into_bytes())
}

/// The first records of the collection `tokens`.
pub(super) fn tokens(count: u64) -> Records {
    (0..count).map(token).collect()
}

/// The collection `config`.
pub(super) fn config() -> Records {
    let record = |i: u64| (format!("setting/{i}").into_bytes(), format!("{}", i * i).into_bytes());
    (0..12).map(record).collect()
}

/// A collection, built and laid out.
pub(super) struct Built {
    /// How it stands in the manifest of version 1.
    pub entry: Collection,
    /// Its tree above the frames.
    pub tree: BuiltTree,
    /// Its frames.
    pub frames: Vec<BuiltFrame>,
    /// Its frames on the wire.
    pub wires: Vec<Vec<u8>>,
    /// Its bundles.
    pub bundles: Vec<Vec<u8>>,
    /// Its layout.
    pub layout: BuiltLayout,
    /// Its dictionary, plain and on the wire.
    pub dictionary: Option<(Vec<u8>, Vec<u8>)>,
}

/// A tree and its frames.
pub(super) fn build_tree(records: &Records) -> (BuiltTree, Vec<BuiltFrame>) {
    let mut builder = TreeBuilder::new(PARAMS).expect("parameters within bounds");
    let mut frames = Vec::new();
    for (key, value) in records {
        frames.extend(builder.push(key, value).expect("a record within bounds"));
    }
    let (last, tree) = builder.finish().expect("a tree within bounds");
    frames.extend(last);
    (tree, frames)
}

/// The reference to an object.
pub(super) fn object(bytes: &[u8]) -> ObjectRef {
    ObjectRef { name: hash::wire_name(bytes), len: bytes.len() as u64 }
}

impl Built {
    fn new(
        encoder: &mut impl Encoder,
        title: &str,
        priority: u8,
        records: &Records,
        dictionary: bool,
    ) -> Self {
        let (tree, frames) = build_tree(records);
        let dictionary = dictionary.then(|| {
            let samples: Vec<&[u8]> = frames.iter().map(|frame| frame.plain.as_slice()).collect();
            let plain = encoder.train(&samples, 2048);
            let wire = encoder.compress(&plain, None);
            (plain, wire)
        });
        let plain_dictionary = dictionary.as_ref().map(|(plain, _)| plain.as_slice());
        let mut builder = LayoutBuilder::new();
        let (mut wires, mut bundles, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for frame in &frames {
            let wire = encoder.compress(&frame.plain, plain_dictionary);
            open.extend_from_slice(&wire);
            let placed = builder.push(frame, &wire).expect("a frame within bounds");
            wires.push(wire);
            if placed.ends_bundle.is_some() {
                bundles.push(std::mem::take(&mut open));
            }
        }
        let layout = builder.finish(&tree).expect("a layout within bounds");
        bundles.extend(layout.last_bundle.map(|_| open));
        let entry = Collection {
            name: name(title),
            priority,
            lazy: priority > 0,
            params: PARAMS,
            tree: tree.info,
            base: Base {
                version: Version(1),
                tree: tree.info,
                directory: layout.directory.object,
                wire_len: layout.wire_len,
                bundles: layout.bundles,
                frames: layout.frames,
                dictionary: dictionary.as_ref().map(|(plain, wire)| Dictionary {
                    epoch: 1,
                    object: object(wire),
                    plain_len: u32::try_from(plain.len()).expect("a short dictionary"),
                }),
            },
            overlay: None,
            deltas: Vec::new(),
        };
        Self { entry, tree, frames, wires, bundles, layout, dictionary }
    }

    /// The proof for a key.
    pub(super) fn prove(&self, key: &[u8]) -> Vec<u8> {
        let parsed = Directory::parse(&self.layout.directory.bytes).expect("a directory");
        let mut index = Index::new(&self.entry.base, parsed).expect("a layout that fits");
        for (at, page) in (0u32..).zip(&self.layout.pages) {
            let page = Page::parse(&page.bytes).expect("a page");
            index.add_page(at, page).expect("a page that fits");
        }
        let Some(Located::Frame(id)) = index.locate(key) else { panic!("all pages are held") };
        let info = index.frame(id).expect("a frame");
        let built = self.frames.iter().find(|frame| frame.child == *info.child);
        let plain = built.expect("a frame of the tree").plain.clone();
        let frame = verify_frame(info.child, info.upper, plain).expect("a frame that fits");
        proof::prove(index.path(id).expect("a path"), &frame, key)
    }
}

/// The whole dataset.
pub(super) struct World {
    /// Priority 0, one frame, no dictionary.
    pub config: Built,
    /// No record.
    pub empty: Built,
    /// Priority 1, a tree of three levels, a dictionary.
    pub tokens: Built,
    /// The first frame of `tokens` compressed without the dictionary.
    pub undictioned: Vec<u8>,
}

/// How many records `tokens` has.
pub(super) const TOKEN_COUNT: u64 = 2500;

impl World {
    pub(super) fn new(encoder: &mut impl Encoder) -> Self {
        let config = Built::new(encoder, "config", 0, &config(), false);
        let empty = Built::new(encoder, "empty", 1, &Records::new(), false);
        let tokens = Built::new(encoder, "tokens", 1, &tokens(TOKEN_COUNT), true);
        let undictioned = encoder.compress(&tokens.frames[0].plain, None);
        Self { config, empty, tokens, undictioned }
    }

    /// All collections, by name.
    pub(super) fn all(&self) -> [&Built; 3] {
        [&self.config, &self.empty, &self.tokens]
    }
}
