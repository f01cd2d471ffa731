//! The transitions that put on record what people did to a slot's volumes. None of them gives a slot to anyone.

use super::{Expect, Transaction, Write, apart_mark, free_key, held, holds, put_slot};
use crate::record::{Claim, Format, HeldMark, Phase, Record, Slot, SlotState};

/// Sets a free slot apart for a person to look at. No claim is involved, so the condition on the slot is all it takes.
pub fn set_apart(slot: &Slot, reason: &str) -> Option<Transaction> {
    if slot.state != SlotState::Free {
        return None;
    }
    let mut apart = slot.clone();
    apart.state = SlotState::Quarantined;
    apart.format = Format::Over;
    reason.clone_into(&mut apart.reason);
    let writes = vec![apart_mark(&apart), put_slot(apart), Write::Delete(free_key(slot))];
    Some(Transaction::new("set apart", writes))
}

/// Puts on record how a leased slot is, and on its mark whether something is amiss. The lease stays as it is.
pub fn note(claim: &Claim, slot: &Slot, state: Whole, reason: &str) -> Option<Transaction> {
    if !matches!(&claim.phase, Phase::Leased { .. }) || !holds(claim, slot) {
        return None;
    }
    let mut noted = slot.clone();
    reason.clone_into(&mut noted.reason);
    let mark = HeldMark { amiss: state == Whole::Amiss, ..held(slot, &claim.instance) };
    Some(Transaction::new(
        "note",
        vec![put_slot(noted), Write::Put(Record::Held(mark), Expect::Mark)],
    ))
}

/// Whether the volumes of a leased slot are as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// They are.
    Whole,
    /// One of them is not.
    Amiss,
}
