//! The platform's rate limits: whether a client may ask once more.

use worker::{Env, Request};

use crate::problem::Problem;
use crate::rate::{Counted, bucket, too_many};

/// Counts a request for somebody. Where no limit is bound, or the platform does not answer, all
/// may pass: the limit protects the bill, not the data.
pub(crate) async fn count(env: &Env, what: Counted, whose: &str) -> Result<(), Problem> {
    let Ok(limiter) = env.rate_limiter(what.binding()) else { return Ok(()) };
    match limiter.limit(whose.to_owned()).await {
        Ok(outcome) if !outcome.success => Err(too_many()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Counts a request for its client's address.
pub(crate) async fn count_address(
    env: &Env,
    what: Counted,
    request: &Request,
) -> Result<(), Problem> {
    let address = request.headers().get("cf-connecting-ip").ok().flatten();
    count(env, what, &bucket(&address.unwrap_or_default())).await
}
