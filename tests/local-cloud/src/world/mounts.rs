//! Filesystems: what the workload on an instance has mounted. The API never shows it; a detachment feels it.

use super::World;
use super::attachments::{Attachment, AttachmentState};
use super::config::Workload;
use super::due::Due;
use super::events::Subject;

/// Whether the instance has the volume's filesystem mounted. Invisible to the API, as on EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// In use: a detachment waits.
    Mounted,
    /// Not in use.
    Unmounted,
}

impl World {
    /// The workload of the instance mounts the volume's filesystem.
    pub fn mount(&mut self, volume: &str) {
        let attached = |it: &&mut Attachment| it.state == AttachmentState::Attached;
        let Some(found) = self.volumes.get_mut(volume, self.now) else {
            return;
        };
        let Some(attachment) = found.attachments.iter_mut().find(attached) else {
            return;
        };
        if attachment.filesystem == Filesystem::Mounted {
            return;
        }
        attachment.filesystem = Filesystem::Mounted;
        let instance = attachment.instance.clone();
        self.happened(Subject::both(volume, &instance), format!("{instance} has mounted {volume}"));
    }

    /// The workload of the instance unmounts the volume's filesystem; a detachment that was busy goes on.
    pub fn unmount(&mut self, volume: &str) {
        let Some(found) = self.volumes.get_mut(volume, self.now) else {
            return;
        };
        let mut busy = Vec::new();
        for attachment in &mut found.attachments {
            if attachment.state == AttachmentState::Busy {
                busy.push((attachment.instance.clone(), attachment.filesystem));
            }
            attachment.filesystem = Filesystem::Unmounted;
        }
        for (instance, before) in busy {
            // What a running instance keeps for reasons of its own, it keeps.
            if before == Filesystem::Mounted || !self.is_running(&instance) {
                self.begin_detach(volume, &instance);
            }
        }
    }

    /// The time to mount has come; the volume may have gone meanwhile.
    pub(super) fn mount_due(&mut self, volume: &str, instance: &str) {
        let there = self
            .attachment(volume, instance)
            .is_some_and(|it| it.state == AttachmentState::Attached);
        if there && self.is_in_service(instance) {
            self.mount(volume);
        }
    }

    /// An instance in service mounts the data volumes it has, if workloads do that here.
    pub(super) fn workload_mounts(&mut self, instance: &str) {
        if self.config.workload == Workload::Idle || !self.is_in_service(instance) {
            return;
        }
        let Some(root) = self.instances.get(instance).map(|it| it.root_device.clone()) else {
            return;
        };
        let waiting: Vec<String> = self
            .attachments_of(instance)
            .into_iter()
            .filter(|it| it.device != root && it.state == AttachmentState::Attached)
            .filter(|it| it.filesystem == Filesystem::Unmounted)
            .map(|it| it.volume.clone())
            .collect();
        for volume in waiting {
            let due = Due::Mount { volume, instance: instance.to_owned() };
            self.schedule(self.config.timings.mount, due);
        }
    }

    /// A stopped instance has unmounted everything; what was busy goes on.
    pub(super) fn unmount_all(&mut self, instance: &str) {
        let volumes: Vec<String> =
            self.attachments_of(instance).into_iter().map(|it| it.volume.clone()).collect();
        for volume in volumes {
            self.unmount(&volume);
        }
    }
}
