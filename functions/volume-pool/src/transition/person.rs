//! The transitions that a person makes, beside pausing and resuming a pool and setting a free slot apart ([`super::drift`]).
//! Each is conditional on the slot as it was read, so that it can't cut across what an invocation does with it. None of them
//! takes a slot from an instance: that has evidence to wait for, see [`crate::evidence`].

use super::{Expect, Transaction, Write, free_key, holds, put_claim, put_pool, put_slot};
use crate::action::Transition;
use crate::record::{Claim, Format, FreeMark, Key, Origin, Phase, Pool, Record, Slot, SlotState};
use crate::time::Timestamp;

/// Gives a slot that was set apart back to its pool. That its volumes are detached is for the caller to see. How long its
/// data has lain idle is reckoned from what is on record of its use: rather too long than too short.
pub fn reinstate(slot: &Slot, reason: &str) -> Option<Transaction> {
    if slot.state != SlotState::Quarantined || slot.volumes.is_empty() || slot.moving.is_some() {
        return None;
    }
    let mut free = slot.clone();
    free.state = SlotState::Free;
    free.format = Format::Over;
    free.released_at = slot.released_at.max(slot.leased_at);
    reason.clone_into(&mut free.reason);
    let mark = FreeMark { slot: Slot { version: free.version + 1, ..free.clone() } };
    let writes = vec![
        put_slot(free),
        Write::Put(Record::Free(mark), Expect::Mark),
        Write::Delete(Key::Apart(slot.place(), slot.id.index)),
    ];
    Some(Transaction::new("reinstate", writes).waking(slot.place()))
}

/// Takes a slot that nobody holds out of the pool for good. Its index is not used again, its volumes stay as they are and are
/// not adopted, and its zone has room for one slot more.
pub fn retire(slot: &Slot, pool: &Pool, reason: &str) -> Option<Transaction> {
    if slot.moving.is_some() {
        return None;
    }
    let mark = match &slot.state {
        SlotState::Free => free_key(slot),
        SlotState::Quarantined => Key::Apart(slot.place(), slot.id.index),
        SlotState::Leased { .. }
        | SlotState::Releasing { .. }
        | SlotState::Creating { .. }
        | SlotState::Retired => return None,
    };
    let mut retired = slot.clone();
    retired.state = SlotState::Retired;
    reason.clone_into(&mut retired.reason);
    let mut shrunk = pool.clone();
    let count = shrunk.slots_per_zone.entry(slot.zone.clone()).or_default();
    *count = count.saturating_sub(1);
    let mut writes = vec![put_slot(retired), Write::Delete(mark)];
    writes.extend(put_pool(Some(pool), shrunk));
    Some(Transaction::new("retire", writes).waking(slot.place()))
}

/// Allows the next launch with a slot to format it, if it reads blank there: the right as it was when its volumes were
/// created. For a slot that nobody holds, and that has a volume which was created blank: no other is ever formatted.
pub fn allow_format(slot: &Slot, reason: &str) -> Option<Transaction> {
    if slot.state != SlotState::Free {
        return None;
    }
    let allowed = Slot { reason: reason.to_owned(), ..allowed(slot)? };
    let mark = FreeMark { slot: Slot { version: allowed.version + 1, ..allowed.clone() } };
    let writes = vec![put_slot(allowed), Write::Put(Record::Free(mark), Expect::Mark)];
    Some(Transaction::new("allow format", writes))
}

/// The same for a slot whose holder has not completed its launch. A launch is completed under the claim's guard, and taking
/// that is a write of the claim: so there must be none at `now`, and the claim is written along. That Auto Scaling still
/// shows the launch waiting, after the claim was read, is for the caller to see: its answer may not be on record.
pub fn allow_format_to(claim: &Claim, slot: &Slot, now: Timestamp) -> Option<Transaction> {
    let launching = claim.action.as_ref().is_some_and(|action| {
        action.transition == Transition::Launching
            && claim.answered.is_none()
            && claim.given_up.is_none()
    });
    let guarded = claim.guard.as_ref().is_some_and(|guard| now < guard.until);
    if !matches!(claim.phase, Phase::Leased { .. }) || !holds(claim, slot) || !launching || guarded
    {
        return None;
    }
    let writes = vec![put_slot(allowed(slot)?), put_claim(claim.clone())];
    Some(Transaction::new("allow format", writes))
}

fn allowed(slot: &Slot) -> Option<Slot> {
    let blank = slot.volumes.iter().any(|volume| volume.origin == Origin::Created);
    (blank && slot.format == Format::Over).then(|| Slot { format: Format::Allowed, ..slot.clone() })
}
