//! Warm pools whose instances go into service and come back: each time they let go of their volumes first, and each time
//! they get them again, whatever is lost or comes twice.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Fault, Stage, Timeouts};
use local_cloud::world::{
    AbandonedReturn, Config, DesiredCapacity, InstanceState, LifecycleState, PoolState, ScaledIn,
    WarmPoolChange,
};
use scenarios::{
    BEGIN, LONG, ZONE, group, hooks, in_service, instances, settle, stage, tagged_volume,
    volumes_by_slot,
};
use volume_pool::event::{Event, Transition};
use volume_pool::ids::ActionToken;
use volume_pool::record::SlotState;

const STOPPING: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
const DETACHING: &str = r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"detach"}}"#;
const GUEST: &str =
    r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"guest","seconds":60}}"#;
const TERMINATING: &str = r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"terminate"}}"#;

fn reuse(stage: &Stage, kept: PoolState) {
    let change = WarmPoolChange {
        scaled_in: Some(ScaledIn::Reused),
        state: Some(kept),
        ..WarmPoolChange::default()
    };
    stage.cloud.world().put_warm_pool("cassandra", change).unwrap();
}

fn want(stage: &Stage, size: u32) {
    stage.cloud.world().set_desired_capacity("cassandra", size).unwrap();
}

fn all_free(stage: &Stage) -> bool {
    stage.slots().iter().all(|slot| slot.state == SlotState::Free)
}

fn reasons(stage: &Stage) -> Vec<String> {
    let claims = stage.claims().into_iter();
    claims.map(|claim| format!("{} {:?}: {}", claim.instance, claim.phase, claim.reason)).collect()
}

fn alarms(stage: &Stage) -> Vec<&'static str> {
    let loops = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    loops.chain(&stage.alarms).map(volume_pool::decide::Alarm::name).collect()
}

/// Every second action's event, by its token.
fn every_second(event: &Event) -> bool {
    let Event::Lifecycle(event) = event else { return false };
    let token = event.action.token.as_ref().map(ActionToken::as_str).unwrap_or_default();
    token.bytes().fold(0, |sum: u8, byte| sum.wrapping_add(byte)).is_multiple_of(2)
}

fn none(_: &Event) -> bool {
    false
}

fn every_one(event: &Event) -> bool {
    matches!(event, Event::Lifecycle(_))
}

fn every_termination(event: &Event) -> bool {
    matches!(event, Event::Lifecycle(event) if event.action.transition == Transition::Terminating)
}

/// Into the pool, into service, back, into service again: with events lost and duplicated, and a call that goes wrong.
fn story(seed: u64) -> Result<(), String> {
    let pick = |from: u64, of: usize| usize::try_from(seed / from).unwrap() % of;
    let policy = [STOPPING, DETACHING, TERMINATING, GUEST][pick(1, 4)];
    let kept = [PoolState::Stopped, PoolState::Running][pick(4, 2)];
    // Where ABANDON does not end the instance, a running one that may use its volume is for a person to see to.
    let stuck = kept == PoolState::Running && policy != STOPPING;
    let abandoned_return = if pick(8, 2) == 1 && !stuck {
        AbandonedReturn::Returns
    } else {
        AbandonedReturn::Terminates
    };
    let mut stage = Stage::new(Config { seed, abandoned_return, ..Config::default() }, BEGIN);
    stage.copies = 1 + pick(3, 3);
    for _ in 0..2 {
        tagged_volume(&stage, ZONE, &[]).map_err(|error| error.to_string())?;
    }
    stage.run_for(Duration::from_secs(10))?;
    group(&stage, "cassandra", 0, &[ZONE], hooks(Some(policy)))
        .map_err(|error| error.to_string())?;
    reuse(&stage, kept);
    stage.loses =
        [none as fn(&Event) -> bool, every_second, every_one, every_termination][pick(5, 4)];
    stage.run_for(Duration::from_mins(5))?;
    want(&stage, 2);
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == 2)?;
    let before = volumes_by_slot(&stage);
    let faults = [Fault::DiesBefore, Fault::DiesAfter, Fault::LostReply, Fault::Refused];
    for round in 0..3 {
        let call = stage.calls + 1 + pick(1, 37) * (round + 1);
        stage.fault = Some((call, faults[(pick(7, 4) + round) % 4]));
        want(&stage, 0);
        stage.run_until(LONG, all_free).map_err(|problem| format!("back, {round}: {problem}"))?;
        settle(&mut stage)?;
        want(&stage, 2);
        let served = |stage: &Stage| volumes_by_slot(stage) == before;
        stage.run_until(LONG, served).map_err(|problem| format!("out, {round}: {problem}"))?;
    }
    settle(&mut stage)
}

#[test]
fn instances_that_go_to_and_fro_between_warm_pool_and_service_keep_every_slot_whole() {
    for seed in 0..40 {
        story(seed).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

/// It was to be terminated instead, and is parked all the same: its slot comes free as soon as it is stopped.
#[test]
fn a_holder_whose_return_hook_timed_out_gives_its_volume_back_from_the_warm_pool() {
    for kept in [PoolState::Stopped, PoolState::Running] {
        let mut stage = in_service(returning(61), 1, STOPPING).unwrap();
        let instance = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
        reuse(&stage, kept);
        // Nobody answers, for longer than the hook waits.
        stage.loses = |_| true;
        stage.reconciles = false;
        stage.timeouts = Timeouts::Expected;
        want(&stage, 0);
        stage.run_for(Duration::from_mins(10)).unwrap();
        assert!(matches!(stage.slots()[0].state, SlotState::Leased { .. }), "{:?}", stage.slots());
        stage.reconciles = true;
        stage.run_until(LONG, all_free).unwrap_or_else(|it| panic!("{it}: {:?}", reasons(&stage)));
        settle(&mut stage).unwrap();
        let shown = stage.cloud.world().member(&instance).map(|(_, member)| member.state);
        if kept == PoolState::Stopped {
            assert_eq!(shown, Some(LifecycleState::WarmedStopped));
        }
    }
}

/// A stage whose warm pools take back even those whose return was abandoned.
fn returning(seed: u64) -> Stage {
    let abandoned_return = AbandonedReturn::Returns;
    Stage::new(Config { seed, abandoned_return, ..Config::default() }, BEGIN)
}

/// It runs on in the warm pool, and may have its volume mounted: nothing is taken from it until a person has seen to it.
#[test]
fn a_holder_that_runs_in_the_warm_pool_keeps_its_volume_and_a_person_is_told() {
    let mut stage = in_service(returning(62), 1, TERMINATING).unwrap();
    let instance = instances(&stage, "cassandra", LifecycleState::InService).remove(0);
    reuse(&stage, PoolState::Running);
    want(&stage, 0);
    stage.run_for(Duration::from_mins(20)).unwrap();
    assert!(matches!(stage.slots()[0].state, SlotState::Releasing { .. }), "{:?}", stage.slots());
    assert!(alarms(&stage).contains(&"parked-holder"), "{:?}", alarms(&stage));
    assert_eq!(stage.cloud.world().instance(&instance).unwrap().state, InstanceState::Running);
    stage.cloud.world().terminate_by_hand(&instance).unwrap();
    stage.run_until(LONG, all_free).unwrap();
}

/// Its release has not ended when it is taken out of the pool again: that is finished first, then it leases anew.
#[test]
fn an_instance_that_leaves_the_warm_pool_before_its_release_has_ended_finishes_that_first() {
    let mut stage = in_service(returning(63), 1, TERMINATING).unwrap();
    let before = volumes_by_slot(&stage);
    reuse(&stage, PoolState::Running);
    want(&stage, 0);
    stage
        .run_until(LONG, |stage| {
            instances(stage, "cassandra", LifecycleState::WarmedRunning).len() == 1
        })
        .unwrap();
    assert!(matches!(stage.slots()[0].state, SlotState::Releasing { .. }), "{:?}", stage.slots());
    want(&stage, 1);
    // It runs with the volume of its last life: past the time of its policy it is given up, which frees the volume.
    stage
        .run_until(LONG * 2, |stage| volumes_by_slot(stage) == before)
        .unwrap_or_else(|problem| panic!("{problem}: {:?}", reasons(&stage)));
    settle(&mut stage).unwrap();
}

/// What lies in the pool holds nothing, and is not kept waiting when it goes.
#[test]
fn an_instance_that_is_terminated_out_of_the_warm_pool_has_its_hook_answered() {
    for loses in [none as fn(&Event) -> bool, every_one] {
        let mut stage = stage(64);
        group(&stage, "cassandra", 0, &[ZONE], hooks(Some(STOPPING))).unwrap();
        let warm = WarmPoolChange { min_size: Some(1), ..WarmPoolChange::default() };
        stage.loses = loses;
        stage.cloud.world().put_warm_pool("cassandra", warm).unwrap();
        let parked = |stage: &Stage| instances(stage, "cassandra", LifecycleState::WarmedStopped);
        stage.run_until(LONG, |stage| !parked(stage).is_empty()).unwrap();
        let instance = parked(&stage).remove(0);
        stage.cloud.world().terminate_instance_in_group(&instance, DesiredCapacity::Kept).unwrap();
        let gone = |stage: &Stage| stage.cloud.world().member(&instance).is_none();
        stage.run_until(Duration::from_mins(4), gone).unwrap();
    }
}
