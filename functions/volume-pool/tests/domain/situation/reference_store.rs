//! The lease table as the protocol has it: a map of records, transactions that happen whole or not at all, and pokes.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Commit, Poke};
use volume_pool::record::{Key, List, Record};
use volume_pool::transition::{Expect, Transaction, Write};

#[derive(Debug, Clone, Default)]
pub(crate) struct ReferenceStore {
    pub(crate) records: BTreeMap<Key, Record>,
    pub(crate) poked: BTreeSet<InstanceId>,
}

impl ReferenceStore {
    pub(crate) fn holding(records: impl IntoIterator<Item = Record>) -> Self {
        let records = records.into_iter().map(|record| (record.key(), record)).collect();
        Self { records, poked: BTreeSet::new() }
    }

    pub(crate) fn commit(&mut self, transaction: &Transaction) -> Commit {
        let expected = transaction.writes.iter().all(|write| match write {
            Write::Put(record, expect) => self.is_as_expected(&record.key(), *expect),
            Write::Delete(_) => true,
        });
        if !expected {
            return Commit::Conflict;
        }
        for write in &transaction.writes {
            match write {
                Write::Put(record, _) => self.records.insert(record.key(), record.clone()),
                Write::Delete(key) => self.records.remove(key),
            };
        }
        Commit::Committed
    }

    pub(crate) fn read(&self, keys: &[Key]) -> BTreeMap<Key, Record> {
        keys.iter().filter_map(|key| Some((key.clone(), self.records.get(key)?.clone()))).collect()
    }

    /// In the order of the sort keys, as a query gives them.
    pub(crate) fn list(&self, list: &List) -> Vec<Record> {
        let mut members: Vec<&Key> = self
            .records
            .keys()
            .filter(|key| {
                key.partition() == list.partition() && key.sort().starts_with(&list.prefix())
            })
            .collect();
        members.sort_by_key(|key| key.sort());
        members.into_iter().map(|key| self.records[key].clone()).collect()
    }

    pub(crate) fn poke(&mut self, instance: &InstanceId, guard: &InvocationId) -> Poke {
        match self.records.get(&Key::Claim(instance.clone())) {
            Some(Record::Claim(claim))
                if claim.guard.as_ref().is_some_and(|held| held.invocation == *guard) =>
            {
                self.poked.insert(instance.clone());
                Poke::Left
            }
            _ => Poke::NoSuchGuard,
        }
    }

    fn is_as_expected(&self, key: &Key, expect: Expect) -> bool {
        let there = self.records.get(key);
        match expect {
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there.is_some_and(|record| record.version() == version),
            Expect::Unpoked(version) => {
                let unpoked = match key {
                    Key::Claim(instance) => !self.poked.contains(instance),
                    _ => true,
                };
                unpoked && there.is_some_and(|record| record.version() == version)
            }
            Expect::Mark => true,
        }
    }
}
