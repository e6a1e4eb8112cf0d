//! One round of the scrub.

use std::time::Duration;

use packice_core::types::{Name, WireName};
use worker::{Env, RequestInit, console_error};

use crate::limits::MAX_STORED_LEN;
use crate::log;
use crate::pointer::Swap;
use crate::problem::Problem;
use crate::resource::Resource;
use crate::scrub::{QUARANTINE, ROUND, STATE, Tally, is_sound, object_of, reported};
use crate::shell::ask::ask;
use crate::shell::durable::pointer;
use crate::shell::sources::{listed, own_region};
use crate::shell::store::Store;
use crate::shell::tiers::Tiers;

/// How long another edge may take to give an object.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at the next objects, and at all that were reported.
pub(crate) async fn run(env: &Env) {
    let Ok(store) = Store::open(env) else { return };
    let mut round = Round { env, store: &store, tally: Tally::default() };
    if let Err(problem) = round.run().await {
        console_error!("{}", log::line("scrub", "round", "", &problem.detail));
    }
    let Tally { looked_at, repaired, quarantined } = round.tally;
    tell(env, &round.tally).await;
    if repaired + quarantined > 0 {
        let said = format!("{looked_at} looked at, {repaired} repaired, {quarantined} quarantined");
        console_error!("{}", log::line("scrub", "tally", "", &said));
    }
}

/// Tells the region what came of a round; an edge without regions has nobody to tell.
async fn tell(env: &Env, tally: &Tally) {
    let Some(tiers) = Tiers::of(env, None) else { return };
    if let Err(error) = tiers.tell(&tally.batch()).await {
        console_error!("{}", log::line("scrub", "tell", "", &error.to_string()));
    }
}

struct Round<'a> {
    env: &'a Env,
    store: &'a Store,
    tally: Tally,
}

impl Round<'_> {
    async fn run(&mut self) -> Result<(), Problem> {
        for dataset in self.store.datasets().await? {
            for report in pointer::take_reports(self.env, &dataset).await? {
                if let Some((resource, name)) = reported(&dataset, &report) {
                    self.look_at(&resource, &name).await?;
                }
            }
        }
        self.next_keys().await
    }

    /// The keys after those of the last round; from the first on again after the last.
    async fn next_keys(&mut self) -> Result<(), Problem> {
        let state = self.store.read(STATE).await?;
        let (after, swap) = match state {
            Some(state) => (
                String::from_utf8(state.bytes).unwrap_or_default(),
                Swap::Replace { etag: state.etag },
            ),
            None => (String::new(), Swap::Create),
        };
        let keys = self.store.keys_after(&after, ROUND).await?;
        let last = keys.last().cloned().unwrap_or_default();
        for key in keys {
            if let Some((resource, name)) = object_of(&key) {
                self.look_at(&resource, &name).await?;
            }
        }
        self.store.put(STATE, last.into_bytes(), &swap, None).await?;
        Ok(())
    }

    async fn look_at(&mut self, resource: &Resource, name: &WireName) -> Result<(), Problem> {
        let key = resource.key();
        let Some(stored) = self.store.read(&key).await? else { return Ok(()) };
        self.tally.looked_at += 1;
        if is_sound(name, &stored.bytes) {
            return Ok(());
        }
        let swap = Swap::Replace { etag: stored.etag.clone() };
        if let Some(bytes) = self.sound_copy(resource, name).await {
            if self.store.put(&key, bytes, &swap, None).await?.is_some() {
                self.tally.repaired += 1;
                console_error!("{}", log::line("scrub", "repaired", &key, "its bytes were others"));
            }
            return Ok(());
        }
        // Kept to be looked at, and out of the way: whoever has it may upload it again, which
        // cannot happen in between, since uploads replace nothing.
        let kept = format!("{QUARANTINE}{key}");
        if self.store.head(&kept).await?.is_none() {
            self.store.put(&kept, stored.bytes, &Swap::Create, None).await?;
        }
        self.store.remove(&key).await?;
        self.tally.quarantined += 1;
        console_error!("{}", log::line("scrub", "quarantined", &key, "nobody has its bytes"));
        Ok(())
    }

    /// The object's bytes from another edge, checked.
    async fn sound_copy(&self, resource: &Resource, name: &WireName) -> Option<Vec<u8>> {
        let own = own_region(self.env);
        let max_len = usize::try_from(MAX_STORED_LEN).unwrap_or(usize::MAX);
        for source in listed(self.env).iter().filter(|source| source.region != own) {
            let url = format!("{}{}", source.url, resource.path());
            let answer = ask(&url, &RequestInit::new(), PATIENCE, max_len).await;
            if let Ok((200, bytes)) = answer
                && is_sound(name, &bytes)
            {
                return Some(bytes);
            }
        }
        None
    }
}

/// Remembers that somebody found an object damaged, if it is there.
pub(crate) async fn report(
    env: &Env,
    store: &Store,
    dataset: &Name,
    object: &str,
) -> Result<bool, Problem> {
    let Some((resource, _)) = reported(dataset, object) else { return Ok(false) };
    if store.head(&resource.key()).await?.is_none() {
        return Ok(false);
    }
    pointer::report(env, dataset, object).await?;
    Ok(true)
}
