//! From what is to be seen of a pool, what its records are to be. Pure.
//!
//! Every record gets one number for its version, and slots for their epoch: that of the moment, and above any that is to
//! be seen. So a write that was decided before the records were lost can't succeed against them, and epochs go on rising.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::Transition;
use crate::decide::Alarm;
use crate::ids::{DeviceName, GroupName, InstanceId, PoolName, SlotId, VolumeId, VolumeName};
use crate::lease_tag::LeaseTag;
use crate::observation::{GroupInstance, LifecycleState, Volume, tags};
use crate::policy::Policy;
use crate::record::{self, Claim, Group, HIGHEST_INDEX, Phase, Slot, SlotState};
use crate::time::Timestamp;

use super::judge::{self, Found};
use super::view::View;

/// What the records of a pool are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The slots.
    pub slots: BTreeMap<SlotId, Slot>,
    /// The claims.
    pub claims: BTreeMap<InstanceId, Claim>,
    /// The records of the pool's groups.
    pub groups: Vec<Group>,
    /// The pool's record.
    pub pool: record::Pool,
    /// Volumes of the pool that belong to no slot.
    pub strays: Vec<VolumeId>,
    /// What a person must know of.
    pub findings: BTreeSet<Alarm>,
}

/// The pool as its slots are judged by it.
pub(super) struct Pool<'a> {
    pub(super) name: &'a PoolName,
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    pub(super) number: u64,
    policies: BTreeMap<&'a GroupName, Policy>,
}

/// Plans the pool anew; or says what is not clear yet, and to be looked at again.
pub fn plan(
    name: &PoolName,
    hook_prefix: &str,
    view: &View,
    now: Timestamp,
) -> Result<Plan, String> {
    let guarded = view
        .claims
        .values()
        .find(|claim| claim.guard.as_ref().is_some_and(|guard| now < guard.until));
    if let Some(claim) = guarded {
        return Err(format!("an invocation is at work on {}", claim.instance));
    }
    let pool = Pool {
        name,
        view,
        now,
        number: view.highest_number().max(now.as_millis()) + 1,
        policies: policies(view, hook_prefix),
    };
    let mut findings = BTreeSet::new();
    let mut slots = pool.slots(&mut findings)?;
    one_each(&mut slots, view);
    for slot in slots.values().filter(|slot| slot.state == SlotState::Quarantined) {
        let volume = slot.volumes.first().map(|it| it.volume.clone());
        let named = view.volumes.values().find(|it| slot_of(it, name).as_ref() == Some(&slot.id));
        if let Some(volume) = volume.or_else(|| named.map(|it| it.id.clone())) {
            let (slot, problem) = (slot.id.clone(), slot.reason.clone());
            findings.insert(Alarm::Quarantined { slot, volume, problem });
        }
    }
    let owned: BTreeSet<&VolumeId> = slots.values().flat_map(Slot::every_volume).collect();
    let strays = view.volumes.keys().filter(|id| !owned.contains(id)).cloned().collect();
    let claims = pool.claims(&slots);
    Ok(Plan { claims, groups: pool.groups(), pool: pool.record(&slots), strays, findings, slots })
}

/// The policies that the groups' launch hooks say, or said last.
fn policies<'a>(view: &'a View, hook_prefix: &str) -> BTreeMap<&'a GroupName, Policy> {
    let known = view.hooks.iter().filter_map(|(group, hooks)| {
        let ours = hooks.iter().find(|hook| {
            hook.transition == Transition::Launching && hook.name.as_str().starts_with(hook_prefix)
        });
        let said = ours.and_then(|hook| Policy::parse(hook.metadata.as_deref()).ok());
        let policy = said.or_else(|| Some(view.groups.get(group)?.policy.clone()))?;
        Some((group, policy))
    });
    known.collect()
}

impl Pool<'_> {
    /// The instance's place in its group, if that takes its slots from this pool.
    pub(super) fn ours(&self, instance: &InstanceId) -> Option<&GroupInstance> {
        let shown = self.view.others.in_groups.get(instance)?;
        let ours = match self.policies.get(&shown.group) {
            Some(policy) => policy.pool == *self.name,
            None => self.view.enrolled_in(self.name).any(|group| group.name == shown.group),
        };
        ours.then_some(shown)
    }

    pub(super) fn policy_for(&self, instance: &InstanceId) -> Option<&Policy> {
        self.policies.get(&self.view.others.in_groups.get(instance)?.group)
    }

    /// Where the pool's policies want a volume of that name.
    pub(super) fn device(&self, name: &VolumeName) -> Option<DeviceName> {
        let specs = self.policies.values().filter(|it| it.pool == *self.name);
        let mut named = specs.flat_map(|it| &it.volumes).filter(|spec| spec.name == *name);
        named.next().map(|spec| spec.device.clone())
    }

    /// Whether the slot is being created for a claim that says so too.
    pub(super) fn still_created(&self, slot: &Slot) -> bool {
        let SlotState::Creating { claimant, .. } = &slot.state else {
            return false;
        };
        let claim = self.view.claims.get(claimant);
        claim.is_some_and(
            |claim| matches!(&claim.phase, Phase::Creating { slot: id, .. } if *id == slot.id),
        )
    }

    fn slots(&self, findings: &mut BTreeSet<Alarm>) -> Result<BTreeMap<SlotId, Slot>, String> {
        let old: BTreeMap<&SlotId, &Slot> = self.view.slots().map(|it| (&it.id, it)).collect();
        let recorded: BTreeMap<&VolumeId, &SlotId> = old
            .values()
            .flat_map(|slot| slot.every_volume().map(|volume| (volume, &slot.id)))
            .collect();
        let mut claimants: BTreeMap<SlotId, Vec<&Volume>> = BTreeMap::new();
        for volume in self.view.volumes.values() {
            let known = recorded.get(&volume.id).map(|id| (*id).clone());
            if let Some(id) = known.or_else(|| slot_of(volume, self.name)) {
                claimants.entry(id).or_default().push(volume);
            }
        }
        for id in old.keys() {
            claimants.entry((*id).clone()).or_default();
        }
        let mut slots = BTreeMap::new();
        for (id, volumes) in claimants {
            match judge::slot(self, &id, old.get(&id).copied(), &volumes, findings) {
                Found::Slot(slot) => {
                    slots.insert(id, *slot);
                }
                Found::NeverLeased => {}
                Found::Unclear(problem) => return Err(problem),
            }
        }
        Ok(slots)
    }

    /// The claims of holders name what they hold; nobody else's names a slot of this pool. All others keep what they say
    /// under the new number, so that nothing written before can pass for them.
    fn claims(&self, slots: &BTreeMap<SlotId, Slot>) -> BTreeMap<InstanceId, Claim> {
        let held: BTreeMap<&InstanceId, &Slot> =
            slots.values().filter_map(|slot| Some((slot.holder()?, slot))).collect();
        let members = self.view.enrolled_in(self.name).flat_map(|group| group.members.keys());
        let instances: BTreeSet<&InstanceId> =
            self.view.claims.keys().chain(held.keys().copied()).chain(members).collect();
        let planned = instances.into_iter().map(|instance| {
            let known = self.view.claims.get(instance);
            let fresh = Claim { since: self.now, ..Claim::new(instance.clone()) };
            let mut claim = known.cloned().unwrap_or(fresh);
            claim.guard = None;
            match held.get(instance) {
                Some(slot) => self.hold(&mut claim, slot),
                None if self.is_void(&claim, slots) => self.settle(&mut claim, Phase::Closed),
                None => {}
            }
            claim.version = self.number;
            (instance.clone(), claim)
        });
        planned.collect()
    }

    fn hold(&self, claim: &mut Claim, slot: &Slot) {
        let (id, epoch) = (slot.id.clone(), slot.epoch);
        let leaving = matches!(slot.state, SlotState::Releasing { .. });
        let shown = self.view.others.in_groups.get(&claim.instance).map(|shown| &shown.state);
        let waits = matches!(
            shown,
            Some(
                LifecycleState::Pending
                    | LifecycleState::PendingWait
                    | LifecycleState::WarmedPendingWait
                    | LifecycleState::Terminating
                    | LifecycleState::TerminatingWait
            )
        );
        if !claim.open && (leaving || waits) {
            claim.open = true;
            claim.opened_at = self.now;
        }
        claim.last_slot = Some(id.clone());
        if claim.policy.is_none() {
            claim.policy = self.policy_for(&claim.instance).cloned();
        }
        let phase = if leaving {
            Phase::Leaving { slot: id, epoch, since: self.now }
        } else {
            Phase::Leased { slot: id, epoch }
        };
        self.settle(claim, phase);
    }

    fn settle(&self, claim: &mut Claim, phase: Phase) {
        claim.phase = phase;
        claim.since = self.now;
        "rebuilt from tags and attachments".clone_into(&mut claim.reason);
    }

    /// Whether a claim names a slot of the pool that is not its own.
    fn is_void(&self, claim: &Claim, slots: &BTreeMap<SlotId, Slot>) -> bool {
        let Some(id) = claim.slot().filter(|id| id.pool == *self.name) else {
            return false;
        };
        let creating = slots.get(id).is_some_and(|slot| {
            matches!(&slot.state, SlotState::Creating { claimant, .. } if *claimant == claim.instance)
        });
        !(creating && matches!(claim.phase, Phase::Creating { .. }))
    }

    fn groups(&self) -> Vec<Group> {
        let ours = self.policies.iter().filter(|(_, policy)| policy.pool == *self.name);
        let records = ours.map(|(name, policy)| {
            let fresh = Group::new((*name).clone(), policy.clone());
            let known = self.view.groups.get(*name).cloned().unwrap_or(fresh);
            Group { version: self.number, ..known }
        });
        records.collect()
    }

    /// The pool's record once all is done. No index is given out that a volume goes by.
    fn record(&self, slots: &BTreeMap<SlotId, Slot>) -> record::Pool {
        let known = self.view.pool().cloned();
        let mut pool = known.unwrap_or_else(|| record::Pool::new(self.name.clone()));
        let named = self.view.volumes.values().filter_map(|it| slot_of(it, self.name));
        let highest = named.map(|id| id.index).chain(slots.keys().map(|id| id.index)).max();
        pool.next_index = pool.next_index.max(highest.map_or(0, |highest| highest + 1));
        pool.slots_per_zone.clear();
        for slot in slots.values().filter(|slot| slot.state != SlotState::Retired) {
            *pool.slots_per_zone.entry(slot.zone.clone()).or_default() += 1;
            // One that is being copied counts in both zones.
            let to = slot.moving.as_ref().filter(|moving| !moving.copies.is_empty());
            if let Some(to) = to.map(|moving| moving.to.clone()) {
                *pool.slots_per_zone.entry(to).or_default() += 1;
            }
        }
        pool.rebuilding = None;
        pool
    }
}

/// One instance, one slot: of several that an instance seems to hold, the one that it was leased with is its own.
fn one_each(slots: &mut BTreeMap<SlotId, Slot>, view: &View) {
    let mut by_holder: BTreeMap<InstanceId, Vec<SlotId>> = BTreeMap::new();
    for slot in slots.values() {
        if let Some(holder) = slot.holder() {
            by_holder.entry(holder.clone()).or_default().push(slot.id.clone());
        }
    }
    for (holder, ids) in by_holder.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let leased = |id: &&SlotId| {
            let volumes = slots.get(id).into_iter().flat_map(|slot| &slot.volumes);
            let mut shown = volumes.filter_map(|it| view.volumes.get(&it.volume));
            shown.any(|volume| {
                volume.attachment().and_then(|it| it.instance.as_ref()) == Some(&holder)
                    && LeaseTag::of(volume).is_some_and(|lease| lease.holder == holder)
            })
        };
        let own: Vec<&SlotId> = ids.iter().filter(leased).collect();
        let own = match own.as_slice() {
            [one] => Some((*one).clone()),
            _ => None,
        };
        for id in ids.iter().filter(|id| Some(*id) != own.as_ref()) {
            if let Some(slot) = slots.get_mut(id) {
                slot.state = SlotState::Quarantined;
                slot.reason =
                    format!("set apart, rebuilt from tags: {holder} has volumes of several slots");
            }
        }
    }
}

/// The slot of this pool that the volume's tag names.
fn slot_of(volume: &Volume, pool: &PoolName) -> Option<SlotId> {
    let id: SlotId = volume.tags.get(tags::SLOT)?.parse().ok()?;
    (id.pool == *pool && id.index <= HIGHEST_INDEX).then_some(id)
}
