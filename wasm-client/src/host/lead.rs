//! Several clients on one database: who leads, and a new engine on what another one wrote.
//!
//! In scope: putting one engine in the place of another. Out of scope: who leads, which the pages
//! settle between them (`js/tabs.ts`).

use std::rc::Rc;

use packice_core::engine::io::{Command, Input, StoreKey};

use super::Host;

/// So many restarts because of another client, without a success between them, are a quarrel and
/// not a race.
const MAX_RESTARTS: u32 = 16;

impl Host {
    /// Begins to follow what comes, where that is wanted, or leaves it to another client.
    pub(crate) fn lead(self: &Rc<Self>, on: bool) {
        let before = self.leads.replace(on);
        let Some(follow) = self.options.follow.filter(|_| on != before) else { return };
        if on {
            self.engine.borrow_mut().follow(follow);
            self.feed(Input::Tick);
        } else if self.restart() {
            self.restarts.set(0);
        }
    }

    /// Goes on from the state in the store, where another client moved it.
    pub(crate) async fn renew(self: Rc<Self>) {
        let era = self.era.get();
        let row = self.store.load(&[StoreKey::State]).await.pop().flatten();
        let known = self.state.borrow().clone();
        let moved = row.as_ref() != known.as_deref();
        // One that was restarted meanwhile has read it already.
        if moved && self.era.get() == era && self.restart() {
            self.restarts.set(0);
        }
    }

    /// Puts a new engine in the place of one whose state another client moved on. False where that
    /// does not help.
    pub(super) fn restart(self: &Rc<Self>) -> bool {
        let count = self.restarts.get() + 1;
        if count > MAX_RESTARTS || self.closed.get() {
            return false;
        }
        let engine = {
            let before = &mut *self.engine.borrow_mut();
            self.options.engine(self.leads.get(), Some(before))
        };
        let Ok(engine) = engine else { return false };
        self.engine.replace(engine);
        self.restarts.set(count);
        self.abandon();
        self.set_up();
        for command in self.calls.open_commands() {
            self.feed(Input::Command(command));
        }
        self.feed(Input::Command(Command::Until(self.until.get())));
        true
    }

    /// Forgets everything under way for the engine there is.
    pub(super) fn abandon(&self) {
        self.era.set(self.era.get().wrapping_add(1));
        self.timer.replace(None);
        self.inbox.borrow_mut().clear();
        self.line.replace(None);
        self.bodies.clear();
        let fetches = core::mem::take(&mut *self.fetches.borrow_mut());
        for abort in fetches.into_values() {
            abort.cancel();
        }
    }
}
