//! Finding frames: the layout's directory and pages, checked against the signed root.
//!
//! The directory's nodes are checked from the root down when the index is made; each page's
//! level-2 nodes when the page is added. After that every frame has the child entry that its
//! content must match (`tree::verify`), a place in a bundle, and the names to check its wire
//! bytes by. About 130 bytes of memory for each frame of the pages held.
//!
//! A lying publisher could bind a directory whose nodes, counts or lengths do not fit the root:
//! all are compared, and a mismatch is [`TrustError::LayoutMismatch`].

use alloc::vec::Vec;

use crate::error::{Error, Misuse, TrustError};
use crate::format::layout::{Directory, Frame, Page, PageRef};
use crate::format::manifest::{Base, TreeInfo};
use crate::format::node::{Child, Node};
use crate::types::WireName;

/// A frame of a collection's base: its page and its place there. Ordered as the keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    /// The page's number.
    pub page: u32,
    /// The frame's number within the page.
    pub frame: u32,
}

/// Where a key is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// Behind a page that is not held.
    Page(u32),
    /// In a frame.
    Frame(FrameId),
}

/// What is known of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo<'a> {
    /// The frame's entry in its level-2 node (or what the signed root says).
    pub child: &'a Child,
    /// The next frame's separator; `None` for the last frame.
    pub upper: Option<&'a [u8]>,
    /// Its name and length on the wire.
    pub wire: Frame,
    /// Its bundle.
    pub bundle: BundleInfo,
    /// Where it begins in its bundle, in bytes.
    pub offset: u64,
}

/// What is known of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleInfo {
    /// Its number within the collection's base, in key order from 0.
    pub ordinal: u64,
    /// Its wire name.
    pub name: WireName,
    /// Its bytes on the wire.
    pub len: u64,
    /// Its first frame; the others follow it on the same page.
    pub first_frame: FrameId,
    /// How many frames it has.
    pub frames: u32,
}

#[derive(Clone, Debug)]
struct BundleRow {
    name: WireName,
    len: u64,
    first_frame: u32,
    frames: u32,
}

#[derive(Clone, Debug)]
struct FrameRow {
    wire: Frame,
    bundle: u32,
    offset: u32,
}

#[derive(Clone, Debug)]
struct HeldPage {
    /// The children of all its level-2 nodes: one entry for each frame.
    children: Vec<Child>,
    frames: Vec<FrameRow>,
    bundles: Vec<BundleRow>,
    /// How many children each level-2 node has.
    node_sizes: Vec<u32>,
}

#[derive(Clone, Debug)]
struct PageSlot {
    reference: PageRef,
    /// What the level-2 nodes of the page must be; empty where the root is of level 1.
    expected: Vec<Child>,
    first_bundle: u64,
    held: Option<HeldPage>,
}

/// The frames of one collection's base, by key.
#[derive(Clone, Debug)]
pub struct Index {
    tree: TreeInfo,
    root: Child,
    /// The directory's nodes by level, the root's level first, down to level 3.
    levels: Vec<Vec<Node>>,
    pages: Vec<PageSlot>,
    bundles: u64,
    frames: u64,
}

const MISMATCH: Error = Error::Trust(TrustError::LayoutMismatch);

fn ensure(holds: bool) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(MISMATCH) }
}

/// Checks a node against its parent's entry for it. `upper` is the next entry's separator.
pub(super) fn check_node(
    node: &Node,
    level: u8,
    child: &Child,
    upper: Option<&[u8]>,
) -> Result<(), Error> {
    let first = node.children.first().is_some_and(|first| first.separator == child.separator);
    // Separators ascend, so the last is the greatest.
    let last = node.children.last().zip(upper);
    let below = last.is_none_or(|(last, upper)| last.separator.as_slice() < upper);
    let sums = node.plain_len() == child.plain_len && node.records() == child.records;
    ensure(node.level == level && first && below && sums && node.identity() == child.identity)
}

/// The root as the only child above it.
pub(super) fn root_child(tree: &TreeInfo) -> Child {
    Child {
        separator: Vec::new(),
        identity: tree.root,
        plain_len: tree.plain_len,
        records: tree.records,
    }
}

/// The separator of the entry after one of a list, or else that after the list.
fn upper_of<'a>(list: &'a [Child], at: usize, after: Option<&'a [u8]>) -> Option<&'a [u8]> {
    list.get(at + 1).map(|next| next.separator.as_slice()).or(after)
}

impl Index {
    /// Checks a directory against the base that the manifest binds it for.
    pub fn new(base: &Base, directory: Directory) -> Result<Self, Error> {
        let tree = base.tree;
        let root = root_child(&tree);
        let (levels, expected) = check_directory_nodes(&tree, &root, directory.nodes)?;
        let mut bundles = 0u64;
        let mut frames = 0u64;
        let mut wire_len = 0u64;
        let mut pages = Vec::with_capacity(directory.pages.len());
        let mut rest = expected.into_iter();
        for reference in directory.pages {
            let nodes: Vec<Child> =
                rest.by_ref().take(usize::try_from(reference.nodes).unwrap_or(0)).collect();
            let is_single = tree.level == 1 && reference.nodes == 0 && reference.frames == 1;
            ensure(
                is_single || (!nodes.is_empty() && nodes.len() as u64 == reference.nodes.into()),
            )?;
            ensure(reference.frames >= reference.nodes)?;
            ensure(reference.bundles > 0 && reference.bundles <= reference.frames)?;
            let first_bundle = bundles;
            bundles += u64::from(reference.bundles);
            frames += u64::from(reference.frames);
            wire_len = wire_len.saturating_add(reference.wire_len);
            pages.push(PageSlot { reference, expected: nodes, first_bundle, held: None });
        }
        ensure(rest.next().is_none())?;
        ensure(match tree.level {
            // A single frame, or nothing at all.
            1 => pages.len() == usize::from(tree.records > 0),
            _ => !pages.is_empty(),
        })?;
        ensure(wire_len == base.wire_len && bundles == base.bundles && frames == base.frames)?;
        Ok(Self { tree, root, levels, pages, bundles, frames })
    }

    /// The tree that the index leads to.
    pub fn tree(&self) -> &TreeInfo {
        &self.tree
    }

    /// How many pages.
    pub fn page_count(&self) -> u32 {
        // A directory's bound makes the conversion exact.
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// How many bundles, in all pages.
    pub fn bundle_count(&self) -> u64 {
        self.bundles
    }

    /// How many frames, in all pages.
    pub fn frame_count(&self) -> u64 {
        self.frames
    }

    /// A page as the directory names it.
    pub fn page(&self, page: u32) -> Option<&PageRef> {
        self.slot(page).map(|slot| &slot.reference)
    }

    /// Whether a page is held.
    pub fn has_page(&self, page: u32) -> bool {
        self.held(page).is_some()
    }

    /// Checks a page against the directory and holds it. The caller has checked its wire name.
    pub fn add_page(&mut self, page: u32, content: Page) -> Result<(), Error> {
        let slot = self.slot(page).ok_or(Misuse::UnknownPage)?;
        let upper = self.page_upper(page);
        let held = check_page(slot, &self.root, upper, content)?;
        if let Some(slot) = self.pages.get_mut(page as usize) {
            slot.held = Some(held);
        }
        Ok(())
    }

    /// Lets a page go; its frames are then behind [`Located::Page`] again.
    pub fn drop_page(&mut self, page: u32) {
        if let Some(slot) = self.pages.get_mut(page as usize) {
            slot.held = None;
        }
    }

    /// The page that a key belongs to; `None` in an empty collection.
    pub fn page_for(&self, key: &[u8]) -> Option<u32> {
        let after = self.pages.partition_point(|slot| slot.separator() <= key);
        if self.pages.is_empty() {
            return None;
        }
        u32::try_from(after.saturating_sub(1)).ok()
    }

    /// Where a key belongs; `None` in an empty collection.
    pub fn locate(&self, key: &[u8]) -> Option<Located> {
        let page = self.page_for(key)?;
        let Some(held) = self.held(page) else {
            return Some(Located::Page(page));
        };
        let after = held.children.partition_point(|child| child.separator.as_slice() <= key);
        let frame = u32::try_from(after.saturating_sub(1)).ok()?;
        Some(Located::Frame(FrameId { page, frame }))
    }

    /// The first frame; `None` in an empty collection.
    pub fn first(&self) -> Option<Located> {
        self.start_of(0)
    }

    /// The frame after one; `None` after the last.
    pub fn next(&self, id: FrameId) -> Option<Located> {
        let slot = self.slot(id.page)?;
        let next = id.frame.checked_add(1)?;
        if next < slot.reference.frames {
            return Some(match slot.held {
                Some(_) => Located::Frame(FrameId { page: id.page, frame: next }),
                None => Located::Page(id.page),
            });
        }
        self.start_of(id.page.checked_add(1)?)
    }

    /// What is known of a frame; `None` where its page is not held.
    pub fn frame(&self, id: FrameId) -> Option<FrameInfo<'_>> {
        let held = self.held(id.page)?;
        let at = id.frame as usize;
        let row = held.frames.get(at)?;
        let child = held.children.get(at)?;
        Some(FrameInfo {
            child,
            upper: upper_of(&held.children, at, self.page_upper(id.page)),
            wire: row.wire,
            bundle: self.bundle_info(id.page, row.bundle)?,
            offset: row.offset.into(),
        })
    }

    /// The page that lists a bundle.
    pub fn page_of_bundle(&self, ordinal: u64) -> Option<u32> {
        if ordinal >= self.bundles {
            return None;
        }
        let after = self.pages.partition_point(|slot| slot.first_bundle <= ordinal);
        u32::try_from(after.checked_sub(1)?).ok()
    }

    /// A bundle by its number; `None` where its page is not held.
    pub fn bundle(&self, ordinal: u64) -> Option<BundleInfo> {
        let page = self.page_of_bundle(ordinal)?;
        let within = ordinal - self.slot(page)?.first_bundle;
        self.bundle_info(page, u32::try_from(within).ok()?)
    }

    /// The numbers of the bundles that a page lists, whether it is held or not.
    pub fn bundle_range(&self, page: u32) -> core::ops::Range<u64> {
        match self.slot(page) {
            Some(slot) => slot.first_bundle..slot.first_bundle + u64::from(slot.reference.bundles),
            None => 0..0,
        }
    }

    /// The bundles of a page, in key order; none where the page is not held.
    pub fn bundles(&self, page: u32) -> impl Iterator<Item = BundleInfo> + '_ {
        let count = self.held(page).map_or(0, |held| held.bundles.len());
        (0..u32::try_from(count).unwrap_or(0)).filter_map(move |at| self.bundle_info(page, at))
    }

    /// The frames of a bundle, in key order.
    pub fn frames_of(
        &self,
        bundle: &BundleInfo,
    ) -> impl Iterator<Item = (FrameId, FrameInfo<'_>)> + '_ {
        let FrameId { page, frame: first } = bundle.first_frame;
        let frames = first..first.saturating_add(bundle.frames);
        frames.filter_map(move |frame| {
            let id = FrameId { page, frame };
            self.frame(id).map(|info| (id, info))
        })
    }

    /// The nodes from the root down to level 2 above a frame, for a proof; empty where the root
    /// is of level 1. `None` where the frame's page is not held.
    pub fn path(&self, id: FrameId) -> Option<Vec<Node>> {
        let held = self.held(id.page)?;
        let key = held.children.get(id.frame as usize)?.separator.as_slice();
        let mut path = Vec::new();
        for nodes in &self.levels {
            let after = nodes.partition_point(|node| first_separator(node) <= key);
            path.push(nodes.get(after.checked_sub(1)?)?.clone());
        }
        let mut start = 0usize;
        for size in &held.node_sizes {
            let end = start + *size as usize;
            if (start..end).contains(&(id.frame as usize)) {
                path.push(Node { level: 2, children: held.children.get(start..end)?.to_vec() });
            }
            start = end;
        }
        Some(path)
    }

    fn slot(&self, page: u32) -> Option<&PageSlot> {
        self.pages.get(page as usize)
    }

    fn held(&self, page: u32) -> Option<&HeldPage> {
        self.slot(page)?.held.as_ref()
    }

    fn start_of(&self, page: u32) -> Option<Located> {
        Some(match self.slot(page)?.held {
            Some(_) => Located::Frame(FrameId { page, frame: 0 }),
            None => Located::Page(page),
        })
    }

    /// The separator of the page after one.
    fn page_upper(&self, page: u32) -> Option<&[u8]> {
        self.slot(page.checked_add(1)?).map(PageSlot::separator)
    }

    fn bundle_info(&self, page: u32, at: u32) -> Option<BundleInfo> {
        let slot = self.slot(page)?;
        let row = slot.held.as_ref()?.bundles.get(at as usize)?;
        Some(BundleInfo {
            ordinal: slot.first_bundle + u64::from(at),
            name: row.name,
            len: row.len,
            first_frame: FrameId { page, frame: row.first_frame },
            frames: row.frames,
        })
    }
}

impl PageSlot {
    fn separator(&self) -> &[u8] {
        self.expected.first().map(|child| child.separator.as_slice()).unwrap_or_default()
    }
}

fn first_separator(node: &Node) -> &[u8] {
    node.children.first().map(|child| child.separator.as_slice()).unwrap_or_default()
}

/// Checks the directory's nodes from the root down; gives them by level, and the level-2 nodes
/// that the pages must hold.
fn check_directory_nodes(
    tree: &TreeInfo,
    root: &Child,
    nodes: Vec<Node>,
) -> Result<(Vec<Vec<Node>>, Vec<Child>), Error> {
    let mut rest = nodes.into_iter();
    let mut levels = Vec::new();
    let mut expected = match tree.level {
        1 => Vec::new(),
        _ => alloc::vec![root.clone()],
    };
    for level in (3..=tree.level).rev() {
        let nodes: Vec<Node> = rest.by_ref().take(expected.len()).collect();
        ensure(nodes.len() == expected.len())?;
        let mut below = Vec::new();
        for (at, (node, child)) in nodes.iter().zip(&expected).enumerate() {
            check_node(node, level, child, upper_of(&expected, at, None))?;
            below.extend(node.children.iter().cloned());
        }
        levels.push(nodes);
        expected = below;
    }
    ensure(rest.next().is_none())?;
    Ok((levels, expected))
}

/// Checks a page's nodes and rows against its slot.
fn check_page(
    slot: &PageSlot,
    root: &Child,
    upper: Option<&[u8]>,
    page: Page,
) -> Result<HeldPage, Error> {
    let reference = &slot.reference;
    ensure(page.nodes.len() == slot.expected.len())?;
    ensure(page.bundles.len() as u64 == reference.bundles.into())?;
    ensure(page.frame_count() as u64 == reference.frames.into())?;
    ensure(page.wire_len() == reference.wire_len)?;
    let mut children = Vec::with_capacity(page.frame_count());
    let mut node_sizes = Vec::with_capacity(page.nodes.len());
    if page.nodes.is_empty() {
        children.push(root.clone());
    }
    for (at, (node, child)) in page.nodes.into_iter().zip(&slot.expected).enumerate() {
        check_node(&node, 2, child, upper_of(&slot.expected, at, upper))?;
        node_sizes.push(u32::try_from(node.children.len()).unwrap_or(u32::MAX));
        children.extend(node.children);
    }
    ensure(children.len() as u64 == reference.frames.into())?;
    let mut frames = Vec::with_capacity(children.len());
    let mut bundles = Vec::with_capacity(page.bundles.len());
    for (bundle_at, bundle) in (0u32..).zip(page.bundles) {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        bundles.push(BundleRow {
            name: bundle.name,
            len: bundle.wire_len(),
            first_frame: count(frames.len()),
            frames: count(bundle.frames.len()),
        });
        let mut offset = 0u32;
        for wire in bundle.frames {
            frames.push(FrameRow { wire, bundle: bundle_at, offset });
            // A bundle is at most as long as an object: its parser checked that.
            offset = offset.saturating_add(wire.wire_len);
        }
    }
    Ok(HeldPage { children, frames, bundles, node_sizes })
}
