//! The shell's loop: perform what the engine asks for, feed one input back, drain.
//!
//! In scope: turning outputs into fetches, transactions, timers and settled promises, and their
//! ends into inputs. Out of scope: every decision about data, sources, retries and order.
//!
//! All of it runs on one thread. The engine is borrowed for one call at a time, never across an
//! `await` nor while JavaScript is called; an input that arrives during a drain waits in the
//! inbox.
//!
//! Two clients may share one database. Objects are immutable and named by their hash, so both may
//! write them. The state is compared and moved in one transaction; the client that loses starts a
//! new engine on the state that won, and asks it everything that still waits: to the engine this
//! is a restart after a crash, which it must survive anyway.

mod lead;

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use js_sys::{Function, Promise, Uint8Array};
use packice_core::engine::io::{
    Answer, Command, Event, Failure, Input, Output, ReadId, RequestId, SourceId, StoreBatch,
    StoreKey, Target, WaitReason,
};
use packice_core::map::Map;
use packice_core::trace::Traced;
use packice_core::types::{Millis, Version};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::bodies::Bodies;
use crate::calls::Calls;
use crate::line::{Line, Said};
use crate::net::{self, Abort, Fetch};
use crate::options::Options;
use crate::platform;
use crate::shape;
use crate::store::{Store, StoreErrorKind, touches_state};
use crate::value::failure;

/// How many bytes' worth of hashing the engine does before a read may interrupt it: about 1 ms.
const WORK_BUDGET: usize = 1 << 20;

/// How long nothing is asked of the engine before it audits or merges the next part.
const UPKEEP_PAUSE_MS: u32 = 50;

/// The seed's name in events.
const SEED: &str = "seed";

/// One call into the engine.
enum Step {
    Input(Input),
    Work,
}

/// One data set's engine, and what it acts on.
pub(crate) struct Host {
    options: Options,
    store: Store,
    emit: Function,
    engine: RefCell<Traced>,
    calls: Calls,
    inbox: RefCell<VecDeque<Step>>,
    draining: Cell<bool>,
    working: Cell<bool>,
    /// Whether idle time is being waited for.
    idling: Cell<bool>,
    timer: RefCell<Option<Timeout>>,
    fetches: RefCell<Map<RequestId, Abort>>,
    bodies: Bodies,
    /// The line that is open.
    line: RefCell<Option<(RequestId, Line)>>,
    /// The versions that are pinned, each as often as it is: a new engine is told them again.
    pins: RefCell<Vec<Version>>,
    /// Whether syncs yield, and when the one under way should be over: a new engine is told.
    yielding: Cell<bool>,
    until: Cell<Option<Millis>>,
    /// Whether this client keeps the database up to date, of those that have it open.
    leads: Cell<bool>,
    /// Counts engines: a completion for an old one is dropped.
    era: Cell<u32>,
    restarts: Cell<u32>,
    /// The state's bytes as this client last read or wrote them.
    state: RefCell<Option<Rc<Vec<u8>>>>,
    /// What the store said last, to be told with the engine's failure.
    store_detail: RefCell<String>,
    closed: Cell<bool>,
    /// The bytes of a page that nobody looks at any more: new memory costs more than the copy into
    /// it does.
    spare: Cell<Option<Uint8Array>>,
}

impl Host {
    /// Starts an engine on an open store.
    pub(crate) fn start(
        options: Options,
        store: Store,
        emit: Function,
    ) -> Result<Rc<Self>, JsValue> {
        let engine = options.engine(false, None)?;
        let host = Rc::new(Self {
            options,
            store,
            emit,
            engine: RefCell::new(engine),
            calls: Calls::default(),
            inbox: RefCell::default(),
            draining: Cell::new(false),
            working: Cell::new(false),
            idling: Cell::new(false),
            timer: RefCell::default(),
            fetches: RefCell::default(),
            bodies: Bodies::default(),
            line: RefCell::default(),
            pins: RefCell::default(),
            yielding: Cell::new(false),
            until: Cell::default(),
            leads: Cell::new(false),
            era: Cell::new(0),
            restarts: Cell::new(0),
            state: RefCell::default(),
            store_detail: RefCell::default(),
            closed: Cell::new(false),
            spare: Cell::default(),
        });
        host.set_up();
        Ok(host)
    }

    /// Begins a read.
    pub(crate) fn read(self: &Rc<Self>, id: ReadId, command: Command) -> Promise {
        let promise = self.calls.read(id, command.clone());
        self.command(command);
        promise
    }

    /// Keeps the bytes of a page for the next one.
    pub(crate) fn take_spare(&self, spare: Option<Uint8Array>) {
        if spare.is_some() {
            self.spare.set(spare);
        }
    }

    /// Begins a sync, or joins the one that runs.
    pub(crate) fn sync(self: &Rc<Self>, id: u64, within_ms: Option<u64>) -> Promise {
        let promise = self.calls.sync(id);
        self.command(Command::Sync);
        if let Some(ms) = within_ms {
            self.until.set(Some(now().plus(ms)));
            self.command(Command::Until(self.until.get()));
        }
        promise
    }

    /// Has syncs take little, or as much as they can.
    pub(crate) fn yields(self: &Rc<Self>, yields: bool) {
        self.yielding.set(yields);
        self.command(Command::Yield(yields));
    }

    /// Pins the version that serves: the status, which the engine gives at once or as soon as it
    /// is open, says which.
    pub(crate) fn pin(self: &Rc<Self>) -> Promise {
        let promise = self.calls.pin();
        self.command(Command::Status);
        promise
    }

    /// Lets go of a version that was pinned.
    pub(crate) fn unpin(self: &Rc<Self>, version: Version) {
        let at = self.pins.borrow().iter().position(|pinned| *pinned == version);
        if let Some(at) = at {
            self.pins.borrow_mut().swap_remove(at);
            self.command(Command::Unpin(version));
        }
    }

    /// Pins what serves, for those who wait. The commands come before anything else can.
    fn end_pins(self: &Rc<Self>, serves: Option<Version>) {
        let none = "no version serves reads yet: sync() brings one";
        let result = match serves {
            Some(version) => Ok(JsValue::from(shape::number(version.0))),
            None => Err(failure("read/no-version", none)),
        };
        let count = self.calls.end_pins(&result);
        if let Some(version) = serves {
            for _ in 0..count {
                self.pins.borrow_mut().push(version);
                self.feed(Input::Command(Command::Pin(version)));
            }
        }
    }

    /// Makes a kept version serve reads again.
    pub(crate) fn roll_back(self: &Rc<Self>, version: Version) -> Promise {
        let promise = self.calls.roll_back(version);
        self.command(Command::RollBack(version));
        promise
    }

    /// Asks for the state in full.
    pub(crate) fn status(self: &Rc<Self>) -> Promise {
        let promise = self.calls.status();
        self.command(Command::Status);
        promise
    }

    /// What was recorded so far.
    pub(crate) fn trace(&self) -> Option<Uint8Array> {
        let engine = self.engine.borrow();
        engine.trace().map(|trace| Uint8Array::from(trace.bytes()))
    }

    /// Takes a call back.
    pub(crate) fn cancel(self: &Rc<Self>, id: u64) {
        let why = failure("misuse/aborted", "the call was aborted");
        if let Some(command) = self.calls.cancel(id, &why) {
            self.command(command);
        }
    }

    /// Stops everything, and ends when what was verified until then is stored; calls that wait are
    /// rejected.
    pub(crate) async fn close(self: Rc<Self>) {
        self.closed.set(true);
        self.abandon();
        self.calls.fail_all(&closed());
        let last = self.engine.borrow_mut().last_rows();
        if !last.puts.is_empty() {
            // A store that fails has nobody left to tell: the rows will be fetched again.
            let _ = self.store.write(last, &self.bodies, None).await;
        }
        self.store.close();
    }

    fn command(self: &Rc<Self>, command: Command) {
        if self.closed.get() {
            self.calls.fail_all(&closed());
        } else {
            self.feed(Input::Command(command));
        }
    }

    /// Tells a new engine what it is to keep, and its sources.
    fn set_up(self: &Rc<Self>) {
        self.feed(Input::Command(Command::Keep(self.options.keep)));
        if !self.options.subscribed.is_empty() {
            let subscribed = self.options.subscribed.clone();
            self.feed(Input::Command(Command::Subscribe(subscribed)));
        }
        self.feed(Input::Command(Command::Yield(self.yielding.get())));
        let pins = self.pins.borrow().clone();
        for version in pins {
            self.feed(Input::Command(Command::Pin(version)));
        }
        for source in &self.options.sources {
            self.feed(Input::AddSource { name: source.name.clone() });
        }
        if self.options.seed.is_some() {
            self.feed(Input::AddSeed { name: SEED.to_owned() });
        }
    }

    fn feed(self: &Rc<Self>, input: Input) {
        self.step(Step::Input(input));
    }

    /// Feeds the completion of what an engine asked for, if it is still that engine.
    fn complete(self: &Rc<Self>, era: u32, input: Input) {
        if self.era.get() == era {
            self.feed(input);
        }
    }

    /// Makes one call into the engine and drains; calls that come meanwhile are made after it.
    fn step(self: &Rc<Self>, step: Step) {
        if self.closed.get() {
            return;
        }
        self.inbox.borrow_mut().push_back(step);
        if self.draining.replace(true) {
            return;
        }
        loop {
            let next = self.inbox.borrow_mut().pop_front();
            match next {
                Some(Step::Input(input)) => self.hand_over(input),
                Some(Step::Work) => self.engine.borrow_mut().work(WORK_BUDGET, now()),
                None => break,
            }
            self.drain();
        }
        self.draining.set(false);
    }

    /// Hands an input to the engine. A piece of a body is verified in the turn that brought it:
    /// that is less work than a turn of the event loop is.
    fn hand_over(&self, input: Input) {
        let body = matches!(input, Input::Body { .. } | Input::BodyEnd { .. });
        let mut engine = self.engine.borrow_mut();
        engine.set_clock(millis(platform::wall_clock_ms()), now());
        engine.handle(input, now());
        if body {
            engine.work(WORK_BUDGET, now());
        }
    }

    /// Takes outputs until a terminal one.
    fn drain(self: &Rc<Self>) {
        loop {
            let output = self.engine.borrow_mut().poll_output();
            match output {
                Output::Work => return self.work(),
                Output::Wait { why: WaitReason::Upkeep, .. } => return self.wait_idle(),
                Output::Wait { until, why: _ } => return self.wait(until),
                Output::Fetch { request, source, target, max_bytes, deadline } => {
                    self.fetch(request, source, &target, max_bytes, deadline);
                }
                Output::Listen { request, source, target, max_bytes } => {
                    self.listen(request, source, &target, max_bytes);
                }
                Output::CancelFetch { request } => self.cancel_fetch(request),
                Output::Load { request, keys } => self.load(request, keys),
                Output::List { request } => self.list(request),
                Output::Store { request, batch } => self.write(request, batch),
                Output::Event(event) => self.event(&event),
                Output::Answer { read, answer } => {
                    let page = matches!(answer, Ok(Answer::Records { .. }));
                    let spare = if page { self.spare.take() } else { None };
                    let result = answer.as_ref().map(|answer| shape::answer(answer, &spare));
                    self.calls.end_read(read, result.map_err(|e| self.failure(e)));
                }
                Output::RolledBack { version, result } => {
                    let serves = JsValue::from(shape::number(version.0));
                    let result = result.map(|()| serves).map_err(|e| self.failure(&e));
                    self.calls.end_roll_backs(version, &result);
                }
                Output::SyncEnded { result } => {
                    self.restarts.set(0);
                    self.until.set(None);
                    self.bodies.clear();
                    let result = result.as_ref().map(shape::sync_report);
                    self.calls.end_syncs(&result.map_err(|e| self.failure(e)));
                }
            }
        }
    }

    /// Lets the engine compute, a bounded step at a time, with a turn of the event loop before
    /// each: a read that arrives meanwhile is heard.
    fn work(self: &Rc<Self>) {
        if self.working.replace(true) {
            return;
        }
        let host = Rc::clone(self);
        spawn_local(async move {
            platform::next_turn().await;
            host.working.set(false);
            host.step(Step::Work);
        });
    }

    /// Lets the engine audit or merge when nothing came for a while.
    ///
    /// A call that comes meanwhile does not put it off, or a page that asks for the status every
    /// moment would never see an audit end; the engine itself gives way to reads and syncs.
    fn wait_idle(self: &Rc<Self>) {
        self.timer.replace(None);
        if self.idling.replace(true) {
            return;
        }
        let host = Rc::clone(self);
        let idle = async move {
            platform::idle().await;
            host.idling.set(false);
            host.feed(Input::Idle);
        };
        Timeout::new(UPKEEP_PAUSE_MS, move || spawn_local(idle)).forget();
    }

    /// Only the newest wait counts: the timer of the one before is taken back.
    fn wait(self: &Rc<Self>, until: Option<Millis>) {
        let timer = until.map(|until| {
            let (host, era) = (Rc::clone(self), self.era.get());
            // A turn later, because the next wait drops this timer, with the closure that runs.
            let tick = async move { host.complete(era, Input::Tick) };
            Timeout::new(span(until), move || spawn_local(tick))
        });
        self.timer.replace(timer);
    }

    fn fetch(
        self: &Rc<Self>,
        request: RequestId,
        source: SourceId,
        target: &Target,
        max_bytes: u64,
        deadline: Millis,
    ) {
        if let Some(read) = self.options.seed(source) {
            return self.read_seed(request, read, target);
        }
        let url = self.options.url(source, &target.path);
        let (host, era) = (Rc::clone(self), self.era.get());
        let fetch = Fetch { url, range: target.range, max_bytes, patience_ms: span(deadline) };
        let abort = Abort::new();
        if let Ok(abort) = &abort {
            self.fetches.borrow_mut().insert(request, abort.clone());
        }
        spawn_local(async move {
            let outcome = match abort {
                Ok(abort) => {
                    let body = |bytes| host.complete(era, Input::Body { request, bytes });
                    net::fetch(&fetch, &abort, body).await
                }
                Err(failure) => Err(failure),
            };
            if host.era.get() == era {
                host.fetches.borrow_mut().remove(&request);
            }
            host.complete(
                era,
                match outcome {
                    Ok(whole) => {
                        host.bodies.keep(request, whole);
                        Input::BodyEnd { request }
                    }
                    Err(failure) => Input::FetchFailed { request, failure },
                },
            );
        });
    }

    /// Reads a range of the seed's file: at most one object of it is in memory.
    fn read_seed(self: &Rc<Self>, request: RequestId, read: &Function, target: &Target) {
        let (host, era) = (Rc::clone(self), self.era.get());
        let reading = net::read_file(read, target.range);
        spawn_local(async move {
            let input = match reading.await {
                Ok(bytes) => {
                    host.complete(era, Input::Body { request, bytes });
                    Input::BodyEnd { request }
                }
                Err(failure) => Input::FetchFailed { request, failure },
            };
            host.complete(era, input);
        });
    }

    /// Opens a line. What happens on it is fed a turn later, because that may drop the line, with
    /// the closure that runs.
    fn listen(
        self: &Rc<Self>,
        request: RequestId,
        source: SourceId,
        target: &Target,
        max_bytes: u64,
    ) {
        let (host, era) = (Rc::clone(self), self.era.get());
        let on = move |said| {
            let host = Rc::clone(&host);
            spawn_local(async move {
                match said {
                    Said::Message(bytes) => host.complete(era, Input::Pushed { request, bytes }),
                    Said::End => host.end_line(era, request),
                }
            });
        };
        match Line::open(&self.options.url(source, &target.path), max_bytes, on) {
            Ok(line) => drop(self.line.replace(Some((request, line)))),
            // No WebSocket here: what it would tell is asked for.
            Err(_) => self.end_line(era, request),
        }
    }

    fn end_line(self: &Rc<Self>, era: u32, request: RequestId) {
        self.line.replace_with(|line| line.take().filter(|(own, _)| *own != request));
        self.complete(era, Input::LineEnded { request });
    }

    fn cancel_fetch(self: &Rc<Self>, request: RequestId) {
        if self.line.borrow().as_ref().is_some_and(|(own, _)| *own == request) {
            return self.end_line(self.era.get(), request);
        }
        let abort = self.fetches.borrow().get(&request).cloned();
        if let Some(abort) = abort {
            abort.cancel();
        }
    }

    fn load(self: &Rc<Self>, request: RequestId, keys: Vec<StoreKey>) {
        let (host, era) = (Rc::clone(self), self.era.get());
        spawn_local(async move {
            let rows = host.store.load(&keys).await;
            if let Some(at) = keys.iter().position(|key| *key == StoreKey::State) {
                host.state.replace(rows[at].clone().map(Rc::new));
            }
            host.complete(era, Input::Loaded { request, rows });
        });
    }

    fn list(self: &Rc<Self>, request: RequestId) {
        let (host, era) = (Rc::clone(self), self.era.get());
        spawn_local(async move {
            let keys = host.store.list().await;
            host.complete(era, Input::Listed { request, keys });
        });
    }

    fn write(self: &Rc<Self>, request: RequestId, batch: StoreBatch) {
        let (host, era) = (Rc::clone(self), self.era.get());
        spawn_local(async move {
            let known = host.state.borrow().clone();
            let state = touches_state(&batch).then(|| state_of(&batch));
            let result =
                host.store.write(batch, &host.bodies, known.as_deref().map(Vec::as_slice)).await;
            if host.era.get() != era {
                return;
            }
            match &result {
                Ok(()) => {
                    if let Some(state) = state {
                        host.state.replace(state);
                        host.restarts.set(0);
                    }
                }
                Err(error) if error.kind == StoreErrorKind::Conflict && host.restart() => return,
                Err(error) => {
                    host.store_detail.replace(error.detail.clone());
                }
            }
            let result = result.map_err(|error| error.kind.for_engine());
            host.complete(era, Input::Stored { request, result });
        });
    }

    fn event(self: &Rc<Self>, event: &Event) {
        if let Event::Status(status) = event {
            self.end_pins(status.version);
            return self.calls.end_status(&self.options.status(status));
        }
        if let Some((name, data)) = shape::event(event) {
            // A listener that throws is the host's matter, not the engine's.
            let _ = self.emit.call2(&JsValue::UNDEFINED, &JsValue::from_str(name), &data);
        }
    }

    /// An engine's failure for JavaScript, with what the store had said where it was the store's.
    fn failure(&self, error: &Failure) -> JsValue {
        let mut message = error.to_string();
        if let Failure::Store(_) = error {
            let detail = self.store_detail.borrow();
            if !detail.is_empty() {
                message.push_str(" (");
                message.push_str(&detail);
                message.push(')');
            }
        }
        failure(error.code(), &message)
    }
}

/// The state that a batch writes.
fn state_of(batch: &StoreBatch) -> Option<Rc<Vec<u8>>> {
    let put = batch.puts.iter().find(|(key, _)| *key == StoreKey::State);
    put.map(|(_, bytes)| Rc::clone(bytes))
}

fn closed() -> JsValue {
    failure("misuse/closed", "the dataset was closed: open it again")
}

/// Milliseconds from now, as timers take them.
fn span(until: Millis) -> u32 {
    // A timer longer than this fires at once in every browser.
    const MAX_TIMER_MS: u32 = i32::MAX.unsigned_abs();
    u32::try_from(until.since(now())).map_or(MAX_TIMER_MS, |ms| ms.min(MAX_TIMER_MS))
}

/// The time on the engine's clock.
fn now() -> Millis {
    millis(platform::clock_ms())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn millis(time: f64) -> Millis {
    Millis(time as u64)
}
