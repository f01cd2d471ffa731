//! One address for every service.

use hyper::Request;
use local_cloud::cloud::{CallOutcome, Cloud, Door, Options, StartError};
use serde_json::{Value, json};

use crate::LIMIT;
use crate::client::{PERSON, dynamodb, ec2, send, signature};
use crate::function::quiet;

#[tokio::test]
async fn an_unsigned_request_is_refused_in_the_words_of_the_service_that_was_meant() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    for (version, root) in [("2016-11-15", "<Response>"), ("2011-01-01", "<ErrorResponse")] {
        let form = format!("Action=Describe&Version={version}");
        let reply = send(&cloud.endpoint(), Request::post("/"), form).await.unwrap();
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(reply.text.contains("<Code>MissingAuthenticationToken</Code>"), "{reply:?}");
        assert!(reply.text.contains(root), "{reply:?}");
    }
    assert!(cloud.calls().is_empty());
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_request_for_nothing_is_answered_with_what_there_is() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let reply = send(&cloud.endpoint(), Request::get("/"), String::new()).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(
        reply.text.contains(
            "this address answers EC2, Auto Scaling, STS, SSM, EventBridge, SQS, KMS, Service Quotas and DynamoDB"
        ),
        "{reply:?}"
    );
    cloud.shutdown().await;
}

#[tokio::test]
async fn every_call_is_logged_and_answered_with_a_request_id_of_its_own() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let endpoint = cloud.endpoint();
    let first = ec2(&endpoint, "DescribeVolumes", &[]).await.unwrap();
    let second = dynamodb(&endpoint, PERSON, "ListTables", &json!({})).await.unwrap();
    assert_eq!((first.status, second.status), (200, 200), "{first:?} {second:?}");
    assert_ne!(first.header("x-amzn-requestid"), second.header("x-amzn-requestid"));
    let calls = cloud.calls();
    let logged: Vec<_> = calls.iter().map(|call| (call.door, call.operation.as_str())).collect();
    assert_eq!(logged, [(Door::Ec2, "DescribeVolumes"), (Door::DynamoDb, "ListTables")]);
    assert!(calls.iter().all(|call| call.caller.is_none()));
    assert!(calls.iter().all(|call| call.outcome == CallOutcome::Answered(200)));
    cloud.shutdown().await;
}

#[tokio::test]
async fn systems_manager_answers_in_json_at_the_same_address() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let call = |operation: &str, input: Value| {
        let head = Request::post("/")
            .header("authorization", signature(PERSON, "ssm"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AmazonSSM.{operation}"));
        let endpoint = cloud.endpoint();
        async move { send(&endpoint, head, input.to_string()).await.unwrap() }
    };
    let listed = call("ListCommandInvocations", json!({})).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert_eq!(listed.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(listed.json(), json!({ "CommandInvocations": [] }));
    let input = json!({ "DocumentName": "AWS-RunShellScript", "InstanceIds": ["i-0123"] });
    let refused = call("SendCommand", input).await;
    assert_eq!((refused.status, &refused.json()["__type"]), (400, &json!("InvalidInstanceId")));
    let logged = cloud.calls().pop().unwrap();
    assert_eq!((logged.door, logged.operation.as_str()), (Door::Ssm, "SendCommand"));
    cloud.shutdown().await;
}

#[tokio::test]
async fn dynamodb_keeps_its_conditions_at_the_same_address() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let put = json!({
        "TableName": "stateful-asg",
        "Item": { "pk": { "S": "POOL#a" }, "sk": { "S": "SLOT#1" } },
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let first = dynamodb(&cloud.endpoint(), PERSON, "PutItem", &put).await.unwrap();
    assert_eq!(first.status, 200, "{first:?}");
    let second = dynamodb(&cloud.endpoint(), PERSON, "PutItem", &put).await.unwrap();
    assert_eq!(second.status, 400, "{second:?}");
    assert_eq!(second.json()["Item"]["sk"]["S"], "SLOT#1");
    assert!(second.text.contains("ConditionalCheckFailedException"), "{second:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_change_in_the_database_wakes_whoever_waits_for_one() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let create = json!({
        "TableName": "other",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
    });
    let endpoint = cloud.endpoint();
    let (waited, created) = tokio::join!(
        cloud.wait_for(LIMIT, || (cloud.database().table_count().unwrap() == 2).then_some(())),
        dynamodb(&endpoint, PERSON, "CreateTable", &create),
    );
    assert_eq!((waited, created.unwrap().status), (Ok(()), 200));
    cloud.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_with_the_reason() {
    let error = |options: Options| async { Cloud::start(options).await.unwrap_err() };
    let listen = "0.0.0.0:0".parse().unwrap();
    let refused = error(Options { listen, ..quiet() }).await;
    assert!(refused.to_string().contains("0.0.0.0:0 is not a loopback address"), "{refused}");

    let lifecycle = Some("/nowhere/lifecycle".into());
    let refused = error(Options { lifecycle, ..quiet() }).await;
    assert!(refused.to_string().contains("cargo build -p lifecycle"), "{refused}");

    let reconcile = Some(env!("CARGO_MANIFEST_DIR").into());
    let refused = error(Options { reconcile, ..quiet() }).await;
    assert!(matches!(refused, StartError::NotExecutable(_)), "{refused}");

    let mut options = quiet();
    options.world.speed = 0.0;
    let refused = error(options).await;
    assert!(matches!(refused, StartError::Speed(_)), "{refused}");

    let cloud = Cloud::start(quiet()).await.unwrap();
    let listen = cloud.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let refused = error(Options { listen, ..quiet() }).await;
    assert!(matches!(refused, StartError::Listen { .. }), "{refused}");
    cloud.shutdown().await;
}
