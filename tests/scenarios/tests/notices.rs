//! The stage notices what breaks a safety rule: each is broken here by hand, in the records or in the world. Else a
//! scenario that ends well would say nothing.

#![cfg(test)]

use std::time::Duration;

use local_cloud::stage::{Stage, Timeouts};
use local_cloud::world::{AttachmentState, Detachment, Document, Span};
use scenarios::{
    SSM, ZONE, group, hooks, in_service, settle, stage, stranger, tagged, tagged_volume,
};
use volume_pool::command::CommandState;
use volume_pool::ports::LeaseStore;
use volume_pool::record::{Claim, Phase, Record, Slot, SlotState};
use volume_pool::transition::{Expect, Transaction, Write};

const POLICY: &str = r#"{"pool":"cassandra"}"#;

/// Two instances in service, each with its slot.
fn two_in_service() -> Stage {
    in_service(stage(5), 2, POLICY).unwrap()
}

/// Changes the records behind everybody's back.
fn meddle(stage: &Stage, writes: Vec<Write>) {
    let transaction = Transaction { name: "meddle", writes, wakes: None };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let commit = std::pin::pin!(stage.leases.commit(&transaction));
    assert!(commit.poll(&mut context).is_ready());
}

fn put_slot(stage: &Stage, change: impl FnOnce(&mut Slot)) {
    let mut slot = stage.slots().remove(0);
    change(&mut slot);
    meddle(stage, vec![Write::Put(Record::Slot(slot), Expect::Mark)]);
}

fn put_claim(stage: &Stage, change: impl FnOnce(&mut Claim)) {
    let holder = stage.slots().remove(0).holder().cloned().unwrap();
    let mut claim = stage.claims().into_iter().find(|claim| claim.instance == holder).unwrap();
    change(&mut claim);
    meddle(stage, vec![Write::Put(Record::Claim(claim), Expect::Mark)]);
}

fn notices(stage: &mut Stage, what: &str) {
    let broken = stage.violations();
    assert!(broken.iter().any(|found| found.contains(what)), "{what:?} is not in {broken:?}");
}

#[test]
fn nothing_where_nothing_is_broken() {
    assert_eq!(two_in_service().violations(), Vec::<String>::new());
}

#[test]
fn a_claim_whose_slot_is_free() {
    let mut stage = two_in_service();
    put_slot(&stage, |slot| slot.state = SlotState::Free);
    notices(&mut stage, "which is Free");
    notices(&mut stage, "rule 2");
    notices(&mut stage, "rule 3");
}

#[test]
fn a_claim_whose_slot_is_set_apart_or_missing() {
    let mut stage = two_in_service();
    put_slot(&stage, |slot| slot.state = SlotState::Quarantined);
    notices(&mut stage, "which is Quarantined");
    notices(&mut stage, "rule 6");
    let slot = Record::Slot(stage.slots().remove(0)).key();
    meddle(&stage, vec![Write::Delete(slot)]);
    notices(&mut stage, "which does not exist");
}

#[test]
fn a_claim_of_another_epoch_than_its_slot() {
    let mut stage = two_in_service();
    put_slot(&stage, |slot| slot.epoch += 1);
    notices(&mut stage, "of epoch 1, which is of epoch 2");
}

#[test]
fn a_claim_that_leaves_a_slot_still_leased() {
    let mut stage = two_in_service();
    put_claim(&stage, |claim| {
        if let Phase::Leased { slot, epoch } = claim.phase.clone() {
            claim.phase = Phase::Leaving { slot, epoch, since: claim.since };
        }
    });
    notices(&mut stage, "leaves cassandra-0 of epoch 1, which is Leased");
}

#[test]
fn a_holder_whose_claim_holds_nothing() {
    let mut stage = two_in_service();
    put_claim(&stage, |claim| claim.phase = Phase::Closed);
    notices(&mut stage, "whose claim differs");
}

#[test]
fn one_holder_of_two_slots() {
    let mut stage = two_in_service();
    let other = stage.slots().remove(1).holder().cloned().unwrap();
    put_slot(&stage, |slot| slot.state = SlotState::Leased { holder: other });
    notices(&mut stage, "holds two slots");
}

#[test]
fn one_volume_in_two_slots() {
    let mut stage = two_in_service();
    let volume = stage.slots().remove(1).volumes.remove(0);
    put_slot(&stage, |slot| slot.volumes.push(volume));
    notices(&mut stage, "is part of two slots");
    notices(&mut stage, "its own row differs");
}

#[test]
fn a_free_slot_whose_volume_is_on_an_instance_that_held_it_long_ago() {
    let mut stage = two_in_service();
    stage.cloud.world().set_desired_capacity("cassandra", 0).unwrap();
    stage
        .run_until(Duration::from_mins(10), |stage| {
            stage.slots().iter().all(|slot| slot.state == SlotState::Free)
        })
        .unwrap();
    settle(&mut stage).unwrap();
    let old = stranger(&mut stage).unwrap();
    let volume = stage.slots()[0].volumes[0].volume.to_string();
    stage.cloud.world().attach_volume(&volume, &old, "/dev/sdf").unwrap();
    assert_eq!(stage.violations(), Vec::<String>::new(), "a person's doing is none of ours");
    put_slot(&stage, |slot| slot.recent_holders.push(old.parse().unwrap()));
    notices(&mut stage, "rule 3");
}

#[test]
fn marks_that_are_missing_or_left_over() {
    let mut stage = two_in_service();
    put_claim(&stage, |claim| claim.open = true);
    notices(&mut stage, "is missing");
    let mut stage = two_in_service();
    tagged_volume(&stage, ZONE, &[]).unwrap();
    put_slot(&stage, |slot| slot.state = SlotState::Free);
    notices(&mut stage, "Free(");
}

#[test]
fn an_instance_in_service_whose_volume_was_taken_off_by_force() {
    let mut stage = two_in_service();
    let volume = tagged(&stage).remove(0);
    stage.cloud.world().detach_volume(&volume, None, None, Detachment::Forced).unwrap();
    notices(&mut stage, "by force");
    notices(&mut stage, "rule 2");
}

/// One instance whose attachment never comes, and functions that hear of nothing any more.
fn never_answered(mut stage: Stage) -> Result<(), String> {
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5))?;
    stage.cloud.world().stick(&volume, AttachmentState::Attaching);
    stage.reconciles = false;
    stage.loses = |_| true;
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    stage.run_for(Duration::from_mins(7))
}

#[test]
fn an_action_that_nobody_answers() {
    let problem = never_answered(stage(5)).unwrap_err();
    assert!(problem.contains("rule 9: hook stateful-asg-launch timed out"), "{problem}");

    let mut expecting = stage(5);
    expecting.timeouts = Timeouts::Expected;
    never_answered(expecting).unwrap();
}

#[test]
fn a_volume_that_is_detached_from_under_its_filesystem() {
    let mut stage = stage(5);
    let volume = tagged_volume(&stage, ZONE, &[]).unwrap();
    stage.run_for(Duration::from_secs(5)).unwrap();
    group(&stage, "cassandra", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    let attached = |stage: &Stage| {
        let world = stage.cloud.world();
        let shown = world.volume(&volume).map(|volume| volume.attachments.clone());
        shown.is_ok_and(|shown| shown.iter().any(|it| it.state == AttachmentState::Attached))
    };
    stage.run_until(Duration::from_mins(10), attached).unwrap();

    // It is mounted before the launch is continued, and the record says of a sudden that it is at the wrong device.
    stage.cloud.world().mount(&volume);
    put_slot(&stage, |slot| {
        slot.version += 1;
        slot.volumes[0].device = "/dev/sdp".parse().unwrap();
    });
    let problem = stage.run_for(Duration::from_secs(20)).unwrap_err();
    assert!(problem.contains("rule 5"), "{problem}");
}

#[test]
fn a_volume_that_is_detached_before_its_document_has_succeeded() {
    let mut stage = in_service(stage(5), 1, SSM).unwrap();
    let slow = Document { takes: Span::exactly(Duration::from_mins(4)), ..Document::default() };
    stage.cloud.world().put_document("drain", slow);
    let instance = stage.slots()[0].holder().unwrap().to_string();
    stage.cloud.world().fail_instance(&instance).unwrap();
    let resting = |claim: &Claim| {
        let sent = claim.command.as_ref().map(|command| &command.state);
        matches!(sent, Some(CommandState::Sent { .. })) && claim.guard.is_none()
    };
    stage.run_until(Duration::from_mins(5), |stage| stage.claims().iter().any(resting)).unwrap();

    // The record says of a sudden that the document is done.
    put_claim(&stage, |claim| {
        claim.version += 1;
        let command = claim.command.as_mut().unwrap();
        if let CommandState::Sent { id } = command.state.clone() {
            command.state = CommandState::Succeeded { id };
        }
    });
    let problem = stage.run_for(Duration::from_mins(2)).unwrap_err();
    assert!(problem.contains("rule 5") && problem.contains("has succeeded"), "{problem}");
}

#[test]
fn an_event_that_does_not_parse() {
    let mut stage = stage(5);
    group(&stage, "bell \u{7}", 1, &[ZONE], hooks(Some(POLICY))).unwrap();
    let problem = stage.run_for(Duration::from_mins(1)).unwrap_err();
    assert!(problem.contains("is not an Auto Scaling group name"), "{problem}");
}
