//! What EBS offers: volume types with their limits, and the volume that a specification asks for.

use super::World;
use super::errors::ApiError;
use super::tags::Tags;
use super::volumes::{Volume, VolumeState};

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
    /// The snapshot it is made from: its size and its key, where no others are asked for.
    pub snapshot_id: Option<String>,
    /// Whether several instances may attach it, for `io1` and `io2`.
    pub multi_attach: Option<bool>,
}

impl World {
    /// The volume that a specification asks for, checked, in state `creating`.
    pub(super) fn specified(
        &self,
        id: &str,
        zone: &str,
        specification: &VolumeSpecification,
    ) -> Result<Volume, ApiError> {
        let snapshot = specification.snapshot_id.as_deref();
        let snapshot = snapshot.map(|id| self.completed_snapshot(id)).transpose()?;
        let volume_type = specification.volume_type.clone().unwrap_or_else(|| "gp2".to_owned());
        let limits = Limits::of(&volume_type)?;
        let size_gib = specification
            .size_gib
            .or(snapshot.map(|it| it.size_gib))
            .ok_or_else(|| ApiError::MissingParameter("size/snapshot".to_owned()))?;
        if let Some(snapshot) = snapshot.filter(|it| size_gib < it.size_gib) {
            return Err(ApiError::InvalidParameterValue(format!(
                "Volume of {size_gib}GiB is smaller than snapshot '{}', expect size >= {}GiB",
                snapshot.id, snapshot.size_gib
            )));
        }
        within("size", u64::from(size_gib), limits.size)?;
        let iops = limits.iops_for(&volume_type, size_gib, specification.iops)?;
        let throughput = throughput_for(&volume_type, iops, specification.throughput)?;
        let multi_attach = specification.multi_attach.unwrap_or(false);
        if multi_attach && !matches!(volume_type.as_str(), "io1" | "io2") {
            return Err(ApiError::InvalidParameterCombination(format!(
                "The parameter multiAttachEnabled is not supported for {volume_type} volumes."
            )));
        }
        // What comes from an encrypted snapshot is encrypted (`CreateVolume`, `Encrypted`).
        let inherited = snapshot.is_some_and(|it| it.encrypted);
        let encrypted = specification.encrypted.unwrap_or(false) || inherited;
        if !encrypted && specification.kms_key_id.is_some() {
            return Err(ApiError::InvalidParameterDependency(
                "The parameter KmsKeyId requires the parameter Encrypted to be set.".to_owned(),
            ));
        }
        let kms_key_id = match &specification.kms_key_id {
            Some(key) => Some(self.key_arn(key)),
            None => snapshot
                .and_then(|it| it.kms_key_id.clone())
                .or_else(|| encrypted.then(|| self.ebs_key())),
        };
        Ok(Volume {
            id: id.to_owned(),
            zone: zone.to_owned(),
            size_gib,
            volume_type,
            iops,
            throughput,
            encrypted,
            kms_key_id,
            multi_attach,
            snapshot_id: specification.snapshot_id.clone(),
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
        Ok(Self { size, iops, iops_per_gib })
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
        let ratio = u64::from(size_gib).saturating_mul(self.iops_per_gib).max(range.0);
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
