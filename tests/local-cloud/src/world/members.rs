//! A group's instances and the lifecycle states they go through, hooks or not:
//! `Pending → Pending:Wait → Pending:Proceed → InService → Terminating → Terminating:Wait →
//! Terminating:Proceed`, and gone. The ways into the warm pool and out of it are in `warm_pools`.

use serde_json::json;
use volume_pool::Timestamp;

use super::World;
use super::activities::ActivityStatus;
use super::config::AbandonedLaunch;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Announcement, Subject};
use super::filters::{Page, PageRequest};
use super::groups::{Group, GroupStatus, ScaleIn};
use super::hooks::{LifecycleResult, Transition};
use super::instances::InstanceState;
use super::lifecycle_states::{LifecycleState, Origin};
use super::replacements::Successor;
use super::templates::TemplateReference;

/// What a group holds of an instance's health (`HealthStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Fine.
    Healthy,
    /// To be replaced.
    Unhealthy,
}

impl Health {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Unhealthy => "Unhealthy",
        }
    }
}

/// Whether leaving runs the terminate hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminateHooks {
    /// They run.
    Run,
    /// They do not: the group is deleted by force, for example.
    Skip,
}

/// What becomes of an instance once its terminate hooks have been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// EC2 terminates it, or it goes where it was bound for.
    Regular,
    /// It is kept: a hook was abandoned, and the group retains such instances.
    Retained,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The instance.
    pub instance: String,
    /// Its type.
    pub instance_type: String,
    /// Its zone.
    pub zone: String,
    /// Where it stands.
    pub state: LifecycleState,
    /// Where it came from to get there.
    pub origin: Origin,
    /// What the group holds of its health.
    pub health: Health,
    /// Whether scale-in may take it.
    pub scale_in: ScaleIn,
    /// The template and version number it was launched from.
    pub template: TemplateReference,
    /// Its image.
    pub image_id: String,
    /// When the group launched it.
    pub launched_at: Timestamp,
    /// When it came into service.
    pub in_service_at: Option<Timestamp>,
    /// The activity that it is part of: its launch, later its termination.
    pub activity: String,
    pub(super) hooks: TerminateHooks,
    pub(super) ending: Ending,
    /// Whether it goes once another one has taken its place.
    pub successor: Successor,
}

impl Member {
    /// The transition whose hooks it waits for.
    fn awaited(&self) -> Option<Transition> {
        match self.state {
            LifecycleState::WarmedPendingWait if self.origin == Origin::Group => {
                Some(Transition::Terminating)
            }
            LifecycleState::PendingWait | LifecycleState::WarmedPendingWait => {
                Some(Transition::Launching)
            }
            LifecycleState::TerminatingWait | LifecycleState::WarmedTerminatingWait => {
                Some(Transition::Terminating)
            }
            _ => None,
        }
    }

    /// Where it is going, as `Destination` of lifecycle events.
    pub(super) fn destination(&self) -> &'static str {
        if self.state.is_leaving() {
            "EC2"
        } else if self.state.is_warm() {
            "WarmPool"
        } else {
            "AutoScalingGroup"
        }
    }
}

/// An instance as `DescribeAutoScalingInstances` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// The group's name.
    pub group: String,
    /// The instance.
    pub member: Member,
}

/// At most so many ids, and records, in one `DescribeAutoScalingInstances`.
const INSTANCES_PER_CALL: usize = 50;

impl World {
    /// `DescribeAutoScalingInstances`. Ids that no group has are left out, as on AWS.
    pub fn describe_group_instances(
        &self,
        ids: &[String],
        page: &PageRequest,
    ) -> Result<Page<MemberView>, ApiError> {
        if ids.len() > INSTANCES_PER_CALL {
            return Err(ApiError::Validation(format!(
                "The number of instance ids that may be passed in is limited to {INSTANCES_PER_CALL}"
            )));
        }
        let mut found: Vec<MemberView> = self
            .groups
            .values()
            .flat_map(|group| group.members.values().map(|member| (group.name.clone(), member)))
            .filter(|(_, member)| ids.is_empty() || ids.contains(&member.instance))
            .map(|(group, member)| MemberView { group, member: member.clone() })
            .collect();
        found.sort_by(|a, b| a.member.instance.cmp(&b.member.instance));
        page.cut(found, INSTANCES_PER_CALL, |view: &MemberView| view.member.instance.clone())
    }

    /// The group that has an instance, and what it holds of it.
    pub fn member(&self, instance: &str) -> Option<(&str, &Member)> {
        let mut groups = self.groups.values();
        groups.find_map(|group| Some((group.name.as_str(), group.members.get(instance)?)))
    }

    /// Starts the next step of an instance soon.
    pub(super) fn step_soon(&mut self, group: &str, instance: &str) {
        let due = Due::Member { group: group.to_owned(), instance: instance.to_owned() };
        self.schedule(self.config.timings.lifecycle_step, due);
    }

    /// Takes the step that is due, if anything is to be done where the instance stands.
    pub(super) fn member_due(&mut self, group: &str, instance: &str) {
        let Some(member) = self.groups.get(group).and_then(|it| it.members.get(instance)) else {
            return;
        };
        let member = member.clone();
        match member.state {
            LifecycleState::Pending => {
                let hooks = member.origin.runs_launch_hooks();
                if !hooks || !self.open_actions(group, instance, Transition::Launching) {
                    self.enter_service(group, instance);
                }
            }
            LifecycleState::PendingProceed => self.enter_service(group, instance),
            LifecycleState::Terminating | LifecycleState::WarmedTerminating => {
                let skip = member.hooks == TerminateHooks::Skip;
                if skip || !self.open_actions(group, instance, Transition::Terminating) {
                    self.proceed_to_terminate(group, instance);
                }
            }
            LifecycleState::TerminatingProceed if member.ending == Ending::Retained => {
                self.retain(group, instance, LifecycleState::TerminatingRetained);
            }
            LifecycleState::WarmedTerminatingProceed if member.ending == Ending::Retained => {
                self.retain(group, instance, LifecycleState::WarmedTerminatingRetained);
            }
            LifecycleState::TerminatingProceed | LifecycleState::WarmedTerminatingProceed => {
                self.begin_termination(instance);
                let state = self.instances.get(instance).map(|it| it.state);
                if matches!(state, None | Some(InstanceState::Terminated)) {
                    self.member_gone(group, instance);
                }
            }
            LifecycleState::WarmedPending | LifecycleState::WarmedPendingProceed => {
                self.warming_due(group, instance, &member);
            }
            LifecycleState::EnteringStandby | LifecycleState::Detaching => {
                self.moving_due(group, instance, member.state);
            }
            LifecycleState::PendingWait
            | LifecycleState::InService
            | LifecycleState::TerminatingWait
            | LifecycleState::Standby
            | LifecycleState::TerminatingRetained
            | LifecycleState::WarmedPendingRetained
            | LifecycleState::WarmedTerminatingRetained
            | LifecycleState::WarmedPendingWait
            | LifecycleState::WarmedStopped
            | LifecycleState::WarmedRunning
            | LifecycleState::WarmedTerminatingWait => {}
        }
    }

    /// All hooks of a transition have been answered, or one has ended it.
    pub(super) fn transition_answered(
        &mut self,
        group: &str,
        instance: &str,
        result: LifecycleResult,
    ) {
        let Some(member) = self.groups.get(group).and_then(|it| it.members.get(instance)) else {
            return;
        };
        let mut member = member.clone();
        let ending = match member.awaited() {
            Some(Transition::Terminating)
                if result == LifecycleResult::Abandon && self.retains(group) =>
            {
                Ending::Retained
            }
            _ => Ending::Regular,
        };
        member.ending = ending;
        self.set_ending(group, instance, ending);
        match (member.state, result) {
            (LifecycleState::PendingWait, LifecycleResult::Continue) => {
                self.set_member_state(group, instance, LifecycleState::PendingProceed);
                self.step_soon(group, instance);
            }
            (LifecycleState::PendingWait, LifecycleResult::Abandon) => {
                self.launch_abandoned(group, instance);
            }
            (LifecycleState::WarmedPendingWait, _) => {
                self.warming_answered(group, &member, result);
            }
            (LifecycleState::TerminatingWait | LifecycleState::WarmedTerminatingWait, _) => {
                self.proceed_to_terminate(group, instance);
            }
            _ => {}
        }
    }

    /// A hook has abandoned a launch, into the group or its warm pool.
    pub(super) fn launch_abandoned(&mut self, group: &str, instance: &str) {
        let hooks = match self.config.abandoned_launch {
            AbandonedLaunch::RunsTerminateHooks => TerminateHooks::Run,
            AbandonedLaunch::SkipsTerminateHooks => TerminateHooks::Skip,
        };
        self.back_off(group);
        self.dismiss(group, instance, hooks, "its launch was abandoned by a lifecycle hook");
    }

    /// Starts the termination of an instance of the group. Whoever is to replace it does not wait for it.
    pub(super) fn dismiss(
        &mut self,
        group: &str,
        instance: &str,
        hooks: TerminateHooks,
        cause: &str,
    ) {
        let Some(state) = self.member_state(group, instance) else {
            return;
        };
        if state.is_leaving() {
            if hooks == TerminateHooks::Skip {
                self.cut_hooks_short(group, instance);
            }
            return;
        }
        self.cancel_actions(instance);
        let origin = self.groups.get(group).and_then(|it| it.members.get(instance));
        let returning = origin.is_some_and(|member| member.origin == Origin::Group);
        if state.is_launching() || state.is_warming() && !returning {
            self.announce_result(group, instance, "EC2 Instance Launch Unsuccessful");
            self.set_activity(group, instance, ActivityStatus::Cancelled);
        }
        let activity = self.begin_activity(
            group,
            format!("Terminating EC2 instance: {instance}"),
            format!("At {} an instance was taken out of service: {cause}.", self.now),
        );
        let (origin, leaving) = if state.is_listed_in_warm_pool() {
            (Origin::WarmPool, LifecycleState::WarmedTerminating)
        } else {
            (Origin::Group, LifecycleState::Terminating)
        };
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.activity = activity;
            member.hooks = hooks;
            member.ending = Ending::Regular;
            member.origin = origin;
        }
        self.happened(
            Subject::member(group, instance),
            format!("group {group} terminates {instance}: {cause}"),
        );
        self.set_member_state(group, instance, leaving);
        self.step_soon(group, instance);
        self.request_scaling(group);
    }

    /// An instance is terminated and leaves its group.
    pub(super) fn member_gone(&mut self, group: &str, instance: &str) {
        self.set_activity(group, instance, ActivityStatus::Successful);
        self.announce_result(group, instance, "EC2 Instance Terminate Successful");
        self.left_group(group, instance);
    }

    /// An instance is its group's no more.
    pub(super) fn left_group(&mut self, group: &str, instance: &str) {
        let Some(found) = self.groups.get_mut(group) else {
            return;
        };
        found.members.remove(instance);
        let finished = found.status == GroupStatus::Deleting && found.members.is_empty();
        self.happened(
            Subject::member(group, instance),
            format!("{instance} has left group {group}"),
        );
        if finished {
            self.groups.remove(group);
            self.happened(Subject::group(group), format!("group {group} is deleted"));
        } else {
            self.warm_pool_emptied(group);
            self.request_scaling(group);
        }
    }

    /// Whether the instance is in service in a group.
    pub(super) fn is_in_service(&self, instance: &str) -> bool {
        self.member(instance).is_some_and(|(_, member)| member.state == LifecycleState::InService)
    }

    pub(super) fn member_state(&self, group: &str, instance: &str) -> Option<LifecycleState> {
        Some(self.groups.get(group)?.members.get(instance)?.state)
    }

    pub(super) fn set_member_state(&mut self, group: &str, instance: &str, state: LifecycleState) {
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.state = state;
            let text = format!("{instance} is {} in group {group}", state.as_str());
            self.happened(Subject::member(group, instance), text);
        }
    }

    /// Takes a launched instance into service, once EC2 shows it running.
    fn enter_service(&mut self, group: &str, instance: &str) {
        if self.instances.get(instance).is_none_or(|it| it.state != InstanceState::Running) {
            return;
        }
        self.set_member_state(group, instance, LifecycleState::InService);
        let now = self.now;
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.in_service_at = Some(now);
        }
        self.settled(group, instance);
        self.workload_mounts(instance);
    }

    /// An instance has got where it was going, in the group or its warm pool.
    pub(super) fn settled(&mut self, group: &str, instance: &str) {
        let Some(found) = self.groups.get_mut(group) else {
            return;
        };
        let returned = found.members.get(instance).is_some_and(|it| it.origin == Origin::Group);
        if !returned {
            found.failed_launches = 0;
        }
        self.set_activity(group, instance, ActivityStatus::Successful);
        let kind = if returned {
            "EC2 Instance Terminate Successful"
        } else {
            "EC2 Instance Launch Successful"
        };
        self.announce_result(group, instance, kind);
        self.request_scaling(group);
    }

    /// Nothing stands between an instance and its termination any more.
    fn proceed_to_terminate(&mut self, group: &str, instance: &str) {
        let proceeding = match self.member_state(group, instance) {
            Some(LifecycleState::WarmedTerminating | LifecycleState::WarmedTerminatingWait) => {
                LifecycleState::WarmedTerminatingProceed
            }
            _ => LifecycleState::TerminatingProceed,
        };
        self.set_member_state(group, instance, proceeding);
        self.step_soon(group, instance);
    }

    /// An instance that is leaving anyway stops waiting for its hooks.
    fn cut_hooks_short(&mut self, group: &str, instance: &str) {
        self.cancel_actions(instance);
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.hooks = TerminateHooks::Skip;
        }
        // Nobody has abandoned anything, so nothing is retained.
        self.transition_answered(group, instance, LifecycleResult::Continue);
    }

    /// Keeps an instance whose terminate hooks were abandoned (EC2 Auto Scaling User Guide, "Manage retained
    /// instances"). It has not counted since its termination began, so its replacement is on its way already.
    pub(super) fn retain(&mut self, group: &str, instance: &str, state: LifecycleState) {
        self.set_activity(group, instance, ActivityStatus::Cancelled);
        self.set_member_state(group, instance, state);
        self.request_scaling(group);
    }

    fn retains(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(Group::retains)
    }

    fn set_ending(&mut self, group: &str, instance: &str, ending: Ending) {
        let found = self.groups.get_mut(group).and_then(|it| it.members.get_mut(instance));
        if let Some(member) = found {
            member.ending = ending;
        }
    }

    fn announce_result(&mut self, group: &str, instance: &str, detail_type: &'static str) {
        let Some(found) = self.groups.get(group) else {
            return;
        };
        let Some(member) = found.members.get(instance) else {
            return;
        };
        let Some(activity) = self.activities.iter().find(|it| it.id == member.activity) else {
            return;
        };
        let subnet = found.zones.get(&member.zone);
        let detail = json!({
            "StatusCode": "InProgress",
            "Description": activity.description,
            "AutoScalingGroupName": group,
            "ActivityId": activity.id,
            "Details": { "Availability Zone": member.zone, "Subnet ID": subnet },
            "RequestId": activity.id,
            "StatusMessage": "",
            "StartTime": activity.started_at.to_string(),
            "EndTime": self.now.to_string(),
            "EC2InstanceId": instance,
            "Cause": activity.cause,
            "Origin": member.origin.as_str(),
            "Destination": member.destination(),
        });
        let arn = format!(
            "arn:aws:ec2:{}:{}:instance/{instance}",
            self.config.region, self.config.account
        );
        let resources = vec![found.arn.clone(), arn];
        self.announce(Announcement { source: "aws.autoscaling", detail_type, resources, detail });
    }
}
