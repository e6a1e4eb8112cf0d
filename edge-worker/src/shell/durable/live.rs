//! A shard of a channel's listeners: a Durable Object that sleeps while its sockets stay open.
//!
//! It is told of moves by whoever moved the pointer. It also looks by itself from time to time, as
//! long as anybody listens, so that news which were lost on their way are late and not lost.

use std::cell::RefCell;

use packice_core::types::Name;
use worker::{
    Date, DurableObject, Env, Method, Request, RequestInit, Response, ResponseBuilder, State,
    WebSocket, WebSocketIncomingMessage, WebSocketPair, console_error, durable_object,
    wasm_bindgen,
};

use crate::live::{LOOK_MS, Limits, News, misspoke, shard_name};
use crate::log;
use crate::problem::{Problem, ProblemCode};
use crate::reply::{Body, Reply};
use crate::resource::Resource;
use crate::shell::live::gather;
use crate::shell::store::{Small, Store};

/// The binding in wrangler.toml.
const BINDING: &str = "LIVE";
/// The variable with the limits.
pub(crate) const LIMITS: &str = "LIVE_LIMITS";
/// Where the stored row says which channel this is, and which pointer was told last.
const CHANNEL: &str = "channel";
const TOLD: &str = "told";
/// A greeting is read anew after so long.
const GREETING_MS: u64 = 2000;

/// A shard.
#[durable_object]
pub struct Live {
    state: State,
    env: Env,
    /// When the pointer was read last, and what it was.
    newest: RefCell<Option<(u64, Small)>>,
}

impl DurableObject for Live {
    fn new(state: State, env: Env) -> Self {
        // Answered by the runtime, without waking this object.
        if let Ok(pair) = worker::worker_sys::WebSocketRequestResponsePair::new("ping", "pong") {
            state.set_websocket_auto_response(&pair);
        }
        Self { state, env, newest: RefCell::new(None) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let path = request.path();
        let mut parts = path.split('/').skip(1);
        let names = (parts.next().map(Name::new), parts.next().map(Name::new));
        let (Some(Ok(dataset)), Some(Ok(channel))) = names else {
            return Response::error("no channel", 500);
        };
        if request.method() == Method::Post {
            let etag = request.headers().get("etag")?.unwrap_or_default();
            let told = self.tell(&etag, &request.bytes().await?).await?;
            return Response::ok(told.to_string());
        }
        match self.admit(&dataset, &channel, &request).await {
            Ok(response) => Ok(response),
            Err(problem) => refuse(problem),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        if self.state.get_websockets().is_empty() {
            return Response::ok("nobody listens");
        }
        self.state.storage().set_alarm(alarm_in()).await?;
        let Some((dataset, channel)) = self.channel().await else {
            return Response::ok("no channel");
        };
        if let Err(problem) = self.look(&dataset, &channel).await {
            console_error!("{}", log::line("live", "look", dataset.as_str(), &problem.detail));
        }
        Response::ok("")
    }

    async fn websocket_message(
        &self,
        socket: WebSocket,
        message: WebSocketIncomingMessage,
    ) -> worker::Result<()> {
        let len = match message {
            WebSocketIncomingMessage::String(text) => text.len(),
            WebSocketIncomingMessage::Binary(bytes) => bytes.len(),
        };
        let (code, reason) = misspoke(len);
        socket.close(Some(code), Some(reason))
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        _code: usize,
        _reason: String,
        _was_clean: bool,
    ) -> worker::Result<()> {
        // It may be closed already.
        let _ = socket.close(Some(1000), Some(""));
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: worker::Error) -> worker::Result<()> {
        Ok(())
    }
}

impl Live {
    /// Lets a listener in, and greets it.
    async fn admit(
        &self,
        dataset: &Name,
        channel: &Name,
        request: &Request,
    ) -> Result<Response, Problem> {
        let limits = limits(&self.env);
        let address = request.headers().get("cf-connecting-ip").ok().flatten();
        // A tag has a bounded length, and so has an address.
        let address: String = address.unwrap_or_default().chars().take(64).collect();
        let of_address = self.state.get_websockets_with_tag(&address).len();
        limits.admit(self.state.get_websockets().len(), of_address)?;
        let Some(newest) = self.newest(dataset, channel).await? else {
            let detail = format!("{dataset} has no channel {channel}");
            return Err(Problem::new(ProblemCode::NotFound, detail));
        };
        self.begin(dataset, channel, &newest.etag).await.map_err(internal)?;
        let pair = WebSocketPair::new().map_err(internal)?;
        self.state.accept_websocket_with_tags(&pair.server, &[&address]);
        if let Some(news) = News::of(None, &newest.bytes, channel) {
            pair.server.send_with_bytes(news.greeting()).map_err(internal)?;
        }
        Response::from_websocket(pair.client).map_err(internal)
    }

    /// What the pointer stands at, read a moment ago at most.
    async fn newest(&self, dataset: &Name, channel: &Name) -> Result<Option<Small>, Problem> {
        let now_ms = Date::now().as_millis();
        let held = self.newest.borrow().clone();
        if let Some((read_ms, newest)) = held
            && now_ms.saturating_sub(read_ms) < GREETING_MS
        {
            return Ok(Some(newest));
        }
        let key = Resource::Bootstrap { dataset: dataset.clone(), channel: channel.clone() }.key();
        let newest = Store::open(&self.env)?.read(&key).await?;
        self.newest.replace(newest.clone().map(|newest| (now_ms, newest)));
        Ok(newest)
    }

    /// Notes what this shard is about, and begins to look by itself.
    async fn begin(&self, dataset: &Name, channel: &Name, etag: &str) -> worker::Result<()> {
        let storage = self.state.storage();
        if storage.get_alarm().await?.is_some() {
            return Ok(());
        }
        storage.put(CHANNEL, format!("{dataset}/{channel}")).await?;
        storage.put(TOLD, etag).await?;
        storage.set_alarm(alarm_in()).await
    }

    async fn channel(&self) -> Option<(Name, Name)> {
        let channel: String = self.state.storage().get(CHANNEL).await.ok()??;
        let (dataset, channel) = channel.split_once('/')?;
        Some((Name::new(dataset).ok()?, Name::new(channel).ok()?))
    }

    /// Tells everybody who listens; how many that are.
    async fn tell(&self, etag: &str, push: &[u8]) -> worker::Result<usize> {
        self.newest.replace(None);
        let sockets = self.state.get_websockets();
        for socket in &sockets {
            // Whoever is gone learns it by its greeting, when it comes back.
            let _ = socket.send_with_bytes(push);
        }
        if !sockets.is_empty() {
            self.state.storage().put(TOLD, etag).await?;
        }
        Ok(sockets.len())
    }

    /// Tells what was not told.
    async fn look(&self, dataset: &Name, channel: &Name) -> Result<(), Problem> {
        self.newest.replace(None);
        let Some(newest) = self.newest(dataset, channel).await? else { return Ok(()) };
        let told: Option<String> = self.state.storage().get(TOLD).await.map_err(internal)?;
        if told.as_deref() == Some(&newest.etag) {
            return Ok(());
        }
        let Some(news) = News::of(None, &newest.bytes, channel) else { return Ok(()) };
        let push = gather(&Store::open(&self.env)?, dataset, &news).await?;
        self.tell(&newest.etag, &push).await.map_err(internal)?;
        Ok(())
    }
}

fn alarm_in() -> i64 {
    i64::try_from(LOOK_MS).unwrap_or(i64::MAX)
}

/// Whether the deployment has shards.
pub(crate) fn is_bound(env: &Env) -> bool {
    env.durable_object(BINDING).is_ok()
}

/// The limits that the deployment says.
pub(crate) fn limits(env: &Env) -> Limits {
    Limits::parse(&env.var(LIMITS).map(|limits| limits.to_string()).unwrap_or_default())
}

fn internal(error: worker::Error) -> Problem {
    console_error!("{}", log::line("live", "shard", "", &error.to_string()));
    Problem::new(ProblemCode::Internal, "the shard of listeners failed; try again")
}

/// A problem as a response, for what does not go through the Worker's replies.
pub(crate) fn refuse(problem: Problem) -> worker::Result<Response> {
    let reply = Reply::problem(problem, false);
    let mut builder = ResponseBuilder::new().with_status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.with_header(name, value)?;
    }
    match reply.body {
        Body::Bytes(bytes) => Ok(builder.fixed(bytes)),
        Body::Empty | Body::Object(_) => Ok(builder.empty()),
    }
}

/// Hands a listener to its shard.
pub(crate) async fn connect(
    env: &Env,
    dataset: &Name,
    channel: &Name,
    key: &str,
    request: &Request,
) -> worker::Result<Response> {
    let shard = limits(env).shard(key);
    let stub = env.durable_object(BINDING)?.get_by_name(&shard_name(dataset, channel, shard))?;
    let mut init = RequestInit::new();
    init.with_headers(request.headers().clone());
    let url = format!("https://live/{dataset}/{channel}");
    stub.fetch_with_request(Request::new_with_init(&url, &init)?).await
}

/// Has a shard tell its listeners.
pub(crate) async fn tell(
    env: &Env,
    (dataset, channel, shard): (&Name, &Name, u32),
    etag: &str,
    push: &[u8],
) -> worker::Result<()> {
    let stub = env.durable_object(BINDING)?.get_by_name(&shard_name(dataset, channel, shard))?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post);
    init.headers.set("etag", etag)?;
    init.with_body(Some(worker::js_sys::Uint8Array::from(push).into()));
    let url = format!("https://live/{dataset}/{channel}");
    stub.fetch_with_request(Request::new_with_init(&url, &init)?).await.map(drop)
}
