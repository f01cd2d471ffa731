//! Who waits for slots and what is being released, zone by zone: what a sweep tells as metrics. No decision rests on it.

use std::collections::BTreeMap;

use crate::ids::PoolName;
use crate::ports::PortError;
use crate::record::{Place, WaitingMark};
use crate::time::Timestamp;

/// The queues of the pools, those that could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queues {
    /// By pool.
    pub pools: BTreeMap<PoolName, PoolQueues>,
    /// The reads that failed.
    pub failures: Vec<PortError>,
}

/// The queues of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolQueues {
    /// The marks of those who wait.
    pub waiting: Vec<WaitingMark>,
    /// Slots that are being released.
    pub releasing: Vec<Releasing>,
}

/// A slot that is being released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releasing {
    /// Where it will be free.
    pub place: Place,
    /// Since when it is being released; nothing where its holder's claim does not say so any more, or can't be read.
    pub since: Option<Timestamp>,
}
