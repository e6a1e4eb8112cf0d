//! Shared by the tests of trees: made-up records, whole snapshots in memory, the slow oracle.
// Each test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;

use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Params, TreeInfo};
use packice_core::format::node::{Child, Node};
use packice_core::hash;
use packice_core::tree::build::{BuiltFrame, BuiltTree, TreeBuilder};
use packice_core::tree::index::{Index, Located};
use packice_core::tree::layout::{BuiltLayout, LayoutBuilder};
use packice_core::tree::verify::{VerifiedFrame, verify_frame};
use packice_core::types::{ObjectRef, Version, WireName};

pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small targets, so that a few thousand records make a tree of several levels and pages.
pub const SMALL: Params = Params { leaf_target: 1024, frame_target: 4096, node_target: 1024 };

/// A fixed sequence of pseudo-random numbers (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Records with keys that share prefixes and values that repeat, as real sets have.
pub fn records(count: u64, seed: u64) -> Records {
    let mut rng = Rng(seed);
    let mut records = Records::new();
    while (records.len() as u64) < count {
        let id = rng.below(count * 20);
        let value_len = 10 + rng.below(60) as usize;
        let mut value =
            format!("{{\"name\":\"token {}\",\"decimals\":18,\"n\":", id % 97).into_bytes();
        value.extend(rng.bytes(value_len));
        records.insert(format!("chain-{}/{:08x}", id % 7, id).into_bytes(), value);
    }
    records
}

pub struct Built {
    pub frames: Vec<BuiltFrame>,
    pub tree: BuiltTree,
}

pub fn build(records: &Records, params: Params) -> Built {
    let mut builder = TreeBuilder::new(params).unwrap();
    let mut frames = Vec::new();
    for (key, value) in records {
        frames.extend(builder.push(key, value).unwrap());
    }
    let (last, tree) = builder.finish().unwrap();
    frames.extend(last);
    Built { frames, tree }
}

/// A snapshot in memory, its "wire" bytes the frames' plain bytes with a byte in front: nothing
/// here depends on the compressor.
pub struct Snapshot {
    pub built: Built,
    pub layout: BuiltLayout,
    pub base: Base,
    pub bundles: BTreeMap<WireName, Vec<u8>>,
}

pub fn wire_of(plain: &[u8]) -> Vec<u8> {
    let mut wire = vec![b'w'];
    wire.extend_from_slice(plain);
    wire
}

pub fn snapshot(records: &Records, params: Params) -> Snapshot {
    let built = build(records, params);
    let mut builder = LayoutBuilder::new();
    let mut bundles = BTreeMap::new();
    let mut open = Vec::new();
    for frame in &built.frames {
        let wire = wire_of(&frame.plain);
        let placed = builder.push(frame, &wire).unwrap();
        open.extend_from_slice(&wire);
        if let Some(object) = placed.ends_bundle {
            assert_eq!(object, reference(&open));
            bundles.insert(object.name, std::mem::take(&mut open));
        }
    }
    let layout = builder.finish(&built.tree).unwrap();
    if let Some(object) = layout.last_bundle {
        assert_eq!(object, reference(&open));
        bundles.insert(object.name, std::mem::take(&mut open));
    }
    assert!(open.is_empty());
    let base = Base {
        version: Version(1),
        tree: built.tree.info,
        directory: layout.directory.object,
        wire_len: layout.wire_len,
        bundles: layout.bundles,
        frames: layout.frames,
        dictionary: None,
    };
    Snapshot { built, layout, base, bundles }
}

pub fn reference(bytes: &[u8]) -> ObjectRef {
    ObjectRef { name: hash::wire_name(bytes), len: bytes.len() as u64 }
}

impl Snapshot {
    pub fn directory(&self) -> Directory {
        Directory::parse(&self.layout.directory.bytes).unwrap()
    }

    pub fn page(&self, at: usize) -> Page {
        Page::parse(&self.layout.pages[at].bytes).unwrap()
    }

    pub fn index(&self) -> Index {
        let mut index = Index::new(&self.base, self.directory()).unwrap();
        for at in 0..self.layout.pages.len() {
            index.add_page(at as u32, self.page(at)).unwrap();
        }
        index
    }

    pub fn load(&self, index: &Index, id: packice_core::tree::index::FrameId) -> VerifiedFrame {
        let info = index.frame(id).unwrap();
        let bundle = &self.bundles[&info.bundle.name];
        let start = info.offset as usize;
        let wire = &bundle[start..start + info.wire.wire_len as usize];
        assert_eq!(hash::wire_name(wire), info.wire.name);
        verify_frame(info.child, info.upper, wire[1..].to_vec()).unwrap()
    }

    pub fn get(&self, index: &Index, key: &[u8]) -> Option<Vec<u8>> {
        match index.locate(key)? {
            Located::Page(page) => panic!("page {page} is not held"),
            Located::Frame(id) => self.load(index, id).get(key).map(<[u8]>::to_vec),
        }
    }
}

/// The slow oracle: the same rules, written from docs/spec/tree.md over whole lists, with exact
/// fractions in place of the streaming state.
pub mod oracle {
    use super::*;

    fn number(mut value: u64, out: &mut Vec<u8>) {
        loop {
            let low = (value % 128) as u8;
            value /= 128;
            if value == 0 {
                out.push(low);
                return;
            }
            out.push(low + 128);
        }
    }

    fn bytes(data: &[u8], out: &mut Vec<u8>) {
        number(data.len() as u64, out);
        out.extend_from_slice(data);
    }

    fn draw(key: &[u8], level: u8) -> u32 {
        let hash = blake3_of(key);
        let at = (level as usize % 8) * 4;
        u32::from_le_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]])
    }

    fn blake3_of(data: &[u8]) -> [u8; 32] {
        hash::identity(data).0
    }

    fn ends(word: u32, target: u32, block: usize, item: usize) -> bool {
        if block >= 4 * target as usize {
            return true;
        }
        let power = (target as u128).pow(4);
        let threshold = 4 * (block as u128).pow(3) * item as u128;
        (word as u128) * power < threshold << 32
    }

    fn encode_record(before: Option<&[u8]>, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut shared = 0;
        if let Some(before) = before {
            while shared < before.len() && shared < key.len() && before[shared] == key[shared] {
                shared += 1;
            }
        }
        let mut out = Vec::new();
        number(shared as u64, &mut out);
        bytes(&key[shared..], &mut out);
        bytes(value, &mut out);
        out
    }

    fn separator(before: Option<&[u8]>, first: &[u8]) -> Vec<u8> {
        let Some(before) = before else {
            return Vec::new();
        };
        (0..=first.len())
            .map(|len| first[..len].to_vec())
            .find(|prefix| prefix.as_slice() > before)
            .unwrap()
    }

    fn node_bytes(level: u8, children: &[Child]) -> Vec<u8> {
        let mut out = b"PKN1".to_vec();
        out.push(level);
        number(children.len() as u64, &mut out);
        for child in children {
            out.extend(child_bytes(child));
        }
        out
    }

    fn child_bytes(child: &Child) -> Vec<u8> {
        let mut out = Vec::new();
        bytes(&child.separator, &mut out);
        out.extend(child.identity.0);
        number(child.plain_len, &mut out);
        number(child.records, &mut out);
        out
    }

    fn parent(level: u8, children: &[Child]) -> Child {
        Child {
            separator: children.first().map(|c| c.separator.clone()).unwrap_or_default(),
            identity: hash::identity(&node_bytes(level, children)),
            plain_len: children.iter().map(|c| c.plain_len).sum(),
            records: children.iter().map(|c| c.records).sum(),
        }
    }

    pub fn leaves(records: &Records, params: Params) -> Vec<Child> {
        let list: Vec<_> = records.iter().collect();
        let mut leaves = Vec::new();
        let mut at = 0;
        while at < list.len() {
            let start = at;
            let mut body = Vec::new();
            loop {
                let before = (at > start).then(|| list[at - 1].0.as_slice());
                let record = encode_record(before, list[at].0, list[at].1);
                body.extend_from_slice(&record);
                at += 1;
                let word = draw(list[at - 1].0, 0);
                if at == list.len() || ends(word, params.leaf_target, body.len(), record.len()) {
                    break;
                }
            }
            let mut leaf = b"PKL1".to_vec();
            number((at - start) as u64, &mut leaf);
            leaf.extend(body);
            let before = start.checked_sub(1).map(|before| list[before].0.as_slice());
            leaves.push(Child {
                separator: separator(before, list[start].0),
                identity: hash::identity(&leaf),
                plain_len: leaf.len() as u64,
                records: (at - start) as u64,
            });
        }
        leaves
    }

    fn group(level: u8, items: &[Child], params: Params) -> Vec<Vec<Child>> {
        let mut groups = Vec::new();
        let mut open: Vec<Child> = Vec::new();
        let mut block = 0;
        let mut entries = 0;
        for item in items {
            let len = if level == 1 { item.plain_len as usize } else { child_bytes(item).len() };
            block += len;
            entries += child_bytes(item).len();
            open.push(item.clone());
            let word = draw(&item.separator, level);
            let target = if level == 1 { params.frame_target } else { params.node_target };
            let full = open.len() == 8192 || (level == 1 && entries >= 262_144);
            if (open.len() >= 2 || level == 1) && (full || ends(word, target, block, len)) {
                groups.push(std::mem::take(&mut open));
                block = 0;
                entries = 0;
            }
        }
        if !open.is_empty() {
            groups.push(open);
        }
        groups
    }

    /// The nodes of every level, from 1 up to the root.
    pub fn tree(records: &Records, params: Params) -> (TreeInfo, Vec<Vec<Node>>) {
        let mut items = leaves(records, params);
        let mut levels = Vec::new();
        for level in 1.. {
            let mut groups = group(level, &items, params);
            if groups.is_empty() {
                groups.push(Vec::new());
            }
            items = groups.iter().map(|children| parent(level, children)).collect();
            levels.push(
                groups.into_iter().map(|children| Node { level, children }).collect::<Vec<_>>(),
            );
            if items.len() == 1 {
                break;
            }
        }
        let info = TreeInfo {
            root: items[0].identity,
            level: levels.len() as u8,
            records: items[0].records,
            plain_len: items[0].plain_len,
        };
        (info, levels)
    }
}
