//! Attachments: the one physical fence there is. A volume that is not Multi-Attach never has two, whatever is
//! asked; a filesystem that is mounted makes its detachment wait as `busy`.

use volume_pool::Timestamp;

use super::World;
use super::errors::ApiError;
use super::events::{Subject, VolumeOutcome};
use super::instances::InstanceState;
use super::mounts::Filesystem;
use super::pace::Step;
use super::volumes::{Volume, VolumeState};

/// What an attachment is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// On its way to the instance.
    Attaching,
    /// There.
    Attached,
    /// On its way back.
    Detaching,
    /// Asked to go, but the instance has its filesystem mounted.
    Busy,
}

impl AttachmentState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Busy => "busy",
        }
    }
}

/// Whether `DetachVolume` waits for the instance to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detachment {
    /// It does.
    Clean,
    /// It does not (`Force`), which can lose what was not yet written. This world takes down that it happened.
    Forced,
}

/// One volume on one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The volume.
    pub volume: String,
    /// The instance.
    pub instance: String,
    /// The device name it was given.
    pub device: String,
    /// What it is doing.
    pub state: AttachmentState,
    /// When it was asked for.
    pub attached_at: Timestamp,
    /// Whether terminating the instance deletes the volume. False after `AttachVolume`.
    pub delete_on_termination: bool,
    /// Whether the filesystem is mounted.
    pub filesystem: Filesystem,
    /// Rises at every change of state, so that what was scheduled before it is void.
    pub(super) generation: u64,
}

impl World {
    /// `AttachVolume`.
    pub fn attach_volume(
        &mut self,
        volume: &str,
        instance: &str,
        device: &str,
    ) -> Result<Attachment, ApiError> {
        self.check_attach(volume, instance, device)?;
        let attachment =
            self.place_attachment(volume, instance, device, AttachmentState::Attaching);
        let step = (Step::Attach, self.config.timings.attach);
        self.schedule_attachment((volume, instance), step, attachment.generation);
        let text = format!("volume {volume} is being attached to {instance} as {device}");
        self.happened(Subject::both(volume, instance), text);
        Ok(attachment)
    }

    /// `DetachVolume`. Without an instance, the volume's only attachment is meant.
    pub fn detach_volume(
        &mut self,
        volume: &str,
        instance: Option<&str>,
        device: Option<&str>,
        detachment: Detachment,
    ) -> Result<Attachment, ApiError> {
        let found = self.volume(volume)?;
        if found.attachments.is_empty() {
            let state = found.state.as_str();
            return Err(ApiError::IncorrectState(format!(
                "Volume '{volume}' is in the '{state}' state."
            )));
        }
        if let Some(instance) = instance {
            self.instance(instance)?;
        }
        let attachment = named_attachment(found, instance, device)?.clone();
        let holder = attachment.instance.clone();
        let state = self.instances.get(&holder).map(|it| it.state);
        let root =
            self.instances.get(&holder).is_some_and(|it| it.root_device == attachment.device);
        if root && state != Some(InstanceState::Stopped) {
            return Err(ApiError::RootVolumeDetach { volume: volume.to_owned(), instance: holder });
        }
        if detachment == Detachment::Forced {
            self.forced(&attachment);
        } else if matches!(attachment.state, AttachmentState::Detaching | AttachmentState::Busy) {
            return Ok(attachment);
        }
        let text = format!("volume {volume} is being detached from {holder}");
        self.happened(Subject::both(volume, &holder), text);
        self.begin_detach(volume, &holder);
        Ok(self.attachment(volume, &holder).cloned().unwrap_or(attachment))
    }

    /// An attachment as it is, whatever describes show.
    pub fn attachment(&self, volume: &str, instance: &str) -> Option<&Attachment> {
        let attachments = &self.volumes.get(volume)?.attachments;
        attachments.iter().find(|it| it.instance == instance)
    }

    /// The attachments of an instance as they are, by device.
    pub fn attachments_of(&self, instance: &str) -> Vec<&Attachment> {
        let mut found: Vec<_> = self
            .volumes
            .values()
            .flat_map(|volume| &volume.attachments)
            .filter(|attachment| attachment.instance == instance)
            .collect();
        found.sort_by(|a, b| a.device.cmp(&b.device));
        found
    }

    /// An attachment has had its time: it arrives, is gone, or turns out to be busy.
    pub(super) fn attachment_due(&mut self, volume: &str, instance: &str, generation: u64) {
        let Some(attachment) = self.attachment(volume, instance) else {
            return;
        };
        let state = self.instances.get(instance).map(|it| it.state);
        // An instance that is going takes its attachments with it, when it is gone and not before.
        if attachment.generation != generation || state == Some(InstanceState::ShuttingDown) {
            return;
        }
        if self.attachment_held_up(volume, instance, attachment.state) {
            return;
        }
        match (attachment.state, attachment.filesystem) {
            (AttachmentState::Attaching, _) => {
                if let Some(cause) = self.key_problem(volume) {
                    self.refuse_key(volume, instance, &cause);
                    return;
                }
                self.set_attachment(volume, instance, AttachmentState::Attached);
                let text = format!("volume {volume} is attached to {instance}");
                self.happened(Subject::both(volume, instance), text);
                self.workload_mounts(instance);
            }
            (AttachmentState::Detaching, Filesystem::Mounted) => {
                self.set_attachment(volume, instance, AttachmentState::Busy);
                let text = format!("{instance} has {volume} mounted: its detachment is busy");
                self.happened(Subject::both(volume, instance), text);
            }
            (AttachmentState::Detaching, Filesystem::Unmounted)
                if self.releases_late(volume, instance) =>
            {
                let generation = self.set_attachment(volume, instance, AttachmentState::Busy);
                let text = format!("{instance} does not let {volume} go yet");
                self.happened(Subject::both(volume, instance), text);
                let step = (Step::Release, self.config.timings.detach);
                self.schedule_attachment((volume, instance), step, generation);
            }
            (AttachmentState::Detaching | AttachmentState::Busy, Filesystem::Unmounted) => {
                self.remove_attachment(volume, instance);
            }
            (AttachmentState::Attached, _) | (AttachmentState::Busy, Filesystem::Mounted) => {}
        }
    }

    /// A terminated instance has no attachments: its volumes are deleted or free, as each says.
    pub(super) fn free_volumes(&mut self, instance: &str) {
        let attachments: Vec<Attachment> =
            self.attachments_of(instance).into_iter().cloned().collect();
        for attachment in attachments {
            self.remove_attachment(&attachment.volume, instance);
            if attachment.delete_on_termination {
                self.begin_delete(&attachment.volume);
            }
        }
    }

    /// Puts a volume on an instance without asking: callers have checked.
    pub(super) fn place_attachment(
        &mut self,
        volume: &str,
        instance: &str,
        device: &str,
        state: AttachmentState,
    ) -> Attachment {
        self.generations += 1;
        let attachment = Attachment {
            volume: volume.to_owned(),
            instance: instance.to_owned(),
            device: device.to_owned(),
            state,
            attached_at: self.now,
            delete_on_termination: false,
            filesystem: Filesystem::Unmounted,
            generation: self.generations,
        };
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            found.state = VolumeState::InUse;
            found.attachments.push(attachment.clone());
        }
        attachment
    }

    fn check_attach(&self, volume: &str, instance: &str, device: &str) -> Result<(), ApiError> {
        let found = self.volume(volume)?;
        let target = self.instance(instance)?;
        check_device(device)?;
        if found.zone != target.zone {
            let (volume, instance) = (volume.to_owned(), instance.to_owned());
            return Err(ApiError::ZoneMismatch { volume, instance });
        }
        let already_there = found.attachments.iter().any(|it| it.instance == instance);
        if already_there || (!found.multi_attach && !found.attachments.is_empty()) {
            return Err(ApiError::VolumeInUse(volume.to_owned()));
        }
        if !matches!(found.state, VolumeState::Available | VolumeState::InUse) {
            return Err(ApiError::IncorrectState(format!("{volume} is not 'available'.")));
        }
        self.check_not_modifying(volume)?;
        if !matches!(target.state, InstanceState::Running | InstanceState::Stopped) {
            return Err(ApiError::IncorrectState(format!(
                "Instance '{instance}' is not 'running'."
            )));
        }
        let attached = self.attachments_of(instance);
        if attached.iter().any(|it| it.device == device) {
            return Err(ApiError::DeviceInUse(device.to_owned()));
        }
        if attached.len() >= self.config.attachment_limit {
            return Err(ApiError::AttachmentLimitExceeded(instance.to_owned()));
        }
        Ok(())
    }

    /// Sets an attachment on its way back; what ends it depends on what its instance is doing.
    pub(super) fn begin_detach(&mut self, volume: &str, instance: &str) {
        let generation = self.set_attachment(volume, instance, AttachmentState::Detaching);
        let span = match self.instances.get(instance).map(|it| it.state) {
            Some(InstanceState::ShuttingDown) => return,
            Some(InstanceState::Stopped) => self.config.timings.detach_stopped,
            _ => self.config.timings.detach,
        };
        self.schedule_attachment((volume, instance), (Step::Detach, span), generation);
    }

    fn set_attachment(&mut self, volume: &str, instance: &str, state: AttachmentState) -> u64 {
        self.generations += 1;
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            for attachment in found.attachments.iter_mut().filter(|it| it.instance == instance) {
                attachment.state = state;
                attachment.generation = self.generations;
            }
        }
        self.generations
    }

    pub(super) fn remove_attachment(&mut self, volume: &str, instance: &str) {
        let Some(found) = self.volumes.get_mut(volume, self.now) else {
            return;
        };
        found.attachments.retain(|it| it.instance != instance);
        if found.attachments.is_empty() {
            found.state = VolumeState::Available;
        }
        let text = format!("volume {volume} is no longer attached to {instance}");
        self.happened(Subject::both(volume, instance), text);
    }

    /// An attachment whose volume's key cannot be used ends before it has begun.
    fn refuse_key(&mut self, volume: &str, instance: &str, cause: &str) {
        let text = format!("volume {volume} cannot be attached to {instance}: {cause}");
        self.happened(Subject::both(volume, instance), text);
        let (event, result) = ("attachVolume", "failed");
        self.announce_volume(volume, VolumeOutcome { event, result, cause });
        self.remove_attachment(volume, instance);
    }

    /// Takes down a forced detachment, and cuts the filesystem off if it was mounted.
    fn forced(&mut self, attachment: &Attachment) {
        let Attachment { volume, instance, .. } = attachment;
        let text = format!("volume {volume} was detached from {instance} by force");
        self.hazards.push(text.clone());
        self.happened(Subject::both(volume, instance), text);
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            for it in found.attachments.iter_mut().filter(|it| it.instance == *instance) {
                it.filesystem = Filesystem::Unmounted;
            }
        }
    }
}

/// The attachment that a caller of `DetachVolume` means.
fn named_attachment<'a>(
    volume: &'a Volume,
    instance: Option<&str>,
    device: Option<&str>,
) -> Result<&'a Attachment, ApiError> {
    if volume.attachments.len() > 1 && instance.is_none() {
        return Err(ApiError::MissingParameter("InstanceId".to_owned()));
    }
    let meant = |it: &&Attachment| {
        instance.is_none_or(|instance| it.instance == instance)
            && device.is_none_or(|device| it.device == device)
    };
    volume.attachments.iter().find(meant).ok_or_else(|| ApiError::AttachmentNotFound {
        volume: volume.id.clone(),
        instance: instance.unwrap_or_default().to_owned(),
        device: device.map(|device| format!(" as device '{device}'")).unwrap_or_default(),
    })
}

/// EC2 takes `/dev/sd…`, `/dev/xvd…` and the same without `/dev/`.
pub(super) fn check_device(device: &str) -> Result<(), ApiError> {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    let rest = name.strip_prefix("sd").or_else(|| name.strip_prefix("xvd")).unwrap_or_default();
    let letters = rest.trim_end_matches(|it: char| it.is_ascii_digit());
    let valid = matches!(letters.len(), 1 | 2) && letters.chars().all(|it| it.is_ascii_lowercase());
    if valid {
        return Ok(());
    }
    Err(ApiError::InvalidParameterValue(format!(
        "Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
    )))
}
