//! What is done in AWS: one call each, always for the instance that a decision is about.

use std::collections::BTreeMap;

use crate::action::{Action, ActionResult};
use crate::command::Run;
use crate::ids::{DeviceName, VolumeId, VolumeName, Zone};
use crate::policy::Template;

/// One call that changes something in AWS, for the instance that the decision is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// `AttachVolume`
    Attach(VolumeId, DeviceName),
    /// `DetachVolume`
    Detach(VolumeId),
    /// `ModifyInstanceAttribute`, for the volume at this device.
    KeepOnTermination(String),
    /// `StopInstances`
    Stop,
    /// `CreateVolume`
    Create(Creation),
    /// `SendCommand`
    RunDocument(Run),
    /// `CreateTags`
    Tag(String, BTreeMap<String, String>),
    /// `CompleteLifecycleAction`
    Complete(Action, ActionResult),
    /// `RecordLifecycleActionHeartbeat`
    Heartbeat(Action),
}

/// A volume to be created: everything that `CreateVolume` is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Creation {
    /// Its name in the slot.
    pub name: VolumeName,
    /// Its zone.
    pub zone: Zone,
    /// What it is like.
    pub like: Template,
    /// Its tags, ours among them.
    pub tags: BTreeMap<String, String>,
    /// The client token: the same request with the same token gives the same volume.
    pub token: String,
}

impl Effect {
    /// The AWS call that carries it out.
    pub const fn call(&self) -> &'static str {
        match self {
            Self::Attach(..) => "ec2:AttachVolume",
            Self::Detach(_) => "ec2:DetachVolume",
            Self::KeepOnTermination(_) => "ec2:ModifyInstanceAttribute",
            Self::Stop => "ec2:StopInstances",
            Self::Create(_) => "ec2:CreateVolume",
            Self::RunDocument(_) => "ssm:SendCommand",
            Self::Tag(..) => "ec2:CreateTags",
            Self::Complete(..) => "autoscaling:CompleteLifecycleAction",
            Self::Heartbeat(_) => "autoscaling:RecordLifecycleActionHeartbeat",
        }
    }
}
