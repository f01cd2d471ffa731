//! What can happen next.

use std::fmt;

use volume_pool::decide::Effect;
use volume_pool::ids::{InstanceId, InvocationId, VolumeId};
use volume_pool::record::Key;
use volume_pool::request::Request;
use volume_pool::sweep::Found;

use crate::state::{Notice, State};

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An event arrives.
    Deliver(Notice),
    /// An event arrives, and will once more.
    DeliverTwice(Notice),
    /// An event of EC2 tells of the instance's state.
    Notice(InstanceId),
    /// Reconcile brings the instance up.
    Sweep(InstanceId, Found),
    /// An invocation's request is carried out.
    Call(InvocationId),
    /// Its describe is answered with what was.
    CallLagging(InvocationId),
    /// Its request is carried out, and the answer is lost.
    LoseReply(InvocationId),
    /// It pauses until its patience ends, and nothing happens meanwhile.
    OutWait(InvocationId),
    /// It dies.
    Die(InvocationId),
    /// EC2 has attached a volume.
    Attached(VolumeId),
    /// EC2 has detached a volume.
    Detached(VolumeId),
    /// EC2 has stopped an instance.
    Stopped(InstanceId),
    /// EC2 has terminated an instance.
    Terminated(InstanceId),
    /// The group launches an instance.
    Launch(InstanceId),
    /// The group launches an instance into its warm pool.
    LaunchWarm(InstanceId),
    /// The group takes an instance from its warm pool.
    TakeFromPool(InstanceId),
    /// The group puts an instance back into its warm pool.
    Return(InstanceId),
    /// The group terminates an instance.
    Terminate(InstanceId),
    /// A person terminates an instance in EC2.
    Kill(InstanceId),
    /// The group notices that an instance is gone.
    NoticeGone(InstanceId),
    /// The hook that an instance waits in times out.
    TimeOut(InstanceId),
    /// Describes of volumes begin to lag.
    VolumesLag,
    /// Describes of instances begin to lag.
    InstancesLag,
    /// Auto Scaling's describes begin to lag.
    GroupLags,
    /// Most of a function's time passes.
    Tick,
    /// Six minutes pass.
    Wait,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(notice) => write!(f, "the event {notice} arrives"),
            Self::DeliverTwice(notice) => {
                write!(f, "the event {notice} arrives, the first of two times")
            }
            Self::Notice(instance) => write!(f, "EC2 tells of the state of {instance}"),
            Self::Sweep(instance, found) => write!(f, "reconcile finds {instance}: {found}"),
            Self::Call(name) => write!(f, "{name} is answered"),
            Self::CallLagging(name) => write!(f, "{name} is answered with what was"),
            Self::LoseReply(name) => write!(f, "{name} is not answered, though it took effect"),
            Self::OutWait(name) => write!(f, "{name} pauses until its patience ends"),
            Self::Die(name) => write!(f, "{name} dies before its request"),
            Self::Attached(volume) => write!(f, "{volume} is attached"),
            Self::Detached(volume) => write!(f, "{volume} is detached"),
            Self::Stopped(instance) => write!(f, "{instance} has stopped"),
            Self::Terminated(instance) => write!(f, "{instance} is terminated"),
            Self::Launch(instance) => write!(f, "the group launches {instance}"),
            Self::LaunchWarm(instance) => write!(f, "the group launches {instance}, to be parked"),
            Self::TakeFromPool(instance) => write!(f, "the group takes {instance} from its pool"),
            Self::Return(instance) => write!(f, "the group returns {instance} to its pool"),
            Self::Terminate(instance) => write!(f, "the group terminates {instance}"),
            Self::Kill(instance) => write!(f, "a person terminates {instance}"),
            Self::NoticeGone(instance) => write!(f, "the group notices that {instance} is gone"),
            Self::TimeOut(instance) => write!(f, "the hook of {instance} times out"),
            Self::VolumesLag => f.write_str("describes of volumes begin to lag"),
            Self::InstancesLag => f.write_str("describes of instances begin to lag"),
            Self::GroupLags => f.write_str("describes of the group begin to lag"),
            Self::Tick => f.write_str("50 s pass"),
            Self::Wait => f.write_str("six minutes pass"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.launching { "launch" } else { "termination" };
        write!(f, "{} of the {kind} of {} to {}", self.token, self.instance, self.destination)
    }
}

impl State {
    /// A step from here, for people: with what the invocation asks for.
    pub(crate) fn tell(&self, step: &Step) -> String {
        let (Step::Call(name) | Step::CallLagging(name) | Step::LoseReply(name) | Step::Die(name)) =
            step
        else {
            return step.to_string();
        };
        let request = self.running.get(name).map(|running| asks(&running.request));
        format!("{step}: {}", request.unwrap_or_default())
    }
}

fn asks(request: &Request) -> String {
    match request {
        Request::Along(asked, instance, _) => format!("{} and describe {instance}", asks(asked)),
        Request::Read { keys, lists } => {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| match key {
                    Key::Claim(instance) => format!("claim of {instance}"),
                    Key::Slot(slot) => slot.to_string(),
                    key => key.partition(),
                })
                .collect();
            let lists = if lists.is_empty() { "" } else { " and the queue" };
            format!("read {}{lists}", keys.join(", "))
        }
        Request::Describe(instance, _) => format!("describe {instance}"),
        Request::Commit(transaction) => format!("write: {}", transaction.name),
        Request::Effect(instance, effect) => match effect {
            Effect::Attach(volume, _) => format!("attach {volume} to {instance}"),
            Effect::Detach(volume) => format!("detach {volume} from {instance}"),
            Effect::Complete(action, result) => {
                let token = action.token.as_ref().map_or("no token", |token| token.as_str());
                format!("answer {} for {instance}, {token}", result.as_str())
            }
            effect => format!("{} for {instance}", effect.call()),
        },
        Request::Poke(instance, guard) => format!("poke {guard}, the guard of {instance}"),
        request => request.call().to_owned(),
    }
}
