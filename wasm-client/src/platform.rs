//! What the engine may not have of its own: a clock, randomness, and turns of the event loop.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Date, Function, Object, Promise, Reflect, Uint8Array, WebAssembly};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, MessagePort};

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

thread_local! {
    static TURNS: Turns = Turns::new();
}

/// What gives turns of the event loop. Not timers: those of zero become timers of 4 ms once they
/// are nested.
struct Turns {
    /// Node's own; an open port would keep it from ending.
    immediate: Option<Function>,
    /// Messages to oneself, one for each turn.
    port: Option<MessagePort>,
    waiting: Rc<RefCell<VecDeque<Function>>>,
}

impl Turns {
    fn new() -> Self {
        let immediate = Reflect::get(&js_sys::global(), &"setImmediate".into()).ok();
        let immediate: Option<Function> = immediate.and_then(|found| found.dyn_into().ok());
        let waiting = Rc::<RefCell<VecDeque<Function>>>::default();
        let channel = if immediate.is_none() { MessageChannel::new().ok() } else { None };
        let port = channel.map(|channel| {
            let due = Rc::clone(&waiting);
            let turn = Closure::<dyn FnMut()>::new(move || {
                let resolve = due.borrow_mut().pop_front();
                // A promise's own function does not throw.
                let _ = resolve.map(|resolve| resolve.call0(&JsValue::UNDEFINED));
            });
            // Both live as long as the module does.
            channel.port1().set_onmessage(Some(turn.into_js_value().unchecked_ref()));
            channel.port2()
        });
        Self { immediate, port, waiting }
    }

    fn give(&self, resolve: Function) {
        if let Some(immediate) = &self.immediate {
            let _ = immediate.call1(&JsValue::UNDEFINED, &resolve);
            return;
        }
        self.waiting.borrow_mut().push_back(resolve);
        let posted = self.port.as_ref().map(|port| port.post_message(&JsValue::NULL));
        // Nothing is transferred, so it cannot fail; if it did, the turn would never come.
        if !matches!(posted, Some(Ok(())))
            && let Some(resolve) = self.waiting.borrow_mut().pop_back()
        {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    }
}

/// Lets the event loop handle what waits: messages, body chunks, database events.
pub(crate) async fn next_turn() {
    let turn = Promise::new(&mut |resolve: Function, _reject: Function| {
        TURNS.with(|turns| turns.give(resolve));
    });
    let _ = JsFuture::from(turn).await;
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
