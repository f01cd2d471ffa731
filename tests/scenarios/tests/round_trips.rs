//! How many round trips, one after the other, a launch and a termination cost; and that a crowd does not fight over slots.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use scenarios::round_trips::launch_and_termination;
use scenarios::{LONG, ZONE, group, hooks, stage, tagged_volume};

const STOP: &str = r#"{"pool":"cassandra"}"#;
const DETACH: &str = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
const TERMINATE: &str = r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#;

#[test]
fn a_launch_onto_a_free_slot_costs_so_many_round_trips() {
    let (launch, _) = launch_and_termination(STOP).unwrap();
    let seen = (launch.to_ec2_and_auto_scaling(), launch.to_dynamodb());
    assert_eq!(seen, (6, 6), "{:#?}", launch.until_answer);
    assert_eq!(launch.after_answer, ["rest"]);
    assert_eq!(launch.calls.values().sum::<usize>(), 30, "{:#?}", launch.calls);
}

#[test]
fn a_termination_costs_what_its_leave_mode_takes() {
    for (policy, expected) in [(STOP, (11, 10)), (DETACH, (8, 8)), (TERMINATE, (2, 4))] {
        let (_, termination) = launch_and_termination(policy).unwrap();
        let seen = (termination.to_ec2_and_auto_scaling(), termination.to_dynamodb());
        assert_eq!(seen, expected, "{policy}: {:?}", termination.until_answer);
        assert_eq!(termination.after_answer, ["rest"]);
    }
}

#[test]
fn fifty_launches_at_once_onto_fifty_slots_take_fewer_than_one_and_a_half_leases_each() {
    const LAUNCHES: u32 = 50;
    for seed in 0..2 {
        let mut stage = stage(seed);
        for _ in 0..LAUNCHES {
            tagged_volume(&stage, ZONE, &[]).unwrap();
        }
        stage.run_for(Duration::from_secs(10)).unwrap();
        group(&stage, "cassandra", LAUNCHES, &[ZONE], hooks(Some(STOP))).unwrap();
        let all = |stage: &Stage| stage.volumes_in_service().len() == LAUNCHES as usize;
        stage.run_until(LONG, all).unwrap();
        let leases = stage.asked.iter().filter(|asked| **asked == "lease").count();
        assert!(leases * 2 <= LAUNCHES as usize * 3, "seed {seed}: {leases} lease transactions");
    }
}
