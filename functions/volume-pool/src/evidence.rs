//! The evidence for a release. A stale describe that shows `available` although the volume is attached would free a
//! slot in use, so while the holder lives, `DetachVolume`'s own answer is wanted beside it. A describe that failed or
//! found nothing is no evidence.

use std::collections::BTreeSet;

use crate::ids::{InstanceId, VolumeId};
use crate::observation::{Described, InstanceState};
use crate::record::Slot;

/// What keeps a slot from being released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// EC2 does not show this volume detached.
    Detachment(VolumeId),
    /// EC2 shows this volume detached, and has not said so in answer to `DetachVolume`.
    OwnAnswer(VolumeId),
    /// This volume is attached to another instance.
    Stranger(VolumeId, InstanceId),
}

/// Whether the volumes of `slot` are shown to be detached from `holder`.
///
/// Once EC2 shows the holder `terminated`, a describe of the volumes is enough: nothing can be attached to it any
/// more. While it lives, or once EC2 has forgotten it, `DetachVolume` must have said of each volume, in answer to a
/// call of this invocation, that it is not attached.
pub fn evidence(
    holder: &InstanceId,
    slot: &Slot,
    described: &Described,
    not_attached: &BTreeSet<VolumeId>,
) -> Result<(), Missing> {
    let terminated = described
        .instance
        .as_ref()
        .is_some_and(|instance| instance.state == InstanceState::Terminated);
    let mut wanting = None;
    for wanted in &slot.volumes {
        let id = &wanted.volume;
        let Some(volume) = described.volumes.get(id) else {
            return Err(Missing::Detachment(id.clone()));
        };
        let mut others = volume.standing().filter_map(|attachment| attachment.instance.as_ref());
        match others.find(|other| *other != holder && !slot.recent_holders.contains(*other)) {
            Some(other) => return Err(Missing::Stranger(id.clone(), other.clone())),
            None if !volume.is_available() => return Err(Missing::Detachment(id.clone())),
            None if !terminated && !not_attached.contains(id) => {
                wanting.get_or_insert(Missing::OwnAnswer(id.clone()));
            }
            None => {}
        }
    }
    wanting.map_or(Ok(()), Err)
}
