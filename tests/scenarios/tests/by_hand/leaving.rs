//! An instance that goes, and answers that once led astray.

use std::time::Duration;

use volume_pool::decide::Effect;
use volume_pool::event::ActionResult;
use volume_pool::observation::{InstanceState, LifecycleState};
use volume_pool::ports::Refusal;
use volume_pool::record::{Phase, SlotState};
use volume_pool::request::{Request, Response};

use crate::rig::{GROUP, Rig, terminate};

/// `DetachVolume`, refused.
fn detach_refused(request: &Request, refusal: Refusal) -> Option<Response> {
    let detach = matches!(request, Request::Effect(_, Effect::Detach(_)));
    detach.then_some(Response::Answered(Err(refusal)))
}

#[test]
fn a_terminate_event_that_overtakes_the_describe_is_not_forgotten() {
    let mut rig = Rig::in_service();
    rig.run(Some(terminate()));
    assert!(rig.marked_open(), "{:?}", rig.claim());
    assert_eq!(rig.detachments(), 0);

    rig.member_of(GROUP, LifecycleState::TerminatingWait);
    rig.instance_is(InstanceState::Terminated);
    rig.volume_is_available();
    rig.run(None);
    assert_eq!(rig.slot().state, SlotState::Free);
    assert_eq!(rig.answers(), [(terminate().action, ActionResult::Continue)]);
}

#[test]
fn a_holder_that_ec2_has_forgotten_is_released_once_the_release_has_stood_for_a_while() {
    let mut rig = Rig::in_service();
    rig.now = rig.now.plus(Duration::from_hours(3));
    rig.instance_is_unknown();
    rig.volume_is_available();
    for _ in 0..12 {
        rig.run_terminated(|_, request| detach_refused(request, Refusal::NotAttached));
        rig.now = rig.now.plus(Duration::from_mins(2));
    }
    assert_eq!(rig.slot().state, SlotState::Free, "open: {}", rig.marked_open());
}

#[test]
fn a_holder_that_detach_volume_does_not_know_either_is_released_without_hammering() {
    let mut rig = Rig::in_service();
    // The release has begun; then the event of the termination is lost, and EC2 forgets the instance.
    rig.instance_is(InstanceState::ShuttingDown);
    rig.member_of(GROUP, LifecycleState::TerminatingProceed);
    rig.run(Some(terminate()));
    assert!(matches!(rig.claim().phase, Phase::Leaving { .. }), "{:?}", rig.claim());
    rig.now = rig.now.plus(Duration::from_hours(2));
    rig.instance_is_unknown();
    rig.volume_is_available();
    rig.run_with(None, |_, request| detach_refused(request, Refusal::NotFound));
    let detachments = rig.detachments();
    assert!((1..15).contains(&detachments), "DetachVolume {detachments} times in one run");
    assert_eq!(rig.slot().state, SlotState::Free, "{:?}", rig.claim());
}

#[test]
fn a_describe_that_knows_no_instance_is_no_right_to_detach() {
    // The instance runs and has the volume mounted; both describes lag.
    let mut rig = Rig::in_service();
    rig.member_of(GROUP, LifecycleState::TerminatingWait);
    rig.described.instance = None;
    rig.volume_is_available();
    rig.run(Some(terminate()));
    assert_eq!(rig.detachments(), 0);
    assert_ne!(rig.slot().state, SlotState::Free);
}

#[test]
fn a_stale_describe_of_the_volume_is_no_right_to_detach_it_from_a_running_instance() {
    let mut rig = Rig::in_service();
    rig.member_of(GROUP, LifecycleState::TerminatingWait);
    rig.volume_is_available();
    rig.run(Some(terminate()));
    assert_eq!(rig.detachments(), 0);
    assert!(rig.effects().any(|effect| *effect == Effect::Stop), "it is stopped first");
    assert_ne!(rig.slot().state, SlotState::Free);
}

#[test]
fn a_detachment_that_is_accepted_again_and_again_is_not_asked_for_without_end() {
    // The holder is stopped, and the describe shows its volume available too early.
    let mut rig = Rig::in_service();
    rig.member_of(GROUP, LifecycleState::TerminatingWait);
    rig.instance_is(InstanceState::Stopped);
    rig.volume_is_available();
    rig.run(Some(terminate()));
    let detachments = rig.detachments();
    assert!((1..15).contains(&detachments), "DetachVolume {detachments} times");
    assert_ne!(rig.slot().state, SlotState::Free, "accepted is not the answer that it is gone");
    assert!(rig.heartbeated() && rig.marked_open());
}
