//! How long a launch may wait: for a slot, by its policy; for anything, by the limit of its hook.

use std::time::Duration;

use super::{Alarm, Decision, Look, Observation, Reason, Step, decision, give_up};
use crate::action::{Action, GiveUp};
use crate::policy::{OnTimeout, Policy};
use crate::record::Claim;
use crate::time::Timestamp;

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
    seen: &Observation,
    (claim, action): (&Claim, &Action),
    policy: &Policy,
    now: Timestamp,
    decision: Decision,
) -> Decision {
    if !matches!(decision.step, Step::Rest { .. }) {
        return decision;
    }
    let slow = slow_holder(claim, policy, now, &decision.reason);
    let decision = decision.with_alarm(slow);
    if !wait_is_over(claim, policy, now) {
        return decision;
    }
    let alarm = Alarm::WaitTimedOut { seconds: policy.wait_seconds };
    match policy.on_timeout {
        OnTimeout::Hold | OnTimeout::Create => decision.with_alarm(Some(alarm)),
        OnTimeout::Abandon => give_up::counted(
            seen,
            now,
            (claim, action),
            GiveUp::WaitOver,
            decision.with_alarm(Some(alarm)),
        ),
    }
}

/// A holder that is letting go, and takes long over it. Metal instances have taken 17 minutes to detach a volume and 20 to
/// shut down with nothing wrong, so nobody is told before half an hour; nor before half of the wait, after which there is
/// still time to do something.
fn slow_holder(claim: &Claim, policy: &Policy, now: Timestamp, waiting: &Reason) -> Option<Alarm> {
    const LONG: Duration = Duration::from_mins(30);
    let (Reason::WaitingForSlot { holder, .. }
    | Reason::WaitingForHolder { holder, .. }
    | Reason::WaitingForVolume { holder, .. }) = waiting
    else {
        return None;
    };
    let half = Duration::from_secs(u64::from(policy.wait_seconds / 2));
    let slow = now.since(claim.taken_up()) >= half.max(LONG);
    slow.then(|| Alarm::HolderSlow { holder: holder.clone() })
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
    give_up::at_once(seen, now, (claim, action), GiveUp::HookLimit, resting)
}
