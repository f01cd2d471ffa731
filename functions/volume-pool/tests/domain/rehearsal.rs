//! A rehearsal tells what the loop would do, and does nothing.

use crate::situation::small_world::{World, allowance, in_short, subject, transient};
use crate::situation::{
    NOW, available, free_slot, instance, launch_action, leased_claim, leased_slot, on, place,
    policy_leaving, releasing_slot, seconds, slot_id, volume, waiting_claim,
};
use volume_pool::action::Transition;
use volume_pool::decide::{Effect, Subject};
use volume_pool::event::ActionResult;
use volume_pool::observation::{AttachmentState, GroupInstance, InstanceState, LifecycleState};
use volume_pool::policy::LeaveMode;
use volume_pool::record::{
    Claim, ComingMark, FreeMark, Guard, HeldMark, Pool, Record, VolumeOwner, WaitingMark,
};
use volume_pool::rehearsal::{Assumed, End, Rehearsal};
use volume_pool::request::{Request, Response};
use volume_pool::sweep::Found;

fn found(found: Found) -> Subject {
    Subject { found: Some(found), ..subject(None) }
}

fn assumed(transition: Transition) -> Assumed {
    let (group, zone) = (launch_action().group, place().zone);
    Assumed { member: GroupInstance { group, zone, state: LifecycleState::Pending }, transition }
}

/// Rehearses in this world, which must stay as it is; tells the steps other than looks, and the end.
fn rehearse(mut rehearsal: Rehearsal, mut world: World) -> (Vec<String>, End) {
    let before = world.clone();
    let mut request = rehearsal.start(world.now);
    while !matches!(request, Request::Finish(_)) {
        let read = ["read", "describe", "look"];
        let asked = in_short(&request);
        assert!(read.iter().any(|it| asked.starts_with(it)), "it asked to {asked}");
        let answer = world.answer(&request);
        request = rehearsal.resume(answer, world.now);
    }
    assert_eq!(world.store.records, before.store.records);
    assert_eq!((world.volumes, world.answered), (before.volumes, before.answered));
    let steps = rehearsal.steps().into_iter().map(|step| step.step.clone()).collect();
    (steps, rehearsal.end().cloned().unwrap())
}

fn launch() -> Rehearsal {
    let subject = found(Found::InHook);
    Rehearsal::new(subject, allowance("me", NOW)).assuming(assumed(Transition::Launching))
}

fn with_pool(world: World) -> World {
    world.with(Record::Pool(Pool { version: 1, next_index: 1, ..Pool::new(place().pool) }))
}

fn with_free_slot(world: World) -> World {
    with_pool(world)
        .with_volume(available(1))
        .with(Record::Slot(free_slot(0)))
        .with(Record::Free(FreeMark { slot: free_slot(0) }))
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }))
}

#[test]
fn a_launch_that_is_only_assumed_is_told_the_slot_that_it_would_get() {
    let (steps, end) = rehearse(launch(), with_free_slot(World::new()));
    assert_eq!(steps, ["enqueue", "lease", "ec2:AttachVolume"]);
    assert_eq!(end, End::Call(Effect::Attach(volume(1), "/dev/sdf".parse().unwrap())));
}

#[test]
fn a_launch_that_is_only_assumed_stands_behind_those_who_wait() {
    let mark = WaitingMark {
        place: place(),
        since: NOW.minus(seconds(60)),
        instance: instance(2),
        stale_after_hours: None,
    };
    let world = with_free_slot(World::new()).with(Record::Waiting(mark));
    let (steps, _) = rehearse(launch(), world);
    assert!(!steps.contains(&"lease".to_owned()), "{steps:?}");
}

#[test]
fn a_launch_that_is_only_assumed_waits_for_a_slot_that_is_let_go_of() {
    let mark = ComingMark { place: place(), slot: slot_id(0), holder: instance(2) };
    let world = with_pool(World::new())
        .with(Record::Slot(releasing_slot()))
        .with(Record::Coming(mark))
        .with_volume(on(1, 2, AttachmentState::Attached));
    let (steps, end) = rehearse(launch(), world);
    assert_eq!((steps.last().unwrap().as_str(), end), ("rest, work left", End::WorkLeft));
}

#[test]
fn a_launch_that_is_only_assumed_would_have_a_volume_created_where_none_is_to_come() {
    let mark = HeldMark {
        place: place(),
        slot: slot_id(0),
        holder: instance(2),
        volumes: vec![volume(1)],
        amiss: false,
    };
    let world = with_pool(World::new())
        .with_instance(2, LifecycleState::InService)
        .with(Record::Slot(leased_slot()))
        .with(Record::Held(mark))
        .with_volume(on(1, 2, AttachmentState::Attached))
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }));
    let (steps, end) = rehearse(launch(), world);
    assert_eq!(steps, ["enqueue", "intend", "ec2:CreateVolume"]);
    let End::Call(Effect::Create(creation)) = end else { panic!("{end:?}") };
    assert_eq!(creation.zone, place().zone);
}

/// Instance 1 in service with slot 0.
fn in_service() -> World {
    World::new()
        .with_instance(1, LifecycleState::InService)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim {
            policy: Some(policy_leaving(LeaveMode::Stop)),
            answered: Some(ActionResult::Continue),
            open: false,
            ..leased_claim()
        })
}

#[test]
fn a_termination_that_is_only_assumed_begins_the_release_and_stops_the_instance() {
    let subject = found(Found::InHook);
    let rehearsal =
        Rehearsal::new(subject, allowance("me", NOW)).assuming(assumed(Transition::Terminating));
    let (steps, end) = rehearse(rehearsal, in_service());
    assert_eq!(steps, ["begin release", "ec2:StopInstances"]);
    assert_eq!(end, End::Call(Effect::Stop));
}

#[test]
fn the_replacement_of_one_that_is_assumed_to_terminate_waits_for_its_slot() {
    let mut world = with_pool(in_service())
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }));
    let mut leaving = Rehearsal::new(found(Found::InHook), allowance("me", NOW))
        .assuming(assumed(Transition::Terminating));
    let mut request = leaving.start(NOW);
    while !matches!(request, Request::Finish(_)) {
        let answer = world.answer(&request);
        request = leaving.resume(answer, NOW);
    }
    let newcomer = Subject { instance: instance(9), ..found(Found::InHook) };
    let launching = Rehearsal::new(newcomer, allowance("me", NOW))
        .assuming(assumed(Transition::Launching))
        .after(&leaving);
    let (steps, end) = rehearse(launching, world);
    assert_eq!(
        (steps, end),
        (vec!["enqueue".to_owned(), "rest, work left".to_owned()], End::WorkLeft)
    );
}

#[test]
fn who_is_at_rest_has_nothing_to_come() {
    let rehearsal = Rehearsal::new(subject(None), allowance("me", NOW));
    let (steps, end) = rehearse(rehearsal, in_service());
    assert_eq!((steps, end), (vec!["rest, settled".to_owned()], End::Settled));
}

#[test]
fn who_is_gone_is_told_to_have_its_slot_released() {
    let mut world = in_service();
    world.runs_as(1, InstanceState::Terminated);
    world.volumes.insert(volume(1), available(1));
    let rehearsal = Rehearsal::new(found(Found::HolderGone), allowance("me", NOW));
    let (steps, _) = rehearse(rehearsal, world);
    assert!(steps.starts_with(&["begin release".to_owned(), "release".to_owned()]), "{steps:?}");
}

#[test]
fn another_invocation_at_work_keeps_nobody_from_rehearsing() {
    let guard = Guard { invocation: "other".parse().unwrap(), until: NOW.plus(seconds(60)) };
    let waiting = Claim { guard: Some(guard), open: true, ..waiting_claim() };
    let world = with_free_slot(World::new())
        .with_instance(1, LifecycleState::PendingWait)
        .with_claim(waiting);
    let rehearsal = Rehearsal::new(subject(None), allowance("me", NOW));
    let (steps, _) = rehearse(rehearsal, world);
    assert!(steps.contains(&"lease".to_owned()), "{steps:?}");
}

#[test]
fn what_can_not_be_read_ends_it_with_the_reason() {
    let mut rehearsal = Rehearsal::new(found(Found::InHook), allowance("me", NOW));
    rehearsal.start(NOW);
    let request = rehearsal.resume(Response::Failed(transient()), NOW);
    assert!(matches!(request, Request::Finish(_)));
    assert_eq!(rehearsal.end(), Some(&End::Failed(transient())));
}
