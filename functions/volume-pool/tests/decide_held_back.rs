//! What is decided for instances that are kept, or live on: retained after an abandoned termination, on their way into the
//! warm pool, or back from it before their last release has ended.

#![cfg(test)]

mod situation;

use situation::{
    NOW, Situation, available, group, instance, launch_action, leased_claim, leaving_claim,
    members, on, policy, policy_leaving, releasing_slot, seconds_ago, slot_id, terminate_action,
    volume, written_claim,
};
use volume_pool::action::GiveUp;
use volume_pool::decide::{Alarm, Effect, Reason, Step};
use volume_pool::event::{Action, ActionResult};
use volume_pool::observation::{AttachmentState, GroupInstance, InstanceState, LifecycleState};
use volume_pool::policy::{LeaveMode, WhenEmpty};
use volume_pool::record::{Claim, HeldMark, Phase, Record};
use volume_pool::transition::Write;

fn retained() -> LifecycleState {
    LifecycleState::from("Terminating:Retained")
}

fn alarm(holder: u32) -> Alarm {
    Alarm::RetainedHolder { slot: slot_id(0), holder: instance(holder) }
}

#[test]
fn a_retained_instance_keeps_its_slot_and_a_person_is_told() {
    let mut situation = Situation::attached();
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Abandon);
    situation.shown_as(retained());
    situation.settles(&Reason::Retained { slot: slot_id(0) });
    assert_eq!(situation.alarms(), [alarm(1)]);
}

#[test]
fn nothing_is_taken_off_a_retained_instance_even_where_its_release_had_begun_and_it_is_stopped() {
    for shown in [on(1, 1, AttachmentState::Attached), available(1)] {
        for mode in [LeaveMode::Stop, LeaveMode::Detach, LeaveMode::Terminate] {
            let mut situation = Situation::leaving(mode);
            situation.subject.event = None;
            situation.claim().answered = Some(ActionResult::Abandon);
            situation.shown_as(retained());
            situation.runs_as(InstanceState::Stopped);
            situation.show(shown.clone());
            situation.rests(None, &Reason::Retained { slot: slot_id(0) });
            assert_eq!(situation.alarms(), [alarm(1)]);
        }
    }
}

#[test]
fn once_a_retained_instance_is_terminated_its_slot_is_released() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.subject.event = None;
    situation.shown_as(retained());
    situation.runs_as(InstanceState::Terminated);
    situation.show(available(1));
    situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
}

#[test]
fn a_waiter_names_the_retained_holder_that_it_waits_for() {
    let mut situation = Situation::waiting_for_none();
    let held = HeldMark {
        place: situation::place(),
        slot: slot_id(0),
        holder: instance(5),
        volumes: Vec::new(),
        amiss: false,
    };
    situation.seen.held = Some(vec![held]);
    let mut group = members();
    let member = GroupInstance {
        group: launch_action().group,
        zone: situation::place().zone,
        state: retained(),
    };
    group.members.insert(instance(5), member);
    situation.seen.members = Some(group);
    situation.policy_mut().when_empty = WhenEmpty::Wait;
    let reason = Reason::WaitingForRetained { slot: slot_id(0), holder: instance(5) };
    situation.rests(Some(launch_action()), &reason);
    assert!(situation.alarms().contains(&alarm(5)));
}

// Into the warm pool.

fn into_the_warm_pool() -> Action {
    Action { destination: Some("WarmPool".to_owned()), ..terminate_action() }
}

/// Slot 0 is being released, for so long, by an instance on its way into the warm pool.
fn parking(mode: LeaveMode, seconds: u64) -> Situation {
    let mut situation = Situation::leaving(mode);
    situation.claim().action = Some(into_the_warm_pool());
    situation.subject.event = Some(situation::event(into_the_warm_pool(), None));
    situation.claim().phase =
        Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(seconds) };
    situation
}

#[test]
fn on_the_way_into_the_warm_pool_the_same_modes_apply() {
    parking(LeaveMode::Stop, 10).gives_effect(Effect::Stop, &Reason::StopFirst);
    let detach = Reason::Detach { volume: volume(1) };
    parking(LeaveMode::Detach, 10).gives_effect(Effect::Detach(volume(1)), &detach);
}

#[test]
fn who_still_holds_a_volume_past_its_time_is_terminated_instead_of_parked() {
    let abandon = Effect::Complete(into_the_warm_pool(), ActionResult::Abandon);
    for mode in [LeaveMode::Stop, LeaveMode::Detach, LeaveMode::Guest] {
        parking(mode, 300).gives_effect(abandon.clone(), &Reason::LeaveTimeUp);
    }
    parking(LeaveMode::Terminate, 0).gives_effect(abandon, &Reason::LeaveToTermination);
}

#[test]
fn who_has_let_go_is_parked() {
    let mut situation = parking(LeaveMode::Stop, 10);
    let (action, last_slot) = (Some(into_the_warm_pool()), Some(slot_id(0)));
    situation.seen.claim = Some(Claim { action, last_slot, ..situation::claim() });
    situation.seen.slot = None;
    let go_on = Effect::Complete(into_the_warm_pool(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::HoldsNothing);
}

// Back from it.

/// It waits to launch, and slot 0 of its last life is still being released.
fn back(mode: LeaveMode, seconds: u64) -> Situation {
    let mut situation = Situation::leased();
    situation.seen.claim = Some(Claim {
        phase: Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(90_000) },
        action: Some(terminate_action()),
        policy: Some(policy_leaving(mode)),
        opened_at: seconds_ago(seconds),
        ..leased_claim()
    });
    situation.seen.slot = Some(releasing_slot());
    situation.seen.group = Some(group(policy()));
    situation.show(on(1, 1, AttachmentState::Attached));
    situation
}

#[test]
fn a_running_instance_that_is_back_has_its_volume_detached_only_where_the_policy_says_so() {
    let finish = Reason::FinishRelease { slot: slot_id(0) };
    for mode in [LeaveMode::Stop, LeaveMode::Guest, LeaveMode::Terminate] {
        for shown in [on(1, 1, AttachmentState::Attached), available(1)] {
            let mut situation = back(mode, 10);
            situation.show(shown);
            situation.rests(Some(launch_action()), &finish);
        }
    }
    let decided = back(LeaveMode::Detach, 10).decided();
    assert_eq!(decided.step, Step::Effect(Effect::Detach(volume(1))));
    let mut confirming = back(LeaveMode::Detach, 10);
    confirming.show(available(1));
    let confirm = Reason::ConfirmDetached { volume: volume(1) };
    confirming.gives_effect(Effect::Detach(volume(1)), &confirm);
}

#[test]
fn a_stopped_instance_that_is_back_has_its_volume_detached() {
    let mut situation = back(LeaveMode::Stop, 10);
    situation.runs_as(InstanceState::Stopped);
    situation.gives_effect(Effect::Detach(volume(1)), &Reason::Detach { volume: volume(1) });
}

#[test]
fn past_the_time_of_its_policy_who_is_back_is_given_up_with_its_own_action() {
    let mut situation = back(LeaveMode::Stop, 300);
    let why = GiveUp::ReleaseUnfinished;
    let transaction = situation.gives_transaction("give up", &Reason::GivenUp { why });
    let (claim, _) = written_claim(&transaction);
    assert_eq!((&claim.action, claim.given_up), (&Some(launch_action()), Some(why)));
    assert_eq!(claim.action_at, Some(NOW));
    assert!(matches!(claim.phase, Phase::Leaving { .. }));
    assert!(transaction.writes.iter().any(|write| matches!(
        write,
        Write::Put(Record::Group(group), _) if group.abandons.values().sum::<u32>() == 1
    )));

    situation.seen.claim = Some(claim.clone());
    let abandon = Effect::Complete(launch_action(), ActionResult::Abandon);
    situation.gives_effect(abandon, &Reason::GivenUp { why });
}

#[test]
fn what_is_left_of_a_release_stays_open_work_for_whoever_is_retained_or_back() {
    let mut situation = back(LeaveMode::Stop, 10);
    situation.seen.claim = Some(leaving_claim());
    situation.rests(Some(launch_action()), &Reason::FinishRelease { slot: slot_id(0) });
}
