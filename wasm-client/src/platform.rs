//! What the engine may not have of its own: a clock, randomness, and turns of the event loop.

use js_sys::{ArrayBuffer, Date, Function, Object, Promise, Reflect, Uint8Array, WebAssembly};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// Milliseconds since 1970 on a clock that never goes back while the client lives: the time of
/// its start by the local clock, which may be wrong, and what has passed since.
pub(crate) fn clock_ms() -> f64 {
    let global = js_sys::global();
    let read = || -> Option<f64> {
        let performance = Reflect::get(&global, &"performance".into()).ok()?;
        let origin = Reflect::get(&performance, &"timeOrigin".into()).ok()?.as_f64()?;
        let now: Function = Reflect::get(&performance, &"now".into()).ok()?.dyn_into().ok()?;
        Some(origin + now.call0(&performance).ok()?.as_f64()?)
    };
    // Every environment this package supports has `performance`.
    read().unwrap_or_else(Date::now)
}

/// Milliseconds since 1970 by the local clock as it is set now: it may jump either way.
pub(crate) fn wall_clock_ms() -> f64 {
    Date::now()
}

/// Bytes of the wasm memory.
pub(crate) fn memory_bytes() -> u32 {
    let memory: WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    memory.buffer().unchecked_into::<ArrayBuffer>().byte_length()
}

/// A random number, or none where the platform has no `crypto`.
pub(crate) fn random_seed() -> Option<u64> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into()).ok()?;
    let fill: Function = Reflect::get(&crypto, &"getRandomValues".into()).ok()?.dyn_into().ok()?;
    let bytes = Uint8Array::new_with_length(8);
    fill.call1(&crypto, &bytes).ok()?;
    let mut seed = [0; 8];
    bytes.copy_to(&mut seed);
    Some(u64::from_le_bytes(seed))
}

/// Lets the event loop handle what waits: messages, body chunks, database events.
///
/// A message to oneself, because timers of zero become timers of 4 ms once they are nested.
pub(crate) async fn next_turn() {
    let Ok(channel) = MessageChannel::new() else { return };
    let turn = Promise::new(&mut |resolve: Function, _reject: Function| {
        channel.port1().set_onmessage(Some(&resolve));
        // Nothing is transferred, so it cannot fail; if it did, the turn would never come.
        if channel.port2().post_message(&JsValue::NULL).is_err() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    let _ = JsFuture::from(turn).await;
    // An open port keeps Node from ending.
    channel.port1().close();
}

/// The longest wait for idle time.
const IDLE_WAIT_MS: u32 = 1000;

/// Waits until a window has nothing else to do; workers have no such call, and nothing to draw.
pub(crate) async fn idle() {
    let Ok(call) = Reflect::get(&js_sys::global(), &"requestIdleCallback".into()) else { return };
    let Ok(call) = call.dyn_into::<Function>() else { return };
    let idle = Promise::new(&mut |resolve: Function, _reject: Function| {
        // A page that is not seen has no idle time of its own.
        let options = Object::new();
        let _ = Reflect::set(&options, &"timeout".into(), &IDLE_WAIT_MS.into());
        if call.call2(&JsValue::UNDEFINED, &resolve, &options).is_err() {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    let _ = JsFuture::from(idle).await;
}
