//! An instance that is going or gone: begin the release, bring the volumes off it, and release on evidence only.
//!
//! Safety: no volume is detached from a running instance unless the policy says so, or the document that it names has
//! unmounted it; a slot is free only once [`evidence`] says that its volumes are.

mod document;

use std::time::Duration;

use super::waiting::{action_by_hook, awaited, goes_back};
use super::{
    Alarm, Decision, Effect, LOOKS, Look, Observation, OpenAction, Reason, Step, Subject, commit,
    complete, decision, effect, forgotten, give_up, grow, hold, look_again, open_action, rest,
};
use crate::action::GiveUp;
use crate::event::{Action, ActionResult, Transition};
use crate::evidence::{Missing, evidence};
use crate::ids::VolumeId;
use crate::observation::{AttachmentState, InstanceState, LifecycleState, VolumeState};
use crate::policy::{Leave, LeaveMode};
use crate::record::{Claim, Phase, Slot};
use crate::time::Timestamp;
use crate::transition;

/// How often a detachment is asked for in one run.
const DETACH_TRIES: u32 = 6;
/// A volume that EC2 has not shown for this long is missing.
const MISSING_AFTER: Duration = Duration::from_mins(10);

pub(super) fn decide(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    why: Reason,
) -> Decision {
    // Once EC2 shows the instance gone, an answer changes nothing; it is still given, so that the group goes on.
    let awaited = awaited(subject, seen).filter(|it| *it == Transition::Terminating);
    let action = match awaited.map(|transition| open_action(subject, seen, transition)) {
        Some(OpenAction::Answered) if may_wait_again(subject, seen, now) => {
            Some(action_by_hook(subject, seen, Transition::Terminating))
        }
        open => open,
    };
    let action = match action {
        Some(OpenAction::Look(decision)) => return decision,
        Some(OpenAction::Open(action)) => Some(action),
        Some(OpenAction::Answered | OpenAction::NotOurs) | None => None,
    };
    match seen.claim.as_ref().map(|claim| (claim, &claim.phase)) {
        None | Some((_, Phase::Closed)) => match action {
            Some(action) => hold::leaver(subject, seen).unwrap_or_else(|| {
                complete(seen, action, ActionResult::Continue, Reason::HoldsNothing)
            }),
            None => rest(false, None, Reason::HoldsNothing),
        },
        Some((claim, Phase::Waiting { .. })) => commit(transition::close(claim, now), why),
        Some((_, Phase::Creating { .. })) => grow::for_nobody(seen, now, action, why),
        Some((claim, Phase::Leased { .. })) => match &seen.slot {
            Some(slot) => {
                let transaction =
                    transition::begin_release(claim, slot, action.as_ref(), now, &why.to_string());
                commit(transaction, why)
            }
            None => commit(None, Reason::RecordsDisagree),
        },
        Some((claim, Phase::Leaving { since, .. })) => match &seen.slot {
            Some(slot) if transition::holds(claim, slot) => {
                let leaving = Leaving { claim, slot, since: *since, action, undoing: false };
                leaving.decide(subject, seen, now)
            }
            _ => commit(None, Reason::RecordsDisagree),
        },
    }
}

/// Takes off what a launch that is given up had attached, and releases its slot by evidence. Nothing where that takes
/// too long: the instance is terminated then, which frees the volumes.
pub(super) fn undo(subject: &Subject, seen: &Observation, now: Timestamp) -> Option<Decision> {
    let (claim, slot) = (seen.claim.as_ref()?, seen.slot.as_ref()?);
    let Phase::Leaving { since, .. } = &claim.phase else { return None };
    let limit = claim.policy.as_ref().map_or_else(Leave::default, |policy| policy.leave.clone());
    if !transition::holds(claim, slot) || over(&limit, now, *since) {
        return None;
    }
    let leaving = Leaving { claim, slot, since: *since, action: None, undoing: true };
    let decision = leaving
        .by_evidence(seen, now, LeaveMode::Terminate)
        .unwrap_or_else(|| leaving.detach(subject, seen));
    (!matches!(decision.step, Step::Rest { .. })).then_some(decision)
}

fn over(leave: &Leave, now: Timestamp, since: Timestamp) -> bool {
    now.since(since) >= Duration::from_secs(u64::from(leave.seconds))
}

/// Back from the warm pool before its last release ended: that one is finished first, then it leases anew. What does not
/// come to an end in time is left to the termination.
pub(super) fn before_launch(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    action: &Action,
) -> Decision {
    let (Some(claim), Some(slot)) = (&seen.claim, &seen.slot) else {
        return commit(None, Reason::RecordsDisagree);
    };
    let Phase::Leaving { since, .. } = &claim.phase else {
        return commit(None, Reason::RecordsDisagree);
    };
    if !transition::holds(claim, slot) {
        return commit(None, Reason::RecordsDisagree);
    }
    let leave = claim.policy.as_ref().map_or_else(Leave::default, |policy| policy.leave.clone());
    // Its time begins anew with this life.
    let since = claim.opened_at.max(*since);
    let undoing = leave.mode == LeaveMode::Detach;
    let leaving = Leaving { claim, slot, since, action: None, undoing };
    let stopped = seen
        .described
        .instance
        .as_ref()
        .is_some_and(|instance| instance.state == InstanceState::Stopped);
    let decision = match leaving.by_evidence(seen, now, leave.mode) {
        Some(decision) => decision,
        None if undoing || stopped => leaving.detach(subject, seen),
        None => rest(true, None, Reason::FinishRelease { slot: slot.id.clone() }),
    };
    if over(&leave, now, since) && matches!(decision.step, Step::Rest { .. }) {
        return give_up::counted(seen, now, (claim, action), GiveUp::ReleaseUnfinished, decision);
    }
    decision
}

/// Goes on with a release though no action waits for it: only what is evident.
pub(super) fn without_action(seen: &Observation, now: Timestamp) -> Decision {
    match (&seen.claim, &seen.slot) {
        (Some(claim), Some(slot)) if transition::holds(claim, slot) => {
            let leaving = Leaving { claim, slot, since: now, action: None, undoing: false };
            leaving.by_evidence(seen, now, LeaveMode::Terminate).unwrap_or_else(|| {
                rest(true, None, Reason::WaitingForTermination { slot: slot.id.clone() })
            })
        }
        _ => commit(None, Reason::RecordsDisagree),
    }
}

/// Whether what waits may be a later termination than the one on record, whose event was lost: that one has its answer,
/// its time is over, and the instance still waits. It was retained and terminated again, or other people's hooks keep it:
/// Auto Scaling tells, which refuses the answer where ours does not wait. One refusal is enough for a run.
fn may_wait_again(subject: &Subject, seen: &Observation, now: Timestamp) -> bool {
    let Some(claim) = seen.claim.as_ref().filter(|_| subject.found.is_some()) else {
        return false;
    };
    let since = match &claim.phase {
        Phase::Closed => claim.taken_up(),
        Phase::Leaving { since, .. } => claim.taken_up().max(*since),
        Phase::Waiting { .. } | Phase::Creating { .. } | Phase::Leased { .. } => return false,
    };
    let limit = claim.policy.as_ref().map_or_else(Leave::default, |policy| policy.leave.clone());
    let asked = seen.answers.completed.is_some() || seen.answers.no_active_action > 0;
    !asked && !goes_back(seen) && over(&limit, now, since)
}

/// Whether nothing can be attached to the instance any more.
fn holder_gone(seen: &Observation, now: Timestamp) -> bool {
    let state = seen.described.instance.as_ref().map(|instance| &instance.state);
    state == Some(&InstanceState::Terminated) || forgotten(seen, now)
}

/// The answer with which an instance that still holds something goes: to the warm pool it may not, with a volume that is
/// not its own any more, so it is terminated instead.
fn gone(seen: &Observation) -> ActionResult {
    if goes_back(seen) { ActionResult::Abandon } else { ActionResult::Continue }
}

/// Whether the instance lies in the warm pool, or is past every hook on its way there: nothing terminates it.
fn is_parked(seen: &Observation) -> bool {
    seen.described.group_instance.as_ref().is_some_and(|shown| shown.state.is_parked())
}

/// A claim whose slot is being released.
struct Leaving<'a> {
    claim: &'a Claim,
    slot: &'a Slot,
    since: Timestamp,
    action: Option<Action>,
    /// Whether what it has is not in use though it runs: its launch is given up, or waits, under a policy that says so.
    undoing: bool,
}

impl Leaving<'_> {
    fn decide(self, subject: &Subject, seen: &Observation, now: Timestamp) -> Decision {
        let leave =
            self.claim.policy.as_ref().map_or_else(Leave::default, |policy| policy.leave.clone());
        if let Some(decision) = self.by_evidence(seen, now, leave.mode) {
            return decision;
        }
        let Some(instance) = seen.described.instance.as_ref() else {
            // Not shown once is not gone. Only who is long forgotten needs no more care. While Auto Scaling waits for an
            // answer it forgets nobody, so past its time the termination goes on, as it does for who is shown.
            return if forgotten(seen, now) {
                self.let_terminate(seen, Reason::InstanceForgotten)
            } else if self.action.is_some() && over(&leave, now, self.since) {
                self.let_terminate(seen, Reason::LeaveTimeUp)
            } else {
                look_again(seen, Reason::InstanceNotShown)
            };
        };
        match (leave.mode, &instance.state) {
            (_, InstanceState::ShuttingDown | InstanceState::Terminated) => {
                self.let_terminate(seen, Reason::InstanceGone)
            }
            (mode, state) if is_parked(seen) => self.parked(subject, seen, mode, state),
            _ if self.action.is_none() => self.wait_for_termination(),
            _ if over(&leave, now, self.since) => {
                let alarm = self.document_not_done(&leave, "leave.seconds are over");
                self.let_terminate(seen, Reason::LeaveTimeUp).with_alarm(alarm)
            }
            (LeaveMode::Terminate, _) => self.let_terminate(seen, Reason::LeaveToTermination),
            (LeaveMode::Detach, _)
            | (LeaveMode::Stop | LeaveMode::Guest | LeaveMode::Ssm, InstanceState::Stopped) => {
                self.detach(subject, seen)
            }
            (LeaveMode::Ssm, InstanceState::Running | InstanceState::Pending) => {
                self.by_document(subject, seen, now, &leave)
            }
            (LeaveMode::Stop, InstanceState::Running | InstanceState::Pending) => {
                self.stop(subject, seen)
            }
            (
                LeaveMode::Stop | LeaveMode::Ssm,
                InstanceState::Stopping | InstanceState::Other(_),
            ) => self.wait(seen, subject, Reason::Stopping),
            (LeaveMode::Guest, _) => self.wait(seen, subject, Reason::Draining),
        }
    }

    /// What the evidence allows: the release, or the one call that completes the evidence.
    fn by_evidence(&self, seen: &Observation, now: Timestamp, mode: LeaveMode) -> Option<Decision> {
        let mut not_attached = seen.answers.not_attached.clone();
        if forgotten(seen, now) {
            // "No such instance" is DetachVolume's own answer as well, where nothing else knows the instance either.
            not_attached.extend(seen.answers.holder_unknown.iter().cloned());
        }
        match evidence(&self.claim.instance, self.slot, &seen.described, &not_attached) {
            Ok(()) => {
                let reason = Reason::Detached { slot: self.slot.id.clone() };
                Some(commit(
                    transition::release(self.claim, self.slot, now, &reason.to_string()),
                    reason,
                ))
            }
            // The describe may be stale and the volume in use: the call that asks may only be one that may also act.
            Err(Missing::OwnAnswer(volume)) if self.may_detach(seen, mode, now) => {
                let reason = Reason::ConfirmDetached { volume: volume.clone() };
                Some(
                    if seen.answers.detaching.contains(&volume)
                        && seen.answers.polls < seen.answers.detachments
                    {
                        decision(Step::Poll, reason)
                    } else if seen.answers.detachments < DETACH_TRIES {
                        effect(Effect::Detach(volume), reason)
                    } else {
                        rest(true, self.action.clone(), reason)
                    },
                )
            }
            Err(Missing::Detachment(volume)) if self.is_off(seen) => {
                let shown = seen.described.volumes.get(&volume);
                let elsewhere =
                    shown.and_then(|it| it.standing().find_map(|it| it.instance.clone()));
                // Nobody terminates a parked instance, so nothing else would end its release.
                let for_good = holder_gone(seen, now) || is_parked(seen);
                match shown.map(|shown| &shown.state) {
                    Some(VolumeState::Other(state)) if for_good => {
                        let problem = format!("EC2 shows it {state}");
                        Some(self.set_apart(volume, problem, now))
                    }
                    None if now.since(self.claim.since) < MISSING_AFTER => None,
                    None if for_good => {
                        let problem = "EC2 has not shown it for ten minutes".to_owned();
                        Some(self.set_apart(volume, problem, now))
                    }
                    None => Some(self.missing(seen, volume)),
                    Some(_) if !for_good || now.since(self.claim.since) < MISSING_AFTER => None,
                    // An earlier holder: for a while that may be a describe from before this holder's time.
                    Some(_) => {
                        let problem = format!(
                            "it is attached to {} while its slot is being released",
                            elsewhere?
                        );
                        Some(self.set_apart(volume, problem, now))
                    }
                }
            }
            // The other volumes of the slot come off first.
            Err(Missing::Stranger(..)) if !self.is_off(seen) => None,
            Err(Missing::Stranger(volume, holder)) => {
                let problem =
                    format!("it is attached to {holder} while its slot is being released");
                Some(self.set_apart(volume, problem, now))
            }
            Err(Missing::OwnAnswer(_) | Missing::Detachment(_)) => None,
        }
    }

    /// Whether nothing of the slot is attached to the holder any more, by what EC2 shows of them and of its end.
    fn is_off(&self, seen: &Observation) -> bool {
        let holder = &self.claim.instance;
        let mut shown =
            self.slot.volumes.iter().filter_map(|it| seen.described.volumes.get(&it.volume));
        !shown.any(|volume| volume.standing().any(|it| it.instance.as_ref() == Some(holder)))
    }

    /// The slot can't be released, and keeps nobody waiting: it is set apart for a person to decide on. The holder holds
    /// nothing any more.
    fn set_apart(&self, volume: VolumeId, problem: String, now: Timestamp) -> Decision {
        let reason = Reason::Quarantine { volume: volume.clone(), problem: problem.clone() };
        let alarm = Alarm::Quarantined { slot: self.slot.id.clone(), volume, problem };
        let transaction = transition::quarantine(self.claim, self.slot, now, &reason.to_string());
        commit(transaction, reason).with_alarm(Some(alarm))
    }

    /// Whether a volume may be taken off the instance now: nothing runs there; or the policy says that nobody has it
    /// mounted, or its document has unmounted it, and the action still waits; or its launch is given up and did not go on
    /// with it.
    fn may_detach(&self, seen: &Observation, mode: LeaveMode, now: Timestamp) -> bool {
        match seen.described.instance.as_ref().map(|instance| &instance.state) {
            None => forgotten(seen, now),
            Some(InstanceState::Stopped) => true,
            Some(InstanceState::Running) => {
                let waits = self.action.is_some() || is_parked(seen);
                self.undoing || (mode == LeaveMode::Detach && waits) || self.unmounted(seen)
            }
            Some(_) => false,
        }
    }

    /// EC2 does not show a volume of the slot: deleted by a person, most likely. The slot is kept until the holder is gone,
    /// and the termination goes on.
    fn missing(&self, seen: &Observation, volume: VolumeId) -> Decision {
        let alarm = Alarm::VolumeMissing { volume: volume.clone() };
        let reason = Reason::VolumeNotShown { volume };
        let decision = match &self.action {
            Some(action) => complete(seen, action.clone(), gone(seen), reason),
            None => rest(true, None, reason),
        };
        decision.with_alarm(Some(alarm))
    }

    /// It was parked with its volumes: its hook timed out, or ABANDON did not keep it out of the warm pool. Once it is
    /// stopped nothing has them mounted. Hibernated it may have, and it may write to them when it wakes.
    fn parked(
        self,
        subject: &Subject,
        seen: &Observation,
        mode: LeaveMode,
        state: &InstanceState,
    ) -> Decision {
        let shown = seen.described.group_instance.as_ref().map(|shown| &shown.state);
        let hibernated = shown.is_some_and(LifecycleState::is_hibernated);
        let (slot, holder) = (self.slot.id.clone(), self.claim.instance.clone());
        let stays = hibernated || *state == InstanceState::Running;
        let alarm = stays.then_some(Alarm::ParkedHolder { slot, holder });
        let decision = match (mode, state) {
            (_, InstanceState::Stopped) if !hibernated => self.detach(subject, seen),
            (LeaveMode::Detach, InstanceState::Running) => self.detach(subject, seen),
            (LeaveMode::Stop, InstanceState::Running) if seen.answers.stop.is_none() => {
                effect(Effect::Stop, Reason::StopFirst)
            }
            (_, InstanceState::Stopping) => self.wait(seen, subject, Reason::Stopping),
            _ => rest(true, None, Reason::Parked),
        };
        let rests = matches!(decision.step, Step::Rest { .. });
        decision.with_alarm(alarm.filter(|_| rests && !matches!(seen.answers.stop, Some(Ok(())))))
    }

    /// Asks the operating system to stop its services and unmount.
    fn stop(self, subject: &Subject, seen: &Observation) -> Decision {
        match (&seen.answers.stop, &seen.hooks, seen.described.group_instance.as_ref()) {
            (Some(Ok(())), ..) => self.wait(seen, subject, Reason::Stopping),
            (Some(Err(refusal)), ..) => {
                let problem = refusal.to_string();
                self.let_terminate(seen, Reason::StopRefused { problem })
            }
            (None, None, Some(instance)) => {
                decision(Step::Look(Look::Hooks(instance.group.clone())), Reason::StopFirst)
            }
            // Someone else is draining the instance: stopping it would pull the rug from under them.
            (None, Some(hooks), _)
                if hooks.iter().any(|hook| {
                    hook.transition == Transition::Terminating
                        && !hook.name.as_str().starts_with(&subject.hook_prefix)
                }) =>
            {
                self.let_terminate(seen, Reason::OthersDrain)
            }
            (None, Some(_) | None, _) => effect(Effect::Stop, Reason::StopFirst),
        }
    }

    /// Detaches what is still attached to the instance; nobody has it mounted, or the policy says to do it all the same.
    fn detach(self, subject: &Subject, seen: &Observation) -> Decision {
        for wanted in &self.slot.volumes {
            let volume = wanted.volume.clone();
            let attachment =
                seen.described.volumes.get(&volume).and_then(|shown| shown.attachment());
            match attachment.map(|attachment| &attachment.state) {
                Some(AttachmentState::Attached | AttachmentState::Attaching)
                    if !seen.answers.detaching.contains(&volume) =>
                {
                    let reason = if self.undoing {
                        Reason::Undo { volume: volume.clone() }
                    } else {
                        Reason::Detach { volume: volume.clone() }
                    };
                    return effect(Effect::Detach(volume), reason);
                }
                Some(_) | None => {}
            }
        }
        let volume = self.slot.volumes.first().map(|wanted| wanted.volume.clone());
        match volume {
            Some(volume) => self.wait(seen, subject, Reason::Detaching { volume }),
            None => commit(None, Reason::RecordsDisagree),
        }
    }

    /// A few more looks, then rest: an event or reconcile comes back to it.
    fn wait(self, seen: &Observation, subject: &Subject, reason: Reason) -> Decision {
        let worth_looking = matches!(reason, Reason::Detaching { .. })
            || subject.hint == Some(InstanceState::Stopped);
        if worth_looking && seen.answers.polls < LOOKS {
            decision(Step::Poll, reason)
        } else {
            rest(true, self.action, reason)
        }
    }

    /// Answers the action, so that the termination goes on and frees the volumes.
    fn let_terminate(self, seen: &Observation, reason: Reason) -> Decision {
        match self.action {
            Some(action) => complete(seen, action, gone(seen), reason),
            None => self.wait_for_termination(),
        }
    }

    fn wait_for_termination(self) -> Decision {
        rest(true, None, Reason::WaitingForTermination { slot: self.slot.id.clone() })
    }
}
