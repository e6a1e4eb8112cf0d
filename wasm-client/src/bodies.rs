//! The bodies of fetches as JavaScript had them, until they are stored: a row that is a whole body
//! is stored as it came, and not copied out of wasm again.
//!
//! In scope: keeping the last few. Out of scope: what they hold. The engine says which body a row
//! is, after it has verified a copy of it that was taken while nobody else had the buffer; a body
//! that is not here any more, or not of the row's length, costs a copy and nothing else.

use core::cell::RefCell;
use std::collections::VecDeque;

use js_sys::{ArrayBuffer, Uint8Array};
use packice_core::engine::io::RequestId;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = ArrayBuffer)]
    type MovableBuffer;

    // Throws where the browser does not know it.
    #[wasm_bindgen(method, catch)]
    fn transfer(this: &MovableBuffer, len: u32) -> Result<ArrayBuffer, JsValue>;
}

/// Bodies below this are not kept: they are stored in parts, or cheap to copy.
pub(crate) const KEPT_FROM: u64 = 512 << 10;

/// As many as the engine has in flight and waiting for the store.
const MAX_BODIES: usize = 16;

/// The last whole bodies, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Bodies(RefCell<VecDeque<(RequestId, Uint8Array)>>);

impl Bodies {
    /// Keeps a body, if there is one, in the place of the oldest where there are too many.
    pub(crate) fn keep(&self, request: RequestId, body: Option<Uint8Array>) {
        let Some(body) = body else { return };
        let mut kept = self.0.borrow_mut();
        if kept.len() == MAX_BODIES
            && let Some((_, oldest)) = kept.pop_front()
        {
            release(&oldest);
        }
        kept.push_back((request, body));
    }

    /// Takes out the body of a request, if it has so many bytes.
    pub(crate) fn take(&self, request: RequestId, len: usize) -> Option<Uint8Array> {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, _)| *of == request)?;
        let (_, body) = kept.remove(at)?;
        (body.length() as usize == len).then_some(body)
    }

    /// Drops all: the engine that could ask for them is gone.
    pub(crate) fn clear(&self) {
        for (_, body) in self.0.borrow_mut().drain(..) {
            release(&body);
        }
    }
}

/// Gives back the memory of bytes that nobody needs any more, where they have all of a buffer: the
/// collector would leave tens of megabytes of them.
pub(crate) fn release(bytes: &Uint8Array) {
    let buffer = bytes.buffer();
    if bytes.byte_length() == buffer.byte_length() {
        // Without it the collector does the same, later.
        let _ = buffer.unchecked_ref::<MovableBuffer>().transfer(0);
    }
}
