//! States in the words that are shown to people: EC2's own where they are EC2's.

use volume_pool::ids::InstanceId;
use volume_pool::observation::{AttachmentState, InstanceState, Volume, VolumeState};
use volume_pool::record::SlotState;

/// Who holds a slot: to people a leased slot is held.
pub(crate) const fn slot_state(state: &SlotState) -> &'static str {
    match state {
        SlotState::Free => "free",
        SlotState::Leased { .. } => "held",
        SlotState::Releasing { .. } => "releasing",
        SlotState::Creating { .. } => "creating",
        SlotState::Quarantined => "quarantined",
        SlotState::Retired => "retired",
    }
}

/// The state of an instance, as EC2 spells it.
pub(crate) fn instance_state(state: &InstanceState) -> &str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Running => "running",
        InstanceState::Stopping => "stopping",
        InstanceState::Stopped => "stopped",
        InstanceState::ShuttingDown => "shutting-down",
        InstanceState::Terminated => "terminated",
        InstanceState::Other(state) => state,
    }
}

/// What EC2 shows of a volume: its attachment's state where it has one, and to whom where that is not `holder`.
pub(crate) fn volume(shown: Option<&Volume>, holder: Option<&InstanceId>) -> String {
    let Some(shown) = shown else {
        return "not shown".to_owned();
    };
    let Some(attachment) = shown.attachment() else {
        return volume_state(&shown.state).to_owned();
    };
    let state = attachment_state(&attachment.state);
    match &attachment.instance {
        Some(instance) if Some(instance) == holder => state.to_owned(),
        Some(instance) => format!("{state} to {instance}"),
        None => format!("{state} to a resource that AWS manages"),
    }
}

fn volume_state(state: &VolumeState) -> &str {
    match state {
        VolumeState::Creating => "creating",
        VolumeState::Available => "available",
        VolumeState::InUse => "in-use",
        VolumeState::Other(state) => state,
    }
}

fn attachment_state(state: &AttachmentState) -> &str {
    match state {
        AttachmentState::Attaching => "attaching",
        AttachmentState::Attached => "attached",
        AttachmentState::Detaching => "detaching",
        AttachmentState::Detached => "detached",
        AttachmentState::Busy => "busy",
        AttachmentState::Other(state) => state,
    }
}
