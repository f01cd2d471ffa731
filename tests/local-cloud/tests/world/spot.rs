//! Spot: warnings, the end two minutes later, and groups that rebalance their capacity.

use local_cloud::world::{
    GroupChange, InstanceState, LaunchSpecification, LifecycleState, Market, Tags,
    TemplateReference, Transition, World,
};

use crate::staging::{
    group, hook, in_service, lifecycle, pass, running, specification, state, until, world,
};

/// A group of one Spot instance in service.
fn spot(capacity_rebalance: bool) -> (World, String) {
    let mut world = world();
    group(&mut world, 0, &["a"], vec![hook("leave", Transition::Terminating)]);
    let specification = LaunchSpecification { market: Market::Spot, ..specification() };
    let template = world.create_launch_template("spot", None, specification, Tags::new()).unwrap();
    let change = GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..Default::default() }),
        desired_capacity: Some(1),
        capacity_rebalance: Some(capacity_rebalance),
        ..GroupChange::default()
    };
    world.update_group("web", change).unwrap();
    pass(&mut world, 60);
    world.drain_events();
    let instance = in_service(&world).remove(0);
    (world, instance)
}

#[test]
fn an_interruption_is_told_of_and_comes_two_minutes_later_whatever_hooks_say() {
    let (mut world, instance) = spot(false);
    world.interrupt_spot(&instance).unwrap();
    let event = world.drain_events().remove(0);
    assert_eq!(event.detail_type, "EC2 Spot Instance Interruption Warning");
    assert_eq!(event.body["source"], "aws.ec2");
    assert_eq!(event.body["detail"]["instance-id"], instance);
    assert_eq!(event.body["detail"]["instance-action"], "terminate");
    pass(&mut world, 119);
    assert_eq!(lifecycle(&world, &instance), Some(LifecycleState::InService));
    assert_eq!(state(&world, &instance), InstanceState::Running);
    pass(&mut world, 1);
    assert_eq!(state(&world, &instance), InstanceState::ShuttingDown);
    let waiting = Some(LifecycleState::TerminatingWait);
    until(&mut world, "the hook", |it| lifecycle(it, &instance) == waiting);
    pass(&mut world, 60);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    assert_eq!(lifecycle(&world, &instance), waiting);
    assert_eq!(in_service(&world).len(), 1);
}

#[test]
fn with_capacity_rebalancing_the_hook_runs_at_the_warning() {
    let (mut world, instance) = spot(true);
    world.interrupt_spot(&instance).unwrap();
    let waiting = Some(LifecycleState::TerminatingWait);
    pass(&mut world, 30);
    assert_eq!(lifecycle(&world, &instance), waiting);
    assert_eq!(state(&world, &instance), InstanceState::Running);
    assert_eq!(in_service(&world).len(), 1, "replaced at once");
    pass(&mut world, 91);
    assert_ne!(state(&world, &instance), InstanceState::Running);
    assert_eq!(lifecycle(&world, &instance), waiting);
}

#[test]
fn capacity_rebalancing_launches_before_it_terminates() {
    let (mut world, instance) = spot(true);
    world.recommend_rebalance(&instance).unwrap();
    let detail_type = world.drain_events().remove(0).detail_type;
    assert_eq!(detail_type, "EC2 Instance Rebalance Recommendation");
    until(&mut world, "two in service", |it| in_service(it).len() == 2);
    until(&mut world, "leaving", |it| lifecycle(it, &instance).unwrap().is_leaving());
    pass(&mut world, 120);
    assert_eq!(in_service(&world).len(), 1);
}

#[test]
fn without_capacity_rebalancing_a_recommendation_changes_nothing() {
    let (mut world, instance) = spot(false);
    world.recommend_rebalance(&instance).unwrap();
    pass(&mut world, 300);
    assert_eq!(in_service(&world), std::slice::from_ref(&instance));
    assert_eq!(world.instances().count(), 1);
}

#[test]
fn only_running_spot_instances_are_interrupted_and_none_can_be_stopped() {
    let (mut world, instance) = spot(false);
    let on_demand = running(&mut world, "a");
    let refused = world.interrupt_spot(&on_demand).unwrap_err();
    assert_eq!(refused.code(), "UnsupportedOperation");
    let refused = world.stop_instances(std::slice::from_ref(&instance)).unwrap_err();
    assert_eq!(refused.code(), "UnsupportedOperation");
    world.terminate_by_hand(&instance).unwrap();
    assert_eq!(world.interrupt_spot(&instance).unwrap_err().code(), "IncorrectState");
}
