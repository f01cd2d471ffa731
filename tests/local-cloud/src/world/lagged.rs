//! Records that describes may show as they were a moment ago: EC2 is eventually consistent, and a describe right
//! after a change can miss it.

use std::collections::BTreeMap;
use std::time::Duration;

use volume_pool::Timestamp;

use super::config::Lag;

/// Records by id, with what each was before its latest change.
#[derive(Debug, Clone)]
pub(super) struct Lagged<T> {
    current: BTreeMap<String, T>,
    earlier: BTreeMap<String, Earlier<T>>,
    lag: Option<Duration>,
    shows: Lag,
}

/// What a record was before it changed; None when it did not exist.
#[derive(Debug, Clone)]
struct Earlier<T> {
    changed_at: Timestamp,
    state: Option<T>,
}

impl<T: Clone> Lagged<T> {
    /// No records, shown `lag` after the fact.
    pub(super) fn new(lag: Option<Duration>, shows: Lag) -> Self {
        Self { current: BTreeMap::new(), earlier: BTreeMap::new(), lag, shows }
    }

    /// Changes the lag; what changed before keeps being shown as it was.
    pub(super) fn set_lag(&mut self, lag: Option<Duration>) {
        self.lag = lag;
    }

    /// The record as it is.
    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.current.get(id)
    }

    /// The record, to be changed at `now`.
    pub(super) fn get_mut(&mut self, id: &str, now: Timestamp) -> Option<&mut T> {
        if self.current.contains_key(id) {
            self.remember(id, now);
        }
        self.current.get_mut(id)
    }

    /// Adds a record at `now`.
    pub(super) fn insert(&mut self, id: &str, record: T, now: Timestamp) {
        self.remember(id, now);
        self.current.insert(id.to_owned(), record);
    }

    /// Drops a record at `now`.
    pub(super) fn remove(&mut self, id: &str, now: Timestamp) {
        self.remember(id, now);
        self.current.remove(id);
    }

    /// All records as they are, by id.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.current.values()
    }

    /// The record as a describe shows it at `now`.
    pub(super) fn shown(&self, id: &str, now: Timestamp) -> Option<&T> {
        match self.earlier.get(id) {
            Some(earlier) if self.is_behind(now) && self.may_show(earlier.changed_at, now) => {
                earlier.state.as_ref()
            }
            _ => self.current.get(id),
        }
    }

    /// Whether what answers a describe at `now` is behind: one describe shows all that it shows of one moment.
    fn is_behind(&self, now: Timestamp) -> bool {
        match self.shows {
            Lag::Steady => true,
            // As good as a toss, and the same for the same moment (Fibonacci hashing).
            Lag::Wavering => now.as_millis().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1,
        }
    }

    /// All records as a describe shows them at `now`, by id.
    pub(super) fn all_shown(&self, now: Timestamp) -> Vec<&T> {
        if self.lag.is_none() {
            return self.current.values().collect();
        }
        if self.earlier.is_empty() || !self.is_behind(now) {
            return self.current.values().collect();
        }
        // Few have changed lately: the others are shown as they are.
        let gone = self.earlier.keys().filter(|id| !self.current.contains_key(*id));
        let gone = gone.filter_map(|id| Some((id, self.shown(id, now)?)));
        let there = self.current.iter().filter_map(|(id, record)| match self.earlier.get(id) {
            Some(_) => Some((id, self.shown(id, now)?)),
            None => Some((id, record)),
        });
        let mut all: Vec<(&String, &T)> = there.chain(gone).collect();
        all.sort_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, record)| record).collect()
    }

    /// Those of these records that a describe shows at `now`, in the order of the ids.
    pub(super) fn some_shown<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Vec<&T> {
        ids.into_iter().filter_map(|id| self.shown(id, now)).collect()
    }

    /// Keeps what the record is, unless something older is still being shown.
    fn remember(&mut self, id: &str, now: Timestamp) {
        if self.lag.is_none() {
            return;
        }
        let lag = self.lag;
        self.earlier.retain(|_, it| may_show(lag, it.changed_at, now));
        if !self.earlier.contains_key(id) {
            let state = self.current.get(id).cloned();
            self.earlier.insert(id.to_owned(), Earlier { changed_at: now, state });
        }
    }

    fn may_show(&self, changed_at: Timestamp, now: Timestamp) -> bool {
        may_show(self.lag, changed_at, now)
    }
}

fn may_show(lag: Option<Duration>, changed_at: Timestamp, now: Timestamp) -> bool {
    lag.is_some_and(|lag| now < changed_at.plus(lag))
}
