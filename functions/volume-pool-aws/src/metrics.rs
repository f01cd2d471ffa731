//! The metrics: their names, units and dimensions. Dashboard and alarms rest on these, so a name that is given away once
//! stays.
//!
//! Dimensions are closed sets: the two functions, and the pools with their zones. Instances, volumes and actions have no
//! series of their own; the log has a line for each.
//!
//! [`Measured`] makes values of what the functions have done and seen, [`embedded`] makes lines of those that `CloudWatch`
//! takes out of the log.

pub mod embedded;
mod measured;

pub use measured::{Measured, Values};

/// The namespace of all of them.
pub const NAMESPACE: &str = "StatefulAsg";

/// The dimension whose value is the function's own name, `lifecycle` or `reconcile`, whatever it is deployed as.
pub const FUNCTION: &str = "Function";
/// The dimension whose value is a pool's name.
pub const POOL: &str = "Pool";
/// The dimension whose value is a zone's name.
pub const ZONE: &str = "Zone";

/// Which of the two functions measures: the value of [`FUNCTION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionName {
    /// The one that answers lifecycle actions.
    Lifecycle,
    /// The one that comes back to what is open.
    Reconcile,
}

impl FunctionName {
    /// As the dimension has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Reconcile => "reconcile",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The sets of dimensions that it is emitted with. That of pool and zone is left out where these are not known.
    pub dimensions: &'static [&'static [&'static str]],
}

/// The units in use, as CloudWatch spells them (`MetricDatum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// `Count`
    Count,
    /// `Milliseconds`
    Milliseconds,
    /// `Seconds`
    Seconds,
}

impl Unit {
    /// As CloudWatch spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
        }
    }
}

const BY_FUNCTION: &[&[&str]] = &[&[FUNCTION]];
const BY_PLACE: &[&[&str]] = &[&[POOL, ZONE]];
const BY_BOTH: &[&[&str]] = &[&[FUNCTION], &[POOL, ZONE]];

const fn metric(
    name: &'static str,
    unit: Unit,
    dimensions: &'static [&'static [&'static str]],
) -> Metric {
    Metric { name, unit, dimensions }
}

/// Lifecycle actions that were answered CONTINUE.
pub const ACTIONS_CONTINUED: Metric = metric("ActionsContinued", Unit::Count, BY_BOTH);
/// Lifecycle actions that were answered ABANDON, by us.
pub const ACTIONS_ABANDONED: Metric = metric("ActionsAbandoned", Unit::Count, BY_BOTH);
/// From when an action was first taken up to when its answer was accepted.
pub const ACTION_DURATION: Metric = metric("ActionDuration", Unit::Milliseconds, BY_BOTH);
/// How long a launch was without its slot although that was free: from the slot's release, or from the launch's own
/// begin where that came later, to its CONTINUE with every volume attached.
pub const REATTACH_DURATION: Metric = metric("ReattachDuration", Unit::Milliseconds, BY_BOTH);
/// Leases that another invocation was faster to take.
pub const LEASE_RACES_LOST: Metric = metric("LeaseRacesLost", Unit::Count, BY_FUNCTION);
/// Launches that were left waiting for a person: each that a run left so.
pub const LAUNCHES_HELD: Metric = metric("LaunchesHeld", Unit::Count, BY_FUNCTION);
/// Requests sent to AWS, those that the SDK repeats included.
pub const API_CALLS: Metric = metric("ApiCalls", Unit::Count, BY_FUNCTION);
/// Requests that AWS throttled, those that succeeded when they were repeated included.
pub const API_THROTTLES: Metric = metric("ApiThrottles", Unit::Count, BY_FUNCTION);
/// Free slots.
pub const SLOTS_FREE: Metric = metric("SlotsFree", Unit::Count, BY_PLACE);
/// Leased slots.
pub const SLOTS_LEASED: Metric = metric("SlotsLeased", Unit::Count, BY_PLACE);
/// Slots that are being released.
pub const SLOTS_RELEASING: Metric = metric("SlotsReleasing", Unit::Count, BY_PLACE);
/// Slots that are set apart for a person to look at.
pub const SLOTS_QUARANTINED: Metric = metric("SlotsQuarantined", Unit::Count, BY_PLACE);
/// Launches in the queue.
pub const WAITERS: Metric = metric("Waiters", Unit::Count, BY_PLACE);
/// How long the first of them has waited.
pub const OLDEST_WAIT_SECONDS: Metric = metric("OldestWaitSeconds", Unit::Seconds, BY_PLACE);
/// How long the slot has been in release that has been for longest.
pub const OLDEST_RELEASING_SECONDS: Metric =
    metric("OldestReleasingSeconds", Unit::Seconds, BY_PLACE);
/// Policies that did not parse, each time that a run met one.
pub const POLICIES_REJECTED: Metric = metric("PoliciesRejected", Unit::Count, BY_FUNCTION);
/// Lines with an `alarm` in the log.
pub const ALARMS_RAISED: Metric = metric("AlarmsRaised", Unit::Count, BY_FUNCTION);
/// Instances and slots for which a sweep, and no event, has brought something forward.
pub const HEALED: Metric = metric("Healed", Unit::Count, BY_FUNCTION);
/// Sweeps that could read everything.
pub const SWEEPS: Metric = metric("Sweeps", Unit::Count, BY_FUNCTION);

/// Every metric there is.
pub const NAMES: [Metric; 19] = [
    ACTIONS_CONTINUED,
    ACTIONS_ABANDONED,
    ACTION_DURATION,
    REATTACH_DURATION,
    LEASE_RACES_LOST,
    LAUNCHES_HELD,
    API_CALLS,
    API_THROTTLES,
    SLOTS_FREE,
    SLOTS_LEASED,
    SLOTS_RELEASING,
    SLOTS_QUARANTINED,
    WAITERS,
    OLDEST_WAIT_SECONDS,
    OLDEST_RELEASING_SECONDS,
    POLICIES_REJECTED,
    ALARMS_RAISED,
    HEALED,
    SWEEPS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_metric_has_a_name_of_its_own_that_cloudwatch_takes() {
        let names: BTreeSet<&str> = NAMES.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), NAMES.len());
        // "Metric names must be between 1 and 1024 characters" (`MetricDatum`); ours are plain words.
        assert!(names.iter().all(|name| name.chars().all(|it| it.is_ascii_alphanumeric())));
    }
}
