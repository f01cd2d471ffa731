//! The reference lease store: [`Records`] behind the port. It serves the scenarios and the simulation; what DynamoDB
//! really does is shown by the conformance suite of the DynamoDB adapter.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, LeaseStore, Poke, PortError};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::Transaction;

use crate::records::Records;

/// Records in memory, shared by everyone who has a clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryLeases {
    records: Arc<Mutex<Records>>,
    reads: Arc<AtomicUsize>,
    pages: Arc<AtomicUsize>,
}

/// What a page of DynamoDB's `Query` holds at most, in bytes.
const PAGE: usize = 1 << 20;

impl MemoryLeases {
    /// Every record.
    pub fn records(&self) -> Vec<Record> {
        self.locked().iter().cloned().collect()
    }

    /// Has `look` look at every record, without copying them.
    pub fn view<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Record>) -> T) -> T {
        let records = self.locked();
        look(&mut records.iter())
    }

    /// How many records were read by their keys so far, and how many pages of lists.
    pub fn reads(&self) -> (usize, usize) {
        (self.reads.load(Ordering::Relaxed), self.pages.load(Ordering::Relaxed))
    }

    fn locked(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseStore for MemoryLeases {
    async fn read(&self, keys: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        self.reads.fetch_add(keys.len(), Ordering::Relaxed);
        Ok(self.locked().read(keys))
    }

    async fn list(&self, list: &List, limit: usize) -> Result<Vec<Record>, PortError> {
        let found = self.locked().list(list, limit);
        // The items are somewhat smaller than this: no page is missed.
        let size: usize = found.iter().map(|record| format!("{record:?}").len()).sum();
        self.pages.fetch_add(1 + size / PAGE, Ordering::Relaxed);
        Ok(found)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, PortError> {
        self.locked().commit(transaction)
    }

    async fn poke(&self, instance: &InstanceId, guard: &InvocationId) -> Result<Poke, PortError> {
        Ok(self.locked().poke(instance, guard))
    }

    async fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> Result<(), PortError> {
        self.locked().take_poke(instance, guard);
        Ok(())
    }
}
