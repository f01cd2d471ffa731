//! One seed from beginning to end.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::{Chances, Fault, Mishap, Stage, Timeouts};
use local_cloud::world::{Config, LifecycleState};
use volume_pool::Timestamp;

use crate::act::act;
use crate::feature::Feature;
use crate::liveness;
use crate::plan::{Cuts, Plan};
use crate::setup;

/// When every seed's history begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// What came of a seed.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// How many lifecycle actions of ours there were.
    pub lifecycles: u64,
    /// How many calls.
    pub calls: u64,
    /// How often what went wrong.
    pub mishaps: BTreeMap<Mishap, u64>,
    /// What broke, if anything did.
    pub failure: Option<String>,
}

/// Runs a seed.
pub fn run(seed: u64, cuts: &Cuts) -> Run {
    let plan = Plan::of(seed, cuts);
    let mut stage = Stage::new(config(&plan), BEGIN);
    let failure = story(&mut stage, &plan, cuts).err();
    Run {
        lifecycles: stage.lifecycles,
        calls: u64::try_from(stage.calls).unwrap_or(u64::MAX),
        mishaps: stage.mishaps.clone(),
        failure,
    }
}

fn story(stage: &mut Stage, plan: &Plan, cuts: &Cuts) -> Result<(), String> {
    stage.chances = chances(plan);
    stage.timeouts = Timeouts::Expected;
    setup::build(stage, plan)?;
    for (number, step) in plan.steps.iter().enumerate() {
        stage.run_for(step.after)?;
        if plan.has(step.what) && !cuts.skipped.contains(&number) {
            act(stage, step);
        }
    }
    liveness::check(stage, plan)
}

fn config(plan: &Plan) -> Config {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x434f_4e46);
    let stale = Duration::from_millis(rng.u64(100..9_000));
    let late = Duration::from_millis(rng.u64(100..5_000));
    Config {
        seed: plan.seed,
        stale_describe: plan.has(Feature::StaleDescribes).then_some(stale),
        late_actions: plan.has(Feature::LateActions).then_some(late),
        ..Config::default()
    }
}

fn chances(plan: &Plan) -> Chances {
    let calls = Fault::ALL.into_iter().filter(|fault| plan.has(Feature::Calls(*fault)));
    let rate = |feature, rate| if plan.has(feature) { rate } else { 0 };
    Chances {
        calls: calls.map(|fault| (fault, plan.fault_rate)).collect(),
        lost: rate(Feature::EventsLost, 1_000),
        twice: rate(Feature::EventsTwice, 2_000),
        late: rate(Feature::EventsLate, 1_000),
        latest: Duration::from_hours(2),
    }
}

/// The instances of a group in service.
pub(crate) fn in_service(stage: &Stage, group: &str) -> Vec<String> {
    let world = stage.cloud.world();
    let members = world.group(group).map(|group| group.members.clone()).unwrap_or_default();
    let served = members.into_values().filter(|it| it.state == LifecycleState::InService);
    served.map(|member| member.instance).collect()
}
