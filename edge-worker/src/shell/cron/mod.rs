//! The cron: what nobody asked for. Each task is a file; one that fails logs why and keeps no other
//! from running.

pub(crate) mod scrub;
mod sources;
mod witnesses;

use worker::{Env, ScheduleContext, ScheduledEvent, event};

/// The cron of wrangler.toml that looks after health; the other one refreshes.
const HEALTH: &str = "*/5 * * * *";

#[event(scheduled)]
async fn scheduled(event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if event.cron() == HEALTH {
        sources::run(&env).await;
        scrub::run(&env).await;
    } else {
        witnesses::run(&env).await;
    }
}
