//! Groups by themselves: capacity, zones, health, replacement.

use std::collections::BTreeMap;

use local_cloud::world::{
    Config, DesiredCapacity, GracePeriod, GroupChange, Health, InstanceState, LifecycleState,
    Process, Transition, World,
};

use crate::staging::{group, hook, in_service, lifecycle, pass, state, until, with, world};

fn zones(world: &World) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for instance in in_service(world) {
        *zones.entry(world.instance(&instance).unwrap().zone.clone()).or_default() += 1;
    }
    zones
}

#[test]
fn a_group_spreads_its_instances_over_its_zones_and_launches_them_together() {
    let mut world = world();
    group(&mut world, 6, &["a", "b", "c"], Vec::new());
    until(&mut world, "launched", |world| world.group("web").unwrap().members.len() == 6);
    assert_eq!(in_service(&world).len(), 0);
    pass(&mut world, 20);
    assert_eq!(zones(&world).into_values().collect::<Vec<_>>(), [2, 2, 2]);
    let tagged = world.instances().all(|it| it.tags["aws:autoscaling:groupName"] == "web");
    assert!(tagged);
}

#[test]
fn a_failed_instance_is_replaced_in_its_zone_without_waiting_for_its_end() {
    let mut world = world();
    group(&mut world, 3, &["a", "b", "c"], Vec::new());
    pass(&mut world, 30);
    let failed = in_service(&world).remove(0);
    let zone = world.instance(&failed).unwrap().zone.clone();
    world.fail_instance(&failed).unwrap();
    until(&mut world, "four members", |world| world.group("web").unwrap().members.len() == 4);
    assert!(lifecycle(&world, &failed).unwrap().is_leaving());
    assert_ne!(state(&world, &failed), InstanceState::Terminated);
    until(&mut world, "replaced", |world| in_service(world).len() == 3);
    pass(&mut world, 120);
    assert_eq!(zones(&world)[&zone], 1);
    assert_eq!(lifecycle(&world, &failed), None);
    assert_eq!(state(&world, &failed), InstanceState::Terminated);
}

#[test]
fn instances_that_are_stopped_or_terminated_by_hand_are_replaced() {
    let mut world = world();
    group(&mut world, 2, &["a"], Vec::new());
    pass(&mut world, 30);
    let members = in_service(&world);
    world.stop_instances(&members[..1]).unwrap();
    world.terminate_by_hand(&members[1]).unwrap();
    pass(&mut world, 300);
    let now = in_service(&world);
    assert_eq!(now.len(), 2);
    assert!(now.iter().all(|it| !members.contains(it)));
}

#[test]
fn set_instance_health_respects_the_grace_period_unless_told_otherwise() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    let change = GroupChange { health_check_grace_period: Some(600), ..GroupChange::default() };
    world.update_group("web", change).unwrap();
    pass(&mut world, 30);
    let instance = in_service(&world).remove(0);
    world.set_instance_health(&instance, Health::Unhealthy, GracePeriod::Respected).unwrap();
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::InService));
    world.set_instance_health(&instance, Health::Unhealthy, GracePeriod::Ignored).unwrap();
    pass(&mut world, 300);
    assert_eq!(lifecycle(&world, &instance), None);
}

#[test]
fn an_impaired_instance_in_its_grace_period_is_replaced_after_it() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    let change = GroupChange { health_check_grace_period: Some(300), ..GroupChange::default() };
    world.update_group("web", change).unwrap();
    pass(&mut world, 30);
    let instance = in_service(&world).remove(0);
    world.fail_instance(&instance).unwrap();
    pass(&mut world, 200);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::InService));
    pass(&mut world, 300);
    assert_eq!(lifecycle(&world, &instance), None);
}

#[test]
fn capacity_goes_down_from_the_fullest_zone_and_up_into_the_emptiest() {
    let mut world = world();
    group(&mut world, 4, &["a", "b", "c"], Vec::new());
    pass(&mut world, 30);
    world.set_desired_capacity("web", 3).unwrap();
    pass(&mut world, 120);
    assert_eq!(zones(&world).into_values().collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(world.set_desired_capacity("web", 31).unwrap_err().code(), "ValidationError");
}

#[test]
fn terminating_through_the_group_replaces_unless_the_capacity_is_lowered() {
    let mut world = world();
    group(&mut world, 2, &["a"], Vec::new());
    pass(&mut world, 30);
    let members = in_service(&world);
    let keep = DesiredCapacity::Kept;
    let activity = world.terminate_instance_in_group(&members[0], keep).unwrap();
    assert_eq!(activity.description, format!("Terminating EC2 instance: {}", members[0]));
    let lower = DesiredCapacity::Decremented;
    world.terminate_instance_in_group(&members[1], lower).unwrap();
    pass(&mut world, 300);
    assert_eq!(in_service(&world).len(), 1);
    let stranger = world.terminate_instance_in_group(&members[0], keep).unwrap_err();
    assert_eq!(
        stranger.message(),
        format!(
            "Instance Id not found - No managed instance found for instance ID: {}",
            members[0]
        )
    );
}

#[test]
fn suspended_processes_do_not_run() {
    let mut world = world();
    group(&mut world, 1, &["a"], Vec::new());
    pass(&mut world, 30);
    let instance = in_service(&world).remove(0);
    world.suspend_processes("web", &[Process::ReplaceUnhealthy]).unwrap();
    world.fail_instance(&instance).unwrap();
    pass(&mut world, 300);
    assert_eq!(in_service(&world), std::slice::from_ref(&instance));
    world.resume_processes("web", &[]).unwrap();
    pass(&mut world, 300);
    assert_eq!(in_service(&world).len(), 1);
    assert_eq!(lifecycle(&world, &instance), None);
}

#[test]
fn a_group_with_instances_is_deleted_by_force_only_and_takes_them_along() {
    let mut world = world();
    let hooks = vec![hook("leave", Transition::Terminating)];
    group(&mut world, 2, &["a"], hooks);
    pass(&mut world, 30);
    let members = in_service(&world);
    assert_eq!(world.delete_group("web", false).unwrap_err().code(), "ResourceInUse");
    world.delete_group("web", true).unwrap();
    pass(&mut world, 120);
    assert_eq!(world.group("web").unwrap_err().code(), "ValidationError");
    assert!(members.iter().all(|it| state(&world, it) == InstanceState::Terminated));
}

#[test]
fn one_seed_gives_one_history_and_a_clone_goes_on_alike() {
    let history = |world: &mut World| {
        pass(world, 400);
        world.drain_happenings()
    };
    let start = || {
        let mut world = world();
        group(&mut world, 3, &["a", "b"], Vec::new());
        pass(&mut world, 30);
        let failed = in_service(&world).remove(0);
        world.fail_instance(&failed).unwrap();
        world
    };
    let (mut first, mut second) = (start(), start());
    let mut fork = first.clone();
    let told = history(&mut first);
    assert!(told.len() > 20);
    assert_eq!(told, history(&mut second));
    assert_eq!(told, history(&mut fork));
}

#[test]
fn speed_shortens_what_the_cloud_takes_its_time_over() {
    let mut world = with(Config { speed: 10.0, ..Default::default() });
    group(&mut world, 3, &["a", "b"], Vec::new());
    pass(&mut world, 2);
    assert_eq!(in_service(&world).len(), 3);
}
