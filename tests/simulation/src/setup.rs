//! The world at the beginning: groups with their hooks, and volumes of their pools.

use std::collections::BTreeMap;

use local_cloud::stage::Stage;
use local_cloud::world::{
    ApiError, CreateGroup, CreateVolume, GroupChange, GroupTag, HookSpecification, IMAGE,
    LaunchSpecification, TemplateReference, Transition, VolumeSpecification,
};

use crate::plan::Plan;

/// Builds the world that a plan asks for.
pub(crate) fn build(stage: &mut Stage, plan: &Plan) -> Result<(), String> {
    let zone = "eu-central-1a";
    for _ in 0..plan.size {
        tagged_volume(stage, zone).map_err(|error| error.to_string())?;
    }
    group(stage, plan, zone).map_err(|error| error.to_string())
}

fn tagged_volume(stage: &Stage, zone: &str) -> Result<(), ApiError> {
    let specification = VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    };
    let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]);
    let request = CreateVolume { zone: zone.to_owned(), specification, tags, client_token: None };
    stage.cloud.world().create_volume(request).map(drop)
}

fn hooks(metadata: &str) -> Vec<HookSpecification> {
    let hook = |name: &str, transition, metadata: Option<&str>| HookSpecification {
        name: name.to_owned(),
        transition: Some(transition),
        metadata: metadata.map(str::to_owned),
        heartbeat_timeout: Some(300),
        default_result: None,
    };
    vec![
        hook("stateful-asg-launch", Transition::Launching, Some(metadata)),
        hook("stateful-asg-terminate", Transition::Terminating, None),
    ]
}

fn group(stage: &Stage, plan: &Plan, zone: &str) -> Result<(), ApiError> {
    let specification = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    };
    let name = "cassandra";
    let mut world = stage.cloud.world();
    let template = world.create_launch_template(name, None, specification, BTreeMap::new())?;
    let change = GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..TemplateReference::default() }),
        min_size: Some(0),
        max_size: Some(plan.size + 2),
        desired_capacity: Some(plan.size),
        zones: Some(vec![zone.to_owned()]),
        health_check_grace_period: Some(0),
        ..GroupChange::default()
    };
    let tag = GroupTag { value: "cassandra".to_owned(), propagate_at_launch: false };
    let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), tag)]);
    let hooks = hooks(&plan.policy);
    world.create_group(CreateGroup { name: name.to_owned(), change, tags, hooks })
}
