//! Flaws that a review found, as stories on the stage: each went wrong once.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Stage, Timeouts};
use local_cloud::world::{AttachmentState, HookSpecification, LifecycleState};
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, replace_one, settle, stage, stranger, tagged,
    tagged_volume, volumes_by_slot,
};
use volume_pool::event::{Event, Transition};
use volume_pool::observation::InstanceState;
use volume_pool::record::SlotState;

const POLICY: &str = r#"{"pool":"cassandra"}"#;
const OTHER_ZONE: &str = "eu-central-1b";

/// Every claim with its reason, for messages.
fn reasons(stage: &Stage) -> Vec<String> {
    let claims = stage.claims().into_iter();
    claims.map(|claim| format!("{} {:?}: {}", claim.instance, claim.phase, claim.reason)).collect()
}

/// A group of one, launched with these hooks beside the volumes there are, twenty-five minutes later: many times the
/// heartbeat timeout.
fn launched(stage: &mut Stage, hooks: Vec<HookSpecification>) {
    group(stage, "cassandra", 1, &[ZONE], hooks).unwrap();
    stage.run_for(Duration::from_mins(25)).unwrap();
}

#[test]
fn a_launch_whose_attachment_hangs_is_kept_alive() {
    let mut stage = stage(5);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    launched(&mut stage, hooks(Some(POLICY)));
    assert_eq!(stage.claims().len(), 1, "launched again and again: {:?}", reasons(&stage));

    stage.cloud.world().unstick(&volume);
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
}

#[test]
fn an_index_that_a_tag_names_in_another_zone_is_not_given_away() {
    let mut stage = stage(5);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    let named = tagged_volume(&stage, OTHER_ZONE, &[("stateful-asg:slot", "cassandra-0")]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "first", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    group(&stage, "second", 1, &[OTHER_ZONE], hooks(Some(POLICY))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    let served = volumes_by_slot(&stage);
    assert_eq!(served.get("cassandra-0"), Some(&vec![named]), "{served:?}");
}

const TWO_VOLUMES: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;

/// The two volumes of a slot.
fn slot_of_two(stage: &Stage, slot: &str) -> [String; 2] {
    ["data", "log"].map(|name| {
        let tags = [("stateful-asg:slot", slot), ("stateful-asg:volume", name)];
        tagged_volume(stage, ZONE, &tags).unwrap()
    })
}

/// The instance is served with slot 1, and `volume` of slot 0 is not on it.
fn is_served_with_the_other_slot(stage: &mut Stage, volume: &str) {
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    let served = stage.volumes_in_service();
    let (instance, _) = &served["cassandra-1"];
    let left = stage.cloud.world().attachment(volume, instance).cloned();
    assert_eq!(left, None, "the slot that was set apart is still on the instance");
}

#[test]
fn a_slot_that_is_set_apart_leaves_none_of_its_volumes_on_the_instance() {
    let mut stage = stage(5);
    let [data, log] = slot_of_two(&stage, "cassandra-0");
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TWO_VOLUMES))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let free = |stage: &Stage| stage.slots().iter().all(|slot| slot.state == SlotState::Free);
    stage.run_until(LONG, free).unwrap();
    settle(&mut stage).unwrap();

    // A person takes the second volume; another slot comes into the pool.
    let person = stranger(&mut stage).unwrap();
    stage.cloud.world().attach_volume(&log, &person, "/dev/sdf").unwrap();
    slot_of_two(&stage, "cassandra-1");
    stage.run_for(Duration::from_secs(10)).unwrap();

    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    is_served_with_the_other_slot(&mut stage, &data);
}

#[test]
fn a_slot_that_is_set_apart_half_attached_is_taken_off_again() {
    let mut stage = stage(5);
    let [data, log] = slot_of_two(&stage, "cassandra-0");
    slot_of_two(&stage, "cassandra-1");
    let person = stranger(&mut stage).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TWO_VOLUMES))).unwrap();
    let half_attached = |stage: &Stage| {
        let world = stage.cloud.world();
        world.volume(&data).is_ok_and(|volume| !volume.attachments.is_empty())
    };
    stage.run_until(LONG, half_attached).unwrap();
    stage.cloud.world().attach_volume(&log, &person, "/dev/sdf").unwrap();
    is_served_with_the_other_slot(&mut stage, &data);
}

#[test]
fn one_absurd_tag_does_not_keep_the_others_from_adoption() {
    let mut stage = stage(5);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    tagged_volume(&stage, ZONE, &[("stateful-asg:slot", "cassandra-4294967295")]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    stage.run_until(Duration::from_mins(5), |stage| stage.volumes_in_service().len() == 1).unwrap();
}

#[test]
fn a_holder_that_ec2_has_forgotten_is_released_when_its_event_comes_late() {
    let mut stage = in_service(stage(5), 1, POLICY).unwrap();
    // Nobody hears of the termination, so nobody answers it.
    stage.timeouts = Timeouts::Expected;
    stage.loses = |event| match event {
        Event::InstanceState { .. } => true,
        Event::Lifecycle(event) => event.action.transition == Transition::Terminating,
        Event::CommandEnded(_) | Event::Schedule | Event::Ignored(_) => false,
    };
    let killed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().terminate_by_hand(&killed).unwrap();
    stage.run_for(Duration::from_hours(2)).unwrap();

    stage.loses = |_| false;
    stage.deliver(Event::InstanceState {
        instance: killed.parse().unwrap(),
        state: InstanceState::Terminated,
    });
    stage
        .run_until(LONG, |stage| stage.volumes_in_service().len() == 1)
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
}

#[test]
fn a_stuck_waiter_does_not_hold_up_the_answer_of_the_one_that_serves_it() {
    let mut stage = in_service(stage(5), 1, POLICY).unwrap();
    let volume = tagged(&stage).remove(0);
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    let failed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().fail_instance(&failed).unwrap();
    let handed_on =
        |stage: &Stage| stage.slots()[0].holder().is_some_and(|holder| holder.as_str() != failed);
    stage.run_until(LONG, handed_on).unwrap();

    let answered = |stage: &Stage| {
        let world = stage.cloud.world();
        let member = world.member(&failed).map(|(_, member)| member.state);
        member != Some(LifecycleState::TerminatingWait)
    };
    stage.run_until(Duration::from_secs(20), answered).unwrap();
}

#[test]
fn stale_describes_and_events_delivered_twice_change_nothing() {
    for seed in 0..8 {
        for lag in [1, 3, 8] {
            let mut stage = stage(seed);
            stage.cloud.world().set_stale_describe(Some(Duration::from_secs(lag)));
            stage.copies = 2;
            let replaced = in_service(stage, 2, POLICY).and_then(|mut stage| {
                let before = volumes_by_slot(&stage);
                replace_one(&mut stage, 2)?;
                assert_eq!(volumes_by_slot(&stage), before, "seed {seed}, lag {lag} s");
                Ok(())
            });
            replaced.unwrap_or_else(|problem| panic!("seed {seed}, lag {lag} s: {problem}"));
        }
    }
}
