//! The order in which the loop asks for things, which is what the lease protocol rests on (protocol.md).

use crate::situation;
use crate::situation::small_world::{Run, World, subject, transient};
use crate::situation::{
    NOW, POLICY, available, claim, event, free_slot, hook, hours_ago, instance, launch_action,
    leased_claim, leased_slot, leaving_claim, observing, on, place, policy_leaving, releasing_slot,
    seconds, seconds_ago, slot_id, terminate_action, volume, waiting_claim,
};
use volume_pool::Timestamp;
use volume_pool::decide::{Effect, Subject};
use volume_pool::event::{ActionResult, Transition};
use volume_pool::observation::{
    AttachmentState, DeleteOnTermination, InstanceState, LifecycleState,
};
use volume_pool::policy::LeaveMode;
use volume_pool::ports::{Commit, Poke, PortError, Refusal};
use volume_pool::record::{
    Claim, FreeMark, Group, Guard, Key, Phase, Pool, Record, Slot, SlotState, VolumeOwner,
};
use volume_pool::request::{Ending, Request, Response};

fn launch() -> Subject {
    subject(Some(event(launch_action(), Some(POLICY))))
}

fn termination() -> Subject {
    subject(Some(event(terminate_action(), None)))
}

/// Instance 1 launches, slot 0 with volume 1 is free.
fn launch_with_a_free_slot() -> World {
    World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with_volume(available(1))
        .with(Record::Pool(Pool { version: 1, next_index: 1, ..Pool::new(place().pool) }))
        .with(Record::Slot(free_slot(0)))
        .with(Record::Free(FreeMark { slot: free_slot(0) }))
        .with(Record::Volume(VolumeOwner { volume: volume(1), slot: slot_id(0) }))
}

fn guarded_by(name: &str, until: Timestamp, claim: Claim) -> Claim {
    Claim { guard: Some(Guard { invocation: name.parse().unwrap(), until }), ..claim }
}

/// Instance 1 holds slot 0 with its volume attached and terminates, in this leave mode.
fn termination_in(mode: LeaveMode) -> World {
    World::new()
        .with_instance(1, LifecycleState::TerminatingWait)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim {
            policy: Some(policy_leaving(mode)),
            answered: Some(ActionResult::Continue),
            open: false,
            ..leased_claim()
        })
}

const MUTATIONS: [&str; 5] = [
    "AttachVolume",
    "DetachVolume",
    "ModifyInstanceAttribute",
    "StopInstances",
    "CompleteLifecycleAction",
];

// Guard first, and records → EC2 → records.

#[test]
fn a_launch_goes_guard_then_queue_then_lease_then_attachment_then_answer() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    let outcome = run.ended();
    assert_eq!(
        run.trace,
        [
            "read claim+group",
            "commit guard",
            "describe with hooks and group",
            "commit enqueue",
            "read claim+group+pool+waiting+free+coming",
            "commit lease",
            "AttachVolume 1",
            "CreateTags 1",
            "CreateTags 1",
            "describe",
            "read claim+group+pool+slot",
            "CompleteLifecycleAction 1",
            "commit rest",
        ]
    );
    assert_eq!((outcome.ending, outcome.changed), (Ending::Settled, true));
    let claim = run.world.claim(1);
    assert_eq!(claim.phase, Phase::Leased { slot: slot_id(0), epoch: 3 });
    assert_eq!(
        (claim.answered, &claim.guard, claim.open),
        (Some(ActionResult::Continue), &None, false)
    );
}

/// So nothing is attached that was not looked at: a person may have it, or have made it a Multi-Attach volume.
#[test]
fn the_volumes_of_a_slot_are_looked_at_along_with_its_lease() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("commit lease");
    let Request::Along(_, instance_shown, volumes) = &run.request else {
        panic!("{:?}", run.request)
    };
    assert_eq!((instance_shown, volumes.as_slice()), (&instance(1), &[volume(1)][..]));
    let Response::Along(leased, _) = run.world.answer(&run.request.clone()) else { panic!() };
    run.answer(Response::Along(leased, None));
    assert_eq!(run.now_asks(), "describe");
    run.step();
    assert_eq!(run.now_asks(), "read claim+group+pool+slot");
}

#[test]
fn every_change_in_aws_follows_a_describe_and_a_read_of_the_records_after_it() {
    for (subject, world) in [
        (launch(), launch_with_a_free_slot()),
        (termination(), termination_in(LeaveMode::Detach)),
        (termination(), termination_in(LeaveMode::Stop)),
        (termination(), termination_in(LeaveMode::Terminate)),
    ] {
        let mut run = Run::of_invocation("me", subject, world);
        run.ended();
        let mut changes = 0;
        for (position, word) in run.trace.iter().enumerate() {
            if !MUTATIONS.iter().any(|change| word.starts_with(change)) {
                continue;
            }
            changes += 1;
            let records = run.trace[position - 1].as_str();
            let before = run.trace[..position - 1].iter().rfind(|it| !it.starts_with("CreateTags"));
            let before = before.unwrap().as_str();
            let looked =
                ["describe", "look", "DetachVolume"].iter().any(|it| before.starts_with(it));
            match (word.as_str(), records) {
                // Its volumes are looked at along with the lease.
                ("AttachVolume 1", "commit lease") => {}
                (_, "commit begin release") => assert!(looked, "{word} after {before}"),
                _ => {
                    assert!(records.starts_with("read claim"), "{word}: {:?}", run.trace);
                    assert!(looked, "{word} after {before}");
                }
            }
            assert!(run.trace[..position].contains(&"commit guard".to_owned()), "{word}");
        }
        assert!(changes > 0, "{:?}", run.trace);
    }
}

#[test]
fn a_lifecycle_event_takes_the_guard_before_anything_is_looked_at() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.step();
    let Request::Commit(transaction) = &run.request else { panic!("{:?}", run.request) };
    assert_eq!(transaction.name, "guard");
    run.step();
    let guard = run.world.claim(1).guard.clone().unwrap();
    assert_eq!((guard.invocation.as_str(), guard.until), ("me", NOW.plus(seconds(75))));
}

#[test]
fn open_work_is_guarded_before_it_is_looked_at_even_without_an_event() {
    let world = launch_with_a_free_slot().with_claim(waiting_claim());
    let mut run = Run::of_loop(subject(None), world);
    run.until("describe");
    assert_eq!(run.trace, ["read claim", "commit guard"]);
}

#[test]
fn what_is_at_rest_is_looked_at_without_a_guard_and_not_written() {
    let world = World::new()
        .with_instance(1, LifecycleState::InService)
        .with_volume(on(1, 1, AttachmentState::Attached))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim { open: false, ..leased_claim() });
    let mut run = Run::of_loop(subject(None), world);
    assert_eq!(run.ended().ending, Ending::Settled);
    assert_eq!(
        run.trace,
        ["read claim", "read pool+slot", "describe", "read claim+group+pool+slot"]
    );
}

#[test]
fn what_is_at_rest_is_guarded_and_observed_again_before_it_is_changed() {
    let mut world =
        termination_in(LeaveMode::Terminate).with_instance(1, LifecycleState::InService);
    world.runs_as(1, InstanceState::Terminated);
    let mut run = Run::of_loop(subject(None), world);
    run.until("commit begin release");
    assert_eq!(
        run.trace,
        [
            "read claim",
            "read pool+slot",
            "describe",
            "read claim+group+pool+slot",
            "commit guard",
            "describe"
        ]
    );
}

#[test]
fn an_instance_that_no_record_knows_costs_one_read() {
    let mut run = Run::of_loop(subject(None), launch_with_a_free_slot());
    assert_eq!(run.ended().ending, Ending::Settled);
    assert_eq!(run.trace, ["read claim"]);
}

#[test]
fn mode_observe_writes_nothing_and_answers_continue() {
    let text = serde_json::to_string(&observing()).unwrap();
    let subject = subject(Some(event(launch_action(), Some(&text))));
    let mut run = Run::of_invocation("me", subject, launch_with_a_free_slot());
    run.ended();
    assert_eq!(
        run.trace,
        ["read claim+group", "describe", "read claim+group", "CompleteLifecycleAction 1"]
    );
    assert_eq!(run.world.answered, [(instance(1), launch_action(), ActionResult::Continue)]);
}

// The guard of another.

#[test]
fn another_invocations_guard_is_poked_and_the_instance_left_to_it() {
    let claim = guarded_by("other", NOW.plus(seconds(1)), waiting_claim());
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot().with_claim(claim));
    assert_eq!(run.ended().ending, Ending::Busy);
    // That invocation may be dead: the action is kept alive, which needs no guard.
    assert_eq!(run.trace, ["read claim+group", "poke", "RecordLifecycleActionHeartbeat 1"]);
    assert!(run.world.store.poked.contains(&instance(1)));
}

#[test]
fn a_guard_that_has_gone_meanwhile_is_not_poked_but_the_claim_read_again() {
    let claim = guarded_by("other", NOW.plus(seconds(1)), waiting_claim());
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot().with_claim(claim));
    run.until("poke").world.claim_mut(1).guard = None;
    run.until("describe");
    assert_eq!(run.trace, ["read claim+group", "poke", "read claim+group", "commit guard"]);
}

#[test]
fn a_guard_that_has_ended_is_taken_over() {
    let claim = guarded_by("other", NOW, waiting_claim());
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot().with_claim(claim));
    run.until("describe");
    assert_eq!(run.trace, ["read claim+group", "commit guard"]);
    assert_eq!(run.world.claim(1).guard.as_ref().unwrap().invocation.as_str(), "me");
}

#[test]
fn a_guard_lost_to_another_is_not_acted_under() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("commit guard");
    let theirs = guarded_by("other", NOW.plus(seconds(60)), Claim { version: 1, ..claim() });
    run.world.store.records.insert(Key::Claim(instance(1)), Record::Claim(theirs));
    assert_eq!(run.ended().ending, Ending::Busy);
    let heartbeat = "RecordLifecycleActionHeartbeat 1";
    assert_eq!(
        run.trace,
        ["read claim+group", "commit guard", "read claim+group", "poke", heartbeat]
    );
}

#[test]
fn a_claim_guarded_by_this_very_attempt_is_gone_on_with() {
    let claim = guarded_by("me", NOW.plus(seconds(60)), waiting_claim());
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot().with_claim(claim));
    run.until("describe");
    assert_eq!(run.trace, ["read claim+group"]);
}

#[test]
fn answers_of_an_earlier_guard_are_forgotten_with_it() {
    let mut world = termination_in(LeaveMode::Detach)
        .with_claim(Claim { policy: Some(policy_leaving(LeaveMode::Detach)), ..leaving_claim() });
    world.store.records.insert(Key::Slot(slot_id(0)), Record::Slot(releasing_slot()));
    let mut run = Run::of_loop(termination(), world);
    run.until("DetachVolume").step();
    run.until("DetachVolume").step();
    // It said "not attached". Now another's guard comes between, and goes.
    let stolen = run.world.claim_mut(1);
    stolen.version += 5;
    stolen.guard = None;
    // The release that it was decided on conflicts with what was written.
    run.until("commit release").step();
    let before = run.trace.len();
    run.ended();
    let after = run.since(before).join(", ");
    let (again, release) = (after.find("DetachVolume"), after.find("commit release"));
    assert!(again.is_some() && again < release, "{after}");
}

// Changes in between.

/// The write that joins the queue is the second read of the claim: what was decided on another version does not happen.
#[test]
fn a_claim_written_before_it_joins_the_queue_means_to_observe_again() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("commit enqueue").world.claim_mut(1).version += 1;
    let before = run.trace.len();
    run.step();
    run.until("commit");
    assert_eq!(
        run.since(before),
        ["commit enqueue", "read claim+group", "describe with hooks and group"]
    );
}

#[test]
fn a_claim_written_in_between_means_to_observe_again() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("read claim+group+pool+slot").world.claim_mut(1).version += 1;
    let before = run.trace.len();
    run.until("CompleteLifecycleAction");
    assert_eq!(
        run.since(before),
        [
            "read claim+group+pool+slot",
            "read claim+group",
            "read pool+slot",
            "describe",
            "read claim+group+pool+slot"
        ]
    );
}

#[test]
fn a_slot_written_in_between_means_to_observe_again() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("read claim+group+pool+slot");
    let other = Slot { version: 99, ..run.world.slot(0).clone() };
    run.world.store.records.insert(Key::Slot(slot_id(0)), Record::Slot(other));
    let before = run.trace.len();
    run.until("CompleteLifecycleAction");
    assert_eq!(
        run.since(before),
        [
            "read claim+group+pool+slot",
            "read claim+group",
            "read pool+slot",
            "describe",
            "read claim+group+pool+slot"
        ]
    );
}

/// The flaw of protocol.md: x1 describes `available`; x0 attaches and begins the release; x1 must not release on what
/// it saw before.
#[test]
fn a_describe_older_than_the_release_is_no_evidence_for_it() {
    let world = World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with_volume(available(1))
        .with(Record::Slot(leased_slot()))
        .with_claim(leased_claim());
    let mut run = Run::of_loop(launch(), world);
    run.until("describe").step();
    // What it has just been shown, `available`, is over.
    run.world.volumes.insert(volume(1), on(1, 1, AttachmentState::Attached));
    run.world.runs_as(1, InstanceState::Terminated);
    run.world
        .store
        .records
        .insert(Key::Slot(slot_id(0)), Record::Slot(Slot { version: 6, ..releasing_slot() }));
    let guard = run.world.claim(1).guard.clone();
    let theirs = Claim { version: 20, guard, ..leaving_claim() };
    run.world.store.records.insert(Key::Claim(instance(1)), Record::Claim(theirs));
    run.ended();
    assert_eq!(run.only(&["commit release", "AttachVolume"]), [""; 0]);
    assert_eq!(run.world.slot(0).state, SlotState::Releasing { holder: instance(1) });
}

#[test]
fn a_lost_race_means_to_start_over_and_take_another_slot() {
    let world = launch_with_a_free_slot()
        .with_volume(available(2))
        .with(Record::Slot(free_slot(1)))
        .with(Record::Free(FreeMark { slot: free_slot(1) }));
    let mut run = Run::of_loop(launch(), world);
    run.until("commit lease");
    let Request::Commit(wanted) = run.request.alone() else { panic!() };
    let lost = situation::written_slot(wanted).id.clone();
    let theirs = Slot { version: 6, ..leased_slot() };
    let theirs =
        Slot { id: lost.clone(), state: SlotState::Leased { holder: instance(2) }, ..theirs };
    let mark = Key::Free(place(), free_slot(0).released_at, lost.index);
    run.world.store.records.remove(&mark);
    run.world.store.records.insert(Key::Slot(lost.clone()), Record::Slot(theirs));
    let before = run.trace.len();
    run.until("AttachVolume");
    assert_eq!(
        run.since(before)[..5],
        [
            "commit lease",
            "read claim+group",
            "describe",
            "read claim+group+pool+waiting+free+coming",
            "commit lease"
        ]
    );
    assert_ne!(run.world.claim(1).slot(), Some(&lost));
}

#[test]
fn after_the_waiting_mark_is_written_the_world_is_observed_again_before_it_rests() {
    let world = World::new().with_instance(1, LifecycleState::PendingWait);
    let mut run = Run::of_loop(launch(), world);
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(
        run.trace[3..],
        [
            "commit enqueue",
            "read claim+group+pool+waiting+free+coming",
            "look at the pool",
            "read claim+group+pool+waiting+free+coming",
            "look for available volumes",
            "read claim+group+pool+waiting+free+coming",
            "read held",
            "read claim+group+pool+waiting+free+coming",
            "look at the group",
            "read claim+group+pool+waiting+free+coming",
            "RecordLifecycleActionHeartbeat 1",
            "commit rest",
        ]
    );
}

// Poked.

#[test]
fn a_poked_guard_looks_again_before_it_rests() {
    let mut run =
        Run::of_loop(launch(), World::new().with_instance(1, LifecycleState::PendingWait));
    run.until("commit rest");
    run.world.store.poked.insert(instance(1));
    run.world.store.records.extend(launch_with_a_free_slot().store.records);
    run.world.volumes.insert(volume(1), available(1));
    let before = run.trace.len();
    assert_eq!(run.ended().ending, Ending::Settled);
    assert_eq!(
        run.since(before)[..6],
        [
            "commit rest",
            "take poke",
            "read claim+group",
            "describe",
            "read claim+group+pool+waiting+free+coming",
            "commit lease"
        ]
    );
    assert_eq!(run.world.claim(1).guard, None);
}

#[test]
fn a_poke_after_the_answer_does_not_answer_twice() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("commit rest");
    run.world.store.poked.insert(instance(1));
    assert_eq!(run.ended().ending, Ending::Settled);
    assert_eq!(run.world.answered.len(), 1);
    assert_eq!(run.world.claim(1).answered, Some(ActionResult::Continue));
}

/// The time is up, the claim is not as this invocation knows it, and everything it writes conflicts. It must end all
/// the same, and not by the function's hard timeout.
#[test]
fn a_rest_that_only_conflicts_ends_when_the_time_is_up() {
    let mut run =
        Run::of_loop(launch(), World::new().with_instance(1, LifecycleState::PendingWait));
    run.until("commit rest").world.now = NOW.plus(seconds(53));
    run.world.claim_mut(1).version += 1;
    for _ in 0..100 {
        if matches!(run.request, Request::Finish(_)) {
            return;
        }
        run.step();
    }
    panic!("no end: {:?}", &run.trace[run.trace.len() - 8..]);
}

/// The same by an everyday way: the last reply before the time is up gets lost, but the write took effect.
#[test]
fn a_lost_reply_when_the_time_is_up_still_ends() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("commit lease").world.now = NOW.plus(seconds(53));
    let request = run.request.clone();
    run.world.answer(&request);
    run.fail();
    for _ in 0..100 {
        if matches!(run.request, Request::Finish(_)) {
            return;
        }
        run.step();
    }
    panic!("no end: {:?}", &run.trace[run.trace.len() - 8..]);
}

// Failures.

#[test]
fn a_call_without_an_answer_is_followed_by_a_pause_and_a_new_observation() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("AttachVolume").fail();
    let before = run.trace.len();
    run.until("AttachVolume");
    assert_eq!(run.since(before)[..2], ["pause", "read claim+group"]);
    assert_eq!(run.ended().ending, Ending::Settled);
}

#[test]
fn a_call_that_keeps_failing_gives_the_guard_up_and_the_failure_back() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("describe");
    while !matches!(run.request, Request::Finish(_)) {
        if run.now_asks() == "describe" { run.fail() } else { run.step() }
    }
    assert_eq!(run.ended().ending, Ending::Failed(transient()));
    assert_eq!(run.trace.last().unwrap(), "commit rest");
    let claim = run.world.claim(1);
    assert_eq!((&claim.guard, claim.open), (&None, true));
    assert!(run.only(&["describe"]).len() > 3, "{:?}", run.trace);
}

/// What is counted in a group's record is decided on that record, and that is not read with every look at EC2.
#[test]
fn a_launch_that_is_given_up_after_a_failed_look_is_counted_in_its_groups_record() {
    let group = Group::new(launch_action().group, policy_leaving(LeaveMode::Stop));
    let key = Key::Group(group.name.clone());
    let world = launch_with_a_free_slot()
        .with_claim(Claim { policy: Some(group.policy.clone()), ..leased_claim() })
        .with(Record::Slot(leased_slot()))
        .with(Record::Group(Group { version: 1, ..group }));
    let mut run = Run::of_loop(subject(None), world);
    for _ in 0..4 {
        run.until("AttachVolume").answer(Response::Answered(Err(Refusal::LimitExceeded)));
    }
    run.until("describe").fail();
    run.ended();
    let Record::Group(group) = &run.world.store.records[&key] else { panic!("{:?}", run.trace) };
    assert_eq!((group.version, group.abandons[&place().zone]), (2, 1));
    assert_eq!(run.only(&["commit begin release"]).len(), 1, "{:?}", run.trace);
}

#[test]
fn a_denied_call_is_not_tried_again() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    let denied = PortError::Denied { call: "ec2:AttachVolume", problem: "no".to_owned() };
    run.until("AttachVolume").answer(Response::Failed(denied.clone()));
    assert_eq!(run.ended().ending, Ending::Failed(denied));
    assert_eq!(
        run.trace[run.trace.len() - 4..],
        ["AttachVolume 1", "read claim+group", "RecordLifecycleActionHeartbeat 1", "commit rest"]
    );
    assert_eq!(run.world.claim(1).guard, None);
}

#[test]
fn a_failed_heartbeat_does_not_keep_the_guard() {
    let mut run =
        Run::of_loop(launch(), World::new().with_instance(1, LifecycleState::PendingWait));
    run.until("RecordLifecycleActionHeartbeat").fail();
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(run.world.claim(1).guard, None);
}

#[test]
fn while_nothing_can_be_observed_a_termination_is_kept_alive_and_not_the_launch_before_it() {
    let world =
        World::new().with_instance(1, LifecycleState::TerminatingWait).with_claim(waiting_claim());
    let mut run = Run::of_loop(termination(), world);
    let denied = PortError::Denied { call: "ec2:DescribeInstances", problem: "no".to_owned() };
    run.until("describe").answer(Response::Failed(denied));
    run.until("RecordLifecycleActionHeartbeat");
    let kept_alive = Effect::Heartbeat(terminate_action());
    assert_eq!(run.request, Request::Effect(instance(1), kept_alive));
}

/// A reply may get lost after the call took effect, at every call.
#[test]
fn whichever_reply_gets_lost_the_launch_ends_the_same() {
    let mut whole = Run::of_invocation("me", launch(), launch_with_a_free_slot());
    whole.ended();
    for lost in 0..whole.trace.len() {
        for took_effect in [false, true] {
            let mut run = Run::of_invocation("me", launch(), launch_with_a_free_slot());
            while run.trace.len() < lost {
                run.step();
            }
            if took_effect {
                let request = run.request.clone();
                run.world.answer(&request);
            }
            run.fail();
            run.ended();
            let context = format!("lost {lost}, took effect: {took_effect}: {:?}", run.trace);
            assert_eq!(run.world.answered.len(), 1, "{context}");
            assert_eq!(run.world.slot(0).holder(), Some(&instance(1)), "{context}");
            assert_eq!(run.world.slot(0).epoch, 3, "{context}");
            assert_eq!(
                run.only(&["AttachVolume"]).len(),
                1 + usize::from(whole.trace[lost] == "AttachVolume 1" && !took_effect),
                "{context}"
            );
        }
    }
}

/// The function may be killed at every call; reconcile comes back once the guard has ended.
#[test]
fn wherever_it_is_killed_the_next_run_ends_the_same() {
    for (subject_of, world_of, action) in [
        (launch as fn() -> Subject, launch_with_a_free_slot as fn() -> World, launch_action()),
        (termination, || termination_in(LeaveMode::Detach), terminate_action()),
    ] {
        let mut whole = Run::of_invocation("me", subject_of(), world_of());
        whole.ended();
        for killed in 0..whole.trace.len() {
            let mut run = Run::of_invocation("me", subject_of(), world_of());
            while run.trace.len() <= killed {
                run.step();
            }
            let mut world = run.world;
            world.now = NOW.plus(seconds(120));
            let mut again = Run::of_invocation("again", subject_of(), world);
            again.ended();
            let context = format!("killed after {killed}: {:?}", again.trace);
            assert_eq!(
                again.world.answered,
                [(instance(1), action.clone(), ActionResult::Continue)],
                "{context}"
            );
            assert_eq!(again.world.slot(0).state, whole.world.slot(0).state, "{context}");
            assert_eq!(again.world.slot(0).epoch, whole.world.slot(0).epoch, "{context}");
            assert_eq!(again.world.claim(1).phase, whole.world.claim(1).phase, "{context}");
            assert_eq!(
                again.world.volumes[&volume(1)].state,
                whole.world.volumes[&volume(1)].state,
                "{context}"
            );
            assert_eq!(again.world.claim(1).guard, None, "{context}");
        }
    }
}

#[test]
fn a_duplicate_event_after_the_fact_changes_nothing() {
    let mut first = Run::of_invocation("me", launch(), launch_with_a_free_slot());
    first.ended();
    let slot = first.world.slot(0).clone();
    let mut again = Run::of_invocation("again", launch(), first.world);
    assert_eq!(again.ended().ending, Ending::Settled);
    assert_eq!(again.only(&MUTATIONS), [""; 0]);
    assert_eq!(*again.world.slot(0), slot);
    assert_eq!(again.world.claim(1).answered, Some(ActionResult::Continue));
}

// Time.

#[test]
fn out_of_time_it_begins_nothing_new_and_rests_with_work_left() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("read claim+group+pool+slot").world.now = NOW.plus(seconds(52));
    let before = run.trace.len();
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(
        run.since(before),
        ["read claim+group+pool+slot", "RecordLifecycleActionHeartbeat 1", "commit rest"]
    );
    let claim = run.world.claim(1);
    assert_eq!((&claim.guard, claim.open), (&None, true));
}

#[test]
fn a_volume_that_never_comes_is_polled_with_growing_pauses_and_then_left() {
    let mut world =
        launch_with_a_free_slot().with_claim(leased_claim()).with(Record::Slot(leased_slot()));
    world.volumes.insert(volume(1), on(1, 1, AttachmentState::Attaching));
    let mut run = Run::of_loop(launch(), world);
    let mut pauses = Vec::new();
    while !matches!(run.request, Request::Finish(_)) {
        if let Request::Pause(pause) = run.request {
            pauses.push(pause);
        }
        run.step();
    }
    assert_eq!(pauses.len(), 26);
    // EC2 takes 1 to 4 s for most: those are looked for often.
    assert!(pauses[..20].iter().all(|pause| *pause == pauses[0]), "{pauses:?}");
    assert!(pauses[19..].is_sorted() && pauses[19] < pauses[25], "{pauses:?}");
    assert_eq!(run.only(&["RecordLifecycleActionHeartbeat", "commit rest"]).len(), 2);
}

// What EC2 refuses, or shows late.

fn calls_without_a_pause_between(run: &Run, call: &str) -> bool {
    let words = run.only(&[call, "pause"]);
    words.windows(2).any(|pair| pair.iter().all(|word| word.starts_with(call)))
}

/// `DescribeVolumes` may lag behind `ModifyInstanceAttribute`.
#[test]
fn a_volume_set_to_stay_is_polled_and_not_set_again_while_the_describe_lags() {
    let mut world =
        launch_with_a_free_slot().with_claim(leased_claim()).with(Record::Slot(leased_slot()));
    let mut lagging = on(1, 1, AttachmentState::Attached);
    lagging.attachments[0].delete_on_termination = DeleteOnTermination::Delete;
    world.volumes.insert(volume(1), lagging);
    let mut run = Run::of_loop(launch(), world);
    run.until("ModifyInstanceAttribute").answer(Response::Answered(Ok(())));
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(run.only(&["Modify", "Complete"]), ["ModifyInstanceAttribute 1"]);
    assert!(!run.only(&["pause"]).is_empty());
}

#[test]
fn a_refused_detachment_is_not_sent_again_without_a_pause() {
    let mut run = Run::of_loop(termination(), termination_in(LeaveMode::Detach));
    for _ in 0..3 {
        let refusal = Refusal::IncorrectState("not now".to_owned());
        run.until("DetachVolume").answer(Response::Answered(Err(refusal)));
    }
    assert!(!calls_without_a_pause_between(&run, "DetachVolume"), "{:?}", run.trace);
}

fn with_tags_refused_on(prefix: &str) -> Run {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    while !matches!(run.request, Request::Finish(_)) {
        match &run.request {
            Request::Effect(_, Effect::Tag(resource, _)) if resource.starts_with(prefix) => {
                let refusal = Refusal::Other("TagLimitExceeded".to_owned());
                run.answer(Response::Answered(Err(refusal)));
            }
            _ => run.step(),
        }
    }
    run
}

#[test]
fn tags_that_a_volume_refuses_do_not_hold_up_the_launch() {
    let run = with_tags_refused_on("vol-");
    assert_eq!(run.world.answered.len(), 1, "{:?}", run.trace);
}

/// An instance finds its volumes by its tags.
#[test]
fn tags_that_the_instance_refuses_are_tried_three_times_and_then_hold_the_launch() {
    let run = with_tags_refused_on("i-");
    assert_eq!(run.world.answered, []);
    assert_eq!(run.only(&["CreateTags"]).len(), 1 + 3, "{:?}", run.trace);
    assert_eq!(run.only(&["Record"]).len(), 1);
    assert!(run.world.claim(1).open);
}

#[test]
fn a_detachment_that_ec2_accepts_after_it_said_not_attached_takes_that_word_back() {
    let mut run =
        Run::of_loop(termination(), termination_in(LeaveMode::Detach).with_volume(available(1)));
    run.until("DetachVolume");
    let Request::Along(asked, it, volumes) = run.request.clone() else { panic!() };
    let not_attached = run.world.answer(&asked);
    // "Not attached", it said; an attachment that lands late now shows, and its detachment is accepted.
    run.world.volumes.insert(volume(1), on(1, 1, AttachmentState::Attached));
    let Response::Described(shown) = run.world.answer(&Request::Describe(it, volumes)) else {
        panic!()
    };
    run.answer(Response::Along(Box::new(not_attached), Some(shown)));
    run.until("DetachVolume").answer(Response::Answered(Ok(())));
    // A stale describe is all that says "available" from here on.
    run.world.volumes.insert(volume(1), available(1));
    let before = run.trace.len();
    run.until("commit release");
    assert!(
        run.since(before).iter().any(|word| word.starts_with("DetachVolume")),
        "{:?}",
        run.since(before)
    );
}

/// Nothing has been heard of it for hours, so its claim is at rest; the look that finds it gone must not forget that.
#[test]
fn a_forgotten_instance_at_rest_lets_go_of_its_slot() {
    let mut world = World::new()
        .with_volume(available(1))
        .with(Record::Slot(leased_slot()))
        .with_claim(Claim { open: false, since: hours_ago(3), ..leased_claim() });
    for minutes in [0, 11] {
        world.now = NOW.plus(seconds(minutes * 60));
        let name = format!("run-{minutes}");
        let mut run = Run::of_invocation(&name, subject(None), world);
        run.ended();
        world = run.world;
    }
    assert_eq!(world.slot(0).state, SlotState::Free);
}

// Serving.

/// Instance 2 waits in the same zone, with its launch hook.
fn with_a_waiter(world: World) -> World {
    world.with_instance(2, LifecycleState::PendingWait).with_claim(Claim {
        instance: instance(2),
        phase: Phase::Waiting { place: place(), since: seconds_ago(30) },
        since: seconds_ago(30),
        ..claim()
    })
}

#[test]
fn a_released_slot_goes_to_the_waiter_before_the_leaver_is_answered() {
    let world = with_a_waiter(termination_in(LeaveMode::Detach));
    let mut run = Run::of_invocation("me", termination(), world);
    run.ended();
    assert_eq!(
        run.only(&[
            "commit begin",
            "commit release",
            "commit lease",
            "Detach",
            "Attach",
            "Complete"
        ]),
        [
            "commit begin release",
            "DetachVolume 1",
            "DetachVolume 1",
            "commit release",
            "commit lease",
            "AttachVolume 2",
            "CompleteLifecycleAction 2",
            "CompleteLifecycleAction 1",
        ]
    );
    assert_eq!(run.world.slot(0).holder(), Some(&instance(2)));
    assert_eq!(run.world.slot(0).epoch, 4);
}

#[test]
fn the_waiters_are_looked_for_after_the_release_is_written() {
    let mut run = Run::of_invocation("me", termination(), termination_in(LeaveMode::Detach));
    run.until("commit release").step();
    assert_eq!(run.now_asks(), "read waiting+free");
}

#[test]
fn the_oldest_waiter_is_looked_at_first() {
    let world = with_a_waiter(termination_in(LeaveMode::Detach));
    let since = seconds_ago(31);
    let world = world.with_instance(3, LifecycleState::PendingWait).with_claim(Claim {
        instance: instance(3),
        phase: Phase::Waiting { place: place(), since },
        since,
        ..claim()
    });
    let mut run = Run::of_invocation("me", termination(), world);
    run.until("read waiting+free").step();
    let expected = Request::Read { keys: vec![Key::Claim(instance(3))], lists: Vec::new() };
    assert_eq!(run.request, expected);
}

#[test]
fn with_no_slot_free_a_pass_bothers_no_waiter() {
    let world = World::new().with_instance(1, LifecycleState::TerminatingWait);
    let world = with_a_waiter(world.with_claim(waiting_claim()));
    let mut run = Run::of_invocation("me", termination(), world);
    run.ended();
    assert_eq!(
        run.only(&["commit close", "read waiting+free"]),
        ["commit close", "read waiting+free"]
    );
    assert_eq!(run.world.claim(2).version, claim().version, "{:?}", run.trace);
}

#[test]
fn a_pass_starts_again_after_each_change_and_ends_with_a_walk_that_changes_nothing() {
    let mut world = with_a_waiter(termination_in(LeaveMode::Detach));
    // The oldest waiter is gone; the second gets the slot; a third gets none.
    world.runs_as(2, InstanceState::Terminated);
    for number in [3, 4] {
        let since = seconds_ago(30 - u64::from(number));
        world = world.with_instance(number, LifecycleState::PendingWait).with_claim(Claim {
            instance: instance(number),
            phase: Phase::Waiting { place: place(), since },
            since,
            ..claim()
        });
    }
    let mut run = Run::of_invocation("me", termination(), world);
    run.ended();
    assert_eq!(
        run.only(&["commit close", "commit lease", "read waiting+free"]),
        [
            "read waiting+free",
            "commit close",
            "read waiting+free",
            "commit lease",
            "read waiting+free"
        ]
    );
    assert_eq!(run.world.slot(0).holder(), Some(&instance(3)));
    assert!(matches!(run.world.claim(4).phase, Phase::Waiting { .. }));
}

#[test]
fn a_launch_serves_the_earlier_waiter_before_itself() {
    let world = with_a_waiter(launch_with_a_free_slot());
    let mut launch = launch();
    launch.event.as_mut().unwrap().metadata =
        Some(r#"{"pool":"cassandra","whenEmpty":"wait"}"#.to_owned());
    let mut run = Run::of_invocation("me", launch, world);
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(run.world.slot(0).holder(), Some(&instance(2)), "{:?}", run.trace);
    assert!(matches!(run.world.claim(1).phase, Phase::Waiting { .. }));
    assert_eq!(run.world.answered.len(), 1);
}

#[test]
fn a_waiter_that_someone_else_works_on_is_poked_and_passed_over() {
    let mut world = with_a_waiter(termination_in(LeaveMode::Detach));
    let guard = Guard { invocation: "other".parse().unwrap(), until: NOW.plus(seconds(900)) };
    world.claim_mut(2).guard = Some(guard);
    let mut run = Run::of_invocation("me", termination(), world);
    run.ended();
    assert_eq!(run.world.slot(0).state, SlotState::Free);
    assert!(run.world.store.poked.contains(&instance(2)));
    assert_eq!(run.only(&["Complete"]), ["CompleteLifecycleAction 1"]);
}

#[test]
fn the_slots_that_a_waiting_launch_adopts_are_offered_to_the_others_after_it() {
    let world = World::new()
        .with_instance(1, LifecycleState::PendingWait)
        .with_volume(available(1))
        .with_volume(available(2));
    let world = with_a_waiter(world);
    let mut run = Run::of_invocation("me", launch(), world);
    run.ended();
    assert_eq!(run.only(&["commit adopt"]).len(), 1);
    assert_eq!(run.only(&["Complete"]).len(), 2, "{:?}", run.trace);
    assert_ne!(run.world.slot(0).holder(), run.world.slot(1).holder());
}

#[test]
fn a_pass_begins_no_waiter_when_the_time_is_up() {
    let world = with_a_waiter(termination_in(LeaveMode::Detach));
    let mut run = Run::of_invocation("me", termination(), world);
    run.until("read waiting+free").world.now = NOW.plus(seconds(52));
    run.ended();
    assert_eq!(run.world.claim(2).version, claim().version, "{:?}", run.trace);
    assert_eq!(run.world.claim(1).guard, None);
}

// Stopping.

#[test]
fn mode_stop_looks_at_the_hooks_stops_and_rests_with_a_heartbeat_until_stopped() {
    let mut run = Run::of_invocation("me", termination(), termination_in(LeaveMode::Stop));
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(
        run.only(&["commit", "look", "Stop", "Detach", "Record", "Complete"]),
        [
            "commit guard",
            "commit begin release",
            "look at hooks",
            "StopInstances 1",
            "RecordLifecycleActionHeartbeat 1",
            "commit rest",
        ]
    );
    let mut world = run.world;
    world.runs_as(1, InstanceState::Stopped);
    let stopped = Subject { hint: Some(InstanceState::Stopped), ..subject(None) };
    let mut run = Run::of_invocation("next", stopped, world);
    assert_eq!(run.ended().ending, Ending::Settled);
    assert_eq!(
        run.only(&["commit", "Stop", "Detach", "Complete"]),
        [
            "commit guard",
            "DetachVolume 1",
            "DetachVolume 1",
            "commit release",
            "CompleteLifecycleAction 1",
            "commit rest",
        ]
    );
    assert_eq!(run.world.answered[0].1.transition, Transition::Terminating);
}

#[test]
fn the_time_of_a_release_is_noted_on_its_volumes_before_the_answer() {
    let mut run = Run::of_invocation("me", termination(), termination_in(LeaveMode::Detach));
    run.ended();
    assert_eq!(
        run.only(&["commit release", "CreateTags", "Complete"]),
        ["commit release", "CreateTags 1", "CompleteLifecycleAction 1"]
    );
    let noted = &run.world.volumes[&volume(1)].tags[volume_pool::observation::tags::RELEASED_AT];
    assert_eq!(Some(noted.parse().unwrap()), run.world.slot(0).released_at);
}

#[test]
fn other_peoples_terminate_hook_is_not_pulled_the_rug_from() {
    let mut world = termination_in(LeaveMode::Stop);
    world.hooks.push(hook("drain", Transition::Terminating, None));
    let mut run = Run::of_invocation("me", termination(), world);
    assert_eq!(run.ended().ending, Ending::WorkLeft);
    assert_eq!(run.only(&MUTATIONS), ["CompleteLifecycleAction 1"]);
    assert!(run.world.claim(1).open);
}

// The end.

#[test]
fn after_the_end_an_invocation_asks_for_nothing_more() {
    let mut run = Run::of_invocation("me", launch(), launch_with_a_free_slot());
    let outcome = run.ended();
    for response in
        [Response::Done, Response::Committed(Commit::Conflict), Response::Poked(Poke::Left)]
    {
        run.answer(response);
        assert_eq!(run.request, Request::Finish(outcome.clone()));
    }
}

#[test]
fn an_answer_to_another_question_makes_it_look_again() {
    let mut run = Run::of_loop(launch(), launch_with_a_free_slot());
    run.until("AttachVolume").answer(Response::Done);
    assert_eq!(run.now_asks(), "read claim+group");
    assert_eq!(run.ended().ending, Ending::Settled);
}
