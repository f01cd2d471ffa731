//! Lifecycle actions: hooks waiting for one instance, how long, and what happens if nobody answers.

use std::time::Duration;

use serde_json::json;
use volume_pool::Timestamp;

use super::World;
use super::activities::ActivityStatus;
use super::config::{PlacesInEvents, SeveralHooks};
use super::due::Due;
use super::errors::ApiError;
use super::events::{Announcement, Subject};
use super::hooks::{Hook, LifecycleResult, Transition};

/// A hook waiting for one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its token.
    pub token: String,
    /// The hook's name.
    pub hook: String,
    /// The group's name.
    pub group: String,
    /// The instance.
    pub instance: String,
    /// What the hook waits on.
    pub transition: Transition,
    /// When it began.
    pub started_at: Timestamp,
    /// When it times out, unless a heartbeat comes.
    pub deadline: Timestamp,
    /// When it times out whatever comes.
    pub global_deadline: Timestamp,
    heartbeat: Duration,
    default_result: LifecycleResult,
}

/// How a caller names an action: by token, by instance, or by both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActionName<'a> {
    /// The token.
    pub token: Option<&'a str>,
    /// The instance.
    pub instance: Option<&'a str>,
}

impl World {
    /// `CompleteLifecycleAction`.
    pub fn complete_lifecycle_action(
        &mut self,
        group: &str,
        hook: &str,
        name: ActionName<'_>,
        result: LifecycleResult,
    ) -> Result<(), ApiError> {
        let action = self.active_action(group, hook, name)?.clone();
        let text = format!("hook {hook} is answered {} for {}", result.as_str(), action.instance);
        self.happened(Subject::member(&action.group, &action.instance), text);
        self.answer(&action.token, result);
        Ok(())
    }

    /// `RecordLifecycleActionHeartbeat`: the timeout starts anew, up to the global one.
    pub fn record_lifecycle_action_heartbeat(
        &mut self,
        group: &str,
        hook: &str,
        name: ActionName<'_>,
    ) -> Result<(), ApiError> {
        let token = self.active_action(group, hook, name)?.token.clone();
        let now = self.now;
        if let Some(action) = self.actions.get_mut(&token) {
            action.deadline = now.plus(action.heartbeat).min(action.global_deadline);
            let deadline = action.deadline;
            self.queue.schedule(deadline, Due::ActionTimeout(token));
        }
        Ok(())
    }

    /// The actions that are waited for.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// Starts an action for each hook of the transition, and tells of it. False if there is no such hook.
    pub(super) fn open_actions(
        &mut self,
        group: &str,
        instance: &str,
        transition: Transition,
    ) -> bool {
        let Some(found) = self.groups.get(group) else {
            return false;
        };
        let mut hooks: Vec<Hook> =
            found.hooks.values().filter(|hook| hook.transition == transition).cloned().collect();
        if self.config.several_hooks == SeveralHooks::OneByOne {
            hooks.truncate(1);
        }
        if hooks.is_empty() {
            return false;
        }
        let Some(waiting) =
            self.member_state(group, instance).and_then(super::LifecycleState::waiting)
        else {
            return false;
        };
        self.set_member_state(group, instance, waiting);
        self.set_activity(group, instance, ActivityStatus::MidLifecycleAction);
        for hook in hooks {
            self.open_action(group, instance, &hook);
        }
        true
    }

    /// Nobody is waited for any more on behalf of an instance.
    pub(super) fn cancel_actions(&mut self, instance: &str) {
        self.actions.retain(|_, action| action.instance != instance);
    }

    /// An action's deadline may have come.
    pub(super) fn action_due(&mut self, token: &str) {
        let Some(action) = self.actions.get(token) else {
            return;
        };
        if action.deadline > self.now {
            return;
        }
        let (group, instance) = (action.group.clone(), action.instance.clone());
        let result = action.default_result;
        let text = format!("hook {} timed out for {instance}: {}", action.hook, result.as_str());
        self.happened(Subject::member(&group, &instance), text);
        self.answer(token, result);
    }

    fn open_action(&mut self, group: &str, instance: &str, hook: &Hook) {
        let token = self.new_uuid();
        let heartbeat = self.seconds(hook.heartbeat_timeout);
        let deadline = self.now.plus(heartbeat);
        let action = Action {
            token: token.clone(),
            hook: hook.name.clone(),
            group: group.to_owned(),
            instance: instance.to_owned(),
            transition: hook.transition,
            started_at: self.now,
            deadline,
            global_deadline: self.now.plus(self.seconds(hook.global_timeout())),
            heartbeat,
            default_result: hook.default_result,
        };
        self.queue.schedule(deadline, Due::ActionTimeout(token.clone()));
        self.announce_action(&action, hook);
        self.actions.insert(token, action);
    }

    /// `EC2 Instance-launch Lifecycle Action` and `EC2 Instance-terminate Lifecycle Action`.
    fn announce_action(&mut self, action: &Action, hook: &Hook) {
        let detail_type = match action.transition {
            Transition::Launching => "EC2 Instance-launch Lifecycle Action",
            Transition::Terminating => "EC2 Instance-terminate Lifecycle Action",
        };
        let Some((_, member)) = self.member(&action.instance) else {
            return;
        };
        let mut detail = json!({
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": action.group,
            "LifecycleHookName": action.hook,
            "EC2InstanceId": action.instance,
            "LifecycleTransition": action.transition.as_str(),
        });
        let group = self.groups.get(&action.group);
        let places = match self.config.places_in_events {
            PlacesInEvents::Always => true,
            PlacesInEvents::WithWarmPools => group.is_some_and(|it| it.warm_pool.is_some()),
        };
        if places {
            detail["Origin"] = member.origin.as_str().into();
            detail["Destination"] = member.destination().into();
        }
        if let Some(metadata) = &hook.metadata {
            detail["NotificationMetadata"] = metadata.as_str().into();
        }
        let arn = group.map(|it| it.arn.clone()).unwrap_or_default();
        let resources = vec![arn];
        self.announce(Announcement { source: "aws.autoscaling", detail_type, resources, detail });
    }

    /// Ends an action; the instance goes on once the last one has ended, or at once if this one says so.
    pub(super) fn answer(&mut self, token: &str, result: LifecycleResult) {
        let Some(action) = self.actions.remove(token) else {
            return;
        };
        if result == LifecycleResult::Continue && self.open_next_action(&action) {
            return;
        }
        let Action { group, instance, .. } = action;
        match result {
            LifecycleResult::Abandon => self.cancel_actions(&instance),
            LifecycleResult::Continue if self.actions().any(|it| it.instance == instance) => return,
            LifecycleResult::Continue => {}
        }
        self.transition_answered(&group, &instance, result);
    }

    /// Where hooks wait one by one, starts that after the one that was answered. False if there is none.
    fn open_next_action(&mut self, answered: &Action) -> bool {
        if self.config.several_hooks == SeveralHooks::Together {
            return false;
        }
        let hooks = self.groups.get(&answered.group).map(|group| &group.hooks);
        let mut later = hooks
            .into_iter()
            .flatten()
            .map(|(_, hook)| hook)
            .filter(|hook| hook.transition == answered.transition && hook.name > answered.hook);
        let Some(next) = later.next().cloned() else {
            return false;
        };
        self.open_action(&answered.group, &answered.instance, &next);
        true
    }

    fn active_action(
        &self,
        group: &str,
        hook: &str,
        name: ActionName<'_>,
    ) -> Result<&Action, ApiError> {
        // Here, and only here, the API takes a group's ARN for its name.
        let by_arn = self.groups.values().find(|it| it.arn == group);
        let group = match by_arn {
            Some(found) => &found.name,
            None => &self.group(group)?.name,
        };
        let missing = match name {
            ActionName { token: Some(token), .. } => format!("token {token}"),
            ActionName { token: None, instance: Some(instance) } => {
                format!("instance ID {instance}")
            }
            ActionName { token: None, instance: None } => {
                return Err(ApiError::Validation(
                    "Either an instance ID or a lifecycle action token is required".to_owned(),
                ));
            }
        };
        let late = self.config.scaled(self.config.late_actions.unwrap_or_default());
        let meant = |action: &&Action| {
            self.now >= action.started_at.plus(late)
                && action.group == *group
                && action.hook == hook
                && name.token.is_none_or(|token| action.token == token)
                && name.instance.is_none_or(|instance| action.instance == instance)
        };
        self.actions().find(meant).ok_or_else(|| {
            ApiError::Validation(format!("No active Lifecycle Action found with {missing}"))
        })
    }
}
