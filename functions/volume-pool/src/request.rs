//! What the loop asks of the world and what it is answered: the whole of its contact with anything outside.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::{CommandShown, Sought};
use crate::effect::Effect;
use crate::ids::{CommandId, GroupName, InstanceId, InvocationId, PoolName, SlotId, VolumeId};
use crate::observation::{Described, GroupView, Hook, Instance, Others, Volume};
use crate::ports::{Commit, Poke, PortError, Refusal};
use crate::record::{Key, List, Place, Record};
use crate::transition::Transaction;

/// What the loop asks for next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request {
    /// Consistent reads, in parallel.
    Read {
        /// These records.
        keys: Vec<Key>,
        /// These lists, each as far as a decision needs it.
        lists: Vec<List>,
    },
    /// Auto Scaling, EC2 and these volumes, in parallel.
    Describe(InstanceId, Vec<VolumeId>),
    /// The hooks of a group.
    Hooks(GroupName),
    /// The hooks of a group, and the group with its instances, in parallel.
    Enrolment(GroupName),
    /// The volumes of a pool that are available in a zone.
    AvailableVolumes(Place),
    /// Every volume of a pool.
    EveryPoolVolume(PoolName),
    /// The volumes that carry a slot's tag.
    SlotVolumes(SlotId),
    /// These volumes.
    Volumes(Vec<VolumeId>),
    /// A group with its instances.
    Group(GroupName),
    /// The groups with the tag `stateful-asg:pool`, each with its instances.
    EnrolledGroups,
    /// These instances, in Auto Scaling and EC2, in parallel.
    Others(Vec<InstanceId>),
    /// These instances, in EC2.
    Instances(Vec<InstanceId>),
    /// The command on this instance.
    Command(InstanceId, Sought),
    /// A transaction.
    Commit(Transaction),
    /// Asks the guard of the instance for another look.
    Poke(InstanceId, InvocationId),
    /// Takes back what others poked.
    TakePoke(InstanceId, InvocationId),
    /// A call that changes something in AWS, for this instance.
    Effect(InstanceId, Effect),
    /// This, and a look at the instance and these volumes, in parallel: neither depends on the other.
    Along(Box<Self>, InstanceId, Vec<VolumeId>),
    /// Wait.
    Pause(Duration),
    /// Serve the waiters of a zone.
    Serve(Place),
    /// The end.
    Finish(Outcome),
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Response {
    /// To `Read`: what exists of the records, and the lists in the order asked for.
    Records(BTreeMap<Key, Record>, Vec<Vec<Record>>),
    /// To `Describe`.
    Described(Described),
    /// To `Hooks`.
    Hooks(Vec<Hook>),
    /// To `Enrolment`.
    Enrolment(Vec<Hook>, GroupView),
    /// To `AvailableVolumes`, `EveryPoolVolume`, `SlotVolumes` and `Volumes`.
    Volumes(Vec<Volume>),
    /// To `Group`.
    Group(GroupView),
    /// To `EnrolledGroups`.
    Groups(Vec<GroupView>),
    /// To `Others`.
    Others(Others),
    /// To `Instances`.
    Instances(BTreeMap<InstanceId, Instance>),
    /// To `Command`.
    Command(CommandShown),
    /// To `Commit`.
    Committed(Commit),
    /// To `Poke`.
    Poked(Poke),
    /// To `Effect`, where it creates a volume.
    Created(Result<VolumeId, Refusal>),
    /// To `Effect`, where it sends a command.
    Sent(Result<CommandId, Refusal>),
    /// To every other `Effect`.
    Answered(Result<(), Refusal>),
    /// To `Along`: the answer to what was asked, and what the look has shown; nothing where that got no answer.
    Along(Box<Self>, Option<Described>),
    /// To `TakePoke`, `Pause` and `Serve`.
    Done,
    /// The call gave no answer to go by.
    Failed(PortError),
}

/// How the loop ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// In which way.
    pub ending: Ending,
    /// Whether a slot changed hands or a waiter left the queue: a pass over the waiters starts again.
    pub changed: bool,
    /// Where slots came free that nobody has been served with yet.
    pub wakes: Option<Place>,
}

/// In which way the loop ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Nothing is left to do for the instance.
    Settled,
    /// Work is left; an event or reconcile comes back to it.
    WorkLeft,
    /// Another invocation is at work on the instance, and was asked to look again.
    Busy,
    /// A call kept failing. What is left is for the next attempt.
    Failed(PortError),
}

impl Request {
    /// What it asks for besides a look.
    pub fn alone(&self) -> &Self {
        match self {
            Self::Along(asked, ..) => asked,
            other => other,
        }
    }

    /// What it asks for, in the words of logs.
    pub fn call(&self) -> &'static str {
        match self.alone() {
            Self::Read { .. } => "dynamodb:GetItem+Query",
            Self::Describe(..) => "describe instance and volumes",
            Self::Hooks(_) => "autoscaling:DescribeLifecycleHooks",
            Self::Enrolment(_) => "describe hooks and group",
            Self::AvailableVolumes(_)
            | Self::EveryPoolVolume(_)
            | Self::SlotVolumes(_)
            | Self::Volumes(_) => "ec2:DescribeVolumes",
            Self::Group(_) | Self::EnrolledGroups => "autoscaling:DescribeAutoScalingGroups",
            Self::Others(_) => "describe other instances",
            Self::Instances(_) => "ec2:DescribeInstances",
            Self::Command(..) => "ssm:ListCommandInvocations",
            Self::Commit(_) => "dynamodb:TransactWriteItems",
            Self::Poke(..) | Self::TakePoke(..) => "dynamodb:UpdateItem",
            Self::Effect(_, effect) => effect.call(),
            Self::Pause(_) => "pause",
            Self::Serve(_) => "serve",
            Self::Finish(_) => "finish",
            Self::Along(..) => "several at once",
        }
    }
}

impl Response {
    /// What was answered besides a look.
    pub fn alone(&self) -> &Self {
        match self {
            Self::Along(answer, _) => answer,
            other => other,
        }
    }
}
