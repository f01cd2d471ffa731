//! What must hold in the end, whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet};

use end_to_end::Held;
use local_cloud::cloud::{Call, CallOutcome, Cloud, Notice};
use local_cloud::world::{LifecycleState, World};
use volume_pool::record::{Claim, Phase, Record, Slot, SlotState};

/// What the names of our hooks start with.
const HOOK_PREFIX: &str = "stateful-asg";

/// Whether an operation of EC2, Auto Scaling or DynamoDB changes something.
pub(crate) fn changes(operation: &str) -> bool {
    !["Describe", "GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"]
        .iter()
        .any(|reading| operation.starts_with(reading))
}

/// Whether a call is a heartbeat for an action that is over: Auto Scaling refuses it, and nothing comes of it.
pub(crate) fn late_heartbeat(call: &Call) -> bool {
    call.operation == "RecordLifecycleActionHeartbeat" && call.outcome == CallOutcome::Answered(400)
}

/// The pools that volumes are tagged with.
pub(crate) fn pools(cloud: &Cloud) -> BTreeSet<String> {
    cloud.inspect(|world| {
        let tags = world.volumes().filter_map(|volume| volume.tags.get("stateful-asg:pool"));
        tags.cloned().collect()
    })
}

/// The launches that were answered with CONTINUE before a volume of a pool was attached to their instance.
pub(crate) fn early_answers(cloud: &Cloud, notices: &[Notice]) -> Vec<String> {
    let pool: BTreeSet<String> = cloud.inspect(|world| {
        // What a move has left behind was of the pool when it was attached.
        let tags = ["stateful-asg:pool", "stateful-asg:move"];
        let tagged = world.volumes().filter(|it| tags.iter().any(|tag| it.tags.contains_key(*tag)));
        tagged.map(|volume| volume.id.clone()).collect()
    });
    let mut equipped = BTreeSet::new();
    let mut early = Vec::new();
    for notice in notices {
        let Notice::Happening(happening) = notice else { continue };
        let Some(instance) = happening.subject.instance.as_deref() else { continue };
        let of_pool = happening.subject.volume.as_ref().is_some_and(|it| pool.contains(it));
        if of_pool && happening.text.contains(" is attached to ") {
            equipped.insert(instance);
        } else if of_pool && happening.text.contains(" is no longer attached to ") {
            equipped.remove(instance);
        } else if happening.text.starts_with("hook stateful-asg-launch is answered CONTINUE")
            && !equipped.contains(instance)
        {
            early.push(format!("{instance} was answered CONTINUE without a volume"));
        }
    }
    early
}

/// The instances in service in groups that have hooks of ours.
pub(crate) fn serving(world: &World) -> Vec<String> {
    let groups = world.groups().filter(|group| {
        let mut hooks = group.hooks.values();
        hooks.any(|hook| hook.name.starts_with(HOOK_PREFIX))
    });
    let members = groups.flat_map(|group| group.members.values());
    members
        .filter(|member| member.state == LifecycleState::InService)
        .map(|member| member.instance.clone())
        .collect()
}

/// The slots on record.
pub(crate) fn slots(records: &[Record]) -> Vec<Slot> {
    let slots = records.iter().filter_map(|record| match record {
        Record::Slot(slot) => Some(slot.clone()),
        _ => None,
    });
    slots.collect()
}

/// The claims on record.
pub(crate) fn claims(records: &[Record]) -> Vec<Claim> {
    let claims = records.iter().filter_map(|record| match record {
        Record::Claim(claim) => Some(claim.clone()),
        _ => None,
    });
    claims.collect()
}

/// Which volumes belong to each slot.
pub(crate) fn pairs(records: &[Record]) -> BTreeMap<String, Vec<String>> {
    let slots = slots(records).into_iter();
    slots.map(|slot| (slot.id.to_string(), volumes(&slot))).collect()
}

/// The epoch of each slot.
pub(crate) fn epochs(records: &[Record]) -> BTreeMap<String, u64> {
    let slots = slots(records).into_iter();
    slots.map(|slot| (slot.id.to_string(), slot.epoch)).collect()
}

pub(crate) fn volumes(slot: &Slot) -> Vec<String> {
    let volumes = slot.volumes.iter();
    volumes.map(|volume| volume.volume.to_string()).collect()
}

/// Which safety rules do not hold, of one slot one holder, of the lease table agreeing with the attachments, and of
/// CONTINUE with every volume only. For a cloud at rest.
pub(crate) fn broken(volumes: &[Held], records: &[Record], serving: &[String]) -> Vec<String> {
    let (slots, claims) = (slots(records), claims(records));
    let mut broken = Vec::new();
    for slot in &slots {
        broken.extend(slot_broken(slot, &slots, &claims, volumes));
    }
    for held in volumes {
        let owners = slots.iter().filter(|slot| self::volumes(slot).contains(&held.volume));
        let holders: Vec<Option<&str>> =
            owners.map(|slot| slot.holder().map(volume_pool::ids::InstanceId::as_str)).collect();
        match (holders.as_slice(), held.instance.as_deref()) {
            ([], _) | ([_], None) => {}
            ([holder], Some(instance)) if *holder == Some(instance) => {}
            ([holder], Some(instance)) => broken.push(format!(
                "{} is attached to {instance} while its slot is held by {holder:?}",
                held.volume
            )),
            (several, _) => {
                broken.push(format!("{} belongs to {} slots", held.volume, several.len()));
            }
        }
    }
    for instance in serving {
        let mut held = slots
            .iter()
            .filter(|slot| matches!(&slot.state, SlotState::Leased { holder } if holder.as_str() == instance));
        if held.next().is_none() {
            broken.push(format!("{instance} is in service without a lease"));
        }
    }
    broken
}

fn slot_broken(slot: &Slot, slots: &[Slot], claims: &[Claim], volumes: &[Held]) -> Vec<String> {
    let mut broken = Vec::new();
    let attached = self::volumes(slot).into_iter().map(|id| {
        let shown = volumes.iter().find(|held| held.volume == id);
        (id, shown)
    });
    let (SlotState::Leased { holder } | SlotState::Releasing { holder }) = &slot.state else {
        for (id, shown) in attached {
            if let Some(instance) = shown.and_then(|held| held.instance.as_deref()) {
                broken.push(format!("{} is not held, {id} is attached to {instance}", slot.id));
            }
        }
        return broken;
    };
    let others = slots.iter().filter(|other| other.id != slot.id);
    for other in others.filter(|other| other.holder() == Some(holder)) {
        broken.push(format!("{holder} holds {} and {}", slot.id, other.id));
    }
    let claim = claims.iter().find(|claim| claim.instance == *holder);
    let agrees = claim.is_some_and(|claim| match &claim.phase {
        Phase::Leased { slot: named, epoch } | Phase::Leaving { slot: named, epoch, .. } => {
            *named == slot.id && *epoch == slot.epoch
        }
        Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. } => false,
    });
    if !agrees {
        broken.push(format!("{} is held by {holder}, whose claim says otherwise", slot.id));
    }
    if let SlotState::Leased { .. } = slot.state {
        for (id, shown) in attached {
            match shown {
                Some(held) if held.instance.as_deref() != Some(holder.as_str()) => {
                    broken.push(format!("{} is leased to {holder}, which lacks {id}", slot.id));
                }
                Some(held) if held.deleted_with_instance => {
                    broken.push(format!("{id} would be deleted with {holder}"));
                }
                Some(_) => {}
                None => broken.push(format!("{} has {id}, which EC2 does not show", slot.id)),
            }
        }
    }
    broken
}

/// A claim or slot in a line.
pub(crate) fn line(record: &Record) -> Option<String> {
    match record {
        Record::Claim(claim) => Some(format!(
            "  claim {} {:?} open {} answered {:?} guard {:?}: {}\n",
            claim.instance, claim.phase, claim.open, claim.answered, claim.guard, claim.reason
        )),
        Record::Slot(slot) => Some(format!(
            "  slot {} epoch {} {:?} {:?}: {}\n",
            slot.id,
            slot.epoch,
            slot.state,
            volumes(slot),
            slot.reason
        )),
        _ => None,
    }
}
