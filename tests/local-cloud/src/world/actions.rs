//! Lifecycle hooks and their actions: who is waited for, how long, and what happens if nobody answers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use volume_pool::Timestamp;

use super::World;
use super::activities::ActivityStatus;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Announcement, Subject};
use super::members::LifecycleState;

/// What a hook waits on (`LifecycleTransition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// An instance that is launched.
    Launching,
    /// An instance that is terminated.
    Terminating,
}

impl Transition {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Launching, Self::Terminating];

    /// The transition as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }

    /// The transition of that name.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == name)
            .ok_or_else(|| ApiError::Validation(format!("Invalid lifecycle transition: {name}")))
    }
}

/// How an action is answered (`LifecycleActionResult`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleResult {
    /// Go on.
    Continue,
    /// Launching: terminate and replace. Terminating: go on without the remaining hooks.
    Abandon,
}

impl LifecycleResult {
    /// The result as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    /// The result of that name.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        match name {
            "CONTINUE" => Ok(Self::Continue),
            "ABANDON" => Ok(Self::Abandon),
            other => Err(ApiError::Validation(format!(
                "Lifecycle action result must be CONTINUE or ABANDON, not {other}"
            ))),
        }
    }
}

/// The input of `PutLifecycleHook`. What is absent stays, or takes its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookSpecification {
    /// The hook's name.
    pub name: String,
    /// What it waits on: needed unless the hook exists.
    pub transition: Option<Transition>,
    /// `NotificationMetadata`: up to 4,000 printable ASCII characters.
    pub metadata: Option<String>,
    /// Seconds until an action times out, 30 to 7,200.
    pub heartbeat_timeout: Option<u32>,
    /// What a timeout means.
    pub default_result: Option<LifecycleResult>,
}

/// A lifecycle hook of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// What it waits on.
    pub transition: Transition,
    /// What its events carry.
    pub metadata: Option<String>,
    /// Seconds until an action times out, before [`Config::speed`](super::Config::speed) divides them.
    pub heartbeat_timeout: u32,
    /// What a timeout means.
    pub default_result: LifecycleResult,
}

impl Hook {
    /// Seconds after which an action times out whatever heartbeats it had.
    pub fn global_timeout(&self) -> u32 {
        self.heartbeat_timeout.saturating_mul(100).min(48 * 3_600)
    }
}

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

const HOOKS_PER_GROUP: usize = 50;

impl World {
    /// `PutLifecycleHook`. Instances that wait already are not affected.
    pub fn put_lifecycle_hook(
        &mut self,
        group: &str,
        specification: HookSpecification,
    ) -> Result<(), ApiError> {
        let mut hooks = self.group(group)?.hooks.clone();
        put_hook(&mut hooks, specification)?;
        if let Some(found) = self.groups.get_mut(group) {
            found.hooks = hooks;
        }
        Ok(())
    }

    /// `DeleteLifecycleHook`. Its open actions are answered first: ABANDON for launching instances, CONTINUE
    /// for terminating ones.
    pub fn delete_lifecycle_hook(&mut self, group: &str, hook: &str) -> Result<(), ApiError> {
        if !self.group(group)?.hooks.contains_key(hook) {
            return Err(ApiError::Validation(format!(
                "No Lifecycle Hook found with name {hook}"
            )));
        }
        let open: Vec<Action> = self
            .actions()
            .filter(|it| it.group == group && it.hook == hook)
            .cloned()
            .collect();
        for action in open {
            let result = match action.transition {
                Transition::Launching => LifecycleResult::Abandon,
                Transition::Terminating => LifecycleResult::Continue,
            };
            self.answer(&action.token, result);
        }
        if let Some(found) = self.groups.get_mut(group) {
            found.hooks.remove(hook);
        }
        Ok(())
    }

    /// `DescribeLifecycleHooks`, by name.
    pub fn describe_lifecycle_hooks(
        &self,
        group: &str,
        names: &[String],
    ) -> Result<Vec<Hook>, ApiError> {
        let hooks = self.group(group)?.hooks.values();
        Ok(hooks
            .filter(|it| names.is_empty() || names.contains(&it.name))
            .cloned()
            .collect())
    }

    /// `CompleteLifecycleAction`.
    pub fn complete_lifecycle_action(
        &mut self,
        group: &str,
        hook: &str,
        name: ActionName<'_>,
        result: LifecycleResult,
    ) -> Result<(), ApiError> {
        let action = self.active_action(group, hook, name)?.clone();
        let text = format!(
            "hook {hook} is answered {} for {}",
            result.as_str(),
            action.instance
        );
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
        let hooks: Vec<Hook> = found
            .hooks
            .values()
            .filter(|hook| hook.transition == transition)
            .cloned()
            .collect();
        if hooks.is_empty() {
            return false;
        }
        let waiting = match transition {
            Transition::Launching => LifecycleState::PendingWait,
            Transition::Terminating => LifecycleState::TerminatingWait,
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
        let text = format!(
            "hook {} timed out for {instance}: {}",
            action.hook,
            result.as_str()
        );
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
        self.queue
            .schedule(deadline, Due::ActionTimeout(token.clone()));
        self.announce_action(&action, hook);
        self.actions.insert(token, action);
    }

    /// `EC2 Instance-launch Lifecycle Action` and `EC2 Instance-terminate Lifecycle Action`.
    fn announce_action(&mut self, action: &Action, hook: &Hook) {
        let (detail_type, origin, destination) = match action.transition {
            Transition::Launching => (
                "EC2 Instance-launch Lifecycle Action",
                "EC2",
                "AutoScalingGroup",
            ),
            Transition::Terminating => (
                "EC2 Instance-terminate Lifecycle Action",
                "AutoScalingGroup",
                "EC2",
            ),
        };
        let mut detail = json!({
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": action.group,
            "LifecycleHookName": action.hook,
            "EC2InstanceId": action.instance,
            "LifecycleTransition": action.transition.as_str(),
            "Origin": origin,
            "Destination": destination,
        });
        if let (Some(metadata), Value::Object(fields)) = (&hook.metadata, &mut detail) {
            fields.insert(
                "NotificationMetadata".to_owned(),
                Value::from(metadata.as_str()),
            );
        }
        let arn = self
            .groups
            .get(&action.group)
            .map(|it| it.arn.clone())
            .unwrap_or_default();
        let resources = vec![arn];
        self.announce(Announcement {
            source: "aws.autoscaling",
            detail_type,
            resources,
            detail,
        });
    }

    /// Ends an action; the instance goes on once the last one has ended, or at once if this one says so.
    fn answer(&mut self, token: &str, result: LifecycleResult) {
        let Some(action) = self.actions.remove(token) else {
            return;
        };
        let Action {
            group, instance, ..
        } = action;
        match result {
            LifecycleResult::Abandon => self.cancel_actions(&instance),
            LifecycleResult::Continue if self.actions().any(|it| it.instance == instance) => return,
            LifecycleResult::Continue => {}
        }
        self.transition_answered(&group, &instance, result);
    }

    fn active_action(
        &self,
        group: &str,
        hook: &str,
        name: ActionName<'_>,
    ) -> Result<&Action, ApiError> {
        let group = &self.group(group)?.name;
        let missing = match name {
            ActionName {
                token: Some(token), ..
            } => format!("token {token}"),
            ActionName {
                token: None,
                instance: Some(instance),
            } => format!("instance ID {instance}"),
            ActionName {
                token: None,
                instance: None,
            } => {
                return Err(ApiError::Validation(
                    "Either an instance ID or a lifecycle action token is required".to_owned(),
                ));
            }
        };
        let meant = |action: &&Action| {
            action.group == *group
                && action.hook == hook
                && name.token.is_none_or(|token| action.token == token)
                && name
                    .instance
                    .is_none_or(|instance| action.instance == instance)
        };
        self.actions().find(meant).ok_or_else(|| {
            ApiError::Validation(format!("No active Lifecycle Action found with {missing}"))
        })
    }
}

/// Adds or changes a hook, within the limits of `PutLifecycleHook`.
pub(super) fn put_hook(
    hooks: &mut BTreeMap<String, Hook>,
    specification: HookSpecification,
) -> Result<(), ApiError> {
    let HookSpecification {
        name,
        transition,
        metadata,
        heartbeat_timeout,
        default_result,
    } = specification;
    check_hook_name(&name)?;
    if heartbeat_timeout.is_some_and(|seconds| !(30..=7_200).contains(&seconds)) {
        return Err(ApiError::Validation(
            "Heartbeat timeout must be between 30 and 7200 seconds, inclusive".to_owned(),
        ));
    }
    if let Some(metadata) = &metadata {
        check_metadata(metadata)?;
    }
    let existing = hooks.get(&name);
    if existing.is_none() && hooks.len() >= HOOKS_PER_GROUP {
        return Err(ApiError::LimitExceeded(format!(
            "A group can have at most {HOOKS_PER_GROUP} lifecycle hooks"
        )));
    }
    let Some(transition) = transition.or(existing.map(|hook| hook.transition)) else {
        return Err(ApiError::Validation(format!(
            "A lifecycle transition is required to create the lifecycle hook {name}"
        )));
    };
    let hook = Hook {
        name: name.clone(),
        transition,
        metadata: metadata.or_else(|| existing.and_then(|hook| hook.metadata.clone())),
        heartbeat_timeout: heartbeat_timeout
            .unwrap_or(existing.map_or(3_600, |hook| hook.heartbeat_timeout)),
        default_result: default_result
            .unwrap_or(existing.map_or(LifecycleResult::Abandon, |hook| hook.default_result)),
    };
    hooks.insert(name, hook);
    Ok(())
}

fn check_hook_name(name: &str) -> Result<(), ApiError> {
    let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '/');
    if (1..=255).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ApiError::Validation(format!(
        "1 validation error detected: Value '{name}' at 'lifecycleHookName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [A-Za-z0-9\\-_\\/]+"
    )))
}

fn check_metadata(metadata: &str) -> Result<(), ApiError> {
    let printable = |it: char| matches!(it, '\t' | '\n' | '\r' | ' '..='~');
    if (1..=4_000).contains(&metadata.chars().count()) && metadata.chars().all(printable) {
        return Ok(());
    }
    Err(ApiError::Validation(
        "1 validation error detected: Value at 'notificationMetadata' failed to satisfy constraint: Member must \
         have length between 1 and 4000 and satisfy regular expression pattern: \
         [\\u0009\\u000A\\u000D\\u0020-\\u007e]+"
            .to_owned(),
    ))
}
