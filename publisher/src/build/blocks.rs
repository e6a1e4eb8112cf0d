//! A build's tree, read block by block: for comparing two builds.
//!
//! Layouts are held whole, frames are decoded as they are asked for, the last few are kept.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;
use std::time::{Duration, Instant};

use packice_core::error::{Error, TrustError};
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Collection, Params};
use packice_core::format::node::{Child, Node};
use packice_core::frame::Decoder;
use packice_core::hash::wire_name;
use packice_core::tree::diff::Blocks;
use packice_core::tree::index::{Index, Located};
use packice_core::tree::layer::{Entries, compose};
use packice_core::tree::upper::UpperBuilder;
use packice_core::tree::verify::{VerifiedFrame, verify_frame};
use packice_core::types::{Identity, ObjectKind, WireName};

use super::objects::ObjectDir;
use super::overlay::OverlayPages;
use crate::failure::{Failure, Result, on_file};

/// How often a frame is decoded where that is timed; the shortest time counts.
const TIMED_RUNS: u32 = 3;
/// Decoded frames that are kept.
const KEPT_FRAMES: usize = 4;

/// What a read of one record costs, by the frames of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCost {
    /// Bytes on the wire of a record's frame; the mean over all records.
    pub frame_bytes: u64,
    /// Time to check, decode and verify a frame, as the light client does it; the mean over some.
    pub decode: Duration,
    /// Bytes of a record's proof up to the root, the mean over some.
    pub proof_bytes: u64,
}

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
    /// The frames of the base, in key order.
    frames: Vec<FramePlace>,
    /// Where each stands among them.
    places: BTreeMap<Identity, usize>,
    over: Option<Over>,
    kept: VecDeque<Rc<VerifiedFrame>>,
}

/// What stands over the base.
struct Over {
    params: Params,
    pages: OverlayPages,
    /// The frames of the version, in key order.
    frames: Vec<Child>,
}

impl BuildTree {
    /// Reads a collection's layout and dictionary.
    pub fn open(objects: &ObjectDir, base: &Base) -> Result<Self> {
        let directory = Directory::parse(&objects.read(ObjectKind::Layout, &base.directory.name)?)?;
        let mut nodes: Vec<Node> = directory.nodes.clone();
        let names: Vec<WireName> = directory.pages.iter().map(|page| page.object.name).collect();
        let mut index = Index::new(base, directory)?;
        for (at, name) in (0u32..).zip(names) {
            let page = Page::parse(&objects.read(ObjectKind::Layout, &name)?)?;
            nodes.extend(page.nodes.iter().cloned());
            index.add_page(at, page)?;
        }
        let frames = places(&index);
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
            nodes: by_identity(nodes),
            places: (0..).zip(&frames).map(|(at, place)| (place.child.identity, at)).collect(),
            frames,
            over: None,
            kept: VecDeque::new(),
        })
    }

    /// Reads what a version's tree is read from: its base, and its overlay where it has one.
    pub fn open_version(objects: &ObjectDir, collection: &Collection) -> Result<Self> {
        let mut tree = Self::open(objects, &collection.base)?;
        let Some(overlay) = &collection.overlay else { return Ok(tree) };
        let (params, pages) = (collection.params, OverlayPages::open(objects, overlay)?);
        let base = tree.frames.iter().map(|place| place.child.clone()).collect();
        let frames = pages.directory.patch.apply(base)?;
        let built = UpperBuilder::tree(params, &frames)?;
        if built.info != collection.tree {
            return Err(Error::Trust(TrustError::LayoutMismatch).into());
        }
        tree.nodes = by_identity(built.levels.into_iter().flatten());
        tree.over = Some(Over { params, pages, frames });
        Ok(tree)
    }

    /// Measures what a read costs, on at most so many frames that are spread evenly.
    pub fn read_cost(&mut self, most: usize) -> Result<ReadCost> {
        let mut by_name: Vec<&FramePlace> = self.frames.iter().collect();
        by_name.sort_unstable_by_key(|place| place.child.identity);
        let (mut records, mut weighted) = (0u128, 0u128);
        for place in &by_name {
            records += u128::from(place.child.records);
            weighted += u128::from(place.child.records) * place.len as u128;
        }
        // Identities are hashes: the first ones are spread evenly.
        let chosen: Vec<Child> =
            by_name.iter().take(most).map(|place| place.child.clone()).collect();
        let (mut decode, mut proof_bytes) = (Duration::ZERO, 0u64);
        for child in &chosen {
            let mut shortest = Duration::MAX;
            for _ in 0..TIMED_RUNS {
                shortest = shortest.min(self.timed_frame(child)?);
            }
            decode += shortest;
            let frame = self.frame(child)?;
            let node = frame.node();
            let leaves = node.children.len().max(1) as u64;
            proof_bytes += child.plain_len / leaves + node.encode().len() as u64;
        }
        let count = u32::try_from(chosen.len().max(1)).unwrap_or(u32::MAX);
        let upper: u64 = self.nodes.values().map(|node| node.encode().len() as u64).sum();
        let levels = self.nodes.values().map(|node| u64::from(node.level)).max().unwrap_or(1) - 1;
        let upper = upper / self.nodes.len().max(1) as u64 * levels;
        Ok(ReadCost {
            frame_bytes: u64::try_from(weighted / records.max(1)).unwrap_or(u64::MAX),
            decode: decode / count,
            proof_bytes: proof_bytes / u64::from(count) + upper,
        })
    }

    /// How long it takes to check, decode and verify a frame that is in memory.
    fn timed_frame(&mut self, child: &Child) -> Result<Duration> {
        let place = self.places.get(&child.identity).and_then(|at| self.frames.get(*at));
        let wire = read_at(&self.objects, place.ok_or_else(missing)?)?;
        let begun = Instant::now();
        self.decode(child, &wire)?;
        Ok(begun.elapsed())
    }

    /// Checks and decodes a frame of the base.
    fn decode(&mut self, child: &Child, wire: &[u8]) -> Result<VerifiedFrame> {
        let place = self.places.get(&child.identity).and_then(|at| self.frames.get(*at));
        let place = place.ok_or_else(missing)?;
        if wire_name(wire) != place.name {
            return Err(Failure::verification("a frame does not have the hash it is named by"));
        }
        let plain = self.decoder.decode(wire, place.child.plain_len, self.dictionary.as_ref())?;
        Ok(verify_frame(&place.child, place.upper.as_deref(), plain)?)
    }

    /// The frame of an entry, decoded and checked.
    fn frame(&mut self, child: &Child) -> Result<Rc<VerifiedFrame>> {
        let held = |frame: &&Rc<VerifiedFrame>| frame.node().identity() == child.identity;
        if let Some(frame) = self.kept.iter().find(held) {
            return Ok(frame.clone());
        }
        let place = self.places.get(&child.identity).and_then(|at| self.frames.get(*at));
        let frame = match place {
            Some(place) => {
                let wire = read_at(&self.objects, place)?;
                Rc::new(self.decode(child, &wire)?)
            }
            None => Rc::new(self.composed(child)?),
        };
        if self.kept.len() == KEPT_FRAMES {
            self.kept.pop_front();
        }
        self.kept.push_back(frame.clone());
        Ok(frame)
    }

    /// A frame that the base does not have, put together through the overlay.
    fn composed(&mut self, child: &Child) -> Result<VerifiedFrame> {
        let over = self.over.as_ref().ok_or_else(missing)?;
        let at = over.frames.partition_point(|frame| frame.separator <= child.separator);
        let upper = over.frames.get(at).map(|next| next.separator.clone());
        let (start, end) = (child.separator.as_slice(), upper.as_deref());
        let (params, mut entries) = (over.params, Entries::default());
        for number in over.pages.directory.pages_of(start, end) {
            entries.lay_page(&over.pages.page(number)?, start, end);
        }
        let first = self.frames.partition_point(|place| place.child.separator.as_slice() <= start);
        let below: Vec<Child> = self.frames[first.saturating_sub(1)..]
            .iter()
            .map(|place| &place.child)
            .take_while(|below| end.is_none_or(|end| below.separator.as_slice() < end))
            .cloned()
            .collect();
        let below = below.iter().map(|child| self.frame(child)).collect::<Result<Vec<_>>>()?;
        let plain = compose(&params, &below, entries.list(), start, end)?;
        Ok(verify_frame(child, end, plain)?)
    }
}

fn missing() -> Failure {
    Error::Trust(TrustError::LayoutMismatch).into()
}

fn by_identity(nodes: impl IntoIterator<Item = Node>) -> BTreeMap<Identity, Node> {
    nodes.into_iter().map(|node| (node.identity(), node)).collect()
}

fn places(index: &Index) -> Vec<FramePlace> {
    let mut places = Vec::new();
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
            places.push(place);
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
        let leaf_of = |frame: &Rc<VerifiedFrame>| {
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
