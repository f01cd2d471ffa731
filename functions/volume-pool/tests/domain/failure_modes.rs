//! Failure modes that need what no world shows on demand: tables out of reach, states that few instances come to.
//! `tests/failure-modes.md` says which is which.

use crate::situation;
use std::collections::BTreeSet;

use crate::situation::small_world::{Run, World, subject, transient};
use crate::situation::{
    NOW, POLICY, Situation, available, event, free_slot, instance, launch_action, leased_claim,
    leased_slot, leased_volume, on, place, policy_leaving, seconds_ago, slot_id, terminate_action,
    volume,
};
use volume_pool::decide::{Alarm, Effect, Reason, Step, Subject};
use volume_pool::event::ActionResult;
use volume_pool::ids::DeviceName;
use volume_pool::observation::{AttachmentState, LifecycleState, Volume};
use volume_pool::policy::LeaveMode;
use volume_pool::record::{Claim, FreeMark, Pool, Record, VolumeOwner};
use volume_pool::request::{Ending, Request, Response};
use volume_pool::sweep::Found;

/// Instance 1 launches, slot 0 with volume 1 is free.
fn launch() -> (Subject, World) {
    let world = World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with_volume(available(1))
        .with(Record::Pool(Pool { version: 1, next_index: 1, ..Pool::new(place().pool) }))
        .with(Record::Slot(free_slot(0)))
        .with(Record::Free(FreeMark { slot: free_slot(0) }))
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }));
    (subject(Some(event(launch_action(), Some(POLICY)))), world)
}

/// Instance 1 holds slot 0 and terminates, in leave mode detach.
fn termination() -> (Subject, World) {
    let world = World::new()
        .with_instance(1, LifecycleState::TerminatingWait)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim {
            policy: Some(policy_leaving(LeaveMode::Detach)),
            answered: Some(ActionResult::Continue),
            open: false,
            ..leased_claim()
        });
    (subject(Some(event(terminate_action(), None))), world)
}

/// Whether the table is asked.
fn of_the_table(request: &Request) -> bool {
    matches!(
        request,
        Request::Read { .. } | Request::Commit(_) | Request::Poke(..) | Request::TakePoke(..)
    )
}

/// Once the table can't be reached, at whichever call, nothing more is changed in AWS; whoever waits is kept alive.
#[test]
fn with_the_table_out_of_reach_nothing_is_changed_and_the_action_is_kept_alive() {
    for begin in [launch, termination] {
        let (subject, world) = begin();
        let mut undisturbed = Run::of_loop(subject, world);
        undisturbed.ended();
        for reached in 0..undisturbed.trace.len() {
            let (subject, world) = begin();
            let mut run = Run::of_loop(subject, world);
            (0..reached).for_each(|_| run.step());
            let mut refused = false;
            let before = run.trace.len();
            let mut changes = Vec::new();
            while !matches!(run.request, Request::Finish(_)) {
                if of_the_table(&run.request) {
                    refused = true;
                    run.answer(Response::Failed(transient()));
                } else {
                    if refused && matches!(run.request, Request::Effect(..)) {
                        changes.push(run.now_asks());
                    }
                    run.step();
                }
            }
            let asked = &run.trace[before..];
            assert!(
                changes.iter().all(|call| call.starts_with("RecordLifecycleActionHeartbeat")),
                "from call {reached} on: {changes:?}"
            );
            let answered = !run.world.answered.is_empty();
            let kept_alive = !changes.is_empty();
            assert!(!refused || answered || kept_alive, "from call {reached} on: {asked:?}");
            let Request::Finish(outcome) = &run.request else { continue };
            let failed = matches!(outcome.ending, Ending::Failed(_));
            assert!(failed || answered, "from call {reached} on: {:?}", outcome.ending);
        }
    }
}

/// A terminate hook was abandoned under a lifecycle policy that retains: the instance lives on, and may have the
/// volume mounted.
#[test]
fn a_retained_instance_keeps_its_slot_and_its_volume() {
    let retained = || LifecycleState::Other("Terminating:Retained".to_owned());
    let mut holding = Situation::attached();
    let mut situations = Vec::new();
    holding.shown_as(retained());
    situations.push(holding);
    for mode in [LeaveMode::Stop, LeaveMode::Guest, LeaveMode::Detach, LeaveMode::Terminate] {
        let mut leaving = Situation::leaving(mode);
        leaving.subject.event = None;
        leaving.shown_as(retained());
        situations.push(leaving.clone());
        // Nor is a describe that shows it free enough, while the instance runs.
        leaving.show(available(1));
        situations.push(leaving);
    }
    for situation in situations {
        let decided = situation.decided();
        assert!(matches!(decided.step, Step::Rest { .. }), "{:?}", decided.step);
        assert!(matches!(decided.alarms.as_slice(), [Alarm::RetainedHolder { .. }]), "{decided:?}");
    }
}

/// EC2 has no such state for a volume without Multi-Attach; if it shows one, nobody knows who writes to it.
#[test]
fn a_volume_with_two_attachments_sets_its_slot_apart() {
    let mut situation = Situation::attached();
    let mut shown = on(1, 1, AttachmentState::Attached);
    shown.attachments.extend(on(1, 77, AttachmentState::Attached).attachments);
    situation.show(shown);
    let decided = situation.decided();
    let named = matches!(decided.alarms.as_slice(), [Alarm::Quarantined { .. }]);
    assert!(named, "{:?}", decided.step);
    // What this launch has attached is taken off first, from its own instance.
    assert_eq!(decided.step, Step::Effect(Effect::Detach(volume(1))));
}

/// An earlier holder and this one: each alone is no stranger.
fn attached_twice() -> Volume {
    let mut shown = on(1, 1, AttachmentState::Attached);
    shown.attachments.extend(on(1, 90, AttachmentState::Attached).attachments);
    shown
}

#[test]
fn a_volume_with_two_attachments_is_told_of_while_its_holder_is_in_service() {
    let mut situation = Situation::attached();
    situation.subject.event = None;
    situation.subject.found = Some(Found::SlotAmiss);
    situation.claim().answered = Some(ActionResult::Continue);
    situation.shown_as(LifecycleState::InService);
    situation.show(attached_twice());
    situation.seen.answers.polls = 1000;
    let decided = situation.decided();
    assert!(matches!(decided.alarms.as_slice(), [Alarm::VolumeAstray { .. }]), "{decided:?}");
    assert!(matches!(decided.step, Step::Commit(_)), "{:?}", decided.step);
}

/// An attachment that has ended is none.
#[test]
fn a_volume_whose_other_attachment_has_ended_is_used() {
    let mut situation = Situation::attached();
    let mut shown = on(1, 77, AttachmentState::Detached);
    shown.attachments.extend(on(1, 1, AttachmentState::Attached).attachments);
    shown.tags = leased_volume().tags;
    situation.show(shown);
    let verified = Reason::Verified { slot: slot_id(0) };
    situation.gives_effect(Effect::Complete(launch_action(), ActionResult::Continue), &verified);
}

/// Somebody answered our hook before the volumes were there. That can't be taken back, and nothing is attached to an
/// instance in service; but a person must know.
#[test]
fn a_launch_that_someone_else_ended_before_its_volumes_were_attached_is_named() {
    let mut situation = Situation::leased();
    situation.subject.event = None;
    situation.subject.found = Some(Found::SlotAmiss);
    situation.claim().opened_at = seconds_ago(3600);
    situation.shown_as(LifecycleState::InService);
    situation.seen.answers.polls = 1000;
    let decided = situation.decided();
    assert!(matches!(decided.step, Step::Commit(_)), "{:?}", decided.step);
    assert!(matches!(decided.alarms.as_slice(), [Alarm::VolumeAstray { .. }]), "{decided:?}");
}

#[test]
fn each_device_name_is_tried_once_whatever_it_is_spelled_like() {
    let names: Vec<DeviceName> = DeviceName::candidates().collect();
    let points: BTreeSet<String> =
        names.iter().map(|name| name.attachment_point().to_string()).collect();
    assert_eq!(points.len(), names.len());
    // Root volumes are there on every instance.
    for root in ["/dev/sda", "/dev/sda1", "/dev/xvda"] {
        assert!(!names.iter().any(|name| name.as_str() == root), "{root}");
    }
    let mut attached = Situation::leased();
    attached.seen.described.instance.as_mut().unwrap().devices =
        names.iter().skip(1).map(ToString::to_string).chain(["/dev/sdf".to_owned()]).collect();
    let decided = attached.decided();
    assert_eq!(decided.step, Step::Rest { work_left: true, heartbeat: Some(launch_action()) });
    assert_eq!(decided.reason, Reason::NoDeviceLeft);
}

/// Hours are counted whole, and days among them: a slot of last week is not one of the last hour.
#[test]
fn a_slot_idle_for_days_and_an_hour_is_as_old_as_that() {
    let mut situation = Situation::waiting_for_none();
    situation.policy_mut().stale_after_hours = Some(48);
    let idle = |hours: u64| {
        let mut slot = free_slot(0);
        slot.released_at = Some(seconds_ago(hours * 3600));
        slot
    };
    for hours in [48, 73, 24 * 7 + 1] {
        situation.zone().free = vec![idle(hours)];
        situation.rests(Some(launch_action()), &Reason::WaitingOnlyStale { count: 1 });
    }
    situation.zone().free = vec![idle(47)];
    situation.gives_transaction("lease", &Reason::SlotFree { slot: slot_id(0) });
}

/// A clock that is hours wrong, either way, changes nothing about who holds what.
#[test]
fn a_clock_that_is_wrong_frees_nothing() {
    let mut leaving = Situation::leaving(LeaveMode::Stop);
    leaving.subject.event = None;
    leaving.shown_as(LifecycleState::TerminatingProceed);
    let mut held = Situation::attached();
    held.shown_as(LifecycleState::InService);
    for situation in [leaving, held] {
        for hours in [0, 1, 48, 24 * 3650] {
            for now in [NOW.plus(situation::seconds(hours * 3600)), situation::hours_ago(hours)] {
                let decided = volume_pool::decide::decide(&situation.subject, &situation.seen, now);
                let writes = matches!(decided.step, Step::Commit(_) | Step::Effect(_));
                assert!(!writes, "{hours} hours: {:?}", decided.step);
            }
        }
    }
    assert_eq!(leased_slot().holder(), Some(&instance(1)));
}
