//! EBS volumes: creation with its client tokens, deletion, and describes. Attachments are next door.

use volume_pool::Timestamp;

use super::World;
use super::attachments::Attachment;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Subject, VolumeOutcome};
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, ids_named, passes};
use super::tags::{Tags, check_tags};
use super::volume_types::VolumeSpecification;

/// What a volume is doing. Its attachment has states of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeState {
    /// Being created.
    Creating,
    /// Attached to nothing.
    Available,
    /// Has an attachment, in whatever state that is.
    InUse,
    /// Being deleted.
    Deleting,
    /// Its hardware failed, and the data is lost.
    Error,
}

impl VolumeState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

/// The input of `CreateVolume`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateVolume {
    /// The availability zone's name.
    pub zone: String,
    /// What kind of volume.
    pub specification: VolumeSpecification,
    /// Tags, set in the same call.
    pub tags: Tags,
    /// Makes the call idempotent: the same token with the same input gives the same volume.
    pub client_token: Option<String>,
}

/// An EBS volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its availability zone.
    pub zone: String,
    /// Its size in GiB.
    pub size_gib: u32,
    /// Its type.
    pub volume_type: String,
    /// Operations per second, where the type has such a number.
    pub iops: Option<u32>,
    /// Throughput in MiB/s, for `gp3`.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The ARN of the key that encrypts it.
    pub kms_key_id: Option<String>,
    /// Whether several instances may attach it.
    pub multi_attach: bool,
    /// The snapshot that it was made from.
    pub snapshot_id: Option<String>,
    /// What it is doing.
    pub state: VolumeState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Tags,
    /// Its attachments: one at most, unless it is Multi-Attach.
    pub attachments: Vec<Attachment>,
}

/// What a client token of `CreateVolume` stands for.
#[derive(Debug, Clone)]
pub(super) struct VolumeToken {
    request: CreateVolume,
    volume: String,
    forgotten_at: Timestamp,
}

impl Filtered for Volume {
    const NAMES: &'static [&'static str] = &[
        "attachment.attach-time",
        "attachment.delete-on-termination",
        "attachment.device",
        "attachment.instance-id",
        "attachment.status",
        "availability-zone",
        "create-time",
        "encrypted",
        "multi-attach-enabled",
        "size",
        "status",
        "volume-id",
        "volume-type",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        let attachments =
            |of: fn(&Attachment) -> String| self.attachments.iter().map(of).collect::<Vec<_>>();
        match name {
            "attachment.attach-time" => attachments(|it| it.attached_at.to_string()),
            "attachment.delete-on-termination" => {
                attachments(|it| it.delete_on_termination.to_string())
            }
            "attachment.device" => attachments(|it| it.device.clone()),
            "attachment.instance-id" => attachments(|it| it.instance.clone()),
            "attachment.status" => attachments(|it| it.state.as_str().to_owned()),
            "availability-zone" => vec![self.zone.clone()],
            "create-time" => vec![self.created_at.to_string()],
            "encrypted" => vec![self.encrypted.to_string()],
            "multi-attach-enabled" => vec![self.multi_attach.to_string()],
            "size" => vec![self.size_gib.to_string()],
            "status" => vec![self.state.as_str().to_owned()],
            "volume-id" => vec![self.id.clone()],
            "volume-type" => vec![self.volume_type.clone()],
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl World {
    /// `CreateVolume`. The volume is `creating` for a while; creation can still fail, which burns the token.
    pub fn create_volume(&mut self, request: CreateVolume) -> Result<Volume, ApiError> {
        self.check_zone(&request.zone).map_err(|_| ApiError::ZoneNotFound(request.zone.clone()))?;
        check_tags(&request.tags)?;
        check_client_token(request.client_token.as_deref())?;
        let id = self.new_id("vol");
        let volume = self.specified(&id, &request.zone, &request.specification)?;
        // Before the token is looked at: a call that made its volume is refused when it is made again at the limit
        // (found by the EBS CSI driver, kubernetes-sigs/aws-ebs-csi-driver d8a0ed2a).
        self.check_storage(&volume)?;
        if let Some(known) = self.known_token(&request)? {
            return Ok(known);
        }
        let volume = Volume { tags: request.tags.clone(), ..volume };
        self.volumes.insert(&id, volume.clone(), self.now);
        let span = self.config.timings.create_volume;
        self.schedule(span, Due::VolumeCreated(id.clone()));
        let text = format!("volume {id} is being created in {}", request.zone);
        self.happened(Subject::volume(&id), text);
        if let Some(token) = request.client_token.clone() {
            let forgotten_at = self.after(self.config.timings.volume_token);
            self.volume_tokens.insert(token, VolumeToken { request, volume: id, forgotten_at });
        }
        Ok(volume)
    }

    /// From now on the account may have so much storage of each volume type. What instances bring with them at
    /// their launch counts, but no launch is held back.
    pub fn set_storage_limit(&mut self, limit_gib: Option<u64>) {
        self.config.storage_limit_gib = limit_gib;
    }

    /// `DeleteVolume`: only what is attached to nothing.
    pub fn delete_volume(&mut self, volume: &str) -> Result<(), ApiError> {
        let found = self.volume(volume)?;
        if let Some(attachment) = found.attachments.first() {
            return Err(ApiError::VolumeAttached {
                volume: volume.to_owned(),
                instance: attachment.instance.clone(),
            });
        }
        match found.state {
            VolumeState::Deleting => Ok(()),
            VolumeState::Creating | VolumeState::InUse => Err(ApiError::IncorrectState(format!(
                "The volume '{volume}' is in the '{}' state.",
                found.state.as_str()
            ))),
            VolumeState::Available | VolumeState::Error => {
                self.begin_delete(volume);
                Ok(())
            }
        }
    }

    /// `DescribeVolumes`. One id that is not there fails the whole call.
    pub fn describe_volumes(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<Volume>, ApiError> {
        check_ec2::<Volume>(filters)?;
        for id in ids {
            check_volume_id(id)?;
        }
        let unknown = |id: &&String| self.volumes.shown(id, self.now).is_none();
        let missing: Vec<String> = ids.iter().filter(unknown).cloned().collect();
        match missing.as_slice() {
            [] => {}
            [one] => return Err(ApiError::VolumeNotFound(one.clone())),
            _ => return Err(ApiError::VolumesNotFound(missing)),
        }
        let shown = match ids_named(filters, "volume-id") {
            Some(named) => self.volumes.some_shown(named, self.now),
            None => self.volumes.all_shown(self.now),
        };
        let found = shown
            .into_iter()
            .filter(|volume| ids.is_empty() || ids.contains(&volume.id))
            .filter(|volume| passes(*volume, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |volume: &Volume| volume.id.clone())
    }

    /// The volume as it is, whatever describes show.
    pub fn volume(&self, id: &str) -> Result<&Volume, ApiError> {
        check_volume_id(id)?;
        self.volumes.get(id).ok_or_else(|| ApiError::VolumeNotFound(id.to_owned()))
    }

    /// All volumes as they are.
    pub fn volumes(&self) -> impl ExactSizeIterator<Item = &Volume> {
        self.volumes.values()
    }

    /// Creation has had its time. One that fails leaves nothing behind but an event, and a token that is burned.
    pub(super) fn volume_created(&mut self, id: &str) {
        if self.volumes.get(id).is_none_or(|volume| volume.state != VolumeState::Creating) {
            return;
        }
        if let Some(cause) = self.key_problem(id) {
            self.happened(Subject::volume(id), format!("volume {id} is not created: {cause}"));
            let (event, result) = ("createVolume", "failed");
            self.announce_volume(id, VolumeOutcome { event, result, cause: &cause });
            self.volumes.remove(id, self.now);
            return;
        }
        if let Some(volume) = self.volumes.get_mut(id, self.now) {
            volume.state = VolumeState::Available;
        }
        self.happened(Subject::volume(id), format!("volume {id} is available"));
        let (event, result) = ("createVolume", "available");
        self.announce_volume(id, VolumeOutcome { event, result, cause: "" });
    }

    pub(super) fn begin_delete(&mut self, id: &str) {
        let Some(volume) = self.volumes.get_mut(id, self.now) else {
            return;
        };
        volume.state = VolumeState::Deleting;
        self.schedule(self.config.timings.delete_volume, Due::VolumeDeleted(id.to_owned()));
        self.happened(Subject::volume(id), format!("volume {id} is being deleted"));
    }

    pub(super) fn volume_deleted(&mut self, id: &str) {
        self.modifications.remove(id);
        self.volumes.remove(id, self.now);
        let (event, result) = ("deleteVolume", "deleted");
        self.announce_volume(id, VolumeOutcome { event, result, cause: "" });
    }

    /// The volume that a client token stands for, if this is a request that was made before.
    fn known_token(&self, request: &CreateVolume) -> Result<Option<Volume>, ApiError> {
        let token = request.client_token.as_ref();
        let Some(known) = token
            .and_then(|token| self.volume_tokens.get(token))
            .filter(|known| self.now < known.forgotten_at)
        else {
            return Ok(None);
        };
        if known.request != *request {
            return Err(ApiError::IdempotentParameterMismatch(
                "The parameters do not match those of the original request".to_owned(),
            ));
        }
        match self.volumes.get(&known.volume) {
            Some(volume) => Ok(Some(volume.clone())),
            None => Err(ApiError::IdempotentParameterMismatch(
                "The client token you have provided is associated with a resource that is already \
                 deleted. Please use a different client token."
                    .to_owned(),
            )),
        }
    }

    fn check_storage(&self, wanted: &Volume) -> Result<(), ApiError> {
        let Some(limit_gib) = self.config.storage_limit_gib else {
            return Ok(());
        };
        let volume_type = &wanted.volume_type;
        let same = self.volumes.values().filter(|it| it.volume_type == *volume_type);
        let used: u64 = same.map(|it| u64::from(it.size_gib)).sum();
        if used + u64::from(wanted.size_gib) <= limit_gib {
            return Ok(());
        }
        Err(ApiError::VolumeLimitExceeded { volume_type: volume_type.clone(), limit_gib })
    }
}

pub(super) fn check_volume_id(id: &str) -> Result<(), ApiError> {
    let hex = id.strip_prefix("vol-").unwrap_or_default();
    if hex.is_empty() || !hex.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ApiError::InvalidParameterValue(format!(
            "Value ({id}) for parameter volumeId is invalid. Expected: 'vol-...'."
        )));
    }
    Ok(())
}

/// EC2 API Reference, "Ensuring idempotency": a token has at most 64 ASCII characters.
fn check_client_token(token: Option<&str>) -> Result<(), ApiError> {
    match token {
        Some(token) if token.len() > 64 || !token.is_ascii() => Err(
            ApiError::InvalidParameterValue(format!("Invalid value '{token}' for clientToken.")),
        ),
        _ => Ok(()),
    }
}
