//! Volumes and instances that take their time, can't be used, or are somewhere else.

use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{
    AttachmentState, Config, CreateVolume, InstanceState, LifecycleState, Pace, Span, Step,
    Timings, VolumeSpecification, Workload,
};
use scenarios::{
    BEGIN, LONG, ZONE, instances, settle, stage, tagged, tagged_volume, volumes_by_slot,
};
use volume_pool::record::SlotState;

use crate::{POLICY, WAITING, alarms, in_service, launch, only, reasons};

const OTHER_ZONE: &str = "eu-central-1b";

/// A group of one in service under this policy, on this stage.
fn served(mut stage: Stage, policy: &str) -> Stage {
    tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    launch(&stage, 1, &[ZONE], policy);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    settle(&mut stage).unwrap();
    stage
}

/// The group goes down to nothing, and its only slot is free.
fn freed(stage: Stage) -> Stage {
    freed_under(POLICY, stage)
}

fn freed_under(policy: &str, stage: Stage) -> Stage {
    let mut stage = served(stage, policy);
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage.run_until(LONG, |stage| stage.slots()[0].state == SlotState::Free).unwrap();
    settle(&mut stage).unwrap();
    stage
}

fn launches_again(stage: &Stage) {
    stage.cloud.world().set_desired_capacity("cassandra", 1).unwrap();
}

fn replaced(stage: &Stage, old: &str) -> bool {
    stage.volumes_in_service().values().any(|(instance, _)| instance != old)
}

#[test]
fn a_volume_that_hangs_attaching_is_taken_off_and_attached_by_another_name() {
    let mut stage = stage(32);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    launch(&stage, 1, &[ZONE], POLICY);
    let device = |stage: &Stage| {
        let world = stage.cloud.world();
        world.volume(&volume).unwrap().attachments.first().map(|it| it.device.clone())
    };
    stage.run_until(LONG, |stage| device(stage).is_some()).unwrap();
    let first = device(&stage).unwrap();
    let renamed = |stage: &Stage| device(stage).is_some_and(|device| device != first);
    stage.run_until(Duration::from_mins(5), renamed).unwrap();
    stage.cloud.world().unstick(&volume);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    assert_ne!(device(&stage).unwrap(), first);
    assert_eq!(stage.claims().len(), 1, "no launch was given up: {:?}", reasons(&stage));
}

/// The instance takes no more volumes, and another one may: but not one after the other without end.
#[test]
fn an_instance_that_takes_no_more_volumes_is_named_and_not_replaced_without_end() {
    let mut stage = Stage::new(Config { attachment_limit: 1, ..Config::default() }, BEGIN);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    launch(&stage, 1, &[ZONE], POLICY);
    stage.run_for(Duration::from_mins(20)).unwrap();
    let held = only(&stage, LifecycleState::PendingWait);
    assert_eq!(stage.claims().len(), 4, "three are given up: {:?}", reasons(&stage));
    stage.run_for(Duration::from_hours(1)).unwrap();
    assert_eq!(only(&stage, LifecycleState::PendingWait), held, "{:?}", reasons(&stage));
    for alarm in ["attach-refused", "abandon-breaker"] {
        assert!(alarms(&stage).contains(&alarm), "{:?}", alarms(&stage));
    }
    assert_eq!(tagged(&stage), [volume]);
}

#[test]
fn a_volume_never_leaves_its_zone() {
    let mut stage = freed_under(WAITING, stage(31));
    let here = tagged(&stage).remove(0);
    launch_elsewhere(&stage, WAITING);
    stage.run_for(Duration::from_mins(10)).unwrap();
    assert_eq!(instances(&stage, "elsewhere", LifecycleState::PendingWait).len(), 1);
    assert_eq!(stage.slots()[0].state, SlotState::Free);
    assert!(alarms(&stage).contains(&"no-slot"), "{:?}", alarms(&stage));

    let there = tagged_volume(&stage, OTHER_ZONE, &[]).unwrap();
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    assert_eq!(volumes_by_slot(&stage).into_values().collect::<Vec<_>>(), [vec![there]]);
    assert!(stage.cloud.world().volume(&here).unwrap().attachments.is_empty());
}

/// Where the policy says create, data in another zone is no reason not to.
#[test]
fn a_free_volume_of_another_zone_is_no_reason_not_to_create_one() {
    let mut stage = freed(stage(31));
    let here = tagged(&stage).remove(0);
    launch_elsewhere(&stage, POLICY);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    let served = volumes_by_slot(&stage).into_values().next().unwrap();
    assert_ne!(served, std::slice::from_ref(&here));
    let world = stage.cloud.world();
    assert_eq!(world.volume(&served[0]).unwrap().zone, OTHER_ZONE);
    assert!(world.volume(&here).unwrap().attachments.is_empty());
}

/// A second group of the pool, of one, in another zone.
fn launch_elsewhere(stage: &Stage, policy: &str) {
    let hooks = scenarios::hooks(Some(policy));
    scenarios::group(stage, "elsewhere", 1, &[OTHER_ZONE], hooks).unwrap();
}

/// As on a metal instance: no function lives that long, and the action's timeout of 300 s passes several times.
#[test]
fn a_detachment_of_seventeen_minutes_is_seen_through_and_its_action_kept_alive() {
    let policy = r#"{"pool":"cassandra","leave":{"mode":"detach","seconds":3600}}"#;
    let idle = Config { seed: 33, workload: Workload::Idle, ..Config::default() };
    let mut stage = served(Stage::new(idle, BEGIN), policy);
    let (old, volume) = (only(&stage, LifecycleState::InService), tagged(&stage).remove(0));
    let before = volumes_by_slot(&stage);
    let takes = Pace::Takes(Duration::from_mins(17));
    stage.cloud.world().set_pace(&volume, Step::Detach, takes);
    stage.cloud.world().fail_instance(&old).unwrap();
    let begun = |stage: &Stage| {
        let world = stage.cloud.world();
        world.attachment(&volume, &old).is_some_and(|it| it.state == AttachmentState::Detaching)
    };
    stage.run_until(LONG, begun).unwrap();
    stage.run_for(Duration::from_mins(16)).unwrap();
    let shown = stage.cloud.world().member(&old).map(|(_, member)| member.state);
    assert_eq!(shown, Some(LifecycleState::TerminatingWait), "answered before the volume was off");
    stage.run_until(LONG, |stage| replaced(stage, &old)).unwrap();
    assert_eq!((volumes_by_slot(&stage), tagged(&stage)), (before, vec![volume]));
}

/// `shutting-down` frees nothing yet, however long it lasts: the replacement waits, and no empty volume is created.
#[test]
fn an_instance_that_shuts_down_for_twenty_minutes_keeps_its_volume_until_it_is_terminated() {
    let policy = r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#;
    let mut stage = served(stage(34), policy);
    let (old, before) = (only(&stage, LifecycleState::InService), volumes_by_slot(&stage));
    let volumes = tagged(&stage);
    let takes = Pace::Takes(Duration::from_mins(20));
    stage.cloud.world().set_pace(&old, Step::Terminate, takes);
    stage.cloud.world().fail_instance(&old).unwrap();
    let down = |stage: &Stage| {
        let world = stage.cloud.world();
        world.instance(&old).unwrap().state == InstanceState::ShuttingDown
    };
    stage.run_until(LONG, down).unwrap();
    stage.run_for(Duration::from_mins(19)).unwrap();
    assert!(matches!(stage.slots()[0].state, SlotState::Releasing { .. }), "{:?}", stage.slots());
    only(&stage, LifecycleState::PendingWait);
    stage.run_until(LONG, |stage| replaced(stage, &old)).unwrap();
    assert_eq!((volumes_by_slot(&stage), tagged(&stage)), (before, volumes));
    assert_eq!(alarms(&stage), Vec::<&str>::new(), "that is slow, and nothing is wrong");
}

/// EC2 refuses the attachment for as long as the modification is in its first state: here for two minutes.
#[test]
fn a_volume_that_is_being_modified_is_attached_once_it_may_be() {
    let modify = Span::exactly(Duration::from_mins(2));
    let timings = Timings { modify, ..Timings::default() };
    let mut stage = freed(Stage::new(Config { seed: 36, timings, ..Config::default() }, BEGIN));
    let volumes = tagged(&stage);
    let bigger = VolumeSpecification { size_gib: Some(20), ..VolumeSpecification::default() };
    stage.cloud.world().modify_volume(&volumes[0], &bigger).unwrap();
    launches_again(&stage);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    assert_eq!(tagged(&stage), volumes, "no other volume was created in its place");
    let mut refusals = stage.reports.iter().flat_map(|report| &report.journal.refusals);
    assert!(refusals.any(|refusal| refusal.contains("MODIFYING")), "never refused");
}

#[test]
fn a_volume_in_error_is_set_apart_and_another_one_is_used() {
    let mut stage = freed(stage(31));
    let broken = tagged(&stage).remove(0);
    stage.cloud.world().fail_volume(&broken).unwrap();
    let other = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    launches_again(&stage);
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
    assert_eq!(volumes_by_slot(&stage).into_values().collect::<Vec<_>>(), [vec![other]]);
    assert_eq!(stage.slots()[0].state, SlotState::Quarantined);
    assert!(alarms(&stage).contains(&"quarantined"), "{:?}", alarms(&stage));
}

/// A volume whose slot is free, encrypted with a key of the account's own, which is then disabled.
fn with_a_disabled_key() -> Stage {
    let mut stage = stage(35);
    stage.cloud.world().enable_key("alias/db");
    let specification = VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("gp3".to_owned()),
        encrypted: Some(true),
        kms_key_id: Some("alias/db".to_owned()),
        ..VolumeSpecification::default()
    };
    let tags = [("stateful-asg:pool".to_owned(), "cassandra".to_owned())].into();
    let request = CreateVolume { zone: ZONE.to_owned(), specification, tags, client_token: None };
    stage.cloud.world().create_volume(request).unwrap();
    stage.run_for(Duration::from_secs(10)).unwrap();
    stage.cloud.world().disable_key("alias/db");
    launch(&stage, 1, &[ZONE], WAITING);
    stage
}

#[test]
fn a_volume_whose_key_was_disabled_holds_the_launch_until_it_is_enabled() {
    let mut stage = with_a_disabled_key();
    stage.run_for(Duration::from_mins(20)).unwrap();
    only(&stage, LifecycleState::PendingWait);
    assert_eq!(stage.claims().len(), 1, "launched again and again: {:?}", reasons(&stage));
    stage.cloud.world().enable_key("alias/db");
    stage.run_until(LONG, |stage| in_service(stage, 1)).unwrap();
}

#[test]
fn a_volume_whose_key_was_disabled_is_named() {
    let mut stage = with_a_disabled_key();
    stage.run_for(Duration::from_mins(20)).unwrap();
    let loops = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    let said: Vec<String> = loops.map(ToString::to_string).collect();
    assert!(
        said.iter().any(|alarm| alarm.contains("alias/db") || alarm.contains("key/")),
        "{said:?}"
    );
    assert!(alarms(&stage).contains(&"attach-refused"), "{:?}", alarms(&stage));
}
