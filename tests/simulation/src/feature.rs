//! What a seed may turn on. Each seed turns on a subset of its own (swarm testing): with everything on at once, the common
//! would keep the rare from ever getting deep.

use std::fmt;
use std::str::FromStr;

use local_cloud::stage::Fault;

/// Something that goes wrong, or that people and AWS do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Calls of the functions go wrong in this way.
    Calls(Fault),
    /// It goes wrong, or is so, all the time.
    Nature(Nature),
    /// It is done now and then.
    Deed(Deed),
}

macro_rules! listed {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

listed! {
    /// What is so throughout a history.
    Nature {
        /// Events are lost.
        EventsLost,
        /// Events are delivered twice.
        EventsTwice,
        /// Events come late, by hours at times.
        EventsLate,
        /// EC2's describes show what was true some seconds ago.
        StaleDescribes,
        /// Where they do, the next one may show less than the one before.
        WaveringDescribes,
        /// EC2 forgets terminated instances soon, and not after an hour.
        ForgetsSoon,
        /// Auto Scaling's actions are not to be found for a moment.
        LateActions,
        /// What is read in parallel is answered at different times.
        ReadsApart,
        /// Calls of sweeps get no answer.
        SweepReads,
        /// Functions die while they sweep.
        SweepsDie,
        /// A function that dies takes everything along that it is at work on.
        DiesWhole,
        /// Clocks of functions differ.
        ClockSkew,
        /// Auto Scaling groups differ from the simplest: several, over zones, sharing pools.
        ManyGroups,
        /// Slots have several volumes.
        Sets,
        /// Groups launch Spot instances.
        Spot,
        /// Groups launch before they terminate.
        LaunchesFirst,
        /// Groups keep instances whose termination is abandoned.
        Retains,
        /// Groups have warm pools.
        WarmPools,
        /// Warm pools take back what scale-in takes out of service.
        Reuse,
        /// An instance whose return to its warm pool is abandoned lies in it all the same.
        ReturnsAnyway,
        /// Other people have hooks on the groups too.
        OthersHooks,
        /// Instances take many volumes.
        ManyAttachments,
        /// An abandoned launch runs no terminate hooks.
        AbandonedSkips,
        /// Workloads mount nothing.
        IdleWorkload,
    }
}

listed! {
    /// What is done to the world.
    Deed {
        /// An instance fails its status checks.
        Fail,
        /// An instance is terminated past its group.
        Kill,
        /// An instance is stopped past its group.
        Stop,
        /// A stopped instance is started again.
        Start,
        /// A group is scaled out or in.
        Scale,
        /// An instance is terminated by way of its group.
        TerminateInGroup,
        /// Instances go on standby and come back.
        Standby,
        /// An instance is taken out of its group.
        Detach,
        /// An instance of nobody's is put into a group.
        Attach,
        /// A Spot instance is taken back by EC2.
        Interrupt,
        /// A Spot instance is likely to be taken back.
        Recommend,
        /// A group's zones change.
        Rezone,
        /// Processes of a group are suspended for a while.
        Suspend,
        /// The warm pool is changed or deleted.
        Warm,
        /// Every instance of a group is replaced, one after the other.
        Refresh,
        /// A group's policy is changed.
        Deploy,
        /// A group's policy is broken for a while.
        BreakPolicy,
        /// A group's hooks are taken away and put back.
        Rehook,
        /// A group has two launch hooks of ours for a while.
        SecondHook,
        /// A group's tag names another pool for a while.
        Retag,
        /// A group's template has so many volumes of its own for a while that no room is left for ours.
        Crowd,
        /// A pool is paused for a while.
        Pause,
        /// A person attaches a volume of the pool to another instance.
        PersonAttaches,
        /// A person attaches a volume to an instance that held it before.
        PersonReturns,
        /// A person attaches a volume to an instance that waits for one.
        PersonHelps,
        /// A person detaches a volume from its instance.
        PersonDetaches,
        /// A person deletes a volume.
        PersonDeletes,
        /// A person changes the tags of a volume.
        PersonTags,
        /// A person gives an instance as many tags as it can have.
        PersonFillsTags,
        /// A person has a volume deleted with its instance.
        PersonFlags,
        /// A person adds a volume to a pool.
        PersonAdds,
        /// A person modifies a volume.
        PersonModifies,
        /// A volume's hardware fails.
        VolumeFails,
        /// An attachment hangs.
        StickAttach,
        /// A detachment hangs.
        StickDetach,
        /// Attachments of an instance take long.
        SlowVolumes,
        /// An instance takes long to start, to stop or to terminate.
        SlowInstance,
        /// A key is disabled for a while.
        DisableKey,
        /// The account's storage is used up for a while.
        UseUpStorage,
        /// The account's request limits are low for a while.
        Throttle,
        /// DynamoDB is down for a while.
        DynamoDbDown,
        /// EC2's API is down for a while.
        Ec2Down,
        /// Auto Scaling's API is down for a while.
        AutoScalingDown,
    }
}

impl Feature {
    /// Each of them.
    pub fn all() -> Vec<Self> {
        let calls = Fault::ALL.into_iter().map(Self::Calls);
        let natures = Nature::ALL.iter().copied().map(Self::Nature);
        let deeds = Deed::ALL.iter().copied().map(Self::Deed);
        calls.chain(natures).chain(deeds).collect()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(fault) => write!(f, "{fault:?}"),
            Self::Nature(nature) => write!(f, "{nature:?}"),
            Self::Deed(deed) => write!(f, "{deed:?}"),
        }
    }
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::all().into_iter().find(|feature| feature.to_string() == name);
        named.ok_or_else(|| {
            let all: Vec<String> = Self::all().iter().map(ToString::to_string).collect();
            format!("there is no {name}; there are {}", all.join(", "))
        })
    }
}
