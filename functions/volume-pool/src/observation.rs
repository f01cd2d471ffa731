//! What EC2 and Auto Scaling show of one instance and its volumes. EC2 is eventually consistent: any of this may be
//! older than the records, which is why [`crate::evidence`] asks for more than a describe before a slot is released.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::action::{Action, Transition};
use crate::ids::{GroupName, HookName, InstanceId, VolumeId, Zone};
use crate::policy::Template;
use crate::time::Timestamp;

/// An instance as Auto Scaling shows it (`DescribeAutoScalingInstances`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupInstance {
    /// Its group.
    pub group: GroupName,
    /// Its zone.
    pub zone: Zone,
    /// Its place in the lifecycle.
    pub state: LifecycleState,
}

/// An instance's place in its group's lifecycle: those that make a difference here by name, the others as they came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// `Pending`: launched, no hook waiting yet.
    Pending,
    /// `Pending:Wait`: a launch hook waits for its answer.
    PendingWait,
    /// `Warmed:Pending:Wait`: on its way into the warm pool a launch hook waits, on its way back there a terminate hook.
    WarmedPendingWait,
    /// `Pending:Proceed`: every launch hook was answered.
    PendingProceed,
    /// `InService`
    InService,
    /// `Terminating`: chosen to go, no hook waiting yet. Out of the warm pool (`Warmed:Terminating`) it goes the same way.
    Terminating,
    /// `Terminating:Wait`, `Warmed:Terminating:Wait`: a terminate hook waits for its answer.
    TerminatingWait,
    /// `Terminating:Proceed`, `Warmed:Terminating:Proceed`: every terminate hook was answered.
    TerminatingProceed,
    /// Any other: standby, detaching, retained, in the warm pool, or one that AWS adds later.
    Other(String),
}

impl LifecycleState {
    /// Whether Auto Scaling keeps the instance for a person, after an ABANDON of its termination.
    pub fn is_retained(&self) -> bool {
        matches!(self, Self::Other(state) if state.ends_with(":Retained"))
    }

    /// Whether it lies in the warm pool, or is past every hook on its way there.
    pub fn is_parked(&self) -> bool {
        let Self::Other(state) = self else { return false };
        let parked = ["Warmed:Pending:Proceed", "Warmed:Stopped", "Warmed:Running"];
        parked.contains(&state.as_str()) || self.is_hibernated()
    }

    /// Whether it is on standby.
    pub fn is_standby(&self) -> bool {
        matches!(self, Self::Other(state) if state == "Standby")
    }

    /// Whether it lies in the warm pool hibernated: EC2 shows it stopped, and what it had mounted it still has.
    pub fn is_hibernated(&self) -> bool {
        matches!(self, Self::Other(state) if state == "Warmed:Hibernated")
    }
}

impl From<&str> for LifecycleState {
    fn from(text: &str) -> Self {
        match text {
            "Pending" => Self::Pending,
            "Pending:Wait" => Self::PendingWait,
            "Warmed:Pending:Wait" => Self::WarmedPendingWait,
            "Pending:Proceed" => Self::PendingProceed,
            "InService" => Self::InService,
            "Terminating" | "Warmed:Terminating" => Self::Terminating,
            "Terminating:Wait" | "Warmed:Terminating:Wait" => Self::TerminatingWait,
            "Terminating:Proceed" | "Warmed:Terminating:Proceed" => Self::TerminatingProceed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::WarmedPendingWait => "Warmed:Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
            Self::Other(text) => text,
        })
    }
}

/// A group as Auto Scaling shows it (`DescribeAutoScalingGroups`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupView {
    /// Its name.
    pub name: GroupName,
    /// The value of its tag `stateful-asg:pool`.
    pub pool_tag: Option<String>,
    /// `MaxSize`
    pub max_size: u32,
    /// `DesiredCapacity`
    pub desired: u32,
    /// Its instances and where they stand.
    pub members: BTreeMap<InstanceId, GroupInstance>,
}

impl GroupView {
    /// A group that Auto Scaling does not know.
    pub const fn unknown(name: GroupName) -> Self {
        Self { name, pool_tag: None, max_size: 0, desired: 0, members: BTreeMap::new() }
    }
}

/// A lifecycle hook of a group (`DescribeLifecycleHooks`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// The transition that it holds up.
    pub transition: Transition,
    /// Its `NotificationMetadata`.
    pub metadata: Option<String>,
    /// Its `HeartbeatTimeout`: how long an action waits after its last heartbeat.
    pub heartbeat_timeout: Duration,
    /// Its `GlobalTimeout`: how long an action waits at most, whatever heartbeats it had.
    pub global_timeout: Duration,
}

impl Hook {
    /// The action of this hook for an instance of `group`, as far as it is known without its event.
    pub fn action(&self, group: &GroupName) -> Action {
        Action {
            group: group.clone(),
            hook: self.name.clone(),
            token: None,
            transition: self.transition,
            destination: None,
            began_at: None,
        }
    }
}

/// An instance as EC2 shows it (`DescribeInstances`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its zone.
    pub zone: Zone,
    /// Its state.
    pub state: InstanceState,
    /// The attachment points that its block device mapping shows as taken, as written there.
    pub devices: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The state of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// `pending`
    Pending,
    /// `running`
    Running,
    /// `stopping`
    Stopping,
    /// `stopped`
    Stopped,
    /// `shutting-down`
    ShuttingDown,
    /// `terminated`
    Terminated,
    /// One that AWS adds later.
    Other(String),
}

impl From<&str> for InstanceState {
    fn from(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "running" => Self::Running,
            "stopping" => Self::Stopping,
            "stopped" => Self::Stopped,
            "shutting-down" => Self::ShuttingDown,
            "terminated" => Self::Terminated,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A volume as EC2 shows it (`DescribeVolumes`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Its zone.
    pub zone: Zone,
    /// Its state, which is not its attachment's.
    pub state: VolumeState,
    /// Whether more than one instance may hold it at once (`MultiAttachEnabled`): never ours then.
    pub multi_attach: bool,
    /// Its attachments; at most one for a volume without Multi-Attach.
    pub attachments: Vec<Attachment>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// What it is like: another one could be created so. Without tags.
    pub like: Template,
}

/// The state of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VolumeState {
    /// `creating`
    Creating,
    /// `available`
    Available,
    /// `in-use`
    InUse,
    /// `deleting`, `deleted`, `error`, or one that AWS adds later.
    Other(String),
}

impl From<&str> for VolumeState {
    fn from(text: &str) -> Self {
        match text {
            "creating" => Self::Creating,
            "available" => Self::Available,
            "in-use" => Self::InUse,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A volume's attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attachment {
    /// The instance; absent where the volume hangs on a resource that AWS manages.
    pub instance: Option<InstanceId>,
    /// The device name that it was attached at.
    pub device: String,
    /// The attachment's state.
    pub state: AttachmentState,
    /// Whether the volume would be deleted with the instance.
    pub delete_on_termination: DeleteOnTermination,
    /// When the attachment began.
    pub attached_at: Timestamp,
}

/// What becomes of a volume when its instance is terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeleteOnTermination {
    /// It is deleted.
    Delete,
    /// It stays.
    Keep,
}

/// The state of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AttachmentState {
    /// `attaching`
    Attaching,
    /// `attached`
    Attached,
    /// `detaching`
    Detaching,
    /// `detached`
    Detached,
    /// `busy`: detaching, and the filesystem is still mounted.
    Busy,
    /// One that AWS adds later.
    Other(String),
}

impl From<&str> for AttachmentState {
    fn from(text: &str) -> Self {
        match text {
            "attaching" => Self::Attaching,
            "attached" => Self::Attached,
            "detaching" => Self::Detaching,
            "detached" => Self::Detached,
            "busy" => Self::Busy,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Volume {
    /// Whether EC2 shows it free to be attached.
    pub fn is_available(&self) -> bool {
        self.state == VolumeState::Available && self.attachment().is_none()
    }

    /// Its attachment, if it has one that has not ended.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.standing().next()
    }

    /// Its attachment to this instance, if it has one that has not ended.
    pub fn attachment_to(&self, instance: &InstanceId) -> Option<&Attachment> {
        self.standing().find(|attachment| attachment.instance.as_ref() == Some(instance))
    }

    /// Whether it has several attachments that have not ended. Without Multi-Attach EC2 has no such thing.
    pub fn is_attached_twice(&self) -> bool {
        self.standing().nth(1).is_some()
    }

    /// Its attachments that have not ended.
    pub fn standing(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|attachment| attachment.state != AttachmentState::Detached)
    }
}

/// The answer to a look at one instance: Auto Scaling, EC2 and the volumes of its slot, asked for at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Described {
    /// What Auto Scaling shows; nothing where it knows no such instance.
    pub group_instance: Option<GroupInstance>,
    /// What EC2 shows; nothing where it knows no such instance.
    pub instance: Option<Instance>,
    /// Those of the volumes asked for that EC2 knows.
    pub volumes: BTreeMap<VolumeId, Volume>,
}

/// Instances that were looked at besides the one that a decision is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Others {
    /// Those that Auto Scaling knows.
    pub in_groups: BTreeMap<InstanceId, GroupInstance>,
    /// Those that EC2 knows.
    pub instances: BTreeMap<InstanceId, Instance>,
}

impl Described {
    /// Whether it shows this volume free to be attached.
    pub fn shows_available(&self, volume: &VolumeId) -> bool {
        self.volumes.get(volume).is_some_and(Volume::is_available)
    }
}

/// Names of tags.
pub mod tags {
    /// On volumes: the pool.
    pub const POOL: &str = "stateful-asg:pool";
    /// On volumes and instances: the slot.
    pub const SLOT: &str = "stateful-asg:slot";
    /// On instances: the slot's index.
    pub const INDEX: &str = "stateful-asg:index";
    /// On volumes: its name within the slot. On instances, followed by `:<name>`: the volume's id.
    pub const VOLUME: &str = "stateful-asg:volume";
    /// What follows the volume's id there, while the instance may format it.
    pub const MAY_FORMAT: &str = " blank";
    /// On volumes: when its slot was last released.
    pub const RELEASED_AT: &str = "stateful-asg:released-at";
    /// On snapshots and volumes: the move that made them, or left them behind.
    pub const MOVE: &str = "stateful-asg:move";
    /// On volumes: the lease under which it was last attached.
    pub const LEASE: &str = "stateful-asg:lease";
}
