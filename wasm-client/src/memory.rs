//! The store of environments without IndexedDB: a map that is gone with the client.

use core::cell::RefCell;

use packice_core::engine::io::{StoreBatch, StoreKey};
use packice_core::map::Map;

/// Rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    rows: RefCell<Map<StoreKey, Vec<u8>>>,
}

impl Memory {
    pub(crate) fn load(&self, keys: &[StoreKey]) -> Vec<Option<Vec<u8>>> {
        let rows = self.rows.borrow();
        keys.iter().map(|key| rows.get(key).cloned()).collect()
    }

    pub(crate) fn list(&self) -> Vec<StoreKey> {
        self.rows.borrow().keys().filter(|key| key.name().is_some()).copied().collect()
    }

    pub(crate) fn write(&self, batch: &StoreBatch) {
        let mut rows = self.rows.borrow_mut();
        for key in &batch.deletes {
            rows.remove(key);
        }
        for (key, bytes) in &batch.puts {
            rows.insert(*key, bytes.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packice_core::types::WireName;

    #[test]
    fn a_batch_deletes_and_writes_and_the_state_is_not_listed() {
        let memory = Memory::default();
        let [a, b] = [1, 2].map(|byte| StoreKey::Frame(WireName([byte; 32])));
        let batch = |puts: &[StoreKey], deletes: &[StoreKey]| StoreBatch {
            puts: puts.iter().map(|key| (*key, vec![7].into())).collect(),
            deletes: deletes.to_vec(),
            ..StoreBatch::default()
        };
        memory.write(&batch(&[a, StoreKey::State], &[]));
        memory.write(&batch(&[b], &[a]));
        assert_eq!(memory.list(), [b]);
        assert_eq!(memory.load(&[StoreKey::State, a, b]), [Some(vec![7]), None, Some(vec![7])]);
    }
}
