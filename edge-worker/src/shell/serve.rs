//! The shell's way through a request: ask the pure modules what to do, do it with the store and
//! the cache, hand back their answer. Nothing is decided here. Uploads are in `publish`.

use worker::{Date, Env, Request, ResponseBody};

use crate::headers::RequestHeaders;
use crate::metrics::Counter;
use crate::problem::{Problem, ProblemCode};
use crate::rate::Counted;
use crate::reply::{Body, Extent, Reply};
use crate::resource::{Freshness, Resource};
use crate::respond::{self, Fetch, ObjectMeta, ReadPlan};
use crate::route::Route;
use crate::shell::cache;
use crate::shell::publish;
use crate::shell::rate;
use crate::shell::store::{self, Found, Store, StoreError};
use crate::shell::telemetry;
use crate::shell::tiers::{Tiers, Unhelpful};
use crate::shell::turns::{self, Turn, Way};
use crate::trace::Trace;
use crate::upload;
use crate::verify;

/// An answer, and the stored bytes that go with it where it carries any.
pub(crate) struct Answer {
    /// The answer.
    pub(crate) reply: Reply,
    /// The body where the answer's is that of an object.
    pub(crate) content: ResponseBody,
    /// Where a cache is to keep it.
    pub(crate) keep: Option<Keep>,
}

/// Where a cache is to keep an answer.
pub(crate) struct Keep {
    /// The URL.
    pub(crate) url: String,
    /// When the read of the store began, for what grows old.
    pub(crate) read_at_ms: Option<u64>,
    /// Who waits for the cache to have it.
    pub(crate) turn: Option<Turn>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, content: ResponseBody::Empty, keep: None }
    }
}

/// What every request needs.
pub(crate) struct Edge {
    /// The store, or why there is none.
    pub(crate) store: Result<Store, StoreError>,
    /// The bindings and secrets.
    pub(crate) env: Env,
    /// Scheme and host of the request: what cache keys begin with.
    pub(crate) origin: String,
    /// The region's store in front of the origin's, where there are any.
    pub(crate) tiers: Option<Tiers>,
}

/// Size and tag of what was read, which of its bytes are at hand, and those bytes.
type Fetched = (ObjectMeta, Option<Extent>, ResponseBody);

/// How an object is cut out of the one that holds it.
type Cut<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, Problem>;

impl Edge {
    /// Answers a request.
    pub(crate) async fn answer(
        &self,
        route: Route,
        headers: &RequestHeaders,
        request: &mut Request,
    ) -> Answer {
        let head = request.inner().method() == "HEAD";
        let route = match headers.check_len() {
            Ok(()) => route,
            Err(problem) => Route::Reject { problem },
        };
        let answer = match route {
            Route::Service { service, head } => self.serve(service, head, headers, request).await,
            Route::Options { allow } => Ok(Reply::preflight(allow).into()),
            Route::Reject { problem } => Err(problem),
            Route::Read { resource, head } => {
                let answer = self.read(&resource, head, headers, request).await;
                if let (Resource::Object { kind, .. }, Ok(answer)) = (&resource, &answer)
                    && matches!(answer.reply.body, Body::Object(_))
                {
                    let length = answer.reply.header("content-length");
                    let length = length.and_then(|length| length.parse().ok());
                    telemetry::answered(*kind, length.unwrap_or(0));
                }
                answer
            }
            Route::Write { resource } => {
                self.write(&resource, headers, request).await.map(Answer::from)
            }
        };
        if answer.is_err() && upload::is_worth_draining(headers) {
            publish::drain(request).await;
        }
        answer.unwrap_or_else(|problem| Reply::problem(problem, head).into())
    }

    /// The store, where the environment has one.
    pub(crate) fn store(&self) -> Result<&Store, Problem> {
        self.store.as_ref().map_err(|error| Problem::from(*error))
    }

    /// The URL of a resource: its key in the cache.
    pub(crate) fn url(&self, resource: &Resource) -> String {
        format!("{}{}", self.origin, resource.path())
    }

    async fn read(
        &self,
        resource: &Resource,
        head: bool,
        headers: &RequestHeaders,
        request: &Request,
    ) -> Result<Answer, Problem> {
        let plan = respond::plan(resource, head, headers);
        if let Some(answer) = self.read_cache(resource, plan, headers).await {
            return Ok(answer);
        }
        let mut turn = None;
        if plan.use_cache && plan.fetch == Fetch::Whole {
            match turns::wait(&self.url(resource)).await {
                Way::Turn(own) => turn = Some(own),
                Way::Alone => {}
                Way::Look => {
                    if let Some(answer) = self.read_cache(resource, plan, headers).await {
                        telemetry::count(Counter::Coalesced);
                        return Ok(answer);
                    }
                }
                Way::Failed => {
                    telemetry::count(Counter::Coalesced);
                    let detail = "the store failed a moment ago; try again";
                    return Err(Problem::new(ProblemCode::StoreUnavailable, detail));
                }
            }
        }
        let behind = self.read_store(resource, plan, head, headers, request);
        match behind.await {
            Ok(mut answer) => {
                if let Some(keep) = &mut answer.keep {
                    keep.turn = turn;
                }
                Ok(answer)
            }
            Err(problem) => {
                let failed = problem.code == ProblemCode::StoreUnavailable;
                turn.into_iter().filter(|_| failed).for_each(Turn::fail);
                Err(problem)
            }
        }
    }

    /// Reads what no cache has.
    async fn read_store(
        &self,
        resource: &Resource,
        plan: ReadPlan,
        head: bool,
        headers: &RequestHeaders,
        request: &Request,
    ) -> Result<Answer, Problem> {
        rate::count_address(&self.env, Counted::Reads, request).await?;
        let store = self.store()?;
        let read_at_ms = Date::now().as_millis();
        if let Some(tiers) = self.tiers.as_ref().filter(|_| !is_regional(resource, plan.fetch))
            && !tiers.may_exist(&resource.key()).await
        {
            return Ok(respond::absent(resource, head).into());
        }
        // The size first: a tile that is read after a checkpoint covered it is the final one.
        let log_size = match resource.depends_on_log_size() {
            true => publish::settled_size(store, resource.dataset()).await?,
            false => 0,
        };
        let freshness = resource.freshness(log_size);
        let fetched = self.fetch(store, resource, plan.fetch, headers).await?;
        let Some((meta, extent, content)) = fetched else {
            return Ok(respond::absent(resource, head).into());
        };
        let reply = respond::respond(resource, freshness, &meta, head, headers);
        if !respond::fits(&reply, extent) {
            let detail = "the store gave other bytes of the object than were asked for";
            return Err(Problem::new(ProblemCode::Internal, detail));
        }
        let keep = (plan.use_cache && respond::may_keep(&reply, freshness)).then(|| Keep {
            url: self.url(resource),
            read_at_ms: (freshness == Freshness::Pointer).then_some(read_at_ms),
            turn: None,
        });
        Ok(Answer { reply, content, keep })
    }

    /// Reads an object from the region's store where there is one, and from the origin's otherwise.
    async fn fetch(
        &self,
        store: &Store,
        resource: &Resource,
        wanted: Fetch,
        headers: &RequestHeaders,
    ) -> Result<Option<Fetched>, Problem> {
        if let Some(tiers) = self.tiers.as_ref().filter(|_| is_regional(resource, wanted)) {
            let trace = headers.traceparent.as_deref().and_then(Trace::parse);
            match tiers.fetch(&resource.key(), wanted, trace.as_ref()).await {
                Ok(found) => return found.map(fetched).transpose(),
                Err(Unhelpful) => telemetry::count(Counter::OriginReads),
            }
        }
        fetch(store, resource, wanted).await
    }

    /// The cache's answer; an answer that does not fit the request is none.
    async fn read_cache(
        &self,
        resource: &Resource,
        plan: ReadPlan,
        headers: &RequestHeaders,
    ) -> Option<Answer> {
        let part = plan.cached_part()?;
        let response = cache::find(&self.url(resource), part).await?;
        let freshness = resource.kept_freshness();
        let now_ms = Date::now().as_millis();
        let header = |name: &str| response.headers().get(name).ok().flatten();
        let cached = respond::from_cache(freshness, now_ms, response.status_code(), header)?;
        let reply = respond::respond(resource, freshness, &cached.meta, false, headers);
        if !respond::fits(&reply, Some(cached.extent)) {
            return None;
        }
        telemetry::count(Counter::ColoHits);
        let reply = respond::mark_cached(reply, cached.age_s);
        Some(Answer { reply, content: response.body().clone(), keep: None })
    }
}

async fn fetch(
    store: &Store,
    resource: &Resource,
    fetch: Fetch,
) -> Result<Option<Fetched>, Problem> {
    let key = resource.key();
    // Checkpoint and head stand inside a stored bootstrap, as if they were objects of their own.
    let cut_out = async |cut: Cut<'_>| {
        let Some(stored) = store.read(&key).await? else { return Ok(None) };
        let bytes = cut(&stored.bytes)?;
        let meta = ObjectMeta { size: bytes.len() as u64, etag: stored.etag };
        Ok(Some((meta, Some(Extent::Whole), ResponseBody::Body(bytes))))
    };
    match resource {
        Resource::Checkpoint { .. } => cut_out(&verify::checkpoint_text).await,
        Resource::Head { channel, .. } => {
            cut_out(&|bytes| verify::head_bytes(bytes, channel)).await
        }
        Resource::Object { .. }
        | Resource::Bootstrap { .. }
        | Resource::Tile { .. }
        | Resource::TrustRoot { .. } => store.fetch(&key, fetch).await?.map(fetched).transpose(),
    }
}

fn fetched(found: Found) -> Result<Fetched, Problem> {
    match found {
        Found { meta, content: Some((object, extent)) } => {
            Ok((meta, Some(extent), store::body(&object)?))
        }
        Found { meta, content: None } => Ok((meta, None, ResponseBody::Empty)),
    }
}

/// Whether the regions' stores hold such a thing. Size and tag alone are asked of the origin, by
/// publishers that want to know what is there *now*.
fn is_regional(resource: &Resource, fetch: Fetch) -> bool {
    matches!(resource, Resource::Object { .. }) && fetch != Fetch::Meta
}
