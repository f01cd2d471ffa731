//! What a second look at growing found, as tables of decisions.

use crate::situation::{
    Situation, claim, device, free_slot, instance, launch_action, leaving_claim, members, place,
    policy, releasing_slot, seconds_ago, slot_id, template,
};
use volume_pool::decide::{Reason, Step};
use volume_pool::event::ActionResult;
use volume_pool::observation::{GroupInstance, LifecycleState};
use volume_pool::policy::WhenEmpty;
use volume_pool::record::{Claim, HeldMark, Phase, Planned, Pool, Slot, SlotState};

/// Instance 5 holds slot 0 and is shown in this state; instance 1 launches, and its policy creates.
fn held_by(state: LifecycleState) -> Situation {
    let mut situation = Situation::waiting_for_none();
    situation.policy_mut().when_empty = WhenEmpty::Create;
    situation.policy_mut().volumes[0].template = Some(template());
    let mark = HeldMark {
        place: place(),
        slot: slot_id(0),
        holder: instance(5),
        volumes: Vec::new(),
        amiss: false,
    };
    situation.seen.held = Some(vec![mark]);
    let member = GroupInstance { group: launch_action().group, zone: place().zone, state };
    situation.seen.members.as_mut().unwrap().members.insert(instance(5), member);
    situation
}

/// The event of the replacement is here, and what Auto Scaling shows lags behind the termination that it replaces.
#[test]
fn one_instance_more_than_wanted_may_be_one_that_leaves_and_is_not_shown_leaving_yet() {
    let mut situation = held_by(LifecycleState::InService);
    situation.seen.members.as_mut().unwrap().desired = 1;
    let decided = situation.decided();
    assert!(matches!(decided.step, Step::Rest { work_left: true, .. }), "{:?}", decided.step);
    situation.claim().since = seconds_ago(61);
    situation.gives_transaction("intend", &Reason::Grow { zone: place().zone });
    situation.claim().since = seconds_ago(10);
    situation.seen.members.as_mut().unwrap().desired = members().desired;
    situation.gives_transaction("intend", &Reason::Grow { zone: place().zone });
}

#[test]
fn the_slot_of_a_holder_on_its_way_into_the_warm_pool_is_waited_for() {
    let situation = held_by(LifecycleState::WarmedPendingWait);
    let reason = Reason::WaitingForHolder { slot: slot_id(0), holder: instance(5) };
    situation.rests(Some(launch_action()), &reason);
}

/// Its answer was given, another hook still keeps it, and what it had is not yet given back.
fn parked_and_answered(mut situation: Situation, phase: Claim, slot: Slot) -> Situation {
    situation.subject.event = None;
    situation.shown_as(LifecycleState::WarmedPendingWait);
    let action = Some(launch_action());
    let answered = Some(ActionResult::Continue);
    situation.seen.claim = Some(Claim { action, answered, ..phase });
    situation.seen.slot = Some(slot);
    situation
}

#[test]
fn a_parked_instance_that_still_holds_or_gets_a_slot_is_not_done_with_because_it_was_answered() {
    let releasing = parked_and_answered(Situation::launching(), leaving_claim(), releasing_slot());
    let planned = Planned {
        name: "data".parse().unwrap(),
        device: device("/dev/sdf"),
        like: template(),
        attempt: 1,
        volume: None,
    };
    let state = SlotState::Creating { claimant: instance(1), planned: vec![planned] };
    let slot = Slot { id: slot_id(7), epoch: 0, volumes: Vec::new(), state, ..free_slot(7) };
    let phase =
        Phase::Creating { place: place(), since: seconds_ago(20), slot: slot_id(7), queued: true };
    let intent = Claim { phase, policy: Some(policy()), ..claim() };
    let mut creating = parked_and_answered(Situation::waiting_for_none(), intent, slot);
    creating.zone().pool = Some(Pool::new(place().pool));
    for situation in [releasing, creating] {
        let step = situation.decided().step;
        assert!(!matches!(step, Step::Rest { work_left: false, .. }), "{step:?}");
    }
}
