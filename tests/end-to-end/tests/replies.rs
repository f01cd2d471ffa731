//! A reply that is lost, an error of the service, a slow service: at every call that changes something, and nothing is
//! different in the end.
//!
//! `AttachVolume` and `CompleteLifecycleAction` have no token to be repeated by, so a lost reply may hide a success:
//! what was asked for is looked for again.

#![expect(clippy::print_stdout, reason = "a test says how often something went wrong in fact")]

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use local_cloud::cloud::{Door, Fault, FaultAction, Options};

use shared::group::{ZONE, leaving_by};
use shared::throttle::{Pace, Throttle};
use shared::trial::{Trial, options};
use shared::{Failure, checks, ensure, problem, same};

static CLOUDS: Throttle = Throttle::new(8, 3);

/// The SDK tries a call three times: with as many refusals it gives up, and the loop has to look again.
const ATTEMPTS: usize = 3;

/// What a group of one came to after its instance failed and was replaced.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// How often each slot changed hands.
    epochs: BTreeMap<String, u64>,
    volumes: usize,
    answers: Vec<String>,
}

#[derive(Debug)]
struct Run {
    end: End,
    /// Where the calls that change something went, in order.
    changes: Vec<(Door, String)>,
    /// Which of the faults happened.
    happened: Vec<bool>,
}

/// One attempt of a call may take as long as the whole call: 500 ms.
fn impatient() -> Result<Options, Failure> {
    let mut options = options()?;
    options.timeout = Duration::from_secs(5);
    options.concurrency = 3;
    let name = "STATEFUL_ASG_OPERATION_TIMEOUT_MS".to_owned();
    options.env.insert(name, "500".to_owned());
    Ok(options)
}

async fn run(faults: &[Fault]) -> Result<Run, Failure> {
    CLOUDS.run(told(faults)).await
}

async fn told(faults: &[Fault]) -> Result<(Run, Pace), Failure> {
    Trial::tell(impatient()?, async |trial: &Trial| {
        let armed: Vec<_> = faults.iter().map(|fault| trial.cloud.arm(fault.clone())).collect();
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        let before = checks::pairs(&trial.records().await?);
        trial.replace_one().await?;
        let held = trial.held().await?;
        let records = trial.records().await?;
        same("slots and their volumes", &checks::pairs(&records), &before)?;
        let calls = trial.cloud.calls().into_iter();
        let changes = calls
            .filter(|call| call.caller.is_some() && checks::changes(&call.operation))
            .map(|call| (call.door, call.operation));
        let run = Run {
            end: End {
                epochs: checks::epochs(&records),
                volumes: held.len(),
                answers: trial.answers()?,
            },
            changes: changes.collect(),
            happened: armed.into_iter().map(|armed| trial.cloud.has_happened(armed)).collect(),
        };
        Ok((run, trial.pace()))
    })
    .await
}

fn fault(operation: &str, nth: usize, action: FaultAction) -> Fault {
    Fault { function: None, operation: Some(operation.to_owned()), nth, action }
}

/// The first run tells which calls there are; `faults` makes of them what goes wrong in each further run.
async fn all_end_the_same(
    faults: impl FnOnce(&[(Door, String)]) -> Vec<Vec<Fault>>,
) -> Result<(), Failure> {
    let undisturbed = run(&[]).await?;
    let plans = faults(&undisturbed.changes);
    ensure(!plans.is_empty(), || "nothing is to go wrong".to_owned())?;
    let (end, count) = (&undisturbed.end, plans.len());
    let outcomes: Vec<Result<bool, Failure>> = stream::iter(plans)
        .map(|plan| async move {
            let name: Vec<String> = plan.iter().map(name).collect();
            let name = name.join(", ");
            let told = run(&plan).await;
            let told = told.map_err(|failure| problem(format!("{name}: {failure}")))?;
            same(&format!("the end after {name}"), &told.end, end)?;
            // Messages between invocations are left when two of them meet, which is not in every run.
            let certain = plan.iter().zip(&told.happened).filter(|(fault, _)| {
                fault.nth == 1 && fault.operation.as_deref() != Some("UpdateItem")
            });
            for (fault, happened) in certain {
                ensure(*happened, || format!("{} did not happen", self::name(fault)))?;
            }
            Ok(told.happened.contains(&true))
        })
        .buffer_unordered(CLOUDS.most())
        .collect()
        .await;
    let mut happened = 0;
    for outcome in outcomes {
        happened += usize::from(outcome?);
    }
    println!("something went wrong in {happened} of {count} runs");
    ensure(happened * 3 >= count * 2, || {
        format!("something went wrong in only {happened} of {count} runs")
    })
}

fn name(fault: &Fault) -> String {
    let operation = fault.operation.as_deref().unwrap_or("any call");
    format!("{:?} at {operation} {}", fault.action, fault.nth)
}

/// Each of these calls, and which one of its operation it is.
fn numbered(changes: &[(Door, String)]) -> Vec<(&str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let numbered = changes.iter().map(|(_, operation)| {
        let count = counts.entry(operation).or_default();
        *count += 1;
        (operation.as_str(), *count)
    });
    numbered.collect()
}

/// The operations of a service among these calls.
fn operations(changes: &[(Door, String)], door: Door) -> BTreeSet<&str> {
    let of_it = changes.iter().filter(|(seen, _)| *seen == door);
    of_it.map(|(_, operation)| operation.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_lost_after_the_effect_changes_nothing() -> Result<(), Failure> {
    all_end_the_same(|changes| {
        let lost = |(operation, nth)| vec![fault(operation, nth, FaultAction::DropReply)];
        numbered(changes).into_iter().map(lost).collect()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_unavailable_for_longer_than_the_sdk_tries_changes_nothing()
-> Result<(), Failure> {
    let unavailable = |door: Door| {
        let code = match door {
            Door::Ec2 => "Unavailable",
            Door::AutoScaling | Door::Sts | Door::Sqs => "ServiceUnavailable",
            Door::Ssm | Door::EventBridge => "InternalServerError",
            Door::Kms => "KMSInternalException",
            Door::ServiceQuotas => "ServiceException",
            Door::DynamoDb => "ServiceUnavailableException",
        };
        let (status, code) = (503, code.to_owned());
        FaultAction::Refuse { status, code }
    };
    all_end_the_same(|changes| {
        let mut plans = Vec::new();
        for door in [Door::Ec2, Door::AutoScaling, Door::DynamoDb] {
            // Each operation of the service by itself, and then all of them in one run.
            let refused = |operation: &str| {
                (1..=ATTEMPTS)
                    .map(|nth| fault(operation, nth, unavailable(door)))
                    .collect::<Vec<Fault>>()
            };
            let operations = operations(changes, door);
            plans.extend(operations.iter().map(|operation| refused(operation)));
            plans.push(operations.iter().flat_map(|operation| refused(operation)).collect());
        }
        plans
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_its_effect_only_after_its_caller_gave_up_changes_nothing()
-> Result<(), Failure> {
    // A second: two operation timeouts, and less than what guards allow for beyond one.
    let late = FaultAction::Delay(Duration::from_secs(1));
    all_end_the_same(|changes| {
        let doors = [Door::Ec2, Door::AutoScaling, Door::DynamoDb];
        let operations = doors.into_iter().flat_map(|door| operations(changes, door));
        operations.map(|operation| vec![fault(operation, 1, late.clone())]).collect()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_slow_at_every_first_call_change_nothing() -> Result<(), Failure> {
    let slow = FaultAction::Delay(Duration::from_millis(200));
    all_end_the_same(|changes| {
        let numbered = numbered(changes).into_iter();
        vec![numbered.map(|(operation, nth)| fault(operation, nth, slow.clone())).collect()]
    })
    .await
}
