//! A group that evens out its zones: it launches in the emptier zone first, and terminates in the fuller one afterwards. No
//! volume goes along.

#![cfg(test)]

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{GroupChange, LifecycleState};
use scenarios::history::History;
use scenarios::{LONG, ZONE, in_service, instances, settle, stage, tagged, tagged_volume};
use volume_pool::record::SlotState;

const CREATE: &str = r#"{"pool":"cassandra"}"#;
const WAIT: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
const OTHER: &str = "eu-central-1b";

fn use_zones(stage: &Stage, zones: &[&str]) {
    let zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
    let change = GroupChange { zones: Some(zones), ..GroupChange::default() };
    stage.cloud.world().update_group("cassandra", change).unwrap();
}

/// How many instances are in service in each zone.
fn spread(stage: &Stage) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for instance in instances(stage, "cassandra", LifecycleState::InService) {
        let zone = stage.cloud.world().instance(&instance).unwrap().zone.clone();
        *counts.entry(zone).or_default() += 1;
    }
    counts
}

/// Lets the group even out its zones, two and two, and everything come to rest.
fn evened_out(stage: &mut Stage, history: &History) -> Result<(), String> {
    let even = BTreeMap::from([(ZONE.to_owned(), 2), (OTHER.to_owned(), 2)]);
    history.run_until(stage, LONG, |stage| spread(stage) == even)?;
    settle(stage)?;
    history.run_for(stage, Duration::from_mins(5))?;
    assert_eq!(spread(stage), even);
    assert_eq!(history.losses(stage), Vec::<String>::new());
    assert_eq!(history.needless(stage), Vec::<String>::new());
    Ok(())
}

fn free_in(stage: &Stage, zone: &str) -> usize {
    let slots = stage.slots().into_iter();
    slots.filter(|it| it.zone.as_str() == zone && it.state == SlotState::Free).count()
}

#[test]
fn instances_of_the_new_zone_get_the_volumes_of_that_zone_and_those_of_the_old_one_stay_there() {
    for policy in [CREATE, WAIT] {
        for seed in 0..3 {
            let mut stage = in_service(stage(seed), 4, policy).unwrap();
            for _ in 0..2 {
                tagged_volume(&stage, OTHER, &[]).unwrap();
            }
            let history = History::default();
            history.run_for(&mut stage, Duration::from_secs(30)).unwrap();
            let volumes = tagged(&stage);
            use_zones(&stage, &[ZONE, OTHER]);
            evened_out(&mut stage, &history)
                .unwrap_or_else(|problem| panic!("{policy}, seed {seed}: {problem}"));
            assert_eq!(tagged(&stage), volumes);
            assert_eq!((free_in(&stage, ZONE), free_in(&stage, OTHER)), (2, 0));
        }
    }
}

#[test]
fn a_zone_without_volumes_gets_as_many_as_instances_come_to_it_and_they_are_taken_up_again() {
    for seed in 3..6 {
        let mut stage = in_service(stage(seed), 4, CREATE).unwrap();
        let history = History::default();
        use_zones(&stage, &[ZONE, OTHER]);
        evened_out(&mut stage, &history).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        let volumes = tagged(&stage);
        assert_eq!(volumes.len(), 6);
        // All of it back, which leaves volumes free in the other zone; and forth again.
        let history = History::default();
        use_zones(&stage, &[ZONE]);
        let back = BTreeMap::from([(ZONE.to_owned(), 4)]);
        history.run_until(&mut stage, LONG, |stage| spread(stage) == back).unwrap();
        settle(&mut stage).unwrap();
        use_zones(&stage, &[ZONE, OTHER]);
        evened_out(&mut stage, &history).unwrap();
        assert_eq!(tagged(&stage), volumes, "nothing more was created");
    }
}
