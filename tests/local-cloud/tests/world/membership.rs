//! Standby, detaching and attaching: who counts, who is replaced, and that no hook runs.

use local_cloud::world::{
    Config, DesiredCapacity, ForcedDeletion, GroupChange, InstanceState, LifecycleState, Process,
    Transition, World,
};

use crate::staging::{
    group, hook, in_service, lifecycle, pass, running, state, until, waiting, with, world,
};

/// A group of two, in service, with hooks on both transitions that nobody would answer.
fn two() -> (World, Vec<String>) {
    let mut world = world();
    group(&mut world, 2, &["a"], Vec::new());
    pass(&mut world, 60);
    for (name, transition) in [("join", Transition::Launching), ("leave", Transition::Terminating)]
    {
        world.put_lifecycle_hook("web", hook(name, transition)).unwrap();
    }
    world.drain_events();
    let members = in_service(&world);
    (world, members)
}

fn no_hook_ran(world: &mut World, instance: &str) {
    let about = |event: &local_cloud::world::CloudEvent| {
        event.detail_type.ends_with("Lifecycle Action")
            && event.body["detail"]["EC2InstanceId"] == instance
    };
    assert!(!world.drain_events().iter().any(about), "a hook ran for {instance}");
}

#[test]
fn standby_keeps_the_instance_running_and_brings_it_back_without_hooks() {
    let (mut world, members) = two();
    let lower = DesiredCapacity::Decremented;
    let activities = world.enter_standby("web", &members[..1], lower).unwrap();
    assert!(activities[0].description.starts_with("Moving EC2 instance to Standby: i-"));
    assert_eq!(lifecycle(&world, &members[0]), Some(LifecycleState::EnteringStandby));
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &members[0]), Some(LifecycleState::Standby));
    assert_eq!(state(&world, &members[0]), InstanceState::Running);
    assert_eq!(world.group("web").unwrap().desired_capacity, 1);
    assert_eq!(world.instances().count(), 2, "nothing replaces it");
    world.exit_standby("web", &members[..1]).unwrap();
    assert_eq!(lifecycle(&world, &members[0]), Some(LifecycleState::Pending));
    pass(&mut world, 120);
    assert_eq!(in_service(&world), members);
    assert_eq!(world.group("web").unwrap().desired_capacity, 2);
    no_hook_ran(&mut world, &members[0]);
}

#[test]
fn an_instance_on_standby_is_replaced_if_the_capacity_is_kept() {
    let (mut world, members) = two();
    world.enter_standby("web", &members[..1], DesiredCapacity::Kept).unwrap();
    until(&mut world, "a launch", |it| !waiting(it, LifecycleState::PendingWait).is_empty());
    assert_eq!(world.instances().count(), 3);
    assert_eq!(world.group("web").unwrap().desired_capacity, 2);
}

#[test]
fn health_on_standby_is_nobodys_business_until_it_ends() {
    let (mut world, members) = two();
    world.enter_standby("web", &members[..1], DesiredCapacity::Decremented).unwrap();
    pass(&mut world, 5);
    world.stop_instances(&members[..1]).unwrap();
    pass(&mut world, 300);
    assert_eq!(lifecycle(&world, &members[0]), Some(LifecycleState::Standby));
    world.exit_standby("web", &members[..1]).unwrap();
    until(&mut world, "replaced", |it| lifecycle(it, &members[0]).unwrap().is_leaving());
}

#[test]
fn a_detached_instance_lives_on_as_nobodys() {
    let (mut world, members) = two();
    let activities =
        world.detach_instances("web", &members[..1], DesiredCapacity::Decremented).unwrap();
    assert_eq!(activities[0].description, format!("Detaching EC2 instance: {}", members[0]));
    assert_eq!(lifecycle(&world, &members[0]), Some(LifecycleState::Detaching));
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &members[0]), None);
    assert_eq!(state(&world, &members[0]), InstanceState::Running);
    let tags = &world.instance(&members[0]).unwrap().tags;
    assert!(!tags.contains_key("aws:autoscaling:groupName"));
    assert_eq!(world.instances().count(), 2);
    no_hook_ran(&mut world, &members[0]);
}

#[test]
fn a_detached_instance_is_replaced_if_the_capacity_is_kept() {
    let (mut world, members) = two();
    world.detach_instances("web", &members[..1], DesiredCapacity::Kept).unwrap();
    until(&mut world, "a launch", |it| !waiting(it, LifecycleState::PendingWait).is_empty());
    assert_eq!(state(&world, &members[0]), InstanceState::Running);
}

#[test]
fn an_attached_instance_comes_into_service_without_hooks_and_raises_what_is_wanted() {
    let (mut world, _) = two();
    let stranger = running(&mut world, "a");
    world.attach_instances("web", std::slice::from_ref(&stranger)).unwrap();
    pass(&mut world, 60);
    assert_eq!(lifecycle(&world, &stranger), Some(LifecycleState::InService));
    assert_eq!(world.group("web").unwrap().desired_capacity, 3);
    assert_eq!(world.instance(&stranger).unwrap().tags["aws:autoscaling:groupName"], "web");
    no_hook_ran(&mut world, &stranger);
}

#[test]
fn only_running_instances_of_the_groups_zones_and_of_no_group_are_attached() {
    let (mut world, members) = two();
    let elsewhere = running(&mut world, "b");
    let stopped = running(&mut world, "a");
    world.stop_instances(std::slice::from_ref(&stopped)).unwrap();
    for refused in [&elsewhere, &stopped, &members[0], &"i-0123".to_owned()] {
        let error = world.attach_instances("web", std::slice::from_ref(refused)).unwrap_err();
        assert_eq!(error.code(), "ValidationError", "{error}");
    }
    assert_eq!(world.group("web").unwrap().desired_capacity, 2);
}

#[test]
fn moves_that_break_the_groups_sizes_or_states_are_refused_whole() {
    let (mut world, members) = two();
    let sizes = GroupChange { min_size: Some(2), max_size: Some(2), ..GroupChange::default() };
    world.update_group("web", sizes).unwrap();
    let lower = DesiredCapacity::Decremented;
    let refused = world.enter_standby("web", &members[..1], lower).unwrap_err();
    assert!(refused.message().contains("min-size=2, max-size=2, and desired-size=2"), "{refused}");
    let refused = world.detach_instances("web", &members, lower).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
    let stranger = running(&mut world, "a");
    let refused = world.attach_instances("web", &[stranger]).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
    let refused = world.exit_standby("web", &members).unwrap_err();
    assert_eq!(refused.message(), format!("The instance {} is not in Standby.", members[0]));
    let both = [members[0].clone(), "i-0123".to_owned()];
    world.enter_standby("web", &both, DesiredCapacity::Kept).unwrap_err();
    assert_eq!(in_service(&world), members);
}

#[test]
fn deleting_a_group_by_force_runs_no_hooks_and_takes_standby_along() {
    let (mut world, members) = two();
    world.enter_standby("web", &members[..1], DesiredCapacity::Decremented).unwrap();
    pass(&mut world, 10);
    world.delete_group("web", true).unwrap();
    pass(&mut world, 120);
    for instance in &members {
        assert_eq!(state(&world, instance), InstanceState::Terminated);
        assert_eq!(lifecycle(&world, instance), None);
    }
    no_hook_ran(&mut world, &members[0]);
    assert_eq!(world.group("web").unwrap_err().code(), "ValidationError");
}

#[test]
fn deleting_a_group_by_force_can_be_set_to_run_the_terminate_hooks() {
    let mut world =
        with(Config { forced_deletion: ForcedDeletion::RunsTerminateHooks, ..Config::default() });
    group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
    pass(&mut world, 60);
    world.delete_group("web", true).unwrap();
    let leaving = LifecycleState::TerminatingWait;
    until(&mut world, "the hook", |it| waiting(it, leaving).len() == 1);
}

#[test]
fn nothing_comes_into_service_while_launches_are_suspended() {
    let (mut world, members) = two();
    world.enter_standby("web", &members[..1], DesiredCapacity::Decremented).unwrap();
    pass(&mut world, 5);
    world.suspend_processes("web", &[Process::Launch]).unwrap();
    let refused = world.exit_standby("web", &members[..1]).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
    let stranger = running(&mut world, "a");
    let refused = world.attach_instances("web", std::slice::from_ref(&stranger)).unwrap_err();
    assert_eq!(refused.code(), "ValidationError");
    assert_eq!(lifecycle(&world, &stranger), None);
}
