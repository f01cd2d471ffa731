//! Instances that people move: on standby and back (`EnterStandby`, `ExitStandby`), out of a group and into one
//! (`DetachInstances`, `AttachInstances`). The instance lives on in all four, and none of them runs a lifecycle hook.

use super::World;
use super::activities::{Activity, ActivityStatus};
use super::errors::ApiError;
use super::events::Subject;
use super::groups::{Group, Process, ScaleIn};
use super::instances::InstanceState;
use super::lifecycle_states::{LifecycleState, Origin};
use super::members::{Ending, Health, Member, TerminateHooks};
use super::replacements::Successor;
use super::scaling::DesiredCapacity;
use super::templates::TemplateReference;

/// At most so many instances in one call (`EnterStandby`, `ExitStandby`, `DetachInstances`, `AttachInstances`).
const INSTANCES_PER_CALL: usize = 20;

/// The tag by which EC2 shows whose an instance is.
pub(super) const GROUP_TAG: &str = "aws:autoscaling:groupName";

impl World {
    /// `EnterStandby`, all or none.
    pub fn enter_standby(
        &mut self,
        name: &str,
        instances: &[String],
        capacity: DesiredCapacity,
    ) -> Result<Vec<Activity>, ApiError> {
        self.check_members(name, instances, &[LifecycleState::InService])?;
        self.lower_capacity(name, instances, capacity)?;
        Ok(self.move_each(name, instances, |world, instance| {
            world.begin_move(name, instance, "Moving EC2 instance to Standby");
            world.set_member_state(name, instance, LifecycleState::EnteringStandby);
        }))
    }

    /// `ExitStandby`, all or none. What is wanted rises with the instances that come back.
    pub fn exit_standby(
        &mut self,
        name: &str,
        instances: &[String],
    ) -> Result<Vec<Activity>, ApiError> {
        self.check_members(name, instances, &[LifecycleState::Standby])?;
        self.check_launches(name)?;
        self.raise_capacity(name, instances.len(), "bring back from standby")?;
        // Standby is not health checked; what has failed there is noticed from here on.
        self.request_health_check(name);
        Ok(self.move_each(name, instances, |world, instance| {
            world.begin_move(name, instance, "Moving EC2 instance out of Standby");
            world.come_from(name, instance, Origin::Standby);
        }))
    }

    /// `DetachInstances`, all or none.
    pub fn detach_instances(
        &mut self,
        name: &str,
        instances: &[String],
        capacity: DesiredCapacity,
    ) -> Result<Vec<Activity>, ApiError> {
        let states = [
            LifecycleState::InService,
            LifecycleState::Standby,
            LifecycleState::TerminatingRetained,
        ];
        self.check_members(name, instances, &states)?;
        for instance in instances {
            self.check_retained(name, instance, capacity)?;
        }
        self.lower_capacity(name, instances, capacity)?;
        Ok(self.move_each(name, instances, |world, instance| {
            world.begin_move(name, instance, "Detaching EC2 instance");
            world.set_member_state(name, instance, LifecycleState::Detaching);
        }))
    }

    /// `AttachInstances`, all or none. What is wanted rises with them.
    pub fn attach_instances(&mut self, name: &str, instances: &[String]) -> Result<(), ApiError> {
        check_count(instances)?;
        self.check_launches(name)?;
        let mut members = Vec::new();
        for id in instances {
            members.push(self.attachable(name, id)?);
        }
        self.raise_capacity(name, instances.len(), "attach")?;
        for member in members {
            let id = member.instance.clone();
            if let Some(group) = self.groups.get_mut(name) {
                group.members.insert(id.clone(), member);
            }
            if let Some(instance) = self.instances.get_mut(&id, self.now) {
                instance.tags.insert(GROUP_TAG.to_owned(), name.to_owned());
            }
            self.begin_move(name, &id, "Attaching an existing EC2 instance");
            self.come_from(name, &id, Origin::Outside);
            self.step_soon(name, &id);
        }
        Ok(())
    }

    /// A retained instance does not count, so nothing can be lowered by it (EC2 Auto Scaling User Guide, "Detach or
    /// attach instances").
    pub(super) fn check_retained(
        &self,
        name: &str,
        instance: &str,
        capacity: DesiredCapacity,
    ) -> Result<(), ApiError> {
        let state = self.member_state(name, instance);
        if capacity == DesiredCapacity::Decremented
            && state.is_some_and(LifecycleState::is_retained)
        {
            return Err(ApiError::Validation(format!(
                "The instance {instance} is retained and does not count towards the desired capacity, so \
                 ShouldDecrementDesiredCapacity must be false."
            )));
        }
        Ok(())
    }

    /// The next step of an instance that is moved out of service.
    pub(super) fn moving_due(&mut self, group: &str, instance: &str, state: LifecycleState) {
        match state {
            LifecycleState::EnteringStandby => {
                self.set_member_state(group, instance, LifecycleState::Standby);
                self.set_activity(group, instance, ActivityStatus::Successful);
            }
            LifecycleState::Detaching => {
                self.set_activity(group, instance, ActivityStatus::Successful);
                if let Some(found) = self.instances.get_mut(instance, self.now) {
                    found.tags.remove(GROUP_TAG);
                }
                self.left_group(group, instance);
            }
            _ => {}
        }
    }

    /// Moves each instance, has it take its next step soon, and answers the activities.
    fn move_each(
        &mut self,
        name: &str,
        instances: &[String],
        change: impl Fn(&mut Self, &str),
    ) -> Vec<Activity> {
        let mut activities = Vec::new();
        for instance in instances {
            change(self, instance);
            self.step_soon(name, instance);
            let activity = self.member(instance).and_then(|(_, it)| self.activity(&it.activity));
            activities.extend(activity.cloned());
        }
        self.request_scaling(name);
        activities
    }

    fn begin_move(&mut self, name: &str, instance: &str, what: &str) {
        let cause = format!("At {} a user asked for it.", self.now);
        let activity = self.begin_activity(name, format!("{what}: {instance}"), cause);
        let found = self.groups.get_mut(name).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.activity = activity;
            member.in_service_at = None;
            member.successor = Successor::None;
        }
        self.happened(Subject::member(name, instance), format!("{what}: {instance}"));
    }

    fn come_from(&mut self, name: &str, instance: &str, origin: Origin) {
        let found = self.groups.get_mut(name).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.origin = origin;
        }
        self.set_member_state(name, instance, LifecycleState::Pending);
        self.set_activity(name, instance, ActivityStatus::PreInService);
    }

    fn check_members(
        &self,
        name: &str,
        instances: &[String],
        states: &[LifecycleState],
    ) -> Result<(), ApiError> {
        check_count(instances)?;
        let group = self.group(name)?;
        for id in instances {
            let Some(member) = group.members.get(id) else {
                return Err(ApiError::Validation(format!(
                    "The instance {id} is not part of Auto Scaling group {name}."
                )));
            };
            if !states.contains(&member.state) {
                let names: Vec<&str> = states.iter().map(|it| it.as_str()).collect();
                let names = names.join(" or ");
                return Err(ApiError::Validation(format!("The instance {id} is not in {names}.")));
            }
        }
        Ok(())
    }

    /// With Launch suspended nothing comes into service (radkawar/stackd, measured on AWS).
    fn check_launches(&self, name: &str) -> Result<(), ApiError> {
        if self.group(name)?.suspended.contains(&Process::Launch) {
            return Err(ApiError::Validation(format!(
                "The Launch process of AutoScalingGroup {name} is suspended."
            )));
        }
        Ok(())
    }

    /// Lowers what is wanted by the instances that count, if the caller says so and the minimum lets it.
    fn lower_capacity(
        &mut self,
        name: &str,
        instances: &[String],
        capacity: DesiredCapacity,
    ) -> Result<(), ApiError> {
        if capacity == DesiredCapacity::Kept {
            return Ok(());
        }
        let group = self.group(name)?;
        let counting = instances.iter().filter_map(|id| group.members.get(id));
        let lowered = counting.filter(|member| member.state.counts()).count();
        let desired = usize::try_from(group.desired_capacity).ok();
        let left = desired
            .and_then(|it| it.checked_sub(lowered))
            .and_then(|it| u32::try_from(it).ok())
            .filter(|left| *left >= group.min_size)
            .ok_or_else(|| sizes_forbid(group, "take out of service", lowered))?;
        self.set_wanted(name, left);
        Ok(())
    }

    fn raise_capacity(&mut self, name: &str, by: usize, what: &str) -> Result<(), ApiError> {
        let group = self.group(name)?;
        let raised = u32::try_from(by)
            .ok()
            .and_then(|by| group.desired_capacity.checked_add(by))
            .filter(|raised| *raised <= group.max_size)
            .ok_or_else(|| sizes_forbid(group, what, by))?;
        self.set_wanted(name, raised);
        Ok(())
    }

    fn set_wanted(&mut self, name: &str, desired: u32) {
        if let Some(group) = self.groups.get_mut(name) {
            group.desired_capacity = desired;
        }
    }

    /// The member that an instance would become, if it can: it has to be running, in one of the group's zones, and
    /// in no group yet (EC2 Auto Scaling User Guide, "Detach or attach instances").
    fn attachable(&self, name: &str, id: &str) -> Result<Member, ApiError> {
        let group = self.group(name)?;
        let instance = self.instance(id).map_err(super::groups::as_validation)?;
        let refused = |text: String| Err(ApiError::Validation(text));
        if instance.state != InstanceState::Running {
            return refused(format!("The instance {id} is not in the running state."));
        }
        if let Some((other, _)) = self.member(id) {
            return refused(format!(
                "The instance {id} is already part of AutoScalingGroup {other}."
            ));
        }
        if !group.zones.contains_key(&instance.zone) {
            return refused(format!(
                "The instance {id} is in {}, which is not a zone of AutoScalingGroup {name}.",
                instance.zone
            ));
        }
        Ok(Member {
            instance: id.to_owned(),
            instance_type: instance.instance_type.clone(),
            zone: instance.zone.clone(),
            state: LifecycleState::Pending,
            origin: Origin::Outside,
            health: Health::Healthy,
            scale_in: ScaleIn::Allowed,
            template: TemplateReference::default(),
            image_id: instance.image_id.clone(),
            launched_at: self.now,
            in_service_at: None,
            activity: String::new(),
            hooks: TerminateHooks::Run,
            ending: Ending::Regular,
            successor: Successor::None,
        })
    }
}

fn check_count(instances: &[String]) -> Result<(), ApiError> {
    if (1..=INSTANCES_PER_CALL).contains(&instances.len()) {
        return Ok(());
    }
    Err(ApiError::Validation(format!(
        "Between 1 and {INSTANCES_PER_CALL} instance ids are expected, not {}",
        instances.len()
    )))
}

fn sizes_forbid(group: &Group, what: &str, count: usize) -> ApiError {
    ApiError::Validation(format!(
        "AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To {what} {count} instance(s), \
         please update the AutoScalingGroup sizes appropriately.",
        group.name, group.min_size, group.max_size, group.desired_capacity
    ))
}
