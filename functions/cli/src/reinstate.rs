//! `reinstate`: gives a slot that was set apart back to its pool.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use volume_pool::Timestamp;
use volume_pool::drift::{self, Verdict};
use volume_pool::ids::{SlotId, VolumeId};
use volume_pool::observation::{Volume, tags};
use volume_pool::ports::{Clock as _, Volumes as _};
use volume_pool::record::{Slot, SlotState};
use volume_pool::transition::person;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output, words};

/// EC2's describes may be some seconds old: what two of them show that are this far apart is so.
const BETWEEN: Duration = Duration::from_secs(5);

/// Give a slot that was set apart back to its pool, once a person has looked at its volumes.
///
/// Refused unless EC2 shows every volume of it available, in two looks. For staleAfterHours its data counts as idle since its
/// last use on record.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Reinstates the slot.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, _) = change::slot(session, id).await?;
    match &slot.state {
        SlotState::Quarantined if slot.moving.is_some() => {
            return Err(Failure::Refused(format!(
                "slot {id} is being moved to another zone; go on with that (stateful-asg move {id}), or give it up (move {id} --cancel)"
            )));
        }
        SlotState::Quarantined => {}
        SlotState::Retired => {
            return Err(Failure::Refused(format!(
                "slot {id} is retired, and a retired slot does not come back; to use its volumes again, adopt copies of them"
            )));
        }
        SlotState::Free
        | SlotState::Leased { .. }
        | SlotState::Releasing { .. }
        | SlotState::Creating { .. } => {
            let state = words::slot_state(&slot.state);
            return output::say(&format!("Slot {id} is not set apart: it is {state}.\n"));
        }
    }
    look(session, &slot).await?;
    session.ports.clock.pause(BETWEEN).await;
    look(session, &slot).await?;
    arguments.consent.ask(&format!(
        "This gives slot {id} in {} back to its pool, for the next launch that is due one. It was set apart because: {}",
        slot.zone, slot.reason
    ))?;
    let reason = "reinstated by a person, who has looked at its volumes";
    let transaction = change::commit(session, person::reinstate(&slot, reason)).await?;
    for (volume, at) in transaction.released() {
        note(session, &volume, at).await?;
    }
    output::say(&format!("Slot {id} is free.\n"))
}

/// Refuses unless EC2 shows every volume of the slot fit for a launch.
pub(crate) async fn look(session: &Session, slot: &Slot) -> Result<(), Failure> {
    let ids: Vec<VolumeId> = slot.every_volume().cloned().collect();
    let shown = session.ports.volumes.volumes(&ids).await?;
    usable(slot, &shown, session.now()).map_err(Failure::Refused)
}

/// Whether a launch could use the slot: by the very judgement that sets free slots apart, and by what is asked of a release.
fn usable(slot: &Slot, shown: &BTreeMap<VolumeId, Volume>, now: Timestamp) -> Result<(), String> {
    let id = &slot.id;
    if slot.volumes.is_empty() {
        return Err(format!("slot {id} has no volume; retire it: stateful-asg retire {id}"));
    }
    match drift::judge(slot, shown, now) {
        Verdict::Unusable(volume, problem) => {
            return Err(format!(
                "volume {volume} of slot {id} can't be used: {problem}; mend that, or retire the slot"
            ));
        }
        Verdict::Outdated(volume) => {
            return Err(format!(
                "volume {volume} was leased since the record of slot {id} was written; rebuild the pool: stateful-asg rebuild {}",
                id.pool
            ));
        }
        Verdict::Fine | Verdict::Untagged(_) => {}
    }
    for volume in &slot.volumes {
        let found = shown.get(&volume.volume);
        if !found.is_some_and(Volume::is_available) {
            return Err(format!(
                "EC2 shows volume {} of slot {id} {}, and a slot is free only once its volumes are shown to be detached; detach it, \
                 after unmounting it there, and run this again",
                volume.volume,
                words::volume(found, None),
            ));
        }
        if found.is_some_and(|found| found.zone != slot.zone) {
            return Err(format!(
                "volume {} is not in {}, the zone of slot {id}",
                volume.volume, slot.zone
            ));
        }
    }
    Ok(())
}

/// The tag from which a lost table is rebuilt, as the functions set it with each release.
async fn note(session: &Session, volume: &VolumeId, at: Timestamp) -> Result<(), Failure> {
    let tag = BTreeMap::from([(tags::RELEASED_AT.to_owned(), at.to_string())]);
    let answer = session.ports.volumes.tag(volume.as_str(), &tag).await?;
    answer.or_else(|refusal| {
        output::say(&format!(
            "The slot is free, but {volume} could not be tagged with {}={at}: {refusal}. Only a rebuild of a lost table needs that.\n",
            tags::RELEASED_AT
        ))
    })
}

#[cfg(test)]
mod tests {
    use volume_pool::lease_tag::LeaseTag;

    use super::*;
    use crate::samples::{attached_to, slot, volume};

    fn refusal(shown: &[Volume]) -> String {
        let shown = shown.iter().map(|volume| (volume.id.clone(), volume.clone())).collect();
        let now = Timestamp::from_millis(9_000_000);
        usable(&slot(SlotState::Quarantined), &shown, now).err().unwrap_or_default()
    }

    #[test]
    fn a_slot_whose_volumes_are_available_may_be_reinstated() {
        assert_eq!(refusal(&[volume()]), "");
    }

    #[test]
    fn a_volume_that_a_launch_could_not_use_keeps_its_slot_apart() {
        assert!(refusal(&[]).contains("EC2 does not know it any more"));
        // On its earlier holder as well as on anybody else.
        assert!(refusal(&[attached_to("i-00000001")]).contains("attached to i-00000001"));
        assert!(refusal(&[attached_to("i-00000009")]).contains("never held the slot"));
        let elsewhere = Volume { zone: "eu-central-1b".parse().unwrap(), ..volume() };
        assert!(refusal(&[elsewhere]).contains("not in eu-central-1a"));
        let lease = LeaseTag {
            epoch: 9,
            holder: "i-00000002".parse().unwrap(),
            volume: volume().id,
            of: 1,
            since: Timestamp::from_millis(4_000),
        };
        let tags = BTreeMap::from([(tags::LEASE.to_owned(), lease.to_string())]);
        assert!(refusal(&[Volume { tags, ..volume() }]).contains("rebuild the pool"));
        let empty = Slot { volumes: Vec::new(), ..slot(SlotState::Quarantined) };
        assert!(usable(&empty, &BTreeMap::new(), Timestamp::default()).is_err());
    }
}
