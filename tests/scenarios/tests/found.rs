//! Flaws that the stage has found and that still stand: each of these fails.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Fault, Timeouts};
use local_cloud::world::{AttachmentState, LifecycleState};
use scenarios::{LONG, ZONE, group, hooks, in_service, instances, stage, tagged_volume};
use volume_pool::event::{Event, Transition};

const POLICY: &str = r#"{"pool":"cassandra"}"#;

/// Whoever finds the guard held goes away without a heartbeat, though a heartbeat needs no guard, and a run that gets
/// the guard sends its first heartbeat when it rests. So the time that two dead functions hold the guard for is more
/// than a heartbeat timeout of 300 s, the least that is recommended.
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

/// Reconcile walks the claims with work left, and nothing else. A lease whose holder goes without any event being
/// heard is not among them, so it stands for ever and the replacement waits for ever.
#[test]
fn an_instance_whose_end_nobody_hears_of_gives_its_volume_to_its_replacement() {
    let mut stage = in_service(stage(5), 1, POLICY).unwrap();
    stage.timeouts = Timeouts::Expected;
    stage.loses = |event| match event {
        Event::InstanceState { .. } => true,
        Event::Lifecycle(event) => event.action.transition == Transition::Terminating,
        Event::Schedule | Event::Ignored(_) => false,
    };
    let killed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().terminate_by_hand(&killed).unwrap();
    stage.run_for(Duration::from_mins(5)).unwrap();
    stage.run_until(LONG * 4, |stage| stage.volumes_in_service().len() == 1).unwrap();
}
