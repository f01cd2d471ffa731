//! A group that runs already, with its data on volumes of its own, is enrolled: what it has becomes slots that it holds,
//! without a moment's interruption, and from then on outlives its instances.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    BlockDevice, CreateGroup, GroupChange, GroupTag, IMAGE, LaunchSpecification, LifecycleState,
    TemplateReference, VolumeSpecification,
};
use scenarios::{
    LONG, ZONE, hooks, instances, replace_one, settle, stage, stranger, tagged_volume,
    volumes_by_slot,
};
use volume_pool::event::Event;
use volume_pool::record::{Record, SlotState};

const POLICY: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
const OBSERVE: &str = r#"{"pool":"cassandra","mode":"observe"}"#;

/// A group of `size` that knows nothing of us; its launch template gives each instance a data volume that goes with it,
/// and tags all volumes with the pool, the root's included.
fn running(size: u32, seed: u64, devices: &[&str]) -> Stage {
    let mut stage = stage(seed);
    let disk = |device: &&str| BlockDevice {
        device: (*device).to_owned(),
        specification: VolumeSpecification {
            size_gib: Some(10),
            volume_type: Some("gp3".to_owned()),
            ..VolumeSpecification::default()
        },
        delete_on_termination: true,
    };
    let pool = BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]);
    let specification = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        block_devices: devices.iter().map(disk).collect(),
        volume_tags: pool,
        ..LaunchSpecification::default()
    };
    {
        let mut world = stage.cloud.world();
        let template = world
            .create_launch_template("cassandra", None, specification, BTreeMap::new())
            .unwrap();
        let change = GroupChange {
            template: Some(TemplateReference {
                id: Some(template.id),
                ..TemplateReference::default()
            }),
            min_size: Some(0),
            max_size: Some(size + 2),
            desired_capacity: Some(size),
            zones: Some(vec![ZONE.to_owned()]),
            health_check_grace_period: Some(0),
            ..GroupChange::default()
        };
        let name = "cassandra".to_owned();
        let (tags, hooks) = (BTreeMap::new(), Vec::new());
        world.create_group(CreateGroup { name, change, tags, hooks }).unwrap();
    }
    let all = |stage: &Stage| {
        instances(stage, "cassandra", LifecycleState::InService).len() == size as usize
    };
    stage.run_until(LONG, all).unwrap();
    stage.run_for(Duration::from_mins(1)).unwrap();
    stage
}

/// Hooks and tag, as the guide says: hooks first.
fn enrol(stage: &Stage, policy: &str) {
    let mut world = stage.cloud.world();
    for hook in hooks(Some(policy)) {
        world.put_lifecycle_hook("cassandra", hook).unwrap();
    }
    let tag = GroupTag { value: "cassandra".to_owned(), propagate_at_launch: false };
    let change = ("cassandra".to_owned(), "stateful-asg:pool".to_owned(), tag);
    world.create_or_update_group_tags(vec![change]).unwrap();
}

/// Which data volumes the instances of the group have.
fn on_instances(stage: &Stage) -> BTreeMap<String, BTreeSet<String>> {
    let served = instances(stage, "cassandra", LifecycleState::InService);
    let world = stage.cloud.world();
    let mut found = BTreeMap::new();
    for instance in served {
        let data = world.attachments_of(&instance).into_iter();
        let data = data.filter(|it| it.device != "/dev/xvda").map(|it| it.volume.clone());
        found.insert(instance.clone(), data.collect());
    }
    found
}

fn enrolled(stage: &Stage, size: usize) -> bool {
    stage.volumes_in_service().len() == size
}

/// Every volume of every leased slot stays when its instance goes, and names its slot.
fn kept(stage: &Stage) -> bool {
    let world = stage.cloud.world();
    stage.slots().iter().all(|slot| {
        let holder = slot.holder().unwrap().as_str();
        slot.volumes.iter().all(|known| {
            let volume = known.volume.as_str();
            let stays =
                world.attachment(volume, holder).is_some_and(|it| !it.delete_on_termination);
            let tags = &world.volume(volume).unwrap().tags;
            stays && tags.get("stateful-asg:slot") == Some(&slot.id.to_string())
        }) && world.instance(holder).unwrap().tags.contains_key("stateful-asg:slot")
    })
}

#[test]
fn instances_in_service_are_adopted_with_their_volumes_and_replaced_with_them() {
    for seed in 0..4 {
        let mut stage = running(3, seed, &["/dev/sdf"]);
        let before = on_instances(&stage);
        enrol(&stage, POLICY);
        stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 3)).unwrap();
        settle(&mut stage).unwrap();
        assert!(kept(&stage));
        assert_eq!(on_instances(&stage), before, "nothing was moved");
        let names: Vec<String> = volumes_by_slot(&stage).into_keys().collect();
        assert_eq!(names, ["cassandra-0", "cassandra-1", "cassandra-2"]);
        for slot in stage.slots() {
            assert_eq!((slot.epoch, slot.volumes.len()), (1, 1));
        }
        let pool = stage.leases.records().into_iter().find_map(|record| match record {
            Record::Pool(pool) => Some(pool),
            _ => None,
        });
        let pool = pool.unwrap();
        assert_eq!(pool.next_index, 3);
        assert_eq!(pool.slots_per_zone.values().copied().collect::<Vec<u32>>(), [3]);
    }
}

#[test]
fn a_slot_that_was_enrolled_outlives_its_instance() {
    let mut stage = running(2, 5, &["/dev/sdf"]);
    enrol(&stage, POLICY);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 2)).unwrap();
    settle(&mut stage).unwrap();
    let slots = volumes_by_slot(&stage);
    // The template must not give new instances a disk at the slot's device any more; the group's owner saw to that.
    let plain = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    };
    let template = {
        let mut world = stage.cloud.world();
        world.create_launch_template("plain", None, plain, BTreeMap::new()).unwrap()
    };
    let change = GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..TemplateReference::default() }),
        ..GroupChange::default()
    };
    stage.cloud.world().update_group("cassandra", change).unwrap();
    replace_one(&mut stage, 2).unwrap();
    assert_eq!(volumes_by_slot(&stage), slots);
}

#[test]
fn mode_observe_adopts_nothing_and_writes_nothing() {
    let mut stage = running(2, 6, &["/dev/sdf"]);
    enrol(&stage, OBSERVE);
    stage.run_for(Duration::from_mins(4)).unwrap();
    assert_eq!(stage.leases.records(), Vec::new());
    let would = stage.reports.iter().flat_map(|report| &report.journal.steps);
    let would = would.filter(|step| step.reason.contains("would become the slot")).count();
    assert!(would >= 4, "said {would} times");
}

#[test]
fn names_that_volumes_carry_are_kept_where_nobody_else_has_them() {
    let mut stage = running(2, 7, &["/dev/sdf"]);
    let volumes: Vec<String> = on_instances(&stage).into_values().flatten().collect();
    let name = |slot: &str| BTreeMap::from([("stateful-asg:slot".to_owned(), slot.to_owned())]);
    stage.cloud.world().create_tags(&volumes[..1], &name("cassandra-41")).unwrap();
    // A copy of that one lies around; and the other one names a slot of another pool.
    stage.cloud.world().create_tags(&volumes[1..], &name("kafka-3")).unwrap();
    enrol(&stage, POLICY);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 2)).unwrap();
    settle(&mut stage).unwrap();
    let served = volumes_by_slot(&stage);
    assert_eq!(served["cassandra-41"], [volumes[0].clone()], "{served:?}");
    assert_eq!(served["cassandra-42"], [volumes[1].clone()], "{served:?}");
    assert!(kept(&stage));
}

#[test]
fn a_name_that_two_volumes_carry_is_given_to_none() {
    let mut stage = running(1, 8, &["/dev/sdf"]);
    let volumes: Vec<String> = on_instances(&stage).into_values().flatten().collect();
    let tag = BTreeMap::from([("stateful-asg:slot".to_owned(), "cassandra-3".to_owned())]);
    stage.cloud.world().create_tags(&volumes, &tag).unwrap();
    tagged_volume(&stage, ZONE, &[("stateful-asg:slot", "cassandra-3")]).unwrap();
    enrol(&stage, POLICY);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 1)).unwrap();
    assert_eq!(volumes_by_slot(&stage).into_keys().collect::<Vec<String>>(), ["cassandra-4"]);
}

#[test]
fn a_slot_of_several_volumes_is_put_together_by_their_devices() {
    let two = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf"},
        {"name":"log","device":"/dev/sdg"}]}"#;
    let mut stage = running(2, 9, &["/dev/sdg", "/dev/xvdf"]);
    enrol(&stage, two);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 2)).unwrap();
    settle(&mut stage).unwrap();
    assert!(kept(&stage));
    for slot in stage.slots() {
        let names: Vec<(&str, &str)> =
            slot.volumes.iter().map(|it| (it.name.as_str(), it.device.as_str())).collect();
        assert_eq!(names, [("data", "/dev/xvdf"), ("log", "/dev/sdg")]);
    }
}

#[test]
fn more_volumes_than_the_policy_names_are_left_alone_and_told_of() {
    let mut stage = running(1, 10, &["/dev/sdf", "/dev/sdg"]);
    enrol(&stage, POLICY);
    stage.run_for(Duration::from_mins(4)).unwrap();
    assert!(stage.slots().is_empty());
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    assert!(alarms.into_iter().any(|alarm| alarm.name() == "not-adopted"));
}

#[test]
fn a_volume_on_an_instance_of_no_group_stays_a_strangers() {
    let mut stage = running(1, 11, &["/dev/sdf"]);
    let person = stranger(&mut stage).unwrap();
    let theirs = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    stage.cloud.world().attach_volume(&theirs, &person, "/dev/sdf").unwrap();
    enrol(&stage, POLICY);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 1)).unwrap();
    stage.run_for(Duration::from_mins(3)).unwrap();
    let held: Vec<String> = volumes_by_slot(&stage).into_values().flatten().collect();
    assert!(!held.contains(&theirs), "{held:?}");
    assert_eq!(stage.slots().len(), 1);
}

/// The table is lost, and the instances in service carry the tags of their launches: they are not enrolled afresh, at
/// epoch 1, as if nothing had been.
#[test]
fn after_a_lost_table_nothing_is_enrolled() {
    let mut stage = running(2, 12, &["/dev/sdf"]);
    enrol(&stage, POLICY);
    stage.run_until(Duration::from_mins(4), |stage| enrolled(stage, 2)).unwrap();
    settle(&mut stage).unwrap();
    stage.leases = local_cloud::leases::MemoryLeases::default();
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert!(stage.slots().is_empty());
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    assert!(alarms.into_iter().any(|alarm| alarm.name() == "pool-unknown"));
}

/// A volume that was released once belonged to a slot: a pool without a record has lost it.
#[test]
fn where_a_volume_was_released_before_and_the_pool_has_no_record_nothing_is_enrolled() {
    let mut stage = running(1, 13, &["/dev/sdf"]);
    let released = [("stateful-asg:released-at", "2026-11-01T00:00:00.000Z")];
    tagged_volume(&stage, ZONE, &released).unwrap();
    enrol(&stage, POLICY);
    stage.run_for(Duration::from_mins(4)).unwrap();
    assert!(stage.slots().is_empty());
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    assert!(alarms.into_iter().any(|alarm| alarm.name() == "pool-unknown"));
}

/// Two runs of reconcile at once, and every event twice: each slot is made once.
#[test]
fn two_runs_at_once_enrol_each_instance_once() {
    for seed in 0..6 {
        let mut stage = running(4, seed, &["/dev/sdf"]);
        enrol(&stage, POLICY);
        stage.reconciles = false;
        for _ in 0..3 {
            stage.deliver(Event::Schedule);
            stage.deliver(Event::Schedule);
            stage.run_for(Duration::from_millis(700)).unwrap();
            stage.deliver(Event::Schedule);
            stage.run_for(Duration::from_mins(1)).unwrap();
        }
        assert!(enrolled(&stage, 4), "seed {seed}: {:?}", stage.volumes_in_service());
        assert!(stage.slots().iter().all(|slot| matches!(slot.state, SlotState::Leased { .. })));
        assert_eq!(stage.slots().len(), 4, "seed {seed}");
        assert!(kept(&stage), "seed {seed}");
    }
}
