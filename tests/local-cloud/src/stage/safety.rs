//! The safety rules that can be read off the state of things: the records, and the world as it is, whatever its
//! describes show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use volume_pool::Timestamp;
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::record::{Claim, Key, Phase, Record, Slot, SlotState};

use super::{HOOK_PREFIX, Stage, Table};
use crate::leases::MemoryLeases;
use crate::world::{self, AttachmentState, LifecycleState, Origin, Transition, World};

/// The records, by what they are about, each in the order of its name.
pub(super) struct Book<'a> {
    claims: Vec<&'a Claim>,
    slots: Vec<&'a Slot>,
    owners: Vec<(&'a VolumeId, &'a SlotId)>,
    marks: Vec<&'a Record>,
}

impl<'a> Book<'a> {
    pub(super) fn new(records: &mut dyn Iterator<Item = &'a Record>) -> Self {
        let mut book =
            Self { claims: Vec::new(), slots: Vec::new(), owners: Vec::new(), marks: Vec::new() };
        for record in records.filter(|record| says_something(record)) {
            match record {
                Record::Claim(claim) => book.claims.push(claim),
                Record::Slot(slot) => book.slots.push(slot),
                Record::Volume(owner) => book.owners.push((&owner.volume, &owner.slot)),
                Record::Waiting(_)
                | Record::Free(_)
                | Record::Coming(_)
                | Record::Held(_)
                | Record::Apart(_)
                | Record::Open(_) => book.marks.push(record),
                Record::Pool(_) | Record::Group(_) | Record::Known(_) => (),
            }
        }
        // As a rule they come so.
        book.claims.sort_by(|a, b| a.instance.cmp(&b.instance));
        book.slots.sort_by(|a, b| a.id.cmp(&b.id));
        book.owners.sort();
        book
    }

    /// The claims that are not over.
    pub(super) fn claims(&self) -> impl Iterator<Item = &'a Claim> {
        self.claims.iter().copied()
    }

    /// The slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = &'a Slot> {
        self.slots.iter().copied()
    }

    /// The instance's claim, unless it is over.
    pub(super) fn claim(&self, instance: &InstanceId) -> Option<&'a Claim> {
        let found = self.claims.binary_search_by(|claim| claim.instance.cmp(instance)).ok()?;
        Some(self.claims[found])
    }

    /// The slot of that name.
    pub(super) fn slot(&self, id: &SlotId) -> Option<&'a Slot> {
        let found = self.slots.binary_search_by(|slot| slot.id.cmp(id)).ok()?;
        Some(self.slots[found])
    }

    fn owner(&self, volume: &VolumeId) -> Option<&'a SlotId> {
        let found = self.owners.binary_search_by(|(owned, _)| (*owned).cmp(volume)).ok()?;
        Some(self.owners[found].1)
    }
}

impl Stage {
    /// Which safety rules do not hold now, or did not at a call.
    pub fn violations(&mut self) -> Vec<String> {
        let world = self.cloud.world();
        // Attachments that have ended are nobody's any more.
        let lasts =
            |(volume, instance): &(String, String)| world.attachment(volume, instance).is_some();
        self.attached.retain(lasts);
        self.by_people.retain(lasts);
        for group in world.groups() {
            let ours = enrolled(group) && !self.observed.asks(group);
            // Whoever is put into a group from outside comes into service without hooks (`AttachInstances`).
            let others = group.members.values().filter(|it| !ours || it.origin == Origin::Outside);
            for member in others {
                if !self.unenrolled.contains(&member.instance) {
                    self.unenrolled.insert(member.instance.clone());
                }
            }
        }
        let mut broken = self.broken.clone();
        broken.extend(world.violations());
        let live = self.live.of(&self.leases);
        let book = Book::new(&mut live.iter().map(AsRef::as_ref));
        // What the records alone say stays so until they change.
        if self.looked_at != self.live.revision {
            let releasing = |slot: &Slot| matches!(slot.state, SlotState::Releasing { .. });
            let free = |slot: &Slot| slot.state == SlotState::Free;
            book.note_since(&mut self.free_since, world.now(), free);
            book.note_since(&mut self.releasing_since, world.now(), releasing);
            book.note_open(&mut self.open_since, world.now());
            self.contradictory.clear();
            book.contradictions(&mut self.contradictory);
            self.looked_at = self.live.revision;
        }
        broken.extend_from_slice(&self.contradictory);
        book.note_served(&world, &mut self.served);
        book.free_is_detached(&world, &self.by_people, &mut broken);
        if self.table == Table::Whole {
            book.attached_is_held(&world, &self.attached, &mut broken);
            book.served_in_service(&world, (&self.unenrolled, &self.taken), &mut broken);
        }
        broken
    }
}

/// The records that say something, as they are at a revision: the rules look at them at every step, and most steps change
/// none.
#[derive(Debug, Default)]
pub(super) struct Live {
    revision: Option<u64>,
    records: Arc<[Arc<Record>]>,
}

impl Live {
    /// Those of the table as it is now.
    pub(super) fn of(&mut self, leases: &MemoryLeases) -> Arc<[Arc<Record>]> {
        let revision = leases.revision();
        if self.revision != Some(revision) {
            self.records = leases.shared(says_something).into();
            self.revision = Some(revision);
        }
        Arc::clone(&self.records)
    }
}

/// There are many claims that have come to their end, and they say nothing; nor do pools and groups here.
fn says_something(record: &Record) -> bool {
    match record {
        Record::Claim(claim) => !is_over(claim),
        Record::Pool(_) | Record::Group(_) | Record::Known(_) => false,
        Record::Slot(_)
        | Record::Volume(_)
        | Record::Waiting(_)
        | Record::Free(_)
        | Record::Coming(_)
        | Record::Held(_)
        | Record::Apart(_)
        | Record::Open(_) => true,
    }
}

/// What in the records alone breaks a rule.
pub fn contradictions(records: &mut dyn Iterator<Item = &Record>) -> Vec<String> {
    let mut broken = Vec::new();
    Book::new(records).contradictions(&mut broken);
    broken
}

impl Book<'_> {
    /// Notes since when each slot that is so has been so.
    fn note_since(
        &self,
        since: &mut BTreeMap<SlotId, Timestamp>,
        now: Timestamp,
        is_so: impl Fn(&Slot) -> bool,
    ) {
        since.retain(|id, _| self.slot(id).is_some_and(&is_so));
        for slot in self.slots().filter(|slot| is_so(slot)) {
            if !since.contains_key(&slot.id) {
                since.insert(slot.id.clone(), now);
            }
        }
    }

    /// Notes since when each claim with work left has had some.
    fn note_open(&self, since: &mut BTreeMap<InstanceId, Timestamp>, now: Timestamp) {
        since.retain(|id, _| self.claim(id).is_some_and(|claim| claim.open));
        for claim in self.claims().filter(|claim| claim.open) {
            if !since.contains_key(&claim.instance) {
                since.insert(claim.instance.clone(), now);
            }
        }
    }

    /// Notes who is in service with which volumes.
    fn note_served(&self, world: &World, served: &mut BTreeMap<VolumeId, BTreeSet<InstanceId>>) {
        for slot in self.slots() {
            let Some(holder) = slot.holder() else { continue };
            let member = world.member(holder.as_str());
            if member.is_none_or(|(_, member)| member.state != LifecycleState::InService) {
                continue;
            }
            for volume in slot.every_volume() {
                let holders = served.get(volume);
                if !holders.is_some_and(|holders| holders.contains(holder)) {
                    served.entry(volume.clone()).or_default().insert(holder.clone());
                }
            }
        }
    }

    fn contradictions(&self, broken: &mut Vec<String>) {
        self.one_holder_each(broken);
        self.one_slot_each(broken);
        self.marked(broken);
    }

    /// Rule 1: one slot, one holder; one instance, one slot; and both say so, of the same epoch.
    fn one_holder_each(&self, broken: &mut Vec<String>) {
        let mut holders = BTreeSet::new();
        for slot in self.slots() {
            let Some(holder) = slot.holder() else { continue };
            if !holders.insert(holder) {
                broken.push(format!("rule 1: {holder} holds two slots, {} among them", slot.id));
            }
            let held = self.claim(holder).filter(|claim| claim.waits().is_none());
            if held.and_then(|claim| claim.slot()) != Some(&slot.id) {
                let id = &slot.id;
                broken.push(format!("rule 1: {id} is held by {holder}, whose claim differs"));
            }
        }
        for claim in self.claims() {
            let (id, epoch, leaving) = match &claim.phase {
                Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. } => continue,
                Phase::Leased { slot, epoch } => (slot, epoch, false),
                Phase::Leaving { slot, epoch, .. } => (slot, epoch, true),
            };
            let instance = &claim.instance;
            let differs = match self.slot(id) {
                None => "does not exist".to_owned(),
                Some(slot) if slot.epoch != *epoch => format!("is of epoch {}", slot.epoch),
                Some(slot) => match &slot.state {
                    SlotState::Leased { holder } if !leaving && holder == instance => continue,
                    SlotState::Releasing { holder } if leaving && holder == instance => continue,
                    state => format!("is {state:?}"),
                },
            };
            let phase = if leaving { "leaves" } else { "holds" };
            broken
                .push(format!("rule 1: {instance} {phase} {id} of epoch {epoch}, which {differs}"));
        }
    }

    /// A volume belongs to one slot, and its own row says to which.
    fn one_slot_each(&self, broken: &mut Vec<String>) {
        let mut seen: BTreeMap<&VolumeId, &SlotId> = BTreeMap::new();
        for slot in self.slots() {
            for volume in slot.volumes.iter().map(|known| &known.volume) {
                let id = &slot.id;
                if let Some(other) = seen.insert(volume, id) {
                    broken.push(format!("{volume} is part of two slots, {other} and {id}"));
                }
                if self.owner(volume) != Some(id) {
                    broken.push(format!("{volume} is part of {id}, and its own row differs"));
                }
            }
        }
    }

    /// No wake-up is lost: whoever waits, comes free or has work left is found by a mark, and every mark means that.
    fn marked(&self, broken: &mut Vec<String>) {
        let mut due = BTreeSet::new();
        for claim in self.claims() {
            if let Some((place, since)) = claim.queued() {
                due.insert(Key::Waiting(place.clone(), since, claim.instance.clone()));
            }
            if claim.open {
                due.insert(Key::Open(claim.instance.clone()));
            }
        }
        for slot in self.slots() {
            match slot.state {
                SlotState::Free => {
                    due.insert(Key::Free(slot.place(), slot.released_at, slot.id.index));
                }
                SlotState::Releasing { .. } => {
                    due.insert(Key::Coming(slot.place(), slot.id.index));
                }
                SlotState::Leased { .. } => {
                    due.insert(Key::Held(slot.place(), slot.id.index));
                }
                SlotState::Quarantined => {
                    due.insert(Key::Apart(slot.place(), slot.id.index));
                }
                SlotState::Creating { .. } | SlotState::Retired => {}
            }
        }
        let marks: BTreeSet<Key> = self.marks.iter().map(|mark| mark.key()).collect();
        broken.extend(due.difference(&marks).map(|key| format!("marks: {key:?} is missing")));
        broken.extend(marks.difference(&due).map(|key| format!("marks: {key:?} is left over")));
    }

    /// Rule 3: a slot is free only once its volumes are off everyone who held it. What a person puts back there is theirs.
    fn free_is_detached(
        &self,
        world: &World,
        by_people: &BTreeSet<(String, String)>,
        broken: &mut Vec<String>,
    ) {
        for slot in self.slots().filter(|slot| slot.state == SlotState::Free) {
            for volume in slot.volumes.iter().map(|known| &known.volume) {
                for holder in &slot.recent_holders {
                    let (its, on) = (volume.as_str(), holder.as_str());
                    if world.attachment(its, on).is_some()
                        && !by_people.contains(&(its.to_owned(), on.to_owned()))
                    {
                        let id = &slot.id;
                        broken.push(format!(
                            "rule 3: {id} is free, and {volume} is still on {holder}, which held it"
                        ));
                    }
                }
            }
        }
    }

    /// Rule 6: what we attached is held by the instance that it is attached to, or on its way off again. What people
    /// attached is theirs.
    fn attached_is_held(
        &self,
        world: &World,
        ours: &BTreeSet<(String, String)>,
        broken: &mut Vec<String>,
    ) {
        for (volume, instance) in ours {
            let undone = world.attachment(volume, instance).is_none_or(|attachment| {
                matches!(attachment.state, AttachmentState::Detaching | AttachmentState::Busy)
            });
            let held = self
                .slots()
                .filter(|slot| slot.holder().is_some_and(|holder| holder.as_str() == instance))
                .any(|slot| slot.volumes.iter().any(|known| known.volume.as_str() == volume));
            if !undone && !held {
                broken.push(format!(
                    "rule 6: {volume} was attached to {instance}, which does not hold its slot"
                ));
            }
        }
    }

    /// Rule 2: an instance of a group of ours is in service only with its volumes.
    fn served_in_service(
        &self,
        world: &World,
        (unenrolled, taken): (&BTreeSet<String>, &BTreeSet<String>),
        broken: &mut Vec<String>,
    ) {
        for group in world.groups().filter(|group| enrolled(group)) {
            let came_by_its_hooks =
                group.members.values().filter(|member| !unenrolled.contains(&member.instance));
            for member in came_by_its_hooks {
                let running = || {
                    let instance = world.instance(&member.instance);
                    instance.is_ok_and(|it| it.state == world::InstanceState::Running)
                };
                if member.state == LifecycleState::InService
                    && running()
                    && let Some(lacking) = lacking(world, self, &member.instance)
                    && !taken.iter().any(|volume| lacking.contains(volume))
                {
                    broken.push(format!("rule 2: {} is in service {lacking}", member.instance));
                }
            }
        }
    }
}

fn is_over(claim: &Claim) -> bool {
    claim.phase == Phase::Closed && !claim.open && claim.guard.is_none()
}

/// Whether the group has a launch hook of ours.
fn enrolled(group: &world::Group) -> bool {
    group
        .hooks
        .values()
        .any(|hook| hook.name.starts_with(HOOK_PREFIX) && hook.transition == Transition::Launching)
}

/// What an instance lacks to be in service.
pub(super) fn lacking(world: &World, book: &Book<'_>, instance: &str) -> Option<String> {
    let slot = book.slots().find(
        |slot| matches!(&slot.state, SlotState::Leased { holder } if holder.as_str() == instance),
    );
    let Some(slot) = slot else {
        return Some("without a lease".to_owned());
    };
    slot.volumes.iter().find_map(|wanted| {
        let volume = &wanted.volume;
        match world.attachment(volume.as_str(), instance) {
            Some(attachment) if attachment.state != AttachmentState::Attached => {
                Some(format!("with {volume} {}", attachment.state.as_str()))
            }
            Some(attachment) if attachment.delete_on_termination => {
                Some(format!("with {volume} to be deleted with it"))
            }
            Some(_) => None,
            None => Some(format!("without {volume}")),
        }
    })
}
