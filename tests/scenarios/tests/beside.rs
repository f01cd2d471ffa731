//! What happens to instances beside launches and terminations: another root volume, standby, a warm pool, and somebody else's
//! hook. What is leased stays leased.

#![cfg(test)]

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    ActionName, DesiredCapacity, HookSpecification, InstanceState, LifecycleResult, LifecycleState,
    PageRequest, PoolState, ReplaceRoot, ReplacedRoot, RootReplacementState, Transition,
    WarmPoolChange,
};
use scenarios::history::History;
use scenarios::{
    LONG, ZONE, in_service, instances, settle, stage, tagged, tagged_volume, volumes_by_slot,
};
use volume_pool::record::{Claim, Slot};

const CREATE: &str = r#"{"pool":"cassandra"}"#;
const WAIT: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
const SIZE: usize = 3;

/// A group in service that has been at rest for a while.
fn at_rest(seed: u64, policy: &str) -> (Stage, History) {
    let mut stage = in_service(stage(seed), u32::try_from(SIZE).unwrap(), policy).unwrap();
    let history = History::default();
    history.run_for(&mut stage, Duration::from_mins(3)).unwrap();
    (stage, history)
}

fn leases(stage: &Stage) -> (Vec<Slot>, Vec<Claim>) {
    (stage.slots(), stage.claims())
}

fn serving(stage: &Stage) -> Vec<String> {
    instances(stage, "cassandra", LifecycleState::InService)
}

fn well(stage: &Stage, history: &History) {
    assert_eq!(history.losses(stage), Vec::<String>::new());
    assert_eq!(history.needless(stage), Vec::<String>::new());
}

#[test]
fn a_root_volume_replaced_in_service_touches_no_lease_and_no_volume_of_the_pool() {
    for (seed, replaced) in [(1, ReplacedRoot::Kept), (2, ReplacedRoot::Deleted)] {
        let (mut stage, history) = at_rest(seed, CREATE);
        let (before, volumes) = (leases(&stage), tagged(&stage));
        for instance in serving(&stage) {
            let request = ReplaceRoot { instance, replaced, ..ReplaceRoot::default() };
            stage.cloud.world().replace_root_volume(request).unwrap();
        }
        history.run_for(&mut stage, Duration::from_mins(10)).unwrap();
        let tasks = {
            let world = stage.cloud.world();
            world.describe_root_replacements(&[], &[], &PageRequest::default()).unwrap().items
        };
        assert_eq!(tasks.len(), SIZE);
        assert!(tasks.iter().all(|task| task.state == RootReplacementState::Succeeded));
        assert_eq!(leases(&stage), before);
        assert_eq!(tagged(&stage), volumes);
        well(&stage, &history);
    }
}

#[test]
fn an_instance_goes_on_standby_and_comes_back_with_its_lease_untouched() {
    for seed in 3..6 {
        let (mut stage, history) = at_rest(seed, CREATE);
        let (before, volumes) = (leases(&stage), tagged(&stage));
        let one = [serving(&stage).remove(0)];
        let lowered = DesiredCapacity::Decremented;
        stage.cloud.world().enter_standby("cassandra", &one, lowered).unwrap();
        history.run_for(&mut stage, Duration::from_mins(15)).unwrap();
        assert_eq!(instances(&stage, "cassandra", LifecycleState::Standby), one);
        assert_eq!(leases(&stage), before);
        stage.cloud.world().exit_standby("cassandra", &one).unwrap();
        history.run_until(&mut stage, LONG, |stage| serving(stage).len() == SIZE).unwrap();
        history.run_for(&mut stage, Duration::from_mins(3)).unwrap();
        assert_eq!(leases(&stage), before);
        assert_eq!(tagged(&stage), volumes);
        well(&stage, &history);
    }
}

/// The group wants another one in its place meanwhile: that one gets a volume to spare.
#[test]
fn who_takes_the_place_of_an_instance_on_standby_gets_another_volume_and_both_serve_in_the_end() {
    for seed in 6..9 {
        let (mut stage, history) = at_rest(seed, WAIT);
        let before = volumes_by_slot(&stage);
        tagged_volume(&stage, ZONE, &[]).unwrap();
        history.run_for(&mut stage, Duration::from_secs(30)).unwrap();
        let one = [serving(&stage).remove(0)];
        let kept = DesiredCapacity::Kept;
        stage.cloud.world().enter_standby("cassandra", &one, kept).unwrap();
        let replaced = |stage: &Stage| stage.volumes_in_service().len() == SIZE;
        history.run_until(&mut stage, LONG, |stage| !replaced(stage)).unwrap();
        history.run_until(&mut stage, LONG, replaced).unwrap();
        stage.cloud.world().exit_standby("cassandra", &one).unwrap();
        history.run_until(&mut stage, LONG, |stage| serving(stage).len() == SIZE + 1).unwrap();
        settle(&mut stage).unwrap();
        let now = volumes_by_slot(&stage);
        assert!(before.iter().all(|(slot, volumes)| now.get(slot) == Some(volumes)));
        assert_eq!(now.len(), SIZE + 1);
        well(&stage, &history);
    }
}

/// What lies in the pool holds nothing. All instances in service fail at once: their replacements come out of it.
#[test]
fn replacements_from_a_warm_pool_get_the_volumes_of_those_that_they_replace() {
    for (seed, state) in
        [(9, PoolState::Stopped), (10, PoolState::Running), (11, PoolState::Stopped)]
    {
        let (mut stage, history) = at_rest(seed, CREATE);
        let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
        let pool = WarmPoolChange {
            min_size: u32::try_from(SIZE).ok(),
            max_prepared: i64::try_from(SIZE).ok(),
            state: Some(state),
            ..WarmPoolChange::default()
        };
        stage.cloud.world().put_warm_pool("cassandra", pool).unwrap();
        let parked = |stage: &Stage| -> BTreeSet<String> {
            let states = [LifecycleState::WarmedStopped, LifecycleState::WarmedRunning];
            states.into_iter().flat_map(|state| instances(stage, "cassandra", state)).collect()
        };
        history.run_until(&mut stage, LONG, |stage| parked(stage).len() == SIZE).unwrap();
        settle(&mut stage).unwrap();
        assert_eq!((volumes_by_slot(&stage), tagged(&stage)), (before.clone(), volumes.clone()));

        let warm = parked(&stage);
        for failed in serving(&stage) {
            stage.cloud.world().fail_instance(&failed).unwrap();
        }
        let from_the_pool = |stage: &Stage| {
            let served = stage.volumes_in_service();
            served.len() == SIZE && served.values().all(|(instance, _)| warm.contains(instance))
        };
        history.run_until(&mut stage, LONG, from_the_pool).unwrap();
        history.run_until(&mut stage, LONG, |stage| parked(stage).len() == SIZE).unwrap();
        settle(&mut stage).unwrap();
        history.run_for(&mut stage, Duration::from_mins(5)).unwrap();
        assert_eq!((volumes_by_slot(&stage), tagged(&stage)), (before, volumes));
        well(&stage, &history);
    }
}

/// Somebody else drains for ten minutes: nothing is stopped or taken off under that, and the replacement waits.
#[test]
fn while_another_terminate_hook_takes_ten_minutes_the_instance_runs_on_with_its_volume() {
    for (seed, policy) in [(12, CREATE), (13, WAIT), (14, CREATE)] {
        let (mut stage, history) = at_rest(seed, policy);
        let drain = HookSpecification {
            name: "drain".to_owned(),
            transition: Some(Transition::Terminating),
            metadata: None,
            heartbeat_timeout: Some(900),
            default_result: None,
        };
        stage.cloud.world().put_lifecycle_hook("cassandra", drain).unwrap();
        let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
        let old = serving(&stage).remove(0);
        stage.cloud.world().fail_instance(&old).unwrap();
        let draining = |stage: &Stage| {
            instances(stage, "cassandra", LifecycleState::TerminatingWait).contains(&old)
        };
        history.run_until(&mut stage, LONG, draining).unwrap();
        let until = stage.cloud.world().now().plus(Duration::from_mins(10));
        while stage.cloud.world().now() < until {
            history.run_for(&mut stage, Duration::from_secs(10)).unwrap();
            assert!(draining(&stage));
            let world = stage.cloud.world();
            assert_eq!(world.instance(&old).unwrap().state, InstanceState::Running);
            let held = world.attachments_of(&old).len();
            assert_eq!(held, 2, "its root volume and the one of the pool");
        }
        assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
        let name = ActionName { token: None, instance: Some(&old) };
        stage
            .cloud
            .world()
            .complete_lifecycle_action("cassandra", "drain", name, LifecycleResult::Continue)
            .unwrap();
        history.run_until(&mut stage, LONG, |stage| serving(stage).len() == SIZE).unwrap();
        settle(&mut stage).unwrap();
        history.run_for(&mut stage, Duration::from_mins(3)).unwrap();
        assert_eq!((volumes_by_slot(&stage), tagged(&stage)), (before, volumes));
        well(&stage, &history);
    }
}
