//! Bad input: each gets one clear alarm, the answer that keeps the volumes safe, and loses nothing.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    CreateVolume, HookSpecification, LifecycleState, Transition, VolumeSpecification,
};
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, settle, stage, stranger, tagged_volume,
    volumes_by_slot,
};
use serde_json::json;
use volume_pool::event::Event;
use volume_pool::record::SlotState;

const POLICY: &str = r#"{"pool":"cassandra"}"#;
const WAITING: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;

/// The alarms raised so far, by name and text.
fn alarms(stage: &Stage) -> Vec<(&'static str, String)> {
    let reports = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    let unique: BTreeSet<_> = reports.map(|alarm| (alarm.name(), alarm.to_string())).collect();
    unique.into_iter().collect()
}

fn waiting(stage: &Stage) -> Vec<String> {
    instances(stage, "cassandra", LifecycleState::PendingWait)
}

/// A group of one with this launch hook metadata and one tagged volume, a few minutes later.
fn launched_with(metadata: Option<&str>) -> Stage {
    let mut stage = stage(5);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(metadata)).unwrap();
    stage.run_for(Duration::from_mins(15)).unwrap();
    stage
}

fn is_held_for(stage: &Stage, problem: &str) {
    assert_eq!(
        waiting(stage).len(),
        1,
        "the launch is held far beyond its heartbeat timeout of 300 s"
    );
    assert!(stage.slots().is_empty(), "nothing was leased or adopted");
    let alarms = alarms(stage);
    assert!(
        alarms.iter().any(|(name, text)| *name == "policy-fault" && text.contains(problem)),
        "no alarm says {problem:?}: {alarms:?}"
    );
}

#[test]
fn a_launch_without_metadata_is_held_and_named() {
    is_held_for(&launched_with(None), "no NotificationMetadata");
}

#[test]
fn a_launch_whose_metadata_is_not_json_is_held_and_named() {
    is_held_for(&launched_with(Some("pool=cassandra")), "expected value");
}

#[test]
fn a_launch_with_an_unknown_policy_field_is_held_and_the_field_named() {
    is_held_for(&launched_with(Some(r#"{"pool":"cassandra","waitSecond":5}"#)), "waitSecond");
}

#[test]
fn a_launch_with_a_value_out_of_range_is_held_and_the_field_named() {
    is_held_for(
        &launched_with(Some(r#"{"pool":"cassandra","waitSeconds":999999}"#)),
        "waitSeconds: 999999",
    );
}

#[test]
fn a_held_launch_goes_on_once_the_hook_is_corrected() {
    let mut stage = launched_with(Some("pool=cassandra"));
    let corrected = hooks(Some(POLICY)).remove(0);
    stage.cloud.world().put_lifecycle_hook("cassandra", corrected).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
}

#[test]
fn a_group_whose_policy_breaks_later_goes_by_its_last_good_one() {
    let mut stage = in_service(stage(5), 1, POLICY).unwrap();
    tagged_volume(&stage, ZONE, &[]).unwrap();
    let broken = hooks(Some(r#"{"pool":"cassandra","whenEmty":"wait"}"#)).remove(0);
    stage.cloud.world().put_lifecycle_hook("cassandra", broken).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    let alarms = alarms(&stage);
    assert!(
        alarms
            .iter()
            .any(|(_, text)| text.contains("whenEmty") && text.contains("last good policy")),
        "{alarms:?}"
    );
}

#[test]
fn other_peoples_events_and_hooks_are_none_of_ours() {
    let mut stage = stage(5);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    let other = HookSpecification {
        name: "drain".to_owned(),
        transition: Some(Transition::Launching),
        metadata: Some(POLICY.to_owned()),
        heartbeat_timeout: Some(120),
        default_result: None,
    };
    group(&stage, "theirs", 1, &[ZONE], vec![other]).unwrap();
    for text in [
        json!({"Event": "autoscaling:TEST_NOTIFICATION"}),
        json!({"detail-type": "Something"}),
        json!(7),
    ] {
        stage.deliver(Event::parse(&text, "stateful-asg").unwrap());
    }
    stage.run_for(Duration::from_secs(100)).unwrap();
    assert!(stage.leases.records().is_empty(), "{:?}", stage.leases.records());
    assert_eq!(instances(&stage, "theirs", LifecycleState::PendingWait).len(), 1);
}

/// A group of one launched beside these volumes, a few minutes later.
fn launched_beside(stage: &mut Stage) {
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(stage, "cassandra", 1, &[ZONE], hooks(Some(WAITING))).unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
}

fn is_left_alone(stage: &Stage, volume: &str, problem: &str) {
    assert_eq!(waiting(stage).len(), 1);
    let alarms = alarms(stage);
    assert!(
        alarms.iter().any(|(name, text)| *name == "not-adopted"
            && text.contains(volume)
            && text.contains(problem)),
        "no alarm names {volume} and {problem:?}: {alarms:?}"
    );
    assert!(
        !stage
            .slots()
            .iter()
            .any(|slot| { slot.volumes.iter().any(|known| known.volume.as_str() == volume) })
    );
}

#[test]
fn a_multi_attach_volume_is_left_alone_and_named() {
    let mut stage = stage(5);
    let specification = VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("io2".to_owned()),
        iops: Some(1000),
        multi_attach: Some(true),
        ..VolumeSpecification::default()
    };
    let tags = [("stateful-asg:pool".to_owned(), "cassandra".to_owned())].into();
    let request = CreateVolume { zone: ZONE.to_owned(), specification, tags, client_token: None };
    let volume = stage.cloud.world().create_volume(request).unwrap().id;
    launched_beside(&mut stage);
    is_left_alone(&stage, &volume, "Multi-Attach");
}

#[test]
fn a_tagged_volume_attached_to_a_stranger_is_left_alone_and_named() {
    let mut stage = stage(5);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    let stranger = stranger(&mut stage).unwrap();
    stage.cloud.world().attach_volume(&volume, &stranger, "/dev/sdf").unwrap();
    launched_beside(&mut stage);
    is_left_alone(&stage, &volume, &stranger);
    let held = stage.cloud.world().volume(&volume).unwrap().attachments[0].instance.clone();
    assert_eq!(held, stranger, "it is not taken from the stranger");
}

#[test]
fn two_volumes_with_one_slots_tag_are_both_left_alone_and_named() {
    let mut stage = stage(5);
    let tag = [("stateful-asg:slot", "cassandra-4")];
    let first = tagged_volume(&stage, ZONE, &tag).unwrap();
    let second = tagged_volume(&stage, ZONE, &tag).unwrap();
    launched_beside(&mut stage);
    is_left_alone(&stage, &first, "2 volumes claim to be data of one slot");
    is_left_alone(&stage, &second, "2 volumes claim to be data of one slot");
}

#[test]
fn a_copy_that_carries_the_tag_of_a_slot_that_exists_is_left_alone_and_named() {
    let mut stage = in_service(stage(5), 1, WAITING).unwrap();
    let slot = stage.slots()[0].id.to_string();
    let copy = tagged_volume(&stage, ZONE, &[("stateful-asg:slot", slot.as_str())]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    is_left_alone(&stage, &copy, "names a slot that exists");
}

#[test]
fn a_tagged_slot_comes_back_under_its_own_name() {
    let mut stage = stage(5);
    let volume = tagged_volume(&stage, ZONE, &[("stateful-asg:slot", "cassandra-4")]).unwrap();
    launched_beside(&mut stage);
    assert_eq!(volumes_by_slot(&stage), [("cassandra-4".to_owned(), vec![volume])].into());
}

#[test]
fn a_volume_that_a_person_took_is_set_apart_and_another_one_is_used() {
    let mut stage = in_service(stage(5), 1, POLICY).unwrap();
    // The slot is free for a moment: a person attaches its volume to an instance of their own.
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage
        .run_until(LONG, |stage| stage.slots().iter().all(|slot| slot.state == SlotState::Free))
        .unwrap();
    settle(&mut stage).unwrap();
    let taken = stage.slots()[0].volumes[0].volume.to_string();
    let stranger = stranger(&mut stage).unwrap();
    stage.cloud.world().attach_volume(&taken, &stranger, "/dev/sdf").unwrap();
    let other = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();

    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert_eq!(volumes_by_slot(&stage).into_values().collect::<Vec<_>>(), [vec![other]]);
    let apart = stage
        .slots()
        .into_iter()
        .find(|slot| slot.state == SlotState::Quarantined)
        .expect("no slot is set apart");
    assert!(apart.reason.contains(&stranger), "{}", apart.reason);
    assert!(
        alarms(&stage).iter().any(|(name, text)| *name == "quarantined" && text.contains(&taken))
    );
}
