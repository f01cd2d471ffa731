//! Replacements that launch first: the maintenance policy, and zones that are evened out.

use local_cloud::world::{
    DesiredCapacity, GroupChange, InstanceState, LifecycleState, MaintenanceChange,
    MaintenancePolicy, Process, Transition, World,
};

use crate::staging::{
    answer, group, hook, in_service, lifecycle, pass, state, until, waiting, world,
};

fn maintained(size: u32, min_healthy: u32, max_healthy: u32) -> World {
    let mut world = world();
    group(&mut world, size, &["a"], Vec::new());
    let policy = MaintenancePolicy { min_healthy, max_healthy };
    let change =
        GroupChange { maintenance: Some(MaintenanceChange::Set(policy)), ..GroupChange::default() };
    world.update_group("web", change).unwrap();
    pass(&mut world, 60);
    assert_eq!(in_service(&world).len(), size as usize);
    world
}

fn zone_of(world: &World, instance: &str) -> String {
    world.instance(instance).unwrap().zone.clone()
}

fn zones(names: &[&str]) -> GroupChange {
    let zones = names.iter().map(|zone| format!("eu-central-1{zone}")).collect();
    GroupChange { zones: Some(zones), ..GroupChange::default() }
}

#[test]
fn with_a_full_floor_a_failed_instance_stays_until_its_replacement_is_in_service() {
    let mut world = maintained(2, 100, 200);
    world.put_lifecycle_hook("web", hook("join", Transition::Launching)).unwrap();
    let failed = in_service(&world).remove(0);
    world.fail_instance(&failed).unwrap();
    let pending = LifecycleState::PendingWait;
    until(&mut world, "the replacement", |it| waiting(it, pending).len() == 1);
    pass(&mut world, 120);
    assert_eq!(lifecycle(&world, &failed), Some(LifecycleState::InService));
    assert_eq!(world.instances().count(), 3, "one replacement and no more");
    let replacement = waiting(&world, pending).remove(0);
    answer(&mut world, "join", &replacement, local_cloud::world::LifecycleResult::Continue)
        .unwrap();
    until(&mut world, "replaced", |it| lifecycle(it, &failed) != Some(LifecycleState::InService));
    assert!(in_service(&world).contains(&replacement));
    pass(&mut world, 120);
    assert_eq!(state(&world, &failed), InstanceState::Terminated);
    assert_eq!(in_service(&world).len(), 2);
}

#[test]
fn more_fail_than_the_ceiling_has_room_for_and_they_go_one_after_the_other() {
    let mut world = maintained(3, 100, 110);
    for failed in in_service(&world) {
        world.fail_instance(&failed).unwrap();
    }
    let mut most = 0;
    for _ in 0..600 {
        pass(&mut world, 1);
        most = most.max(world.group("web").unwrap().capacity());
        assert!(in_service(&world).len() >= 3);
    }
    assert_eq!(most, 4);
    assert_eq!(world.instances().filter(|it| it.state == InstanceState::Running).count(), 3);
    assert_eq!(world.instances().count(), 6);
}

#[test]
fn a_floor_that_leaves_room_terminates_first() {
    let mut world = maintained(2, 50, 150);
    let failed = in_service(&world).remove(0);
    world.fail_instance(&failed).unwrap();
    until(&mut world, "leaving", |it| lifecycle(it, &failed).unwrap().is_leaving());
    assert_eq!(world.instances().count(), 2, "nothing was launched before");
}

#[test]
fn what_ec2_terminated_is_not_waited_with() {
    let mut world = maintained(1, 100, 200);
    let gone = in_service(&world).remove(0);
    world.terminate_by_hand(&gone).unwrap();
    until(&mut world, "leaving", |it| lifecycle(it, &gone).is_none_or(LifecycleState::is_leaving));
    assert_eq!(world.instances().count(), 1);
}

#[test]
fn percentages_outside_their_bounds_are_refused() {
    for (min, max) in [(101, 110), (50, 99), (50, 201), (50, 151), (-1, 100), (100, -1)] {
        let refused = MaintenanceChange::parse(min, max).unwrap_err();
        assert_eq!(refused.code(), "ValidationError", "{min} {max}");
    }
    assert_eq!(MaintenanceChange::parse(-1, -1).unwrap(), MaintenanceChange::Cleared);
}

#[test]
fn a_new_zone_gets_its_share_and_launches_come_first() {
    let mut world = world();
    group(&mut world, 4, &["a"], Vec::new());
    pass(&mut world, 60);
    let old = in_service(&world);
    world.update_group("web", zones(&["a", "b"])).unwrap();
    let mut fewest = usize::MAX;
    for _ in 0..600 {
        pass(&mut world, 1);
        fewest = fewest.min(in_service(&world).len());
    }
    assert_eq!(fewest, 4, "it launched before it terminated");
    let now = in_service(&world);
    let in_b = now.iter().filter(|it| zone_of(&world, it).ends_with('b')).count();
    assert_eq!((now.len(), in_b), (4, 2));
    assert_eq!(old.iter().filter(|it| now.contains(it)).count(), 2, "no more than had to");
}

#[test]
fn rebalancing_exceeds_the_maximum_by_one_and_no_more() {
    let mut world = world();
    group(&mut world, 4, &["a"], Vec::new());
    let full = GroupChange { max_size: Some(4), ..GroupChange::default() };
    world.update_group("web", full).unwrap();
    pass(&mut world, 60);
    world.update_group("web", zones(&["b"])).unwrap();
    let mut most = 0;
    for _ in 0..900 {
        pass(&mut world, 1);
        most = most.max(world.group("web").unwrap().capacity());
    }
    assert_eq!(most, 5);
    assert!(in_service(&world).iter().all(|it| zone_of(&world, it).ends_with('b')));
}

#[test]
fn a_zone_that_lost_instances_gets_them_back() {
    let mut world = world();
    group(&mut world, 4, &["a", "b"], Vec::new());
    pass(&mut world, 60);
    let in_a: Vec<String> =
        in_service(&world).into_iter().filter(|it| zone_of(&world, it).ends_with('a')).collect();
    world.detach_instances("web", &in_a, DesiredCapacity::Decremented).unwrap();
    pass(&mut world, 300);
    let zones: Vec<String> = in_service(&world).iter().map(|it| zone_of(&world, it)).collect();
    assert_eq!(zones.len(), 2);
    assert_ne!(zones[0], zones[1]);
}

#[test]
fn suspended_rebalancing_leaves_the_zones_as_they_are() {
    let mut world = world();
    group(&mut world, 2, &["a"], Vec::new());
    pass(&mut world, 60);
    let old = in_service(&world);
    world.suspend_processes("web", &[Process::AzRebalance]).unwrap();
    world.update_group("web", zones(&["b"])).unwrap();
    pass(&mut world, 600);
    assert_eq!(in_service(&world), old);
    world.resume_processes("web", &[Process::AzRebalance]).unwrap();
    pass(&mut world, 600);
    assert!(in_service(&world).iter().all(|it| !old.contains(it)));
}
