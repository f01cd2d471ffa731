//! EBS volumes: creation with its client tokens, deletion, and describes. Attachments are next door.

use volume_pool::Timestamp;

use super::World;
use super::attachments::Attachment;
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check, passes};
use super::tags::{Tags, check_tags};

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
    /// Its creation failed, for a key that cannot be used for example.
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

/// What kind of volume is wanted: the part that `CreateVolume` and block device mappings share. What is absent
/// takes EC2's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSpecification {
    /// Size in GiB.
    pub size_gib: Option<u32>,
    /// `gp2` (the default of `CreateVolume`), `gp3`, `io1`, `io2`, `st1`, `sc1` or `standard`.
    pub volume_type: Option<String>,
    /// Provisioned operations per second.
    pub iops: Option<u32>,
    /// Provisioned throughput in MiB/s, for `gp3`.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The key that encrypts it.
    pub kms_key_id: Option<String>,
    /// The snapshot it is made from. This cloud has none, so any is refused.
    pub snapshot_id: Option<String>,
    /// Whether several instances may attach it, for `io1` and `io2`.
    pub multi_attach: Option<bool>,
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
    /// The key that encrypts it, if one was named.
    pub kms_key_id: Option<String>,
    /// Whether several instances may attach it.
    pub multi_attach: bool,
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
        if let Some(known) = request
            .client_token
            .as_ref()
            .and_then(|it| self.volume_tokens.get(it))
        {
            if known.request != request {
                return Err(ApiError::IdempotentParameterMismatch(
                    "The parameters do not match those of the original request".to_owned(),
                ));
            }
            return match self.volumes.get(&known.volume) {
                Some(volume) if volume.state != VolumeState::Error => Ok(volume.clone()),
                _ => Err(ApiError::IdempotentParameterMismatch(
                    "The client token you have provided is associated with a resource that is \
                     already deleted. Please use a different client token."
                        .to_owned(),
                )),
            };
        }
        self.check_zone(&request.zone)?;
        check_tags(&request.tags)?;
        let id = self.new_id("vol");
        let volume = self.specified(&id, &request.zone, &request.specification)?;
        let volume = Volume {
            tags: request.tags.clone(),
            ..volume
        };
        self.volumes.insert(&id, volume.clone(), self.now);
        let span = self.config.timings.create_volume;
        self.schedule(span, Due::VolumeCreated(id.clone()));
        let text = format!("volume {id} is being created in {}", request.zone);
        self.happened(Subject::volume(&id), text);
        if let Some(token) = request.client_token.clone() {
            self.volume_tokens.insert(
                token,
                VolumeToken {
                    request,
                    volume: id,
                },
            );
        }
        Ok(volume)
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
        check::<Volume>(filters)?;
        for id in ids {
            check_volume_id(id)?;
            if self.volumes.shown(id, self.now).is_none() {
                return Err(ApiError::VolumeNotFound(id.clone()));
            }
        }
        let shown = self.volumes.all_shown(self.now).into_iter();
        let found = shown
            .filter(|volume| ids.is_empty() || ids.contains(&volume.id))
            .filter(|volume| passes(*volume, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |volume: &Volume| {
            volume.id.clone()
        })
    }

    /// The volume as it is, whatever describes show.
    pub fn volume(&self, id: &str) -> Result<&Volume, ApiError> {
        check_volume_id(id)?;
        self.volumes
            .get(id)
            .ok_or_else(|| ApiError::VolumeNotFound(id.to_owned()))
    }

    /// All volumes as they are.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values()
    }

    /// From now on no volume can be created with this key. EBS finds out while it creates: the call succeeds,
    /// the volume ends in `error`, and its client token is burned.
    pub fn disable_key(&mut self, kms_key_id: &str) {
        self.disabled_keys.insert(kms_key_id.to_owned());
    }

    pub(super) fn volume_created(&mut self, id: &str) {
        let Some(volume) = self.volumes.get_mut(id, self.now) else {
            return;
        };
        if volume.state != VolumeState::Creating {
            return;
        }
        let usable = !volume
            .kms_key_id
            .as_ref()
            .is_some_and(|key| self.disabled_keys.contains(key));
        volume.state = if usable {
            VolumeState::Available
        } else {
            VolumeState::Error
        };
        let state = volume.state.as_str();
        self.happened(Subject::volume(id), format!("volume {id} is {state}"));
    }

    pub(super) fn begin_delete(&mut self, id: &str) {
        let Some(volume) = self.volumes.get_mut(id, self.now) else {
            return;
        };
        volume.state = VolumeState::Deleting;
        self.schedule(
            self.config.timings.delete_volume,
            Due::VolumeDeleted(id.to_owned()),
        );
        self.happened(Subject::volume(id), format!("volume {id} is being deleted"));
    }

    pub(super) fn volume_deleted(&mut self, id: &str) {
        self.volumes.remove(id, self.now);
    }

    /// The volume that a specification asks for, checked, in state `creating`.
    pub(super) fn specified(
        &self,
        id: &str,
        zone: &str,
        specification: &VolumeSpecification,
    ) -> Result<Volume, ApiError> {
        if let Some(snapshot) = &specification.snapshot_id {
            return Err(ApiError::SnapshotNotFound(snapshot.clone()));
        }
        let volume_type = specification
            .volume_type
            .clone()
            .unwrap_or_else(|| "gp2".to_owned());
        let limits = Limits::of(&volume_type)?;
        let size_gib = specification
            .size_gib
            .ok_or_else(|| ApiError::MissingParameter("size/snapshot".to_owned()))?;
        within("size", u64::from(size_gib), limits.size)?;
        let iops = limits.iops_for(&volume_type, size_gib, specification.iops)?;
        let throughput = throughput_for(&volume_type, iops, specification.throughput)?;
        let multi_attach = specification.multi_attach.unwrap_or(false);
        if multi_attach && !matches!(volume_type.as_str(), "io1" | "io2") {
            return Err(ApiError::InvalidParameterCombination(format!(
                "The parameter multiAttachEnabled is not supported for {volume_type} volumes."
            )));
        }
        let encrypted = specification
            .encrypted
            .unwrap_or(specification.kms_key_id.is_some());
        if !encrypted && specification.kms_key_id.is_some() {
            return Err(ApiError::InvalidParameterCombination(
                "The parameter KmsKeyId requires the parameter Encrypted to be set.".to_owned(),
            ));
        }
        Ok(Volume {
            id: id.to_owned(),
            zone: zone.to_owned(),
            size_gib,
            volume_type,
            iops,
            throughput,
            encrypted,
            kms_key_id: specification.kms_key_id.clone(),
            multi_attach,
            state: VolumeState::Creating,
            created_at: self.now,
            tags: Tags::new(),
            attachments: Vec::new(),
        })
    }
}

/// What EBS allows of a volume type (Amazon EBS User Guide, "Amazon EBS volume types").
struct Limits {
    size: (u64, u64),
    iops: Option<(u64, u64)>,
    iops_per_gib: u64,
}

impl Limits {
    fn of(volume_type: &str) -> Result<Self, ApiError> {
        let (size, iops, iops_per_gib) = match volume_type {
            "gp3" => ((1, 65_536), Some((3_000, 80_000)), 500),
            "gp2" => ((1, 16_384), None, 0),
            "io1" => ((4, 16_384), Some((100, 64_000)), 50),
            "io2" => ((4, 65_536), Some((100, 256_000)), 1_000),
            "st1" | "sc1" => ((125, 16_384), None, 0),
            "standard" => ((1, 1_024), None, 0),
            other => {
                return Err(ApiError::InvalidParameterValue(format!(
                    "Value ({other}) for parameter volumeType is invalid."
                )));
            }
        };
        Ok(Self {
            size,
            iops,
            iops_per_gib,
        })
    }

    fn iops_for(
        &self,
        volume_type: &str,
        size_gib: u32,
        asked: Option<u32>,
    ) -> Result<Option<u32>, ApiError> {
        let Some(range) = self.iops else {
            return match (asked, volume_type) {
                (Some(_), _) => Err(ApiError::InvalidParameterCombination(format!(
                    "The parameter iops is not supported for {volume_type} volumes."
                ))),
                (None, "gp2") => Ok(Some(size_gib.saturating_mul(3).clamp(100, 16_000))),
                (None, _) => Ok(None),
            };
        };
        let iops = match asked {
            Some(iops) => iops,
            None if volume_type == "gp3" => 3_000,
            None => return Err(ApiError::MissingParameter("iops".to_owned())),
        };
        within("iops", u64::from(iops), range)?;
        let ratio = u64::from(size_gib)
            .saturating_mul(self.iops_per_gib)
            .max(range.0);
        if u64::from(iops) > ratio {
            return Err(ApiError::InvalidParameterValue(format!(
                "Iops to volume size ratio of {iops} to {size_gib} is too high; maximum is {} per GiB.",
                self.iops_per_gib
            )));
        }
        Ok(Some(iops))
    }
}

fn throughput_for(
    volume_type: &str,
    iops: Option<u32>,
    asked: Option<u32>,
) -> Result<Option<u32>, ApiError> {
    if volume_type != "gp3" {
        return match asked {
            None => Ok(None),
            Some(_) => Err(ApiError::InvalidParameterCombination(format!(
                "The parameter throughput is not supported for {volume_type} volumes."
            ))),
        };
    }
    let throughput = asked.unwrap_or(125);
    within("throughput", u64::from(throughput), (125, 2_000))?;
    if iops.is_some_and(|iops| throughput.saturating_mul(4) > iops) {
        return Err(ApiError::InvalidParameterValue(
            "Throughput (MiBps) to iops ratio is too high; maximum is 0.250000 MiBps per iops."
                .to_owned(),
        ));
    }
    Ok(Some(throughput))
}

fn within(name: &str, value: u64, (least, most): (u64, u64)) -> Result<(), ApiError> {
    if value < least {
        let message = format!("Volume {name} of {value} is too low; minimum is {least}.");
        Err(ApiError::InvalidParameterValue(message))
    } else if value > most {
        let message = format!("Volume {name} of {value} is too high; maximum is {most}.");
        Err(ApiError::InvalidParameterValue(message))
    } else {
        Ok(())
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
