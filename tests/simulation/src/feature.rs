//! What a seed may turn on. Each seed turns on a subset of its own (swarm testing): with everything on at once, the common
//! would keep the rare from ever getting deep.

use std::fmt;

use local_cloud::stage::Fault;

/// Something that goes wrong, or that people and AWS do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Calls of the functions go wrong in this way.
    Calls(Fault),
    /// Events are lost.
    EventsLost,
    /// Events are delivered twice.
    EventsTwice,
    /// Events come late, by hours at times.
    EventsLate,
    /// EC2's describes show what was true some seconds ago.
    StaleDescribes,
    /// Auto Scaling's actions are not to be found for a moment.
    LateActions,
    /// Instances fail their status checks.
    Failures,
    /// Instances are terminated past their group.
    Kills,
    /// Instances are stopped past their group.
    Stops,
    /// Groups are scaled out and in.
    Scaling,
}

impl Feature {
    /// Each of them.
    pub fn all() -> Vec<Self> {
        let others = [
            Self::EventsLost,
            Self::EventsTwice,
            Self::EventsLate,
            Self::StaleDescribes,
            Self::LateActions,
            Self::Failures,
            Self::Kills,
            Self::Stops,
            Self::Scaling,
        ];
        Fault::ALL.map(Self::Calls).into_iter().chain(others).collect()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(fault) => write!(f, "{fault:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}
