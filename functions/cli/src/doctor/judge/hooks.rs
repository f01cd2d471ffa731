//! The hooks, the tag and the policy: what makes a group ours.

use std::time::Duration;

use volume_pool::action::{ActionResult, Transition};
use volume_pool::ids::PoolName;
use volume_pool::policy::{LeaveMode, Mode, Policy};
use volume_pool_aws::enrolment::HookSettings;

use super::super::finding::{Code, Finding, Severity};
use super::super::mend;
use super::super::view::Group;

/// Reconcile keeps what waits alive each minute: below this, one run that is missed is one too many.
const HEARTBEAT_AT_LEAST: Duration = Duration::from_mins(2);
/// What is recommended: it bridges a function that fails for some minutes.
const HEARTBEAT_WELL: Duration = Duration::from_mins(5);

pub(super) fn judge(prefix: &str, group: &Group, found: &mut Vec<Finding>) {
    let Some(hooks) = &group.hooks else { return };
    let launch: Vec<&HookSettings> = group.our_hooks(prefix, Transition::Launching).collect();
    let terminate: Vec<&HookSettings> = group.our_hooks(prefix, Transition::Terminating).collect();
    let tag = group.settings.view.pool_tag.as_deref();
    let strays = misnamed(prefix, group, hooks, found);
    if tag.is_none() && launch.is_empty() && terminate.is_empty() && !strays {
        found.push(Finding {
            severity: Severity::Error,
            code: Code::NotEnrolled,
            subject: group.subject(),
            reason: format!(
                "it has neither the tag stateful-asg:pool nor a lifecycle hook whose name begins with {prefix}: \
                 nothing is done for its instances"
            ),
            mend: mend::enroll(group.name(), "--pool POOL"),
        });
        return;
    }
    tagged(prefix, group, found);
    present(group, &launch, &terminate, found);
    for hook in launch.iter().chain(&terminate) {
        in_time(group, hook, found);
    }
    for hook in &launch {
        launch_result(group, hook, found);
    }
    others(prefix, group, hooks, &terminate, found);
    policy(prefix, group, &launch, &terminate, found);
}

/// Hooks that carry a policy under a name that the event rule passes by.
fn misnamed(prefix: &str, group: &Group, hooks: &[HookSettings], found: &mut Vec<Finding>) -> bool {
    let before = found.len();
    for hook in hooks.iter().map(|it| &it.hook) {
        let ours = hook.name.as_str().starts_with(prefix);
        if ours || hook.metadata.is_none() || Policy::parse(hook.metadata.as_deref()).is_err() {
            continue;
        }
        found.push(Finding {
            severity: Severity::Error,
            code: Code::HookMisnamed,
            subject: group.subject(),
            reason: format!(
                "hook {} carries a policy, but its name does not begin with {prefix}: the event rule passes it by, \
                 the functions don't take it for theirs, and its actions time out",
                hook.name
            ),
            mend: mend::scaling(
                "delete-lifecycle-hook",
                group.name(),
                &format!("--lifecycle-hook-name {}", mend::word(hook.name.as_str())),
            ),
        });
    }
    found.len() > before
}

fn tagged(prefix: &str, group: &Group, found: &mut Vec<Finding>) {
    let written = group.written_policy(prefix).and_then(Result::ok);
    let wanted = written.as_ref().map_or("POOL", |policy| policy.pool.as_str());
    let mut push = |code, reason| {
        let mend = mend::tag(group.name(), wanted);
        found.push(Finding {
            severity: Severity::Error,
            code,
            subject: group.subject(),
            reason,
            mend,
        });
    };
    let Some(tag) = group.settings.view.pool_tag.as_deref() else {
        let reason = "it has no tag stateful-asg:pool: reconcile does not find it, so a launch or termination whose event \
                      is lost is not made up for";
        return push(Code::NoTag, reason.to_owned());
    };
    if let Err(problem) = tag.parse::<PoolName>() {
        return push(Code::PoolName, format!("its tag stateful-asg:pool: {problem}"));
    }
    if let Some(policy) = written.as_ref().filter(|policy| policy.pool.as_str() != tag) {
        let reason = format!(
            "its tag stateful-asg:pool says {tag} and its policy {}: its launches are held",
            policy.pool
        );
        push(Code::PoolMismatch, reason);
    }
}

fn present(
    group: &Group,
    launch: &[&HookSettings],
    terminate: &[&HookSettings],
    found: &mut Vec<Finding>,
) {
    let subject = group.subject();
    let pool = group.settings.view.pool_tag.as_deref().unwrap_or("POOL");
    let again = mend::enroll(group.name(), &format!("--pool {}", mend::word(pool)));
    for (hooks, code, transition, reason) in [
        (
            launch,
            Code::NoLaunchHook,
            "launch",
            "it has no launch hook of ours: its instances come into service without their volumes, and nothing knows its policy",
        ),
        (
            terminate,
            Code::NoTerminateHook,
            "terminate",
            "it has no terminate hook of ours: no instance is stopped before its volumes are taken, the termination itself \
             tears them off",
        ),
    ] {
        match hooks {
            [] => found.push(Finding {
                severity: Severity::Error,
                code,
                subject: subject.clone(),
                reason: reason.to_owned(),
                mend: again.clone(),
            }),
            [_] => {}
            [_, surplus, ..] => {
                let names: Vec<&str> = hooks.iter().map(|it| it.hook.name.as_str()).collect();
                let held = if transition == "launch" { ": its launches are held" } else { "" };
                found.push(Finding {
                    severity: if held.is_empty() { Severity::Warning } else { Severity::Error },
                    code: Code::SeveralHooks,
                    subject: subject.clone(),
                    reason: format!(
                        "it has several {transition} hooks of ours, {}{held}",
                        names.join(", ")
                    ),
                    mend: mend::scaling(
                        "delete-lifecycle-hook",
                        group.name(),
                        &format!(
                            "--lifecycle-hook-name {}",
                            mend::word(surplus.hook.name.as_str())
                        ),
                    ),
                });
            }
        }
    }
}

fn in_time(group: &Group, hook: &HookSettings, found: &mut Vec<Finding>) {
    let heartbeat = hook.hook.heartbeat_timeout;
    if heartbeat >= HEARTBEAT_WELL {
        return;
    }
    let severity = if heartbeat < HEARTBEAT_AT_LEAST { Severity::Error } else { Severity::Warning };
    found.push(Finding {
        severity,
        code: Code::HeartbeatShort,
        subject: group.subject(),
        reason: format!(
            "hook {} times out after {} s; reconcile keeps what waits alive once a minute, so a few runs that fail let it \
             go its default way. Give it {} s or more",
            hook.hook.name,
            heartbeat.as_secs(),
            HEARTBEAT_WELL.as_secs()
        ),
        mend: put_hook(group, hook, &format!("--heartbeat-timeout {}", HEARTBEAT_WELL.as_secs())),
    });
}

fn launch_result(group: &Group, hook: &HookSettings, found: &mut Vec<Finding>) {
    if hook.default_result == ActionResult::Continue {
        found.push(Finding {
            severity: Severity::Error,
            code: Code::LaunchGoesOn,
            subject: group.subject(),
            reason: format!(
                "hook {} has the default result CONTINUE: a launch that nobody answers in time goes into service without \
                 its volume, and may begin on an empty directory",
                hook.hook.name
            ),
            mend: put_hook(group, hook, "--default-result ABANDON"),
        });
    }
}

/// Terminate hooks of somebody else, and what a timeout of ours does to them and to the instance.
fn others(
    prefix: &str,
    group: &Group,
    hooks: &[HookSettings],
    ours: &[&HookSettings],
    found: &mut Vec<Finding>,
) {
    let others: Vec<&str> = hooks
        .iter()
        .filter(|it| it.hook.transition == Transition::Terminating)
        .map(|it| it.hook.name.as_str())
        .filter(|name| !name.starts_with(prefix))
        .collect();
    let stops = group.policy(prefix).is_some_and(|policy| policy.leave.mode == LeaveMode::Stop);
    if let Some(name) = others.first().filter(|_| stops && !ours.is_empty()) {
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::OtherTerminateHook,
            subject: group.subject(),
            reason: format!(
                "it has the terminate hook {} of somebody else, who may be draining the instance: leave mode stop does not \
                 stop it then, and the termination frees the volumes. If that is meant, say so: leave mode terminate, or \
                 guest",
                others.join(", ")
            ),
            mend: mend::scaling(
                "delete-lifecycle-hook",
                group.name(),
                &format!("--lifecycle-hook-name {}", mend::word(name)),
            ),
        });
    }
    for hook in ours.iter().filter(|it| it.default_result == ActionResult::Abandon) {
        let consequence = match (group.settings.retains, others.is_empty()) {
            (true, _) => {
                "keeps its instance (TerminateHookAbandon is retain), with its volumes, until a person terminates it"
            }
            (false, false) => "skips the terminate hooks of others",
            (false, true) => continue,
        };
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::TerminateAbandons,
            subject: group.subject(),
            reason: format!(
                "hook {} has the default result ABANDON: a termination that nobody answers in time {consequence}",
                hook.hook.name
            ),
            mend: put_hook(group, hook, "--default-result CONTINUE"),
        });
    }
}

fn policy(
    prefix: &str,
    group: &Group,
    launch: &[&HookSettings],
    terminate: &[&HookSettings],
    found: &mut Vec<Finding>,
) {
    if let Some(Err(problem)) = group.written_policy(prefix) {
        let instead = if group.record.is_some() {
            "its launches go by the last policy that parsed"
        } else {
            "its launches are held"
        };
        found.push(Finding {
            severity: Severity::Error,
            code: Code::PolicyFault,
            subject: group.subject(),
            reason: format!("its policy does not parse: {problem}; {instead}"),
            mend: mend::enroll(group.name(), "--policy FILE"),
        });
    }
    let Some(policy) = group.policy(prefix) else { return };
    if policy.mode == Mode::Observe {
        found.push(Finding {
            severity: Severity::Note,
            code: Code::Observes,
            subject: group.subject(),
            reason: "its policy has mode observe: it is only said what would be done".to_owned(),
            mend: mend::enroll(group.name(), "--enforce"),
        });
    }
    let (wait, leave) = (policy.wait_seconds, policy.leave.seconds);
    for (hooks, field, seconds) in
        [(launch, "waitSeconds", wait), (terminate, "leave.seconds", leave)]
    {
        let Some(hook) = hooks.first() else { continue };
        if hook.hook.global_timeout >= Duration::from_secs(u64::from(seconds)) {
            continue;
        }
        found.push(Finding {
            severity: Severity::Warning,
            code: Code::HookLimitShort,
            subject: group.subject(),
            reason: format!(
                "hook {} ends after {} s at most, whatever keeps it alive (100 heartbeat timeouts, 48 hours), and {field} \
                 is {seconds}: it never comes to that",
                hook.hook.name,
                hook.hook.global_timeout.as_secs()
            ),
            mend: put_hook(group, hook, &format!("--heartbeat-timeout {}", (seconds / 100 + 1).max(300))),
        });
    }
}

/// `PutLifecycleHook` leaves out what stays as it is.
fn put_hook(group: &Group, hook: &HookSettings, rest: &str) -> String {
    let name = mend::word(hook.hook.name.as_str());
    mend::scaling(
        "put-lifecycle-hook",
        group.name(),
        &format!("--lifecycle-hook-name {name} {rest}"),
    )
}
