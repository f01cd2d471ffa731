//! Calls that AWS does not take, or takes only later.

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    ActionName, AttachmentState, Bucket, Config, LifecycleResult, LifecycleState, MutatingBuckets,
    Throttling,
};
use scenarios::{
    BEGIN, LONG, ZONE, in_service, replace_one, settle, tagged, tagged_volume, volumes_by_slot,
};

use crate::{POLICY, alarms, launch, only, reasons};

/// `CompleteLifecycleAction` knows nothing of an action whose instance waits already, for longer than one run tries.
#[test]
fn an_answer_that_auto_scaling_does_not_know_yet_is_sent_until_it_does() {
    let late_actions = Some(Duration::from_mins(3));
    let config = Config { seed: 41, late_actions, ..Config::default() };
    let mut stage = in_service(Stage::new(config, BEGIN), 2, POLICY).unwrap();
    let before = volumes_by_slot(&stage);
    replace_one(&mut stage, 2).unwrap();
    assert_eq!(volumes_by_slot(&stage), before);
}

/// Far more launches at once than the account's request limits allow: a refused request says nothing of the world.
#[test]
fn twelve_launches_under_tight_request_limits_all_get_their_volumes() {
    let throttling = Throttling {
        non_mutating: Bucket::new(5, 4),
        mutating: Bucket::new(2, 1),
        mutating_buckets: MutatingBuckets::Shared,
        tags: Bucket::new(3, 2),
        auto_scaling_describes: Bucket::new(5, 4),
        auto_scaling_changes: Bucket::new(2, 2),
        ..Throttling::default()
    };
    let config = Config { seed: 42, throttling: Some(throttling), ..Config::default() };
    let mut stage = Stage::new(config, BEGIN);
    for _ in 0..12 {
        tagged_volume(&stage, ZONE, &[]).unwrap();
    }
    stage.run_for(Duration::from_secs(10)).unwrap();
    let volumes = tagged(&stage);
    launch(&stage, 12, &[ZONE], POLICY);
    stage
        .run_until(LONG, |stage| stage.volumes_in_service().len() == 12)
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
    settle(&mut stage).unwrap();
    let failures = stage.reports.iter().flat_map(|report| &report.journal.failures).count();
    assert!(failures > 20, "only {failures} requests were refused");
    assert_eq!(tagged(&stage), volumes, "no volume was created for one that was not seen");
    assert_eq!(alarms(&stage), Vec::<&str>::new());
    let epochs: Vec<u64> = stage.slots().iter().map(|slot| slot.epoch).collect();
    assert_eq!(epochs, [1; 12], "each slot changed hands once");
}

/// Somebody on the instance answers our launch hook.
fn someone_else_answers(stage: &Stage) {
    let instance = only(stage, LifecycleState::PendingWait);
    let name = ActionName { token: None, instance: Some(&instance) };
    let mut world = stage.cloud.world();
    world
        .complete_lifecycle_action(
            "cassandra",
            "stateful-asg-launch",
            name,
            LifecycleResult::Continue,
        )
        .unwrap();
}

/// Somebody on the instance answers our hook as well, once everything is attached.
#[test]
fn an_action_that_someone_else_answered_is_over() {
    let mut stage = Stage::new(Config { seed: 43, ..Config::default() }, BEGIN);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    launch(&stage, 1, &[ZONE], POLICY);
    let attached = |stage: &Stage| {
        let world = stage.cloud.world();
        let attachment = world.volume(&volume).unwrap().attachments.first().cloned();
        attachment.is_some_and(|it| it.state == AttachmentState::Attached)
    };
    stage.run_until(LONG, attached).unwrap();
    someone_else_answers(&stage);
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 1).unwrap();
    settle(&mut stage).unwrap();
    assert_eq!(stage.claims().len(), 1, "{:?}", reasons(&stage));
}

/// The same before anything is attached. Nothing is attached to an instance in service, so a person must see to it.
#[test]
fn an_action_that_someone_else_answered_too_early_is_told_of() {
    let mut stage = Stage::new(Config { seed: 44, ..Config::default() }, BEGIN);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.taken.insert(volume);
    launch(&stage, 1, &[ZONE], POLICY);
    let leased = |stage: &Stage| stage.slots().iter().any(|slot| slot.holder().is_some());
    stage.run_until(LONG, leased).unwrap();
    someone_else_answers(&stage);
    stage.run_for(Duration::from_mins(5)).unwrap();
    assert!(alarms(&stage).contains(&"volume-astray"), "{:?}", reasons(&stage));
}
