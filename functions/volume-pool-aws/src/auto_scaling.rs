//! Auto Scaling behind [`LifecycleActions`]. Never answers an action on its own account, and never takes a refusal
//! for a success: whether "no active action" means done is the domain's to find out.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, AutoScalingInstanceDetails, Filter, LifecycleHook,
};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::ids::{GroupName, InstanceId};
use volume_pool::observation::{GroupInstance, GroupView, Hook, LifecycleState, tags};
use volume_pool::ports::{Answer, LifecycleActions, PortError};

use crate::classify;
use crate::convert::{Unintelligible, present, unintelligible};

/// `DescribeAutoScalingInstances` takes this many ids.
const INSTANCES_AT_ONCE: usize = 50;

/// `DescribeAutoScalingGroups` gives at most this many groups in a page.
pub(crate) const GROUPS_PAGE: i32 = 100;

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

impl AutoScaling {
    /// `DescribeAutoScalingGroups`, to the last page.
    async fn groups(
        &self,
        names: Option<Vec<String>>,
        filters: Option<Vec<Filter>>,
    ) -> Result<Vec<GroupView>, PortError> {
        const CALL: &str = "autoscaling:DescribeAutoScalingGroups";
        let groups = self
            .client
            .describe_auto_scaling_groups()
            .set_auto_scaling_group_names(names)
            .set_filters(filters)
            .into_paginator()
            .page_size(GROUPS_PAGE)
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let convert = |group: &AutoScalingGroup| {
            let name = group.auto_scaling_group_name().unwrap_or("a group");
            self::group(group).map_err(|problem| unintelligible(CALL, name, problem))
        };
        groups.iter().map(convert).collect()
    }
}

impl LifecycleActions for AutoScaling {
    async fn group_instance(
        &self,
        instance: &InstanceId,
    ) -> Result<Option<GroupInstance>, PortError> {
        let mut found = self.group_instances(std::slice::from_ref(instance)).await?;
        Ok(found.remove(instance))
    }

    async fn group_instances(
        &self,
        ids: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, GroupInstance>, PortError> {
        const CALL: &str = "autoscaling:DescribeAutoScalingInstances";
        let mut found = BTreeMap::new();
        for some in ids.chunks(INSTANCES_AT_ONCE) {
            // An instance in no group is left out of the answer, not refused.
            let details = self
                .client
                .describe_auto_scaling_instances()
                .set_instance_ids(Some(some.iter().map(ToString::to_string).collect()))
                .into_paginator()
                .items()
                .send()
                .collect::<Result<Vec<_>, _>>()
                .await
                .map_err(|error| classify::unanswered(CALL, &error))?;
            for details in &details {
                let name = details.instance_id().unwrap_or("an instance");
                let (id, shown) = group_instance(details)
                    .map_err(|problem| unintelligible(CALL, name, problem))?;
                found.insert(id, shown);
            }
        }
        Ok(found)
    }

    async fn group(&self, group: &GroupName) -> Result<Option<GroupView>, PortError> {
        // One that does not exist is left out of the answer, not refused.
        let found = self.groups(Some(vec![group.to_string()]), None).await?;
        Ok(found.into_iter().find(|found| found.name == *group))
    }

    async fn enrolled_groups(&self) -> Result<Vec<GroupView>, PortError> {
        let tagged = Filter::builder().name("tag-key").values(tags::POOL).build();
        self.groups(None, Some(vec![tagged])).await
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

fn group_instance(
    details: &AutoScalingInstanceDetails,
) -> Result<(InstanceId, GroupInstance), Unintelligible> {
    let shown = GroupInstance {
        group: present("AutoScalingGroupName", details.auto_scaling_group_name())?.parse()?,
        zone: present("AvailabilityZone", details.availability_zone())?.parse()?,
        state: LifecycleState::from(present("LifecycleState", details.lifecycle_state())?),
    };
    Ok((present("InstanceId", details.instance_id())?.parse()?, shown))
}

/// A group with its instances.
pub(crate) fn group(group: &AutoScalingGroup) -> Result<GroupView, Unintelligible> {
    let name: GroupName =
        present("AutoScalingGroupName", group.auto_scaling_group_name())?.parse()?;
    let members = group.instances().iter().map(|member| {
        let state = present("Instances.LifecycleState", member.lifecycle_state())?;
        let shown = GroupInstance {
            group: name.clone(),
            zone: present("Instances.AvailabilityZone", member.availability_zone())?.parse()?,
            state: LifecycleState::from(state.as_str()),
        };
        Ok((present("Instances.InstanceId", member.instance_id())?.parse()?, shown))
    });
    let members = members.collect::<Result<_, Unintelligible>>()?;
    let size = |field, size: Option<i32>| {
        let size = size.and_then(|size| u32::try_from(size).ok());
        present(field, size)
    };
    let pool_tag = group.tags().iter().find(|tag| tag.key() == Some(tags::POOL));
    Ok(GroupView {
        max_size: size("MaxSize", group.max_size())?,
        desired: size("DesiredCapacity", group.desired_capacity())?,
        pool_tag: pool_tag.map(|tag| tag.value().unwrap_or_default().to_owned()),
        members,
        name,
    })
}

/// The heartbeat timeout of a hook that names none (`PutLifecycleHook`).
const DEFAULT_HEARTBEAT: Duration = Duration::from_hours(1);
/// The longest that an action waits, whatever heartbeats it had, where the answer does not say so itself
/// (`LifecycleHook.GlobalTimeout`: 48 hours or 100 heartbeat timeouts, whichever is smaller).
const LONGEST: Duration = Duration::from_hours(48);

fn seconds(number: Option<i32>) -> Option<Duration> {
    number.and_then(|number| u64::try_from(number).ok()).map(Duration::from_secs)
}

/// A hook, or nothing where it holds up neither a launch nor a termination: such a hook is none of ours to answer.
pub(crate) fn hook(hook: &LifecycleHook) -> Result<Option<Hook>, Unintelligible> {
    let transition = match present("LifecycleTransition", hook.lifecycle_transition())? {
        "autoscaling:EC2_INSTANCE_LAUNCHING" => Transition::Launching,
        "autoscaling:EC2_INSTANCE_TERMINATING" => Transition::Terminating,
        _ => return Ok(None),
    };
    let heartbeat_timeout = seconds(hook.heartbeat_timeout()).unwrap_or(DEFAULT_HEARTBEAT);
    Ok(Some(Hook {
        name: present("LifecycleHookName", hook.lifecycle_hook_name())?.parse()?,
        transition,
        metadata: hook.notification_metadata().map(str::to_owned),
        heartbeat_timeout,
        global_timeout: seconds(hook.global_timeout())
            .unwrap_or_else(|| heartbeat_timeout.saturating_mul(100).min(LONGEST)),
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
        let id = "i-0123456789abcdef0".parse().unwrap();
        let expected = GroupInstance {
            group: "cassandra".parse().unwrap(),
            zone: "eu-central-1a".parse().unwrap(),
            state: LifecycleState::PendingWait,
        };
        assert_eq!(group_instance(&details()).unwrap(), (id, expected));
    }

    #[test]
    fn a_group_carries_its_sizes_its_pool_and_its_instances() {
        let member = aws_sdk_autoscaling::types::Instance::builder()
            .instance_id("i-0123456789abcdef0")
            .availability_zone("eu-central-1a")
            .lifecycle_state(aws_sdk_autoscaling::types::LifecycleState::TerminatingWait)
            .build();
        let tag = aws_sdk_autoscaling::types::TagDescription::builder()
            .key("stateful-asg:pool")
            .value("cassandra")
            .build();
        let theirs = AutoScalingGroup::builder()
            .auto_scaling_group_name("cassandra-a")
            .max_size(5)
            .desired_capacity(3)
            .tags(tag)
            .instances(member);
        let ours = group(&theirs.clone().build()).unwrap();
        assert_eq!((ours.max_size, ours.desired), (5, 3));
        assert_eq!(ours.pool_tag.as_deref(), Some("cassandra"));
        let states: Vec<&LifecycleState> =
            ours.members.values().map(|member| &member.state).collect();
        assert_eq!(states, [&LifecycleState::TerminatingWait]);
        let problem = group(&theirs.set_max_size(None).build()).unwrap_err().to_string();
        assert_eq!(problem, "MaxSize is missing");
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
            .heartbeat_timeout(300)
            .global_timeout(30_000)
            .build();
        assert_eq!(
            hook(&theirs).unwrap(),
            Some(Hook {
                name: "stateful-asg-launch".parse().unwrap(),
                transition: Transition::Launching,
                metadata: Some("{\"pool\":\"cassandra\"}".to_owned()),
                heartbeat_timeout: Duration::from_mins(5),
                global_timeout: Duration::from_mins(500),
            })
        );
    }

    #[test]
    fn a_hook_without_its_limit_is_given_the_documented_one() {
        let theirs = |heartbeat: i32| {
            LifecycleHook::builder()
                .lifecycle_hook_name("stateful-asg-launch")
                .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
                .heartbeat_timeout(heartbeat)
                .build()
        };
        let limit = |heartbeat| hook(&theirs(heartbeat)).unwrap().unwrap().global_timeout;
        assert_eq!(limit(30), Duration::from_mins(50));
        assert_eq!(limit(7200), Duration::from_hours(48));
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
