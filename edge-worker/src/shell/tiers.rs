//! The region's store in front of the origin, as a request sees it: read it; on a miss have the
//! region's shard fill it, and read again. A shard or a region that fails costs a read of the
//! origin, no answer.

use std::cell::RefCell;

use packice_core::format::manifest::Manifest;
use packice_core::types::{Name, ObjectKind, WireName};
use worker::{Date, Env, Method, Request, RequestInit, Response, console_error};

use crate::known::Refused;
use crate::log;
use crate::metrics::{Batch, Counter, ShardReport};
use crate::place::Place;
use crate::release::{Arrival, Release};
use crate::resource::Resource;
use crate::respond::Fetch;
use crate::shell::durable::region::Filled;
use crate::shell::store::{Found, Store};
use crate::shell::telemetry;
use crate::status::RegionState;
use crate::tiers::{Region, Settings};
use crate::trace::Trace;

/// The binding of the shards in wrangler.toml.
const BINDING: &str = "SHARDS";

thread_local! {
    /// Names that the filter refused a moment ago.
    static REFUSED: RefCell<Refused> = RefCell::default();
}

/// The region is of no help, and the origin is to be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhelpful;

/// The regions, and the one that answers.
#[derive(Clone, Debug)]
pub(crate) struct Tiers {
    env: Env,
    settings: Settings,
    home: Region,
}

impl Tiers {
    /// The tiers for a request from a place; `None` where the origin's bucket is the
    /// only store.
    pub(crate) fn of(env: &Env, place: Option<Place>) -> Option<Self> {
        let settings = Settings::read(|name| env.var(name).ok().map(|var| var.to_string()));
        let home = settings.home(place)?.clone();
        Some(Self { env: env.clone(), settings, home })
    }

    /// An object, from the region's store; filled there before where it lacks it. `Ok(None)`: it
    /// exists nowhere.
    pub(crate) async fn fetch(
        &self,
        key: &str,
        fetch: Fetch,
        trace: Option<&Trace>,
    ) -> Result<Option<Found>, Unhelpful> {
        let store = Store::open_region(&self.env, &self.home.binding).map_err(|_| Unhelpful)?;
        telemetry::used(key);
        if let Some(found) = store.fetch(key, fetch).await.map_err(|_| Unhelpful)? {
            telemetry::count(Counter::RegionHits);
            return Ok(Some(found));
        }
        match self.settle("fill", key, trace).await {
            Filled::There => match store.fetch(key, fetch).await {
                Ok(Some(found)) => Ok(Some(found)),
                Ok(None) | Err(_) => Err(Unhelpful),
            },
            Filled::Unknown => Ok(None),
            Filled::Failed => Err(Unhelpful),
        }
    }

    /// Whether a key may exist at the origin.
    pub(crate) async fn may_exist(&self, key: &str) -> bool {
        self.settle("exists", key, None).await != Filled::Unknown
    }

    /// Asks the key's shard, unless it refused the key a moment ago.
    async fn settle(&self, what: &str, key: &str, trace: Option<&Trace>) -> Filled {
        let now_ms = Date::now().as_millis();
        if REFUSED.with_borrow_mut(|refused| refused.holds(key, now_ms)) {
            telemetry::count(Counter::UnknownNames);
            return Filled::Unknown;
        }
        let shard = self.settings.shard(key);
        let filled = match self.ask(&self.home, shard, what, key, trace).await {
            Ok(answer) => Filled::of_status(answer.status_code()),
            Err(error) => {
                console_error!("{}", log::line("region", what, key, &error.to_string()));
                telemetry::count(Counter::Failures);
                Filled::Failed
            }
        };
        if filled == Filled::Unknown {
            REFUSED.with_borrow_mut(|refused| refused.put(key, Date::now().as_millis()));
        }
        filled
    }

    async fn ask(
        &self,
        region: &Region,
        shard: u32,
        what: &str,
        body: &str,
        trace: Option<&Trace>,
    ) -> worker::Result<Response> {
        let shards = self.env.durable_object(BINDING)?;
        let name = format!("{}/{shard}", region.name);
        let stub = shards.get_by_name_with_location_hint(&name, &region.name)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(body.into()));
        let request = Request::new_with_init(&format!("https://region/{name}/{what}"), &init)?;
        if let Some(trace) = trace {
            request.headers().set("traceparent", &trace.header())?;
        }
        stub.fetch_with_request(request).await
    }

    /// Tells the shards of the region what an isolate counted.
    pub(crate) async fn tell(&self, batch: &Batch) -> worker::Result<()> {
        for shard in 0..self.settings.shards {
            let part = batch.part(shard == 0, |key| self.settings.shard(key) == shard);
            if let Some(part) = part {
                self.ask(&self.home, shard, "told", &part.encode(), None).await?;
            }
        }
        Ok(())
    }

    /// How the region is that answers here.
    pub(crate) async fn state(&self) -> RegionState {
        let store = match Store::open_region(&self.env, &self.home.binding) {
            Ok(store) => store.ping().await.is_ok(),
            Err(_) => false,
        };
        let (reports, silent) = self.reports_of([&self.home]).await;
        RegionState {
            name: self.home.name.clone(),
            store,
            silent,
            objects: reports.iter().map(|report| report.objects).sum(),
            bytes: reports.iter().map(|report| report.used).sum(),
        }
    }

    /// What each shard of each region says of itself, and how many do not answer.
    pub(crate) async fn reports(&self) -> (Vec<ShardReport>, u32) {
        self.reports_of(self.settings.regions.all()).await
    }

    async fn reports_of(
        &self,
        regions: impl IntoIterator<Item = &Region>,
    ) -> (Vec<ShardReport>, u32) {
        let (mut reports, mut silent) = (Vec::new(), 0);
        for region in regions {
            for shard in 0..self.settings.shards {
                let said = match self.ask(region, shard, "metrics", "", None).await {
                    Ok(mut answer) => answer.text().await.ok(),
                    Err(_) => None,
                };
                match said.as_deref().and_then(ShardReport::parse) {
                    Some(report) => reports.push(report),
                    None => silent += 1,
                }
            }
        }
        (reports, silent)
    }

    /// Places in every region what clients ask for first. A region that fails fills itself later.
    async fn place(&self, keys: &[String]) {
        for region in self.settings.regions.all() {
            for (shard, keys) in self.by_shard(keys) {
                if let Err(error) = self.ask(region, shard, "place", &keys, None).await {
                    let why = error.to_string();
                    console_error!("{}", log::line("region", "place", &region.name, &why));
                }
            }
        }
    }

    /// Tells every region of a release.
    async fn released(&self, release: &Release) {
        for region in self.settings.regions.all() {
            for shard in 0..self.settings.shards {
                let part = release.part(|key| self.settings.shard(key) == shard);
                if let Err(error) = self.ask(region, shard, "release", &part.encode(), None).await {
                    let why = error.to_string();
                    console_error!("{}", log::line("region", "release", &region.name, &why));
                }
            }
        }
    }

    /// Before a pointer moves to a manifest: places in every region what its clients ask for first.
    /// Gives what the regions are told once it moved.
    pub(crate) async fn arrive(
        &self,
        store: &Store,
        dataset: &Name,
        name: WireName,
    ) -> Option<Arriving> {
        let manifest = read(store, dataset, ObjectKind::Manifest, name).await?;
        let mut arrival = Arrival::of(dataset, name, &Manifest::parse(&manifest).ok()?);
        self.place(&arrival.first).await;
        for directory in arrival.directories.clone() {
            let layout = |name| read(store, dataset, ObjectKind::Layout, name);
            let Some(bytes) = layout(directory).await else { continue };
            for page in arrival.directory(directory, &bytes).unwrap_or_default() {
                if let Some(bytes) = layout(page).await {
                    // A page that does not read has no members: they count as needed.
                    let _ = arrival.page(directory, &bytes);
                }
            }
        }
        Some(Arriving { tiers: self.clone(), release: arrival.release() })
    }

    fn by_shard(&self, keys: &[String]) -> impl Iterator<Item = (u32, String)> {
        (0..self.settings.shards).filter_map(|shard| {
            let own = keys.iter().filter(|key| self.settings.shard(key) == shard);
            let own: Vec<&str> = own.map(String::as_str).collect();
            (!own.is_empty()).then(|| (shard, own.join("\n")))
        })
    }
}

async fn read(store: &Store, dataset: &Name, kind: ObjectKind, name: WireName) -> Option<Vec<u8>> {
    let key = Resource::Object { dataset: dataset.clone(), kind, name }.key();
    store.read(&key).await.ok().flatten().map(|found| found.bytes)
}

/// A release that is placed, and not yet told of.
pub(crate) struct Arriving {
    tiers: Tiers,
    release: Release,
}

impl Arriving {
    /// The pointer moved.
    pub(crate) async fn moved(self) {
        self.tiers.released(&self.release).await;
    }
}
