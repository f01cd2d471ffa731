//! A launching instance, and answers that once led it astray.

use std::time::Duration;

use scenarios::ZONE;
use volume_pool::decide::Effect;
use volume_pool::event::{ActionResult, Transition};
use volume_pool::ids::VolumeId;
use volume_pool::observation::{AttachmentState, DeleteOnTermination, LifecycleState};
use volume_pool::ports::{LeaseStore, Refusal};
use volume_pool::record::{Phase, Place, Record, SlotState};
use volume_pool::request::{Ending, Request, Response};
use volume_pool::transition::{self, Adoption, MOST_WRITES};

use crate::rig::{GROUP, Rig, at_once, denied, event, launch, no_answer, terminate};

/// Longer than an attachment ever takes.
const STUCK: Duration = Duration::from_secs(100);

fn is_attach(request: &Request) -> bool {
    matches!(request, Request::Effect(_, Effect::Attach(..)))
}

/// A scripted `AttachVolume` that is accepted and shown `attaching` since `ago`.
fn hangs(rig: &mut Rig, request: &Request, ago: Duration) -> Option<Response> {
    let Request::Effect(_, Effect::Attach(_, device)) = request else {
        return None;
    };
    rig.volume_is(AttachmentState::Attaching, device.as_str(), ago);
    Some(Response::Answered(Ok(())))
}

/// A scripted `CreateTags` for the instance or for a volume.
fn tags_of(request: &Request) -> Option<Tagged> {
    let Request::Effect(_, Effect::Tag(resource, _)) = request else {
        return None;
    };
    Some(if resource.parse::<VolumeId>().is_ok() { Tagged::Volume } else { Tagged::Instance })
}

#[derive(PartialEq)]
enum Tagged {
    Instance,
    Volume,
}

#[test]
fn a_lease_whose_reply_is_lost_as_time_runs_out_ends_the_run() {
    let mut rig = Rig::launching();
    let ended = rig.run_with(Some(launch()), |rig, request| match request {
        Request::Commit(transaction) if transaction.name == "lease" => {
            at_once(rig.leases.commit(transaction)).unwrap();
            rig.now = rig.now.plus(Duration::from_secs(55));
            Some(no_answer())
        }
        _ => None,
    });
    assert!(matches!(ended.ending, Ending::WorkLeft | Ending::Failed(_)), "{:?}", ended.ending);
    assert!(rig.marked_open(), "reconcile goes on with it");
}

#[test]
fn a_launch_event_that_overtakes_the_describe_is_not_forgotten() {
    let mut rig = Rig::launching();
    let shown = rig.described.group_instance.take();
    rig.run(Some(launch()));
    assert!(rig.marked_open(), "{:?}", rig.claim());
    assert_eq!(rig.answers(), []);

    rig.described.group_instance = shown;
    rig.run(None);
    assert_eq!(rig.answers(), [(launch().action, ActionResult::Continue)]);
}

#[test]
fn a_lease_whose_launch_auto_scaling_does_not_show_is_come_back_to() {
    // The first invocation dies once it has leased; how many requests that takes is found by trying.
    let mut rig = (1..40)
        .find_map(|requests| {
            let mut rig = Rig::launching();
            rig.die_after(requests, launch());
            let claims = rig.leases.records().into_iter();
            let mut leased = claims.filter(|record| {
                matches!(record, Record::Claim(claim) if matches!(claim.phase, Phase::Leased { .. }))
            });
            leased.next().is_some().then_some(rig)
        })
        .unwrap();
    assert!(rig.marked_open());
    rig.now = rig.now.plus(Duration::from_mins(2));
    let shown = rig.described.group_instance.take();
    rig.run(None);
    assert!(rig.marked_open(), "{:?}", rig.claim());

    rig.described.group_instance = shown;
    rig.run(None);
    assert_eq!(rig.answers(), [(launch().action, ActionResult::Continue)]);
}

#[test]
fn an_attachment_whose_reply_is_lost_voids_what_was_said_of_detachment_before() {
    let mut rig = Rig::launching();
    let mut stage = 0;
    rig.run_with(Some(launch()), |rig, request| match (stage, request) {
        (0, _) if is_attach(request) => {
            stage = 1;
            hangs(rig, request, STUCK)
        }
        // It is taken off again, and turns out to have gone by itself.
        (1, Request::Effect(_, Effect::Detach(_))) => {
            rig.volume_is_available();
            stage = 2;
            Some(Response::Answered(Err(Refusal::NotAttached)))
        }
        // It is attached again, unseen, while the instance is chosen to go.
        (2, _) if is_attach(request) => {
            rig.member_of(GROUP, LifecycleState::TerminatingWait);
            stage = 3;
            Some(no_answer())
        }
        _ => None,
    });
    assert_eq!(stage, 3, "the story went another way");
    assert_ne!(rig.slot().state, SlotState::Free, "released while attached and running");
}

#[test]
fn a_volume_that_this_very_run_takes_off_is_no_reason_to_continue() {
    let mut rig = Rig::launching();
    let mut detached = false;
    rig.run_with(Some(launch()), |rig, request| match request {
        _ if is_attach(request) && !detached => hangs(rig, request, STUCK),
        Request::Effect(_, Effect::Detach(_)) => {
            // It had just arrived; EC2 begins to take it off, and the describe lags behind that.
            rig.volume_is(AttachmentState::Attached, "/dev/sdf", STUCK);
            detached = true;
            Some(Response::Answered(Ok(())))
        }
        _ => None,
    });
    assert!(detached, "the story went another way");
    assert_eq!(rig.answers(), []);
}

#[test]
fn a_stuck_attachment_is_taken_off_a_few_times_at_most() {
    let mut rig = Rig::launching();
    rig.run_with(Some(launch()), |rig, request| hangs(rig, request, STUCK));
    let detachments = rig.detachments();
    assert!((1..20).contains(&detachments), "DetachVolume {detachments} times");
    assert!(rig.heartbeated());
}

#[test]
fn a_volume_still_shown_as_going_with_its_instance_is_not_changed_over_and_over() {
    let mut rig = Rig::launching();
    rig.run_with(Some(launch()), |rig, request| match request {
        Request::Effect(_, Effect::Attach(_, device)) => {
            rig.volume_is(AttachmentState::Attached, device.as_str(), Duration::ZERO);
            let attachment = &mut rig.shown_volume().attachments[0];
            attachment.delete_on_termination = DeleteOnTermination::Delete;
            Some(Response::Answered(Ok(())))
        }
        _ => None,
    });
    let changes =
        rig.effects().filter(|effect| matches!(effect, Effect::KeepOnTermination(_))).count();
    assert!((1..20).contains(&changes), "ModifyInstanceAttribute {changes} times");
    assert_eq!(rig.answers(), [], "not continued before it is shown to stay");
}

#[test]
fn a_run_that_ends_before_the_volume_arrives_keeps_the_action_alive() {
    let mut rig = Rig::launching();
    let ended = rig.run_with(Some(launch()), |rig, request| hangs(rig, request, Duration::ZERO));
    assert_eq!(ended.ending, Ending::WorkLeft);
    assert!(rig.heartbeated() && rig.marked_open());
}

#[test]
fn an_instance_of_another_group_than_the_event_says_gets_nothing() {
    let mut rig = Rig::launching();
    rig.member_of("other", LifecycleState::PendingWait);
    rig.run_with(Some(launch()), |_, request| match request {
        // The other group has no hooks of ours.
        Request::Hooks(_) => Some(Response::Hooks(Vec::new())),
        _ => None,
    });
    let records = rig.leases.records();
    let touched = |record: &Record| matches!(record, Record::Slot(_) | Record::Group(_));
    assert!(!records.iter().any(touched), "{records:?}");
    assert_eq!(rig.answers(), []);
}

#[test]
fn a_launch_that_is_only_observed_is_brought_again_if_auto_scaling_does_not_show_it_yet() {
    let mut rig = Rig::launching();
    rig.member_of(GROUP, LifecycleState::Pending);
    let policy = r#"{"pool":"cassandra","mode":"observe"}"#;
    let observed = event("stateful-asg-launch", Transition::Launching, Some(policy));
    let ended = rig.run(Some(observed.clone()));
    assert!(matches!(ended.ending, Ending::Failed(_)), "{:?}: nobody comes back", ended.ending);
    assert_eq!(rig.leases.records(), [], "nothing is written in mode observe");

    rig.member_of(GROUP, LifecycleState::PendingWait);
    assert_eq!(rig.run(Some(observed.clone())).ending, Ending::Settled);
    assert_eq!(rig.answers(), [(observed.action, ActionResult::Continue)]);
    assert_eq!(rig.leases.records(), []);
}

#[test]
fn refused_tags_of_the_instance_hold_its_launch_alive_with_an_alarm() {
    let mut rig = Rig::launching();
    let mut tries = 0;
    let ended = rig.run_with(Some(launch()), |_, request| {
        (tags_of(request)? == Tagged::Instance).then(|| {
            tries += 1;
            Response::Answered(Err(Refusal::Other("TagLimitExceeded".to_owned())))
        })
    });
    assert!((1..=3).contains(&tries), "CreateTags {tries} times");
    assert_eq!(rig.answers(), [], "an instance without its tags can't find its volumes");
    assert!(rig.heartbeated() && rig.marked_open());
    assert_eq!((&ended.ending, ended.alarms()), (&Ending::WorkLeft, vec!["tags-refused"]));

    // Once they are taken, it goes on.
    rig.now = rig.now.plus(Duration::from_mins(2));
    rig.run(None);
    assert_eq!(rig.answers(), [(launch().action, ActionResult::Continue)]);
}

#[test]
fn tags_of_the_instance_that_the_role_may_not_set_fail_the_run_and_keep_the_action_alive() {
    let mut rig = Rig::launching();
    let mut tries = 0;
    let ended = rig.run_with(Some(launch()), |_, request| {
        (tags_of(request)? == Tagged::Instance).then(|| {
            tries += 1;
            denied()
        })
    });
    assert_eq!(tries, 1, "what is denied stays denied");
    assert!(matches!(ended.ending, Ending::Failed(_)), "{:?}", ended.ending);
    assert_eq!(rig.answers(), []);
    assert!(rig.heartbeated() && rig.marked_open());
}

#[test]
fn refused_or_denied_tags_of_a_volume_hold_nothing_up() {
    let refused = Response::Answered(Err(Refusal::Other("TagLimitExceeded".to_owned())));
    for answer in [refused, denied(), no_answer()] {
        let mut rig = Rig::launching();
        let ended = rig.run_with(Some(launch()), |_, request| {
            (tags_of(request)? == Tagged::Volume).then(|| answer.clone())
        });
        assert_eq!(ended.ending, Ending::Settled, "{answer:?}");
        assert_eq!(rig.answers(), [(launch().action, ActionResult::Continue)], "{answer:?}");
    }
}

#[test]
fn another_action_that_comes_while_the_guard_is_held_is_brought_again_and_answered() {
    let mut rig = Rig::launching();
    let another =
        event("stateful-asg-launch-2", Transition::Launching, launch().metadata.as_deref());
    let mut refused = None;
    let first = rig.run_with(Some(launch()), |rig, request| {
        // The first action is answered; before its guard is given up, the other one's event comes.
        if let Request::Commit(transaction) = request
            && transaction.name == "rest"
            && refused.is_none()
        {
            refused = Some(rig.run(Some(another.clone())).ending);
        }
        None
    });
    assert_eq!(first.ending, Ending::Settled);
    assert!(matches!(refused, Some(Ending::Failed(_))), "{refused:?}: Lambda brings nothing again");

    assert_eq!(rig.run(Some(another.clone())).ending, Ending::Settled);
    let answers = [launch(), another].map(|event| (event.action, ActionResult::Continue));
    assert_eq!(rig.answers(), answers);
}

#[test]
fn the_same_action_that_comes_while_the_guard_is_held_is_left_to_its_holder() {
    let mut rig = Rig::launching();
    let mut refused = None;
    rig.run_with(Some(launch()), |rig, request| {
        if is_attach(request) && refused.is_none() {
            refused = Some(rig.run(Some(launch())).ending);
        }
        None
    });
    assert_eq!(refused, Some(Ending::Busy));
    assert_eq!(rig.answers(), [(launch().action, ActionResult::Continue)]);
}

#[test]
fn an_adoption_of_many_volumes_fits_into_a_transaction() {
    let place = Place { pool: "cassandra".parse().unwrap(), zone: ZONE.parse().unwrap() };
    let volume = |slot: u32, volume: u32| {
        (
            format!("v{volume}").parse().unwrap(),
            format!("vol-000000{slot:02}{volume}").parse().unwrap(),
            "/dev/sdf".parse().unwrap(),
            scenarios::BEGIN,
        )
    };
    let adoptions: Vec<Adoption> = (0..20)
        .map(|slot| Adoption {
            tagged: None,
            released_at: None,
            volumes: (0..3).map(|number| volume(slot, number)).collect(),
        })
        .collect();
    let transaction = transition::adopt(None, &place, 0, &adoptions).unwrap();
    let writes = transaction.writes.len();
    assert!(writes <= MOST_WRITES, "{writes} writes");
    assert!(transaction.adopted() > 10, "as many as fit: {}", transaction.adopted());
}

#[test]
fn a_terminate_event_is_not_taken_for_the_launch_that_it_ends() {
    let mut rig = Rig::launching();
    rig.run_with(Some(launch()), |rig, request| hangs(rig, request, Duration::ZERO));
    rig.volume_is(AttachmentState::Attached, "/dev/sdf", Duration::ZERO);
    rig.member_of(GROUP, LifecycleState::TerminatingWait);
    rig.requests.clear();
    rig.run(Some(terminate()));
    assert!(matches!(rig.claim().phase, Phase::Leaving { .. }), "{:?}", rig.claim());
    assert_eq!(rig.answers(), [], "it is stopped first");
    assert!(rig.effects().any(|effect| *effect == Effect::Stop));
}
