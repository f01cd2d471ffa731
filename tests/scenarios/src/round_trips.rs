//! What a launch onto a free slot, and a termination, ask for one after the other: their longest chain of dependent
//! round trips. A request whose calls are made in parallel is one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{ApiError, Config, Span, Timings, Workload};
use volume_pool::event::Event;

use crate::{BEGIN, LONG, ZONE, group, hooks, tagged_volume};

/// The round trips of one invocation, and the calls that they consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrips {
    /// Until the lifecycle action is answered, in their order.
    pub until_answer: Vec<&'static str>,
    /// What comes after: giving the guard up, at least.
    pub after_answer: Vec<&'static str>,
    /// How often each API was called.
    pub calls: BTreeMap<&'static str, usize>,
}

impl RoundTrips {
    /// How many of them, until the answer, go to EC2 and Auto Scaling.
    pub fn to_ec2_and_auto_scaling(&self) -> usize {
        self.until_answer.iter().filter(|asked| !is_records(asked)).count()
    }

    /// How many of them, until the answer, go to DynamoDB.
    pub fn to_dynamodb(&self) -> usize {
        self.until_answer.iter().filter(|asked| is_records(asked)).count()
    }
}

/// A launch onto a free slot, and the termination of that instance. EC2 and Auto Scaling take no time here, so what is
/// counted is what the functions ask for even where nothing is waited for.
pub fn launch_and_termination(policy: &str) -> Result<(RoundTrips, RoundTrips), String> {
    let mut stage = at_once();
    let text = |error: ApiError| error.to_string();
    tagged_volume(&stage, ZONE, &[]).map_err(text)?;
    stage.run_for(Duration::from_secs(10))?;
    // The volume becomes a slot, and is free again.
    let first = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
    group(&stage, "first", 1, &[ZONE], hooks(Some(first))).map_err(text)?;
    one_invocation(&mut stage)?;
    stage.cloud.world().set_desired_capacity("first", 0).map_err(text)?;
    one_invocation(&mut stage)?;

    group(&stage, "second", 1, &[ZONE], hooks(Some(policy))).map_err(text)?;
    let launch = one_invocation(&mut stage)?;
    stage.cloud.world().set_desired_capacity("second", 0).map_err(text)?;
    let termination = one_invocation(&mut stage)?;
    Ok((launch, termination))
}

/// Lets time pass until one more invocation has ended.
fn one_invocation(stage: &mut Stage) -> Result<RoundTrips, String> {
    let (before, asked, ended) =
        (stage.cloud.gate().calls(), stage.asked.len(), stage.reports.len());
    stage.run_until(LONG, |stage| stage.reports.len() > ended)?;
    let mut until_answer = stage.asked.split_off(asked);
    let answer = until_answer.iter().position(|asked| *asked == ANSWER);
    let answer = answer.ok_or_else(|| format!("nothing was answered: {until_answer:?}"))?;
    let after_answer = until_answer.split_off(answer + 1);
    let mut calls = stage.cloud.gate().calls();
    for (call, count) in &mut calls {
        *count -= before.get(call).copied().unwrap_or_default();
    }
    calls.retain(|_, count| *count > 0);
    Ok(RoundTrips { until_answer, after_answer, calls })
}

const ANSWER: &str = "autoscaling:CompleteLifecycleAction";

/// A stage on which nothing but lifecycle events starts a function, and nothing takes time but the calls.
fn at_once() -> Stage {
    let zero = Span::exactly(Duration::ZERO);
    let timings = Timings {
        attach: zero,
        detach: zero,
        detach_stopped: zero,
        start: zero,
        stop: zero,
        lifecycle_step: zero,
        ..Timings::default()
    };
    let config = Config { timings, workload: Workload::Idle, ..Config::default() };
    let mut stage = Stage::new(config, BEGIN);
    stage.call_millis = (1, 1);
    stage.reconciles = false;
    stage.loses = |event| matches!(event, Event::InstanceState { .. });
    stage
}

/// Whether a round trip, as the stage names it, goes to DynamoDB: its transactions go by their own names.
fn is_records(asked: &str) -> bool {
    let of_others = ["ec2:", "autoscaling:", "ssm:", "describe "];
    !of_others.iter().any(|service| asked.starts_with(service))
}
