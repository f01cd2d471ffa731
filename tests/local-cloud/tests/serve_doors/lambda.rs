//! The Lambda runtime: processes, outcomes, retries, and the events of the rules.

use std::process::Command;
use std::time::Duration;

use hyper::Request;
use local_cloud::cloud::{Cloud, GivenUp, LIFECYCLE, Options, Outcome, RECONCILE};
use serde_json::json;

use crate::LIMIT;
use crate::client::{auto_scaling, ec2, send};
use crate::function::{Deployment, quiet};

/// A function that ends at once, with an error.
const FALSE: &str = "/bin/false";

#[tokio::test]
async fn an_event_reaches_the_function_as_lambda_sends_it_and_its_answer_is_reported() {
    let mut deployment = Deployment::start(quiet()).await;
    let request_id = deployment.cloud.invoke(LIFECYCLE, json!({ "n": 1 })).unwrap();
    let process = deployment.process().await;
    for variable in [
        "AWS_LAMBDA_FUNCTION_NAME=lifecycle",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
        "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
        "AWS_LAMBDA_LOG_FORMAT=JSON",
        "AWS_REGION=eu-central-1",
        "STATEFUL_ASG_TABLE=stateful-asg",
        &format!("AWS_ENDPOINT_URL={}", deployment.cloud.endpoint()),
    ] {
        assert!(process.env.iter().any(|line| line == variable), "{variable}: {:?}", process.env);
    }
    assert!(!process.env.iter().any(|line| line.starts_with("CARGO")), "{:?}", process.env);

    let event = process.next().await;
    assert_eq!(event.json(), json!({ "n": 1 }));
    assert_eq!(event.header("lambda-runtime-aws-request-id"), request_id);
    assert_eq!(
        event.header("lambda-runtime-invoked-function-arn"),
        "arn:aws:lambda:eu-central-1:123456789012:function:lifecycle"
    );
    assert!(event.header("lambda-runtime-trace-id").starts_with("Root=1-"));
    let now = deployment.cloud.with_world(|world| world.now()).as_millis();
    let deadline: u64 = event.header("lambda-runtime-deadline-ms").parse().unwrap();
    let limit = u64::try_from(LIMIT.as_millis()).unwrap();
    assert!(deadline > now && deadline <= now + limit, "{deadline} at {now}");

    assert_eq!(process.answer(&event, "response", &json!({ "done": true })).await.status, 202);
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    let reports = deployment.cloud.invocations();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].outcome, Outcome::Succeeded(json!({ "done": true })));
    assert_eq!((reports[0].request_id.as_str(), reports[0].attempt), (request_id.as_str(), 1));
    deployment.shutdown().await;
    assert!(!process.is_running());
}

#[tokio::test]
async fn a_process_takes_one_event_after_the_other() {
    let mut deployment = Deployment::start(Options { concurrency: 1, ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    deployment.cloud.invoke(LIFECYCLE, json!(2)).unwrap();
    let process = deployment.process().await;
    for expected in [1, 2] {
        let event = process.next().await;
        assert_eq!(event.json(), json!(expected));
        process.answer(&event, "response", &json!(null)).await;
    }
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    assert_eq!(deployment.cloud.invocations().len(), 2);
    deployment.shutdown().await;
}

#[tokio::test]
async fn two_events_at_once_start_two_processes() {
    let mut deployment = Deployment::start(Options { concurrency: 2, ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let (first, second) = (deployment.process().await, deployment.process().await);
    assert_ne!(first.access_key, second.access_key);
    let (one, two) = tokio::join!(first.next(), second.next());
    assert_ne!(
        one.header("lambda-runtime-aws-request-id"),
        two.header("lambda-runtime-aws-request-id")
    );
    // One process has no say in what the other runs.
    assert_eq!(first.answer(&two, "response", &json!(null)).await.status, 400);
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_failed_event_is_retried_with_its_request_id_and_given_up_in_the_end() {
    let mut deployment = Deployment::start(quiet()).await;
    let request_id = deployment.cloud.invoke(LIFECYCLE, json!({ "poison": true })).unwrap();
    let process = deployment.process().await;
    for _ in 0..3 {
        let event = process.next().await;
        assert_eq!(event.header("lambda-runtime-aws-request-id"), request_id);
        let error = json!({ "errorType": "Oops", "errorMessage": "no such pool" });
        assert_eq!(process.answer(&event, "error", &error).await.status, 202);
    }
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    let outcome = Outcome::Failed { error_type: "Oops".into(), message: "no such pool".into() };
    let attempts: Vec<_> =
        deployment.cloud.invocations().into_iter().map(|it| (it.attempt, it.outcome)).collect();
    assert_eq!(attempts, [1, 2, 3].map(|attempt| (attempt, outcome.clone())));
    let letters = deployment.cloud.dead_letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, GivenUp::RetriesExhausted);
    assert_eq!((letters[0].attempts, &letters[0].request_id), (3, &request_id));
    assert_eq!(*letters[0].payload, json!({ "poison": true }));
    deployment.shutdown().await;
}

#[tokio::test]
async fn an_event_that_grew_too_old_is_given_up_without_another_attempt() {
    let maximum_event_age = LIMIT;
    let retry_delays = vec![LIMIT * 2];
    let mut deployment =
        Deployment::start(Options { maximum_event_age, retry_delays, ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    let event = process.next().await;
    process.answer(&event, "error", &json!({})).await;
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    let letters = deployment.cloud.dead_letters();
    assert_eq!((letters[0].attempts, letters[0].reason), (1, GivenUp::EventAgeExceeded));
    deployment.shutdown().await;
}

#[tokio::test]
async fn an_event_that_no_process_may_take_is_given_up() {
    let maximum_event_age = Duration::from_millis(50);
    let options = Options { concurrency: 0, maximum_event_age, ..quiet() };
    let deployment = Deployment::start(options).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    let letters = deployment.cloud.dead_letters();
    assert_eq!((letters[0].attempts, letters[0].reason), (0, GivenUp::EventAgeExceeded));
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_process_that_never_asks_for_its_next_event_runs_out_of_time() {
    let timeout = Duration::from_millis(200);
    let mut deployment = Deployment::start(Options { timeout, ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    let event = process.next().await;
    process.answer(&event, "response", &json!(null)).await;
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    deployment.cloud.invoke(LIFECYCLE, json!(2)).unwrap();
    deployment.process().await;
    assert!(!process.is_running());
    assert_eq!(deployment.cloud.invocations()[1].outcome, Outcome::TimedOut(timeout));
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed_and_another_process_tries_again() {
    let timeout = Duration::from_millis(200);
    let mut deployment = Deployment::start(Options { timeout, ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let first = deployment.process().await;
    first.next().await;
    let second = deployment.process().await;
    assert!(!first.is_running());
    let report = deployment.cloud.invocations().remove(0);
    assert_eq!(report.outcome, Outcome::TimedOut(timeout));
    assert_eq!(report.outcome.to_string(), "Task timed out after 0.20 seconds");
    let event = second.next().await;
    assert_eq!(event.header("lambda-runtime-aws-request-id"), report.request_id);
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_process_that_ends_in_the_middle_of_an_invocation_fails_it() {
    let mut deployment = Deployment::start(quiet()).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    process.next().await;
    assert!(Command::new("kill").args(["-9", &process.pid]).status().unwrap().success());
    let cloud = &deployment.cloud;
    let report = cloud.wait_for(LIMIT, || cloud.invocations().pop()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Exited { status: "signal: 9 (SIGKILL)".into() });
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_function_that_cannot_start_is_retried_and_given_up_with_what_it_said() {
    let options = Options { lifecycle: Some(FALSE.into()), ..quiet() };
    let cloud = Cloud::start(options).await.unwrap();
    cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    cloud.wait_until_idle(LIMIT).await.unwrap();
    let letters = cloud.dead_letters();
    assert_eq!((letters.len(), letters[0].attempts), (1, 3));
    let said = letters[0].last.as_ref().unwrap().to_string();
    assert!(said.starts_with("init failed:") && said.contains("exit status: 1"), "{said}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn an_error_that_a_function_reports_from_its_init_is_passed_on() {
    let mut deployment = Deployment::start(Options { retry_delays: vec![], ..quiet() }).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    let report = json!({ "errorType": "Config", "errorMessage": "no table is named" });
    assert_eq!(process.post("/init/error", &report).await.status, 202);
    assert!(Command::new("kill").args(["-9", &process.pid]).status().unwrap().success());
    deployment.cloud.wait_until_idle(LIMIT).await.unwrap();
    let said = deployment.cloud.dead_letters()[0].last.as_ref().unwrap().to_string();
    assert_eq!(said, "init failed: Config: no table is named (signal: 9 (SIGKILL))");
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_stranger_gets_no_events() {
    let mut deployment = Deployment::start(quiet()).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    deployment.process().await;
    let poll = Request::get("/lambda-runtime/99/2018-06-01/runtime/invocation/next");
    let reply = send(&deployment.cloud.endpoint(), poll, String::new()).await.unwrap();
    assert_eq!(reply.status, 403);
    assert!(deployment.cloud.invoke(RECONCILE, json!(1)).is_none());
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_launch_reaches_the_lifecycle_function_and_its_answer_reaches_the_group() {
    let mut options = quiet();
    options.world.speed = 100.0;
    let mut deployment = Deployment::start(options).await;
    let endpoint = deployment.cloud.endpoint();
    let template = [
        ("LaunchTemplateName", "template"),
        ("LaunchTemplateData.ImageId", "ami-0123456789abcdef0"),
        ("LaunchTemplateData.InstanceType", "m7g.large"),
    ];
    let created = ec2(&endpoint, "CreateLaunchTemplate", &template).await.unwrap();
    assert_eq!(created.status, 200, "{created:?}");
    let group = [
        ("AutoScalingGroupName", "group"),
        ("MinSize", "0"),
        ("MaxSize", "1"),
        ("DesiredCapacity", "1"),
        ("AvailabilityZones.member.1", "eu-central-1a"),
        ("LaunchTemplate.LaunchTemplateName", "template"),
        ("LifecycleHookSpecificationList.member.1.LifecycleHookName", "stateful-asg-launch"),
        (
            "LifecycleHookSpecificationList.member.1.LifecycleTransition",
            "autoscaling:EC2_INSTANCE_LAUNCHING",
        ),
    ];
    let created = auto_scaling(&endpoint, "CreateAutoScalingGroup", &group).await.unwrap();
    assert_eq!(created.status, 200, "{created:?}");

    let process = deployment.process().await;
    let event = process.next().await;
    let body = event.json();
    assert_eq!(body["detail-type"], "EC2 Instance-launch Lifecycle Action");
    assert_eq!(body["detail"]["LifecycleHookName"], "stateful-asg-launch");
    let complete = [
        ("AutoScalingGroupName", "group"),
        ("LifecycleHookName", "stateful-asg-launch"),
        ("LifecycleActionResult", "CONTINUE"),
        ("InstanceId", body["detail"]["EC2InstanceId"].as_str().unwrap()),
    ];
    let completed = auto_scaling(&endpoint, "CompleteLifecycleAction", &complete).await.unwrap();
    assert_eq!(completed.status, 200, "{completed:?}");
    // Nobody calls any more: the world goes on by itself.
    let cloud = &deployment.cloud;
    let told = || cloud.events().into_iter().find(|event| event.detail_type.contains("Successful"));
    let launched = cloud.wait_for(LIMIT, told).await.unwrap();
    assert_eq!(launched.detail_type, "EC2 Instance Launch Successful");
    deployment.shutdown().await;
}

#[tokio::test]
async fn the_schedule_starts_the_reconcile_function() {
    let options = Options { retry_delays: vec![], reconcile: Some(FALSE.into()), ..quiet() };
    let schedule = Some(Duration::from_millis(5));
    let cloud = Cloud::start(Options { schedule, ..options }).await.unwrap();
    let letter = cloud.wait_for(LIMIT, || cloud.dead_letters().pop()).await.unwrap();
    assert_eq!(letter.function, RECONCILE);
    assert_eq!(letter.payload["detail-type"], "Scheduled Event");
    cloud.shutdown().await;
}

#[tokio::test]
async fn events_are_repeated_and_lost_as_the_test_says() {
    let options = Options { retry_delays: vec![], reconcile: Some(FALSE.into()), ..quiet() };
    let cloud = Cloud::start(options).await.unwrap();
    let given_up = async |expected: usize| {
        cloud.wait_until_idle(LIMIT).await.unwrap();
        assert_eq!(cloud.dead_letters().len(), expected);
    };
    cloud.run_schedule();
    given_up(1).await;
    cloud.duplicate_events(2);
    cloud.run_schedule();
    given_up(4).await;
    cloud.lose_events(|event| event.source == "aws.events");
    cloud.run_schedule();
    given_up(4).await;
    cloud.lose_no_events();
    cloud.duplicate_events(0);
    let events = cloud.events();
    assert_eq!(events.len(), 3);
    // The one that was lost can still be delivered by hand.
    assert!(cloud.deliver(&events[2]).is_some());
    given_up(5).await;
    cloud.shutdown().await;
}
