//! Chaos on the wire: the real binaries over HTTP, while processes are killed at random calls and replies are dropped,
//! refused or come slowly. Group and functions are put through hundreds of lifecycles, every instance of the group
//! failing at once, again and again; after each round everything is at rest and safe, and no volume is anywhere else
//! than in its slot, held by an instance in service.
//!
//! What goes wrong where is drawn from a seed; which call of which process that meets is up to the machine, as it
//! would be on AWS.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::time::{Duration, Instant};

use local_cloud::cloud::{CallOutcome, Cloud, Fault, FaultAction, Options, Outcome};

use shared::group::leaving_by;
use shared::trial::{Trial, options};
use shared::{Failure, checks, ensure, same};

const ZONES: [&str; 12] = [
    "eu-central-1a",
    "eu-central-1b",
    "eu-central-1c",
    "eu-central-1a",
    "eu-central-1b",
    "eu-central-1c",
    "eu-central-1a",
    "eu-central-1b",
    "eu-central-1c",
    "eu-central-1a",
    "eu-central-1b",
    "eu-central-1c",
];
/// Each of them is twelve terminations and twelve launches.
const ROUNDS: usize = 9;
/// Things that go wrong in a round, of which those beyond its last call don't.
const FAULTS: usize = 40;
/// About how many calls a round takes.
const CALLS: usize = 900;

/// Guards end five and a half seconds after an invocation began, or a round would wait for little else.
fn short_guards() -> Result<Options, Failure> {
    let mut options = options()?;
    options.timeout = Duration::from_secs(4);
    let name = "STATEFUL_ASG_OPERATION_TIMEOUT_MS".to_owned();
    options.env.insert(name, "700".to_owned());
    options.schedule = Some(Duration::from_mins(2));
    options.concurrency = 4;
    Ok(options)
}

/// Something that goes wrong with some call of this round.
fn fault(rng: &mut fastrand::Rng) -> Fault {
    let refuse = |status, code: &str| FaultAction::Refuse { status, code: code.to_owned() };
    let action = match rng.u8(..8) {
        0 => FaultAction::KillBefore,
        1 => FaultAction::KillAfter,
        2 | 3 => FaultAction::DropReply,
        4 => refuse(503, "ServiceUnavailable"),
        5 => refuse(400, "ThrottlingException"),
        6 => FaultAction::Delay(Duration::from_millis(rng.u64(50..900))),
        _ => FaultAction::SlowBody(Duration::from_millis(rng.u64(50..900))),
    };
    Fault { function: None, operation: None, nth: rng.usize(1..=CALLS), action }
}

/// Fails every instance of the group at once, with faults under way, and waits until everything is at rest again.
async fn round(trial: &Trial, rng: &mut fastrand::Rng) -> Result<(), Failure> {
    for _ in 0..FAULTS {
        trial.cloud.arm(fault(rng));
    }
    let serving = trial.cloud.inspect(checks::serving);
    for instance in &serving {
        trial.cloud.with_world(|world| world.fail_instance(instance))?;
    }
    let what = "every instance to be replaced";
    trial
        .wait(what, |world| {
            let now = checks::serving(world);
            now.len() == serving.len() && !now.iter().any(|instance| serving.contains(instance))
        })
        .await?;
    trial.cloud.disarm();
    trial.in_service(serving.len(), None).await?;
    trial.check_safety().await
}

/// What went wrong in fact: processes killed, replies dropped, calls refused.
fn troubles(cloud: &Cloud) -> [usize; 3] {
    let outcomes: Vec<CallOutcome> = cloud.calls().into_iter().map(|call| call.outcome).collect();
    let count =
        |of: fn(&CallOutcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
    [
        count(|outcome| matches!(outcome, CallOutcome::KilledBefore | CallOutcome::KilledAfter)),
        count(|outcome| matches!(outcome, CallOutcome::ReplyDropped)),
        count(|outcome| matches!(outcome, CallOutcome::Refused(_))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_lifecycles_among_kills_and_broken_replies_lose_and_mix_up_nothing()
-> Result<(), Failure> {
    let began = Instant::now();
    Trial::tell(short_guards()?, async |trial: &Trial| {
        trial.stateful(&ZONES, &leaving_by("stop")).await?;
        let before = checks::pairs(&trial.records().await?);
        let mut rng = fastrand::Rng::with_seed(20_261_124);
        for number in 1..=ROUNDS {
            round(trial, &mut rng).await?;
            same(&format!("slots and their volumes after round {number}"), &checks::pairs(&trial.records().await?), &before)?;
        }
        same("volumes held in the end", &trial.held().await?.len(), &ZONES.len())?;

        let answers = trial.answers()?;
        let lifecycles = ROUNDS * ZONES.len() * 2 + ZONES.len();
        same("actions answered CONTINUE", &answers, &answers.iter().filter(|it| it.ends_with(" CONTINUE")).cloned().collect())?;
        ensure(answers.len() == lifecycles, || format!("{} answers to {lifecycles} actions", answers.len()))?;
        let [killed, dropped, refused] = troubles(&trial.cloud);
        let late = trial.cloud.invocations().into_iter().filter(|it| matches!(it.outcome, Outcome::TimedOut(_))).count();
        println!(
            "{lifecycles} lifecycles; {killed} processes killed, {dropped} replies dropped, {refused} calls refused, \
             {late} invocations out of time; {} s",
            began.elapsed().as_secs()
        );
        ensure(killed >= 10 && dropped >= 10 && refused >= 10, || "too little went wrong".to_owned())
    })
    .await
}
