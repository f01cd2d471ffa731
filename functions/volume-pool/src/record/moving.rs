//! A slot's way to another zone.

use serde::{Deserialize, Serialize};

use crate::ids::{SnapshotId, VolumeId, VolumeName, Zone};
use crate::time::Timestamp;

/// A move of a slot to another zone, on record from before the first snapshot until nothing of it is left to do. The slot is
/// set apart all the while: nobody leases it, and to a version that does not know of moves it is one that a person looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Move {
    /// When it was begun. With the slot it names the move: in the snapshots' tags and the volumes' client tokens.
    pub since: Timestamp,
    /// Where to.
    pub to: Zone,
    /// A copy of each volume of the slot, in its order; none any more once the slot has them, or the move is cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Copied>,
    /// Volumes that are the slot's no more, or were never to be: they stay, and lose the tags that name the slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<VolumeId>,
}

/// How far the copy of a volume has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Copied {
    /// The volume's name in the slot.
    pub name: VolumeName,
    /// The snapshot, once EC2 has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// The volume made from it, once EC2 has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
}
