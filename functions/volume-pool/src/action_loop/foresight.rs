//! What needs no second read of the records after EC2 was looked at, because it proves by itself what that read would show.
//!
//! The order is records, then EC2 and Auto Scaling, then the same records again. What is decided on the records as they were
//! last read or written is carried out at once, in place of the last read, where it is
//! - a transaction that is conditional on the versions of the claim and of its slot: it happens only if they are what was
//!   decided on, which is all that the read would have told;
//! - a pause or a look, which change nothing, and whatever follows them is decided anew; or tags, which say what the claim
//!   and its slot say and which nobody decides by.
//!
//! And what follows upon such a transaction may follow at once, since it has just read claim and slot:
//! - once a slot is leased, the attachment, if its volumes were looked at along with the lease;
//! - once its release has begun, what leaving asks for, by the look that the release was begun upon. The release itself is
//!   none of that: its evidence is looked for anew.
//!
//! Everything else, above all every other call that attaches, detaches, stops, creates or answers, follows upon records that
//! were read after EC2 was looked at.

use super::ActionLoop;
use crate::decide::{Effect, Step, decide};
use crate::observation::Described;
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
            Phase::Closed if self.seen.candidates.is_some() => false,
            // A launch that joins the queue: what it goes by is its claim, which the guard's transaction has written, and
            // its group's record, which was read before that.
            Phase::Closed => {
                let shown = self.seen.described.group_instance.as_ref().map(|shown| &shown.group);
                let event = self.subject.event.as_ref().map(|event| &event.action.group);
                let group_is_known = shown.is_some() && shown == event;
                match self.foreseen(now) {
                    Step::Commit(transaction) => {
                        group_is_known
                            && transaction.name == "enqueue"
                            && self.is_read_by(&transaction)
                    }
                    Step::Look(_) => group_is_known,
                    Step::Effect(effect) => matches!(effect, Effect::Tag(..)),
                    Step::Poll | Step::Serve(_) | Step::Rest { .. } => false,
                }
            }
            // Its pool's record was read with the slot.
            Phase::Leased { .. } | Phase::Leaving { .. } => match self.foreseen(now) {
                // What its group's record says was read for the queue only.
                Step::Commit(transaction) => {
                    self.slot.is_some() && self.is_read_by(&transaction) && !transaction.counts()
                }
                Step::Poll | Step::Look(_) => self.slot.is_some(),
                Step::Effect(_) | Step::Serve(_) | Step::Rest { .. } => false,
            },
            // What the zone holds is no condition of a lease or a creation.
            Phase::Waiting { .. } | Phase::Creating { .. } => false,
        }
    }

    /// Goes on after its slot was leased and the volumes looked at along with that.
    pub(super) fn leased(&mut self, described: Described, now: Timestamp) -> Request {
        self.seen.answers.contradicted_by(&described);
        self.seen.described = described;
        match self.foreseen(now) {
            Step::Effect(Effect::Attach(..)) | Step::Poll => self.act(now),
            _ => self.reread(),
        }
    }

    /// Goes on after the release of its slot has begun.
    pub(super) fn release_begun(&mut self, now: Timestamp) -> Request {
        match self.foreseen(now) {
            Step::Look(_)
            | Step::Effect(Effect::Stop | Effect::Detach(_) | Effect::Complete(..)) => {
                self.act(now)
            }
            _ => self.describe(),
        }
    }

    /// Whether the next step after an accepted attachment, or after tags, is to set tags: neither EC2 nor the records need
    /// be looked at in between.
    pub(super) fn tags_next(&mut self, done: &Effect, now: Timestamp) -> bool {
        matches!(done, Effect::Attach(..) | Effect::Tag(..))
            && matches!(self.phase(), Phase::Leased { .. } | Phase::Closed)
            && matches!(self.foreseen(now), Step::Effect(Effect::Tag(..)))
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

    /// The step that is decided on claim and slot as they were last read or written.
    fn foreseen(&mut self, now: Timestamp) -> Step {
        self.seen.claim.clone_from(&self.claim);
        self.seen.slot.clone_from(&self.slot);
        decide(&self.subject, &self.seen, now).step
    }
}
