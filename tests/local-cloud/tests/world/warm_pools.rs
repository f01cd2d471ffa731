//! Warm pools: how they are filled and drawn on, which hooks run on the way in and out, and who ends where.

use local_cloud::world::{
    AbandonedReturn, Config, DesiredCapacity, InstanceState, LifecycleResult, LifecycleState,
    PageRequest, PoolState, ScaledIn, Tags, TemplateReference, Transition, WarmPoolChange, World,
};

use crate::staging::{
    answer, group, hook, in_service, lifecycle, lifecycle_events, pass, specification, state,
    until, waiting, with, world,
};

const LAUNCH: &str = "EC2 Instance-launch Lifecycle Action";
const TERMINATE: &str = "EC2 Instance-terminate Lifecycle Action";

/// One instance in service and a pool of one beside it; nobody is waited for meanwhile.
fn with_pool(change: WarmPoolChange) -> World {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    world.put_warm_pool("web", WarmPoolChange { max_prepared: Some(2), ..change }).unwrap();
    pass(&mut world, 180);
    assert_eq!(in_service(&world).len(), 1);
    world
}

fn reusing() -> WarmPoolChange {
    WarmPoolChange { scaled_in: Some(ScaledIn::Reused), ..WarmPoolChange::default() }
}

fn path(body: &serde_json::Value) -> [&str; 2] {
    ["Origin", "Destination"].map(|field| body["detail"][field].as_str().unwrap())
}

fn warmed(world: &World) -> Vec<String> {
    let view = world.describe_warm_pool("web", &PageRequest::default()).unwrap();
    view.instances.items.into_iter().map(|member| member.instance).collect()
}

#[test]
fn a_pool_is_filled_beside_the_group_and_its_instances_are_stopped() {
    let world = with_pool(WarmPoolChange::default());
    let pool = warmed(&world);
    assert_eq!(pool.len(), 1, "two prepared, one of them in service");
    assert_eq!(lifecycle(&world, &pool[0]), Some(LifecycleState::WarmedStopped));
    assert_eq!(state(&world, &pool[0]), InstanceState::Stopped);
    assert_eq!(world.group("web").unwrap().capacity(), 1);
}

#[test]
fn a_running_pool_keeps_its_instances_running() {
    let running = WarmPoolChange { state: Some(PoolState::Running), ..WarmPoolChange::default() };
    let world = with_pool(running);
    let pool = warmed(&world);
    assert_eq!(lifecycle(&world, &pool[0]), Some(LifecycleState::WarmedRunning));
    assert_eq!(state(&world, &pool[0]), InstanceState::Running);
}

#[test]
fn the_size_follows_the_maximum_the_prepared_capacity_and_the_minimum() {
    let mut world = with_pool(WarmPoolChange::default());
    let sized = |world: &mut World, change: WarmPoolChange| {
        world.put_warm_pool("web", change).unwrap();
        pass(world, 300);
        warmed(world).len()
    };
    let minimum = WarmPoolChange { min_size: Some(2), ..WarmPoolChange::default() };
    assert_eq!(sized(&mut world, minimum), 2);
    let whole =
        WarmPoolChange { max_prepared: Some(-1), min_size: Some(0), ..WarmPoolChange::default() };
    assert_eq!(sized(&mut world, whole), 29, "the group's maximum of 30, less its one");
    let few = WarmPoolChange { max_prepared: Some(1), ..WarmPoolChange::default() };
    assert_eq!(sized(&mut world, few), 0);
    let impossible = WarmPoolChange { min_size: Some(5), ..few };
    let refused = world.put_warm_pool("web", impossible).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
}

#[test]
fn the_launch_hook_fires_into_the_pool_and_again_out_of_it() {
    let mut world = with_pool(WarmPoolChange::default());
    world.put_lifecycle_hook("web", hook("join", Transition::Launching)).unwrap();
    let more = WarmPoolChange { max_prepared: Some(3), ..WarmPoolChange::default() };
    world.put_warm_pool("web", more).unwrap();
    let warming = LifecycleState::WarmedPendingWait;
    until(&mut world, "warming", |it| !waiting(it, warming).is_empty());
    let second = waiting(&world, warming).remove(0);
    let event = lifecycle_events(&mut world, LAUNCH).remove(0);
    assert_eq!(event.body["detail"]["EC2InstanceId"], second);
    assert_eq!(path(&event.body), ["EC2", "WarmPool"]);
    answer(&mut world, "join", &second, LifecycleResult::Continue).unwrap();
    assert_eq!(lifecycle(&world, &second), Some(LifecycleState::WarmedPendingProceed));
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &second), Some(LifecycleState::WarmedStopped));
    world.set_desired_capacity("web", 3).unwrap();
    until(&mut world, "both wait", |it| waiting(it, LifecycleState::PendingWait).len() == 2);
    assert_eq!(world.instances().count(), 3, "nothing was launched");
    for event in lifecycle_events(&mut world, LAUNCH) {
        assert_eq!(path(&event.body), ["WarmPool", "AutoScalingGroup"]);
    }
    answer(&mut world, "join", &second, LifecycleResult::Continue).unwrap();
    pass(&mut world, 30);
    assert!(in_service(&world).contains(&second));
    assert_eq!(state(&world, &second), InstanceState::Running);
}

#[test]
fn a_launch_straight_into_the_group_when_the_pool_is_empty_says_so() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let none = WarmPoolChange { max_prepared: Some(0), ..WarmPoolChange::default() };
    world.put_warm_pool("web", none).unwrap();
    until(&mut world, "waits", |it| !waiting(it, LifecycleState::PendingWait).is_empty());
    let event = lifecycle_events(&mut world, LAUNCH).remove(0);
    assert_eq!(path(&event.body), ["EC2", "AutoScalingGroup"]);
}

#[test]
fn a_launch_into_the_pool_that_is_abandoned_is_terminated_and_replaced() {
    let mut world = with_pool(WarmPoolChange::default());
    world.put_lifecycle_hook("web", hook("join", Transition::Launching)).unwrap();
    let more = WarmPoolChange { max_prepared: Some(3), ..WarmPoolChange::default() };
    world.put_warm_pool("web", more).unwrap();
    let warming = LifecycleState::WarmedPendingWait;
    until(&mut world, "warming", |it| !waiting(it, warming).is_empty());
    let first = waiting(&world, warming).remove(0);
    answer(&mut world, "join", &first, LifecycleResult::Abandon).unwrap();
    assert_eq!(lifecycle(&world, &first), Some(LifecycleState::WarmedTerminating));
    until(&mut world, "replaced", |it| waiting(it, warming).iter().any(|other| *other != first));
    pass(&mut world, 60);
    assert_eq!(state(&world, &first), InstanceState::Terminated);
}

#[test]
fn a_failed_instance_is_replaced_from_the_pool_and_the_pool_is_filled_again() {
    let mut world = with_pool(WarmPoolChange::default());
    let pool = warmed(&world);
    let failed = in_service(&world).remove(0);
    world.fail_instance(&failed).unwrap();
    until(&mut world, "replaced", |it| in_service(it) == pool);
    pass(&mut world, 180);
    assert_eq!(warmed(&world).len(), 1);
    assert_ne!(warmed(&world), pool);
}

#[test]
fn scale_in_with_reuse_runs_the_terminate_hook_and_brings_the_instance_back_alive() {
    let mut world = with_pool(reusing());
    world.put_lifecycle_hook("web", hook("leave", Transition::Terminating)).unwrap();
    let instance = in_service(&world).remove(0);
    world.set_desired_capacity("web", 0).unwrap();
    let warming = LifecycleState::WarmedPendingWait;
    until(&mut world, "returning", |it| lifecycle(it, &instance) == Some(warming));
    let event = lifecycle_events(&mut world, TERMINATE).remove(0);
    assert_eq!(event.body["detail"]["EC2InstanceId"], instance);
    assert_eq!(path(&event.body), ["AutoScalingGroup", "WarmPool"]);
    assert_eq!(state(&world, &instance), InstanceState::Running);
    // Whoever takes its volumes may stop it first: nobody minds.
    world.stop_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &instance), Some(warming));
    answer(&mut world, "leave", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::WarmedStopped));
    assert_eq!(state(&world, &instance), InstanceState::Stopped);
}

#[test]
fn a_return_to_the_pool_that_is_abandoned_ends_in_termination_without_more_hooks() {
    let mut world = with_pool(reusing());
    world.put_lifecycle_hook("web", hook("leave", Transition::Terminating)).unwrap();
    let instance = in_service(&world).remove(0);
    world.set_desired_capacity("web", 0).unwrap();
    let warming = LifecycleState::WarmedPendingWait;
    until(&mut world, "returning", |it| lifecycle(it, &instance) == Some(warming));
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    assert_eq!(lifecycle(&world, &instance), None);
    assert_eq!(lifecycle_events(&mut world, TERMINATE).len(), 1);
}

#[test]
fn an_abandoned_return_can_be_set_to_end_in_the_pool_all_the_same() {
    let mut world =
        with(Config { abandoned_return: AbandonedReturn::Returns, seed: 7, ..Config::default() });
    group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
    world.put_warm_pool("web", WarmPoolChange { max_prepared: Some(1), ..reusing() }).unwrap();
    pass(&mut world, 60);
    let instance = in_service(&world).remove(0);
    world.set_desired_capacity("web", 0).unwrap();
    let warming = LifecycleState::WarmedPendingWait;
    until(&mut world, "returning", |it| lifecycle(it, &instance) == Some(warming));
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::WarmedStopped));
}

#[test]
fn what_fails_in_service_is_terminated_whatever_the_reuse_policy() {
    let mut world = with_pool(reusing());
    let failed = in_service(&world).remove(0);
    world.fail_instance(&failed).unwrap();
    pass(&mut world, 180);
    assert_eq!(state(&world, &failed), InstanceState::Terminated);
}

#[test]
fn an_instance_taken_out_of_the_pool_runs_its_terminate_hooks() {
    let mut world = with_pool(WarmPoolChange::default());
    world.put_lifecycle_hook("web", hook("leave", Transition::Terminating)).unwrap();
    let pooled = warmed(&world).remove(0);
    world.terminate_instance_in_group(&pooled, DesiredCapacity::Kept).unwrap();
    let leaving = LifecycleState::WarmedTerminatingWait;
    until(&mut world, "leaving", |it| lifecycle(it, &pooled) == Some(leaving));
    let event = lifecycle_events(&mut world, TERMINATE).remove(0);
    assert_eq!(path(&event.body), ["WarmPool", "EC2"]);
    answer(&mut world, "leave", &pooled, LifecycleResult::Continue).unwrap();
    assert_eq!(lifecycle(&world, &pooled), Some(LifecycleState::WarmedTerminatingProceed));
    pass(&mut world, 180);
    assert_eq!(state(&world, &pooled), InstanceState::Terminated);
    assert_eq!(warmed(&world).len(), 1, "another has taken its place");
}

#[test]
fn a_pool_with_instances_is_deleted_by_force_only_and_the_group_stays() {
    let mut world = with_pool(WarmPoolChange::default());
    world.put_lifecycle_hook("web", hook("leave", Transition::Terminating)).unwrap();
    let pooled = warmed(&world).remove(0);
    assert_eq!(world.delete_warm_pool("web", false).unwrap_err().code(), "ResourceInUse");
    world.delete_warm_pool("web", true).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &pooled), InstanceState::Terminated);
    assert_eq!(world.group("web").unwrap().warm_pool, None);
    assert_eq!(in_service(&world).len(), 1);
    assert_eq!(world.delete_warm_pool("web", true).unwrap_err().code(), "ValidationError");
}

#[test]
fn spot_groups_and_hibernation_are_refused() {
    let mut world = with_pool(WarmPoolChange::default());
    assert_eq!(PoolState::parse("Hibernated").unwrap_err().code(), "ValidationError");
    let spot = local_cloud::world::LaunchSpecification {
        market: local_cloud::world::Market::Spot,
        ..specification()
    };
    let template = world.create_launch_template("spot", None, spot, Tags::new()).unwrap();
    let change = local_cloud::world::GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..Default::default() }),
        ..Default::default()
    };
    world.update_group("web", change).unwrap();
    let refused = world.put_warm_pool("web", WarmPoolChange::default()).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
}
