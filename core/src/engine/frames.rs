//! What a frame is made of, and getting all of it: pages, layer directories, the dictionary, the
//! frame's bytes; or the frames and the layer pages that it is put together from.
//!
//! Whoever wants a frame names a version and asks again when woken. Nothing comes out of here that
//! was not checked up to the signed root.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::error::{Error, FormatError};
use crate::format::layer::{LayerPage, PageBody};
use crate::format::manifest::Params;
use crate::map::Set;
use crate::plan::queue::Class;
use crate::tree::index::FrameId;
use crate::tree::layer::{Entries, compose};
use crate::tree::verify::{VerifiedFrame, verify_frame};
use crate::tree::view::{Missing, Place, Spot};
use crate::types::{ObjectKind, ObjectRef, Version, WireName};

use super::Engine;
use super::blob::{BlobSpec, Poll, Wish, is_layout_mismatch};
use super::io::{Event, Failure, ReadId, StoreKey, UnknownReason};
use super::snapshot::{Shelf, Snapshot};
use super::work::{DecodeJob, WorkItem};

/// Which of the versions at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// The one that serves reads.
    Serving,
    /// The one that a sync is bringing.
    Target,
    /// One that served reads before.
    Kept(Version),
}

/// A collection of a version, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) which: Which,
    pub(super) at: usize,
}

/// Why something is not here.
#[derive(Clone, Debug)]
pub(super) enum Lack {
    /// It is on its way: ask again when woken.
    Waits,
    /// It is not stored, and cannot or must not be fetched.
    Unknown(UnknownReason),
    Failed(Failure),
}

pub(super) type Got<T> = Result<T, Lack>;

impl From<Error> for Lack {
    fn from(error: Error) -> Self {
        Self::Failed(Failure::Error(error))
    }
}

/// A frame that is being put together, and who waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Composing {
    readers: Set<ReadId>,
    failed: Option<Failure>,
}

/// A frame to be put together, with all that it takes.
#[derive(Clone, Debug)]
pub(super) struct ComposeJob {
    params: Params,
    spot: Spot,
    below: Vec<Rc<VerifiedFrame>>,
    /// The pages of all layers that its range meets, lowest layer first.
    pages: Vec<PagePart>,
}

#[derive(Clone, Debug)]
struct PagePart {
    name: WireName,
    plain_len: u64,
    page: PageState,
}

#[derive(Clone, Debug)]
enum PageState {
    Wire(Rc<Vec<u8>>),
    Parsed(Rc<LayerPage>),
}

impl Engine {
    pub(super) fn snapshot(&self, which: Which) -> Option<&Snapshot> {
        match which {
            Which::Serving => self.serving(),
            Which::Target => self.target.as_ref(),
            Which::Kept(version) => self.kept.iter().find(|kept| kept.manifest.version == version),
        }
    }

    pub(super) fn snapshot_mut(&mut self, which: Which) -> Option<&mut Snapshot> {
        match which {
            Which::Serving => self.committed.as_mut().or(self.target.as_mut()),
            Which::Target => self.target.as_mut(),
            Which::Kept(version) => {
                self.kept.iter_mut().find(|kept| kept.manifest.version == version)
            }
        }
    }

    pub(super) fn shelf(&self, part: Part) -> Got<&Shelf> {
        let shelf = self.snapshot(part.which).and_then(|version| version.shelves.get(part.at));
        shelf
            .ok_or_else(|| crate::error::Misuse::UnknownCollection.into())
            .map_err(|error: Error| error.into())
    }

    /// The frame that a key belongs to; `None` in an empty collection.
    pub(super) fn locate(&mut self, part: Part, key: &[u8], wish: Wish) -> Got<Option<Spot>> {
        loop {
            match self.shelf(part)?.view.locate(key) {
                None => return Ok(None),
                Some(Place::Frame(spot)) => return Ok(Some(spot)),
                Some(Place::Behind(Missing::Page(page))) if !self.is_layered(part)? => {
                    // The dictionary will be needed as well: both are asked for at once.
                    self.ask_dictionary(part, wish)?;
                    self.page(part, page, wish)?;
                }
                Some(Place::Behind(_)) => {
                    self.ask_dictionary(part, wish)?;
                    self.bring(part, wish)?;
                }
            }
        }
    }

    fn is_layered(&self, part: Part) -> Got<bool> {
        Ok(!self.shelf(part)?.view.layers().is_empty())
    }

    /// Brings everything that frames under layers are found by, all of it asked for at once.
    pub(super) fn bring(&mut self, part: Part, wish: Wish) -> Got<()> {
        let mut lack = Ok(());
        for missing in self.shelf(part)?.view.missing() {
            let got = match missing {
                Missing::Page(page) => self.page(part, page, wish),
                Missing::Layer(layer) => self.layer(part, layer, wish),
            };
            match got {
                Err(Lack::Waits) | Ok(()) if lack.is_err() => {}
                got => lack = got,
            }
        }
        lack
    }

    /// Brings a page into the index.
    pub(super) fn page(&mut self, part: Part, page: u32, wish: Wish) -> Got<()> {
        let Some(object) = self.shelf(part)?.index().page(page).map(|page| page.object) else {
            return Ok(());
        };
        let bytes = self.object(part, ObjectKind::Layout, object, wish)?;
        if let Some(snapshot) = self.snapshot_mut(part.which)
            && let Err(error) = snapshot.add_page(part.at, page, &bytes)
        {
            self.belied(part.at, ObjectKind::Layout, object.name, None);
            return Err(error.into());
        }
        self.drop_blob(&object.name);
        Ok(())
    }

    /// Brings a layer's directory into the view.
    pub(super) fn layer(&mut self, part: Part, layer: usize, wish: Wish) -> Got<()> {
        let slot = self.shelf(part)?.view.layers().get(layer);
        let Some(object) = slot.map(|slot| slot.object) else { return Ok(()) };
        let bytes = self.object(part, ObjectKind::Layer, object, wish)?;
        if let Some(snapshot) = self.snapshot_mut(part.which)
            && let Err(error) = snapshot.add_layer(part.at, layer, &bytes)
        {
            self.layer_belied(part, ObjectKind::Layer, object.name);
            return Err(error.into());
        }
        self.drop_blob(&object.name);
        Ok(())
    }

    fn ask_dictionary(&mut self, part: Part, wish: Wish) -> Got<()> {
        match self.dictionary(part, wish) {
            Err(Lack::Failed(failure)) => Err(Lack::Failed(failure)),
            Ok(()) | Err(Lack::Waits | Lack::Unknown(_)) => Ok(()),
        }
    }

    /// Brings the collection's dictionary into the decoder.
    pub(super) fn dictionary(&mut self, part: Part, wish: Wish) -> Got<()> {
        let Some(dictionary) = self.shelf(part)?.base.dictionary else { return Ok(()) };
        let object = dictionary.object;
        if self.decoder.has_dictionary(&object.name) {
            return Ok(());
        }
        let bytes = self.object(part, ObjectKind::Dictionary, object, wish)?;
        let installed = self.decoder.install_dictionary(object.name, &bytes, dictionary.plain_len);
        if let Err(error) = installed {
            self.belied(part.at, ObjectKind::Dictionary, object.name, None);
            return Err(error.into());
        }
        self.decoded_bytes += u64::from(dictionary.plain_len);
        self.drop_blob(&object.name);
        Ok(())
    }

    /// An object of a version: layers of the client's own are asked of nobody.
    fn object(
        &mut self,
        part: Part,
        kind: ObjectKind,
        object: ObjectRef,
        wish: Wish,
    ) -> Got<Rc<Vec<u8>>> {
        let private = matches!(kind, ObjectKind::Layer | ObjectKind::LayerPage);
        let network = wish.network && !(private && self.shelf(part)?.own);
        found(self.want(&BlobSpec::Object { kind, object }, Wish { network, ..wish }))
    }

    /// A frame of a version, decoded or put together, and verified.
    pub(super) fn frame(&mut self, part: Part, spot: &Spot, wish: Wish) -> Got<Rc<VerifiedFrame>> {
        if let Some(frame) = self.frames.fetch(spot.child.identity) {
            return Ok(frame);
        }
        match spot.base {
            Some(id) => self.base_frame(part, id, wish),
            None => self.composed(part, spot, wish),
        }
    }

    fn base_frame(&mut self, part: Part, id: FrameId, wish: Wish) -> Got<Rc<VerifiedFrame>> {
        let shelf = self.shelf(part)?;
        let Some(info) = shelf.index().frame(id) else { return Err(Lack::Waits) };
        let identity = info.child.identity;
        let spec = BlobSpec::Frame {
            frame: info.wire,
            bundle: ObjectRef { name: info.bundle.name, len: info.bundle.len },
            offset: info.offset,
        };
        let mut job = DecodeJob::of(&shelf.base, &info);
        job.at = part.at;
        job.number = id.frame.saturating_sub(info.bundle.first_frame.frame).into();
        if let Some(frame) = self.frames.fetch(identity) {
            return Ok(frame);
        }
        let dictionary = self.dictionary(part, wish);
        if let Err(Lack::Failed(failure)) = dictionary {
            return Err(Lack::Failed(failure));
        }
        job.wire = found(self.want(&spec, wish))?;
        dictionary?;
        let name = spec.name();
        self.decode_later(name, WorkItem::Decode(job), wish.class);
        if let Some(reader) = wish.reader {
            self.wait_for(&name, reader);
        }
        Err(Lack::Waits)
    }

    /// A frame put together from those below and the pages of the layers.
    fn composed(&mut self, part: Part, spot: &Spot, wish: Wish) -> Got<Rc<VerifiedFrame>> {
        let identity = spot.child.identity;
        if let Some(composing) = self.composing.get_mut(&identity) {
            composing.readers.extend(wish.reader);
            let Some(failure) = composing.failed.clone() else { return Err(Lack::Waits) };
            self.composing.remove(&identity);
            return Err(Lack::Failed(failure));
        }
        let pages = self.pages_over(part, spot, wish);
        if let Err(Lack::Failed(failure)) = pages {
            return Err(Lack::Failed(failure));
        }
        let mut below = Vec::new();
        for id in self.shelf(part)?.view.below(spot) {
            below.push(self.base_frame(part, id, wish)?);
        }
        let params = *self.shelf(part)?.view.params();
        let job = ComposeJob { params, spot: spot.clone(), below, pages: pages? };
        let readers = wish.reader.into_iter().collect();
        self.composing.insert(identity, Composing { readers, failed: None });
        self.work.push_as(wish.class, WorkItem::Compose(job.into(), part));
        Err(Lack::Waits)
    }

    /// The pages of all layers that a frame's range meets.
    fn pages_over(&mut self, part: Part, spot: &Spot, wish: Wish) -> Got<Vec<PagePart>> {
        let mut wanted: Vec<(ObjectRef, u64)> = Vec::new();
        for layer in self.shelf(part)?.view.layers() {
            let Some(directory) = &layer.directory else { continue };
            let pages = directory.pages_of(&spot.child.separator, spot.upper.as_deref());
            let pages = directory.pages.get(pages).unwrap_or_default();
            wanted.extend(pages.iter().map(|page| (page.object, page.plain_len)));
        }
        let (mut pages, mut lack) = (Vec::new(), None);
        for (object, plain_len) in wanted {
            let name = object.name;
            let page = match self.layer_pages.fetch(name) {
                Some(page) => Ok(PageState::Parsed(page)),
                None => self.object(part, ObjectKind::LayerPage, object, wish).map(PageState::Wire),
            };
            match page {
                Ok(page) => pages.push(PagePart { name, plain_len, page }),
                Err(Lack::Waits) if lack.is_some() => {}
                Err(why) => lack = Some(why),
            }
        }
        lack.map_or(Ok(pages), Err)
    }

    /// A page of a layer, parsed.
    pub(super) fn layer_page(
        &mut self,
        part: Part,
        object: ObjectRef,
        plain_len: u64,
        wish: Wish,
    ) -> Got<Rc<LayerPage>> {
        if let Some(page) = self.layer_pages.fetch(object.name) {
            return Ok(page);
        }
        let wire = self.object(part, ObjectKind::LayerPage, object, wish)?;
        self.drop_blob(&object.name);
        Ok(self.parse_page(object.name, plain_len, &wire)?)
    }

    /// Puts a frame together; about what it cost, in bytes of hashing.
    #[inline(never)]
    pub(super) fn compose(&mut self, job: &ComposeJob, part: Part) -> usize {
        let identity = job.spot.child.identity;
        let plain_len = usize::try_from(job.spot.child.plain_len).unwrap_or(usize::MAX);
        let failed = match self.try_compose(job) {
            Ok(frame) => {
                self.delta_status.composed_bytes += frame.plain().len() as u64;
                self.cache_frame(identity, frame);
                None
            }
            Err(error) => {
                if is_layout_mismatch(&error) {
                    for page in &job.pages {
                        self.layer_belied(part, ObjectKind::LayerPage, page.name);
                    }
                }
                Some(Failure::Error(error))
            }
        };
        for page in &job.pages {
            self.drop_blob(&page.name);
        }
        let composing = self.composing.remove(&identity).unwrap_or_default();
        self.ready_reads.extend(composing.readers);
        if failed.is_some() {
            self.composing.insert(identity, Composing { readers: Set::new(), failed });
        }
        plain_len.saturating_mul(4)
    }

    fn try_compose(&mut self, job: &ComposeJob) -> Result<VerifiedFrame, Error> {
        let (start, end) = (job.spot.child.separator.as_slice(), job.spot.upper.as_deref());
        let mut entries = Entries::default();
        for part in &job.pages {
            let page = match &part.page {
                PageState::Parsed(page) => page.clone(),
                PageState::Wire(wire) => self.parse_page(part.name, part.plain_len, wire)?,
            };
            entries.lay_page(&page, start, end);
        }
        let plain = compose(&job.params, &job.below, entries.list(), start, end)?;
        verify_frame(&job.spot.child, end, plain)
    }

    /// Decodes a layer page and keeps it at hand.
    pub(super) fn parse_page(
        &mut self,
        name: WireName,
        plain_len: u64,
        wire: &[u8],
    ) -> Result<Rc<LayerPage>, Error> {
        let plain = match PageBody::parse(wire)? {
            PageBody::Raw(body) => body.to_vec(),
            PageBody::Zstd(body) => self.decoder.decode(body, plain_len, None)?,
        };
        if plain.len() as u64 != plain_len {
            let value = plain.len() as u64;
            return Err(FormatError::Invalid { field: "page plain length", value }.into());
        }
        let page = Rc::new(LayerPage::parse(plain)?);
        let len = page.plain().len();
        self.layer_pages.insert(name, page.clone(), len);
        Ok(page)
    }

    /// A layer that does not lead to the signed root: a publisher's is named as such; one of the
    /// client's own is as good as lost, and the next sync takes another road.
    pub(super) fn layer_belied(&mut self, part: Part, kind: ObjectKind, name: WireName) {
        let own = self.shelf(part).is_ok_and(|shelf| shelf.own);
        self.layer_pages.remove(name);
        if own {
            let key = StoreKey::Object(kind, name);
            self.store.forget(&key);
            self.event(Event::Damaged { key });
        } else if part.which == Which::Target {
            self.target_belied(part.at, kind, name);
        } else {
            self.belied(part.at, kind, name, None);
        }
    }
}

/// A blob's bytes, or what whoever lacks them does next.
pub(super) fn found(poll: Poll) -> Got<Rc<Vec<u8>>> {
    match poll {
        Poll::Ready(bytes) => Ok(bytes),
        Poll::Pending => Err(Lack::Waits),
        Poll::NotHere => Err(Lack::Unknown(UnknownReason::NotSynced)),
        Poll::Failed(Failure::Sources { .. }) => Err(Lack::Unknown(UnknownReason::Unreachable)),
        Poll::Failed(failure) => Err(Lack::Failed(failure)),
    }
}

/// The wish of work that nobody waits for, with what is stored alone.
pub(super) fn quietly() -> Wish {
    Wish { class: Class::Collection(u8::MAX), network: false, reader: None }
}
