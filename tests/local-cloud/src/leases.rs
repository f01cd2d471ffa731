//! The reference lease store: [`Records`] behind the port. It serves the scenarios and the simulation; what DynamoDB
//! really does is shown by the conformance suite of the DynamoDB adapter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, LeaseStore, Poke, PortError};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::Transaction;

use crate::gate::{Gate, Service};
use crate::records::Records;

/// Records in memory, shared by everyone who has a clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryLeases {
    stored: Arc<Mutex<Stored>>,
    gate: Gate,
}

#[derive(Debug, Default)]
struct Stored {
    records: Records,
    /// Rises with each change of them.
    revision: u64,
}

/// What a page of DynamoDB's `Query` holds at most, in bytes.
const PAGE: usize = 1 << 20;

impl MemoryLeases {
    /// A store whose calls come by this gate.
    pub fn behind(gate: Gate) -> Self {
        Self { gate, ..Self::default() }
    }

    /// Every record.
    pub fn records(&self) -> Vec<Record> {
        self.locked().records.iter().cloned().collect()
    }

    /// Has `look` look at every record, without copying them.
    pub fn view<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Record>) -> T) -> T {
        let stored = self.locked();
        look(&mut stored.records.iter())
    }

    /// Rises with each change of the records: where it is what it was, they are too.
    pub(crate) fn revision(&self) -> u64 {
        self.locked().revision
    }

    /// Those of the records that `wanted` wants, shared.
    pub(crate) fn shared(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        self.locked().records.shared(wanted)
    }

    /// All is lost.
    pub fn lose(&self) {
        self.restore(&Records::default());
    }

    /// The records as they are now.
    pub fn backup(&self) -> Records {
        self.locked().records.clone()
    }

    /// All is as it was.
    pub fn restore(&self, backup: &Records) {
        let mut stored = self.locked();
        stored.records.clone_from(backup);
        stored.revision += 1;
    }

    fn locked(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseStore for MemoryLeases {
    async fn read(&self, keys: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        self.gate.turn().await;
        self.gate.admit_all(Service::DynamoDb, "dynamodb:GetItem", keys.len())?;
        Ok(self.locked().records.read(keys))
    }

    async fn list(&self, list: &List, limit: usize) -> Result<Vec<Record>, PortError> {
        self.gate.turn().await;
        let found = self.locked().records.list(list, limit);
        let pages = 1 + size_of(&found) / PAGE;
        self.gate.admit_all(Service::DynamoDb, "dynamodb:Query", pages)?;
        Ok(found)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:TransactWriteItems")?;
        let mut stored = self.locked();
        stored.revision += 1;
        stored.records.commit(transaction)
    }

    async fn poke(&self, instance: &InstanceId, guard: &InvocationId) -> Result<Poke, PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:UpdateItem")?;
        Ok(self.locked().records.poke(instance, guard))
    }

    async fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> Result<(), PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:UpdateItem")?;
        self.locked().records.take_poke(instance, guard);
        Ok(())
    }
}

/// About how many bytes the records have as items, and rather more; nothing where they are far too few for a page.
fn size_of(records: &[Record]) -> usize {
    const FEW: usize = 100;
    if records.len() <= FEW {
        return 0;
    }
    records.iter().map(|record| format!("{record:?}").len()).sum()
}
