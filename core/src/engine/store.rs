//! The store's desk: what it holds, what waits to be written, and when a transaction is due.
//!
//! Rows are verified before they come here. Transactions are large, because small ones cost a
//! browser more than the bytes do: what comes while one is under way makes up the next. Two of
//! bulk rows may be under way at once, so that neither the store nor the network waits for the
//! other's turn. What is given leaves the engine's memory: who needs it again loads it, and the
//! store answers after the transaction.
//!
//! One with the state or with deletions is given alone: a commit is the transaction of the last
//! rows, and every row that it speaks of is durable before it or with it.

use crate::map::{Map, Set};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

use super::io::{RequestId, StoreBatch, StoreKey};
use crate::types::Millis;

/// A transaction of bulk rows is due from so many bytes on: each costs a browser as much as
/// fetching several bundles does.
const FULL_BYTES: usize = 4 << 20;
/// With so many it waits for more, but not for longer than this: a client that dies loses what
/// waits.
const SOME_BYTES: usize = 1 << 20;
const HOLD_MS: u64 = 250;
/// Where so little is left that the commit can take it all, it is worth no transaction before it.
const COMMIT_BYTES: u64 = 8 << 20;
/// Transactions of bulk rows at once.
const MAX_UNDER_WAY: usize = 2;

/// What the store holds and what it shall hold.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreDesk {
    /// The rows known to be there; `None` while nobody asked.
    inventory: Option<Set<StoreKey>>,
    /// Rows that were looked for and are missing or damaged, whatever the inventory says.
    lost: Set<StoreKey>,
    /// Verified rows that wait for a transaction.
    rows: Map<StoreKey, Rc<Vec<u8>>>,
    /// Their keys, in the order in which they came.
    waiting: Vec<StoreKey>,
    waiting_bytes: usize,
    /// The fetches that brought some of them whole.
    bodies: Vec<(StoreKey, RequestId)>,
    deletes: Vec<StoreKey>,
    state: Option<StatePut>,
    audit: Option<Vec<u8>>,
    /// What is to be remembered of the sources.
    sources: Option<Vec<u8>>,
    /// The transactions under way, the oldest first.
    under_way: VecDeque<Given>,
    /// Since when enough rows wait for a transaction to be due.
    waiting_since: Option<Millis>,
    /// When rows that wait for more are written without it.
    pub(super) due: Option<Millis>,
    /// Whether transactions are to be fewer and larger.
    pub(super) large: bool,
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
pub(super) struct Given {
    /// Whose completion ends it: a younger one may fail before an older one ends.
    request: Option<RequestId>,
    pub(super) keys: Vec<StoreKey>,
    /// The bytes of its rows.
    bytes: usize,
    pub(super) deletes: Vec<StoreKey>,
    pub(super) commit: bool,
    /// Whether it holds a state record.
    pub(super) state: bool,
    /// When it was given.
    pub(super) since: Millis,
}

impl Given {
    /// Whether no other transaction may be under way beside it.
    fn is_alone(&self) -> bool {
        self.state || !self.deletes.is_empty()
    }
}

impl StoreDesk {
    /// Whether it is worth asking the store for a row.
    pub(super) fn may_have(&self, key: &StoreKey) -> bool {
        let listed = self.inventory.as_ref().is_none_or(|known| known.contains(key));
        self.is_given(key) || (!self.lost.contains(key) && listed)
    }

    /// Whether a transaction under way holds a row.
    fn is_given(&self, key: &StoreKey) -> bool {
        self.under_way.iter().any(|given| given.keys.contains(key))
    }

    /// Whether a row is verified and on its way to the store.
    pub(super) fn is_coming(&self, key: &StoreKey) -> bool {
        self.rows.contains_key(key) || self.is_given(key)
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

    /// The bytes of a row that waits for a transaction.
    pub(super) fn waiting(&self, key: &StoreKey) -> Option<Rc<Vec<u8>>> {
        self.rows.get(key).cloned()
    }

    pub(super) fn put(&mut self, key: StoreKey, bytes: Rc<Vec<u8>>) {
        if self.has(&key) || self.is_coming(&key) {
            return;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push(key);
        self.rows.insert(key, bytes);
    }

    /// A row, and the fetch whose whole body it is.
    pub(super) fn put_body(&mut self, key: StoreKey, bytes: Vec<u8>, body: Option<RequestId>) {
        self.put(key, Rc::new(bytes));
        self.bodies.extend(body.map(|request| (key, request)));
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

    /// What is to be remembered of the sources; it goes with the next transaction.
    pub(super) fn put_sources(&mut self, bytes: Vec<u8>) {
        self.sources = Some(bytes);
    }

    /// Bytes of the rows that wait for a transaction.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Bytes of the rows that transactions under way hold.
    pub(super) fn given_bytes(&self) -> usize {
        self.under_way.iter().map(|given| given.bytes).sum()
    }

    /// Whether anything waits for a transaction.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.state.is_some() || !self.deletes.is_empty()
    }

    /// Whether a transaction is under way.
    pub(super) fn is_writing(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether what waits may be given now.
    fn has_room(&self) -> bool {
        let alone = self.state.is_some() || !self.deletes.is_empty();
        let room = if alone { 1 } else { MAX_UNDER_WAY };
        self.under_way.len() < room && !self.under_way.iter().any(Given::is_alone)
    }

    /// The next transaction, where one is due. `coming`: the bytes of bulk rows that are still
    /// to come, where there are any; `request`: what completes it.
    pub(super) fn next_batch(
        &mut self,
        request: RequestId,
        coming: Option<u64>,
        now: Millis,
    ) -> Option<StoreBatch> {
        self.due = None;
        if !self.has_room() {
            return None;
        }
        let nothing = self.waiting.is_empty()
            && self.state.is_none()
            && self.deletes.is_empty()
            && self.audit.is_none()
            && self.sources.is_none();
        if nothing || (self.state.is_none() && coming.is_some_and(|more| self.holds(more, now))) {
            return None;
        }
        self.waiting_since = None;
        let state = self.state.take();
        let bytes = self.waiting_bytes;
        let bodies = core::mem::take(&mut self.bodies);
        let mut puts = self.take_waiting();
        let keys = puts.iter().map(|(key, _)| *key).collect();
        let deletes = core::mem::take(&mut self.deletes);
        let commit = state.as_ref().is_some_and(|state| state.commit);
        let durable = state.as_ref().is_some_and(|state| state.durable);
        let has_state = state.is_some();
        puts.extend(state.map(|state| (StoreKey::State, Rc::new(state.bytes))));
        puts.extend(self.audit.take().map(|bytes| (StoreKey::Audit, Rc::new(bytes))));
        puts.extend(self.sources.take().map(|bytes| (StoreKey::Sources, Rc::new(bytes))));
        self.under_way.push_back(Given {
            request: Some(request),
            keys,
            bytes,
            deletes: deletes.clone(),
            commit,
            state: has_state,
            since: now,
        });
        Some(StoreBatch { puts, bodies, deletes, durable })
    }

    /// The rows that wait for a transaction, for one last one.
    pub(super) fn last_rows(&mut self) -> StoreBatch {
        let bodies = core::mem::take(&mut self.bodies);
        StoreBatch { puts: self.take_waiting(), bodies, ..StoreBatch::default() }
    }

    fn take_waiting(&mut self) -> Vec<(StoreKey, Rc<Vec<u8>>)> {
        self.waiting_bytes = 0;
        let keys = core::mem::take(&mut self.waiting);
        let mut rows = core::mem::take(&mut self.rows);
        keys.into_iter().filter_map(|key| Some((key, rows.remove(&key)?))).collect()
    }

    /// Whether rows wait for those that are coming.
    fn holds(&mut self, coming: u64, now: Millis) -> bool {
        if self.waiting_bytes < SOME_BYTES {
            return true;
        }
        let until = self.waiting_since.get_or_insert(now).plus(HOLD_MS);
        let left = coming.saturating_add(self.waiting_bytes as u64);
        let full_bytes = FULL_BYTES << usize::from(self.large);
        let full = self.waiting_bytes >= full_bytes && left > COMMIT_BYTES;
        let held = !full && now < until;
        self.due = held.then_some(until);
        held
    }

    /// A transaction under way ended; what it held, and whether it is durable now.
    pub(super) fn ended(&mut self, request: RequestId, durable: bool) -> Given {
        let at = self.under_way.iter().position(|given| given.request == Some(request));
        let given = at.and_then(|at| self.under_way.remove(at)).unwrap_or_default();
        if durable {
            for key in &given.keys {
                self.lost.remove(key);
            }
            if let Some(known) = &mut self.inventory {
                known.extend(given.keys.iter().copied());
                for key in &given.deletes {
                    known.remove(key);
                }
            }
        }
        given
    }

    /// Drops what waits: the store failed.
    pub(super) fn give_up(&mut self) {
        drop(self.take_waiting());
        self.bodies.clear();
        self.state = None;
        self.deletes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WireName;

    #[test]
    fn a_row_a_state_or_a_deletion_waits() {
        let key = StoreKey::Frame(WireName([1; 32]));
        let put: [fn(&mut StoreDesk, StoreKey); 3] = [
            |desk, key| desk.put(key, Rc::new(alloc::vec![0])),
            |desk, _| {
                let bytes = alloc::vec![0];
                desk.put_state(StatePut { bytes, commit: false, durable: false });
            },
            |desk, key| desk.delete(alloc::vec![key]),
        ];
        for put in put {
            let mut desk = StoreDesk::default();
            assert!(!desk.is_waiting());
            put(&mut desk, key);
            assert!(desk.is_waiting());
            assert!(desk.next_batch(RequestId(1), None, Millis(0)).is_some());
            assert!(!desk.is_waiting() && desk.is_writing());
        }
    }

    #[test]
    fn a_younger_transaction_that_fails_first_takes_nothing_from_the_older_one() {
        let mut desk = StoreDesk::default();
        desk.list(Vec::new());
        let keys = [1, 2].map(|byte| StoreKey::Frame(WireName([byte; 32])));
        let requests = [RequestId(1), RequestId(2)];
        for (key, request) in keys.iter().zip(requests) {
            desk.put(*key, Rc::new(alloc::vec![0; FULL_BYTES]));
            assert!(desk.next_batch(request, Some(u64::MAX), Millis(0)).is_some());
        }
        assert_eq!(desk.ended(requests[1], false).keys, [keys[1]]);
        assert_eq!(desk.ended(requests[0], true).keys, [keys[0]]);
        assert!(desk.has(&keys[0]) && !desk.has(&keys[1]));
    }
}
