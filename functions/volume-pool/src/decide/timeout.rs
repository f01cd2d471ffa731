//! How long a launch may wait: for a slot, by its policy; for anything, by the limit of its hook. Whoever is given up has
//! that on record first, then is answered ABANDON, by this run or the next.

use std::time::Duration;

use super::{Alarm, Decision, Look, Observation, Reason, Step, commit, complete, decision, rest};
use crate::action::{Action, ActionResult, GiveUp};
use crate::policy::{OnTimeout, Policy};
use crate::record::{Claim, Phase};
use crate::time::Timestamp;
use crate::transition;

/// How long before its hook's limit a launch is given up: reconcile comes each minute, and a function that died keeps
/// the guard for about another.
const MARGIN: Duration = Duration::from_mins(5);
/// No hook's limit, less its margin, comes sooner: 100 heartbeat timeouts of 30 s, the shortest that there is.
const EARLIEST_LIMIT: Duration = Duration::from_mins(45);

/// Whether a launch has waited for a slot for as long as its policy lets it, since its action was taken up.
pub(super) fn wait_is_over(claim: &Claim, policy: &Policy, now: Timestamp) -> bool {
    now.since(claim.taken_up()) >= Duration::from_secs(u64::from(policy.wait_seconds))
}

/// What becomes of a launch that waits for a slot and would rest now: its policy says, once it has waited for too long.
pub(super) fn after_wait(
    claim: &Claim,
    policy: &Policy,
    now: Timestamp,
    decision: Decision,
) -> Decision {
    if !matches!(decision.step, Step::Rest { .. }) || !wait_is_over(claim, policy, now) {
        return decision;
    }
    let alarm = Alarm::WaitTimedOut { seconds: policy.wait_seconds };
    match policy.on_timeout {
        OnTimeout::Hold | OnTimeout::Create => decision.with_alarm(Some(alarm)),
        OnTimeout::Abandon => {
            let reason = Reason::GivenUp { why: GiveUp::WaitOver };
            let transaction =
                transition::give_up(claim, None, GiveUp::WaitOver, now, &reason.to_string());
            let mut given_up = commit(transaction, reason).with_alarm(Some(alarm));
            given_up.alarms.extend(decision.alarms);
            given_up
        }
    }
}

/// The answer for a launch that is given up by the record.
pub(super) fn given_up(seen: &Observation, action: &Action) -> Option<Decision> {
    let claim = seen.claim.as_ref()?;
    let why = claim.given_up?;
    if !claim.action.as_ref().is_some_and(|known| known.may_be(action)) {
        return None;
    }
    match &claim.phase {
        // Auto Scaling's describe may lag behind an answer that it took.
        Phase::Closed if claim.answered.is_some() => Some(rest(false, None, Reason::Answered)),
        // The termination that follows frees what is still to be released.
        Phase::Closed | Phase::Creating { .. } | Phase::Leaving { .. } => Some(
            complete(seen, action.clone(), ActionResult::Abandon, Reason::GivenUp { why })
                .with_alarm(Some(Alarm::LaunchGivenUp { why })),
        ),
        Phase::Waiting { .. } | Phase::Leased { .. } => None,
    }
}

/// The decision, unless it leaves a launch waiting that its hook would end before anybody comes back: that one is given
/// up, rather than left to whatever the hook's default is.
pub(super) fn within_limit(
    seen: &Observation,
    now: Timestamp,
    action: &Action,
    resting: Decision,
) -> Decision {
    let Some(claim) = &seen.claim else {
        return resting;
    };
    let waited = now.since(claim.taken_up());
    if !matches!(resting.step, Step::Rest { work_left: true, .. }) || waited < EARLIEST_LIMIT {
        return resting;
    }
    let Some(hooks) = &seen.hooks else {
        let look = Step::Look(Look::Hooks(action.group.clone()));
        return decision(look, Reason::HookLimitUnknown);
    };
    let limit = hooks.iter().find(|hook| hook.name == action.hook).map(|hook| hook.global_timeout);
    if limit.is_none_or(|limit| waited < limit.saturating_sub(MARGIN.min(limit / 20))) {
        return resting;
    }
    let reason = Reason::GivenUp { why: GiveUp::HookLimit };
    let transaction =
        transition::give_up(claim, seen.slot.as_ref(), GiveUp::HookLimit, now, &reason.to_string());
    let mut given_up = commit(transaction, reason);
    given_up.alarms.extend(resting.alarms);
    given_up
}
