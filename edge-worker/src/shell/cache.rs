//! The one file that touches the Cache API: this data centre's cache in front of the store.
//!
//! Kept are whole 200s of immutable objects and, for their few seconds, of pointers; the cache
//! itself cuts ranges out of them. A range that misses is not kept: its object comes in when
//! somebody reads it whole. A cache that fails is a miss.
//!
//! How old a pointer can get: a PUT forgets the pointer in its own data centre, but a read that
//! was under way may put the old one back. So an entry tells when its read of the store began
//! (`respond::READ_AT`) and is a miss once that is more than `max-age` ago: no data centre
//! answers with a pointer that was replaced more than 5 s ago, the one that took the PUT
//! included. `age` goes out with the answer, so a client's own cache adds nothing to it.

use worker::{Cache, Headers, Method, Request, RequestInit, Response};

use crate::range::RangeSpec;
use crate::respond::{CACHE_STATUS, READ_AT};

/// The cached answer for a URL, or for a range of it.
pub(crate) async fn find(url: &str, range: Option<RangeSpec>) -> Option<Response> {
    let headers = Headers::new();
    if let Some(range) = range {
        headers.set("range", &range.to_string()).ok()?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Get).with_headers(headers);
    // Keyed by a request: a key that is a URL alone ignores `range`.
    let key = Request::new_with_init(url, &init).ok()?;
    Cache::default().get(&key, false).await.ok().flatten()
}

/// Keeps a whole answer; one that grows old, with the time at which the read of the store behind it
/// began.
pub(crate) async fn keep(
    url: &str,
    response: Response,
    read_at_ms: Option<u64>,
) -> worker::Result<()> {
    let key = Request::new(url, Method::Get)?;
    if let Some(read_at_ms) = read_at_ms {
        response.headers().set(READ_AT, &read_at_ms.to_string())?;
    }
    // What the hot route gives out as it is.
    response.headers().set("cache-status", CACHE_STATUS)?;
    Cache::default().put(&key, response).await
}

/// Forgets a URL in this data centre.
pub(crate) async fn forget(url: &str) -> worker::Result<()> {
    let key = Request::new(url, Method::Get)?;
    Cache::default().delete(&key, false).await.map(drop)
}
