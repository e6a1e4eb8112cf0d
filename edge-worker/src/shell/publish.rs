//! The shell's way through an upload: what `upload`, `pointer` and `verify` ask for, in order.
//! A body is whole and checked before a byte of it is visible, and every write is conditional.

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use packice_core::trust::tiles::TileRef;
use packice_core::types::Name;
use worker::{Date, Delay, Request, console_error};

use crate::auth;
use crate::headers::RequestHeaders;
use crate::log;
use crate::metrics::Counter;
use crate::pointer::{Precondition, Swap};
use crate::problem::{Problem, ProblemCode};
use crate::rate::Counted;
use crate::release;
use crate::reply::Reply;
use crate::resource::Resource;
use crate::shell::cache;
use crate::shell::durable::keeper;
use crate::shell::durable::pointer;
use crate::shell::moves::{newest_pointer, trust_roots};
use crate::shell::rate;
use crate::shell::serve::Edge;
use crate::shell::store::Store;
use crate::shell::telemetry;
use crate::shell::tiers::Arriving;
use crate::upload::{self, Collector, TileWrite};
use crate::verify;

impl Edge {
    /// Takes an upload.
    pub(crate) async fn write(
        &self,
        resource: &Resource,
        headers: &RequestHeaders,
        request: &mut Request,
    ) -> Result<Reply, Problem> {
        // Who may not publish learns nothing else.
        let dataset = resource.dataset();
        rate::count_address(&self.env, Counted::Writes, request).await?;
        let publisher = self.authenticate(dataset, headers, request)?;
        let length = upload::admit(resource, headers)?;
        let store = self.store()?;
        self.let_in(dataset, &publisher, length as u64).await?;
        let digest = publisher.content_digest.as_deref().unwrap_or_default();
        match resource {
            Resource::Object { dataset, kind, name } => {
                let body = receive(request, length, digest).await?;
                upload::check_name(name, &body)?;
                // It may be about to be removed.
                keeper::claim(&self.env, dataset, &(*kind, *name)).await?;
                // The name is the content: whoever came before wrote the same bytes.
                let put = store.put(&resource.key(), body, &Swap::Create, None).await?;
                if put.is_some() {
                    // Bytes that were damaged in the store, and removed, may still be cached.
                    self.forget(resource).await;
                }
                telemetry::count(Counter::Uploads);
                Ok(upload::written(resource, put.is_some(), &name.to_hex()))
            }
            Resource::Bootstrap { dataset, channel } => {
                let body = receive(request, length, digest).await?;
                self.move_pointer((dataset, channel), &publisher.who, headers, body).await
            }
            Resource::Tile { dataset, tile } => {
                let body = receive(request, length, digest).await?;
                upload::check_tile(tile, &body)?;
                let reply = write_tile(store, resource, (dataset, tile), body).await?;
                // Below a new floor another tile may have been cached under this name.
                self.forget(resource).await;
                Ok(reply)
            }
            Resource::TrustRoot { dataset, version } => {
                let body = receive(request, length, digest).await?;
                write_trust_root(store, resource, (dataset, *version), body).await
            }
            Resource::Checkpoint { .. } | Resource::Head { .. } => {
                let detail = "checkpoint and head move with the bootstrap of their channel";
                Err(Problem::new(ProblemCode::MethodNotAllowed, detail))
            }
        }
    }

    /// Has the dataset's pointer object move a pointer, and forgets the old one here.
    async fn move_pointer(
        &self,
        (dataset, channel): (&Name, &Name),
        who: &str,
        headers: &RequestHeaders,
        body: Vec<u8>,
    ) -> Result<Reply, Problem> {
        Precondition::parse(headers)?;
        let tiles = verify::tiles(&body)?;
        let env = &self.env;
        // First into every region, then current: nobody is led to what is not near.
        let arriving = self.arrive(dataset, channel, &body).await;
        let reply = pointer::request_move(env, (dataset, channel), who, headers, body).await?;
        if let Some(arriving) = arriving {
            arriving.moved().await;
        }
        telemetry::count(Counter::PointerMoves);
        let resource = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() };
        self.forget(&resource).await;
        self.forget(&Resource::Checkpoint { dataset: dataset.clone() }).await;
        let head = Resource::Head { dataset: dataset.clone(), channel: channel.clone() };
        self.forget(&head).await;
        for tile in tiles {
            self.forget(&Resource::Tile { dataset: dataset.clone(), tile }).await;
        }
        Ok(reply)
    }

    async fn arrive(&self, dataset: &Name, channel: &Name, body: &[u8]) -> Option<Arriving> {
        let tiers = self.tiers.as_ref()?;
        let name = release::manifest_of(body, channel)?;
        tiers.arrive(self.store().ok()?, dataset, name).await
    }

    /// Forgets what this data centre keeps of what was written anew.
    pub(crate) async fn forget(&self, resource: &Resource) {
        let url = self.url(resource);
        if let Err(error) = cache::forget(&url).await {
            console_error!("{}", log::line("cache", "forget", &url, &error.to_string()));
        }
    }
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

pub(crate) async fn receive(
    request: &mut Request,
    length: usize,
    content_digest: &str,
) -> Result<Vec<u8>, Problem> {
    let mut collector = Collector::new(length);
    if request.inner().body().is_some() {
        let aborted = |error: worker::Error| {
            Problem::new(ProblemCode::BadRequest, format!("the body broke off: {error}"))
        };
        let mut stream = request.stream().map_err(aborted)?;
        let began_ms = Date::now().as_millis();
        loop {
            let took_ms = Date::now().as_millis().saturating_sub(began_ms);
            let patience = upload::patience(length, took_ms)?;
            let next = select(stream.next(), Delay::from(patience)).await;
            match next {
                Either::Left((Some(chunk), _)) => collector.push(&chunk.map_err(aborted)?)?,
                Either::Left((None, _)) => break,
                Either::Right(_) => return Err(upload::too_slow()),
            }
        }
    }
    let body = collector.finish()?;
    auth::check_body(content_digest, &body)?;
    Ok(body)
}

/// Reads what is left of a body, and drops it.
pub(crate) async fn drain(request: &mut Request) {
    if request.inner().body().is_none() || request.inner().body_used() {
        return;
    }
    let Ok(mut stream) = request.stream() else { return };
    let rest = Box::pin(async { while let Some(Ok(_)) = stream.next().await {} });
    select(rest, Delay::from(upload::DRAIN)).await;
}
