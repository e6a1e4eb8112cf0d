//! One line to a source: a WebSocket, bounded by message.
//!
//! In scope: opening it, handing messages on, noticing that it is dead. Out of scope: whom to
//! listen to, when again, and what a message means.
//!
//! What an attacker who owns a source could try: messages that are too long (the line ends before
//! they are copied), text (only the answer to a ping means anything), silence behind a connection
//! that looks open (a ping that is not answered until the next one is due ends it).

use core::cell::Cell;
use std::rc::Rc;

use gloo_timers::callback::Interval;
use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, Event, MessageEvent, WebSocket};

/// How often the line is tried: below what routers forget an idle connection after, and rare
/// enough to cost an edge next to nothing.
const PING_MS: u32 = 240_000;

/// What happens on a line.
pub(crate) enum Said {
    /// A message came.
    Message(Vec<u8>),
    /// It ended; nothing comes after that.
    End,
}

/// An open line; it ends when it is dropped.
pub(crate) struct Line {
    socket: WebSocket,
    _ping: Interval,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _end: Closure<dyn FnMut(Event)>,
}

impl Line {
    /// Opens a line to an `http` or `https` URL. `on` is called from the socket's own events, so it
    /// must not drop the line at once.
    pub(crate) fn open(
        url: &str,
        max_bytes: u64,
        on: impl Fn(Said) + 'static,
    ) -> Result<Self, JsValue> {
        // `http` becomes `ws`, and `https` `wss`.
        let url = ["ws", url.strip_prefix("http").unwrap_or(url)].concat();
        let socket = WebSocket::new(&url)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on = Rc::new(on);
        let alive = Rc::new(Cell::new(true));
        let message = {
            let (on, alive) = (Rc::clone(&on), Rc::clone(&alive));
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                alive.set(true);
                match event.data().dyn_into::<ArrayBuffer>() {
                    Ok(data) if u64::from(data.byte_length()) > max_bytes => on(Said::End),
                    Ok(data) => on(Said::Message(Uint8Array::new(&data).to_vec())),
                    // The answer to a ping.
                    Err(data) if data.is_string() => {}
                    Err(_) => on(Said::End),
                }
            })
        };
        let end = {
            let on = Rc::clone(&on);
            Closure::<dyn FnMut(Event)>::new(move |_| on(Said::End))
        };
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(end.as_ref().unchecked_ref()));
        let ping = {
            let socket = socket.clone();
            Interval::new(PING_MS, move || {
                if !alive.replace(false) || socket.send_with_str("ping").is_err() {
                    on(Said::End);
                }
            })
        };
        Ok(Self { socket, _ping: ping, _message: message, _end: end })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // It fails only where it is closed already.
        let _ = self.socket.close();
    }
}
