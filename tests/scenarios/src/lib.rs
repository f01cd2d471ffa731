//! What the scenarios have in common: a stage with groups and volumes on it.

pub mod beyond_ec2;
pub mod history;
pub mod pool_size;
pub mod resting;
pub mod round_trips;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use futures_util::FutureExt;
use local_cloud::in_process::InProcess;
use local_cloud::stage::Stage;
use local_cloud::world::{
    ApiError, CommandFilter, CommandInvocation, Config, CreateGroup, CreateVolume, Document,
    DocumentEffect, GroupChange, GroupTag, HookSpecification, IMAGE, LaunchSpecification,
    LifecycleState, Market, PageRequest, RunInstances, TemplateReference, Transition,
    VolumeSpecification, World,
};
use volume_pool::Timestamp;

/// When every scenario begins.
pub const BEGIN: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// Long enough for every launch and replacement of a scenario.
pub const LONG: Duration = Duration::from_mins(30);
/// The only zone of scenarios with one zone.
pub const ZONE: &str = "eu-central-1a";

/// Leave mode `ssm`, by the document that every stage has.
pub const SSM: &str = r#"{"pool":"cassandra","leave":{"mode":"ssm","document":"drain"}}"#;

/// An empty stage, with the document `drain`, which unmounts every filesystem of its instance.
pub fn stage(seed: u64) -> Stage {
    let stage = Stage::new(Config { seed, ..Config::default() }, BEGIN);
    let drain = Document { effect: DocumentEffect::Unmounts, ..Document::default() };
    stage.cloud.world().put_document("drain", drain);
    stage
}

/// The commands that this instance was sent, as far as they show.
pub fn commands(stage: &Stage, instance: &str) -> Vec<CommandInvocation> {
    let filter = CommandFilter { instance: Some(instance), ..CommandFilter::default() };
    let found = stage.cloud.world().list_command_invocations(&filter, &PageRequest::default());
    found.map(|page| page.items).unwrap_or_default()
}

/// A volume with the pool's tag, available.
pub fn tagged_volume(stage: &Stage, zone: &str, tags: &[(&str, &str)]) -> Result<String, ApiError> {
    let mut tags: BTreeMap<String, String> =
        tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    tags.entry("stateful-asg:pool".to_owned()).or_insert_with(|| "cassandra".to_owned());
    volume_in(&stage.cloud, zone, tags)
}

fn volume_in(
    cloud: &InProcess,
    zone: &str,
    tags: BTreeMap<String, String>,
) -> Result<String, ApiError> {
    new_volume(&mut cloud.world(), zone, tags)
}

/// A volume of 10 GiB with these tags.
pub fn new_volume(
    world: &mut World,
    zone: &str,
    tags: BTreeMap<String, String>,
) -> Result<String, ApiError> {
    let specification = VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    };
    let request = CreateVolume { zone: zone.to_owned(), specification, tags, client_token: None };
    Ok(world.create_volume(request)?.id)
}

/// A group in one zone, with both hooks and this policy.
pub fn new_group(
    world: &mut World,
    name: &str,
    size: u32,
    zone: &str,
    policy: &str,
) -> Result<(), ApiError> {
    group_on(world, (name, size), &[zone], hooks(Some(policy)), Market::OnDemand)
}

/// Both hooks, the launch hook with this metadata.
pub fn hooks(metadata: Option<&str>) -> Vec<HookSpecification> {
    let hook = |name: &str, transition, metadata: Option<&str>| HookSpecification {
        name: name.to_owned(),
        transition: Some(transition),
        metadata: metadata.map(str::to_owned),
        heartbeat_timeout: Some(300),
        default_result: None,
    };
    vec![
        hook("stateful-asg-launch", Transition::Launching, metadata),
        hook("stateful-asg-terminate", Transition::Terminating, None),
    ]
}

/// A group of `size` instances over `zones`, with these hooks.
pub fn group(
    stage: &Stage,
    name: &str,
    size: u32,
    zones: &[&str],
    hooks: Vec<HookSpecification>,
) -> Result<(), ApiError> {
    group_of(stage, name, size, zones, hooks, Market::OnDemand)
}

/// The same, of instances that are bought so.
pub fn group_of(
    stage: &Stage,
    name: &str,
    size: u32,
    zones: &[&str],
    hooks: Vec<HookSpecification>,
    market: Market,
) -> Result<(), ApiError> {
    group_in(&stage.cloud, (name, size), zones, hooks, market)
}

fn group_in(
    cloud: &InProcess,
    (name, size): (&str, u32),
    zones: &[&str],
    hooks: Vec<HookSpecification>,
    market: Market,
) -> Result<(), ApiError> {
    group_on(&mut cloud.world(), (name, size), zones, hooks, market)
}

fn group_on(
    world: &mut World,
    (name, size): (&str, u32),
    zones: &[&str],
    hooks: Vec<HookSpecification>,
    market: Market,
) -> Result<(), ApiError> {
    let specification = LaunchSpecification { market, ..specification() };
    let template = world.create_launch_template(name, None, specification, BTreeMap::new())?;
    let change = GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..TemplateReference::default() }),
        min_size: Some(0),
        max_size: Some(size + 2),
        desired_capacity: Some(size),
        zones: Some(zones.iter().map(|zone| (*zone).to_owned()).collect()),
        health_check_grace_period: Some(0),
        ..GroupChange::default()
    };
    let pool = hooks.iter().find_map(|hook| pool_of(hook.metadata.as_deref()?));
    let value = pool.unwrap_or_else(|| "cassandra".to_owned());
    let tag = GroupTag { value, propagate_at_launch: false };
    let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), tag)]);
    world.create_group(CreateGroup { name: name.to_owned(), change, tags, hooks })
}

/// The pool that a policy names.
fn pool_of(policy: &str) -> Option<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    Some(policy.get("pool")?.as_str()?.to_owned())
}

/// What is ready at once, as every future of the door in process is.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, String> {
    future.now_or_never().ok_or_else(|| "a call is not answered at once".to_owned())
}

fn parsed<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| format!("{text}: {error}"))
}

/// A running instance of nobody's group, in the only zone.
pub fn stranger(stage: &mut Stage) -> Result<String, String> {
    let request = RunInstances {
        specification: specification(),
        min_count: 1,
        max_count: 1,
        zone: Some(ZONE.to_owned()),
        ..RunInstances::default()
    };
    let launched = stage.cloud.world().run_instances(request).map_err(|error| error.to_string())?;
    stage.run_for(Duration::from_secs(30))?;
    launched.first().map(|instance| instance.id.clone()).ok_or_else(|| "no instance".to_owned())
}

fn specification() -> LaunchSpecification {
    LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    }
}

/// A stage with one group of `size` in one zone and as many tagged volumes, every instance in service.
pub fn in_service(mut stage: Stage, size: u32, policy: &str) -> Result<Stage, String> {
    let text = |error: ApiError| error.to_string();
    for _ in 0..size {
        tagged_volume(&stage, ZONE, &[]).map_err(text)?;
    }
    stage.run_for(Duration::from_secs(10))?;
    group(&stage, "cassandra", size, &[ZONE], hooks(Some(policy))).map_err(text)?;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == size as usize)?;
    settle(&mut stage)?;
    Ok(stage)
}

/// Lets everything come to rest.
pub fn settle(stage: &mut Stage) -> Result<(), String> {
    stage.run_until(LONG, |stage| stage.claims().iter().all(|claim| !claim.open))
}

/// The instances of a group in this state.
pub fn instances(stage: &Stage, group: &str, wanted: LifecycleState) -> Vec<String> {
    let world = stage.cloud.world();
    let members = world.group(group).map(|group| group.members.clone()).unwrap_or_default();
    members
        .into_values()
        .filter(|member| member.state == wanted)
        .map(|member| member.instance)
        .collect()
}

/// Which volumes each slot in service has.
pub fn volumes_by_slot(stage: &Stage) -> BTreeMap<String, Vec<String>> {
    stage.volumes_in_service().into_iter().map(|(slot, (_, volumes))| (slot, volumes)).collect()
}

/// The volumes with a pool's tag: all there are, whoever holds them.
pub fn tagged(stage: &Stage) -> Vec<String> {
    let world = stage.cloud.world();
    let tagged = world.volumes().filter(|volume| volume.tags.contains_key("stateful-asg:pool"));
    tagged.map(|volume| volume.id.clone()).collect()
}

/// Fails one instance in service and lets its replacement come into service; answers which instance it was.
pub fn replace_one(stage: &mut Stage, size: usize) -> Result<String, String> {
    let failed = instances(stage, "cassandra", LifecycleState::InService)
        .into_iter()
        .next()
        .ok_or("nothing in service")?;
    stage.cloud.world().fail_instance(&failed).map_err(|error| error.to_string())?;
    stage.run_until(LONG, |stage| {
        let served = stage.volumes_in_service();
        served.len() == size && served.values().all(|(instance, _)| *instance != failed)
    })?;
    settle(stage)?;
    Ok(failed)
}
