//! DynamoDB can't be reached: nothing is done, and whatever Auto Scaling shows waiting is kept alive.

#![cfg(test)]

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll as Polled, Waker};
use std::time::Duration;

use local_cloud::in_process::InProcess;
use local_cloud::stage::{HOOK_PREFIX, Stage};
use local_cloud::world::LifecycleState;
use scenarios::{LONG, ZONE, group, hooks, instances, stage, tagged_volume};
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Clock, Commit, LeaseStore, Poke, PortError, Ports};
use volume_pool::record::{Key, List, Record};
use volume_pool::shell;
use volume_pool::transition::Transaction;

/// A table that does not answer.
struct NoRecords;

fn no_answer<T>() -> Result<T, PortError> {
    Err(PortError::Transient { call: "dynamodb", problem: "no route to host".to_owned() })
}

impl LeaseStore for NoRecords {
    async fn read(&self, _: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        no_answer()
    }

    async fn list(&self, _: &List, _: usize) -> Result<Vec<Record>, PortError> {
        no_answer()
    }

    async fn commit(&self, _: &Transaction) -> Result<Commit, PortError> {
        no_answer()
    }

    async fn poke(&self, _: &InstanceId, _: &InvocationId) -> Result<Poke, PortError> {
        no_answer()
    }

    async fn take_poke(&self, _: &InstanceId, _: &InvocationId) -> Result<(), PortError> {
        no_answer()
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Polled::Ready(value) => value,
        Polled::Pending => panic!("not ready"),
    }
}

/// What reconcile does first in such a minute; answers how many actions it kept alive.
fn keep_alive(stage: &Stage) -> usize {
    let cloud: InProcess = stage.cloud.clone();
    let ports = Ports {
        volumes: cloud.clone(),
        actions: cloud.clone(),
        commands: cloud.clone(),
        leases: NoRecords,
        clock: cloud.clone(),
    };
    let swept = at_once(shell::sweep(&ports));
    assert!(swept.open.is_none() && !swept.failures.is_empty());
    let plan = swept.plan(ports.clock.now());
    assert_eq!(plan.slots, Vec::new());
    at_once(shell::keep_alive(plan.keep_alive, HOOK_PREFIX, &ports))
}

#[test]
fn waiting_actions_outlive_an_hour_without_the_table() {
    let mut stage = stage(3);
    for _ in 0..3 {
        tagged_volume(&stage, ZONE, &[]).unwrap();
    }
    stage.run_for(Duration::from_secs(10)).unwrap();
    stage.loses = |_| true;
    stage.reconciles = false;
    group(&stage, "cassandra", 3, &[ZONE], hooks(Some(r#"{"pool":"cassandra"}"#))).unwrap();
    let waiting =
        |stage: &Stage| instances(stage, "cassandra", LifecycleState::PendingWait).len() == 3;
    stage.run_until(LONG, waiting).unwrap();
    for _ in 0..60 {
        // The stage lets no action of ours time out, and the hooks' heartbeat timeout is 300 s.
        stage.run_for(Duration::from_mins(1)).unwrap();
        assert_eq!(keep_alive(&stage), 3);
    }
    stage.reconciles = true;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 3).unwrap();
}
