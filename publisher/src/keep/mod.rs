//! Retention (docs/spec/retention.md): claims before an upload, and the collection of what nothing
//! needs any more.

pub mod collect;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packice_core::keep::mark::Key;
use packice_core::keep::needs::{leads_on, leads_to};
use packice_core::limits::MAX_OBJECT_LEN;
use packice_core::types::{ObjectKind, WireName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::edge::{Edge, Fetched};
use crate::failure::{Failure, Result};

/// Objects of one claim, at most: the edge asks its store about each.
const CLAIM: usize = 100;
/// A claim is good for longer, but what was claimed so long ago is claimed again.
const GOOD_FOR: Duration = Duration::from_secs(900);
/// How long a removal under way is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// An object as the edge's questions write it.
pub fn key_text((kind, name): &Key) -> String {
    format!("{}/{name}", kind.as_str())
}

fn parse_key(text: &str) -> Result<Key> {
    let parsed = text.split_once('/').and_then(|(kind, name)| {
        Some((ObjectKind::from_segment(kind)?, WireName::from_hex(name)?))
    });
    parsed.ok_or_else(|| Failure::network(format!("the edge names no object: {text:.80}")))
}

#[derive(Deserialize)]
struct Claimed {
    absent: Vec<String>,
    leaving: Vec<String>,
    grace_ms: u64,
}

/// What a round of claims came to.
#[derive(Clone, Debug)]
pub struct Claims {
    /// What the edge does not have.
    pub absent: BTreeSet<Key>,
    /// Until when all of it may be relied upon.
    pub until: Instant,
}

/// Claims objects before relying on their being there, or uploading them. What is being removed is
/// waited for.
pub fn claim(edge: &Edge, keys: &[Key]) -> Result<Claims> {
    let begun = Instant::now();
    let (mut absent, mut good_for) = (BTreeSet::new(), GOOD_FOR);
    for batch in keys.chunks(CLAIM) {
        let objects: Vec<String> = batch.iter().map(key_text).collect();
        let waiting = Instant::now();
        let claimed = loop {
            let answer = edge.ask("keep/claim", &json!({ "objects": objects }))?;
            let claimed: Claimed = read(answer)?;
            if claimed.leaving.is_empty() {
                break claimed;
            }
            if waiting.elapsed() > PATIENCE {
                let message = format!("{} is being removed for too long", claimed.leaving[0]);
                return Err(Failure::network(message).next("run the command again later"));
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        // A quarter of what the edge allows, whatever that is.
        good_for = good_for.min(Duration::from_millis(claimed.grace_ms / 4));
        for text in &claimed.absent {
            absent.insert(parse_key(text)?);
        }
    }
    Ok(Claims { absent, until: begun + good_for })
}

/// Claims all that a manifest at the edge leads to; the manifest of a version that goes on being
/// served may so be released again.
pub fn claim_version(edge: &Edge, manifest: &[u8]) -> Result<()> {
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut queue = vec![(ObjectKind::Manifest, manifest.to_vec())];
    while let Some((kind, bytes)) = queue.pop() {
        for needed in leads_to(kind, &bytes)? {
            let key = (needed.kind, needed.object.name);
            if seen.insert(key) && leads_on(needed.kind) {
                // Claimed before it is read, so that it is there until it was.
                claim(edge, &[key])?;
                queue.push((needed.kind, fetch(edge, &key)?.bytes));
            }
        }
    }
    let keys: Vec<Key> = seen.into_iter().collect();
    match claim(edge, &keys)?.absent.first() {
        None => Ok(()),
        Some(key) => Err(missing(key)),
    }
}

fn fetch(edge: &Edge, key: &Key) -> Result<Fetched> {
    edge.get(&key_text(key), MAX_OBJECT_LEN)?.ok_or_else(|| missing(key))
}

fn missing(key: &Key) -> Failure {
    let message = format!("the edge lacks {}, which a version there needs", key_text(key));
    Failure::conflict(message).next("publish the build of that version again, or repair the edge")
}

/// Reads an answer of the edge's.
fn read<T: for<'a> Deserialize<'a>>(answer: Value) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::network(format!("the edge answers something else: {error}")))
}
