//! A launch that begins: whether its group's policy, hooks and tag let it join the queue, and of which pool.

use super::waiting::{believed, goes_back, is_bound_as_shown, our_hooks};
use super::{
    Alarm, Decision, Effect, Look, Observation, PolicyView, Reason, Step, Subject, commit,
    complete, decision, effect, look_again, policy, rest,
};
use crate::action::{Action, ActionResult, Transition};
use crate::observation::{Hook, LifecycleState};
use crate::policy::{Mode, Policy};
use crate::record::{Claim, Group, Place};
use crate::time::Timestamp;
use crate::transition::{self, Expect};

pub(super) fn decide(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    action: Action,
) -> Decision {
    if goes_back(seen) {
        if let Some(event) = believed(subject, seen)
            && !is_bound_as_shown(seen, &event.action)
        {
            // It says that the instance is on its way out of the pool by now: to go on without a slot would be too soon.
            let state = LifecycleState::WarmedPendingWait.to_string();
            return look_again(seen, Reason::NotYetWaiting { state });
        }
        return complete(seen, action, ActionResult::Continue, Reason::BoundForWarmPool);
    }
    let (policy, alarm) = match policy(subject, seen) {
        PolicyView::Known(policy, alarm) => (policy, alarm),
        PolicyView::Look(decision) => return decision,
        PolicyView::Faulty(error) => {
            let alarm = Alarm::PolicyFault { error, instead: "the launch is held".to_owned() };
            return rest(true, Some(action), Reason::HeldForPolicy).with_alarm(Some(alarm));
        }
    };
    if policy.mode == Mode::Observe {
        return complete(seen, action, ActionResult::Continue, Reason::Observing).with_alarm(alarm);
    }
    let untagged = match enrolment(subject, seen, &action, &policy) {
        Enrolment::Known(untagged) => untagged,
        Enrolment::Not(decision) => return decision.with_alarm(alarm),
    };
    let Some(zone) = seen.described.group_instance.as_ref().map(|instance| instance.zone.clone())
    else {
        return rest(true, Some(action), Reason::NotInGroup);
    };
    let place = Place { pool: policy.pool.clone(), zone };
    let fresh;
    let claim = if let Some(claim) = &seen.claim {
        claim
    } else {
        fresh = Claim::new(subject.instance.clone());
        &fresh
    };
    let group = newer_policy(seen, &action, &policy);
    commit(transition::enqueue(claim, place, Some(&action), &policy, group, now), Reason::Enqueue)
        .with_alarm(alarm)
        .with_alarm(untagged)
}

/// How the instance's group is enrolled.
enum Enrolment {
    /// Once, for one pool; and what a person is told all the same.
    Known(Option<Alarm>),
    /// That is to be looked at, or keeps the launch waiting.
    Not(Decision),
}

/// Whether the group is enrolled once and for one pool: else the launch is held. A group without its tag is served, but
/// reconcile does not discover it, which is what the alarm says.
fn enrolment(subject: &Subject, seen: &Observation, action: &Action, policy: &Policy) -> Enrolment {
    let name = action.group.clone();
    let (hooks, view) = match (&seen.hooks, &seen.members) {
        (Some(hooks), Some(view)) => (hooks, view),
        (Some(_), None) => {
            let look = Step::Look(Look::Group(name));
            return Enrolment::Not(decision(look, Reason::EnrolmentUnknown));
        }
        (None, _) => {
            let look = Step::Look(Look::Enrolment(name));
            return Enrolment::Not(decision(look, Reason::EnrolmentUnknown));
        }
    };
    if let Some(held) = two_hooks(subject, seen, hooks, action) {
        return Enrolment::Not(held);
    }
    let pool = policy.pool.clone();
    match &view.pool_tag {
        Some(tag) if *tag != pool.as_str() => {
            let alarm = Alarm::PoolTagDiffers { group: name, tag: tag.clone(), pool };
            let held = rest(true, Some(action.clone()), Reason::HeldForTag);
            Enrolment::Not(held.with_alarm(Some(alarm)))
        }
        // A group that Auto Scaling does not show now is not one without a tag.
        None if view.members.contains_key(&subject.instance) => {
            Enrolment::Known(Some(Alarm::GroupNotTagged { group: name, pool }))
        }
        Some(_) | None => Enrolment::Known(None),
    }
}

/// Two launch hooks of ours may say two things, so the launch is held while there are two, and each hook's action kept
/// alive. Nothing where the group has one.
fn two_hooks(
    subject: &Subject,
    seen: &Observation,
    hooks: &[Hook],
    action: &Action,
) -> Option<Decision> {
    let ours: Vec<&Hook> = our_hooks(subject, hooks, Transition::Launching).collect();
    if ours.len() < 2 {
        return None;
    }
    let names: Vec<&str> = ours.iter().map(|hook| hook.name.as_str()).collect();
    let alarm = Alarm::TwoLaunchHooks { group: action.group.clone(), hooks: names.join(" and ") };
    let unheard = ours
        .iter()
        .find(|hook| hook.name != action.hook && !seen.answers.heartbeats.contains(&hook.name));
    let held = match unheard {
        Some(hook) => effect(Effect::Heartbeat(hook.action(&action.group)), Reason::HeldForHooks),
        None => rest(true, Some(action.clone()), Reason::HeldForHooks),
    };
    Some(held.with_alarm(Some(alarm)))
}

/// The group's record with this policy as its last good one, if that is news.
fn newer_policy(seen: &Observation, action: &Action, policy: &Policy) -> Option<(Group, Expect)> {
    let name = action.group.clone();
    match &seen.group {
        None => {
            let fresh = Group { version: 1, ..Group::new(name, policy.clone()) };
            Some((fresh, Expect::Absent))
        }
        Some(known) if known.policy != *policy => {
            let (version, policy) = (known.version + 1, policy.clone());
            Some((Group { version, policy, ..known.clone() }, Expect::Version(known.version)))
        }
        Some(_) => None,
    }
}
