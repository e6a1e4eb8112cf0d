//! The shell's way of live push: a listener to its shard, and news to all of them.

use futures_util::future::join_all;
use packice_core::types::Name;
use worker::{Env, Request, Response, console_error};

use crate::live::{News, check_upgrade};
use crate::log;
use crate::problem::{Problem, ProblemCode};
use crate::resource::Resource;
use crate::shell::durable::live as shard;
use crate::shell::store::Store;

/// Answers a request to listen.
pub(crate) async fn listen(
    env: &Env,
    (dataset, channel): (&Name, &Name),
    request: &Request,
) -> worker::Result<Response> {
    match check_upgrade(|name| request.headers().get(name).ok().flatten()) {
        Ok(_) if !shard::is_bound(env) => {
            let detail = "this edge has no live push: look for versions";
            shard::refuse(Problem::new(ProblemCode::NotFound, detail))
        }
        Ok(key) => shard::connect(env, dataset, channel, &key, request).await,
        Err(problem) => shard::refuse(problem),
    }
}

/// Puts a push together.
pub(crate) async fn gather(store: &Store, dataset: &Name, news: &News) -> Result<Vec<u8>, Problem> {
    let read = async |kind, name| {
        let resource = Resource::Object { dataset: dataset.clone(), kind, name };
        let stored = store.read(&resource.key()).await?;
        Ok::<_, Problem>(stored.map(|stored| stored.bytes))
    };
    let manifest = match news.manifest() {
        Some(name) => read(packice_core::types::ObjectKind::Manifest, name).await?,
        None => None,
    };
    let mut objects = Vec::new();
    for needed in news.wanted(manifest.as_deref()) {
        objects.extend(read(needed.kind, needed.object.name).await?);
    }
    Ok(news.push(objects))
}

/// Tells every listener of a channel that its pointer moved. What fails here is made up for by the
/// shards themselves.
pub(crate) async fn moved(
    env: &Env,
    store: &Store,
    (dataset, channel): (&Name, &Name),
    before: Option<&[u8]>,
    (etag, new): (&str, &[u8]),
) {
    let Some(news) = News::of(before, new, channel).filter(|_| shard::is_bound(env)) else {
        return;
    };
    let push = match gather(store, dataset, &news).await {
        Ok(push) => push,
        Err(problem) => return say(dataset, &problem.detail),
    };
    let shards = 0..shard::limits(env).shards;
    let tell = |number| shard::tell(env, (dataset, channel, number), etag, &push);
    for told in join_all(shards.map(tell)).await {
        if let Err(error) = told {
            say(dataset, &error.to_string());
        }
    }
}

fn say(dataset: &Name, why: &str) {
    console_error!("{}", log::line("live", "tell", dataset.as_str(), why));
}
