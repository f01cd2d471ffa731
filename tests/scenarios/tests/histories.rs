//! A history notices what must not have happened: each is made to happen here. Else a story that ends well would say nothing.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::Detachment;
use scenarios::history::History;
use scenarios::{LONG, ZONE, group, hooks, in_service, settle, stage, tagged, tagged_volume};
use volume_pool::record::Record;
use volume_pool::transition::{Transaction, Write};

const POLICY: &str = r#"{"pool":"cassandra","waitSeconds":600,"volumes":[
    {"name":"data","device":"/dev/sdf","template":{"sizeGiB":20}}]}"#;

/// A group of one that has created its volume under the eyes of the history.
fn grown(seed: u64) -> (Stage, History) {
    let (mut stage, history) = (stage(seed), History::default());
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    history.run_until(&mut stage, LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(history.losses(&stage), Vec::<String>::new());
    assert_eq!(history.needless(&stage), Vec::<String>::new());
    (stage, history)
}

fn notices(found: &[String], what: &str) {
    assert!(found.iter().any(|it| it.contains(what)), "{what:?} is not in {found:?}");
}

#[test]
fn a_volume_that_was_deleted() {
    let stage = in_service(stage(1), 1, POLICY).unwrap();
    let spare = tagged_volume(&stage, ZONE, &[]).unwrap();
    let history = History::default();
    assert_eq!(history.losses(&stage), Vec::<String>::new());
    let later = stage.cloud.world().now().plus(Duration::from_secs(10));
    stage.cloud.world().advance(later);
    stage.cloud.world().delete_volume(&spare).unwrap();
    notices(&history.losses(&stage), "is being deleted");
    let later = later.plus(Duration::from_secs(10));
    stage.cloud.world().advance(later);
    notices(&history.losses(&stage), "is lost");
}

#[test]
fn a_created_volume_that_belongs_to_no_slot() {
    let (stage, history) = grown(2);
    let records = stage.leases.records().into_iter();
    let owner = records.filter(|record| matches!(record, Record::Volume(_))).map(|it| it.key());
    let writes = owner.map(Write::Delete).collect();
    let transaction = Transaction { name: "meddle", writes, wakes: None };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let commit = volume_pool::ports::LeaseStore::commit(&stage.leases, &transaction);
    assert!(std::pin::pin!(commit).poll(&mut context).is_ready());
    notices(&history.losses(&stage), "belongs to no slot");
}

#[test]
fn an_instance_in_service_without_its_volume() {
    let (stage, history) = grown(3);
    let volume = tagged(&stage).remove(0);
    stage.cloud.world().detach_volume(&volume, None, None, Detachment::Forced).unwrap();
    notices(&history.losses(&stage), "without a volume");
}

#[test]
fn a_volume_created_though_another_one_came_free_in_time() {
    for (minutes, needless) in [(5, true), (15, false)] {
        let (mut stage, history) = grown(4);
        history.run_for(&mut stage, Duration::from_mins(minutes)).unwrap();
        tagged_volume(&stage, ZONE, &[]).unwrap();
        // What came is made a slot of, for a launch behind the one that created.
        stage.cloud.world().set_desired_capacity("cassandra", 2).unwrap();
        history.run_until(&mut stage, LONG, |stage| stage.volumes_in_service().len() == 2).unwrap();
        let found = history.needless(&stage);
        assert_eq!(!found.is_empty(), needless, "after {minutes} minutes: {found:?}");
    }
}
