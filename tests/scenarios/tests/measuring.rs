//! What the functions take down for their metrics over whole stories, and what a sweep reads of the queues.

#![cfg(test)]

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use local_cloud::in_process::InProcess;
use local_cloud::leases::MemoryLeases;
use local_cloud::stage::Stage;
use local_cloud::world::{Config, LifecycleState, Span, Timings, World};
use scenarios::{BEGIN, LONG, in_service, instances, settle, stage};
use volume_pool::Timestamp;
use volume_pool::event::ActionResult;
use volume_pool::ids::InstanceId;
use volume_pool::invocation::LoopReport;
use volume_pool::ports::{LeaseStore, Ports};
use volume_pool::queues::{PoolQueues, Releasing};
use volume_pool::record::{Claim, ComingMark, Key, Phase, Place, Record, WaitingMark};
use volume_pool::shell;
use volume_pool::transition::{Expect, Transaction, Write};

const STOP: &str = r#"{"pool":"cassandra"}"#;

/// Stopping takes a minute.
fn slow_to_stop() -> Stage {
    let timings = Timings { stop: Span::exactly(Duration::from_mins(1)), ..Timings::default() };
    Stage::new(Config { seed: 3, timings, ..Config::default() }, BEGIN)
}

fn answers(stage: &Stage, from: usize) -> Vec<&LoopReport> {
    let answered = |report: &&LoopReport| report.journal.answered == Some(ActionResult::Continue);
    stage.reports[from..].iter().filter(answered).collect()
}

#[test]
fn a_replacement_waits_a_minute_and_is_attached_seconds_after_the_slot_came_free() {
    let mut stage = in_service(slow_to_stop(), 1, STOP).unwrap();
    let from = stage.reports.len();
    let old = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    stage.cloud.world().fail_instance(&old).unwrap();
    stage
        .run_until(LONG, |stage| {
            stage.volumes_in_service().values().any(|(instance, _)| *instance != old)
        })
        .unwrap();
    settle(&mut stage).unwrap();
    let released_at = stage.slots()[0].released_at.unwrap();

    let answers = answers(&stage, from);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let journal = &answer.journal;
        assert_eq!(journal.place.as_ref().map(|it| it.pool.as_str()), Some("cassandra"));
        let waited = journal.answered_after.unwrap();
        assert!((55..90).contains(&waited.as_secs()), "{waited:?}");
        if answer.instance.as_str() == old {
            assert_eq!(journal.reattached_after, None);
        } else {
            let reattached = journal.reattached_after.unwrap();
            assert!((1..10).contains(&reattached.as_secs()), "{reattached:?}");
            // It was answered before now, and after its release.
            assert!(reattached <= stage.cloud.world().now().since(released_at));
        }
    }
    let held = stage.reports.iter().filter(|report| report.journal.held).count();
    assert_eq!(held, 0, "nobody waited for a person");
}

#[test]
fn a_slot_that_lay_free_for_hours_was_not_hours_without_its_holder() {
    let mut stage = in_service(stage(4), 1, STOP).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.run_for(Duration::from_hours(5)).unwrap();
    let from = stage.reports.len();
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    let answers = answers(&stage, from);
    let journal = &answers[0].journal;
    assert_eq!((answers.len(), journal.reattached_after), (1, journal.answered_after));
    assert!(journal.reattached_after.unwrap() < Duration::from_mins(2));
}

/// Every future of the store in memory is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

#[test]
fn a_sweep_reads_who_waits_and_what_is_being_released_since_when_in_every_zone() {
    let id = |number: u32| -> InstanceId { format!("i-{number:08x}").parse().unwrap() };
    let place = |zone: &str| Place {
        pool: "cassandra".parse().unwrap(),
        zone: format!("eu-central-1{zone}").parse().unwrap(),
    };
    let at = |seconds| BEGIN.plus(Duration::from_secs(seconds));
    let waits = |number, zone, since: Timestamp| WaitingMark {
        place: place(zone),
        since,
        instance: id(number),
        stale_after_hours: None,
    };
    let comes = |number: u32, zone| ComingMark {
        place: place(zone),
        slot: format!("cassandra-{number}").parse().unwrap(),
        holder: id(number),
    };
    let leaves = |number: u32, slot: u32, since| {
        let slot = format!("cassandra-{slot}").parse().unwrap();
        let phase = Phase::Leaving { slot, epoch: 1, since };
        Claim { version: 1, phase, ..Claim::new(id(number)) }
    };
    let waiting = vec![waits(1, "a", at(3)), waits(2, "b", at(1))];
    let other = Place { pool: "kafka".parse().unwrap(), ..place("a") };
    let records = [
        Record::Waiting(waiting[0].clone()),
        Record::Waiting(waiting[1].clone()),
        // Another pool's is not this one's.
        Record::Waiting(WaitingMark { place: other, ..waits(9, "a", at(9)) }),
        Record::Coming(comes(3, "a")),
        Record::Claim(leaves(3, 3, at(5))),
        // The claim has gone on to another slot, or there is none.
        Record::Coming(comes(4, "b")),
        Record::Claim(leaves(4, 44, at(6))),
        Record::Coming(comes(5, "b")),
    ];
    let cloud = InProcess::new(World::new(Config::default(), BEGIN));
    let store = MemoryLeases::default();
    let writes = records.into_iter().map(|record| {
        let expect = match record.key() {
            Key::Claim(_) => Expect::Absent,
            _ => Expect::Mark,
        };
        Write::Put(record, expect)
    });
    let transaction = Transaction { name: "test", writes: writes.collect(), wakes: None };
    at_once(store.commit(&transaction)).unwrap();
    let ports = Ports {
        volumes: cloud.clone(),
        actions: cloud.clone(),
        commands: cloud.clone(),
        leases: store,
        clock: cloud,
    };

    let queues = at_once(shell::queues([place("a").pool], &ports));
    let releasing = [("a", Some(at(5))), ("b", None), ("b", None)];
    let releasing = releasing.map(|(zone, since)| Releasing { place: place(zone), since });
    let expected = PoolQueues { waiting, releasing: releasing.into() };
    assert_eq!(queues.failures, Vec::new());
    assert_eq!(queues.pools, BTreeMap::from([(place("a").pool, expected)]));
}
