//! A list that keeps its newest entries: what tests and people look back on, without growing for ever.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many entries are kept: far more than a test makes, and bounded for a server that runs for days.
const KEPT: usize = 50_000;

/// The newest entries, oldest first. Each has a number that never changes.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    inner: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    entries: VecDeque<T>,
    forgotten: usize,
}

impl<T> Recent<T> {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Kept { entries: VecDeque::new(), forgotten: 0 }) }
    }

    /// Adds an entry and returns its number.
    pub(crate) fn push(&self, entry: T) -> usize {
        let mut kept = self.lock();
        if kept.entries.len() == KEPT {
            kept.entries.pop_front();
            kept.forgotten += 1;
        }
        kept.entries.push_back(entry);
        kept.forgotten + kept.entries.len() - 1
    }

    /// Changes the entry with this number, if it is still kept.
    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut T)) {
        let mut kept = self.lock();
        let position = number.checked_sub(kept.forgotten);
        if let Some(entry) = position.and_then(|position| kept.entries.get_mut(position)) {
            change(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Recent<T> {
    /// All entries that are kept, oldest first.
    pub(crate) fn all(&self) -> Vec<T> {
        self.lock().entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_its_number_when_older_ones_are_forgotten() {
        let recent = Recent::new();
        let first = recent.push(0);
        let mut last = first;
        for entry in 1..=KEPT {
            last = recent.push(entry);
        }
        recent.change(first, |_| panic!("the first entry is forgotten"));
        recent.change(last, |entry| *entry = 7);
        let all = recent.all();
        assert_eq!((all.len(), all[0], all[KEPT - 1]), (KEPT, 1, 7));
    }
}
