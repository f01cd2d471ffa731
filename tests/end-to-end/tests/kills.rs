//! SIGKILL at any call changes nothing in the end: Lambda's retry or the next reconcile goes on, and the slots, their
//! volumes, the answers and the number of changes of owner are those of a run in which nothing died.
//!
//! A run without faults tells which calls there are. Then, in a cloud of its own each time, a process dies right before
//! and right after each call that changes something (the kth of its operation), and right after every third of those
//! that only read (the nth of all). Reads come in batches of three or so, and what a process that dies among them
//! leaves behind is what it leaves before its next change; the scenarios, in virtual time, kill it at each of them,
//! before and after. Guards end with the function's deadline, the operation timeout and two seconds for clocks that
//! differ, so those are short here.
//!
//! Two functions and a schedule run at once, so a run may make fewer calls than the first one did, and its nth call need
//! not be the same one. The first call of each operation is hit for certain, but for two that come by chance.

#![expect(clippy::print_stdout, reason = "a test says how often a process died in fact")]

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use local_cloud::cloud::{Fault, FaultAction, Options};

use shared::group::{POOL, ZONE, leaving_by};
use shared::throttle::{Pace, Throttle};
use shared::trial::{Trial, options};
use shared::{Failure, checks, ensure, problem, same};

static CLOUDS: Throttle = Throttle::new(16, 4);
/// Of so many calls that only read, one is somebody's last.
const READS_A_BATCH: usize = 3;

/// What happens to the group of one.
#[derive(Debug, Clone, Copy)]
enum Story {
    /// Its instance is launched.
    Launch,
    /// Its instance fails and is replaced.
    Replacement,
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    end: End,
    /// The operations that the functions called, in order.
    calls: Vec<String>,
    /// Whether a process died.
    killed: bool,
}

/// What must be the same whatever dies.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// How often each slot changed hands.
    epochs: BTreeMap<String, u64>,
    volumes_per_slot: Vec<usize>,
    volumes: usize,
    answers: Vec<String>,
}

/// Guards end five and a half seconds after an invocation began.
fn short_guards() -> Result<Options, Failure> {
    let mut options = options()?;
    options.timeout = Duration::from_secs(3);
    let name = "STATEFUL_ASG_OPERATION_TIMEOUT_MS".to_owned();
    options.env.insert(name, "500".to_owned());
    // Little to wait for but guards, and no more processes than that takes.
    options.world.speed = 100.0;
    options.schedule = Some(Duration::from_mins(2));
    options.concurrency = 3;
    Ok(options)
}

async fn run(story: Story, policy: &str, fault: Option<Fault>) -> Result<Run, Failure> {
    CLOUDS.run(told(story, policy, fault)).await
}

async fn told(story: Story, policy: &str, fault: Option<Fault>) -> Result<(Run, Pace), Failure> {
    Trial::tell(short_guards()?, async |trial: &Trial| {
        let before = match story {
            Story::Launch => {
                trial.volumes(&[ZONE]).await?;
                None
            }
            Story::Replacement => {
                trial.stateful(&[ZONE], policy).await?;
                Some(checks::pairs(&trial.records().await?))
            }
        };
        let calls_before = trial.cloud.calls().len();
        let armed = fault.map(|fault| trial.cloud.arm(fault));
        let failed = match story {
            Story::Launch => {
                trial.group(1, &[ZONE], policy).await?;
                None
            }
            Story::Replacement => Some(trial.fail_one()?),
        };
        trial.in_service(1, failed.as_deref()).await?;
        trial.cloud.disarm();

        let held = trial.held().await?;
        let records = trial.records().await?;
        if let Some(before) = before {
            same("slots and their volumes", &checks::pairs(&records), &before)?;
        }
        let calls = trial.cloud.calls().split_off(calls_before);
        let run = Run {
            end: End {
                epochs: checks::epochs(&records),
                volumes_per_slot: held.values().map(|(volumes, _)| volumes.len()).collect(),
                volumes: trial.account.pool(POOL).await?.len(),
                answers: trial.answers()?,
            },
            killed: armed.is_some_and(|armed| trial.cloud.has_happened(armed)),
            calls: calls
                .into_iter()
                .filter(|call| call.caller.is_some())
                .map(|call| call.operation)
                .collect(),
        };
        Ok((run, trial.pace()))
    })
    .await
}

/// The kills that a run with these calls has room for.
fn kills(calls: &[String]) -> Vec<Fault> {
    let kill = |operation: Option<&String>, nth, action| Fault {
        function: None,
        operation: operation.cloned(),
        nth,
        action,
    };
    let mut kills = Vec::new();
    for (index, operation) in calls.iter().enumerate() {
        if checks::changes(operation) {
            let earlier = calls.iter().take(index).filter(|it| *it == operation);
            let nth = earlier.count() + 1;
            kills.push(kill(Some(operation), nth, FaultAction::KillBefore));
            kills.push(kill(Some(operation), nth, FaultAction::KillAfter));
        } else if index.is_multiple_of(READS_A_BATCH) {
            kills.push(kill(None, index + 1, FaultAction::KillAfter));
        }
    }
    kills
}

async fn killed(
    story: Story,
    policy: &str,
    fault: Fault,
    undisturbed: &End,
) -> Result<bool, Failure> {
    let call = fault.operation.as_deref().unwrap_or("call");
    let name = format!("{:?}, {call} {}", fault.action, fault.nth);
    // One process that tries to leave a message and get it read is enough: nobody else needs to. And whose instance runs
    // before its launch would rest has nothing to keep alive.
    let by_chance = ["UpdateItem", "RecordLifecycleActionHeartbeat"];
    let operation = fault.operation.as_deref();
    let certain = fault.nth == 1 && !operation.is_some_and(|it| by_chance.contains(&it));
    let run = run(story, policy, Some(fault)).await;
    let run = run.map_err(|failure| problem(format!("{name}: {failure}")))?;
    same(&format!("the end after {name}"), &run.end, undisturbed)?;
    ensure(run.killed || !certain, || format!("{name} did not happen"))?;
    Ok(run.killed)
}

async fn dies_at_every_call(story: Story, policy: &str) -> Result<(), Failure> {
    let began = Instant::now();
    let undisturbed = run(story, policy, None).await?;
    let (end, kills) = (&undisturbed.end, kills(&undisturbed.calls));
    let count = kills.len();
    let outcomes: Vec<_> = stream::iter(kills)
        .map(|fault| killed(story, policy, fault, end))
        .buffer_unordered(CLOUDS.most())
        .collect()
        .await;
    let (mut died, mut failures) = (0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(killed) => died += usize::from(killed),
            Err(failure) => failures.push(failure),
        }
    }
    let took = began.elapsed().as_secs();
    println!("{story:?}: a process died in {died} of {count} runs; {took} s");
    if let Some(first) = failures.first() {
        let failed = failures.len();
        return Err(problem(format!("{failed} of {count} runs failed; the first: {first}")));
    }
    ensure(died * 3 >= count * 2, || format!("a process died in only {died} of {count} runs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_ends_the_same_whichever_call_the_function_dies_of() -> Result<(), Failure> {
    dies_at_every_call(Story::Launch, &leaving_by("stop")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_ends_the_same_whichever_call_a_function_dies_of() -> Result<(), Failure> {
    dies_at_every_call(Story::Replacement, &leaving_by("stop")).await
}
