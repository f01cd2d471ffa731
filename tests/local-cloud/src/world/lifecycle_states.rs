//! Where an instance can stand in its group, and what that means: whether it counts towards capacity, whether it
//! sits in the warm pool, whether it is on its way out.

use super::warm_pools::PoolState;

/// Where an instance stands in its group (`LifecycleState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    /// Launched, or on its way from the warm pool into service.
    Pending,
    /// Launch hooks are waited for.
    PendingWait,
    /// Launch hooks have been answered with CONTINUE.
    PendingProceed,
    /// In service.
    InService,
    /// To be terminated.
    Terminating,
    /// Terminate hooks are waited for.
    TerminatingWait,
    /// Terminate hooks have been answered; EC2 terminates the instance.
    TerminatingProceed,
    /// Its termination was abandoned, and its group retains such instances. It runs until someone terminates it
    /// through the group.
    TerminatingRetained,
    /// On its way out of service to standby.
    EnteringStandby,
    /// On standby: it runs, out of service, and its health is not looked at.
    Standby,
    /// Leaving the group, alive.
    Detaching,
    /// Launched into the warm pool, or on its way back there from service.
    WarmedPending,
    /// The launch hooks of an instance that was launched into the warm pool are waited for, or the terminate hooks
    /// of one that goes back there.
    WarmedPendingWait,
    /// Those hooks have been answered with CONTINUE; the instance is brought into the pool's state.
    WarmedPendingProceed,
    /// Its return to the warm pool was abandoned, and its group retains such instances.
    WarmedPendingRetained,
    /// In the warm pool, stopped.
    WarmedStopped,
    /// In the warm pool, running.
    WarmedRunning,
    /// In the warm pool, to be terminated.
    WarmedTerminating,
    /// Terminate hooks of an instance of the warm pool are waited for.
    WarmedTerminatingWait,
    /// They have been answered; EC2 terminates the instance.
    WarmedTerminatingProceed,
    /// Its termination was abandoned, and its group retains such instances.
    WarmedTerminatingRetained,
}

impl LifecycleState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
            Self::TerminatingRetained => "Terminating:Retained",
            Self::EnteringStandby => "EnteringStandby",
            Self::Standby => "Standby",
            Self::Detaching => "Detaching",
            Self::WarmedPending => "Warmed:Pending",
            Self::WarmedPendingWait => "Warmed:Pending:Wait",
            Self::WarmedPendingProceed => "Warmed:Pending:Proceed",
            Self::WarmedPendingRetained => "Warmed:Pending:Retained",
            Self::WarmedStopped => "Warmed:Stopped",
            Self::WarmedRunning => "Warmed:Running",
            Self::WarmedTerminating => "Warmed:Terminating",
            Self::WarmedTerminatingWait => "Warmed:Terminating:Wait",
            Self::WarmedTerminatingProceed => "Warmed:Terminating:Proceed",
            Self::WarmedTerminatingRetained => "Warmed:Terminating:Retained",
        }
    }

    /// Whether the instance counts towards its group's capacity.
    pub fn counts(self) -> bool {
        self.is_launching() || self == Self::InService
    }

    /// Whether the instance has yet to come into service, and will.
    pub fn is_launching(self) -> bool {
        matches!(self, Self::Pending | Self::PendingWait | Self::PendingProceed)
    }

    /// Whether the instance is on its way out.
    pub fn is_leaving(self) -> bool {
        matches!(
            self,
            Self::Terminating
                | Self::TerminatingWait
                | Self::TerminatingProceed
                | Self::Detaching
                | Self::WarmedTerminating
                | Self::WarmedTerminatingWait
                | Self::WarmedTerminatingProceed
        )
    }

    /// Whether the instance is in the warm pool, or on its way there.
    pub fn is_warm(self) -> bool {
        self.is_warming() || self.is_warmed()
    }

    /// Whether the instance is on its way into the warm pool.
    pub fn is_warming(self) -> bool {
        matches!(self, Self::WarmedPending | Self::WarmedPendingWait | Self::WarmedPendingProceed)
    }

    /// Whether the instance lies ready in the warm pool.
    pub fn is_warmed(self) -> bool {
        matches!(self, Self::WarmedStopped | Self::WarmedRunning)
    }

    /// Whether the instance is kept because someone abandoned a terminate hook (`TerminateHookAbandon`).
    pub fn is_retained(self) -> bool {
        matches!(
            self,
            Self::TerminatingRetained
                | Self::WarmedPendingRetained
                | Self::WarmedTerminatingRetained
        )
    }

    /// Whether the group looks at the instance's health. On standby it does not (`EnterStandby`).
    pub fn is_health_checked(self) -> bool {
        self.counts() || self.is_warm()
    }

    /// Whether `DescribeWarmPool` lists the instance, and not its group.
    pub fn is_listed_in_warm_pool(self) -> bool {
        self.as_str().starts_with("Warmed:")
    }

    /// The state that the instance's metadata service says it is going to (EC2 Auto Scaling User Guide, "Retrieve the target
    /// lifecycle state through instance metadata"), in a group whose warm pool keeps its instances so.
    pub fn target(self, pool: PoolState) -> &'static str {
        match self {
            Self::Pending | Self::PendingWait | Self::PendingProceed | Self::InService => {
                "InService"
            }
            Self::Terminating
            | Self::TerminatingWait
            | Self::TerminatingProceed
            | Self::TerminatingRetained => "Terminated",
            Self::EnteringStandby | Self::Standby => "Standby",
            Self::Detaching => "Detached",
            Self::WarmedPending | Self::WarmedPendingWait | Self::WarmedPendingProceed => {
                match pool {
                    PoolState::Stopped => "Warmed:Stopped",
                    PoolState::Running => "Warmed:Running",
                }
            }
            Self::WarmedStopped => "Warmed:Stopped",
            Self::WarmedRunning => "Warmed:Running",
            Self::WarmedPendingRetained
            | Self::WarmedTerminating
            | Self::WarmedTerminatingWait
            | Self::WarmedTerminatingProceed
            | Self::WarmedTerminatingRetained => "Warmed:Terminated",
        }
    }

    /// The state in which hooks are waited for that run from this one.
    pub(super) fn waiting(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::PendingWait),
            Self::Terminating => Some(Self::TerminatingWait),
            Self::WarmedPending => Some(Self::WarmedPendingWait),
            Self::WarmedTerminating => Some(Self::WarmedTerminatingWait),
            _ => None,
        }
    }
}

/// Where an instance of a group comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// EC2 launched it for the group.
    Ec2,
    /// The group's warm pool.
    WarmPool,
    /// The group, where it was in service.
    Group,
    /// Standby. It comes back into service without launch hooks.
    Standby,
    /// Launched by somebody else, and attached. It comes into service without launch hooks.
    Outside,
}

impl Origin {
    /// The origin as events write it (`Origin`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ec2 | Self::Standby | Self::Outside => "EC2",
            Self::WarmPool => "WarmPool",
            Self::Group => "AutoScalingGroup",
        }
    }

    /// Whether an instance from there runs the launch hooks on its way into service.
    pub fn runs_launch_hooks(self) -> bool {
        matches!(self, Self::Ec2 | Self::WarmPool | Self::Group)
    }
}
