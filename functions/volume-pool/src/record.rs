//! The records: what the lease table holds. Each kind of record has a key of its own; a record that can change
//! carries a version, and every write of it is conditional on the version that was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionResult, GiveUp};
use crate::ids::{
    DeviceName, GroupName, InstanceId, InvocationId, PoolName, SlotId, VolumeId, VolumeName, Zone,
};
use crate::policy::{Policy, Template};
use crate::time::Timestamp;

/// The number of this layout. A version of this software reads and writes its neighbours' layouts as well and
/// leaves anything further alone.
pub const SCHEMA: u32 = 1;

/// The highest index that a slot can have. Far above any pool, and far below what would overflow.
pub const HIGHEST_INDEX: u32 = 1_000_000;

/// How many past holders a slot remembers: an attach that lands late shows the volume on one of them, and that is
/// no stranger's doing.
const HOLDERS_REMEMBERED: usize = 8;

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

/// Lists of marks, each in the order of its keys and read consistently.
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
            | Self::Held(place, ..) => {
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
            Self::EveryHeld(pool) | Self::EveryFree(pool) => format!("POOL#{pool}"),
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
            Self::Open | Self::Pools => String::new(),
        }
    }

    /// How many of its members a decision needs. A waiter further down the queue is served by those before it; that a
    /// volume may be created takes a look at every holder.
    pub const fn most(&self) -> usize {
        match self {
            Self::Waiting(_) | Self::Free(_) | Self::Coming(_) => 128,
            Self::Held(_) | Self::EveryHeld(_) | Self::EveryFree(_) | Self::Open | Self::Pools => {
                usize::MAX
            }
        }
    }
}

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a handful of them exist at a time, for a moment")]
pub enum Record {
    /// An instance's claim.
    Claim(Claim),
    /// A slot.
    Slot(Slot),
    /// A pool.
    Pool(Pool),
    /// A group.
    Group(Group),
    /// A volume's owner.
    Volume(VolumeOwner),
    /// The mark of a waiting claim.
    Waiting(WaitingMark),
    /// The mark of a free slot.
    Free(FreeMark),
    /// The mark of a slot that is being released.
    Coming(ComingMark),
    /// The mark of a leased slot.
    Held(HeldMark),
    /// The mark of a claim that has work left.
    Open(OpenMark),
    /// The mark of a pool that has slots.
    Known(KnownMark),
}

impl Record {
    /// Where it stands.
    pub fn key(&self) -> Key {
        match self {
            Self::Claim(claim) => Key::Claim(claim.instance.clone()),
            Self::Slot(slot) => Key::Slot(slot.id.clone()),
            Self::Pool(pool) => Key::Pool(pool.name.clone()),
            Self::Group(group) => Key::Group(group.name.clone()),
            Self::Volume(owner) => Key::Volume(owner.volume.clone()),
            Self::Waiting(mark) => {
                Key::Waiting(mark.place.clone(), mark.since, mark.instance.clone())
            }
            Self::Free(mark) => {
                Key::Free(mark.slot.place(), mark.slot.released_at, mark.slot.id.index)
            }
            Self::Coming(mark) => Key::Coming(mark.place.clone(), mark.slot.index),
            Self::Held(mark) => Key::Held(mark.place.clone(), mark.slot.index),
            Self::Open(mark) => Key::Open(mark.instance.clone()),
            Self::Known(mark) => Key::Known(mark.pool.clone()),
        }
    }

    /// Its version; 0 for records that are only ever put and deleted together with what they stand for.
    pub const fn version(&self) -> u64 {
        match self {
            Self::Claim(claim) => claim.version,
            Self::Slot(slot) => slot.version,
            Self::Pool(pool) => pool.version,
            Self::Group(group) => group.version,
            Self::Volume(_)
            | Self::Waiting(_)
            | Self::Free(_)
            | Self::Coming(_)
            | Self::Held(_)
            | Self::Open(_)
            | Self::Known(_) => 0,
        }
    }
}

/// An instance's wish for a slot and its way through the protocol. One per instance, which makes "an instance never
/// holds two slots" a matter of keys. Closed, not deleted, when it is done: an instance id can live twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The instance.
    pub instance: InstanceId,
    /// Rises with every write.
    pub version: u64,
    /// How far it has come.
    pub phase: Phase,
    /// The last lifecycle action known for the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// When `action` was taken up: its hook's global timeout has run at least since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_at: Option<Timestamp>,
    /// The answer given to `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<ActionResult>,
    /// That the launch of `action` is to be answered ABANDON, and why: on record before it is, so that whoever comes
    /// next neither hands it a slot nor answers otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GiveUp>,
    /// The last policy that parsed for this instance's launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The invocation that may act for the instance now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Whether work is left, which is when its open mark exists.
    pub open: bool,
    /// The slot that it held last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<SlotId>,
    /// Why it is in this phase, for people.
    pub reason: String,
    /// Since when it has been in this phase; while it is closed, since when work was last taken up.
    pub since: Timestamp,
    /// When an action or work for it was last taken up.
    pub opened_at: Timestamp,
}

/// How far a claim has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// It wants nothing and holds nothing.
    Closed,
    /// It waits for a slot.
    Waiting {
        /// Where.
        place: Place,
        /// Its place in the queue.
        since: Timestamp,
    },
    /// A slot is being created for it.
    Creating {
        /// Where it waits.
        place: Place,
        /// Its place in the queue.
        since: Timestamp,
        /// The slot.
        slot: SlotId,
        /// Whether it still stands in the queue: until the first volume exists, what comes free is for it as well.
        queued: bool,
    },
    /// It holds a slot.
    Leased {
        /// The slot.
        slot: SlotId,
        /// The slot's epoch under this holder.
        epoch: u64,
    },
    /// It holds a slot that is being released, and will not hold it again under this epoch.
    Leaving {
        /// The slot.
        slot: SlotId,
        /// The slot's epoch under this holder.
        epoch: u64,
        /// Since when.
        since: Timestamp,
    },
}

impl Claim {
    /// A claim for an instance that has none yet.
    pub fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            version: 0,
            phase: Phase::Closed,
            action: None,
            action_at: None,
            answered: None,
            given_up: None,
            policy: None,
            guard: None,
            open: false,
            last_slot: None,
            reason: String::new(),
            since: Timestamp::default(),
            opened_at: Timestamp::default(),
        }
    }

    /// The slot that it holds, or that is being created for it.
    pub const fn slot(&self) -> Option<&SlotId> {
        match &self.phase {
            Phase::Closed | Phase::Waiting { .. } => None,
            Phase::Creating { slot, .. }
            | Phase::Leased { slot, .. }
            | Phase::Leaving { slot, .. } => Some(slot),
        }
    }

    /// Where it waits or has a slot created for it, and since when.
    pub const fn waits(&self) -> Option<(&Place, Timestamp)> {
        match &self.phase {
            Phase::Waiting { place, since } | Phase::Creating { place, since, .. } => {
                Some((place, *since))
            }
            Phase::Closed | Phase::Leased { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// Where it stands in a queue, and since when: then it has a waiting mark.
    pub const fn queued(&self) -> Option<(&Place, Timestamp)> {
        match &self.phase {
            Phase::Creating { queued: false, .. } => None,
            _ => self.waits(),
        }
    }

    /// Takes up an action, unanswered. That its token has become known does not make it another one.
    pub fn take_up(&mut self, action: &Action, now: Timestamp) {
        let known = self.action.as_ref().filter(|_| self.answered.is_none());
        if !known.is_some_and(|known| known.may_be(action)) {
            self.action_at = Some(now);
        }
        self.action = Some(action.clone());
        self.answered = None;
        self.given_up = None;
    }

    /// Since when its action has waited, as far as is on record.
    pub fn taken_up(&self) -> Timestamp {
        self.action_at.unwrap_or(self.opened_at)
    }

    /// The invocation that must be left alone at `now`, if it is not `me`.
    pub fn guarded_by_other(&self, me: &InvocationId, now: Timestamp) -> Option<&Guard> {
        self.guard.as_ref().filter(|guard| guard.invocation != *me && now < guard.until)
    }
}

/// The right to act for an instance: a mutex over its operations, never over the ownership of a slot. It may end by
/// the clock because it reaches beyond the function's hard timeout and the last call under way then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// Who acts.
    pub invocation: InvocationId,
    /// When the right has ended for certain.
    pub until: Timestamp,
}

/// The unit of lease: an identity of the pool with its volumes, bound to a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Its identity.
    pub id: SlotId,
    /// Its zone.
    pub zone: Zone,
    /// Rises with every write.
    pub version: u64,
    /// The fencing number: rises by one at every change of owner.
    pub epoch: u64,
    /// Who holds it, if anyone.
    pub state: SlotState,
    /// The instances that held it last, latest first, today's included.
    pub recent_holders: Vec<InstanceId>,
    /// Its volumes.
    pub volumes: Vec<SlotVolume>,
    /// When it was last leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_at: Option<Timestamp>,
    /// When it was last released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// Why it is in this state, for people.
    pub reason: String,
}

/// Who holds a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum SlotState {
    /// Nobody.
    Free,
    /// An instance. A lease never expires by the clock; it ends on evidence.
    Leased {
        /// The instance.
        holder: InstanceId,
    },
    /// An instance that is letting go of it.
    Releasing {
        /// The instance.
        holder: InstanceId,
    },
    /// Nobody yet: its volumes are being created, for this instance.
    Creating {
        /// The instance.
        claimant: InstanceId,
        /// What is to be created.
        planned: Vec<Planned>,
    },
    /// Nobody, until a person has looked at it.
    Quarantined,
}

/// A volume that is to be created. On record before it is asked for, so that a crash at any point leaks none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Planned {
    /// Its name in the slot.
    pub name: VolumeName,
    /// The device name to attach it at.
    pub device: DeviceName,
    /// What it is created like.
    pub like: Template,
    /// Which attempt this is, from 1: each has a client token of its own, because one that failed burns its token.
    pub attempt: u32,
    /// The volume, once EC2 has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
}

/// A volume of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotVolume {
    /// Its name in the slot.
    pub name: VolumeName,
    /// The volume.
    pub volume: VolumeId,
    /// The device name to attach it at, recorded before it is attached.
    pub device: DeviceName,
    /// Where it came from.
    pub origin: Origin,
    /// When it was created: its age where no release is on record.
    pub created_at: Timestamp,
}

/// Where a volume came from: the right to format it depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was found by its tag, with whatever data it holds.
    Adopted,
    /// It was created blank, for its slot.
    Created,
}

impl Slot {
    /// The pool and zone that it serves.
    pub fn place(&self) -> Place {
        Place { pool: self.id.pool.clone(), zone: self.zone.clone() }
    }

    /// The instance that holds it.
    pub const fn holder(&self) -> Option<&InstanceId> {
        match &self.state {
            SlotState::Leased { holder } | SlotState::Releasing { holder } => Some(holder),
            SlotState::Free | SlotState::Creating { .. } | SlotState::Quarantined => None,
        }
    }

    /// Its volumes, those under creation included as far as EC2 has named them.
    pub fn every_volume(&self) -> impl Iterator<Item = &VolumeId> {
        let planned: &[Planned] = match &self.state {
            SlotState::Creating { planned, .. } => planned,
            SlotState::Free
            | SlotState::Leased { .. }
            | SlotState::Releasing { .. }
            | SlotState::Quarantined => &[],
        };
        let named = planned.iter().filter_map(|planned| planned.volume.as_ref());
        self.volumes.iter().map(|volume| &volume.volume).chain(named)
    }

    /// Puts `instance` at the head of the recent holders.
    pub fn remember_holder(&mut self, instance: &InstanceId) {
        self.recent_holders.retain(|known| known != instance);
        self.recent_holders.insert(0, instance.clone());
        self.recent_holders.truncate(HOLDERS_REMEMBERED);
    }
}

/// What a pool has in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Rises with every write.
    pub version: u64,
    /// The index that the next slot gets. Never falls: an index is never used twice.
    pub next_index: u32,
    /// How many slots each zone has.
    pub slots_per_zone: BTreeMap<Zone, u32>,
    /// Whether a person has paused it: nothing of it is leased, adopted or created; what is released goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

impl Pool {
    /// A pool that has no slot yet.
    pub fn new(name: PoolName) -> Self {
        Self { name, version: 0, next_index: 0, slots_per_zone: BTreeMap::new(), paused: false }
    }
}

/// What a group's instances have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Rises with every write.
    pub version: u64,
    /// The last policy that parsed: what launches go by while the hook's metadata doesn't.
    pub policy: Policy,
    /// How many launches in a row were given up in each zone; a zone whose last launch succeeded is not among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub abandons: BTreeMap<Zone, u32>,
}

impl Group {
    /// A group that nothing but its policy is known of.
    pub const fn new(name: GroupName, policy: Policy) -> Self {
        Self { name, version: 0, policy, abandons: BTreeMap::new() }
    }
}

/// The one slot that a volume belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VolumeOwner {
    /// The volume.
    pub volume: VolumeId,
    /// The slot.
    pub slot: SlotId,
}

/// Stands for a waiting claim. Its place in the queue is its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WaitingMark {
    /// Where it waits.
    pub place: Place,
    /// Since when.
    pub since: Timestamp,
    /// Who waits.
    pub instance: InstanceId,
    /// Its policy's `staleAfterHours`: a slot idle for longer is not for it, and not kept for it either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after_hours: Option<u32>,
}

impl WaitingMark {
    /// The mark of a claim that has stood in this place's queue since then.
    pub fn new(claim: &Claim, place: Place, since: Timestamp) -> Self {
        let stale_after_hours = claim.policy.as_ref().and_then(|policy| policy.stale_after_hours);
        Self { place, since, instance: claim.instance.clone(), stale_after_hours }
    }
}

/// Stands for a free slot, and holds all of it: written in every transaction that changes the slot, it is never
/// older than the slot, and spares the launch a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FreeMark {
    /// The slot.
    pub slot: Slot,
}

/// Stands for a slot that is being released: it will be free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ComingMark {
    /// Where it will be free.
    pub place: Place,
    /// The slot.
    pub slot: SlotId,
    /// Who lets go of it.
    pub holder: InstanceId,
}

/// Stands for a leased slot: reconcile finds by it those whose holders went unheard, and a launch whether a slot comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldMark {
    /// Where.
    pub place: Place,
    /// The slot.
    pub slot: SlotId,
    /// Who holds it.
    pub holder: InstanceId,
    /// Its volumes: whether they are all where they should be is seen without a read of each slot.
    #[serde(default)]
    pub volumes: Vec<VolumeId>,
    /// Whether the slot's reason says that one of them is not.
    #[serde(default)]
    pub amiss: bool,
}

/// Stands for a pool that has slots: reconcile walks these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnownMark {
    /// The pool.
    pub pool: PoolName,
}

/// Stands for a claim with work left: reconcile reads these, and never scans the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OpenMark {
    /// The claim's instance.
    pub instance: InstanceId,
    /// When its guard was last taken: whoever was kept alive longest ago is the next whose time runs out.
    #[serde(default)]
    pub attended_at: Timestamp,
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

    #[test]
    fn a_slot_remembers_its_latest_holders_once_each() {
        let mut slot = Slot {
            id: "cassandra-0".parse().unwrap(),
            zone: place().zone,
            version: 1,
            epoch: 0,
            state: SlotState::Free,
            recent_holders: Vec::new(),
            volumes: Vec::new(),
            leased_at: None,
            released_at: None,
            reason: String::new(),
        };
        for number in (0..10).chain([9, 5]) {
            slot.remember_holder(&format!("i-0000000{number}").parse().unwrap());
        }
        let names: Vec<&str> = slot.recent_holders.iter().map(InstanceId::as_str).collect();
        assert_eq!(names[..3], ["i-00000005", "i-00000009", "i-00000008"]);
        assert_eq!(names.len(), HOLDERS_REMEMBERED);
    }
}
