//! The right to format: only what was created blank, and only until the first release after a completed launch.

use crate::situation::{
    NOW, Situation, available, device, launch_action, leased_claim, leased_slot, leaving_claim,
    place, policy, releasing_slot, seconds_ago, slot_id, terminate_action, volume, waiting_claim,
    written_slot,
};
use volume_pool::decide::{Effect, Reason, Step};
use volume_pool::event::{Action, ActionResult};
use volume_pool::observation::{LifecycleState, tags};
use volume_pool::record::{Claim, Format, Origin, Phase, Planned, Slot, SlotState, SlotVolume};
use volume_pool::sweep::Found;
use volume_pool::transition::{
    self, Adoption, adopt, begin_release, creation, drift, first_launch, quarantine, release,
};

/// The slot as it was created for instance 1.
fn created(format: Format) -> Slot {
    let volumes = leased_slot().volumes.into_iter();
    let volumes = volumes.map(|volume| SlotVolume { origin: Origin::Created, ..volume });
    Slot { format, volumes: volumes.collect(), ..leased_slot() }
}

fn creating() -> (Claim, Slot) {
    let place = place();
    let phase = Phase::Creating { place, since: seconds_ago(5), slot: slot_id(0), queued: false };
    let claim = Claim { phase, ..waiting_claim() };
    let planned = vec![Planned {
        name: "data".parse().unwrap(),
        device: device("/dev/sdf"),
        like: available(1).like,
        attempt: 1,
        volume: Some(volume(1)),
    }];
    let claimant = claim.instance.clone();
    let state = SlotState::Creating { claimant, planned };
    (claim, Slot { state, volumes: Vec::new(), format: Format::Over, ..leased_slot() })
}

/// The value of the instance's tag for its volume that is asked for, where one is.
fn told(situation: &Situation) -> Option<String> {
    match situation.decided().step {
        Step::Effect(Effect::Tag(_, wanted)) => wanted.get("stateful-asg:volume:data").cloned(),
        _ => None,
    }
}

#[test]
fn a_slot_that_was_created_whole_may_be_formatted_by_whoever_gets_it_first() {
    let (claim, slot) = creating();
    let leased = creation::created(&claim, &slot, NOW, "").unwrap();
    assert_eq!(written_slot(&leased).format, Format::Allowed);
    let spare = creation::spare(&claim, &slot, creation::Wanted::Still, NOW, "").unwrap();
    assert_eq!(written_slot(&spare).format, Format::Allowed);
    let apart = creation::set_apart(&claim, &slot, creation::Wanted::Still, NOW, "").unwrap();
    assert_eq!(written_slot(&apart).format, Format::Over);
}

#[test]
fn an_adopted_volume_may_never_be_formatted() {
    let volumes = vec![("data".parse().unwrap(), volume(1), device("/dev/sdf"), NOW)];
    let adoption = Adoption { tagged: None, released_at: None, volumes };
    let slot = written_slot(&adopt(None, &place(), 0, &[adoption]).unwrap()).clone();
    assert_eq!(slot.format, Format::Over);
    // Whatever its slot may.
    for format in [Format::Allowed, Format::AllowedUntilReleased, Format::Over] {
        assert!(!Slot { format, ..slot.clone() }.may_format(&slot.volumes[0]));
    }
}

#[test]
fn a_record_that_says_nothing_of_it_gives_no_right_to_format() {
    let mut written = serde_json::to_value(created(Format::Allowed)).unwrap();
    assert_eq!(written["format"], "allowed");
    written.as_object_mut().unwrap().remove("format");
    let read: Slot = serde_json::from_value(written).unwrap();
    assert_eq!(read.format, Format::Over);
}

#[test]
fn the_right_is_said_in_the_tag_that_names_the_volume_and_taken_back_there() {
    let mut situation = Situation::attached();
    situation.seen.slot = Some(created(Format::Allowed));
    assert_eq!(told(&situation).as_deref(), Some("vol-00000001 blank"));
    situation.seen.slot = Some(created(Format::AllowedUntilReleased));
    assert_eq!(told(&situation).as_deref(), Some("vol-00000001 blank"));
    let tags = &mut situation.seen.described.instance.as_mut().unwrap().tags;
    tags.insert(format!("{}:data", tags::VOLUME), "vol-00000001 blank".to_owned());
    situation.seen.slot = Some(created(Format::Over));
    assert_eq!(told(&situation).as_deref(), Some("vol-00000001"));
}

#[test]
fn the_first_launch_is_on_record_before_it_is_completed() {
    let mut situation = Situation::attached();
    situation.seen.slot = Some(created(Format::Allowed));
    let tags = &mut situation.seen.described.instance.as_mut().unwrap().tags;
    tags.insert(format!("{}:data", tags::VOLUME), "vol-00000001 blank".to_owned());
    let reason = Reason::FirstLaunch { slot: slot_id(0) };
    let transaction = situation.gives_transaction("first launch", &reason);
    situation.seen.slot = Some(written_slot(&transaction).clone());
    assert_eq!(situation.decided().reason, Reason::Verified { slot: slot_id(0) });
}

#[test]
fn the_first_release_after_a_completed_launch_ends_the_right_and_an_earlier_one_does_not() {
    let releasing = |format| Slot { state: releasing_slot().state, ..created(format) };
    let released = |format| {
        let transaction = release(&leaving_claim(), &releasing(format), NOW, "").unwrap();
        written_slot(&transaction).format
    };
    assert_eq!(released(Format::Allowed), Format::Allowed);
    assert_eq!(released(Format::AllowedUntilReleased), Format::Over);
    assert_eq!(released(Format::Over), Format::Over);
}

/// A group's hooks were put on it while an instance waited for somebody else's hook: that let it into service while ours was
/// taken to wait (seeds 2110 and 3094 of the simulation's third plan).
#[test]
fn a_launch_that_may_not_have_waited_for_us_ends_the_right_with_its_release() {
    let begun = |action: Option<Action>, answered| {
        let claim = Claim { action, answered, ..leased_claim() };
        let begun = begin_release(&claim, &created(Format::Allowed), None, NOW, "").unwrap();
        written_slot(&begun).format
    };
    let by_hook = Action { token: None, ..launch_action() };
    assert_eq!(begun(Some(launch_action()), None), Format::Allowed);
    assert_eq!(begun(Some(launch_action()), Some(ActionResult::Abandon)), Format::Allowed);
    for (action, answered) in [
        (Some(by_hook), None),
        (Some(launch_action()), Some(ActionResult::Continue)),
        (Some(terminate_action()), None),
        (None, None),
    ] {
        assert_eq!(begun(action, answered), Format::AllowedUntilReleased);
    }
}

#[test]
fn the_right_ends_with_the_service_whatever_else_is_the_matter_with_the_slot() {
    let mut situation = Situation::attached();
    situation.subject.event = None;
    situation.subject.found = Some(Found::SlotAmiss);
    situation.shown_as(LifecycleState::InService);
    situation.seen.slot = Some(created(Format::Allowed));
    situation.show(available(1));
    let reason = Reason::FirstLaunch { slot: slot_id(0) };
    situation.gives_transaction("first launch", &reason);
}

#[test]
fn a_slot_that_is_set_apart_may_not_be_formatted_when_it_is_back() {
    let slot = created(Format::Allowed);
    let apart = quarantine(&leased_claim(), &slot, NOW, "").unwrap();
    assert_eq!(written_slot(&apart).format, Format::Over);
    let free = Slot { state: SlotState::Free, ..slot };
    assert_eq!(written_slot(&drift::set_apart(&free, "").unwrap()).format, Format::Over);
}

#[test]
fn a_first_launch_is_noted_of_a_leased_slot_once() {
    let slot = created(Format::Allowed);
    let noted = first_launch(&leased_claim(), &slot).unwrap();
    assert_eq!(written_slot(&noted).format, Format::AllowedUntilReleased);
    for (claim, slot) in [
        (leased_claim(), created(Format::AllowedUntilReleased)),
        (leased_claim(), created(Format::Over)),
        (leaving_claim(), Slot { state: releasing_slot().state, ..slot.clone() }),
        (waiting_claim(), slot),
    ] {
        assert_eq!(first_launch(&claim, &slot), None);
    }
}

#[test]
fn a_lease_and_the_beginning_of_a_release_leave_the_right_as_it_is() {
    let slot = created(Format::AllowedUntilReleased);
    let begun = begin_release(&leased_claim(), &slot, Some(&terminate_action()), NOW, "").unwrap();
    assert_eq!(written_slot(&begun).format, Format::AllowedUntilReleased);
    let free = Slot { state: SlotState::Free, ..created(Format::Allowed) };
    let claim = Claim { policy: Some(policy()), ..waiting_claim() };
    let leased = transition::lease(&claim, &free, NOW, "").unwrap();
    assert_eq!(written_slot(&leased).format, Format::Allowed);
}
