//! The names that things go by in the model. They are made here from numbers, so they are valid names.
#![expect(clippy::unwrap_used, reason = "names made of numbers are valid names")]

use volume_pool::action::{Action, Transition};
use volume_pool::ids::{GroupName, InstanceId, InvocationId, PoolName, SlotId, VolumeId, Zone};
use volume_pool::time::Timestamp;

/// What the names of our hooks begin with.
pub(crate) const HOOK_PREFIX: &str = "stateful-asg";

/// Instance number `number`.
pub(crate) fn instance(number: u8) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

/// The volume called `name` of slot number `slot`: `data` or `log`.
pub(crate) fn volume(slot: u32, name: &str) -> VolumeId {
    let kind = name.bytes().next().unwrap_or_default();
    format!("vol-{kind:02x}{slot:06x}").parse().unwrap()
}

/// The volume that is created as number `number`.
pub(crate) fn created(number: usize) -> VolumeId {
    format!("vol-c{number:07x}").parse().unwrap()
}

pub(crate) fn slot(index: u32) -> SlotId {
    SlotId { pool: pool(), index }
}

pub(crate) fn pool() -> PoolName {
    "p".parse().unwrap()
}

pub(crate) fn zone() -> Zone {
    "z-1a".parse().unwrap()
}

pub(crate) fn group() -> GroupName {
    "g".parse().unwrap()
}

/// The name of attempt `number`.
pub(crate) fn invocation(number: usize) -> InvocationId {
    format!("x{number}").parse().unwrap()
}

/// The name that the guard of a dead attempt for this instance goes by, once nobody alive has another.
pub(crate) fn dead(instance: &InstanceId) -> InvocationId {
    format!("dead-{instance}").parse().unwrap()
}

/// The action of our hook for this transition, the `number`-th of its instance.
pub(crate) fn action(transition: Transition, number: u8, destination: &str) -> Action {
    let kind = match transition {
        Transition::Launching => "launch",
        Transition::Terminating => "terminate",
    };
    Action {
        group: group(),
        hook: format!("{HOOK_PREFIX}-{kind}").parse().unwrap(),
        token: Some(format!("t{number}").parse().unwrap()),
        transition,
        destination: Some(destination.to_owned()),
        began_at: Some(Timestamp::from_millis(number.into())),
    }
}
