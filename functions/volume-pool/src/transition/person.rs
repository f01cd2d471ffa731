//! The transitions that a person makes, beside pausing and resuming a pool and setting a free slot apart ([`super::drift`]).
//! Each is conditional on the slot as it was read, so that it can't cut across what an invocation does with it. None of them
//! takes a slot from an instance: that has evidence to wait for, see [`crate::evidence`].

use super::{Expect, Transaction, Write, free_key, put_pool, put_slot};
use crate::record::{Format, FreeMark, Key, Pool, Record, Slot, SlotState};

/// Gives a slot that was set apart back to its pool. That its volumes are detached is for the caller to see. How long its
/// data has lain idle is reckoned from what is on record of its use: rather too long than too short.
pub fn reinstate(slot: &Slot, reason: &str) -> Option<Transaction> {
    if slot.state != SlotState::Quarantined || slot.volumes.is_empty() {
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
