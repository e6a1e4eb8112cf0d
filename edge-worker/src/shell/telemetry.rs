//! What this isolate counts between two batches (`metrics`).

use std::cell::RefCell;

use packice_core::types::ObjectKind;
use worker::{Context, Date, Env, Request, console_error};

use crate::log;
use crate::metrics::{Batch, Counter};
use crate::shell::place;
use crate::shell::tiers::Tiers;

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::default();
}

/// Counts.
pub(crate) fn count(counter: Counter) {
    BATCH.with_borrow_mut(|batch| batch.add(counter, 1));
}

/// An object was answered, so many bytes of it.
pub(crate) fn answered(kind: ObjectKind, bytes: u64) {
    BATCH.with_borrow_mut(|batch| {
        batch.add(Counter::of_kind(kind), 1);
        batch.add(Counter::ReadBytes, bytes);
    });
}

/// An object of the region's store was read.
pub(crate) fn used(key: &str) {
    BATCH.with_borrow_mut(|batch| batch.used(key));
}

/// A request ends; whether it is time to tell the region.
pub(crate) fn request_ended() -> bool {
    BATCH.with_borrow_mut(|batch| batch.request(|| Date::now().as_millis()))
}

/// Tells the region what was counted, behind the answer.
pub(crate) fn tell(env: &Env, context: &Context, request: &Request) {
    let batch = BATCH.take();
    // An edge without regions has nobody to tell.
    let Some(tiers) = Tiers::of(env, place(request)) else { return };
    context.wait_until(async move {
        if let Err(error) = tiers.tell(&batch).await {
            console_error!("{}", log::line("telemetry", "tell", "", &error.to_string()));
        }
    });
}
