//! What a move of a pointer is checked against, read from the store.

use packice_core::trust::append::PointerMove;
use packice_core::types::Name;

use crate::pointer::{self, StoredPointer};
use crate::problem::Problem;
use crate::resource::Resource;
use crate::shell::store::{Small, Store};
use crate::verify::{self, Evidence};

/// Collects from the store what a move is checked against.
pub(crate) async fn gather(
    store: &Store,
    dataset: &Name,
    current: Option<&Small>,
    key: &str,
    new: &[u8],
) -> Result<Evidence, Problem> {
    let own = current.map(|current| current.bytes.clone());
    // Every head state tells of all channels, so the dataset's newest speaks for this one too.
    let newest = newest_pointer(store, dataset).await?;
    let old = match newest {
        Some(newest) if newest.key != key => {
            store.read(&newest.key).await?.map(|newest| newest.bytes)
        }
        Some(_) | None => own.clone(),
    };
    let mut tiles = Vec::new();
    for tile in verify::tiles(new)? {
        let resource = Resource::Tile { dataset: dataset.clone(), tile };
        let stored = store.read(&resource.key()).await?;
        tiles.push((tile, verify::uploaded(&resource, stored.map(|stored| stored.bytes))?));
    }
    let trust_roots = trust_roots(store, dataset).await?;
    Ok(Evidence { trust_roots, old, own, tiles })
}

/// Checks that what a client asks for first is in the store: the manifest, and what stands
/// right behind it.
pub(crate) async fn check_objects(
    store: &Store,
    dataset: &Name,
    moved: &PointerMove,
) -> Result<(), Problem> {
    let Some(manifest) = verify::manifest(dataset, moved) else { return Ok(()) };
    let stored = store.read(&manifest.resource.key()).await?.map(|stored| stored.bytes);
    for needed in verify::manifest_needs(dataset, moved, stored)? {
        let meta = store.head(&needed.resource.key()).await?;
        needed.check(meta.map(|meta| meta.size))?;
    }
    Ok(())
}

/// The dataset's trust roots from the first on, as far as they go without a gap.
pub(crate) async fn trust_roots(store: &Store, dataset: &Name) -> Result<Vec<Vec<u8>>, Problem> {
    let mut roots = Vec::new();
    for version in verify::trust_root_versions() {
        let root = Resource::TrustRoot { dataset: dataset.clone(), version };
        match store.read(&root.key()).await? {
            Some(stored) => roots.push(stored.bytes),
            None => break,
        }
    }
    Ok(roots)
}

/// The dataset's newest pointer.
pub(crate) async fn newest_pointer(
    store: &Store,
    dataset: &Name,
) -> Result<Option<StoredPointer>, Problem> {
    Ok(pointer::newest(stored_pointers(store, dataset).await?))
}

/// The dataset's pointers, and where each stands.
pub(crate) async fn stored_pointers(
    store: &Store,
    dataset: &Name,
) -> Result<Vec<StoredPointer>, Problem> {
    let mut pointers = Vec::new();
    for (key, mark) in store.pointers(dataset).await? {
        let mark = match mark {
            Some(mark) => Some(mark),
            None => store.read(&key).await?.and_then(|stored| verify::mark(&stored.bytes)),
        };
        pointers.extend(mark.map(|mark| StoredPointer { key, mark }));
    }
    Ok(pointers)
}
