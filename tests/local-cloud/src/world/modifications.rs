//! `ModifyVolume`: a volume that grows, or changes its type or its performance, while it is in use. What it is
//! called `modifying` for a few seconds keeps it from being attached; `optimizing` lasts for hours and hinders nobody.

use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::due::Due;
use super::errors::ApiError;
use super::events::{Subject, VolumeOutcome};
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::tags::Tags;
use super::volume_types::VolumeSpecification;
use super::volumes::{Volume, VolumeState, check_volume_id};

/// `ModifyVolume`, API Reference: four modifications within a rolling period of 24 hours.
const PER_PERIOD: usize = 4;
const PERIOD: Duration = Duration::from_hours(24);

/// How far a modification is (`VolumeModificationState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModificationState {
    /// Being prepared: the volume is as it was.
    Modifying,
    /// The volume has its new size and type; its performance is somewhere between the old and the new.
    Optimizing,
    /// Done.
    Completed,
}

impl ModificationState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Modifying => "modifying",
            Self::Optimizing => "optimizing",
            Self::Completed => "completed",
        }
    }

    /// How much of it is done, in percent. Only its ends are known here.
    pub fn progress(self) -> u8 {
        match self {
            Self::Modifying | Self::Optimizing => 0,
            Self::Completed => 100,
        }
    }
}

/// What a modification can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its size in GiB.
    pub size_gib: u32,
    /// Its type.
    pub volume_type: String,
    /// Operations per second, where the type has such a number.
    pub iops: Option<u32>,
    /// Throughput in MiB/s, for `gp3`.
    pub throughput: Option<u32>,
    /// Whether several instances may attach it.
    pub multi_attach: bool,
}

impl Shape {
    fn of(volume: &Volume) -> Self {
        Self {
            size_gib: volume.size_gib,
            volume_type: volume.volume_type.clone(),
            iops: volume.iops,
            throughput: volume.throughput,
            multi_attach: volume.multi_attach,
        }
    }
}

/// The latest modification of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeModification {
    /// The volume.
    pub volume: String,
    /// How far it is.
    pub state: ModificationState,
    /// What the volume was.
    pub original: Shape,
    /// What it is to be.
    pub target: Shape,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was done.
    pub ended_at: Option<Timestamp>,
    /// When it and those before it began, within the period that counts.
    starts: Vec<Timestamp>,
    no_tags: Tags,
}

impl Filtered for VolumeModification {
    const NAMES: &'static [&'static str] = &[
        "modification-state",
        "original-iops",
        "original-size",
        "original-volume-type",
        "start-time",
        "target-iops",
        "target-size",
        "target-volume-type",
        "volume-id",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        let Self { original, target, .. } = self;
        let number = |value: Option<u32>| value.iter().map(u32::to_string).collect();
        match name {
            "modification-state" => vec![self.state.as_str().to_owned()],
            "original-iops" => number(original.iops),
            "original-size" => vec![original.size_gib.to_string()],
            "original-volume-type" => vec![original.volume_type.clone()],
            "start-time" => vec![self.started_at.to_string()],
            "target-iops" => number(target.iops),
            "target-size" => vec![target.size_gib.to_string()],
            "target-volume-type" => vec![target.volume_type.clone()],
            "volume-id" => vec![self.volume.clone()],
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> &Tags {
        &self.no_tags
    }
}

impl World {
    /// `ModifyVolume`. What the specification leaves out stays as it is; a new type takes its own defaults.
    pub fn modify_volume(
        &mut self,
        volume: &str,
        wanted: &VolumeSpecification,
    ) -> Result<VolumeModification, ApiError> {
        let found = self.volume(volume)?.clone();
        if !matches!(found.state, VolumeState::Available | VolumeState::InUse) {
            return Err(ApiError::IncorrectState(format!(
                "Volume {volume} must be in the available or in-use state to be modified."
            )));
        }
        let starts = self.recent_modifications(volume)?;
        let target = self.target(&found, wanted)?;
        let modification = VolumeModification {
            volume: volume.to_owned(),
            state: ModificationState::Modifying,
            original: Shape::of(&found),
            target,
            started_at: self.now,
            ended_at: None,
            starts,
            no_tags: Tags::new(),
        };
        self.modifications.insert(volume.to_owned(), modification.clone());
        self.schedule(self.config.timings.modify, Due::Modification(volume.to_owned()));
        self.happened(Subject::volume(volume), format!("volume {volume} is being modified"));
        Ok(modification)
    }

    /// `DescribeVolumesModifications`: the latest of each volume. A volume that never had one fails the call that
    /// names it.
    pub fn describe_volumes_modifications(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<VolumeModification>, ApiError> {
        check_ec2::<VolumeModification>(filters)?;
        for id in ids {
            check_volume_id(id)?;
            if !self.modifications.contains_key(id) {
                return Err(ApiError::ModificationNotFound(id.clone()));
            }
        }
        let found = self
            .modifications
            .values()
            .filter(|it| (ids.is_empty() || ids.contains(&it.volume)) && passes(*it, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |it: &VolumeModification| it.volume.clone())
    }

    /// A volume's hardware fails while nobody has it: it is in state `error`, and its data is lost.
    pub fn fail_volume(&mut self, volume: &str) -> Result<(), ApiError> {
        let found = self.volume(volume)?;
        if found.state != VolumeState::Available {
            let state = found.state.as_str();
            return Err(ApiError::IncorrectState(format!(
                "Volume '{volume}' is in the '{state}' state."
            )));
        }
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            found.state = VolumeState::Error;
        }
        self.happened(Subject::volume(volume), format!("volume {volume} is in error"));
        Ok(())
    }

    /// Refuses to attach a volume whose modification has only begun, with the error that EC2 has for it
    /// (hashicorp/terraform-provider-aws#17547).
    pub(super) fn check_not_modifying(&self, volume: &str) -> Result<(), ApiError> {
        match self.modifications.get(volume).map(|it| it.state) {
            Some(ModificationState::Modifying) => Err(ApiError::OperationNotPermitted(format!(
                "Cannot attach volume {volume} when it is in modification state: MODIFYING"
            ))),
            _ => Ok(()),
        }
    }

    /// A modification goes on to its next state.
    pub(super) fn modification_due(&mut self, volume: &str) {
        let now = self.now;
        let Some(modification) = self.modifications.get_mut(volume) else {
            return;
        };
        match modification.state {
            ModificationState::Modifying => {
                modification.state = ModificationState::Optimizing;
                let target = modification.target.clone();
                if let Some(found) = self.volumes.get_mut(volume, now) {
                    found.size_gib = target.size_gib;
                    found.volume_type = target.volume_type;
                    found.iops = target.iops;
                    found.throughput = target.throughput;
                    found.multi_attach = target.multi_attach;
                }
                self.schedule(self.config.timings.optimize, Due::Modification(volume.to_owned()));
                self.announce_modification(volume, "optimizing");
            }
            ModificationState::Optimizing => {
                modification.state = ModificationState::Completed;
                modification.ended_at = Some(now);
                self.announce_modification(volume, "completed");
            }
            ModificationState::Completed => {}
        }
    }

    fn announce_modification(&mut self, volume: &str, result: &'static str) {
        let text = format!("the modification of volume {volume} is {result}");
        self.happened(Subject::volume(volume), text);
        let event = "modifyVolume";
        self.announce_volume(volume, VolumeOutcome { event, result, cause: "" });
    }

    /// When the modifications of the last period began, this one included, if it may begin.
    fn recent_modifications(&self, volume: &str) -> Result<Vec<Timestamp>, ApiError> {
        let Some(last) = self.modifications.get(volume) else {
            return Ok(vec![self.now]);
        };
        if last.state != ModificationState::Completed {
            let state = last.state.as_str().to_uppercase();
            return Err(ApiError::IncorrectModificationState(format!(
                "Volume {volume} cannot be modified in modification state {state}"
            )));
        }
        let period = self.config.scaled(PERIOD);
        let recent = |start: &&Timestamp| self.now < start.plus(period);
        let mut starts: Vec<Timestamp> = last.starts.iter().filter(recent).copied().collect();
        if starts.len() >= PER_PERIOD {
            return Err(ApiError::VolumeModificationRateExceeded);
        }
        starts.push(self.now);
        Ok(starts)
    }

    /// What the volume is to be, checked as a new volume of that kind would be.
    fn target(&self, found: &Volume, wanted: &VolumeSpecification) -> Result<Shape, ApiError> {
        if *wanted == VolumeSpecification::default() {
            return Err(ApiError::MissingParameter("size/volumeType/iops/throughput".to_owned()));
        }
        let size_gib = wanted.size_gib.unwrap_or(found.size_gib);
        if size_gib < found.size_gib {
            return Err(ApiError::InvalidParameterValue(format!(
                "New size cannot be smaller than existing size: {} GiB is less than {} GiB.",
                size_gib, found.size_gib
            )));
        }
        let volume_type = wanted.volume_type.clone().unwrap_or_else(|| found.volume_type.clone());
        let same_type = volume_type == found.volume_type;
        let provisioned = !matches!(volume_type.as_str(), "gp2" | "st1" | "sc1" | "standard");
        let specification = VolumeSpecification {
            size_gib: Some(size_gib),
            iops: wanted.iops.or(found.iops.filter(|_| same_type && provisioned)),
            throughput: wanted.throughput.or(found.throughput.filter(|_| same_type)),
            multi_attach: wanted.multi_attach.or(Some(found.multi_attach)),
            volume_type: Some(volume_type),
            encrypted: None,
            kms_key_id: None,
            snapshot_id: None,
        };
        Ok(Shape::of(&self.specified(&found.id, &found.zone, &specification)?))
    }
}
