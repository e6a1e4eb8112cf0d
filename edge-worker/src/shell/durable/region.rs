//! A region's shard: fills the region's store, once for all who miss, and keeps its books.
//!
//! In scope: the order of steps. Out of scope: what is kept (`shelf`), what exists (`known`), what
//! is counted (`metrics`). Bytes never pass through to a client here: a fill reads an object whole
//! (8 MiB at most), checks its name, and puts it into the region's bucket, where everyone who
//! waited reads it. So a damaged copy in one tier spreads to no other.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Shared, join_all};
use packice_core::hash;
use packice_core::map::Map;
use packice_core::types::WireName;
use worker::{
    AnalyticsEngineDataPointBuilder, Date, Delay, DurableObject, Env, Request, Response,
    SqlStorageValue, State, console_error, durable_object, wasm_bindgen,
};

use super::{catalog, number, query, text, value};
use crate::known::Known;
use crate::log;
use crate::metrics::{Batch, Counter, Counts, ShardReport};
use crate::pointer::Swap;
use crate::release::Release;
use crate::shelf::{GRACE_MS, Policy, Shelf};
use crate::shell::store::{Small, Store};
use crate::tiers::{Regions, Settings};
use crate::trace::Trace;

/// The binding of Analytics Engine, which may be absent.
const POINTS: &str = "POINTS";
/// How many objects are placed at once.
const PLACED_AT_ONCE: usize = 4;

/// What came of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The region's store has it.
    There,
    /// It exists nowhere.
    Unknown,
    /// It could not be had, or not be put there.
    Failed,
}

impl Filled {
    /// As a status between the Worker and its shards.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::There => 200,
            Self::Unknown => 404,
            Self::Failed => 503,
        }
    }

    /// From that status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            200 => Self::There,
            404 => Self::Unknown,
            _ => Self::Failed,
        }
    }
}

/// What waits for one outcome, together.
type Flight<T> = Shared<Pin<Box<dyn Future<Output = T>>>>;

/// A region's shard.
#[durable_object(alarm)]
#[derive(Debug)]
pub struct RegionShard {
    own: Rc<Own>,
}

#[derive(Debug)]
struct Own {
    state: State,
    env: Env,
    books: RefCell<Option<Books>>,
    fills: RefCell<Map<String, Flight<Filled>>>,
    question: RefCell<Option<Flight<bool>>>,
}

/// What stands in memory while the object lives.
#[derive(Debug)]
struct Books {
    region: String,
    shard: u32,
    shelf: Shelf,
    known: Known,
    counts: Counts,
    /// Objects that left, and when.
    left: Map<String, u64>,
}

impl DurableObject for RegionShard {
    fn new(state: State, env: Env) -> Self {
        let (books, fills, question) = Default::default();
        Self { own: Rc::new(Own { state, env, books, fills, question }) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let path = request.path();
        let mut parts = path.trim_start_matches('/').split('/');
        let (Some(region), Some(shard), Some(what)) = (parts.next(), parts.next(), parts.next())
        else {
            return Response::error("no such path", 404);
        };
        self.own.open(region, shard.parse().unwrap_or(0))?;
        let trace = request.headers().get("traceparent")?.as_deref().and_then(Trace::parse);
        let body = request.text().await?;
        let own = &self.own;
        match what {
            "fill" => status(own.fill(&body, trace.as_ref()).await),
            "exists" => status(own.exists(&body).await),
            "place" => Response::ok(own.place(&body).await.to_string()),
            "told" => own.told(&Batch::parse(&body)),
            "release" => own.released(&body),
            "metrics" => Response::ok(own.report()),
            _ => Response::error("no such path", 404),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let sql = self.own.state.storage().sql();
        if let Some(row) = query(&sql, "SELECT region, shard FROM own", Vec::new())?.first() {
            let shard = u32::try_from(number(row, 1)).unwrap_or(0);
            self.own.open(&text(row, 0), shard)?;
            self.own.sweep().await?;
        }
        Response::empty()
    }
}

fn status(filled: Filled) -> worker::Result<Response> {
    Ok(Response::empty()?.with_status(filled.status()))
}

impl Own {
    /// Reads the books, with the first request.
    fn open(&self, region: &str, shard: u32) -> worker::Result<()> {
        if self.books.borrow().is_some() {
            return Ok(());
        }
        let sql = self.state.storage().sql();
        for table in [
            "own (region TEXT NOT NULL, shard INTEGER NOT NULL, counts TEXT NOT NULL)",
            "held (key TEXT PRIMARY KEY, size INTEGER NOT NULL, count INTEGER NOT NULL, \
             since INTEGER NOT NULL, left INTEGER NOT NULL)",
            "releases (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)",
        ] {
            query(&sql, &format!("CREATE TABLE IF NOT EXISTS {table}"), Vec::new())?;
        }
        let own = query(&sql, "SELECT counts FROM own", Vec::new())?;
        if own.is_empty() {
            let region = SqlStorageValue::String(region.to_owned());
            query(&sql, "INSERT INTO own VALUES (?, ?, '')", vec![region, value(shard.into())])?;
        }
        let settings = Settings::read(|name| self.env.var(name).ok().map(|var| var.to_string()));
        let policy = Policy { budget: settings.budget_of_shard(), newest: settings.newest };
        let mut shelf = Shelf::new(policy, Date::now().as_millis());
        for row in query(&sql, "SELECT body FROM releases ORDER BY number", Vec::new())? {
            if let Some(release) = Release::parse(&text(&row, 0)) {
                release.put_on(&mut shelf);
            }
        }
        let mut left = Map::new();
        for row in query(&sql, "SELECT key, size, count, since, left FROM held", Vec::new())? {
            let (key, left_ms) = (text(&row, 0), number(&row, 4));
            if left_ms > 0 {
                left.insert(key, left_ms);
                continue;
            }
            let count = u32::try_from(number(&row, 2)).unwrap_or(u32::MAX);
            shelf.restore(&key, number(&row, 1), count, number(&row, 3));
        }
        let counts = own.first().map(|row| Counts::parse(&text(row, 0))).unwrap_or_default();
        let known = Known::default();
        let region = region.to_owned();
        *self.books.borrow_mut() = Some(Books { region, shard, shelf, known, counts, left });
        Ok(())
    }

    /// Something of the books. They are open since the request began.
    fn with<T: Default>(&self, of: impl FnOnce(&mut Books) -> T) -> T {
        self.books.borrow_mut().as_mut().map(of).unwrap_or_default()
    }

    /// Writes what was counted: with each fill, batch and question, all of which are few.
    fn keep_counts(&self) -> worker::Result<()> {
        let counts = vec![SqlStorageValue::String(self.with(|books| books.counts.line()))];
        query(&self.state.storage().sql(), "UPDATE own SET counts = ?", counts).map(drop)
    }

    fn count(&self, counter: Counter, by: u64) {
        self.with(|books| books.counts.add(counter, by));
    }

    /// Fills the region's store with an object, once for all who ask meanwhile. It goes on when
    /// they leave.
    async fn fill(self: &Rc<Self>, key: &str, trace: Option<&Trace>) -> Filled {
        let under_way = self.fills.borrow().get(key).cloned();
        if let Some(flight) = under_way {
            self.count(Counter::Coalesced, 1);
            return flight.await;
        }
        let (own, owned, trace) = (Rc::clone(self), key.to_owned(), trace.cloned());
        let flight: Pin<Box<dyn Future<Output = Filled>>> = Box::pin(async move {
            let filled = own.fill_once(&owned, trace.as_ref()).await;
            own.fills.borrow_mut().remove(&owned);
            filled
        });
        let flight = flight.shared();
        self.fills.borrow_mut().insert(key.to_owned(), flight.clone());
        let lasting = flight.clone();
        self.state.wait_until(async move {
            lasting.await;
        });
        flight.await
    }

    async fn fill_once(self: &Rc<Self>, key: &str, trace: Option<&Trace>) -> Filled {
        let Some(store) = self.own_store() else { return Filled::Failed };
        let began_ms = Date::now().as_millis();
        let expected = self.with(|books| books.shelf.holds(key) || books.left.contains_key(key));
        if expected {
            match store.head(key).await {
                Ok(Some(meta)) => return self.taken(key, meta.size).await,
                // Somebody emptied the bucket: the books follow.
                Ok(None) => self.with(|books| {
                    books.shelf.lost(key);
                    books.left.remove(key);
                }),
                Err(_) => return Filled::Failed,
            }
        }
        if self.exists(key).await == Filled::Unknown {
            return Filled::Unknown;
        }
        let (found, source) = match self.find(key).await {
            Ok(Some(found)) => found,
            Ok(None) => return Filled::Unknown,
            Err(filled) => return filled,
        };
        let size = found.bytes.len() as u64;
        if store.put(key, found.bytes, &Swap::Create, None).await.is_err() {
            self.count(Counter::Failures, 1);
            return Filled::Failed;
        }
        let origin = source == "origin";
        self.count(if origin { Counter::OriginFills } else { Counter::NeighbourFills }, 1);
        self.count(Counter::FilledBytes, size);
        self.point(key, &source, size, Date::now().as_millis().saturating_sub(began_ms), trace);
        self.taken(key, size).await
    }

    /// The object's bytes out of another region, nearest first, or out of the origin, and where
    /// they come from. A copy that is damaged is passed over.
    async fn find(&self, key: &str) -> Result<Option<(Small, String)>, Filled> {
        let regions = self.regions();
        let own = self.with(|books| books.region.clone());
        for region in regions.named(&own).map(|own| regions.neighbours(own)).unwrap_or_default() {
            let Ok(store) = Store::open_region(&self.env, &region.binding) else { continue };
            // A region that fails is not the only source.
            if let Ok(Some(found)) = store.read(key).await
                && self.is_whole(key, &found, &region.name)
            {
                return Ok(Some((found, region.name.clone())));
            }
        }
        let Ok(origin) = Store::open(&self.env) else { return Err(Filled::Failed) };
        self.count(Counter::OriginReads, 1);
        match origin.read(key).await {
            Ok(Some(found)) if self.is_whole(key, &found, "origin") => {
                Ok(Some((found, "origin".to_owned())))
            }
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(_) => {
                self.count(Counter::Failures, 1);
                Err(Filled::Failed)
            }
        }
    }

    fn is_whole(&self, key: &str, found: &Small, source: &str) -> bool {
        let name = key.rsplit_once('/').and_then(|(_, name)| WireName::from_hex(name));
        let whole = name.is_none_or(|name| hash::wire_name(&found.bytes) == name);
        if !whole {
            self.count(Counter::Damaged, 1);
            console_error!("{}", log::line("fill", "damaged", key, source));
        }
        whole
    }

    /// The shelf takes an object that is in the bucket; those that leave for it are deleted later.
    async fn taken(&self, key: &str, size: u64) -> Filled {
        let now_ms = Date::now().as_millis();
        let mut left = self.with(|books| {
            books.left.remove(key);
            books.shelf.take(key, size, now_ms)
        });
        let excess = self.with(|books| {
            books.counts.add(Counter::Evictions, left.len() as u64);
            for key in &left {
                books.left.insert(key.clone(), now_ms);
            }
            books.left.len()
        });
        let kept = self.keep_counts().and_then(|()| self.persist(key, size)).and_then(|()| {
            let sql = self.state.storage().sql();
            left.drain(..).try_for_each(|key| {
                let values = vec![value(now_ms), SqlStorageValue::String(key)];
                query(&sql, "UPDATE held SET left = ? WHERE key = ?", values).map(drop)
            })
        });
        if let Err(error) = kept {
            // The books are ahead of what a restart would find: what it misses is filled again.
            console_error!("{}", log::line("books", "write", key, &error.to_string()));
        }
        if excess > 0 && self.state.storage().get_alarm().await.is_ok_and(|at| at.is_none()) {
            let grace = Duration::from_millis(GRACE_MS);
            if let Err(error) = self.state.storage().set_alarm(grace).await {
                console_error!("{}", log::line("books", "alarm", key, &error.to_string()));
            }
        }
        Filled::There
    }

    /// Writes what is known of a held object; of one that left at once, that it did.
    fn persist(&self, key: &str, size: u64) -> worker::Result<()> {
        let (state, left) =
            self.with(|books| (books.shelf.state(key), books.left.get(key).copied().unwrap_or(0)));
        let (count, since_ms) = state.unwrap_or((0, 0));
        let values = vec![
            SqlStorageValue::String(key.to_owned()),
            value(size),
            value(count.into()),
            value(since_ms),
            value(left),
        ];
        let sql = self.state.storage().sql();
        query(&sql, "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?)", values).map(drop)
    }

    /// Deletes what left long enough ago.
    async fn sweep(&self) -> worker::Result<()> {
        let Some(store) = self.own_store() else { return Ok(()) };
        let now_ms = Date::now().as_millis();
        let due: Vec<String> = self.with(|books| {
            let old = books.left.iter().filter(|(_, at)| now_ms.saturating_sub(**at) >= GRACE_MS);
            old.map(|(key, _)| key.clone()).take(1000).collect()
        });
        if !due.is_empty() {
            store.delete(due.clone()).await.map_err(|_| "the store does not delete")?;
        }
        let sql = self.state.storage().sql();
        for key in due {
            self.with(|books| books.left.remove(&key));
            let key = vec![SqlStorageValue::String(key)];
            query(&sql, "DELETE FROM held WHERE key = ? AND left > 0", key)?;
        }
        if self.with(|books| !books.left.is_empty()) {
            self.state.storage().set_alarm(Duration::from_millis(GRACE_MS)).await?;
        }
        Ok(())
    }

    /// Whether a key may exist; `Unknown` only once the catalog said so after the question came.
    async fn exists(self: &Rc<Self>, key: &str) -> Filled {
        let came = self.with(|books| books.known.asked());
        loop {
            let (may, settled) =
                self.with(|books| (books.known.may_hold(key), books.known.settles(came)));
            if may {
                return Filled::There;
            }
            if settled {
                self.count(Counter::UnknownNames, 1);
                return Filled::Unknown;
            }
            // Without a catalog nothing can be ruled out.
            if !self.ask().await {
                return Filled::There;
            }
        }
    }

    /// Asks the catalog for what is new, once for all who wait; whether it answered.
    async fn ask(self: &Rc<Self>) -> bool {
        let under_way = self.question.borrow().clone();
        if let Some(flight) = under_way {
            return flight.await;
        }
        let own = Rc::clone(self);
        let flight: Pin<Box<dyn Future<Output = bool>>> = Box::pin(async move {
            let answered = own.ask_once().await;
            *own.question.borrow_mut() = None;
            answered
        });
        let flight = flight.shared();
        *self.question.borrow_mut() = Some(flight.clone());
        flight.await
    }

    async fn ask_once(&self) -> bool {
        let wait_ms = self.with(|books| books.known.wait_ms(Date::now().as_millis()));
        if wait_ms > 0 {
            Delay::from(Duration::from_millis(wait_ms)).await;
        }
        self.count(Counter::CatalogQuestions, 1);
        // What a flood counted stands if this object ends: unknown names write nothing else.
        if let Err(error) = self.keep_counts() {
            console_error!("{}", log::line("books", "write", "", &error.to_string()));
        }
        let question = self.with(|books| books.known.ask(Date::now().as_millis()));
        loop {
            let last = self.with(|books| books.known.last());
            let more = match catalog::since(&self.env, last).await {
                Ok(page) => self.with(|books| books.known.learn(&page, question)),
                Err(error) => {
                    console_error!("{}", log::line("catalog", "since", "", &error.to_string()));
                    None
                }
            };
            match more {
                Some(true) => {}
                Some(false) => return true,
                None => {
                    self.count(Counter::Failures, 1);
                    return false;
                }
            }
        }
    }

    /// Fills the store with objects before anybody asks; how many of them are there.
    async fn place(self: &Rc<Self>, keys: &str) -> usize {
        let keys: Vec<&str> = keys.lines().collect();
        let mut there = 0;
        for some in keys.chunks(PLACED_AT_ONCE) {
            let filled = join_all(some.iter().map(|key| self.fill(key, None))).await;
            there += filled.iter().filter(|filled| **filled == Filled::There).count();
        }
        there
    }

    /// Takes in what an isolate tells.
    fn told(&self, batch: &Batch) -> worker::Result<Response> {
        let now_ms = Date::now().as_millis();
        let grown: Vec<String> = self.with(|books| {
            books.counts.merge(batch.counts());
            let uses = batch.uses().filter_map(|(key, times)| {
                let before = books.shelf.state(key);
                books.shelf.used_again(key, times, now_ms);
                let (before, after) = (before?.0, books.shelf.state(key)?.0);
                // Written each time that it doubles: a few rows in an object's life.
                (before.checked_ilog2() != after.checked_ilog2()).then(|| key.to_owned())
            });
            uses.collect()
        });
        self.keep_counts()?;
        self.write_point("batch", ["", "", ""], batch.counts().values());
        let sql = self.state.storage().sql();
        for key in grown {
            if let Some((count, _)) = self.with(|books| books.shelf.state(&key)) {
                let values = vec![value(count.into()), SqlStorageValue::String(key)];
                query(&sql, "UPDATE held SET count = ? WHERE key = ?", values)?;
            }
        }
        Response::empty()
    }

    /// A release became the newest.
    fn released(&self, body: &str) -> worker::Result<Response> {
        let Some(release) = Release::parse(body) else {
            return Response::error("not a release", 400);
        };
        self.with(|books| release.put_on(&mut books.shelf));
        let sql = self.state.storage().sql();
        let values = vec![SqlStorageValue::String(body.to_owned())];
        query(&sql, "INSERT INTO releases (body) VALUES (?)", values)?;
        let old = "DELETE FROM releases WHERE number <= (SELECT max(number) FROM releases) - ?";
        query(&sql, old, vec![value(crate::shelf::RELEASES_KEPT)])?;
        Response::empty()
    }

    fn report(&self) -> String {
        let report = self.with(|books| ShardReport {
            region: books.region.clone(),
            shard: books.shard,
            used: books.shelf.used(),
            objects: books.shelf.len() as u64,
            budget: books.shelf.budget(),
            known: books.known.len() as u64,
            counts: books.counts.clone(),
        });
        report.encode()
    }

    /// A point for each fill: they are few, and what a slow read is looked for in.
    fn point(&self, key: &str, source: &str, size: u64, took_ms: u64, trace: Option<&Trace>) {
        let kind = key.split('/').nth(1).unwrap_or_default();
        let trace = trace.map(Trace::id).unwrap_or_default();
        self.write_point("fill", [source, kind, trace], [size, took_ms]);
    }

    /// A point of Analytics Engine, with the region and the release that it belongs to.
    fn write_point(
        &self,
        event: &str,
        [source, kind, trace]: [&str; 3],
        values: impl IntoIterator<Item = u64>,
    ) {
        let Ok(points) = self.env.analytics_engine(POINTS) else { return };
        let region = self.with(|books| books.region.clone());
        let small = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let point = AnalyticsEngineDataPointBuilder::new()
            .indexes([region.as_str()])
            .blobs([event, &region, source, kind, trace, env!("CARGO_PKG_VERSION")])
            .doubles(values.into_iter().map(small));
        if let Err(error) = point.write_to(&points) {
            console_error!("{}", log::line("points", "write", event, &error.to_string()));
        }
    }

    fn regions(&self) -> Regions {
        Settings::read(|name| self.env.var(name).ok().map(|var| var.to_string())).regions
    }

    fn own_store(&self) -> Option<Store> {
        let region = self.with(|books| books.region.clone());
        let regions = self.regions();
        Store::open_region(&self.env, &regions.named(&region)?.binding).ok()
    }
}
