//! What troubles AWS for a while, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::gate::Service;
use local_cloud::stage::Stage;
use local_cloud::world::{
    AttachmentState, Bucket, DesiredCapacity, Detachment, GroupChange, LifecycleState, Pace,
    Step as Pacing, TagDeletion, TemplateReference, Throttling,
};

use super::configuration::{SECOND, set_paused, tag_group};
use super::{Done, History, deploy, enrol};
use crate::feature::Deed;
use crate::policies::KEY;

/// Where a person attaches a volume.
pub(super) const BY_HAND: &str = "/dev/sdx";
/// No instance has so many volumes, unless its template was crowded.
const FEW: usize = 20;

/// What is undone after a while.
#[derive(Debug, Clone)]
pub(crate) enum Undo {
    /// The paces of a volume or an instance are the usual ones again.
    Pace(String),
    /// The key can be used again.
    Key,
    /// The account has room again.
    Storage,
    /// The account's limits are no hindrance.
    Throttling,
    /// The service answers again.
    Down(Service),
    /// The group's processes run again.
    Resume(String),
    /// The group's policy is whole again.
    Deploy(usize),
    /// The group's hooks are there again.
    Enrol(usize),
    /// The group has one launch hook of ours again.
    SecondHook(String),
    /// The group's tag names its pool again.
    Retag(usize),
    /// The group's template is what it was, and those that it launched meanwhile and could not serve are replaced.
    Uncrowd(String, TemplateReference),
    /// The pool is resumed.
    Unpause(String),
    /// A volume is taken off the instance that a person put it on.
    Attachment {
        /// The volume.
        volume: String,
        /// The instance.
        instance: String,
    },
    /// An instance's tags are taken off again.
    Tags {
        /// The instance.
        instance: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// A volume's tag is what it was.
    Tag {
        /// The volume.
        volume: String,
        /// The tag's key.
        key: String,
        /// Its value, if it had one.
        before: Option<String>,
    },
}

impl History<'_> {
    pub(super) fn trouble(&mut self, deed: Deed) -> Done {
        const LONG: Duration = Duration::from_hours(2);
        match deed {
            Deed::StickAttach | Deed::StickDetach => {
                let volume = self.some_volume()?;
                let state = if deed == Deed::StickAttach {
                    AttachmentState::Attaching
                } else {
                    AttachmentState::Detaching
                };
                self.stage.cloud.world().stick(&volume, state);
                self.undo_within(LONG, Undo::Pace(volume));
            }
            Deed::SlowVolumes => {
                let volume = self.some_volume()?;
                let step = self.rng.choice([Pacing::Attach, Pacing::Detach, Pacing::Release])?;
                let pace = Pace::Takes(Duration::from_secs(self.rng.u64(5..1_200)));
                self.stage.cloud.world().set_pace(&volume, step, pace);
                self.undo_within(LONG, Undo::Pace(volume));
            }
            Deed::SlowInstance => {
                let (_, one) = self.one()?;
                let step = self.rng.choice([Pacing::Start, Pacing::Stop, Pacing::Terminate])?;
                let pace = if self.rng.bool() {
                    Pace::Takes(Duration::from_secs(self.rng.u64(30..1_500)))
                } else {
                    Pace::NeverEnds
                };
                self.stage.cloud.world().set_pace(&one, step, pace);
                self.undo_within(LONG, Undo::Pace(one));
            }
            Deed::DisableKey => {
                self.stage.cloud.world().disable_key(KEY);
                self.undo_within(LONG, Undo::Key);
            }
            Deed::UseUpStorage => {
                let mut world = self.stage.cloud.world();
                let used: u64 = world.volumes().map(|it| u64::from(it.size_gib)).sum();
                // Root volumes still fit.
                world.set_storage_limit(Some(used + self.rng.u64(0..60)));
                drop(world);
                self.undo_within(LONG, Undo::Storage);
            }
            Deed::Throttle => {
                let few = Bucket::new(self.rng.u32(2..10), 2);
                let limits =
                    Throttling { non_mutating: few, mutating: few, ..Throttling::default() };
                self.stage.cloud.world().set_throttling(Some(limits));
                self.undo_within(LONG, Undo::Throttling);
            }
            Deed::DynamoDbDown => self.goes_down(Service::DynamoDb, LONG),
            Deed::Ec2Down => self.goes_down(Service::Ec2, LONG),
            // Without it nobody can keep anything alive.
            Deed::AutoScalingDown => {
                self.goes_down(Service::AutoScaling, Duration::from_secs(150));
            }
            _ => return None,
        }
        Some(())
    }

    fn goes_down(&mut self, service: Service, most: Duration) {
        self.stage.cloud.gate().set_down(service, true);
        self.undo_within(most, Undo::Down(service));
    }

    fn some_volume(&mut self) -> Option<String> {
        let volumes: Vec<String> = {
            let world = self.stage.cloud.world();
            let tagged = world.volumes().filter(|it| it.tags.contains_key(crate::setup::POOL));
            tagged.map(|it| it.id.clone()).collect()
        };
        self.rng.choice(volumes)
    }

    pub(super) fn undo(&mut self, undo: &Undo) {
        let stage = &mut *self.stage;
        match undo {
            Undo::Pace(id) => {
                let mut world = stage.cloud.world();
                world.unstick(id);
                for step in [Pacing::Start, Pacing::Stop, Pacing::Terminate] {
                    world.reset_pace(id, step);
                }
            }
            Undo::Key => stage.cloud.world().enable_key(KEY),
            Undo::Storage => stage.cloud.world().set_storage_limit(None),
            Undo::Throttling => stage.cloud.world().set_throttling(None),
            Undo::Down(service) => stage.cloud.gate().set_down(*service, false),
            Undo::Resume(group) => {
                let _refused = stage.cloud.world().resume_processes(group, &[]);
            }
            Undo::Deploy(group) => deploy(stage, &self.groups[*group]),
            Undo::Enrol(group) => enrol(stage, &self.groups[*group]),
            Undo::SecondHook(group) => {
                let _refused = stage.cloud.world().delete_lifecycle_hook(group, SECOND);
            }
            Undo::Tag { volume, key, before } => {
                let volumes = [volume.clone()];
                let _refused = if let Some(value) = before {
                    let tags = BTreeMap::from([(key.clone(), value.clone())]);
                    stage.cloud.world().create_tags(&volumes, &tags)
                } else {
                    let deletion = TagDeletion { key: key.clone(), value: None };
                    stage.cloud.world().delete_tags(&volumes, &[deletion])
                };
            }
            Undo::Retag(group) => tag_group(stage, &self.groups[*group]),
            Undo::Uncrowd(group, template) => uncrowd(stage, group, template),
            Undo::Attachment { volume, instance } => {
                let mut world = stage.cloud.world();
                world.unmount(volume);
                let _refused =
                    world.detach_volume(volume, Some(instance), Some(BY_HAND), Detachment::Clean);
            }
            Undo::Tags { instance, keys } => {
                let deletion = |key: &String| TagDeletion { key: key.clone(), value: None };
                let deletions: Vec<TagDeletion> = keys.iter().map(deletion).collect();
                let instance = std::slice::from_ref(instance);
                let _refused = stage.cloud.world().delete_tags(instance, &deletions);
            }
            Undo::Unpause(pool) => {
                // A person who gets no answer tries again.
                if set_paused(stage, pool, false).is_none() {
                    let later = stage.cloud.world().now().plus(Duration::from_mins(1));
                    self.undo.push((later, undo.clone()));
                }
            }
        }
    }

    /// Undoes everything that is still to be undone.
    pub(crate) fn undo_all(&mut self) {
        // What is undone may rest on what is undone after it: records can be written once DynamoDB is up.
        for service in [Service::Ec2, Service::AutoScaling, Service::DynamoDb] {
            self.stage.cloud.gate().set_down(service, false);
        }
        for (_, undo) in std::mem::take(&mut self.undo) {
            self.undo(&undo);
        }
    }
}

fn uncrowd(stage: &Stage, group: &str, template: &TemplateReference) {
    let change = GroupChange { template: Some(template.clone()), ..GroupChange::default() };
    let _refused = stage.cloud.world().update_group(group, change);
    dismiss_crowded(stage);
}

/// Has those replaced that wait and have no room for a volume.
pub(crate) fn dismiss_crowded(stage: &Stage) {
    let mut world = stage.cloud.world();
    let members = world.groups().flat_map(|group| group.members.values());
    let waiting = members.filter(|it| it.state == LifecycleState::PendingWait);
    let crowded = waiting.filter(|it| world.attachments_of(&it.instance).len() > FEW);
    let crowded: Vec<String> = crowded.map(|it| it.instance.clone()).collect();
    for one in crowded {
        let _refused = world.terminate_instance_in_group(&one, DesiredCapacity::Kept);
    }
}
