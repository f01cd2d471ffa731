//! Lifecycle actions: what Auto Scaling waits for an answer to.

use displaydoc::Display;
use serde::{Deserialize, Serialize};

use crate::ids::{ActionToken, GroupName, HookName};
use crate::time::Timestamp;

/// One occurrence of a lifecycle hook for one instance: what `CompleteLifecycleAction` answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Action {
    /// The group.
    pub group: GroupName,
    /// The hook.
    pub hook: HookName,
    /// The action's token; absent where the action was found without its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ActionToken>,
    /// Launching or terminating.
    pub transition: Transition,
    /// Where the instance is bound for: `AutoScalingGroup`, `WarmPool` or `EC2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// When its event says that it began, by the clock of Auto Scaling, to the second; absent where the action was found
    /// without its event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
}

impl Action {
    /// Where instances are bound for that go into the warm pool, or back there.
    pub const WARM_POOL: &'static str = "WarmPool";

    /// Whether the instance is bound for the warm pool: it lives on then.
    pub fn to_warm_pool(&self) -> bool {
        self.destination.as_deref() == Some(Self::WARM_POOL)
    }

    /// Whether it began after the other, of the same instance, for all that is known: then the other is over. EventBridge
    /// keeps no order ("Event delivery", Amazon EventBridge User Guide), and hours may lie between two deliveries of one
    /// event. Two hooks of one transition are not told apart by it: both may wait at once.
    pub fn began_after(&self, other: &Self) -> bool {
        let together = self.transition == other.transition && self.hook != other.hook;
        let times = self.began_at.zip(other.began_at);
        !together && times.is_some_and(|(this, that)| this > that)
    }

    /// Whether both are the same occurrence, as far as is known: one may have been found without its token.
    pub fn may_be(&self, other: &Self) -> bool {
        let tokens = self.token.as_ref().zip(other.token.as_ref());
        self.group == other.group
            && self.hook == other.hook
            && self.transition == other.transition
            && tokens.is_none_or(|(one, another)| one == another)
    }
}

/// The two transitions that hooks exist for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`
    #[serde(rename = "autoscaling:EC2_INSTANCE_LAUNCHING")]
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`
    #[serde(rename = "autoscaling:EC2_INSTANCE_TERMINATING")]
    Terminating,
}

/// Why a launch is given up: what its ABANDON is answered for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum GiveUp {
    /// it has waited for a slot for longer than waitSeconds, and onTimeout is abandon
    WaitOver,
    /// its instance has no room for a further volume, by the limit of EC2
    AttachmentLimit,
    /// the release of what it held in its last life does not come to an end
    ReleaseUnfinished,
    /// the global timeout of its hook is near, which no heartbeat puts off
    HookLimit,
}

/// The answer to a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ActionResult {
    /// Go on.
    Continue,
    /// Give up: a launching instance is terminated and replaced.
    Abandon,
}

impl ActionResult {
    /// As `CompleteLifecycleAction` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}
