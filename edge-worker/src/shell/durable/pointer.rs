//! The dataset's pointer object: the one place where its pointers move, of all channels, whoever
//! asks and wherever; and where its publishers' nonces, quotas and trail are kept.
//!
//! A move is decided in the object's own storage and shown in the bucket. It is checked against
//! the bucket, then promised: one row with the new pointer, written only if no other move was
//! promised since the check began. Then the bucket's pointer is replaced, and the row goes. An
//! object that stops in between finds the row when it runs again, and goes on from there before it
//! looks at anything else. So two channels of a dataset that move at the same instant cannot both
//! take the same place in the log, and of a move that broke off either nothing or all is seen.

use packice_core::hash;
use packice_core::httpsig::Signer;
use packice_core::trust::append::PointerMove;
use packice_core::types::{Name, hex};
use serde_json::{Value, json};
use worker::{
    Date, DurableObject, Env, Headers, Method, Request, RequestInit, Response, State,
    durable_object, wasm_bindgen,
};

use crate::auth;
use crate::headers::RequestHeaders;
use crate::pointer::{PointerMark, Precondition, Swap, lost};
use crate::problem::{Problem, ProblemCode};
use crate::quota::{self, Quota};
use crate::reply::Reply;
use crate::resource::Resource;
use crate::shell::durable::keeper;
use crate::shell::durable::ledger::{Ledger, Promise};
use crate::shell::live;
use crate::shell::moves;
use crate::shell::store::Store;
use crate::trail::{self, Outcome, Row};
use crate::upload::written;
use crate::verify;

/// The binding in wrangler.toml.
const BINDING: &str = "POINTER";
/// The variable with the quota.
const QUOTA: &str = "PUBLISH_QUOTA";
/// Who asks for a move, as the object is told.
const WHO: &str = "x-packice-who";
/// After how long an object that broke off goes on by itself.
const RESUME_MS: i64 = 5_000;
/// How often a move is checked again because another one was promised meanwhile.
const ATTEMPTS: usize = 8;

/// A dataset's pointer object.
#[durable_object(alarm)]
pub struct Pointer {
    state: State,
    env: Env,
}

impl DurableObject for Pointer {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let said = match self.answer(&mut request).await {
            Ok(said) => said,
            Err(problem) => problem.to_message(),
        };
        Response::ok(said.to_string())
    }

    async fn alarm(&self) -> worker::Result<Response> {
        // One that fails is tried again by the runtime.
        match self.resume(Outcome::Recovered).await {
            Ok(()) => Response::ok(""),
            Err(problem) => Err(worker::Error::from(problem.detail)),
        }
    }
}

/// A move that somebody asks for.
struct Asked {
    dataset: Name,
    channel: Name,
    who: String,
    precondition: Precondition,
    body: Vec<u8>,
}

impl Asked {
    fn resource(&self) -> Resource {
        Resource::Bootstrap { dataset: self.dataset.clone(), channel: self.channel.clone() }
    }

    fn row(&self, outcome: Outcome) -> Row {
        Row {
            at_ms: Date::now().as_millis(),
            who: self.who.clone(),
            channel: self.channel.to_string(),
            bootstrap: hash::wire_name(&self.body).to_hex(),
            outcome: outcome.as_str().to_owned(),
            ..Row::default()
        }
    }
}

impl Pointer {
    async fn answer(&self, request: &mut Request) -> Result<Value, Problem> {
        let path = request.path();
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("admit"), None, None) => {
                let asked = request.json::<Value>().await.map_err(broken)?;
                self.admit_signed(&asked)
            }
            (Some("trail"), Some(after), None) => {
                let after = after.parse().unwrap_or(0);
                Ok(trail::page(&self.ledger()?.rows(after)?, after))
            }
            (Some("report"), Some(kind), Some(name)) => {
                self.ledger()?.report(&format!("object={kind}/{name}"))?;
                Ok(json!({}))
            }
            (Some("reports"), None, None) => {
                Ok(json!({ "reports": self.ledger()?.take_reports()? }))
            }
            (Some("move"), Some(dataset), Some(channel)) => {
                let name = |text: &str| Name::new(text).map_err(|error| internal(&error));
                let header = |name: &str| request.headers().get(name).ok().flatten();
                let conditions = RequestHeaders {
                    if_match: header("if-match"),
                    if_none_match: header("if-none-match"),
                    ..RequestHeaders::default()
                };
                let asked = Asked {
                    dataset: name(dataset)?,
                    channel: name(channel)?,
                    who: header(WHO).unwrap_or_default(),
                    precondition: Precondition::parse(&conditions)?,
                    body: request.bytes().await.map_err(broken)?,
                };
                self.answer_move(&asked).await
            }
            _ => Err(internal(&"the pointer object knows no such question")),
        }
    }

    fn ledger(&self) -> Result<Ledger, Problem> {
        Ledger::open(&self.state)
    }

    fn admit_signed(&self, asked: &Value) -> Result<Value, Problem> {
        let (text, number) = (
            |name: &str| asked[name].as_str().unwrap_or_default(),
            |name: &str| asked[name].as_u64().unwrap_or_default(),
        );
        let ledger = self.ledger()?;
        let now_s = Date::now().as_millis() / 1000;
        let (key, bytes) = (text("key"), number("bytes"));
        let quota = self.env.var(QUOTA).map(|quota| quota.to_string()).unwrap_or_default();
        // Counted first: a request that the quota refuses may come again as it is.
        let day = quota::day(now_s);
        Quota::parse(&quota).check(&ledger.used(key, day)?, bytes, now_s)?;
        if !ledger.take_nonce(key, text("nonce"), number("forgotten_s"), now_s)? {
            return Err(auth::replayed());
        }
        ledger.count(key, day, bytes)?;
        Ok(json!({}))
    }

    async fn answer_move(&self, asked: &Asked) -> Result<Value, Problem> {
        let result = self.try_move(asked).await;
        if let Err(problem) = &result
            && let Some(outcome) = Outcome::of(problem.code)
        {
            let reason = problem.reason.as_deref().unwrap_or_default().to_owned();
            let mark = verify::mark(&asked.body).map(|mark| mark.to_string());
            let row = Row { reason, mark: mark.unwrap_or_default(), ..asked.row(outcome) };
            self.ledger()?.record(&row)?;
        }
        result
    }

    async fn try_move(&self, asked: &Asked) -> Result<Value, Problem> {
        let store = Store::open(&self.env)?;
        let resource = asked.resource();
        let key = resource.key();
        for _ in 0..ATTEMPTS {
            self.resume(Outcome::Recovered).await?;
            let ledger = self.ledger()?;
            let generation = ledger.generation()?;
            let current = store.read(&key).await?;
            // A move whose answer was lost on its way is sent again: it is done already.
            if let Some(current) = current.as_ref().filter(|current| current.bytes == asked.body) {
                return Ok(json!({ "etag": current.etag, "created": false }));
            }
            let etag = current.as_ref().map(|current| current.etag.as_str());
            let swap = asked.precondition.check(etag)?;
            let evidence =
                moves::gather(&store, &asked.dataset, current.as_ref(), &key, &asked.body).await?;
            let moved = verify::check_move(&asked.dataset, &asked.channel, &evidence, &asked.body)?;
            if let Some(channel) = &moved.channel {
                // From here on no collection takes the manifest away, or what it leads to.
                keeper::moving(&self.env, &asked.dataset, &channel.manifest.name).await?;
            }
            moves::check_objects(&store, &asked.dataset, &moved).await?;
            let promise = promise(asked, &swap, &moved, evidence.tiles);
            // No await from here to the row: the check and the promise are one step.
            if !ledger.promise(generation, &promise)? {
                continue;
            }
            self.wake().await;
            let etag = self.keep(&store, &promise, Outcome::Moved).await?;
            return Ok(json!({ "etag": etag, "created": swap == Swap::Create }));
        }
        let detail = "other moves of this dataset come in between: try again";
        Err(Problem::new(ProblemCode::StoreUnavailable, detail))
    }

    /// Goes on with what was promised and is not shown yet.
    async fn resume(&self, outcome: Outcome) -> Result<(), Problem> {
        while let Some(promise) = self.ledger()?.promised()? {
            let store = Store::open(&self.env)?;
            match self.keep(&store, &promise, outcome).await {
                Ok(_) => {}
                // The bucket holds another pointer: whoever put it there did not ask here.
                Err(problem) if problem.code == ProblemCode::PreconditionFailed => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }

    /// Shows a promised move in the bucket; its tag. Doing it twice does it once.
    async fn keep(
        &self,
        store: &Store,
        promise: &Promise,
        outcome: Outcome,
    ) -> Result<String, Problem> {
        let (dataset, channel) = promise.names()?;
        let key = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() }.key();
        let swap = promise.swap();
        let before = store.read(&key).await?;
        if let Some(manifest) = verify::manifest_of(&promise.body, &channel) {
            // A promise that is resumed may have been made long ago.
            keeper::moving(&self.env, &dataset, &manifest).await?;
        }
        let mark = PointerMark::parse(&promise.mark);
        let etag = match store.put(&key, promise.body.clone(), &swap, mark).await? {
            Some(etag) => Some(etag),
            None => {
                let current = store.read(&key).await?;
                let same = current.as_ref().filter(|current| current.bytes == promise.body);
                let same = same.map(|current| current.etag.clone());
                if same.is_none() {
                    let stands = current.map(|current| current.etag);
                    self.ledger()?.settle(promise, Outcome::Lost)?;
                    return Err(lost(stands.as_deref()));
                }
                same
            }
        };
        settle_tiles(store, &dataset, promise).await?;
        self.ledger()?.settle(promise, outcome)?;
        let etag = etag.unwrap_or_default();
        self.tell(&promise.body, before.map(|before| before.bytes), (dataset, channel), &etag);
        Ok(etag)
    }

    /// Has listeners told of a move, without making whoever asked for it wait.
    fn tell(
        &self,
        new: &[u8],
        before: Option<Vec<u8>>,
        (dataset, channel): (Name, Name),
        etag: &str,
    ) {
        let (env, new, etag) = (self.env.clone(), new.to_vec(), etag.to_owned());
        self.state.wait_until(async move {
            let Ok(store) = Store::open(&env) else { return };
            let names = (&dataset, &channel);
            live::moved(&env, &store, names, before.as_deref(), (&etag, &new)).await;
        });
    }

    /// Has the runtime come back, should this run break off.
    async fn wake(&self) {
        // Without an alarm the next request goes on instead.
        let _ = self.state.storage().set_alarm(RESUME_MS).await;
    }
}

fn promise(
    asked: &Asked,
    swap: &Swap,
    moved: &PointerMove,
    tiles: Vec<(packice_core::trust::tiles::TileRef, Vec<u8>)>,
) -> Promise {
    Promise {
        dataset: asked.dataset.to_string(),
        channel: asked.channel.to_string(),
        expects: match swap {
            Swap::Create => None,
            Swap::Replace { etag } => Some(etag.clone()),
        },
        mark: PointerMark::of(moved).to_string(),
        who: asked.who.clone(),
        body: asked.body.clone(),
        tiles,
    }
}

/// Another publisher's tiles that were let in between the check and the move give way to those
/// that were checked: from now on they are there for good.
async fn settle_tiles(store: &Store, dataset: &Name, promise: &Promise) -> Result<(), Problem> {
    for (tile, bytes) in &promise.tiles {
        let key = Resource::Tile { dataset: dataset.clone(), tile: *tile }.key();
        while let Some(stored) = store.read(&key).await? {
            let swap = Swap::Replace { etag: stored.etag };
            // A swap that is lost shows bytes that came before the move was visible: once more,
            // and no upload is let in after.
            if stored.bytes == *bytes
                || store.put(&key, bytes.clone(), &swap, None).await?.is_some()
            {
                break;
            }
        }
    }
    Ok(())
}

fn broken(error: worker::Error) -> Problem {
    Problem::new(ProblemCode::BadRequest, format!("the body broke off: {error}"))
}

fn internal(error: &impl std::fmt::Display) -> Problem {
    Problem::new(ProblemCode::Internal, error.to_string())
}

/// Lets a signer in, once, and counts so many bytes for its key.
pub(crate) async fn admit(
    env: &Env,
    dataset: &Name,
    signer: &Signer,
    bytes: u64,
) -> Result<(), Problem> {
    let asked = json!({
        "key": hex(&signer.key),
        "nonce": signer.nonce,
        "forgotten_s": signer.forgotten_s(),
        "bytes": bytes,
    });
    let body = asked.to_string().into_bytes();
    ask(env, dataset, "admit", &Headers::new(), Some(body)).await.map(drop)
}

/// A page of the dataset's trail.
pub(crate) async fn rows(env: &Env, dataset: &Name, after: u64) -> Result<Value, Problem> {
    ask(env, dataset, &format!("trail/{after}"), &Headers::new(), None).await
}

/// Remembers an object that was reported, as `object={kind}/{name}`.
pub(crate) async fn report(env: &Env, dataset: &Name, object: &str) -> Result<(), Problem> {
    let path = format!("report/{}", object.trim_start_matches("object="));
    ask(env, dataset, &path, &Headers::new(), None).await.map(drop)
}

/// The objects that were reported since the last call.
pub(crate) async fn take_reports(env: &Env, dataset: &Name) -> Result<Vec<String>, Problem> {
    let said = ask(env, dataset, "reports", &Headers::new(), None).await?;
    let reports = said["reports"].as_array().into_iter().flatten();
    Ok(reports.filter_map(|report| Some(report.as_str()?.to_owned())).collect())
}

/// Asks for a move.
pub(crate) async fn request_move(
    env: &Env,
    (dataset, channel): (&Name, &Name),
    who: &str,
    conditions: &RequestHeaders,
    body: Vec<u8>,
) -> Result<Reply, Problem> {
    let headers = Headers::new();
    let given = [(WHO, Some(who)), ("if-match", conditions.if_match.as_deref())];
    for (name, value) in
        given.into_iter().chain([("if-none-match", conditions.if_none_match.as_deref())])
    {
        if let Some(value) = value {
            headers.set(name, value).map_err(|error| internal(&error))?;
        }
    }
    let path = format!("move/{dataset}/{channel}");
    let said = ask(env, dataset, &path, &headers, Some(body)).await?;
    let resource = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() };
    let created = said["created"].as_bool().unwrap_or(false);
    Ok(written(&resource, created, said["etag"].as_str().unwrap_or_default()))
}

async fn ask(
    env: &Env,
    dataset: &Name,
    path: &str,
    headers: &Headers,
    body: Option<Vec<u8>>,
) -> Result<Value, Problem> {
    let said = send(env, dataset, path, headers, body).await.map_err(|error| {
        let detail = format!("the dataset's pointer object does not answer ({error}): try again");
        Problem::new(ProblemCode::StoreUnavailable, detail)
    })?;
    match Problem::from_message(&said) {
        Some(problem) => Err(problem),
        None => Ok(said),
    }
}

async fn send(
    env: &Env,
    dataset: &Name,
    path: &str,
    headers: &Headers,
    body: Option<Vec<u8>>,
) -> worker::Result<Value> {
    let stub = env.durable_object(BINDING)?.id_from_name(dataset.as_str())?.get_stub()?;
    let mut init = RequestInit::new();
    init.with_method(if body.is_some() { Method::Post } else { Method::Get });
    init.with_headers(headers.clone());
    init.with_body(body.map(|body| worker::js_sys::Uint8Array::from(body.as_slice()).into()));
    let request = Request::new_with_init(&format!("https://pointer/{path}"), &init)?;
    stub.fetch_with_request(request).await?.json().await
}
