//! People's doings with volumes of the pools.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::world::{Detachment, VolumeSpecification, VolumeState};

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
        self.stage.cloud.world().attach_volume(&volume, &stranger, "/dev/sdx").ok().map(drop)
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
        self.stage.taken.insert(volume.clone());
        let before = self.stage.cloud.world().volume(&volume).ok()?.tags.get(key).cloned();
        let tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self.stage.cloud.world().create_tags(std::slice::from_ref(&volume), &tags).ok()?;
        // Tags that say of a volume what no record knows hold its pool until they are mended.
        let undo = Undo::Tag { volume, key: key.to_owned(), before };
        self.undo_within(Duration::from_hours(1), undo);
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
