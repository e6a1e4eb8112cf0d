//! The shell: everything that exists on workerd only. This file is the Worker's entry: requests
//! into plain data, replies into responses.

mod admit;
mod ask;
pub(crate) mod cache;
mod cron;
pub(crate) mod durable;
mod keep;
pub(crate) mod live;
pub(crate) mod moves;
pub(crate) mod publish;
mod rate;
pub(crate) mod serve;
mod services;
mod sources;
pub(crate) mod store;

use worker::{Context, Env, Headers, Request, Response, ResponseBody, console_error, event};

use crate::headers::RequestHeaders;
use crate::log;
use crate::reply::{Body, Reply};
use crate::route::{Route, route};
use crate::service::Service;
use crate::shell::serve::{Answer, Edge, Keep};
use crate::shell::store::Store;

/// Answers a request.
#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let origin = origin(&request.inner().url()).to_owned();
    let edge = Edge { store: Store::open(&env), env, origin };
    // `Request::method` takes what it does not know for GET.
    let asked = route(&request.inner().method(), &request.path());
    if let Route::Service { service: Service::Live { dataset, channel }, .. } = &asked {
        return live::listen(&edge.env, (dataset, channel), &request).await;
    }
    let headers = RequestHeaders::collect(|name| request.headers().get(name).ok().flatten());
    let Answer { reply, content, keep } = edge.answer(asked, &headers, &mut request).await;
    let mut response = respond_with(reply, content)?;
    if let Some(Keep { url, read_at_ms }) = keep {
        // Both copies stream from one read of the store; neither passes through wasm.
        let copy = response.cloned()?;
        context.wait_until(async move {
            if let Err(error) = cache::keep(&url, copy, read_at_ms).await {
                console_error!("{}", log::line("cache", "keep", &url, &error.to_string()));
            }
        });
    }
    Ok(response)
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
