//! The shell: everything that exists on workerd only. This file is the Worker's entry: requests
//! into plain data, replies into responses.

mod admit;
mod ask;
pub(crate) mod cache;
mod cron;
pub(crate) mod durable;
mod hot;
mod keep;
pub(crate) mod live;
pub(crate) mod moves;
pub(crate) mod publish;
mod rate;
pub(crate) mod serve;
mod services;
mod sources;
pub(crate) mod store;
pub(crate) mod telemetry;
pub(crate) mod tiers;
mod turns;

use worker::wasm_bindgen::{self, JsValue, prelude::wasm_bindgen};
use worker::wasm_bindgen_futures;
use worker::worker_sys::ext::RequestExt;
use worker::worker_sys::{self, web_sys};
use worker::{Context, Env, Headers, Request, Response, ResponseBody, console_error};

use crate::headers::RequestHeaders;
use crate::log;
use crate::metrics::Counter;
use crate::place::Place;
use crate::problem::{Problem, ProblemCode};
use crate::reply::{Body, Reply};
use crate::route::{Route, route};
use crate::service::Service;
use crate::shell::serve::{Answer, Edge, Keep};
use crate::shell::store::Store;
use crate::shell::tiers::Tiers;

/// The event, for all that the hot route leaves.
#[wasm_bindgen(js_name = fetch)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub async fn fetch_event(
    request: web_sys::Request,
    env: Env,
    context: worker_sys::Context,
) -> Result<JsValue, JsValue> {
    let answered = answer(request.into(), env, Context::new(context)).await;
    let response = answered.or_else(|error| {
        console_error!("{}", log::line("shell", "answer", "", &error.to_string()));
        let detail = "the answer could not be made";
        respond_with(
            Reply::problem(Problem::new(ProblemCode::Internal, detail), false),
            ResponseBody::Empty,
        )
    })?;
    Ok(web_sys::Response::from(response).into())
}

/// Answers a request.
async fn answer(mut request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let origin = origin(&request.inner().url()).to_owned();
    let tiers = Tiers::of(&env, place(&request));
    let edge = Edge { store: Store::open(&env), env, origin, tiers };
    // `Request::method` takes what it does not know for GET.
    let asked = route(&request.inner().method(), &request.path());
    if let Route::Service { service: Service::Live { dataset, channel }, .. } = &asked {
        let listens = live::listen(&edge.env, (dataset, channel), &request).await?;
        if listens.status_code() == 101 {
            telemetry::count(Counter::Listeners);
        }
        if telemetry::request_ended() {
            telemetry::tell(&edge.env, &context, &request);
        }
        return Ok(listens);
    }
    let headers = RequestHeaders::collect(|name| request.headers().get(name).ok().flatten());
    let Answer { reply, content, keep } = edge.answer(asked, &headers, &mut request).await;
    if telemetry::request_ended() {
        telemetry::tell(&edge.env, &context, &request);
    }
    let mut response = respond_with(reply, content)?;
    if let Some(Keep { url, read_at_ms, turn }) = keep {
        // Both copies stream from one read of the store; neither passes through wasm.
        let copy = response.cloned()?;
        context.wait_until(async move {
            if let Err(error) = cache::keep(&url, copy, read_at_ms).await {
                console_error!("{}", log::line("cache", "keep", &url, &error.to_string()));
            }
            drop(turn);
        });
    }
    Ok(response)
}

/// Where a request comes from, as far as the platform knows. The `worker` crate's own reading of it
/// panics over what is no number.
pub(crate) fn place(request: &Request) -> Option<Place> {
    let cf = request.inner().cf()?;
    Place::parse(&cf.latitude().ok()??, &cf.longitude().ok()??)
}

fn respond_with(reply: Reply, content: ResponseBody) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
    let builder = Response::builder().with_status(reply.status).with_headers(headers);
    Ok(match reply.body {
        Body::Empty => builder.empty(),
        Body::Bytes(bytes) => builder.fixed(bytes),
        Body::Object(_) => builder.body(content),
    })
}

/// Scheme and host of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}
