//! After the faults: within a bounded time every action is answered, everybody is served who can be, every slot is free,
//! leased or set apart with a reason, and nothing has leaked.

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::{Chances, Stage};
use local_cloud::world::{
    DesiredCapacity, GroupChange, InstanceState, LifecycleState, MaintenanceChange, Member,
    VolumeState, WarmPoolChange,
};
use volume_pool::decide::Alarm;
use volume_pool::observation::tags;
use volume_pool::policy::{Mode, Policy, WhenEmpty};
use volume_pool::record::{Phase, Record, Slot, SlotState};

use crate::deeds::{History, agents, dismiss_crowded, enrol};
use crate::setup::{LAUNCH, OTHERS, OTHERS_LAUNCH};

/// How long everything may take to come to rest once nothing goes wrong any more.
const LONG: Duration = Duration::from_hours(6);
/// For how many minutes in a row it is at rest.
const RESTFUL: u32 = 3;

/// Stops the faults, has people mend what only people can, and waits for rest.
pub(crate) fn check(history: &mut History<'_>) -> Result<(), String> {
    history.stage.chances = Chances::default();
    history.undo_all();
    mend(history);
    let begun = history.stage.cloud.world().now();
    let mut restful = 0;
    // Once at rest, it stays so: what comes late or is tried again changes nothing that does not come to rest in turn.
    while restful < RESTFUL {
        if let Some(unrest) = unrest(history.stage) {
            restful = 0;
            let now = history.stage.cloud.world().now();
            if now.since(begun) > LONG {
                let summary = history.stage.summary();
                return Err(format!("liveness: no rest after {LONG:?}: {unrest}\n{summary}"));
            }
            tend(history);
        } else {
            restful += 1;
        }
        history.stage.run_for(Duration::from_mins(1))?;
    }
    match leak(history.stage) {
        Some(leak) => Err(format!("liveness: {leak}\n{}", history.stage.summary())),
        None => Ok(()),
    }
}

/// What people do in the end: hooks are on the groups, nobody launches before it terminates, and the capacity is kept.
fn mend(history: &mut History<'_>) {
    for group in &history.groups {
        let wanted = {
            let mut world = history.stage.cloud.world();
            let change = GroupChange {
                maintenance: Some(MaintenanceChange::Cleared),
                capacity_rebalance: Some(false),
                ..GroupChange::default()
            };
            let _refused = world.update_group(&group.name, change);
            for hook in [OTHERS, OTHERS_LAUNCH] {
                let _refused = world.delete_lifecycle_hook(&group.name, hook);
            }
            let shrunk = WarmPoolChange { min_size: Some(0), ..WarmPoolChange::default() };
            let warm = world.group(&group.name).is_ok_and(|group| group.warm_pool.is_some());
            if warm {
                let _refused = world.put_warm_pool(&group.name, shrunk);
            }
            world.group(&group.name).is_ok_and(|group| group.hooks.contains_key(LAUNCH))
        };
        if !wanted {
            enrol(history.stage, group);
        }
    }
}

/// What people do again and again: instances of nobody's are terminated, so are those that are kept after their
/// termination was abandoned, those that wait for their successor, those that have no room for a volume, those of which
/// they were told that they lie in the warm pool with a slot, and those that came into service without hooks while they were
/// letting go of one.
fn tend(history: &mut History<'_>) {
    let mut rng = history.rng.fork();
    agents(history.stage, &mut rng);
    dismiss_crowded(history.stage);
    let claims = history.stage.claims();
    let leaving: BTreeSet<&str> = claims
        .iter()
        .filter(|claim| matches!(claim.phase, Phase::Leaving { .. }))
        .map(|claim| claim.instance.as_str())
        .collect();
    let alarms = history.stage.reports.iter().flat_map(|report| &report.journal.alarms);
    let told: BTreeSet<String> = alarms
        .filter_map(|alarm| match alarm {
            Alarm::ParkedHolder { holder, .. } => Some(holder.to_string()),
            _ => None,
        })
        .collect();
    let mut world = history.stage.cloud.world();
    let members: BTreeSet<String> =
        world.groups().flat_map(|group| group.members.keys().cloned()).collect();
    let outside: Vec<String> = world
        .instances()
        .filter(|it| !members.contains(&it.id) && it.state != InstanceState::Terminated)
        .map(|it| it.id.clone())
        .collect();
    for instance in outside {
        let _refused = world.terminate_instances(&[instance]);
    }
    let lets_go = |member: &Member| leaving.contains(member.instance.as_str());
    let dismissed: Vec<String> = world
        .groups()
        .flat_map(|group| group.members.values())
        .filter(|it| {
            it.state.is_retained()
                || it.successor != local_cloud::world::Successor::None
                || lets_go(it) && it.state == LifecycleState::InService
                || lets_go(it) && told.contains(&it.instance)
        })
        .map(|it| it.instance.clone())
        .collect();
    for instance in dismissed {
        let _refused = world.terminate_instance_in_group(&instance, DesiredCapacity::Kept);
    }
}

/// What is not at rest, if anything is not.
fn unrest(stage: &Stage) -> Option<String> {
    let (slots, claims) = (stage.slots(), stage.claims());
    let world = stage.cloud.world();
    let mut held = BTreeSet::new();
    for group in world.groups() {
        let policy = group.hooks.get(LAUNCH).map(|hook| Policy::parse(hook.metadata.as_deref()));
        let Some(Ok(policy)) = policy else {
            return Some(format!("{} has no policy", group.name));
        };
        if group.capacity() < usize::try_from(group.desired_capacity).unwrap_or(usize::MAX) {
            return Some(format!("{} has fewer instances than it wants", group.name));
        }
        for member in group.members.values() {
            match member.state {
                LifecycleState::InService
                | LifecycleState::Standby
                | LifecycleState::WarmedStopped
                | LifecycleState::WarmedRunning => {}
                LifecycleState::PendingWait => {
                    // A deploy reaches those who wait already by their claims.
                    let claim = claims.iter().find(|it| it.instance.as_str() == member.instance);
                    let begun = claim.and_then(|claim| claim.policy.as_ref()).unwrap_or(&policy);
                    if !nothing_for(begun, group.max_size, member, &slots) {
                        let reason = claim.map_or("it has no claim", |claim| &claim.reason);
                        return Some(format!("{} is Pending:Wait: {reason}", member.instance));
                    }
                    held.insert(member.instance.clone());
                }
                other => return Some(format!("{} is {}", member.instance, other.as_str())),
            }
        }
    }
    for claim in &claims {
        if claim.open && !held.contains(claim.instance.as_str()) {
            return Some(format!("the claim of {} is open: {}", claim.instance, claim.reason));
        }
        if matches!(claim.phase, Phase::Leaving { .. } | Phase::Creating { .. }) {
            return Some(format!("{} is {:?}", claim.instance, claim.phase));
        }
    }
    for slot in &slots {
        let id = &slot.id;
        match &slot.state {
            SlotState::Free => {
                let unusable = slot.every_volume().find(|it| {
                    world.volume(it.as_str()).is_ok_and(|it| it.state != VolumeState::Available)
                });
                if let Some(volume) = unusable {
                    return Some(format!("{id} is free, and {volume} is not available"));
                }
            }
            SlotState::Leased { holder } => {
                let alive = world.instance(holder.as_str()).is_ok_and(|it| {
                    !matches!(it.state, InstanceState::ShuttingDown | InstanceState::Terminated)
                });
                if !alive {
                    return Some(format!("{id} is held by {holder}, which is gone"));
                }
                let member = world.member(holder.as_str());
                if member.is_some_and(|(_, member)| member.state.is_warmed()) {
                    return Some(format!("{id} is held by {holder}, which is parked"));
                }
            }
            SlotState::Quarantined if !slot.reason.is_empty() => {}
            other => return Some(format!("{id} is {other:?}: {}", slot.reason)),
        }
    }
    None
}

/// Whether a launch waits on purpose: no slot of its zone is free, and none may be created.
fn nothing_for(policy: &Policy, max_size: u32, member: &Member, slots: &[Slot]) -> bool {
    let here: Vec<&Slot> = slots
        .iter()
        .filter(|slot| slot.id.pool == policy.pool && slot.zone.as_str() == member.zone)
        .collect();
    let stale = policy.stale_after_hours.is_some();
    let free = here.iter().any(|slot| slot.state == SlotState::Free);
    let most = usize::try_from(policy.max_slots_per_zone.unwrap_or(max_size)).unwrap_or(usize::MAX);
    let creates = policy.when_empty == WhenEmpty::Create && here.len() < most;
    policy.mode == Mode::Enforce && (!free || stale) && (!creates || free)
}

/// A volume that was created and that nobody will ever find, if there is one: what carries the name of a slot that there
/// is, and is no part of it.
fn leak(stage: &Stage) -> Option<String> {
    let (owned, slots) = stage.leases.view(|records| {
        let (mut volumes, mut slots) = (BTreeSet::new(), BTreeSet::new());
        for record in records {
            match record {
                Record::Volume(owner) => {
                    volumes.insert(owner.volume.to_string());
                }
                Record::Slot(slot) => {
                    slots.insert(slot.id.to_string());
                }
                _ => {}
            }
        }
        (volumes, slots)
    });
    let world = stage.cloud.world();
    let mut lost = world.volumes().filter(|volume| {
        !owned.contains(&volume.id)
            && !stage.taken.contains(&volume.id)
            && volume.tags.get(tags::SLOT).is_some_and(|slot| slots.contains(slot))
    });
    lost.next().map(|volume| format!("{} was created and is part of no slot", volume.id))
}
