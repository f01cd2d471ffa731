//! What must hold at each transaction and each creation when it is made, by what its invocation saw of the queue right
//! before: nobody overtakes, nothing is created where something comes, no zone grows beyond its maximum, and every lease
//! is of a new epoch.

use std::time::Duration;

use volume_pool::policy::OnTimeout;
use volume_pool::record::{Claim, Phase, Record, SlotState};
use volume_pool::request::{Request, Response};
use volume_pool::transition::{Transaction, Write};

use super::Stage;
use super::conduct::Caller;
use super::safety::Book;

/// How a zone's queue looked to a waiter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    /// How many waited before it.
    earlier: usize,
    free: usize,
    coming: usize,
    /// Whether somebody before it takes no slot that is too old.
    choosy: bool,
}

impl Queue {
    /// What the answer shows, if that was a look at a queue: its waiters, and what is free and coming.
    pub(super) fn seen(request: &Request, response: &Response) -> Option<Self> {
        let (Request::Read { keys, lists }, Response::Records(records, shown)) =
            (request, response)
        else {
            return None;
        };
        let (Some(Record::Claim(claim)), 3) = (records.get(keys.first()?), lists.len()) else {
            return None;
        };
        let (me, (_, since)) = (&claim.instance, claim.waits()?);
        let mut queue = Self { earlier: 0, free: 0, coming: 0, choosy: false };
        for record in shown.iter().flatten() {
            match record {
                Record::Waiting(mark) if (mark.since, &mark.instance) < (since, me) => {
                    queue.earlier += 1;
                    queue.choosy |= mark.stale_after_hours.is_some();
                }
                Record::Free(_) => queue.free += 1,
                Record::Coming(_) => queue.coming += 1,
                _ => {}
            }
        }
        Some(queue)
    }

    /// How many waited before it.
    pub(super) fn earlier(self) -> usize {
        self.earlier
    }

    /// Rule 8: no empty volume where a slot is coming for the waiter, unless its policy prefers one after a while, or a
    /// part of the slot exists already.
    pub(super) fn awaits(self, claim: &Claim) -> Option<String> {
        let Phase::Creating { slot, queued: true, .. } = &claim.phase else { return None };
        let policy = claim.policy.as_ref().filter(|it| it.on_timeout != OnTimeout::Create)?;
        (self.coming > self.earlier).then(|| {
            let Self { earlier, coming, .. } = self;
            let (pool, instance) = (&policy.pool, &claim.instance);
            format!("rule 8: a volume of {slot} is created for {instance}: {coming} slots of {pool} are coming, {earlier} waiters before it")
        })
    }
}

impl Stage {
    /// What a transaction breaks, if it is made now.
    pub(super) fn would_break(&mut self, request: &Request, me: &Caller<'_>) -> Vec<String> {
        let Request::Commit(transaction) = request else { return Vec::new() };
        let live = self.live.of(&self.leases);
        let book = Book::new(&mut live.iter().map(AsRef::as_ref));
        let epochs = transaction.writes.iter().filter_map(|write| book.outdates(write));
        let by_name = match transaction.name {
            "lease" => me.queue.and_then(overtakes),
            "intend" => book.exceeds(transaction),
            "release" => self.unproven(transaction, me),
            _ => None,
        };
        epochs.chain(by_name).collect()
    }

    /// Rule 3: a slot is released upon a describe that is younger than the record that says so, and that shows its volumes.
    fn unproven(&self, transaction: &Transaction, me: &Caller<'_>) -> Option<String> {
        let slot = transaction.writes.iter().find_map(|write| match write {
            Write::Put(Record::Slot(slot), _) => Some(slot),
            Write::Put(..) | Write::Delete(_) => None,
        })?;
        let id = &slot.id;
        let Some(described_at) = me.described_at else {
            return Some(format!("rule 3: {id} is released without a look at EC2"));
        };
        if self.releasing_since.get(id).is_some_and(|since| described_at < *since) {
            return Some(format!("rule 3: {id} is released upon what EC2 showed before"));
        }
        let world = self.cloud.world();
        // A volume takes longer than this to be deleted, and until then shows that it is.
        let just_now = world.now().since(described_at) < Duration::from_secs(1)
            && world.config().stale_describe.is_none();
        let mut missing =
            slot.every_volume().filter(|volume| world.volume(volume.as_str()).is_err());
        let volume = missing.next().filter(|_| just_now)?;
        Some(format!("rule 3: {id} is released, and EC2 does not show {volume}"))
    }
}

/// Nobody overtakes: a waiter leases only if it saw more free slots than waiters before it.
fn overtakes(queue: Queue) -> Option<String> {
    let Queue { earlier, free, choosy, .. } = queue;
    (free <= earlier && !choosy)
        .then(|| format!("queue: a slot is leased, {free} free, with {earlier} waiters before"))
}

impl Book<'_> {
    /// Rule 1: a change of owner raises the epoch.
    fn outdates(&self, write: &Write) -> Option<String> {
        let Write::Put(Record::Slot(next), _) = write else { return None };
        let SlotState::Leased { holder } = &next.state else { return None };
        let known = self.slot(&next.id)?;
        (known.holder() != Some(holder) && next.epoch <= known.epoch).then(|| {
            format!("rule 1: {} goes to {holder} under epoch {} again", next.id, next.epoch)
        })
    }

    /// A zone has no more slots than its policy's maximum, once one more is to be created.
    fn exceeds(&self, transaction: &Transaction) -> Option<String> {
        let claim = transaction.writes.iter().find_map(|write| match write {
            Write::Put(Record::Claim(claim), _) => Some(claim),
            Write::Put(..) | Write::Delete(_) => None,
        })?;
        let (place, _) = claim.waits()?;
        let most = usize::try_from(claim.policy.as_ref()?.max_slots_per_zone?).ok()?;
        let there = self.slots().filter(|slot| slot.place() == *place).count();
        (there >= most).then(|| {
            let (instance, zone) = (&claim.instance, &place.zone);
            format!("cap: a slot is created for {instance} in {zone}, which has {there} of {most}")
        })
    }
}
