//! The layout (docs/spec/layout.md): which wire objects deliver a tree.
//!
//! A directory, bound by the manifest, holds the nodes of level 3 and above and names the pages.
//! A page holds a run of level-2 nodes and one row for each frame under them. The tree says what
//! the content is, the layout says what travels: so recompression changes a layout and no
//! identity. An attacker could name overlapping or missing frames: the counts here must agree
//! with the nodes (`tree::index`).

use alloc::vec::Vec;

use crate::codec::{Reader, Writer};
use crate::error::{Error, FormatError};
use crate::limits::{
    MAX_BUNDLE_FRAMES, MAX_DIRECTORY_LEN, MAX_FRAME_WIRE_LEN, MAX_NODE_CHILDREN, MAX_NODE_LEN,
    MAX_NUMBER, MAX_OBJECT_LEN, MAX_PAGE_BUNDLES, MAX_PAGE_LEN, MAX_PAGES,
};
use crate::types::{ObjectRef, WireName};

use super::node::Node;

const DIRECTORY_MAGIC: &[u8; 4] = b"PKD1";
const PAGE_MAGIC: &[u8; 4] = b"PKP1";

/// Whether bytes begin as a directory does, and not as a page.
pub fn is_directory(bytes: &[u8]) -> bool {
    bytes.starts_with(DIRECTORY_MAGIC)
}

/// The top of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The tree's nodes from the root down to level 3, level by level, each level in key order;
    /// empty where the root's level is below 3.
    pub nodes: Vec<Node>,
    /// The pages in key order; none for an empty collection.
    pub pages: Vec<PageRef>,
}

/// A page as its directory names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRef {
    /// The page's wire name and length.
    pub object: ObjectRef,
    /// How many level-2 nodes it holds; 0 only where the root's level is 1.
    pub nodes: u32,
    /// How many bundles it lists.
    pub bundles: u32,
    /// How many frames it lists.
    pub frames: u32,
    /// Bytes on the wire of all its bundles.
    pub wire_len: u64,
}

/// A run of level-2 nodes and the frames under them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The level-2 nodes in key order.
    pub nodes: Vec<Node>,
    /// The bundles in key order.
    pub bundles: Vec<Bundle>,
}

/// A bundle: whole frames, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The wire name over all its bytes.
    pub name: WireName,
    /// Its frames in key order.
    pub frames: Vec<Frame>,
}

/// A frame: the zstd-compressed leaves of one level-1 node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The wire name over its bytes.
    pub name: WireName,
    /// Bytes on the wire.
    pub wire_len: u32,
}

impl Bundle {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.wire_len)).sum()
    }
}

fn count_u32(r: &mut Reader<'_>, field: &'static str) -> Result<u32, Error> {
    // The bound makes the conversion exact.
    r.number(field, u32::MAX.into()).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}

fn read_nodes(r: &mut Reader<'_>, max: usize) -> Result<Vec<Node>, Error> {
    let count = r.count("layout nodes", max)?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::parse(r.bytes("layout node", MAX_NODE_LEN)?)?);
    }
    Ok(nodes)
}

fn write_nodes(w: &mut Writer, nodes: &[Node]) {
    w.count(nodes.len());
    for node in nodes {
        w.bytes(&node.encode());
    }
}

impl Directory {
    /// Parses a whole directory.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r =
            Reader::with_magic(bytes, DIRECTORY_MAGIC, "layout directory", MAX_DIRECTORY_LEN)?;
        let nodes = read_nodes(&mut r, MAX_PAGES)?;
        let count = r.count("layout pages", MAX_PAGES)?;
        let mut pages = Vec::new();
        for _ in 0..count {
            pages.push(PageRef {
                object: r.object("layout page", MAX_PAGE_LEN)?,
                nodes: count_u32(&mut r, "page nodes")?,
                bundles: count_u32(&mut r, "page bundles")?,
                frames: count_u32(&mut r, "page frames")?,
                wire_len: r.number("page wire length", MAX_NUMBER)?,
            });
        }
        r.finish("layout directory")?;
        Ok(Self { nodes, pages })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(DIRECTORY_MAGIC);
        write_nodes(&mut w, &self.nodes);
        w.count(self.pages.len());
        for page in &self.pages {
            w.object(&page.object);
            w.number(page.nodes.into());
            w.number(page.bundles.into());
            w.number(page.frames.into());
            w.number(page.wire_len);
        }
        w.finish()
    }
}

impl Page {
    /// Parses a whole page.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, PAGE_MAGIC, "layout page", MAX_PAGE_LEN)?;
        let nodes = read_nodes(&mut r, MAX_NODE_CHILDREN)?;
        let count = r.count("page bundles", MAX_PAGE_BUNDLES)?;
        let mut bundles = Vec::new();
        for _ in 0..count {
            bundles.push(read_bundle(&mut r)?);
        }
        r.finish("layout page")?;
        Ok(Self { nodes, bundles })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(PAGE_MAGIC);
        write_nodes(&mut w, &self.nodes);
        w.count(self.bundles.len());
        for bundle in &self.bundles {
            w.raw(&bundle.name.0);
            w.count(bundle.frames.len());
            for frame in &bundle.frames {
                w.raw(&frame.name.0);
                w.number(frame.wire_len.into());
            }
        }
        w.finish()
    }

    /// How many frames all its bundles list.
    pub fn frame_count(&self) -> usize {
        self.bundles.iter().map(|bundle| bundle.frames.len()).sum()
    }

    /// Bytes on the wire of all its bundles.
    pub fn wire_len(&self) -> u64 {
        self.bundles.iter().map(Bundle::wire_len).sum()
    }
}

fn read_bundle(r: &mut Reader<'_>) -> Result<Bundle, Error> {
    let name = r.wire_name("bundle name")?;
    let count = r.count("bundle frames", MAX_BUNDLE_FRAMES)?;
    let mut frames = Vec::with_capacity(count.min(r.rest().len() / 33 + 1));
    for _ in 0..count {
        let object = r.object("frame", MAX_FRAME_WIRE_LEN)?;
        // The bound of a frame is far below 2^32.
        let wire_len = u32::try_from(object.len).unwrap_or(u32::MAX);
        frames.push(Frame { name: object.name, wire_len });
    }
    let bundle = Bundle { name, frames };
    if bundle.frames.is_empty() {
        return Err(FormatError::Invalid { field: "bundle frames", value: 0 }.into());
    }
    crate::codec::at_most("bundle wire length", bundle.wire_len(), MAX_OBJECT_LEN as u64)?;
    Ok(bundle)
}
