//! A replaced instance gets its volume back.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::LifecycleState;
use scenarios::{
    LONG, SSM, ZONE, group, hooks, in_service, instances, replace_one, stage, tagged,
    tagged_volume, volumes_by_slot,
};
use volume_pool::record::SlotState;

const STOP: &str = r#"{"pool":"cassandra"}"#;
const DETACH: &str = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
const TERMINATE: &str = r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#;

fn a_failed_instance_gets_its_volume_back(policy: &str, seed: u64) {
    let mut stage = in_service(stage(seed), 3, policy).unwrap();
    let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
    replace_one(&mut stage, 3).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
    assert_eq!(tagged(&stage), volumes);
}

#[test]
fn in_leave_mode_stop_the_replacement_gets_the_very_volume() {
    (0..8).for_each(|seed| a_failed_instance_gets_its_volume_back(STOP, seed));
}

#[test]
fn in_leave_mode_detach_the_replacement_gets_the_very_volume() {
    (0..8).for_each(|seed| a_failed_instance_gets_its_volume_back(DETACH, seed));
}

#[test]
fn in_leave_mode_terminate_the_replacement_gets_the_very_volume() {
    (0..8).for_each(|seed| a_failed_instance_gets_its_volume_back(TERMINATE, seed));
}

#[test]
fn in_leave_mode_ssm_the_replacement_gets_the_very_volume() {
    (0..8).for_each(|seed| a_failed_instance_gets_its_volume_back(SSM, seed));
}

#[test]
fn whoever_releases_a_slot_serves_its_waiter_without_the_schedule() {
    for policy in [STOP, TERMINATE, SSM] {
        let mut stage = in_service(stage(4), 2, policy).unwrap();
        let before = volumes_by_slot(&stage);
        stage.reconciles = false;
        let failed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
        stage.cloud.world().fail_instance(&failed).unwrap();
        stage
            .run_until(LONG, |stage| {
                let served = stage.volumes_in_service();
                served.len() == 2 && served.values().all(|(instance, _)| *instance != failed)
            })
            .unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
    }
}

#[test]
fn an_attachment_that_lands_late_on_the_last_holder_is_waited_out_and_nothing_is_set_apart() {
    let mut stage = in_service(stage(1), 1, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    let volume = tagged(&stage).remove(0);
    let last = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().fail_instance(&last).unwrap();
    let handed_on =
        |stage: &Stage| stage.slots()[0].holder().is_some_and(|holder| holder.as_str() != last);
    stage.run_until(LONG, handed_on).unwrap();

    // A call that was frozen before the release thaws; the last holder is stopped, not gone yet.
    stage.cloud.world().attach_volume(&volume, &last, "/dev/sdz").unwrap();
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before).unwrap();
    assert!(stage.slots().iter().all(|slot| slot.state != SlotState::Quarantined));
}

#[test]
fn the_one_that_waits_longest_is_served_first() {
    for seed in 0..4 {
        let mut stage = stage(seed);
        let waiting = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
        group(&stage, "cassandra", 1, &[ZONE], hooks(Some(waiting))).unwrap();
        stage.run_for(Duration::from_mins(1)).unwrap();
        let first = instances(&stage, "cassandra", LifecycleState::PendingWait);
        stage.cloud.world().set_desired_capacity("cassandra", 3).unwrap();
        stage.run_for(Duration::from_mins(1)).unwrap();
        tagged_volume(&stage, ZONE, &[]).unwrap();
        stage.run_until(LONG, |stage| !stage.volumes_in_service().is_empty()).unwrap();
        assert_eq!(instances(&stage, "cassandra", LifecycleState::InService), first);
    }
}

#[test]
fn an_instance_terminated_by_hand_gives_its_volume_to_its_replacement() {
    let mut stage = in_service(stage(1), 2, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    let killed = instances(&stage, "cassandra", LifecycleState::InService)[0].clone();
    stage.cloud.world().terminate_by_hand(&killed).unwrap();
    stage
        .run_until(LONG, |stage| {
            let served = stage.volumes_in_service();
            served.len() == 2 && served.values().all(|(instance, _)| *instance != killed)
        })
        .unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
}

#[test]
fn twenty_launches_at_once_get_twenty_distinct_volumes() {
    let mut stage = stage(7);
    let tagged: BTreeSet<String> =
        (0..20).map(|_| tagged_volume(&stage, ZONE, &[]).unwrap()).collect();
    stage.run_for(Duration::from_secs(10)).unwrap();
    group(&stage, "cassandra", 20, &[ZONE], hooks(Some(STOP))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 20).unwrap();
    let held: BTreeSet<String> = volumes_by_slot(&stage).into_values().flatten().collect();
    assert_eq!(held, tagged);
}

#[test]
fn events_delivered_five_times_change_nothing() {
    let mut stage = stage(3);
    stage.copies = 5;
    let mut stage = in_service(stage, 2, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    let epochs: Vec<u64> = stage.slots().iter().map(|slot| slot.epoch).collect();
    assert_eq!(epochs, [1, 1], "each slot changed hands once");

    replace_one(&mut stage, 2).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
    let mut epochs: Vec<u64> = stage.slots().iter().map(|slot| slot.epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2], "one slot changed hands once more, the other not at all");
}

#[test]
fn volumes_carry_the_tags_that_a_lost_table_could_be_rebuilt_from() {
    let mut stage = in_service(stage(2), 1, STOP).unwrap();
    replace_one(&mut stage, 1).unwrap();
    let slot = stage.slots().remove(0);
    let world = stage.cloud.world();
    let tags = &world.volume(slot.volumes[0].volume.as_str()).unwrap().tags;
    assert_eq!(tags["stateful-asg:slot"], slot.id.to_string());
    assert_eq!(tags["stateful-asg:volume"], "data");
    assert_eq!(tags["stateful-asg:released-at"], slot.released_at.unwrap().to_string());
}
