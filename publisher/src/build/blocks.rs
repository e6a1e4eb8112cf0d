//! A build's tree, read block by block: for comparing two builds.
//!
//! Layouts are held whole, frames are decoded as they are asked for, the last few are kept.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use packice_core::error::{Error, TrustError};
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::Collection;
use packice_core::format::node::{Child, Node};
use packice_core::frame::Decoder;
use packice_core::hash::wire_name;
use packice_core::tree::diff::Blocks;
use packice_core::tree::index::{Index, Located};
use packice_core::tree::verify::{VerifiedFrame, verify_frame};
use packice_core::types::{Identity, ObjectKind, WireName};

use super::objects::ObjectDir;
use crate::failure::{Failure, Result, on_file};

/// Decoded frames that are kept.
const KEPT_FRAMES: usize = 4;

/// Where a frame stands.
struct FramePlace {
    child: Child,
    upper: Option<Vec<u8>>,
    bundle: WireName,
    offset: u64,
    len: usize,
    name: WireName,
}

/// The tree of one collection of a build.
pub struct BuildTree {
    objects: ObjectDir,
    dictionary: Option<WireName>,
    decoder: Decoder,
    /// Nodes of level 2 and above.
    nodes: BTreeMap<Identity, Node>,
    frames: BTreeMap<Identity, FramePlace>,
    kept: VecDeque<VerifiedFrame>,
}

impl BuildTree {
    /// Reads a collection's layout and dictionary.
    pub fn open(objects: &ObjectDir, collection: &Collection) -> Result<Self> {
        let base = &collection.base;
        let directory = Directory::parse(&objects.read(ObjectKind::Layout, &base.directory.name)?)?;
        let mut nodes: Vec<Node> = directory.nodes.clone();
        let names: Vec<WireName> = directory.pages.iter().map(|page| page.object.name).collect();
        let mut index = Index::new(base, directory)?;
        for (at, name) in (0u32..).zip(names) {
            let page = Page::parse(&objects.read(ObjectKind::Layout, &name)?)?;
            nodes.extend(page.nodes.iter().cloned());
            index.add_page(at, page)?;
        }
        let mut decoder = Decoder::new();
        if let Some(dictionary) = &base.dictionary {
            let name = dictionary.object.name;
            let wire = objects.read(ObjectKind::Dictionary, &name)?;
            decoder.install_dictionary(name, &wire, dictionary.plain_len)?;
        }
        Ok(Self {
            objects: objects.clone(),
            dictionary: base.dictionary.map(|dictionary| dictionary.object.name),
            decoder,
            nodes: nodes.into_iter().map(|node| (node.identity(), node)).collect(),
            frames: places(&index),
            kept: VecDeque::new(),
        })
    }

    /// The frame of an entry, decoded and checked.
    fn frame(&mut self, child: &Child) -> Result<&VerifiedFrame> {
        let missing = || Failure::from(Error::Trust(TrustError::LayoutMismatch));
        let place = self.frames.get(&child.identity).ok_or_else(missing)?;
        let wire = read_at(&self.objects, place)?;
        if wire_name(&wire) != place.name {
            return Err(Failure::verification("a frame does not have the hash it is named by"));
        }
        let plain = self.decoder.decode(&wire, place.child.plain_len, self.dictionary.as_ref())?;
        let frame = verify_frame(&place.child, place.upper.as_deref(), plain)?;
        if self.kept.len() == KEPT_FRAMES {
            self.kept.pop_front();
        }
        self.kept.push_back(frame);
        self.kept.back().ok_or_else(missing)
    }
}

fn places(index: &Index) -> BTreeMap<Identity, FramePlace> {
    let mut places = BTreeMap::new();
    let mut next = index.first();
    while let Some(Located::Frame(id)) = next {
        if let Some(info) = index.frame(id) {
            let place = FramePlace {
                child: info.child.clone(),
                upper: info.upper.map(<[u8]>::to_vec),
                bundle: info.bundle.name,
                offset: info.offset,
                len: info.wire.wire_len as usize,
                name: info.wire.name,
            };
            places.insert(info.child.identity, place);
        }
        next = index.next(id);
    }
    places
}

fn read_at(objects: &ObjectDir, place: &FramePlace) -> Result<Vec<u8>> {
    let path = objects.object_path(ObjectKind::Bundle, &place.bundle);
    let mut file = File::open(&path).map_err(on_file("read", &path))?;
    file.seek(SeekFrom::Start(place.offset)).map_err(on_file("read", &path))?;
    let mut wire = vec![0u8; place.len];
    file.read_exact(&mut wire).map_err(on_file("read", &path))?;
    Ok(wire)
}

impl Blocks for BuildTree {
    type Error = Failure;

    fn node(&mut self, child: &Child, level: u8) -> Result<Node> {
        match level {
            1 => Ok(self.frame(child)?.node().clone()),
            _ => self
                .nodes
                .get(&child.identity)
                .cloned()
                .ok_or_else(|| Error::Trust(TrustError::LayoutMismatch).into()),
        }
    }

    fn leaf(&mut self, child: &Child) -> Result<Vec<u8>> {
        let leaf_of = |frame: &VerifiedFrame| {
            let at = frame.node().children.iter().position(|leaf| leaf.identity == child.identity);
            at.and_then(|at| frame.leaf(at)).map(<[u8]>::to_vec)
        };
        // A leaf is asked for after its frame's node.
        self.kept
            .iter()
            .rev()
            .find_map(leaf_of)
            .ok_or_else(|| Failure::internal("a leaf was asked for before its frame"))
    }
}
