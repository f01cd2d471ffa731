//! The transitions of claims and slots: each the one transaction in which ownership or intent changes, with every
//! condition it needs. A condition on a version is a condition on all that was read with it: state, holder, epoch and
//! guard; so each transition takes the records as they were read, and refuses to be built from a record in another
//! state by giving nothing. Those by which a pool grows are in [`creation`].

pub mod command;
pub mod creation;
pub mod drift;
pub mod enrolment;
pub mod moving;
pub mod person;

use std::collections::BTreeMap;

use crate::action::{Action, ActionResult, GiveUp, Transition};
use crate::ids::{DeviceName, InstanceId, InvocationId, SlotId, VolumeId, VolumeName, Zone};
use crate::policy::Policy;
use crate::record::{
    ApartMark, Claim, ComingMark, Format, FreeMark, Group, Guard, HIGHEST_INDEX, HeldMark, Key,
    KnownMark, OpenMark, Origin, Phase, Place, Pool, Record, Slot, SlotState, SlotVolume,
    VolumeOwner, WaitingMark,
};
use crate::time::Timestamp;

/// Writes that happen all together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    /// What it does, in one word of the protocol.
    pub name: &'static str,
    /// The writes; each key at most once.
    pub writes: Vec<Write>,
    /// Where a slot came free or a waiter left the queue by it: the waiters there are to be served.
    pub wakes: Option<Place>,
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "a transaction holds a handful of them, for a moment"
)]
pub enum Write {
    /// Puts the record, if its key is as expected.
    Put(Record, Expect),
    /// Deletes what stands at the key, if anything does.
    Delete(Key),
}

/// What must hold at a key for the whole transaction to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Nothing stands there.
    Absent,
    /// The record has this version.
    Version(u64),
    /// The claim has this version, and nobody has asked its guard to look again.
    Unpoked(u64),
    /// Anything: a mark, which the records of the same transaction answer for.
    Mark,
}

/// A set of volumes to make a slot of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Adoption {
    /// The slot that their tags name; the pool's next where they name none.
    pub tagged: Option<SlotId>,
    /// When their slot was last released, by their tags.
    pub released_at: Option<Timestamp>,
    /// The volumes.
    pub volumes: Vec<(VolumeName, VolumeId, DeviceName, Timestamp)>,
}

/// DynamoDB takes this many items in one transaction (`TransactWriteItems`).
pub const MOST_WRITES: usize = 100;

impl Transaction {
    pub(crate) fn new(name: &'static str, writes: Vec<Write>) -> Self {
        Self { name, writes, wakes: None }
    }

    /// The volumes that it releases, and when.
    pub fn released(&self) -> BTreeMap<VolumeId, Timestamp> {
        let slots = self.writes.iter().filter_map(|write| match write {
            Write::Put(Record::Slot(slot), Expect::Version(_)) if slot.state == SlotState::Free => {
                Some(slot)
            }
            Write::Put(..) | Write::Delete(_) => None,
        });
        slots
            .flat_map(|slot| {
                slot.volumes
                    .iter()
                    .filter_map(|volume| Some((volume.volume.clone(), slot.released_at?)))
            })
            .collect()
    }

    /// How many slots it makes of volumes.
    pub fn adopted(&self) -> usize {
        let new = |write: &&Write| matches!(write, Write::Put(Record::Slot(_), Expect::Absent));
        self.writes.iter().filter(new).count()
    }

    /// Whether it counts something in a group's record.
    pub(crate) fn counts(&self) -> bool {
        let group = |write: &Write| matches!(write, Write::Put(Record::Group(_), _));
        self.writes.iter().any(group)
    }

    /// The slot that it leases to a waiter, as it is then.
    pub(crate) fn leases(&self) -> Option<&Slot> {
        self.writes.iter().find_map(|write| match write {
            Write::Put(Record::Slot(slot), _) if self.name == "lease" => Some(slot),
            Write::Put(..) | Write::Delete(_) => None,
        })
    }

    pub(crate) fn waking(mut self, place: Place) -> Self {
        self.wakes = Some(place);
        self
    }
}

/// Takes the guard of an instance, with the action that the event brought where no other is open, or where it began after
/// that.
pub fn guard(
    claim: Option<&Claim>,
    fresh: Claim,
    guard: Guard,
    action: Option<&Action>,
    now: Timestamp,
) -> Transaction {
    let mut next = claim.cloned().unwrap_or(fresh);
    let known = next.action.as_ref();
    let news = action
        .filter(|action| known.is_none_or(|known| known != *action && !known.began_after(action)));
    if !next.open || news.is_some() {
        next.opened_at = now;
        if next.phase == Phase::Closed {
            next.since = now;
        }
    }
    // The action of an event that may be late does not replace one that still waits for its answer.
    let over = |action: &Action| {
        next.answered.is_some() || known.is_none_or(|known| action.began_after(known))
    };
    if let Some(action) = news.filter(|action| over(action)) {
        next.take_up(action, now);
    }
    next.guard = Some(guard);
    next.open = true;
    let mark = Record::Open(OpenMark::new(&next, now));
    let write = if claim.is_some() {
        put_claim(next)
    } else {
        next.version = 1;
        Write::Put(Record::Claim(next), Expect::Absent)
    };
    Transaction::new("guard", vec![write, Write::Put(mark, Expect::Mark)])
}

/// Gives the guard up, unless someone asked for another look. A claim whose work is done loses its open mark.
pub fn rest(claim: &Claim, rest: &Rest) -> Transaction {
    let mut next = claim.clone();
    next.guard = None;
    next.reason.clone_from(&rest.reason);
    if let Some((action, result)) = &rest.answered {
        // The launch's answer is no news for a claim that has gone on to its termination.
        let superseded = action.transition == Transition::Launching
            && next
                .action
                .as_ref()
                .is_some_and(|known| known.transition == Transition::Terminating);
        if !superseded {
            // Kept apart from the guard, which begins the work anew: whoever finds the instance waiting again must be able to
            // tell that this answer was long ago.
            next.action_at = Some(claim.began(action));
            next.action = Some(action.clone());
            next.answered = Some(*result);
        }
    }
    next.open = rest.work_left;
    let expected = Expect::Unpoked(next.version);
    next.version += 1;
    let mut writes = vec![Write::Put(Record::Claim(next), expected)];
    if !rest.work_left {
        writes.push(Write::Delete(Key::Open(claim.instance.clone())));
    }
    Transaction::new("rest", writes)
}

/// How a claim is left at the end of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rest {
    /// Why nothing more is done now.
    pub reason: String,
    /// The answer that Auto Scaling took in this invocation.
    pub answered: Option<(Action, ActionResult)>,
    /// Whether reconcile must come back to it.
    pub work_left: bool,
}

/// Puts a claim into the queue of its zone, with the policy it goes by and the group's, where that is new.
pub fn enqueue(
    claim: &Claim,
    place: Place,
    action: Option<&Action>,
    policy: &Policy,
    group: Option<(Group, Expect)>,
    now: Timestamp,
) -> Option<Transaction> {
    if claim.phase != Phase::Closed {
        return None;
    }
    let mut next = claim.clone();
    next.phase = Phase::Waiting { place: place.clone(), since: now };
    next.policy = Some(policy.clone());
    if let Some(action) = action {
        next.take_up(action, now);
    }
    let mark = WaitingMark::new(&next, place, now);
    let mut writes = vec![moved(next, now), Write::Put(Record::Waiting(mark), Expect::Mark)];
    if let Some((group, expect)) = group {
        writes.push(Write::Put(Record::Group(group), expect));
    }
    Some(Transaction::new("enqueue", writes))
}

/// Leases a free slot to a waiting claim. The condition on the claim is what keeps an instance from holding two.
pub fn lease(claim: &Claim, slot: &Slot, now: Timestamp, reason: &str) -> Option<Transaction> {
    let Phase::Waiting { place, since } = &claim.phase else {
        return None;
    };
    if slot.state != SlotState::Free {
        return None;
    }
    let (leased, next) = in_lease(slot.clone(), claim, now, reason);
    Some(Transaction::new(
        "lease",
        vec![
            put_slot(leased),
            moved(next, now),
            Write::Delete(Key::Waiting(place.clone(), *since, claim.instance.clone())),
            Write::Delete(free_key(slot)),
            held_mark(slot, &claim.instance),
        ],
    ))
}

/// Records another device name for a volume of a leased slot, before it is attached there.
pub fn change_device(
    claim: &Claim,
    slot: &Slot,
    volume: &VolumeId,
    device: DeviceName,
) -> Option<Transaction> {
    if !matches!(&claim.phase, Phase::Leased { .. }) || !holds(claim, slot) {
        return None;
    }
    let mut next = slot.clone();
    next.volumes.iter_mut().find(|known| known.volume == *volume)?.device = device;
    Some(Transaction::new("change device", vec![put_slot(next)]))
}

/// Puts on record that the first launch with a slot that was created blank is about to be completed: with its release the
/// right to format it ends. Before the launch is answered, so that no crash leaves the right to a later holder.
pub fn first_launch(claim: &Claim, slot: &Slot) -> Option<Transaction> {
    let leased = matches!(&claim.phase, Phase::Leased { .. }) && holds(claim, slot);
    if !leased || slot.format != Format::Allowed {
        return None;
    }
    let next = Slot { format: Format::AllowedUntilReleased, ..slot.clone() };
    Some(Transaction::new("first launch", vec![put_slot(next)]))
}

/// Whether the launch on record certainly waited for our answer and did not get it to go on. One that was found without its
/// event may have begun before our hook was there: then others let the instance into service, and nobody can tell
/// afterwards what it wrote.
fn waited_for_us(claim: &Claim) -> bool {
    let launch = claim.action.as_ref().filter(|it| it.transition == Transition::Launching);
    launch.is_some_and(|action| action.token.is_some())
        && claim.answered != Some(ActionResult::Continue)
}

/// Begins the release of a leased slot: it is coming free, and never goes back to leased.
pub fn begin_release(
    claim: &Claim,
    slot: &Slot,
    action: Option<&Action>,
    now: Timestamp,
    reason: &str,
) -> Option<Transaction> {
    let Phase::Leased { slot: id, epoch } = &claim.phase else {
        return None;
    };
    if !holds(claim, slot) {
        return None;
    }
    let mut releasing = slot.clone();
    releasing.state = SlotState::Releasing { holder: claim.instance.clone() };
    if releasing.format == Format::Allowed && !waited_for_us(claim) {
        releasing.format = Format::AllowedUntilReleased;
    }
    reason.clone_into(&mut releasing.reason);
    let mut next = claim.clone();
    next.phase = Phase::Leaving { slot: id.clone(), epoch: *epoch, since: now };
    // What an earlier release has left there is no word on this one.
    next.command = None;
    if let Some(action) = action.filter(|action| next.action.as_ref() != Some(*action)) {
        next.take_up(action, now);
    }
    let mark = ComingMark { place: slot.place(), slot: id.clone(), holder: claim.instance.clone() };
    Some(Transaction::new(
        "begin release",
        vec![
            put_slot(releasing),
            moved(next, now),
            Write::Delete(held_key(slot)),
            Write::Put(Record::Coming(mark), Expect::Mark),
        ],
    ))
}

/// Frees a slot whose volumes are shown to be detached. The evidence is the caller's: see [`crate::evidence`].
pub fn release(claim: &Claim, slot: &Slot, now: Timestamp, reason: &str) -> Option<Transaction> {
    let Phase::Leaving { .. } = &claim.phase else {
        return None;
    };
    if !holds(claim, slot) {
        return None;
    }
    let mut free = slot.clone();
    free.state = SlotState::Free;
    free.released_at = Some(now);
    // A launch that was never completed leaves the right to the next: it may have ended before anything was formatted.
    if free.format == Format::AllowedUntilReleased {
        free.format = Format::Over;
    }
    reason.clone_into(&mut free.reason);
    let mut next = claim.clone();
    next.phase = Phase::Closed;
    let place = slot.place();
    let mut writes = vec![
        put_slot(free.clone()),
        moved(next, now),
        Write::Delete(Key::Coming(place.clone(), slot.id.index)),
    ];
    free.version += 1;
    writes.push(Write::Put(Record::Free(FreeMark { slot: free }), Expect::Mark));
    Some(Transaction::new("release", writes).waking(place))
}

/// Sets a slot apart for a person to look at. A holder that still launches goes to the end of its zone's
/// queue; one that leaves is closed.
pub fn quarantine(claim: &Claim, slot: &Slot, now: Timestamp, reason: &str) -> Option<Transaction> {
    if !holds(claim, slot) {
        return None;
    }
    let mut apart = slot.clone();
    apart.state = SlotState::Quarantined;
    apart.format = Format::Over;
    reason.clone_into(&mut apart.reason);
    let mut next = claim.clone();
    let mut writes = Vec::new();
    match &claim.phase {
        Phase::Leased { .. } => {
            let (place, since) = (slot.place(), now);
            next.phase = Phase::Waiting { place: place.clone(), since };
            let mark = WaitingMark::new(claim, place, since);
            writes.push(Write::Put(Record::Waiting(mark), Expect::Mark));
            writes.push(Write::Delete(held_key(slot)));
        }
        Phase::Leaving { .. } => {
            next.phase = Phase::Closed;
            writes.push(Write::Delete(Key::Coming(slot.place(), slot.id.index)));
        }
        Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. } => return None,
    }
    writes.extend([apart_mark(&apart), put_slot(apart), moved(next, now)]);
    Some(Transaction::new("quarantine", writes))
}

/// Takes a waiting claim out of the queue: its instance is past waiting, or gone.
pub fn close(claim: &Claim, now: Timestamp) -> Option<Transaction> {
    let Phase::Waiting { place, since } = &claim.phase else {
        return None;
    };
    let mut next = claim.clone();
    next.phase = Phase::Closed;
    let mark = Key::Waiting(place.clone(), *since, claim.instance.clone());
    Some(
        Transaction::new("close", vec![moved(next, now), Write::Delete(mark)])
            .waking(place.clone()),
    )
}

/// Puts on record that a launch is given up, before it is answered ABANDON: it leaves the queue, and what it holds begins
/// to be released, and its group's record counts it, all in the same transaction.
pub fn give_up(
    claim: &Claim,
    slot: Option<&Slot>,
    (action, why): (&Action, GiveUp),
    group: Option<(Group, Expect)>,
    now: Timestamp,
    reason: &str,
) -> Option<Transaction> {
    let mut transaction = match &claim.phase {
        Phase::Waiting { .. } => close(claim, now)?,
        Phase::Leased { .. } => begin_release(claim, slot?, None, now, reason)?,
        // What is being created for it is seen to after the answer.
        Phase::Closed | Phase::Creating { .. } | Phase::Leaving { .. } => {
            Transaction::new("give up", vec![put_claim(claim.clone())])
        }
    };
    for write in &mut transaction.writes {
        if let Write::Put(Record::Claim(next), _) = write {
            // An earlier action of the instance may still be on record: it is not what this answer is for.
            if !next.action.as_ref().is_some_and(|known| known.may_be(action)) {
                next.take_up(action, now);
            }
            next.given_up = Some(why);
        }
    }
    if let Some((group, expect)) = group {
        transaction.writes.push(Write::Put(Record::Group(group), expect));
    }
    Some(transaction)
}

/// Counts the launches that are given up in a zone from zero again: one has succeeded.
pub fn count_anew(group: &Group, zone: &Zone) -> Option<Transaction> {
    let mut next = group.clone();
    next.abandons.remove(zone)?;
    next.version += 1;
    let write = Write::Put(Record::Group(next), Expect::Version(group.version));
    Some(Transaction::new("count anew", vec![write]))
}

/// Makes slots of volumes that no record knows. The pool's version keeps two adopters from choosing the same names,
/// and the volume's own row keeps one volume from getting into two slots. New names begin at `next_index`, if that is
/// above the pool's own. Takes as many as fit into one transaction; gives nothing where none does.
pub fn adopt(
    pool: Option<&Pool>,
    place: &Place,
    next_index: u32,
    adoptions: &[Adoption],
) -> Option<Transaction> {
    let mut next = pool.cloned().unwrap_or_else(|| Pool::new(place.pool.clone()));
    let mut writes = Vec::new();
    next.next_index = next.next_index.max(next_index);
    for adoption in adoptions {
        // A slot, its free mark and each volume's row; and the pool's record, with its mark where it is new.
        let pools = if pool.is_some() { 1 } else { 2 };
        if writes.len() + adoption.volumes.len() + 2 + pools > MOST_WRITES {
            break;
        }
        let id = match &adoption.tagged {
            Some(id) => id.clone(),
            None => SlotId { pool: place.pool.clone(), index: next.next_index },
        };
        if id.index > HIGHEST_INDEX {
            break;
        }
        next.next_index = next.next_index.max(id.index + 1);
        *next.slots_per_zone.entry(place.zone.clone()).or_default() += 1;
        let slot = adopted(id, &place.zone, adoption);
        for volume in &slot.volumes {
            let owner = VolumeOwner { volume: volume.volume.clone(), slot: slot.id.clone() };
            writes.push(Write::Put(Record::Volume(owner), Expect::Absent));
        }
        writes.push(Write::Put(Record::Free(FreeMark { slot: slot.clone() }), Expect::Mark));
        writes.push(Write::Put(Record::Slot(slot), Expect::Absent));
    }
    if writes.is_empty() {
        return None;
    }
    writes.extend(put_pool(pool, next));
    Some(Transaction::new("adopt", writes).waking(place.clone()))
}

/// Pauses a pool: whoever reads its record from now on hands nothing of it out. A lease that was decided before may still
/// be made, until the functions of that moment have ended: it is not conditional on this record, else all launches of a
/// pool would contend for it.
pub fn pause(pool: &Pool) -> Option<Transaction> {
    (!pool.paused).then(|| Transaction::new("pause", set_paused(pool, true)))
}

/// Resumes a pool that is paused. Its waiters are served by whoever comes to them next.
pub fn resume(pool: &Pool) -> Option<Transaction> {
    pool.paused.then(|| Transaction::new("resume", set_paused(pool, false)))
}

fn set_paused(pool: &Pool, paused: bool) -> Vec<Write> {
    put_pool(Some(pool), Pool { paused, ..pool.clone() })
}

fn adopted(id: SlotId, zone: &Zone, adoption: &Adoption) -> Slot {
    let volumes = adoption.volumes.iter().map(|(name, volume, device, created_at)| SlotVolume {
        name: name.clone(),
        volume: volume.clone(),
        device: device.clone(),
        origin: Origin::Adopted,
        created_at: *created_at,
    });
    Slot {
        id,
        zone: zone.clone(),
        version: 1,
        epoch: 0,
        state: SlotState::Free,
        recent_holders: Vec::new(),
        volumes: volumes.collect(),
        format: Format::Over,
        leased_at: None,
        released_at: adoption.released_at,
        moving: None,
        reason: "adopted: its volumes carry the pool's tag".to_owned(),
    }
}

/// The slot and the claim once the one holds the other, under the slot's next epoch.
pub(crate) fn in_lease(
    mut slot: Slot,
    claim: &Claim,
    now: Timestamp,
    reason: &str,
) -> (Slot, Claim) {
    slot.epoch += 1;
    slot.state = SlotState::Leased { holder: claim.instance.clone() };
    slot.remember_holder(&claim.instance);
    slot.leased_at = Some(now);
    reason.clone_into(&mut slot.reason);
    let mut holder = claim.clone();
    holder.phase = Phase::Leased { slot: slot.id.clone(), epoch: slot.epoch };
    holder.last_slot = Some(slot.id.clone());
    (slot, holder)
}

/// Whether the claim and the slot name each other, under the same epoch.
pub fn holds(claim: &Claim, slot: &Slot) -> bool {
    match (&claim.phase, &slot.state) {
        (Phase::Leased { slot: id, epoch }, SlotState::Leased { holder })
        | (Phase::Leaving { slot: id, epoch, .. }, SlotState::Releasing { holder }) => {
            *id == slot.id && *epoch == slot.epoch && *holder == claim.instance
        }
        _ => false,
    }
}

/// Whether the claim's guard is `me`.
pub fn guarded_by(claim: &Claim, me: &InvocationId) -> bool {
    claim.guard.as_ref().is_some_and(|guard| guard.invocation == *me)
}

/// The pool's record; and its mark, where it is new.
pub(crate) fn put_pool(known: Option<&Pool>, mut next: Pool) -> Vec<Write> {
    next.version += 1;
    if let Some(pool) = known {
        return vec![Write::Put(Record::Pool(next), Expect::Version(pool.version))];
    }
    let mark = Record::Known(KnownMark { pool: next.name.clone() });
    vec![Write::Put(Record::Pool(next), Expect::Absent), Write::Put(mark, Expect::Mark)]
}

pub(crate) fn held_mark(slot: &Slot, holder: &InstanceId) -> Write {
    Write::Put(Record::Held(held(slot, holder)), Expect::Mark)
}

fn held(slot: &Slot, holder: &InstanceId) -> HeldMark {
    HeldMark {
        place: slot.place(),
        slot: slot.id.clone(),
        holder: holder.clone(),
        volumes: slot.volumes.iter().map(|volume| volume.volume.clone()).collect(),
        amiss: false,
    }
}

/// The mark of a slot that is set apart for what its reason says.
pub(crate) fn apart_mark(slot: &Slot) -> Write {
    let mark =
        ApartMark { place: slot.place(), slot: slot.id.clone(), reason: slot.reason.clone() };
    Write::Put(Record::Apart(mark), Expect::Mark)
}

fn held_key(slot: &Slot) -> Key {
    Key::Held(slot.place(), slot.id.index)
}

fn free_key(slot: &Slot) -> Key {
    Key::Free(slot.place(), slot.released_at, slot.id.index)
}

pub(crate) fn moved(mut next: Claim, now: Timestamp) -> Write {
    next.since = now;
    put_claim(next)
}

pub(crate) fn put_claim(mut next: Claim) -> Write {
    let expected = Expect::Version(next.version);
    next.version += 1;
    Write::Put(Record::Claim(next), expected)
}

pub(crate) fn put_slot(mut next: Slot) -> Write {
    let expected = Expect::Version(next.version);
    next.version += 1;
    Write::Put(Record::Slot(next), expected)
}
