//! What counts as evidence that a slot's volumes are detached: a table.

use std::collections::BTreeSet;

use crate::situation::{Situation, available, instance, on, releasing_slot, slot_volume, volume};
use volume_pool::evidence::{Missing, evidence};
use volume_pool::ids::VolumeId;
use volume_pool::observation::{AttachmentState, InstanceState, Volume, VolumeState};
use volume_pool::policy::LeaveMode;

/// The evidence for slot 0 with the volumes 1 and 2, held by instance 1 in this state, with these volumes shown, those
/// numbered said by `DetachVolume` to be not attached.
fn judged(
    holder: Option<InstanceState>,
    shown: [Option<Volume>; 2],
    answers: &[u32],
) -> Result<(), Missing> {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.seen.described.volumes.clear();
    match holder {
        Some(state) => situation.runs_as(state),
        None => situation.seen.described.instance = None,
    }
    for volume in shown.into_iter().flatten() {
        situation.show(volume);
    }
    let mut slot = releasing_slot();
    slot.volumes.push(slot_volume("log", 2, "/dev/sdg"));
    let answers: BTreeSet<VolumeId> = answers.iter().map(|number| volume(*number)).collect();
    evidence(&instance(1), &slot, &situation.seen.described, &answers)
}

fn both_available() -> [Option<Volume>; 2] {
    [Some(available(1)), Some(available(2))]
}

const ALIVE: [InstanceState; 5] = [
    InstanceState::Pending,
    InstanceState::Running,
    InstanceState::Stopping,
    InstanceState::Stopped,
    InstanceState::ShuttingDown,
];

#[test]
fn while_the_holder_lives_both_the_describe_and_the_own_answer_are_wanted() {
    for state in ALIVE {
        assert_eq!(judged(Some(state.clone()), both_available(), &[1, 2]), Ok(()), "{state:?}");
        assert_eq!(
            judged(Some(state.clone()), both_available(), &[]),
            Err(Missing::OwnAnswer(volume(1))),
            "{state:?}"
        );
        assert_eq!(
            judged(Some(state.clone()), both_available(), &[1]),
            Err(Missing::OwnAnswer(volume(2)))
        );
        let shown = [Some(available(1)), Some(on(2, 1, AttachmentState::Attached))];
        assert_eq!(judged(Some(state), shown, &[1, 2]), Err(Missing::Detachment(volume(2))));
    }
}

#[test]
fn a_state_that_is_not_known_counts_as_alive() {
    let state = InstanceState::Other("new".to_owned());
    assert_eq!(judged(Some(state), both_available(), &[1]), Err(Missing::OwnAnswer(volume(2))));
}

#[test]
fn once_the_holder_is_terminated_the_describe_is_enough() {
    assert_eq!(judged(Some(InstanceState::Terminated), both_available(), &[]), Ok(()));
}

#[test]
fn a_holder_that_ec2_no_longer_knows_takes_the_own_answer_as_well() {
    assert_eq!(judged(None, both_available(), &[1]), Err(Missing::OwnAnswer(volume(2))));
    assert_eq!(judged(None, both_available(), &[1, 2]), Ok(()));
}

#[test]
fn a_describe_that_found_nothing_is_no_evidence() {
    for holder in [Some(InstanceState::Terminated), Some(InstanceState::Stopped), None] {
        let shown = [Some(available(1)), None];
        assert_eq!(judged(holder, shown, &[1, 2]), Err(Missing::Detachment(volume(2))));
    }
}

#[test]
fn nothing_but_available_without_an_attachment_is_detached() {
    let attached = [
        AttachmentState::Attaching,
        AttachmentState::Attached,
        AttachmentState::Detaching,
        AttachmentState::Busy,
    ];
    for state in attached.into_iter().chain([AttachmentState::Other("new".to_owned())]) {
        let mut contradictory = on(2, 1, state.clone());
        contradictory.state = VolumeState::Available;
        for shown in [on(2, 1, state), contradictory] {
            assert_eq!(
                judged(Some(InstanceState::Terminated), [Some(available(1)), Some(shown)], &[1, 2]),
                Err(Missing::Detachment(volume(2)))
            );
        }
    }
    for state in [VolumeState::Creating, VolumeState::InUse, VolumeState::Other("error".to_owned())]
    {
        let mut shown = available(2);
        shown.state = state;
        assert_eq!(
            judged(Some(InstanceState::Terminated), [Some(available(1)), Some(shown)], &[1, 2]),
            Err(Missing::Detachment(volume(2)))
        );
    }
}

#[test]
fn an_attachment_that_has_ended_is_none() {
    let mut shown = on(2, 1, AttachmentState::Detached);
    shown.state = VolumeState::Available;
    assert_eq!(
        judged(Some(InstanceState::Terminated), [Some(available(1)), Some(shown)], &[]),
        Ok(())
    );
}

#[test]
fn a_volume_on_a_recent_holder_is_not_detached_and_on_a_stranger_is_a_persons_doing() {
    for holder in [Some(InstanceState::Terminated), Some(InstanceState::Running), None] {
        let shown = [Some(available(1)), Some(on(2, 90, AttachmentState::Attached))];
        assert_eq!(judged(holder.clone(), shown, &[1, 2]), Err(Missing::Detachment(volume(2))));
        let shown = [Some(available(1)), Some(on(2, 77, AttachmentState::Attached))];
        assert_eq!(judged(holder, shown, &[1, 2]), Err(Missing::Stranger(volume(2), instance(77))));
    }
}

#[test]
fn a_stranger_is_found_behind_a_volume_that_only_wants_the_own_answer() {
    let shown = [Some(available(1)), Some(on(2, 77, AttachmentState::Attached))];
    assert_eq!(
        judged(Some(InstanceState::Stopped), shown, &[]),
        Err(Missing::Stranger(volume(2), instance(77)))
    );
}

#[test]
fn a_resource_that_aws_manages_is_nobody_to_name_and_no_evidence_either() {
    let mut shown = on(2, 1, AttachmentState::Attached);
    shown.attachments[0].instance = None;
    assert_eq!(
        judged(Some(InstanceState::Terminated), [Some(available(1)), Some(shown)], &[]),
        Err(Missing::Detachment(volume(2)))
    );
}
