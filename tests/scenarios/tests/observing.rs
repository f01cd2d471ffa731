//! Mode observe changes nothing: this is how a running cluster tries the functions out.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::LifecycleState;
use scenarios::{LONG, ZONE, group, hooks, in_service, instances, settle, stage, tagged_volume};
use volume_pool::record::SlotState;

const POLICY: &str = r#"{"pool":"cassandra"}"#;
const OBSERVE: &str = r#"{"pool":"cassandra","mode":"observe"}"#;

/// Every call that a group in observe may lead to: reads, and the answers.
const ALLOWED: [&str; 4] = [
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:DescribeLifecycleHooks",
    "describe instance and volumes",
    "dynamodb:GetItem+Query",
];

fn in_group(stage: &Stage, wanted: LifecycleState) -> usize {
    instances(stage, "cassandra", wanted).len()
}

/// A group in observe lives: it launches, is replaced, loses an instance to a person, and ends.
fn a_life(stage: &mut Stage) {
    tagged_volume(stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(stage, "cassandra", 3, &[ZONE], hooks(Some(OBSERVE))).unwrap();
    let all = |stage: &Stage| in_group(stage, LifecycleState::InService) == 3;
    stage.run_until(LONG, all).unwrap();
    let mut served = instances(stage, "cassandra", LifecycleState::InService);
    stage.cloud.world().fail_instance(&served.remove(0)).unwrap();
    stage.cloud.world().terminate_by_hand(&served.remove(0)).unwrap();
    stage.run_for(Duration::from_mins(10)).unwrap();
    stage.run_until(LONG, all).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let gone = |stage: &Stage| {
        stage.cloud.world().group("cassandra").is_ok_and(|group| group.members.is_empty())
    };
    stage.run_until(LONG, gone).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
}

#[test]
fn a_group_that_is_observed_is_answered_and_nothing_else_is_done_or_written() {
    for seed in 0..8 {
        for (copies, lag) in [(1, None), (2, Some(3)), (3, Some(8))] {
            let mut stage = stage(seed);
            stage.copies = copies;
            stage.cloud.world().set_stale_describe(lag.map(Duration::from_secs));
            a_life(&mut stage);
            let asked: BTreeSet<&str> = stage.asked.iter().copied().collect();
            assert_eq!(asked, BTreeSet::from(ALLOWED), "seed {seed}, lag {lag:?}");
            let records = stage.leases.records();
            assert!(records.is_empty(), "seed {seed}, lag {lag:?}: {records:?}");
        }
    }
}

#[test]
fn what_is_held_when_a_group_goes_back_to_observe_is_still_released() {
    let mut stage = in_service(stage(5), 2, POLICY).unwrap();
    let observing = hooks(Some(OBSERVE)).remove(0);
    stage.cloud.world().put_lifecycle_hook("cassandra", observing).unwrap();
    let failed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    let held = stage
        .slots()
        .into_iter()
        .find(|slot| slot.holder().is_some_and(|holder| holder.as_str() == failed));
    let held = held.unwrap();
    stage.cloud.world().fail_instance(&failed).unwrap();
    let replaced = |stage: &Stage| {
        let served = instances(stage, "cassandra", LifecycleState::InService);
        served.len() == 2 && !served.contains(&failed)
    };
    stage.run_until(LONG, replaced).unwrap();
    settle(&mut stage).unwrap();
    let slots = stage.slots();
    let released = slots.iter().find(|slot| slot.id == held.id).unwrap();
    assert_eq!(released.state, SlotState::Free);
    assert!(stage.asked.contains(&"ec2:StopInstances"), "in order, not by the termination");
    assert_eq!(stage.claims().len(), 2, "the replacement has none");
}
