//! What `explain` reads, and the rehearsal.

use futures_util::future::{TryFutureExt as _, try_join, try_join3};
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::observation::tags;
use volume_pool::ports::{LeaseStore as _, LifecycleActions as _, Volumes as _};
use volume_pool::record::{Claim, List, Record, Slot, SlotState};

use super::{Explanation, InstanceFacts, SlotFacts, VolumeFacts};
use crate::failure::Failure;
use crate::records;
use crate::rehearsing;
use crate::session::Session;
use crate::target::Target;

/// Reads what there is to be known of the target, and rehearses what comes next.
pub(super) async fn read(session: &Session, target: &Target) -> Result<Explanation, Failure> {
    let (mut instance, mut slot, mut volume) = (None, None, None);
    match target {
        Target::Instance(id) => {
            let facts = self::instance(session, id).await?;
            if facts.claim.is_none() && facts.shown.is_none() && facts.member.is_none() {
                return Err(Failure::Unknown(format!(
                    "{id} is not on record, and neither EC2 nor Auto Scaling knows it; check the id and --region"
                )));
            }
            if let Some(id) = facts.claim.as_ref().and_then(Claim::slot) {
                slot = Some(self::slot(session, id).await?);
            }
            instance = Some(facts);
        }
        Target::Slot(id) => slot = Some(existing(session, id).await?),
        Target::Volume(id) => match records::owner(session, id).await? {
            Some(owner) => slot = Some(self::slot(session, &owner).await?),
            None => volume = Some(self::volume(session, id).await?),
        },
    }
    if instance.is_none()
        && let Some(user) = slot.as_ref().and_then(|facts| user(facts.record.as_ref()?))
    {
        instance = Some(self::instance(session, user).await?);
    }
    let (mut found, mut next) = (None, None);
    if let Some(InstanceFacts { instance, .. }) = &instance {
        found = rehearsing::found(session, instance).await?;
        let subject = rehearsing::subject(session, instance, found);
        let rehearsal = rehearsing::rehearsal(session, subject)?;
        next = Some(rehearsing::rehearsed(session, rehearsal).await?.1);
    }
    let found = found.map(|found| found.to_string());
    let now = session.now();
    Ok(Explanation { at: now.to_string(), now, instance, slot, volume, found, next })
}

async fn instance(session: &Session, id: &InstanceId) -> Result<InstanceFacts, Failure> {
    let ports = &session.ports;
    let (claim, member, shown) = try_join3(
        records::claim(session, id),
        ports.actions.group_instance(id).map_err(Failure::from),
        ports.volumes.instance(id).map_err(Failure::from),
    )
    .await?;
    let position = match claim.as_ref().and_then(Claim::queued) {
        Some((place, _)) => {
            let queue = List::Waiting(place.clone());
            let queue = ports.leases.list(&queue, queue.most()).await?;
            let ahead = queue
                .iter()
                .position(|record| matches!(record, Record::Waiting(mark) if mark.instance == *id));
            ahead.map(|ahead| ahead + 1)
        }
        None => None,
    };
    Ok(InstanceFacts { instance: id.clone(), claim, position, member, shown })
}

async fn existing(session: &Session, id: &SlotId) -> Result<SlotFacts, Failure> {
    let facts = slot(session, id).await?;
    if facts.record.is_none() {
        return Err(Failure::Unknown(format!(
            "there is no slot {id}; stateful-asg status shows the slots that there are"
        )));
    }
    Ok(facts)
}

async fn slot(session: &Session, id: &SlotId) -> Result<SlotFacts, Failure> {
    let ports = &session.ports;
    let record = records::slot(session, id).await?;
    let ids: Vec<VolumeId> = record.iter().flat_map(Slot::every_volume).cloned().collect();
    let mut shown = ports.volumes.volumes(&ids).await?;
    let in_line = match &record {
        Some(slot) if slot.state == SlotState::Free => {
            let (free, waiting) = (List::Free(slot.place()), List::Waiting(slot.place()));
            let (free, waiting) = try_join(
                ports.leases.list(&free, free.most()),
                ports.leases.list(&waiting, waiting.most()),
            )
            .await?;
            let ahead = free
                .iter()
                .position(|record| matches!(record, Record::Free(mark) if mark.slot.id == *id));
            ahead.map(|ahead| (ahead + 1, waiting.len()))
        }
        Some(_) | None => None,
    };
    let volumes = ids.into_iter().map(|id| (id.clone(), shown.remove(&id))).collect();
    Ok(SlotFacts { slot: id.clone(), record, in_line, volumes })
}

/// Who has to do with the slot now.
fn user(slot: &Slot) -> Option<&InstanceId> {
    match &slot.state {
        SlotState::Leased { holder: user }
        | SlotState::Releasing { holder: user }
        | SlotState::Creating { claimant: user, .. } => Some(user),
        SlotState::Free | SlotState::Quarantined | SlotState::Retired => None,
    }
}

async fn volume(session: &Session, id: &VolumeId) -> Result<VolumeFacts, Failure> {
    let ports = &session.ports;
    let shown = ports.volumes.volumes(std::slice::from_ref(id)).await?.remove(id);
    let Some(shown) = shown else {
        return Err(Failure::Unknown(format!(
            "{id} is not on record, and EC2 does not know it; check the id and --region"
        )));
    };
    let named: Option<SlotId> = shown.tags.get(tags::SLOT).and_then(|slot| slot.parse().ok());
    let named = match named {
        Some(slot) => records::slot(session, &slot).await?.map(|slot| slot.id),
        None => None,
    };
    Ok(VolumeFacts { volume: id.clone(), shown: Some(shown), named })
}
