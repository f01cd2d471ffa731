//! The transactions that make the records what they are planned to be. Each is conditional on the pool's record, which all
//! of them write: of two rebuilds at once, the one that is behind can write nothing more.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{InstanceId, PoolName, SlotId};
use crate::record::{
    ApartMark, Claim, ComingMark, FreeMark, HeldMark, Key, KnownMark, OpenMark, Pool, Record, Slot,
    SlotState, VolumeOwner,
};
use crate::time::Timestamp;
use crate::transition::{Expect, MOST_WRITES, Transaction, Write};

use super::plan::Plan;
use super::view::View;

/// Closes the pool: from now on nothing is done by its records until they are rebuilt.
pub(super) fn begin(name: &PoolName, known: Option<&Pool>, now: Timestamp) -> Transaction {
    let mut pool = known.cloned().unwrap_or_else(|| Pool::new(name.clone()));
    pool.rebuilding = Some(now);
    pool.version = now.as_millis().max(pool.version + 1);
    let expect = known.map_or(Expect::Absent, |known| Expect::Version(known.version));
    let mark = Record::Known(KnownMark { pool: name.clone() });
    Transaction::new(
        "begin rebuild",
        vec![Write::Put(Record::Pool(pool), expect), Write::Put(mark, Expect::Mark)],
    )
}

/// What carries out a plan, in order: slots with all that hangs on them, the other claims, the groups, what is left over of
/// the old records, and last the pool's record, which opens it. Nothing where the pool is not being rebuilt.
pub(super) fn transactions(view: &View, plan: &Plan) -> Option<Vec<Transaction>> {
    let closed = view.pool().filter(|pool| pool.rebuilding.is_some())?;
    let mut steps: Vec<(&'static str, BTreeMap<Key, Write>)> =
        parts(view, plan).iter().map(|part| ("rebuild", part.writes(view, plan))).collect();
    for group in &plan.groups {
        let known = view.groups.get(&group.name).map(|group| group.version);
        let write = Write::Put(Record::Group(group.clone()), expected(known));
        steps.push(("rebuild", BTreeMap::from([(Key::Group(group.name.clone()), write)])));
    }
    let mut left = left_over(view, plan);
    while !left.is_empty() {
        let some = left.split_off(left.len().saturating_sub(MOST_WRITES - 1));
        let deletes = some.into_iter().map(|key| (key.clone(), Write::Delete(key)));
        steps.push(("clear", deletes.collect()));
    }
    let mut version = closed.version;
    let mut transactions = Vec::new();
    for (name, writes) in steps {
        let mut writes: Vec<Write> = writes.into_values().collect();
        writes.push(put_pool(closed.clone(), &mut version));
        transactions.push(Transaction::new(name, writes));
    }
    let open = put_pool(plan.pool.clone(), &mut version);
    transactions.push(Transaction::new("open pool", vec![open]));
    Some(transactions)
}

fn put_pool(mut pool: Pool, version: &mut u64) -> Write {
    let expect = Expect::Version(*version);
    *version += 1;
    pool.version = *version;
    Write::Put(Record::Pool(pool), expect)
}

const fn expected(known: Option<u64>) -> Expect {
    match known {
        Some(version) => Expect::Version(version),
        None => Expect::Absent,
    }
}

/// Slots and claims that name each other, before or after: they change together, or a slot would for a moment be held by
/// nobody who knows of it.
#[derive(Debug, Default)]
struct Part {
    slots: BTreeSet<SlotId>,
    claims: BTreeSet<InstanceId>,
}

fn parts(view: &View, plan: &Plan) -> Vec<Part> {
    let old: BTreeMap<&SlotId, &Slot> = view.slots().map(|slot| (&slot.id, slot)).collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut join = |part: Part| {
        let touches = |other: &Part| {
            !other.slots.is_disjoint(&part.slots) || !other.claims.is_disjoint(&part.claims)
        };
        let (joined, apart): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut parts).into_iter().partition(touches);
        parts = apart;
        parts.push(joined.into_iter().fold(part, |mut all, more| {
            all.slots.extend(more.slots);
            all.claims.extend(more.claims);
            all
        }));
    };
    for (id, slot) in &plan.slots {
        let before = old.get(id).copied();
        let claims = [Some(slot), before].into_iter().flatten().filter_map(named);
        let claims = claims.filter(|it| plan.claims.contains_key(*it)).cloned().collect();
        join(Part { slots: BTreeSet::from([id.clone()]), claims });
    }
    for (instance, claim) in &plan.claims {
        let before = view.claims.get(instance);
        let slots = [Some(claim), before].into_iter().flatten().filter_map(Claim::slot);
        let slots = slots.filter(|it| plan.slots.contains_key(*it)).cloned().collect();
        join(Part { slots, claims: BTreeSet::from([instance.clone()]) });
    }
    parts
}

/// The instance that a slot's record names.
const fn named(slot: &Slot) -> Option<&InstanceId> {
    match &slot.state {
        SlotState::Creating { claimant, .. } => Some(claimant),
        SlotState::Free
        | SlotState::Leased { .. }
        | SlotState::Releasing { .. }
        | SlotState::Quarantined
        | SlotState::Retired => slot.holder(),
    }
}

impl Part {
    /// A key is written once at most: what is put goes before what is deleted.
    fn writes(&self, view: &View, plan: &Plan) -> BTreeMap<Key, Write> {
        let mut writes = BTreeMap::new();
        let mut put = |record: Record, expect| {
            writes.insert(record.key(), Write::Put(record, expect));
        };
        let mut old_marks = Vec::new();
        for slot in self.slots.iter().filter_map(|id| plan.slots.get(id)) {
            let known = match view.records.get(&Key::Slot(slot.id.clone())) {
                Some(Record::Slot(known)) => Some(known),
                _ => None,
            };
            old_marks.extend(known.and_then(mark).map(|mark| mark.key()));
            put(Record::Slot(slot.clone()), expected(known.map(|known| known.version)));
            if let Some(mark) = mark(slot) {
                put(mark, Expect::Mark);
            }
            for volume in slot.every_volume() {
                let owner = VolumeOwner { volume: volume.clone(), slot: slot.id.clone() };
                put(Record::Volume(owner), Expect::Mark);
            }
        }
        for claim in self.claims.iter().filter_map(|id| plan.claims.get(id)) {
            let known = view.claims.get(&claim.instance);
            old_marks.extend(known.and_then(waiting_key).filter(|_| claim.queued().is_none()));
            if claim.open {
                put(Record::Open(OpenMark::new(claim, claim.opened_at)), Expect::Mark);
            }
            put(Record::Claim(claim.clone()), expected(known.map(|known| known.version)));
        }
        for key in old_marks {
            writes.entry(key.clone()).or_insert(Write::Delete(key));
        }
        writes
    }
}

/// The mark that stands for a slot in its state.
fn mark(slot: &Slot) -> Option<Record> {
    let (place, id) = (slot.place(), slot.id.clone());
    match &slot.state {
        SlotState::Free => Some(Record::Free(FreeMark { slot: slot.clone() })),
        SlotState::Leased { holder } => Some(Record::Held(HeldMark {
            place,
            slot: id,
            holder: holder.clone(),
            volumes: slot.every_volume().cloned().collect(),
            amiss: false,
        })),
        SlotState::Releasing { holder } => {
            Some(Record::Coming(ComingMark { place, slot: id, holder: holder.clone() }))
        }
        SlotState::Quarantined => {
            let reason = slot.reason.clone();
            Some(Record::Apart(ApartMark { place, slot: id, reason }))
        }
        SlotState::Creating { .. } | SlotState::Retired => None,
    }
}

fn waiting_key(claim: &Claim) -> Option<Key> {
    let (place, since) = claim.queued()?;
    Some(Key::Waiting(place.clone(), since, claim.instance.clone()))
}

/// Marks that stand for nothing, for a backup may have cut a transaction in two ("DynamoDB backups do not guarantee causal
/// consistency across items"); and the rows of volumes that belong to no slot.
fn left_over(view: &View, plan: &Plan) -> Vec<Key> {
    let marks = plan.slots.values().filter_map(mark).map(|mark| mark.key());
    let due: BTreeSet<Key> = marks.chain(plan.claims.values().filter_map(waiting_key)).collect();
    let before: BTreeSet<Key> = view.slots().filter_map(mark).map(|mark| mark.key()).collect();
    let waited: BTreeSet<Key> = view.claims.values().filter_map(waiting_key).collect();
    let known = view.records.keys().filter(|key| !matches!(key, Key::Slot(_) | Key::Pool(_)));
    let lost =
        known.filter(|key| !due.contains(key) && !before.contains(key) && !waited.contains(key));
    lost.cloned().chain(plan.strays.iter().cloned().map(Key::Volume)).collect()
}
