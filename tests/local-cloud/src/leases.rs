//! The reference lease store: the port's contract in its plainest form. It serves the scenarios and the simulation;
//! what DynamoDB really does is shown by the conformance suite of the DynamoDB adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, LeaseStore, Poke, PortError};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::{Expect, MOST_WRITES, Transaction, Write};

use crate::gate::{Gate, Service};

/// Records in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLeases {
    items: Arc<Mutex<BTreeMap<(String, String), Item>>>,
    reads: Arc<AtomicUsize>,
    pages: Arc<AtomicUsize>,
    gate: Gate,
}

/// What a page of DynamoDB's `Query` holds at most, in bytes.
const PAGE: usize = 1 << 20;

#[derive(Debug, Clone)]
struct Item {
    record: Record,
    poked: bool,
}

impl MemoryLeases {
    /// A store whose calls come by this gate.
    pub fn behind(gate: Gate) -> Self {
        Self { gate, ..Self::default() }
    }

    /// Every record.
    pub fn records(&self) -> Vec<Record> {
        self.items().values().map(|item| item.record.clone()).collect()
    }

    /// Has `look` look at every record, without copying them.
    pub fn view<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Record>) -> T) -> T {
        let items = self.items();
        look(&mut items.values().map(|item| &item.record))
    }

    /// How many records were read by their keys so far, and how many pages of lists.
    pub fn reads(&self) -> (usize, usize) {
        (self.reads.load(Ordering::Relaxed), self.pages.load(Ordering::Relaxed))
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<(String, String), Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseStore for MemoryLeases {
    async fn read(&self, keys: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        self.gate.turn().await;
        self.gate.admit(Service::DynamoDb, "dynamodb:BatchGetItem")?;
        self.reads.fetch_add(keys.len(), Ordering::Relaxed);
        let items = self.items();
        let found = keys
            .iter()
            .filter_map(|key| Some((key.clone(), items.get(&place(key))?.record.clone())));
        Ok(found.collect())
    }

    async fn list(&self, list: &List, limit: usize) -> Result<Vec<Record>, PortError> {
        self.gate.turn().await;
        self.gate.admit(Service::DynamoDb, "dynamodb:Query")?;
        let (partition, prefix) = (list.partition(), list.prefix());
        let items = self.items();
        let found = items
            .range((partition.clone(), prefix.clone())..)
            .take_while(|((pk, sk), _)| *pk == partition && sk.starts_with(&prefix))
            .take(limit)
            .map(|(_, item)| item.record.clone());
        let found: Vec<Record> = found.collect();
        self.pages.fetch_add(1 + size_of(&found) / PAGE, Ordering::Relaxed);
        Ok(found)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:TransactWriteItems")?;
        let mut items = self.items();
        let keys: BTreeSet<(String, String)> = transaction.writes.iter().map(written).collect();
        if keys.len() != transaction.writes.len() || keys.len() > MOST_WRITES {
            let problem =
                format!("{}: a key twice, or more than {MOST_WRITES} writes", transaction.name);
            return Err(PortError::Denied { call: "dynamodb:TransactWriteItems", problem });
        }
        let holds = transaction.writes.iter().all(|write| match write {
            Write::Put(record, expect) => as_expected(items.get(&place(&record.key())), *expect),
            Write::Delete(_) => true,
        });
        if !holds {
            return Ok(if made_before(&items, transaction) {
                Commit::Committed
            } else {
                Commit::Conflict
            });
        }
        for write in &transaction.writes {
            match write {
                Write::Put(record, _) => {
                    let key = place(&record.key());
                    let poked = items.get(&key).is_some_and(|item| item.poked);
                    items.insert(key, Item { record: record.clone(), poked });
                }
                Write::Delete(key) => {
                    items.remove(&place(key));
                }
            }
        }
        Ok(Commit::Committed)
    }

    async fn poke(&self, instance: &InstanceId, guard: &InvocationId) -> Result<Poke, PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:UpdateItem")?;
        match self.items().get_mut(&place(&Key::Claim(instance.clone()))) {
            Some(Item { record: Record::Claim(claim), poked })
                if claim.guard.as_ref().is_some_and(|held| held.invocation == *guard) =>
            {
                *poked = true;
                Ok(Poke::Left)
            }
            Some(_) | None => Ok(Poke::NoSuchGuard),
        }
    }

    async fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> Result<(), PortError> {
        self.gate.admit(Service::DynamoDb, "dynamodb:UpdateItem")?;
        let mut items = self.items();
        let item = items.get_mut(&place(&Key::Claim(instance.clone())));
        if let Some(Item { record: Record::Claim(claim), poked }) = item
            && claim.guard.as_ref().is_some_and(|held| held.invocation == *guard)
        {
            *poked = false;
        }
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

fn place(key: &Key) -> (String, String) {
    (key.partition(), key.sort())
}

fn written(write: &Write) -> (String, String) {
    match write {
        Write::Put(record, _) => place(&record.key()),
        Write::Delete(key) => place(key),
    }
}

/// Whether every record that the transaction was to put under a condition stands there as it was to be: an attempt
/// of the same transaction, whose reply was lost, has made it.
fn made_before(items: &BTreeMap<(String, String), Item>, transaction: &Transaction) -> bool {
    transaction.writes.iter().all(|write| match write {
        Write::Delete(_) | Write::Put(_, Expect::Mark) => true,
        Write::Put(record, _) => {
            items.get(&place(&record.key())).is_some_and(|item| item.record == *record)
        }
    })
}

fn as_expected(item: Option<&Item>, expect: Expect) -> bool {
    match (expect, item) {
        (Expect::Absent, None) | (Expect::Mark, _) => true,
        (Expect::Version(version), Some(item)) => item.record.version() == version,
        (Expect::Unpoked(version), Some(item)) => item.record.version() == version && !item.poked,
        (Expect::Absent, Some(_)) | (Expect::Version(_) | Expect::Unpoked(_), None) => false,
    }
}
