//! The order in which the loop asks for things in leave mode `ssm`. `SendCommand` has no client token, so what is on record
//! and what is looked for first is all that keeps the document from being run twice.

use crate::situation::small_world::{Run, World, command_id, subject};
use crate::situation::{
    event, instance, leased_claim, leased_slot, on, policy_leaving, seconds, slot_id,
    terminate_action, volume,
};
use volume_pool::command::{CommandState, CommandStatus};
use volume_pool::event::ActionResult;
use volume_pool::observation::{AttachmentState, LifecycleState};
use volume_pool::policy::LeaveMode;
use volume_pool::ports::{PortError, Refusal};
use volume_pool::record::{Claim, Phase, Record, SlotState};
use volume_pool::request::{Ending, Response};

fn world() -> World {
    World::new()
        .with_instance(1, LifecycleState::TerminatingWait)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim {
            policy: Some(policy_leaving(LeaveMode::Ssm)),
            answered: Some(ActionResult::Continue),
            open: false,
            ..leased_claim()
        })
}

/// The termination's event.
fn termination(world: World) -> Run {
    Run::of_loop(subject(Some(event(terminate_action(), None))), world)
}

/// What comes back later: a command's event, or a retry.
fn next(name: &str, mut world: World) -> Run {
    world.now = world.now.plus(seconds(90));
    Run::of_invocation(name, subject(None), world)
}

fn state(world: &World) -> CommandState {
    world.claim(1).command.clone().unwrap().state
}

fn free(world: &World) -> bool {
    world.slot(0).state == SlotState::Free
}

const CALLS: [&str; 6] = [
    "look at the command",
    "SendCommand",
    "DetachVolume",
    "StopInstances",
    "RecordLifecycleActionHeartbeat",
    "CompleteLifecycleAction",
];

#[test]
fn a_termination_goes_announcement_command_success_confirmation_detachment_release_answer() {
    let mut run = termination(world());
    run.until("look at the command");
    run.world.commands[0].1 = CommandStatus::Succeeded;
    let outcome = run.ended();
    assert_eq!(
        run.trace,
        [
            "read claim",
            "commit guard",
            "read pool+slot",
            "describe",
            "commit begin release",
            "describe",
            "read claim+group+pool+slot",
            "commit announce",
            "describe",
            "read claim+group+pool+slot",
            "SendCommand 1",
            "describe",
            "read claim+group+pool+slot",
            "commit sent",
            "describe",
            "look at the command",
            "read claim+group+pool+slot",
            "commit succeeded",
            "describe",
            "read claim+group+pool+slot",
            "RecordLifecycleActionHeartbeat 1",
            "describe",
            "read claim+group+pool+slot",
            "DetachVolume 1",
            "describe",
            "pause",
            "describe",
            "read claim+group+pool+slot",
            "DetachVolume 1",
            "commit release",
            "serve",
            "describe",
            "CreateTags 1",
            "read claim+group",
            "CompleteLifecycleAction 1",
            "commit rest",
        ]
    );
    assert_eq!(outcome.ending, Ending::Settled);
    assert_eq!(run.world.claim(1).phase, Phase::Closed);
}

#[test]
fn a_document_that_takes_long_is_rested_on_and_its_end_brings_the_rest_about() {
    let mut run = termination(world());
    let outcome = run.ended();
    assert_eq!(outcome.ending, Ending::WorkLeft);
    assert_eq!(
        run.only(&["SendCommand", "RecordLifecycle", "Complete"]),
        ["SendCommand 1", "RecordLifecycleActionHeartbeat 1"]
    );
    assert_eq!(state(&run.world), CommandState::Sent { id: command_id(1) });
    assert_eq!(run.world.claim(1).guard, None);

    let mut world = run.world;
    world.commands[0].1 = CommandStatus::Succeeded;
    let mut run = next("later", world);
    assert_eq!(run.ended().ending, Ending::Settled);
    assert!(free(&run.world));
    assert_eq!(
        run.only(&CALLS),
        [
            "look at the command",
            "RecordLifecycleActionHeartbeat 1",
            "DetachVolume 1",
            "DetachVolume 1",
            "CompleteLifecycleAction 1",
        ]
    );
}

#[test]
fn wherever_the_function_dies_the_document_is_sent_once_and_the_slot_comes_free() {
    for calls in 1.. {
        let mut run = termination(world());
        for _ in 0..calls {
            if run.now_asks().starts_with("finish") {
                return;
            }
            run.step();
        }
        let mut world = run.world;
        for later in 0..4 {
            for (_, status) in &mut world.commands {
                *status = CommandStatus::Succeeded;
            }
            // Lambda tries the event again.
            world.now = world.now.plus(seconds(90));
            let again = subject(Some(event(terminate_action(), None)));
            let mut run = Run::of_invocation(&format!("later-{later}"), again, world);
            run.ended();
            world = run.world;
        }
        assert!(free(&world), "died after call {calls}: {:?}", world.claim(1));
        assert_eq!(world.commands.len(), 1, "died after call {calls}");
    }
}

#[test]
fn a_command_whose_answer_was_lost_is_found_by_its_comment_though_it_shows_late() {
    let mut run = termination(world());
    run.until("SendCommand");
    // It took effect, and does not show at first.
    run.step_unseen();
    let sent = std::mem::take(&mut run.world.commands);
    for _ in 0..3 {
        run.until("look at the command").step();
    }
    run.world.commands = sent;
    run.world.commands[0].1 = CommandStatus::Succeeded;
    run.ended();
    assert!(free(&run.world));
    assert_eq!(run.world.commands.len(), 1);
    assert_eq!(run.only(&["SendCommand", "commit sent"]), ["SendCommand 1", "commit sent"]);
}

#[test]
fn a_command_that_was_never_sent_is_sent_by_the_next_run_once_it_has_looked_long_enough() {
    let mut run = termination(world());
    run.until("SendCommand");
    let mut run = next("later", run.world);
    run.until("SendCommand");
    assert_eq!(run.only(&["look at the command"]).len(), 27);
    run.step();
    assert_eq!(run.world.commands.len(), 1);
    assert_eq!(run.world.commands[0].0, run.world.claim(1).command.clone().unwrap().comment);
}

#[test]
fn a_role_that_may_not_send_commands_is_a_refusal_and_no_failure() {
    let mut run = termination(world());
    run.until("SendCommand");
    let (call, problem) = ("ssm:SendCommand", "AccessDenied".to_owned());
    run.answer(Response::Failed(PortError::Denied { call, problem }));
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(
        run.only(&["DetachVolume", "SendCommand", "CompleteLifecycleAction"]),
        ["SendCommand 1", "CompleteLifecycleAction 1"]
    );
    assert_eq!(run.world.answered, [(instance(1), terminate_action(), ActionResult::Continue)]);
}

#[test]
fn systems_manager_out_of_order_holds_the_termination_up_for_leave_seconds_and_no_longer() {
    let mut run = termination(world());
    run.until("look at the command");
    run.fail();
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert!(run.world.answered.is_empty());
    let mut world = run.world;
    world.now = world.now.plus(seconds(300));
    let mut run = next("later", world);
    run.ended();
    assert_eq!(run.only(&CALLS), ["CompleteLifecycleAction 1"]);
}

/// The instance is in another life: what it unmounted in the last one says nothing of this one.
#[test]
fn an_action_that_is_over_is_no_reason_to_detach_though_the_instance_waits_again() {
    let mut run = termination(world());
    run.until("look at the command");
    run.world.commands[0].1 = CommandStatus::Succeeded;
    run.until("RecordLifecycleActionHeartbeat");
    run.answer(Response::Answered(Err(Refusal::NoActiveAction)));
    run.ended();
    assert!(run.only(&["DetachVolume"]).is_empty(), "{:?}", run.trace);
    assert!(!free(&run.world));
    assert!(run.world.volumes[&volume(1)].attachment().is_some());
    assert_eq!(run.world.slot(0).id, slot_id(0));
}
