//! What one slot is, by its volumes, their tags and attachments, and by its old record where there is one. What does not
//! add up is set apart for a person, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::Alarm;
use crate::ids::{DeviceName, InstanceId, SlotId, VolumeId, VolumeName, Zone};
use crate::lease_tag::LeaseTag;
use crate::observation::{
    Attachment, AttachmentState, InstanceState, LifecycleState, Volume, VolumeState, tags,
};
use crate::record::{Format, Origin, Slot, SlotState, SlotVolume};
use crate::time::Timestamp;

use super::plan::Pool;

/// What is found at a slot's name.
pub(super) enum Found {
    /// A slot.
    Slot(Box<Slot>),
    /// Volumes that were never leased: they are adopted under that name once the pool is open again.
    NeverLeased,
    /// The volumes are on their way from one state to another: look again.
    Unclear(String),
}

/// The volumes of one slot, and what the old record says.
struct Set<'a> {
    pool: &'a Pool<'a>,
    old: Option<&'a Slot>,
    members: BTreeMap<VolumeName, &'a Volume>,
    zone: Option<Zone>,
    /// What does not add up, in words for people.
    problem: Option<String>,
}

/// Judges the slot `id`: its old record, and the volumes that go by its name. What a person should know of volumes that
/// are none of its own goes into `findings`.
pub(super) fn slot(
    pool: &Pool<'_>,
    id: &SlotId,
    old: Option<&Slot>,
    claimants: &[&Volume],
    findings: &mut BTreeSet<Alarm>,
) -> Found {
    // What a person has taken out of the pool stays out, whatever its volumes' tags say.
    if let Some(slot) = old.filter(|slot| slot.state == SlotState::Retired) {
        return Found::Slot(Box::new(Slot { version: pool.number, ..slot.clone() }));
    }
    // Nor is a move begun anew: whoever began it goes on with it. Unless the slot was leased since, where the move took it.
    let since = |slot: &Slot| {
        claimants.iter().filter_map(|it| LeaseTag::of(it)).any(|lease| lease.outdates(slot))
    };
    if let Some(slot) = old.filter(|slot| slot.moving.is_some() && !since(slot)) {
        return Found::Slot(Box::new(Slot { version: pool.number, ..slot.clone() }));
    }
    let recorded = |volume: &Volume| {
        old.is_some_and(|slot| slot.every_volume().any(|known| *known == volume.id))
    };
    let (own, others): (Vec<&Volume>, Vec<&Volume>) =
        claimants.iter().partition(|it| recorded(it) || LeaseTag::of(it).is_some());
    // Tags of a lease are missing where EC2 refused them, or where the slot was about to be leased for the first time.
    let (untold, copies): (Vec<&Volume>, Vec<&Volume>) =
        others.into_iter().partition(|it| !it.tags.contains_key(tags::LEASE));
    let in_use = |volume: &&Volume| on_instance(volume).is_some_and(|it| pool.ours(it).is_some());
    if old.is_none() && own.is_empty() && !untold.iter().any(in_use) {
        return Found::NeverLeased;
    }
    if let Some(slot) = old.filter(|slot| pool.still_created(slot))
        && !own.iter().any(|volume| LeaseTag::of(volume).is_some())
    {
        return Found::Slot(Box::new(Slot { version: pool.number, ..slot.clone() }));
    }
    for copy in copies {
        let problem = format!(
            "its tags were copied from another volume, of slot {id}; remove the tags stateful-asg:slot and stateful-asg:lease to have it adopted as a slot of its own"
        );
        findings.insert(Alarm::NotAdopted { volume: copy.id.clone(), problem });
    }
    let set = Set::of(pool, old, &own, &untold);
    set.judged(id)
}

impl<'a> Set<'a> {
    /// One volume for each name: the slot's own where there is one, else the only one that goes by the name.
    fn of(
        pool: &'a Pool<'a>,
        old: Option<&'a Slot>,
        own: &[&'a Volume],
        untold: &[&'a Volume],
    ) -> Self {
        let shown = own.iter().chain(untold).next().map(|it| it.zone.clone());
        let zone = old.map(|slot| slot.zone.clone()).or(shown);
        let mut set = Self { pool, old, members: BTreeMap::new(), zone, problem: None };
        let mut by_name: BTreeMap<VolumeName, (Vec<&Volume>, Vec<&Volume>)> = BTreeMap::new();
        for (volume, known) in
            own.iter().map(|it| (*it, true)).chain(untold.iter().map(|it| (*it, false)))
        {
            let Some(name) = set.name_of(volume) else {
                set.note(format!("{} has no name in it by the tag stateful-asg:volume", volume.id));
                continue;
            };
            let (own, untold) = by_name.entry(name).or_default();
            if known { own.push(volume) } else { untold.push(volume) }
        }
        for (name, (own, untold)) in by_name {
            match (own.as_slice(), untold.as_slice()) {
                ([one], _) | ([], [one]) => {
                    set.members.insert(name, one);
                }
                (several, more) => {
                    let all: Vec<&str> =
                        several.iter().chain(more).map(|it| it.id.as_str()).collect();
                    set.note(format!("{} go by the name {name}", all.join(" and ")));
                }
            }
        }
        set
    }

    fn name_of(&self, volume: &Volume) -> Option<VolumeName> {
        let known = self.known(&volume.id).map(|known| known.name.clone());
        known.or_else(|| volume.tags.get(tags::VOLUME)?.parse().ok())
    }

    fn known(&self, id: &VolumeId) -> Option<&'a SlotVolume> {
        self.old?.volumes.iter().find(|known| known.volume == *id)
    }

    /// The first thing that does not add up is the one that is told.
    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// The latest lease that the volumes tell of.
    fn lease(&self) -> Option<LeaseTag> {
        self.members.values().filter_map(|it| LeaseTag::of(it)).max_by_key(|lease| lease.epoch)
    }

    fn judged(mut self, id: &SlotId) -> Found {
        self.check_whole();
        self.check_volumes();
        let lease = self.lease();
        // What the old record says counts unless the slot was leased since.
        let current = self.old.filter(|slot| !lease.as_ref().is_some_and(|it| it.outdates(slot)));
        let apart = current.filter(|slot| slot.state == SlotState::Quarantined);
        if let Some(slot) = apart {
            self.note(slot.reason.clone());
        }
        let state = match self.state(lease.as_ref(), current) {
            Ok(state) => state,
            Err(unclear) if self.problem.is_none() => return Found::Unclear(unclear),
            Err(_) => SlotState::Quarantined,
        };
        let state = if self.problem.is_some() { SlotState::Quarantined } else { state };
        let Some(zone) = self.zone.clone() else { return Found::NeverLeased };
        let mut slot = Slot {
            id: id.clone(),
            version: self.pool.number,
            epoch: self.pool.number,
            recent_holders: self.old.map_or_else(Vec::new, |old| old.recent_holders.clone()),
            volumes: self.volumes(&zone),
            // What happened since the old record was written, nobody knows.
            format: Format::Over,
            leased_at: lease.as_ref().map(|it| it.since).or(self.old.and_then(|old| old.leased_at)),
            released_at: self.released_at(lease.as_ref(), &state),
            moving: None,
            reason: match (apart, &self.problem) {
                (Some(slot), _) => slot.reason.clone(),
                (None, Some(problem)) => format!("set apart, rebuilt from tags: {problem}"),
                (None, None) => "rebuilt from tags and attachments".to_owned(),
            },
            zone,
            state,
        };
        if let Some(lease) = &lease {
            slot.remember_holder(&lease.holder);
        }
        if let Some(holder) = slot.holder().cloned() {
            slot.remember_holder(&holder);
        }
        Found::Slot(Box::new(slot))
    }

    fn check_whole(&mut self) {
        let recorded = self.old.map(|slot| slot.volumes.len()).filter(|count| *count > 0);
        let holder = self.members.values().find_map(|it| on_instance(it));
        let by_policy = || Some(self.pool.policy_for(holder?)?.volumes.len());
        let wanted = self.lease().map(|it| it.of).or(recorded).or_else(by_policy);
        let count = self.members.len();
        match wanted {
            Some(wanted) if wanted == count => {}
            Some(wanted) => self.note(format!("{count} of its {wanted} volumes are to be found")),
            None => self.note("how many volumes it has is told by no tag and no policy".to_owned()),
        }
    }

    /// What makes one of the volumes unusable, whoever has it.
    fn check_volumes(&mut self) {
        let zones: BTreeSet<&Zone> = self.members.values().map(|it| &it.zone).collect();
        if zones.len() > 1 {
            self.note("its volumes are in different zones".to_owned());
        }
        for volume in self.members.clone().into_values() {
            let id = &volume.id;
            if volume.multi_attach || attachments(volume).count() > 1 {
                self.note(format!("{id} may be attached to several instances at once"));
            }
            if attachments(volume).any(|it| it.instance.is_none()) {
                self.note(format!("{id} is attached to a resource that AWS manages"));
            }
            if let VolumeState::Other(state) = &volume.state {
                self.note(format!("EC2 shows {id} {state}"));
            }
        }
    }

    /// Who holds it.
    fn state(
        &mut self,
        lease: Option<&LeaseTag>,
        current: Option<&Slot>,
    ) -> Result<SlotState, String> {
        let on: BTreeSet<InstanceId> =
            self.members.values().filter_map(|it| on_instance(it)).cloned().collect();
        let mut on = on.into_iter();
        let (first, second) = (on.next(), on.next());
        if let (Some(first), Some(second)) = (&first, &second) {
            self.note(format!("its volumes are attached to {first} and {second}"));
        }
        if let Some(holder) = first {
            let leased = lease.is_some_and(|it| it.holder == holder)
                || self.old.is_some_and(|slot| slot.recent_holders.contains(&holder));
            if !leased && self.pool.ours(&holder).is_none() {
                self.note(format!("it is attached to {holder}, which never held it"));
            }
            return Ok(match self.standing(&holder) {
                Standing::Stays => SlotState::Leased { holder },
                Standing::Leaves | Standing::Gone => SlotState::Releasing { holder },
            });
        }
        let moving = self.members.values().find(|it| it.state != VolumeState::Available);
        if let Some(volume) = moving {
            return Err(format!("{} is neither attached nor available", volume.id));
        }
        // Detached without a release on record or by tag, from an instance that lives: that has not let go of it.
        let released = current.is_some_and(|slot| slot.state == SlotState::Free)
            || lease.is_some_and(|lease| self.members.values().all(|it| lease.released(it)));
        let holder = lease.map(|it| &it.holder).or_else(|| current.and_then(Slot::holder)).cloned();
        Ok(match holder.filter(|_| !released).map(|holder| (self.standing(&holder), holder)) {
            Some((Standing::Stays, holder)) => SlotState::Leased { holder },
            Some((Standing::Leaves, holder)) => SlotState::Releasing { holder },
            Some((Standing::Gone, _)) | None => SlotState::Free,
        })
    }

    fn standing(&self, holder: &InstanceId) -> Standing {
        match self.pool.view.others.instances.get(holder).map(|instance| &instance.state) {
            None | Some(InstanceState::Terminated) => return Standing::Gone,
            Some(InstanceState::ShuttingDown) => return Standing::Leaves,
            Some(_) => {}
        }
        match self.pool.view.others.in_groups.get(holder).map(|shown| &shown.state) {
            Some(
                LifecycleState::Terminating
                | LifecycleState::TerminatingWait
                | LifecycleState::TerminatingProceed,
            ) => Standing::Leaves,
            Some(state @ LifecycleState::Other(text))
                if text.starts_with("Warmed:") && !state.is_retained() =>
            {
                Standing::Leaves
            }
            Some(_) | None => Standing::Stays,
        }
    }

    /// The volumes of the slot's zone. Those that EC2 does not show stay on record.
    fn volumes(&self, zone: &Zone) -> Vec<SlotVolume> {
        let shown = self.members.iter().filter(|(_, volume)| volume.zone == *zone);
        let mut volumes: Vec<SlotVolume> = shown
            .map(|(name, volume)| {
                let known = self.known(&volume.id);
                SlotVolume {
                    name: name.clone(),
                    volume: volume.id.clone(),
                    device: self.device(name, volume, known),
                    // Unless it is on record that it was created blank, it holds data.
                    origin: known.map_or(Origin::Adopted, |known| known.origin),
                    created_at: known.map_or(volume.created_at, |known| known.created_at),
                }
            })
            .collect();
        let missing = self.old.into_iter().flat_map(|slot| &slot.volumes);
        volumes.extend(
            missing.filter(|known| !self.pool.view.volumes.contains_key(&known.volume)).cloned(),
        );
        volumes
    }

    /// Where it is attached, else where it was to be, else where a policy wants it.
    fn device(&self, name: &VolumeName, volume: &Volume, known: Option<&SlotVolume>) -> DeviceName {
        let attached = attachments(volume).find_map(|it| it.device.parse().ok());
        attached
            .or_else(|| known.map(|known| known.device.clone()))
            .or_else(|| self.pool.device(name))
            .unwrap_or_default()
    }

    /// The latest release that is known of. One that nobody noted was not before the lease; and not long ago, where EC2
    /// still shows the terminated instance.
    fn released_at(&self, lease: Option<&LeaseTag>, state: &SlotState) -> Option<Timestamp> {
        let tagged = self
            .members
            .values()
            .filter_map(|volume| volume.tags.get(tags::RELEASED_AT)?.parse::<Timestamp>().ok());
        let known = tagged.chain(self.old.and_then(|slot| slot.released_at)).max();
        let unnoted = lease.filter(|lease| {
            *state == SlotState::Free && known.is_none_or(|known| known < lease.since)
        });
        match unnoted {
            None => known,
            Some(lease) if self.pool.view.others.instances.contains_key(&lease.holder) => {
                Some(self.pool.now)
            }
            Some(lease) => Some(lease.since),
        }
    }
}

/// Whether an instance keeps what it holds.
enum Standing {
    Stays,
    Leaves,
    Gone,
}

fn attachments(volume: &Volume) -> impl Iterator<Item = &Attachment> {
    volume.attachments.iter().filter(|it| it.state != AttachmentState::Detached)
}

fn on_instance(volume: &Volume) -> Option<&InstanceId> {
    attachments(volume).find_map(|it| it.instance.as_ref())
}
