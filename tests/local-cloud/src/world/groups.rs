//! Auto Scaling groups: what they are and want, and the operations that change that. What a group then does
//! about it is in `scaling`; what its instances go through, in `members`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::actions::{Hook, HookSpecification};
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check, passes};
use super::members::{Member, TerminateHooks};
use super::tags::Tags;
use super::templates::TemplateReference;

/// A process of a group that can be suspended (`SuspendProcesses`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// Launching instances.
    Launch,
    /// Terminating instances.
    Terminate,
    /// Replacing unhealthy instances.
    ReplaceUnhealthy,
    /// Evening out the zones, which this cloud does not do by itself yet.
    AzRebalance,
}

impl Process {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Launch,
        Self::Terminate,
        Self::ReplaceUnhealthy,
        Self::AzRebalance,
    ];

    /// The process as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "Launch",
            Self::Terminate => "Terminate",
            Self::ReplaceUnhealthy => "ReplaceUnhealthy",
            Self::AzRebalance => "AZRebalance",
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

/// What `CreateAutoScalingGroup` and `UpdateAutoScalingGroup` share; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// The launch template.
    pub template: Option<TemplateReference>,
    /// The fewest instances.
    pub min_size: Option<u32>,
    /// The most instances.
    pub max_size: Option<u32>,
    /// How many instances are wanted.
    pub desired_capacity: Option<u32>,
    /// Zones by name.
    pub zones: Option<Vec<String>>,
    /// Subnets (`VPCZoneIdentifier`, which separates them by commas).
    pub subnets: Option<Vec<String>>,
    /// The cooldown in seconds; kept and shown, without effect on what is modelled.
    pub default_cooldown: Option<u32>,
    /// `EC2` or `ELB`; kept and shown.
    pub health_check_type: Option<String>,
    /// How many seconds after coming into service an instance's health is left alone.
    pub health_check_grace_period: Option<u32>,
    /// Kept and shown; scale-in takes the oldest instance of the fullest zone.
    pub termination_policies: Option<Vec<String>>,
    /// Whether new instances are protected from scale-in.
    pub new_instances: Option<ScaleIn>,
    /// Kept and shown.
    pub capacity_rebalance: Option<bool>,
    /// Kept and shown, in seconds.
    pub default_instance_warmup: Option<u32>,
}

/// The input of `CreateAutoScalingGroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateGroup {
    /// The group's name.
    pub name: String,
    /// What the group is to be like.
    pub change: GroupChange,
    /// Its tags.
    pub tags: GroupTags,
    /// Hooks that are there before the first instance is launched.
    pub hooks: Vec<HookSpecification>,
}

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
    /// As given.
    pub capacity_rebalance: Option<bool>,
    /// As given.
    pub default_instance_warmup: Option<u32>,
    /// Its tags.
    pub tags: GroupTags,
    /// The same as plain values, for filters.
    plain_tags: Tags,
    /// Its hooks, by name.
    pub hooks: BTreeMap<String, Hook>,
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
    /// The instances that count towards its capacity: all that are not leaving.
    pub fn capacity(&self) -> usize {
        self.members
            .values()
            .filter(|member| !member.state.is_leaving())
            .count()
    }

    fn set_tag(&mut self, key: String, tag: GroupTag) {
        self.plain_tags.insert(key.clone(), tag.value.clone());
        self.tags.insert(key, tag);
    }
}

impl World {
    /// `CreateAutoScalingGroup`.
    pub fn create_group(&mut self, request: CreateGroup) -> Result<(), ApiError> {
        let CreateGroup {
            name,
            change,
            tags,
            hooks,
        } = request;
        if self.groups.contains_key(&name) {
            return Err(ApiError::GroupExists(name));
        }
        if change.template.is_none() {
            return Err(ApiError::Validation(
                "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or \
                 MixedInstancesPolicy parameter."
                    .to_owned(),
            ));
        }
        if change.zones.is_none() && change.subnets.is_none() {
            return Err(ApiError::Validation(
                "At least one Availability Zone or VPC Subnet is required.".to_owned(),
            ));
        }
        let mut group = self.empty_group(&name);
        self.apply(&mut group, change)?;
        for (key, tag) in tags {
            check_group_tag(&key, &tag.value)?;
            group.set_tag(key, tag);
        }
        for hook in hooks {
            super::actions::put_hook(&mut group.hooks, hook)?;
        }
        self.happened(
            Subject::group(&name),
            format!("group {name} wants {} instances", group.desired_capacity),
        );
        self.groups.insert(name.clone(), group);
        self.request_scaling(&name);
        Ok(())
    }

    /// `UpdateAutoScalingGroup`.
    pub fn update_group(&mut self, name: &str, change: GroupChange) -> Result<(), ApiError> {
        let mut group = self.group(name)?.clone();
        self.apply(&mut group, change)?;
        self.groups.insert(name.to_owned(), group);
        self.request_scaling(name);
        Ok(())
    }

    /// `DeleteAutoScalingGroup`. By force, its instances are terminated without their hooks.
    pub fn delete_group(&mut self, name: &str, force: bool) -> Result<(), ApiError> {
        let group = self.group(name)?;
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
        for instance in members {
            self.dismiss(
                name,
                &instance,
                TerminateHooks::Skip,
                "the group is being deleted",
            );
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
        self.happened(
            Subject::group(name),
            format!("group {name} wants {desired} instances"),
        );
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
        page.cut(found, self.config.page_limit.min(100), |group: &Group| {
            group.name.clone()
        })
    }

    /// The group of that name or ARN.
    pub fn group(&self, name: &str) -> Result<&Group, ApiError> {
        self.groups
            .get(name)
            .or_else(|| self.groups.values().find(|it| it.arn == name))
            .ok_or_else(|| {
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

    fn empty_group(&mut self, name: &str) -> Group {
        let uuid = self.new_uuid();
        let arn = format!(
            "arn:aws:autoscaling:{}:{}:autoScalingGroup:{uuid}:autoScalingGroupName/{name}",
            self.config.region, self.config.account
        );
        Group {
            name: name.to_owned(),
            arn,
            created_at: self.now,
            template: TemplateReference::default(),
            min_size: 0,
            max_size: 0,
            desired_capacity: 0,
            zones: BTreeMap::new(),
            subnets_named: false,
            default_cooldown: 300,
            health_check_type: "EC2".to_owned(),
            health_check_grace_period: 0,
            termination_policies: vec!["Default".to_owned()],
            new_instances: ScaleIn::Allowed,
            capacity_rebalance: None,
            default_instance_warmup: None,
            tags: GroupTags::new(),
            plain_tags: Tags::new(),
            hooks: BTreeMap::new(),
            suspended: BTreeSet::new(),
            members: BTreeMap::new(),
            status: GroupStatus::Active,
            failed_launches: 0,
            launch_after: self.now,
        }
    }

    /// Changes a group as asked, or says what is wrong with it.
    fn apply(&self, group: &mut Group, change: GroupChange) -> Result<(), ApiError> {
        if let Some(reference) = change.template {
            group.template = self.resolved(&reference)?;
        }
        if let Some(zones) =
            self.zones_wanted(change.zones.as_deref(), change.subnets.as_deref())?
        {
            group.zones = zones;
            group.subnets_named = change.subnets.is_some();
        }
        set(&mut group.min_size, change.min_size);
        set(&mut group.max_size, change.max_size);
        // A new size moves what is wanted into its bounds (UpdateAutoScalingGroup).
        let bounded = group
            .desired_capacity
            .max(group.min_size)
            .min(group.max_size);
        group.desired_capacity = change.desired_capacity.unwrap_or(bounded);
        if group.min_size > group.max_size {
            return Err(ApiError::Validation(
                "Min size must not be greater than max size".to_owned(),
            ));
        }
        if !(group.min_size..=group.max_size).contains(&group.desired_capacity) {
            return Err(ApiError::Validation(format!(
                "Desired capacity:{} must be between the specified min size:{} and max size:{}",
                group.desired_capacity, group.min_size, group.max_size
            )));
        }
        if let Some(kind) = &change.health_check_type
            && !matches!(kind.as_str(), "EC2" | "ELB" | "EBS")
        {
            return Err(ApiError::Validation(format!(
                "{kind} is not a valid health check type"
            )));
        }
        set(&mut group.default_cooldown, change.default_cooldown);
        set(&mut group.health_check_type, change.health_check_type);
        set(
            &mut group.health_check_grace_period,
            change.health_check_grace_period,
        );
        set(&mut group.termination_policies, change.termination_policies);
        set(&mut group.new_instances, change.new_instances);
        group.capacity_rebalance = change.capacity_rebalance.or(group.capacity_rebalance);
        group.default_instance_warmup = change
            .default_instance_warmup
            .or(group.default_instance_warmup);
        Ok(())
    }

    /// A reference with id and name both filled in, to a version that exists.
    fn resolved(&self, reference: &TemplateReference) -> Result<TemplateReference, ApiError> {
        let template = self.template(reference).map_err(as_validation)?;
        let version = template
            .version(reference.version.as_deref())
            .map_err(as_validation)?;
        if version.specification.image_id.is_none() {
            return Err(ApiError::Validation(
                "You must use a valid fully-formed launch template. The request must contain the parameter ImageId"
                    .to_owned(),
            ));
        }
        Ok(TemplateReference {
            id: Some(template.id.clone()),
            name: Some(template.name.clone()),
            version: reference.version.clone(),
        })
    }

    /// Zone by zone the subnet to use.
    fn zones_wanted(
        &self,
        zones: Option<&[String]>,
        subnets: Option<&[String]>,
    ) -> Result<Option<BTreeMap<String, String>>, ApiError> {
        let mut wanted = BTreeMap::new();
        match (zones, subnets) {
            (None, None) => return Ok(None),
            (zones, Some(subnets)) => {
                for subnet in subnets {
                    let zone = self.zone_of_subnet(subnet).map_err(as_validation)?;
                    if zones.is_some_and(|zones| !zones.contains(&zone)) {
                        return Err(ApiError::Validation(format!(
                            "The availability zones of the specified subnets and the AutoScalingGroup do not \
                             match: {subnet} is in {zone}"
                        )));
                    }
                    wanted.insert(zone, subnet.clone());
                }
            }
            (Some(zones), None) => {
                for zone in zones {
                    let subnet = self.subnet_of_zone(zone).map_err(as_validation)?;
                    wanted.insert(zone.clone(), subnet);
                }
            }
        }
        if wanted.is_empty() {
            return Err(ApiError::Validation(
                "At least one Availability Zone or VPC Subnet is required.".to_owned(),
            ));
        }
        Ok(Some(wanted))
    }
}

/// What EC2 words its own way, Auto Scaling passes on as a `ValidationError`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of map_err"
)]
pub(super) fn as_validation(error: ApiError) -> ApiError {
    ApiError::Validation(error.message())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn or_all(processes: &[Process]) -> &[Process] {
    if processes.is_empty() {
        &Process::ALL
    } else {
        processes
    }
}

fn check_group_tag(key: &str, value: &str) -> Result<(), ApiError> {
    let tags = Tags::from([(key.to_owned(), value.to_owned())]);
    super::tags::check_tags(&tags).map_err(as_validation)
}
