//! A slot and its volumes.

use serde::{Deserialize, Serialize};

use super::{Move, Place};
use crate::ids::{DeviceName, InstanceId, SlotId, VolumeId, VolumeName, Zone};
use crate::policy::Template;
use crate::time::Timestamp;

/// How many past holders a slot remembers: an attach that lands late shows the volume on one of them, and that is
/// no stranger's doing.
const HOLDERS_REMEMBERED: usize = 8;

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
    /// Whether its holder may format its volumes.
    #[serde(default, skip_serializing_if = "Format::is_over")]
    pub format: Format,
    /// When it was last leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_at: Option<Timestamp>,
    /// When it was last released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
    /// Its move to another zone, while it is set apart for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Move>,
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
    /// Nobody, ever again: a person has taken it out of the pool. Its volumes stay on record, so that they are not adopted.
    Retired,
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

/// Whether a slot's holder may format volumes of it that were created blank. A permission, not an order: the instance
/// formats only what reads blank as well. It travels there in the tag that names the volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// No launch has been completed with it yet.
    Allowed,
    /// A launch has been completed with it, or was about to be: allowed until it is released.
    AllowedUntilReleased,
    /// Not, until a person allows it again. What no record says otherwise of holds data.
    #[default]
    Over,
}

impl Format {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    fn is_over(&self) -> bool {
        *self == Self::Over
    }
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
            SlotState::Free
            | SlotState::Creating { .. }
            | SlotState::Quarantined
            | SlotState::Retired => None,
        }
    }

    /// Its volumes, those under creation included as far as EC2 has named them, and those that a move makes or leaves behind.
    pub fn every_volume(&self) -> impl Iterator<Item = &VolumeId> {
        let planned: &[Planned] = match &self.state {
            SlotState::Creating { planned, .. } => planned,
            SlotState::Free
            | SlotState::Leased { .. }
            | SlotState::Releasing { .. }
            | SlotState::Quarantined
            | SlotState::Retired => &[],
        };
        let named = planned.iter().filter_map(|planned| planned.volume.as_ref());
        let copies = self.moving.iter().flat_map(|moving| &moving.copies);
        let copies = copies.filter_map(|copy| copy.volume.as_ref());
        let left = self.moving.iter().flat_map(|moving| &moving.left);
        let volumes = self.volumes.iter().map(|volume| &volume.volume);
        volumes.chain(named).chain(copies).chain(left)
    }

    /// Whether its holder may format this volume of it.
    pub fn may_format(&self, volume: &SlotVolume) -> bool {
        volume.origin == Origin::Created && self.format != Format::Over
    }

    /// Puts `instance` at the head of the recent holders.
    pub fn remember_holder(&mut self, instance: &InstanceId) {
        self.recent_holders.retain(|known| known != instance);
        self.recent_holders.insert(0, instance.clone());
        self.recent_holders.truncate(HOLDERS_REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_remembers_its_latest_holders_once_each() {
        let mut slot = Slot {
            id: "cassandra-0".parse().unwrap(),
            zone: "eu-central-1a".parse().unwrap(),
            version: 1,
            epoch: 0,
            state: SlotState::Free,
            recent_holders: Vec::new(),
            volumes: Vec::new(),
            format: Format::Over,
            leased_at: None,
            released_at: None,
            moving: None,
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
