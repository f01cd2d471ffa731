//! An instance's claim, and the guard over it.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::action::{Action, ActionResult, GiveUp};
use crate::command::LeaveCommand;
use crate::ids::{InstanceId, InvocationId, SlotId};
use crate::policy::Policy;
use crate::time::Timestamp;

/// An instance's wish for a slot and its way through the protocol. One per instance, which makes "an instance never
/// holds two slots" a matter of keys. Closed, not deleted, when it is done: an instance id can live twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The instance.
    pub instance: InstanceId,
    /// Rises with every write.
    pub version: u64,
    /// How far it has come.
    pub phase: Phase,
    /// The last lifecycle action known for the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// When `action` was taken up: its hook's global timeout has run at least since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_at: Option<Timestamp>,
    /// The answer given to `action`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<ActionResult>,
    /// That the launch of `action` is to be answered ABANDON, and why: on record before it is, so that whoever comes
    /// next neither hands it a slot nor answers otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GiveUp>,
    /// The last policy that parsed for this instance's launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What makes the instance let go of its volumes, in leave mode `ssm`, since its release began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<LeaveCommand>,
    /// The invocation that may act for the instance now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Whether work is left, which is when its open mark exists.
    pub open: bool,
    /// The slot that it held last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_slot: Option<SlotId>,
    /// Why it is in this phase, for people.
    pub reason: String,
    /// Since when it has been in this phase; while it is closed, since when work was last taken up.
    pub since: Timestamp,
    /// When an action or work for it was last taken up.
    pub opened_at: Timestamp,
}

/// How far a claim has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// It wants nothing and holds nothing.
    Closed,
    /// It waits for a slot.
    Waiting {
        /// Where.
        place: Place,
        /// Its place in the queue.
        since: Timestamp,
    },
    /// A slot is being created for it.
    Creating {
        /// Where it waits.
        place: Place,
        /// Its place in the queue.
        since: Timestamp,
        /// The slot.
        slot: SlotId,
        /// Whether it still stands in the queue: until the first volume exists, what comes free is for it as well.
        queued: bool,
    },
    /// It holds a slot.
    Leased {
        /// The slot.
        slot: SlotId,
        /// The slot's epoch under this holder.
        epoch: u64,
    },
    /// It holds a slot that is being released, and will not hold it again under this epoch.
    Leaving {
        /// The slot.
        slot: SlotId,
        /// The slot's epoch under this holder.
        epoch: u64,
        /// Since when.
        since: Timestamp,
    },
}

impl Claim {
    /// A claim for an instance that has none yet.
    pub fn new(instance: InstanceId) -> Self {
        Self {
            instance,
            version: 0,
            phase: Phase::Closed,
            action: None,
            action_at: None,
            answered: None,
            given_up: None,
            policy: None,
            command: None,
            guard: None,
            open: false,
            last_slot: None,
            reason: String::new(),
            since: Timestamp::default(),
            opened_at: Timestamp::default(),
        }
    }

    /// The slot that it holds, or that is being created for it.
    pub const fn slot(&self) -> Option<&SlotId> {
        match &self.phase {
            Phase::Closed | Phase::Waiting { .. } => None,
            Phase::Creating { slot, .. }
            | Phase::Leased { slot, .. }
            | Phase::Leaving { slot, .. } => Some(slot),
        }
    }

    /// Where it waits or has a slot created for it, and since when.
    pub const fn waits(&self) -> Option<(&Place, Timestamp)> {
        match &self.phase {
            Phase::Waiting { place, since } | Phase::Creating { place, since, .. } => {
                Some((place, *since))
            }
            Phase::Closed | Phase::Leased { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// Where it stands in a queue, and since when: then it has a waiting mark.
    pub const fn queued(&self) -> Option<(&Place, Timestamp)> {
        match &self.phase {
            Phase::Creating { queued: false, .. } => None,
            _ => self.waits(),
        }
    }

    /// Takes up an action, unanswered. That its token has become known does not make it another one.
    pub fn take_up(&mut self, action: &Action, now: Timestamp) {
        let known = self.action.as_ref().filter(|_| self.answered.is_none());
        if !known.is_some_and(|known| known.may_be(action)) {
            self.action_at = Some(now);
        }
        self.action = Some(action.clone());
        self.answered = None;
        self.given_up = None;
    }

    /// Since when its action has waited, as far as is on record.
    pub fn taken_up(&self) -> Timestamp {
        self.action_at.unwrap_or(self.opened_at)
    }

    /// Since when `action` has waited, as far as is on record. One that was found without its event, and answered at once,
    /// is not on record yet: since the work for it began.
    pub fn began(&self, action: &Action) -> Timestamp {
        let recorded = self.action.as_ref().filter(|_| self.answered.is_none());
        if recorded.is_some_and(|known| known.may_be(action)) {
            self.taken_up()
        } else {
            self.opened_at
        }
    }

    /// The invocation that must be left alone at `now`, if it is not `me`.
    pub fn guarded_by_other(&self, me: &InvocationId, now: Timestamp) -> Option<&Guard> {
        self.guard.as_ref().filter(|guard| guard.invocation != *me && now < guard.until)
    }
}

/// The right to act for an instance: a mutex over its operations, never over the ownership of a slot. It may end by
/// the clock because it reaches beyond the function's hard timeout and the last call under way then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// Who acts.
    pub invocation: InvocationId,
    /// When the right has ended for certain.
    pub until: Timestamp,
}
