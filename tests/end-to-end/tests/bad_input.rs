//! Bad input for the binaries themselves: one clear line that says what was seen and what to do, no event that retries
//! for ever, and nothing lost.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use end_to_end::{GroupPlan, binary};
use local_cloud::cloud::{
    Cloud, GivenUp, InvocationReport, LIFECYCLE, LogLine, Outcome, RECONCILE,
};
use local_cloud::world::{HookSpecification, LifecycleState, VolumeState};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use shared::group::{HEARTBEAT_SECONDS, POOL, ZONE, leaving_by, members};
use shared::logs::{parsed, with_message};
use shared::trial::{LIMIT, Trial, options, without};
use shared::{Failure, checks, ensure, problem, same};

/// A request id that no invocation has.
const NOBODYS: &str = "";

/// What a function writes, and how it ends, when it is started with these variables alone.
async fn started(function: &str, env: &[(&str, &str)]) -> Result<(bool, Vec<String>), Failure> {
    let mut command = Command::new(binary(function)?);
    let command = command
        .env_clear()
        .envs(env.iter().copied())
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .env("AWS_LAMBDA_FUNCTION_NAME", function)
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(LIMIT, command.output()).await;
    let output = ended.map_err(|_| problem(format!("{function} did not end")))??;
    let lines = String::from_utf8(output.stdout)?;
    let lines = lines.lines().map(str::to_owned).collect();
    Ok((output.status.success(), lines))
}

/// Neither function starts with these variables, and each says why in one line.
async fn neither_starts(env: &[(&str, &str)], why: &[&str]) -> Result<(), Failure> {
    for function in [LIFECYCLE, RECONCILE] {
        let (succeeded, lines) = started(function, env).await?;
        ensure(!succeeded, || format!("{function} ended without an error"))?;
        let [line] = lines.as_slice() else {
            return Err(problem(format!("{function} wrote not one line: {lines:?}")));
        };
        let line: Value = serde_json::from_str(line)?;
        same("the level", &line["level"], &json!("ERROR"))?;
        let said = line["fields"]["problem"].as_str().unwrap_or_default();
        for word in why {
            ensure(said.contains(word), || format!("{function} says not {word:?} but {said:?}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_function_without_its_table_s_name_does_not_start_and_names_the_variable()
-> Result<(), Failure> {
    let region = ("AWS_REGION", "eu-central-1");
    neither_starts(&[region], &["STATEFUL_ASG_TABLE is not set", "set it to"]).await?;
    let blank = ("STATEFUL_ASG_TABLE", " ");
    neither_starts(&[region, blank], &["STATEFUL_ASG_TABLE is not set"]).await
}

#[tokio::test]
async fn a_function_with_a_bad_operation_timeout_does_not_start_and_names_the_range()
-> Result<(), Failure> {
    for value in ["soon", "0", "99", "60001", "-1", "1e3"] {
        let env = [
            ("AWS_REGION", "eu-central-1"),
            ("STATEFUL_ASG_TABLE", "leases"),
            ("STATEFUL_ASG_OPERATION_TIMEOUT_MS", value),
        ];
        let why = ["STATEFUL_ASG_OPERATION_TIMEOUT_MS", value, "100 to 60000"];
        neither_starts(&env, &why).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_function_without_a_region_does_not_start_and_names_the_variable() -> Result<(), Failure>
{
    neither_starts(&[("STATEFUL_ASG_TABLE", "leases")], &["AWS_REGION"]).await
}

/// One volume and one launch of a group whose launch hook carries this.
async fn launched(trial: &Trial, metadata: Option<&str>) -> Result<(), Failure> {
    trial.volumes(&[ZONE]).await?;
    let plan = GroupPlan {
        name: POOL,
        size: 1,
        zones: &[ZONE],
        metadata,
        heartbeat_seconds: HEARTBEAT_SECONDS,
    };
    trial.account.create_group(&plan).await
}

/// The launch is still held, its instance the only one, and the volume is where it was.
fn held_with_nothing_lost(cloud: &Cloud) -> Result<(), Failure> {
    let states: Vec<LifecycleState> =
        cloud.inspect(members).into_iter().map(|(_, state)| state).collect();
    same("the instances", &states, &vec![LifecycleState::PendingWait])?;
    let volumes: Vec<VolumeState> = cloud.inspect(|world| {
        let tagged = world.volumes().filter(|it| it.tags.contains_key("stateful-asg:pool"));
        tagged.map(|volume| volume.state).collect()
    });
    same("the volumes", &volumes, &vec![VolumeState::Available])
}

/// What a launch comes to that no attempt of its function can serve: it is tried as often as Lambda does, given up and
/// kept, the launch is held, and nothing is lost. Returns what was written.
async fn given_up(trial: &Trial) -> Result<Vec<LogLine>, Failure> {
    let cloud = &trial.cloud;
    launched(trial, Some(&leaving_by("stop"))).await?;
    let launch = || {
        let mut letters = cloud.dead_letters().into_iter();
        letters.find(|letter| letter.function == LIFECYCLE)
    };
    let letter = cloud.wait_for(LIMIT, launch).await?;
    same("attempts", &letter.attempts, &3)?;
    same("why it was given up", &letter.reason, &GivenUp::RetriesExhausted)?;
    let kind = &letter.payload["detail-type"];
    same("the event", kind, &json!("EC2 Instance-launch Lifecycle Action"))?;
    held_with_nothing_lost(cloud)?;
    trial.lines()
}

/// One error line with these words for each attempt, all of them JSON.
fn said(lines: &[LogLine], words: &[&str]) -> Result<(), Failure> {
    let mut found = 0;
    for line in lines.iter().filter(|line| line.function == LIFECYCLE) {
        let line = match parsed(line) {
            Ok(entry) => entry.to_string(),
            // Written by the runtime of the process, not by its logger.
            Err(_) if line.text.starts_with("Error: ") => continue,
            Err(failure) => return Err(failure),
        };
        found += usize::from(words.iter().all(|word| line.contains(word)));
    }
    ensure(found >= 3, || format!("{found} of 3 attempts say {words:?}: {lines:#?}"))
}

#[tokio::test]
async fn without_credentials_the_launch_is_held_and_the_reason_said() -> Result<(), Failure> {
    Trial::tell(without("credentials")?, async |trial: &Trial| {
        let lines = given_up(trial).await?;
        said(&lines, &["credentials"])?;
        let asked = trial.cloud.calls().into_iter().filter(|call| call.caller.is_some());
        same("calls that reached AWS", &asked.count(), &0)
    })
    .await
}

#[tokio::test]
async fn without_the_table_s_name_the_launch_is_held_and_the_variable_named() -> Result<(), Failure>
{
    Trial::tell(without("table")?, async |trial: &Trial| {
        said(&given_up(trial).await?, &["STATEFUL_ASG_TABLE is not set"])
    })
    .await
}

#[tokio::test]
async fn without_a_region_the_launch_is_held_and_the_variable_named() -> Result<(), Failure> {
    Trial::tell(without("region")?, async |trial: &Trial| {
        said(&given_up(trial).await?, &["AWS_REGION"])
    })
    .await
}

#[tokio::test]
async fn without_the_table_the_launch_is_held_and_the_table_named() -> Result<(), Failure> {
    let mut options = options()?;
    options.table = "leases-of-nobody".to_owned();
    // The deployment's policy is for the deployment's table.
    options.policy = None;
    options.retry_delays.fill(std::time::Duration::ZERO);
    Trial::tell(options, async |trial: &Trial| {
        let delete = trial.account.dynamodb.delete_table();
        delete.table_name("leases-of-nobody").send().await?;
        said(&given_up(trial).await?, &["leases-of-nobody", "STATEFUL_ASG_TABLE"])
    })
    .await
}

/// The lines of one invocation.
fn of<'a>(lines: &'a [LogLine], request_id: &str) -> Result<Vec<(&'a LogLine, Value)>, Failure> {
    let mut found = Vec::new();
    for line in lines {
        let entry = parsed(line)?;
        if entry["span"]["requestId"] == request_id {
            found.push((line, entry));
        }
    }
    Ok(found)
}

/// Invokes both functions with this payload: each ignores it and says why, in one line, and tries no second time.
async fn ignored(trial: &Trial, payload: &Value, level: &str, why: &str) -> Result<(), Failure> {
    for function in [LIFECYCLE, RECONCILE] {
        let request = trial.cloud.invoke(function, payload.clone());
        let request = request.ok_or("the function is not deployed")?;
        trial.cloud.wait_until_idle(LIMIT).await?;
        let reports: Vec<InvocationReport> = trial.cloud.invocations();
        let attempts: Vec<_> =
            reports.into_iter().filter(|report| report.request_id == request).collect();
        same("attempts", &attempts.len(), &1)?;
        let succeeded = attempts.iter().all(|it| matches!(it.outcome, Outcome::Succeeded(_)));
        ensure(succeeded, || format!("{function}: {attempts:?}"))?;

        let said = || trial.lines().and_then(|lines| Ok(of(&lines, &request)?.len())).ok();
        trial.cloud.wait_for(LIMIT, || said().filter(|count| *count > 0)).await?;
        let lines = trial.lines()?;
        let lines = of(&lines, &request)?;
        let [(_, line)] = lines.as_slice() else {
            return Err(problem(format!("{function} did not write one line: {lines:?}")));
        };
        same("the message", &line["fields"]["message"], &json!("event ignored"))?;
        same("the level", &line["level"], &json!(level))?;
        ensure(line["fields"].to_string().contains(why), || {
            format!("{function} does not say {why:?}: {line}")
        })?;
        let alarm = (level == "ERROR").then_some("malformed-event");
        same("the alarm", &line["fields"]["alarm"].as_str(), &alarm)?;
    }
    ensure(trial.cloud.dead_letters().is_empty(), || "an event was given up".to_owned())
}

fn launch_event() -> Value {
    json!({
        "version": "0",
        "source": "aws.autoscaling",
        "detail-type": "EC2 Instance-launch Lifecycle Action",
        "detail": {
            "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
            "AutoScalingGroupName": "cassandra",
            "LifecycleHookName": "stateful-asg-launch",
            "EC2InstanceId": "i-1234567890abcdef0",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        },
    })
}

#[tokio::test]
async fn a_malformed_event_is_ignored_at_once_and_its_field_named() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        let mut no_instance = launch_event();
        no_instance["detail"]["EC2InstanceId"].take();
        ignored(trial, &no_instance, "ERROR", "EC2InstanceId").await?;
        let mut wrong_transition = launch_event();
        wrong_transition["detail"]["LifecycleTransition"] = json!("landing");
        ignored(trial, &wrong_transition, "ERROR", "LifecycleTransition").await?;
        let mut no_detail = launch_event();
        no_detail["detail"].take();
        ignored(trial, &no_detail, "ERROR", "malformed").await?;
        let state = json!({
            "source": "aws.ec2",
            "detail-type": "EC2 Instance State-change Notification",
            "detail": { "instance-id": "the third one", "state": "running" },
        });
        ignored(trial, &state, "ERROR", "the third one").await
    })
    .await
}

#[tokio::test]
async fn an_event_for_somebody_else_is_ignored_at_once_and_the_reason_said() -> Result<(), Failure>
{
    Trial::tell(options()?, async |trial: &Trial| {
        let unknown = json!({ "source": "aws.s3", "detail-type": "Object Created" });
        ignored(trial, &unknown, "INFO", "Object Created").await?;
        let test = json!({ "Event": "autoscaling:TEST_NOTIFICATION" });
        ignored(trial, &test, "INFO", "a test notification").await?;
        let mut theirs = launch_event();
        theirs["detail"]["LifecycleHookName"] = json!("drain");
        ignored(trial, &theirs, "INFO", "drain").await?;
        for payload in [json!("hello"), json!(7), json!([]), json!(null), json!({})] {
            ignored(trial, &payload, "INFO", "not an event").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_event_for_an_instance_that_nobody_knows_gets_no_slot_and_no_answer()
-> Result<(), Failure> {
    // Auto Scaling's describe may lag behind its event, so such an instance is looked for as long as the time allows.
    let mut options = options()?;
    options.timeout = std::time::Duration::from_secs(6);
    Trial::tell(options, async |trial: &Trial| {
        trial.volumes(&[ZONE]).await?;
        trial.cloud.invoke(LIFECYCLE, launch_event());
        trial.cloud.wait_until_idle(LIMIT).await?;
        let outcomes = trial.cloud.invocations();
        let failed = outcomes.iter().find(|it| !matches!(it.outcome, Outcome::Succeeded(_)));
        ensure(failed.is_none(), || format!("{failed:?}"))?;
        let mut changes = trial.changes();
        // To keep an action alive that may be there decides nothing.
        changes.retain(|operation| operation != "RecordLifecycleActionHeartbeat");
        same("changes", &changes, &Vec::<String>::new())?;
        same("slots", &checks::slots(&trial.records().await?).len(), &0)
    })
    .await
}

/// A launch with this metadata is held, and each of its invocations raises one alarm that says why; once the hook is
/// corrected the launch goes on.
async fn held_for_policy(metadata: Option<&str>, why: &str) -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        launched(trial, metadata).await?;
        let alarms = || {
            let lines = trial.lines().ok()?;
            with_message(&lines, "a person is needed").ok().filter(|alarms| !alarms.is_empty())
        };
        trial.cloud.wait_for(LIMIT, alarms).await?;
        trial.cloud.wait_until_idle(LIMIT).await?;
        held_with_nothing_lost(&trial.cloud)?;
        ensure(trial.cloud.dead_letters().is_empty(), || "an event was given up".to_owned())?;

        let lines = trial.lines()?;
        let mut per_invocation: BTreeMap<String, usize> = BTreeMap::new();
        for line in &lines {
            let line = parsed(line)?;
            let fields = &line["fields"];
            if fields["alarm"].is_null() {
                continue;
            }
            same("the level", &line["level"], &json!("ERROR"))?;
            same("the alarm", &fields["alarm"], &json!("policy-fault"))?;
            let problem = fields["problem"].as_str().unwrap_or_default();
            ensure(problem.contains(why) && problem.contains("correct the hook"), || {
                format!("the alarm does not say {why:?}: {problem:?}")
            })?;
            let request = line["span"]["requestId"].as_str().unwrap_or(NOBODYS).to_owned();
            *per_invocation.entry(request).or_default() += 1;
        }
        let once = per_invocation.values().all(|count| *count == 1);
        ensure(once && !per_invocation.contains_key(NOBODYS), || {
            format!("not one alarm for each invocation: {per_invocation:?}")
        })?;

        let corrected = HookSpecification {
            name: "stateful-asg-launch".to_owned(),
            metadata: Some(leaving_by("stop")),
            ..HookSpecification::default()
        };
        trial.cloud.with_world(|world| world.put_lifecycle_hook(POOL, corrected))?;
        trial.in_service(1, None).await?;
        trial.held().await?;
        same("answers", &trial.answers()?, &vec!["stateful-asg-launch CONTINUE".to_owned()])
    })
    .await
}

#[tokio::test]
async fn a_launch_without_a_policy_is_held_with_one_alarm_each_time() -> Result<(), Failure> {
    held_for_policy(None, "no NotificationMetadata").await
}

#[tokio::test]
async fn a_launch_whose_policy_is_no_json_is_held_with_one_alarm_each_time() -> Result<(), Failure>
{
    held_for_policy(Some("pool=cassandra"), "expected value").await
}

#[tokio::test]
async fn a_launch_whose_policy_has_an_unknown_field_is_held_and_the_field_named()
-> Result<(), Failure> {
    held_for_policy(Some(r#"{"pool":"cassandra","whenEmty":"wait"}"#), "whenEmty").await
}

#[tokio::test]
async fn a_launch_whose_policy_is_out_of_range_is_held_and_the_field_named() -> Result<(), Failure>
{
    held_for_policy(Some(r#"{"pool":"cassandra","waitSeconds":999999}"#), "waitSeconds").await
}

#[tokio::test]
async fn every_line_is_json_and_every_invocation_has_one_line_that_tells_it_all()
-> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        trial.replace_one().await?;
        let instance_events: BTreeSet<String> = trial
            .cloud
            .invocations()
            .into_iter()
            .filter(|report| report.payload["detail-type"] != "Scheduled Event")
            .map(|report| report.request_id)
            .collect();
        // What was written last may still be on its way here.
        let told = |lines: &[LogLine]| -> Result<BTreeMap<String, usize>, Failure> {
            let mut told = BTreeMap::new();
            for line in lines {
                let entry = parsed(line)?;
                if entry["fields"]["message"] == "invocation" {
                    let request = entry["span"]["requestId"].as_str().unwrap_or(NOBODYS);
                    *told.entry(request.to_owned()).or_default() += 1;
                }
            }
            Ok(told)
        };
        let all_told = || {
            let told = told(&trial.lines().ok()?).ok()?;
            instance_events.iter().all(|request| told.contains_key(request)).then_some(())
        };
        trial.cloud.wait_for(LIMIT, all_told).await?;

        let lines = trial.lines()?;
        let told = told(&lines)?;
        for request in &instance_events {
            same(&format!("lines of {request}"), &told.get(request), &Some(&1))?;
        }
        ensure(!told.contains_key(NOBODYS), || "a line tells of no invocation".to_owned())?;
        for fields in with_message(&lines, "invocation")? {
            complete(&fields)?;
        }
        // The line of the launch tells the whole of it.
        let all = with_message(&lines, "invocation")?;
        let answered = all.iter().filter(|fields| fields["answered"] == "CONTINUE");
        let steps: Vec<&str> = answered.filter_map(|fields| fields["steps"].as_str()).collect();
        let steps = steps.join("; ");
        for step in ["CompleteLifecycleAction", "is attached whole"] {
            ensure(steps.contains(step), || format!("no {step} in {steps}"))?;
        }
        Ok(())
    })
    .await
}

/// Action, slot, steps with reasons, calls, duration and result.
fn complete(fields: &Value) -> Result<(), Failure> {
    let texts = ["trigger", "instance_id", "slot", "result", "steps", "calls"];
    let numbers = ["call_count", "duration_ms", "lost_races"];
    let action = ["asg", "hook", "transition", "action_token"];
    let texts = texts.into_iter().all(|name| fields[name].is_string());
    let numbers = numbers.into_iter().all(|name| fields[name].is_u64());
    let of_action = fields["trigger"] == "lifecycle event";
    let action = action.into_iter().all(|name| fields[name].is_string() == of_action);
    ensure(texts && numbers && action, || format!("something is missing in {fields}"))
}
