//! The transitions by which a slot moves to another zone: set apart first, then copied, then given its new volumes in one
//! transaction, and free again once nothing says that the old ones are its own. Each is conditional on the slot as it was
//! read, so of two who move it at once one goes on.

use super::{Expect, Transaction, Write, apart_mark, free_key, put_pool, put_slot};
use crate::ids::{SnapshotId, VolumeId, VolumeName, Zone};
use crate::record::{
    Copied, Format, FreeMark, Key, Move, Origin, Pool, Record, Slot, SlotState, SlotVolume,
    VolumeOwner,
};
use crate::time::Timestamp;

/// Sets a free slot apart for its move, before anything is copied: else it would be leased meanwhile, and the data fork. The
/// zone that it moves to has one slot more from now on.
pub fn begin(slot: &Slot, pool: &Pool, to: &Zone, now: Timestamp) -> Option<Transaction> {
    if slot.state != SlotState::Free || slot.zone == *to || slot.volumes.is_empty() {
        return None;
    }
    let copies = slot.volumes.iter();
    let copies = copies.map(|it| Copied { name: it.name.clone(), snapshot: None, volume: None });
    let moving = Move { since: now, to: to.clone(), copies: copies.collect(), left: Vec::new() };
    let mut apart = slot.clone();
    apart.state = SlotState::Quarantined;
    apart.format = Format::Over;
    apart.moving = Some(moving);
    apart.reason =
        format!("it is being moved to {to}; to go on with that: stateful-asg move {}", slot.id);
    let mut grown = pool.clone();
    *grown.slots_per_zone.entry(to.clone()).or_default() += 1;
    let mut writes = vec![apart_mark(&apart), put_slot(apart), Write::Delete(free_key(slot))];
    writes.extend(put_pool(Some(pool), grown));
    Some(Transaction::new("begin move", writes))
}

/// Notes the snapshot of a volume.
pub fn note_snapshot(slot: &Slot, name: &VolumeName, snapshot: &SnapshotId) -> Option<Transaction> {
    let copy = copying(slot, name).filter(|copy| copy.snapshot.is_none())?;
    let next = with(slot, Copied { snapshot: Some(snapshot.clone()), ..copy.clone() });
    Some(Transaction::new("note snapshot", vec![put_slot(next)]))
}

/// Notes the volume that was made from the snapshot. It belongs to the slot from now on, so that nobody adopts it.
pub fn note_copy(slot: &Slot, name: &VolumeName, volume: &VolumeId) -> Option<Transaction> {
    let copy = copying(slot, name).filter(|it| it.snapshot.is_some() && it.volume.is_none())?;
    let next = with(slot, Copied { volume: Some(volume.clone()), ..copy.clone() });
    let owner = VolumeOwner { volume: volume.clone(), slot: slot.id.clone() };
    let writes = vec![put_slot(next), Write::Put(Record::Volume(owner), Expect::Absent)];
    Some(Transaction::new("note copy", writes))
}

/// Gives the slot its new volumes and its new zone, all in one. What they hold was copied, so they are never formatted. That
/// they exist, and that nobody has attached the old ones meanwhile, is for the caller to see.
pub fn swap(slot: &Slot, pool: &Pool) -> Option<Transaction> {
    let moving = under_way(slot)?;
    let mut volumes = Vec::new();
    for known in &slot.volumes {
        let copy = moving.copies.iter().find(|copy| copy.name == known.name)?;
        let volume = copy.volume.clone()?;
        volumes.push(SlotVolume { volume, origin: Origin::Adopted, ..known.clone() });
    }
    let mut next = slot.clone();
    next.zone = moving.to.clone();
    next.volumes = volumes;
    let left = slot.volumes.iter().map(|volume| volume.volume.clone()).collect();
    next.moving = Some(Move { copies: Vec::new(), left, ..moving.clone() });
    next.reason = format!(
        "it has been moved to {}, and its old volumes still go by its name; to end that: stateful-asg move {}",
        moving.to, slot.id
    );
    let mut writes = vec![
        apart_mark(&next),
        put_slot(next),
        Write::Delete(Key::Apart(slot.place(), slot.id.index)),
    ];
    writes.extend(put_pool(Some(pool), less(pool, &slot.zone)));
    Some(Transaction::new("swap", writes))
}

/// Gives a move up that has not come to its swap: the slot stays where it was, and what was copied is left.
pub fn cancel(slot: &Slot, pool: &Pool) -> Option<Transaction> {
    let moving = under_way(slot)?;
    let left = moving.copies.iter().filter_map(|copy| copy.volume.clone()).collect();
    let mut next = slot.clone();
    next.moving = Some(Move { to: slot.zone.clone(), copies: Vec::new(), left, ..moving.clone() });
    next.reason = format!(
        "its move to {} was given up, and copies still go by its name; to end that: stateful-asg move {}",
        moving.to, slot.id
    );
    let mut writes = vec![apart_mark(&next), put_slot(next)];
    writes.extend(put_pool(Some(pool), less(pool, &moving.to)));
    Some(Transaction::new("cancel move", writes))
}

/// Gives the slot back to its pool. That what is left carries no tag that names the slot is for the caller to see: from its
/// tags a lost table would be rebuilt.
pub fn finish(slot: &Slot) -> Option<Transaction> {
    let moving = slot.moving.as_ref().filter(|moving| moving.copies.is_empty())?;
    let mut free = slot.clone();
    free.state = SlotState::Free;
    free.moving = None;
    free.reason = format!("a move of it has ended in {}", slot.zone);
    let mark = FreeMark { slot: Slot { version: free.version + 1, ..free.clone() } };
    let mut writes = vec![
        put_slot(free),
        Write::Put(Record::Free(mark), Expect::Mark),
        Write::Delete(Key::Apart(slot.place(), slot.id.index)),
    ];
    writes.extend(moving.left.iter().cloned().map(|volume| Write::Delete(Key::Volume(volume))));
    Some(Transaction::new("finish move", writes).waking(slot.place()))
}

/// A move that has copies to make, or to swap.
fn under_way(slot: &Slot) -> Option<&Move> {
    let apart = slot.state == SlotState::Quarantined;
    slot.moving.as_ref().filter(|moving| apart && !moving.copies.is_empty())
}

fn copying<'a>(slot: &'a Slot, name: &VolumeName) -> Option<&'a Copied> {
    under_way(slot)?.copies.iter().find(|copy| copy.name == *name)
}

/// The slot with this copy as far as it has come.
fn with(slot: &Slot, come: Copied) -> Slot {
    let mut next = slot.clone();
    let mut copies = next.moving.iter_mut().flat_map(|moving| &mut moving.copies);
    if let Some(copy) = copies.find(|copy| copy.name == come.name) {
        *copy = come;
    }
    next
}

fn less(pool: &Pool, zone: &Zone) -> Pool {
    let mut shrunk = pool.clone();
    let count = shrunk.slots_per_zone.entry(zone.clone()).or_default();
    *count = count.saturating_sub(1);
    shrunk
}
