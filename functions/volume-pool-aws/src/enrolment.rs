//! How a group is set up, and the three calls that enrol it and take it out again: what the command line reads and
//! changes of a group's own settings. The functions change none of these.
//!
//! Nothing here answers a lifecycle action, except that `DeleteLifecycleHook` answers those that wait in the hook.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Filter, InstanceReusePolicy, LaunchTemplateSpecification, LifecycleHook, Tag,
    TagDescription,
};
use aws_sdk_ec2::types::{
    LaunchTemplateEbsBlockDevice, LaunchTemplateInstanceMetadataTagsState,
    LaunchTemplateTagSpecification, LaunchTemplateVersion, ResourceType,
};
use volume_pool::action::{ActionResult, Transition};
use volume_pool::ids::{GroupName, HookName, PoolName, Zone};
use volume_pool::observation::{GroupView, Hook, tags};
use volume_pool::ports::{Answer, PortError};

use crate::classify;
use crate::convert::{Unintelligible, present, unintelligible};
use crate::{auto_scaling, auto_scaling::GROUPS_PAGE};

/// Auto Scaling and EC2, for the settings of groups.
#[derive(Debug, Clone)]
pub struct Enrolments {
    auto_scaling: aws_sdk_autoscaling::Client,
    ec2: aws_sdk_ec2::Client,
}

/// How a group is set up (`DescribeAutoScalingGroups`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// Its name, its pool's tag, its sizes and its instances.
    pub view: GroupView,
    /// Its zones.
    pub zones: BTreeSet<Zone>,
    /// Its tags.
    pub tags: BTreeMap<String, GroupTag>,
    /// Its suspended processes, as Auto Scaling names them.
    pub suspended: BTreeSet<String>,
    /// Its instance maintenance policy.
    pub maintenance: Option<Maintenance>,
    /// `CapacityRebalance`
    pub capacity_rebalance: bool,
    /// Whether instances whose termination was abandoned are kept (`RetentionTriggers.TerminateHookAbandon`).
    pub retains: bool,
    /// Its warm pool.
    pub warm_pool: Option<WarmPool>,
    /// What its instances are launched from.
    pub source: LaunchSource,
}

/// A tag of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTag {
    /// Its value.
    pub value: String,
    /// Whether the group's instances get it too (`PropagateAtLaunch`).
    pub propagated: bool,
}

/// How far capacity may move while instances are replaced, in percent (`InstanceMaintenancePolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintenance {
    /// `MinHealthyPercentage`
    pub min_healthy: i32,
    /// `MaxHealthyPercentage`
    pub max_healthy: i32,
}

/// A warm pool's settings (`WarmPoolConfiguration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmPool {
    /// `Stopped`, `Running` or `Hibernated`.
    pub state: String,
    /// Whether scale-in brings instances back to it (`ReuseOnScaleIn`).
    pub reuses: bool,
}

/// What a group launches its instances from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaunchSource {
    /// A launch template, in one version; of a mixed instances policy the template that it is based on.
    Template {
        /// Its id.
        id: String,
        /// The version: a number, `$Latest` or `$Default`.
        version: String,
    },
    /// Anything else, in words.
    Other(String),
}

/// A lifecycle hook with its default result (`DescribeLifecycleHooks`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// The hook.
    pub hook: Hook,
    /// What is answered when nobody answers in time.
    pub default_result: ActionResult,
}

/// A hook as it is to be (`PutLifecycleHook`); what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookWanted {
    /// Its name.
    pub name: HookName,
    /// What it holds up.
    pub transition: Transition,
    /// The policy, for the launch hook.
    pub metadata: Option<String>,
    /// `HeartbeatTimeout`, in seconds.
    pub heartbeat_seconds: u32,
    /// `DefaultResult`
    pub default_result: ActionResult,
}

/// What a version of a launch template makes instances from, as far as it matters to their volumes
/// (`DescribeLaunchTemplateVersions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Its number.
    pub version: i64,
    /// Its block devices.
    pub devices: Vec<TemplateDevice>,
    /// The keys of the tags that its instances get.
    pub instance_tags: BTreeSet<String>,
    /// The tags that the volumes get which are made with an instance.
    pub volume_tags: BTreeMap<String, String>,
    /// Whether instances read their tags from the metadata service (`InstanceMetadataTags`).
    pub metadata_tags: bool,
}

/// A volume that is made with each instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateDevice {
    /// The device name.
    pub name: String,
    /// Whether it is deleted with its instance: so it is unless the template says otherwise.
    pub deleted: bool,
}

impl Enrolments {
    /// The settings of groups through these clients.
    pub const fn new(auto_scaling: aws_sdk_autoscaling::Client, ec2: aws_sdk_ec2::Client) -> Self {
        Self { auto_scaling, ec2 }
    }

    /// `DescribeAutoScalingGroups` for the groups with the tag `stateful-asg:pool`, to the last page.
    pub async fn enrolled(&self) -> Result<Vec<GroupSettings>, PortError> {
        let tagged = Filter::builder().name("tag-key").values(tags::POOL).build();
        self.groups(None, Some(vec![tagged])).await
    }

    /// `DescribeAutoScalingGroups` for one group; nothing where there is none of that name.
    pub async fn group(&self, name: &GroupName) -> Result<Option<GroupSettings>, PortError> {
        let found = self.groups(Some(vec![name.to_string()]), None).await?;
        Ok(found.into_iter().find(|found| found.view.name == *name))
    }

    async fn groups(
        &self,
        names: Option<Vec<String>>,
        filters: Option<Vec<Filter>>,
    ) -> Result<Vec<GroupSettings>, PortError> {
        const CALL: &str = "autoscaling:DescribeAutoScalingGroups";
        let groups = self
            .auto_scaling
            .describe_auto_scaling_groups()
            .set_auto_scaling_group_names(names)
            .set_filters(filters)
            .into_paginator()
            .page_size(GROUPS_PAGE)
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let convert = |group: &AutoScalingGroup| {
            let name = group.auto_scaling_group_name().unwrap_or("a group");
            settings(group).map_err(|problem| unintelligible(CALL, name, problem))
        };
        groups.iter().map(convert).collect()
    }

    /// `DescribeLifecycleHooks`
    pub async fn hooks(&self, group: &GroupName) -> Result<Vec<HookSettings>, PortError> {
        const CALL: &str = "autoscaling:DescribeLifecycleHooks";
        // One group per call, at most 50 hooks, one page.
        let answer = self
            .auto_scaling
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(group.as_str())
            .send()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let hooks = answer.lifecycle_hooks().iter().filter_map(|it| hook(it).transpose());
        hooks.collect::<Result<_, _>>().map_err(|problem| unintelligible(CALL, group, problem))
    }

    /// `DescribeLaunchTemplateVersions` for one version.
    pub async fn template(&self, id: &str, version: &str) -> Result<Template, PortError> {
        const CALL: &str = "ec2:DescribeLaunchTemplateVersions";
        let answer = self
            .ec2
            .describe_launch_template_versions()
            .launch_template_id(id)
            .versions(version)
            .send()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        present("LaunchTemplateVersion", answer.launch_template_versions().first())
            .and_then(template)
            .map_err(|problem| unintelligible(CALL, id, problem))
    }

    /// `PutLifecycleHook`: creates the hook or changes it. Instances that wait already are not affected.
    pub async fn put_hook(
        &self,
        group: &GroupName,
        wanted: &HookWanted,
    ) -> Result<Answer, PortError> {
        let transition = match wanted.transition {
            Transition::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Transition::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        };
        let answer = self
            .auto_scaling
            .put_lifecycle_hook()
            .auto_scaling_group_name(group.as_str())
            .lifecycle_hook_name(wanted.name.as_str())
            .lifecycle_transition(transition)
            .set_notification_metadata(wanted.metadata.clone())
            .heartbeat_timeout(i32::try_from(wanted.heartbeat_seconds).unwrap_or(i32::MAX))
            .default_result(wanted.default_result.as_str())
            .send()
            .await;
        classify::answer("autoscaling:PutLifecycleHook", answer)
    }

    /// `DeleteLifecycleHook`. What waits in it is answered first: ABANDON for a launch, CONTINUE for a termination.
    pub async fn delete_hook(
        &self,
        group: &GroupName,
        hook: &HookName,
    ) -> Result<Answer, PortError> {
        let answer = self
            .auto_scaling
            .delete_lifecycle_hook()
            .auto_scaling_group_name(group.as_str())
            .lifecycle_hook_name(hook.as_str())
            .send()
            .await;
        classify::answer("autoscaling:DeleteLifecycleHook", answer)
    }

    /// `CreateOrUpdateTags`: the group is found by this tag. Its instances do not get it.
    pub async fn tag(&self, group: &GroupName, pool: &PoolName) -> Result<Answer, PortError> {
        let tag = pool_tag(group).value(pool.as_str()).propagate_at_launch(false).build();
        let answer = self.auto_scaling.create_or_update_tags().tags(tag).send().await;
        classify::answer("autoscaling:CreateOrUpdateTags", answer)
    }

    /// `DeleteTags`: the group is found no more.
    pub async fn untag(&self, group: &GroupName) -> Result<Answer, PortError> {
        let answer = self.auto_scaling.delete_tags().tags(pool_tag(group).build()).send().await;
        classify::answer("autoscaling:DeleteTags", answer)
    }
}

fn pool_tag(group: &GroupName) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    Tag::builder().resource_id(group.as_str()).resource_type("auto-scaling-group").key(tags::POOL)
}

fn settings(group: &AutoScalingGroup) -> Result<GroupSettings, Unintelligible> {
    let zones = group.availability_zones().iter();
    let tags = group.tags().iter().map(|tag: &TagDescription| {
        let value = tag.value().unwrap_or_default().to_owned();
        let propagated = tag.propagate_at_launch().unwrap_or(false);
        Ok((present("Tags.Key", tag.key())?.to_owned(), GroupTag { value, propagated }))
    });
    let suspended = group.suspended_processes().iter().filter_map(|it| it.process_name());
    let maintenance = group.instance_maintenance_policy().and_then(|policy| {
        let min_healthy = policy.min_healthy_percentage()?;
        Some(Maintenance { min_healthy, max_healthy: policy.max_healthy_percentage()? })
    });
    let abandoned = group
        .instance_lifecycle_policy()
        .and_then(|policy| policy.retention_triggers())
        .and_then(|triggers| triggers.terminate_hook_abandon());
    let warm_pool = group.warm_pool_configuration().map(|pool| WarmPool {
        state: pool.pool_state().map_or("Stopped", |state| state.as_str()).to_owned(),
        reuses: pool
            .instance_reuse_policy()
            .and_then(InstanceReusePolicy::reuse_on_scale_in)
            .unwrap_or(false),
    });
    Ok(GroupSettings {
        view: auto_scaling::group(group)?,
        zones: zones.map(|zone| Ok(zone.parse()?)).collect::<Result<_, Unintelligible>>()?,
        tags: tags.collect::<Result<_, Unintelligible>>()?,
        suspended: suspended.map(str::to_owned).collect(),
        maintenance,
        capacity_rebalance: group.capacity_rebalance().unwrap_or(false),
        retains: abandoned.is_some_and(|action| action.as_str() == "retain"),
        warm_pool,
        source: source(group),
    })
}

fn source(group: &AutoScalingGroup) -> LaunchSource {
    let mixed = group
        .mixed_instances_policy()
        .and_then(|policy| policy.launch_template())
        .and_then(|template| template.launch_template_specification());
    let template = |template: &LaunchTemplateSpecification| {
        // A group whose template names no version goes by its default version (`LaunchTemplateSpecification`).
        let version = template.version().unwrap_or("$Default").to_owned();
        Some(LaunchSource::Template { id: template.launch_template_id()?.to_owned(), version })
    };
    if let Some(template) = group.launch_template().or(mixed).and_then(template) {
        return template;
    }
    LaunchSource::Other(match group.launch_configuration_name() {
        Some(name) => format!("launch configuration {name}"),
        None => "nothing that is shown".to_owned(),
    })
}

fn hook(hook: &LifecycleHook) -> Result<Option<HookSettings>, Unintelligible> {
    let default_result = match hook.default_result() {
        Some("CONTINUE") => ActionResult::Continue,
        // ABANDON is the default (`PutLifecycleHook`).
        _ => ActionResult::Abandon,
    };
    Ok(auto_scaling::hook(hook)?.map(|hook| HookSettings { hook, default_result }))
}

fn template(shown: &LaunchTemplateVersion) -> Result<Template, Unintelligible> {
    let data = present("LaunchTemplateData", shown.launch_template_data())?;
    let devices = data.block_device_mappings().iter().filter_map(|mapping| {
        // `NoDevice` takes a device of the image away.
        let made = mapping.no_device().is_none();
        let kept = mapping.ebs().and_then(LaunchTemplateEbsBlockDevice::delete_on_termination)
            == Some(false);
        let name = mapping.device_name().filter(|_| made)?.to_owned();
        Some(TemplateDevice { name, deleted: !kept })
    });
    let tags_for = |wanted: &ResourceType| {
        let theirs = |it: &&LaunchTemplateTagSpecification| it.resource_type() == Some(wanted);
        let tags = data
            .tag_specifications()
            .iter()
            .filter(theirs)
            .flat_map(LaunchTemplateTagSpecification::tags);
        let pairs = tags.filter_map(|tag| {
            Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
        });
        pairs.collect::<BTreeMap<String, String>>()
    };
    let metadata_tags = data.metadata_options().and_then(|it| it.instance_metadata_tags());
    Ok(Template {
        version: present("VersionNumber", shown.version_number())?,
        devices: devices.collect(),
        instance_tags: tags_for(&ResourceType::Instance).into_keys().collect(),
        volume_tags: tags_for(&ResourceType::Volume),
        metadata_tags: metadata_tags == Some(&LaunchTemplateInstanceMetadataTagsState::Enabled),
    })
}
