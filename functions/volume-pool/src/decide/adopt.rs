//! Volumes with the pool's tag that no record knows: which become slots, and which are left alone and why.
//!
//! A slot's name is an identity that outlives volumes: a Kafka node id, a ring position. So before one is given out or
//! taken from a tag, every tagged volume of the pool is looked at, in all zones and states: a copy must not take the name
//! of an original that happens to be attached elsewhere, nor a new volume the name of one that no record knows yet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alarm, Decision, Look, Observation, Reason, Step, decision};
use crate::ids::{DeviceName, SlotId, VolumeId, VolumeName};
use crate::observation::{Volume, tags};
use crate::policy::{Policy, VolumeSpec};
use crate::record::{HIGHEST_INDEX, Place};
use crate::time::Timestamp;
use crate::transition::{self, Adoption};
use crate::zone::{Candidates, ZoneView};

/// The step towards adopting something, or what a person must know where there is nothing to adopt.
pub(super) fn decide(
    seen: &Observation,
    policy: &Policy,
    zone: &ZoneView,
    place: &Place,
) -> Result<Decision, Vec<Alarm>> {
    let Some(candidates) = &seen.candidates else {
        return Ok(decision(Step::Look(Look::Candidates(place.clone())), Reason::LookForVolumes));
    };
    let (adoptions, mut alarms) = adoptable(policy, candidates);
    if adoptions.is_empty() {
        return Err(alarms);
    }
    let Some(pool) = &seen.pool else {
        return Ok(decision(Step::Look(Look::Pool(place.pool.clone())), Reason::LookAtPool));
    };
    let (adoptions, copies): (Vec<Adoption>, Vec<Adoption>) =
        adoptions.into_iter().partition(|adoption| {
            adoption.tagged.as_ref().is_none_or(|slot| !taken(pool, slot, place))
        });
    alarms.extend(copies.into_iter().flat_map(|copy| copy.volumes).map(|(_, volume, ..)| Alarm::NotAdopted {
        volume,
        problem: "a volume that is attached, or in another zone, names the same slot by its tag stateful-asg:slot; leave that tag on the original only".to_owned(),
    }));
    match transition::adopt(zone.pool.as_ref(), place, next_index(pool), &adoptions) {
        Some(transaction) => {
            let reason = Reason::Adopt { count: transaction.adopted() };
            let mut decision = decision(Step::Commit(transaction), reason);
            decision.alarms = alarms;
            Ok(decision)
        }
        None => Err(alarms),
    }
}

/// The lowest index that no volume of the pool goes by, and none above it.
pub(super) fn next_index(pool: &[Volume]) -> u32 {
    let indices = pool.iter().filter_map(named_slot).map(|slot| slot.index);
    indices.filter(|index| *index <= HIGHEST_INDEX).max().map_or(0, |highest| highest + 1)
}

/// Whether the volume goes by the name of a slot.
pub(super) fn names_slot(volume: &Volume) -> bool {
    named_slot(volume).is_some()
}

/// Whether another volume than an available one of this zone goes by the slot's name.
fn taken(pool: &[Volume], slot: &SlotId, place: &Place) -> bool {
    pool.iter().any(|volume| {
        named_slot(volume).as_ref() == Some(slot)
            && (volume.zone != place.zone || volume.attachment().is_some())
    })
}

fn named_slot(volume: &Volume) -> Option<SlotId> {
    volume.tags.get(tags::SLOT)?.parse().ok()
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
            Some(Ok(slot)) if slot.index > HIGHEST_INDEX => {
                leave_alone(
                    "its tag stateful-asg:slot names an index beyond any pool; correct or remove that tag",
                );
            }
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
