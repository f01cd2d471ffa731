//! The decision: one step and the reason for it, from what was observed. Pure and total; no clock, no I/O, no memory.
//!
//! There is no saved program counter. Whoever re-enters, a retry, a duplicate, reconcile, decides again from what it
//! sees, so a crash after any step is the same as an observation before the next.

mod adopt;
mod choose;
mod enrol;
mod give_up;
mod grow;
mod hold;
mod join;
mod keep;
mod launch;
mod leave;
mod reason;
mod timeout;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::answers::{Answers, COMPLETE_TRIES};
use crate::command::{CommandShown, Sought};
use crate::event::{Action, ActionResult, LifecycleEvent, Transition};
use crate::ids::{GroupName, InstanceId, PoolName, SlotId};
use crate::observation::{
    Described, GroupView, Hook, Instance, InstanceState, LifecycleState, Others, Volume, tags,
};
use crate::policy::{Mode, Policy, PolicyError};
use crate::record::{Claim, Group, HeldMark, Phase, Place, Slot};
use crate::sweep::{Found, at_work};
use crate::time::Timestamp;
use crate::transition::{self, Transaction};
use crate::zone::{Candidates, ZoneView};

pub use crate::effect::Effect;
pub use reason::{Alarm, Reason};
pub use waiting::waiting_action;
use waiting::{OpenAction, awaited, believed, open_action, our_hook, timely};

/// Whom the decision is about, and what brought it up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The instance.
    pub instance: InstanceId,
    /// The lifecycle event that brought it up, if one did.
    pub event: Option<LifecycleEvent>,
    /// The state that an EC2 event claimed; a describe may lag behind it.
    pub hint: Option<InstanceState>,
    /// Why reconcile brought it up, if it did: it was seen in one of our groups, or the records know it.
    pub found: Option<Found>,
    /// What the names of our hooks begin with.
    pub hook_prefix: String,
}

/// What was observed, in the order records, then EC2 and Auto Scaling, then the same records again, unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    /// The instance's claim.
    pub claim: Option<Claim>,
    /// The slot that the claim names.
    pub slot: Option<Slot>,
    /// What EC2 and Auto Scaling show.
    pub described: Described,
    /// The zone that the claim waits in.
    pub zone: Option<ZoneView>,
    /// The pool, if its records are being rebuilt.
    pub rebuilding: Option<PoolName>,
    /// The record of the instance's group.
    pub group: Option<Group>,
    /// The group's hooks, once they were looked at.
    pub hooks: Option<Vec<Hook>>,
    /// Available volumes with the pool's tag, once they were looked at.
    pub candidates: Option<Candidates>,
    /// Every volume with the pool's tag, in all zones and states, once they were looked at.
    pub pool: Option<Vec<Volume>>,
    /// The volumes with the tag of the slot that is being created, once they were looked at.
    pub slot_volumes: Option<Vec<Volume>>,
    /// The leased slots of the zone, once they were looked at.
    pub held: Option<Vec<HeldMark>>,
    /// The instance's group with all its instances, once it was looked at.
    pub members: Option<GroupView>,
    /// Holders that are in another group or in none, once they were looked at.
    pub others: Option<Others>,
    /// Holders of the instance's group as EC2 shows them, once they were looked at.
    pub holders: Option<BTreeMap<InstanceId, Instance>>,
    /// The command of the claim, once it was looked at; anew with each look at EC2.
    pub command: Option<CommandShown>,
    /// What this invocation's own calls were answered.
    pub answers: Answers,
}

/// How many looks in one run what takes EC2 seconds gets, an attachment or a detachment, before it is left to whoever comes
/// next: some ten seconds, the first looks close to each other.
const LOOKS: u32 = 26;

/// One step, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What to do.
    pub step: Step,
    /// Why.
    pub reason: Reason,
    /// What a person must know of.
    pub alarms: Vec<Alarm>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Look at more before deciding.
    Look(Look),
    /// Change the records.
    Commit(Transaction),
    /// Change something in AWS.
    Effect(Effect),
    /// Wait for a moment, then observe again.
    Poll,
    /// Serve the waiters of a zone, then observe again.
    Serve(Place),
    /// Nothing more now.
    Rest {
        /// Whether reconcile or an event must come back to it.
        work_left: bool,
        /// The action to keep alive meanwhile.
        heartbeat: Option<Action>,
    },
}

/// What else there is to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Look {
    /// The group's hooks.
    Hooks(GroupName),
    /// How the group is enrolled: its hooks, and itself with its tag and instances.
    Enrolment(GroupName),
    /// Available volumes with the pool's tag.
    Candidates(Place),
    /// Every volume with the pool's tag, in all zones and states.
    Pool(PoolName),
    /// The volumes with a slot's tag.
    SlotVolumes(SlotId),
    /// The leased slots of a zone.
    Held(Place),
    /// The group with all its instances.
    Group(GroupName),
    /// Instances of other groups or of none.
    Others(Vec<InstanceId>),
    /// Instances of the group, in EC2.
    Instances(Vec<InstanceId>),
    /// The command that the instance was sent.
    Command(Sought),
}

/// Decides the next step for `subject`.
pub fn decide(subject: &Subject, seen: &Observation, now: Timestamp) -> Decision {
    if let Some((volume, at)) = seen.answers.released.first_key_value() {
        let tag = BTreeMap::from([(tags::RELEASED_AT.to_owned(), at.to_string())]);
        return effect(
            Effect::Tag(volume.to_string(), tag),
            Reason::NoteRelease { volume: volume.clone() },
        );
    }
    let held = hold::decide(subject, seen);
    let mut decision = held.unwrap_or_else(|| match standing(subject, seen, now) {
        Standing::Launching => launch::decide(subject, seen, now),
        Standing::Leaving(why) => leave::decide(subject, seen, now, why),
        Standing::Settled(state) => settled(subject, seen, now, state),
    });
    if let Step::Rest { work_left: true, heartbeat: heartbeat @ None } = &mut decision.step {
        *heartbeat = waiting_action(subject, seen);
    }
    decision
}

/// Where the instance stands, by what Auto Scaling and EC2 show.
enum Standing {
    /// A launch hook waits.
    Launching,
    /// It is going, or gone.
    Leaving(Reason),
    /// Neither: nothing of it is waited for.
    Settled(String),
}

fn standing(subject: &Subject, seen: &Observation, now: Timestamp) -> Standing {
    use InstanceState as E;
    use LifecycleState as A;
    match seen.described.instance.as_ref().map(|instance| &instance.state) {
        Some(E::ShuttingDown | E::Terminated) => return Standing::Leaving(Reason::InstanceGone),
        None if forgotten(seen, now) => {
            return Standing::Leaving(Reason::InstanceForgotten);
        }
        None | Some(E::Pending | E::Running | E::Stopping | E::Stopped | E::Other(_)) => {}
    }
    let Some(shown) = seen.described.group_instance.as_ref().map(|shown| &shown.state) else {
        return Standing::Settled("no group".to_owned());
    };
    match (shown, awaited(subject, seen)) {
        (_, Some(Transition::Launching)) => Standing::Launching,
        (A::WarmedPendingWait, Some(Transition::Terminating)) => {
            Standing::Leaving(Reason::BackToWarmPool)
        }
        (_, Some(Transition::Terminating)) => Standing::Leaving(Reason::Terminating),
        (A::Terminating | A::TerminatingProceed, None) => {
            Standing::Leaving(Reason::TerminatingWithoutHook)
        }
        (state, None) if state.is_parked() && parks_with_slot(subject, seen, now) => {
            Standing::Leaving(Reason::Parked)
        }
        (state, None) => Standing::Settled(state.to_string()),
    }
}

/// Whether the instance holds a slot that is no use to it in the warm pool. Not while a launch out of the pool was
/// announced just now, which what Auto Scaling shows may not have caught up with.
fn parks_with_slot(subject: &Subject, seen: &Observation, now: Timestamp) -> bool {
    match seen.claim.as_ref().map(|claim| &claim.phase) {
        Some(Phase::Leased { .. }) => !may_lag(subject, seen, now),
        Some(Phase::Leaving { .. }) => true,
        Some(Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. }) | None => false,
    }
}

/// EC2 forgets terminated instances after about an hour, but it may also lag behind a launch or answer late. Only a
/// claim that has stayed where it is for a while is taken for one whose instance is long gone.
fn forgotten(seen: &Observation, now: Timestamp) -> bool {
    const LAG: Duration = Duration::from_mins(10);
    let shown = seen.described.group_instance.as_ref();
    // On standby it looks at nobody's health (`EnterStandby`), and goes on showing whom EC2 has forgotten.
    let unwatched = shown.is_none_or(|shown| shown.state.is_standby());
    let unknown = seen.described.instance.is_none() && unwatched;
    unknown && seen.claim.as_ref().is_some_and(|claim| now.since(claim.since) >= LAG)
}

/// Nothing is waited for: a lease follows the attachment and stays; what is being released goes on; a waiter leaves
/// the queue once Auto Scaling shows its launch to be over.
///
/// Auto Scaling's describe may lag behind its own event. So while an action was taken up just now and has no answer,
/// this is no more than a reason to look again: else the event would be spent, and nobody come back.
fn settled(subject: &Subject, seen: &Observation, now: Timestamp, state: String) -> Decision {
    let shown = seen.described.group_instance.as_ref().map(|instance| &instance.state);
    let phase = seen.claim.as_ref().map_or(&Phase::Closed, |claim| &claim.phase);
    if behind_hint(subject, seen) && !matches!(phase, Phase::Closed) {
        return look_again(seen, Reason::NotYetWaiting { state });
    }
    if !matches!(phase, Phase::Leaving { .. }) && may_lag(subject, seen, now) {
        return look_again(
            seen,
            match shown {
                Some(_) => Reason::NotYetWaiting { state },
                None => Reason::NotInGroup,
            },
        );
    }
    if let (Some(shown), Some(claim)) = (shown, &seen.claim)
        && shown.is_retained()
        && let Phase::Leased { slot, .. } | Phase::Leaving { slot, .. } = &claim.phase
    {
        // Nothing is taken off it, not even while it is stopped: a person is to look at it first.
        let alarm = Alarm::RetainedHolder { slot: slot.clone(), holder: claim.instance.clone() };
        let work_left = matches!(claim.phase, Phase::Leaving { .. });
        return rest(work_left, None, Reason::Retained { slot: slot.clone() })
            .with_alarm(Some(alarm));
    }
    match (phase, shown, &seen.claim) {
        (Phase::Leaving { .. }, ..) => leave::without_action(seen, now),
        (Phase::Creating { .. }, Some(shown), _) if *shown != LifecycleState::Pending => {
            grow::for_nobody(seen, now, None, Reason::LaunchOver { state })
        }
        (_, Some(LifecycleState::Pending), _) => look_again(seen, Reason::NotYetWaiting { state }),
        (Phase::Waiting { .. }, Some(shown), Some(claim)) => {
            let unserved = *shown == LifecycleState::InService;
            commit(transition::close(claim, now), Reason::LaunchOver { state })
                .with_alarm(unserved.then_some(Alarm::InServiceWithoutSlot))
        }
        (Phase::Waiting { .. } | Phase::Creating { .. }, ..) => {
            look_again(seen, Reason::NotInGroup)
        }
        (Phase::Closed, ..) => enrol::decide(subject, seen, now)
            .unwrap_or_else(|| rest(false, None, Reason::NothingWaitedFor { state })),
        (Phase::Leased { .. }, shown, Some(claim)) => match &seen.slot {
            // Without a group it keeps its slot as long as it lives: a lease follows the attachment.
            Some(slot)
                if subject.found.is_some()
                    && shown.is_none_or(at_work)
                    && seen.described.instance.is_some()
                    && transition::holds(claim, slot) =>
            {
                keep::decide(subject, seen, (claim, slot), Reason::NothingWaitedFor { state })
            }
            Some(_) | None => rest(false, None, Reason::NothingWaitedFor { state }),
        },
        (Phase::Leased { .. }, _, None) => commit(None, Reason::RecordsDisagree),
    }
}

/// Whether EC2's event has said more than its describe shows: the instance is gone, and nothing else will say so again.
fn behind_hint(subject: &Subject, seen: &Observation) -> bool {
    subject.hint == Some(InstanceState::Terminated) && seen.described.instance.is_some()
}

/// Whether an action without an answer was taken up so recently that Auto Scaling may not show it yet.
fn may_lag(subject: &Subject, seen: &Observation, now: Timestamp) -> bool {
    /// Auto Scaling's describe shows what its event announced within seconds.
    const LAG: Duration = Duration::from_mins(2);
    /// That it shows no group at all is no reason to give an action up for long: only who was detached stays so.
    const UNKNOWN: Duration = Duration::from_hours(1);
    let Some(claim) = &seen.claim else { return subject.event.is_some() };
    let event = timely(subject, seen);
    let unanswered = match event {
        Some(event) => claim.action.as_ref() != Some(&event.action) || claim.answered.is_none(),
        None => claim.action.is_some() && claim.answered.is_none(),
    };
    let action = event.map(|event| &event.action).or(claim.action.as_ref());
    // A describe that lags shows what was before, and a launch comes to these only after its hooks.
    let past_launch = action.is_some_and(|action| action.transition == Transition::Launching)
        && seen.described.group_instance.as_ref().is_some_and(|shown| {
            matches!(shown.state, LifecycleState::PendingProceed | LifecycleState::InService)
        });
    if past_launch {
        return false;
    }
    let answered_now = seen.answers.completed.is_some();
    let lag = if seen.described.group_instance.is_some() { LAG } else { UNKNOWN };
    // Work that is taken up anew does not make an action of long ago a new one.
    let since = event.map_or_else(|| claim.taken_up(), |_| claim.opened_at);
    unanswered && !answered_now && now.since(since) < lag
}

fn look_again(seen: &Observation, reason: Reason) -> Decision {
    const FEW_LOOKS: u32 = 12;
    if seen.answers.polls < FEW_LOOKS {
        decision(Step::Poll, reason)
    } else {
        rest(true, None, reason)
    }
}

/// The policy that the instance goes by.
enum PolicyView {
    /// This one, and what is wrong with the hook's, if something is.
    Known(Policy, Option<Alarm>),
    /// None that parses.
    Faulty(PolicyError),
    /// The group's hooks must tell.
    Look(Decision),
}

/// For a launch that begins: the policy that came with its event, else the hook's as it is now. One on record is that of
/// an earlier life of the instance, and goes for where the group has no hook of ours any more.
fn policy(subject: &Subject, seen: &Observation) -> PolicyView {
    if let Some(event) = believed(subject, seen)
        && event.action.transition == Transition::Launching
    {
        return last_good(seen, Policy::parse(event.metadata.as_deref()));
    }
    let recorded = seen.claim.as_ref().and_then(|claim| claim.policy.clone());
    let otherwise = recorded
        .map_or(PolicyView::Faulty(PolicyError::Missing), |policy| PolicyView::Known(policy, None));
    launch_policy(subject, seen).unwrap_or(otherwise)
}

/// The policy of the group's launch hook as it is now; nothing where the group has no such hook of ours.
fn launch_policy(subject: &Subject, seen: &Observation) -> Option<PolicyView> {
    let group = seen.described.group_instance.as_ref().map(|instance| &instance.group)?;
    let Some(hooks) = &seen.hooks else {
        let look = Step::Look(Look::Hooks(group.clone()));
        return Some(PolicyView::Look(decision(look, Reason::PolicyUnknown)));
    };
    let hook = our_hook(subject, hooks, Transition::Launching)?;
    Some(last_good(seen, Policy::parse(hook.metadata.as_deref())))
}

/// Whether the group's launch hook, once it was looked at, asks for observation only.
pub fn only_observes(subject: &Subject, hooks: &[Hook]) -> bool {
    our_hook(subject, hooks, Transition::Launching).is_some_and(|hook| {
        Policy::parse(hook.metadata.as_deref()).is_ok_and(|policy| policy.mode == Mode::Observe)
    })
}

fn last_good(seen: &Observation, parsed: Result<Policy, PolicyError>) -> PolicyView {
    let recorded = seen.group.as_ref().map(|group| &group.policy);
    match (parsed, recorded) {
        (Ok(policy), _) => PolicyView::Known(policy, None),
        (Err(error), Some(recorded)) => PolicyView::Known(
            recorded.clone(),
            Some(Alarm::PolicyFault {
                error,
                instead: "the group's last good policy is used".to_owned(),
            }),
        ),
        (Err(error), None) => PolicyView::Faulty(error),
    }
}

fn running(seen: &Observation) -> bool {
    matches!(seen.described.instance, Some(Instance { state: InstanceState::Running, .. }))
}

const fn decision(step: Step, reason: Reason) -> Decision {
    Decision { step, reason, alarms: Vec::new() }
}

fn effect(effect: Effect, reason: Reason) -> Decision {
    decision(Step::Effect(effect), reason)
}

fn rest(work_left: bool, heartbeat: Option<Action>, reason: Reason) -> Decision {
    decision(Step::Rest { work_left, heartbeat }, reason)
}

/// A transition that can't be built means that the records contradict each other: nothing is touched then.
fn commit(transaction: Option<Transaction>, reason: Reason) -> Decision {
    match transaction {
        Some(transaction) => decision(Step::Commit(transaction), reason),
        None => Decision {
            step: Step::Rest { work_left: true, heartbeat: None },
            reason: Reason::RecordsDisagree,
            alarms: vec![Alarm::RecordsDisagree],
        },
    }
}

/// Answers the action. That Auto Scaling knows no such action does not mean that it is over: while the instance still
/// waits, the same answer may be taken a moment later.
fn complete(seen: &Observation, action: Action, result: ActionResult, reason: Reason) -> Decision {
    let tries = match &seen.answers.asked {
        _ if seen.answers.inactive.contains(&action) => COMPLETE_TRIES,
        Some(asked) if *asked != action => 0,
        Some(_) | None => seen.answers.no_active_action,
    };
    match tries {
        0 => effect(Effect::Complete(action, result), reason),
        tries if tries < COMPLETE_TRIES && seen.answers.polls < tries => {
            decision(Step::Poll, Reason::NoActiveActionYet)
        }
        tries if tries < COMPLETE_TRIES => effect(Effect::Complete(action, result), reason),
        _ => rest(true, Some(action), Reason::NoActiveActionYet),
    }
}

impl Decision {
    /// Whether it leaves a launch waiting for a person: kept alive, with an alarm that says what for.
    pub fn holds_launch(&self) -> bool {
        let waiting = matches!(&self.step, Step::Rest { work_left: true, heartbeat: Some(action) }
            if action.transition == Transition::Launching);
        waiting && self.alarms.iter().any(Alarm::holds_launch)
    }

    fn with_alarm(mut self, alarm: Option<Alarm>) -> Self {
        self.alarms.extend(alarm);
        self
    }
}
