//! The rules for one data set's marks: who may have an object removed, and when.
//!
//! The keeper is one place with one clock (a Durable Object), and each call on it is a step of its
//! own. What it asks of the store in between is not: a removal that was asked for may happen late,
//! or again. So a removal has a row of its own until it is over, and nobody relies on an object
//! meanwhile.
//!
//! Times are milliseconds of the keeper's clock. A collector says when it began to look (`seen`),
//! before it listed the objects and read the pointers.

use crate::types::Millis;

/// How long things take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// From a publisher's claim of an object to the upload of the manifest that needs it; no
    /// object goes sooner after it was condemned.
    pub grace_ms: u64,
    /// From the claim of a move to the pointer's swap.
    pub move_ms: u64,
    /// From asking the store to remove something to when that surely happened or never will.
    pub leave_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { grace_ms: 24 * 3_600_000, move_ms: 120_000, leave_ms: 120_000 }
    }
}

/// What is noted of an object; most have no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A collector found that nothing needs it.
    Condemned {
        /// When, for the first time.
        since: Millis,
        /// How long it stays after that by the publisher's promise.
        keep_ms: u64,
    },
    /// The store was asked to remove it.
    Leaving {
        /// When, for the last time.
        since: Millis,
    },
}

/// What a claim comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// What is there stays, and what is not may be uploaded.
    Granted,
    /// It is being removed: ask again after a while.
    Leaving,
    /// A removal broke off: remove it now, and then call [`left`].
    Remove,
}

/// A publisher is about to rely on an object: the new row, and what it may do.
pub fn claim(row: Option<Row>, now: Millis, rules: &Rules) -> (Option<Row>, Claim) {
    match row {
        None | Some(Row::Condemned { .. }) => (None, Claim::Granted),
        Some(Row::Leaving { since }) if now.since(since) > rules.leave_ms => {
            (Some(Row::Leaving { since: now }), Claim::Remove)
        }
        Some(Row::Leaving { .. }) => (row, Claim::Leaving),
    }
}

/// Whether a collector that began to look at `seen` saw every move that was begun. `moved` is when
/// the last one claimed its manifest.
pub fn saw_all(moved: Option<Millis>, seen: Millis, rules: &Rules) -> bool {
    moved.is_none_or(|moved| seen > moved.plus(rules.move_ms))
}

/// A collector found that nothing needs an object. The first time counts, and the longest promise.
pub fn condemn(row: Option<Row>, keep_ms: u64, now: Millis) -> Row {
    match row {
        None => Row::Condemned { since: now, keep_ms },
        Some(Row::Condemned { since, keep_ms: before }) => {
            Row::Condemned { since, keep_ms: keep_ms.max(before) }
        }
        Some(leaving @ Row::Leaving { .. }) => leaving,
    }
}

/// A collector found that something needs an object after all.
pub fn spare(row: Option<Row>) -> Option<Row> {
    match row {
        None | Some(Row::Condemned { .. }) => None,
        Some(leaving @ Row::Leaving { .. }) => Some(leaving),
    }
}

/// What the wish to remove an object comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Remove it now, and then call [`left`].
    Remove,
    /// A collector that begins to look after this time may.
    NotBefore(Millis),
    /// Nobody condemned it, or it was claimed since.
    NotCondemned,
    /// It is being removed.
    UnderWay,
}

/// A collector that began to look at `seen`, and found nothing that needs it, wants an object
/// removed.
pub fn remove(
    row: Option<Row>,
    seen: Millis,
    now: Millis,
    rules: &Rules,
) -> (Option<Row>, Removal) {
    match row {
        None => (None, Removal::NotCondemned),
        Some(Row::Condemned { since, keep_ms }) => {
            let until = since.plus(keep_ms.max(rules.grace_ms));
            match seen > until {
                true => (Some(Row::Leaving { since: now }), Removal::Remove),
                false => (row, Removal::NotBefore(until)),
            }
        }
        Some(Row::Leaving { since }) if now.since(since) > rules.leave_ms => {
            (Some(Row::Leaving { since: now }), Removal::Remove)
        }
        Some(Row::Leaving { .. }) => (row, Removal::UnderWay),
    }
}

/// The store said that the removal asked for at `asked` is done. A row that was taken over since
/// stays: the other removal is not over.
pub fn left(row: Option<Row>, asked: Millis) -> Option<Row> {
    match row {
        Some(Row::Leaving { since }) if since == asked => None,
        other => other,
    }
}
