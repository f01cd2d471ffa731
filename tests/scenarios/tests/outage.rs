//! The functions are dead for an hour: no event, no reconcile. Several groups, one of them with a warm pool, lose instances
//! meanwhile. Once the functions live, everybody is served with what was theirs.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::{Stage, Timeouts};
use local_cloud::world::{DesiredCapacity, InstanceState, LifecycleState, WarmPoolChange};
use scenarios::history::History;
use scenarios::{LONG, ZONE, group, hooks, instances, settle, stage, tagged, tagged_volume};

/// The groups with their pools and leave modes; two of them share one.
const GROUPS: [(&str, &str); 4] = [
    ("kafka", r#"{"pool":"kafka"}"#),
    ("etcd", r#"{"pool":"etcd","leave":{"mode":"detach"}}"#),
    ("red", r#"{"pool":"shared","leave":{"mode":"terminate"}}"#),
    ("blue", r#"{"pool":"shared"}"#),
];
const SIZE: usize = 3;

fn served(stage: &Stage) -> bool {
    GROUPS.iter().all(|(name, _)| {
        let serving = instances(stage, name, LifecycleState::InService);
        let world = stage.cloud.world();
        let running = |id: &String| {
            world.instance(id).is_ok_and(|instance| instance.state == InstanceState::Running)
        };
        serving.len() == SIZE && serving.iter().all(running)
    })
}

/// All groups in service; `kafka` has a warm pool of two.
fn in_service(seed: u64) -> Result<Stage, String> {
    let text = |error: local_cloud::world::ApiError| error.to_string();
    let mut stage = stage(seed);
    for pool in ["kafka", "etcd", "shared", "shared"] {
        for _ in 0..SIZE {
            tagged_volume(&stage, ZONE, &[("stateful-asg:pool", pool)]).map_err(text)?;
        }
    }
    stage.run_for(Duration::from_secs(10))?;
    for (name, policy) in GROUPS {
        let size = u32::try_from(SIZE).unwrap();
        group(&stage, name, size, &[ZONE], hooks(Some(policy))).map_err(text)?;
    }
    stage.run_until(LONG, served)?;
    let warm = WarmPoolChange { min_size: Some(2), max_prepared: Some(3), ..Default::default() };
    stage.cloud.world().put_warm_pool("kafka", warm).map_err(text)?;
    stage.run_until(LONG, |stage| {
        instances(stage, "kafka", LifecycleState::WarmedStopped).len() == 2
    })?;
    settle(&mut stage)?;
    Ok(stage)
}

fn story(seed: u64) -> Result<(), String> {
    let mut stage = in_service(seed)?;
    let volumes = tagged(&stage);
    let history = History::default();
    history.run_for(&mut stage, Duration::from_secs(1))?;

    stage.timeouts = Timeouts::Expected;
    stage.loses = |_| true;
    stage.reconciles = false;
    let mut gone = BTreeSet::new();
    for (number, (name, _)) in GROUPS.iter().enumerate() {
        let old = instances(&stage, name, LifecycleState::InService);
        // Of one group all go, of the others some, each in its own way.
        for instance in old.iter().take(SIZE - number.min(2)) {
            let mut world = stage.cloud.world();
            let went = match number {
                0 => world.terminate_by_hand(instance),
                1 => world.fail_instance(instance),
                2 => world.stop_instances(std::slice::from_ref(instance)).map(drop),
                _ => world.terminate_instance_in_group(instance, DesiredCapacity::Kept).map(drop),
            };
            went.map_err(|error| error.to_string())?;
            gone.insert(instance.clone());
        }
    }
    stage.run_for(Duration::from_hours(1))?;

    stage.loses = |_| false;
    stage.reconciles = true;
    history.run_until(&mut stage, Duration::from_mins(20), served)?;
    stage.timeouts = Timeouts::Broken;
    settle(&mut stage)?;
    history.run_for(&mut stage, Duration::from_mins(10))?;
    assert!(served(&stage));
    let served = stage.volumes_in_service();
    assert_eq!(served.len(), GROUPS.len() * SIZE);
    assert!(served.values().all(|(instance, _)| !gone.contains(instance)));
    assert_eq!(tagged(&stage), volumes);
    assert_eq!(history.losses(&stage), Vec::<String>::new());
    assert_eq!(history.needless(&stage), Vec::<String>::new());
    Ok(())
}

#[test]
fn several_groups_are_whole_again_soon_after_an_hour_without_any_function() {
    for seed in 0..3 {
        story(seed).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
