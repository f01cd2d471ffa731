//! The transitions by which a pool grows. The intent comes first: whoever finds a slot in `creating` knows which volumes
//! were asked for and by which tokens, so a crash at any point leaks none. The zone's count in the pool's record is
//! raised with the intent, which keeps the zone below its maximum whoever creates at the same time.

use super::{
    Expect, Transaction, Write, apart_mark, held_mark, in_lease, moved, put_pool, put_slot,
};
use crate::ids::{SlotId, VolumeId, VolumeName};
use crate::record::{
    Claim, Format, FreeMark, HIGHEST_INDEX, Key, Origin, Phase, Planned, Pool, Record, Slot,
    SlotState, SlotVolume, VolumeOwner, WaitingMark,
};
use crate::time::Timestamp;

/// Announces a slot that is to be created for a waiting claim: counted, named, and on record before anything is asked
/// of EC2. Gives nothing where the zone has `most` slots already.
pub fn intend(
    claim: &Claim,
    pool: Option<&Pool>,
    next_index: u32,
    most: u32,
    planned: Vec<Planned>,
    now: Timestamp,
) -> Option<Transaction> {
    let Phase::Waiting { place, since } = &claim.phase else {
        return None;
    };
    let mut grown = pool.cloned().unwrap_or_else(|| Pool::new(place.pool.clone()));
    let count = grown.slots_per_zone.entry(place.zone.clone()).or_default();
    if *count >= most || planned.is_empty() {
        return None;
    }
    *count += 1;
    let index = grown.next_index.max(next_index);
    if index > HIGHEST_INDEX {
        return None;
    }
    grown.next_index = index + 1;
    let id = SlotId { pool: place.pool.clone(), index };
    let slot = Slot {
        id: id.clone(),
        zone: place.zone.clone(),
        version: 1,
        epoch: 0,
        state: SlotState::Creating { claimant: claim.instance.clone(), planned },
        recent_holders: Vec::new(),
        volumes: Vec::new(),
        format: Format::Over,
        leased_at: None,
        released_at: None,
        moving: None,
        reason: format!("no slot is free in {} and none is coming", place.zone),
    };
    let mut next = claim.clone();
    next.phase = Phase::Creating { place: place.clone(), since: *since, slot: id, queued: true };
    let mut writes = put_pool(pool, grown);
    writes.extend([Write::Put(Record::Slot(slot), Expect::Absent), moved(next, now)]);
    Some(Transaction::new("intend", writes))
}

/// Notes the volume that EC2 has created, or that was found by its slot's tag. From now on the instance gets this slot:
/// what comes free is for those behind it.
pub fn note_volume(
    claim: &Claim,
    slot: &Slot,
    name: &VolumeName,
    volume: &VolumeId,
    now: Timestamp,
) -> Option<Transaction> {
    let mut named = intended(claim, slot)?.clone();
    let planned = planned_mut(&mut named, name)?;
    if planned.volume.is_some() {
        return None;
    }
    planned.volume = Some(volume.clone());
    let owner = VolumeOwner { volume: volume.clone(), slot: slot.id.clone() };
    let mut next = claim.clone();
    if let Phase::Creating { queued, .. } = &mut next.phase {
        *queued = false;
    }
    let writes =
        vec![put_slot(named), moved(next, now), Write::Put(Record::Volume(owner), Expect::Absent)];
    let mut transaction = Transaction::new("note volume", writes);
    if let Some((place, since)) = claim.queued() {
        let mark = Key::Waiting(place.clone(), since, claim.instance.clone());
        transaction.writes.push(Write::Delete(mark));
        transaction = transaction.waking(place.clone());
    }
    Some(transaction)
}

/// Turns to the next attempt at a volume whose creation failed: its token is burned.
pub fn try_again(
    claim: &Claim,
    slot: &Slot,
    name: &VolumeName,
    now: Timestamp,
) -> Option<Transaction> {
    let mut next = intended(claim, slot)?.clone();
    let planned = planned_mut(&mut next, name)?;
    planned.attempt += 1;
    let failed = planned.volume.take();
    let mut writes = vec![put_slot(next), moved(claim.clone(), now)];
    writes.extend(failed.map(|volume| Write::Delete(Key::Volume(volume))));
    Some(Transaction::new("try again", writes))
}

/// Gives the created slot to the claim that it was created for.
pub fn created(claim: &Claim, slot: &Slot, now: Timestamp, reason: &str) -> Option<Transaction> {
    let (leased, next) = in_lease(completed(claim, slot, now)?, claim, now, reason);
    let mut writes = vec![held_mark(&leased, &claim.instance), put_slot(leased), moved(next, now)];
    writes.extend(claim.queued().map(|(place, since)| {
        Write::Delete(Key::Waiting(place.clone(), since, claim.instance.clone()))
    }));
    Some(Transaction::new("created", writes))
}

/// Frees the created slot: the instance that it was created for has no use for it any more, or takes another one.
pub fn spare(
    claim: &Claim,
    slot: &Slot,
    wanted: Wanted,
    now: Timestamp,
    reason: &str,
) -> Option<Transaction> {
    let mut free = completed(claim, slot, now)?;
    free.state = SlotState::Free;
    reason.clone_into(&mut free.reason);
    let mark = FreeMark { slot: Slot { version: free.version + 1, ..free.clone() } };
    let mut writes = back(claim, wanted, now)?;
    writes.extend([put_slot(free), Write::Put(Record::Free(mark), Expect::Mark)]);
    Some(Transaction::new("spare", writes).waking(slot.place()))
}

/// Takes an intent back of which nothing was created. Its name is not used again, unless a volume turns up that was
/// created under it after all: that one is adopted by it.
pub fn cancel(
    claim: &Claim,
    slot: &Slot,
    pool: &Pool,
    wanted: Wanted,
    now: Timestamp,
) -> Option<Transaction> {
    if intended(claim, slot)?.every_volume().next().is_some() {
        return None;
    }
    let mut shrunk = pool.clone();
    let count = shrunk.slots_per_zone.entry(slot.zone.clone()).or_default();
    *count = count.saturating_sub(1);
    let mut writes = back(claim, wanted, now)?;
    writes.extend(put_pool(Some(pool), shrunk));
    // Nobody but the claim's guard writes it, and the claim's version stands for that.
    writes.push(Write::Delete(Key::Slot(slot.id.clone())));
    Some(Transaction::new("cancel", writes).waking(slot.place()))
}

/// Sets a slot apart of which only a part could be created: half a slot is no use to anybody. It goes on counting against
/// the zone's maximum, as every slot that is set apart does: its volumes exist and are paid for, and a creation that fails
/// half-way each time would else leave one more of them behind each time.
pub fn set_apart(
    claim: &Claim,
    slot: &Slot,
    wanted: Wanted,
    now: Timestamp,
    reason: &str,
) -> Option<Transaction> {
    let SlotState::Creating { planned, .. } = &intended(claim, slot)?.state else {
        return None;
    };
    let mut apart = slot.clone();
    apart.volumes = planned.iter().filter_map(|planned| existing(planned, now)).collect();
    if apart.volumes.is_empty() {
        return None;
    }
    apart.state = SlotState::Quarantined;
    reason.clone_into(&mut apart.reason);
    let mut writes = back(claim, wanted, now)?;
    writes.extend([apart_mark(&apart), put_slot(apart)]);
    Some(Transaction::new("set apart", writes).waking(slot.place()))
}

/// The claim back in its place in the queue, or closed.
fn back(claim: &Claim, wanted: Wanted, now: Timestamp) -> Option<Vec<Write>> {
    let (place, since) = claim.waits()?;
    let mut next = claim.clone();
    Some(match wanted {
        Wanted::Still => {
            next.phase = Phase::Waiting { place: place.clone(), since };
            let mark = WaitingMark::new(claim, place.clone(), since);
            vec![moved(next, now), Write::Put(Record::Waiting(mark), Expect::Mark)]
        }
        Wanted::NoMore => {
            next.phase = Phase::Closed;
            let mark = Key::Waiting(place.clone(), since, claim.instance.clone());
            vec![moved(next, now), Write::Delete(mark)]
        }
    })
}

/// Whether an instance still wants a slot when the one that was created for it goes another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It waits on.
    Still,
    /// It is gone, or its launch is over.
    NoMore,
}

/// The slot, if it is the one that is being created for this claim.
pub fn intended<'a>(claim: &Claim, slot: &'a Slot) -> Option<&'a Slot> {
    match (&claim.phase, &slot.state) {
        (Phase::Creating { slot: id, .. }, SlotState::Creating { claimant, .. })
            if *id == slot.id && *claimant == claim.instance =>
        {
            Some(slot)
        }
        _ => None,
    }
}

fn planned_mut<'a>(slot: &'a mut Slot, name: &VolumeName) -> Option<&'a mut Planned> {
    match &mut slot.state {
        SlotState::Creating { planned, .. } => {
            planned.iter_mut().find(|planned| planned.name == *name)
        }
        SlotState::Free
        | SlotState::Leased { .. }
        | SlotState::Releasing { .. }
        | SlotState::Quarantined
        | SlotState::Retired => None,
    }
}

/// The slot with its volumes, once every one of them exists.
fn completed(claim: &Claim, slot: &Slot, now: Timestamp) -> Option<Slot> {
    let SlotState::Creating { planned, .. } = &intended(claim, slot)?.state else {
        return None;
    };
    let mut complete = slot.clone();
    complete.volumes =
        planned.iter().map(|planned| existing(planned, now)).collect::<Option<_>>()?;
    complete.format = Format::Allowed;
    Some(complete)
}

fn existing(planned: &Planned, now: Timestamp) -> Option<SlotVolume> {
    Some(SlotVolume {
        name: planned.name.clone(),
        volume: planned.volume.clone()?,
        device: planned.device.clone(),
        origin: Origin::Created,
        created_at: now,
    })
}
