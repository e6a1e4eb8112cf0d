//! The cron: what nobody asked for. Each task is a file; one that fails logs why and keeps no other
//! from running.

mod witnesses;

use worker::{Env, ScheduleContext, ScheduledEvent, event};

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    witnesses::run(&env).await;
}
