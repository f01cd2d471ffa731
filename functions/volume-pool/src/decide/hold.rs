//! What is decided while the records can't be gone by: lost, restored from a backup, or being rebuilt. Nothing. Whatever
//! waits is kept alive, and a person is told.
//!
//! A record is always written before the volume's lease tag (see [`LeaseTag`]), so a tag that says more than the record
//! is proof that the record is not what it was.

use super::{
    Alarm, Decision, Look, Observation, OpenAction, Reason, Step, Subject, awaited, decision,
    open_action, rest,
};
use crate::ids::SlotId;
use crate::lease_tag::LeaseTag;
use crate::observation::{Volume, tags};
use crate::record::Place;
use crate::zone::ZoneView;

/// The pool is being rebuilt, or the slot that the claim names was leased to others since its record was written.
pub(super) fn decide(subject: &Subject, seen: &Observation) -> Option<Decision> {
    if let Some(pool) = &seen.rebuilding {
        let (reason, alarm) = (
            Reason::HeldForRebuilding { pool: pool.clone() },
            Alarm::Rebuilding { pool: pool.clone() },
        );
        return Some(hold(subject, seen, reason, alarm));
    }
    let slot = seen.slot.as_ref()?;
    let theirs = seen.described.volumes.values().chain(seen.slot_volumes.iter().flatten());
    let mut later =
        theirs.filter(|volume| LeaseTag::of(volume).is_some_and(|it| it.outdates(slot)));
    later.next().map(|volume| outdated(subject, seen, &slot.id, volume))
}

/// A waiter whose pool has no record and no slot, or older ones than its volumes, by what is known of these.
pub(super) fn waiter(
    subject: &Subject,
    seen: &Observation,
    zone: &ZoneView,
    place: &Place,
) -> Option<Decision> {
    let own = |volume: &&Volume| LeaseTag::of(volume).is_some();
    let Some(record) = &zone.pool else {
        if !zone.free.is_empty() || !zone.coming.is_empty() {
            return None;
        }
        let Some(pool) = &seen.pool else {
            let look = Step::Look(Look::Pool(place.pool.clone()));
            return Some(decision(look, Reason::LookAtPool));
        };
        // A name on a volume in use was given to it by us, or by a person for slots that no record knows.
        let used = |volume: &&Volume| slot_of(volume).is_some() && volume.attachment().is_some();
        let known = pool.iter().find(|volume| own(volume) || used(volume))?;
        let alarm = Alarm::PoolUnknown { pool: place.pool.clone(), volume: known.id.clone() };
        return Some(hold(subject, seen, Reason::HeldForRecords, alarm));
    };
    // A volume that was leased once has a row of its own for good, and its slot an index below the pool's next.
    let candidates = seen.candidates.as_ref();
    let unknown = candidates.and_then(|candidates| {
        let mut volumes = candidates.volumes.iter().filter(own);
        volumes.find(|volume| !candidates.owned.contains(&volume.id))
    });
    let beyond = seen.pool.iter().flatten().filter(own).find(|volume| {
        slot_of(volume)
            .is_some_and(|slot| slot.pool == place.pool && slot.index >= record.next_index)
    });
    let volume = unknown.or(beyond)?;
    let slot = slot_of(volume)?;
    Some(outdated(subject, seen, &slot, volume))
}

/// An instance that is leaving and holds nothing on record, though its tag says that it was given a slot: whether it still
/// has the slot's volumes.
pub(super) fn leaver(subject: &Subject, seen: &Observation) -> Option<Decision> {
    let slot = seen.described.instance.as_ref()?.tags.get(tags::SLOT)?.parse::<SlotId>().ok()?;
    // A claim remembers the slot that it held, whatever became of it since.
    if seen.claim.as_ref().is_some_and(|claim| claim.last_slot.as_ref() == Some(&slot)) {
        return None;
    }
    let Some(pool) = &seen.pool else {
        return Some(decision(Step::Look(Look::Pool(slot.pool)), Reason::LookAtPool));
    };
    let volume = pool.iter().find(|volume| {
        let here = volume.attachment().and_then(|it| it.instance.as_ref());
        let leased = LeaseTag::of(volume).is_some_and(|lease| lease.holder == subject.instance);
        leased && here == Some(&subject.instance)
    })?;
    Some(outdated(subject, seen, &slot, volume))
}

/// A volume that an instance does its work with and no record knows, though it was leased. Each sweep finds it again.
pub(super) fn at_work(seen: &Observation, volumes: &[&Volume]) -> Option<Decision> {
    let leased = volumes.iter().find(|volume| LeaseTag::of(volume).is_some())?;
    let slot = slot_of(leased)?;
    let known = seen.candidates.as_ref().is_some_and(|candidates| candidates.pool.is_some());
    let alarm = if known {
        Alarm::RecordsOutdated { slot, volume: leased.id.clone() }
    } else {
        Alarm::PoolUnknown { pool: slot.pool, volume: leased.id.clone() }
    };
    Some(rest(false, None, Reason::HeldForRecords).with_alarm(Some(alarm)))
}

fn slot_of(volume: &Volume) -> Option<SlotId> {
    volume.tags.get(tags::SLOT)?.parse().ok()
}

fn outdated(subject: &Subject, seen: &Observation, slot: &SlotId, volume: &Volume) -> Decision {
    let alarm = Alarm::RecordsOutdated { slot: slot.clone(), volume: volume.id.clone() };
    hold(subject, seen, Reason::HeldForRecords, alarm)
}

/// Nothing now. The action that waits, if one does, is kept alive: the hooks tell which it is.
fn hold(subject: &Subject, seen: &Observation, reason: Reason, alarm: Alarm) -> Decision {
    let action = awaited(subject, seen).map(|it| open_action(subject, seen, it));
    match action {
        Some(OpenAction::Look(decision)) => decision,
        Some(OpenAction::Open(_) | OpenAction::Answered | OpenAction::NotOurs) | None => {
            rest(true, None, reason)
        }
    }
    .with_alarm(Some(alarm))
}
