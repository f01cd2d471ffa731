//! The records: what the lease table holds. Each kind of record has a key of its own; a record that can change
//! carries a version, and every write of it is conditional on the version that was read.

mod claim;
mod common;
mod key;
mod marks;
mod moving;
mod slot;

pub use claim::{Claim, Guard, Phase};
pub use common::{Group, Pool, VolumeOwner};
pub use key::{Key, List, Place};
pub use marks::{ApartMark, ComingMark, FreeMark, HeldMark, KnownMark, OpenMark, WaitingMark};
pub use moving::{Copied, Move};
pub use slot::{Format, Origin, Planned, Slot, SlotState, SlotVolume};

use serde::{Deserialize, Serialize};

/// The number of this layout. A version of this software reads and writes its neighbours' layouts as well and
/// leaves anything further alone.
pub const SCHEMA: u32 = 1;

/// The highest index that a slot can have. Far above any pool, and far below what would overflow.
pub const HIGHEST_INDEX: u32 = 1_000_000;

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
    /// The mark of a slot that is set apart.
    Apart(ApartMark),
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
            Self::Apart(mark) => Key::Apart(mark.place.clone(), mark.slot.index),
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
            | Self::Apart(_)
            | Self::Open(_)
            | Self::Known(_) => 0,
        }
    }
}
