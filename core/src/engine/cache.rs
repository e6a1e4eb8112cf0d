//! Decoded frames and loaded bundles, the least recently used dropped first.
//!
//! Bounded by bytes: what a client keeps in memory does not grow with the data set.

use crate::map::Map;
use alloc::rc::Rc;

/// Values by key under a budget of bytes.
#[derive(Clone, Debug)]
pub(super) struct Cache<K, V> {
    entries: Map<K, Entry<V>>,
    budget: usize,
    used: usize,
    clock: u64,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    value: Rc<V>,
    bytes: usize,
    last_use: u64,
}

impl<K: Ord + Copy, V> Cache<K, V> {
    pub(super) fn new(budget: usize) -> Self {
        Self { entries: Map::new(), budget, used: 0, clock: 0 }
    }

    pub(super) fn fetch(&mut self, key: K) -> Option<Rc<V>> {
        self.clock += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.last_use = self.clock;
        Some(entry.value.clone())
    }

    /// Adds a value and drops the oldest ones over the budget; the new one always stays.
    pub(super) fn insert(&mut self, key: K, value: Rc<V>, bytes: usize) {
        self.insert_within(self.budget, key, value, bytes);
    }

    /// The same, and the cache does not grow over so many bytes: what goes through everything once
    /// needs no more of it.
    pub(super) fn insert_within(&mut self, limit: usize, key: K, value: Rc<V>, bytes: usize) {
        let limit = self.used.max(limit).min(self.budget);
        self.clock += 1;
        self.remove(key);
        self.used += bytes;
        self.entries.insert(key, Entry { value, bytes, last_use: self.clock });
        while self.used > limit && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(key) = oldest.map(|(key, _)| *key) else { break };
            self.remove(key);
        }
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Some(entry) = self.entries.remove(&key) {
            self.used -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_least_recently_used_over_its_budget() {
        let mut cache = Cache::new(10);
        cache.insert(1, Rc::new("a"), 4);
        cache.insert(2, Rc::new("b"), 4);
        assert!(cache.fetch(1).is_some());
        cache.insert(3, Rc::new("c"), 4);
        assert!(cache.fetch(2).is_none());
        assert!(cache.fetch(1).is_some() && cache.fetch(3).is_some());
        cache.insert_within(5, 5, Rc::new("e"), 4);
        assert!(cache.fetch(5).is_some() && cache.fetch(3).is_some(), "it does not shrink");
        assert!(cache.fetch(1).is_none());
        let mut small = Cache::new(10);
        small.insert_within(5, 1, Rc::new("a"), 4);
        small.insert_within(5, 2, Rc::new("b"), 4);
        assert!(small.fetch(1).is_none() && small.fetch(2).is_some(), "it does not grow");
        cache.insert(4, Rc::new("large"), 100);
        assert!(cache.fetch(4).is_some() && cache.fetch(3).is_none());
    }
}
