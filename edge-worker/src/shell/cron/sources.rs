//! Asks the other edges whether they are ready, as a client would.

use std::time::Duration;

use futures_util::future::join_all;
use worker::{Date, Env, RequestInit};

use crate::pointer::Swap;
use crate::shell::ask::ask;
use crate::shell::sources::{listed, own_region, verdicts_key};
use crate::shell::store::Store;
use crate::sources::Verdicts;

/// How long one edge may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is looked at.
const MAX_ANSWER_LEN: usize = 16 * 1024;

/// Asks all, and keeps what was heard.
pub(crate) async fn run(env: &Env) {
    let listed = listed(env);
    if listed.is_empty() {
        return;
    }
    let Ok(store) = Store::open(env) else { return };
    let ready = |url: &str| {
        let url = format!("{url}/readyz");
        async move {
            let answer = ask(&url, &RequestInit::new(), PATIENCE, MAX_ANSWER_LEN).await;
            matches!(answer, Ok((200, _)))
        }
    };
    let answers = join_all(listed.iter().map(|source| ready(&source.url))).await;
    let sick = listed.iter().zip(answers).filter(|(_, ready)| !ready);
    let sick = sick.map(|(source, _)| source.region.clone()).collect();
    let verdicts = Verdicts { at_ms: Date::now().as_millis(), sick };
    let key = verdicts_key(&own_region(env));
    let swap = match store.head(&key).await {
        Ok(Some(meta)) => Swap::Replace { etag: meta.etag },
        Ok(None) => Swap::Create,
        Err(_) => return,
    };
    // A store that fails has said so in the log; another round that came first will do.
    let _ = store.put(&key, verdicts.to_json().to_string().into_bytes(), &swap, None).await;
}
