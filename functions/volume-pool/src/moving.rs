//! What comes next in a slot's move to another zone. Pure: from the record and from what EC2 shows, so that whoever comes next,
//! after a kill at any point, goes on from there.
//!
//! The old volumes are copied while nothing is attached to them, by snapshots; the slot is set apart meanwhile. Nothing is
//! deleted: the old volumes stay, without the tags by which a lost table would take them for the slot's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::effect::Creation;
use crate::ids::{SlotId, SnapshotId, VolumeId, VolumeName};
use crate::observation::{Volume, VolumeState, tags};
use crate::record::{Copied, Move, Pool, Slot, SlotVolume};
use crate::transition::{Transaction, moving as transitions};

/// What EC2 shows that has to do with the move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The slot's volumes, those that the move makes or leaves behind among them, and whatever carries the slot's tag.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// The snapshots that carry the move's tag.
    pub snapshots: Vec<Snapshot>,
}

/// A snapshot of `DescribeSnapshots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The volume that it was taken of.
    pub of: VolumeId,
    /// How far it is.
    pub state: SnapshotState,
    /// How far it is, in EC2's words, as in `40%`.
    pub progress: String,
}

/// How far a snapshot is (`SnapshotState`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// `pending`: its content is fixed, and on its way.
    Pending,
    /// `completed`
    Completed,
    /// `error`, or a state that AWS adds later.
    Other(String),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `CreateSnapshot` of the volume of this name, with these tags. What EC2 answers is to be noted at once: its describes may
    /// not show it for a while, and a second one would be made.
    Snapshot(VolumeName, VolumeId, BTreeMap<String, String>),
    /// `CreateVolume` from the snapshot; to be noted at once as well.
    Copy(SnapshotId, Creation),
    /// `CreateTags` with these, then `DeleteTags` for [`OWN_TAGS`].
    Untag(VolumeId, BTreeMap<String, String>),
    /// A write.
    Commit(Transaction),
    /// Nothing now: this is under way in EC2.
    Wait(String),
    /// Nothing more: the slot is not being moved.
    Done,
}

/// The tags that make a volume a slot's.
pub const OWN_TAGS: [&str; 5] =
    [tags::POOL, tags::SLOT, tags::VOLUME, tags::RELEASED_AT, tags::LEASE];

/// The name of the slot's move, by which its snapshots and copies are found.
pub fn name(slot: &SlotId, moving: &Move) -> String {
    format!("{slot}/{}", moving.since.as_millis())
}

/// The next step of the slot's move; or what is in its way, and what to do about that.
pub fn next(slot: &Slot, pool: &Pool, seen: &Seen) -> Result<Step, String> {
    let Some(moving) = &slot.moving else {
        return Ok(Step::Done);
    };
    for known in &slot.volumes {
        let Some(copy) = moving.copies.iter().find(|copy| copy.name == known.name) else {
            continue;
        };
        let source = detached(slot, known, seen)?;
        if let Some(step) = copied(slot, moving, (known, source), copy, seen)? {
            return Ok(step);
        }
    }
    if !moving.copies.is_empty() {
        return committed(transitions::swap(slot, pool));
    }
    // A copy that was made and not put on record, before the move was given up, is known by its tag.
    let of = name(&slot.id, moving);
    let own = |volume: &&Volume| slot.volumes.iter().any(|known| known.volume == volume.id);
    let mut others = seen.volumes.values().filter(|it| !own(it));
    let tagged = others.find(|it| {
        (moving.left.contains(&it.id) || it.tags.get(tags::MOVE) == Some(&of))
            && OWN_TAGS.iter().any(|tag| it.tags.contains_key(*tag))
    });
    match tagged {
        Some(volume) => Ok(Step::Untag(volume.id.clone(), marked(slot, moving))),
        None => committed(transitions::finish(slot)),
    }
}

/// The slot's volume, which nobody may have attached: what is written to it from the snapshot on would be lost.
fn detached<'a>(slot: &Slot, known: &SlotVolume, seen: &'a Seen) -> Result<&'a Volume, String> {
    let (id, volume) = (&slot.id, &known.volume);
    match seen.volumes.get(volume) {
        Some(shown) if shown.is_available() => Ok(shown),
        Some(_) => Err(format!(
            "volume {volume} of slot {id} is not available any more: somebody has attached it, and what is written to it now would \
             not move along. Give the move up (stateful-asg move {id} --cancel), or detach the volume and go on"
        )),
        None => Err(format!(
            "EC2 does not show volume {volume} of slot {id}; look whether it is there still, and go on"
        )),
    }
}

/// The next step of one copy, until it is there.
fn copied(
    slot: &Slot,
    moving: &Move,
    (known, source): (&SlotVolume, &Volume),
    copy: &Copied,
    seen: &Seen,
) -> Result<Option<Step>, String> {
    let id = &slot.id;
    let again = format!("give the move up (stateful-asg move {id} --cancel), and begin it anew");
    let Some(snapshot) = &copy.snapshot else {
        // `CreateSnapshot` takes no client token: one that was asked for, and not put on record, is found by its tag.
        if let Some(found) = seen.snapshots.iter().find(|it| it.of == known.volume) {
            let noted = transitions::note_snapshot(slot, &copy.name, &found.id);
            return committed(noted).map(Some);
        }
        let (name, volume) = (copy.name.clone(), known.volume.clone());
        return Ok(Some(Step::Snapshot(name, volume, marked(slot, moving))));
    };
    let Some(volume) = &copy.volume else {
        let Some(shown) = seen.snapshots.iter().find(|it| it.id == *snapshot) else {
            return Ok(Some(Step::Wait(format!("snapshot {snapshot} is not shown yet"))));
        };
        return match &shown.state {
            SnapshotState::Pending => {
                let progress = &shown.progress;
                let text = format!("snapshot {snapshot} of {} is at {progress}", known.volume);
                Ok(Step::Wait(text))
            }
            SnapshotState::Other(state) => {
                Err(format!("snapshot {snapshot} of {} is {state}: {again}", known.volume))
            }
            SnapshotState::Completed => match made(slot, moving, &copy.name, seen) {
                Some(volume) => committed(transitions::note_copy(slot, &copy.name, &volume.id)),
                None => {
                    Ok(Step::Copy(snapshot.clone(), creation(slot, moving, source, &copy.name)))
                }
            },
        }
        .map(Some);
    };
    match seen.volumes.get(volume).map(|shown| &shown.state) {
        Some(VolumeState::Available) => Ok(None),
        Some(VolumeState::Creating) => {
            Ok(Some(Step::Wait(format!("volume {volume} is being created in {}", moving.to))))
        }
        Some(VolumeState::InUse) => {
            Err(format!("volume {volume}, the copy, was attached by somebody: {again}"))
        }
        Some(VolumeState::Other(state)) => {
            Err(format!("volume {volume}, the copy, is {state}: {again}"))
        }
        None => Ok(Some(Step::Wait(format!(
            "volume {volume} is not shown yet; if it stays so, {again}"
        )))),
    }
}

/// The copy that was made already, and not put on record.
fn made<'a>(slot: &Slot, moving: &Move, name: &VolumeName, seen: &'a Seen) -> Option<&'a Volume> {
    let has = |volume: &Volume, tag: &str, value: &str| {
        volume.tags.get(tag).map(String::as_str) == Some(value)
    };
    let of = self::name(&slot.id, moving);
    seen.volumes.values().find(|it| {
        it.zone == moving.to && has(it, tags::MOVE, &of) && has(it, tags::VOLUME, name.as_str())
    })
}

fn creation(slot: &Slot, moving: &Move, source: &Volume, name: &VolumeName) -> Creation {
    let mut tags = source.tags.clone();
    tags.retain(|key, _| !key.starts_with("aws:") && key != tags::LEASE);
    tags.extend(marked(slot, moving));
    tags.extend([
        (tags::POOL.to_owned(), slot.id.pool.to_string()),
        (tags::SLOT.to_owned(), slot.id.to_string()),
        (tags::VOLUME.to_owned(), name.to_string()),
    ]);
    let mut token = String::new();
    let text = format!("{} {name}", self::name(&slot.id, moving));
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(token, "{byte:02x}");
    }
    let (name, zone, like) = (name.clone(), moving.to.clone(), source.like.clone());
    Creation { name, zone, like, tags, token }
}

/// The tag that what a move has made, or left behind, is known by.
fn marked(slot: &Slot, moving: &Move) -> BTreeMap<String, String> {
    BTreeMap::from([(tags::MOVE.to_owned(), name(&slot.id, moving))])
}

fn committed(transaction: Option<Transaction>) -> Result<Step, String> {
    transaction.map(Step::Commit).ok_or_else(|| {
        "the records are not as a move leaves them; stateful-asg explain shows them".to_owned()
    })
}
