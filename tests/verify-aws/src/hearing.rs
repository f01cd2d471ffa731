//! The events of a probe's group, as `EventBridge` sends them: a rule takes them to a queue, and that is read.

use std::cell::RefCell;
use std::collections::HashMap;

use aws_sdk_eventbridge::types::{PutEventsRequestEntry, Tag, Target};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::scene::{RUN_TAG, Scene};
use crate::{Failure, LIMIT, PATIENCE};

/// The one target of a rule.
pub(crate) const TARGET: &str = "queue";
/// What our own event says that it comes from.
const OURSELVES: &str = "stateful-asg-verify";
/// What was received stays out of sight for as long as SQS lets it: so nothing need be deleted one by one.
const OUT_OF_SIGHT_SECONDS: &str = "43200";
/// The most messages that SQS gives at once.
const MOST: i32 = 10;

/// A queue with the events of the group.
pub(crate) struct Hearing<'a> {
    scene: &'a Scene,
    queue: String,
    /// What came and was not asked for yet.
    heard: RefCell<Vec<Value>>,
}

impl<'a> Hearing<'a> {
    /// Makes rule and queue, and waits until an event of ours gets through: a rule begins to match only some time after it was made
    /// (Amazon EventBridge User Guide, "Creating rules": "allow a short period of time for changes to take effect").
    pub(crate) async fn begin(scene: &'a Scene) -> Result<Self, Failure> {
        let (events, sqs, name) = (&scene.account.events, &scene.account.sqs, scene.group());
        let pattern = json!({ "detail": { "AutoScalingGroupName": [name] } });
        let rule = events.put_rule().name(name).event_pattern(pattern.to_string());
        let tag = Tag::builder().key(RUN_TAG).value(scene.run()).build()?;
        let rule = rule.tags(tag).send().await?.rule_arn.ok_or("PutRule gave no ARN")?;
        // The queue is not named: the policy is its own.
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": { "ArnEquals": { "aws:SourceArn": rule } },
        }] });
        let attributes = HashMap::from([
            (QueueAttributeName::Policy, policy.to_string()),
            (QueueAttributeName::VisibilityTimeout, OUT_OF_SIGHT_SECONDS.to_owned()),
        ]);
        let queue = sqs.create_queue().queue_name(name).tags(RUN_TAG, scene.run());
        let queue = queue.set_attributes(Some(attributes)).send().await?;
        let queue = queue.queue_url.ok_or("CreateQueue gave no URL")?;
        let arn = sqs.get_queue_attributes().queue_url(&queue);
        let arn = arn.attribute_names(QueueAttributeName::QueueArn).send().await?;
        let arn = arn.attributes().and_then(|it| it.get(&QueueAttributeName::QueueArn));
        let target =
            Target::builder().id(TARGET).arn(arn.ok_or("the queue has no ARN")?).build()?;
        let put = events.put_targets().rule(name).targets(target).send().await?;
        if put.failed_entry_count() > 0 {
            return Err(format!("PutTargets failed: {:?}", put.failed_entries()).into());
        }
        let hearing = Self { scene, queue, heard: RefCell::default() };
        hearing.get_through().await?;
        Ok(hearing)
    }

    async fn get_through(&self) -> Result<(), Failure> {
        let detail = json!({ "AutoScalingGroupName": self.scene.group() }).to_string();
        let through = self.scene.until(LIMIT, async || {
            let event = PutEventsRequestEntry::builder().source(OURSELVES).detail_type(OURSELVES);
            let event = event.detail(&detail).build();
            self.scene.account.events.put_events().entries(event).send().await?;
            self.receive().await?;
            let heard = self.heard.borrow();
            Ok(heard.iter().any(|event| event["source"] == OURSELVES).then_some(()))
        });
        Ok(through.await?.ok_or("no event gets from its rule into its queue")?)
    }

    /// The event by which a hook begins to wait for an instance; nothing where none comes.
    pub(crate) async fn next(&self, hook: &str, instance: &str) -> Result<Option<Value>, Failure> {
        let meant = |event: &Value| {
            let detail = &event["detail"];
            detail["LifecycleHookName"] == hook && detail["EC2InstanceId"] == instance
        };
        let found = self.scene.until(PATIENCE, async || {
            self.receive().await?;
            let mut heard = self.heard.borrow_mut();
            let found = heard.iter().position(meant).map(|index| heard.remove(index));
            // SQS may give a message twice.
            heard.retain(|event| found.as_ref().is_none_or(|it| it["id"] != event["id"]));
            Ok(found)
        });
        found.await
    }

    async fn receive(&self) -> Result<(), Failure> {
        let receive = self.scene.account.sqs.receive_message().queue_url(&self.queue);
        let received = receive.max_number_of_messages(MOST).send().await?;
        for message in received.messages() {
            let event = serde_json::from_str(message.body().unwrap_or_default())?;
            self.heard.borrow_mut().push(event);
        }
        Ok(())
    }
}
