//! One seed from beginning to end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use local_cloud::stage::{Chances, Fault, Mishap, Rate, Stage, Timeouts};
use local_cloud::world::{AbandonedLaunch, AbandonedReturn, Config, Lag, Span, Timings, Workload};
use volume_pool::Timestamp;

use crate::deeds::{History, Undo, agents};
use crate::feature::{Deed, Nature};
use crate::liveness;
use crate::plan::{Cuts, GroupPlan, Plan};
use crate::setup;
use crate::tally::Counts;

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
    /// What was so all the time.
    pub natures: Vec<Nature>,
    /// How often what was done.
    pub deeds: BTreeMap<Deed, u64>,
    /// What the functions did, and why.
    pub counts: Counts,
    /// What broke, if anything did.
    pub failure: Option<String>,
}

/// Runs a seed.
pub fn run(seed: u64, cuts: &Cuts) -> Run {
    run_on(&mut Stage::new(config(&Plan::of(seed, cuts)), BEGIN), seed, cuts)
}

/// Runs a seed, and answers everything that happened beside what came of it.
pub fn trace(seed: u64, cuts: &Cuts) -> (String, Run) {
    let plan = Plan::of(seed, cuts);
    let mut stage = Stage::new(config(&plan), BEGIN);
    stage.keep_trace();
    let run = run_on(&mut stage, seed, cuts);
    let features: Vec<String> = plan.features.iter().map(ToString::to_string).collect();
    let mut text = format!("seed {seed}: {}\n", features.join(" "));
    for group in &plan.groups {
        let GroupPlan { name, zones, size, volumes, policy, heartbeat, enrolled_later, .. } = group;
        // Writing to a string never fails.
        let _ = writeln!(
            text,
            "{name}: {size} in {}, {volumes} slots each, heartbeat {heartbeat} s, enrolled later {enrolled_later}, {}",
            zones.join(" "),
            policy.json()
        );
    }
    (format!("{text}{}", stage.trace()), run)
}

fn run_on(stage: &mut Stage, seed: u64, cuts: &Cuts) -> Run {
    let plan = Plan::of(seed, cuts);
    let mut deeds = BTreeMap::new();
    let failure = story(stage, &plan, cuts, &mut deeds).err();
    let mut counts = Counts::default();
    for report in &stage.reports {
        counts.note(report);
    }
    Run {
        lifecycles: stage.lifecycles,
        calls: u64::try_from(stage.calls).unwrap_or(u64::MAX),
        mishaps: stage.mishaps.clone(),
        natures: Nature::ALL.iter().copied().filter(|nature| plan.is(*nature)).collect(),
        deeds,
        counts,
        failure,
    }
}

fn story(
    stage: &mut Stage,
    plan: &Plan,
    cuts: &Cuts,
    deeds: &mut BTreeMap<Deed, u64>,
) -> Result<(), String> {
    stage.chances = chances(plan);
    stage.timeouts = Timeouts::Explained;
    setup::build(stage, plan)?;
    let rng = fastrand::Rng::with_seed(plan.seed);
    let groups = plan.groups.clone();
    let mut history = History { stage, plan, groups, undo: Vec::new(), strangers: Vec::new(), rng };
    for (index, group) in plan.groups.iter().enumerate().filter(|(_, it)| it.enrolled_later) {
        let after = Duration::from_secs(60 + u64::from(group.size) * 60);
        let at = history.stage.cloud.world().now().plus(after);
        history.undo.push((at, Undo::Enrol(index)));
    }
    for (number, step) in plan.steps.iter().enumerate() {
        history.pass(step.after)?;
        agents(history.stage, &mut fastrand::Rng::with_seed(step.seed));
        if plan.does(step.deed) && !cuts.skipped.contains(&number) {
            history.act(step);
            *deeds.entry(step.deed).or_default() += 1;
        }
    }
    liveness::check(&mut history)
}

fn config(plan: &Plan) -> Config {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x434f_4e46);
    let stale = Duration::from_millis(rng.u64(100..9_000));
    let late = Duration::from_millis(rng.u64(100..5_000));
    let skips = plan.is(Nature::AbandonedSkips);
    let idle = plan.is(Nature::IdleWorkload);
    let mut timings = Timings::default();
    if plan.is(Nature::ForgetsSoon) {
        timings.terminated_visible = Span::millis(10_000, 3_600_000);
    }
    Config {
        seed: plan.seed,
        timings,
        stale_describe: plan.is(Nature::StaleDescribes).then_some(stale),
        lag: if plan.is(Nature::WaveringDescribes) { Lag::Wavering } else { Lag::Steady },
        attachment_limit: if plan.is(Nature::ManyAttachments) { 128 } else { 28 },
        abandoned_return: if plan.is(Nature::ReturnsAnyway) {
            AbandonedReturn::Returns
        } else {
            AbandonedReturn::Terminates
        },
        late_actions: plan.is(Nature::LateActions).then_some(late),
        abandoned_launch: if skips {
            AbandonedLaunch::SkipsTerminateHooks
        } else {
            AbandonedLaunch::RunsTerminateHooks
        },
        workload: if idle { Workload::Idle } else { Workload::Mounts },
        ..Config::default()
    }
}

fn chances(plan: &Plan) -> Chances {
    let calls = Fault::ALL.into_iter().filter(|fault| plan.befalls(*fault));
    let rate = |nature, rate: Rate| if plan.is(nature) { rate } else { 0 };
    let skew = Duration::from_secs(u64::from(plan.is(Nature::ClockSkew)));
    // Where events are lost, some histories see hardly any.
    let lost = [300, 1_000, 9_000][usize::try_from(plan.seed % 3).unwrap_or_default()];
    Chances {
        calls: calls.map(|fault| (fault, plan.fault_rate)).collect(),
        lost: rate(Nature::EventsLost, lost),
        twice: rate(Nature::EventsTwice, 2_000),
        late: rate(Nature::EventsLate, 1_000),
        latest: Duration::from_hours(2),
        apart: rate(Nature::ReadsApart, 500),
        sweep_reads: rate(Nature::SweepReads, 300),
        sweep_dies: rate(Nature::SweepsDie, 100),
        dies_whole: plan.is(Nature::DiesWhole),
        skew,
    }
}
