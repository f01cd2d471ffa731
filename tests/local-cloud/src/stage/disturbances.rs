//! What went wrong with whom, so that a timeout can be told from one that somebody should have prevented.

use std::collections::VecDeque;
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::ids::InstanceId;

use crate::world::Happening;

use super::Stage;

/// Reconcile comes each minute, so it takes more than one or two mishaps to keep it away for as long as a heartbeat
/// timeout of 300 s, the shortest that is recommended.
const ENOUGH: usize = 3;
/// For how long mishaps are remembered.
const REMEMBERED: Duration = Duration::from_mins(6);

/// What went wrong lately, with an instance's invocations or with everybody's.
#[derive(Debug, Default)]
pub(super) struct Disturbances {
    lately: VecDeque<(Timestamp, Option<InstanceId>)>,
}

impl Stage {
    /// Something went wrong with an invocation for this instance, or for whoever was to be found.
    pub(super) fn disturbed(&mut self, instance: Option<InstanceId>) {
        let now = self.cloud.world().now();
        let lately = &mut self.disturbances.lately;
        while lately.front().is_some_and(|(at, _)| now.since(*at) > REMEMBERED) {
            lately.pop_front();
        }
        lately.push_back((now, instance));
    }

    /// Whether an action of ours timed out although hardly anything went wrong with those who might have answered it.
    pub(super) fn unexplained(&self, timed_out: &Happening) -> bool {
        let Some(instance) = &timed_out.subject.instance else { return true };
        let lately = self.disturbances.lately.iter().filter(|(at, whom)| {
            timed_out.at.since(*at) <= REMEMBERED
                && whom.as_ref().is_none_or(|whom| whom.as_str() == instance)
        });
        lately.count() < ENOUGH
    }
}
