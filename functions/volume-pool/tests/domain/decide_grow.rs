//! What is decided where no slot is free: wait for a holder that leaves, or grow, and how (design.md 5.4 to 5.6).

use std::collections::BTreeMap;

use crate::situation::{
    Situation, available, coming, device, earlier_waiter, free_slot, hours_ago, instance,
    launch_action, members, on, place, seconds_ago, slot_id, tagged, template, volume,
    waiting_claim, written_claim, written_slot,
};
use volume_pool::decide::{Alarm, Decision, Effect, Look, Reason, Step};
use volume_pool::effect::Creation;
use volume_pool::ids::InstanceId;
use volume_pool::observation::{
    AttachmentState, GroupInstance, Instance, InstanceState, LifecycleState, Others, VolumeState,
    tags,
};
use volume_pool::policy::{Template, WhenEmpty};
use volume_pool::ports::Refusal;
use volume_pool::record::{Claim, HeldMark, Key, Phase, Planned, Pool, Record, Slot, SlotState};
use volume_pool::transition::{Expect, Transaction, Write};

/// Everything was looked at, nothing is free or comes, and the policy creates from a template.
fn growing() -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.policy_mut().when_empty = WhenEmpty::Create;
    situation.policy_mut().volumes[0].template = Some(template());
    situation
}

fn held(index: u32, holder: u32) -> HeldMark {
    HeldMark {
        place: place(),
        slot: slot_id(index),
        holder: instance(holder),
        volumes: Vec::new(),
        amiss: false,
    }
}

fn member(state: LifecycleState) -> GroupInstance {
    GroupInstance { group: launch_action().group, zone: place().zone, state }
}

/// One slot is held, by instance 5, which its group shows in this state.
fn held_by_a_member(state: LifecycleState) -> Situation {
    let mut situation = growing();
    situation.seen.held = Some(vec![held(0, 5)]);
    let group = situation.seen.members.as_mut().unwrap();
    group.members.insert(instance(5), member(state));
    situation.seen.holders = Some(BTreeMap::from([running(5, InstanceState::Running)]));
    situation
}

fn running(number: u32, state: InstanceState) -> (InstanceId, Instance) {
    let id = instance(number);
    let (zone, devices, tags) = (place().zone, Vec::new(), BTreeMap::new());
    (id.clone(), Instance { id, zone, state, devices, tags })
}

/// One slot is held, by instance 5 of no group, which EC2 shows in this state, or not at all.
fn held_by_a_stray(state: Option<InstanceState>) -> Situation {
    let mut situation = growing();
    situation.seen.held = Some(vec![held(0, 5)]);
    let instances = state.map(|state| running(5, state)).into_iter().collect();
    situation.seen.others = Some(Others { instances, ..Others::default() });
    situation
}

fn waits_for_the_holder(situation: &Situation) {
    let reason = Reason::WaitingForHolder { slot: slot_id(0), holder: instance(5) };
    situation.rests(Some(launch_action()), &reason);
}

fn grows(situation: &Situation) -> Transaction {
    situation.gives_transaction("intend", &Reason::Grow { zone: place().zone })
}

// Who leaves.

#[test]
fn before_anything_is_created_the_pool_the_holders_and_the_group_are_looked_at() {
    let mut situation = growing();
    situation.seen.members = None;
    let group = launch_action().group;
    situation.gives(&Step::Look(Look::Group(group)), &Reason::LookForHolders);
    situation.seen.held = None;
    situation.gives(&Step::Look(Look::Held(place())), &Reason::LookForHolders);
    situation.seen.pool = None;
    situation.gives(&Step::Look(Look::Pool(place().pool)), &Reason::LookAtPool);
}

#[test]
fn holders_outside_the_group_are_looked_at_by_their_ids() {
    let mut situation = held_by_a_stray(None);
    situation.seen.others = None;
    let look = Look::Others(vec![instance(5)]);
    situation.gives(&Step::Look(look), &Reason::LookForHolders);
}

#[test]
fn the_slot_of_a_holder_that_is_leaving_is_waited_for() {
    for state in [
        LifecycleState::Terminating,
        LifecycleState::TerminatingWait,
        LifecycleState::TerminatingProceed,
        LifecycleState::Other("Warmed:Stopped".to_owned()),
        LifecycleState::Other("Warmed:Running".to_owned()),
        LifecycleState::Other("Terminated".to_owned()),
    ] {
        waits_for_the_holder(&held_by_a_member(state));
    }
}

#[test]
fn the_slot_of_a_holder_that_ec2_shows_down_is_waited_for_before_its_group_has_noticed() {
    for state in [InstanceState::Stopping, InstanceState::ShuttingDown, InstanceState::Terminated] {
        let mut situation = held_by_a_member(LifecycleState::InService);
        situation.seen.holders = Some(BTreeMap::from([running(5, state)]));
        waits_for_the_holder(&situation);
    }
    let mut situation = held_by_a_member(LifecycleState::Other("Standby".to_owned()));
    situation.seen.holders = Some(BTreeMap::from([running(5, InstanceState::Stopped)]));
    grows(&situation);
}

#[test]
fn a_tagged_volume_on_an_instance_that_leaves_is_waited_for_though_no_record_knows_it() {
    let mut situation = growing();
    situation.zone().pool = Some(Pool::new(place().pool));
    let mut stray = on(9, 5, AttachmentState::Attached);
    stray.tags.remove(tags::SLOT);
    situation.seen.pool = Some(vec![stray]);
    let instances = [running(5, InstanceState::ShuttingDown)].into();
    situation.seen.others = Some(Others { instances, ..Others::default() });
    let reason = Reason::WaitingForVolume { volume: volume(9), holder: instance(5) };
    situation.rests(Some(launch_action()), &reason);
}

#[test]
fn what_a_parked_instance_brought_along_is_not_waited_for() {
    let mut situation = growing();
    situation.zone().pool = Some(Pool::new(place().pool));
    let mut stray = on(9, 5, AttachmentState::Attached);
    stray.tags.remove(tags::SLOT);
    situation.seen.pool = Some(vec![stray]);
    let parked = member(LifecycleState::Other("Warmed:Stopped".to_owned()));
    situation.seen.members.as_mut().unwrap().members.insert(instance(5), parked);
    situation.seen.holders = Some(BTreeMap::from([running(5, InstanceState::Stopped)]));
    grows(&situation);
}

#[test]
fn the_slot_of_a_holder_in_no_group_that_is_stopped_or_gone_is_waited_for() {
    waits_for_the_holder(&held_by_a_stray(None));
    for state in [
        InstanceState::Stopping,
        InstanceState::Stopped,
        InstanceState::ShuttingDown,
        InstanceState::Terminated,
    ] {
        waits_for_the_holder(&held_by_a_stray(Some(state)));
    }
}

#[test]
fn a_holder_that_stays_is_not_waited_for() {
    for state in [
        LifecycleState::InService,
        LifecycleState::Pending,
        LifecycleState::PendingWait,
        LifecycleState::Other("Standby".to_owned()),
        LifecycleState::Other("Terminating:Retained".to_owned()),
        LifecycleState::Other("Warmed:Pending:Retained".to_owned()),
    ] {
        grows(&held_by_a_member(state));
    }
    grows(&held_by_a_stray(Some(InstanceState::Running)));
}

#[test]
fn earlier_waiters_have_the_first_call_on_what_comes() {
    let mut situation = held_by_a_member(LifecycleState::TerminatingWait);
    situation.zone().earlier = vec![earlier_waiter(2)];
    grows(&situation);
    situation.zone().coming = vec![coming(1, 6)];
    waits_for_the_holder(&situation);
}

// The intent.

#[test]
fn the_intent_names_a_slot_counts_it_and_keeps_the_place_in_the_queue() {
    let mut situation = growing();
    let pool = Pool { version: 3, next_index: 7, ..Pool::new(place().pool) };
    situation.zone().pool = Some(pool);
    let transaction = grows(&situation);
    let slot = written_slot(&transaction);
    assert_eq!((&slot.id, slot.epoch, slot.volumes.len()), (&slot_id(7), 0, 0));
    let planned = Planned {
        name: "data".parse().unwrap(),
        device: device("/dev/sdf"),
        like: template(),
        attempt: 1,
        volume: None,
    };
    let state = SlotState::Creating { claimant: instance(1), planned: vec![planned] };
    assert_eq!(slot.state, state);
    let (claim, expect) = written_claim(&transaction);
    let since = seconds_ago(10);
    let phase = Phase::Creating { place: place(), since, slot: slot_id(7), queued: true };
    assert_eq!(claim.phase, phase);
    assert_eq!(expect, Expect::Version(7));
    let counted = transaction.writes.iter().any(|write| {
        matches!(write, Write::Put(Record::Pool(pool), Expect::Version(3))
            if pool.slots_per_zone[&place().zone] == 1 && pool.next_index == 8)
    });
    assert!(counted, "{transaction:?}");
    let waiting = Key::Waiting(place(), since, instance(1));
    assert!(!transaction.writes.contains(&Write::Delete(waiting)));
}

#[test]
fn a_new_slot_takes_no_index_that_a_volume_goes_by() {
    let mut situation = growing();
    situation.zone().pool = Some(Pool::new(place().pool));
    situation.seen.pool = Some(vec![tagged(9, &[(tags::SLOT, "cassandra-4")])]);
    assert_eq!(written_slot(&grows(&situation)).id, slot_id(5));
}

#[test]
fn at_the_maximum_nothing_is_created() {
    let mut situation = growing();
    let mut pool = Pool { version: 3, ..Pool::new(place().pool) };
    pool.slots_per_zone.insert(place().zone, 2);
    situation.zone().pool = Some(pool);
    situation.policy_mut().max_slots_per_zone = Some(2);
    let reason = Reason::WaitingAtMaximum { zone: place().zone, most: 2 };
    situation.rests(Some(launch_action()), &reason);
    situation.policy_mut().max_slots_per_zone = Some(3);
    grows(&situation);
}

#[test]
fn without_a_maximum_in_the_policy_the_groups_own_is_the_maximum() {
    let mut situation = growing();
    let mut pool = Pool { version: 3, ..Pool::new(place().pool) };
    pool.slots_per_zone.insert(place().zone, members().max_size);
    situation.zone().pool = Some(pool);
    let reason = Reason::WaitingAtMaximum { zone: place().zone, most: 3 };
    situation.rests(Some(launch_action()), &reason);
}

#[test]
fn a_stale_slot_counts_as_data_and_nothing_empty_takes_its_place() {
    let mut situation = growing();
    situation.policy_mut().stale_after_hours = Some(24);
    let stale = Slot { released_at: Some(hours_ago(48)), ..free_slot(0) };
    situation.zone().free = vec![stale];
    situation.rests(Some(launch_action()), &Reason::WaitingOnlyStale { count: 1 });
    assert_eq!(situation.alarms(), [Alarm::StaleSlots { count: 1 }]);
}

#[test]
fn with_the_table_lost_nothing_is_created() {
    let mut situation = growing();
    situation.seen.pool = Some(vec![on(5, 77, AttachmentState::Attached)]);
    situation.rests(Some(launch_action()), &Reason::HeldForRecords);
    let alarm = Alarm::PoolUnknown { pool: place().pool, volume: volume(5) };
    assert_eq!(situation.alarms(), [alarm]);
    situation.zone().pool = Some(Pool::new(place().pool));
    grows(&situation);
}

#[test]
fn without_a_template_the_youngest_volume_of_that_name_is_the_example() {
    let mut situation = growing();
    situation.policy_mut().volumes[0].template = None;
    let with = |number, name: &str, age, volume_type: &str| {
        let mut volume = tagged(number, &[(tags::VOLUME, name), ("team", "data"), ("aws:x", "y")]);
        volume.created_at = hours_ago(age);
        volume.like.volume_type = volume_type.to_owned();
        volume
    };
    let pool = vec![with(2, "data", 9, "gp3"), with(3, "data", 5, "gp2"), with(4, "log", 1, "io2")];
    situation.seen.pool = Some(pool);
    let transaction = grows(&situation);
    let SlotState::Creating { planned, .. } = &written_slot(&transaction).state else { panic!() };
    // EC2 shows IOPS for gp2 as well, and refuses to be asked for them.
    let expected = Template {
        volume_type: "gp2".to_owned(),
        iops: None,
        throughput: None,
        tags: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        ..template()
    };
    assert_eq!(planned[0].like, expected);
}

#[test]
fn with_neither_template_nor_example_nothing_is_created_and_the_alarm_names_the_volume() {
    let mut situation = growing();
    situation.policy_mut().volumes[0].template = None;
    situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
    let volume = "data".parse().unwrap();
    assert_eq!(situation.alarms(), [Alarm::NothingToCreateFrom { volume }]);
}

// The creation.

/// Slot 7 is being created for the instance, after everything was looked at once more.
fn creating() -> Situation {
    let mut situation = growing();
    let planned = Planned {
        name: "data".parse().unwrap(),
        device: device("/dev/sdf"),
        like: template(),
        attempt: 1,
        volume: None,
    };
    let state = SlotState::Creating { claimant: instance(1), planned: vec![planned] };
    situation.seen.slot =
        Some(Slot { id: slot_id(7), epoch: 0, volumes: Vec::new(), state, ..free_slot(7) });
    let phase =
        Phase::Creating { place: place(), since: seconds_ago(20), slot: slot_id(7), queued: true };
    let policy = waiting(&growing());
    situation.seen.claim = Some(Claim { phase, policy, since: seconds_ago(5), ..waiting_claim() });
    situation.zone().pool = Some(Pool { version: 3, next_index: 8, ..Pool::new(place().pool) });
    situation
}

fn waiting(situation: &Situation) -> Option<volume_pool::policy::Policy> {
    situation.seen.claim.as_ref().unwrap().policy.clone()
}

fn planned(situation: &mut Situation) -> &mut Planned {
    match &mut situation.slot().state {
        SlotState::Creating { planned, .. } => &mut planned[0],
        other => panic!("{other:?}"),
    }
}

fn creation(decision: &Decision) -> &Creation {
    match &decision.step {
        Step::Effect(Effect::Create(creation)) => creation,
        other => panic!("{other:?}: {}", decision.reason),
    }
}

#[test]
fn the_volume_is_asked_for_with_its_slots_name_and_a_token_of_its_own() {
    let mut situation = creating();
    let decision = situation.decided();
    let first = creation(&decision).clone();
    assert_eq!((&first.zone, &first.like), (&place().zone, &template()));
    let named = BTreeMap::from([
        (tags::POOL.to_owned(), "cassandra".to_owned()),
        (tags::SLOT.to_owned(), "cassandra-7".to_owned()),
        (tags::VOLUME.to_owned(), "data".to_owned()),
    ]);
    assert_eq!(first.tags, named);
    assert_eq!(first.token.len(), 64, "CreateVolume takes 64 characters");
    assert_eq!(creation(&situation.decided()).token, first.token, "a retry asks the same");
    planned(&mut situation).attempt = 2;
    assert_ne!(creation(&situation.decided()).token, first.token);
}

#[test]
fn the_intent_is_taken_back_where_a_slot_came_free_or_will() {
    let free = |situation: &mut Situation| situation.zone().free = vec![free_slot(0)];
    let coming = |situation: &mut Situation| situation.zone().coming = vec![coming(0, 5)];
    let leaving = |situation: &mut Situation| {
        situation.seen.held = Some(vec![held(0, 5)]);
        let members = &mut situation.seen.members.as_mut().unwrap().members;
        members.insert(instance(5), member(LifecycleState::TerminatingWait));
    };
    // Too old for the waiter, but data (seed 4266 of the simulation's third plan).
    let stale = |situation: &mut Situation| {
        situation.policy_mut().stale_after_hours = Some(1);
        let released_at = Some(hours_ago(2));
        situation.zone().free = vec![Slot { released_at, ..free_slot(0) }];
    };
    for came in [&free as &dyn Fn(&mut Situation), &coming, &leaving, &stale] {
        let mut situation = creating();
        came(&mut situation);
        let reason = Reason::CancelCreation { slot: slot_id(7) };
        let transaction = situation.gives_transaction("cancel", &reason);
        assert!(transaction.writes.contains(&Write::Delete(Key::Slot(slot_id(7)))));
        let (claim, _) = written_claim(&transaction);
        let since = seconds_ago(20);
        assert_eq!(claim.phase, Phase::Waiting { place: place(), since });
    }
}

#[test]
fn once_every_volume_exists_the_slot_is_the_instances_unless_one_with_data_is_free() {
    let mut situation = creating();
    situation.zone().coming = vec![coming(0, 5)];
    planned(&mut situation).volume = Some(volume(9));
    situation.show(tagged(9, &[(tags::SLOT, "cassandra-7")]));
    let reason = Reason::Created { slot: slot_id(7) };
    let transaction = situation.gives_transaction("created", &reason);
    let slot = written_slot(&transaction);
    assert_eq!((slot.epoch, slot.holder()), (1, Some(&instance(1))));
    assert_eq!(slot.volumes[0].volume, volume(9));
    situation.zone().free = vec![free_slot(0)];
    let transaction = situation.gives_transaction("spare", &reason);
    assert_eq!(written_slot(&transaction).state, SlotState::Free);
    let (claim, _) = written_claim(&transaction);
    assert!(matches!(claim.phase, Phase::Waiting { .. }));
}

#[test]
fn a_part_of_a_slot_is_set_apart_where_one_with_data_comes() {
    let mut situation = creating();
    let SlotState::Creating { planned, .. } = &mut situation.slot().state else { panic!() };
    planned.push(Planned { name: "log".parse().unwrap(), ..planned[0].clone() });
    planned[0].volume = Some(volume(9));
    situation.zone().coming = vec![coming(0, 5)];
    // The other's creation may have been answered to a function that died of it.
    let unanswered = Reason::LookForCreated { slot: slot_id(7) };
    situation.gives(&Step::Look(Look::SlotVolumes(slot_id(7))), &unanswered);
    situation.seen.slot_volumes = Some(Vec::new());
    let problem = "only a part of its slot's volumes was created".to_owned();
    let reason = Reason::Quarantine { volume: volume(9), problem };
    let transaction = situation.gives_transaction("set apart", &reason);
    let slot = written_slot(&transaction);
    assert_eq!((&slot.state, slot.volumes.len()), (&SlotState::Quarantined, 1));
    assert!(matches!(written_claim(&transaction).0.phase, Phase::Waiting { .. }));
    // Nor does the part that somebody has attached by hand meanwhile get lost.
    let mut found = tagged(8, &[(tags::SLOT, "cassandra-7"), (tags::VOLUME, "log")]);
    found.state = VolumeState::InUse;
    situation.seen.slot_volumes = Some(vec![found]);
    situation.gives_transaction("note volume", &Reason::NoteVolume { volume: volume(8) });
}

#[test]
fn what_ec2_answered_goes_on_record_before_anything_else() {
    let mut situation = creating();
    situation.seen.answers.created.insert("data".parse().unwrap(), volume(9));
    let reason = Reason::NoteVolume { volume: volume(9) };
    let transaction = situation.gives_transaction("note volume", &reason);
    let owner = Key::Volume(volume(9));
    assert!(transaction.writes.iter().any(|write| {
        matches!(write, Write::Put(record, Expect::Absent) if record.key() == owner)
    }));
}

#[test]
fn a_burned_token_or_a_used_up_quota_asks_the_tag_before_anything_else() {
    for refusal in [Refusal::TokenBurned, Refusal::QuotaExceeded("VolumeLimitExceeded".into())] {
        let mut situation = creating();
        let answers = &mut situation.seen.answers;
        answers.create_refused.insert("data".parse().unwrap(), refusal);
        let look = Step::Look(Look::SlotVolumes(slot_id(7)));
        situation.gives(&look, &Reason::LookForCreated { slot: slot_id(7) });
        let found = tagged(9, &[(tags::SLOT, "cassandra-7"), (tags::VOLUME, "data")]);
        situation.seen.slot_volumes = Some(vec![found]);
        situation.gives_transaction("note volume", &Reason::NoteVolume { volume: volume(9) });
    }
}

#[test]
fn a_burned_token_without_a_volume_leads_to_the_next_attempt_a_used_up_quota_to_an_alarm() {
    let mut situation = creating();
    situation.seen.slot_volumes = Some(Vec::new());
    let name: volume_pool::ids::VolumeName = "data".parse().unwrap();
    situation.seen.answers.create_refused.insert(name.clone(), Refusal::TokenBurned);
    situation.gives_transaction("try again", &Reason::CreateAgain { slot: slot_id(7) });
    let problem = "VolumeLimitExceeded: no more".to_owned();
    let quota = Refusal::QuotaExceeded(problem.clone());
    situation.seen.answers.create_refused.insert(name, quota);
    let reason = Reason::CreationRefused { problem: problem.clone() };
    situation.rests(Some(launch_action()), &reason);
    assert_eq!(situation.alarms(), [Alarm::CreationFailed { problem }]);
}

#[test]
fn a_created_volume_that_has_vanished_is_tried_again_with_an_alarm() {
    let mut situation = creating();
    planned(&mut situation).volume = Some(volume(9));
    let creating = Reason::CreatingVolume { volume: volume(9) };
    situation.gives(&Step::Poll, &creating);
    situation.claim().since = seconds_ago(61);
    situation.gives_transaction("try again", &Reason::CreateAgain { slot: slot_id(7) });
    assert!(situation.alarms()[0].to_string().contains("KMS key"), "{:?}", situation.alarms());
}

#[test]
fn a_volume_in_error_is_tried_again_at_once() {
    let mut situation = creating();
    planned(&mut situation).volume = Some(volume(9));
    let mut broken = available(9);
    broken.state = VolumeState::Other("error".to_owned());
    situation.show(broken);
    situation.gives_transaction("try again", &Reason::CreateAgain { slot: slot_id(7) });
}

// Its instance is gone.

fn gone(mut situation: Situation) -> Situation {
    situation.subject.event = None;
    situation.seen.described.group_instance = None;
    situation.runs_as(InstanceState::Terminated);
    situation
}

#[test]
fn what_was_created_for_an_instance_that_is_gone_serves_the_next() {
    let mut situation = gone(creating());
    planned(&mut situation).volume = Some(volume(9));
    situation.show(available(9));
    let transaction = situation.gives_transaction("spare", &Reason::InstanceGone);
    assert_eq!(written_slot(&transaction).state, SlotState::Free);
    assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
}

#[test]
fn an_unanswered_creation_for_an_instance_that_is_gone_is_looked_for_and_then_taken_back() {
    let mut situation = gone(creating());
    let looking = Reason::LookForCreated { slot: slot_id(7) };
    situation.gives(&Step::Look(Look::SlotVolumes(slot_id(7))), &looking);
    situation.seen.slot_volumes = Some(Vec::new());
    situation.rests(None, &looking);
    situation.claim().since = seconds_ago(121);
    let reason = Reason::CancelCreation { slot: slot_id(7) };
    situation.gives_transaction("cancel", &reason);
    let found = tagged(9, &[(tags::SLOT, "cassandra-7"), (tags::VOLUME, "data")]);
    situation.seen.slot_volumes = Some(vec![found]);
    situation.gives_transaction("note volume", &Reason::NoteVolume { volume: volume(9) });
}

#[test]
fn what_ec2_created_for_an_instance_that_is_gone_is_noted_and_not_asked_for_again() {
    let mut situation = gone(creating());
    situation.seen.slot_volumes = Some(Vec::new());
    situation.seen.answers.created.insert("data".parse().unwrap(), volume(9));
    situation.gives_transaction("note volume", &Reason::NoteVolume { volume: volume(9) });
}

// The hopeless wait.

#[test]
fn a_group_that_launches_before_it_terminates_is_named() {
    let mut situation = held_by_a_member(LifecycleState::InService);
    situation.policy_mut().when_empty = WhenEmpty::Wait;
    situation.claim().since = seconds_ago(61);
    // Two are wanted, and there are three: one of them is the replacement of a healthy one.
    let group = situation.seen.members.as_mut().unwrap();
    group.members.insert(instance(6), member(LifecycleState::InService));
    let alarm = Alarm::LaunchesFirst { group: launch_action().group, holder: instance(5) };
    assert_eq!(situation.alarms(), [alarm]);
    situation.seen.members.as_mut().unwrap().desired = 3;
    assert_eq!(situation.alarms(), [Alarm::NoSlot { zone: place().zone }]);
    situation.claim().since = seconds_ago(59);
    assert_eq!(situation.alarms(), []);
}
