//! The hot route: a plain read of an immutable object that the data centre's cache holds whole.
//!
//! Most requests end here, and a future that crosses between JavaScript and wasm costs more than
//! the look-up does. So the entry module (xtask/src/build/edge_shim.js) awaits the cache itself,
//! asks here which URLs that is for, and says when it answered; nothing of this waits. Whatever is
//! not the plainest of reads goes the long way (`serve`).

use packice_core::types::ObjectKind;
use worker::wasm_bindgen::{self, prelude::wasm_bindgen};
use worker::worker_sys::{self, web_sys};
use worker::{Context, Env};

use crate::metrics::Counter;
use crate::route;
use crate::shell::telemetry;

/// For a GET of a URL that the cache may answer as it is: the number of its kind of object.
#[wasm_bindgen(js_name = hotKind)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn hot_kind(url: &str) -> Option<u32> {
    let kind = route::immutable(url)?;
    let number = ObjectKind::ALL.iter().position(|own| *own == kind)?;
    u32::try_from(number).ok()
}

/// The cache answered with an object of a kind and length; whether it is time to tell the region.
#[wasm_bindgen(js_name = wasHot)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn was_hot(kind: u32, length: u32) -> bool {
    telemetry::count(Counter::ColoHits);
    if let Some(kind) = ObjectKind::ALL.get(kind as usize) {
        telemetry::answered(*kind, length.into());
    }
    telemetry::request_ended()
}

/// Tells the region.
#[wasm_bindgen(js_name = tellRegion)]
#[expect(unreachable_pub, reason = "what JavaScript calls must be public")]
pub fn tell_region(request: web_sys::Request, env: Env, context: worker_sys::Context) {
    telemetry::tell(&env, &Context::new(context), &request.into());
}
