//! The metrics that the real functions write into their log, as `CloudWatch` would take them out of it.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::BTreeSet;

use local_cloud::cloud::{Fault, FaultAction, LIFECYCLE, RECONCILE};
use local_cloud::embedded_metrics::{Datum, extract};
use volume_pool_aws::metrics::{NAMES, NAMESPACE};

use shared::group::{POOL, ZONE, leaving_by};
use shared::logs::parsed;
use shared::trial::{LIMIT, Trial, options};
use shared::{Failure, ensure, problem, same};

/// Every value so far. A line that `CloudWatch` would drop fails the test.
fn data(trial: &Trial) -> Result<Vec<Datum>, Failure> {
    let mut data = Vec::new();
    for line in trial.lines()? {
        let found = extract(&line.text).map_err(|why| problem(format!("{why}: {}", line.text)))?;
        data.extend(found);
    }
    Ok(data)
}

/// The values of a metric under the set of dimensions with these values.
fn of(data: &[Datum], name: &str, dimensions: &[&str]) -> Vec<f64> {
    let wanted: BTreeSet<&str> = dimensions.iter().copied().collect();
    let found = data.iter().filter(|datum| {
        datum.name == name && datum.dimensions.values().map(String::as_str).eq(wanted.clone())
    });
    found.flat_map(|datum| datum.values.clone()).collect()
}

/// The sum of a count over both functions.
fn sum(data: &[Datum], name: &str) -> f64 {
    [LIFECYCLE, RECONCILE].iter().flat_map(|function| of(data, name, &[function])).sum()
}

/// Waits until the log has what `done` wants, and gives it: what was written last may still be on its way here.
async fn until(
    trial: &Trial,
    what: &str,
    done: impl Fn(&[Datum]) -> bool,
) -> Result<Vec<Datum>, Failure> {
    let seen = || data(trial).ok().filter(|data| done(data));
    let waited = trial.cloud.wait_for(LIMIT, seen).await;
    // A broken line is a better reason than none.
    let all = data(trial)?;
    waited.map_err(|_| problem(format!("waited in vain for {what}: {all:?}")))
}

/// Names, units and sets of dimensions are those that dashboard and alarms rest on.
fn as_declared(data: &[Datum]) -> Result<(), Failure> {
    for datum in data {
        let metric = NAMES.iter().find(|metric| metric.name == datum.name);
        let declared = metric.is_some_and(|metric| {
            metric.unit.as_str() == datum.unit
                && metric.dimensions.iter().any(|set| {
                    let names: BTreeSet<&str> = set.iter().copied().collect();
                    datum.dimensions.keys().map(String::as_str).eq(names)
                })
        });
        ensure(declared && datum.namespace == NAMESPACE, || format!("not declared: {datum:?}"))?;
    }
    Ok(())
}

fn throttled(operation: &str, status: u16, code: &str) -> Fault {
    let action = FaultAction::Refuse { status, code: code.to_owned() };
    Fault { function: None, operation: Some(operation.to_owned()), nth: 1, action }
}

#[tokio::test]
async fn a_launch_a_termination_and_a_sweep_are_told_of_as_they_went() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        // Both are tried again by the SDK, and nothing comes of it but the count.
        trial.cloud.arm(throttled("AttachVolume", 503, "RequestLimitExceeded"));
        trial.cloud.arm(throttled("TransactWriteItems", 400, "ThrottlingException"));
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        trial.replace_one().await?;

        let place = [POOL, ZONE];
        // What a sweep reads while a slot changes hands may show it twice, or not at all: the next one shows it as it is.
        let at_rest = [
            ("SlotsLeased", 1.0),
            ("SlotsFree", 0.0),
            ("SlotsReleasing", 0.0),
            ("SlotsQuarantined", 0.0),
            ("Waiters", 0.0),
            ("OldestWaitSeconds", 0.0),
            ("OldestReleasingSeconds", 0.0),
        ];
        let data = until(trial, "three answers and a sweep after them", |data| {
            let shown = |(name, value)| of(data, name, &place).last() == Some(&value);
            of(data, "ActionDuration", &place).len() == 3 && at_rest.into_iter().all(shown)
        })
        .await?;
        as_declared(&data)?;
        // Two launches and a termination, by pool and zone as by function.
        same("answers", &of(&data, "ActionsContinued", &place).iter().sum(), &3.0)?;
        same("answers by function", &sum(&data, "ActionsContinued"), &3.0)?;
        same("abandoned", &of(&data, "ActionsAbandoned", &place), &Vec::new())?;
        let took = of(&data, "ActionDuration", &place);
        ensure(took.iter().all(|millis| *millis > 0.0), || format!("{took:?}"))?;
        // The first launch got a volume that nobody had released.
        let again = of(&data, "ReattachDuration", &place);
        ensure(again.len() == 1 && again.iter().all(|millis| *millis > 0.0), || {
            format!("{again:?}")
        })?;
        same("throttles", &sum(&data, "ApiThrottles"), &2.0)?;

        let sweeps = of(&data, "Sweeps", &[RECONCILE]);
        same("sweeps, each for one", &sweeps, &vec![1.0; sweeps.len().max(1)])?;
        same("alarms", &sum(&data, "AlarmsRaised"), &0.0)
    })
    .await
}

#[tokio::test]
async fn every_request_of_the_functions_is_counted() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        let calls = || {
            let calls = trial.cloud.calls().into_iter().filter_map(|call| call.caller);
            calls.filter(|caller| caller.function == LIFECYCLE).count()
        };
        // Everything is at rest, and no schedule starts this function.
        let expected = f64::from(u32::try_from(calls())?);
        ensure(expected > 0.0, || "no call was made".to_owned())?;
        let what = format!("{expected} calls");
        until(trial, &what, |data| {
            (of(data, "ApiCalls", &[LIFECYCLE]).iter().sum::<f64>() - expected).abs() < 0.5
        })
        .await?;
        same("calls since", &f64::from(u32::try_from(calls())?), &expected)
    })
    .await
}

#[tokio::test]
async fn a_launch_held_for_its_policy_is_told_of_each_time_it_is_looked_at() -> Result<(), Failure>
{
    Trial::tell(options()?, async |trial: &Trial| {
        trial.volumes(&[ZONE]).await?;
        trial.group(1, &[ZONE], "pool=cassandra").await?;
        let data = until(trial, "a held launch, by event and by sweep", |data| {
            [LIFECYCLE, RECONCILE].iter().all(|it| !of(data, "LaunchesHeld", &[it]).is_empty())
        })
        .await?;
        as_declared(&data)?;
        for name in ["LaunchesHeld", "PoliciesRejected", "AlarmsRaised"] {
            let values = [LIFECYCLE, RECONCILE].map(|function| of(&data, name, &[function]));
            for values in values {
                same(name, &values, &vec![1.0; values.len().max(1)])?;
            }
        }
        same("answers", &sum(&data, "ActionsContinued"), &0.0)?;
        same("healed", &sum(&data, "Healed"), &0.0)?;
        // Each of these alarms has its line.
        let mut lines = 0.0;
        for line in trial.lines()? {
            if !parsed(&line)?["fields"]["alarm"].is_null() {
                lines += 1.0;
            }
        }
        ensure(lines >= sum(&data, "AlarmsRaised"), || format!("{lines} lines"))
    })
    .await
}
