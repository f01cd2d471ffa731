//! A pool's zone as a waiting launch sees it: who waits, what is free, what is coming, and what might be adopted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{InstanceId, PoolName, SlotId, VolumeId};
use crate::observation::{Volume, tags};
use crate::record::{ComingMark, Key, Pool, Record, Slot, WaitingMark};
use crate::time::Timestamp;

/// The queue and the slots of a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ZoneView {
    /// The waiters before this one, oldest first.
    pub earlier: Vec<WaitingMark>,
    /// The free slots, best first.
    pub free: Vec<Slot>,
    /// The slots that are being released.
    pub coming: Vec<ComingMark>,
    /// The pool's record.
    pub pool: Option<Pool>,
}

/// Volumes that might become slots, and what the records know of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Candidates {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// Those volumes that belong to a slot.
    pub owned: BTreeSet<VolumeId>,
    /// Those slots named by the volumes' tags that exist.
    pub slots: BTreeSet<SlotId>,
    /// The record of their pool, where it was asked for.
    pub pool: Option<Pool>,
}

impl ZoneView {
    /// The zone as its lists show it to the waiter that has stood there since `since`.
    pub fn new(
        pool: Option<Pool>,
        lists: Vec<Vec<Record>>,
        since: Timestamp,
        waiter: &InstanceId,
    ) -> Self {
        let mut view = Self { pool, ..Self::default() };
        for record in lists.into_iter().flatten() {
            match record {
                Record::Waiting(mark) if (mark.since, &mark.instance) < (since, waiter) => {
                    view.earlier.push(mark);
                }
                Record::Free(mark) => view.free.push(mark.slot),
                Record::Coming(mark) => view.coming.push(mark),
                _ => {}
            }
        }
        view
    }
}

impl ZoneView {
    /// The free slots that are left when every earlier waiter has taken the best that is not too old for it, in order.
    pub fn left(&self, now: Timestamp) -> Vec<&Slot> {
        let mut left: Vec<&Slot> = self.free.iter().collect();
        for waiter in &self.earlier {
            let best = left.iter().position(|slot| !stale(waiter.stale_after_hours, slot, now));
            if let Some(best) = best {
                left.remove(best);
            }
        }
        left
    }

    /// How many earlier waiters find nothing among the free slots: they are due what comes free next.
    pub fn unserved(&self, now: Timestamp) -> usize {
        self.earlier.len() - (self.free.len() - self.left(now).len())
    }
}

/// A slot that was idle for too long: its data may do harm (a Cassandra node back after `gc_grace` resurrects deleted
/// rows), so a person decides. Where no release is on record, the age of its youngest volume counts.
pub fn stale(after_hours: Option<u32>, slot: &Slot, now: Timestamp) -> bool {
    let Some(hours) = after_hours else {
        return false;
    };
    let created = slot.volumes.iter().map(|volume| volume.created_at).max();
    slot.released_at.or(created).is_none_or(|idle_since| {
        now.since(idle_since) >= Duration::from_secs(u64::from(hours) * 3600)
    })
}

impl Candidates {
    /// Volumes that nothing is known of yet; each once, though pages of a describe may overlap.
    pub fn new(volumes: Vec<Volume>) -> Self {
        let unique: BTreeMap<VolumeId, Volume> =
            volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect();
        Self { volumes: unique.into_values().collect(), ..Self::default() }
    }

    /// The records that tell which of the volumes may become slots, beside the pool's own.
    pub fn keys(&self) -> Vec<Key> {
        let named: BTreeSet<SlotId> = self
            .volumes
            .iter()
            .filter_map(|volume| volume.tags.get(tags::SLOT)?.parse().ok())
            .collect();
        let volumes = self.volumes.iter().map(|volume| Key::Volume(volume.id.clone()));
        let slots = named.into_iter().map(Key::Slot);
        volumes.chain(slots).collect()
    }

    /// The pool that they are tagged for.
    pub fn pool_name(&self) -> Option<PoolName> {
        self.volumes.iter().find_map(|volume| volume.tags.get(tags::POOL)?.parse().ok())
    }

    /// Takes note of what the records say.
    pub fn note(&mut self, records: BTreeMap<Key, Record>) {
        let volumes = std::mem::take(&mut self.volumes);
        *self = Self::new(volumes);
        for record in records.into_values() {
            match record {
                Record::Volume(owner) => {
                    self.owned.insert(owner.volume);
                }
                Record::Slot(slot) => {
                    self.slots.insert(slot.id);
                }
                Record::Pool(pool) => self.pool = Some(pool),
                _ => {}
            }
        }
    }
}
