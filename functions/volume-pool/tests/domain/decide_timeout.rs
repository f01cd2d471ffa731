//! What is decided for a launch that waits for too long, by its policy or by its hook (design.md, 5.6).

use crate::situation;
use crate::situation::{
    NOW, Situation, coming, earlier_waiter, event, free_slot, instance, launch_action, place,
    policy, releasing_slot, seconds_ago, slot_id, written_claim, written_slot,
};
use volume_pool::decide::{Alarm, Effect, Look, Reason, Step};
use volume_pool::event::{Action, ActionResult};
use volume_pool::observation::{LifecycleState, Others};
use volume_pool::policy::{OnTimeout, Policy, WhenEmpty};
use volume_pool::record::{HeldMark, Phase, SlotState};
use volume_pool::{Timestamp, action::GiveUp};

const WAIT_OVER: Reason = Reason::GivenUp { why: GiveUp::WaitOver };
const LIMIT: Reason = Reason::GivenUp { why: GiveUp::HookLimit };

/// In the queue for so long, with nothing free or coming, under a policy that lets it wait for 100 s.
fn waiting_for(seconds: u64, on_timeout: OnTimeout) -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.claim().action_at = Some(seconds_ago(seconds));
    situation.claim().policy =
        Some(Policy { wait_seconds: 100, on_timeout, when_empty: WhenEmpty::Wait, ..policy() });
    situation
}

/// Slot 0, of an instance that nobody knows any more.
fn held_by(number: u32) -> HeldMark {
    HeldMark {
        place: place(),
        slot: slot_id(0),
        holder: instance(number),
        volumes: Vec::new(),
        amiss: false,
    }
}

fn none_free() -> Reason {
    Reason::WaitingNoneFree { zone: place().zone }
}

fn timed_out(situation: &Situation) -> bool {
    situation.alarms().contains(&Alarm::WaitTimedOut { seconds: 100 })
}

fn abandon() -> Effect {
    Effect::Complete(launch_action(), ActionResult::Abandon)
}

#[test]
fn within_its_time_a_launch_waits_without_an_alarm() {
    for on_timeout in [OnTimeout::Hold, OnTimeout::Abandon, OnTimeout::Create] {
        let situation = waiting_for(99, on_timeout);
        situation.rests(Some(launch_action()), &none_free());
        assert!(!timed_out(&situation));
    }
}

/// Another launch than the first in the queue, or the same: what it waits for makes no difference.
#[test]
fn a_holder_that_takes_long_to_let_go_is_named_after_half_the_wait_and_half_an_hour_at_least() {
    let slow = Alarm::HolderSlow { holder: instance(5) };
    for (wait_seconds, minutes) in [(600, 30), (3600, 30), (7200, 60)] {
        for by_mark in [true, false] {
            let mut situation = waiting_for(0, OnTimeout::Hold);
            situation.policy_mut().wait_seconds = wait_seconds;
            if by_mark {
                situation.zone().coming = vec![coming(0, 5)];
            } else {
                situation.seen.held = Some(vec![held_by(5)]);
                situation.seen.others = Some(Others::default());
            }
            for (seconds, named) in [(minutes * 60 - 1, false), (minutes * 60, true)] {
                situation.claim().action_at = Some(seconds_ago(seconds));
                let decided = situation.decided();
                assert!(matches!(decided.step, Step::Rest { .. }), "{:?}", decided.step);
                assert_eq!(decided.alarms.contains(&slow), named, "{seconds} s: {decided:?}");
            }
        }
    }
    let none = waiting_for(7200, OnTimeout::Hold);
    assert!(!none.alarms().iter().any(|alarm| alarm.name() == "holder-slow"));
}

#[test]
fn past_its_time_a_launch_is_held_with_an_alarm() {
    let situation = waiting_for(100, OnTimeout::Hold);
    situation.rests(Some(launch_action()), &none_free());
    assert!(timed_out(&situation));
}

#[test]
fn past_its_time_a_held_launch_still_gets_the_slot_that_comes_free() {
    for on_timeout in [OnTimeout::Hold, OnTimeout::Abandon] {
        let mut situation = waiting_for(1000, on_timeout);
        situation.zone().free = vec![free_slot(0)];
        situation.gives_transaction("lease", &Reason::SlotFree { slot: slot_id(0) });
    }
}

#[test]
fn the_wait_counts_from_when_the_action_was_taken_up_though_its_place_in_the_queue_is_younger() {
    let mut situation = waiting_for(100, OnTimeout::Hold);
    situation.claim().phase = Phase::Waiting { place: place(), since: NOW };
    situation.claim().since = NOW;
    situation.claim().opened_at = NOW;
    assert!(timed_out(&situation));
}

#[test]
fn a_launch_to_be_abandoned_leaves_the_queue_first_and_wakes_the_others() {
    let mut situation = waiting_for(100, OnTimeout::Abandon);
    situation.zone().coming = vec![coming(0, 9)];
    let transaction = situation.gives_transaction("close", &WAIT_OVER);
    let (claim, _) = written_claim(&transaction);
    assert_eq!((&claim.phase, claim.given_up), (&Phase::Closed, Some(GiveUp::WaitOver)));
    assert_eq!(transaction.wakes, Some(place()));
    assert!(timed_out(&situation));
}

#[test]
fn a_launch_whose_wait_is_over_is_abandoned_though_earlier_waiters_are_due_what_is_free() {
    let mut situation = waiting_for(100, OnTimeout::Abandon);
    situation.zone().free = vec![free_slot(0)];
    situation.zone().earlier = vec![earlier_waiter(2)];
    situation.gives(&Step::Serve(place()), &Reason::EarlierWaiters { count: 1 });
    situation.seen.answers.served = true;
    situation.gives_transaction("close", &WAIT_OVER);
}

#[test]
fn an_action_whose_token_becomes_known_has_waited_since_it_was_found_without() {
    let mut claim = situation::claim();
    claim.action = Some(Action { token: None, ..launch_action() });
    claim.take_up(&launch_action(), NOW);
    assert_eq!(claim.action, Some(launch_action()));
    assert_eq!(claim.action_at, Some(seconds_ago(10)));
    claim.answered = Some(ActionResult::Continue);
    claim.take_up(&launch_action(), NOW);
    assert_eq!(claim.action_at, Some(NOW), "answered, so this is another one");
}

/// Under the hook's limit of 30,000 s, of which the last five minutes are the margin.
fn near_the_limit(mut situation: Situation, seconds: u64) -> Situation {
    situation.claim().action_at = Some(seconds_ago(seconds));
    situation.seen.hooks = Some(situation::our_hooks());
    situation
}

#[test]
fn the_hooks_are_looked_at_once_a_limit_can_be_near_at_all() {
    let mut situation = near_the_limit(Situation::waiting_for_none(), 2699);
    situation.seen.hooks = None;
    situation.rests(Some(launch_action()), &none_free());
    situation.claim().action_at = Some(seconds_ago(2700));
    let look = Step::Look(Look::Hooks(launch_action().group));
    situation.gives(&look, &Reason::HookLimitUnknown);
}

#[test]
fn shortly_before_its_hooks_limit_a_waiter_is_given_up_whatever_its_policy_says() {
    for on_timeout in [OnTimeout::Hold, OnTimeout::Create] {
        let mut situation = near_the_limit(Situation::waiting_for_none(), 29_699);
        situation.claim().policy =
            Some(Policy { on_timeout, when_empty: WhenEmpty::Wait, ..policy() });
        situation.rests(Some(launch_action()), &none_free());
        situation.claim().action_at = Some(seconds_ago(29_700));
        let transaction = situation.gives_transaction("close", &LIMIT);
        assert_eq!(written_claim(&transaction).0.given_up, Some(GiveUp::HookLimit));
    }
}

#[test]
fn a_short_hook_has_a_short_margin() {
    let mut situation = near_the_limit(Situation::waiting_for_none(), 2849);
    let hooks = situation.seen.hooks.as_mut().unwrap();
    hooks[0].heartbeat_timeout = situation::seconds(30);
    hooks[0].global_timeout = situation::seconds(3000);
    situation.rests(Some(launch_action()), &none_free());
    situation.claim().action_at = Some(seconds_ago(2850));
    situation.gives_transaction("close", &LIMIT);
}

#[test]
fn a_launch_that_is_held_for_its_policy_is_given_up_at_the_limit_as_well() {
    let mut situation = Situation::launching();
    situation.subject.event = Some(event(launch_action(), Some("pool=cassandra")));
    situation.seen.claim = Some(situation::claim());
    situation.claim().policy = None;
    let mut situation = near_the_limit(situation, 29_699);
    situation.rests(Some(launch_action()), &Reason::HeldForPolicy);
    situation.claim().action_at = Some(seconds_ago(29_700));
    let transaction = situation.gives_transaction("give up", &LIMIT);
    assert_eq!(written_claim(&transaction).0.given_up, Some(GiveUp::HookLimit));
    assert!(situation.alarms().iter().any(|alarm| alarm.name() == "policy-fault"));
}

#[test]
fn a_slot_that_could_not_be_attached_until_the_limit_is_let_go_of_in_order() {
    let mut situation = near_the_limit(Situation::leased(), 29_700);
    situation.runs_as(volume_pool::observation::InstanceState::Pending);
    let transaction = situation.gives_transaction("begin release", &LIMIT);
    let (claim, _) = written_claim(&transaction);
    assert_eq!(claim.given_up, Some(GiveUp::HookLimit));
    assert!(matches!(written_slot(&transaction).state, SlotState::Releasing { .. }));

    situation.seen.claim = Some(claim.clone());
    situation.seen.slot = Some(releasing_slot());
    situation.gives_effect(abandon(), &LIMIT);
}

#[test]
fn what_was_let_go_of_stays_open_work_after_the_answer() {
    let mut situation = Situation::leased();
    situation.seen.claim = Some(situation::leaving_claim());
    situation.seen.slot = Some(releasing_slot());
    situation.claim().action = Some(launch_action());
    situation.claim().given_up = Some(GiveUp::HookLimit);
    situation.claim().answered = Some(ActionResult::Abandon);
    situation.shown_as(LifecycleState::PendingWait);
    situation.rests(None, &Reason::WaitingForTermination { slot: slot_id(0) });
}

#[test]
fn a_claim_of_before_counts_from_when_its_work_was_taken_up() {
    let mut claim = situation::claim();
    claim.action_at = None;
    claim.opened_at = Timestamp::from_millis(5);
    assert_eq!(claim.taken_up(), Timestamp::from_millis(5));
}
