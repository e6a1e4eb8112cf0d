//! The sources: what this edge knows of the others, and its answer to a client.

use worker::{Date, Env, Request};

use crate::reply::Reply;
use crate::shell::place;
use crate::shell::serve::Edge;
use crate::shell::store::Store;
use crate::sources::{self, Source, Verdicts};
use crate::status;

/// The variable that lists the sources.
const SOURCES: &str = "SOURCES";
/// The variable that names this edge's region.
const REGION: &str = "REGION";

/// The sources of the variable.
pub(crate) fn listed(env: &Env) -> Vec<Source> {
    let list = env.var(SOURCES).map(|list| list.to_string());
    sources::parse(&list.unwrap_or_default())
}

/// The region that this edge is.
pub(crate) fn own_region(env: &Env) -> String {
    env.var(REGION).map(|region| region.to_string()).unwrap_or_default()
}

/// Where the edge of a region keeps what it heard of the others.
pub(crate) fn verdicts_key(region: &str) -> String {
    format!("_edge/sources/{region}")
}

impl Edge {
    /// The sources for a client, nearest first. An edge whose store does not answer leaves itself
    /// out at once; the others hear of it on their cron.
    pub(crate) async fn sources(&self, request: &Request, head: bool) -> Reply {
        let mut listed = listed(&self.env);
        if listed.is_empty() {
            let (region, url) = (own_region(&self.env), self.origin.clone());
            listed.push(Source { region, url, place: None });
        }
        let region = own_region(&self.env);
        let kept = match self.store() {
            Ok(store) => kept(store, &region).await,
            Err(_) => None,
        };
        let own_sick = kept.is_none().then_some(region.as_str());
        let now_ms = Date::now().as_millis();
        let heard = kept.unwrap_or_default();
        status::json_reply(
            200,
            &sources::answer(&listed, &heard, own_sick, place(request), now_ms),
            head,
        )
    }
}

/// What was heard; `None` where the store does not answer.
async fn kept(store: &Store, region: &str) -> Option<Verdicts> {
    let read = store.read(&verdicts_key(region)).await.ok()?;
    Some(read.map(|read| Verdicts::from_json(&read.bytes)).unwrap_or_default())
}
