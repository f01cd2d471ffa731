//! What is decided for an instance that is going or gone, situation by situation (design.md, section 5).

use crate::situation;
use std::collections::BTreeSet;

use crate::situation::{
    NOW, POLICY, Situation, available, claim, event, hook, instance, launch_action, leased_slot,
    on, our_hooks, place, policy_leaving, seconds_ago, slot_id, slot_volume, terminate_action,
    volume, waiting_claim, written_claim, written_slot,
};
use volume_pool::decide::{Alarm, Effect, Look, Reason, Step};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::observation::{
    AttachmentState, Described, InstanceState, LifecycleState, VolumeState,
};
use volume_pool::policy::{LeaveMode, Policy};
use volume_pool::ports::Refusal;
use volume_pool::record::{Claim, Phase, SlotState};
use volume_pool::sweep::Found;

const EVERY_MODE: [LeaveMode; 5] =
    [LeaveMode::Stop, LeaveMode::Guest, LeaveMode::Ssm, LeaveMode::Detach, LeaveMode::Terminate];

fn go_on() -> Effect {
    Effect::Complete(terminate_action(), ActionResult::Continue)
}

fn detach() -> Reason {
    Reason::Detach { volume: volume(1) }
}

fn confirm() -> Reason {
    Reason::ConfirmDetached { volume: volume(1) }
}

fn detached() -> Reason {
    Reason::Detached { slot: slot_id(0) }
}

fn waiting_for_termination() -> Reason {
    Reason::WaitingForTermination { slot: slot_id(0) }
}

// Nothing held.

#[test]
fn an_instance_that_holds_nothing_goes_on() {
    for claim in [None, Some(claim())] {
        let mut situation = Situation::terminating();
        situation.seen.claim = claim;
        situation.seen.slot = None;
        situation.seen.described.instance.as_mut().unwrap().tags.clear();
        situation.gives_effect(go_on(), &Reason::HoldsNothing);
    }
}

#[test]
fn nothing_is_left_for_an_instance_that_holds_nothing_once_it_has_its_answer_or_is_gone() {
    let mut answered = Situation::terminating();
    answered.seen.claim = Some(claim());
    answered.seen.answers.completed = Some((terminate_action(), ActionResult::Continue));
    answered.settles(&Reason::HoldsNothing);
    let mut gone = Situation::terminating();
    gone.seen.claim = Some(claim());
    gone.shown_as(LifecycleState::TerminatingProceed);
    gone.runs_as(InstanceState::Terminated);
    gone.settles(&Reason::HoldsNothing);
}

#[test]
fn a_terminating_waiter_leaves_the_queue_first() {
    let mut situation = Situation::terminating();
    situation.seen.claim = Some(waiting_claim());
    let transaction = situation.gives_transaction("close", &Reason::Terminating);
    assert_eq!(transaction.wakes, Some(place()));
    assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
}

#[test]
fn a_waiter_that_is_gone_leaves_the_queue_whatever_auto_scaling_still_shows() {
    for state in [InstanceState::ShuttingDown, InstanceState::Terminated] {
        let mut situation = Situation::waiting();
        situation.runs_as(state);
        situation.gives_transaction("close", &Reason::InstanceGone);
        situation.seen.described.group_instance = None;
        situation.gives_transaction("close", &Reason::InstanceGone);
    }
}

#[test]
fn an_instance_whose_hook_is_not_ours_is_not_answered() {
    let mut situation = Situation::terminating();
    situation.subject.event = None;
    situation.seen.claim = None;
    situation.seen.hooks = Some(vec![hook("drain", Transition::Terminating, None)]);
    situation.settles(&Reason::HoldsNothing);
}

// Beginning.

#[test]
fn the_slot_is_marked_releasing_before_anything_is_done_to_the_instance() {
    for mode in EVERY_MODE {
        let mut situation = Situation::terminating();
        situation.claim().policy = Some(policy_leaving(mode));
        let transaction = situation.gives_transaction("begin release", &Reason::Terminating);
        let (claim, _) = written_claim(&transaction);
        assert_eq!(claim.phase, Phase::Leaving { slot: slot_id(0), epoch: 3, since: NOW });
        assert_eq!((&claim.action, claim.answered), (&Some(terminate_action()), None));
        assert_eq!(written_slot(&transaction).state, SlotState::Releasing { holder: instance(1) });
    }
}

#[test]
fn an_instance_that_ends_without_a_hook_begins_its_release_as_well() {
    let mut by_state = Situation::attached();
    by_state.subject.event = None;
    by_state.runs_as(InstanceState::Terminated);
    by_state.gives_transaction("begin release", &Reason::InstanceGone);
    for state in [LifecycleState::Terminating, LifecycleState::TerminatingProceed] {
        let mut by_group = Situation::attached();
        by_group.subject.event = None;
        by_group.shown_as(state);
        by_group.gives_transaction("begin release", &Reason::TerminatingWithoutHook);
    }
}

#[test]
fn a_termination_whose_event_was_lost_is_found_by_the_hooks_of_its_group() {
    let mut situation = Situation::terminating();
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Continue);
    situation.gives(&Step::Look(Look::Hooks(launch_action().group)), &Reason::ActionUnknown);
    situation.seen.hooks = Some(our_hooks());
    let transaction = situation.gives_transaction("begin release", &Reason::Terminating);
    let found = written_claim(&transaction).0.action.clone().unwrap();
    assert_eq!((found.hook.as_str(), found.token), ("stateful-asg-terminate", None));
}

#[test]
fn terminating_needs_no_policy_that_parses() {
    let mut situation = Situation::terminating();
    situation.subject.event = Some(event(terminate_action(), Some("{")));
    situation.seen.group = None;
    situation.gives_transaction("begin release", &Reason::Terminating);
    assert_eq!(situation.alarms(), []);
}

// Mode stop.

#[test]
fn mode_stop_is_the_default_and_looks_at_the_hooks_before_it_stops_the_instance() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.claim().policy = None;
    situation.seen.hooks = None;
    situation.gives(&Step::Look(Look::Hooks(launch_action().group)), &Reason::StopFirst);
    situation.seen.hooks = Some(our_hooks());
    situation.gives_effect(Effect::Stop, &Reason::StopFirst);
}

#[test]
fn other_peoples_terminate_hook_means_continue_without_a_stop() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    let drain = hook("drain", Transition::Terminating, None);
    situation.seen.hooks.as_mut().unwrap().push(drain);
    situation.gives_effect(go_on(), &Reason::OthersDrain);
}

#[test]
fn other_peoples_launch_hook_does_not_keep_it_from_stopping() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    let drain = hook("configure", Transition::Launching, None);
    situation.seen.hooks.as_mut().unwrap().push(drain);
    situation.gives_effect(Effect::Stop, &Reason::StopFirst);
}

#[test]
fn where_ec2_refuses_to_stop_the_termination_frees_the_volumes() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    let problem = "one-time spot instances can't be stopped".to_owned();
    situation.seen.answers.stop = Some(Err(Refusal::Unsupported(problem.clone())));
    situation.gives_effect(go_on(), &Reason::StopRefused { problem });
}

#[test]
fn a_stopping_instance_is_rested_on_with_a_heartbeat() {
    let mut accepted = Situation::leaving(LeaveMode::Stop);
    accepted.seen.answers.stop = Some(Ok(()));
    accepted.rests(Some(terminate_action()), &Reason::Stopping);
    let mut shown = Situation::leaving(LeaveMode::Stop);
    shown.runs_as(InstanceState::Stopping);
    shown.rests(Some(terminate_action()), &Reason::Stopping);
}

#[test]
fn an_announced_stop_that_the_describe_does_not_show_yet_is_polled_for() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.subject.hint = Some(InstanceState::Stopped);
    situation.runs_as(InstanceState::Stopping);
    situation.gives(&Step::Poll, &Reason::Stopping);
    situation.seen.answers.polls = 26;
    situation.rests(Some(terminate_action()), &Reason::Stopping);
}

#[test]
fn once_stopped_the_volume_is_detached_the_answer_asked_for_and_only_then_the_slot_released() {
    for mode in [LeaveMode::Stop, LeaveMode::Guest] {
        let mut situation = Situation::leaving(mode);
        situation.runs_as(InstanceState::Stopped);
        situation.gives_effect(Effect::Detach(volume(1)), &detach());
        situation.seen.answers.detaching.insert(volume(1));
        situation.gives(&Step::Poll, &Reason::Detaching { volume: volume(1) });
        situation.show(available(1));
        situation.gives_effect(Effect::Detach(volume(1)), &confirm());
        situation.seen.answers.not_attached.insert(volume(1));
        let transaction = situation.gives_transaction("release", &detached());
        assert_eq!(transaction.wakes, Some(place()));
        assert_eq!(written_slot(&transaction).state, SlotState::Free);
        assert_eq!(written_slot(&transaction).released_at, Some(NOW));
    }
}

#[test]
fn every_volume_is_detached_before_the_slot_is_released() {
    let mut situation = Situation::leaving(LeaveMode::Detach);
    situation.slot().volumes.push(slot_volume("log", 2, "/dev/sdg"));
    situation.show(available(1));
    situation.show(on(2, 1, AttachmentState::Attached));
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_effect(Effect::Detach(volume(2)), &Reason::Detach { volume: volume(2) });
    situation.show(available(2));
    situation
        .gives_effect(Effect::Detach(volume(2)), &Reason::ConfirmDetached { volume: volume(2) });
    situation.seen.answers.not_attached.insert(volume(2));
    situation.gives_transaction("release", &detached());
}

#[test]
fn a_detachment_that_hangs_is_left_to_events_with_the_slot_still_releasing() {
    for state in [AttachmentState::Detaching, AttachmentState::Busy] {
        let mut situation = Situation::leaving(LeaveMode::Detach);
        situation.show(on(1, 1, state));
        situation.gives(&Step::Poll, &Reason::Detaching { volume: volume(1) });
        situation.seen.answers.polls = 26;
        situation.rests(Some(terminate_action()), &Reason::Detaching { volume: volume(1) });
    }
}

#[test]
fn a_running_instance_in_mode_stop_is_never_detached_even_if_a_stale_describe_says_available() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.show(available(1));
    situation.gives_effect(Effect::Stop, &Reason::StopFirst);
    situation.seen.answers.stop = Some(Ok(()));
    situation.rests(Some(terminate_action()), &Reason::Stopping);
    for state in [InstanceState::Stopping, InstanceState::Other("new".into())] {
        situation.runs_as(state);
        situation.rests(Some(terminate_action()), &Reason::Stopping);
    }
}

// The other modes.

#[test]
fn mode_guest_waits_for_the_instance_to_power_itself_off() {
    for state in [InstanceState::Running, InstanceState::Stopping] {
        let mut situation = Situation::leaving(LeaveMode::Guest);
        situation.runs_as(state);
        situation.rests(Some(terminate_action()), &Reason::Draining);
    }
}

#[test]
fn mode_detach_detaches_from_the_running_instance() {
    let mut situation = Situation::leaving(LeaveMode::Detach);
    situation.gives_effect(Effect::Detach(volume(1)), &detach());
    situation.show(available(1));
    situation.gives_effect(Effect::Detach(volume(1)), &confirm());
}

#[test]
fn mode_detach_touches_nothing_once_the_action_no_longer_waits() {
    let mut answered = Situation::leaving(LeaveMode::Detach);
    answered.claim().answered = Some(ActionResult::Continue);
    answered.rests(None, &waiting_for_termination());
    answered.show(available(1));
    answered.rests(None, &waiting_for_termination());
    let mut in_service = Situation::leaving(LeaveMode::Detach);
    in_service.shown_as(LifecycleState::InService);
    in_service.rests(None, &waiting_for_termination());
    in_service.show(available(1));
    in_service.rests(None, &waiting_for_termination());
}

#[test]
fn mode_terminate_goes_on_at_once_with_the_slot_still_releasing() {
    let situation = Situation::leaving(LeaveMode::Terminate);
    situation.gives_effect(go_on(), &Reason::LeaveToTermination);
}

#[test]
fn after_leave_seconds_the_termination_frees_the_volumes() {
    for mode in [LeaveMode::Stop, LeaveMode::Guest, LeaveMode::Detach] {
        let mut situation = Situation::leaving(mode);
        let mut policy = policy_leaving(mode);
        policy.leave.seconds = 10;
        situation.claim().policy = Some(policy.clone());
        situation.gives_effect(go_on(), &Reason::LeaveTimeUp);
        policy.leave.seconds = 11;
        situation.claim().policy = Some(policy);
        assert_ne!(situation.decided().reason, Reason::LeaveTimeUp);
    }
}

#[test]
fn the_evidence_is_taken_even_when_the_time_is_up() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.claim().phase =
        Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(9000) };
    situation.runs_as(InstanceState::Stopped);
    situation.show(available(1));
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_transaction("release", &detached());
}

// Evidence.

#[test]
fn no_slot_is_released_without_evidence() {
    let mut situation = Situation::leaving(LeaveMode::Detach);
    let not_released = |situation: &Situation, what: &str| {
        let decided = situation.decided();
        let released =
            matches!(&decided.step, Step::Commit(transaction) if transaction.name == "release");
        assert!(!released, "{what}: {}", decided.reason);
    };
    situation.show(available(1));
    not_released(&situation, "available by the describe alone, holder running");
    situation.runs_as(InstanceState::Stopped);
    not_released(&situation, "available by the describe alone, holder stopped");
    situation.runs_as(InstanceState::ShuttingDown);
    not_released(&situation, "available by the describe alone, holder shutting down");
    situation.seen.answers.not_attached.insert(volume(1));
    situation.show(on(1, 1, AttachmentState::Detaching));
    not_released(&situation, "own answer, still detaching by the describe");
    situation.runs_as(InstanceState::Terminated);
    not_released(&situation, "holder terminated, still detaching by the describe");
    situation.seen.described.volumes.clear();
    not_released(&situation, "the volume is not shown");
}

#[test]
fn once_the_holder_is_terminated_a_describe_is_enough() {
    let mut situation = Situation::leaving(LeaveMode::Terminate);
    situation.subject.event = None;
    situation.claim().answered = Some(ActionResult::Continue);
    situation.seen.described.group_instance = None;
    situation.runs_as(InstanceState::Terminated);
    situation.rests(None, &waiting_for_termination());
    situation.show(available(1));
    situation.gives_transaction("release", &detached());
}

#[test]
fn a_volume_on_a_stranger_while_its_slot_is_released_sets_the_slot_apart() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.show(on(1, 77, AttachmentState::Attached));
    let problem = "it is attached to i-0000004d while its slot is being released".to_owned();
    let reason = Reason::Quarantine { volume: volume(1), problem: problem.clone() };
    let transaction = situation.gives_transaction("quarantine", &reason);
    assert_eq!(written_slot(&transaction).state, SlotState::Quarantined);
    assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
    let alarm = Alarm::Quarantined { slot: slot_id(0), volume: volume(1), problem };
    assert_eq!(situation.alarms(), [alarm]);
}

// After the release.

#[test]
fn a_released_instance_gets_its_answer() {
    let mut situation = Situation::terminating();
    situation.subject.event = None;
    let last_slot = Some(slot_id(0));
    situation.seen.claim = Some(Claim { action: Some(terminate_action()), last_slot, ..claim() });
    situation.seen.slot = None;
    situation.gives_effect(go_on(), &Reason::HoldsNothing);
}

#[test]
fn after_continue_without_a_release_the_claim_stays_open_until_the_termination_shows() {
    let mut situation = Situation::leaving(LeaveMode::Terminate);
    situation.claim().answered = Some(ActionResult::Continue);
    situation.rests(None, &waiting_for_termination());
    situation.shown_as(LifecycleState::TerminatingProceed);
    situation.rests(None, &waiting_for_termination());
    situation.runs_as(InstanceState::ShuttingDown);
    situation.rests(None, &waiting_for_termination());
}

#[test]
fn a_terminating_answer_that_finds_no_active_action_is_sent_again_and_then_left_to_reconcile() {
    let mut situation = Situation::leaving(LeaveMode::Terminate);
    situation.seen.answers.asked = Some(terminate_action());
    situation.seen.answers.no_active_action = 1;
    situation.gives(&Step::Poll, &Reason::NoActiveActionYet);
    situation.seen.answers.polls = 1;
    situation.gives_effect(go_on(), &Reason::LeaveToTermination);
    situation.seen.answers.no_active_action = 3;
    situation.rests(Some(terminate_action()), &Reason::NoActiveActionYet);
}

#[test]
fn a_late_launch_event_does_not_hide_the_termination() {
    let mut situation = Situation::leaving(LeaveMode::Terminate);
    situation.subject.event = Some(event(launch_action(), Some(POLICY)));
    situation.gives_effect(go_on(), &Reason::LeaveToTermination);
}

#[test]
fn another_termination_of_the_same_instance_has_an_answer_of_its_own() {
    let mut situation = Situation::terminating();
    situation.seen.slot = None;
    let earlier = Action { token: Some("terminate-0".parse().unwrap()), ..terminate_action() };
    situation.seen.claim = Some(Claim {
        action: Some(earlier),
        answered: Some(ActionResult::Continue),
        last_slot: Some(slot_id(0)),
        ..claim()
    });
    situation.gives_effect(go_on(), &Reason::HoldsNothing);
}

// Forgotten, and hardly shown.

fn unknown(since: u64) -> Situation {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.subject.event = None;
    situation.seen.described.group_instance = None;
    situation.seen.described.instance = None;
    situation.claim().since = seconds_ago(since);
    situation.claim().answered = Some(ActionResult::Continue);
    situation
}

#[test]
fn an_instance_that_ec2_and_auto_scaling_forgot_takes_detachvolumes_own_answer_and_a_describe() {
    let mut situation = unknown(3600);
    situation.rests(None, &waiting_for_termination());
    situation.show(available(1));
    situation.gives_effect(Effect::Detach(volume(1)), &confirm());
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_transaction("release", &detached());
    situation.seen.answers.not_attached.clear();
    situation.seen.answers.holder_unknown.insert(volume(1));
    situation.gives_transaction("release", &detached());
}

#[test]
fn that_the_holder_is_unknown_is_no_answer_while_anything_still_knows_it() {
    let mut situation = unknown(3600);
    situation.show(available(1));
    situation.seen.answers.holder_unknown.insert(volume(1));
    situation.claim().since = seconds_ago(599);
    situation.rests(None, &waiting_for_termination());
    let mut known = Situation::leaving(LeaveMode::Stop);
    known.runs_as(InstanceState::Stopped);
    known.show(available(1));
    known.seen.answers.holder_unknown.insert(volume(1));
    known.gives_effect(Effect::Detach(volume(1)), &confirm());
}

#[test]
fn a_lease_of_a_forgotten_instance_is_released_only_after_ten_minutes_of_silence() {
    let mut situation = unknown(600);
    situation.seen.slot = Some(leased_slot());
    situation.claim().phase = Phase::Leased { slot: slot_id(0), epoch: 3 };
    situation.gives_transaction("begin release", &Reason::InstanceForgotten);
    situation.claim().since = seconds_ago(599);
    situation.settles(&Reason::NothingWaitedFor { state: "no group".to_owned() });
}

/// It was terminated while it was on standby, and during an outage of EC2 (seed 1322 of the simulation's third plan).
#[test]
fn a_holder_that_ec2_forgot_lets_go_of_its_slot_though_auto_scaling_shows_it_on_standby() {
    let shown = Situation::leaving(LeaveMode::Stop).seen.described.group_instance;
    let as_shown = |state: &str, since: u64| {
        let mut situation = unknown(since);
        situation.seen.described.group_instance.clone_from(&shown);
        situation.shown_as(LifecycleState::from(state));
        situation.seen.slot = Some(leased_slot());
        situation.claim().phase = Phase::Leased { slot: slot_id(0), epoch: 3 };
        situation
    };
    let begun = as_shown("Standby", 600);
    begun.gives_transaction("begin release", &Reason::InstanceForgotten);
    let too_soon = as_shown("Standby", 599);
    too_soon.settles(&Reason::NothingWaitedFor { state: "Standby".to_owned() });
    // In service it would have been replaced.
    let watched = as_shown("InService", 600);
    watched.settles(&Reason::NothingWaitedFor { state: "InService".to_owned() });

    let mut leaving = unknown(600);
    leaving.seen.described.group_instance.clone_from(&shown);
    leaving.shown_as(LifecycleState::from("Standby"));
    leaving.show(available(1));
    leaving.gives_effect(Effect::Detach(volume(1)), &confirm());
    leaving.seen.answers.holder_unknown.insert(volume(1));
    leaving.gives_transaction("release", &detached());
}

#[test]
fn a_forgotten_waiter_leaves_the_queue() {
    let mut situation = Situation::waiting();
    situation.seen.described = Described::default();
    situation.claim().since = seconds_ago(600);
    situation.gives_transaction("close", &Reason::InstanceForgotten);
}

/// EC2 forgets a terminated instance after about an hour, and Auto Scaling keeps it in the hook for as long as that is kept
/// alive: with both waiting for each other, nothing but the answer ends it.
#[test]
fn past_its_time_an_instance_that_ec2_does_not_show_any_more_is_let_go_though_auto_scaling_shows_it()
 {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.seen.described.instance = None;
    situation.seen.answers.polls = 12;
    let mut policy = policy_leaving(LeaveMode::Stop);
    policy.leave.seconds = 11;
    situation.claim().policy = Some(policy.clone());
    situation.rests(Some(terminate_action()), &Reason::InstanceNotShown);
    policy.leave.seconds = 10;
    situation.claim().policy = Some(policy);
    situation.gives_effect(go_on(), &Reason::LeaveTimeUp);
}

#[test]
fn a_leaving_instance_that_ec2_does_not_show_for_once_is_looked_at_again_and_not_touched() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.seen.described.instance = None;
    situation.show(available(1));
    situation.gives(&Step::Poll, &Reason::InstanceNotShown);
    situation.seen.answers.polls = 12;
    situation.rests(Some(terminate_action()), &Reason::InstanceNotShown);
}

#[test]
fn a_volume_that_is_not_shown_for_long_does_not_hold_up_the_termination_and_keeps_its_slot() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.runs_as(InstanceState::Stopped);
    situation.seen.described.volumes.clear();
    situation.claim().since = seconds_ago(600);
    situation.gives_effect(go_on(), &Reason::VolumeNotShown { volume: volume(1) });
    assert_eq!(situation.alarms(), [Alarm::VolumeMissing { volume: volume(1) }]);
}

#[test]
fn a_detachment_is_asked_for_with_growing_pauses_and_six_times_in_a_run_at_most() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.runs_as(InstanceState::Stopped);
    situation.show(available(1));
    situation.seen.answers.detaching.insert(volume(1));
    situation.seen.answers.detachments = 5;
    situation.seen.answers.polls = 4;
    situation.gives(&Step::Poll, &confirm());
    situation.seen.answers.polls = 5;
    situation.gives_effect(Effect::Detach(volume(1)), &confirm());
    situation.seen.answers.detachments = 6;
    situation.seen.answers.polls = 6;
    situation.rests(Some(terminate_action()), &confirm());
}

/// Its claim is closed to reconcile, so this event may be the last anyone hears of it.
#[test]
fn a_terminated_event_that_the_describe_lags_behind_is_looked_into_again() {
    let mut situation = Situation::attached();
    situation.subject.event = None;
    situation.subject.hint = Some(InstanceState::Terminated);
    situation.claim().open = false;
    situation.shown_as(LifecycleState::InService);
    let decided = situation.decided();
    assert!(
        !matches!(decided.step, Step::Rest { work_left: false, .. }),
        "the event is dropped and the slot stays leased: {}",
        decided.reason
    );
}

// Settled.

#[test]
fn what_is_being_released_goes_on_whatever_auto_scaling_shows() {
    for state in [
        LifecycleState::InService,
        LifecycleState::Pending,
        LifecycleState::Other("Standby".into()),
    ] {
        let mut situation = Situation::leaving(LeaveMode::Stop);
        situation.shown_as(state);
        situation.runs_as(InstanceState::Stopped);
        situation.show(available(1));
        situation.gives_effect(Effect::Detach(volume(1)), &confirm());
        situation.seen.answers.not_attached = BTreeSet::from([volume(1)]);
        situation.gives_transaction("release", &detached());
    }
}

#[test]
fn a_lease_follows_the_attachment_of_an_instance_that_left_its_group() {
    let mut situation = Situation::attached();
    situation.seen.described.group_instance = None;
    situation.settles(&Reason::NothingWaitedFor { state: "no group".to_owned() });
}

#[test]
fn slots_held_when_a_group_goes_back_to_observe_are_still_released() {
    let mut situation = Situation::terminating();
    situation.claim().policy = Some(Policy { ..situation::observing() });
    situation.gives_transaction("begin release", &Reason::Terminating);
}

/// A volume that can't be released any more would keep its slot coming for ever, and everyone who waits for it.
#[test]
fn once_the_holder_is_gone_a_volume_that_failed_or_is_not_shown_for_long_sets_its_slot_apart() {
    let mut failed = available(1);
    failed.state = VolumeState::Other("error".to_owned());
    // To whom held the slot before, it was given back by hand.
    let elsewhere = on(1, 90, AttachmentState::Attached);
    for (shown, problem) in [
        (Some(failed), "EC2 shows it error"),
        (None, "EC2 has not shown it for ten minutes"),
        (Some(elsewhere), "it is attached to i-0000005a while its slot is being released"),
    ] {
        let mut situation = Situation::leaving(LeaveMode::Stop);
        situation.seen.described.volumes.clear();
        situation.seen.described.volumes.extend(shown.map(|shown| (volume(1), shown)));
        situation.claim().since = seconds_ago(600);
        situation.runs_as(InstanceState::Stopped);
        let kept = situation.decided().step;
        assert!(!matches!(kept, Step::Commit(_)), "while the holder lives: {kept:?}");

        situation.runs_as(InstanceState::Terminated);
        let reason = Reason::Quarantine { volume: volume(1), problem: problem.to_owned() };
        let transaction = situation.gives_transaction("quarantine", &reason);
        assert_eq!(written_slot(&transaction).state, SlotState::Quarantined);
        assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
        let (slot, problem) = (slot_id(0), problem.to_owned());
        assert_eq!(situation.alarms(), [Alarm::Quarantined { slot, volume: volume(1), problem }]);
    }
}

/// It was retained, and its first termination is on record; the second one's event was lost, or its claim still names
/// the first.
#[test]
fn a_termination_whose_recorded_action_is_over_is_answered_by_its_hook() {
    let mut situation = Situation::leaving(LeaveMode::Terminate);
    situation.subject.event = None;
    situation.claim().action = Some(terminate_action());
    situation.seen.hooks = Some(our_hooks());
    situation.seen.answers.asked = Some(terminate_action());
    situation.seen.answers.no_active_action = 3;
    situation.seen.answers.inactive = vec![terminate_action()];
    let by_hook = Action { token: None, destination: None, ..terminate_action() };
    let go_on = Effect::Complete(by_hook.clone(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::LeaveToTermination);

    situation.seen.answers.asked = Some(by_hook.clone());
    situation.seen.answers.inactive.push(by_hook.clone());
    situation.rests(Some(by_hook), &Reason::NoActiveActionYet);
}

/// The same without its event, where the record says that the first termination has its answer: nothing else would
/// answer the second one (seed 5754 of the simulation's first plan).
#[test]
fn a_termination_that_still_waits_past_its_time_is_answered_by_its_hook_again() {
    let by_hook = Action { token: None, destination: None, ..terminate_action() };
    let go_on = Effect::Complete(by_hook, ActionResult::Continue);
    let waits_again = |phase: Phase, taken_up: u64| {
        let mut situation = Situation::leaving(LeaveMode::Terminate);
        situation.subject.event = None;
        situation.subject.found = Some(Found::InHook);
        if phase == Phase::Closed {
            situation.seen.slot = None;
        }
        let claim = situation.claim();
        claim.phase = phase;
        claim.answered = Some(ActionResult::Continue);
        claim.action_at = Some(seconds_ago(taken_up));
        situation
    };
    let leaving =
        |seconds| Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(seconds) };
    waits_again(leaving(300), 301).gives_effect(go_on.clone(), &Reason::LeaveTimeUp);
    waits_again(Phase::Closed, 300).gives_effect(go_on, &Reason::HoldsNothing);

    // Its own time is not over.
    waits_again(leaving(299), 301).rests(None, &waiting_for_termination());
    waits_again(Phase::Closed, 299).settles(&Reason::HoldsNothing);
    // Other people's hooks keep it, as Auto Scaling says: that is no news, and nothing to come back for.
    let mut situation = waits_again(Phase::Closed, 300);
    situation.seen.answers.no_active_action = 1;
    situation.settles(&Reason::HoldsNothing);
    // An event says itself which action it is of.
    let mut situation = waits_again(Phase::Closed, 300);
    situation.subject.found = None;
    situation.settles(&Reason::HoldsNothing);
}

#[test]
fn a_set_with_a_volume_on_a_stranger_is_set_apart_only_once_its_others_are_off() {
    let mut situation = Situation::leaving(LeaveMode::Detach);
    situation.seen.slot.as_mut().unwrap().volumes.push(slot_volume("log", 2, "/dev/sdg"));
    situation.show(on(1, 77, AttachmentState::Attached));
    situation.show(on(2, 1, AttachmentState::Attached));
    let step = situation.decided().step;
    assert!(!matches!(step, Step::Commit(_)), "volume 2 is still attached: {step:?}");

    situation.show(available(2));
    let Step::Commit(transaction) = situation.decided().step else {
        panic!("{:?}", situation.decided());
    };
    assert_eq!(written_slot(&transaction).state, SlotState::Quarantined);
}
