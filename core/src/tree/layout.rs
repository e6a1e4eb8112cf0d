//! Laying a tree out on the wire: frames into bundles, level-2 nodes and their rows into pages.
//!
//! The publisher feeds frames in order and learns at once where bundles end, so bundles stream
//! out with flat memory. Ends follow the tree's own (docs/spec/layout.md): an edit renames the
//! bundles it touches and the others keep their names.

use alloc::vec::Vec;
use core::mem;

use crate::codec::{at_most, number_len};
use crate::error::Error;
use crate::format::layout::{Bundle, Directory, Frame, Page, PageRef};
use crate::format::node::{Child, Node};
use crate::hash::{self, WireHasher};
use crate::limits::{MAX_DIRECTORY_LEN, MAX_FRAME_WIRE_LEN, MAX_PAGE_LEN, MAX_PAGES};
use crate::types::{ObjectRef, WireName};

use super::build::{BuiltFrame, BuiltTree};
use super::cut;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The frame's wire name.
    pub frame: WireName,
    /// The bundle, where it ends after this frame.
    pub ends_bundle: Option<ObjectRef>,
    /// Whether the layout page ends after this frame.
    pub ends_page: bool,
}

/// A wire object and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireObject {
    /// Its name and length.
    pub object: ObjectRef,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl WireObject {
    fn new(bytes: Vec<u8>) -> Self {
        let object = ObjectRef { name: hash::wire_name(&bytes), len: bytes.len() as u64 };
        Self { object, bytes }
    }
}

/// A finished layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltLayout {
    /// The bundle that was still open: it ends after the last frame.
    pub last_bundle: Option<ObjectRef>,
    /// The pages, in key order.
    pub pages: Vec<WireObject>,
    /// The directory.
    pub directory: WireObject,
    /// Bytes on the wire of all bundles.
    pub wire_len: u64,
    /// How many bundles.
    pub bundles: u64,
    /// How many frames.
    pub frames: u64,
}

#[derive(Debug, Default)]
struct OpenBundle {
    hasher: WireHasher,
    frames: Vec<Frame>,
    wire_len: u64,
}

/// Decides where bundles and pages end, and writes the layout.
#[derive(Debug, Default)]
pub struct LayoutBuilder {
    bundle: OpenBundle,
    /// Children of the open level-2 node.
    children: Vec<Child>,
    /// Bytes that the rows of the open level-2 node take in the page.
    rows_len: u64,
    page: Page,
    page_len: u64,
    /// The page ended; it is written when the next frame comes, or at the end.
    page_ended: bool,
    pages: Vec<WireObject>,
    refs: Vec<PageRef>,
    wire_len: u64,
    bundles: u64,
    frames: u64,
}

/// Bytes of a bundle in a page beside its frames: its name and a count of usually two bytes.
const BUNDLE_ROW_LEN: u64 = 34;

impl LayoutBuilder {
    /// An empty layout.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next frame of the tree and its bytes on the wire.
    pub fn push(&mut self, frame: &BuiltFrame, wire: &[u8]) -> Result<Placement, Error> {
        self.push_child(&frame.child, frame.ends_node, wire)
    }

    /// As [`Self::push`], by what the layout needs of a frame.
    pub fn push_child(
        &mut self,
        child: &Child,
        ends_node: bool,
        wire: &[u8],
    ) -> Result<Placement, Error> {
        at_most("frame wire length", wire.len() as u64, MAX_FRAME_WIRE_LEN as u64)?;
        if self.page_ended {
            self.end_page()?;
        }
        let name = hash::wire_name(wire);
        // The bound above is far below 2^32.
        let wire_len = u32::try_from(wire.len()).unwrap_or(u32::MAX);
        if self.bundle.frames.is_empty() {
            self.rows_len += BUNDLE_ROW_LEN;
        }
        self.rows_len += 32 + number_len(wire_len.into()) as u64;
        self.bundle.hasher.update(wire);
        self.bundle.frames.push(Frame { name, wire_len });
        self.bundle.wire_len += u64::from(wire_len);
        self.children.push(child.clone());
        self.frames += 1;
        if ends_node {
            self.end_node();
        }
        let ends_bundle = self.page_ended
            || cut::ends_bundle(
                &child.separator,
                self.bundle.wire_len,
                wire_len.into(),
                self.bundle.frames.len(),
            );
        let bundle = if ends_bundle { self.end_bundle() } else { None };
        Ok(Placement { frame: name, ends_bundle: bundle, ends_page: self.page_ended })
    }

    /// Ends the layout. `tree` is what the builder of the tree gave for the same frames.
    pub fn finish(mut self, tree: &BuiltTree) -> Result<BuiltLayout, Error> {
        let last_bundle = self.end_bundle();
        if !self.children.is_empty() {
            self.end_node();
        }
        if tree.info.level == 1 {
            // A single frame has no level-2 node above it.
            self.page.nodes.clear();
        }
        if !self.page.bundles.is_empty() {
            self.end_page()?;
        }
        let nodes = tree.levels.iter().skip(1).rev().flatten().cloned().collect();
        let directory = Directory { nodes, pages: self.refs };
        at_most("layout pages", directory.pages.len() as u64, MAX_PAGES as u64)?;
        let directory = WireObject::new(directory.encode());
        at_most("layout directory", directory.object.len, MAX_DIRECTORY_LEN as u64)?;
        Ok(BuiltLayout {
            last_bundle,
            pages: self.pages,
            directory,
            wire_len: self.wire_len,
            bundles: self.bundles,
            frames: self.frames,
        })
    }

    fn end_bundle(&mut self) -> Option<ObjectRef> {
        if self.bundle.frames.is_empty() {
            return None;
        }
        let bundle = mem::take(&mut self.bundle);
        let object = ObjectRef { name: bundle.hasher.finish(), len: bundle.wire_len };
        self.wire_len += bundle.wire_len;
        self.bundles += 1;
        self.page.bundles.push(Bundle { name: object.name, frames: bundle.frames });
        Some(object)
    }

    fn end_node(&mut self) {
        let node = Node { level: 2, children: mem::take(&mut self.children) };
        let node_len = node.encode().len();
        let item = (node_len + number_len(node_len as u64)) as u64 + mem::take(&mut self.rows_len);
        self.page_len += item;
        let separator = node.children.first().map(|child| child.separator.as_slice());
        self.page_ended = cut::ends_page(separator.unwrap_or_default(), self.page_len, item);
        self.page.nodes.push(node);
    }

    fn end_page(&mut self) -> Result<(), Error> {
        let page = mem::take(&mut self.page);
        self.page_len = 0;
        self.page_ended = false;
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let object = WireObject::new(page.encode());
        at_most("layout page", object.object.len, MAX_PAGE_LEN as u64)?;
        self.refs.push(PageRef {
            object: object.object,
            nodes: count(page.nodes.len()),
            bundles: count(page.bundles.len()),
            frames: count(page.frame_count()),
            wire_len: page.wire_len(),
        });
        self.pages.push(object);
        Ok(())
    }
}
