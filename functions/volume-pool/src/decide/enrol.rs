//! An instance that did its work with volumes of the pool before its group was enrolled: those become the slot that it
//! holds, without a moment's interruption.
//!
//! Safety: only what EC2 shows attached to this very instance, which Auto Scaling shows in service under a hook of ours,
//! and what no record knows. Names are given out as for any adoption: after a look at the whole pool.

use std::collections::BTreeSet;

use super::{
    Alarm, Decision, Look, Observation, PolicyView, Reason, Step, Subject, adopt, commit, decision,
    hold, launch_policy, rest,
};
use crate::drift::TWICE;
use crate::ids::{DeviceName, InstanceId, SlotId, VolumeName};
use crate::observation::{Attachment, AttachmentState, Volume, tags};
use crate::policy::{Mode, Policy, VolumeSpec};
use crate::record::{Claim, HIGHEST_INDEX, Place};
use crate::sweep::{Found, at_work};
use crate::time::Timestamp;
use crate::transition::Adoption;
use crate::transition::enrolment;
use crate::zone::Candidates;

/// What is to be done for an instance that reconcile found so; nothing where it is none.
pub(super) fn decide(subject: &Subject, seen: &Observation, now: Timestamp) -> Option<Decision> {
    let shown = seen.described.group_instance.as_ref()?;
    let instance = seen.described.instance.as_ref()?;
    if subject.found != Some(Found::NotEnrolled) || !at_work(&shown.state) {
        return None;
    }
    let (policy, alarm) = match launch_policy(subject, seen)? {
        PolicyView::Known(policy, alarm) => (policy, alarm),
        PolicyView::Look(decision) => return Some(decision),
        PolicyView::Faulty(error) => {
            let instead = "its instances in service are not enrolled".to_owned();
            return Some(
                rest(false, None, Reason::NotEnrolled)
                    .with_alarm(Some(Alarm::PolicyFault { error, instead })),
            );
        }
    };
    if policy.mode == Mode::Observe {
        return Some(rest(false, None, Reason::WouldEnrol).with_alarm(alarm));
    }
    let (Some(pool), Some(candidates)) = (&seen.pool, &seen.candidates) else {
        let look = Step::Look(Look::Pool(policy.pool.clone()));
        return Some(decision(look, Reason::LookAtPool));
    };
    let unknown: Vec<(&Volume, DeviceName)> = candidates
        .volumes
        .iter()
        .filter(|volume| !candidates.owned.contains(&volume.id))
        .filter_map(|volume| Some((volume, data_device(volume, &subject.instance)?)))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let volumes: Vec<&Volume> = unknown.iter().map(|(volume, _)| *volume).collect();
    if let Some(held) = hold::at_work(seen, &volumes) {
        return Some(held);
    }
    if candidates.pool.as_ref().is_some_and(|pool| pool.paused) {
        let reason = Reason::PoolPaused { pool: policy.pool.clone() };
        return Some(rest(false, None, reason).with_alarm(alarm));
    }
    if candidates.pool.is_none() {
        match lost_table(subject, seen, pool) {
            LostTable::Look(decision) => return Some(decision),
            LostTable::Likely(alarm) => {
                return Some(rest(false, None, Reason::NotEnrolled).with_alarm(Some(alarm)));
            }
            LostTable::No => {}
        }
    }
    let set = match matched(&policy, &unknown) {
        Ok(set) => set,
        Err(alarms) => {
            let mut decision = rest(false, None, Reason::NotEnrolled);
            decision.alarms = alarms;
            return Some(decision);
        }
    };
    let place = Place { pool: policy.pool.clone(), zone: instance.zone.clone() };
    let adoption = Adoption {
        tagged: free_name(&set, pool, candidates, &policy),
        released_at: None,
        volumes: set
            .iter()
            .map(|(wanted, (volume, device))| {
                (wanted.name.clone(), volume.id.clone(), device.clone(), volume.created_at)
            })
            .collect(),
    };
    let fresh = Claim::new(subject.instance.clone());
    let claim = seen.claim.as_ref().unwrap_or(&fresh);
    let names = (candidates.pool.as_ref(), adopt::next_index(pool));
    let reason = Reason::Enrol;
    let transaction =
        enrolment::enrol(claim, &policy, &place, names, &adoption, now, &reason.to_string());
    Some(commit(transaction, reason).with_alarm(alarm))
}

/// The device that a volume is attached at to the instance for certain. The names of root devices are none of ours: a
/// launch template's tags are on the root volume too.
fn data_device(volume: &Volume, instance: &InstanceId) -> Option<DeviceName> {
    let Attachment { instance: Some(holder), device, state, .. } = volume.attachment()? else {
        return None;
    };
    let attached = holder == instance && *state == AttachmentState::Attached;
    attached.then(|| device.parse().ok()).flatten()
}

/// Whether the pool has no record because the table was lost.
enum LostTable {
    No,
    Likely(Alarm),
    Look(Decision),
}

/// A pool without a record has not been used before; unless an instance carries the tag that only a completed launch
/// sets, or a volume that of a release.
fn lost_table(subject: &Subject, seen: &Observation, pool: &[Volume]) -> LostTable {
    let likely = |volume: &Volume| {
        let name = volume.tags.get(tags::POOL).and_then(|name| name.parse().ok());
        name.map_or(LostTable::No, |pool| {
            LostTable::Likely(Alarm::PoolUnknown { pool, volume: volume.id.clone() })
        })
    };
    if let Some(released) = pool.iter().find(|volume| volume.tags.contains_key(tags::RELEASED_AT)) {
        return likely(released);
    }
    let named: Vec<(&Volume, &InstanceId)> = pool
        .iter()
        .filter(|volume| adopt::names_slot(volume))
        .filter_map(|volume| Some((volume, volume.attachment()?.instance.as_ref()?)))
        .collect();
    let elsewhere: BTreeSet<&InstanceId> = named.iter().map(|(_, holder)| *holder).collect();
    if elsewhere.is_empty() {
        return LostTable::No;
    }
    let Some(others) = &seen.others else {
        let look = Look::Others(elsewhere.into_iter().cloned().collect());
        return LostTable::Look(decision(Step::Look(look), Reason::LookForHolders));
    };
    let served = |holder: &InstanceId| {
        let shown = if *holder == subject.instance {
            seen.described.instance.as_ref()
        } else {
            others.instances.get(holder)
        };
        shown.is_some_and(|instance| instance.tags.contains_key(tags::SLOT))
    };
    named
        .iter()
        .find(|(_, holder)| served(holder))
        .map_or(LostTable::No, |(volume, _)| likely(volume))
}

type Attached<'a> = (&'a Volume, DeviceName);

/// Matches the instance's volumes with the names that the policy wants: by their tag, by their device, or because there
/// is but one of each. Each must be matched, else a person must say which is meant.
fn matched<'a>(
    policy: &'a Policy,
    unknown: &'a [Attached<'a>],
) -> Result<Vec<(&'a VolumeSpec, &'a Attached<'a>)>, Vec<Alarm>> {
    let refuse = |problem: &str| {
        let alarms = unknown.iter().map(|(volume, _)| Alarm::NotAdopted {
            volume: volume.id.clone(),
            problem: problem.to_owned(),
        });
        Err(alarms.collect())
    };
    if unknown.iter().any(|(volume, _)| volume.is_attached_twice()) {
        return refuse(TWICE);
    }
    if unknown.iter().any(|(volume, _)| volume.multi_attach) {
        return refuse(
            "it, or another volume of its instance, has Multi-Attach enabled, so EC2 would not keep two holders apart",
        );
    }
    if let ([only], [one]) = (policy.volumes.as_slice(), unknown)
        && name_of(one.0).is_none_or(|name| name == only.name)
    {
        return Ok(vec![(only, one)]);
    }
    let mut set = Vec::new();
    for wanted in &policy.volumes {
        let mut fitting = unknown.iter().filter(|(volume, device)| match name_of(volume) {
            Some(name) => name == wanted.name,
            None => device.attachment_point() == wanted.device.attachment_point(),
        });
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => set.push((wanted, one)),
            _ => {
                return refuse(
                    "its instance is in service, and which of the policy's volumes it is can't be told; name it by the tag stateful-asg:volume, or by its device in the policy",
                );
            }
        }
    }
    if set.len() < unknown.len() {
        return refuse(
            "its instance is in service with more volumes of the pool than the policy names; remove the tag stateful-asg:pool from those that are not meant",
        );
    }
    Ok(set)
}

fn name_of(volume: &Volume) -> Option<VolumeName> {
    volume.tags.get(tags::VOLUME)?.parse().ok()
}

/// The slot that the volumes' tags name, if they agree and nobody else goes by that name.
fn free_name(
    set: &[(&VolumeSpec, &Attached<'_>)],
    pool: &[Volume],
    candidates: &Candidates,
    policy: &Policy,
) -> Option<SlotId> {
    let slot_of = |volume: &Volume| volume.tags.get(tags::SLOT)?.parse::<SlotId>().ok();
    let names: BTreeSet<SlotId> =
        set.iter().filter_map(|(_, (volume, _))| slot_of(volume)).collect();
    let name = names.first().filter(|_| names.len() == 1)?;
    let mine = |volume: &Volume| set.iter().any(|(_, (own, _))| own.id == volume.id);
    let taken = candidates.slots.contains(name)
        || pool.iter().any(|volume| !mine(volume) && slot_of(volume).as_ref() == Some(name));
    (!taken && name.pool == policy.pool && name.index <= HIGHEST_INDEX).then(|| name.clone())
}
