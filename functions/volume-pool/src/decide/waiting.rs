//! Which lifecycle action of an instance waits for our answer: known by its event, by the record, or by its hook.

use super::{COMPLETE_TRIES, Decision, Look, Observation, Reason, Step, Subject, decision};
use crate::action::{Action, Transition};
use crate::event::LifecycleEvent;
use crate::observation::{Hook, LifecycleState};
use crate::record::Phase;

/// The action that is known to wait for our answer, to be kept alive while nothing more can be done.
pub fn waiting_action(subject: &Subject, seen: &Observation) -> Option<Action> {
    match open_action(subject, seen, awaited(subject, seen)?) {
        OpenAction::Open(action) => Some(action),
        OpenAction::Answered | OpenAction::NotOurs | OpenAction::Look(_) => None,
    }
}

/// Which hooks the instance waits for, by what Auto Scaling shows.
pub(super) fn awaited(subject: &Subject, seen: &Observation) -> Option<Transition> {
    match seen.described.group_instance.as_ref().map(|shown| &shown.state)? {
        LifecycleState::PendingWait => Some(Transition::Launching),
        LifecycleState::WarmedPendingWait => Some(warming(subject, seen)),
        LifecycleState::TerminatingWait => Some(Transition::Terminating),
        _ => None,
    }
}

/// `Warmed:Pending:Wait` is two things: on its way into the warm pool an instance waits for the launch hooks, on its way
/// back there from service for the terminate hooks (EC2 Auto Scaling User Guide, "Use lifecycle hooks with a warm pool").
/// Who wants or holds a slot has been out of the pool, so it comes back. Who holds nothing is told to go on either way:
/// where neither event nor record say by which hook, the launch hook is asked first, and the terminate hook where that
/// knows of no action.
fn warming(subject: &Subject, seen: &Observation) -> Transition {
    let claim = seen.claim.as_ref();
    if claim.is_some_and(|claim| claim.phase != Phase::Closed) {
        return Transition::Terminating;
    }
    match &seen.answers.asked {
        Some(asked)
            if asked.transition == Transition::Terminating
                || seen.answers.no_active_action >= COMPLETE_TRIES =>
        {
            return Transition::Terminating;
        }
        Some(_) | None => {}
    }
    let event = believed(subject, seen).map(|event| &event.action);
    let recorded = claim.and_then(|claim| claim.action.as_ref());
    // It is launched into the pool once in its life. Other people's hooks may keep it waiting after our answer, and one more by
    // instance id, if it is late, would end its next wait: that out of the pool, where it is to get a slot first.
    let launched = recorded
        .is_some_and(|action| action.transition == Transition::Launching && action.to_warm_pool());
    if event.is_none() && launched && claim.is_some_and(|claim| claim.answered.is_some()) {
        return Transition::Terminating;
    }
    event.or(recorded).map_or(Transition::Launching, |action| action.transition)
}

/// The event, unless it was overtaken: the record knows an action that began after the event's.
pub(super) fn timely<'a>(subject: &'a Subject, seen: &Observation) -> Option<&'a LifecycleEvent> {
    let recorded = seen.claim.as_ref().and_then(|claim| claim.action.as_ref());
    let overtaken = |event: &LifecycleEvent| {
        recorded.is_some_and(|recorded| recorded.began_after(&event.action))
    };
    subject.event.as_ref().filter(|event| !overtaken(event))
}

/// The event, if it is timely and Auto Scaling shows the instance in the group that it names. An event of another group is
/// somebody's mistake: neither its action nor its policy is for this instance.
pub(super) fn believed<'a>(subject: &'a Subject, seen: &Observation) -> Option<&'a LifecycleEvent> {
    timely(subject, seen).filter(|event| in_group(seen, &event.action))
}

fn in_group(seen: &Observation, action: &Action) -> bool {
    seen.described.group_instance.as_ref().is_some_and(|shown| shown.group == action.group)
}

/// Whether the action, which is known, is bound for where Auto Scaling shows the instance going. An instance id can live
/// twice: else it is one of an earlier life, or what is shown lags behind it.
pub(super) fn is_bound_as_shown(seen: &Observation, action: &Action) -> bool {
    action.destination.is_none() || action.to_warm_pool() == goes_back(seen)
}

/// Whether Auto Scaling shows it on its way into the warm pool, or back there: its hooks wait, and it lives on.
pub(super) fn goes_back(seen: &Observation) -> bool {
    let shown = seen.described.group_instance.as_ref();
    shown.is_some_and(|shown| shown.state == LifecycleState::WarmedPendingWait)
}

/// The action that waits for an answer.
pub(super) enum OpenAction {
    /// This one.
    Open(Action),
    /// None: it has its answer, and other people's hooks keep the instance waiting.
    Answered,
    /// None of ours.
    NotOurs,
    /// The group's hooks must tell.
    Look(Decision),
}

pub(super) fn open_action(
    subject: &Subject,
    seen: &Observation,
    transition: Transition,
) -> OpenAction {
    let completed = seen.answers.completed.as_ref().map(|(action, _)| action);
    let event = believed(subject, seen).map(|event| &event.action);
    let event = event.filter(|action| is_bound_as_shown(seen, action));
    let claim = seen.claim.as_ref();
    let recorded = claim
        .and_then(|claim| claim.action.as_ref())
        .filter(|action| in_group(seen, action) && is_bound_as_shown(seen, action));
    let answered = claim.is_some_and(|claim| claim.answered.is_some());
    // An instance id can live twice: a launch that waits again after its slot was given back is another action, and so
    // may be a return to the warm pool.
    let again = match transition {
        Transition::Launching => claim.is_none_or(|claim| claim.slot().is_none()),
        Transition::Terminating => goes_back(seen),
    };
    // A termination that waits again, after its instance was retained, is another action than the one on record; whatever
    // waits, it is let go on.
    let over = |action: &&Action| {
        transition == Transition::Terminating && seen.answers.inactive.contains(action)
    };
    let event = event.filter(|it| !over(it));
    let recorded = recorded.filter(|it| !over(it));
    match (event, recorded) {
        (Some(event), _) if event.transition == transition && completed == Some(event) => {
            OpenAction::Answered
        }
        (Some(event), recorded) if event.transition == transition => {
            if recorded == Some(event) && answered {
                OpenAction::Answered
            } else {
                OpenAction::Open(event.clone())
            }
        }
        (_, Some(recorded)) if recorded.transition == transition => {
            if completed == Some(recorded) || (answered && !again) {
                OpenAction::Answered
            } else if answered {
                action_by_hook(subject, seen, transition)
            } else {
                OpenAction::Open(recorded.clone())
            }
        }
        _ => action_by_hook(subject, seen, transition),
    }
}

/// An action whose event never came is known by its hook: Auto Scaling takes an answer by instance id as well
/// (`CompleteLifecycleAction`).
pub(super) fn action_by_hook(
    subject: &Subject,
    seen: &Observation,
    transition: Transition,
) -> OpenAction {
    let Some(group) = seen.described.group_instance.as_ref().map(|instance| &instance.group) else {
        return OpenAction::NotOurs;
    };
    match &seen.hooks {
        None => OpenAction::Look(decision(
            Step::Look(Look::Hooks(group.clone())),
            Reason::ActionUnknown,
        )),
        Some(hooks) => match our_hook(subject, hooks, transition) {
            Some(hook) => {
                let mut action = hook.action(group);
                action.destination = goes_back(seen).then(|| Action::WARM_POOL.to_owned());
                let answered =
                    seen.answers.completed.as_ref().is_some_and(|(known, _)| *known == action);
                if answered { OpenAction::Answered } else { OpenAction::Open(action) }
            }
            None => OpenAction::NotOurs,
        },
    }
}

pub(super) fn our_hook<'a>(
    subject: &Subject,
    hooks: &'a [Hook],
    transition: Transition,
) -> Option<&'a Hook> {
    our_hooks(subject, hooks, transition).next()
}

pub(super) fn our_hooks<'a>(
    subject: &Subject,
    hooks: &'a [Hook],
    transition: Transition,
) -> impl Iterator<Item = &'a Hook> {
    hooks.iter().filter(move |hook| {
        hook.transition == transition && hook.name.as_str().starts_with(&subject.hook_prefix)
    })
}
