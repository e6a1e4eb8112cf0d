//! The IndexedDB store: one database per data set, on raw bindings.
//!
//! Two object stores with string keys: `objects` holds wire objects byte for byte, `state` the one
//! record that a commit moves; both cut into rows as [`crate::rows`] says.
//!
//! How transactions are used here, because IndexedDB punishes anything else:
//!
//! - All bytes are ready before a transaction opens; every put is issued in one go, then
//!   `commit()`, and only the transaction's own `complete` or `abort` counts. Under quota every
//!   put succeeds, and then the transaction aborts.
//! - Objects are written with relaxed durability: losing one costs a fetch. A commit is written
//!   with strict durability, after the objects it needs.
//! - Another page may want to delete or upgrade the database: this connection then closes at
//!   once, and the next operation opens a new one.
//!
//! What an attacker could try: nothing from the network reaches this file unverified. A damaged
//! or edited database gives wrong bytes, too many bytes or errors; lengths are checked before
//! bytes are copied, and the engine checks contents.

use core::cell::RefCell;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, IdbDatabase, IdbFactory, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest,
    IdbRequest, IdbTransaction,
};

use packice_core::engine::io::{StoreBatch, StoreKey};

use crate::bodies::{Bodies, release};
use crate::rows;
use crate::store::{StoreError, StoreErrorKind, key_text, parse_key, touches_state};

const OBJECTS: &str = "objects";
const STATE: &str = "state";

/// The version of the layout of rows. Whoever changes the layout raises it: what an older release
/// stored is then given up and fetched again, and that release no longer opens the database.
const SCHEMA: u32 = 2;

/// Longest row that is read back: the state, with a manifest and layout directories, is largest.
const MAX_ROW_LEN: usize = 64 << 20;

/// How long opening or deleting may wait for other pages to let go of the database.
const BLOCKED_AFTER_MS: u32 = 10_000;

// web-sys keeps the durability option behind its unstable flag, and calls `commit` deprecated.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = IdbDatabase)]
    type DurableDatabase;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction_with(
        this: &DurableDatabase,
        stores: &JsValue,
        mode: &str,
        options: &JsValue,
    ) -> Result<IdbTransaction, JsValue>;

    #[wasm_bindgen(extends = IdbTransaction)]
    type CommittedTransaction;

    #[wasm_bindgen(method, catch)]
    fn commit(this: &CommittedTransaction) -> Result<(), JsValue>;
}

/// A database, opened when first used and again whenever its connection was taken away.
#[derive(Debug)]
pub(crate) struct Idb {
    name: String,
    connection: Rc<RefCell<Option<Connection>>>,
}

/// An open connection, with the handler that gives way to other pages.
#[derive(Debug)]
struct Connection {
    database: IdbDatabase,
    _give_way: Closure<dyn FnMut()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.database.set_onversionchange(None);
        self.database.set_onclose(None);
        self.database.close();
    }
}

impl Idb {
    /// Whether this environment has IndexedDB at all.
    pub(crate) fn exists() -> bool {
        factory().is_some()
    }

    /// Opens the database, and makes it where it is not there yet.
    pub(crate) async fn open(name: &str) -> Result<Self, StoreError> {
        let idb = Self { name: name.to_owned(), connection: Rc::new(RefCell::new(None)) };
        idb.database().await?;
        Ok(idb)
    }

    /// Deletes a database with all it holds; other connections of this package give way.
    pub(crate) async fn destroy(name: &str) -> Result<(), StoreError> {
        let factory = factory().ok_or_else(unavailable)?;
        let request = factory.delete_database(name).map_err(|e| store_error(&e))?;
        opened(&request).await.map(|_| ())
    }

    /// Closes the connection after the transactions that run.
    pub(crate) fn close(&self) {
        self.connection.borrow_mut().take();
    }

    /// The rows of some keys, read in one transaction; what cannot be read is missing.
    pub(crate) async fn load(&self, keys: &[StoreKey]) -> Vec<Option<Vec<u8>>> {
        if let Ok(rows) = self.load_together(keys).await {
            return rows;
        }
        // One damaged row aborts the transaction of all: the others are read without it.
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let alone = self.load_together(core::slice::from_ref(key)).await;
            rows.push(alone.ok().and_then(|mut rows| rows.pop()).flatten());
        }
        rows
    }

    async fn load_together(&self, keys: &[StoreKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let transaction = self.transaction("readonly", &JsValue::UNDEFINED).await?;
        let asked: Vec<Asked> =
            keys.iter().map(|key| ask(&transaction, key)).collect::<Result<_, _>>()?;
        let mut rows = Vec::with_capacity(keys.len());
        for request in asked {
            // Each is awaited, also after one has failed: an unseen rejection would be reported.
            rows.push(request.result().await.and_then(|parts| join(&parts)));
        }
        rows.into_iter().collect()
    }

    /// The keys of all objects, in order.
    pub(crate) async fn list(&self) -> Vec<StoreKey> {
        let listed = async {
            let transaction = self.transaction("readonly", &JsValue::UNDEFINED).await?;
            let store = object_store(&transaction, OBJECTS)?;
            let request = Asked::new(store.get_all_keys())?;
            Ok::<_, StoreError>(Array::from(&request.result().await?))
        };
        let rows = listed.await.unwrap_or_default();
        rows.iter().filter_map(|row| parse_key(&row.as_string()?)).collect()
    }

    /// Writes and deletes rows in one transaction. Where the state is written, comparing it with
    /// what this client knows is part of that transaction, so that of two clients on one database
    /// only one can win.
    pub(crate) async fn write(
        &self,
        batch: StoreBatch,
        bodies: &Bodies,
        state: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let options = Object::new();
        let durability = if batch.durable { "strict" } else { "relaxed" };
        Reflect::set(&options, &"durability".into(), &durability.into())
            .map_err(|e| store_error(&e))?;
        let transaction = self.transaction("readwrite", &options).await?;
        // The objects at once; only the state has to wait for what stands there now.
        let mut issued = issue(&transaction, &batch, bodies, false);
        if issued.is_ok() && touches_state(&batch) {
            issued = match compare(&transaction, state).await {
                Ok(()) => issue(&transaction, &batch, bodies, true),
                Err(error) => Err(error),
            };
        }
        // The browser has its own copy from here on.
        drop(batch);
        finish(&transaction, issued).await
    }

    /// Opens a transaction; once more on a new connection where the old one was taken away.
    ///
    /// Always over both stores: one writer at a time is all that LevelDB gives anyway.
    async fn transaction(
        &self,
        mode: &str,
        options: &JsValue,
    ) -> Result<IdbTransaction, StoreError> {
        let stores = Array::of2(&OBJECTS.into(), &STATE.into());
        let begin = |database: IdbDatabase| {
            database.unchecked_into::<DurableDatabase>().transaction_with(&stores, mode, options)
        };
        if let Ok(transaction) = begin(self.database().await?) {
            return Ok(transaction);
        }
        self.close();
        begin(self.database().await?).map_err(|e| store_error(&e))
    }

    async fn database(&self) -> Result<IdbDatabase, StoreError> {
        if let Some(connection) = self.connection.borrow().as_ref() {
            return Ok(connection.database.clone());
        }
        let factory = factory().ok_or_else(unavailable)?;
        let request = factory.open_with_u32(&self.name, SCHEMA).map_err(|e| store_error(&e))?;
        let upgrade = Closure::once_into_js({
            let request = request.clone();
            move || upgrade(&request)
        });
        request.set_onupgradeneeded(Some(upgrade.unchecked_ref()));
        let database: IdbDatabase = opened(&request).await?.unchecked_into();
        self.adopt(&database);
        Ok(database)
    }

    fn adopt(&self, database: &IdbDatabase) {
        let slot = Rc::downgrade(&self.connection);
        let closing = database.clone();
        let give_way = Closure::<dyn FnMut()>::new(move || {
            closing.close();
            // The connection cannot be dropped here: it owns the closure that is running.
            if let Some(slot) = slot.upgrade() {
                let taken = slot.borrow_mut().take();
                wasm_bindgen_futures::spawn_local(async move { drop(taken) });
            }
        });
        database.set_onversionchange(Some(give_way.as_ref().unchecked_ref()));
        database.set_onclose(Some(give_way.as_ref().unchecked_ref()));
        let connection = Connection { database: database.clone(), _give_way: give_way };
        self.connection.replace(Some(connection));
    }
}

/// Makes the object stores, in the place of an older release's. A failure here aborts the upgrade,
/// and the open request fails with it.
fn upgrade(request: &IdbOpenDbRequest) -> Result<(), JsValue> {
    let database: IdbDatabase = request.result()?.unchecked_into();
    for name in [OBJECTS, STATE] {
        if database.object_store_names().contains(name) {
            database.delete_object_store(name)?;
        }
        database.create_object_store(name)?;
    }
    Ok(())
}

fn object_store(transaction: &IdbTransaction, name: &str) -> Result<IdbObjectStore, StoreError> {
    transaction.object_store(name).map_err(|e| store_error(&e))
}

/// The store and the range of keys that hold a row's parts.
fn place(
    transaction: &IdbTransaction,
    key: &StoreKey,
) -> Result<(IdbObjectStore, IdbKeyRange), StoreError> {
    let name = if key.name().is_none() { STATE } else { OBJECTS };
    let text = key_text(key);
    let (first, last) = (JsValue::from_str(&text), JsValue::from_str(&rows::last_row_key(&text)));
    let range = IdbKeyRange::bound(&first, &last).map_err(|e| store_error(&e))?;
    Ok((object_store(transaction, name)?, range))
}

/// Asks for a row's parts.
fn ask(transaction: &IdbTransaction, key: &StoreKey) -> Result<Asked, StoreError> {
    let (store, range) = place(transaction, key)?;
    Asked::new(store.get_all_with_key(&range))
}

/// Whether the state in the store is the one that this client knows.
async fn compare(transaction: &IdbTransaction, state: Option<&[u8]>) -> Result<(), StoreError> {
    let now = join(&ask(transaction, &StoreKey::State)?.result().await?)?;
    if now.as_deref() == state { Ok(()) } else { Err(StoreError::new(StoreErrorKind::Conflict)) }
}

/// Issues a batch's requests in one go: those of the state, or all others.
fn issue(
    transaction: &IdbTransaction,
    batch: &StoreBatch,
    bodies: &Bodies,
    state: bool,
) -> Result<(), StoreError> {
    let now = |key: &StoreKey| (*key == StoreKey::State) == state;
    for key in batch.deletes.iter().filter(|key| now(key)) {
        let (store, range) = place(transaction, key)?;
        store.delete(&range).map_err(|e| store_error(&e))?;
    }
    for (key, bytes) in batch.puts.iter().filter(|(key, _)| now(key)) {
        let (store, range) = place(transaction, key)?;
        // The state changes its length, as does the audit: no part of an older one may stay.
        if key.name().is_none() {
            store.delete(&range).map_err(|e| store_error(&e))?;
        }
        let text = key_text(key);
        let body = batch.bodies.iter().find(|(of, _)| of == key);
        let mut body = body.and_then(|(_, request)| bodies.take(*request, bytes.len()));
        for (part, cut) in rows::cuts(bytes.len()).enumerate() {
            let whole = if cut.len() == bytes.len() { body.take() } else { None };
            // A copy of its own buffer: cloning a view into wasm memory would clone all of it.
            let value = whole.unwrap_or_else(|| Uint8Array::from(&bytes[cut]));
            let row = JsValue::from_str(&rows::row_key(&text, part));
            store.put_with_key(&value, &row).map_err(|e| store_error(&e))?;
            // The browser has its own copy.
            release(&value);
        }
    }
    Ok(())
}

/// Puts a row's parts together again; none where there are none.
fn join(parts: &JsValue) -> Result<Option<Vec<u8>>, StoreError> {
    let parts = Array::from(parts);
    if parts.length() == 0 {
        return Ok(None);
    }
    let views: Option<Vec<Uint8Array>> = parts.iter().map(|part| bytes_of(&part)).collect();
    let views = views.ok_or_else(|| unreadable("a stored row does not hold bytes"))?;
    let total = views.iter().map(|view| view.length() as usize).sum();
    if total > MAX_ROW_LEN {
        return Err(unreadable("a stored row is longer than any can be"));
    }
    // Most rows are one part, and longer than what is worth filling with zeroes first.
    let bytes = match views.as_slice() {
        [view] => view.to_vec(),
        views => {
            let mut bytes = Vec::with_capacity(total);
            for view in views {
                let start = bytes.len();
                bytes.resize(start + view.length() as usize, 0);
                view.copy_to(&mut bytes[start..]);
            }
            bytes
        }
    };
    // The row was read for this alone.
    views.iter().for_each(release);
    Ok(Some(bytes))
}

fn bytes_of(value: &JsValue) -> Option<Uint8Array> {
    match value.dyn_ref::<Uint8Array>() {
        Some(view) => Some(view.clone()),
        None => value.dyn_ref::<ArrayBuffer>().map(|buffer| Uint8Array::new(buffer)),
    }
}

/// Ends a write transaction: nothing is stored before its `complete`.
async fn finish(
    transaction: &IdbTransaction,
    issued: Result<(), StoreError>,
) -> Result<(), StoreError> {
    if let Err(error) = issued {
        // An abort can only fail where the transaction has ended already.
        let _ = transaction.abort();
        return Err(error);
    }
    let ended = Promise::new(&mut |resolve: Function, reject: Function| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    });
    // Where there is no `commit` the transaction ends by itself, a little later.
    let _ = transaction.unchecked_ref::<CommittedTransaction>().commit();
    match JsFuture::from(ended).await {
        Ok(_) => Ok(()),
        Err(_) => Err(transaction
            .error()
            .map_or_else(|| StoreError::new(StoreErrorKind::Aborted), |error| store_error(&error))),
    }
}

/// A request under way. Its events may come before anyone awaits it, so the handlers are set at
/// once; they are the promise's own functions, and no closure has to be kept alive for them.
struct Asked {
    request: IdbRequest,
    done: Promise,
}

impl Asked {
    fn new(issued: Result<IdbRequest, JsValue>) -> Result<Self, StoreError> {
        let request = issued.map_err(|e| store_error(&e))?;
        let done = Promise::new(&mut |resolve: Function, reject: Function| {
            request.set_onsuccess(Some(&resolve));
            request.set_onerror(Some(&reject));
        });
        Ok(Self { request, done })
    }

    async fn result(self) -> Result<JsValue, StoreError> {
        match JsFuture::from(self.done).await {
            Ok(_) => self.request.result().map_err(|e| store_error(&e)),
            Err(_) => Err(match self.request.error() {
                Ok(Some(error)) => store_error(&error),
                Ok(None) | Err(_) => StoreError::new(StoreErrorKind::Unreadable),
            }),
        }
    }
}

/// Waits for an open or delete request, which other pages can hold up.
async fn opened(request: &IdbOpenDbRequest) -> Result<JsValue, StoreError> {
    let blocked = Rc::new(RefCell::new(None));
    let done = Promise::new(&mut |resolve: Function, reject: Function| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
        // Pages of this package give way at once: only one that does not is worth an error.
        let timer = Timeout::new(BLOCKED_AFTER_MS, move || {
            let _ = reject.call1(&JsValue::UNDEFINED, &JsValue::NULL);
        });
        blocked.replace(Some(timer));
    });
    let outcome = JsFuture::from(done).await;
    drop(blocked);
    match outcome {
        Ok(_) => request.result().map_err(|e| store_error(&e)),
        Err(reason) if reason.is_null() => {
            close_when_opened(request);
            Err(StoreError::new(StoreErrorKind::Blocked))
        }
        Err(_) => Err(match request.error() {
            Ok(Some(error)) => open_error(&error),
            Ok(None) | Err(_) => unavailable(),
        }),
    }
}

/// A request that was given up may still succeed: its connection must not stay open unseen.
fn close_when_opened(request: &IdbOpenDbRequest) {
    let late = request.clone();
    let close = Closure::once_into_js(move || {
        if let Ok(result) = late.result()
            && let Ok(database) = result.dyn_into::<IdbDatabase>()
        {
            database.close();
        }
    });
    request.set_onsuccess(Some(close.unchecked_ref()));
}

/// `indexedDB` of whatever global scope this is; none in Node and where it is switched off.
fn factory() -> Option<IdbFactory> {
    let found = Reflect::get(&js_sys::global(), &"indexedDB".into()).ok()?;
    if found.is_object() { Some(found.unchecked_into()) } else { None }
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable)
}

fn unreadable(detail: &str) -> StoreError {
    StoreError { kind: StoreErrorKind::Unreadable, detail: detail.to_owned() }
}

/// A failure to open, where the names mean something else than inside a transaction.
fn open_error(error: &DomException) -> StoreError {
    let mut named = store_error(error);
    if !matches!(named.kind, StoreErrorKind::Quota | StoreErrorKind::NewerFormat) {
        named.kind = StoreErrorKind::Unavailable;
    }
    named
}

/// Maps what IndexedDB threw to a named failure.
fn store_error(thrown: &JsValue) -> StoreError {
    let Some(error) = thrown.dyn_ref::<DomException>() else {
        return StoreError::new(StoreErrorKind::Aborted);
    };
    let name = error.name();
    let kind = match name.as_str() {
        "QuotaExceededError" => StoreErrorKind::Quota,
        "VersionError" => StoreErrorKind::NewerFormat,
        "SecurityError" | "NotAllowedError" => StoreErrorKind::Unavailable,
        "NotReadableError" | "UnknownError" | "DataError" | "DataCloneError" => {
            StoreErrorKind::Unreadable
        }
        // AbortError, InvalidStateError, TimeoutError, and whatever a browser adds.
        _ => StoreErrorKind::Aborted,
    };
    let mut detail = name;
    detail.push_str(": ");
    detail.push_str(&error.message());
    StoreError { kind, detail }
}
