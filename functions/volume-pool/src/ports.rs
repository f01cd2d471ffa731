//! The ports: what the loop needs of the world. Adapters hold no policy: one call, its answer in these words.
//!
//! What EC2 or Auto Scaling may well answer is a value, such as [`Refusal::DeviceInUse`]; an error is a call that
//! gave no answer to go by.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use crate::action::{Action, ActionResult};
use crate::command::{CommandShown, Run, Sought};
use crate::effect::Creation;
use crate::ids::{
    CommandId, DeviceName, GroupName, InstanceId, InvocationId, PoolName, SlotId, VolumeId,
};
use crate::observation::{GroupInstance, GroupView, Hook, Instance, Volume};
use crate::record::{Key, List, Place, Record};
use crate::time::Timestamp;
use crate::transition::Transaction;

/// A call that gave no answer to go by, and what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PortError {
    /// It may work later, and may have taken effect: look again.
    #[error("{call}: no answer to go by: {problem}")]
    Transient {
        /// The call, as in `ec2:AttachVolume`.
        call: &'static str,
        /// What was seen.
        problem: String,
    },
    /// It will not work until a person changes something.
    #[error(
        "{call}: refused: {problem}; check the function's role, its credentials and STATEFUL_ASG_TABLE"
    )]
    Denied {
        /// The call.
        call: &'static str,
        /// What was seen.
        problem: String,
    },
    /// A record that this version can't read. It is left alone.
    #[error("record {key}: {problem}; run the version that wrote it, or one next to it")]
    Unreadable {
        /// Where the record stands.
        key: String,
        /// What was seen.
        problem: String,
    },
}

/// What EC2 or Auto Scaling says instead of doing what it was asked to. The text is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The volume is attached to an instance already, maybe to the right one (`VolumeInUse`).
    #[error("the volume is attached already")]
    AlreadyAttached,
    /// The volume is not attached (`IncorrectState … 'available'`, `InvalidAttachment.NotFound`).
    #[error("the volume is not attached")]
    NotAttached,
    /// The device name is taken, maybe by a device that the block device mapping hides.
    #[error("the device name is in use")]
    DeviceInUse,
    /// The instance or the volume is not in the state for it.
    #[error("{0}")]
    IncorrectState(String),
    /// The instance or the volume is unknown; soon after its creation that means nothing.
    #[error("EC2 does not know it")]
    NotFound,
    /// The instance takes no further volume (`AttachmentLimitExceeded`).
    #[error("the instance takes no further volume")]
    LimitExceeded,
    /// This instance can't do that (`UnsupportedOperation`: a one-time Spot instance can't be stopped).
    #[error("{0}")]
    Unsupported(String),
    /// Auto Scaling knows no such action, now. It may a moment later.
    #[error("no active lifecycle action")]
    NoActiveAction,
    /// The client token belongs to another request, or to one that failed (`IdempotentParameterMismatch`).
    #[error("the client token is burned")]
    TokenBurned,
    /// A quota of the account is used up (`VolumeLimitExceeded` and its like).
    #[error("{0}")]
    QuotaExceeded(String),
    /// Something else, in AWS's words.
    #[error("{0}")]
    Other(String),
}

/// An answer to a call that changes something.
pub type Answer = Result<(), Refusal>;

/// Volumes and instances: EC2.
pub trait Volumes {
    /// `DescribeInstances` for one instance; nothing where EC2 does not know it.
    fn instance(
        &self,
        instance: &InstanceId,
    ) -> impl Future<Output = Result<Option<Instance>, PortError>> + Send;

    /// `DescribeInstances` for these instances; those that EC2 does not know are left out.
    fn instances(
        &self,
        ids: &[InstanceId],
    ) -> impl Future<Output = Result<BTreeMap<InstanceId, Instance>, PortError>> + Send;

    /// `DescribeVolumes` for these volumes; those that EC2 does not know are left out.
    fn volumes(
        &self,
        ids: &[VolumeId],
    ) -> impl Future<Output = Result<BTreeMap<VolumeId, Volume>, PortError>> + Send;

    /// `DescribeVolumes` for the volumes with the pool's tag that are available in its zone, to the last page.
    fn available_volumes(
        &self,
        place: &Place,
    ) -> impl Future<Output = Result<Vec<Volume>, PortError>> + Send;

    /// `DescribeVolumes` for every volume with the pool's tag, in all zones and states, to the last page.
    fn every_pool_volume(
        &self,
        pool: &PoolName,
    ) -> impl Future<Output = Result<Vec<Volume>, PortError>> + Send;

    /// `DescribeVolumes` for the volumes with the slot's tag, to the last page.
    fn slot_volumes(
        &self,
        slot: &SlotId,
    ) -> impl Future<Output = Result<Vec<Volume>, PortError>> + Send;

    /// `CreateVolume`, with its client token and its tags in the call.
    fn create(
        &self,
        creation: &Creation,
    ) -> impl Future<Output = Result<Result<VolumeId, Refusal>, PortError>> + Send;

    /// `AttachVolume`. It has no client token: an error may hide a success.
    fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;

    /// `DetachVolume` from this instance. Always names the instance, never forces.
    fn detach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;

    /// `ModifyInstanceAttribute`: the volume at this device stays when the instance is terminated.
    fn keep_on_termination(
        &self,
        instance: &InstanceId,
        device: &str,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;

    /// `StopInstances`
    fn stop(&self, instance: &InstanceId)
    -> impl Future<Output = Result<Answer, PortError>> + Send;

    /// `CreateTags` on an instance or a volume.
    fn tag(
        &self,
        resource: &str,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;
}

/// Lifecycle actions: Auto Scaling.
pub trait LifecycleActions {
    /// `DescribeAutoScalingInstances` for one instance; nothing where it is in no group.
    fn group_instance(
        &self,
        instance: &InstanceId,
    ) -> impl Future<Output = Result<Option<GroupInstance>, PortError>> + Send;

    /// `DescribeAutoScalingInstances` for these instances; those in no group are left out.
    fn group_instances(
        &self,
        ids: &[InstanceId],
    ) -> impl Future<Output = Result<BTreeMap<InstanceId, GroupInstance>, PortError>> + Send;

    /// `DescribeAutoScalingGroups` for one group; nothing where there is none of that name.
    fn group(
        &self,
        group: &GroupName,
    ) -> impl Future<Output = Result<Option<GroupView>, PortError>> + Send;

    /// `DescribeAutoScalingGroups` for the groups with the tag `stateful-asg:pool`, to the last page.
    fn enrolled_groups(&self) -> impl Future<Output = Result<Vec<GroupView>, PortError>> + Send;

    /// `DescribeLifecycleHooks`
    fn hooks(&self, group: &GroupName)
    -> impl Future<Output = Result<Vec<Hook>, PortError>> + Send;

    /// `CompleteLifecycleAction`, with the token where it is known.
    fn complete(
        &self,
        instance: &InstanceId,
        action: &Action,
        result: ActionResult,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;

    /// `RecordLifecycleActionHeartbeat`
    fn heartbeat(
        &self,
        instance: &InstanceId,
        action: &Action,
    ) -> impl Future<Output = Result<Answer, PortError>> + Send;
}

/// Commands on instances: Systems Manager.
pub trait Commands {
    /// `SendCommand`, to this one instance. It has no client token: an error may hide a success.
    fn run_document(
        &self,
        instance: &InstanceId,
        run: &Run,
    ) -> impl Future<Output = Result<Result<CommandId, Refusal>, PortError>> + Send;

    /// `ListCommandInvocations`, for the one that is sought on this instance.
    fn command(
        &self,
        instance: &InstanceId,
        sought: &Sought,
    ) -> impl Future<Output = Result<CommandShown, PortError>> + Send;
}

/// Whether a transaction happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Commit {
    /// It happened, now or in an earlier attempt of this very call.
    Committed,
    /// It did not: a record was not as expected.
    Conflict,
}

/// Whether a poke was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Poke {
    /// The guard will look again before it rests.
    Left,
    /// That invocation holds no guard any more.
    NoSuchGuard,
}

/// The records: DynamoDB. Every read is consistent.
pub trait LeaseStore {
    /// Reads the records at these keys, those that exist.
    fn read(
        &self,
        keys: &[Key],
    ) -> impl Future<Output = Result<BTreeMap<Key, Record>, PortError>> + Send;

    /// Reads a list of marks in order, at most `limit` of them.
    fn list(
        &self,
        list: &List,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, PortError>> + Send;

    /// Makes all writes of the transaction, or none.
    fn commit(
        &self,
        transaction: &Transaction,
    ) -> impl Future<Output = Result<Commit, PortError>> + Send;

    /// Asks the invocation that guards an instance to look again before it rests. Does not raise the claim's version.
    fn poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> impl Future<Output = Result<Poke, PortError>> + Send;

    /// Takes back what others poked, so that `guard`, if it is still the guard, can rest after one more look.
    fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn pause(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// All ports together.
#[derive(Debug, Clone)]
pub struct Ports<V, A, R, L, C> {
    /// EC2.
    pub volumes: V,
    /// Auto Scaling.
    pub actions: A,
    /// Systems Manager.
    pub commands: R,
    /// DynamoDB.
    pub leases: L,
    /// Time.
    pub clock: C,
}
