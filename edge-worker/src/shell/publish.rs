//! The shell's way through an upload: what `upload`, `pointer` and `verify` ask for, in order.
//! A body is whole and checked before a byte of it is visible, and every write is conditional.

use futures_util::StreamExt;
use packice_core::trust::append::PointerMove;
use packice_core::trust::tiles::TileRef;
use packice_core::types::Name;
use worker::{Request, console_error};

use crate::headers::RequestHeaders;
use crate::log;
use crate::pointer::{self, PointerMark, Precondition, StoredPointer, Swap};
use crate::problem::{Problem, ProblemCode};
use crate::reply::Reply;
use crate::resource::Resource;
use crate::shell::cache;
use crate::shell::serve::Edge;
use crate::shell::store::{Small, Store};
use crate::upload::{self, Collector, TileWrite};
use crate::verify::{self, Evidence};

impl Edge {
    /// Takes an upload.
    pub(crate) async fn write(
        &self,
        resource: &Resource,
        headers: &RequestHeaders,
        request: &mut Request,
    ) -> Result<Reply, Problem> {
        let length = upload::admit(resource, headers, &self.tokens())?;
        let store = self.store()?;
        match resource {
            Resource::Object { name, .. } => {
                let body = receive(request, length).await?;
                upload::check_name(name, &body)?;
                // The name is the content: whoever came before wrote the same bytes.
                let put = store.put(&resource.key(), body, &Swap::Create, None).await?;
                if put.is_some() {
                    // Bytes that were damaged in the store, and removed, may still be cached.
                    self.forget(resource).await;
                }
                Ok(upload::written(resource, put.is_some(), &name.to_hex()))
            }
            Resource::Bootstrap { dataset, channel } => {
                let body = receive(request, length).await?;
                let precondition = Precondition::parse(headers)?;
                self.move_pointer(store, (dataset, channel), &precondition, body).await
            }
            Resource::Tile { dataset, tile } => {
                let body = receive(request, length).await?;
                upload::check_tile(tile, &body)?;
                let reply = write_tile(store, resource, (dataset, tile), body).await?;
                // Below a new floor another tile may have been cached under this name.
                self.forget(resource).await;
                Ok(reply)
            }
            Resource::TrustRoot { dataset, version } => {
                let body = receive(request, length).await?;
                write_trust_root(store, resource, (dataset, *version), body).await
            }
            Resource::Checkpoint { .. } => {
                let detail = "the checkpoint moves with the bootstrap of its channel";
                Err(Problem::new(ProblemCode::MethodNotAllowed, detail))
            }
        }
    }

    async fn move_pointer(
        &self,
        store: &Store,
        (dataset, channel): (&Name, &Name),
        precondition: &Precondition,
        body: Vec<u8>,
    ) -> Result<Reply, Problem> {
        let resource = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() };
        let key = resource.key();
        let current = store.read(&key).await?;
        // A move whose answer was lost on its way is sent again: it is done already.
        if let Some(current) = current.as_ref().filter(|current| current.bytes == body) {
            return Ok(upload::written(&resource, false, &current.etag));
        }
        let swap = precondition.check(current.as_ref().map(|current| current.etag.as_str()))?;
        let created = swap == Swap::Create;
        let (etag, tiles) = swap_pointer(store, (dataset, channel), current, &swap, body).await?;
        self.settle_tiles(store, dataset, &tiles).await?;
        self.forget(&resource).await;
        self.forget(&Resource::Checkpoint { dataset: dataset.clone() }).await;
        Ok(upload::written(&resource, created, &etag))
    }

    /// Another publisher's tiles that were let in between the check and the move give way to
    /// those that were checked: from now on they are there for good.
    async fn settle_tiles(
        &self,
        store: &Store,
        dataset: &Name,
        tiles: &[(TileRef, Vec<u8>)],
    ) -> Result<(), Problem> {
        for (tile, bytes) in tiles {
            let resource = Resource::Tile { dataset: dataset.clone(), tile: *tile };
            let key = resource.key();
            while let Some(stored) = store.read(&key).await? {
                let swap = Swap::Replace { etag: stored.etag };
                // A swap that is lost shows bytes that came before the move was visible: once
                // more, and no upload is let in after.
                if stored.bytes == *bytes
                    || store.put(&key, bytes.clone(), &swap, None).await?.is_some()
                {
                    break;
                }
            }
            self.forget(&resource).await;
        }
        Ok(())
    }

    /// Forgets what this data centre keeps of what was written anew.
    async fn forget(&self, resource: &Resource) {
        let url = self.url(resource);
        if let Err(error) = cache::forget(&url).await {
            console_error!("{}", log::line("cache", "forget", &url, &error.to_string()));
        }
    }
}

/// Checks a move, and swaps the pointer if it still stands as it was read: its new tag, and the
/// tiles that it was checked against.
pub(crate) async fn swap_pointer(
    store: &Store,
    (dataset, channel): (&Name, &Name),
    current: Option<Small>,
    swap: &Swap,
    body: Vec<u8>,
) -> Result<(String, Vec<(TileRef, Vec<u8>)>), Problem> {
    let resource = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() };
    let key = resource.key();
    let evidence = gather(store, dataset, current, &key, &body).await?;
    let moved = verify::check_move(dataset, channel, &evidence, &body)?;
    check_objects(store, dataset, &moved).await?;
    let mark = PointerMark::of(&moved);
    match store.put(&key, body, swap, Some(mark)).await? {
        Some(etag) => Ok((etag, evidence.tiles)),
        None => {
            let now = store.head(&key).await?;
            Err(pointer::lost(now.as_ref().map(|meta| meta.etag.as_str())))
        }
    }
}

/// Collects from the store what a move is checked against.
async fn gather(
    store: &Store,
    dataset: &Name,
    current: Option<Small>,
    key: &str,
    new: &[u8],
) -> Result<Evidence, Problem> {
    let own = current.map(|current| current.bytes);
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
async fn check_objects(store: &Store, dataset: &Name, moved: &PointerMove) -> Result<(), Problem> {
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
async fn newest_pointer(store: &Store, dataset: &Name) -> Result<Option<StoredPointer>, Problem> {
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

/// The size of the log that the dataset's newest pointer stands at; 0 before the first.
pub(crate) async fn settled_size(store: &Store, dataset: &Name) -> Result<u64, Problem> {
    let newest = newest_pointer(store, dataset).await?;
    Ok(newest.map_or(0, |newest| newest.mark.log_size))
}

/// The size up to which tiles are there for good. A trust root with a new floor, which no pointer
/// stands under yet, makes void what came after the floor.
async fn lasting_size(store: &Store, dataset: &Name) -> Result<u64, Problem> {
    let Some(newest) = newest_pointer(store, dataset).await? else { return Ok(0) };
    let Some(stored) = store.read(&newest.key).await? else { return Ok(newest.mark.log_size) };
    let roots = trust_roots(store, dataset).await?;
    verify::lasting_size(dataset, &roots, &stored.bytes, newest.mark.log_size)
}

async fn write_tile(
    store: &Store,
    resource: &Resource,
    (dataset, tile): (&Name, &TileRef),
    body: Vec<u8>,
) -> Result<Reply, Problem> {
    let key = resource.key();
    let Some(before) = store.read(&key).await? else {
        let put = store.put(&key, body.clone(), &Swap::Create, None).await?;
        return match put {
            Some(etag) => Ok(upload::written(resource, true, &etag)),
            None => overtaken(store, resource, &body).await,
        };
    };
    let log_size = lasting_size(store, dataset).await?;
    match upload::tile_write(tile, log_size, &before.bytes, &body)? {
        TileWrite::AlreadyThere => Ok(upload::written(resource, false, &before.etag)),
        TileWrite::Replace => {
            let swap = Swap::Replace { etag: before.etag };
            let Some(etag) = store.put(&key, body.clone(), &swap, None).await? else {
                return overtaken(store, resource, &body).await;
            };
            // A pointer that moved over the tile meanwhile was checked against the bytes before:
            // they come back, and whoever replaced them hears that they are there for good.
            let log_size = lasting_size(store, dataset).await?;
            if let Err(settled) = upload::check_open(tile, log_size) {
                store.put(&key, before.bytes, &Swap::Replace { etag }, None).await?;
                return Err(settled);
            }
            Ok(upload::written(resource, false, &etag))
        }
    }
}

async fn write_trust_root(
    store: &Store,
    resource: &Resource,
    (dataset, version): (&Name, u64),
    body: Vec<u8>,
) -> Result<Reply, Problem> {
    let key = resource.key();
    if let Some(existing) = store.read(&key).await? {
        verify::same_trust_root(version, &existing.bytes, &body)?;
        return Ok(upload::written(resource, false, &existing.etag));
    }
    let before = match verify::trust_root_before(dataset, version) {
        Some(before) => {
            let stored = store.read(&before.key()).await?.map(|stored| stored.bytes);
            Some(verify::uploaded(&before, stored)?)
        }
        None => None,
    };
    verify::check_trust_root(dataset, version, before.as_deref(), &body)?;
    match store.put(&key, body.clone(), &Swap::Create, None).await? {
        Some(etag) => Ok(upload::written(resource, true, &etag)),
        None => overtaken(store, resource, &body).await,
    }
}

/// The answer to a write that another one came before: no loss where that one wrote the same.
async fn overtaken(store: &Store, resource: &Resource, body: &[u8]) -> Result<Reply, Problem> {
    match store.read(&resource.key()).await? {
        Some(stored) if stored.bytes == body => Ok(upload::written(resource, false, &stored.etag)),
        Some(_) | None => Err(upload::overtaken(resource)),
    }
}

async fn receive(request: &mut Request, length: usize) -> Result<Vec<u8>, Problem> {
    let mut collector = Collector::new(length);
    if request.inner().body().is_some() {
        let aborted = |error: worker::Error| {
            Problem::new(ProblemCode::BadRequest, format!("the body broke off: {error}"))
        };
        let mut stream = request.stream().map_err(aborted)?;
        while let Some(chunk) = stream.next().await {
            collector.push(&chunk.map_err(aborted)?)?;
        }
    }
    collector.finish()
}

/// Reads what is left of a body, and drops it.
pub(crate) async fn drain(request: &mut Request) {
    if request.inner().body().is_none() || request.inner().body_used() {
        return;
    }
    let Ok(mut stream) = request.stream() else { return };
    while let Some(Ok(_)) = stream.next().await {}
}
