//! What the records of a pool are to be, from what is to be seen of it: what adds up is as it was, the rest is set apart.

use crate::situation;
use std::collections::BTreeMap;

use crate::situation::{
    NOW, available, free_slot, hook, hours_ago, instance, launch_action, leased_claim, leased_slot,
    place, seconds_ago, slot_id, tagged, volume,
};
use volume_pool::event::Transition;
use volume_pool::ids::{SlotId, Zone};
use volume_pool::lease_tag::LeaseTag;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Instance,
    InstanceState, LifecycleState, Volume, VolumeState, tags,
};
use volume_pool::rebuild::{Plan, View, plan};
use volume_pool::record::{
    Claim, Copied, Guard, HeldMark, Move, Origin, Phase, Pool, Record, Slot, SlotState,
};

/// A view of the pool `cassandra` and its group, and nothing in it.
fn empty() -> View {
    let name = launch_action().group;
    let launch = hook(
        "stateful-asg-launch",
        Transition::Launching,
        Some(r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#),
    );
    let group = GroupView {
        name: name.clone(),
        pool_tag: Some("cassandra".to_owned()),
        max_size: 9,
        desired: 3,
        members: BTreeMap::new(),
    };
    View { enrolled: vec![group], hooks: BTreeMap::from([(name, vec![launch])]), ..View::default() }
}

trait Seen {
    fn with(self, volume: Volume) -> Self;
    fn known(self, record: Record) -> Self;
    /// Instance `number` in this state in EC2, a member of the group in that state, if in one.
    fn instance(self, number: u32, state: InstanceState, member: Option<LifecycleState>) -> Self;
    fn in_service(self, number: u32) -> Self;
}

impl Seen for View {
    fn with(mut self, volume: Volume) -> Self {
        self.volumes.insert(volume.id.clone(), volume);
        self
    }

    fn known(mut self, record: Record) -> Self {
        match record {
            Record::Claim(claim) => drop(self.claims.insert(claim.instance.clone(), claim)),
            record => drop(self.records.insert(record.key(), record)),
        }
        self
    }

    fn instance(mut self, number: u32, state: InstanceState, at: Option<LifecycleState>) -> Self {
        let id = instance(number);
        let zone = place().zone;
        let shown = Instance {
            id: id.clone(),
            zone: zone.clone(),
            state,
            devices: Vec::new(),
            tags: BTreeMap::new(),
        };
        self.others.instances.insert(id.clone(), shown);
        if let Some(state) = at {
            let member = GroupInstance { group: launch_action().group, zone, state };
            self.others.in_groups.insert(id.clone(), member.clone());
            self.enrolled[0].members.insert(id, member);
        }
        self
    }

    fn in_service(self, number: u32) -> Self {
        self.instance(number, InstanceState::Running, Some(LifecycleState::InService))
    }
}

/// Volume `number`, `name` of slot `index` of `of` volumes, last leased to instance `holder` an hour ago.
fn leased(number: u32, index: u32, holder: u32, name: &str, of: usize) -> Volume {
    let lease = LeaseTag {
        epoch: 4,
        holder: instance(holder),
        volume: volume(number),
        of,
        since: hours_ago(1),
    };
    tagged(
        number,
        &[
            (tags::SLOT, &slot_id(index).to_string()),
            (tags::VOLUME, name),
            (tags::LEASE, &lease.to_string()),
        ],
    )
}

fn on(mut shown: Volume, holder: u32, device: &str) -> Volume {
    shown.state = VolumeState::InUse;
    shown.attachments.push(Attachment {
        instance: Some(instance(holder)),
        device: device.to_owned(),
        state: AttachmentState::Attached,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: hours_ago(1),
    });
    shown
}

/// Volume 1 of slot 0 on instance 1, which holds it.
fn held() -> Volume {
    on(leased(1, 0, 1, "data", 1), 1, "/dev/sdf")
}

#[track_caller]
fn planned(view: &View) -> Plan {
    plan(&place().pool, "stateful-asg", view, NOW).unwrap()
}

/// The one slot that is planned.
#[track_caller]
fn only(view: &View) -> Slot {
    let plan = planned(view);
    assert_eq!(plan.slots.len(), 1, "{:?}", plan.slots);
    plan.slots.into_values().next().unwrap()
}

#[track_caller]
fn set_apart(view: &View, why: &str) {
    let slot = only(view);
    assert_eq!(slot.state, SlotState::Quarantined);
    assert!(slot.reason.contains(why), "{}", slot.reason);
    let named = planned(view).findings.into_iter().map(|it| it.to_string());
    assert!(named.into_iter().any(|text| text.contains(why)), "nobody is told of {why}");
}

fn holds(slot: &Slot, number: u32) -> bool {
    slot.state == SlotState::Leased { holder: instance(number) }
}

#[test]
fn a_slot_in_use_is_leased_to_who_has_it_above_every_number_from_before() {
    let view = empty().with(held()).in_service(1);
    let plan = planned(&view);
    let slot = &plan.slots[&slot_id(0)];
    assert!(holds(slot, 1));
    assert_eq!((slot.epoch, slot.version), (NOW.as_millis() + 1, NOW.as_millis() + 1));
    assert_eq!(slot.leased_at, Some(hours_ago(1)));
    assert_eq!(slot.recent_holders, [instance(1)]);
    let only = &slot.volumes[0];
    assert_eq!((only.name.as_str(), only.device.as_str()), ("data", "/dev/sdf"));
    assert_eq!(only.origin, Origin::Adopted, "nothing says that it was created blank");
    let claim = &plan.claims[&instance(1)];
    assert_eq!(claim.phase, Phase::Leased { slot: slot_id(0), epoch: slot.epoch });
    assert_eq!(claim.last_slot, Some(slot_id(0)));
    assert_eq!(claim.version, slot.version);
    let policy = claim.policy.as_ref().unwrap();
    assert_eq!(policy.leave.mode, volume_pool::policy::LeaveMode::Detach, "as its hook says");
    assert!(!claim.open);
    assert_eq!((plan.pool.next_index, plan.pool.slots_per_zone[&place().zone]), (1, 1));
    assert_eq!(plan.groups[0].version, slot.version);
}

#[test]
fn numbers_rise_above_those_of_records_and_tags_even_where_a_clock_was_ahead() {
    let ahead = NOW.as_millis() + 5_000;
    let mut shown = held();
    let lease = LeaseTag { epoch: ahead, ..LeaseTag::of(&shown).unwrap() };
    shown.tags.insert(tags::LEASE.to_owned(), lease.to_string());
    assert_eq!(only(&empty().with(shown).in_service(1)).epoch, ahead + 1);
    let claim = Claim { version: ahead + 7, guard: None, ..leased_claim() };
    let view = empty().with(held()).in_service(1).known(Record::Claim(claim));
    assert_eq!(only(&view).version, ahead + 8);
}

#[test]
fn each_state_of_who_has_the_volume_leads_where_it_should() {
    use InstanceState as E;
    use LifecycleState as A;
    let other = |state: &str| Some(A::Other(state.to_owned()));
    let leased = [
        (E::Running, Some(A::InService)),
        (E::Running, Some(A::PendingWait)),
        (E::Running, other("Standby")),
        (E::Running, other("Terminating:Retained")),
        (E::Running, None),
        (E::Stopped, None),
    ];
    let releasing = [
        (E::Running, Some(A::Terminating)),
        (E::Stopped, Some(A::TerminatingWait)),
        (E::Running, Some(A::TerminatingProceed)),
        (E::Stopped, other("Warmed:Stopped")),
        (E::ShuttingDown, Some(A::InService)),
        (E::Terminated, None),
    ];
    for (instance, member) in leased {
        let slot = only(&empty().with(held()).instance(1, instance.clone(), member.clone()));
        assert!(holds(&slot, 1), "{instance:?} {member:?}: {:?}", slot.state);
    }
    for (state, member) in releasing {
        let view = empty().with(held()).instance(1, state.clone(), member.clone());
        let plan = planned(&view);
        let slot = &plan.slots[&slot_id(0)];
        assert_eq!(
            slot.state,
            SlotState::Releasing { holder: instance(1) },
            "{state:?} {member:?}"
        );
        let claim = &plan.claims[&instance(1)];
        assert!(matches!(claim.phase, Phase::Leaving { .. }) && claim.open);
    }
}

#[test]
fn a_detached_volume_is_free_once_its_release_is_known_or_its_holder_gone() {
    let detached = leased(1, 0, 1, "data", 1);
    let mut released = detached.clone();
    released.tags.insert(tags::RELEASED_AT.to_owned(), seconds_ago(60).to_string());
    let mut earlier = detached.clone();
    earlier.tags.insert(tags::RELEASED_AT.to_owned(), hours_ago(2).to_string());
    // Released, and its holder went on: into the warm pool, say.
    let slot = only(&empty().with(released).in_service(1));
    assert_eq!((slot.state, slot.released_at), (SlotState::Free, Some(seconds_ago(60))));
    // Taken off by somebody who told nobody: its holder keeps it, for a person to see to.
    assert!(holds(&only(&empty().with(earlier.clone()).in_service(1)), 1));
    // Its holder is forgotten: not before the lease began. Or gone this very hour: now.
    let slot = only(&empty().with(earlier.clone()));
    assert_eq!((slot.state, slot.released_at), (SlotState::Free, Some(hours_ago(1))));
    let slot = only(&empty().with(earlier).instance(1, InstanceState::Terminated, None));
    assert_eq!((slot.state, slot.released_at), (SlotState::Free, Some(NOW)));
    assert_eq!(
        slot.recent_holders,
        [instance(1)],
        "an attachment that lands late is no stranger's"
    );
}

#[test]
fn a_volume_on_the_move_is_looked_at_again() {
    for state in [VolumeState::InUse, VolumeState::Creating] {
        let moving = Volume { state, ..leased(1, 0, 1, "data", 1) };
        let unclear = plan(&place().pool, "stateful-asg", &empty().with(moving), NOW).unwrap_err();
        assert!(unclear.contains("neither attached nor available"), "{unclear}");
    }
    let guard = Guard { invocation: "x".parse().unwrap(), until: NOW.plus(situation::seconds(1)) };
    let claim = Claim { guard: Some(guard), ..leased_claim() };
    let view = empty().with(held()).in_service(1).known(Record::Claim(claim.clone()));
    let unclear = plan(&place().pool, "stateful-asg", &view, NOW).unwrap_err();
    assert!(unclear.contains("at work on i-00000001"), "{unclear}");
    plan(&place().pool, "stateful-asg", &view, NOW.plus(situation::seconds(1))).unwrap();
}

#[test]
fn what_does_not_add_up_is_set_apart() {
    let strange = on(leased(1, 0, 1, "data", 1), 77, "/dev/sdf");
    let view = empty().with(strange).instance(77, InstanceState::Running, None);
    set_apart(&view, "attached to i-0000004d, which never held it");

    let mut shared = held();
    shared.multi_attach = true;
    set_apart(&empty().with(shared).in_service(1), "several instances at once");
    set_apart(&empty().with(on(held(), 2, "/dev/sdf")).in_service(1), "several instances at once");

    let mut managed = held();
    managed.attachments[0].instance = None;
    set_apart(&empty().with(managed), "a resource that AWS manages");

    let broken =
        Volume { state: VolumeState::Other("error".to_owned()), ..leased(1, 0, 1, "data", 1) };
    set_apart(&empty().with(broken), "EC2 shows vol-00000001 error");

    let half = empty().with(leased(1, 0, 1, "data", 2)).in_service(1);
    set_apart(&half, "1 of its 2 volumes");

    let elsewhere = Volume { zone: "eu-central-1b".parse().unwrap(), ..leased(2, 0, 1, "log", 2) };
    set_apart(&empty().with(leased(1, 0, 1, "data", 2)).with(elsewhere), "different zones");

    let torn = empty()
        .with(on(leased(1, 0, 1, "data", 2), 1, "/dev/sdf"))
        .with(on(leased(2, 0, 1, "log", 2), 2, "/dev/sdg"))
        .in_service(1)
        .in_service(2);
    set_apart(&torn, "attached to i-00000001 and i-00000002");

    let twice = empty().with(leased(1, 0, 1, "data", 1)).with(leased(2, 0, 1, "data", 1));
    set_apart(&twice, "vol-00000001 and vol-00000002 go by the name data");
    assert_eq!(only(&twice).volumes, []);
}

/// Nobody gets two slots by it; the one that it was leased with stays.
#[test]
fn of_two_slots_on_one_instance_the_one_that_it_was_leased_with_is_its_own() {
    let more = on(leased(2, 1, 5, "data", 1), 1, "/dev/sdg");
    let plan = planned(&empty().with(held()).with(more).in_service(1));
    assert!(holds(&plan.slots[&slot_id(0)], 1));
    assert_eq!(plan.slots[&slot_id(1)].state, SlotState::Quarantined);
    let both = on(leased(2, 1, 1, "data", 1), 1, "/dev/sdg");
    let plan = planned(&empty().with(held()).with(both).in_service(1));
    assert!(plan.slots.values().all(|slot| slot.state == SlotState::Quarantined));
    assert_eq!(plan.claims[&instance(1)].phase, Phase::Closed);
}

#[test]
fn a_copy_is_told_of_and_belongs_to_no_slot() {
    let mut copy = available(9);
    copy.tags = held().tags;
    let plan = planned(&empty().with(held()).with(copy).in_service(1));
    assert!(holds(&plan.slots[&slot_id(0)], 1));
    assert_eq!(plan.slots[&slot_id(0)].volumes.len(), 1);
    assert_eq!(plan.strays, [volume(9)]);
    let told: Vec<String> = plan.findings.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("vol-00000009") && told[0].contains("copied"));
}

/// EC2 refused the tag of the lease on one of two volumes; the other one's says that there are two.
#[test]
fn a_volume_whose_lease_was_not_tagged_is_found_by_its_name_if_it_is_the_only_one() {
    let named = |number| tagged(number, &[(tags::SLOT, "cassandra-0"), (tags::VOLUME, "log")]);
    let whole = empty()
        .with(on(leased(1, 0, 1, "data", 2), 1, "/dev/sdf"))
        .with(on(named(2), 1, "/dev/sdh"))
        .in_service(1);
    let slot = only(&whole);
    assert!(holds(&slot, 1));
    assert_eq!(slot.volumes[1].device.as_str(), "/dev/sdh");
    set_apart(&whole.with(named(3)), "go by the name log");
}

#[test]
fn what_was_never_leased_is_left_to_be_adopted_and_its_name_is_given_to_nobody() {
    let named = tagged(5, &[(tags::SLOT, "cassandra-6"), (tags::VOLUME, "data")]);
    let plan = planned(&empty().with(named).with(available(7)));
    assert_eq!((plan.slots.len(), plan.pool.next_index), (0, 7));
    assert_eq!(plan.strays, [volume(5), volume(7)]);
    // In use by a member of ours it was leased, and its tag did not come to be set.
    let named = tagged(5, &[(tags::SLOT, "cassandra-6"), (tags::VOLUME, "data")]);
    let waits = Some(LifecycleState::PendingWait);
    let view = empty().with(on(named, 1, "/dev/sdf")).instance(1, InstanceState::Running, waits);
    assert!(holds(&only(&view), 1));
}

/// The restored record of slot 0 says that instance 1 holds it under epoch 3, and its mark.
fn restored() -> View {
    let slot = leased_slot();
    let mark = HeldMark {
        place: place(),
        slot: slot.id.clone(),
        holder: instance(1),
        volumes: vec![volume(1)],
        amiss: false,
    };
    empty()
        .known(Record::Slot(Slot { epoch: 3, ..slot }))
        .known(Record::Held(mark))
        .known(Record::Claim(leased_claim()))
}

#[test]
fn a_restored_record_gives_way_to_a_later_lease_and_its_claim_is_closed() {
    let view = restored().with(on(leased(1, 0, 2, "data", 1), 2, "/dev/sdf")).in_service(2);
    let plan = planned(&view);
    let slot = &plan.slots[&slot_id(0)];
    assert!(holds(slot, 2));
    assert_eq!(slot.recent_holders[..3], [instance(2), instance(1), instance(90)]);
    assert_eq!(slot.volumes[0].created_at, hours_ago(1000));
    assert_eq!(plan.claims[&instance(1)].phase, Phase::Closed);
    assert!(matches!(plan.claims[&instance(2)].phase, Phase::Leased { .. }));
}

#[test]
fn what_a_record_still_in_force_says_is_kept() {
    let apart = |epoch| Slot {
        state: SlotState::Quarantined,
        reason: "a person had it".to_owned(),
        epoch,
        recent_holders: vec![instance(1)],
        ..free_slot(0)
    };
    let free = leased(1, 0, 1, "data", 1);
    let view = empty().known(Record::Slot(apart(4))).with(free.clone());
    set_apart(&view, "a person had it");
    let since = empty().known(Record::Slot(apart(3))).with(free);
    assert_eq!(only(&since).state, SlotState::Free, "it was leased since");
    // A volume that is gone stays on record, for a person.
    let gone = only(&restored());
    assert_eq!(gone.state, SlotState::Quarantined);
    assert_eq!(gone.volumes, leased_slot().volumes);
    let pool = Pool { next_index: 40, paused: true, version: 9, ..Pool::new(place().pool) };
    let plan = planned(&empty().known(Record::Pool(pool)));
    assert!(plan.pool.paused && plan.pool.next_index == 40);
}

#[test]
fn what_was_retired_stays_out_of_the_pool_and_is_not_counted() {
    let retired =
        Slot { state: SlotState::Retired, reason: "decommissioned".to_owned(), ..free_slot(0) };
    let view = empty().known(Record::Slot(retired)).with(leased(1, 0, 9, "data", 1));
    let slot = only(&view);
    assert_eq!((slot.state, slot.reason.as_str()), (SlotState::Retired, "decommissioned"));
    let plan = planned(&view);
    assert_eq!((plan.strays.len(), plan.pool.slots_per_zone.len()), (0, 0));
}

#[test]
fn a_slot_that_is_being_moved_goes_on_and_counts_in_both_zones_unless_it_was_leased_since() {
    let to: Zone = "eu-central-1b".parse().unwrap();
    let name = "data".parse().unwrap();
    let copies = vec![Copied { name, snapshot: None, volume: Some(volume(7)) }];
    let moving = Move { since: seconds_ago(60), to: to.clone(), copies, left: Vec::new() };
    let slot = Slot {
        state: SlotState::Quarantined,
        epoch: 4,
        recent_holders: vec![instance(1)],
        moving: Some(moving.clone()),
        ..free_slot(0)
    };
    let copy = Volume {
        zone: to.clone(),
        ..tagged(7, &[(tags::SLOT, "cassandra-0"), (tags::VOLUME, "data")])
    };
    let view = empty().known(Record::Slot(slot.clone())).with(leased(1, 0, 1, "data", 1));
    let view = view.with(copy.clone());
    let plan = planned(&view);
    let kept = &plan.slots[&slot_id(0)];
    assert_eq!((&kept.moving, &kept.volumes), (&Some(moving), &slot.volumes));
    assert_eq!(plan.pool.slots_per_zone, [(place().zone, 1), (to, 1)].into());
    assert!(plan.strays.is_empty(), "the copy stays the slot's: {:?}", plan.strays);
    let since =
        empty().known(Record::Slot(Slot { epoch: 3, ..slot })).with(leased(1, 0, 1, "data", 1));
    assert_eq!(only(&since).moving, None, "the backup is older than what came of the move");
}

#[test]
fn a_slot_under_creation_goes_on_where_its_claim_says_so_too() {
    let id: SlotId = slot_id(3);
    let creating = Slot {
        id: id.clone(),
        state: SlotState::Creating { claimant: instance(1), planned: Vec::new() },
        volumes: Vec::new(),
        ..free_slot(0)
    };
    let phase =
        Phase::Creating { place: place(), since: seconds_ago(9), slot: id.clone(), queued: true };
    let claim = Claim { phase: phase.clone(), ..situation::claim() };
    let view = empty().known(Record::Slot(creating.clone())).known(Record::Claim(claim));
    let plan = planned(&view);
    assert_eq!(plan.slots[&id].state, creating.state);
    assert_eq!(plan.claims[&instance(1)].phase, phase);
    // Cut in two by the backup: nobody is creating it.
    let view = empty().known(Record::Slot(creating)).known(Record::Claim(situation::claim()));
    assert_eq!(planned(&view).slots[&id].state, SlotState::Quarantined);
}

/// Every member's claim gets the new number, so that what was written before can't pass for it.
#[test]
fn the_claims_of_all_members_start_above_what_was() {
    let view = empty().with(held()).in_service(1).in_service(2);
    let plan = planned(&view);
    assert_eq!(plan.claims.len(), 2);
    let other = &plan.claims[&instance(2)];
    assert_eq!(
        (&other.phase, other.open, other.version),
        (&Phase::Closed, false, NOW.as_millis() + 1)
    );
}
