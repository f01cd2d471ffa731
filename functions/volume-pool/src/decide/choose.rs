//! A waiting claim: which free slot, which volumes to adopt, or what it waits for.
//!
//! Nobody overtakes an earlier waiter: the k-th waiter takes the k-th free slot, so that a crowd does not fight over
//! one, and leaves what the earlier ones are due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Alarm, Decision, Look, Observation, Reason, Step, Subject, commit, decision, rest};
use crate::event::Action;
use crate::ids::{DeviceName, SlotId, VolumeId, VolumeName};
use crate::observation::{Volume, tags};
use crate::policy::{Policy, VolumeSpec};
use crate::record::{Claim, Place, Slot};
use crate::time::Timestamp;
use crate::transition::{self, Adoption};
use crate::zone::{Candidates, ZoneView};

pub(super) fn decide(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    claim: &Claim,
    place: &Place,
    action: Action,
) -> Decision {
    let (Some(zone), Some(policy)) = (&seen.zone, &claim.policy) else {
        return commit(None, Reason::RecordsDisagree);
    };
    let fresh: Vec<&Slot> = zone.free.iter().filter(|slot| !stale(policy, slot, now)).collect();
    if let Some((slot, reason)) = due(subject, seen, claim, zone, &fresh) {
        return commit(transition::lease(claim, slot, now, &reason.to_string()), reason);
    }
    let Some(candidates) = &seen.candidates else {
        return decision(Step::Look(Look::Candidates(place.clone())), Reason::LookForVolumes);
    };
    let (adoptions, mut alarms) = adoptable(policy, candidates);
    if let Some(transaction) = transition::adopt(candidates.pool.as_ref(), place, &adoptions) {
        let mut decision =
            decision(Step::Commit(transaction), Reason::Adopt { count: adoptions.len() });
        decision.alarms = alarms;
        return decision;
    }
    if !fresh.is_empty() && !zone.earlier.is_empty() && !seen.answers.served {
        return decision(
            Step::Serve(place.clone()),
            Reason::EarlierWaiters { count: zone.earlier.len() },
        );
    }
    let reason = match zone.coming.get(zone.earlier.len()).or(zone.coming.last()) {
        Some(coming) => {
            Reason::WaitingForSlot { slot: coming.slot.clone(), holder: coming.holder.clone() }
        }
        None if zone.free.len() > fresh.len() => {
            let count = zone.free.len() - fresh.len();
            alarms.push(Alarm::StaleSlots { count });
            Reason::WaitingOnlyStale { count }
        }
        None => match &seen.attached {
            None => {
                return decision(
                    Step::Look(Look::Attached(place.clone())),
                    Reason::LookForStrangers,
                );
            }
            Some(attached) => {
                alarms.extend(strangers(attached));
                Reason::WaitingNoneFree { zone: place.zone.clone() }
            }
        },
    };
    let mut decision = rest(true, Some(action), reason);
    decision.alarms = alarms;
    decision
}

/// The free slot that this waiter is due: one is left to each waiter before it.
fn due<'a>(
    subject: &Subject,
    seen: &Observation,
    claim: &Claim,
    zone: &ZoneView,
    fresh: &[&'a Slot],
) -> Option<(&'a Slot, Reason)> {
    let rank = zone.earlier.len();
    if rank >= fresh.len() {
        return None;
    }
    if let Some(slot) = fresh.iter().find(|slot| Some(&slot.id) == claim.last_slot.as_ref()) {
        return Some((slot, Reason::HeldBefore { slot: slot.id.clone() }));
    }
    let choice = match seen.answers.lost_races {
        0 => rank,
        // Who lost a race takes another one, so that the losers do not meet again at the next.
        lost => scatter(subject, lost) % fresh.len(),
    };
    fresh.get(choice).map(|slot| (*slot, Reason::SlotFree { slot: slot.id.clone() }))
}

/// A number that differs between instances and attempts (FNV-1a).
fn scatter(subject: &Subject, attempt: u32) -> usize {
    let bytes = subject.instance.as_str().bytes().chain(attempt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 33).unwrap_or_default()
}

/// A slot that was idle for too long: its data may do harm (a Cassandra node back after `gc_grace` resurrects deleted
/// rows), so a person decides. Where no release is on record, the age of its youngest volume counts.
fn stale(policy: &Policy, slot: &Slot, now: Timestamp) -> bool {
    let Some(hours) = policy.stale_after_hours else {
        return false;
    };
    let created = slot.volumes.iter().map(|volume| volume.created_at).max();
    slot.released_at.or(created).is_none_or(|idle_since| {
        now.since(idle_since) >= Duration::from_secs(u64::from(hours) * 3600)
    })
}

/// Which candidates become slots, and which are left alone and why.
fn adoptable(policy: &Policy, candidates: &Candidates) -> (Vec<Adoption>, Vec<Alarm>) {
    let mut alarms = Vec::new();
    let mut untagged = Vec::new();
    let mut sets: BTreeMap<SlotId, Vec<&Volume>> = BTreeMap::new();
    let mut sorted: Vec<&Volume> = candidates.volumes.iter().collect();
    sorted.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    for volume in sorted {
        if candidates.owned.contains(&volume.id) || !volume.is_available() {
            continue;
        }
        let mut leave_alone = |problem: &str| {
            alarms
                .push(Alarm::NotAdopted { volume: volume.id.clone(), problem: problem.to_owned() });
        };
        if volume.multi_attach {
            leave_alone("it has Multi-Attach enabled, so EC2 would not keep two holders apart");
            continue;
        }
        match volume.tags.get(tags::SLOT).map(|text| text.parse::<SlotId>()) {
            None => untagged.push(volume),
            Some(Ok(slot)) if candidates.slots.contains(&slot) => leave_alone(
                "its tag stateful-asg:slot names a slot that exists, as a restored copy's does; remove that tag to adopt it as a new slot",
            ),
            Some(Ok(slot))
                if volume.tags.get(tags::POOL).map(String::as_str) == Some(slot.pool.as_str()) =>
            {
                sets.entry(slot).or_default().push(volume);
            }
            Some(Ok(_) | Err(_)) => leave_alone(
                "its tag stateful-asg:slot names no slot of its pool; correct or remove that tag",
            ),
        }
    }
    let mut adoptions = Vec::new();
    for (slot, volumes) in sets {
        match matched(policy, &volumes) {
            Ok(set) => adoptions.push(adoption(Some(slot), set)),
            Err(problem) => {
                for volume in volumes {
                    alarms.push(Alarm::NotAdopted {
                        volume: volume.id.clone(),
                        problem: problem.clone(),
                    });
                }
            }
        }
    }
    for volume in untagged {
        match policy.volumes.as_slice() {
            [only] => adoptions.push(adoption(None, vec![(only, volume)])),
            _ => alarms.push(Alarm::NotAdopted {
                volume: volume.id.clone(),
                problem: "slots of this pool have several volumes; name its slot and its name in it by the tags stateful-asg:slot and stateful-asg:volume".to_owned(),
            }),
        }
    }
    adoptions.truncate(transition::ADOPTED_AT_ONCE);
    (adoptions, alarms)
}

/// Matches the volumes of one slot's tag with the names that the policy wants, each exactly once.
fn matched<'a>(
    policy: &'a Policy,
    volumes: &[&'a Volume],
) -> Result<Vec<(&'a VolumeSpec, &'a Volume)>, String> {
    let mut left: BTreeSet<&VolumeId> = volumes.iter().map(|volume| &volume.id).collect();
    let single = policy.volumes.len() == 1;
    let mut set = Vec::new();
    for wanted in &policy.volumes {
        let named: Vec<&&Volume> = volumes
            .iter()
            .filter(|volume| match volume.tags.get(tags::VOLUME) {
                Some(name) => name == wanted.name.as_str(),
                None => single,
            })
            .collect();
        match named.as_slice() {
            [one] => {
                left.remove(&one.id);
                set.push((wanted, **one));
            }
            [] => {
                return Err(format!(
                    "no volume of its slot is named {} by the tag stateful-asg:volume",
                    wanted.name
                ));
            }
            several => {
                return Err(format!(
                    "{} volumes claim to be {} of one slot; leave the tag stateful-asg:slot on the right one only",
                    several.len(),
                    wanted.name
                ));
            }
        }
    }
    match left.first() {
        None => Ok(set),
        Some(extra) => Err(format!(
            "{extra} carries the same slot's tag and a name that the policy does not know"
        )),
    }
}

fn adoption(tagged: Option<SlotId>, set: Vec<(&VolumeSpec, &Volume)>) -> Adoption {
    let released = set
        .iter()
        .filter_map(|(_, volume)| volume.tags.get(tags::RELEASED_AT)?.parse::<Timestamp>().ok());
    Adoption {
        tagged,
        released_at: released.max(),
        volumes: set.into_iter().map(described).collect(),
    }
}

fn described(
    (wanted, volume): (&VolumeSpec, &Volume),
) -> (VolumeName, VolumeId, DeviceName, Timestamp) {
    (wanted.name.clone(), volume.id.clone(), wanted.device.clone(), volume.created_at)
}

/// Volumes with the pool's tag that hang on an instance though they were never part of a slot: whoever tagged them
/// must see why the pool does not use them.
fn strangers(attached: &[Volume]) -> impl Iterator<Item = Alarm> {
    attached.iter().filter(|volume| !volume.tags.contains_key(tags::SLOT)).map(|volume| {
        let holder = volume
            .attachment()
            .and_then(|attachment| attachment.instance.as_ref())
            .map_or_else(|| "a resource that AWS manages".to_owned(), ToString::to_string);
        Alarm::NotAdopted {
            volume: volume.id.clone(),
            problem: format!("it is attached to {holder}, which was never given it; detach it there or remove the tag stateful-asg:pool"),
        }
    })
}
