//! The overlay of a version that is not a base: what leads from the base's tree to its own
//! (docs/spec/layer.md), written while the records of both stream by, and read again.
//!
//! Pages that a version does not touch are those of the version before: their bytes are taken
//! from there, which spares their compression and changes no name, the encoder being pinned.

use std::collections::BTreeMap;

use packice_core::format::layer::{
    Change, LayerDirectory, LayerPage, LayerPageRef, PageBody, Patch,
};
use packice_core::format::manifest::Overlay;
use packice_core::format::node::Child;
use packice_core::limits::{LAYER_PAGE_TARGET, MAX_LAYER_PAGE_PLAIN_LEN};
use packice_core::tree::layer::{BuiltPage, LayerWriter};
use packice_core::types::{ObjectKind, WireName};

use super::compress::FrameEncoder;
use super::content::{Differ, Step, Stream};
use super::objects::ObjectDir;
use crate::failure::{Failure, Result};

/// An overlay that can be read.
#[derive(Clone, Debug)]
pub struct OverlayPages {
    objects: ObjectDir,
    /// The directory.
    pub directory: LayerDirectory,
}

impl OverlayPages {
    /// Reads the directory.
    pub fn open(objects: &ObjectDir, overlay: &Overlay) -> Result<Self> {
        let bytes = objects.read(ObjectKind::Layer, &overlay.directory.name)?;
        Ok(Self { objects: objects.clone(), directory: LayerDirectory::parse(&bytes)? })
    }

    /// The page of a number.
    pub fn page(&self, number: usize) -> Result<LayerPage> {
        let missing = || Failure::internal("an overlay has fewer pages");
        let page = self.directory.pages.get(number).ok_or_else(missing)?;
        Ok(LayerPage::parse(page_plain(&self.wire(page)?, page.plain_len)?)?)
    }

    fn wire(&self, page: &LayerPageRef) -> Result<Vec<u8>> {
        self.objects.read(ObjectKind::LayerPage, &page.object.name)
    }
}

/// The entries of a page as it travels.
pub fn page_plain(wire: &[u8], plain_len: u64) -> Result<Vec<u8>> {
    let plain = match PageBody::parse(wire)? {
        PageBody::Raw(body) => body.to_vec(),
        PageBody::Zstd(body) => {
            zstd::bulk::decompress(body, MAX_LAYER_PAGE_PLAIN_LEN).map_err(|error| {
                Failure::verification(format!("a page of an overlay does not decode: {error}"))
            })?
        }
    };
    match plain.len() as u64 == plain_len {
        true => Ok(plain),
        false => Err(Failure::verification("a page of an overlay has another length than stated")),
    }
}

/// The entries of an overlay over the records below.
pub struct OverlayStream<'a> {
    below: Box<dyn Stream + 'a>,
    has_below: bool,
    pages: &'a OverlayPages,
    next_page: usize,
    /// The entries of the page, the last one first.
    entries: Vec<(Vec<u8>, Change)>,
    from_above: bool,
    begun: bool,
}

impl<'a> OverlayStream<'a> {
    /// Reads from the first record on.
    pub fn new(mut below: Box<dyn Stream + 'a>, pages: &'a OverlayPages) -> Result<Self> {
        let has_below = below.advance()?;
        let mut stream = Self {
            below,
            has_below,
            pages,
            next_page: 0,
            entries: Vec::new(),
            from_above: false,
            begun: false,
        };
        stream.fill()?;
        Ok(stream)
    }

    fn fill(&mut self) -> Result<()> {
        while self.entries.is_empty() {
            if self.next_page == self.pages.directory.pages.len() {
                break;
            }
            let page = self.pages.page(self.next_page)?;
            self.next_page += 1;
            let entries = &mut self.entries;
            page.visit_from(&[], &mut |key, change| {
                entries.push((key.to_vec(), change));
                true
            });
            entries.reverse();
        }
        Ok(())
    }

    /// Goes past the entry that was read last, and what it stands over.
    fn pass(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        if self.from_above {
            self.drop_entry()
        } else {
            self.has_below = self.below.advance()?;
            Ok(())
        }
    }

    fn drop_entry(&mut self) -> Result<()> {
        if let Some((key, _)) = self.entries.pop()
            && self.has_below
            && self.below.key() == key
        {
            self.has_below = self.below.advance()?;
        }
        self.fill()
    }
}

impl Stream for OverlayStream<'_> {
    fn advance(&mut self) -> Result<bool> {
        self.pass()?;
        loop {
            match self.entries.last() {
                Some((key, change)) if !self.has_below || key.as_slice() <= self.below.key() => {
                    if change.value().is_some() {
                        self.from_above = true;
                        return Ok(true);
                    }
                    self.drop_entry()?;
                }
                Some(_) | None => {
                    self.from_above = false;
                    return Ok(self.has_below);
                }
            }
        }
    }

    fn key(&self) -> &[u8] {
        match self.entries.last() {
            Some((key, _)) if self.from_above => key,
            Some(_) | None => self.below.key(),
        }
    }

    fn value(&self) -> &[u8] {
        match self.entries.last() {
            Some((_, change)) if self.from_above => change.value().unwrap_or_default(),
            Some(_) | None => self.below.value(),
        }
    }
}

/// What an overlay leads from and to.
pub struct Ends<'a> {
    /// The base's frames.
    pub base: &'a [Child],
    /// The version's frames.
    pub frames: &'a [Child],
    /// The overlay of the version before, on the same base.
    pub before: Option<&'a OverlayPages>,
}

/// Writes an overlay of at most `most` bytes on the wire; `None` where it would be longer, and
/// then nothing of it stays.
pub fn write(
    objects: &ObjectDir,
    mut differ: Differ<'_>,
    ends: &Ends<'_>,
    most: u64,
    threads: usize,
) -> Result<Option<Overlay>> {
    let mut pages = PageOut::new(objects, ends.before, threads);
    let mut writer = LayerWriter::new(LAYER_PAGE_TARGET);
    while let Some(step) = differ.advance()? {
        let ended = match step {
            Step::Same => continue,
            Step::Delete => writer.push(differ.old().0, &Change::Delete),
            Step::Update => {
                let (key, value) = differ.new_record();
                writer.push(key, &Change::Update(value.to_vec()))
            }
            Step::Insert => {
                let (key, value) = differ.new_record();
                writer.push(key, &Change::Insert(value.to_vec()))
            }
        };
        if let Some(page) = ended {
            pages.push(page)?;
            if pages.wire_len > most {
                pages.discard()?;
                return Ok(None);
            }
        }
    }
    let operations = writer.operations();
    if let Some(page) = writer.finish() {
        pages.push(page)?;
    }
    pages.flush()?;
    let patch = Patch::between(ends.base, ends.frames);
    let directory = LayerDirectory { operations, patch, pages: std::mem::take(&mut pages.list) };
    let bytes = directory.encode();
    // A directory that no client would read is one that is too long: then a base is cut.
    let wire_len = pages.wire_len + bytes.len() as u64;
    if wire_len > most || LayerDirectory::parse(&bytes).is_err() {
        pages.list = directory.pages;
        pages.discard()?;
        return Ok(None);
    }
    let directory = objects.write(ObjectKind::Layer, &bytes)?;
    Ok(Some(Overlay { directory, wire_len, operations }))
}

/// Compresses pages on all threads and writes them in their order.
struct PageOut<'a> {
    objects: &'a ObjectDir,
    before: Option<&'a OverlayPages>,
    known: BTreeMap<&'a [u8], &'a LayerPageRef>,
    threads: usize,
    waiting: Vec<BuiltPage>,
    list: Vec<LayerPageRef>,
    wire_len: u64,
}

impl<'a> PageOut<'a> {
    fn new(objects: &'a ObjectDir, before: Option<&'a OverlayPages>, threads: usize) -> Self {
        let pages = before.map(|before| before.directory.pages.as_slice()).unwrap_or_default();
        let known = pages.iter().map(|page| (page.start.as_slice(), page)).collect();
        let (waiting, list) = (Vec::new(), Vec::new());
        Self { objects, before, known, threads: threads.max(1), waiting, list, wire_len: 0 }
    }

    fn push(&mut self, page: BuiltPage) -> Result<()> {
        self.waiting.push(page);
        if self.waiting.len() >= self.threads { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let wires: Vec<Result<Vec<u8>>> = std::thread::scope(|scope| {
            let this = &*self;
            let running: Vec<_> =
                waiting.iter().map(|page| scope.spawn(move || this.wire(page))).collect();
            let gone = |_| Err(Failure::internal("a compressing thread panicked"));
            running.into_iter().map(|one| one.join().unwrap_or_else(gone)).collect()
        });
        for (page, wire) in waiting.into_iter().zip(wires) {
            let object = self.objects.write(ObjectKind::LayerPage, &wire?)?;
            self.wire_len += object.len;
            let plain_len = page.plain.len() as u64;
            self.list.push(LayerPageRef { start: page.start, object, plain_len });
        }
        Ok(())
    }

    fn wire(&self, page: &BuiltPage) -> Result<Vec<u8>> {
        if let (Some(before), Some(known)) = (self.before, self.known.get(page.start.as_slice()))
            && known.plain_len == page.plain.len() as u64
        {
            let wire = before.wire(known)?;
            if page_plain(&wire, known.plain_len)? == page.plain {
                return Ok(wire);
            }
        }
        let packed = FrameEncoder::new(None)?.encode(&page.plain)?;
        Ok(match packed.len() < page.plain.len() {
            true => PageBody::Zstd(&packed).encode(),
            false => PageBody::Raw(&page.plain).encode(),
        })
    }

    /// Removes the pages that were written.
    fn discard(&mut self) -> Result<()> {
        self.waiting.clear();
        let names: Vec<WireName> = self.list.drain(..).map(|page| page.object.name).collect();
        names.iter().try_for_each(|name| self.objects.remove(ObjectKind::LayerPage, name))
    }
}
