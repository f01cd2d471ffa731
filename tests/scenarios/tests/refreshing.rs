//! Instance refreshes, in both orders: whoever terminates first loses nothing, and whoever launches first needs slots to
//! spare, or a policy that says what to do without.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{LifecycleState, PageRequest, RefreshPreferences, RefreshStatus};
use scenarios::history::History;
use scenarios::{
    LONG, ZONE, in_service, instances, settle, stage, tagged, tagged_volume, volumes_by_slot,
};

const CREATE: &str = r#"{"pool":"cassandra"}"#;
const WAIT: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
const SIZE: usize = 3;

/// A refresh takes its time, one instance after the other.
const HOURS: Duration = Duration::from_hours(3);

/// A group in service, and `spare` volumes more than it needs.
fn served(seed: u64, policy: &str, spare: usize) -> Result<Stage, String> {
    let mut stage = in_service(stage(seed), u32::try_from(SIZE).unwrap(), policy)?;
    for _ in 0..spare {
        tagged_volume(&stage, ZONE, &[]).map_err(|error| error.to_string())?;
    }
    stage.run_for(Duration::from_mins(2))?;
    Ok(stage)
}

fn refresh(stage: &Stage, min_healthy: u32, max_healthy: u32) {
    let preferences = RefreshPreferences {
        min_healthy: Some(min_healthy),
        max_healthy: Some(max_healthy),
        ..RefreshPreferences::default()
    };
    stage.cloud.world().start_instance_refresh("cassandra", preferences).unwrap();
}

fn status(stage: &Stage) -> RefreshStatus {
    let world = stage.cloud.world();
    let page = PageRequest::default();
    let found = world.describe_instance_refreshes("cassandra", &[], &page).unwrap();
    found.items[0].refresh.status
}

/// Lets the refresh come to its end, and everything to rest.
fn refreshed(stage: &mut Stage, history: &History) -> Result<(), String> {
    let old = instances(stage, "cassandra", LifecycleState::InService);
    history.run_until(stage, HOURS, |stage| status(stage) == RefreshStatus::Successful)?;
    settle(stage)?;
    history.run_for(stage, Duration::from_mins(2))?;
    let new = instances(stage, "cassandra", LifecycleState::InService);
    assert_eq!(new.len(), SIZE);
    assert!(new.iter().all(|it| !old.contains(it)), "all of them are new");
    assert_eq!(history.losses(stage), Vec::<String>::new());
    Ok(())
}

fn alarmed(stage: &Stage, name: &str) -> bool {
    let alarms = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    alarms.into_iter().any(|alarm| alarm.name() == name)
}

#[test]
fn a_refresh_that_terminates_first_hands_every_volume_to_a_replacement() {
    for policy in [CREATE, WAIT] {
        for (seed, min_healthy) in (0..8).zip([0, 50, 90, 0].into_iter().cycle()) {
            let told = |problem| panic!("{policy}, at least {min_healthy} percent: {problem}");
            let mut stage = served(seed, policy, 0).unwrap();
            let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
            let history = History::default();
            refresh(&stage, min_healthy, 100);
            refreshed(&mut stage, &history).unwrap_or_else(told);
            assert_eq!(volumes_by_slot(&stage), before);
            assert_eq!(tagged(&stage), volumes);
            assert_eq!(history.needless(&stage), Vec::<String>::new());
        }
    }
}

#[test]
fn a_refresh_that_launches_first_takes_slots_to_spare_and_creates_none() {
    for policy in [CREATE, WAIT] {
        for (seed, max_healthy, spare) in [(5, 200, SIZE), (6, 110, 1), (7, 200, SIZE), (8, 110, 1)]
        {
            let told = |problem| panic!("{policy}, at most {max_healthy} percent: {problem}");
            let mut stage = served(seed, policy, spare).unwrap();
            let volumes = tagged(&stage);
            let history = History::default();
            refresh(&stage, 100, max_healthy);
            refreshed(&mut stage, &history).unwrap_or_else(told);
            assert_eq!(tagged(&stage), volumes);
            assert_eq!(history.needless(&stage), Vec::<String>::new());
        }
    }
}

/// Nothing is coming, for the old instances stay until the new ones are in service: so the policy decides, and it creates as
/// many as the group is larger for a while, or as the zone may have: the group's maximum, two more than its size. The old
/// ones' volumes come free soon after, which is what the other policy would have waited for in vain.
#[test]
fn without_slots_to_spare_a_refresh_that_launches_first_creates_what_its_policy_lets_it() {
    for (seed, max_healthy, more) in [(9, 200, 2), (10, 110, 1), (11, 110, 1), (12, 200, 2)] {
        let told = |problem| panic!("at most {max_healthy} percent: {problem}");
        let mut stage = served(seed, CREATE, 0).unwrap();
        let history = History::default();
        refresh(&stage, 100, max_healthy);
        refreshed(&mut stage, &history).unwrap_or_else(told);
        assert_eq!(tagged(&stage).len(), SIZE + more);
        assert!(history.needless(&stage).len() >= more);
    }
}

/// The hopeless wait: each side waits for the other one. It is told of, nothing is taken from the old instances, and
/// whoever terminates them brings the refresh to its end.
#[test]
fn with_a_policy_that_waits_it_is_told_of_and_goes_on_once_a_person_terminates_the_old_instances() {
    for seed in 13..17 {
        let mut stage = served(seed, WAIT, 0).unwrap();
        let (before, volumes) = (volumes_by_slot(&stage), tagged(&stage));
        let history = History::default();
        refresh(&stage, 100, 110);
        history.run_until(&mut stage, LONG, |stage| alarmed(stage, "launches-first")).unwrap();
        history.run_for(&mut stage, LONG).unwrap();
        let old = instances(&stage, "cassandra", LifecycleState::InService);
        assert_eq!((old.len(), status(&stage)), (SIZE, RefreshStatus::InProgress));
        assert_eq!(volumes_by_slot(&stage), before);
        for instance in &old {
            stage.cloud.world().terminate_by_hand(instance).unwrap();
        }
        refreshed(&mut stage, &history).unwrap();
        assert_eq!(volumes_by_slot(&stage), before);
        assert_eq!(tagged(&stage), volumes);
        assert_eq!(history.needless(&stage), Vec::<String>::new());
    }
}
