//! `CreateAutoScalingGroup` and `UpdateAutoScalingGroup`: what a group is told to be, checked as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use super::errors::ApiError;
use super::events::Subject;
use super::groups::{
    Group, GroupStatus, GroupTags, ScaleIn, TerminateHookAbandon, as_validation, check_group_tag,
};
use super::hooks::{HookSpecification, put_hook};
use super::replacements::MaintenanceChange;
use super::tags::Tags;
use super::templates::TemplateReference;

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
    /// Whether Spot instances that are likely to be interrupted are replaced beforehand.
    pub capacity_rebalance: Option<bool>,
    /// Kept and shown, in seconds.
    pub default_instance_warmup: Option<u32>,
    /// How far capacity may move while instances are replaced.
    pub maintenance: Option<MaintenanceChange>,
    /// What an abandoned terminate hook means.
    pub terminate_hook_abandon: Option<TerminateHookAbandon>,
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

impl World {
    /// `CreateAutoScalingGroup`.
    pub fn create_group(&mut self, request: CreateGroup) -> Result<(), ApiError> {
        let CreateGroup { name, change, tags, hooks } = request;
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
            put_hook(&mut group.hooks, hook)?;
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
            maintenance: None,
            terminate_hook_abandon: None,
            warm_pool: None,
            refreshes: Vec::new(),
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
        let bounded = group.desired_capacity.max(group.min_size).min(group.max_size);
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
            return Err(ApiError::Validation(format!("{kind} is not a valid health check type")));
        }
        set(&mut group.default_cooldown, change.default_cooldown);
        set(&mut group.health_check_type, change.health_check_type);
        set(&mut group.health_check_grace_period, change.health_check_grace_period);
        set(&mut group.termination_policies, change.termination_policies);
        set(&mut group.new_instances, change.new_instances);
        group.capacity_rebalance = change.capacity_rebalance.or(group.capacity_rebalance);
        group.maintenance = match change.maintenance {
            Some(MaintenanceChange::Set(policy)) => Some(policy),
            Some(MaintenanceChange::Cleared) => None,
            None => group.maintenance,
        };
        group.terminate_hook_abandon =
            change.terminate_hook_abandon.or(group.terminate_hook_abandon);
        group.default_instance_warmup =
            change.default_instance_warmup.or(group.default_instance_warmup);
        Ok(())
    }

    /// A reference with id and name both filled in, to a version that exists.
    fn resolved(&self, reference: &TemplateReference) -> Result<TemplateReference, ApiError> {
        let template = self.template(reference).map_err(as_validation)?;
        let version = template.version(reference.version.as_deref()).map_err(as_validation)?;
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

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
