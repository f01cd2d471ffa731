//! Lifecycle hooks: who waits for whom, how long, and what an answer does.

use std::time::Duration;

use local_cloud::world::{
    ActionName, Config, Filesystem, HookSpecification, InstanceState, LifecycleResult,
    LifecycleState, PlacesInEvents, SeveralHooks, StopWhileTerminating, Transition, World,
};

use crate::staging::{
    answer, group, hook, in_service, lifecycle, lifecycle_events, new_volume, pass, state, until,
    waiting, with, world,
};

const LAUNCH: &str = "EC2 Instance-launch Lifecycle Action";
const TERMINATE: &str = "EC2 Instance-terminate Lifecycle Action";

fn pending(world: &mut World) -> String {
    until(world, "Pending:Wait", |it| !waiting(it, LifecycleState::PendingWait).is_empty());
    waiting(world, LifecycleState::PendingWait).remove(0)
}

#[test]
fn a_launch_waits_for_its_hook_while_ec2_still_shows_pending() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    assert_eq!(state(&world, &instance), InstanceState::Pending);
    answer(&mut world, "join", &instance, LifecycleResult::Continue).unwrap();
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::PendingProceed));
    until(&mut world, "in service", |world| in_service(world).len() == 1);
    assert_eq!(state(&world, &instance), InstanceState::Running);
}

#[test]
fn the_launch_event_has_the_envelope_that_eventbridge_sends() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    let event = lifecycle_events(&mut world, LAUNCH).remove(0);
    let body = event.body;
    assert_eq!(body["version"], "0");
    assert_eq!(body["source"], "aws.autoscaling");
    assert_eq!(body["detail-type"], LAUNCH);
    assert_eq!(body["region"], "eu-central-1");
    assert_eq!(body["resources"][0], world.group("web").unwrap().arn);
    assert_eq!(body["time"].as_str().unwrap().len(), "2026-11-23T21:30:00Z".len());
    let detail = &body["detail"];
    assert_eq!(detail["EC2InstanceId"], instance);
    assert_eq!(detail["AutoScalingGroupName"], "web");
    assert_eq!(detail["LifecycleHookName"], "join");
    assert_eq!(detail["LifecycleTransition"], "autoscaling:EC2_INSTANCE_LAUNCHING");
    assert_eq!(detail["NotificationMetadata"], "{\"pool\":\"join\"}");
    assert_eq!(detail["Origin"], "EC2");
    assert_eq!(detail["Destination"], "AutoScalingGroup");
    let token = detail["LifecycleActionToken"].as_str().unwrap();
    assert_eq!(token.len(), 36);
    let name = ActionName { token: Some(token), ..ActionName::default() };
    world.complete_lifecycle_action("web", "join", name, LifecycleResult::Continue).unwrap();
    let again = world
        .complete_lifecycle_action("web", "join", name, LifecycleResult::Continue)
        .unwrap_err();
    assert_eq!(again.code(), "ValidationError");
    assert_eq!(again.message(), format!("No active Lifecycle Action found with token {token}"));
}

#[test]
fn every_hook_has_to_continue_before_the_instance_does() {
    let mut world = world();
    let hooks = vec![hook("one", Transition::Launching), hook("two", Transition::Launching)];
    group(&mut world, 1, &["a"], hooks);
    let instance = pending(&mut world);
    answer(&mut world, "two", &instance, LifecycleResult::Continue).unwrap();
    let twice = answer(&mut world, "two", &instance, LifecycleResult::Continue).unwrap_err();
    assert_eq!(
        twice.message(),
        format!("No active Lifecycle Action found with instance ID {instance}")
    );
    pass(&mut world, 30);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::PendingWait));
    answer(&mut world, "one", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 10);
    assert_eq!(in_service(&world), [instance]);
}

#[test]
fn an_abandoned_launch_is_terminated_and_replaced() {
    let mut world = world();
    let hooks = vec![hook("one", Transition::Launching), hook("two", Transition::Launching)];
    group(&mut world, 1, &["a"], hooks);
    let first = pending(&mut world);
    answer(&mut world, "one", &first, LifecycleResult::Abandon).unwrap();
    answer(&mut world, "two", &first, LifecycleResult::Continue).unwrap_err();
    let second = pending(&mut world);
    assert_ne!(first, second);
    pass(&mut world, 60);
    assert_eq!(state(&world, &first), InstanceState::Terminated);
    assert_eq!(lifecycle(&world, &first), None);
}

#[test]
fn launches_that_fail_in_a_row_come_slower() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let mut launched = Vec::new();
    for _ in 0..4 {
        let instance = pending(&mut world);
        launched.push(world.now());
        answer(&mut world, "join", &instance, LifecycleResult::Abandon).unwrap();
    }
    let first = launched[1].since(launched[0]);
    let last = launched[3].since(launched[2]);
    assert!(first < Duration::from_secs(10), "{first:?}");
    assert!(last > Duration::from_secs(25), "{last:?}");
}

#[test]
fn a_silent_hook_times_out_with_its_default_result() {
    let mut world = world();
    let silent = HookSpecification {
        default_result: Some(LifecycleResult::Continue),
        ..hook("join", Transition::Launching)
    };
    group(&mut world, 1, &["a"], vec![silent]);
    let instance = pending(&mut world);
    pass(&mut world, 299);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::PendingWait));
    pass(&mut world, 5);
    assert_eq!(in_service(&world), [instance]);
}

#[test]
fn heartbeats_restart_the_timeout_until_the_global_one() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    let began = world.actions().next().unwrap().started_at;
    let name = ActionName { instance: Some(&instance), ..ActionName::default() };
    let mut beats = 0;
    while lifecycle(&world, &instance) == Some(LifecycleState::PendingWait) {
        pass(&mut world, 200);
        if world.record_lifecycle_action_heartbeat("web", "join", name).is_ok() {
            beats += 1;
        }
        assert!(beats < 200, "the global timeout never came");
    }
    assert_eq!(beats, 149, "100 times 300 seconds, in steps of 200");
    assert!(world.now().since(began) >= Duration::from_mins(500));
}

#[test]
fn a_termination_waits_for_its_hooks_and_its_replacement_does_not() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
    pass(&mut world, 30);
    let old = in_service(&world).remove(0);
    world.fail_instance(&old).unwrap();
    until(&mut world, "replaced", |world| {
        in_service(world).iter().any(|instance| *instance != old)
    });
    assert_eq!(lifecycle(&world, &old), Some(LifecycleState::TerminatingWait));
    assert_eq!(state(&world, &old), InstanceState::Running);
    let event = lifecycle_events(&mut world, TERMINATE).remove(0);
    assert_eq!(event.body["detail"]["Origin"], "AutoScalingGroup");
    assert_eq!(event.body["detail"]["Destination"], "EC2");
    // Someone stops it meanwhile, as leave mode `stop` does: its group does not mind.
    world.stop_instances(std::slice::from_ref(&old)).unwrap();
    pass(&mut world, 70);
    assert_eq!(lifecycle(&world, &old), Some(LifecycleState::TerminatingWait));
    answer(&mut world, "leave", &old, LifecycleResult::Continue).unwrap();
    pass(&mut world, 60);
    assert_eq!(lifecycle(&world, &old), None);
    assert_eq!(state(&world, &old), InstanceState::Terminated);
    assert_eq!(in_service(&world).len(), 1);
}

#[test]
fn an_abandoned_termination_skips_the_remaining_hooks() {
    let mut world = world();
    let hooks = vec![hook("one", Transition::Terminating), hook("two", Transition::Terminating)];
    group(&mut world, 1, &["a"], hooks);
    pass(&mut world, 30);
    let old = in_service(&world).remove(0);
    world.fail_instance(&old).unwrap();
    until(&mut world, "waiting", |world| {
        lifecycle(world, &old) == Some(LifecycleState::TerminatingWait)
    });
    answer(&mut world, "one", &old, LifecycleResult::Abandon).unwrap();
    assert_eq!(lifecycle(&world, &old), Some(LifecycleState::TerminatingProceed));
    assert_eq!(world.actions().count(), 0);
}

#[test]
fn terminate_hooks_run_even_for_an_instance_that_was_terminated_by_hand() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
    pass(&mut world, 30);
    let old = in_service(&world).remove(0);
    world.terminate_by_hand(&old).unwrap();
    until(&mut world, "waiting", |world| {
        lifecycle(world, &old) == Some(LifecycleState::TerminatingWait)
    });
    assert_ne!(state(&world, &old), InstanceState::Running);
    pass(&mut world, 60);
    assert_eq!(in_service(&world).len(), 1, "the replacement did not wait");
    answer(&mut world, "leave", &old, LifecycleResult::Continue).unwrap();
    pass(&mut world, 5);
    assert_eq!(lifecycle(&world, &old), None);
}

#[test]
fn an_instance_that_goes_while_it_launches_is_replaced() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let first = pending(&mut world);
    world.terminate_by_hand(&first).unwrap();
    until(&mut world, "noticed", |world| {
        lifecycle(world, &first) != Some(LifecycleState::PendingWait)
    });
    answer(&mut world, "join", &first, LifecycleResult::Continue).unwrap_err();
    let second = pending(&mut world);
    assert_ne!(first, second);
}

#[test]
fn deleting_a_hook_answers_what_waits_for_it() {
    let mut world = world();
    let hooks = vec![hook("join", Transition::Launching), hook("leave", Transition::Terminating)];
    group(&mut world, 1, &["a"], hooks);
    let launching = pending(&mut world);
    world.delete_lifecycle_hook("web", "join").unwrap();
    assert!(lifecycle(&world, &launching).unwrap().is_leaving());
    until(&mut world, "leaving", |world| {
        lifecycle(world, &launching) == Some(LifecycleState::TerminatingWait)
    });
    world.delete_lifecycle_hook("web", "leave").unwrap();
    assert_eq!(lifecycle(&world, &launching), Some(LifecycleState::TerminatingProceed));
    assert_eq!(world.delete_lifecycle_hook("web", "leave").unwrap_err().code(), "ValidationError");
}

#[test]
fn hooks_outside_auto_scalings_limits_are_refused() {
    let mut world = world();
    group(&mut world, 0, &["a"], Vec::new());
    let bad = [
        HookSpecification { heartbeat_timeout: Some(5), ..hook("x", Transition::Launching) },
        HookSpecification { heartbeat_timeout: Some(7_201), ..hook("x", Transition::Launching) },
        HookSpecification { metadata: Some("ä".to_owned()), ..hook("x", Transition::Launching) },
        HookSpecification { metadata: Some("x".repeat(4_001)), ..hook("x", Transition::Launching) },
        HookSpecification { transition: None, ..hook("x", Transition::Launching) },
        hook("no spaces", Transition::Launching),
    ];
    for specification in bad {
        let refused = world.put_lifecycle_hook("web", specification.clone()).unwrap_err();
        assert_eq!(refused.code(), "ValidationError", "{specification:?}");
    }
    world.put_lifecycle_hook("web", hook("x", Transition::Launching)).unwrap();
    let update = HookSpecification { name: "x".to_owned(), ..HookSpecification::default() };
    world.put_lifecycle_hook("web", update).unwrap();
    let kept = world.describe_lifecycle_hooks("web", &[]).unwrap().remove(0);
    assert_eq!((kept.heartbeat_timeout, kept.global_timeout()), (300, 30_000));
}

#[test]
fn a_workload_mounts_what_its_instance_has_once_it_is_in_service() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    let volume = new_volume(&mut world, "a");
    pass(&mut world, 15);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 30);
    let mounted = |world: &World| {
        let filesystem = world.attachment(&volume, &instance).unwrap().filesystem;
        filesystem == Filesystem::Mounted
    };
    assert!(!mounted(&world));
    answer(&mut world, "join", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 10);
    assert!(mounted(&world));
}

#[test]
fn an_action_can_be_late_to_be_found_while_the_instance_waits_already() {
    let late_actions = Some(Duration::from_secs(2));
    let mut world = with(Config { late_actions, ..Config::default() });
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    let early = answer(&mut world, "join", &instance, LifecycleResult::Continue).unwrap_err();
    assert!(early.message().starts_with("No active Lifecycle Action found"));
    pass(&mut world, 2);
    answer(&mut world, "join", &instance, LifecycleResult::Continue).unwrap();
}

#[test]
fn an_action_is_completed_by_the_groups_arn_as_well() {
    let mut world = world();
    group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
    let instance = pending(&mut world);
    let arn = world.group("web").unwrap().arn.clone();
    let name = ActionName { instance: Some(&instance), ..ActionName::default() };
    world.complete_lifecycle_action(&arn, "join", name, LifecycleResult::Continue).unwrap();
    assert_eq!(world.set_desired_capacity(&arn, 2).unwrap_err().code(), "ValidationError");
}

#[test]
fn twenty_launches_wait_at_once_each_with_a_token_of_its_own() {
    let mut world = world();
    group(&mut world, 20, &["a"], vec![hook("join", Transition::Launching)]);
    until(&mut world, "all wait", |it| waiting(it, LifecycleState::PendingWait).len() == 20);
    assert!(world.instances().all(|it| it.state == InstanceState::Pending));
    let mut tokens: Vec<String> = lifecycle_events(&mut world, LAUNCH)
        .iter()
        .map(|event| event.body["detail"]["LifecycleActionToken"].to_string())
        .collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 20);
}

#[test]
fn several_hooks_can_be_set_to_wait_one_by_one() {
    let mut world = with(Config { several_hooks: SeveralHooks::OneByOne, ..Config::default() });
    let hooks = ["a", "b"].map(|name| hook(name, Transition::Launching)).to_vec();
    group(&mut world, 1, &["a"], hooks);
    let instance = pending(&mut world);
    answer(&mut world, "b", &instance, LifecycleResult::Continue).unwrap_err();
    answer(&mut world, "a", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 10);
    assert_eq!(waiting(&world, LifecycleState::PendingWait).len(), 1);
    answer(&mut world, "b", &instance, LifecycleResult::Continue).unwrap();
    pass(&mut world, 20);
    assert_eq!(waiting(&world, LifecycleState::InService).len(), 1);
}

#[test]
fn an_instance_can_be_set_not_to_be_stopped_while_its_terminate_hooks_wait() {
    for (setting, expected) in
        [(StopWhileTerminating::Accepted, true), (StopWhileTerminating::Refused, false)]
    {
        let mut world = with(Config { stop_while_terminating: setting, ..Config::default() });
        group(&mut world, 1, &["a"], vec![hook("leave", Transition::Terminating)]);
        until(&mut world, "in service", |it| waiting(it, LifecycleState::InService).len() == 1);
        let instance = waiting(&world, LifecycleState::InService).remove(0);
        world.fail_instance(&instance).unwrap();
        until(&mut world, "leaving", |it| waiting(it, LifecycleState::TerminatingWait).len() == 1);
        assert_eq!(world.stop_instances(&[instance]).is_ok(), expected, "{setting:?}");
    }
}

#[test]
fn events_can_be_set_to_say_where_from_and_where_to_with_warm_pools_only() {
    for setting in [PlacesInEvents::Always, PlacesInEvents::WithWarmPools] {
        let mut world = with(Config { places_in_events: setting, ..Config::default() });
        group(&mut world, 1, &["a"], vec![hook("join", Transition::Launching)]);
        pending(&mut world);
        let event = lifecycle_events(&mut world, LAUNCH).remove(0);
        let told = event.body["detail"]["Origin"] == "EC2";
        assert_eq!(told, setting == PlacesInEvents::Always, "{setting:?}");
    }
}
