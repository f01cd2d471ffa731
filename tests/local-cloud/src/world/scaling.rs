//! What a group does by itself: it keeps its capacity, spreads it over zones, and replaces what is unhealthy. A
//! replacement is launched as soon as the termination has started, which is before it is over.

use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::activities::{Activity, ActivityStatus};
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::groups::{Group, GroupStatus, Process};
use super::instances::{InstanceState, StatusChecks};
use super::launches::LaunchSpecification;
use super::lifecycle_states::{LifecycleState, Origin};
use super::members::{Ending, Health, Member, TerminateHooks};
use super::replacements::Successor;
use super::templates::TemplateReference;

/// Whether `SetInstanceHealth` leaves an instance alone that is within its grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GracePeriod {
    /// It does.
    Respected,
    /// It does not.
    Ignored,
}

/// What an instance is launched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Launch {
    /// To come into service.
    IntoService,
    /// To lie ready in the warm pool.
    IntoWarmPool,
}

/// What becomes of the capacity when one instance is terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredCapacity {
    /// It stays, so the instance is replaced.
    Kept,
    /// It is lowered by one.
    Decremented,
}

impl World {
    /// `SetInstanceHealth`.
    pub fn set_instance_health(
        &mut self,
        instance: &str,
        health: Health,
        grace: GracePeriod,
    ) -> Result<(), ApiError> {
        let (group, member) = self.managed(instance)?;
        let until = self.grace_ends(&group, &member);
        if health == Health::Unhealthy && grace == GracePeriod::Respected && until > self.now {
            return Ok(());
        }
        self.set_health(&group, instance, health);
        if health == Health::Unhealthy {
            self.schedule(self.config.timings.scaling, Due::HealthCheck(group));
        }
        Ok(())
    }

    /// `TerminateInstanceInAutoScalingGroup`.
    pub fn terminate_instance_in_group(
        &mut self,
        instance: &str,
        capacity: DesiredCapacity,
    ) -> Result<Activity, ApiError> {
        let (name, member) = self.managed(instance)?;
        self.check_retained(&name, instance, capacity)?;
        if capacity == DesiredCapacity::Decremented && member.state.counts() {
            let group = self.group(&name)?;
            let desired = group.desired_capacity;
            if desired <= group.min_size {
                return Err(ApiError::Validation(format!(
                    "Currently, desiredSize equals minSize ({}). Terminating instance without replacement \
                     will violate group's min size constraint. Either set shouldDecrementDesiredCapacity \
                     flag to false or lower group's min size.",
                    group.min_size
                )));
            }
            if let Some(group) = self.groups.get_mut(&name) {
                group.desired_capacity = desired - 1;
            }
        }
        self.dismiss(&name, instance, TerminateHooks::Run, "a user asked for its termination");
        let (_, member) = self.managed(instance)?;
        self.activity(&member.activity).cloned().ok_or_else(|| not_managed(instance))
    }

    /// Has the group compare what it has with what it wants, soon.
    pub(super) fn request_scaling(&mut self, group: &str) {
        let due = Due::ScalingPass(group.to_owned());
        if !self.queue.contains(&due) {
            self.schedule(self.config.timings.scaling, due);
        }
    }

    /// Has the group look at its instances' health, within its interval.
    pub(super) fn request_health_check(&mut self, group: &str) {
        let due = Due::HealthCheck(group.to_owned());
        if !self.queue.contains(&due) {
            self.schedule(self.config.timings.health_check, due);
        }
    }

    /// An instance has changed; if a group has it, the group will see.
    pub(super) fn group_sees_instance(&mut self, instance: &str) {
        let Some((group, member)) = self.member(instance) else {
            return;
        };
        let (group, lifecycle) = (group.to_owned(), member.state);
        let Some(found) = self.instances.get(instance) else {
            return;
        };
        match (found.state, found.status_checks) {
            (InstanceState::Terminated, _)
                if matches!(
                    lifecycle,
                    LifecycleState::TerminatingProceed | LifecycleState::WarmedTerminatingProceed
                ) || lifecycle.is_retained() =>
            {
                self.member_gone(&group, instance);
            }
            (InstanceState::Running, StatusChecks::Ok) if lifecycle.is_launching() => {
                self.step_soon(&group, instance);
            }
            // No status checks are done on what is stopped.
            (InstanceState::Running, StatusChecks::Ok) | (InstanceState::Stopped, _)
                if lifecycle == LifecycleState::WarmedPendingProceed =>
            {
                self.step_soon(&group, instance);
            }
            (InstanceState::Pending | InstanceState::Running, StatusChecks::Ok) => {}
            _ if !lifecycle.is_health_checked() => {}
            _ => self.request_health_check(&group),
        }
    }

    /// Brings a group's capacity to what it wants.
    pub(super) fn scaling_pass(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        if group.status == GroupStatus::Deleting {
            return;
        }
        self.refresh_step(name);
        let Some(group) = self.groups.get(name) else {
            return;
        };
        // What waits for its successor no longer counts, so that the successor is launched.
        let wanted = group.wanted();
        let have = group.capacity().saturating_sub(group.awaiting());
        let suspended = |process| group.suspended.contains(&process);
        if have < wanted && !suspended(Process::Launch) {
            for number in have..wanted {
                if self.warm_start(name, number) {
                    continue;
                }
                if self.launches_held_back(name)
                    || !self.launch_member(name, number, Launch::IntoService)
                {
                    break;
                }
            }
        } else if have > wanted && !suspended(Process::Terminate) {
            for _ in wanted..have {
                let Some(instance) = self.groups.get(name).and_then(scale_in_choice) else {
                    break;
                };
                self.scale_in(name, &instance);
            }
        }
        self.redeem_successors(name);
        self.rebalance_zones(name);
        self.fill_warm_pool(name);
    }

    /// Whether launches failed so lately that no other is tried yet; the group then comes back to it.
    pub(super) fn launches_held_back(&mut self, name: &str) -> bool {
        let after = self.groups.get(name).map(|group| group.launch_after);
        let held = after.filter(|after| *after > self.now);
        if let Some(after) = held {
            self.queue.schedule(after, Due::ScalingPass(name.to_owned()));
        }
        held.is_some()
    }

    /// Starts the replacement of what is unhealthy.
    pub(super) fn health_check(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        if group.suspended.contains(&Process::ReplaceUnhealthy)
            || group.suspended.contains(&Process::Terminate)
        {
            return;
        }
        let staying: Vec<Member> =
            group.members.values().filter(|it| it.state.is_health_checked()).cloned().collect();
        let mut look_again = None;
        for member in staying {
            match self.unhealthy(name, &member) {
                Finding::Fine => {}
                Finding::InGrace(until) => {
                    look_again = Some(look_again.map_or(until, |at: Timestamp| at.min(until)));
                }
                Finding::Unhealthy(reason) => {
                    self.set_health(name, &member.instance, Health::Unhealthy);
                    if member.origin == Origin::Ec2
                        && (member.state.is_launching() || member.state.is_warming())
                    {
                        self.back_off(name);
                    }
                    if self.replaced_after_launch(name, &member) {
                        self.await_successor(name, &member.instance, reason);
                    } else {
                        self.dismiss(name, &member.instance, TerminateHooks::Run, reason);
                    }
                }
            }
        }
        if let Some(at) = look_again {
            self.queue.schedule(at, Due::HealthCheck(name.to_owned()));
        }
    }

    /// A launch has failed: the more in a row, the longer the next one waits.
    pub(super) fn back_off(&mut self, name: &str) {
        let timings = &self.config.timings;
        let (step, limit) = (timings.launch_backoff, timings.launch_backoff_limit);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let wait: Duration = step.saturating_mul(group.failed_launches).min(limit);
        group.failed_launches = group.failed_launches.saturating_add(1);
        group.launch_after = self.now.plus(self.config.scaled(wait));
    }

    /// Launches an instance into the zone that has the fewest. False if that failed.
    pub(super) fn launch_member(&mut self, name: &str, have: usize, into: Launch) -> bool {
        let Some(group) = self.groups.get(name) else {
            return false;
        };
        let Some((zone, subnet)) = emptiest_zone(group, into) else {
            return false;
        };
        let (state, capacity) = match into {
            Launch::IntoService => (LifecycleState::Pending, "the capacity"),
            Launch::IntoWarmPool => (LifecycleState::WarmedPending, "the warm pool"),
        };
        let cause = format!(
            "At {} an instance was started in response to a difference between desired and actual capacity, \
             increasing {capacity} from {have} to {}.",
            self.now,
            have + 1
        );
        let made = self.launch_specification(name);
        let launched = made.and_then(|(specification, template)| {
            let instance = self.launch(&specification, &zone, &subnet)?;
            Ok((instance, specification, template))
        });
        let (instance, specification, template) = match launched {
            Ok(launched) => launched,
            Err(error) => {
                let activity =
                    self.begin_activity(name, "Launching a new EC2 instance".to_owned(), cause);
                self.fail_activity(&activity, error.message());
                self.back_off(name);
                self.request_scaling(name);
                return false;
            }
        };
        let description = format!("Launching a new EC2 instance: {instance}");
        let activity = self.begin_activity(name, description, cause);
        self.place_activity(&activity, &zone, &subnet);
        let launched_at = self.now;
        let text = format!("group {name} launches {instance} in {zone}");
        self.happened(Subject::member(name, &instance), text);
        if let Some(group) = self.groups.get_mut(name) {
            let member = Member {
                instance: instance.clone(),
                instance_type: specification.instance_type.unwrap_or_default(),
                zone,
                state,
                origin: Origin::Ec2,
                health: Health::Healthy,
                scale_in: group.new_instances,
                template,
                image_id: specification.image_id.unwrap_or_default(),
                launched_at,
                in_service_at: None,
                activity,
                hooks: TerminateHooks::Run,
                ending: Ending::Regular,
                successor: Successor::None,
            };
            group.members.insert(instance.clone(), member);
        }
        self.set_activity(name, &instance, ActivityStatus::PreInService);
        self.step_soon(name, &instance);
        true
    }

    /// What a group's next instance is made from, its tags included.
    pub(super) fn launch_specification(
        &self,
        name: &str,
    ) -> Result<(LaunchSpecification, TemplateReference), ApiError> {
        let group = self.group(name)?;
        let template = self.template(&TemplateReference {
            id: group.template.id.clone(),
            ..TemplateReference::default()
        })?;
        let version = template.version(group.template.version.as_deref())?;
        let mut specification = version.specification.clone();
        let number = version.number.to_string();
        let propagated = group.tags.iter().filter(|(_, tag)| tag.propagate_at_launch);
        specification
            .instance_tags
            .extend(propagated.map(|(key, tag)| (key.clone(), tag.value.clone())));
        specification.instance_tags.extend([
            (super::membership::GROUP_TAG.to_owned(), group.name.clone()),
            ("aws:ec2launchtemplate:id".to_owned(), template.id.clone()),
            ("aws:ec2launchtemplate:version".to_owned(), number.clone()),
        ]);
        let used = TemplateReference {
            id: Some(template.id.clone()),
            name: Some(template.name.clone()),
            version: Some(number),
        };
        Ok((specification, used))
    }

    /// Whether a member is to be replaced. What EC2 does not show running is, grace period or not.
    fn unhealthy(&self, group: &str, member: &Member) -> Finding {
        let instance = self.instances.get(&member.instance);
        let reason = match instance.map(|it| (it.state, it.status_checks)) {
            None | Some((InstanceState::Terminated | InstanceState::ShuttingDown, _)) => {
                "EC2 shows it terminated or going"
            }
            Some((InstanceState::Stopping | InstanceState::Stopped, _))
                if member.may_be_stopped() =>
            {
                return Finding::Fine;
            }
            Some((InstanceState::Stopping | InstanceState::Stopped, _)) => "EC2 shows it stopped",
            Some((_, StatusChecks::Impaired)) => {
                let until = self.grace_ends(group, member);
                if until > self.now {
                    return Finding::InGrace(until);
                }
                "it fails EC2's status checks"
            }
            Some(_) if member.health == Health::Unhealthy => "it was set unhealthy",
            Some(_) => return Finding::Fine,
        };
        Finding::Unhealthy(reason)
    }

    /// When the grace period of an instance in service ends; for others, never in the future.
    fn grace_ends(&self, group: &str, member: &Member) -> Timestamp {
        let grace = self.groups.get(group).map_or(0, |group| group.health_check_grace_period);
        member.in_service_at.map_or(self.now, |at| at.plus(self.seconds(grace)))
    }

    fn set_health(&mut self, group: &str, instance: &str, health: Health) {
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found
            && member.health != health
        {
            member.health = health;
            let text = format!("group {group} holds {instance} for {}", health.as_str());
            self.happened(Subject::member(group, instance), text);
        }
    }

    fn managed(&self, instance: &str) -> Result<(String, Member), ApiError> {
        let found = self.member(instance).map(|(group, member)| (group.to_owned(), member.clone()));
        found.ok_or_else(|| not_managed(instance))
    }
}

/// What a health check finds.
enum Finding {
    Fine,
    InGrace(Timestamp),
    Unhealthy(&'static str),
}

fn not_managed(instance: &str) -> ApiError {
    ApiError::Validation(format!(
        "Instance Id not found - No managed instance found for instance ID: {instance}"
    ))
}

/// The zone with the fewest instances that stay, and its subnet.
fn emptiest_zone(group: &Group, into: Launch) -> Option<(String, String)> {
    let warm = |zone: &String| {
        group.members.values().filter(|it| it.zone == *zone && it.state.is_warm()).count()
    };
    let zone = group.zones.iter().min_by_key(|(zone, _)| match into {
        Launch::IntoService => (group.staying_in(zone), 0),
        Launch::IntoWarmPool => (warm(zone), group.in_zone(zone)),
    });
    zone.map(|(zone, subnet)| (zone.clone(), subnet.clone()))
}

/// The instance that scale-in takes: from the fullest zone, in service before launching, the oldest.
fn scale_in_choice(group: &Group) -> Option<String> {
    let candidates = group.members.values().filter(|it| it.scales_in());
    let choice = candidates.min_by_key(|it| {
        let fullness = usize::MAX - group.in_zone(&it.zone);
        (fullness, it.state != LifecycleState::InService, it.launched_at, it.instance.clone())
    });
    choice.map(|it| it.instance.clone())
}
