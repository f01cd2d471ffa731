//! Events that come twice, late, in the wrong order or not at all.

use std::time::Duration;

use local_cloud::stage::{Fault, Stage, Timeouts};
use local_cloud::world::{AttachmentState, LifecycleState, Transition};
use scenarios::{LONG, ZONE, settle, stage, tagged, tagged_volume, volumes_by_slot};
use volume_pool::event::{ActionResult, Event};
use volume_pool::observation::InstanceState;
use volume_pool::record::{Phase, SlotState};

use crate::{POLICY, WAITING, in_service, launch, only, reasons, state_event, waiting_event};

/// A group of one in service, and the events of its launch, as they came.
fn served() -> (Stage, String, Vec<Event>) {
    let mut stage = stage(21);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    launch(&stage, 1, &[ZONE], POLICY);
    let waits = |stage: &Stage| stage.cloud.world().actions().next().is_some();
    stage.run_until(LONG, waits).unwrap();
    let event = waiting_event(&stage, Transition::Launching, Some(POLICY));
    let instance = only(&stage, LifecycleState::PendingWait);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    settle(&mut stage).unwrap();
    let running = state_event(&instance, InstanceState::Running);
    (stage, instance, vec![event, running])
}

#[test]
fn the_events_of_a_launch_that_come_hours_late_change_nothing() {
    let (mut stage, _, events) = served();
    stage.run_for(Duration::from_hours(5)).unwrap();
    let before = stage.leases.records();
    let served = volumes_by_slot(&stage);
    for event in events {
        stage.deliver(event);
    }
    stage.run_for(Duration::from_mins(10)).unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(volumes_by_slot(&stage), served);
    let slots = |records: Vec<volume_pool::record::Record>| {
        let slot =
            |record| matches!(record, volume_pool::record::Record::Slot(_)).then_some(record);
        records.into_iter().filter_map(slot).collect::<Vec<_>>()
    };
    assert_eq!(slots(stage.leases.records()), slots(before));
}

/// The instance that the event is about gave its volume up long ago, and another one has it now.
#[test]
fn the_events_of_a_termination_that_come_hours_late_take_nothing_from_the_next_holder() {
    let (mut stage, old, _) = served();
    stage.cloud.world().fail_instance(&old).unwrap();
    let leaves = |stage: &Stage| {
        stage.cloud.world().actions().any(|action| action.transition == Transition::Terminating)
    };
    stage.run_until(LONG, leaves).unwrap();
    let event = waiting_event(&stage, Transition::Terminating, None);
    let replaced =
        |stage: &Stage| stage.volumes_in_service().values().any(|(instance, _)| *instance != old);
    stage.run_until(LONG, replaced).unwrap();
    settle(&mut stage).unwrap();
    // One of them comes while EC2 still knows the instance, one when it has forgotten it.
    for later in [Duration::from_secs(1), Duration::from_hours(3)] {
        stage.run_for(later).unwrap();
        let (before, slots) = (stage.volumes_in_service(), stage.slots());
        stage.deliver(event.clone());
        stage.deliver(state_event(&old, InstanceState::Stopped));
        stage.deliver(state_event(&old, InstanceState::Terminated));
        stage.run_for(Duration::from_mins(20)).unwrap();
        assert_eq!(stage.volumes_in_service(), before);
        assert_eq!(stage.slots(), slots);
    }
}

/// The first copy of the event is lost; another one comes when the instance is gone.
#[test]
fn a_launch_event_that_comes_after_the_termination_gets_no_slot() {
    let mut stage = stage(22);
    stage.loses = |_| true;
    stage.timeouts = Timeouts::Expected;
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.reconciles = false;
    launch(&stage, 1, &[ZONE], POLICY);
    stage.run_until(LONG, |stage| stage.cloud.world().actions().next().is_some()).unwrap();
    let event = waiting_event(&stage, Transition::Launching, Some(POLICY));
    let instance = only(&stage, LifecycleState::PendingWait);
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.cloud.world().terminate_by_hand(&instance).unwrap();
    let gone = |stage: &Stage| stage.cloud.world().group("cassandra").unwrap().members.is_empty();
    stage.run_until(LONG, gone).unwrap();

    stage.loses = |_| false;
    stage.reconciles = true;
    stage.deliver(event);
    stage.run_for(Duration::from_hours(2)).unwrap();
    let slots = stage.slots();
    assert!(slots.iter().all(|slot| slot.state == SlotState::Free && slot.epoch == 0), "{slots:?}");
    let claims = stage.claims();
    assert!(claims.iter().all(|claim| claim.phase == Phase::Closed), "{:?}", reasons(&stage));
}

/// Whatever the launch has come to, the volume goes to the replacement.
#[test]
fn an_instance_that_is_terminated_at_any_call_of_its_launch_leaves_the_volume_to_the_next() {
    let begun = || {
        let mut stage = stage(23);
        tagged_volume(&stage, ZONE, &[]).unwrap();
        stage.run_for(Duration::from_secs(5)).unwrap();
        launch(&stage, 1, &[ZONE], POLICY);
        stage
    };
    let mut undisturbed = begun();
    undisturbed.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    for call in 1..=undisturbed.calls {
        let mut stage = begun();
        let volumes = tagged(&stage);
        stage.run_until(LONG, |stage| stage.calls >= call).unwrap();
        let first = stage.cloud.world().group("cassandra").unwrap().members.keys().next().cloned();
        let first = first.unwrap();
        stage.cloud.world().terminate_by_hand(&first).unwrap();
        let replaced = |stage: &Stage| {
            stage.volumes_in_service().values().any(|(instance, _)| *instance != first)
        };
        stage
            .run_until(LONG, replaced)
            .unwrap_or_else(|problem| panic!("terminated at call {call}: {problem}"));
        settle(&mut stage).unwrap();
        assert_eq!(tagged(&stage), volumes, "terminated at call {call}");
    }
}

/// Lambda's own retries are used up, or were never made: the schedule alone brings the launch to its end.
#[test]
fn without_any_retry_the_schedule_ends_what_was_begun() {
    let begun = || {
        let mut stage = stage(25);
        stage.retries = false;
        tagged_volume(&stage, ZONE, &[]).unwrap();
        stage.run_for(Duration::from_secs(5)).unwrap();
        launch(&stage, 1, &[ZONE], WAITING);
        stage
    };
    let mut undisturbed = begun();
    undisturbed.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    for call in 1..=undisturbed.calls {
        let mut stage = begun();
        stage.fault = Some((call, Fault::DiesBefore));
        stage
            .run_until(LONG, |stage| in_service(stage, 1))
            .unwrap_or_else(|problem| panic!("killed at call {call}: {problem}"));
    }
}

/// Nobody answers, and the hook's timeout ends the launch in the middle of the work; its replacement gets the volume.
#[test]
fn a_launch_that_times_out_in_the_middle_of_the_work_leaves_its_volume_to_the_next() {
    let mut stage = stage(26);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    launch(&stage, 1, &[ZONE], POLICY);
    let attaching = |stage: &Stage| {
        let world = stage.cloud.world();
        !world.volume(&volume).unwrap().attachments.is_empty()
    };
    stage.run_until(LONG, attaching).unwrap();
    let first = only(&stage, LifecycleState::PendingWait);
    stage.loses = |_| true;
    (stage.reconciles, stage.retries, stage.timeouts) = (false, false, Timeouts::Expected);
    let timed_out = |stage: &Stage| {
        let world = stage.cloud.world();
        world.member(&first).is_none_or(|(_, member)| member.state.is_leaving())
    };
    stage.run_until(LONG, timed_out).unwrap();
    stage.loses = |_| false;
    (stage.reconciles, stage.retries, stage.timeouts) = (true, true, Timeouts::Broken);
    stage.cloud.world().unstick(&volume);
    stage
        .run_until(LONG, |stage| {
            stage.volumes_in_service().values().any(|(instance, _)| *instance != first)
        })
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
    assert_eq!(tagged(&stage), [volume]);
}

/// A hook waits for a hundred times its heartbeat timeout at most, whatever is sent.
#[test]
fn a_held_launch_is_abandoned_before_its_hooks_global_limit() {
    let mut stage = stage(27);
    launch(&stage, 1, &[ZONE], WAITING);
    stage.run_for(Duration::from_mins(5 * 100 + 1)).unwrap();
    let mut answers = stage.reports.iter().filter_map(|report| report.journal.answered);
    assert!(answers.any(|answer| answer == ActionResult::Abandon), "{:?}", reasons(&stage));
}
