//! Auto Scaling groups: what they are and want, and the operations that change that. What a group then does
//! about it is in `scaling`; what its instances go through, in `members`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check, passes};
use super::hooks::Hook;
use super::members::Member;
use super::refreshes::InstanceRefresh;
use super::replacements::MaintenancePolicy;
use super::tags::Tags;
use super::templates::TemplateReference;
use super::warm_pools::WarmPool;

/// A process of a group that can be suspended (`SuspendProcesses`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// Launching instances.
    Launch,
    /// Terminating instances.
    Terminate,
    /// Replacing unhealthy instances.
    ReplaceUnhealthy,
    /// Evening out the zones.
    AzRebalance,
    /// Going on with an instance refresh.
    InstanceRefresh,
}

impl Process {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Launch,
        Self::Terminate,
        Self::ReplaceUnhealthy,
        Self::AzRebalance,
        Self::InstanceRefresh,
    ];

    /// The process as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "Launch",
            Self::Terminate => "Terminate",
            Self::ReplaceUnhealthy => "ReplaceUnhealthy",
            Self::AzRebalance => "AZRebalance",
            Self::InstanceRefresh => "InstanceRefresh",
        }
    }

    /// The process of that name, if this cloud models it.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == name)
            .ok_or_else(|| ApiError::Validation(format!("Invalid scaling process: {name}")))
    }
}

/// Whether scale-in may take an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ScaleIn {
    /// It may.
    #[default]
    Allowed,
    /// The instance is protected from it.
    Protected,
}

/// What an abandoned terminate hook means (`InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminateHookAbandon {
    /// The instance is kept, out of service, until someone terminates it through the group.
    Retain,
    /// The instance is terminated.
    Terminate,
}

impl TerminateHookAbandon {
    /// What it means, as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "retain",
            Self::Terminate => "terminate",
        }
    }

    /// What that name means.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        match name {
            "retain" => Ok(Self::Retain),
            "terminate" => Ok(Self::Terminate),
            other => Err(ApiError::Validation(format!(
                "TerminateHookAbandon must be retain or terminate, not {other}"
            ))),
        }
    }
}

/// A tag of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTag {
    /// Its value.
    pub value: String,
    /// Whether instances that the group launches get it too.
    pub propagate_at_launch: bool,
}

/// Tags of a group, by key.
pub type GroupTags = BTreeMap<String, GroupTag>;

/// Whether a group is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupStatus {
    /// It does what a group does.
    Active,
    /// `DeleteAutoScalingGroup` with `ForceDelete`: it terminates its instances, then it is gone.
    Deleting,
}

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its launch template, with id and name both known.
    pub template: TemplateReference,
    /// The fewest instances.
    pub min_size: u32,
    /// The most instances.
    pub max_size: u32,
    /// How many instances are wanted.
    pub desired_capacity: u32,
    /// Its zones, and the subnet it uses in each.
    pub zones: BTreeMap<String, String>,
    /// Whether the subnets were named by the caller, and so are shown.
    pub subnets_named: bool,
    /// In seconds.
    pub default_cooldown: u32,
    /// `EC2` or `ELB`.
    pub health_check_type: String,
    /// In seconds.
    pub health_check_grace_period: u32,
    /// As given.
    pub termination_policies: Vec<String>,
    /// For instances launched from now on.
    pub new_instances: ScaleIn,
    /// Whether Spot instances that are likely to be interrupted are replaced beforehand.
    pub capacity_rebalance: Option<bool>,
    /// As given.
    pub default_instance_warmup: Option<u32>,
    /// Its tags.
    pub tags: GroupTags,
    /// The same as plain values, for filters.
    pub(super) plain_tags: Tags,
    /// Its hooks, by name.
    pub hooks: BTreeMap<String, Hook>,
    /// How far capacity may move while instances are replaced.
    pub maintenance: Option<MaintenancePolicy>,
    /// As given; without it, abandoned terminations go on.
    pub terminate_hook_abandon: Option<TerminateHookAbandon>,
    /// Its warm pool.
    pub warm_pool: Option<WarmPool>,
    /// Its instance refreshes, the latest last.
    pub refreshes: Vec<InstanceRefresh>,
    /// Its suspended processes.
    pub suspended: BTreeSet<Process>,
    /// Its instances, by id.
    pub members: BTreeMap<String, Member>,
    /// Whether it is being deleted.
    pub status: GroupStatus,
    /// How many launches failed in a row.
    pub failed_launches: u32,
    /// Before this it launches nothing, because launches failed.
    pub(super) launch_after: Timestamp,
}

impl Filtered for Group {
    const NAMES: &'static [&'static str] = &["tag-value"];

    fn values_of(&self, _: &str) -> Vec<String> {
        self.plain_tags.values().cloned().collect()
    }

    fn tags(&self) -> &Tags {
        &self.plain_tags
    }
}

impl Group {
    /// How many instances count towards its capacity.
    pub fn capacity(&self) -> usize {
        self.members.values().filter(|member| member.state.counts()).count()
    }

    /// How many of those are in a zone.
    pub(super) fn in_zone(&self, zone: &str) -> usize {
        self.members.values().filter(|it| it.zone == zone && it.state.counts()).count()
    }

    /// Whether instances whose termination is abandoned are kept.
    pub(super) fn retains(&self) -> bool {
        self.terminate_hook_abandon == Some(TerminateHookAbandon::Retain)
    }

    pub(super) fn set_tag(&mut self, key: String, tag: GroupTag) {
        self.plain_tags.insert(key.clone(), tag.value.clone());
        self.tags.insert(key, tag);
    }
}

impl World {
    /// `DeleteAutoScalingGroup`. By force, its instances are terminated with it.
    pub fn delete_group(&mut self, name: &str, force: bool) -> Result<(), ApiError> {
        let group = self.group(name)?;
        // It is refused for an empty group as well (radkawar/stackd, measured on AWS).
        if force && group.retains() {
            return Err(ApiError::Validation(format!(
                "AutoScalingGroup {name} retains instances, so it cannot be deleted with ForceDelete. Set \
                 TerminateHookAbandon to terminate first."
            )));
        }
        if group.members.is_empty() {
            self.groups.remove(name);
            return Ok(());
        }
        if !force {
            return Err(ApiError::GroupInUse);
        }
        let members: Vec<String> = group.members.keys().cloned().collect();
        if let Some(group) = self.groups.get_mut(name) {
            group.status = GroupStatus::Deleting;
            group.min_size = 0;
            group.desired_capacity = 0;
        }
        let hooks = self.config.forced_deletion.hooks();
        for instance in members {
            self.dismiss(name, &instance, hooks, "the group is being deleted");
        }
        Ok(())
    }

    /// `SetDesiredCapacity`.
    pub fn set_desired_capacity(&mut self, name: &str, desired: u32) -> Result<(), ApiError> {
        let group = self.group(name)?;
        if desired > group.max_size {
            return Err(ApiError::Validation(format!(
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                group.max_size
            )));
        }
        if desired < group.min_size {
            return Err(ApiError::Validation(format!(
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                group.min_size
            )));
        }
        if let Some(group) = self.groups.get_mut(name) {
            group.desired_capacity = desired;
        }
        self.happened(Subject::group(name), format!("group {name} wants {desired} instances"));
        self.request_scaling(name);
        Ok(())
    }

    /// `SuspendProcesses`; without names, all of them.
    pub fn suspend_processes(&mut self, name: &str, processes: &[Process]) -> Result<(), ApiError> {
        self.group(name)?;
        if let Some(group) = self.groups.get_mut(name) {
            group.suspended.extend(or_all(processes));
        }
        Ok(())
    }

    /// `ResumeProcesses`; without names, all of them.
    pub fn resume_processes(&mut self, name: &str, processes: &[Process]) -> Result<(), ApiError> {
        self.group(name)?;
        if let Some(group) = self.groups.get_mut(name) {
            for process in or_all(processes) {
                group.suspended.remove(process);
            }
        }
        self.request_scaling(name);
        self.request_health_check(name);
        Ok(())
    }

    /// `CreateOrUpdateTags`: group, key, tag.
    pub fn create_or_update_group_tags(
        &mut self,
        changes: Vec<(String, String, GroupTag)>,
    ) -> Result<(), ApiError> {
        for (name, key, tag) in &changes {
            self.group(name)?;
            check_group_tag(key, &tag.value)?;
        }
        for (name, key, tag) in changes {
            if let Some(group) = self.groups.get_mut(&name) {
                group.set_tag(key, tag);
            }
        }
        Ok(())
    }

    /// `DeleteTags` of Auto Scaling: group, key.
    pub fn delete_group_tags(&mut self, changes: &[(String, String)]) -> Result<(), ApiError> {
        for (name, _) in changes {
            self.group(name)?;
        }
        for (name, key) in changes {
            if let Some(group) = self.groups.get_mut(name) {
                group.tags.remove(key);
                group.plain_tags.remove(key);
            }
        }
        Ok(())
    }

    /// `DescribeAutoScalingGroups`. Names that are not there are left out, as on AWS.
    pub fn describe_groups(
        &self,
        names: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<Group>, ApiError> {
        check::<Group>(filters).map_err(as_validation)?;
        let found = self
            .groups
            .values()
            .filter(|group| names.is_empty() || names.contains(&group.name))
            .filter(|group| passes(*group, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit.min(100), |group: &Group| group.name.clone())
    }

    /// The group of that name.
    pub fn group(&self, name: &str) -> Result<&Group, ApiError> {
        self.groups.get(name).ok_or_else(|| {
            ApiError::Validation(format!(
                "AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
            ))
        })
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub(super) fn seconds(&self, seconds: u32) -> Duration {
        self.config.scaled(Duration::from_secs(u64::from(seconds)))
    }
}

/// What EC2 words its own way, Auto Scaling passes on as a `ValidationError`.
#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
pub(super) fn as_validation(error: ApiError) -> ApiError {
    ApiError::Validation(error.message())
}

fn or_all(processes: &[Process]) -> &[Process] {
    if processes.is_empty() { &Process::ALL } else { processes }
}

pub(super) fn check_group_tag(key: &str, value: &str) -> Result<(), ApiError> {
    let tags = Tags::from([(key.to_owned(), value.to_owned())]);
    super::tags::check_tags(&tags).map_err(as_validation)
}
