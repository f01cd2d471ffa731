//! SQS: how much lies in a queue.

use aws_sdk_sqs::types::QueueAttributeName;
use volume_pool::ports::PortError;
use volume_pool_aws::classify;

use super::{Account, lacking};

impl Account {
    /// How many messages may be received from the queue of this name, about (`GetQueueUrl`, `GetQueueAttributes`); nothing where
    /// there is no such queue.
    pub(crate) async fn messages(&self, queue: &str) -> Result<Option<u64>, PortError> {
        const WHERE: &str = "sqs:GetQueueUrl";
        const HOW_MANY: &str = "sqs:GetQueueAttributes";
        let url = match self.sqs.get_queue_url().queue_name(queue).send().await {
            Ok(found) => found.queue_url.ok_or_else(|| lacking(WHERE, queue, "QueueUrl"))?,
            Err(error) if classify::missing(&error) => return Ok(None),
            Err(error) => return Err(classify::unanswered(WHERE, &error)),
        };
        let wanted = QueueAttributeName::ApproximateNumberOfMessages;
        let shown = self.sqs.get_queue_attributes().queue_url(url).attribute_names(wanted.clone());
        let shown = match shown.send().await {
            Ok(shown) => shown,
            Err(error) if classify::missing(&error) => return Ok(None),
            Err(error) => return Err(classify::unanswered(HOW_MANY, &error)),
        };
        let messages = shown.attributes().and_then(|it| it.get(&wanted)?.parse().ok());
        messages.map(Some).ok_or_else(|| lacking(HOW_MANY, queue, wanted.as_str()))
    }
}
