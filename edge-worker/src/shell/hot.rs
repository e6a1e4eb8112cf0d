//! The hot route: a plain read of an immutable object that the data centre's cache holds whole.
//!
//! Most requests end here, and a future that crosses between JavaScript and wasm costs more than
//! the look-up does. So the entry module (xtask/src/build/edge_shim.js) awaits the cache itself,
//! asks here which URLs that is for, and says when it answered; nothing of this waits. Whatever is
//! not the plainest of reads goes the long way (`serve`).

use worker::wasm_bindgen::{self, prelude::wasm_bindgen};
use worker::worker_sys::{self, web_sys};
use worker::{Context, Env};

use crate::metrics::Counter;
use crate::route;
use crate::shell::telemetry;

/// Whether a GET of a URL may be answered by the cache as it is.
#[wasm_bindgen(js_name = isHot)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn is_hot(url: &str) -> bool {
    route::is_immutable(url)
}

/// The cache answered; whether it is time to tell the region.
#[wasm_bindgen(js_name = wasHot)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn was_hot() -> bool {
    telemetry::count(Counter::ColoHits);
    telemetry::request_ended()
}

/// Tells the region.
#[wasm_bindgen(js_name = tellRegion)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn tell_region(request: web_sys::Request, env: Env, context: worker_sys::Context) {
    telemetry::tell(&env, &Context::new(context), &request.into());
}
