//! What the slots of a pool and the instances of a group have in common, and whose a volume is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, PoolName, SlotId, VolumeId, Zone};
use crate::policy::Policy;
use crate::time::Timestamp;

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
    /// Since when its records are being rebuilt, if they are: until they are, nothing is done by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilding: Option<Timestamp>,
}

impl Pool {
    /// A pool that has no slot yet.
    pub fn new(name: PoolName) -> Self {
        Self {
            name,
            version: 0,
            next_index: 0,
            slots_per_zone: BTreeMap::new(),
            paused: false,
            rebuilding: None,
        }
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
