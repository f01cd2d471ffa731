//! Stories drawn from a seed: how an instance goes, which call goes wrong and how, how often events come and how far
//! describes lag. Whatever was drawn, each slot keeps its volumes and everybody is served in the end.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Fault, Stage};
use local_cloud::world::{InstanceState, LifecycleState};
use scenarios::{LONG, SSM, in_service, instances, settle, stage, volumes_by_slot};

const SIZE: u32 = 3;
/// How many instances go.
const GOINGS: usize = 4;

const POLICIES: [&str; 4] = [
    SSM,
    r#"{"pool":"cassandra"}"#,
    r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#,
    r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#,
];

const FAULTS: [Fault; 5] =
    [Fault::DiesBefore, Fault::DiesAfter, Fault::LostReply, Fault::Refused, Fault::Hangs];

/// Draws one number below `limit` after another from a seed (a linear congruential generator).
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// Less than so many seconds; none at times.
    fn seconds(&mut self, limit: usize) -> Option<Duration> {
        let seconds = self.below(limit);
        (seconds > 0).then(|| Duration::from_secs(seconds as u64))
    }
}

/// A group in service, of which one instance goes after the other, some before the last one is replaced.
fn story(seed: u64) -> Result<(), String> {
    let mut draws = Draws(seed);
    let mut stage = stage(seed);
    stage.copies = 1 + draws.below(3);
    stage.cloud.world().set_stale_describe(draws.seconds(10));
    goes_wrong(&mut stage, &mut draws);
    let mut stage = in_service(stage, SIZE, POLICIES[draws.below(POLICIES.len())])?;
    let before = volumes_by_slot(&stage);
    for _ in 0..GOINGS {
        goes_wrong(&mut stage, &mut draws);
        one_goes(&stage, &mut draws);
        stage.run_for(draws.seconds(240).unwrap_or_default())?;
    }
    stage.run_until(LONG, |stage| volumes_by_slot(stage) == before && undisturbed(stage))?;
    settle(&mut stage)
}

/// One of the next calls goes wrong.
fn goes_wrong(stage: &mut Stage, draws: &mut Draws) {
    let call = stage.calls + 1 + draws.below(150);
    stage.fault = Some((call, FAULTS[draws.below(FAULTS.len())]));
}

/// One of the instances in service is terminated, stopped or fails its checks; where the last one has not come far
/// enough, that is refused.
fn one_goes(stage: &Stage, draws: &mut Draws) {
    let served = instances(stage, "cassandra", LifecycleState::InService);
    let (which, how) = (draws.below(SIZE as usize), draws.below(3));
    let mut world = stage.cloud.world();
    let Some(instance) = served.get(which) else { return };
    let _refused = match how {
        0 => world.terminate_by_hand(instance).map(drop),
        1 => world.stop_instances(std::slice::from_ref(instance)).map(drop),
        _ => world.fail_instance(instance).map(drop),
    };
}

/// Whether every instance of the group is in service and running.
fn undisturbed(stage: &Stage) -> bool {
    let world = stage.cloud.world();
    world.group("cassandra").is_ok_and(|group| {
        group.members.values().all(|member| {
            let instance = world.instance(&member.instance);
            member.state == LifecycleState::InService
                && instance.is_ok_and(|instance| instance.state == InstanceState::Running)
        })
    })
}

#[test]
fn every_story_ends_well() {
    for seed in 0..60 {
        story(seed).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}
