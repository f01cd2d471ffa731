//! EventBridge may deliver an event more than once, and late: the same event five times at once, or all of them again
//! when everything is over, changes nothing.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::BTreeMap;

use volume_pool::record::{Record, Slot};

use shared::group::{ZONE, leaving_by};
use shared::trial::{LIMIT, Trial, options};
use shared::{Failure, checks, ensure, same};

/// Two instances in service, one of which was replaced.
async fn replaced(trial: &Trial) -> Result<(), Failure> {
    trial.stateful(&[ZONE, ZONE], &leaving_by("stop")).await?;
    let before = checks::pairs(&trial.records().await?);
    let epochs = checks::epochs(&trial.records().await?);
    same("epochs", &sorted(&epochs), &vec![1, 1])?;
    trial.replace_one().await?;
    let after = trial.records().await?;
    same("slots and their volumes", &checks::pairs(&after), &before)
}

fn sorted(epochs: &BTreeMap<String, u64>) -> Vec<u64> {
    let mut epochs: Vec<u64> = epochs.values().copied().collect();
    epochs.sort_unstable();
    epochs
}

/// The answers to three launches and one termination.
fn answers() -> Vec<String> {
    let launches = ["stateful-asg-launch CONTINUE"; 3];
    let answers = launches.into_iter().chain(["stateful-asg-terminate CONTINUE"]);
    answers.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_event_five_times_at_once_changes_nothing() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        trial.cloud.duplicate_events(4);
        replaced(trial).await?;

        let records = trial.records().await?;
        same("epochs", &sorted(&checks::epochs(&records)), &vec![1, 2])?;
        same("answers", &trial.answers()?, &answers())?;
        let changes = trial.changes();
        let count = |operation: &str| changes.iter().filter(|it| *it == operation).count();
        // One for each change of owner, whoever was first.
        same("StopInstances", &count("StopInstances"), &1)?;
        same("AttachVolume", &count("AttachVolume"), &3)?;
        same("CompleteLifecycleAction", &count("CompleteLifecycleAction"), &4)?;
        // Events were in fact delivered five times.
        let attempts = trial.cloud.invocations().into_iter();
        let launches = attempts
            .filter(|it| it.payload["detail-type"] == "EC2 Instance-launch Lifecycle Action");
        let launches = launches.filter(|it| it.attempt == 1).count();
        same("invocations for launches", &launches, &15)
    })
    .await
}

#[tokio::test]
async fn every_event_once_more_when_all_is_over_changes_nothing() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        replaced(trial).await?;
        let (held, changes) = (trial.held().await?, trial.changes());
        let records = lasting(&trial.records().await?);
        let invoked = trial.cloud.invocations().len();

        let events = trial.cloud.events();
        let delivered = events.iter().filter_map(|event| trial.cloud.deliver(event)).count();
        trial.cloud.wait_until_idle(LIMIT).await?;
        trial.settle().await?;

        ensure(delivered > 10, || format!("only {delivered} events had a function to go to"))?;
        let redelivered = trial.cloud.invocations().split_off(invoked);
        ensure(redelivered.len() >= delivered, || "not every event was delivered".to_owned())?;
        // Two events of one instance at once: the one that is refused is brought again by Lambda, not lost.
        ensure(trial.cloud.dead_letters().is_empty(), || "an event was given up".to_owned())?;
        same("who holds what", &trial.held().await?, &held)?;
        same("changes in EC2 and Auto Scaling", &trial.changes(), &changes)?;
        same("slots and claims", &lasting(&trial.records().await?), &records)?;
        same("answers", &trial.answers()?, &answers())
    })
    .await
}

/// The slots, and what each claim holds.
fn lasting(records: &[Record]) -> (Vec<Slot>, Vec<String>) {
    let mut slots = checks::slots(records);
    slots.sort_by(|a, b| a.id.cmp(&b.id));
    let claims = checks::claims(records).into_iter();
    let mut claims: Vec<String> = claims
        .map(|claim| format!("{} {:?} open {}", claim.instance, claim.phase, claim.open))
        .collect();
    claims.sort();
    (slots, claims)
}
