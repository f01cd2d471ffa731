//! From what the functions have done and seen to the values of the metrics: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::action::ActionResult;
use volume_pool::decide::Alarm;
use volume_pool::ids::InstanceId;
use volume_pool::invocation::LoopReport;
use volume_pool::queues::Queues;
use volume_pool::record::{Place, Slot};
use volume_pool::sweep::Swept;

use super::{
    ACTION_DURATION, ACTIONS_ABANDONED, ACTIONS_CONTINUED, ALARMS_RAISED, API_CALLS, API_THROTTLES,
    HEALED, LAUNCHES_HELD, LEASE_RACES_LOST, Metric, OLDEST_RELEASING_SECONDS, OLDEST_WAIT_SECONDS,
    POLICIES_REJECTED, REATTACH_DURATION, SLOTS_FREE, SLOTS_LEASED, SLOTS_QUARANTINED,
    SLOTS_RELEASING, SWEEPS, WAITERS,
};
use crate::calls::Counted;

/// Values of metrics: a count has one, a duration one for each time that it was taken.
pub type Values = BTreeMap<Metric, Vec<u64>>;

/// What one invocation has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    values: BTreeMap<Option<Place>, Values>,
    /// A launch may be looked at in several loops, as a waiter beside others: the last one counts.
    held: BTreeSet<InstanceId>,
}

impl Measured {
    /// The values, by the pool and zone that they belong to, where they belong to one.
    pub fn into_values(mut self) -> BTreeMap<Option<Place>, Values> {
        let held = self.held.len();
        self.count(None, LAUNCHES_HELD, held);
        self.values
    }

    /// What these loops did.
    pub fn loops(&mut self, loops: &[LoopReport]) {
        for part in loops {
            self.answer(part);
            let journal = &part.journal;
            self.count(None, LEASE_RACES_LOST, journal.lost_leases);
            self.alarms(&journal.alarms);
            if journal.held {
                self.held.insert(part.instance.clone());
            } else {
                self.held.remove(&part.instance);
            }
        }
    }

    fn answer(&mut self, part: &LoopReport) {
        let journal = &part.journal;
        let metric = match journal.answered {
            Some(ActionResult::Continue) => ACTIONS_CONTINUED,
            Some(ActionResult::Abandon) => ACTIONS_ABANDONED,
            None => return,
        };
        let place = journal.place.as_ref();
        self.count(place, metric, 1_u64);
        for (metric, took) in [
            (ACTION_DURATION, journal.answered_after),
            (REATTACH_DURATION, journal.reattached_after),
        ] {
            if let Some(took) = took {
                let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                self.of(place).entry(metric).or_default().push(millis);
            }
        }
    }

    /// Alarms that were logged.
    pub fn alarms<'a>(&mut self, alarms: impl IntoIterator<Item = &'a Alarm>) {
        for alarm in alarms {
            self.count(None, ALARMS_RAISED, 1_u64);
            if matches!(alarm, Alarm::PolicyFault { .. }) {
                self.count(None, POLICIES_REJECTED, 1_u64);
            }
        }
    }

    /// An event that could not be read was logged as an alarm.
    pub fn malformed_event(&mut self) {
        self.count(None, ALARMS_RAISED, 1_u64);
    }

    /// What these loops, begun by a sweep, have brought forward.
    pub fn healed(&mut self, loops: &[LoopReport]) {
        let changed = loops.iter().filter(|part| part.journal.changes > 0);
        let instances: BTreeSet<&InstanceId> = changed.map(|part| &part.instance).collect();
        self.count(None, HEALED, instances.len());
    }

    /// The requests that were sent to AWS.
    pub fn calls(&mut self, counted: Counted) {
        self.count(None, API_CALLS, counted.sent);
        self.count(None, API_THROTTLES, counted.throttled);
    }

    /// What a sweep has seen. A pool that could not be read is left out: nothing is no sign of nothing.
    pub fn sweep(&mut self, swept: &Swept, queues: &Queues, now: Timestamp) {
        self.alarms(&swept.alarms());
        if swept.failures.is_empty() {
            self.count(None, SWEEPS, 1_u64);
        }
        for pool in &swept.pools {
            let mut places: BTreeMap<&Place, Gauges> = BTreeMap::new();
            for mark in &pool.held {
                places.entry(&mark.place).or_default().leased += 1;
            }
            let free: Vec<Place> = pool.free.iter().map(Slot::place).collect();
            for place in &free {
                places.entry(place).or_default().free += 1;
            }
            for mark in &pool.apart {
                places.entry(&mark.place).or_default().quarantined += 1;
            }
            let queues = queues.pools.get(&pool.name);
            for mark in queues.iter().flat_map(|queues| &queues.waiting) {
                let gauges = places.entry(&mark.place).or_default();
                gauges.waiters += 1;
                gauges.oldest_wait = gauges.oldest_wait.max(now.since(mark.since));
            }
            for slot in queues.iter().flat_map(|queues| &queues.releasing) {
                let gauges = places.entry(&slot.place).or_default();
                gauges.releasing += 1;
                let since = slot.since.map_or(Duration::ZERO, |since| now.since(since));
                gauges.oldest_releasing = gauges.oldest_releasing.max(since);
            }
            for (place, gauges) in places {
                gauges.put(self.of(Some(place)), queues.is_some());
            }
        }
    }

    /// Adds to a count. What did not happen is not told of: a series costs while it has values.
    fn count(&mut self, place: Option<&Place>, metric: Metric, count: impl TryInto<u64>) {
        let count = count.try_into().unwrap_or(u64::MAX);
        if count == 0 {
            return;
        }
        let values = self.of(place).entry(metric).or_default();
        match values.first_mut() {
            Some(sum) => *sum = sum.saturating_add(count),
            None => values.push(count),
        }
    }

    fn of(&mut self, place: Option<&Place>) -> &mut Values {
        self.values.entry(place.cloned()).or_default()
    }
}

/// What a sweep has seen in one zone of a pool.
#[derive(Default)]
struct Gauges {
    free: usize,
    leased: usize,
    releasing: usize,
    quarantined: usize,
    waiters: usize,
    oldest_wait: Duration,
    oldest_releasing: Duration,
}

impl Gauges {
    /// Zeros are told as well: an alarm ends by them.
    fn put(self, values: &mut Values, queues_known: bool) {
        let mut put = |metric, value: usize| {
            values.insert(metric, vec![u64::try_from(value).unwrap_or(u64::MAX)]);
        };
        put(SLOTS_FREE, self.free);
        put(SLOTS_LEASED, self.leased);
        put(SLOTS_QUARANTINED, self.quarantined);
        if queues_known {
            put(SLOTS_RELEASING, self.releasing);
            put(WAITERS, self.waiters);
            values.insert(OLDEST_WAIT_SECONDS, vec![self.oldest_wait.as_secs()]);
            values.insert(OLDEST_RELEASING_SECONDS, vec![self.oldest_releasing.as_secs()]);
        }
    }
}

#[cfg(test)]
mod tests;
