//! Where records stand in the table, and the lists that are read of them.

use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, InstanceId, PoolName, SlotId, VolumeId, Zone};
use crate::time::Timestamp;

/// Where a record stands in the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An instance's claim.
    Claim(InstanceId),
    /// A slot.
    Slot(SlotId),
    /// A pool.
    Pool(PoolName),
    /// A group.
    Group(GroupName),
    /// A volume's owner.
    Volume(VolumeId),
    /// The mark of a waiting claim.
    Waiting(Place, Timestamp, InstanceId),
    /// The mark of a free slot, by the time of its last release.
    Free(Place, Option<Timestamp>, u32),
    /// The mark of a slot that is being released.
    Coming(Place, u32),
    /// The mark of a leased slot.
    Held(Place, u32),
    /// The mark of a slot that is set apart.
    Apart(Place, u32),
    /// The mark of a claim that has work left.
    Open(InstanceId),
    /// The mark of a pool that has slots.
    Known(PoolName),
}

/// One zone of one pool: what waiters wait for and slots are free in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The pool.
    pub pool: PoolName,
    /// The zone.
    pub zone: Zone,
}

/// Lists, most of them of marks, each in the order of its keys and read consistently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// The waiting claims of a place, oldest first.
    Waiting(Place),
    /// The free slots of a place, most recently released first, then those never released by index.
    Free(Place),
    /// The slots of a place that are being released.
    Coming(Place),
    /// The leased slots of a place.
    Held(Place),
    /// The leased slots of a pool, in all its zones.
    EveryHeld(PoolName),
    /// The free slots of a pool, in all its zones.
    EveryFree(PoolName),
    /// The slots of a pool that are set apart, in all its zones.
    EveryApart(PoolName),
    /// The waiting claims of a pool, in all its zones.
    EveryWaiting(PoolName),
    /// The slots of a pool that are being released, in all its zones.
    EveryComing(PoolName),
    /// All that stands in a pool's partition: its record, its slots and their marks.
    Whole(PoolName),
    /// Every claim with work left.
    Open,
    /// Every pool that has slots.
    Pools,
}

impl Key {
    /// The partition key.
    pub fn partition(&self) -> String {
        match self {
            Self::Claim(instance) => format!("INSTANCE#{instance}"),
            Self::Slot(slot) => format!("POOL#{}", slot.pool),
            Self::Pool(pool) => format!("POOL#{pool}"),
            Self::Group(group) => format!("GROUP#{group}"),
            Self::Volume(volume) => format!("VOLUME#{volume}"),
            Self::Waiting(place, ..)
            | Self::Free(place, ..)
            | Self::Coming(place, ..)
            | Self::Held(place, ..)
            | Self::Apart(place, ..) => {
                format!("POOL#{}", place.pool)
            }
            Self::Open(_) => "OPEN".to_owned(),
            Self::Known(_) => "POOLS".to_owned(),
        }
    }

    /// The sort key. Numbers are padded, so that the order of the texts is the order of the numbers.
    pub fn sort(&self) -> String {
        match self {
            Self::Claim(_) => "CLAIM".to_owned(),
            Self::Slot(slot) => format!("SLOT#{:010}", slot.index),
            Self::Pool(_) => "POOL".to_owned(),
            Self::Group(_) => "GROUP".to_owned(),
            Self::Volume(_) => "VOLUME".to_owned(),
            Self::Waiting(place, since, instance) => {
                format!("WAIT#{}#{:020}#{instance}", place.zone, since.as_millis())
            }
            Self::Free(place, released_at, index) => {
                // Descending by time of release; what was never released comes last.
                let age = u64::MAX - released_at.map_or(0, Timestamp::as_millis);
                format!("FREE#{}#{age:020}#{index:010}", place.zone)
            }
            Self::Coming(place, index) => format!("COMING#{}#{index:010}", place.zone),
            Self::Held(place, index) => format!("HELD#{}#{index:010}", place.zone),
            Self::Apart(place, index) => format!("APART#{}#{index:010}", place.zone),
            Self::Open(instance) => instance.to_string(),
            Self::Known(pool) => pool.to_string(),
        }
    }
}

impl List {
    /// The partition that the list is part of.
    pub fn partition(&self) -> String {
        match self {
            Self::Waiting(place) | Self::Free(place) | Self::Coming(place) | Self::Held(place) => {
                format!("POOL#{}", place.pool)
            }
            Self::EveryHeld(pool)
            | Self::EveryFree(pool)
            | Self::EveryApart(pool)
            | Self::EveryWaiting(pool)
            | Self::EveryComing(pool)
            | Self::Whole(pool) => {
                format!("POOL#{pool}")
            }
            Self::Open => "OPEN".to_owned(),
            Self::Pools => "POOLS".to_owned(),
        }
    }

    /// What the sort keys of its members begin with.
    pub fn prefix(&self) -> String {
        match self {
            Self::Waiting(place) => format!("WAIT#{}#", place.zone),
            Self::Free(place) => format!("FREE#{}#", place.zone),
            Self::Coming(place) => format!("COMING#{}#", place.zone),
            Self::Held(place) => format!("HELD#{}#", place.zone),
            Self::EveryHeld(_) => "HELD#".to_owned(),
            Self::EveryFree(_) => "FREE#".to_owned(),
            Self::EveryApart(_) => "APART#".to_owned(),
            Self::EveryWaiting(_) => "WAIT#".to_owned(),
            Self::EveryComing(_) => "COMING#".to_owned(),
            Self::Whole(_) | Self::Open | Self::Pools => String::new(),
        }
    }

    /// How many of its members a decision needs. A waiter further down the queue is served by those before it; that a
    /// volume may be created takes a look at every holder.
    pub const fn most(&self) -> usize {
        match self {
            Self::Waiting(_) | Self::Free(_) | Self::Coming(_) => 128,
            Self::Held(_)
            | Self::EveryHeld(_)
            | Self::EveryFree(_)
            | Self::EveryApart(_)
            | Self::EveryWaiting(_)
            | Self::EveryComing(_)
            | Self::Whole(_)
            | Self::Open
            | Self::Pools => usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() }
    }

    #[test]
    fn free_slots_sort_by_latest_release_then_by_index() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let best_first = [
            Key::Free(place(), at(2_000), 7),
            Key::Free(place(), at(1_000), 3),
            Key::Free(place(), None, 2),
            Key::Free(place(), None, 10),
        ];
        let sorts: Vec<String> = best_first.iter().map(Key::sort).collect();
        assert!(sorts.is_sorted(), "{sorts:?}");
        let prefix = List::Free(place()).prefix();
        assert!(sorts.iter().all(|sort| sort.starts_with(&prefix)));
    }

    #[test]
    fn waiters_sort_oldest_first() {
        let key = |millis, id: &str| {
            Key::Waiting(place(), Timestamp::from_millis(millis), id.parse().unwrap())
        };
        let oldest_first = [key(9, "i-00000002"), key(10, "i-00000001"), key(10, "i-00000003")];
        assert!(oldest_first.iter().map(Key::sort).is_sorted());
    }

    #[test]
    fn a_zone_whose_name_begins_like_another_keeps_its_marks_apart() {
        let longer = Place { zone: "eu-central-1a-x".parse().unwrap(), ..place() };
        let sort = Key::Coming(longer, 1).sort();
        assert!(!sort.starts_with(&List::Coming(place()).prefix()));
    }
}
