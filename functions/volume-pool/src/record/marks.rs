//! The marks: each is written and deleted in the transactions that change what it stands for, so that whatever a
//! decision or a sweep needs is one short consistent query.

use serde::{Deserialize, Serialize};

use super::{Claim, Place, Slot};
use crate::action::Transition;
use crate::ids::{InstanceId, PoolName, SlotId, VolumeId};
use crate::time::Timestamp;

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

/// Stands for a slot that is set apart: a person is told of it again and again until it is reinstated or retired, because
/// whoever set it apart may have died before he could say so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ApartMark {
    /// Where.
    pub place: Place,
    /// The slot.
    pub slot: SlotId,
    /// Why.
    pub reason: String,
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
    /// Which hooks the claim's action was of then: where Auto Scaling shows that the instance waits for the others, nobody
    /// who goes by the record keeps it alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
}

impl OpenMark {
    /// The mark of this claim.
    pub fn new(claim: &Claim, attended_at: Timestamp) -> Self {
        let transition = claim.action.as_ref().map(|action| action.transition);
        Self { instance: claim.instance.clone(), attended_at, transition }
    }
}
