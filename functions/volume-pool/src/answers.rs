//! What an invocation's own calls were answered. EC2's describes may be stale; an answer to a call of ours is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, ActionResult};
use crate::command::LeaveCommand;
use crate::effect::Effect;
use crate::ids::{CommandId, DeviceName, HookName, VolumeId, VolumeName};
use crate::observation::{Attachment, Described, Volume};
use crate::ports::Refusal;
use crate::time::Timestamp;

/// How often an answer that found no active action is sent in one run.
pub(crate) const COMPLETE_TRIES: u32 = 3;

/// What this invocation's own calls for the instance were answered, under the guard that it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Answers {
    /// The answer that Auto Scaling took.
    pub completed: Option<(Action, ActionResult)>,
    /// How often Auto Scaling knew of no active action, for the action asked about last.
    pub no_active_action: u32,
    /// The action asked about last.
    pub asked: Option<Action>,
    /// Actions of which Auto Scaling has said often enough that it knows no such active action.
    pub inactive: Vec<Action>,
    /// How often EC2 refused the instance's tags.
    pub tags_refused: u32,
    /// Volumes of which `DetachVolume` itself said that they are not attached.
    pub not_attached: BTreeSet<VolumeId>,
    /// Volumes whose detachment EC2 accepted.
    pub detaching: BTreeSet<VolumeId>,
    /// When the attachment was made that this run took off last, of every volume that it took off, by EC2's clock.
    pub taken_off: BTreeMap<VolumeId, Timestamp>,
    /// How often EC2 accepted a detachment.
    pub detachments: u32,
    /// Volumes of which EC2 said, asked to detach them, that it does not know the holder.
    pub holder_unknown: BTreeSet<VolumeId>,
    /// Devices whose volumes EC2 said will stay when the instance is terminated.
    pub kept: BTreeSet<String>,
    /// Volumes whose attachment EC2 accepted, and when.
    pub attaching: BTreeMap<VolumeId, Timestamp>,
    /// How often EC2 accepted the attachment of a volume since it was last taken off by this run.
    pub attachments: BTreeMap<VolumeId, u32>,
    /// Volumes whose attachment EC2 refused: how often, and how it did last.
    pub attach_refused: BTreeMap<VolumeId, (u32, Refusal)>,
    /// Device names that EC2 said are taken.
    pub devices_taken: BTreeSet<DeviceName>,
    /// Volumes that were created, by their names in the slot.
    pub created: BTreeMap<VolumeName, VolumeId>,
    /// Volumes whose creation EC2 refused, by their names in the slot, and how.
    pub create_refused: BTreeMap<VolumeName, Refusal>,
    /// How often EC2 refused to create one.
    pub creations_refused: u32,
    /// Hooks whose action was heartbeated, whatever the answer.
    pub heartbeats: BTreeSet<HookName>,
    /// The action whose heartbeat was asked for last, and whether Auto Scaling knew it: then it still waits, it and no later
    /// one.
    pub still_waits: Option<(Action, bool)>,
    /// The comment of the command that this run has announced and not tried to send yet.
    pub announced: Option<String>,
    /// What `SendCommand` was answered.
    pub command_sent: Option<Result<CommandId, Refusal>>,
    /// What `StopInstances` was answered.
    pub stop: Option<Result<(), Refusal>>,
    /// Resources whose tags were set.
    pub tagged: BTreeSet<String>,
    /// Volumes of the slot that was released, and when: their tag is still to say so.
    pub released: BTreeMap<VolumeId, Timestamp>,
    /// How often another invocation was faster.
    pub lost_races: u32,
    /// Whether the zone's waiters were served since the last look at the queue.
    pub served: bool,
    /// How often the loop has paused since something last changed.
    pub polls: u32,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Look again.
    Observe,
    /// Look again after a moment: at once, it would be refused again.
    ObserveLater,
}

impl Answers {
    /// Forgets what a call that is about to be made puts in doubt, whatever its answer: it may take effect unseen.
    pub fn sending(&mut self, effect: &Effect) {
        match effect {
            Effect::Attach(volume, _) => self.forget_detached(volume),
            Effect::Complete(action, _) => {
                if self.asked.as_ref() != Some(action) {
                    self.no_active_action = 0;
                }
                self.asked = Some(action.clone());
            }
            Effect::RunDocument(_) => self.announced = None,
            Effect::Detach(_)
            | Effect::KeepOnTermination(_)
            | Effect::Stop
            | Effect::Create(_)
            | Effect::Tag(..)
            | Effect::Heartbeat(_) => {}
        }
    }

    /// Takes note of the volume that was created, or of why none was.
    pub fn note_created(&mut self, name: VolumeName, answer: Result<VolumeId, Refusal>) {
        self.polls = 0;
        match answer {
            Ok(volume) => {
                self.create_refused.remove(&name);
                self.created.insert(name, volume);
            }
            Err(refusal) => {
                self.creations_refused += 1;
                self.create_refused.insert(name, refusal);
            }
        }
    }

    /// Takes note of a command that is on record now, and was not sent.
    pub fn note_announced(&mut self, command: &LeaveCommand) {
        self.announced = Some(command.comment.clone());
        self.command_sent = None;
    }

    /// Takes note of the command that was sent, or of why none was.
    pub fn note_sent(&mut self, answer: Result<CommandId, Refusal>) {
        self.polls = 0;
        self.command_sent = Some(answer);
    }

    /// Forgets what was answered to creations: another attempt begins, and the volume that failed is none of it.
    pub fn forget_creations(&mut self) {
        self.created.clear();
        self.create_refused.clear();
    }

    /// Forgets every answer about detachment: a lease or a release begins, and older answers are no evidence for it.
    pub fn forget_evidence(&mut self) {
        self.not_attached.clear();
        self.detaching.clear();
        self.holder_unknown.clear();
    }

    /// A volume that is shown attached is attached, whatever EC2 said of it before.
    pub fn contradicted_by(&mut self, described: &Described) {
        let attached = described.volumes.values().filter(|volume| volume.attachment().is_some());
        for volume in attached {
            self.not_attached.remove(&volume.id);
            self.holder_unknown.remove(&volume.id);
        }
    }

    /// Takes note of the attachment that EC2 has accepted to take off, as it was shown.
    pub fn note_taken_off(&mut self, volume: &VolumeId, described: &Described) {
        if let Some(attachment) = described.volumes.get(volume).and_then(Volume::attachment) {
            let last = self.taken_off.entry(volume.clone()).or_insert(attachment.attached_at);
            *last = attachment.attached_at.max(*last);
        }
    }

    /// Whether this is an attachment that this run took off: who attaches anew is shown it for a while.
    pub(crate) fn took_off(&self, volume: &VolumeId, attachment: &Attachment) -> bool {
        self.taken_off.get(volume).is_some_and(|last| attachment.attached_at <= *last)
    }

    fn forget_detached(&mut self, volume: &VolumeId) {
        self.not_attached.remove(volume);
        self.detaching.remove(volume);
        self.holder_unknown.remove(volume);
    }

    /// Takes note of what a call was answered.
    pub fn note(&mut self, effect: Effect, answer: Result<(), Refusal>, now: Timestamp) -> Next {
        let polls = std::mem::take(&mut self.polls);
        match (effect, answer) {
            (Effect::Attach(volume, _), Ok(())) => {
                self.attach_refused.remove(&volume);
                *self.attachments.entry(volume.clone()).or_default() += 1;
                self.attaching.insert(volume, now);
            }
            (Effect::Attach(volume, device), Err(refusal)) => {
                if refusal == Refusal::DeviceInUse {
                    self.devices_taken.insert(device);
                }
                let tries = self.attach_refused.get(&volume).map_or(0, |(tries, _)| *tries);
                self.attach_refused.insert(volume, (tries + 1, refusal));
            }
            (Effect::Detach(volume), Ok(())) => {
                self.forget_detached(&volume);
                self.attaching.remove(&volume);
                self.attachments.remove(&volume);
                self.detaching.insert(volume);
                self.detachments += 1;
            }
            (Effect::Detach(volume), Err(Refusal::NotAttached)) => {
                self.attaching.remove(&volume);
                self.not_attached.insert(volume);
            }
            (Effect::Detach(volume), Err(refusal)) => {
                if refusal == Refusal::NotFound {
                    self.holder_unknown.insert(volume);
                }
                self.polls = polls;
                return Next::ObserveLater;
            }
            (Effect::KeepOnTermination(device), Ok(())) => {
                self.kept.insert(device);
            }
            (Effect::KeepOnTermination(_), Err(_)) => {
                self.polls = polls;
                return Next::ObserveLater;
            }
            (Effect::Stop, answer) => self.stop = Some(answer),
            (Effect::Tag(resource, _), Ok(())) => self.tagged(resource),
            (Effect::Tag(resource, _), Err(_)) => {
                // A volume's tags serve to rebuild a lost table, no more; an instance finds its volumes by its own.
                if resource.parse::<VolumeId>().is_ok() {
                    self.tagged(resource);
                } else {
                    self.tags_refused += 1;
                    self.polls = polls;
                    return Next::ObserveLater;
                }
            }
            (Effect::Complete(action, result), Ok(())) => self.completed = Some((action, result)),
            (Effect::Complete(action, _), Err(_)) => {
                self.no_active_action += 1;
                if self.no_active_action >= COMPLETE_TRIES && !self.inactive.contains(&action) {
                    self.inactive.push(action);
                }
            }
            // What these are answered has a name in it: see `note_created` and `note_sent`.
            (Effect::Create(_) | Effect::RunDocument(_), _) => {}
            (Effect::Heartbeat(action), answer) => {
                self.heartbeats.insert(action.hook.clone());
                self.still_waits = Some((action, answer.is_ok()));
            }
        }
        Next::Observe
    }

    /// Takes note that a resource's tags are done with.
    pub fn tagged(&mut self, resource: String) {
        self.released.retain(|volume, _| *volume.as_str() != resource);
        self.tagged.insert(resource);
    }
}
