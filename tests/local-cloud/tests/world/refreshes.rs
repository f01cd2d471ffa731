//! Instance refreshes: in which order and how many at a time, what they leave alone, and how they end.

use local_cloud::world::{
    CloudEvent, DesiredCapacity, Exempt, GroupChange, InstanceState, LifecycleResult,
    LifecycleState, MaintenanceChange, MaintenancePolicy, PageRequest, Process, RefreshPreferences,
    RefreshStatus, RefreshView, ScaleIn, TemplateReference, Transition, WarmPoolChange, World,
};

use crate::staging::{
    answer, group, hook, in_service, lifecycle, lifecycle_events, pass, specification, state,
    until, waiting, world,
};

/// A group of so many in service, with these hooks from then on.
fn serving(size: u32) -> World {
    let mut world = world();
    group(&mut world, size, &["a", "b"], Vec::new());
    pass(&mut world, 60);
    assert_eq!(in_service(&world).len(), size as usize);
    world.drain_events();
    world
}

fn within(min_healthy: u32, max_healthy: u32) -> RefreshPreferences {
    RefreshPreferences {
        min_healthy: Some(min_healthy),
        max_healthy: Some(max_healthy),
        ..RefreshPreferences::default()
    }
}

fn latest(world: &World) -> RefreshView {
    let found = world.describe_instance_refreshes("web", &[], &PageRequest::default()).unwrap();
    found.items.into_iter().next().unwrap()
}

fn status(world: &World) -> RefreshStatus {
    latest(world).refresh.status
}

/// What a group's numbers came to while its refresh was at work: the fewest in service, and the most that counted.
fn refreshed(world: &mut World) -> (usize, usize) {
    let (mut fewest, mut most) = (usize::MAX, 0);
    for _ in 0..2 * 3_600 {
        if !status(world).is_active() {
            return (fewest, most);
        }
        pass(world, 1);
        fewest = fewest.min(in_service(world).len());
        most = most.max(world.group("web").unwrap().capacity());
    }
    panic!("the refresh never ends: {:?}", latest(world));
}

#[test]
fn with_a_minimum_of_nothing_all_are_terminated_first_and_replaced_at_once() {
    let mut world = serving(4);
    let old = in_service(&world);
    world.start_instance_refresh("web", within(0, 100)).unwrap();
    assert_eq!(status(&world), RefreshStatus::Pending);
    assert_eq!(refreshed(&mut world), (0, 4));
    assert_eq!(status(&world), RefreshStatus::Successful);
    let new = in_service(&world);
    assert_eq!(new.len(), 4);
    assert!(old.iter().all(|it| !new.contains(it)));
    assert!(old.iter().all(|it| state(&world, it) == InstanceState::Terminated));
    assert_eq!(world.instances().count(), 8, "each was replaced once");
}

#[test]
fn with_room_above_what_is_wanted_each_stays_until_its_replacement_has_come() {
    for (max, most) in [(200, 8), (150, 6), (110, 5), (100, 5)] {
        let mut world = serving(4);
        let old = in_service(&world);
        world.start_instance_refresh("web", within(100, max)).unwrap();
        assert_eq!(refreshed(&mut world), (4, most), "{max} percent");
        assert_eq!(status(&world), RefreshStatus::Successful);
        pass(&mut world, 60);
        let new = in_service(&world);
        assert_eq!(new.len(), 4);
        assert!(old.iter().all(|it| !new.contains(it)));
        assert_eq!(world.instances().count(), 8, "each was replaced once");
    }
}

#[test]
fn the_usual_minimum_lets_one_of_few_go_at_a_time_and_the_groups_own_policy_goes_before_it() {
    let mut world = serving(3);
    world.start_instance_refresh("web", RefreshPreferences::default()).unwrap();
    assert_eq!(refreshed(&mut world), (2, 3));

    let policy = MaintenancePolicy { min_healthy: 100, max_healthy: 200 };
    let maintenance = Some(MaintenanceChange::Set(policy));
    world.update_group("web", GroupChange { maintenance, ..GroupChange::default() }).unwrap();
    world.start_instance_refresh("web", RefreshPreferences::default()).unwrap();
    assert_eq!(refreshed(&mut world), (3, 6));
}

/// A group of one whose refresh has brought it to wait for both hooks: the old instance and the new one.
fn both_wait() -> (World, String, String) {
    let mut world = serving(1);
    world.put_lifecycle_hook("web", hook("join", Transition::Launching)).unwrap();
    world.put_lifecycle_hook("web", hook("leave", Transition::Terminating)).unwrap();
    world.start_instance_refresh("web", within(0, 100)).unwrap();
    let (launching, leaving) = (LifecycleState::PendingWait, LifecycleState::TerminatingWait);
    until(&mut world, "both wait", |it| {
        waiting(it, launching).len() == 1 && waiting(it, leaving).len() == 1
    });
    let (old, new) = (waiting(&world, leaving).remove(0), waiting(&world, launching).remove(0));
    (world, old, new)
}

#[test]
fn launch_and_terminate_hooks_run_as_for_any_launch_and_termination() {
    let (mut world, _, _) = both_wait();
    let path = |event: &CloudEvent| {
        let detail = &event.body["detail"];
        ["Origin", "Destination"].map(|field| detail[field].as_str().unwrap().to_owned())
    };
    let events = world.drain_events();
    let of = |kind: &str| events.iter().find(|it| it.detail_type == kind).map(path).unwrap();
    assert_eq!(of("EC2 Instance-terminate Lifecycle Action"), ["AutoScalingGroup", "EC2"]);
    assert_eq!(of("EC2 Instance-launch Lifecycle Action"), ["EC2", "AutoScalingGroup"]);
}

#[test]
fn a_refresh_waits_for_the_hooks_of_the_old_instance_and_of_the_new_one() {
    for new_first in [true, false] {
        let (mut world, old, new) = both_wait();
        let mut hooks = [("leave", &old), ("join", &new)];
        if new_first {
            hooks.reverse();
        }
        for (hook, instance) in hooks {
            assert_eq!(status(&world), RefreshStatus::InProgress, "before {hook} is answered");
            answer(&mut world, hook, instance, LifecycleResult::Continue).unwrap();
            pass(&mut world, 120);
        }
        assert_eq!(status(&world), RefreshStatus::Successful);
        let kind = "EC2 Auto Scaling Instance Refresh Succeeded";
        let told = lifecycle_events(&mut world, kind);
        assert_eq!(told[0].body["detail"]["AutoScalingGroupName"], "web");
    }
}

#[test]
fn a_cancelled_refresh_waits_for_the_hooks_too() {
    for new_first in [true, false] {
        let (mut world, old, new) = both_wait();
        world.cancel_instance_refresh("web").unwrap();
        let mut hooks = [("leave", &old), ("join", &new)];
        if new_first {
            hooks.reverse();
        }
        for (hook, instance) in hooks {
            assert_eq!(status(&world), RefreshStatus::Cancelling, "before {hook} is answered");
            answer(&mut world, hook, instance, LifecycleResult::Continue).unwrap();
            pass(&mut world, 120);
        }
        assert_eq!(status(&world), RefreshStatus::Cancelled);
    }
}

#[test]
fn a_replacement_that_warms_up_does_not_count_yet() {
    let mut world = serving(2);
    let warming = RefreshPreferences { warmup: Some(300), ..within(100, 150) };
    world.start_instance_refresh("web", warming).unwrap();
    until(&mut world, "the first one has come", |it| in_service(it).len() == 3);
    pass(&mut world, 290);
    assert_eq!(in_service(&world).len(), 3, "nothing goes before the warm-up is over");
    let view = latest(&world);
    assert_eq!((view.to_update, view.percentage()), (2, 0));
    until(&mut world, "half of it", |it| latest(it).percentage() == 50);
    let (fewest, most) = refreshed(&mut world);
    assert_eq!((fewest, most, status(&world)), (2, 3, RefreshStatus::Successful));
    assert_eq!(latest(&world).percentage(), 100);
}

#[test]
fn instances_of_the_present_template_are_skipped_if_that_is_asked_for() {
    let mut world = serving(2);
    let skipping = RefreshPreferences { skips_matching: true, ..within(0, 100) };
    let old = in_service(&world);
    world.start_instance_refresh("web", skipping).unwrap();
    refreshed(&mut world);
    assert_eq!((in_service(&world), latest(&world).percentage()), (old.clone(), 100));

    let id = world.group("web").unwrap().template.id.clone();
    let newest = TemplateReference { id, name: None, version: Some("$Latest".to_owned()) };
    world.create_launch_template_version(&newest, None, specification()).unwrap();
    let change = GroupChange { template: Some(newest), ..GroupChange::default() };
    world.update_group("web", change).unwrap();
    world.set_desired_capacity("web", 3).unwrap();
    pass(&mut world, 60);
    let third = in_service(&world).into_iter().find(|it| !old.contains(it)).unwrap();
    world.start_instance_refresh("web", skipping).unwrap();
    refreshed(&mut world);
    let new = in_service(&world);
    assert!(new.contains(&third) && old.iter().all(|it| !new.contains(it)), "{old:?} {new:?}");
    assert_eq!(latest(&world).refresh.total, 2);
}

#[test]
fn there_is_one_refresh_at_a_time_and_a_cancelled_one_ends_what_it_began() {
    let mut world = serving(3);
    let old = in_service(&world);
    let refused = world.cancel_instance_refresh("web").unwrap_err();
    assert_eq!(refused.code(), "ActiveInstanceRefreshNotFound");
    let id = world.start_instance_refresh("web", within(100, 110)).unwrap();
    let refused = world.start_instance_refresh("web", within(0, 100)).unwrap_err();
    assert_eq!(refused.code(), "InstanceRefreshInProgress");
    until(&mut world, "a launch", |it| it.group("web").unwrap().capacity() == 4);
    assert_eq!(world.cancel_instance_refresh("web").unwrap(), id);
    assert_eq!(status(&world), RefreshStatus::Cancelling);
    until(&mut world, "cancelled", |it| status(it) == RefreshStatus::Cancelled);
    pass(&mut world, 300);
    let new = in_service(&world);
    assert_eq!(new.len(), 3);
    assert_eq!(old.iter().filter(|it| new.contains(it)).count(), 2, "the one it had begun");
    assert!(latest(&world).refresh.ended_at.is_some());
    world.start_instance_refresh("web", within(0, 100)).unwrap();
}

#[test]
fn once_cancelled_an_old_instance_whose_replacement_fails_stays() {
    let mut world = serving(1);
    let old = in_service(&world);
    world.put_lifecycle_hook("web", hook("join", Transition::Launching)).unwrap();
    world.start_instance_refresh("web", within(100, 200)).unwrap();
    let pending = LifecycleState::PendingWait;
    until(&mut world, "a replacement", |it| waiting(it, pending).len() == 1);
    world.cancel_instance_refresh("web").unwrap();
    pass(&mut world, 60);
    assert_eq!(status(&world), RefreshStatus::Cancelling, "its replacement may still come");
    let new = waiting(&world, pending).remove(0);
    answer(&mut world, "join", &new, LifecycleResult::Abandon).unwrap();
    until(&mut world, "cancelled", |it| status(it) == RefreshStatus::Cancelled);
    pass(&mut world, 300);
    assert_eq!(in_service(&world), old);
    assert_eq!(world.instances().count(), 2, "nothing more was launched");
}

#[test]
fn a_suspended_process_holds_a_refresh_up() {
    for process in [Process::InstanceRefresh, Process::Launch, Process::Terminate] {
        let mut world = serving(1);
        let old = in_service(&world);
        world.suspend_processes("web", &[process]).unwrap();
        world.start_instance_refresh("web", within(0, 100)).unwrap();
        pass(&mut world, 600);
        assert_eq!((in_service(&world), status(&world)), (old, RefreshStatus::InProgress));
        world.resume_processes("web", &[process]).unwrap();
        refreshed(&mut world);
        assert_eq!(status(&world), RefreshStatus::Successful);
    }
}

/// A group of two, one of which stands by.
fn one_stands_by() -> (World, String) {
    let mut world = serving(2);
    let away = in_service(&world).remove(0);
    let one = [away.clone()];
    world.enter_standby("web", &one, DesiredCapacity::Decremented).unwrap();
    pass(&mut world, 30);
    (world, away)
}

#[test]
fn instances_on_standby_are_waited_for_an_hour_left_alone_or_terminated() {
    let refresh = |standby| RefreshPreferences { standby, ..within(0, 100) };
    let (mut world, away) = one_stands_by();
    world.start_instance_refresh("web", refresh(Exempt::Ignore)).unwrap();
    refreshed(&mut world);
    assert_eq!(status(&world), RefreshStatus::Successful);
    assert_eq!(lifecycle(&world, &away), Some(LifecycleState::Standby));

    let (mut world, away) = one_stands_by();
    world.start_instance_refresh("web", refresh(Exempt::Replace)).unwrap();
    refreshed(&mut world);
    assert_eq!((status(&world), lifecycle(&world, &away)), (RefreshStatus::Successful, None));

    let (mut world, away) = one_stands_by();
    world.start_instance_refresh("web", refresh(Exempt::Wait)).unwrap();
    pass(&mut world, 3_000);
    assert_eq!(status(&world), RefreshStatus::InProgress);
    let mut helped = world.clone();
    pass(&mut world, 1_200);
    assert_eq!(status(&world), RefreshStatus::Failed);
    assert_eq!(lifecycle(&world, &away), Some(LifecycleState::Standby));

    helped.exit_standby("web", std::slice::from_ref(&away)).unwrap();
    refreshed(&mut helped);
    assert_eq!((status(&helped), lifecycle(&helped, &away)), (RefreshStatus::Successful, None));
    assert_eq!(in_service(&helped).len(), 2);
}

#[test]
fn instances_protected_from_scale_in_are_waited_for_left_alone_or_replaced() {
    for (protected, ends, replaced) in [
        (Exempt::Ignore, RefreshStatus::Successful, false),
        (Exempt::Replace, RefreshStatus::Successful, true),
        (Exempt::Wait, RefreshStatus::Failed, false),
    ] {
        let mut world = serving(0);
        let shielded = Some(ScaleIn::Protected);
        let change = GroupChange { new_instances: shielded, ..GroupChange::default() };
        world.update_group("web", change).unwrap();
        world.set_desired_capacity("web", 1).unwrap();
        pass(&mut world, 60);
        let old = in_service(&world);
        let refresh = RefreshPreferences { protected, ..within(0, 100) };
        world.start_instance_refresh("web", refresh).unwrap();
        refreshed(&mut world);
        assert_eq!(status(&world), ends, "{protected:?}");
        assert_eq!(in_service(&world) != old, replaced, "{protected:?}");
    }
}

#[test]
fn what_lies_in_the_warm_pool_is_replaced_too_and_never_put_into_service() {
    let mut world = serving(1);
    let pool =
        WarmPoolChange { min_size: Some(2), max_prepared: Some(2), ..WarmPoolChange::default() };
    world.put_warm_pool("web", pool).unwrap();
    pass(&mut world, 300);
    let served = in_service(&world);
    let old: Vec<String> = world.group("web").unwrap().members.keys().cloned().collect();
    assert_eq!(old.len(), 3);
    world.start_instance_refresh("web", within(0, 100)).unwrap();
    for _ in 0..600 {
        pass(&mut world, 1);
        let now = in_service(&world);
        assert!(now.iter().all(|it| served.contains(it) || !old.contains(it)));
    }
    assert_eq!(status(&world), RefreshStatus::Successful);
    let members = &world.group("web").unwrap().members;
    assert_eq!(members.len(), 3);
    assert!(old.iter().all(|it| !members.contains_key(it)));
}

#[test]
fn preferences_outside_their_bounds_are_refused() {
    let mut world = serving(0);
    let alone = RefreshPreferences { max_healthy: Some(150), ..RefreshPreferences::default() };
    for wrong in [alone, within(101, 110), within(50, 201), within(0, 101), within(50, 99)] {
        let refused = world.start_instance_refresh("web", wrong).unwrap_err();
        assert_eq!(refused.code(), "ValidationError", "{wrong:?}");
    }
    assert!(world.group("web").unwrap().refreshes.is_empty());
}
