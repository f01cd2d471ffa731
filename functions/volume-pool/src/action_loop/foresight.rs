//! What needs no second read of the records after EC2 was looked at, because it proves by itself what that read would show.
//!
//! The order is records, then EC2 and Auto Scaling, then the same records again. What is decided on the records as they were
//! last read or written is carried out at once, in place of the last read, where it is
//! - a transaction that is conditional on the versions of the claim and of its slot: it happens only if they are what was
//!   decided on, which is all that the read would have told;
//! - a pause or a look: they change nothing, and whatever follows them is decided anew.
//!
//! Everything else, above all every call that attaches, detaches, stops, creates or answers, follows upon records that were
//! read or written after EC2 was looked at.

use super::ActionLoop;
use crate::decide::{Effect, Step, decide};
use crate::record::{Phase, Record};
use crate::request::Request;
use crate::time::Timestamp;
use crate::transition::{Expect, Transaction, Write};

impl ActionLoop {
    /// Goes on after EC2 and Auto Scaling were looked at: with the records, unless what is decided does not need them.
    pub(super) fn reread_if_needed(&mut self, now: Timestamp) -> Request {
        if self.needs_no_reread(now) { self.act(now) } else { self.reread() }
    }

    fn needs_no_reread(&mut self, now: Timestamp) -> bool {
        if !self.guarded {
            return false;
        }
        match self.phase() {
            // A launch that joins the queue: what it goes by is its claim, which the guard's transaction has written, and
            // its group's record, which was read before that.
            Phase::Closed => {
                let shown = self.seen.described.group_instance.as_ref().map(|shown| &shown.group);
                let event = self.subject.event.as_ref().map(|event| &event.action.group);
                if shown.is_none() || shown != event || self.seen.candidates.is_some() {
                    return false;
                }
                self.seen.claim.clone_from(&self.claim);
                self.seen.slot = None;
                match self.foreseen(now) {
                    Step::Commit(transaction) => {
                        transaction.name == "enqueue" && self.is_read_by(&transaction)
                    }
                    Step::Look(_) => true,
                    Step::Effect(_) | Step::Poll | Step::Serve(_) | Step::Rest { .. } => false,
                }
            }
            // Its pool's record was read with the same claim and slot.
            Phase::Leased { .. } | Phase::Leaving { .. } => {
                self.records_are_known()
                    && match self.foreseen(now) {
                        // What its group's record says was read for the queue only.
                        Step::Commit(transaction) => {
                            self.is_read_by(&transaction) && !transaction.counts()
                        }
                        Step::Poll | Step::Look(_) => true,
                        Step::Effect(_) | Step::Serve(_) | Step::Rest { .. } => false,
                    }
            }
            // What the zone holds is no condition of a lease or a creation.
            Phase::Waiting { .. } | Phase::Creating { .. } => false,
        }
    }

    /// Whether the next step after an accepted attachment, or after tags, is to set tags: what is in them is the lease's,
    /// so neither EC2 nor the records need be looked at in between.
    pub(super) fn tags_next(&self, done: &Effect, now: Timestamp) -> bool {
        matches!(done, Effect::Attach(..) | Effect::Tag(..))
            && matches!(self.phase(), Phase::Leased { .. })
            && self.records_are_known()
            && matches!(self.foreseen(now), Step::Effect(Effect::Tag(..)))
    }

    /// Whether nothing was written or read of claim and slot since they were last read after EC2.
    fn records_are_known(&self) -> bool {
        self.seen.claim == self.claim && self.seen.slot == self.slot
    }

    /// Whether the transaction happens only if claim and slot are as they are known here.
    fn is_read_by(&self, transaction: &Transaction) -> bool {
        let mut claim = false;
        let mut slot = self.slot.is_none();
        for write in &transaction.writes {
            match write {
                Write::Put(Record::Claim(_), Expect::Version(version)) => {
                    claim = self.claim.as_ref().is_some_and(|known| known.version == *version);
                }
                Write::Put(Record::Slot(put), Expect::Version(version)) => {
                    slot = self
                        .slot
                        .as_ref()
                        .is_some_and(|known| known.id == put.id && known.version == *version);
                }
                Write::Put(..) | Write::Delete(_) => {}
            }
        }
        claim && slot
    }

    fn foreseen(&self, now: Timestamp) -> Step {
        decide(&self.subject, &self.seen, now).step
    }
}
