//! What is decided for a launch that is given up: how often, on record first, and with what it held let go of.

use crate::situation;
use crate::situation::{
    NOW, Situation, event, group, launch_action, leased_claim, on, place, policy, releasing_slot,
    seconds_ago, slot_id, volume, written_claim, written_slot,
};
use volume_pool::action::GiveUp;
use volume_pool::decide::{Alarm, Effect, Reason, Step};
use volume_pool::event::{Action, ActionResult};
use volume_pool::observation::{AttachmentState, InstanceState, Volume};
use volume_pool::policy::{LeaveMode, OnTimeout, Policy, WhenEmpty};
use volume_pool::ports::Refusal;
use volume_pool::record::{Claim, Group, Phase, Record, SlotState};
use volume_pool::transition::{Expect, Transaction, Write};

const WAIT_OVER: Reason = Reason::GivenUp { why: GiveUp::WaitOver };
const NO_ROOM: Reason = Reason::GivenUp { why: GiveUp::AttachmentLimit };

fn abandon() -> Effect {
    Effect::Complete(launch_action(), ActionResult::Abandon)
}

/// Its wait is over, its policy says to abandon it, and so many launches of its zone were given up before.
fn to_be_abandoned(before: u32) -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.claim().policy = Some(Policy {
        wait_seconds: 5,
        on_timeout: OnTimeout::Abandon,
        when_empty: WhenEmpty::Wait,
        ..policy()
    });
    situation.seen.group = Some(after(before));
    situation
}

/// The group's record after so many launches of the zone were given up in a row.
fn after(abandons: u32) -> Group {
    let mut group = group(policy());
    group.abandons.insert("eu-central-1b".parse().unwrap(), 2);
    if abandons > 0 {
        group.abandons.insert(place().zone, abandons);
    }
    group
}

fn written_group(transaction: &Transaction) -> Option<(&Group, Expect)> {
    transaction.writes.iter().find_map(|write| match write {
        Write::Put(Record::Group(group), expect) => Some((group, *expect)),
        Write::Put(..) | Write::Delete(_) => None,
    })
}

#[test]
fn who_is_given_up_is_counted_in_the_very_transaction() {
    for before in 0..3 {
        let transaction = to_be_abandoned(before).gives_transaction("close", &WAIT_OVER);
        let expected = Group { version: 5, ..after(before + 1) };
        assert_eq!(written_group(&transaction), Some((&expected, Expect::Version(4))));
        assert_eq!(written_claim(&transaction).0.given_up, Some(GiveUp::WaitOver));
    }
}

#[test]
fn a_group_without_a_record_gets_one_to_be_counted_in() {
    let mut situation = to_be_abandoned(0);
    situation.seen.group = None;
    let transaction = situation.gives_transaction("close", &WAIT_OVER);
    let (group, expect) = written_group(&transaction).unwrap();
    assert_eq!((group.version, expect), (1, Expect::Absent));
    assert_eq!(group.abandons, [(place().zone, 1)].into());
}

#[test]
fn after_three_in_a_row_the_next_one_is_held_with_an_alarm() {
    let situation = to_be_abandoned(3);
    situation.rests(Some(launch_action()), &Reason::WaitingNoneFree { zone: place().zone });
    let alarms: Vec<&str> = situation.alarms().iter().map(Alarm::name).collect();
    assert!(alarms.contains(&"abandon-breaker"), "{alarms:?}");
    assert!(alarms.contains(&"wait-timed-out"), "{alarms:?}");
}

#[test]
fn the_one_at_the_hooks_limit_is_given_up_all_the_same_and_not_counted() {
    let mut situation = to_be_abandoned(3);
    situation.claim().action_at = Some(seconds_ago(29_900));
    situation.seen.hooks = Some(situation::our_hooks());
    let limit = Reason::GivenUp { why: GiveUp::HookLimit };
    let transaction = situation.gives_transaction("close", &limit);
    assert_eq!(written_group(&transaction), None);
}

#[test]
fn a_launch_that_succeeds_has_the_count_of_its_zone_begin_anew() {
    let mut situation = Situation::attached();
    let zone = place().zone;
    situation.seen.group = Some(after(2));
    situation.seen.answers.tagged = [volume(1).to_string()].into();
    let transaction =
        situation.gives_transaction("count anew", &Reason::CountAbandonsAnew { zone });
    let expected = Group { version: 5, ..after(0) };
    assert_eq!(written_group(&transaction), Some((&expected, Expect::Version(4))));

    situation.seen.group = Some(after(0));
    let verified = Reason::Verified { slot: slot_id(0) };
    situation.gives_effect(Effect::Complete(launch_action(), ActionResult::Continue), &verified);
}

#[test]
fn what_is_given_up_on_record_is_answered_abandon_and_not_queued_again() {
    let mut situation = Situation::launching();
    situation.seen.claim = Some(situation::claim());
    situation.claim().given_up = Some(GiveUp::WaitOver);
    situation.gives_effect(abandon(), &WAIT_OVER);
    assert_eq!(situation.alarms(), [Alarm::LaunchGivenUp { why: GiveUp::WaitOver }]);
}

#[test]
fn the_answer_is_not_sent_again_while_the_describe_lags_behind_it() {
    let mut situation = Situation::launching();
    situation.seen.claim = Some(situation::claim());
    situation.claim().given_up = Some(GiveUp::WaitOver);
    situation.claim().answered = Some(ActionResult::Abandon);
    situation.subject.event = None;
    situation.seen.hooks = Some(situation::our_hooks());
    situation.settles(&Reason::Answered);
}

#[test]
fn another_launch_of_the_instance_is_not_given_up_with_the_last_one() {
    let mut situation = Situation::launching();
    situation.seen.claim = Some(situation::claim());
    situation.claim().given_up = Some(GiveUp::WaitOver);
    let another = Action { token: Some("launch-2".parse().unwrap()), ..launch_action() };
    situation.subject.event = Some(event(another.clone(), Some(situation::POLICY)));
    let transaction = situation.gives_transaction("enqueue", &Reason::Enqueue);
    let (claim, _) = written_claim(&transaction);
    assert_eq!((&claim.action, claim.given_up), (&Some(another), None));
    assert_eq!(claim.action_at, Some(NOW));
}

// An instance that takes no further volume.

/// It holds slot 0, and EC2 has refused so often to attach its volume for this.
fn refused(tries: u32, refusal: Refusal) -> Situation {
    let mut situation = Situation::leased();
    situation.seen.group = Some(after(0));
    situation.seen.answers.attach_refused.insert(volume(1), (tries, refusal));
    situation
}

#[test]
fn a_slot_that_the_instance_has_no_room_for_is_let_go_of_and_the_launch_given_up() {
    let situation = refused(4, Refusal::LimitExceeded);
    let transaction = situation.gives_transaction("begin release", &NO_ROOM);
    let (claim, _) = written_claim(&transaction);
    assert!(matches!(claim.phase, Phase::Leaving { .. }));
    assert_eq!(claim.given_up, Some(GiveUp::AttachmentLimit));
    assert!(matches!(written_slot(&transaction).state, SlotState::Releasing { .. }));
    assert_eq!(written_group(&transaction).unwrap().0.abandons[&place().zone], 1);
    assert_eq!(situation.alarms().iter().map(Alarm::name).collect::<Vec<_>>(), ["attach-refused"]);
}

#[test]
fn it_is_asked_again_first_and_other_refusals_are_no_reason_to_let_go() {
    refused(3, Refusal::LimitExceeded).gives(&Step::Poll, &Reason::Attaching { volume: volume(1) });
    let other = refused(4, Refusal::Other("no".to_owned()));
    let reason = Reason::AttachRefused { volume: volume(1), problem: "no".to_owned() };
    other.rests(Some(launch_action()), &reason);
}

#[test]
fn after_three_in_a_row_the_slot_is_kept_and_the_launch_held() {
    let mut situation = refused(4, Refusal::LimitExceeded);
    situation.seen.group = Some(after(3));
    let problem = Refusal::LimitExceeded.to_string();
    situation.rests(Some(launch_action()), &Reason::AttachRefused { volume: volume(1), problem });
    assert!(situation.alarms().iter().any(|alarm| alarm.name() == "abandon-breaker"));
}

/// It lets go of slot 0 because it has no room for it; its volume is still attached, or not.
fn letting_go(shown: Volume) -> Situation {
    let mut situation = Situation::leased();
    situation.seen.claim = Some(Claim {
        phase: Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(1) },
        given_up: Some(GiveUp::AttachmentLimit),
        ..leased_claim()
    });
    situation.seen.slot = Some(releasing_slot());
    situation.show(shown);
    situation
}

#[test]
fn what_was_attached_is_taken_off_released_by_evidence_and_then_the_answer_is_given() {
    let mut situation = letting_go(on(1, 1, AttachmentState::Attached));
    let undo = Reason::Undo { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &undo);
    situation.seen.answers.detaching.insert(volume(1));
    situation.gives(&Step::Poll, &Reason::Detaching { volume: volume(1) });

    let mut situation = letting_go(situation::available(1));
    let confirm = Reason::ConfirmDetached { volume: volume(1) };
    situation.gives_effect(Effect::Detach(volume(1)), &confirm);
    situation.seen.answers.not_attached.insert(volume(1));
    let transaction =
        situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
    let (claim, _) = written_claim(&transaction);
    assert_eq!((&claim.phase, claim.given_up), (&Phase::Closed, Some(GiveUp::AttachmentLimit)));

    situation.seen.claim = Some(claim.clone());
    situation.seen.slot = None;
    situation.gives_effect(abandon(), &NO_ROOM);
}

#[test]
fn what_does_not_come_off_in_time_is_left_to_the_termination() {
    let mut situation = letting_go(on(1, 1, AttachmentState::Attached));
    situation.claim().phase =
        Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(300) };
    situation.gives_effect(abandon(), &NO_ROOM);
}

#[test]
fn only_a_launch_that_has_no_room_is_taken_apart_while_it_runs() {
    for why in [GiveUp::WaitOver, GiveUp::HookLimit] {
        for shown in [situation::available(1), on(1, 1, AttachmentState::Attached)] {
            let mut situation = letting_go(shown);
            situation.claim().given_up = Some(why);
            situation.gives_effect(abandon(), &Reason::GivenUp { why });
        }
    }
    let mut terminating = Situation::leaving(LeaveMode::Guest);
    terminating.claim().given_up = Some(GiveUp::AttachmentLimit);
    terminating.runs_as(InstanceState::Running);
    assert!(!matches!(terminating.decided().step, Step::Effect(Effect::Detach(_))));
}
