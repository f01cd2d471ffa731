//! The enrolment as code, for those whose groups are code already.

use std::fmt::Write as _;

use volume_pool::action::Transition;
use volume_pool::ids::{GroupName, PoolName};
use volume_pool::observation::tags;
use volume_pool_aws::enrolment::HookWanted;

use super::Format;

/// The hooks and the tag as code.
pub(crate) fn code(
    format: Format,
    group: &GroupName,
    pool: &PoolName,
    hooks: &[HookWanted],
) -> String {
    match format {
        Format::CloudFormation => cloudformation(pool, hooks),
        Format::Terraform => terraform(group, pool, hooks),
    }
}

const fn transition(hook: &HookWanted) -> &'static str {
    match hook.transition {
        Transition::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
        Transition::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
    }
}

fn cloudformation(pool: &PoolName, hooks: &[HookWanted]) -> String {
    let mut text =
        "# Properties of the AWS::AutoScaling::AutoScalingGroup\nLifecycleHookSpecificationList:\n"
            .to_owned();
    for hook in hooks {
        let _ = writeln!(text, "  - LifecycleHookName: {}", quoted(hook.name.as_str()));
        let _ = writeln!(text, "    LifecycleTransition: {}", transition(hook));
        let _ = writeln!(text, "    HeartbeatTimeout: {}", hook.heartbeat_seconds);
        let _ = writeln!(text, "    DefaultResult: {}", hook.default_result.as_str());
        if let Some(metadata) = &hook.metadata {
            // In single quotes YAML takes everything as it is, but for the quote itself.
            let _ = writeln!(text, "    NotificationMetadata: '{}'", metadata.replace('\'', "''"));
        }
    }
    let _ = writeln!(
        text,
        "Tags:\n  - Key: {}\n    Value: {}\n    PropagateAtLaunch: false",
        tags::POOL,
        quoted(pool.as_str())
    );
    text
}

fn terraform(group: &GroupName, pool: &PoolName, hooks: &[HookWanted]) -> String {
    let mut text = String::from(
        "# For a group that is new, write the hooks as its initial_lifecycle_hook blocks instead: its first instances are\n\
         # launched before resources beside it are there.\n",
    );
    let label = |suffix: &str| {
        let plain = |it: char| if it.is_ascii_alphanumeric() || it == '-' { it } else { '_' };
        let group: String = group.as_str().chars().map(plain).collect();
        quoted(&format!("stateful_asg_{group}_{suffix}"))
    };
    for hook in hooks {
        let suffix = super::holds_up(hook.transition);
        let _ = writeln!(text, "resource \"aws_autoscaling_lifecycle_hook\" {} {{", label(suffix));
        let _ = writeln!(text, "  name                   = {}", template(hook.name.as_str()));
        let _ = writeln!(text, "  autoscaling_group_name = {}", template(group.as_str()));
        let _ = writeln!(text, "  lifecycle_transition   = \"{}\"", transition(hook));
        let _ = writeln!(text, "  heartbeat_timeout      = {}", hook.heartbeat_seconds);
        let _ = writeln!(text, "  default_result         = \"{}\"", hook.default_result.as_str());
        if let Some(metadata) = &hook.metadata {
            let _ = writeln!(text, "  notification_metadata  = {}", template(metadata));
        }
        text.push_str("}\n\n");
    }
    let _ = write!(
        text,
        "resource \"aws_autoscaling_group_tag\" {} {{\n  autoscaling_group_name = {}\n\n  tag {{\n    key                 = \
         \"{}\"\n    value               = {}\n    propagate_at_launch = false\n  }}\n}}\n",
        label("pool"),
        template(group.as_str()),
        tags::POOL,
        template(pool.as_str())
    );
    text
}

/// As JSON, and YAML, quote a text.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As HCL quotes a text: like JSON, but `${` and `%{` would begin a template.
fn template(text: &str) -> String {
    quoted(text).replace("${", "$${").replace("%{", "%%{")
}
