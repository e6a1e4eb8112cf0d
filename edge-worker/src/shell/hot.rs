//! The hot route: an immutable object that the data centre's cache holds whole. Straight on
//! wasm-bindgen, since most requests end here and the `worker` crate's types cost more than the
//! look-up does. Whatever is not the plainest of reads goes the long way (`serve`).

use worker::js_sys::Promise;
use worker::wasm_bindgen::{self, JsCast, JsValue, prelude::wasm_bindgen};
use worker::wasm_bindgen_futures::JsFuture;
use worker::worker_sys::web_sys::{Request, Response};

use crate::resource::Resource;
use crate::route::{Route, route};

#[wasm_bindgen]
extern "C" {
    /// The data centre's cache.
    type HotCache;

    #[wasm_bindgen(thread_local_v2, js_namespace = caches, js_name = default)]
    static CACHE: HotCache;

    #[wasm_bindgen(method, catch, js_name = match)]
    fn find(this: &HotCache, request: &Request) -> Result<Promise, JsValue>;
}

/// The cached answer, where this is a plain read of an immutable object that the cache has.
pub(crate) async fn answer(request: &Request) -> Option<Response> {
    if request.method() != "GET" || !is_immutable(&request.url()) {
        return None;
    }
    let found = CACHE.with(|cache| cache.find(request)).ok()?;
    let response: Response = JsFuture::from(found).await.ok()?.dyn_into().ok()?;
    // Validators that hold are the long way's; so are ranges, which the cache reads in its own way,
    // and the one condition that it knows nothing of.
    let asks = |name| request.headers().has(name).unwrap_or(true);
    let plain = response.status() == 200 && !asks("range") && !asks("if-match");
    plain.then_some(response)
}

fn is_immutable(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let Some(at) = rest.find('/') else { return false };
    let path = rest.get(at..).unwrap_or_default();
    let asked = route("GET", path);
    matches!(asked, Route::Read { resource: Resource::Object { .. }, .. })
}
