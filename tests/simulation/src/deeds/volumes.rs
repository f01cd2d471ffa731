//! People's doings with volumes of the pools.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::world::{
    Detachment, Instance, InstanceState, LifecycleState, VolumeSpecification, VolumeState,
};
use volume_pool::record::{Phase, Slot, SlotState};

use super::trouble::BY_HAND;
use super::{Done, History, Undo};
use crate::policies::VOLUMES;
use crate::setup::{POOL, tagged_volume};

impl History<'_> {
    /// A volume of a pool.
    fn volume(&mut self, wanted: impl Fn(&VolumeState) -> bool) -> Option<String> {
        let volumes: Vec<String> = {
            let world = self.stage.cloud.world();
            let tagged = world.volumes().filter(|it| it.tags.contains_key(POOL));
            tagged.filter(|it| wanted(&it.state)).map(|it| it.id.clone()).collect()
        };
        self.rng.choice(volumes)
    }

    fn available(&mut self) -> Option<String> {
        self.volume(|state| *state == VolumeState::Available)
    }

    fn attached(&mut self) -> Option<String> {
        self.volume(|state| *state == VolumeState::InUse)
    }

    pub(super) fn person_attaches(&mut self) -> Done {
        let volume = self.available()?;
        let stranger = self.stranger()?;
        self.attach_by_hand(volume, stranger)
    }

    /// Onto an instance that held the volume once and lives on: one that was parked, say, or that was given another.
    pub(super) fn person_returns(&mut self) -> Done {
        let free = self.stage.slots().into_iter().filter(|it| it.state == SlotState::Free);
        let earlier: Vec<(String, String)> = free
            .flat_map(|slot| {
                let volumes: Vec<String> = slot.every_volume().map(ToString::to_string).collect();
                let holders = slot.recent_holders.iter().map(ToString::to_string);
                let pairs = holders.flat_map(|holder| {
                    volumes
                        .iter()
                        .map(|volume| (volume.clone(), holder.clone()))
                        .collect::<Vec<_>>()
                });
                pairs.collect::<Vec<_>>()
            })
            .filter(|(_, holder)| self.stage.cloud.world().instance(holder).is_ok_and(takes))
            .collect();
        let (volume, holder) = self.rng.choice(earlier)?;
        self.attach_by_hand(volume, holder)
    }

    /// Onto an instance whose launch waits: the one that it was given, or one of its pool, and under a name of the
    /// person's own.
    pub(super) fn person_helps(&mut self) -> Done {
        let (_, one) = self.one_in(LifecycleState::PendingWait)?;
        let claim = self.stage.claims().into_iter().find(|it| it.instance.as_str() == one);
        let leased = claim.and_then(|claim| match claim.phase {
            Phase::Leased { slot, .. } => Some(slot),
            _ => None,
        });
        let mut slots = self.stage.slots().into_iter();
        let slot = slots.find(|slot| Some(&slot.id) == leased.as_ref());
        let volumes = slot.iter().flat_map(Slot::every_volume).map(ToString::to_string);
        let volume = match self.rng.choice(volumes.collect::<Vec<String>>()) {
            Some(volume) => volume,
            None => self.available()?,
        };
        self.attach_by_hand(volume, one)
    }

    /// And off again after a while, where it is still there.
    fn attach_by_hand(&mut self, volume: String, instance: String) -> Done {
        self.stage.attach_by_hand(&volume, &instance, BY_HAND).ok()?;
        if self.rng.bool() {
            self.undo_within(Duration::from_hours(1), Undo::Attachment { volume, instance });
        }
        Some(())
    }

    /// Unmounted first, as a careful person does.
    pub(super) fn person_detaches(&mut self) -> Done {
        let volume = self.attached()?;
        self.stage.taken.insert(volume.clone());
        let mut world = self.stage.cloud.world();
        world.unmount(&volume);
        world.detach_volume(&volume, None, None, Detachment::Clean).ok().map(drop)
    }

    pub(super) fn person_deletes(&mut self) -> Done {
        let volume = self.available()?;
        self.stage.taken.insert(volume.clone());
        self.stage.cloud.world().delete_volume(&volume).ok()
    }

    pub(super) fn person_tags(&mut self) -> Done {
        let volume = self.volume(|_| true)?;
        let changes = [
            (POOL, "mine"),
            ("stateful-asg:slot", "cassandra-7"),
            ("stateful-asg:slot", "rubbish"),
            ("stateful-asg:volume", "log"),
        ];
        let (key, value) = self.rng.choice(changes)?;
        // What is mended twice would end as it was after the first time.
        let mended = |undo: &Undo| matches!(undo, Undo::Tag { volume: of, key: its, .. } if *of == volume && its == key);
        if self.undo.iter().any(|(_, undo)| mended(undo)) {
            return None;
        }
        self.stage.taken.insert(volume.clone());
        let before = self.stage.cloud.world().volume(&volume).ok()?.tags.get(key).cloned();
        let tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self.stage.cloud.world().create_tags(std::slice::from_ref(&volume), &tags).ok()?;
        // Tags that say of a volume what no record knows hold its pool until they are mended.
        let undo = Undo::Tag { volume, key: key.to_owned(), before };
        self.undo_within(Duration::from_hours(1), undo);
        Some(())
    }

    /// As many as a resource can have, on an instance that waits for its volume mostly.
    pub(super) fn person_fills_tags(&mut self) -> Done {
        let waiting = self.one_in(LifecycleState::PendingWait);
        let (_, instance) = if self.rng.u32(0..3) > 0 { waiting? } else { self.one()? };
        let keys: Vec<String> = (0..50).map(|number| format!("team-{number}")).collect();
        for key in &keys {
            let tags = BTreeMap::from([(key.clone(), String::new())]);
            // The last of them find no room.
            let made = self.stage.cloud.world().create_tags(std::slice::from_ref(&instance), &tags);
            if made.is_err() {
                break;
            }
        }
        self.undo_within(Duration::from_hours(1), Undo::Tags { instance, keys });
        Some(())
    }

    pub(super) fn person_flags(&mut self) -> Done {
        let volume = self.attached()?;
        let mut world = self.stage.cloud.world();
        let attachment = world.volume(&volume).ok()?.attachments.first()?.clone();
        self.stage.taken.insert(volume);
        let change = [(attachment.device, None, true)];
        world.set_delete_on_termination(&attachment.instance, &change).ok()
    }

    pub(super) fn person_adds(&mut self) -> Done {
        let group = self.one_group();
        let zone = self.rng.choice(self.groups[group].zones.clone())?;
        let policy = self.groups[group].policy.clone();
        for (name, _) in VOLUMES.iter().take(policy.volumes) {
            tagged_volume(self.stage, &zone, &policy.pool, name).ok()?;
        }
        Some(())
    }

    pub(super) fn person_modifies(&mut self) -> Done {
        let volume = self.volume(|_| true)?;
        let wanted = VolumeSpecification { size_gib: Some(20), ..VolumeSpecification::default() };
        self.stage.cloud.world().modify_volume(&volume, &wanted).ok().map(drop)
    }

    pub(super) fn volume_fails(&mut self) -> Done {
        let volume = self.available()?;
        // What fails before anybody has noted it is nobody's.
        self.stage.taken.insert(volume.clone());
        self.stage.cloud.world().fail_volume(&volume).ok()
    }
}

/// Whether EC2 attaches volumes to such an instance.
fn takes(instance: &Instance) -> bool {
    matches!(instance.state, InstanceState::Running | InstanceState::Stopped)
}
