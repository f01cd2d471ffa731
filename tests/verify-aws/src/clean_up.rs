//! Takes away what a run has made, found by its tag, rules and queues by their names: also what a run left that was cut off.

use std::fmt;

use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_autoscaling::types::Filter as GroupFilter;
use aws_sdk_ec2::types::Filter;

use crate::hearing::TARGET;
use crate::pace::Pace;
use crate::scene::{RUN_TAG, prefix};
use crate::{Account, Failure, LIMIT, Run};

/// What of a run is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    groups: Vec<String>,
    instances: Vec<String>,
    volumes: Vec<String>,
    templates: Vec<String>,
    rules: Vec<String>,
    queues: Vec<String>,
}

impl Left {
    /// What is there of this run.
    pub async fn find(account: &Account, run: &str) -> Result<Self, Failure> {
        let by_tag = || Filter::builder().name(format!("tag:{RUN_TAG}")).values(run).build();
        let ec2 = &account.ec2;
        let mut left = Self::default();
        let groups = GroupFilter::builder().name(format!("tag:{RUN_TAG}")).values(run).build();
        let groups = account.auto_scaling.describe_auto_scaling_groups().filters(groups);
        let mut pages = groups.into_paginator().items().send();
        while let Some(group) = pages.try_next().await? {
            left.groups.extend(group.auto_scaling_group_name);
        }
        let instances = ec2.describe_instances().filters(by_tag()).into_paginator().items().send();
        let mut pages = instances;
        while let Some(reservation) = pages.try_next().await? {
            for instance in reservation.instances.unwrap_or_default() {
                let state = instance.state.and_then(|it| it.name);
                if state.is_none_or(|it| it.as_str() != "terminated") {
                    left.instances.extend(instance.instance_id);
                }
            }
        }
        let mut pages = ec2.describe_volumes().filters(by_tag()).into_paginator().items().send();
        while let Some(volume) = pages.try_next().await? {
            left.volumes.extend(volume.volume_id);
        }
        let templates = ec2.describe_launch_templates().filters(by_tag());
        let mut pages = templates.into_paginator().items().send();
        while let Some(template) = pages.try_next().await? {
            left.templates.extend(template.launch_template_id);
        }
        let rules = account.events.list_rules().name_prefix(prefix(run)).send().await;
        let rules = unless_denied(rules)?.and_then(|it| it.rules).unwrap_or_default();
        left.rules = rules.into_iter().filter_map(|it| it.name).collect();
        let queues = account.sqs.list_queues().queue_name_prefix(prefix(run)).send().await;
        left.queues = unless_denied(queues)?.and_then(|it| it.queue_urls).unwrap_or_default();
        Ok(left)
    }

    /// Whether nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Deletes what can be deleted now. What waits, or is still going, is for another pass.
    async fn remove(&self, account: &Account) {
        // What is refused now shows in the next look, and is tried again: the errors say nothing more.
        for group in &self.groups {
            let hooks = account.auto_scaling.describe_lifecycle_hooks();
            let hooks = hooks.auto_scaling_group_name(group).send().await;
            for hook in hooks.ok().and_then(|it| it.lifecycle_hooks).unwrap_or_default() {
                // Nothing waits for a hook that is deleted.
                let delete = account.auto_scaling.delete_lifecycle_hook();
                let delete = delete.auto_scaling_group_name(group);
                let _ = delete.set_lifecycle_hook_name(hook.lifecycle_hook_name).send().await;
            }
            let delete = account.auto_scaling.delete_auto_scaling_group();
            let _ = delete.auto_scaling_group_name(group).force_delete(true).send().await;
        }
        for instance in &self.instances {
            let _ = account.ec2.terminate_instances().instance_ids(instance).send().await;
        }
        for volume in &self.volumes {
            let _ = account.ec2.delete_volume().volume_id(volume).send().await;
        }
        for rule in &self.rules {
            // A rule that has a target is not deleted.
            let _ = account.events.remove_targets().rule(rule).ids(TARGET).send().await;
            let _ = account.events.delete_rule().name(rule).send().await;
        }
        for queue in &self.queues {
            let _ = account.sqs.delete_queue().queue_url(queue).send().await;
        }
        // A group needs its template until it is gone.
        for template in self.templates.iter().filter(|_| self.groups.is_empty()) {
            let _ = account.ec2.delete_launch_template().launch_template_id(template).send().await;
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, instances, volumes, templates, rules, queues } = self;
        let kinds = [groups, instances, volumes, templates, rules, queues];
        let ids: Vec<&str> = kinds.into_iter().flatten().map(String::as_str).collect();
        f.write_str(&ids.join(", "))
    }
}

/// Nothing where it may not even be listed: who may not do that has not made any, and what else there is must be removed.
fn unless_denied<T, E>(answer: Result<T, SdkError<E>>) -> Result<Option<T>, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| code.contains("AccessDenied")) => Ok(None),
        Err(error) => Err(Box::new(error)),
    }
}

/// Removes everything of this run, and waits until it is gone; gives what does not go.
pub async fn clean_up(run: &Run) -> Result<Left, Failure> {
    let gone = Pace { speed: run.speed }.until(LIMIT, async || {
        let left = Left::find(&run.account, &run.name).await?;
        left.remove(&run.account).await;
        Ok(left.is_nothing().then_some(()))
    });
    gone.await?;
    Left::find(&run.account, &run.name).await
}
