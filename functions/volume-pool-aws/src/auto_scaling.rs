//! Auto Scaling behind [`LifecycleActions`]. Never answers an action on its own account, and never takes a refusal
//! for a success: whether "no active action" means done is the domain's to find out.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{AutoScalingInstanceDetails, LifecycleHook};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::ids::{GroupName, InstanceId};
use volume_pool::observation::{GroupInstance, Hook, LifecycleState};
use volume_pool::ports::{Answer, LifecycleActions, PortError};

use crate::classify;
use crate::convert::{Unintelligible, present, unintelligible};

/// Auto Scaling.
#[derive(Debug, Clone)]
pub struct AutoScaling {
    client: Client,
}

impl AutoScaling {
    /// Auto Scaling through this client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }
}

impl LifecycleActions for AutoScaling {
    async fn group_instance(
        &self,
        instance: &InstanceId,
    ) -> Result<Option<GroupInstance>, PortError> {
        const CALL: &str = "autoscaling:DescribeAutoScalingInstances";
        // An instance in no group is left out of the answer, not refused.
        let details = self
            .client
            .describe_auto_scaling_instances()
            .instance_ids(instance.as_str())
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        details
            .iter()
            .find(|details| details.instance_id() == Some(instance.as_str()))
            .map(group_instance)
            .transpose()
            .map_err(|problem| unintelligible(CALL, instance, problem))
    }

    async fn hooks(&self, group: &GroupName) -> Result<Vec<Hook>, PortError> {
        const CALL: &str = "autoscaling:DescribeLifecycleHooks";
        // One group per call, at most 50 hooks, one page.
        let answer = self
            .client
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(group.as_str())
            .send()
            .await;
        match answer {
            Ok(answer) => answer
                .lifecycle_hooks()
                .iter()
                .filter_map(|it| hook(it).transpose())
                .collect::<Result<_, _>>()
                .map_err(|problem| unintelligible(CALL, group, problem)),
            // A group that is gone has no hooks.
            Err(error) if classify::group_unknown(&error) => Ok(Vec::new()),
            Err(error) => Err(classify::unanswered(CALL, &error)),
        }
    }

    async fn complete(
        &self,
        instance: &InstanceId,
        action: &Action,
        result: ActionResult,
    ) -> Result<Answer, PortError> {
        let answer = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(action.group.as_str())
            .lifecycle_hook_name(action.hook.as_str())
            .set_lifecycle_action_token(action.token.as_ref().map(ToString::to_string))
            .instance_id(instance.as_str())
            .lifecycle_action_result(result.as_str())
            .send()
            .await;
        classify::answer("autoscaling:CompleteLifecycleAction", answer)
    }

    async fn heartbeat(&self, instance: &InstanceId, action: &Action) -> Result<Answer, PortError> {
        let answer = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(action.group.as_str())
            .lifecycle_hook_name(action.hook.as_str())
            .set_lifecycle_action_token(action.token.as_ref().map(ToString::to_string))
            .instance_id(instance.as_str())
            .send()
            .await;
        classify::answer("autoscaling:RecordLifecycleActionHeartbeat", answer)
    }
}

fn group_instance(details: &AutoScalingInstanceDetails) -> Result<GroupInstance, Unintelligible> {
    Ok(GroupInstance {
        group: present("AutoScalingGroupName", details.auto_scaling_group_name())?.parse()?,
        zone: present("AvailabilityZone", details.availability_zone())?.parse()?,
        state: LifecycleState::from(present("LifecycleState", details.lifecycle_state())?),
    })
}

/// A hook, or nothing where it holds up neither a launch nor a termination: such a hook is none of ours to answer.
fn hook(hook: &LifecycleHook) -> Result<Option<Hook>, Unintelligible> {
    let transition = match present("LifecycleTransition", hook.lifecycle_transition())? {
        "autoscaling:EC2_INSTANCE_LAUNCHING" => Transition::Launching,
        "autoscaling:EC2_INSTANCE_TERMINATING" => Transition::Terminating,
        _ => return Ok(None),
    };
    Ok(Some(Hook {
        name: present("LifecycleHookName", hook.lifecycle_hook_name())?.parse()?,
        transition,
        metadata: hook.notification_metadata().map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details() -> AutoScalingInstanceDetails {
        AutoScalingInstanceDetails::builder()
            .instance_id("i-0123456789abcdef0")
            .auto_scaling_group_name("cassandra")
            .availability_zone("eu-central-1a")
            .lifecycle_state("Pending:Wait")
            .build()
    }

    #[test]
    fn a_group_instance_carries_group_zone_and_state() {
        assert_eq!(
            group_instance(&details()).unwrap(),
            GroupInstance {
                group: "cassandra".parse().unwrap(),
                zone: "eu-central-1a".parse().unwrap(),
                state: LifecycleState::PendingWait,
            }
        );
    }

    #[test]
    fn a_group_instance_without_a_state_is_no_answer() {
        let mut details = details();
        details.lifecycle_state = None;
        let problem = group_instance(&details).unwrap_err().to_string();
        assert_eq!(problem, "LifecycleState is missing");
    }

    #[test]
    fn a_hook_carries_its_transition_and_metadata() {
        let theirs = LifecycleHook::builder()
            .lifecycle_hook_name("stateful-asg-launch")
            .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
            .notification_metadata("{\"pool\":\"cassandra\"}")
            .build();
        assert_eq!(
            hook(&theirs).unwrap(),
            Some(Hook {
                name: "stateful-asg-launch".parse().unwrap(),
                transition: Transition::Launching,
                metadata: Some("{\"pool\":\"cassandra\"}".to_owned()),
            })
        );
    }

    #[test]
    fn a_hook_of_another_transition_is_left_out() {
        let theirs = LifecycleHook::builder()
            .lifecycle_hook_name("replace-root")
            .lifecycle_transition("autoscaling:EC2_INSTANCE_REPLACING")
            .build();
        assert_eq!(hook(&theirs).unwrap(), None);
    }
}
