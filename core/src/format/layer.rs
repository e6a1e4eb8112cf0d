//! Layers (docs/spec/layer.md): what stands over a tree to make it the tree of a newer version.
//!
//! In scope: the directory, with the patch of the list of frames, and the pages of entries. A
//! publisher makes one layer for each version that is not a base; a client makes one of each
//! delta that it applies.
//!
//! A layer needs no trust: the frames that its patch leads to must give the signed root, and what
//! is read through its pages must have the identities of those frames. An attacker could claim
//! many frames, pages or long entries: all are bounded before anything is kept.

use alloc::vec::Vec;

use crate::codec::{Reader, Writer, at_most};
use crate::error::{Error, FormatError};
use crate::limits::{
    MAX_KEY_LEN, MAX_LAYER_LEN, MAX_LAYER_PAGE_PLAIN_LEN, MAX_LAYER_PAGES, MAX_NEW_FRAMES,
    MAX_NUMBER, MAX_OBJECT_LEN, MAX_PATCH_RUNS, MAX_VALUE_LEN,
};
use crate::types::ObjectRef;

use super::node::Child;

const MAGIC: &[u8; 4] = b"PKO1";
const PAGE_MAGIC: &[u8; 4] = b"PKG1";
/// The bytes of a page before its entries.
const PAGE_PRELUDE_LEN: usize = PAGE_MAGIC.len() + 1;

/// A layer's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerDirectory {
    /// Entries in all pages.
    pub operations: u64,
    /// How the frames of the tree below become those of the tree above.
    pub patch: Patch,
    /// The pages, by start key.
    pub pages: Vec<LayerPageRef>,
}

/// What becomes of a list of frames: runs in key order; after the last all frames are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The runs.
    pub runs: Vec<Run>,
}

/// A run of frames that others take the place of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// So many frames before it are kept.
    pub keep: u64,
    /// So many frames go.
    pub drop: u64,
    /// The frames that come in their place.
    pub new: Vec<Child>,
}

/// A page as its directory names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPageRef {
    /// Its first key.
    pub start: Vec<u8>,
    /// The page on the wire.
    pub object: ObjectRef,
    /// Bytes of its entries, not compressed.
    pub plain_len: u64,
}

/// What a layer does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The record of the tree below is gone.
    Delete,
    /// The record of the tree below has another value.
    Update(Vec<u8>),
    /// A record that the tree below does not have.
    Insert(Vec<u8>),
}

impl Change {
    /// The value from now on; `None` where the record is gone.
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Delete => None,
            Self::Update(value) | Self::Insert(value) => Some(value),
        }
    }
}

impl LayerDirectory {
    /// Parses a whole directory.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, MAGIC, "layer", MAX_LAYER_LEN)?;
        let operations = r.number("layer operations", MAX_NUMBER)?;
        let patch = Patch::read(&mut r)?;
        let count = r.count("layer pages", MAX_LAYER_PAGES)?;
        let mut pages: Vec<LayerPageRef> = Vec::new();
        for _ in 0..count {
            let page = LayerPageRef {
                start: r.bytes("page start", MAX_KEY_LEN)?.to_vec(),
                object: r.object("layer page", MAX_OBJECT_LEN)?,
                plain_len: r.number("page plain length", MAX_LAYER_PAGE_PLAIN_LEN as u64)?,
            };
            if pages.last().is_some_and(|last| last.start >= page.start) {
                return Err(FormatError::Order { field: "layer pages" }.into());
            }
            pages.push(page);
        }
        r.finish("layer")?;
        Ok(Self { operations, patch, pages })
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_magic(MAGIC);
        w.number(self.operations);
        self.patch.write(&mut w);
        w.count(self.pages.len());
        for page in &self.pages {
            w.bytes(&page.start);
            w.object(&page.object);
            w.number(page.plain_len);
        }
        w.finish()
    }

    /// The numbers of the pages that may hold keys from `start` to before `end`.
    pub fn pages_of(&self, start: &[u8], end: Option<&[u8]>) -> core::ops::Range<usize> {
        let after = |key: &[u8]| self.pages.partition_point(|page| page.start.as_slice() <= key);
        let first = after(start).saturating_sub(1);
        let last = match end {
            Some(end) => self.pages.partition_point(|page| page.start.as_slice() < end),
            None => self.pages.len(),
        };
        first..last.max(first)
    }
}

impl Patch {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let count = r.count("patch runs", MAX_PATCH_RUNS)?;
        let (mut runs, mut last): (Vec<Run>, Option<Vec<u8>>) = (Vec::new(), None);
        for at in 0..count {
            let keep = r.number("kept frames", u64::from(u32::MAX))?;
            let drop = r.number("dropped frames", u64::from(u32::MAX))?;
            if at > 0 && keep == 0 {
                return Err(FormatError::NotCanonical { field: "kept frames" }.into());
            }
            let frames = r.count("new frames", MAX_NEW_FRAMES)?;
            if drop == 0 && frames == 0 {
                return Err(FormatError::NotCanonical { field: "patch runs" }.into());
            }
            let mut new = Vec::new();
            for _ in 0..frames {
                let child = Child::read(r)?;
                if last.as_ref().is_some_and(|last| *last >= child.separator) {
                    return Err(FormatError::Order { field: "new frames" }.into());
                }
                last = Some(child.separator.clone());
                new.push(child);
            }
            runs.push(Run { keep, drop, new });
        }
        Ok(Self { runs })
    }

    fn write(&self, w: &mut Writer) {
        w.count(self.runs.len());
        for run in &self.runs {
            w.number(run.keep);
            w.number(run.drop);
            w.count(run.new.len());
            for child in &run.new {
                child.write(w);
            }
        }
    }
}

/// The entries of a page, not compressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerPage {
    plain: Vec<u8>,
}

/// How a page's entries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageBody<'a> {
    /// As they are.
    Raw(&'a [u8]),
    /// As one zstd frame without a dictionary.
    Zstd(&'a [u8]),
}

impl<'a> PageBody<'a> {
    /// Reads what stands before the entries of a page.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::with_magic(bytes, PAGE_MAGIC, "layer page", MAX_OBJECT_LEN)?;
        match r.byte("page codec")? {
            0 => Ok(Self::Raw(r.rest())),
            1 => Ok(Self::Zstd(r.rest())),
            other => Err(FormatError::Invalid { field: "page codec", value: other.into() }.into()),
        }
    }

    /// The page's bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let (codec, body) = match self {
            Self::Raw(body) => (0, body),
            Self::Zstd(body) => (1, body),
        };
        let mut out = Vec::with_capacity(PAGE_PRELUDE_LEN + body.len());
        out.extend_from_slice(PAGE_MAGIC);
        out.push(codec);
        out.extend_from_slice(body);
        out
    }
}

impl LayerPage {
    /// Checks all entries of a page: canonical, in key order, within their bounds.
    pub fn parse(plain: Vec<u8>) -> Result<Self, Error> {
        at_most("layer page", plain.len() as u64, MAX_LAYER_PAGE_PLAIN_LEN as u64)?;
        let mut entries = Entries::new(&plain);
        while entries.advance()?.is_some() {}
        Ok(Self { plain })
    }

    /// The bytes of the entries.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Shows the entries from a key on, in key order, until the visitor wants no more.
    pub fn visit_from(&self, key: &[u8], visit: &mut dyn FnMut(&[u8], Change) -> bool) {
        let mut entries = Entries::new(&self.plain);
        // Parsed before: no error is left.
        while let Ok(Some((kind, value))) = entries.advance() {
            if entries.key.as_slice() >= key && !visit(&entries.key, kind.change(value)) {
                return;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delete = 0,
    Update = 1,
    Insert = 2,
}

impl Kind {
    fn change(self, value: &[u8]) -> Change {
        match self {
            Self::Delete => Change::Delete,
            Self::Update => Change::Update(value.to_vec()),
            Self::Insert => Change::Insert(value.to_vec()),
        }
    }
}

#[derive(Debug)]
struct Entries<'a> {
    rest: Reader<'a>,
    key: Vec<u8>,
    started: bool,
}

impl<'a> Entries<'a> {
    fn new(plain: &'a [u8]) -> Self {
        Self { rest: Reader::new(plain), key: Vec::new(), started: false }
    }

    fn advance(&mut self) -> Result<Option<(Kind, &'a [u8])>, Error> {
        if self.rest.rest().is_empty() {
            return Ok(None);
        }
        let shared = self.rest.count("shared key length", MAX_KEY_LEN)?;
        let suffix = self.rest.bytes("key", MAX_KEY_LEN)?;
        if shared > self.key.len() {
            let value = shared as u64;
            return Err(FormatError::Invalid { field: "shared key length", value }.into());
        }
        at_most("key", (shared + suffix.len()) as u64, MAX_KEY_LEN as u64)?;
        let (new, old) = (suffix.first(), self.key.get(shared));
        if self.started && (new.is_none() || old.is_some_and(|old| new < Some(old))) {
            return Err(FormatError::Order { field: "keys" }.into());
        }
        if self.started && new == old {
            return Err(FormatError::NotCanonical { field: "shared key length" }.into());
        }
        self.started = true;
        let kind = match self.rest.byte("entry kind")? {
            0 => Kind::Delete,
            1 => Kind::Update,
            2 => Kind::Insert,
            other => {
                let value = other.into();
                return Err(FormatError::Invalid { field: "entry kind", value }.into());
            }
        };
        let value = match kind {
            Kind::Delete => &[],
            Kind::Update | Kind::Insert => self.rest.bytes("value", MAX_VALUE_LEN)?,
        };
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        Ok(Some((kind, value)))
    }
}

/// Writes the entries of one page.
#[derive(Clone, Debug, Default)]
pub struct LayerPageWriter {
    body: Writer,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    entries: u64,
}

impl LayerPageWriter {
    /// Adds an entry; the caller gives keys in ascending order. Gives the bytes that it added.
    pub fn push(&mut self, key: &[u8], change: &Change) -> usize {
        let before = self.body.len();
        let shared = match self.entries {
            0 => 0,
            _ => self.last_key.iter().zip(key).take_while(|(a, b)| a == b).count(),
        };
        self.body.count(shared);
        self.body.bytes(key.get(shared..).unwrap_or_default());
        match change {
            Change::Delete => self.body.byte(Kind::Delete as u8),
            Change::Update(value) => {
                self.body.byte(Kind::Update as u8);
                self.body.bytes(value);
            }
            Change::Insert(value) => {
                self.body.byte(Kind::Insert as u8);
                self.body.bytes(value);
            }
        }
        if self.entries == 0 {
            self.first_key = key.to_vec();
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
        self.body.len() - before
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The first key, and the bytes of all entries.
    pub fn finish(self) -> (Vec<u8>, Vec<u8>) {
        (self.first_key, self.body.finish())
    }
}
