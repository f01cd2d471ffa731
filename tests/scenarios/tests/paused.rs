//! A paused pool hands nothing out and takes everything back.

#![cfg(test)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::LifecycleState;
use scenarios::{LONG, ZONE, in_service, instances, settle, stage, tagged_volume, volumes_by_slot};
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::{Pool, Record, SlotState};
use volume_pool::transition::{self, Transaction};

const POLICY: &str = r#"{"pool":"cassandra"}"#;

/// Has the pool's record changed, as the command line would.
fn change(stage: &Stage, transition: fn(&Pool) -> Option<Transaction>) {
    let pool = stage.leases.records().into_iter().find_map(|record| match record {
        Record::Pool(pool) => Some(pool),
        _ => None,
    });
    let transaction = transition(&pool.unwrap()).unwrap();
    let commit = pin!(stage.leases.commit(&transaction));
    let done = commit.poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done, Poll::Ready(Ok(Commit::Committed)));
}

#[test]
fn a_paused_pool_releases_and_leases_nothing_until_it_is_resumed() {
    let mut stage = in_service(stage(5), 2, POLICY).unwrap();
    let before = volumes_by_slot(&stage);
    change(&stage, transition::pause);
    let failed = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().fail_instance(&failed).unwrap();
    tagged_volume(&stage, ZONE, &[]).unwrap();
    // Many times the heartbeat timeout; that no action of ours ends by it is asserted all along.
    stage.run_for(Duration::from_mins(25)).unwrap();
    assert_eq!(instances(&stage, "cassandra", LifecycleState::PendingWait).len(), 1);
    let states: Vec<bool> =
        stage.slots().iter().map(|slot| slot.state == SlotState::Free).collect();
    assert_eq!(states.iter().filter(|free| **free).count(), 1, "released");
    assert_eq!(states.len(), 2, "nothing was adopted");
    let waiting = stage.claims().into_iter().find(|claim| claim.open).unwrap();
    assert!(waiting.reason.contains("paused"), "{}", waiting.reason);

    change(&stage, transition::resume);
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before).unwrap();
    settle(&mut stage).unwrap();
}
