//! An instance that does its work with its slot: whether the slot is whole, and what a person must know where it is not.
//!
//! Safety: nothing is attached to or detached from it. A volume that a person took from a running database is no longer
//! what the database believes it to be; to put it back unasked could make things worse.

use super::launch::{self, look};
use super::{
    Alarm, Decision, Effect, Observation, Reason, Step, Subject, commit, decision, effect, rest,
};
use crate::drift::TWICE;
use crate::observation::{Attachment, AttachmentState, DeleteOnTermination, VolumeState, tags};
use crate::record::{Claim, Format, Slot, SlotVolume};
use crate::sweep::Found;
use crate::transition::{
    self,
    drift::{self, Whole},
};

/// How many looks must show the same: a describe may be older than what it shows.
const LOOKS: u32 = 8;

pub(super) fn decide(
    subject: &Subject,
    seen: &Observation,
    (claim, slot): (&Claim, &Slot),
    settled: Reason,
) -> Decision {
    // Somebody else completed its launch: whatever else is the matter, no other holder may format what this one has written.
    if slot.format == Format::Allowed {
        let reason = Reason::FirstLaunch { slot: slot.id.clone() };
        return commit(transition::first_launch(claim, slot), reason);
    }
    for wanted in &slot.volumes {
        if let Some(problem) = astray(subject, seen, wanted) {
            return amiss(subject, seen, (claim, slot), wanted, problem);
        }
    }
    for wanted in &slot.volumes {
        if let Some(decision) = stays(seen, wanted) {
            return decision;
        }
    }
    if let Some(decision) = launch::tag(subject, seen, slot) {
        return decision;
    }
    let mended = Reason::SlotMended { slot: slot.id.clone() };
    if subject.found == Some(Found::SlotMended) && slot.reason != mended.to_string() {
        return commit(drift::note(claim, slot, Whole::Whole, &mended.to_string()), mended);
    }
    let untagged = slot.volumes.iter().map(|wanted| &wanted.volume).find(|id| {
        let volume = seen.described.volumes.get(id);
        volume.is_some_and(|volume| {
            volume.tags.get(tags::POOL).map(String::as_str) != Some(slot.id.pool.as_str())
        })
    });
    rest(false, None, settled).with_alarm(
        untagged.map(|volume| Alarm::PoolTagLost { slot: slot.id.clone(), volume: volume.clone() }),
    )
}

/// What is the matter with a volume that should be attached to the instance.
fn astray(subject: &Subject, seen: &Observation, wanted: &SlotVolume) -> Option<String> {
    let Some(volume) = seen.described.volumes.get(&wanted.volume) else {
        return Some("EC2 does not know it any more: it was deleted".to_owned());
    };
    if volume.is_attached_twice() {
        return Some(TWICE.to_owned());
    }
    match (volume.attachment(), &volume.state) {
        (Some(Attachment { instance: Some(holder), state, .. }), _)
            if *holder == subject.instance =>
        {
            match state {
                AttachmentState::Attached | AttachmentState::Attaching => None,
                AttachmentState::Detaching | AttachmentState::Detached => {
                    Some("it is being detached by a person".to_owned())
                }
                AttachmentState::Busy => Some(
                    "a person has asked for its detachment, and its filesystem is still mounted"
                        .to_owned(),
                ),
                AttachmentState::Other(state) => Some(format!("its attachment is {state}")),
            }
        }
        (Some(Attachment { instance: Some(other), .. }), _) => {
            Some(format!("it is attached to {other} instead"))
        }
        (Some(Attachment { instance: None, .. }), _) => {
            Some("it is attached to a resource that AWS manages".to_owned())
        }
        (None, VolumeState::Other(state)) => Some(format!("EC2 shows it {state}")),
        (None, VolumeState::Available | VolumeState::Creating | VolumeState::InUse) => {
            Some("it was detached by a person".to_owned())
        }
    }
}

/// Puts the trouble on record, once, and tells a person each time.
fn amiss(
    subject: &Subject,
    seen: &Observation,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
    problem: String,
) -> Decision {
    let volume = wanted.volume.clone();
    let reason = Reason::VolumeAstray { volume: volume.clone(), problem: problem.clone() };
    let alarm = Alarm::VolumeAstray {
        slot: slot.id.clone(),
        holder: subject.instance.clone(),
        volume,
        problem,
    };
    let text = reason.to_string();
    if slot.reason == text {
        rest(false, None, reason).with_alarm(Some(alarm))
    } else if seen.answers.polls < LOOKS {
        decision(Step::Poll, reason)
    } else {
        commit(drift::note(claim, slot, Whole::Amiss, &text), reason).with_alarm(Some(alarm))
    }
}

/// Sets a volume to stay when the instance is terminated, and sees that it took effect.
fn stays(seen: &Observation, wanted: &SlotVolume) -> Option<Decision> {
    let volume = wanted.volume.clone();
    let attachment = seen.described.volumes.get(&volume)?.attachment()?;
    match attachment.delete_on_termination {
        DeleteOnTermination::Keep => None,
        DeleteOnTermination::Delete if seen.answers.kept.contains(&attachment.device) => {
            Some(look(seen, Reason::KeepVolume { volume }))
        }
        DeleteOnTermination::Delete => {
            let device = attachment.device.clone();
            Some(effect(Effect::KeepOnTermination(device), Reason::KeepVolume { volume }))
        }
    }
}
