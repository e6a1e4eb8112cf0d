//! The store's desk: what it holds, what waits to be written, and when a transaction is due.
//!
//! Rows are verified before they come here. Transactions are large, because small ones cost a
//! browser more than the bytes do: what comes while one is under way makes up the next. A commit
//! is the transaction of the last rows: it is given when no other is under way, so every row that
//! it speaks of is durable before it or with it.

use crate::map::{Map, Set};
use alloc::rc::Rc;
use alloc::vec::Vec;

use super::io::{StoreBatch, StoreKey};
use crate::types::Millis;

/// A transaction of bulk rows is due from so many bytes on.
const BATCH_BYTES: usize = 1 << 20;
/// Where so little is left that the commit can take it all, it is worth no transaction before it:
/// each costs a browser as much as fetching a few bundles does.
const COMMIT_BYTES: u64 = 8 << 20;
/// But rows that came are not kept from the disk for longer than this.
const HOLD_MS: u64 = 250;

/// What the store holds and what it shall hold.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreDesk {
    /// The rows known to be there; `None` while nobody asked.
    inventory: Option<Set<StoreKey>>,
    /// Rows that were looked for and are missing or damaged, whatever the inventory says.
    lost: Set<StoreKey>,
    /// Verified rows that are not durable yet.
    rows: Map<StoreKey, Rc<Vec<u8>>>,
    /// Those of them that wait, in the order in which they came.
    waiting: Vec<StoreKey>,
    waiting_bytes: usize,
    deletes: Vec<StoreKey>,
    state: Option<StatePut>,
    audit: Option<Vec<u8>>,
    in_flight: Option<InFlight>,
    /// Since when rows wait that are enough for a transaction.
    waiting_since: Option<Millis>,
    /// When rows that are held for the commit are written without it.
    pub(super) due: Option<Millis>,
}

/// A state record that waits to be written.
#[derive(Clone, Debug)]
pub(super) struct StatePut {
    pub(super) bytes: Vec<u8>,
    /// Whether it makes the pinned version the one that serves reads.
    pub(super) commit: bool,
    /// Whether it must be on disk when it completes.
    pub(super) durable: bool,
}

/// What a transaction under way holds.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    pub(super) keys: Vec<StoreKey>,
    pub(super) deletes: Vec<StoreKey>,
    pub(super) commit: bool,
    /// Whether it holds a state record.
    pub(super) state: bool,
}

impl StoreDesk {
    /// Whether it is worth asking the store for a row.
    pub(super) fn may_have(&self, key: &StoreKey) -> bool {
        !self.lost.contains(key) && self.inventory.as_ref().is_none_or(|known| known.contains(key))
    }

    /// Whether a row is surely there.
    pub(super) fn has(&self, key: &StoreKey) -> bool {
        !self.lost.contains(key) && self.inventory.as_ref().is_some_and(|known| known.contains(key))
    }

    pub(super) fn is_listed(&self) -> bool {
        self.inventory.is_some()
    }

    pub(super) fn list(&mut self, keys: Vec<StoreKey>) {
        self.inventory = Some(keys.into_iter().collect());
    }

    pub(super) fn inventory(&self) -> impl Iterator<Item = &StoreKey> {
        self.inventory.iter().flatten()
    }

    /// A row is missing or damaged.
    pub(super) fn forget(&mut self, key: &StoreKey) {
        self.lost.insert(*key);
    }

    /// Whether any of these rows is missing or damaged.
    pub(super) fn has_lost(&self, needed: &Set<StoreKey>) -> bool {
        self.lost.iter().any(|key| needed.contains(key))
    }

    pub(super) fn unstored(&self, key: &StoreKey) -> Option<Rc<Vec<u8>>> {
        self.rows.get(key).cloned()
    }

    pub(super) fn put(&mut self, key: StoreKey, bytes: Rc<Vec<u8>>) {
        if self.has(&key) || self.rows.contains_key(&key) {
            return;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(key);
        self.rows.insert(key, bytes);
    }

    pub(super) fn delete(&mut self, keys: Vec<StoreKey>) {
        self.deletes.extend(keys);
    }

    /// A newer state record takes an older one's place; what that promised still holds.
    pub(super) fn put_state(&mut self, mut put: StatePut) {
        if let Some(before) = &self.state {
            put.commit |= before.commit;
            put.durable |= before.durable;
        }
        self.state = Some(put);
    }

    /// The audit's note; it goes with the next transaction.
    pub(super) fn put_audit(&mut self, bytes: Vec<u8>) {
        self.audit = Some(bytes);
    }

    /// Bytes of all rows that are not durable yet.
    pub(super) fn unstored_bytes(&self) -> usize {
        self.rows.values().map(|row| row.len()).sum()
    }

    /// Whether anything waits for a transaction.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.state.is_some() || !self.deletes.is_empty()
    }

    /// Whether a transaction is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The next transaction, where one is due. `coming`: the bytes of bulk rows that are still
    /// to come, where there are any.
    pub(super) fn next_batch(&mut self, coming: Option<u64>, now: Millis) -> Option<StoreBatch> {
        self.due = None;
        if self.in_flight.is_some() {
            return None;
        }
        let nothing = self.waiting.is_empty()
            && self.state.is_none()
            && self.deletes.is_empty()
            && self.audit.is_none();
        if nothing || (self.state.is_none() && coming.is_some_and(|more| self.holds(more, now))) {
            return None;
        }
        self.waiting_since = None;
        let state = self.state.take();
        let keys = core::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let deletes = core::mem::take(&mut self.deletes);
        let mut puts: Vec<(StoreKey, Rc<Vec<u8>>)> =
            keys.iter().filter_map(|key| Some((*key, self.rows.get(key)?.clone()))).collect();
        let commit = state.as_ref().is_some_and(|state| state.commit);
        let durable = state.as_ref().is_some_and(|state| state.durable);
        let has_state = state.is_some();
        puts.extend(state.map(|state| (StoreKey::State, Rc::new(state.bytes))));
        puts.extend(self.audit.take().map(|bytes| (StoreKey::Audit, Rc::new(bytes))));
        self.in_flight =
            Some(InFlight { keys, deletes: deletes.clone(), commit, state: has_state });
        Some(StoreBatch { puts, deletes, durable })
    }

    /// The rows that wait for a transaction, for one last one.
    pub(super) fn waiting_rows(&mut self) -> StoreBatch {
        let keys = core::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let puts = keys.iter().filter_map(|key| Some((*key, self.rows.remove(key)?))).collect();
        StoreBatch { puts, ..StoreBatch::default() }
    }

    /// Whether rows wait for those that are coming.
    fn holds(&mut self, coming: u64, now: Millis) -> bool {
        if self.waiting_bytes < BATCH_BYTES {
            return true;
        }
        let until = self.waiting_since.get_or_insert(now).plus(HOLD_MS);
        let left = coming.saturating_add(self.waiting_bytes as u64);
        let held = left <= COMMIT_BYTES && now < until;
        self.due = held.then_some(until);
        held
    }

    /// The transaction under way ended; what it held, and whether it is durable now.
    pub(super) fn ended(&mut self, durable: bool) -> InFlight {
        let batch = self.in_flight.take().unwrap_or_default();
        for key in &batch.keys {
            self.rows.remove(key);
            if durable {
                self.lost.remove(key);
            }
        }
        if let (true, Some(known)) = (durable, &mut self.inventory) {
            known.extend(batch.keys.iter().copied());
            for key in &batch.deletes {
                known.remove(key);
            }
        }
        batch
    }

    /// Drops what waits: the store failed.
    pub(super) fn give_up(&mut self) {
        for key in core::mem::take(&mut self.waiting) {
            self.rows.remove(&key);
        }
        self.waiting_bytes = 0;
        self.state = None;
        self.deletes.clear();
    }
}
