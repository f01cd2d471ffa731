//! Records that describes may show as they were a moment ago: EC2 is eventually consistent, and a describe right
//! after a change can miss it.

use std::collections::BTreeMap;
use std::time::Duration;

use volume_pool::Timestamp;

/// Records by id, with what each was before its latest change.
#[derive(Debug, Clone)]
pub(super) struct Lagged<T> {
    current: BTreeMap<String, T>,
    earlier: BTreeMap<String, Earlier<T>>,
    lag: Option<Duration>,
}

/// What a record was before it changed; None when it did not exist.
#[derive(Debug, Clone)]
struct Earlier<T> {
    changed_at: Timestamp,
    state: Option<T>,
}

impl<T: Clone> Lagged<T> {
    /// No records, shown `lag` after the fact.
    pub(super) fn new(lag: Option<Duration>) -> Self {
        Self { current: BTreeMap::new(), earlier: BTreeMap::new(), lag }
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
            Some(earlier) if self.still_shown(earlier.changed_at, now) => earlier.state.as_ref(),
            _ => self.current.get(id),
        }
    }

    /// All records as a describe shows them at `now`, by id.
    pub(super) fn all_shown(&self, now: Timestamp) -> Vec<&T> {
        if self.lag.is_none() {
            return self.current.values().collect();
        }
        let mut ids: Vec<&String> = self.current.keys().chain(self.earlier.keys()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.shown(id, now)).collect()
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
        let shown = self.earlier.get(id).is_some_and(|it| self.still_shown(it.changed_at, now));
        if !shown {
            let state = self.current.get(id).cloned();
            self.earlier.insert(id.to_owned(), Earlier { changed_at: now, state });
        }
    }

    fn still_shown(&self, changed_at: Timestamp, now: Timestamp) -> bool {
        self.lag.is_some_and(|lag| now < changed_at.plus(lag))
    }
}
