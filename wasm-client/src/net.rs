//! One HTTP request for one object: streamed, bounded, abortable.
//!
//! In scope: performing what the engine asked for, and naming what went wrong. Out of scope:
//! which source to ask, whether to ask again, and what the bytes mean.
//!
//! `fetch` is taken from the global scope, so that the same code runs in a dedicated worker, a
//! service worker, a window and Node.
//!
//! What an attacker who owns a source could try: an endless body (the byte cap aborts it), a body
//! that never comes (the deadline), a whole object where a part was asked for (the status), a
//! redirect or a cookie (no credentials are sent, and the bytes are checked against their name
//! whoever sends them). No text of a response reaches a message.

use core::cell::Cell;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use js_sys::{ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStream, ReadableStreamByobReader,
    ReadableStreamDefaultReader, RequestCache, RequestCredentials, RequestInit, Response,
};

use packice_core::engine::io::{ByteRange, FetchFailure};

use crate::bodies::{KEPT_FROM, release};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetch)]
    fn global_fetch(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;

    #[wasm_bindgen(extends = ReadableStream)]
    type ByteStream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader_with(
        this: &ByteStream,
        options: &Object,
    ) -> Result<ReadableStreamByobReader, JsValue>;

    #[wasm_bindgen(extends = ReadableStreamByobReader)]
    type PieceReader;

    // A browser that does not know `min` gives smaller pieces.
    #[wasm_bindgen(method, js_name = read)]
    fn read_at_least(this: &PieceReader, room: &Uint8Array, options: &Object) -> Promise;
}

/// The smallest piece of a large body that is worth a turn; a read may wait for one of its frames.
const PIECE_LEN: u32 = 64 << 10;

/// What to fetch, and how much of it to believe.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) url: String,
    pub(crate) range: Option<ByteRange>,
    /// The most bytes the body may have.
    pub(crate) max_bytes: u64,
    /// Milliseconds from now after which the request is given up.
    pub(crate) patience_ms: u32,
}

/// The handle of one request under way.
#[derive(Debug, Clone)]
pub(crate) struct Abort {
    controller: AbortController,
    why: Rc<Cell<Why>>,
}

/// Why a request's promises are rejected.
#[derive(Debug, Clone, Copy)]
enum Why {
    Network,
    Timeout,
    Cancelled,
}

impl Abort {
    /// A handle for one request.
    pub(crate) fn new() -> Result<Self, FetchFailure> {
        let controller = AbortController::new().map_err(|_| FetchFailure::Network)?;
        Ok(Self { controller, why: Rc::new(Cell::new(Why::Network)) })
    }

    /// Ends the request; its completion then says [`FetchFailure::Cancelled`].
    pub(crate) fn cancel(&self) {
        self.end(Why::Cancelled);
    }

    fn end(&self, why: Why) {
        if !self.controller.signal().aborted() {
            self.why.set(why);
            self.controller.abort();
        }
    }

    /// What a rejected promise of this request stands for.
    fn failure(&self) -> FetchFailure {
        match self.why.get() {
            Why::Network => FetchFailure::Network,
            Why::Timeout => FetchFailure::Timeout,
            Why::Cancelled => FetchFailure::Cancelled,
        }
    }
}

/// Performs a request; `on_bytes` sees each piece of the body as it comes, never more than the
/// cap in all. Gives the whole body where it is as long as the cap and worth keeping.
pub(crate) async fn fetch(
    request: &Fetch,
    abort: &Abort,
    on_bytes: impl FnMut(Vec<u8>),
) -> Result<Option<Uint8Array>, FetchFailure> {
    let timer = {
        let abort = abort.clone();
        Timeout::new(request.patience_ms, move || abort.end(Why::Timeout))
    };
    let outcome = transfer(request, abort, on_bytes).await;
    drop(timer);
    if outcome.is_err() {
        // A body that nobody reads would keep its connection busy.
        abort.cancel();
    }
    outcome
}

async fn transfer(
    request: &Fetch,
    abort: &Abort,
    on_bytes: impl FnMut(Vec<u8>),
) -> Result<Option<Uint8Array>, FetchFailure> {
    let init = request_init(request, abort).map_err(|_| FetchFailure::Network)?;
    let answer = global_fetch(&request.url, &init).map_err(|_| FetchFailure::Network)?;
    let answer = JsFuture::from(answer).await.map_err(|_| abort.failure())?;
    let response: Response = answer.unchecked_into();
    check_head(request, &response)?;
    let Some(body) = response.body() else { return Ok(None) };
    if request.range.is_none()
        && request.max_bytes >= KEPT_FROM
        && let Ok(len) = u32::try_from(request.max_bytes)
        && let Ok(reader) = byte_reader(&body)
    {
        return fill(&reader, len, abort, on_bytes).await;
    }
    pieces(&body, request.max_bytes, abort, on_bytes).await.map(|()| None)
}

/// Reads a body as it comes.
async fn pieces(
    body: &ReadableStream,
    max_bytes: u64,
    abort: &Abort,
    mut on_bytes: impl FnMut(Vec<u8>),
) -> Result<(), FetchFailure> {
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut seen: u64 = 0;
    loop {
        let Some(bytes) = piece(reader.read(), abort).await? else { return Ok(()) };
        seen += u64::from(bytes.length());
        if seen > max_bytes {
            return Err(FetchFailure::TooLong);
        }
        let piece = bytes.to_vec();
        release(&bytes);
        on_bytes(piece);
    }
}

/// Reads a body of a known length into one buffer, and gives that where it became full.
async fn fill(
    reader: &ReadableStreamByobReader,
    len: u32,
    abort: &Abort,
    mut on_bytes: impl FnMut(Vec<u8>),
) -> Result<Option<Uint8Array>, FetchFailure> {
    let mut buffer = ArrayBuffer::new(len);
    let least = Object::new();
    let mut at = 0;
    loop {
        // Past the end a byte is asked for all the same, so that one too many is seen.
        let room = match len - at {
            0 => Uint8Array::new_with_length(1),
            left => Uint8Array::new_with_byte_offset_and_length(&buffer, at, left),
        };
        let min = JsValue::from(room.length().min(PIECE_LEN));
        Reflect::set(&least, &"min".into(), &min).map_err(|_| FetchFailure::Network)?;
        let read = reader.unchecked_ref::<PieceReader>().read_at_least(&room, &least);
        let Some(bytes) = piece(read, abort).await? else {
            return Ok((at == len).then(|| Uint8Array::new(&buffer)));
        };
        if at == len {
            return Err(FetchFailure::TooLong);
        }
        // The buffer went to the stream and came back as another object.
        at += bytes.length();
        buffer = bytes.buffer();
        on_bytes(bytes.to_vec());
    }
}

/// What one read of a stream gave; none at its end.
async fn piece(read: Promise, abort: &Abort) -> Result<Option<Uint8Array>, FetchFailure> {
    let chunk = JsFuture::from(read).await.map_err(|_| abort.failure())?;
    let value = Reflect::get(&chunk, &"value".into()).map_err(|_| FetchFailure::Network)?;
    let bytes = value.dyn_into::<Uint8Array>().ok();
    if !Reflect::get(&chunk, &"done".into()).is_ok_and(|done| done.is_truthy()) {
        return bytes.map(Some).ok_or(FetchFailure::Network);
    }
    // A stream that ends below `min` gives what it had together with its end.
    Ok(bytes.filter(|bytes| bytes.length() > 0))
}

/// A reader into our own buffers; an error where the browser or the stream has none.
fn byte_reader(body: &ReadableStream) -> Result<ReadableStreamByobReader, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &"byob".into())?;
    body.unchecked_ref::<ByteStream>().get_reader_with(&options)
}

/// Reads a part of a file by a function of JavaScript's, `(start, length) => Promise<Uint8Array>`;
/// past the file's end there are fewer bytes.
pub(crate) fn read_file(
    read: &Function,
    range: Option<ByteRange>,
) -> impl Future<Output = Result<Vec<u8>, FetchFailure>> + use<> {
    let range = range.map_or((0, 0), |range| (range.start, range.len));
    // Lengths and offsets stay far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let (start, len) = (JsValue::from_f64(range.0 as f64), JsValue::from_f64(range.1 as f64));
    let reading = read.call2(&JsValue::UNDEFINED, &start, &len);
    async move {
        let reading: Promise = reading.map_err(|_| FetchFailure::Network)?.unchecked_into();
        let bytes = JsFuture::from(reading).await.map_err(|_| FetchFailure::Network)?;
        Ok(bytes.unchecked_into::<Uint8Array>().to_vec())
    }
}

fn request_init(request: &Fetch, abort: &Abort) -> Result<RequestInit, JsValue> {
    let init = RequestInit::new();
    init.set_signal(Some(&abort.controller.signal()));
    init.set_credentials(RequestCredentials::Omit);
    // What is kept, the store keeps, once; and a poisoned answer that the browser's cache had kept
    // as `immutable` would be served again on every retry.
    init.set_cache(RequestCache::NoStore);
    if let Some(range) = request.range {
        let headers = Headers::new()?;
        headers.set("range", &range_header(range))?;
        init.set_headers(&headers);
    }
    Ok(init)
}

/// The status must be the one of the request's kind. A part is checked by its status, and by
/// where it starts, if the source lets a page see that.
fn check_head(request: &Fetch, response: &Response) -> Result<(), FetchFailure> {
    match (response.status(), request.range) {
        (200, None) => Ok(()),
        (206, Some(range)) => match response.headers().get("content-range") {
            Ok(Some(text)) if !starts_at(&text, range.start) => Err(FetchFailure::WrongRange),
            Ok(Some(_) | None) | Err(_) => Ok(()),
        },
        (200, Some(_)) => Err(FetchFailure::WrongRange),
        (status, _) => {
            let retry_after = response.headers().get("retry-after").ok().flatten();
            let retry_after_ms = retry_after.as_deref().and_then(retry_after_ms);
            Err(FetchFailure::Status { status, retry_after_ms })
        }
    }
}

/// The seconds of a `Retry-After`; one that names a date is left to the engine's own patience.
fn retry_after_ms(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok()?.checked_mul(1000)
}

/// `bytes=first-last`, both inclusive.
fn range_header(range: ByteRange) -> String {
    let last = range.start.saturating_add(range.len.saturating_sub(1));
    let mut header = String::from("bytes=");
    header.push_str(&range.start.to_string());
    header.push('-');
    header.push_str(&last.to_string());
    header
}

/// Whether a `Content-Range` begins at a byte.
fn starts_at(content_range: &str, first: u64) -> bool {
    content_range
        .strip_prefix("bytes ")
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(start, _)| start.trim().parse() == Ok(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_header_names_its_last_byte() {
        assert_eq!(range_header(ByteRange { start: 0, len: 1 }), "bytes=0-0");
        assert_eq!(range_header(ByteRange { start: 4096, len: 1024 }), "bytes=4096-5119");
    }

    #[test]
    fn a_retry_after_is_seconds_or_nothing() {
        assert_eq!(retry_after_ms(" 3 "), Some(3000));
        assert_eq!(retry_after_ms("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(retry_after_ms("99999999999999999999"), None);
    }

    #[test]
    fn a_content_range_is_read_as_strictly_as_the_standard_writes_it() {
        assert!(starts_at("bytes 4096-5119/9000", 4096));
        assert!(starts_at("bytes 0-0/*", 0));
        assert!(!starts_at("bytes 0-5119/9000", 4096));
        assert!(!starts_at("bytes */9000", 0));
        assert!(!starts_at("octets 0-1/2", 0));
    }
}
