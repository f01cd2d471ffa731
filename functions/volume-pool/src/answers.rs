//! What an invocation's own calls were answered. EC2's describes may be stale; an answer to a call of ours is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::Effect;
use crate::event::{Action, ActionResult};
use crate::ids::{DeviceName, VolumeId};
use crate::ports::Refusal;
use crate::time::Timestamp;

/// What this invocation's own calls for the instance were answered, under the guard that it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Answers {
    /// The answer that Auto Scaling took.
    pub completed: Option<(Action, ActionResult)>,
    /// How often Auto Scaling knew of no active action.
    pub no_active_action: u32,
    /// Volumes of which `DetachVolume` itself said that they are not attached.
    pub not_attached: BTreeSet<VolumeId>,
    /// Volumes whose detachment EC2 accepted.
    pub detaching: BTreeSet<VolumeId>,
    /// Volumes whose attachment EC2 accepted, and when.
    pub attaching: BTreeMap<VolumeId, Timestamp>,
    /// Volumes whose attachment EC2 refused: how often, and how it did last.
    pub attach_refused: BTreeMap<VolumeId, (u32, Refusal)>,
    /// Device names that EC2 said are taken.
    pub devices_taken: BTreeSet<DeviceName>,
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
    /// Takes note of what a call was answered.
    pub fn note(&mut self, effect: Effect, answer: Result<(), Refusal>, now: Timestamp) -> Next {
        let refused = matches!(
            (&effect, &answer),
            (Effect::Detach(_) | Effect::KeepOnTermination(_) | Effect::Tag(..), Err(refusal)) if *refusal != Refusal::NotAttached
        );
        if refused {
            return Next::ObserveLater;
        }
        self.polls = 0;
        match (effect, answer) {
            (Effect::Attach(volume, _), Ok(())) => {
                self.attach_refused.remove(&volume);
                self.not_attached.remove(&volume);
                self.detaching.remove(&volume);
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
                self.attaching.remove(&volume);
                self.not_attached.remove(&volume);
                self.detaching.insert(volume);
            }
            (Effect::Detach(volume), Err(_)) => {
                self.not_attached.insert(volume);
            }
            (Effect::Stop, answer) => self.stop = Some(answer),
            (Effect::Tag(resource, _), _) => {
                self.released.retain(|volume, _| *volume.as_str() != resource);
                self.tagged.insert(resource);
            }
            (Effect::Complete(action, result), Ok(())) => self.completed = Some((action, result)),
            (Effect::Complete(..), Err(_)) => self.no_active_action += 1,
            (Effect::KeepOnTermination(_) | Effect::Heartbeat(_), _) => {}
        }
        Next::Observe
    }
}
