//! The world at the beginning: groups with their hooks, and volumes of their pools.

use std::collections::BTreeMap;

use local_cloud::stage::Stage;
use local_cloud::world::{
    ApiError, BlockDevice, CreateGroup, CreateVolume, GroupChange, GroupTag, HookSpecification,
    IMAGE, LaunchSpecification, MaintenanceChange, MaintenancePolicy, Market, PoolState, ScaledIn,
    TemplateReference, TerminateHookAbandon, Transition, VolumeSpecification, WarmPoolChange,
};

use crate::feature::Nature;
use crate::plan::{GroupPlan, Plan};
use crate::policies::{KEY, VOLUMES};

/// What a pool's tag is called.
pub(crate) const POOL: &str = "stateful-asg:pool";
/// The launch hook of ours, and the one that waits for terminating instances.
pub(crate) const LAUNCH: &str = "stateful-asg-launch";
pub(crate) const TERMINATE: &str = "stateful-asg-terminate";
/// Hooks of somebody else: one for terminating instances, one for launching ones.
pub(crate) const OTHERS: &str = "drain";
pub(crate) const OTHERS_LAUNCH: &str = "bootstrap";

/// Builds the world that a plan asks for.
pub(crate) fn build(stage: &Stage, plan: &Plan) -> Result<(), String> {
    stage.cloud.world().enable_key(KEY);
    for planned in &plan.groups {
        raise(stage, plan, planned).map_err(|error| format!("setup: {error}"))?;
    }
    Ok(())
}

fn raise(stage: &Stage, plan: &Plan, planned: &GroupPlan) -> Result<(), ApiError> {
    if !planned.enrolled_later {
        for zone in &planned.zones {
            for _ in 0..planned.volumes {
                let names = VOLUMES.iter().take(planned.policy.volumes);
                for (name, _) in names {
                    tagged_volume(stage, zone, &planned.policy.pool, name)?;
                }
            }
        }
    }
    group(stage, plan, planned)?;
    let mut world = stage.cloud.world();
    if plan.is(Nature::WarmPools) && !plan.is(Nature::Spot) {
        let stopped = planned.size.is_multiple_of(2);
        let change = WarmPoolChange {
            min_size: Some(planned.size % 3),
            state: Some(if stopped { PoolState::Stopped } else { PoolState::Running }),
            scaled_in: Some(scaled_in(plan)),
            ..WarmPoolChange::default()
        };
        world.put_warm_pool(&planned.name, change)?;
    }
    Ok(())
}

/// What a warm pool does with those that scale-in takes out of service.
pub(crate) fn scaled_in(plan: &Plan) -> ScaledIn {
    if plan.is(Nature::Reuse) { ScaledIn::Reused } else { ScaledIn::Terminated }
}

/// A volume with the pool's tag. Where slots have several, its own tag tells which of them it is.
pub(crate) fn tagged_volume(
    stage: &Stage,
    zone: &str,
    pool: &str,
    name: &str,
) -> Result<String, ApiError> {
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let tags = BTreeMap::from([tag(POOL, pool), tag("stateful-asg:volume", name)]);
    let specification = disk();
    let request = CreateVolume { zone: zone.to_owned(), specification, tags, client_token: None };
    Ok(stage.cloud.world().create_volume(request)?.id)
}

fn disk() -> VolumeSpecification {
    VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    }
}

/// A volume that comes and goes with its instance.
pub(crate) fn disk_at(device: String) -> BlockDevice {
    BlockDevice { device, specification: disk(), delete_on_termination: true }
}

/// What an instance is launched from; those that are enrolled later bring volumes of their own.
pub(crate) fn specification(plan: &Plan, planned: Option<&GroupPlan>) -> LaunchSpecification {
    let own = planned.filter(|planned| planned.enrolled_later);
    let devices = own.map_or(0, |planned| planned.policy.volumes);
    let devices = VOLUMES.iter().take(devices).map(|(_, device)| disk_at((*device).to_owned()));
    let volume_tags = own.map(|planned| (POOL.to_owned(), planned.policy.pool.clone()));
    LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        block_devices: devices.collect(),
        volume_tags: volume_tags.into_iter().collect(),
        market: if plan.is(Nature::Spot) && planned.is_some() {
            Market::Spot
        } else {
            Market::default()
        },
        ..LaunchSpecification::default()
    }
}

/// The hooks of a group, the launch hook with this policy.
pub(crate) fn hooks(planned: &GroupPlan, metadata: &str) -> Vec<HookSpecification> {
    let hook = |name: &str, transition, metadata: Option<&str>| HookSpecification {
        name: name.to_owned(),
        transition: Some(transition),
        metadata: metadata.map(str::to_owned),
        heartbeat_timeout: Some(planned.heartbeat),
        default_result: None,
    };
    vec![
        hook(LAUNCH, Transition::Launching, Some(metadata)),
        hook(TERMINATE, Transition::Terminating, None),
    ]
}

fn others_hook(name: &str, transition: Transition) -> HookSpecification {
    HookSpecification {
        name: name.to_owned(),
        transition: Some(transition),
        metadata: None,
        heartbeat_timeout: Some(300),
        default_result: None,
    }
}

/// The tag by which a group is found.
pub(crate) fn tag(planned: &GroupPlan) -> GroupTag {
    GroupTag { value: planned.policy.pool.clone(), propagate_at_launch: false }
}

fn group(stage: &Stage, plan: &Plan, planned: &GroupPlan) -> Result<(), ApiError> {
    let name = &planned.name;
    let mut world = stage.cloud.world();
    let specification = specification(plan, Some(planned));
    let template = world.create_launch_template(name, None, specification, BTreeMap::new())?;
    let first = MaintenanceChange::Set(MaintenancePolicy { min_healthy: 100, max_healthy: 150 });
    let change = GroupChange {
        template: Some(TemplateReference { id: Some(template.id), ..TemplateReference::default() }),
        min_size: Some(0),
        max_size: Some(planned.size + 3),
        desired_capacity: Some(planned.size),
        zones: Some(planned.zones.clone()),
        health_check_grace_period: Some(0),
        capacity_rebalance: Some(plan.is(Nature::Spot)),
        maintenance: plan.is(Nature::LaunchesFirst).then_some(first),
        terminate_hook_abandon: plan.is(Nature::Retains).then_some(TerminateHookAbandon::Retain),
        ..GroupChange::default()
    };
    let mut hooks =
        if planned.enrolled_later { Vec::new() } else { hooks(planned, &planned.policy.json()) };
    if plan.is(Nature::OthersHooks) {
        hooks.push(others_hook(OTHERS, Transition::Terminating));
        if planned.others_launch {
            hooks.push(others_hook(OTHERS_LAUNCH, Transition::Launching));
        }
    }
    let tags = if planned.enrolled_later {
        BTreeMap::new()
    } else {
        BTreeMap::from([(POOL.to_owned(), tag(planned))])
    };
    world.create_group(CreateGroup { name: name.clone(), change, tags, hooks })
}
