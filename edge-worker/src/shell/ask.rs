//! Requests to other servers, in bounded time and length.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use worker::{AbortController, Delay, Fetch, Request, RequestInit};

/// Status and body of an answer.
pub(crate) async fn ask(
    url: &str,
    init: &RequestInit,
    patience: Duration,
    max_len: usize,
) -> worker::Result<(u16, Vec<u8>)> {
    let request = Request::new_with_init(url, init)?;
    let abort = AbortController::default();
    let signal = abort.signal();
    let fetch = Fetch::Request(request);
    let answer = Box::pin(async {
        let mut response = fetch.send_with_signal(&signal).await?;
        let (status, mut body) = (response.status_code(), Vec::new());
        let mut stream = response.stream()?;
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > max_len {
                return Err(worker::Error::from("its answer is too long"));
            }
        }
        Ok((status, body))
    });
    match select(answer, Delay::from(patience)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            abort.abort();
            Err(worker::Error::from("it does not answer in time"))
        }
    }
}
