//! Faults: what goes wrong with the nth call of a function.

use std::time::Duration;

use local_cloud::cloud::{CallOutcome, Cloud, Fault, FaultAction, LIFECYCLE, Outcome};
use serde_json::{Value, json};

use crate::LIMIT;
use crate::client::{PERSON, Reply, dynamodb};
use crate::function::{Deployment, Process, quiet};

/// Long enough to hang up in, short enough to wait for.
const DELAY: Duration = Duration::from_millis(500);
const EXITED: &str = "signal: 9 (SIGKILL)";

/// A deployment whose function has taken an event, and its process.
async fn busy() -> (Deployment, Process) {
    let mut deployment = Deployment::start(quiet()).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    process.next().await;
    (deployment, process)
}

fn second_put(action: FaultAction) -> Fault {
    Fault { function: Some(LIFECYCLE.into()), operation: Some("PutItem".into()), nth: 2, action }
}

async fn put(cloud: &Cloud, access_key: &str, key: &str) -> Result<Reply, hyper::Error> {
    let item = json!({ "TableName": "stateful-asg", "Item": item_key(key) });
    dynamodb(&cloud.endpoint(), access_key, "PutItem", &item).await
}

/// Whether the item is in the table, asked of the database itself.
fn is_there(cloud: &Cloud, key: &str) -> bool {
    let get = json!({ "TableName": "stateful-asg", "Key": item_key(key) });
    let found = cloud.database().get_item(serde_json::from_value(get).unwrap()).unwrap();
    found.item.is_some()
}

fn item_key(key: &str) -> Value {
    json!({ "pk": { "S": key }, "sk": { "S": "x" } })
}

#[tokio::test]
async fn a_process_killed_before_its_call_leaves_no_trace_of_it() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    let fault = cloud.arm(second_put(FaultAction::KillBefore));
    assert_eq!(put(cloud, &process.access_key, "first").await.unwrap().status, 200);
    assert!(!cloud.has_happened(fault));
    assert!(put(cloud, &process.access_key, "second").await.is_err());
    assert!(cloud.has_happened(fault) && !process.is_running());
    assert!(is_there(cloud, "first") && !is_there(cloud, "second"));
    assert_eq!(cloud.calls().pop().unwrap().outcome, CallOutcome::KilledBefore);
    let report = cloud.wait_for(LIMIT, || cloud.invocations().pop()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Exited { status: EXITED.into() });
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_process_killed_after_its_call_leaves_the_effect_and_gets_no_reply() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    cloud.arm(second_put(FaultAction::KillAfter));
    put(cloud, &process.access_key, "first").await.unwrap();
    assert!(put(cloud, &process.access_key, "second").await.is_err());
    assert!(is_there(cloud, "second") && !process.is_running());
    assert_eq!(cloud.calls().pop().unwrap().outcome, CallOutcome::KilledAfter);
    let report = cloud.wait_for(LIMIT, || cloud.invocations().pop()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Exited { status: EXITED.into() });
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_dropped_reply_leaves_the_effect_and_the_process() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    cloud.arm(second_put(FaultAction::DropReply));
    put(cloud, &process.access_key, "first").await.unwrap();
    assert!(put(cloud, &process.access_key, "second").await.is_err());
    assert!(is_there(cloud, "second") && process.is_running());
    assert_eq!(put(cloud, &process.access_key, "third").await.unwrap().status, 200);
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_refused_call_has_no_effect_and_the_error_that_was_asked_for() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    let code = "ThrottlingException".to_owned();
    cloud.arm(second_put(FaultAction::Refuse { status: 503, code }));
    put(cloud, &process.access_key, "first").await.unwrap();
    let reply = put(cloud, &process.access_key, "second").await.unwrap();
    assert_eq!(reply.status, 503);
    assert!(reply.json()["__type"].as_str().unwrap().ends_with("#ThrottlingException"));
    assert!(!is_there(cloud, "second"));
    assert_eq!(cloud.calls().pop().unwrap().outcome, CallOutcome::Refused(503));
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_delayed_call_has_its_effect_although_its_caller_is_gone() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    let fault = cloud.arm(Fault { nth: 1, ..second_put(FaultAction::Delay(DELAY)) });
    let given_up = tokio::select! {
        reply = put(cloud, &process.access_key, "late") => panic!("not delayed: {reply:?}"),
        given_up = cloud.wait_for(LIMIT, || cloud.has_happened(fault).then_some(())) => given_up,
    };
    assert!(given_up.is_ok() && !is_there(cloud, "late"));
    assert_eq!(cloud.wait_for(LIMIT, || is_there(cloud, "late").then_some(())).await, Ok(()));
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_slow_body_comes_whole_in_the_end_and_its_caller_may_give_up_before() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    let slow = |pause| Fault { nth: 1, ..second_put(FaultAction::SlowBody(pause)) };
    cloud.arm(slow(Duration::from_millis(1)));
    let whole = put(cloud, &process.access_key, "first").await.unwrap();
    assert_eq!((whole.status, whole.json()), (200, json!({})));

    // The effect is there before the body is, and nobody needs to wait for that.
    let fault = cloud.arm(slow(LIMIT * 10));
    tokio::select! {
        reply = put(cloud, &process.access_key, "second") => panic!("not slow: {reply:?}"),
        there = cloud.wait_for(LIMIT, || is_there(cloud, "second").then_some(())) => there.unwrap(),
    }
    assert!(cloud.has_happened(fault));
    deployment.shutdown().await;
}

#[tokio::test]
async fn calls_are_logged_with_the_process_and_the_invocation_that_made_them() {
    let (deployment, process) = busy().await;
    let cloud = &deployment.cloud;
    let fault = cloud.arm(second_put(FaultAction::KillBefore));
    put(cloud, &process.access_key, "first").await.unwrap();
    // What other people do is not counted.
    put(cloud, PERSON, "second").await.unwrap();
    assert!(!cloud.has_happened(fault) && process.is_running());
    let calls = cloud.calls();
    let caller = calls[0].caller.as_ref().unwrap();
    assert_eq!((caller.function.as_str(), caller.sandbox.as_str()), (LIFECYCLE, "lifecycle/1"));
    assert!(caller.request_id.is_some());
    assert!(calls[1].caller.is_none());
    deployment.shutdown().await;
}
