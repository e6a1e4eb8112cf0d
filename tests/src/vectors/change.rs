//! The vectors of change: a delta segment, a layer's directory and page, and what they lead to.

use packice_core::delta::{diff, pack};
use packice_core::format::layer::{Change, LayerDirectory, LayerPageRef, PageBody, Patch};
use packice_core::format::manifest::TreeInfo;
use packice_core::limits::LAYER_PAGE_TARGET;
use packice_core::tree::layer::LayerWriter;

use super::data::{TOKEN_COUNT, build_tree, object, token, tokens};
use super::{Format, Vector};

/// One step of the collection `tokens`, from version 1 to version 2.
pub(super) struct Step {
    pub segment: Vec<u8>,
    pub segment_plain_len: u64,
    pub directory: Vec<u8>,
    pub page: Vec<u8>,
    pub operations: u64,
    pub tree: TreeInfo,
}

/// What the step does: an update, a deletion, an insertion.
const ABOUT: &str = "token/000010 has the value {}, token/000500 is gone, token/000777x is new, \
                     with the value {\"new\":true}";

pub(super) fn step() -> Step {
    let old = tokens(TOKEN_COUNT);
    let added = [token(777).0.as_slice(), b"x"].concat();
    let changes = [
        (token(10).0, Change::Update(b"{}".to_vec())),
        (token(500).0, Change::Delete),
        (added, Change::Insert(b"{\"new\":true}".to_vec())),
    ];
    let mut new = old.clone();
    let mut writer = LayerWriter::new(LAYER_PAGE_TARGET);
    let mut pages = Vec::new();
    for (key, change) in &changes {
        pages.extend(writer.push(key, change));
        match change.value() {
            Some(value) => _ = new.insert(key.clone(), value.to_vec()),
            None => _ = new.remove(key),
        }
    }
    let operations = writer.operations();
    pages.extend(writer.finish());
    let [page] = pages.as_slice() else { panic!("a layer of one page") };
    let (tree, frames) = build_tree(&new);
    let (_, below) = build_tree(&old);
    let patch = Patch::between(below.iter().map(|f| &f.child), frames.iter().map(|f| &f.child));
    let bytes = PageBody::Raw(&page.plain).encode();
    let plain_len = page.plain.len() as u64;
    let page_ref = LayerPageRef { start: page.start.clone(), object: object(&bytes), plain_len };
    let directory = LayerDirectory { operations, patch, pages: vec![page_ref] };
    let list = |records: super::data::Records| -> Vec<_> { records.into_iter().collect() };
    let (old, new) = (list(old), list(new));
    let ops = diff(old.as_slice(), new.as_slice());
    Step {
        segment: pack(old.as_slice(), &ops).expect("a segment within bounds"),
        segment_plain_len: ops.iter().map(packice_core::delta::Op::plain_len).sum(),
        directory: directory.encode(),
        page: bytes,
        operations,
        tree: tree.info,
    }
}

pub(super) fn formats() -> Vec<Format> {
    let step = step();
    vec![
        Format {
            name: "delta-segment",
            spec: "docs/spec/delta.md",
            about: "What changes between two versions of a key range.",
            vectors: vec![Vector::new("tokens", ABOUT, step.segment).named()],
        },
        Format {
            name: "layer",
            spec: "docs/spec/layer.md",
            about: "The directory of what stands over a base.",
            vectors: vec![
                Vector::new("tokens", ABOUT, step.directory)
                    .named()
                    .fact("root", step.tree.root)
                    .fact("records", step.tree.records),
            ],
        },
        Format {
            name: "layer-page",
            spec: "docs/spec/layer.md",
            about: "Entries over a base.",
            vectors: vec![Vector::new("tokens", ABOUT, step.page).named()],
        },
    ]
}
