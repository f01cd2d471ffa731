//! The instance lifecycle policy: what an abandoned terminate hook keeps, and how it ends.

use local_cloud::world::{
    DesiredCapacity, GroupChange, HookSpecification, InstanceState, LifecycleResult,
    LifecycleState, ScaledIn, TerminateHookAbandon, Transition, WarmPoolChange, World,
};

use crate::staging::{answer, group, hook, in_service, lifecycle, pass, state, until, world};

/// A group of one that retains, whose instance waits for its terminate hook.
fn leaving(specification: HookSpecification) -> (World, String) {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![specification]);
    set(&mut world, TerminateHookAbandon::Retain);
    pass(&mut world, 60);
    let instance = in_service(&world).remove(0);
    world.terminate_instance_in_group(&instance, DesiredCapacity::Kept).unwrap();
    wait(&mut world, &instance);
    (world, instance)
}

fn set(world: &mut World, abandon: TerminateHookAbandon) {
    let change = GroupChange { terminate_hook_abandon: Some(abandon), ..GroupChange::default() };
    world.update_group("web", change).unwrap();
}

fn wait(world: &mut World, instance: &str) {
    let waiting = Some(LifecycleState::TerminatingWait);
    until(world, "waiting", |it| lifecycle(it, instance) == waiting);
}

fn retained() -> (World, String) {
    let (mut world, instance) = leaving(hook("leave", Transition::Terminating));
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 60);
    (world, instance)
}

#[test]
fn an_abandoned_termination_keeps_the_instance_and_the_group_replaces_it() {
    let (world, instance) = retained();
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::TerminatingRetained));
    assert_eq!(state(&world, &instance), InstanceState::Running);
    let group = world.group("web").unwrap();
    assert_eq!((group.capacity(), group.desired_capacity), (1, 1));
    assert_eq!(in_service(&world).len(), 1);
    assert!(!in_service(&world).contains(&instance));
}

#[test]
fn a_timeout_with_default_result_abandon_retains_and_one_with_continue_does_not() {
    for (default, kept) in [(LifecycleResult::Abandon, true), (LifecycleResult::Continue, false)] {
        let specification = HookSpecification {
            default_result: Some(default),
            ..hook("leave", Transition::Terminating)
        };
        let (mut world, instance) = leaving(specification);
        pass(&mut world, 400);
        let shown = lifecycle(&world, &instance);
        assert_eq!(shown == Some(LifecycleState::TerminatingRetained), kept, "{default:?}");
        assert_eq!(state(&world, &instance) == InstanceState::Running, kept);
    }
}

#[test]
fn the_global_timeout_retains_too() {
    let (mut world, instance) = leaving(hook("leave", Transition::Terminating));
    let name = local_cloud::world::ActionName { instance: Some(&instance), ..Default::default() };
    let wait = Some(LifecycleState::TerminatingWait);
    while lifecycle(&world, &instance) == wait {
        pass(&mut world, 290);
        if lifecycle(&world, &instance) == wait {
            world.record_lifecycle_action_heartbeat("web", "leave", name).unwrap();
        }
    }
    pass(&mut world, 5);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::TerminatingRetained));
}

#[test]
fn continue_never_retains() {
    let (mut world, instance) = leaving(hook("leave", Transition::Terminating));
    answer(&mut world, "leave", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
}

#[test]
fn without_the_policy_an_abandoned_termination_goes_on() {
    let (mut world, instance) = leaving(hook("leave", Transition::Terminating));
    set(&mut world, TerminateHookAbandon::Terminate);
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
}

#[test]
fn a_retained_instance_ends_through_its_group_which_asks_the_hook_anew() {
    let (mut world, instance) = retained();
    let lower = DesiredCapacity::Decremented;
    let refused = world.terminate_instance_in_group(&instance, lower).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
    world.terminate_instance_in_group(&instance, DesiredCapacity::Kept).unwrap();
    wait(&mut world, &instance);
    answer(&mut world, "leave", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    assert_eq!(lifecycle(&world, &instance), None);
    assert_eq!(in_service(&world).len(), 1);
}

#[test]
fn a_retained_instance_is_not_health_checked_and_leaves_with_ec2s_termination() {
    let (mut world, instance) = retained();
    world.stop_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 300);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::TerminatingRetained));
    world.terminate_by_hand(&instance).unwrap();
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &instance), None);
}

#[test]
fn a_retained_instance_can_be_detached_but_not_put_on_standby() {
    let (mut world, instance) = retained();
    let one = std::slice::from_ref(&instance);
    let kept = DesiredCapacity::Kept;
    assert_eq!(world.enter_standby("web", one, kept).unwrap_err().code(), "ValidationError");
    let lowered = world.detach_instances("web", one, DesiredCapacity::Decremented);
    assert_eq!(lowered.unwrap_err().code(), "ValidationError");
    world.detach_instances("web", one, kept).unwrap();
    pass(&mut world, 60);
    assert_eq!(lifecycle(&world, &instance), None);
    assert_eq!(state(&world, &instance), InstanceState::Running);
}

#[test]
fn a_group_that_retains_is_not_deleted_by_force() {
    let (mut world, instance) = retained();
    assert_eq!(world.delete_group("web", true).unwrap_err().code(), "ValidationError");
    set(&mut world, TerminateHookAbandon::Terminate);
    world.delete_group("web", true).unwrap();
    pass(&mut world, 120);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    assert_eq!(world.group("web").unwrap_err().code(), "ValidationError");
}

#[test]
fn an_abandoned_return_to_the_warm_pool_is_retained_as_well() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
    set(&mut world, TerminateHookAbandon::Retain);
    let pool = WarmPoolChange {
        max_prepared: Some(1),
        scaled_in: Some(ScaledIn::Reused),
        ..WarmPoolChange::default()
    };
    world.put_warm_pool("web", pool).unwrap();
    pass(&mut world, 60);
    let instance = in_service(&world).remove(0);
    world.set_desired_capacity("web", 0).unwrap();
    let warming = Some(LifecycleState::WarmedPendingWait);
    until(&mut world, "returning", |it| lifecycle(it, &instance) == warming);
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 60);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::WarmedPendingRetained));
    assert_eq!(state(&world, &instance), InstanceState::Running);
    assert_eq!(world.instances().count(), 2, "the pool does not count it and fills up");
    world.terminate_instance_in_group(&instance, DesiredCapacity::Kept).unwrap();
    let leaving = Some(LifecycleState::WarmedTerminatingWait);
    until(&mut world, "leaving", |it| lifecycle(it, &instance) == leaving);
    answer(&mut world, "leave", &instance, LifecycleResult::Abandon).unwrap();
    pass(&mut world, 60);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::WarmedTerminatingRetained));
}
