//! What was done and why, for the one wide log line of an invocation and for its metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::action::ActionResult;
use crate::decide::{Alarm, Look, Reason, Step};
use crate::ids::SlotId;
use crate::record::Place;

/// What one loop did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Journal {
    /// The slot that it was about last.
    pub slot: Option<SlotId>,
    /// The pool and zone of that slot, or of the queue that the instance stood in.
    pub place: Option<Place>,
    /// Its steps, in order.
    pub steps: Vec<StepTaken>,
    /// The reasons of its steps, for counts.
    pub reasons: Vec<Reason>,
    /// What a person must know of, each once.
    pub alarms: BTreeSet<Alarm>,
    /// What EC2 or Auto Scaling refused.
    pub refusals: Vec<String>,
    /// Calls that gave no answer to go by.
    pub failures: Vec<String>,
    /// How often another invocation was faster.
    pub lost_races: u32,
    /// How often it was so in leasing a slot.
    pub lost_leases: u32,
    /// How many transactions were made and calls accepted that bring something forward; guards and heartbeats do not.
    pub changes: u32,
    /// Whether it leaves a launch waiting for a person.
    pub held: bool,
    /// The answer that Auto Scaling took.
    pub answered: Option<ActionResult>,
    /// How long the action had waited for it, since it was first taken up.
    pub answered_after: Option<Duration>,
    /// How long the launch that goes on with a slot had been without it although it was free.
    pub reattached_after: Option<Duration>,
}

impl Journal {
    /// Forgets all but the last step, which the loop itself looks back at.
    pub(crate) fn forget(&mut self) {
        let last = self.steps.pop();
        *self = Self { steps: last.into_iter().collect(), ..Self::default() };
    }
}

/// One step of a loop.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StepTaken {
    /// What was done, in one or two words.
    pub step: String,
    /// Why.
    pub reason: String,
}

impl StepTaken {
    pub(crate) fn new(step: &Step, reason: &Reason) -> Self {
        let name = match step {
            Step::Look(Look::Hooks(_)) => "look at hooks",
            Step::Look(Look::Enrolment(_)) => "look at hooks and group",
            Step::Look(Look::Candidates(_)) => "look for volumes",
            Step::Look(Look::Pool(_)) => "look at the whole pool",
            Step::Look(Look::SlotVolumes(_)) => "look for created volumes",
            Step::Look(Look::Held(_)) => "look at leased slots",
            Step::Look(Look::Group(_)) => "look at the group",
            Step::Look(Look::Others(_)) => "look at other holders",
            Step::Look(Look::Instances(_)) => "look at holders",
            Step::Look(Look::Command(_)) => "look at the command",
            Step::Commit(transaction) => transaction.name,
            Step::Effect(effect) => effect.call(),
            Step::Poll => "poll",
            Step::Serve(_) => "serve waiters",
            Step::Rest { work_left: true, .. } => "rest, work left",
            Step::Rest { work_left: false, .. } => "rest, settled",
        };
        Self { step: name.to_owned(), reason: reason.to_string() }
    }

    /// Whether it changes nothing, and is there to see more.
    pub fn is_look(&self) -> bool {
        self.step.starts_with("look ")
    }

    pub(crate) fn out_of_time(reason: &Reason) -> Self {
        Self { step: "out of time".to_owned(), reason: reason.to_string() }
    }
}
