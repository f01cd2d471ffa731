//! What is decided for instances that are kept, or live on: retained after an abandoned termination, on their way into the
//! warm pool, or back from it before their last release has ended.

use crate::situation;
use crate::situation::{
    NOW, POLICY, Situation, available, group, instance, launch_action, leased_claim, leaving_claim,
    members, on, policy, policy_leaving, releasing_slot, seconds_ago, slot_id, terminate_action,
    volume, written_claim,
};
use volume_pool::Timestamp;
use volume_pool::action::GiveUp;
use volume_pool::decide::{Alarm, Effect, Reason, Step, waiting_action};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::observation::{AttachmentState, GroupInstance, InstanceState, LifecycleState};
use volume_pool::policy::{LeaveMode, WhenEmpty};
use volume_pool::ports::Refusal;
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

// Back into the warm pool.

fn into_the_warm_pool() -> Action {
    Action { destination: Some("WarmPool".to_owned()), ..terminate_action() }
}

/// Slot 0 is being released, for so long, by an instance on its way into the warm pool.
fn parking(mode: LeaveMode, seconds: u64) -> Situation {
    let mut situation = Situation::leaving(mode);
    situation.shown_as(LifecycleState::WarmedPendingWait);
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
fn a_holder_on_its_way_back_into_the_warm_pool_begins_to_let_go_whatever_event_came() {
    let events = [
        Some(situation::event(into_the_warm_pool(), None)),
        Some(situation::event(launch_action(), Some(POLICY))),
        None,
    ];
    for event in events {
        let mut situation = Situation::attached();
        situation.claim().answered = Some(ActionResult::Continue);
        situation.shown_as(LifecycleState::WarmedPendingWait);
        situation.subject.event = event;
        let begun = situation.gives_transaction("begin release", &Reason::BackToWarmPool);
        let (claim, _) = written_claim(&begun);
        let action = claim.action.as_ref().unwrap();
        assert_eq!(action.transition, Transition::Terminating, "{:?}", situation.subject.event);
    }
}

#[test]
fn who_waits_for_a_slot_on_its_way_back_leaves_the_queue() {
    let mut situation = Situation::waiting();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.gives_transaction("close", &Reason::BackToWarmPool);
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

/// Neither an event nor the record says which hook it waits for, and it holds nothing: either answer is CONTINUE.
#[test]
fn who_holds_nothing_and_whose_event_was_lost_is_told_to_go_on_by_whichever_hook_waits() {
    let warm_pool = Some("WarmPool".to_owned());
    let by_hook = |action| Action { token: None, destination: warm_pool.clone(), ..action };
    let mut situation = Situation::launching();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.subject.event = None;
    let launch = by_hook(launch_action());
    let go_on = Effect::Complete(launch.clone(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::BoundForWarmPool);
    situation.seen.answers.asked = Some(launch);
    situation.seen.answers.no_active_action = 3;
    let terminate = by_hook(terminate_action());
    let go_on = Effect::Complete(terminate.clone(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::HoldsNothing);
    situation.seen.answers.asked = Some(terminate.clone());
    situation.rests(Some(terminate), &Reason::NoActiveActionYet);
}

/// Others' hooks keep it on its way into the pool after our answer. A second one by instance id hung, and ended its wait on the
/// way out of the pool: it was in service without a volume (seed 2738 of the simulation's third plan).
#[test]
fn a_launch_into_the_warm_pool_that_has_its_answer_is_not_answered_again() {
    let mut situation = Situation::launching();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.subject.event = None;
    let into = Action { destination: Some("WarmPool".to_owned()), ..launch_action() };
    let answered = Some(ActionResult::Continue);
    situation.seen.claim = Some(Claim { action: Some(into), answered, ..situation::claim() });
    // It may have been out of the pool since, unheard.
    let back =
        Action { token: None, destination: Some("WarmPool".to_owned()), ..terminate_action() };
    let go_on = Effect::Complete(back, ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::HoldsNothing);
}

/// It was out of the pool once more since, and nobody heard of it: the answer on record is that of an earlier return.
#[test]
fn a_return_that_waits_again_is_answered_again() {
    let mut situation = parking(LeaveMode::Stop, 300);
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Abandon);
    let again = Action { token: None, ..into_the_warm_pool() };
    let abandon = Effect::Complete(again, ActionResult::Abandon);
    situation.gives_effect(abandon, &Reason::LeaveTimeUp);
}

/// What was answered is its return to the pool, where it lay until it was to be terminated. That event was lost.
#[test]
fn an_answer_to_a_return_is_none_to_the_termination_that_follows() {
    let mut situation = parking(LeaveMode::Stop, 10);
    situation.subject.event = None;
    situation.seen.slot = None;
    for answered in [None, Some(ActionResult::Continue)] {
        let action = Some(into_the_warm_pool());
        let last_slot = Some(slot_id(0));
        situation.seen.claim = Some(Claim { action, answered, last_slot, ..situation::claim() });
        situation.shown_as(LifecycleState::TerminatingWait);
        let by_hook = Action { token: None, destination: None, ..terminate_action() };
        let go_on = Effect::Complete(by_hook, ActionResult::Continue);
        situation.gives_effect(go_on, &Reason::HoldsNothing);
    }
}

/// As above, of a launch: the token of the way into the pool does not answer for the way out.
#[test]
fn a_launch_out_of_the_warm_pool_is_not_taken_for_the_launch_into_it() {
    let mut situation = Situation::waiting();
    let into = Action { destination: Some("WarmPool".to_owned()), ..launch_action() };
    situation.claim().action = Some(into.clone());
    situation.seen.zone = None;
    for event in [None, Some(situation::event(into, Some(POLICY)))] {
        situation.subject.event = event;
        let by_hook = Action { token: None, destination: None, ..launch_action() };
        let waits = waiting_action(&situation.subject, &situation.seen);
        assert_eq!(waits, Some(by_hook));
    }
}

/// A return to the pool whose event comes once more, late, says nothing of the next one; nor does one whose answer never
/// got on record, and whose token Auto Scaling does not know.
#[test]
fn a_return_to_the_warm_pool_is_not_taken_for_an_earlier_one() {
    let began = |millis, token: &str| Action {
        began_at: Some(Timestamp::from_millis(millis)),
        token: Some(token.parse().unwrap()),
        ..into_the_warm_pool()
    };
    let (earlier, later) = (began(1_000, "terminate-0"), began(2_000, "terminate-1"));
    let mut situation = Situation::terminating();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    let claim = Claim { action: Some(later.clone()), ..situation::claim() };
    situation.seen.claim = Some(claim);
    situation.subject.event = Some(situation::event(earlier.clone(), None));
    let waits = waiting_action(&situation.subject, &situation.seen);
    assert_eq!(waits, Some(later));

    situation.subject.event = None;
    situation.claim().action = Some(earlier.clone());
    situation.seen.hooks = Some(situation::our_hooks());
    situation.seen.answers.inactive.push(earlier);
    let by_hook = Action { token: None, began_at: None, ..into_the_warm_pool() };
    let waits = waiting_action(&situation.subject, &situation.seen);
    assert_eq!(waits, Some(by_hook));
}

/// To go on without a slot would be to come into service without one.
#[test]
fn a_launch_out_of_the_warm_pool_that_is_still_shown_going_in_is_not_answered_yet() {
    let mut situation = Situation::launching();
    situation.shown_as(LifecycleState::WarmedPendingWait);
    let state = LifecycleState::WarmedPendingWait.to_string();
    situation.gives(&Step::Poll, &Reason::NotYetWaiting { state });
}

// In the warm pool.

fn in_the_warm_pool(state: &str) -> LifecycleState {
    LifecycleState::from(state)
}

/// Slot 0 is being released by an instance that was parked with it, and no action waits any more.
fn parked(mode: LeaveMode, state: &str, ec2: InstanceState) -> Situation {
    let mut situation = parking(mode, 3600);
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Abandon);
    situation.shown_as(in_the_warm_pool(state));
    situation.runs_as(ec2);
    situation
}

/// Its volume was detached and deleted by a person (seed 3014 of the simulation's third plan): nobody terminates the holder, so
/// the slot was being released for ever.
#[test]
fn a_slot_whose_volume_was_deleted_is_set_apart_though_its_holder_lies_in_the_warm_pool() {
    let missing = |since: u64| {
        let mut situation = parked(LeaveMode::Stop, "Warmed:Stopped", InstanceState::Stopped);
        situation.seen.described.volumes.clear();
        situation.claim().since = seconds_ago(since);
        situation
    };
    let problem = "EC2 has not shown it for ten minutes".to_owned();
    let reason = Reason::Quarantine { volume: volume(1), problem };
    missing(600).gives_transaction("quarantine", &reason);
    // Not shown once is not gone.
    assert_ne!(missing(599).decided().reason, reason);
}

fn parked_alarm() -> Alarm {
    Alarm::ParkedHolder { slot: slot_id(0), holder: instance(1) }
}

#[test]
fn a_slot_is_let_go_of_by_whoever_was_parked_with_it() {
    for state in ["Warmed:Pending:Proceed", "Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated"]
    {
        let mut situation = Situation::attached();
        situation.subject.event = None;
        situation.claim().answered = Some(ActionResult::Continue);
        situation.shown_as(in_the_warm_pool(state));
        situation.gives_transaction("begin release", &Reason::Parked);
        // What Auto Scaling shows may lag behind the launch that was announced just now.
        situation.subject.event = Some(situation::event(launch_action(), Some(POLICY)));
        situation.claim().answered = None;
        situation.claim().opened_at = seconds_ago(10);
        let decided = situation.decided();
        assert_eq!(decided.reason, Reason::NotYetWaiting { state: state.to_owned() });
    }
}

#[test]
fn a_parked_instance_that_is_stopped_has_its_volume_detached_and_a_hibernated_one_has_not() {
    for mode in [LeaveMode::Stop, LeaveMode::Guest, LeaveMode::Detach, LeaveMode::Terminate] {
        for state in ["Warmed:Pending:Proceed", "Warmed:Stopped", "Warmed:Running"] {
            let situation = parked(mode, state, InstanceState::Stopped);
            let detach = Reason::Detach { volume: volume(1) };
            situation.gives_effect(Effect::Detach(volume(1)), &detach);
        }
        let hibernated = parked(mode, "Warmed:Hibernated", InstanceState::Stopped);
        hibernated.rests(None, &Reason::Parked);
        assert_eq!(hibernated.alarms(), [parked_alarm()]);
    }
}

#[test]
fn a_parked_instance_that_runs_is_stopped_or_detached_from_only_where_the_policy_says_so() {
    let running = |mode| parked(mode, "Warmed:Running", InstanceState::Running);
    running(LeaveMode::Stop).gives_effect(Effect::Stop, &Reason::StopFirst);
    let detach = Reason::Detach { volume: volume(1) };
    running(LeaveMode::Detach).gives_effect(Effect::Detach(volume(1)), &detach);
    for mode in [LeaveMode::Guest, LeaveMode::Terminate] {
        for shown in [on(1, 1, AttachmentState::Attached), available(1)] {
            let mut situation = running(mode);
            situation.show(shown);
            situation.rests(None, &Reason::Parked);
            assert_eq!(situation.alarms(), [parked_alarm()]);
        }
    }
    let mut hanging = running(LeaveMode::Detach);
    hanging.show(on(1, 1, AttachmentState::Busy));
    hanging.seen.answers.polls = 1000;
    hanging.rests(None, &Reason::Detaching { volume: volume(1) });
    assert_eq!(hanging.alarms(), [parked_alarm()]);
    let mut stopping = running(LeaveMode::Stop);
    stopping.seen.answers.stop = Some(Ok(()));
    stopping.rests(None, &Reason::Parked);
    assert_eq!(stopping.alarms(), []);
    let mut refused = running(LeaveMode::Stop);
    refused.seen.answers.stop = Some(Err(Refusal::Other("UnsupportedOperation".to_owned())));
    refused.rests(None, &Reason::Parked);
    assert_eq!(refused.alarms(), [parked_alarm()]);
}

#[test]
fn a_parked_instance_is_let_go_of_on_evidence_only() {
    let mut situation = parked(LeaveMode::Stop, "Warmed:Stopped", InstanceState::Stopped);
    situation.show(available(1));
    let confirm = Reason::ConfirmDetached { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &confirm);
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
}

/// Out of the warm pool an instance is terminated as any other.
#[test]
fn an_instance_of_the_warm_pool_that_is_terminated_has_its_hook_answered() {
    let mut situation = parking(LeaveMode::Stop, 10);
    situation.shown_as(LifecycleState::from("Warmed:Terminating:Wait"));
    situation.subject.event = None;
    // It never held a slot.
    situation.seen.described.instance.as_mut().unwrap().tags.clear();
    situation.seen.claim = None;
    situation.seen.slot = None;
    let by_hook = Action { token: None, destination: None, ..terminate_action() };
    let go_on = Effect::Complete(by_hook, ActionResult::Continue);
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
