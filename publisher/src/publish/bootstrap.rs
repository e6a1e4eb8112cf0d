//! The bootstrap: what stands in it, and in which order, within its bytes.

use packice_core::format::bootstrap::Bootstrap;
use packice_core::format::layout::{Directory, Page};
use packice_core::format::manifest::{Collection, Manifest};
use packice_core::limits::{MAX_BOOTSTRAP_LEN, MAX_BOOTSTRAP_OBJECTS};
use packice_core::types::{LogHash, ObjectKind, WireName};

use crate::failure::{Failure, Result};
use crate::project::Build;
use crate::reach::overlay_objects;

/// Bytes for the manifest and the layouts: with them a cold read of one key costs one more round
/// trip. A set of 164 MB in frames of 256 KiB has a layout of 71 KB.
const LAYOUT_BYTES: usize = 88 << 10;
/// Bytes for the data of priority 0: a cold client waits for all of it.
const DATA_BYTES: usize = 56 << 10;
/// The directory of an overlay that is longer comes when it is asked for.
const LAYER_BYTES: u64 = 8 << 10;
/// A parent's delta that is longer comes when it is asked for: a cold client, which does not need
/// it, fetches the bootstrap too.
const DELTA_BYTES: u64 = 8 << 10;
/// What checkpoint, trust roots, head state and proof may take, beside the objects.
const SPARE_BYTES: usize = 4 << 10;

/// The signed part of a bootstrap.
pub struct SignedPart {
    /// The checkpoint.
    pub checkpoint: Vec<u8>,
    /// The trust roots.
    pub trust_chain: Vec<Vec<u8>>,
    /// The head state.
    pub head: Vec<u8>,
    /// Its inclusion proof.
    pub inclusion: Vec<LogHash>,
}

/// Puts a bootstrap together.
pub fn assemble(signed: SignedPart, objects: Vec<Vec<u8>>) -> Result<Vec<u8>> {
    let SignedPart { checkpoint, trust_chain, head, inclusion } = signed;
    let bytes = Bootstrap { checkpoint, trust_chain, head, inclusion, objects }.encode();
    Bootstrap::parse(&bytes)
        .map_err(|error| Failure::internal(format!("the bootstrap does not read back: {error}")))?;
    Ok(bytes)
}

/// Bytes that are left for objects beside the signed part.
pub fn object_room(signed: &SignedPart) -> usize {
    let chain: usize = signed.trust_chain.iter().map(Vec::len).sum();
    let own = signed.checkpoint.len() + chain + signed.head.len() + 32 * signed.inclusion.len();
    MAX_BOOTSTRAP_LEN.saturating_sub(own + SPARE_BYTES)
}

/// Objects of an earlier bootstrap, as far as they fit into another one.
pub fn kept_objects(objects: Vec<Vec<u8>>, room: usize) -> Vec<Vec<u8>> {
    let mut basket = Basket { objects: Vec::new(), bytes: 0, room };
    for object in objects {
        basket.take(object, room);
    }
    basket.objects
}

/// Takes objects while they fit.
struct Basket {
    objects: Vec<Vec<u8>>,
    bytes: usize,
    room: usize,
}

impl Basket {
    fn take(&mut self, bytes: Vec<u8>, limit: usize) {
        let after = self.bytes + bytes.len() + 4;
        let fits = after <= limit.min(self.room) && self.objects.len() < MAX_BOOTSTRAP_OBJECTS;
        if fits && !self.objects.contains(&bytes) {
            self.bytes = after;
            self.objects.push(bytes);
        }
    }
}

/// The objects of a build that a cold client needs first: the manifest, the directories, what leads
/// from the versions before to this one where it is small, the layout pages of collections that are
/// read before they are complete, and the bundles of priority 0.
pub fn inlined_objects(build: &Build, room: usize) -> Result<Vec<Vec<u8>>> {
    let read = |kind, name: &WireName| build.objects.read(kind, name);
    inlined_from(&build.manifest, &build.manifest_bytes, &read, room)
}

/// The same from wherever the objects are.
pub fn inlined_from(
    manifest: &Manifest,
    manifest_bytes: &[u8],
    read: &dyn Fn(ObjectKind, &WireName) -> Result<Vec<u8>>,
    room: usize,
) -> Result<Vec<Vec<u8>>> {
    let mut basket = Basket { objects: Vec::new(), bytes: 0, room };
    let mut collections: Vec<&Collection> = manifest.collections.iter().collect();
    collections.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    basket.take(manifest_bytes.to_vec(), room);
    let mut directories = Vec::new();
    for collection in &collections {
        let bytes = read(ObjectKind::Layout, &collection.base.directory.name)?;
        directories.push(Directory::parse(&bytes)?);
        basket.take(bytes, LAYOUT_BYTES);
    }
    for overlay in collections.iter().filter_map(|collection| collection.overlay) {
        if overlay.directory.len <= LAYER_BYTES {
            basket.take(read(ObjectKind::Layer, &overlay.directory.name)?, LAYOUT_BYTES);
        }
    }
    let mut first_pages = Vec::new();
    for (collection, directory) in collections.iter().zip(&directories) {
        if collection.priority > 0 && !collection.lazy {
            continue;
        }
        for reference in &directory.pages {
            if reference.object.len > room as u64 {
                continue;
            }
            let bytes = read(ObjectKind::Layout, &reference.object.name)?;
            if collection.priority == 0 {
                first_pages.push(Page::parse(&bytes)?);
            }
            basket.take(bytes, LAYOUT_BYTES);
        }
    }
    let data_end = basket.bytes + DATA_BYTES;
    for bundle in first_pages.iter().flat_map(|page| &page.bundles) {
        if bundle.wire_len() <= room as u64 {
            basket.take(read(ObjectKind::Bundle, &bundle.name)?, data_end);
        }
    }
    let priority_0 = collections.iter().filter(|collection| collection.priority == 0);
    for overlay in priority_0.filter_map(|collection| collection.overlay) {
        for item in overlay_objects(&overlay, &mut |item| read(item.kind, &item.object.name))? {
            if item.object.len <= room as u64 {
                basket.take(read(item.kind, &item.object.name)?, data_end);
            }
        }
    }
    // With the parent's deltas a client that follows is up to date by the bootstrap alone.
    for delta in collections.iter().filter_map(|collection| collection.deltas.last()) {
        if delta.wire_len() <= DELTA_BYTES {
            for segment in &delta.segments {
                basket.take(read(ObjectKind::Delta, &segment.object.name)?, room);
            }
        }
    }
    Ok(basket.objects)
}
