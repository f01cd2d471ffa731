//! What must be put so that a group is as wanted. In this order: by the tag reconcile finds the group, a terminate hook
//! alone changes nothing for instances that hold nothing, and the launch hook, which makes launches wait, comes last.

use volume_pool::action::{ActionResult, Transition};
use volume_pool::ids::{HookName, PoolName};
use volume_pool_aws::enrolment::{HookSettings, HookWanted};

use super::holds_up;
use super::wanted::Wanted;
use crate::difference::differences;
use crate::failure::Failure;

/// What bridges some minutes in which the functions fail.
const HEARTBEAT_SECONDS: u32 = 300;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The group's tag.
    Tag(PoolName),
    /// A hook.
    Hook(HookWanted),
}

/// The calls, and what they change in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) changes: Vec<Change>,
    pub(crate) lines: Vec<String>,
}

/// The hooks of ours that a group has: at most one for each transition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OurHooks<'a> {
    pub(crate) launch: Option<&'a HookSettings>,
    pub(crate) terminate: Option<&'a HookSettings>,
}

/// Finds our hooks; several for one transition are for a person to sort out.
pub(crate) fn our_hooks<'a>(
    prefix: &str,
    hooks: &'a [HookSettings],
) -> Result<OurHooks<'a>, Failure> {
    let only = |transition| {
        let ours: Vec<&HookSettings> = hooks
            .iter()
            .filter(|it| {
                it.hook.transition == transition && it.hook.name.as_str().starts_with(prefix)
            })
            .collect();
        match ours.as_slice() {
            [] => Ok(None),
            [hook] => Ok(Some(*hook)),
            several => {
                let names: Vec<&str> = several.iter().map(|it| it.hook.name.as_str()).collect();
                Err(Failure::Refused(format!(
                    "the group has several {} hooks of ours, {}: delete all but one first (aws autoscaling delete-lifecycle-hook)",
                    holds_up(transition),
                    names.join(", ")
                )))
            }
        }
    };
    Ok(OurHooks { launch: only(Transition::Launching)?, terminate: only(Transition::Terminating)? })
}

/// What differs from what is wanted.
pub(crate) fn plan(
    prefix: &str,
    tag: Option<&str>,
    ours: &OurHooks<'_>,
    wanted: &Wanted,
    heartbeat: Option<u32>,
) -> Result<Plan, Failure> {
    let pool = &wanted.policy.pool;
    let written = wanted.current.as_ref().map(|policy| policy.pool.as_str());
    if let Some(other) = written.or(tag).filter(|other| *other != pool.as_str()) {
        return Err(Failure::Refused(format!(
            "the group is enrolled in pool {other}: its instances hold slots of that. Leave it first (stateful-asg leave), then \
             enroll it in {pool}"
        )));
    }
    let mut plan = Plan::default();
    if tag != Some(pool.as_str()) {
        plan.lines.push(format!("tag stateful-asg:pool={pool}, not given to instances"));
        plan.changes.push(Change::Tag(pool.clone()));
    }
    let [launch, terminate] = new_hooks(prefix, &wanted.text, heartbeat)?;
    for (present, mut hook) in [(ours.terminate, terminate), (ours.launch, launch)] {
        if let Some(present) = present {
            hook.name = present.hook.name.clone();
            if heartbeat.is_none() {
                hook.heartbeat_seconds = seconds(present);
            }
            if hook.transition == Transition::Terminating {
                hook.default_result = present.default_result;
            }
        }
        let differs = match present {
            None => vec![described(&hook)],
            Some(present) => differing(present, &hook, wanted),
        };
        if !differs.is_empty() {
            let new = if present.is_none() { "new " } else { "" };
            plan.lines.push(format!("{new}hook {}: {}", hook.name, differs.join("; ")));
            plan.changes.push(Change::Hook(hook));
        }
    }
    Ok(plan)
}

/// The hooks of a group that has none: the launch hook and the terminate hook.
pub(crate) fn new_hooks(
    prefix: &str,
    policy: &str,
    heartbeat: Option<u32>,
) -> Result<[HookWanted; 2], Failure> {
    let name = |suffix: &str| {
        let name = format!("{prefix}-{suffix}").parse::<HookName>();
        name.map_err(|error| Failure::Usage(format!("--hook-prefix: {error}")))
    };
    let heartbeat_seconds = heartbeat.unwrap_or(HEARTBEAT_SECONDS);
    Ok([
        HookWanted {
            name: name("launch")?,
            transition: Transition::Launching,
            metadata: Some(policy.to_owned()),
            heartbeat_seconds,
            // Nobody goes into service without its volume because nobody answered.
            default_result: ActionResult::Abandon,
        },
        HookWanted {
            name: name("terminate")?,
            transition: Transition::Terminating,
            metadata: None,
            heartbeat_seconds,
            // Both terminate; ABANDON would skip the hooks of others as well.
            default_result: ActionResult::Continue,
        },
    ])
}

fn described(hook: &HookWanted) -> String {
    let policy = hook.metadata.as_ref().map(|text| format!(", policy {text}")).unwrap_or_default();
    format!(
        "{}, heartbeat timeout {} s, default result {}{policy}",
        holds_up(hook.transition),
        hook.heartbeat_seconds,
        hook.default_result.as_str()
    )
}

fn differing(present: &HookSettings, hook: &HookWanted, wanted: &Wanted) -> Vec<String> {
    let mut differs = Vec::new();
    if hook.transition == Transition::Launching {
        match &wanted.current {
            Some(current) => {
                let fields = differences(current, &wanted.policy);
                differs.extend(fields.iter().map(ToString::to_string));
            }
            None => {
                differs.push(format!("policy {} in place of one that does not parse", wanted.text));
            }
        }
    }
    if seconds(present) != hook.heartbeat_seconds {
        differs.push(format!(
            "heartbeat timeout {} s -> {} s",
            seconds(present),
            hook.heartbeat_seconds
        ));
    }
    if present.default_result != hook.default_result {
        differs.push(format!(
            "default result {} -> {}",
            present.default_result.as_str(),
            hook.default_result.as_str()
        ));
    }
    differs
}

fn seconds(hook: &HookSettings) -> u32 {
    u32::try_from(hook.hook.heartbeat_timeout.as_secs()).unwrap_or(u32::MAX)
}
