//! Auto Scaling's operations on groups, their processes and their tags.

use crate::query::Params;
use crate::world::{
    ApiError, CreateGroup, Group, GroupChange, GroupStatus, GroupTag, GroupTags, MaintenanceChange,
    Member, Process, ScaleIn, TemplateReference, TerminateHookAbandon,
};
use crate::xml::Xml;

use super::arguments::{Arguments as _, Call, invalid};
use super::autoscaling_hooks::hook_specification;
use super::autoscaling_instances::write_member;
use super::autoscaling_warm_pools::write_warm_pool;
use super::ec2_templates::template_reference;

pub(super) fn create_auto_scaling_group(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let params = call.params();
    let mut request = CreateGroup {
        name: params.required("AutoScalingGroupName")?,
        change: group_change(params)?,
        ..CreateGroup::default()
    };
    for size in ["MinSize", "MaxSize"] {
        params.required(size)?;
    }
    for tag in params.structs("Tags") {
        accept_owner(&tag, Some(&request.name))?;
        let (key, tag) = group_tag(&tag)?;
        request.tags.insert(key, tag);
    }
    for hook in params.structs("LifecycleHookSpecificationList") {
        request.hooks.push(hook_specification(&hook)?);
    }
    call.world()?.create_group(request)
}

pub(super) fn update_auto_scaling_group(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let name = call.params().required("AutoScalingGroupName")?;
    let change = group_change(call.params())?;
    call.world()?.update_group(&name, change)
}

pub(super) fn delete_auto_scaling_group(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let name = call.params().required("AutoScalingGroupName")?;
    let force = call.params().flag("ForceDelete")?.unwrap_or(false);
    call.world()?.delete_group(&name, force)
}

pub(super) fn set_desired_capacity(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let name = call.params().required("AutoScalingGroupName")?;
    let desired = call
        .params()
        .number("DesiredCapacity")?
        .ok_or_else(|| ApiError::MissingParameter("DesiredCapacity".to_owned()))?;
    // No scaling policy ever acts here, so no cooldown is ever running.
    call.params().flag("HonorCooldown")?;
    call.world()?.set_desired_capacity(&name, desired)
}

pub(super) fn suspend_processes(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let (name, processes) = processes(call.params())?;
    call.world()?.suspend_processes(&name, &processes)
}

pub(super) fn resume_processes(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let (name, processes) = processes(call.params())?;
    call.world()?.resume_processes(&name, &processes)
}

pub(super) fn create_or_update_tags(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let mut changes = Vec::new();
    for tag in call.params().structs("Tags") {
        accept_owner(&tag, None)?;
        let group = tag.required("ResourceId")?;
        let (key, tag) = group_tag(&tag)?;
        changes.push((group, key, tag));
    }
    call.world()?.create_or_update_group_tags(changes)
}

pub(super) fn delete_tags(call: &mut Call<'_>, _: &mut Xml) -> Result<(), ApiError> {
    let mut changes = Vec::new();
    for tag in call.params().structs("Tags") {
        accept_owner(&tag, None)?;
        tag.optional("Value");
        tag.flag("PropagateAtLaunch")?;
        changes.push((tag.required("ResourceId")?, tag.required("Key")?));
    }
    call.world()?.delete_group_tags(&changes)
}

/// `DescribeTags` of Auto Scaling, on one page: a group has few tags.
pub(super) fn describe_tags(call: &mut Call<'_>, xml: &mut Xml) -> Result<(), ApiError> {
    let filters = call.params().scaling_filters()?;
    call.params().scaling_page(50, 100)?;
    for filter in &filters {
        if !["auto-scaling-group", "key", "value", "propagate-at-launch"]
            .contains(&filter.name.as_str())
        {
            return Err(invalid("Filters", &filter.name));
        }
    }
    let world = call.world()?;
    xml.element("Tags", |xml| {
        for group in world.groups() {
            for (key, tag) in &group.tags {
                let propagated = tag.propagate_at_launch.to_string();
                let shown = filters.iter().all(|filter| {
                    let actual = match filter.name.as_str() {
                        "auto-scaling-group" => &group.name,
                        "key" => key,
                        "value" => &tag.value,
                        _ => &propagated,
                    };
                    filter.values.contains(actual)
                });
                if shown {
                    write_tag(xml, &group.name, key, tag);
                }
            }
        }
    });
    Ok(())
}

pub(super) fn describe_auto_scaling_groups(
    call: &mut Call<'_>,
    xml: &mut Xml,
) -> Result<(), ApiError> {
    let params = call.params();
    let names = params.list("AutoScalingGroupNames");
    let filters = params.scaling_filters()?;
    let page = params.scaling_page(50, 100)?;
    let instances = params.flag("IncludeInstances")?.unwrap_or(true);
    let found = call.world()?.describe_groups(&names, &filters, &page)?;
    xml.element("AutoScalingGroups", |xml| {
        for group in &found.items {
            xml.element("member", |xml| write_group(xml, group, instances));
        }
    });
    xml.optional("NextToken", found.next_token);
    Ok(())
}

/// `<LaunchTemplate>` of a group or an instance.
pub(super) fn write_template(xml: &mut Xml, template: &TemplateReference) {
    xml.element("LaunchTemplate", |xml| {
        xml.optional("LaunchTemplateId", template.id.as_ref())
            .optional("LaunchTemplateName", template.name.as_ref())
            .optional("Version", template.version.as_ref());
    });
}

/// What `CreateAutoScalingGroup` and `UpdateAutoScalingGroup` share.
fn group_change(params: &Params) -> Result<GroupChange, ApiError> {
    let template = params.nested("LaunchTemplate");
    let zones = params.list("AvailabilityZones");
    let policies = params.list("TerminationPolicies");
    let maintenance = params.nested("InstanceMaintenancePolicy");
    let retention = params.nested("InstanceLifecyclePolicy").nested("RetentionTriggers");
    let abandon = retention.optional("TerminateHookAbandon");
    let subnets = params.optional("VPCZoneIdentifier").filter(|it| !it.is_empty());
    Ok(GroupChange {
        template: if template.is_empty() { None } else { Some(template_reference(&template)) },
        min_size: params.number("MinSize")?,
        max_size: params.number("MaxSize")?,
        desired_capacity: params.number("DesiredCapacity")?,
        zones: if zones.is_empty() { None } else { Some(zones) },
        subnets: subnets.map(|it| it.split(',').map(|one| one.trim().to_owned()).collect()),
        default_cooldown: params.number("DefaultCooldown")?,
        health_check_type: params.optional("HealthCheckType"),
        health_check_grace_period: params.number("HealthCheckGracePeriod")?,
        termination_policies: if policies.is_empty() { None } else { Some(policies) },
        new_instances: params
            .flag("NewInstancesProtectedFromScaleIn")?
            .map(|protected| if protected { ScaleIn::Protected } else { ScaleIn::Allowed }),
        capacity_rebalance: params.flag("CapacityRebalance")?,
        default_instance_warmup: params.number("DefaultInstanceWarmup")?,
        maintenance: maintenance_policy(&maintenance)?,
        terminate_hook_abandon: abandon.map(|it| TerminateHookAbandon::parse(&it)).transpose()?,
    })
}

/// Both percentages, or none of them.
fn maintenance_policy(params: &Params) -> Result<Option<MaintenanceChange>, ApiError> {
    if params.is_empty() {
        return Ok(None);
    }
    let percentage = |name: &str| {
        params.number(name)?.ok_or_else(|| ApiError::MissingParameter(name.to_owned()))
    };
    MaintenanceChange::parse(
        percentage("MinHealthyPercentage")?,
        percentage("MaxHealthyPercentage")?,
    )
    .map(Some)
}

fn processes(params: &Params) -> Result<(String, Vec<Process>), ApiError> {
    let name = params.required("AutoScalingGroupName")?;
    let names = params.list("ScalingProcesses");
    let processes = names.iter().map(|name| Process::parse(name)).collect::<Result<_, _>>()?;
    Ok((name, processes))
}

/// `ResourceType` and `ResourceId`, which can only mean a group, and at its creation only that group.
fn accept_owner(tag: &Params, group: Option<&str>) -> Result<(), ApiError> {
    tag.only("ResourceType", &["auto-scaling-group"])?;
    match group {
        Some(group) => tag.only("ResourceId", &[group]),
        None => Ok(()),
    }
}

fn group_tag(tag: &Params) -> Result<(String, GroupTag), ApiError> {
    let key = tag.required("Key")?;
    let value = tag.optional("Value").unwrap_or_default();
    let propagate_at_launch = tag.flag("PropagateAtLaunch")?.unwrap_or(false);
    Ok((key, GroupTag { value, propagate_at_launch }))
}

fn write_group(xml: &mut Xml, group: &Group, instances: bool) {
    xml.text("AutoScalingGroupName", &group.name).text("AutoScalingGroupARN", &group.arn);
    write_template(xml, &group.template);
    xml.text("MinSize", group.min_size)
        .text("MaxSize", group.max_size)
        .text("DesiredCapacity", group.desired_capacity)
        .text("DefaultCooldown", group.default_cooldown);
    write_list(xml, "AvailabilityZones", group.zones.keys());
    for absent in ["LoadBalancerNames", "TargetGroupARNs", "EnabledMetrics", "TrafficSources"] {
        xml.element(absent, |_| {});
    }
    xml.text("HealthCheckType", &group.health_check_type)
        .text("HealthCheckGracePeriod", group.health_check_grace_period);
    xml.element("Instances", |xml| {
        if instances {
            // Those of the warm pool are listed by DescribeWarmPool.
            let listed = |it: &&Member| !it.state.is_listed_in_warm_pool();
            for member in group.members.values().filter(listed) {
                xml.element("member", |xml| write_member(xml, member));
            }
        }
    });
    xml.text("CreatedTime", group.created_at);
    xml.element("SuspendedProcesses", |xml| {
        for process in &group.suspended {
            xml.element("member", |xml| {
                xml.text("ProcessName", process.as_str())
                    .text("SuspensionReason", "User suspended");
            });
        }
    });
    if group.subnets_named {
        let subnets: Vec<&str> = group.zones.values().map(String::as_str).collect();
        xml.text("VPCZoneIdentifier", subnets.join(","));
    } else {
        xml.text("VPCZoneIdentifier", "");
    }
    if let Some(pool) = &group.warm_pool {
        write_warm_pool(xml, pool);
        xml.text("WarmPoolSize", group.warm_pool_size());
    }
    if group.status == GroupStatus::Deleting {
        xml.text("Status", "Delete in progress");
    }
    write_group_tags(xml, &group.name, &group.tags);
    write_list(xml, "TerminationPolicies", group.termination_policies.iter());
    xml.text("NewInstancesProtectedFromScaleIn", group.new_instances == ScaleIn::Protected)
        .optional("CapacityRebalance", group.capacity_rebalance)
        .optional("DefaultInstanceWarmup", group.default_instance_warmup);
    if let Some(policy) = group.maintenance {
        xml.element("InstanceMaintenancePolicy", |xml| {
            xml.text("MinHealthyPercentage", policy.min_healthy)
                .text("MaxHealthyPercentage", policy.max_healthy);
        });
    }
    if let Some(abandon) = group.terminate_hook_abandon {
        xml.element("InstanceLifecyclePolicy", |xml| {
            xml.element("RetentionTriggers", |xml| {
                xml.text("TerminateHookAbandon", abandon.as_str());
            });
        });
    }
}

fn write_group_tags(xml: &mut Xml, group: &str, tags: &GroupTags) {
    xml.element("Tags", |xml| {
        for (key, tag) in tags {
            write_tag(xml, group, key, tag);
        }
    });
}

fn write_tag(xml: &mut Xml, group: &str, key: &str, tag: &GroupTag) {
    xml.element("member", |xml| {
        xml.text("ResourceId", group)
            .text("ResourceType", "auto-scaling-group")
            .text("Key", key)
            .text("Value", &tag.value)
            .text("PropagateAtLaunch", tag.propagate_at_launch);
    });
}

fn write_list<'a>(xml: &mut Xml, name: &str, values: impl Iterator<Item = &'a String>) {
    xml.element(name, |xml| {
        for value in values {
            xml.text("member", value);
        }
    });
}
