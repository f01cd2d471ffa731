//! What is done in AWS: one call each, always for the instance that a decision is about.

use std::collections::BTreeMap;

use crate::action::{Action, ActionResult};
use crate::ids::{DeviceName, VolumeId};

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
    /// `CreateTags`
    Tag(String, BTreeMap<String, String>),
    /// `CompleteLifecycleAction`
    Complete(Action, ActionResult),
    /// `RecordLifecycleActionHeartbeat`
    Heartbeat(Action),
}

impl Effect {
    /// The AWS call that carries it out.
    pub const fn call(&self) -> &'static str {
        match self {
            Self::Attach(..) => "ec2:AttachVolume",
            Self::Detach(_) => "ec2:DetachVolume",
            Self::KeepOnTermination(_) => "ec2:ModifyInstanceAttribute",
            Self::Stop => "ec2:StopInstances",
            Self::Tag(..) => "ec2:CreateTags",
            Self::Complete(..) => "autoscaling:CompleteLifecycleAction",
            Self::Heartbeat(_) => "autoscaling:RecordLifecycleActionHeartbeat",
        }
    }
}
