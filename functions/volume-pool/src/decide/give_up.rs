//! Launches that are given up. That goes on record first, with whatever they held or waited for let go of; then they are
//! answered ABANDON, by this run or the next.
//!
//! Each ABANDON costs an instance and its replacement. Three in a row in one zone of a group help nobody: the next one
//! is held instead, until a launch of that zone succeeds.

use super::{Alarm, Decision, Observation, Reason, Subject, commit, complete, leave, rest};
use crate::action::{Action, ActionResult, GiveUp};
use crate::record::{Claim, Group, Phase};
use crate::time::Timestamp;
use crate::transition::{self, Expect};

/// How many launches in a row are given up in a zone of a group before the next one is held.
const MOST_ABANDONS: u32 = 3;

/// Gives a launch up that would rest now, unless too many before it were: then it rests.
pub(super) fn counted(
    seen: &Observation,
    now: Timestamp,
    (claim, action): (&Claim, &Action),
    why: GiveUp,
    resting: Decision,
) -> Decision {
    let Some(shown) = &seen.described.group_instance else {
        return resting;
    };
    let (group, expect) = match (&seen.group, &claim.policy) {
        (Some(group), _) => (group.clone(), Expect::Version(group.version)),
        (None, Some(policy)) => (Group::new(shown.group.clone(), policy.clone()), Expect::Absent),
        (None, None) => return resting,
    };
    let in_a_row = group.abandons.get(&shown.zone).copied().unwrap_or_default();
    if in_a_row >= MOST_ABANDONS {
        let (group, zone) = (shown.group.clone(), shown.zone.clone());
        return resting.with_alarm(Some(Alarm::AbandonBreaker { group, zone, count: in_a_row }));
    }
    let mut next = group;
    next.version += 1;
    next.abandons.insert(shown.zone.clone(), in_a_row + 1);
    on_record(seen, now, (claim, action), why, resting, Some((next, expect)))
}

/// Gives a launch up that would rest now, and does not count it.
pub(super) fn at_once(
    seen: &Observation,
    now: Timestamp,
    (claim, action): (&Claim, &Action),
    why: GiveUp,
    resting: Decision,
) -> Decision {
    on_record(seen, now, (claim, action), why, resting, None)
}

fn on_record(
    seen: &Observation,
    now: Timestamp,
    (claim, action): (&Claim, &Action),
    why: GiveUp,
    resting: Decision,
    group: Option<(Group, Expect)>,
) -> Decision {
    let reason = Reason::GivenUp { why };
    let slot = seen.slot.as_ref();
    let transaction =
        transition::give_up(claim, slot, (action, why), group, now, &reason.to_string());
    let mut given_up = commit(transaction, reason);
    given_up.alarms.extend(resting.alarms);
    given_up
}

/// The way to the answer of a launch that is given up by the record.
pub(super) fn answer(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    action: &Action,
) -> Option<Decision> {
    let claim = seen.claim.as_ref()?;
    let why = claim.given_up?;
    if !claim.action.as_ref().is_some_and(|known| known.may_be(action)) {
        return None;
    }
    match (&claim.phase, why) {
        (Phase::Waiting { .. } | Phase::Leased { .. }, _) => return None,
        // Auto Scaling's describe may lag behind an answer that it took.
        (Phase::Closed, _) if claim.answered.is_some() => {
            return Some(rest(false, None, Reason::Answered));
        }
        // Others wait for the slot, and nobody has used it in this launch: it need not wait for the termination.
        (Phase::Leaving { .. }, GiveUp::AttachmentLimit) => {
            if let Some(decision) = leave::undo(subject, seen, now) {
                return Some(decision);
            }
        }
        // The termination that follows frees what is still to be released.
        (Phase::Closed | Phase::Creating { .. } | Phase::Leaving { .. }, _) => {}
    }
    let reason = Reason::GivenUp { why };
    Some(
        complete(seen, action.clone(), ActionResult::Abandon, reason)
            .with_alarm(Some(Alarm::LaunchGivenUp { why })),
    )
}

/// What a launch that succeeds has to say to those that were given up before it.
pub(super) fn succeeded(seen: &Observation) -> Option<Decision> {
    let shown = seen.described.group_instance.as_ref()?;
    let group = seen.group.as_ref()?;
    let zone = shown.zone.clone();
    group
        .abandons
        .contains_key(&zone)
        .then(|| commit(transition::count_anew(group, &zone), Reason::CountAbandonsAnew { zone }))
}
