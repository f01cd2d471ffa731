//! What `status` shows, from what was read. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use volume_pool::Timestamp;
use volume_pool::ids::{GroupName, InstanceId, PoolName, SlotId, VolumeId, VolumeName, Zone};
use volume_pool::observation::{GroupInstance, GroupView, Instance, LifecycleState, Volume};
use volume_pool::record::{Claim, Key, Phase, Record, Slot, SlotState, WaitingMark};

use crate::words;

/// All that `status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Status {
    /// When it was read.
    #[serde(serialize_with = "text")]
    pub(super) at: Timestamp,
    /// The pools, by name.
    pub(super) pools: Vec<PoolStatus>,
    /// What could not be read, and is left out.
    pub(super) unread: Vec<String>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PoolStatus {
    pub(super) pool: PoolName,
    /// Whether it has a record: it gets one with its first slot.
    pub(super) recorded: bool,
    pub(super) paused: bool,
    /// Since when its records are being rebuilt.
    #[serde(serialize_with = "maybe_text")]
    pub(super) rebuilding_since: Option<Timestamp>,
    /// The groups that are tagged for it.
    pub(super) groups: Vec<GroupStatus>,
    /// Its zones, by name, with their slots and waiters.
    pub(super) zones: Vec<ZoneStatus>,
    /// Members of its groups that neither hold a slot nor wait for one, those on their way left out.
    pub(super) without_slot: Vec<WithoutSlot>,
    /// Volumes with its tag that no slot has.
    pub(super) in_no_slot: Vec<VolumeStatus>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct GroupStatus {
    pub(super) group: GroupName,
    pub(super) desired: u32,
    pub(super) in_service: usize,
}

/// A zone of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ZoneStatus {
    pub(super) zone: Zone,
    pub(super) slots: Vec<SlotStatus>,
    /// Who waits, oldest first.
    pub(super) waiting: Vec<Waiter>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SlotStatus {
    pub(super) slot: SlotId,
    /// `held`, `free`, `releasing`, `creating`, `quarantined`, `retired`.
    pub(super) state: &'static str,
    /// Who holds it, lets go of it, or has it created.
    pub(super) instance: Option<Member>,
    /// Since when it is in this state, as far as is on record.
    #[serde(serialize_with = "maybe_text")]
    pub(super) since: Option<Timestamp>,
    pub(super) volumes: Vec<VolumeStatus>,
    /// Whether its reason says that something is amiss.
    pub(super) amiss: bool,
    /// Why it is in this state.
    pub(super) reason: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Member {
    pub(super) instance: InstanceId,
    /// Its state in its group, where it is in an enrolled one.
    pub(super) lifecycle: Option<String>,
    /// Its state in EC2, where that was looked at.
    pub(super) ec2: Option<String>,
}

/// A member of a group that neither holds a slot nor waits for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WithoutSlot {
    #[serde(flatten)]
    pub(super) member: Member,
    /// Why its lifecycle action still waits, by the last look at it, where one does.
    pub(super) reason: Option<String>,
}

/// Who waits for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Waiter {
    #[serde(flatten)]
    pub(super) member: Member,
    #[serde(serialize_with = "text")]
    pub(super) since: Timestamp,
    /// What it waits for, by the last look at it.
    pub(super) reason: String,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct VolumeStatus {
    /// Its name in the slot.
    pub(super) name: Option<VolumeName>,
    pub(super) volume: VolumeId,
    /// What EC2 shows of it; nothing where EC2 was not to be read.
    pub(super) ec2: Option<String>,
}

/// What is known beside the pool's own records.
pub(super) struct Seen<'a> {
    /// The claims of those who are busy.
    pub(super) claims: BTreeMap<Key, Record>,
    /// The enrolled groups.
    pub(super) groups: Option<&'a [GroupView]>,
    /// Their instances.
    pub(super) members: BTreeMap<&'a InstanceId, &'a GroupInstance>,
    /// Every volume with the pool's tag.
    pub(super) volumes: Option<Vec<Volume>>,
    /// Instances in EC2, those that were looked at.
    pub(super) instances: BTreeMap<InstanceId, Instance>,
}

/// The instances of these groups.
pub(super) fn members(groups: &[GroupView]) -> BTreeMap<&InstanceId, &GroupInstance> {
    groups.iter().flat_map(|group| &group.members).collect()
}

/// The instances that have claims to look at: they wait in a hook or for a slot, let go of one, or have one created.
pub(super) fn busy(
    records: &[Record],
    members: &BTreeMap<&InstanceId, &GroupInstance>,
) -> BTreeSet<InstanceId> {
    let in_hook = members.iter().filter(|(_, shown)| in_hook(shown)).map(|(id, _)| (*id).clone());
    let busy = records.iter().filter_map(|record| match record {
        Record::Waiting(mark) => Some(mark.instance.clone()),
        Record::Slot(slot) => match &slot.state {
            SlotState::Releasing { holder } => Some(holder.clone()),
            SlotState::Creating { claimant, .. } => Some(claimant.clone()),
            SlotState::Free
            | SlotState::Leased { .. }
            | SlotState::Quarantined
            | SlotState::Retired => None,
        },
        _ => None,
    });
    busy.chain(in_hook).collect()
}

fn in_hook(shown: &GroupInstance) -> bool {
    use LifecycleState as A;
    matches!(shown.state, A::PendingWait | A::WarmedPendingWait | A::TerminatingWait)
}

/// Whether it is between two states, and nothing is to be said of it yet or any more.
fn on_its_way(shown: &GroupInstance) -> bool {
    use LifecycleState as A;
    shown.state.is_parked()
        || matches!(
            shown.state,
            A::Pending | A::PendingProceed | A::Terminating | A::TerminatingProceed
        )
}

/// The holders that no enrolled group shows.
pub(super) fn outside(
    records: &[Record],
    members: &BTreeMap<&InstanceId, &GroupInstance>,
) -> BTreeSet<InstanceId> {
    let holders = records.iter().filter_map(|record| match record {
        Record::Held(mark) => Some(&mark.holder),
        _ => None,
    });
    holders.filter(|holder| !members.contains_key(holder)).cloned().collect()
}

/// A pool, from all that stands in its partition.
pub(super) fn pool(name: PoolName, records: Vec<Record>, seen: &Seen<'_>) -> PoolStatus {
    let (mut record, mut slots, mut waiting, mut amiss) =
        (None, Vec::new(), Vec::new(), BTreeSet::new());
    for found in records {
        match found {
            Record::Pool(pool) => record = Some(pool),
            Record::Slot(slot) => slots.push(slot),
            Record::Waiting(mark) => waiting.push(mark),
            Record::Held(mark) if mark.amiss => {
                amiss.insert(mark.slot);
            }
            _ => {}
        }
    }
    let volumes: BTreeMap<&VolumeId, &Volume> =
        seen.volumes.iter().flatten().map(|volume| (&volume.id, volume)).collect();
    let groups: Vec<&GroupView> = seen
        .groups
        .unwrap_or_default()
        .iter()
        .filter(|group| group.pool_tag.as_deref() == Some(name.as_str()))
        .collect();
    let owned: BTreeSet<&VolumeId> = slots.iter().flat_map(Slot::every_volume).collect();
    let in_no_slot = volumes
        .values()
        .filter(|volume| !owned.contains(&volume.id))
        .map(|volume| VolumeStatus {
            name: None,
            volume: volume.id.clone(),
            ec2: Some(words::volume(Some(volume), None)),
        })
        .collect();
    PoolStatus {
        recorded: record.is_some(),
        paused: record.as_ref().is_some_and(|pool| pool.paused),
        rebuilding_since: record.as_ref().and_then(|pool| pool.rebuilding),
        groups: groups.iter().map(|group| group_status(group)).collect(),
        without_slot: without_slot(&groups, &slots, &waiting, seen),
        zones: zones(&slots, &waiting, &amiss, &volumes, seen),
        in_no_slot,
        pool: name,
    }
}

fn group_status(group: &GroupView) -> GroupStatus {
    let serving = group.members.values().filter(|member| member.state == LifecycleState::InService);
    GroupStatus { group: group.name.clone(), desired: group.desired, in_service: serving.count() }
}

fn without_slot(
    groups: &[&GroupView],
    slots: &[Slot],
    waiting: &[WaitingMark],
    seen: &Seen<'_>,
) -> Vec<WithoutSlot> {
    let claimants = slots.iter().filter_map(|slot| match &slot.state {
        SlotState::Creating { claimant, .. } => Some(claimant),
        SlotState::Leased { holder } | SlotState::Releasing { holder } => Some(holder),
        SlotState::Free | SlotState::Quarantined | SlotState::Retired => None,
    });
    let known: BTreeSet<&InstanceId> =
        claimants.chain(waiting.iter().map(|mark| &mark.instance)).collect();
    groups
        .iter()
        .flat_map(|group| &group.members)
        .filter(|(instance, shown)| !known.contains(instance) && !on_its_way(shown))
        .map(|(instance, shown)| {
            let claim = claim(instance, seen).filter(|_| in_hook(shown));
            let reason = claim.map(|claim| claim.reason.clone());
            WithoutSlot {
                member: member(instance, seen),
                reason: reason.filter(|it| !it.is_empty()),
            }
        })
        .collect()
}

fn zones(
    slots: &[Slot],
    waiting: &[WaitingMark],
    amiss: &BTreeSet<SlotId>,
    volumes: &BTreeMap<&VolumeId, &Volume>,
    seen: &Seen<'_>,
) -> Vec<ZoneStatus> {
    let names: BTreeSet<&Zone> = slots
        .iter()
        .map(|slot| &slot.zone)
        .chain(waiting.iter().map(|mark| &mark.place.zone))
        .collect();
    let zone = |zone: &Zone| ZoneStatus {
        zone: zone.clone(),
        slots: slots
            .iter()
            .filter(|slot| slot.zone == *zone)
            .map(|slot| SlotStatus {
                amiss: amiss.contains(&slot.id),
                ..slot_status(slot, volumes, seen)
            })
            .collect(),
        waiting: waiting
            .iter()
            .filter(|mark| mark.place.zone == *zone)
            .map(|mark| Waiter {
                member: member(&mark.instance, seen),
                since: mark.since,
                reason: claim(&mark.instance, seen)
                    .map(|claim| claim.reason.clone())
                    .unwrap_or_default(),
            })
            .collect(),
    };
    names.into_iter().map(zone).collect()
}

fn slot_status(slot: &Slot, volumes: &BTreeMap<&VolumeId, &Volume>, seen: &Seen<'_>) -> SlotStatus {
    let (instance, since) = match &slot.state {
        SlotState::Free => (None, slot.released_at),
        SlotState::Leased { holder } => (Some(holder), slot.leased_at),
        SlotState::Releasing { holder: instance }
        | SlotState::Creating { claimant: instance, .. } => {
            (Some(instance), claim(instance, seen).map(in_phase_since))
        }
        SlotState::Quarantined | SlotState::Retired => (None, None),
    };
    let shown = |id: &VolumeId| {
        seen.volumes.as_ref().map(|_| words::volume(volumes.get(id).copied(), slot.holder()))
    };
    let names: BTreeMap<&VolumeId, &VolumeName> =
        slot.volumes.iter().map(|volume| (&volume.volume, &volume.name)).collect();
    SlotStatus {
        slot: slot.id.clone(),
        state: words::slot_state(&slot.state),
        instance: instance.map(|instance| member(instance, seen)),
        since,
        volumes: slot
            .every_volume()
            .map(|id| VolumeStatus {
                name: names.get(id).map(|name| (*name).clone()),
                volume: id.clone(),
                ec2: shown(id),
            })
            .collect(),
        amiss: false,
        reason: slot.reason.clone(),
    }
}

fn in_phase_since(claim: &Claim) -> Timestamp {
    match &claim.phase {
        Phase::Leaving { since, .. } | Phase::Creating { since, .. } => *since,
        Phase::Closed | Phase::Waiting { .. } | Phase::Leased { .. } => claim.since,
    }
}

fn claim<'a>(instance: &InstanceId, seen: &'a Seen<'_>) -> Option<&'a Claim> {
    match seen.claims.get(&Key::Claim(instance.clone())) {
        Some(Record::Claim(claim)) => Some(claim),
        Some(_) | None => None,
    }
}

fn member(instance: &InstanceId, seen: &Seen<'_>) -> Member {
    Member {
        instance: instance.clone(),
        lifecycle: seen.members.get(instance).map(|shown| shown.state.to_string()),
        ec2: seen
            .instances
            .get(instance)
            .map(|shown| words::instance_state(&shown.state).to_owned()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn maybe_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_ref().map(ToString::to_string).serialize(serializer)
}
