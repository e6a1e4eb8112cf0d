//! Asks the witnesses again, so that a quiet data set stays fresh. Nothing is decided
//! here; each data set is by itself, and what fails is logged and comes again the next time.

use std::time::Duration;

use futures_util::future::join_all;
use packice_core::trust::tiles::TileRef;
use packice_core::trust::witness::MAX_ANSWER_LEN;
use packice_core::types::Name;
use worker::{Env, Method, RequestInit, console_error};

use crate::headers::RequestHeaders;
use crate::log;
use crate::pointer;
use crate::problem::{Problem, ProblemCode};
use crate::refresh::{Ask, Next, Refresh, WitnessUrls};
use crate::resource::{Resource, bootstrap_prefix};
use crate::shell::ask;
use crate::shell::durable::pointer::request_move;
use crate::shell::moves::{stored_pointers, trust_roots};
use crate::shell::store::Store;
use crate::verify;

/// The variable that lists the witnesses.
const WITNESSES: &str = "WITNESSES";
/// How long one witness may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who moves, as the trail has it.
const WHO: &str = "cron";

/// Refreshes every data set.
pub(crate) async fn run(env: &Env) {
    let list = env.var(WITNESSES).map(|list| list.to_string()).unwrap_or_default();
    let urls = WitnessUrls::parse(&list);
    if urls.is_empty() {
        return;
    }
    let Ok(store) = Store::open(env) else { return };
    let Ok(datasets) = store.datasets().await else { return };
    for dataset in datasets {
        if let Err(problem) = refresh(env, &store, &dataset, &urls).await {
            say(&dataset, "refresh", &problem.detail);
        }
    }
}

/// Asks the witnesses about the newest checkpoint, and swaps the pointers that stand at it.
async fn refresh(
    env: &Env,
    store: &Store,
    dataset: &Name,
    urls: &WitnessUrls,
) -> Result<(), Problem> {
    let pointers = stored_pointers(store, dataset).await?;
    let Some(newest) = pointer::newest(pointers.clone()) else { return Ok(()) };
    let Some(stored) = store.read(&newest.key).await? else { return Ok(()) };
    let roots = trust_roots(store, dataset).await?;
    let planned = Refresh::plan(dataset, &roots, &stored.bytes, urls);
    let Some(mut refresh) = planned.map_err(|error| verify::refused(&error))? else {
        return Ok(());
    };
    ask_all(store, dataset, &mut refresh).await?;
    let prefix = bootstrap_prefix(dataset);
    for standing in pointers {
        let Some(current) = store.read(&standing.key).await? else { continue };
        let Some(channel) = standing.key.strip_prefix(&prefix) else { continue };
        let (Ok(channel), true) = (Name::new(channel), refresh.concerns(&current.bytes)) else {
            continue;
        };
        let new = refresh.apply(&current.bytes).map_err(|error| verify::refused(&error))?;
        let Some(new) = new else { continue };
        let stands = RequestHeaders {
            if_match: Some(format!("\"{}\"", current.etag)),
            ..RequestHeaders::default()
        };
        match request_move(env, (dataset, &channel), WHO, &stands, new).await {
            Ok(_) => {}
            // A release came in between: it brought cosignatures of its own.
            Err(problem) if problem.code == ProblemCode::PreconditionFailed => {}
            Err(problem) => say(dataset, "swap", &problem.detail),
        }
    }
    Ok(())
}

async fn ask_all(store: &Store, dataset: &Name, refresh: &mut Refresh) -> Result<(), Problem> {
    let asks = refresh.asks.clone();
    let request = refresh.request();
    let answers = join_all(asks.iter().map(|ask| post(&ask.url, request.clone()))).await;
    for (ask, answer) in asks.iter().zip(answers) {
        let next = match answer {
            Ok((status, body)) => refresh.answered(&ask.witness, status, &body),
            Err(error) => Next::Refused(error.to_string()),
        };
        let next = match next {
            Next::Prove { from, tiles } => {
                let tiles = read_tiles(store, dataset, tiles).await?;
                ask_again(refresh, ask, from, &tiles).await
            }
            Next::Taken | Next::Refused(_) => next,
        };
        match next {
            Next::Taken => {}
            Next::Prove { .. } => say(dataset, &ask.witness.name, "it moved while it was asked"),
            Next::Refused(why) => say(dataset, &ask.witness.name, &why),
        }
    }
    Ok(())
}

async fn ask_again(
    refresh: &mut Refresh,
    ask: &Ask,
    from: u64,
    tiles: &[(TileRef, Vec<u8>)],
) -> Next {
    let request = match refresh.request_from(from, tiles) {
        Ok(request) => request,
        Err(error) => return Next::Refused(error.to_string()),
    };
    match post(&ask.url, request).await {
        Ok((status, body)) => refresh.answered(&ask.witness, status, &body),
        Err(error) => Next::Refused(error.to_string()),
    }
}

async fn read_tiles(
    store: &Store,
    dataset: &Name,
    tiles: Vec<TileRef>,
) -> Result<Vec<(TileRef, Vec<u8>)>, Problem> {
    let mut read = Vec::new();
    for tile in tiles {
        let resource = Resource::Tile { dataset: dataset.clone(), tile };
        let stored = store.read(&resource.key()).await?;
        read.push((tile, verify::uploaded(&resource, stored.map(|stored| stored.bytes))?));
    }
    Ok(read)
}

async fn post(url: &str, body: Vec<u8>) -> worker::Result<(u16, Vec<u8>)> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post);
    init.with_body(Some(worker::js_sys::Uint8Array::from(body.as_slice()).into()));
    ask::ask(url, &init, PATIENCE, MAX_ANSWER_LEN).await
}

fn say(dataset: &Name, what: &str, why: &str) {
    console_error!("{}", log::line("cron", what, dataset.as_str(), why));
}
