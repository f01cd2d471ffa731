//! Lifecycle hooks: what a group waits on. The waiting itself is in `actions`.

use std::collections::BTreeMap;

use super::World;
use super::actions::Action;
use super::errors::ApiError;

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
            return Err(ApiError::Validation(format!("No Lifecycle Hook found with name {hook}")));
        }
        let open: Vec<Action> =
            self.actions().filter(|it| it.group == group && it.hook == hook).cloned().collect();
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
        Ok(hooks.filter(|it| names.is_empty() || names.contains(&it.name)).cloned().collect())
    }
}

/// Adds or changes a hook, within the limits of `PutLifecycleHook`.
pub(super) fn put_hook(
    hooks: &mut BTreeMap<String, Hook>,
    specification: HookSpecification,
) -> Result<(), ApiError> {
    let HookSpecification { name, transition, metadata, heartbeat_timeout, default_result } =
        specification;
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
