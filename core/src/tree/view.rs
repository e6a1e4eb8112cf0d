//! A version's frames: those of its base, and the layers over it.
//!
//! Without layers, a frame is found page by page. With layers, all pages and all layer directories
//! must be held: then the list of frames is put together and the nodes above it are made again,
//! and only if they give the signed root is anything found. So whatever a base or a layer claims,
//! each frame's entry is one that the signed root leads to.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::error::{Error, TrustError};
use crate::format::layer::LayerDirectory;
use crate::format::layout::Page;
use crate::format::manifest::{Params, TreeInfo};
use crate::format::node::{Child, Node};
use crate::types::ObjectRef;

use super::index::{FrameId, Index, Located};
use super::upper::UpperBuilder;

const MISMATCH: Error = Error::Trust(TrustError::LayoutMismatch);

/// The frames of one version of a collection.
#[derive(Clone, Debug)]
pub struct View {
    params: Params,
    tree: TreeInfo,
    base: Index,
    layers: Vec<LayerSlot>,
    /// The version's frames, where there are layers and all is held.
    frames: Option<Rc<Vec<Child>>>,
}

/// A layer, the lowest first.
#[derive(Clone, Debug)]
pub struct LayerSlot {
    /// Its directory on the wire.
    pub object: ObjectRef,
    /// Its directory, once it is held.
    pub directory: Option<Rc<LayerDirectory>>,
}

/// What is needed before anything can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A page of the base's layout.
    Page(u32),
    /// The directory of a layer.
    Layer(usize),
}

/// A frame of the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its entry, which the signed root leads to.
    pub child: Child,
    /// The next frame's separator; `None` for the last frame.
    pub upper: Option<Vec<u8>>,
    /// The frame of the base that it is; `None` where it is put together.
    pub base: Option<FrameId>,
}

/// Where a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind something that is not held.
    Behind(Missing),
    /// In a frame.
    Frame(Spot),
}

impl View {
    /// A version over a base, `layers` being the directories of the layers between, lowest first.
    pub fn new(
        params: Params,
        tree: TreeInfo,
        base: Index,
        layers: Vec<ObjectRef>,
    ) -> Result<Self, Error> {
        let layers: Vec<LayerSlot> =
            layers.into_iter().map(|object| LayerSlot { object, directory: None }).collect();
        if layers.is_empty() && *base.tree() != tree {
            return Err(MISMATCH);
        }
        Ok(Self { params, tree, base, layers, frames: None })
    }

    /// The next version, which one more layer leads to. The caller made the frames, and the tree
    /// above them.
    #[must_use]
    pub fn with_layer(
        &self,
        tree: TreeInfo,
        object: ObjectRef,
        directory: LayerDirectory,
        frames: Vec<Child>,
    ) -> Self {
        let mut next = self.clone();
        next.tree = tree;
        next.layers.push(LayerSlot { object, directory: Some(Rc::new(directory)) });
        next.frames = Some(Rc::new(frames));
        next
    }

    /// The same version, in which some layers, from `first` on, are merged into one.
    #[must_use]
    pub fn with_merged(
        &self,
        layers: core::ops::Range<usize>,
        object: ObjectRef,
        directory: LayerDirectory,
    ) -> Self {
        let mut next = self.clone();
        let merged = LayerSlot { object, directory: Some(Rc::new(directory)) };
        next.layers.splice(layers, [merged]);
        next
    }

    /// The base's index.
    pub fn base(&self) -> &Index {
        &self.base
    }

    /// How the tree is cut.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The version's tree.
    pub fn tree(&self) -> &TreeInfo {
        &self.tree
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[LayerSlot] {
        &self.layers
    }

    /// Checks a page of the base's layout against its directory and holds it.
    pub fn add_page(&mut self, page: u32, content: Page) -> Result<(), Error> {
        self.base.add_page(page, content)?;
        self.settle()
    }

    /// Holds the directory of a layer.
    pub fn add_layer(&mut self, layer: usize, directory: LayerDirectory) -> Result<(), Error> {
        if let Some(slot) = self.layers.get_mut(layer) {
            slot.directory = Some(Rc::new(directory));
        }
        self.settle()
    }

    /// All that is needed before anything can be found; nothing where there is no layer.
    pub fn missing(&self) -> Vec<Missing> {
        if self.layers.is_empty() || self.frames.is_some() {
            return Vec::new();
        }
        let pages = self.missing_pages().map(Missing::Page);
        let layers = self.layers.iter().enumerate();
        let layers = layers.filter(|(_, slot)| slot.directory.is_none());
        pages.chain(layers.map(|(at, _)| Missing::Layer(at))).collect()
    }

    fn missing_pages(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.base.page_count()).filter(|page| !self.base.has_page(*page))
    }

    /// Puts the list of frames together, once all is here.
    fn settle(&mut self) -> Result<(), Error> {
        if self.layers.is_empty() || self.frames.is_some() || !self.missing().is_empty() {
            return Ok(());
        }
        let mut frames = self.base_frames();
        for slot in &self.layers {
            if let Some(directory) = &slot.directory {
                frames = directory.patch.apply(frames)?;
            }
        }
        let tree = UpperBuilder::tree(self.params, &frames)?;
        if tree.info != self.tree {
            return Err(MISMATCH);
        }
        self.frames = Some(Rc::new(frames));
        Ok(())
    }

    /// The frames below some layers, and those above them.
    pub fn frames_around(
        &self,
        layers: core::ops::Range<usize>,
    ) -> Result<(Vec<Child>, Vec<Child>), Error> {
        let mut below = self.base_frames();
        let directories = |slots: &[LayerSlot]| -> Vec<Rc<LayerDirectory>> {
            slots.iter().filter_map(|slot| slot.directory.clone()).collect()
        };
        for directory in directories(self.layers.get(..layers.start).unwrap_or_default()) {
            below = directory.patch.apply(below)?;
        }
        let mut above = below.clone();
        for directory in directories(self.layers.get(layers).unwrap_or_default()) {
            above = directory.patch.apply(above)?;
        }
        Ok((below, above))
    }

    fn base_frames(&self) -> Vec<Child> {
        let mut frames = Vec::new();
        let mut next = self.base.first();
        while let Some(Located::Frame(id)) = next {
            frames.extend(self.base.frame(id).map(|info| info.child.clone()));
            next = self.base.next(id);
        }
        frames
    }

    /// All frames in key order; `None` where something is missing that they are known by.
    pub fn frames(&self) -> Option<Rc<Vec<Child>>> {
        match &self.frames {
            Some(frames) => Some(frames.clone()),
            None if self.layers.is_empty() && self.missing_pages().next().is_none() => {
                Some(Rc::new(self.base_frames()))
            }
            None => None,
        }
    }

    /// Where a key belongs; `None` in an empty collection.
    pub fn locate(&self, key: &[u8]) -> Option<Place> {
        if let Some(frames) = &self.frames {
            let after = frames.partition_point(|child| child.separator.as_slice() <= key);
            return self.spot(frames, after.saturating_sub(1)).map(Place::Frame);
        }
        if let Some(missing) = self.missing().first() {
            return Some(Place::Behind(*missing));
        }
        match self.base.locate(key)? {
            Located::Page(page) => Some(Place::Behind(Missing::Page(page))),
            Located::Frame(id) => {
                let info = self.base.frame(id)?;
                let upper = info.upper.map(<[u8]>::to_vec);
                Some(Place::Frame(Spot { child: info.child.clone(), upper, base: Some(id) }))
            }
        }
    }

    /// A frame of a list that [`Self::frames`] gave.
    pub fn spot(&self, frames: &[Child], number: usize) -> Option<Spot> {
        let child = frames.get(number)?.clone();
        let upper = frames.get(number + 1).map(|next| next.separator.clone());
        let base = match self.base.locate(&child.separator) {
            Some(Located::Frame(id)) => {
                let same = self.base.frame(id).is_some_and(|info| *info.child == child);
                same.then_some(id)
            }
            Some(Located::Page(_)) | None => None,
        };
        Some(Spot { child, upper, base })
    }

    /// The frames of the base whose records may stand in a frame of this version.
    pub fn below(&self, spot: &Spot) -> Vec<FrameId> {
        let mut below = Vec::new();
        let mut next = self.base.locate(&spot.child.separator);
        while let Some(Located::Frame(id)) = next {
            let starts = |upper: &Vec<u8>| {
                self.base.frame(id).is_some_and(|info| info.child.separator < *upper)
            };
            if !below.is_empty() && !spot.upper.as_ref().is_none_or(starts) {
                break;
            }
            below.push(id);
            next = self.base.next(id);
        }
        below
    }

    /// The nodes from the root down to level 2 above a frame, for a proof; empty where the root
    /// is of level 1.
    pub fn path(&self, spot: &Spot) -> Option<Vec<Node>> {
        let Some(frames) = &self.frames else {
            return self.base.path(spot.base?);
        };
        let tree = UpperBuilder::tree(self.params, frames.iter()).ok()?;
        let separator = spot.child.separator.as_slice();
        let on_path = |nodes: Vec<Node>| {
            nodes.into_iter().rfind(|node| {
                node.children.first().is_some_and(|first| first.separator.as_slice() <= separator)
            })
        };
        tree.levels.into_iter().rev().map(on_path).collect()
    }
}
