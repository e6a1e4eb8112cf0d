//! The manifest (docs/spec/manifest.md): one version of a dataset.
//!
//! It binds, for each collection, the root identity and what stands for it on the wire: the base
//! version's layout and dictionary, and the deltas that lead to the root. Every length that a
//! client allocates by stands here or in what is bound from here.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::limits::{
    FRAME_TARGET, LEAF_TARGET, MAX_COLLECTIONS, MAX_DELTAS, MAX_DICTIONARY_LEN, MAX_DIRECTORY_LEN,
    MAX_KEY_LEN, MAX_LAYER_LEN, MAX_LEVEL, MAX_MANIFEST_LEN, MAX_NUMBER, MAX_OBJECT_LEN,
    MAX_SEGMENTS, MAX_TEXT_LEN, NODE_TARGET,
};
use crate::types::{Identity, Name, ObjectRef, Version, WireName};

const MAGIC: &[u8; 4] = b"PKM1";
const LAZY: u8 = 1;
/// A dictionary has at least its magic bytes and its id.
const DICTIONARY_LEN: core::ops::RangeInclusive<u32> = 8..=MAX_DICTIONARY;
// The bound is far below 2^32.
#[allow(clippy::cast_possible_truncation)]
const MAX_DICTIONARY: u32 = MAX_DICTIONARY_LEN as u32;

/// One version of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The dataset.
    pub dataset: Name,
    /// The version.
    pub version: Version,
    /// The wire name of the manifest that this one was made after.
    pub parent: Option<WireName>,
    /// Where the content came from.
    pub provenance: Provenance,
    /// The collections, by name.
    pub collections: Vec<Collection>,
}

/// Where a version's content came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// BLAKE3 over the collections' sources as the publisher read them.
    pub source_digest: [u8; 32],
    /// The tool that built it, and its version.
    pub tool: String,
}

/// One collection of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The collection.
    pub name: Name,
    /// 0 is the bootstrap; lower comes first.
    pub priority: u8,
    /// Whether single frames may be fetched for reads before the collection is complete. It
    /// tells the edge which frame a user wants.
    pub lazy: bool,
    /// How the tree is cut.
    pub params: Params,
    /// The tree of this version.
    pub tree: TreeInfo,
    /// The version whose bundles stand for this one.
    pub base: Base,
    /// What leads from the base's tree to this version's: there where, and only where, the base
    /// is an older version of another root.
    pub overlay: Option<Overlay>,
    /// Deltas that lead to this version's tree, by the version they start from.
    pub deltas: Vec<Delta>,
}

/// How a tree is cut; the same input and parameters give the same root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Target of a leaf, in canonical bytes.
    pub leaf_target: u32,
    /// Target of the leaves under a level-1 node, in canonical bytes.
    pub frame_target: u32,
    /// Target of the entries of an upper node, in bytes.
    pub node_target: u32,
}

impl Default for Params {
    fn default() -> Self {
        Self { leaf_target: 16 << 10, frame_target: 256 << 10, node_target: 4 << 10 }
    }
}

/// A tree's root and totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeInfo {
    /// The root node's identity.
    pub root: Identity,
    /// The root node's level.
    pub level: u8,
    /// Records in all.
    pub records: u64,
    /// Canonical bytes of all leaves.
    pub plain_len: u64,
}

/// A version that bundles were made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The version.
    pub version: Version,
    /// Its tree; the manifest's own where this version is the base.
    pub tree: TreeInfo,
    /// The layout's directory.
    pub directory: ObjectRef,
    /// Bytes on the wire of all bundles.
    pub wire_len: u64,
    /// How many bundles.
    pub bundles: u64,
    /// How many frames.
    pub frames: u64,
    /// The dictionary of the frames.
    pub dictionary: Option<Dictionary>,
}

/// A published layer over the base (docs/spec/layer.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The layer's directory.
    pub directory: ObjectRef,
    /// Bytes on the wire of the directory and all pages.
    pub wire_len: u64,
    /// Entries of all pages.
    pub operations: u64,
}

/// A dictionary that frames were compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dictionary {
    /// The epoch: a new dictionary is a new epoch.
    pub epoch: u64,
    /// The compressed dictionary.
    pub object: ObjectRef,
    /// Its plain length.
    pub plain_len: u32,
}

/// A delta from an older version of the collection to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The version it starts from.
    pub from_version: Version,
    /// That version's root.
    pub from_root: Identity,
    /// How many operations.
    pub operations: u64,
    /// The segments, by start key.
    pub segments: Vec<Segment>,
}

/// A key range's part of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first key of the range.
    pub start: Vec<u8>,
    /// The segment on the wire.
    pub object: ObjectRef,
    /// Its plain length.
    pub plain_len: u64,
}

impl Manifest {
    /// The collection of a name.
    pub fn collection(&self, name: &str) -> Option<&Collection> {
        self.collections.iter().find(|collection| collection.name.as_str() == name)
    }

    /// Parses a whole manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "manifest", MAX_MANIFEST_LEN)?;
        let dataset = r.name("dataset")?;
        let version = read_version(&mut r, "version")?;
        let parent = match r.flag("parent flag")? {
            true => Some(r.wire_name("parent")?),
            false => None,
        };
        let provenance = Provenance {
            source_digest: r.hash("source digest")?,
            tool: r.text("tool", MAX_TEXT_LEN)?.to_string(),
        };
        let count = r.count("collections", MAX_COLLECTIONS)?;
        let mut collections: Vec<Collection> = Vec::new();
        for _ in 0..count {
            let collection = Collection::read(&mut r, version)?;
            if collections.last().is_some_and(|last| last.name >= collection.name) {
                return Err(FormatError::Order { field: "collections" }.into());
            }
            collections.push(collection);
        }
        r.finish("manifest")?;
        Ok(Self { dataset, version, parent, provenance, collections })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.bytes(self.dataset.as_str().as_bytes());
        w.number(self.version.0);
        w.byte(self.parent.is_some().into());
        if let Some(parent) = &self.parent {
            w.raw(&parent.0);
        }
        w.raw(&self.provenance.source_digest);
        w.bytes(self.provenance.tool.as_bytes());
        w.count(self.collections.len());
        for collection in &self.collections {
            collection.write(&mut w, self.version);
        }
        w.finish()
    }
}

fn read_version(r: &mut Reader<'_>, field: &'static str) -> Result<Version, Error> {
    match r.number(field, MAX_NUMBER)? {
        0 => Err(FormatError::Invalid { field, value: 0 }.into()),
        number => Ok(Version(number)),
    }
}

fn read_u32(
    r: &mut Reader<'_>,
    field: &'static str,
    bounds: core::ops::RangeInclusive<u32>,
) -> Result<u32, Error> {
    let value = r.number(field, (*bounds.end()).into())?;
    match u32::try_from(value) {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => Err(FormatError::Invalid { field, value }.into()),
    }
}

impl Params {
    /// Checks the bounds.
    pub fn is_valid(&self) -> bool {
        LEAF_TARGET.contains(&self.leaf_target)
            && FRAME_TARGET.contains(&self.frame_target)
            && NODE_TARGET.contains(&self.node_target)
    }
}

impl TreeInfo {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let info = Self {
            root: r.identity("root")?,
            level: r.byte("root level")?,
            records: r.number("records", MAX_NUMBER)?,
            plain_len: r.number("plain length", MAX_NUMBER)?,
        };
        if info.level == 0 || info.level > MAX_LEVEL {
            let value = info.level.into();
            return Err(FormatError::Invalid { field: "root level", value }.into());
        }
        if (info.records == 0) != (info.plain_len == 0) || (info.records == 0 && info.level != 1) {
            return Err(FormatError::Invalid { field: "records", value: info.records }.into());
        }
        Ok(info)
    }

    fn write(&self, w: &mut Writer) {
        w.raw(&self.root.0);
        w.byte(self.level);
        w.number(self.records);
        w.number(self.plain_len);
    }
}

impl Collection {
    fn read(r: &mut Reader<'_>, version: Version) -> Result<Self, Error> {
        let name = r.name("collection")?;
        let priority = r.byte("priority")?;
        let flags = r.byte("collection flags")?;
        if flags & !LAZY != 0 {
            let value = flags.into();
            return Err(FormatError::Invalid { field: "collection flags", value }.into());
        }
        let params = Params {
            leaf_target: read_u32(r, "leaf target", LEAF_TARGET)?,
            frame_target: read_u32(r, "frame target", FRAME_TARGET)?,
            node_target: read_u32(r, "node target", NODE_TARGET)?,
        };
        let tree = TreeInfo::read(r)?;
        let base = Base::read(r, version, tree)?;
        let overlay = match base.tree == tree {
            true => None,
            false => Some(Overlay::read(r)?),
        };
        let count = r.count("deltas", MAX_DELTAS)?;
        let mut deltas: Vec<Delta> = Vec::new();
        for _ in 0..count {
            let delta = Delta::read(r, version)?;
            if deltas.last().is_some_and(|last| last.from_version >= delta.from_version) {
                return Err(FormatError::Order { field: "deltas" }.into());
            }
            deltas.push(delta);
        }
        let lazy = flags & LAZY != 0;
        Ok(Self { name, priority, lazy, params, tree, base, overlay, deltas })
    }

    fn write(&self, w: &mut Writer, version: Version) {
        w.bytes(self.name.as_str().as_bytes());
        w.byte(self.priority);
        w.byte(if self.lazy { LAZY } else { 0 });
        w.number(self.params.leaf_target.into());
        w.number(self.params.frame_target.into());
        w.number(self.params.node_target.into());
        self.tree.write(w);
        self.base.write(w, version);
        if let Some(overlay) = self.overlay.filter(|_| self.base.tree != self.tree) {
            overlay.write(w);
        }
        w.count(self.deltas.len());
        for delta in &self.deltas {
            delta.write(w);
        }
    }
}

impl Base {
    /// The base's tree is written only where the base is an older version.
    fn read(r: &mut Reader<'_>, version: Version, tree: TreeInfo) -> Result<Self, Error> {
        let own = read_version(r, "base version")?;
        let base_tree = match own.cmp(&version) {
            core::cmp::Ordering::Equal => tree,
            core::cmp::Ordering::Less => TreeInfo::read(r)?,
            core::cmp::Ordering::Greater => {
                return Err(FormatError::Invalid { field: "base version", value: own.0 }.into());
            }
        };
        Self::read_rest(r, own, base_tree)
    }

    /// A base that stands alone: its tree is always written.
    pub(crate) fn read_whole(r: &mut Reader<'_>) -> Result<Self, Error> {
        let version = read_version(r, "base version")?;
        let tree = TreeInfo::read(r)?;
        Self::read_rest(r, version, tree)
    }

    fn read_rest(r: &mut Reader<'_>, version: Version, tree: TreeInfo) -> Result<Self, Error> {
        let directory = r.object("layout directory", MAX_DIRECTORY_LEN)?;
        let wire_len = r.number("base wire length", MAX_NUMBER)?;
        let bundles = r.number("base bundles", MAX_NUMBER)?;
        let frames = r.number("base frames", MAX_NUMBER)?;
        let dictionary = match r.flag("dictionary flag")? {
            false => None,
            true => Some(Dictionary {
                epoch: r.number("dictionary epoch", MAX_NUMBER)?,
                object: r.object("dictionary", MAX_OBJECT_LEN)?,
                plain_len: read_u32(r, "dictionary length", DICTIONARY_LEN)?,
            }),
        };
        Ok(Self { version, tree, directory, wire_len, bundles, frames, dictionary })
    }

    fn write(&self, w: &mut Writer, version: Version) {
        w.number(self.version.0);
        if self.version != version {
            self.tree.write(w);
        }
        self.write_rest(w);
    }

    pub(crate) fn write_whole(&self, w: &mut Writer) {
        w.number(self.version.0);
        self.tree.write(w);
        self.write_rest(w);
    }

    fn write_rest(&self, w: &mut Writer) {
        w.object(&self.directory);
        w.number(self.wire_len);
        w.number(self.bundles);
        w.number(self.frames);
        w.byte(self.dictionary.is_some().into());
        if let Some(dictionary) = &self.dictionary {
            w.number(dictionary.epoch);
            w.object(&dictionary.object);
            w.number(dictionary.plain_len.into());
        }
    }
}

impl Overlay {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let directory = r.object("layer directory", MAX_LAYER_LEN)?;
        let wire_len = r.number("overlay wire length", MAX_NUMBER)?;
        if wire_len < directory.len {
            return Err(
                FormatError::Invalid { field: "overlay wire length", value: wire_len }.into()
            );
        }
        Ok(Self { directory, wire_len, operations: r.number("overlay operations", MAX_NUMBER)? })
    }

    fn write(&self, w: &mut Writer) {
        w.object(&self.directory);
        w.number(self.wire_len);
        w.number(self.operations);
    }
}

impl Delta {
    /// Bytes on the wire of all segments.
    pub fn wire_len(&self) -> u64 {
        self.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.object.len))
    }

    fn read(r: &mut Reader<'_>, version: Version) -> Result<Self, Error> {
        let from_version = read_version(r, "delta version")?;
        if from_version >= version {
            let value = from_version.0;
            return Err(FormatError::Invalid { field: "delta version", value }.into());
        }
        let from_root = r.identity("delta root")?;
        let operations = r.number("delta operations", MAX_NUMBER)?;
        let count = r.count("delta segments", MAX_SEGMENTS)?;
        let mut segments: Vec<Segment> = Vec::new();
        for _ in 0..count {
            let segment = Segment {
                start: r.bytes("segment start", MAX_KEY_LEN)?.to_vec(),
                object: r.object("segment", MAX_OBJECT_LEN)?,
                plain_len: r.number("segment plain length", MAX_NUMBER)?,
            };
            if segments.last().is_some_and(|last| last.start >= segment.start) {
                return Err(FormatError::Order { field: "segments" }.into());
            }
            segments.push(segment);
        }
        Ok(Self { from_version, from_root, operations, segments })
    }

    fn write(&self, w: &mut Writer) {
        w.number(self.from_version.0);
        w.raw(&self.from_root.0);
        w.number(self.operations);
        w.count(self.segments.len());
        for segment in &self.segments {
            w.bytes(&segment.start);
            w.object(&segment.object);
            w.number(segment.plain_len);
        }
    }
}
