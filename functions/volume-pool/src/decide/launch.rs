//! A launching instance: queue, lease, attach, verify, CONTINUE.

use std::collections::BTreeMap;
use std::time::Duration;

use super::grow::Waiter;
use super::{
    Alarm, Decision, Effect, LOOKS, Observation, OpenAction, Reason, Step, Subject, choose, commit,
    complete, decision, effect, give_up, grow, join, leave, open_action, rest, running, timeout,
};
use crate::action::{Action, ActionResult, GiveUp, Transition};
use crate::drift;
use crate::ids::{DeviceName, VolumeId};
use crate::lease_tag::LeaseTag;
use crate::observation::{
    Attachment, AttachmentState, DeleteOnTermination, InstanceState, Volume, VolumeState, tags,
};
use crate::ports::Refusal;
use crate::record::{Claim, Format, Phase, Slot, SlotVolume};
use crate::time::Timestamp;
use crate::transition;

/// An attachment that takes longer than this is stuck: reused device names have hung for ever in the field.
const STUCK_ATTACHING: Duration = Duration::from_secs(90);
/// `DescribeVolumes` may lag behind an accepted `AttachVolume` for this long before it is sent again.
const DESCRIBE_LAG: Duration = Duration::from_secs(10);
/// How many looks that may take: more than fit into it, so that time decides.
const LAG_LOOKS: u32 = 30;
/// How many attachments EC2 may accept and undo before a person is told.
const MOST_UNDONE: u32 = 3;
/// A volume that EC2 has not shown for this long after its slot was leased, and in so many looks, was deleted.
const MISSING_AFTER: Duration = Duration::from_mins(10);
const MISSING_LOOKS: u32 = 4;
/// How many looks it gets until EC2 says that a volume of a slot to be set apart is off the instance.
const OFF_LOOKS: u32 = 12;
/// How often refused tags are tried before the launch is held for them.
const TAG_TRIES: u32 = 3;
/// How often a refused attachment is tried before reconcile goes on with it.
const ATTACH_TRIES: u32 = 4;

pub(super) fn decide(subject: &Subject, seen: &Observation, now: Timestamp) -> Decision {
    let phase = seen.claim.as_ref().map(|claim| &claim.phase);
    let action = match open_action(subject, seen, Transition::Launching) {
        OpenAction::Open(action) => action,
        OpenAction::Look(decision) => return decision,
        // What the instance let go of is still to be released.
        OpenAction::Answered | OpenAction::NotOurs
            if matches!(phase, Some(Phase::Leaving { .. })) =>
        {
            return leave::without_action(seen, now);
        }
        // What is being created is kept, for others.
        OpenAction::Answered if matches!(phase, Some(Phase::Creating { .. })) => {
            return grow::for_nobody(seen, now, None, Reason::Answered);
        }
        OpenAction::Answered => return rest(false, None, Reason::Answered),
        OpenAction::NotOurs => return rest(false, None, Reason::NotOurHook),
    };
    if let Some(decision) = give_up::answer(subject, seen, now, &action) {
        return decision;
    }
    let decision = by_phase(subject, seen, now, action.clone());
    timeout::within_limit(seen, now, &action, decision)
}

fn by_phase(subject: &Subject, seen: &Observation, now: Timestamp, action: Action) -> Decision {
    match seen.claim.as_ref().map(|claim| (claim, &claim.phase)) {
        None | Some((_, Phase::Closed)) => join::decide(subject, seen, now, action),
        Some((claim, Phase::Creating { place, .. })) => match (&seen.zone, &claim.policy) {
            (Some(zone), Some(policy)) => {
                let waiter = Waiter { claim, place, zone, policy, action: &action };
                choose::paused(zone, place, &action)
                    .unwrap_or_else(|| grow::go_on(waiter, seen, now))
            }
            _ => commit(None, Reason::RecordsDisagree),
        },
        Some((claim, Phase::Waiting { place, .. })) => {
            choose::decide(subject, seen, now, claim, place, &action)
        }
        Some((claim, Phase::Leased { .. })) => match &seen.slot {
            Some(slot) if transition::holds(claim, slot) => {
                verify(subject, seen, now, (claim, slot), action)
            }
            _ => commit(None, Reason::RecordsDisagree),
        },
        Some((_, Phase::Leaving { .. })) => leave::before_launch(subject, seen, now, &action),
    }
}

/// The slot is leased: bring every volume of it to this instance, then say so.
fn verify(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    action: Action,
) -> Decision {
    for wanted in &slot.volumes {
        if let Some(problem) = unusable(subject, seen, now, (claim, slot), wanted) {
            return set_apart(subject, seen, now, (claim, slot), &wanted.volume, problem);
        }
    }
    let undone = slot
        .volumes
        .iter()
        .find_map(|volume| bring(subject, seen, now, (claim, slot), volume, &action));
    match undone {
        // The time that EC2 takes to attach a volume is time to set the tags in.
        Some(waiting) if waiting.step == Step::Poll && !seen.answers.attaching.is_empty() => {
            return tag(subject, seen, slot).unwrap_or(waiting);
        }
        Some(decision) => return decision,
        None => {}
    }
    if let Some(decision) = tag(subject, seen, slot) {
        return decision;
    }
    if let Some(decision) = give_up::succeeded(seen) {
        return decision;
    }
    if slot.format == Format::Allowed {
        let reason = Reason::FirstLaunch { slot: slot.id.clone() };
        return commit(transition::first_launch(claim, slot), reason);
    }
    complete(seen, action, ActionResult::Continue, Reason::Verified { slot: slot.id.clone() })
}

/// What one volume needs, or nothing where it is attached to this instance and will outlive it.
fn bring(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
    action: &Action,
) -> Option<Decision> {
    let id = &wanted.volume;
    let Some(volume) = seen.described.volumes.get(id) else {
        // Eventual consistency, or deleted by a person: not to be told apart here, and never a reason to let go.
        return Some(wait(subject, seen, action, Reason::VolumeNotShown { volume: id.clone() }));
    };
    match volume.attachment() {
        Some(attachment) if attachment.instance.as_ref() == Some(&subject.instance) => {
            attached_here(seen, now, (claim, slot), wanted, attachment)
        }
        // On an earlier holder: `unusable` has seen to all others.
        Some(Attachment { instance, .. }) => {
            let instance = instance.clone()?;
            let reason = Reason::OnEarlierHolder { volume: id.clone(), instance };
            Some(wait(subject, seen, action, reason))
        }
        None => match &volume.state {
            VolumeState::Available => {
                Some(attach(subject, seen, now, (claim, slot), wanted, action))
            }
            VolumeState::Creating | VolumeState::InUse | VolumeState::Other(_) => {
                Some(wait(subject, seen, action, Reason::Attaching { volume: id.clone() }))
            }
        },
    }
}

/// What makes a volume of the slot unusable, if anything does. Not shown once is not gone; after a while it is.
fn unusable(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
) -> Option<String> {
    if let Some(volume) = seen.described.volumes.get(&wanted.volume) {
        return drift::unusable(slot, volume, Some(&subject.instance), now);
    }
    // Once something was taken off for it, it stays decided.
    let certain = seen.answers.polls >= MISSING_LOOKS || !seen.answers.detaching.is_empty();
    (certain && now.since(claim.since) >= MISSING_AFTER)
        .then(|| "EC2 does not know it any more: it was deleted".to_owned())
}

/// Sets the slot apart, once nothing of it is left on this instance: what was attached in this very action goes first.
fn set_apart(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    id: &VolumeId,
    problem: String,
) -> Decision {
    let reason = Reason::Quarantine { volume: id.clone(), problem: problem.clone() };
    // Told before it is done: whoever does it may die of it.
    let alarm = Alarm::Quarantined { slot: slot.id.clone(), volume: id.clone(), problem };
    for wanted in &slot.volumes {
        let volume = wanted.volume.clone();
        let shown = seen.described.volumes.get(&volume);
        let attached = shown.is_some_and(|it| it.attachment_to(&subject.instance).is_some());
        let undo = Reason::Undo { volume: volume.clone() };
        // What this run has just attached, a describe may not show yet.
        let decision = if attached || seen.answers.attaching.contains_key(&volume) {
            take_off(seen, volume, undo)
        } else if volume == *id || is_off(seen, &volume, shown) {
            continue;
        } else if seen.answers.polls < OFF_LOOKS {
            effect(Effect::Detach(volume), undo)
        } else {
            rest(true, None, undo)
        };
        return decision.with_alarm(Some(alarm));
    }
    commit(transition::quarantine(claim, slot, now, &reason.to_string()), reason)
        .with_alarm(Some(alarm))
}

/// Whether a volume is not attached to this instance for certain. What an earlier run attached before it died, a describe may
/// not show yet, so it takes EC2's own answer to a detachment; what is in error or deleted is attached to nobody.
fn is_off(seen: &Observation, id: &VolumeId, shown: Option<&Volume>) -> bool {
    let gone = shown.is_some_and(|volume| matches!(volume.state, VolumeState::Other(_)));
    gone || seen.answers.not_attached.contains(id) || seen.answers.holder_unknown.contains(id)
}

fn attached_here(
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
    attachment: &Attachment,
) -> Option<Decision> {
    let volume = wanted.volume.clone();
    let at_its_device = attachment
        .device
        .parse::<DeviceName>()
        .is_ok_and(|device| device.attachment_point() == wanted.device.attachment_point());
    match &attachment.state {
        // An earlier run gave another name to a stuck attachment, and was about to take it off: what EC2 shows now may
        // be older than that.
        AttachmentState::Attaching if !at_its_device => {
            Some(take_off(seen, volume.clone(), Reason::StuckAttaching { volume }))
        }
        AttachmentState::Attached if !at_its_device => {
            Some(take_off(seen, volume.clone(), Reason::WrongDevice { volume }))
        }
        AttachmentState::Attached if seen.answers.detaching.contains(&volume) => {
            Some(take_off(seen, volume.clone(), Reason::WrongDevice { volume }))
        }
        AttachmentState::Attached if seen.answers.took_off(&volume, attachment) => {
            Some(look(seen, Reason::Attaching { volume }))
        }
        AttachmentState::Attached => match attachment.delete_on_termination {
            DeleteOnTermination::Keep => None,
            DeleteOnTermination::Delete if seen.answers.kept.contains(&attachment.device) => {
                Some(look(seen, Reason::KeepVolume { volume }))
            }
            DeleteOnTermination::Delete => {
                let device = attachment.device.clone();
                Some(effect(Effect::KeepOnTermination(device), Reason::KeepVolume { volume }))
            }
        },
        // The next name goes on record first, so that a crash in between does not come back to the stuck one.
        AttachmentState::Attaching if now.since(attachment.attached_at) >= STUCK_ATTACHING => {
            Some(another_device(seen, (claim, slot), wanted, Reason::StuckAttaching { volume }))
        }
        AttachmentState::Attaching
        | AttachmentState::Detaching
        | AttachmentState::Detached
        | AttachmentState::Busy
        | AttachmentState::Other(_) => Some(look(seen, Reason::Attaching { volume })),
    }
}

/// Takes a volume off this instance again, in the very action that attached it and before the launch is completed.
fn take_off(seen: &Observation, volume: VolumeId, reason: Reason) -> Decision {
    if seen.answers.detaching.contains(&volume) {
        look(seen, reason)
    } else {
        effect(Effect::Detach(volume), reason)
    }
}

/// Something is under way at EC2 that takes seconds: look a few times, then leave it to whoever comes next.
pub(super) fn look(seen: &Observation, reason: Reason) -> Decision {
    if seen.answers.polls < LOOKS { decision(Step::Poll, reason) } else { rest(true, None, reason) }
}

fn attach(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
    action: &Action,
) -> Decision {
    let volume = wanted.volume.clone();
    if !running(seen) {
        return wait(subject, seen, action, Reason::InstancePending);
    }
    if seen.answers.attaching.get(&volume).is_some_and(|sent| now.since(*sent) < DESCRIBE_LAG) {
        return match seen.answers.polls {
            0..LAG_LOOKS => decision(Step::Poll, Reason::Attaching { volume }),
            _ => rest(true, None, Reason::Attaching { volume }),
        };
    }
    if seen.answers.attachments.get(&volume).is_some_and(|taken| *taken >= MOST_UNDONE) {
        let problem = undone(seen.described.volumes.get(&volume));
        let resting =
            rest(true, Some(action.clone()), Reason::AttachUndone { volume: volume.clone() });
        return resting.with_alarm(Some(Alarm::AttachRefused { volume, problem }));
    }
    if taken(seen, &wanted.device) {
        let reason = Reason::DeviceTaken { volume, device: wanted.device.clone() };
        return another_device(seen, (claim, slot), wanted, reason);
    }
    match seen.answers.attach_refused.get(&volume) {
        // A describe may lag behind the state that EC2 refused it for: look again, then ask again.
        Some((tries, _)) if *tries < ATTACH_TRIES && seen.answers.polls < *tries => {
            decision(Step::Poll, Reason::Attaching { volume })
        }
        Some((tries, refusal)) if *tries >= ATTACH_TRIES => {
            let problem = refusal.to_string();
            let resting = rest(
                true,
                Some(action.clone()),
                Reason::AttachRefused { volume: volume.clone(), problem: problem.clone() },
            )
            .with_alarm(Some(Alarm::AttachRefused { volume, problem }));
            match refusal {
                Refusal::LimitExceeded => {
                    give_up::counted(seen, now, (claim, action), GiveUp::AttachmentLimit, resting)
                }
                _ => resting,
            }
        }
        Some(_) | None => {
            effect(Effect::Attach(volume.clone(), wanted.device.clone()), Reason::Attach { volume })
        }
    }
}

/// What a person is told of a volume whose attachments EC2 accepts and undoes. It does so without a word where it can't
/// use the volume's key ("EBS Volume Notification", `attachVolume`: the cause is in the event only).
fn undone(volume: Option<&Volume>) -> String {
    let key = volume.filter(|volume| volume.like.encrypted).map(|volume| &volume.like.kms_key_id);
    let remedy = match key {
        Some(Some(key)) => format!(
            "as it does where the volume's KMS key can't be used: enable {key}, or allow its use"
        ),
        Some(None) => {
            "as it does where the volume's KMS key can't be used: enable that key, or allow its use"
                .to_owned()
        }
        None => {
            "and says why in EventBridge only: look at the volume's attachVolume events".to_owned()
        }
    };
    format!("EC2 accepts the attachment and then undoes it, {remedy}")
}

fn another_device(
    seen: &Observation,
    (claim, slot): (&Claim, &Slot),
    wanted: &SlotVolume,
    reason: Reason,
) -> Decision {
    let free = DeviceName::candidates().find(|candidate| {
        !taken(seen, candidate)
            && slot
                .volumes
                .iter()
                .all(|other| other.device.attachment_point() != candidate.attachment_point())
    });
    match free {
        Some(device) => {
            commit(transition::change_device(claim, slot, &wanted.volume, device), reason)
        }
        None => rest(true, None, Reason::NoDeviceLeft).with_alarm(Some(Alarm::AttachRefused {
            volume: wanted.volume.clone(),
            problem: "every device name is taken on the instance".to_owned(),
        })),
    }
}

/// Whether the device name is in use on the instance: by its block device mapping, or by EC2's own word.
fn taken(seen: &Observation, device: &DeviceName) -> bool {
    let mapped = seen.described.instance.iter().flat_map(|instance| &instance.devices);
    mapped
        .filter_map(|name| name.parse::<DeviceName>().ok())
        .chain(seen.answers.devices_taken.iter().cloned())
        .any(|other| other.attachment_point() == device.attachment_point())
}

/// The tags by which the instance knows its volumes, and by which a lost table could be rebuilt.
pub(super) fn tag(subject: &Subject, seen: &Observation, slot: &Slot) -> Option<Decision> {
    for wanted in &slot.volumes {
        let mut tags = BTreeMap::from([
            (tags::SLOT.to_owned(), slot.id.to_string()),
            (tags::VOLUME.to_owned(), wanted.name.to_string()),
        ]);
        let lease = LeaseTag::present(slot, &wanted.volume);
        tags.extend(lease.map(|lease| (tags::LEASE.to_owned(), lease.to_string())));
        let present = seen.described.volumes.get(&wanted.volume).map(|volume| &volume.tags);
        if let Some(decision) = missing_tags(seen, wanted.volume.as_str(), present, tags) {
            return Some(decision);
        }
    }
    let mut tags = BTreeMap::from([
        (tags::SLOT.to_owned(), slot.id.to_string()),
        (tags::INDEX.to_owned(), slot.id.index.to_string()),
    ]);
    for wanted in &slot.volumes {
        // One value, so that the permission never gets about without the volume that it is for.
        let permission = if slot.may_format(wanted) { tags::MAY_FORMAT } else { "" };
        tags.insert(
            format!("{}:{}", tags::VOLUME, wanted.name),
            format!("{}{permission}", wanted.volume),
        );
    }
    let present = seen.described.instance.as_ref().map(|instance| &instance.tags);
    missing_tags(seen, subject.instance.as_str(), present, tags)
}

fn missing_tags(
    seen: &Observation,
    resource: &str,
    present: Option<&BTreeMap<String, String>>,
    wanted: BTreeMap<String, String>,
) -> Option<Decision> {
    let there = present
        .is_some_and(|present| wanted.iter().all(|(key, value)| present.get(key) == Some(value)));
    if there || seen.answers.tagged.contains(resource) {
        return None;
    }
    if seen.answers.tags_refused >= TAG_TRIES {
        return Some(rest(true, None, Reason::TagsRefused).with_alarm(Some(Alarm::TagsRefused)));
    }
    let reason = Reason::TagsMissing { resource: resource.to_owned() };
    Some(effect(Effect::Tag(resource.to_owned(), wanted), reason))
}

/// Nothing can be done at this moment: a few more looks, then someone comes back. What an event has announced is
/// worth looking for; an instance that is just starting is not, the event `running` brings it up again.
fn wait(subject: &Subject, seen: &Observation, action: &Action, reason: Reason) -> Decision {
    const FEW_LOOKS: u32 = 8;
    let starting = seen
        .described
        .instance
        .as_ref()
        .is_some_and(|instance| instance.state == InstanceState::Pending)
        && subject.hint != Some(InstanceState::Running);
    if seen.answers.polls < FEW_LOOKS && !starting {
        decision(Step::Poll, reason)
    } else {
        rest(true, Some(action.clone()), reason)
    }
}
