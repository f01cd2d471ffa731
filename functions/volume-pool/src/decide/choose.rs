//! A waiting claim: which free slot, or what it waits for.
//!
//! Nobody overtakes an earlier waiter: each takes the best that those before it leave, so that a crowd does not fight
//! over one.

use super::grow::{self, Waiter};
use super::{
    Alarm, Decision, Observation, Reason, Step, Subject, adopt, commit, decision, hold, rest,
    timeout,
};
use crate::event::Action;
use crate::observation::{Volume, tags};
use crate::policy::Policy;
use crate::record::{Claim, ComingMark, Place, Slot};
use crate::time::Timestamp;
use crate::transition;
use crate::zone::{ZoneView, stale};

pub(super) fn decide(
    subject: &Subject,
    seen: &Observation,
    now: Timestamp,
    claim: &Claim,
    place: &Place,
    action: &Action,
) -> Decision {
    let (Some(zone), Some(policy)) = (&seen.zone, &claim.policy) else {
        return commit(None, Reason::RecordsDisagree);
    };
    if let Some(waiting) = paused(zone, place, action) {
        return waiting;
    }
    if let Some(held) = hold::waiter(subject, seen, zone, place) {
        return held;
    }
    let fresh = fresh(policy, zone, now);
    if let Some((slot, reason)) = due(subject, seen, claim, &zone.left(now), &fresh) {
        return commit(transition::lease(claim, slot, now, &reason.to_string()), reason);
    }
    let alarms = match adopt::decide(seen, policy, zone, place) {
        Ok(decision) => return decision,
        Err(alarms) => alarms,
    };
    let rank = zone.earlier.len();
    let mut decision = if fresh.is_empty() {
        let forced = grow::forced(claim, policy, now);
        let coming = zone.coming.get(zone.unserved(now)).filter(|_| !forced);
        let Some(ComingMark { slot, holder, .. }) = coming else {
            let waiter = Waiter { claim, place, zone, policy, action };
            let waiting = grow::decide(waiter, seen, now, zone.free.len(), alarms);
            return timeout::after_wait(seen, (claim, action), policy, now, waiting);
        };
        let reason = Reason::WaitingForSlot { slot: slot.clone(), holder: holder.clone() };
        rest(true, Some(action.clone()), reason)
    } else if seen.answers.served {
        rest(true, Some(action.clone()), Reason::EarlierWaiters { count: rank })
    } else {
        decision(Step::Serve(place.clone()), Reason::EarlierWaiters { count: rank })
    };
    decision.alarms = alarms;
    timeout::after_wait(seen, (claim, action), policy, now, decision)
}

/// While its pool is paused a launch waits, and its time is not held against it: whoever paused the pool means it to wait.
pub(super) fn paused(zone: &ZoneView, place: &Place, action: &Action) -> Option<Decision> {
    let paused = zone.pool.as_ref().is_some_and(|pool| pool.paused);
    let reason = Reason::PoolPaused { pool: place.pool.clone() };
    paused.then(|| rest(true, Some(action.clone()), reason))
}

/// The free slots whose data is not too old, best first.
pub(super) fn fresh<'a>(policy: &Policy, zone: &'a ZoneView, now: Timestamp) -> Vec<&'a Slot> {
    zone.free.iter().filter(|slot| !stale(policy.stale_after_hours, slot, now)).collect()
}

/// The free slot that this waiter is due: each waiter before it is left the best that it may take.
fn due<'a>(
    subject: &Subject,
    seen: &Observation,
    claim: &Claim,
    left: &[&'a Slot],
    fresh: &[&'a Slot],
) -> Option<(&'a Slot, Reason)> {
    let mut mine = left.iter().filter(|slot| fresh.iter().any(|fresh| fresh.id == slot.id));
    let best = mine.next()?;
    if let Some(slot) = fresh.iter().find(|slot| Some(&slot.id) == claim.last_slot.as_ref()) {
        return Some((slot, Reason::HeldBefore { slot: slot.id.clone() }));
    }
    let slot = match seen.answers.lost_races {
        0 => best,
        // Who lost a race takes another one, so that the losers do not meet again at the next.
        lost => fresh.get(scatter(subject, lost) % fresh.len())?,
    };
    Some((slot, Reason::SlotFree { slot: slot.id.clone() }))
}

/// A number that differs between instances and attempts (FNV-1a).
fn scatter(subject: &Subject, attempt: u32) -> usize {
    let bytes = subject.instance.as_str().bytes().chain(attempt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash >> 33).unwrap_or_default()
}

/// Volumes with the pool's tag that hang on an instance though they were never part of a slot: whoever tagged them
/// must see why the pool does not use them.
pub(super) fn strangers<'a>(
    pool: &'a [Volume],
    place: &'a Place,
) -> impl Iterator<Item = Alarm> + 'a {
    let theirs = pool.iter().filter(|volume| {
        volume.zone == place.zone
            && volume.attachment().is_some()
            && !volume.tags.contains_key(tags::SLOT)
    });
    theirs.map(|volume| {
        let holder = volume
            .attachment()
            .and_then(|attachment| attachment.instance.as_ref())
            .map_or_else(|| "a resource that AWS manages".to_owned(), ToString::to_string);
        Alarm::NotAdopted {
            volume: volume.id.clone(),
            problem: format!("it is attached to {holder}, which was never given it; detach it there or remove the tag stateful-asg:pool"),
        }
    })
}
