//! What is decided while the records can't be gone by: nothing, and whatever waits is kept alive.

use crate::situation;
use crate::situation::{
    NOW, Situation, available, hours_ago, instance, launch_action, lease_tag, leased_slot,
    leased_volume, members, on, our_hooks, place, policy_leaving, slot_id, tagged,
    terminate_action, volume,
};
use volume_pool::decide::{Alarm, Look, Reason, Step, decide};
use volume_pool::drift::{Verdict, judge};
use volume_pool::event::ActionResult;
use volume_pool::lease_tag::LeaseTag;
use volume_pool::observation::{AttachmentState, InstanceState, LifecycleState, Volume, tags};
use volume_pool::policy::{LeaveMode, WhenEmpty};
use volume_pool::record::{Claim, Phase, Pool, Slot};
use volume_pool::sweep::Found;
use volume_pool::zone::Candidates;

/// A volume whose tag names this lease, of instance `holder`, under this epoch.
fn leased_as(mut shown: Volume, holder: u32, epoch: u64) -> Volume {
    let lease = LeaseTag {
        epoch,
        holder: instance(holder),
        volume: shown.id.clone(),
        of: 1,
        since: hours_ago(1),
    };
    shown.tags.insert(tags::SLOT.to_owned(), "cassandra-0".to_owned());
    shown.tags.insert(tags::LEASE.to_owned(), lease.to_string());
    shown
}

fn outdated(number: u32) -> [Alarm; 1] {
    [Alarm::RecordsOutdated { slot: slot_id(0), volume: volume(number) }]
}

#[test]
fn whatever_an_instance_is_at_while_its_pool_is_rebuilt_it_is_held_with_an_alarm() {
    let phases = [
        (Situation::leased(), launch_action()),
        (Situation::attached(), launch_action()),
        (Situation::waiting(), launch_action()),
        (Situation::terminating(), terminate_action()),
        (Situation::leaving(LeaveMode::Detach), terminate_action()),
    ];
    for (mut situation, action) in phases {
        situation.seen.rebuilding = Some(place().pool);
        situation.rests(Some(action), &Reason::HeldForRebuilding { pool: place().pool });
        assert_eq!(situation.alarms(), [Alarm::Rebuilding { pool: place().pool }]);
    }
    let mut gone = Situation::leaving(LeaveMode::Stop);
    gone.seen.rebuilding = Some(place().pool);
    gone.runs_as(InstanceState::Terminated);
    gone.seen.described.group_instance = None;
    gone.rests(None, &Reason::HeldForRebuilding { pool: place().pool });
}

#[test]
fn an_action_that_is_held_and_not_known_yet_is_looked_for_so_that_it_is_kept_alive() {
    let mut situation = Situation::terminating();
    situation.seen.rebuilding = Some(place().pool);
    situation.subject.event = None;
    situation.claim().action = None;
    let decided = situation.decided();
    assert!(matches!(decided.step, Step::Look(Look::Hooks(_))), "{decided:?}");
    situation.seen.hooks = Some(our_hooks());
    let Step::Rest { heartbeat: Some(action), .. } = situation.decided().step else {
        panic!("{:?}", situation.decided());
    };
    assert_eq!(action.hook, terminate_action().hook);
}

#[test]
fn a_volume_that_was_leased_since_its_slots_record_was_written_holds_whoever_the_record_names() {
    for (holder, epoch, held) in [(1, 3, false), (2, 2, false), (2, 3, true), (1, 4, true)] {
        let mut launch = Situation::leased();
        launch.show(leased_as(available(1), holder, epoch));
        let mut leaving = Situation::leaving(LeaveMode::Detach);
        leaving.show(leased_as(on(1, 1, AttachmentState::Attached), holder, epoch));
        for (situation, action) in [(launch, launch_action()), (leaving, terminate_action())] {
            if held {
                situation.rests(Some(action), &Reason::HeldForRecords);
                assert_eq!(situation.alarms(), outdated(1));
            } else {
                assert_ne!(situation.decided().reason, Reason::HeldForRecords);
            }
        }
    }
}

/// Instead of taking a volume for a stranger's that is somebody's by a later lease.
#[test]
fn a_later_holder_is_no_reason_to_set_the_slot_apart() {
    let mut situation = Situation::leased();
    situation.show(leased_as(on(1, 77, AttachmentState::Attached), 77, 9));
    situation.rests(Some(launch_action()), &Reason::HeldForRecords);
    let free = Slot { epoch: 2, ..situation::free_slot(0) };
    let shown = leased_as(on(1, 77, AttachmentState::Attached), 77, 9);
    let verdict = judge(&free, &[(shown.id.clone(), shown)].into(), NOW);
    assert_eq!(verdict, Verdict::Outdated(volume(1)));
}

#[test]
fn tags_that_were_copied_from_another_volume_prove_nothing() {
    let mut situation = Situation::leased();
    let mut copy = available(1);
    let original = leased_as(available(2), 77, 9);
    copy.tags.extend(original.tags);
    situation.show(copy);
    assert_ne!(situation.decided().reason, Reason::HeldForRecords);
}

/// A waiter whose pool has no record and who has looked at everything; the policy would create.
fn waiting(pool: Vec<Volume>) -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.policy_mut().when_empty = WhenEmpty::Create;
    let available = pool.iter().filter(|it| it.is_available()).cloned().collect();
    situation.seen.candidates = Some(Candidates::new(available));
    situation.seen.pool = Some(pool);
    situation.seen.members = Some(members());
    situation
}

#[test]
fn with_the_pools_record_lost_nothing_is_adopted_and_nothing_created() {
    let known = [
        leased_as(available(5), 77, 2),
        leased_as(on(5, 77, AttachmentState::Attached), 77, 2),
        on(5, 77, AttachmentState::Attached),
    ];
    for volume in known {
        let situation = waiting(vec![available(9), volume.clone()]);
        situation.rests(Some(launch_action()), &Reason::HeldForRecords);
        let alarm = Alarm::PoolUnknown { pool: place().pool, volume: volume.id };
        assert_eq!(situation.alarms(), [alarm]);
    }
    // A person names slots by tags before anything is on record.
    let named = tagged(5, &[(tags::SLOT, "cassandra-4"), (tags::VOLUME, "data")]);
    waiting(vec![named]).gives_transaction("adopt", &Reason::Adopt { count: 1 });
}

#[test]
fn with_a_pools_record_older_than_its_volumes_nothing_is_adopted_and_nothing_created() {
    let next = |next_index| Some(Pool { next_index, ..Pool::new(place().pool) });
    // In use under a name that the record has not given out yet.
    let mut situation = waiting(vec![leased_as(on(5, 77, AttachmentState::Attached), 77, 1)]);
    situation.zone().pool = next(0);
    situation.rests(Some(launch_action()), &Reason::HeldForRecords);
    assert_eq!(situation.alarms(), outdated(5));
    situation.zone().pool = next(1);
    assert_ne!(situation.decided().reason, Reason::HeldForRecords);
    // Idle, leased once, and no record knows it.
    let mut situation = waiting(vec![leased_as(available(5), 77, 1)]);
    situation.zone().pool = next(1);
    situation.rests(Some(launch_action()), &Reason::HeldForRecords);
    situation.seen.candidates.as_mut().unwrap().owned.insert(volume(5));
    assert_ne!(situation.decided().reason, Reason::HeldForRecords);
}

/// It terminates, has the tags of its slot, and no claim, or one that knows of no slot.
#[test]
fn an_instance_that_still_has_what_no_record_knows_is_not_let_go() {
    let forgot = Claim { phase: Phase::Closed, last_slot: None, ..situation::claim() };
    for claim in [None, Some(forgot.clone())] {
        let mut situation = Situation::terminating();
        (situation.seen.claim, situation.seen.slot) = (claim, None);
        situation.gives(&Step::Look(Look::Pool(place().pool)), &Reason::LookAtPool);
        situation.seen.pool = Some(vec![leased_volume()]);
        situation.rests(Some(terminate_action()), &Reason::HeldForRecords);
        assert_eq!(situation.alarms(), outdated(1));
        for pool in [
            vec![leased_as(available(1), 1, 3)],
            vec![leased_as(on(1, 1, AttachmentState::Attached), 2, 3)],
            Vec::new(),
        ] {
            situation.seen.pool = Some(pool);
            let decided = decide(&situation.subject, &situation.seen, NOW);
            assert_eq!(decided.reason, Reason::HoldsNothing);
        }
    }
    let mut released = Situation::terminating();
    released.seen.claim = Some(Claim { last_slot: Some(slot_id(0)), ..forgot });
    released.seen.slot = None;
    let go_on = volume_pool::decide::Effect::Complete(terminate_action(), ActionResult::Continue);
    released.gives_effect(go_on, &Reason::HoldsNothing);
}

#[test]
fn an_instance_in_service_with_a_volume_that_was_leased_is_not_enrolled_afresh() {
    let mut situation = Situation::attached();
    situation.shown_as(LifecycleState::InService);
    situation.subject.event = None;
    situation.subject.found = Some(Found::NotEnrolled);
    situation.seen.claim = None;
    situation.seen.slot = None;
    for known in [None, Some(Pool::new(place().pool))] {
        situation.seen.pool = Some(vec![leased_volume()]);
        let pool = known.clone();
        situation.seen.candidates =
            Some(Candidates { pool, ..Candidates::new(vec![leased_volume()]) });
        situation.settles(&Reason::HeldForRecords);
        let name = if known.is_some() { "records-outdated" } else { "pool-unknown" };
        assert_eq!(situation.alarms()[0].name(), name);
    }
}

#[test]
fn the_lease_that_a_volume_is_tagged_with_is_that_of_its_slot() {
    let lease: LeaseTag = lease_tag().parse().unwrap();
    assert_eq!((lease.epoch, &lease.holder, lease.of), (3, &instance(1), 1));
    assert!(!lease.outdates(&leased_slot()));
    assert_eq!(LeaseTag::present(&situation::free_slot(0), &volume(1)), None);
    assert_eq!(policy_leaving(LeaveMode::Stop).volumes.len(), lease.of);
}
