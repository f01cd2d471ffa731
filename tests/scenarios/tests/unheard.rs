//! Nobody hears of what happens: every event is lost, or no function runs for an hour. Reconcile finds all of it.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::{Stage, Timeouts};
use local_cloud::world::LifecycleState;
use scenarios::{
    LONG, SSM, ZONE, group, hooks, in_service, instances, settle, stage, tagged_volume,
    volumes_by_slot,
};
use volume_pool::event::{Event, Transition};

const STOP: &str = r#"{"pool":"cassandra"}"#;
const DETACH: &str = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
const TERMINATE: &str = r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#;

/// Every event but the schedule.
fn everything(_: &Event) -> bool {
    true
}

/// What would tell that an instance goes.
fn endings(event: &Event) -> bool {
    match event {
        Event::InstanceState { .. } => true,
        Event::Lifecycle(event) => event.action.transition == Transition::Terminating,
        Event::CommandEnded(_) | Event::Schedule | Event::Ignored(_) => false,
    }
}

/// Whether `size` instances are in service with their volumes, none of `gone` among them.
fn replaced(stage: &Stage, size: usize, gone: &BTreeSet<String>) -> bool {
    let served = stage.volumes_in_service();
    served.len() == size && served.values().all(|(instance, _)| !gone.contains(instance))
}

#[test]
fn launches_whose_events_are_lost_are_served_within_two_runs() {
    for seed in 0..6 {
        let mut stage = stage(seed);
        stage.loses = everything;
        for _ in 0..5 {
            tagged_volume(&stage, ZONE, &[]).unwrap();
        }
        stage.run_for(Duration::from_secs(10)).unwrap();
        group(&stage, "cassandra", 5, &[ZONE], hooks(Some(STOP))).unwrap();
        stage
            .run_until(Duration::from_mins(3), |stage| stage.volumes_in_service().len() == 5)
            .unwrap();
        settle(&mut stage).unwrap();
    }
}

/// The heartbeat timeout of the hooks is 300 s, and the stage lets no action of ours time out.
#[test]
fn all_events_lost_for_ten_minutes_are_made_up_for_in_every_leave_mode() {
    for policy in [STOP, DETACH, TERMINATE, SSM] {
        for seed in 0..4 {
            let mut stage = in_service(stage(seed), 3, policy).unwrap();
            let before = volumes_by_slot(&stage);
            stage.loses = everything;
            let gone: BTreeSet<String> =
                instances(&stage, "cassandra", LifecycleState::InService).into_iter().collect();
            for instance in &gone {
                stage.cloud.world().fail_instance(instance).unwrap();
            }
            stage.run_for(Duration::from_mins(10)).unwrap();
            assert!(
                replaced(&stage, 3, &gone),
                "{policy}, seed {seed}: {:?}",
                stage.volumes_in_service()
            );
            assert_eq!(volumes_by_slot(&stage), before, "{policy}, seed {seed}");
        }
    }
}

#[test]
fn an_instance_whose_end_nobody_hears_of_gives_its_volume_to_its_replacement() {
    for seed in 0..6 {
        let mut stage = in_service(stage(seed), 1, STOP).unwrap();
        let before = volumes_by_slot(&stage);
        stage.loses = endings;
        let killed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
        stage.cloud.world().terminate_by_hand(&killed).unwrap();
        let gone = BTreeSet::from([killed]);
        // The termination takes up to 40 s, noticing it up to 30 s, the launch some 20 s; then a run of reconcile.
        stage.run_until(Duration::from_mins(4), |stage| replaced(stage, 1, &gone)).unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
        settle(&mut stage).unwrap();
    }
}

#[test]
fn a_function_dead_for_an_hour_is_made_up_for_once_it_lives() {
    let mut stage = in_service(stage(5), 3, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    stage.timeouts = Timeouts::Expected;
    stage.loses = everything;
    stage.reconciles = false;
    let gone: BTreeSet<String> =
        instances(&stage, "cassandra", LifecycleState::InService).into_iter().collect();
    for instance in &gone {
        stage.cloud.world().terminate_by_hand(instance).unwrap();
    }
    stage.run_for(Duration::from_hours(1)).unwrap();
    assert!(stage.volumes_in_service().is_empty());

    stage.reconciles = true;
    stage.run_until(Duration::from_mins(10), |stage| replaced(stage, 3, &gone)).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
    settle(&mut stage).unwrap();
}

/// EC2 forgets a terminated instance after an hour: then even its describe tells nothing any more.
#[test]
fn holders_that_ec2_has_forgotten_are_found() {
    let mut stage = in_service(stage(6), 2, STOP).unwrap();
    let before = volumes_by_slot(&stage);
    stage.timeouts = Timeouts::Expected;
    stage.loses = everything;
    stage.reconciles = false;
    let gone: BTreeSet<String> =
        instances(&stage, "cassandra", LifecycleState::InService).into_iter().collect();
    for instance in &gone {
        stage.cloud.world().terminate_by_hand(instance).unwrap();
    }
    stage.run_for(Duration::from_hours(3)).unwrap();
    stage.reconciles = true;
    stage.run_until(LONG, |stage| replaced(stage, 2, &gone)).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
}

#[test]
fn every_instance_killed_at_once_is_replaced_with_its_volume_whether_events_come_or_not() {
    for loses in [everything as fn(&Event) -> bool, endings, |_| false] {
        let mut stage = in_service(stage(8), 12, STOP).unwrap();
        let before = volumes_by_slot(&stage);
        stage.loses = loses;
        let gone: BTreeSet<String> =
            instances(&stage, "cassandra", LifecycleState::InService).into_iter().collect();
        for instance in &gone {
            stage.cloud.world().terminate_by_hand(instance).unwrap();
        }
        stage.run_until(Duration::from_mins(8), |stage| replaced(stage, 12, &gone)).unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
        settle(&mut stage).unwrap();
    }
}

/// The group is deleted by force: no hook, and nobody is a member of anything any more.
#[test]
fn the_slots_of_a_group_that_was_deleted_by_force_come_free() {
    let mut stage = in_service(stage(9), 3, STOP).unwrap();
    stage.loses = everything;
    stage.timeouts = Timeouts::Expected;
    stage.cloud.world().delete_group("cassandra", true).unwrap();
    let free = |stage: &Stage| stage.slots().iter().all(|slot| slot.holder().is_none());
    stage.run_until(Duration::from_mins(6), free).unwrap();
    settle(&mut stage).unwrap();
}

#[test]
fn a_group_in_mode_observe_is_answered_and_nothing_is_written() {
    let mut stage = stage(4);
    stage.loses = everything;
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    let observe = r#"{"pool":"cassandra","mode":"observe"}"#;
    group(&stage, "cassandra", 2, &[ZONE], hooks(Some(observe))).unwrap();
    let served =
        |stage: &Stage| instances(stage, "cassandra", LifecycleState::InService).len() == 2;
    stage.run_until(Duration::from_mins(4), served).unwrap();
    assert_eq!(stage.leases.records(), Vec::new());
}
