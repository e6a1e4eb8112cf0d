//! The calls from JavaScript that wait for the engine: each is a promise, settled once.

use core::cell::RefCell;

use js_sys::{Function, Promise};
use packice_core::engine::io::{Command, ReadId};
use packice_core::map::Map;
use packice_core::types::Version;
use wasm_bindgen::prelude::*;

/// The two ends of a promise, which its constructor hands out before it returns.
#[derive(Debug)]
struct Settle(Option<(Function, Function)>);

impl Settle {
    fn promise() -> (Promise, Self) {
        let mut ends = None;
        let promise = Promise::new(&mut |resolve, reject| ends = Some((resolve, reject)));
        (promise, Self(ends))
    }

    fn end(self, result: Result<JsValue, JsValue>) {
        let Some((resolve, reject)) = self.0 else { return };
        // A promise's own functions do not throw.
        let _ = match result {
            Ok(value) => resolve.call1(&JsValue::UNDEFINED, &value),
            Err(error) => reject.call1(&JsValue::UNDEFINED, &error),
        };
    }
}

/// All calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Reads, with their commands: a new engine is asked them again.
    reads: RefCell<Map<ReadId, (Command, Settle)>>,
    /// Syncs, by the ids that JavaScript takes them back with.
    syncs: RefCell<Map<u64, Settle>>,
    status: RefCell<Vec<Settle>>,
    /// Pins that wait for the number of the version that serves.
    pins: RefCell<Vec<Settle>>,
    /// Ways back, with their versions: a new engine is asked for them again.
    roll_backs: RefCell<Vec<(Version, Settle)>>,
}

impl Calls {
    /// Notes a read.
    pub(crate) fn read(&self, id: ReadId, command: Command) -> Promise {
        let (promise, settle) = Settle::promise();
        self.reads.borrow_mut().insert(id, (command, settle));
        promise
    }

    /// Notes a sync.
    pub(crate) fn sync(&self, id: u64) -> Promise {
        let (promise, settle) = Settle::promise();
        self.syncs.borrow_mut().insert(id, settle);
        promise
    }

    /// Notes a wait for the status.
    pub(crate) fn status(&self) -> Promise {
        let (promise, settle) = Settle::promise();
        self.status.borrow_mut().push(settle);
        promise
    }

    /// Notes a pin.
    pub(crate) fn pin(&self) -> Promise {
        let (promise, settle) = Settle::promise();
        self.pins.borrow_mut().push(settle);
        promise
    }

    /// Settles all pins; how many there were.
    pub(crate) fn end_pins(&self, result: &Result<JsValue, JsValue>) -> usize {
        let calls = core::mem::take(&mut *self.pins.borrow_mut());
        let count = calls.len();
        for settle in calls {
            settle.end(result.clone());
        }
        count
    }

    /// Notes a way back.
    pub(crate) fn roll_back(&self, version: Version) -> Promise {
        let (promise, settle) = Settle::promise();
        self.roll_backs.borrow_mut().push((version, settle));
        promise
    }

    /// Settles the ways back to a version.
    pub(crate) fn end_roll_backs(&self, version: Version, result: &Result<JsValue, JsValue>) {
        let calls = core::mem::take(&mut *self.roll_backs.borrow_mut());
        for (to, settle) in calls {
            if to == version {
                settle.end(result.clone());
            } else {
                self.roll_backs.borrow_mut().push((to, settle));
            }
        }
    }

    /// Settles a read.
    pub(crate) fn end_read(&self, id: ReadId, result: Result<JsValue, JsValue>) {
        let call = self.reads.borrow_mut().remove(&id);
        if let Some((_, settle)) = call {
            settle.end(result);
        }
    }

    /// Settles all syncs.
    pub(crate) fn end_syncs(&self, result: &Result<JsValue, JsValue>) {
        let calls = core::mem::take(&mut *self.syncs.borrow_mut());
        for settle in calls.into_values() {
            settle.end(result.clone());
        }
    }

    /// Settles all waits for the status.
    pub(crate) fn end_status(&self, status: &JsValue) {
        let calls = core::mem::take(&mut *self.status.borrow_mut());
        for settle in calls {
            settle.end(Ok(status.clone()));
        }
    }

    /// What the engine must be told when JavaScript takes a call back. Of several syncs that are
    /// one to the engine, only the last ends it.
    pub(crate) fn cancel(&self, id: u64, why: &JsValue) -> Option<Command> {
        let sync = self.syncs.borrow_mut().remove(&id);
        if let Some(settle) = sync {
            settle.end(Err(why.clone()));
            return self.syncs.borrow().is_empty().then_some(Command::CancelSync);
        }
        let read = ReadId(id);
        self.reads.borrow().contains_key(&read).then_some(Command::CancelRead(read))
    }

    /// The commands of all calls that wait, to ask a new engine.
    pub(crate) fn open_commands(&self) -> Vec<Command> {
        let reads = self.reads.borrow();
        let mut commands: Vec<Command> =
            reads.values().map(|(command, _)| command.clone()).collect();
        if !self.syncs.borrow().is_empty() {
            commands.push(Command::Sync);
        }
        let back = self.roll_backs.borrow();
        commands.extend(back.iter().map(|(version, _)| Command::RollBack(*version)));
        if !self.status.borrow().is_empty() || !self.pins.borrow().is_empty() {
            commands.push(Command::Status);
        }
        commands
    }

    /// Rejects every call.
    pub(crate) fn fail_all(&self, why: &JsValue) {
        let reads = core::mem::take(&mut *self.reads.borrow_mut());
        for (_, settle) in reads.into_values() {
            settle.end(Err(why.clone()));
        }
        self.end_syncs(&Err(why.clone()));
        self.end_pins(&Err(why.clone()));
        let back = core::mem::take(&mut *self.roll_backs.borrow_mut());
        for (_, settle) in back {
            settle.end(Err(why.clone()));
        }
        let status = core::mem::take(&mut *self.status.borrow_mut());
        for settle in status {
            settle.end(Err(why.clone()));
        }
    }
}
