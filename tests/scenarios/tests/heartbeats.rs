//! An action that waits is kept alive, whoever is at work on it.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Fault;
use local_cloud::world::AttachmentState;
use scenarios::{ZONE, group, hooks, stage, tagged_volume};

const POLICY: &str = r#"{"pool":"cassandra"}"#;

/// Two dead functions hold the guard for longer than the heartbeat timeout of 300 s: whoever is refused the guard
/// meanwhile sends the heartbeat, which needs none.
#[test]
fn two_functions_that_die_in_a_row_do_not_let_an_action_time_out() {
    // The attachment hangs: each run looks for seconds, then rests with a heartbeat.
    let mut stage = stage(5);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    stage.run_for(Duration::from_secs(115)).unwrap();
    for _ in 0..2 {
        stage.fault = Some((stage.calls + 12, Fault::DiesBefore));
        stage.run_for(Duration::from_mins(2)).unwrap();
    }
    stage.run_for(Duration::from_mins(3)).unwrap();
}
