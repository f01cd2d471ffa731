//! Instances that leave their group, its service or its warm pool in ways that run no hooks, or run them otherwise.

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    ActionName, DesiredCapacity, GroupChange, InstanceState, LifecycleResult, LifecycleState,
    MaintenanceChange, MaintenancePolicy, ScaledIn, TerminateHookAbandon, WarmPoolChange,
};
use scenarios::{
    LONG, ZONE, in_service, instances, settle, stage, tagged, tagged_volume, volumes_by_slot,
};
use volume_pool::record::SlotState;

use crate::{POLICY, WAITING, alarms, only, reasons};

fn change(stage: &Stage, change: GroupChange) {
    stage.cloud.world().update_group("cassandra", change).unwrap();
}

/// A group of one in service, and the instance.
fn served(seed: u64, policy: &str) -> (Stage, String) {
    let stage = in_service(stage(seed), 1, policy).unwrap();
    let instance = only(&stage, LifecycleState::InService);
    (stage, instance)
}

/// The instance holds its slot, and its volume is on it.
fn holds(stage: &Stage, instance: &str) -> bool {
    let world = stage.cloud.world();
    stage.slots().iter().any(|slot| {
        let held = slot.holder().is_some_and(|holder| holder.as_str() == instance);
        let volumes = slot.volumes.iter().map(|volume| volume.volume.as_str());
        held && volumes.into_iter().all(|volume| world.attachment(volume, instance).is_some())
    })
}

#[test]
fn an_instance_on_standby_keeps_its_volume_and_comes_back_with_it() {
    let (mut stage, instance) = served(51, POLICY);
    let one = [instance.clone()];
    stage.cloud.world().enter_standby("cassandra", &one, DesiredCapacity::Decremented).unwrap();
    stage.run_for(Duration::from_mins(30)).unwrap();
    assert!(holds(&stage, &instance), "{:?}", reasons(&stage));
    stage.cloud.world().exit_standby("cassandra", &one).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert!(holds(&stage, &instance), "{:?}", reasons(&stage));
}

#[test]
fn an_instance_that_was_detached_from_its_group_keeps_its_volume_until_it_ends() {
    let (mut stage, instance) = served(52, WAITING);
    let one = [instance.clone()];
    stage.cloud.world().detach_instances("cassandra", &one, DesiredCapacity::Kept).unwrap();
    stage.run_for(Duration::from_mins(30)).unwrap();
    assert!(holds(&stage, &instance), "{:?}", reasons(&stage));
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
    stage.cloud.world().terminate_instances(&one).unwrap();
    stage
        .run_until(LONG, |stage| stage.volumes_in_service().len() == 1)
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
    assert_eq!(tagged(&stage).len(), 1);
}

/// A termination is abandoned, by a hook of somebody else's too: the instance runs on and may write. Its replacement waits.
#[test]
fn the_volume_of_a_retained_instance_is_not_given_to_its_replacement() {
    let policy =
        r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"guest","seconds":3600}}"#;
    let (mut stage, instance) = served(53, policy);
    let retain = Some(TerminateHookAbandon::Retain);
    change(&stage, GroupChange { terminate_hook_abandon: retain, ..GroupChange::default() });
    stage.cloud.world().terminate_instance_in_group(&instance, DesiredCapacity::Kept).unwrap();
    let waits = |stage: &Stage| {
        instances(stage, "cassandra", LifecycleState::TerminatingWait).contains(&instance)
            && matches!(stage.slots()[0].state, SlotState::Releasing { .. })
    };
    stage.run_until(LONG, waits).unwrap();
    let name = ActionName { token: None, instance: Some(&instance) };
    let abandon = LifecycleResult::Abandon;
    stage
        .cloud
        .world()
        .complete_lifecycle_action("cassandra", "stateful-asg-terminate", name, abandon)
        .unwrap();
    stage.run_for(Duration::from_mins(20)).unwrap();
    assert!(holds(&stage, &instance), "{:?}", reasons(&stage));
    assert_eq!(stage.cloud.world().instance(&instance).unwrap().state, InstanceState::Running);
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
}

/// The new instance is there first, and the old one goes only once it is in service, which it never will be: nobody
/// can serve both, so a person must hear of it. Nothing is taken from the old one.
#[test]
fn a_group_that_launches_before_it_terminates_is_told_of_and_loses_nothing() {
    let (mut stage, old) = served(54, WAITING);
    let policy = MaintenancePolicy { min_healthy: 100, max_healthy: 200 };
    let maintenance = Some(MaintenanceChange::Set(policy));
    change(&stage, GroupChange { maintenance, ..GroupChange::default() });
    stage.cloud.world().fail_instance(&old).unwrap();
    stage.run_until(LONG, |stage| alarms(stage).contains(&"launches-first")).unwrap();
    assert!(holds(&stage, &old), "{:?}", reasons(&stage));
    let before = volumes_by_slot(&stage);
    // The person terminates the old one.
    stage.cloud.world().terminate_by_hand(&old).unwrap();
    stage
        .run_until(LONG, |stage| {
            stage.volumes_in_service().values().any(|(instance, _)| *instance != old)
        })
        .unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
}

/// What lies in the warm pool has no volume; what comes out of it into service has one.
#[test]
fn an_instance_gets_its_volume_when_it_leaves_the_warm_pool_and_not_before() {
    let (mut stage, _) = served(55, WAITING);
    let warm = WarmPoolChange { min_size: Some(1), ..WarmPoolChange::default() };
    stage.cloud.world().put_warm_pool("cassandra", warm).unwrap();
    let parked = |stage: &Stage| instances(stage, "cassandra", LifecycleState::WarmedStopped);
    stage.run_until(LONG, |stage| parked(stage).len() == 1).unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(stage.slots().len(), 1);
    let second = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_mins(3)).unwrap();
    assert!(stage.cloud.world().volume(&second).unwrap().attachments.is_empty());
    let warm = parked(&stage).remove(0);
    stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
    assert!(holds(&stage, &warm), "{:?}", reasons(&stage));
}

/// The instance goes on living, stopped or not: its volume is given back all the same, and it gets one when it returns.
#[test]
fn an_instance_that_goes_back_to_the_warm_pool_gives_its_volume_back() {
    let (mut stage, instance) = served(56, WAITING);
    let reused = WarmPoolChange { scaled_in: Some(ScaledIn::Reused), ..WarmPoolChange::default() };
    stage.cloud.world().put_warm_pool("cassandra", reused).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let parked =
        |stage: &Stage| instances(stage, "cassandra", LifecycleState::WarmedStopped).len() == 1;
    stage
        .run_until(LONG, |stage| parked(stage) && stage.slots()[0].state == SlotState::Free)
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
    settle(&mut stage).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert!(holds(&stage, &instance), "{:?}", reasons(&stage));
}
