//! A launch that waits for too long: held, abandoned, and never left to its hook's default.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{ApiError, Config, HookSpecification, LifecycleState, Pace, Step};
use scenarios::{BEGIN, LONG, ZONE, group, hooks, instances, stage, tagged_volume};
use volume_pool::event::ActionResult;
use volume_pool::record::{Record, SlotState};

const HOLD: &str = r#"{"pool":"cassandra","whenEmpty":"wait","waitSeconds":120}"#;
const ABANDON: &str =
    r#"{"pool":"cassandra","whenEmpty":"wait","waitSeconds":120,"onTimeout":"abandon"}"#;

/// A group of one, for which there is no volume.
fn without_volume(hooks: Vec<HookSpecification>) -> Result<Stage, ApiError> {
    let stage = stage(5);
    group(&stage, "cassandra", 1, &[ZONE], hooks)?;
    Ok(stage)
}

fn alarmed(stage: &Stage, name: &str) -> bool {
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    alarms.into_iter().any(|alarm| alarm.name() == name)
}

/// The reasons for which launches were answered ABANDON.
fn abandoned_for(stage: &Stage) -> Vec<String> {
    let answered = stage
        .reports
        .iter()
        .filter(|report| report.journal.answered == Some(ActionResult::Abandon));
    answered
        .filter_map(|report| report.journal.steps.last().map(|step| step.reason.clone()))
        .collect()
}

#[test]
fn a_launch_past_its_wait_is_held_and_served_the_moment_a_volume_comes() {
    let mut stage = without_volume(hooks(Some(HOLD))).unwrap();
    stage.run_for(Duration::from_secs(110)).unwrap();
    let first = instances(&stage, "cassandra", LifecycleState::PendingWait);
    assert!(!alarmed(&stage, "wait-timed-out"), "too early");
    stage.run_for(Duration::from_mins(30)).unwrap();
    assert!(alarmed(&stage, "wait-timed-out"));
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait), first);

    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert_eq!(instances(&stage, "cassandra", LifecycleState::InService), first);
}

#[test]
fn a_launch_past_its_wait_is_abandoned_where_the_policy_says_so() {
    let mut stage = without_volume(hooks(Some(ABANDON))).unwrap();
    stage.run_for(Duration::from_secs(110)).unwrap();
    assert!(abandoned_for(&stage).is_empty(), "too early");
    stage.run_until(Duration::from_mins(5), |stage| !abandoned_for(stage).is_empty()).unwrap();
    assert!(abandoned_for(&stage)[0].contains("waitSeconds"), "{:?}", abandoned_for(&stage));
    assert!(alarmed(&stage, "wait-timed-out"));

    // The next one comes, and gets its volume in time.
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
}

#[test]
fn shortly_before_its_hooks_limit_a_held_launch_is_abandoned_by_us_and_not_by_the_hook() {
    let mut short = hooks(Some(HOLD));
    for hook in &mut short {
        // Its limit is 100 times that: 2 h 30 min.
        hook.heartbeat_timeout = Some(90);
    }
    let mut stage = without_volume(short).unwrap();
    stage.run_for(Duration::from_mins(140)).unwrap();
    assert!(abandoned_for(&stage).is_empty(), "too early: {:?}", abandoned_for(&stage));
    // That the hook ends no action of ours is asserted all along.
    stage.run_for(Duration::from_mins(15)).unwrap();
    assert_eq!(abandoned_for(&stage).len(), 1);
    assert!(abandoned_for(&stage)[0].contains("global timeout"), "{:?}", abandoned_for(&stage));
    assert!(alarmed(&stage, "launch-given-up"));
}

/// How many launches of the zone were given up in a row, by the group's record.
fn abandons(stage: &Stage) -> u32 {
    let group = stage.leases.records().into_iter().find_map(|record| match record {
        Record::Group(group) => Some(group),
        _ => None,
    });
    group.map_or(0, |group| group.abandons.values().sum())
}

#[test]
fn after_three_launches_were_given_up_the_fourth_is_held_until_it_can_be_served() {
    let mut stage = without_volume(hooks(Some(ABANDON))).unwrap();
    stage.run_for(Duration::from_hours(2)).unwrap();
    assert_eq!(abandoned_for(&stage).len(), 3);
    assert_eq!(abandons(&stage), 3);
    assert!(alarmed(&stage, "abandon-breaker"));
    let fourth = instances(&stage, "cassandra", LifecycleState::PendingWait);
    assert_eq!(fourth.len(), 1);

    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    assert_eq!(instances(&stage, "cassandra", LifecycleState::InService), fourth);
    assert_eq!(abandons(&stage), 0);
}

const TWO_VOLUMES: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;

#[test]
fn instances_that_take_too_few_volumes_are_given_up_three_times_with_nothing_left_on_them() {
    let config = Config { seed: 5, attachment_limit: 2, ..Config::default() };
    let mut stage = Stage::new(config, BEGIN);
    for name in ["data", "log"] {
        let tags = [("stateful-asg:slot", "cassandra-0"), ("stateful-asg:volume", name)];
        tagged_volume(&stage, ZONE, &tags).unwrap();
    }
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(TWO_VOLUMES))).unwrap();
    let given_up = |stage: &Stage| !abandoned_for(stage).is_empty();
    stage.run_until(Duration::from_mins(10), given_up).unwrap();
    assert!(abandoned_for(&stage)[0].contains("no room"));
    assert_eq!(stage.slots()[0].state, SlotState::Free, "released before the answer");

    stage.run_for(Duration::from_hours(1)).unwrap();
    assert_eq!(abandoned_for(&stage).len(), 3);
    assert!(alarmed(&stage, "attach-refused") && alarmed(&stage, "abandon-breaker"));
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
}

/// The old instance hangs while it stops. The owner of this database prefers a node without data to none.
#[test]
fn past_its_wait_an_empty_volume_is_created_where_the_policy_says_so_and_not_before() {
    const WAIT: u64 = 240;
    let policy = format!(
        r#"{{"pool":"cassandra","waitSeconds":{WAIT},"onTimeout":"create","leave":{{"seconds":3600}}}}"#
    );
    let mut stage = scenarios::in_service(stage(2), 1, &policy).unwrap();
    let old = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().set_pace(&old, Step::Stop, Pace::NeverEnds);
    stage.cloud.world().fail_instance(&old).unwrap();
    let waits = |stage: &Stage| stage.claims().iter().any(|claim| claim.queued().is_some());
    stage.run_until(LONG, waits).unwrap();
    let began = stage.cloud.world().now();
    stage.run_until(LONG, |stage| scenarios::tagged(stage).len() == 2).unwrap();
    let waited = stage.cloud.world().now().since(began);
    assert!((WAIT..WAIT + 90).contains(&waited.as_secs()), "{waited:?}");
    let replaced = |stage: &Stage| {
        instances(stage, "cassandra", LifecycleState::InService).iter().any(|it| *it != old)
    };
    stage.run_until(LONG, replaced).unwrap();
}
