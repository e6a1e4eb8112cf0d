//! `packice gc`: what of the edge's objects nothing needs, and what of that may go.
//!
//! Everything that is looked at comes after the moment that the keeper names first; so a release
//! that is not seen here was begun later, and the keeper refuses then (`packice_core::keep`).

use std::collections::{BTreeMap, BTreeSet};

use packice_core::format::head::Head;
use packice_core::keep::mark::{Key, Mark, Marked, Releases};
use packice_core::trust::accept::Seen;
use packice_core::types::Name;
use serde::Deserialize;
use serde_json::json;

use super::{fetch, key_text, parse_key, read};
use crate::edge::Edge;
use crate::failure::Result;
use crate::publish::desk::Desk;
use crate::publish::head::EdgeHead;
use crate::release_log::walk_entries;

/// Objects of one question that costs the store nothing, and of one that asks it about each.
const MARK: usize = 1000;
const REMOVE: usize = 100;

/// What a collection came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects at the edge, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that nothing needs.
    pub unneeded: u64,
    /// Their bytes.
    pub unneeded_bytes: u64,
    /// Of them, those that were found for the first time.
    pub condemned: u64,
    /// Objects that were removed, or would be.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

#[derive(Deserialize)]
struct RowsPage {
    now_ms: u64,
    grace_ms: u64,
    rows: Vec<RowShown>,
    after: Option<String>,
}

#[derive(Clone, Deserialize)]
struct RowShown {
    object: String,
    since_ms: Option<u64>,
    keep_ms: Option<u64>,
}

#[derive(Deserialize)]
struct ListPage {
    objects: Vec<(String, u64)>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Condemned {
    condemned: u64,
}

#[derive(Deserialize)]
struct Removed {
    removed: Vec<String>,
}

/// What stood at the keeper when the collection began.
struct Before {
    seen_ms: u64,
    grace_ms: u64,
    rows: BTreeMap<Key, RowShown>,
}

impl Before {
    fn read(edge: &Edge) -> Result<Self> {
        let mut before: Option<Self> = None;
        let mut after = String::new();
        loop {
            let page: RowsPage = read(edge.ask("keep/rows", &json!({ "after": after }))?)?;
            let before = before.get_or_insert(Self {
                seen_ms: page.now_ms,
                grace_ms: page.grace_ms,
                rows: BTreeMap::new(),
            });
            for row in page.rows {
                before.rows.insert(parse_key(&row.object)?, row);
            }
            match page.after {
                Some(next) => after = next,
                None => break,
            }
        }
        before.ok_or_else(|| crate::failure::Failure::internal("a first page was read"))
    }

    /// Whether the keeper would let an object go now; one whose removal broke off too.
    fn is_ripe(&self, key: &Key, keep_ms: u64) -> bool {
        let Some(row) = self.rows.get(key) else { return false };
        let keep_ms = row.keep_ms.unwrap_or(0).max(keep_ms).max(self.grace_ms);
        row.since_ms.is_none_or(|since| self.seen_ms > since.saturating_add(keep_ms))
    }
}

/// Collects; a dry run changes nothing.
pub fn collect(desk: &Desk<'_>, dry_run: bool) -> Result<Collected> {
    let before = Before::read(&desk.edge)?;
    let there = list(&desk.edge)?;
    let at = desk.read_head(&mut desk.project.state()?, false)?;
    let releases = releases(&desk.edge, &at)?;
    let marked = mark(desk, releases, there.clone())?;
    let len = |keys: &[Key]| keys.iter().filter_map(|key| there.get(key)).sum();
    let ripe: Vec<Key> = marked
        .unneeded
        .iter()
        .filter(|unneeded| before.is_ripe(&unneeded.key, unneeded.keep_ms))
        .map(|unneeded| unneeded.key)
        .collect();
    let unneeded: Vec<Key> = marked.unneeded.iter().map(|unneeded| unneeded.key).collect();
    let fresh = unneeded.iter().filter(|key| !before.rows.contains_key(*key)).count();
    let mut collected = Collected {
        objects: there.len() as u64,
        bytes: there.values().sum(),
        unneeded: unneeded.len() as u64,
        unneeded_bytes: len(&unneeded),
        condemned: fresh as u64,
        removed: ripe.len() as u64,
        removed_bytes: len(&ripe),
    };
    if !dry_run {
        collected.condemned = condemn(&desk.edge, &before, &marked)?;
        let removed = remove(&desk.edge, &before, &ripe)?;
        (collected.removed, collected.removed_bytes) = (removed.len() as u64, len(&removed));
    }
    Ok(collected)
}

fn list(edge: &Edge) -> Result<BTreeMap<Key, u64>> {
    let mut there = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let page: ListPage = read(edge.ask("keep/list", &json!({ "cursor": cursor }))?)?;
        for (object, len) in page.objects {
            there.insert(parse_key(&object)?, len);
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(there);
        }
    }
}

/// Every release in the log, and what each pointer stands at.
fn releases(edge: &Edge, at: &EdgeHead) -> Result<Releases> {
    let mut releases = Releases::default();
    let seen: Seen = at.trust.seen();
    walk_entries(edge, seen, &mut |_, entry| {
        releases.add(&Head::parse(entry)?);
        Ok(())
    })?;
    for (channel, pointer) in &at.pointers {
        let bootstrap = packice_core::format::bootstrap::Bootstrap::parse(&pointer.bytes)?;
        releases.pointed(&Head::parse(&bootstrap.head)?, channel);
    }
    // A channel that this machine does not know has its pointer too.
    let known: BTreeSet<&Name> = at.pointers.keys().collect();
    let others = at.head().map(|head| head.channels.clone()).unwrap_or_default();
    for channel in others.iter().filter(|channel| !known.contains(&channel.name)) {
        if let Some(pointer) = crate::publish::head::read_pointer(edge, &channel.name)? {
            let bootstrap = packice_core::format::bootstrap::Bootstrap::parse(&pointer.bytes)?;
            releases.pointed(&Head::parse(&bootstrap.head)?, &channel.name);
        }
    }
    Ok(releases)
}

fn mark(desk: &Desk<'_>, releases: Releases, there: BTreeMap<Key, u64>) -> Result<Marked> {
    let bar = desk.ui.bytes_bar("mark", 0);
    let mut mark = Mark::new(releases, there);
    while let Some(key) = mark.next_read() {
        let fetched = fetch(&desk.edge, &key)?;
        bar.inc(fetched.bytes.len() as u64);
        mark.read(key, &fetched.bytes)?;
    }
    bar.finish_and_clear();
    Ok(mark.finish())
}

/// Tells the keeper what was found; how many objects that were not condemned before.
fn condemn(edge: &Edge, before: &Before, marked: &Marked) -> Result<u64> {
    let spared: Vec<String> =
        marked.needed.iter().filter(|key| before.rows.contains_key(*key)).map(key_text).collect();
    let condemned: Vec<_> = marked.unneeded.iter().map(|u| (key_text(&u.key), u.keep_ms)).collect();
    let mut fresh = 0;
    let mut spared = spared.chunks(MARK);
    let mut condemned = condemned.chunks(MARK);
    loop {
        let (needed, unneeded) = (spared.next(), condemned.next());
        if needed.is_none() && unneeded.is_none() {
            return Ok(fresh);
        }
        let question = json!({
            "seen_ms": before.seen_ms,
            "needed": needed.unwrap_or_default(),
            "unneeded": unneeded.unwrap_or_default(),
        });
        let answer: Condemned = read(edge.ask("keep/condemn", &question)?)?;
        fresh += answer.condemned;
    }
}

fn remove(edge: &Edge, before: &Before, ripe: &[Key]) -> Result<Vec<Key>> {
    let mut removed = Vec::new();
    for batch in ripe.chunks(REMOVE) {
        let objects: Vec<String> = batch.iter().map(key_text).collect();
        let question = json!({ "seen_ms": before.seen_ms, "objects": objects });
        let answer: Removed = read(edge.ask("keep/remove", &question)?)?;
        for object in &answer.removed {
            removed.push(parse_key(object)?);
        }
    }
    Ok(removed)
}
