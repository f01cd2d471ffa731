//! Waiting and handing over: a replacement is there before the old instance has let go of its volume, the usual case.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{AttachmentState, Config, LifecycleState, Span, Timings, VolumeState};
use scenarios::{LONG, in_service, instances, settle, stage, tagged, volumes_by_slot};
use volume_pool::Timestamp;
use volume_pool::record::{Phase, SlotState};

/// As default policies go, an empty volume would be created where none is coming.
const POLICY: &str = r#"{"pool":"cassandra"}"#;

/// Stopping takes a minute. What Auto Scaling itself takes between two states is not what is measured here.
fn slow_to_stop(seed: u64) -> Stage {
    let timings = Timings {
        stop: Span::exactly(Duration::from_mins(1)),
        lifecycle_step: Span::exactly(Duration::ZERO),
        ..Timings::default()
    };
    let begin = now(&stage(seed));
    let mut stage = Stage::new(Config { seed, timings, ..Config::default() }, begin);
    // What a call of AWS takes within a region, or more.
    stage.call_millis = (20, 20);
    stage
}

fn now(stage: &Stage) -> Timestamp {
    stage.cloud.world().now()
}

/// One of three fails; its replacement waits through the minute that the old instance takes to stop. How long after EC2
/// shows the volume available the replacement is in service, EC2's own time to attach it not counted.
fn handed_over_within(seed: u64) -> Duration {
    let mut stage = in_service(slow_to_stop(seed), 3, POLICY).unwrap();
    let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
    let old = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    let volume = {
        let world = stage.cloud.world();
        let mut held = world.volumes().filter(|volume| {
            volume.tags.contains_key("stateful-asg:pool")
                && volume.attachments.iter().any(|attachment| attachment.instance == old)
        });
        held.next().unwrap().id.clone()
    };
    stage.cloud.world().fail_instance(&old).unwrap();

    let waits = |stage: &Stage| {
        stage.claims().iter().any(|claim| matches!(claim.phase, Phase::Waiting { .. }))
            && stage.slots().iter().any(|slot| matches!(slot.state, SlotState::Releasing { .. }))
    };
    stage.run_until(LONG, waits).unwrap();
    let available = |stage: &Stage| {
        stage.cloud.world().volume(&volume).unwrap().state == VolumeState::Available
    };
    stage.run_until(LONG, available).unwrap();
    let available_at = now(&stage);
    let attachment = |stage: &Stage| {
        let world = stage.cloud.world();
        world.volume(&volume).unwrap().attachments.first().map(|it| it.state)
    };
    stage.run_until(LONG, |stage| attachment(stage).is_some()).unwrap();
    let attaching_at = now(&stage);
    stage.run_until(LONG, |stage| attachment(stage) == Some(AttachmentState::Attached)).unwrap();
    let attaching = now(&stage).since(attaching_at);
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before).unwrap();
    let in_service_at = now(&stage);
    settle(&mut stage).unwrap();
    assert_eq!(tagged(&stage), volumes, "no volume was created");
    in_service_at.since(available_at).saturating_sub(attaching)
}

#[test]
fn a_replacement_is_in_service_within_a_second_of_its_volume_coming_free() {
    for seed in 0..40 {
        let took = handed_over_within(seed);
        assert!(took <= Duration::from_secs(1), "seed {seed}: {took:?}");
    }
}

/// Two groups share a pool. The first group's policy leaves old slots to a person; the second group's does not.
#[test]
fn a_slot_that_is_too_old_for_an_earlier_waiter_is_not_kept_from_a_later_one() {
    let mut stage = stage(3);
    scenarios::tagged_volume(&stage, scenarios::ZONE, &[]).unwrap();
    stage.run_for(Duration::from_hours(30)).unwrap();
    let careful = r#"{"pool":"cassandra","whenEmpty":"wait","staleAfterHours":24}"#;
    let plain = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
    for (name, policy) in [("careful", careful), ("plain", plain)] {
        let hooks = scenarios::hooks(Some(policy));
        scenarios::group(&stage, name, 1, &[scenarios::ZONE], hooks).unwrap();
        stage.run_for(Duration::from_mins(1)).unwrap();
    }
    stage
        .run_until(LONG, |stage| !instances(stage, "plain", LifecycleState::InService).is_empty())
        .unwrap();
    assert_eq!(instances(&stage, "careful", LifecycleState::PendingWait).len(), 1);
}
