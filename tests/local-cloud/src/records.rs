//! The lease table as a value: the port's contract in its plainest form. [`crate::leases`] puts it behind the port for the
//! scenarios; the model checker has one in each of its states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, Poke, PortError};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::{Expect, MOST_WRITES, Transaction, Write};

/// Records, in the order of their keys. Clones share the records: the model checker keeps a table for each of its states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Records {
    items: BTreeMap<Arc<Place>, Item>,
}

/// The partition key and the sort key.
type Place = (String, String);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    record: Arc<Record>,
    poked: bool,
}

impl Records {
    /// Every record.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.items.values().map(|item| &*item.record)
    }

    /// Those of the records that `wanted` wants, shared.
    pub(crate) fn shared(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let wanted = self.items.values().filter(|item| wanted(&item.record));
        wanted.map(|item| Arc::clone(&item.record)).collect()
    }

    /// The record at this key, if there is one.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.items.get(&place(key)).map(|item| &*item.record)
    }

    /// Those of these records that exist.
    pub fn read(&self, keys: &[Key]) -> BTreeMap<Key, Record> {
        let found = keys.iter().filter_map(|key| Some((key.clone(), self.get(key)?.clone())));
        found.collect()
    }

    /// The first `limit` of a list.
    pub fn list(&self, list: &List, limit: usize) -> Vec<Record> {
        let (partition, prefix) = (list.partition(), list.prefix());
        let found = self
            .items
            .range((partition.clone(), prefix.clone())..)
            .take_while(|(place, _)| place.0 == partition && place.1.starts_with(&prefix))
            .take(limit)
            .map(|(_, item)| Record::clone(&item.record));
        found.collect()
    }

    /// The transaction, whole or not at all.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<Commit, PortError> {
        let keys: BTreeSet<Place> = transaction.writes.iter().map(written).collect();
        if keys.len() != transaction.writes.len() || keys.len() > MOST_WRITES {
            let problem =
                format!("{}: a key twice, or more than {MOST_WRITES} writes", transaction.name);
            return Err(PortError::Denied { call: "dynamodb:TransactWriteItems", problem });
        }
        let holds = transaction.writes.iter().all(|write| match write {
            Write::Put(record, expect) => {
                as_expected(self.items.get(&place(&record.key())), *expect)
            }
            Write::Delete(_) => true,
        });
        if !holds {
            let made = self.made_before(transaction);
            return Ok(if made { Commit::Committed } else { Commit::Conflict });
        }
        for write in &transaction.writes {
            match write {
                Write::Put(record, _) => {
                    let record = Arc::new(record.clone());
                    let key = place(&record.key());
                    match self.items.get_mut(&key) {
                        Some(item) => item.record = record,
                        None => {
                            self.items.insert(Arc::new(key), Item { record, poked: false });
                        }
                    }
                }
                Write::Delete(key) => {
                    self.items.remove(&place(key));
                }
            }
        }
        Ok(Commit::Committed)
    }

    /// Asks the guard of the instance for another look.
    pub fn poke(&mut self, instance: &InstanceId, guard: &InvocationId) -> Poke {
        match self.guarded(instance, guard) {
            Some(item) => {
                item.poked = true;
                Poke::Left
            }
            None => Poke::NoSuchGuard,
        }
    }

    /// Takes back what others poked.
    pub fn take_poke(&mut self, instance: &InstanceId, guard: &InvocationId) {
        if let Some(item) = self.guarded(instance, guard) {
            item.poked = false;
        }
    }

    /// The same table with every record rewritten; pokes stay with their claims.
    #[must_use]
    pub fn rewritten(&self, mut rewrite: impl FnMut(Record) -> Record) -> Self {
        let items = self.items.values().map(|item| {
            let record = Arc::new(rewrite(Record::clone(&item.record)));
            (Arc::new(place(&record.key())), Item { record, poked: item.poked })
        });
        Self { items: items.collect() }
    }

    /// Whether every record that the transaction was to put under a condition stands there as it was to be: an attempt
    /// of the same transaction, whose reply was lost, has made it.
    fn made_before(&self, transaction: &Transaction) -> bool {
        transaction.writes.iter().all(|write| match write {
            Write::Delete(_) | Write::Put(_, Expect::Mark) => true,
            Write::Put(record, _) => self.get(&record.key()) == Some(record),
        })
    }

    /// The claim of the instance, if this is its guard.
    fn guarded(&mut self, instance: &InstanceId, guard: &InvocationId) -> Option<&mut Item> {
        let item = self.items.get_mut(&place(&Key::Claim(instance.clone())))?;
        let Record::Claim(claim) = &*item.record else { return None };
        let held = claim.guard.as_ref().is_some_and(|held| held.invocation == *guard);
        held.then_some(item)
    }
}

fn place(key: &Key) -> Place {
    (key.partition(), key.sort())
}

fn written(write: &Write) -> Place {
    match write {
        Write::Put(record, _) => place(&record.key()),
        Write::Delete(key) => place(key),
    }
}

fn as_expected(item: Option<&Item>, expect: Expect) -> bool {
    match (expect, item) {
        (Expect::Absent, None) | (Expect::Mark, _) => true,
        (Expect::Version(version), Some(item)) => item.record.version() == version,
        (Expect::Unpoked(version), Some(item)) => item.record.version() == version && !item.poked,
        (Expect::Absent, Some(_)) | (Expect::Version(_) | Expect::Unpoked(_), None) => false,
    }
}
