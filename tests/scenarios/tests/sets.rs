//! Slots of several volumes: leased, attached, verified and released all or nothing.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::{Fault, Stage};
use local_cloud::world::{AttachmentState, LifecycleState, Pace, Step};
use scenarios::{
    LONG, ZONE, group, hooks, instances, replace_one, settle, stage, stranger, tagged,
    tagged_volume, volumes_by_slot,
};
use volume_pool::record::SlotState;

const STOP: &str = r#"{"pool":"cassandra","whenEmpty":"wait","volumes":[
    {"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;
const DETACH: &str = r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"detach"},"volumes":[
    {"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;

/// The volumes of so many slots, by name.
fn sets(stage: &Stage, count: u32) -> Vec<(String, String)> {
    let volume = |index: u32, name: &str| {
        let slot = format!("cassandra-{index}");
        tagged_volume(
            stage,
            ZONE,
            &[("stateful-asg:slot", slot.as_str()), ("stateful-asg:volume", name)],
        )
        .unwrap()
    };
    (0..count).map(|index| (volume(index, "data"), volume(index, "log"))).collect()
}

fn in_service(mut stage: Stage, count: u32, policy: &str) -> Result<Stage, String> {
    sets(&stage, count);
    stage.run_for(Duration::from_secs(5))?;
    group(&stage, "cassandra", count, &[ZONE], hooks(Some(policy)))
        .map_err(|error| error.to_string())?;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == count as usize)?;
    settle(&mut stage)?;
    Ok(stage)
}

/// The device of each volume of the pool that is attached.
fn devices(stage: &Stage) -> BTreeMap<String, String> {
    let world = stage.cloud.world();
    let pool = world.volumes().filter(|volume| volume.tags.contains_key("stateful-asg:pool"));
    let attached = pool.filter_map(|volume| {
        volume.attachments.first().map(|it| (volume.id.clone(), it.device.clone()))
    });
    attached.collect()
}

#[test]
fn every_volume_of_a_slot_is_attached_at_its_own_device_and_comes_back_with_the_others() {
    for (seed, policy) in [(1, STOP), (2, DETACH)] {
        let mut stage = in_service(stage(seed), 2, policy).unwrap();
        let (before, at) = (volumes_by_slot(&stage), devices(&stage));
        assert!(before.values().all(|volumes| volumes.len() == 2), "{before:?}");
        for volumes in before.values() {
            assert_eq!((&*at[&volumes[0]], &*at[&volumes[1]]), ("/dev/sdf", "/dev/sdg"));
        }
        replace_one(&mut stage, 2).unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
        assert_eq!(devices(&stage), at);
    }
}

#[test]
fn the_instance_is_told_each_volume_by_its_name() {
    let stage = in_service(stage(3), 1, STOP).unwrap();
    let slot = stage.slots().remove(0);
    let world = stage.cloud.world();
    let tags = &world.instance(slot.holder().unwrap().as_str()).unwrap().tags;
    assert_eq!(tags["stateful-asg:slot"], "cassandra-0");
    assert_eq!(tags["stateful-asg:index"], "0");
    for volume in &slot.volumes {
        assert_eq!(tags[&format!("stateful-asg:volume:{}", volume.name)], volume.volume.as_str());
    }
}

#[test]
fn a_set_of_which_one_volume_is_missing_is_not_adopted_and_waits_for_the_other() {
    let mut stage = stage(4);
    let slot = [("stateful-asg:slot", "cassandra-0"), ("stateful-asg:volume", "data")];
    tagged_volume(&stage, ZONE, &slot).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(STOP))).unwrap();
    stage.run_for(Duration::from_mins(3)).unwrap();
    assert!(stage.slots().is_empty(), "{:?}", stage.slots());
    let slot = [("stateful-asg:slot", "cassandra-0"), ("stateful-asg:volume", "log")];
    tagged_volume(&stage, ZONE, &slot).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert_eq!(volumes_by_slot(&stage)["cassandra-0"].len(), 2);
}

/// The first volume is attached already when the second turns out to be on an instance that never held it.
#[test]
fn a_set_that_cannot_be_whole_is_undone_and_set_apart_and_the_next_one_is_taken() {
    let mut stage = stage(5);
    let volumes = sets(&stage, 2);
    stage.run_for(Duration::from_secs(5)).unwrap();
    let strange = stranger(&mut stage).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(STOP))).unwrap();
    let (data, log) = &volumes[0];
    let first_is_on = |stage: &Stage| {
        let world = stage.cloud.world();
        world.volume(data).is_ok_and(|volume| !volume.attachments.is_empty())
    };
    stage.run_until(LONG, first_is_on).unwrap();
    stage.cloud.world().attach_volume(log, &strange, "/dev/sdx").unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    let (data_1, log_1) = volumes[1].clone();
    assert_eq!(volumes_by_slot(&stage), [("cassandra-1".to_owned(), vec![data_1, log_1])].into());
    let apart: Vec<String> = stage
        .slots()
        .into_iter()
        .filter(|slot| slot.state == SlotState::Quarantined)
        .map(|slot| slot.id.to_string())
        .collect();
    assert_eq!(apart, ["cassandra-0"]);
    let world = stage.cloud.world();
    assert!(world.volume(data).unwrap().attachments.is_empty(), "the first one was taken off");
    assert!(world.attachment(log, &strange).is_some(), "a person's attachment is left alone");
}

/// Of two volumes one comes off at once, the other hangs: the slot is free when both are off, not before.
#[test]
fn a_slot_is_released_when_the_last_of_its_volumes_is_off() {
    let mut stage = in_service(stage(6), 1, DETACH).unwrap();
    let before = volumes_by_slot(&stage);
    let [_, log] = before["cassandra-0"].clone().try_into().unwrap();
    let hangs = Pace::Takes(Duration::from_mins(10));
    stage.cloud.world().set_pace(&log, Step::Detach, hangs);
    stage.cloud.world().set_pace(&log, Step::Release, hangs);
    let old = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().fail_instance(&old).unwrap();
    let leaves = |stage: &Stage| {
        matches!(&stage.slots()[0].state, SlotState::Releasing { .. })
            && stage.cloud.world().attachment(&log, &old).is_some_and(|attachment| {
                matches!(attachment.state, AttachmentState::Detaching | AttachmentState::Busy)
            })
    };
    stage.run_until(LONG, leaves).unwrap();
    stage.run_for(Duration::from_mins(4)).unwrap();
    assert!(matches!(stage.slots()[0].state, SlotState::Releasing { .. }), "{:?}", stage.slots());
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before).unwrap();
}

#[test]
fn no_fault_at_any_call_tears_a_set_apart() {
    let story = |fault| {
        let mut stage = stage(7);
        stage.fault = fault;
        let mut stage = in_service(stage, 1, STOP)?;
        let before = volumes_by_slot(&stage);
        replace_one(&mut stage, 1)?;
        Ok::<_, String>((stage, before))
    };
    let (undisturbed, _) = story(None).unwrap();
    let faults =
        [Fault::DiesBefore, Fault::DiesAfter, Fault::LostReply, Fault::Refused, Fault::Hangs];
    for call in 1..=undisturbed.calls {
        for fault in faults {
            let (stage, before) = story(Some((call, fault)))
                .unwrap_or_else(|problem| panic!("{fault:?} at call {call}: {problem}"));
            assert_eq!(volumes_by_slot(&stage), before, "{fault:?} at call {call}");
            assert_eq!(tagged(&stage).len(), 2, "{fault:?} at call {call}");
        }
    }
}
