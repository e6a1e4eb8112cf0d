//! Turns at the store: who misses the cache while this isolate already fetches the same, waits
//! until the cache has it. So a release, or a pointer that grew old, costs a data centre's isolate
//! one read, not one for each who asks.
//!
//! Requests never await each other's futures, which the platform forbids: they look again after a
//! moment, on a timer of their own. A turn that its request did not end is over by itself.

use std::cell::RefCell;
use std::time::Duration;

use packice_core::map::Map;
use worker::{Date, Delay};

/// How long a turn lasts at most, in milliseconds.
const TURN_MS: u64 = 2_000;
/// How often those who wait look again, in milliseconds.
const LOOK_MS: u64 = 8;
/// Most turns at once; who comes beyond goes at once.
const MAX_TURNS: usize = 256;

thread_local! {
    /// When the turn at a URL is over at the latest.
    static TURNS: RefCell<Map<String, u64>> = const { RefCell::new(Map::new()) };
}

/// A request's turn; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn {
    url: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.with_borrow_mut(|turns| turns.remove(&self.url));
    }
}

/// A turn, where nobody has it; `None` once somebody who had it is done, and the cache is worth
/// another look.
pub(crate) async fn wait(url: &str) -> Option<Turn> {
    let mut waited = false;
    loop {
        let now_ms = Date::now().as_millis();
        let taken = TURNS.with_borrow(|turns| turns.get(url).is_some_and(|end| *end > now_ms));
        if !taken && waited {
            return None;
        }
        if !taken {
            let full = TURNS.with_borrow_mut(|turns| {
                let full = turns.len() >= MAX_TURNS;
                if !full {
                    turns.insert(url.to_owned(), now_ms.saturating_add(TURN_MS));
                }
                full
            });
            return (!full).then(|| Turn { url: url.to_owned() });
        }
        waited = true;
        Delay::from(Duration::from_millis(LOOK_MS)).await;
    }
}
