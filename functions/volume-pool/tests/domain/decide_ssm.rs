//! What is decided in leave mode `ssm`: a document makes the running instance let go of its volumes, and what becomes of it.

use crate::situation;
use std::time::Duration;

use crate::situation::{
    NOW, Situation, available, hook, instance, launch_action, leased_slot, on, policy_leaving,
    releasing_slot, seconds_ago, slot_id, terminate_action, volume, written_claim,
};
use volume_pool::command::{CommandShown, CommandState, CommandStatus, LeaveCommand, Run, Sought};
use volume_pool::decide::{Alarm, Effect, Look, Reason, Step};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::ids::{CommandId, DocumentName};
use volume_pool::observation::{AttachmentState, InstanceState, LifecycleState};
use volume_pool::policy::LeaveMode;
use volume_pool::ports::{PortError, Refusal};
use volume_pool::record::{Claim, Phase};
use volume_pool::sweep::Found;

const COMMENT: &str = "stateful-asg i-00000001 8";

fn document() -> DocumentName {
    "drain".parse().unwrap()
}

fn id() -> CommandId {
    "command-1".parse().unwrap()
}

fn sent() -> CommandState {
    CommandState::Sent { id: id() }
}

fn succeeded() -> CommandState {
    CommandState::Succeeded { id: id() }
}

fn command(state: CommandState) -> LeaveCommand {
    LeaveCommand {
        action: terminate_action(),
        document: document(),
        comment: COMMENT.to_owned(),
        announced_at: seconds_ago(5),
        state,
    }
}

/// It leaves by document, with this command on record.
fn leaving_with(state: CommandState) -> Situation {
    let mut situation = Situation::leaving(LeaveMode::Ssm);
    situation.claim().command = Some(command(state));
    situation
}

fn showing(situation: &Situation, status: CommandStatus) -> Situation {
    let mut situation = situation.clone();
    situation.seen.command = Some(CommandShown::Command(id(), status));
    situation
}

/// Its document has succeeded, and Auto Scaling has said in this run that the action still waits.
fn unmounted() -> Situation {
    let mut situation = leaving_with(succeeded());
    situation.seen.answers.still_waits = Some((terminate_action(), true));
    situation
}

fn go_on() -> Effect {
    Effect::Complete(terminate_action(), ActionResult::Continue)
}

fn run() -> Effect {
    Effect::RunDocument(Run {
        document: document(),
        comment: COMMENT.to_owned(),
        begins_within: Duration::from_secs(290),
    })
}

/// It is left to the termination, for this reason, and a person is told.
#[track_caller]
fn falls_through(situation: &Situation, problem: &str) {
    let problem = problem.to_owned();
    let reason = Reason::DocumentFailed { document: document(), problem: problem.clone() };
    situation.gives_effect(go_on(), &reason);
    let alarm = Alarm::DocumentFailed { document: document(), instance: instance(1), problem };
    assert_eq!(situation.alarms(), [alarm]);
}

#[track_caller]
fn touches_nothing(situation: &Situation) {
    let step = situation.decided().step;
    assert!(!matches!(step, Step::Effect(Effect::Detach(_))), "{step:?}");
}

// Intent, then the call.

#[test]
fn the_command_is_on_record_for_this_very_termination_before_it_is_sent() {
    let situation = Situation::leaving(LeaveMode::Ssm);
    let reason = Reason::AnnounceCommand { document: document() };
    let transaction = situation.gives_transaction("announce", &reason);
    let announced = LeaveCommand { announced_at: NOW, ..command(CommandState::Announced) };
    assert_eq!(written_claim(&transaction).0.command, Some(announced));
}

#[test]
fn what_this_very_run_has_announced_is_sent_without_a_look_and_must_begin_in_the_time_that_is_left()
{
    let mut situation = leaving_with(CommandState::Announced);
    situation.seen.answers.announced = Some(COMMENT.to_owned());
    situation.gives_effect(run(), &Reason::RunDocument { document: document() });
    situation.policy_mut().leave.seconds = 11;
    let Step::Effect(Effect::RunDocument(run)) = situation.decided().step else {
        panic!("{:?}", situation.decided());
    };
    assert_eq!(run.begins_within, Duration::from_secs(30), "the least that SendCommand takes");
}

#[test]
fn what_may_have_been_sent_before_is_looked_for_by_its_comment_and_sent_again_only_if_it_does_not_show()
 {
    let mut situation = leaving_with(CommandState::Announced);
    let unknown = Reason::CommandUnknown { document: document() };
    let since = seconds_ago(5 + 300);
    let sought = Sought::Comment { comment: COMMENT.to_owned(), since };
    situation.gives(&Step::Look(Look::Command(sought)), &unknown);
    situation.seen.command = Some(CommandShown::Nothing);
    situation.gives(&Step::Poll, &unknown);
    situation.subject.found = Some(Found::WorkLeft);
    situation.gives(&Step::Poll, &unknown);
    situation.seen.answers.polls = 26;
    situation.gives_effect(run(), &Reason::RunDocument { document: document() });
    for status in [CommandStatus::UnderWay, CommandStatus::Succeeded] {
        let shown = showing(&situation, status);
        let noted = shown.gives_transaction("sent", &Reason::NoteCommand { document: document() });
        assert_eq!(written_claim(&noted).0.command, Some(command(sent())));
    }
}

#[test]
fn the_id_that_was_answered_goes_on_record() {
    let mut situation = leaving_with(CommandState::Announced);
    situation.seen.answers.command_sent = Some(Ok(id()));
    let noted = situation.gives_transaction("sent", &Reason::NoteCommand { document: document() });
    assert_eq!(written_claim(&noted).0.command, Some(command(sent())));
}

#[test]
fn a_refused_command_leaves_the_volumes_to_the_termination_with_the_reason() {
    let mut situation = leaving_with(CommandState::Announced);
    let problem = "InvalidDocument: drain";
    situation.seen.answers.command_sent = Some(Err(Refusal::Other(problem.to_owned())));
    falls_through(&situation, problem);
}

#[test]
fn other_peoples_terminate_hooks_make_no_difference() {
    let mut situation = Situation::leaving(LeaveMode::Ssm);
    let drain = hook("drain", Transition::Terminating, None);
    situation.seen.hooks.as_mut().unwrap().push(drain);
    situation.gives_transaction("announce", &Reason::AnnounceCommand { document: document() });
}

// Waiting for its end.

#[test]
fn a_command_under_way_is_looked_at_a_few_times_and_then_left_to_its_event() {
    let situation = leaving_with(sent());
    let look = Step::Look(Look::Command(Sought::Id(id())));
    situation.gives(&look, &Reason::CommandUnknown { document: document() });
    let running = Reason::RunningDocument { document: document() };
    let mut not_shown = situation.clone();
    not_shown.seen.command = Some(CommandShown::Nothing);
    for mut shown in [showing(&situation, CommandStatus::UnderWay), not_shown] {
        shown.gives(&Step::Poll, &running);
        shown.seen.answers.polls = 8;
        shown.rests(Some(terminate_action()), &running);
        shown.seen.answers.polls = 0;
        shown.subject.found = Some(Found::WorkLeft);
        shown.rests(Some(terminate_action()), &running);
    }
}

#[test]
fn a_command_that_ended_otherwise_than_well_leaves_the_volumes_to_the_termination() {
    for details in ["Failed", "Undeliverable", "DeliveryTimedOut", "ExecutionTimedOut", "Cancelled"]
    {
        let failed = CommandStatus::Failed(details.to_owned());
        falls_through(&showing(&leaving_with(sent()), failed), details);
    }
}

#[test]
fn what_systems_manager_does_not_say_is_waited_for_and_what_it_refuses_to_say_is_not() {
    let mut situation = leaving_with(sent());
    let call = "ssm:ListCommandInvocations";
    let problem = "throttled".to_owned();
    let unanswered = PortError::Transient { call, problem: problem.clone() };
    situation.seen.command = Some(CommandShown::Unanswered(unanswered));
    let reason = Reason::CommandUnread { document: document(), problem };
    situation.rests(Some(terminate_action()), &reason);
    let denied = PortError::Denied { call, problem: "AccessDenied".to_owned() };
    situation.seen.command = Some(CommandShown::Unanswered(denied.clone()));
    falls_through(&situation, &denied.to_string());
}

#[test]
fn after_leave_seconds_the_termination_frees_the_volumes_and_a_document_that_is_not_done_is_named()
{
    for (state, named) in [(CommandState::Announced, true), (sent(), true), (succeeded(), false)] {
        let mut situation = leaving_with(state);
        situation.policy_mut().leave.seconds = 10;
        situation.gives_effect(go_on(), &Reason::LeaveTimeUp);
        let problem = "leave.seconds are over".to_owned();
        let alarm = Alarm::DocumentFailed { document: document(), instance: instance(1), problem };
        assert_eq!(situation.alarms(), if named { vec![alarm] } else { Vec::new() });
    }
}

#[test]
fn bound_for_the_warm_pool_an_instance_whose_document_fails_is_terminated_instead() {
    let mut situation = leaving_with(sent());
    let action = Action { destination: Some("WarmPool".to_owned()), ..terminate_action() };
    situation.subject.event = Some(situation::event(action.clone(), None));
    situation.shown_as(LifecycleState::WarmedPendingWait);
    situation.claim().action = Some(action.clone());
    situation.claim().command.as_mut().unwrap().action = action.clone();
    let failed = showing(&situation, CommandStatus::Failed("Failed".to_owned()));
    let Step::Effect(effect) = failed.decided().step else { panic!("{:?}", failed.decided()) };
    assert_eq!(effect, Effect::Complete(action, ActionResult::Abandon));
}

// Success.

#[test]
fn a_success_goes_on_record_the_action_is_confirmed_and_only_then_is_anything_detached() {
    let mut situation = leaving_with(sent());
    let shown = showing(&situation, CommandStatus::Succeeded);
    let reason = Reason::DocumentSucceeded { document: document() };
    let noted = shown.gives_transaction("succeeded", &reason);
    assert_eq!(written_claim(&noted).0.command, Some(command(succeeded())));

    situation.claim().command = Some(command(succeeded()));
    situation.gives_effect(Effect::Heartbeat(terminate_action()), &Reason::ConfirmAction);
    situation.seen.answers.still_waits = Some((terminate_action(), true));
    situation.gives_effect(Effect::Detach(volume(1)), &Reason::Detach { volume: volume(1) });
    situation.show(available(1));
    let confirm = Reason::ConfirmDetached { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &confirm);
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
}

#[test]
fn a_stale_describe_that_shows_the_volume_available_is_no_right_to_ask_before_the_document_is_done()
{
    for state in [CommandState::Announced, sent(), succeeded()] {
        let mut situation = leaving_with(state);
        situation.show(available(1));
        touches_nothing(&situation);
    }
    touches_nothing(&{
        let mut without = Situation::leaving(LeaveMode::Ssm);
        without.show(available(1));
        without.seen.answers.still_waits = Some((terminate_action(), true));
        without
    });
}

#[test]
fn a_success_counts_for_the_termination_that_it_was_for_and_for_no_other() {
    let earlier = Action { token: Some("terminate-0".parse().unwrap()), ..terminate_action() };
    let found_by_its_hook = Action { token: None, destination: None, ..terminate_action() };
    for action in [earlier, found_by_its_hook] {
        let mut situation = unmounted();
        situation.claim().command.as_mut().unwrap().action = action;
        let reason = Reason::AnnounceCommand { document: document() };
        let again = situation.gives_transaction("announce", &reason);
        let announced = written_claim(&again).0.command.clone().unwrap();
        assert_eq!(
            (announced.action, announced.state),
            (terminate_action(), CommandState::Announced)
        );
        situation.show(available(1));
        touches_nothing(&situation);
    }
}

#[test]
fn an_action_that_auto_scaling_does_not_know_any_more_is_no_reason_to_detach() {
    let mut situation = leaving_with(succeeded());
    situation.seen.answers.still_waits = Some((terminate_action(), false));
    situation.gives_effect(go_on(), &Reason::ActionUnconfirmed);
    situation.show(available(1));
    situation.gives_effect(go_on(), &Reason::ActionUnconfirmed);
}

/// Two terminations of one instance id can't be told apart without their tokens.
#[test]
fn without_the_actions_token_the_document_is_run_and_the_rest_left_to_the_termination() {
    let found_by_its_hook = Action { token: None, destination: None, ..terminate_action() };
    let mut situation = unmounted();
    situation.subject.event = None;
    situation.claim().action = Some(found_by_its_hook.clone());
    situation.claim().command.as_mut().unwrap().action = found_by_its_hook.clone();
    situation.seen.answers.still_waits = Some((found_by_its_hook.clone(), true));
    let go_on = Effect::Complete(found_by_its_hook.clone(), ActionResult::Continue);
    situation.gives_effect(go_on, &Reason::ActionUnconfirmed);
    situation.show(available(1));
    touches_nothing(&situation);
    situation.claim().command = None;
    situation.gives_transaction("announce", &Reason::AnnounceCommand { document: document() });
}

#[test]
fn a_success_is_no_right_to_detach_once_the_action_no_longer_waits() {
    let waiting_for_termination = Reason::WaitingForTermination { slot: slot_id(0) };
    for volume in [available(1), on(1, 1, AttachmentState::Attached)] {
        let mut answered = unmounted();
        answered.show(volume.clone());
        answered.claim().answered = Some(ActionResult::Continue);
        answered.rests(None, &waiting_for_termination);
        let mut in_service = unmounted();
        in_service.show(volume.clone());
        in_service.shown_as(LifecycleState::InService);
        in_service.rests(None, &waiting_for_termination);
        let mut launching_again = unmounted();
        launching_again.show(volume);
        launching_again.subject.event = Some(situation::event(launch_action(), None));
        launching_again.shown_as(LifecycleState::PendingWait);
        launching_again.rests(Some(launch_action()), &Reason::FinishRelease { slot: slot_id(0) });
    }
}

#[test]
fn a_release_that_begins_forgets_the_command_of_an_earlier_one() {
    let mut situation = Situation::terminating();
    situation.claim().policy = Some(policy_leaving(LeaveMode::Ssm));
    situation.claim().command = Some(command(succeeded()));
    assert_eq!(situation.seen.slot, Some(leased_slot()));
    let transaction = situation.gives_transaction("begin release", &Reason::Terminating);
    assert_eq!(written_claim(&transaction).0.command, None);
}

#[test]
fn a_detachment_that_hangs_after_the_success_is_left_to_the_termination_in_time() {
    let mut situation = unmounted();
    situation.show(on(1, 1, AttachmentState::Busy));
    situation.seen.answers.polls = 26;
    let detaching = Reason::Detaching { volume: volume(1) };
    situation.rests(Some(terminate_action()), &detaching);
    situation.policy_mut().leave.seconds = 10;
    situation.gives_effect(go_on(), &Reason::LeaveTimeUp);
    assert_eq!(situation.seen.slot, Some(releasing_slot()));
}

// The instance.

#[test]
fn an_instance_that_is_stopped_needs_no_document_and_one_that_is_stopping_is_waited_for() {
    let mut situation = Situation::leaving(LeaveMode::Ssm);
    situation.runs_as(InstanceState::Stopping);
    situation.rests(Some(terminate_action()), &Reason::Stopping);
    situation.runs_as(InstanceState::Stopped);
    situation.gives_effect(Effect::Detach(volume(1)), &Reason::Detach { volume: volume(1) });
}

#[test]
fn an_instance_that_is_going_already_is_not_sent_anything() {
    for state in [InstanceState::ShuttingDown, InstanceState::Terminated] {
        for command in [None, Some(command(CommandState::Announced)), Some(command(sent()))] {
            let mut situation = Situation::leaving(LeaveMode::Ssm);
            situation.runs_as(state.clone());
            situation.claim().command = command;
            situation.gives_effect(go_on(), &Reason::InstanceGone);
        }
    }
}

/// A record of a policy that is checked before it gets there.
#[test]
fn mode_ssm_without_a_document_is_as_mode_terminate() {
    let mut situation = Situation::leaving(LeaveMode::Ssm);
    situation.policy_mut().leave.document = None;
    situation.gives_effect(go_on(), &Reason::LeaveToTermination);
}

#[test]
fn a_command_is_put_on_record_only_for_a_claim_that_is_leaving() {
    use volume_pool::transition::command::{announce, sent, succeeded};
    let leased = Claim {
        phase: Phase::Leased { slot: slot_id(0), epoch: 3 },
        command: Some(command(CommandState::Announced)),
        ..situation::claim()
    };
    assert_eq!(announce(&leased, &terminate_action(), &document(), NOW), None);
    assert_eq!(sent(&leased, &id()), None);
    assert_eq!(succeeded(&leased), None);
    let without_an_id =
        Claim { command: Some(command(CommandState::Announced)), ..situation::leaving_claim() };
    assert_eq!(succeeded(&without_an_id), None);
}
