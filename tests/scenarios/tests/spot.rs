//! Spot: EC2 takes every instance of a group back at once, with a warning or without one. It cannot be stopped for that, and
//! it does not wait for any hook.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{GroupChange, LifecycleState, Market};
use scenarios::history::History;
use scenarios::{
    LONG, ZONE, group_of, hooks, instances, settle, stage, tagged, tagged_volume, volumes_by_slot,
};

const POLICIES: [&str; 3] = [
    r#"{"pool":"cassandra"}"#,
    r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#,
    r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#,
];
const SIZE: usize = 6;
/// Less than the time that a policy gives an instance to stop, and the warning before that.
const SOON: Duration = Duration::from_mins(5);

/// A group of Spot instances in service, each with its volume.
fn served(seed: u64, policy: &str, capacity_rebalance: bool) -> Result<Stage, String> {
    let text = |error: local_cloud::world::ApiError| error.to_string();
    let mut stage = stage(seed);
    for _ in 0..SIZE {
        tagged_volume(&stage, ZONE, &[]).map_err(text)?;
    }
    stage.run_for(Duration::from_secs(10))?;
    let size = u32::try_from(SIZE).unwrap();
    group_of(&stage, "cassandra", size, &[ZONE], hooks(Some(policy)), Market::Spot)
        .map_err(text)?;
    let change =
        GroupChange { capacity_rebalance: Some(capacity_rebalance), ..GroupChange::default() };
    stage.cloud.world().update_group("cassandra", change).map_err(text)?;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == SIZE)?;
    settle(&mut stage)?;
    Ok(stage)
}

/// All instances go as `take` has them go, and soon every volume has found another one.
fn all_taken(mut stage: Stage, take: impl Fn(&Stage, &str)) -> Result<(), String> {
    let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
    let history = History::default();
    let gone: BTreeSet<String> =
        instances(&stage, "cassandra", LifecycleState::InService).into_iter().collect();
    for instance in &gone {
        take(&stage, instance);
    }
    history.run_until(&mut stage, SOON, |stage| {
        let served = stage.volumes_in_service();
        served.len() == SIZE && served.values().all(|(instance, _)| !gone.contains(instance))
    })?;
    settle(&mut stage)?;
    history.run_for(&mut stage, Duration::from_mins(3))?;
    assert_eq!(volumes_by_slot(&stage), before);
    assert_eq!(tagged(&stage), volumes);
    assert_eq!(history.losses(&stage), Vec::<String>::new());
    assert_eq!(history.needless(&stage), Vec::<String>::new());
    Ok(())
}

#[test]
fn every_spot_instance_interrupted_after_its_warning_leaves_its_volume_to_a_replacement() {
    for policy in POLICIES {
        for seed in 0..2 {
            let stage = served(seed, policy, false).unwrap();
            all_taken(stage, |stage, instance| {
                stage.cloud.world().interrupt_spot(instance).unwrap();
            })
            .unwrap_or_else(|problem| panic!("{policy}, seed {seed}: {problem}"));
        }
    }
}

#[test]
fn every_spot_instance_gone_without_a_warning_leaves_its_volume_to_a_replacement() {
    for policy in POLICIES {
        for seed in 2..4 {
            let stage = served(seed, policy, false).unwrap();
            all_taken(stage, |stage, instance| {
                stage.cloud.world().terminate_by_hand(instance).unwrap();
            })
            .unwrap_or_else(|problem| panic!("{policy}, seed {seed}: {problem}"));
        }
    }
}

/// With capacity rebalancing the group terminates at the warning, with its hooks; the kill comes in the middle of that.
#[test]
fn with_capacity_rebalancing_the_hooks_run_at_the_warning_and_the_kill_changes_nothing() {
    for policy in POLICIES {
        for seed in 4..6 {
            let stage = served(seed, policy, true).unwrap();
            all_taken(stage, |stage, instance| {
                stage.cloud.world().interrupt_spot(instance).unwrap();
            })
            .unwrap_or_else(|problem| panic!("{policy}, seed {seed}: {problem}"));
        }
    }
}

/// EC2 refuses to stop it, so its termination has to free the volume: nobody waits for a stop that never comes.
#[test]
fn spot_instances_that_fail_are_terminated_without_having_been_stopped() {
    for seed in 6..9 {
        let stage = served(seed, POLICIES[0], false).unwrap();
        all_taken(stage, |stage, instance| {
            stage.cloud.world().fail_instance(instance).unwrap();
        })
        .unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
