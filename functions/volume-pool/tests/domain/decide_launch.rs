//! What is decided for a launching instance, situation by situation (design.md, section 5).

use crate::situation;
use std::collections::{BTreeMap, BTreeSet};

use crate::situation::{
    NOW, POLICY, Situation, available, claim, coming, device, earlier_waiter, event, free_slot,
    group, hook, hours_ago, instance, launch_action, lease_tag, leased_volume, observing, on,
    our_hooks, place, policy, policy_of_two_volumes, seconds, seconds_ago, slot_id, slot_volume,
    tagged, volume, waiting_claim, written_claim, written_slot, written_slots,
};
use volume_pool::decide::{Alarm, Effect, Look, Reason, Step};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::observation::{
    AttachmentState, DeleteOnTermination, GroupView, InstanceState, LifecycleState, Others,
    VolumeState, tags,
};
use volume_pool::policy::{Policy, PolicyError};
use volume_pool::ports::Refusal;
use volume_pool::record::{Claim, Phase, Pool, Record, Slot, SlotState};
use volume_pool::transition::{Expect, Write};
use volume_pool::zone::Candidates;

fn slot_free(index: u32) -> Reason {
    Reason::SlotFree { slot: slot_id(index) }
}

fn attaching(number: u32) -> Reason {
    Reason::Attaching { volume: volume(number) }
}

fn go_on() -> Effect {
    Effect::Complete(launch_action(), ActionResult::Continue)
}

fn not_adopted(alarms: &[Alarm]) -> Vec<String> {
    let texts = alarms.iter().map(|alarm| match alarm {
        Alarm::NotAdopted { volume, problem } => format!("{volume}: {problem}"),
        other => panic!("{other}"),
    });
    texts.collect()
}

// The queue.

#[test]
fn before_a_launch_joins_the_queue_its_groups_hooks_and_tag_are_looked_at_at_once() {
    let mut situation = Situation::launching();
    situation.seen.hooks = None;
    for members in [None, situation.seen.members.clone()] {
        situation.seen.members = members;
        let look = Step::Look(Look::Enrolment(launch_action().group));
        situation.gives(&look, &Reason::EnrolmentUnknown);
    }
    situation.seen.hooks = Some(our_hooks());
    situation.seen.members = None;
    let look = Step::Look(Look::Group(launch_action().group));
    situation.gives(&look, &Reason::EnrolmentUnknown);
}

#[test]
fn a_launch_is_held_while_its_groups_tag_and_policy_name_different_pools() {
    let mut situation = Situation::launching();
    for tag in ["kafka", ""] {
        situation.seen.members.as_mut().unwrap().pool_tag = Some(tag.to_owned());
        situation.rests(Some(launch_action()), &Reason::HeldForTag);
        let (group, pool, tag) = (launch_action().group, place().pool, tag.to_owned());
        assert_eq!(situation.alarms(), [Alarm::PoolTagDiffers { group, tag, pool }]);
    }
}

/// Reconcile does not find it by its group, so a person must know. A group that is not shown may have its tag.
#[test]
fn a_launch_of_a_group_without_the_tag_is_served_and_a_person_is_told() {
    let mut situation = Situation::launching();
    situation.seen.members.as_mut().unwrap().pool_tag = None;
    situation.gives_transaction("enqueue", &Reason::Enqueue);
    let (group, pool) = (launch_action().group, place().pool);
    assert_eq!(situation.alarms(), [Alarm::GroupNotTagged { group, pool }]);
    situation.seen.members = Some(GroupView::unknown(launch_action().group));
    situation.gives_transaction("enqueue", &Reason::Enqueue);
    assert_eq!(situation.alarms(), []);
}

#[test]
fn two_launch_hooks_of_ours_hold_the_launch_and_both_actions_are_kept_alive() {
    let mut situation = Situation::launching();
    let second = hook("stateful-asg-launch-2", Transition::Launching, Some(POLICY));
    situation.seen.hooks.as_mut().unwrap().push(second.clone());
    let theirs = second.action(&launch_action().group);
    situation.gives_effect(Effect::Heartbeat(theirs), &Reason::HeldForHooks);
    situation.seen.answers.heartbeats.insert(second.name);
    situation.rests(Some(launch_action()), &Reason::HeldForHooks);
    assert_eq!(
        situation.alarms().iter().map(Alarm::name).collect::<Vec<_>>(),
        ["two-launch-hooks"]
    );
}

#[test]
fn other_peoples_launch_hooks_do_not_hold_a_launch() {
    let mut situation = Situation::launching();
    let theirs = hook("warm-up", Transition::Launching, None);
    situation.seen.hooks.as_mut().unwrap().push(theirs);
    situation.gives_transaction("enqueue", &Reason::Enqueue);
}

#[test]
fn an_instance_joins_the_queue_before_it_looks_for_a_slot() {
    let situation = Situation::launching();
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    let (claim, expect) = written_claim(&transaction);
    assert_eq!(claim.phase, Phase::Waiting { place: place(), since: NOW });
    assert_eq!(claim.action, Some(launch_action()));
    assert_eq!(claim.policy, Some(policy()));
    assert_eq!(expect, Expect::Version(0));
}

#[test]
fn the_first_policy_that_parses_becomes_the_last_good_one_of_its_group() {
    let transaction = Situation::launching().gives_transaction("enqueue", &Reason::Enqueue);
    let expected = Record::Group(volume_pool::record::Group { version: 1, ..group(policy()) });
    assert!(transaction.writes.contains(&Write::Put(expected, Expect::Absent)));
}

#[test]
fn another_policy_than_the_recorded_one_replaces_it_and_the_same_one_is_not_written() {
    let mut situation = Situation::launching();
    situation.seen.group = Some(group(Policy { wait_seconds: 5, ..policy() }));
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    let expected = Record::Group(volume_pool::record::Group { version: 5, ..group(policy()) });
    assert!(transaction.writes.contains(&Write::Put(expected, Expect::Version(4))));
    situation.seen.group = Some(group(policy()));
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    assert!(
        !transaction.writes.iter().any(|write| matches!(write, Write::Put(Record::Group(_), _)))
    );
}

#[test]
fn an_instance_that_launches_again_under_its_old_id_joins_the_queue_again() {
    let mut situation = Situation::launching();
    situation.seen.claim = Some(Claim {
        action: Some(Action { token: Some("launch-0".parse().unwrap()), ..launch_action() }),
        answered: Some(ActionResult::Continue),
        ..claim()
    });
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    let (claim, expect) = written_claim(&transaction);
    assert_eq!((claim.answered, expect), (None, Expect::Version(7)));
    assert_eq!(claim.action, Some(launch_action()));
}

fn into_the_warm_pool() -> Action {
    Action { destination: Some("WarmPool".to_owned()), ..launch_action() }
}

#[test]
fn a_launch_bound_for_the_warm_pool_goes_on_without_a_slot() {
    for action in [into_the_warm_pool(), Action { destination: None, ..launch_action() }] {
        let mut situation = Situation::launching();
        situation.shown_as(LifecycleState::WarmedPendingWait);
        situation.subject.event = Some(event(action.clone(), Some(POLICY)));
        let go_on = Effect::Complete(action, ActionResult::Continue);
        situation.gives_effect(go_on, &Reason::BoundForWarmPool);
    }
}

#[test]
fn no_policy_is_needed_on_the_way_into_the_warm_pool() {
    let mut situation = Situation::launching();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.subject.event = Some(event(into_the_warm_pool(), None));
    let go_on = Effect::Complete(into_the_warm_pool(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::BoundForWarmPool);
}

/// A claim can still be waiting when its instance is parked: its first launch timed out, or it came back.
#[test]
fn a_waiter_that_is_bound_for_the_warm_pool_is_leased_no_slot() {
    let mut situation = Situation::waiting();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.zone().free = vec![free_slot(0)];
    let decided = situation.decided();
    assert!(
        !matches!(&decided.step, Step::Commit(transaction) if transaction.name == "lease"),
        "leased to an instance on its way into the warm pool: {}",
        decided.reason
    );
}

/// An instance id lives twice: on its way into the pool, and when it is taken out of it.
#[test]
fn a_late_duplicate_of_the_way_into_the_warm_pool_does_not_cost_a_waiter_its_place() {
    let mut situation = Situation::waiting();
    let earlier = Action {
        token: Some("launch-0".parse().unwrap()),
        destination: Some("WarmPool".to_owned()),
        ..launch_action()
    };
    situation.subject.event = Some(event(earlier, Some(POLICY)));
    situation.zone().free = vec![free_slot(0)];
    situation.gives_transaction("lease", &slot_free(0));
}

#[test]
fn a_slot_leased_before_the_instance_was_bound_for_the_warm_pool_is_not_attached_there() {
    let mut situation = Situation::leased();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    let decided = situation.decided();
    assert!(!matches!(decided.step, Step::Effect(Effect::Attach(..))), "{}", decided.reason);
}

#[test]
fn an_attachment_at_another_device_than_the_one_on_record_is_taken_off_again() {
    let mut situation = Situation::attached();
    situation.slot().volumes[0].device = device("/dev/sdg");
    let reason = Reason::WrongDevice { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &reason);
    situation.slot().volumes[0].device = device("/dev/xvdf");
    situation.gives_effect(go_on(), &Reason::Verified { slot: slot_id(0) });
}

#[test]
fn a_group_in_mode_observe_gets_continue_and_nothing_else() {
    let mut situation = Situation::launching();
    let text = serde_json::to_string(&observing()).unwrap();
    situation.subject.event = Some(event(launch_action(), Some(&text)));
    situation.gives_effect(go_on(), &Reason::Observing);
    assert_eq!(situation.alarms(), []);
}

/// EC2 has accepted it, and ten seconds later shows the volume as if nothing had been asked.
#[test]
fn an_attachment_that_ec2_accepts_and_undoes_is_tried_again_and_then_told_of() {
    let mut situation = Situation::leased();
    situation.tags_are_set();
    let tried = |situation: &mut Situation, times: u32, seconds: u64| {
        situation.seen.answers.attaching.insert(volume(1), seconds_ago(seconds));
        situation.seen.answers.attachments.insert(volume(1), times);
    };
    let attach = Effect::Attach(volume(1), device("/dev/sdf"));
    tried(&mut situation, 2, 10);
    situation.gives_effect(attach, &Reason::Attach { volume: volume(1) });
    assert_eq!(situation.alarms(), []);
    tried(&mut situation, 3, 9);
    situation.gives(&Step::Poll, &Reason::Attaching { volume: volume(1) });
    tried(&mut situation, 3, 10);
    situation.rests(Some(launch_action()), &Reason::AttachUndone { volume: volume(1) });
    let alarms = situation.alarms();
    assert!(matches!(alarms.as_slice(), [Alarm::AttachRefused { .. }]), "{alarms:?}");
}

// The policy.

#[test]
fn without_a_policy_that_parses_the_launch_is_held_with_an_alarm() {
    for metadata in [None, Some(""), Some("{"), Some(r#"{"pool":"cassandra","waitSecond":1}"#)] {
        let mut situation = Situation::launching();
        situation.subject.event = Some(event(launch_action(), metadata));
        situation.rests(Some(launch_action()), &Reason::HeldForPolicy);
        let alarms = situation.alarms();
        assert!(
            matches!(&alarms[..], [Alarm::PolicyFault { instead, .. }] if instead == "the launch is held"),
            "{alarms:?}"
        );
    }
}

#[test]
fn with_a_faulty_policy_the_last_good_one_of_the_group_is_used_and_an_alarm_raised() {
    let good = Policy { stale_after_hours: Some(24), ..policy() };
    let mut situation = Situation::launching();
    situation.subject.event = Some(event(launch_action(), None));
    situation.seen.group = Some(group(good.clone()));
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    assert_eq!(written_claim(&transaction).0.policy, Some(good));
    let alarms = situation.alarms();
    assert!(
        matches!(&alarms[..], [Alarm::PolicyFault { error: PolicyError::Missing, .. }]),
        "{alarms:?}"
    );
}

#[test]
fn a_last_good_policy_in_mode_observe_still_only_observes() {
    let mut situation = Situation::launching();
    situation.subject.event = Some(event(launch_action(), Some("{")));
    situation.seen.group = Some(group(observing()));
    situation.gives_effect(go_on(), &Reason::Observing);
    assert_eq!(situation.alarms().len(), 1);
}

// Without the event.

#[test]
fn a_launch_whose_event_was_lost_is_found_by_the_hooks_of_its_group() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    situation.seen.hooks = None;
    let group = launch_action().group;
    situation.gives(&Step::Look(Look::Hooks(group)), &Reason::ActionUnknown);
    situation.seen.hooks = Some(our_hooks());
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    let (claim, _) = written_claim(&transaction);
    let found = claim.action.as_ref().unwrap();
    assert_eq!((found.hook.as_str(), &found.token), ("stateful-asg-launch", &None));
    assert_eq!(claim.policy, Some(policy()));
}

#[test]
fn an_instance_waiting_under_other_peoples_hooks_is_left_alone() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    situation.seen.hooks = Some(vec![
        hook("drain", Transition::Launching, Some(POLICY)),
        hook("stateful-asg-terminate", Transition::Terminating, None),
    ]);
    situation.settles(&Reason::NotOurHook);
}

#[test]
fn the_recorded_action_stands_in_for_the_event() {
    let mut situation = Situation::attached();
    situation.subject.event = None;
    situation.gives_effect(go_on(), &Reason::Verified { slot: slot_id(0) });
}

#[test]
fn a_recorded_action_without_a_recorded_policy_takes_the_policy_of_the_hook() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    situation.seen.claim = Some(Claim { policy: None, ..claim() });
    situation.seen.hooks = None;
    let group = launch_action().group;
    situation.gives(&Step::Look(Look::Hooks(group)), &Reason::PolicyUnknown);
    situation.seen.hooks = Some(our_hooks());
    situation.gives_transaction("enqueue", &Reason::Enqueue);
}

/// What is on record is the policy of an earlier life, or of an action that waits no more.
#[test]
fn a_launch_whose_event_was_lost_goes_by_the_hooks_policy_of_today() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    let earlier = Policy { wait_seconds: 5, ..policy() };
    situation.seen.claim = Some(Claim { policy: Some(earlier.clone()), ..claim() });
    let enqueued = situation.gives_transaction("enqueue", &Reason::Enqueue);
    assert_eq!(written_claim(&enqueued).0.policy, Some(policy()));
    // Its hook is gone, and the action that it had begun still waits.
    situation.seen.hooks.as_mut().unwrap().remove(0);
    let enqueued = situation.gives_transaction("enqueue", &Reason::Enqueue);
    assert_eq!(written_claim(&enqueued).0.policy, Some(earlier));
}

#[test]
fn an_action_that_has_its_answer_is_settled() {
    let mut recorded = Situation::attached();
    recorded.claim().answered = Some(ActionResult::Continue);
    recorded.settles(&Reason::Answered);
    recorded.subject.event = None;
    recorded.settles(&Reason::Answered);
    let mut just_now = Situation::attached();
    just_now.seen.answers.completed = Some((launch_action(), ActionResult::Continue));
    just_now.settles(&Reason::Answered);
}

// Which slot.

#[test]
fn a_waiter_leases_the_best_free_slot() {
    let mut situation = Situation::waiting();
    situation.zone().free = vec![free_slot(4), free_slot(2)];
    let transaction = situation.gives_transaction("lease", &slot_free(4));
    let slot = written_slot(&transaction);
    assert_eq!((&slot.id, &slot.state), (&slot_id(4), &SlotState::Leased { holder: instance(1) }));
    assert_eq!(slot.reason, slot_free(4).to_string());
}

#[test]
fn a_waiter_prefers_the_slot_that_it_held_before() {
    let mut situation = Situation::waiting();
    situation.zone().free = vec![free_slot(4), free_slot(2), free_slot(0)];
    situation.claim().last_slot = Some(slot_id(0));
    let transaction =
        situation.gives_transaction("lease", &Reason::HeldBefore { slot: slot_id(0) });
    assert_eq!(written_slot(&transaction).id, slot_id(0));
}

#[test]
fn the_kth_waiter_takes_the_kth_slot() {
    let mut situation = Situation::waiting();
    situation.zone().free = vec![free_slot(4), free_slot(2), free_slot(0)];
    situation.zone().earlier = vec![earlier_waiter(2)];
    situation.gives_transaction("lease", &slot_free(2));
    situation.zone().earlier.push(earlier_waiter(3));
    situation.gives_transaction("lease", &slot_free(0));
}

#[test]
fn a_waiter_leaves_the_free_slots_that_earlier_waiters_are_due_and_serves_them() {
    let mut situation = Situation::waiting_for_none();
    situation.zone().free = vec![free_slot(4)];
    situation.zone().earlier = vec![earlier_waiter(2)];
    situation.claim().last_slot = Some(slot_id(4));
    situation.gives(&Step::Serve(place()), &Reason::EarlierWaiters { count: 1 });
}

#[test]
fn waiters_are_served_once_and_then_waited_for() {
    let mut situation = Situation::waiting_for_none();
    situation.zone().free = vec![free_slot(4)];
    situation.zone().earlier = vec![earlier_waiter(2)];
    situation.seen.answers.served = true;
    let decided = situation.decided();
    assert_eq!(decided.step, Step::Rest { work_left: true, heartbeat: Some(launch_action()) });
    assert!(
        !matches!(decided.reason, Reason::WaitingNoneFree { .. }),
        "slot cassandra-4 is free, for another; the reason given: {}",
        decided.reason
    );
}

#[test]
fn a_waiter_that_lost_a_race_takes_another_free_slot_within_the_list() {
    let mut chosen = BTreeSet::new();
    for lost_races in 1..40 {
        let mut situation = Situation::waiting();
        situation.zone().free = (0..5).map(free_slot).collect();
        situation.seen.answers.lost_races = lost_races;
        let Step::Commit(transaction) = situation.decided().step else { panic!("no lease") };
        chosen.insert(written_slot(&transaction).id.index);
    }
    assert_eq!(chosen, BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn two_losers_of_a_race_do_not_meet_at_each_next_slot() {
    let choices = |number: u32| -> Vec<u32> {
        let choice = |lost_races| {
            let mut situation = Situation::waiting();
            situation.subject.instance = instance(number);
            situation.claim().instance = instance(number);
            situation.zone().free = (0..5).map(free_slot).collect();
            situation.seen.answers.lost_races = lost_races;
            let Step::Commit(transaction) = situation.decided().step else { panic!("no lease") };
            written_slot(&transaction).id.index
        };
        (1..12).map(choice).collect()
    };
    assert_ne!(choices(1), choices(2));
}

// Stale slots.

fn stale_after_a_day() -> Claim {
    Claim { policy: Some(Policy { stale_after_hours: Some(24), ..policy() }), ..waiting_claim() }
}

#[test]
fn a_slot_idle_for_staleafterhours_is_left_to_a_person() {
    let mut situation = Situation::waiting_for_none();
    situation.seen.claim = Some(stale_after_a_day());
    situation.zone().free = vec![Slot { released_at: Some(hours_ago(24)), ..free_slot(0) }];
    situation.rests(Some(launch_action()), &Reason::WaitingOnlyStale { count: 1 });
    assert_eq!(situation.alarms(), [Alarm::StaleSlots { count: 1 }]);
    situation.zone().free[0].released_at = Some(seconds_ago(24 * 3600 - 1));
    situation.gives_transaction("lease", &slot_free(0));
}

#[test]
fn where_no_release_is_on_record_the_age_of_the_youngest_volume_counts() {
    let mut situation = Situation::waiting_for_none();
    situation.seen.claim = Some(stale_after_a_day());
    let mut slot = Slot { released_at: None, ..free_slot(0) };
    slot.volumes.push(slot_volume("log", 2, "/dev/sdg"));
    slot.volumes[1].created_at = hours_ago(25);
    situation.zone().free = vec![slot];
    situation.rests(Some(launch_action()), &Reason::WaitingOnlyStale { count: 1 });
    situation.zone().free[0].volumes[1].created_at = hours_ago(23);
    situation.gives_transaction("lease", &slot_free(0));
}

#[test]
fn a_stale_slot_is_nobodys_turn_not_even_its_earlier_holders() {
    let mut situation = Situation::waiting();
    situation.seen.claim = Some(Claim { last_slot: Some(slot_id(0)), ..stale_after_a_day() });
    let stale = Slot { released_at: Some(hours_ago(90)), ..free_slot(0) };
    situation.zone().free = vec![stale, free_slot(3)];
    situation.gives_transaction("lease", &slot_free(3));
    // An earlier waiter whose policy knows no such limit takes the stale one, another one would take the fresh one.
    situation.zone().earlier = vec![earlier_waiter(2)];
    situation.gives_transaction("lease", &slot_free(3));
    situation.zone().earlier[0].stale_after_hours = Some(24);
    situation.gives(&Step::Look(Look::Candidates(place())), &Reason::LookForVolumes);
}

#[test]
fn without_staleafterhours_no_slot_is_ever_stale() {
    let mut situation = Situation::waiting();
    situation.zone().free = vec![Slot { released_at: Some(hours_ago(90_000)), ..free_slot(0) }];
    situation.gives_transaction("lease", &slot_free(0));
}

// Adoption.

fn found(volumes: Vec<volume_pool::observation::Volume>) -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.seen.pool = Some(volumes.clone());
    situation.seen.candidates = Some(Candidates { volumes, ..Candidates::default() });
    situation
}

#[test]
fn with_no_free_slot_tagged_volumes_are_looked_for() {
    let mut situation = Situation::waiting();
    situation.gives(&Step::Look(Look::Pool(place().pool)), &Reason::LookAtPool);
    situation.zone().pool = Some(Pool::new(place().pool));
    situation.gives(&Step::Look(Look::Candidates(place())), &Reason::LookForVolumes);
}

#[test]
fn before_names_are_given_out_every_volume_of_the_pool_is_looked_at() {
    let mut situation = found(vec![available(9)]);
    situation.seen.pool = None;
    situation.gives(&Step::Look(Look::Pool(place().pool)), &Reason::LookAtPool);
}

#[test]
fn a_new_slot_takes_no_name_that_a_volume_elsewhere_goes_by() {
    let mut situation = found(vec![available(9)]);
    let mut elsewhere = tagged(5, &[(tags::SLOT, "cassandra-6")]);
    elsewhere.zone = "eu-central-1b".parse().unwrap();
    situation.seen.pool.as_mut().unwrap().push(elsewhere);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 1 });
    assert_eq!(written_slot(&transaction).id, slot_id(7));
}

#[test]
fn a_copy_does_not_take_the_name_of_an_original_in_another_zone_or_in_use() {
    let mut elsewhere = tagged(5, &[(tags::SLOT, "cassandra-0")]);
    elsewhere.zone = "eu-central-1b".parse().unwrap();
    for original in [elsewhere, on(5, 77, AttachmentState::Attached)] {
        let mut situation = found(vec![tagged(9, &[(tags::SLOT, "cassandra-0")])]);
        situation.zone().pool = Some(Pool { version: 3, next_index: 7, ..Pool::new(place().pool) });
        situation.seen.pool.as_mut().unwrap().push(original);
        situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
        let alarms = not_adopted(&situation.alarms());
        assert!(alarms[0].contains("names the same slot"), "{alarms:?}");
    }
}

#[test]
fn with_the_table_lost_and_slots_in_use_nothing_is_adopted() {
    let mut situation = found(vec![available(9)]);
    situation.seen.pool.as_mut().unwrap().push(on(5, 77, AttachmentState::Attached));
    situation.rests(Some(launch_action()), &Reason::HeldForRecords);
    let alarm = Alarm::PoolUnknown { pool: place().pool, volume: volume(5) };
    assert_eq!(situation.alarms(), [alarm]);
}

#[test]
fn a_tagged_volume_that_no_record_knows_becomes_the_pools_next_slot() {
    let mut situation = found(vec![available(9)]);
    let pool = Pool { version: 3, next_index: 7, ..Pool::new(place().pool) };
    situation.zone().pool = Some(pool);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 1 });
    let slot = written_slot(&transaction);
    assert_eq!((&slot.id, &slot.zone, slot.epoch), (&slot_id(7), &place().zone, 0));
    assert_eq!(slot.volumes[0].volume, volume(9));
    assert_eq!(slot.volumes[0].device, device("/dev/sdf"));
    assert_eq!(slot.volumes[0].created_at, available(9).created_at);
}

#[test]
fn untagged_volumes_become_slots_oldest_first() {
    let mut old = available(9);
    old.created_at = hours_ago(2000);
    let situation = found(vec![available(3), old, available(2)]);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 3 });
    let order: Vec<_> = written_slots(&transaction)
        .iter()
        .map(|slot| (slot.id.index, slot.volumes[0].volume.clone()))
        .collect();
    assert_eq!(order, [(0, volume(9)), (1, volume(2)), (2, volume(3))]);
}

#[test]
fn a_volume_with_a_slots_tag_becomes_that_slot_with_its_last_release() {
    let situation = found(vec![tagged(
        9,
        &[(tags::SLOT, "cassandra-5"), (tags::RELEASED_AT, "2026-11-20T08:00:00.000Z")],
    )]);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 1 });
    let slot = written_slot(&transaction);
    assert_eq!(slot.id, slot_id(5));
    assert_eq!(slot.released_at, Some("2026-11-20T08:00:00Z".parse().unwrap()));
}

#[test]
fn a_volume_whose_tag_names_a_slot_that_exists_is_left_alone_with_an_alarm() {
    let mut situation = found(vec![tagged(9, &[(tags::SLOT, "cassandra-5")])]);
    situation.seen.candidates.as_mut().unwrap().slots.insert(slot_id(5));
    situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
    let alarms = not_adopted(&situation.alarms());
    assert!(alarms[0].contains("names a slot that exists"), "{alarms:?}");
}

#[test]
fn a_slots_tag_of_another_pool_or_of_no_form_is_left_alone_with_an_alarm() {
    for text in ["kafka-5", "cassandra", "cassandra-05"] {
        let situation = found(vec![tagged(9, &[(tags::SLOT, text)])]);
        situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
        let alarms = not_adopted(&situation.alarms());
        assert!(alarms[0].contains("names no slot of its pool"), "{alarms:?}");
    }
}

#[test]
fn a_multi_attach_volume_is_not_adopted_and_its_neighbour_is() {
    let mut multi_attach = available(8);
    multi_attach.multi_attach = true;
    let situation = found(vec![multi_attach, available(9)]);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 1 });
    assert_eq!(written_slot(&transaction).volumes[0].volume, volume(9));
    let alarms = not_adopted(&situation.alarms());
    assert!(alarms[0].starts_with("vol-00000008: it has Multi-Attach"), "{alarms:?}");
}

#[test]
fn volumes_that_belong_to_a_slot_or_are_not_available_are_no_candidates() {
    let mut situation = found(vec![available(8), on(9, 1, AttachmentState::Attached)]);
    situation.seen.candidates.as_mut().unwrap().owned.insert(volume(8));
    situation.zone().pool = Some(Pool::new(place().pool));
    situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
    assert_eq!(situation.alarms(), []);
}

#[test]
fn two_volumes_with_one_slots_tag_are_both_left_alone_with_an_alarm_each() {
    let situation = found(vec![
        tagged(8, &[(tags::SLOT, "cassandra-5")]),
        tagged(9, &[(tags::SLOT, "cassandra-5")]),
    ]);
    situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
    let alarms = not_adopted(&situation.alarms());
    assert_eq!(alarms.len(), 2);
    assert!(alarms[0].contains("2 volumes claim to be data of one slot"), "{alarms:?}");
}

fn found_for_two_volumes(volumes: Vec<volume_pool::observation::Volume>) -> Situation {
    let mut situation = found(volumes);
    situation.policy_mut().volumes = policy_of_two_volumes().volumes;
    situation
}

#[test]
fn the_volumes_of_a_set_are_adopted_together_under_their_names_and_devices() {
    let situation = found_for_two_volumes(vec![
        tagged(8, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "log")]),
        tagged(9, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "data")]),
    ]);
    let transaction = situation.gives_transaction("adopt", &Reason::Adopt { count: 1 });
    let set: Vec<_> = written_slot(&transaction)
        .volumes
        .iter()
        .map(|known| (known.name.as_str(), known.volume.clone(), known.device.as_str()))
        .collect();
    assert_eq!(set, [("data", volume(9), "/dev/sdf"), ("log", volume(8), "/dev/sdg")]);
}

#[test]
fn a_set_that_is_not_whole_is_left_alone_with_an_alarm() {
    let situations = [
        (vec![tagged(8, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "log")])], "is named data"),
        (
            vec![
                tagged(7, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "data")]),
                tagged(8, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "log")]),
                tagged(9, &[(tags::SLOT, "cassandra-5"), (tags::VOLUME, "hints")]),
            ],
            "vol-00000009 carries the same slot's tag",
        ),
        (vec![available(9)], "slots of this pool have several volumes"),
    ];
    for (volumes, problem) in situations {
        let expected = volumes.len();
        let situation = found_for_two_volumes(volumes);
        situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
        let alarms = not_adopted(&situation.alarms());
        assert_eq!(alarms.len(), expected);
        assert!(alarms[0].contains(problem), "{alarms:?}");
    }
}

/// The last index there is can't be followed by another; whoever wrote that tag must hear of it, and everyone else's
/// volumes are adopted all the same.
#[test]
fn a_slots_tag_with_the_last_index_does_not_keep_other_volumes_from_being_adopted() {
    let situation = found(vec![tagged(8, &[(tags::SLOT, "cassandra-4294967295")]), available(9)]);
    let decided = situation.decided();
    let Step::Commit(transaction) = &decided.step else {
        panic!("nothing is adopted: {} {:?}", decided.reason, decided.alarms)
    };
    assert!(written_slots(transaction).iter().any(|slot| slot.volumes[0].volume == volume(9)));
    assert!(!decided.alarms.is_empty());
}

// None free.

#[test]
fn a_waiter_with_nothing_to_adopt_waits_for_the_slot_that_is_being_released() {
    let mut situation = Situation::waiting_for_none();
    situation.zone().coming = vec![coming(0, 50), coming(1, 51)];
    let reason = Reason::WaitingForSlot { slot: slot_id(0), holder: instance(50) };
    situation.rests(Some(launch_action()), &reason);
    situation.zone().earlier = vec![earlier_waiter(2)];
    let reason = Reason::WaitingForSlot { slot: slot_id(1), holder: instance(51) };
    situation.rests(Some(launch_action()), &reason);
}

#[test]
fn a_tagged_volume_on_an_instance_that_was_never_given_it_is_reported() {
    let mut situation = Situation::waiting_for_none();
    let mut strange = on(9, 77, AttachmentState::Attached);
    strange.tags.remove(tags::SLOT);
    situation.zone().pool = Some(Pool::new(place().pool));
    situation.seen.pool = Some(vec![on(8, 50, AttachmentState::Attached), strange]);
    let mut stranger = situation.seen.described.instance.clone().unwrap();
    stranger.id = instance(77);
    let instances = BTreeMap::from([(instance(77), stranger)]);
    situation.seen.others = Some(Others { instances, ..Others::default() });
    let alarms = not_adopted(&situation.alarms());
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].starts_with("vol-00000009: it is attached to i-0000004d"), "{alarms:?}");
}

// Attaching.

#[test]
fn an_available_volume_of_the_leased_slot_is_attached_at_its_recorded_device() {
    let mut situation = Situation::leased();
    situation.slot().volumes[0].device = device("/dev/sdh");
    situation.gives_effect(
        Effect::Attach(volume(1), device("/dev/sdh")),
        &Reason::Attach { volume: volume(1) },
    );
}

#[test]
fn an_instance_that_is_still_pending_is_waited_for_without_polling() {
    let mut situation = Situation::leased();
    situation.runs_as(InstanceState::Pending);
    situation.rests(Some(launch_action()), &Reason::InstancePending);
}

#[test]
fn an_announced_running_state_is_polled_for() {
    let mut situation = Situation::leased();
    situation.runs_as(InstanceState::Pending);
    situation.subject.hint = Some(InstanceState::Running);
    situation.gives(&Step::Poll, &Reason::InstancePending);
    situation.seen.answers.polls = 8;
    situation.rests(Some(launch_action()), &Reason::InstancePending);
}

#[test]
fn an_attaching_volume_is_polled() {
    let mut situation = Situation::leased();
    situation.show(on(1, 1, AttachmentState::Attaching));
    situation.gives(&Step::Poll, &attaching(1));
}

#[test]
fn an_attachment_that_just_ends_or_hangs_is_not_taken_for_attached() {
    for state in
        [AttachmentState::Detaching, AttachmentState::Busy, AttachmentState::Other("new".into())]
    {
        let mut situation = Situation::attached();
        situation.show(on(1, 1, state));
        situation.gives(&Step::Poll, &attaching(1));
    }
}

#[test]
fn a_volume_that_the_describe_shows_available_after_an_accepted_attach_is_not_attached_again() {
    let mut situation = Situation::leased();
    situation.tags_are_set();
    situation.seen.answers.attaching = BTreeMap::from([(volume(1), seconds_ago(9))]);
    situation.gives(&Step::Poll, &attaching(1));
    situation.seen.answers.attaching = BTreeMap::from([(volume(1), seconds_ago(10))]);
    situation.gives_effect(
        Effect::Attach(volume(1), device("/dev/sdf")),
        &Reason::Attach { volume: volume(1) },
    );
}

#[test]
fn an_attachment_stuck_for_90_seconds_gets_another_device_on_record_before_it_is_detached() {
    let stuck = Reason::StuckAttaching { volume: volume(1) };
    let mut situation = Situation::leased();
    situation.show(on(1, 1, AttachmentState::Attaching));
    situation.attachment(1).attached_at = seconds_ago(89);
    situation.gives(&Step::Poll, &attaching(1));
    situation.attachment(1).attached_at = seconds_ago(90);
    situation.seen.described.instance.as_mut().unwrap().devices.push("/dev/sdf".to_owned());
    let transaction = situation.gives_transaction("change device", &stuck);
    let changed = written_slot(&transaction).clone();
    assert_eq!(changed.volumes[0].device, device("/dev/sdg"));
    situation.seen.slot = Some(changed);
    situation.gives_effect(Effect::Detach(volume(1)), &stuck);
    situation.seen.answers.detaching.insert(volume(1));
    situation.gives(&Step::Poll, &stuck);
    situation.show(available(1));
    situation.gives_effect(
        Effect::Attach(volume(1), device("/dev/sdg")),
        &Reason::Attach { volume: volume(1) },
    );
}

#[test]
fn a_taken_device_in_either_spelling_means_another_one_on_record_first() {
    for name in ["/dev/sdf", "/dev/xvdf"] {
        let mut situation = Situation::leased();
        situation.seen.described.instance.as_mut().unwrap().devices.push(name.to_owned());
        let reason = Reason::DeviceTaken { volume: volume(1), device: device("/dev/sdf") };
        let transaction = situation.gives_transaction("change device", &reason);
        assert_eq!(written_slot(&transaction).volumes[0].device, device("/dev/sdg"));
    }
}

#[test]
fn another_device_is_neither_taken_on_the_instance_nor_meant_for_another_volume_of_the_slot() {
    let mut situation = Situation::leased();
    situation.slot().volumes.push(slot_volume("log", 2, "/dev/xvdg"));
    situation.seen.answers.devices_taken =
        BTreeSet::from([device("/dev/sdf"), device("/dev/xvdh")]);
    let reason = Reason::DeviceTaken { volume: volume(1), device: device("/dev/sdf") };
    let transaction = situation.gives_transaction("change device", &reason);
    assert_eq!(written_slot(&transaction).volumes[0].device, device("/dev/sdi"));
}

#[test]
fn the_time_that_ec2_takes_to_attach_is_used_to_set_the_tags() {
    let mut situation = Situation::leased();
    situation.show(on(1, 1, AttachmentState::Attaching));
    situation.gives(&Step::Poll, &attaching(1));
    situation.seen.answers.attaching = BTreeMap::from([(volume(1), seconds_ago(1))]);
    let Step::Effect(Effect::Tag(resource, _)) = situation.decided().step else {
        panic!("{:?}", situation.decided());
    };
    assert_eq!(resource, volume(1).to_string());
}

/// The describe of the instance may be ahead of the describe of the volume.
#[test]
fn a_device_that_this_very_attachment_took_is_no_reason_for_another_one() {
    let mut situation = Situation::leased();
    situation.tags_are_set();
    situation.seen.answers.attaching = BTreeMap::from([(volume(1), seconds_ago(1))]);
    situation.seen.described.instance.as_mut().unwrap().devices.push("/dev/sdf".to_owned());
    situation.gives(&Step::Poll, &attaching(1));
}

#[test]
fn with_every_device_taken_the_launch_is_held_with_an_alarm() {
    let mut situation = Situation::leased();
    situation.seen.answers.devices_taken = volume_pool::ids::DeviceName::candidates().collect();
    assert!(matches!(&situation.alarms()[..], [Alarm::AttachRefused { .. }]));
    situation.rests(Some(launch_action()), &Reason::NoDeviceLeft);
}

#[test]
fn a_refused_attachment_is_looked_at_again_tried_four_times_and_then_held_with_an_alarm() {
    let mut situation = Situation::leased();
    let attach = Effect::Attach(volume(1), device("/dev/sdf"));
    let refusal = Refusal::IncorrectState("it is busy".into());
    situation.seen.answers.attach_refused = BTreeMap::from([(volume(1), (1, refusal.clone()))]);
    situation.gives(&Step::Poll, &attaching(1));
    situation.seen.answers.polls = 1;
    situation.gives_effect(attach, &Reason::Attach { volume: volume(1) });
    situation.seen.answers.attach_refused = BTreeMap::from([(volume(1), (4, refusal))]);
    let problem = "it is busy".to_owned();
    situation.rests(
        Some(launch_action()),
        &Reason::AttachRefused { volume: volume(1), problem: problem.clone() },
    );
    assert_eq!(situation.alarms(), [Alarm::AttachRefused { volume: volume(1), problem }]);
}

#[test]
fn a_volume_that_a_person_gave_back_to_a_recent_holder_long_after_sets_the_slot_apart() {
    let mut situation = Situation::leased();
    situation.slot().released_at = Some(seconds_ago(600));
    situation.show(on(1, 90, AttachmentState::Attached));
    let problem = "it is attached to i-0000005a, which has given the slot back".to_owned();
    let reason = Reason::Quarantine { volume: volume(1), problem };
    situation.gives_transaction("quarantine", &reason);
}

/// Describes may waver: what was undone, since a volume of the slot was shown on a stranger, is attached again once it is
/// not, and then shown as it was before.
#[test]
fn an_attachment_that_this_run_took_off_is_not_the_one_that_it_made_after() {
    let mut situation = Situation::attached();
    let shown = situation.seen.described.clone();
    situation.seen.answers.note_taken_off(&volume(1), &shown);
    situation.gives(&Step::Poll, &Reason::Attaching { volume: volume(1) });
    let mut anew = leased_volume();
    anew.attachments[0].attached_at = seconds_ago(1);
    situation.show(anew);
    situation.gives_effect(go_on(), &Reason::Verified { slot: slot_id(0) });
}

#[test]
fn a_volume_on_a_recent_holder_is_waited_for_and_never_forced() {
    let mut situation = Situation::leased();
    situation.slot().released_at = Some(seconds_ago(60));
    situation.show(on(1, 90, AttachmentState::Attached));
    let reason = Reason::OnEarlierHolder { volume: volume(1), instance: instance(90) };
    situation.gives(&Step::Poll, &reason);
    situation.seen.answers.polls = 8;
    situation.rests(Some(launch_action()), &reason);
}

#[test]
fn a_volume_on_a_stranger_sets_the_slot_apart_and_its_holder_waits_again() {
    let mut situation = Situation::leased();
    situation.show(on(1, 77, AttachmentState::Attached));
    let problem = "it is attached to i-0000004d, which never held the slot".to_owned();
    let reason = Reason::Quarantine { volume: volume(1), problem: problem.clone() };
    let transaction = situation.gives_transaction("quarantine", &reason);
    assert_eq!(written_slot(&transaction).state, SlotState::Quarantined);
    assert_eq!(written_claim(&transaction).0.phase, Phase::Waiting { place: place(), since: NOW });
    let alarm = Alarm::Quarantined { slot: slot_id(0), volume: volume(1), problem };
    assert_eq!(situation.alarms(), [alarm]);
}

#[test]
fn a_volume_that_can_not_be_used_sets_the_slot_apart() {
    let mut multi_attach = available(1);
    multi_attach.multi_attach = true;
    let mut managed = on(1, 1, AttachmentState::Attached);
    managed.attachments[0].instance = None;
    let mut broken = available(1);
    broken.state = VolumeState::Other("error".to_owned());
    for (shown, problem) in [
        (multi_attach, "it has Multi-Attach enabled, so EC2 would not keep two holders apart"),
        (managed, "it is attached to a resource that AWS manages"),
        (broken, "EC2 shows it error"),
    ] {
        let mut situation = Situation::leased();
        situation.show(shown);
        let reason = Reason::Quarantine { volume: volume(1), problem: problem.to_owned() };
        situation.gives_transaction("quarantine", &reason);
    }
}

#[test]
fn a_volume_that_is_not_shown_is_waited_for_and_never_let_go() {
    let mut situation = Situation::leased();
    situation.seen.described.volumes.clear();
    let reason = Reason::VolumeNotShown { volume: volume(1) };
    situation.gives(&Step::Poll, &reason);
    situation.seen.answers.polls = 1000;
    situation.rests(Some(launch_action()), &reason);
}

#[test]
fn a_volume_in_creation_or_in_use_by_nobody_yet_is_waited_for() {
    for state in [VolumeState::Creating, VolumeState::InUse] {
        let mut situation = Situation::leased();
        let mut shown = available(1);
        shown.state = state;
        situation.show(shown);
        situation.gives(&Step::Poll, &attaching(1));
    }
}

// Verifying.

#[test]
fn an_attached_volume_that_would_be_deleted_with_the_instance_is_set_to_stay() {
    let mut situation = Situation::attached();
    situation.attachment(1).delete_on_termination = DeleteOnTermination::Delete;
    let keep = Reason::KeepVolume { volume: volume(1) };
    situation.gives_effect(Effect::KeepOnTermination("/dev/sdf".to_owned()), &keep);
    situation.seen.answers.kept.insert("/dev/sdf".to_owned());
    situation.gives(&Step::Poll, &keep);
}

#[test]
fn missing_tags_are_set_on_the_volumes_and_then_on_the_instance() {
    let mut situation = Situation::attached();
    situation.seen.described.instance.as_mut().unwrap().tags.clear();
    let shown = situation.seen.described.volumes.get_mut(&volume(1)).unwrap();
    shown.tags.remove(tags::VOLUME);
    let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let lease = lease_tag();
    let wanted = tags(&[
        ("stateful-asg:slot", "cassandra-0"),
        ("stateful-asg:volume", "data"),
        ("stateful-asg:lease", &lease),
    ]);
    let resource = volume(1).to_string();
    situation.gives_effect(
        Effect::Tag(resource.clone(), wanted),
        &Reason::TagsMissing { resource: resource.clone() },
    );
    situation.seen.answers.tagged.insert(resource);
    let wanted = tags(&[
        ("stateful-asg:slot", "cassandra-0"),
        ("stateful-asg:index", "0"),
        ("stateful-asg:volume:data", "vol-00000001"),
    ]);
    let resource = instance(1).to_string();
    situation.gives_effect(
        Effect::Tag(resource.clone(), wanted),
        &Reason::TagsMissing { resource: resource.clone() },
    );
    situation.seen.answers.tagged.insert(resource);
    situation.gives_effect(go_on(), &Reason::Verified { slot: slot_id(0) });
}

#[test]
fn an_instance_that_can_not_be_told_its_volumes_is_held_with_an_alarm() {
    let mut situation = Situation::attached();
    situation.seen.described.instance.as_mut().unwrap().tags.clear();
    situation.seen.answers.tags_refused = 3;
    situation.rests(Some(launch_action()), &Reason::TagsRefused);
    assert_eq!(situation.alarms(), [Alarm::TagsRefused]);
}

#[test]
fn what_was_attached_is_taken_off_again_before_its_slot_is_set_apart() {
    let mut situation = Situation::attached();
    situation.slot().volumes.push(slot_volume("log", 2, "/dev/sdg"));
    situation.show(on(2, 77, AttachmentState::Attached));
    let undo = Reason::Undo { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &undo);
    situation.seen.answers.detaching.insert(volume(1));
    situation.gives(&Step::Poll, &undo);
    // The describe may be older than the attachment, by whichever run: EC2's own answer counts.
    situation.show(available(1));
    situation.gives_effect(Effect::Detach(volume(1)), &undo);
    situation.seen.answers.polls = 12;
    situation.rests(Some(launch_action()), &undo);
    situation.seen.answers.polls = 0;
    situation.seen.answers.not_attached.insert(volume(1));
    let problem = "it is attached to i-0000004d, which never held the slot".to_owned();
    let reason = Reason::Quarantine { volume: volume(2), problem };
    situation.gives_transaction("quarantine", &reason);

    // Attached a moment ago, and the describe is older than that.
    situation.seen.answers.detaching.clear();
    situation.seen.answers.attaching.insert(volume(1), NOW);
    situation.gives_effect(Effect::Detach(volume(1)), &undo);

    // What is in error is attached to nobody.
    let mut situation = Situation::attached();
    situation.slot().volumes.push(slot_volume("log", 2, "/dev/sdg"));
    situation.show(on(1, 77, AttachmentState::Attached));
    let mut failed = available(2);
    failed.state = VolumeState::Other("error".to_owned());
    situation.show(failed);
    let problem = "it is attached to i-0000004d, which never held the slot".to_owned();
    let reason = Reason::Quarantine { volume: volume(1), problem };
    situation.gives_transaction("quarantine", &reason);
}

#[test]
fn a_verified_slot_lets_the_launch_continue() {
    Situation::attached().gives_effect(go_on(), &Reason::Verified { slot: slot_id(0) });
}

#[test]
fn one_volume_of_several_is_not_enough_to_continue() {
    let mut situation = Situation::attached();
    situation.slot().volumes.push(slot_volume("log", 2, "/dev/sdg"));
    situation.show(available(2));
    situation.gives_effect(
        Effect::Attach(volume(2), device("/dev/sdg")),
        &Reason::Attach { volume: volume(2) },
    );
}

#[test]
fn an_answer_that_finds_no_active_action_is_sent_again_and_then_left_to_reconcile() {
    let mut situation = Situation::attached();
    let verified = Reason::Verified { slot: slot_id(0) };
    situation.seen.answers.asked = Some(launch_action());
    for tries in 1..3 {
        situation.seen.answers.no_active_action = tries;
        situation.seen.answers.polls = tries - 1;
        situation.gives(&Step::Poll, &Reason::NoActiveActionYet);
        situation.seen.answers.polls = tries;
        situation.gives_effect(go_on(), &verified);
    }
    situation.seen.answers.no_active_action = 3;
    situation.rests(Some(launch_action()), &Reason::NoActiveActionYet);
}

/// Nothing of it is on record, so nobody would come back to it.
#[test]
fn an_answer_by_hook_that_finds_no_active_action_is_not_taken_for_answered() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    situation.seen.claim = Some(Claim { action: None, ..claim() });
    situation.seen.hooks = Some(our_hooks());
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.seen.answers.no_active_action = 1;
    let decided = situation.decided();
    assert!(
        !matches!(decided.step, Step::Rest { work_left: false, .. }),
        "{}, while the instance still waits under our hook",
        decided.reason
    );
}

// Records that contradict each other.

#[test]
fn a_claim_and_a_slot_that_disagree_are_not_touched() {
    let disagreeing = [
        None,
        Some(Slot { state: SlotState::Free, ..situation::leased_slot() }),
        Some(Slot { epoch: 4, ..situation::leased_slot() }),
        Some(situation::releasing_slot()),
        Some(Slot { state: SlotState::Leased { holder: instance(2) }, ..situation::leased_slot() }),
    ];
    for slot in disagreeing {
        let mut situation = Situation::attached();
        situation.seen.slot = slot;
        let decided = situation.decided();
        assert!(matches!(decided.step, Step::Rest { work_left: true, .. }), "{decided:?}");
        assert_eq!(decided.reason, Reason::RecordsDisagree);
        assert_eq!(decided.alarms, [Alarm::RecordsDisagree]);
    }
}

#[test]
fn a_launch_held_for_records_that_disagree_is_kept_alive() {
    let mut situation = Situation::attached();
    situation.seen.slot = None;
    situation.rests(Some(launch_action()), &Reason::RecordsDisagree);
}

/// An instance id that lives twice.
#[test]
fn a_launch_whose_last_release_has_not_ended_finishes_that_first() {
    let mut situation = Situation::leased();
    situation.seen.claim =
        Some(Claim { action: Some(launch_action()), ..situation::leaving_claim() });
    situation.seen.slot = Some(situation::releasing_slot());
    situation.seen.answers.not_attached = BTreeSet::from([volume(1)]);
    situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
    situation.seen.answers.not_attached.clear();
    let decided = situation.decided();
    assert_eq!(decided.reason, Reason::FinishRelease { slot: slot_id(0) });
}

// Settled.

#[test]
fn past_its_hook_a_launched_instance_is_settled() {
    for state in [
        LifecycleState::PendingProceed,
        LifecycleState::InService,
        LifecycleState::Other("Standby".into()),
    ] {
        let mut situation = Situation::attached();
        situation.shown_as(state.clone());
        situation.settles(&Reason::NothingWaitedFor { state: state.to_string() });
        situation.seen.claim = None;
        situation.subject.event = None;
        situation.settles(&Reason::NothingWaitedFor { state: state.to_string() });
    }
}

/// Auto Scaling's describe may lag behind its own event.
#[test]
fn an_action_just_taken_up_is_not_given_up_because_auto_scaling_does_not_show_it_yet() {
    for waiting in [claim(), waiting_claim()] {
        let mut situation = Situation::launching();
        situation.seen.claim = Some(Claim { opened_at: seconds_ago(119), ..waiting });
        situation.shown_as(LifecycleState::Other("Standby".to_owned()));
        let reason = Reason::NotYetWaiting { state: "Standby".to_owned() };
        situation.gives(&Step::Poll, &reason);
        situation.claim().opened_at = seconds_ago(120);
        assert_ne!(situation.decided().reason, reason);
        situation.claim().opened_at = seconds_ago(1);
        situation.claim().answered = Some(ActionResult::Continue);
        assert_ne!(situation.decided().reason, reason);
    }
}

/// Reconcile finds it once a minute, and takes it up anew each time (seed 15423).
#[test]
fn an_action_of_long_ago_without_an_answer_is_none_just_taken_up() {
    let mut situation = Situation::launching();
    situation.subject.event = None;
    let (action_at, opened_at) = (Some(hours_ago(1)), seconds_ago(1));
    situation.seen.claim = Some(Claim { action_at, opened_at, ..claim() });
    situation.shown_as(LifecycleState::Other("Standby".to_owned()));
    situation.settles(&Reason::NothingWaitedFor { state: "Standby".to_owned() });
}

/// A describe that lags shows what was before the launch hook, never what comes after it.
#[test]
fn a_launch_without_its_answer_on_record_is_over_once_auto_scaling_shows_what_comes_after() {
    for state in [LifecycleState::PendingProceed, LifecycleState::InService] {
        let mut situation = Situation::attached();
        situation.claim().opened_at = seconds_ago(1);
        situation.shown_as(state.clone());
        situation.settles(&Reason::NothingWaitedFor { state: state.to_string() });
    }
}

#[test]
fn an_event_that_names_another_group_is_not_believed() {
    let mut situation = Situation::launching();
    let action = Action { group: "cassandra-b".parse().unwrap(), ..launch_action() };
    situation.subject.event = Some(event(action, Some(POLICY)));
    situation.seen.hooks = None;
    let group = launch_action().group;
    situation.gives(&Step::Look(Look::Hooks(group)), &Reason::ActionUnknown);
}

#[test]
fn a_waiter_whose_launch_is_over_leaves_the_queue() {
    let mut situation = Situation::waiting();
    situation.shown_as(LifecycleState::InService);
    let reason = Reason::LaunchOver { state: "InService".to_owned() };
    let transaction = situation.gives_transaction("close", &reason);
    assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
    assert_eq!(situation.alarms(), [Alarm::InServiceWithoutSlot]);
}

#[test]
fn an_instance_that_does_not_wait_yet_is_looked_at_again_and_then_come_back_to() {
    for claim in [None, Some(waiting_claim())] {
        let mut situation = Situation::launching();
        situation.seen.claim = claim;
        situation.shown_as(LifecycleState::Pending);
        let reason = Reason::NotYetWaiting { state: "Pending".to_owned() };
        situation.gives(&Step::Poll, &reason);
        situation.seen.answers.polls = 12;
        situation.rests(None, &reason);
    }
}

#[test]
fn a_waiter_that_auto_scaling_does_not_show_is_not_let_go() {
    let mut situation = Situation::waiting();
    situation.seen.described.group_instance = None;
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Continue);
    situation.gives(&Step::Poll, &Reason::NotInGroup);
    situation.seen.answers.polls = 12;
    situation.rests(None, &Reason::NotInGroup);
}

#[test]
fn an_event_of_an_instance_that_nobody_shows_yet_is_looked_into_again() {
    let mut situation = Situation::launching();
    situation.seen.described = volume_pool::observation::Described::default();
    situation.gives(&Step::Poll, &Reason::NotInGroup);
    situation.seen.claim = Some(Claim { opened_at: seconds_ago(60), ..claim() });
    situation.gives(&Step::Poll, &Reason::NotInGroup);
}

#[test]
fn nothing_is_decided_by_the_clock_alone_for_a_lease() {
    let mut situation = Situation::attached();
    situation.shown_as(LifecycleState::InService);
    let later = NOW.plus(seconds(90 * 24 * 3600));
    let decided = volume_pool::decide::decide(&situation.subject, &situation.seen, later);
    assert_eq!(decided.step, Step::Rest { work_left: false, heartbeat: None });
}
