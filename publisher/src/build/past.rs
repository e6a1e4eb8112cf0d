//! Earlier versions: which ones are at hand, and their records in key order.
//!
//! A version's records are those of its base's bundles with its overlay's entries over them. What
//! is read is checked frame by frame against the base's layout, and the layout against the base's
//! root: a damaged file is an error here and never a wrong delta.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Base, Collection, Manifest};
use packice_core::format::node::Child;
use packice_core::hash::wire_name;
use packice_core::tree::index::Index;
use packice_core::tree::verify::verify_frame;
use packice_core::types::{ObjectKind, WireName};
use zstd::bulk::Decompressor;

use super::content::{Content, Stream};
use super::objects::ObjectDir;
use super::overlay::{OverlayPages, OverlayStream};
use crate::failure::{Failure, Result, on_file};

/// An earlier version whose objects are at hand.
#[derive(Clone, Debug)]
pub struct Past {
    /// Its manifest's wire name.
    pub name: WireName,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Where its objects stand.
    pub objects: ObjectDir,
}

/// A frame of a base, and where it stands.
struct FramePlace {
    child: Child,
    name: WireName,
    bundle: WireName,
    offset: u64,
    len: usize,
}

/// A collection of an earlier version.
pub struct PastCollection {
    objects: ObjectDir,
    frames: Vec<FramePlace>,
    dictionary: Option<Vec<u8>>,
    overlay: Option<OverlayPages>,
    records: u64,
}

impl PastCollection {
    /// Reads the layout of the base, its dictionary, and the overlay's directory.
    pub fn open(objects: &ObjectDir, collection: &Collection) -> Result<Self> {
        let frames = frames_of(objects, &collection.base)?;
        let dictionary = read_dictionary(objects, &collection.base)?;
        let overlay = collection.overlay.as_ref();
        let overlay = overlay.map(|overlay| OverlayPages::open(objects, overlay)).transpose()?;
        let records = collection.tree.records;
        Ok(Self { objects: objects.clone(), frames, dictionary, overlay, records })
    }

    /// The longest frame of the base on the wire.
    pub fn longest_frame(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len as u64).max().unwrap_or(0)
    }

    /// The overlay over the base.
    pub fn overlay(&self) -> Option<&OverlayPages> {
        self.overlay.as_ref()
    }

    /// The frames of the base as entries of their parents, in key order.
    pub fn base_children(&self) -> Vec<Child> {
        self.frames.iter().map(|frame| frame.child.clone()).collect()
    }

    /// The records of the base.
    pub fn base_stream(&self) -> Result<Box<dyn Stream + '_>> {
        Ok(Box::new(BaseStream::new(self)?))
    }
}

impl Content for PastCollection {
    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        let below = self.base_stream()?;
        match &self.overlay {
            None => Ok(below),
            Some(pages) => Ok(Box::new(OverlayStream::new(below, pages)?)),
        }
    }

    fn count_hint(&self) -> u64 {
        self.records
    }
}

/// The plain dictionary of a base.
pub fn read_dictionary(objects: &ObjectDir, base: &Base) -> Result<Option<Vec<u8>>> {
    let Some(reference) = &base.dictionary else { return Ok(None) };
    let wire = objects.read(ObjectKind::Dictionary, &reference.object.name)?;
    let plain = zstd::bulk::decompress(&wire, reference.plain_len as usize)
        .map_err(|error| Failure::verification(format!("an earlier dictionary: {error}")))?;
    Ok(Some(plain))
}

fn frames_of(objects: &ObjectDir, base: &Base) -> Result<Vec<FramePlace>> {
    let directory = Directory::parse(&objects.read(ObjectKind::Layout, &base.directory.name)?)?;
    let names: Vec<WireName> = directory.pages.iter().map(|page| page.object.name).collect();
    let mut index = Index::new(base, directory)?;
    let mut frames = Vec::new();
    // One page is held at a time.
    for (at, name) in (0u32..).zip(names) {
        index.add_page(at, Page::parse(&objects.read(ObjectKind::Layout, &name)?)?)?;
        let ordinals = index.bundle_range(at);
        for bundle in ordinals.filter_map(|ordinal| index.bundle(ordinal)) {
            frames.extend(index.frames_of(&bundle).map(|(_, info)| FramePlace {
                child: info.child.clone(),
                name: info.wire.name,
                bundle: info.bundle.name,
                offset: info.offset,
                len: info.wire.wire_len as usize,
            }));
        }
        index.drop_page(at);
    }
    Ok(frames)
}

/// The records of a base, frame by frame.
struct BaseStream<'a> {
    past: &'a PastCollection,
    decompressor: Decompressor<'static>,
    open: Option<(WireName, BufReader<File>, u64)>,
    next_frame: usize,
    /// The keys and values of the frame, one after the other.
    bytes: Vec<u8>,
    /// Where each key begins, where its value does, and where that ends.
    places: Vec<(usize, usize, usize)>,
    at: usize,
}

impl<'a> BaseStream<'a> {
    fn new(past: &'a PastCollection) -> Result<Self> {
        let decompressor = match &past.dictionary {
            Some(dictionary) => Decompressor::with_dictionary(dictionary),
            None => Decompressor::new(),
        };
        let decompressor =
            decompressor.map_err(|error| Failure::internal(format!("zstd: {error}")))?;
        Ok(Self {
            past,
            decompressor,
            open: None,
            next_frame: 0,
            bytes: Vec::new(),
            places: Vec::new(),
            at: 0,
        })
    }

    /// The bytes of a frame on the wire; frames of a bundle follow each other.
    fn wire(&mut self, frame: &FramePlace) -> Result<Vec<u8>> {
        let path = self.past.objects.object_path(ObjectKind::Bundle, &frame.bundle);
        let (file, at) = match &mut self.open {
            Some((name, file, at)) if *name == frame.bundle => (file, at),
            slot => {
                let file = File::open(&path).map_err(on_file("read", &path))?;
                let (_, file, at) = slot.insert((frame.bundle, BufReader::new(file), 0));
                (file, at)
            }
        };
        if *at != frame.offset {
            file.seek(SeekFrom::Start(frame.offset)).map_err(on_file("read", &path))?;
        }
        let mut wire = vec![0u8; frame.len];
        file.read_exact(&mut wire).map_err(on_file("read", &path))?;
        *at = frame.offset + frame.len as u64;
        if wire_name(&wire) != frame.name {
            let message = format!("{} does not have the hash it is named by", path.display());
            return Err(Failure::verification(message)
                .next("remove this earlier build: the next one goes without it"));
        }
        Ok(wire)
    }

    fn next_frame(&mut self) -> Result<bool> {
        let Some(frame) = self.past.frames.get(self.next_frame) else { return Ok(false) };
        let upper = self.past.frames.get(self.next_frame + 1);
        let upper = upper.map(|next| next.child.separator.as_slice());
        self.next_frame += 1;
        let wire = self.wire(frame)?;
        let most = usize::try_from(frame.child.plain_len).unwrap_or(usize::MAX);
        let plain = self
            .decompressor
            .decompress(&wire, most)
            .map_err(|error| Failure::verification(format!("an earlier frame: {error}")))?;
        let verified = verify_frame(&frame.child, upper, plain)?;
        self.bytes.clear();
        self.places.clear();
        self.at = 0;
        let (bytes, places) = (&mut self.bytes, &mut self.places);
        verified.visit_from(&[], &mut |key, value| {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            let middle = bytes.len();
            bytes.extend_from_slice(value);
            places.push((start, middle, bytes.len()));
            true
        });
        Ok(true)
    }
}

impl Stream for BaseStream<'_> {
    fn advance(&mut self) -> Result<bool> {
        self.at += 1;
        while self.at > self.places.len() {
            if !self.next_frame()? {
                return Ok(false);
            }
            self.at = 1;
        }
        Ok(true)
    }

    fn key(&self) -> &[u8] {
        let (start, middle, _) = self.places[self.at - 1];
        &self.bytes[start..middle]
    }

    fn value(&self) -> &[u8] {
        let (_, middle, end) = self.places[self.at - 1];
        &self.bytes[middle..end]
    }
}
