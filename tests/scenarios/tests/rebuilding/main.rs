//! The table is lost, or restored from a backup. Until its pools are rebuilt everything that hangs on them is held; then
//! every instance has what it had, and a failed one's replacement gets the very volume.

#![cfg(test)]

mod disturbed;
mod lost;
mod restored;

use std::collections::{BTreeMap, BTreeSet};

use local_cloud::stage::Stage;
use local_cloud::world::LifecycleState;
use scenarios::{
    LONG, ZONE, group, hooks, in_service, instances, settle, stage, stranger, volumes_by_slot,
};
use volume_pool::decide::Alarm;
use volume_pool::ids::PoolName;
use volume_pool::record::{Slot, SlotState};
use volume_pool::request::Ending;

pub(crate) const STOP: &str = r#"{"pool":"cassandra","volumes":[
    {"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":10}}]}"#;
pub(crate) const DETACH: &str = r#"{"pool":"cassandra","leave":{"mode":"detach"},"volumes":[
    {"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":10}}]}"#;
const OTHER_ZONE: &str = "eu-central-1b";
/// The calls by which a volume changes hands, or one comes into being.
const HANDS: [&str; 4] =
    ["ec2:AttachVolume", "ec2:DetachVolume", "ec2:StopInstances", "ec2:CreateVolume"];

pub(crate) fn pool() -> PoolName {
    "cassandra".parse().unwrap()
}

/// A group of three over two zones, in service, with volumes that were created for it.
pub(crate) fn three(seed: u64, policy: &str) -> Stage {
    let mut stage = stage(seed);
    group(&stage, "cassandra", 3, &[ZONE, OTHER_ZONE], hooks(Some(policy))).unwrap();
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 3).unwrap();
    settle(&mut stage).unwrap();
    stage
}

/// How often a volume was to change hands so far.
pub(crate) fn hands(stage: &Stage) -> usize {
    stage.asked.iter().filter(|call| HANDS.contains(call)).count()
}

/// Lets a pool be rebuilt, to the end.
pub(crate) fn rebuild(stage: &mut Stage) -> Vec<Alarm> {
    let before = stage.rebuilt.len();
    stage.rebuild(&pool()).unwrap();
    stage.run_until(LONG, |stage| stage.rebuilt.len() > before).unwrap();
    let (ending, alarms) = stage.rebuilt.last().unwrap().clone();
    assert_eq!(ending, Ending::Settled);
    alarms
}

pub(crate) fn slot(stage: &Stage, name: &str) -> Slot {
    stage.slots().into_iter().find(|slot| slot.id.to_string() == name).unwrap()
}

/// The names of the alarms of the loops so far.
pub(crate) fn alarms(stage: &Stage) -> BTreeSet<&'static str> {
    let loops = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    loops.map(Alarm::name).collect()
}

/// Fails an instance in service, that of its zone which is alone there if one is, so that its replacement comes to the
/// same zone; answers which.
pub(crate) fn fail_one(stage: &Stage) -> String {
    let served = instances(stage, "cassandra", LifecycleState::InService);
    let mut world = stage.cloud.world();
    let zone = |instance: &String| world.instance(instance).unwrap().zone.clone();
    let alone = |it: &&String| served.iter().filter(|other| zone(other) == zone(it)).count() == 1;
    let failed = served.iter().find(alone).unwrap_or(&served[0]).clone();
    world.fail_instance(&failed).unwrap();
    failed
}

/// Fails one, and lets it be replaced.
pub(crate) fn replace(stage: &mut Stage) {
    let (failed, size) = (fail_one(stage), stage.volumes_in_service().len());
    let replaced = |stage: &Stage| {
        let served = stage.volumes_in_service();
        served.len() == size && served.values().all(|(instance, _)| *instance != failed)
    };
    stage.run_until(LONG, replaced).unwrap();
    settle(stage).unwrap();
}

/// Everybody is in service with what the slots had before.
pub(crate) fn all_have(
    stage: &mut Stage,
    before: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == *before)?;
    settle(stage)
}

/// Two slots that are free, and a person's instance.
pub(crate) fn two_free(seed: u64) -> (Stage, String) {
    let mut stage = in_service(stage(seed), 2, STOP).unwrap();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    let free = |stage: &Stage| stage.slots().iter().all(|slot| slot.state == SlotState::Free);
    stage.run_until(LONG, free).unwrap();
    settle(&mut stage).unwrap();
    let person = stranger(&mut stage).unwrap();
    (stage, person)
}
