//! The transition by which an instance that runs already gets the slot that its volumes make, whole: slot, volumes' rows,
//! pool and claim, or nothing of it.

use super::{Adoption, Expect, Transaction, Write, adopted, held_mark, in_lease, moved, put_pool};
use crate::ids::SlotId;
use crate::policy::Policy;
use crate::record::{Claim, HIGHEST_INDEX, Phase, Place, Pool, Record, VolumeOwner};
use crate::time::Timestamp;

/// Leases to an instance, whose claim is closed, the slot that the volumes on it make. The slot's name is that of the
/// adoption, or the pool's next.
pub fn enrol(
    claim: &Claim,
    policy: &Policy,
    place: &Place,
    (pool, next_index): (Option<&Pool>, u32),
    adoption: &Adoption,
    now: Timestamp,
    reason: &str,
) -> Option<Transaction> {
    if claim.phase != Phase::Closed || adoption.volumes.is_empty() {
        return None;
    }
    let mut next = pool.cloned().unwrap_or_else(|| Pool::new(place.pool.clone()));
    next.next_index = next.next_index.max(next_index);
    let id = match &adoption.tagged {
        Some(id) => id.clone(),
        None => SlotId { pool: place.pool.clone(), index: next.next_index },
    };
    if id.index > HIGHEST_INDEX {
        return None;
    }
    next.next_index = next.next_index.max(id.index + 1);
    *next.slots_per_zone.entry(place.zone.clone()).or_default() += 1;
    let (slot, mut leased) = in_lease(adopted(id, &place.zone, adoption), claim, now, reason);
    leased.policy = Some(policy.clone());
    let mut writes = put_pool(pool, next);
    writes.extend(slot.volumes.iter().map(|volume| {
        let owner = VolumeOwner { volume: volume.volume.clone(), slot: slot.id.clone() };
        Write::Put(Record::Volume(owner), Expect::Absent)
    }));
    writes.push(held_mark(&slot, &claim.instance));
    writes.extend([Write::Put(Record::Slot(slot), Expect::Absent), moved(leased, now)]);
    Some(Transaction::new("enrol", writes))
}
