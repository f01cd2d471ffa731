//! What a second look at growing found, as stories on the stage.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Fault, Stage, Timeouts};
use local_cloud::world::{
    ApiError, Config, DesiredCapacity, HookSpecification, LifecycleState, Span, Timings,
};
use scenarios::{
    BEGIN, LONG, ZONE, group, hooks, in_service, instances, settle, stage, tagged, tagged_volume,
};
use volume_pool::record::{Phase, Record, Slot, SlotState};

const TEMPLATE: &str = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf",
    "template":{"sizeGiB":20}}]}"#;
const KEYED: &str = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf",
    "template":{"sizeGiB":20,"kmsKeyId":"alias/gone"}}]}"#;
const TWO_VOLUMES: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf","template":{"sizeGiB":20}},
    {"name":"log","device":"/dev/sdg","template":{"sizeGiB":5}}]}"#;
/// EC2 refuses the second volume: 500 operations per second and GiB are the most.
const SECOND_REFUSED: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf","template":{"sizeGiB":20}},
    {"name":"log","device":"/dev/sdg","template":{"sizeGiB":5,"iops":16000}}]}"#;

/// Every claim with its reason, for messages.
fn reasons(stage: &Stage) -> Vec<String> {
    let claims = stage.claims().into_iter();
    claims.map(|claim| format!("{} {:?}: {}", claim.instance, claim.phase, claim.reason)).collect()
}

fn members(stage: &Stage) -> Vec<String> {
    stage.cloud.world().group("cassandra").unwrap().members.keys().cloned().collect()
}

/// Whether every volume with the pool's tag belongs to a slot.
fn none_leaked(stage: &Stage) -> bool {
    let owners = stage.leases.records();
    let owned = owners.iter().filter(|record| matches!(record, Record::Volume(_))).count();
    owned == tagged(stage).len()
}

fn dismiss(stage: &Stage, instance: &str) -> Result<(), ApiError> {
    let mut world = stage.cloud.world();
    world.terminate_instance_in_group(instance, DesiredCapacity::Kept).map(drop)
}

/// The volumes of a slot with data, made by hand.
fn slot_by_hand(stage: &Stage, slot: &str) {
    for name in ["data", "log"] {
        let tags = [("stateful-asg:slot", slot), ("stateful-asg:volume", name)];
        tagged_volume(stage, ZONE, &tags).unwrap();
    }
}

// Creations that fail.

#[test]
fn a_volume_whose_creation_failed_is_created_anew_and_not_noted_again() {
    let mut stage = stage(1);
    stage.cloud.world().disable_key("alias/gone");
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(KEYED))).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    let slots = stage.slots();
    let [Slot { state: SlotState::Creating { planned, .. }, .. }] = slots.as_slice() else {
        panic!("{slots:?}")
    };
    assert!((3..8).contains(&planned[0].attempt), "{planned:?}: {:?}", reasons(&stage));
}

#[test]
fn an_intent_whose_creations_all_failed_ends_with_its_instance() {
    let mut stage = stage(1);
    stage.timeouts = Timeouts::Expected;
    stage.cloud.world().disable_key("alias/gone");
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(KEYED))).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    let first = members(&stage).remove(0);
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.run_for(Duration::from_mins(30)).unwrap();
    let claim = stage.claims().into_iter().find(|claim| claim.instance.as_str() == first).unwrap();
    assert_eq!(claim.phase, Phase::Closed, "{:?}", reasons(&stage));
}

#[test]
fn half_a_slot_for_an_instance_that_is_gone_does_not_stand_in_the_queue_for_ever() {
    let mut stage = stage(1);
    stage.timeouts = Timeouts::Expected;
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(SECOND_REFUSED))).unwrap();
    stage.run_until(LONG, |stage| !tagged(stage).is_empty()).unwrap();
    stage.run_for(Duration::from_secs(20)).unwrap();
    slot_by_hand(&stage, "cassandra-9");
    stage.run_for(Duration::from_secs(5)).unwrap();
    let first = members(&stage).remove(0);
    stage.cloud.world().terminate_by_hand(&first).unwrap();
    stage
        .run_until(LONG, |stage| stage.volumes_in_service().len() == 1)
        .unwrap_or_else(|_| panic!("{:?}", reasons(&stage)));
}

#[test]
fn half_a_slot_does_not_keep_its_instance_or_others_from_a_slot_with_data() {
    let mut stage = stage(1);
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(SECOND_REFUSED))).unwrap();
    stage.run_until(LONG, |stage| !tagged(stage).is_empty()).unwrap();
    stage.run_for(Duration::from_secs(20)).unwrap();
    slot_by_hand(&stage, "cassandra-9");
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage
        .run_until(LONG, |stage| !stage.volumes_in_service().is_empty())
        .unwrap_or_else(|_| panic!("{:?}", reasons(&stage)));
}

// A creation whose answer is lost while a slot comes free.

/// A group of one in service grows by one; at the moment when EC2 has created the volume and its answer is lost, the first
/// instance is dismissed.
fn answer_lost(fault: Fault, call: usize, policy: &str) -> Option<Stage> {
    let mut stage = in_service(stage(7), 1, policy).unwrap();
    stage.fault = Some((stage.calls + call, fault));
    let before = tagged(&stage);
    let old = members(&stage).remove(0);
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    let created = |stage: &Stage| tagged(stage).len() > before.len();
    stage.run_until(LONG, created).unwrap();
    if stage.fault.is_none_or(|(call, _)| call != stage.calls) {
        return None;
    }
    dismiss(&stage, &old).unwrap();
    Some(stage)
}

fn leaks_nothing(fault: Fault) {
    let mut found = false;
    for call in 1..60 {
        let Some(mut stage) = answer_lost(fault, call, TEMPLATE) else { continue };
        found = true;
        stage
            .run_until(LONG, |stage| stage.volumes_in_service().len() == 2)
            .and_then(|()| settle(&mut stage))
            .unwrap_or_else(|problem| panic!("call {call}: {problem}"));
        // What was created for nothing serves the next launch.
        let volumes = tagged(&stage);
        let spare = u32::try_from(volumes.len()).unwrap() - 2;
        stage.cloud.world().set_desired_capacity("cassandra", 2 + spare).unwrap();
        stage
            .run_until(LONG, |stage| stage.volumes_in_service().len() == volumes.len())
            .and_then(|()| settle(&mut stage))
            .unwrap_or_else(|problem| panic!("call {call}: {problem}"));
        assert_eq!(tagged(&stage), volumes, "call {call}");
        assert!(none_leaked(&stage), "call {call}: {:?} {:?}", tagged(&stage), stage.slots());
    }
    assert!(found);
}

#[test]
fn a_volume_created_by_a_lost_call_is_not_leaked_where_a_slot_comes_free() {
    leaks_nothing(Fault::LostReply);
}

#[test]
fn a_volume_created_before_a_crash_is_not_leaked_where_a_slot_comes_free() {
    leaks_nothing(Fault::DiesAfter);
}

#[test]
fn the_rest_of_a_slot_is_not_created_where_one_with_data_came_free_meanwhile() {
    let in_two = |mut stage: Stage| {
        slot_by_hand(&stage, "cassandra-0");
        stage.run_for(Duration::from_secs(10)).unwrap();
        group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TWO_VOLUMES))).unwrap();
        stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
        settle(&mut stage).unwrap();
        stage
    };
    let half = |stage: &Stage| {
        stage.slots().iter().any(|slot| match &slot.state {
            SlotState::Creating { planned, .. } => planned.iter().any(|it| it.volume.is_some()),
            _ => false,
        })
    };
    let mut found = false;
    for call in 1..60 {
        let mut stage = in_two(stage(7));
        stage.fault = Some((stage.calls + call, Fault::DiesAfter));
        let old = members(&stage).remove(0);
        stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
        stage.run_until(LONG, half).unwrap();
        if stage.fault.is_none_or(|(call, _)| call != stage.calls) {
            continue;
        }
        found = true;
        stage.cloud.world().terminate_by_hand(&old).unwrap();
        stage
            .run_until(LONG, |stage| stage.volumes_in_service().len() == 2)
            .unwrap_or_else(|problem| panic!("call {call}: {problem}"));
    }
    assert!(found);
}

// Who is due what.

/// A world in which a volume takes a minute to be created.
fn slow_creation(seed: u64) -> Stage {
    let timings =
        Timings { create_volume: Span::exactly(Duration::from_mins(1)), ..Timings::default() };
    Stage::new(Config { seed, timings, ..Config::default() }, BEGIN)
}

#[test]
fn a_waiter_whose_slot_is_being_created_is_not_due_what_comes_back() {
    let mut stage = slow_creation(3);
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TEMPLATE))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    let old = members(&stage).remove(0);
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| tagged(stage).len() == 2).unwrap();
    stage.run_for(Duration::from_secs(1)).unwrap();
    dismiss(&stage, &old).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    assert_eq!(tagged(&stage).len(), 2, "{:?}", stage.slots());
}

#[test]
fn the_slot_of_a_holder_that_ec2_shows_gone_is_waited_for_before_its_group_has_noticed() {
    let timings = Timings {
        health_check: Span::exactly(Duration::from_mins(2)),
        terminate: Span::exactly(Duration::from_mins(1)),
        ..Timings::default()
    };
    let stage = Stage::new(Config { seed: 3, timings, ..Config::default() }, BEGIN);
    let mut stage = in_service(stage, 1, TEMPLATE).unwrap();
    let before = tagged(&stage);
    let old = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().terminate_instances(std::slice::from_ref(&old)).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage
        .run_until(LONG, |stage| {
            let served = stage.volumes_in_service();
            served.values().any(|(instance, _)| *instance != old)
        })
        .unwrap();
    assert_eq!(tagged(&stage), before, "{:?}", stage.slots());
}

#[test]
fn a_pool_volume_on_an_instance_that_leaves_is_waited_for_though_no_record_knows_it() {
    let mut stage = stage(3);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    let nobody: Vec<HookSpecification> = Vec::new();
    group(&stage, "cassandra", 1, &[ZONE], nobody).unwrap();
    let in_service =
        |stage: &Stage| instances(stage, "cassandra", LifecycleState::InService).len() == 1;
    stage.run_until(LONG, in_service).unwrap();
    let old = members(&stage).remove(0);
    stage.cloud.world().attach_volume(&volume, &old, "/dev/sdf").unwrap();
    stage.run_for(Duration::from_secs(30)).unwrap();
    dismiss(&stage, &old).unwrap();
    for hook in hooks(Some(TEMPLATE)) {
        stage.cloud.world().put_lifecycle_hook("cassandra", hook).unwrap();
    }
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert_eq!(tagged(&stage), [volume], "{:?}", stage.slots());
}

#[test]
fn who_gets_a_created_slot_makes_room_for_those_behind_at_once() {
    let mut stage = slow_creation(3);
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TEMPLATE))).unwrap();
    stage.run_until(LONG, |stage| tagged(stage).len() == 1).unwrap();
    stage.run_for(Duration::from_secs(1)).unwrap();
    let by_hand = tagged_volume(&stage, ZONE, &[]).unwrap();
    // It takes a minute to be there as well, and serves the second launch.
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    let waiting = stage.claims().iter().any(|claim| matches!(claim.phase, Phase::Waiting { .. }));
    assert!(!waiting && tagged(&stage).contains(&by_hand));
    assert!(stage.slots().iter().all(|slot| slot.state != SlotState::Free));
}
