//! Turns at the store: who misses the cache while this isolate already fetches the same, waits
//! until the cache has it. So a release, or a pointer that grew old, costs a data centre's isolate
//! one read, not one for each who asks. Where the store failed, its failure is the answer of all
//! who waited, and of all who come in the next moment: a store that is down is asked for a URL once
//! a second, not once for each who tries again.
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
/// How long a failure of the store answers, in milliseconds: what it has as `Retry-After`.
const FAILED_MS: u64 = 1_000;
/// Most turns at once; who comes beyond goes at once.
const MAX_TURNS: usize = 256;

/// What is known of a URL, until when.
#[derive(Clone, Copy)]
struct Known {
    until_ms: u64,
    /// Whether the store failed; else a request has its turn.
    failed: bool,
}

impl Known {
    /// Whether it counts; what holds for longer than a turn is of a clock that was put back.
    fn counts(&self, now_ms: u64) -> bool {
        self.until_ms.checked_sub(now_ms).is_some_and(|left| (1..=TURN_MS).contains(&left))
    }
}

thread_local! {
    static TURNS: RefCell<Map<String, Known>> = const { RefCell::new(Map::new()) };
}

/// A request's turn; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn {
    url: String,
    failed: bool,
}

impl Turn {
    /// Ends it with the news that the store failed.
    pub(crate) fn fail(mut self) {
        self.failed = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.with_borrow_mut(|turns| match self.failed {
            true => {
                let until_ms = Date::now().as_millis().saturating_add(FAILED_MS);
                turns.insert(core::mem::take(&mut self.url), Known { until_ms, failed: true });
            }
            false => _ = turns.remove(&self.url),
        });
    }
}

/// What a request does that missed the cache.
pub(crate) enum Way {
    /// It goes, and others wait for it.
    Turn(Turn),
    /// It goes, and nobody knows of it: too many have a turn.
    Alone,
    /// Somebody was there meanwhile: the cache is worth another look.
    Look,
    /// The store failed a moment ago.
    Failed,
}

/// Waits while another request has its turn at a URL.
pub(crate) async fn wait(url: &str) -> Way {
    let mut waited = false;
    loop {
        let now_ms = Date::now().as_millis();
        let known = TURNS.with_borrow(|turns| turns.get(url).copied());
        match known.filter(|known| known.counts(now_ms)) {
            Some(Known { failed: true, .. }) => return Way::Failed,
            Some(Known { failed: false, .. }) => {}
            None if waited => return Way::Look,
            None => {
                return TURNS.with_borrow_mut(|turns| {
                    if turns.len() >= MAX_TURNS {
                        // What is over by itself was left by a request that was cut off.
                        turns.retain(|_, known| known.counts(now_ms));
                    }
                    if turns.len() >= MAX_TURNS {
                        return Way::Alone;
                    }
                    let until_ms = now_ms.saturating_add(TURN_MS);
                    turns.insert(url.to_owned(), Known { until_ms, failed: false });
                    Way::Turn(Turn { url: url.to_owned(), failed: false })
                });
            }
        }
        waited = true;
        Delay::from(Duration::from_millis(LOOK_MS)).await;
    }
}
