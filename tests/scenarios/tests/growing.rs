//! A pool grows where its policy says so, and only where nothing with data was free or about to come back.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::{Fault, Stage, Timeouts};
use local_cloud::world::LifecycleState;
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, replace_one, settle, stage, tagged,
    volumes_by_slot,
};
use volume_pool::ids::InstanceId;
use volume_pool::record::{Origin, Record, Slot};

const TEMPLATE: &str = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf",
    "template":{"sizeGiB":20,"iops":4000,"tags":{"team":"data"}}}]}"#;
const TWO_VOLUMES: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf","template":{"sizeGiB":20}},
    {"name":"log","device":"/dev/sdg","template":{"sizeGiB":5}}]}"#;

/// A stage whose group of this size has created its own volumes.
fn grown(mut stage: Stage, size: u32, policy: &str) -> Result<Stage, String> {
    let text = |error: local_cloud::world::ApiError| error.to_string();
    group(&stage, "cassandra", size, &[ZONE], hooks(Some(policy))).map_err(text)?;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == size as usize)?;
    settle(&mut stage)?;
    Ok(stage)
}

#[test]
fn an_empty_pool_grows_from_the_policys_template() {
    let stage = grown(stage(1), 3, TEMPLATE).unwrap();
    let slots = stage.slots();
    assert_eq!(slots.len(), 3);
    let world = stage.cloud.world();
    for slot in slots {
        assert_eq!(slot.epoch, 1);
        assert_eq!(slot.volumes[0].origin, Origin::Created);
        let volume = world.volume(slot.volumes[0].volume.as_str()).unwrap();
        assert_eq!((volume.size_gib, volume.iops, volume.encrypted), (20, Some(4000), true));
        let expected = BTreeMap::from([
            ("stateful-asg:pool".to_owned(), "cassandra".to_owned()),
            ("stateful-asg:slot".to_owned(), slot.id.to_string()),
            ("stateful-asg:volume".to_owned(), "data".to_owned()),
            ("team".to_owned(), "data".to_owned()),
        ]);
        let mut tags = volume.tags.clone();
        assert!(tags.remove("stateful-asg:lease").is_some_and(|it| it.starts_with("epoch=1 ")));
        assert_eq!(tags, expected);
    }
}

/// What an instance is told of its volume by its tags.
fn told(stage: &Stage) -> Vec<String> {
    let world = stage.cloud.world();
    let slots = stage.slots();
    let holders = slots.iter().filter_map(Slot::holder);
    let tag = |holder: &InstanceId| {
        world.instance(holder.as_str()).unwrap().tags["stateful-asg:volume:data"].clone()
    };
    holders.map(tag).collect()
}

#[test]
fn the_right_to_format_a_created_volume_ends_with_its_first_release() {
    let mut stage = grown(stage(21), 1, TEMPLATE).unwrap();
    let volume = stage.slots()[0].volumes[0].volume.to_string();
    assert_eq!(told(&stage), [format!("{volume} blank")]);
    replace_one(&mut stage, 1).unwrap();
    assert_eq!(told(&stage), [volume]);
}

#[test]
fn without_a_template_the_pool_grows_by_another_one_of_its_kind() {
    let mut stage = in_service(stage(2), 1, r#"{"pool":"cassandra"}"#).unwrap();
    let first = tagged(&stage);
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    let world = stage.cloud.world();
    let like = |id: &str| {
        let volume = world.volume(id).unwrap();
        (volume.size_gib, volume.volume_type.clone(), volume.iops, volume.throughput)
    };
    let second = world.volumes().find(|volume| {
        volume.tags.contains_key("stateful-asg:pool") && !first.contains(&volume.id)
    });
    assert_eq!(like(&second.unwrap().id), like(&first[0]));
}

#[test]
fn the_volumes_of_a_created_slot_come_all_together() {
    let mut stage = grown(stage(3), 2, TWO_VOLUMES).unwrap();
    let before = volumes_by_slot(&stage);
    assert!(before.values().all(|volumes| volumes.len() == 2), "{before:?}");
    replace_one(&mut stage, 2).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
    assert_eq!(tagged(&stage).len(), 4);
}

#[test]
fn a_replacement_gets_the_old_volume_and_none_is_created_though_the_policy_would() {
    for seed in 0..6 {
        let mut stage = grown(stage(seed), 3, TEMPLATE).unwrap();
        let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
        replace_one(&mut stage, 3).unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
        assert_eq!(tagged(&stage), volumes);
    }
}

#[test]
fn a_zone_never_gets_more_slots_than_its_maximum_however_many_launch_at_once() {
    let policy = r#"{"pool":"cassandra","maxSlotsPerZone":5,"volumes":[{"name":"data",
        "device":"/dev/sdf","template":{"sizeGiB":20}}]}"#;
    let mut stage = stage(4);
    group(&stage, "cassandra", 8, &[ZONE], hooks(Some(policy))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 5).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert_eq!(tagged(&stage).len(), 5);
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 3);
    let alarms: Vec<&str> = stage
        .reports
        .iter()
        .flat_map(|report| &report.journal.alarms)
        .map(volume_pool::decide::Alarm::name)
        .collect();
    assert!(alarms.contains(&"no-slot"), "{alarms:?}");
}

#[test]
fn without_a_template_or_an_example_nothing_is_created_and_the_alarm_says_why() {
    let mut stage = stage(5);
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(r#"{"pool":"cassandra"}"#))).unwrap();
    stage.run_for(Duration::from_mins(2)).unwrap();
    assert!(tagged(&stage).is_empty());
    let named = stage
        .reports
        .iter()
        .flat_map(|report| &report.journal.alarms)
        .any(|alarm| alarm.name() == "nothing-to-create-from");
    assert!(named);
}

/// The calls that one launch into an empty pool makes.
fn calls_of_a_creation() -> usize {
    grown(stage(7), 1, TWO_VOLUMES).unwrap().calls
}

/// Whatever goes wrong with any one call: two volumes in the end, one slot, nothing left over.
fn creation_with(fault: Fault) {
    for call in 1..=calls_of_a_creation() {
        let mut stage = stage(7);
        stage.fault = Some((call, fault));
        let stage = grown(stage, 1, TWO_VOLUMES)
            .unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
        assert_eq!(tagged(&stage).len(), 2, "{fault:?} at call {call}");
        assert_eq!(stage.slots().len(), 1, "{fault:?} at call {call}");
    }
}

#[test]
fn a_crash_before_any_call_of_a_creation_leaks_no_volume() {
    creation_with(Fault::DiesBefore);
}

#[test]
fn a_crash_after_any_call_of_a_creation_leaks_no_volume() {
    creation_with(Fault::DiesAfter);
}

#[test]
fn a_lost_reply_to_any_call_of_a_creation_leaks_no_volume() {
    creation_with(Fault::LostReply);
}

#[test]
fn a_call_of_a_creation_that_is_refused_leaks_no_volume() {
    creation_with(Fault::Refused);
}

#[test]
fn a_call_of_a_creation_that_hangs_leaks_no_volume() {
    creation_with(Fault::Hangs);
}

/// The launch is given up while its slot is being created, at any moment: the volumes serve the next launch.
#[test]
fn an_instance_killed_while_its_slot_is_created_leaves_the_slot_to_the_next() {
    for call in 1..=calls_of_a_creation() {
        let mut stage = stage(7);
        stage.timeouts = Timeouts::Expected;
        group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TWO_VOLUMES))).unwrap();
        stage.run_until(LONG, |stage| stage.calls >= call).unwrap();
        let launching: Vec<String> = {
            let world = stage.cloud.world();
            world.group("cassandra").unwrap().members.keys().cloned().collect()
        };
        stage.cloud.world().terminate_by_hand(&launching[0]).unwrap();
        stage
            .run_until(LONG, |stage| {
                let served = stage.volumes_in_service();
                served.values().any(|(instance, _)| *instance != launching[0])
            })
            .unwrap_or_else(|problem| panic!("killed at call {call}: {problem}"));
        settle(&mut stage).unwrap();
        let owned = stage
            .leases
            .records()
            .into_iter()
            .filter(|record| matches!(record, Record::Volume(_)))
            .count();
        assert_eq!(owned, tagged(&stage).len(), "killed at call {call}");
        assert!(owned <= 4, "killed at call {call}: {owned} volumes");
    }
}

fn alarm_names(stage: &Stage) -> Vec<&'static str> {
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    alarms.map(volume_pool::decide::Alarm::name).collect()
}

#[test]
fn a_key_that_cannot_be_used_is_named_and_once_it_can_the_launch_goes_on() {
    let policy = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf",
        "template":{"sizeGiB":20,"kmsKeyId":"alias/db"}}]}"#;
    let mut stage = stage(11);
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(policy))).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert!(stage.volumes_in_service().is_empty());
    assert!(tagged(&stage).is_empty(), "a volume that vanished is no volume");
    assert!(alarm_names(&stage).contains(&"creation-failed"));
    stage.cloud.world().enable_key("alias/db");
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(tagged(&stage).len(), 1);
    let owners = stage.leases.records().into_iter();
    assert_eq!(owners.filter(|record| matches!(record, Record::Volume(_))).count(), 1);
}

#[test]
fn with_the_accounts_quota_used_up_the_launch_waits_and_takes_what_comes_free() {
    let mut stage = grown(stage(12), 1, TEMPLATE).unwrap();
    let held = tagged(&stage);
    let used: u64 = stage.cloud.world().volumes().map(|volume| u64::from(volume.size_gib)).sum();
    // Room for root volumes, none for another volume of the pool.
    stage.cloud.world().set_storage_limit(Some(used + 19));
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_for(Duration::from_mins(3)).unwrap();
    assert_eq!(tagged(&stage), held);
    assert!(alarm_names(&stage).contains(&"creation-failed"));
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage
        .run_until(LONG, |stage| {
            let group = stage.cloud.world().group("cassandra").unwrap().members.len();
            group == 1 && stage.volumes_in_service().len() == 1
        })
        .unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(tagged(&stage), held);
}
