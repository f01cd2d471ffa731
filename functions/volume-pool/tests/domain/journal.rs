//! What a loop takes down for the metrics: how it answered and how long that took, what it changed, whom it leaves waiting.

use std::time::Duration;

use crate::situation::small_world::{World, allowance, subject};
use crate::situation::{
    NOW, POLICY, available, event, free_slot, hook, instance, launch_action, leaving_claim, on,
    place, releasing_slot, seconds_ago, slot_id, terminate_action, volume, waiting_claim,
};
use volume_pool::Timestamp;
use volume_pool::decide::{Alarm, Subject};
use volume_pool::event::{ActionResult, Transition};
use volume_pool::invocation::Invocation;
use volume_pool::observation::{AttachmentState, InstanceState, LifecycleState};
use volume_pool::ports::Commit;
use volume_pool::record::{Claim, ComingMark, FreeMark, Pool, Record, Slot, VolumeOwner};
use volume_pool::report::Journal;
use volume_pool::request::{Request, Response};
use volume_pool::sweep::Found;

/// A request, and when it was made and answered.
type Asked = (Request, Timestamp, Timestamp);

/// Runs an invocation to its end, each request answered as the world does unless `otherwise` has another answer; gives
/// the journal of its main loop, and the requests.
fn run(
    subject: Subject,
    mut world: World,
    mut otherwise: impl FnMut(&Request) -> Option<Response>,
) -> (Journal, Vec<Asked>) {
    let mut invocation = Invocation::new(subject, allowance("me", world.now));
    let mut asked = Vec::new();
    let mut request = invocation.start(world.now);
    while !matches!(request, Request::Finish(_)) {
        let began = world.now;
        let response = otherwise(&request).unwrap_or_else(|| world.answer(&request));
        world.now = world.now.plus(Duration::from_millis(10));
        asked.push((request, began, world.now));
        request = invocation.resume(response, world.now);
    }
    let mut reports = invocation.into_reports().into_iter();
    (reports.rfind(|report| report.instance == instance(1)).unwrap().journal, asked)
}

fn launch() -> Subject {
    subject(Some(event(launch_action(), Some(POLICY))))
}

/// Instance 1 launches, this slot is free.
fn launch_beside(slot: Slot) -> World {
    World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with_volume(available(1))
        .with(Record::Pool(Pool { version: 1, next_index: 1, ..Pool::new(place().pool) }))
        .with(Record::Slot(slot.clone()))
        .with(Record::Free(FreeMark { slot }))
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }))
}

/// From the first request of this kind to when the answer was accepted.
fn since(asked: &[Asked], is_first: impl Fn(&Request) -> bool) -> Duration {
    let (_, began, _) = asked.iter().find(|(request, ..)| is_first(request)).unwrap();
    let answers = |request: &Request| request.call().ends_with("CompleteLifecycleAction");
    let (.., answered) = asked.iter().rfind(|(request, ..)| answers(request)).unwrap();
    answered.since(*began)
}

fn commits(name: &str) -> impl Fn(&Request) -> bool {
    move |request| matches!(request.alone(), Request::Commit(transaction) if transaction.name == name)
}

#[test]
fn a_launch_is_timed_from_when_its_action_was_taken_up_and_so_is_a_slot_that_lay_free_before() {
    let slot = Slot { released_at: Some(seconds_ago(3_600)), ..free_slot(0) };
    let (journal, asked) = run(launch(), launch_beside(slot), |_| None);
    let took = since(&asked, commits("guard"));
    assert_eq!(journal.answered, Some(ActionResult::Continue));
    assert_eq!(journal.answered_after, Some(took));
    assert_eq!(journal.reattached_after, Some(took));
    assert_eq!(journal.place, Some(place()));
    assert_eq!((journal.held, journal.lost_leases), (false, 0));
    // enqueue, lease, an attachment, two tags, the answer.
    assert_eq!(journal.changes, 6);
}

#[test]
fn a_slot_that_came_free_while_the_launch_waited_is_timed_from_its_release() {
    let released_at = NOW.minus(Duration::from_millis(700));
    let slot = Slot { released_at: Some(released_at), ..free_slot(0) };
    let waiting = Claim {
        action: Some(launch_action()),
        action_at: Some(seconds_ago(95)),
        ..waiting_claim()
    };
    let world = launch_beside(slot).with_claim(waiting);
    let (journal, asked) = run(launch(), world, |_| None);
    let now = since(&asked, |_| true);
    assert_eq!(journal.answered_after, Some(Duration::from_secs(95) + now));
    assert_eq!(journal.reattached_after, Some(Duration::from_millis(700) + now));
}

#[test]
fn a_slot_that_was_never_released_is_not_attached_again() {
    let slot = Slot { released_at: None, ..free_slot(0) };
    let (journal, _) = run(launch(), launch_beside(slot), |_| None);
    assert_eq!(journal.answered, Some(ActionResult::Continue));
    assert!(journal.answered_after.is_some());
    assert_eq!(journal.reattached_after, None);
}

#[test]
fn a_lease_that_another_was_faster_to_take_is_counted_and_a_conflict_over_something_else_is_not() {
    for (name, lost_leases) in [("lease", 1), ("enqueue", 0)] {
        let mut left = 1;
        let (journal, _) = run(launch(), launch_beside(free_slot(0)), |request| {
            let lost = left > 0 && commits(name)(request);
            lost.then(|| {
                left -= 1;
                Response::Committed(Commit::Conflict)
            })
        });
        assert_eq!((journal.lost_races, journal.lost_leases), (1, lost_leases), "{name}");
        assert_eq!(journal.answered, Some(ActionResult::Continue));
    }
}

#[test]
fn a_termination_is_timed_from_when_it_was_taken_up_and_reattaches_nothing() {
    let leaving = Claim {
        action: Some(terminate_action()),
        action_at: Some(seconds_ago(70)),
        ..leaving_claim()
    };
    let mut world = World::new()
        .with_instance(1, LifecycleState::TerminatingWait)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(releasing_slot()))
        .with_claim(leaving);
    world.instances.get_mut(&instance(1)).unwrap().state = InstanceState::Stopped;
    let (journal, asked) = run(subject(Some(event(terminate_action(), None))), world, |_| None);
    let now = since(&asked, |_| true);
    assert_eq!(journal.answered, Some(ActionResult::Continue));
    assert_eq!(journal.answered_after, Some(Duration::from_secs(70) + now));
    assert_eq!(journal.reattached_after, None);
    assert_eq!(journal.place, Some(place()));
}

/// An action that is on record was that of an earlier life, or has its answer: what waits now began when it was found.
#[test]
fn an_action_that_was_found_without_its_event_is_timed_from_when_work_for_it_began() {
    // On its way into the warm pool it waits for the very hook that it waited for in its earlier life.
    for state in [LifecycleState::TerminatingWait, LifecycleState::WarmedPendingWait] {
        let earlier = Claim {
            version: 1,
            action: Some(launch_action()),
            action_at: Some(seconds_ago(86_400)),
            answered: Some(ActionResult::Continue),
            ..Claim::new(instance(1))
        };
        let world = World::new().with_instance(1, state.clone()).with_claim(earlier);
        let found = Subject { found: Some(Found::InHook), ..subject(None) };
        let (journal, asked) = run(found, world, |_| None);
        assert_eq!(journal.answered, Some(ActionResult::Continue), "{state}");
        assert_eq!(journal.answered_after, Some(since(&asked, commits("guard"))), "{state}");
    }
}

#[test]
fn a_launch_that_waits_for_a_person_is_held_and_nothing_is_changed_for_it() {
    let mut world = launch_beside(free_slot(0));
    world.hooks.push(hook("stateful-asg-launch-2", Transition::Launching, Some(POLICY)));
    let (journal, _) = run(launch(), world, |_| None);
    assert!(journal.alarms.iter().any(|it| matches!(it, Alarm::TwoLaunchHooks { .. })));
    assert!(journal.held);
    assert_eq!((journal.answered, journal.changes), (None, 0));
}

#[test]
fn a_launch_that_waits_for_a_slot_on_its_way_is_not_held() {
    let waiting =
        Claim { action: Some(launch_action()), action_at: Some(seconds_ago(5)), ..waiting_claim() };
    let coming = ComingMark { place: place(), slot: slot_id(0), holder: instance(2) };
    let world = World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with(Record::Pool(Pool { version: 1, next_index: 1, ..Pool::new(place().pool) }))
        .with(Record::Coming(coming))
        .with_claim(waiting);
    let (journal, _) = run(launch(), world, |_| None);
    assert!(journal.steps.iter().any(|it| it.reason.contains("letting go")), "{journal:?}");
    assert!(!journal.held);
    assert_eq!(journal.place, Some(place()));
}
