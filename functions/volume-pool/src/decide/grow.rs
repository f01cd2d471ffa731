//! No slot is free and none is being released: whether one will be, and else whether the pool grows.
//!
//! An empty volume where one with data was about to come back is what this system is there to prevent. So before a
//! volume is created: every holder in the zone is looked at, the intent goes on record, and everything is looked at once
//! more; while EC2 has created nothing, a slot that comes free in the meantime takes the intent's place.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::launch::look;
use super::timeout::wait_is_over;
use super::{
    Alarm, Decision, Effect, Look, Observation, Reason, Step, adopt, choose, commit, complete,
    decision, effect, rest,
};
use crate::effect::Creation;
use crate::event::{Action, ActionResult};
use crate::ids::InstanceId;
use crate::observation::{GroupView, InstanceState, LifecycleState, Volume, VolumeState, tags};
use crate::policy::{OnTimeout, Policy, Template, VolumeSpec, WhenEmpty};
use crate::ports::Refusal;
use crate::record::{Claim, HeldMark, Place, Planned, Slot, SlotState};
use crate::time::Timestamp;
use crate::transition::creation::{self, Wanted};
use crate::zone::ZoneView;

/// A wait for nothing is named after this long: a replacement may be here before the termination that it replaces.
const HOPELESS_AFTER: Duration = Duration::from_mins(1);
/// A created volume that EC2 does not show for this long is gone: one whose key can't be used vanishes without a word.
const VANISHED_AFTER: Duration = Duration::from_mins(1);
/// How long EC2 may take to show, by its tag, a volume whose creation was not answered.
const UNANSWERED_FOR: Duration = Duration::from_mins(2);
/// How many refused creations are tried again at once; reconcile goes on after that.
const REFUSALS: u32 = 3;

/// A claim that waits in the queue of a zone.
#[derive(Clone, Copy)]
pub(super) struct Waiter<'a> {
    pub(super) claim: &'a Claim,
    pub(super) place: &'a Place,
    pub(super) zone: &'a ZoneView,
    pub(super) policy: &'a Policy,
    pub(super) action: &'a Action,
}

/// What follows from the slots that nobody has given back yet.
enum Prospect {
    /// One will come, and is due to the waiter.
    Comes(Reason),
    /// None will.
    None,
    /// More is to be looked at first.
    Look(Box<Decision>),
}

/// Nothing is free for the waiter and nothing is being released for it; `stale` free slots wait for a person's decision.
pub(super) fn decide(
    waiter: Waiter<'_>,
    seen: &Observation,
    now: Timestamp,
    stale: usize,
    mut alarms: Vec<Alarm>,
) -> Decision {
    let Waiter { claim, place, policy, action, .. } = waiter;
    let Some(pool) = &seen.pool else {
        return decision(Step::Look(Look::Pool(place.pool.clone())), Reason::LookAtPool);
    };
    alarms.extend(choose::strangers(pool, place));
    let rest = |reason| rest(true, Some(action.clone()), reason);
    let prospect = prospect(waiter, seen, now);
    let retained = match &prospect {
        Prospect::None => retained(seen),
        Prospect::Look(_) | Prospect::Comes(_) => None,
    };
    let mut decision = match prospect {
        Prospect::Look(decision) => return *decision,
        _ if forced(claim, policy, now) => intend(waiter, seen, pool, now),
        Prospect::Comes(reason) => rest(reason),
        Prospect::None if stale > 0 => rest(Reason::WaitingOnlyStale { count: stale })
            .with_alarm(Some(Alarm::StaleSlots { count: stale })),
        // The event of a replacement may be here before Auto Scaling shows the termination that it replaces.
        Prospect::None if surplus(seen).is_some() && now.since(claim.since) < HOPELESS_AFTER => {
            rest(Reason::WaitingForGroup)
        }
        Prospect::None if policy.when_empty == WhenEmpty::Create => intend(waiter, seen, pool, now),
        Prospect::None => {
            let alarm = (now.since(claim.since) >= HOPELESS_AFTER).then(|| hopeless(seen, place));
            rest(Reason::WaitingNoneFree { zone: place.zone.clone() }).with_alarm(alarm)
        }
    };
    if let (Some(HeldMark { slot, holder, .. }), Step::Rest { .. }) = (retained, &decision.step) {
        let (slot, holder) = (slot.clone(), holder.clone());
        alarms.push(Alarm::RetainedHolder { slot: slot.clone(), holder: holder.clone() });
        decision.reason = Reason::WaitingForRetained { slot, holder };
    }
    alarms.retain(|alarm| !decision.alarms.contains(alarm));
    decision.alarms.extend(alarms);
    decision
}

/// Whether the policy prefers an empty volume by now, although data may come back.
pub(super) fn forced(claim: &Claim, policy: &Policy, now: Timestamp) -> bool {
    policy.on_timeout == OnTimeout::Create && wait_is_over(claim, policy, now)
}

/// A slot is being created for the waiter.
pub(super) fn go_on(waiter: Waiter<'_>, seen: &Observation, now: Timestamp) -> Decision {
    let Waiter { claim, place, zone, policy, action } = waiter;
    let Some((slot, planned)) = under_creation(claim, seen) else {
        return commit(None, Reason::RecordsDisagree);
    };
    let unnamed = planned.iter().find(|planned| planned.volume.is_none());
    let fresh = choose::fresh(policy, zone, now);
    let left = zone.left(now);
    let free = left.iter().any(|slot| fresh.contains(slot));
    let Some(unnamed) = unnamed else {
        if let Some(decision) = not_ready(claim, slot, planned, seen, now) {
            return decision;
        }
        // Data goes before an empty volume, even one that is there already.
        let reason = Reason::Created { slot: slot.id.clone() };
        let why = reason.to_string();
        return if free {
            commit(creation::spare(claim, slot, Wanted::Still, now, &why), reason)
        } else {
            commit(creation::created(claim, slot, now, &why), reason)
        };
    };
    if let Some(volume) = seen.answers.created.get(&unnamed.name) {
        let reason = Reason::NoteVolume { volume: volume.clone() };
        return commit(creation::note_volume(claim, slot, &unnamed.name, volume, now), reason);
    }
    let comes = free
        || !forced(claim, policy, now)
            // What is too old for it is data all the same: a person is to decide on it first.
            && (!left.is_empty()
                || zone.unserved(now) < zone.coming.len()
                || match prospect(waiter, seen, now) {
                    Prospect::Look(decision) => return *decision,
                    Prospect::Comes(_) => true,
                    Prospect::None => false,
                });
    if comes {
        if let Some(decision) = unnoted(claim, slot, unnamed, seen, now) {
            return decision;
        }
        return give_up(claim, slot, zone, Wanted::Still, now);
    }
    match seen.answers.create_refused.get(&unnamed.name) {
        None => create(claim, slot, place, unnamed),
        Some(refusal) => refused(claim, slot, unnamed, refusal, seen, now)
            .unwrap_or_else(|| held_up(action, refusal.to_string())),
    }
}

/// What is done before a set of which a part exists is given up: a volume whose creation was not answered is looked for,
/// and goes on record with the others, else nobody would know it.
fn unnoted(
    claim: &Claim,
    slot: &Slot,
    unnamed: &Planned,
    seen: &Observation,
    now: Timestamp,
) -> Option<Decision> {
    slot.every_volume().next()?;
    let Some(found) = &seen.slot_volumes else {
        let look = Look::SlotVolumes(slot.id.clone());
        return Some(decision(Step::Look(look), Reason::LookForCreated { slot: slot.id.clone() }));
    };
    let volume = &found_as(found, unnamed)?.id;
    let reason = Reason::NoteVolume { volume: volume.clone() };
    Some(commit(creation::note_volume(claim, slot, &unnamed.name, volume, now), reason))
}

/// Gives an intent up: what was created of it, if it is only a part, is set apart for a person to decide on.
fn give_up(
    claim: &Claim,
    slot: &Slot,
    zone: &ZoneView,
    wanted: Wanted,
    now: Timestamp,
) -> Decision {
    let Some(volume) = slot.every_volume().next() else {
        let cancelled =
            zone.pool.as_ref().and_then(|pool| creation::cancel(claim, slot, pool, wanted, now));
        return commit(cancelled, Reason::CancelCreation { slot: slot.id.clone() });
    };
    let problem = "only a part of its slot's volumes was created".to_owned();
    let alarm = Alarm::Quarantined {
        slot: slot.id.clone(),
        volume: volume.clone(),
        problem: problem.clone(),
    };
    let reason = Reason::Quarantine { volume: volume.clone(), problem };
    commit(creation::set_apart(claim, slot, wanted, now, &reason.to_string()), reason)
        .with_alarm(Some(alarm))
}

/// A slot is being created for an instance that does not want it any more: what was created is kept, for others.
/// The action that waits, if one does, is answered first: nothing of it is attached.
pub(super) fn for_nobody(
    seen: &Observation,
    now: Timestamp,
    action: Option<Action>,
    why: Reason,
) -> Decision {
    let Some(claim) = &seen.claim else {
        return commit(None, Reason::RecordsDisagree);
    };
    let (Some((slot, planned)), Some((place, _)), Some(zone)) =
        (under_creation(claim, seen), claim.waits(), &seen.zone)
    else {
        return commit(None, Reason::RecordsDisagree);
    };
    if let Some(action) = action {
        return complete(seen, action, ActionResult::Continue, why);
    }
    let unnamed = planned.iter().find(|planned| planned.volume.is_none());
    let Some(unnamed) = unnamed else {
        if let Some(decision) = not_ready(claim, slot, planned, seen, now) {
            return decision;
        }
        let spare = creation::spare(claim, slot, Wanted::NoMore, now, &why.to_string());
        return commit(spare, why);
    };
    let Some(found) = &seen.slot_volumes else {
        let look = Look::SlotVolumes(slot.id.clone());
        return decision(Step::Look(look), Reason::LookForCreated { slot: slot.id.clone() });
    };
    let answered = seen.answers.created.get(&unnamed.name);
    if let Some(volume) = answered.or(found_as(found, unnamed).map(|found| &found.id)) {
        let reason = Reason::NoteVolume { volume: volume.clone() };
        return commit(creation::note_volume(claim, slot, &unnamed.name, volume, now), reason);
    }
    let some = planned.iter().any(|planned| planned.volume.is_some());
    if some && seen.answers.create_refused.is_empty() {
        return create(claim, slot, place, unnamed);
    }
    if !some && now.since(claim.since) < UNANSWERED_FOR {
        return rest(true, None, Reason::LookForCreated { slot: slot.id.clone() });
    }
    give_up(claim, slot, zone, Wanted::NoMore, now)
}

/// Whether one of the zone's leased slots will come free for the waiter: its holder is leaving, stopped or gone. The same
/// goes for a volume of the pool that no record knows yet.
fn prospect(waiter: Waiter<'_>, seen: &Observation, now: Timestamp) -> Prospect {
    let Waiter { claim, place, zone, .. } = waiter;
    let look = |look| Prospect::Look(Box::new(decision(Step::Look(look), Reason::LookForHolders)));
    let Some(held) = &seen.held else {
        return look(Look::Held(place.clone()));
    };
    let Some(members) = &seen.members else {
        return match seen.described.group_instance.as_ref() {
            Some(shown) => look(Look::Group(shown.group.clone())),
            None => Prospect::Look(Box::new(rest(true, None, Reason::NotInGroup))),
        };
    };
    let slots = held.iter().map(|mark| {
        let (slot, holder) = (mark.slot.clone(), mark.holder.clone());
        (mark.holder.clone(), Reason::WaitingForHolder { slot, holder })
    });
    let strays = seen.pool.iter().flatten().filter_map(|volume| {
        let holder = volume.attachment()?.instance.clone()?;
        // No record releases what a parked instance brought along: it keeps it.
        let parked = shown(seen, &holder)
            .is_some_and(|shown| shown.is_parked() || *shown == LifecycleState::WarmedPendingWait);
        let stray = volume.zone == place.zone && !volume.tags.contains_key(tags::SLOT) && !parked;
        let volume = volume.id.clone();
        stray.then(|| (holder.clone(), Reason::WaitingForVolume { volume, holder }))
    });
    let all: Vec<(InstanceId, Reason)> =
        slots.chain(strays).filter(|(holder, _)| *holder != claim.instance).collect();
    let (known, elsewhere): (Vec<&InstanceId>, Vec<&InstanceId>) =
        all.iter().map(|(holder, _)| holder).partition(|it| members.members.contains_key(*it));
    if !elsewhere.is_empty() && seen.others.is_none() {
        return look(Look::Others(elsewhere.into_iter().cloned().collect()));
    }
    if !known.is_empty() && seen.holders.is_none() {
        return look(Look::Instances(known.into_iter().cloned().collect()));
    }
    let due = zone.unserved(now).saturating_sub(zone.coming.len());
    let mut leaving = all.into_iter().filter(|(holder, _)| leaves(seen, holder));
    leaving.nth(due).map_or(Prospect::None, |(_, reason)| Prospect::Comes(reason))
}

/// Whether a holder will give its slot back without anybody's doing. One that is merely unhealthy will not, until
/// Auto Scaling says so; nor will one that is retained.
fn leaves(seen: &Observation, holder: &InstanceId) -> bool {
    use InstanceState::{ShuttingDown, Stopped, Stopping, Terminated};
    let others = seen.others.as_ref();
    let known = seen.holders.as_ref().and_then(|holders| holders.get(holder));
    let instance = known.or_else(|| others.and_then(|others| others.instances.get(holder)));
    let state = instance.map(|instance| &instance.state);
    match shown(seen, holder) {
        Some(
            LifecycleState::Terminating
            | LifecycleState::TerminatingWait
            | LifecycleState::TerminatingProceed
            | LifecycleState::WarmedPendingWait,
        ) => true,
        // Parked, or on the way there: a slot is no use to it. A person sees to the others, unless they are gone.
        Some(LifecycleState::Other(other)) => {
            other == "Terminated"
                || other.starts_with("Warmed:") && !other.ends_with(":Retained")
                || matches!(state, Some(ShuttingDown | Terminated))
        }
        // EC2 may show it down before its group has noticed.
        Some(_) => matches!(state, Some(Stopping | Stopped | ShuttingDown | Terminated)),
        None => matches!(state, None | Some(Stopping | Stopped | ShuttingDown | Terminated)),
    }
}

/// Where Auto Scaling shows a holder.
fn shown<'a>(seen: &'a Observation, holder: &InstanceId) -> Option<&'a LifecycleState> {
    let members = seen.members.as_ref().and_then(|members| members.members.get(holder));
    let others = || seen.others.as_ref().and_then(|others| others.in_groups.get(holder));
    members.or_else(others).map(|shown| &shown.state)
}

/// A slot of the zone whose holder waits for a person.
fn retained(seen: &Observation) -> Option<&HeldMark> {
    let mut held = seen.held.iter().flatten();
    held.find(|mark| shown(seen, &mark.holder).is_some_and(LifecycleState::is_retained))
}

/// Why a wait can't resolve itself: a group that launches before it terminates waits for its own healthy instance.
fn hopeless(seen: &Observation, place: &Place) -> Alarm {
    let surplus = surplus(seen);
    let holder = surplus.and_then(|group| {
        let held = seen.held.iter().flatten();
        held.map(|mark| &mark.holder).find(|holder| group.members.contains_key(holder))
    });
    match (surplus, holder) {
        (Some(group), Some(holder)) => {
            Alarm::LaunchesFirst { group: group.name.clone(), holder: holder.clone() }
        }
        _ => Alarm::NoSlot { zone: place.zone.clone() },
    }
}

/// The group, if more of its instances launch or serve than it wants: one of them replaces another.
fn surplus(seen: &Observation) -> Option<&GroupView> {
    let staying = |group: &&GroupView| {
        let staying = group.members.values().filter(|member| {
            matches!(
                member.state,
                LifecycleState::Pending
                    | LifecycleState::PendingWait
                    | LifecycleState::PendingProceed
                    | LifecycleState::InService
            )
        });
        u32::try_from(staying.count()).unwrap_or(u32::MAX) > group.desired
    };
    seen.members.as_ref().filter(staying)
}

/// The intent to create a slot; else the wait, and why there can be none.
fn intend(waiter: Waiter<'_>, seen: &Observation, pool: &[Volume], now: Timestamp) -> Decision {
    let Waiter { claim, place, zone, policy, action } = waiter;
    let none = |reason, alarm| rest(true, Some(action.clone()), reason).with_alarm(alarm);
    // The table may be lost: whatever these volumes hold, nothing empty takes their place.
    if let (None, Some(volume)) = (&zone.pool, pool.iter().find(|it| adopt::names_slot(it))) {
        let alarm = Alarm::PoolUnknown { pool: place.pool.clone(), volume: volume.id.clone() };
        return none(Reason::WaitingNoneFree { zone: place.zone.clone() }, Some(alarm));
    }
    let group_size = seen.members.as_ref().map_or(0, |group| group.max_size);
    let most = policy.max_slots_per_zone.unwrap_or(group_size);
    let known = zone.pool.as_ref();
    let count =
        known.and_then(|pool| pool.slots_per_zone.get(&place.zone)).map_or(0, |count| *count);
    if count >= most {
        let alarm = (now.since(claim.since) >= HOPELESS_AFTER).then(|| hopeless(seen, place));
        return none(Reason::WaitingAtMaximum { zone: place.zone.clone(), most }, alarm);
    }
    let mut planned = Vec::new();
    for wanted in &policy.volumes {
        let like = wanted.template.clone().or_else(|| example(policy, wanted, pool));
        let Some(like) = like else {
            let volume = wanted.name.clone();
            return none(
                Reason::WaitingNoneFree { zone: place.zone.clone() },
                Some(Alarm::NothingToCreateFrom { volume }),
            );
        };
        planned.push(Planned {
            name: wanted.name.clone(),
            device: wanted.device.clone(),
            like,
            attempt: 1,
            volume: None,
        });
    }
    let reason = Reason::Grow { zone: place.zone.clone() };
    let next_index = adopt::next_index(pool);
    commit(creation::intend(claim, known, next_index, most, planned, now), reason)
}

/// What the youngest volume of that name in the pool is like, its users' tags included.
fn example(policy: &Policy, wanted: &VolumeSpec, pool: &[Volume]) -> Option<Template> {
    let single = policy.volumes.len() == 1;
    let named = pool.iter().filter(|volume| match volume.tags.get(tags::VOLUME) {
        Some(name) => name == wanted.name.as_str(),
        None => single,
    });
    let youngest = named.max_by_key(|volume| volume.created_at)?;
    let theirs = youngest
        .tags
        .iter()
        .filter(|(key, _)| !key.starts_with("stateful-asg:") && !key.starts_with("aws:"));
    let tags = theirs.map(|(key, value)| (key.clone(), value.clone())).collect();
    let like = youngest.like.clone();
    // EC2 shows these for types as well that they can't be asked for (`CreateVolume`: `Iops`, `Throughput`).
    let takes_iops = matches!(like.volume_type.as_str(), "gp3" | "io1" | "io2");
    let takes_throughput = like.volume_type == "gp3";
    Some(Template {
        tags,
        iops: like.iops.filter(|_| takes_iops),
        throughput: like.throughput.filter(|_| takes_throughput),
        ..like
    })
}

fn under_creation<'a>(claim: &Claim, seen: &'a Observation) -> Option<(&'a Slot, &'a [Planned])> {
    let slot = creation::intended(claim, seen.slot.as_ref()?)?;
    match &slot.state {
        SlotState::Creating { planned, .. } => Some((slot, planned)),
        _ => None,
    }
}

fn create(claim: &Claim, slot: &Slot, place: &Place, planned: &Planned) -> Decision {
    let mut all_tags = planned.like.tags.clone();
    all_tags.extend([
        (tags::POOL.to_owned(), place.pool.to_string()),
        (tags::SLOT.to_owned(), slot.id.to_string()),
        (tags::VOLUME.to_owned(), planned.name.to_string()),
    ]);
    let creation = Creation {
        name: planned.name.clone(),
        zone: place.zone.clone(),
        like: planned.like.clone(),
        tags: all_tags,
        token: token(claim, slot, planned),
    };
    effect(Effect::Create(creation), Reason::Create { slot: slot.id.clone() })
}

/// A client token that this attempt at this volume has for itself, and that any retry of it arrives at. `ClientToken` of
/// `CreateVolume` takes 64 characters.
fn token(claim: &Claim, slot: &Slot, planned: &Planned) -> String {
    let since = claim.waits().map_or(0, |(_, since)| since.as_millis());
    let text =
        format!("{} {} {} {since} {}", slot.id, planned.name, claim.instance, planned.attempt);
    let mut token = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(token, "{byte:02x}");
    }
    token
}

/// What a refused creation leads to: EC2 may have created the volume all the same, in an attempt whose answer was lost.
fn refused(
    claim: &Claim,
    slot: &Slot,
    planned: &Planned,
    refusal: &Refusal,
    seen: &Observation,
    now: Timestamp,
) -> Option<Decision> {
    let Some(found) = &seen.slot_volumes else {
        let look = Look::SlotVolumes(slot.id.clone());
        return Some(decision(Step::Look(look), Reason::LookForCreated { slot: slot.id.clone() }));
    };
    if let Some(volume) = found_as(found, planned) {
        let reason = Reason::NoteVolume { volume: volume.id.clone() };
        return Some(commit(
            creation::note_volume(claim, slot, &planned.name, &volume.id, now),
            reason,
        ));
    }
    (*refusal == Refusal::TokenBurned && seen.answers.creations_refused < REFUSALS)
        .then(|| next_attempt(claim, slot, planned, now))
}

fn next_attempt(claim: &Claim, slot: &Slot, planned: &Planned, now: Timestamp) -> Decision {
    let reason = Reason::CreateAgain { slot: slot.id.clone() };
    commit(creation::try_again(claim, slot, &planned.name, now), reason)
}

fn held_up(action: &Action, problem: String) -> Decision {
    rest(true, Some(action.clone()), Reason::CreationRefused { problem: problem.clone() })
        .with_alarm(Some(Alarm::CreationFailed { problem }))
}

fn found_as<'a>(found: &'a [Volume], planned: &Planned) -> Option<&'a Volume> {
    found.iter().find(|volume| {
        !matches!(volume.state, VolumeState::Other(_))
            && volume.tags.get(tags::VOLUME).map(String::as_str) == Some(planned.name.as_str())
    })
}

/// What is still to be waited for, or tried again, before every volume of the slot can be used.
fn not_ready(
    claim: &Claim,
    slot: &Slot,
    planned: &[Planned],
    seen: &Observation,
    now: Timestamp,
) -> Option<Decision> {
    for planned in planned {
        let volume = planned.volume.as_ref()?;
        let failed = match seen.described.volumes.get(volume).map(|shown| &shown.state) {
            Some(VolumeState::Available | VolumeState::InUse) => continue,
            Some(VolumeState::Other(state)) => Some(format!("{volume} is {state}")),
            None if now.since(claim.since) >= VANISHED_AFTER => Some(format!(
                "{volume} was created and has vanished, as it does when its KMS key can't be used"
            )),
            Some(VolumeState::Creating) | None => None,
        };
        let reason = Reason::CreatingVolume { volume: volume.clone() };
        return Some(match failed {
            None => look(seen, reason),
            Some(problem) => next_attempt(claim, slot, planned, now)
                .with_alarm(Some(Alarm::CreationFailed { problem })),
        });
    }
    None
}
