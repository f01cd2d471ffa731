//! SQS: the queues of callers, in AWS JSON 1.0 (Amazon SQS API Reference). A member that is not read here is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Doors, read};
use crate::cloud::bus::{Made, Queue};

/// The most messages of one `ReceiveMessage`.
const MOST: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateQueue {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default, rename = "tags")]
    _tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetQueueUrl {
    queue_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage {
    queue_url: String,
    message_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfQueue {
    queue_url: String,
    #[serde(default)]
    max_number_of_messages: Option<usize>,
    #[serde(default, rename = "AttributeNames")]
    _attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
}

impl Doors {
    /// Carries out an operation; gives the answer's body.
    pub(super) fn sqs(&self, operation: &str, content: &[u8]) -> Result<Value, Refusal> {
        let place = &self.lambda.place;
        let url = |name: &str| format!("{}/{}/{name}", place.endpoint, place.account);
        let mut made = self.engine.router.bus.lock();
        match operation {
            "CreateQueue" => {
                let CreateQueue { queue_name: name, attributes, .. } = read(content)?;
                if let Some(unknown) = attributes.keys().find(|it| !KNOWN.contains(&it.as_str())) {
                    let message = format!("Unknown Attribute {unknown}.");
                    return Err(Refusal::new(400, "InvalidAttributeName", message));
                }
                let policy = attributes.get("Policy").map(|it| serde_json::from_str(it));
                let policy = policy.transpose().map_err(|_| {
                    let message = "Invalid value for the parameter Policy.";
                    Refusal::new(400, "InvalidAttributeValue", message)
                })?;
                let url = url(&name);
                made.create_queue(place, name, policy.unwrap_or_default());
                Ok(json!({ "QueueUrl": url }))
            }
            "GetQueueUrl" => {
                let GetQueueUrl { queue_name } = read(content)?;
                let url = url(&queue_name);
                queue(&mut made, &url)?;
                Ok(json!({ "QueueUrl": url }))
            }
            "GetQueueAttributes" => {
                let queue = queue(&mut made, &read::<OfQueue>(content)?.queue_url)?;
                let waiting = queue.messages.len().to_string();
                Ok(
                    json!({ "Attributes": { "QueueArn": queue.arn, "ApproximateNumberOfMessages": waiting } }),
                )
            }
            "SendMessage" => {
                let SendMessage { queue_url, message_body } = read(content)?;
                queue(&mut made, &queue_url)?.messages.push(message_body);
                Ok(json!({ "MessageId": self.lambda.unique_id() }))
            }
            "ReceiveMessage" => {
                let asked: OfQueue = read(content)?;
                let messages = &mut queue(&mut made, &asked.queue_url)?.messages;
                let most = asked.max_number_of_messages.unwrap_or(1).min(MOST).min(messages.len());
                let received = messages.drain(..most).map(|body| {
                    let id = self.lambda.unique_id();
                    json!({ "MessageId": id, "ReceiptHandle": id, "Body": body })
                });
                Ok(json!({ "Messages": received.collect::<Vec<_>>() }))
            }
            "ListQueues" => {
                let ListQueues { queue_name_prefix } = read(content)?;
                let names = made.queues.keys().filter(|it| it.starts_with(&queue_name_prefix));
                Ok(json!({ "QueueUrls": names.map(|name| url(name)).collect::<Vec<_>>() }))
            }
            "DeleteQueue" => {
                let asked: OfQueue = read(content)?;
                queue(&mut made, &asked.queue_url)?;
                made.queues.remove(name_of(&asked.queue_url));
                Ok(json!({}))
            }
            unknown => Err(Refusal::unknown_operation(unknown)),
        }
    }
}

/// The attributes of a queue that are known here. What was received stays invisible, however long that is to be.
const KNOWN: [&str; 2] = ["Policy", "VisibilityTimeout"];

fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn queue<'a>(made: &'a mut Made, url: &str) -> Result<&'a mut Queue, Refusal> {
    let missing = || {
        let message = "The specified queue does not exist.";
        Refusal::new(400, "QueueDoesNotExist", message)
    };
    made.queues.get_mut(name_of(url)).ok_or_else(missing)
}
