//! The browser client of Packice, as wasm: the engine of core over `fetch` and IndexedDB.
//!
//! In scope: performing what the engine asks for, in whatever scope JavaScript has (a dedicated
//! worker, a service worker, a window, Node). Out of scope: every decision, which is core's, and
//! the public API, which is TypeScript's (`js/`): what is exported here is between the two.
//!
//! # Map
//!
//! `host` is the loop around the engine. It uses `net` (one request), `line` (a
//! WebSocket), `store` (with `idb`,
//! `memory` and `rows` below it), `platform` (clock, seed, turns of the event loop) and `calls`
//! (promises that wait). `shape` and `value` make JavaScript values, `options` reads them.
//!
//! # What an attacker could try here
//!
//! Nothing in this crate parses what a source sends. It bounds how much may come and how long
//! that may take, and hands bytes to the engine; see `net` and `idb`.

mod bodies;
mod calls;
mod host;
mod idb;
mod line;
mod memory;
mod net;
mod options;
mod platform;
mod rows;
mod shape;
mod store;
mod value;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise, Uint8Array};
use packice_core::engine::io::{Command, RangeQuery, ReadId};
use packice_core::trust::proof::verify_full;
use packice_core::types::{Identity, Version};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::host::Host;
use crate::idb::Idb;
use crate::memory::Memory;
use crate::options::{Check, Options};
use crate::store::{Store, StoreError};
use crate::value::failure;

/// One open data set. Every method that answers later returns a promise; ids are the caller's,
/// and none is used twice.
#[wasm_bindgen]
pub struct Client {
    host: Rc<Host>,
}

#[wasm_bindgen]
impl Client {
    /// Opens the store and starts the engine; `emit(name, data)` is called for each event.
    pub async fn open(options: JsValue, emit: Function) -> Result<Client, JsValue> {
        let options = Options::from_js(&options)?;
        let store = if options.memory || !Idb::exists() {
            Store::Memory(Memory::default())
        } else {
            Store::Idb(Idb::open(&options.database).await.map_err(|e| store_failure(&e))?)
        };
        Ok(Self { host: Host::start(options, store, emit)? })
    }

    /// Reads a key. `version` is of a pin; left out, it is the one that serves.
    pub fn get(&self, id: u32, collection: String, key: Vec<u8>, version: Option<f64>) -> Promise {
        let (read, version) = (ReadId(u64::from(id)), version.map(of_number));
        self.host.read(read, Command::Get { read, collection, key, version })
    }

    /// Reads the next records of a range, from `start` to before `end`. `at` is the root that the
    /// page before was read from; `spare` is the bytes of a page that nobody looks at any more.
    #[allow(clippy::too_many_arguments, reason = "an object would be read field by field")]
    pub fn page(
        &self,
        id: u32,
        collection: String,
        start: Option<Vec<u8>>,
        end: Option<Vec<u8>>,
        limit: u32,
        at: Option<Vec<u8>>,
        version: Option<f64>,
        spare: Option<Uint8Array>,
    ) -> Promise {
        self.host.take_spare(spare);
        let (read, version) = (ReadId(u64::from(id)), version.map(of_number));
        let range = RangeQuery {
            collection,
            start: start.unwrap_or_default(),
            end,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            at: at.and_then(|root| root.try_into().ok()).map(Identity),
        };
        self.host.read(read, Command::Range { read, range, version })
    }

    /// Proves that a key is present or absent.
    pub fn proof(
        &self,
        id: u32,
        collection: String,
        key: Vec<u8>,
        version: Option<f64>,
    ) -> Promise {
        let (read, version) = (ReadId(u64::from(id)), version.map(of_number));
        self.host.read(read, Command::Prove { read, collection, key, version })
    }

    /// Pins the version that serves reads: its number.
    pub fn pin(&self) -> Promise {
        self.host.pin()
    }

    /// Lets go of a version that was pinned.
    pub fn unpin(&self, version: f64) {
        self.host.unpin(of_number(version));
    }

    /// Makes a kept version serve reads again: its number.
    #[wasm_bindgen(js_name = rollBack)]
    pub fn roll_back(&self, version: f64) -> Promise {
        self.host.roll_back(of_number(version))
    }

    /// What was recorded since the opening, where that was wanted.
    pub fn trace(&self) -> Option<Uint8Array> {
        self.host.trace()
    }

    /// The state in full.
    pub fn status(&self) -> Promise {
        self.host.status()
    }

    /// Of those that have the database open, it is the one that keeps it up to date, or no more.
    pub fn lead(&self, on: bool) {
        self.host.lead(on);
    }

    /// Goes on from what another one wrote, if it did.
    pub fn renew(&self) -> Promise {
        let host = Rc::clone(&self.host);
        future_to_promise(async move {
            host.renew().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Brings the newest version, in so many milliseconds if it can be done.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn sync(&self, id: u32, within: Option<f64>) -> Promise {
        self.host.sync(u64::from(id), within.map(|ms| ms as u64))
    }

    /// Whether syncs yield to everything else.
    pub fn yields(&self, yields: bool) {
        self.host.yields(yields);
    }

    /// Takes a call back; one that has ended already is nothing.
    pub fn cancel(&self, id: u32) {
        self.host.cancel(u64::from(id));
    }

    /// Stops everything, and keeps what is verified.
    pub fn close(&self) -> Promise {
        let host = Rc::clone(&self.host);
        future_to_promise(async move {
            host.close().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

/// Deletes a database.
#[wasm_bindgen]
pub async fn destroy(database: String) -> Result<(), JsValue> {
    Idb::destroy(&database).await.map_err(|e| store_failure(&e))
}

/// Checks a full proof with nothing but the trust root: what it proves.
#[wasm_bindgen(js_name = verifyProof)]
pub fn verify_proof(proof: &[u8], options: &JsValue) -> Result<JsValue, JsValue> {
    let Check { dataset, channel, trust, now } = Check::from_js(options)?;
    let proven = verify_full(proof, &trust, &dataset, &channel);
    let proven = proven.map_err(|e| failure(e.code(), &e.to_string()))?;
    Ok(shape::statement(&proven, now))
}

/// Calls back before a panic ends this instance: no promise of it will settle after that.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(callback: Function) {
    thread_local! {
        static CALLBACKS: RefCell<Vec<Function>> = const { RefCell::new(Vec::new()) };
    }
    CALLBACKS.with_borrow_mut(|callbacks| callbacks.push(callback));
    std::panic::set_hook(Box::new(|info| {
        let mut message = String::from("the engine panicked");
        if let Some(place) = info.location() {
            message.push_str(" at ");
            message.push_str(place.file());
            message.push(':');
            message.push_str(&place.line().to_string());
        }
        if let Some(text) = info.payload_as_str() {
            message.push_str(": ");
            message.push_str(text);
        }
        let why = failure("internal/worker-died", &message);
        CALLBACKS.with_borrow(|callbacks| {
            for callback in callbacks {
                // There is no one left to tell about an error of the teller.
                let _ = callback.call1(&JsValue::UNDEFINED, &why);
            }
        });
    }));
}

/// A version as JavaScript has it; what is none is one that nobody holds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn of_number(version: f64) -> Version {
    Version(version as u64)
}

fn store_failure(error: &StoreError) -> JsValue {
    let mut message = String::from(error.kind.advice());
    if !error.detail.is_empty() {
        message.push_str(" (");
        message.push_str(&error.detail);
        message.push(')');
    }
    failure(error.kind.code(), &message)
}
