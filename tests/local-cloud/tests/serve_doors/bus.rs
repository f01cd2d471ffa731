//! Rules and queues of callers: what matches a rule is received from its queue, the world's own events among it.

use hyper::Request;
use local_cloud::cloud::Cloud;
use serde_json::{Value, json};

use crate::client::{PERSON, Reply, auto_scaling, ec2, send, signature};
use crate::function::quiet;

/// Calls an operation of `EventBridge` or SQS.
async fn call(cloud: &Cloud, target: &str, request: &Value) -> Reply {
    let service = if target.starts_with("AWSEvents") { "events" } else { "sqs" };
    let head = Request::post("/")
        .header("authorization", signature(PERSON, service))
        .header("x-amz-target", target);
    send(&cloud.endpoint(), head, request.to_string()).await.unwrap()
}

async fn done(cloud: &Cloud, target: &str, request: Value) -> Value {
    let reply = call(cloud, target, &request).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text);
    reply.json()
}

async fn refused(cloud: &Cloud, target: &str, request: Value) -> String {
    let reply = call(cloud, target, &request).await;
    assert_eq!(reply.status, 400, "{target}: {}", reply.text);
    reply.json()["__type"].as_str().unwrap().to_owned()
}

/// What is received from a queue, each with its detail type and group.
async fn received(cloud: &Cloud, url: &Value) -> Vec<(String, String)> {
    let asked = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10 });
    let messages = done(cloud, "AmazonSQS.ReceiveMessage", asked).await;
    let bodies = messages["Messages"].as_array().unwrap().iter().map(|message| {
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        (text(&body["detail-type"]), text(&body["detail"]["AutoScalingGroupName"]))
    });
    bodies.collect()
}

#[tokio::test]
async fn what_matches_a_rule_is_received_from_its_queue() {
    let mut options = quiet();
    options.world.speed = 100.0;
    let cloud = Cloud::start(options).await.unwrap();
    let pattern = json!({ "detail": { "AutoScalingGroupName": ["kafka"] } }).to_string();
    let rule = json!({ "Name": "seen", "EventPattern": pattern });
    let rule = done(&cloud, "AWSEvents.PutRule", rule).await;
    let policy = json!({ "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "events.amazonaws.com" }, "Action": "sqs:SendMessage",
        "Resource": "*", "Condition": { "ArnEquals": { "aws:SourceArn": rule["RuleArn"] } },
    }] });
    let queue = json!({ "QueueName": "seen", "Attributes": { "Policy": policy.to_string() } });
    let queue = done(&cloud, "AmazonSQS.CreateQueue", queue).await;
    let url = &queue["QueueUrl"];
    let attributes = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
    let attributes = done(&cloud, "AmazonSQS.GetQueueAttributes", attributes).await;
    let target = json!({ "Id": "queue", "Arn": attributes["Attributes"]["QueueArn"] });
    let targets = json!({ "Rule": "seen", "Targets": [target] });
    done(&cloud, "AWSEvents.PutTargets", targets).await;

    let entry = |source: &str, group: &str| {
        let detail = json!({ "AutoScalingGroupName": group }).to_string();
        json!({ "Source": source, "DetailType": "test", "Detail": detail })
    };
    let entries = json!({ "Entries": [entry("me", "kafka"), entry("me", "etcd"), entry("aws.autoscaling", "kafka")] });
    let sent = done(&cloud, "AWSEvents.PutEvents", entries).await;
    assert_eq!(sent["FailedEntryCount"], 1);
    assert_eq!(sent["Entries"][2]["ErrorCode"], "NotAuthorizedForSourceException");
    assert_eq!(received(&cloud, url).await, [("test".to_owned(), "kafka".to_owned())]);
    assert_eq!(received(&cloud, url).await, []);

    let endpoint = cloud.endpoint();
    let image =
        [("LaunchTemplateName", "kafka"), ("LaunchTemplateData.ImageId", "ami-0123456789abcdef0")];
    assert_eq!(ec2(&endpoint, "CreateLaunchTemplate", &image).await.unwrap().status, 200);
    for group in ["kafka", "etcd"] {
        let parameters = [
            ("AutoScalingGroupName", group),
            ("LaunchTemplate.LaunchTemplateName", "kafka"),
            ("MinSize", "0"),
            ("MaxSize", "1"),
            ("DesiredCapacity", "1"),
            ("AvailabilityZones.member.1", "eu-central-1a"),
        ];
        let created = auto_scaling(&endpoint, "CreateAutoScalingGroup", &parameters).await.unwrap();
        assert_eq!(created.status, 200, "{}", created.text);
    }
    let launched = || {
        let events = cloud.events().into_iter();
        let launched = events.filter(|it| it.detail_type == "EC2 Instance Launch Successful");
        (launched.count() == 2).then_some(())
    };
    cloud.wait_for(crate::LIMIT, launched).await.unwrap();
    let launch = ("EC2 Instance Launch Successful".to_owned(), "kafka".to_owned());
    assert_eq!(received(&cloud, url).await, [launch]);

    let list = async |target: &str, prefix: &str, found: &str| {
        let answer = done(&cloud, target, json!({ prefix: "se" })).await;
        answer[found].as_array().unwrap().len()
    };
    assert_eq!(list("AWSEvents.ListRules", "NamePrefix", "Rules").await, 1);
    assert_eq!(list("AmazonSQS.ListQueues", "QueueNamePrefix", "QueueUrls").await, 1);
    let delete = json!({ "Name": "seen" });
    assert_eq!(
        refused(&cloud, "AWSEvents.DeleteRule", delete.clone()).await,
        "ValidationException"
    );
    let targets = json!({ "Rule": "seen", "Ids": ["queue"] });
    done(&cloud, "AWSEvents.RemoveTargets", targets).await;
    done(&cloud, "AWSEvents.DeleteRule", delete).await;
    done(&cloud, "AmazonSQS.DeleteQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(list("AWSEvents.ListRules", "NamePrefix", "Rules").await, 0);
    assert_eq!(list("AmazonSQS.ListQueues", "QueueNamePrefix", "QueueUrls").await, 0);
    let gone = json!({ "QueueUrl": url });
    assert_eq!(
        refused(&cloud, "AmazonSQS.ReceiveMessage", gone).await,
        "com.amazonaws.sqs#QueueDoesNotExist"
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn the_dead_letter_queues_of_the_deployment_are_there_and_say_how_much_lies_in_them() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    for name in ["stateful-asg-undelivered", "stateful-asg-failed"] {
        let queue =
            done(&cloud, "AmazonSQS.GetQueueUrl", json!({ "QueueName": name })).await["QueueUrl"]
                .clone();
        let asked = json!({ "QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"] });
        for expected in ["0", "1"] {
            let shown = done(&cloud, "AmazonSQS.GetQueueAttributes", asked.clone()).await;
            assert_eq!(shown["Attributes"]["ApproximateNumberOfMessages"], expected);
            let message = json!({ "QueueUrl": queue, "MessageBody": "{}" });
            done(&cloud, "AmazonSQS.SendMessage", message).await;
        }
    }
    assert_eq!(
        refused(&cloud, "AmazonSQS.GetQueueUrl", json!({ "QueueName": "lost" })).await,
        "com.amazonaws.sqs#QueueDoesNotExist"
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn what_is_not_known_here_is_refused() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let prefix = json!({ "detail": { "AutoScalingGroupName": [{ "prefix": "k" }] } }).to_string();
    let rule = json!({ "Name": "seen", "EventPattern": prefix });
    assert_eq!(refused(&cloud, "AWSEvents.PutRule", rule).await, "InvalidEventPatternException");
    let scheduled = json!({ "Name": "seen", "ScheduleExpression": "rate(1 minute)" });
    assert_eq!(refused(&cloud, "AWSEvents.PutRule", scheduled).await, "ValidationException");
    let lost = json!({ "Rule": "lost", "Targets": [] });
    assert_eq!(refused(&cloud, "AWSEvents.PutTargets", lost).await, "ResourceNotFoundException");
    let fifo = json!({ "QueueName": "a.fifo", "Attributes": { "FifoQueue": "true" } });
    assert_eq!(
        refused(&cloud, "AmazonSQS.CreateQueue", fifo).await,
        "com.amazonaws.sqs#InvalidAttributeName"
    );
    assert_eq!(
        refused(&cloud, "AWSEvents.TestEventPattern", json!({})).await,
        "UnknownOperationException"
    );
    cloud.shutdown().await;
}
