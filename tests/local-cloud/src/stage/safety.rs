//! The safety rules that can be read off the state of things: the records, and the world as it is, whatever its
//! describes show.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::Timestamp;
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::record::{Claim, Key, Phase, Record, Slot, SlotState};

use super::{HOOK_PREFIX, Stage, Table};
use crate::world::{self, AttachmentState, LifecycleState, Origin, Transition, World};

/// The records, by what they are about.
pub(super) struct Book<'a> {
    pub(super) claims: BTreeMap<&'a InstanceId, &'a Claim>,
    pub(super) slots: BTreeMap<&'a SlotId, &'a Slot>,
    owners: BTreeMap<&'a VolumeId, &'a SlotId>,
    marks: BTreeSet<Key>,
}

impl<'a> Book<'a> {
    pub(super) fn new(records: &mut dyn Iterator<Item = &'a Record>) -> Self {
        let mut book = Self {
            claims: BTreeMap::new(),
            slots: BTreeMap::new(),
            owners: BTreeMap::new(),
            marks: BTreeSet::new(),
        };
        for record in records {
            match record {
                // There are many that have come to their end, and they say nothing.
                Record::Claim(claim) if is_over(claim) => {}
                Record::Claim(claim) => {
                    book.claims.insert(&claim.instance, claim);
                }
                Record::Slot(slot) => {
                    book.slots.insert(&slot.id, slot);
                }
                Record::Volume(owner) => {
                    book.owners.insert(&owner.volume, &owner.slot);
                }
                Record::Waiting(_)
                | Record::Free(_)
                | Record::Coming(_)
                | Record::Held(_)
                | Record::Apart(_)
                | Record::Open(_) => {
                    book.marks.insert(record.key());
                }
                Record::Pool(_) | Record::Group(_) | Record::Known(_) => (),
            }
        }
        book
    }
}

impl Stage {
    /// Which safety rules do not hold now, or did not at a call.
    pub fn violations(&mut self) -> Vec<String> {
        let world = self.cloud.world();
        // Attachments that have ended are nobody's any more.
        self.attached.retain(|(volume, instance)| world.attachment(volume, instance).is_some());
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
        self.leases.view(|records| {
            let book = Book::new(records);
            book.note_free(&mut self.free_since, world.now());
            book.note_open(&mut self.open_since, world.now());
            book.note_served(&world, &mut self.served);
            book.contradictions(&mut broken);
            book.free_is_detached(&world, &mut broken);
            if self.table == Table::Whole {
                book.attached_is_held(&world, &self.attached, &mut broken);
                book.served_in_service(&world, (&self.unenrolled, &self.taken), &mut broken);
            }
        });
        broken
    }
}

/// What in the records alone breaks a rule.
pub fn contradictions(records: &mut dyn Iterator<Item = &Record>) -> Vec<String> {
    let mut broken = Vec::new();
    Book::new(records).contradictions(&mut broken);
    broken
}

impl Book<'_> {
    /// Notes since when each free slot has been free.
    fn note_free(&self, since: &mut BTreeMap<SlotId, Timestamp>, now: Timestamp) {
        let free = |id: &SlotId| self.slots.get(id).is_some_and(|it| it.state == SlotState::Free);
        since.retain(|id, _| free(id));
        for id in self.slots.keys().filter(|id| free(id)) {
            if !since.contains_key(*id) {
                since.insert((*id).clone(), now);
            }
        }
    }

    /// Notes since when each claim with work left has had some.
    fn note_open(&self, since: &mut BTreeMap<InstanceId, Timestamp>, now: Timestamp) {
        since.retain(|id, _| self.claims.get(id).is_some_and(|claim| claim.open));
        for (id, _) in self.claims.iter().filter(|(_, claim)| claim.open) {
            if !since.contains_key(*id) {
                since.insert((*id).clone(), now);
            }
        }
    }

    /// Notes who is in service with which volumes.
    fn note_served(&self, world: &World, served: &mut BTreeMap<VolumeId, BTreeSet<InstanceId>>) {
        let members = world.groups().flat_map(|group| group.members.values());
        let in_service: BTreeSet<&str> = members
            .filter(|member| member.state == LifecycleState::InService)
            .map(|member| member.instance.as_str())
            .collect();
        for slot in self.slots.values() {
            let holder = slot.holder().filter(|holder| in_service.contains(holder.as_str()));
            for (volume, holder) in slot.every_volume().filter_map(|it| Some((it, holder?))) {
                served.entry(volume.clone()).or_default().insert(holder.clone());
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
        for slot in self.slots.values() {
            let Some(holder) = slot.holder() else { continue };
            if !holders.insert(holder) {
                broken.push(format!("rule 1: {holder} holds two slots, {} among them", slot.id));
            }
            let held = self.claims.get(holder).filter(|claim| claim.waits().is_none());
            if held.and_then(|claim| claim.slot()) != Some(&slot.id) {
                let id = &slot.id;
                broken.push(format!("rule 1: {id} is held by {holder}, whose claim differs"));
            }
        }
        for claim in self.claims.values() {
            let (id, epoch, leaving) = match &claim.phase {
                Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. } => continue,
                Phase::Leased { slot, epoch } => (slot, epoch, false),
                Phase::Leaving { slot, epoch, .. } => (slot, epoch, true),
            };
            let instance = &claim.instance;
            let differs = match self.slots.get(id) {
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
        for slot in self.slots.values() {
            for volume in slot.volumes.iter().map(|known| &known.volume) {
                let id = &slot.id;
                if let Some(other) = seen.insert(volume, id) {
                    broken.push(format!("{volume} is part of two slots, {other} and {id}"));
                }
                if self.owners.get(volume) != Some(&id) {
                    broken.push(format!("{volume} is part of {id}, and its own row differs"));
                }
            }
        }
    }

    /// No wake-up is lost: whoever waits, comes free or has work left is found by a mark, and every mark means that.
    fn marked(&self, broken: &mut Vec<String>) {
        let mut due = BTreeSet::new();
        for claim in self.claims.values() {
            if let Some((place, since)) = claim.queued() {
                due.insert(Key::Waiting(place.clone(), since, claim.instance.clone()));
            }
            if claim.open {
                due.insert(Key::Open(claim.instance.clone()));
            }
        }
        for slot in self.slots.values() {
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
        broken.extend(due.difference(&self.marks).map(|key| format!("marks: {key:?} is missing")));
        broken
            .extend(self.marks.difference(&due).map(|key| format!("marks: {key:?} is left over")));
    }

    /// Rule 3: a slot is free only once its volumes are off everyone who held it.
    fn free_is_detached(&self, world: &World, broken: &mut Vec<String>) {
        for slot in self.slots.values().filter(|slot| slot.state == SlotState::Free) {
            for volume in slot.volumes.iter().map(|known| &known.volume) {
                for holder in &slot.recent_holders {
                    if world.attachment(volume.as_str(), holder.as_str()).is_some() {
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
                .slots
                .values()
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
                let running = world
                    .instance(&member.instance)
                    .is_ok_and(|instance| instance.state == world::InstanceState::Running);
                if member.state == LifecycleState::InService
                    && running
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
    let slot = book.slots.values().find(
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
