//! What follows from one sweep's reads: who is looked at and in which order, and what is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::decide::Alarm;
use volume_pool::event::Transition;
use volume_pool::ids::InstanceId;
use volume_pool::lease_tag::LeaseTag;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Instance,
    InstanceState, LifecycleState, Volume, VolumeState, tags,
};
use volume_pool::policy::Template;
use volume_pool::ports::PortError;
use volume_pool::record::{
    ApartMark, Format, HeldMark, OpenMark, Origin, Place, Slot, SlotState, SlotVolume,
};
use volume_pool::sweep::{Found, Plan, PoolView, Swept};

const NOW: Timestamp = Timestamp::from_millis(1_795_469_400_000);

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - seconds * 1000)
}

fn id(number: u32) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

fn place() -> Place {
    Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() }
}

fn volume(number: u32, holder: Option<u32>) -> Volume {
    let attachment = holder.map(|holder| Attachment {
        instance: Some(id(holder)),
        device: "/dev/sdf".to_owned(),
        state: AttachmentState::Attached,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: ago(10_000),
    });
    Volume {
        id: format!("vol-{number:08x}").parse().unwrap(),
        zone: place().zone,
        state: if holder.is_some() { VolumeState::InUse } else { VolumeState::Available },
        multi_attach: false,
        attachments: attachment.into_iter().collect(),
        tags: BTreeMap::from([
            (tags::POOL.to_owned(), "cassandra".to_owned()),
            (tags::SLOT.to_owned(), format!("cassandra-{number}")),
            (tags::LEASE.to_owned(), lease(number)),
        ]),
        created_at: ago(100_000),
        like: Template {
            volume_type: "gp3".to_owned(),
            size_gib: 10,
            iops: None,
            throughput: None,
            encrypted: true,
            kms_key_id: None,
            tags: BTreeMap::new(),
        },
    }
}

/// The lease of instance `number` on volume `number`.
fn lease(number: u32) -> String {
    let lease = LeaseTag {
        epoch: 1,
        holder: id(number),
        volume: format!("vol-{number:08x}").parse().unwrap(),
        of: 1,
        since: ago(10_000),
    };
    lease.to_string()
}

/// Slot `number`, with volume `number`, held by instance `number`.
fn held(number: u32) -> HeldMark {
    HeldMark {
        place: place(),
        slot: format!("cassandra-{number}").parse().unwrap(),
        holder: id(number),
        volumes: vec![volume(number, None).id],
        amiss: false,
    }
}

fn free(number: u32) -> Slot {
    Slot {
        id: format!("cassandra-{number}").parse().unwrap(),
        zone: place().zone,
        version: 3,
        epoch: 1,
        state: SlotState::Free,
        recent_holders: vec![id(90)],
        volumes: vec![SlotVolume {
            name: "data".parse().unwrap(),
            volume: volume(number, None).id,
            device: "/dev/sdf".parse().unwrap(),
            origin: Origin::Adopted,
            created_at: ago(100_000),
        }],
        format: Format::Over,
        leased_at: None,
        released_at: Some(ago(3_600)),
        moving: None,
        reason: String::new(),
    }
}

fn group(members: &[(u32, LifecycleState)]) -> GroupView {
    let name: volume_pool::ids::GroupName = "cassandra".parse().unwrap();
    let member = |state: &LifecycleState| GroupInstance {
        group: name.clone(),
        zone: place().zone,
        state: state.clone(),
    };
    GroupView {
        name: name.clone(),
        pool_tag: Some("cassandra".to_owned()),
        max_size: 9,
        desired: 3,
        members: members.iter().map(|(number, state)| (id(*number), member(state))).collect(),
    }
}

/// Instances 1 and 2 in service with their slots, slot 3 free.
fn at_rest() -> Swept {
    Swept {
        open: Some(Vec::new()),
        groups: Some(vec![group(&[
            (1, LifecycleState::InService),
            (2, LifecycleState::InService),
        ])]),
        pools: vec![PoolView {
            name: place().pool,
            held: vec![held(1), held(2)],
            apart: Vec::new(),
            free: vec![free(3)],
            volumes: vec![volume(1, Some(1)), volume(2, Some(2)), volume(3, None)],
        }],
        holders: Some(BTreeMap::new()),
        failures: Vec::new(),
    }
}

fn runs(number: u32, state: InstanceState) -> BTreeMap<InstanceId, Instance> {
    let instance = Instance {
        id: id(number),
        zone: place().zone,
        state,
        devices: Vec::new(),
        tags: BTreeMap::new(),
    };
    BTreeMap::from([(id(number), instance)])
}

fn found(swept: &Swept) -> Vec<(InstanceId, Found)> {
    swept.plan(NOW).instances
}

#[test]
fn what_is_at_rest_costs_nothing_more() {
    assert_eq!(at_rest().plan(NOW), Plan::default());
}

#[test]
fn each_state_of_a_holder_leads_where_it_should() {
    use LifecycleState as A;
    let other = |state: &str| A::Other(state.to_owned());
    let cases = [
        (A::InService, None),
        (other("Standby"), None),
        (other("Terminating:Retained"), None),
        (A::PendingProceed, None),
        (A::Pending, None),
        (A::PendingWait, Some(Found::InHook)),
        (A::WarmedPendingWait, Some(Found::InHook)),
        (A::TerminatingWait, Some(Found::InHook)),
        (A::Terminating, Some(Found::HolderLeaving)),
        (A::TerminatingProceed, Some(Found::HolderLeaving)),
        (other("Warmed:Stopped"), Some(Found::HolderLeaving)),
        (other("Warmed:Pending:Retained"), None),
        (other("Terminated"), Some(Found::HolderLeaving)),
    ];
    for (state, why) in cases {
        let mut swept = at_rest();
        swept.groups = Some(vec![group(&[(1, state.clone()), (2, A::InService)])]);
        assert_eq!(found(&swept), Vec::from_iter(why.map(|why| (id(1), why))), "{state}");
    }
}

#[test]
fn a_holder_outside_the_groups_keeps_its_slot_while_it_lives() {
    use InstanceState as E;
    let mut swept = at_rest();
    swept.groups = Some(vec![group(&[(2, LifecycleState::InService)])]);
    assert_eq!(swept.unseen_holders(), [id(1)]);
    for (state, gone) in
        [(E::Running, false), (E::Stopped, false), (E::ShuttingDown, true), (E::Terminated, true)]
    {
        swept.holders = Some(runs(1, state.clone()));
        let expected = if gone { vec![(id(1), Found::HolderGone)] } else { Vec::new() };
        assert_eq!(found(&swept), expected, "{state:?}");
    }
    swept.holders = Some(BTreeMap::new());
    assert_eq!(found(&swept), [(id(1), Found::HolderGone)], "EC2 does not know it");
}

#[test]
fn what_could_not_be_read_is_no_evidence_of_absence() {
    let mut swept = at_rest();
    swept.groups = None;
    assert_eq!(swept.unseen_holders(), Vec::new());
    assert_eq!(found(&swept), Vec::new(), "without the groups");
    let mut swept = at_rest();
    swept.groups = Some(Vec::new());
    swept.holders = None;
    assert_eq!(found(&swept), Vec::new(), "without EC2");
}

#[test]
fn a_leased_slot_is_looked_at_when_a_volume_is_not_as_it_should_be() {
    let changes: [fn(&mut Vec<Volume>); 8] = [
        |volumes| drop(volumes[0].tags.remove(tags::LEASE)),
        |volumes| drop(volumes[0].tags.insert(tags::LEASE.to_owned(), lease(2))),
        |volumes| drop(volumes.remove(0)),
        |volumes| volumes[0] = volume(1, None),
        |volumes| volumes[0] = volume(1, Some(2)),
        |volumes| volumes[0].attachments[0].delete_on_termination = DeleteOnTermination::Delete,
        |volumes| volumes[0].attachments[0].state = AttachmentState::Busy,
        |volumes| drop(volumes[0].tags.insert(tags::SLOT.to_owned(), "cassandra-9".to_owned())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut swept = at_rest();
        change(&mut swept.pools[0].volumes);
        assert_eq!(found(&swept), [(id(1), Found::SlotAmiss)], "change {number}");
    }
    let mut swept = at_rest();
    swept.pools[0].held[0].amiss = true;
    assert_eq!(found(&swept), [(id(1), Found::SlotMended)]);
}

#[test]
fn an_instance_at_work_with_an_unknown_volume_of_its_pool_is_not_enrolled() {
    let unknown = |state: LifecycleState| {
        let mut swept = at_rest();
        let both = [(1, LifecycleState::InService), (2, LifecycleState::InService), (7, state)];
        swept.groups = Some(vec![group(&both)]);
        swept.pools[0].volumes.push(volume(7, Some(7)));
        swept
    };
    let standby = LifecycleState::Other("Standby".to_owned());
    for state in [LifecycleState::InService, standby] {
        assert_eq!(found(&unknown(state)), [(id(7), Found::NotEnrolled)]);
    }
    for state in ["Terminating:Retained", "Warmed:Stopped", "Warmed:Running", "Detaching"] {
        let state = LifecycleState::Other(state.to_owned());
        assert_eq!(found(&unknown(state.clone())), Vec::new(), "{state}");
    }
    let mut root = unknown(LifecycleState::InService);
    root.pools[0].volumes[3].attachments[0].device = "/dev/xvda".to_owned();
    assert_eq!(found(&root), Vec::new(), "a root volume");
    let mut other = unknown(LifecycleState::InService);
    other.groups.as_mut().unwrap()[0].pool_tag = Some("kafka".to_owned());
    assert_eq!(found(&other), Vec::new(), "a volume of another pool than its group's");
    let mut second = at_rest();
    second.pools[0].volumes.push(volume(7, Some(1)));
    assert_eq!(found(&second), Vec::new(), "an instance holds one slot");
    let mut stranger = at_rest();
    stranger.pools[0].volumes.push(volume(7, Some(8)));
    assert_eq!(found(&stranger), Vec::new(), "an instance of no group");
}

#[test]
fn a_free_slot_is_looked_at_when_a_launch_could_not_use_it() {
    let drifted = |change: fn(&mut Swept)| {
        let mut swept = at_rest();
        change(&mut swept);
        swept.plan(NOW).slots.len()
    };
    assert_eq!(drifted(|swept| swept.pools[0].volumes[2] = volume(3, Some(8))), 1, "a stranger");
    assert_eq!(
        drifted(|swept| swept.pools[0].volumes[2] = volume(3, Some(90))),
        1,
        "given back to whom had it before"
    );
    assert_eq!(
        drifted(|swept| {
            swept.pools[0].volumes[2] = volume(3, Some(90));
            swept.pools[0].free[0].released_at = Some(ago(60));
        }),
        0,
        "had it before, a minute after its release"
    );
    assert_eq!(drifted(|swept| drop(swept.pools[0].volumes.pop())), 1, "gone");
    assert_eq!(
        drifted(|swept| {
            swept.pools[0].volumes.pop();
            swept.pools[0].free[0].released_at = Some(ago(60));
        }),
        0,
        "not shown, a minute after its release"
    );
    assert_eq!(drifted(|swept| swept.pools[0].volumes[2].multi_attach = true), 1);
    assert_eq!(
        drifted(|swept| swept.pools[0].volumes[2].state = VolumeState::Other("error".to_owned())),
        1
    );
}

#[test]
fn who_was_attended_longest_ago_comes_first_and_nobody_is_kept_from_his_turn() {
    use LifecycleState as A;
    let mut swept = at_rest();
    let members =
        [(1, A::InService), (2, A::Terminating), (4, A::PendingWait), (5, A::PendingWait)];
    swept.groups = Some(vec![group(&members)]);
    let open = |number, seconds| OpenMark {
        instance: id(number),
        attended_at: ago(seconds),
        transition: None,
    };
    swept.open = Some(vec![open(4, 20), open(6, 70), open(7, 200)]);
    swept.pools[0].held[0].amiss = true;
    assert_eq!(
        found(&swept),
        [
            (id(7), Found::WorkLeft),
            // No mark tells of these two: they come before what was attended in the last run.
            (id(5), Found::InHook),
            (id(2), Found::HolderLeaving),
            (id(6), Found::WorkLeft),
            (id(4), Found::InHook),
            // Nobody waits for this one.
            (id(1), Found::SlotMended),
        ]
    );
}

/// Whoever set it apart may have died before he could say so.
#[test]
fn a_slot_that_is_set_apart_is_told_of_in_each_sweep_and_nothing_is_done_about_it() {
    let mut swept = at_rest();
    assert_eq!(swept.alarms(), []);
    let (slot, reason) = (free(4).id, "its volume is in error".to_owned());
    let mark = ApartMark { place: place(), slot: slot.clone(), reason: reason.clone() };
    swept.pools[0].apart = vec![mark];
    assert_eq!(swept.alarms(), [Alarm::SetApart { slot, reason }]);
    assert_eq!(swept.plan(NOW), Plan::default());
}

#[test]
fn without_the_records_whatever_waits_is_kept_alive() {
    use LifecycleState as A;
    let mut swept = at_rest();
    let members = [
        (1, A::InService),
        (4, A::PendingWait),
        (5, A::TerminatingWait),
        (6, A::WarmedPendingWait),
    ];
    swept.groups = Some(vec![group(&members)]);
    assert!(swept.plan(NOW).keep_alive.is_empty(), "the loops do it");
    swept.open = None;
    let expected = vec![
        (id(4), Transition::Launching),
        (id(5), Transition::Terminating),
        // On its way into the warm pool or back there: the one or the other.
        (id(6), Transition::Launching),
        (id(6), Transition::Terminating),
    ];
    assert_eq!(swept.plan(NOW).keep_alive.into_values().collect::<Vec<_>>(), [expected]);
    assert_eq!(swept.waiting(), 3);
}

/// Then the loops can't look at those instances either, and may know of no action but an earlier one: a launch that was
/// never answered, say, while the instance terminates.
#[test]
fn while_any_part_cannot_be_read_whatever_waits_is_kept_alive() {
    let mut swept = at_rest();
    swept.groups = Some(vec![group(&[(5, LifecycleState::TerminatingWait)])]);
    let (call, problem) = ("ec2:DescribeVolumes", "no answer".to_owned());
    swept.failures.push(PortError::Transient { call, problem });
    let expected = vec![(id(5), Transition::Terminating)];
    assert_eq!(swept.plan(NOW).keep_alive.into_values().collect::<Vec<_>>(), [expected]);
}

/// The event of a termination is lost while others are at work on the instance's launch, and then they die (seed 9261).
#[test]
fn who_waits_for_other_hooks_than_the_record_knows_of_is_kept_alive() {
    use LifecycleState as A;
    let mut swept = at_rest();
    swept.groups = Some(vec![group(&[(5, A::TerminatingWait), (6, A::WarmedPendingWait)])]);
    let mark = |number, transition| OpenMark { instance: id(number), attended_at: NOW, transition };
    let (launch, termination) = (Some(Transition::Launching), Some(Transition::Terminating));
    swept.open = Some(vec![mark(5, termination), mark(6, launch)]);
    assert!(swept.plan(NOW).keep_alive.is_empty());
    // Of one whose event was lost the record knows no action at all (seeds 28633, 29958).
    for (of_5, of_6) in [(launch, termination), (None, launch)] {
        swept.open = Some(vec![mark(5, of_5), mark(6, of_6)]);
        let expected = vec![(id(5), Transition::Terminating)];
        assert_eq!(swept.plan(NOW).keep_alive.into_values().collect::<Vec<_>>(), [expected]);
    }
}

/// While EC2 can't be read, reconcile keeps every action alive, and an account's limits let by no more than a number of them
/// at once (seed 1188 of the simulation's third plan: always the same ones came too late).
#[test]
fn whoever_comes_last_in_one_minute_is_in_the_first_quarter_within_four() {
    for number in [1_usize, 2, 3, 5, 8, 42, 101] {
        let everybody: Vec<usize> = (0..number).collect();
        let mut first: BTreeSet<usize> = BTreeSet::new();
        for minute in 7..11 {
            let now = Timestamp::from_millis(minute * 60_000 + 40_123);
            let order = volume_pool::sweep::from_another_end(everybody.clone(), now);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, everybody, "somebody is left out");
            first.extend(&order[..=number / 4]);
        }
        assert_eq!(first.len(), number, "of {number} only {first:?} came first");
    }
}

#[test]
fn the_last_turn_begins_before_the_functions_end_and_however_little_time_it_has_after_its_beginning()
 {
    let began = NOW;
    let last = |given| {
        let deadline = began.plus(Duration::from_secs(given));
        volume_pool::sweep::last_turn(began, deadline).since(began)
    };
    assert_eq!(last(60), Duration::from_secs(40));
    assert_eq!(last(3), Duration::from_secs(2));
}
