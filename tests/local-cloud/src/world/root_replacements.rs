//! `CreateReplaceRootVolumeTask`: an instance gets another root volume while it runs. It reboots, and everything else that is
//! attached to it stays (Amazon EC2 User Guide, "Replace the root volume for an Amazon EC2 instance").

use volume_pool::Timestamp;

use super::World;
use super::attachments::{Attachment, AttachmentState};
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::instances::InstanceState;
use super::tags::{Tags, check_tags};
use super::volumes::{Volume, VolumeState};

/// How a replacement stands (`TaskState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootReplacementState {
    /// The new volume is being created.
    Pending,
    /// The old volume is off, the new one not yet on.
    InProgress,
    /// The new volume is the instance's root volume.
    Succeeded,
    /// It failed, and the old volume is still there.
    Failed,
    /// It failed, and the instance has no root volume.
    FailedDetached,
}

impl RootReplacementState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in-progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::FailedDetached => "failed-detached",
        }
    }

    fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }
}

/// What becomes of a root volume that was replaced (`DeleteReplacedRootVolume`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReplacedRoot {
    /// It stays, attached to nothing.
    #[default]
    Kept,
    /// It is deleted.
    Deleted,
}

/// The input of `CreateReplaceRootVolumeTask`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaceRoot {
    /// The instance.
    pub instance: String,
    /// The image that the new volume is made from. Without one, the volume's own state at launch.
    pub image_id: Option<String>,
    /// What becomes of the old volume.
    pub replaced: ReplacedRoot,
    /// Tags of the task.
    pub tags: Tags,
    /// Makes the call idempotent.
    pub client_token: Option<String>,
}

/// A replacement of a root volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootReplacement {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub request: ReplaceRoot,
    /// How it stands.
    pub state: RootReplacementState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The attachment that it ends.
    old: Attachment,
    /// The new volume.
    new: String,
}

impl Filtered for RootReplacement {
    const NAMES: &'static [&'static str] = &["instance-id"];

    fn values_of(&self, _: &str) -> Vec<String> {
        vec![self.request.instance.clone()]
    }

    fn tags(&self) -> &Tags {
        &self.request.tags
    }
}

impl World {
    /// `CreateReplaceRootVolumeTask`. The new volume is of the old one's kind.
    pub fn replace_root_volume(
        &mut self,
        request: ReplaceRoot,
    ) -> Result<RootReplacement, ApiError> {
        let token = request.client_token.as_ref();
        let known = self
            .root_replacements
            .values()
            .find(|it| token.is_some() && it.request.client_token.as_ref() == token);
        if let Some(known) = known {
            if known.request == request {
                return Ok(known.clone());
            }
            return Err(ApiError::IdempotentParameterMismatch(
                "The parameters do not match those of the original request".to_owned(),
            ));
        }
        if let Some(image) = &request.image_id {
            super::places::check_image_id(image)?;
        }
        check_tags(&request.tags)?;
        let old = self.root_to_replace(&request.instance)?.clone();
        let id = self.new_id("replacevol");
        let new = self.new_id("vol");
        let volume = Volume {
            id: new.clone(),
            state: VolumeState::Creating,
            created_at: self.now,
            tags: Tags::new(),
            attachments: Vec::new(),
            ..self.volume(&old.volume)?.clone()
        };
        self.volumes.insert(&new, volume, self.now);
        let task = RootReplacement {
            id: id.clone(),
            request,
            state: RootReplacementState::Pending,
            started_at: self.now,
            ended_at: None,
            old,
            new,
        };
        self.root_replacements.insert(id.clone(), task.clone());
        self.schedule(self.config.timings.create_volume, Due::RootReplacement(id));
        Ok(task)
    }

    /// `DescribeReplaceRootVolumeTasks`. Ids that are unknown are left out.
    pub fn describe_root_replacements(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<RootReplacement>, ApiError> {
        check_ec2::<RootReplacement>(filters)?;
        let found = self
            .root_replacements
            .values()
            .filter(|it| (ids.is_empty() || ids.contains(&it.id)) && passes(*it, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |it: &RootReplacement| it.id.clone())
    }

    /// A replacement goes on to its next state, or fails because its instance does not run any more.
    pub(super) fn root_replacement_due(&mut self, id: &str) {
        let Some(RootReplacement { state, old, new, request, .. }) =
            self.root_replacements.get(id).cloned()
        else {
            return;
        };
        let running = self
            .instances
            .get(&old.instance)
            .is_some_and(|instance| instance.state == InstanceState::Running);
        match (state, running) {
            (RootReplacementState::Pending, true) => {
                self.volume_created(&new);
                self.remove_attachment(&old.volume, &old.instance);
                self.set_root_replacement(id, RootReplacementState::InProgress);
                self.schedule(self.config.timings.attach, Due::RootReplacement(id.to_owned()));
            }
            (RootReplacementState::InProgress, true) => {
                self.install_root(&old, &new, &request);
                self.set_root_replacement(id, RootReplacementState::Succeeded);
            }
            (RootReplacementState::Pending, false) => {
                self.begin_delete(&new);
                self.set_root_replacement(id, RootReplacementState::Failed);
            }
            (RootReplacementState::InProgress, false) => {
                self.begin_delete(&new);
                self.set_root_replacement(id, RootReplacementState::FailedDetached);
            }
            _ => {}
        }
    }

    /// Attaches the new volume, and reboots the instance: what it had mounted it mounts anew.
    fn install_root(&mut self, old: &Attachment, new: &str, request: &ReplaceRoot) {
        let instance = old.instance.as_str();
        self.place_attachment(new, instance, &old.device, AttachmentState::Attached);
        self.set_delete_flag(new, old.delete_on_termination);
        if request.replaced == ReplacedRoot::Deleted {
            self.begin_delete(&old.volume);
        }
        if let Some(image) = &request.image_id
            && let Some(found) = self.instances.get_mut(instance, self.now)
        {
            found.image_id.clone_from(image);
        }
        self.happened(Subject::instance(instance), format!("{instance} reboots"));
        self.unmount_all(instance);
        self.workload_mounts(instance);
    }

    /// The attachment of an instance's root volume, if it can be replaced now.
    fn root_to_replace(&self, instance: &str) -> Result<&Attachment, ApiError> {
        let found = self.instance(instance)?;
        let busy = self
            .root_replacements
            .values()
            .any(|it| it.request.instance == instance && !it.state.is_over());
        if found.state != InstanceState::Running || busy {
            let what =
                if busy { "already has its root volume replaced" } else { "is not 'running'" };
            return Err(ApiError::IncorrectState(format!("The instance '{instance}' {what}.")));
        }
        let attached = self.attachments_of(instance).into_iter();
        attached.into_iter().find(|it| it.device == found.root_device).ok_or_else(|| {
            ApiError::IncorrectState(format!("The instance '{instance}' has no root volume."))
        })
    }

    fn set_root_replacement(&mut self, id: &str, state: RootReplacementState) {
        let Some(task) = self.root_replacements.get_mut(id) else {
            return;
        };
        task.state = state;
        task.ended_at = state.is_over().then_some(self.now);
        let instance = task.request.instance.clone();
        let text = format!("the replacement of {instance}'s root volume is {}", state.as_str());
        self.happened(Subject::instance(&instance), text);
    }
}
